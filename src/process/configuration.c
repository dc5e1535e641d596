/* SPDX-License-Identifier: Apache-2.0 */
#include "process/configuration.h"

#include "base/json.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/mem.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

/* In the prefix: what POST /config gave, as YAML behind a line with its hash. */
#define KEPT      "dbless.cache"
#define HASH_LINE "# configuration_hash: "

struct configuration {
	const struct settings *settings;
	struct current *current;
	struct balance_store *balancers;
	struct store *store;
	struct gate free; /* the way is free for the next */
	bool is_busy;
};

/* ---- texts ---------------------------------------------------------------------- */

static struct err *read_file(struct arena *a, const char *path, str *ret)
{
	struct stat st;
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	size_t n = 0;
	char *p;

	if (fd < 0)
		return FAIL_ERRNO("cannot read %s", path);
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || (size_t)st.st_size > LIMIT_CONFIG_BYTES) {
		close(fd);
		return FAIL(ERR_INVALID, "%s is no file, or larger than %zu bytes", path,
			    LIMIT_CONFIG_BYTES);
	}
	p = arena_bytes(a, (size_t)st.st_size);
	while (n < (size_t)st.st_size) {
		ssize_t got = read(fd, p + n, (size_t)st.st_size - n);

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			break;
		n += (size_t)got;
	}
	close(fd);
	*ret = str_at(p, n);
	return NULL;
}

/* In the one folder below the prefix that is the worker's own. */
static const char *kept_path(struct arena *a, const struct settings *s)
{
	str folder = s->lmdb_environment_path;

	if (folder.n == 0)
		return settings_path(a, s, KEPT).s;
	if (folder.s[0] != '/')
		folder = settings_path(a, s, str_z(a, folder));
	return str_fmt(a, STRF "/" KEPT, STRV(folder)).s;
}

/* The text to start with and where it is from; STR_NONE: an empty configuration. */
static struct err *first_text(struct arena *a, const struct settings *s, str *ret_text,
			      str *ret_name)
{
	*ret_text = *ret_name = STR_NONE;
	if (s->declarative_config_string.n) {
		*ret_text = s->declarative_config_string;
		return NULL;
	}
	if (s->declarative_config.n) {
		*ret_name = s->declarative_config;
		TRY(read_file(a, str_z(a, s->declarative_config), ret_text), "declarative_config");
		return NULL;
	}
	if (access(kept_path(a, s), F_OK) != 0)
		return NULL;
	return read_file(a, kept_path(a, s), ret_text);
}

/* Written whole beside it, then renamed: a crash leaves the old one. */
static struct err *keep_text(const struct settings *s, str text)
{
	struct arena *a CLEANUP(arena_drop) = arena_new();
	const char *path = kept_path(a, s);
	const char *beside = str_fmt(a, "%s.new", path).s;
	int fd = open(beside, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	size_t n = 0;
	bool is_good;

	if (fd < 0)
		return FAIL_ERRNO("cannot write %s", beside);
	while (n < text.n) {
		ssize_t put = write(fd, text.s + n, text.n - n);

		if (put < 0 && errno == EINTR)
			continue;
		if (put <= 0)
			break;
		n += (size_t)put;
	}
	is_good = n == text.n && fsync(fd) == 0;
	if (close(fd) < 0 || !is_good || rename(beside, path) < 0)
		return FAIL_ERRNO("cannot keep the configuration in %s", path);
	return NULL;
}

/* ---- checking ---------------------------------------------------------------------- */

struct err *configuration_error(const struct db_error *e)
{
	return FAIL(ERR_INVALID, STRF, STRV(e->message));
}

static struct err *parse(struct arena *a, const struct settings *s, struct declarative_config **ret)
{
	static const str empty = STR_INIT("_format_version: \"3.0\"\n");
	struct declarative_options o = {
		.now_ms = clock_wall_ms(),
	};
	struct db_error error = { 0 };
	str text;

	PASS(first_text(a, s, &text, &o.name));
	if (str_starts(text, STR(HASH_LINE)))
		o.hash = str_part(text, sizeof(HASH_LINE) - 1, sizeof(HASH_LINE) - 1 + 32);
	if (!declarative_parse(a, text.s ? text : empty, &o, ret, &error))
		TRY(configuration_error(&error), "error parsing declarative config%s" STRF,
		    o.name.n ? " file " : "", STRV(o.name));
	return NULL;
}

static const char *check_expression(struct arena *a, str expression)
{
	struct err *e = route_check_expression(expression);

	return e ? err_line(a, e).s : NULL;
}

/* The rows that documents are checked by. */
static void start_rules(const struct settings *s)
{
	const struct entities_options o = { .router_flavor = s->router_flavor,
					    .check_expression = check_expression };

	entities_start(&o);
}

struct err *configuration_check(const struct settings *s)
{
	struct arena *a CLEANUP(arena_drop) = arena_new();
	struct balance_store *balancers CLEANUP(balance_store_drop) = balance_store_new();
	struct declarative_config *d CLEANUP(declarative_drop) = NULL;
	struct snapshot *snap CLEANUP(snapshot_drop) = NULL; /* before its balancers */
	struct snapshot_input in = { .settings = s, .balancers = balancers };

