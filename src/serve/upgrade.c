/* SPDX-License-Identifier: Apache-2.0 */
/* After 101: the connection goes over to a tunnel, and with it the request, which is logged
 * when the tunnel ends.  The blocks that both heads came in are not kept as long: that is why
 * they are moved to the arena, before anybody looks at them. */
#include "base/log.h"
#include "serve/req.h"
#include "serve/tunnel.h"

void tunnel_keep_head(struct req *r)
{
	struct client *c = r->client;
	char *copy = arena_copy(r->arena, c->block->data + c->begin, r->head_size);
	size_t scanned = 0;

	if (http_parse_request(r->arena, copy, r->head_size, &scanned, &r->proxy->shared->limits,
			       &r->in) <= 0)
		die("a head that was read cannot be read again");
}

void tunnel_keep_reply(struct req *r)
{
	r->reason = str_copy(r->arena, r->reason);
	for (unsigned i = 0; i < r->reply.n; i++) {
		struct http_header *h = &r->reply.v[i];

		h->name = str_copy(r->arena, h->name);
		h->value = str_copy(r->arena, h->value);
	}
}

static void ended(void *p, const struct tunnel_bytes *taken)
{
	struct req *r = p;

	r->bytes_sent += taken->down;
	r->body_bytes_sent += taken->down;
	r->bytes_tunnelled = taken->up;
	serve_end(r);
	counters_add(r->proxy->shared->counters, r->proxy->index, COUNTER_WRITING, -1);
}

void tunnel_of_request(struct req *r, struct link **link, str early, int64_t timeout_ms)
{
	struct body *b = &r->body;
	struct tunnel_plan plan = {
		.arena = r->arena,
		.up = str_at(b->at, (size_t)(b->end - b->at)),
		.down = early,
		.timeout_ms = timeout_ms,
		.ended = ended,
		.arg = r,
	};

	tunnel_open(r->client, link, &plan);
	counters_add(r->proxy->shared->counters, r->proxy->index, COUNTER_WRITING, 1);
	block_put(&r->client->block);
	r->client->begin = r->client->end = 0;
}
