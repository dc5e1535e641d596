/* SPDX-License-Identifier: Apache-2.0 */
/* What a gateway finds in its prefix: folders, logs that the worker may reopen,
 * certificates for TLS listeners that have none, and .kong_env. */
#include "net/tls.h"
#include "process/priv.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#define CERT_DAYS     (20 * 365)
#define FEW_FILES     4096
#define CERT_FILE_MAX ((size_t)1 << 20)

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
}

/* ---- folders and files ---------------------------------------------------------------- */

/* mkdir -p. */
static struct err *make_folder(struct arena *a, str path, mode_t mode)
{
	struct stat st;

	for (size_t i = 1; i <= path.n; i++) {
		const char *part;

		if (i < path.n && path.s[i] != '/')
			continue;
		part = str_z(a, str_part(path, 0, i));
		if (mkdir(part, i == path.n ? mode : 0755) < 0 && errno != EEXIST)
			return FAIL_ERRNO("%s", part);
	}
	if (stat(str_z(a, path), &st) < 0)
		return FAIL_ERRNO(STRF, STRV(path));
	if (!S_ISDIR(st.st_mode))
		return FAIL(ERR_INVALID, STRF " is not a directory", STRV(path));
	return NULL;
}

static struct err *give_to_worker(const char *path, const struct identity *id)
{
	if (id->drops && lchown(path, id->uid, id->gid) < 0)
		return FAIL_ERRNO("%s: chown", path);
	return NULL;
}

/* A folder that the worker writes in, below the prefix unless it is absolute. */
static struct err *make_own_folder(struct arena *a, const struct settings *s, str name,
				   const struct identity *id)
{
	str path = name.s[0] == '/' ? name : settings_path(a, s, str_z(a, name));

	PASS(make_folder(a, path, 0700));
	return give_to_worker(str_z(a, path), id);
}

/* A log that is there, and that the worker may open again. */
static struct err *make_log(struct arena *a, str path, const struct identity *id)
{
	const char *name = path.s ? str_z(a, path) : NULL;
	int fd CLEANUP(close_fd) = -1;
	struct stat st;

	if (!name || str_starts(path, STR("/dev/")) || str_starts(path, STR("syslog:")))
		return NULL;
	fd = open(name, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, 0644);
	if (fd < 0)
		return FAIL_ERRNO("%s", name);
	if (fstat(fd, &st) < 0)
		return FAIL_ERRNO("%s", name);
	if (id->drops && S_ISREG(st.st_mode) && fchown(fd, id->uid, id->gid) < 0)
		return FAIL_ERRNO("%s: chown", name);
	return NULL;
}

struct err *prefix_make_logs(struct arena *a, const struct settings *s, const struct identity *id)
{
	const struct setting_log *logs[] = { &s->proxy_error,   &s->proxy_access,  &s->admin_access,
					     &s->admin_error,   &s->status_access, &s->status_error,
					     &s->stream_access, &s->stream_error };

	for (size_t i = 0; i < COUNT(logs); i++)
		PASS(make_log(a, logs[i]->path, id));
	return NULL;
}

/* A whole file or none, with its mode from the first byte on. */
static struct err *put_file(struct arena *a, const char *path, str text, mode_t mode)
{
	const char *draft = str_fmt(a, "%s.%ld", path, (long)getpid()).s;
	int fd CLEANUP(close_fd) = -1;

	unlink(draft);
	fd = open(draft, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
	if (fd < 0)
		return FAIL_ERRNO("%s", draft);
	for (size_t n = 0; n < text.n;) {
		ssize_t put = write(fd, text.s + n, text.n - n);

		if (put < 0)
			return FAIL_ERRNO("%s", draft);
		n += (size_t)put;
	}
	if (rename(draft, path) < 0)
		return FAIL_ERRNO("%s", path);
	return NULL;
}

static struct err *get_file(struct arena *a, const char *path, str *ret)
{
	int fd CLEANUP(close_fd) = open(path, O_RDONLY | O_CLOEXEC);
	char *text = arena_bytes(a, CERT_FILE_MAX);
	ssize_t n = fd < 0 ? -1 : read(fd, text, CERT_FILE_MAX);

	if (n < 0)
		return FAIL_ERRNO("%s", path);
	*ret = str_at(text, (size_t)n);
	return NULL;
}

/* ---- certificates ---------------------------------------------------------------------- */

/* Reads the pair, or makes it when neither file is there. */
static struct err *default_cert(struct arena *a, const char *base, enum tls_key_kind kind,
				struct setting_cert *ret)
{
	const char *cert_path = str_fmt(a, "%s.crt", base).s;
	const char *key_path = str_fmt(a, "%s.key", base).s;
	struct tls_cert *checked CLEANUP(tls_cert_drop) = NULL;

