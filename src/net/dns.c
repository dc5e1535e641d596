/* SPDX-License-Identifier: Apache-2.0 */
/* From a name to addresses, as Kong does it.
 *
 *	addresses_of(name) ── literal, hosts file ──────────────► an address
 *	      ▲   └─ records_of(name): for each type, for each search name
 *	      │            └─ cache, fresh ─┐
 *	      │            └─ cache, stale ─┤ and a question in the background
 *	      │            └─ a question ───┤ waited for
 *	      └──────── CNAME, SRV ─────────┴─ A, AAAA ─────────► addresses
 *
 * The type that answered last is tried first.  A walk remembers what it tried,
 * so a loop of CNAMEs or SRVs ends in words. */
#include "net/dns.h"

#include "base/log.h"
#include "base/mem.h"
#include "base/vec.h"
#include "net/dns_priv.h"
#include <assert.h>

#define DEPTH_MAX     16   /* CNAMEs and SRVs in a row */
#define ADDRESSES_MAX 4000 /* of one name */
#define CACHE_DEFAULT 10000
#define TTL_MAX_S     (10LL * 365 * 24 * 3600)

static struct resolver *self; /* set while no loop runs */

struct
try {
	str name;
	int type;
};

/* An address, and how many share the weight of its SRV record. */
struct hit {
	struct dns_answer answer;
	size_t shared_by;
};

/* One call of dns_resolve(). */
struct walk {
	struct arena *a;
	deadline until, expires;
	struct {
		struct try *v;
		size_t n, cap;
	} tried;
	struct {
		struct hit *v;
		size_t n, cap;
	} out;
	const char *text; /* the last failure */
	bool has_failed;  /* a server did, or the time is up: not only "no such name" */
	bool is_cancelled;
};

/* ---- words ---------------------------------------------------------------------------------- */

/* RFC 1035 §4.1.1. */
static const char *const server_errors[] = {
	[1] = "format error",    [2] = "server failure", [3] = "name error",
	[4] = "not implemented", [5] = "refused",
};

static void note_failure(struct walk *w, const struct dns_set *s)
{
	if (s->error == SET_UNANSWERED) {
		w->text = "dns lookup pool exceeded retries (1): timeout";
	} else if (s->error) {
		bool is_known = (size_t)s->error < COUNT(server_errors);

		w->text = str_z(w->a, str_fmt(w->a, "dns server error: %d %s", s->error,
					      is_known ? server_errors[s->error] : "unknown"));
	} else {
		w->text = "dns client error: 101 empty record received";
	}
	w->has_failed |= s->error != 0 && s->error != 3;
}

static struct dns_set *refuse(struct walk *w, const char *text)
{
	w->text = text;
	w->has_failed = true;
	return NULL;
}

static struct dns_set *recursion(struct walk *w)
{
	w->text = "recursion detected";
	return NULL;
}

/* ---- one question --------------------------------------------------------------------------- */

/* True the second time. */
static bool was_tried(struct walk *w, str name, int type)
{
	vec_for_each (&w->tried, struct try, t)
		if (t->type == type && str_eq(t->name, name))
			return true;
	*vec_add(w->a, &w->tried) = (struct try){ name, type };
	return false;
}

static struct dns_set *from_hosts(str name, int type)
{
	struct host *h = map_find(&self->hosts, name);
	struct dns_set *s = !h ? NULL : type == TYPE_A ? h->v4 : type == TYPE_AAAA ? h->v6 : NULL;

	return s ? set_hold(s) : NULL;
}

/* The set under a name, from the cache or from a server; NULL: the wait ended. */
static struct dns_set *look_up(struct walk *w, str name, int type)
{
	struct dns_set *s = from_hosts(name, type);

	if (s)
		return s;
	pthread_mutex_lock(&self->lock);
	s = cache_find(self, type, name);
	if (s) {
		set_hold(s);
		if (s->expires < loop_now_ms())
			query_refresh(self, type, name);
	}
	pthread_mutex_unlock(&self->lock);
	if (s)
		return s;
	switch (query_wait(self, type, name, w->until, &s)) {
	case WAIT_OK:
		return s;
	case WAIT_TIMEOUT:
		return refuse(w, "dns lookup timed out");
	default:
		w->is_cancelled = true;
		return refuse(w, "dns lookup cancelled");
	}
}

/* An SRV whose every target is its own name, as Kubernetes makes them. */
static bool points_to_itself(const struct dns_set *s, str name)
{
	if (s->type != TYPE_SRV)
		return false;
	for (size_t i = 0; i < s->n; i++)
		if (!str_eq(s->v[i].name, name))
			return false;
	return true;
}

