/* SPDX-License-Identifier: Apache-2.0 */
/* A server's journal as a trace. Its groups are applied again and compared with what the live
 * server decided; on the way each workload's bid is taken down as it was made, and its length from
 * the times at which its attempts started and ended: what it ran in all, over preemptions too,
 * since a journal does not say what was saved. What has not ended gets the length of an ended one
 * of its tenant that ran at least as long, drawn, and is marked. */
#include "sim/experiment.h"

#include "base/hash.h"
#include "base/map.h"
#include "base/memory.h"
#include "records/workload.h"
#include "server/recover.h"
#include "sim/draw.h"


struct life {
    time_ms began; /* of the attempt that runs; -1: none does */
    time_ms ended; /* -1: not yet */
};

struct past {
    struct journal_past *ret;
    struct life *lives; /* by job */
    size_t life_capacity;
    struct map jobs;       /* workload -> job + 1 */
    struct map down_since; /* node -> time + 1 */
};

static struct jobs *jobs_of(struct past *p)
{
    return &p->ret->experiment.jobs;
}

/* ---- workloads ---- */

static void life_begin(struct past *p, const struct engine_workload *v, const struct job *job)
{
    struct jobs *jobs = jobs_of(p);
    jobs_add(jobs, job);
    if (jobs->count > p->life_capacity) {
        p->life_capacity = MAX(2 * p->life_capacity, 64);
        p->lives = xrealloc(p->lives, p->life_capacity, sizeof *p->lives);
    }
    bool runs = v->state == WORKLOAD_RUNNING || v->state == WORKLOAD_PREEMPTING;
    p->lives[jobs->count - 1] = (struct life){runs ? p->ret->from : -1, -1};
    map_set(&p->jobs, v->id, jobs->count);
}

static struct str tenant_of(const struct engine *e, engine_id project)
{
    const struct engine_project *found = engine_project(e, project);
    return found ? found->name : (struct str){0};
}

static struct job job_of(const struct engine *e, const struct engine_workload *v, time_ms at)
{
    struct job job = job_default();
    job.name = v->name;
    job.tenant = tenant_of(e, v->project);
    job.submit = at;
    job.replicas = v->nodes;
    job.limit = v->limit;
    job.preemptible = v->preemptible;
    job.notice = v->notice;
    return job;
}

static void submit_take(struct past *p, const struct engine *e, const struct engine_submit *submit,
                        const struct engine_outcome *outcome)
{
    const struct engine_workload *v = engine_workload(e, outcome->id);
    if (outcome->code != ENGINE_OK || outcome->repeated || !v || submit->choice_count == 0)
        return;
    struct job job = job_of(e, v, v->submitted);
    job.sku = submit->choices[0].sku;
    job.accelerator = submit->choices[0].accelerator;
    job.amounts = submit->choices[0].amounts;
    job.level = submit->level;
    job.restart_cost = submit->restart_cost;
    job.estimate = submit->run_time;
    life_begin(p, v, &job);
}

/* What was there already when the journal begins. */
static void live_take(struct past *p, const struct engine *e)
{
    struct arena arena = {0};
    const struct engine_workload *v = NULL;
    while ((v = engine_workload_before(e, v ? v->id : 0, 0, WORKLOAD_STATES_LIVE))) {
        struct workload_request request;
        struct error err = {0};
        struct unpack in = unpack_from(v->request);
        arena_clear(&arena);
        if (record_unpack(&workload_request_record, &in, &arena, &request, &err) < 0 ||
            request.choices.count == 0)
            continue;
        const struct workload_choice *choice = request.choices.items;
        struct job job = job_of(e, v, p->ret->from);
        job.sku = choice->sku;
        job.accelerator = choice->accelerator;
        job.amounts = (struct market_amounts){choice->amounts.gpu_milli, choice->amounts.core_milli,
                                              choice->amounts.memory_mib, choice->amounts.disk_mib};
        job.level = (enum market_level)request.level;
        job.restart_cost = request.restart_cost_udollar;
        job.estimate = request.run_time_ms;
        life_begin(p, v, &job);
    }
    arena_fini(&arena);
}

static void life_pause(struct past *p, size_t index, time_ms at)
{
    struct life *life = &p->lives[index];
    if (life->began >= 0)
        jobs_of(p)->items[index].run += MAX(at - life->began, 0);
    life->began = -1;
}

static void life_end(struct past *p, size_t index, const struct engine_event *event)
{
    struct job *job = &jobs_of(p)->items[index];
    life_pause(p, index, event->at);
    p->lives[index].ended = event->at;
    job->end = event->type == ENGINE_EVENT_WORKLOAD_FINISHED ? JOB_FINISHES
               : event->type == ENGINE_EVENT_WORKLOAD_FAILED ? JOB_FAILS
                                                             : JOB_IS_CANCELLED;
    if (job->end == JOB_IS_CANCELLED && job->run == 0)
        job->patience = event->at - job->submit;
}

/* ---- nodes ---- */

static void node_lost(struct past *p, const struct engine_event *event)
{
    map_set(&p->down_since, event->node, (uint64_t)(event->at - p->ret->from) + 1);
}

static uint32_t node_index(const struct engine *e, engine_id node)
{
    uint32_t index = 0;
    while (index < engine_node_count(e) && engine_node_at(e, index)->id != node)
        index++;
    return index;
}

