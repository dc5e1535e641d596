/* SPDX-License-Identifier: Apache-2.0 */
/* The adapter of hiredis: its formatter and its reader, over our own sockets. */
#include "clients/redis.h"

#include "base/buf.h"
#include "base/limits.h"
#include "base/mem.h"
#include "clients/redis_replies.h"
#include "clients/trust.h"
#include "net/dns.h"

#include <hiredis/hiredis.h>

#define IDLE_MS    10000
#define IDLE_MOST  100 /* kept connections of a pool */
#define SWEEP_MS   1000
#define QUIET_MS   250   /* after a failed attempt, before the next */
#define FORGET_MS  60000 /* what is known of a server that nobody asks any more */
#define WORDS_MOST 100000
#define CHUNK      4096

struct pool {
	struct pool *next;
	uint8_t identity[32];
	struct list idle; /* the newest first */
	unsigned n_idle, n_used;

	/* While the server cannot be reached. */
	char failure[256]; /* of the last attempt; "": all is well */
	enum err_code failure_code;
	deadline quiet_until;
	bool is_trying;

	deadline no_scripts_until;
	deadline forget_at;
};

struct conn {
	struct sock sock;
	struct pool *pool;
	struct list link; /* in the pool, while idle */
	deadline idle_until;
};

/* The loop's own. */
static _Thread_local struct {
	struct pool *pools;
	struct timer sweep;
	bool is_swept; /* the timer is set */
} here;

/* ---- pools --------------------------------------------------------------------------------- */

static void close_conn(struct conn **ref)
{
	struct conn *c = *ref;

	if (!c)
		return;
	*ref = NULL;
	sock_close(&c->sock);
	c->pool->n_used--;
	mem_free(c);
}

static void leave_idle(struct conn *c)
{
	list_remove(&c->link);
	io_unpark(&c->sock.io);
	c->pool->n_idle--;
	c->pool->n_used++;
}

static void close_idle(struct conn *c)
{
	leave_idle(c);
	close_conn(&c);
}

/* The server closes it, or says something unasked. */
static void on_unasked(struct io *io)
{
	close_idle(CONTAINER(CONTAINER(io, struct sock, io), struct conn, sock));
}

/* The oldest are at the end of their list. */
static void sweep(struct timer *t)
{
	int64_t now = loop_now_ms();

	for (struct pool **at = &here.pools; *at;) {
		struct pool *p = *at;

		while (p->n_idle) {
			struct conn *c = CONTAINER(p->idle.prev, struct conn, link);

			if (c->idle_until > now)
				break;
			close_idle(c);
		}
		if (p->n_idle || p->n_used || p->forget_at > now) {
			at = &p->next;
			continue;
		}
		*at = p->next;
		mem_free(p);
	}
	here.is_swept = here.pools;
	if (here.is_swept)
		timer_set(t, now + SWEEP_MS);
}

/* All that makes two connections different; a digest, for there is a secret in it. */
static void identify(struct arena *a, const struct redis_server *s, uint8_t ret[32])
{
	str text = str_fmt(a, "%d %d %d %lld %zu " STRF " %zu " STRF " %zu " STRF " %zu ", s->port,
			   s->ssl, s->verify, (long long)s->database, s->host.n, STRV(s->host),
			   s->server_name.n, STRV(s->server_name), s->username.n, STRV(s->username),
			   s->password.n);

	digest_sha256(str_cat(a, text, s->password), ret);
}

static struct pool *pool_of(struct arena *a, const struct redis_server *s)
{
	uint8_t identity[32];
	struct pool *p;

	identify(a, s, identity);
	for (p = here.pools; p; p = p->next) {
		if (memcmp(p->identity, identity, sizeof(identity)) == 0)
			break;
	}
	if (!p) {
		p = MEM_NEW(struct pool);
		memcpy(p->identity, identity, sizeof(identity));
		list_init(&p->idle);
		p->next = here.pools;
		here.pools = p;
	}
	if (!here.is_swept) {
		timer_init(&here.sweep, sweep);
		timer_set(&here.sweep, deadline_in(SWEEP_MS));
		here.is_swept = true;
	}
	p->forget_at = deadline_in(FORGET_MS);
	return p;
}

static struct conn *take_idle(struct pool *p)
{
	while (p->n_idle) {
		struct conn *c = CONTAINER(p->idle.next, struct conn, link);

		if (!sock_is_stale(&c->sock)) {
			leave_idle(c);
			return c;
		}
		close_idle(c);
	}
	return NULL;
}

static void keep(struct conn **ref)
{
	struct conn *c = *ref;
	struct pool *p = c->pool;

	if (p->n_idle >= IDLE_MOST || sock_is_stale(&c->sock)) {
		close_conn(ref);
		return;
	}
	*ref = NULL;
	p->n_used--;
	p->n_idle++;
	c->idle_until = deadline_in(IDLE_MS);
	list_add_front(&p->idle, &c->link);
	if (c->sock.tls)
		tls_release_buffers(c->sock.tls);
	io_park(&c->sock.io, on_unasked);
}

