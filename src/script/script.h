/* SPDX-License-Identifier: Apache-2.0 */
/* script - Lua that stands in the configuration, run in a sandbox.
 *
 *	thread ─► state ─► world (host functions, standard library, compiled chunks)
 *	                     └─► a run: globals of its own, gone when it ends
 *
 * Each thread has one state of LuaJIT, made when it runs its first chunk and gone with it.  A
 * chunk is compiled once per state and found again by its text.  It sees the functions that its
 * world gives it and what untrusted_lua allows of Lua's library; it can neither change what others
 * see nor read a file.  A run may take LIMIT_SCRIPT_STEPS instructions, a state
 * LIMIT_SCRIPT_BYTES; what goes beyond ends with an error that pcall() cannot hold back for long.
 * So the compiler of machine code is off: it would not count.
 *
 * A run never suspends: host functions answer at once. */
#pragma once

#include "base/err.h"
#include "base/value.h"

/* ---- what chunks may do, set once before the first runs ---------------------------------- */

enum script_trust {
	SCRIPT_OFF,
	SCRIPT_SANDBOX,
	SCRIPT_ON, /* everything that Lua has: files, processes, the modules of the machine */
};

struct script_policy {
	enum script_trust trust;
	strs modules;    /* that the sandbox's require() loads */
	strs globals;    /* that the sandbox sees beside its own: "os.getenv" */
	str path, cpath; /* where modules are looked for */
};

/* Borrowed; ends the state of the thread that calls it. */
void script_start(const struct script_policy *p);

/* ---- what the host gives ------------------------------------------------------------------ */

#define SCRIPT_RESULTS 3

/* A call from Lua.  NULL stands for nil, a value of VALUE_NULL for ngx.null. */
struct script_call {
	struct arena *a;
	void *subject; /* of the run */
	const struct value *const *args;
	size_t n_args;
	const struct value *results[SCRIPT_RESULTS];
	size_t n_results;
	bool has_numbers; /* keys of its results that are whole numbers are numbers in Lua */
};

/* An error becomes one of Lua's. */
typedef struct err *script_fn(struct script_call *c);

/* Its n-th argument (from 0) as a text or a number, or an error that names it; others are
 * converted as Lua does. */
MUST_CHECK struct err *script_text(const struct script_call *c, size_t n, str *ret);
MUST_CHECK struct err *script_number(const struct script_call *c, size_t n, double *ret);
const struct value *script_arg(const struct script_call *c, size_t n);   /* NULL: nil, or none */
struct err *script_return(struct script_call *c, const struct value *v); /* adds a result; NULL */

/* A name that chunks find; dots lead into tables.  Of `call`, `read` and a constant one is
 * given, and a name that is a table too may be called. */
struct script_host {
	const char *name; /* "kong.request.get_path"; NULL ends the list */
	script_fn *call;  /* a function */
	script_fn *read;  /* members of a table that are not rows: one argument, the key */
	script_fn *write; /* of the same: key and value; NULL: they may not be set */
	const char *text; /* a constant */
	double number;    /* another */
	bool is_null;     /* ngx.null */
};

/* What chunks of one kind see; constant, and known by its address. */
struct script_world {
	const struct script_host *const *hosts; /* lists of rows, up to NULL */
	/* Nothing of Lua's library but type() and the methods of texts: so it may always run. */
	bool is_bare;
};

/* ---- running ------------------------------------------------------------------------------ */

/* Whether it can be compiled; the error says where not. */
MUST_CHECK struct err *script_check(str chunk);

/* Runs a chunk; *ret is the first thing that it returns, in a, or NULL for nil.  Functions and
 * the like cannot be returned. */
MUST_CHECK struct err *script_run(struct arena *a, const struct script_world *w, str chunk,
				  void *subject, const struct value **ret);
