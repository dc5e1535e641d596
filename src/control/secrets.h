/* SPDX-License-Identifier: Apache-2.0 */
/* secrets - what references to secrets ("{vault://...}") in the configuration stand for.
 *
 * They are in the environment: the variables of the vault `env` begin with vault_env_prefix,
 * those of a vault of /vaults with what that one says.  One that cannot be resolved stands
 * for an empty text, and is told; secrets never are. */
#pragma once

#include "model/model.h"
#include "schema/schema.h"
#include "settings/settings.h"

/* Once per process, before other threads are there. */
void secrets_enable(struct arena *a, const struct settings *s);

/* Any thread.  A text that is no reference stands for itself. */
str secret_resolve(struct arena *a, const struct config *config, str text);

/* A document's references, where its rows allow them; itself when there are none. */
const struct value *secrets_resolve(struct arena *a, const struct config *config,
				    const struct schema *s, const struct value *doc);
