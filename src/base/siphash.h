/* SPDX-License-Identifier: Apache-2.0 */
/* siphash - short keyed hashes (Aumasson, Bernstein), for who must not be able to guess them
 * without the key: of tables' keys that come from outside, and as MACs. */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct sip_key {
	uint64_t words[2];
};

/* From the kernel's generator. */
void sip_key_make(struct sip_key *ret);

/* SipHash-1-3, for tables. */
uint64_t sip_hash(const struct sip_key *key, const void *p, size_t n);

/* SipHash-2-4 of 128 bits, a MAC. */
struct sip_mac {
	uint64_t words[2];
};
struct sip_mac sip_mac(const struct sip_key *key, const void *p, size_t n);
