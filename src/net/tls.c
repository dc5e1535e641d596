/* SPDX-License-Identifier: Apache-2.0 */
/* Connections: OpenSSL over our sockets, without blocking and without SIGPIPE.
 *
 * OpenSSL calls the socket through a BIO of ours, which knows the ready bits: a
 * socket known to be empty is not asked again.  Every call clears OpenSSL's
 * error queue before and turns it into words after, because the queue is the
 * thread's and the fiber may be suspended next. */
#include "net/tls_priv.h"

#include "base/fault.h"
#include "base/log.h"
#include "net/priv.h"
#include <errno.h>
#include <openssl/x509v3.h>
#include <pthread.h>
#include <stdlib.h>

/* ---- the BIO --------------------------------------------------------------------------- */

static int bio_read(BIO *b, char *p, int n)
{
	struct sock *s = BIO_get_data(b);
	ssize_t got;

	BIO_clear_retry_flags(b);
	if (n <= 0)
		return 0;
	got = plain_try_read(s, p, (size_t)n);
	if (got == NET_AGAIN)
		BIO_set_retry_read(b);
	if (got == NET_EOF)
		s->tls->is_eof = true;
	return got < 0 ? -1 : (int)got;
}

static int bio_write(BIO *b, const char *p, int n)
{
	struct sock *s = BIO_get_data(b);
	struct iovec iov = { (void *)(uintptr_t)p, (size_t)n };
	ssize_t sent;

	BIO_clear_retry_flags(b);
	if (n <= 0)
		return 0;
	sent = plain_try_writev(s, &iov, 1);
	if (sent == NET_AGAIN)
		BIO_set_retry_write(b);
	return sent < 0 ? -1 : (int)sent;
}

static long bio_ctrl(BIO *b, int what, long n, void *p)
{
	struct sock *s = BIO_get_data(b);

	(void)n, (void)p;
	switch (what) {
	case BIO_CTRL_FLUSH:
		return 1;
	case BIO_CTRL_EOF:
		return s->tls->is_eof;
	default:
		return 0;
	}
}

static BIO_METHOD *bio_method;

static void make_bio_method(void)
{
	bio_method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "sock");
	if (!bio_method || !BIO_meth_set_read(bio_method, bio_read) ||
	    !BIO_meth_set_write(bio_method, bio_write) || !BIO_meth_set_ctrl(bio_method, bio_ctrl))
		die("cannot set up OpenSSL");
}

/* ---- outcomes ---------------------------------------------------------------------------- */

const char *tls_error(const struct tls *t)
{
	return t->error[0] ? t->error : NULL;
}

/* What a call that did not succeed means; *ret_want with NET_AGAIN. */
static enum net_end outcome(struct sock *s, int result, int *ret_want)
{
	struct tls *t = s->tls;

	switch (SSL_get_error(t->ssl, result)) {
	case SSL_ERROR_WANT_READ:
		*ret_want = IO_READ;
		return NET_AGAIN;
	case SSL_ERROR_WANT_WRITE:
		*ret_want = IO_WRITE;
		return NET_AGAIN;
	case SSL_ERROR_ZERO_RETURN:
		return NET_EOF;
	case SSL_ERROR_SYSCALL: /* the socket's own failure: s->error says */
		t->is_broken = true;
		ERR_clear_error();
		if (!s->error)
			s->error = ECONNRESET;
		return s->error == ETIMEDOUT ? NET_TIMEOUT : NET_RESET;
	default:
		t->is_broken = true;
		tls_words(t->error, sizeof(t->error));
		s->error = t->is_eof ? ECONNRESET : EPROTO;
		return t->is_eof ? NET_RESET : NET_FAILED;
	}
}

/* ---- handshakes --------------------------------------------------------------------------- */

