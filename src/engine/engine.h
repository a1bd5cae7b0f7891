/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The engine: a pure state machine around the market. It knows projects, keys, workloads, nodes,
 * attempts and replicas; it turns a batch of commands into outcomes (one a command) and events (what
 * was decided), and says what should run on each node.
 *
 *     engine_apply(state, time, batch of commands) -> outcomes, events
 *
 * No clock, no I/O, no threads, no randomness of its own: all of it arrives in commands. Text is
 * borrowed for the call and copied where it is kept; nothing is rendered for people here. */

#include "base/buf.h"
#include "base/pack.h"
#include "base/str.h"
#include "market/market.h"

/* Moves whenever equal commands may be decided otherwise (here, in the market, or in how the journal
 * is decoded); a server starts only from a snapshot with nothing after it where it differs. */
#define ENGINE_VERSION 5u
/* Of the bytes of a snapshot; older ones, from 1 on, are read too. */
#define ENGINE_FORMAT 4u

struct engine;
/* Never 0, never reused; each kind of thing counts for itself. A workload's is its bid's. */
typedef uint64_t engine_id;

/* ---- what stands in the state; read-only outside, borrowed until the next apply ---------------------- */

#define ENGINE_HASH_SIZE 32 /* of a key: the caller's hash of its text */
#define ENGINE_IDEMPOTENCY_MAX 128
#define ENGINE_IDEMPOTENCY_MS ((time_ms)24 * HOUR_MS)
#define ENGINE_LAST_LINES_MAX 4096

enum engine_role { ROLE_NONE, ROLE_VIEWER, ROLE_MEMBER, ROLE_OPERATOR, ROLE_ADMIN, ROLE_AGENT, ROLE_JOIN };
enum engine_principal_kind { PRINCIPAL_PERSON, PRINCIPAL_SERVICE, PRINCIPAL_AGENT };

/* What a project may have at a time, all of it or of one type (SKU) alone. Machines of reservations count as
 * reserved and as nothing else; what names no type may take any, and counts for each. */
enum engine_quota_kind {
    ENGINE_QUOTA_INSTANCES, /* machines of live bids for instances, paused ones too */
    ENGINE_QUOTA_GPUS,      /* that live workloads may take, at most */
    ENGINE_QUOTA_CORES,
    ENGINE_QUOTA_BIDS,      /* live workloads */
    ENGINE_QUOTA_RESERVED,  /* machines of reservations that are not over */
    ENGINE_QUOTA_VOLUMES,   /* these two have no type */
    ENGINE_QUOTA_STORAGE,   /* GB */
    ENGINE_QUOTA_KINDS,
};
#define ENGINE_QUOTA_MOST INT64_C(1000000000000)
#define ENGINE_QUOTA_TYPE_MAX 63
#define ENGINE_QUOTAS_MAX 256 /* of a project */
struct engine_quota {
    enum engine_quota_kind kind;
    struct str type; /* empty: all together */
    int64_t total;
};

struct engine_project {
    engine_id id, organization;
    struct str name; /* unique */
    bool limited;
    udollar budget;
    time_ms created;
    const struct engine_quota *quotas; /* in the order in which they were set */
    size_t quota_count;
};

struct engine_principal {
    engine_id id;
    enum engine_principal_kind kind;
    struct str name; /* unique in its kind */
};

struct engine_key {
    engine_id id, principal;
    unsigned char hash[ENGINE_HASH_SIZE];
    struct str snippet;     /* first letters, for people */
    struct str name;        /* its owner's, may be empty */
    enum engine_role role;  /* JOIN: a token that makes one agent key, once */
    bool session;           /* a sign-in of the console */
    engine_id project;      /* 0 = all */
    engine_id node;         /* AGENT: bound at its first registration */
    time_ms created, expires; /* expires 0 = never */
    bool revoked;           /* or, a token, used */
    time_ms revoked_at;
};

enum engine_node_state { NODE_UP, NODE_DRAINING, NODE_LOST };

struct engine_gpu {
    int64_t index, memory_mib;
    struct str uuid, model;
};

