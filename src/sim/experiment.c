/* SPDX-License-Identifier: Apache-2.0 */
#include "sim/experiment.h"

#include "base/memory.h"
#include "base/sort.h"
#include "server/event.h"
#include "sim/baseline.h"
#include "sim/csv.h"
#include "sim/input.h"
#include "wire/unit.h"

#include <errno.h>
#include <stdio.h>

static const struct scheduler *const schedulers[] = {
    &scheduler_market,       &scheduler_fifo,     &scheduler_backfill, &scheduler_sjf,
    &scheduler_static_quota, &scheduler_priority, &scheduler_tiresias};

const struct scheduler *experiment_scheduler(struct str name)
{
    for (size_t i = 0; i < ARRAY_COUNT(schedulers); i++)
        if (str_is(name, schedulers[i]->name))
            return schedulers[i];
    return NULL;
}

/* ---- settings ---- */

static bool set_span(struct experiment *x, struct str key, struct str value, bool *known)
{
    struct world_overheads *o = &x->world.overheads;
    struct {
        const char *name;
        time_ms *target;
    } spans[] = {{"start", &o->start},
                 {"restart", &o->restart},
                 {"checkpoint", &o->checkpoint},
                 {"checkpoint_every", &o->checkpoint_every}};
    for (size_t i = 0; i < ARRAY_COUNT(spans); i++)
        if (str_is(key, spans[i].name)) {
            *known = true;
            return span_parse(value, spans[i].target);
        }
    return false;
}

static bool set_price(struct experiment *x, struct str key, struct str value, bool *known)
{
    udollar price;
    if (!str_is(key, "ask") && !str_is(key, "on_demand"))
        return false;
    *known = true;
    if (!money_parse(value, &price) || price < 0)
        return false;
    for (size_t i = 0; i < x->cluster.count; i++)
        *(str_is(key, "ask") ? &x->cluster.nodes[i].ask : &x->cluster.nodes[i].on_demand) = price;
    return true;
}

static bool add_nodes(struct experiment *x, struct str value)
{
    int64_t count;
    if (!str_to_i64(value, &count) || count < 0 || count > CLUSTER_NODES_MAX)
        return false;
    for (int64_t i = 0; i < count; i++) {
        struct cluster_node node = x->cluster.nodes[0];
        node.name = (struct str){0};
        cluster_add(&x->cluster, &node);
    }
    return true;
}

static bool scale_load(struct experiment *x, struct str value)
{
    int64_t milli;
    if (!decimal_parse(value, 1000, &milli) || milli < 1 || milli > 1000000)
        return false;
    for (size_t i = 0; i < x->jobs.count; i++) {
        struct job *job = &x->jobs.items[i];
        time_ms window = job->deadline == TIME_NEVER ? 0 : job->deadline - job->submit;
        job->submit = mul_div_floor(job->submit, 1000, milli);
        if (job->deadline != TIME_NEVER)
            job->deadline = job->submit + window;
    }
    return true;
}

static bool set_share(struct experiment *x, struct str value)
{
    int64_t percent;
    if (!str_to_i64(value, &percent) || percent < 0 || percent > 100)
        return false;
    x->world.preemptible_percent = (int)percent;
    return true;
}

static bool set_market(struct experiment *x, struct str key, struct str value, bool *known)
{
    int64_t number;
    for (int name = 0; name < ENGINE_SETTING_END; name++)
        if (key.size && str_is(key, setting_name(name))) {
            *known = true;
            if (x->setting_count == SIM_LIST_MAX || !str_to_i64(value, &number))
                return false;
            x->settings[x->setting_count++] = (struct market_setting_value){name, number};
            return true;
        }
    return false;
}

int experiment_set(struct experiment *x, const char *pair, struct error *err)
{
    struct str value = str_from(pair);
    struct str key = str_cut(&value, '=');
    bool known = false;
    bool ok = set_span(x, key, value, &known) || set_price(x, key, value, &known) ||
              set_market(x, key, value, &known);
    if (!known) {
        known = true;
        if (str_is(key, "add_nodes"))
            ok = add_nodes(x, value);
        else if (str_is(key, "load"))
            ok = scale_load(x, value);
        else if (str_is(key, "preemptible_percent"))
            ok = set_share(x, value);
        else
            known = false;
    }
    if (ok)
        return 0;
    return error_set(err, -EINVAL,
                     known
                         ? "--set: %.*s: \"%.*s\" does not fit; docs/sim.md says what is allowed"
                         : "--set: %.*s: no such setting (value \"%.*s\"); docs/sim.md lists them",
                     (int)MIN(key.size, 40), key.data, (int)MIN(value.size, 40), value.data);
}

/* ---- failures ---- */

static int failure_compare(const void *a, const void *b, const void *context)
{
    const struct world_failure *x = a, *y = b;
    (void)context;
    return x->down != y->down ? COMPARE(x->down, y->down) : COMPARE(x->node, y->node);
}

