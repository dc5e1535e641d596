/* SPDX-License-Identifier: Apache-2.0 */
/* nghttp2 on our socks and fibers.
 *
 *	 sock ──► h2_run ──► nghttp2 ──► on_request, a stream's bytes, its end
 *	  ▲                                          │ (fibers of the streams)
 *	  └──── out ◄──── nghttp2 ◄──── what they wrote, and "work" told
 *
 * nghttp2 is called by the connection's fiber and, to queue frames, by those of the
 * streams; it runs no foreign code but the callbacks below, which never suspend.
 * A stream belongs to both nghttp2 and its user and goes when both have let go. */
#include "http/h2.h"

#include "base/list.h"
#include "base/log.h"
#include "base/mem.h"
#include "http/h2_priv.h"
#include "net/block.h"
#include <assert.h>
#include <errno.h>
#include <nghttp2/nghttp2.h>
#include <string.h>

#define STREAM_WINDOW 65536 /* bytes of a body that may come before they are read */
#define STREAM_OUT    65536 /* that may be written before they are sent */
#define DATA_MOST                                                                                  \
	(BLOCK_SMALL - FRAME_HEAD) /* a frame of it fills a small block, and a TLS record */
#define FRAME_HEAD      9
#define ROUNDS          16   /* of reading before others get their turn */
#define LEAVE_MS        500  /* in which requests that are on their way still count */
#define NUISANCE_MOST   1000 /* frames that cost us and bring nothing, at once ... */
#define NUISANCE_PER_MS 0.2  /* ... and in the long run */
#define TRAILERS_MOST   (16 * 1024)

struct h2 {
	nghttp2_session *session;
	struct sock *sock;
	struct h2_options o;
	struct io work; /* IO_READ is told when there is something to write */
	/* Each stream is in one of them; in `coming` and `going` the earliest deadline first. */
	struct list streams; /* that have a user */
	struct list coming;  /* server: their head is not whole yet */
	struct list arrived; /* server: on_request is to be called for them */
	struct list going;   /* that their user has left: the rest is to be sent */
	struct block *out;   /* [begin, end) is to be written */
	uint32_t begin, end;
	deadline stuck;    /* something is to be written, and nothing was until then */
	deadline leave_at; /* the last GOAWAY goes out then; 0: it has, or nobody leaves */
	double nuisance;
	int64_t nuisance_ms;
	unsigned in_use; /* streams that have a user */
	bool is_greeted, is_leaving, is_over;
};

struct h2_stream {
	struct h2 *h2; /* NULL: the connection has ended */
	int32_t id;
	struct sock *sock; /* its user's, or NULL */
	struct list link;  /* in one of h2's lists */
	deadline until;    /* while coming or going */
	struct arena *arena;
	struct http_limits limits; /* of its head */
	struct h2_head head;
	struct buf in; /* [in_at, n): of the body, came and not read */
	size_t in_at;
	struct block *out; /* [begin, end): written and not sent */
	uint32_t begin, end;
	struct buf trailers; /* that came */
	struct http_headers trailers_sent;
	uint32_t reset;   /* why; NGHTTP2_NO_ERROR */
	bool has_head;    /* it came whole */
	bool has_body;    /* more follows the head */
	bool is_eof;      /* the other side has said everything */
	bool is_ended;    /* our side has */
	bool is_waiting;  /* nghttp2 waits for bytes of ours */
	bool is_closed;   /* nghttp2 has let go of it */
	bool is_answered; /* a final head of ours was queued */
	bool is_left;     /* its user has let go of it */
};

/* ---- life of a stream --------------------------------------------------------------- */

static struct h2_stream *stream_new(struct h2 *h, int32_t id)
{
	struct h2_stream *s = MEM_NEW(struct h2_stream);

	s->h2 = h;
	s->id = id;
	s->limits = h->o.limits;
	s->arena = arena_new();
	list_init(&s->link);
	return s;
}

static void move(struct h2_stream *s, struct list *to)
{
	list_remove(&s->link);
	list_add(to, &s->link);
}

/* Into a list whose streams have so much time. */
static void move_for(struct h2_stream *s, struct list *to, int64_t ms)
{
	s->until = deadline_in(ms);
	move(s, to);
}

