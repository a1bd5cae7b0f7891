/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The market: a deterministic state machine that decides who runs where and what it costs.
 *
 *     market_apply(state, time, batch of commands) -> events
 *
 * It is pure: time and randomness come in as data; no I/O, clock, threads, floats, globals or
 * callbacks out. Names (SKUs, places, labels, projects) are integers that the engine interned; text
 * is rendered outside. Money is µ$, rates are µ$ per unit-hour, amounts are thousandths of a unit
 * (a unit is a GPU where the node has any, a CPU core where it has none), time is ms.
 *
 * The commands handed over together are one batch and cause one clearing (docs/market.md). The
 * order inside a batch is the market's: capacity loss, releases, capacity gain, cancels, reprices,
 * arrivals by rank; the order of the array decides nothing. */

#include "base/buf.h"
#include "base/number.h"
#include "base/pack.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct market;

/* Ids are the caller's integers, never 0, never reused. A bid has the id of its workload. */
typedef uint64_t market_id;

/* ---- bounds (MARKET.md section 1); beyond them a command is refused by name ------------------- */
#define MARKET_RATE_MAX ((int64_t)2147483647) /* µ$ per unit-hour */
#define MARKET_UNITS_MAX ((int64_t)2097151)   /* units of one bid */
#define MARKET_SPEED_MAX 65535                /* thousandths, at least 1 */
#define MARKET_WINDOW_MAX_MS ((time_ms)366 * 24 * HOUR_MS)
#define MARKET_ALTERNATIVES_MAX 16
#define MARKET_ROLES_MAX 16
#define MARKET_LABELS_MAX 16
#define MARKET_NODE_GPUS_MAX 64
#define MARKET_TIERS 4                        /* tight starts: tier 1 (highest) .. 4 */

/* ---- capacity ---------------------------------------------------------------------------------- */

/* From loose to tight. LEVEL_RACKS means at most `racks` racks of one fabric. */
enum market_level { LEVEL_ANY, LEVEL_ZONE, LEVEL_FABRIC, LEVEL_RACKS, LEVEL_RACK, LEVEL_NODE };

/* Where a node stands: ids unique in their own kind over the whole tree (a rack id names one rack). */
struct market_place {
    market_id provider, region, zone, fabric, rack;
};

/* What a node offers or a replica takes. */
struct market_amounts {
    int64_t gpu_milli;  /* thousandths of a GPU */
    int64_t core_milli; /* thousandths of a core */
    int64_t memory_mib;
    int64_t disk_mib;
};

struct market_node {
    market_id id;
    market_id sku;         /* the make; nodes of one SKU are alike up to their labels */
    market_id accelerator; /* GPU model, 0 where there is none */
    struct market_place place;
    struct market_amounts amounts;
    market_id labels[MARKET_LABELS_MAX]; /* sorted, 0-terminated where fewer */
    udollar ask;           /* rate under which the provider does not let it run */
    market_id seller;      /* account that is paid; its affiliates may not push its pools */
    market_id only_tenant; /* an unconfined node takes one project's work alone; 0 = all */
    /* what follows may be left 0 */
    uint32_t gpu_group;    /* GPUs of one NVLink domain: a replica of at most so many does not span two */
    uint32_t slices;       /* MIG: a GPU is cut into so many; a share takes whole ones, at a multiple of its size */
    market_id site;        /* whose power it draws on (MARKET_POWER_SET) */
    int64_t watts;         /* drawn when all its units are used */
    int64_t credit_permille; /* credits (thousandths) it takes for 1 µ$; 0 = money alone */
};

/* ---- bids --------------------------------------------------------------------------------------- */

/* One hardware choice of a role (all roles of an alternative stand in one pool each, side by side
 * where the level is tighter than `any`): hard criteria (0 = any) and what a replica takes there. */
struct market_choice {
    market_id sku, accelerator, provider, region, zone;
    market_id labels[MARKET_LABELS_MAX]; /* all of them must stand on the node */
    struct market_amounts amounts;       /* per replica; whole GPUs, or one share below 1,000 */
    int64_t speed_milli;                 /* 1,000 = the speed the limit is stated for */
};

