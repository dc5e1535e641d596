/* SPDX-License-Identifier: Apache-2.0 */
/* What single entities have beside their generated endpoints: certificates go by
 * their SNIs too, consumers by custom_id, tags are gathered from everybody. */
#include "admin/priv.h"

#include <stdlib.h>

#include "admin/form.h"
#include "base/map.h"
#include "base/uri.h"
#include "net/tls.h"

/* ---- certificates -------------------------------------------------------------------- */

static bool is_certificate(const struct entity *e)
{
	return strcmp(e->name, "certificates") == 0;
}

/* SNI names of a certificate, sorted; false: answered with an error. */
static bool snis_of(struct call *c, uuid certificate, struct value *ret)
{
	const struct entity *snis = entity_find(STR("snis"));
	struct store *s = c->context->store;
	struct page_query q = { .size = BIG_PAGE,
				.foreign = "certificate",
				.foreign_id = certificate };
	struct db_error err = { 0 };
	struct page page = { 0 };

	do {
		if (!s->kind->page(s, c->a, snis, &q, &page, &err)) {
			answer_error(c, &err);
			return false;
		}
		for (uint32_t i = 0; i < page.data->n; i++) {
			struct value *name = value_get(page.data->items[i], "name");
			uint32_t at = ret->n;

			value_add(c->a, ret, name);
			for (; at > 0 && str_cmp(name->s, ret->items[at - 1]->s) < 0; at--)
				ret->items[at] = ret->items[at - 1];
			ret->items[at] = name;
		}
		q.offset = page.offset;
	} while (page.offset.n);
	return true;
}

bool entity_dress(struct call *c, const struct entity *e, struct value *doc)
{
	struct value *snis;

	if (!is_certificate(e) || value_get(doc, "snis"))
		return true;
	snis = value_array(c->a);
	if (!snis_of(c, document_id(doc), snis))
		return false;
	value_set(c->a, doc, STR("snis"), snis);
	return true;
}

bool entity_key(struct call *c, const struct entity *e, str *key)
{
	struct store *s = c->context->store;
	struct db_error err = { 0 };
	struct value *sni;
	uuid id;

	if (!is_certificate(e) || uuid_parse(*key, &id))
		return true;
	sni = s->kind->find_by(s, c->a, entity_find(STR("snis")), "name", *key, &err);
	if (sni) {
		*key = uuid_str(c->a, document_id(value_get(sni, "certificate")));
		return true;
	}
	if (err.code) {
		answer_error(c, &err);
	} else if (c->method == HTTP_PUT) {
		*key = uuid_str(c->a, uuid_random());
		return true;
	} else {
		answer_message(c, 404, "SNI not found");
	}
	return false;
}

/* ---- plugins ------------------------------------------------------------------------------ */

/* Its rows depend on the name, its uniqueness on the scopes; a form's texts are read
 * by the rows again, now that they are known. */
void entity_complete(struct call *c, const struct entity *e, const struct value *before,
		     struct value *change)
{
	static const char *const members[] = { "name", "route", "service", "consumer" };

	if (strcmp(e->name, "plugins") != 0)
		return;
	for (size_t i = 0; i < COUNT(members); i++) {
		struct value *v = value_get(before, members[i]);

		if (v && !value_get(change, members[i]))
			value_set(c->a, change, str_of(members[i]), v);
	}
	if (c->is_form)
		form_infer(c->a, entity_schema(e), e->shorthands, change);
}

/* ---- consumers --------------------------------------------------------------------------- */

static void consumers_get(struct call *c)
{
	str custom_id = call_query(c, "custom_id");
	struct store *s = c->context->store;
	struct value *data = value_array(c->a), *doc;
	struct db_error err = { 0 };

	if (!custom_id.s) {
		entity_list(c);
		return;
	}
	doc = s->kind->find_by(s, c->a, c->at->entity, "custom_id", custom_id, &err);
	if (err.code) {
		answer_error(c, &err);
		return;
	}
	if (doc)
		value_add(c->a, data, doc);
	answer_page(c, data, STR(""), STR(""), STR(""));
}

