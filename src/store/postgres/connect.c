/* SPDX-License-Identifier: Apache-2.0 */
/* From options to a connection that is logged in.
 *
 *	pg_connect ─► addresses ─► log_in ─► each address ─► dial (TLS) ────────► session
 *	                             ▲  │            │          └ chain's depth
 *	      new user or password ──┘  │            └─► dial (clear), only when the server
 *	      no start-up options ──────┘                has no TLS and nothing asks for it
 *
 * libpq's sslmode is not kong.conf's: its "prefer" goes on in clear after any
 * failed handshake.  So TLS is always asked for as "require" or more, and the step
 * into clear text is our own.  Files reach libpq as memory, under names of
 * /proc/self/fd: they are read and checked off the loop, and a worker that gave
 * up root still has its key.  What libpq would take from PG* variables or from the
 * home directory is set, so that neither has a say in what is encrypted, verified
 * or shown. */
#include "store/postgres/priv.h"

#include "base/buf.h"
#include "base/log.h"
#include "base/mem.h"
#include "net/dns.h"
#include "net/tls.h"
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define NO_TLS        "the server does not support SSL connections"
#define NO_FILE       "/dev/null/none" /* a path that cannot be */
#define DEPTH_MAX     100              /* as OpenSSL has it by itself */
#define EXPLAIN_MAX   3
#define ADDRESSES_MAX 16
#define PARAMS_MAX    40
#define OPTIONS_BYTES 4096

enum { FILE_CERT, FILE_KEY, FILE_CRL, FILE_TRUSTED, FILE_COUNT_ };

/* One call of pg_connect(). */
struct attempt {
	const struct pg_options *o;
	struct arena *a;
	str user, password;
	const char *host;
	strs ips;            /* of host; none: a Unix socket */
	str ip;              /* the one being tried; unset: as above */
	bool is_reached;     /* it took the connection */
	bool is_unexplained; /* the chain was refused before it was watched */
	struct pg_files files;
	int fds[FILE_COUNT_]; /* -1: none */
	bool has_session_options;
	deadline until;
};

static void attempt_done(struct attempt *t)
{
	for (int i = 0; i < FILE_COUNT_; i++) {
		if (t->fds[i] >= 0)
			close(t->fds[i]);
		t->fds[i] = -1;
	}
}

/* ---- where to ---------------------------------------------------------------------------- */

static str ip_text(struct arena *a, const struct address *ip)
{
	char text[ADDRESS_TEXT];
	size_t n = address_ip(ip, text);

	return str_copy(a, str_at(text, n));
}

static struct err *resolve(struct attempt *t, str host)
{
	struct dns_answer *answers;
	size_t n;
	deadline expires;
	const char *why = "";
	enum dns_result got = dns_resolve(t->a, host, t->until, &answers, &n, &expires, &why);

	if (got == DNS_CANCELLED)
		return FAIL(ERR_CANCELLED, "cancelled");
	if (got != DNS_OK)
		return pg_own_error(
			ERR_SYSTEM, t->o->is_ro,
			str_fmt(t->a, "name resolution of " STRF " failed: %s", STRV(host), why).s);
	t->ips.n = n < ADDRESSES_MAX ? n : ADDRESSES_MAX;
	t->ips.v = NEWS(t->a, str, t->ips.n);
	for (size_t i = 0; i < t->ips.n; i++)
		t->ips.v[i] = ip_text(t->a, &answers[i].address);
	return NULL;
}

static struct err *find_addresses(struct attempt *t)
{
	str host = t->o->host;
	struct address ip;

	t->host = str_z(t->a, host);
	if (host.n && host.s[0] == '/') {
		if (t->o->ssl && (t->o->required || t->o->verify))
			return pg_own_error(ERR_INVALID, t->o->is_ro, NO_TLS);
		return NULL;
	}
	if (!address_parse_ip(host, 0, &ip))
		return resolve(t, host);
	t->ips = (strs){ NEWS(t->a, str, 1), 1 };
	t->ips.v[0] = ip_text(t->a, &ip);
	t->host = str_z(t->a, t->ips.v[0]); /* without brackets */
	return NULL;
}

/* ---- files ----------------------------------------------------------------------------------- */

struct reading {
	struct attempt *t;
	struct err *e;
};

static void read_files(void *p)
{
	struct reading *r = p;

	r->e = err_keep(r->t->a, settings_read_pg_files(r->t->a, r->t->o->settings, &r->t->files));
}

static struct err *put_in_memory(str text, int *ret_fd)
{
	int fd;