struct market_role {
    uint32_t replicas_min, replicas_max; /* equal unless elastic; only a single role may be elastic */
};

/* One XOR alternative: a choice for each role, the level at which all of it must hang together,
 * and its own value. Alternatives are nested by construction: a looser level lists every tighter. */
struct market_alternative {
    const struct market_choice *choices; /* one a role */
    enum market_level level;
    uint32_t racks;      /* for LEVEL_RACKS */
    udollar limit;       /* most per unit-hour here: min(value × speed, limit), folded once */
    udollar transfer;    /* data transfer, µ$ per unit-hour until paid off; 0 */
    udollar transfer_cost; /* what is paid off, of the whole bid; 0 = the transfer has no end */
    udollar extra_limit; /* elastic: most per unit-hour of replicas beyond the least number; 0 = limit */
};

enum market_kind { BID_PREEMPTIBLE, BID_FIRM, BID_DEADLINE };

struct market_bid {
    market_id id;
    market_id tenant;        /* project: whose account pays, who must not refund itself */
    uint64_t request_key;    /* for tie_key: hash of the caller's idempotency key */
    enum market_kind kind;
    const struct market_role *roles;
    size_t role_count;
    const struct market_alternative *alternatives;
    size_t alternative_count;
    time_ms notice;          /* between the signal and the kill */
    udollar restart_cost;    /* per replica set, declared */
    time_ms minimum_run;     /* 0 = the setting */
    time_ms term;            /* firm: locked for so long; then renewed or preemptible */
    bool renew;              /* firm: ask for another term at each end while the limit allows */
    time_ms earliest, latest;/* window; 0 and TIME_NEVER where open */
    time_ms run_time;        /* declared run time, 0 = not declared */
    bool urgent;             /* may start at the asks where the guide does not admit it */
    /* what follows may be left 0 */
    int64_t work_milli;      /* declared work, thousandths of a unit-hour at speed 1,000; else run_time, whatever the speed */
    udollar limit_total;     /* deadline: most for the whole of it; 0 = limit × work */
    time_ms checkpoint;      /* between checkpoints; 0 = it cannot */
    time_ms startup;         /* measured, from assigned to running; lengthens the minimum run to three times it */
    udollar restart_measured;/* p90 of what restarts of its kind cost; caps restart_cost; 0 = not known */
    uint32_t tier;           /* tight start, 1 .. MARKET_TIERS; 0 = none */
    market_id reservation;   /* runs in the slot of this reservation, which has paid for it */
    bool credits;            /* pays in credits instead of money */
};

/* A firm shape in future time, bought at the forward menu (docs/market.md, "Reservations"). */
struct market_reservation {
    market_id id, tenant;
    uint64_t request_key;
    struct market_choice choice; /* amounts: what one replica of the shape takes */
    uint32_t replicas;
    enum market_level level;
    uint32_t racks;
    time_ms from, to;  /* multiples of a forward slot are cheapest to keep; any are taken */
    udollar limit;     /* most per unit-hour */
    bool keep_idle;    /* not lent to others while it stands idle */
};
enum market_reservation_action {
    RESERVATION_CANCEL, /* before it starts, or what is left of it: returned at the market's resale */
    RESERVATION_PAUSE,  /* resell [from, to) of `replicas` at `floor` or more; the holder keeps the rest */
    RESERVATION_RESUME, /* what is paused and not sold comes back; lent nodes are recalled */
    RESERVATION_EXTEND, /* until `to`, on the same nodes, the added time at the forward menu of now */
};

/* ---- commands ----------------------------------------------------------------------------------- */

