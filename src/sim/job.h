/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Workloads of a trace in one form, whatever file they came from. What a policy may see is what was
 * submitted; the rest is the truth, which shows itself as time passes. */

#include "base/arena.h"
#include "base/error.h"
#include "base/number.h"
#include "market/market.h"

enum job_end {
    JOB_FINISHES,
    JOB_FAILS,        /* by itself, after its run time */
    JOB_IS_CANCELLED, /* by its user, after its run time or, where it never ran, its patience */
};

struct job {
    /* submitted */
    struct str name, tenant, accelerator, sku; /* accelerator, sku: empty = any */
    struct str reservation;                    /* of its tenant, by name; empty = none */
    time_ms submit;                            /* from the trace's start */
    uint32_t replicas;
    struct market_amounts amounts; /* of one replica */
    time_ms estimate;              /* what its user says it runs; 0: nothing */
    time_ms deadline;              /* TIME_NEVER: none */
    udollar limit;                 /* µ$ per unit-hour; -1: the model of values says it */
    bool preemptible;
    enum market_level level;
    time_ms notice;
    udollar restart_cost;
    /* the truth */
    time_ms run;
    time_ms patience; /* JOB_IS_CANCELLED: leaves the queue after so long */
    enum job_end end;
    bool drawn; /* its run time is not the trace's */
};

struct jobs {
    struct job *items; /* by submission, then as they came */
    size_t count, capacity;
    size_t
        skipped; /* rows that are no workload to run: still waiting at the trace's end, steps, … */
    struct arena texts;
};

void jobs_fini(struct jobs *jobs);
/* A job with the defaults of a task file: one replica, preemptible, 30 s notice, no deadline. */
struct job job_default(void);
/* Copies the job with its texts. */
void jobs_add(struct jobs *jobs, const struct job *job);
/* Sorts, and shifts times so that the first submission is at 0. Keeps the first `limit`. */
void jobs_settle(struct jobs *jobs, int64_t limit);
/* Units that it takes: GPUs in thousandths, or cores where it takes none; of all replicas. */
int64_t job_units_milli(const struct job *job);

/* ---- files; errors name file and line ---- */

/* Our own form, with a header: submit and run, and of the rest what is there (docs/sim.md). `map`:
 * "ours=theirs,…" or NULL. */
int jobs_read_csv(struct jobs *jobs, const char *path, const char *map, struct error *err);
/* `sacct --parsable2` with at least JobID, Submit, State and Elapsed. */
int jobs_read_slurm(struct jobs *jobs, const char *path, struct error *err);
/* Microsoft Philly 2017 in the compact form of Sia: timestamp, duration, num_gpus, cluster. */
int jobs_read_philly(struct jobs *jobs, const char *path, struct error *err);
/* Chronus: Philly with deadlines, in minutes. */
int jobs_read_chronus(struct jobs *jobs, const char *path, struct error *err);
/* Helios: GPUs that ran and waited, by virtual cluster and minute. Each rise is jobs of one to four
 * whole nodes and one of the rest; each fall ends the oldest that fit into it. */
int jobs_read_helios(struct jobs *jobs, const char *path, struct error *err);
/* Azure: requests of a language model. Each minute's tokens make so many replicas of one GPU;
 * "FILE#times=N": for each request N. */
int jobs_read_azure(struct jobs *jobs, const char *path, struct error *err);
/* Pollux and Sia: one workload of the file, "FILE#NAME" where it holds several. Lengths that it does
 * not give are drawn by application from the job's name. */
int jobs_read_pollux(struct jobs *jobs, const char *path, struct error *err);

struct buf;
int jobs_parse_csv(struct jobs *jobs, const char *file, const char *map, struct buf *text,
                   struct error *err);
int jobs_parse_slurm(struct jobs *jobs, const char *file, struct buf *text, struct error *err);
int jobs_parse_philly(struct jobs *jobs, const char *file, struct buf *text, struct error *err);
int jobs_parse_chronus(struct jobs *jobs, const char *file, struct buf *text, struct error *err);
int jobs_parse_helios(struct jobs *jobs, const char *file, struct buf *text, struct error *err);
/* `part`: what stood behind the #, or NULL. */
int jobs_parse_azure(struct jobs *jobs, const char *file, const char *part, struct buf *text,
                     struct error *err);
int jobs_parse_pollux(struct jobs *jobs, const char *file, const char *part, struct buf *text,
                      struct error *err);
