/* SPDX-License-Identifier: Apache-2.0 */
/* What goes wrong between us and PostgreSQL, in the words of Kong's page
 * "Troubleshoot PostgreSQL TLS", and the property to look at.
 *
 * libpq reports a failed connection as text, one or more lines for each address:
 *
 *	connection to server at "::1", port 5432 failed: FATAL:  28P01: password ...
 *	DETAIL:  ...
 *
 * Its place is taken off, the code moves into err->state, and the first row that
 * knows the rest says what to do. */
#include "store/postgres/priv.h"

#define TEXT_MAX 2000

/* ---- hints ------------------------------------------------------------------------------ */

/* In hints @ stands for pg_ or pg_ro_. */
struct known {
	const char *needle; /* in what was said, case ignored */
	const char *text;   /* instead of it; NULL: as it was said */
	const char *hint;
	enum err_code code;
};

/* clang-format off */
static const struct known knowns[] = {
	{ .needle = "server does not support SSL", .code = ERR_REFUSED,
	  .text = "the server does not support SSL connections",
	  .hint = "@ssl_required or @ssl_verify forbids going on in clear: set ssl = on in the server's postgresql.conf, or turn them off." },
	{ .needle = "error response during SSL exchange", .code = ERR_REFUSED,
	  .text = "the server does not support SSL connections: it answered the SSL request with an error",
	  .hint = "Look at the server's log, and at @ssl." },
	{ .needle = "received unencrypted data after SSL response", .code = ERR_REFUSED,
	  .hint = "Somebody between here and the server injects bytes: look at @host and the way there." },
	{ .needle = "chain too long", .code = ERR_REFUSED,
	  .hint = "Raise lua_ssl_verify_depth, the number of intermediate certificates allowed." },
	{ .needle = "certificate verify failed", .code = ERR_REFUSED,
	  .hint = "@ssl_verify is on: lua_ssl_trusted_certificate must hold the CA that signed the server's certificate; pg_ssl_crl may revoke it." },
	{ .needle = "does not match host name", .code = ERR_REFUSED,
	  .hint = "pg_ssl_verify_host is on: the server's certificate must name @host." },
	{ .needle = "certificate revoked", .code = ERR_REFUSED,
	  .hint = "The server's ssl_crl_file revokes pg_ssl_cert." },
	{ .needle = "certificate expired", .code = ERR_REFUSED,
	  .hint = "The server says pg_ssl_cert is out of date." },
	{ .needle = "unknown ca", .code = ERR_REFUSED,
	  .hint = "The server's ssl_ca_file does not know the CA that signed pg_ssl_cert; append intermediates to pg_ssl_cert." },
	{ .needle = "bad certificate", .code = ERR_REFUSED,
	  .hint = "The server refuses pg_ssl_cert: see its log." },
	{ .needle = "no TLS 1.1", .code = ERR_REFUSED,
	  .hint = "Set @ssl_version = tlsv1_2, or lower OpenSSL's policy: CipherString = DEFAULT@SECLEVEL=0 in openssl.cnf." },
	{ .needle = "unsupported protocol", .code = ERR_REFUSED,
	  .hint = "@ssl_version is no TLS version of the server, see its ssl_min_protocol_version and ssl_max_protocol_version." },
	{ .needle = "protocol version", .code = ERR_REFUSED,
	  .hint = "@ssl_version is no TLS version of the server, see its ssl_min_protocol_version and ssl_max_protocol_version." },
	{ .needle = "no protocols available", .code = ERR_REFUSED,
	  .hint = "OpenSSL's policy on this machine leaves nothing of @ssl_version." },
	{ .needle = "connection requires a valid client certificate", .code = ERR_REFUSED,
	  .hint = "Set pg_ssl_cert and pg_ssl_cert_key, with @ssl = on." },
	{ .needle = "certificate authentication failed", .code = ERR_REFUSED,
	  .hint = "The common name of pg_ssl_cert must be @user, or be mapped to it in the server's pg_ident.conf." },
	{ .needle = "authentication failed", .code = ERR_REFUSED,
	  .hint = "Look at @user and @password, at pg_ssl_cert, and at the server's pg_hba.conf." },
	{ .needle = "no password supplied", .code = ERR_REFUSED,
	  .hint = "Set @password." },
	{ .needle = "SSL encryption", .code = ERR_REFUSED,
	  .hint = "The server's pg_hba.conf has no line for this: look at @ssl, @user, @database." },
	{ .needle = "no encryption", .code = ERR_REFUSED,
	  .hint = "The server's pg_hba.conf has no line for connections in clear: set @ssl = on." },
	{ .needle = "no pg_hba.conf entry", .code = ERR_REFUSED,
	  .hint = "The server's pg_hba.conf has no line for this: look at @ssl, @user, @database." },
	{ .needle = "database \"", .code = ERR_REFUSED,
	  .hint = "Look at @database." },
	{ .needle = "role \"", .code = ERR_REFUSED,
	  .hint = "Look at @user." },
	{ .needle = "connection refused", .code = ERR_REFUSED,
	  .hint = "Is PostgreSQL running there? Look at @host and @port." },
	{ .needle = "name resolution", .code = ERR_REFUSED,
	  .hint = "Look at @host and dns_resolver." },
	{ .needle = "timeout", .code = ERR_TIMEOUT,
	  .hint = "The server did not answer in time: look at @host, @port and @timeout." },
	{ .needle = "", .code = ERR_REFUSED,
	  .hint = "Look at @host and @port, and at the server's log." },
};
/* clang-format on */

