/* SPDX-License-Identifier: Apache-2.0 */
/* The words of HTTP: classes of bytes, reasons, dates. */
#include "http/http.h"

#include "http/priv.h"

#define T HTTP_CHAR_TOKEN
#define G HTTP_CHAR_TARGET
#define H HTTP_CHAR_HOST
#define D (T | G | H) /* letters, digits and the marks that belong everywhere */

/* Targets take every visible byte but '#', which no request target has, and the
 * bytes of UTF-8 as browsers and nginx do.  Host bytes are those of a reg-name
 * (RFC 3986 §3.2.2); brackets and colons are looked at by http_is_host. */
/* clang-format off */
const uint8_t http_chars[256] = {
	['!'] = D, ['"'] = G, ['#'] = T, ['$'] = D, ['%'] = D, ['&'] = D, ['\''] = D, ['('] = G | H,
	[')'] = G | H, ['*'] = D, ['+'] = D, [','] = G | H, ['-'] = D, ['.'] = D, ['/'] = G,
	['0' ... '9'] = D, [':'] = G, [';'] = G | H, ['<'] = G, ['='] = G | H, ['>'] = G, ['?'] = G,
	['@'] = G, ['A' ... 'Z'] = D, ['['] = G, ['\\'] = G, [']'] = G, ['^'] = T | G, ['_'] = D,
	['`'] = T | G, ['a' ... 'z'] = D, ['{'] = G, ['|'] = T | G, ['}'] = G, ['~'] = D,
	[0x80 ... 0xff] = G,
};
/* clang-format on */

bool http_is_token(str s)
{
	for (size_t i = 0; i < s.n; i++)
		if (!http_char_is(s.s[i], HTTP_CHAR_TOKEN))
			return false;
	return s.n > 0;
}

bool http_is_value(str s)
{
	for (size_t i = 0; i < s.n; i++)
		if (s.s[i] == '\r' || s.s[i] == '\n' || s.s[i] == '\0')
			return false;
	return true;
}

/* A port: up to five digits, at most 65535; an empty one is as good as none. */
static bool is_port(str s)
{
	int64_t port = 0;

	if (s.n > 5)
		return false;
	for (size_t i = 0; i < s.n; i++) {
		if (!ascii_is_digit(s.s[i]))
			return false;
		port = port * 10 + (s.s[i] - '0');
	}
	return port <= 65535;
}

/* "[" the letters of an address "]"; returns the bytes it took, 0 when it is none. */
static size_t literal_size(str s)
{
	size_t i = 1;

	while (i < s.n && (ascii_hex(s.s[i]) >= 0 || s.s[i] == ':' || s.s[i] == '.'))
		i++;
	return i > 2 && i < s.n && s.s[i] == ']' ? i + 1 : 0;
}

bool http_is_host(str s)
{
	size_t n = 0;

	if (s.n && s.s[0] == '[') {
		n = literal_size(s);
	} else {
		while (n < s.n && http_char_is(s.s[n], HTTP_CHAR_HOST))
			n++;
	}
	if (n == 0)
		return false;
	return n == s.n || (s.s[n] == ':' && is_port(str_from(s, n + 1)));
}

