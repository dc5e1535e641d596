/* SPDX-License-Identifier: Apache-2.0 */
/* What kong.conf, the environment and the command line come to. */
#include "base/buf.h"
#include "base/json.h"
#include "net/tls.h"
#include "settings/priv.h"
#include <fcntl.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
/* cmocka wants the four above first */
#include <cmocka.h>

static struct arena *a; /* of the test that runs */
static char folder[64];

static int begin(void **state)
{
	(void)state;
	a = arena_new();
	snprintf(folder, sizeof(folder), "/tmp/test_settings.XXXXXX");
	assert_non_null(mkdtemp(folder));
	return 0;
}

static int end(void **state)
{
	char command[128];

	(void)state;
	snprintf(command, sizeof(command), "rm -rf %s", folder);
	assert_int_equal(system(command), 0);
	arena_drop(&a);
	err_forget();
	return 0;
}

static str put_file(const char *name, str text)
{
	str path = str_fmt(a, "%s/%s", folder, name);
	FILE *f = fopen(path.s, "w");

	assert_non_null(f);
	assert_int_equal(fwrite(text.s, 1, text.n, f), text.n);
	fclose(f);
	return path;
}

static struct err *load(const char *conf, const char *const *environ_, struct settings **ret)
{
	static const char *const nowhere[] = { NULL };
	struct settings_sources src = { .search = nowhere };
	char *env[16] = { NULL };

	if (conf)
		src.file = put_file("kong.conf", str_of(conf));
	for (size_t i = 0; environ_ && environ_[i]; i++)
		env[i] = str_z(a, str_of(environ_[i]));
	src.environ_ = env;
	return settings_load(a, &src, ret);
}

static struct settings *loaded(const char *conf, const char *const *environ_)
{
	struct settings *s = NULL;
	struct err *e = load(conf, environ_, &s);

	if (e)
		fail_msg("%s", err_line(a, e).s);
	return s;
}

#define ENV(...)              ((const char *const[]){ __VA_ARGS__, NULL })
#define assert_str(got, want) assert_string_equal(str_z(a, (got)), (want))

/* ---- rows ---------------------------------------------------------------------------------- */

static void rows_are_complete_and_their_defaults_good(void **state)
{
	struct map seen = { 0 };
	size_t n = 0;

	(void)state;
	for (const struct settings_group *const *g = settings_groups; *g; g++) {
		row_for_each(*g, row)
		{
			void **slot = map_put(a, &seen, str_of(row->name));

			assert_null(*slot);
			*slot = (void *)(uintptr_t)1;
			assert_non_null(row->help);
			assert_int_equal(row->help[strlen(row->help) - 1], '.');
			if (row->inherits)
				assert_null(row->def);
			n++;
		}
	}
	assert_true(n >= 321); /* Kong's 318 and our own */
	loaded(NULL, NULL);
}

static void defaults_are_kongs(void **state)
{
	struct settings *s = loaded(NULL, NULL);

	(void)state;
	assert_str(s->prefix, "/usr/local/kong");
	assert_int_equal(s->log_level_kind, LOG_NOTICE_);
	assert_int_equal(s->database_kind, DATABASE_SQLITE);
	assert_int_equal(s->proxy_listeners.n, 2);
	assert_int_equal(s->admin_listeners.n, 2);
	assert_int_equal(s->status_listeners.n, 0);
	assert_int_equal(s->pg_port, 5432);
	assert_int_equal(s->pg_pool_size, FIELD_UNSET_INT);
	assert_true(isnan(s->db_cache_neg_ttl));
	assert_int_equal(s->proxy_http.client_max_body, 0);
	assert_int_equal(s->admin_http.client_max_body, 10 << 20);
	assert_int_equal(s->proxy_http.client_body_buffer, 8192);
	assert_int_equal(s->proxy_http.keepalive_timeout, 75000);
	assert_int_equal(s->http_tls.protocols, TLS_1_2 | TLS_1_3);
	assert_int_equal(s->http_tls.session_timeout_ms, 86400000);
	assert_str(s->ssl_dhparam, "ffdhe2048");
	assert_null(s->http_tls.dhparam.s);
	assert_int_equal(s->lua_ssl_versions, TLS_1_1 | TLS_1_2 | TLS_1_3);
	assert_str(s->client_ip_header, "X-Real-IP");
	assert_false(s->is_client_ip_recursive);
	assert_true(s->is_daemon);
	assert_str(s->proxy_access.path, "/usr/local/kong/logs/access.log");
	assert_null(s->status_access.path.s);
	assert_str(s->stream_access.format, "basic");
	assert_true(s->anonymous_reports);
	assert_int_equal(s->loaded_plugins.n, 37);
	assert_int_equal(s->notes.n, 0);
}

/* ---- syntax and precedence ------------------------------------------------------------------- */

static void comments_are_stripped(void **state)
{
	struct settings *s = loaded("\xef\xbb\xbf# all of it\n"
				    "  log_level = debug   # loud\r\n"
				    "; this too\n"
				    "pg_password = a\\#b#c\n"
				    "pg_user=kong\\#1 # x\n"
				    "pg_schema =   # nothing\n"
				    "pg_host = a = b\n",
				    NULL);

	(void)state;
	assert_int_equal(s->log_level_kind, LOG_DEBUG_);
	assert_str(s->pg_password, "a#b");
	assert_str(s->pg_user, "kong#1");
	assert_null(s->pg_schema.s);
	assert_str(s->pg_host, "a = b");
}

static void a_line_without_a_name_is_told_by_number(void **state)
{
	struct settings *s;
	struct err *e = load("log_level = info\nrubbish\npg_port = 1\n= x\n", NULL, &s);

	(void)state;
	assert_non_null(e);
	assert_true(str_ends(err_line(a, e), STR("kong.conf:2: expected 'name = value'")));
	assert_true(str_ends(err_line(a, e->next), STR("kong.conf:4: expected 'name = value'")));
	assert_null(e->next->next);
}

