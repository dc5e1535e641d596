/* SPDX-License-Identifier: Apache-2.0 */
/* LDAP: messages are read as they are or not at all, names mean themselves, and a server by
 * the script says whatever it likes. */
#include "clients/ldap.h"

#include "base/buf.h"
#include "base/limits.h"
#include "clients/peer.h"
#include "clients/trust.h"
#include "net/dns.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>
/* cmocka wants those above first */
#include <cmocka.h>

#define BYTES(text) str_at((text), sizeof(text) - 1)

/* ---- messages ------------------------------------------------------------------------------- */

#define GOOD   "\x30\x0c\x02\x01\x02\x61\x07\x0a\x01\x00\x04\x00\x04\x00"
#define REFUSE "\x30\x0f\x02\x01\x02\x61\x0a\x0a\x01\x31\x04\x00\x04\x03no!"

static void an_answer_is_read(void **state)
{
	struct ldap_message m;

	(void)state;
	assert_int_equal(ldap_message_read(BYTES(GOOD), &m), 14);
	assert_int_equal(m.id, 2);
	assert_int_equal(m.op, LDAP_BIND_RESPONSE);
	assert_int_equal(m.result.code, LDAP_SUCCESS);
	assert_int_equal(ldap_message_read(BYTES(REFUSE "more"), &m), 17);
	assert_int_equal(m.result.code, LDAP_INVALID_CREDENTIALS);
	assert_true(str_is(m.result.diagnostic, "no!"));
	/* Long lengths, a referral, controls, the name of an extended response. */
	assert_int_equal(
		ldap_message_read(BYTES("\x30\x84\x00\x00\x00\x17\x02\x01\x01\x78\x82\x00\x0e\x0a"
					"\x01\x00\x04\x00\x04\x81\x00\xa3\x00\x8a\x02"
					"1.\xa0\x00"),
				  &m),
		29);
	assert_int_equal(m.op, LDAP_EXTENDED_RESPONSE);
	assert_true(str_is(m.name, "1."));
	/* Another answer is passed over as a whole. */
	assert_int_equal(ldap_message_read(BYTES("\x30\x06\x02\x01\x05\x64\x01\xff"), &m), 8);
	assert_int_equal(m.op, 0x64);
}

static void a_part_of_an_answer_wants_more(void **state)
{
	struct ldap_message m;

	(void)state;
	for (size_t n = 0; n < sizeof(REFUSE) - 1; n++)
		assert_int_equal(ldap_message_read(str_at(REFUSE, n), &m), 0);
}

static void what_is_no_message_is_refused(void **state)
{
	/* clang-format off */
	static const str cases[] = {
		STR_INIT("HTTP/1.1 200 OK\r\n"),
		STR_INIT("\x31\x0c\x02\x01\x02"),                                           /* no sequence */
		STR_INIT("\x30\x80\x02\x01\x02"),                                           /* of indefinite length */
		STR_INIT("\x30\x85\x01\x01\x01\x01\x01"),                                   /* too long a length */
		STR_INIT("\x30\x84\x7f\xff\xff\xff"),                                       /* too long */
		STR_INIT("\x30\x0b\x02\x01\x02\x61\x07\x0a\x01\x31\x04\x01\x04\x01"),       /* its end is within the last text */
		STR_INIT("\x30\x0c\x02\x01\xff\x61\x07\x0a\x01\x31\x04\x01x\x04\x01"),      /* a negative id */
		STR_INIT("\x30\x07\x02\x05\x01\x01\x01\x01\x01"),                           /* an id of 40 bits */
		STR_INIT("\x30\x05\x02\x01\x02\x7f\x01"),                                   /* a tag of several bytes */
		STR_INIT("\x30\x08\x02\x01\x02\x61\x03\x0a\x01\x31"),                       /* without texts */
		STR_INIT("\x30\x03\x02\x01\x02"),                                           /* with nothing */
		STR_INIT("\x30\x01\x02"),
		STR_INIT("\x30\x0b\x02\x01\x02\x64\x01\x01\x04\x03zzz"),                    /* no controls behind it */
	};
	/* clang-format on */
	struct ldap_message m;

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		if (ldap_message_read(cases[i], &m) != -1)
			fail_msg("case %zu", i);
	}
	assert_int_equal(ldap_message_read(BYTES("\x30\x00"), &m), -1);
}

/* ---- names ------------------------------------------------------------------------------------- */

