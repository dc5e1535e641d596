/* SPDX-License-Identifier: Apache-2.0 */
/* What a write needs to know of other entities, and what it takes along: a plugin has a
 * protocol in common with its routes, a service names authorities that are there, and
 * the list of names of a certificate becomes SNIs in the same transaction. */
#include "admin/priv.h"

#include "base/map.h"
#include "base/vec.h"
#include <stdlib.h>

static bool is(const struct entity *e, const char *name)
{
	return strcmp(e->name, name) == 0;
}

static bool violates(struct call *c, struct db_error *err, const char *field, str words)
{
	struct value *fields = value_object(c->a);

	value_set(c->a, fields, str_of(field), value_str(c->a, words));
	*err = (struct db_error){
		.code = DB_SCHEMA_VIOLATION,
		.message = schema_message(c->a, fields),
		.fields = fields,
	};
	return false;
}

/* ---- all of a parent's ----------------------------------------------------------------- */

/* Every document of e that points to `of`; false: the store failed. */
static bool all_of(struct call *c, const struct entity *e, const char *field, uuid of,
		   struct value *ret, struct db_error *err)
{
	struct store *s = c->context->store;
	struct page_query q = { .size = BIG_PAGE, .foreign = field, .foreign_id = of };
	struct page page = { 0 };

	do {
		if (!s->kind->page(s, c->a, e, &q, &page, err))
			return false;
		for (uint32_t i = 0; i < page.data->n; i++)
			value_add(c->a, ret, page.data->items[i]);
		q.offset = page.offset;
	} while (page.offset.n);
	return true;
}

/* ---- protocols of a plugin --------------------------------------------------------------- */

static bool have_common(const struct value *x, const struct value *y)
{
	for (uint32_t i = 0; !value_is_null(x) && i < x->n; i++) {
		for (uint32_t k = 0; !value_is_null(y) && k < y->n; k++) {
			if (value_eq(x->items[i], y->items[k]))
				return true;
		}
	}
	return false;
}

static bool check_protocols(struct call *c, const struct value *doc, struct db_error *err)
{
	const struct value *protocols = value_get(doc, "protocols");
	const struct value *route = value_get(doc, "route"), *service = value_get(doc, "service");
	const struct entity *routes = entity_find(STR("routes"));
	struct store *s = c->context->store;
	struct value *all = value_array(c->a), *found;
	bool has_common = false;

	if (value_is_null(protocols))
		return true;
	if (!value_is_null(route)) {
		found = s->kind->find(s, c->a, routes, document_id(route), err);
		if (err->code)
			return false;
		if (found && !have_common(protocols, value_get(found, "protocols")))
			return violates(c, err, "protocols",
					STR("must match the associated route's protocols"));
	}
	if (value_is_null(service))
		return true;
	if (!all_of(c, routes, "service", document_id(service), all, err))
		return false;
	for (uint32_t i = 0; i < all->n; i++)
		has_common |= have_common(protocols, value_get(all->items[i], "protocols"));
	return has_common || all->n == 0 ||
	       violates(c, err, "protocols",
			STR("must match the protocols of at least one route pointing to this "
			    "Plugin's service"));
}

/* ---- authorities of a service --------------------------------------------------------------- */

static bool check_authorities(struct call *c, const struct value *doc, struct db_error *err)
{
	const struct value *ids = value_get(doc, "ca_certificates");
	const struct entity *e = entity_find(STR("ca_certificates"));
	struct store *s = c->context->store;

	for (uint32_t i = 0; !value_is_null(ids) && i < ids->n; i++) {
		uuid id = { 0 };

		uuid_parse(ids->items[i]->s, &id);
		if (s->kind->find(s, c->a, e, id, err))
			continue;
		if (err->code)
			return false;
		return violates(c, err, "ca_certificates",
				str_fmt(c->a, "there is no CA certificate '" STRF "'",
					STRV(ids->items[i]->s)));
	}
	return true;
}

/* ---- names of a certificate -------------------------------------------------------------------- */

static int by_text(const void *x, const void *y)
{
	return str_cmp((*(struct value *const *)x)->s, (*(struct value *const *)y)->s);
}

static bool read_names(struct call *c, struct value *names, struct db_error *err)
{
	struct map seen = { 0 };

	for (uint32_t i = 0; i < names->n; i++) {
		void **slot;

		if (names->items[i]->kind != VALUE_STRING)
			return violates(c, err, "snis", STR("expected a string"));
		slot = map_put(c->a, &seen, names->items[i]->s);
		if (*slot)
			return violates(
				c, err, "snis",
				str_fmt(c->a, STRF " is duplicated", STRV(names->items[i]->s)));
		*slot = names;
	}
	if (names->n)
		qsort(names->items, names->n, sizeof(*names->items), by_text);
	return true;
}

