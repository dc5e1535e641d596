/* SPDX-License-Identifier: Apache-2.0 */
/* bench_declarative - what it costs to load a configuration, from 100 to 100,000 routes.
 *
 *	ninja -C build bench/micro/bench_declarative && build/bench/micro/bench_declarative
 *
 * One service for ten routes, each route with a host, a path and two tags.  One line for
 * each form and size: MiB of text, seconds of processor time to load it, microseconds a
 * route. */
#include "store/declarative.h"

#include <stdio.h>
#include <time.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/yaml.h"

static void add_yaml(struct buf *b, int routes)
{
	buf_addf(b, "_format_version: \"3.0\"\nservices:\n");
	for (int i = 0; i < routes; i++) {
		if (i % 10 == 0)
			buf_addf(b,
				 "- name: service-%d\n  url: http://upstream-%d.test:8080/base\n  "
				 "routes:\n",
				 i / 10, i / 10);
		buf_addf(b,
			 "  - name: route-%d\n    hosts: [host-%d.test]\n    paths:\n    - "
			 "/api/v1/%d\n"
			 "    methods: [GET, POST]\n    tags: [team-%d, bench]\n",
			 i, i % 100, i, i % 7);
	}
}

static void measure(struct arena *a, const char *form, int routes, str text)
{
	const struct declarative_options o = { .now_ms = clock_wall_ms() };
	clock_t from = clock();
	double took;
	struct declarative_config *d = NULL;
	struct db_error e;

	if (!declarative_parse(a, text, &o, &d, &e)) {
		printf("refused: " STRF "\n", STRV(e.message));
		return;
	}
	took = (double)(clock() - from) / CLOCKS_PER_SEC;
	printf("%-5s %7d routes %6.1f MiB %7.3f s %6.2f us a route\n", form, routes,
	       (double)text.n / (1 << 20), took, took * 1e6 / routes);
	declarative_drop(&d);
}

int main(void)
{
	entities_start(NULL);
	for (int routes = 100; routes <= 100000; routes *= 10) {
		struct arena *a CLEANUP(arena_drop) = arena_new();
		struct buf yaml CLEANUP(buf_done), json CLEANUP(buf_done);
		struct value *doc;

		buf_init(&yaml, 0);
		buf_init(&json, 0);
		add_yaml(&yaml, routes);
		if (yaml_parse(a, buf_str(&yaml), &doc))
			return 1;
		json_write(&json, doc, JSON_COMPACT);
		measure(a, "yaml", routes, buf_str(&yaml));
		measure(a, "json", routes, buf_str(&json));
	}
	return 0;
}
