/* SPDX-License-Identifier: Apache-2.0 */
/* TLS between two fibers over a socket pair, with chains made here; and the
 * small things that live beside it: digests, base64. */
#include "net/tls.h"
#include <errno.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>
/* cmocka wants some of the above first */
#include <cmocka.h>

#include "fiber/testing.h"

#define SOON deadline_in(20000)
#define ALL  (TLS_1_0 | TLS_1_1 | TLS_1_2 | TLS_1_3)

static struct arena *pool; /* of the whole run */

/* ---- chains ---------------------------------------------------------------------------- */

struct identity {
	X509 *x;
	EVP_PKEY *key;
	str cert, pem_key;
};

static struct identity root, middle, leaf, by_ip, expired, stranger;
static str self_rsa, self_rsa_key, self_ec, self_ec_key;

static void extend(X509 *x, X509 *issuer, int nid, const char *value)
{
	X509V3_CTX c;
	X509_EXTENSION *e;

	X509V3_set_ctx_nodb(&c);
	X509V3_set_ctx(&c, issuer, x, NULL, NULL, 0);
	e = X509V3_EXT_nconf_nid(NULL, &c, nid, value);
	assert_non_null(e);
	assert_int_equal(X509_add_ext(x, e, -1), 1);
	X509_EXTENSION_free(e);
}

static str pem_of(X509 *x, EVP_PKEY *key)
{
	BIO *b = BIO_new(BIO_s_mem());
	char *p;
	long n;
	str s;

	if (x)
		assert_int_equal(PEM_write_bio_X509(b, x), 1);
	else
		assert_int_equal(PEM_write_bio_PrivateKey(b, key, NULL, NULL, 0, NULL, NULL), 1);
	n = BIO_get_mem_data(b, &p);
	s = str_copy(pool, str_at(p, (size_t)n));
	BIO_free(b);
	return s;
}

/* names: subjectAltName, or NULL for a CA. */
static struct identity issue(const char *cn, const char *names, const struct identity *issuer,
			     int days)
{
	struct identity i = { .x = X509_new(), .key = EVP_EC_gen("P-256") };
	X509_NAME *subject = X509_get_subject_name(i.x);
	X509 *above = issuer ? issuer->x : i.x;
	static int serial;

	X509_set_version(i.x, X509_VERSION_3);
	ASN1_INTEGER_set(X509_get_serialNumber(i.x), ++serial);
	X509_time_adj_ex(X509_getm_notBefore(i.x), -10, 0, NULL);
	X509_time_adj_ex(X509_getm_notAfter(i.x), days, 0, NULL);
	X509_set_pubkey(i.x, i.key);
	X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC, (const unsigned char *)cn, -1, -1,
				   0);
	X509_set_issuer_name(i.x, X509_get_subject_name(above));
	extend(i.x, above, NID_basic_constraints, names ? "critical,CA:FALSE" : "critical,CA:TRUE");
	if (names)
		extend(i.x, above, NID_subject_alt_name, names);
	assert_true(X509_sign(i.x, issuer ? issuer->key : i.key, EVP_sha256()) > 0);
	i.cert = pem_of(i.x, NULL);
	i.pem_key = pem_of(NULL, i.key);
	return i;
}

static int make_chains(void **state)
{
	(void)state;
	pool = arena_new();
	root = issue("root", NULL, NULL, 10);
	middle = issue("middle", NULL, &root, 10);
	leaf = issue("leaf", "DNS:leaf.test,DNS:*.wild.test", &middle, 10);
	by_ip = issue("by ip", "IP:127.0.0.1,IP:::1", &root, 10);
	expired = issue("old", "DNS:leaf.test", &root, -1);
	stranger = issue("stranger", NULL, NULL, 10);
	assert_null(tls_make_self_signed(pool, TLS_KEY_RSA_2048, STR("localhost"), 30, &self_rsa,
					 &self_rsa_key));
	assert_null(tls_make_self_signed(pool, TLS_KEY_EC_P256, STR("localhost"), 30, &self_ec,
					 &self_ec_key));
	return 0;
}

static int drop_chains(void **state)
{
	struct identity *all[] = { &root, &middle, &leaf, &by_ip, &expired, &stranger };

	(void)state;
	for (size_t i = 0; i < COUNT(all); i++) {
		X509_free(all[i]->x);
		EVP_PKEY_free(all[i]->key);
	}
	arena_drop(&pool);
	return 0;
}

static struct tls_cert *cert_of(str cert, str key)
{
	struct tls_cert *c = NULL;

	assert_null(tls_cert_new(cert, key, &c));
	return c;
}

