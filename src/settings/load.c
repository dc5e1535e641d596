/* SPDX-License-Identifier: Apache-2.0 */
/* From the sources to a struct settings.
 *
 * Properties are collected by name, the later source winning; then aliases and
 * fan-outs are followed, references resolved, and texts decoded into members by
 * the rows.  What depends on several properties is done by check.c, certs.c,
 * nginx_directives.c and derive.c, in that order. */
#include "base/limits.h"
#include "base/vec.h"
#include "net/dns.h"
#include "settings/priv.h"
#include <math.h>
#include <stdlib.h>
#include <unistd.h>

/* ---- the loading ----------------------------------------------------------------- */

void loading_fail(struct loading *l, struct err *e)
{
	struct err *tail = e;

	while (tail->next)
		tail = tail->next;
	if (l->last)
		l->last->next = e;
	else
		l->first = e;
	l->last = tail;
}

void loading_note(struct loading *l, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	*vec_add(l->a, &l->notes) = str_vfmt(l->a, format, args);
	va_end(args);
}

static struct property *find(const struct loading *l, str name)
{
	return map_find(&l->by_name, name);
}

struct property *loading_find(const struct loading *l, const char *name)
{
	return find(l, str_of(name));
}

static struct property *add(struct loading *l, str name)
{
	struct property **slot = (struct property **)map_put(l->a, &l->by_name, name);

	if (!*slot) {
		*slot = NEW(l->a, struct property);
		(*slot)->name = name;
		*vec_add(l->a, &l->all) = *slot;
	}
	return *slot;
}

void loading_put(struct loading *l, const char *name, str text)
{
	struct property *p = add(l, str_of(name));

	p->text = text;
	if (p->row)
		loading_decode(l, p);
}

/* ---- sources --------------------------------------------------------------------- */

void loading_add_defaults(struct loading *l)
{
	for (const struct settings_group *const *g = settings_groups; *g; g++) {
		row_for_each(*g, row)
		{
			struct property *p = add(l, str_of(row->name));

			p->row = row;
			p->group = *g;
			p->text = row_default(l->a, row);
		}
	}
}

static const struct {
	str name, now;
} renamed[] = {
	/* clang-format off */
	{ STR_INIT("custom_plugins"),                     STR_INIT("plugins") },
	{ STR_INIT("cassandra_consistency"),              STR_INIT("a supported database") },
	{ STR_INIT("client_max_body_size"),               STR_INIT("nginx_http_client_max_body_size") },
	{ STR_INIT("nginx_http_upstream_keepalive"),      STR_INIT("upstream_keepalive_pool_size") },
	{ STR_INIT("nginx_upstream_keepalive"),           STR_INIT("upstream_keepalive_pool_size") },
	{ STR_INIT("nginx_upstream_keepalive_requests"),  STR_INIT("upstream_keepalive_max_requests") },
	{ STR_INIT("nginx_upstream_keepalive_timeout"),   STR_INIT("upstream_keepalive_idle_timeout") },
	{ STR_INIT("router_update_frequency"),            STR_INIT("worker_state_update_frequency") },
	{ STR_INIT("upstream_keepalive"),                 STR_INIT("upstream_keepalive_pool_size") },
	/* clang-format on */
};

static void note_renamed(struct loading *l, str name)
{
	for (size_t i = 0; i < COUNT(renamed); i++) {
		if (str_eq(renamed[i].name, name))
			loading_note(l, STRF ": is no longer a property, use " STRF, STRV(name),
				     STRV(renamed[i].now));
	}
}

/* A name that no row has but that is accepted all the same. */
static bool is_dynamic(str name)
{
	enum directive_space space;
	str directive;

	return directive_split(name, &space, &directive) ||
	       (str_starts(name, STR("pluginserver_")) && name.n > strlen("pluginserver_")) ||
	       (str_starts(name, STR("vault_")) && name.n > strlen("vault_"));
}

static void set(struct loading *l, str name, str text, enum origin origin)
{
	struct property *p = find(l, name);

	if (!p) {
		note_renamed(l, name);
		if (!is_dynamic(name)) {
			if (origin == ORIGIN_FILE)
				loading_note(l, STRF ": is not a property, ignored", STRV(name));
			return;
		}
		p = add(l, str_copy(l->a, name));
	}
	text = str_trim(text);
	p->text = text.n ? str_copy(l->a, text) : STR_NONE;
	p->origin = origin;
}

