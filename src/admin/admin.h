/* SPDX-License-Identifier: Apache-2.0 */
/* admin - the Admin API and the Status API: a table of endpoints over a store.
 *
 * The endpoints of an entity are made from its rows (model/entity.h); what is
 * written by hand is in the other files of this folder, one row each in
 * endpoints.c.  What the APIs know of the process comes through struct
 * admin_context, which the process fills before it calls admin_new().
 *
 * admin_handle() and admin_handle_status() are handlers for admin/server.h;
 * their arg is the struct admin.  They may suspend where the store or a hook
 * does, and run on one loop. */
#pragma once

#include "admin/server.h"
#include "settings/settings.h"
#include "store/declarative.h"
#include "store/store.h"
#include <gibbon/plugin.h>

/* What GET /status shows. */
struct admin_status {
	uint64_t connections_active, connections_reading, connections_writing, connections_waiting;
	uint64_t connections_accepted, connections_handled, total_requests;
	uint64_t worker_bytes; /* resident memory of this process */
	struct node_zone zones[NODE_ZONES];
	size_t n_zones;
	bool is_database_reachable;
	bool has_hash; /* a node without a database */
	char configuration_hash[33];
};

struct admin_context {
	const struct settings *settings;
	struct store *store;
	uuid node_id;
	str hostname;
	int64_t master_pid, worker_pid;

	/* POST /config: builds the snapshot of d and makes it the one that serves; takes a
	 * hold of its own when it wants one.  Errors become statuses: ERR_CONFLICT 429
	 * (another one is loading), ERR_TIMEOUT 504, ERR_CANCELLED 503 (going down), ERR_REFUSED
	 * 413 (does not fit), ERR_INVALID 400 with its words, all others 500. */
	struct err *(*apply)(void *arg, struct declarative_config *d)SUSPENDS;

	void (*status)(void *arg, struct admin_status *ret) SUSPENDS;

	/* What the balancer of an upstream knows; NULL members and NULL results: nothing.
	 * targets_health: {"host:port": {"health": "HEALTHY", "data": {"addresses": [...],
	 * "dns", "host", "nodeWeight", "port", "weight": {...}}}}; balancer_health:
	 * {"health", "id", "details"}. */
	struct value *(*targets_health)(void *arg, struct arena *a, uuid upstream)SUSPENDS;
	struct value *(*balancer_health)(void *arg, struct arena *a, uuid upstream)SUSPENDS;

	/* PUT /upstreams/x/targets/y[/address]/healthy: address is empty for all of the target's.
	 * ERR_INVALID: 400 with its words.  NULL: there are no health checks. */
	struct err *(*set_health)(void *arg, uuid upstream, str target, str address,
				  bool is_healthy)SUSPENDS;

	/* /cache: whether something is known under a key, and what (NULL: that it is not there);
	 * and to forget it ("*": everything).  NULL members: nothing is cached. */
	bool (*cache_find)(void *arg, struct arena *a, str key, struct value **ret);
	void (*cache_forget)(void *arg, str key);

	/* Tells the other nodes; NULL: there are none. */
	struct err *(*broadcast)(void *arg, const char *channel, str data)SUSPENDS;

	void *arg; /* of all of them */
};

struct admin;

/* Builds the table.  Everything in c, and c itself, is borrowed. */
struct admin *admin_new(struct arena *a, const struct admin_context *c);

void admin_handle(void *admin, struct api_request *r, struct api_reply *reply) SUSPENDS;
void admin_handle_status(void *admin, struct api_request *r, struct api_reply *reply) SUSPENDS;