static int failure_row(struct experiment *x, const struct csv *c, struct error *err)
{
    struct csv_range span = {1000, 0, INT64_MAX / 4};
    struct world_failure f = {};
    int status = csv_number(c, 1, span, &f.down, err);
    if (status == 0)
        status = csv_number(c, 2, span, &f.back, err);
    if (status)
        return status;
    if (f.back <= f.down)
        return csv_fail(c, err, "back: must be later than down");
    while (f.node < x->cluster.count && !str_equal(x->cluster.nodes[f.node].name, c->fields[0]))
        f.node++;
    if (f.node == x->cluster.count)
        return csv_fail(c, err, "node: \"%.*s\" is not in the fleet",
                        (int)MIN(c->fields[0].size, 60), c->fields[0].data);
    ARRAY_RESERVE(x->failures, x->failure_count, x->failure_capacity);
    x->failures[x->failure_count++] = f;
    return 0;
}

static int failures_read(struct experiment *x, const char *path, struct error *err)
{
    static const struct csv_column columns[] = {{"node", false}, {"down", false}, {"back", false}};
    struct csv_form form = {columns, ARRAY_COUNT(columns)};
    _cleanup_buf_ struct buf text = BUF_INIT(INPUT_LIMIT);
    struct csv c;
    int status = input_read(path, &text, err);
    if (status == 0)
        status = csv_open(&c, path, &text, &form, err);
    while (status == 0 && (status = csv_next(&c, err)) == 1)
        status = failure_row(x, &c, err);
    sort(x->failures, x->failure_count, sizeof *x->failures, failure_compare, NULL);
    x->world.failures = x->failures;
    x->world.failure_count = x->failure_count;
    return status;
}

int experiment_failures(struct experiment *x, const char *text, struct error *err)
{
    if (!str_starts(str_from(text), STR("mtbf=")))
        return failures_read(x, text, err);
    struct str rest = str_from(text);
    while (rest.size) {
        struct str value = str_cut(&rest, ',');
        struct str key = str_cut(&value, '=');
        time_ms *target = str_is(key, "mtbf")     ? &x->world.mtbf
                          : str_is(key, "repair") ? &x->world.repair
                                                  : NULL;
        if (!target || !span_parse(value, target) || *target == 0)
            return error_set(err, -EINVAL, "--failures: %.*s: allowed is mtbf=SPAN,repair=SPAN",
                             (int)MIN(key.size, 40), key.data);
    }
    return 0;
}

void experiment_fini(struct experiment *x)
{
    jobs_fini(&x->jobs);
    cluster_fini(&x->cluster);
    xfree(x->failures);
    xfree(x->reservations);
}

/* ---- a run ---- */

void experiment_run(const struct experiment *x, const struct scheduler *scheduler, uint64_t seed,
                    struct world *w, struct market_record *record)
{
    struct world_options options = x->world;
    options.seed = seed;
    record->settings = x->settings;
    record->setting_count = x->setting_count;
    record->reservations = x->reservations;
    record->reservation_count = x->reservation_count;
    options.scheduler = scheduler;
    options.context = record;
    world_run(w, &x->jobs, &x->cluster, &options);
}

struct totals {
    int64_t counts[WORLD_REJECTED + 1], submitted, failed, late, with_deadline, met;
    int64_t stops, losses;
    double wait, jct, useful, lost, overhead, held, value, ask; /* s; unit-hours; dollars */
    int64_t started;
    udollar cost;
};

#define MILLI_HOUR 3.6e9 /* thousandths x ms in a unit-hour */

static double ask_mean(const struct cluster *c)
{
    double sum = 0;
    for (size_t i = 0; i < c->count; i++)
        sum += (double)c->nodes[i].ask * (double)cluster_node_units_milli(&c->nodes[i]);
    return sum / (double)MAX(cluster_units_milli(c), 1) / 1e6;
}

static void job_total(struct totals *t, const struct world *w, const struct world_job *j)
{
    double units = (double)job_units_milli(j->job);
    bool useful = j->state == WORLD_FINISHED && j->job->end == JOB_FINISHES;
    t->submitted++;
    t->counts[j->state]++;
    t->failed += j->state == WORLD_FINISHED && j->job->end == JOB_FAILS;
    t->stops += j->stops;
    t->losses += j->losses;
    t->cost += j->cost;
    t->held += (double)j->held / MILLI_HOUR;
    t->useful += units * (double)j->kept / MILLI_HOUR;
    t->lost += units * (double)j->lost / MILLI_HOUR;
    t->overhead += units * (double)j->overhead / MILLI_HOUR;
    t->value += units * (double)j->kept / MILLI_HOUR * (double)j->limit / 1e6;
    if (j->first_start >= 0) {
        t->started++;
        t->wait += (double)(j->first_start - j->submit) / 1000;
    }
    if (useful)
        t->jct += (double)(j->ended - j->submit) / 1000;
    if (j->job->deadline != TIME_NEVER) {
        t->with_deadline++;
        t->met += useful && j->ended <= j->job->deadline;
    }
    (void)w;
}

