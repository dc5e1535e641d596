/* SPDX-License-Identifier: Apache-2.0 */
/* targets - the addresses behind an upstream. */
#include "model/priv.h"

#define DEFAULT_PORT 8000

static const char *check_target(struct arena *a, const struct value *v);

#define T struct target
/* clang-format off */
static const struct field fields[] = {
	ROW_ID(T),
	F_NUM(T, created_at, .is_timestamp = true, .is_auto = true, .help = "When it was made, seconds since 1970."),
	F_REF(T, upstream, "upstreams", .required = true, .on_delete = "cascade", .help = "The upstream it belongs to."),
	F_STR(T, target, .required = true, .check = check_target, .help = "Host and port; the port is 8000 where none is given."),
	F_INT(T, weight, .def = J(100), .between = J([0, 65535]), .help = "Its share of the requests; 0: none."),
	ROW_TAGS(T),
	F_END
};
/* clang-format on */

static const char *check_target(struct arena *a, const struct value *v)
{
	struct host_parts h;
	const char *words;

	if (host_parse(a, v->s, &h, &words) == HOST_GOOD)
		return NULL;
	if (utf8_fault(v->s))
		return "Invalid target; not a valid hostname or ip address";
	return rule_words(a, "Invalid target ('" STRF "'); not a valid hostname or ip address",
			  STRV(v->s));
}

static void finish(struct arena *a, struct value *doc, const struct schema_options *o,
		   struct value *errors)
{
	const struct value *target = value_get(doc, "target");
	struct host_parts h;
	const char *words;

	(void)o;
	(void)errors;
	if (value_is_null(target) || host_parse(a, target->s, &h, &words) != HOST_GOOD)
		return;
	value_set(a, doc, STR("target"), value_str(a, host_text(a, &h, DEFAULT_PORT)));
}

const struct entity targets_entity = {
	.name = "targets",
	.endpoint_key = "target",
	.cache_key = "upstream, target",
	.help = "An address that requests to an upstream go to.",
	.size = sizeof(T),
	.fields = fields,
	.finish = finish,
	.is_workspaceable = true,
	.is_taggable = true,
};
