/* SPDX-License-Identifier: Apache-2.0 */
/* A batch: commands in, the market's clearing, what follows from it, outcomes and events out. */
#include "base/sort.h"
#include "engine/engine_internal.h"

#define ROUNDS_MAX 16 /* of follow-up; each takes bids out of the book for good, two do in practice */

static const struct {
    const char *name;
    int64_t least, most, fallback;
} settings[ENGINE_SETTING_END] = {
    [SETTING_TICK_MS] = {"tick_ms", 0, 0, 0},
    [SETTING_HORIZON_MS] = {"horizon_ms", 0, 0, 0},
    [SETTING_MINIMUM_RUN_MS] = {"minimum_run_ms", 0, 0, 0},
    [SETTING_RAMP_PERMILLE] = {"ramp_permille", 0, 0, 0},
    [SETTING_FEE_PERMILLE] = {"fee_permille", 0, 0, 0},
    [SETTING_TERM_MS] = {"term_ms", 0, 0, 0},
    [SETTING_KILL_MS] = {"kill_ms", 0, 0, 0},
    [SETTING_CHECKPOINT_MS] = {"checkpoint_ms", 0, 0, 0},
    [SETTING_LARGE_TENANT_PERMILLE] = {"large_tenant_permille", 0, 0, 0},
    [SETTING_SWEEP_CANDIDATES] = {"sweep_candidates", 0, 0, 0},
    [SETTING_HOLD] = {"hold", 0, 0, 0},
    [SETTING_STARVING_TICKS] = {"starving_ticks", 0, 0, 0},
    [SETTING_HOLD_FEE] = {"hold_fee", 0, 0, 0},
    [SETTING_GUARD_MS] = {"guard_ms", 0, 0, 0},
    [SETTING_LEND_IDLE_MS] = {"lend_idle_ms", 0, 0, 0},
    [SETTING_TIER1_START_MS] = {"tier_instant_start_ms", 0, 0, 0},
    [SETTING_TIER2_START_MS] = {"tier_seconds_start_ms", 0, 0, 0},
    [SETTING_TIER3_START_MS] = {"tier_minute_start_ms", 0, 0, 0},
    [SETTING_TIER4_START_MS] = {"tier_minutes_start_ms", 0, 0, 0},
    [SETTING_TIER1_LOSS] = {"tier_instant_loss_udollar_per_hour", 0, 0, 0},
    [SETTING_TIER2_LOSS] = {"tier_seconds_loss_udollar_per_hour", 0, 0, 0},
    [SETTING_TIER3_LOSS] = {"tier_minute_loss_udollar_per_hour", 0, 0, 0},
    [SETTING_TIER4_LOSS] = {"tier_minutes_loss_udollar_per_hour", 0, 0, 0},
    [SETTING_CONTACT_TIMEOUT_MS] = {"contact_timeout_ms", 1000, DAY_MS, 120000},
    [SETTING_RETAIN_MS] = {"retain_ms", 0, 30 * DAY_MS, HOUR_MS},
    [SETTING_LIMIT_LOW_PERMILLE] = {"limit_low_permille", 1, 1000000, 1500},
    [SETTING_LIMIT_NORMAL_PERMILLE] = {"limit_normal_permille", 1, 1000000, 5000},
    [SETTING_LIMIT_HIGH_PERMILLE] = {"limit_high_permille", 1, 1000000, 20000},
    [SETTING_LIMIT_CRITICAL_PERMILLE] = {"limit_critical_permille", 1, 1000000, 100000},
    [SETTING_NAMES_BURN] = {"names_burn", 0, 1, 0},
};

struct engine *engine_new(uint64_t seed)
{
    struct engine *e = xcalloc(1, sizeof *e);
    e->seed = seed;
    e->market = market_new(seed);
    e->next_key = e->next_workload = e->next_object = 1;
    e->keys_due = TIME_NEVER;
    for (int i = 0; i < ENGINE_SETTING_END; i++)
        e->settings[i] = settings[i].fallback;
    engine_project_add(e, STR("default"));
    return e;
}

