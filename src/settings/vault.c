/* SPDX-License-Identifier: Apache-2.0 */
/* References to secrets in the environment: {vault://VAULT/NAME/KEY?prefix=P}.
 *
 * The variable is P NAME in capitals, '-' read as '_'; a version of 2 (#2) asks for
 * the previous value, NAME_PREVIOUS.  KEY picks a member of a JSON object.  The
 * texts are Kong's. */
#include "base/json.h"
#include "settings/priv.h"

struct reference {
	str whole;
	str vault, resource, key, prefix;
	bool is_previous;
};

bool is_vault_reference(str text)
{
	return str_starts(text, STR("{vault://")) && str_ends(text, STR("}"));
}

static str unescape(struct arena *a, str text)
{
	char *out = arena_bytes(a, text.n);
	size_t n = 0;

	for (size_t i = 0; i < text.n; i++) {
		int high, low;

		if (text.s[i] == '%' && i + 2 < text.n) {
			high = ascii_hex(text.s[i + 1]);
			low = ascii_hex(text.s[i + 2]);
			if (high >= 0 && low >= 0) {
				out[n++] = (char)(high << 4 | low);
				i += 2;
				continue;
			}
		}
		out[n++] = text.s[i];
	}
	return str_at(out, n);
}

/* Cuts text at the first c: what is behind it is *ret_rest, unset without c. */
static str cut(str text, char c, str *ret_rest)
{
	ptrdiff_t at = str_find(text, c, 0);

	*ret_rest = at < 0 ? STR_NONE : str_from(text, (size_t)at + 1);
	return at < 0 ? text : str_part(text, 0, (size_t)at);
}

static void take_query(struct arena *a, str query, struct reference *r)
{
	str piece, value;

	while (str_next(&query, '&', &piece)) {
		str name = cut(piece, '=', &value);

		if (str_is(name, "prefix") && value.s)
			r->prefix = unescape(a, value);
	}
}

static struct err *parse(struct arena *a, str text, struct reference *ret)
{
	struct reference r = { .whole = text };
	str rest, fragment, query, path;
	ptrdiff_t slash;

	rest = str_part(text, strlen("{vault://"), text.n - 1);
	rest = cut(rest, '#', &fragment);
	rest = cut(rest, '?', &query);
	r.vault = cut(rest, '/', &path);
	if (r.vault.n == 0)
		return FAIL(ERR_INVALID, "reference url is missing host [" STRF "]", STRV(text));
	if (!path.s)
		return FAIL(ERR_INVALID, "reference url is missing path [" STRF "]", STRV(text));
	if (path.n == 0)
		return FAIL(ERR_INVALID, "reference url has empty path [" STRF "]", STRV(text));
	if (fragment.s) {
		int64_t version;

		if (!str_to_int(fragment, &version))
			return FAIL(ERR_INVALID, "reference url has invalid version [" STRF "]",
				    STRV(text));
		r.is_previous = version == 2;
	}
	slash = str_find_last(path, '/');
	r.resource = unescape(a, slash < 0 ? path : str_part(path, 0, (size_t)slash));
	r.key = slash < 0 ? STR_NONE : unescape(a, str_from(path, (size_t)slash + 1));
	if (r.resource.n == 0)
		return FAIL(ERR_INVALID, "reference url has invalid path [" STRF "]", STRV(text));
	if (query.s)
		take_query(a, query, &r);
	*ret = r;
	return NULL;
}

static str variable_name(struct arena *a, const struct reference *r, str default_prefix)
{
	str prefix = r->prefix.s ? r->prefix : default_prefix;
	str name = str_upper(a, str_cat(a, prefix, r->resource));
	char *bytes = arena_copy(a, name.s, name.n);

	for (size_t i = 0; i < name.n; i++)
		bytes[i] = bytes[i] == '-' ? '_' : bytes[i];
	name = str_at(bytes, name.n);
	return r->is_previous ? str_cat(a, name, STR("_PREVIOUS")) : name;
}

static str env_find(char *const *environ_, str name)
{
	for (; environ_ && *environ_; environ_++) {
		str pair = str_of(*environ_);

		if (pair.n > name.n && pair.s[name.n] == '=' &&
		    str_eq(str_part(pair, 0, name.n), name))
			return str_from(pair, name.n + 1);
	}
	return STR_NONE;
}

static const char *const kind_names[] = {
	[VALUE_NULL] = "userdata", [VALUE_BOOL] = "boolean",  [VALUE_INT] = "number",
	[VALUE_REAL] = "number",   [VALUE_STRING] = "string", [VALUE_ARRAY] = "table",
	[VALUE_OBJECT] = "table",
};

/* The member `key` of a secret that is a JSON object. */
static struct err *pick_key(struct arena *a, const struct reference *r, str secret, str *ret)
{
	struct value *json, *v;
	struct err *e = json_parse(a, secret, &json);

	if (e)
		return FAIL(ERR_INVALID,
			    "unable to json decode value (" STRF ") received from vault (" STRF
			    "): not a JSON text [" STRF "]",
			    STRV(r->resource), STRV(r->vault), STRV(r->whole));
	if (json->kind != VALUE_OBJECT && json->kind != VALUE_ARRAY)
		return FAIL(ERR_INVALID,
			    "unable to json decode value (" STRF ") received from vault (" STRF
			    "): invalid type (%s), table expected [" STRF "]",
			    STRV(r->resource), STRV(r->vault), kind_names[json->kind],
			    STRV(r->whole));
	v = value_get_str(json, r->key);
	if (!v)
		return FAIL(ERR_NOT_FOUND,
			    "vault (" STRF ") did not return value for resource '" STRF
			    "' with a key of '" STRF "' [" STRF "]",
			    STRV(r->vault), STRV(r->resource), STRV(r->key), STRV(r->whole));
	if (v->kind != VALUE_STRING)
		return FAIL(ERR_INVALID,
			    "invalid value received from vault (" STRF ") for resource '" STRF
			    "' with a key of '" STRF "': invalid type (%s), string expected [" STRF
			    "]",
			    STRV(r->vault), STRV(r->resource), STRV(r->key), kind_names[v->kind],
			    STRV(r->whole));
	*ret = str_copy(a, v->s);
	return NULL;
}

struct err *vault_reference_resolve(struct arena *a, str reference, char *const *environ_,
				    const struct env_vault *vaults, size_t n_vaults, str *ret)
{
	const struct env_vault *vault = vaults, *end = vaults + n_vaults;
	struct reference r;
	str secret;

	if (!is_vault_reference(reference))
		return FAIL(ERR_INVALID, "not a reference [" STRF "]", STRV(reference));
	PASS(parse(a, reference, &r));
	while (vault < end && !str_eq(vault->name, r.vault))
		vault++;
	if (vault == end)
		return FAIL(ERR_NOT_FOUND, "vault not found (" STRF ") [" STRF "]", STRV(r.vault),
			    STRV(reference));
	secret = env_find(environ_, variable_name(a, &r, vault->prefix));
	if (!secret.s)
		return FAIL(ERR_NOT_FOUND,
			    "unable to load value (" STRF ") from vault (" STRF
			    "): not found [" STRF "]",
			    STRV(r.resource), STRV(r.vault), STRV(reference));
	if (r.key.n > 0)
		return pick_key(a, &r, secret, ret);
	*ret = str_copy(a, secret);
	return NULL;
}
