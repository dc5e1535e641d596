/* SPDX-License-Identifier: Apache-2.0 */
/* The endpoints that every entity has, made from its rows:
 *
 *	/routes                             list, create
 *	/routes/:routes                     get, put, patch, delete
 *	/routes/:routes/service             the entity that a foreign key points to
 *	/services/:services/routes          those that point here
 *	/services/:services/routes/:routes
 *
 * Writes are checked in full before the store is asked, so that a store that
 * cannot write still names what is wrong with a document (as Kong does). */
#include "admin/priv.h"
#include "base/uri.h"
#include "base/vec.h"

/* ---- rows ------------------------------------------------------------------------------ */

static const char *path_of(const struct entity *e)
{
	return e->path ? e->path : e->name;
}

static const char *nested_path_of(const struct entity *e)
{
	return e->nested_path ? e->nested_path : path_of(e);
}

static void add_foreign(struct arena *a, struct endpoints *list, const struct entity *e,
			const struct field *row)
{
	const struct entity *other = entity_find(str_of(row->reference));

	if (!other)
		return;
	*vec_add(a, list) = (struct endpoint){
		.path = str_z(a, str_fmt(a, "/%s/:%s/%s", path_of(e), e->name, row->name)),
		.on = { [HTTP_GET] = foreign_get,
			[HTTP_PUT] = foreign_put,
			[HTTP_PATCH] = foreign_patch,
			[HTTP_DELETE] = foreign_delete },
		.entity = other,
		.parent = e,
		.field = row->name,
	};
	*vec_add(a, list) = (struct endpoint){
		.path = str_z(a, str_fmt(a, "/%s/:%s/%s", path_of(other), other->name,
					 nested_path_of(e))),
		.on = { [HTTP_GET] = nested_list, [HTTP_POST] = nested_create },
		.entity = e,
		.parent = other,
		.field = row->name,
	};
	*vec_add(a, list) = (struct endpoint){
		.path = str_z(a, str_fmt(a, "/%s/:%s/%s/:%s", path_of(other), other->name,
					 nested_path_of(e), e->name)),
		.on = { [HTTP_GET] = nested_get,
			[HTTP_PUT] = nested_put,
			[HTTP_PATCH] = nested_patch,
			[HTTP_DELETE] = nested_delete },
		.entity = e,
		.parent = other,
		.field = row->name,
	};
}

void endpoints_generate(struct arena *a, struct endpoints *list)
{
	for (size_t i = 0; entities[i]; i++) {
		const struct entity *e = entities[i];

		if (e->is_hidden)
			continue;
		*vec_add(a, list) = (struct endpoint){
			.path = str_z(a, str_fmt(a, "/%s", path_of(e))),
			.on = { [HTTP_GET] = entity_list, [HTTP_POST] = entity_create },
			.entity = e,
		};
		*vec_add(a, list) = (struct endpoint){
			.path = str_z(a, str_fmt(a, "/%s/:%s", path_of(e), e->name)),
			.on = { [HTTP_GET] = entity_get,
				[HTTP_PUT] = entity_put,
				[HTTP_PATCH] = entity_patch,
				[HTTP_DELETE] = entity_delete },
			.entity = e,
		};
		for (const struct field *f = schema_fields(entity_schema(e)); f->kind != FIELD_END_;
		     f++)
			if (f->kind == FIELD_FOREIGN)
				add_foreign(a, list, e, f);
	}
}

/* ---- finding ----------------------------------------------------------------------------- */

uuid document_id(const struct value *v)
{
	const struct value *id = value_get(v, "id");
	uuid ret = { 0 };

	if (id && id->kind == VALUE_STRING)
		uuid_parse(id->s, &ret);
	return ret;
}

static struct value *one_member(struct arena *a, str key, str text)
{
	struct value *v = value_object(a);

	value_set(a, v, key, value_str(a, text));
	return v;
}

static struct db_error invalid_key(struct call *c)
{
	struct value *fields = one_member(c->a, STR("id"), STR("expected a valid UUID"));

	return (struct db_error){
		.code = DB_INVALID_PRIMARY_KEY,
		.message = str_fmt(c->a, "invalid primary key: '" STRF "'",
				   STRV(db_key_text(c->a, fields))),
		.fields = fields,
	};
}

