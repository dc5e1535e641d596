/* SPDX-License-Identifier: Apache-2.0 */
/* The table of endpoints, and the way of a call through it.
 *
 *	path -> row (404) -> content type (415) -> method (405, OPTIONS) -> arguments (400)
 *	     -> handler
 *
 * Rows made from entities come first; a row written by hand with the same path
 * puts its handlers over theirs. */
#include "admin/admin.h"

#include <stdlib.h>

#include "admin/form.h"
#include "admin/priv.h"
#include "base/json.h"
#include "base/uri.h"
#include "base/vec.h"
#include "control/plugin_table.h"

static const str json_type = STR_INIT("application/json; charset=utf-8");

/* ---- the table -------------------------------------------------------------------------- */

/* As /endpoints shows and sorts it: "/" before all, parameters in braces. */
static void sort_key(const char *path, char out[256])
{
	size_t n = 0;

	for (const char *p = path; *p && n < 255; p++)
		out[n++] = (char)(*p == '/' ? 1 : *p == ':' ? '{' : *p);
	out[n] = '\0';
}

static int compare(const void *x, const void *y)
{
	const struct endpoint *a = x, *b = y;
	char ka[256], kb[256];

	sort_key(a->path, ka);
	sort_key(b->path, kb);
	return strcmp(ka, kb);
}

static struct endpoint *find_row(const struct endpoints *list, const char *path)
{
	vec_for_each (list, struct endpoint, e)
		if (strcmp(e->path, path) == 0)
			return e;
	return NULL;
}

static void add_rows(struct arena *a, struct endpoints *list, const struct endpoint *rows)
{
	for (; rows->path; rows++) {
		struct endpoint *old = find_row(list, rows->path);

		if (!old) {
			*vec_add(a, list) = *rows;
			continue;
		}
		for (int m = 0; m < HTTP_METHOD_OTHER; m++)
			if (rows->on[m])
				old->on[m] = rows->on[m];
		old->is_disabled |= rows->is_disabled;
		old->is_on_status |= rows->is_on_status;
		old->is_dbless |= rows->is_dbless;
	}
}

/* ---- pages of plugins --------------------------------------------------------------------- */

static enum http_method handled_as(enum http_method m)
{
	return m == HTTP_HEAD ? HTTP_GET : m;
}

static bool answers(const struct plugin_page *page, enum http_method m)
{
	return page->on[m] || (m == HTTP_GET && page->write);
}

static const struct plugin_page *find_page(const char *path, enum http_method m)
{
	const struct plugin *p;

	for (size_t i = 0; (p = plugin_at(i)); i++) {
		for (const struct plugin_page *page = p->pages; page && page->path; page++) {
			if (strcmp(page->path, path) == 0 && answers(page, m))
				return page;
		}
	}
	return NULL;
}

static void drop_text(void *text)
{
	struct buf *b = text;

	buf_done(b);
}

static void write_page(struct call *c, const struct plugin_page *page) SUSPENDS;

static void write_page(struct call *c, const struct plugin_page *page)
{
	struct buf *text = NEW(c->a, struct buf);

	buf_init(text, 0);
	arena_on_end(c->a, drop_text, text);
	page->write(text);
	answer_empty(c, 200);
	c->reply->content_type = str_of(page->content_type);
	c->reply->body = buf_str(text);
}

static void page_run(struct call *c)
{
	enum http_method m = handled_as(c->method);
	const struct plugin_page *page = find_page(c->at->path, m);
	struct page_call call = {
		.a = c->a,
		.method = c->method,
		.n_captures = c->n_params,
		.query = c->query,
		.args = c->args,
		.status = 204,
	};

	_Static_assert(COUNT(call.captures) == COUNT(c->params), "captures of pages are params");
	if (!page->on[m]) {
		write_page(c, page);
		return;
	}
	memcpy(call.captures, c->params, sizeof(call.captures));
	page->on[m](&call);
	answer_empty(c, call.status);
	c->reply->content_type = call.type;
	c->reply->body = call.body;
}

static void add_page(struct arena *a, struct endpoints *list, const struct plugin_page *page)
{
	struct endpoint rows[2] = { { .path = page->path, .is_on_status = page->write }, { NULL } };

	for (int m = 0; m < HTTP_METHOD_OTHER; m++) {
		if (answers(page, (enum http_method)m))
			rows->on[m] = page_run;
	}
	add_rows(a, list, rows);
}

static void add_pages(struct arena *a, struct endpoints *list)
{
	const struct plugin *p;

	for (size_t i = 0; (p = plugin_at(i)); i++) {
		for (const struct plugin_page *page = p->pages; page && page->path; page++)
			add_page(a, list, page);
	}
}

struct admin *admin_new(struct arena *a, const struct admin_context *c)
{
	struct admin *admin = NEW(a, struct admin);
	struct endpoints list = { 0 };

