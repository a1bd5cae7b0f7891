/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The environment of a replica (docs/task-files.md). */

#include "records/agent.h"

struct environment_place {
    struct str home;              /* as the replica sees it */
    const struct agent_gpu *gpus; /* of the node */
    size_t gpu_count;
};

/* All of it, of struct record_pair, in the arena. What the workload sets goes over the node's own
 * (PATH, HOME, …), and what tells it who it is (SKYPILOT_*, MASTER_*, TESSERA_*) over both. */
struct record_list environment_make(const struct agent_replica *replica,
                                    const struct environment_place *place, struct arena *arena);
