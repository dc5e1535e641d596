/* SPDX-License-Identifier: Apache-2.0 */
#include "base/asked.h"

static struct asked_one *add(struct asked *to, enum asked_kind kind, int64_t began_us)
{
	struct asked_one *one;

	if (!to || to->n == ASKED_MAX)
		return NULL;
	one = NEW(to->a, struct asked_one);
	one->kind = kind;
	one->began_us = began_us;
	one->ended_us = clock_mono_us();
	if (to->last)
		to->last->next = one;
	else
		to->first = one;
	to->last = one;
	to->n++;
	return one;
}

void asked_database(struct asked *to, const char *database, str statement, int64_t began_us,
		    bool has_failed)
{
	struct asked_one *one = add(to, ASKED_DATABASE, began_us);

	if (!one)
		return;
	one->database = database;
	one->statement = str_copy(to->a, statement);
	one->has_failed = has_failed;
}

void asked_http(struct asked *to, str method, str url, str agent, int64_t began_us, int status)
{
	struct asked_one *one = add(to, ASKED_HTTP, began_us);

	if (!one)
		return;
	one->method = str_copy(to->a, method);
	one->url = str_copy(to->a, url);
	one->agent = str_copy(to->a, agent);
	one->status = status;
	one->has_failed = status == 0;
}
