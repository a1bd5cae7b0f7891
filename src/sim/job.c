/* SPDX-License-Identifier: Apache-2.0 */
#include "sim/job.h"

#include "base/memory.h"
#include "base/sort.h"

#define NOTICE_MS 30000

void jobs_fini(struct jobs *jobs)
{
    xfree(jobs->items);
    arena_fini(&jobs->texts);
    *jobs = (struct jobs){};
}

struct job job_default(void)
{
    return (struct job){.replicas = 1,
                        .deadline = TIME_NEVER,
                        .limit = -1,
                        .preemptible = true,
                        .notice = NOTICE_MS,
                        .patience = TIME_NEVER};
}

void jobs_add(struct jobs *jobs, const struct job *job)
{
    ARRAY_RESERVE(jobs->items, jobs->count, jobs->capacity);
    struct job *own = &jobs->items[jobs->count++];
    *own = *job;
    own->name = arena_str(&jobs->texts, job->name);
    own->tenant = arena_str(&jobs->texts, job->tenant);
    own->accelerator = arena_str(&jobs->texts, job->accelerator);
    own->sku = arena_str(&jobs->texts, job->sku);
    own->reservation = arena_str(&jobs->texts, job->reservation);
}

static int job_compare(const void *a, const void *b, const void *context)
{
    const struct job *x = a, *y = b;
    (void)context;
    return COMPARE(x->submit, y->submit);
}

void jobs_settle(struct jobs *jobs, int64_t limit)
{
    sort(jobs->items, jobs->count, sizeof *jobs->items, job_compare, NULL);
    jobs->count = (size_t)MIN((int64_t)jobs->count, limit);
    time_ms start = jobs->count ? jobs->items[0].submit : 0;
    for (size_t i = 0; i < jobs->count; i++) {
        struct job *job = &jobs->items[i];
        job->submit -= start;
        if (job->deadline != TIME_NEVER)
            job->deadline -= start;
    }
}

int64_t job_units_milli(const struct job *job)
{
    int64_t units = job->amounts.gpu_milli ? job->amounts.gpu_milli : job->amounts.core_milli;
    return units * job->replicas;
}
