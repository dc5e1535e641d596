/* SPDX-License-Identifier: Apache-2.0 */
/* Rows of kong.conf about listeners, TLS towards clients, headers, connections to upstreams. */
#include "settings/priv.h"

/* clang-format off */
#define T struct settings

static const struct field listeners_and_proxying_rows[] = {
	F_STRS(T, proxy_listen,                   .def = J(["0.0.0.0:8000 reuseport backlog=16384", "0.0.0.0:8443 http2 ssl reuseport backlog=16384"]), .help = "Addresses of the proxy: ip:port and flags: ssl, http2, proxy_protocol, deferred, bind, reuseport, backlog=N, ipv6only=on|off, so_keepalive=on|off|idle:interval:count; off for none."),
	F_STRS(T, stream_listen,                  .def = J(["off"]), .help = "Addresses of TCP, TLS and UDP proxying: ip:port and flags: udp, ssl, proxy_protocol, bind, reuseport, backlog=N, ipv6only=, so_keepalive=; off for none."),
	F_STRS(T, admin_listen,                   .def = J(["127.0.0.1:8001 reuseport backlog=16384", "127.0.0.1:8444 http2 ssl reuseport backlog=16384"]), .help = "Addresses of the Admin API; on loopback by default, because whoever reaches it commands the gateway; off for none."),
	F_STRS(T, status_listen,                  .def = J(["off"]), .help = "Addresses of the read-only Status API; off for none."),
	F_STR(T, nginx_user,                      .def = J("kong kong"), .alias_of = "nginx_main_user", .help = "User and group of the worker when started as root; nobody when they do not exist."),
	F_STR(T, nginx_worker_processes,          .def = J("auto"), .alias_of = "nginx_main_worker_processes", .help = "Event loops of the worker: a number, or auto for one a processor."),
	F_BOOL(T, nginx_daemon,                   .def = J(true), .alias_of = "nginx_main_daemon", .unit = "on/off", .help = "Go into the background (on) or stay in the foreground (off)."),
	F_STR(T, mem_cache_size,                  .def = J("128m"), .unit = "size", .help = "Ceiling of the cache of entities read from a database."),
	F_STR(T, ssl_cipher_suite,                .def = J("intermediate"), .help = "TLS versions and ciphers of the listeners: modern, intermediate, old, fips, or custom for the four properties below."),
	F_STR(T, ssl_ciphers,                     .help = "Ciphers in OpenSSL's words; only with custom."),
	F_STR(T, ssl_protocols,                   .def = J("TLSv1.1 TLSv1.2 TLSv1.3"), .help = "TLS versions; only with custom."),
	F_BOOL(T, ssl_prefer_server_ciphers,      .def = J(true), .unit = "on/off", .help = "The server's order of ciphers wins; only with custom."),
	F_STR(T, ssl_dhparam,                     .help = "Parameters of DHE: ffdhe2048 to ffdhe8192, path, PEM or base64 of PEM; only with custom and old."),
	F_BOOL(T, ssl_session_tickets,            .def = J(true), .unit = "on/off", .help = "Resume TLS sessions by tickets."),
	F_STR(T, ssl_session_timeout,             .def = J("1d"), .unit = "time", .help = "How long a TLS session may be resumed."),
	F_STR(T, ssl_session_cache_size,          .def = J("10m"), .unit = "size", .help = "Size of the cache of TLS sessions."),
	F_STRS(T, ssl_cert,                       .help = "Default certificates of proxy_listen, RSA and ECDSA for example: path, PEM or base64 of PEM; a self-signed pair is made when there is none."),
	F_STRS(T, ssl_cert_key,                   .help = "Keys of ssl_cert, in the same order."),
	F_BOOL(T, client_ssl,                     .def = J(false), .help = "Show a client certificate to upstreams."),
	F_STR(T, client_ssl_cert,                 .help = "That certificate: path, PEM or base64 of PEM; a service's own goes first."),
	F_STR(T, client_ssl_cert_key,             .help = "Key of client_ssl_cert."),
	F_STRS(T, admin_ssl_cert,                 .help = "Certificates of admin_listen, as ssl_cert."),
	F_STRS(T, admin_ssl_cert_key,             .help = "Keys of admin_ssl_cert."),
	F_STRS(T, status_ssl_cert,                .help = "Certificates of status_listen, as ssl_cert."),
	F_STRS(T, status_ssl_cert_key,            .help = "Keys of status_ssl_cert."),
	F_STRS(T, headers,                        .def = J(["server_tokens", "latency_tokens"]), .help = "Headers of the gateway in answers: server_tokens (Server, Via), latency_tokens (all latencies), Server, Via, X-Kong-Proxy-Latency, X-Kong-Response-Latency, X-Kong-Upstream-Latency, X-Kong-Admin-Latency, X-Kong-Upstream-Status; or off."),
	F_STRS(T, trusted_ips,                    .help = "Clients whose X-Forwarded-* headers are believed: addresses, networks, unix: for local sockets."),
	F_STR(T, real_ip_header,                  .def = J("X-Real-IP"), .alias_of = "nginx_proxy_real_ip_header", .help = "Header that carries the client's address when it comes from trusted_ips, or proxy_protocol."),
	F_BOOL(T, real_ip_recursive,              .def = J(false), .alias_of = "nginx_proxy_real_ip_recursive", .unit = "on/off", .help = "Take the last address of real_ip_header that is not trusted."),
	F_STR(T, error_default_type,              .def = J("text/plain"), .one_of = J(["application/json", "application/xml", "text/html", "text/plain"]), .help = "Type of error bodies when the request names none."),
	F_INT(T, upstream_keepalive_pool_size,    .def = J(60), .help = "Idle connections kept for each upstream target; 0: none."),
	F_INT(T, upstream_keepalive_max_requests, .def = J(100), .help = "Requests of one upstream connection; 0: no limit."),
	F_NUM(T, upstream_keepalive_idle_timeout, .def = J(60), .unit = "s", .help = "Seconds after which an idle upstream connection is closed; 0: never."),
	F_BOOL(T, allow_debug_header,             .def = J(false), .help = "Answer Kong-Debug: 1 with the ids of the route and service."),
	F_STR(T, client_body_buffer_size,         .def = J("8k"), .unit = "size", .help = "Old name without effect; see nginx_http_client_body_buffer_size."),
	F_END
};

#undef T
/* clang-format on */

const struct settings_group settings_listeners_and_proxying = {
	.heading = "Listeners and proxying",
	.rows = listeners_and_proxying_rows,
};