/* One name of one type; NULL to go on with the next. */
static struct dns_set *try_one(struct walk *w, str name, int type)
{
	struct dns_set *s CLEANUP(set_drop) = NULL;

	if (was_tried(w, name, type))
		return recursion(w);
	s = look_up(w, name, type);
	if (!s)
		return NULL;
	if (s->n == 0) {
		note_failure(w, s);
		return NULL;
	}
	pthread_mutex_lock(&self->lock);
	cache_set_last_type(self, name, type);
	pthread_mutex_unlock(&self->lock);
	if (points_to_itself(s, name))
		return recursion(w);
	return TAKE(s);
}

/* ---- all names and types --------------------------------------------------------------------- */

static size_t count_dots(str name)
{
	size_t n = 0;

	for (size_t i = 0; i < name.n; i++)
		n += name.s[i] == '.';
	return n;
}

/* The names to try, in order: the bare one first when it has dots enough. */
static strs search_names(struct walk *w, str name)
{
	bool is_whole = name.s[name.n - 1] == '.';
	strs search = is_whole ? (strs){ NULL, 0 } : self->conf.search;
	strs names = { NEWS(w->a, str, search.n + 1), 0 };
	bool bare_first = count_dots(name) >= (size_t)self->conf.ndots;

	if (bare_first)
		names.v[names.n++] = name;
	for (size_t i = 0; i < search.n; i++)
		if (name.n + 1 + search.v[i].n <= DNS_NAME_MAX)
			names.v[names.n++] =
				str_fmt(w->a, STRF "." STRF, STRV(name), STRV(search.v[i]));
	if (!bare_first)
		names.v[names.n++] = name;
	return names;
}

/* The configured types, LAST replaced by what is known, none twice. */
static int types_to_try(str name, int ret[DNS_TYPES_MAX])
{
	int n = 0;

	for (int i = 0; i < self->n_types; i++) {
		int type = self->types[i];
		bool is_known = false;

		if (type == TYPE_LAST) {
			pthread_mutex_lock(&self->lock);
			type = cache_last_type(self, name);
			pthread_mutex_unlock(&self->lock);
		}
		for (int k = 0; k < n; k++)
			is_known |= ret[k] == type;
		if (type && !is_known)
			ret[n++] = type;
	}
	return n;
}

/* What the name led to before, as long as that is fresh. */
static struct dns_set *find_short(str name)
{
	struct dns_set *s;

	pthread_mutex_lock(&self->lock);
	s = cache_find(self, TYPE_SHORT, name);
	s = s && s->expires >= loop_now_ms() ? set_hold(s) : NULL;
	pthread_mutex_unlock(&self->lock);
	return s;
}

/* The first set of records, of any type. */
static struct dns_set *records_of(struct walk *w, str name)
{
	struct dns_set *s = find_short(name);
	strs names;
	int types[DNS_TYPES_MAX], n;

	if (s && was_tried(w, name, TYPE_SHORT)) {
		set_drop(&s);
		return recursion(w);
	}
	if (s)
		return s;
	names = search_names(w, name);
	n = types_to_try(name, types);
	for (int i = 0; i < n; i++) {
		for (size_t k = 0; k < names.n; k++) {
			s = try_one(w, names.v[k], types[i]);
			if (!s && (w->is_cancelled || w->until <= loop_now_ms()))
				return NULL;
			if (!s)
				continue;
			pthread_mutex_lock(&self->lock);
			cache_put_short(self, name, s);
			pthread_mutex_unlock(&self->lock);
			return s;
		}
	}
	pthread_mutex_lock(&self->lock);
	cache_set_last_type(self, name, 0);
	pthread_mutex_unlock(&self->lock);
	return NULL;
}

/* ---- addresses -------------------------------------------------------------------------------- */

static void addresses_of(struct walk *w, str name, uint16_t port, int depth) SUSPENDS;

static void add_address(struct walk *w, int type, const uint8_t *ip, uint16_t port)
{
	struct dns_answer *answer;

	if (w->out.n >= ADDRESSES_MAX)
		return;
	answer = &vec_add(w->a, &w->out)->answer;
	answer->weight = 1;
	if (type == TYPE_A) {
		answer->address.size = sizeof(answer->address.v4);
		answer->address.v4.sin_family = AF_INET;
		answer->address.v4.sin_port = htons(port);
		memcpy(&answer->address.v4.sin_addr, ip, 4);
	} else {
		answer->address.size = sizeof(answer->address.v6);
		answer->address.v6.sin6_family = AF_INET6;
		answer->address.v6.sin6_port = htons(port);
		memcpy(&answer->address.v6.sin6_addr, ip, 16);
	}
}