/* ---- tags ------------------------------------------------------------------------------------ */

/* Where a page of tags goes on: an entity, its store's offset, how many tags of that
 * page were shown already.  As text: "3:12:<offset>", in base64. */
struct tag_place {
	size_t entity;
	int64_t skip;
	str offset;
};

static str tag_offset(struct arena *a, const struct tag_place *p)
{
	return base64_encode(
		a, str_fmt(a, "%zu:%lld:" STRF, p->entity, (long long)p->skip, STRV(p->offset)));
}

static size_t entities_count(void)
{
	size_t n = 0;

	while (entities[n])
		n++;
	return n;
}

static bool read_tag_offset(struct call *c, str text, struct tag_place *ret)
{
	str plain, entity, skip;
	int64_t at;

	*ret = (struct tag_place){ 0 };
	if (!text.n)
		return true;
	if (base64_decode(c->a, text, &plain) && str_next(&plain, ':', &entity) &&
	    str_next(&plain, ':', &skip) && str_to_int(entity, &at) &&
	    str_to_int(skip, &ret->skip) && at >= 0 && ret->skip >= 0 &&
	    at < (int64_t)entities_count()) {
		ret->entity = (size_t)at;
		ret->offset = plain;
		return true;
	}
	answer_error(c, &(struct db_error){
				.code = DB_INVALID_OFFSET,
				.message = str_fmt(c->a,
						   "'" STRF
						   "' is not a valid offset: bad base64 encoding",
						   STRV(text)),
			});
	return false;
}

static void add_tag(struct call *c, struct value *data, const struct entity *e,
		    const struct value *doc, struct value *tag)
{
	struct value *v = value_object(c->a);

	value_set(c->a, v, STR("entity_name"), value_text(c->a, e->name));
	value_set(c->a, v, STR("entity_id"), value_get(doc, "id"));
	value_set(c->a, v, STR("tag"), tag);
	value_add(c->a, data, v);
}

/* The tags of one page of an entity, behind the first `skip`; true when size was reached,
 * and *skip is then how far it came. */
static bool gather(struct call *c, struct value *data, const struct entity *e,
		   const struct page *page, str only, int64_t size, int64_t *skip)
{
	int64_t seen = 0;

	for (uint32_t i = 0; i < page->data->n; i++) {
		struct value *doc = page->data->items[i], *tags = value_get(doc, "tags");

		if (value_is_null(tags) || tags->kind != VALUE_ARRAY)
			continue;
		for (uint32_t k = 0; k < tags->n; k++) {
			if (only.s && !str_eq(tags->items[k]->s, only))
				continue;
			if (seen++ < *skip)
				continue;
			if ((int64_t)data->n == size) {
				*skip = seen - 1;
				return true;
			}
			add_tag(c, data, e, doc, tags->items[k]);
		}
	}
	return false;
}

/* All tags, or those of one text, from place on; *ret_offset is empty at the end. */
static bool read_tags(struct call *c, str only, int64_t size, struct tag_place place,
		      struct value *data, str *ret_offset)
{
	struct store *s = c->context->store;

	for (; entities[place.entity]; place.entity++, place.offset = STR("")) {
		const struct entity *e = entities[place.entity];
		struct page_query q = { .size = BIG_PAGE, .offset = place.offset };
		struct db_error err = { 0 };
		struct page page;

		if (!e->is_taggable)
			continue;
		if (only.s)
			q.tags = (strs){ .v = &only, .n = 1 };
		do {
			if (!s->kind->page(s, c->a, e, &q, &page, &err)) {
				answer_error(c, &err);
				return false;
			}
			if (gather(c, data, e, &page, only, size, &place.skip)) {
				place.offset = q.offset;
				*ret_offset = tag_offset(c->a, &place);
				return true;
			}
			place.skip = 0;
			q.offset = page.offset;
		} while (page.offset.n);
	}
	*ret_offset = STR("");
	return true;
}

