/* SPDX-License-Identifier: Apache-2.0 */
/* rules - checks of single values that several entities and plugins share.
 *
 * Each is a field_check_fn: NULL when the value is good, else Kong's words in the
 * arena.  They are given strings only; the row's kind has seen to that. */
#pragma once

#include "schema/field.h"

field_check_fn rule_host;           /* a name or an address, without a port */
field_check_fn rule_host_with_port; /* with one or without */
field_check_fn rule_host_pattern;   /* of routes: as above, with a wildcard */
field_check_fn rule_ip;
field_check_fn rule_ip_or_cidr;
field_check_fn rule_ip_or_cidr_v4;
field_check_fn rule_path;       /* of services: RFC 3986, well-formed escapes */
field_check_fn rule_route_path; /* a normalised prefix, or ~ and a regex */
field_check_fn rule_name;       /* names of entities: letters, digits, .-_~ and UTF-8 */
field_check_fn rule_tag;
field_check_fn rule_sni;         /* a name that is no address and has no port */
field_check_fn rule_sni_pattern; /* the same, with a wildcard at one end */
field_check_fn rule_url;         /* scheme and host are there */
field_check_fn rule_header_name;
field_check_fn rule_cookie_name;
field_check_fn rule_certificate; /* PEM that OpenSSL reads */
field_check_fn rule_private_key;

/* printf into the arena, for messages. */
const char *rule_words(struct arena *a, const char *format, ...) PRINTF(2, 3);

/* A host with an optional port, as all of the above take it apart. */
struct host_parts {
	enum host_kind { HOST_NAME, HOST_V4, HOST_V6 } kind;
	str host; /* IPv4 without leading zeros, IPv6 in full and without brackets; names as they are */
	int64_t port; /* -1: none */
};

enum host_fault {
	HOST_GOOD = 0,
	HOST_BAD, /* message in *ret_words */
	HOST_BAD_PORT,
};

enum host_fault host_parse(struct arena *a, str text, struct host_parts *ret,
			   const char **ret_words);

/* "host:port", IPv6 in brackets; `port` where it has none (-1: still none). */
str host_text(struct arena *a, const struct host_parts *h, int64_t port);

/* The position (from 1) of the first byte that is no UTF-8, or 0. */
size_t utf8_fault(str s);

/* A URL in parts, as freely as Kong reads it; absent ones are unset. */
struct url_parts {
	str scheme, host, port, path;
};

void url_parse(str text, struct url_parts *ret);
