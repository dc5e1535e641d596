/* SPDX-License-Identifier: Apache-2.0 */
/* uri - paths, queries and whole URIs as RFC 3986 has them, with the habits of
 * Kong where it is freer.  Nothing here decodes twice. */
#pragma once

#include "base/str.h"

/* A request path (without its query) as the router compares it:
 * every %xx is decoded unless it stands for a reserved character, whose hex digits
 * become upper case; dot segments are taken out (%2e is a dot); repeated slashes
 * are one.  False, and the request deserves a 400, when the path climbs above the
 * root, has a '%' without two hex digits, or an encoded or plain NUL. */
bool uri_normalise(struct arena *a, str path, str *ret);

/* Where the query of a request target begins: the first '?' that is not the very
 * first character.  *ret_query is STR_NONE when there is none, empty for "/x?". */
str uri_cut_query(str target, str *ret_query);

/* A path as it may stand in a request line: everything but unreserved, reserved
 * and '%' becomes %XX. */
str uri_escape(struct arena *a, str path);

/* A text as one component, everything but unreserved becomes %XX. */
str uri_escape_component(struct arena *a, str s);

/* Decodes every well-formed %xx, leaves others; with plus, '+' is a space. */
str uri_unescape(struct arena *a, str s, bool plus);

/* An argument of a query or form.  "a" has no value (STR_NONE), "a=" an empty one. */
struct uri_arg {
	str key, value;
};

struct uri_args {
	struct uri_arg *v;
	size_t n;
	bool is_cut; /* there were more than asked for */
};

/* Takes a query or an application/x-www-form-urlencoded body apart and decodes
 * both sides, '+' as space; those without a key are left out.  At most max (0: all). */
struct uri_args uri_args(struct arena *a, str query, size_t max);

/* The first with that key, or NULL. */
const struct uri_arg *uri_arg_find(const struct uri_args *args, str key);

/* And back together: "a=1&b&c=". */
str uri_args_join(struct arena *a, const struct uri_args *args);

/* A URI in its parts, borrowed from the text.  Parts that are absent are STR_NONE,
 * port 0; host has no brackets. */
struct uri {
	str scheme, userinfo, host, path, query, fragment;
	uint16_t port;
	bool has_authority, is_v6;
};

/* False on what is no URI: a port that is none, an open bracket, a control
 * character or a space. */
bool uri_parse(str text, struct uri *ret);

/* A reference as seen from a base (RFC 9110 §10.2.2, RFC 3986 §5.2), for Location. */
bool uri_resolve(struct arena *a, str base, str reference, str *ret);

/* The port that goes without saying: 80 for http, ws and grpc, 443 for https, wss
 * and grpcs, else 0. */
uint16_t uri_default_port(str scheme);

/* "host:port", "[v6]:port", "host", "[v6]": what a Host header or a target says.
 * *ret_port is 0 when there is none; false when the port is none. */
bool uri_split_host(str text, str *ret_host, uint16_t *ret_port);
