/* SPDX-License-Identifier: Apache-2.0 */
/* oauth2 - what its parts share.
 *
 *	oauth2.c   rows, and which part a request is for
 *	grants.c   the two endpoints: who may have a code or a token, and making it
 *	access.c   requests that show a token
 *	secret.c   secrets of clients that are kept as hashes
 *
 * Clients are oauth2_credentials of a consumer.  Codes and tokens are made by requests and
 * lie in the database alone; without one there are none. */
#pragma once

#include <gibbon/plugin.h>

struct oauth2_conf {
	strs scopes;
	bool mandatory_scope;
	str provision_key;
	double token_expiration, refresh_token_ttl;
	bool enable_authorization_code, enable_implicit_grant, enable_client_credentials,
		enable_password_grant;
	bool hide_credentials, accept_http_if_already_terminated, global_credentials,
		reuse_refresh_token;
	str anonymous, auth_header_name, pkce;
};

struct oauth2_client {
	uuid id, consumer;
	int64_t created_at;
	str name, client_id, client_secret, client_type;
	bool hash_secret;
	strs redirect_uris, tags;
};

struct oauth2_code {
	uuid id, service, credential;
	int64_t created_at, ttl;
	str code, authenticated_userid, scope, challenge, challenge_method;
};

struct oauth2_token {
	uuid id, service, credential;
	int64_t created_at, ttl, expires_in;
	str token_type, access_token, refresh_token, authenticated_userid, scope;
};

extern const struct entity oauth2_clients, oauth2_codes, oauth2_tokens;

/* ---- the request ------------------------------------------------------------------------- */

/* Arguments of the query and, where the method has one, of the body, which go before.
 * False: answered. */
bool oauth2_parameters(struct req *r, struct value **ret) SUSPENDS;

/* A text of them; STR_NONE: there is none, or it is no text. */
str oauth2_text(const struct value *parameters, const char *name);

/* The service that the request is for; none: all zero. */
uuid oauth2_service(const struct req *r);

enum verdict oauth2_authorize(struct req *r, const struct oauth2_conf *conf) SUSPENDS;
enum verdict oauth2_issue(struct req *r, const struct oauth2_conf *conf) SUSPENDS;
enum verdict oauth2_access(struct req *r, const struct oauth2_conf *conf) SUSPENDS;

/* ---- secrets ------------------------------------------------------------------------------- */

/* As Kong keeps them: "$pbkdf2-sha512$i=10000,l=32$salt$hash". */
str oauth2_secret_hash(struct arena *a, str secret);
bool oauth2_secret_is(struct req *r, str secret, str hash) SUSPENDS;
