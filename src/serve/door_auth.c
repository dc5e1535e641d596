/* SPDX-License-Identifier: Apache-2.0 */
/* The plugin door: what authentication asks of a request (gibbon/plugin.h). */
#include "fiber/fiber.h"
#include "http/cookies.h"
#include "net/password.h"
#include "serve/phases.h"

str req_cookie(const struct req *r, str name)
{
	for (unsigned i = 0; i < r->in.headers.n; i++) {
		const struct http_header *h = &r->in.headers.v[i];
		str rest = h->value, is, value;

		if (h->id != HTTP_COOKIE)
			continue;
		while (cookie_next(&rest, &is, &value)) {
			if (str_eq_ci(is, name))
				return value;
		}
	}
	return STR_NONE;
}

str req_target(const struct req *r)
{
	if (!r->in.is_absolute)
		return r->in.target;
	return r->in.has_query
		       ? str_fmt(r->arena, STRF "?" STRF, STRV(r->in.path), STRV(r->in.query))
		       : r->in.path;
}

bool req_is_from_trusted(const struct req *r)
{
	return r->client->is_trusted;
}

/* ---- what takes long --------------------------------------------------------------------- */

struct stretching {
	enum hash_kind kind;
	str password, salt;
	unsigned rounds;
	uint8_t *out;
	size_t n;
	bool is_done;
};

static void stretch(void *p)
{
	struct stretching *g = p;

	g->is_done = key_stretch(g->kind, g->password, g->salt, g->rounds, g->out, g->n);
}

bool key_stretch_aside(enum hash_kind kind, str password, str salt, unsigned rounds, uint8_t *ret,
		       size_t n)
{
	struct stretching g = { kind, password, salt, rounds, ret, n, false };

	offload(stretch, &g);
	return g.is_done;
}

struct guess {
	const struct password_hash *hash;
	str password;
	bool is_right;
};

static void try_guess(void *p)
{
	struct guess *g = p;

	g->is_right = password_is(g->hash, g->password);
}

bool password_is_aside(const struct password_hash *h, str password)
{
	struct guess g = { h, password, false };

	offload(try_guess, &g);
	return g.is_right;
}

#define TURNS_WAITING 64    /* for one loop's turn */
#define TURN_WAIT_MS  10000 /* at most */

bool turn_take(struct req *r)
{
	struct turns *t = &r->proxy->turns;
	deadline until = t->is_taken ? deadline_in(TURN_WAIT_MS) : DEADLINE_NEVER;
	enum wait w = WAIT_OK;

	if (t->is_taken && t->waiting >= TURNS_WAITING)
		return false;
	t->waiting++;
	while (t->is_taken && w == WAIT_OK)
		w = gate_wait(&t->gate, until);
	t->waiting--;
	if (t->is_taken)
		return false;
	t->is_taken = true;
	return true;
}

void turn_end(struct req *r)
{
	struct turns *t = &r->proxy->turns;

	t->is_taken = false;
	if (t->waiting)
		gate_wake_one(&t->gate);
}
