/* SPDX-License-Identifier: Apache-2.0 */
/* held - a configuration with all that it borrows, as long as somebody holds it.
 *
 * A store fills it once (store_kind.load); from then on it is immutable and any
 * thread may hold it: the snapshot that is built from it, those who look into it. */
#pragma once

#include "model/model.h"
#include <stdatomic.h>

struct held_config {
	atomic_int holders;
	struct arena *arena;
	struct config config;
};

struct held_config *held_config_new(void); /* empty, held once */
struct held_config *held_config_hold(struct held_config *h);
void held_config_drop(struct held_config **h); /* takes NULL, leaves NULL */
