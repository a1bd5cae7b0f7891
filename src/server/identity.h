/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Who asks, published apart from the engine: the network loop looks a key up for each request and
 * must wait neither for the writer nor for a reader. Followed by the writer, group by group. */

#include "server/core.h"

struct identities;

struct identities *identities_new(void);
void identities_free(struct identities *i);
/* All keys and projects of a state; once, at the start. */
void identities_load(struct identities *i, const struct engine *e);
/* What the events of one group changed. */
void identities_follow(struct identities *i, const struct engine *e, const struct engine_event *events, size_t count);
/* By a key's hash. False: unknown, revoked or expired at `now`. */
bool identities_find(struct identities *i, const unsigned char hash[ENGINE_HASH_SIZE], time_ms now, struct core_identity *ret);
/* By name; 0 = none. */
engine_id identities_project(struct identities *i, struct str name);
bool identities_project_known(struct identities *i, engine_id project);
