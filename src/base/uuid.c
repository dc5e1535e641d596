/* SPDX-License-Identifier: Apache-2.0 */
#include "base/uuid.h"

#include "base/log.h"
#include <sys/random.h>

bool uuid_is_none(uuid u)
{
	static const uuid none;

	return uuid_eq(u, none);
}

bool uuid_eq(uuid a, uuid b)
{
	return memcmp(a.b, b.b, sizeof(a.b)) == 0;
}

int uuid_cmp(uuid a, uuid b)
{
	return memcmp(a.b, b.b, sizeof(a.b));
}

static bool is_dash_at(size_t i)
{
	return i == 8 || i == 13 || i == 18 || i == 23;
}

bool uuid_parse(str s, uuid *ret)
{
	uuid u = { 0 };
	size_t nibble = 0;

	if (s.n != 36)
		return false;
	for (size_t i = 0; i < 36; i++) {
		int digit;

		if (is_dash_at(i)) {
			if (s.s[i] != '-')
				return false;
			continue;
		}
		digit = ascii_hex(s.s[i]);
		if (digit < 0)
			return false;
		u.b[nibble / 2] |= (uint8_t)(digit << (nibble % 2 ? 0 : 4));
		nibble++;
	}
	*ret = u;
	return true;
}

void uuid_write(uuid u, char out[36])
{
	static const char digits[] = "0123456789abcdef";
	static const uint8_t places[16] = { 0,  2,  4,  6,  9,  11, 14, 16,
					    19, 21, 24, 26, 28, 30, 32, 34 };

	for (size_t i = 0; i < 16; i++) {
		out[places[i]] = digits[u.b[i] >> 4];
		out[places[i] + 1] = digits[u.b[i] & 15];
	}
	out[8] = out[13] = out[18] = out[23] = '-';
}

str uuid_str(struct arena *a, uuid u)
{
	char *p = arena_bytes(a, 36);

	uuid_write(u, p);
	return (str){ p, 36 };
}

uuid uuid_random(void)
{
	uuid u;

	if (getrandom(u.b, sizeof(u.b), 0) != (ssize_t)sizeof(u.b))
		die("the kernel gives no random numbers");
	u.b[6] = (uint8_t)((u.b[6] & 0x0f) | 0x40); /* RFC 4122 §4.4 */
	u.b[8] = (uint8_t)((u.b[8] & 0x3f) | 0x80);
	return u;
}