struct engine_node {
    engine_id id, key; /* the agent key that it registered with, 0 = an operator's */
    struct str name;   /* unique */
    struct str version, boot, address, sku, accelerator;
    struct str provider, region, zone, fabric, rack;
    struct market_amounts amounts;
    const struct str *labels, *missing;
    size_t label_count, missing_count;
    const struct engine_gpu *gpus;
    size_t gpu_count;
    bool unconfined;
    engine_id project; /* unconfined: takes this project's work alone */
    market_id pool;    /* that it stands in; read it after the batch that registered it */
    udollar ask;
    enum engine_node_state state;
    time_ms registered, changed;
    uint64_t version_desired; /* moves with each change of what should run there, also over a restart */
    const struct engine_replica_ref *replicas; /* by (workload, attempt, role, rank) */
    size_t replica_count;
};

/* Something that people keep here under a name and that workloads use: a public key, a volume, a
 * script. The engine knows whose it is and whether it is in use; what it says is its owner's. */
enum engine_object_kind {
    /* OBJECT_QUOTA was never written: quotas stand with their project. */
    OBJECT_SSH_KEY, OBJECT_SCRIPT, OBJECT_VOLUME, OBJECT_CLUSTER, OBJECT_QUOTA, OBJECT_WEBHOOK, OBJECT_NOTE, OBJECT_CONTROL_PLANE,
    ENGINE_OBJECT_KINDS,
};
#define ENGINE_OBJECT_BODY_MAX (256 * 1024)
#define ENGINE_VOLUME_MOST (INT64_C(2) << 20) /* GB */
struct engine_object {
    engine_id id; /* counts over all kinds */
    enum engine_object_kind kind;
    engine_id project, principal; /* principal: who made it */
    struct str name, body;
    bool unique;     /* no other of its kind and project has its name while it is there */
    bool exclusive;  /* one live workload at a time uses it */
    int64_t size;      /* of a volume: GB that count for quotas */
    uint64_t revision; /* moves with each change, from 1 */
    uint32_t used;   /* by so many live workloads */
    time_ms created, changed, deleted; /* deleted: 0 = it is there */
};

/* A shape of nodes for a time to come (docs/market-time.md); what it costs and how it stands says
 * market_reservation_view, by the same id. */
struct engine_reservation {
    engine_id id, project, principal; /* principal: who made it */
    struct str name; /* no other of its project has it while this one is not over */
    struct str body; /* the caller's bytes */
    uint32_t nodes;
    struct market_choice choice; /* amounts: of each node */
    time_ms from, to, created;
    udollar limit;               /* per unit-hour */
    bool cancelled;              /* given back, or never taken up, before its end */
    time_ms ended;               /* 0 = not over */
};

enum engine_workload_state {
    WORKLOAD_WAITING, WORKLOAD_ASSIGNED, WORKLOAD_RUNNING, WORKLOAD_PREEMPTING,
    WORKLOAD_FINISHED, WORKLOAD_FAILED, WORKLOAD_CANCELLED, WORKLOAD_REJECTED,
    WORKLOAD_PAUSED, /* by its owner: it competes for nothing */
    WORKLOAD_STATE_COUNT,
};
#define WORKLOAD_STATES_ENDED (1u << WORKLOAD_FINISHED | 1u << WORKLOAD_FAILED | 1u << WORKLOAD_CANCELLED | 1u << WORKLOAD_REJECTED)
#define WORKLOAD_STATES_LIVE (((1u << WORKLOAD_STATE_COUNT) - 1) & ~WORKLOAD_STATES_ENDED)
static inline bool workload_state_ended(enum engine_workload_state state)
{
    return WORKLOAD_STATES_ENDED >> state & 1;
}

/* Why a workload's state is what it is. */
enum engine_reason {
    REASON_NONE,
    REASON_SUBMITTED,
    REASON_PREEMPTED,  /* a better use */
    REASON_DRAINED,
    REASON_NODE_LOST,
    REASON_NODE_RESTARTED, /* the node came back with another boot: its processes are gone */
    REASON_BUDGET,
    REASON_CANCELLED,
    REASON_MAX_RUN,
    REASON_EXITED,     /* a replica ended with a code or signal; the first one stands in the record */
    REASON_OOM,
    REASON_PREPARE,    /* could not be prepared: last_lines says what */
    REASON_RETRY,      /* failed, and tried again */
    REASON_COMPLETED,
    REASON_RELOCATED,
    REASON_DEADLINE,   /* cannot be met any more */
    REASON_PAUSED,     /* by its owner … */
    REASON_RESUMED,
    ENGINE_REASON_COUNT,
};

