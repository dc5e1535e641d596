/* SPDX-License-Identifier: Apache-2.0 */
#include "observe/propagation.h"

#include "base/uri.h"

static const char *const form_names[] = {
	[TRACE_B3] = "b3",   [TRACE_B3_SINGLE] = "b3-single",
	[TRACE_W3C] = "w3c", [TRACE_JAEGER] = "jaeger",
	[TRACE_OT] = "ot",
};

enum trace_form trace_form_of(str name)
{
	for (int i = TRACE_B3; i <= TRACE_OT; i++) {
		if (str_is(name, form_names[i]))
			return (enum trace_form)i;
	}
	return TRACE_NONE;
}

const char *trace_form_name(enum trace_form form)
{
	return form == TRACE_NONE ? "none" : form_names[form];
}

/* ---- hex ------------------------------------------------------------------------------- */

/* Digits into the last bytes of out[n], zeros in front; false: no digits, or too many. */
static bool read_hex(str s, uint8_t *out, size_t n)
{
	if (s.n == 0 || s.n > 2 * n)
		return false;
	memset(out, 0, n);
	for (size_t i = 0; i < s.n; i++) {
		int digit = ascii_hex(s.s[s.n - 1 - i]);

		if (digit < 0)
			return false;
		out[n - 1 - i / 2] |= (uint8_t)(digit << (i % 2 ? 4 : 0));
	}
	return true;
}

static bool is_zero(const uint8_t *id, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (id[i])
			return false;
	}
	return true;
}

/* 16 or 32 digits. */
static bool read_trace_id(str s, struct trace_context *c)
{
	if (s.n != 16 && s.n != 32)
		return false;
	if (!read_hex(s, c->trace_id, s.n / 2))
		return false;
	c->trace_id_n = (unsigned)s.n / 2;
	return true;
}

static bool read_span_id(str s, uint8_t out[SPAN_ID])
{
	return s.n == 2 * SPAN_ID && read_hex(s, out, SPAN_ID);
}

/* ---- what came ---------------------------------------------------------------------------- */

/* The value, when it is there exactly once; STR_NONE when not at all or more often. */
static str only(const struct http_headers *h, const char *name, unsigned *ret_n)
{
	str found = STR_NONE;
	unsigned n = 0;

	for (unsigned i = 0; i < h->n; i++) {
		if (!str_is_ci(h->v[i].name, name))
			continue;
		n++;
		found = h->v[i].value.s ? h->v[i].value : STR("");
	}
	if (ret_n)
		*ret_n = n;
	return n == 1 ? found : STR_NONE;
}

static bool is_there(const struct http_headers *h, const char *name)
{
	unsigned n;

	only(h, name, &n);
	return n > 0;
}

/* No trace, whatever was read of it; the decision stays. */
static void spoil(struct trace_context *c, const char *complaint)
{
	c->trace_id_n = 0;
	c->has_span = c->has_parent = false;
	c->complaint = complaint;
}

static enum trace_sampled read_decision(str s, enum trace_sampled otherwise)
{
	if (str_is(s, "1") || str_is(s, "true"))
		return SAMPLED_YES;
	if (str_is(s, "0") || str_is(s, "false"))
		return SAMPLED_NO;
	return otherwise;
}

/* trace-span[-sampled[-parent]]; the dashes behind the span may be left out, as in Kong. */
static bool read_b3_single(str s, struct trace_context *c)
{
	ptrdiff_t dash = str_find(s, '-', 0);
	str rest;

	if (dash < 0 || !read_trace_id(str_part(s, 0, (size_t)dash), c))
		return false;
	rest = str_from(s, (size_t)dash + 1);
	if (!read_span_id(str_part(rest, 0, 2 * SPAN_ID), c->span_id))
		return false;
	c->has_span = true;
	rest = str_from(rest, 2 * SPAN_ID);
	if (rest.n && rest.s[0] == '-')
		rest = str_from(rest, 1);
	if (rest.n && (rest.s[0] == '0' || rest.s[0] == '1' || rest.s[0] == 'd')) {
		if (c->sampled != SAMPLED_YES)
			c->sampled = rest.s[0] == '0' ? SAMPLED_NO : SAMPLED_YES;
		rest = str_from(rest, 1);
	}
	if (rest.n && rest.s[0] == '-')
		rest = str_from(rest, 1);
	if (!rest.n)
		return true;
	c->has_parent = read_span_id(rest, c->parent_id);
	return c->has_parent;
}

