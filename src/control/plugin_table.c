/* SPDX-License-Identifier: Apache-2.0 */
#include "control/plugin_table.h"

#include "base/contract.h"
#include "base/log.h"
#include "control/plugin_object.h"
#include "control/secrets.h"
#include "model/plugin_schema.h"

#define ENTITIES_OF_ALL 48
#define CHANNELS_OF_ALL 64
#define PLUGINS_OF_ALL  256

static struct {
	struct arena *arena; /* never ends */
	bool is_started;
	struct plugin_node node;
	const struct plugin *known[PLUGINS_OF_ALL]; /* built in, and loaded */
	size_t n_known;
	const struct plugin_node_hooks *hooks;
	strs enabled;
	const struct entity *entities[ENTITIES_OF_ALL + 1];
	bool has_database;
	struct setting_zones zones;
} table;

/* ---- rows of the entity plugins ---------------------------------------------------- */

/* clang-format off */
static const struct field scope_rows[] = {
	PLUGIN_NO_CONSUMER,
	PLUGIN_NO_ROUTE,
	PLUGIN_NO_SERVICE,
};
static const struct field protocols_http = PLUGIN_PROTOCOLS_HTTP;
static const struct field protocols_all = PLUGIN_PROTOCOLS;
/* clang-format on */

/* The order is the one in which Kong shows them. */
static const struct field *rows_of(struct arena *a, const struct plugin *p)
{
	struct field *rows = NEWS(a, struct field, 6);
	size_t n = 0;

	for (size_t i = 0; i < COUNT(scope_rows); i++) {
		if (p->refuses >> i & 1)
			rows[n++] = scope_rows[i];
	}
	if (p->protocols != PROTOCOLS_UNSPECIFIED)
		rows[n++] = p->protocols == PROTOCOLS_HTTP ? protocols_http : protocols_all;
	rows[n++] = (struct field)PLUGIN_CONFIG(
		p->conf, .checks = p->conf_checks, .shorthands = p->conf_shorthands,
		.check = p->conf_check, .record_size = p->conf_size);
	return rows; /* a zeroed row is the end */
}

static void add(struct arena *a, const struct plugin *p)
{
	struct plugin_schema *s = NEW(a, struct plugin_schema);

	*s = (struct plugin_schema){
		.name = p->name,
		.version = p->version ? p->version : CONTRACT_VERSION,
		.priority = p->priority,
		.help = p->help,
		.fields = rows_of(a, p),
		.checks = p->checks,
	};
	plugin_schema_add(s);
}

/* ---- what is enabled ----------------------------------------------------------------- */

static const struct plugin *find_known(str name)
{
	for (size_t i = 0; i < table.n_known; i++) {
		if (str_is(name, table.known[i]->name))
			return table.known[i];
	}
	return NULL;
}

static bool is_enabled(const struct plugin *p)
{
	for (size_t i = 0; i < table.enabled.n; i++) {
		if (str_is(table.enabled.v[i], p->name))
			return true;
	}
	return false;
}

static void list_entities(void)
{
	size_t n = 0;

	memset(table.entities, 0, sizeof(table.entities));
	for (size_t i = 0; i < table.n_known; i++) {
		const struct entity *const *e = table.known[i]->entities;

		for (; is_enabled(table.known[i]) && e && *e; e++) {
			if (n == ENTITIES_OF_ALL)
				die("plugins bring more than %d entities", ENTITIES_OF_ALL);
			table.entities[n++] = *e;
		}
	}
}

static struct err *learn(const struct plugin *p)
{
	if (table.n_known == PLUGINS_OF_ALL)
		return FAIL(ERR_INVALID, "more than %d plugins", PLUGINS_OF_ALL);
	table.known[table.n_known++] = p;
	add(table.arena, p);
	return NULL;
}

static struct err *learn_built_in(void)
{
	for (size_t i = 0; plugins_built_in[i]; i++)
		PASS(learn(plugins_built_in[i]));
	return NULL;
}

/* Those that the settings name themselves, and not by "bundled", must be there. */
static struct err *learn_named(const struct settings *s)
{
	for (size_t i = 0; i < s->plugins.n; i++) {
		str name = s->plugins.v[i];
		const struct plugin *p;

		if (str_is(name, "bundled") || str_is(name, "off") || find_known(name))
			continue;
		TRY(plugin_object_load(table.arena, s->plugin_path, name, &p), "plugin " STRF,
		    STRV(name));
		if (!p)
			return err_hint(
				FAIL(ERR_INVALID, STRF " plugin is enabled but not installed",
				     STRV(name)),
				"Take it out of the property plugins, or put " STRF
				".so into a folder of plugin_path (" STRF ").",
				STRV(name), STRV(str_join(table.arena, s->plugin_path, STR(", "))));
		PASS(learn(p));
	}
	return NULL;
}

