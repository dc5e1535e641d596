/* SPDX-License-Identifier: Apache-2.0 */
/* Connections that one request at a time uses, and where they rest in between. */
#include "upstream/priv.h"

#include "base/log.h"
#include "base/map.h"
#include "base/mem.h"

#define SWEEP_MS  1000 /* how often idle times are looked at */
#define KEY_BYTES 320

/* ---- pools ------------------------------------------------------------------ */

static size_t add_bytes(char *key, size_t at, const void *p, size_t n)
{
	if (n > KEY_BYTES - at)
		n = KEY_BYTES - at;
	memcpy(key + at, p, n);
	return at + n;
}

/* The identity of a pool as bytes.  Server names are host names: they fit. */
static size_t key_of(const struct link_target *t, char key[KEY_BYTES])
{
	const struct address *a = t->address;
	size_t n = 0;

	if (a->any.sa_family == AF_INET) {
		n = add_bytes(key, n, &a->v4.sin_port, sizeof(a->v4.sin_port));
		n = add_bytes(key, n, &a->v4.sin_addr, sizeof(a->v4.sin_addr));
	} else if (a->any.sa_family == AF_INET6) {
		n = add_bytes(key, n, &a->v6.sin6_port, sizeof(a->v6.sin6_port));
		n = add_bytes(key, n, &a->v6.sin6_addr, sizeof(a->v6.sin6_addr));
		n = add_bytes(key, n, &a->v6.sin6_scope_id, sizeof(a->v6.sin6_scope_id));
	} else {
		n = add_bytes(key, n, a->local.sun_path, strlen(a->local.sun_path));
	}
	if (!t->tls)
		return n;
	n = add_bytes(key, n, &t->tls_identity, sizeof(t->tls_identity));
	n = add_bytes(key, n, &t->verify_name, sizeof(t->verify_name));
	n = add_bytes(key, n, &t->before_tls, sizeof(t->before_tls));
	return add_bytes(key, n, t->server_name.s, t->server_name.n);
}

struct pool *pool_get(struct links *l, const struct link_target *t)
{
	char key[KEY_BYTES];
	size_t n = key_of(t, key);
	uint64_t hash = hash_bytes(key, n);
	struct pool **bucket = &l->buckets[hash % BUCKETS], *p;

	for (p = *bucket; p; p = p->next) {
		if (p->hash == hash && p->key_size == n && memcmp(p->key, key, n) == 0)
			return p;
	}
	p = mem_alloc(sizeof(*p) + n);
	p->hash = hash;
	p->key_size = n;
	memcpy(p->key, key, n);
	list_init(&p->idle);
	list_init(&p->shared);
	p->next = *bucket;
	*bucket = p;
	return p;
}

/* Addresses come and go. */
void pool_leave(struct links *l, struct pool *p)
{
	struct pool **at = &l->buckets[p->hash % BUCKETS];

	if (p->idle_count || p->in_use)
		return;
	while (*at != p)
		at = &(*at)->next;
	*at = p->next;
	mem_free(p);
}

/* ---- idle links ------------------------------------------------------------- */

static void take_from_pool(struct link *k)
{
	list_remove(&k->in_pool);
	list_remove(&k->in_order);
	k->pool->idle_count--;
	io_unpark(&k->sock.io);
}

static void close_idle(struct link *k)
{
	struct links *l = k->home;
	struct pool *p = k->pool;

	take_from_pool(k);
	sock_close(&k->sock);
	mem_free(k);
	pool_leave(l, p);
}

/* A word of TLS itself, such as a session's ticket, is nobody's answer. */
static void on_unasked(struct io *io)
{
	struct link *k = CONTAINER(CONTAINER(io, struct sock, io), struct link, sock);

	if (!k->sock.tls || sock_is_stale(&k->sock)) {
		close_idle(k);
		return;
	}
	tls_release_buffers(k->sock.tls);
	io_park_again(io, on_unasked);
}

static void sweep(struct timer *t)
{
	struct links *l = CONTAINER(t, struct links, sweep);
	int64_t now = loop_now_ms();

	list_for_each (&l->by_age, struct link, in_order, k) {
		if (k->idle_until > now)
			break;
		close_idle(k);
	}
	if (!list_is_empty(&l->by_age))
		timer_set(&l->sweep, now + SWEEP_MS);
}

/* The youngest idle link that is still good: the oldest ones are left to age. */
static struct link *take_idle(struct pool *p)
{
	struct link *found = NULL;

	p->in_use++; /* so that the pool outlives a stale last one */
	while (!found && p->idle_count) {
		struct link *k = CONTAINER(p->idle.next, struct link, in_pool);

		take_from_pool(k);
		p->in_use++;
		if (sock_is_stale(&k->sock))
			link_close(&k);
		else
			found = k;
	}
	p->in_use--;
	if (found)
		found->is_reused = true;
	return found;
}

/* ---- the door --------------------------------------------------------------- */

struct links *links_new(const struct links_options *o)
{
	struct links *l = MEM_NEW(struct links);