	if (!text.n)
		return NULL;
	fd = memfd_create("gibbon-pg", MFD_CLOEXEC);
	if (fd < 0)
		return FAIL_ERRNO("memfd_create");
	*ret_fd = fd;
	if (fchmod(fd, 0600) < 0)
		return FAIL_ERRNO("memfd: chmod");
	while (text.n) {
		ssize_t n = write(fd, text.s, text.n);

		if (n < 0)
			return FAIL_ERRNO("memfd: write");
		text = str_from(text, (size_t)n);
	}
	return NULL;
}

static struct err *prepare_files(struct attempt *t)
{
	struct reading r = { .t = t };

	offload(read_files, &r);
	PASS(err_here(r.e));
	PASS(put_in_memory(t->files.client.cert, &t->fds[FILE_CERT]));
	PASS(put_in_memory(t->files.client.key, &t->fds[FILE_KEY]));
	PASS(put_in_memory(t->files.crl, &t->fds[FILE_CRL]));
	return put_in_memory(t->files.trusted, &t->fds[FILE_TRUSTED]);
}

static const char *path_of(struct attempt *t, int which)
{
	if (t->fds[which] < 0)
		return NO_FILE;
	return str_fmt(t->a, "/proc/self/fd/%d", t->fds[which]).s;
}

/* ---- libpq's options ---------------------------------------------------------------------------- */

struct params {
	const char *names[PARAMS_MAX + 1], *values[PARAMS_MAX + 1];
	size_t n;
};

static void add(struct params *p, const char *name, const char *value)
{
	p->names[p->n] = name;
	p->values[p->n++] = value;
}

/* clang-format off */
static const struct version {
	const char *word, *least, *most;
	unsigned only; /* TLS_...; 0: several */
} versions[] = {
	{ "tlsv1_1", "TLSv1.1", "TLSv1.1", TLS_1_1 },
	{ "tlsv1_2", "TLSv1.2", "TLSv1.2", TLS_1_2 },
	{ "tlsv1_3", "TLSv1.3", "TLSv1.3", TLS_1_3 },
	{ "any",     "TLSv1.1", "TLSv1.3", 0 },
};
/* clang-format on */

static const struct version *version_of(const struct pg_options *o)
{
	for (size_t i = 0; i < COUNT(versions); i++) {
		if (str_is(o->ssl_version, versions[i].word))
			return &versions[i];
	}
	return &versions[1];
}

static struct err *check_policy(const struct pg_options *o)
{
	const struct version *v = version_of(o);

	if (!v->only || tls_policy_allows(v->only))
		return NULL;
	return pg_own_error(ERR_INVALID, o->is_ro,
			    v->only == TLS_1_1
				    ? "unsupported protocol: OpenSSL's policy here has no TLS 1.1"
				    : "no protocols available");
}

static void add_tls(struct attempt *t, struct params *p)
{
	const struct pg_options *o = t->o;
	const struct version *v = version_of(o);

	add(p, "sslmode", o->verify_host ? "verify-full" : o->verify ? "verify-ca" : "require");
	add(p, "ssl_min_protocol_version", v->least);
	add(p, "ssl_max_protocol_version", v->most);
	add(p, "sslcert", path_of(t, FILE_CERT));
	add(p, "sslkey", path_of(t, FILE_KEY));
	/* "require" with a root certificate would verify, which nobody asked for. */
	add(p, "sslrootcert", o->verify ? path_of(t, FILE_TRUSTED) : NO_FILE);
	add(p, "sslcrl", o->verify ? path_of(t, FILE_CRL) : NO_FILE);
	add(p, "sslcompression", "0");
	add(p, "sslsni", "1");
}

/* "schema" with quotes doubled, as an identifier. */
static str quoted(struct arena *a, str name)
{
	str rest = name, piece, out = STR("\"");
	bool is_first = true;

	while (str_next(&rest, '"', &piece)) {
		out = is_first ? str_cat(a, out, piece)
			       : str_fmt(a, STRF "\"\"" STRF, STRV(out), STRV(piece));
		is_first = false;
	}
	return str_cat(a, out, STR("\""));
}

/* The session's state in the start-up packet, where pools of transactions let it
 * be; backslashes and spaces are escaped as libpq's `options` want it. */
