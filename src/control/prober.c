/* SPDX-License-Identifier: Apache-2.0 */
#include "control/prober.h"

#include "base/limits.h"
#include "base/log.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/vec.h"
#include "control/probe.h"

#define LEAST_INTERVAL_MS 100
#define TIMEOUT_MS        60000 /* where `timeout` is 0 */

enum side { SIDE_UP, SIDE_DOWN, SIDES };

/* An upstream with checks, as the configuration has it. */
struct checked {
	const struct upstream *upstream;
	struct balancer *balancer;
	enum probe_kind kind;
	bool is_probed;
	struct tls_context *tls;
	int64_t interval_ms[SIDES]; /* 0: none */
	int64_t timeout_ms;
	size_t at_once;
	size_t n_targets;
	const struct target **targets;
};

struct checkup {
	struct arena *arena;
	struct held_config *source;
	unsigned holders; /* the prober and rounds; its loop's own */
	struct map by_id;
	struct {
		struct checked *v;
		size_t n, cap;
	} all;
};

struct watch {
	struct list link;
	struct prober *prober;
	uuid id;
	struct checked *now; /* NULL: it is gone */
	unsigned rounds;     /* at work */
	struct turn {
		struct watch *watch;
		struct timer timer;
		enum side side;
		bool is_running;
		int64_t interval_ms;
	} turns[SIDES];
};

struct prober {
	struct checkup *now;
	struct list watches;
	struct links *links; /* of gRPC: none is kept */
	bool is_stopped;
};

/* One pass over the addresses of one side; the last of its fibers ends it. */
struct round {
	struct turn *turn;
	struct checkup *checkup;
	struct checked *checked;
	struct arena *a;
	struct probed *v;
	size_t n, next;
	unsigned fibers;
	int64_t began_ms;
};

static str id_key(const uuid *id)
{
	return str_at((const char *)id->b, sizeof(id->b));
}

/* ---- checkups -------------------------------------------------------------------------- */

static void drop_context(void *p)
{
	struct tls_context *c = p;

	tls_context_drop(&c);
}

static const struct certificate *find_certificate(const struct config *config, uuid id)
{
	for (size_t i = 0; i < config->certificates.n; i++)
		if (uuid_eq(config->certificates.v[i].id, id))
			return &config->certificates.v[i];
	return NULL;
}

/* The upstream's own client certificate, else the node's. */
static struct err *client_cert(const struct settings *s, const struct config *config,
			       const struct upstream *u, struct tls_cert **ret)
{
	const struct certificate *c;

	*ret = NULL;
	if (!uuid_is_none(u->client_certificate)) {
		c = find_certificate(config, u->client_certificate);
		return c ? tls_cert_new(c->cert, c->key, ret)
			 : FAIL(ERR_INVALID, "client_certificate does not exist");
	}
	if (s->client_ssl && s->client_ssl_certs.n)
		return tls_cert_new(s->client_ssl_certs.v[0].cert, s->client_ssl_certs.v[0].key,
				    ret);
	return NULL;
}

/* What is shared by the upstreams of one checkup while it is made. */
struct maker {
	const struct settings *settings;
	const struct config *config;
	struct arena *scratch, *a;
	struct tls_store *store; /* once it was needed */
	struct map contexts;     /* client certificate and verification -> struct tls_context */
};

static struct err *make_context(struct maker *m, const struct upstream *u, struct tls_context **ret)
{
	const struct settings *s = m->settings;
	static const str h2[] = { STR_INIT("h2") };
	struct tls_cert *cert CLEANUP(tls_cert_drop) = NULL;
	struct tls_client_options o = {
		.protocols = s->lua_ssl_versions,
		.verify = u->healthchecks.active.https_verify_certificate,
		.verify_depth = (int)s->lua_ssl_verify_depth,
	};

