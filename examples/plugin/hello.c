/* SPDX-License-Identifier: Apache-2.0 */
/* hello - a plugin outside the gateway's own tree: greets in a field of each reply,
 * and answers itself where `only` says so. */
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

static enum verdict access_(struct req *r, const void *conf)
{
	const struct hello *h = conf;

	return h->only ? respond_message(r, 200, "%.*s", (int)h->greeting.n, h->greeting.s) : NEXT;
}

static enum verdict header_filter(struct req *r, const void *conf)
{
	const struct hello *h = conf;

	reply_set_header(r, STR("X-Hello"), h->greeting);
	return NEXT;
}

static const struct plugin plugin_hello = {
	.name = "hello",
	.version = "1.0.0",
	.help = "Greets.",
	.priority = 10,
	.conf = conf,
	.conf_size = sizeof(struct hello),
	.on = { [PHASE_ACCESS] = access_, [PHASE_HEADER_FILTER] = header_filter },
};
PLUGIN_MODULE(plugin_hello);
