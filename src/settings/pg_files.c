/* SPDX-License-Identifier: Apache-2.0 */
/* The files behind the TLS of the PostgreSQL link: client certificate, its key,
 * revocation list and trusted certificates.
 *
 * They are read when the settings are loaded, so that `check` and `start` find
 * what is wrong with them, and again for each connection, so that replaced files
 * count at once; what has not changed is not judged again.  A worker that gave up root may be unable to read the key a
 * second time: then it uses the pair that was read while the settings were. */
#include "base/log.h"
#include "net/tls.h"
#include "settings/priv.h"
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#define PG_FILE_MAX ((off_t)4 << 20)

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
}

/* libpq's rule: nobody but the owner, or root and its group. */
static bool is_key_private(const struct stat *st)
{
	mode_t refused = st->st_uid == 0 ? S_IWGRP | S_IXGRP | S_IRWXO : S_IRWXG | S_IRWXO;

	return !(st->st_mode & refused);
}

static struct err *read_whole(struct arena *a, int fd, const char *path, off_t size, str *ret)
{
	char *text = arena_bytes(a, (size_t)size + 1);
	size_t n = 0;

	for (;;) {
		ssize_t got = read(fd, text + n, (size_t)size + 1 - n);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return FAIL_ERRNO("%s", path);
		if (got == 0)
			break;
		n += (size_t)got;
		if (n > (size_t)size)
			return FAIL(ERR_INVALID, "%s: grew while it was read", path);
	}
	*ret = str_at(text, n);
	return NULL;
}

/* The text of a file; *ret_denied tells a missing right from other failures. */
static struct err *read_file(struct arena *a, str name, bool is_key, str *ret, bool *ret_denied)
{
	const char *path = str_z(a, name);
	int fd CLEANUP(close_fd) = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	struct stat st;

	if (fd < 0) {
		*ret_denied = errno == EACCES;
		return FAIL_ERRNO("%s", path);
	}
	if (fstat(fd, &st) < 0)
		return FAIL_ERRNO("%s", path);
	if (!S_ISREG(st.st_mode))
		return FAIL(ERR_INVALID, "%s is not a regular file", path);
	if (st.st_size > PG_FILE_MAX)
		return FAIL(ERR_INVALID, "%s is larger than %lld bytes", path,
			    (long long)PG_FILE_MAX);
	if (is_key && !is_key_private(&st))
		return err_hint(
			FAIL(ERR_INVALID,
			     "private key file \"%s\" has group or world access (mode %04o)", path,
			     (unsigned)st.st_mode & 07777),
			"Let its owner alone read it: chmod 600 %s", path);
	return read_whole(a, fd, path, st.st_size, ret);
}

#define AT(call, property) at_property((call), (property))

static struct err *at_property(struct err *e, const char *property)
{
	return e ? err_field(err_in(e, __FILE__, __LINE__, "%s", property), "%s", property) : NULL;
}

/* ---- the client certificate and its key ------------------------------------------------ */

static struct err *check_pair(const struct settings *s, const struct setting_cert *pair)
{
	struct tls_cert *checked CLEANUP(tls_cert_drop) = NULL;
	struct err *e = tls_check_certificate(pair->cert);

	if (e)
		return AT(err_in(e, __FILE__, __LINE__, STRF, STRV(s->pg_ssl_cert)), "pg_ssl_cert");
	e = tls_check_key(pair->key);
	if (!e)
		e = tls_cert_new(pair->cert, pair->key, &checked);
	if (e)
		return AT(err_in(e, __FILE__, __LINE__, STRF, STRV(s->pg_ssl_cert_key)),
			  "pg_ssl_cert_key");
	return NULL;
}

static struct err *read_pair(struct arena *a, const struct settings *s, struct setting_cert *ret)
{
	struct setting_cert pair = { .cert_path = s->pg_ssl_cert, .key_path = s->pg_ssl_cert_key };
	bool is_denied = false;
	struct err *e;

