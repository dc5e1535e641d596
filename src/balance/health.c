/* SPDX-License-Identifier: Apache-2.0 */
/* What the Admin API shows of a balancer, in Kong's shapes. */
#include "balance/priv.h"

static void set_int(struct arena *a, struct value *object, const char *key, uint64_t i)
{
	value_set(a, object, str_of(key), value_int(a, (int64_t)i));
}

static void set_text(struct arena *a, struct value *object, const char *key, str text)
{
	value_set(a, object, str_of(key), value_str(a, text));
}

static struct value *weights(struct arena *a, uint64_t total, uint64_t unavailable)
{
	struct value *v = value_object(a);

	set_int(a, v, "total", total);
	set_int(a, v, "unavailable", unavailable);
	set_int(a, v, "available", total - unavailable);
	return v;
}

/* Where a target's addresses came from. */
static str dns_source(struct arena *a, const struct spot *spot)
{
	const struct name *name = spot->name;

	if (!name)
		return address_parse_ip(spot->host, 0, &(struct address){ 0 }) &&
				       str_find(spot->host, ':', 0) >= 0
			       ? STR("AAAA")
			       : STR("A");
	switch (name->state) {
	case NAME_UNASKED:
		return STR("unknown");
	case NAME_EACH_TIME:
		return STR("ttl=0, virtual SRV");
	case NAME_NOT_FOUND:
	case NAME_FAILED:
		return str_copy(a, str_of(name->why));
	case NAME_KNOWN:
		break;
	}
	if (name->answers[0].name.n)
		return STR("SRV");
	return name->answers[0].address.any.sa_family == AF_INET6 ? STR("AAAA") : STR("A");
}

static struct value *address_value(struct arena *a, const struct slot *slot)
{
	struct value *v = value_object(a);
	char ip[ADDRESS_TEXT];

	if (slot->peer->is_each_time) {
		set_text(a, v, "ip", slot->spot->host);
	} else {
		address_ip(&slot->peer->address, ip);
		set_text(a, v, "ip",
			 str_fmt(a, slot->peer->address.any.sa_family == AF_INET6 ? "[%s]" : "%s",
				 ip));
	}
	set_int(a, v, "port", slot->peer->port);
	set_int(a, v, "weight", slot->weight);
	return v;
}

/* One target as getting at it would find it; the words of health by `is_checked`. */
struct view {
	const struct table *t;
	bool is_checked; /* addresses say "health", not "healthy" */
	bool has_checks;
};

static struct value *target_value(struct arena *a, const struct view *view, const struct spot *spot,
				  const char **ret_health)
{
	struct value *v = value_object(a), *addresses = value_array(a);
	uint64_t total = 0, unavailable = 0;

	*ret_health = "DNS_ERROR";
	for (uint32_t i = 0; i < view->t->n; i++) {
		const struct slot *slot = &view->t->slots[i];
		bool is_up = slot_is_up(view->t, slot);
		const char *health = is_up ? "HEALTHY" : "UNHEALTHY";
		struct value *address;

		if (slot->spot != spot)
			continue;
		address = address_value(a, slot);
		if (!view->has_checks)
			health = "HEALTHCHECKS_OFF";
		if (view->is_checked)
			set_text(a, address, "health", str_of(health));
		else
			value_set(a, address, STR("healthy"), value_bool(a, is_up));
		value_add(a, addresses, address);
		total += slot->weight;
		unavailable += is_up ? 0 : slot->weight;
		if (strcmp(*ret_health, "HEALTHY") != 0)
			*ret_health = health; /* one that is healthy is enough */
	}
	set_text(a, v, "host", spot->host);
	set_int(a, v, "port", spot->port);
	set_text(a, v, "dns", dns_source(a, spot));
	set_int(a, v, "nodeWeight", spot->weight);
	value_set(a, v, STR("weight"), weights(a, total, unavailable));
	value_set(a, v, STR("addresses"), addresses);
	return v;
}

/* The current table, under the lock that is then held. */
static const struct table *lock_table(const struct balancer *b_)
{
	struct balancer *b = (struct balancer *)(uintptr_t)b_; /* the table's turnover is inside */

	pthread_mutex_lock(&b->store->lock);
	if (atomic_load(&b->is_stale))
		table_rebuild(b);
	return atomic_load(&b->table);
}

struct value *balancer_health(struct arena *a, const struct balancer *b)
{
	struct value *v = value_object(a), *details, *hosts;
	struct view view = { .has_checks = true };
	const char *health;

	if (!b->upstream)
		return v;
	set_text(a, v, "id", uuid_str(a, b->upstream->id));
	if (!balance_is_checked(b->upstream)) {
		set_text(a, v, "health", STR("HEALTHCHECKS_OFF"));
		return v;
	}
	view.t = lock_table(b);
	set_text(a, v, "health", view.t->is_healthy ? STR("HEALTHY") : STR("UNHEALTHY"));
	details = value_object(a);
	hosts = value_array(a);
	value_set(a, details, STR("healthy"), value_bool(a, view.t->is_healthy));
	value_set(a, details, STR("weight"),
		  weights(a, view.t->total_weight, view.t->unavailable_weight));
	for (size_t i = 0; i < b->n; i++)
		value_add(a, hosts, target_value(a, &view, &b->spots[i], &health));
	value_set(a, details, STR("hosts"), hosts);
	value_set(a, v, STR("details"), details);
	pthread_mutex_unlock(&b->store->lock);
	return v;
}

/* A disabled target has no spot: no addresses, no checks. */
static struct value *disabled_value(struct arena *a, str host, uint16_t port)
{
	struct value *v = value_object(a);

	set_text(a, v, "host", host);
	set_int(a, v, "port", port);
	set_text(a, v, "dns", STR("unknown"));
	set_int(a, v, "nodeWeight", 0);
	value_set(a, v, STR("weight"), weights(a, 0, 0));
	value_set(a, v, STR("addresses"), value_array(a));
	return v;
}

const char *balancer_target_health(struct arena *a, const struct balancer *b, str target,
				   struct value **ret_data)
{
	struct view view = { .is_checked = true };
	const char *health = "HEALTHCHECKS_OFF";
	str host;
	uint16_t port;

	*ret_data = NULL;
	if (!b->upstream)
		return health;
	target_split(str_lower(a, target), &host, &port);
	view.has_checks = balance_is_checked(b->upstream);
	view.t = lock_table(b);
	for (size_t i = 0; i < b->n && !*ret_data; i++)
		if (b->spots[i].port == port && str_eq(b->spots[i].host, host))
			*ret_data = target_value(a, &view, &b->spots[i], &health);
	pthread_mutex_unlock(&b->store->lock);
	if (!*ret_data)
		*ret_data = disabled_value(a, str_copy(a, host), port);
	return health;
}