void redis_leave(void)
{
	if (here.is_swept)
		timer_clear(&here.sweep);
	while (here.pools) {
		struct pool *p = here.pools;

		while (p->n_idle)
			close_idle(CONTAINER(p->idle.next, struct conn, link));
		here.pools = p->next;
		mem_free(p);
	}
	here.is_swept = false;
}

/* ---- replies ------------------------------------------------------------------------------- */

/* Where the value that is being read belongs: the root, or a place in the list around it. */
static struct redis_reply *place(const redisReadTask *task, enum redis_kind kind)
{
	const struct redis_replies *g = task->privdata;
	struct redis_reply *r = g->at;

	if (task->parent)
		r = &((struct redis_reply *)task->parent->obj)->items[task->idx];
	r->kind = kind;
	return r;
}

static void *make_text(const redisReadTask *task, char *s, size_t n)
{
	struct redis_replies *g = task->privdata;
	struct redis_reply *r = place(task, task->type == REDIS_REPLY_ERROR    ? REDIS_ERROR
					    : task->type == REDIS_REPLY_STATUS ? REDIS_STATUS
									       : REDIS_TEXT);

	r->s = str_at(arena_copy(g->a, s, n), n);
	return r;
}

/* NULL is an error: the list is longer than we take. */
static void *make_list(const redisReadTask *task, int n)
{
	struct redis_replies *g = task->privdata;
	struct redis_reply *r;

	if (n < 0 || (size_t)n > LIMIT_REDIS_ITEMS - g->items) {
		g->is_too_long = true;
		return NULL;
	}
	g->items += (size_t)n;
	r = place(task, REDIS_LIST);
	r->items = NEWS(g->a, struct redis_reply, (size_t)n);
	r->n = (size_t)n;
	return r;
}

static void *make_int(const redisReadTask *task, long long i)
{
	struct redis_reply *r = place(task, REDIS_INT);

	r->i = i;
	return r;
}

static void *make_nil(const redisReadTask *task)
{
	return place(task, REDIS_NIL);
}

static void leave_to_arena(void *reply)
{
	(void)reply;
}

/* hiredis itself refuses lists in lists of more than seven levels. */
static redisReplyObjectFunctions makers = {
	.createString = make_text,
	.createArray = make_list,
	.createInteger = make_int,
	.createNil = make_nil,
	.freeObject = leave_to_arena,
};

void redis_replies_init(struct redis_replies *g, struct arena *a)
{
	*g = (struct redis_replies){
		.a = a,
		.reader = redisReaderCreateWithFunctions(&makers),
	};
	if (!g->reader)
		die("no memory");
	redisReaderSetPrivdata(g->reader, g);
}

void redis_replies_done(struct redis_replies *g)
{
	redisReaderFree(g->reader);
	g->reader = NULL;
}

struct err *redis_replies_feed(struct redis_replies *g, const char *p, size_t n)
{
	g->bytes += n;
	if (g->bytes > LIMIT_REDIS_BYTES)
		return FAIL(ERR_REFUSED, "reading: the reply has more than %zu bytes",
			    (size_t)LIMIT_REDIS_BYTES);
	if (redisReaderFeed(g->reader, p, n) != REDIS_OK)
		return FAIL(ERR_REFUSED, "reading: %s", g->reader->errstr);
	return NULL;
}

struct err *redis_replies_next(struct redis_replies *g, struct redis_reply *ret, bool *ret_is_whole)
{
	void *reply = NULL;

	g->at = ret;
	if (redisReaderGetReply(g->reader, &reply) != REDIS_OK)
		return FAIL(ERR_REFUSED, "reading: %s",
			    g->is_too_long ? "a list is too long" : g->reader->errstr);
	*ret_is_whole = reply != NULL;
	return NULL;
}

bool redis_replies_has_more(const struct redis_replies *g)
{
	return g->reader->pos < g->reader->len;
}

/* ---- one exchange ---------------------------------------------------------------------------- */

static struct err *broken(const struct conn *c, ssize_t end, const char *doing)
{
	switch (end) {
	case NET_CANCELLED:
		return FAIL(ERR_CANCELLED, "cancelled");
	case NET_TIMEOUT:
		return FAIL(ERR_TIMEOUT, "%s: timed out", doing);
	case NET_EOF:
		return FAIL(ERR_REFUSED, "%s: the server closed the connection", doing);
	default:
		return FAIL(ERR_REFUSED, "%s: %s", doing, sock_error(&c->sock));
	}
}

