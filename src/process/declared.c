/* SPDX-License-Identifier: Apache-2.0 */
#include "process/declared.h"

#include "base/json.h"
#include "base/limits.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

/* In the prefix: what POST /config gave, as YAML behind a line with its hash. */
#define KEPT      "dbless.cache"
#define HASH_LINE "# configuration_hash: "

static struct err *read_file(struct arena *a, const char *path, str *ret)
{
	struct stat st;
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	size_t n = 0;
	char *p;

	if (fd < 0)
		return FAIL_ERRNO("cannot read %s", path);
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || (size_t)st.st_size > LIMIT_CONFIG_BYTES) {
		close(fd);
		return FAIL(ERR_INVALID, "%s is no file, or larger than %zu bytes", path,
			    LIMIT_CONFIG_BYTES);
	}
	p = arena_bytes(a, (size_t)st.st_size);
	while (n < (size_t)st.st_size) {
		ssize_t got = read(fd, p + n, (size_t)st.st_size - n);

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			break;
		n += (size_t)got;
	}
	close(fd);
	*ret = str_at(p, n);
	return NULL;
}

/* In the one folder below the prefix that is the worker's own. */
static const char *kept_path(struct arena *a, const struct settings *s)
{
	str folder = s->lmdb_environment_path;

	if (folder.n == 0)
		return settings_path(a, s, KEPT).s;
	if (folder.s[0] != '/')
		folder = settings_path(a, s, str_z(a, folder));
	return str_fmt(a, STRF "/" KEPT, STRV(folder)).s;
}

/* The text to start with and where it is from; STR_NONE: an empty configuration. */
static struct err *first_text(struct arena *a, const struct settings *s, str *ret_text,
			      str *ret_name)
{
	*ret_text = *ret_name = STR_NONE;
	if (s->declarative_config_string.n) {
		*ret_text = s->declarative_config_string;
		return NULL;
	}
	if (s->declarative_config.n) {
		*ret_name = s->declarative_config;
		TRY(read_file(a, str_z(a, s->declarative_config), ret_text), "declarative_config");
		return NULL;
	}
	if (access(kept_path(a, s), F_OK) != 0)
		return NULL;
	return read_file(a, kept_path(a, s), ret_text);
}

/* Written whole beside it, then renamed: a crash leaves the old one. */
static struct err *keep_text(const struct settings *s, str text)
{
	struct arena *a CLEANUP(arena_drop) = arena_new();
	const char *path = kept_path(a, s);
	const char *beside = str_fmt(a, "%s.new", path).s;
	int fd = open(beside, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	size_t n = 0;
	bool is_good;

	if (fd < 0)
		return FAIL_ERRNO("cannot write %s", beside);
	while (n < text.n) {
		ssize_t put = write(fd, text.s + n, text.n - n);

		if (put < 0 && errno == EINTR)
			continue;
		if (put <= 0)
			break;
		n += (size_t)put;
	}
	is_good = n == text.n && fsync(fd) == 0;
	if (close(fd) < 0 || !is_good || rename(beside, path) < 0)
		return FAIL_ERRNO("cannot keep the configuration in %s", path);
	return NULL;
}

static struct err *declared_error(const struct db_error *e)
{
	return FAIL(ERR_INVALID, STRF, STRV(e->message));
}

/* o->name is the file's, empty: there is none. */
static struct err *parse(struct arena *a, str text, struct declarative_options *o,
			 struct declarative_config **ret)
{
	struct db_error error = { 0 };

	o->now_ms = clock_wall_ms();
	if (str_starts(text, STR(HASH_LINE)))
		o->hash = str_part(text, sizeof(HASH_LINE) - 1, sizeof(HASH_LINE) - 1 + 32);
	if (!declarative_parse(a, text, o, ret, &error))
		TRY(declared_error(&error), "error parsing declarative config%s" STRF,
		    o->name.n ? " file " : "", STRV(o->name));
	return NULL;
}

struct err *declared_read(struct arena *a, const struct settings *s,
			  struct declarative_config **ret)
{
	static const str empty = STR_INIT("_format_version: \"3.0\"\n");
	struct declarative_options o = { 0 };
	str text;

	PASS(first_text(a, s, &text, &o.name));
	return parse(a, text.s ? text : empty, &o, ret);
}

struct err *declared_read_file(struct arena *a, str path, struct declarative_config **ret)
{
	struct declarative_options o = { .name = path };
	str text;

	PASS(read_file(a, str_z(a, path), &text));
	return parse(a, text, &o, ret);
}

struct err *declared_keep(struct arena *a, const struct settings *s, struct declarative_config *d)
{
	return keep_text(s, str_fmt(a, HASH_LINE "%s\n" STRF, declarative_hash(d),
				    STRV(declarative_yaml(a, d))));
}
