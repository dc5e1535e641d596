/* SPDX-License-Identifier: Apache-2.0 */
#include "protobuf/timestamp.h"

#include <time.h>

/* So many digits at *at; -1: they are not there. */
static int digits(str s, size_t *at, size_t n)
{
	int value = 0;

	for (; n; n--, (*at)++) {
		if (*at >= s.n || !ascii_is_digit(s.s[*at]))
			return -1;
		value = value * 10 + (s.s[*at] - '0');
	}
	return value;
}

static bool sign(str s, size_t *at, const char *any)
{
	if (*at >= s.n || !strchr(any, s.s[*at]) || !s.s[*at])
		return false;
	(*at)++;
	return true;
}

static bool parse_fraction(str s, size_t *at, int32_t *ret)
{
	int32_t unit = 100000000;

	*ret = 0;
	if (!sign(s, at, "."))
		return true;
	if (*at >= s.n || !ascii_is_digit(s.s[*at]))
		return false;
	for (; *at < s.n && ascii_is_digit(s.s[*at]); (*at)++, unit /= 10)
		*ret += unit * (s.s[*at] - '0');
	return true;
}

static bool parse_offset(str s, size_t *at, int *ret_seconds)
{
	bool is_west = *at < s.n && s.s[*at] == '-';
	int hours, minutes;

	*ret_seconds = 0;
	if (*at == s.n || sign(s, at, "Zz"))
		return true;
	if (!sign(s, at, "+-") || (hours = digits(s, at, 2)) < 0 || hours > 23 ||
	    !sign(s, at, ":") || (minutes = digits(s, at, 2)) < 0 || minutes > 59)
		return false;
	*ret_seconds = (is_west ? -1 : 1) * (hours * 3600 + minutes * 60);
	return true;
}

bool timestamp_parse(str s, int64_t *ret_seconds, int32_t *ret_nanos)
{
	struct tm t = { 0 };
	size_t at = 0;
	int offset;

	if ((t.tm_year = digits(s, &at, 4)) < 0 || !sign(s, &at, "-") ||
	    (t.tm_mon = digits(s, &at, 2)) < 1 || t.tm_mon > 12 || !sign(s, &at, "-") ||
	    (t.tm_mday = digits(s, &at, 2)) < 1 || t.tm_mday > 31 || !sign(s, &at, "Tt ") ||
	    (t.tm_hour = digits(s, &at, 2)) < 0 || t.tm_hour > 23 || !sign(s, &at, ":") ||
	    (t.tm_min = digits(s, &at, 2)) < 0 || t.tm_min > 59 || !sign(s, &at, ":") ||
	    (t.tm_sec = digits(s, &at, 2)) < 0 || t.tm_sec > 60 ||
	    !parse_fraction(s, &at, ret_nanos) || !parse_offset(s, &at, &offset) || at != s.n)
		return false;
	t.tm_year -= 1900;
	t.tm_mon--;
	*ret_seconds = timegm(&t) - offset;
	return true;
}

str timestamp_text(struct arena *a, int64_t seconds)
{
	struct tm t;
	time_t when = seconds;
	char text[64];

	if (!gmtime_r(&when, &t))
		return STR("");
	return str_copy(a, str_at(text, strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &t)));
}
