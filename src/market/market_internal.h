/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What the files of this folder share. Everything is found by slot (an index into a flat array;
 * slot 0 is never used), so that a snapshot needs no fix-ups.
 *
 *   node   stands in one pool, rack, fabric and zone; holds the leases on it
 *   pool   nodes of one SKU, size, zone and label set: what a price is posted for
 *   group  pools that every form treats alike: they share one dual price
 *   form   what bids declare but for their number of replicas and their values
 *   class  form × replicas: its bids differ only in value and time
 *   curve  the demand of all classes that choose among pools alike: a ladder of values
 *   bid    waits in its class's tree, is parked (its project cannot pay, its slot is
 *          not yet open, or its owner paused it), or has a lease
 *   lease  an allocation in time: assigned, running, vacating
 *
 * Rates inside are µ$ × thousandths of a unit per hour ("milli-rates"): limit × units never rounds. */

#include "base/map.h"
#include "base/memory.h"
#include "market/market.h"

#define RATE_SCALE ((int128)1000 * HOUR_MS) /* milli-rate × ms -> µ$ */
#define NODE_STEPS_MAX 64
#define STEP_ROWS (NODE_STEPS_MAX + 3)
#define STEP_OUT 255     /* the node takes nothing new */
#define RATIO_ONE 10000  /* of limits between alternatives: rounded up to a hundredth of a percent */
#define SPANS_MAX 64
#define ACCOUNT_NAMES 14 /* kinds × currencies */

/* What is free on a node, with GPUs one by one. */
struct room {
    struct market_amounts free;
    int64_t units;                        /* thousandths of units that are not charged for */
    uint64_t whole;                       /* bit i: nobody uses GPU i */
    uint32_t group;                       /* GPUs of one NVLink domain; 0 = not declared */
    bool loose;                           /* amounts alone decide what fits */
    uint16_t share[MARKET_NODE_GPUS_MAX]; /* thousandths free on each GPU */
};

struct node {
    struct market_node spec;
    struct room room; /* a vacating lease counts as gone: see `vacating` */
    uint32_t pool;
    uint32_t position, rack; /* in its pool, once that is laid out */
    uint8_t step;            /* the row of the pool's bits it stands in; STEP_OUT = none */
    bool up, draining;
    uint32_t *leases; /* slots, in order of arrival */
    uint32_t lease_count, lease_capacity;
    uint32_t vacating; /* leases that were told to go and still stand here */
    int64_t firm_milli; /* of leases that price may not move */
    int64_t held_milli; /* for tight starts (headroom.h) */
    uint32_t first_hold;
    uint32_t sellers[2]; /* by currency: 1 + its place in the pool's sellers; 0 = not looked up */
};

struct seller {
    market_id id;
    enum market_currency currency;
    int128 ask_sum; /* milli-rate × ms of its asks while used, since the pool began */
    udollar ask_paid;
    int128 rent_weight; /* milli-unit-ms × (post − ask), since the last settlement */
    int128 used;        /* milli-unit-ms since the last settlement */
};

struct rack {
    uint32_t first, end; /* positions in the pool */
    uint32_t fabric;     /* of the pool */
    uint32_t full;       /* usable nodes that nobody uses at all */
};

/* A lease as displacement sees it, cheapest loss per unit first. */
struct seat {
    int64_t density; /* loss per unit: thousandths of µ$ per unit-hour */
    uint32_t lease;
};

struct fabric {
    market_id id;
    uint32_t first, end;             /* racks of the pool */
    uint32_t first_node, end_node;   /* positions */
    uint32_t full;
    struct seat *seats; /* leases with a node here, firm ones left out */
    uint32_t seat_count, seat_capacity;
};

struct pool {
    market_id id, sku, accelerator, provider, region, zone;
    market_id labels[MARKET_LABELS_MAX];
    struct market_node sample; /* any node of it: amounts, labels, tenant are the same for all */
    bool by_core;
    uint32_t *nodes; /* slots, by (fabric, rack, id) once laid out */
    uint32_t node_count, node_capacity;
    bool laid_out, asks_stale;
    bool posted; /* the menu says something of it */
    uint32_t steps, words; /* whole units a node counts in; 64-bit words of a row */
    uint64_t *bits;        /* row × words: nodes by step, see layout.c */
    uint32_t counts[STEP_ROWS];
    struct rack *racks;
    uint32_t rack_count;
    struct fabric *fabrics;
    uint32_t fabric_count;
    uint32_t full;
    uint32_t most_in_rack, most_in_fabric; /* nodes, usable or not */
    int64_t units_milli, free_milli; /* of usable nodes; free ones of them */
    int64_t used_milli;              /* of leases that were not told to go, wherever they stand */
    int64_t firm_milli;                    /* of used: leases that price may not move */
    udollar lowest_ask, highest_ask;       /* of usable nodes; 0 where there are none */
    uint64_t asks_moved; /* counts changes of an ask */
    udollar marginal, guide;
    udollar scarcity; /* exact; posted rounded down */
    udollar post;     /* marginal + rounded scarcity */
    udollar noted;    /* least post that admits a bid that was refused a free site; 0 = none */
    uint64_t running, waiting; /* waiting: at the last post */
    int64_t wanted_milli;      /* at the last post */
    uint32_t group;
    struct seller *sellers;
    uint32_t seller_count, seller_capacity;
    struct curve_use *uses; /* curves with a line here */
    uint32_t use_count, use_capacity;
    bool dirty; /* capacity came free in this batch */
    uint32_t claims; /* sold forward, on its nodes */
    uint32_t holds;  /* for tight starts, on its nodes */
};

