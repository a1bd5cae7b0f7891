/* SPDX-License-Identifier: Apache-2.0 */
/* Workloads as they are: what lives or ended lately stands in the state, the rest in the tables. */
#include "server/api_route.h"
#include "server/api_submit.h"

#include "wire/json.h"
#include "wire/record.h"

#define PAGE_DEFAULT 100
#define PAGE_MOST 1000
#define TABLE_PAGE 256
#define TABLE_PAGES_MOST                                                                           \
    64 /* rows of other states that one request may walk over: this many pages */
#define ALL_STATES (WORKLOAD_STATES_ENDED | WORKLOAD_STATES_LIVE)

/* ---- rows of the tables ---- */

static void past_workload(const struct render *r, const struct table_workload *row,
                          struct api_workload *ret)
{
    *ret = (struct api_workload){
        .id = arena_id(r->arena, r->ids, "work", row->id),
        .name = row->name,
        .project = row->project,
        .state = row->state,
        .kind = row->kind,
        .attempt = row->attempt,
        .nodes = row->nodes,
        .units_milli = row->units_milli,
        .pool = row->pool,
        .limit_udollar_per_hour = row->limit_udollar_per_hour,
        .cost_udollar = row->cost_udollar,
        .submitted_ms = row->submitted_ms,
        .started_ms = row->started_ms,
        .ended_ms = row->ended_ms,
        .reason = row->reason,
        .exited = row->exited,
        .exit_code = row->exit_code,
        .signal = row->signal,
        .exit_rank = row->exit_rank,
        .oom = row->oom,
        .last_lines = row->last_lines,
    };
}

static bool sees_named(const struct api_call *call, const struct engine *e, struct str project)
{
    if (call->who.project == 0)
        return true;
    const struct engine_project *own = engine_project(e, call->who.project);
    return own && str_equal(own->name, project);
}

bool call_past_workload(struct api_call *call, const struct core_view *view,
                        const struct table_workload **ret)
{
    struct table_page page = {0};
    engine_id id = call_workload_id(call);
    const struct engine_workload *live = id ? engine_workload(view->engine, id) : NULL;
    if (id && !live &&
        !view_read(call, view, &(struct table_query){.table = TABLE_WORKLOAD, .id = id}, &page))
        return false;
    const struct table_workload *row = page.count ? page.rows : NULL;
    if (!row || !sees_named(call, view->engine, row->project)) {
        call_not_found(call, "workload");
        return false;
    }
    *ret = row;
    return true;
}

/* ---- the list: two orders of ids, newest first, become one ---- */

struct merge {
    struct api_call *call;
    const struct core_view *view;
    struct render render;
    engine_id project;
    struct str project_name;
    unsigned states;
    uint64_t before_live, before_past; /* ids below these are still to come */
    const struct engine_workload *live;
    const struct table_workload *past;
    struct table_page page;
    size_t at;
    unsigned pages;
    bool past_done;
};

static struct str only_ended_state(unsigned states)
{
    for (int s = WORKLOAD_FINISHED; s <= WORKLOAD_REJECTED; s++)
        if (states == 1u << s)
            return str_from(workload_state_name((enum engine_workload_state)s));
    return (struct str){0};
}

static bool state_wanted(unsigned states, struct str name)
{
    for (int s = WORKLOAD_WAITING; s < WORKLOAD_STATE_COUNT; s++)
        if (states & 1u << s && str_is(name, workload_state_name((enum engine_workload_state)s)))
            return true;
    return false;
}

static bool next_page(struct merge *m)
{
    m->at = 0;
    m->page = (struct table_page){0};
    if (m->past_done || !(m->states & WORKLOAD_STATES_ENDED) || m->pages++ == TABLE_PAGES_MOST) {
        m->past_done = true;
        return true;
    }
    struct table_query query = {.table = TABLE_WORKLOAD,
                                .project = m->project_name,
                                .before = m->before_past,
                                .state = only_ended_state(m->states),
                                .limit = TABLE_PAGE};
    if (!view_read(m->call, m->view, &query, &m->page))
        return false;
    m->past_done = !m->page.more;
    if (m->page.count)
        m->before_past = ((const struct table_workload *)m->page.rows)[m->page.count - 1].id;
    return true;
}

/* The state knows better than the tables about what stands in it. */
static bool next_past(struct merge *m)
{
    for (m->past = NULL;;) {
        const struct table_workload *rows = m->page.rows;
        for (; m->at < m->page.count; m->at++)
            if (!engine_workload(m->view->engine, rows[m->at].id) &&
                state_wanted(m->states, rows[m->at].state)) {
                m->past = &rows[m->at++];
                return true;
            }
        if (m->past_done)
            return true;
        if (!next_page(m))
            return false;
    }
}

