/* SPDX-License-Identifier: Apache-2.0 */
#include "plugins/session/state.h"

#define ENCODED_HEADER 110 /* digits of SESSION_HEADER bytes */
#define COOKIE_MAX     4096
#define COOKIES_MAX    9
#define TTL_MAX        34560000 /* 400 days: browsers keep none longer */
#define TOUCH_S        60       /* idle that long, the cookie is renewed */
#define STRETCH_ROUNDS 10000
#define EXPIRED        "; Expires=Thu, 01 Jan 1970 00:00:01 GMT; Max-Age=0"

enum { TYPE_OF_HEADER = 1 };
enum { IN_STORAGE = 0x01, IS_FORGOTTEN = 0x02, IS_DEFLATED = 0x10 };

/* Where the parts of a header begin. */
enum {
	AT_FLAGS = 1,
	AT_ID = 3,
	AT_MADE = 35,
	AT_ROLLED = 40,
	AT_SIZE = 44,
	AT_TAG = 47,
	AT_IDLE = 63,
	AT_MAC = 66,
};

static uint64_t number_at(str header, size_t at, size_t n)
{
	uint64_t ret = 0;

	for (size_t i = n; i-- > 0;)
		ret = ret << 8 | (uint8_t)header.s[at + i];
	return ret;
}

static void put_number(char *header, size_t at, size_t n, uint64_t number)
{
	for (size_t i = 0; i < n; i++, number >>= 8)
		header[at + i] = (char)number;
}

static bool is_stored(const struct session *s)
{
	return str_is(s->conf->storage, "kong");
}

static str name_of(const struct session *s, bool is_remember)
{
	return is_remember ? s->conf->remember_cookie_name : s->conf->cookie_name;
}

/* ---- keys ------------------------------------------------------------------------------ */

static str secret_of(const struct session *s)
{
	return str_at((const char *)s->conf->key, sizeof(s->conf->key));
}

static str mac_of(const struct session *s, str id, str text)
{
	struct arena *a = req_arena(s->r);
	uint8_t key[32];

	if (!key_derive(secret_of(s), STR(""), str_cat(a, STR("authentication:"), id), key,
			sizeof(key)))
		return STR_NONE;
	return str_part(hmac(a, HASH_SHA256, str_at((const char *)key, sizeof(key)), text), 0,
			SESSION_HEADER - AT_MAC);
}

/* A key and an IV. */
static bool seal_key(const struct session *s, str id, bool is_remember,
		     uint8_t ret[SEAL_KEY + SEAL_IV])
{
	str usage = str_cat(req_arena(s->r), STR("encryption:"), id);

	if (is_remember)
		return key_stretch_aside(HASH_SHA256, secret_of(s), usage, STRETCH_ROUNDS, ret,
					 SEAL_KEY + SEAL_IV);
	return key_derive(secret_of(s), STR(""), usage, ret, SEAL_KEY + SEAL_IV);
}

/* ---- cookies ----------------------------------------------------------------------------- */

/* How many cookies hold a content of so many digits; 0: none can. */
static size_t cookies_for(str name, uint64_t data_size)
{
	uint64_t needed = name.n + 1 + ENCODED_HEADER + data_size;

	if (needed <= COOKIE_MAX)
		return 1;
	for (size_t i = 2; i <= COOKIES_MAX; i++) {
		needed += name.n + 2;
		if (needed <= COOKIE_MAX * i)
			return i;
	}
	return 0;
}

static str numbered(const struct session *s, str name, size_t i)
{
	return i == 1 ? name : str_fmt(req_arena(s->r), STRF "%zu", STRV(name), i);
}

/* Takes the place of one of the same name in the reply. */
static void set_cookie(const struct session *s, str name, str value, str more)
{
	struct arena *a = req_arena(s->r);
	struct http_headers *h = reply_headers(s->r);
	str start = str_cat(a, name, STR("="));
	str whole = str_fmt(a, STRF STRF STRF STRF, STRV(start), STRV(value),
			    STRV(s->conf->cookie_flags), STRV(more));

	for (unsigned i = 0; i < h->n; i++) {
		if (str_is_ci(h->v[i].name, "set-cookie") && str_starts(h->v[i].value, start)) {
			h->v[i].value = whole;
			return;
		}
	}
	reply_add_header(s->r, STR("Set-Cookie"), whole);
}

static void expire_cookies(const struct session *s, str name, size_t from, size_t to)
{
	for (size_t i = from; i <= to; i++)
		set_cookie(s, numbered(s, name, i), STR(""), STR(EXPIRED));
}

