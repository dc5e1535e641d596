/* SPDX-License-Identifier: Apache-2.0 */
/* The gateway's own answers. */
#include "serve/grpc.h"
#include "serve/phases.h"

#define DISCARD_MOST (64 * 1024) /* of a body nobody wants, to keep the connection */

/* May the connection go on although the request's body was not read? */
static bool can_discard(const struct req *r)
{
	const struct body *b = &r->body;

	return b->is_done ||
	       (b->kind == HTTP_BODY_LENGTH && b->left <= DISCARD_MOST && !r->in.expects_continue);
}

static void settle_body(struct req *r)
{
	int64_t timeout_ms = r->proxy->shared->settings->proxy_http.lingering_timeout;

	if (!r->keep_alive || r->body.is_done || r->in.is_h2) /* whose stream ends here */
		return;
	if (!body_discard(&r->body, DISCARD_MOST, timeout_ms))
		r->keep_alive = false;
}

/* RFC 9110 §6.4.1 */
static bool is_bodiless(int status)
{
	return status < 200 || status == 204 || status == 304;
}

/* Head and body in one write.  The body follows even a failed head nowhere. */
static void send_reply(struct req *r, int status, str body)
{
	const struct http_tuning *t = &r->proxy->shared->settings->proxy_http;
	bool has_body = r->in.method != HTTP_HEAD;
	struct block *head;
	struct iovec iov[2];
	uint32_t n;

	r->status = status;
	r->answered_ms = loop_now_ms();
	plugins_header_filter(r);
	body = plugins_drop_body(r) ? STR("") : plugins_body_filter(r, body, true);
	r->reason = http_reason(r->status);
	has_body &= !is_bodiless(r->status);
	if (!can_discard(r)) {
		r->keep_alive = false;
		r->must_linger = true;
	}
	head = head_for_client(r, is_bodiless(r->status) ? HTTP_BODY_NONE : HTTP_BODY_LENGTH,
			       (int64_t)body.n, &n);
	if (!head) {
		r->keep_alive = false;
		return;
	}
	iov[0] = (struct iovec){ head->data, n };
	iov[1] = (struct iovec){ (void *)(uintptr_t)body.s, has_body ? body.n : 0 };
	r->bytes_sent = n + iov[1].iov_len;
	r->body_bytes_sent = iov[1].iov_len;
	if (send_all(&r->client->sock, iov, 2, t->send_timeout, NULL) != 1)
		r->is_client_gone = true;
	block_put(&head);
	if (!r->is_client_gone)
		settle_body(r);
}

static void start_headers(struct req *r, str content_type)
{
	r->reply = (struct http_headers){ 0 };
	if (content_type.n)
		http_add_id(r->arena, &r->reply, HTTP_CONTENT_TYPE, content_type);
}

void reply_grpc(struct req *r, int status, int grpc_status, str message)
{
	start_headers(r, STR("application/grpc"));
	grpc_tell(r->arena, &r->reply, grpc_status, message);
	send_reply(r, status, STR(""));
}

void reply_message(struct req *r, int status, const char *message)
{
	if (req_is_grpc(r)) {
		reply_grpc(r, status, grpc_status_of(status), str_of(message));
		return;
	}
	start_headers(r, STR("application/json; charset=utf-8"));
	send_reply(r, status, error_json(r->arena, str_of(message)));
}

/* Without a type, it is of the request's kind. */
void reply_answer(struct req *r, int status, str type, str body)
{
	if (!type.n && req_is_grpc(r)) {
		reply_grpc(r, status, grpc_status_of(status), body);
		return;
	}
	start_headers(r, type);
	send_reply(r, status, body);
}

void reply_page(struct req *r, int status)
{
	const struct http_request *in = r->in.method_name.n ? &r->in : NULL;
	str type, body;

	if (req_is_grpc(r)) {
		reply_grpc(r, status, grpc_status_of(status), error_text(r->arena, status));
		return;
	}
	body = error_page(r->arena, status, in, r->proxy->shared->error_type, &type);
	start_headers(r, type);
	send_reply(r, status, body);
}

void reply_failure(struct req *r, int status)
{
	if (status != 413 || !r->too_large_status) {
		reply_page(r, status);
		return;
	}
	respond_error(r, r->too_large_status, "%s", r->too_large_message);
	reply_answer(r, r->run->answer.status, r->run->answer.type, r->run->answer.body);
}

void reply_whole(struct req *r, str body)
{
	if (r->in.method != HTTP_HEAD)
		http_remove(&r->reply, HTTP_CONTENT_LENGTH);
	send_reply(r, r->status, body);
}

void reply_redirect(struct req *r, int status, str location)
{
	start_headers(r, STR_NONE);
	http_add_id(r->arena, &r->reply, HTTP_LOCATION, location);
	send_reply(r, status, STR(""));
}

void reply_upgrade(struct req *r, const char *protocols, const char *message)
{
	if (req_is_grpc(r)) { /* HTTP/2 has no upgrades */
		reply_message(r, 426, message);
		return;
	}
	start_headers(r, STR("application/json; charset=utf-8"));
	http_add_id(r->arena, &r->reply, HTTP_UPGRADE, str_of(protocols));
	send_reply(r, 426, error_json(r->arena, str_of(message)));
}