static void batch_fini(struct batch *b)
{
    arena_fini(&b->arena);
    xfree(b->commands);
    xfree(b->pending);
    market_events_fini(&b->events);
    map_fini(&b->repeats);
    xfree(b->strays);
    xfree(b->told);
}

static void workloads_free(struct engine *e)
{
    for (uint32_t slot = 1; slot < e->slot_count; slot++) {
        struct workload *w = workload_at(e, slot);
        xfree(w->text);
        xfree(w->lines);
        xfree(w->objects);
        if (w->replicas != &w->inline_replica)
            xfree(w->replicas);
    }
    for (uint32_t i = 0; i < e->page_count; i++)
        xfree(e->pages[i]);
}

void engine_free(struct engine *e)
{
    if (e == NULL)
        return;
    workloads_free(e);
    objects_free(e);
    reservations_free(e);
    for (size_t i = 0; i < e->node_count; i++)
        engine_node_free(e->nodes[i]);
    for (size_t i = 0; i < e->project_count; i++) {
        xfree(e->projects[i].text);
        quotas_free(&e->projects[i]);
    }
    burnt_free(e);
    for (size_t i = 0; i < e->principal_count; i++)
        xfree(e->principals[i].text);
    for (size_t i = 0; i < e->key_count; i++) {
        xfree(e->keys[i]->text);
        xfree(e->keys[i]);
    }
    void *arrays[] = {e->nodes, e->projects, e->principals, e->keys, e->pages, e->all.pages, e->live.pages, e->heap, e->recent};
    for (size_t i = 0; i < ARRAY_COUNT(arrays); i++)
        xfree(arrays[i]);
    struct str_map *texts[] = {&e->project_by_name, &e->principal_by_name, &e->key_by_hash, &e->node_by_name};
    for (size_t i = 0; i < ARRAY_COUNT(texts); i++)
        str_map_fini(texts[i]);
    map_fini(&e->ports);
    map_fini(&e->workload_by_id);
    str_map_fini(&e->instance_by_name);
    map_fini(&e->recent_by_hash);
    names_fini(e);
    batch_fini(&e->batch);
    market_free(e->market);
    xfree(e);
}

void engine_result_fini(struct engine_result *result)
{
    xfree(result->outcomes);
    xfree(result->events);
    xfree(result->nodes);
    *result = (struct engine_result){0};
}

struct engine_event *engine_event_add(struct engine *e, enum engine_event_type type)
{
    struct engine_result *result = e->result;
    ARRAY_RESERVE(result->events, result->event_count, result->event_capacity);
    struct engine_event *event = &result->events[result->event_count++];
    memset(event, 0, sizeof *event);
    event->type = type;
    event->at = e->now;
    event->command = -1;
    return event;
}

struct str text_keep(struct engine *e, struct str text)
{
    return arena_str(&e->batch.arena, text);
}

/* ---- outcomes ------------------------------------------------------------------------------------------ */

void field_set(struct engine_outcome *outcome, const char *text)
{
    size_t size = MIN(strlen(text), (size_t)ENGINE_FIELD_MAX - 1);
    memcpy(outcome->field, text, size);
    outcome->field[size] = 0;
}

struct engine_outcome outcome_ok(engine_id id)
{
    return (struct engine_outcome){.code = ENGINE_OK, .id = id};
}

struct engine_outcome outcome_of(enum engine_code code, const char *field)
{
    struct engine_outcome outcome = {.code = code};
    field_set(&outcome, field);
    return outcome;
}

struct engine_outcome outcome_bound(const char *field, int64_t given, int64_t least, int64_t most)
{
    struct engine_outcome outcome = {.code = ENGINE_INVALID, .refusal = REFUSED_BOUND, .numbers = {given, least, most}};
    field_set(&outcome, field);
    return outcome;
}

