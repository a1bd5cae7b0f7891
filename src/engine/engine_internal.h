/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What the files of this folder share.
 *
 * A batch: each command is checked, changes the engine's own state and adds commands to the market's
 * batch; the market is applied; its events are followed, which may add commands again (a bid that the
 * engine has given up must leave the book), until nothing follows. Outcomes that only the market can
 * give (a refused bid) are filled from its events, by the index of the market command. */

#include "base/arena.h"
#include "base/hash.h"
#include "base/map.h"
#include "base/memory.h"
#include "engine/engine.h"

#define DAY_MS ((time_ms)24 * HOUR_MS)
#define NAME_ADDRESS ENGINE_NAME_COUNT /* one more kind, of ours: addresses of nodes, for ports */
#define NAME_KINDS (ENGINE_NAME_COUNT + 1)

/* ---- names ------------------------------------------------------------------------------------------ */

struct name {
    char *text;
    uint32_t size;
    uint32_t parent;     /* a place's: id of the place above, of the kind before it */
    uint32_t next_alike; /* another place of this name, later made; 0 = none */
};
struct names { /* id = index + 1 */
    struct name *items;
    uint32_t count, capacity;
    struct str_map by_path; /* parent (4 bytes) and name -> id */
    struct str_map first_alike, last_alike; /* name -> id */
};

/* ---- accounts ---------------------------------------------------------------------------------------- */

struct project {
    struct engine_project view;
    char *text;
    struct engine_quota *quotas; /* each type a block of its own */
    int level; /* per cent of its budget that it was told to have spent: 0, 80, 100; follows from the state */
};
struct principal {
    struct engine_principal view;
    char *text;
};
struct key {
    struct engine_key view;
    char *text;
};

struct reservation_record {
    struct engine_reservation view;
    bool provisional; /* the market has not taken it yet */
    char *text;       /* name and body */
};
struct object {
    struct engine_object view;
    char *text; /* name and body */
};

/* ---- nodes -------------------------------------------------------------------------------------------- */

struct node {
    struct engine_node view;
    void *block; /* its texts, labels, missing and GPUs, in one piece */
    struct engine_replica_ref *refs;
    size_t ref_capacity;
    struct market_node spec, want; /* as the market has it; as it is, told when nothing runs on it */
    udollar ask_told;              /* what its agent asked last: an operator's ask stands until that changes */
    market_id address;
    bool draining; /* by an operator */
    bool held;     /* takes nothing new until the market knows what it is */
    bool lost;
    bool touched;  /* in result->nodes */
    bool pending;  /* a command about it waits for the market */
};

/* ---- workloads ------------------------------------------------------------------------------------------ */

enum timer { TIMER_NONE, TIMER_MAX_RUN, TIMER_STOP, TIMER_RETRY /* held back until then */, TIMER_COUNT };

struct workload {
    struct engine_workload view;
    char *text, *lines; /* name and request; last lines */
    engine_id *objects;
    struct engine_replica *replicas, inline_replica; /* inline where there is one */
    uint32_t live, begun;    /* replicas that have not ended; that have started */
    time_ms assigned;
    time_ms noticed;         /* when its replicas were told to stop, 0 = not */
    enum engine_workload_state next; /* when its lease is over */
    enum engine_reason next_reason;
    enum engine_reason lost_reason; /* a node of it was lost in this way; NONE */
    bool provisional;        /* the market has not taken its bid yet */
    bool failing;            /* the engine ends it, not the market */
    bool leaving;            /* all of it has ended: the market has been told */
    market_id port_address;  /* 0: holds no port */
    enum timer timer;
    time_ms due;
    uint32_t failures;       /* of an instance, one soon after the other */
    uint32_t heap_at;        /* + 1; 0 = no timer runs */
    uint32_t slot;
    uint32_t next_slot;      /* ended: who ended after it; free slot: the next */
};
#define PAGE_SIZE 256

/* A set of ids with their order: 4,096 to a page. */
struct id_page {
    uint64_t first;
    uint32_t count;
    uint64_t bits[64];
};
struct id_set {
    struct id_page *pages; /* by first */
    uint32_t count, capacity;
};

struct heap_item {
    time_ms due;
    uint32_t slot;
};

struct idempotency {
    uint64_t hash, check, body_hash;
    engine_id workload;
    time_ms created;
};

struct burnt {
    engine_id project;
    struct str name;
    char *text;
};

/* What a command of the market's batch stands for. */
enum pending_kind { PENDING_NONE, PENDING_SUBMIT, PENDING_CHANGE, PENDING_SETTING, PENDING_NODE, PENDING_RESERVE, PENDING_RESERVATION,
                    PENDING_SUBSCRIPTION };