	PASS(client_cert(s, m->config, u, &cert));
	o.cert = cert;
	if (str_is(u->healthchecks.active.type, "grpcs"))
		o.alpn = (strs){ (str *)(uintptr_t)h2, COUNT(h2) };
	if (o.verify && !m->store)
		TRY(tls_store_new(&s->trusted_ca_pems, &m->store), "lua_ssl_trusted_certificate");
	o.store = o.verify ? m->store : NULL;
	PASS(tls_context_client(&o, ret));
	arena_on_end(m->a, drop_context, *ret);
	return NULL;
}

static struct err *find_context(struct maker *m, const struct upstream *u, struct tls_context **ret)
{
	bool verify = u->healthchecks.active.https_verify_certificate;
	str key = str_fmt(m->scratch, STRF "/%d" STRF, STRV(u->healthchecks.active.type), verify,
			  STRV(id_key(&u->client_certificate)));
	void **known = map_put(m->scratch, &m->contexts, key);
	struct err *e = NULL;

	if (!*known)
		e = make_context(m, u, (struct tls_context **)known);
	*ret = *known;
	return e;
}

/* s to ms; the clock of probes has its grain. */
static int64_t interval_of(double seconds)
{
	if (!(seconds > 0))
		return 0;
	return seconds * 1000 < LEAST_INTERVAL_MS ? LEAST_INTERVAL_MS : (int64_t)(seconds * 1000);
}

static void set_kind(struct checked *c, str type)
{
	static const char *const names[] = {
		[PROBE_TCP] = "tcp",   [PROBE_HTTP] = "http",   [PROBE_HTTPS] = "https",
		[PROBE_GRPC] = "grpc", [PROBE_GRPCS] = "grpcs",
	};

	c->kind = PROBE_HTTP;
	for (unsigned i = 0; i < COUNT(names); i++) {
		if (str_is(type, names[i]))
			c->kind = (enum probe_kind)i;
	}
	c->is_probed = c->interval_ms[SIDE_UP] || c->interval_ms[SIDE_DOWN];
}

static void set_checked(struct checked *c, const struct upstream *u)
{
	const struct active_checks *active = &u->healthchecks.active;

	c->upstream = u;
	c->interval_ms[SIDE_UP] = interval_of(active->healthy.interval);
	c->interval_ms[SIDE_DOWN] = interval_of(active->unhealthy.interval);
	c->timeout_ms = active->timeout > 0 ? (int64_t)(active->timeout * 1000) : TIMEOUT_MS;
	if (c->timeout_ms < 1)
		c->timeout_ms = 1;
	c->at_once = active->concurrency < 1              ? 1
		     : active->concurrency > LIMIT_PROBES ? LIMIT_PROBES
							  : (size_t)active->concurrency;
	set_kind(c, active->type);
}

/* Targets of upstreams without checks are left alone: there may be a great many. */
static void gather_targets(struct checkup *k, const struct config *config)
{
	for (size_t i = 0; i < config->targets.n; i++) {
		struct checked *c = map_find(&k->by_id, id_key(&config->targets.v[i].upstream));

		if (c)
			c->n_targets++;
	}
	for (size_t i = 0; i < k->all.n; i++) {
		struct checked *c = &k->all.v[i];

		c->targets = NEWS(k->arena, const struct target *, c->n_targets + 1);
		c->n_targets = 0;
	}
	for (size_t i = 0; i < config->targets.n; i++) {
		struct checked *c = map_find(&k->by_id, id_key(&config->targets.v[i].upstream));

		if (c)
			c->targets[c->n_targets++] = &config->targets.v[i];
	}
}

static bool is_tls(enum probe_kind kind)
{
	return kind == PROBE_HTTPS || kind == PROBE_GRPCS;
}

static void prepare(struct maker *m, struct balance_store *balancers, struct checked *c)
{
	struct err *e = NULL;

	c->balancer = balancer_for_health(m->a, balancers, c->upstream, c->targets, c->n_targets);
	if (c->is_probed && is_tls(c->kind))
		e = find_context(m, c->upstream, &c->tls);
	if (e) {
		log_err(LOG_ERROR_, e, "upstream " STRF " is not probed", STRV(c->upstream->name));
		c->is_probed = false;
	}
	err_forget();
}