void loading_add(struct loading *l, str name, str text)
{
	add(l, name)->text = text.n ? text : STR_NONE;
}

void loading_set_origin(struct loading *l, str name, enum origin origin)
{
	struct property *p = find(l, name);

	if (p)
		p->origin = origin;
}

void loading_set_reference(struct loading *l, str name, str reference)
{
	struct property *p = find(l, name);

	if (p)
		p->reference = reference;
}

static void set_from_file(void *arg, str name, str value)
{
	set(arg, name, value, ORIGIN_FILE);
}

static void add_environment(struct loading *l)
{
	for (char *const *p = l->environ_; p && *p; p++) {
		str pair = str_of(*p);
		ptrdiff_t at = str_find(pair, '=', 0);

		if (at <= 0 || !str_starts(pair, STR("KONG_")))
			continue;
		set(l, str_lower(l->a, str_part(pair, strlen("KONG_"), (size_t)at)),
		    str_from(pair, (size_t)at + 1), ORIGIN_ENV);
	}
}

static const char *const default_search[] = { "/etc/kong/kong.conf", "/etc/kong.conf", NULL };

static struct err *add_file(struct loading *l, const struct settings_sources *src)
{
	str file = src->file, text;
	const char *path;

	if (src->text.s)
		return conf_parse(l->a, "kong.conf", src->text, set_from_file, l);
	if (file.s && !file_exists(l->a, file))
		return FAIL(ERR_NOT_FOUND, "no file at: " STRF, STRV(file));
	for (const char *const *p = src->search ? src->search : default_search; !file.s && *p;
	     p++) {
		if (file_exists(l->a, str_of(*p)))
			file = str_of(*p);
	}
	if (!file.s)
		return NULL;
	path = str_z(l->a, file);
	l->s->conf_file = path_absolute(l->a, file);
	TRY(file_read(l->a, path, LIMIT_CONF_FILE, &text), "could not load config file");
	return conf_parse(l->a, path, text, set_from_file, l);
}

/* What a running gateway got from its environment and command line, for a reload
 * from another shell. Its declarative configuration is named anew or not at all. */
static void add_running(struct loading *l, const struct settings *running)
{
	for (size_t i = 0; running && i < running->n_properties; i++) {
		const struct property *p = &running->properties[i];

		if (p->origin >= ORIGIN_ENV && !str_starts(p->name, STR("declarative_config")))
			set(l, p->name, p->reference.s ? p->reference : p->text, p->origin);
	}
}

/* ---- one property fills another ---------------------------------------------------- */

/* Booleans are written on and off where they become nginx's. */
static str plain_text(const struct property *p)
{
	if (p->row && p->row->kind == FIELD_BOOLEAN && p->text.s)
		return str_is(p->text, "on") || str_is(p->text, "true") ? STR("on") : STR("off");
	return p->text;
}

static void follow_aliases(struct loading *l)
{
	for (size_t i = 0; i < l->all.n; i++) {
		const struct property *p = l->all.v[i];
		struct property *to;

		if (!p->row || !p->row->alias_of || p->origin == ORIGIN_DEFAULT || !p->text.s)
			continue;
		to = loading_find(l, p->row->alias_of);
		if (to->origin == ORIGIN_DEFAULT) {
			to->text = plain_text(p);
			to->origin = p->origin;
		}
	}
}

/* clang-format off */
static const struct {
	const char *from, *to[2];
} fan_outs[] = {
	{ "ssl_protocols",             { "nginx_http_ssl_protocols",             "nginx_stream_ssl_protocols" } },
	{ "ssl_prefer_server_ciphers", { "nginx_http_ssl_prefer_server_ciphers", "nginx_stream_ssl_prefer_server_ciphers" } },
	{ "ssl_dhparam",               { "nginx_http_ssl_dhparam",               "nginx_stream_ssl_dhparam" } },
	{ "ssl_session_tickets",       { "nginx_http_ssl_session_tickets",       "nginx_stream_ssl_session_tickets" } },
	{ "ssl_session_timeout",       { "nginx_http_ssl_session_timeout",       "nginx_stream_ssl_session_timeout" } },
	{ "lua_ssl_protocols",         { "nginx_http_lua_ssl_protocols",         "nginx_stream_lua_ssl_protocols" } },
};
/* clang-format on */