/* ---- a client and a server ------------------------------------------------------------------ */

struct meeting {
	struct tls_server_options server;
	struct tls_client_options client;
	const char *name;
	bool verify_name;
	void (*at_client)(struct sock *); /* after both handshakes */
	void (*at_server)(struct sock *);
	void *pick_arg;
	struct tls_context *server_context, *client_context;
	struct sock a, b;
	bool is_server_done;
	char client_error[300], server_error[300]; /* empty: the handshake succeeded */
};

static void note_error(char out[300], struct err *e)
{
	struct arena *a CLEANUP(arena_drop) = arena_new();
	str line = err_line(a, e);

	snprintf(out, 300, STRF, STRV(line));
}

static void serves(void *p)
{
	struct meeting *m = p;
	struct err *e = tls_accept(&m->b, m->server_context, m->pick_arg, SOON);

	note_error(m->server_error, e);
	if (!e && m->at_server)
		m->at_server(&m->b);
	sock_close(&m->b);
	m->is_server_done = true;
}

static void meets(void *p)
{
	struct meeting *m = p;
	int fd[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fd), 0);
	sock_init(&m->a, fd[0]);
	sock_init(&m->b, fd[1]);
	fiber_start("server", serves, m);
	struct err *e =
		tls_connect(&m->a, m->client_context, str_of(m->name), m->verify_name, SOON);
	note_error(m->client_error, e);
	if (!e && m->at_client)
		m->at_client(&m->a);
	sock_close(&m->a);
	while (!m->is_server_done)
		fiber_yield();
	loop_stop(loop_self());
}

static void run_fiber(void (*fn)(void *), void *arg)
{
	struct loop *l = NULL;

	assert_null(loop_new("test", 0, &l));
	fiber_start_on(l, "trial", fn, arg);
	loop_run(l);
	loop_drop(&l);
}

/* Runs both sides; the contexts are made from the options and dropped again. */
static void meet(struct meeting *m)
{
	m->server.protocols = m->server.protocols ? m->server.protocols : TLS_1_2 | TLS_1_3;
	m->client.protocols = m->client.protocols ? m->client.protocols : TLS_1_2 | TLS_1_3;
	assert_null(tls_context_server(&m->server, &m->server_context));
	assert_null(tls_context_client(&m->client, &m->client_context));
	run_fiber(meets, m);
	tls_context_drop(&m->server_context);
	tls_context_drop(&m->client_context);
}

/* ---- data --------------------------------------------------------------------------------------- */

static const char *seen_version;
static char seen_cipher[64];

static void greets(struct sock *s)
{
	char room[8];

	assert_int_equal(sock_write(s, "hello", 5, SOON), 5);
	assert_int_equal(sock_read(s, room, sizeof(room), SOON), 3);
	assert_memory_equal(room, "you", 3);
	assert_int_equal(sock_read(s, room, sizeof(room), SOON), NET_EOF);
	seen_version = tls_version(s->tls);
	snprintf(seen_cipher, sizeof(seen_cipher), "%s", tls_cipher(s->tls));
}

static void greets_back(struct sock *s)
{
	char room[8];

	assert_int_equal(sock_read(s, room, sizeof(room), SOON), 5);
	assert_memory_equal(room, "hello", 5);
	assert_int_equal(sock_write(s, "you", 3, SOON), 3);
}

static void every_version_carries_data(void **state)
{
	static const struct {
		unsigned client, server;
		const char *got;
	} cases[] = {
		{ TLS_1_3, ALL, "TLSv1.3" },
		{ TLS_1_2, ALL, "TLSv1.2" },
		{ TLS_1_1, ALL, "TLSv1.1" },
		{ TLS_1_0, ALL, "TLSv1" },
		{ ALL, TLS_1_1 | TLS_1_2, "TLSv1.2" },
		{ TLS_1_1 | TLS_1_2, TLS_1_1, "TLSv1.1" },
		{ TLS_1_3, TLS_1_2, NULL },
		{ TLS_1_1, TLS_1_2 | TLS_1_3, NULL },
	};
	struct tls_cert *c CLEANUP(tls_cert_drop) = cert_of(self_rsa, self_rsa_key);

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct meeting m = { .server = { .protocols = cases[i].server, .certs = { c } },
				     .client = { .protocols = cases[i].client },
				     .at_client = greets,
				     .at_server = greets_back };

		seen_version = "";
		meet(&m);
		if (cases[i].got) {
			assert_string_equal(m.client_error, "");
			assert_string_equal(m.server_error, "");
			assert_string_equal(seen_version, cases[i].got);
		} else {
			assert_string_not_equal(m.client_error, "");
			assert_string_not_equal(m.server_error, "");
		}
	}
}