static void the_later_source_wins(void **state)
{
	static const char *const nowhere[] = { NULL };
	struct setting_pair cli[] = { { STR("log_level"), STR("crit") } };
	char *env[] = { "KONG_LOG_LEVEL=warn", "KONG_PG_HOST=env.example", "kong_pg_port=9", NULL };
	struct settings_sources src = {
		.search = nowhere,
		.environ_ = env,
		.file = put_file("kong.conf", STR("log_level = info\npg_host = file.example\n"
						  "pg_database = there\n")),
		.overrides = { cli, 1 },
	};
	struct settings *s;

	(void)state;
	assert_null(settings_load(a, &src, &s));
	assert_str(s->log_level, "crit");
	assert_str(s->pg_host, "env.example");
	assert_str(s->pg_database, "there");
	assert_int_equal(s->pg_port, 5432);
	assert_true(settings_is_set(s, STR("pg_database")));
	assert_false(settings_is_set(s, STR("pg_port")));
}

static void a_file_that_is_not_there_is_an_error(void **state)
{
	struct settings_sources src = { .file = STR("/no/such/kong.conf") };
	struct settings *s = NULL;
	struct err *e = settings_load(a, &src, &s);

	(void)state;
	assert_string_equal(err_line(a, e).s, "no file at: /no/such/kong.conf");
	assert_null(s);
}

static void the_first_file_of_the_search_is_read(void **state)
{
	const char *search[] = { "/no/such/kong.conf",
				 put_file("second.conf", STR("log_level=alert\n")).s, NULL };
	struct settings_sources src = { .search = search };
	struct settings *s;

	(void)state;
	assert_null(settings_load(a, &src, &s));
	assert_str(s->log_level, "alert");
	assert_str(s->conf_file, search[1]);
}

static void booleans_are_on_or_true_and_else_off(void **state)
{
	static const struct {
		const char *text;
		bool want;
	} cases[] = { { "on", true },   { "true", true }, { "off", false }, { "false", false },
		      { "yes", false }, { "1", false },   { "", false } };

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct settings *s = loaded(str_fmt(a, "pg_ssl = %s\n", cases[i].text).s, NULL);

		assert_int_equal(s->pg_ssl, cases[i].want);
	}
}

static void aliases_fill_what_is_unset(void **state)
{
	struct settings *s = loaded("real_ip_header = X-Forwarded-For\nreal_ip_recursive = on\n"
				    "nginx_worker_processes = 3\nrouter_consistency = strict\n"
				    "nginx_user = nobody\nopentelemetry_tracing = request\n",
				    NULL);

	(void)state;
	assert_str(s->client_ip_header, "X-Forwarded-For");
	assert_true(s->is_client_ip_recursive);
	assert_int_equal(s->worker_processes, 3);
	assert_true(s->is_worker_consistency_strict);
	assert_str(s->tracing_instrumentations.v[0], "request");
	assert_null(s->user.s);

	s = loaded("real_ip_header = X-Forwarded-For\nnginx_proxy_real_ip_header = CF-IP\n", NULL);
	assert_str(s->client_ip_header, "CF-IP");
}

static void a_replica_inherits_what_is_unset(void **state)
{
	struct settings *s = loaded("pg_ssl = on\npg_user = me\npg_ro_host = replica\n"
				    "pg_ro_port = 99\npg_timeout = 70\npg_password = p\n",
				    NULL);

	(void)state;
	assert_true(s->pg_ro_ssl);
	assert_str(s->pg_ro_user, "me");
	assert_str(s->pg_ro_password, "p");
	assert_int_equal(s->pg_ro_port, 99);
	assert_int_equal(s->pg_ro_timeout, 70);
	assert_str(s->pg_ro_ssl_version, "tlsv1_2");
}

static void quotes_around_postgres_certificates_are_taken_off(void **state)
{
	struct settings *s =
		loaded("pg_ssl_cert = \"/a/b.crt\"\npg_ssl_cert_key = '/a/b.key'\n", NULL);

	(void)state;
	assert_str(s->pg_ssl_cert, "/a/b.crt");
	assert_str(s->pg_ssl_cert_key, "/a/b.key");
}

/* What a load says first; NULL when it went well. */
static const char *said(const char *conf)
{
	struct settings *s;
	struct err *e = load(conf, NULL, &s);

	return e ? err_line(a, e).s : NULL;
}

static void files_of_the_postgres_link_are_checked_with_the_settings(void **state)
{
	str cert, key, other, ignored;
	const char *conf;
	struct settings *s;

	(void)state;
	assert_null(tls_make_self_signed(a, TLS_KEY_EC_P256, STR("kong"), 1, &cert, &key));
	assert_null(tls_make_self_signed(a, TLS_KEY_EC_P256, STR("kong"), 1, &ignored, &other));
	put_file("c.crt", cert);
	put_file("c.key", key);
	conf = str_fmt(a, "pg_ssl = on\npg_ssl_cert = \"%s/c.crt\"\npg_ssl_cert_key = '%s/c.key'\n",
		       folder, folder)
		       .s;

	chmod(str_fmt(a, "%s/c.key", folder).s, 0644);
	assert_non_null(strstr(said(conf), "group or world access (mode 0644)"));
	chmod(str_fmt(a, "%s/c.key", folder).s, 0600);
	s = loaded(conf, NULL);
	assert_str(s->pg_client.key, str_z(a, key));
	put_file("c.key", other);
	assert_non_null(strstr(said(conf), "pg_ssl_cert_key"));
	put_file("c.key", STR("nothing"));
	assert_non_null(strstr(said(conf), "not a PEM key"));
	unlink(str_fmt(a, "%s/c.key", folder).s);
	assert_non_null(strstr(said(conf), "No such file"));
	assert_string_equal(said("pg_ssl = on\npg_ssl_cert = /none\n"),
			    "pg_ssl_cert_key: must be specified with pg_ssl_cert");
	/* the pair that is not used is not asked for */
	assert_null(said("pg_ssl = off\npg_ssl_cert = /none\npg_ssl_cert_key = /none\n"));
	assert_non_null(said("pg_ssl = off\npg_ssl_verify_host = on\n"));
	assert_non_null(
		strstr(said(str_fmt(a,
				    "pg_ssl = on\npg_ssl_verify = on\npg_ssl_crl = %s/c.crt\n"
				    "lua_ssl_trusted_certificate = %s/c.crt\n",
				    folder, folder)
				    .s),
		       "not a PEM revocation list"));
}