static void add_all(struct walk *w, const struct dns_set *s, uint16_t port)
{
	for (size_t i = 0; i < s->n; i++)
		add_address(w, s->type, s->v[i].ip, port);
}

static void note_expiry(struct walk *w, const struct dns_set *s)
{
	deadline at =
		s->ttl_s == 0 && s->expires != DEADLINE_NEVER ? DNS_EXPIRES_AT_ONCE : s->expires;

	w->expires = at < w->expires ? at : w->expires;
}

/* The addresses of one SRV record, named after its target; how many. */
static size_t expand_record(struct walk *w, const struct record *rr, uint16_t port, int depth)
{
	size_t first = w->out.n, known = w->tried.n, n;
	str name = str_copy(w->a, rr->name);

	addresses_of(w, name, rr->port ? rr->port : port, depth + 1);
	w->tried.n = known; /* two targets may lead to the same name */
	n = w->out.n - first;
	for (size_t i = first; i < w->out.n; i++) {
		struct hit *h = &w->out.v[i];

		h->answer.name = name;
		h->answer.weight = rr->weight ? rr->weight : 1;
		h->shared_by = n;
	}
	return n;
}

/* RFC 2782: the group with the lowest priority.  A target's addresses share its
 * weight; to stay whole numbers, all weights grow by the largest count. */
static void expand_srv(struct walk *w, const struct dns_set *s, str name, uint16_t port, int depth)
{
	unsigned least = UINT16_MAX;
	size_t first = w->out.n, most = 1;

	for (size_t i = 0; i < s->n; i++)
		least = s->v[i].priority < least ? s->v[i].priority : least;
	for (size_t i = 0; i < s->n && !w->is_cancelled; i++) {
		size_t n = 0;

		if (s->v[i].priority == least && !str_eq(s->v[i].name, name))
			n = expand_record(w, &s->v[i], port, depth);
		most = n > most ? n : most;
	}
	for (size_t i = first; most > 1 && i < w->out.n; i++) {
		struct hit *h = &w->out.v[i];
		size_t weight = h->answer.weight * most / h->shared_by;

		h->answer.weight = (uint16_t)(weight > UINT16_MAX ? UINT16_MAX : weight);
	}
}

/* An address as text is one, a name of the hosts file has some. */
static bool is_at_hand(struct walk *w, str name, uint16_t port)
{
	struct address ip;
	struct host *h;

	if (address_parse_ip(name, port, &ip)) {
		bool is_v6 = ip.any.sa_family == AF_INET6;

		add_address(w, is_v6 ? TYPE_AAAA : TYPE_A,
			    is_v6 ? (uint8_t *)&ip.v6.sin6_addr : (uint8_t *)&ip.v4.sin_addr, port);
		return true;
	}
	h = map_find(&self->hosts, name);
	if (!h)
		return false;
	add_all(w, h->v6 && (self->prefers_v6 || !h->v4) ? h->v6 : h->v4, port);
	return true;
}

/* What can be no name: four numbers that are no address, or colons. */
static const char *why_invalid(str name)
{
	size_t colons = 0, digits = 0;

	for (size_t i = 0; i < name.n; i++) {
		colons += name.s[i] == ':';
		digits += ascii_is_digit(name.s[i]);
	}
	if (colons)
		return "dns client error: 103 invalid name, bad IPv6";
	if (name.n > digits && count_dots(name) == 3 && name.n - digits == 3)
		return "dns client error: 102 invalid name, bad IPv4";
	if (name.n == 0 || name.n > DNS_NAME_MAX || memchr(name.s, '\0', name.n))
		return "dns client error: 102 invalid name";
	return NULL;
}

static void addresses_of(struct walk *w, str name, uint16_t port, int depth)
{
	struct dns_set *s CLEANUP(set_drop) = NULL;
	const char *why;

	name = str_lower(w->a, name);
	if (is_at_hand(w, name, port))
		return;
	why = depth > DEPTH_MAX ? "recursion detected" : why_invalid(name);
	if (why) {
		refuse(w, why);
		return;
	}
	s = records_of(w, name);
	if (!s)
		return;
	note_expiry(w, s);
	if (s->type == TYPE_CNAME)
		addresses_of(w, str_copy(w->a, s->v[0].name), port, depth + 1);
	else if (s->type == TYPE_SRV)
		expand_srv(w, s, name, port, depth);
	else
		add_all(w, s, port);
}

