/* SPDX-License-Identifier: Apache-2.0 */
#include "clients/ldap.h"

#include "base/buf.h"
#include "base/limits.h"
#include "clients/peer.h"

#define START_TLS  "1.3.6.1.4.1.1466.20037" /* RFC 4511 §4.14.1 */
#define STALE_MOST 64                       /* kept connections that may turn out to be closed */

enum {
	TAG_INTEGER = 0x02,
	TAG_OCTETS = 0x04,
	TAG_SEQUENCE = 0x30,
	TAG_BIND = 0x60,
	TAG_EXTENDED = 0x77,
	TAG_OF_ITS_OWN = 0x80, /* simple authentication; the name of what is extended */
};

/* ---- what is asked --------------------------------------------------------------------------- */

static str element(struct arena *a, uint8_t tag, str content)
{
	uint8_t head[6] = { tag, (uint8_t)content.n };
	size_t n = 2;

	if (content.n > 0x7f) {
		head[1] = 0x84;
		for (int shift = 24; shift >= 0; shift -= 8)
			head[n++] = (uint8_t)(content.n >> shift);
	}
	return str_cat(a, str_at((const char *)head, n), content);
}

/* In as few bytes as can be; the first bit is the sign's. */
static str number(struct arena *a, uint32_t i)
{
	uint8_t bytes[5] = { 0, (uint8_t)(i >> 24), (uint8_t)(i >> 16), (uint8_t)(i >> 8),
			     (uint8_t)i };
	size_t from = 0;

	while (from < 4 && bytes[from] == 0 && bytes[from + 1] < 0x80)
		from++;
	return element(a, TAG_INTEGER, str_at((const char *)bytes + from, sizeof(bytes) - from));
}

static str message(struct arena *a, uint32_t id, uint8_t op, str content)
{
	return element(a, TAG_SEQUENCE, str_cat(a, number(a, id), element(a, op, content)));
}

static str bind_request(struct arena *a, uint32_t id, str dn, str password)
{
	str version = number(a, 3), who = element(a, TAG_OCTETS, dn);

	return message(a, id, TAG_BIND,
		       str_cat(a, str_cat(a, version, who), element(a, TAG_OF_ITS_OWN, password)));
}

/* ---- asking ------------------------------------------------------------------------------------ */

/* Reads one message and nothing behind it: what comes unasked, and in clear before TLS, is
 * nothing to go by. */
static struct err *receive(struct arena *a, struct sock *s, deadline until, uint32_t id, uint8_t op,
			   struct ldap_result *ret)
{
	struct buf in CLEANUP(buf_done) = { 0 };
	struct ldap_message m;
	char chunk[1024];
	ssize_t n, size;

	buf_init(&in, LIMIT_LDAP_MESSAGE + sizeof(chunk));
	do {
		n = sock_read(s, chunk, sizeof(chunk), until);
		if (n <= 0)
			return FAIL(n == NET_TIMEOUT     ? ERR_TIMEOUT
				    : n == NET_CANCELLED ? ERR_CANCELLED
							 : ERR_SYSTEM,
				    "%s",
				    n == NET_TIMEOUT ? "timeout"
				    : n == NET_EOF   ? "closed"
						     : sock_error(s));
		buf_add(&in, chunk, (size_t)n);
		size = ldap_message_read(buf_str(&in), &m);
	} while (size == 0);
	if (size < 0 || (size_t)size != buf_str(&in).n)
		return FAIL(ERR_INVALID, "it does not speak LDAP");
	if (m.id == 0 && m.op == LDAP_EXTENDED_RESPONSE)
		return FAIL(ERR_REFUSED, "it ends the connection: " STRF " (%lld)",
			    STRV(m.result.diagnostic), (long long)m.result.code);
	if (m.id != id || m.op != op)
		return FAIL(ERR_INVALID, "it answers what it was not asked");
	*ret = m.result;
	ret->diagnostic = str_copy(a, m.result.diagnostic);
	return NULL;
}

