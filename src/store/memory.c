/* SPDX-License-Identifier: Apache-2.0 */
/* The store without a database: whichever configuration is current, read only.
 *
 * The lock guards the pointer and the hold taken through it, nothing longer.  What
 * goes out is copied, for the configuration may be replaced while it is in use. */
#include "base/mem.h"
#include "base/vec.h"
#include "net/tls.h"
#include "schema/lua.h"
#include "store/priv.h"

#include <pthread.h>

#define PAGE_DEFAULT 100
#define PAGE_MAX     1000

struct memory {
	struct store store;
	pthread_mutex_t lock;
	struct declarative_config *current; /* held */
};

static struct memory *memory_of(struct store *s)
{
	return CONTAINER(s, struct memory, store);
}

struct declarative_config *store_memory_hold(struct store *s)
{
	struct memory *m = memory_of(s);
	struct declarative_config *d;

	pthread_mutex_lock(&m->lock);
	d = m->current ? declarative_hold(m->current) : NULL;
	pthread_mutex_unlock(&m->lock);
	return d;
}

void store_memory_swap(struct store *s, struct declarative_config *d)
{
	struct memory *m = memory_of(s);
	struct declarative_config *before CLEANUP(declarative_drop) = NULL;

	if (d)
		declarative_hold(d);
	pthread_mutex_lock(&m->lock);
	before = m->current;
	m->current = d;
	pthread_mutex_unlock(&m->lock);
}

static const struct set *set_of(const struct declarative_config *d, const struct entity *e)
{
	return d ? &d->sets[entity_index(str_of(e->name))] : NULL;
}

static struct value *shown(struct arena *a, const struct entity *e, const struct value *doc)
{
	return doc ? value_copy(a, schema_render(a, entity_schema(e), doc)) : NULL;
}

static struct value *find(struct store *s, struct arena *a, const struct entity *e, uuid id,
			  struct db_error *err)
{
	struct declarative_config *d CLEANUP(declarative_drop) = store_memory_hold(s);

	(void)err;
	return d ? shown(a, e, set_find(set_of(d, e), id)) : NULL;
}

static struct value *find_by(struct store *s, struct arena *a, const struct entity *e,
			     const char *field, str value, struct db_error *err)
{
	struct declarative_config *d CLEANUP(declarative_drop) = store_memory_hold(s);

	(void)err;
	return d ? shown(a, e, set_find_by(set_of(d, e), field, value)) : NULL;
}

/* ---- pages ---------------------------------------------------------------------------------- */

static bool has_tag(const struct value *tags, str tag)
{
	for (uint32_t i = 0; !value_is_null(tags) && i < tags->n; i++) {
		if (str_eq(tags->items[i]->s, tag))
			return true;
	}
	return false;
}

static bool has_tags(const struct page_query *q, const struct value *doc)
{
	const struct value *tags = q->tags.n ? value_get(doc, "tags") : NULL;

	for (size_t i = 0; i < q->tags.n; i++) {
		if (has_tag(tags, q->tags.v[i]) == q->tags_any)
			return q->tags_any;
	}
	return !q->tags_any || !q->tags.n;
}

static const uuid *refs_of(const struct set *s, const char *field)
{
	for (size_t i = 0; field && i < s->n_refs; i++) {
		if (strcmp(s->refs[i].field, field) == 0)
			return s->refs[i].ids;
	}
	return NULL;
}

/* The place in the filtered list to begin at, counted from 1, in Kong's spelling. */
static bool read_offset(struct arena *a, str offset, int64_t *ret, struct db_error *err)
{
	const char *fault = NULL;
	str padded = offset, text;

	*ret = 1;
	if (!offset.n)
		return true;
	while (padded.n % 4)
		padded = str_fmt(a, STRF "=", STRV(padded));
	if (!base64_decode(a, padded, &text))
		fault = "bad base64 encoding";
	else if (!str_to_int(text, ret) || *ret < 1)
		fault = "invalid offset";
	if (!fault)
		return true;
	*err = (struct db_error){
		.code = DB_INVALID_OFFSET,
		.message = str_fmt(a, "'" STRF "' is not a valid offset: %s", STRV(offset), fault),
	};
	return false;
}

static str write_offset(struct arena *a, int64_t place)
{
	str text = base64_encode(a, str_fmt(a, "%lld", (long long)place));

	while (text.n && text.s[text.n - 1] == '=')
		text.n--;
	return text;
}

/* A page while it fills. */
struct filling {
	struct arena *a;
	int64_t first, size, seen;
	struct page *page;
};