static const char *session_options(struct attempt *t)
{
	struct buf out CLEANUP(buf_done);
	str path;

	buf_init(&out, OPTIONS_BYTES);
	buf_add_str(&out, STR("-c timezone=UTC -c datestyle=ISO"));
	if (t->o->ends_orphans)
		buf_add_str(&out, STR(" -c client_connection_check_interval=1000"));
	if (t->o->schema.n) {
		buf_add_str(&out, STR(" -c search_path="));
		path = quoted(t->a, t->o->schema);
		for (size_t i = 0; i < path.n; i++) {
			if (strchr(" \t\n\\", path.s[i]))
				buf_add_char(&out, '\\');
			buf_add_char(&out, path.s[i]);
		}
	}
	return str_z(t->a, buf_str(&out));
}

static void fill(struct attempt *t, bool in_clear, struct params *p)
{
	const struct pg_options *o = t->o;

	add(p, "host", t->host);
	if (t->ip.n)
		add(p, "hostaddr", str_z(t->a, t->ip));
	add(p, "port", str_fmt(t->a, "%u", o->port).s);
	add(p, "dbname", str_z(t->a, o->database));
	add(p, "user", str_z(t->a, t->user));
	add(p, "password", str_z(t->a, t->password));
	add(p, "passfile", NO_FILE);
	add(p, "application_name", "gibbon");
	add(p, "client_encoding", "UTF8");
	if (t->has_session_options)
		add(p, "options", session_options(t));
	add(p, "channel_binding", in_clear ? "disable" : "prefer");
	add(p, "gssencmode", "disable");
	add(p, "target_session_attrs", "any");
	/* who listens for notifications hears of a server that vanished within a minute */
	add(p, "keepalives", "1");
	add(p, "keepalives_idle", "30");
	add(p, "keepalives_interval", "10");
	add(p, "keepalives_count", "3");
	if (in_clear)
		add(p, "sslmode", "disable");
	else
		add_tls(t, p);
}

/* ---- dialling ------------------------------------------------------------------------------------ */

static void told(void *arg, const PGresult *r)
{
	struct pg_conn *c = arg;
	const char *text = PQresultErrorField(r, PG_DIAG_MESSAGE_PRIMARY);

	log_debug("PostgreSQL%s says: %s", c->is_ro ? " (replica)" : "", text ? text : "");
}

static struct err *waited(enum wait w, bool is_ro)
{
	switch (w) {
	case WAIT_OK:
		return NULL;
	case WAIT_CANCELLED:
		return FAIL(ERR_CANCELLED, "cancelled");
	case WAIT_TIMEOUT:
		break;
	}
	return pg_own_error(ERR_TIMEOUT, is_ro, "timeout");
}

/* While libpq connects, each step may have another socket, or another one under
 * the same number: it is watched for one wait at a time. */
static struct err *wait_to_connect(struct pg_conn *c, int what, deadline until)
{
	struct io io;
	enum wait w;

	io_init(&io, PQsocket(c->libpq));
	w = io_wait(&io, what, until);
	io_done(&io);
	return waited(w, c->is_ro);
}

/* Between the handshake and the start-up packet, where libpq comes up for air: a
 * handshake that was over before it could be watched is judged too. */
static struct err *check_chain(struct pg_conn *c, const struct pg_options *o)
{
	int n;
	char text[160];

	if (!o->verify)
		return NULL;
	n = tls_foreign_intermediates(PQsslStruct(c->libpq, "OpenSSL"));
	if (n >= 0 && n <= o->depth)
		return NULL;
	if (n < 0)
		return pg_own_error(ERR_REFUSED, c->is_ro, "certificate verify failed");
	snprintf(text, sizeof(text),
		 "certificate verify failed: certificate chain too long, it has %d, "
		 "lua_ssl_verify_depth allows %lld intermediates",
		 n, (long long)o->depth);
	return pg_own_error(ERR_REFUSED, c->is_ro, text);
}

/* In the middle of the handshake the chain can still be refused, and its fault named;
 * once it is over check_chain() has the last word. */
static void watch_chain(struct pg_conn *c, const struct pg_options *o)
{
	if (o->verify && PQstatus(c->libpq) == CONNECTION_SSL_STARTUP)
		tls_foreign_watch(PQsslStruct(c->libpq, "OpenSSL"),
				  (int)(o->depth < DEPTH_MAX ? o->depth : DEPTH_MAX), &c->refusal);
}

static struct err *failed(struct pg_conn *c, struct attempt *t)
{
	str said = str_trim(str_of(PQerrorMessage(c->libpq)));
	const struct tls_refusal *refusal = &c->refusal;

	t->is_unexplained = !refusal->reason && t->o->verify &&
			    str_find_str(said, STR("certificate verify failed")) >= 0;
	if (refusal->is_too_long)
		said = str_fmt(t->a, STRF ": %s, lua_ssl_verify_depth allows %lld intermediates",
			       STRV(said), refusal->reason, (long long)t->o->depth);
	else if (refusal->reason)
		said = str_fmt(t->a, STRF ": %s", STRV(said), refusal->reason);
	return pg_connect_error(str_z(t->a, said), c->is_ro);
}

