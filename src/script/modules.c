/* SPDX-License-Identifier: Apache-2.0 */
/* Modules that chunks may require(), where untrusted_lua_sandbox_requires names them. */
#include "script/priv.h"

#include "base/json.h"

static struct err *encode(struct script_call *c)
{
	const struct value *v = script_arg(c, 0);

	return script_return(
		c, value_str(c->a, json_text(c->a, v ? v : value_null(c->a), JSON_COMPACT)));
}

static struct err *decode(struct script_call *c)
{
	struct value *v;
	str text;

	PASS(script_text(c, 0, &text));
	PASS(json_parse(c->a, text, &v));
	return script_return(c, v);
}

/* nil and the reason instead of an error. */
static struct err *decode_safe(struct script_call *c)
{
	struct err *e = decode(c);

	if (!e)
		return NULL;
	script_return(c, NULL);
	return script_return(c, value_str(c->a, err_line(c->a, e)));
}

static const struct script_host cjson[] = {
	{ .name = "encode", .call = encode },
	{ .name = "decode", .call = decode },
	{ .name = "null", .is_null = true },
	{ 0 },
};

static const struct script_host cjson_safe[] = {
	{ .name = "encode", .call = encode },
	{ .name = "decode", .call = decode_safe },
	{ .name = "null", .is_null = true },
	{ 0 },
};

const struct script_module script_modules[] = {
	{ "cjson", cjson },
	{ "cjson.safe", cjson_safe },
	{ 0 },
};
