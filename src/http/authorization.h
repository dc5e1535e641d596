/* SPDX-License-Identifier: Apache-2.0 */
/* authorization - what the value of an Authorization header says (RFC 9110 §11.6.2). */
#pragma once

#include "base/str.h"

/* "Basic dXNlcjpwYXNz" (RFC 7617), or the same under another scheme: the scheme in any case,
 * and base64 of a name and, behind a colon, a password, which is STR_NONE where there is no
 * colon.  False: it is nothing of the kind. */
bool authorization_pair(struct arena *a, str header, str scheme, str *ret_name, str *ret_password);
