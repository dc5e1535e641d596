/* SPDX-License-Identifier: Apache-2.0 */
/* From kong.conf to what one side of the database is connected with. */
#include "store/postgres/priv.h"

static int64_t or_else(int64_t n, int64_t otherwise)
{
	return n == FIELD_UNSET_INT ? otherwise : n;
}

static struct pg_options primary(const struct settings *s)
{
	return (struct pg_options){
		.host = s->pg_host,
		.user = s->pg_user,
		.password = s->pg_password,
		.database = s->pg_database,
		.schema = s->pg_schema,
		.port = (uint16_t)s->pg_port,
		.ssl = s->pg_ssl,
		.required = s->pg_ssl_required,
		.verify = s->pg_ssl_verify,
		.ssl_version = s->pg_ssl_version,
		.timeout_ms = s->pg_timeout,
		.max_queries = s->pg_max_concurrent_queries,
		.semaphore_ms = s->pg_semaphore_timeout,
		.keepalive_ms = s->pg_keepalive_ms,
		.pool_size = or_else(s->pg_pool_size, s->lua_socket_pool_size),
		.backlog = or_else(s->pg_backlog, -1),
	};
}

static struct pg_options replica(const struct settings *s)
{
	return (struct pg_options){
		.is_ro = true,
		.host = s->pg_ro_host,
		.user = s->pg_ro_user,
		.password = s->pg_ro_password,
		.database = s->pg_ro_database,
		.schema = s->pg_ro_schema,
		.port = (uint16_t)s->pg_ro_port,
		.ssl = s->pg_ro_ssl,
		.required = s->pg_ro_ssl_required,
		.verify = s->pg_ro_ssl_verify,
		.ssl_version = s->pg_ro_ssl_version,
		.timeout_ms = s->pg_ro_timeout,
		.max_queries = s->pg_ro_max_concurrent_queries,
		.semaphore_ms = s->pg_ro_semaphore_timeout,
		.keepalive_ms = or_else(s->pg_ro_keepalive_timeout, s->pg_keepalive_ms),
		.pool_size = or_else(s->pg_ro_pool_size, s->lua_socket_pool_size),
		.backlog = or_else(s->pg_ro_backlog, -1),
	};
}

struct pg_options pg_options_of(const struct settings *s, bool is_ro)
{
	struct pg_options o = is_ro ? replica(s) : primary(s);

	o.settings = s;
	o.depth = s->lua_ssl_verify_depth;
	o.verify_host = s->pg_ssl_verify_host;
	o.verify |= o.verify_host;
	if (o.timeout_ms <= 0)
		o.timeout_ms = PG_TIMEOUT_DEFAULT_MS;
	return o;
}

bool pg_has_replica(const struct settings *s)
{
	return s->pg_ro_host.n > 0;
}