/* CONNECTION_MADE comes up twice: with the socket, and with TLS on it. */
static struct err *drive(struct pg_conn *c, struct attempt *t, deadline until)
{
	int what = IO_WRITE;

	for (;;) {
		PASS(wait_to_connect(c, what, until));
		switch (PQconnectPoll(c->libpq)) {
		case PGRES_POLLING_OK:
			return NULL;
		case PGRES_POLLING_READING:
			what = IO_READ;
			break;
		case PGRES_POLLING_WRITING:
			what = IO_WRITE;
			break;
		case PGRES_POLLING_FAILED:
		default:
			return failed(c, t);
		}
		watch_chain(c, t->o);
		t->is_reached |= PQstatus(c->libpq) != CONNECTION_STARTED;
		if (PQstatus(c->libpq) == CONNECTION_MADE && PQsslInUse(c->libpq))
			PASS(check_chain(c, t->o));
	}
}

static struct err *dial(struct attempt *t, bool in_clear, deadline until, struct pg_conn **ret)
{
	struct pg_conn *c CLEANUP(pg_drop) = MEM_NEW(struct pg_conn);
	struct params p = { .n = 0 };

	c->is_ro = t->o->is_ro;
	c->timeout_ms = t->o->timeout_ms;
	c->said = arena_new();
	list_init(&c->link);
	fill(t, in_clear, &p);
	c->libpq = PQconnectStartParams(p.names, p.values, 0);
	if (!c->libpq)
		return FAIL(ERR_SYSTEM, "out of memory");
	if (PQstatus(c->libpq) == CONNECTION_BAD)
		return pg_connect_error(PQerrorMessage(c->libpq), c->is_ro);
	PQsetErrorVerbosity(c->libpq, PQERRORS_VERBOSE); /* has the SQLSTATE */
	PQsetNoticeReceiver(c->libpq, told, c);
	PASS(drive(c, t, until));
	if (PQsetnonblocking(c->libpq, 1) != 0)
		return FAIL(ERR_SYSTEM, "cannot make the connection non-blocking");
	io_init(&c->io, PQsocket(c->libpq));
	c->has_io = true;
	*ret = TAKE(c);
	return NULL;
}

/* ---- logging in ------------------------------------------------------------------------------------- */

/* The one answer after which clear text is what the configuration means. */
static bool may_go_clear(const struct pg_options *o, const struct err *e)
{
	return !o->required && !o->verify && strcmp(e->text, NO_TLS) == 0;
}

static struct err *open_link(struct attempt *t, deadline until, struct pg_conn **ret)
{
	struct err *e;

	if (!t->o->ssl)
		return dial(t, true, until, ret);
	/* A server that answers faster than we can look leaves its refusal without a
	 * reason: its certificate is asked for again, to name its fault. */
	for (int i = 0; i < EXPLAIN_MAX; i++) {
		t->is_unexplained = false;
		e = dial(t, false, until, ret);
		if (!t->is_unexplained)
			break;
	}
	if (!e || !may_go_clear(t->o, e))
		return e;
	log_debug("PostgreSQL at " STRF " has no TLS: going on in clear", STRV(t->o->host));
	return dial(t, true, until, ret);
}

/* The addresses in turn, while nobody takes the connection; each has its share of
 * the time that is left. */
static struct err *open_any(struct attempt *t, struct pg_conn **ret)
{
	struct err *e;

	if (t->ips.n == 0)
		return open_link(t, t->until, ret);
	for (size_t i = 0;; i++) {
		int64_t now = loop_now_ms(), left = t->until - now;

		t->ip = t->ips.v[i];
		t->is_reached = false;
		e = open_link(t, now + left / (int64_t)(t->ips.n - i), ret);
		if (!e || t->is_reached || e->code == ERR_CANCELLED || i + 1 == t->ips.n)
			return e;
	}
}

static bool has_state(const struct err *e, const char *prefix)
{
	return e->state && strncmp(e->state, prefix, strlen(prefix)) == 0;
}

/* PgBouncer and its like refuse what they cannot keep per transaction. */
static bool refuses_options(const struct err *e)
{
	return has_state(e, "08P01") && strstr(e->text, "startup parameter") != NULL;
}

/* What the start-up packet could not say. */
static struct err *set_session(struct attempt *t, struct pg_conn *c)
{
	const char *zone = PQparameterStatus(c->libpq, "TimeZone");

