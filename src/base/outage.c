/* SPDX-License-Identifier: Apache-2.0 */
#include "base/outage.h"

#include "base/clock.h"
#include "base/log.h"
#include <pthread.h>
#include <stdatomic.h>

#define MOST     64 /* at once; of those beyond, each failure is told */
#define WHAT_MAX 200
#define AGAIN_MS 10000

struct outage {
	char name[WHAT_MAX];
	size_t n;
	bool is_on, is_told;
	int64_t told_ms; /* 0: never */
};

static struct {
	pthread_mutex_t lock;
	_Atomic unsigned on; /* how many are */
	struct outage v[MOST];
	size_t n;
} all = { .lock = PTHREAD_MUTEX_INITIALIZER };

static struct outage *find(str name)
{
	for (size_t i = 0; i < all.n; i++) {
		if (str_eq(str_at(all.v[i].name, all.v[i].n), name))
			return &all.v[i];
	}
	return NULL;
}

/* A new one takes the place of one that is over. */
static struct outage *find_or_make(str name)
{
	struct outage *o = find(name);

	for (size_t i = 0; i < all.n && !o; i++) {
		if (!all.v[i].is_on && clock_mono_ms() - all.v[i].told_ms > AGAIN_MS)
			o = &all.v[i];
	}
	if (!o && all.n < MOST)
		o = &all.v[all.n++];
	if (o && !str_eq(str_at(o->name, o->n), name)) {
		*o = (struct outage){ .n = name.n };
		memcpy(o->name, name.s, name.n);
	}
	return o;
}

/* Whether it is to be told. */
static bool begin(str name)
{
	struct outage *o = find_or_make(name);
	int64_t now = clock_mono_ms();

	if (!o)
		return true;
	if (!o->is_on) {
		o->is_on = true;
		o->is_told = false;
		atomic_fetch_add(&all.on, 1);
	}
	if (o->is_told || (o->told_ms && now - o->told_ms < AGAIN_MS))
		return false;
	o->is_told = true;
	o->told_ms = now;
	return true;
}

void outage_begins(str what, const struct err *e, const char *meanwhile)
{
	bool tells;

	pthread_mutex_lock(&all.lock);
	tells = begin(str_part(what, 0, WHAT_MAX));
	pthread_mutex_unlock(&all.lock);
	if (tells)
		log_err(LOG_ERROR_, e, STRF " (told once until it is over; %s)", STRV(what),
			meanwhile);
}

void outage_ends(str what)
{
	struct outage *o;
	bool tells = false;

	if (atomic_load_explicit(&all.on, memory_order_relaxed) == 0)
		return;
	pthread_mutex_lock(&all.lock);
	o = find(str_part(what, 0, WHAT_MAX));
	if (o && o->is_on) {
		o->is_on = false;
		tells = o->is_told;
		atomic_fetch_sub(&all.on, 1);
	}
	pthread_mutex_unlock(&all.lock);
	if (tells)
		log_notice(STRF ": works again", STRV(what));
}
