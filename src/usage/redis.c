/* SPDX-License-Identifier: Apache-2.0 */
/* Usage in Redis: a script counts all windows in one step.
 *
 * Who may not run scripts (a user with just what Kong needs) counts first and takes back
 * what went too far: never too many get something, and of those who ask at the very end
 * of a limit one may be refused a moment too early. */
#include "usage/priv.h"

#define IDENTIFIER_MAX 512 /* bytes; of longer ones the digest counts */

/* For key i: ARGV[3i-2] is added unless it has reached ARGV[3i-1]; a new one ends in
 * ARGV[3i] seconds.  Gives whether it was, and what was there before. */
static const struct redis_script take_script = {
	"local ret, is_there = { 1 }, {}\n"
	"for i, key in ipairs(KEYS) do\n"
	"  local used = redis.call('GET', key)\n"
	"  is_there[i] = used\n"
	"  ret[i + 1] = tonumber(used or 0)\n"
	"  if ret[i + 1] >= tonumber(ARGV[3 * i - 1]) then ret[1] = 0 end\n"
	"end\n"
	"if ret[1] == 1 then\n"
	"  for i, key in ipairs(KEYS) do\n"
	"    redis.call('INCRBY', key, ARGV[3 * i - 2])\n"
	"    if not is_there[i] then redis.call('EXPIRE', key, ARGV[3 * i]) end\n"
	"  end\n"
	"end\n"
	"return ret\n"
};

static str number(struct arena *a, int64_t i)
{
	return str_fmt(a, "%lld", (long long)i);
}

static str *keys_of(const struct usage_job *j)
{
	str scope =
		usage_scope(j, usage_shortened(j->a, j->who->identifier, IDENTIFIER_MAX, false));
	str *keys = NEWS(j->a, str, j->n * 4); /* room for the arguments of the script */

	for (size_t i = 0; i < j->n; i++)
		keys[i] = usage_key(j, scope, &j->asks[i]);
	return keys;
}

static struct err *not_counted(const struct redis_reply *r, str key)
{
	return FAIL(ERR_REFUSED, "no count in " STRF ": " STRF, STRV(key),
		    STRV(r->kind == REDIS_ERROR ? r->s : STR("not an integer")));
}

/* ---- by a script ------------------------------------------------------------------------------ */

static struct err *take_by_script(struct usage_job *j, str *words)
{
	struct redis_reply r;

	for (size_t i = 0; i < j->n; i++) {
		const struct usage_ask *ask = &j->asks[i];
		str *args = words + j->n + 3 * i;

		args[0] = number(j->a, ask->by);
		args[1] = number(j->a, ask->most);
		args[2] = number(j->a, usage_windows[ask->period].seconds);
	}
	PASS(redis_run(j->a, j->at->redis, &take_script, words, j->n, j->n * 4, &r));
	if (r.kind != REDIS_LIST || r.n != j->n + 1)
		return FAIL(ERR_INTERNAL, "the script gave no list");
	j->is_taken = r.items[0].i == 1;
	for (size_t i = 0; i < j->n; i++)
		j->asks[i].used = r.items[i + 1].i;
	return NULL;
}

/* ---- by single commands ----------------------------------------------------------------------- */

struct batch {
	strs *v;
	size_t n;
};

static void add_command(struct arena *a, struct batch *b, const char *verb, str key,
			int64_t number_)
{
	str *words = NEWS(a, str, 3);

	words[0] = str_of(verb);
	words[1] = key;
	words[2] = number(a, number_);
	b->v[b->n++] = (strs){ words, 3 };
}

/* What follows the counting: new keys get their end, and what went too far is taken back. */
static struct err *settle(struct usage_job *j, const str *keys, struct batch *b)
{
	struct redis_reply *r;

	b->n = 0;
	for (size_t i = 0; i < j->n; i++) {
		const struct usage_ask *ask = &j->asks[i];

		if (!j->is_taken)
			add_command(j->a, b, "INCRBY", keys[i], -ask->by);
		if (ask->used == 0)
			add_command(j->a, b, "EXPIRE", keys[i], usage_windows[ask->period].seconds);
	}
	if (!b->n)
		return NULL;
	r = NEWS(j->a, struct redis_reply, b->n);
	PASS(redis_ask_all(j->a, j->at->redis, b->v, b->n, r));
	for (size_t i = 0; i < b->n; i++) {
		if (r[i].kind != REDIS_INT)
			return not_counted(&r[i], b->v[i].v[1]);
	}
	return NULL;
}

static struct err *take_by_commands(struct usage_job *j, const str *keys)
{
	struct batch b = { NEWS(j->a, strs, j->n * 2), 0 };
	struct redis_reply *r = NEWS(j->a, struct redis_reply, j->n);

	for (size_t i = 0; i < j->n; i++)
		add_command(j->a, &b, "INCRBY", keys[i], j->asks[i].by);
	PASS(redis_ask_all(j->a, j->at->redis, b.v, j->n, r));
	j->is_taken = true;
	for (size_t i = 0; i < j->n; i++) {
		if (r[i].kind != REDIS_INT)
			return not_counted(&r[i], keys[i]);
		j->asks[i].used = r[i].i - j->asks[i].by;
		j->is_taken &= j->asks[i].used < j->asks[i].most;
	}
	return settle(j, keys, &b);
}

struct err *usage_redis_take(struct usage_job *j)
{
	str *keys = keys_of(j);
	struct err *e = take_by_script(j, keys);

	if (e && e->code == ERR_NOT_FOUND)
		return take_by_commands(j, keys);
	return e;
}

struct err *usage_redis_look(struct usage_job *j)
{
	const str *keys = keys_of(j);
	strs *commands = NEWS(j->a, strs, j->n);
	struct redis_reply *r = NEWS(j->a, struct redis_reply, j->n);

	for (size_t i = 0; i < j->n; i++) {
		str *words = NEWS(j->a, str, 2);

		words[0] = STR("GET");
		words[1] = keys[i];
		commands[i] = (strs){ words, 2 };
	}
	PASS(redis_ask_all(j->a, j->at->redis, commands, j->n, r));
	for (size_t i = 0; i < j->n; i++) {
		j->asks[i].used = 0;
		if (r[i].kind == REDIS_NIL)
			continue;
		if (r[i].kind != REDIS_TEXT || !str_to_int(r[i].s, &j->asks[i].used))
			return not_counted(&r[i], keys[i]);
	}
	return NULL;
}
