/* SPDX-License-Identifier: Apache-2.0 */
/* Rows of kong.conf about name resolution, how changes are taken over, outbound TLS, Lua. */
#include "settings/priv.h"

/* clang-format off */
#define T struct settings

static const struct field dns_rows[] = {
	F_STRS(T, dns_resolver,     .help = "Name servers, ip or ip:port; unset: those of resolv.conf."),
	F_STR(T, dns_hostsfile,     .def = J("/etc/hosts"), .help = "File of fixed names."),
	F_STRS(T, dns_order,        .def = J(["LAST", "SRV", "A", "CNAME"]), .help = "Record types in the order they are tried: LAST, SRV, A, AAAA, CNAME."),
	F_NUM(T, dns_valid_ttl,     .unit = "s", .help = "Seconds an answer is valid, whatever the answer says."),
	F_NUM(T, dns_stale_ttl,     .def = J(4), .unit = "s", .help = "Seconds a stale answer is used while a new one is asked for."),
	F_INT(T, dns_cache_size,    .def = J(10000), .help = "Answers kept."),
	F_NUM(T, dns_not_found_ttl, .def = J(30), .unit = "s", .help = "Seconds an empty answer is remembered."),
	F_NUM(T, dns_error_ttl,     .def = J(1), .unit = "s", .help = "Seconds any other failure is remembered."),
	F_BOOL(T, dns_no_sync,      .def = J(false), .help = "Ask for each request by itself rather than once for all that wait."),
	F_END
};

static const struct field tuning_rows[] = {
	F_STR(T, worker_consistency,            .def = J("eventual"), .one_of = J(["strict", "eventual"]), .help = "eventual: changes are taken over in the background; strict: before the next request."),
	F_STR(T, router_consistency,            .one_of = J(["strict", "eventual"]), .alias_of = "worker_consistency", .help = "Old name of worker_consistency."),
	F_NUM(T, worker_state_update_frequency, .def = J(5), .unit = "s", .help = "Seconds between two looks for changed routes, plugins and upstreams."),
	F_STR(T, io_backend,                    .def = J("epoll"), .one_of = J(["auto", "epoll", "uring"]), .help = "How the kernel is asked for events: auto is io_uring where Linux (6.1) offers and no policy forbids it, else epoll. Gibbon's own."),
	F_STR(T, router_flavor,                 .def = J("traditional_compatible"), .one_of = J(["traditional", "traditional_compatible", "expressions"]), .help = "How routes are matched: traditional_compatible, traditional, or expressions."),
	F_END
};

static const struct field miscellaneous_rows[] = {
	F_STRS(T, lua_ssl_trusted_certificate,       .def = J(["system"]), .help = "CAs of every outbound TLS connection the gateway makes for itself: system, path, PEM or base64 of PEM; upstreams have their own."),
	F_INT(T, lua_ssl_verify_depth,               .def = J(1), .help = "Intermediate CAs allowed between a certificate and a trusted CA."),
	F_STR(T, lua_ssl_protocols,                  .def = J("TLSv1.1 TLSv1.2 TLSv1.3"), .help = "TLS versions of those connections."),
	F_STR(T, lua_package_path,                   .def = J("./?.lua;./?/init.lua;"), .help = "Where Lua modules are looked for."),
	F_STR(T, lua_package_cpath,                  .help = "Where C modules of Lua are looked for."),
	F_INT(T, lua_socket_pool_size,               .def = J(30), .help = "Idle connections kept for each server that plugins speak to."),
	F_STR(T, untrusted_lua,                      .def = J("sandbox"), .one_of = J(["on", "off", "sandbox"]), .help = "What Lua in the configuration may do: on, off, or sandbox."),
	F_STRS(T, untrusted_lua_sandbox_requires,    .help = "Modules it may load in the sandbox."),
	F_STRS(T, untrusted_lua_sandbox_environment, .help = "Global names it sees in the sandbox."),
	F_STR(T, openresty_path,                     .help = "Accepted for compatibility; there is no OpenResty."),
	F_END
};

#undef T
/* clang-format on */

const struct settings_group settings_dns = {
	.heading = "DNS",
	.rows = dns_rows,
};
const struct settings_group settings_tuning = {
	.heading = "Tuning",
	.rows = tuning_rows,
};
const struct settings_group settings_miscellaneous = {
	.heading = "Miscellaneous",
	.rows = miscellaneous_rows,
};
