/* SPDX-License-Identifier: Apache-2.0 */
/* Parts are base64url as others write it; the signature has one spelling alone. */
#include "plugins/jwt/token.h"

/* The algorithms, and what checks each. */
/* clang-format off */
static const struct jwt_algorithm algorithms[] = {
	{ "HS256", JWT_SHARED, HASH_SHA256 }, { "HS384", JWT_SHARED, HASH_SHA384 }, { "HS512", JWT_SHARED, HASH_SHA512 },
	{ "RS256", JWT_RSA,    HASH_SHA256 }, { "RS384", JWT_RSA,    HASH_SHA384 }, { "RS512", JWT_RSA,    HASH_SHA512 },
	{ "ES256", JWT_ECDSA,  HASH_SHA256 }, { "ES384", JWT_ECDSA,  HASH_SHA384 },
};
/* clang-format on */

const struct jwt_algorithm *jwt_algorithm_find(str name)
{
	for (size_t i = 0; i < COUNT(algorithms); i++) {
		if (str_is(name, algorithms[i].name))
			return &algorithms[i];
	}
	return NULL;
}

static bool is_space(char c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

str jwt_bearer(str header)
{
	for (size_t i = 0; i + 7 < header.n; i++) {
		size_t at = i + 6;

		if ((header.s[i] != 'B' && header.s[i] != 'b') ||
		    !str_eq(str_part(header, i + 1, at), STR("earer")) || !is_space(header.s[at]))
			continue;
		while (at < header.n && is_space(header.s[at]))
			at++;
		if (at < header.n)
			return str_from(header, at);
	}
	return STR_NONE;
}

/* ---- reading ------------------------------------------------------------------------------ */

static struct value *read_part(struct arena *a, str part)
{
	struct value *v = NULL;
	struct err *e;
	str text;

	if (!base64url_decode(a, part, BASE64URL_FREE, &text))
		return NULL;
	e = json_parse(a, text, &v);
	if (e) {
		err_forget();
		return NULL;
	}
	return v;
}

const char *jwt_token_read(struct arena *a, str text, struct jwt_token *ret)
{
	ptrdiff_t first = str_find(text, '.', 0);
	ptrdiff_t second = first < 0 ? -1 : str_find(text, '.', (size_t)first + 1);
	const struct value *alg;

	*ret = (struct jwt_token){ .text = text };
	if (second < 0)
		return "invalid JSON";
	ret->signed_part = str_part(text, 0, (size_t)second);
	ret->header = read_part(a, str_part(text, 0, (size_t)first));
	ret->claims = read_part(a, str_part(text, (size_t)first + 1, (size_t)second));
	if (!ret->header || !ret->claims)
		return "invalid JSON";
	alg = value_get(ret->header, "alg");
	if (value_is_null(alg) || alg->kind != VALUE_STRING || !jwt_algorithm_find(alg->s))
		return "invalid alg";
	if (ret->claims->kind != VALUE_OBJECT)
		return "invalid claims";
	if (!base64url_decode(a, str_from(text, (size_t)second + 1), BASE64URL_STRICT,
			      &ret->signature))
		return "invalid signature";
	return NULL;
}

/* ---- checking ----------------------------------------------------------------------------- */

bool jwt_token_is_signed(struct arena *a, const struct jwt_token *t,
			 const struct jwt_algorithm *algorithm, str key)
{
	switch (algorithm->how) {
	case JWT_SHARED:
		return str_eq_secret(t->signature, hmac(a, algorithm->hash, key, t->signed_part));
	case JWT_RSA:
		return signature_is_rsa(key, algorithm->hash, t->signed_part, t->signature);
	case JWT_ECDSA:
		return signature_is_ecdsa(key, algorithm->hash, t->signed_part, t->signature);
	}
	return false;
}