struct checkup *checkup_new(const struct settings *s, struct balance_store *balancers,
			    struct held_config *held)
{
	const struct config *config = &held->config;
	struct arena *scratch CLEANUP(arena_drop) = arena_new();
	struct arena *a = arena_new();
	struct maker m = { .settings = s, .config = config, .scratch = scratch, .a = a };
	struct checkup *k = NEW(a, struct checkup);

	k->arena = a;
	k->source = held_config_hold(held);
	k->holders = 1;
	for (size_t i = 0; i < config->upstreams.n; i++)
		if (balance_is_checked(&config->upstreams.v[i]))
			set_checked(vec_add(a, &k->all), &config->upstreams.v[i]);
	for (size_t i = 0; i < k->all.n; i++)
		*map_put(a, &k->by_id, id_key(&k->all.v[i].upstream->id)) = &k->all.v[i];
	gather_targets(k, config);
	for (size_t i = 0; i < k->all.n; i++)
		prepare(&m, balancers, &k->all.v[i]);
	tls_store_drop(&m.store);
	return k;
}

void checkup_drop(struct checkup **ref)
{
	struct checkup *k = *ref;
	struct held_config *source;
	struct arena *a;

	*ref = NULL;
	if (!k || --k->holders > 0)
		return;
	source = k->source;
	a = k->arena;
	arena_drop(&a); /* its balancers end, which borrow the source's texts */
	held_config_drop(&source);
}

/* ---- rounds ------------------------------------------------------------------------------- */

static void schedule(struct turn *t, int64_t at)
{
	struct watch *w = t->watch;

	if (t->is_running || w->prober->is_stopped || !w->now || !t->interval_ms)
		return;
	timer_set(&t->timer, at);
}

static void forget_if_gone(struct watch *w)
{
	if (w->now || w->rounds)
		return;
	list_remove(&w->link);
	mem_free(w);
}

static void end_round(struct round *r)
{
	struct turn *t = r->turn;
	struct watch *w = t->watch;
	int64_t next = r->began_ms + t->interval_ms, now = loop_now_ms();
	struct arena *a = r->a;

	balancer_probes_done(r->checked->balancer, r->v, r->n);
	checkup_drop(&r->checkup);
	t->is_running = false;
	w->rounds--;
	schedule(t, next > now ? next : now + 1);
	forget_if_gone(w);
	arena_drop(&a);
}

/* A host without its port; an IPv6 address keeps its brackets. */
static str without_port(str host)
{
	ptrdiff_t colon = str_find_last(host, ':');

	return colon > str_find_last(host, ']') ? str_part(host, 0, (size_t)colon) : host;
}

static void probe_one(struct round *r, struct probed *p)
{
	const struct checked *c = r->checked;
	const struct upstream *u = c->upstream;
	struct arena *a CLEANUP(arena_drop) = arena_new();
	deadline until = deadline_in(c->timeout_ms);
	str host = u->host_header.n ? u->host_header : p->host;
	struct probe probe = { .kind = c->kind, .address = &p->address, .tls = c->tls };
	enum try_outcome how = TRY_CONNECT_FAILED;
	const char *why = "its name does not resolve";
	int status = 0;

	probe.server_name = u->healthchecks.active.https_sni.n ? u->healthchecks.active.https_sni
							       : without_port(host);
	probe.verify_name = u->healthchecks.active.https_verify_certificate;
	if (c->kind == PROBE_GRPC || c->kind == PROBE_GRPCS)
		probe.fields =
			probe_fields(a, is_tls(c->kind), u->healthchecks.active.headers, host);
	else
		probe.request = probe_request(a, u->healthchecks.active.http_path,
					      u->healthchecks.active.headers, host);
	probe.links = r->turn->watch->prober->links;
	if (p->address.size || balancer_find(c->balancer, a, p, until)) {
		if (!probe_run(&probe, until, &how, &status, &why))
			return;
	} else if (fiber_is_cancelled()) {
		return;
	}
	if (how != TRY_ANSWERED || status == 0)
		log_debug("upstream " STRF ": probe of " STRF ":%u: %s", STRV(u->name),
			  STRV(p->host), p->port, why);
	balancer_probed(c->balancer, p, how, status);
	err_forget();
}