	if (!zone || !str_is_ci(str_of(zone), "UTC"))
		PASS(pg_query(c, t->a, "SET TIME ZONE 'UTC'", PG_NO_PARAMS, NULL));
	if (t->has_session_options || !t->o->schema.n)
		return NULL;
	return pg_query(c, t->a, "SELECT set_config('search_path', $1, false)",
			PG_PARAMS(quoted(t->a, t->o->schema)), NULL);
}

static struct err *log_in(struct attempt *t, struct pg_conn **ret)
{
	struct pg_conn *c CLEANUP(pg_drop) = NULL;
	struct err *e = open_any(t, &c);

	if (e && t->has_session_options && refuses_options(e)) {
		t->has_session_options = false;
		e = open_any(t, &c);
	}
	PASS(e);
	PASS(set_session(t, c));
	*ret = TAKE(c);
	return NULL;
}

/* True when user or password is a reference that says something else by now. */
static bool look_again(struct attempt *t)
{
	const struct settings *s = t->o->settings;
	bool is_ro = t->o->is_ro;
	str user = t->user, password = t->password;
	struct err *e;

	e = settings_get_fresh(t->a, s, is_ro ? STR("pg_ro_user") : STR("pg_user"), &user);
	if (!e)
		e = settings_get_fresh(t->a, s, is_ro ? STR("pg_ro_password") : STR("pg_password"),
				       &password);
	if (e) {
		log_err(LOG_WARN_, e, "cannot read the database's user and password again");
		return false;
	}
	if (str_eq(user, t->user) && str_eq(password, t->password))
		return false;
	t->user = user;
	t->password = password;
	return true;
}

struct err *pg_connect(const struct pg_options *o, struct pg_conn **ret)
{
	struct arena *a CLEANUP(arena_drop) = arena_new();
	struct attempt t CLEANUP(attempt_done) = {
		.o = o,
		.a = a,
		.user = o->user,
		.password = o->password,
		.fds = { -1, -1, -1, -1 },
		.has_session_options = true,
		.until = deadline_in(o->timeout_ms),
	};
	struct err *e;

	PASS(find_addresses(&t));
	if (o->ssl) {
		PASS(check_policy(o));
		PASS(prepare_files(&t));
	}
	e = log_in(&t, ret);
	if (e && has_state(e, "28") && look_again(&t))
		e = log_in(&t, ret);
	return e;
}

void pg_drop(struct pg_conn **c)
{
	struct pg_conn *gone = *c;

	*c = NULL;
	if (!gone)
		return;
	if (gone->has_io)
		io_done(&gone->io);
	PQfinish(gone->libpq);
	arena_drop(&gone->said);
	mem_free(gone);
}

/* ---- what a connection is like ------------------------------------------------------------------------ */

bool pg_is_broken(const struct pg_conn *c)
{
	return c->is_broken || PQstatus(c->libpq) != CONNECTION_OK;
}

bool pg_is_tls(const struct pg_conn *c)
{
	return PQsslInUse(c->libpq);
}

int pg_server_version(const struct pg_conn *c)
{
	return PQserverVersion(c->libpq);
}

void pg_set_timeout(struct pg_conn *c, int64_t ms)
{
	c->timeout_ms = ms > 0 ? ms : PG_TIMEOUT_DEFAULT_MS;
}

const struct pg_failure *pg_failure(const struct pg_conn *c)
{
	return &c->failure;
}

/* ---- waiting ------------------------------------------------------------------------------------------- */

/* libpq does not read until the kernel has no more, so an edge may be long past:
 * ask the kernel, and TLS, before sleeping. */
static bool is_ready(struct pg_conn *c, int what)
{
	struct pollfd p = { .fd = c->io.fd };

	if ((what & IO_READ) && tls_foreign_pending(PQsslStruct(c->libpq, "OpenSSL")) > 0)
		return true;
	p.events = (short)((what & IO_READ ? POLLIN : 0) | (what & IO_WRITE ? POLLOUT : 0));
	return poll(&p, 1, 0) != 0;
}

struct err *pg_wait_until(struct pg_conn *c, int what, deadline until)
{
	if (is_ready(c, what))
		return NULL;
	io_clear(&c->io, what);
	return waited(io_wait(&c->io, what, until), c->is_ro);
}

struct err *pg_wait(struct pg_conn *c, int what)
{
	struct err *e = pg_wait_until(c, what, deadline_in(c->timeout_ms));

	if (e)
		c->is_broken = true;
	return e;
}
