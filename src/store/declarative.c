/* SPDX-License-Identifier: Apache-2.0 */
/* Texts to configurations and back; who holds them. */
#include "base/json.h"
#include "base/limits.h"
#include "base/yaml.h"
#include "net/tls.h"
#include "schema/lua.h"
#include "store/priv.h"

/* ---- failing ------------------------------------------------------------------------------ */

static void fail(struct arena *a, struct db_error *e, struct value *tree, struct value *flattened)
{
	*e = (struct db_error){ .code = DB_DECLARATIVE_CONFIG,
				.fields = value_copy(a, tree),
				.flattened = value_copy(a, flattened) };
	e->message = str_fmt(a, "declarative config is invalid: " STRF,
			     STRV(lua_table(a, e->fields, false)));
}

static void fail_text(struct arena *a, struct db_error *e, str words)
{
	struct value *tree = value_object(a);

	value_set(a, tree, STR("error"), value_str(a, words));
	fail(a, e, tree, NULL);
}

/* ---- parsing -------------------------------------------------------------------------------- */

/* Or an empty list, which says as much as an empty object. */
static bool is_object(const struct value *v)
{
	return v && (v->kind == VALUE_OBJECT || (v->kind == VALUE_ARRAY && v->n == 0));
}

static str why(struct arena *a, struct err *e)
{
	str words = e ? err_line(a, e) : STR("expected an object");

	err_forget();
	return str_fmt(a, "failed parsing declarative configuration: " STRF, STRV(words));
}

/* JSON is asked first where the name does not say; its errors are then YAML's to give. */
static struct value *parse(struct arena *a, str text, str name, str *ret_words)
{
	bool may_be_json = !name.n || str_ends(name, STR("json"));
	bool may_be_yaml = !name.n || str_ends(name, STR("yml")) || str_ends(name, STR("yaml"));
	struct value *doc = NULL;
	struct err *e = NULL;

	if (text.n > LIMIT_CONFIG_BYTES) {
		*ret_words = STR("failed parsing declarative configuration: the text is too long");
		return NULL;
	}
	if (!may_be_json && !may_be_yaml) {
		*ret_words = str_fmt(a, "unknown file type: " STRF ". (Accepted types: json, yaml)",
				     STRV(name));
		return NULL;
	}
	if (may_be_json)
		e = json_parse(a, text, &doc);
	if (may_be_yaml && (e || !is_object(doc))) {
		err_forget();
		doc = NULL;
		e = yaml_parse(a, text, &doc);
	}
	if (!e && is_object(doc))
		return doc;
	*ret_words = why(a, e);
	return NULL;
}

/* ---- life --------------------------------------------------------------------------------------- */

static struct declarative_config *new_config(void)
{
	struct arena *a = arena_new();
	struct declarative_config *d = NEW(a, struct declarative_config);

	d->arena = a;
	d->holders = 1;
	return d;
}

struct declarative_config *declarative_hold(struct declarative_config *d)
{
	atomic_fetch_add_explicit(&d->holders, 1, memory_order_relaxed);
	return d;
}

void declarative_drop(struct declarative_config **ref)
{
	struct declarative_config *d = *ref;
	struct arena *a;

	*ref = NULL;
	if (!d || atomic_fetch_sub_explicit(&d->holders, 1, memory_order_acq_rel) > 1)
		return;
	a = d->arena;
	arena_drop(&a);
}

static void set_hash(struct declarative_config *d, str text, str given)
{
	uint8_t md5[16];
	str hex = given;

	if (given.n != sizeof(d->config.hash) - 1) {
		digest_md5(text, md5);
		hex = hex_encode(d->arena, str_at((const char *)md5, sizeof(md5)));
	}
	memcpy(d->config.hash, hex.s, sizeof(d->config.hash) - 1);
}

/* doc is in d's arena.  Takes d over: it is *ret, or gone. */
static bool finish(struct arena *a, struct declarative_config *d, struct value *doc, str hash_of,
		   const struct declarative_options *o, struct declarative_config **ret,
		   struct db_error *ret_error)
{
	struct declarative_config *mine CLEANUP(declarative_drop) = d;
	struct value *original = o->flatten_errors ? value_copy(a, doc) : NULL;
	struct value *placed = NULL, *tree, *flattened = NULL;

