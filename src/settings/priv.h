/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of settings share: the groups of rows, a property with its
 * story, and the state of one loading.
 *
 * A loading goes: rows' defaults and the sources become properties (load.c),
 * aliases and fan-outs are followed, references resolved, texts decoded into
 * members, and then the members are checked (check.c) and made into what the
 * program works with (derive.c, certs.c, nginx_directives.c). */
#pragma once

#include "base/map.h"
#include "settings/settings.h"

/* ---- rows ------------------------------------------------------------------------ */

struct settings_group {
	const char *heading;
	const struct field *rows;
	bool is_enterprise;
};

extern const struct settings_group settings_general, settings_general_more, settings_hybrid_mode,
	settings_listeners_and_proxying, settings_injected_nginx_directives, settings_datastore,
	settings_datastore_cache, settings_dns, settings_tuning, settings_miscellaneous,
	settings_rbac, settings_kong_manager, settings_smtp, settings_audit_log,
	settings_dev_portal, settings_dev_portal_e_mails, settings_vitals,
	settings_granular_tracing, settings_route_collision, settings_keyring;

extern const struct settings_group *const settings_groups[]; /* up to NULL, in the sample's order */

#define row_for_each(group, row)                                                                   \
	for (const struct field *row = (group)->rows; row->kind != FIELD_END_; row++)

/* The feature that is not there yet, for .later of rows. */
#define LATER_HYBRID           "hybrid mode"
#define LATER_PLUGINSERVER     "plugin servers"
#define LATER_FORWARD_PROXY    "forward proxies"
#define LATER_DEBUG            "Debug API"
#define LATER_MANAGER          "Manager"
#define LATER_QUEUES           "queues of plugins"
#define LATER_FIPS             "FIPS mode"
#define LATER_KONNECT          "Konnect"
#define LATER_EVENT_HOOKS      "event hooks"
#define LATER_KEYRING          "encryption at rest"
#define LATER_RBAC             "RBAC"
#define LATER_VITALS           "Vitals"
#define LATER_PORTAL           "Dev Portal"
#define LATER_MAIL             "mail"
#define LATER_AUDIT            "audit log"
#define LATER_GRANULAR_TRACING "granular tracing"
#define LATER_WORKSPACES       "workspaces"

/* A row's default as the text kong.conf would have; unset when it has none. */
str row_default(struct arena *a, const struct field *row);
/* The words of one_of. */
strs row_choices(struct arena *a, const struct field *row);

/* ---- properties ------------------------------------------------------------------- */

enum origin { ORIGIN_DEFAULT, ORIGIN_FILE, ORIGIN_ENV, ORIGIN_CLI };

struct property {
	str name;
	const struct field *row; /* NULL: a dynamic name */
	const struct settings_group *group;
	str text;      /* effective, references resolved; unset: s == NULL */
	str reference; /* the {vault://...} it came from, or unset */
	enum origin origin;
};

/* A property set by a source, or one that was derived (fan-out, suite). */
const struct property *settings_find(const struct settings *s, str name);

/* ---- one loading ------------------------------------------------------------------ */

struct loading {
	struct arena *a;
	struct settings *s;
	struct map by_name;
	struct {
		struct property **v;
		size_t n, cap;
	} all;
	struct err *first, *last;
	struct {
		str *v;
		size_t n, cap;
	} notes;
	char *const *environ_;
	bool is_running; /* .kong_env is read: references are resolved already */
};

void loading_add_defaults(struct loading *l);
/* A line of .kong_env, its source and its reference. */
void loading_add(struct loading *l, str name, str text);
void loading_set_origin(struct loading *l, str name, enum origin origin);
void loading_set_reference(struct loading *l, str name, str reference);
/* Everything behind the sources. */
MUST_CHECK struct err *loading_finish(struct loading *l, struct settings **ret);

void loading_fail(struct loading *l, struct err *e);
void loading_note(struct loading *l, const char *format, ...) PRINTF(2, 3);
struct property *loading_find(const struct loading *l, const char *name);
/* Sets a property's text and its member; origin of derived ones: the source's. */
void loading_put(struct loading *l, const char *name, str text);
/* Text into the member that the row names. */
void loading_decode(struct loading *l, const struct property *p);

#define BAD(l, property, ...)                                                                      \
	loading_fail((l), err_field(FAIL(ERR_INVALID, __VA_ARGS__), "%s", (property)))

/* The steps after the members are filled; errors and notes go into the loading. */
void check_members(struct loading *l);
void load_certificates(struct loading *l);
void load_pg_files(struct loading *l);
void apply_cipher_suite(struct loading *l);
void add_zone(struct loading *l, str name, int64_t bytes);
void apply_directives(struct loading *l);
void derive_members(struct loading *l);
/* "FILE [FORMAT]" or "off"; a relative file is below the prefix. */
void derive_log(struct loading *l, str text, struct setting_log *to);

/* Which nginx namespace a name belongs to, and the directive behind it; false for others. */
bool directive_split(str name, enum directive_space *ret_space, str *ret_directive);

/* A listener as GET / shows it: every flag the subsystem knows is true or false. */
struct value *listener_value(struct arena *a, const struct listener *l, enum subsystem subsystem);

/* ---- text of files ---------------------------------------------------------------- */

/* kong.conf: calls add for each "name = value", comments stripped. */
typedef void conf_line_fn(void *arg, str name, str value);
MUST_CHECK struct err *conf_parse(struct arena *a, const char *file, str text, conf_line_fn *add,
				  void *arg);
/* .kong_env: as kong.conf, and `name := "JSON string"` for texts that would not fit in a line. */
MUST_CHECK struct err *env_parse(struct arena *a, const char *file, str text, conf_line_fn *add,
				 void *arg);
MUST_CHECK struct err *file_read(struct arena *a, const char *path, size_t max, str *ret);
bool file_exists(struct arena *a, str path);