/* clang-format off */
static const struct {
	int status;
	str text;
} reasons[] = {
	{ 100, STR_INIT("Continue") },
	{ 101, STR_INIT("Switching Protocols") },
	{ 102, STR_INIT("Processing") },
	{ 103, STR_INIT("Early Hints") },
	{ 200, STR_INIT("OK") },
	{ 201, STR_INIT("Created") },
	{ 202, STR_INIT("Accepted") },
	{ 203, STR_INIT("Non-Authoritative Information") },
	{ 204, STR_INIT("No Content") },
	{ 205, STR_INIT("Reset Content") },
	{ 206, STR_INIT("Partial Content") },
	{ 207, STR_INIT("Multi-Status") },
	{ 208, STR_INIT("Already Reported") },
	{ 226, STR_INIT("IM Used") },
	{ 300, STR_INIT("Multiple Choices") },
	{ 301, STR_INIT("Moved Permanently") },
	{ 302, STR_INIT("Found") },
	{ 303, STR_INIT("See Other") },
	{ 304, STR_INIT("Not Modified") },
	{ 305, STR_INIT("Use Proxy") },
	{ 307, STR_INIT("Temporary Redirect") },
	{ 308, STR_INIT("Permanent Redirect") },
	{ 400, STR_INIT("Bad Request") },
	{ 401, STR_INIT("Unauthorized") },
	{ 402, STR_INIT("Payment Required") },
	{ 403, STR_INIT("Forbidden") },
	{ 404, STR_INIT("Not Found") },
	{ 405, STR_INIT("Method Not Allowed") },
	{ 406, STR_INIT("Not Acceptable") },
	{ 407, STR_INIT("Proxy Authentication Required") },
	{ 408, STR_INIT("Request Timeout") },
	{ 409, STR_INIT("Conflict") },
	{ 410, STR_INIT("Gone") },
	{ 411, STR_INIT("Length Required") },
	{ 412, STR_INIT("Precondition Failed") },
	{ 413, STR_INIT("Request Entity Too Large") },
	{ 414, STR_INIT("Request-URI Too Large") },
	{ 415, STR_INIT("Unsupported Media Type") },
	{ 416, STR_INIT("Requested Range Not Satisfiable") },
	{ 417, STR_INIT("Expectation Failed") },
	{ 421, STR_INIT("Misdirected Request") },
	{ 422, STR_INIT("Unprocessable Entity") },
	{ 423, STR_INIT("Locked") },
	{ 424, STR_INIT("Failed Dependency") },
	{ 425, STR_INIT("Too Early") },
	{ 426, STR_INIT("Upgrade Required") },
	{ 428, STR_INIT("Precondition Required") },
	{ 429, STR_INIT("Too Many Requests") },
	{ 431, STR_INIT("Request Header Fields Too Large") },
	{ 451, STR_INIT("Unavailable For Legal Reasons") },
	{ 494, STR_INIT("Request Header Or Cookie Too Large") },
	{ 500, STR_INIT("Internal Server Error") },
	{ 501, STR_INIT("Not Implemented") },
	{ 502, STR_INIT("Bad Gateway") },
	{ 503, STR_INIT("Service Temporarily Unavailable") },
	{ 504, STR_INIT("Gateway Time-out") },
	{ 505, STR_INIT("HTTP Version Not Supported") },
	{ 506, STR_INIT("Variant Also Negotiates") },
	{ 507, STR_INIT("Insufficient Storage") },
	{ 508, STR_INIT("Loop Detected") },
	{ 510, STR_INIT("Not Extended") },
	{ 511, STR_INIT("Network Authentication Required") },
};
/* clang-format on */

str http_reason(int status)
{
	for (size_t i = 0; i < COUNT(reasons); i++)
		if (reasons[i].status == status)
			return reasons[i].text;
	return STR("");
}

static void put_digits(char *out, int64_t number, int digits)
{
	while (digits-- > 0) {
		out[digits] = (char)('0' + number % 10);
		number /= 10;
	}
}

/* Civil date of a day since the epoch, by eras of 400 years (Hinnant). */
const char *http_date(int64_t wall_s, char out[30])
{
	static const char weekdays[] = "ThuFriSatSunMonTueWed";
	static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
	int64_t days = wall_s / 86400, second = wall_s % 86400;
	int64_t z = days + 719468, era = z / 146097, day_of_era = z - era * 146097;
	int64_t year =
		(day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
	int64_t day = day_of_era - (365 * year + year / 4 - year / 100);
	int64_t shifted = (5 * day + 2) / 153; /* months since March */
	int64_t month = shifted < 10 ? shifted + 2 : shifted - 10;

	memcpy(out, "Thu, 01 Jan 1970 00:00:00 GMT", 30);
	memcpy(out, weekdays + days % 7 * 3, 3);
	put_digits(out + 5, day - (153 * shifted + 2) / 5 + 1, 2);
	memcpy(out + 8, months + month * 3, 3);
	put_digits(out + 12, year + era * 400 + (month < 2), 4);
	put_digits(out + 17, second / 3600, 2);
	put_digits(out + 20, second / 60 % 60, 2);
	put_digits(out + 23, second % 60, 2);
	return out;
}

#define DATE_MAX 40 /* "Wednesday, 30-Sep-99 ..." is the longest */

bool http_date_parse(str text, int64_t *ret_wall_s)
{
	static const char *const forms[] = { "%a, %d %b %Y %H:%M:%S GMT",
					     "%A, %d-%b-%y %H:%M:%S GMT", "%a %b %d %H:%M:%S %Y" };
	char z[DATE_MAX + 1];

	if (!text.n || text.n > DATE_MAX || memchr(text.s, 0, text.n))
		return false;
	memcpy(z, text.s, text.n);
	z[text.n] = 0;
	for (size_t i = 0; i < COUNT(forms); i++) {
		struct tm tm = { 0 };
		const char *end = strptime(z, forms[i], &tm);

		if (!end || *end)
			continue;
		*ret_wall_s = timegm(&tm);
		return true;
	}
	return false;
}

str http_version(const struct http_request *r)
{
	if (r->is_h2)
		return STR("HTTP/2.0");
	return r->minor ? STR("HTTP/1.1") : STR("HTTP/1.0");
}