struct curve_use {
    uint32_t curve, line;
};

struct line { /* a pool that one alternative of a form may use */
    uint32_t pool, alternative;
    int64_t ratio;         /* limit there per RATIO_ONE of the first alternative's, rounded up */
    int64_t transfer;      /* µ$ per unit-hour */
    int64_t replica_milli; /* q of one replica there */
};

struct form {
    struct buf key; /* the packed shape: what makes two bids of one form */
    enum market_kind kind;
    market_id tenant; /* 0, or the one that alone may use unconfined nodes of its own */
    bool credits;     /* pays in credits: pools that take them */
    struct market_alternative *alternatives; /* `choices` and `limit` of these are not used */
    struct market_choice *choices;
    int64_t *ratios;
    uint32_t alternative_count;
    struct line *lines; /* by (alternative, pool) */
    uint32_t line_count, line_capacity;
    uint32_t used_count; /* the first of them; the rest never beats one of these */
    uint64_t pools_version;
    uint32_t curve;   /* 0 where it has no line */
    uint32_t classes; /* that have it */
};

struct class {
    uint32_t form, replicas;
    uint32_t waiting; /* root of the tree of bids */
    uint32_t bids;    /* in the book, wherever they stand */
    bool failed;      /* a head of this value did not start */
    bool touched;     /* to be looked at in this batch */
    uint8_t misses;   /* ticks in a row at which it was tried in vain: it is tried less often */
    uint32_t starved; /* ticks in a row at which its head, a gang, paid the menu and did not start */
    int64_t failed_value;
};

/* A class as its curve sees it: those that wait are met in order of size. */
struct member {
    int64_t units; /* milli, of the whole bid, on the curve's first line */
    int64_t head;  /* value of the best bid that waits; −1 = none waits */
    int64_t each;  /* milli, of a replica, likewise; 0 = its GPUs say nothing of where it fits */
    uint32_t class, nodes; /* nodes: how many it needs */
};

struct rung {
    int64_t units, waiting; /* milli, on the curve's first line; those that wait alone */
    int128 value;  /* sum of limit × units */
    uint32_t first, count; /* its bids, linked */
};

struct curve_line {
    uint32_t pool;
    int64_t ratio, transfer;
    int64_t scale; /* units here per million on the first line */
};

struct curve {
    struct buf key;
    struct curve_line *lines;
    uint32_t line_count;
    struct member *members;
    uint32_t member_count, member_capacity;
    struct rung *rungs; /* ticks [base, base + rung_count) */
    uint32_t base, rung_count;
    uint64_t bid_count, waiting; /* bids; those that wait */
    uint32_t forms; /* that have it */
    int64_t *units_above, *waiting_above; /* suffix sums of the rungs, valid where not stale */
    int128 *value_above;
    bool stale;
};

enum lease_state { LEASE_NONE, LEASE_ASSIGNED, LEASE_RUNNING, LEASE_VACATING };

struct span { /* a rate begins: what had been charged by then */
    time_ms from;
    int128 sum, displaced; /* by the menu; to victims */
};

struct owed { /* to whom a lease has displaced */
    market_id bid;
    uint32_t tenant;
    uint32_t attempt;
    udollar amount, paid;
};

struct lease {
    uint32_t bid;
    enum lease_state state;
    uint32_t alternative, pool;
    uint32_t vacating_at; /* in the list of those */
    uint32_t claim; /* what was sold forward and it runs in; 0 = none */
    uint32_t subscription; /* that it started within; 0 = none */
    struct market_placement *placements;
    uint32_t *nodes; /* slots, one a placement */
    uint32_t placement_count;
    int64_t units_milli;
    int64_t limit_rate, ask_rate, rate, locked_rate; /* milli-rates; locked: firm */
    int64_t density;     /* as its seats have it */
    bool firm;     /* price may not move it: inside its term */
    bool charging; /* its last replica has started, and contact is not lost */
    bool blocked;  /* something still vacates its nodes */
    bool waits;    /* its bid waits again when it has vacated */
    bool fresh;    /* opened in this batch: nobody was told yet */
    bool crowded;  /* … when somebody was still to leave there; who is told later is not in its way */
    bool *gone;    /* a placement whose replica has ended */
    enum market_release reason;
    time_ms protected_until, term_until, vacate_by, accrued_to, line_from;
    time_ms out_since; /* out of the money since; TIME_NEVER while in it */
    int128 charge_sum; /* milli-rate × ms */
    int128 kept_sum;   /* of it, at the last checkpoint */
    udollar booked, line_booked, escrow;
    struct span *spans; /* rates of late: what a lost contact takes back, and a victim gets back */
    uint32_t span_count, span_capacity;
    udollar *asks;      /* one a placement, as they hold for this lease */
    uint32_t seller;    /* whose all its nodes are, at one ask (settle.c); not kept in a snapshot: looked up again */
    udollar seller_ask; /* that ask */
    uint64_t asks_seen; /* the pool's count when they were taken; not kept in a snapshot: they are looked at again */
    int64_t exchange;   /* its currency: thousandths for 1 µ$ */
    enum market_currency currency;
    int64_t locked_scarcity; /* firm: milli-rate that an early end still owes at most */
    int64_t transfer_rate;   /* milli-rate */
    int128 transfer_sum, transfer_most;
    udollar transfer_booked, transfer_line;
    int64_t displacement_rate; /* milli-rate at most, until … */
    time_ms displacement_until;
    int128 displacement_sum;
    udollar displacement_booked, displacement_line;
    struct owed *owed;
    uint32_t owed_count;
};