static void probe_fiber(void *arg)
{
	struct round *r = arg;
	const struct watch *w = r->turn->watch;

	while (r->next < r->n && w->now && !w->prober->is_stopped && !fiber_is_cancelled())
		probe_one(r, &r->v[r->next++]);
	if (--r->fibers == 0)
		end_round(r);
}

static void begin_round(struct timer *timer)
{
	struct turn *t = CONTAINER(timer, struct turn, timer);
	struct watch *w = t->watch;
	struct arena *a = arena_new();
	struct round *r = NEW(a, struct round);

	r->turn = t;
	r->a = a;
	r->checked = w->now;
	r->checkup = w->prober->now;
	r->checkup->holders++;
	r->began_ms = loop_now_ms();
	r->n = balancer_to_probe(a, w->now->balancer, t->side == SIDE_UP, &r->v);
	r->fibers = (unsigned)(r->n < w->now->at_once ? r->n : w->now->at_once);
	t->is_running = true;
	w->rounds++;
	if (r->n == 0) {
		end_round(r);
		return;
	}
	for (unsigned i = r->fibers; i > 0; i--)
		fiber_start("probe", probe_fiber, r);
}

/* ---- the prober ------------------------------------------------------------------------------ */

static struct watch *watch_new(struct prober *p, uuid id)
{
	struct watch *w = MEM_NEW(struct watch);

	w->prober = p;
	w->id = id;
	for (int i = 0; i < SIDES; i++) {
		w->turns[i].watch = w;
		w->turns[i].side = (enum side)i;
		timer_init(&w->turns[i].timer, begin_round);
	}
	list_add(&p->watches, &w->link);
	return w;
}

/* Goes by what the configuration says now; an interval that stays keeps its pace. */
static void set_watch(struct watch *w, struct checked *c)
{
	bool was_there = w->now != NULL;

	w->now = c;
	for (int i = 0; i < SIDES; i++) {
		struct turn *t = &w->turns[i];
		int64_t interval = c && c->is_probed ? c->interval_ms[i] : 0;

		if (was_there && interval == t->interval_ms)
			continue;
		timer_clear(&t->timer);
		t->interval_ms = interval;
		if (interval)
			schedule(t, loop_now_ms() + interval);
	}
}

static void add_watches(struct prober *p)
{
	struct arena *a CLEANUP(arena_drop) = arena_new();
	struct map known = { 0 };

	list_for_each (&p->watches, struct watch, link, w)
		*map_put(a, &known, id_key(&w->id)) = w;
	for (size_t i = 0; i < p->now->all.n; i++) {
		struct checked *c = &p->now->all.v[i];
		struct watch *w = map_find(&known, id_key(&c->upstream->id));

		if (!w && c->is_probed)
			set_watch(watch_new(p, c->upstream->id), c);
	}
}

struct prober *prober_new(void)
{
	struct prober *p = MEM_NEW(struct prober);

	list_init(&p->watches);
	p->links = links_new(&(struct links_options){ 0 });
	return p;
}

void prober_follow(struct prober *p, struct checkup **c)
{
	struct checkup *before = p->now;

	p->now = TAKE(*c);
	list_for_each (&p->watches, struct watch, link, w) {
		set_watch(w, map_find(&p->now->by_id, id_key(&w->id)));
		forget_if_gone(w);
	}
	add_watches(p);
	checkup_drop(&before);
}

void prober_stop(struct prober *p)
{
	p->is_stopped = true;
	list_for_each (&p->watches, struct watch, link, w)
		for (int i = 0; i < SIDES; i++)
			timer_clear(&w->turns[i].timer);
	links_close_idle(p->links);
}

void prober_drop(struct prober **ref)
{
	struct prober *p = TAKE(*ref);

	if (!p)
		return;
	list_for_each (&p->watches, struct watch, link, w) {
		list_remove(&w->link);
		mem_free(w);
	}
	checkup_drop(&p->now);
	links_drop(&p->links);
	mem_free(p);
}