static void answer_tags(struct call *c, str only, str path)
{
	struct value *data = value_array(c->a);
	struct tag_place place;
	str offset, size_text = call_query(c, "size"), more = STR("");
	int64_t size;

	if (!call_size(c, &size) || !read_tag_offset(c, call_query(c, "offset"), &place) ||
	    !read_tags(c, only, size ? size : 100, place, data, &offset))
		return;
	if (size_text.s && !only.s)
		more = str_fmt(c->a, "&size=" STRF, STRV(size_text));
	answer_page(c, data, offset, path, more);
}

static void tags_get(struct call *c)
{
	answer_tags(c, STR_NONE, STR("/tags"));
}

static void tag_get(struct call *c)
{
	answer_tags(c, c->params[0],
		    str_fmt(c->a, "/tags/" STRF, STRV(uri_escape_component(c->a, c->params[0]))));
}

/* ---- upstreams and targets ---------------------------------------------------------------------- */

static double created_at(const struct value *v)
{
	const struct value *at = value_get(v, "created_at");

	return !at                      ? 0
	       : at->kind == VALUE_REAL ? at->real
	       : at->kind == VALUE_INT  ? (double)at->i
					: 0;
}

/* Newest first; among equals by id, from the end. */
static int newer_first(const void *x, const void *y)
{
	const struct value *a = *(struct value *const *)x, *b = *(struct value *const *)y;
	double d = created_at(b) - created_at(a);

	return d > 0 ? 1 : d < 0 ? -1 : uuid_cmp(document_id(b), document_id(a));
}

static str target_of(const struct value *doc)
{
	const struct value *v = value_get(doc, "target");

	return v && v->kind == VALUE_STRING ? v->s : STR("");
}

/* All targets of an upstream, newest first, each host:port once; NULL: answered. */
static struct value *active_targets(struct call *c, uuid upstream)
{
	const struct entity *e = entity_find(STR("targets"));
	struct store *s = c->context->store;
	struct page_query q = { .size = BIG_PAGE, .foreign = "upstream", .foreign_id = upstream };
	struct value *all = value_array(c->a);
	struct db_error err = { 0 };
	struct page page;
	struct map seen = { 0 };
	uint32_t kept = 0;

	do {
		if (!s->kind->page(s, c->a, e, &q, &page, &err)) {
			answer_error(c, &err);
			return NULL;
		}
		for (uint32_t i = 0; i < page.data->n; i++)
			value_add(c->a, all, page.data->items[i]);
		q.offset = page.offset;
	} while (page.offset.n);
	if (all->n)
		qsort(all->items, all->n, sizeof(*all->items), newer_first);
	for (uint32_t i = 0; i < all->n; i++) {
		void **slot = map_put(c->a, &seen, target_of(all->items[i]));

		if (!*slot)
			all->items[kept++] = all->items[i];
		*slot = all;
	}
	all->n = kept;
	return all;
}

/* Cuts the asked page out of the targets; offsets are decimal here.  False: answered. */
static bool cut_page(struct call *c, struct value *all, str *ret_offset)
{
	str text = call_query(c, "offset");
	int64_t size, from = 0;

	*ret_offset = STR("");
	if (!call_size(c, &size))
		return false;
	if (text.n && (!str_to_int(text, &from) || from < 0)) {
		answer_error(
			c, &(struct db_error){
				   .code = DB_INVALID_OFFSET,
				   .message = str_fmt(
					   c->a, "'" STRF "' is not a valid offset: invalid offset",
					   STRV(text)),
			   });
		return false;
	}
	size = size ? size : 100;
	from = from < all->n ? from : all->n;
	if (all->n - from > size)
		*ret_offset = str_fmt(c->a, "%lld", (long long)(from + size));
	all->items += from;
	all->n -= (uint32_t)from;
	all->n = all->n < size ? all->n : (uint32_t)size;
	all->cap = all->n;
	return true;
}