static void stream_free(struct h2_stream *s)
{
	list_remove(&s->link);
	h2_head_done(&s->head);
	buf_done(&s->in);
	buf_done(&s->trailers);
	block_put(&s->out);
	arena_drop(&s->arena);
	mem_free(s);
}

static void stream_settle(struct h2_stream *s)
{
	if (!s->sock && s->is_closed)
		stream_free(s);
}

static void tell(struct h2_stream *s, int ready)
{
	if (s->sock)
		io_tell(&s->sock->io, ready);
}

static void have_work(struct h2 *h)
{
	io_tell(&h->work, IO_READ);
}

static bool is_broken(const struct h2_stream *s)
{
	return !s->h2 || s->reset || (s->is_closed && !s->is_eof);
}

static struct h2_stream *find(nghttp2_session *session, int32_t id)
{
	return nghttp2_session_get_stream_user_data(session, id);
}

/* ---- frames that bring nothing -------------------------------------------------------- */

/* A bucket that leaks: true when the other side has worn out our patience. */
static bool is_nuisance(struct h2 *h)
{
	int64_t now = loop_now_ms();

	h->nuisance -= (double)(now - h->nuisance_ms) * NUISANCE_PER_MS;
	if (h->nuisance < 0)
		h->nuisance = 0;
	h->nuisance_ms = now;
	return ++h->nuisance > NUISANCE_MOST;
}

/* A server that we chose may ask as often as it likes: some measure their round trips so. */
static int annoyed(struct h2 *h)
{
	if (!h->o.is_server || !is_nuisance(h))
		return 0;
	nghttp2_session_terminate_session(h->session, NGHTTP2_ENHANCE_YOUR_CALM);
	return 0;
}

/* ---- what comes ------------------------------------------------------------------------- */

static int on_begin_headers(nghttp2_session *session, const nghttp2_frame *f, void *user)
{
	struct h2 *h = user;
	struct h2_stream *s;

	if (f->headers.cat != NGHTTP2_HCAT_REQUEST)
		return 0;
	/* Streams that were reset, but whose users have not let go yet, count too. */
	if (h->in_use >= 2 * h->o.max_streams) {
		nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, f->hd.stream_id,
					  NGHTTP2_REFUSED_STREAM);
		return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
	}
	s = stream_new(h, f->hd.stream_id);
	move_for(s, &h->coming, h->o.head_ms);
	nghttp2_session_set_stream_user_data(session, s->id, s);
	return 0;
}

static int malformed(nghttp2_session *session, int32_t id)
{
	nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, id, NGHTTP2_PROTOCOL_ERROR);
	return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
}

static bool add_trailer(struct h2_stream *s, str name, str value)
{
	if (s->trailers.n + name.n + value.n + 4 > TRAILERS_MOST || !name.n || name.s[0] == ':' ||
	    !http_is_value(value))
		return false;
	buf_add_str(&s->trailers, name);
	buf_add_str(&s->trailers, STR(": "));
	buf_add_str(&s->trailers, value);
	buf_add_str(&s->trailers, STR("\r\n"));
	return true;
}

static int on_header(nghttp2_session *session, const nghttp2_frame *f, const uint8_t *name,
		     size_t name_n, const uint8_t *value, size_t value_n, uint8_t flags, void *user)
{
	struct h2_stream *s = find(session, f->hd.stream_id);
	str n = str_at((const char *)name, name_n), v = str_at((const char *)value, value_n);
	bool ok;

	(void)flags, (void)user;
	if (!s || f->hd.type != NGHTTP2_HEADERS)
		return 0;
	ok = s->has_head ? add_trailer(s, n, v) : h2_head_add(&s->head, s->arena, n, v, &s->limits);
	return ok ? 0 : malformed(session, f->hd.stream_id);
}

static int on_invalid_header(nghttp2_session *session, const nghttp2_frame *f, const uint8_t *name,
			     size_t name_n, const uint8_t *value, size_t value_n, uint8_t flags,
			     void *user)
{
	(void)name, (void)name_n, (void)value, (void)value_n, (void)flags, (void)user;
	return malformed(session, f->hd.stream_id);
}

static void end_came(struct h2_stream *s)
{
	s->is_eof = true;
	tell(s, IO_READ);
}

static bool is_interim(const struct h2_stream *s)
{
	return s->head.status.n == 3 && s->head.status.s[0] == '1';
}

