/* SPDX-License-Identifier: Apache-2.0 */
#include "sim/market_arm.h"

#include "base/map.h"
#include "base/memory.h"

#include <stdio.h>

#define START ((time_ms)3600000) /* the engine's clock at time 0 of the trace */
#define TICK_LEAST_MS 1000       /* as a server's, where a tick would serve somebody */
#define PROJECT_DEFAULT 1

struct arm {
    struct world *w;
    struct engine *e;
    struct engine_result result;
    struct engine_command *commands;
    uint32_t *subjects; /* by command: the job of a submit */
    size_t count, capacity, subject_capacity;
    struct engine_choice *choices; /* by command: of a submit */
    engine_id *ids;                /* by job */
    struct map jobs;               /* workload -> job + 1 */
    engine_id *nodes;              /* by node */
    struct map node_of;            /* engine node -> node + 1 */
    struct str_map projects;
    uint32_t *quits; /* jobs that leave without having started */
    size_t quit_count, quit_capacity;
    time_ms tick_at, sample_at;
    bool tick_wanted;
    struct market_record *record;
};

void market_record_fini(struct market_record *record)
{
    xfree(record->samples);
    record->samples = NULL;
}

/* ---- commands ---- */

static struct engine_command *command_add(struct arm *a, enum engine_command_type type)
{
    if (a->count == a->capacity) {
        a->capacity = MAX(2 * a->capacity, 64);
        a->commands = xrealloc(a->commands, a->capacity, sizeof *a->commands);
        a->subjects = xrealloc(a->subjects, a->capacity, sizeof *a->subjects);
        a->choices = xrealloc(a->choices, a->capacity, sizeof *a->choices);
    }
    a->subjects[a->count] = UINT32_MAX;
    a->commands[a->count] = (struct engine_command){.type = type};
    return &a->commands[a->count++];
}

static void node_register(struct arm *a, uint32_t index, uint32_t boot)
{
    const struct cluster_node *node = &a->w->cluster->nodes[index];
    struct engine_command *c = command_add(a, ENGINE_NODE_REGISTER);
    char text[24];
    snprintf(text, sizeof text, "boot-%u", boot);
    c->node.name = node->name;
    c->node.boot = arena_str(&a->w->texts, str_from(text));
    c->node.address = node->name;
    c->node.sku = node->sku;
    c->node.accelerator = node->accelerator;
    c->node.provider = STR("own");
    c->node.region = STR("sim");
    c->node.zone = node->zone;
    c->node.fabric = node->fabric;
    c->node.rack = node->rack;
    c->node.amounts = node->amounts;
    c->node.ask_present = true;
    c->node.ask = node->ask;
}

static void reservation_add(struct arm *a, const struct sim_reservation *r, engine_id project)
{
    struct engine_command *c = command_add(a, ENGINE_RESERVE);
    c->reserve = (struct engine_reserve){.project = project,
                                         .name = r->name,
                                         .choice = {.amounts = r->amounts, .speed_milli = 1000},
                                         .nodes = r->nodes,
                                         .from = START + r->from,
                                         .to = START + r->to,
                                         .limit_present = r->limit >= 0,
                                         .limit = r->limit,
                                         .keep_idle = r->keep_idle,
                                         .request_key = a->count};
}

static engine_id project_of(const struct arm *a, struct str tenant)
{
    uint64_t *found = tenant.size ? str_map_find(&a->projects, tenant) : NULL;
    return found ? *found : PROJECT_DEFAULT;
}

static void submit_add(struct arm *a, uint32_t index)
{
    const struct world_job *j = &a->w->jobs[index];
    const struct job *job = j->job;
    struct engine_command *c = command_add(a, ENGINE_SUBMIT);
    a->subjects[a->count - 1] = index;
    a->choices[a->count - 1] = (struct engine_choice){.sku = job->sku,
                                                      .accelerator = job->accelerator,
                                                      .amounts = job->amounts,
                                                      .speed_milli = 1000};
    c->submit = (struct engine_submit){.project = project_of(a, job->tenant),
                                       .body_hash = index + 1,
                                       .request_key = index + 1,
                                       .nodes = job->replicas,
                                       .choice_count = 1,
                                       .preemptible = j->preemptible,
                                       .limit_present = true,
                                       .limit = j->limit,
                                       .renew = true,
                                       .level = job->level,
                                       .notice = job->notice,
                                       .signal = 15,
                                       .restart_cost = job->restart_cost,
                                       .reservation = job->reservation};
}