static void next_live(struct merge *m)
{
    m->live = engine_workload_before(m->view->engine, m->before_live, m->project, m->states);
    if (m->live)
        m->before_live = m->live->id;
}

/* What an ended one cost is known to the tables alone. */
static bool add_cost(struct merge *m, const struct engine_workload *w, struct api_workload *row)
{
    struct table_page page;
    if (!workload_state_ended(w->state) || row->cost_udollar)
        return true;
    if (!view_read(m->call, m->view, &(struct table_query){.table = TABLE_WORKLOAD, .id = w->id},
                   &page))
        return false;
    if (page.count)
        row->cost_udollar = ((const struct table_workload *)page.rows)[0].cost_udollar;
    return true;
}

/* False: refused. *ret_more: something was there. */
static bool take(struct merge *m, struct api_workload *ret, bool *ret_more)
{
    *ret_more = m->live || m->past;
    if (m->live && (!m->past || m->live->id > m->past->id)) {
        render_workload(&m->render, m->live, ret);
        bool ok = add_cost(m, m->live, ret);
        next_live(m);
        return ok;
    }
    if (!m->past)
        return true;
    past_workload(&m->render, m->past, ret);
    return next_past(m);
}

static bool parse_states(struct api_call *call, unsigned *ret)
{
    struct str rest = http_request_query(call->request, "state");
    *ret = rest.size ? 0 : ALL_STATES;
    while (rest.size) {
        struct str name = str_cut(&rest, ',');
        int s = WORKLOAD_WAITING;
        while (s < WORKLOAD_STATE_COUNT &&
               !str_is(name, workload_state_name((enum engine_workload_state)s)))
            s++;
        if (s == WORKLOAD_STATE_COUNT) {
            call_refuse(call, 400, "state",
                        "\"%.*s\" is none, allowed are waiting, assigned, running, preempting, "
                        "finished, failed, cancelled, rejected, paused",
                        (int)MIN(name.size, 40), name.data);
            return false;
        }
        *ret |= 1u << s;
    }
    return true;
}

static bool parse_cursor(struct api_call *call, struct merge *m)
{
    struct str cursor = http_request_query(call->request, "cursor");
    if (cursor.size && !id_parse(call->api->ids, "work", cursor, &m->before_live)) {
        call_refuse(call, 400, "cursor", "not one that an answer gave");
        return false;
    }
    m->before_past = m->before_live;
    return true;
}

static bool merge_open(struct merge *m)
{
    if (!call_project(m->call, &m->project) || !parse_states(m->call, &m->states) ||
        !parse_cursor(m->call, m))
        return false;
    if (m->project)
        m->project_name = render_project(&m->render, m->project);
    next_live(m);
    return next_past(m);
}

void route_workload_list(struct api_call *call, const struct core_view *view)
{
    struct merge m = {.call = call, .view = view, .render = call_render(call, view)};
    int64_t limit = PAGE_DEFAULT;
    if (!call_number(call, "limit", &limit, 1, PAGE_MOST) || !merge_open(&m))
        return;
    struct api_workload *rows = call_alloc(call, (size_t)limit * sizeof *rows);
    struct api_workloads list = {.workloads = {.items = rows}};
    bool more = true;
    while (more && list.workloads.count < (size_t)limit) {
        if (!take(&m, &rows[list.workloads.count], &more))
            return;
        list.workloads.count += more;
    }
    if (m.live || m.past)
        list.cursor = rows[list.workloads.count - 1].id;
    call_answer(call, 200, &api_workloads_record, &list);
}

/* ---- one workload's page ---- */

static struct str request_json(struct arena *arena, struct str packed)
{
    struct workload_request request;
    struct error err = {0};
    struct unpack in = unpack_from(packed);
    _cleanup_buf_ struct buf json = BUF_INIT(BUF_LIMIT_DEFAULT);
    if (record_unpack(&workload_request_record, &in, arena, &request, &err) < 0)
        return (struct str){0};
    record_to_json(&workload_request_record, &request, AUDIENCE_PEOPLE, &json);
    return arena_str(arena, buf_str(&json));
}

static const char *replica_state_name(enum engine_replica_state state)
{
    switch (state) {
    case REPLICA_ASSIGNED:
        return "assigned";
    case REPLICA_RUNNING:
    case REPLICA_STOPPING:
        return "running";
    case REPLICA_ENDED:
        return "ended";
    }
    return "";
}

