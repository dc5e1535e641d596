/* SPDX-License-Identifier: Apache-2.0 */
/* Files with what they import, as one set whose names are resolved. */
#include "protobuf/priv.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

struct loader {
	struct arena *a;
	str folder; /* of the first file; NULL: only what is built in */
	struct map files, messages, enums;
	size_t count;
	struct proto_set *set;
};

/* ---- reading ---------------------------------------------------------------------------- */

static struct err *read_whole(struct arena *a, int fd, str *ret)
{
	struct stat st;
	char *p;
	ssize_t n;
	size_t have = 0;

	if (fstat(fd, &st) < 0)
		return FAIL_ERRNO("cannot be read");
	if (!S_ISREG(st.st_mode))
		return FAIL(ERR_INVALID, "is no file");
	if ((size_t)st.st_size > FILE_MOST)
		return FAIL(ERR_INVALID, "larger than %zu bytes", FILE_MOST);
	p = arena_bytes(a, (size_t)st.st_size + 1);
	while (have < (size_t)st.st_size &&
	       (n = read(fd, p + have, (size_t)st.st_size - have)) != 0) {
		if (n < 0)
			return FAIL_ERRNO("cannot be read");
		have += (size_t)n;
	}
	*ret = str_at(p, have);
	return NULL;
}

static struct err *read_file(struct arena *a, str path, str *ret)
{
	int fd = open(str_z(a, path), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	struct err *e;

	if (fd < 0)
		return errno == ENOENT ? FAIL(ERR_NOT_FOUND, "there is no such file")
				       : FAIL_ERRNO("cannot be read");
	e = read_whole(a, fd, ret);
	close(fd);
	return e;
}

/* Where an import is: beside the file, or where Kong looks, or built in. */
static struct err *find_import(struct loader *l, str path, str *ret)
{
	str folders[] = {
		l->folder,
		STR("/usr/local/kong/include"),
		STR("/usr/local/opt/protobuf/include"),
		STR("/usr/include"),
	};

	for (size_t i = 0; l->folder.s && i < COUNT(folders); i++) {
		str whole = str_fmt(l->a, STRF "/" STRF, STRV(folders[i]), STRV(path));
		struct err *e = read_file(l->a, whole, ret);

		if (!e || e->code != ERR_NOT_FOUND)
			return e;
	}
	if (proto_built_in(path, ret))
		return NULL;
	return FAIL(ERR_NOT_FOUND, "there is no such file");
}

/* ---- putting together -------------------------------------------------------------------- */

static struct err *add_names(struct loader *l, struct proto_file *f)
{
	for (size_t i = 0; i < f->messages.n; i++) {
		void **at = map_put(l->a, &l->messages, f->messages.v[i]->name);

		if (*at || map_find(&l->enums, f->messages.v[i]->name))
			return FAIL(ERR_INVALID, STRF " is there twice",
				    STRV(f->messages.v[i]->name));
		*at = f->messages.v[i];
	}
	for (size_t i = 0; i < f->enums.n; i++) {
		void **at = map_put(l->a, &l->enums, f->enums.v[i]->name);

		if (*at || map_find(&l->messages, f->enums.v[i]->name))
			return FAIL(ERR_INVALID, STRF " is there twice", STRV(f->enums.v[i]->name));
		*at = f->enums.v[i];
	}
	return NULL;
}

/* From the innermost scope outwards, as C++ does. */
static void *resolve(struct loader *l, const struct map *in, str scope, str name)
{
	if (name.s[0] == '.')
		return map_find(in, str_from(name, 1));
	for (;;) {
		str whole = scope.n ? str_fmt(l->a, STRF "." STRF, STRV(scope), STRV(name)) : name;
		void *found = map_find(in, whole);
		ptrdiff_t dot = str_find_last(scope, '.');

		if (found || !scope.n)
			return found;
		scope = str_part(scope, 0, dot < 0 ? 0 : (size_t)dot);
	}
}

static struct err *resolve_field(struct loader *l, const struct proto_message *m,
				 struct proto_field *f)
{
	if (f->type != PROTO_MESSAGE || f->message)
		return NULL;
	f->message = resolve(l, &l->messages, m->name, f->type_name);
	if (f->message)
		return NULL;
	f->enumeration = resolve(l, &l->enums, m->name, f->type_name);
	f->type = PROTO_ENUM;
	if (f->enumeration)
		return NULL;
	return FAIL(ERR_INVALID, STRF "." STRF ": there is no type " STRF, STRV(m->name),
		    STRV(f->name), STRV(f->type_name));
}

static struct err *resolve_file(struct loader *l, struct proto_file *f)
{
	for (size_t i = 0; i < f->messages.n; i++) {
		struct proto_message *m = f->messages.v[i];

		for (size_t k = 0; k < m->fields.n; k++)
			PASS(resolve_field(l, m, &m->fields.v[k]));
	}
	for (size_t i = 0; i < f->methods.n; i++) {
		struct proto_method *m = &f->methods.v[i];

		m->input = resolve(l, &l->messages, f->package, m->input_name);
		m->output = resolve(l, &l->messages, f->package, m->output_name);
		if (!m->input || !m->output)
			return FAIL(ERR_INVALID, STRF ": there is no type " STRF, STRV(m->path),
				    STRV(m->input ? m->output_name : m->input_name));
	}
	return NULL;
}

static struct err *load(struct loader *l, str path, str text, bool has_methods, unsigned depth)
{
	struct proto_file *f = NEW(l->a, struct proto_file);

