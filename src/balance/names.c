/* SPDX-License-Identifier: Apache-2.0 */
/* Names to answers: asked when first needed, again when they expire.
 *
 * The lock is let go while DNS is asked; several fibers may ask for one name at
 * once, which dns makes one question, and the answer is taken in by whoever
 * comes first, the others finding it the same as their own. */
#include "balance/priv.h"
#include "base/log.h"
#include "base/mem.h"
#include "fiber/fiber.h"

/* Every balancer that uses the name builds its table anew when it is next asked. */
static void tell_users(struct name *name)
{
	list_for_each (&name->users, struct spot, link, spot)
		atomic_store(&spot->balancer->is_stale, true);
}

/* Same answers, new expiry: the tables stay, their dates move. */
static void redate_users(struct name *name)
{
	list_for_each (&name->users, struct spot, link, spot) {
		struct table *t = atomic_load(&spot->balancer->table);

		atomic_store(&t->renew_at, table_due(spot->balancer));
	}
}

static int by_address(const void *x_, const void *y_)
{
	const struct dns_answer *x = x_, *y = y_;
	size_t n = x->address.size < y->address.size ? x->address.size : y->address.size;
	int order = memcmp(&x->address.any, &y->address.any, n);

	return order ? order : (int)x->address.size - (int)y->address.size;
}

static bool same_answers(const struct name *name, const struct dns_answer *v, size_t n)
{
	if (n != name->n)
		return false;
	for (size_t i = 0; i < n; i++)
		if (by_address(&v[i], &name->answers[i]) != 0 ||
		    v[i].weight != name->answers[i].weight ||
		    !str_eq(v[i].name, name->answers[i].name))
			return false;
	return true;
}

/* Keeps a copy of the answers, the texts of SRV names behind them. */
static void keep_answers(struct name *name, const struct dns_answer *v, size_t n)
{
	size_t size = n * sizeof(*v);
	char *text;

	for (size_t i = 0; i < n; i++)
		size += v[i].name.n;
	mem_free(name->answers);
	name->answers = n ? mem_alloc(size) : NULL;
	name->n = n;
	text = (char *)(name->answers + n);
	for (size_t i = 0; i < n; i++) {
		name->answers[i] = v[i];
		name->answers[i].name = str_at(text, v[i].name.n);
		if (v[i].name.n)
			text = mempcpy(text, v[i].name.s, v[i].name.n);
	}
}

/* Takes in what DNS said.  Under the lock; v may be put into another order. */
static void take_in(struct balance_store *s, struct name *name, enum dns_result result,
		    struct dns_answer *v, size_t n, deadline expires, const char *text)
{
	int64_t now = s->sources.now_ms();
	enum name_state state = NAME_KNOWN;

	if (result == DNS_CANCELLED)
		return;
	if (result == DNS_OK && n == 0)
		result = DNS_NOT_FOUND;
	if (n > LIMIT_BALANCER_SLOTS)
		n = LIMIT_BALANCER_SLOTS;
	if (result == DNS_OK) {
		name->renew_at = DEADLINE_NEVER;
		if (expires < DEADLINE_NEVER - RENEW_DELAY_MS)
			name->renew_at = (expires > now ? expires : now) + RENEW_DELAY_MS;
		if (expires == DNS_EXPIRES_AT_ONCE) {
			state = NAME_EACH_TIME;
			name->renew_at = now + EACH_TIME_MS;
			n = 0;
		}
	} else {
		state = result == DNS_NOT_FOUND ? NAME_NOT_FOUND : NAME_FAILED;
		name->renew_at = now + ASK_AGAIN_MS;
		snprintf(name->why, sizeof(name->why), "%s", text ? text : "no records");
		if (state != name->state)
			log_warn("name " STRF " does not resolve: %s",
				 STRV(str_at(name->text, name->text_n)), name->why);
		if (state == NAME_FAILED &&
		    (name->state == NAME_KNOWN || name->state == NAME_EACH_TIME)) {
			redate_users(name); /* what was known is better than nothing */
			return;
		}
		n = 0;
	}
	if (n)
		qsort(v, n, sizeof(*v), by_address);
	if (state == name->state && same_answers(name, v, n)) {
		redate_users(name);
		return;
	}
	name->state = state;
	keep_answers(name, v, n);
	tell_users(name);
}

