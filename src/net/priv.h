/* SPDX-License-Identifier: Apache-2.0 */
/* What sock.c and the TLS adapter know of each other. */
#pragma once

#include "net/net.h"

/* The socket below, whatever runs on it. */
ssize_t plain_try_read(struct sock *s, void *p, size_t n);
ssize_t plain_try_writev(struct sock *s, struct iovec *iov, int n);

/* Waits for a direction: NET_OK, NET_TIMEOUT or NET_CANCELLED. */
enum net_end sock_wait(struct sock *s, int what, deadline until) SUSPENDS;

/* Of a TLS sock; on NET_AGAIN *ret_want is what to wait for. */
ssize_t tls_try_read(struct sock *s, void *p, size_t n, int *ret_want);
ssize_t tls_try_write(struct sock *s, const void *p, size_t n, int *ret_want);
enum net_end tls_shutdown_write(struct sock *s);
bool tls_has_pending(const struct tls *t);
bool tls_is_stale(struct sock *s);          /* there is something to read: is it for the user? */
void tls_close(struct sock *s);             /* says close_notify if it can, and frees s->tls */
void tls_forget(struct sock *s);            /* frees s->tls without a word */
const char *tls_error(const struct tls *t); /* the last failure's words, or NULL */