static void rsa_and_ecdsa_are_both_offered(void **state)
{
	struct tls_cert *rsa CLEANUP(tls_cert_drop) = cert_of(self_rsa, self_rsa_key);
	struct tls_cert *ec CLEANUP(tls_cert_drop) = cert_of(self_ec, self_ec_key);
	static const char *const ciphers[] = { "ECDHE-RSA-AES128-GCM-SHA256",
					       "ECDHE-ECDSA-AES128-GCM-SHA256",
					       "DHE-RSA-AES128-GCM-SHA256" };

	(void)state;
	assert_false(tls_cert_is_ecdsa(rsa));
	assert_true(tls_cert_is_ecdsa(ec));
	for (size_t i = 0; i < COUNT(ciphers); i++) {
		struct meeting m = {
			.server = { .certs = { rsa, ec }, .prefer_server_ciphers = true },
			.client = { .protocols = TLS_1_2, .ciphers = str_of(ciphers[i]) },
			.at_client = greets,
			.at_server = greets_back
		};

		meet(&m);
		assert_string_equal(m.client_error, "");
		assert_string_equal(seen_cipher, ciphers[i]);
	}
}

#define BIG (3 * 1024 * 1024 + 7)

static unsigned char byte_at(size_t i)
{
	return (unsigned char)(i * 2654435761u >> 13);
}

static void sends_big(struct sock *s)
{
	char *data = malloc(BIG);
	size_t at = 0;

	for (size_t i = 0; i < BIG; i++)
		data[i] = (char)byte_at(i);
	while (at < BIG) {
		struct iovec iov[7];
		ssize_t want = 0;
		int n = 0;

		for (; n < (int)COUNT(iov); n++) {
			size_t size = n == 3 ? 0 : (size_t)rand() % (n == 4 ? 100000 : 3000);

			if (size > BIG - at)
				size = BIG - at;
			iov[n] = (struct iovec){ data + at, size };
			at += size;
			want += (ssize_t)size;
		}
		assert_int_equal(sock_writev(s, iov, n, SOON), want);
	}
	free(data);
	assert_int_equal(sock_finish_write(s, SOON), NET_OK);
}

static void reads_big(struct sock *s)
{
	static char room[40000];
	size_t at = 0;

	for (;;) {
		ssize_t n = sock_read(s, room, 1 + (size_t)rand() % sizeof(room), SOON);

		if (n < 0)
			fail_msg("%zd after %zu: %s", n, at, sock_error(s));
		if (n == 0)
			break;
		for (ssize_t i = 0; i < n; i++)
			if ((unsigned char)room[i] != byte_at(at++))
				fail_msg("byte %zu", at - 1);
	}
	assert_int_equal(at, BIG);
}

static void sends_then_reads(struct sock *s)
{
	sends_big(s);
	reads_big(s);
}

static void reads_then_sends(struct sock *s)
{
	reads_big(s);
	sends_big(s);
}

static bool has_sent;

static void sends_in_fiber(void *s)
{
	sends_big(s);
	has_sent = true;
}

/* Two fibers on one connection, one for each direction. */
static void sends_and_reads(struct sock *s)
{
	has_sent = false;
	fiber_start("sender", sends_in_fiber, s);
	reads_big(s);
	while (!has_sent)
		fiber_sleep(deadline_in(1));
}

static void big_transfers_arrive_whole_both_ways(void **state)
{
	struct tls_cert *c CLEANUP(tls_cert_drop) = cert_of(self_ec, self_ec_key);

	(void)state;
	for (int i = 0; i < 2; i++) {
		struct meeting m = { .server = { .certs = { c }, .session_tickets = i == 0 },
				     .client = { .protocols = i ? TLS_1_2 : TLS_1_3 },
				     .at_client = sends_then_reads,
				     .at_server = i ? reads_then_sends : sends_and_reads };

		meet(&m);
		assert_string_equal(m.client_error, "");
		assert_string_equal(m.server_error, "");
	}
}

/* ---- ends ------------------------------------------------------------------------------------------ */

static void cuts_the_line(struct sock *s)
{
	assert_int_equal(sock_write(s, "x", 1, SOON), 1);
	shutdown(s->io.fd, SHUT_WR);
	fiber_sleep(deadline_in(10));
}

static void sees_truncation(struct sock *s)
{
	char c;

	assert_int_equal(sock_read(s, &c, 1, SOON), 1);
	assert_int_equal(sock_read(s, &c, 1, SOON), NET_RESET);
	assert_int_equal(sock_read(s, &c, 1, SOON), NET_FAILED); /* and from then on */
	assert_int_equal(sock_write(s, &c, 1, SOON), NET_FAILED);
}

