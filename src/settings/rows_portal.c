/* SPDX-License-Identifier: Apache-2.0 */
/* Rows of kong.conf about the portal for developers. */
#include "settings/priv.h"

/* clang-format off */
#define T struct settings

static const struct field dev_portal_rows[] = {
	F_BOOL(T, portal,                         .def = J(false), .later = LATER_PORTAL, .help = "The Dev Portal is on."),
	F_STRS(T, portal_gui_listen,              .def = J(["0.0.0.0:8003", "0.0.0.0:8446 ssl"]), .later = LATER_PORTAL, .help = "Addresses of the portal."),
	F_STR(T, portal_gui_protocol,             .def = J("http"), .one_of = J(["http", "https"]), .later = LATER_PORTAL, .help = "Its public scheme."),
	F_STR(T, portal_gui_host,                 .def = J("127.0.0.1:8003"), .later = LATER_PORTAL, .help = "Its public host."),
	F_STRS(T, portal_cors_origins,            .later = LATER_PORTAL, .help = "Origins that may call the portal's API."),
	F_BOOL(T, portal_gui_use_subdomains,      .def = J(false), .later = LATER_PORTAL, .help = "Workspace from sub-domain instead of path."),
	F_STR(T, portal_gui_ssl_cert,             .later = LATER_PORTAL, .help = "Certificate of portal_gui_listen."),
	F_STR(T, portal_gui_ssl_cert_key,         .later = LATER_PORTAL, .help = "Key of portal_gui_ssl_cert."),
	F_STR(T, portal_gui_access_log,           .def = J("logs/portal_gui_access.log"), .later = LATER_PORTAL, .help = "Access log of the portal, or off."),
	F_STR(T, portal_gui_error_log,            .def = J("logs/portal_gui_error.log"), .later = LATER_PORTAL, .help = "Error log of the portal."),
	F_STRS(T, portal_api_listen,              .def = J(["0.0.0.0:8004", "0.0.0.0:8447 ssl"]), .later = LATER_PORTAL, .help = "Addresses of the portal's API."),
	F_STR(T, portal_api_url,                  .later = LATER_PORTAL, .help = "Its public address."),
	F_STR(T, portal_api_ssl_cert,             .later = LATER_PORTAL, .help = "Certificate of portal_api_listen."),
	F_STR(T, portal_api_ssl_cert_key,         .later = LATER_PORTAL, .help = "Key of portal_api_ssl_cert."),
	F_STR(T, portal_api_access_log,           .def = J("logs/portal_api_access.log"), .later = LATER_PORTAL, .help = "Access log of the portal's API, or off."),
	F_STR(T, portal_api_error_log,            .def = J("logs/portal_api_error.log"), .later = LATER_PORTAL, .help = "Error log of the portal's API."),
	F_BOOL(T, portal_is_legacy,               .def = J(false), .later = LATER_PORTAL, .help = "Render in the old way."),
	F_STR(T, portal_app_auth,                 .def = J("kong-oauth2"), .one_of = J(["kong-oauth2", "external-oauth2"]), .later = LATER_PORTAL, .help = "Who registers applications."),
	F_STR(T, portal_auth,                     .one_of = J(["basic-auth", "key-auth", "openid-connect"]), .later = LATER_PORTAL, .help = "Login of developers."),
	F_STR(T, portal_auth_password_complexity, .later = LATER_PORTAL, .help = "Rules for passwords, JSON."),
	F_STR(T, portal_auth_conf,                .is_secret = true, .later = LATER_PORTAL, .help = "Configuration of that login, JSON."),
	F_INT(T, portal_auth_login_attempts,      .def = J(0), .later = LATER_PORTAL, .help = "Failed logins before an account is locked; 0: no limit."),
	F_STR(T, portal_session_conf,             .is_secret = true, .later = LATER_PORTAL, .help = "Configuration of its sessions, JSON."),
	F_BOOL(T, portal_auto_approve,            .def = J(false), .later = LATER_PORTAL, .help = "Approve developers automatically."),
	F_INT(T, portal_token_exp,                .def = J(21600), .unit = "s", .later = LATER_PORTAL, .help = "Seconds a token for a new password is valid."),
	F_BOOL(T, portal_email_verification,      .def = J(false), .later = LATER_PORTAL, .help = "Require e-mail verification (needs SMTP)."),
	F_END
};

static const struct field dev_portal_e_mails_rows[] = {
	F_BOOL(T, portal_invite_email,              .def = J(true), .later = LATER_PORTAL, .help = "Send invitations."),
	F_BOOL(T, portal_access_request_email,      .def = J(true), .later = LATER_PORTAL, .help = "Tell admins of requests for access."),
	F_BOOL(T, portal_approved_email,            .def = J(true), .later = LATER_PORTAL, .help = "Tell developers that they were approved."),
	F_BOOL(T, portal_reset_email,               .def = J(true), .later = LATER_PORTAL, .help = "Send links for a new password."),
	F_BOOL(T, portal_reset_success_email,       .def = J(true), .later = LATER_PORTAL, .help = "Confirm a new password."),
	F_BOOL(T, portal_application_status_email,  .def = J(false), .later = LATER_PORTAL, .help = "Tell developers of their application's status."),
	F_BOOL(T, portal_application_request_email, .def = J(false), .later = LATER_PORTAL, .help = "Tell admins of requests of applications."),
	F_STR(T, portal_emails_from,                .later = LATER_PORTAL, .help = "Sender of the portal's mails."),
	F_STR(T, portal_emails_reply_to,            .later = LATER_PORTAL, .help = "Reply-To of the portal's mails."),
	F_STRS(T, portal_smtp_admin_emails,         .later = LATER_PORTAL, .help = "Admins of the portal."),
	F_END
};

#undef T
/* clang-format on */

const struct settings_group settings_dev_portal = {
	.heading = "Dev Portal",
	.rows = dev_portal_rows,
	.is_enterprise = true,
};
const struct settings_group settings_dev_portal_e_mails = {
	.heading = "Dev Portal e-mails",
	.rows = dev_portal_e_mails_rows,
	.is_enterprise = true,
};