static void follow_fan_outs(struct loading *l)
{
	for (size_t i = 0; i < COUNT(fan_outs); i++) {
		const struct property *from = loading_find(l, fan_outs[i].from);

		for (size_t j = 0; j < COUNT(fan_outs[i].to); j++) {
			struct property *to = add(l, str_of(fan_outs[i].to[j]));

			if (to->origin == ORIGIN_DEFAULT && from->text.s) {
				to->text = plain_text(from);
				to->origin = from->origin;
			}
		}
	}
}

static void follow_inheritance(struct loading *l)
{
	for (size_t i = 0; i < l->all.n; i++) {
		struct property *p = l->all.v[i];

		if (!p->row || !p->row->inherits || p->text.s)
			continue;
		p->text = loading_find(l, p->row->inherits)->text;
		loading_decode(l, p);
	}
}

/* Numbers, choices and the prefix that are set to nothing have their default. */
static void restore_defaults(struct loading *l)
{
	for (size_t i = 0; i < l->all.n; i++) {
		struct property *p = l->all.v[i];

		if (!p->row || p->text.s)
			continue;
		if (p->row->kind == FIELD_INTEGER || p->row->kind == FIELD_NUMBER ||
		    p->row->one_of || str_is(p->name, "prefix"))
			p->text = row_default(l->a, p->row);
	}
}

static void resolve_references(struct loading *l)
{
	const struct property *prefix = loading_find(l, "vault_env_prefix");
	const struct env_vault env = { STR("env"), prefix ? prefix->text : STR_NONE };

	for (size_t i = 0; i < l->all.n; i++) {
		struct property *p = l->all.v[i];
		struct err *e;
		str secret;

		if (!is_vault_reference(p->text))
			continue;
		e = vault_reference_resolve(l->a, p->text, l->environ_, &env, 1, &secret);
		if (e) {
			BAD(l, str_z(l->a, p->name),
			    "failed to dereference '" STRF "': %s for config option '" STRF "'",
			    STRV(p->text), err_root(e)->text, STRV(p->name));
			continue;
		}
		p->reference = p->text;
		p->text = secret;
	}
}

/* ---- decoding ---------------------------------------------------------------------- */

#define MEMBER(l, row, T) ((T *)((char *)(l)->s + (row)->offset))

static void decode_string(struct loading *l, const struct property *p)
{
	const struct field *row = p->row;
	strs choices = row_choices(l->a, row);
	bool found = choices.n == 0;

	*MEMBER(l, row, str) = p->text;
	if (!p->text.s)
		return;
	for (size_t i = 0; i < choices.n; i++)
		found |= str_eq(choices.v[i], p->text);
	if (!found)
		BAD(l, row->name, "%s has an invalid value: '" STRF "' (" STRF ")", row->name,
		    STRV(p->text), STRV(str_join(l->a, choices, STR(", "))));
}

static void decode_number(struct loading *l, const struct property *p)
{
	const struct field *row = p->row;
	double n = NAN;

	if (p->text.s && !str_to_num(p->text, &n)) {
		BAD(l, row->name, "%s is not a number: '" STRF "'", row->name, STRV(p->text));
		return;
	}
	if (row->kind == FIELD_NUMBER) {
		*MEMBER(l, row, double) = n;
		return;
	}
	if (p->text.s && (n < -9e15 || n > 9e15)) {
		BAD(l, row->name, "%s is out of range: '" STRF "'", row->name, STRV(p->text));
		return;
	}
	if (p->text.s && n != floor(n)) {
		BAD(l, row->name, "%s must be an integer greater than 0", row->name);
		return;
	}
	*MEMBER(l, row, int64_t) = p->text.s ? (int64_t)n : FIELD_UNSET_INT;
}

static void decode_boolean(struct loading *l, const struct property *p)
{
	bool is_on = str_is(p->text, "on") || str_is(p->text, "true");

	if (p->text.s && !is_on && !str_is(p->text, "off") && !str_is(p->text, "false"))
		loading_note(l, "%s: '" STRF "' is neither on nor off and means off", p->row->name,
			     STRV(p->text));
	*MEMBER(l, p->row, bool) = is_on;
}

