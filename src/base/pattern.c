/* SPDX-License-Identifier: Apache-2.0 */
/* A backtracking matcher over the pattern's text itself; nothing is compiled.
 * It recurses once per pattern item at most, and that has a ceiling. */
#include "base/pattern.h"

#include "base/limits.h"

#define MAX_CAPTURES PATTERN_CAPTURES
#define MAX_DEPTH    200

#define CAPTURE_OPEN     SIZE_MAX
#define CAPTURE_POSITION (SIZE_MAX - 1)

struct matcher {
	str p, s;
	size_t steps; /* still allowed */
	int depth;
	bool is_broken; /* malformed pattern or a limit reached */
	size_t n;
	struct {
		size_t from, len;
	} captures[MAX_CAPTURES];
};

#define NOWHERE SIZE_MAX

static size_t match_here(struct matcher *m, size_t s, size_t p);

static size_t broken(struct matcher *m)
{
	m->is_broken = true;
	return NOWHERE;
}

/* ASCII only, as in the C locale. */
static bool is_in_class(unsigned char c, char letter)
{
	bool in;

	switch (letter | 0x20) {
	case 'a':
		in = ascii_is_alpha((char)c);
		break;
	case 'c':
		in = c < 0x20 || c == 0x7f;
		break;
	case 'd':
		in = ascii_is_digit((char)c);
		break;
	case 'l':
		in = c >= 'a' && c <= 'z';
		break;
	case 'p':
		in = c > 0x20 && c < 0x7f && !ascii_is_alnum((char)c);
		break;
	case 's':
		in = c == ' ' || (c >= '\t' && c <= '\r');
		break;
	case 'u':
		in = c >= 'A' && c <= 'Z';
		break;
	case 'w':
		in = ascii_is_alnum((char)c);
		break;
	case 'x':
		in = ascii_hex((char)c) >= 0;
		break;
	case 'z':
		in = c == 0;
		break;
	default: /* %. and the like: the character itself */
		return (unsigned char)letter == c;
	}
	return letter >= 'A' && letter <= 'Z' ? !in : in;
}

/* The position behind the item at p: one character, %x, or a whole set. */
static size_t item_end(struct matcher *m, size_t p)
{
	char c = m->p.s[p++];

	if (c == '%')
		return p < m->p.n ? p + 1 : broken(m);
	if (c != '[')
		return p;
	if (p < m->p.n && m->p.s[p] == '^')
		p++;
	do { /* the first ']' is a member */
		if (p >= m->p.n)
			return broken(m);
		c = m->p.s[p++];
		if (c == '%') {
			if (p >= m->p.n)
				return broken(m);
			p++;
		}
	} while (p >= m->p.n || m->p.s[p] != ']');
	return p + 1;
}

/* Whether c is in the set from '[' at p to its ']' at end. */
static bool is_in_set(const struct matcher *m, unsigned char c, size_t p, size_t end)
{
	const char *t = m->p.s;
	bool yes = true;

	if (t[p + 1] == '^') {
		yes = false;
		p++;
	}
	while (++p < end) {
		if (t[p] == '%') {
			if (is_in_class(c, t[++p]))
				return yes;
		} else if (p + 2 < end && t[p + 1] == '-') {
			if ((unsigned char)t[p] <= c && c <= (unsigned char)t[p + 2])
				return yes;
			p += 2;
		} else if ((unsigned char)t[p] == c) {
			return yes;
		}
	}
	return !yes;
}

/* Whether the item p..end takes the character at s. */
static bool takes(struct matcher *m, size_t s, size_t p, size_t end)
{
	unsigned char c;

	if (m->steps == 0) {
		m->is_broken = true;
		return false;
	}
	m->steps--;
	if (s >= m->s.n)
		return false;
	c = (unsigned char)m->s.s[s];
	switch (m->p.s[p]) {
	case '.':
		return true;
	case '%':
		return is_in_class(c, m->p.s[p + 1]);
	case '[':
		return is_in_set(m, c, p, end - 1);
	default:
		return (unsigned char)m->p.s[p] == c;
	}
}

/* %bxy */
static size_t match_balance(struct matcher *m, size_t s, size_t p)
{
	size_t open = 1;
	char x, y;

	if (p + 1 >= m->p.n)
		return broken(m);
	x = m->p.s[p];
	y = m->p.s[p + 1];
	if (s >= m->s.n || m->s.s[s] != x)
		return NOWHERE;
	while (++s < m->s.n) {
		if (m->steps == 0)
			return broken(m);
		m->steps--;
		if (m->s.s[s] == y) {
			if (--open == 0)
				return s + 1;
		} else if (m->s.s[s] == x) {
			open++;
		}
	}
	return NOWHERE;
}

