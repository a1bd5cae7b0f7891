/* SPDX-License-Identifier: Apache-2.0 */
/* What stands in the state, as records. */
#include "server/api_internal.h"

#include "wire/unit.h"

struct render call_render(struct api_call *call, const struct core_view *view)
{
    return (struct render){
        .engine = view->engine, .ids = call->api->ids, .arena = call_arena(call), .now = view->now,
        .region_names = str_from(call->api->options.region_names)};
}

struct render answer_render(struct api_call *call, const struct core_answer *answer)
{
    return (struct render){
        .engine = answer->engine, .ids = call->api->ids, .arena = call_arena(call), .now = answer->now,
        .region_names = str_from(call->api->options.region_names)};
}

void money_append(struct buf *out, udollar amount)
{
    buf_append_text(out, amount < 0 ? "-$" : "$");
    money_print(out, amount < 0 ? -amount : amount);
}

struct str render_project(const struct render *r, engine_id project)
{
    const struct engine_project *found = engine_project(r->engine, project);
    return found ? arena_str(r->arena, found->name) : (struct str){0};
}

struct record_list render_gpus(const struct render *r, uint64_t mask)
{
    struct record_list list = {0};
    if (mask == 0)
        return list;
    int64_t *items = arena_alloc(r->arena, MARKET_NODE_GPUS_MAX * sizeof *items);
    for (int64_t i = 0; i < MARKET_NODE_GPUS_MAX; i++)
        if (mask >> i & 1)
            items[list.count++] = i;
    list.items = items;
    return list;
}

const struct engine_replica *replica_of(const struct engine_workload *w,
                                        const struct engine_replica_ref *ref)
{
    if (!w || w->attempt != ref->attempt)
        return NULL;
    for (size_t low = 0, high = w->replica_count; low < high;) {
        size_t middle = low + (high - low) / 2;
        const struct engine_replica *found = &w->replicas[middle];
        int r = COMPARE(found->role, ref->role);
        r = r ? r : COMPARE(found->rank, ref->rank);
        if (r == 0)
            return found;
        if (r < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

struct agent_amounts render_amounts(const struct market_amounts *amounts)
{
    return (struct agent_amounts){.gpu_milli = amounts->gpu_milli,
                                  .core_milli = amounts->core_milli,
                                  .memory_mib = amounts->memory_mib,
                                  .disk_mib = amounts->disk_mib};
}

bool pool_find(const struct engine *e, market_id pool, struct market_pool_view *ret)
{
    const struct market *m = engine_market(e);
    for (size_t low = 0, high = market_pool_count(m); low < high;) {
        size_t middle = low + (high - low) / 2;
        *ret = market_pool(m, middle);
        if (ret->pool == pool)
            return true;
        if (ret->pool < pool)
            low = middle + 1;
        else
            high = middle;
    }
    *ret = (struct market_pool_view){0};
    return false;
}

static void render_money(const struct render *r, const struct engine_workload *w,
                         struct api_workload *ret)
{
    struct market_bid_view bid;
    if (!market_bid_view(engine_market(r->engine), w->id, r->now, &bid))
        return;
    ret->cost_udollar = bid.charged_now;
    ret->tier = (int32_t)bid.tier;
    ret->tight = bid.tight;
    if (bid.state == BID_RUNNING || bid.state == BID_VACATING)
        ret->rate_udollar_per_hour = bid.rate;
}

void render_workload(const struct render *r, const struct engine_workload *w,
                     struct api_workload *ret)
{
    *ret = (struct api_workload){
        .id = arena_id(r->arena, r->ids, "work", w->id),
        .name = arena_str(r->arena, w->name),
        .project = render_project(r, w->project),
        .state = str_from(workload_state_name(w->state)),
        .kind = str_from(workload_kind_name(w->due, w->preemptible)),
        .attempt = w->attempt,
        .nodes = w->nodes,
        .units_milli = w->units_milli,
        .pool = pool_name(r->engine, w->pool, r->arena),
        .limit_udollar_per_hour = w->limit,
        .submitted_ms = w->submitted,
        .started_ms = w->started,
        .ended_ms = w->ended,
        .deadline_ms = w->deadline,
        .reason = str_from(reason_name(w->reason)),
        .exited = w->exited,
        .exit_code = w->exit_code,
        .signal = w->exit_signal,
        .exit_rank = w->exit_rank,
        .oom = w->oom,
        .last_lines = arena_str(r->arena, w->last_lines),
    };
    render_money(r, w, ret);
}