static void head_came(struct h2 *h, struct h2_stream *s, bool is_end)
{
	if (!h->o.is_server && is_interim(s) && !is_end) {
		h2_head_done(&s->head);
		s->head = (struct h2_head){ 0 };
		return;
	}
	s->has_head = true;
	s->has_body = !is_end;
	if (h->o.is_server) {
		move(s, &h->arrived);
	} else {
		tell(s, IO_READ);
	}
}

static void greeted(struct h2 *h)
{
	if (!h->is_greeted && h->o.on_greeted)
		h->o.on_greeted(h->o.arg);
	h->is_greeted = true;
}

static int on_frame(nghttp2_session *session, const nghttp2_frame *f, void *user)
{
	struct h2 *h = user;
	struct h2_stream *s = f->hd.stream_id ? find(session, f->hd.stream_id) : NULL;
	bool is_end = f->hd.flags & NGHTTP2_FLAG_END_STREAM;

	switch (f->hd.type) {
	case NGHTTP2_HEADERS:
		if (s && !s->has_head)
			head_came(h, s, is_end);
		if (s && is_end)
			end_came(s);
		return 0;
	case NGHTTP2_DATA:
		if (s && is_end)
			end_came(s);
		return f->hd.length || is_end ? 0 : annoyed(h);
	case NGHTTP2_GOAWAY:
		h->is_leaving = true;
		return 0;
	case NGHTTP2_WINDOW_UPDATE: /* large downloads live of them */
		return 0;
	case NGHTTP2_SETTINGS:
		if (!(f->hd.flags & NGHTTP2_FLAG_ACK))
			greeted(h);
		return annoyed(h);
	default:
		return annoyed(h);
	}
}

static int on_data(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *p, size_t n,
		   void *user)
{
	struct h2_stream *s = find(session, id);

	(void)flags, (void)user;
	if (!s || s->is_left) {
		nghttp2_session_consume(session, id, n);
		return 0;
	}
	buf_add(&s->in, p, n);
	tell(s, IO_READ);
	return 0;
}

static int on_close(nghttp2_session *session, int32_t id, uint32_t why, void *user)
{
	struct h2_stream *s = find(session, id);

	(void)user;
	if (!s)
		return 0;
	s->is_closed = true;
	if (why != NGHTTP2_NO_ERROR && !(s->is_eof && s->is_ended))
		s->reset = why;
	block_put(&s->out);
	if (is_broken(s))
		tell(s, IO_READ | IO_WRITE | IO_HUP);
	stream_settle(s);
	return 0;
}

/* An answer that is whole before the request is: the rest of it is not wanted
 * (RFC 9113 §8.1). */
static int on_sent(nghttp2_session *session, const nghttp2_frame *f, void *user)
{
	struct h2 *h = user;
	struct h2_stream *s;

	if (!h->o.is_server || !(f->hd.flags & NGHTTP2_FLAG_END_STREAM) ||
	    (f->hd.type != NGHTTP2_DATA && f->hd.type != NGHTTP2_HEADERS))
		return 0;
	s = find(session, f->hd.stream_id);
	if (s && !s->is_eof)
		nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, f->hd.stream_id,
					  NGHTTP2_NO_ERROR);
	return 0;
}

/* ---- what goes ---------------------------------------------------------------------------- */

/* Room for n bytes behind what is to be written; false: that must go first. */
static bool make_room(struct h2 *h, size_t n)
{
	struct block *b = h->out;

	if (!b) {
		h->out = block_get(n > BLOCK_SMALL ? BLOCK_LARGE : BLOCK_SMALL);
		h->begin = h->end = 0;
		return true;
	}
	if (b->size - h->end < n && (h->begin || !b->is_large)) {
		if (!b->is_large)
			h->out = block_get(BLOCK_LARGE);
		memmove(h->out->data, b->data + h->begin, h->end - h->begin);
		if (h->out != b)
			block_put(&b);
		h->end -= h->begin;
		h->begin = 0;
	}
	return h->out->size - h->end >= n;
}

static void put(struct h2 *h, const void *p, size_t n)
{
	if (h->begin == h->end)
		h->stuck = deadline_in(h->o.send_ms);
	memcpy(h->out->data + h->end, p, n);
	h->end += (uint32_t)n;
}

