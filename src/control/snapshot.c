/* SPDX-License-Identifier: Apache-2.0 */
#include "control/snapshot.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/vec.h"
#include "control/secrets.h"
#include "store/held.h"
#include <pthread.h>
#include <stdatomic.h>

/* Upstream connections speak these; older ones need a policy of OpenSSL that
 * weakens everything else. */
#define UPSTREAM_TLS (TLS_1_2 | TLS_1_3)

/* What a build needs to find things by: gone when it is done. */
struct builder {
	const struct snapshot_input *in;
	struct snapshot *snap;
	struct arena *a;              /* the snapshot's */
	struct arena *scratch;        /* the build's */
	struct map services;          /* id -> struct service_plan */
	struct map upstreams;         /* name -> struct upstream_group */
	struct map certs;             /* id -> struct lazy_certs */
	struct cert_pair *client_ssl; /* the global client certificate, once it was needed */
	struct map contexts;          /* identity -> struct tls_context */
	struct planner *planner, *stream_planner;
};

struct upstream_group {
	const struct upstream *upstream;
	struct {
		const struct target **v;
		size_t n, cap;
	} targets;
	struct balancer *balancer;
};

/* Up to two of one name: RSA and ECDSA. */
struct cert_pair {
	struct tls_cert *certs[2];
	int n;
};

struct lazy_certs {
	const struct certificate *from;
	const struct config *config; /* that it is in */
	pthread_mutex_t lock;        /* over reading it */
	struct cert_pair pair;
	int state; /* enum lazy, atomic: pair is immutable once it is LAZY_READ */
};

enum lazy { LAZY_UNREAD, LAZY_READ, LAZY_BAD };

static str id_key(const uuid *id)
{
	return str_at((const char *)id->b, sizeof(id->b));
}

/* ---- texts of routes ---------------------------------------------------------- */

struct kept_text {
	size_t n;
	char bytes[];
};

/* Of loops that make it at the same time one is the first, and the others take its text. */
static struct kept_text *keep_text(struct kept_text *_Atomic *at, str text)
{
	struct kept_text *fresh = mem_alloc(sizeof(*fresh) + text.n), *first = NULL;

	fresh->n = text.n;
	memcpy(fresh->bytes, text.s, text.n);
	if (atomic_compare_exchange_strong(at, &first, fresh))
		return fresh;
	mem_free(fresh);
	return first;
}

str snapshot_route_text(struct snapshot *s, const struct route_plan *p, struct arena *a,
			str (*make)(struct arena *a, const struct snapshot *s,
				    const struct route_plan *p))
{
	struct kept_text *_Atomic *at = &s->texts[p - s->routes];
	struct kept_text *t = atomic_load_explicit(at, memory_order_acquire);

	if (unlikely(!t))
		t = keep_text(at, make(a, s, p));
	return str_at(t->bytes, t->n);
}

static void drop_texts(struct snapshot *s)
{
	for (size_t i = 0; s->texts && i < s->config->routes.n; i++)
		mem_free(atomic_load_explicit(&s->texts[i], memory_order_relaxed));
}

/* ---- certificates ------------------------------------------------------------ */

static void drop_context(void *p)
{
	struct tls_context *c = p;

	tls_context_drop(&c);
}

static struct err *read_cert(str cert, str key, struct cert_pair *pair)
{
	PASS(tls_cert_new(cert, key, &pair->certs[pair->n]));
	pair->n++;
	return NULL;
}

static struct err *read_pair(const struct lazy_certs *l, struct cert_pair *pair)
{
	struct arena *a CLEANUP(arena_drop) = arena_new();
	const struct certificate *c = l->from;

	PASS(read_cert(secret_resolve(a, l->config, c->cert), secret_resolve(a, l->config, c->key),
		       pair));
	if (c->cert_alt.n)
		TRY(read_cert(secret_resolve(a, l->config, c->cert_alt),
			      secret_resolve(a, l->config, c->key_alt), pair),
		    "alternative");
	return NULL;
}

