/* SPDX-License-Identifier: Apache-2.0 */
/* The table of all rows, group by group, and how a row's JSON reads as text of
 * kong.conf.  Rows are ours, so a malformed one ends the program. */
#include "base/vec.h"
#include "settings/priv.h"

const struct settings_group *const settings_groups[] = {
	&settings_general,
	&settings_listeners_and_proxying,
	&settings_injected_nginx_directives,
	&settings_datastore,
	&settings_datastore_cache,
	&settings_dns,
	&settings_tuning,
	&settings_miscellaneous,
	&settings_hybrid_mode,
	&settings_general_more,
	&settings_rbac,
	&settings_kong_manager,
	&settings_vitals,
	&settings_dev_portal,
	&settings_dev_portal_e_mails,
	&settings_smtp,
	&settings_audit_log,
	&settings_granular_tracing,
	&settings_route_collision,
	&settings_keyring,
	NULL,
};

/* The JSON string that begins at text[*at], unescaped; *at is behind it afterwards. */
static str take_string(struct arena *a, str text, size_t *at)
{
	char *out = arena_bytes(a, text.n);
	size_t n = 0, i = *at + 1;

	for (; i < text.n && text.s[i] != '"'; i++) {
		if (text.s[i] == '\\')
			i++;
		if (i == text.n)
			die("settings: default without an end: " STRF, STRV(text));
		out[n++] = text.s[i];
	}
	*at = i + 1;
	return str_at(out, n);
}

/* All JSON strings of a text, whatever is between them. */
static strs strings_of(struct arena *a, const char *json)
{
	struct {
		str *v;
		size_t n, cap;
	} list = { 0 };
	str text = str_of(json);

	for (size_t i = 0; i < text.n;) {
		if (text.s[i] == '"')
			*vec_add(a, &list) = take_string(a, text, &i);
		else
			i++;
	}
	return (strs){ list.v, list.n };
}

str row_default(struct arena *a, const struct field *row)
{
	if (!row->def)
		return STR_NONE;
	switch (row->kind) {
	case FIELD_STRING:
		return strings_of(a, row->def).v[0];
	case FIELD_ARRAY:
		return str_join(a, strings_of(a, row->def), STR(", "));
	case FIELD_BOOLEAN:
		return strcmp(row->def, "true") == 0 ? STR("on") : STR("off");
	default:
		return str_of(row->def);
	}
}

strs row_choices(struct arena *a, const struct field *row)
{
	return row->one_of ? strings_of(a, row->one_of) : (strs){ 0 };
}
