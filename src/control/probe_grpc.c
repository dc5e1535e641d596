/* SPDX-License-Identifier: Apache-2.0 */
/* A probe by gRPC: grpc.health.v1.Health/Check, as all libraries of gRPC serve it.
 *
 * Its answer as a status of HTTP, so that the lists of the checks tell what it means: 200
 * when the target says SERVING, 503 when it says anything else, and otherwise what goes
 * with the status of gRPC. */
#include "control/probe.h"

#include "http/h2.h"
#include "protobuf/protobuf.h"

#define ANSWER_MOST 1024
#define SERVING     1

struct answer {
	struct http_response head;
	char body[ANSWER_MOST];
	size_t n;
	str trailers;
};

static bool ended(ssize_t end, const char *doing, enum try_outcome *ret, const char **why)
{
	if (end == NET_CANCELLED)
		return false;
	*ret = end == NET_TIMEOUT ? TRY_TIMED_OUT : TRY_BROKEN;
	*why = end == NET_TIMEOUT ? "timed out" : doing;
	return true;
}

/* ---- asking ------------------------------------------------------------------------- */

static void add_metadata(struct arena *a, const struct value *headers, struct http_headers *fields)
{
	for (uint32_t i = 0; headers && headers->kind == VALUE_OBJECT && i < headers->n; i++) {
		const struct value *list = headers->members[i].value;
		str name = headers->members[i].key;

		if (http_name_of(name) == HTTP_HOST || !http_is_token(name))
			continue;
		for (uint32_t k = 0; list->kind == VALUE_ARRAY && k < list->n; k++) {
			const struct value *v = list->items[k];

			if (v->kind == VALUE_STRING && http_is_value(v->s))
				http_add(a, fields, name, v->s);
		}
	}
}

struct http_headers probe_fields(struct arena *a, bool is_tls, const struct value *headers,
				 str host)
{
	struct http_headers h = { 0 };

	http_add(a, &h, STR(":method"), STR("POST"));
	http_add(a, &h, STR(":scheme"), is_tls ? STR("https") : STR("http"));
	http_add(a, &h, STR(":authority"), host);
	http_add(a, &h, STR(":path"), STR("/grpc.health.v1.Health/Check"));
	http_add(a, &h, STR("te"), STR("trailers"));
	http_add(a, &h, STR("content-type"), STR("application/grpc"));
	add_metadata(a, headers, &h);
	return h;
}

/* ---- hearing ------------------------------------------------------------------------- */

static ssize_t read_head(struct arena *a, struct sock *s, deadline until, struct answer *ret)
{
	ssize_t n;

	while ((n = h2_take_response(s, a, HTTP_POST, &ret->head)) == HTTP_MORE) {
		enum wait w = io_wait(&s->io, IO_READ, until);

		if (w != WAIT_OK)
			return w == WAIT_TIMEOUT ? NET_TIMEOUT : NET_CANCELLED;
	}
	return n;
}

static ssize_t read_rest(struct arena *a, struct sock *s, deadline until, struct answer *ret)
{
	ssize_t n;

	while ((n = sock_read(s, ret->body + ret->n, ANSWER_MOST - ret->n, until)) > 0) {
		ret->n += (size_t)n;
		if (ret->n == ANSWER_MOST)
			return NET_FAILED;
	}
	if (n == NET_EOF)
		ret->trailers = str_copy(a, h2_trailers(s));
	return n;
}

/* From behind the answer, or from the head of one that has nothing else; -1: none. */
static int64_t grpc_status(const struct answer *answer)
{
	const struct http_header *h = http_get_str(&answer->head.headers, STR("grpc-status"));
	str rest = answer->trailers, line;
	int64_t status;

	if (h)
		return str_to_int(h->value, &status) ? status : -1;
	while (rest.n && str_next(&rest, '\n', &line)) {
		if (str_starts_ci(line, STR("grpc-status:")))
			return str_to_int(str_trim(str_from(line, 12)), &status) ? status : -1;
	}
	return -1;
}

static const struct proto_message *answer_message(struct arena *a)
{
	const struct proto_set *set;
	struct err *e = proto_load_text(
		a,
		STR("syntax = 'proto3'; message Ask {} message Answer { int32 status = 1; }"
		    "service Health { rpc Check(Ask) returns (Answer); }"),
		&set);

	return e ? NULL : set->methods.v[0].output;
}

static bool is_serving(struct arena *a, const struct answer *answer)
{
	const struct proto_message *m = answer_message(a);
	str rest = str_at(answer->body, answer->n), message;
	const struct value *status;
	struct value *v;
	unsigned flags;

	if (!m || !grpc_unframe(&rest, &flags, &message) || flags ||
	    proto_decode(a, m, message, &v))
		return false;
	status = value_get(v, "status");
	return status && status->kind == VALUE_INT && status->i == SERVING;
}

static int status_of(struct arena *a, const struct answer *answer)
{
	static const int by_status[] = { 200, 499, 500, 400, 504, 404, 409, 403, 429,
					 400, 409, 400, 501, 500, 503, 500, 401 };
	int64_t status = grpc_status(answer);

	if (answer->head.status != 200)
		return answer->head.status;
	if (status < 0 || status >= (int64_t)COUNT(by_status))
		return 0;
	if (status)
		return by_status[status];
	return is_serving(a, answer) ? 200 : 503;
}

/* ---- the whole --------------------------------------------------------------------------- */

static bool converse(const struct probe *p, struct link *k, deadline until, enum try_outcome *ret,
		     int *ret_status, const char **why)
{
	struct arena *a CLEANUP(arena_drop) = arena_new();
	struct answer *answer = NEW(a, struct answer);
	ssize_t n;

	if (!link_begin(k, &p->fields, true))
		return ended(NET_FAILED, "takes no requests", ret, why);
	n = sock_write(&k->sock, "\0\0\0\0\0", GRPC_PREFIX, until); /* about all its services */
	if (n == GRPC_PREFIX)
		n = sock_finish_write(&k->sock, until) == NET_OK ? 1 : NET_RESET;
	if (n > 0)
		n = read_head(a, &k->sock, until, answer);
	if (n > 0)
		n = read_rest(a, &k->sock, until, answer);
	if (n != NET_EOF)
		return ended(n, "gives no answer of gRPC", ret, why);
	*ret = TRY_ANSWERED;
	*ret_status = status_of(a, answer);
	if (*ret_status == 0)
		*why = "what it says is no gRPC";
	return true;
}

bool probe_grpc(const struct probe *p, deadline until, enum try_outcome *ret, int *ret_status,
		const char **why)
{
	struct link_target t = {
		.address = p->address,
		.tls = p->tls,
		.server_name = p->tls ? p->server_name : STR_NONE,
		.verify_name = p->verify_name,
	};
	struct link *k = NULL;
	enum link_end end = link_join(p->links, &t, until, &k, why);
	bool is_done;

	*ret_status = 0;
	if (end == LINK_CANCELLED)
		return false;
	if (end != LINK_OK) {
		*ret = end == LINK_TIMEOUT ? TRY_TIMED_OUT : TRY_CONNECT_FAILED;
		return true;
	}
	is_done = converse(p, k, until, ret, ret_status, why);
	link_close(&k);
	return is_done;
}
