/* SPDX-License-Identifier: Apache-2.0 */
#include "base/fault.h"

#include "base/log.h"
#include "base/str.h"
#include <pthread.h>
#include <stdlib.h>

#ifdef GIBBON_FAULTS

#define FAULTS_MAX 32

struct fault {
	str name;
	int64_t at; /* the passage that fails, from 1 */
	bool is_lasting;
	int64_t passed; /* atomic */
};

static struct fault faults[FAULTS_MAX];
static size_t n_faults;

/* "name@N" or "name@N+" */
static bool parse_one(str text, struct fault *ret)
{
	ptrdiff_t mark = str_find(text, '@', 0);

	if (mark <= 0)
		return false;
	ret->name = str_part(text, 0, (size_t)mark);
	text = str_from(text, (size_t)mark + 1);
	ret->is_lasting = text.n > 1 && text.s[text.n - 1] == '+';
	if (ret->is_lasting)
		text.n--;
	return str_to_int(text, &ret->at) && ret->at > 0;
}

static void parse_all(void)
{
	const char *given = getenv("GIBBON_FAULTS");
	str rest = str_of(given ? given : ""), one;

	while (str_next(&rest, ',', &one)) {
		if (one.n == 0)
			continue;
		if (n_faults == FAULTS_MAX || !parse_one(one, &faults[n_faults]))
			die("GIBBON_FAULTS: cannot read " STRF, STRV(one));
		n_faults++;
	}
}

bool fault_hit(const char *name)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	bool hit = false;

	pthread_once(&once, parse_all);
	for (size_t i = 0; i < n_faults; i++) {
		struct fault *f = &faults[i];
		int64_t passage;

		if (!str_is(f->name, name))
			continue;
		passage = __atomic_add_fetch(&f->passed, 1, __ATOMIC_RELAXED);
		if (passage != f->at && !(f->is_lasting && passage > f->at))
			continue;
		log_notice("fault %s fires", name);
		hit = true;
	}
	return hit;
}

#endif