enum market_setting {
    SETTING_TICK_MS,            /* 15 s */
    SETTING_HORIZON_MS,         /* H, 1 h: what switching is spread over */
    SETTING_MINIMUM_RUN_MS,     /* 10 min */
    SETTING_RAMP_PERMILLE,      /* ρ, 50 = 5 % a minute */
    SETTING_FEE_PERMILLE,       /* share of the rent */
    SETTING_TERM_MS,            /* default term, 4 h */
    SETTING_KILL_MS,            /* after the notice, until the nodes are counted free: 10 s */
    SETTING_CHECKPOINT_MS,      /* T_ckpt, 1 h: most that a victim gets back */
    SETTING_LARGE_TENANT_PERMILLE, /* of a pool's units, from which on a tenant pays its block's price; 1,000: nobody does */
    SETTING_SWEEP_CANDIDATES,
    SETTING_HOLD,               /* 1: bids only enter the book; nothing starts, moves or is displaced */
    SETTING_STARVING_TICKS,     /* 40: value above the menu for so long and never fitting */
    SETTING_HOLD_FEE,           /* 0: µ$ per unit-hour of a deadline's placeholder */
    SETTING_GUARD_MS,           /* 60 s: placement delay a deadline's plan allows for */
    SETTING_LEND_IDLE_MS,       /* 15 min: a reservation idle for so long is lent */
    SETTING_TIER1_START_MS,     /* 2 s, 10 s, 60 s, 5 min: start promised to a tier … */
    SETTING_TIER2_START_MS,
    SETTING_TIER3_START_MS,
    SETTING_TIER4_START_MS,
    SETTING_TIER1_LOSS,         /* … and what a unit-hour of it is worth that cannot start, µ$ */
    SETTING_TIER2_LOSS,
    SETTING_TIER3_LOSS,
    SETTING_TIER4_LOSS,
    SETTING_PACK_BY_AMOUNTS,    /* 0; 1: amounts alone decide what fits a node, though the units charged may add up to more than it
                                   has (CPU-only work beside GPU work); the bound is not certified then */
    MARKET_SETTING_COUNT,
};

enum market_command_type {
    MARKET_NODE_UP,       /* node: new, or again after a loss */
    MARKET_NODE_DOWN,     /* lost: its leases end (reason RELEASE_NODE_LOST), bids wait again */
    MARKET_NODE_DRAIN,    /* takes nothing new; what runs there is preempted with notice if `evict` */
    MARKET_NODE_UNDRAIN,
    MARKET_ASK_SET,       /* one node's ask; a running lease sees it when its minimum run ends */
    MARKET_SETTING_SET,
    MARKET_ACCOUNT_SET,   /* a tenant's budget */
    MARKET_BID_ADD,
    MARKET_BID_CHANGE,    /* new limit, scaled over the alternatives (speed kept) */
    MARKET_BID_CANCEL,    /* waiting: gone; running: preempted with its notice, then gone */
    MARKET_LEASE_STARTED, /* the last replica started: the charge begins */
    MARKET_REPLICA_ENDED, /* one replica is gone for good: its share of the node is free again */
    MARKET_LEASE_ENDED,   /* all of it is gone; `requeue`: the bid waits again, else it is done */
    MARKET_TICK,
    MARKET_RESERVATION_ADD,
    MARKET_RESERVATION_CHANGE,
    MARKET_CHECKPOINTED,    /* a lease has kept its progress */
    MARKET_SUBSCRIPTION_SET,/* tight starts: how many units of a tier a tenant may start; 0 ends it */
    MARKET_OWNER_SET,       /* tenants and sellers of one owner are affiliates */
    MARKET_POWER_SET,       /* what a site may draw */
    MARKET_CLEAR,           /* the whole book is cleared anew, as after a cold start */
    MARKET_COMPUTED,        /* the result of market_compute comes back: checked against the present, what no longer fits is dropped */
    MARKET_BID_PAUSE,       /* held: it stays in the book and competes for nothing; running: preempted with its notice first.
                               Not held: it competes again, with its rank */
};

/* Long work, done on a snapshot outside the writer. */
enum market_work { WORK_SHADOW_CLEAR, WORK_FORWARD, WORK_LARGE_TENANTS };

