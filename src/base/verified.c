/* SPDX-License-Identifier: Apache-2.0 */
/* Rows of four MACs, a line of the processor's cache, the last one that was asked for first.
 * Which row a MAC is in is part of it. */
#include "base/verified.h"

#include "base/mem.h"
#include "base/siphash.h"
#include <assert.h>

#define ROW 4

struct verified {
	struct sip_key key;
	size_t rows; /* a power of two */
	struct sip_mac macs[][ROW];
};

struct verified *verified_new(size_t places)
{
	struct verified *v = mem_alloc(sizeof(*v) + places * sizeof(v->macs[0][0]));

	assert(places >= ROW && (places & (places - 1)) == 0);
	sip_key_make(&v->key);
	v->rows = places / ROW;
	return v;
}

void verified_drop(struct verified **v)
{
	mem_free(*v);
	*v = NULL;
}

static bool is_same(const struct sip_mac *a, const struct sip_mac *b)
{
	return ((a->words[0] ^ b->words[0]) | (a->words[1] ^ b->words[1])) == 0;
}

/* Places before `at` move one back, and the first is the MAC's. */
static void put_first(struct sip_mac row[ROW], size_t at, struct sip_mac mac)
{
	memmove(row + 1, row, at * sizeof(*row));
	row[0] = mac;
}

bool verified_has(struct verified *v, str text)
{
	struct sip_mac mac = sip_mac(&v->key, text.s, text.n);
	struct sip_mac *row = v->macs[mac.words[0] & (v->rows - 1)];

	for (size_t i = 0; i < ROW; i++) {
		if (is_same(&row[i], &mac)) {
			put_first(row, i, mac);
			return true;
		}
	}
	return false;
}

void verified_add(struct verified *v, str text)
{
	struct sip_mac mac = sip_mac(&v->key, text.s, text.n);

	put_first(v->macs[mac.words[0] & (v->rows - 1)], ROW - 1, mac);
}
