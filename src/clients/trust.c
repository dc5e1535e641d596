/* SPDX-License-Identifier: Apache-2.0 */
#include "clients/trust.h"

#include <pthread.h>
#include <stdatomic.h>

static struct {
	const struct settings *settings;
	pthread_mutex_t lock; /* of the making */
	_Atomic(struct tls_context *) contexts[2];
} trust = { .lock = PTHREAD_MUTEX_INITIALIZER };

void trust_start(const struct settings *s)
{
	trust.settings = s;
}

void trust_stop(void)
{
	for (int i = 0; i < 2; i++) {
		struct tls_context *c = atomic_exchange(&trust.contexts[i], NULL);

		tls_context_drop(&c);
	}
	trust.settings = NULL;
}

static struct err *make(bool verify, struct tls_context **ret)
{
	const struct settings *s = trust.settings;
	struct tls_store *store CLEANUP(tls_store_drop) = NULL;
	struct tls_client_options o = {
		.protocols = s->lua_ssl_versions,
		.verify = verify,
		.verify_depth = (int)s->lua_ssl_verify_depth,
	};

	if (verify && s->trusted_ca_pems.n)
		TRY(tls_store_new(&s->trusted_ca_pems, &store), "lua_ssl_trusted_certificate");
	o.store = store;
	return tls_context_client(&o, ret);
}

struct making {
	bool verify;
	struct arena *a;
	struct err *e;
};

/* A system's bundle takes some milliseconds to parse: not on a loop. */
static void make_job(void *p)
{
	struct making *m = p;
	struct tls_context *made = NULL;

	pthread_mutex_lock(&trust.lock);
	if (!atomic_load(&trust.contexts[m->verify])) {
		struct err *e = make(m->verify, &made);

		if (e)
			m->e = err_keep(m->a, e);
		else
			atomic_store(&trust.contexts[m->verify], made);
	}
	pthread_mutex_unlock(&trust.lock);
	if (m->e)
		err_forget();
}

struct err *trust_context(bool verify, struct tls_context **ret)
{
	struct arena *a CLEANUP(arena_drop) = NULL;
	struct making m = { .verify = verify };

	*ret = atomic_load(&trust.contexts[verify]);
	if (*ret)
		return NULL;
	m.a = a = arena_new();
	offload(make_job, &m);
	*ret = atomic_load(&trust.contexts[verify]);
	return m.e ? err_here(m.e) : NULL;
}