struct engine_outcome outcome_choice(enum engine_code code, size_t index, const char *name)
{
    _cleanup_buf_ struct buf text = BUF_INIT(ENGINE_FIELD_MAX - 1);
    char digits[24];
    size_t count = 0;
    do
        digits[count++] = (char)('0' + index % 10);
    while (index /= 10);
    buf_append_text(&text, "choices[");
    while (count)
        buf_append_byte(&text, digits[--count]);
    buf_append_text(&text, name[0] ? "]." : "]");
    buf_append_text(&text, name);
    return outcome_of(code, buf_text(&text));
}

/* ---- the market's batch -------------------------------------------------------------------------------- */

struct pending *batch_add(struct engine *e, const struct market_command *command)
{
    struct batch *b = &e->batch;
    bool loss = command->type == MARKET_NODE_DOWN;
    if (loss ? b->has_other : b->has_loss)
        batch_flush(e);
    b->has_loss |= loss;
    b->has_other |= !loss;
    ARRAY_RESERVE(b->commands, b->count, b->capacity);
    if (b->pending_capacity != b->capacity) {
        b->pending_capacity = b->capacity;
        b->pending = xrealloc(b->pending, b->pending_capacity, sizeof *b->pending);
    }
    b->commands[b->count] = *command;
    b->pending[b->count] = (struct pending){.command = b->command};
    return &b->pending[b->count++];
}

static struct engine_outcome change_refused(const struct market_event *event)
{
    bool bound = event->refused.reason == REFUSED_BOUND;
    struct engine_outcome outcome = outcome_of(bound ? ENGINE_INVALID : ENGINE_CONFLICT, bound ? "limit_udollar_per_hour" : "state");
    outcome.refusal = event->refused.reason;
    memcpy(outcome.numbers, event->refused.numbers, sizeof outcome.numbers);
    return outcome;
}

static void refused(struct engine *e, const struct pending *p, const struct market_event *event)
{
    struct engine_outcome *outcome = &e->result->outcomes[p->command];
    switch (p->kind) {
    case PENDING_NONE: /* what it was about has gone in the same batch */
        break;
    case PENDING_SUBMIT:
        submit_refused(e, p, event);
        break;
    case PENDING_CHANGE:
        *outcome = change_refused(event);
        break;
    case PENDING_SETTING:
        *outcome = outcome_bound(settings[p->name].name, event->refused.numbers[0], event->refused.numbers[1],
                                 event->refused.numbers[2]);
        break;
    case PENDING_NODE:
        *outcome = engine_node_refused(e, p->id, event);
        break;
    case PENDING_RESERVE:
    case PENDING_RESERVATION:
        *outcome = reservation_refused(e, p, event);
        break;
    case PENDING_SUBSCRIPTION:
        *outcome = subscription_refused(event);
        break;
    }
}

static void accepted(struct engine *e, const struct pending *p)
{
    if (p->kind == PENDING_SUBMIT) {
        submit_accepted(e, p);
    } else if (p->kind == PENDING_CHANGE) {
        struct workload *w = workload_find(e, p->id);
        w->view.limit = p->value;
        workload_event(e, ENGINE_EVENT_WORKLOAD_CHANGED, w);
    } else if (p->kind == PENDING_RESERVE || p->kind == PENDING_RESERVATION) {
        reservation_accepted(e, p);
    } else if (p->kind == PENDING_SETTING) {
        struct engine_event *event = engine_event_add(e, ENGINE_EVENT_SETTING_CHANGED);
        event->setting = p->name;
        event->value = p->value;
    }
}

/* Outcomes first, in the order of the commands, so that a workload is submitted before it is assigned. */
static void settle_pending(struct engine *e)
{
    struct batch *b = &e->batch;
    const struct market_event **refusals = xcalloc(b->count + 1, sizeof *refusals);
    for (size_t i = 0; i < b->events.count; i++)
        if (b->events.items[i].type == EVENT_REFUSED)
            refusals[b->events.items[i].refused.index] = &b->events.items[i];
    for (size_t i = 0; i < b->count; i++)
        if (refusals[i])
            refused(e, &b->pending[i], refusals[i]);
        else
            accepted(e, &b->pending[i]);
    xfree(refusals);
}