static struct filling begin(struct arena *a, const struct page_query *q, struct page *page)
{
	*page = (struct page){ .data = value_array(a), .offset = STR("") };
	return (struct filling){ .a = a, .size = q->size ? q->size : PAGE_DEFAULT, .page = page };
}

/* Whether the next of the filtered list belongs on the page; ends it when it is full. */
static bool wants(struct filling *f, bool *ret_is_full)
{
	f->seen++;
	*ret_is_full = f->seen >= f->first + f->size;
	if (*ret_is_full)
		f->page->offset = write_offset(f->a, f->seen);
	return f->seen >= f->first && !*ret_is_full;
}

static void fill_docs(struct filling *f, const struct set *s, const struct page_query *q)
{
	const uuid *refs = refs_of(s, q->foreign);
	bool is_full = false;

	for (size_t i = 0; i < s->n && !is_full; i++) {
		if (q->foreign && (!refs || !uuid_eq(refs[i], q->foreign_id)))
			continue;
		if (has_tags(q, s->docs[i]) && wants(f, &is_full))
			value_add(f->a, f->page->data, shown(f->a, s->entity, s->docs[i]));
	}
}

static struct value *tag_row(struct arena *a, str tag, const struct entity *e,
			     const struct value *doc)
{
	struct value *row = value_object(a);

	value_set(a, row, STR("tag"), value_str(a, str_copy(a, tag)));
	value_set(a, row, STR("entity_name"), value_text(a, e->name));
	value_set(a, row, STR("entity_id"), value_copy(a, value_get(doc, "id")));
	return row;
}

static bool fill_tags_of(struct filling *f, const struct set *s, const struct value *doc,
			 const struct page_query *q)
{
	const struct value *tags = value_get(doc, "tags");
	bool is_full = false;

	for (uint32_t i = 0; !value_is_null(tags) && i < tags->n && !is_full; i++) {
		bool is_asked = !q->tags.n;

		for (size_t k = 0; k < q->tags.n; k++)
			is_asked |= str_eq(q->tags.v[k], tags->items[i]->s);
		if (is_asked && wants(f, &is_full))
			value_add(f->a, f->page->data,
				  tag_row(f->a, tags->items[i]->s, s->entity, doc));
	}
	return is_full;
}

/* The entity tags is what all others are tagged with. */
static void fill_tags(struct filling *f, const struct declarative_config *d,
		      const struct page_query *q)
{
	bool is_full = false;

	for (size_t i = 0; i < d->n_sets; i++) {
		for (size_t k = 0; d->sets[i].entity->is_taggable && k < d->sets[i].n && !is_full;
		     k++)
			is_full = fill_tags_of(f, &d->sets[i], d->sets[i].docs[k], q);
	}
}

static bool page(struct store *s, struct arena *a, const struct entity *e,
		 const struct page_query *q, struct page *ret, struct db_error *err)
{
	struct declarative_config *d CLEANUP(declarative_drop) = store_memory_hold(s);
	struct filling f;
	int64_t first;

	if (q->size < 0 || q->size > PAGE_MAX) {
		*err = (struct db_error){ .code = DB_INVALID_SIZE,
					  .message = STR(
						  "size must be an integer between 1 and 1000") };
		return false;
	}
	if (!read_offset(a, q->offset, &first, err))
		return false;
	f = begin(a, q, ret);
	f.first = first;
	if (d && str_is(str_of(e->name), "tags"))
		fill_tags(&f, d, q);
	else if (d)
		fill_docs(&f, set_of(d, e), q);
	return true;
}

/* ---- the whole ----------------------------------------------------------------------------------- */

static struct err *load(struct store *s, struct arena *a, struct config *ret)
{
	struct declarative_config *d CLEANUP(declarative_drop) = store_memory_hold(s);

	*ret = (struct config){ 0 };
	memset(ret->hash, '0', sizeof(ret->hash) - 1);
	if (d)
		declarative_lend(a, d, ret);
	return NULL;
}

static void drop(struct store *s)
{
	struct memory *m = memory_of(s);

	declarative_drop(&m->current);
	pthread_mutex_destroy(&m->lock);
	mem_free(m);
}

/* Nothing is written: a configuration is replaced as a whole. */
static const struct store_kind memory_kind = {
	.name = "off",
	.find = find,
	.find_by = find_by,
	.page = page,
	.load = load,
	.drop = drop,
};

struct store *store_memory_new(void)
{
	struct memory *m = MEM_NEW(struct memory);

	m->store.kind = &memory_kind;
	pthread_mutex_init(&m->lock, NULL);
	return &m->store;
}