struct pending {
    enum pending_kind kind;
    size_t command;      /* of the engine's batch */
    engine_id id;        /* workload, node */
    uint64_t hash, check, body_hash; /* SUBMIT: idempotency, hash 0 = none */
    int64_t value;       /* CHANGE, SUBMIT: limit; SETTING: value */
    int name;            /* SETTING */
    const struct engine_submit *submit;
    const uint16_t *choices; /* SUBMIT: of each alternative, the choice it comes from */
};

/* What a batch works with; texts of its events stand in the arena until the next one. */
struct batch {
    struct arena arena;
    struct market_command *commands;
    struct pending *pending; /* one a command */
    size_t count, capacity, pending_capacity;
    bool has_loss, has_other; /* nodes lost, and anything else: the two do not share a clearing */
    struct market_events events;
    struct map repeats; /* hash of an idempotency key -> index of its command in the batch + 1 */
    engine_id *strays;  /* ended here, still in the market's book */
    size_t stray_count, stray_capacity;
    struct node **told;
    size_t told_count, told_capacity;
    bool tick;
    bool subscribes;    /* a subscription waits for the market: what names a tier is decided after it */
    size_t command; /* the one at work */
};

struct engine {
    uint64_t seed;
    time_ms now;
    struct market *market;
    int64_t settings[ENGINE_SETTING_END]; /* the market's own are not used */
    struct names names[NAME_KINDS];

    struct project *projects;
    size_t project_count, project_capacity;
    struct principal *principals;
    size_t principal_count, principal_capacity;
    struct key **keys; /* by id */
    size_t key_count, key_capacity;
    engine_id next_key;
    time_ms keys_due; /* when the first of them is dropped */
    struct object **objects; /* by id */
    size_t object_count, object_capacity;
    engine_id next_object;
    struct reservation_record **reservations; /* id = index + 1 */
    size_t reservation_count, reservation_capacity;
    struct str_map object_by_name; /* kind, project and name of the unique ones that are there */
    struct str_map project_by_name, principal_by_name, key_by_hash;

    struct node **nodes; /* id = index + 1 */
    size_t node_count, node_capacity;
    struct str_map node_by_name;
    struct map ports; /* address << 16 | port -> workload */

    struct workload **pages;
    uint32_t page_count, page_capacity, slot_count, free_slot;
    struct map workload_by_id; /* -> slot; slots count from 1 */
    struct str_map instance_by_name; /* project and name of the live ones -> id */
    struct burnt *burnt; /* names of instances that were used while names burn, in the order of their use */
    size_t burnt_count, burnt_capacity;
    struct str_map burnt_by_name; /* project and name */
    engine_id next_workload;
    struct id_set all, live;
    uint64_t counts[WORKLOAD_STATE_COUNT];
    uint32_t ended_first, ended_last;
    struct heap_item *heap;
    uint32_t heap_count, heap_capacity;

    struct idempotency *recent; /* a ring: numbers [recent_first, recent_end) at number & (capacity - 1) */
    uint64_t recent_first, recent_end, recent_capacity;
    struct map recent_by_hash; /* -> number + 1 */

    struct batch batch;
    struct engine_result *result; /* of the batch at work */
};

/* engine.c */
struct engine_event *engine_event_add(struct engine *e, enum engine_event_type type);
/* A copy for an event: what stands in the state may be another before the batch is over. */
struct str text_keep(struct engine *e, struct str text);
/* Adds a command to the market's batch; the returned pending is zero. */
struct pending *batch_add(struct engine *e, const struct market_command *command);
/* Applies what waits and follows it up. */
void batch_flush(struct engine *e);
struct engine_outcome outcome_ok(engine_id id);
struct engine_outcome outcome_of(enum engine_code code, const char *field);
struct engine_outcome outcome_bound(const char *field, int64_t given, int64_t least, int64_t most);
/* "choices[index].name" */
struct engine_outcome outcome_choice(enum engine_code code, size_t index, const char *name);
void field_set(struct engine_outcome *outcome, const char *text);

/* name.c */
market_id name_find(const struct engine *e, int kind, market_id parent, struct str text); /* 0: none */
market_id name_make(struct engine *e, int kind, market_id parent, struct str text);
/* Places of that kind and name: first, then next ones; 0 at the end. */
market_id name_first(const struct engine *e, int kind, struct str text);
market_id name_next(const struct engine *e, int kind, market_id id);
market_id name_parent(const struct engine *e, int kind, market_id id);
struct str name_text(const struct engine *e, int kind, market_id id);
void names_fini(struct engine *e);