void loading_decode(struct loading *l, const struct property *p)
{
	switch (p->row->kind) {
	case FIELD_STRING:
		decode_string(l, p);
		break;
	case FIELD_INTEGER:
	case FIELD_NUMBER:
		decode_number(l, p);
		break;
	case FIELD_BOOLEAN:
		decode_boolean(l, p);
		break;
	default:
		*MEMBER(l, p->row, strs) = str_split(l->a, p->text, ',');
		break;
	}
}

/* ---- notes -------------------------------------------------------------------------- */

static bool is_default(struct loading *l, const struct property *p)
{
	str def = row_default(l->a, p->row);

	return p->origin == ORIGIN_DEFAULT || (!p->text.s && !def.s) || str_eq(p->text, def);
}

static void note_row(struct loading *l, const struct property *p)
{
	const char *name = p->row->name;

	if (p->row->later)
		loading_note(l, "%s: kept without effect, this version has no %s yet", name,
			     p->row->later);
	if (p->row->alias_of && !str_starts(str_of(p->row->alias_of), STR("nginx_")))
		loading_note(l, "the '%s' configuration property is deprecated, use '%s' instead",
			     name, p->row->alias_of);
	if (str_is(p->name, "worker_consistency") && str_is(p->text, "strict"))
		loading_note(l, "the configuration value 'strict' for configuration property "
				"'worker_consistency' is deprecated");
	if (str_is(p->name, "client_body_buffer_size"))
		loading_note(l, "client_body_buffer_size: has no effect, use "
				"nginx_http_client_body_buffer_size");
	if (str_starts(p->name, STR("cassandra_")))
		loading_note(l, "%s: has no effect: Cassandra is not supported", name);
}

static void note_properties(struct loading *l)
{
	for (size_t i = 0; i < l->all.n; i++) {
		if (l->all.v[i]->row && !is_default(l, l->all.v[i]))
			note_row(l, l->all.v[i]);
	}
}

/* ---- the whole ---------------------------------------------------------------------- */

static int by_name(const void *a, const void *b)
{
	return str_cmp(((const struct property *)a)->name, ((const struct property *)b)->name);
}

static void keep_properties(struct loading *l)
{
	struct property *list = NEWS(l->a, struct property, l->all.n);

	for (size_t i = 0; i < l->all.n; i++)
		list[i] = *l->all.v[i];
	qsort(list, l->all.n, sizeof(*list), by_name);
	l->s->properties = list;
	l->s->n_properties = l->all.n;
	l->s->notes = (strs){ l->notes.v, l->notes.n };
}

/* database = cassandra deserves its own words, and none set its own rule. */
static void choose_database(struct loading *l)
{
	struct property *p = loading_find(l, "database");
	bool has_pg = false;

	if (str_is(p->text, "cassandra")) {
		loading_fail(l, err_hint(err_field(FAIL(ERR_INVALID,
							"database = cassandra is not supported "
							"(postgres, sqlite, off)"),
						   "database"),
					 "Move to PostgreSQL with kong config db_export and "
					 "db_import, then set database = postgres."));
		p->text = STR_NONE;
	}
	if (p->text.s)
		return;
	for (size_t i = 0; i < l->all.n; i++)
		has_pg |= str_starts(l->all.v[i]->name, STR("pg_")) &&
			  l->all.v[i]->origin != ORIGIN_DEFAULT;
	p->text = has_pg ? STR("postgres") : STR("sqlite");
}

struct err *loading_finish(struct loading *l, struct settings **ret)
{
	follow_aliases(l);
	follow_fan_outs(l);
	choose_database(l);
	if (!l->is_running)
		resolve_references(l);
	if (l->first)
		return l->first;
	restore_defaults(l);
	for (size_t i = 0; i < l->all.n; i++) {
		if (l->all.v[i]->row)
			loading_decode(l, l->all.v[i]);
	}
	if (l->first)
		return l->first;
	follow_inheritance(l); /* of good values, so that a mistake is told once */
	note_properties(l);
	apply_cipher_suite(l);
	check_members(l);
	derive_members(l);
	if (!l->first)
		load_certificates(l);
	if (!l->first)
		load_pg_files(l);
	if (l->first)
		return l->first;
	keep_properties(l);
	*ret = l->s;
	return NULL;
}

