/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The state of an agent, and what its files offer one another. All of it belongs to the loop in
 * agent.c; jobs (agent/worker.h) get copies. */

#include "agent/hold_record.h"
#include "agent/options.h"
#include "agent/worker.h"
#include "base/map.h"
#include "node/cgroup.h"
#include "node/process.h"
#include "node/user_range.h"
#include "records/agent.h"

/* What a server is asked about a replica; see the table of moves in replica.c. */
enum replica_state {
    REPLICA_NEW,      /* nothing lies on disk */
    REPLICA_FETCHING, /* a job lays out its files */
    REPLICA_READY,    /* all lies there; waits for the word to run */
    REPLICA_HELD,     /* a holder has it */
    REPLICA_ENDED,    /* the end is known here */
    REPLICA_TOLD,     /* and to the server; stays until the desired state drops it */
    REPLICA_GONE,     /* a job removes what is left */
};

struct replica {
    struct list link; /* of agent.replicas */
    struct agent *agent;
    enum replica_state state;
    struct hold_name name;
    struct hold_identity identity; /* borrows from name */
    char folder[HOLD_PATH_MAX];
    uint32_t user;
    const struct agent_replica *wanted; /* in agent.desired; NULL = must not run */
    int lock;                           /* while handing over, else -1 */
    struct arena arena;                 /* of what the records say */
    struct hold_started started;        /* known where has_started */
    struct hold_ended ended;            /* from state ENDED on */
    bool has_started, told_started;
    bool no_folder;            /* asked about, never been here */
    time_ms ended_ms, told_ms; /* boot clock */
    time_ms kill_at;           /* 0 = has not been told to stop */
    time_ms lease;             /* as written last */
    int64_t busy_port;         /* not free when probed; 0 = none */
    bool told_busy;
    time_ms retry_ms;           /* of fetching, after a failure; boot clock */
    uint32_t host;              /* of an instance: number of its address; 0 = none yet */
    bool told_phase;            /* the server knows where it will answer */
    int64_t log_size, log_sent; /* bytes; log_sent < 0: ask the server first */
    bool log_off;               /* the server wants no more */
};

#define SPARES 2 /* holders that wait */

struct agent {
    struct agent_options options;
    struct agent_facts facts;
    struct arena arena; /* of facts */
    char data[HOLD_PATH_MAX], poke_path[HOLD_PATH_MAX];
    char boot[PROCESS_BOOT_MAX];
    /* how replicas are held in */
    struct cgroup groups;
    struct user_range users;
    bool own_mounts;
    bool guests; /* it hands out machines … */
    char storage[HOLD_PATH_MAX]; /* … whose disks lie here */
    bool sweeps_network; /* a job takes down the bridge of machines that have ended */
    time_ms disks_at_ms; /* boot clock: when it next asks which of them may go */
    int data_lock;

    struct mailbox mailbox;
    struct worker *poller, *reporter, *shipper, *files;
    int poke, signals;

    struct list replicas;   /* replica.link, in order of arrival */
    struct str_map by_name; /* -> struct replica */

    /* contact with the server */
    bool registered, polling, in_contact;
    struct arena *desired_arena;
    struct agent_desired desired;
    int64_t since;
    time_ms contact_ms; /* boot clock: when the newest answered poll was sent */
    time_ms told_at_ms; /* boot clock: when the desired state came */
    time_ms contact_timeout_ms, renew_ms;
    time_ms poll_at_ms; /* boot clock */
    int failures;

    bool reporting, shipping;
    bool report_singly; /* the server refused a batch */
    time_ms report_at_ms, ship_at_ms; /* boot clock: not before */
    struct replica *ship_next;

    int nursery_socket; /* of the process that holders are forked from, -1 = none */
    pid_t nursery;
    int spares[SPARES]; /* sockets of holders that wait, oldest first */
    size_t spare_count;
    time_ms spare_at_ms; /* boot clock: not before */
};

static inline time_ms now_ms(void)
{
    return hold_now_ms();
}

/* ---- facts.c: what the node tells ---- */

/* Fills agent.facts. */
int agent_find_facts(struct agent *a, struct error *err);
void agent_miss(struct agent *a, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* ---- contact.c: registration, the long poll, leases ---- */

int contact_join(struct agent *a, const struct http_client_options *options, struct error *err);
/* Starts the next call where none runs and its time has come. */
void contact_pump(struct agent *a);
/* Asks for all of the desired state at once, whatever poll is waiting. */
void contact_renew(struct agent *a);

/* ---- replica.c ---- */

/* -EINVAL where the name is none; the state is NEW. */
int replica_new(struct agent *a, const struct hold_identity *identity, struct replica **ret);
struct replica *replica_find(struct agent *a, struct str name);
void replica_free(struct replica *r);
void replica_move(struct replica *r, enum replica_state state);
/* Reads what its holder wrote; notices an end, with or without a record of it. */
void replica_look(struct replica *r);
/* Ends its processes without asking a holder. */
void replica_kill(struct replica *r);
/* Ends it here without a holder: `text` says why it could not run. */
void replica_fail(struct replica *r, const char *text);
/* Finds what an earlier agent left: called once, before the first poll. */
int replica_find_all(struct agent *a, struct error *err);

/* ---- prepare.c: folders, archives ---- */

/* From NEW to READY, at once or through a job; an end where that cannot be. */
void prepare_start(struct replica *r);
/* From any state without a holder to GONE; the folder is removed and the replica freed. */
void prepare_remove(struct replica *r);

/* ---- holder.c: the agent's side of `tessera hold` ---- */

/* Keeps holders waiting for replicas. */
void holder_keep_spares(struct agent *a);
void holder_drop_spares(struct agent *a);
/* From READY to HELD, or an end. */
void holder_start(struct replica *r);
/* Signal now (0 = none) and kill then (boot clock); only ever earlier than told before. */
void holder_stop(struct replica *r, int signal, time_ms kill_at);
void holder_set_lease(struct replica *r, time_ms until);
/* Ends what is left in the cgroups of holders that are no more. */
void holder_sweep_groups(struct agent *a);
/* Whether a process holds the folder's lock. */
bool holder_lives(const char *folder);

/* ---- guest.c: replicas that are machines ---- */

/* Whether this node can hand them out: a label says so, or a line of what is missing says why not. */
void guests_find(struct agent *a);
static inline bool replica_is_guest(const struct replica *r)
{
    return r->wanted && r->wanted->instance.id.size > 0;
}
/* An address of its own, kept in its folder. False: none is free. */
bool guest_address_take(struct replica *r);
void guest_address_find(struct replica *r); /* what an earlier agent wrote */
/* What its holder is told; texts in the arena. */
void guest_describe(const struct replica *r, struct arena *arena, struct hold_guest *ret);
/* "10.64.3.7" */
struct str guest_address(const struct replica *r, struct arena *arena);
/* Tells it to leave as the server says: on with its notice, or off at once. */
void guest_stop(struct replica *r);
/* Starts jobs: now and then one that deletes disks nobody will want again, and one that takes down the node's bridge
 * while no machine runs. */
void guests_sweep(struct agent *a);

/* ---- reconcile.c ---- */

/* Binds replicas to a new desired state: agent.desired was replaced. */
void reconcile_bind(struct agent *a);
/* Moves every replica towards what is wanted. */
void reconcile(struct agent *a);

/* ---- report.c, ship.c: what the server is told ---- */

void report_pump(struct agent *a);
void ship_pump(struct agent *a);
/* All of the log that the server wants is there. */
bool ship_done(const struct replica *r);
