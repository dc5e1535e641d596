/* SPDX-License-Identifier: Apache-2.0 */
/* Messages on their way in gRPC. */
#include "protobuf/protobuf.h"

#include "base/json.h"

void grpc_frame(struct buf *out, unsigned flags, str message)
{
	uint32_t n = (uint32_t)message.n;

	for (int shift = 32; shift >= 0; shift -= 8)
		buf_add_char(out, (char)(shift == 32 ? flags : n >> shift));
	buf_add_str(out, message);
}

bool grpc_unframe(str *rest, unsigned *ret_flags, str *ret_message)
{
	const unsigned char *p = (const unsigned char *)rest->s;
	size_t n;

	if (rest->n < GRPC_PREFIX)
		return false;
	n = (size_t)p[1] << 24 | (size_t)p[2] << 16 | (size_t)p[3] << 8 | p[4];
	if (rest->n - GRPC_PREFIX < n)
		return false;
	*ret_flags = p[0];
	*ret_message = str_part(*rest, GRPC_PREFIX, GRPC_PREFIX + n);
	*rest = str_from(*rest, GRPC_PREFIX + n);
	return true;
}

static struct err *one_to_json(struct arena *a, const struct proto_message *m, unsigned flags,
			       str message, bool is_framed, struct buf *out)
{
	struct value *v;
	str text;

	if (flags & GRPC_COMPRESSED)
		return FAIL(ERR_INVALID, "the message is compressed");
	PASS(proto_decode(a, m, message, &v));
	text = json_text(a, v, JSON_COMPACT);
	if (is_framed)
		grpc_frame(out, 0, text);
	else
		buf_add_str(out, text);
	return NULL;
}

struct err *grpc_to_json(struct arena *a, const struct proto_message *m, struct buf *pending,
			 str piece, bool is_framed, struct buf *out)
{
	str rest, message;
	unsigned flags;

	buf_add_str(pending, piece);
	if (pending->is_full)
		return FAIL(ERR_INVALID, "the message is too large");
	rest = buf_str(pending);
	while (grpc_unframe(&rest, &flags, &message))
		PASS(one_to_json(a, m, flags, message, is_framed, out));
	buf_cut_front(pending, pending->n - rest.n);
	return NULL;
}
