/* SPDX-License-Identifier: Apache-2.0 */
/* The header names that the gateway itself looks at, as small numbers. */
#pragma once

#include "base/str.h"

/* clang-format off */
#define HTTP_NAMES(X)                                                                              \
	X(ACCEPT,              "Accept")                                                           \
	X(ACCEPT_ENCODING,     "Accept-Encoding")                                                  \
	X(AUTHORIZATION,       "Authorization")                                                    \
	X(CACHE_CONTROL,       "Cache-Control")                                                    \
	X(CONNECTION,          "Connection")                                                       \
	X(CONTENT_ENCODING,    "Content-Encoding")                                                 \
	X(CONTENT_LENGTH,      "Content-Length")                                                   \
	X(CONTENT_TYPE,        "Content-Type")                                                     \
	X(COOKIE,              "Cookie")                                                           \
	X(DATE,                "Date")                                                             \
	X(ETAG,                "ETag")                                                             \
	X(EXPECT,              "Expect")                                                           \
	X(HOST,                "Host")                                                             \
	X(KEEP_ALIVE,          "Keep-Alive")                                                       \
	X(LOCATION,            "Location")                                                         \
	X(ORIGIN,              "Origin")                                                           \
	X(PROXY,               "Proxy")                                                            \
	X(PROXY_AUTHORIZATION, "Proxy-Authorization")                                              \
	X(PROXY_CONNECTION,    "Proxy-Connection")                                                 \
	X(REFERER,             "Referer")                                                          \
	X(SERVER,              "Server")                                                           \
	X(SET_COOKIE,          "Set-Cookie")                                                       \
	X(TE,                  "TE")                                                               \
	X(TRAILER,             "Trailer")                                                          \
	X(TRANSFER_ENCODING,   "Transfer-Encoding")                                                \
	X(UPGRADE,             "Upgrade")                                                          \
	X(USER_AGENT,          "User-Agent")                                                       \
	X(VARY,                "Vary")                                                             \
	X(VIA,                 "Via")                                                              \
	X(WWW_AUTHENTICATE,    "WWW-Authenticate")                                                 \
	X(X_ACCEL_REDIRECT,    "X-Accel-Redirect")                                                 \
	X(X_FORWARDED_FOR,     "X-Forwarded-For")                                                  \
	X(X_FORWARDED_HOST,    "X-Forwarded-Host")                                                 \
	X(X_FORWARDED_PATH,    "X-Forwarded-Path")                                                 \
	X(X_FORWARDED_PORT,    "X-Forwarded-Port")                                                 \
	X(X_FORWARDED_PREFIX,  "X-Forwarded-Prefix")                                               \
	X(X_FORWARDED_PROTO,   "X-Forwarded-Proto")                                                \
	X(X_REAL_IP,           "X-Real-IP")                                                        \
	X(KONG_DEBUG,          "Kong-Debug")
/* clang-format on */

enum http_name {
	HTTP_OTHER,
#define X(id, text) HTTP_##id,
	HTTP_NAMES(X)
#undef X
		HTTP_NAMES_COUNT
};

enum http_name http_name_of(str name); /* case ignored; fast: length and first byte first */
str http_name_text(enum http_name id);