static enum dns_result ask(struct balance_store *s, struct name *name, struct arena *a,
			   deadline until) SUSPENDS;

static enum dns_result ask(struct balance_store *s, struct name *name, struct arena *a,
			   deadline until)
{
	struct dns_answer *v = NULL;
	const char *text = NULL;
	deadline expires = 0;
	size_t n = 0;
	enum dns_result result = s->sources.resolve(a, str_at(name->text, name->text_n), until, &v,
						    &n, &expires, &text);

	pthread_mutex_lock(&s->lock);
	take_in(s, name, result, v, n, expires, text);
	pthread_mutex_unlock(&s->lock);
	return result;
}

/* ---- in the background ---------------------------------------------------------- */

static void renew_fiber(void *p)
{
	struct arena *a CLEANUP(arena_drop) = arena_new();
	struct name *name = p;
	struct balance_store *s = name->store;
	int64_t now = s->sources.now_ms();
	bool is_due;

	pthread_mutex_lock(&s->lock);
	is_due = name->renew_at <= now; /* a request that waited may have been first */
	pthread_mutex_unlock(&s->lock);
	if (is_due)
		ask(s, name, a, now + ASK_FOR_MS);
	pthread_mutex_lock(&s->lock);
	name->is_asked = false;
	store_name_let_go(s, name);
	pthread_mutex_unlock(&s->lock);
}

void name_renew(struct balance_store *s, struct name *name)
{
	(void)s;
	if (name->is_asked || !loop_self())
		return;
	name->is_asked = true;
	name->refs++;
	fiber_start("dns of a target", renew_fiber, name);
}

void names_renew(struct balancer *b)
{
	struct balance_store *s = b->store;
	int64_t now = s->sources.now_ms();

	pthread_mutex_lock(&s->lock);
	for (size_t i = 0; i < b->n; i++)
		if (b->spots[i].name && b->spots[i].name->renew_at <= now)
			name_renew(s, b->spots[i].name);
	pthread_mutex_unlock(&s->lock);
}

/* ---- while a request waits ------------------------------------------------------ */

/* A plain host is asked for whenever it has no address: dns remembers failures. */
static bool must_wait_for(const struct balancer *b, const struct name *name, int64_t now)
{
	switch (name->state) {
	case NAME_UNASKED:
		return true;
	case NAME_NOT_FOUND:
	case NAME_FAILED:
		return b->is_plain;
	case NAME_KNOWN:
	case NAME_EACH_TIME:
		return name->renew_at < DEADLINE_NEVER - OVERDUE_MS &&
		       name->renew_at + OVERDUE_MS <= now;
	}
	return false;
}

enum dns_result names_ask(struct balancer *b, struct arena *a, deadline until)
{
	struct balance_store *s = b->store;
	enum dns_result result = DNS_OK;
	int64_t now = s->sources.now_ms();
	size_t n = 0;
	struct name **wanted = NEWS(a, struct name *, b->n);

	pthread_mutex_lock(&s->lock);
	for (size_t i = 0; i < b->n; i++)
		if (b->spots[i].name && must_wait_for(b, b->spots[i].name, now))
			wanted[n++] = b->spots[i].name;
	for (size_t i = 1; i < n; i++) /* all at once; the first one is asked here */
		name_renew(s, wanted[i]);
	pthread_mutex_unlock(&s->lock);

	for (size_t i = 0; i < n && result != DNS_CANCELLED; i++)
		result = ask(s, wanted[i], a, until);
	return result;
}