/* NULL with err->code 0: there is none. */
static struct value *look_up(struct call *c, const struct entity *e, str key, struct db_error *err)
{
	struct store *s = c->context->store;
	uuid id;

	*err = (struct db_error){ 0 };
	if (uuid_parse(key, &id))
		return s->kind->find(s, c->a, e, id, err);
	if (e->endpoint_key)
		return s->kind->find_by(s, c->a, e, e->endpoint_key, key, err);
	*err = invalid_key(c);
	return NULL;
}

struct value *call_find(struct call *c, const struct entity *e, str key)
{
	struct db_error err;
	struct value *doc;

	if (!entity_key(c, e, &key))
		return NULL;
	doc = look_up(c, e, key, &err);
	if (doc)
		return doc;
	if (err.code)
		answer_error(c, &err);
	else
		answer_not_found(c);
	return NULL;
}

/* ---- pages --------------------------------------------------------------------------------- */

static bool refuse(struct call *c, enum db_code code, str message, struct value *fields)
{
	answer_error(c, &(struct db_error){ .code = code, .message = message, .fields = fields });
	return false;
}

bool call_size(struct call *c, int64_t *ret)
{
	str text = call_query(c, "size");
	double real;

	*ret = 0;
	if (!text.s)
		return true;
	if (!str_to_num(text, &real))
		return refuse(c, DB_INVALID_SIZE, STR("size must be a number"), NULL);
	if (!(real >= 1 && real <= 1000) || real != (double)(int64_t)real)
		return refuse(c, DB_INVALID_SIZE, STR("size must be an integer between 1 and 1000"),
			      NULL);
	*ret = (int64_t)real;
	return true;
}

static bool refuse_tags(struct call *c, const char *words)
{
	return refuse(c, DB_INVALID_OPTIONS, str_fmt(c->a, "invalid option (tags: %s)", words),
		      one_member(c->a, STR("tags"), str_of(words)));
}

/* "a,b" all of them, "a/b" any of them; one separator may end the list. */
static bool read_tags(struct call *c, struct page_query *q)
{
	str text = call_query(c, "tags"), piece;
	bool has_comma = str_find(text, ',', 0) >= 0, has_slash = str_find(text, '/', 0) >= 0;
	char between = has_slash ? '/' : ',';

	if (!text.s)
		return true;
	if (text.n && text.s[text.n - 1] == between)
		text.n--;
	if (text.n == 0 || (has_comma && has_slash))
		return refuse_tags(c, "invalid filter syntax");
	q->tags.v = NEWS(c->a, str, 6);
	q->tags_any = has_slash;
	while (str_next(&text, between, &piece)) {
		if (piece.n == 0)
			return refuse_tags(c, "invalid filter syntax");
		for (size_t i = 0; i < piece.n; i++)
			if ((unsigned char)piece.s[i] < 0x20 || piece.s[i] == 0x7f)
				return refuse_tags(c, "invalid filter syntax");
		if (q->tags.n == 5)
			return refuse_tags(c, "cannot query more than 5 tags");
		q->tags.v[q->tags.n++] = piece;
	}
	return true;
}

bool call_page_query(struct call *c, const struct entity *e, bool has_tags, struct page_query *ret)
{
	*ret = (struct page_query){ .offset = call_query(c, "offset") };
	if (!call_size(c, &ret->size))
		return false;
	if (!has_tags || !value_get(c->query, "tags"))
		return true;
	if (!e->is_taggable)
		return refuse_tags(c,
				   str_z(c->a, str_fmt(c->a, "cannot be used with '%s'", e->name)));
	return read_tags(c, ret);
}

void answer_page(struct call *c, struct value *data, str offset, str path, str and_more)
{
	struct value *v = value_object(c->a);

	value_set(c->a, v, STR("data"), data);
	value_set(c->a, v, STR("next"), value_null(c->a));
	if (offset.n) {
		str escaped = uri_escape_component(c->a, offset);

		value_set(c->a, v, STR("next"),
			  value_str(c->a, str_fmt(c->a, STRF "?offset=" STRF STRF, STRV(path),
						  STRV(escaped), STRV(and_more))));
		value_set(c->a, v, STR("offset"), value_str(c->a, offset));
	}
	answer_value(c, 200, v);
}