struct term { /* firm work that ended early: what it owes until its term is over */
    market_id bid;
    uint32_t attempt, tenant, pool;
    int64_t units_milli, locked_scarcity; /* milli-rate */
    time_ms from, until;
    int128 sum;
    udollar booked, held;
    int64_t exchange;
    enum market_currency currency;
};

struct bid {
    market_id id;
    uint64_t tie_key, batch;
    int64_t value; /* the best of its limits, µ$ per unit-hour: what it is ranked by */
    int64_t limit; /* of the first alternative */
    int64_t pending_limit; /* a change that waits for the minimum run or term to end; -1 none */
    uint32_t *limits; /* of every alternative as declared; NULL where all are `limit` */
    time_ms notice, minimum_run, term;
    udollar restart_cost, restart_measured, charged; /* measured: 0 where it is not known */
    udollar transfer_paid, displaced, refunded; /* over all attempts; paid to victims, got as one */
    time_ms startup;
    time_ms cut_at;      /* its limit was cut last; 0 never */
    time_ms displaced_at[4]; /* price preemptions of late */
    uint32_t preemptions;
    uint32_t tenant; /* slot */
    uint32_t class, lease, attempt;
    uint32_t reserved; /* the reservation that it runs in; 0 = none */
    uint32_t promise;  /* of a deadline; 0 = it has none */
    uint32_t block;    /* a claim: nodes that come together for it, as it starves; 0 = none */
    time_ms earliest;  /* its window opens then */
    uint32_t tier;     /* of a tight start; 0 = none */
    uint32_t left, right; /* tree of its class */
    uint32_t tree_count;
    uint32_t rung_next, rung_previous; /* others of its rung */
    bool renew, urgent, credits;
    bool held;               /* its owner paused it: parked until that ends */
    bool parked, waiting, on_curve; /* where it stands: list of parked ones, tree of its class, ladder */
};

struct purse { /* what a tenant may spend of one currency */
    bool limited;
    udollar budget, spent, held; /* held: escrow of its leases that is not spent yet */
    udollar pledged; /* refunds that a lost contact may still take back */
};

/* What a block of one tenant costs the others, for each unit of it: its own entry in a pool's menu. */
struct block {
    uint32_t tenant, pool;
    int64_t units; /* milli, of it and its affiliates, in all pools that share the price */
    udollar price; /* as it was worked out */
    udollar post;  /* in force: never above the pool's own, never below its marginal ask */
};

struct tenant {
    market_id id;
    struct purse purses[2]; /* by currency; the budget of credits grows by what is refilled */
    udollar refill, most;   /* credits an hour, up to this balance */
    int128 refill_sum;      /* µ-credits × ms, beyond what was booked */
    time_ms refilled_to;
    market_id owner;
    struct block *blocks; /* by pool; where it is large */
    uint32_t block_count, block_capacity;
    uint32_t *block_at; /* by pool: 1 + its place there, of the first `block_pools`; 0 = none */
    uint32_t block_pools;
};

struct account {
    struct market_account name;
    udollar balance;
};

/* Work space of one thread: what a search writes. */
struct scratch;

