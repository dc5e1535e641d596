/* SPDX-License-Identifier: Apache-2.0 */
/* What libpq says, and what is told of it. */
#include "store/postgres/priv.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants the four above first */
#include <cmocka.h>

#define AT "connection to server at \"127.0.0.1\", port 5432 failed: "

/* clang-format off */
static const struct {
	const char *said, *text, *state, *hint; /* hint: a part of it */
	enum err_code code;
} rows[] = {
	{ AT "server does not support SSL, but SSL was required\n",
	  "the server does not support SSL connections", NULL, "pg_ssl_required", ERR_REFUSED },
	{ AT "SSL error: certificate verify failed\n",
	  "SSL error: certificate verify failed", NULL, "lua_ssl_trusted_certificate", ERR_REFUSED },
	{ AT "SSL error: tlsv1 alert protocol version\nThis may indicate that the server does not support any SSL protocol version between TLSv1.3 and TLSv1.3.\n",
	  "SSL error: tlsv1 alert protocol version", NULL, "pg_ssl_version", ERR_REFUSED },
	{ AT "SSL error: unsupported protocol\n",
	  "SSL error: unsupported protocol", NULL, "pg_ssl_version", ERR_REFUSED },
	{ AT "SSL error: tlsv1 alert unknown ca\n",
	  "SSL error: tlsv1 alert unknown ca", NULL, "pg_ssl_cert", ERR_REFUSED },
	{ AT "FATAL:  28000: connection requires a valid client certificate\nLOCATION:  ClientAuthentication, auth.c:400\n",
	  "FATAL: connection requires a valid client certificate", "28000", "pg_ssl_cert_key", ERR_REFUSED },
	{ AT "FATAL:  28000: certificate authentication failed for user \"kong\"\n",
	  "FATAL: certificate authentication failed for user \"kong\"", "28000", "common name", ERR_REFUSED },
	{ AT "FATAL:  28P01: password authentication failed for user \"kong\"\nLOCATION:  auth_failed, auth.c:335\n",
	  "FATAL: password authentication failed for user \"kong\"", "28P01", "pg_password", ERR_REFUSED },
	{ AT "FATAL:  3D000: database \"x\" does not exist\n",
	  "FATAL: database \"x\" does not exist", "3D000", "pg_database", ERR_REFUSED },
	{ AT "FATAL:  28000: no pg_hba.conf entry for host \"127.0.0.1\", user \"kong\", database \"kong\", no encryption\n",
	  "FATAL: no pg_hba.conf entry for host \"127.0.0.1\", user \"kong\", database \"kong\", no encryption", "28000", "pg_ssl = on", ERR_REFUSED },
	{ AT "Connection refused\n\tIs the server running on that host and accepting TCP/IP connections?\n",
	  "connection refused", NULL, "pg_port", ERR_REFUSED },
	{ "connection to server at \"::1\", port 1 failed: Connection refused\n" AT "Connection refused\n",
	  "connection refused", NULL, "pg_host", ERR_REFUSED },
	{ AT "received unencrypted data after SSL response\n",
	  "received unencrypted data after SSL response", NULL, "injects", ERR_REFUSED },
	{ "server closed the connection unexpectedly\n\tThis probably means the server terminated abnormally\n\tbefore or while processing the request.\n",
	  "server closed the connection unexpectedly; this probably means the server terminated abnormally; before or while processing the request.", NULL, "log", ERR_REFUSED },
	{ "", "the connection failed without a word", NULL, "pg_host", ERR_REFUSED },
	{ NULL, "the connection failed without a word", NULL, "pg_host", ERR_REFUSED },
};
/* clang-format on */

static void failures_are_told_in_the_pages_words(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct err *e = pg_connect_error(rows[i].said, false);

		assert_string_equal(e->text, rows[i].text);
		assert_int_equal(e->code, rows[i].code);
		if (rows[i].state)
			assert_string_equal(e->state, rows[i].state);
		else
			assert_null(e->state);
		if (!strstr(e->hint, rows[i].hint))
			fail_msg("%s: the hint has no %s: %s", rows[i].text, rows[i].hint, e->hint);
		err_forget();
	}
}

static void hints_name_the_replicas_properties(void **state)
{
	struct err *e = pg_connect_error(AT "Connection refused\n", true);

	(void)state;
	assert_non_null(strstr(e->hint, "pg_ro_host and pg_ro_port"));
	e = pg_own_error(ERR_TIMEOUT, true, "timeout");
	assert_int_equal(e->code, ERR_TIMEOUT);
	assert_non_null(strstr(e->hint, "pg_ro_timeout"));
	e = pg_own_error(ERR_INVALID, false,
			 "unsupported protocol: OpenSSL's policy here has no TLS 1.1");
	assert_non_null(strstr(e->hint, "DEFAULT@SECLEVEL=0"));
	assert_non_null(strstr(e->hint, "pg_ssl_version"));
	err_forget();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(failures_are_told_in_the_pages_words),
		cmocka_unit_test(hints_name_the_replicas_properties),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
