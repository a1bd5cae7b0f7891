/* SPDX-License-Identifier: Apache-2.0 */
/* The page of a run: the figures that matter first, then how the fleet fared through time, what
 * freedom was worth, who waited and who was preempted. */
#include "sim/outcome.h"

#include "base/memory.h"
#include "base/sort.h"
#include "sim/plot.h"

#include <stdio.h>

#define POOLS_MAX 8
#define DAY_MS (24.0 * 3600 * 1000)
#define TENANTS_SHOWN 12
#define WAITS 7

static const char style[] =
    "<style>body{font:15px/1.5 system-ui,sans-serif;max-width:860px;margin:2rem auto;padding:0 "
    "1rem;"
    "color:#1c2024}h1{font-size:1.5rem;margin-bottom:0}p.lead{color:#60646c;margin-top:.2rem}"
    "dl{display:grid;grid-template-columns:repeat(4,1fr);gap:.6rem "
    "1rem}dt{color:#60646c;font-size:.8rem}"
    "dd{margin:0;font-size:1.25rem;font-variant-numeric:tabular-nums}figure{margin:2rem 0}"
    "figcaption{font-weight:600}figcaption "
    "span{font-weight:400;color:#60646c}svg{width:100%;height:auto}"
    "svg "
    "text{font-size:11px;fill:#60646c}.grid{stroke:#e4e6e9}.legend{font-size:.8rem;margin:.2rem 0}"
    "table{border-collapse:collapse;font-size:.85rem}td{padding:.1rem .8rem .1rem 0;"
    "font-variant-numeric:tabular-nums}</style>";

static double value_of(const struct report *report, const char *key)
{
    for (size_t i = 0; i < report->count; i++)
        if (str_is(str_from(report->items[i].key), key))
            return report_value(&report->items[i]);
    return 0;
}

static void figure(struct buf *out, const char *name, double value, const char *unit)
{
    buf_printf(out, "<div><dt>%s</dt><dd>%.5g%s</dd></div>", name, value, unit);
}

static void head(const struct world *w, const struct report *report, struct buf *out)
{
    bool market = value_of(report, "ticks") > 0;
    buf_printf(out,
               "<!doctype html><html lang='en'><meta charset='utf-8'><title>Tessera: a simulated "
               "run</title>%s",
               style);
    buf_printf(out,
               "<h1>%s over %.3g days</h1><p class='lead'>%zu workloads on %zu nodes (%lld %s), "
               "seed %llu</p><dl>",
               report->items[0].text, (double)w->now / DAY_MS, w->arrived, w->cluster->count,
               (long long)(cluster_units_milli(w->cluster) / 1000),
               w->cluster->nodes[0].amounts.gpu_milli ? "GPUs" : "cores",
               (unsigned long long)w->options.seed);
    figure(out, "finished", value_of(report, "finished"), "");
    figure(out, "utilisation", value_of(report, "utilisation_percent"), " %");
    figure(out, "mean wait", value_of(report, "mean_wait_s") / 60, " min");
    figure(out, "95 % waited at most", value_of(report, "p95_wait_s") / 60, " min");
    figure(out, "value of useful work", value_of(report, "value_usd"), " $");
    figure(out, "surplus over marginal cost", value_of(report, "surplus_usd"), " $");
    figure(out, "preemptions", value_of(report, "preemptions"), "");
    figure(out, "work lost", value_of(report, "lost_unit_hours"), " unit-h");
    if (market) {
        figure(out, "paid", value_of(report, "cost_usd"), " $");
        figure(out, "paid per useful hour", value_of(report, "cost_per_useful_hour_usd"), " $");
        figure(out, "certified gap", value_of(report, "gap_percent"), " %");
    }
    buf_append_text(out, "</dl>\n");
}

/* ---- through time ---- */

static void fleet_plots(const struct world *w, struct buf *out)
{
    size_t count = w->sample_count;
    double *x = xcalloc(count + 1, sizeof *x), *used = xcalloc(count + 1, sizeof *used),
           *stranded = xcalloc(count + 1, sizeof *stranded),
           *waits = xcalloc(count + 1, sizeof *waits);
    for (size_t i = 0; i < count; i++) {
        const struct world_sample *s = &w->samples[i];
        double units = (double)MAX(s->units_milli, 1);
        x[i] = (double)s->at / DAY_MS;
        used[i] = 100 * (double)s->used_milli / units;
        stranded[i] = 100 * (double)s->stranded_milli / units;
        waits[i] = (double)s->waiting;
    }
    struct plot_line lines[] = {{"in use", x, used, count},
                                {"free in nodes partly in use", x, stranded, count}};
    plot_lines(out, "Utilisation and fragmentation", "% of the fleet's units", lines, 2);
    struct plot_line queue = {"waiting", x, waits, count};
    plot_lines(out, "Workloads that wait", "", &queue, 1);
    xfree(x);
    xfree(used);
    xfree(stranded);
    xfree(waits);
}