static void drop_pair(struct cert_pair *pair)
{
	tls_cert_drop(&pair->certs[0]);
	tls_cert_drop(&pair->certs[1]);
	pair->n = 0;
}

static void end_lazy(void *p)
{
	struct lazy_certs *l = p;

	drop_pair(&l->pair);
	pthread_mutex_destroy(&l->lock);
}

static void read_lazy(struct lazy_certs *l)
{
	struct err *e = read_pair(l, &l->pair);
	char id[36];

	if (!e) {
		__atomic_store_n(&l->state, LAZY_READ, __ATOMIC_RELEASE);
		return;
	}
	uuid_write(l->from->id, id);
	log_err(LOG_ERROR_, e, "certificate %.36s cannot be used", id);
	err_forget();
	drop_pair(&l->pair);
	__atomic_store_n(&l->state, LAZY_BAD, __ATOMIC_RELEASE);
}

/* Any thread; reads it the first time. Its certificates, 0 when they are no good. */
static const struct cert_pair *lazy_pair(struct lazy_certs *l)
{
	if (__atomic_load_n(&l->state, __ATOMIC_ACQUIRE) == LAZY_UNREAD) {
		pthread_mutex_lock(&l->lock);
		if (l->state == LAZY_UNREAD)
			read_lazy(l);
		pthread_mutex_unlock(&l->lock);
	}
	return &l->pair;
}

static void note_certificates(struct builder *b)
{
	const struct config *config = b->in->config;

	for (size_t i = 0; i < config->certificates.n; i++) {
		struct lazy_certs *l = NEW(b->a, struct lazy_certs);

		l->from = &config->certificates.v[i];
		l->config = config;
		pthread_mutex_init(&l->lock, NULL);
		arena_on_end(b->a, end_lazy, l);
		*map_put(b->scratch, &b->certs, id_key(&l->from->id)) = l;
	}
}

static void note_names(struct builder *b)
{
	const struct config *config = b->in->config;

	for (size_t i = 0; i < config->snis.n; i++) {
		const struct sni *sni = &config->snis.v[i];
		struct lazy_certs *l = map_find(&b->certs, id_key(&sni->certificate));

		if (!l)
			continue;
		*map_put(b->a, &b->snap->names, str_lower(b->a, sni->name)) = l;
		b->snap->has_wildcards |= str_find(sni->name, '*', 0) >= 0;
	}
}

static int certs_of(struct snapshot *s, str name, struct tls_cert *ret[2])
{
	struct lazy_certs *l = map_find(&s->names, name);
	const struct cert_pair *pair = l ? lazy_pair(l) : NULL;

	if (!pair)
		return 0;
	memcpy(ret, pair->certs, sizeof(pair->certs));
	return pair->n;
}

int snapshot_certs(struct snapshot *s, str name, struct tls_cert *ret[2])
{
	char pattern[260];
	ptrdiff_t first, last;
	int n = name.n ? certs_of(s, name, ret) : 0;

	if (n || !s->has_wildcards)
		return n;
	first = str_find(name, '.', 0);
	last = str_find_last(name, '.');
	if (name.n > 253 || first < 0)
		return certs_of(s, STR("*"), ret);
	if (first != last) { /* *.rest: only for names of three or more labels */
		str rest = str_from(name, (size_t)first);

		pattern[0] = '*';
		memcpy(pattern + 1, rest.s, rest.n);
		n = certs_of(s, str_at(pattern, rest.n + 1), ret);
		if (n)
			return n;
	}
	memcpy(pattern, name.s, (size_t)last + 1);
	pattern[last + 1] = '*';
	n = certs_of(s, str_at(pattern, (size_t)last + 2), ret);
	return n ? n : certs_of(s, STR("*"), ret);
}

/* ---- TLS to upstreams -------------------------------------------------------- */

