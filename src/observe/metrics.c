/* SPDX-License-Identifier: Apache-2.0 */
#include "observe/metrics.h"

#include "base/log.h"
#include "base/map.h"
#include "base/mem.h"

#include <stdlib.h>

#define LINE 64 /* bytes of a cache line */

/* One combination of labels in one shard.  The values of a counter: itself; of a
 * histogram: each bucket, the infinite one, the sum.  Behind them the labels' values,
 * each with '\0' behind it, so that their order is that of the bytes. */
struct series {
	struct series *next;  /* of all in the shard */
	struct series *chain; /* of the same head; the loop's alone */
	uint64_t hash;
	uint32_t family, labels_n;
	int64_t values[];
};

struct shard {
	struct series *all; /* atomic */
	struct series **heads;
	size_t n, cap, bytes;
	int64_t lost;    /* atomic */
	char fill[LINE]; /* no loop writes the line of another */
};

struct metrics {
	const struct metric_family *families;
	size_t n;
	int loops;
	size_t most_bytes; /* of one shard */
	struct shard *shards;
};

static size_t values_of(const struct metric_family *f)
{
	return f->type == METRIC_HISTOGRAM ? f->n_bounds + 2 : 1;
}

static size_t labels_of(const struct metric_family *f)
{
	size_t n = 0;

	while (f->labels[n])
		n++;
	return n;
}

static const char *text_of(const struct series *s, const struct metric_family *f)
{
	return (const char *)(s->values + values_of(f));
}

struct metrics *metrics_new(const struct metric_family *families, size_t n, int loops,
			    size_t most_bytes)
{
	struct metrics *m = MEM_NEW(struct metrics);

	m->families = families;
	m->n = n;
	m->loops = loops;
	m->most_bytes = most_bytes / (size_t)loops;
	m->shards = mem_alloc((size_t)loops * sizeof(*m->shards));
	return m;
}

void metrics_drop(struct metrics **ref)
{
	struct metrics *m = *ref;

	if (!m)
		return;
	*ref = NULL;
	for (int i = 0; i < m->loops; i++) {
		while (m->shards[i].all) {
			struct series *s = m->shards[i].all;

			m->shards[i].all = s->next;
			mem_free(s);
		}
		mem_free(m->shards[i].heads);
	}
	mem_free(m->shards);
	mem_free(m);
}

/* ---- counting --------------------------------------------------------------------------- */

static void grow(struct shard *s)
{
	size_t cap = s->cap ? s->cap * 2 : 64;
	struct series **heads = mem_alloc(cap * sizeof(struct series *));

	for (struct series *i = s->all; i; i = i->next) {
		i->chain = heads[i->hash & (cap - 1)];
		heads[i->hash & (cap - 1)] = i;
	}
	mem_free(s->heads);
	s->heads = heads;
	s->cap = cap;
}

static bool is_of(const struct series *s, const struct metric_family *f, const str *labels)
{
	const char *at = text_of(s, f), *end = at + s->labels_n;

	for (size_t i = 0; f->labels[i]; i++) {
		size_t left = (size_t)(end - at);

		if (left <= labels[i].n || at[labels[i].n])
			return false;
		if (labels[i].n && memcmp(at, labels[i].s, labels[i].n) != 0)
			return false;
		at += labels[i].n + 1;
	}
	return at == end;
}

/* Labels with a '\0' inside end there: no name has one. */
static str to_nul(str s)
{
	const char *nul = s.n ? memchr(s.s, 0, s.n) : NULL;

	return nul ? str_at(s.s, (size_t)(nul - s.s)) : s;
}