	l->options = *o;
	list_init(&l->by_age);
	list_init(&l->resting);
	timer_init(&l->sweep, sweep);
	return l;
}

void links_close_idle(struct links *l)
{
	l->is_closing = true;
	list_for_each (&l->by_age, struct link, in_order, k)
		close_idle(k);
	shared_close_idle(l);
	timer_clear(&l->sweep);
}

void links_drop(struct links **ref)
{
	struct links *l = *ref;

	if (!l)
		return;
	*ref = NULL;
	links_close_idle(l);
	for (size_t i = 0; i < BUCKETS; i++) {
		while (l->buckets[i]) {
			struct pool *p = l->buckets[i];

			l->buckets[i] = p->next;
			mem_free(p);
		}
	}
	mem_free(l);
}

static enum link_end end_of_connect(enum net_end e)
{
	return e == NET_TIMEOUT ? LINK_TIMEOUT : e == NET_CANCELLED ? LINK_CANCELLED : LINK_REFUSED;
}

enum link_end link_connect(struct sock *s, const struct link_target *t, deadline until,
			   const char **why)
{
	enum net_end e = sock_connect(s, t->address, until);
	struct err *err = NULL;

	if (e != NET_EOF) {
		*why = e == NET_TIMEOUT ? "timed out" : sock_error(s);
		return end_of_connect(e);
	}
	if (t->preface.n) {
		ssize_t sent = sock_write(s, t->preface.s, t->preface.n, until);

		if (sent < 0) {
			*why = sock_error(s);
			return end_of_connect((enum net_end)sent);
		}
	}
	if (!t->tls)
		return LINK_OK;
	if (t->before_tls)
		err = t->before_tls(s, until);
	if (!err)
		err = tls_connect(s, t->tls, t->server_name, t->verify_name, until);
	if (!err)
		return LINK_OK;
	*why = err_root(err)->text;
	return err->code == ERR_TIMEOUT     ? LINK_TIMEOUT
	       : err->code == ERR_CANCELLED ? LINK_CANCELLED
					    : LINK_TLS_FAILED;
}

bool link_take(struct links *l, const struct link_target *t, struct link **ret)
{
	struct pool *p = pool_get(l, t);
	struct link *k = take_idle(p);

	if (k)
		*ret = k;
	else
		pool_leave(l, p);
	return k != NULL;
}

struct link *link_new(struct links *l, struct pool *p)
{
	struct link *k = MEM_NEW(struct link);

	k->home = l;
	k->pool = p;
	k->sock.io.fd = -1;
	list_init(&k->in_pool);
	list_init(&k->in_order);
	p->in_use++;
	return k;
}

enum link_end link_open(struct links *l, const struct link_target *t, deadline until,
			struct link **ret, const char **why)
{
	struct pool *p = pool_get(l, t);
	struct link *k = t->is_single ? NULL : take_idle(p);
	enum link_end end;

	if (k) {
		*ret = k;
		return LINK_OK;
	}
	k = link_new(l, p);
	end = link_connect(&k->sock, t, until, why);
	if (end != LINK_OK) {
		link_close(&k);
		return end;
	}
	*ret = k;
	return LINK_OK;
}

void link_close(struct link **ref)
{
	struct link *k = *ref;

	if (!k)
		return;
	*ref = NULL;
	sock_close(&k->sock);
	if (k->shared)
		shared_leave(k->shared);
	k->pool->in_use--;
	pool_leave(k->home, k->pool);
	mem_free(k);
}

/* Nearly always at the end: most have the same idle time. */
static void put_in_order(struct links *l, struct link *k)
{
	struct list *at = l->by_age.prev;

	while (at != &l->by_age && CONTAINER(at, struct link, in_order)->idle_until > k->idle_until)
		at = at->prev;
	list_add_front(at, &k->in_order);
}

void link_keep(struct link **ref)
{
	link_keep_for(ref, (*ref)->home->options.idle_ms);
}

void link_keep_for(struct link **ref, int64_t idle_ms)
{
	struct link *k = *ref;
	struct links *l = k->home;

	if (k->shared || l->is_closing || l->options.pool_size == 0 || sock_is_stale(&k->sock) ||
	    (l->options.max_requests && k->requests >= l->options.max_requests)) {
		link_close(ref);
		return;
	}
	*ref = NULL;
	k->pool->in_use--;
	k->pool->idle_count++;
	k->idle_until = idle_ms ? deadline_in(idle_ms) : DEADLINE_NEVER;
	list_add_front(&k->pool->idle, &k->in_pool);
	if (list_is_empty(&l->by_age))
		timer_set(&l->sweep, loop_now_ms() + SWEEP_MS);
	put_in_order(l, k);
	if (k->sock.tls)
		tls_release_buffers(k->sock.tls);
	sock_keep(&k->sock);
	io_park(&k->sock.io, on_unasked);
	if (k->pool->idle_count > l->options.pool_size)
		close_idle(CONTAINER(k->pool->idle.prev, struct link, in_pool));
}