static bool read_page(struct call *c, const struct entity *e, const struct page_query *q,
		      struct page *ret)
{
	struct store *s = c->context->store;
	struct db_error err = { 0 };

	if (!s->kind->page(s, c->a, e, q, ret, &err)) {
		answer_error(c, &err);
		return false;
	}
	for (uint32_t i = 0; i < ret->data->n; i++)
		if (!entity_dress(c, e, ret->data->items[i]))
			return false;
	return true;
}

void entity_list(struct call *c)
{
	const struct entity *e = c->at->entity;
	str tags = call_query(c, "tags"), size = call_query(c, "size"), more = STR("");
	struct page_query q;
	struct page page;

	if (!call_page_query(c, e, true, &q) || !read_page(c, e, &q, &page))
		return;
	if (tags.s)
		more = str_fmt(c->a, "&tags=" STRF, STRV(uri_escape_component(c->a, tags)));
	if (size.s)
		more = str_fmt(c->a, STRF "&size=" STRF, STRV(more), STRV(size));
	answer_page(c, page.data, page.offset, str_fmt(c->a, "/%s", path_of(e)), more);
}

void nested_list(struct call *c)
{
	const struct entity *e = c->at->entity, *parent = c->at->parent;
	struct value *of = call_find(c, parent, c->params[0]);
	struct page_query q;
	struct page page;
	str path;

	if (!of || !call_page_query(c, e, false, &q))
		return;
	q.foreign = c->at->field;
	q.foreign_id = document_id(of);
	if (!read_page(c, e, &q, &page))
		return;
	path = str_fmt(c->a, "/%s/" STRF "/%s", path_of(parent),
		       STRV(uri_escape_component(c->a, c->params[0])), nested_path_of(e));
	answer_page(c, page.data, page.offset, path, STR(""));
}

/* ---- reading one ------------------------------------------------------------------------------ */

static void show(struct call *c, int status, struct value *doc)
{
	if (entity_dress(c, c->at->entity, doc))
		answer_value(c, status, doc);
}

void entity_get(struct call *c)
{
	struct value *doc = call_find(c, c->at->entity, c->params[0]);

	if (doc)
		show(c, 200, doc);
}

/* The parent's with that nested key; NULL with err->code 0: there is none. */
static struct value *look_below(struct call *c, const struct value *parent, str key,
				struct db_error *err)
{
	const struct entity *e = c->at->entity;
	struct store *s = c->context->store;
	struct page_query q = { .size = BIG_PAGE,
				.foreign = c->at->field,
				.foreign_id = document_id(parent) };
	struct page page = { 0 };

	do {
		if (!s->kind->page(s, c->a, e, &q, &page, err))
			return NULL;
		for (uint32_t i = 0; i < page.data->n; i++) {
			struct value *doc = page.data->items[i];
			const struct value *v = value_get(doc, e->nested_key);

			if (!value_is_null(v) && v->kind == VALUE_STRING && str_eq(v->s, key))
				return doc;
		}
		q.offset = page.offset;
	} while (page.offset.n);
	return NULL;
}

/* Turns the second parameter into an id, where it is a nested key; PUT may name what is not
 * there yet.  False: answered. */
static bool nested_key(struct call *c, const struct value *parent)
{
	const struct entity *e = c->at->entity;
	struct db_error err = { 0 };
	str key = c->params[1];
	struct value *doc;
	uuid id;

	if (!e->nested_key || uuid_parse(key, &id))
		return true;
	doc = look_below(c, parent, key, &err);
	if (err.code) {
		answer_error(c, &err);
		return false;
	}
	if (!doc && c->method != HTTP_PUT) {
		answer_not_found(c);
		return false;
	}
	c->params[1] = uuid_str(c->a, doc ? document_id(doc) : uuid_random());
	if (c->method == HTTP_PUT && !value_get(c->args, e->nested_key))
		value_set(c->a, c->args, str_of(e->nested_key), value_str(c->a, key));
	return true;
}

