/* SPDX-License-Identifier: Apache-2.0 */
/* directory - consumers and the entities that plugins bring, found by what requests say.
 *
 * Part of a snapshot, immutable, for stores whose sets are in memory.  Consumers go by
 * id, username and custom_id; the others by each of their unique texts, by the
 * consumer they belong to, and by id where another kind refers to them. */
#pragma once

#include "base/map.h"
#include "model/entity.h"
#include "model/model.h"

struct directory;

struct directory *directory_new(struct arena *a, const struct config *config);

const struct consumer *directory_consumer(const struct directory *d, uuid id);
/* By id or username. */
const struct consumer *directory_consumer_called(const struct directory *d, str name);

/* An entity's struct, or NULL; field is one of its unique texts, or "id". */
const void *directory_find(const struct directory *d, const struct entity *e, const char *field,
			   str value);

/* Those of a consumer: pointers to its structs, `n` of them; NULL: none. */
const void *const *directory_of(const struct directory *d, const struct entity *e, uuid consumer,
				size_t *ret_n);
