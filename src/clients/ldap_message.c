/* SPDX-License-Identifier: Apache-2.0 */
/* Messages of LDAP, in BER as RFC 4511 §5.1 has it: lengths are definite, tags are one byte. */
#include "base/limits.h"
#include "clients/ldap.h"

#define LENGTH_BYTES_MOST 4

enum {
	TAG_INTEGER = 0x02,
	TAG_OCTETS = 0x04,
	TAG_ENUMERATED = 0x0a,
	TAG_SEQUENCE = 0x30,
	TAG_CONTROLS = 0xa0,
	TAG_RESPONSE_NAME = 0x8a,
	TAG_NUMBER = 0x1f, /* all bits of it: the number does not fit into the byte */
};

enum piece { PIECE_MORE, PIECE_BAD, PIECE_OK };

/* Takes a tag, a length and the content off the front.  MORE: they are not all there. */
static enum piece take(str *rest, uint8_t *ret_tag, str *ret)
{
	const uint8_t *p = (const uint8_t *)rest->s;
	size_t at = 2, length = 0, n;

	if (rest->n >= 1 && (p[0] & TAG_NUMBER) == TAG_NUMBER)
		return PIECE_BAD;
	if (rest->n < 2)
		return PIECE_MORE;
	if (p[1] < 0x80) {
		length = p[1];
	} else {
		n = p[1] & 0x7f;
		if (n == 0 || n > LENGTH_BYTES_MOST)
			return PIECE_BAD;
		if (rest->n < 2 + n)
			return PIECE_MORE;
		while (at < 2 + n)
			length = length << 8 | p[at++];
	}
	if (length > LIMIT_LDAP_MESSAGE)
		return PIECE_BAD;
	if (rest->n - at < length)
		return PIECE_MORE;
	*ret_tag = p[0];
	*ret = str_part(*rest, at, at + length);
	*rest = str_from(*rest, at + length);
	return PIECE_OK;
}

static bool take_tagged(str *rest, uint8_t tag, str *ret)
{
	uint8_t is;

	return take(rest, &is, ret) == PIECE_OK && is == tag;
}

/* One that is not negative, in 31 bits. */
static bool take_number(str *rest, uint8_t tag, int64_t *ret)
{
	str bytes;

	if (!take_tagged(rest, tag, &bytes) || bytes.n < 1 || bytes.n > 4 || (bytes.s[0] & 0x80))
		return false;
	*ret = 0;
	for (size_t i = 0; i < bytes.n; i++)
		*ret = *ret << 8 | (uint8_t)bytes.s[i];
	return true;
}

/* What may follow is of no interest, but it must be whole (RFC 4511 §4). */
static bool take_result(str op, struct ldap_message *ret)
{
	str dn, more;
	uint8_t tag;

	if (!take_number(&op, TAG_ENUMERATED, &ret->result.code) ||
	    !take_tagged(&op, TAG_OCTETS, &dn) ||
	    !take_tagged(&op, TAG_OCTETS, &ret->result.diagnostic))
		return false;
	while (op.n) {
		if (take(&op, &tag, &more) != PIECE_OK)
			return false;
		if (tag == TAG_RESPONSE_NAME)
			ret->name = more;
	}
	return true;
}

static bool take_content(str content, struct ldap_message *ret)
{
	str op, controls;

	if (!take_number(&content, TAG_INTEGER, &ret->id) ||
	    take(&content, &ret->op, &op) != PIECE_OK ||
	    (content.n && !take_tagged(&content, TAG_CONTROLS, &controls)) || content.n)
		return false;
	return (ret->op != LDAP_BIND_RESPONSE && ret->op != LDAP_EXTENDED_RESPONSE) ||
	       take_result(op, ret);
}

ssize_t ldap_message_read(str bytes, struct ldap_message *ret)
{
	str rest = bytes, content;
	enum piece p;
	uint8_t tag;

	*ret = (struct ldap_message){ 0 };
	if (bytes.n && (uint8_t)bytes.s[0] != TAG_SEQUENCE)
		return -1;
	p = take(&rest, &tag, &content);
	if (p == PIECE_MORE)
		return 0;
	return p == PIECE_OK && take_content(content, ret) ? (ssize_t)(bytes.n - rest.n) : -1;
}