struct market_command {
    enum market_command_type type;
    union {
        struct market_node node; /* NODE_UP */
        struct {
            market_id node;
            time_ms last_contact; /* NODE_DOWN: charged up to here */
            bool evict;           /* NODE_DRAIN */
            udollar ask;          /* ASK_SET */
        } on_node;
        struct {
            enum market_setting name;
            int64_t value;
        } setting;
        struct {
            market_id tenant;
            bool limited;       /* false: billed without limit */
            udollar budget;     /* what it may have spent in all, when limited */
            bool credits;       /* sets its allowance of credits, not its money: */
            udollar refill;     /* … credits that come an hour … */
            udollar most;       /* … up to this balance */
        } account;
        struct market_bid bid; /* BID_ADD; copied */
        struct {
            market_id bid;
            udollar limit; /* BID_CHANGE: limit of the first alternative */
            bool held;     /* BID_PAUSE */
        } change;
        struct {
            market_id bid;
            uint32_t attempt;
            uint32_t role, rank; /* REPLICA_ENDED */
            time_ms at;          /* ENDED: charged up to here (≤ now) */
            bool requeue;        /* LEASE_ENDED */
            int64_t done_permille; /* CHECKPOINTED: of the declared work, kept for good */
        } lease;
        struct market_reservation reservation; /* RESERVATION_ADD */
        struct {
            market_id reservation;
            enum market_reservation_action action;
            uint32_t replicas; /* PAUSE: how many; 0 = all */
            time_ms from, to;  /* PAUSE: 0 = from now, to its end */
            udollar floor;
            udollar limit;     /* EXTEND: most per unit-hour of the added time; 0 = as it was bought */
        } reservation_change;
        struct {
            market_id tenant;
            struct market_choice choice; /* which pools; amounts are not looked at */
            uint32_t tier;
            int64_t units_milli;
            udollar rate; /* per unit-hour subscribed */
        } subscription;
        struct {
            market_id account, owner; /* tenant or seller */
            bool seller;
        } owner;
        struct {
            market_id site;
            int64_t watts; /* 0 = without limit */
        } power;
        struct {
            enum market_work work;
            struct str result;
        } computed;
    };
};

/* ---- events ------------------------------------------------------------------------------------- */

enum market_refusal {
    REFUSED_NONE,
    REFUSED_UNKNOWN,        /* no such bid, node or pool */
    REFUSED_EXISTS,
    REFUSED_BOUND,          /* numbers: given, least, most */
    REFUSED_UNSUPPORTED,    /* this form of the market does not take it: the field says which */
    REFUSED_STATE,          /* the thing is not in a state that allows it */
    REFUSED_IMPOSSIBLE,     /* no alternative fits even an empty fleet (nodes that are down count as
                               there): numbers: replicas asked, most that could stand together */
};

enum market_release {
    RELEASE_ENDED,      /* by itself */
    RELEASE_CANCELLED,
    RELEASE_PREEMPTED,  /* by a better use */
    RELEASE_NODE_LOST,
    RELEASE_DRAINED,
    RELEASE_BUDGET,     /* the project cannot pay on */
    RELEASE_PAUSED,     /* by its owner, who keeps it in the book */
};

enum market_charge {
    CHARGE_MENU,         /* asks + scarcity + premium − credit */
    CHARGE_TRANSFER,
    CHARGE_DISPLACEMENT, /* what the victim lost, paid by the entrant over its minimum run */
    CHARGE_REFUND,       /* contact was lost earlier than it was charged: amount is negative */
    CHARGE_TERM,         /* firm: what an early end still owes */
    CHARGE_RESERVATION,  /* a slot of a reservation */
    CHARGE_SUBSCRIPTION, /* tight starts */
    CHARGE_RESALE,       /* what a paused or returned part fetched: negative */
    CHARGE_COMPENSATION, /* to a victim of price: what it had paid since its last checkpoint, as its entrant pays it; negative */
};

/* Accounts of the double-entry ledger: kind and whose. Sum over all is 0 after every event. */
enum market_account_kind { ACCOUNT_TENANT, ACCOUNT_POOL, ACCOUNT_CARRY, ACCOUNT_SELLER, ACCOUNT_FEE, ACCOUNT_EXTERNAL,
                           ACCOUNT_ISSUE /* where credits come from: negative */ };
enum market_currency { CURRENCY_MONEY, CURRENCY_CREDITS };
struct market_account {
    enum market_account_kind kind;
    market_id id; /* tenant, pool or seller; 0 for fee and external */
    enum market_currency currency;
};