static void strays_leave(struct engine *e)
{
    struct batch *b = &e->batch;
    for (size_t i = 0; i < b->stray_count; i++) {
        struct market_bid_view view;
        if (!market_bid_view(e->market, b->strays[i], e->now, &view))
            continue;
        struct market_command c = {.type = MARKET_BID_CANCEL, .change.bid = b->strays[i]};
        if (view.state != BID_WAITING)
            c = (struct market_command){.type = MARKET_LEASE_ENDED, .lease = {.bid = b->strays[i], .attempt = view.attempt, .at = e->now}};
        batch_add(e, &c);
    }
    b->stray_count = 0;
}

static void nodes_settle(struct engine *e)
{
    struct batch *b = &e->batch;
    for (size_t i = 0; i < b->told_count; i++) {
        struct node *n = b->told[i];
        n->pending = false;
        n->view.pool = market_node_pool(e->market, n->view.id);
    }
    b->told_count = 0;
}

static void market_round(struct engine *e)
{
    struct batch *b = &e->batch;
    market_events_clear(&b->events);
    market_apply(e->market, e->now, b->commands, b->count, &b->events);
    settle_pending(e);
    b->count = 0;
    b->has_loss = b->has_other = b->subscribes = false;
    nodes_settle(e);
    for (size_t i = 0; i < b->events.count; i++)
        engine_follow(e, &b->events.items[i]);
}

void batch_flush(struct engine *e)
{
    for (int round = 0;; round++) {
        CHECK(round < ROUNDS_MAX);
        market_round(e);
        strays_leave(e);
        if (e->batch.count == 0)
            return;
    }
}

/* ---- commands ---------------------------------------------------------------------------------------------- */

static struct engine_outcome setting_set(struct engine *e, int name, int64_t value)
{
    if (name < 0 || name >= ENGINE_SETTING_END)
        return outcome_of(ENGINE_NOT_FOUND, "setting");
    if (name < MARKET_SETTING_COUNT) {
        struct market_command c = {.type = MARKET_SETTING_SET, .setting = {(enum market_setting)name, value}};
        struct pending *p = batch_add(e, &c);
        p->kind = PENDING_SETTING;
        p->name = name;
        p->value = value;
        return outcome_ok(0);
    }
    if (value < settings[name].least || value > settings[name].most)
        return outcome_bound(settings[name].name, value, settings[name].least, settings[name].most);
    e->settings[name] = value;
    if (name == SETTING_NAMES_BURN && value)
        instance_names_burn(e);
    struct engine_event *event = engine_event_add(e, ENGINE_EVENT_SETTING_CHANGED);
    event->setting = name;
    event->value = value;
    return outcome_ok(0);
}

static struct engine_outcome tick(struct engine *e)
{
    if (!e->batch.tick)
        batch_add(e, &(struct market_command){.type = MARKET_TICK});
    e->batch.tick = true;
    return outcome_ok(0);
}

