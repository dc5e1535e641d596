/* SPDX-License-Identifier: Apache-2.0 */
/* Certificates and keys of the settings: given as a path, as PEM, or as base64
 * of PEM; always kept as PEM text, and the path beside it.  Each is read and
 * checked here, so that a bad one stops `start` and `reload` and not a worker. */
#include "net/tls.h"
#include "settings/priv.h"

#define CERT_FILE_MAX ((size_t)4 << 20)

/* What a value stands for. */
struct pem {
	str text; /* PEM */
	str path; /* unset: it came as a value */
};

/* A key that was given as a value must not come back in a message. */
static str shown(const struct pem *pem, str value, bool is_key)
{
	if (pem->path.s)
		return pem->path;
	return is_key && (value.n > 64 || str_find_str(value, STR("-----")) >= 0) ? STR("******")
										  : value;
}

/* The text behind a value, checked by `check`; an error has Kong's words. */
static bool load_pem(struct loading *l, const char *property, str value, bool is_key,
		     struct pem *ret)
{
	struct pem pem = { .text = value };
	struct err *e = NULL;

	if (file_exists(l->a, value)) {
		pem.path = path_absolute(l->a, value);
		e = file_read(l->a, str_z(l->a, pem.path), CERT_FILE_MAX, &pem.text);
	} else if (base64_decode(l->a, value, &pem.text) && pem.text.n == 0) {
		pem.text = value;
	}
	if (!e)
		e = is_key ? tls_check_key(pem.text) : tls_check_certificate(pem.text);
	if (e) {
		str name = shown(&pem, value, is_key);

		loading_fail(l, err_field(err_in(e, __FILE__, __LINE__,
						 "%s: failed loading %s from " STRF, property,
						 is_key ? "key" : "certificate", STRV(name)),
					  "%s", property));
		return false;
	}
	*ret = pem;
	return true;
}

/* A certificate, its key, and that they belong together. */
static bool load_pair(struct loading *l, const char *cert_name, const char *key_name, str cert,
		      str key, struct setting_cert *ret)
{
	struct pem cert_pem, key_pem;
	struct tls_cert *checked CLEANUP(tls_cert_drop) = NULL;
	struct err *e;

	if (!load_pem(l, cert_name, cert, false, &cert_pem) ||
	    !load_pem(l, key_name, key, true, &key_pem))
		return false;
	e = tls_cert_new(cert_pem.text, key_pem.text, &checked);
	if (e) {
		loading_fail(l, err_field(err_in(e, __FILE__, __LINE__, "%s does not fit %s",
						 key_name, cert_name),
					  "%s", key_name));
		return false;
	}
	*ret = (struct setting_cert){ .cert = cert_pem.text,
				      .key = key_pem.text,
				      .cert_path = cert_pem.path,
				      .key_path = key_pem.path };
	return true;
}

/* ---- the listeners' ---------------------------------------------------------------------- */

/* Puts absolute paths where paths were given, as Kong does. */
static void put_paths(struct loading *l, const char *cert_name, const char *key_name,
		      const struct setting_certs *certs)
{
	strs cert = { NEWS(l->a, str, certs->n), certs->n };
	strs key = { NEWS(l->a, str, certs->n), certs->n };

	for (size_t i = 0; i < certs->n; i++) {
		cert.v[i] = certs->v[i].cert_path.s ? certs->v[i].cert_path : certs->v[i].cert;
		key.v[i] = certs->v[i].key_path.s ? certs->v[i].key_path : certs->v[i].key;
	}
	if (certs->n == 0)
		return;
	loading_put(l, cert_name, str_join(l->a, cert, STR(",")));
	loading_put(l, key_name, str_join(l->a, key, STR(",")));
}

static void load_list(struct loading *l, const char *prefix, strs certs, strs keys,
		      struct setting_certs *ret)
{
	const char *cert_name = str_fmt(l->a, "%sssl_cert", prefix).s;
	const char *key_name = str_fmt(l->a, "%sssl_cert_key", prefix).s;
	bool good = true;

	if (certs.n > 0 && keys.n == 0) {
		BAD(l, key_name, "%s must be specified", key_name);
		return;
	}
	if (keys.n > 0 && certs.n == 0) {
		BAD(l, cert_name, "%s must be specified", cert_name);
		return;
	}
	if (certs.n != keys.n) {
		BAD(l, cert_name, "%s was specified %zu times while %s was specified %zu times",
		    cert_name, certs.n, key_name, keys.n);
		return;
	}
	ret->v = NEWS(l->a, struct setting_cert, certs.n);
	ret->n = certs.n;
	for (size_t i = 0; i < certs.n; i++)
		good &= load_pair(l, cert_name, key_name, certs.v[i], keys.v[i], &ret->v[i]);
	if (good)
		put_paths(l, cert_name, key_name, ret);
}