static struct err *ask(struct arena *a, struct sock *s, deadline until, str request, uint32_t id,
		       uint8_t op, struct ldap_result *ret)
{
	ssize_t n = sock_write(s, request.s, request.n, until);

	if (n < 0)
		return FAIL(n == NET_TIMEOUT     ? ERR_TIMEOUT
			    : n == NET_CANCELLED ? ERR_CANCELLED
						 : ERR_SYSTEM,
			    "%s", n == NET_TIMEOUT ? "timeout" : sock_error(s));
	return receive(a, s, until, id, op, ret);
}

/* The first message of a connection. */
static struct err *start_tls(struct sock *s, deadline until)
{
	struct arena *a CLEANUP(arena_drop) = arena_new();
	struct ldap_result result;

	TRY(ask(a, s, until,
		message(a, 1, TAG_EXTENDED, element(a, TAG_OF_ITS_OWN, STR(START_TLS))), 1,
		LDAP_EXTENDED_RESPONSE, &result),
	    "StartTLS");
	if (result.code != LDAP_SUCCESS)
		return FAIL(ERR_REFUSED, "StartTLS: " STRF " (%lld)", STRV(result.diagnostic),
			    (long long)result.code);
	return NULL;
}

static struct peer peer_of(const struct ldap_server *s)
{
	return (struct peer){
		.host = s->host,
		.port = s->port,
		.tls = s->security != LDAP_PLAIN,
		.before_tls = s->security == LDAP_START_TLS ? start_tls : NULL,
		.verify = s->verify,
		.connect_ms = s->timeout_ms,
		.keep_ms = s->keep_ms,
	};
}

static struct err *bind_once(struct arena *a, const struct ldap_server *s, str dn, str password,
			     struct ldap_result *ret, bool *ret_was_stale)
{
	struct link *k CLEANUP(link_close) = NULL;
	struct peer p = peer_of(s);
	struct err *e;
	uint32_t id;

	*ret_was_stale = false;
	PASS(peer_open(&p, &k));
	id = ++k->requests + 1; /* 1 was StartTLS */
	e = ask(a, &k->sock, peer_deadline(s->timeout_ms), bind_request(a, id, dn, password), id,
		LDAP_BIND_RESPONSE, ret);
	if (e) {
		*ret_was_stale = k->is_reused && e->code == ERR_SYSTEM;
		return err_in(e, __FILE__, __LINE__, "failed to bind at " STRF ":%u", STRV(s->host),
			      s->port);
	}
	peer_keep(&p, &k);
	return NULL;
}

struct err *ldap_bind(struct arena *a, const struct ldap_server *s, str dn, str password,
		      struct ldap_result *ret)
{
	bool was_stale;
	struct err *e;

	if (!password.n)
		return FAIL(ERR_INVALID, "there is no password to bind with");
	if (dn.n + password.n > LIMIT_LDAP_MESSAGE)
		return FAIL(ERR_INVALID, "the name and the password are too long to bind with");
	for (int i = 0; i < STALE_MOST; i++) {
		e = bind_once(a, s, dn, password, ret, &was_stale);
		if (!was_stale)
			return e;
		err_forget();
	}
	return FAIL(ERR_REFUSED, STRF ":%u closes its connections", STRV(s->host), s->port);
}

/* ---- names --------------------------------------------------------------------------------------- */

str ldap_escape(struct arena *a, str value)
{
	static const char hex[] = "0123456789abcdef";
	char *out = arena_bytes(a, value.n * 3 + 1), *p = out;

	for (size_t i = 0; i < value.n; i++) {
		char c = value.s[i];
		bool is_edge = (i == 0 && (c == ' ' || c == '#')) || (i + 1 == value.n && c == ' ');

		if (is_edge || (c && strchr("\"+,;<>\\=", c))) {
			*p++ = '\\';
			*p++ = c;
		} else if ((uint8_t)c < 0x20 || c == 0x7f) {
			*p++ = '\\';
			*p++ = hex[(uint8_t)c >> 4];
			*p++ = hex[(uint8_t)c & 15];
		} else {
			*p++ = c;
		}
	}
	return str_at(out, (size_t)(p - out));
}