static void postgres_is_chosen_by_its_properties(void **state)
{
	(void)state;
	assert_int_equal(loaded("pg_host = db\n", NULL)->database_kind, DATABASE_POSTGRES);
	assert_int_equal(loaded("pg_host = db\ndatabase = off\n", NULL)->database_kind,
			 DATABASE_OFF);
	assert_int_equal(loaded(NULL, ENV("KONG_PG_USER=x"))->database_kind, DATABASE_POSTGRES);
	assert_int_equal(loaded("database = sqlite\n", NULL)->database_kind, DATABASE_SQLITE);
	assert_null(settings_servable(loaded("database = off\n", NULL)));
	assert_null(settings_servable(loaded("database = postgres\n", NULL)));
	assert_null(settings_servable(loaded("database = sqlite\n", NULL)));
}

/* ---- messages ----------------------------------------------------------------------------------- */

#define HTTP_USAGE                                                                                 \
	" must be of form: [off] | <ip>:<port> [ssl] [http2] [proxy_protocol] [deferred] [bind] "  \
	"[reuseport] [backlog=%d+] [ipv6only=on] [ipv6only=off] [so_keepalive=on] "                \
	"[so_keepalive=off] [so_keepalive=%w*:%w*:%d*], [... next entry ...]"
#define STREAM_USAGE                                                                               \
	" must be of form: [off] | <ip>:<port> [udp] [ssl] [proxy_protocol] [bind] [reuseport] "   \
	"[backlog=%d+] [ipv6only=on] [ipv6only=off] [so_keepalive=on] [so_keepalive=off] "         \
	"[so_keepalive=%w*:%w*:%d*], [... next entry ...]"

/* clang-format off */
static const struct {
	const char *conf, *error;
} messages[] = {
	{ "log_level = loud", "log_level has an invalid value: 'loud' (debug, info, notice, warn, error, crit, alert, emerg)" },
	{ "pg_port = abc", "pg_port is not a number: 'abc'" },
	{ "pg_timeout = 5s", "pg_timeout is not a number: '5s'" },
	{ "pg_port = 99999", "pg_port must be a port between 1 and 65535: '99999'" },
	{ "pg_max_concurrent_queries = -1", "pg_max_concurrent_queries must be greater than 0" },
	{ "pg_pool_size = 1.5", "pg_pool_size must be an integer greater than 0" },
	{ "pg_ro_backlog = -2", "pg_ro_backlog must be greater than 0" },
	{ "worker_state_update_frequency = 0", "worker_state_update_frequency must be greater than 0" },
	{ "cluster_data_plane_purge_delay = 59", "cluster_data_plane_purge_delay must be 60 or greater" },
	{ "cluster_max_payload = 4194303", "cluster_max_payload must be 4194304 (4MB) or greater" },
	{ "upstream_keepalive_pool_size = -1", "upstream_keepalive_pool_size must be 0 or greater" },
	{ "upstream_keepalive_max_requests = -1", "upstream_keepalive_max_requests must be 0 or greater" },
	{ "upstream_keepalive_idle_timeout = -1", "upstream_keepalive_idle_timeout must be 0 or greater" },
	{ "tracing_sampling_rate = 1.1", "tracing_sampling_rate must be between 0 and 1" },
	{ "tracing_instrumentations = lua", "invalid tracing type: lua" },
	{ "tracing_instrumentations = request, off", "invalid tracing types: off, other types are mutually exclusive" },
	{ "port_maps = 80", "invalid port mapping (`port_maps`): 80" },
	{ "port_maps = 80:8000, 0:1", "invalid port mapping (`port_maps`): 0:1" },
	{ "headers = server_tokens, X-Foo", "headers: invalid entry 'X-Foo'" },
	{ "dns_resolver = 1.2.3.4:53, ns.example", "dns_resolver must be a comma separated list in the form of IPv4/6 or IPv4/6:port, got 'ns.example'" },
	{ "dns_hostsfile = /no/such", "dns_hostsfile: file does not exist" },
	{ "dns_order = A, XX", "dns_order: invalid entry 'XX'" },
	{ "trusted_ips = 10.0.0.0/8, host", "trusted_ips must be a comma separated list in the form of IPv4 or IPv6 address or CIDR block or 'unix:', got 'host'" },
	{ "ssl_cipher_suite = best", "Undefined cipher suite best" },
	{ "proxy_listen = 127.0.0.1", "proxy_listen" HTTP_USAGE },
	{ "admin_listen = 127.0.0.1:80 udp", "admin_listen" HTTP_USAGE },
	{ "stream_listen = 127.0.0.1:80 http2", "stream_listen" STREAM_USAGE },
	{ "status_listen = [::1:80", "status_listen" HTTP_USAGE },
	{ "proxy_server = example", "proxy_server missing scheme" },
	{ "proxy_server = ftp://example", "proxy_server only supports \"http\" and \"https\", got ftp" },
	{ "proxy_server = http://", "proxy_server missing host" },
	{ "proxy_server = http://x/?q", "fragments, query strings or parameters are meaningless in proxy configuration" },
	{ "role = data_plane\nproxy_listen = off\ndatabase = off\ncluster_cert = x\ncluster_cert_key = y", "proxy_listen must be specified when role = \"data_plane\"" },
	{ "role = data_plane\ndatabase = postgres\ncluster_cert = x\ncluster_cert_key = y", "only in-memory storage can be used when role = \"data_plane\"\nHint: set database = off in your kong.conf" },
	{ "role = control_plane\ndatabase = off\ncluster_cert = x\ncluster_cert_key = y", "in-memory storage can not be used when role = \"control_plane\"" },
	{ "role = control_plane\ndatabase = postgres", "cluster certificate and key must be provided to use Hybrid mode" },
	{ "database = cassandra", "database = cassandra is not supported (postgres, sqlite, off)" },
	{ "database = mysql", "database has an invalid value: 'mysql' (postgres, sqlite, off)" },
	{ "nginx_http_lua_shared_dict = mine", "nginx_http_lua_shared_dict has an invalid value: 'mine' (a name and a size such as mine 10m)" },
	{ "mem_cache_size = big", "mem_cache_size has an invalid value: 'big' (a size such as 8k or 10m)" },
	{ "nginx_http_client_max_body_size = 1x", "nginx_http_client_max_body_size has an invalid value: '1x' (a size such as 8k or 10m)" },
	{ "nginx_proxy_keepalive_timeout = often", "nginx_proxy_keepalive_timeout has an invalid value: 'often' (one or two times such as 75s)" },
	{ "nginx_worker_processes = many", "nginx_main_worker_processes has an invalid value: 'many' (a number or auto)" },
	{ "ssl_session_timeout = soon", "nginx_http_ssl_session_timeout has an invalid value: 'soon' (a time such as 60s or 1m)" },
	{ "ssl_cert = /no/such.crt", "ssl_cert_key must be specified" },
	{ "admin_ssl_cert_key = /no/such.key", "admin_ssl_cert must be specified" },
	{ "ssl_cert = a, b\nssl_cert_key = c", "ssl_cert was specified 2 times while ssl_cert_key was specified 1 times" },
	{ "client_ssl = on\nclient_ssl_cert = x", "client_ssl_cert_key must be specified" },
	{ "pg_password = {vault://env/none}", "failed to dereference '{vault://env/none}': unable to load value (none) from vault (env): not found [{vault://env/none}] for config option 'pg_password'" },
	{ "pg_password = {vault://aws/x}", "failed to dereference '{vault://aws/x}': vault not found (aws) [{vault://aws/x}] for config option 'pg_password'" },
	{ "admin_gui_path = x", "admin_gui_path must start with a slash, must not end with one, and may have letters, digits, - and _ between single slashes: 'x'" },
};
/* clang-format on */

