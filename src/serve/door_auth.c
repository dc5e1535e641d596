/* SPDX-License-Identifier: Apache-2.0 */
/* The plugin door: what authentication asks of a request (gibbon/plugin.h). */
#include "fiber/fiber.h"
#include "http/cookies.h"
#include "net/tls_crypto.h"
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
