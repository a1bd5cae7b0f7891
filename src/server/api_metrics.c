/* SPDX-License-Identifier: Apache-2.0 */
/* Health, and metrics in Prometheus' text format. */
#include "server/api_route.h"

void route_health_get(struct api_call *call)
{
    call_respond(call, (struct http_response){
                           .status = 200, .content_type = STR("text/plain"), .body = STR("ok\n")});
}

void route_ready_get(struct api_call *call)
{
    if (core_failure(call->api->core))
        call_refuse(call, 503, NULL, "the journal cannot be written");
    else
        route_health_get(call);
}

/* ---- writing ---- */

static void head(struct buf *out, const char *name, const char *type, const char *help)
{
    buf_printf(out, "# HELP tessera_%s %s\n# TYPE tessera_%s %s\n", name, help, name, type);
}

static void one(struct buf *out, const char *name, const char *type, const char *help,
                int64_t value)
{
    head(out, name, type, help);
    buf_printf(out, "tessera_%s %lld\n", name, (long long)value);
}

/* Backslash, quote and line end are escaped, as the format has it. */
static void label_value(struct buf *out, struct str text)
{
    for (size_t i = 0; i < text.size; i++) {
        if (text.data[i] == '\\' || text.data[i] == '"')
            buf_append_byte(out, '\\');
        if (text.data[i] == '\n')
            buf_append_text(out, "\\n");
        else
            buf_append_byte(out, text.data[i]);
    }
}

static void labelled(struct buf *out, const char *name, const char *label, struct str value,
                     int64_t number)
{
    buf_printf(out, "tessera_%s{%s=\"", name, label);
    label_value(out, value);
    buf_printf(out, "\"} %lld\n", (long long)number);
}

/* Thousandths or millionths as a decimal. */
static void decimal(struct buf *out, int64_t value, int64_t scale, int digits)
{
    buf_printf(out, "%s%lld.%0*lld\n", value < 0 ? "-" : "",
               (long long)(value < 0 ? -(value / scale) : value / scale), digits,
               (long long)(value < 0 ? -(value % scale) : value % scale));
}

/* ---- what ---- */

static void workloads(const struct engine *e, struct buf *out)
{
    uint64_t counts[WORKLOAD_STATE_COUNT];
    engine_workload_counts(e, counts);
    head(out, "workloads", "gauge", "Workloads in the state, by state.");
    for (int s = 0; s < WORKLOAD_STATE_COUNT; s++)
        labelled(out, "workloads", "state",
                 str_from(workload_state_name((enum engine_workload_state)s)), (int64_t)counts[s]);
}

static void nodes(const struct engine *e, struct buf *out)
{
    static const char *const names[] = {
        [NODE_UP] = "up", [NODE_DRAINING] = "draining", [NODE_LOST] = "lost"};
    int64_t counts[ARRAY_COUNT(names)] = {0};
    for (size_t i = 0; i < engine_node_count(e); i++)
        counts[engine_node_at(e, i)->state]++;
    head(out, "nodes", "gauge", "Nodes, by state.");
    for (size_t i = 0; i < ARRAY_COUNT(names); i++)
        labelled(out, "nodes", "state", str_from(names[i]), counts[i]);
}

static const struct pool_metric {
    const char *name, *help;
    size_t offset;
    int64_t scale;
    int digits;
} pool_metrics[] = {
#define POOL(member) offsetof(struct market_pool_view, member)
    {"pool_price_dollars_per_hour", "Posted price of a unit.", POOL(post), 1000000, 6},
    {"pool_marginal_dollars_per_hour", "Ask of the next unit.", POOL(marginal), 1000000, 6},
    {"pool_scarcity_dollars_per_hour", "What scarcity adds to the price.", POOL(scarcity), 1000000,
     6},
    {"pool_units", "Units of nodes that are up.", POOL(units_milli), 1000, 3},
    {"pool_used_units", "Units in use.", POOL(used_milli), 1000, 3},
    {"pool_free_units", "Units free.", POOL(free_milli), 1000, 3},
    {"pool_wanted_units", "Units that waiting bids at or above the price want.", POOL(wanted_milli),
     1000, 3},
};

static void pools(const struct engine *e, struct arena *arena, struct buf *out)
{
    const struct market *m = engine_market(e);
    for (size_t k = 0; k < ARRAY_COUNT(pool_metrics); k++) {
        const struct pool_metric *metric = &pool_metrics[k];
        head(out, metric->name, "gauge", metric->help);
        for (size_t i = 0; i < market_pool_count(m); i++) {
            struct market_pool_view pool = market_pool(m, i);
            int64_t value;
            memcpy(&value, (const char *)&pool + metric->offset, sizeof value);
            buf_printf(out, "tessera_%s{pool=\"", metric->name);
            label_value(out, pool_name(e, pool.pool, arena));
            buf_append_text(out, "\"} ");
            decimal(out, value, metric->scale, metric->digits);
        }
    }
}