static ssize_t send_frame(nghttp2_session *session, const uint8_t *p, size_t n, int flags,
			  void *user)
{
	struct h2 *h = user;

	(void)session, (void)flags;
	if (n > BLOCK_LARGE) /* a head larger than all limits of ours */
		return NGHTTP2_ERR_CALLBACK_FAILURE;
	if (!make_room(h, n))
		return NGHTTP2_ERR_WOULDBLOCK;
	put(h, p, n);
	return (ssize_t)n;
}

static int send_data(nghttp2_session *session, nghttp2_frame *f, const uint8_t *head, size_t n,
		     nghttp2_data_source *source, void *user)
{
	struct h2 *h = user;
	struct h2_stream *s = source->ptr;

	(void)session;
	assert(f->data.padlen == 0);
	if (!make_room(h, FRAME_HEAD + n))
		return NGHTTP2_ERR_WOULDBLOCK;
	put(h, head, FRAME_HEAD);
	if (n)
		put(h, s->out->data + s->begin, n);
	s->begin += (uint32_t)n;
	if (h->nuisance >= 1) /* who takes what we have may measure how long it is on its way */
		h->nuisance--;
	if (s->begin == s->end)
		block_put(&s->out);
	if (s->end - s->begin <= STREAM_OUT / 2)
		tell(s, IO_WRITE);
	if (s->is_left)
		move_for(s, &h->going, h->o.send_ms);
	return 0;
}

static unsigned nv_of(struct arena *a, const struct http_headers *fields, nghttp2_nv **ret)
{
	nghttp2_nv *v = NEWS(a, nghttp2_nv, fields->n + 1);

	for (unsigned i = 0; i < fields->n; i++) {
		str name = str_lower(a, fields->v[i].name), value = fields->v[i].value;

		v[i] = (nghttp2_nv){ .name = (uint8_t *)(uintptr_t)name.s,
				     .namelen = name.n,
				     .value = (uint8_t *)(uintptr_t)(value.n ? value.s : ""),
				     .valuelen = value.n };
	}
	*ret = v;
	return fields->n;
}

static void submit_trailers(struct h2_stream *s)
{
	nghttp2_nv *v;
	unsigned n = nv_of(s->arena, &s->trailers_sent, &v);

	nghttp2_submit_trailer(s->h2->session, s->id, v, n);
}

static ssize_t next_data(nghttp2_session *session, int32_t id, uint8_t *p, size_t n,
			 uint32_t *ret_flags, nghttp2_data_source *source, void *user)
{
	struct h2_stream *s = source->ptr;
	size_t there = s->out ? s->end - s->begin : 0;

	(void)session, (void)id, (void)p, (void)user;
	if (there == 0 && !s->is_ended) {
		s->is_waiting = true;
		return NGHTTP2_ERR_DEFERRED;
	}
	*ret_flags |= NGHTTP2_DATA_FLAG_NO_COPY;
	if (n > there)
		n = there;
	if (n == there && s->is_ended) {
		*ret_flags |= NGHTTP2_DATA_FLAG_EOF;
		if (s->trailers_sent.n) {
			*ret_flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
			submit_trailers(s);
		}
	}
	return (ssize_t)n;
}

static ssize_t data_length(nghttp2_session *session, uint8_t type, int32_t id, int32_t session_room,
			   int32_t stream_room, uint32_t frame_most, void *user)
{
	int32_t n = session_room < stream_room ? session_room : stream_room;

	(void)session, (void)type, (void)id, (void)user;
	if ((uint32_t)n > frame_most)
		n = (int32_t)frame_most;
	return n > DATA_MOST ? DATA_MOST : n;
}

/* ---- sessions -------------------------------------------------------------------------------- */

static nghttp2_session_callbacks *callbacks(void)
{
	nghttp2_session_callbacks *c;

	if (nghttp2_session_callbacks_new(&c) != 0)
		die("out of memory for HTTP/2");
	nghttp2_session_callbacks_set_on_begin_headers_callback(c, on_begin_headers);
	nghttp2_session_callbacks_set_on_header_callback(c, on_header);
	nghttp2_session_callbacks_set_on_invalid_header_callback(c, on_invalid_header);
	nghttp2_session_callbacks_set_on_frame_recv_callback(c, on_frame);
	nghttp2_session_callbacks_set_on_data_chunk_recv_callback(c, on_data);
	nghttp2_session_callbacks_set_on_stream_close_callback(c, on_close);
	nghttp2_session_callbacks_set_on_frame_send_callback(c, on_sent);
	nghttp2_session_callbacks_set_send_callback(c, send_frame);
	nghttp2_session_callbacks_set_send_data_callback(c, send_data);
	nghttp2_session_callbacks_set_data_source_read_length_callback(c, data_length);
	return c;
}