static struct engine_outcome command_apply(struct engine *e, const struct engine_command *c)
{
    switch (c->type) {
    case ENGINE_PROJECT_CREATE:
        return engine_project_create(e, c);
    case ENGINE_PROJECT_SET:
        return engine_project_set(e, c);
    case ENGINE_KEY_CREATE:
        return engine_key_create(e, c);
    case ENGINE_KEY_REVOKE:
        return engine_key_revoke(e, c->revoke);
    case ENGINE_JOIN:
        return engine_key_join(e, c);
    case ENGINE_NODE_REGISTER:
        return engine_node_register(e, c);
    case ENGINE_NODE_LOST_SET:
        return engine_node_lost_set(e, c->on_node.node, c->on_node.last_contact);
    case ENGINE_NODE_DRAIN:
        return engine_node_drain_set(e, c->on_node.node, true, c->on_node.evict);
    case ENGINE_NODE_UNDRAIN:
        return engine_node_drain_set(e, c->on_node.node, false, false);
    case ENGINE_ASK_SET:
        return engine_ask_set(e, c);
    case ENGINE_SETTING_SET:
        return setting_set(e, c->setting.name, c->setting.value);
    case ENGINE_SUBMIT:
        return engine_submit_apply(e, &c->submit);
    case ENGINE_BID_CHANGE:
        return workload_change(e, c->workload.workload, c->workload.limit);
    case ENGINE_CANCEL:
        return workload_cancel(e, c->workload.workload);
    case ENGINE_REPORT:
        return engine_report_apply(e, c);
    case ENGINE_PAUSE:
        return workload_pause(e, c->workload.workload, c->workload.paused);
    case ENGINE_REQUEST_SET:
        return workload_request_set(e, c);
    case ENGINE_OBJECT_PUT:
        return engine_object_put(e, c);
    case ENGINE_OBJECT_DELETE:
        return engine_object_delete(e, c);
    case ENGINE_RESERVE:
        return engine_reserve(e, c);
    case ENGINE_RESERVATION_CHANGE:
        return engine_reservation_change(e, c);
    case ENGINE_QUOTA_SET:
        return engine_quota_set(e, c);
    case ENGINE_SUBSCRIBE:
        return engine_subscribe(e, c);
    case ENGINE_TICK:
        return tick(e);
    case ENGINE_WAKE:
        return outcome_ok(0);
    case ENGINE_COMMAND_COUNT:
        break;
    }
    return outcome_of(ENGINE_INVALID, "type");
}

static void result_clear(struct engine_result *result, size_t count)
{
    if (result->outcome_capacity < count) {
        result->outcome_capacity = count;
        result->outcomes = xrealloc(result->outcomes, count, sizeof *result->outcomes);
    }
    result->outcome_count = count;
    result->event_count = result->node_count = 0;
    result->tick_wanted = false;
}

static int id_compare(const void *x, const void *y, const void *context)
{
    (void)context;
    const engine_id *a = x, *b = y;
    return COMPARE(*a, *b);
}

void engine_apply(struct engine *e, time_ms now, const struct engine_command *commands, size_t count,
                  struct engine_result *result)
{
    CHECK(now >= e->now);
    e->now = now;
    e->result = result;
    result_clear(result, count);
    arena_clear(&e->batch.arena);
    e->batch.tick = false;
    e->batch.command = 0;
    recent_expire(e);
    engine_keys_drop(e);
    workloads_retire(e);
    workload_timers_run(e);
    for (size_t i = 0; i < count; i++) {
        e->batch.command = i;
        /* What follows a loss sees what the market made of it. */
        if (e->batch.has_loss && commands[i].type != ENGINE_NODE_LOST_SET)
            batch_flush(e);
        /* Before the call: a flush in the middle may fill in earlier ones, never this one. */
        result->outcomes[i] = outcome_ok(0);
        struct engine_outcome outcome = command_apply(e, &commands[i]);
        result->outcomes[i] = outcome;
    }
    batch_flush(e);
    for (size_t i = 0; i < result->node_count; i++)
        engine_node_settle(e, e->nodes[result->nodes[i] - 1]);
    if (e->batch.count)
        batch_flush(e);
    for (size_t i = 0; i < result->node_count; i++)
        e->nodes[result->nodes[i] - 1]->touched = false;
    sort(result->nodes, result->node_count, sizeof *result->nodes, id_compare, NULL);
    engine_budgets_watch(e);
    map_fini(&e->batch.repeats);
    e->result = NULL;
}

time_ms engine_deadline(const struct engine *e)
{
    time_ms due = MIN(market_deadline(e->market), workloads_retire_due(e));
    return e->heap_count ? MIN(due, e->heap[0].due) : due;
}

time_ms engine_now(const struct engine *e)
{
    return e->now;
}

const struct market *engine_market(const struct engine *e)
{
    return e->market;
}

int64_t engine_setting(const struct engine *e, int name)
{
    CHECK(name >= 0 && name < ENGINE_SETTING_END);
    return name < MARKET_SETTING_COUNT ? market_setting(e->market, (enum market_setting)name) : e->settings[name];
}
