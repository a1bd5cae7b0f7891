/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Elastic jobs with deadlines on nodes of equal GPUs, in virtual time. Sizes are powers of two,
 * placed in buddy blocks of a node, or in whole nodes; a change of size or place costs time. A
 * policy sees what was submitted, speeds included, and nothing of what comes later. */

#include "sim/itp.h"

enum elastic_state { ELASTIC_COMING, ELASTIC_ACTIVE, ELASTIC_FINISHED, ELASTIC_DECLINED };

#define ELASTIC_NONE ITP_SIZES /* of a size: no GPUs */

struct elastic_run {
    const struct itp_job *job;
    enum elastic_state state;
    uint32_t size;   /* exponent; ELASTIC_NONE: it does not run */
    uint32_t target; /* what the policy wants; set by `allocate` */
    bool late;       /* its deadline was given up */
    bool started;    /* it has run before: its workers restart */
    int64_t left;    /* work */
    time_ms ready;   /* no progress before */
    time_ms end;     /* when it finished */
    uint32_t *nodes; /* of its block: one, or one a whole node */
    uint32_t node_count;
    uint64_t mask; /* GPUs of the node, where it takes less than a whole one */
};

struct elastic {
    struct elastic_run *runs; /* by submission */
    size_t count;
    uint32_t gpus, per_node; /* per_node: a power of two up to 64 */
    time_ms now;
    uint32_t *active; /* runs, by submission */
    size_t active_count, active_capacity;
    uint64_t *free; /* by node: GPUs that nobody has */
    uint32_t node_count;
    void *own; /* the policy's */
};

struct elastic_policy {
    const char *name;

    void (*start)(struct elastic *e); /* NULL: nothing to do */
    void (*stop)(struct elastic *e);
    /* Whether to take this job, which has just come and stands last among the active ones. */
    bool (*admit)(struct elastic *e, uint32_t run);
    /* Sets the target of every active run; together they must fit. Called after what came and
     * ended. */
    void (*allocate)(struct elastic *e);
};
extern const struct elastic_policy elastic_edf, elastic_naive, elastic_elasticflow, elastic_market;

struct elastic_result {
    size_t jobs, admitted, met, late_after_admission, bound;
    int64_t changes; /* of size or place */
};

void elastic_simulate(const struct itp *trace, uint32_t gpus, uint32_t per_node,
                      const struct elastic_policy *policy, struct elastic_result *ret);

/* What a change to 2^size GPUs costs: start or restart of workers. */
time_ms elastic_overhead(uint32_t size, bool restarts);
/* Time for `work` at that size. */
time_ms elastic_span(const struct itp_job *job, int64_t work, uint32_t size);
/* Whether a block of that size is free without moving anything. */
bool elastic_has_block(const struct elastic *e, uint32_t size);
uint32_t elastic_used(const struct elastic *e);