static void start_session(struct h2 *h)
{
	nghttp2_session_callbacks *c = callbacks();
	nghttp2_option *o;
	int failed;

	if (nghttp2_option_new(&o) != 0)
		die("out of memory for HTTP/2");
	nghttp2_option_set_no_auto_window_update(o, 1);
	nghttp2_option_set_no_closed_streams(o, 1);
	failed = h->o.is_server ? nghttp2_session_server_new2(&h->session, c, h, o)
				: nghttp2_session_client_new2(&h->session, c, h, o);
	nghttp2_option_del(o);
	nghttp2_session_callbacks_del(c);
	if (failed)
		die("out of memory for HTTP/2");
}

static void greet(struct h2 *h)
{
	nghttp2_settings_entry server[] = {
		{ NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, h->o.max_streams },
		{ NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, STREAM_WINDOW },
		{ NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, (uint32_t)h->o.limits.head },
	};
	nghttp2_settings_entry client[] = {
		{ NGHTTP2_SETTINGS_ENABLE_PUSH, 0 },
		{ NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, STREAM_WINDOW },
	};

	if (h->o.is_server)
		nghttp2_submit_settings(h->session, NGHTTP2_FLAG_NONE, server, COUNT(server));
	else
		nghttp2_submit_settings(h->session, NGHTTP2_FLAG_NONE, client, COUNT(client));
	/* A stream that is not read holds up nobody but itself. */
	nghttp2_session_set_local_window_size(h->session, NGHTTP2_FLAG_NONE, 0,
					      (int32_t)(h->o.max_streams * STREAM_WINDOW));
}

struct h2 *h2_new(struct sock *s, const struct h2_options *o)
{
	struct h2 *h = MEM_NEW(struct h2);

	assert(o->max_streams > 0 && o->max_streams <= INT32_MAX / STREAM_WINDOW);
	h->sock = s;
	h->o = *o;
	h->nuisance_ms = loop_now_ms();
	io_init_told(&h->work);
	list_init(&h->streams);
	list_init(&h->coming);
	list_init(&h->arrived);
	list_init(&h->going);
	start_session(h);
	greet(h);
	return h;
}

/* Nothing more comes of it: who uses a stream hears so. */
static void end_streams(struct h2 *h)
{
	h->is_over = h->is_leaving = true;
	list_add_all(&h->streams, &h->coming);
	list_add_all(&h->streams, &h->arrived);
	list_add_all(&h->streams, &h->going);
	while (!list_is_empty(&h->streams)) {
		struct h2_stream *s = CONTAINER(h->streams.next, struct h2_stream, link);

		list_remove(&s->link);
		s->h2 = NULL;
		s->is_closed = true;
		tell(s, IO_READ | IO_WRITE | IO_HUP);
		stream_settle(s);
	}
}

void h2_drop(struct h2 **ref)
{
	struct h2 *h = TAKE(*ref);

	if (!h)
		return;
	end_streams(h);
	nghttp2_session_del(h->session);
	io_done(&h->work);
	block_put(&h->out);
	mem_free(h);
}

void h2_leave(struct h2 *h)
{
	if (h->leave_at || h->is_leaving || h->is_over)
		return;
	if (h->o.is_server)
		nghttp2_submit_shutdown_notice(h->session);
	h->leave_at = deadline_in(LEAVE_MS);
	h->is_leaving = true;
	have_work(h);
}

bool h2_is_leaving(const struct h2 *h)
{
	return h->is_leaving;
}

unsigned h2_count(const struct h2 *h)
{
	return h->in_use;
}

unsigned h2_most(const struct h2 *h)
{
	uint32_t n = nghttp2_session_get_remote_settings(h->session,
							 NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS);

	return n < h->o.max_streams ? n : h->o.max_streams;
}

/* ---- running it ------------------------------------------------------------------------------- */