struct err *settings_load(struct arena *a, const struct settings_sources *src,
			  struct settings **ret)
{
	struct loading l = { .a = a, .s = NEW(a, struct settings), .environ_ = src->environ_ };

	loading_add_defaults(&l);
	add_running(&l, src->running);
	PASS(add_file(&l, src));
	add_environment(&l);
	for (size_t i = 0; i < src->overrides.n; i++)
		set(&l, src->overrides.v[i].name, src->overrides.v[i].value, ORIGIN_CLI);
	return loading_finish(&l, ret);
}

const struct property *settings_find(const struct settings *s, str name)
{
	struct property key = { .name = name };

	return bsearch(&key, s->properties, s->n_properties, sizeof(key), by_name);
}

str settings_get(const struct settings *s, str name)
{
	const struct property *p = settings_find(s, name);

	return p ? p->text : STR_NONE;
}

struct err *settings_get_fresh(struct arena *a, const struct settings *s, str name, str *ret)
{
	const struct property *p = settings_find(s, name);

	if (p && !p->reference.s && p->origin == ORIGIN_DEFAULT && p->row && p->row->inherits)
		p = settings_find(s, str_of(p->row->inherits));
	if (p && p->reference.s)
		return vault_reference_resolve(
			a, p->reference, environ,
			&(struct env_vault){ STR("env"), settings_get(s, STR("vault_env_prefix")) },
			1, ret);
	*ret = p ? p->text : STR_NONE;
	return NULL;
}

uint16_t settings_outside_port(const struct settings *s, uint16_t port)
{
	for (size_t i = 0; i < s->outside_ports.n; i++) {
		if (s->outside_ports.v[i].inside == port)
			return s->outside_ports.v[i].outside;
	}
	return port;
}

void settings_dns_options(const struct settings *s, struct dns_options *ret)
{
	*ret = (struct dns_options){
		.resolvers = s->dns_resolver,
		.hostsfile = s->dns_hostsfile,
		.order = s->dns_order,
		.valid_ttl_s = s->dns_valid_ttl >= 0 ? (int64_t)s->dns_valid_ttl : -1,
		.stale_ttl_s = (int64_t)s->dns_stale_ttl,
		.not_found_ttl_s = (int64_t)s->dns_not_found_ttl,
		.error_ttl_s = (int64_t)s->dns_error_ttl,
		.cache_size = s->dns_cache_size,
		.no_sync = s->dns_no_sync,
	};
}

bool settings_is_set(const struct settings *s, str name)
{
	const struct property *p = settings_find(s, name);

	return p && p->origin != ORIGIN_DEFAULT;
}

str settings_path(struct arena *a, const struct settings *s, const char *below)
{
	return str_fmt(a, STRF "/%s", STRV(s->prefix), below);
}

/* Sets a list property of a finished struct settings to texts. */
static void replace_list(struct arena *a, struct settings *s, const char *name, strs list)
{
	struct property key = { .name = str_of(name) };
	struct property *all = arena_copy(a, s->properties, s->n_properties * sizeof(*all));
	struct property *p = bsearch(&key, all, s->n_properties, sizeof(key), by_name);

	p->text = str_join(a, list, STR(","));
	*(strs *)((char *)s + p->row->offset) = list;
	s->properties = all;
}

void settings_give_certs(struct arena *a, struct settings *s, const char *prefix,
			 struct setting_certs certs)
{
	strs cert = { NEWS(a, str, certs.n), certs.n }, key = { NEWS(a, str, certs.n), certs.n };

	for (size_t i = 0; i < certs.n; i++) {
		cert.v[i] = certs.v[i].cert_path;
		key.v[i] = certs.v[i].key_path;
	}
	replace_list(a, s, str_fmt(a, "%sssl_cert", prefix).s, cert);
	replace_list(a, s, str_fmt(a, "%sssl_cert_key", prefix).s, key);
	if (prefix[0] == '\0')
		s->ssl_certs = certs;
	else if (strcmp(prefix, "admin_") == 0)
		s->admin_ssl_certs = certs;
	else
		s->status_ssl_certs = certs;
}