	endpoints_generate(a, &list);
	add_rows(a, &list, special_endpoints);
	add_rows(a, &list, node_endpoints);
	add_rows(a, &list, schema_endpoints);
	add_rows(a, &list, config_endpoints);
	add_pages(a, &list);
	qsort(list.v, list.n, sizeof(*list.v), compare);
	admin->context = c;
	admin->v = list.v;
	admin->n = list.n;
	return admin;
}

/* ---- finding a row ------------------------------------------------------------------------- */

/* Segment by segment; parameters take any segment but an empty one. */
static bool matches(const char *pattern, str path, struct call *c)
{
	str want = str_of(pattern), piece, got;

	c->n_params = 0;
	while (str_next(&want, '/', &piece)) {
		if (!str_next(&path, '/', &got))
			return false;
		if (piece.n == 0 || piece.s[0] != ':') {
			if (!str_eq(piece, got))
				return false;
			continue;
		}
		if (got.n == 0 || c->n_params == ADMIN_MAX_PARAMS)
			return false;
		c->params[c->n_params++] = got;
	}
	return !str_next(&path, '/', &got);
}

static bool is_served(const struct call *c, const struct endpoint *e, bool is_status)
{
	if (!is_status)
		return true;
	if (!e->is_on_status)
		return false;
	return !e->is_dbless || c->context->settings->database_kind == DATABASE_OFF;
}

static bool find_endpoint(struct call *c, bool is_status)
{
	str path = c->r->head->path;

	if (path.n > 1 && path.s[path.n - 1] == '/')
		path.n--;
	for (size_t i = 0; i < c->admin->n; i++) {
		const struct endpoint *e = &c->admin->v[i];

		if (!is_served(c, e, is_status) || !matches(e->path, path, c))
			continue;
		for (size_t k = 0; k < c->n_params; k++)
			c->params[k] = uri_unescape(c->a, c->params[k], false);
		c->at = e;
		return true;
	}
	return false;
}

/* ---- methods --------------------------------------------------------------------------------- */

static bool has_method(const struct endpoint *e, enum http_method m, bool is_status)
{
	m = handled_as(m);
	if (m >= HTTP_METHOD_OTHER || (is_status && m != HTTP_GET))
		return m == HTTP_OPTIONS;
	return e->on[m] || m == HTTP_OPTIONS;
}

/* In alphabetical order, as Kong prints them. */
static str methods_of(struct arena *a, const struct endpoint *e, bool is_status)
{
	/* clang-format off */
	static const struct {
		enum http_method method;
		const char *name;
	} all[] = {
		{ HTTP_DELETE, "DELETE" }, { HTTP_GET, "GET" },   { HTTP_HEAD, "HEAD" },
		{ HTTP_OPTIONS, "OPTIONS" }, { HTTP_PATCH, "PATCH" }, { HTTP_POST, "POST" },
		{ HTTP_PUT, "PUT" },
	};
	/* clang-format on */
	str list = STR("");

	for (size_t i = 0; i < COUNT(all); i++)
		if (has_method(e, all[i].method, is_status))
			list = str_fmt(a, STRF "%s%s", STRV(list), list.n ? ", " : "", all[i].name);
	return list;
}

static void answer_options(struct call *c, bool is_status)
{
	str methods = methods_of(c->a, c->at, is_status);

	http_add(c->a, &c->reply->headers, STR("Allow"), methods);
	http_add(c->a, &c->reply->headers, STR("Access-Control-Allow-Methods"), methods);
	http_add(c->a, &c->reply->headers, STR("Access-Control-Allow-Headers"),
		 STR("Content-Type"));
	answer_empty(c, 204);
}

/* ---- arguments ---------------------------------------------------------------------------------- */

static bool needs_body(enum http_method m)
{
	return m == HTTP_PUT || m == HTTP_POST || m == HTTP_PATCH;
}

static str content_type(const struct call *c)
{
	const struct http_header *h = http_get(&c->r->head->headers, HTTP_CONTENT_TYPE);

	return h ? h->value : STR_NONE;
}

/* Case matters, and what follows does not: as Kong compares. */
static bool is_type_taken(const struct call *c)
{
	str type = content_type(c);

	if (!type.s)
		return c->r->head->body == HTTP_BODY_NONE || c->r->body.n == 0;
	return str_starts(type, STR("application/json")) ||
	       str_starts(type, STR("multipart/form-data")) ||
	       str_starts(type, STR("application/x-www-form-urlencoded")) ||
	       (c->at->takes_yaml && str_starts(type, STR("text/yaml")));
}

static bool read_json(struct call *c)
{
	struct value *v;
	struct err *e = json_parse(c->a, c->r->body, &v);

	if (e || v->kind != VALUE_OBJECT) {
		answer_message(c, 400, "Cannot parse JSON body");
		return false;
	}
	c->args = v;
	c->has_json = true;
	return true;
}