enum market_event_type {
    EVENT_ALLOCATED,    /* nodes told; nothing is paid yet */
    EVENT_READY,        /* everything that had to leave its nodes has left: it may start */
    EVENT_PREEMPTING,   /* signal now, killed at `deadline` */
    EVENT_RELEASED,     /* the lease is over; why */
    EVENT_MOVED,        /* a relocation (payload `preempting`): this attempt gets its notice, another place is held for
                           it; RELEASED and ALLOCATED of the next attempt follow together when it has left */
    EVENT_REFUSED,      /* a command changed nothing; index into the batch */
    EVENT_PRICE_POSTED, /* one pool's menu, at a tick */
    EVENT_BLOCK_POSTED, /* the entry of a tenant that is large in the pool: what its block costs the others; after the pools */
    EVENT_CHARGED,      /* a lease's bill line, for a span at one rate */
    EVENT_ENTRY,        /* the ledger: amount from one account to another */
    EVENT_TICK_WANTED,  /* a free site was refused by a lagging price: tick within a second */
    EVENT_GAP,          /* certified, at a tick */
    EVENT_RESIZED,      /* elastic: placements came (they may start) or go (replicas by rank, killed at `deadline`) */
    EVENT_QUOTED,       /* a deadline bid: what it will cost at most, and when it starts at the latest */
    EVENT_RESERVED,     /* a reservation is bought, waits, is lent, recalled, paused, over */
    EVENT_SUBSCRIPTION, /* tight starts: what a project is subscribed to from here on; 0 units: nothing any more */
    EVENT_HEADROOM_POSTED, /* of a tier in a pool where something is held, or was at the last tick; after the menu */
};

enum market_reservation_state {
    RESERVATION_WAITING, /* above its limit, or it does not fit: holds nothing */
    RESERVATION_BOUGHT,  /* its slot is ahead */
    RESERVATION_OPEN,    /* its slot runs: bids that name it may start */
    RESERVATION_LENT,    /* its slot runs, idle: others use it until they are recalled */
    RESERVATION_PAUSED,
    RESERVATION_OVER,
};

/* Where one replica goes. */
struct market_placement {
    uint32_t role, rank;
    market_id node;
    uint64_t gpus;        /* bit i: GPU i of the node, whole or the shared one */
    struct market_amounts amounts;
    int64_t units_milli;  /* q: the largest share of the node × its units, rounded up */
};

struct market_event {
    enum market_event_type type;
    market_id bid; /* 0 where none */
    uint32_t attempt;
    union {
        struct {
            uint32_t alternative;
            size_t placement_first, placement_count; /* into market_events.placements */
            market_id pool;
            int64_t units_milli; /* q over all replicas */
            udollar limit, asks, rate; /* per hour for the whole lease, at this menu */
            bool ready;          /* false: EVENT_READY follows when victims have left */
        } allocated;
        struct {
            time_ms deadline;
            enum market_release reason;
            market_id pool;
            int64_t by_units_milli; /* the class that takes the place: its size … */
            udollar by_limit;       /* … and its value per unit-hour */
        } preempting;
        struct {
            enum market_release reason;
            bool waits; /* the bid stands in the book again */
            time_ms at;
        } released;
        struct {
            size_t index; /* of the command in the batch */
            enum market_refusal reason;
            const char *field; /* static text: what of the command */
            int64_t numbers[3];
        } refused;
        struct {
            market_id pool;
            udollar marginal, scarcity, guide, lowest_ask;
            int64_t units_milli, free_milli, wanted_milli; /* wanted: standing bids at or above the post */
            uint64_t running, waiting;
        } posted;
        struct {
            market_id tenant, pool;
            int64_t units_milli; /* its block there, affiliates' included, at the last look */
            udollar post;        /* per unit-hour, from the marginal ask to the pool's own post */
        } block;
        struct {
            enum market_charge kind;
            market_id tenant, pool;
            time_ms from, to;
            int64_t units_milli;
            udollar rate;   /* µ$ per hour for the whole lease, exact rate of the span */
            udollar amount; /* booked: difference of the floors of the exact sum */
            market_id reservation; /* whose slot it is; else 0 */
        } charged;
        struct {
            struct market_account debit, credit; /* debit pays, credit receives */
            udollar amount;                      /* ≥ 0 */
            market_id pool;
        } entry;
        struct {
            udollar surplus, bound; /* Φ and a certified upper bound, µ$ per hour */
            udollar friction_bound; /* the same with what switching costs in it: gap_friction */
        } gap;
        struct {
            size_t placement_first, placement_count; /* those that come or go */
            bool grows;
            time_ms deadline;    /* they go: signal now, killed then */
            int64_t units_milli; /* q over all replicas afterwards */
            udollar rate;
        } resized;
        struct {
            udollar most;        /* Q: for the declared work, with transfer */
            time_ms latest;      /* start of its placeholder */
            market_id pool;
            time_ms deadline;
            bool committed;      /* false: above its limit, it stands as an ordinary bid without promise */
        } quoted;
        struct {
            market_id reservation, tenant, pool;
            enum market_reservation_state state;
            udollar rate;        /* per hour, whole shape */
            udollar amount;      /* of all its slots */
        } reserved;
        struct {
            market_id tenant;
            uint32_t tier;
            int64_t units_milli;
            udollar rate; /* per unit-hour of what is held */
            bool unpaid;  /* its project cannot pay for it: nothing is held */
        } subscription;
        struct {
            market_id pool;
            uint32_t tier;
            int64_t held_milli, free_milli; /* free: of it, on nobody's node */
            int64_t eligible_milli;         /* running work that leaves in the tier's time */
            udollar price, credit;          /* per unit-hour: of what is held; of eligible work, off the post */
        } headroom;
    };
};