enum engine_replica_state {
    REPLICA_ASSIGNED, /* told; PREPARE until the lease is ready, then RUN */
    REPLICA_RUNNING,  /* reported started */
    REPLICA_STOPPING, /* told to go; still there */
    REPLICA_ENDED,
};

struct engine_replica {
    uint32_t role, rank;
    engine_id node;
    uint64_t gpus;
    struct market_amounts amounts;
    enum engine_replica_state state;
    bool ready;        /* everything that had to leave has left: it may run */
    time_ms deadline;  /* STOPPING: killed then */
    time_ms started, ended;
    int64_t exit_code, signal;
    bool oom;
    bool dropped;      /* elastic: it leaves, or has left, a workload that goes on without it */
    int32_t phase;     /* of an instance on its way, as its agent tells it: 0 = nothing yet */
    struct str address, private_address; /* where an instance answers; empty: not known yet */
};

/* One on a node: what its agent is told. */
struct engine_replica_ref {
    engine_id workload;
    uint32_t attempt, role, rank;
};

struct engine_workload {
    engine_id id, project, key; /* key: whose submit */
    struct str name, request;   /* request: the caller's bytes, kept until it is retired */
    enum engine_workload_state state;
    enum engine_reason reason;
    bool preemptible, freeze;   /* freeze: must never run twice (on_lost_contact) */
    bool due;                   /* it has a deadline */
    uint32_t attempt;           /* the newest; 0 before the first allocation */
    uint32_t nodes;             /* replicas */
    uint32_t nodes_most;        /* that an elastic one may grow to */
    int64_t asked_gpu_milli, asked_core_milli; /* of its largest alternative, all replicas together */
    market_id sku;              /* that all its alternatives name; 0 = none or several */
    udollar limit;              /* per unit-hour, of the first alternative */
    int64_t units_milli;        /* of the newest allocation, else asked for */
    market_id pool;             /* likewise; 0 = none yet */
    time_ms submitted, started, ended, deadline; /* started: newest attempt; deadline: of the notice, 0 = none */
    time_ms notice, max_run;
    int32_t signal;
    uint32_t retries_left;
    bool cancelled;             /* asked for; the notice may still run */
    bool instance;              /* a machine handed to its owner: when it ends by itself, it has failed; the live ones of a
                                   project have names of their own */
    bool paused;                /* asked for by its owner; the notice may still run */
    engine_id reservation;      /* in whose slot it runs; 0 = none */
    const engine_id *objects;   /* that it uses, by id */
    size_t object_count;
    bool exited, oom;           /* the fields below say something */
    int64_t exit_code, exit_signal, exit_rank;
    struct str last_lines;
    int64_t master_port;        /* of this attempt */
    const struct engine_replica *replicas; /* of the newest attempt, by (role, rank) */
    size_t replica_count;
};

/* ---- commands ------------------------------------------------------------------------------------------ */

enum engine_setting { /* those of the market first, by the same number */
    SETTING_CONTACT_TIMEOUT_MS = MARKET_SETTING_COUNT, /* 120 s */
    SETTING_RETAIN_MS,              /* an ended workload stays in the state so long; 1 h */
    SETTING_LIMIT_LOW_PERMILLE,     /* priority names, of the pool's lowest ask (where that is 0: of 10,000 µ$) */
    SETTING_LIMIT_NORMAL_PERMILLE,
    SETTING_LIMIT_HIGH_PERMILLE,
    SETTING_LIMIT_CRITICAL_PERMILLE,
    SETTING_NAMES_BURN,             /* 1: the name of an instance is good once in its project, for ever; 0 */
    ENGINE_SETTING_END,
};

struct engine_choice { /* names as submitted; empty = any */
    struct str sku, accelerator, provider, region, zone;
    const struct str *labels;
    size_t label_count;
    struct market_amounts amounts;
    int64_t speed_milli;
};

struct engine_reserve {
    engine_id project, key;
    struct str name, body;
    struct engine_choice choice;
    uint32_t nodes;
    enum market_level level;
    uint32_t racks;
    time_ms from, to;
    bool limit_present; /* false: at what it costs */
    udollar limit;
    bool keep_idle;     /* not lent while it stands idle */
    uint64_t request_key;
};

