/* SPDX-License-Identifier: Apache-2.0 */
/* Rows of kong.conf about administration by people: permissions, the Manager, mails, audit. */
#include "settings/priv.h"

/* clang-format off */
#define T struct settings

static const struct field rbac_rows[] = {
	F_STR(T, enforce_rbac,     .def = J("off"), .one_of = J(["on", "off", "entity", "both"]), .later = LATER_RBAC, .help = "Check permissions of the Admin API: on (endpoints), entity, both, or off."),
	F_STR(T, rbac_auth_header, .def = J("Kong-Admin-Token"), .later = LATER_RBAC, .help = "Header that carries the token."),
	F_END
};

static const struct field kong_manager_rows[] = {
	F_STRS(T, admin_gui_listen,                  .def = J(["0.0.0.0:8002", "0.0.0.0:8445 ssl"]), .later = LATER_MANAGER, .help = "Addresses of the Manager."),
	F_STR(T, admin_gui_url,                      .later = LATER_MANAGER, .help = "External Manager address (also CORS origin)."),
	F_STR(T, admin_gui_path,                     .def = J("/"), .later = LATER_MANAGER, .help = "Base path: starts with /, no trailing /, [A-Za-z0-9-_/], no //."),
	F_STR(T, admin_gui_ssl_cert,                 .later = LATER_MANAGER, .help = "Certificate of admin_gui_listen."),
	F_STR(T, admin_gui_ssl_cert_key,             .later = LATER_MANAGER, .help = "Key of admin_gui_ssl_cert."),
	F_STR(T, admin_gui_flags,                    .def = J("{}"), .later = LATER_MANAGER, .help = "Feature flags of the GUI."),
	F_STR(T, admin_gui_access_log,               .def = J("logs/admin_gui_access.log"), .later = LATER_MANAGER, .help = "Access log of the Manager, or off."),
	F_STR(T, admin_gui_error_log,                .def = J("logs/admin_gui_error.log"), .later = LATER_MANAGER, .help = "Error log of the Manager."),
	F_STR(T, admin_gui_auth,                     .one_of = J(["basic-auth", "ldap-auth-advanced", "openid-connect"]), .later = LATER_MANAGER, .help = "Login of the Manager: basic-auth, ldap-auth-advanced, or openid-connect."),
	F_STR(T, admin_gui_auth_conf,                .is_secret = true, .later = LATER_MANAGER, .help = "Configuration of that login, JSON."),
	F_STR(T, admin_gui_auth_password_complexity, .later = LATER_MANAGER, .help = "Rules for passwords, JSON."),
	F_STR(T, admin_gui_session_conf,             .is_secret = true, .later = LATER_MANAGER, .help = "Configuration of its sessions, JSON."),
	F_STR(T, admin_gui_auth_header,              .def = J("Kong-Admin-User"), .later = LATER_MANAGER, .help = "Admin user name header."),
	F_INT(T, admin_gui_auth_login_attempts,      .def = J(0), .later = LATER_MANAGER, .help = "Failed logins before an account is locked; 0: no limit."),
	F_STR(T, admin_gui_header_txt,               .later = LATER_MANAGER, .help = "Text of the banner on top."),
	F_STR(T, admin_gui_header_bg_color,          .later = LATER_MANAGER, .help = "Its background."),
	F_STR(T, admin_gui_header_txt_color,         .later = LATER_MANAGER, .help = "Its colour."),
	F_STR(T, admin_gui_footer_txt,               .later = LATER_MANAGER, .help = "Text of the banner below."),
	F_STR(T, admin_gui_footer_bg_color,          .later = LATER_MANAGER, .help = "Its background."),
	F_STR(T, admin_gui_footer_txt_color,         .later = LATER_MANAGER, .help = "Its colour."),
	F_STR(T, admin_gui_login_banner_title,       .later = LATER_MANAGER, .help = "Title of the banner of the login page."),
	F_STR(T, admin_gui_login_banner_body,        .later = LATER_MANAGER, .help = "Text of the banner of the login page."),
	F_END
};