static struct series *make(struct metrics *m, struct shard *s, size_t family, const str *labels,
			   size_t labels_n, uint64_t hash)
{
	const struct metric_family *f = &m->families[family];
	size_t size = sizeof(struct series) + values_of(f) * sizeof(int64_t) + labels_n;
	struct series *made;
	char *at;

	if (s->bytes + size > m->most_bytes) {
		if (s->lost == 0)
			log_error("metrics: no room for another series of %s; it and others are "
				  "not counted",
				  f->name);
		__atomic_store_n(&s->lost, s->lost + 1, __ATOMIC_RELAXED);
		return NULL;
	}
	if (s->n >= s->cap)
		grow(s);
	made = mem_alloc(size);
	made->hash = hash;
	made->family = (uint32_t)family;
	made->labels_n = (uint32_t)labels_n;
	at = (char *)(made->values + values_of(f));
	for (size_t i = 0; f->labels[i]; i++) {
		if (labels[i].n)
			memcpy(at, labels[i].s, labels[i].n);
		at += labels[i].n + 1;
	}
	made->chain = s->heads[hash & (s->cap - 1)];
	s->heads[hash & (s->cap - 1)] = made;
	made->next = s->all;
	__atomic_store_n(&s->all, made, __ATOMIC_RELEASE);
	s->n++;
	s->bytes += size;
	return made;
}

static struct series *get(struct metrics *m, int loop, size_t family, const str *given)
{
	const struct metric_family *f = &m->families[family];
	struct shard *s = &m->shards[loop];
	str labels[METRIC_LABELS] = { 0 };
	uint64_t hash = family;
	size_t labels_n = 0;

	for (size_t i = 0; f->labels[i]; i++) {
		labels[i] = to_nul(given[i]);
		labels_n += labels[i].n + 1;
		hash = hash * 0x9e3779b97f4a7c15u + hash_bytes(labels[i].s, labels[i].n);
	}
	hash ^= hash >> 32;
	for (struct series *i = s->cap ? s->heads[hash & (s->cap - 1)] : NULL; i; i = i->chain) {
		if (i->hash == hash && i->family == family && is_of(i, f, labels))
			return i;
	}
	return make(m, s, family, labels, labels_n, hash);
}

static void bump(int64_t *at, int64_t by)
{
	__atomic_store_n(at, *at + by, __ATOMIC_RELAXED);
}

void metrics_add(struct metrics *m, int loop, size_t family, const str *labels, int64_t by)
{
	struct series *s = get(m, loop, family, labels);

	if (s)
		bump(&s->values[0], by);
}

void metrics_observe(struct metrics *m, int loop, size_t family, const str *labels, int64_t value)
{
	const struct metric_family *f = &m->families[family];
	struct series *s = get(m, loop, family, labels);
	size_t bucket = 0;

	if (!s)
		return;
	while (bucket < f->n_bounds && value > f->bounds[bucket])
		bucket++;
	bump(&s->values[bucket], 1);
	bump(&s->values[f->n_bounds + 1], value);
}

int64_t metrics_lost(const struct metrics *m)
{
	int64_t n = 0;

	for (int i = 0; i < m->loops; i++)
		n += __atomic_load_n(&m->shards[i].lost, __ATOMIC_RELAXED);
	return n;
}

/* ---- writing ------------------------------------------------------------------------------- */

void metric_write_head(const struct metric_family *f, struct buf *out)
{
	static const char *const types[] = { "counter", "gauge", "histogram" };

	buf_addf(out, "# HELP %s %s\n# TYPE %s %s\n", f->name, f->help, f->name, types[f->type]);
}

/* As Kong, up to the first byte that is no UTF-8; a line's end is escaped as well. */
static void write_label(struct buf *out, str s)
{
	for (size_t i = 0; i < s.n;) {
		size_t n = utf8_length(s.s + i, s.n - i);

		if (!n)
			return;
		if (s.s[i] == '\n')
			buf_add_str(out, STR("\\n"));
		else if (s.s[i] == '\\' || s.s[i] == '"')
			buf_addf(out, "\\%c", s.s[i]);
		else
			buf_add(out, s.s + i, n);
		i += n;
	}
}