static str upstream_path(struct call *c, const char *end)
{
	return str_fmt(c->a, "/upstreams/" STRF "/%s",
		       STRV(uri_escape_component(c->a, c->params[0])), end);
}

static void targets_get(struct call *c)
{
	struct value *upstream = call_find(c, entity_find(STR("upstreams")), c->params[0]);
	struct value *all = upstream ? active_targets(c, document_id(upstream)) : NULL;
	str offset;

	if (all && cut_page(c, all, &offset))
		answer_page(c, all, offset, upstream_path(c, "targets"), STR(""));
}

static void all_targets_get(struct call *c)
{
	const struct entity *e = entity_find(STR("targets"));
	struct value *upstream = call_find(c, entity_find(STR("upstreams")), c->params[0]);
	struct store *s = c->context->store;
	struct db_error err = { 0 };
	struct page_query q;
	struct page page;

	if (!upstream || !call_page_query(c, e, false, &q))
		return;
	q.foreign = "upstream";
	q.foreign_id = document_id(upstream);
	if (s->kind->page(s, c->a, e, &q, &page, &err))
		answer_page(c, page.data, page.offset, upstream_path(c, "targets/all"), STR(""));
	else
		answer_error(c, &err);
}

/* The target that the path names by id or host:port, of its upstream; NULL: answered. */
static struct value *find_target(struct call *c, struct value **ret_upstream)
{
	struct value *upstream = call_find(c, entity_find(STR("upstreams")), c->params[0]), *all;
	uuid id = { 0 };
	bool by_id = uuid_parse(c->params[1], &id);

	all = upstream ? active_targets(c, document_id(upstream)) : NULL;
	if (!all)
		return NULL;
	*ret_upstream = upstream;
	for (uint32_t i = 0; i < all->n; i++) {
		struct value *doc = all->items[i];

		if (by_id ? uuid_eq(document_id(doc), id) : str_eq(target_of(doc), c->params[1]))
			return doc;
	}
	answer_not_found(c);
	return NULL;
}

static void target_get(struct call *c)
{
	struct value *upstream, *doc = find_target(c, &upstream);

	if (doc)
		answer_value(c, 200, doc);
}

/* PUT and PATCH both update here; the generic handlers go by the id. */
static void target_change(struct call *c)
{
	struct value *upstream, *doc = find_target(c, &upstream);

	if (!doc)
		return;
	c->params[1] = uuid_str(c->a, document_id(doc));
	nested_patch(c);
}

static void target_delete(struct call *c)
{
	struct value *upstream, *doc = find_target(c, &upstream);

	if (!doc)
		return;
	c->params[1] = uuid_str(c->a, document_id(doc));
	nested_delete(c);
}

static void add_node(struct call *c, struct value *v)
{
	value_set(c->a, v, STR("node_id"), value_str(c->a, uuid_str(c->a, c->context->node_id)));
}

static void answer_balancer_health(struct call *c, uuid upstream)
{
	const struct admin_context *x = c->context;
	struct value *v = value_object(c->a), *data = NULL;

	if (x->balancer_health)
		data = x->balancer_health(x->arg, c->a, upstream);
	value_set(c->a, v, STR("data"), data ? data : value_null(c->a));
	value_set(c->a, v, STR("next"), value_null(c->a));
	add_node(c, v);
	answer_value(c, 200, v);
}

