/* SPDX-License-Identifier: Apache-2.0 */
/* phases - plugins on the road of a request.
 *
 * A request that no plugin has anything to do with has no plugin_run, and passes each
 * phase with one test of a pointer.  Others get theirs in rewrite, in access, or when
 * the gateway answers before: then with the plugins that are configured for everybody.
 *
 * Each phase runs at most once, whatever goes wrong behind it. */
#pragma once

#include "control/plan.h"
#include "serve/req.h"

/* An answer that a handler gave; it is sent when the others were chosen. */
struct plugin_answer {
	bool is_given;
	bool is_final; /* what handlers answer after it is not heard */
	int status;
	str type, body;
};

struct plugin_context {
	const struct plugin *plugin;
	void *memory;
	struct plugin_context *next;
};

struct plugin_run {
	const struct plan *plan;
	const struct plugin_instance **chosen; /* by slot; NULL: that one does not run */
	const struct plugin_config *running;   /* whose handler runs */
	unsigned done;                         /* a bit for each phase that ran */
	bool is_collected;                     /* access has chosen */
	struct plugin_answer answer;
	struct plugin_context *contexts;
	struct value *shared;
	struct {
		struct req_try *v;
		size_t n, cap;
	} tries;
	struct http_headers early; /* of the reply, set before there was one */
	bool has_reply;            /* req.reply is the reply's */

	/* Who it is from. */
	const struct consumer *consumer;
	const struct credential *credential;
	strs groups;

	/* What is logged of it, once it was asked for. */
	const struct value *entry;
	str entry_text;

	/* The reply's body on its way. */
	str piece;
	bool is_last_piece, will_change;
	bool drops_body; /* nothing follows the head */
	str whole;       /* in response */
};

struct plugin_run *plugins_run_of(struct req *r); /* made when there is none */

void plugins_certificate(struct req *r) SUSPENDS;
enum verdict plugins_rewrite(struct req *r) SUSPENDS;
enum verdict plugins_access(struct req *r) SUSPENDS; /* DONE: answered, and sent */
enum verdict plugins_preread(struct req *r)
	SUSPENDS;                             /* of streams; DONE: the answer is in req.run */
bool plugins_want_whole(const struct req *r); /* has anybody a response handler? */
/* DONE: the answer in req.run takes the place of the upstream's. */
enum verdict plugins_response(struct req *r) SUSPENDS;
void plugins_header_filter(struct req *r) SUSPENDS;
bool plugins_change_body(const struct req *r);
bool plugins_drop_body(const struct req *r); /* nothing follows the head */
str plugins_body_filter(struct req *r, str piece, bool is_last) SUSPENDS;
bool plugins_will_log(const struct req *r);
void plugins_log(struct req *r) SUSPENDS;
