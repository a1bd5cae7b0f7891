/* SPDX-License-Identifier: Apache-2.0 */
#include "server/projection.h"

#include "records/workload.h"

#include <stdio.h>

struct str request_json(struct str request, struct arena *arena)
{
    struct workload_request decoded;
    struct unpack in = unpack_from(request);
    if (request.size == 0 || record_unpack(&workload_request_record, &in, arena, &decoded, NULL) < 0)
        return STR("");
    struct buf json = BUF_INIT(BUF_LIMIT_DEFAULT);
    record_to_json(&workload_request_record, &decoded, AUDIENCE_PEOPLE, &json);
    struct str kept = arena_str(arena, buf_str(&json));
    buf_fini(&json);
    return kept;
}

struct table_node node_row(const struct engine *e, engine_id id, struct arena *arena)
{
    const struct engine_node *node = id ? engine_node(e, id) : NULL;
    static const char *const states[] = {"up", "draining", "lost"};
    if (node == NULL)
        return (struct table_node){0};
    return (struct table_node){
        .id = node->id,
        .name = arena_str(arena, node->name),
        .state = str_from(states[node->state]),
        .sku = arena_str(arena, node->sku),
        .pool = pool_name(e, node->pool, arena),
        .address = arena_str(arena, node->address),
        .provider = arena_str(arena, node->provider),
        .region = arena_str(arena, node->region),
        .zone = arena_str(arena, node->zone),
        .rack = arena_str(arena, node->rack),
        .ask_udollar_per_hour = node->ask,
        .registered_ms = node->registered,
        .changed_ms = node->changed,
    };
}

/* ---- workloads -------------------------------------------------------------------------------------------- */

static const char *workload_columns(enum engine_event_type type)
{
    switch ((int)type) {
    case ENGINE_EVENT_WORKLOAD_ASSIGNED:
        return "state reason attempt nodes units_milli pool rate_udollar_per_hour deadline_ms exited exit_code signal exit_rank oom last_lines";
    case ENGINE_EVENT_WORKLOAD_STARTED:
        return "state reason attempt started_ms";
    case ENGINE_EVENT_WORKLOAD_PREEMPTING:
        return "state reason deadline_ms";
    case ENGINE_EVENT_WORKLOAD_WAITING:
        return "state reason deadline_ms rate_udollar_per_hour exited exit_code signal exit_rank oom last_lines";
    case ENGINE_EVENT_WORKLOAD_FINISHED:
    case ENGINE_EVENT_WORKLOAD_FAILED:
    case ENGINE_EVENT_WORKLOAD_CANCELLED:
    case ENGINE_EVENT_WORKLOAD_REJECTED:
        return "state reason ended_ms deadline_ms rate_udollar_per_hour exited exit_code signal exit_rank oom last_lines";
    case ENGINE_EVENT_WORKLOAD_CHANGED:
        return "limit_udollar_per_hour";
    case ENGINE_EVENT_CHARGED:
        return "+cost_udollar";
    default:
        return NULL;
    }
}

static struct table_workload workload_row(const struct projection *p, const struct api_event *shown)
{
    const struct engine_event *event = p->event;
    bool ended = workload_state_ended((enum engine_workload_state)event->state);
    return (struct table_workload){
        .id = event->workload,
        .name = p->names->workload,
        .project = p->names->project,
        .state = shown->state,
        .reason = shown->reason,
        .attempt = event->attempt,
        .nodes = event->nodes,
        .units_milli = event->units_milli,
        .pool = p->names->pool,
        .limit_udollar_per_hour = event->limit,
        .rate_udollar_per_hour = event->rate,
        .cost_udollar = event->type == ENGINE_EVENT_CHARGED ? event->amount : 0,
        .started_ms = event->type == ENGINE_EVENT_WORKLOAD_STARTED ? event->from : 0,
        .ended_ms = ended ? event->at : 0,
        .deadline_ms = event->deadline,
        .exited = event->exited,
        .oom = event->oom,
        .exit_code = event->exit_code,
        .signal = event->signal,
        .exit_rank = event->exit_rank,
        .last_lines = ended ? event->text : STR(""),
    };
}

static void submitted_fill(const struct projection *p, struct table_workload *row)
{
    row->submitted_ms = p->event->at;
    if (p->submit == NULL)
        return;
    row->name = p->submit->name;
    row->kind = str_from(workload_kind_name(p->submit->deadline != 0, p->submit->preemptible));
    row->request = request_json(p->submit->request, p->arena);
}

static int workload_put(struct tables *tables, const struct projection *p, const struct api_event *shown, struct error *err)
{
    bool submitted = p->event->type == ENGINE_EVENT_WORKLOAD_SUBMITTED;
    const char *columns = workload_columns(p->event->type);
    if (columns == NULL && !submitted)
        return 0;
    struct table_workload row = workload_row(p, shown);
    if (submitted)
        submitted_fill(p, &row);
    return tables_put(tables, TABLE_WORKLOAD, &row, columns, err);
}

static int step_put(struct tables *tables, const struct projection *p, const struct api_event *shown, struct error *err)
{
    struct str prefix = STR("workload_");
    struct table_step row = {.seq = p->position.seq, .position = p->position.position, .workload = p->event->workload,
                             .at_ms = p->event->at, .attempt = p->event->attempt, .reason = shown->reason, .text = shown->text,
                             .type = {shown->type.data + prefix.size, shown->type.size - prefix.size}};
    return tables_put(tables, TABLE_STEP, &row, NULL, err);
}

