/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What the files of the holder share. */

#include "agent/hold.h"
#include "agent/hold_log.h"
#include "agent/hold_record.h"
#include "node/cgroup.h"

enum hold_stage {
    HOLD_WAITING, /* for a lease, before the first process */
    HOLD_SETUP,
    HOLD_RUN,
    HOLD_OVER, /* the main process is gone; others may have time to go too */
};

/* Pipes and process of a start: what it says; why it could not begin. */
struct hold_launch {
    int output[2], problem[2];
    pid_t process;
};

struct hold {
    struct hold_spec spec;
    struct arena arena; /* of the spec */
    char folder[HOLD_PATH_MAX];
    struct cgroup group;
    bool own_mounts;
    struct hold_log log;
    int agent;                          /* socket to an agent that has a replica for it, at first */
    int lock, control, signals, output; /* descriptors */
    int memory;                         /* the spec as it came, until the first start */
    int go;                             /* to the child that waits; -1 = none */
    struct hold_launch launch;
    enum hold_stage stage;
    pid_t process; /* of the stage */
    int status;    /* wait status of the last main process */
    bool started;  /* a first process was */
    bool stopping, frozen;
    time_ms kill_at;      /* boot clock, while stopping */
    time_ms told_log_ms;  /* when the agent last heard that the log grew */
    bool log_grew;        /* and has not been told */
    struct error problem; /* why nothing could be started */
};

/* ---- hold.c ---- */

/* Parses the spec from a file in memory, which stays open. */
int hold_read_spec(struct hold *h, int memory, struct error *err);

/* ---- hold_start.c ---- */

/* Makes the child that waits; without one a start takes longer. */
void hold_prepare_child(struct hold *h);
/* Starts the stage's script. -errno and h->problem where that cannot be. */
int hold_start(struct hold *h, enum hold_stage stage);

/* ---- hold_guest.c ---- */

/* In the child: a machine instead of a script. It says that it has begun by closing `problem`. Returns only
 * where it could not begin. */
int hold_guest_run(struct hold *h, int problem, struct error *err);
static inline bool hold_is_guest(const struct hold *h)
{
    return h->spec.guest.id.size > 0;
}

/* ---- hold_process.c: all of the replica's processes ---- */

void hold_reap(struct hold *h);
/* Over its cgroup, or over all that descends from the holder where there is none. */
void hold_signal(struct hold *h, int signal);
void hold_freeze(struct hold *h, bool frozen);
void hold_kill(struct hold *h);
bool hold_alone(const struct hold *h);