static struct tls *tls_start(struct sock *s, struct tls_context *c)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	struct tls *t = calloc(1, sizeof(*t));
	BIO *b;

	pthread_once(&once, make_bio_method);
	ERR_clear_error();
	b = BIO_new(bio_method);
	if (t)
		t->ssl = SSL_new(c->ssl);
	if (!t || !t->ssl || !b)
		die("out of memory for a TLS connection");
	BIO_set_data(b, s);
	BIO_set_init(b, 1);
	SSL_set_bio(t->ssl, b, b);
	SSL_set_app_data(t->ssl, t);
	t->context = tls_context_hold(c);
	s->tls = t;
	s->error = 0;
	return t;
}

/* Why the handshake ended; a verdict on the certificate says more than OpenSSL. */
static struct err *handshake_error(struct sock *s, enum net_end end)
{
	struct tls *t = s->tls;
	long verdict = SSL_get_verify_result(t->ssl);

	t->is_broken = true;
	switch (end) {
	case NET_TIMEOUT:
		return FAIL(ERR_TIMEOUT, "TLS handshake timed out");
	case NET_CANCELLED:
		return FAIL(ERR_CANCELLED, "TLS handshake cancelled");
	case NET_RESET:
	case NET_EOF:
		return FAIL(ERR_REFUSED, "connection closed during the TLS handshake");
	default:
		break;
	}
	if (t->context->verifies && verdict != X509_V_OK)
		return FAIL(ERR_REFUSED, "certificate verify error: (%ld:%s)", verdict,
			    X509_verify_cert_error_string(verdict));
	return FAIL(ERR_REFUSED, "TLS handshake failed: %s", sock_error(s));
}

static struct err *handshake(struct sock *s, deadline until)
{
	struct tls *t = s->tls;

	for (;;) {
		enum net_end end;
		int result, want = 0;

		if (FAULT("tls.handshake"))
			return handshake_error(s, NET_RESET);
		ERR_clear_error();
		result = SSL_do_handshake(t->ssl);
		if (result == 1) {
			t->is_up = true;
			return NULL;
		}
		if (result < 0 && SSL_want_x509_lookup(t->ssl)) {
			t->context->ask(t->pick_arg ? t->pick_arg : t->context->pick_arg);
			continue;
		}
		end = outcome(s, result, &want);
		if (end == NET_AGAIN)
			end = sock_wait(s, want, until);
		else
			return handshake_error(s, end);
		if (end != NET_OK)
			return handshake_error(s, end);
	}
}

struct err *tls_accept(struct sock *s, struct tls_context *c, void *arg, deadline until)
{
	struct tls *t = tls_start(s, c);

	t->pick_arg = arg;
	SSL_set_accept_state(t->ssl);
	return handshake(s, until);
}

/* The name to ask for and to check, '\0' at the end, without the root's dot. */
static struct err *set_name(struct tls *t, str name, bool verify)
{
	X509_VERIFY_PARAM *param = SSL_get0_param(t->ssl);
	struct address ip;
	bool ok = true;