static void set_cookies(const struct session *s, str name, str header, str content, str more)
{
	struct arena *a = req_arena(s->r);
	size_t room = COOKIE_MAX - ENCODED_HEADER - name.n - 1;
	size_t n = cookies_for(name, content.n);

	if (n == 1)
		room = content.n;
	set_cookie(s, name, str_cat(a, header, str_part(content, 0, room)), more);
	for (size_t i = 2; i <= n; i++) {
		content = str_from(content, room);
		room = COOKIE_MAX - name.n - 2;
		set_cookie(s, numbered(s, name, i), str_part(content, 0, room), more);
	}
}

/* ---- opening -------------------------------------------------------------------------------- */

static bool is_over(double most, int64_t seconds)
{
	return most != 0 && (double)seconds > most;
}

/* Times and flags; false: it is over, or somebody else's. */
static bool read_header(const struct session *s, str header, bool is_remember,
			struct session_meta *ret)
{
	const struct session_conf *c = s->conf;
	struct session_meta m = {
		.is_there = true,
		.flags = number_at(header, AT_FLAGS, 2),
		.id = str_part(header, AT_ID, AT_MADE),
		.made = (int64_t)number_at(header, AT_MADE, 5),
		.rolled = (int64_t)number_at(header, AT_ROLLED, 4),
		.data_size = number_at(header, AT_SIZE, 3),
		.idle = (int64_t)number_at(header, AT_IDLE, 3),
		.header = header,
		.now = clock_wall_s(),
	};
	int64_t age = m.now - m.made;

	if (header.s[0] != TYPE_OF_HEADER || ((m.flags & IN_STORAGE) != 0) != is_stored(s) ||
	    age > UINT32_MAX)
		return false;
	if (is_over(is_remember ? c->remember_absolute_timeout : c->absolute_timeout, age) ||
	    is_over(is_remember ? c->remember_rolling_timeout : c->rolling_timeout, age - m.rolled))
		return false;
	if (is_remember ? m.idle != 0 : is_over(c->idling_timeout, age - m.rolled - m.idle))
		return false;
	*ret = m;
	return str_eq_secret(str_from(header, AT_MAC),
			     mac_of(s, m.id, str_part(header, 0, AT_MAC)));
}

/* The content's digits, from the database. */
static str stored_content(const struct session *s, const struct session_meta *m)
{
	struct arena *a = req_arena(s->r);
	const struct value *data;
	struct value *row, *list = NULL;
	struct err *e;

	if (!stored_find(s->r, &session_entity, "session_id", base64url_encode(a, m->id), &row))
		return STR_NONE;
	data = value_get(row, "data");
	if (value_is_null(data) || data->kind != VALUE_STRING)
		return STR_NONE;
	e = json_parse(a, data->s, &list);
	if (e) {
		err_forget();
		return STR_NONE;
	}
	if (list->kind != VALUE_ARRAY || !list->n || list->items[0]->kind != VALUE_STRING)
		return STR_NONE;
	return list->items[0]->s;
}

/* The content's digits, from this cookie and the next ones. */
static str carried_content(const struct session *s, str name, str cookie, struct session_meta *m)
{
	size_t n = cookies_for(name, m->data_size);
	struct buf all CLEANUP(buf_done) = { 0 };

	m->first_piece = str_from(cookie, ENCODED_HEADER);
	if (n <= 1)
		return n ? m->first_piece : STR_NONE;
	buf_init(&all, (size_t)COOKIES_MAX * COOKIE_MAX);
	buf_add_str(&all, m->first_piece);
	for (size_t i = 2; i <= n; i++) {
		str piece = req_cookie(s->r, numbered(s, name, i));

		if (!piece.s)
			return STR_NONE;
		buf_add_str(&all, piece);
	}
	return str_copy(req_arena(s->r), buf_str(&all));
}

static bool is_text(const struct value *v)
{
	return v && v->kind == VALUE_STRING;
}

/* A list of lists: content, audience, perhaps a subject. */
static struct value *parse_content(struct arena *a, str text)
{
	struct value *list = NULL;
	struct err *e = json_parse(a, text, &list);

	if (e) {
		err_forget();
		return NULL;
	}
	for (uint32_t i = 0; list->kind == VALUE_ARRAY && i < list->n; i++) {
		const struct value *entry = list->items[i];

		if (entry->kind != VALUE_ARRAY || entry->n < 2 || !is_text(entry->items[1]))
			return NULL;
	}
	return list->kind == VALUE_ARRAY ? list : NULL;
}