/* Every replica of the newest attempt that has not ended says the same. */
static void report_add(struct arm *a, uint32_t index, enum engine_report_kind kind,
                       int64_t exit_code)
{
    const struct engine_workload *v = engine_workload(a->e, a->ids[index]);
    for (size_t i = 0; v && i < v->replica_count; i++) {
        const struct engine_replica *r = &v->replicas[i];
        if (r->state == REPLICA_ENDED)
            continue;
        struct engine_command *c = command_add(a, ENGINE_REPORT);
        c->report.kind = kind;
        c->report.node = r->node;
        c->report.workload = v->id;
        c->report.attempt = v->attempt;
        c->report.role = r->role;
        c->report.rank = r->rank;
        c->report.exit_code = exit_code;
        c->report.at = a->w->now + START;
    }
}

static void node_lose(struct arm *a, uint32_t index)
{
    struct engine_command *c = command_add(a, ENGINE_NODE_LOST_SET);
    c->on_node.node = a->nodes[index];
    c->on_node.last_contact = a->w->now + START;
}

static void event_tell(struct arm *a, const struct world_event *event)
{
    uint32_t i = event->index;
    switch (event->kind) {
    case WORLD_ARRIVED:
        submit_add(a, i);
        break;
    case WORLD_BEGUN:
        report_add(a, i, ENGINE_STARTED, 0);
        break;
    case WORLD_ENDED:
        report_add(a, i, ENGINE_ENDED, a->w->jobs[i].job->end == JOB_FAILS);
        break;
    case WORLD_LEFT: /* replicas on a lost node have gone with it: their report is refused as stale
                      */
        report_add(a, i, ENGINE_ENDED, 143);
        break;
    case WORLD_WITHDRAWN:
        command_add(a, ENGINE_CANCEL)->workload.workload = a->ids[i];
        report_add(a, i, ENGINE_ENDED, 143);
        break;
    case WORLD_NODE_DOWN:
        node_lose(a, i);
        break;
    case WORLD_NODE_BACK:
        node_register(a, i, (uint32_t)(a->w->now / 1000 + 1));
        break;
    }
}

/* ---- what was decided ---- */

static void start_order(struct arm *a, const struct engine_workload *v, uint32_t index)
{
    uint32_t *nodes = xcalloc(v->replica_count, sizeof *nodes);
    CHECK(v->replica_count == a->w->jobs[index].job->replicas);
    for (size_t i = 0; i < v->replica_count; i++)
        nodes[i] = (uint32_t)map_get(&a->node_of, v->replicas[i].node) - 1;
    world_start(a->w, index, nodes, 1000);
    xfree(nodes);
}

/* It lost its place before it could start: its agents have nothing to stop and say so at once. */
static void quit_add(struct arm *a, uint32_t index)
{
    ARRAY_RESERVE(a->quits, a->quit_count, a->quit_capacity);
    a->quits[a->quit_count++] = index;
}

/* The orders are read from the state as it is after the batch: what was assigned and taken away
 * again in it never started. */
static void workload_follow(struct arm *a, uint32_t index)
{
    const struct engine_workload *v = engine_workload(a->e, a->ids[index]);
    struct world_job *j = &a->w->jobs[index];
    if (v == NULL || j->state >= WORLD_FINISHED)
        return;
    bool held = j->state == WORLD_STARTING || j->state == WORLD_RUNNING;
    if (v->state == WORKLOAD_PREEMPTING && held)
        world_stop(a->w, index, v->deadline - START);
    else if (v->state == WORKLOAD_PREEMPTING && j->state == WORLD_WAITING)
        quit_add(a, index);
    else if (v->state == WORKLOAD_ASSIGNED && j->state == WORLD_WAITING && v->replicas[0].ready)
        start_order(a, v, index);
    else if (v->state == WORKLOAD_REJECTED || v->state == WORKLOAD_FAILED ||
             v->state == WORKLOAD_CANCELLED)
        if (j->state == WORLD_WAITING)
            world_reject(a->w, index);
}