/* account.c */
struct engine_outcome engine_project_create(struct engine *e, const struct engine_command *c);
struct engine_outcome engine_project_set(struct engine *e, const struct engine_command *c);
void engine_project_event(struct engine *e, enum engine_event_type type, const struct engine_project *p);
struct engine_outcome engine_key_create(struct engine *e, const struct engine_command *c);
struct engine_outcome engine_key_revoke(struct engine *e, engine_id id);
struct engine_outcome engine_key_join(struct engine *e, const struct engine_command *c);
struct key *engine_key_find(const struct engine *e, engine_id id);
void engine_budgets_watch(struct engine *e);   /* at the end of a batch: tells what was crossed in it */
void engine_budgets_restore(struct engine *e); /* what was told already, from a state that was read */
void engine_keys_drop(struct engine *e); /* sessions and tokens a day after their end */
void engine_keys_due_set(struct engine *e);
struct project *engine_project_add(struct engine *e, struct str name);
struct principal *engine_principal_add(struct engine *e, enum engine_principal_kind kind, struct str name);
void engine_key_insert(struct engine *e, struct key *key);
/* Copies texts into one block and lets them point there. */
char *texts_own(struct str *const texts[], size_t count);

/* quota.c */
struct engine_outcome engine_quota_set(struct engine *e, const struct engine_command *c);
void quota_put(struct project *p, enum engine_quota_kind kind, struct str type, int64_t total);
void quotas_free(struct project *p);
/* What it may take at most. */
void quota_asked_set(struct engine_workload *w, const struct market_bid *bid);
/* Whether one more may come; it is not counted yet. */
struct engine_outcome quota_workload_check(const struct engine *e, const struct engine_workload *w);
struct engine_outcome quota_reservation_check(const struct engine *e, engine_id project, const struct market_reservation *shape);
struct engine_outcome quota_object_check(const struct engine *e, const struct engine_object *o);

/* object.c */
struct engine_outcome engine_object_put(struct engine *e, const struct engine_command *c);
struct engine_outcome engine_object_delete(struct engine *e, const struct engine_command *c);
struct object *object_find(const struct engine *e, engine_id id);
struct object *object_insert(struct engine *e, const struct engine_object *view); /* with texts of its own */
/* Whether a workload of this project may use them, beside those that it uses already. */
struct engine_outcome objects_check(const struct engine *e, const struct workload *w, const struct engine_submit *s);
/* The workload uses these and no others from here on. */
void objects_use(struct engine *e, struct workload *w, const engine_id *objects, size_t count);
bool objects_same(const struct workload *w, const engine_id *objects, size_t count);
void objects_free(struct engine *e);

/* reservation.c */
struct engine_outcome engine_reserve(struct engine *e, const struct engine_command *c);
struct engine_outcome engine_reservation_change(struct engine *e, const struct engine_command *c);
void reservation_accepted(struct engine *e, const struct pending *p);
struct engine_outcome reservation_refused(struct engine *e, const struct pending *p, const struct market_event *event);
void reservation_follow(struct engine *e, const struct market_event *event);
struct reservation_record *reservation_insert(struct engine *e, const struct engine_reservation *view);
void reservations_free(struct engine *e);

/* subscription.c */
struct engine_outcome engine_subscribe(struct engine *e, const struct engine_command *c);
struct engine_outcome subscription_refused(const struct market_event *event);
void subscription_follow(struct engine *e, const struct market_event *event);
void headroom_follow(struct engine *e, const struct market_event *event);

/* node.c */
struct node *engine_node_find(const struct engine *e, engine_id id);
struct engine_outcome engine_node_register(struct engine *e, const struct engine_command *c);
struct engine_outcome engine_node_lost_set(struct engine *e, engine_id id, time_ms last_contact);
struct engine_outcome engine_node_drain_set(struct engine *e, engine_id id, bool draining, bool evict);
struct engine_outcome engine_ask_set(struct engine *e, const struct engine_command *c);
/* The market did not take it: it stands as lost. */
struct engine_outcome engine_node_refused(struct engine *e, engine_id id, const struct market_event *event);
void engine_node_free(struct node *n);
struct node *engine_node_new(struct engine *e, struct str name); /* with its id, in the table */
void engine_node_state_set(struct node *n);
/* Tells the market what was put off while something ran there. */
void engine_node_settle(struct engine *e, struct node *n);

/* facts.c: what a registration says */
struct engine_outcome facts_check(const struct engine *e, const struct engine_command *c, const struct node *old);
struct market_node facts_spec(struct engine *e, const struct engine_command *c, const struct node *n);
void facts_own(struct engine *e, struct node *n, const struct engine_command *c);
bool facts_amounts_hold(const struct market_amounts *have, const struct market_amounts *want);
bool facts_spec_equal(const struct market_node *a, const struct market_node *b); /* but for the ask */

