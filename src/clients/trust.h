/* SPDX-License-Identifier: Apache-2.0 */
/* trust - TLS of the connections that the node makes for itself: to Redis and the like.
 *
 * Whom it believes is lua_ssl_trusted_certificate, lua_ssl_verify_depth, and
 * lua_ssl_protocols.  Contexts are made when somebody first needs them, once per
 * process; any thread. */
#pragma once

#include "net/tls.h"
#include "settings/settings.h"

/* Before the loops run; s is borrowed until trust_stop(). */
void trust_start(const struct settings *s);
void trust_stop(void);

/* Verifies the other side's chain, or not.  Borrowed, until trust_stop(). */
MUST_CHECK struct err *trust_context(bool verify, struct tls_context **ret) SUSPENDS;