/* False: the connection is broken. */
static bool flush(struct h2 *h)
{
	io_clear(&h->work, IO_READ);
	for (;;) {
		ssize_t n;

		if (nghttp2_session_send(h->session) != 0)
			return false;
		if (h->begin == h->end)
			break;
		n = sock_try_write(h->sock, h->out->data + h->begin, h->end - h->begin);
		if (n == NET_AGAIN)
			return true;
		if (n <= 0)
			return false;
		h->begin += (uint32_t)n;
		h->stuck = deadline_in(h->o.send_ms);
	}
	block_put(&h->out);
	h->begin = h->end = 0;
	return true;
}

static bool feed(struct h2 *h, const char *p, size_t n)
{
	return n == 0 || nghttp2_session_mem_recv(h->session, (const uint8_t *)p, n) >= 0;
}

static void tell_arrived(struct h2 *h)
{
	while (!list_is_empty(&h->arrived)) {
		struct h2_stream *s = CONTAINER(h->arrived.next, struct h2_stream, link);

		h->o.on_request(h->o.arg, s);
	}
}

/* What is there to be read: 1 when there was something, NET_AGAIN, or an end. */
static ssize_t receive(struct h2 *h)
{
	struct block *b;
	ssize_t n;

	if (!(h->sock->io.ready & IO_READ) && h->sock->io.is_registered &&
	    !sock_has_pending(h->sock))
		return NET_AGAIN;
	b = block_get(BLOCK_SMALL);
	n = sock_try_read(h->sock, b->data, b->size);
	if (n > 0 && !feed(h, b->data, (size_t)n))
		n = NET_FAILED;
	block_put(&b);
	return n == NET_EOF ? NET_RESET : n;
}

static deadline first_deadline(const struct list *l, deadline until)
{
	deadline first = list_is_empty(l) ? DEADLINE_NEVER
					  : CONTAINER(l->next, struct h2_stream, link)->until;

	return first < until ? first : until;
}

/* Ends the streams of a list whose time is over. */
static void expire(struct h2 *h, struct list *l)
{
	while (first_deadline(l, DEADLINE_NEVER) <= loop_now_ms()) {
		struct h2_stream *s = CONTAINER(l->next, struct h2_stream, link);

		move_for(s, l, DEADLINE_NEVER / 2);
		nghttp2_submit_rst_stream(h->session, NGHTTP2_FLAG_NONE, s->id, NGHTTP2_CANCEL);
	}
}

static bool wait_for_something(struct h2 *h)
{
	struct io_want want[] = { { &h->work, IO_READ },
				  { &h->sock->io, IO_READ },
				  { &h->sock->io, IO_WRITE } };
	bool is_stuck = h->begin < h->end;
	deadline until = is_stuck ? h->stuck : DEADLINE_NEVER;
	enum wait w;
	int which;

	if (h->leave_at && h->leave_at < until)
		until = h->leave_at;
	until = first_deadline(&h->coming, until);
	until = first_deadline(&h->going, until);
	w = io_wait_any(want, is_stuck ? 3 : 2, until, &which);
	return w == WAIT_OK || (w == WAIT_TIMEOUT && !(is_stuck && loop_now_ms() >= h->stuck));
}

/* The last word, when its time has come. */
static void say_goodbye(struct h2 *h)
{
	if (!h->leave_at || loop_now_ms() < h->leave_at)
		return;
	h->leave_at = 0;
	nghttp2_submit_goaway(h->session, NGHTTP2_FLAG_NONE,
			      nghttp2_session_get_last_proc_stream_id(h->session), NGHTTP2_NO_ERROR,
			      NULL, 0);
}

static bool is_finished(struct h2 *h)
{
	return h->begin == h->end && !nghttp2_session_want_read(h->session) &&
	       !nghttp2_session_want_write(h->session);
}

static bool is_idle(struct h2 *h)
{
	return h->begin == h->end && !h->leave_at && list_is_empty(&h->streams) &&
	       list_is_empty(&h->coming) && list_is_empty(&h->arrived) &&
	       list_is_empty(&h->going) && !nghttp2_session_want_write(h->session);
}

enum h2_end h2_run(struct h2 *h, str came)
{
	bool ok = feed(h, came.s, came.n);

