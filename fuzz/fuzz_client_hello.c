/* SPDX-License-Identifier: Apache-2.0 */
/* A ClientHello: one verdict for the same bytes, which more bytes behind it do not change, and
 * a name that may stand in a log. */
#include "fuzz.h"

#include <assert.h>
#include <string.h>

#include "net/client_hello.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	char name[CLIENT_HELLO_NAME + 1], again[CLIENT_HELLO_NAME + 1];
	enum client_hello h = client_hello_parse((const char *)data, n, name);

	assert(strlen(name) <= CLIENT_HELLO_NAME);
	assert(h == HELLO_READ || !name[0]);
	for (const char *p = name; *p; p++)
		assert((*p >= 'a' && *p <= 'z') || (*p >= '0' && *p <= '9') || strchr("-._", *p));
	if (n && h != HELLO_OTHER) {
		enum client_hello part = client_hello_parse((const char *)data, n - 1, again);

		assert(part == HELLO_MORE || (part == h && strcmp(name, again) == 0));
	}
	return 0;
}