static void mistakes_are_told_in_kongs_words(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(messages); i++) {
		struct settings *s = NULL;
		struct err *e = load(messages[i].conf, NULL, &s);

		if (!e)
			fail_msg("no error for %s", messages[i].conf);
		assert_string_equal(err_line(a, e).s, messages[i].error);
		assert_null(s);
		err_forget();
	}
}

static void all_mistakes_are_told_at_once(void **state)
{
	struct settings *s;
	struct err *e = load("dns_order = XX\nheaders = YY\nport_maps = 1\n", NULL, &s);
	size_t n = 0;

	(void)state;
	for (; e; e = e->next)
		n++;
	assert_int_equal(n, 3);
}

/* ---- listeners ------------------------------------------------------------------------------------- */

static void listeners_are_read_as_kong_reads_them(void **state)
{
	/* clang-format off */
	static const struct {
		const char *entry, *text, *ip;
		unsigned port;
	} cases[] = {
		{ "0.0.0.0:8000 reuseport backlog=16384", "0.0.0.0:8000 reuseport backlog=16384", "0.0.0.0", 8000 },
		{ "0.0.0.0:8443 http2 ssl", "0.0.0.0:8443 ssl http2", "0.0.0.0", 8443 },
		{ "  ssl   127.0.0.1:9000\tbind ", "127.0.0.1:9000 ssl bind", "127.0.0.1", 9000 },
		{ "[::1]:80", "[0000:0000:0000:0000:0000:0000:0000:0001]:80", "[0000:0000:0000:0000:0000:0000:0000:0001]", 80 },
		{ "[::]:1 ipv6only=off", "[0000:0000:0000:0000:0000:0000:0000:0000]:1 ipv6only=off", "[0000:0000:0000:0000:0000:0000:0000:0000]", 1 },
		{ "localhost:65535", "localhost:65535", "localhost", 65535 },
		{ "*:81 so_keepalive=30m::10", "*:81 so_keepalive=30m::10", "*", 81 },
		{ "1.2.3.4:5 deferred proxy_protocol so_keepalive=off", "1.2.3.4:5 proxy_protocol deferred so_keepalive=off", "1.2.3.4", 5 },
	};
	/* clang-format on */

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		str entry = str_of(cases[i].entry);
		struct listeners list;

		assert_null(
			listeners_parse(a, "x_listen", (strs){ &entry, 1 }, SUBSYSTEM_HTTP, &list));
		assert_int_equal(list.n, 1);
		assert_str(list.v[0].text, cases[i].text);
		assert_str(list.v[0].ip, cases[i].ip);
		assert_int_equal(list.v[0].port, cases[i].port);
	}
}

static void bad_listeners_are_refused(void **state)
{
	static const char *const cases[] = {
		"",
		"8000",
		"1.2.3.4",
		"1.2.3.4:",
		"1.2.3.4:x",
		"1.2.3.4:65536",
		"::1:80",
		"[::1]",
		"[::1]80",
		"1.2.3.4:80 fast",
		"a:1 b:2",
		"1.2.3.4:80 backlog=",
		"1.2.3.4:80 backlog=x",
		"[1.2.3.4]:80",
		"1.2.3.4.5:80",
		"unix:/tmp/x",
		"1.2.3.4:-1",
		"1.2.3.4:80 so_keepalive=1:2",
		"a/b:80",
		"1.2.3.4:80 so_keepalive=a:b:c",
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		str entry = str_of(cases[i]);
		struct listeners list;
		struct err *e =
			listeners_parse(a, "x_listen", (strs){ &entry, 1 }, SUBSYSTEM_HTTP, &list);

		if (!e)
			fail_msg("taken: %s", cases[i]);
		err_forget();
	}
}

static void flags_of_listeners_have_their_values(void **state)
{
	str entries[] = { STR("1.2.3.4:80 backlog=7 so_keepalive=30m:5s:9 reuseport"),
			  STR("[::1]:80 ssl http2 proxy_protocol ipv6only=off") };
	struct listeners list;

	(void)state;
	assert_null(listeners_parse(a, "x_listen", (strs){ entries, 2 }, SUBSYSTEM_HTTP, &list));
	assert_int_equal(list.v[0].backlog, 7);
	assert_true(list.v[0].reuseport);
	assert_int_equal(list.v[0].so_keepalive, TRI_YES);
	assert_int_equal(list.v[0].keep_idle_s, 1800);
	assert_int_equal(list.v[0].keep_interval_s, 5);
	assert_int_equal(list.v[0].keep_count, 9);
	assert_int_equal(list.v[0].ipv6only, TRI_UNSET);
	assert_true(list.v[1].ssl && list.v[1].http2 && list.v[1].proxy_protocol);
	assert_int_equal(list.v[1].ipv6only, TRI_NO);
	assert_int_equal(list.v[1].address.any.sa_family, AF_INET6);
}

/* ---- sizes and times --------------------------------------------------------------------------------- */