static struct err *format(struct buf *out, const strs *command)
{
	struct arena *a CLEANUP(arena_drop) = arena_new();
	const char **words;
	size_t *sizes;
	char *text;
	int n;

	if (!command->n || command->n > WORDS_MOST)
		return FAIL(ERR_INVALID, "a command of %zu words", command->n);
	words = NEWS(a, const char *, command->n);
	sizes = NEWS(a, size_t, command->n);
	for (size_t i = 0; i < command->n; i++) {
		words[i] = command->v[i].n ? command->v[i].s : "";
		sizes[i] = command->v[i].n;
	}
	n = redisFormatCommandArgv(&text, (int)command->n, words, sizes);
	if (n < 0)
		return FAIL(ERR_INVALID, "cannot write a command");
	buf_add(out, text, (size_t)n);
	redisFreeCommand(text);
	return out->is_full ? FAIL(ERR_INVALID, "the commands have more than %zu bytes",
				   (size_t)LIMIT_REDIS_BYTES)
			    : NULL;
}

static struct err *receive(struct conn *c, struct redis_replies *g, deadline until,
			   struct redis_reply *ret)
{
	char chunk[CHUNK];
	bool is_whole;

	for (;;) {
		ssize_t n;

		PASS(redis_replies_next(g, ret, &is_whole));
		if (is_whole)
			return NULL;
		n = sock_read(&c->sock, chunk, sizeof(chunk), until);
		if (n <= 0)
			return broken(c, n, "reading");
		PASS(redis_replies_feed(g, chunk, (size_t)n));
	}
}

/* After an error the connection cannot be used any more. */
static struct err *exchange(struct conn *c, struct arena *a, const strs *commands, size_t n,
			    int64_t timeout_ms, struct redis_reply *ret)
{
	struct redis_replies g CLEANUP(redis_replies_done) = { 0 };
	struct buf out CLEANUP(buf_done) = { 0 };
	ssize_t sent;

	redis_replies_init(&g, a);
	buf_init(&out, LIMIT_REDIS_BYTES);
	for (size_t i = 0; i < n; i++)
		PASS(format(&out, &commands[i]));
	sent = sock_write(&c->sock, out.data, out.n, deadline_in(timeout_ms));
	if (sent <= 0)
		return broken(c, sent, "sending");
	for (size_t i = 0; i < n; i++) {
		ret[i] = (struct redis_reply){ 0 };
		PASS(receive(c, &g, deadline_in(timeout_ms), &ret[i]));
	}
	if (redis_replies_has_more(&g))
		return FAIL(ERR_REFUSED, "reading: more replies than commands");
	return NULL;
}

/* ---- connecting ------------------------------------------------------------------------------ */

static struct err *refused(const struct redis_reply *r, const char *doing)
{
	if (r->kind != REDIS_ERROR)
		return NULL;
	return FAIL(ERR_REFUSED, "%s%s" STRF, doing, *doing ? ": " : "", STRV(r->s));
}

static struct err *log_in(struct conn *c, struct arena *a, const struct redis_server *s)
{
	str words[3] = { STR("AUTH") }, select[2] = { STR("SELECT") };
	struct redis_reply replies[2];
	strs commands[2];
	size_t n = 0, k = 1;

	if (s->password.n) {
		if (s->username.n)
			words[k++] = s->username;
		words[k++] = s->password;
		commands[n++] = (strs){ words, k };
	}
	if (s->database) {
		select[1] = str_fmt(a, "%lld", (long long)s->database);
		commands[n++] = (strs){ select, 2 };
	}
	if (n)
		PASS(exchange(c, a, commands, n, s->timeout_ms, replies));
	for (size_t i = 0; i < n; i++)
		PASS(refused(&replies[i], commands[i].v == words ? "AUTH" : "SELECT"));
	return NULL;
}

static struct err *secure(struct conn *c, const struct redis_server *s)
{
	struct tls_context *tls;

	PASS(trust_context(s->verify, &tls));
	return tls_connect(&c->sock, tls, s->server_name.n ? s->server_name : s->host, s->verify,
			   deadline_in(s->timeout_ms));
}

/* The first address that answers. */
static struct err *reach(struct conn *c, struct arena *a, const struct redis_server *s)
{
	struct dns_answer *answers;
	const char *why = "no address";
	enum net_end end = NET_FAILED;
	deadline expires;
	size_t n;

	switch (dns_resolve(a, s->host, deadline_in(s->timeout_ms), &answers, &n, &expires, &why)) {
	case DNS_OK:
		break;
	case DNS_CANCELLED:
		return FAIL(ERR_CANCELLED, "cancelled");
	default:
		return FAIL(ERR_REFUSED, "name resolution failed: %s", why);
	}
	for (size_t i = 0; i < n && end != NET_OK && end != NET_CANCELLED; i++) {
		struct address to = answers[i].address;

		if (address_port(&to) == 0) /* the same place in both families */
			to.v4.sin_port = htons(s->port);
		end = sock_connect(&c->sock, &to, deadline_in(s->timeout_ms));
	}
	return end == NET_OK ? NULL : broken(c, end, "connecting");
}