	if (access(cert_path, F_OK) < 0 && access(key_path, F_OK) < 0) {
		PASS(tls_make_self_signed(a, kind, STR("localhost"), CERT_DAYS, &ret->cert,
					  &ret->key));
		PASS(put_file(a, key_path, ret->key, 0600));
		PASS(put_file(a, cert_path, ret->cert, 0644));
	} else {
		PASS(get_file(a, cert_path, &ret->cert));
		PASS(get_file(a, key_path, &ret->key));
		TRY(tls_cert_new(ret->cert, ret->key, &checked), "%s", cert_path);
	}
	ret->cert_path = str_of(cert_path);
	ret->key_path = str_of(key_path);
	return NULL;
}

static struct err *default_certs(struct arena *a, struct settings *s, const char *prefix,
				 const struct setting_certs *have)
{
	const char *base;
	struct setting_certs certs = { NEWS(a, struct setting_cert, 2), 2 };

	if (have->n > 0)
		return NULL;
	base = str_fmt(a, STRF "/ssl/%skong-default", STRV(s->prefix), prefix).s;
	PASS(default_cert(a, base, TLS_KEY_RSA_2048, &certs.v[0]));
	PASS(default_cert(a, str_fmt(a, "%s-ecdsa", base).s, TLS_KEY_EC_P256, &certs.v[1]));
	settings_give_certs(a, s,
			    prefix[0] == 'a'   ? "admin_"
			    : prefix[0] == 's' ? "status_"
					       : "",
			    certs);
	return NULL;
}

static struct err *make_certs(struct arena *a, struct settings *s)
{
	PASS(make_folder(a, settings_path(a, s, "ssl"), 0755));
	if (s->proxy_ssl_enabled || s->stream_proxy_ssl_enabled)
		PASS(default_certs(a, s, "", &s->ssl_certs));
	if (s->admin_ssl_enabled)
		PASS(default_certs(a, s, "admin-", &s->admin_ssl_certs));
	if (s->status_ssl_enabled)
		PASS(default_certs(a, s, "status-", &s->status_ssl_certs));
	return NULL;
}

/* ---- notes ---------------------------------------------------------------------------------- */

static void add_note(struct arena *a, struct settings *s, str note)
{
	strs notes = { NEWS(a, str, s->notes.n + 1), s->notes.n + 1 };

	if (s->notes.n)
		memcpy(notes.v, s->notes.v, s->notes.n * sizeof(*notes.v));
	notes.v[s->notes.n] = note;
	s->notes = notes;
}

static void note_limit(struct arena *a, struct settings *s)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < FEW_FILES)
		add_note(a, s,
			 str_fmt(a,
				 "ulimit is currently set to \"%llu\". For better performance set "
				 "it to at least \"4096\" using \"ulimit -n\"",
				 (unsigned long long)limit.rlim_cur));
}

/* ---- the whole --------------------------------------------------------------------------------- */

struct err *prefix_prepare(struct arena *a, struct settings *s)
{
	static const char *const folders[] = { "", "/logs", "/pids" };
	struct identity id;

	PASS(identity_find(a, s, &id));
	for (size_t i = 0; i < COUNT(folders); i++)
		PASS(make_folder(a, str_cat(a, s->prefix, str_of(folders[i])), 0755));
	if (s->lmdb_environment_path.s) /* what POST /config left */
		PASS(make_own_folder(a, s, s->lmdb_environment_path, &id));
	PASS(make_own_folder(a, s, STR("body_temp"), &id));
	PASS(prefix_make_logs(a, s, &id));
	PASS(make_certs(a, s));
	PASS(put_file(a, settings_path(a, s, ".ca_combined").s,
		      str_join(a, s->trusted_ca_pems, STR("\n")), 0644));
	note_limit(a, s);
	return settings_write_env(s, settings_path(a, s, ".kong_env").s);
}

strs prefix_remove_sockets(struct arena *a, const struct settings *s)
{
	DIR *dir = opendir(str_z(a, s->prefix));
	strs gone = { NEWS(a, str, 64), 0 };
	struct dirent *entry;

	while (dir && gone.n < 64 && (entry = readdir(dir)) != NULL) {
		str path = settings_path(a, s, entry->d_name);
		struct stat st;

		if (lstat(path.s, &st) == 0 && S_ISSOCK(st.st_mode) && unlink(path.s) == 0)
			gone.v[gone.n++] = str_copy(a, path);
	}
	if (dir)
		closedir(dir);
	return gone;
}
