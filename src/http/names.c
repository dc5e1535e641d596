/* SPDX-License-Identifier: Apache-2.0 */
/* Names to numbers: an open-addressed table over length, first and last letter,
 * filled at its first use from the rows of names.h.  A name that the table does
 * not know costs a look at one or two slots. */
#include "http/names.h"

#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>

#define SLOTS 128 /* a power of two, three times the rows */

_Static_assert(HTTP_NAMES_COUNT < SLOTS / 2, "the table of header names wants more slots");

/* clang-format off */
static const str texts[HTTP_NAMES_COUNT] = {
#define X(id, text) [HTTP_##id] = STR_INIT(text),
	HTTP_NAMES(X)
#undef X
};
/* clang-format on */

#define LONGEST 24 /* bytes of a name, in whole words */

/* A name to compare with, eight bytes at a time: bits that may differ are those of
 * the case, where there is a letter. */
struct row {
	char text[LONGEST], fold[LONGEST];
};

static struct row rows[HTTP_NAMES_COUNT];
static uint8_t slots[SLOTS]; /* an enum http_name, or 0 */
static atomic_bool is_filled;
static pthread_once_t fill_once = PTHREAD_ONCE_INIT;

static inline unsigned slot_of(str name)
{
	unsigned first = (unsigned char)name.s[0] | 0x20;
	unsigned last = (unsigned char)name.s[name.n - 1] | 0x20;

	return ((unsigned)name.n * 5 + first * 11 + last * 37) % SLOTS;
}

static void fill(void)
{
	for (unsigned id = 1; id < HTTP_NAMES_COUNT; id++) {
		unsigned slot = slot_of(texts[id]);

		while (slots[slot])
			slot = (slot + 1) % SLOTS;
		slots[slot] = (uint8_t)id;
		assert(texts[id].n <= LONGEST);
		memcpy(rows[id].text, texts[id].s, texts[id].n);
		for (size_t i = 0; i < texts[id].n; i++)
			rows[id].fold[i] = ascii_is_alpha(texts[id].s[i]) ? 0x20 : 0;
	}
	atomic_store_explicit(&is_filled, true, memory_order_release);
}

static inline bool differs_8(const char *s, const struct row *r, size_t at)
{
	uint64_t x, text, fold;

	memcpy(&x, s + at, sizeof(x));
	memcpy(&text, r->text + at, sizeof(text));
	memcpy(&fold, r->fold + at, sizeof(fold));
	return ((x ^ text) & ~fold) != 0;
}

static inline bool is_same(str name, unsigned id)
{
	const struct row *r = &rows[id];

	if (name.n != texts[id].n)
		return false;
	if (name.n < 8) {
		for (size_t i = 0; i < name.n; i++)
			if ((name.s[i] ^ r->text[i]) & ~r->fold[i])
				return false;
		return true;
	}
	for (size_t i = 0; i + 8 < name.n; i += 8)
		if (differs_8(name.s, r, i))
			return false;
	return !differs_8(name.s, r, name.n - 8);
}

enum http_name http_name_of(str name)
{
	if (name.n == 0)
		return HTTP_OTHER;
	if (unlikely(!atomic_load_explicit(&is_filled, memory_order_acquire)))
		pthread_once(&fill_once, fill);
	for (unsigned slot = slot_of(name); slots[slot]; slot = (slot + 1) % SLOTS)
		if (is_same(name, slots[slot]))
			return slots[slot];
	return HTTP_OTHER;
}

str http_name_text(enum http_name id)
{
	return texts[id];
}
