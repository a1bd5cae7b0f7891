/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* A market with people and machines around it: names instead of numbers, agents that start what is
 * ready and leave when they are told, and a model (model.c) that follows the events alone and holds
 * the market to its promises. Scenario files and the property tests both play on this. */

#include "base/map.h"
#include "base/memory.h"
#include "market/market.h"

#include <stdio.h>

/* ---- names --------------------------------------------------------------------------------------
 */

/* Every name has one integer, whatever it names; 0 is no name. */
struct names {
    struct str_map by_text;
    char **texts; /* by integer */
    size_t count, capacity;
};
market_id name_intern(struct names *n, struct str text);
/* 0 where it was never interned. */
market_id name_find(const struct names *n, struct str text);
const char *name_text(const struct names *n, market_id id);
void names_fini(struct names *n);

/* ---- what is followed ---------------------------------------------------------------------------
 */

enum track_state {
    TRACK_WAITING,
    TRACK_ASSIGNED, /* nodes told, victims still there */
    TRACK_READY,
    TRACK_RUNNING,
    TRACK_VACATING,
    TRACK_OVER,
};

/* One bid, from its own events. */
struct track {
    market_id id;
    struct market_bid spec; /* owned: see track_own */
    struct market_role *roles;
    struct market_alternative *alternatives;
    struct market_choice *choices; /* alternative × role */
    enum track_state state;
    uint32_t attempt, alternative, starts, preemptions, moves;
    market_id pool;
    int64_t units_milli;
    struct market_placement *placements;
    bool *gone;
    size_t placement_count;
    time_ms leave_by, told, started, released; /* told: to leave */
    time_ms protected_until; /* by its minimum run, as the setting stood when it started */
    enum market_release reason;
    udollar first_limit; /* of alternative 0, as last changed */
    udollar charged;     /* sum of EVENT_CHARGED */
    udollar refunded;    /* of it, given back to a victim */
    udollar displacement, menu_charged;
    bool moving;
    udollar quoted; /* a deadline: what it costs at most */
    time_ms latest; /* start of its placeholder */
    bool committed;
    bool spoiled; /* it lost a place by something else than price: a promise may be late */
    udollar stay;      /* before the last batch */
    time_ms cut_at;    /* its limit was cut last; 0 never */
    time_ms out_since; /* below the posted price without a break since; 0 not so */
    udollar pending;   /* a change of the limit that waits for the minimum run; -1 none */
    bool stands;       /* it was ready: it may be on its nodes */
    int64_t top_limit; /* at which its nodes were given: µ$ × thousandths of a unit an hour */
    udollar displaced_before;
    bool runs;         /* started in this attempt */
    bool started_told; /* LEASE_STARTED was sent */
    /* of this attempt: the rate by section 7 from when on, and the sums it makes */
    struct rate_span {
        time_ms from;
        int64_t rate, limit, asks; /* µ$ × thousandths of a unit an hour */
    } * spans;
    size_t span_count, span_capacity;
    udollar attempt_charged, charged_before; /* in this attempt; in those before it */
    time_ms charged_until;                   /* contact was lost then */
    int64_t asks; /* of its nodes, as far as they reach it: as spans[].rate */
};

struct plot { /* one node */
    struct market_node spec;
    bool up, draining;
    int64_t units_milli;            /* q of all that is taken: the largest share, not their sum */
    struct market_amounts taken;    /* by leases that were not told to go */
    struct market_amounts standing; /* by everything that is physically there */
    uint16_t gpu_taken[MARKET_NODE_GPUS_MAX];
};

struct tag { /* one pool, as last posted */
    market_id pool;
    udollar marginal, scarcity, guide, lowest_ask;
    int64_t units_milli, free_milli;
    uint64_t steady; /* ticks in a row at which nothing of it moved */
};

struct block_tag { /* a large tenant's entry, as last posted */
    market_id tenant, pool;
    int64_t units_milli;
    udollar post;
};

struct credit_tag { /* of a tier in a pool, as last posted */
    market_id pool;
    uint32_t tier;
    udollar credit;
    time_ms notice; /* with as much at most one has it */
};

#define GROUND_RACKS_MAX 8
struct ground { /* a pool, were it empty: nodes that stand together, at most */
    struct market_pool_view view;
    struct market_node sample; /* a node of it, for what criteria look at */
    uint32_t largest[LEVEL_NODE + 1], racks[GROUND_RACKS_MAX]; /* in 1, 2, … racks of one fabric */
};

struct account_sum {
    struct market_account name;
    udollar balance;
};

enum leave_rule { LEAVE_AT_ONCE, LEAVE_AT_DEADLINE, LEAVE_BY_HAND };

struct counters {
    uint64_t batches, starts, evictions, moves, refusals, ticks_wanted, allocations, ticks, cases, rests;
};

