/* SPDX-License-Identifier: Apache-2.0 */
/* The text of kong.conf and of .kong_env: lines of "name = value".
 *
 * A '#' ends a line unless a backslash stands before it; there are no sections,
 * no quotes and no continued lines.  .kong_env has one thing more, because
 * values from the environment may hold line ends: `name := "JSON string"`. */
#include "base/buf.h"
#include "base/json.h"
#include "base/limits.h"
#include "settings/priv.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
}

struct err *file_read(struct arena *a, const char *path, size_t max, str *ret)
{
	int fd CLEANUP(close_fd) = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	struct stat st;
	size_t n = 0;
	char *p;

	if (fd < 0)
		return FAIL_ERRNO("%s", path);
	if (fstat(fd, &st) < 0)
		return FAIL_ERRNO("%s", path);
	if (!S_ISREG(st.st_mode))
		return FAIL(ERR_INVALID, "%s: is not a file", path);
	if ((uint64_t)st.st_size > max)
		return FAIL(ERR_INVALID, "%s: has more than %zu bytes", path, max);
	p = arena_bytes(a, (size_t)st.st_size + 1);
	while (n < (size_t)st.st_size) {
		ssize_t got = read(fd, p + n, (size_t)st.st_size - n);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return FAIL_ERRNO("%s", path);
		if (got == 0)
			break;
		n += (size_t)got;
	}
	*ret = str_at(p, n);
	return NULL;
}

bool file_exists(struct arena *a, str path)
{
	return path.n > 0 && path.n < 4096 && memchr(path.s, '\0', path.n) == NULL &&
	       access(str_z(a, path), F_OK) == 0;
}

/* "a/./b//c" as "a/b/c", "a/b/../c" as "a/c"; path is absolute. */
static str path_cleaned(struct arena *a, str path)
{
	struct buf out CLEANUP(buf_done) = { 0 };
	str rest = path, piece;

	while (str_next(&rest, '/', &piece)) {
		if (piece.n == 0 || str_is(piece, "."))
			continue;
		if (str_is(piece, "..")) {
			ptrdiff_t at = str_find_last(buf_str(&out), '/');

			out.n = at > 0 ? (size_t)at : 0;
			continue;
		}
		buf_add_char(&out, '/');
		buf_add_str(&out, piece);
	}
	return out.n ? str_copy(a, buf_str(&out)) : STR("/");
}

str path_absolute(struct arena *a, str path)
{
	char here[4096];

	if (path.n > 0 && path.s[0] == '/')
		return path_cleaned(a, path);
	if (!getcwd(here, sizeof(here)))
		return path;
	return path_cleaned(a, str_fmt(a, "%s/" STRF, here, STRV(path)));
}

/* ---- lines --------------------------------------------------------------------------- */

/* Cuts the comment off and makes \# a plain hash. */
static str strip_comment(struct arena *a, str value)
{
	char *out = arena_bytes(a, value.n);
	size_t n = 0;

	for (size_t i = 0; i < value.n; i++) {
		if (value.s[i] == '\\' && i + 1 < value.n && value.s[i + 1] == '#')
			continue;
		if (value.s[i] == '#' && (i == 0 || value.s[i - 1] != '\\'))
			break;
		out[n++] = value.s[i];
	}
	return str_trim(str_at(out, n));
}

static bool is_name(str name)
{
	for (size_t i = 0; i < name.n; i++) {
		char c = name.s[i];

		if (!ascii_is_alnum(c) && c != '_' && c != '-' && c != '.' && c != '$')
			return false;
	}
	return name.n > 0 && name.n <= 255;
}

/* Adds e behind the chain *first..*last. */
static void chain(struct err **first, struct err **last, struct err *e)
{
	if (*last)
		(*last)->next = e;
	else
		*first = e;
	*last = e;
}

/* One line; jsons: `:=` may stand before a JSON string. */
static struct err *parse_line(struct arena *a, str line, bool jsons, str *ret_name, str *ret_value)
{
	ptrdiff_t at = str_find(line, '=', 0);
	bool is_json = jsons && at > 0 && line.s[at - 1] == ':';
	str name = at < 0 ? STR_NONE : str_trim(str_part(line, 0, (size_t)at - is_json));
	str value = at < 0 ? STR_NONE : str_trim(str_from(line, (size_t)at + 1));

	if (at < 0 || !is_name(name))
		return err_hint(FAIL(ERR_INVALID, "expected 'name = value'"),
				"A comment begins with '#'.");
	if (is_json) {
		struct value *v;

		PASS(json_parse(a, value, &v));
		if (v->kind != VALUE_STRING)
			return FAIL(ERR_INVALID, "expected a JSON string behind ':='");
		value = v->s;
	} else {
		value = strip_comment(a, value);
	}
	*ret_name = name;
	*ret_value = value;
	return NULL;
}

static struct err *parse(struct arena *a, const char *file, str text, bool jsons, conf_line_fn *add,
			 void *arg)
{
	struct err *first = NULL, *last = NULL;
	str line;
	int number = 0, wrong = 0;

	if (str_starts(text, STR("\xef\xbb\xbf")))
		text = str_from(text, 3);
	if (text.n && memchr(text.s, '\0', text.n))
		return FAIL(ERR_INVALID, "%s: is not a text file", file);
	while (str_next(&text, '\n', &line)) {
		str name, value;
		struct err *e;

		number++;
		line = str_trim(line);
		if (line.n == 0 || line.s[0] == '#' || line.s[0] == ';')
			continue;
		e = parse_line(a, line, jsons, &name, &value);
		if (!e)
			add(arg, name, value);
		else if (wrong++ < 20)
			chain(&first, &last, err_in(e, __FILE__, __LINE__, "%s:%d", file, number));
	}
	return first;
}

struct err *conf_parse(struct arena *a, const char *file, str text, conf_line_fn *add, void *arg)
{
	return parse(a, file, text, false, add, arg);
}

struct err *env_parse(struct arena *a, const char *file, str text, conf_line_fn *add, void *arg)
{
	return parse(a, file, text, true, add, arg);
}