/* {a="b",c="d"}; `le` comes last when it is not NULL. */
static void write_labels(const struct metric_family *f, const str *labels, const char *le,
			 struct buf *out)
{
	if (!f->labels[0] && !le)
		return;
	buf_add_char(out, '{');
	for (size_t i = 0; f->labels[i]; i++) {
		buf_addf(out, "%s%s=\"", i ? "," : "", f->labels[i]);
		write_label(out, labels[i]);
		buf_add_char(out, '"');
	}
	if (le)
		buf_addf(out, "%sle=\"%s\"", f->labels[0] ? "," : "", le);
	buf_add_char(out, '}');
}

static void write_value(const struct metric_family *f, const char *suffix, const str *labels,
			const char *le, int64_t value, struct buf *out)
{
	buf_addf(out, "%s%s", f->name, suffix);
	write_labels(f, labels, le, out);
	buf_add_char(out, ' ');
	buf_add_int(out, value);
	buf_add_char(out, '\n');
}

void metric_write_line(const struct metric_family *f, const str *labels, int64_t value,
		       struct buf *out)
{
	write_value(f, "", labels, NULL, value, out);
}

static void write_histogram(const struct metric_family *f, const str *labels, const int64_t *values,
			    struct buf *out)
{
	int64_t count = 0;

	for (size_t i = 0; i <= f->n_bounds; i++) {
		char le[24] = "+Inf";

		if (i < f->n_bounds)
			snprintf(le, sizeof(le), "%lld", (long long)f->bounds[i]);
		count += values[i];
		write_value(f, "_bucket", labels, le, count, out);
	}
	write_value(f, "_count", labels, NULL, count, out);
	write_value(f, "_sum", labels, NULL, values[f->n_bounds + 1], out);
}

static str key_of(const struct series *s, const struct metric_family *f)
{
	return str_at(text_of(s, f), s->labels_n);
}

static int by_labels(const void *x, const void *y, void *f)
{
	return str_cmp(key_of(*(struct series *const *)x, f),
		       key_of(*(struct series *const *)y, f));
}

/* All series of the family in all shards, by their labels. */
static size_t gather(const struct metrics *m, size_t family, struct arena *a, struct series ***ret)
{
	struct series **first = NEWS(a, struct series *, (size_t)m->loops);
	size_t n = 0, k = 0;

	for (int i = 0; i < m->loops; i++) { /* what comes from now on is left for the next time */
		first[i] = __atomic_load_n(&m->shards[i].all, __ATOMIC_ACQUIRE);
		for (struct series *s = first[i]; s; s = s->next)
			n += s->family == family;
	}
	*ret = NEWS(a, struct series *, n + 1);
	for (int i = 0; i < m->loops; i++) {
		for (struct series *s = first[i]; s; s = s->next) {
			if (s->family == family)
				(*ret)[k++] = s;
		}
	}
	qsort_r(*ret, k, sizeof(**ret), by_labels, (void *)(uintptr_t)&m->families[family]);
	return k;
}

void metrics_write(const struct metrics *m, size_t family, struct buf *out)
{
	struct arena *a CLEANUP(arena_drop) = arena_new();
	const struct metric_family *f = &m->families[family];
	int64_t *values = NEWS(a, int64_t, values_of(f));
	struct series **v;
	size_t n = gather(m, family, a, &v);

	if (n)
		metric_write_head(f, out);
	for (size_t i = 0; i < n;) {
		str key = key_of(v[i], f), rest = key, labels[METRIC_LABELS];

		memset(values, 0, values_of(f) * sizeof(*values));
		for (; i < n && str_eq(key_of(v[i], f), key); i++) {
			for (size_t k = 0; k < values_of(f); k++)
				values[k] += __atomic_load_n(&v[i]->values[k], __ATOMIC_RELAXED);
		}
		for (size_t k = 0; k < labels_of(f); k++)
			str_next(&rest, 0, &labels[k]);
		if (f->type == METRIC_HISTOGRAM)
			write_histogram(f, labels, values, out);
		else
			metric_write_line(f, labels, values[0], out);
	}
}
