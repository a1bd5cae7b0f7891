/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The market in time. A claim is capacity that was sold forward: a shape that holds nodes free from
 * one moment to another. Its nodes are chosen when it is bought and are a witness that all claims can
 * be exercised together; they change where a node is lost. Whatever may not be moved by price starts
 * on such a node only where the claim still fits beside it; the rest must have left when the claim
 * begins.
 *
 * Every pool has a forward curve, refreshed at ticks: what a unit-hour of each slot to come costs. */

#include "market/market_internal.h"

#define FORWARD_QUARTERS 96 /* slots of 15 min: a day */
#define FORWARD_SLOTS (FORWARD_QUARTERS + 144) /* then hours: a week in all */
#define FORWARD_HOURS 168 /* of a week */

enum claim_kind { CLAIM_NONE, CLAIM_RESERVATION, CLAIM_DEADLINE, CLAIM_STARVING };

struct claim {
    enum claim_kind kind;
    uint32_t of; /* reservation or bid */
    uint32_t pool;
    struct market_amounts amounts; /* of each replica */
    int64_t replica_milli;
    time_ms from, to;
    uint32_t *nodes; /* slots, one a replica, those that were lost too */
    uint32_t count;
    /* reservations */
    uint32_t lent;  /* so many replicas, the last ones, are lent while they stand idle … */
    udollar floor;  /* … at so much per unit-hour or more … */
    time_ms lent_from, lent_until; /* … from then to then */
};

struct reservation {
    market_id id;
    uint32_t tenant;
    struct market_choice choice;
    uint32_t replicas, racks;
    enum market_level level;
    time_ms from, to;
    udollar limit;
    bool keep_idle;
    enum market_reservation_state state;
    uint32_t claim, pool; /* claim: 0 = holds nothing */
    int64_t units_milli, rate, locked_scarcity; /* rates: milli-rates, whole shape */
    int128 sum, resold_sum; /* milli-rate × ms */
    udollar booked, resold, escrow;
    time_ms accrued_to, idle_since;
    uint32_t paused; /* replicas, in … */
    time_ms pause_from, pause_to;
    udollar floor;
    bool tried;    /* to be bought */
    bool returned; /* owes what the market does not pay for it */
};

/* A bid with a deadline (docs/market-time.md). Committed, it has a claim, its placeholder: the last block of
 * nodes in which it can be done in time. Until that begins it competes like any preemptible bid, at the
 * price that was locked; then it is firm. */
struct promise {
    uint32_t bid; /* 0: a free slot */
    bool committed;
    uint32_t claim, alternative; /* the one that the claim holds nodes for */
    int64_t rate, locked_scarcity; /* milli-rates of the whole bid where its claim is */
    udollar most;     /* the quote: what it pays at most until it is over */
    udollar escrow;   /* held of it while no lease holds it */
    int64_t limit;    /* of its first alternative, as declared: once it is over it is an ordinary bid at that */
    time_ms earliest, deadline, run_time, checkpoint, startup;
    int64_t work_milli;
    udollar limit_total;
    int64_t done_permille; /* kept by checkpoints */
    time_ms needs;    /* its lease is done so long after its start */
};

struct forward {
    time_ms base;      /* start of the first slot */
    int64_t price[FORWARD_SLOTS], sold[FORWARD_SLOTS];
    int64_t hours[FORWARD_HOURS]; /* mean guide by hour of the week, of the last four weeks */
    uint32_t weeks[FORWARD_HOURS];
    int64_t hour;     /* the one that runs, since 1970 */
    int128 hour_sum;  /* guide × ms of it so far */
    time_ms hour_span;
};

struct node_claims {
    uint32_t *items;
    uint32_t count, capacity;
};

struct calendar {
    struct claim *claims; /* slot 0 is not used */
    uint32_t claim_count, claim_capacity, live;
    struct reservation *reservations;
    uint32_t reservation_count, reservation_capacity;
    struct map reservation_by_id;
    struct promise *promises; /* slot 0 is not used */
    uint32_t promise_count, promise_capacity;
    time_ms opens; /* the next window that opens */
    struct forward *pools; /* by pool */
    uint32_t pool_count;
    struct node_claims *by_node;
    uint32_t node_capacity;
    time_ms refreshed; /* the curves; 0 = never */
    uint64_t changed, refreshed_at; /* sales so far, and when the curves were refreshed */
    time_ms due; /* the next moment at which somebody must leave or something begins */
};

