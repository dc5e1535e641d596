/* SPDX-License-Identifier: Apache-2.0 */
/* hello - a plugin outside the gateway's own tree: greets in a field of each reply,
 * and answers itself where `only` says so.  The Admin API tells how often:
 * GET and DELETE /hello; GET /hello/:who greets. */
#include <gibbon/plugin.h>

struct hello {
	str greeting;
	bool only;
};

#define T struct hello
static const struct field conf[] = {
	F_STR(T, greeting, .def = J("hello"), .help = "What to say."),
	F_BOOL(T, only, .def = J(false), .help = "Answer, instead of asking the service."),
	F_END,
};
#undef T

static int64_t greeted; /* by all loops */

static enum verdict access_(struct req *r, const void *conf)
{
	const struct hello *h = conf;

	return h->only ? respond_message(r, 200, "%.*s", (int)h->greeting.n, h->greeting.s) : NEXT;
}

static enum verdict header_filter(struct req *r, const void *conf)
{
	const struct hello *h = conf;

	reply_set_header(r, STR("X-Hello"), h->greeting);
	__atomic_add_fetch(&greeted, 1, __ATOMIC_RELAXED); /* several loops greet */
	return NEXT;
}

static void tell(struct page_call *c)
{
	struct value *v = value_object(c->a);
	int64_t n = __atomic_load_n(&greeted, __ATOMIC_RELAXED);

	value_set(c->a, v, STR("greeted"), value_int(c->a, n));
	page_answer_value(c, 200, v);
}

static void forget(struct page_call *c)
{
	__atomic_store_n(&greeted, 0, __ATOMIC_RELAXED);
	page_answer(c, 204);
}

static void greet(struct page_call *c)
{
	page_answer_message(c, 200, "hello, " STRF, STRV(c->captures[0]));
}

static const struct plugin_page pages[] = {
	{ .path = "/hello", .on = { [HTTP_GET] = tell, [HTTP_DELETE] = forget } },
	{ .path = "/hello/:who", .on = { [HTTP_GET] = greet } },
	{ NULL },
};

static const struct plugin plugin_hello = {
	.name = "hello",
	.version = "1.0.0",
	.help = "Greets.",
	.priority = 10,
	.conf = conf,
	.conf_size = sizeof(struct hello),
	.pages = pages,
	.on = { [PHASE_ACCESS] = access_, [PHASE_HEADER_FILTER] = header_filter },
};
PLUGIN_MODULE(plugin_hello);
