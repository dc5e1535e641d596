/* SPDX-License-Identifier: Apache-2.0 */
/* What the handlers of the Admin API share: a call, the table's row, ways to answer. */
#pragma once

#include "admin/admin.h"
#include "base/log.h"

#define ADMIN_MAX_PARAMS 4
#define BIG_PAGE         1000 /* where all of them are read, page by page */

struct call;
typedef void call_fn(struct call *c) SUSPENDS;

/* A row of the table: a path, and a handler per method.  Parameters are ":name". */
struct endpoint {
	const char *path;
	call_fn *on[HTTP_METHOD_OTHER];
	bool is_disabled;  /* listed, and not there (404), as in Kong */
	bool is_on_status; /* its GET is part of the Status API too ... */
	bool is_dbless;    /* ... on a node without a database alone */
	bool takes_yaml;

	/* Of generated ones. entity: whose documents are shown, and whose rows arguments
	 * are read by. parent: the other entity of a nested path. field: the foreign
	 * key between them. */
	const struct entity *entity, *parent;
	const char *field;
};

struct admin {
	const struct admin_context *context;
	struct endpoint *v; /* sorted: what is literal before what is a parameter */
	size_t n;
};

/* One call, as its handler sees it. */
struct call {
	const struct admin_context *context;
	const struct admin *admin;
	struct arena *a;
	const struct api_request *r;
	struct api_reply *reply;
	const struct endpoint *at;
	enum http_method method;
	str params[ADMIN_MAX_PARAMS]; /* decoded */
	size_t n_params;
	struct value *query; /* objects, never NULL */
	struct value *args;  /* of the body */
	bool is_form;
	bool has_json; /* a JSON body was read into args */
};

/* ---- answers ------------------------------------------------------------------------ */

void answer_value(struct call *c, int status, const struct value *v);
void answer_json(struct call *c, int status, str text);
void answer_message(struct call *c, int status, const char *format, ...) PRINTF(3, 4);
void answer_empty(struct call *c, int status);
void answer_not_found(struct call *c); /* {"message":"Not found"} */
void answer_error(struct call *c, const struct db_error *e);

/* A text of the query or the body, the first when there are several; STR_NONE when absent. */
str call_query(const struct call *c, const char *name);

/* ---- entities ------------------------------------------------------------------------ */

/* The document that a path's key (id or endpoint key) names.  NULL: answered already. */
struct value *call_find(struct call *c, const struct entity *e, str key) SUSPENDS;

/* The id of a document, or of a foreign key's value. */
uuid document_id(const struct value *v);

/* size and offset of the query, and tags when e has them; false: answered already. */
bool call_page_query(struct call *c, const struct entity *e, bool has_tags, struct page_query *ret);
bool call_size(struct call *c, int64_t *ret);

/* {"data": ..., "next": ..., "offset": ...}; next is made from path when there is an
 * offset: path?offset=...and_more. */
void answer_page(struct call *c, struct value *data, str offset, str path, str and_more);

struct db_error unsupported(struct call *c, const char *what, const struct entity *e,
			    const char *by);

/* Handlers that rows of the table name. */
void entity_list(struct call *c) SUSPENDS;
void entity_create(struct call *c) SUSPENDS;
void entity_get(struct call *c) SUSPENDS;
void entity_put(struct call *c) SUSPENDS;
void entity_patch(struct call *c) SUSPENDS;
void entity_delete(struct call *c) SUSPENDS;
void nested_list(struct call *c) SUSPENDS;
void nested_create(struct call *c) SUSPENDS;
void nested_get(struct call *c) SUSPENDS;
void nested_put(struct call *c) SUSPENDS;
void nested_patch(struct call *c) SUSPENDS;
void nested_delete(struct call *c) SUSPENDS;
void foreign_get(struct call *c) SUSPENDS;
void foreign_put(struct call *c) SUSPENDS;
void foreign_patch(struct call *c) SUSPENDS;
void foreign_delete(struct call *c) SUSPENDS;

/* Hooks of single entities, in special.c: they may be called for any entity. */
/* What is shown and not in the document (SNIs of a certificate); false: answered. */
bool entity_dress(struct call *c, const struct entity *e, struct value *doc) SUSPENDS;
/* What a change needs to be checked and does not say itself (a plugin's name and scopes). */
void entity_complete(struct call *c, const struct entity *e, const struct value *before,
		     struct value *change);
/* Turns a path's key that is no id into one (certificates by SNI); false: answered. */
bool entity_key(struct call *c, const struct entity *e, str *key) SUSPENDS;

/* What a write means for other entities (relations.c).  False: *err says why. */
struct writes {
	struct store_write *v;
	size_t n, cap;
};
/* Takes from doc what is no part of it: the names of a certificate; NULL: they stay. */
bool relations_take(struct call *c, const struct entity *e, struct value *doc,
		    struct value **ret_names, struct db_error *err);
/* Does doc, as it will be, go together with the others? */
bool relations_check(struct call *c, const struct entity *e, uuid id, const struct value *doc,
		     const struct value *names, struct db_error *err) SUSPENDS;
/* The writes that make these the names of the certificate. */
bool relations_add(struct call *c, uuid id, const struct value *names, struct writes *w,
		   struct db_error *err) SUSPENDS;

/* Makes rows for every entity; a vec-like list is grown in a. */
struct endpoints {
	struct endpoint *v;
	size_t n, cap;
};
void endpoints_generate(struct arena *a, struct endpoints *list);

/* Rows written by hand, up to a path of NULL. */
extern const struct endpoint node_endpoints[];
extern const struct endpoint schema_endpoints[];
extern const struct endpoint config_endpoints[];
extern const struct endpoint special_endpoints[];

/* Runs a call through a table. */
void endpoints_run(const struct admin *admin, bool is_status, struct api_request *r,
		   struct api_reply *reply) SUSPENDS;