	if (!s->pg_ssl_cert.n)
		return NULL;
	if (!s->pg_ssl_cert_key.n)
		return at_property(FAIL(ERR_INVALID, "must be specified with pg_ssl_cert"),
				   "pg_ssl_cert_key");
	e = AT(read_file(a, s->pg_ssl_cert, false, &pair.cert, &is_denied), "pg_ssl_cert");
	if (!e)
		e = AT(read_file(a, s->pg_ssl_cert_key, true, &pair.key, &is_denied),
		       "pg_ssl_cert_key");
	if (e && is_denied && s->pg_client.key.n) {
		if (pair.cert.n && !str_eq(pair.cert, s->pg_client.cert))
			log_warn("pg_ssl_cert was replaced, but this process may not read "
				 "pg_ssl_cert_key again: reload to use the new pair");
		*ret = s->pg_client;
		return NULL;
	}
	PASS(e);
	if (!str_eq(pair.cert, s->pg_client.cert) || !str_eq(pair.key, s->pg_client.key))
		PASS(check_pair(s, &pair));
	*ret = pair;
	return NULL;
}

/* ---- what the server's certificate is judged by -------------------------------------------- */

static struct err *read_crl(struct arena *a, const struct settings *s, str *ret)
{
	bool is_denied = false;
	str text;
	struct err *e;

	if (!s->pg_ssl_crl.n)
		return NULL;
	e = read_file(a, s->pg_ssl_crl, false, &text, &is_denied);
	if (e && is_denied && s->pg_crl_pem.n) {
		*ret = s->pg_crl_pem;
		return NULL;
	}
	if (!e) {
		e = tls_check_crl(text);
		if (e)
			e = err_in(e, __FILE__, __LINE__, STRF, STRV(s->pg_ssl_crl));
	}
	PASS(AT(e, "pg_ssl_crl"));
	*ret = text;
	return NULL;
}

/* lua_ssl_trusted_certificate as its files are now; what cannot be read or is none
 * any more counts as it was. */
static str read_trusted(struct arena *a, const struct settings *s)
{
	strs pems = { NEWS(a, str, s->trusted_ca_pems.n), s->trusted_ca_pems.n };

	for (size_t i = 0; i < pems.n; i++) {
		str path = i < s->trusted_ca_paths.n ? s->trusted_ca_paths.v[i] : STR_NONE;
		bool is_denied;
		struct err *e = NULL;
		str text;

		pems.v[i] = s->trusted_ca_pems.v[i];
		if (!path.n)
			continue;
		e = read_file(a, path, false, &text, &is_denied);
		if (!e && str_eq(text, pems.v[i]))
			continue; /* parsing a system's bundle takes its time */
		if (!e)
			e = tls_check_certificate(text);
		if (!e)
			pems.v[i] = text;
		else
			log_err(LOG_WARN_, e,
				"lua_ssl_trusted_certificate: using what was read "
				"before");
	}
	return str_join(a, pems, STR("\n"));
}

struct err *settings_read_pg_files(struct arena *a, const struct settings *s, struct pg_files *ret)
{
	struct pg_files files = { 0 };
	bool verifies = s->pg_ssl_verify || s->pg_ssl_verify_host || s->pg_ro_ssl_verify;

	PASS(read_pair(a, s, &files.client));
	if (verifies) {
		PASS(read_crl(a, s, &files.crl));
		files.trusted = read_trusted(a, s);
		if (str_trim(files.trusted).n == 0)
			return err_field(
				err_hint(
					FAIL(ERR_INVALID,
					     "pg_ssl_verify is on, but lua_ssl_trusted_certificate "
					     "has no certificate to verify with"),
					"Name the CA of the database there."),
				"lua_ssl_trusted_certificate");
	}
	*ret = files;
	return NULL;
}

/* ---- loading --------------------------------------------------------------------------------- */

void load_pg_files(struct loading *l)
{
	struct settings *s = l->s;
	struct pg_files files;
	struct err *e;

	if (s->database_kind != DATABASE_POSTGRES)
		return;
	if (s->pg_ssl_verify_host && !s->pg_ssl)
		BAD(l, "pg_ssl_verify_host",
		    "pg_ssl_verify_host has a meaning with pg_ssl = on "
		    "alone");
	if (!s->pg_ssl && !(s->pg_ro_host.n && s->pg_ro_ssl)) {
		if (s->pg_ssl_cert.n)
			loading_note(l, "pg_ssl_cert has no effect while pg_ssl is off");
		return;
	}
	e = settings_read_pg_files(l->a, s, &files);
	if (e) {
		loading_fail(l, e);
		return;
	}
	s->pg_client = files.client;
	s->pg_crl_pem = files.crl;
}