static void sizes_and_times_are_nginxs(void **state)
{
	static const struct {
		const char *text;
		int64_t size, ms; /* -1: refused */
	} cases[] = {
		{ "0", 0, 0 },
		{ "8k", 8192, -1 },
		{ "10M", 10 << 20, 25920000000 },
		{ "10m", 10 << 20, 600000 },
		{ "1g", 1 << 30, -1 },
		{ "512", 512, 512000 },
		{ "1d", -1, 86400000 },
		{ "1h30m", -1, 5400000 },
		{ "1h 30m", -1, 5400000 },
		{ "500ms", -1, 500 },
		{ "1m1h", -1, -1 },
		{ "", -1, -1 },
		{ "-1", -1, -1 },
		{ "1.5m", -1, -1 },
		{ "k", -1, -1 },
		{ "99999999999999999999", -1, -1 },
		{ "1w2d", -1, 777600000 },
		{ "1kk", -1, -1 },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		int64_t n = -1, ms = -1;

		size_parse(str_of(cases[i].text), &n);
		time_parse(str_of(cases[i].text), &ms);
		assert_int_equal(n, cases[i].size);
		assert_int_equal(ms, cases[i].ms);
	}
}

/* ---- headers, trusted addresses, ports ------------------------------------------------------------------ */

static void header_tokens_are_bits(void **state)
{
	(void)state;
	assert_int_equal(loaded("headers = off\n", NULL)->header_tokens, 0);
	assert_int_equal(loaded("headers = x-kong-upstream-status, Via\n", NULL)->header_tokens,
			 KONG_HEADER_UPSTREAM_STATUS | KONG_HEADER_VIA);
	assert_int_equal(loaded("headers = server_tokens\n", NULL)->header_tokens,
			 KONG_HEADER_SERVER | KONG_HEADER_VIA | KONG_HEADER_SERVER_TOKENS);
}

static void trusted_addresses_and_ports_are_decoded(void **state)
{
	struct settings *s = loaded("trusted_ips = 10.0.0.0/8, ::1, unix:\n"
				    "nginx_proxy_set_real_ip_from = 192.168.0.0/16\n"
				    "port_maps = 80:8000, 443:8443\n",
				    NULL);

	(void)state;
	assert_int_equal(s->trusted.n, 4);
	assert_int_equal(s->trusted.v[0].bits, 8);
	assert_int_equal(s->trusted.v[2].family, AF_UNIX);
	assert_int_equal(s->trusted.v[3].bits, 16);
	assert_int_equal(s->outside_ports.n, 2);
	assert_int_equal(s->outside_ports.v[1].outside, 443);
	assert_int_equal(s->outside_ports.v[1].inside, 8443);
}

/* ---- nginx directives --------------------------------------------------------------------------------------- */

static void directives_set_the_same_members_as_properties(void **state)
{
	struct settings *s = loaded("nginx_http_client_max_body_size = 5m\n"
				    "nginx_admin_client_max_body_size = 6m\n"
				    "nginx_proxy_keepalive_timeout = 10s 8s\n"
				    "nginx_http_large_client_header_buffers = 8 16k\n"
				    "nginx_http_keepalive_requests = 7; lingering_close always\n"
				    "nginx_http_log_format = mine escape=json '$a \"b\" ' '$c'\n"
				    "nginx_main_worker_shutdown_timeout = 30s\n"
				    "nginx_events_worker_connections = 5000\n"
				    "nginx_http_charset = off\n"
				    "nginx_proxy_access_log = logs/mine.log mine\n"
				    "nginx_admin_access_log = off\n",
				    ENV("KONG_NGINX_HTTP_SEND_TIMEOUT=3s"));

	(void)state;
	assert_int_equal(s->proxy_http.client_max_body, 5 << 20);
	assert_int_equal(s->status_http.client_max_body, 5 << 20);
	assert_int_equal(s->admin_http.client_max_body, 6 << 20);
	assert_int_equal(s->proxy_http.keepalive_timeout, 10000);
	assert_int_equal(s->proxy_http.keepalive_header_timeout, 8000);
	assert_int_equal(s->admin_http.keepalive_timeout, 75000);
	assert_int_equal(s->proxy_http.large_header_buffers, 8);
	assert_int_equal(s->proxy_http.large_header_buffer, 16384);
	assert_int_equal(s->proxy_http.keepalive_requests, 7);
	assert_int_equal(s->proxy_http.lingering_close, LINGERING_ALWAYS);
	assert_int_equal(s->proxy_http.send_timeout, 3000);
	assert_str(s->log_formats.v[0].name, "mine");
	assert_str(s->log_formats.v[0].value, "escape=json $a \"b\" $c");
	assert_int_equal(s->worker_shutdown_timeout_ms, 30000);
	assert_int_equal(s->worker_connections, 5000);
	assert_null(s->proxy_http.charset.s);
	assert_str(s->proxy_access.path, "/usr/local/kong/logs/mine.log");
	assert_str(s->proxy_access.format, "mine");
	assert_null(s->admin_access.path.s);
	assert_int_equal(s->notes.n, 0);
}

static void a_directive_of_none_is_taken_away(void **state)
{
	struct settings *s = loaded("nginx_http_client_max_body_size = NONE\n", NULL);

	(void)state;
	assert_int_equal(s->proxy_http.client_max_body, 1 << 20);
	for (size_t i = 0; i < s->directives[SPACE_HTTP].n; i++)
		assert_false(str_is(s->directives[SPACE_HTTP].v[i].name, "client_max_body_size"));
}

static void what_has_no_effect_is_named(void **state)
{
	struct settings *s = loaded("nginx_http_lua_package_path = mine\n"
				    "nginx_proxy_gzip = on\n"
				    "vitals = off\n"
				    "no_such_name = 1\n"
				    "opentelemetry_tracing = request\n"
				    "upstream_keepalive = 60\n"
				    "anonymous_reports = on\n",
				    ENV("KONG_PORT_8000_TCP=tcp://1.2.3.4:8000"));
	static const char *const want[] = {
		"no_such_name: is not a property, ignored",
		"upstream_keepalive: is no longer a property, use upstream_keepalive_pool_size",
		"upstream_keepalive: is not a property, ignored",
		"the 'opentelemetry_tracing' configuration property is deprecated, use "
		"'tracing_instrumentations' instead",
		"vitals: kept without effect, this version has no Vitals yet",
		"nginx_http_lua_package_path: the nginx directive lua_package_path does not apply "
		"to "
		"Gibbon, it has no effect",
		"nginx_proxy_gzip: kept without effect, this version has no compression of answers "
		"yet",
	};

	(void)state;
	for (size_t i = 0; i < COUNT(want); i++) {
		bool found = false;

		for (size_t k = 0; k < s->notes.n; k++)
			found |= str_is(s->notes.v[k], want[i]);
		if (!found)
			fail_msg("not told: %s", want[i]);
	}
}