struct engine_submit {
    engine_id project, key;
    struct str idempotency; /* empty = none */
    uint64_t body_hash;     /* of what was sent: the same idempotency key with another body is a conflict */
    uint64_t request_key;   /* for ties: hash of the idempotency key, else the server's random number */
    struct str name, request;
    uint32_t nodes, nodes_max; /* nodes_max 0 = nodes */
    const struct engine_choice *choices;
    size_t choice_count;
    bool preemptible, limit_present, renew, urgent, freeze;
    udollar limit;
    int32_t priority; /* 0 low .. 3 critical; used without limit */
    enum market_level level;
    uint32_t racks;
    time_ms notice, minimum_run, term, max_run, run_time, deadline, earliest;
    int32_t signal;
    udollar restart_cost;
    uint32_t retries;
    bool instance;
    struct str reservation;   /* name of one of its project: it runs there, for nothing more */
    uint32_t tier;            /* tight start, 1 .. MARKET_TIERS; 0 = none; needs a subscription of its project */
    const engine_id *objects; /* in its project, or of no project; in any order */
    size_t object_count;
};

enum engine_report_kind { ENGINE_STARTED, ENGINE_ENDED, ENGINE_PORT_BUSY, ENGINE_PHASE };

enum engine_command_type {
    ENGINE_PROJECT_CREATE,
    ENGINE_PROJECT_SET,
    ENGINE_KEY_CREATE,
    ENGINE_KEY_REVOKE,
    ENGINE_JOIN,          /* a join token becomes an agent key */
    ENGINE_NODE_REGISTER, /* new, again, or again after a loss */
    ENGINE_NODE_LOST_SET,
    ENGINE_NODE_DRAIN,
    ENGINE_NODE_UNDRAIN,
    ENGINE_ASK_SET,       /* one node, or every node of a pool */
    ENGINE_SETTING_SET,
    ENGINE_SUBMIT,
    ENGINE_BID_CHANGE,
    ENGINE_CANCEL,
    ENGINE_REPORT,
    ENGINE_TICK,          /* market tick */
    ENGINE_WAKE,          /* engine_deadline has come; nothing else */
    ENGINE_PAUSE,         /* a workload, with its notice; or it competes again */
    ENGINE_REQUEST_SET,   /* another request: what it runs, not what it bids; other objects where it is paused */
    ENGINE_OBJECT_PUT,    /* new, or changed */
    ENGINE_OBJECT_DELETE,
    ENGINE_RESERVE,
    ENGINE_RESERVATION_CHANGE,
    ENGINE_QUOTA_SET,     /* what runs goes on, also above it */
    ENGINE_SUBSCRIBE,     /* how much of a tier a project may start; 0 units end it */
    ENGINE_COMMAND_COUNT,
};

