/* SPDX-License-Identifier: Apache-2.0 */
/* openers - access logs and TLS of listeners from settings, for the proxy, the
 * Admin API and the Status API alike. */
#pragma once

#include "net/tls.h"
#include "observe/access_log.h"
#include "settings/settings.h"

/* *ret is NULL for a log that is off.  `property` names it in errors; `loops`: how many
 * loops write to it. */
MUST_CHECK struct err *open_access_log(struct arena *a, const struct settings *s,
				       const char *property, const struct setting_log *l, int loops,
				       struct access_log **ret);

/* TLS with these default certificates, as HTTP's or streams' settings say; pick and ask may be NULL. */
MUST_CHECK struct err *open_server_tls(const struct settings *s, enum subsystem subsystem,
				       const char *property, const struct setting_certs *certs,
				       tls_pick_fn *pick, tls_ask_fn *ask, bool has_h2,
				       struct tls_context **ret);
