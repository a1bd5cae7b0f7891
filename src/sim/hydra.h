/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Hydra's cases: jobs that are all there at time 0, one GPU each, whose run time on each of three
 * GPU types is known, some with a deadline (dos-lab/Hydra). */

#include "base/buf.h"
#include "base/error.h"
#include "base/number.h"
#include "market/schedule.h"

#define HYDRA_POOLS 3

struct hydra_job {
    time_ms run[HYDRA_POOLS]; /* a100, v100, 2080ti */
    time_ms deadline;         /* TIME_NEVER: none */
};

struct hydra {
    struct hydra_job *jobs;
    size_t count, capacity;
    uint32_t places[HYDRA_POOLS];
};

/* The first `limit` jobs; one that comes later than 0 among them is an error. */
int hydra_read(struct hydra *h, const char *path, int64_t limit, struct error *err);
int hydra_parse(struct hydra *h, const char *file, struct buf *text, int64_t limit,
                struct error *err);
/* "a100=15,v100=15,2080ti=15". */
int hydra_fleet(struct hydra *h, const char *text, struct error *err);
void hydra_fini(struct hydra *h);