struct err *plugins_enable(const struct settings *s)
{
	if (!table.arena) {
		table.arena = arena_new();
		PASS(learn_built_in());
	}
	PASS(learn_named(s));
	table.enabled = (strs){ NEWS(table.arena, str, s->loaded_plugins.n), s->loaded_plugins.n };
	for (size_t i = 0; i < s->loaded_plugins.n; i++)
		table.enabled.v[i] = str_copy(table.arena, s->loaded_plugins.v[i]);
	plugin_schemas_enable(table.enabled);
	list_entities();
	table.has_database = s->database_kind != DATABASE_OFF && s->role_kind == ROLE_TRADITIONAL;
	table.zones = (struct setting_zones){ NEWS(table.arena, struct setting_zone, s->zones.n),
					      s->zones.n };
	for (size_t i = 0; i < s->zones.n; i++)
		table.zones.v[i] = (struct setting_zone){ str_copy(table.arena, s->zones.v[i].name),
							  s->zones.v[i].bytes };
	secrets_enable(table.arena, s);
	return NULL;
}

const struct plugin *plugin_find(str name)
{
	const struct plugin *p = find_known(name);

	return p && is_enabled(p) ? p : NULL;
}

const struct plugin *plugin_at(size_t i)
{
	for (size_t k = 0; k < table.n_known; k++) {
		if (is_enabled(table.known[k]) && i-- == 0)
			return table.known[k];
	}
	return NULL;
}

const struct entity *const *plugins_entities(void)
{
	return table.entities;
}

/* ---- for plugins ------------------------------------------------------------------------ */

void plugins_check_policy(struct arena *a, const struct value *record, struct value *errors)
{
	const struct value *policy = value_get(value_get(record, "config"), "policy");

	if (policy && policy->kind == VALUE_STRING && str_is(policy->s, "cluster") &&
	    !table.has_database)
		schema_error_at(a, errors, "config.policy", "expected one of: local, redis");
}

size_t node_zone_bytes(str name)
{
	for (size_t i = 0; i < table.zones.n; i++) {
		if (str_eq(table.zones.v[i].name, name))
			return (size_t)table.zones.v[i].bytes;
	}
	return 0;
}

/* ---- life ------------------------------------------------------------------------------- */

const struct plugin_node *plugin_node(void)
{
	return &table.node;
}

void plugins_ask(const struct plugin_node_hooks *hooks)
{
	table.hooks = hooks;
}

struct node_figures node_figures(void)
{
	struct node_figures ret = { .is_database_reachable = true };

	if (table.hooks)
		table.hooks->figures(table.hooks->arg, &ret);
	return ret;
}

struct value *node_targets(struct arena *a)
{
	return table.hooks ? table.hooks->targets(table.hooks->arg, a) : value_object(a);
}

size_t node_zones(struct node_zone ret[NODE_ZONES])
{
	return table.hooks ? table.hooks->zones(table.hooks->arg, ret) : 0;
}

bool node_uses_plugin(const char *name)
{
	return table.hooks && table.hooks->uses(table.hooks->arg, name);
}

struct value *node_plugins(struct arena *a, const char *name)
{
	return table.hooks ? table.hooks->plugins(table.hooks->arg, a, name) : value_array(a);
}

struct err *node_tell(const char *channel, str data)
{
	if (!table.hooks || !table.hooks->tell)
		return NULL;
	return table.hooks->tell(table.hooks->arg, channel, data);
}

strs plugins_channels(void)
{
	static str names[CHANNELS_OF_ALL];
	const struct plugin *p;
	size_t n = 0;

	for (size_t i = 0; (p = plugin_at(i)); i++) {
		for (const struct plugin_channel *c = p->channels; c && c->name; c++) {
			if (n == CHANNELS_OF_ALL)
				die("plugins listen to more than %d channels", CHANNELS_OF_ALL);
			names[n++] = str_of(c->name);
		}
	}
	return (strs){ names, n };
}

void plugins_hear(str channel, str data)
{
	const struct plugin *p;

	for (size_t i = 0; (p = plugin_at(i)); i++) {
		for (const struct plugin_channel *c = p->channels; c && c->name; c++) {
			if (str_is(channel, c->name))
				c->heard(data);
		}
	}
}

/* ---- what pages answer -------------------------------------------------------------------- */

void page_answer(struct page_call *c, int status)
{
	c->status = status;
	c->type = c->body = STR("");
}

void page_answer_value(struct page_call *c, int status, const struct value *v)
{
	c->status = status;
	c->type = STR("application/json; charset=utf-8");
	c->body = json_text(c->a, v, JSON_COMPACT);
}

void page_answer_message(struct page_call *c, int status, const char *format, ...)
{
	struct value *v = value_object(c->a);
	va_list args;

	va_start(args, format);
	value_set(c->a, v, STR("message"), value_str(c->a, str_vfmt(c->a, format, args)));
	va_end(args);
	page_answer_value(c, status, v);
}

/* ---- start and stop ------------------------------------------------------------------------ */

void plugins_start(const struct plugin_node *node)
{
	const struct plugin *p;

	table.node = *node;
	for (size_t i = 0; (p = plugin_at(i)); i++) {
		if (p->start)
			p->start(&table.node);
	}
	table.is_started = true;
}

void plugins_stop(void)
{
	const struct plugin *p;

	for (size_t i = 0; table.is_started && (p = plugin_at(i)); i++) {
		if (p->stop)
			p->stop();
	}
	table.is_started = false;
}