	start_rules(s);
	PASS(parse(a, s, &d));
	in.source = d;
	in.config = declarative_config(d);
	return snapshot_new(&in, &snap);
}

/* ---- the way of a change ------------------------------------------------------------- */

struct configuration *configuration_new(const struct worker_start *start, struct current *current,
					struct balance_store *balancers)
{
	struct configuration *c = MEM_NEW(struct configuration);

	start_rules(start->settings);
	c->settings = start->settings;
	c->current = current;
	c->balancers = balancers;
	c->store = store_memory_new();
	gate_init(&c->free);
	return c;
}

void configuration_drop(struct configuration **ref)
{
	struct configuration *c = *ref;

	if (!c)
		return;
	*ref = NULL;
	c->store->kind->drop(c->store);
	mem_free(c);
}

struct store *configuration_store(struct configuration *c)
{
	return c->store;
}

struct balance_store *configuration_balancers(struct configuration *c)
{
	return c->balancers;
}

/* A job of the offload threads, and what came of it.  Its errors live on in a. */
struct job {
	struct configuration *c;
	struct arena *a;
	struct declarative_config *d;
	struct snapshot *snap;
	struct err *e;
};

static void keep_error(struct job *j, struct err *e)
{
	j->e = err_keep(j->a, e);
	err_forget();
}

static void parse_job(void *p)
{
	struct job *j = p;

	keep_error(j, parse(j->a, j->c->settings, &j->d));
}

static void build_job(void *p)
{
	struct job *j = p;
	struct snapshot_input in = {
		.settings = j->c->settings,
		.balancers = j->c->balancers,
		.source = j->d,
		.config = declarative_config(j->d),
	};

	keep_error(j, snapshot_new(&in, &j->snap));
}

static void keep_job(void *p)
{
	struct job *j = p;

	str text = str_fmt(j->a, HASH_LINE "%s\n" STRF, declarative_hash(j->d),
			   STRV(declarative_yaml(j->a, j->d)));

	keep_error(j, keep_text(j->c->settings, text));
}

/* The error as the calling fiber's own. */
static struct err *own_error(const struct err *e, const char *doing)
{
	struct arena *a CLEANUP(arena_drop) = arena_new();
	struct err *own;

	if (!e)
		return NULL;
	own = FAIL(e->code, "%s: " STRF, doing, STRV(err_line(a, e)));
	return e->hint ? err_hint(own, "%s", e->hint) : own;
}

static struct err *take_turn(struct configuration *c)
{
	while (c->is_busy) {
		if (gate_wait(&c->free, deadline_in(60000)) != WAIT_OK)
			return FAIL(ERR_TIMEOUT,
				    "the configuration before this one is still being loaded");
	}
	c->is_busy = true;
	return NULL;
}

static void end_turn(struct configuration *c)
{
	c->is_busy = false;
	gate_wake_one(&c->free);
}

static struct err *build_and_publish(struct configuration *c, struct job *j)
{
	offload(build_job, j);
	if (j->e)
		return own_error(j->e, "cannot build the configuration, keeping the one in use");
	log_notice("configuration %s: %zu services, %zu routes, built in %lld ms",
		   declarative_hash(j->d), j->snap->config->services.n, j->snap->config->routes.n,
		   (long long)j->snap->built_ms);
	current_publish(c->current, TAKE(j->snap));
	store_memory_swap(c->store, j->d);
	return NULL;
}

struct err *configuration_start(struct configuration *c)
{
	struct arena *a CLEANUP(arena_drop) = arena_new();
	struct job j = { .c = c, .a = a };
	struct err *e;

	offload(parse_job, &j);
	if (j.e)
		return own_error(j.e, "cannot load the configuration");
	PASS(take_turn(c));
	e = build_and_publish(c, &j);
	end_turn(c);
	declarative_drop(&j.d);
	return e;
}

struct err *configuration_apply(struct configuration *c, struct declarative_config *d)
{
	struct arena *a CLEANUP(arena_drop) = arena_new();
	struct job j = { .c = c, .a = a, .d = d };
	struct err *e;

	PASS(take_turn(c));
	e = build_and_publish(c, &j);
	if (!e) {
		offload(keep_job, &j);
		if (j.e)
			log_err(LOG_WARN_, j.e,
				"the configuration serves, but a restart will not know it");
	}
	end_turn(c);
	return e;
}
