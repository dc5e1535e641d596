/* SPDX-License-Identifier: Apache-2.0 */
/* Formats 1.1 and 2.1: paths that look like regular expressions become them.
 *
 * Before 3.0 any path with a character that plain paths do not need was a regular
 * expression; now those begin with a tilde.  Plain ones are normalised, because
 * they are compared as they are now. */
#include "base/buf.h"
#include "base/uri.h"
#include "store/priv.h"

/* Not decoded in a regular expression: RFC 3986's reserved characters and '%'. */
#define RESERVED "!#$%&'()*+,/:;=?@[]"
/* Decoded, but with a backslash. */
#define META ".^-{}\\|"

static bool is_plain(str path)
{
	for (size_t i = 0; i < path.n; i++) {
		if (!ascii_is_alnum(path.s[i]) && (!path.s[i] || !strchr(".-_~/%", path.s[i])))
			return false;
	}
	return true;
}

static void add_decoded(struct buf *out, str escape, char c)
{
	if (c && strchr(RESERVED, c)) {
		buf_addf(out, "%%%c%c", escape.s[1] & ~(ascii_is_alpha(escape.s[1]) ? 0x20 : 0),
			 escape.s[2] & ~(ascii_is_alpha(escape.s[2]) ? 0x20 : 0));
		return;
	}
	if (c && strchr(META, c))
		buf_add_char(out, '\\');
	buf_add_char(out, c);
}

static str regex_of(struct arena *a, str path)
{
	struct buf out CLEANUP(buf_done);

	buf_init(&out, 2 * path.n + 2);
	buf_add_char(&out, '~');
	for (size_t i = 0; i < path.n; i++) {
		str escape = str_part(path, i, i + 3);

		if (path.s[i] != '%' || escape.n < 3 || ascii_hex(escape.s[1]) < 0 ||
		    ascii_hex(escape.s[2]) < 0) {
			buf_add_char(&out, path.s[i]);
			continue;
		}
		add_decoded(&out, escape,
			    (char)(ascii_hex(escape.s[1]) << 4 | ascii_hex(escape.s[2])));
		i += 2;
	}
	return str_copy(a, buf_str(&out));
}

static void migrate_path(struct arena *a, struct value *path)
{
	str normal;

	if (path->kind != VALUE_STRING)
		return;
	if (!is_plain(path->s))
		path->s = regex_of(a, path->s);
	else if (uri_normalise(a, path->s, &normal))
		path->s = normal;
}

static void migrate_routes(struct arena *a, struct value *routes)
{
	for (uint32_t i = 0; !value_is_null(routes) && routes->kind == VALUE_ARRAY && i < routes->n;
	     i++) {
		struct value *paths = value_get(routes->items[i], "paths");

		for (uint32_t k = 0;
		     !value_is_null(paths) && paths->kind == VALUE_ARRAY && k < paths->n; k++)
			migrate_path(a, paths->items[k]);
	}
}

void declarative_migrate(struct arena *a, struct value *doc)
{
	const struct value *version = value_get(doc, "_format_version");
	struct value *services = value_get(doc, "services");

	if (value_is_null(version) || version->kind != VALUE_STRING ||
	    (!str_is(version->s, "1.1") && !str_is(version->s, "2.1")))
		return;
	migrate_routes(a, value_get(doc, "routes"));
	for (uint32_t i = 0;
	     !value_is_null(services) && services->kind == VALUE_ARRAY && i < services->n; i++)
		migrate_routes(a, value_get(services->items[i], "routes"));
	value_set(a, doc, STR("_format_version"), value_text(a, "3.0"));
}
