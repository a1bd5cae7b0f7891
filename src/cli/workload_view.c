/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/workload_view.h"

#include "cli/event_feed.h"
#include "cli/format.h"
#include "cli/listing.h"
#include "records/workload.h"
#include "wire/json.h"
#include "wire/unit.h"

#include <stdio.h>

struct str workload_unit(const struct api_workload *work)
{
    _cleanup_(arena_fini) struct arena arena = {};
    struct json_value request;
    if (work->request.size == 0 || json_parse(work->request, &arena, &request, NULL) < 0)
        return STR("");
    const struct json_value *choices = json_get(&request, "choices");
    if (choices == NULL || choices->type != JSON_ARRAY || choices->count == 0)
        return STR("");
    return json_get_i64(json_get(&choices->items[0], "amounts"), "gpu_milli", 0) ? STR("gpu")
                                                                                 : STR("core");
}

/* ---- how it ended
 * --------------------------------------------------------------------------------- */

static void write_exit(const struct api_workload *work, struct buf *out)
{
    if (!work->exited)
        return;
    if (str_is(work->reason, "prepare")) { /* nothing ran that could have had a code */
        buf_printf(out, "rank %lld could not be prepared", (long long)work->exit_rank);
        return;
    }
    buf_printf(out, "exit code %lld", (long long)work->exit_code);
    if (work->signal)
        buf_printf(out, " (signal %lld)", (long long)work->signal);
    if (work->oom)
        buf_append_text(out, ", out of memory");
    if (work->exit_code || work->signal)
        buf_printf(out, ", rank %lld", (long long)work->exit_rank);
}

void workload_summary(const struct api_workload *work, struct buf *out)
{
    buf_printf(out, "%-10.*s ", STR_ARGS(work->state));
    size_t begin = out->size;
    write_exit(work, out);
    if (!work->exited && work->reason.size) {
        format_clean(out, work->reason);
    }
    if (work->started_ms && work->ended_ms >= work->started_ms) {
        buf_append_text(out, out->size > begin ? ", ran " : "ran ");
        span_print(out, work->ended_ms - work->started_ms);
    }
    buf_append_text(out, out->size > begin ? ", cost " : "cost ");
    format_money(out, work->cost_udollar);
}

/* ---- a whole page
 * --------------------------------------------------------------------------------- */

static void row(const char *name, const struct buf *value)
{
    if (value->size)
        printf("%-10s %s\n", name, buf_text(value));
}

static void row_str(const char *name, struct str value)
{
    _cleanup_buf_ struct buf text = BUF_INIT(4096);
    format_clean(&text, value);
    row(name, &text);
}

static void print_size(const struct api_workload *work)
{
    _cleanup_buf_ struct buf text = BUF_INIT(400);
    struct str unit = workload_unit(work);
    int64_t each = work->nodes > 0 ? work->units_milli / work->nodes : work->units_milli;
    format_size(&text, work->nodes, work->units_milli, unit.size ? format_unit(unit, each) : "");
    if (work->pool.size) {
        buf_append_text(&text, " in ");
        format_clean(&text, work->pool);
    }
    row("size", &text);
}

static void print_bid(const struct api_workload *work)
{
    _cleanup_buf_ struct buf text = BUF_INIT(400);
    struct str unit = workload_unit(work);
    format_clean(&text, work->kind);
    buf_append_text(&text, ", at most ");
    format_money(&text, work->limit_udollar_per_hour);
    buf_printf(&text, " per %s-hour",
               str_is(unit, "gpu")    ? "GPU"
               : str_is(unit, "core") ? "core"
                                      : "unit");
    if (work->tier)
        buf_printf(&text, ", tier %s%s", workload_tier_names[work->tier], work->tight ? ", from headroom" : "");
    row("bid", &text);
}

static void print_money(const struct api_workload *work)
{
    _cleanup_buf_ struct buf text = BUF_INIT(400);
    format_money(&text, work->cost_udollar);
    if (work->rate_udollar_per_hour && work->ended_ms == 0) {
        buf_append_text(&text, " so far, now ");
        format_money(&text, work->rate_udollar_per_hour);
        buf_append_text(&text, " an hour for all of it");
    }
    row("cost", &text);
}