static bool has_words(str text, const char *needle)
{
	str want = str_of(needle);

	for (size_t i = 0; i + want.n <= text.n; i++) {
		if (str_eq_ci(str_part(text, i, i + want.n), want))
			return true;
	}
	return false;
}

static str write_out(struct arena *a, const char *hint, bool is_ro)
{
	str rest = str_of(hint), out = STR(""), piece;
	bool is_first = true;

	while (str_next(&rest, '@', &piece)) {
		bool is_property = !is_first && !str_starts(piece, STR("SECLEVEL"));

		if (!is_first)
			out = str_cat(a, out,
				      !is_property ? STR("@")
				      : is_ro      ? STR("pg_ro_")
						   : STR("pg_"));
		out = str_cat(a, out, piece);
		is_first = false;
	}
	return out;
}

static struct err *judge(struct arena *a, str text, const char *state, bool is_ro)
{
	const struct known *k = knowns;
	struct err *e;

	while (!has_words(text, k->needle))
		k++;
	e = err_state(FAIL(k->code, STRF, STRV(k->text ? str_of(k->text) : text)), state);
	return err_hint(e, STRF, STRV(write_out(a, k->hint, is_ro)));
}

/* ---- libpq's layout ---------------------------------------------------------------------- */

/* Without "connection to server at ..., port N failed: ". */
static str without_place(str line)
{
	ptrdiff_t at;

	if (!str_starts(line, STR("connection to server ")))
		return line;
	at = str_find_str(line, STR(" failed: "));
	return at < 0 ? line : str_from(line, (size_t)at + strlen(" failed: "));
}

/* "FATAL:  28P01: text" into its parts; any other line is text alone. */
static str take_state(struct arena *a, str line, char state[6])
{
	static const char *const severities[] = { "FATAL:  ", "ERROR:  ", "PANIC:  " };

	for (size_t i = 0; i < COUNT(severities); i++) {
		size_t n = strlen(severities[i]);

		if (!str_starts(line, str_of(severities[i])) || line.n < n + 7 ||
		    line.s[n + 5] != ':')
			continue;
		memcpy(state, line.s + n, 5);
		state[5] = '\0';
		return str_fmt(a, "%.6s " STRF, severities[i], STRV(str_from(line, n + 7)));
	}
	return line;
}

/* What is said of where in the server's sources it happened, and libpq's questions. */
static bool is_noise(str line)
{
	return line.n == 0 || str_starts(line, STR("LOCATION:")) ||
	       str_starts(line, STR("Is the server running")) ||
	       str_starts(line, STR("This may indicate that the server does not support"));
}

static str lower_first(struct arena *a, str text)
{
	bool is_word = text.n > 1 && text.s[0] >= 'A' && text.s[0] <= 'Z' && text.s[1] >= 'a' &&
		       text.s[1] <= 'z';

	return is_word ? str_cat(a, str_lower(a, str_part(text, 0, 1)), str_from(text, 1)) : text;
}

struct err *pg_connect_error(const char *said, bool is_ro)
{
	struct arena *a CLEANUP(arena_drop) = arena_new();
	str rest = str_of(said ? said : ""), line, text = STR("");
	char state[6] = "";

	while (str_next(&rest, '\n', &line)) {
		str piece = take_state(a, without_place(str_trim(line)), state);

		if (is_noise(str_trim(piece)))
			continue;
		piece = lower_first(a, str_trim(piece));
		if (text.n + piece.n > TEXT_MAX || str_find_str(text, piece) >= 0)
			continue; /* another address, the same story */
		text = text.n ? str_fmt(a, STRF "; " STRF, STRV(text), STRV(piece)) : piece;
	}
	return judge(a, text.n ? text : STR("the connection failed without a word"), state, is_ro);
}

struct err *pg_own_error(enum err_code code, bool is_ro, const char *text)
{
	struct arena *a CLEANUP(arena_drop) = arena_new();
	struct err *e = judge(a, str_of(text), NULL, is_ro);

	e->code = code;
	return e;
}