static void a_truncated_stream_is_no_orderly_end(void **state)
{
	struct tls_cert *c CLEANUP(tls_cert_drop) = cert_of(self_ec, self_ec_key);
	struct meeting m = { .server = { .certs = { c } },
			     .at_client = sees_truncation,
			     .at_server = cuts_the_line };

	(void)state;
	meet(&m);
	assert_string_equal(m.client_error, "");
}

static void reads_two_ways(struct sock *s)
{
	char c[4];

	assert_int_equal(sock_try_read(s, c, 1), NET_AGAIN);
	assert_int_equal(sock_read(s, c, 1, deadline_in(5)), NET_TIMEOUT);
	assert_false(sock_is_stale(s)); /* the tickets that came are no data */
	tls_release_buffers(s->tls);
	assert_int_equal(sock_write(s, "go", 2, SOON), 2);
	assert_int_equal(sock_read(s, c, 1, SOON), 1);
	assert_true(sock_has_pending(s));
	assert_true(sock_is_stale(s));
	assert_int_equal(sock_read(s, c, 4, SOON), 2);
	assert_int_equal(sock_read(s, c, 4, SOON), NET_EOF);
}

static void answers_three(struct sock *s)
{
	char c[2];

	assert_int_equal(sock_read(s, c, 2, SOON), 2);
	assert_int_equal(sock_write(s, "abc", 3, SOON), 3);
}

static void idle_connections_are_known_as_such(void **state)
{
	struct tls_cert *c CLEANUP(tls_cert_drop) = cert_of(self_ec, self_ec_key);
	struct meeting m = { .server = { .certs = { c }, .session_tickets = true },
			     .at_client = reads_two_ways,
			     .at_server = answers_three };

	(void)state;
	meet(&m);
	assert_string_equal(m.client_error, "");
}

static void handshakes_alone(void *p)
{
	struct tls_context *c = p;
	struct sock s;
	int fd[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fd), 0);
	sock_init(&s, fd[0]); /* nobody answers */
	struct err *e = tls_accept(&s, c, NULL, deadline_in(10));
	assert_non_null(e);
	assert_int_equal(e->code, ERR_TIMEOUT);
	char b;
	assert_int_equal(sock_read(&s, &b, 1, SOON), NET_FAILED); /* never in clear */
	sock_close(&s);
	close(fd[1]);

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fd), 0);
	sock_init(&s, fd[0]); /* plain text */
	assert_int_equal(write(fd[1], "GET / HTTP/1.1\r\n\r\n", 18), 18);
	e = tls_accept(&s, c, NULL, SOON);
	assert_non_null(e);
	assert_int_equal(e->code, ERR_REFUSED);
	assert_non_null(strstr(e->text, "http request"));
	sock_close(&s);
	close(fd[1]);

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fd), 0);
	sock_init(&s, fd[0]); /* a hang-up */
	close(fd[1]);
	e = tls_accept(&s, c, NULL, SOON);
	assert_non_null(e);
	assert_int_equal(e->code, ERR_REFUSED);
	sock_close(&s);
	loop_stop(loop_self());
}

static void broken_handshakes_say_why(void **state)
{
	struct tls_context *c CLEANUP(tls_context_drop) = NULL;

	(void)state;
	assert_null(tls_context_server(&(struct tls_server_options){ .protocols = TLS_1_2 }, &c));
	run_fiber(handshakes_alone, c);
}

/* ---- names -------------------------------------------------------------------------------------------- */

static char picked_for[64];
static struct tls_cert *pick_from[2];
static int pick_n;

static int picks(void *arg, str sni, struct tls_cert *ret[2])
{
	snprintf(picked_for, sizeof(picked_for), "%s:" STRF, (const char *)arg, STRV(sni));
	ret[0] = pick_from[0];
	ret[1] = pick_from[1];
	return pick_n;
}

static char seen_sni[64];

static void notes_sni(struct sock *s)
{
	snprintf(seen_sni, sizeof(seen_sni), STRF, STRV(tls_sni(s->tls)));
	greets_back(s);
}