/* The second parameter's entity, when it belongs to the first's. */
static struct value *find_nested(struct call *c, struct value **ret_parent)
{
	struct value *parent = call_find(c, c->at->parent, c->params[0]), *doc;

	if (!parent || !nested_key(c, parent))
		return NULL;
	doc = call_find(c, c->at->entity, c->params[1]);
	if (!doc)
		return NULL;
	*ret_parent = parent;
	if (uuid_eq(document_id(value_get(doc, c->at->field)), document_id(parent)))
		return doc;
	answer_not_found(c);
	return NULL;
}

void nested_get(struct call *c)
{
	struct value *parent, *doc = find_nested(c, &parent);

	if (doc)
		show(c, 200, doc);
}

/* What the first parameter's foreign key points to: its id, as a path's key; STR_NONE: answered. */
static str foreign_key(struct call *c)
{
	struct value *doc = call_find(c, c->at->parent, c->params[0]);
	const struct value *key = doc ? value_get(doc, c->at->field) : NULL;

	if (doc && !value_is_null(key))
		return uuid_str(c->a, document_id(key));
	if (doc)
		answer_not_found(c);
	return STR_NONE;
}

void foreign_get(struct call *c)
{
	str key = foreign_key(c);
	struct value *doc = key.s ? call_find(c, c->at->entity, key) : NULL;

	if (doc)
		show(c, 200, doc);
}

/* ---- checking what is to be written -------------------------------------------------------------- */

struct db_error unsupported(struct call *c, const char *what, const struct entity *e,
			    const char *by)
{
	str by_what = by ? str_fmt(c->a, " by '%s'", by) : STR("");

	return (struct db_error){
		.code = DB_UNSUPPORTED,
		.message =
			str_fmt(c->a, "cannot %s '%s' entities" STRF " when not using a database",
				what, e->name, STRV(by_what)),
	};
}

static struct db_error violation(struct call *c, struct value *errors)
{
	return (struct db_error){
		.code = DB_SCHEMA_VIOLATION,
		.message = schema_message(c->a, errors),
		.fields = errors,
	};
}

/* {"name": "x"} becomes {"id": ...} by any unique field; what cannot be found is
 * added to unresolved.  False: the store failed. */
static bool resolve_one(struct call *c, const struct field *row, struct value *doc,
			struct value *unresolved, struct db_error *err)
{
	struct store *s = c->context->store;
	struct value *key = value_get(doc, row->name), *errors = NULL;
	const struct entity *other = entity_find(str_of(row->reference));

	if (!other || value_is_null(key) || key->kind != VALUE_OBJECT || value_get(key, "id"))
		return true;
	for (const struct field *f = schema_fields(entity_schema(other)); f->kind != FIELD_END_;
	     f++) {
		const struct value *text = value_get(key, f->name);
		struct value *found;
		str words;

		if (!f->is_unique || !text || text->kind != VALUE_STRING)
			continue;
		found = s->kind->find_by(s, c->a, other, f->name, text->s, err);
		if (found) {
			value_set(c->a, doc, str_of(row->name),
				  one_member(c->a, STR("id"), uuid_str(c->a, document_id(found))));
			return true;
		}
		if (err->code)
			return false;
		words = str_fmt(c->a,
				"the foreign key cannot be resolved with '" STRF
				"' for an existing '%s' entity",
				STRV(db_key_text(c->a, one_member(c->a, str_of(f->name), text->s))),
				other->name);
		if (!errors)
			errors = value_object(c->a);
		value_set(c->a, errors, str_of(f->name), value_str(c->a, words));
	}
	if (errors)
		value_set(c->a, unresolved, str_of(row->name), errors);
	return true;
}

static str unresolved_message(struct call *c, const struct value *unresolved)
{
	str list = STR("");
	int n = 0;

	for (uint32_t i = 0; i < unresolved->n; i++) {
		const struct member *m = &unresolved->members[i];

		for (uint32_t k = 0; k < m->value->n; k++, n++)
			list = str_fmt(c->a, STRF "%s" STRF "." STRF ": " STRF, STRV(list),
				       list.n ? "; " : "", STRV(m->key),
				       STRV(m->value->members[k].key),
				       STRV(m->value->members[k].value->s));
	}
	if (n == 1)
		return str_fmt(c->a, "foreign key unresolved (" STRF ")", STRV(list));
	return str_fmt(c->a, "%d foreign keys unresolved (" STRF ")", n, STRV(list));
}

