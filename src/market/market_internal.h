/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What the files of this folder share. Everything is found by slot (an index into a flat array;
 * slot 0 is never used), so that a snapshot needs no fix-ups.
 *
 *   node   stands in one pool, rack, fabric and zone; holds the leases on it
 *   pool   nodes of one SKU, size, zone and label set: what a price is posted for
 *   class  bids of one shape (replicas, alternatives, kind): they differ only in value and time
 *   bid    waits in its class's tree, is parked (its project cannot pay), or has a lease
 *   lease  an allocation in time: assigned, running, vacating
 *
 * Rates inside are µ$ × thousandths of a unit per hour ("milli-rates"): limit × units never rounds. */

#include "base/map.h"
#include "base/memory.h"
#include "market/market.h"

#define RATE_SCALE ((int128)1000 * HOUR_MS) /* milli-rate × ms -> µ$ */
#define NODE_UNITS_MAX 64                   /* histogram: more free units than this count as this */
#define RATIO_ONE 1000000                   /* ratios of limits are in millionths */

/* What is free on a node, with GPUs one by one. */
struct room {
    struct market_amounts free;
    uint16_t share[MARKET_NODE_GPUS_MAX]; /* thousandths free on each GPU */
};

struct node {
    struct market_node spec;
    struct room room; /* a vacating lease counts as gone: see `vacating` */
    uint32_t pool;
    bool up, draining;
    uint32_t *leases; /* slots, in order of arrival */
    uint32_t lease_count, lease_capacity;
    uint32_t vacating; /* leases that were told to go and still stand here */
};

struct seller {
    market_id id;
    int128 ask_sum; /* milli-rate × ms of its asks while used, since the pool began */
    udollar ask_paid;
    int128 rent_weight; /* milli-unit-ms × (post − ask), since the last settlement */
    int128 used;        /* milli-unit-ms since the last settlement */
};

struct pool {
    market_id id, sku, accelerator, provider, region, zone;
    market_id labels[MARKET_LABELS_MAX];
    struct market_node sample; /* any node of it: amounts, labels, tenant are the same for all */
    bool by_core;
    uint32_t *nodes; /* slots, by (fabric, rack, id) */
    uint32_t node_count, node_capacity;
    uint32_t free_nodes[NODE_UNITS_MAX + 1]; /* usable nodes by whole free units */
    int64_t units_milli, used_milli;         /* of usable nodes; of leases that were not told to go */
    int64_t firm_milli;                      /* of used: leases that price may not move */
    udollar lowest_ask, marginal, guide;
    udollar scarcity;      /* exact; posted rounded down */
    udollar post;          /* marginal + rounded scarcity */
    udollar noted;         /* least post that admits a bid that was refused a free site; 0 = none */
    uint64_t running, waiting; /* waiting: at the last post */
    int64_t wanted_milli;      /* at the last post */
    struct seller *sellers;
    uint32_t seller_count, seller_capacity;
    bool dirty; /* capacity came free in this batch */
};

struct class_pool { /* one pool that one alternative may use */
    uint32_t pool, alternative;
    int64_t replica_milli; /* q of one replica there */
    int64_t units_milli;   /* q of all replicas */
    int64_t ratio;         /* limit there, in millionths of the first alternative's */
    bool fits;             /* all replicas could stand together there, were it empty */
};

struct class {
    struct buf key; /* the packed shape: what makes two bids of one class */
    enum market_kind kind;
    market_id tenant; /* 0, or the one that alone may use unconfined nodes of its own */
    uint32_t replicas;
    struct market_alternative *alternatives; /* `choices` and `limit` of these are not used */
    struct market_choice *choices;
    int64_t *ratios;
    size_t alternative_count;
    struct class_pool *pools; /* by (alternative, pool) */
    uint32_t pool_count, pool_capacity;
    uint64_t pools_version;
    uint32_t waiting, running; /* roots of the trees of bids */
    bool failed;               /* a head of this value did not start, and nothing has come free since */
    int64_t failed_value;
    bool touched; /* to be looked at in this batch */
};

enum lease_state { LEASE_NONE, LEASE_ASSIGNED, LEASE_RUNNING, LEASE_VACATING };

struct lease {
    uint32_t bid;
    enum lease_state state;
    uint32_t alternative, pool;
    struct market_placement *placements;
    uint32_t *nodes; /* slots, one a placement */
    uint32_t placement_count;
    int64_t units_milli;
    int64_t limit_rate, ask_rate, rate, locked_rate; /* milli-rates; locked: firm */
    bool firm;     /* price may not move it: inside its term */
    bool charging; /* its last replica has started, and contact is not lost */
    bool blocked;  /* something still vacates its nodes */
    bool waits;    /* its bid waits again when it has vacated */
    bool *gone;    /* a placement whose replica has ended */
    enum market_release reason;
    time_ms protected_until, term_until, vacate_by, accrued_to, line_from;
    time_ms out_since; /* out of the money since; TIME_NEVER while in it */
    int128 charge_sum; /* milli-rate × ms */
    udollar booked, line_booked, escrow;
    struct span *spans; /* rates of late: what a lost contact takes back */
    uint32_t span_count, span_capacity;
};