struct market {
    uint64_t seed, batch, digest;
    time_ms now, last_tick;
    int64_t settings[MARKET_SETTING_COUNT];
    struct node *nodes;
    uint32_t node_count, node_capacity;
    struct pool *pools;
    uint32_t pool_count, pool_capacity;
    struct form *forms;
    uint32_t form_count, form_capacity;
    struct class *classes;
    uint32_t class_count, class_capacity;
    struct curve *curves;
    uint32_t curve_count, curve_capacity;
    uint32_t *free_forms, free_form_count, free_form_capacity;
    uint32_t *free_classes, free_class_count, free_class_capacity;
    uint32_t *free_curves, free_curve_count, free_curve_capacity;
    struct bid *bids;
    uint32_t bid_count, bid_capacity, *free_bids, free_bid_count, free_bid_capacity;
    struct lease *leases;
    uint32_t lease_count, lease_capacity, *free_leases, free_lease_count, free_lease_capacity;
    struct tenant *tenants;
    uint32_t tenant_count, tenant_capacity;
    struct account *accounts;
    uint32_t account_count, account_capacity;
    uint32_t *parked;
    uint32_t parked_count, parked_capacity;
    struct term *terms;
    uint32_t term_count, term_capacity;
    uint32_t *vacating; /* leases */
    uint32_t vacating_count, vacating_capacity;
    struct map seller_owners; /* seller + 1 -> owner */
    struct block *blocks;     /* worked out outside, in force from the next post on; by (tenant, pool) */
    uint32_t block_count, block_capacity;
    bool blocks_came;
    time_ms blocks_at; /* when they came last; 0 = never */
    struct map node_by_id, bid_by_id, tenant_by_id, class_by_form;
    struct str_map form_by_key, pool_by_key, curve_by_key;
    struct map accounts_by[ACCOUNT_NAMES]; /* by kind and currency: id + 1 -> slot */
    uint64_t pools_version; /* moves when a pool appears */
    uint64_t forms_version; /* the one that all forms have looked at */
    uint32_t *touched;      /* classes to clear in this batch */
    uint32_t touched_count, touched_capacity;
    uint32_t *fresh; /* leases opened in this batch */
    uint32_t fresh_count, fresh_capacity;
    bool unlaid; /* a pool's nodes came or went, or their asks */
    int128 surplus_sum; /* milli-rate, of leases that price may move */
    udollar surplus, bound; /* at the last tick */
    bool tick_wanted, ticked; /* ticked: in this batch */
    bool clear_all; /* the whole book, in this batch */
    bool cold; /* nothing was ever cleared, or all is to be cleared anew */
    struct scratch *scratch;
    struct calendar *calendar; /* what was sold forward, and at what price */
    struct headroom *headroom; /* for tight starts */
    struct dual *dual; /* of this batch's tick or full clear */
    struct market_events *events; /* of the batch that is being applied */
};

static inline int count_bits(uint64_t x) /* without libgcc's help */
{
    x -= x >> 1 & 0x5555555555555555u;
    x = (x & 0x3333333333333333u) + (x >> 2 & 0x3333333333333333u);
    x = (x + (x >> 4)) & 0x0f0f0f0f0f0f0f0fu;
    return (int)(x * 0x0101010101010101u >> 56);
}

/* ---- room.c: one node's insides ---------------------------------------------------------------------- */

bool amounts_valid(const struct market_amounts *a);
/* q of these amounts on a node of that size, 0 where they can never fit. */
int64_t amounts_units(const struct market_amounts *node, const struct market_amounts *amounts);
struct room room_empty(const struct market_amounts *node);
/* Whether the placement's amounts and units fit; says on which GPUs. */
bool room_fits(const struct room *r, const struct market_placement *p, uint64_t *ret_gpus);
void room_take(struct room *r, const struct market_placement *p);
void room_give(struct room *r, const struct market_placement *p);
/* How many such replicas fit together. */
int64_t room_count(const struct room *r, const struct market_placement *p, int64_t most);

/* ---- tree.c: nodes and pools --------------------------------------------------------------------------- */

void node_up(struct market *m, const struct market_node *spec);
void node_down(struct market *m, uint32_t node);
void node_drain(struct market *m, uint32_t node, bool draining);
void node_ask(struct market *m, uint32_t node, udollar ask);
bool node_usable(const struct node *n);
int64_t node_units(const struct node *n);
/* Puts a placement on a node or takes it off again, with all counts. */
void node_take(struct market *m, uint32_t node, uint32_t lease, const struct market_placement *p);
void node_give(struct market *m, uint32_t node, const struct market_placement *p);
void node_lease_add(struct node *n, uint32_t lease);
void node_lease_remove(struct node *n, uint32_t lease);
bool choice_matches(const struct market_choice *choice, const struct pool *pool);
/* What makes two nodes stand in one pool. */
void pool_key(const struct market_node *spec, struct buf *out);
uint32_t pool_seller(struct pool *p, market_id seller, enum market_currency currency);

/* ---- layout.c: where a pool's free nodes are --------------------------------------------------------------- */

/* Builds what is stale; everything below needs it. */
void layout_build(struct market *m);
void layout_fini(struct pool *p);
/* Takes a node out of its pool's counts before a change, and puts it back after. */
void node_uncount(struct market *m, struct node *n);
void node_count(struct market *m, struct node *n);
/* Nodes at this step or above, untouched ones included. */
uint32_t pool_nodes_from(const struct pool *p, uint32_t step);
/* The least step at which these amounts may fit. */
uint32_t pool_step(const struct pool *p, const struct market_amounts *amounts);
/* First node of the row at or after `from`, before `end`; `end` where there is none. */
uint32_t row_next(const struct pool *p, uint32_t row, uint32_t from, uint32_t end);
static inline uint32_t row_untouched(const struct pool *p)
{
    return p->steps + 2;
}

/* ---- form.c: forms, classes, curves ----------------------------------------------------------------------------- */

uint32_t class_find(struct market *m, const struct market_bid *bid); /* adds it where it is new */
/* A form of one's own, outside the market; form_fini gives it back. */
void form_make(const struct market *m, const struct market_bid *bid, struct form *ret);
void form_fini(struct form *form);
/* For a snapshot: into an empty slot; false where it is not the key of a form. */
bool form_restore(struct market *m, uint32_t slot, struct str key);
void class_index(struct market *m, uint32_t class);
void class_release(struct market *m, uint32_t class); /* dropped where no bid has it */
void class_touch(struct market *m, uint32_t class);
/* Bids of a tenant that has nodes of its own by now, and had none when they came, may use those. */
void bids_reclass(struct market *m);
/* After pools appeared: lines and curves anew. */
void forms_refresh(struct market *m);
void curve_fini(struct curve *c);
/* Most replicas of an alternative that could stand together in that pool, empty, at most `most`. */
int64_t line_capacity(const struct market *m, const struct form *form, const struct line *line, int64_t most);
static inline const struct form *class_form(const struct market *m, const struct class *c)
{
    return &m->forms[c->form];
}