/* The headers of b3 add what the single one does not say; each of them must be right. */
static void add_b3(const struct http_headers *h, struct trace_context *c)
{
	static const char malformed[] = "an X-B3 header is malformed";
	struct trace_context own = { 0 };
	bool was_none = c->trace_id_n == 0;

	if (is_there(h, "x-b3-traceid") && !read_trace_id(only(h, "x-b3-traceid", NULL), &own))
		own.complaint = malformed;
	if (is_there(h, "x-b3-spanid") && !read_span_id(only(h, "x-b3-spanid", NULL), own.span_id))
		own.complaint = malformed;
	if (is_there(h, "x-b3-parentspanid") &&
	    !read_span_id(only(h, "x-b3-parentspanid", NULL), own.parent_id))
		own.complaint = malformed;
	if (own.complaint || c->complaint) {
		spoil(c, own.complaint ? own.complaint : c->complaint);
		return;
	}
	if (was_none) {
		memcpy(c->trace_id, own.trace_id, sizeof(c->trace_id));
		c->trace_id_n = own.trace_id_n;
	}
	if (!c->has_span && is_there(h, "x-b3-spanid")) {
		memcpy(c->span_id, own.span_id, SPAN_ID);
		c->has_span = true;
	}
	if (!c->has_parent && is_there(h, "x-b3-parentspanid")) {
		memcpy(c->parent_id, own.parent_id, SPAN_ID);
		c->has_parent = true;
	}
	if (c->trace_id_n == 0)
		spoil(c, NULL);
}

static void read_b3(const struct http_headers *h, str single, struct trace_context *c)
{
	c->sampled = read_decision(only(h, "x-b3-sampled", NULL), SAMPLED_UNSAID);
	if (str_is(only(h, "x-b3-flags", NULL), "1"))
		c->sampled = SAMPLED_YES;
	if (str_is(single, "1") || str_is(single, "d"))
		c->sampled = SAMPLED_YES;
	else if (str_is(single, "0"))
		c->sampled = c->sampled == SAMPLED_YES ? SAMPLED_YES : SAMPLED_NO;
	else if (c->form == TRACE_B3_SINGLE) {
		enum trace_sampled said = c->sampled;

		if (!read_b3_single(single, c)) {
			spoil(c, "the b3 header is malformed");
			c->sampled = said;
		}
	}
	add_b3(h, c);
}

/* W3C Trace Context §3.2.2, version 00 alone. */
static void read_w3c(str s, struct trace_context *c)
{
	static const char malformed[] = "the traceparent header is malformed";
	uint8_t flags;

	if (s.n != 55 || !str_starts(s, STR("00-")) || s.s[35] != '-' || s.s[52] != '-' ||
	    !read_trace_id(str_part(s, 3, 35), c) ||
	    !read_span_id(str_part(s, 36, 52), c->parent_id) ||
	    !read_hex(str_part(s, 53, 55), &flags, 1) || is_zero(c->trace_id, TRACE_ID_MAX) ||
	    is_zero(c->parent_id, SPAN_ID)) {
		spoil(c, malformed);
		return;
	}
	c->has_parent = true;
	c->sampled = flags & 1 ? SAMPLED_YES : SAMPLED_NO;
}