struct engine_command {
    enum engine_command_type type;
    union {
        struct {
            engine_id project; /* SET */
            struct str name;   /* CREATE */
            bool limited;
            udollar budget;
        } project;
        struct {
            engine_id project;
            enum engine_quota_kind kind;
            struct str type;
            bool limited; /* false: lifts it */
            int64_t total;
        } quota;
        struct {
            unsigned char hash[ENGINE_HASH_SIZE];
            struct str snippet, principal; /* principal: made where it is new */
            struct str name;
            enum engine_principal_kind kind;
            enum engine_role role;
            bool session;
            engine_id project;
            time_ms expires;
        } key;
        engine_id revoke; /* KEY_REVOKE */
        struct {
            engine_id token;
            unsigned char hash[ENGINE_HASH_SIZE];
            struct str snippet, name, machine;
        } join;
        struct {
            engine_id key; /* agent key; 0 = an operator registers it, it stays unbound */
            struct str name, version, boot, address, sku, accelerator;
            struct str provider, region, zone, fabric, rack;
            struct market_amounts amounts;
            const struct str *labels, *missing;
            size_t label_count, missing_count;
            const struct engine_gpu *gpus;
            size_t gpu_count;
            bool unconfined, ask_present;
            engine_id project; /* unconfined: its owner's */
            udollar ask;
        } node;
        struct {
            engine_id node;
            market_id pool;       /* ASK_SET of a pool */
            time_ms last_contact; /* NODE_LOST */
            bool evict;           /* DRAIN */
            udollar ask;          /* ASK_SET */
        } on_node;
        struct {
            int name; /* enum engine_setting or market_setting */
            int64_t value;
        } setting;
        struct engine_submit submit;
        struct engine_reserve reserve;
        struct {
            engine_id reservation;
            enum market_reservation_action action;
            uint32_t nodes; /* PAUSE: how many; 0 = all */
            time_ms from, to;
            udollar floor, limit; /* limit: EXTEND */
        } reservation;
        struct {
            engine_id project;
            struct engine_choice choice; /* which pools; amounts and speed are not looked at */
            uint32_t tier;               /* 1 .. MARKET_TIERS */
            int64_t units_milli;         /* whole units */
            udollar rate;                /* per unit-hour of what is held */
        } subscription;
        struct {
            engine_id workload;
            udollar limit; /* BID_CHANGE */
            bool paused;   /* PAUSE */
            struct str request; /* REQUEST_SET */
            const engine_id *objects;
            size_t object_count;
        } workload;
        struct {
            enum engine_report_kind kind;
            engine_id node, workload;
            uint32_t attempt, role, rank;
            int64_t exit_code, signal, port;
            bool oom;
            struct str text, last_lines;
            time_ms at; /* bounded by the caller: never after now */
            int32_t phase; /* PHASE */
            struct str address, private_address;
        } report;
        struct {
            engine_id id; /* PUT: 0 = new */
            enum engine_object_kind kind; /* PUT, new: likewise the next two */
            engine_id project, key;       /* key: who makes it */
            bool unique, exclusive;
            struct str name, body;        /* PUT */
            int64_t size;                 /* PUT, new volume: GB */
            uint64_t revision; /* the one that the caller knows, 0 = any: another one is a conflict */
            bool keep;         /* DELETE: it stays in the state, as deleted */
        } object;
    };
};

/* ---- outcomes and events ---------------------------------------------------------------------------------- */

enum engine_code {
    ENGINE_OK,
    ENGINE_INVALID,   /* `field` and, from the market, refusal and numbers */
    ENGINE_NOT_FOUND,
    ENGINE_CONFLICT,  /* a name in use, an idempotency key with another body, a state that forbids it */
    ENGINE_FORBIDDEN, /* a token used or expired; a key bound to another node */
    ENGINE_QUOTA,     /* field: of what; numbers: thousandths that would be in use, and the whole ones allowed */
    ENGINE_STALE,     /* REPORT: of another attempt, or of a replica that has ended; a start told twice is OK */
};

#define ENGINE_FIELD_MAX 96
struct engine_outcome {
    enum engine_code code;
    char field[ENGINE_FIELD_MAX]; /* as the API names it: "choices[1].sku"; empty = none */
    enum market_refusal refusal;
    int64_t numbers[3];
    engine_id id;     /* what was made or found: workload, node, key, project */
    bool repeated;    /* SUBMIT: the idempotency key was known; id is the first one's */
    size_t count;     /* ASK_SET: nodes that ask this now */
};