	if (name.n > 0 && name.s[name.n - 1] == '.')
		name.n--;
	if (name.n >= sizeof(t->sni) || (name.n && memchr(name.s, '\0', name.n)))
		return FAIL(ERR_INVALID, "a server name of %zu bytes", name.n);
	if (verify && name.n == 0)
		return FAIL(ERR_INVALID, "there is no server name to verify");
	if (name.n == 0)
		return NULL;
	memcpy(t->sni, name.s, name.n);
	t->sni[name.n] = '\0';
	t->sni_n = name.n;
	if (address_parse_ip(name, 0, &ip)) {
		if (verify && ip.any.sa_family == AF_INET)
			ok = X509_VERIFY_PARAM_set1_ip(param, (uint8_t *)&ip.v4.sin_addr, 4);
		else if (verify)
			ok = X509_VERIFY_PARAM_set1_ip(param, (uint8_t *)&ip.v6.sin6_addr, 16);
	} else { /* RFC 6066 §3: addresses are not sent */
		ok = SSL_set_tlsext_host_name(t->ssl, t->sni) == 1;
		X509_VERIFY_PARAM_set_hostflags(param, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
		if (ok && verify)
			ok = X509_VERIFY_PARAM_set1_host(param, t->sni, t->sni_n) == 1;
	}
	return ok ? NULL : FAIL_TLS("cannot use the server name");
}

struct err *tls_connect(struct sock *s, struct tls_context *c, str server_name, bool verify_name,
			deadline until)
{
	struct tls *t = tls_start(s, c);

	SSL_set_connect_state(t->ssl);
	struct err *e = set_name(t, server_name, verify_name);
	if (e) {
		t->is_broken = true;
		return e;
	}
	return handshake(s, until);
}

/* ---- the stream ------------------------------------------------------------------------------ */

static enum net_end unusable(struct sock *s)
{
	s->error = s->error ? s->error : EPROTO;
	return NET_FAILED;
}

ssize_t tls_try_read(struct sock *s, void *p, size_t n, int *ret_want)
{
	struct tls *t = s->tls;
	size_t got = 0;
	int result;

	if (!t->is_up || t->is_broken)
		return unusable(s);
	ERR_clear_error();
	result = SSL_read_ex(t->ssl, p, n, &got);
	return result == 1 ? (ssize_t)got : (ssize_t)outcome(s, result, ret_want);
}

ssize_t tls_try_write(struct sock *s, const void *p, size_t n, int *ret_want)
{
	struct tls *t = s->tls;
	size_t sent = 0;
	enum net_end end;
	int result;

	if (!t->is_up || t->is_broken)
		return unusable(s);
	ERR_clear_error();
	result = SSL_write_ex(t->ssl, p, n, &sent);
	if (result == 1)
		return (ssize_t)sent;
	end = outcome(s, result, ret_want);
	return end == NET_EOF ? NET_RESET : end;
}

/* close_notify.  RFC 8446 §6.1 wants it before the FIN. */
enum net_end tls_shutdown_write(struct sock *s)
{
	struct tls *t = s->tls;
	int result, want = 0;

	if (!t->is_up || t->is_broken)
		return unusable(s);
	if (t->has_ended) /* a second call would read */
		return NET_OK;
	ERR_clear_error();
	result = SSL_shutdown(t->ssl);
	t->has_ended = result >= 0;
	return t->has_ended ? NET_OK : outcome(s, result, &want);
}

bool tls_has_pending(const struct tls *t)
{
	return SSL_has_pending(t->ssl) == 1;
}

/* Session tickets may lie there, which are no data. */
bool tls_is_stale(struct sock *s)
{
	struct tls *t = s->tls;
	char c;
	int result, want = 0;

	if (!t->is_up || t->is_broken)
		return true;
	ERR_clear_error();
	result = SSL_peek(t->ssl, &c, 1);
	return result > 0 || outcome(s, result, &want) != NET_AGAIN;
}

void tls_forget(struct sock *s)
{
	struct tls *t = TAKE(s->tls);

	SSL_free(t->ssl);
	tls_context_drop(&t->context);
	free(t);
}

/* One attempt: a full socket loses the goodbye. */
void tls_close(struct sock *s)
{
	int error = s->error;

	tls_shutdown_write(s);
	s->error = error;
	tls_forget(s);
}

void tls_release_buffers(struct tls *t)
{
	SSL_free_buffers(t->ssl);
}

/* ---- what was negotiated -------------------------------------------------------------------- */

str tls_sni(const struct tls *t)
{
	return str_at(t->sni, t->sni_n);
}

str tls_alpn(const struct tls *t)
{
	const unsigned char *name = NULL;
	unsigned n = 0;

	SSL_get0_alpn_selected(t->ssl, &name, &n);
	return str_at((const char *)name, n);
}

const char *tls_version(const struct tls *t)
{
	return SSL_get_version(t->ssl);
}

const char *tls_cipher(const struct tls *t)
{
	return SSL_get_cipher_name(t->ssl);
}
