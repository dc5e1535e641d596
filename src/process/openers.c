/* SPDX-License-Identifier: Apache-2.0 */
#include "process/openers.h"

/* The text of a format by its name. */
static struct err *format_text(const struct settings *s, str name, str *ret)
{
	if (!name.n || str_is(name, "combined")) {
		*ret = str_of(access_format_combined);
		return NULL;
	}
	for (size_t i = 0; i < s->log_formats.n; i++) {
		if (str_eq(s->log_formats.v[i].name, name)) {
			*ret = s->log_formats.v[i].value;
			return NULL;
		}
	}
	if (!str_is(name, "basic"))
		return err_hint(FAIL(ERR_INVALID, "unknown log format \"" STRF "\"", STRV(name)),
				"Define it with nginx_http_log_format = " STRF " '...'.",
				STRV(name));
	*ret = str_of(access_format_basic);
	return NULL;
}

struct err *open_access_log(struct arena *a, const struct settings *s, const char *property,
			    const struct setting_log *l, int loops, struct access_log **ret)
{
	struct access_format *format;
	str text;

	if (!l->path.n) {
		*ret = NULL;
		return NULL;
	}
	TRY(format_text(s, l->format, &text), "%s", property);
	TRY(access_format_new(a, text, &format), "%s", property);
	TRY(access_log_open(str_z(a, l->path), format, loops, ret), "%s", property);
	return NULL;
}

struct err *open_server_tls(const struct settings *s, enum subsystem subsystem,
			    const char *property, const struct setting_certs *certs,
			    tls_pick_fn *pick, tls_ask_fn *ask, bool has_h2,
			    struct tls_context **ret)
{
	bool is_http = subsystem == SUBSYSTEM_HTTP;
	const struct tls_tuning *t = is_http ? &s->http_tls : &s->stream_tls;
	str names[] = { STR_INIT("h2"), STR_INIT("http/1.1") };
	struct tls_cert *pair[2] = { NULL, NULL };
	struct tls_server_options o = {
		.protocols = t->protocols,
		.ciphers = t->ciphers,
		.prefer_server_ciphers = t->prefer_server_ciphers,
		.session_tickets = t->session_tickets,
		.session_timeout_s = (int)(t->session_timeout_ms / 1000),
		.dhparam_pem = t->dhparam,
		.alpn = { has_h2 ? names : names + 1, has_h2 ? 2 : is_http },
		.pick = pick,
		.ask = ask,
	};
	struct err *e = NULL;

	for (size_t i = 0; i < certs->n && i < COUNT(pair) && !e; i++)
		e = tls_cert_new(certs->v[i].cert, certs->v[i].key, &pair[i]);
	memcpy(o.certs, pair, sizeof(pair));
	if (!e)
		e = tls_context_server(&o, ret);
	tls_cert_drop(&pair[0]);
	tls_cert_drop(&pair[1]);
	return e ? err_in(e, __FILE__, __LINE__, "%s", property) : NULL;
}
