/* SPDX-License-Identifier: Apache-2.0 */
/* The fleet: nodes with what is on them, draining, registration and contact of many at once. */
#include "server/api_route.h"

#include "wire/record.h"

#define PAGE_DEFAULT 1000
#define PAGE_MOST 10000

/* ---- a node as a record ---- */

static const char *node_state_name(enum engine_node_state state)
{
    switch (state) {
    case NODE_UP:
        return "up";
    case NODE_DRAINING:
        return "draining";
    case NODE_LOST:
        return "lost";
    }
    return "";
}

static void node_replicas(const struct render *r, const struct engine_node *node,
                          struct api_node *ret)
{
    struct api_node_replica *items =
        arena_alloc(r->arena, MAX(node->replica_count, 1) * sizeof *items);
    ret->replicas = (struct record_list){.items = items};
    for (size_t i = 0; i < node->replica_count; i++) {
        const struct engine_replica_ref *ref = &node->replicas[i];
        const struct engine_workload *w = engine_workload(r->engine, ref->workload);
        const struct engine_replica *replica = replica_of(w, ref);
        if (!replica)
            continue;
        items[ret->replicas.count++] = (struct api_node_replica){
            .workload = arena_id(r->arena, r->ids, "work", ref->workload),
            .name = w->name,
            .project = render_project(r, w->project),
            .attempt = ref->attempt,
            .role = ref->role,
            .rank = ref->rank,
            .state = str_from(replica->state == REPLICA_ASSIGNED ? "assigned" : "running"),
            .gpus = render_gpus(r, replica->gpus),
            .amounts = render_amounts(&replica->amounts),
        };
    }
}

static struct record_list node_gpus(const struct render *r, const struct engine_node *node)
{
    struct agent_gpu *items = arena_alloc(r->arena, MAX(node->gpu_count, 1) * sizeof *items);
    for (size_t i = 0; i < node->gpu_count; i++)
        items[i] = (struct agent_gpu){.index = node->gpus[i].index,
                                      .uuid = node->gpus[i].uuid,
                                      .model = node->gpus[i].model,
                                      .memory_mib = node->gpus[i].memory_mib};
    return (struct record_list){items, node->gpu_count};
}

static struct record_list text_list(const struct render *r, const struct str *texts, size_t count)
{
    struct str *items = arena_alloc(r->arena, MAX(count, 1) * sizeof *items);
    for (size_t i = 0; i < count; i++)
        items[i] = texts[i];
    return (struct record_list){items, count};
}

static void render_node(struct api_call *call, const struct render *r,
                        const struct engine_node *node, struct api_node *ret)
{
    struct market_amounts free = {0};
    market_node_free(engine_market(r->engine), node->id, &free);
    *ret = (struct api_node){
        .id = arena_id(r->arena, r->ids, "node", node->id),
        .name = node->name,
        .state = str_from(node_state_name(node->state)),
        .sku = node->sku,
        .accelerator = node->accelerator,
        .address = node->address,
        .pool = pool_name(r->engine, node->pool, r->arena),
        .place = {node->provider, node->region, node->zone, node->fabric, node->rack},
        .labels = text_list(r, node->labels, node->label_count),
        .amounts = render_amounts(&node->amounts),
        .free = render_amounts(&free),
        .ask_udollar_per_hour = node->ask,
        .contact_age_ms = core_contact_age(call->api->core, node->id),
        .version = node->version,
        .unconfined = node->unconfined,
        .missing = text_list(r, node->missing, node->missing_count),
        .gpus = node_gpus(r, node),
    };
    node_replicas(r, node, ret);
}

/* ---- reads ---- */

