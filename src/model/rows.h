/* SPDX-License-Identifier: Apache-2.0 */
/* rows - rows that many entities share.  T is the struct that they decode into. */
#pragma once

#include "model/rules.h"

/* clang-format off */
#define ROW_ID(T)         F_UUID(T, id, .is_auto = true, .help = "Identifies it for good; made when left out.")
#define ROW_CREATED_AT(T) F_TIME(T, created_at, .help = "When it was made, seconds since 1970.")
#define ROW_UPDATED_AT(T) F_TIME(T, updated_at, .help = "When it was last changed, seconds since 1970.")
#define ROW_TAG           FIELD(FIELD_STRING, .required = true, .check = rule_tag)
#define ROW_TAGS(T)       F_STRS(T, tags, .is_set = true, .elements = ROW_TAG, \
                                 .help = "Words to find it by, with ?tags= on lists.")

#define ROW_PROTOCOLS_ALL  J(["grpc", "grpcs", "http", "https", "tcp", "tls", "tls_passthrough", "udp"])
#define ROW_PROTOCOLS_HTTP J(["grpc", "grpcs", "http", "https"])
#define ROW_PORT           .between = J([0, 65535])
#define ROW_NO_EMPTY_SEGMENTS \
	.match_none = (const struct pattern_rule[]){ { "//", "must not have empty segments" }, { 0 } }
#define ROW_PATH           .starts_with = "/", ROW_NO_EMPTY_SEGMENTS, .check = rule_path
/* clang-format on */
