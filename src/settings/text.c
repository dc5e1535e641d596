/* SPDX-License-Identifier: Apache-2.0 */
/* nginx's ways of writing sizes and times. */
#include "settings/settings.h"

/* Digits at the front of *rest; false when there are none or too many. */
static bool take_number(str *rest, int64_t *ret)
{
	size_t n = 0;

	while (n < rest->n && ascii_is_digit(rest->s[n]))
		n++;
	if (n == 0 || n > 15 || !str_to_int(str_part(*rest, 0, n), ret))
		return false;
	*rest = str_from(*rest, n);
	return true;
}

bool size_parse(str text, int64_t *ret)
{
	str rest = str_trim(text);
	int64_t n;
	int shift = 0;

	if (!take_number(&rest, &n))
		return false;
	if (rest.n > 1)
		return false;
	if (rest.n == 1) {
		switch (ascii_lower(rest.s[0])) {
		case 'k':
			shift = 10;
			break;
		case 'm':
			shift = 20;
			break;
		case 'g':
			shift = 30;
			break;
		default:
			return false;
		}
	}
	if (n > INT64_MAX >> shift)
		return false;
	*ret = n << shift;
	return true;
}

/* clang-format off */
static const struct time_unit {
	str word;
	int64_t ms;
} time_units[] = { /* the order in which nginx wants them; ms before m */
	{ STR_INIT("y"),  365LL * 86400 * 1000 },
	{ STR_INIT("M"),  30LL * 86400 * 1000 },
	{ STR_INIT("w"),  7LL * 86400 * 1000 },
	{ STR_INIT("d"),  86400LL * 1000 },
	{ STR_INIT("h"),  3600LL * 1000 },
	{ STR_INIT("ms"), 1 },
	{ STR_INIT("m"),  60LL * 1000 },
	{ STR_INIT("s"),  1000 },
};
/* clang-format on */

#define TIME_MAX_MS (INT64_C(100) * 365 * 86400 * 1000) /* a century */

/* The unit in front of *rest, taken off it; seconds when there is none. */
static int64_t take_unit(str *rest)
{
	for (size_t i = 0; i < COUNT(time_units); i++) {
		if (str_starts(*rest, time_units[i].word)) {
			*rest = str_from(*rest, time_units[i].word.n);
			return time_units[i].ms;
		}
	}
	return 1000;
}

bool time_parse(str text, int64_t *ret_ms)
{
	str rest = str_trim(text);
	int64_t total = 0, last_unit = INT64_MAX;

	if (rest.n == 0)
		return false;
	while (rest.n > 0) {
		int64_t n, unit;

		if (!take_number(&rest, &n))
			return false;
		unit = take_unit(&rest);
		if (unit >= last_unit || n > TIME_MAX_MS / unit)
			return false;
		total += n * unit;
		if (total > TIME_MAX_MS)
			return false;
		last_unit = unit;
		while (rest.n > 0 && rest.s[0] == ' ')
			rest = str_from(rest, 1);
	}
	*ret_ms = total;
	return true;
}