static struct err *connect_new(struct pool *p, struct arena *a, const struct redis_server *s,
			       struct conn **ret)
{
	struct conn *c CLEANUP(close_conn) = MEM_NEW(struct conn);

	c->pool = p;
	c->sock.io.fd = -1;
	list_init(&c->link);
	p->n_used++;
	PASS(reach(c, a, s));
	if (s->ssl)
		TRY(secure(c, s), "TLS");
	PASS(log_in(c, a, s));
	*ret = TAKE(c);
	return NULL;
}

/* ---- asking ---------------------------------------------------------------------------------- */

static struct err *ask_once(struct pool *p, struct arena *a, const struct redis_server *s,
			    const strs *commands, size_t n, struct redis_reply *ret)
{
	struct conn *c CLEANUP(close_conn) = take_idle(p);

	if (!c)
		PASS(connect_new(p, a, s, &c));
	PASS(exchange(c, a, commands, n, s->timeout_ms, ret));
	keep(&c);
	return NULL;
}

static struct err *in_words(struct err *e, const struct redis_server *s)
{
	return err_in(e, __FILE__, __LINE__, "Redis " STRF ":%d", STRV(s->host), s->port);
}

struct err *redis_ask_all(struct arena *a, const struct redis_server *s, const strs *commands,
			  size_t n, struct redis_reply *ret)
{
	struct pool *p = pool_of(a, s);
	bool was_failing = p->failure[0];
	struct err *e;

	if (n == 0 || n > REDIS_COMMANDS_MAX)
		return FAIL(ERR_INVALID, "%zu commands at once", n);
	if (was_failing && (p->is_trying || loop_now_ms() < p->quiet_until))
		return in_words(FAIL(p->failure_code, "%s", p->failure), s);
	p->is_trying |= was_failing;
	p->n_used++; /* so that the pool is there when we come back */
	e = ask_once(p, a, s, commands, n, ret);
	p->n_used--;
	if (was_failing)
		p->is_trying = false;
	if (!e) {
		p->failure[0] = '\0';
		return NULL;
	}
	if (e->code != ERR_CANCELLED && e->code != ERR_INVALID) {
		snprintf(p->failure, sizeof(p->failure), STRF, STRV(err_line(a, e)));
		p->failure_code = e->code;
		p->quiet_until = deadline_in(QUIET_MS);
	}
	return in_words(e, s);
}

struct err *redis_ask(struct arena *a, const struct redis_server *s, const str *words, size_t n,
		      struct redis_reply *ret)
{
	str *copy = arena_copy(a, words, n * sizeof(*words));
	struct err *e;

	PASS(redis_ask_all(a, s, &(strs){ copy, n }, 1, ret));
	e = refused(ret, "");
	return e ? in_words(e, s) : NULL;
}

/* ---- scripts --------------------------------------------------------------------------------- */

static str digest_of(struct arena *a, const struct redis_script *script)
{
	uint8_t digest[20];

	digest_sha1(str_of(script->text), digest);
	return hex_encode(a, str_at((const char *)digest, sizeof(digest)));
}

static bool says(const struct redis_reply *r, const char *begins)
{
	return r->kind == REDIS_ERROR && str_starts(r->s, str_of(begins));
}

struct err *redis_run(struct arena *a, const struct redis_server *s,
		      const struct redis_script *script, const str *words, size_t n_keys, size_t n,
		      struct redis_reply *ret)
{
	struct pool *p = pool_of(a, s);
	str *all = NEWS(a, str, n + 3);
	strs command = { all, n + 3 };
	struct err *e;

	if (loop_now_ms() < p->no_scripts_until)
		return FAIL(ERR_NOT_FOUND, "the server runs no scripts for us");
	all[0] = STR("EVALSHA");
	all[1] = digest_of(a, script);
	all[2] = str_fmt(a, "%zu", n_keys);
	memcpy(all + 3, words, n * sizeof(*words));
	PASS(redis_ask_all(a, s, &command, 1, ret));
	if (says(ret, "NOSCRIPT")) {
		all[0] = STR("EVAL");
		all[1] = str_of(script->text);
		PASS(redis_ask_all(a, s, &command, 1, ret));
	}
	if (says(ret, "NOPERM") || says(ret, "ERR unknown command")) {
		p = pool_of(a, s); /* it may be another one by now */
		p->no_scripts_until = deadline_in(FORGET_MS);
		return FAIL(ERR_NOT_FOUND, "the server runs no scripts for us");
	}
	e = refused(ret, "");
	return e ? in_words(e, s) : NULL;
}
