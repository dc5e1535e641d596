/* SPDX-License-Identifier: Apache-2.0 */
/* state - one session: what its cookies say, sealed, and where that is kept.
 *
 * The bytes are those of lua-resty-session 4, so that cookies and rows of Kong's nodes
 * are good here and ours there.  A cookie is base64url of a header, and behind it, unless
 * the database has it, of the content:
 *
 *	type flags id        made  rolled size tag       idle MAC
 *	1    2     32 random 5     4      3    16        3    16    bytes, little end first
 *
 * made is in seconds since 1970, rolled counts from there and idle from both.  The content
 * is JSON: for each audience what is kept, the audience, the subject.  It is sealed with
 * AES-256-GCM by a key from the secret and the id, the header up to size beside it; the MAC,
 * by another such key, is over all before it, so that idle may change alone.
 *
 * A second cookie may remember who it was when the first is over; its key is stretched. */
#pragma once

#include <gibbon/plugin.h>

#define SESSION_ID     32
#define SESSION_HEADER 82

struct session_conf {
	str secret, storage, audience;
	double idling_timeout, rolling_timeout, absolute_timeout, stale_ttl;
	str cookie_name, cookie_path, cookie_domain, cookie_same_site;
	enum tri cookie_http_only, cookie_secure;
	bool remember;
	str remember_cookie_name;
	double remember_rolling_timeout, remember_absolute_timeout;
	strs response_headers, request_headers, logout_methods;
	str logout_query_arg, logout_post_arg;
	/* of prepare() */
	uint8_t key[32]; /* the digest of the secret */
	str cookie_flags;
};

extern const struct entity session_entity;

struct session_meta {
	bool is_there;
	uint64_t flags, data_size;
	int64_t now, made, rolled, idle;
	str id, header;  /* raw */
	str first_piece; /* of the content, that the first cookie has */
};

struct session {
	struct req *r;
	const struct session_conf *conf;
	bool is_begun, is_open; /* is_open: it was there, with our audience */
	struct session_meta meta, remembered;
	struct value *data; /* an entry for each audience */
	uint32_t index;     /* of ours */
};

/* Reads the cookies; may renew them when it is remembered. */
void session_open(struct session *s) SUSPENDS;

/* With all that is to be kept; new cookies.  False: not saved, and logged. */
bool session_save(struct session *s) SUSPENDS;
/* New cookies when it is time for them. */
void session_refresh(struct session *s) SUSPENDS;
/* Takes our audience out, and with the last one everything. */
void session_logout(struct session *s) SUSPENDS;

/* What is kept for our audience. */
const struct value *session_content(const struct session *s);
void session_set(struct session *s, struct value *content, str subject);

/* "id", "timeout" and the others; STR_NONE: it has none. */
str session_property(const struct session *s, str name);
