/* SPDX-License-Identifier: Apache-2.0 */
/* Laid out as SETS places of WAYS entries each; the key says which place. */
#include "plugins/ldap-auth/verdicts.h"

#include <pthread.h>

#define SETS 4096
#define WAYS 8

struct entry {
	uint8_t key[VERDICT_KEY];
	int64_t until_ms; /* 0: none */
	bool is_yes;
};

static struct entry table[SETS][WAYS];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static struct entry *place_of(const uint8_t key[VERDICT_KEY])
{
	return table[(key[0] << 8 | key[1]) % SETS];
}

static bool is_of(const struct entry *e, const uint8_t key[VERDICT_KEY])
{
	return memcmp(e->key, key, VERDICT_KEY) == 0;
}

enum verdict_said verdict_find(const uint8_t key[VERDICT_KEY], int64_t now_ms)
{
	enum verdict_said said = SAID_NOTHING;

	pthread_mutex_lock(&lock);
	for (const struct entry *e = place_of(key), *end = e + WAYS; e < end; e++) {
		if (e->until_ms > now_ms && is_of(e, key))
			said = e->is_yes ? SAID_YES : SAID_NO;
	}
	pthread_mutex_unlock(&lock);
	return said;
}

void verdict_keep(const uint8_t key[VERDICT_KEY], bool is_yes, int64_t now_ms, int64_t until_ms)
{
	struct entry *to;

	if (until_ms <= now_ms)
		return;
	pthread_mutex_lock(&lock);
	to = place_of(key);
	for (struct entry *e = to, *end = e + WAYS; e < end; e++) {
		if (is_of(e, key)) {
			to = e;
			break;
		}
		if (e->until_ms < to->until_ms)
			to = e;
	}
	memcpy(to->key, key, VERDICT_KEY);
	to->is_yes = is_yes;
	to->until_ms = until_ms;
	pthread_mutex_unlock(&lock);
}