/* %f[set]: between a character outside the set and one inside; both ends of the
 * subject count as '\0'. */
static bool is_frontier(const struct matcher *m, size_t s, size_t p, size_t end)
{
	unsigned char before = s == 0 ? 0 : (unsigned char)m->s.s[s - 1];
	unsigned char at = s < m->s.n ? (unsigned char)m->s.s[s] : 0;

	return !is_in_set(m, before, p, end - 1) && is_in_set(m, at, p, end - 1);
}

/* %1..%9 */
static size_t match_again(struct matcher *m, size_t s, char digit)
{
	size_t i = (size_t)(digit - '1');
	size_t len;

	if (digit == '0' || i >= m->n || m->captures[i].len == CAPTURE_OPEN)
		return broken(m);
	len = m->captures[i].len == CAPTURE_POSITION ? 0 : m->captures[i].len;
	if (m->s.n - s < len || (len && memcmp(m->s.s + m->captures[i].from, m->s.s + s, len) != 0))
		return NOWHERE;
	return s + len;
}

static size_t open_capture(struct matcher *m, size_t s, size_t p, size_t len)
{
	size_t end;

	if (m->n == MAX_CAPTURES)
		return broken(m);
	m->captures[m->n].from = s;
	m->captures[m->n].len = len;
	m->n++;
	end = match_here(m, s, p);
	if (end == NOWHERE)
		m->n--;
	return end;
}

static size_t close_capture(struct matcher *m, size_t s, size_t p)
{
	size_t i = m->n, end;

	while (i > 0 && m->captures[i - 1].len != CAPTURE_OPEN)
		i--;
	if (i == 0)
		return broken(m);
	m->captures[i - 1].len = s - m->captures[i - 1].from;
	end = match_here(m, s, p);
	if (end == NOWHERE)
		m->captures[i - 1].len = CAPTURE_OPEN;
	return end;
}

/* x* and x+ (after its first): as many as there are, then fewer. */
static size_t match_most(struct matcher *m, size_t s, size_t p, size_t end)
{
	size_t n = 0;

	while (takes(m, s + n, p, end))
		n++;
	for (;; n--) {
		size_t ret = m->is_broken ? NOWHERE : match_here(m, s + n, end + 1);

		if (ret != NOWHERE || n == 0)
			return ret;
	}
}

/* x-: as few as possible. */
static size_t match_fewest(struct matcher *m, size_t s, size_t p, size_t end)
{
	for (;; s++) {
		size_t ret = match_here(m, s, end + 1);

		if (ret != NOWHERE || m->is_broken || !takes(m, s, p, end))
			return ret;
	}
}

/* The items that begin with '%' and are more than a character class: false when
 * it is none of them.  *p and *s go behind it. */
static bool match_special(struct matcher *m, size_t *s, size_t *p)
{
	char kind = *p + 1 < m->p.n ? m->p.s[*p + 1] : '\0';
	size_t end;

	if (kind == 'b') {
		*s = match_balance(m, *s, *p + 2);
		*p += 4;
		return true;
	}
	if (kind == 'f') {
		*p += 2;
		if (*p >= m->p.n || m->p.s[*p] != '[') {
			*s = broken(m);
			return true;
		}
		end = item_end(m, *p);
		if (end == NOWHERE || !is_frontier(m, *s, *p, end))
			*s = NOWHERE;
		*p = end;
		return true;
	}
	if (ascii_is_digit(kind)) {
		*s = match_again(m, *s, kind);
		*p += 2;
		return true;
	}
	return false;
}