/* ---- ladder.c: demand by value -------------------------------------------------------------------------------------- */

uint32_t tick_of(int64_t limit);
int64_t tick_least(uint32_t tick); /* the least limit of a tick */
void ladder_add(struct market *m, uint32_t bid);
void ladder_remove(struct market *m, uint32_t bid);
/* A bid that stands there begins to wait or stops. */
void ladder_wait(struct market *m, uint32_t bid, bool waits);
/* Suffix sums. */
void ladder_sum(struct curve *c);
/* Units of the whole bid on its curve's first line. */
int64_t bid_units(const struct market *m, const struct bid *b);

/* ---- book.c: the trees, by rank inside a class ------------------------------------------------------------------------ */

int bid_compare(const struct bid *a, const struct bid *b);
void tree_insert(struct market *m, uint32_t *root, uint32_t bid);
void tree_remove(struct market *m, uint32_t *root, uint32_t bid);
uint32_t tree_first(const struct market *m, uint32_t root);
/* The first but for this bid, which is in the tree; 0 where it stands there alone. */
uint32_t tree_first_but(const struct market *m, uint32_t root, const struct bid *bid);
/* The one with so many before it; 0 where there are not as many. */
uint32_t tree_at(const struct market *m, uint32_t root, uint32_t index);
/* How many have a limit strictly above `limit`. */
uint64_t tree_above(const struct market *m, uint32_t root, int64_t limit);
/* How many stand before this bid. */
uint64_t tree_rank(const struct market *m, uint32_t root, const struct bid *bid);
uint32_t bid_new(struct market *m);
void bid_enqueue(struct market *m, uint32_t bid); /* onto its curve and into the waiting tree, or the list of parked ones */
void bid_wait(struct market *m, uint32_t bid);    /* into the waiting tree, its class touched */
void bid_unreserve(struct market *m, uint32_t bid); /* what waited for its slot is an ordinary bid from here on */
void bid_dequeue(struct market *m, uint32_t bid); /* out of the tree or the list of parked ones */
void bid_drop(struct market *m, uint32_t bid);    /* out of the book */
void bid_set_limit(struct market *m, uint32_t bid, int64_t limit);
/* The value it is ranked by at that limit. */
int64_t value_at(const struct form *f, const uint32_t *limits, int64_t limit);
void class_head_changed(struct market *m, uint32_t class);
/* The limit of an alternative: in the proportion that was declared. */
static inline int64_t limit_at(const uint32_t *limits, uint32_t alternative, int64_t limit)
{
    if (limits == NULL || limit == limits[0])
        return limits ? limits[alternative] : limit;
    if (limits[alternative] == limits[0])
        return limit;
    return MIN((int64_t)((int128)limit * limits[alternative] / MAX(limits[0], 1u)), MARKET_RATE_MAX);
}
static inline int64_t bid_value(const struct bid *b, uint32_t alternative)
{
    return limit_at(b->limits, alternative, b->limit);
}

/* ---- plan.c, place.c, evict.c: where a bid would go, dry ------------------------------------------------------------------ */

struct candidate { /* a bid that may not be in the book */
    const struct form *form;
    uint32_t replicas;
    market_id tenant;
    int64_t limit;
    const uint32_t *limits; /* by alternative, as declared; NULL: `limit` at all of them */
    time_ms notice, minimum_run;
    time_ms term; /* firm: it pays the forward menu over so long; 0 = the menu of the moment */
    time_ms startup; /* of one that was preempted: coming back must be worth it */
    bool urgent, credits;
    uint32_t tenant_slot; /* 0 where it is not known */
    uint32_t lease; /* one that it has already: its own place counts as free */
    uint32_t placeholder; /* its own, a claim: not in its way; 0 = none */
    uint32_t tier;  /* of a tight start; 0 = none */
    uint32_t subscription; /* at one line: that it would start within */
};
struct site { /* one plan: found where count > 0 */
    uint32_t alternative, pool;
    struct market_placement *placements;
    uint32_t *nodes; /* slots, one a placement */
    uint32_t count;
    int64_t units_milli, limit_rate, ask_rate, rate;
    int64_t transfer_rate; /* milli-rate */
    uint32_t *victims; /* leases */
    uint32_t victim_count;
    uint32_t claim; /* it runs in */
    uint32_t subscription; /* it starts within */
};
struct plan {
    struct site site;
    int64_t gain;
    udollar noted_price; /* a free site was refused by the menu alone: the post that admits it … */
    uint32_t noted_pool; /* … of this pool; 0 = none */
    bool is_protected;   /* what stands in the way may not be moved by price */
    bool is_dear;        /* free, at asks above the price that the bid waits for */
};
void plan_fini(struct plan *plan);
void site_fini(struct site *site);
/* Free capacity first, then displacement. */
void plan_make(const struct market *m, struct scratch *s, const struct candidate *c, struct plan *ret);
/* Free capacity at one line alone. */
bool plan_at(const struct market *m, const struct candidate *c, const struct line *line, struct plan *ret);
static inline int64_t candidate_value(const struct candidate *c, const struct line *line)
{
    return limit_at(c->limits, line->alternative, c->limit);
}
static inline int64_t candidate_net(const struct candidate *c, const struct line *line)
{
    return candidate_value(c, line) - line->transfer;
}
static inline int64_t candidate_units(const struct candidate *c, const struct line *line)
{
    return mul_checked(line->replica_milli, c->replicas);
}
/* Counts alone: false where nothing of it can be free there. */
bool line_may_be_free(const struct market *m, const struct candidate *c, const struct line *line);
int64_t reentry_cost(const struct market *m, const struct candidate *c, int64_t limit_rate);
bool candidate_fits(const struct market *m, const struct candidate *c, const struct line *line);