/* The first node with an id above `after`. */
static size_t node_index_after(const struct engine *e, engine_id after)
{
    size_t low = 0, high = engine_node_count(e);
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (engine_node_at(e, middle)->id > after)
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

void route_node_list(struct api_call *call, const struct core_view *view)
{
    struct str cursor = http_request_query(call->request, "cursor");
    uint64_t after = 0;
    int64_t limit = PAGE_DEFAULT;
    if (cursor.size && !id_parse(call->api->ids, "node", cursor, &after)) {
        call_refuse(call, 400, "cursor", "not one that an answer gave");
        return;
    }
    if (!call_number(call, "limit", &limit, 1, PAGE_MOST))
        return;
    size_t first = node_index_after(view->engine, after),
           count = engine_node_count(view->engine) - first;
    size_t taken = MIN(count, (size_t)limit);
    struct api_node *rows = call_alloc(call, MAX(taken, 1) * sizeof *rows);
    struct render render = call_render(call, view);
    for (size_t i = 0; i < taken; i++)
        render_node(call, &render, engine_node_at(view->engine, first + i), &rows[i]);
    struct api_nodes list = {.nodes = {rows, taken}};
    if (taken < count)
        list.cursor = rows[taken - 1].id;
    call_answer(call, 200, &api_nodes_record, &list);
}

/* By id or name; NULL: refused. */
static const struct engine_node *node_named(struct api_call *call, const struct engine *e)
{
    uint64_t id = 0;
    const struct engine_node *node = id_parse(call->api->ids, "node", call->name, &id)
                                         ? engine_node(e, id)
                                         : engine_node_named(e, call->name);
    if (!node)
        call_not_found(call, "node");
    return node;
}

void route_node_get(struct api_call *call, const struct core_view *view)
{
    const struct engine_node *node = node_named(call, view->engine);
    if (!node)
        return;
    struct api_node record;
    struct render render = call_render(call, view);
    render_node(call, &render, node, &record);
    call_answer(call, 200, &api_node_record, &record);
}

/* ---- changes ---- */

static void changed_then(struct api_call *call, const struct core_answer *answer)
{
    const engine_id *id = call->own;
    if (answer->outcomes[0].code != ENGINE_OK) {
        call_refuse_outcome(call, answer->engine, &answer->outcomes[0]);
        return;
    }
    const struct engine_node *node = engine_node(answer->engine, *id);
    struct api_changed changed = {.seq = (int64_t)answer->seq,
                                  .state = str_from(node ? node_state_name(node->state) : NULL)};
    call_answer(call, 200, &api_changed_record, &changed);
}

static void change(struct api_call *call, const struct core_view *view,
                   enum engine_command_type type, bool evict)
{
    const struct engine_node *node = node_named(call, view->engine);
    if (!node)
        return;
    struct engine_command *command = call_alloc(call, sizeof *command);
    command->type = type;
    command->on_node.node = node->id;
    command->on_node.evict = evict;
    call->own = &command->on_node.node;
    call_push(call, command, 1, changed_then);
}

void route_node_drain(struct api_call *call, const struct core_view *view)
{
    const struct api_drain *drain = call->input;
    change(call, view, ENGINE_NODE_DRAIN, drain->evict);
}

void route_node_undrain(struct api_call *call, const struct core_view *view)
{
    change(call, view, ENGINE_NODE_UNDRAIN, false);
}

/* ---- many at once ---- */

static void add_then(struct api_call *call, const struct core_answer *answer)
{
    const struct api_nodes_add *add = call->input;
    size_t count = add->nodes.count;
    struct str *ids = call_alloc(call, count * sizeof *ids);
    for (size_t i = 0; i < count; i++) {
        const struct engine_outcome *outcome = &answer->outcomes[i];
        if (outcome->code != ENGINE_OK) {
            struct error err = {0}, whole = {0};
            int status = outcome_error(answer->engine, outcome, &err);
            error_set(&whole, err.code, "nodes[%zu]%s%s", i, outcome->field[0] ? "." : ": ",
                      err.text);
            call_refuse_error(call, status, &whole);
            return;
        }
        ids[i] = call_id(call, "node", outcome->id);
    }
    struct api_nodes_added added = {.seq = (int64_t)answer->seq, .nodes = {ids, count}};
    call_answer(call, 200, &api_nodes_added_record, &added);
}

void route_node_add(struct api_call *call)
{
    const struct api_nodes_add *add = call->input;
    const struct agent_facts *facts = add->nodes.items;
    if (add->nodes.count == 0) {
        call_refuse(call, 400, "nodes", "empty, at least one is needed");
        return;
    }
    struct engine_command *commands = call_alloc(call, add->nodes.count * sizeof *commands);
    for (size_t i = 0; i < add->nodes.count; i++)
        node_command(call, &facts[i], &commands[i]);
    call_push(call, commands, add->nodes.count, add_then);
}

void route_node_renew(struct api_call *call)
{
    const struct api_renew *renew = call->input;
    const struct str *ids = renew->nodes.items;
    struct str *unknown = call_alloc(call, MAX(renew->nodes.count, 1) * sizeof *unknown);
    struct api_renewed renewed = {.unknown = {.items = unknown}};
    for (size_t i = 0; i < renew->nodes.count; i++) {
        uint64_t id;
        if (id_parse(call->api->ids, "node", ids[i], &id) && core_renew(call->api->core, id))
            renewed.renewed++;
        else
            unknown[renewed.unknown.count++] = ids[i];
    }
    call_answer(call, 200, &api_renewed_record, &renewed);
}