/* ---- TLS ------------------------------------------------------------------------------------------------------ */

static void suites_set_protocols_and_ciphers(void **state)
{
	static const struct {
		const char *suite;
		unsigned protocols;
		bool prefer;
		size_t ciphers; /* how many */
	} cases[] = { { "modern", TLS_1_3, false, 0 },
		      { "intermediate", TLS_1_2 | TLS_1_3, false, 8 },
		      { "old", TLS_1_0 | TLS_1_1 | TLS_1_2 | TLS_1_3, true, 26 },
		      { "fips", TLS_1_2, true, 4 } };
	struct settings *s;

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		s = loaded(str_fmt(a, "ssl_cipher_suite = %s\n", cases[i].suite).s, NULL);
		assert_int_equal(s->http_tls.protocols, cases[i].protocols);
		assert_int_equal(s->stream_tls.protocols, cases[i].protocols);
		assert_int_equal(s->http_tls.prefer_server_ciphers, cases[i].prefer);
		assert_int_equal(str_split(a, s->http_tls.ciphers, ':').n, cases[i].ciphers);
	}
	s = loaded("ssl_cipher_suite = custom\nssl_protocols = TLSv1.3\nssl_ciphers = A:B\n"
		   "ssl_prefer_server_ciphers = off\nssl_session_timeout = 5m\n",
		   NULL);
	assert_int_equal(s->http_tls.protocols, TLS_1_3);
	assert_str(s->http_tls.ciphers, "A:B");
	assert_false(s->http_tls.prefer_server_ciphers);
	assert_int_equal(s->stream_tls.session_timeout_ms, 300000);
}

static void certificates_come_as_path_pem_or_base64(void **state)
{
	str cert, key, cert_path, key_path;
	struct settings *s;

	(void)state;
	assert_null(tls_make_self_signed(a, TLS_KEY_EC_P256, STR("localhost"), 2, &cert, &key));
	cert_path = put_file("x.crt", cert);
	key_path = put_file("x.key", key);

	s = loaded(str_fmt(a, "ssl_cert = %s\nssl_cert_key = %s\n", cert_path.s, key_path.s).s,
		   NULL);
	assert_int_equal(s->ssl_certs.n, 1);
	assert_str(s->ssl_certs.v[0].cert_path, cert_path.s);
	assert_true(str_eq(s->ssl_certs.v[0].key, key));

	s = loaded(NULL, ENV(str_fmt(a, "KONG_SSL_CERT=" STRF, STRV(cert)).s,
			     str_fmt(a, "KONG_SSL_CERT_KEY=" STRF, STRV(base64_encode(a, key))).s));
	assert_null(s->ssl_certs.v[0].cert_path.s);
	assert_true(str_eq(str_trim(s->ssl_certs.v[0].cert), str_trim(cert)));
	assert_true(str_eq(s->ssl_certs.v[0].key, key));
}

static void bad_certificates_are_told_and_keys_stay_secret(void **state)
{
	str cert, key, other, other_key;
	struct settings *s;
	struct err *e;

	(void)state;
	assert_null(tls_make_self_signed(a, TLS_KEY_EC_P256, STR("a"), 2, &cert, &key));
	assert_null(tls_make_self_signed(a, TLS_KEY_EC_P256, STR("b"), 2, &other, &other_key));

	e = load("ssl_cert = /no/such.crt\nssl_cert_key = /no/such.key\n", NULL, &s);
	assert_string_equal(e->text, "ssl_cert: failed loading certificate from /no/such.crt");

	e = load(NULL,
		 ENV(str_fmt(a, "KONG_SSL_CERT=" STRF, STRV(cert)).s,
		     str_fmt(a, "KONG_SSL_CERT_KEY=-----BEGIN PRIVATE KEY-----\nsecret").s),
		 &s);
	assert_string_equal(e->text, "ssl_cert_key: failed loading key from ******");

	e = load(NULL,
		 ENV(str_fmt(a, "KONG_SSL_CERT=" STRF, STRV(cert)).s,
		     str_fmt(a, "KONG_SSL_CERT_KEY=" STRF, STRV(other_key)).s),
		 &s);
	assert_string_equal(e->text, "ssl_cert_key does not fit ssl_cert");

	e = load(str_fmt(a, "lua_ssl_trusted_certificate = %s\n",
			 put_file("bad.pem", STR("hello")).s)
			 .s,
		 NULL, &s);
	assert_non_null(e);
	assert_true(str_starts(str_of(e->text),
			       STR("lua_ssl_trusted_certificate: failed loading certificate")));
}

/* ---- references -------------------------------------------------------------------------------------------------- */

static void references_are_resolved_from_the_environment(void **state)
{
	/* clang-format off */
	static const struct {
		const char *reference, *want; /* want begins with '!': the error has it */
	} cases[] = {
		{ "{vault://env/db-pass}", "s3cret" },
		{ "{vault://env/pair/user}", "me" },
		{ "{vault://env/pair/none}", "!vault (env) did not return value for resource 'pair' with a key of 'none'" },
		{ "{vault://env/pair/n}", "!invalid type (number), string expected" },
		{ "{vault://env/db-pass/x}", "!unable to json decode value (db-pass)" },
		{ "{vault://env/pass?prefix=db_}", "s3cret" },
		{ "{vault://env/db-pass#2}", "older" },
		{ "{vault://env/}", "!reference url has empty path" },
		{ "{vault://env}", "!reference url is missing path" },
		{ "{vault:///x}", "!reference url is missing host" },
		{ "{vault://mine/pass}", "s3cret" },
		{ "{vault://mine/pair/user?prefix=}", "me" },
		{ "{vault://theirs/pass}", "!vault not found (theirs) [{vault://theirs/pass}]" },
	};
	/* clang-format on */
	static const struct env_vault vaults[] = { { STR_INIT("env"), { NULL, 0 } },
						   { STR_INIT("mine"), STR_INIT("db-") } };
	char *env[] = { "DB_PASS=s3cret", "DB_PASS_PREVIOUS=older",
			"PAIR={\"user\":\"me\",\"n\":1}", NULL };

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		str got = STR_NONE;
		struct err *e = vault_reference_resolve(a, str_of(cases[i].reference), env, vaults,
							COUNT(vaults), &got);

		if (cases[i].want[0] == '!')
			assert_non_null(strstr(e->text, cases[i].want + 1));
		else
			assert_str(got, cases[i].want);
	}
}