static bool is_grpc(const struct service *s)
{
	return str_is(s->protocol, "grpc") || str_is(s->protocol, "grpcs");
}

/* What makes two services' connections different, as text. */
static str tls_identity_text(struct builder *b, const struct service *s,
			     const struct cert_pair *cert, uuid cert_id)
{
	str text = str_fmt(b->scratch, "%s%d/%lld", is_grpc(s) ? "h2 " : "", s->tls_verify,
			   (long long)s->tls_verify_depth);

	for (size_t i = 0; i < s->ca_certificates.n; i++)
		text = str_fmt(b->scratch, STRF "/" STRF, STRV(text),
			       STRV(s->ca_certificates.v[i]));
	if (!cert)
		return text;
	return str_fmt(b->scratch, STRF "|" STRF, STRV(text), STRV(uuid_str(b->scratch, cert_id)));
}

static struct err *trusted_store(struct builder *b, const struct service *s, struct tls_store **ret)
{
	const struct config *config = b->in->config;
	strs pems = { NEWS(b->scratch, str, s->ca_certificates.n), 0 };

	for (size_t i = 0; i < s->ca_certificates.n; i++) {
		for (size_t k = 0; k < config->ca_certificates.n; k++) {
			const struct ca_certificate *ca = &config->ca_certificates.v[k];

			if (str_eq(uuid_str(b->scratch, ca->id), s->ca_certificates.v[i]))
				pems.v[pems.n++] = ca->cert;
		}
	}
	return tls_store_new(&pems, ret);
}

static void end_pair(void *p)
{
	drop_pair(p);
}

static struct err *own_client_cert(struct builder *b, uuid id, const struct cert_pair **ret)
{
	struct lazy_certs *l = map_find(&b->certs, id_key(&id));

	if (!l)
		return FAIL(ERR_INVALID, "client_certificate " STRF " does not exist",
			    STRV(uuid_str(b->scratch, id)));
	*ret = lazy_pair(l);
	return (*ret)->n ? NULL
			 : FAIL(ERR_INVALID, "client_certificate " STRF " cannot be used",
				STRV(uuid_str(b->scratch, id)));
}

/* The client certificate: the service's own, else its upstream's, else the global one. */
static struct err *client_cert(struct builder *b, const struct service *s, const struct upstream *u,
			       const struct cert_pair **ret, uuid *ret_id)
{
	const struct settings *settings = b->in->settings;
	uuid id = s->client_certificate;

	if (uuid_is_none(id) && u)
		id = u->client_certificate;
	*ret_id = id;
	*ret = NULL;
	if (!uuid_is_none(id))
		return own_client_cert(b, id, ret);
	if (!settings->client_ssl || settings->client_ssl_certs.n == 0)
		return NULL;
	if (!b->client_ssl) {
		struct cert_pair *global = NEW(b->a, struct cert_pair);

		arena_on_end(b->a, end_pair, global);
		TRY(read_cert(settings->client_ssl_certs.v[0].cert,
			      settings->client_ssl_certs.v[0].key, global),
		    "client_ssl_cert");
		b->client_ssl = global;
	}
	*ret = b->client_ssl;
	return NULL;
}

/* The bytes of everything the context is made of: the identity of its connections, over snapshots. */
static uint64_t content_identity(struct builder *b, const struct service *s, str identity,
				 uuid cert_id)
{
	const struct config *config = b->in->config;
	str text = identity;

	for (size_t i = 0; i < config->certificates.n; i++) {
		if (uuid_eq(config->certificates.v[i].id, cert_id))
			text = str_cat(
				b->scratch, text,
				secret_resolve(b->scratch, config, config->certificates.v[i].cert));
	}
	for (size_t i = 0; i < config->ca_certificates.n && s->ca_certificates.n; i++) {
		const struct ca_certificate *ca = &config->ca_certificates.v[i];

		for (size_t k = 0; k < s->ca_certificates.n; k++) {
			if (str_eq(uuid_str(b->scratch, ca->id), s->ca_certificates.v[k]))
				text = str_cat(b->scratch, text, ca->cert);
		}
	}
	return hash_bytes(text.s, text.n);
}

