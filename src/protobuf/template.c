/* SPDX-License-Identifier: Apache-2.0 */
/* Path templates of google.api.http:
 *
 *	Template = "/" Segments [ ":" LITERAL ]
 *	Segments = Segment { "/" Segment }
 *	Segment  = "*" | "**" | LITERAL | "{" FieldPath [ "=" Segments ] "}"
 *
 * "*" is one segment, "**" as many as there are, at least one.  Both sides are walked
 * together; "**" is greedy and tries again with less. */
#include "base/vec.h"
#include "protobuf/protobuf.h"

#define STEPS_MOST 10000 /* of one match */

struct walk {
	struct arena *a;
	struct proto_bindings *found;
	unsigned steps;
	/* The variable that is open. */
	str field;
	const char *from;
};

static bool is_literal(char c)
{
	return ascii_is_alnum(c) || (c && strchr("-_.~%!$&'()+,;@", c));
}

static bool match(struct walk *w, str t, str p);

/* p's first segment, by its length. */
static size_t segment(str p)
{
	ptrdiff_t slash = str_find(p, '/', 0);

	return slash < 0 ? p.n : (size_t)slash;
}

/* "*" of one segment: what is behind it on the template may be a verb. */
static bool match_star(struct walk *w, str t, str p)
{
	for (size_t n = segment(p); n > 0; n--) {
		if (match(w, t, str_from(p, n)))
			return true;
	}
	return false;
}

static bool match_stars(struct walk *w, str t, str p)
{
	for (size_t n = p.n; n > 0; n--) {
		if (match(w, t, str_from(p, n)))
			return true;
	}
	return false;
}

static bool open_variable(struct walk *w, str t, str p)
{
	ptrdiff_t close = str_find(t, '}', 0), equals = str_find(t, '=', 0);
	str field;

	if (close < 0 || w->field.s)
		return false;
	field = str_part(t, 1, (size_t)(equals >= 0 && equals < close ? equals : close));
	w->field = field;
	w->from = p.s;
	if (equals >= 0 && equals < close) {
		if (match(w, str_from(t, (size_t)equals + 1), p))
			return true;
	} else if (match_star(w, str_from(t, (size_t)close), p)) {
		return true;
	}
	w->field = STR_NONE;
	return false;
}

static bool close_variable(struct walk *w, str t, str p)
{
	str field = w->field;
	const char *from = w->from;
	size_t n = w->found->n;

	*vec_add(w->a, w->found) =
		(struct proto_binding){ field, str_at(from, (size_t)(p.s - from)) };
	w->field = STR_NONE;
	if (match(w, str_from(t, 1), p))
		return true;
	w->found->n = n;
	w->field = field;
	w->from = from;
	return false;
}

static bool match(struct walk *w, str t, str p)
{
	if (++w->steps > STEPS_MOST)
		return false;
	while (t.n && t.s[0] != '*' && t.s[0] != '{' && t.s[0] != '}') {
		if (!p.n || p.s[0] != t.s[0])
			return false;
		t = str_from(t, 1);
		p = str_from(p, 1);
	}
	if (!t.n)
		return !p.n;
	if (t.s[0] == '{')
		return open_variable(w, t, p);
	if (t.s[0] == '}')
		return close_variable(w, t, p);
	return str_starts(t, STR("**")) ? match_stars(w, str_from(t, 2), p)
					: match_star(w, str_from(t, 1), p);
}

bool proto_template_match(struct arena *a, str template, str path, struct proto_bindings *ret)
{
	struct walk w = { .a = a, .found = ret };

	ret->n = 0;
	return match(&w, template, path);
}

/* ---- are they well-formed? -------------------------------------------------------------- */

static bool take_segments(str *t, bool may_have_variables);

static bool take_literal(str *t)
{
	size_t n = 0;

	while (n < t->n && is_literal(t->s[n]))
		n++;
	*t = str_from(*t, n);
	return n > 0;
}

static bool take_variable(str *t)
{
	*t = str_from(*t, 1);
	if (!take_literal(t))
		return false;
	if (t->n && t->s[0] == '=') {
		*t = str_from(*t, 1);
		if (!take_segments(t, false))
			return false;
	}
	if (!t->n || t->s[0] != '}')
		return false;
	*t = str_from(*t, 1);
	return true;
}

static bool take_segment(str *t, bool may_have_variables)
{
	if (str_starts(*t, STR("*"))) {
		*t = str_from(*t, str_starts(*t, STR("**")) ? 2 : 1);
		return true;
	}
	if (t->n && t->s[0] == '{')
		return may_have_variables && take_variable(t);
	return take_literal(t);
}

static bool take_segments(str *t, bool may_have_variables)
{
	for (;;) {
		if (!take_segment(t, may_have_variables))
			return false;
		if (!t->n || t->s[0] != '/')
			return true;
		*t = str_from(*t, 1);
	}
}

bool proto_template_is_good(str t)
{
	if (str_is(t, "/"))
		return true;
	if (!t.n || t.s[0] != '/')
		return false;
	t = str_from(t, 1);
	if (!take_segments(&t, true))
		return false;
	if (t.n && t.s[0] == ':') {
		t = str_from(t, 1);
		return take_literal(&t) && !t.n;
	}
	return !t.n;
}