/* Nodes as they would be: those that a search touched, the rest as they are. */
struct lift;
/* Places the candidate at this line, in positions [first, end). */
struct window { /* a time to come */
    time_ms from, to;
    uint32_t except; /* a claim that does not count */
};
struct area {
    const struct lift *lift; /* NULL: as it is now */
    uint32_t first, end;
    const struct window *window; /* as it will be at least then; NULL: now */
};
bool place_in(const struct market *m, const struct candidate *c, const struct line *line, struct area area, struct site *ret);
const struct room *lift_room(const struct lift *lift, const struct market *m, uint32_t node);
bool lift_has(const struct lift *lift, uint32_t lease); /* false where there is no lift */
void evict_at(const struct market *m, struct scratch *s, const struct candidate *c, const struct line *line, struct plan *best);
struct scratch *scratch_new(void);
void scratch_free(struct scratch *s);

/* ---- claim.c, forward.c: the market in time (calendar.h) ----------------------------------------------------------------------- */

/* Replicas of a candidate on a node with that room now. */
struct stand {
    const struct candidate *c;
    const struct room *room;
    const struct market_placement *replica;
    int64_t count;
    udollar floor; /* it would pay so much per unit-hour of lent capacity */
    time_ms wait;  /* until it can start: others have to leave first */
    int64_t net;   /* what a unit-hour there is worth to it */
};
/* Whether something was sold of the node, for whatever time. */
bool claims_stand_on(const struct market *m, uint32_t node);
/* Whether what was sold of the node fits beside them as long as price may not move them. */
bool claim_allows(const struct market *m, uint32_t node, const struct stand *s);
/* The same of all of a site, which can start when its victims, and who still stands there, have left. */
bool claim_allows_site(const struct market *m, const struct candidate *c, const struct lift *lift, const struct site *site);
/* What of a node is free in that time, whatever price can move put aside. */
void claim_room(const struct market *m, uint32_t node, const struct window *w, struct room *ret);
/* Until when a lease may be protected where it stands. */
time_ms claim_bound(const struct market *m, const struct lease *l);
/* Mean price of a unit-hour of the pool in that time, rounded up. */
int64_t forward_price(const struct market *m, uint32_t pool, time_ms from, time_ms to);
/* The least mean price of a span that starts in that time. */
int64_t forward_least(const struct market *m, uint32_t pool, const struct window *starts, time_ms span);
/* What a unit-hour costs the candidate there. */
int64_t candidate_price(const struct market *m, const struct candidate *c, const struct line *line);
/* Firm: whether some alternative is worth its forward price; true for the rest. */
bool candidate_affords(const struct market *m, const struct candidate *c);

/* ---- promise.c: bids with a deadline (calendar.h) ---------------------------------------------------------------------------------- */

/* A bid that came with a deadline: it is quoted, and promised where that is within its limit. */
void promise_make(struct market *m, uint32_t bid, const struct market_bid *spec);
bool bid_is_promised(const struct market *m, const struct bid *b);
uint32_t promise_claim(const struct market *m, const struct bid *b); /* its placeholder; 0 = it has none */
/* What would come of a bid that is not promised if its limit were changed to this: it competes, at the limit
 * that comes back, or it starts at once, or its slot is so near that it waits for that. */
enum promise_start { START_COMPETES, START_NOW, START_LATER };
enum promise_start promise_start_at(const struct market *m, const struct bid *b, int64_t *limit);
/* It is too late to compete: it waits for its placeholder, or its window has not opened. */
bool bid_awaits(const struct market *m, const struct bid *b);
/* What the menu may have charged its lease in all, so that the whole bid stays within its quote: milli-rate × ms. */
int128 promise_room(const struct market *m, const struct lease *l);
/* What it may still pay besides. */
udollar promise_left(const struct market *m, const struct lease *l);
void promise_open(struct market *m, uint32_t lease);  /* a lease of it was opened */
void promise_close(struct market *m, uint32_t lease); /* it is closed, and waits again */
void promise_kept(struct market *m, uint32_t bid, int64_t done_permille);
void promise_cancel(struct market *m, uint32_t bid); /* its owner gives it up */
void promise_end(struct market *m, uint32_t bid);    /* from here on it is an ordinary bid at its limit */
void promise_free(struct market *m, uint32_t bid);   /* it leaves the book */
/* What its lease pays in its placeholder. */
int64_t promise_rate(const struct market *m, const struct lease *l);

