/* SPDX-License-Identifier: Apache-2.0 */
/* Zones, and how they are looked at and emptied: by the Admin API, and by other nodes.
 *
 * A configuration of the plugin stands for its zone, as in Kong: keys are looked for in the
 * zones of all configurations, and to empty one empties what others keep there. */
#include <pthread.h>

#include "plugins/proxy-cache/cache.h"

#define ZONES_MAX 64

static struct {
	pthread_mutex_t lock;
	struct zone v[ZONES_MAX];
	size_t n;
	struct arena *names;
} zones = { .lock = PTHREAD_MUTEX_INITIALIZER };

static struct zone *find(str name)
{
	size_t bytes = node_zone_bytes(name);
	struct zone *z;

	for (size_t i = 0; i < zones.n; i++) {
		if (str_eq(zones.v[i].name, name))
			return &zones.v[i];
	}
	if (!bytes || zones.n == ZONES_MAX)
		return NULL;
	if (!zones.names)
		zones.names = arena_new();
	z = &zones.v[zones.n++];
	*z = (struct zone){ .name = str_copy(zones.names, name),
			    .shelf = shelf_new(bytes),
			    .most_coming = bytes / 2 };
	return z;
}

struct zone *zone_find(str name)
{
	struct zone *z;

	pthread_mutex_lock(&zones.lock);
	z = find(name);
	pthread_mutex_unlock(&zones.lock);
	return z;
}

void zones_drop(void)
{
	for (size_t i = 0; i < zones.n; i++)
		shelf_drop(&zones.v[i].shelf);
	zones.n = 0;
	arena_drop(&zones.names);
}

bool zone_expect(struct zone *z, size_t before, size_t now)
{
	return __atomic_add_fetch(&z->coming, now - before, __ATOMIC_RELAXED) <= z->most_coming;
}

/* ---- configurations --------------------------------------------------------------------------- */

static struct zone *zone_of(const struct value *plugin)
{
	const struct value *memory = value_get(value_get(plugin, "config"), "memory");
	const struct value *name = value_get(memory, "dictionary_name");

	return name && name->kind == VALUE_STRING ? zone_find(name->s) : NULL;
}

static const struct value *find_plugin(const struct value *all, str id)
{
	for (uint32_t i = 0; i < all->n; i++) {
		if (str_eq_ci(value_get(all->items[i], "id")->s, id))
			return all->items[i];
	}
	return NULL;
}

/* "nil": everything. */
static void tell(struct page_call *c, const struct value *plugin, str key) SUSPENDS;

static void tell(struct page_call *c, const struct value *plugin, str key)
{
	str data = str_fmt(c->a, STRF ":" STRF, STRV(value_get(plugin, "id")->s), STRV(key));
	struct err *e = node_tell("proxy-cache:purge", data);

	if (e)
		log_err(LOG_ERROR_, e, "failed broadcasting proxy cache purge to cluster");
	err_forget();
}

/* ---- pages --------------------------------------------------------------------------------------- */

static void set(struct arena *a, struct value *to, const char *name, struct value *v)
{
	value_set(a, to, str_of(name), v);
}

static struct value *shown(struct arena *a, const struct parcel *p)
{
	struct stored head = stored_head(p);
	struct http_headers fields = stored_fields(a, p);
	struct value *v = value_object(a), *headers = value_object(a);
	str body = stored_body(p);

	for (unsigned i = 0; i < fields.n; i++) {
		struct value *text = value_str(a, str_to_utf8(a, fields.v[i].value));

		if (value_get_str(headers, fields.v[i].name))
			args_append(a, headers, fields.v[i].name, text);
		else
			value_set(a, headers, fields.v[i].name, text);
	}
	set(a, v, "status", value_int(a, head.status));
	set(a, v, "headers", headers);
	set(a, v, "body", value_str(a, str_to_utf8(a, body)));
	set(a, v, "body_len", value_int(a, (int64_t)body.n));
	set(a, v, "timestamp", value_int(a, head.at_s));
	set(a, v, "ttl", value_int(a, head.ttl_s));
	set(a, v, "version", value_int(a, 1));
	return v;
}