struct span {
    time_ms from;
    int64_t rate;
};
#define SPANS_MAX 64

struct bid {
    market_id id, tenant;
    uint64_t tie_key, batch;
    int64_t limit; /* of the first alternative, µ$ per unit-hour: the value it is ranked by */
    int64_t pending_limit; /* a change that waits for the minimum run or term to end; -1 none */
    time_ms notice, minimum_run, term;
    udollar restart_cost, charged;
    uint32_t class, lease, attempt;
    bool renew, urgent;
    bool parked, running, waiting; /* where it stands: in the list of parked ones, in a tree of its class */
    /* tree of its class */
    uint32_t left, right;
    uint64_t tree_count;
    int128 tree_limits; /* sum of limits below and here */
};

struct tenant {
    market_id id;
    bool limited;
    udollar budget, spent, held; /* held: escrow of its leases that is not spent yet */
};

struct account {
    struct market_account name;
    udollar balance;
};

struct market {
    uint64_t seed, batch, digest;
    time_ms now, last_tick;
    int64_t settings[MARKET_SETTING_COUNT];
    struct node *nodes;
    uint32_t node_count, node_capacity;
    struct pool *pools;
    uint32_t pool_count, pool_capacity;
    struct class *classes;
    uint32_t class_count, class_capacity;
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
    uint32_t *vacating; /* leases */
    uint32_t vacating_count, vacating_capacity;
    struct map node_by_id, bid_by_id, tenant_by_id;
    struct str_map class_by_key, pool_by_key, account_by_name;
    uint64_t pools_version; /* moves when a pool appears or its nodes change */
    uint64_t classes_version; /* the one that all classes have looked at */
    uint32_t *touched;      /* classes to clear in this batch */
    uint32_t touched_count, touched_capacity;
    udollar surplus, bound; /* at the last tick */
    bool tick_wanted;
    struct market_events *events; /* of the batch that is being applied */
};

/* room.c: one node's insides */
bool amounts_valid(const struct market_amounts *a);
/* q of these amounts on a node of that size, 0 where they can never fit. */
int64_t amounts_units(const struct market_amounts *node, const struct market_amounts *amounts);
struct room room_empty(const struct market_amounts *node);
/* Whether they fit, and on which GPUs. */
bool room_fits(const struct room *r, const struct market_amounts *amounts, uint64_t *ret_gpus);
void room_take(struct room *r, const struct market_amounts *amounts, uint64_t gpus);
void room_give(struct room *r, const struct market_amounts *amounts, uint64_t gpus);
/* How many replicas of these amounts fit together. */
int64_t room_count(const struct room *r, const struct market_amounts *amounts, int64_t most);

/* tree.c: nodes and pools */
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
/* [first, end) of the pool's nodes that share the rack (fabric) of the node at `first`. */
uint32_t pool_rack_end(const struct market *m, const struct pool *p, uint32_t first);
uint32_t pool_fabric_end(const struct market *m, const struct pool *p, uint32_t first);
/* Nodes whose free whole units could hold q. */
uint32_t pool_nodes_with(const struct pool *p, int64_t q_milli);
/* What makes two nodes stand in one pool. */
void pool_key(const struct market_node *spec, struct buf *out);
struct seller *pool_seller(struct pool *p, market_id seller);

/* class.c */
uint32_t class_find(struct market *m, const struct market_bid *bid); /* adds it where it is new */
/* The same of one's own, outside the market; class_fini gives it back. */
void class_make(const struct market *m, const struct market_bid *bid, struct class *ret);
void class_fini(struct class *class);
void class_refresh(const struct market *m, struct class *class); /* pools that appeared since */
uint32_t class_add(struct market *m, struct str key); /* 0: not the key of a class */
void class_touch(struct market *m, uint32_t class);
void classes_refresh(struct market *m);
int64_t ratio_apply(int64_t limit, int64_t ratio);

/* book.c: the trees, by rank inside a class */
int bid_compare(const struct bid *a, const struct bid *b);
void tree_insert(struct market *m, uint32_t *root, uint32_t bid);
void tree_remove(struct market *m, uint32_t *root, uint32_t bid);
uint32_t tree_first(const struct market *m, uint32_t root);
/* Count and sum of limits of bids with limit strictly above `limit`. */
void tree_above(const struct market *m, uint32_t root, int64_t limit, uint64_t *ret_count, int128 *ret_limits);
/* How many stand before this bid. */
uint64_t tree_rank(const struct market *m, uint32_t root, const struct bid *bid);
uint32_t bid_new(struct market *m);
void bid_enqueue(struct market *m, uint32_t bid); /* into the waiting tree, its class touched */
void bid_dequeue(struct market *m, uint32_t bid); /* out of whichever tree or list it stands in */
void bid_drop(struct market *m, uint32_t bid);    /* out of the book */
void bid_set_limit(struct market *m, uint32_t bid, int64_t limit);

