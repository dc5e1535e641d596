/* SPDX-License-Identifier: Apache-2.0 */
/* Words are read as this machine has them: little-endian. */
#include "base/siphash.h"

#include "base/log.h"
#include <string.h>
#include <sys/random.h>

void sip_key_make(struct sip_key *ret)
{
	if (getrandom(ret, sizeof(*ret), 0) != (ssize_t)sizeof(*ret))
		die("the kernel gives no random numbers");
}

static uint64_t rotate(uint64_t x, int by)
{
	return x << by | x >> (64 - by);
}

static inline void mix(uint64_t v[4], int rounds)
{
	for (int i = 0; i < rounds; i++) {
		v[0] += v[1];
		v[1] = rotate(v[1], 13) ^ v[0];
		v[0] = rotate(v[0], 32);
		v[2] += v[3];
		v[3] = rotate(v[3], 16) ^ v[2];
		v[0] += v[3];
		v[3] = rotate(v[3], 21) ^ v[0];
		v[2] += v[1];
		v[1] = rotate(v[1], 17) ^ v[2];
		v[2] = rotate(v[2], 32);
	}
}

static inline void take_word(uint64_t v[4], uint64_t word, int rounds)
{
	v[3] ^= word;
	mix(v, rounds);
	v[0] ^= word;
}

/* v is set to the key, but for what tells the 128 bits from the 64. */
static inline void take_bytes(uint64_t v[4], const struct sip_key *key, const void *p_, size_t n,
			      int rounds)
{
	const unsigned char *p = p_;
	uint64_t word;
	size_t i;

	v[0] = key->words[0] ^ 0x736f6d6570736575ULL;
	v[1] ^= key->words[1] ^ 0x646f72616e646f6dULL;
	v[2] = key->words[0] ^ 0x6c7967656e657261ULL;
	v[3] = key->words[1] ^ 0x7465646279746573ULL;
	for (i = 0; i + 8 <= n; i += 8) {
		memcpy(&word, p + i, 8);
		take_word(v, word, rounds);
	}
	word = (uint64_t)n << 56;
	for (size_t k = 0; i + k < n; k++)
		word |= (uint64_t)p[i + k] << (8 * k);
	take_word(v, word, rounds);
}

uint64_t sip_hash(const struct sip_key *key, const void *p, size_t n)
{
	uint64_t v[4] = { 0 };

	take_bytes(v, key, p, n, 1);
	v[2] ^= 0xff;
	mix(v, 3);
	return v[0] ^ v[1] ^ v[2] ^ v[3];
}

struct sip_mac sip_mac(const struct sip_key *key, const void *p, size_t n)
{
	uint64_t v[4] = { 0, 0xee };
	struct sip_mac mac;

	take_bytes(v, key, p, n, 2);
	v[2] ^= 0xee;
	mix(v, 4);
	mac.words[0] = v[0] ^ v[1] ^ v[2] ^ v[3];
	v[1] ^= 0xdd;
	mix(v, 4);
	mac.words[1] = v[0] ^ v[1] ^ v[2] ^ v[3];
	return mac;
}
