/* SPDX-License-Identifier: Apache-2.0 */
/* Rows of kong.conf about the nginx_* directives that have a default; any other is taken too, see
 * settings/nginx_directives.c. */
#include "settings/priv.h"

/* clang-format off */
#define T struct settings

static const struct field injected_nginx_directives_rows[] = {
	F_STR(T, nginx_main_daemon,                      .def = J("on"), .help = "What nginx_daemon sets."),
	F_STR(T, nginx_main_user,                        .def = J("kong kong"), .help = "What nginx_user sets."),
	F_STR(T, nginx_main_worker_processes,            .def = J("auto"), .help = "What nginx_worker_processes sets."),
	F_STR(T, nginx_main_worker_rlimit_nofile,        .def = J("auto"), .help = "Open files of the worker; auto: what the system allows, between 1024 and 16384."),
	F_STR(T, nginx_events_worker_connections,        .def = J("auto"), .help = "Connections of a loop; auto: as worker_rlimit_nofile."),
	F_STR(T, nginx_events_multi_accept,              .def = J("on"), .help = "Take all waiting connections at once."),
	F_STR(T, nginx_http_charset,                     .def = J("UTF-8"), .help = "Charset added to textual answers of the gateway itself, or off."),
	F_STR(T, nginx_http_client_max_body_size,        .def = J("0"), .unit = "size", .help = "Largest request body; 0: no limit; more is answered with 413."),
	F_STR(T, nginx_http_client_body_buffer_size,     .def = J("8k"), .unit = "size", .help = "Part of a request body that is kept in memory."),
	F_STR(T, nginx_http_client_header_buffer_size,   .unit = "size", .help = "First buffer of a request's head; unset: 1k."),
	F_STR(T, nginx_http_large_client_header_buffers, .unit = "size", .help = "Count and size of the buffers of large heads; the size is the longest line; unset: 4 8k."),
	F_STR(T, nginx_http_ssl_protocols,               .help = "What ssl_protocols or the suite sets."),
	F_STR(T, nginx_http_ssl_prefer_server_ciphers,   .help = "What ssl_prefer_server_ciphers or the suite sets."),
	F_STR(T, nginx_http_ssl_dhparam,                 .help = "What ssl_dhparam or the suite sets."),
	F_STR(T, nginx_http_ssl_session_tickets,         .help = "What ssl_session_tickets sets."),
	F_STR(T, nginx_http_ssl_session_timeout,         .unit = "time", .help = "What ssl_session_timeout sets."),
	F_STR(T, nginx_stream_ssl_protocols,             .help = "The same for TCP, TLS and UDP proxying."),
	F_STR(T, nginx_stream_ssl_prefer_server_ciphers, .help = "The same for TCP, TLS and UDP proxying."),
	F_STR(T, nginx_stream_ssl_dhparam,               .help = "The same for TCP, TLS and UDP proxying."),
	F_STR(T, nginx_stream_ssl_session_tickets,       .help = "The same for TCP, TLS and UDP proxying."),
	F_STR(T, nginx_stream_ssl_session_timeout,       .unit = "time", .help = "The same for TCP, TLS and UDP proxying."),
	F_STR(T, nginx_proxy_real_ip_header,             .def = J("X-Real-IP"), .help = "What real_ip_header sets."),
	F_STR(T, nginx_proxy_real_ip_recursive,          .def = J("off"), .help = "What real_ip_recursive sets."),
	F_STR(T, nginx_admin_client_max_body_size,       .def = J("10m"), .unit = "size", .help = "Largest body of the Admin API."),
	F_STR(T, nginx_admin_client_body_buffer_size,    .def = J("10m"), .unit = "size", .help = "Body buffer of the Admin API."),
	F_STR(T, nginx_http_lua_regex_match_limit,       .def = J("100000"), .help = "Steps a regular expression may take."),
	F_STR(T, nginx_http_lua_regex_cache_max_entries, .def = J("8192"), .help = "Accepted for compatibility; regular expressions are compiled with the configuration."),
	F_END
};

#undef T
/* clang-format on */

const struct settings_group settings_injected_nginx_directives = {
	.heading = "Injected nginx directives",
	.rows = injected_nginx_directives_rows,
};