static void references_show_and_secrets_do_not(void **state)
{
	struct settings *s = loaded("pg_password = {vault://env/pw}\npg_user = {vault://env/us}\n"
				    "proxy_server = http://u:p@h\nvault_env_prefix = my_\n",
				    ENV("MY_PW=hidden", "MY_US=me"));
	struct value *v = settings_value(a, s);

	(void)state;
	assert_str(s->pg_password, "hidden");
	assert_str(s->pg_user, "me");
	assert_str(value_get(v, "pg_password")->s, "******");
	assert_str(value_get(v, "pg_user")->s, "{vault://env/us}");
	assert_str(value_get(v, "proxy_server")->s, "******");
	assert_str(value_get(v, "vault_env_prefix")->s, "my_");
	assert_int_equal(str_find_str(json_text(a, v, 0), STR("hidden")), -1);
}

/* ---- .kong_env ------------------------------------------------------------------------------------------------------ */

static void a_written_environment_reads_back_equal(void **state)
{
	static const char *const confs[] = {
		NULL,
		"log_level = debug\nproxy_listen = 127.0.0.1:9000 ssl\nheaders = off\n",
		"pg_password = a\\#b\\\\c\npg_user = {vault://env/us}\nssl_cipher_suite = old\n",
		"nginx_http_foo = bar\nvault_env_prefix = x_\npluginserver_names = a\n"
		"pluginserver_a_socket = /x\nnginx_main_daemon = off\nuntrusted_lua = off\n",
		"ssl_cipher_suite = custom\nssl_protocols = TLSv1.3\ntrusted_ips = ::/0\n"
		"port_maps = 1:2\nnginx_http_client_max_body_size = NONE\npg_schema =\n",
	};

	(void)state;
	for (size_t i = 0; i < COUNT(confs); i++) {
		const char *path = str_fmt(a, "%s/.kong_env", folder).s;
		struct settings *s =
			loaded(confs[i], ENV("X_US=me", "US=me", "KONG_PG_DATABASE=two\nlines\\",
					     "KONG_DECLARATIVE_CONFIG_STRING=\"a\": #\n\tb"));
		struct settings *back = NULL;
		struct stat st;

		assert_null(settings_write_env(s, path));
		assert_int_equal(stat(path, &st), 0);
		assert_int_equal(st.st_mode & 0777, 0600);
		assert_null(settings_read_env(a, path, &back));
		assert_str(json_text(a, settings_value(a, back), JSON_SORTED | JSON_PRETTY),
			   str_z(a, json_text(a, settings_value(a, s), JSON_SORTED | JSON_PRETTY)));
		assert_int_equal(back->n_properties, s->n_properties);
		for (size_t k = 0; k < s->n_properties; k++) {
			assert_true(str_eq(s->properties[k].name, back->properties[k].name));
			assert_true(str_eq(s->properties[k].text, back->properties[k].text));
			assert_int_equal(s->properties[k].origin, back->properties[k].origin);
		}
		assert_int_equal(back->http_tls.protocols, s->http_tls.protocols);
		assert_int_equal(back->proxy_http.client_max_body, s->proxy_http.client_max_body);
		assert_int_equal(back->notes.n + (confs[i] && strstr(confs[i], "no_such") ? 1 : 0),
				 s->notes.n);
	}
}

static void a_reload_keeps_what_the_environment_said_at_start(void **state)
{
	static const char *const nowhere[] = { NULL };
	struct settings *first = loaded("log_level = info\npg_host = one\n",
					ENV("KONG_PG_USER=me", "KONG_DECLARATIVE_CONFIG=/x.yml"));
	struct settings_sources src = {
		.search = nowhere,
		.file = put_file("kong.conf", STR("pg_host = two\n")),
		.running = first,
	};
	struct settings *s;

	(void)state;
	assert_null(settings_load(a, &src, &s));
	assert_str(s->pg_host, "two");
	assert_str(s->pg_user, "me");
	assert_str(s->log_level, "notice");
	assert_null(s->declarative_config.s);
}

/* ---- GET / ------------------------------------------------------------------------------------------------------------ */

static void kongs_names_and_shapes_are_shown(void **state)
{
	struct settings *s = loaded("proxy_listen = 127.0.0.1:1 backlog=5, 127.0.0.1:2 http2 ssl\n"
				    "real_ip_recursive = on\nport_maps = 80:8000\n",
				    NULL);
	struct value *v = settings_value(a, s);
	struct value *listeners = value_get(v, "proxy_listeners");

	(void)state;
	assert_int_equal(value_get(v, "dns_resolver")->kind, VALUE_OBJECT);
	assert_int_equal(value_get(v, "proxy_listen")->n, 2);
	assert_str(value_get(v, "real_ip_recursive")->s, "on");
	assert_int_equal(value_get(v, "pg_port")->i, 5432);
	assert_int_equal(value_get(v, "client_ssl")->kind, VALUE_BOOL);
	assert_null(value_get(v, "pg_schema"));
	assert_null(value_get(v, "portal"));
	assert_true(value_get(listeners->items[0], "backlog=5")->b);
	assert_null(value_get(listeners->items[0], "backlog=%d+"));
	assert_false(value_get(listeners->items[1], "backlog=%d+")->b);
	assert_true(value_get(listeners->items[1], "http2")->b);
	assert_str(value_get(listeners->items[1], "listener")->s, "127.0.0.1:2 ssl http2");
	assert_int_equal(value_get(value_get(v, "host_ports"), "8000")->i, 80);
	assert_true(value_get(value_get(v, "loaded_vaults"), "env")->b);
	assert_str(value_get(v, "kong_env")->s, "/usr/local/kong/.kong_env");
}

/* What a Kong 3.2.2 answered for the settings of CONTRACT_CONF; members that a
 * machine or an option of its own decides are left out. */
