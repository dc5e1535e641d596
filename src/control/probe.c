/* SPDX-License-Identifier: Apache-2.0 */
#include "control/probe.h"

#include "base/limits.h"

/* ---- what is said ------------------------------------------------------------------ */

static bool is_line_safe(str s)
{
	return str_find(s, '\r', 0) < 0 && str_find(s, '\n', 0) < 0;
}

str probe_request(struct arena *a, str path, const struct value *headers, str host)
{
	str text = str_fmt(a, "GET " STRF " HTTP/1.0\r\nConnection: close\r\n", STRV(path));

	for (uint32_t i = 0; headers && headers->kind == VALUE_OBJECT && i < headers->n; i++) {
		const struct value *list = headers->members[i].value;

		for (uint32_t k = 0; list->kind == VALUE_ARRAY && k < list->n; k++) {
			const struct value *v = list->items[k];

			if (v->kind == VALUE_STRING && is_line_safe(v->s))
				text = str_fmt(a, STRF STRF ": " STRF "\r\n", STRV(text),
					       STRV(headers->members[i].key), STRV(v->s));
		}
	}
	return str_fmt(a, STRF "Host: " STRF "\r\n\r\n", STRV(text), STRV(host));
}

/* ---- what is heard ------------------------------------------------------------------- */

static size_t skip_digits(str s, size_t at)
{
	while (at < s.n && s.s[at] >= '0' && s.s[at] <= '9')
		at++;
	return at;
}

int probe_status(str line)
{
	size_t at, end;
	int64_t status;

	if (!str_starts(line, STR("HTTP/")))
		return 0;
	at = 5;
	end = skip_digits(line, at);
	if (end == at || end >= line.n || line.s[end] != '.')
		return 0;
	at = end + 1;
	end = skip_digits(line, at);
	if (end == at)
		return 0;
	at = end;
	while (at < line.n && (line.s[at] == ' ' || line.s[at] == '\t'))
		at++;
	if (at == end)
		return 0;
	end = skip_digits(line, at);
	if (end == at || end - at > 3 || !str_to_int(str_part(line, at, end), &status))
		return 0;
	return (int)status;
}

/* ---- one probe ------------------------------------------------------------------------ */

static bool ended(ssize_t end, struct sock *s, const char *doing, enum try_outcome *ret,
		  const char **why)
{
	if (end == NET_CANCELLED)
		return false;
	*ret = end == NET_TIMEOUT ? TRY_TIMED_OUT : TRY_BROKEN;
	*why = end == NET_TIMEOUT ? "timed out"
	       : end == NET_EOF   ? "closed the connection"
	       : s->error         ? sock_error(s)
				  : doing;
	return true;
}

static bool handshake(const struct probe *p, struct sock *s, deadline until, enum try_outcome *ret,
		      const char **why)
{
	struct err *e = tls_connect(s, p->tls, p->server_name, p->verify_name, until);

	*ret = TRY_ANSWERED;
	if (!e)
		return true;
	if (e->code == ERR_CANCELLED)
		return false;
	*ret = e->code == ERR_TIMEOUT ? TRY_TIMED_OUT : TRY_CONNECT_FAILED;
	*why = err_root(e)->text;
	return true;
}

static bool read_status(struct sock *s, deadline until, enum try_outcome *ret, int *ret_status,
			const char **why)
{
	char line[LIMIT_STATUS_LINE];
	size_t n = 0;

	for (;;) {
		ssize_t got = sock_read(s, line + n, sizeof(line) - n, until);
		ptrdiff_t end;

		if (got <= 0)
			return ended(got, s, "cannot be read", ret, why);
		n += (size_t)got;
		end = str_find(str_at(line, n), '\n', 0);
		if (end < 0 && n < sizeof(line))
			continue;
		*ret = TRY_ANSWERED;
		*ret_status = end < 0 ? 0 : probe_status(str_at(line, (size_t)end));
		if (*ret_status == 0)
			*why = "what it says is no HTTP";
		return true;
	}
}

static bool converse(const struct probe *p, struct sock *s, deadline until, enum try_outcome *ret,
		     int *ret_status, const char **why)
{
	ssize_t sent;

	*ret = TRY_ANSWERED;
	*ret_status = PROBE_CONNECTED;
	if (p->kind == PROBE_TCP)
		return true;
	*ret_status = 0;
	if (p->kind == PROBE_HTTPS && !handshake(p, s, until, ret, why))
		return false;
	if (*ret != TRY_ANSWERED)
		return true;
	sent = sock_write(s, p->request.s, p->request.n, until);
	if (sent < 0)
		return ended(sent, s, "cannot be written to", ret, why);
	return read_status(s, until, ret, ret_status, why);
}

bool probe_run(const struct probe *p, deadline until, enum try_outcome *ret, int *ret_status,
	       const char **why)
{
	struct sock s = { 0 };
	enum net_end e;
	bool is_done;

	if (p->kind == PROBE_GRPC || p->kind == PROBE_GRPCS)
		return probe_grpc(p, until, ret, ret_status, why);
	e = sock_connect(&s, p->address, until);
	*ret_status = 0;
	if (e != NET_OK) {
		if (e == NET_CANCELLED)
			return false;
		*ret = e == NET_TIMEOUT ? TRY_TIMED_OUT : TRY_CONNECT_FAILED;
		*why = e == NET_TIMEOUT ? "timed out while connecting" : sock_error(&s);
		return true;
	}
	is_done = converse(p, &s, until, ret, ret_status, why);
	sock_close(&s);
	return is_done;
}