/* What is posted, of every pool. */
static void samples_keep(struct arm *a)
{
    struct market_record *r = a->record;
    if (r->every == 0 || a->w->now < a->sample_at)
        return;
    a->sample_at = a->w->now + r->every;
    const struct market *m = engine_market(a->e);
    for (size_t i = 0; i < market_pool_count(m); i++) {
        struct market_pool_view pool = market_pool(m, i);
        ARRAY_RESERVE(r->samples, r->sample_count, r->sample_capacity);
        r->samples[r->sample_count++] = (struct market_sample){
            a->w->now,       (uint32_t)i,     pool.post,        pool.lowest_ask,
            pool.used_milli, pool.free_milli, pool.wanted_milli};
    }
}

static void money_follow(struct arm *a, const struct engine_event *event, uint64_t job)
{
    if (job)
        world_charge(a->w, (uint32_t)job - 1, event->amount);
    a->record->charged += event->amount;
    a->record->reserved += event->charge == CHARGE_RESERVATION ? event->amount : 0;
    a->record->resold += event->charge == CHARGE_RESALE ? event->amount : 0;
}

static void gap_keep(struct arm *a, const struct engine_event *event)
{
    a->record->surplus += event->surplus;
    a->record->bound += event->bound;
    a->record->gaps++;
}

static void event_follow(struct arm *a, const struct engine_event *event)
{
    uint64_t job = map_get(&a->jobs, event->workload);
    switch ((int)event->type) {
    case ENGINE_EVENT_WORKLOAD_PREEMPTING:
        a->record->preemptions += event->reason == REASON_PREEMPTED;
        a->record->moves += event->reason == REASON_RELOCATED;
        break;
    case ENGINE_EVENT_CHARGED:
        money_follow(a, event, job);
        return;
    case ENGINE_EVENT_GAP:
        gap_keep(a, event);
        return;
    case ENGINE_EVENT_RESERVATION:
        a->record->bought += event->state == RESERVATION_BOUGHT;
        break;
    default:
        break;
    }
    if (job)
        workload_follow(a, (uint32_t)job - 1);
}

static void outcomes_follow(struct arm *a)
{
    for (size_t i = 0; i < a->count; i++) {
        const struct engine_outcome *outcome = &a->result.outcomes[i];
        uint32_t job = a->subjects[i];
        if (job == UINT32_MAX)
            continue;
        if (outcome->code == ENGINE_OK) {
            a->ids[job] = outcome->id;
            map_set(&a->jobs, outcome->id, job + 1);
        } else if (a->w->jobs[job].state == WORLD_WAITING)
            world_reject(a->w, job);
    }
}

static void batch_apply(struct arm *a)
{
    for (size_t i = 0; i < a->count; i++)
        if (a->commands[i].type == ENGINE_SUBMIT)
            a->commands[i].submit.choices = &a->choices[i];
    engine_apply(a->e, a->w->now + START, a->commands, a->count, &a->result);
    a->record->batches++;
    a->tick_wanted = a->result.tick_wanted;
    outcomes_follow(a);
    a->count = 0;
    for (size_t i = 0; i < a->result.event_count; i++)
        event_follow(a, &a->result.events[i]);
}

/* ---- the scheduler ---- */

static void nodes_open(struct arm *a)
{
    for (uint32_t i = 0; i < a->w->cluster->count; i++)
        node_register(a, i, 0);
    engine_apply(a->e, START, a->commands, a->count, &a->result);
    for (uint32_t i = 0; i < a->w->cluster->count; i++) {
        CHECK(a->result.outcomes[i].code == ENGINE_OK);
        a->nodes[i] = a->result.outcomes[i].id;
        map_set(&a->node_of, a->nodes[i], i + 1);
    }
    a->count = 0;
}