struct calendar *calendar_new(void);
void calendar_free(struct calendar *c);
void calendar_pack(const struct market *m, struct buf *out);
/* `promises`: bytes of older formats have none. */
bool calendar_unpack(struct market *m, struct unpack *in, bool promises);
void calendar_check(const struct market *m);

/* What begins, ends and must leave by now; knows then when to look again. */
void calendar_run(struct market *m);

/* ---- claim.c ------------------------------------------------------------------------------------------ */

/* A shape and when it is wanted. */
struct wish {
    const struct candidate *c;
    const struct line *line;
    time_ms from, to;
};
/* Nodes that are free of everything that may not be moved, all that time; false where there are none. */
bool claim_find(const struct market *m, const struct wish *w, struct site *ret);
/* Takes the nodes of the site, and gives the slot. */
uint32_t claim_add(struct market *m, const struct claim *claim, const struct site *site);
void claim_remove(struct market *m, uint32_t claim);
/* Nodes anew for a claim that stands, its own counted as free. */
bool claim_again(const struct market *m, uint32_t claim, struct site *ret);
/* Into the lists by node, or out of them. */
void claim_index(struct market *m, uint32_t claim, bool in);
/* The replica of the claim on this node may be used by others at that time. */
bool claim_is_lent(const struct claim *c, uint32_t node, time_ms at);
/* Everything that was sold of the node for that moment fits beside what price cannot move. */
bool claim_holds(const struct market *m, uint32_t node, time_ms at);
/* Who must leave for what was sold does, in time; lost nodes are replaced. Returns when to look again. */
time_ms claims_run(struct market *m);
/* What price can move goes, cheapest first, until all of the site fits; false where it does not. */
bool claim_make_room(struct market *m, const struct site *site);
/* Whether a lease may stay where it is until then: everything else that was sold there fits beside it. */
bool claim_lets_stay(const struct market *m, uint32_t lease, uint32_t except, time_ms until);
/* Whether nobody stands in the way of the site now, and nothing else was sold of it until then. */
bool claim_is_idle(const struct market *m, const struct site *site, uint32_t except, time_ms until);
/* The claim stands on these nodes from here on. */
struct ground {
    uint32_t pool, count;
    const uint32_t *nodes;
    struct market_amounts amounts;
    int64_t replica_milli;
};
void claim_move(struct market *m, uint32_t claim, const struct ground *to);

/* ---- forward.c ------------------------------------------------------------------------------------------- */

void forward_tick(struct market *m, time_ms since);

/* ---- reservation.c ------------------------------------------------------------------------------------------ */

/* Charges it up to now, and credits what was lent of it. */
void reservation_accrue(struct market *m, struct reservation *r);
void reservations_tick(struct market *m);
/* Slots that begin and end, and bids that may run in them. Returns when to look again. */
time_ms reservations_run(struct market *m);
uint32_t reservation_find(const struct market *m, market_id id);

/* ---- starve.c ------------------------------------------------------------------------------------------------- */

/* Blocks that begin or are not wanted any more. Returns when to look again. */
time_ms starve_run(struct market *m);

/* ---- offer.c ------------------------------------------------------------------------------------------------ */

/* What is left of its work at that line, its start among it. */
time_ms promise_work(const struct form *f, const struct line *line, uint32_t replicas, const struct promise *p);
/* Until work of that span is surely done: placement takes time, and so does what is lost since the last checkpoint. */
time_ms promise_hold(const struct market *m, const struct promise *p, time_ms work);
/* NULL where the form has none there. */
const struct line *form_line(const struct form *f, uint32_t alternative, uint32_t pool);
/* What a deadline would cost: the least forward cost over the pools that have room for it in time. */
struct offer {
    const struct line *line; /* NULL: nowhere is there room */
    int64_t rate;            /* milli-rate */
    udollar most;
    time_ms from, to;        /* its placeholder */
    bool above_limit;
    struct site site;
};
void offer_find(const struct market *m, const struct candidate *c, const struct promise *p, struct offer *ret);
void offer_fini(struct offer *o);
struct promise promise_of(const struct market_bid *bid);

/* ---- promise.c ---------------------------------------------------------------------------------------------- */

/* Placeholders that begin, end and make room. Returns when to look again. */
time_ms promises_run(struct market *m);
/* Nodes anew for its claim, from now or when it begins, until then. */
bool promise_place(const struct market *m, uint32_t claim, time_ms to, struct site *ret);
bool promise_slots_hold(const struct market *m);
void promises_check(const struct market *m);
