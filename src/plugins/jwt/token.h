/* SPDX-License-Identifier: Apache-2.0 */
/* token - a JSON Web Token (RFC 7519) in its three parts, and whether a key has signed it. */
#pragma once

#include <gibbon/plugin.h>

struct jwt_algorithm {
	const char *name;
	enum { JWT_SHARED, JWT_RSA, JWT_ECDSA } how;
	enum hash_kind hash;
};

/* NULL: it is none of those that are known. */
const struct jwt_algorithm *jwt_algorithm_find(str name);

struct jwt_token {
	str text, signed_part, signature;    /* the signature as bytes */
	const struct value *header, *claims; /* header.alg is known, claims are an object */
};

/* What comes after "Bearer" and white space, wherever that is; STR_NONE: nothing. */
str jwt_bearer(str header);

/* NULL, or what is wrong with it. */
const char *jwt_token_read(struct arena *a, str text, struct jwt_token *ret);

bool jwt_token_is_signed(struct arena *a, const struct jwt_token *t,
			 const struct jwt_algorithm *algorithm, str key);