static int real_compare(const void *a, const void *b, const void *context)
{
    double x = *(const double *)a, y = *(const double *)b;
    (void)context;
    return COMPARE(x, y);
}

/* Waiting until the first start, of those that started. */
static void waits_report(const struct world *w, struct report *ret)
{
    double *waits = xcalloc(MAX(w->arrived, 1), sizeof *waits);
    size_t count = 0;
    for (size_t i = 0; i < w->arrived; i++)
        if (w->jobs[i].first_start >= 0 && w->jobs[i].submit >= w->options.warmup)
            waits[count++] = (double)(w->jobs[i].first_start - w->jobs[i].submit) / 1000;
    sort(waits, count, sizeof *waits, real_compare, NULL);
    report_real(ret, "median_wait_s", count ? waits[count / 2] : 0);
    report_real(ret, "p95_wait_s", count ? waits[count * 95 / 100] : 0);
    report_real(ret, "p99_wait_s", count ? waits[count * 99 / 100] : 0);
    xfree(waits);
}

static struct totals totals_make(const struct world *w)
{
    struct totals t = {};
    for (size_t i = 0; i < w->arrived; i++)
        if (w->jobs[i].submit >= w->options.warmup)
            job_total(&t, w, &w->jobs[i]);
    return t;
}

static void counts_report(const struct totals *t, struct report *ret)
{
    const int64_t *n = t->counts;
    report_integer(ret, "submitted", t->submitted);
    report_integer(ret, "finished", n[WORLD_FINISHED]);
    report_integer(ret, "running", n[WORLD_STARTING] + n[WORLD_RUNNING] + n[WORLD_LEAVING]);
    report_integer(ret, "waiting", n[WORLD_WAITING]);
    report_integer(ret, "rejected", n[WORLD_REJECTED]);
    report_integer(ret, "cancelled", n[WORLD_CANCELLED]);
    report_integer(ret, "finished_with_failure", t->failed);
    report_integer(ret, "deadlines", t->with_deadline);
    report_integer(ret, "deadlines_met", t->met);
    report_integer(ret, "preemptions", t->stops);
    report_integer(ret, "lost_with_nodes", t->losses);
}

static void market_report(const struct totals *t, const struct market_record *record,
                          struct report *ret)
{
    double hours = t->useful > 0 ? t->useful : 1;
    report_real(ret, "cost_usd", (double)t->cost / 1e6);
    report_real(ret, "cost_per_useful_hour_usd", (double)t->cost / 1e6 / hours);
    report_integer(ret, "ticks", (int64_t)record->ticks);
    report_integer(ret, "moves", (int64_t)record->moves);
    report_real(ret, "gap_percent",
                record->bound ? 100 * (1 - (double)record->surplus / (double)record->bound) : 0);
    report_hex(ret, "digest", record->digest);
    if (record->reservation_count == 0)
        return;
    report_integer(ret, "reservations_bought", (int64_t)record->bought);
    report_real(ret, "reserved_usd", (double)record->reserved / 1e6);
    report_real(ret, "resold_usd", (double)-record->resold / 1e6);
}

void experiment_report(const struct experiment *x, const struct scheduler *scheduler,
                       const struct world *w, const struct market_record *record,
                       struct report *ret)
{
    struct totals t = totals_make(w);
    double capacity = (double)w->capacity / MILLI_HOUR;
    double ask = ask_mean(&x->cluster) * (double)w->used / MILLI_HOUR;
    report_text(ret, "policy", scheduler->name);
    report_integer(ret, "seed", (int64_t)w->options.seed);
    counts_report(&t, ret);
    report_real(ret, "mean_wait_s", t.started ? t.wait / (double)t.started : 0);
    waits_report(w, ret);
    int64_t done = t.counts[WORLD_FINISHED] - t.failed;
    report_real(ret, "mean_jct_s", done ? t.jct / (double)done : 0);
    report_real(ret, "makespan_h", (double)w->now / (double)HOUR_MS);
    report_real(ret, "capacity_unit_hours", capacity);
    report_real(ret, "used_unit_hours", (double)w->used / MILLI_HOUR);
    report_real(ret, "useful_unit_hours", t.useful);
    report_real(ret, "lost_unit_hours", t.lost);
    report_real(ret, "overhead_unit_hours", t.overhead);
    report_real(ret, "utilisation_percent",
                capacity > 0 ? 100 * (double)w->used / MILLI_HOUR / capacity : 0);
    report_real(ret, "value_usd", t.value);
    report_real(ret, "marginal_cost_usd", ask);
    report_real(ret, "surplus_usd", t.value - ask);
    if (scheduler == &scheduler_market)
        market_report(&t, record, ret);
}