static bool resolve(struct call *c, const struct entity *e, struct value *doc, struct db_error *err)
{
	struct value *unresolved = value_object(c->a);

	for (const struct field *f = schema_fields(entity_schema(e)); f->kind != FIELD_END_; f++)
		if (f->kind == FIELD_FOREIGN && !resolve_one(c, f, doc, unresolved, err))
			return false;
	if (unresolved->n == 0)
		return true;
	*err = (struct db_error){
		.code = DB_FOREIGN_KEYS_UNRESOLVED,
		.message = unresolved_message(c, unresolved),
		.fields = unresolved,
	};
	return false;
}

#define TTL_MAX 100000000 /* s */

/* How long it is to live; null as good as nothing said. */
static bool check_ttl(struct call *c, const struct entity *e, const struct value *doc,
		      struct db_error *err)
{
	static const char words[] = "must be an integer between 0 and 100000000";
	const struct value *ttl = e->has_ttl ? value_get(doc, "ttl") : NULL;

	if (value_is_null(ttl) || (ttl->kind == VALUE_INT && ttl->i >= 0 && ttl->i <= TTL_MAX))
		return true;
	*err = (struct db_error){
		.code = DB_INVALID_OPTIONS,
		.message = str_fmt(c->a, "invalid option (ttl: %s)", words),
		.fields = one_member(c->a, STR("ttl"), str_of(words)),
	};
	return false;
}

/* Completes and checks doc for that operation. */
static bool check(struct call *c, const struct entity *e, struct value *doc, enum schema_op op,
		  const struct value *before, struct db_error *err)
{
	struct schema_options o = { .op = op, .now_ms = clock_wall_ms(), .before = before };
	struct value *errors;

	*err = (struct db_error){ 0 };
	if (!check_ttl(c, e, doc, err) || !resolve(c, e, doc, err))
		return false;
	errors = entity_process(c->a, e, doc, &o);
	if (errors)
		*err = violation(c, errors);
	return !errors;
}

/* ---- writing ------------------------------------------------------------------------------------------ */

/* A write of one document; `by` is the endpoint key when the path names it so. */
struct change {
	enum store_op op;
	uuid id;                    /* of all but STORE_INSERT */
	const struct value *before; /* of STORE_UPDATE */
	struct value *doc;
	const char *by;
};

static const struct {
	enum schema_op op;
	const char *words; /* in a refusal */
} ops[] = {
	[STORE_INSERT] = { SCHEMA_INSERT, "create" },
	[STORE_UPDATE] = { SCHEMA_UPDATE, "update" },
	[STORE_UPSERT] = { SCHEMA_UPSERT, "create or update" },
};

/* The document and what goes with it, together; NULL: *err says why not. */
static struct value *put_document(struct call *c, const struct entity *e, struct change *g,
				  struct value *names, struct db_error *err)
{
	struct store *s = c->context->store;
	const struct value *whole = g->doc;
	struct writes w = { 0 };

	if (g->op == STORE_INSERT)
		g->id = document_id(g->doc);
	if (g->op == STORE_UPDATE)
		whole = schema_merge(c->a, entity_schema(e), g->before, g->doc);
	if (!relations_check(c, e, g->id, whole, names, err))
		return NULL;
	*vec_add(c->a, &w) = (struct store_write){ g->op, e, g->id, g->doc };
	if (names && !relations_add(c, g->id, names, &w, err))
		return NULL;
	return s->kind->write(s, c->a, w.v, w.n, err) ? w.v[0].doc : NULL;
}

/* The document as it is then; NULL: *err says why not. */
static struct value *write_document(struct call *c, const struct entity *e, struct change *g,
				    struct db_error *err)
{
	struct value *names;

	*err = (struct db_error){ 0 };
	if (!relations_take(c, e, g->doc, &names, err) ||
	    !check(c, e, g->doc, ops[g->op].op, g->before, err))
		return NULL;
	if (c->context->store->kind->write)
		return put_document(c, e, g, names, err);
	*err = unsupported(c, ops[g->op].words, e, g->by);
	return NULL;
}

