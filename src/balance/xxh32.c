/* SPDX-License-Identifier: Apache-2.0 */
/* XXH32 as its specification describes it: four lanes over stripes of 16 bytes,
 * then words, then bytes, then the avalanche.  Reads little-endian. */
#include "balance/xxh32.h"

#include <endian.h>

#define P1 2654435761u
#define P2 2246822519u
#define P3 3266489917u
#define P4 668265263u
#define P5 374761393u

static uint32_t rotate(uint32_t x, int by)
{
	return x << by | x >> (32 - by);
}

static uint32_t word(const char *p)
{
	uint32_t w;

	memcpy(&w, p, sizeof(w));
	return le32toh(w);
}

uint32_t xxh32(str s)
{
	const char *p = s.s, *end = s.s + s.n;
	uint32_t h = P5;

	if (s.n >= 16) {
		uint32_t lane[4] = { P1 + P2, P2, 0, 0 - P1 };

		for (; end - p >= 16; p += 16)
			for (int i = 0; i < 4; i++)
				lane[i] = rotate(lane[i] + word(p + 4 * i) * P2, 13) * P1;
		h = rotate(lane[0], 1) + rotate(lane[1], 7) + rotate(lane[2], 12) +
		    rotate(lane[3], 18);
	}
	h += (uint32_t)s.n;
	for (; end - p >= 4; p += 4)
		h = rotate(h + word(p) * P3, 17) * P4;
	for (; p < end; p++)
		h = rotate(h + (unsigned char)*p * P5, 11) * P1;
	h = (h ^ h >> 15) * P2;
	h = (h ^ h >> 13) * P3;
	return h ^ h >> 16;
}