static bool has_name(const struct value *names, str name)
{
	for (uint32_t i = 0; i < names->n; i++) {
		if (names->items[i]->kind == VALUE_STRING && str_eq(names->items[i]->s, name))
			return true;
	}
	return false;
}

/* The list as it is asked for: PUT replaces it, with the name of the path if there is one. */
static struct value *wanted_names(struct call *c, struct value *given)
{
	bool is_put =
		c->method == HTTP_PUT && strcmp(c->at->path, "/certificates/:certificates") == 0;
	struct value *names = value_array(c->a);
	uuid id;

	if (!given && !is_put)
		return NULL;
	if (!value_is_null(given) && given->kind == VALUE_ARRAY) {
		for (uint32_t i = 0; i < given->n; i++)
			value_add(c->a, names, given->items[i]);
	} else if (!value_is_null(given)) {
		value_add(c->a, names, given);
	}
	if (is_put && !uuid_parse(c->params[0], &id) && !has_name(names, c->params[0]))
		value_add(c->a, names, value_str(c->a, c->params[0]));
	return names;
}

bool relations_take(struct call *c, const struct entity *e, struct value *doc,
		    struct value **ret_names, struct db_error *err)
{
	*ret_names = NULL;
	if (!is(e, "certificates"))
		return true;
	*ret_names = wanted_names(c, value_get(doc, "snis"));
	value_unset(doc, STR("snis"));
	return !*ret_names || read_names(c, *ret_names, err);
}

static bool check_names(struct call *c, uuid certificate, const struct value *names,
			struct db_error *err)
{
	const struct entity *e = entity_find(STR("snis"));
	struct store *s = c->context->store;

	for (uint32_t i = 0; i < names->n; i++) {
		str name = names->items[i]->s;
		struct value *sni = s->kind->find_by(s, c->a, e, "name", name, err);
		uuid owner = document_id(value_get(sni, "certificate"));

		if (err->code)
			return false;
		if (sni && !uuid_eq(owner, certificate))
			return violates(c, err, "snis",
					str_fmt(c->a,
						STRF " already associated with existing "
						     "certificate '" STRF "'",
						STRV(name), STRV(uuid_str(c->a, owner))));
	}
	return true;
}

bool relations_check(struct call *c, const struct entity *e, uuid id, const struct value *doc,
		     const struct value *names, struct db_error *err)
{
	if (is(e, "plugins"))
		return check_protocols(c, doc, err);
	if (is(e, "services"))
		return check_authorities(c, doc, err);
	return !names || check_names(c, id, names, err);
}

static bool add_name(struct call *c, struct writes *w, uuid certificate, str name,
		     struct db_error *err)
{
	const struct schema_options o = { .op = SCHEMA_INSERT, .now_ms = clock_wall_ms() };
	const struct entity *e = entity_find(STR("snis"));
	struct value *doc = value_object(c->a), *key = value_object(c->a), *errors;

	value_set(c->a, key, STR("id"), value_str(c->a, uuid_str(c->a, certificate)));
	value_set(c->a, doc, STR("name"), value_str(c->a, name));
	value_set(c->a, doc, STR("certificate"), key);
	errors = entity_process(c->a, e, doc, &o);
	if (errors) {
		*err = (struct db_error){
			.code = DB_SCHEMA_VIOLATION,
			.message = schema_message(c->a, errors),
			.fields = errors,
		};
		return false;
	}
	*vec_add(c->a, w) = (struct store_write){ STORE_INSERT, e, .doc = doc };
	return true;
}

bool relations_add(struct call *c, uuid id, const struct value *names, struct writes *w,
		   struct db_error *err)
{
	const struct entity *e = entity_find(STR("snis"));
	struct value *before = value_array(c->a), *known = value_array(c->a);

	if (!all_of(c, e, "certificate", id, before, err))
		return false;
	for (uint32_t i = 0; i < before->n; i++) {
		struct value *name = value_get(before->items[i], "name");

		value_add(c->a, known, name);
		if (!has_name(names, name->s))
			*vec_add(c->a, w) =
				(struct store_write){ STORE_REMOVE, e,
						      document_id(before->items[i]), NULL };
	}
	for (uint32_t i = 0; i < names->n; i++) {
		if (!has_name(known, names->items[i]->s) &&
		    !add_name(c, w, id, names->items[i]->s, err))
			return false;
	}
	return true;
}