static void certificates_are_picked_by_name(void **state)
{
	struct tls_cert *fallback CLEANUP(tls_cert_drop) = cert_of(self_ec, self_ec_key);
	struct tls_cert *ours CLEANUP(tls_cert_drop) =
		cert_of(str_cat(pool, leaf.cert, middle.cert), leaf.pem_key);
	struct tls_store *store CLEANUP(tls_store_drop) = NULL;
	strs trusted = { &root.cert, 1 };

	(void)state;
	assert_null(tls_store_new(&trusted, &store));
	for (int i = 0; i < 3; i++) {
		struct meeting m = {
			.server = { .certs = { fallback }, .pick = picks, .pick_arg = "context" },
			.client = { .verify = true, .verify_depth = -1, .store = store },
			.name = i == 2 ? "" : "LEAF.Test.",
			.verify_name = i == 0,
			.pick_arg = i == 0 ? "listener" : NULL,
			.at_client = greets,
			.at_server = notes_sni
		};

		pick_from[0] = ours;
		pick_n = i == 0 ? 1 : 0;
		meet(&m);
		if (i == 0) {
			assert_string_equal(m.client_error, "");
			assert_string_equal(picked_for, "listener:leaf.test");
			assert_string_equal(seen_sni, "leaf.test");
		} else { /* nothing picked: the default, which is not trusted */
			assert_non_null(strstr(m.client_error, "self-signed certificate"));
			assert_string_equal(picked_for, i == 1 ? "context:leaf.test" : "context:");
		}
	}
}

static void certificates_are_verified_as_asked(void **state)
{
	static const struct {
		const struct identity *shown;
		bool with_middle, no_store, dont_verify;
		int depth;
		const struct identity *trusted;
		const char *name;
		bool verify_name;
		const char *error; /* NULL: accepted */
	} cases[] = {
		{ &leaf, true, false, false, -1, &root, "leaf.test", true, NULL },
		{ &leaf, true, false, false, -1, &root, "leaf.test.", true, NULL },
		{ &leaf, true, false, false, -1, &root, "x.wild.test", true, NULL },
		{ &leaf, true, false, false, -1, &root, "a.x.wild.test", true,
		  "hostname mismatch" },
		{ &leaf, true, false, false, -1, &root, "other.test", true, "hostname mismatch" },
		{ &leaf, true, false, false, -1, &root, "other.test", false, NULL },
		{ &leaf, true, false, false, -1, &root, "", true, "no server name" },
		{ &leaf, true, false, false, 1, &root, "leaf.test", true, NULL },
		{ &leaf, true, false, false, 0, &root, "leaf.test", true, "too long" },
		{ &leaf, false, false, false, -1, &root, "leaf.test", true, "unable to get" },
		{ &leaf, true, false, false, -1, &stranger, "leaf.test", true, "unable to get" },
		{ &leaf, true, true, false, -1, NULL, "leaf.test", true, "unable to get" },
		{ &leaf, false, true, true, -1, NULL, "leaf.test", false, NULL },
		{ &by_ip, false, false, false, 0, &root, "127.0.0.1", true, NULL },
		{ &by_ip, false, false, false, 0, &root, "::1", true, NULL },
		{ &by_ip, false, false, false, 0, &root, "127.0.0.2", true, "IP address mismatch" },
		{ &expired, false, false, false, 0, &root, "leaf.test", true, "expired" },
		{ &root, false, false, false, -1, &root, "", false, NULL },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct tls_store *store CLEANUP(tls_store_drop) = NULL;
		struct tls_cert *c CLEANUP(tls_cert_drop) = NULL;
		str trusted = cases[i].trusted ? cases[i].trusted->cert : STR_NONE;

		c = cert_of(cases[i].with_middle ? str_cat(pool, cases[i].shown->cert, middle.cert)
						 : cases[i].shown->cert,
			    cases[i].shown->pem_key);
		if (!cases[i].no_store)
			assert_null(tls_store_new(&(strs){ &trusted, 1 }, &store));
		struct meeting m = { .server = { .certs = { c } },
				     .client = { .verify = !cases[i].dont_verify,
						 .verify_depth = cases[i].depth,
						 .store = store },
				     .name = cases[i].name,
				     .verify_name = cases[i].verify_name,
				     .at_client = greets,
				     .at_server = greets_back };
		meet(&m);
		if (!cases[i].error && m.client_error[0])
			fail_msg("case %zu: %s", i, m.client_error);
		if (cases[i].error && !strstr(m.client_error, cases[i].error))
			fail_msg("case %zu: \"%s\" lacks \"%s\"", i, m.client_error,
				 cases[i].error);
	}
}

static char seen_alpn[16];

static void notes_alpn(struct sock *s)
{
	snprintf(seen_alpn, sizeof(seen_alpn), STRF, STRV(tls_alpn(s->tls)));
	greets(s);
}