/* Every `step`-th posting of a pool, so that a page stays small. */
static void price_plot(const struct market_record *record, struct buf *out)
{
    struct plot_line lines[POOLS_MAX];
    char names[POOLS_MAX][24];
    double *values[2 * POOLS_MAX] = {};
    size_t pools = 0;
    for (size_t i = 0; i < record->sample_count; i++)
        pools = MAX(pools, MIN((size_t)record->samples[i].pool + 1, (size_t)POOLS_MAX));
    size_t each = pools ? record->sample_count / pools + 1 : 1, step = each / 1500 + 1;
    for (size_t p = 0; p < pools; p++) {
        size_t count = 0, seen = 0;
        double *x = values[2 * p] = xcalloc(each + 1, sizeof *x);
        double *y = values[2 * p + 1] = xcalloc(each + 1, sizeof *y);
        for (size_t i = 0; i < record->sample_count && count < each; i++)
            if (record->samples[i].pool == p && seen++ % step == 0) {
                x[count] = (double)record->samples[i].at / DAY_MS;
                y[count++] = (double)record->samples[i].post / 1e6;
            }
        snprintf(names[p], sizeof names[p], "pool %zu", p + 1);
        lines[p] = (struct plot_line){names[p], x, y, count};
    }
    if (pools)
        plot_lines(out, "Posted price", "$ per unit-hour", lines, pools);
    for (size_t i = 0; i < 2 * pools; i++)
        xfree(values[i]);
}

/* ---- by kind of work ---- */

static void discount_plot(const struct world *w, struct buf *out)
{
    struct plot_bar bars[] = {{"firm", 0}, {"preemptible", 0}};
    double paid[2] = {}, hours[2] = {};
    for (size_t i = 0; i < w->arrived; i++) {
        const struct world_job *j = &w->jobs[i];
        paid[j->preemptible] += (double)j->cost / 1e6;
        hours[j->preemptible] += (double)job_units_milli(j->job) * (double)j->kept / 3.6e9;
    }
    for (size_t k = 0; k < 2; k++)
        bars[k].value = hours[k] > 0 ? paid[k] / hours[k] : 0;
    plot_bars(out, "What a useful hour cost, by freedom", "$ per unit-hour", bars, 2);
}

static void wait_plot(const struct world *w, struct buf *out)
{
    static const struct {
        const char *name;
        time_ms most;
    } steps[WAITS] = {{"10 s", 10000},       {"1 min", 60000},     {"10 min", 600000},
                      {"1 h", HOUR_MS},      {"6 h", 6 * HOUR_MS}, {"1 day", 24 * HOUR_MS},
                      {"longer", TIME_NEVER}};
    struct plot_bar bars[WAITS + 1] = {};
    for (size_t k = 0; k < WAITS; k++)
        snprintf(bars[k].name, sizeof bars[k].name, "%s", steps[k].name);
    snprintf(bars[WAITS].name, sizeof bars[WAITS].name, "never started");
    for (size_t i = 0; i < w->arrived; i++) {
        const struct world_job *j = &w->jobs[i];
        size_t k = 0;
        while (k < WAITS - 1 && j->first_start - j->submit > steps[k].most)
            k++;
        bars[j->first_start < 0 ? WAITS : k].value++;
    }
    plot_bars(out, "Waited at most", "workloads", bars, WAITS + 1);
}

static int limit_compare(const void *a, const void *b, const void *context)
{
    const struct world_job *x = *(const struct world_job *const *)a,
                           *y = *(const struct world_job *const *)b;
    (void)context;
    return x->limit != y->limit ? COMPARE(x->limit, y->limit) : COMPARE(x, y);
}

/* Preemptions a workload, by tenths of the value that was declared. */
static void preempted_plot(const struct world *w, struct buf *out)
{
    struct plot_bar bars[10] = {};
    const struct world_job **order = xcalloc(w->arrived + 1, sizeof *order);
    double count[10] = {};
    for (size_t i = 0; i < w->arrived; i++)
        order[i] = &w->jobs[i];
    sort(order, w->arrived, sizeof *order, limit_compare, NULL);
    for (size_t i = 0; i < w->arrived; i++) {
        size_t k = i * 10 / w->arrived;
        bars[k].value += order[i]->stops;
        count[k]++;
    }
    for (size_t k = 0; k < 10; k++) {
        snprintf(bars[k].name, sizeof bars[k].name,
                 k == 0   ? "lowest"
                 : k == 9 ? "highest"
                          : "%zu",
                 k + 1);
        bars[k].value = count[k] > 0 ? bars[k].value / count[k] : 0;
    }
    plot_bars(out, "Who was preempted", "times a workload, by tenths of declared value", bars, 10);
    xfree(order);
}

static void all_figures(const struct report *report, struct buf *out)
{
    buf_append_text(out, "<details><summary>All figures</summary><table>");
    for (size_t i = 0; i < report->count; i++)
        buf_printf(out, "<tr><td>%s<td>%s", report->items[i].key,
                   report->items[i].text ? report->items[i].text : report->items[i].json);
    buf_append_text(out, "</table></details></html>\n");
}

void outcome_page(const struct outcome *o, struct buf *out)
{
    head(o->world, o->report, out);
    fleet_plots(o->world, out);
    price_plot(o->record, out);
    if (o->record->ticks)
        discount_plot(o->world, out);
    wait_plot(o->world, out);
    preempted_plot(o->world, out);
    all_figures(o->report, out);
}