/* True: it was there, and is shown. */
static bool show(struct page_call *c, struct zone *zone, str key)
{
	struct parcel *p CLEANUP(parcel_drop) =
		zone ? shelf_take(zone->shelf, key, clock_mono_ms()) : NULL;

	if (p)
		page_answer_value(c, 200, shown(c->a, p));
	return p;
}

static bool purge(struct page_call *c, const struct value *plugin, str key) SUSPENDS;

static bool purge(struct page_call *c, const struct value *plugin, str key)
{
	struct zone *zone = zone_of(plugin);

	if (!zone || !shelf_remove(zone->shelf, key))
		return false;
	tell(c, plugin, key);
	page_answer(c, 204);
	return true;
}

static void purge_everything(struct page_call *c)
{
	struct value *all = node_plugins(c->a, "proxy-cache");

	for (uint32_t i = 0; i < all->n; i++) {
		struct zone *zone = zone_of(all->items[i]);

		if (zone)
			shelf_clear(zone->shelf);
		tell(c, all->items[i], STR("nil"));
	}
	page_answer(c, 204);
}

static void show_key(struct page_call *c)
{
	struct value *all = node_plugins(c->a, "proxy-cache");

	for (uint32_t i = 0; i < all->n; i++) {
		if (show(c, zone_of(all->items[i]), c->captures[0]))
			return;
	}
	page_answer(c, 404);
}

static void purge_key(struct page_call *c)
{
	struct value *all = node_plugins(c->a, "proxy-cache");

	for (uint32_t i = 0; i < all->n; i++) {
		if (purge(c, all->items[i], c->captures[0]))
			return;
	}
	page_answer(c, 404);
}

static void show_key_of_plugin(struct page_call *c)
{
	const struct value *plugin = find_plugin(node_plugins(c->a, "proxy-cache"), c->captures[0]);

	if (!plugin || !show(c, zone_of(plugin), c->captures[1]))
		page_answer(c, 404);
}

static void purge_key_of_plugin(struct page_call *c)
{
	const struct value *plugin = find_plugin(node_plugins(c->a, "proxy-cache"), c->captures[0]);

	if (!plugin || !purge(c, plugin, c->captures[1]))
		page_answer(c, 404);
}

/* clang-format off */
const struct plugin_page proxy_cache_pages[] = {
	{ .path = "/proxy-cache",            .on = { [HTTP_DELETE] = purge_everything } },
	{ .path = "/proxy-cache/:cache_key", .on = { [HTTP_GET] = show_key, [HTTP_DELETE] = purge_key } },
	{ .path = "/proxy-cache/:plugin_id/caches/:cache_key",
	  .on = { [HTTP_GET] = show_key_of_plugin, [HTTP_DELETE] = purge_key_of_plugin } },
	{ NULL },
};
/* clang-format on */

/* ---- other nodes -------------------------------------------------------------------------------------- */

/* "plugin's id:key". */
static void heard(str data)
{
	struct arena *a CLEANUP(arena_drop) = arena_new();
	const struct value *plugin;
	struct zone *zone;
	str id, key = data;

	log_debug("handling purge of '" STRF "'", STRV(data));
	str_next(&key, ':', &id);
	plugin = find_plugin(node_plugins(a, "proxy-cache"), id);
	zone = plugin ? zone_of(plugin) : NULL;
	if (!zone)
		return;
	if (str_is(key, "nil"))
		shelf_clear(zone->shelf);
	else
		shelf_remove(zone->shelf, key);
}

const struct plugin_channel proxy_cache_channels[] = {
	{ .name = "proxy-cache:purge", .heard = heard },
	{ NULL },
};