/* plan.c, evict.c: where a bid would go, dry */
struct candidate { /* of a bid that may not be in the book */
    const struct class *class;
    market_id tenant;
    int64_t limit; /* of the first alternative */
    time_ms notice;
    bool urgent;
};
struct site { /* one plan: found where count > 0 */
    uint32_t alternative, pool;
    struct market_placement *placements;
    uint32_t *nodes; /* slots, one a placement */
    uint32_t count;
    int64_t units_milli, limit_rate, ask_rate, rate;
    uint32_t *victims; /* leases */
    uint32_t victim_count;
};
struct plan {
    struct site site;
    int64_t gain;
    udollar noted_price; /* a free site was refused by the menu alone: the post that admits it … */
    uint32_t noted_pool; /* … of this pool; 0 = none */
    bool is_protected;   /* what stands in the way may not be moved by price */
};
void plan_fini(struct plan *plan);
void plan_make(const struct market *m, const struct candidate *c, struct plan *ret);
int64_t candidate_limit(const struct candidate *c, const struct class_pool *cp);
/* Places the candidate in rooms[0 .. p->node_count) (NULL: as they are now), within [first, end). */
struct area {
    const struct room *rooms;
    uint32_t first, end;
};
bool plan_place(const struct market *m, const struct candidate *c, const struct class_pool *cp, struct area area,
                struct site *ret);
const struct room *area_room(const struct market *m, const struct pool *p, struct area area, uint32_t index);
void plan_evict(const struct market *m, const struct candidate *c, const struct class_pool *cp, struct plan *best);
/* Most replicas of an alternative that could stand together in that pool, empty, at most `most`. */
int64_t plan_capacity(const struct market *m, const struct class *class, const struct class_pool *cp, int64_t most);
void site_fini(struct site *site);

/* menu.c */
/* v − t − post × q, best over what the candidate declares; at least 0. Milli-rate. */
int64_t menu_best(const struct market *m, const struct candidate *c, const struct class_pool **ret_at);
void menu_post(struct market *m, time_ms since);
int64_t menu_round(int64_t scarcity);

/* lease.c */
void lease_open(struct market *m, uint32_t bid, struct plan *plan);
void lease_start(struct market *m, uint32_t lease);
void lease_preempt(struct market *m, uint32_t lease, enum market_release reason, const struct lease *by);
void lease_replica_ended(struct market *m, uint32_t lease, uint32_t role, uint32_t rank);
void lease_close(struct market *m, uint32_t lease, enum market_release reason, time_ms at, bool waits);
void lease_node_lost(struct market *m, uint32_t lease, uint32_t node, time_ms last_contact);
void lease_due(struct market *m);  /* notices that have run out */
void lease_set_limit(struct market *m, uint32_t lease);

void lease_tick(struct market *m); /* terms, minimum runs, charges at the new menu */
int64_t lease_bonus(const struct market *m, const struct lease *l);
bool lease_evictable(const struct market *m, const struct lease *l);
/* v − t − asks: what is lost when it goes. */
int64_t lease_surplus(const struct lease *l);

/* ledger.c */
void ledger_move(struct market *m, struct market_account from, struct market_account to, udollar amount, uint32_t pool);
struct tenant *tenant_get(struct market *m, market_id id);
bool tenant_can_start(const struct market *m, market_id tenant, int64_t limit_rate, time_ms span);
/* Adds up to `to`. */
udollar ledger_accrue(struct market *m, uint32_t lease, time_ms to); /* what is to be booked */
void ledger_charge(struct market *m, uint32_t lease, time_ms to); /* the same, booked */
/* Takes back what was charged after `from`. */
void ledger_uncharge(struct market *m, uint32_t lease, time_ms from);
void ledger_line(struct market *m, uint32_t lease);
/* At a tick: charges all leases, one entry a project and pool. */
void ledger_book_all(struct market *m);
void ledger_settle(struct market *m);
void ledger_budgets(struct market *m);
struct account *account_get(struct market *m, struct market_account name);

/* clear.c */
void clear_batch(struct market *m);
struct candidate bid_candidate(const struct market *m, const struct bid *b);

/* market.c: as BID_ADD would refuse it. */
enum market_refusal bid_refusal(const struct market *m, const struct market_bid *bid, const char **ret_field,
                                int64_t ret_numbers[3]);
struct market_event *event_add(struct market *m, enum market_event_type type, uint32_t bid);
static inline time_ms bid_minimum_run(const struct market *m, const struct bid *b)
{
    return b->minimum_run ? b->minimum_run : m->settings[SETTING_MINIMUM_RUN_MS];
}