static void node_back(struct past *p, const struct engine *e, const struct engine_event *event)
{
    struct experiment *x = &p->ret->experiment;
    uint64_t since = map_get(&p->down_since, event->node);
    if (since == 0)
        return;
    ARRAY_RESERVE(x->failures, x->failure_count, x->failure_capacity);
    x->failures[x->failure_count++] = (struct world_failure){
        node_index(e, event->node), (time_ms)since - 1, event->at - p->ret->from};
    map_remove(&p->down_since, event->node);
}

static void nodes_take(struct past *p, const struct engine *e)
{
    for (size_t i = 0; i < engine_node_count(e); i++) {
        const struct engine_node *node = engine_node_at(e, i);
        cluster_add(&p->ret->experiment.cluster,
                    &(struct cluster_node){.name = node->name,
                                           .sku = node->sku,
                                           .accelerator = node->accelerator,
                                           .zone = node->zone,
                                           .fabric = node->fabric,
                                           .rack = node->rack,
                                           .amounts = node->amounts,
                                           .ask = node->ask,
                                           .on_demand = -1});
    }
}

/* ---- the journal ---- */

static void event_take(struct past *p, const struct engine *e, const struct engine_event *event)
{
    size_t job = (size_t)map_get(&p->jobs, event->workload);
    if (event->type == ENGINE_EVENT_CHARGED)
        p->ret->charged += event->amount;
    if (event->type == ENGINE_EVENT_NODE_LOST)
        node_lost(p, event);
    if (event->type == ENGINE_EVENT_NODE_REGISTERED)
        node_back(p, e, event);
    if (job == 0)
        return;
    switch ((int)event->type) {
    case ENGINE_EVENT_WORKLOAD_STARTED:
        p->lives[job - 1].began = event->at;
        break;
    case ENGINE_EVENT_WORKLOAD_WAITING:
        life_pause(p, job - 1, event->at);
        break;
    case ENGINE_EVENT_WORKLOAD_FINISHED:
    case ENGINE_EVENT_WORKLOAD_FAILED:
    case ENGINE_EVENT_WORKLOAD_CANCELLED:
    case ENGINE_EVENT_WORKLOAD_REJECTED:
        life_end(p, job - 1, event);
        break;
    default:
        break;
    }
}

static void follow(void *context, const struct engine *e, const struct recover_group *group)
{
    struct past *p = context;
    if (group == NULL) {
        p->ret->from = p->ret->to = engine_now(e);
        live_take(p, e);
        return;
    }
    if (p->ret->from == 0)
        p->ret->from = group->time;
    p->ret->to = group->time;
    for (size_t i = 0; i < group->count; i++)
        if (group->commands[i].type == ENGINE_SUBMIT)
            submit_take(p, e, &group->commands[i].submit, &group->result->outcomes[i]);
    for (size_t i = 0; i < group->result->event_count; i++)
        event_take(p, e, &group->result->events[i]);
}

/* One of the tenant's ended jobs that ran at least so long; how long it ran, or what this one has
 * so far where there is none. */
static time_ms length_draw(const struct past *p, const struct job *job, uint64_t *random)
{
    const struct jobs *jobs = &p->ret->experiment.jobs;
    uint64_t seen = 0;
    time_ms found = job->run;
    for (size_t i = 0; i < jobs->count; i++) {
        const struct job *other = &jobs->items[i];
        if (p->lives[i].ended >= 0 && other->end == JOB_FINISHES && other->run >= job->run &&
            str_equal(other->tenant, job->tenant) && draw_below(random, ++seen) == 0)
            found = other->run;
    }
    return found;
}

static void lengths_complete(struct past *p, uint64_t seed)
{
    struct jobs *jobs = jobs_of(p);
    uint64_t random = hash_u64(seed + 2);
    time_ms *lengths = xcalloc(MAX(jobs->count, 1), sizeof *lengths);
    for (size_t i = 0; i < jobs->count; i++)
        if (p->lives[i].ended < 0)
            life_pause(p, i, p->ret->to);
    for (size_t i = 0; i < jobs->count; i++)
        lengths[i] =
            p->lives[i].ended < 0 ? length_draw(p, &jobs->items[i], &random) : jobs->items[i].run;
    for (size_t i = 0; i < jobs->count; i++) {
        jobs->items[i].drawn = p->lives[i].ended < 0;
        jobs->items[i].run = MAX(lengths[i], 1);
    }
    xfree(lengths);
}

int journal_past_read(struct journal_past *ret, const char *data, uint64_t seed, struct error *err)
{
    struct recovered at = {0};
    *ret = (struct journal_past){.experiment.world = world_options_default()};
    struct past p = {.ret = ret};
    struct recover_options options = {
        .data = data, .oldest = true, .follow = follow, .context = &p};
    int status = recover(&at, &options, err);
    if (status == 0) {
        nodes_take(&p, at.engine);
        lengths_complete(&p, seed);
        jobs_settle(&ret->experiment.jobs, INT64_MAX);
        ret->digest = at.digest;
        ret->seq = at.seq;
        ret->groups = at.groups;
        ret->experiment.world.failures = ret->experiment.failures;
        ret->experiment.world.failure_count = ret->experiment.failure_count;
    }
    engine_free(at.engine);
    xfree(p.lives);
    map_fini(&p.jobs);
    map_fini(&p.down_since);
    return status;
}
