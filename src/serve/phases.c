/* SPDX-License-Identifier: Apache-2.0 */
#include "serve/phases.h"

#include "base/log.h"
#include "serve/tracing.h"

struct plugin_run *plugins_run_of(struct req *r)
{
	if (!r->run)
		r->run = NEW(r->arena, struct plugin_run);
	return r->run;
}

static void use_plan(struct req *r, const struct plan *plan)
{
	struct plugin_run *run = plugins_run_of(r);

	run->plan = plan;
	run->chosen = NEWS(r->arena, const struct plugin_instance *, plan->n);
}

static const struct plan *everybodys_plan(const struct req *r)
{
	return !r->snap ? NULL : r->stream ? r->snap->stream_plan : r->snap->plan;
}

/* Before access nobody but those that are there for everybody. */
static bool use_global_plan(struct req *r)
{
	const struct plan *plan = everybodys_plan(r);

	if (r->run && r->run->plan)
		return true;
	if (!plan)
		return false;
	use_plan(r, plan);
	for (size_t i = 0; i < plan->n; i++)
		r->run->chosen[i] = plan->v[i].own;
	return true;
}

static enum verdict run_traced(struct req *r, const struct plugin_instance *i, enum phase phase)
	SUSPENDS;

static enum verdict run_traced(struct req *r, const struct plugin_instance *i, enum phase phase)
{
	struct span *s = tracing_plugin_begins(r, phase, i->plugin);
	enum verdict verdict = i->plugin->on[phase](r, i->conf);

	tracing_plugin_ends(r, s);
	return verdict;
}

static enum verdict run_one(struct req *r, size_t slot, enum phase phase)
{
	const struct plugin_instance *i = r->run->chosen[slot];
	bool was_final = r->run->answer.is_final;
	enum verdict verdict;

	if (!i || !i->plugin->on[phase])
		return NEXT;
	r->run->running = i->entity;
	verdict = unlikely(r->tracing != NULL) ? run_traced(r, i, phase)
					       : i->plugin->on[phase](r, i->conf);
	return r->run->answer.is_final && !was_final ? DONE : verdict;
}

/* Whether the phase is still to run, which it is once. */
static bool enter(struct req *r, enum phase phase)
{
	struct plugin_run *run = r->run;

	if (!run || !plan_has(run->plan, phase) || run->done >> phase & 1)
		return false;
	run->done |= 1u << phase;
	return true;
}

/* ---- up to the upstream ---------------------------------------------------------------- */

static void send_answer(struct req *r)
{
	const struct plugin_answer *a = &r->run->answer;

	if (!r->is_client_gone)
		reply_answer(r, a->status, a->type, a->body);
}

void plugins_certificate(struct req *r)
{
	if (!use_global_plan(r) || !enter(r, PHASE_CERTIFICATE))
		return;
	for (size_t i = 0; i < r->run->plan->n; i++) {
		if (run_one(r, i, PHASE_CERTIFICATE) == DONE)
			return;
	}
}

enum verdict plugins_rewrite(struct req *r)
{
	if (!r->snap || !plan_has(r->snap->plan, PHASE_REWRITE) || !use_global_plan(r))
		return NEXT;
	if (!enter(r, PHASE_REWRITE))
		return NEXT;
	for (size_t i = 0; i < r->run->plan->n; i++) {
		if (run_one(r, i, PHASE_REWRITE) == DONE) {
			send_answer(r);
			return DONE;
		}
	}
	return NEXT;
}

static enum verdict collect(struct req *r, enum phase phase) SUSPENDS;

/* Chooses each plugin's configuration, and runs the phase of it until one answers. */
static enum verdict collect(struct req *r, enum phase phase)
{
	const struct plan *plan = r->route->plan;
	const struct service *service = r->service ? r->service->service : NULL;
	enum verdict verdict = NEXT;

	if (!plan)
		return NEXT;
	use_plan(r, plan);
	r->run->is_collected = true;
	r->run->done |= 1u << phase;
	for (size_t i = 0; i < plan->n; i++) {
		r->run->chosen[i] =
			plan_choose(&plan->v[i], r->route->route, service, r->run->consumer);
		if (verdict == NEXT)
			verdict = run_one(r, i, phase);
	}
	return verdict;
}

enum verdict plugins_access(struct req *r)
{
	enum verdict verdict = collect(r, PHASE_ACCESS);

	if (verdict == DONE)
		send_answer(r);
	return verdict;
}

enum verdict plugins_preread(struct req *r)
{
	return collect(r, PHASE_PREREAD);
}

/* ---- on the way back --------------------------------------------------------------------- */

bool plugins_want_whole(const struct req *r)
{
	const struct plugin_run *run = r->run;

	if (!run || !plan_has(run->plan, PHASE_RESPONSE) || r->in.wants_upgrade)
		return false;
	for (size_t i = 0; i < run->plan->n; i++) {
		if (run->chosen[i] && run->chosen[i]->plugin->on[PHASE_RESPONSE])
			return true;
	}
	return false;
}

enum verdict plugins_response(struct req *r)
{
	if (!enter(r, PHASE_RESPONSE))
		return NEXT;
	r->run->has_reply = true;
	for (size_t i = 0; i < r->run->plan->n; i++) {
		if (run_one(r, i, PHASE_RESPONSE) == DONE)
			return DONE;
	}
	return NEXT;
}

static void header_filter(struct req *r) SUSPENDS;

static void header_filter(struct req *r)
{
	if (!use_global_plan(r))
		return;
	http_add_all(r->arena, &r->reply, &r->run->early);
	r->run->early.n = 0;
	r->run->has_reply = true;
	if (!enter(r, PHASE_HEADER_FILTER))
		return;
	for (size_t i = 0; i < r->run->plan->n; i++)
		run_one(r, i, PHASE_HEADER_FILTER);
}

void plugins_header_filter(struct req *r)
{
	tracing_phase_begins(r, PHASE_HEADER_FILTER);
	header_filter(r);
	tracing_phase_ends(r, PHASE_HEADER_FILTER);
}

bool plugins_change_body(const struct req *r)
{
	return r->run && r->run->will_change;
}

bool plugins_drop_body(const struct req *r)
{
	return r->run && r->run->drops_body;
}

str plugins_body_filter(struct req *r, str piece, bool is_last)
{
	struct plugin_run *run = r->run;

	if (!run || !plan_has(run->plan, PHASE_BODY_FILTER))
		return piece;
	run->piece = piece;
	run->is_last_piece = is_last;
	for (size_t i = 0; i < run->plan->n; i++)
		run_one(r, i, PHASE_BODY_FILTER);
	return run->piece;
}

bool plugins_will_log(const struct req *r)
{
	return plan_has(r->run ? r->run->plan : everybodys_plan(r), PHASE_LOG);
}

void plugins_log(struct req *r)
{
	if (!r->run && !use_global_plan(r))
		return;
	if (!enter(r, PHASE_LOG))
		return;
	for (size_t i = 0; i < r->run->plan->n; i++)
		run_one(r, i, PHASE_LOG);
	err_forget();
}