static void names_mean_themselves(void **state)
{
	/* clang-format off */
	static const struct {
		const char *name, *escaped;
	} cases[] = {
		{ "", "" }, { "jo", "jo" }, { "Jo Li", "Jo Li" }, { " jo ", "\\ jo\\ " }, { " ", "\\ " }, { "#jo#", "\\#jo#" },
		{ "jo,ou=x", "jo\\,ou\\=x" }, { "a+b\"c\\d;e<f>g", "a\\+b\\\"c\\\\d\\;e\\<f\\>g" },
		{ "a\r\n\x7f", "a\\0d\\0a\\7f" }, { "\xc3\xa9", "\xc3\xa9" },
	};
	/* clang-format on */
	struct arena *a CLEANUP(arena_drop) = arena_new();

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++)
		assert_string_equal(str_z(a, ldap_escape(a, str_of(cases[i].name))),
				    cases[i].escaped);
	assert_true(str_is(ldap_escape(a, str_at("a\0b", 3)), "a\\00b"));
}

/* ---- a server by the script -------------------------------------------------------------------- */

/* Each test runs as a fiber beside a server that answers each thing it reads with the next of
 * `says`; one without bytes: it closes the connection. */
struct scene {
	void (*fn)(struct scene *);
	const str *says;
	struct loop *loop;
	struct arena *a;
	struct address address;
	int fd;
	struct ldap_server server;
	struct buf heard;
	unsigned accepted;
};

struct talk {
	struct scene *scene;
	int fd;
};

static void converse(void *p)
{
	struct talk t = *(struct talk *)p;
	struct sock sock;
	char chunk[4096];
	ssize_t n;

	sock_init(&sock, t.fd);
	while ((n = sock_read(&sock, chunk, sizeof(chunk), deadline_in(5000))) > 0) {
		str said = *t.scene->says++;

		buf_add(&t.scene->heard, chunk, (size_t)n);
		if (!said.n)
			break;
		assert_int_equal(sock_write(&sock, said.s, said.n, deadline_in(5000)), said.n);
	}
	sock_close(&sock);
}

static void serve_all(void *p)
{
	struct scene *s = p;
	struct io io;

	io_init(&io, s->fd);
	while (io_wait(&io, IO_READ, DEADLINE_NEVER) == WAIT_OK) {
		struct talk t = { s, accept4(s->fd, NULL, NULL, SOCK_NONBLOCK) };

		if (t.fd < 0) {
			io_clear(&io, IO_READ);
			continue;
		}
		s->accepted++;
		fiber_start_now("talk", converse, &t);
	}
	io_done(&io);
}

static void enter(void *p)
{
	struct scene *s = p;
	struct listen_options o = { .backlog = 16 };

	assert_true(address_parse_ip(STR("127.0.0.1"), 0, &s->address));
	assert_null(net_listen(&s->address, &o, &s->fd));
	s->address.size = sizeof(s->address.local);
	assert_int_equal(getsockname(s->fd, &s->address.any, &s->address.size), 0);
	s->server = (struct ldap_server){ .host = STR("127.0.0.1"),
					  .port = address_port(&s->address),
					  .timeout_ms = 3000,
					  .keep_ms = 60000 };
	fiber_start("server", serve_all, s);
	s->fn(s);
	loop_stop(s->loop);
}

static void start(void *p)
{
	fiber_start("test", enter, p);
}

static void run(void (*fn)(struct scene *), const str *says)
{
	struct scene s = { .fn = fn, .says = says, .a = arena_new() };

	buf_init(&s.heard, 1 << 20);
	assert_null(loop_new("test", 0, &s.loop));
	loop_post(s.loop, start, &s);
	loop_run(s.loop);
	peers_leave();
	loop_drop(&s.loop);
	close(s.fd);
	buf_done(&s.heard);
	arena_drop(&s.a);
	err_forget();
}

static struct err *ask(struct scene *s, str password, struct ldap_result *ret)
{
	return ldap_bind(s->a, &s->server, STR("cn=jo"), password, ret);
}

static void assert_says(struct scene *s, const struct err *e, const char *part)
{
	str line = err_line(s->a, e);

	if (!e || str_find_str(line, str_of(part)) < 0)
		fail_msg("\"" STRF "\" does not say \"%s\"", STRV(line), part);
}

/* With the id that it has to have. */
#define YES(id) STR_INIT("\x30\x0c\x02\x01" id "\x61\x07\x0a\x01\x00\x04\x00\x04\x00")
#define NO(id)  STR_INIT("\x30\x0c\x02\x01" id "\x61\x07\x0a\x01\x31\x04\x00\x04\x00")

static void binds_twice(struct scene *s)
{
	static const char want[] = "\x30\x13\x02\x01\x02\x60\x0e\x02\x01\x03\x04\x05"
				   "cn=jo\x80\x02pw"
				   "\x30\x13\x02\x01\x03\x60\x0e\x02\x01\x03\x04\x05"
				   "cn=jo\x80\x02pv";
	struct ldap_result said;

	assert_null(ask(s, STR("pw"), &said));
	assert_int_equal(said.code, LDAP_SUCCESS);
	assert_null(ask(s, STR("pv"), &said));
	assert_int_equal(said.code, LDAP_INVALID_CREDENTIALS);
	assert_int_equal(s->accepted, 1);
	assert_true(str_eq(buf_str(&s->heard), BYTES(want)));
}