static struct value *unseal(const struct session *s, const struct session_meta *m, str digits,
			    bool is_remember)
{
	struct arena *a = req_arena(s->r);
	uint8_t key[SEAL_KEY + SEAL_IV], tag[SEAL_TAG];
	str sealed, text;

	memcpy(tag, m->header.s + AT_TAG, sizeof(tag));
	if (digits.n != m->data_size || (m->flags & IS_DEFLATED) ||
	    !base64url_decode(a, digits, BASE64URL_STRICT, &sealed) ||
	    !seal_key(s, m->id, is_remember, key) ||
	    !seal_open(a, key, key + SEAL_KEY, str_part(m->header, 0, AT_TAG), sealed, tag, &text))
		return NULL;
	return parse_content(a, text);
}

/* Reads the header of one of the two cookies; true: it is good, *ret_cookie is the cookie. */
static bool read_cookie(struct session *s, bool is_remember, struct session_meta *ret,
			str *ret_cookie)
{
	str header;

	*ret_cookie = req_cookie(s->r, name_of(s, is_remember));
	return ret_cookie->n >= ENCODED_HEADER &&
	       base64url_decode(req_arena(s->r), str_part(*ret_cookie, 0, ENCODED_HEADER),
				BASE64URL_STRICT, &header) &&
	       header.n == SESSION_HEADER && read_header(s, header, is_remember, ret);
}

static struct value *entry_of(const struct session *s)
{
	struct arena *a = req_arena(s->r);
	struct value *entry = value_array(a);

	value_add(a, entry, value_object(a));
	value_add(a, entry, value_str(a, s->conf->audience));
	return entry;
}

enum opened { NOTHING, OTHERS, OURS }; /* of whom there is content */

static enum opened open_one(struct session *s, bool is_remember)
{
	struct session_meta m = { 0 };
	struct value *data;
	str cookie;

	if (!read_cookie(s, is_remember, &m, &cookie))
		return NOTHING;
	data = unseal(s, &m,
		      is_stored(s) ? stored_content(s, &m)
				   : carried_content(s, name_of(s, is_remember), cookie, &m),
		      is_remember);
	if (!data)
		return NOTHING;
	*(is_remember ? &s->remembered : &s->meta) = m;
	s->data = data;
	for (s->index = 0; s->index < data->n; s->index++) {
		if (str_eq(data->items[s->index]->items[1]->s, s->conf->audience))
			return OURS;
	}
	value_add(req_arena(s->r), data, entry_of(s));
	return OTHERS;
}

static bool save_one(struct session *s, bool is_remember);

void session_open(struct session *s)
{
	enum opened opened;

	s->is_begun = true;
	s->index = 0;
	s->data = value_array(req_arena(s->r));
	value_add(req_arena(s->r), s->data, entry_of(s));
	opened = open_one(s, false);
	s->is_open = opened == OURS;
	if (opened != NOTHING || !s->conf->remember || open_one(s, true) != OURS)
		return;
	if (!save_one(s, true))
		return;
	s->meta = (struct session_meta){ 0 };
	s->is_open = save_one(s, false);
}

/* ---- saving ----------------------------------------------------------------------------------- */

static struct value *row_of(const struct session *s, str id, str digits, int64_t now, int64_t ttl)
{
	struct arena *a = req_arena(s->r);
	struct value *row = value_object(a), *list = value_array(a);

	value_add(a, list, value_str(a, digits));
	value_set(a, row, STR("session_id"), value_str(a, base64url_encode(a, id)));
	value_set(a, row, STR("data"), value_str(a, json_text(a, list, JSON_COMPACT)));
	value_set(a, row, STR("expires"), value_int(a, now + ttl));
	value_set(a, row, STR("ttl"), value_int(a, ttl));
	return row;
}

static int64_t ttl_of(double seconds)
{
	return seconds < 1 || seconds > TTL_MAX ? TTL_MAX : (int64_t)seconds;
}

/* The row of the id before is good for a moment: requests that are on their way have it. */
static void age_row(const struct session *s, str id, int64_t now, bool is_remember)
{
	struct arena *a = req_arena(s->r);
	struct value *row, *change = value_object(a);
	double ttl = is_remember ? 0 : s->conf->stale_ttl;
	int64_t stale = ttl < 1 ? 0 : ttl_of(ttl);
	uuid key;

	if (!stored_find(s->r, &session_entity, "session_id", base64url_encode(a, id), &row) ||
	    !row || !uuid_parse(value_get(row, "id")->s, &key))
		return;
	if (stale < 1) {
		stored_remove(s->r, &session_entity, key, NULL);
		return;
	}
	value_set(a, change, STR("expires"), value_int(a, now + stale));
	value_set(a, change, STR("ttl"), value_int(a, stale));
	stored_update(s->r, &session_entity, key, change, &row);
}