	set_hash(d, hash_of, o->hash);
	tree = declarative_load(d, doc, o, &placed);
	if (tree) {
		if (original)
			flattened = declarative_flatten_errors(a, original, placed);
		fail(a, ret_error, tree, flattened);
		return false;
	}
	*ret = TAKE(mine);
	return true;
}

bool declarative_parse(struct arena *a, str text, const struct declarative_options *o,
		       struct declarative_config **ret, struct db_error *ret_error)
{
	struct declarative_config *d = new_config();
	str words = STR_NONE;
	struct value *doc = parse(d->arena, text, o->name, &words);

	if (doc)
		return finish(a, d, doc, text, o, ret, ret_error);
	fail_text(a, ret_error, words);
	declarative_drop(&d);
	return false;
}

bool declarative_from_value(struct arena *a, struct value *doc, str hash_of,
			    const struct declarative_options *o, struct declarative_config **ret,
			    struct db_error *ret_error)
{
	struct declarative_config *d = new_config();

	if (is_object(doc))
		return finish(a, d, value_copy(d->arena, doc), hash_of, o, ret, ret_error);
	fail_text(a, ret_error,
		  STR("failed parsing declarative configuration: expected an object"));
	declarative_drop(&d);
	return false;
}

/* ---- reading -------------------------------------------------------------------------------------- */

const char *declarative_hash(const struct declarative_config *d)
{
	return d->config.hash;
}

const struct config *declarative_config(const struct declarative_config *d)
{
	return &d->config;
}

static void let_go(void *d_)
{
	struct declarative_config *d = d_;

	declarative_drop(&d);
}

void declarative_lend(struct arena *a, struct declarative_config *d, struct config *ret)
{
	arena_on_end(a, let_go, declarative_hold(d));
	*ret = d->config;
}

static bool is_shown(const struct set *s)
{
	return s->n && !str_is(str_of(s->entity->name), "workspaces");
}

struct value *declarative_entities(struct arena *a, const struct declarative_config *d)
{
	struct value *all = value_object(a);

	for (size_t i = 0; i < d->n_sets; i++) {
		const struct set *s = &d->sets[i];
		struct value *by_id = value_object(a);

		if (!is_shown(s))
			continue;
		value_reserve(a, by_id, (uint32_t)s->n);
		for (size_t k = 0; k < s->n; k++) {
			struct value *doc = value_copy(
				a, schema_render(a, entity_schema(s->entity), s->docs[k]));
			str id = value_get(doc, entity_primary_key(s->entity))->s;

			value_append(a, by_id, id, doc);
		}
		value_set(a, all, str_of(s->entity->name), by_id);
	}
	return all;
}

/* References as texts, the way they are written in a file. */
static struct value *exported(struct arena *a, const struct set *s, const struct value *doc)
{
	struct value *shown = schema_render(a, entity_schema(s->entity), doc);

	for (size_t i = 0; i < s->n_refs; i++) {
		struct value *id = value_get(value_get(shown, s->refs[i].field), "id");

		if (id)
			value_set(a, shown, str_of(s->refs[i].field), id);
	}
	return shown;
}

str declarative_yaml(struct arena *a, const struct declarative_config *d)
{
	struct buf out CLEANUP(buf_done);
	struct value *all = value_object(a);

	value_set(a, all, STR("_format_version"), value_text(a, "3.0"));
	value_set(a, all, STR("_transform"), value_bool(a, false));
	for (size_t i = 0; i < d->n_sets; i++) {
		struct value *list = value_array(a);

		if (!is_shown(&d->sets[i]))
			continue;
		for (size_t k = 0; k < d->sets[i].n; k++)
			value_add(a, list, exported(a, &d->sets[i], d->sets[i].docs[k]));
		value_set(a, all, str_of(d->sets[i].entity->name), list);
	}
	buf_init(&out, LIMIT_CONFIG_BYTES);
	yaml_write(&out, all);
	return str_copy(a, buf_str(&out));
}