static void the_server_chooses_among_the_clients_protocols(void **state)
{
	struct tls_cert *c CLEANUP(tls_cert_drop) = cert_of(self_ec, self_ec_key);
	str ours[] = { STR_INIT("h2"), STR_INIT("http/1.1") };
	str theirs[] = { STR_INIT("http/1.1"), STR_INIT("h2") }, odd[] = { STR_INIT("spdy") };
	const struct {
		strs offered;
		const char *got; /* NULL: refused */
	} cases[] = { { { theirs, 2 }, "h2" },
		      { { theirs, 1 }, "http/1.1" },
		      { { NULL, 0 }, "" },
		      { { odd, 1 }, NULL } };

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct meeting m = { .server = { .certs = { c }, .alpn = { ours, 2 } },
				     .client = { .alpn = cases[i].offered },
				     .at_client = notes_alpn,
				     .at_server = greets_back };

		meet(&m);
		if (cases[i].got)
			assert_string_equal(seen_alpn, cases[i].got);
		else
			assert_non_null(strstr(m.client_error, "no application protocol"));
	}
}

/* ---- threads -------------------------------------------------------------------------------------------- */

struct worker {
	struct tls_context *server, *client;
	int n_good;
};

static void meets_often(void *p)
{
	struct worker *x = p;

	for (int i = 0; i < 20; i++) {
		struct meeting m = { .server_context = x->server,
				     .client_context = x->client,
				     .name = "leaf.test",
				     .verify_name = true };
		int fd[2];

		assert_int_equal(
			socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fd), 0);
		sock_init(&m.a, fd[0]);
		sock_init(&m.b, fd[1]);
		fiber_start("server", serves, &m);
		x->n_good += !tls_connect(&m.a, m.client_context, str_of(m.name), true, SOON);
		err_forget();
		sock_close(&m.a);
		while (!m.is_server_done)
			fiber_yield();
	}
	loop_stop(loop_self());
}

static void *meets_on_a_thread(void *p)
{
	run_fiber(meets_often, p);
	return NULL;
}

static void contexts_are_shared_between_threads(void **state)
{
	struct tls_cert *c CLEANUP(tls_cert_drop) =
		cert_of(str_cat(pool, leaf.cert, middle.cert), leaf.pem_key);
	struct tls_store *store CLEANUP(tls_store_drop) = NULL;
	struct tls_context *server CLEANUP(tls_context_drop) = NULL;
	struct tls_context *client CLEANUP(tls_context_drop) = NULL;
	struct worker x[3];
	pthread_t threads[3];

	(void)state;
	assert_null(tls_store_new(&(strs){ &root.cert, 1 }, &store));
	assert_null(tls_context_server(&(struct tls_server_options){ .protocols = TLS_1_2 | TLS_1_3,
								     .session_tickets = true,
								     .certs = { c } },
				       &server));
	assert_null(tls_context_client(&(struct tls_client_options){ .protocols = TLS_1_2 | TLS_1_3,
								     .verify = true,
								     .verify_depth = 1,
								     .store = store },
				       &client));
	for (int i = 0; i < 3; i++) {
		x[i] = (struct worker){ server, client, 0 };
		pthread_create(&threads[i], NULL, meets_on_a_thread, &x[i]);
	}
	for (int i = 0; i < 3; i++) {
		pthread_join(threads[i], NULL);
		assert_int_equal(x[i].n_good, 20);
	}
}

/* ---- PEM ------------------------------------------------------------------------------------------------ */

static str encrypted_key(void)
{
	BIO *b = BIO_new(BIO_s_mem());
	char *p;
	long n;
	str s;

	assert_int_equal(PEM_write_bio_PrivateKey(b, leaf.key, EVP_aes_128_cbc(),
						  (const unsigned char *)"secret", 6, NULL, NULL),
			 1);
	n = BIO_get_mem_data(b, &p);
	s = str_copy(pool, str_at(p, (size_t)n));
	BIO_free(b);
	return s;
}