static bool keep(struct session *s, str name, const struct session_meta *before,
		 const struct session_meta *m, str digits, bool is_remember)
{
	struct arena *a = req_arena(s->r);
	double rolling = is_remember ? s->conf->remember_rolling_timeout : s->conf->rolling_timeout;
	str header = base64url_encode(a, m->header), more = STR("");
	char date[30];
	struct value *row;

	if (is_stored(s)) {
		if (!stored_insert(s->r, &session_entity,
				   row_of(s, m->id, digits, m->now, ttl_of(rolling)), &row))
			return false;
		if (before->is_there)
			age_row(s, before->id, m->now, is_remember);
		digits = STR("");
	}
	if (is_remember)
		more = str_fmt(a, "; Expires=%s; Max-Age=%lld",
			       http_date(m->made + ttl_of(rolling), date),
			       (long long)ttl_of(rolling));
	set_cookies(s, name, header, digits, more);
	if (!is_stored(s) && before->is_there)
		expire_cookies(s, name, cookies_for(name, digits.n) + 1,
			       cookies_for(name, before->data_size));
	return true;
}

static str header_of(const struct session_meta *m, struct arena *a)
{
	char *h = arena_zalloc(a, SESSION_HEADER);

	h[0] = TYPE_OF_HEADER;
	put_number(h, AT_FLAGS, 2, m->flags);
	memcpy(h + AT_ID, m->id.s, SESSION_ID);
	put_number(h, AT_MADE, 5, (uint64_t)m->made);
	put_number(h, AT_ROLLED, 4, (uint64_t)m->rolled);
	put_number(h, AT_SIZE, 3, m->data_size);
	return str_at(h, SESSION_HEADER);
}

static bool save_one(struct session *s, bool is_remember)
{
	struct arena *a = req_arena(s->r);
	struct session_meta *kept = is_remember ? &s->remembered : &s->meta, m = { 0 };
	str name = name_of(s, is_remember), sealed, digits, mac;
	str text = json_text(a, s->data, JSON_COMPACT);
	uint8_t key[SEAL_KEY + SEAL_IV], tag[SEAL_TAG];
	char *id = arena_bytes(a, SESSION_ID);

	random_bytes(id, SESSION_ID);
	m.is_there = true;
	m.now = clock_wall_s();
	m.made = kept->is_there ? kept->made : m.now;
	m.rolled = m.now - m.made;
	m.flags = (is_stored(s) ? IN_STORAGE : 0) | (kept->flags & IS_FORGOTTEN);
	m.id = str_at(id, SESSION_ID);
	m.data_size = (text.n * 4 + 2) / 3;
	if (m.data_size > (1 << 24) - 1 || (!is_stored(s) && !cookies_for(name, m.data_size))) {
		log_error("session not saved: %zu bytes are too many", text.n);
		return false;
	}
	m.header = header_of(&m, a);
	if (!seal_key(s, m.id, is_remember, key) ||
	    !seal(a, key, key + SEAL_KEY, str_part(m.header, 0, AT_TAG), text, &sealed, tag))
		return false;
	memcpy((char *)(uintptr_t)m.header.s + AT_TAG, tag, sizeof(tag));
	mac = mac_of(s, m.id, str_part(m.header, 0, AT_MAC));
	if (!mac.s)
		return false;
	memcpy((char *)(uintptr_t)m.header.s + AT_MAC, mac.s, mac.n);
	digits = base64url_encode(a, sealed);
	m.first_piece = str_part(digits, 0,
				 cookies_for(name, digits.n) == 1
					 ? digits.n
					 : COOKIE_MAX - ENCODED_HEADER - name.n - 1);
	if (!keep(s, name, kept, &m, digits, is_remember))
		return false;
	*kept = m;
	return true;
}

static bool is_remembered(const struct session *s)
{
	return s->conf->remember && !(s->meta.flags & IS_FORGOTTEN);
}

/* What the other cookie says of itself, when it has not been read yet. */
static void look_at_remembered(struct session *s)
{
	str cookie;

	if (!s->remembered.is_there && !read_cookie(s, true, &s->remembered, &cookie))
		s->remembered = (struct session_meta){ 0 };
}

bool session_save(struct session *s)
{
	if (!save_one(s, false))
		return false;
	s->is_open = true;
	if (is_remembered(s)) {
		look_at_remembered(s);
		save_one(s, true);
	}
	return true;
}

