/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Virtual time: jobs arrive, are started and stopped by a scheduler, run for as long as they truly
 * take, lose work and nodes; the same rules for every scheduler. A scheduler sees what was
 * submitted and what has happened, and nothing of what is to come; it gives orders by world_start,
 * world_stop and world_reject. The market is one of them (sim/market_arm.h: the production engine),
 * the baselines are others (sim/baseline.h).
 *
 * The life of an attempt: ordered at t, its replicas have started `start` later (a later attempt
 * takes `restart` more before it makes progress). Told to stop, it saves and leaves `checkpoint`
 * later where its notice is that long, else it leaves at the end of the notice with what it saved
 * last, as when a node is lost. It saves each `checkpoint_every` of running. */

#include "sim/cluster.h"
#include "sim/job.h"

struct scheduler;
struct world_overheads {
    time_ms start, restart, checkpoint, checkpoint_every;
};

/* A node that goes down, and is back `back - down` later. */
struct world_failure {
    uint32_t node;
    time_ms down, back;
};

struct world_options {
    uint64_t seed;
    time_ms until;  /* TIME_NEVER: until nothing is left that could happen */
    time_ms warmup; /* what was submitted, used and paid before is not counted */
    struct world_overheads overheads;
    int preemptible_percent;              /* of all jobs, drawn; -1: as the trace says */
    const struct world_failure *failures; /* by time */
    size_t failure_count;
    time_ms mtbf, repair; /* of each node, drawn; 0: none fails */
    bool progress;        /* on standard error */
    const struct scheduler *scheduler;
    void *context; /* the scheduler's */
};
struct world_options world_options_default(void);

enum world_state {
    WORLD_COMING,
    WORLD_WAITING,
    WORLD_STARTING, /* ordered, not all of it has started */
    WORLD_RUNNING,
    WORLD_LEAVING,
    WORLD_FINISHED, /* by itself, with success or not: job->end says */
    WORLD_CANCELLED,
    WORLD_REJECTED,
};

/* What became of a job; by index of the trace. */
struct world_job {
    const struct job *job;
    enum world_state state;
    bool preemptible;
    time_ms estimate; /* the user's, or drawn: exp(0.7 |z|) times the truth */
    udollar limit;    /* of the trace, or drawn: on-demand price x m, ln m normal (median 0.6, sigma
                         0.6), at most on-demand */
    udollar on_demand;
    time_ms submit;                   /* with the load scaled */
    time_ms first_start, ended;       /* -1: not yet */
    uint32_t attempts, stops, losses; /* losses: of nodes */
    int64_t speed_milli;
    time_ms kept, lost, overhead; /* work saved; run twice; started, restarted, saved */
    int128 held;                  /* units in thousandths x ms, of all attempts */
    udollar cost;
    /* of the attempt */
    time_ms ordered, begun, stop_at;
    uint32_t *nodes; /* by replica */
    uint32_t stamp;  /* events of other attempts are stale */
};

struct world_node {
    const struct cluster_node *node;
    struct market_amounts free;
    bool up;
    uint32_t jobs; /* replicas on it */
};

enum world_event_kind {
    WORLD_ARRIVED,
    WORLD_BEGUN,
    WORLD_ENDED,
    WORLD_LEFT,
    WORLD_WITHDRAWN,
    WORLD_NODE_DOWN,
    WORLD_NODE_BACK
};
/* ENDED: by itself. LEFT: after world_stop, or its node went down: it waits again. WITHDRAWN: its
 * user cancelled it while it waited or ran; it holds nothing any more. */
struct world_event {
    enum world_event_kind kind;
    uint32_t index; /* of the job or the node */
};

struct world;
struct scheduler {
    const char *name, *doc;
    /* The world stands at time 0 with all nodes up; `context` is the options'. */
    void *(*open)(struct world *w, void *context);
    void (*close)(void *own);
    /* What happened at w->now, in a fixed order; none where only `due` has come. */
    void (*apply)(void *own, const struct world_event *events, size_t count);
    time_ms (*due)(const void *own); /* when it wants to act by itself; TIME_NEVER */
};

struct world_heap_item {
    time_ms at;
    uint64_t order; /* of insertion: ties are decided by it */
    enum { ITEM_BEGIN, ITEM_COMPLETE, ITEM_LEAVE, ITEM_WITHDRAW, ITEM_DOWN, ITEM_BACK } kind;
    uint32_t index, stamp;
};

/* The fleet through time: means over the span before `at`. At most WORLD_SAMPLES_MAX, further apart
 * the longer the run. */
struct world_sample {
    time_ms at;
    int64_t units_milli, used_milli;
    int64_t stranded_milli; /* free in nodes partly in use, at that time */
    size_t waiting;         /* jobs, at that time */
};
#define WORLD_SAMPLES_MAX 2048

struct world {
    const struct jobs *trace;
    const struct cluster *cluster;
    struct world_options options;
    struct world_job *jobs;
    struct world_node *nodes;
    time_ms now;
    size_t arrived, live;            /* live: arrived and not over */
    time_ms changed;                 /* last start, end or arrival */
    int64_t units_milli, used_milli; /* of nodes that are up; held now */
    int128 capacity, used;           /* integrals since the warm-up: thousandths x ms */
    struct world_sample *samples;
    size_t sample_count;
    time_ms sample_every, sample_from;
    int128 sample_units, sample_used; /* integrals since sample_from */
    size_t waiting;
    uint64_t random;
    struct world_heap_item *heap;
    size_t heap_count, heap_capacity;
    uint64_t heap_order;
    struct world_event *events;
    size_t event_count, event_capacity;
    struct arena texts;
};

/* Runs the whole trace. The caller owns `w` and ends it with world_fini; the trace, the cluster and
 * what options point to must outlive it. */
void world_run(struct world *w, const struct jobs *trace, const struct cluster *cluster,
               const struct world_options *options);
void world_fini(struct world *w);

/* ---- a scheduler's orders ---- */

/* Starts a waiting job on these nodes, one a replica (copied). It must fit. */
void world_start(struct world *w, uint32_t job, const uint32_t *nodes, int64_t speed_milli);
/* It has to have left by `deadline`. */
void world_stop(struct world *w, uint32_t job, time_ms deadline);
void world_reject(struct world *w, uint32_t job);
void world_charge(struct world *w, uint32_t job, udollar amount);

bool world_fits(const struct world_node *node, const struct job *job);
/* Whether the node is of a kind that the job takes. */
bool world_suits(const struct world_node *node, const struct job *job);