/* trace:span:parent:flags; ids may be shorter, a parent of 0 means that there is none. */
static void read_jaeger(str s, struct trace_context *c)
{
	static const char malformed[] = "the uber-trace-id header is malformed";
	str rest = s, trace, span, parent, flags_s;
	uint8_t flags;

	if (!s.s || !str_next(&rest, ':', &trace) || !str_next(&rest, ':', &span) ||
	    !str_next(&rest, ':', &parent) || !str_next(&rest, ':', &flags_s) ||
	    str_next(&rest, ':', &(str){ 0 }) || !read_hex(trace, c->trace_id, TRACE_ID_MAX) ||
	    !read_hex(span, c->span_id, SPAN_ID) || !read_hex(flags_s, &flags, 1) ||
	    is_zero(c->trace_id, TRACE_ID_MAX) || is_zero(c->span_id, SPAN_ID)) {
		spoil(c, malformed);
		return;
	}
	c->trace_id_n = TRACE_ID_MAX;
	c->has_span = true;
	c->has_parent = read_hex(parent, c->parent_id, SPAN_ID) && !is_zero(c->parent_id, SPAN_ID);
	c->sampled = flags & 1 ? SAMPLED_YES : SAMPLED_NO;
}

static void read_ot(const struct http_headers *h, struct trace_context *c)
{
	c->sampled = read_decision(only(h, "ot-tracer-sampled", NULL), SAMPLED_UNSAID);
	if (!read_trace_id(only(h, "ot-tracer-traceid", NULL), c)) {
		spoil(c, "the ot-tracer-traceid header is malformed");
		return;
	}
	if (!is_there(h, "ot-tracer-spanid"))
		return;
	c->has_parent = read_span_id(only(h, "ot-tracer-spanid", NULL), c->parent_id);
	if (!c->has_parent)
		spoil(c, "the ot-tracer-spanid header is malformed");
}

/* uberctx-* wins over ot-baggage-* of the same key. */
static void read_baggage(struct arena *a, const struct http_headers *h, struct trace_context *c)
{
	static const char *const prefixes[] = { "uberctx-", "ot-baggage-" };

	for (size_t k = 0; k < COUNT(prefixes); k++) {
		str prefix = str_of(prefixes[k]);

		for (unsigned i = 0; i < h->n && c->n_baggage < TRACE_BAGGAGE_MAX; i++) {
			str key = str_from(h->v[i].name, prefix.n);
			unsigned at = 0;

			if (!str_starts_ci(h->v[i].name, prefix) || !key.n)
				continue;
			while (at < c->n_baggage && !str_eq_ci(c->baggage[at].key, key))
				at++;
			if (at < c->n_baggage)
				continue;
			if (!c->baggage)
				c->baggage = NEWS(a, struct trace_baggage, TRACE_BAGGAGE_MAX);
			c->baggage[c->n_baggage++] =
				(struct trace_baggage){ str_lower(a, key),
							uri_unescape(a, h->v[i].value, true) };
		}
	}
}

/* The header b3, or what tracestate begins with. */
static str find_b3_single(const struct http_headers *h)
{
	const struct http_header *b3 = http_get_str(h, STR("b3"));
	const struct http_header *state = b3 ? NULL : http_get_str(h, STR("tracestate"));

	if (b3)
		return is_there(h, "b3") ? (only(h, "b3", NULL).s ? b3->value : STR("")) : STR_NONE;
	if (state && str_starts(state->value, STR("b3=")) && state->value.n > 3)
		return str_from(state->value, 3);
	return STR_NONE;
}

void trace_context_read(struct arena *a, const struct http_headers *h, struct trace_context *ret)
{
	static const char *const b3_names[] = { "x-b3-sampled", "x-b3-flags", "x-b3-traceid",
						"x-b3-spanid", "x-b3-parentspanid" };
	str single = find_b3_single(h);

	*ret = (struct trace_context){ .form = single.s ? TRACE_B3_SINGLE : TRACE_NONE };
	for (size_t i = 0; i < COUNT(b3_names) && ret->form == TRACE_NONE; i++) {
		if (is_there(h, b3_names[i]))
			ret->form = TRACE_B3;
	}
	if (ret->form != TRACE_NONE) {
		read_b3(h, single, ret);
	} else if (is_there(h, "traceparent")) {
		ret->form = TRACE_W3C;
		read_w3c(only(h, "traceparent", NULL), ret);
	} else if (is_there(h, "uber-trace-id")) {
		ret->form = TRACE_JAEGER;
		read_jaeger(only(h, "uber-trace-id", NULL), ret);
	} else if (is_there(h, "ot-tracer-traceid")) {
		ret->form = TRACE_OT;
		read_ot(h, ret);
	}
	if (ret->trace_id_n)
		read_baggage(a, h, ret);
}