/* ---- starve.c: gangs whose place never comes together -------------------------------------------------------------------- */

/* At a tick, by the new menu: who starves, and where its nodes come together first. */
void starve_tick(struct market *m);
/* It starts, or leaves the book: nothing is kept for it. */
void starve_end(struct market *m, uint32_t bid);
/* After a snapshot; false where a bid has more than one. */
bool starve_index(struct market *m);

/* ---- headroom.c: tight starts (headroom.h) ---------------------------------------------------------------------------------- */

/* Whether what is held there fits beside them, and they could start in time where they start within a subscription. */
bool headroom_allows(const struct market *m, uint32_t node, const struct lift *lift, const struct stand *s);
/* The subscription that the candidate would start within there, of several the first after `after`; 0 where it has
 * none, or has used it up. */
uint32_t headroom_entitles(const struct market *m, const struct candidate *c, const struct line *line, uint32_t after);
time_ms headroom_time(const struct market *m, uint32_t subscription); /* that it promises */
/* Whether the lease leaves within that time when a tight start wants its place, whatever its minimum run. */
bool headroom_recalls(const struct market *m, const struct lease *l, time_ms start);
/* Of a lease that started within a subscription: what its loss costs beyond its limit, milli-rate. */
int64_t headroom_worth(const struct market *m, const struct lease *l);
/* A lease that starts within a subscription begins to count there (1) or stops (-1). */
void headroom_use(struct market *m, uint32_t lease, int64_t sign);
/* One was opened: less is held for others like it. */
void headroom_used(struct market *m, uint32_t lease);
/* Off the post, for who could leave in time. */
int64_t headroom_credit(const struct market *m, const struct candidate *c, uint32_t pool);

/* ---- demand.c: owners ------------------------------------------------------------------------------------------------------------ */

/* Its owner where that sells somewhere, too; else 0. */
market_id tenant_owner(const struct market *m, uint32_t tenant);
/* Whether a seller of that owner has nodes in the pool. */
bool pool_sold_by(const struct market *m, uint32_t pool, market_id owner);

/* ---- large.c: block prices --------------------------------------------------------------------------------------------------------- */

/* Of tenants that are large in a pool, as bytes; nothing where there are none and were none. */
void large_compute(const struct market *m, struct buf *out);
/* They come back: false where the bytes are not such a result. What is not known any more is dropped. */
bool large_take(struct market *m, struct str result);
/* With the new menu. */
void large_post(struct market *m);
/* After a snapshot. */
void large_index(struct market *m);
/* A site that the common menu lets in, at the rate of the candidate's own. */
void site_large(const struct market *m, const struct candidate *c, struct site *site);
/* The price of a unit-hour at the moment. */
static inline udollar tenant_post(const struct market *m, uint32_t tenant, uint32_t pool)
{
    const struct tenant *t = &m->tenants[tenant];
    uint32_t at = t->block_count && pool < t->block_pools ? t->block_at[pool] : 0;
    return at ? t->blocks[at - 1].post : m->pools[pool].post;
}

/* ---- seat.c: leases by what their loss costs -------------------------------------------------------------------------------- */

void seats_add(struct market *m, uint32_t lease);
void seats_put(struct market *m, uint32_t lease); /* with the density that it has */
void seats_remove(struct market *m, uint32_t lease);
/* Where its density has moved. */
void seats_update(struct market *m, uint32_t lease);

/* ---- dual.c, guide.c, menu.c --------------------------------------------------------------------------------------------------- */

/* v − t − post × q, best over what the candidate declares; at least 0. Milli-rate. */
int64_t menu_best(const struct market *m, const struct candidate *c, const struct line **ret_at);
/* The same at the entries of those that are not large: what decides where a bid may stand, so that bids of
 * a class are let in alike. */
int64_t menu_best_common(const struct market *m, const struct candidate *c, const struct line **ret_at);
void menu_post(struct market *m, time_ms since);
void menu_gap(struct market *m);
int64_t menu_round(int64_t scarcity);

/* ---- lease.c ---------------------------------------------------------------------------------------------------------------------- */

void lease_open(struct market *m, uint32_t bid, struct plan *plan);
void leases_tell(struct market *m); /* those opened in this batch */
void lease_start(struct market *m, uint32_t lease);
void lease_preempt(struct market *m, uint32_t lease, enum market_release reason, const struct site *by);
void lease_kept(struct market *m, uint32_t lease); /* it has kept its progress */
void lease_replica_ended(struct market *m, uint32_t lease, uint32_t role, uint32_t rank);
void lease_close(struct market *m, uint32_t lease, enum market_release reason, time_ms at, bool waits);
void lease_node_lost(struct market *m, uint32_t lease, uint32_t node, time_ms last_contact);
void lease_due(struct market *m);  /* notices that have run out */
void lease_set_limit(struct market *m, uint32_t lease);
void lease_term_end(struct market *m, uint32_t lease);
/* Price may not move it any more: it runs in that claim, where it stands. */
void lease_hold(struct market *m, uint32_t lease, uint32_t claim);
void lease_reprice(struct market *m, uint32_t lease);
void lease_tick(struct market *m); /* terms, minimum runs, charges at the new menu */
int64_t lease_bonus(const struct market *m, const struct lease *l);
bool lease_evictable(const struct market *m, const struct lease *l);
/* v − t − asks: what is lost when it goes. */
int64_t lease_surplus(const struct lease *l);
static inline int64_t lease_loss(const struct market *m, const struct lease *l)
{
    return lease_surplus(l) + lease_bonus(m, l) + (l->subscription ? headroom_worth(m, l) : 0);
}

