/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The job mix: nodes from {1,1,1,1,1,1,2,2,4,8,16,32}; whole nodes of 8 GPUs where there is more than
 * one, else 1, 2, 4 or 8 GPUs; one core and 10 GB a GPU; 10 minutes to 24 hours. */

#include <stdint.h>

struct mix_job {
    int nodes, gpus, minutes;
};

/* A small generator with a state of its own, so that runs with one seed are alike. */
static inline uint32_t mix_random(uint64_t *state)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(*state >> 33);
}

static inline struct mix_job mix_job(uint64_t *state)
{
    static const int nodes[] = {1, 1, 1, 1, 1, 1, 2, 2, 4, 8, 16, 32};
    struct mix_job job = {.nodes = nodes[mix_random(state) % 12]};
    job.gpus = job.nodes > 1 ? 8 : 1 << mix_random(state) % 4;
    job.minutes = 10 + (int)(mix_random(state) % 1431);
    return job;
}