#define CONTRACT_FILE "/../../tests/contract/configuration.json"
#define CONTRACT_CONF                                                                              \
	"database = off\nproxy_listen = 127.0.0.1:18000 reuseport backlog=16384, "                 \
	"127.0.0.1:18443 http2 ssl reuseport backlog=16384\n"                                      \
	"admin_listen = 127.0.0.1:18001\nstatus_listen = 127.0.0.1:18100\n"                        \
	"nginx_user = root root\nanonymous_reports = off\ndeclarative_config = PATH\n"             \
	"pg_timeout = 60000\ncassandra_timeout = 60000\n"                                          \
	"cassandra_schema_consensus_timeout = 60000\n"

static void the_configuration_is_shown_as_kong_shows_it(void **state)
{
	static const char *const apart[] = { "ssl_cert", "ssl_cert_key",
					     "lua_ssl_trusted_certificate" };
	struct value *got = settings_value(a, loaded(CONTRACT_CONF, NULL)), *want;
	const char *slash = strrchr(__FILE__, '/');
	str path = str_fmt(a, "%.*s" CONTRACT_FILE, (int)(slash - __FILE__), __FILE__), text;

	(void)state;
	assert_null(file_read(a, path.s, 1 << 20, &text));
	assert_null(json_parse(a, text, &want));
	for (size_t i = 0; i < COUNT(apart); i++)
		value_unset(want, str_of(apart[i]));
	for (uint32_t i = 0; i < want->n; i++) {
		struct value *mine = value_get_str(got, want->members[i].key);

		if (!mine || !value_eq(mine, want->members[i].value))
			fail_msg(STRF ": " STRF " is not Kong's " STRF, STRV(want->members[i].key),
				 STRV(mine ? json_text(a, mine, JSON_SORTED) : STR("nothing")),
				 STRV(json_text(a, want->members[i].value, JSON_SORTED)));
	}
}

/* ---- pages --------------------------------------------------------------------------------------------------------------- */

static void the_sample_is_a_kong_conf_of_defaults(void **state)
{
	struct buf out CLEANUP(buf_done) = { 0 };
	struct arena *b CLEANUP(arena_drop) = arena_new();
	char *text;
	struct settings *s;

	(void)state;
	settings_print_sample(&out);
	text = str_z(b, buf_str(&out));
	for (char *p = text; *p; p++) { /* take the # away in front of each property */
		if ((p == text || p[-1] == '\n') && p[0] == '#' && p[1] >= 'a' && p[1] <= 'z')
			p[0] = ' ';
	}
	s = loaded(text, NULL);
	for (size_t i = 0; i < s->n_properties; i++) {
		const struct property *p = &s->properties[i];

		if (p->row && p->row->def && !p->row->alias_of &&
		    p->group != &settings_injected_nginx_directives &&
		    !str_starts(p->name, STR("ssl_")) && !str_is(p->name, "prefix") &&
		    !str_is(p->name, "lua_ssl_trusted_certificate"))
			assert_str(p->text, str_z(a, row_default(a, p->row)));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(rows_are_complete_and_their_defaults_good, begin,
						end),
		cmocka_unit_test_setup_teardown(defaults_are_kongs, begin, end),
		cmocka_unit_test_setup_teardown(comments_are_stripped, begin, end),
		cmocka_unit_test_setup_teardown(a_line_without_a_name_is_told_by_number, begin,
						end),
		cmocka_unit_test_setup_teardown(the_later_source_wins, begin, end),
		cmocka_unit_test_setup_teardown(a_file_that_is_not_there_is_an_error, begin, end),
		cmocka_unit_test_setup_teardown(the_first_file_of_the_search_is_read, begin, end),
		cmocka_unit_test_setup_teardown(booleans_are_on_or_true_and_else_off, begin, end),
		cmocka_unit_test_setup_teardown(aliases_fill_what_is_unset, begin, end),
		cmocka_unit_test_setup_teardown(a_replica_inherits_what_is_unset, begin, end),
		cmocka_unit_test_setup_teardown(
			files_of_the_postgres_link_are_checked_with_the_settings, begin, end),
		cmocka_unit_test_setup_teardown(quotes_around_postgres_certificates_are_taken_off,
						begin, end),
		cmocka_unit_test_setup_teardown(postgres_is_chosen_by_its_properties, begin, end),
		cmocka_unit_test_setup_teardown(mistakes_are_told_in_kongs_words, begin, end),
		cmocka_unit_test_setup_teardown(all_mistakes_are_told_at_once, begin, end),
		cmocka_unit_test_setup_teardown(listeners_are_read_as_kong_reads_them, begin, end),
		cmocka_unit_test_setup_teardown(bad_listeners_are_refused, begin, end),
		cmocka_unit_test_setup_teardown(flags_of_listeners_have_their_values, begin, end),
		cmocka_unit_test_setup_teardown(sizes_and_times_are_nginxs, begin, end),
		cmocka_unit_test_setup_teardown(header_tokens_are_bits, begin, end),
		cmocka_unit_test_setup_teardown(trusted_addresses_and_ports_are_decoded, begin,
						end),
		cmocka_unit_test_setup_teardown(directives_set_the_same_members_as_properties,
						begin, end),
		cmocka_unit_test_setup_teardown(a_directive_of_none_is_taken_away, begin, end),
		cmocka_unit_test_setup_teardown(what_has_no_effect_is_named, begin, end),
		cmocka_unit_test_setup_teardown(suites_set_protocols_and_ciphers, begin, end),
		cmocka_unit_test_setup_teardown(certificates_come_as_path_pem_or_base64, begin,
						end),
		cmocka_unit_test_setup_teardown(bad_certificates_are_told_and_keys_stay_secret,
						begin, end),
		cmocka_unit_test_setup_teardown(references_are_resolved_from_the_environment, begin,
						end),
		cmocka_unit_test_setup_teardown(references_show_and_secrets_do_not, begin, end),
		cmocka_unit_test_setup_teardown(a_written_environment_reads_back_equal, begin, end),
		cmocka_unit_test_setup_teardown(a_reload_keeps_what_the_environment_said_at_start,
						begin, end),
		cmocka_unit_test_setup_teardown(kongs_names_and_shapes_are_shown, begin, end),
		cmocka_unit_test_setup_teardown(the_configuration_is_shown_as_kong_shows_it, begin,
						end),
		cmocka_unit_test_setup_teardown(the_sample_is_a_kong_conf_of_defaults, begin, end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