static void insert(struct call *c, struct value *doc)
{
	struct change g = { .op = STORE_INSERT, .doc = doc };
	struct db_error err;
	struct value *made = write_document(c, c->at->entity, &g, &err);

	if (made)
		show(c, 201, made);
	else
		answer_error(c, &err);
}

/* The endpoint key, when that is what the path's key is. */
static const char *named_by(const struct entity *e, str key)
{
	uuid id;

	return uuid_parse(key, &id) ? NULL : e->endpoint_key;
}

/* By the key of the path; before is the document as it is. */
static void update(struct call *c, str key, const struct value *before, struct value *doc)
{
	const struct entity *e = c->at->entity;
	struct change g = { STORE_UPDATE, document_id(before), before, doc, named_by(e, key) };
	struct db_error err;
	struct value *made;

	entity_complete(c, e, before, doc);
	made = write_document(c, e, &g, &err);
	if (made)
		show(c, 200, made);
	else
		answer_error(c, &err);
}

/* Is the name of the path taken, though nothing had it a moment ago? */
static bool was_overtaken(const struct change *g, const struct value *before,
			  const struct db_error *err)
{
	return g->by && !before && err->code == DB_UNIQUE_VIOLATION && err->fields &&
	       err->fields->n == 1 && value_get(err->fields, g->by);
}

static struct value *try_upsert(struct call *c, const struct entity *e, str key, struct value *doc,
				struct db_error *err, bool *ret_again)
{
	struct change g = { .op = STORE_UPSERT, .doc = doc, .by = named_by(e, key) };
	struct value *before = look_up(c, e, key, err), *made;

	*ret_again = false;
	if (!before && err->code)
		return NULL;
	uuid_parse(key, &g.id);
	if (g.by) {
		g.id = before ? document_id(before) : uuid_random();
		value_set(c->a, doc, str_of(e->endpoint_key), value_str(c->a, key));
	}
	value_set(c->a, doc, STR("id"), value_str(c->a, uuid_str(c->a, g.id)));
	made = write_document(c, e, &g, err);
	*ret_again = !made && was_overtaken(&g, before, err);
	return made;
}

/* PUT: the document becomes what is given; made when there was none.  Of several at once
 * one makes it and the others change it.  Returns it, or NULL when answered with an error. */
static struct value *upsert(struct call *c, const struct entity *e, str key, struct value *doc)
{
	struct db_error err = { 0 };
	struct value *made = NULL;
	bool again = true;

	for (int i = 0; again && i < 3; i++)
		made = try_upsert(c, e, key, value_copy(c->a, doc), &err, &again);
	if (!made)
		answer_error(c, &err);
	return made;
}

/* DELETE of what is not there is as good as done. */
static void remove_one(struct call *c, str key)
{
	const struct entity *e = c->at->entity;
	struct store *s = c->context->store;
	struct db_error err;
	struct value *doc;
	uuid id;
	bool by_name = !uuid_parse(key, &id) && e->endpoint_key;

	doc = look_up(c, e, key, &err);
	if (doc && !s->kind->remove)
		err = unsupported(c, "remove", e, by_name ? e->endpoint_key : NULL);
	else if (doc)
		s->kind->remove(s, c->a, e, document_id(doc), &err);
	if (err.code)
		answer_error(c, &err);
	else
		answer_empty(c, 204);
}

/* Of plugins Kong reads the row first, unless the body says all that it is read for; then it
 * has other words for one that is not there. */
static bool is_read_first(const struct call *c, const struct entity *e)
{
	static const char *const names[] = { "name", "route", "service", "consumer" };

	if (strcmp(e->name, "plugins") != 0)
		return false;
	for (size_t i = 0; i < COUNT(names); i++) {
		if (!value_get(c->args, names[i]))
			return true;
	}
	return false;
}

/* PATCH of what is not there: Kong's words name the key. */
static struct value *find_to_update(struct call *c, const struct entity *e, str key)
{
	struct db_error err;
	struct value *doc = look_up(c, e, key, &err), *fields;
	uuid id;
	bool by_id = uuid_parse(key, &id);