/* ---- charge.c: what a lease owes ---------------------------------------------------------------------------------------------------- */

/* Begins or changes the rate: from now on. */
void charge_begin(struct market *m, uint32_t lease);
void charge_rate(struct market *m, uint32_t lease, int64_t rate);
/* What it has paid since its last checkpoint, at most T_ckpt back: what a victim gets back. */
udollar charge_refundable(const struct market *m, const struct lease *l);
/* It owes what its victims had paid, spread over its minimum run. */
void charge_displaced(struct market *m, uint32_t lease, const struct site *site);
/* One of them is charged for less than it was told that it gets back of: it gets back no more than it paid. */
void charge_owed_cut(struct market *m, uint32_t lease);
/* What they got is theirs for good. */
void charge_displaced_end(struct market *m, uint32_t lease);

/* ---- ledger.c ----------------------------------------------------------------------------------------------------------------------- */

void ledger_move(struct market *m, struct market_account from, struct market_account to, udollar amount, uint32_t pool);
uint32_t tenant_find(struct market *m, market_id id); /* slot; adds it where it is new */
bool tenants_related(const struct market *m, uint32_t a, uint32_t b); /* one, or of one owner */
bool purse_covers(const struct purse *p, int128 amount);
/* Adds up to `to`. */
udollar ledger_accrue(struct market *m, uint32_t lease, time_ms to); /* what is to be booked */
void ledger_charge(struct market *m, uint32_t lease, time_ms to); /* the same, booked */
/* Takes back what was charged after `from`. */
void ledger_uncharge(struct market *m, uint32_t lease, time_ms from);
void ledger_line(struct market *m, uint32_t lease);
/* At a tick: charges all leases, one entry a project and pool. */
void ledger_book_all(struct market *m);
/* settle.c: sellers, fees, early ends of terms, credits, budgets; at a tick. */
void settle_sellers(struct market *m);
void settle_terms(struct market *m);
void settle_credits(struct market *m);
void settle_budgets(struct market *m);
void term_owe(struct market *m, const struct lease *l);
/* The same of a placeholder that is given up. */
struct slot_owed {
    uint32_t bid, pool;
    int64_t units_milli, locked_scarcity;
    time_ms from, until;
};
void slot_owe(struct market *m, const struct slot_owed *s);
/* What the sellers of its nodes are due for `span` ms; negative takes it back. */
void sellers_use(struct market *m, struct lease *l, time_ms span);
/* What its leases need until they are gone, beyond what is held for them. */
int128 tenant_run_out(const struct market *m, uint32_t tenant);
/* The same of a node that was held for tight starts: milli-rate × ms. */
void seller_hold(struct market *m, uint32_t node, int128 asks);
uint32_t account_find(struct market *m, struct market_account name);
struct account *account_get(struct market *m, struct market_account name);

/* ---- clear.c --------------------------------------------------------------------------------------------------------------------------- */

void clear_batch(struct market *m);
/* Its head has been tried: it is not looked at again before something changes. */
void class_tried(struct market *m, uint32_t class);
/* A place was found: it starts, or its project cannot pay and it is set aside. */
void bid_place(struct market *m, uint32_t bid, struct plan *plan);
/* Fills whatever is free with the best of those that wait. */
void pools_refill_all(struct market *m);
void pools_refill(struct market *m); /* of the pools where something came free */
/* Tries the best bid of a class that waits; returns how many leases it displaced. */
uint32_t head_try(struct market *m, uint32_t class);
/* A free site was refused by the menu alone: a tick is wanted. */
void note(struct market *m, const struct plan *plan);
void clear_finish(struct market *m); /* tells what was decided */
struct candidate bid_candidate(const struct market *m, const struct bid *b);
time_ms bid_term(const struct market *m, const struct bid *b); /* 0 where it is not firm */
/* Whether its project can keep it in escrow at that site. */
bool bid_affords(const struct market *m, const struct bid *b, const struct site *site);
/* What is kept in escrow for it at that site, in its currency. */
int128 bid_escrow(const struct market *m, const struct bid *b, const struct site *site);

/* ---- market.c ----------------------------------------------------------------------------------------------------------------------------- */

/* As BID_ADD would refuse it. */
enum market_refusal bid_refusal(const struct market *m, const struct market_bid *bid, const char **ret_field,
                                int64_t ret_numbers[3]);
struct market_event *event_add(struct market *m, enum market_event_type type, uint32_t bid);
static inline time_ms bid_minimum_run(const struct market *m, const struct bid *b)
{
    return MAX(b->minimum_run ? b->minimum_run : m->settings[SETTING_MINIMUM_RUN_MS], 3 * b->startup);
}