static void print_times(const struct api_workload *work, time_ms now)
{
    _cleanup_buf_ struct buf text = BUF_INIT(400);
    format_time(&text, work->submitted_ms, now);
    if (work->started_ms) {
        buf_append_text(&text, ", started ");
        format_time(&text, work->started_ms, now);
    }
    if (work->ended_ms) {
        buf_append_text(&text, ", ended ");
        format_time(&text, work->ended_ms, now);
    }
    row("submitted", &text);
}

static void print_state(const struct api_workload *work, time_ms now)
{
    _cleanup_buf_ struct buf text = BUF_INIT(4096);
    format_clean(&text, work->state);
    if (work->attempt > 1)
        buf_printf(&text, ", attempt %lld", (long long)work->attempt);
    if (work->exited) {
        buf_append_text(&text, ", ");
        write_exit(work, &text);
    } else if (work->reason.size) {
        buf_append_text(&text, ", ");
        format_clean(&text, work->reason);
    }
    if (str_is(work->state, "preempting") && work->deadline_ms > now) {
        buf_append_text(&text, ", killed in ");
        span_print(&text, work->deadline_ms - now);
    }
    row("state", &text);
}

static void print_placements(const struct api_workload *work)
{
    const struct api_placement *places = work->placements.items;
    struct listing listing = {.indent = "  "};
    if (work->placements.count == 0)
        return;
    printf("\nwhere\n");
    listing_begin(&listing, ">RANK|NODE|ADDRESS|GPUS|STATE");
    for (size_t i = 0; i < work->placements.count; i++) {
        const int64_t *gpus = places[i].gpus.items;
        _cleanup_buf_ struct buf list = BUF_INIT(400);
        for (size_t g = 0; g < places[i].gpus.count; g++)
            buf_printf(&list, "%s%lld", g ? "," : "", (long long)gpus[g]);
        listing_cell(&listing, "%lld", (long long)places[i].rank);
        listing_str(&listing, places[i].node_name);
        listing_str(&listing, places[i].address);
        listing_str(&listing, buf_str(&list));
        if (places[i].ended)
            listing_cell(&listing, "%.*s, exit code %lld", STR_ARGS(places[i].state),
                         (long long)places[i].exit_code);
        else
            listing_str(&listing, places[i].state);
    }
    listing_end(&listing, stdout);
}

static void print_steps(const struct api_workload *work, time_ms now)
{
    const struct api_step *steps = work->steps.items;
    struct listing listing = {.indent = "  "};
    if (work->steps.count == 0)
        return;
    printf("\nwhat happened\n");
    listing_begin(&listing, "||");
    for (size_t i = 0; i < work->steps.count; i++) {
        _cleanup_buf_ struct buf time = BUF_INIT(64);
        format_time(&time, steps[i].at_ms, now);
        listing_str(&listing, buf_str(&time));
        listing_str(&listing, steps[i].type);
        struct str text =
            event_addition(steps[i].type, steps[i].text.size ? steps[i].text : steps[i].reason);
        listing_cell(&listing, "%.*s", STR_ARGS(text));
    }
    listing_end(&listing, stdout);
}

void workload_print(const struct api_workload *work, time_ms now)
{
    row_str("workload", work->id);
    row_str("name", work->name);
    row_str("project", work->project);
    print_state(work, now);
    print_size(work);
    print_bid(work);
    print_money(work);
    print_times(work, now);
    print_placements(work);
    print_steps(work, now);
    if (work->last_lines.size && str_is(work->reason, "prepare"))
        printf("\n%.*s\n", STR_ARGS(work->last_lines));
    else if (work->last_lines.size && !str_is(work->state, "finished"))
        printf("\nthe log of rank %lld ends with\n%.*s%s", (long long)work->exit_rank,
               STR_ARGS(work->last_lines),
               work->last_lines.data[work->last_lines.size - 1] == '\n' ? "" : "\n");
}
