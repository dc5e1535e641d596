/* SPDX-License-Identifier: Apache-2.0 */
/* cookies - the Cookie header, taken apart (RFC 6265 §5.4). */
#pragma once

#include "base/str.h"

/* Takes the next pair off *rest; false at the end.  Start with the header's value.  A
 * piece without '=' is passed over; a value between double quotes keeps them. */
bool cookie_next(str *rest, str *ret_name, str *ret_value);