struct context_entry {
	struct tls_context *tls;
	uint64_t identity;
};

static struct err *make_context(struct builder *b, const struct service *s,
				const struct cert_pair *cert, struct tls_context **ret)
{
	static const str h2[] = { STR_INIT("h2") };
	struct tls_store *store CLEANUP(tls_store_drop) = NULL;
	struct tls_client_options o = {
		.protocols = UPSTREAM_TLS,
		.verify = s->tls_verify == TRI_YES,
		.verify_depth =
			s->tls_verify_depth == FIELD_UNSET_INT ? 1 : (int)s->tls_verify_depth,
		.cert = cert ? cert->certs[0] : NULL,
	};

	if (is_grpc(s))
		o.alpn = (strs){ (str *)(uintptr_t)h2, COUNT(h2) };
	if (o.verify) {
		PASS(trusted_store(b, s, &store));
		o.store = store;
	}
	return tls_context_client(&o, ret);
}

static struct err *plan_tls(struct builder *b, struct service_plan *p)
{
	const struct service *s = p->service;
	const struct cert_pair *cert = NULL;
	struct context_entry *entry;
	uuid cert_id;
	str identity;

	PASS(client_cert(b, s, p->upstream, &cert, &cert_id));
	identity = tls_identity_text(b, s, cert, cert_id);
	entry = map_find(&b->contexts, identity);
	if (!entry) {
		entry = NEW(b->scratch, struct context_entry);
		PASS(make_context(b, s, cert, &entry->tls));
		arena_on_end(b->a, drop_context, entry->tls);
		entry->identity = content_identity(b, s, identity, cert_id);
		*map_put(b->scratch, &b->contexts, identity) = entry;
	}
	p->tls = entry->tls;
	p->tls_identity = entry->identity;
	p->verify_name = s->tls_verify == TRI_YES;
	return NULL;
}

/* ---- services and routes ------------------------------------------------------- */

static void group_targets(struct builder *b)
{
	const struct config *config = b->in->config;
	struct map by_id = { 0 };

	for (size_t i = 0; i < config->upstreams.n; i++) {
		const struct upstream *u = &config->upstreams.v[i];
		struct upstream_group *g = NEW(b->scratch, struct upstream_group);

		g->upstream = u;
		*map_put(b->scratch, &b->upstreams, u->name) = g;
		*map_put(b->scratch, &by_id, id_key(&u->id)) = g;
	}
	for (size_t i = 0; i < config->targets.n; i++) {
		const struct target *t = &config->targets.v[i];
		struct upstream_group *g = map_find(&by_id, id_key(&t->upstream));

		if (g)
			*vec_add(b->scratch, &g->targets) = t;
	}
}

static struct err *plan_service(struct builder *b, const struct service *s)
{
	struct service_plan *p = NEW(b->a, struct service_plan);
	struct upstream_group *g = map_find(&b->upstreams, s->host);
	bool is_tls = str_is(s->protocol, "https") || str_is(s->protocol, "grpcs") ||
		      str_is(s->protocol, "tls");

	p->service = s;
	p->is_grpc = is_grpc(s);
	p->default_port = is_tls ? 443 : 80;
	p->retries = s->retries == FIELD_UNSET_INT ? 5 : (unsigned)s->retries;
	if (g) {
		if (!g->balancer)
			g->balancer = balancer_of_upstream(b->a, b->in->balancers, g->upstream,
							   g->targets.v, g->targets.n);
		p->balancer = g->balancer;
		p->upstream = g->upstream;
	} else {
		p->balancer = balancer_of_host(b->a, b->in->balancers, s->host, (uint16_t)s->port);
	}
	if (is_tls)
		TRY(plan_tls(b, p), "service " STRF,
		    STRV(s->name.n ? s->name : uuid_str(b->scratch, s->id)));
	*map_put(b->scratch, &b->services, id_key(&s->id)) = p;
	return NULL;
}