	for (int rounds = 1; ok; rounds++) {
		ssize_t n;

		say_goodbye(h);
		expire(h, &h->coming);
		expire(h, &h->going);
		tell_arrived(h);
		if (!flush(h) || is_finished(h))
			break;
		n = receive(h);
		if (n == NET_AGAIN && is_idle(h))
			return H2_IDLE;
		if (n == NET_AGAIN)
			ok = wait_for_something(h);
		else if (n < 0)
			break;
		if (rounds % ROUNDS == 0)
			fiber_yield();
	}
	end_streams(h);
	return H2_OVER;
}

/* ---- streams as socks ---------------------------------------------------------------------------- */

static ssize_t stream_ended(struct sock *k)
{
	k->error = ECONNRESET;
	return NET_RESET;
}

static ssize_t stream_try_read(struct sock *k, void *p, size_t n)
{
	struct h2_stream *s = k->stream;
	size_t there = s->in.n - s->in_at;

	if (there) {
		if (n > there)
			n = there;
		memcpy(p, s->in.data + s->in_at, n);
		s->in_at += n;
		if (s->in_at == s->in.n) {
			buf_clear(&s->in);
			s->in_at = 0;
		}
		if (s->h2) {
			nghttp2_session_consume(s->h2->session, s->id, n);
			have_work(s->h2);
		}
		return (ssize_t)n;
	}
	if (s->has_head && s->is_eof)
		return NET_EOF;
	if (is_broken(s))
		return stream_ended(k);
	io_clear(&k->io, IO_READ);
	return NET_AGAIN;
}

static void go_on(struct h2_stream *s)
{
	if (s->is_waiting && !s->is_closed) {
		s->is_waiting = false;
		nghttp2_session_resume_data(s->h2->session, s->id);
	}
	have_work(s->h2);
}

static ssize_t stream_try_writev(struct sock *k, struct iovec *iov, int n)
{
	struct h2_stream *s = k->stream;
	size_t taken = 0;

	if (is_broken(s) || s->is_closed)
		return stream_ended(k);
	assert(!s->is_ended);
	for (int i = 0; i < n; i++) {
		const char *p = iov[i].iov_base;
		size_t left = iov[i].iov_len;

		while (left) {
			size_t room = STREAM_OUT - (s->out ? s->end - s->begin : 0);
			size_t part;

			if (!room || !block_make_room(&s->out, &s->begin, &s->end))
				break;
			part = s->out->size - s->end;
			part = part < room ? part : room;
			part = part < left ? part : left;
			memcpy(s->out->data + s->end, p, part);
			s->end += (uint32_t)part;
			p += part;
			left -= part;
			taken += part;
		}
		if (left)
			break;
	}
	if (!taken) {
		io_clear(&k->io, IO_WRITE);
		return NET_AGAIN;
	}
	go_on(s);
	return (ssize_t)taken;
}

static enum net_end stream_shutdown_write(struct sock *k)
{
	struct h2_stream *s = k->stream;

	if (s->is_ended)
		return NET_OK;
	if (is_broken(s) || s->is_closed)
		return (enum net_end)stream_ended(k);
	s->is_ended = true;
	go_on(s);
	return NET_OK;
}

/* What nobody reads any more: granted again, for the others. */
static void forget_input(struct h2_stream *s)
{
	size_t there = s->in.n - s->in_at;

	if (s->h2 && there)
		nghttp2_session_consume(s->h2->session, s->id, there);
	buf_done(&s->in);
	s->in_at = 0;
}

/* Of a client: what is left to be said or heard is of no use to anybody. */
static bool is_abandoned(const struct h2 *h, const struct h2_stream *s)
{
	return !h->o.is_server && (!s->is_eof || s->out);
}

static void stream_close(struct sock *k, bool is_reset)
{
	struct h2_stream *s = k->stream;
	struct h2 *h = s->h2;

	forget_input(s);
	s->sock = NULL;
	s->is_left = true;
	if (h) {
		h->in_use--;
		if (!s->is_closed)
			move_for(s, &h->going, h->o.send_ms);
		if (!s->is_closed && (is_reset || !s->is_ended || is_abandoned(h, s)))
			nghttp2_submit_rst_stream(h->session, NGHTTP2_FLAG_NONE, s->id,
						  is_reset && h->o.is_server
							  ? NGHTTP2_INTERNAL_ERROR
							  : NGHTTP2_CANCEL);
		have_work(h);
	}
	stream_settle(s);
}