/* ---- what goes on --------------------------------------------------------------------------- */

/* Hex of the id, with zeros in front up to n bytes. */
static str write_id(struct arena *a, const uint8_t *id, unsigned id_n, unsigned n)
{
	static const char digits[] = "0123456789abcdef";
	unsigned size = n > id_n ? n : id_n, zeros = size - id_n;
	char *out = arena_bytes(a, 2 * (size_t)size);

	for (unsigned i = 0; i < size; i++) {
		uint8_t byte = i < zeros ? 0 : id[i - zeros];

		out[2 * i] = digits[byte >> 4];
		out[2 * i + 1] = digits[byte & 15];
	}
	return str_at(out, 2 * (size_t)size);
}

struct headers {
	struct trace_header *v;
	unsigned n;
};

static void put(struct headers *h, str name, str value)
{
	h->v[h->n++] = (struct trace_header){ name, value };
}

static void write_b3(struct arena *a, const struct trace_context *c, str flags, struct headers *h)
{
	put(h, STR("x-b3-traceid"), write_id(a, c->trace_id, c->trace_id_n, 0));
	put(h, STR("x-b3-spanid"), write_id(a, c->span_id, SPAN_ID, 0));
	if (c->has_parent)
		put(h, STR("x-b3-parentspanid"), write_id(a, c->parent_id, SPAN_ID, 0));
	if (flags.n)
		put(h, STR("x-b3-flags"), flags);
	else
		put(h, STR("x-b3-sampled"), c->sampled == SAMPLED_YES ? STR("1") : STR("0"));
}

static void write_composed(struct arena *a, const struct trace_context *c, enum trace_form form,
			   struct headers *h)
{
	str trace = write_id(a, c->trace_id, c->trace_id_n, form == TRACE_W3C ? TRACE_ID_MAX : 0);
	str span = write_id(a, c->span_id, SPAN_ID, 0);
	str parent = c->has_parent ? write_id(a, c->parent_id, SPAN_ID, 0) : STR("");
	int sampled = c->sampled == SAMPLED_YES;

	if (form == TRACE_W3C)
		put(h, STR("traceparent"),
		    str_fmt(a, "00-" STRF "-" STRF "-0%d", STRV(trace), STRV(span), sampled));
	else if (form == TRACE_JAEGER)
		put(h, STR("uber-trace-id"),
		    str_fmt(a, STRF ":" STRF ":" STRF ":0%d", STRV(trace), STRV(span),
			    STRV(parent.n ? parent : STR("0")), sampled));
	else
		put(h, STR("b3"),
		    str_fmt(a, STRF "-" STRF "-%d%s" STRF, STRV(trace), STRV(span), sampled,
			    parent.n ? "-" : "", STRV(parent)));
}

static void write_ot(struct arena *a, const struct trace_context *c, struct headers *h)
{
	put(h, STR("ot-tracer-traceid"), write_id(a, c->trace_id, c->trace_id_n, 0));
	put(h, STR("ot-tracer-spanid"), write_id(a, c->span_id, SPAN_ID, 0));
	put(h, STR("ot-tracer-sampled"), c->sampled == SAMPLED_YES ? STR("1") : STR("0"));
	for (unsigned i = 0; i < c->n_baggage; i++)
		put(h, str_cat(a, STR("ot-baggage-"), c->baggage[i].key),
		    uri_escape_component(a, c->baggage[i].value));
}

unsigned trace_context_write(struct arena *a, const struct trace_context *c, enum trace_form form,
			     str flags, struct trace_header ret[TRACE_HEADERS_MAX])
{
	struct headers h = { ret, 0 };

	if (form == TRACE_B3)
		write_b3(a, c, flags, &h);
	else if (form == TRACE_OT)
		write_ot(a, c, &h);
	else
		write_composed(a, c, form, &h);
	for (unsigned i = 0; i < c->n_baggage; i++)
		put(&h, str_cat(a, STR("uberctx-"), c->baggage[i].key),
		    uri_escape_component(a, c->baggage[i].value));
	return h.n;
}