static bool has_protocol(const struct route *r, const char *protocol)
{
	for (size_t i = 0; i < r->protocols.n; i++) {
		if (str_is(r->protocols.v[i], protocol))
			return true;
	}
	return false;
}

static bool is_of_streams(const struct route *r)
{
	return has_protocol(r, "tcp") || has_protocol(r, "tls") || has_protocol(r, "udp") ||
	       has_protocol(r, "tls_passthrough");
}

/* Routes of a disabled service are not there at all. */
static struct err *plan_routes(struct builder *b)
{
	const struct config *config = b->in->config;
	const struct route **list = NEWS(b->scratch, const struct route *, config->routes.n);
	size_t n = 0;

	b->snap->routes = NEWS(b->a, struct route_plan, config->routes.n);
	b->snap->texts = NEWS(b->a, struct kept_text * _Atomic, config->routes.n);
	for (size_t i = 0; i < config->routes.n; i++) {
		const struct route *r = &config->routes.v[i];
		struct route_plan *p = &b->snap->routes[i];

		p->route = r;
		p->service = map_find(&b->services, id_key(&r->service));
		p->plan = planner_plan(is_of_streams(r) ? b->stream_planner : b->planner, r,
				       p->service ? p->service->service : NULL);
		p->is_grpc = has_protocol(r, "grpc") || has_protocol(r, "grpcs");
		p->is_tls = has_protocol(r, "tls");
		p->is_tls_passthrough = has_protocol(r, "tls_passthrough");
		p->is_grpcs_only = p->is_grpc && !has_protocol(r, "grpc");
		p->is_https_only = has_protocol(r, "https") && !has_protocol(r, "http");
		if (p->service && !p->service->service->enabled)
			continue;
		list[n++] = r;
	}
	return router_new(b->a, b->in->settings->router_kind, list, n, &b->snap->router);
}

static struct err *build(struct builder *b)
{
	const struct config *config = b->in->config;

	note_certificates(b);
	note_names(b);
	group_targets(b);
	for (size_t i = 0; i < config->services.n; i++)
		PASS(plan_service(b, &config->services.v[i]));
	PASS(planner_new(b->a, b->scratch, config, SUBSYSTEM_HTTP, &b->planner));
	PASS(planner_new(b->a, b->scratch, config, SUBSYSTEM_STREAM, &b->stream_planner));
	b->snap->has_tracing =
		planner_has_tracing(b->planner) || planner_has_tracing(b->stream_planner);
	b->snap->plan = planner_plan(b->planner, NULL, NULL);
	b->snap->stream_plan = planner_plan(b->stream_planner, NULL, NULL);
	b->snap->directory = directory_new(b->a, config);
	return plan_routes(b);
}

struct err *snapshot_new(const struct snapshot_input *in, struct snapshot **ret)
{
	struct arena *scratch CLEANUP(arena_drop) = arena_new();
	struct snapshot *s CLEANUP(snapshot_drop) = NULL;
	struct arena *a = arena_new();
	struct builder b = { .in = in, .a = a, .scratch = scratch };
	int64_t start = clock_mono_ms();

	b.snap = s = NEW(a, struct snapshot);
	s->arena = a;
	s->config = in->config;
	s->lookup = in->lookup;
	s->source = in->source ? held_config_hold(in->source) : NULL;
	PASS(build(&b));
	s->built_ms = clock_mono_ms() - start;
	*ret = TAKE(s);
	return NULL;
}

void snapshot_drop(struct snapshot **ref)
{
	struct snapshot *s = *ref;
	struct held_config *source;
	struct arena *a;

	if (!s)
		return;
	*ref = NULL;
	drop_texts(s);
	source = s->source;
	a = s->arena;
	arena_drop(&a);
	held_config_drop(&source);
}
