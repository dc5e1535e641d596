/* SPDX-License-Identifier: Apache-2.0 */
/* Chunked bodies (RFC 9112 §7.1), byte by byte where there are lines and piece
 * by piece where there is data.
 *
 *	SIZE_FIRST -hex-> SIZE -;-> EXTENSION -CR-> SIZE_LF -LF-> DATA -> DATA_CR
 *	   ^                                                               |
 *	   +------------------------ DATA_LF <-----------------------------+
 *	(size 0) SIZE_LF -LF-> TRAILER -> NAME -:-> VALUE -CR-> TRAILER_LF -> TRAILER
 *	                       TRAILER -CR-> END_LF -LF-> END
 *
 * Extensions are read over and dropped: nobody downstream may see what we did
 * not understand.  Trailers that say where a message ends or whom it is for are
 * refused (RFC 9110 §6.5.1): a reader may take them for headers. */
#include "http/priv.h"

#define MAX_SIZE_LINE 256    /* bytes of a size with its extensions */
#define MAX_TRAILERS  (8192) /* bytes of all trailer lines */
#define MAX_LEFT      (UINT64_MAX >> 8)

enum state {
	SIZE_FIRST,
	SIZE,
	BLANK,
	EXTENSION,
	SIZE_LF,
	DATA,
	DATA_CR,
	DATA_LF,
	TRAILER,
	NAME,
	VALUE,
	TRAILER_LF,
	END_LF,
	END,
	BAD,
};

static bool is_text(char c) /* of an extension or a value */
{
	return (unsigned char)c >= 0x20 ? c != 0x7f : c == '\t';
}

static enum state add_digit(struct http_chunked *c, int digit)
{
	if (c->left > MAX_LEFT >> 4)
		return BAD;
	c->left = c->left << 4 | (unsigned)digit;
	return SIZE;
}

/* A byte behind the size's first digit. */
static enum state after_size(struct http_chunked *c, enum state state, char byte)
{
	int digit = state == SIZE ? ascii_hex(byte) : -1;

	if (digit >= 0)
		return add_digit(c, digit);
	if (byte == ';')
		return EXTENSION;
	if (byte == ' ' || byte == '\t') /* only before an extension */
		return BLANK;
	return byte == '\r' && state == SIZE ? SIZE_LF : BAD;
}

/* One byte of a size line. */
static enum state step_size(struct http_chunked *c, char byte)
{
	enum state state = (enum state)c->state;

	if (++c->line_bytes > MAX_SIZE_LINE)
		return BAD;
	switch (state) {
	case SIZE_FIRST:
		return ascii_hex(byte) >= 0 ? add_digit(c, ascii_hex(byte)) : BAD;
	case SIZE:
	case BLANK:
		return after_size(c, state, byte);
	case EXTENSION:
		return byte == '\r' ? SIZE_LF : is_text(byte) ? EXTENSION : BAD;
	default: /* SIZE_LF */
		c->line_bytes = 0;
		return byte != '\n' ? BAD : c->left ? DATA : TRAILER;
	}
}

/* One byte behind the data of a chunk. */
static enum state step_data_end(struct http_chunked *c, char byte)
{
	if (c->state == DATA_CR)
		return byte == '\r' ? DATA_LF : BAD;
	return byte == '\n' ? SIZE_FIRST : BAD;
}

/* A trailer's name is known by its hash alone (FNV-1a, lower case), for it may come
 * byte by byte; `left` has no other use by then. */
#define HASH_START 0xcbf29ce484222325

static uint64_t hash_step(uint64_t hash, char byte)
{
	return (hash ^ (unsigned char)ascii_lower(byte)) * 0x100000001b3;
}

static bool is_forbidden(uint64_t hash)
{
	static const enum http_name names[] = { HTTP_CONTENT_LENGTH, HTTP_TRANSFER_ENCODING,
						HTTP_HOST };

	for (size_t i = 0; i < COUNT(names); i++) {
		str name = http_name_text(names[i]);
		uint64_t its = HASH_START;

		for (size_t k = 0; k < name.n; k++)
			its = hash_step(its, name.s[k]);
		if (its == hash)
			return true;
	}
	return false;
}

/* One byte of the trailers. */
static enum state step_trailer(struct http_chunked *c, char byte)
{
	if (++c->line_bytes > MAX_TRAILERS)
		return BAD;
	switch ((enum state)c->state) {
	case TRAILER:
		if (byte == '\r')
			return END_LF;
		c->left = hash_step(HASH_START, byte);
		return http_char_is(byte, HTTP_CHAR_TOKEN) ? NAME : BAD;
	case NAME:
		if (byte == ':')
			return is_forbidden(c->left) ? BAD : VALUE;
		c->left = hash_step(c->left, byte);
		return http_char_is(byte, HTTP_CHAR_TOKEN) ? NAME : BAD;
	case VALUE:
		return byte == '\r' ? TRAILER_LF : is_text(byte) ? VALUE : BAD;
	case TRAILER_LF:
		return byte == '\n' ? TRAILER : BAD;
	default: /* END_LF */
		return byte == '\n' ? END : BAD;
	}
}

enum http_chunk http_chunked_next(struct http_chunked *c, const char *p, size_t n, size_t *used,
				  str *ret_data)
{
	const char *trailers = NULL, *trailers_end = NULL;
	size_t i = 0;

	*ret_data = STR_NONE;
	for (; i < n && c->state < END; i++) {
		if (c->state == DATA) {
			size_t piece = n - i < c->left ? n - i : (size_t)c->left;

			*ret_data = str_at(p + i, piece);
			*used = i + piece;
			c->left -= piece;
			if (c->left == 0)
				c->state = DATA_CR;
			return HTTP_CHUNK_DATA;
		}
		if (c->state <= SIZE_LF) {
			c->state = (int)step_size(c, p[i]);
		} else if (c->state <= DATA_LF) {
			c->state = (int)step_data_end(c, p[i]);
		} else {
			c->state = (int)step_trailer(c, p[i]);
			if (c->state <= TRAILER_LF) { /* not of the empty line at the end */
				trailers = trailers ? trailers : p + i;
				trailers_end = p + i + 1;
			}
		}
	}
	*used = i;
	if (c->state == BAD)
		return HTTP_CHUNK_BAD;
	if (trailers)
		*ret_data = str_at(trailers, (size_t)(trailers_end - trailers));
	return c->state == END ? HTTP_CHUNK_END : HTTP_CHUNK_MORE;
}