static void bad_pem_is_refused_in_plain_words(void **state)
{
	str broken = str_copy(pool, leaf.cert);
	memset((char *)(uintptr_t)broken.s + broken.n / 2, '!', 3);
	const struct {
		str cert, key;
		const char *error;
	} cases[] = {
		{ leaf.cert, leaf.pem_key, NULL },
		{ str_cat(pool, STR("my certificate\n"), leaf.cert), leaf.pem_key, NULL },
		{ STR(""), leaf.pem_key, "not a PEM certificate" },
		{ STR("hello"), leaf.pem_key, "not a PEM certificate" },
		{ leaf.pem_key, leaf.pem_key, "not a PEM certificate" },
		{ str_part(leaf.cert, 0, leaf.cert.n / 2), leaf.pem_key, "not a PEM certificate" },
		{ str_cat(pool, leaf.cert, broken), leaf.pem_key, "not a PEM certificate" },
		{ leaf.cert, STR(""), "not a PEM key" },
		{ leaf.cert, leaf.cert, "not a PEM key" },
		{ leaf.cert, encrypted_key(), "the key is encrypted" },
		{ leaf.cert, middle.pem_key, "certificate does not match key" },
		{ leaf.cert, self_rsa_key, "certificate does not match key" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct tls_cert *c CLEANUP(tls_cert_drop) = NULL;
		struct err *e = tls_cert_new(cases[i].cert, cases[i].key, &c);

		if (cases[i].error) {
			assert_non_null(e);
			assert_string_equal(e->text, cases[i].error);
			assert_null(c);
		} else {
			assert_null(e);
		}
	}
	assert_null(tls_check_certificate(leaf.cert));
	assert_non_null(tls_check_certificate(STR("x")));
	assert_null(tls_check_key(leaf.pem_key));
	assert_non_null(tls_check_key(STR("x")));

	struct tls_store *s CLEANUP(tls_store_drop) = NULL;
	str both[] = { str_cat(pool, root.cert, stranger.cert), STR_INIT("nonsense") };
	assert_null(tls_store_new(&(strs){ both, 1 }, &s));
	tls_store_drop(&s);
	assert_non_null(tls_store_new(&(strs){ both, 2 }, &s));
	assert_null(s);
	err_forget();
}

static void contexts_refuse_what_cannot_be(void **state)
{
	struct tls_context *c = NULL;
	const struct tls_server_options bad[] = {
		{ .protocols = 0 },
		{ .protocols = TLS_1_2, .ciphers = STR_INIT("NO-SUCH-CIPHER") },
		{ .protocols = TLS_1_2, .dhparam_pem = leaf.cert },
		{ .protocols = TLS_1_2, .alpn = { &(str)STR_INIT(""), 1 } },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(bad); i++)
		assert_non_null(tls_context_server(&bad[i], &c));
	assert_null(c);
	err_forget();

	/* RFC 7919's ffdhe2048, as a file would hold it. */
	static const char dh[] =
		"-----BEGIN DH PARAMETERS-----\n"
		"MIIBCAKCAQEA//////////+t+FRYortKmq/cViAnPTzx2LnFg84tNpWp4TZBFGQz\n"
		"+8yTnc4kmz75fS/jY2MMddj2gbICrsRhetPfHtXV/WVhJDP1H18GbtCFY2VVPe0a\n"
		"87VXE15/V8k1mE8McODmi3fipona8+/och3xWKE2rec1MKzKT0g6eXq8CrGCsyT7\n"
		"YdEIqUuyyOP7uWrat2DX9GgdT0Kj3jlN9K5W7edjcrsZCwenyO4KbXCeAvzhzffi\n"
		"7MA0BM0oNC9hkXL+nOmFg/+OTxIy7vKBg8P+OxtMb61zO7X8vC7CIAXFjvGDfRaD\n"
		"ssbzSibBsu/6iGtCOGEoXJf//////////wIBAg==\n"
		"-----END DH PARAMETERS-----\n";
	assert_null(tls_context_server(
		&(struct tls_server_options){ .protocols = TLS_1_2, .dhparam_pem = str_of(dh) },
		&c));
	tls_context_drop(&c);
}

static void self_signed_certificates_verify_by_themselves(void **state)
{
	str cert, key, digest;

	(void)state;
	assert_null(tls_make_self_signed(pool, TLS_KEY_EC_P256, STR("10.0.0.1"), 1, &cert, &key));
	struct tls_cert *c CLEANUP(tls_cert_drop) = cert_of(cert, key);
	struct tls_store *s CLEANUP(tls_store_drop) = NULL;
	assert_null(tls_store_new(&(strs){ &cert, 1 }, &s));
	struct meeting m = { .server = { .certs = { c } },
			     .client = { .verify = true, .verify_depth = 0, .store = s },
			     .name = "10.0.0.1",
			     .verify_name = true,
			     .at_client = greets,
			     .at_server = greets_back };
	meet(&m);
	assert_string_equal(m.client_error, "");
	assert_null(tls_cert_digest(pool, cert, &digest));
	assert_int_equal(digest.n, 64);
	assert_non_null(tls_cert_digest(pool, key, &digest));
	assert_non_null(
		tls_make_self_signed(pool, TLS_KEY_EC_P256, STR("a,DNS:b"), 1, &cert, &key));
	err_forget();
}

/* ---- digests and base64 ------------------------------------------------------------------------------------ */

static void digests_match_their_standards(void **state)
{
	uint8_t d[32];
	uuid dns, u;

	(void)state;
	digest_md5(STR("abc"), d);
	assert_true(str_is(hex_encode(pool, str_at((char *)d, 16)),
			   "900150983cd24fb0d6963f7d28e17f72"));
	digest_sha1(STR("abc"), d);
	assert_true(str_is(hex_encode(pool, str_at((char *)d, 20)),
			   "a9993e364706816aba3e25717850c26c9cd0d89d"));
	digest_sha256(STR_NONE, d);
	assert_true(str_is(hex_encode(pool, str_at((char *)d, 32)),
			   "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"));
	assert_true(uuid_parse(STR("6ba7b810-9dad-11d1-80b4-00c04fd430c8"), &dns));
	u = uuid_v5(dns, STR("python.org"));
	assert_true(str_is(uuid_str(pool, u), "886313e1-3b8a-5372-9b90-0c9aee199e5d"));
}

static void base64_is_strict(void **state)
{
	static const struct {
		const char *plain, *text;
	} cases[] = { { "", "" },
		      { "f", "Zg==" },
		      { "fo", "Zm8=" },
		      { "foo", "Zm9v" },
		      { "foob", "Zm9vYg==" },
		      { "fooba", "Zm9vYmE=" },
		      { "foobar", "Zm9vYmFy" },
		      { "\xff\xfe?", "//4/" } };
	static const char *const bad[] = { "Z",     "Zg",   "Zg=",  "Zg===", "Zh==",    "Zm9=",
					   "Zm9v=", "Z=g=", "Zm-v", "====",  "Zg==Zg==" };
	str out;

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		assert_true(str_is(base64_encode(pool, str_of(cases[i].plain)), cases[i].text));
		assert_true(base64_decode(pool, str_of(cases[i].text), &out));
		assert_true(str_is(out, cases[i].plain));
	}
	for (size_t i = 0; i < COUNT(bad); i++)
		if (base64_decode(pool, str_of(bad[i]), &out))
			fail_msg("%s", bad[i]);
	assert_true(base64_decode(pool, STR(" Zm\r\n9v\t"), &out));
	assert_true(str_is(out, "foo"));
}

