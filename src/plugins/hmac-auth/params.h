/* SPDX-License-Identifier: Apache-2.0 */
/* params - what a header says of a signature:
 *
 *	hmac username="jo", algorithm="hmac-sha256", headers="date request-line", signature="..." */
#pragma once

#include <gibbon/plugin.h>

struct hmac_params {
	str username, algorithm, headers, signature; /* none of them empty; borrowed */
};

/* False: it is another header. */
bool hmac_params_read(str header, struct hmac_params *ret);
