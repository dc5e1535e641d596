/* SPDX-License-Identifier: Apache-2.0 */
/* model/priv - every entity by its C name, for the list in entities.c. */
#pragma once

#include "model/entity.h"
#include "model/model.h"
#include "model/rows.h"

#define ENTITIES_MAX 64

extern const struct entity workspaces_entity, consumers_entity, certificates_entity,
	services_entity, routes_entity, snis_entity, upstreams_entity, targets_entity,
	plugins_entity, tags_entity, ca_certificates_entity, clustering_data_planes_entity,
	parameters_entity, vaults_entity, key_sets_entity, keys_entity;