enum engine_event_type {
    ENGINE_EVENT_WORKLOAD_SUBMITTED,
    ENGINE_EVENT_WORKLOAD_ASSIGNED,   /* placements stand in the state */
    ENGINE_EVENT_WORKLOAD_READY,
    ENGINE_EVENT_WORKLOAD_STARTED,    /* the last replica started: charged from here */
    ENGINE_EVENT_WORKLOAD_PREEMPTING, /* any notice: reason says which; deadline */
    ENGINE_EVENT_WORKLOAD_WAITING,    /* again */
    ENGINE_EVENT_WORKLOAD_FINISHED,
    ENGINE_EVENT_WORKLOAD_FAILED,
    ENGINE_EVENT_WORKLOAD_CANCELLED,
    ENGINE_EVENT_WORKLOAD_REJECTED,
    ENGINE_EVENT_WORKLOAD_CHANGED,    /* its limit */
    ENGINE_EVENT_WORKLOAD_RETIRED,    /* left the state: tables alone have it */
    ENGINE_EVENT_REPLICA_PLACED,      /* one per replica, after ASSIGNED */
    ENGINE_EVENT_REPLICA_STARTED,
    ENGINE_EVENT_REPLICA_ENDED,
    ENGINE_EVENT_CHARGED,             /* a line of the bill */
    ENGINE_EVENT_ENTRY,               /* a ledger entry */
    ENGINE_EVENT_PRICE_POSTED,
    ENGINE_EVENT_GAP,
    ENGINE_EVENT_NODE_REGISTERED,
    ENGINE_EVENT_NODE_CHANGED,        /* draining, back, or another ask */
    ENGINE_EVENT_NODE_LOST,
    ENGINE_EVENT_PROJECT_CREATED,
    ENGINE_EVENT_PROJECT_CHANGED,
    ENGINE_EVENT_KEY_CREATED,
    ENGINE_EVENT_KEY_REVOKED,
    ENGINE_EVENT_SETTING_CHANGED,
    ENGINE_EVENT_REPLICA_PHASE,       /* of an instance; state: the phase, text: its address */
    ENGINE_EVENT_OBJECT_CREATED,      /* value: its id, state: its kind, text: its name */
    ENGINE_EVENT_OBJECT_CHANGED,
    ENGINE_EVENT_OBJECT_DELETED,
    ENGINE_EVENT_WORKLOAD_REQUEST,    /* another request of a paused workload */
    ENGINE_EVENT_RESERVATION,         /* value: its id, state: enum market_reservation_state, text: its name */
    ENGINE_EVENT_WORKLOAD_QUOTED,     /* with a deadline; value: it is promised, for at most `amount`, and starts by `from` */
    ENGINE_EVENT_BUDGET,              /* once where it is crossed; value: 80 or 100 per cent, amount: spent, limit: the budget */
    ENGINE_EVENT_SUBSCRIPTION,        /* from here on; value: its tier, units and rate, 0 units: ended; state 1: it cannot pay */
    ENGINE_EVENT_HEADROOM_POSTED,     /* value: the tier; units: held, free: of it, wanted: what could leave in time, rate: price
                                         and amount: credit, both per unit-hour */
    ENGINE_EVENT_TYPE_COUNT,
};

/* Flat, so that one codec serves all; what does not apply is zero. */
struct engine_event {
    enum engine_event_type type;
    time_ms at;
    engine_id project, workload, node, key;
    market_id pool;
    int64_t command; /* SUBMITTED: index of its command in the batch */
    int64_t attempt, role, rank, nodes;
    int64_t state, reason;      /* of the workload after it, or enum engine_node_state */
    int64_t units_milli, rate, limit, amount; /* rate: µ$ an hour of all of it; limit per unit-hour */
    int64_t from, to, deadline;
    int64_t exited, exit_code, signal, oom, exit_rank;
    int64_t gpus;               /* REPLICA_PLACED: mask */
    int64_t charge;             /* CHARGED: enum market_charge; value: the reservation whose slot it is */
    int64_t debit_kind, debit_id, credit_kind, credit_id; /* ENTRY: struct market_account */
    int64_t marginal, scarcity, guide, lowest_ask, free_milli, used_milli, wanted_milli, running, waiting;
    int64_t surplus, bound;
    int64_t setting, value;
    struct str text;            /* ENDED: last lines; borrowed from the command or the state */
};

/* Owned by the caller, reused from batch to batch. */
struct engine_result {
    struct engine_outcome *outcomes; /* one a command */
    size_t outcome_count, outcome_capacity;
    struct engine_event *events;     /* in a fixed order */
    size_t event_count, event_capacity;
    engine_id *nodes;                /* whose desired state changed; each once, by id */
    size_t node_count, node_capacity;
    bool tick_wanted;                /* a tick within a second would serve somebody */
};
void engine_result_fini(struct engine_result *result);

/* ---- the machine --------------------------------------------------------------------------------------------- */

/* With the organisation and the project `default` (id 1, without a budget) in it. */
struct engine *engine_new(uint64_t seed);
void engine_free(struct engine *e);

/* Applies one batch; `now` is at least the last one's (the caller holds it to max(last, now)). Clears
 * `result` first. Each command takes effect whole, or not at all with a code that says why. Commands of
 * one batch are decided in their order as far as projects, keys, nodes and reports go, and meet the
 * market together in one clearing. */
void engine_apply(struct engine *e, time_ms now, const struct engine_command *commands, size_t count,
                  struct engine_result *result);

/* When an ENGINE_WAKE is due although nobody sent a command; TIME_NEVER. */
time_ms engine_deadline(const struct engine *e);
time_ms engine_now(const struct engine *e); /* of the last batch */