static const struct sock_kind stream_kind = {
	.try_read = stream_try_read,
	.try_writev = stream_try_writev,
	.shutdown_write = stream_shutdown_write,
	.close = stream_close,
};

static void use(struct h2_stream *s, struct sock *k)
{
	sock_init_stream(k, &stream_kind, s);
	s->sock = k;
	s->h2->in_use++;
	move(s, &s->h2->streams);
	io_tell(&k->io, IO_WRITE | (s->in.n || s->is_eof || s->is_closed ? IO_READ : 0) |
				(is_broken(s) ? IO_HUP : 0));
}

/* ---- heads ------------------------------------------------------------------------------------------ */

void h2_accept(struct h2_stream *stream, struct sock *k)
{
	assert(!stream->sock);
	use(stream, k);
}

ssize_t h2_take_request(struct sock *k, struct arena *a, struct http_request *ret)
{
	struct h2_stream *s = k->stream;
	ssize_t n;

	if (!s->h2)
		return stream_ended(k);
	n = h2_head_request(&s->head, a, s->has_body, &s->limits, ret);
	h2_head_done(&s->head);
	return n;
}

ssize_t h2_take_response(struct sock *k, struct arena *a, enum http_method method,
			 struct http_response *ret)
{
	struct h2_stream *s = k->stream;

	if (!s->has_head) {
		if (is_broken(s))
			return stream_ended(k);
		io_clear(&k->io, IO_READ);
		return HTTP_MORE;
	}
	return h2_head_response(&s->head, a, s->has_body, &s->limits, method, ret);
}

bool h2_open(struct h2 *h, const struct http_headers *fields, bool has_body, struct sock *ret)
{
	struct h2_stream *s;
	nghttp2_data_provider data = { .read_callback = next_data };
	nghttp2_nv *v;
	unsigned n;

	if (h->is_leaving || h->is_over || h->in_use >= h2_most(h))
		return false;
	s = stream_new(h, 0);
	data.source.ptr = s;
	n = nv_of(s->arena, fields, &v);
	s->is_ended = !has_body;
	s->id = nghttp2_submit_request(h->session, NULL, v, n, has_body ? &data : NULL, s);
	if (s->id < 0) {
		stream_free(s);
		return false;
	}
	use(s, ret);
	have_work(h);
	return true;
}

void h2_answer(struct sock *k, const struct http_headers *fields, bool is_end)
{
	struct h2_stream *s = k->stream;
	nghttp2_data_provider data = { .source.ptr = s, .read_callback = next_data };
	bool is_final = fields->v[0].value.s[0] != '1';
	nghttp2_nv *v;
	unsigned n;

	if (is_broken(s) || s->is_closed || s->is_answered)
		return;
	n = nv_of(s->arena, fields, &v);
	s->is_answered = is_final;
	s->is_ended = is_final && is_end;
	if (!is_final)
		nghttp2_submit_headers(s->h2->session, NGHTTP2_FLAG_NONE, s->id, NULL, v, n, NULL);
	else
		nghttp2_submit_response(s->h2->session, s->id, v, n, is_end ? NULL : &data);
	have_work(s->h2);
}

void h2_set_trailers(struct sock *k, str lines)
{
	struct h2_stream *s = k->stream;

	lines = str_copy(s->arena, lines);
	while (lines.n) {
		ptrdiff_t end = str_find(lines, '\n', 0), colon = str_find(lines, ':', 0);
		str line;

		if (end < 0 || colon < 0 || colon > end)
			break;
		line = str_trim(str_part(lines, 0, (size_t)end));
		http_add(s->arena, &s->trailers_sent, str_part(line, 0, (size_t)colon),
			 str_trim(str_from(line, (size_t)colon + 1)));
		lines = str_from(lines, (size_t)end + 1);
	}
}

str h2_trailers(const struct sock *k)
{
	const struct h2_stream *s = k->stream;

	return buf_str(&s->trailers);
}

const char *h2_reset_reason(const struct sock *k)
{
	const struct h2_stream *s = k->stream;

	return nghttp2_http2_strerror(s->reset);
}

bool h2_is_refused(const struct sock *k)
{
	const struct h2_stream *s = k->stream;

	return s->reset == NGHTTP2_REFUSED_STREAM;
}