static const struct field smtp_rows[] = {
	F_STR(T, admin_emails_from,       .later = LATER_MAIL, .help = "Sender of mails to admins."),
	F_STR(T, admin_emails_reply_to,   .later = LATER_MAIL, .help = "Reply-To of mails to admins."),
	F_INT(T, admin_invitation_expiry, .def = J(259200), .unit = "s", .later = LATER_MAIL, .help = "Seconds an invitation is valid; 0: for ever."),
	F_BOOL(T, smtp_mock,              .def = J(true), .later = LATER_MAIL, .help = "Do not really send mails."),
	F_STR(T, smtp_host,               .def = J("localhost"), .later = LATER_MAIL, .help = "Mail server."),
	F_INT(T, smtp_port,               .def = J(25), .later = LATER_MAIL, .help = "Its port."),
	F_BOOL(T, smtp_starttls,          .def = J(false), .later = LATER_MAIL, .help = "STARTTLS."),
	F_STR(T, smtp_username,           .later = LATER_MAIL, .help = "User at the mail server."),
	F_STR(T, smtp_password,           .is_secret = true, .later = LATER_MAIL, .help = "Password at the mail server."),
	F_BOOL(T, smtp_ssl,               .def = J(false), .later = LATER_MAIL, .help = "TLS from the start."),
	F_STR(T, smtp_auth_type,          .later = LATER_MAIL, .help = "How to log in: plain or login."),
	F_STR(T, smtp_domain,             .def = J("localhost.localdomain"), .later = LATER_MAIL, .help = "Name in EHLO and in Message-IDs."),
	F_INT(T, smtp_timeout_connect,    .def = J(60000), .unit = "ms", .later = LATER_MAIL, .help = "Milliseconds for connecting."),
	F_INT(T, smtp_timeout_send,       .def = J(60000), .unit = "ms", .later = LATER_MAIL, .help = "Milliseconds for sending."),
	F_INT(T, smtp_timeout_read,       .def = J(60000), .unit = "ms", .later = LATER_MAIL, .help = "Milliseconds for reading."),
	F_STRS(T, smtp_admin_emails,      .later = LATER_MAIL, .help = "Admins that get mails."),
	F_END
};

static const struct field audit_log_rows[] = {
	F_BOOL(T, audit_log,                 .def = J(false), .later = LATER_AUDIT, .help = "Record requests to the Admin API and changes of entities."),
	F_STRS(T, audit_log_ignore_methods,  .later = LATER_AUDIT, .help = "Methods that are not recorded."),
	F_STRS(T, audit_log_ignore_paths,    .later = LATER_AUDIT, .help = "Patterns of paths that are not recorded."),
	F_STRS(T, audit_log_ignore_tables,   .later = LATER_AUDIT, .help = "Tables that are not recorded."),
	F_STRS(T, audit_log_payload_exclude, .def = J(["token", "secret", "password"]), .later = LATER_AUDIT, .help = "Fields left out of recorded bodies."),
	F_INT(T, audit_log_record_ttl,       .def = J(2592000), .unit = "s", .later = LATER_AUDIT, .help = "Seconds a record is kept."),
	F_STR(T, audit_log_signing_key,      .later = LATER_AUDIT, .help = "RSA key that signs records, path."),
	F_END
};

#undef T
/* clang-format on */

const struct settings_group settings_rbac = {
	.heading = "RBAC",
	.rows = rbac_rows,
	.is_enterprise = true,
};
const struct settings_group settings_kong_manager = {
	.heading = "Kong Manager",
	.rows = kong_manager_rows,
	.is_enterprise = true,
};
const struct settings_group settings_smtp = {
	.heading = "SMTP",
	.rows = smtp_rows,
	.is_enterprise = true,
};
const struct settings_group settings_audit_log = {
	.heading = "Audit log",
	.rows = audit_log_rows,
	.is_enterprise = true,
};
