/* SPDX-License-Identifier: Apache-2.0 */
/* A PROXY header: never more than was given, never another verdict for the same bytes. */
#include "fuzz.h"

#include <assert.h>

#include "net/proxy_protocol.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct proxy_protocol p;
	ssize_t length = proxy_protocol_parse((const char *)data, n, &p);

	assert(length >= -1 && length <= (ssize_t)n);
	if (length > 0) /* the header alone says the same */
		assert(proxy_protocol_parse((const char *)data, (size_t)length, &p) == length);
	return 0;
}
