/* SPDX-License-Identifier: Apache-2.0 */
#include "http/multipart.h"

#include "base/buf.h"
#include "base/vec.h"

/* x="a b"; x=a: the value of a parameter behind the first ";", or STR_NONE. */
static str parameter(str header, const char *name)
{
	str piece;

	str_next(&header, ';', &piece);
	while (str_next(&header, ';', &piece)) {
		ptrdiff_t equals = str_find(piece, '=', 0);
		str value;

		if (equals < 0 || !str_is_ci(str_trim(str_part(piece, 0, (size_t)equals)), name))
			continue;
		value = str_trim(str_from(piece, (size_t)equals + 1));
		if (value.n >= 2 && value.s[0] == '"' && value.s[value.n - 1] == '"')
			value = str_part(value, 1, value.n - 1);
		return value;
	}
	return STR_NONE;
}

static str name_of(str head)
{
	str line;

	while (str_next(&head, '\n', &line)) {
		ptrdiff_t colon = str_find(line, ':', 0);

		if (colon > 0 &&
		    str_is_ci(str_trim(str_part(line, 0, (size_t)colon)), "content-disposition"))
			return parameter(str_trim(str_from(line, (size_t)colon + 1)), "name");
	}
	return STR_NONE;
}

/* What is up to the next delimiter, which is taken off too. */
static bool next_piece(str *rest, str delimiter, str *ret)
{
	ptrdiff_t at = str_find_str(*rest, delimiter);

	if (at < 0)
		return false;
	*ret = str_part(*rest, 0, (size_t)at);
	*rest = str_from(*rest, (size_t)at + delimiter.n);
	return true;
}

/* Behind a delimiter: the rest of its line, which is white space. */
static bool skip_line(str *rest)
{
	ptrdiff_t eol = str_find(*rest, '\n', 0);

	if (eol < 0 || str_trim(str_part(*rest, 0, (size_t)eol)).n)
		return false;
	*rest = str_from(*rest, (size_t)eol + 1);
	return true;
}

static bool read_part(str piece, struct multipart_part *ret)
{
	ptrdiff_t end = str_find_str(piece, STR("\r\n\r\n"));

	if (str_starts(piece, STR("\r\n"))) {
		*ret = (struct multipart_part){ .body = str_from(piece, 2) };
		return true;
	}
	if (end < 0)
		return false;
	ret->head = str_part(piece, 0, (size_t)end + 2);
	ret->body = str_from(piece, (size_t)end + 4);
	ret->name = name_of(ret->head);
	return true;
}

bool multipart_parse(struct arena *a, str content_type, str body, struct multipart *ret)
{
	struct {
		struct multipart_part *v;
		size_t n, cap;
	} parts = { 0 };
	str delimiter, piece;

	*ret = (struct multipart){ .boundary = parameter(content_type, "boundary") };
	if (ret->boundary.n == 0 || ret->boundary.n > 200)
		return false;
	delimiter = str_fmt(a, "\r\n--" STRF, STRV(ret->boundary));
	if (str_starts(body, str_from(delimiter, 2))) /* it may open the body */
		body = str_from(body, delimiter.n - 2);
	else if (!next_piece(&body, delimiter, &piece))
		return false;
	while (!str_starts(body, STR("--"))) {
		struct multipart_part part;

		if (!skip_line(&body) || !next_piece(&body, delimiter, &piece) ||
		    !read_part(piece, &part) || parts.n == MULTIPART_MAX)
			return false;
		*vec_add(a, &parts) = part;
	}
	ret->v = parts.v;
	ret->n = parts.n;
	return true;
}

bool multipart_can_hold(struct arena *a, str boundary, str text)
{
	str delimiter = str_fmt(a, "\n--" STRF, STRV(boundary)); /* some take a bare LF */

	return str_find_str(text, delimiter) < 0 &&
	       !str_starts(text, str_from(delimiter, 1)); /* it follows an empty line */
}

static str escape_name(struct arena *a, str name)
{
	struct buf out CLEANUP(buf_done);

	buf_init(&out, 0);
	for (size_t i = 0; i < name.n; i++) {
		char c = name.s[i];

		if (c == '"' || c == '\r' || c == '\n')
			buf_addf(&out, "%%%02X", (unsigned)c);
		else
			buf_add_char(&out, c);
	}
	return str_copy(a, buf_str(&out));
}

struct multipart_part multipart_text(struct arena *a, str name, str text)
{
	return (struct multipart_part){
		.head = str_fmt(a, "Content-Disposition: form-data; name=\"" STRF "\"\r\n",
				STRV(escape_name(a, name))),
		.name = name,
		.body = text,
	};
}

str multipart_join(struct arena *a, const struct multipart *m)
{
	struct buf out CLEANUP(buf_done);

	buf_init(&out, 0);
	for (size_t i = 0; i < m->n; i++) {
		buf_addf(&out, "--" STRF "\r\n", STRV(m->boundary));
		buf_add_str(&out, m->v[i].head);
		buf_add_str(&out, STR("\r\n"));
		buf_add_str(&out, m->v[i].body);
		buf_add_str(&out, STR("\r\n"));
	}
	buf_addf(&out, "--" STRF "--\r\n", STRV(m->boundary));
	return str_copy(a, buf_str(&out));
}