/* A tick first: what they cost is told by the curve that it makes. */
static void reservations_open(struct arm *a)
{
    if (a->record->reservation_count == 0)
        return;
    command_add(a, ENGINE_TICK);
    engine_apply(a->e, START, a->commands, a->count, &a->result);
    a->count = 0;
    for (size_t i = 0; i < a->record->reservation_count; i++)
        reservation_add(a, &a->record->reservations[i], project_of(a, a->record->reservations[i].tenant));
    batch_apply(a);
}

static void project_open(struct arm *a, struct str tenant)
{
    if (tenant.size == 0 || str_map_find(&a->projects, tenant))
        return;
    struct engine_command c = {.type = ENGINE_PROJECT_CREATE, .project.name = tenant};
    engine_apply(a->e, START, &c, 1, &a->result);
    const struct engine_project *known = engine_project_named(a->e, tenant);
    str_map_set(&a->projects, tenant, known ? known->id : PROJECT_DEFAULT);
}

/* Who submits nothing may hold a reservation: in a project that others share, equal names would be refused. */
static void projects_open(struct arm *a)
{
    for (size_t i = 0; i < a->w->trace->count; i++)
        project_open(a, a->w->trace->items[i].tenant);
    for (size_t i = 0; i < a->record->reservation_count; i++)
        project_open(a, a->record->reservations[i].tenant);
}

static void *market_open(struct world *w, void *context)
{
    struct arm *a = xcalloc(1, sizeof *a);
    a->w = w;
    a->record = context;
    a->e = engine_new(w->options.seed);
    a->ids = xcalloc(MAX(w->trace->count, 1), sizeof *a->ids);
    a->nodes = xcalloc(MAX(w->cluster->count, 1), sizeof *a->nodes);
    for (size_t i = 0; i < a->record->setting_count; i++) {
        struct engine_command *c = command_add(a, ENGINE_SETTING_SET);
        c->setting.name = a->record->settings[i].name;
        c->setting.value = a->record->settings[i].value;
    }
    engine_apply(a->e, START, a->commands, a->count, &a->result);
    a->count = 0;
    projects_open(a);
    nodes_open(a);
    reservations_open(a);
    return a;
}

static void market_apply_events(void *own, const struct world_event *events, size_t count)
{
    struct arm *a = own;
    for (size_t i = 0; i < count; i++)
        event_tell(a, &events[i]);
    if (a->w->now >= a->tick_at) {
        command_add(a, ENGINE_TICK);
        a->tick_at = a->w->now + engine_setting(a->e, SETTING_TICK_MS);
        a->record->ticks++;
    }
    if (a->count == 0)
        command_add(a, ENGINE_WAKE);
    batch_apply(a);
    while (a->quit_count) {
        for (size_t i = 0; i < a->quit_count; i++)
            report_add(a, a->quits[i], ENGINE_ENDED, 143);
        a->quit_count = 0;
        batch_apply(a);
    }
    samples_keep(a);
    if (a->tick_wanted)
        a->tick_at = MIN(a->tick_at, a->w->now + TICK_LEAST_MS);
}

static time_ms market_due(const void *own)
{
    const struct arm *a = own;
    time_ms wake = engine_deadline(a->e);
    time_ms tick = a->w->live ? a->tick_at : TIME_NEVER;
    return MIN(tick, wake == TIME_NEVER ? wake : wake - START);
}

static void market_close(void *own)
{
    struct arm *a = own;
    a->record->digest = market_digest(engine_market(a->e));
    engine_check(a->e);
    engine_free(a->e);
    engine_result_fini(&a->result);
    xfree(a->commands);
    xfree(a->subjects);
    xfree(a->choices);
    xfree(a->quits);
    xfree(a->ids);
    xfree(a->nodes);
    map_fini(&a->jobs);
    map_fini(&a->node_of);
    str_map_fini(&a->projects);
    xfree(a);
}

const struct scheduler scheduler_market = {
    .name = "market",
    .doc = "the production engine: every workload bids",
    .open = market_open,
    .close = market_close,
    .apply = market_apply_events,
    .due = market_due,
};