/* Owned by the caller, reused from batch to batch; filled in a fixed order. */
struct market_events {
    struct market_event *items;
    size_t count, capacity;
    struct market_placement *placements;
    size_t placement_count, placement_capacity;
};
void market_events_clear(struct market_events *events);
void market_events_fini(struct market_events *events);

/* ---- the machine -------------------------------------------------------------------------------- */

struct market *market_new(uint64_t seed);
void market_free(struct market *m);

/* Applies one batch at `now` (never before an earlier batch's time: the engine holds it to that).
 * Appends to `events`. Each command either takes effect whole or yields one EVENT_REFUSED. */
void market_apply(struct market *m, time_ms now, const struct market_command *commands,
                  size_t count, struct market_events *events);

/* When the market next wants a batch although nobody sent a command (a notice that runs out, a
 * minimum run or term that ends): TIME_NEVER where nothing is pending. The tick is the server's. */
time_ms market_deadline(const struct market *m);

/* The whole state, deterministic: equal states give equal bytes. */
void market_snapshot(const struct market *m, struct buf *out);
/* NULL where the bytes are not a snapshot of this format. */
struct market *market_restore(struct unpack *in);
/* Walks every invariant that needs no history and CHECKs it; for tests and simulation. */
void market_check(const struct market *m);

/* ---- queries: dry, no change of state ------------------------------------------------------------ */

int64_t market_setting(const struct market *m, enum market_setting name);

struct market_pool_view {
    market_id pool, sku, accelerator, provider, region, zone;
    market_id labels[MARKET_LABELS_MAX];
    struct market_amounts amounts; /* of each node */
    udollar marginal, scarcity, guide, lowest_ask, post; /* post = marginal + scarcity */
    int64_t units_milli, used_milli, free_milli, wanted_milli;
    uint64_t nodes, running, waiting;
    bool by_core; /* the unit is a core */
};
/* What one replica of a bid in the book may take: the most of any alternative; and the SKU that all of them name,
 * 0 = none or several. False: no such bid. */
bool market_bid_asks(const struct market *m, market_id bid, struct market_amounts *ret, market_id *ret_sku);
size_t market_pool_count(const struct market *m);
struct market_pool_view market_pool(const struct market *m, size_t index); /* by pool id */