/* ---- connections of another library ------------------------------------------------ */

static void a_policy_has_the_versions_of_today(void **state)
{
	(void)state;
	assert_true(tls_policy_allows(TLS_1_2));
	assert_true(tls_policy_allows(TLS_1_3));
}

static void no_connection_has_nothing_pending_and_no_chain(void **state)
{
	struct tls_refusal report = { 0 };

	(void)state;
	assert_int_equal(tls_foreign_pending(NULL), 0);
	assert_int_equal(tls_foreign_intermediates(NULL), -1);
	tls_foreign_watch(NULL, 1, &report);
	assert_null(report.reason);
}

static void a_certificate_is_no_revocation_list(void **state)
{
	struct arena *own CLEANUP(arena_drop) = arena_new();
	str cert, key;

	(void)state;
	assert_null(tls_make_self_signed(own, TLS_KEY_EC_P256, STR("a"), 1, &cert, &key));
	assert_non_null(tls_check_crl(cert));
	assert_non_null(tls_check_crl(STR("")));
	assert_non_null(tls_check_crl(STR_NONE));
	err_forget();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_version_carries_data),
		cmocka_unit_test(rsa_and_ecdsa_are_both_offered),
		cmocka_unit_test(big_transfers_arrive_whole_both_ways),
		cmocka_unit_test(a_truncated_stream_is_no_orderly_end),
		cmocka_unit_test(idle_connections_are_known_as_such),
		cmocka_unit_test(broken_handshakes_say_why),
		cmocka_unit_test(certificates_are_picked_by_name),
		cmocka_unit_test(certificates_are_verified_as_asked),
		cmocka_unit_test(the_server_chooses_among_the_clients_protocols),
		cmocka_unit_test(contexts_are_shared_between_threads),
		cmocka_unit_test(bad_pem_is_refused_in_plain_words),
		cmocka_unit_test(contexts_refuse_what_cannot_be),
		cmocka_unit_test(self_signed_certificates_verify_by_themselves),
		cmocka_unit_test(digests_match_their_standards),
		cmocka_unit_test(base64_is_strict),
		cmocka_unit_test(a_policy_has_the_versions_of_today),
		cmocka_unit_test(no_connection_has_nothing_pending_and_no_chain),
		cmocka_unit_test(a_certificate_is_no_revocation_list),
	};

	choose_loops();
	return cmocka_run_group_tests(tests, make_chains, drop_chains);
}
