/* SPDX-License-Identifier: Apache-2.0 */
/* lua - what chunks of Lua see of a request: kong.* (Kong's plugin development kit) and ngx.*.
 *
 * Chunks run in the log phase, so these are the functions that Kong allows there; they read,
 * and set nothing but kong.ctx.shared and the log entry. */
#pragma once

#include "script/script.h"
#include "serve/phases.h"

struct lua_subject {
	struct req *r;
	struct value *entry; /* that kong.log.serialize() shows and set_serialize_value() changes */
};

static inline struct req *lua_req(const struct script_call *c)
{
	return ((const struct lua_subject *)c->subject)->r;
}

/* Rows of kong.* and of ngx.*, and a world of both. */
extern const struct script_host lua_kong[], lua_ngx[];
extern const struct script_world lua_log_world;

/* Returns a text, nil for STR_NONE; and what is called by two names. */
struct err *lua_give(struct script_call *c, str s);
script_fn lua_method, lua_http_version, lua_subsystem;

/* Texts by name, several of one name as an array; names in lower case. */
struct value *lua_headers(struct req *r, const struct http_headers *h);
/* A field by its name, where '_' stands for '-' too; NULL: there is none. */
struct value *lua_header(struct req *r, const struct http_headers *h, str name);

/* Sets what a path of names leads to ("a.b"), or takes it away (NULL); objects on its way are
 * made where there are none.  `to` is kept. */
enum entry_change {
	ENTRY_SET,
	ENTRY_ADD,     /* where there is none */
	ENTRY_REPLACE, /* where there is one */
};
struct err *entry_change(struct arena *a, struct value *entry, str name, struct value *to,
			 enum entry_change how);

/* Puts arguments together as kong.log and ngx.log do, from the n-th on. */
str lua_line(const struct script_call *c, size_t n);