/* Equal states give equal bytes. */
void engine_snapshot(const struct engine *e, struct buf *out);
/* NULL where the bytes are not a snapshot of this format. */
struct engine *engine_restore(struct unpack *in);
/* Walks every invariant that needs no history, the market's included, and CHECKs it. */
void engine_check(const struct engine *e);

/* ---- queries: no change of state --------------------------------------------------------------------------------- */

const struct market *engine_market(const struct engine *e);
int64_t engine_setting(const struct engine *e, int name);

const struct engine_project *engine_project(const struct engine *e, engine_id id); /* NULL: none */
const struct engine_project *engine_project_named(const struct engine *e, struct str name);
size_t engine_project_count(const struct engine *e);
const struct engine_project *engine_project_at(const struct engine *e, size_t index); /* by id */

/* Thousandths in use, as a quota of that kind and type (empty: all) counts them. */
int64_t engine_quota_used(const struct engine *e, engine_id project, enum engine_quota_kind kind, struct str type);
bool engine_quota_typed(enum engine_quota_kind kind); /* it may name a type */

const struct engine_key *engine_key(const struct engine *e, engine_id id);
const struct engine_key *engine_key_hashed(const struct engine *e, const unsigned char hash[ENGINE_HASH_SIZE]);
size_t engine_key_count(const struct engine *e);
const struct engine_key *engine_key_at(const struct engine *e, size_t index);
const struct engine_principal *engine_principal(const struct engine *e, engine_id id);

const struct engine_node *engine_node(const struct engine *e, engine_id id);
const struct engine_node *engine_node_named(const struct engine *e, struct str name);
size_t engine_node_count(const struct engine *e);
const struct engine_node *engine_node_at(const struct engine *e, size_t index); /* by id */

const struct engine_workload *engine_workload(const struct engine *e, engine_id id);
/* The newest with an id below `before` (0 = all), of that project (0 = any) and of a state in the mask
 * (bit 1 << state); NULL at the end. Live ones (mask without ended states) are found without walking
 * the ended. */
const struct engine_workload *engine_workload_before(const struct engine *e, engine_id before, engine_id project,
                                                     unsigned states);
/* How many are in each state. */
void engine_workload_counts(const struct engine *e, uint64_t ret[static WORKLOAD_STATE_COUNT]);

const struct engine_reservation *engine_reservation(const struct engine *e, engine_id id); /* NULL: none */
/* The one of this name that is not over; NULL: none. */
const struct engine_reservation *engine_reservation_named(const struct engine *e, engine_id project, struct str name);
size_t engine_reservation_count(const struct engine *e);
const struct engine_reservation *engine_reservation_at(const struct engine *e, size_t index); /* by id */
/* A dry run: the outcome is what RESERVE would have answered, names aside. */
struct engine_outcome engine_reserve_quote(const struct engine *e, const struct engine_reserve *reserve, struct market_reservation_quote *ret);

/* The live instance of this name in its project; 0: none. */
engine_id engine_instance_named(const struct engine *e, engine_id project, struct str name);

const struct engine_object *engine_object(const struct engine *e, engine_id id); /* NULL: none; deleted ones that are kept, too */
size_t engine_object_count(const struct engine *e);
const struct engine_object *engine_object_at(const struct engine *e, size_t index); /* by id */

/* The name behind an id of the market: SKU, accelerator, label, or a place (`path`: provider/region/zone…). */
enum engine_name { NAME_SKU, NAME_ACCELERATOR, NAME_LABEL, NAME_PROVIDER, NAME_REGION, NAME_ZONE, NAME_FABRIC, NAME_RACK, ENGINE_NAME_COUNT };
struct str engine_name(const struct engine *e, enum engine_name kind, market_id id); /* the last part of a place's path */
/* Every name of a kind, for messages: known SKUs and the like; index below the count. */
size_t engine_name_count(const struct engine *e, enum engine_name kind);
struct str engine_name_at(const struct engine *e, enum engine_name kind, size_t index);

/* Dry runs: the outcome is what SUBMIT would have answered (idempotency aside). */
struct engine_outcome engine_quote(const struct engine *e, const struct engine_submit *submit, struct market_quote *ret);
/* False: no such live workload. */
bool engine_why(const struct engine *e, engine_id workload, struct market_why *ret);