	if (++l->count > FILES_MOST || depth > NESTED_MOST)
		return FAIL(ERR_INVALID, "imports too much");
	*map_put(l->a, &l->files, path) = f;
	PASS(proto_parse(l->a, text, f));
	for (size_t i = 0; i < f->imports.n; i++) {
		const struct proto_import *import = &f->imports.v[i];
		str more;

		if (map_find(&l->files, import->path))
			continue;
		TRY(find_import(l, import->path, &more), "import " STRF, STRV(import->path));
		TRY(load(l, import->path, more, has_methods && import->is_public, depth + 1),
		    "import " STRF, STRV(import->path));
	}
	PASS(add_names(l, f));
	PASS(resolve_file(l, f));
	for (size_t i = 0; has_methods && i < f->methods.n; i++)
		*vec_add(l->a, &l->set->methods) = f->methods.v[i];
	return NULL;
}

static struct err *load_first(struct loader *l, str path, str text, const struct proto_set **ret)
{
	l->set = NEW(l->a, struct proto_set);
	PASS(load(l, path, text, true, 0));
	*ret = l->set;
	return NULL;
}

struct err *proto_load(struct arena *a, str path, const struct proto_set **ret)
{
	ptrdiff_t slash = str_find_last(path, '/');
	struct loader l = { .a = a,
			    .folder = slash < 0 ? STR(".") : str_part(path, 0, (size_t)slash) };
	str text;

	if (slash == 0)
		l.folder = STR("/");
	TRY(read_file(a, path, &text), STRF, STRV(path));
	TRY(load_first(&l, str_from(path, (size_t)(slash + 1)), text, ret), STRF, STRV(path));
	return NULL;
}

struct err *proto_load_text(struct arena *a, str text, const struct proto_set **ret)
{
	struct loader l = { .a = a };

	return load_first(&l, STR("text"), text, ret);
}

const struct proto_method *proto_method_of(const struct proto_set *s, str path)
{
	for (size_t i = 0; i < s->methods.n; i++) {
		if (str_eq(s->methods.v[i].path, path))
			return &s->methods.v[i];
	}
	return NULL;
}

const struct proto_field *proto_field_of(const struct proto_message *m, str name)
{
	for (size_t i = 0; i < m->fields.n; i++) {
		if (str_eq(m->fields.v[i].name, name))
			return &m->fields.v[i];
	}
	return NULL;
}