struct world {
    struct market *m;
    struct market_events events;
    uint64_t seed;
    time_ms now, started, last_tick;
    struct names names;
    struct track *tracks;
    size_t track_count, track_capacity;
    struct plot *plots;
    size_t plot_count, plot_capacity;
    struct tag *tags;
    size_t tag_count, tag_capacity;
    struct block_tag *blocks;
    size_t block_count, block_capacity;
    struct credit_tag *credits;
    size_t credit_count, credit_capacity;
    struct market_subscription_view *pledges; /* before a batch of bids */
    size_t pledge_count, pledge_capacity;
    struct ground *ground;
    size_t ground_count;
    bool ground_stale;
    struct account_sum *sums;
    size_t sum_count, sum_capacity;
    struct map track_by_id, plot_by_id;
    uint32_t *active; /* tracks that hold nodes */
    size_t active_count, active_capacity;
    struct counters count;
    struct market_event last_refused; /* of the last batch; index SIZE_MAX where none */
    struct market_event gap;
    struct market_command *replies; /* that agents owe besides: replicas which a resize sent away */
    size_t reply_count, reply_capacity;
    bool auto_compute; /* what is worked out outside the writer comes back before each tick */
    bool auto_finish;  /* what declared a run time ends after it */
    bool auto_start, auto_tick; /* auto_tick: a tick that is wanted comes within a second */
    enum leave_rule leave;
    bool just_ticked; /* the last batch had a tick */
    bool tick_wanted;
    bool noted;         /* a refusal was noted since the last post: a price may rise past its ramp */
    int128 stakes;      /* before the batch: what all that runs or is about to is worth above its asks, µ$ an hour */
    bool arrivals_only; /* the batch says nothing but bids */
    unsigned stuck;       /* wake-ups in a row that moved nothing */
    uint64_t check_every; /* batches between full checks; 0 = never */
    struct budget {       /* of a tenant that ever had one */
        market_id tenant;
        udollar most; /* that it may have spent at any time so far */
        bool unlimited;
    } * limited;
    size_t limited_count, limited_capacity;
    udollar taken_back;                 /* after a contact was lost, of all, so far */
    udollar displacement, compensation; /* of all, so far */
    uint64_t moving;                    /* tracks that hold another place */
    time_ms last_loss;                  /* of a node */
    int128 asks_due; /* of attempts that are over: µ$ × thousandths of a unit an hour × ms */
    bool asks_known; /* no firm or otherwise unfollowed lease has run */
    bool laws;       /* check what model_laws.c knows, after every batch */
    bool check_alignment; /* GPUs of a power of two fill an aligned block */
    bool watch_rates;     /* recompute every running charge at every batch */
    struct market_command *batch;
    size_t batch_count, batch_capacity;
    FILE *trace;                                       /* every event as text; NULL = none */
    bool trace_digest;                                 /* keep `digest`, and trace */
    uint64_t digest;                                   /* of all events so far */
    void (*failed)(struct world *w, const char *text); /* never returns */
    void *context;
};

struct world *world_new(uint64_t seed, void (*failed)(struct world *, const char *), void *context);
void world_free(struct world *w);
void world_fail(struct world *w, const char *format, ...)
    __attribute__((noreturn, format(printf, 2, 3)));

/* Queues a command; the bid of a BID_ADD is copied. */
void world_say(struct world *w, struct market_command c);
/* Applies what is queued as one batch, lets the agents react, and checks. */
void world_apply(struct world *w);
static inline void world_do(struct world *w, struct market_command c)
{
    world_say(w, c);
    world_apply(w);
}
/* Lets time pass; whatever falls due on the way happens at its time. */
void world_wait(struct world *w, time_ms span);
void world_tick(struct world *w); /* one tick interval later, the tick */
/* The three works outside the writer, each brought back as a command of its own. */
void world_compute(struct world *w);
/* Takes the state out and in again through its bytes; fails where they differ. */
void world_reload(struct world *w);

struct track *world_track(const struct world *w, market_id id); /* NULL where there is none */
struct plot *world_plot(const struct world *w, market_id id);
struct tag *world_tag(const struct world *w, market_id pool);
udollar world_balance(const struct world *w, struct market_account account);

/* trace.c: one line, for people and for digests. */
void event_text(const struct market_events *events, const struct market_event *e, struct buf *out);

/* ---- model.c: what must hold of the events, whatever the market says of itself
 * -------------------- */

void model_event(struct world *w, const struct market_event *e);
/* After a batch: every node, every lease, every account. */
void model_check(struct world *w);
/* Before a batch, and after its events: what it did as a whole. */
void model_before(struct world *w);
void model_after(struct world *w);
/* After a batch, before its events: what the commands that were not refused say. */
void model_commands(struct world *w);
/* Section 7 from the posted menu alone: v − best where the track stands, in µ$ × thousandths of a
 * unit an hour, with its first limit at `limit`. */
int64_t model_rate(const struct world *w, const struct track *t, udollar limit);
/* The asks of the nodes it stands on, same unit. */
int64_t model_asks(const struct world *w, const struct track *t);
/* q of a replica with these amounts on such a node; 0 where it never fits. */
int64_t model_units(const struct market_amounts *node, const struct market_amounts *takes);
bool model_choice_matches(const struct market_choice *c, const struct market_node *n);
