/* SPDX-License-Identifier: Apache-2.0 */
/* The adapter for PCRE2.  A thread's match data, match context and JIT stack are
 * made at its first match and freed when it ends. */
#include "base/regex.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <pthread.h>
#include <stdatomic.h>

#include "base/clock.h"
#include "base/limits.h"
#include "base/log.h"

#define JIT_STACK_START ((size_t)32 * 1024)
#define JIT_STACK_MAX   ((size_t)1024 * 1024)
#define PAIRS_START     32
#define HEAP_LIMIT_KIB  8192

struct regex {
	pcre2_code *code;
	uint32_t groups;
	str *names; /* by group number, groups + 1 of them; NULL when none has a name */
};

/* What a match writes to; the thread's own. */
struct scratch {
	pcre2_match_context *context;
	pcre2_match_data *data;
	pcre2_jit_stack *stack;
	uint32_t pairs;
};

static __thread struct scratch *scratch;
static pthread_key_t scratch_key;
static pthread_once_t scratch_once = PTHREAD_ONCE_INIT;

static void scratch_free(void *p)
{
	struct scratch *s = p;

	pcre2_match_data_free(s->data);
	pcre2_match_context_free(s->context);
	pcre2_jit_stack_free(s->stack);
	free(s);
	scratch = NULL;
}

static void scratch_make_key(void)
{
	if (pthread_key_create(&scratch_key, scratch_free) != 0)
		die("no thread key left for regular expressions");
}

static struct scratch *scratch_get(uint32_t pairs)
{
	struct scratch *s = scratch;

	if (likely(s && s->pairs >= pairs))
		return s;
	if (!s) {
		pthread_once(&scratch_once, scratch_make_key);
		s = calloc(1, sizeof(*s));
		if (!s)
			die("out of memory");
		s->context = pcre2_match_context_create(NULL);
		s->stack = pcre2_jit_stack_create(JIT_STACK_START, JIT_STACK_MAX, NULL);
		if (!s->context)
			die("out of memory");
		pcre2_set_match_limit(s->context, LIMIT_REGEX_MATCH);
		pcre2_set_depth_limit(s->context, LIMIT_REGEX_DEPTH);
		pcre2_set_heap_limit(s->context, HEAP_LIMIT_KIB);
		if (s->stack)
			pcre2_jit_stack_assign(s->context, NULL, s->stack);
		pthread_setspecific(scratch_key, s);
		scratch = s;
	}
	pcre2_match_data_free(s->data);
	s->pairs = pairs > PAIRS_START ? pairs : PAIRS_START;
	s->data = pcre2_match_data_create(s->pairs, NULL);
	if (!s->data)
		die("out of memory");
	return s;
}

static void code_free(void *p)
{
	pcre2_code_free(p);
}

/* PCRE2's table of names: entries of fixed size, two bytes of number, then the name. */
static void read_names(struct arena *a, struct regex *re)
{
	uint32_t n = 0, size = 0;
	PCRE2_SPTR table = NULL;

	pcre2_pattern_info(re->code, PCRE2_INFO_NAMECOUNT, &n);
	if (n == 0)
		return;
	pcre2_pattern_info(re->code, PCRE2_INFO_NAMEENTRYSIZE, &size);
	pcre2_pattern_info(re->code, PCRE2_INFO_NAMETABLE, &table);
	re->names = NEWS(a, str, re->groups + 1);
	for (uint32_t i = 0; i < n; i++, table += size) {
		uint32_t group = (uint32_t)table[0] << 8 | table[1];

		if (group <= re->groups)
			re->names[group] = str_of((const char *)table + 2);
	}
}

static uint32_t options_of(unsigned flags)
{
	uint32_t options = PCRE2_DOLLAR_ENDONLY | PCRE2_NEVER_BACKSLASH_C;

	options |= flags & REGEX_ANCHORED ? PCRE2_ANCHORED : 0;
	options |= flags & REGEX_CASELESS ? PCRE2_CASELESS : 0;
	options |= flags & REGEX_DOT_ALL ? PCRE2_DOTALL : 0;
	options |= flags & REGEX_UTF ? PCRE2_UTF | PCRE2_UCP : PCRE2_NEVER_UTF;
	options |= flags & REGEX_MULTILINE ? PCRE2_MULTILINE : 0;
	return options;
}

struct err *regex_new(struct arena *a, str pattern, unsigned flags, struct regex **ret)
{
	PCRE2_SPTR text = (PCRE2_SPTR)(pattern.n ? pattern.s : "");
	struct regex *re;
	PCRE2_SIZE offset;
	pcre2_code *code;
	int no;

	code = pcre2_compile(text, pattern.n, options_of(flags), &no, &offset, NULL);
	if (!code) {
		char words[160];

		pcre2_get_error_message(no, (PCRE2_UCHAR *)words, sizeof(words));
		return FAIL(ERR_INVALID, "%s at offset %zu", words, (size_t)offset);
	}
	re = NEW(a, struct regex);
	re->code = code;
	arena_on_end(a, code_free, code);
	pcre2_pattern_info(code, PCRE2_INFO_CAPTURECOUNT, &re->groups);
	read_names(a, re);
	if (!(flags & REGEX_NO_JIT))
		pcre2_jit_compile(code, PCRE2_JIT_COMPLETE); /* without it, it is interpreted */
	*ret = re;
	return NULL;
}

/* Somebody may be relying on the rule that now does not match; once a second at most,
 * because the texts come from outside. */
static void tell_limit(size_t n, int no)
{
	static _Atomic int64_t told_at;
	int64_t now = clock_mono_ms(), last = told_at;

	if (last && now - last < 1000)
		return;
	if (atomic_compare_exchange_strong(&told_at, &last, now))
		log_warn("a regular expression gave up on a text of %zu bytes (PCRE2 error %d); "
			 "it counts as no match",
			 n, no);
}

bool regex_match(const struct regex *re, str subject, struct regex_span *ret, size_t cap)
{
	return regex_match_from(re, subject, 0, ret, cap);
}

bool regex_match_from(const struct regex *re, str subject, size_t from, struct regex_span *ret,
		      size_t cap)
{
	struct scratch *s = scratch_get(re->groups + 1);
	PCRE2_SPTR text = (PCRE2_SPTR)(subject.s ? subject.s : "");
	const PCRE2_SIZE *pairs;
	int n;

	if (from > subject.n)
		return false;
	n = pcre2_match(re->code, text, subject.n, from, 0, s->data, s->context);
	if (n < 0) {
		/* texts that are no UTF-8 have the numbers between; they just do not match */
		if (n != PCRE2_ERROR_NOMATCH && n <= PCRE2_ERROR_BADDATA)
			tell_limit(subject.n, n);
		return false;
	}
	pairs = pcre2_get_ovector_pointer(s->data);
	for (size_t i = 0; i < cap; i++) {
		bool is_set = i < (size_t)n && pairs[2 * i] != PCRE2_UNSET;

		ret[i].from = is_set ? pairs[2 * i] : SIZE_MAX;
		ret[i].to = is_set ? pairs[2 * i + 1] : SIZE_MAX;
		/* \K inside a look-around can turn a span round */
		if (is_set && ret[i].to < ret[i].from)
			ret[i].from = ret[i].to;
	}
	return true;
}

size_t regex_groups(const struct regex *re)
{
	return re->groups;
}

str regex_group_name(const struct regex *re, size_t i)
{
	return re->names && i <= re->groups ? re->names[i] : STR_NONE;
}