/* ---- the others --------------------------------------------------------------------------------------------- */

static struct str gpus_text(uint64_t mask, struct arena *arena)
{
    char text[256];
    size_t size = 0;
    for (int i = 0; i < MARKET_NODE_GPUS_MAX; i++)
        if (mask >> i & 1)
            size += (size_t)snprintf(text + size, sizeof text - size, size ? ",%d" : "%d", i);
    return arena_str(arena, (struct str){text, size});
}

static int placement_put(struct tables *tables, const struct projection *p, struct error *err)
{
    const struct engine_event *event = p->event;
    struct table_placement row = {.workload = event->workload, .attempt = event->attempt, .role = event->role, .rank = event->rank,
                                  .node = event->node, .node_name = p->names->node, .address = p->node->address,
                                  .gpus = gpus_text((uint64_t)event->gpus, p->arena)};
    const char *columns = NULL;
    if (event->type == ENGINE_EVENT_REPLICA_PLACED) {
        row.state = STR("assigned");
    } else if (event->type == ENGINE_EVENT_REPLICA_STARTED) {
        row.state = STR("running");
        row.started_ms = event->from;
        columns = "state started_ms";
    } else {
        row.state = STR("ended");
        row.ended_ms = event->at;
        row.ended = true;
        row.exit_code = event->exit_code;
        row.signal = event->signal;
        row.oom = event->oom;
        columns = "state ended_ms ended exit_code signal oom";
    }
    return tables_put(tables, TABLE_PLACEMENT, &row, columns, err);
}

static int price_put(struct tables *tables, const struct projection *p, struct error *err)
{
    const struct engine_event *event = p->event;
    struct table_price row = {.pool = p->names->pool, .at_ms = event->at, .price_udollar_per_hour = event->marginal + event->scarcity,
                              .marginal_udollar_per_hour = event->marginal, .scarcity_udollar_per_hour = event->scarcity,
                              .guide_udollar_per_hour = event->guide, .free_milli = event->free_milli,
                              .used_milli = event->used_milli, .wanted_milli = event->wanted_milli};
    return tables_put(tables, TABLE_PRICE, &row, NULL, err);
}

static int entry_put(struct tables *tables, const struct projection *p, struct error *err)
{
    struct table_entry row = {.seq = p->position.seq, .position = p->position.position, .at_ms = p->event->at,
                              .project = p->names->project, .debit = p->names->debit, .credit = p->names->credit,
                              .amount_udollar = p->event->amount, .workload = p->event->workload, .pool = p->names->pool};
    return tables_put(tables, TABLE_ENTRY, &row, NULL, err);
}

static int charge_put(struct tables *tables, const struct projection *p, struct error *err)
{
    const struct engine_event *event = p->event;
    struct table_charge row = {.seq = p->position.seq, .position = p->position.position, .workload = event->workload,
                               .project = p->names->project, .attempt = event->attempt, .kind = str_from(charge_name(event->charge)),
                               .pool = p->names->pool, .from_ms = event->from, .to_ms = event->to, .units_milli = event->units_milli,
                               .rate_udollar_per_hour = event->rate, .amount_udollar = event->amount};
    return tables_put(tables, TABLE_CHARGE, &row, NULL, err);
}

static int event_put(struct tables *tables, const struct projection *p, const struct api_event *shown, struct error *err)
{
    struct buf json = BUF_INIT(1 << 20);
    record_to_json(&api_event_record, shown, AUDIENCE_PEOPLE, &json);
    struct table_event row = {.seq = p->position.seq, .position = p->position.position, .type = shown->type,
                              .workload = p->event->workload, .node = p->event->node, .project = p->names->project,
                              .at_ms = p->event->at, .json = buf_str(&json)};
    int r = tables_put(tables, TABLE_EVENT, &row, NULL, err);
    buf_fini(&json);
    return r;
}

static int special_put(struct tables *tables, const struct projection *p, struct error *err)
{
    switch ((int)p->event->type) {
    case ENGINE_EVENT_REPLICA_PLACED:
    case ENGINE_EVENT_REPLICA_STARTED:
    case ENGINE_EVENT_REPLICA_ENDED:
        return placement_put(tables, p, err);
    case ENGINE_EVENT_PRICE_POSTED:
        return price_put(tables, p, err);
    case ENGINE_EVENT_ENTRY:
        return entry_put(tables, p, err);
    case ENGINE_EVENT_CHARGED:
        return charge_put(tables, p, err);
    case ENGINE_EVENT_NODE_REGISTERED:
    case ENGINE_EVENT_NODE_CHANGED:
    case ENGINE_EVENT_NODE_LOST:
        return p->node->id ? tables_put(tables, TABLE_NODE, p->node, NULL, err) : 0;
    default:
        return 0;
    }
}

int projection_put(struct tables *tables, const struct projection *p, struct error *err)
{
    struct api_event shown;
    event_render_named(p->key, p->event, p->names, p->arena, &shown);
    int r = workload_put(tables, p, &shown, err);
    if (r == 0 && (p->event->type <= ENGINE_EVENT_WORKLOAD_CHANGED || p->event->type == ENGINE_EVENT_WORKLOAD_QUOTED))
        r = step_put(tables, p, &shown, err);
    if (r == 0)
        r = special_put(tables, p, err);
    return r < 0 ? r : event_put(tables, p, &shown, err);
}