static void live_placements(const struct render *r, const struct engine_workload *w,
                            struct api_workload *ret)
{
    struct api_placement *items = arena_alloc(r->arena, w->replica_count * sizeof *items);
    for (size_t i = 0; i < w->replica_count; i++) {
        const struct engine_replica *replica = &w->replicas[i];
        const struct engine_node *node = engine_node(r->engine, replica->node);
        items[i] = (struct api_placement){
            .role = replica->role,
            .rank = replica->rank,
            .node = arena_id(r->arena, r->ids, "node", replica->node),
            .node_name = node ? node->name : (struct str){0},
            .address = node ? node->address : (struct str){0},
            .gpus = render_gpus(r, replica->gpus),
            .state = str_from(replica_state_name(replica->state)),
            .exit_code = replica->exit_code,
            .signal = replica->signal,
            .ended = replica->state == REPLICA_ENDED,
            .oom = replica->oom,
        };
    }
    ret->placements = (struct record_list){items, w->replica_count};
}

/* "0,3" */
static struct record_list parse_gpus(const struct render *r, struct str text)
{
    uint64_t mask = 0;
    while (text.size) {
        int64_t gpu;
        if (str_to_i64(str_cut(&text, ','), &gpu) && gpu >= 0 && gpu < MARKET_NODE_GPUS_MAX)
            mask |= (uint64_t)1 << gpu;
    }
    return render_gpus(r, mask);
}

static bool past_placements(struct api_call *call, const struct core_view *view, uint64_t id,
                            struct api_workload *ret)
{
    struct table_page page;
    struct render r = call_render(call, view);
    struct table_query query = {.table = TABLE_PLACEMENT,
                                .workload = id,
                                .attempt = ret->attempt,
                                .limit = WORKLOAD_NODES_MAX};
    if (!view_read(call, view, &query, &page))
        return false;
    struct api_placement *items = call_alloc(call, page.count * sizeof *items);
    const struct table_placement *rows = page.rows;
    for (size_t i = 0; i < page.count; i++)
        items[i] = (struct api_placement){
            .role = rows[i].role,
            .rank = rows[i].rank,
            .node = call_id(call, "node", rows[i].node),
            .node_name = rows[i].node_name,
            .address = rows[i].address,
            .gpus = parse_gpus(&r, rows[i].gpus),
            .state = rows[i].state,
            .exit_code = rows[i].exit_code,
            .signal = rows[i].signal,
            .ended = rows[i].ended,
            .oom = rows[i].oom,
        };
    ret->placements = (struct record_list){items, page.count};
    return true;
}

/* By an order whose address is told nothing. */
static bool mail_wanted(struct api_call *call, struct str request)
{
    struct json_value json;
    bool names = request.size && !call->api->options.mail && json_parse(request, call_arena(call), &json, NULL) == 0;
    return names && json_get_str(json_get(&json, "instance"), "email").size > 0;
}

static bool add_steps(struct api_call *call, const struct core_view *view, uint64_t id,
                      struct api_workload *ret)
{
    struct table_page page;
    if (!view_read(call, view, &(struct table_query){.table = TABLE_STEP, .workload = id}, &page))
        return false;
    struct api_step *items = call_alloc(call, (page.count + 1) * sizeof *items);
    const struct table_step *rows = page.rows;
    size_t count = 0;
    for (size_t i = 0; i < page.count; i++) {
        items[count++] = (struct api_step){.at_ms = rows[i].at_ms,
                                           .type = rows[i].type,
                                           .attempt = rows[i].attempt,
                                           .reason = rows[i].reason,
                                           .text = rows[i].text};
        if (i == 0 && mail_wanted(call, ret->request))
            items[count++] = (struct api_step){.at_ms = rows[i].at_ms, .type = STR("mail"), .text = STR(MAIL_NOT_SENT)};
    }
    ret->steps = (struct record_list){items, count};
    return true;
}

static void get_past(struct api_call *call, const struct core_view *view)
{
    const struct table_workload *row;
    if (!call_past_workload(call, view, &row))
        return;
    struct api_workload page;
    struct render render = call_render(call, view);
    past_workload(&render, row, &page);
    page.request = row->request;
    if (past_placements(call, view, row->id, &page) && add_steps(call, view, row->id, &page))
        call_answer(call, 200, &api_workload_record, &page);
}

void route_workload_get(struct api_call *call, const struct core_view *view)
{
    const struct engine_workload *w = call_workload(call, view->engine);
    if (!w) {
        get_past(call, view);
        return;
    }
    struct api_workload page;
    struct render render = call_render(call, view);
    struct merge m = {.call = call, .view = view};
    render_workload(&render, w, &page);
    live_placements(&render, w, &page);
    page.request = request_json(render.arena, w->request);
    if (add_cost(&m, w, &page) && add_steps(call, view, w->id, &page))
        call_answer(call, 200, &api_workload_record, &page);
}