/* The loop over items; those that need to come back recurse. */
static size_t match_items(struct matcher *m, size_t s, size_t p)
{
	while (p < m->p.n && !m->is_broken) {
		size_t end, rest;
		char c = m->p.s[p], suffix;

		if (c == '(' && p + 1 < m->p.n && m->p.s[p + 1] == ')')
			return open_capture(m, s, p + 2, CAPTURE_POSITION);
		if (c == '(')
			return open_capture(m, s, p + 1, CAPTURE_OPEN);
		if (c == ')')
			return close_capture(m, s, p + 1);
		if (c == '$' && p + 1 == m->p.n)
			return s == m->s.n ? s : NOWHERE;
		if (c == '%' && match_special(m, &s, &p)) {
			if (s == NOWHERE)
				return NOWHERE;
			continue;
		}
		end = item_end(m, p);
		if (end == NOWHERE)
			return NOWHERE;
		suffix = end < m->p.n ? m->p.s[end] : '\0';
		if (suffix == '*')
			return match_most(m, s, p, end);
		if (suffix == '+')
			return takes(m, s, p, end) ? match_most(m, s + 1, p, end) : NOWHERE;
		if (suffix == '-')
			return match_fewest(m, s, p, end);
		if (suffix == '?') {
			if (takes(m, s, p, end)) {
				rest = match_here(m, s + 1, end + 1);
				if (rest != NOWHERE)
					return rest;
			}
			p = end + 1;
			continue;
		}
		if (!takes(m, s, p, end))
			return NOWHERE;
		s++;
		p = end;
	}
	return m->is_broken ? NOWHERE : s;
}

static size_t match_here(struct matcher *m, size_t s, size_t p)
{
	size_t ret;

	if (m->depth == MAX_DEPTH)
		return broken(m);
	m->depth++;
	ret = match_items(m, s, p);
	m->depth--;
	return ret;
}

static bool has_open_capture(const struct matcher *m)
{
	for (size_t i = 0; i < m->n; i++) {
		if (m->captures[i].len == CAPTURE_OPEN)
			return true;
	}
	return false;
}

static void note(const struct matcher *m, size_t from, size_t to, struct pattern_found *ret)
{
	*ret = (struct pattern_found){ .from = from, .to = to, .n = m->n };
	for (size_t i = 0; i < m->n; i++) {
		bool is_position = m->captures[i].len == CAPTURE_POSITION;

		ret->captures[i].is_position = is_position;
		ret->captures[i].from = m->captures[i].from;
		ret->captures[i].to = m->captures[i].from + (is_position ? 0 : m->captures[i].len);
	}
}

enum pattern_outcome pattern_search(str pattern, str subject, size_t from, size_t *steps,
				    struct pattern_found *ret)
{
	struct matcher m = { .p = pattern, .s = subject, .steps = *steps };
	size_t start = pattern.n && pattern.s[0] == '^', end = NOWHERE;

	if (!subject.s)
		m.s = STR("");
	for (; from <= m.s.n; from++) {
		m.n = 0;
		end = match_here(&m, from, start);
		if (end != NOWHERE || m.is_broken || start)
			break;
	}
	*steps = m.steps;
	if (m.is_broken || (end != NOWHERE && has_open_capture(&m))) /* seen only now */
		return PATTERN_BROKEN;
	if (end == NOWHERE)
		return PATTERN_NONE;
	note(&m, from, end, ret);
	return PATTERN_FOUND;
}

bool pattern_find(str pattern, str subject, str *ret, size_t cap, size_t *ret_n)
{
	size_t steps = LIMIT_PATTERN_STEPS;
	struct pattern_found found;

	if (pattern_search(pattern, subject, 0, &steps, &found) != PATTERN_FOUND)
		return false;
	*ret_n = found.n ? found.n : 1;
	if (!found.n && cap)
		ret[0] = str_part(subject, found.from, found.to);
	for (size_t i = 0; i < found.n && i < cap; i++)
		ret[i] = str_part(subject, found.captures[i].from, found.captures[i].to);
	return true;
}

bool pattern_match(str pattern, str subject)
{
	size_t n;

	return pattern_find(pattern, subject, NULL, 0, &n);
}

bool pattern_is_valid(str pattern)
{
	struct matcher m = { .p = pattern, .s = STR("") };
	size_t p = pattern.n && pattern.s[0] == '^', n = 0, open = 0, closed = 0;

	while (p < pattern.n) {
		char c = pattern.s[p], next = p + 1 < pattern.n ? pattern.s[p + 1] : '\0';

		if (c == '(' || c == ')') {
			n += c == '(';
			open += c == '(';
			if (n > MAX_CAPTURES || (c == ')' && open == 0))
				return false;
			open -= c == ')';
			closed += c == ')';
			p++;
		} else if (c == '%' && next == 'b') {
			p += 4;
			if (p > pattern.n)
				return false;
		} else if (c == '%' && next == 'f') {
			p += 2;
			if (p >= pattern.n || pattern.s[p] != '[')
				return false;
		} else if (c == '%' && ascii_is_digit(next)) {
			if (next == '0' || (size_t)(next - '0') > closed)
				return false;
			p += 2;
		} else {
			p = item_end(&m, p);
			if (p == NOWHERE)
				return false;
		}
	}
	return open == 0;
}