enum market_bid_state { BID_WAITING, BID_ASSIGNED, BID_RUNNING, BID_VACATING };
struct market_bid_view {
    enum market_bid_state state;
    uint32_t attempt, alternative;
    market_id pool;
    int64_t units_milli;
    udollar limit_unit;        /* of the first alternative, per unit-hour */
    udollar rate, limit, asks; /* per hour, whole lease, at the present menu */
    udollar charged;           /* booked over all attempts, refunds taken off, up to `now` of the last batch */
    udollar charged_now;       /* the same up to the `now` given */
    udollar menu_charged, menu_charged_now; /* of these, by the menu alone: no transfer, no displacement, no price refund */
    udollar transfer, displacement, refunded; /* the others; refunded: what it got back as a victim */
    int64_t done_permille;     /* of its declared work, kept by checkpoints */
    bool committed;            /* a deadline: it is promised to be done by then, and … */
    udollar most;              /* … its declared work costs at most this; 0 = it was never promised */
    time_ms latest;            /* start of its placeholder; once that runs, its end */
    uint32_t tier;             /* of a tight start; 0 = none */
    bool tight;                /* it started within a subscription of its project */
    udollar stay;              /* per hour: by so much a newcomer must be worth more; what its loss costs beyond its surplus */
};
/* false where there is no such bid. */
bool market_bid_view(const struct market *m, market_id bid, time_ms now, struct market_bid_view *ret);

enum market_freedom { FREEDOM_NONE, FREEDOM_PREEMPTIBLE, FREEDOM_ANY_LEVEL, FREEDOM_OTHER_SKUS, FREEDOM_LATER, MARKET_FREEDOM_COUNT };
struct market_quote_line {
    enum market_freedom freedom; /* NONE: as it stands */
    bool offered;     /* false: it gives this freedom already, or it adds nothing that exists */
    bool fits;        /* some declared alternative fits an empty pool */
    bool starts_now;  /* a clearing of this bid alone would place it now */
    bool above_limit; /* the price is above its limit: it would wait */
    uint32_t alternative;
    market_id pool;
    int64_t units_milli;
    udollar rate;     /* per hour for the whole bid; the parts below add up to it */
    udollar ask, scarcity, premium, credit, transfer, displacement;
    /* with a deadline: `rate` is the price that it would be promised, and what it pays at most */
    bool promised;    /* it would be: within its limit, and there is room for it */
    udollar most;     /* for its declared work; 0 = nowhere is there room by then */
    time_ms latest;   /* start at the latest */
    time_ms deadline; /* 0 = none */
};
struct market_quote {
    struct market_quote_line lines[MARKET_FREEDOM_COUNT]; /* by enum market_freedom */
};
/* `bid` need not be in the book; refused exactly as BID_ADD would be. */
enum market_refusal market_quote(const struct market *m, const struct market_bid *bid, struct market_quote *ret,
                                 const char **ret_field, int64_t ret_numbers[3]);

enum market_obstacle {
    OBSTACLE_NONE,      /* it runs or is about to */
    OBSTACLE_NO_NODE,   /* no node that is up meets its criteria, even empty */
    OBSTACLE_PRICE,     /* others hold the place at higher value */
    OBSTACLE_MENU,      /* the posted price is above its limit */
    OBSTACLE_PROTECTED, /* the place is held by firm work or inside a minimum run */
    OBSTACLE_CONTIGUITY,/* enough is free, but not together */
    OBSTACLE_BUDGET,
    OBSTACLE_WINDOW,    /* its window has not opened */
    OBSTACLE_HELD,      /* enough is free, but held: headroom, a reserved slot, a placeholder, a starving gang's block */
    OBSTACLE_FORWARD,   /* firm: the forward price of its term is above its limit */
    OBSTACLE_PAUSED,    /* the operator holds the market (SETTING_HOLD) */
    OBSTACLE_POWER,     /* its site has no power left */
    OBSTACLE_OWNER,     /* its owner paused it */
    OBSTACLE_DEADLINE,  /* it has its placeholder, and until then no place that costs less */
};
struct market_why {
    enum market_obstacle obstacle;
    market_id pool;              /* the one that the answer speaks of */
    int64_t needed_milli, free_milli, largest_free_milli; /* what it needs; free; free together */
    int64_t holder_units_milli;  /* the class that holds the place: size … */
    udollar holder_limit;        /* … at or above this per unit-hour */
    uint64_t ahead;              /* waiting bids of higher rank for the same pools */
    time_ms soonest;             /* soonest start known, TIME_NEVER where none is */
    bool has_limit;              /* a limit up to the bound starts it now */
    udollar go_live;             /* whole cents: this clearing starts it at P, not at P − 1 cent; may be its own limit: nobody looked since */
    uint32_t alternative;        /* the one that P is stated for */
    bool starving;               /* a block is formed for it: nobody pays for the hold */
    udollar post;                /* per unit-hour in that pool for its level and size, with premium and credit */
    udollar forward;             /* firm: mean forward price of its term there, per unit-hour */
    time_ms latest;              /* a deadline that is promised: it starts by then … */
    udollar most;                /* … costs at most this … */
    udollar locked;              /* … and starts before where a unit-hour costs at most this */
};
/* false where there is no such bid. Exact: P and P − 1 cent are both put to the code that clears. */
bool market_why(const struct market *m, market_id bid, struct market_why *ret);