static void touch(struct session *s)
{
	struct session_meta *m = &s->meta;
	struct arena *a = req_arena(s->r);
	int64_t idle = m->now - m->made - m->rolled;
	char *h = arena_bytes(a, SESSION_HEADER);
	str mac;

	memcpy(h, m->header.s, SESSION_HEADER);
	m->idle = idle < (1 << 24) ? idle : (1 << 24) - 1;
	put_number(h, AT_IDLE, 3, (uint64_t)m->idle);
	mac = mac_of(s, m->id, str_at(h, AT_MAC));
	if (!mac.s)
		return;
	memcpy(h + AT_MAC, mac.s, mac.n);
	m->header = str_at(h, SESSION_HEADER);
	set_cookie(
		s, s->conf->cookie_name,
		str_cat(a, base64url_encode(a, m->header), is_stored(s) ? STR("") : m->first_piece),
		STR(""));
}

void session_refresh(struct session *s)
{
	double rolling = s->conf->rolling_timeout, idling = s->conf->idling_timeout;
	int64_t rolled = s->meta.now - s->meta.made - s->meta.rolled;

	if (rolling > 0 && (double)rolled > rolling * 0.75)
		save_one(s, false);
	else if (idling > 0 && rolled - s->meta.idle > TOUCH_S)
		touch(s);
}

/* ---- ending ------------------------------------------------------------------------------------ */

static void destroy_one(struct session *s, bool is_remember)
{
	const struct session_meta *m = is_remember ? &s->remembered : &s->meta;
	struct arena *a = req_arena(s->r);
	str name = name_of(s, is_remember);
	size_t n = m->is_there && !is_stored(s) ? cookies_for(name, m->data_size) : 1;
	struct value *row;
	uuid id;

	expire_cookies(s, name, 1, n ? n : 1);
	if (is_stored(s) && m->is_there &&
	    stored_find(s->r, &session_entity, "session_id", base64url_encode(a, m->id), &row) &&
	    row && uuid_parse(value_get(row, "id")->s, &id))
		stored_remove(s->r, &session_entity, id, NULL);
}

void session_logout(struct session *s)
{
	struct value *data = s->data;

	if (data->n > 1) {
		for (uint32_t i = s->index; i + 1 < data->n; i++)
			data->items[i] = data->items[i + 1];
		data->n--;
		session_save(s);
	} else {
		bool is_two = is_remembered(s);

		destroy_one(s, false);
		if (is_two) {
			look_at_remembered(s);
			if (s->remembered.is_there)
				destroy_one(s, true);
		}
	}
	s->is_open = false;
}

/* ---- what it says ------------------------------------------------------------------------------- */

const struct value *session_content(const struct session *s)
{
	return s->data->items[s->index]->items[0];
}

void session_set(struct session *s, struct value *content, str subject)
{
	struct arena *a = req_arena(s->r);
	struct value *entry = value_array(a);

	value_add(a, entry, content);
	value_add(a, entry, value_str(a, s->conf->audience));
	if (subject.s)
		value_add(a, entry, value_str(a, subject));
	s->data->items[s->index] = entry;
}

static double least(double x, double y)
{
	return x < y ? x : y;
}

str session_property(const struct session *s, str name)
{
	const struct session_conf *c = s->conf;
	const struct session_meta *m = &s->meta;
	const struct value *entry = s->data->items[s->index];
	struct arena *a = req_arena(s->r);
	double age = (double)(m->now - m->made), none = -1;
	double absolute = c->absolute_timeout > 0 ? c->absolute_timeout - age : none;
	double rolling =
		c->rolling_timeout > 0 ? c->rolling_timeout - age + (double)m->rolled : none;
	double idling = c->idling_timeout > 0
				? c->idling_timeout - age + (double)(m->rolled + m->idle)
				: none;
	double seconds = none;

	if (str_is(name, "id"))
		return m->is_there ? base64url_encode(a, m->id) : STR_NONE;
	if (str_is(name, "audience"))
		return entry->items[1]->s;
	if (str_is(name, "subject"))
		return entry->n > 2 && is_text(entry->items[2]) ? entry->items[2]->s : STR_NONE;
	if (str_is(name, "absolute-timeout"))
		seconds = absolute;
	else if (str_is(name, "rolling-timeout"))
		seconds = rolling;
	else if (str_is(name, "idling-timeout"))
		seconds = idling;
	else
		for (int i = 0; i < 3; i++) {
			double one = i == 0 ? idling : i == 1 ? rolling : absolute;

			if (one != none)
				seconds = seconds == none ? one : least(seconds, one);
		}
	return seconds == none ? STR_NONE : str_fmt(a, "%.14g", seconds);
}