/* desired.c: what should run where */
void engine_node_touch(struct engine *e, struct node *n); /* its desired state moved */
void workload_touch(struct engine *e, const struct workload *w);
void ref_add(struct engine *e, const struct workload *w, const struct engine_replica *r);
void ref_remove(struct engine *e, const struct workload *w, const struct engine_replica *r); /* may be absent */
bool ref_stands(const struct engine *e, const struct workload *w, const struct engine_replica *r);
void port_hold(struct engine *e, const struct workload *w); /* again, after a restore */
void port_draw(struct engine *e, struct workload *w, int64_t busy);
void port_release(struct engine *e, struct workload *w);

/* submit.c */
struct engine_outcome engine_submit_apply(struct engine *e, const struct engine_submit *s);
void submit_accepted(struct engine *e, const struct pending *p);
void submit_refused(struct engine *e, const struct pending *p, const struct market_event *event);
void recent_expire(struct engine *e);
void recent_add(struct engine *e, const struct idempotency *entry);
/* bid.c: a submit in the market's words; memory of the arena */
struct engine_outcome bid_make(const struct engine *e, const struct engine_submit *s, struct arena *arena,
                               struct market_bid *ret, const uint16_t **ret_choices);
struct engine_outcome bid_refused(const struct engine_submit *s, enum market_refusal reason, const char *field,
                                  const int64_t numbers[3]);

/* workload.c: the table */
struct workload *workload_at(const struct engine *e, uint32_t slot);
struct workload *workload_find(const struct engine *e, engine_id id);
struct workload *workload_add(struct engine *e, const struct engine_submit *s);
struct workload *workload_new(struct engine *e, engine_id id); /* zero, in no list */
void workload_remove(struct engine *e, struct workload *w);

void workload_state_set(struct engine *e, struct workload *w, enum engine_workload_state state, enum engine_reason reason);
void workload_lines_set(struct workload *w, struct str lines);
/* The live instance of this name; 0: none. */
engine_id instance_named(const struct engine *e, engine_id project, struct str name);
/* Used before, while names burn. */
bool instance_name_burnt(const struct engine *e, engine_id project, struct str name);
void instance_name_burn(struct engine *e, engine_id project, struct str name);
void instance_names_burn(struct engine *e); /* of all that the state has */
void burnt_free(struct engine *e);
void instance_name_hold(struct engine *e, const struct workload *w, bool held);
/* Name and request of its own. */
void workload_texts_set(struct workload *w, struct str name, struct str request);
void workload_replicas_set(struct workload *w, uint32_t count); /* zeroed */
/* A zeroed one where (role, rank) belongs; in the place of one that has ended. */
struct engine_replica *workload_replica_add(struct workload *w, uint32_t role, uint32_t rank);
struct engine_event *workload_event(struct engine *e, enum engine_event_type type, const struct workload *w);
void workloads_retire(struct engine *e);
time_ms workloads_retire_due(const struct engine *e);
void id_set_add(struct id_set *set, engine_id id);
void id_set_remove(struct id_set *set, engine_id id);
bool id_set_has(const struct id_set *set, engine_id id);
engine_id id_set_before(const struct id_set *set, engine_id before); /* 0: none */
engine_id id_set_after(const struct id_set *set, engine_id after);
void ended_append(struct engine *e, struct workload *w);

/* timer.c */
void workload_timer_set(struct engine *e, struct workload *w, enum timer timer, time_ms due);
void workload_timer_clear(struct engine *e, struct workload *w);

/* run.c: attempts */
struct engine_outcome engine_report_apply(struct engine *e, const struct engine_command *c);
struct engine_outcome workload_cancel(struct engine *e, engine_id id);
struct engine_outcome workload_change(struct engine *e, engine_id id, udollar limit);
struct engine_outcome workload_pause(struct engine *e, engine_id id, bool paused);
struct engine_outcome workload_request_set(struct engine *e, const struct engine_command *c);
void workload_timers_run(struct engine *e);
struct engine_replica *workload_replica_find(const struct workload *w, uint32_t role, uint32_t rank);
/* Off its node, without a word to the market. */
void workload_replica_end(struct engine *e, struct workload *w, struct engine_replica *r, time_ms at);
/* Tells all that still run to stop. */
void workload_replicas_stop(struct engine *e, struct workload *w, time_ms deadline);

/* follow.c: the market's events */
void engine_follow(struct engine *e, const struct market_event *event);

static inline bool workload_has_lease(const struct workload *w)
{
    return w->view.state == WORKLOAD_ASSIGNED || w->view.state == WORKLOAD_RUNNING || w->view.state == WORKLOAD_PREEMPTING;
}
