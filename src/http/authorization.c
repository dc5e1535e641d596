/* SPDX-License-Identifier: Apache-2.0 */
#include "http/authorization.h"

#include "net/tls_crypto.h"

bool authorization_pair(struct arena *a, str header, str scheme, str *ret_name, str *ret_password)
{
	str trimmed = str_trim(header), text;
	ptrdiff_t colon;

	if (!str_starts_ci(trimmed, scheme) ||
	    !base64url_decode(a, str_trim(str_from(trimmed, scheme.n)), BASE64URL_FREE, &text) ||
	    !text.n)
		return false;
	colon = str_find(text, ':', 0);
	*ret_name = colon < 0 ? text : str_part(text, 0, (size_t)colon);
	*ret_password = colon < 0 ? STR_NONE : str_from(text, (size_t)colon + 1);
	return true;
}
