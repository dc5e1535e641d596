/* SPDX-License-Identifier: Apache-2.0 */
#include "control/plugin_object.h"

#include <dlfcn.h>
#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

/* Its code will run with our rights: nobody else may be able to change it. */
static struct err *check_owner(const char *path, const struct stat *st)
{
	if (st->st_uid != 0 && st->st_uid != geteuid())
		return err_hint(FAIL(ERR_INVALID, "%s belongs to another user", path),
				"Let it belong to root, or to the user that starts the gateway.");
	if (st->st_mode & (S_IWGRP | S_IWOTH))
		return err_hint(FAIL(ERR_INVALID, "%s can be changed by other users", path),
				"chmod go-w %s", path);
	return NULL;
}

static struct err *check_module(const char *path, str name, const struct plugin_module *m)
{
	const struct plugin *p = m->plugin;

	if (m->api != GIBBON_PLUGIN_API || m->size != sizeof(struct plugin))
		return err_hint(FAIL(ERR_INVALID,
				     "%s was built for version %u of the plugin door (%u bytes), "
				     "this is version %u (%zu bytes)",
				     path, m->api, m->size, GIBBON_PLUGIN_API,
				     sizeof(struct plugin)),
				"Build it again with the headers of this gateway.");
	if (!p || !p->name || !str_is(name, p->name))
		return FAIL(ERR_INVALID, "%s holds the plugin \"%s\", not \"" STRF "\"", path,
			    p && p->name ? p->name : "", STRV(name));
	if (!p->conf)
		return FAIL(ERR_INVALID, "%s has no rows of configuration", path);
	if (p->entities)
		return FAIL(ERR_INVALID, "%s brings entities, which have no tables in the stores",
			    path);
	return NULL;
}

static struct err *load(const char *path, str name, const struct plugin **ret)
{
	const struct plugin_module *m;
	void *object = dlopen(path, RTLD_NOW | RTLD_LOCAL);

	if (!object)
		return FAIL(ERR_INVALID, "%s", dlerror());
	m = dlsym(object, "gibbon_plugin_module");
	if (!m)
		return FAIL(ERR_INVALID, "%s is no plugin: it does not say PLUGIN_MODULE()", path);
	PASS(check_module(path, name, m));
	*ret = m->plugin;
	return NULL;
}

struct err *plugin_object_load(struct arena *a, strs folders, str name, const struct plugin **ret)
{
	*ret = NULL;
	for (size_t i = 0; i < folders.n; i++) {
		const char *path =
			str_fmt(a, STRF "/" STRF ".so", STRV(folders.v[i]), STRV(name)).s;
		struct stat st;

		if (stat(path, &st) < 0) {
			if (errno != ENOENT && errno != ENOTDIR)
				return FAIL_ERRNO("%s", path);
			continue;
		}
		PASS(check_owner(path, &st));
		return load(path, name, ret);
	}
	return NULL;
}
