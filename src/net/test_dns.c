/* SPDX-License-Identifier: Apache-2.0 */
/* The resolver against a scripted name server on loopback. */
#include "net/dns.h"
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
/* cmocka wants some of the above first */
#include <cmocka.h>

enum { A = 1, CNAME = 5, AAAA = 28, SRV = 33 };

/* ---- the name server ---------------------------------------------------------------------- */

/* A line: what is said of a name and type.  Data is "1.2.3.4", "::1", a name, or
 * "priority weight port target".  Lines of the same name and type are one answer. */
struct line {
	const char *name;
	int type;
	const char *data; /* NULL: none */
	int ttl, rcode;
	const char *also; /* the address under that CNAME, sent along */
	bool truncated;   /* over UDP */
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static const struct line *script;
static size_t script_n;
static bool is_silent, must_end;
static int delay_ms;
static char asked[4096]; /* "name:type " each */

static int udp = -1, tcp = -1;
static char server_text[32];
static pthread_t server;

static void put16(uint8_t **p, unsigned v)
{
	*(*p)++ = (uint8_t)(v >> 8);
	*(*p)++ = (uint8_t)v;
}

static void put_name(uint8_t **p, const char *name)
{
	while (*name) {
		size_t n = strcspn(name, ".");

		*(*p)++ = (uint8_t)n;
		memcpy(*p, name, n);
		*p += n;
		name += n + (name[n] == '.');
	}
	*(*p)++ = 0;
}

static void put_record(uint8_t **p, const char *name, int type, int ttl, const char *data)
{
	uint8_t *size;
	struct address ip;
	unsigned priority, weight, port;
	char target[128];

	put_name(p, name);
	put16(p, (unsigned)type);
	put16(p, 1);
	put16(p, (unsigned)ttl >> 16);
	put16(p, (unsigned)ttl & 0xffff);
	size = *p;
	*p += 2;
	if (type == A && address_parse_ip(str_of(data), 0, &ip)) {
		memcpy(*p, &ip.v4.sin_addr, 4);
		*p += 4;
	} else if (type == AAAA && address_parse_ip(str_of(data), 0, &ip)) {
		memcpy(*p, &ip.v6.sin6_addr, 16);
		*p += 16;
	} else if (type == SRV &&
		   sscanf(data, "%u %u %u %127s", &priority, &weight, &port, target) == 4) {
		put16(p, priority);
		put16(p, weight);
		put16(p, port);
		put_name(p, target);
	} else {
		put_name(p, data);
	}
	uint8_t *end = *p;
	*p = size;
	put16(p, (unsigned)(end - size - 2));
	*p = end;
}

static size_t read_question(const uint8_t *p, size_t n, char name[256], int *ret_type)
{
	size_t at = 12, out = 0;

	while (at < n && p[at]) {
		size_t size = p[at++];

		if (at + size >= n || out + size + 2 > 256)
			return 0;
		if (out)
			name[out++] = '.';
		memcpy(name + out, p + at, size);
		out += size;
		at += size;
	}
	name[out] = '\0';
	*ret_type = p[at + 1] << 8 | p[at + 2];
	return at + 5;
}

/* The answer to a question, in out; its size, 0 for none. */
static size_t answer(const uint8_t *p, size_t n, uint8_t *out, bool over_tcp)
{
	char name[256];
	int type, count = 0, rcode = 3;
	size_t question = read_question(p, n, name, &type);
	uint8_t *at = out + question;

	if (!question)
		return 0;
	memcpy(out, p, question);
	memset(out + 2, 0, 10);
	out[2] = 0x81;
	out[5] = 1;
	size_t used = strlen(asked);
	snprintf(asked + used, sizeof(asked) - used, "%s:%d ", name, type);
	for (size_t i = 0; i < script_n; i++) {
		const struct line *l = &script[i];

		if (strcasecmp(l->name, name) != 0)
			continue;
		rcode = rcode == 3 ? 0 : rcode; /* the name exists */
		if (l->type != type)
			continue;
		rcode = l->rcode;
		if (l->truncated && !over_tcp) {
			out[2] |= 2;
			continue;
		}
		if (l->data) {
			put_record(&at, l->name, l->type, l->ttl, l->data);
			count++;
		}
		if (l->also) {
			put_record(&at, l->data, A, l->ttl, l->also);
			count++;
		}
	}
	/* A CNAME answers every question. */
	for (size_t i = 0; i < script_n && count == 0; i++) {
		const struct line *l = &script[i];

		if (strcasecmp(l->name, name) != 0 || l->type != CNAME || !l->data)
			continue;
		put_record(&at, l->name, CNAME, l->ttl, l->data);
		count++;
		if (l->also && type == A) {
			put_record(&at, l->data, A, l->ttl, l->also);
			count++;
		}
	}
	out[3] = (uint8_t)rcode;
	out[7] = (uint8_t)count;
	return is_silent ? 0 : (size_t)(at - out);
}

static void serve_udp(void)
{
	uint8_t in[512], out[4096];
	struct sockaddr_storage from;
	socklen_t from_n = sizeof(from);
	ssize_t n = recvfrom(udp, in, sizeof(in), 0, (struct sockaddr *)&from, &from_n);
	int wait;

	if (n < 17)
		return;
	pthread_mutex_lock(&lock);
	size_t size = answer(in, (size_t)n, out, false);
	wait = delay_ms;
	pthread_mutex_unlock(&lock);
	usleep((useconds_t)wait * 1000);
	if (size)
		sendto(udp, out, size, 0, (struct sockaddr *)&from, from_n);
}

static void serve_tcp(void)
{
	uint8_t in[514], out[4098];
	int fd = accept4(tcp, NULL, NULL, SOCK_CLOEXEC);
	ssize_t n = fd < 0 ? 0 : recv(fd, in, 2, MSG_WAITALL);

	if (n == 2)
		n = recv(fd, in + 2, (size_t)in[0] << 8 | in[1], MSG_WAITALL);
	if (n >= 17) {
		pthread_mutex_lock(&lock);
		size_t size = answer(in + 2, (size_t)n, out + 2, true);
		pthread_mutex_unlock(&lock);
		out[0] = (uint8_t)(size >> 8);
		out[1] = (uint8_t)size;
		/* In two pieces, so that the reader must wait in between. */
		send(fd, out, 5, MSG_NOSIGNAL);
		usleep(5000);
		send(fd, out + 5, size - 3, MSG_NOSIGNAL);
		recv(fd, in, 1, 0);
	}
	if (fd >= 0)
		close(fd);
}

static void *serve(void *unused)
{
	(void)unused;
	for (;;) {
		struct pollfd p[2] = { { .fd = udp, .events = POLLIN },
				       { .fd = tcp, .events = POLLIN } };

		poll(p, 2, 20);
		pthread_mutex_lock(&lock);
		bool end = must_end;
		pthread_mutex_unlock(&lock);
		if (end)
			return NULL;
		if (p[0].revents)
			serve_udp();
		if (p[1].revents)
			serve_tcp();
	}
}

static int start_server(void **state)
{
	struct address at;

	(void)state;
	assert_true(address_parse_ip(STR("127.0.0.1"), 0, &at));
	for (int i = 0; i < 50 && tcp < 0; i++) { /* the same port for both */
		udp = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
		at.v4.sin_port = 0;
		assert_int_equal(bind(udp, &at.any, at.size), 0);
		assert_int_equal(getsockname(udp, &at.any, &at.size), 0);
		if (net_listen(&at, &(struct listen_options){ 0 }, &tcp))
			close(udp);
		err_forget();
	}
	assert_true(tcp >= 0);
	snprintf(server_text, sizeof(server_text), "127.0.0.1:%d", address_port(&at));
	return pthread_create(&server, NULL, serve, NULL);
}

static int end_server(void **state)
{
	(void)state;
	pthread_mutex_lock(&lock);
	must_end = true;
	pthread_mutex_unlock(&lock);
	pthread_join(server, NULL);
	close(udp);
	close(tcp);
	return 0;
}

static void set_script(const struct line *lines, size_t n)
{
	pthread_mutex_lock(&lock);
	script = lines;
	script_n = n;
	asked[0] = '\0';
	is_silent = false;
	delay_ms = 0;
	pthread_mutex_unlock(&lock);
}

static void set_server(bool silent, int delay)
{
	pthread_mutex_lock(&lock);
	is_silent = silent;
	delay_ms = delay;
	pthread_mutex_unlock(&lock);
}

/* What was asked since the last call. */
static const char *questions(void)
{
	static __thread char copy[4096];

	pthread_mutex_lock(&lock);
	snprintf(copy, sizeof(copy), "%s", asked);
	asked[0] = '\0';
	pthread_mutex_unlock(&lock);
	return copy;
}

#define SCRIPT(lines) set_script(lines, COUNT(lines))

/* ---- running a test ------------------------------------------------------------------------------ */

static char conf_path[] = "/tmp/test_dns.XXXXXX", hosts_path[] = "/tmp/test_dns.XXXXXX";

static void write_file(char path[], const char *text)
{
	int fd;

	memcpy(path + strlen(path) - 6, "XXXXXX", 6);
	fd = mkstemp(path);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	close(fd);
}

static struct dns_options plain_options(void)
{
	return (struct dns_options){ .valid_ttl_s = -1,
				     .stale_ttl_s = 4,
				     .not_found_ttl_s = 30,
				     .error_ttl_s = 1,
				     .cache_size = 1000 };
}

static void (*trial_fn)(void);

static void run_trial(void *unused)
{
	(void)unused;
	trial_fn();
	loop_stop(loop_self());
}

/* Runs fn as a fiber, with a resolver that asks our server. */
static void with_dns_of(struct dns_options o, const char *conf, const char *hosts, void (*fn)(void))
{
	struct loop *l = NULL;
	str servers[] = { str_of(server_text) };

	write_file(conf_path, conf);
	write_file(hosts_path, hosts);
	o.resolvers = (strs){ servers, 1 };
	o.resolv_conf = str_of(conf_path);
	o.hostsfile = str_of(hosts_path);
	assert_null(dns_start(&o));
	trial_fn = fn;
	assert_null(loop_new("test", 0, &l));
	fiber_start_on(l, "trial", run_trial, NULL);
	loop_run(l);
	loop_drop(&l);
	dns_stop();
	unlink(conf_path);
	unlink(hosts_path);
}

static void with_dns(const char *conf, const char *hosts, void (*fn)(void))
{
	with_dns_of(plain_options(), conf, hosts, fn);
}

static __thread deadline last_expires;

/* The answer as text: "1.2.3.4:80*5(target) ..." or the failure's words. */
static const char *resolve_until(const char *name, deadline until)
{
	static __thread char out[2048];
	struct arena *a CLEANUP(arena_drop) = arena_new();
	struct dns_answer *v = NULL;
	const char *text = NULL;
	size_t n = 0, used = 0;
	deadline expires = -1;
	enum dns_result result = dns_resolve(a, str_of(name), until, &v, &n, &expires, &text);

	if (result != DNS_OK) {
		snprintf(out, sizeof(out), "%s%s",
			 result == DNS_NOT_FOUND ? "not found: "
			 : result == DNS_FAILED  ? "failed: "
						 : "cancelled",
			 result == DNS_CANCELLED ? "" : text);
		return out;
	}
	out[0] = '\0';
	last_expires = expires;
	for (size_t i = 0; i < n; i++) {
		char ip[ADDRESS_TEXT];

		address_ip(&v[i].address, ip);
		used += (size_t)snprintf(out + used, sizeof(out) - used, "%s%s", i ? " " : "", ip);
		if (v[i].name.n)
			used += (size_t)snprintf(out + used, sizeof(out) - used, ":%d*%d(" STRF ")",
						 address_port(&v[i].address), v[i].weight,
						 STRV(v[i].name));
	}
	return out;
}

static const char *resolve(const char *name)
{
	return resolve_until(name, deadline_in(20000));
}

/* ---- what needs no server ------------------------------------------------------------------------- */

static void resolves_at_hand(void)
{
	set_script(NULL, 0);
	assert_string_equal(resolve("127.0.0.1"), "127.0.0.1");
	assert_int_equal(last_expires, DEADLINE_NEVER);
	assert_string_equal(resolve("::1"), "::1");
	assert_string_equal(resolve("[::1]"), "::1");
	assert_string_equal(resolve("localhost"), "127.0.0.1");
	assert_string_equal(resolve("LOCALHOST"), "127.0.0.1");
	assert_string_equal(resolve("one"), "10.0.0.1");
	assert_string_equal(resolve("Alias.One"), "10.0.0.1");
	assert_string_equal(resolve("two"), "10.0.0.2");
	assert_string_equal(resolve("six"), "fd00::6");
	assert_int_equal(last_expires, DEADLINE_NEVER);
	assert_string_equal(resolve("1.2.3.256"),
			    "failed: dns client error: 102 invalid name, bad IPv4");
	assert_string_equal(resolve("::g"), "failed: dns client error: 103 invalid name, bad IPv6");
	assert_string_equal(resolve(""), "failed: dns client error: 102 invalid name");
	assert_string_equal(questions(), "");
}

static void literals_and_the_hosts_file_need_no_server(void **state)
{
	(void)state;
	with_dns("",
		 "10.0.0.1 one alias.one # comment\n\n# nothing\n10.0.0.2\ttwo\n10.9.9.9 one\n"
		 "bad line\nfd00::6 six two\n",
		 resolves_at_hand);
}

/* ---- types ------------------------------------------------------------------------------------------- */

static void resolves_types(void)
{
	static const struct line lines[] = {
		{ "a.test", A, "10.0.0.1", 100 },
		{ "a.test", A, "10.0.0.2", 50 },
		{ "alias.test", CNAME, "a.test", 100 },
		{ "chain.test", CNAME, "alias.test", 100 },
		{ "six.test", AAAA, "fd00::1", 100 },
		{ "loop1.test", CNAME, "loop2.test", 100 },
		{ "loop2.test", CNAME, "loop1.test", 9 },
		{ "sent.test", CNAME, "x.test", 100, .also = "10.7.7.7" },
		{ "broken.test", A, NULL, 0, 2 },
	};
	deadline before = loop_now_ms();

	SCRIPT(lines);
	assert_string_equal(resolve("A.test"), "10.0.0.1 10.0.0.2");
	assert_string_equal(questions(), "a.test:33 a.test:1 ");
	assert_true(last_expires >= before + 50000 && last_expires <= loop_now_ms() + 50000);
	assert_string_equal(resolve("a.test"), "10.0.0.1 10.0.0.2");
	assert_string_equal(questions(), "");

	assert_string_equal(resolve("alias.test"), "10.0.0.1 10.0.0.2");
	assert_string_equal(resolve("chain.test"), "10.0.0.1 10.0.0.2");
	questions();
	assert_string_equal(resolve("sent.test"), "10.7.7.7");
	/* The SRV question brings the CNAME, the A one its address too. */
	assert_string_equal(questions(), "sent.test:33 sent.test:1 ");

	assert_string_equal(resolve("six.test"),
			    "not found: dns client error: 101 empty record received");
	assert_string_equal(resolve("none.test"), "not found: dns server error: 3 name error");
	assert_string_equal(resolve("broken.test"),
			    "failed: dns client error: 101 empty record received");
	assert_non_null(strstr(resolve("loop1.test"), "recursion detected"));
}

static void types_are_tried_in_order_and_cnames_followed(void **state)
{
	(void)state;
	with_dns("", "", resolves_types);
}

static void resolves_v6_first(void)
{
	static const struct line lines[] = {
		{ "both.test", A, "10.0.0.1", 100 },
		{ "both.test", AAAA, "fd00::1", 100 },
		{ "four.test", A, "10.0.0.4", 100 },
	};

	SCRIPT(lines);
	assert_string_equal(resolve("both.test"), "fd00::1");
	assert_string_equal(resolve("four.test"), "10.0.0.4");
	assert_string_equal(resolve("localhost"), "::1");
}

static void the_order_is_configured(void **state)
{
	str order[] = { STR_INIT("LAST"), STR_INIT("aaaa"), STR_INIT("A") };
	struct dns_options o = plain_options();

	(void)state;
	o.order = (strs){ order, 3 };
	with_dns_of(o, "", "", resolves_v6_first);
	order[0] = STR("MX");
	assert_non_null(dns_start(&o));
	o.order = (strs){ NULL, 0 };
	static const char *const bad[] = { "ns.test", "1.2.3.4:0", "1.2.3.4:65536", "::1:x", "" };
	for (size_t i = 0; i < COUNT(bad); i++) {
		str one[] = { str_of(bad[i]) };

		o.resolvers = (strs){ one, 1 };
		assert_non_null(dns_start(&o));
	}
	err_forget();
	str good[] = { STR_INIT("::1"), STR_INIT("[::1]:5353"), STR_INIT("127.0.0.1") };
	o.resolvers = (strs){ good, 3 };
	assert_null(dns_start(&o));
	dns_stop();
}

static void remembers_type(void)
{
	static const struct line lines[] = { { "a.test", A, "10.0.0.1", 1 } };

	SCRIPT(lines);
	assert_string_equal(resolve("a.test"), "10.0.0.1");
	assert_string_equal(questions(), "a.test:33 a.test:1 ");
	fiber_sleep(deadline_in(1100)); /* nothing stale is kept */
	assert_string_equal(resolve("a.test"), "10.0.0.1");
	assert_string_equal(questions(), "a.test:1 ");
}

static void the_last_type_is_tried_first(void **state)
{
	struct dns_options o = plain_options();

	(void)state;
	o.stale_ttl_s = 0;
	with_dns_of(o, "", "", remembers_type);
}

static void resolves_srv(void)
{
	static const struct line lines[] = {
		{ "s.test", SRV, "10 5 8001 one.test", 100 },
		{ "s.test", SRV, "10 0 8002 10.0.0.9", 100 },
		{ "s.test", SRV, "20 9 8003 three.test", 100 },
		{ "one.test", A, "10.0.0.1", 7 },
		{ "m.test", SRV, "1 10 80 many.test", 100 },
		{ "m.test", SRV, "1 10 81 one.test", 100 },
		{ "many.test", A, "10.0.1.1", 100 },
		{ "many.test", A, "10.0.1.2", 100 },
		{ "k8s.test", SRV, "1 1 80 k8s.test", 100 },
		{ "k8s.test", A, "10.0.2.1", 100 },
		{ "gone.test", SRV, "1 1 80 nowhere.test", 100 },
		{ "gone.test", SRV, "1 1 80 one.test", 100 },
		{ "twice.test", SRV, "1 1 80 one.test", 100 },
		{ "twice.test", SRV, "1 1 81 one.test", 100 },
		{ "outer.test", SRV, "1 1 0 inner.test", 100 },
		{ "inner.test", SRV, "1 1 99 10.0.3.1", 100 },
	};
	deadline now = loop_now_ms();

	SCRIPT(lines);
	assert_string_equal(resolve("s.test"),
			    "10.0.0.1:8001*5(one.test) 10.0.0.9:8002*1(10.0.0.9)");
	assert_true(last_expires <= now + 8000); /* one.test's */
	assert_string_equal(resolve("m.test"),
			    "10.0.1.1:80*10(many.test) "
			    "10.0.1.2:80*10(many.test) 10.0.0.1:81*20(one.test)");
	assert_string_equal(resolve("k8s.test"), "10.0.2.1");
	assert_string_equal(resolve("gone.test"), "10.0.0.1:80*1(one.test)");
	assert_string_equal(resolve("twice.test"),
			    "10.0.0.1:80*1(one.test) 10.0.0.1:81*1(one.test)");
	assert_string_equal(resolve("outer.test"), "10.0.3.1:99*1(inner.test)");
}

static void srv_records_give_ports_weights_and_the_first_priority(void **state)
{
	(void)state;
	with_dns("", "", resolves_srv);
}

/* ---- search ------------------------------------------------------------------------------------------- */

static void resolves_by_search(void)
{
	static const struct line lines[] = {
		{ "web.two.test", A, "10.0.0.1", 100 },
		{ "a.b.one.test", A, "10.0.0.2", 100 },
		{ "bare", A, "10.0.0.3", 100 },
	};

	SCRIPT(lines);
	assert_string_equal(resolve("web"), "10.0.0.1");
	assert_string_equal(questions(), "web.one.test:33 web.two.test:33 web:33 web.one.test:1 "
					 "web.two.test:1 ");
	assert_string_equal(resolve("web"), "10.0.0.1");
	assert_string_equal(questions(), ""); /* known by its short name */
	assert_string_equal(resolve("a.b"), "10.0.0.2");
	assert_non_null(strstr(questions(), "a.b:33 a.b.one.test:33 a.b.two.test:33 a.b:1 "));
	assert_string_equal(resolve("bare."), "10.0.0.3");
	assert_string_equal(questions(), "bare:33 bare:1 ");
	assert_string_equal(resolve("in.hosts"), "10.5.5.5");
}

static void search_names_are_tried_for_each_type(void **state)
{
	(void)state;
	with_dns("; comment\nsearch one.test two.test\noptions ndots:1 timeout:1 attempts:2\n",
		 "10.5.5.5 in.hosts\n", resolves_by_search);
}

/* ---- time ------------------------------------------------------------------------------------------------ */

static const struct line stale_before[] = { { "s.test", A, "10.0.0.1", 1 } };
static const struct line stale_after[] = { { "s.test", A, "10.0.0.2", 100 } };

static void resolves_stale(void)
{
	SCRIPT(stale_before);
	assert_string_equal(resolve("s.test"), "10.0.0.1");
	fiber_sleep(deadline_in(1050));
	SCRIPT(stale_after);
	set_server(false, 100);
	deadline began = loop_now_ms();
	assert_string_equal(resolve("s.test"), "10.0.0.1"); /* at once, and asks behind it */
	assert_true(loop_now_ms() - began < 90);
	assert_true(last_expires < loop_now_ms());
	assert_string_equal(resolve("s.test"), "10.0.0.1");
	for (int i = 0; i < 200 && strcmp(resolve("s.test"), "10.0.0.2") != 0; i++)
		fiber_sleep(deadline_in(10));
	assert_string_equal(resolve("s.test"), "10.0.0.2");
	assert_string_equal(questions(), "s.test:1 "); /* one refresh for all */
}

static void stale_answers_serve_while_one_refresh_runs(void **state)
{
	(void)state;
	with_dns("", "", resolves_stale);
}

static void resolves_failures(void)
{
	static const struct line fails[] = { { "f.test", A, NULL, 0, 2 },
					     { "f.test", CNAME, NULL, 0, 5 },
					     { "f.test", SRV, NULL, 0, 4 } };
	static const struct line works[] = { { "f.test", A, "10.0.0.1", 100 },
					     { "none.test", A, "10.0.0.2", 100 } };

	SCRIPT(fails);
	assert_string_equal(resolve("f.test"), "failed: dns server error: 5 refused");
	assert_string_equal(resolve("none.test"), "not found: dns server error: 3 name error");
	questions();
	assert_string_equal(resolve("f.test"), "failed: dns server error: 5 refused");
	assert_string_equal(questions(), ""); /* for error_ttl_s */
	SCRIPT(works);
	fiber_sleep(deadline_in(1100));
	for (int i = 0; i < 200 && strcmp(resolve("f.test"), "10.0.0.1") != 0; i++)
		fiber_sleep(deadline_in(10));
	assert_string_equal(resolve("f.test"), "10.0.0.1");
	assert_string_equal(resolve("none.test"), "not found: dns server error: 3 name error");
}

static void failures_are_kept_for_their_own_time(void **state)
{
	(void)state;
	with_dns("", "", resolves_failures);
}

static void resolves_ttl(void)
{
	static const struct line lines[] = { { "zero.test", A, "10.0.0.1", 0 } };

	SCRIPT(lines);
	assert_string_equal(resolve("zero.test"), "10.0.0.1");
	assert_int_equal(last_expires, DNS_EXPIRES_AT_ONCE);
	questions();
	assert_string_equal(resolve("zero.test"), "10.0.0.1");
	assert_string_equal(questions(), "zero.test:1 ");
}

static void resolves_valid_ttl(void)
{
	static const struct line lines[] = { { "zero.test", A, "10.0.0.1", 0 } };

	SCRIPT(lines);
	assert_string_equal(resolve("zero.test"), "10.0.0.1");
	assert_true(last_expires > loop_now_ms() + 50000);
}

static void a_ttl_of_zero_is_asked_anew_unless_overridden(void **state)
{
	struct dns_options o = plain_options();

	(void)state;
	o.stale_ttl_s = 0;
	with_dns_of(o, "", "", resolves_ttl);
	o.valid_ttl_s = 60;
	with_dns_of(o, "", "", resolves_valid_ttl);
}

static void resolves_in_vain(void)
{
	static const struct line lines[] = { { "slow.test", A, "10.0.0.1", 100 } };
	deadline began = loop_now_ms();

	SCRIPT(lines);
	set_server(true, 0);
	assert_string_equal(resolve_until("slow.test", deadline_in(30)),
			    "failed: dns lookup timed out");
	assert_true(loop_now_ms() - began < 1000);
	/* One server, one second, one attempt: then the question is given up. */
	assert_string_equal(resolve("slow.test"),
			    "failed: dns lookup pool exceeded retries (1): timeout");
	assert_true(loop_now_ms() - began < 8000);
}

static void silent_servers_end_in_a_timeout(void **state)
{
	str order[] = { STR_INIT("A") };
	struct dns_options o = plain_options();

	(void)state;
	o.order = (strs){ order, 1 };
	with_dns_of(o, "options timeout:1 attempts:1\n", "", resolves_in_vain);
}

/* ---- many at once -------------------------------------------------------------------------------------------- */

static int n_resolved, n_started;

static void resolves_shared(void *unused)
{
	(void)unused;
	if (strcmp(resolve("shared.test"), "10.0.0.1") == 0)
		n_resolved++;
	n_started--;
}

static void resolves_together(void)
{
	static const struct line lines[] = { { "shared.test", A, "10.0.0.1", 100 } };

	SCRIPT(lines);
	set_server(false, 20);
	n_resolved = 0;
	n_started = 50;
	for (int i = 0; i < 50; i++)
		fiber_start("resolves", resolves_shared, NULL);
	while (n_started > 0)
		fiber_sleep(deadline_in(1));
	assert_int_equal(n_resolved, 50);
}

static void a_name_in_flight_is_asked_once(void **state)
{
	struct dns_options o = plain_options();

	(void)state;
	with_dns("", "", resolves_together);
	assert_string_equal(questions(), "shared.test:33 shared.test:1 ");
	o.no_sync = true;
	with_dns_of(o, "", "", resolves_together);
	assert_true(strlen(questions()) > 50 * 15);
}

static char end_of_cancelled[64];

static void resolves_until_cancelled(void *unused)
{
	(void)unused;
	snprintf(end_of_cancelled, sizeof(end_of_cancelled), "%s", resolve("slow.test"));
}

static void cancels_while_resolving(void)
{
	static const struct line lines[] = { { "slow.test", A, "10.0.0.1", 100 } };
	struct fiber *f;

	SCRIPT(lines);
	set_server(true, 0);
	f = fiber_start_now("resolves", resolves_until_cancelled, NULL);
	fiber_sleep(deadline_in(10));
	fiber_cancel(f);
	fiber_sleep(deadline_in(2));
	assert_string_equal(end_of_cancelled, "cancelled");
	fiber_start_now("resolves", resolves_until_cancelled, NULL); /* the loop's end cancels it */
	end_of_cancelled[0] = '\0';
}

static void a_cancelled_fiber_stops_waiting_for_an_answer(void **state)
{
	(void)state;
	with_dns("", "", cancels_while_resolving);
	assert_string_equal(end_of_cancelled, "cancelled");
}

static void *resolve_on_a_loop(void *p)
{
	loop_run(p);
	return NULL;
}

static void resolves_many(void *p)
{
	int *bad = p;

	for (int i = 0; i < 200; i++) {
		char name[32], want[32];

		snprintf(name, sizeof(name), "n%d.test", i % 4);
		snprintf(want, sizeof(want), "10.0.0.%d", i % 4);
		*bad += strcmp(resolve(name), want) != 0;
		fiber_yield();
	}
	loop_stop(loop_self());
}

static void several_loops_share_the_cache(void **state)
{
	static const struct line lines[] = {
		{ "n0.test", A, "10.0.0.0", 0 },
		{ "n1.test", A, "10.0.0.1", 100 },
		{ "n2.test", A, "10.0.0.2", 0 },
		{ "n3.test", A, "10.0.0.3", 100 },
	};
	struct loop *l[3] = { NULL };
	pthread_t threads[3];
	int bad[3] = { 0 };
	struct dns_options o = plain_options();
	str servers[] = { str_of(server_text) };

	(void)state;
	SCRIPT(lines);
	write_file(conf_path, "");
	o.resolvers = (strs){ servers, 1 };
	o.resolv_conf = str_of(conf_path);
	o.hostsfile = str_of(conf_path);
	o.stale_ttl_s = 0;
	o.cache_size = 5; /* pushes entries out all the time */
	assert_null(dns_start(&o));
	for (int i = 0; i < 3; i++) {
		assert_null(loop_new("test", i, &l[i]));
		fiber_start_on(l[i], "resolves", resolves_many, &bad[i]);
		pthread_create(&threads[i], NULL, resolve_on_a_loop, l[i]);
	}
	for (int i = 0; i < 3; i++) {
		pthread_join(threads[i], NULL);
		assert_int_equal(bad[i], 0);
		loop_drop(&l[i]);
	}
	dns_stop();
	unlink(conf_path);
}

/* ---- transport ------------------------------------------------------------------------------------------------- */

static void resolves_over_tcp(void)
{
	static const struct line lines[] = {
		{ "big.test", A, "10.0.0.1", 100, .truncated = true },
		{ "big.test", A, "10.0.0.2", 100, .truncated = true },
	};

	SCRIPT(lines);
	assert_string_equal(resolve("big.test"), "10.0.0.1 10.0.0.2");
	assert_string_equal(questions(), "big.test:33 big.test:1 big.test:1 ");
}

static void truncated_answers_are_fetched_over_tcp(void **state)
{
	(void)state;
	with_dns("", "", resolves_over_tcp);
}

static void resolves_nothing(void)
{
	assert_string_equal(resolve("a.test"),
			    "failed: dns lookup pool exceeded retries (1): timeout");
	assert_string_equal(resolve("localhost"), "127.0.0.1");
}

static void without_servers_names_fail_at_once(void **state)
{
	struct dns_options o = plain_options();
	struct loop *l = NULL;

	(void)state;
	o.resolv_conf = STR("/nonexistent/resolv.conf");
	o.hostsfile = STR("/nonexistent/hosts");
	assert_null(dns_start(&o));
	trial_fn = resolves_nothing;
	assert_null(loop_new("test", 0, &l));
	fiber_start_on(l, "trial", run_trial, NULL);
	loop_run(l);
	loop_drop(&l);
	dns_stop();
	dns_stop();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(literals_and_the_hosts_file_need_no_server),
		cmocka_unit_test(types_are_tried_in_order_and_cnames_followed),
		cmocka_unit_test(the_order_is_configured),
		cmocka_unit_test(the_last_type_is_tried_first),
		cmocka_unit_test(srv_records_give_ports_weights_and_the_first_priority),
		cmocka_unit_test(search_names_are_tried_for_each_type),
		cmocka_unit_test(stale_answers_serve_while_one_refresh_runs),
		cmocka_unit_test(failures_are_kept_for_their_own_time),
		cmocka_unit_test(a_ttl_of_zero_is_asked_anew_unless_overridden),
		cmocka_unit_test(silent_servers_end_in_a_timeout),
		cmocka_unit_test(a_name_in_flight_is_asked_once),
		cmocka_unit_test(a_cancelled_fiber_stops_waiting_for_an_answer),
		cmocka_unit_test(several_loops_share_the_cache),
		cmocka_unit_test(truncated_answers_are_fetched_over_tcp),
		cmocka_unit_test(without_servers_names_fail_at_once),
	};

	return cmocka_run_group_tests(tests, start_server, end_server);
}