static void gap(const struct engine *e, struct buf *out)
{
    udollar surplus, bound;
    if (!market_gap(engine_market(e), &surplus, &bound))
        return;
    head(out, "surplus_dollars_per_hour", "gauge", "Value of what runs.");
    buf_append_text(out, "tessera_surplus_dollars_per_hour ");
    decimal(out, surplus, 1000000, 6);
    head(out, "surplus_bound_dollars_per_hour", "gauge", "What no placement can exceed.");
    buf_append_text(out, "tessera_surplus_bound_dollars_per_hour ");
    decimal(out, bound, 1000000, 6);
}

static void histogram(const struct api_histogram *h, struct buf *out)
{
    uint64_t count = 0;
    head(out, "command_seconds", "histogram",
         "From a request that changes something to its durable answer.");
    for (size_t i = 0; i < API_BUCKETS; i++) {
        count += atomic_load_explicit(&h->buckets[i], memory_order_relaxed);
        buf_append_text(out, "tessera_command_seconds_bucket{le=\"");
        int64_t us = (int64_t)64 << i;
        buf_printf(out, "%lld.%06lld\"} %llu\n", (long long)(us / 1000000),
                   (long long)(us % 1000000), (unsigned long long)count);
    }
    count += atomic_load_explicit(&h->buckets[API_BUCKETS], memory_order_relaxed);
    uint64_t sum = atomic_load_explicit(&h->sum_us, memory_order_relaxed);
    buf_printf(out,
               "tessera_command_seconds_bucket{le=\"+Inf\"} %llu\ntessera_command_seconds_sum "
               "%llu.%06llu\ntessera_command_seconds_count %llu\n",
               (unsigned long long)count, (unsigned long long)(sum / 1000000),
               (unsigned long long)(sum % 1000000), (unsigned long long)count);
}

static void seconds_total(struct buf *out, const char *name, const char *help, uint64_t us)
{
    head(out, name, "counter", help);
    buf_printf(out, "tessera_%s %llu.%06llu\n", name, (unsigned long long)(us / 1000000),
               (unsigned long long)(us % 1000000));
}

static void core(struct api *a, struct buf *out)
{
    struct core_stats stats = core_stats(a->core);
    one(out, "commands_total", "counter", "Commands in the journal since the start.",
        (int64_t)stats.commands);
    one(out, "commits_total", "counter", "Groups of commands committed since the start.",
        (int64_t)stats.groups);
    seconds_total(out, "commit_seconds_total", "Time in commits.", stats.commit_us_total);
    seconds_total(out, "apply_seconds_total", "Time in the engine.", stats.apply_us_total);
    uint64_t kept = atomic_load_explicit(&a->kept_reads, memory_order_relaxed);
    one(out, "reads_total", "counter", "Reads answered since the start.", (int64_t)(stats.reads + kept));
    one(out, "reads_kept_total", "counter", "Of them, answered with what the same state had answered before.", (int64_t)kept);
    one(out, "journal_seq", "gauge", "Number of the last durable command.",
        (int64_t)core_durable_seq(a->core));
    one(out, "snapshot_seq", "gauge", "Number that the newest snapshot holds.",
        (int64_t)stats.snapshot_seq);
    one(out, "tables_seq", "gauge", "Number that the query tables follow up to.",
        (int64_t)stats.projected_seq);
}

static void http(struct api *a, struct buf *out)
{
    struct http_server_stats stats = http_server_stats(a->http);
    one(out, "http_requests_total", "counter", "Requests.", (int64_t)stats.requests);
    one(out, "http_refused_total", "counter", "Requests that were not well-formed.",
        (int64_t)stats.refused);
    one(out, "http_connections_total", "counter", "Connections.", (int64_t)stats.connections_total);
    one(out, "http_connections", "gauge", "Connections that are open.", stats.connections);
    one(out, "http_kept_requests", "gauge", "Requests that are not answered yet.", stats.kept);
    one(out, "agent_polls", "gauge", "Long polls that are held.",
        (int64_t)api_polls_held(a->polls));
    one(out, "event_streams", "gauge", "Event streams that are open.",
        (int64_t)api_events_open(a->events));
}

void route_metrics_get(struct api_call *call, const struct core_view *view)
{
    _cleanup_buf_ struct buf out = BUF_INIT((size_t)64 << 20);
    head(&out, "build_info", "gauge", "Version of the server.");
    labelled(&out, "build_info", "version", STR(TESSERA_VERSION), 1);
    workloads(view->engine, &out);
    nodes(view->engine, &out);
    pools(view->engine, call_arena(call), &out);
    gap(view->engine, &out);
    histogram(&call->api->commands, &out);
    core(call->api, &out);
    http(call->api, &out);
    call_respond(call, (struct http_response){.status = 200,
                                              .content_type =
                                                  STR("text/plain; version=0.0.4; charset=utf-8"),
                                              .body = buf_str(&out)});
}