static bool take_form(struct call *c, const struct form_args *args, struct value **ret)
{
	if (args->is_cut) {
		answer_message(c, 400, "Too many arguments");
		return false;
	}
	*ret = form_document(c->a, args);
	if (c->at->entity)
		form_infer(c->a, entity_schema(c->at->entity), c->at->entity->shorthands, *ret);
	return true;
}

static bool read_body(struct call *c)
{
	str type = content_type(c);
	struct form_args args;

	if (str_starts_ci(type, STR("application/json")))
		return read_json(c);
	if (str_starts_ci(type, STR("application/x-www-form-urlencoded")))
		args = form_urlencoded(c->a, c->r->body);
	else if (!str_starts_ci(type, STR("multipart/form-data")))
		return true;
	else if (!form_multipart(c->a, type, c->r->body, &args))
		args = (struct form_args){ 0 };
	c->is_form = true;
	return take_form(c, &args, &c->args);
}

static bool read_arguments(struct call *c)
{
	struct form_args args = form_urlencoded(c->a, c->r->head->query);

	if (!take_form(c, &args, &c->query))
		return false;
	return !needs_body(c->method) || read_body(c);
}

/* ---- a call ----------------------------------------------------------------------------------------- */

static void run(struct call *c, bool is_status)
{
	enum http_method m = handled_as(c->method);

	if (!find_endpoint(c, is_status)) {
		answer_not_found(c);
		return;
	}
	if (needs_body(m) && !is_type_taken(c)) {
		answer_empty(c, 415);
		return;
	}
	if (c->at->is_disabled) {
		answer_not_found(c);
		return;
	}
	if (m == HTTP_OPTIONS) {
		answer_options(c, is_status);
		return;
	}
	if (!has_method(c->at, m, is_status)) {
		http_add(c->a, &c->reply->headers, STR("Allow"),
			 methods_of(c->a, c->at, is_status));
		answer_message(c, 405, "Method not allowed");
		return;
	}
	if (read_arguments(c))
		c->at->on[m](c);
}

void endpoints_run(const struct admin *admin, bool is_status, struct api_request *r,
		   struct api_reply *reply)
{
	const struct settings *s = admin->context->settings;
	struct call c = {
		.context = admin->context,
		.admin = admin,
		.a = r->arena,
		.r = r,
		.reply = reply,
		.method = r->head->method,
		.query = value_object(r->arena),
		.args = value_object(r->arena),
	};

	run(&c, is_status);
	http_add(c.a, &reply->headers, STR("Access-Control-Allow-Origin"), STR("*"));
	if (s->header_tokens & KONG_HEADER_SERVER)
		http_add(c.a, &reply->headers, STR("Server"), STR("gibbon/" GIBBON_VERSION));
	if (s->header_tokens & KONG_HEADER_ADMIN_LATENCY)
		http_add(c.a, &reply->headers, STR("X-Kong-Admin-Latency"),
			 str_fmt(c.a, "%lld", (long long)(clock_mono_ms() - r->started_ms)));
}

void admin_handle(void *admin, struct api_request *r, struct api_reply *reply)
{
	endpoints_run(admin, false, r, reply);
}

void admin_handle_status(void *admin, struct api_request *r, struct api_reply *reply)
{
	endpoints_run(admin, true, r, reply);
}

/* ---- answers ------------------------------------------------------------------------------------------- */

void answer_json(struct call *c, int status, str text)
{
	c->reply->status = status;
	c->reply->content_type = json_type;
	c->reply->body = text;
}

void answer_value(struct call *c, int status, const struct value *v)
{
	answer_json(c, status, json_text(c->a, v, JSON_COMPACT));
}

void answer_message(struct call *c, int status, const char *format, ...)
{
	struct value *v = value_object(c->a);
	va_list args;

	va_start(args, format);
	value_set(c->a, v, STR("message"), value_str(c->a, str_vfmt(c->a, format, args)));
	va_end(args);
	answer_value(c, status, v);
}

void answer_empty(struct call *c, int status)
{
	c->reply->status = status;
	c->reply->content_type = STR_NONE;
	c->reply->body = STR("");
}

void answer_not_found(struct call *c)
{
	answer_message(c, 404, "Not found");
}

void answer_error(struct call *c, const struct db_error *e)
{
	int status = db_error_status(e->code);

	if (status >= 500) {
		log_err(LOG_ERROR_, e->cause, "admin: " STRF, STRV(e->message));
		answer_message(c, 500, "An unexpected error occurred");
		return;
	}
	answer_value(c, status, db_error_body(c->a, e));
}

str call_query(const struct call *c, const char *name)
{
	const struct value *v = value_get(c->query, name);

	if (v && v->kind == VALUE_ARRAY && v->n)
		v = v->items[0];
	return v && v->kind == VALUE_STRING ? v->s : STR_NONE;
}
