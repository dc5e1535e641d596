/* SPDX-License-Identifier: Apache-2.0 */
/* Parameters come in this order and with quotes, as Kong reads them; what follows them is of no
 * interest. */
#include "plugins/hmac-auth/params.h"

static void skip_space(str *rest)
{
	while (rest->n && (*rest->s == ' ' || *rest->s == '\t'))
		*rest = str_from(*rest, 1);
}

/* Takes `name="..."` off the front; what is between the quotes is not empty. */
static bool take(str *rest, const char *name, str *ret)
{
	size_t n = strlen(name);
	ptrdiff_t end;

	skip_space(rest);
	if (!str_starts(*rest, str_of(name)) || !str_starts(str_from(*rest, n), STR("=\"")))
		return false;
	*rest = str_from(*rest, n + 2);
	end = str_find(*rest, '"', 0);
	if (end <= 0)
		return false;
	*ret = str_part(*rest, 0, (size_t)end);
	*rest = str_from(*rest, (size_t)end + 1);
	return true;
}

static bool take_comma(str *rest)
{
	if (!rest->n || *rest->s != ',')
		return false;
	*rest = str_from(*rest, 1);
	return true;
}

bool hmac_params_read(str header, struct hmac_params *ret)
{
	str rest = str_trim(header);

	if (!str_starts(rest, STR("hmac")) && !str_starts(rest, STR("Hmac")))
		return false;
	rest = str_from(rest, 4);
	return take(&rest, "username", &ret->username) && take_comma(&rest) &&
	       take(&rest, "algorithm", &ret->algorithm) && take_comma(&rest) &&
	       take(&rest, "headers", &ret->headers) && take_comma(&rest) &&
	       take(&rest, "signature", &ret->signature);
}
