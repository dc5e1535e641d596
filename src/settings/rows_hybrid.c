/* SPDX-License-Identifier: Apache-2.0 */
/* Rows of kong.conf about control planes and data planes. */
#include "settings/priv.h"

/* clang-format off */
#define T struct settings

static const struct field hybrid_mode_rows[] = {
	F_STR(T, role,                           .def = J("traditional"), .one_of = J(["data_plane", "control_plane", "traditional"]), .later = LATER_HYBRID, .help = "Role of the node: traditional does all; control_plane has the database and the Admin API, data_plane proxies."),
	F_STR(T, cluster_mtls,                   .def = J("shared"), .one_of = J(["shared", "pki", "pki_check_cn"]), .later = LATER_HYBRID, .help = "How the planes trust each other: one shared certificate, a chain to cluster_ca_cert (pki), or also a list of common names (pki_check_cn)."),
	F_STR(T, cluster_cert,                   .later = LATER_HYBRID, .help = "Certificate of the link between the planes: path, PEM or base64 of PEM."),
	F_STR(T, cluster_cert_key,               .later = LATER_HYBRID, .help = "Key of cluster_cert: path, PEM or base64 of PEM."),
	F_STR(T, cluster_ca_cert,                .later = LATER_HYBRID, .help = "Trusted CA of the link between the planes with pki: path, PEM or base64 of PEM."),
	F_STR(T, cluster_server_name,            .later = LATER_HYBRID, .help = "Name the control plane is asked for (SNI) and verified as, with pki."),
	F_STR(T, cluster_control_plane,          .def = J("127.0.0.1:8005"), .later = LATER_HYBRID, .help = "Data plane: the control plane to connect to, host:port."),
	F_INT(T, cluster_max_payload,            .def = J(4194304), .later = LATER_HYBRID, .help = "Largest message between the planes in bytes, 4194304 at least."),
	F_STRS(T, cluster_listen,                .def = J(["0.0.0.0:8005"]), .later = LATER_HYBRID, .help = "Where the control plane waits for data planes; always TLS."),
	F_INT(T, cluster_data_plane_purge_delay, .def = J(1209600), .unit = "s", .later = LATER_HYBRID, .help = "Seconds after which a silent data plane is forgotten, 60 at least."),
	F_STR(T, cluster_ocsp,                   .def = J("off"), .one_of = J(["on", "off", "optional"]), .later = LATER_HYBRID, .help = "Ask OCSP about certificates of data planes: on, off, or optional (an unreachable responder passes)."),
	F_BOOL(T, cluster_use_proxy,             .def = J(false), .later = LATER_HYBRID, .help = "Data plane: reach the control plane through proxy_server."),
	F_END
};

#undef T
/* clang-format on */

const struct settings_group settings_hybrid_mode = {
	.heading = "Hybrid mode",
	.rows = hybrid_mode_rows,
};