static void health_get(struct call *c)
{
	const struct admin_context *x = c->context;
	struct value *upstream = call_find(c, entity_find(STR("upstreams")), c->params[0]);
	struct value *all, *told = NULL, *v;
	str offset;

	if (!upstream)
		return;
	if (str_is(call_query(c, "balancer_health"), "1")) {
		answer_balancer_health(c, document_id(upstream));
		return;
	}
	all = active_targets(c, document_id(upstream));
	if (!all || !cut_page(c, all, &offset))
		return;
	if (x->targets_health)
		told = x->targets_health(x->arg, c->a, document_id(upstream));
	for (uint32_t i = 0; told && i < all->n; i++) {
		struct value *doc = value_copy(c->a, all->items[i]);
		struct value *one = value_get_str(told, target_of(doc));
		struct value *health = value_get(one, "health"), *data = value_get(one, "data");

		/* A target that the balancer does not know has no address. */
		value_set(c->a, doc, STR("health"),
			  health ? health : value_text(c->a, "DNS_ERROR"));
		if (data)
			value_set(c->a, doc, STR("data"), data);
		all->items[i] = doc;
	}
	v = value_object(c->a);
	value_set(c->a, v, STR("data"), all);
	value_set(c->a, v, STR("next"), value_null(c->a));
	if (offset.n) {
		value_set(c->a, v, STR("offset"), value_str(c->a, offset));
		value_set(c->a, v, STR("next"),
			  value_str(c->a, str_fmt(c->a, STRF "?offset=" STRF,
						  STRV(upstream_path(c, "health")), STRV(offset))));
	}
	add_node(c, v);
	answer_value(c, 200, v);
}

static void set_health(struct call *c, bool is_healthy)
{
	const struct admin_context *x = c->context;
	struct value *upstream, *doc = find_target(c, &upstream);
	struct err *e;

	if (!doc)
		return;
	e = x->set_health ? x->set_health(x->arg, document_id(upstream), target_of(doc),
					  c->n_params > 2 ? c->params[2] : STR(""), is_healthy)
			  : FAIL(ERR_INVALID, "the upstream has no health checks");
	if (!e)
		answer_empty(c, 204);
	else if (e->code == ERR_INVALID)
		answer_message(c, 400, "%s", e->text);
	else
		answer_error(c, &(struct db_error){ .code = DB_DATABASE_ERROR,
						    .message = STR("cannot set a target's health"),
						    .cause = e });
}

static void healthy_put(struct call *c)
{
	set_health(c, true);
}

static void unhealthy_put(struct call *c)
{
	set_health(c, false);
}

/* ---- rows ------------------------------------------------------------------------------------------ */

#define TARGET "/upstreams/:upstreams/targets/:targets"

/* clang-format off */
const struct endpoint special_endpoints[] = {
	{ .path = "/consumers",                        .on = { [HTTP_GET] = consumers_get } },
	{ .path = "/tags",                             .on = { [HTTP_GET] = tags_get } },
	{ .path = "/tags/:tags",                       .on = { [HTTP_GET] = tag_get } },
	{ .path = "/targets",                          .is_disabled = true },
	{ .path = "/targets/:targets",                 .is_disabled = true },
	{ .path = "/targets/:targets/upstream",        .is_disabled = true },
	{ .path = "/snis/:snis/certificate",           .is_disabled = true },
	{ .path = "/upstreams/:upstreams/health",      .on = { [HTTP_GET] = health_get },
	  .is_on_status = true, .is_dbless = true },
	{ .path = "/upstreams/:upstreams/targets",     .on = { [HTTP_GET] = targets_get },
	  .is_on_status = true, .is_dbless = true },
	{ .path = "/upstreams/:upstreams/targets/all", .on = { [HTTP_GET] = all_targets_get },
	  .is_on_status = true, .is_dbless = true },
	{ .path = TARGET,                              .on = { [HTTP_GET] = target_get,
	                                                       [HTTP_PUT] = target_change,
	                                                       [HTTP_PATCH] = target_change,
	                                                       [HTTP_DELETE] = target_delete },
	  .is_on_status = true, .is_dbless = true },
	{ .path = TARGET "/healthy",                   .on = { [HTTP_PUT] = healthy_put } },
	{ .path = TARGET "/unhealthy",                 .on = { [HTTP_PUT] = unhealthy_put } },
	{ .path = TARGET "/:address/healthy",          .on = { [HTTP_PUT] = healthy_put } },
	{ .path = TARGET "/:address/unhealthy",        .on = { [HTTP_PUT] = unhealthy_put } },
	{ NULL },
};
/* clang-format on */
