/* SPDX-License-Identifier: Apache-2.0 */
#include "http/cookies.h"

bool cookie_next(str *rest, str *ret_name, str *ret_value)
{
	str piece;

	while (str_next(rest, ';', &piece)) {
		ptrdiff_t equals = str_find(piece, '=', 0);

		if (equals < 0)
			continue;
		*ret_name = str_trim(str_part(piece, 0, (size_t)equals));
		*ret_value = str_trim(str_from(piece, (size_t)equals + 1));
		if (ret_name->n)
			return true;
	}
	return false;
}
