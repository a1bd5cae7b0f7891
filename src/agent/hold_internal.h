/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What the files of the holder share. */

#include "agent/hold_log.h"
#include "agent/hold_record.h"
#include "node/cgroup.h"

enum hold_stage {
    HOLD_WAITING, /* for a lease, before the first process */
    HOLD_SETUP,
    HOLD_RUN,
    HOLD_OVER, /* the main process is gone; others may have time to go too */
};

struct hold {
    struct hold_spec spec;
    struct arena arena; /* of the spec */
    char folder[HOLD_PATH_MAX];
    struct cgroup group;
    struct hold_log log;
    int lock, control, signals, output; /* descriptors */
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

/* ---- hold_process.c: the replica's processes ---- */

/* Starts the stage's script. -errno and h->problem where that cannot be. */
int hold_start(struct hold *h, enum hold_stage stage);
/* Over its cgroup, or over all that descends from the holder where there is none. */
void hold_signal(struct hold *h, int signal);
void hold_freeze(struct hold *h, bool frozen);
void hold_kill(struct hold *h);
bool hold_alone(const struct hold *h);