static void connections_are_kept(void **state)
{
	static const str says[] = { YES("\x02"), NO("\x03") };

	(void)state;
	run(binds_twice, says);
}

static void binds_after_it_was_closed(struct scene *s)
{
	struct ldap_result said;

	assert_null(ask(s, STR("pw"), &said));
	assert_null(ask(s, STR("pw"), &said));
	assert_int_equal(said.code, LDAP_SUCCESS);
	assert_int_equal(s->accepted, 2);
}

static void a_kept_connection_that_is_closed_is_followed_by_another(void **state)
{
	static const str says[] = { YES("\x02"), STR_INIT(""), YES("\x02") };

	(void)state;
	run(binds_after_it_was_closed, says);
}

static void gets_nothing(struct scene *s)
{
	/* clang-format off */
	static const char *const words[] = {
		"it does not speak LDAP", "it does not speak LDAP", "it answers what it was not asked",
		"it answers what it was not asked", "it ends the connection: bye (52)", "closed",
	};
	/* clang-format on */
	struct ldap_result said;

	for (size_t i = 0; i < COUNT(words); i++)
		assert_says(s, ask(s, STR("pw"), &said), words[i]);
	assert_int_equal(s->accepted, COUNT(words));
	assert_says(s, ask(s, STR(""), &said), "there is no password");
	assert_int_equal(s->accepted, COUNT(words));
}

static void what_is_no_answer_ends_the_connection(void **state)
{
	static const str says[] = {
		STR_INIT("SSH-2.0\r\n"),
		STR_INIT("\x30\x0c\x02\x01\x02\x61\x07\x0a\x01\x00\x04\x00\x04\x00\x30"),
		YES("\x03"),
		STR_INIT("\x30\x0c\x02\x01\x02\x78\x07\x0a\x01\x00\x04\x00\x04\x00"),
		STR_INIT("\x30\x0f\x02\x01\x00\x78\x0a\x0a\x01\x34\x04\x00\x04\x03"
			 "bye"),
		STR_INIT(""),
	};

	(void)state;
	run(gets_nothing, says);
}

static void is_refused_tls(struct scene *s)
{
	struct ldap_result said;

	s->server.security = LDAP_START_TLS;
	assert_says(s, ask(s, STR("pw"), &said), "StartTLS: no (52)");
	assert_says(s, ask(s, STR("pw"), &said), "it does not speak LDAP");
	assert_int_equal(s->accepted, 2);
	assert_true(str_find_str(buf_str(&s->heard), STR("pw")) < 0);
}

static void without_tls_no_password_is_sent(void **state)
{
	static const str says[] = {
		STR_INIT("\x30\x0e\x02\x01\x01\x78\x09\x0a\x01\x34\x04\x00\x04\x02no"),
		/* What comes in clear behind the answer is not taken for what came over TLS. */
		STR_INIT("\x30\x0c\x02\x01\x01\x78\x07\x0a\x01\x00\x04\x00\x04\x00"
			 "\x30\x0c\x02\x01\x02\x61\x07\x0a\x01\x00\x04\x00\x04\x00"),
	};

	(void)state;
	run(is_refused_tls, says);
}

static int begin(void **state)
{
	static const struct settings settings = { .lua_ssl_versions = TLS_1_2 | TLS_1_3 };
	static str nobody = STR_INIT("127.0.0.1:1"), order = STR_INIT("A");

	(void)state;
	assert_null(offload_start(1));
	trust_start(&settings);
	assert_null(dns_start(&(struct dns_options){ .resolvers = { &nobody, 1 },
						     .hostsfile = STR("/dev/null"),
						     .order = { &order, 1 },
						     .cache_size = 10 }));
	return 0;
}

static int end(void **state)
{
	(void)state;
	dns_stop();
	trust_stop();
	offload_stop();
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_answer_is_read),
		cmocka_unit_test(a_part_of_an_answer_wants_more),
		cmocka_unit_test(what_is_no_message_is_refused),
		cmocka_unit_test(names_mean_themselves),
		cmocka_unit_test(connections_are_kept),
		cmocka_unit_test(a_kept_connection_that_is_closed_is_followed_by_another),
		cmocka_unit_test(what_is_no_answer_ends_the_connection),
		cmocka_unit_test(without_tls_no_password_is_sent),
	};

	return cmocka_run_group_tests(tests, begin, end);
}