/* A pure function of the state, for a thread of its own on a restored snapshot: the bytes go back in
 * MARKET_COMPUTED. Empty where there is nothing to say. */
void market_compute(const struct market *m, enum market_work work, struct buf *out);

struct market_reservation_view {
    market_id tenant, pool;
    enum market_reservation_state state;
    uint32_t replicas, paused, sold, used; /* used: by bids that run in it */
    time_ms from, to;
    udollar rate, charged, resold; /* rate per hour, whole shape */
};
bool market_reservation_view(const struct market *m, market_id reservation, struct market_reservation_view *ret);

/* What a reservation would cost if it were bought now, at any limit. */
struct market_reservation_quote {
    bool fits;      /* the nodes are there for all of its slot */
    market_id pool;
    udollar rate;   /* per hour, whole shape */
    udollar amount; /* of its slot */
};
/* Refused exactly as RESERVATION_ADD would be; its limit is not looked at. */
enum market_refusal market_reservation_quote(const struct market *m, const struct market_reservation *reservation,
                                             struct market_reservation_quote *ret, const char **ret_field, int64_t ret_numbers[3]);

/* Whether it could be extended to `to` now, and what the added time costs an hour, whole shape. */
bool market_extension(const struct market *m, market_id reservation, time_ms to, udollar *ret_rate);

/* The forward curve of a pool: per unit-hour, `count` slots from the one that now runs. */
struct market_forward_slot {
    time_ms from, to;
    udollar price;
    int64_t sold_milli; /* firm, reserved and placeholders */
};
size_t market_forward(const struct market *m, market_id pool, struct market_forward_slot *ret, size_t most);

/* Tight starts: what projects are subscribed to, in no particular order. */
struct market_subscription_view {
    market_id tenant;
    struct market_choice choice; /* amounts and speed are not used */
    uint32_t tier;
    int64_t units_milli, used_milli, held_milli; /* used: of leases that it started; held: ready for the rest */
    int64_t ready_milli; /* most of it on one node that could be used in time, now */
    udollar rate;  /* per unit-hour of what is held */
    udollar charged; /* since it began */
    bool unpaid;   /* its project cannot pay for another tick: nothing is held */
};
size_t market_subscription_count(const struct market *m);
struct market_subscription_view market_subscription(const struct market *m, size_t index);

/* Headroom of a tier (1 .. MARKET_TIERS) in a pool, as last posted. */
struct market_headroom_view {
    int64_t held_milli, free_milli, eligible_milli;
    udollar price, credit;
};
struct market_headroom_view market_headroom(const struct market *m, market_id pool, uint32_t tier);
/* Units of a node that are held for tight starts of that tier. */
int64_t market_node_held(const struct market *m, market_id node, uint32_t tier);

/* Running digest of everything decided so far: equal on every machine and compiler. */
uint64_t market_digest(const struct market *m);

/* The certified gap of the last tick; false before the first. */
bool market_gap(const struct market *m, udollar *ret_surplus, udollar *ret_bound);
/* What a tenant was charged so far, refunds taken off. */
udollar market_spent(const struct market *m, market_id tenant);
/* The starving gang that the node comes free for, and when price may have all of its block; 0 = none. */
market_id market_node_block(const struct market *m, market_id node, time_ms *ret_from);
/* What is free on a node; false where there is no such node. */
bool market_node_free(const struct market *m, market_id node, struct market_amounts *ret);
/* The pool that a node stands in, up or down; 0 where there is no such node. */
market_id market_node_pool(const struct market *m, market_id node);
/* Balances, for the ledger view and the tests: by kind and id. */
udollar market_balance(const struct market *m, struct market_account account);
