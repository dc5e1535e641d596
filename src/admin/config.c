/* SPDX-License-Identifier: Apache-2.0 */
/* /config: the whole configuration of a node without a database, shown and replaced.
 *
 * The document is parsed on an offload thread, for it may be large; what it
 * becomes is applied by the process, and only when that is done the client is
 * told.  On any error the old configuration goes on serving. */
#include "admin/priv.h"

#include "base/json.h"
#include "net/tls.h"

/* ---- GET ------------------------------------------------------------------------------ */

static bool is_dbless(struct call *c)
{
	if (c->context->settings->database_kind == DATABASE_OFF)
		return true;
	answer_message(
		c, 400,
		"this endpoint is only available when Kong is configured to not use a database");
	return false;
}

/* A whole configuration is as much text as it is to read: written elsewhere too. */
struct rendering {
	struct arena *a;
	struct declarative_config *d;
	str text; /* JSON */
};

static void render_yaml(void *arg)
{
	struct rendering *r = arg;
	struct value *v = value_object(r->a);
	str text = STR("_format_version: '3.0'\n_transform: false\n");

	if (r->d)
		text = declarative_yaml(r->a, r->d);
	value_set(r->a, v, STR("config"), value_str(r->a, text));
	r->text = json_text(r->a, v, JSON_COMPACT);
}

static void render_entities(void *arg)
{
	struct rendering *r = arg;

	r->text = json_text(r->a, declarative_entities(r->a, r->d), JSON_COMPACT);
}

static void answer_rendered(struct call *c, int status, struct declarative_config *d,
			    void (*render)(void *))
{
	struct rendering r = { .a = c->a, .d = d };

	offload_long(render, &r);
	answer_json(c, status, r.text);
}

static void config_get(struct call *c)
{
	struct declarative_config *d CLEANUP(declarative_drop) = NULL;

	if (!is_dbless(c))
		return;
	d = store_memory_hold(c->context->store);
	answer_rendered(c, 200, d, render_yaml);
}

/* ---- POST ------------------------------------------------------------------------------- */

struct job {
	struct arena *a;
	str text;
	struct value *doc; /* instead of text: an object that was parsed already */
	struct declarative_options options;
	bool is_good;
	struct declarative_config *made;
	struct db_error error;
};

static void parse(void *arg)
{
	struct job *j = arg;

	if (j->doc)
		j->is_good = declarative_from_value(j->a, j->doc, j->text, &j->options, &j->made,
						    &j->error);
	else
		j->is_good = declarative_parse(j->a, j->text, &j->options, &j->made, &j->error);
	if (j->error.cause) /* it lives in this thread's arena of errors */
		j->error.cause = err_keep(j->a, j->error.cause);
	err_forget();
}

/* A flag of the query, or else of the body. */
static const struct value *flag(const struct call *c, const char *name)
{
	const struct value *v = value_get(c->query, name);

	return v ? v : value_get(c->args, name);
}

static bool is_truthy(const struct value *v)
{
	static const char *const words[] = { "true", "1", "on", "yes" };

	if (!v || v->kind == VALUE_BOOL)
		return v && v->b;
	if (v->kind == VALUE_INT)
		return v->i == 1;
	for (size_t i = 0; v->kind == VALUE_STRING && i < COUNT(words); i++)
		if (str_is_ci(v->s, words[i]))
			return true;
	return false;
}

static bool is_one(const struct value *v)
{
	return v && ((v->kind == VALUE_STRING && str_is(v->s, "1")) ||
		     (v->kind == VALUE_INT && v->i == 1));
}

/* Where the configuration is: the body as a JSON object, its field or form field "config", or
 * the body as it is.  False: answered. */
static bool find_document(struct call *c, struct job *job)
{
	const struct value *config = value_get(c->args, "config");

	if (value_get(c->args, "_format_version")) {
		job->doc = c->args;
		value_unset(job->doc, STR("flatten_errors"));
		value_unset(job->doc, STR("check_hash"));
		job->text = c->r->body;
		return true;
	}
	if (config && config->kind == VALUE_STRING)
		job->text = config->s;
	else
		job->text = c->r->body;
	if (job->text.n)
		return true;
	answer_message(c, 400, "expected a declarative configuration");
	return false;
}

static bool is_current(struct call *c, str text)
{
	struct declarative_config *d CLEANUP(declarative_drop) = NULL;
	uint8_t digest[16];

	d = store_memory_hold(c->context->store);
	if (!d)
		return false;
	digest_md5(text, digest);
	return str_is(hex_encode(c->a, str_at((char *)digest, sizeof(digest))),
		      declarative_hash(d));
}

static void answer_not_applied(struct call *c, const struct err *e)
{
	switch (e->code) {
	case ERR_CONFLICT:
		http_add(c->a, &c->reply->headers, STR("Retry-After"), STR("1"));
		answer_message(c, 429, "Currently loading previous configuration");
		return;
	case ERR_TIMEOUT:
		answer_message(c, 504, "Timed out while loading configuration");
		return;
	case ERR_CANCELLED:
		answer_message(c, 503, "Kong currently exiting");
		return;
	case ERR_REFUSED:
		answer_message(c, 413,
			       "Configuration does not fit in LMDB database, consider raising the "
			       "\"lmdb_map_size\" config for Kong");
		return;
	case ERR_INVALID:
		answer_message(c, 400, STRF, STRV(err_line(c->a, e)));
		return;
	default:
		log_err(LOG_ERROR_, e, "admin: the new configuration could not be loaded");
		answer_message(c, 500, "An unexpected error occurred");
	}
}

static void config_post(struct call *c)
{
	struct job job = {
		.a = c->a,
		.options = {
			.now_ms = clock_wall_ms(),
			.flatten_errors = is_truthy(flag(c, "flatten_errors")),
		},
	};
	struct declarative_config *d CLEANUP(declarative_drop) = NULL;
	bool checks_hash = is_one(flag(c, "check_hash"));
	struct err *e;

	if (!is_dbless(c) || !find_document(c, &job))
		return;
	if (checks_hash && !job.doc && is_current(c, job.text)) {
		answer_empty(c, 304);
		return;
	}
	offload_long(parse, &job);
	d = job.made;
	if (!job.is_good) {
		answer_error(c, &job.error);
		return;
	}
	e = c->context->apply(c->context->arg, d);
	if (e)
		answer_not_applied(c, e);
	else
		answer_rendered(c, 201, d, render_entities);
}

/* clang-format off */
const struct endpoint config_endpoints[] = {
	{ .path = "/config", .on = { [HTTP_GET] = config_get, [HTTP_POST] = config_post }, .takes_yaml = true },
	{ NULL },
};
/* clang-format on */