	if (doc)
		return doc;
	if (err.code == 0 && is_read_first(c, e)) {
		answer_not_found(c);
		return NULL;
	}
	if (err.code == 0) {
		fields = one_member(c->a, by_id ? STR("id") : str_of(e->endpoint_key), key);
		err = (struct db_error){
			.code = DB_NOT_FOUND,
			.message = str_fmt(c->a, "could not find the entity with %s'" STRF "'",
					   by_id ? "primary key " : "",
					   STRV(db_key_text(c->a, fields))),
			.fields = fields,
		};
	}
	answer_error(c, &err);
	return NULL;
}

static struct value *key_of(struct call *c, const struct value *doc)
{
	return one_member(c->a, STR("id"), uuid_str(c->a, document_id(doc)));
}

void entity_create(struct call *c)
{
	insert(c, c->args);
}

void entity_put(struct call *c)
{
	str key = c->params[0];
	struct value *made = NULL;

	if (entity_key(c, c->at->entity, &key))
		made = upsert(c, c->at->entity, key, c->args);
	if (made)
		show(c, 200, made);
}

void entity_patch(struct call *c)
{
	str key = c->params[0];
	struct value *before = NULL;

	if (entity_key(c, c->at->entity, &key))
		before = find_to_update(c, c->at->entity, key);
	if (before)
		update(c, key, before, c->args);
}

void entity_delete(struct call *c)
{
	str key = c->params[0];

	if (entity_key(c, c->at->entity, &key))
		remove_one(c, key);
}

void nested_create(struct call *c)
{
	struct value *parent = call_find(c, c->at->parent, c->params[0]);

	if (!parent)
		return;
	value_set(c->a, c->args, str_of(c->at->field), key_of(c, parent));
	insert(c, c->args);
}

/* Not checked here, as in Kong: whether the entity belongs to the parent.  It will. */
void nested_put(struct call *c)
{
	struct value *parent = call_find(c, c->at->parent, c->params[0]), *made = NULL;
	str key;

	if (!parent || !nested_key(c, parent))
		return;
	key = c->params[1];
	value_set(c->a, c->args, str_of(c->at->field), key_of(c, parent));
	if (entity_key(c, c->at->entity, &key))
		made = upsert(c, c->at->entity, key, c->args);
	if (made)
		show(c, 200, made);
}

void nested_patch(struct call *c)
{
	struct value *parent, *doc = find_nested(c, &parent);

	if (!doc)
		return;
	if (!value_get(c->args, c->at->field))
		value_set(c->a, c->args, str_of(c->at->field), key_of(c, parent));
	update(c, c->params[1], doc, c->args);
}

void nested_delete(struct call *c)
{
	struct value *parent, *doc = find_nested(c, &parent);

	if (doc)
		remove_one(c, c->params[1]);
}

/* Makes the entity when the foreign key was unset, and sets it. */
void foreign_put(struct call *c)
{
	struct store *s = c->context->store;
	struct value *doc = call_find(c, c->at->parent, c->params[0]), *key, *made, *link;
	struct db_error err;
	bool is_new;

	if (!doc)
		return;
	key = value_get(doc, c->at->field);
	is_new = value_is_null(key);
	made = upsert(c, c->at->entity, uuid_str(c->a, is_new ? uuid_random() : document_id(key)),
		      c->args);
	if (!made)
		return;
	if (is_new) {
		link = value_object(c->a);
		value_set(c->a, link, str_of(c->at->field), key_of(c, made));
		entity_complete(c, c->at->parent, doc, link);
		if (!check(c, c->at->parent, link, SCHEMA_UPDATE, doc, &err) ||
		    !s->kind->update(s, c->a, c->at->parent, document_id(doc), link, &err)) {
			answer_error(c, &err);
			return;
		}
	}
	show(c, 200, made);
}

void foreign_patch(struct call *c)
{
	str key = foreign_key(c);
	struct value *before = key.s ? find_to_update(c, c->at->entity, key) : NULL;

	if (before)
		update(c, key, before, c->args);
}

void foreign_delete(struct call *c)
{
	if (foreign_key(c).s)
		answer_message(c, 405, "Method not allowed");
}