/* A pair that may be there or not: client_ssl_cert, cluster_cert. */
static void load_single(struct loading *l, const char *cert_name, const char *key_name, str cert,
			str key, struct setting_certs *ret)
{
	struct setting_cert *pair = NEW(l->a, struct setting_cert);

	if (cert.s && !key.s)
		BAD(l, key_name, "%s must be specified", key_name);
	if (key.s && !cert.s)
		BAD(l, cert_name, "%s must be specified", cert_name);
	if (!cert.s || !key.s || !load_pair(l, cert_name, key_name, cert, key, pair))
		return;
	*ret = (struct setting_certs){ pair, 1 };
	put_paths(l, cert_name, key_name, ret);
}

/* ---- trusted CAs, DH parameters -------------------------------------------------------------- */

static const char *const system_bundles[] = {
	"/etc/ssl/certs/ca-certificates.crt",
	"/etc/pki/tls/certs/ca-bundle.crt",
	"/etc/ssl/ca-bundle.pem",
	"/etc/pki/tls/cacert.pem",
	"/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
	"/etc/ssl/cert.pem",
};

static str system_bundle(struct loading *l)
{
	for (size_t i = 0; i < COUNT(system_bundles); i++) {
		if (file_exists(l->a, str_of(system_bundles[i])))
			return str_of(system_bundles[i]);
	}
	return STR_NONE;
}

static void load_trusted(struct loading *l)
{
	const strs *list = &l->s->lua_ssl_trusted_certificate;
	strs pems = { NEWS(l->a, str, list->n + 1), 0 };
	strs names = { NEWS(l->a, str, list->n + 1), 0 };
	strs paths = { NEWS(l->a, str, list->n + 1), 0 };

	for (size_t i = 0; i < list->n; i++) {
		str value = list->v[i];
		struct pem pem;

		if (str_is(value, "system"))
			value = system_bundle(l);
		if (!value.s) {
			loading_note(l, "lua_ssl_trusted_certificate: unable to locate system "
					"bundle, specify a file when TLS connections are to be "
					"verified");
			continue;
		}
		if (!load_pem(l, "lua_ssl_trusted_certificate", value, false, &pem))
			continue;
		pems.v[pems.n++] = pem.text;
		names.v[names.n++] = pem.path.s ? pem.path : pem.text;
		paths.v[paths.n++] = pem.path;
	}
	l->s->trusted_ca_pems = pems;
	l->s->trusted_ca_paths = paths;
	if (!l->first)
		loading_put(l, "lua_ssl_trusted_certificate", str_join(l->a, names, STR(",")));
}

/* "ffdhe2048" and its like, which the TLS library knows by name. */
static bool is_dh_group(str name)
{
	static const char *const groups[] = { "ffdhe2048", "ffdhe3072", "ffdhe4096", "ffdhe6144",
					      "ffdhe8192" };

	for (size_t i = 0; i < COUNT(groups); i++) {
		if (str_is(name, groups[i]))
			return true;
	}
	return false;
}

/* PEM; unset for a group by name, which the library chooses well by itself, and
 * unset with an error when it is neither. */
static str load_dhparam(struct loading *l, const char *property, str value)
{
	str text = value;

	if (!value.s || is_dh_group(value))
		return STR_NONE;
	if (file_exists(l->a, value)) {
		struct err *e = file_read(l->a, str_z(l->a, value), CERT_FILE_MAX, &text);

		if (e)
			loading_fail(l, err_in(e, __FILE__, __LINE__, "%s", property));
	} else if (!base64_decode(l->a, value, &text)) {
		text = value;
	}
	if (str_find_str(text, STR("-----BEGIN DH PARAMETERS-----")) >= 0)
		return text;
	BAD(l, property, "%s: failed loading certificate from " STRF, property, STRV(value));
	return STR_NONE;
}

void load_certificates(struct loading *l)
{
	struct settings *s = l->s;
	struct pem pem;

	if (s->proxy_ssl_enabled || s->stream_proxy_ssl_enabled)
		load_list(l, "", s->ssl_cert, s->ssl_cert_key, &s->ssl_certs);
	if (s->admin_ssl_enabled)
		load_list(l, "admin_", s->admin_ssl_cert, s->admin_ssl_cert_key,
			  &s->admin_ssl_certs);
	if (s->status_ssl_enabled)
		load_list(l, "status_", s->status_ssl_cert, s->status_ssl_cert_key,
			  &s->status_ssl_certs);
	if (s->client_ssl)
		load_single(l, "client_ssl_cert", "client_ssl_cert_key", s->client_ssl_cert,
			    s->client_ssl_cert_key, &s->client_ssl_certs);
	if (s->role_kind != ROLE_TRADITIONAL) {
		load_single(l, "cluster_cert", "cluster_cert_key", s->cluster_cert,
			    s->cluster_cert_key, &s->cluster_certs);
		if (s->cluster_ca_cert.s &&
		    load_pem(l, "cluster_ca_cert", s->cluster_ca_cert, false, &pem))
			s->cluster_ca_pem = pem.text;
	}
	load_trusted(l);
	s->http_tls.dhparam = load_dhparam(l, "ssl_dhparam", s->http_tls.dhparam);
	s->stream_tls.dhparam = load_dhparam(l, "nginx_stream_ssl_dhparam", s->stream_tls.dhparam);
}