enum dns_result dns_resolve(struct arena *a, str name, deadline until, struct dns_answer **ret,
			    size_t *ret_n, deadline *ret_expires, const char **ret_text)
{
	struct walk w = { .a = a, .until = until, .expires = DEADLINE_NEVER };

	assert(self);
	addresses_of(&w, name, 0, 0);
	if (w.is_cancelled)
		return DNS_CANCELLED;
	if (w.out.n == 0) {
		if (ret_text)
			*ret_text = w.text ? w.text : "dns client error: 101 empty record received";
		return w.has_failed ? DNS_FAILED : DNS_NOT_FOUND;
	}
	*ret = NEWS(a, struct dns_answer, w.out.n);
	for (size_t i = 0; i < w.out.n; i++)
		(*ret)[i] = w.out.v[i].answer;
	*ret_n = w.out.n;
	*ret_expires = w.expires;
	return DNS_OK;
}

/* ---- start and stop ------------------------------------------------------------------------------ */

/* clang-format off */
static const struct {
	const char *word;
	int type;
} type_words[] = {
	{ "LAST", TYPE_LAST }, { "SRV", TYPE_SRV }, { "A", TYPE_A }, { "AAAA", TYPE_AAAA },
	{ "CNAME", TYPE_CNAME },
};
/* clang-format on */

static struct err *set_types(struct resolver *r, const strs *order)
{
	static str defaults[] = { STR_INIT("LAST"), STR_INIT("SRV"), STR_INIT("A"),
				  STR_INIT("CNAME") };
	strs words = order->n ? *order : (strs){ defaults, COUNT(defaults) };
	bool has_v4 = false;

	if (words.n > DNS_TYPES_MAX)
		return FAIL(ERR_INVALID, "more than %d types to resolve", DNS_TYPES_MAX);
	for (size_t i = 0; i < words.n; i++) {
		int type = 0;

		for (size_t k = 0; k < COUNT(type_words); k++)
			if (str_is_ci(words.v[i], type_words[k].word))
				type = type_words[k].type;
		if (!type)
			return FAIL(ERR_INVALID, "\"" STRF "\" is no type to resolve",
				    STRV(words.v[i]));
		has_v4 |= type == TYPE_A;
		r->prefers_v6 |= type == TYPE_AAAA && !has_v4;
		r->types[r->n_types++] = type;
	}
	return NULL;
}

static struct err *set_servers(struct resolver *r, const struct dns_options *o)
{
	strs own = { NEWS(r->arena, str, DNS_SERVERS_MAX), 0 };

	resolv_conf_read(r->arena,
			 o->resolv_conf.n ? str_z(r->arena, o->resolv_conf) : "/etc/resolv.conf",
			 &r->conf);
	if (o->resolvers.n > DNS_SERVERS_MAX)
		return FAIL(ERR_INVALID, "more than %d name servers", DNS_SERVERS_MAX);
	for (size_t i = 0; i < o->resolvers.n; i++)
		if (!server_parse(r->arena, o->resolvers.v[i], &own.v[own.n++]))
			return FAIL(ERR_INVALID, "\"" STRF "\" is no address of a name server",
				    STRV(o->resolvers.v[i]));
	if (own.n)
		r->conf.servers = own;
	if (!r->conf.servers.n)
		log_warn("there are no name servers: set dns_resolver, or fill resolv.conf");
	return NULL;
}

static int64_t to_ms(int64_t seconds)
{
	return seconds < 0 ? 0 : (seconds < TTL_MAX_S ? seconds : TTL_MAX_S) * 1000;
}

static void resolver_free(struct resolver *r)
{
	cache_done(r);
	pthread_mutex_destroy(&r->lock);
	arena_drop(&r->arena);
	mem_free(r);
}

static struct err *configure(struct resolver *r, const struct dns_options *o)
{
	PASS(set_types(r, &o->order));
	PASS(set_servers(r, o));
	hosts_read(r->arena, o->hostsfile.n ? str_z(r->arena, o->hostsfile) : "/etc/hosts",
		   &r->hosts);
	r->no_sync = o->no_sync;
	r->valid_ttl_ms = o->valid_ttl_s < 0 ? -1 : to_ms(o->valid_ttl_s);
	r->stale_ttl_ms = to_ms(o->stale_ttl_s);
	r->not_found_ttl_ms = to_ms(o->not_found_ttl_s);
	r->error_ttl_ms = to_ms(o->error_ttl_s);
	return engine_start(r);
}

struct err *dns_start(const struct dns_options *o)
{
	struct resolver *r = MEM_NEW(struct resolver);
	struct err *e;

	assert(!self);
	r->arena = arena_new();
	pthread_mutex_init(&r->lock, NULL);
	cache_init(r, o->cache_size ? o->cache_size : CACHE_DEFAULT);
	e = configure(r, o);
	if (e) {
		resolver_free(r);
		return e;
	}
	self = r;
	return NULL;
}

void dns_stop(void)
{
	struct resolver *r = TAKE(self);

	if (!r)
		return;
	engine_stop(r);
	resolver_free(r);
}
