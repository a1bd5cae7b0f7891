/* SPDX-License-Identifier: Apache-2.0 */
/* What a workload would cost, what each freedom is worth, and why one waits. */
#include "server/api_route.h"
#include "server/api_submit.h"

#include "wire/record.h"
#include "wire/unit.h"

#include <time.h>

static const char *unit_of(const struct engine *e, market_id pool)
{
    struct market_pool_view view;
    return pool_find(e, pool, &view) && view.by_core ? "core" : "GPU";
}

static void rate_append(struct buf *out, udollar rate, const char *per)
{
    money_append(out, rate);
    buf_printf(out, " per %s", per);
}

static void time_append(struct buf *out, time_ms at)
{
    char text[40];
    struct tm parts;
    time_t seconds = (time_t)(at / 1000);
    if (gmtime_r(&seconds, &parts) && strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S UTC", &parts))
        buf_append_text(out, text);
}

/* ---- quote ---- */

static const char *const freedom_names[MARKET_FREEDOM_COUNT] = {
    [FREEDOM_NONE] = "as_is",         [FREEDOM_PREEMPTIBLE] = "preemptible",
    [FREEDOM_ANY_LEVEL] = "any_rack", [FREEDOM_OTHER_SKUS] = "other_skus",
    [FREEDOM_LATER] = "later",
};
static const char *const freedom_heads[MARKET_FREEDOM_COUNT] = {
    [FREEDOM_NONE] = "As it stands",
    [FREEDOM_PREEMPTIBLE] = "If it may be preempted",
    [FREEDOM_ANY_LEVEL] = "If its replicas may stand anywhere",
    [FREEDOM_OTHER_SKUS] = "If it also takes other SKUs",
    [FREEDOM_LATER] = "If it may finish later",
};

/* Why a freedom is not offered. */
static const char *const freedom_idle[MARKET_FREEDOM_COUNT] = {
    [FREEDOM_PREEMPTIBLE] = "it is preemptible already.",
    [FREEDOM_ANY_LEVEL] = "they may stand anywhere already.",
    [FREEDOM_OTHER_SKUS] = "it takes any already.",
    [FREEDOM_LATER] = "it does not say how long it runs (run_time), or cannot have more time.",
};

static void promise_sentence(const struct market_quote_line *line, struct buf *out)
{
    if (!line->promised) {
        buf_append_text(out, "; that is above its limit: it would run where it can, without a promise.");
        return;
    }
    buf_append_text(out, "; done by ");
    time_append(out, line->deadline);
    buf_append_text(out, " for at most ");
    money_append(out, line->most);
    if (line->starts_now) {
        buf_append_text(out, "; it would start now.");
        return;
    }
    buf_append_text(out, "; it would start by ");
    time_append(out, line->latest);
    buf_append_text(out, ".");
}

static void line_sentence(const struct engine *e, const struct market_quote_line *line,
                          udollar as_is, struct buf *out)
{
    buf_printf(out, "%s: ", freedom_heads[line->freedom]);
    if (!line->offered && line->freedom != FREEDOM_NONE) {
        buf_append_text(out, freedom_idle[line->freedom]);
        return;
    }
    if (!line->fits) {
        buf_append_text(out, "no hardware that exists fits it, even idle.");
        return;
    }
    if (line->deadline && line->most == 0) {
        buf_append_text(out, "what could be done by ");
        time_append(out, line->deadline);
        buf_append_text(out, " is sold already; it would run where it can, without a promise.");
        return;
    }
    rate_append(out, line->rate, "hour");
    if (line->units_milli > 0) {
        buf_append_text(out, " (");
        rate_append(out, mul_div_ceil(line->rate, 1000, line->units_milli), unit_of(e, line->pool));
        buf_append_text(out, "-hour)");
    }
    if (line->freedom != FREEDOM_NONE && as_is > line->rate) {
        buf_append_text(out, ", ");
        money_append(out, as_is - line->rate);
        buf_append_text(out, " an hour less");
    }
    if (line->deadline)
        promise_sentence(line, out);
    else if (line->above_limit)
        buf_append_text(out, "; that is above its limit, at which it does not start.");
    else
        buf_append_text(out, line->starts_now ? "; it would start now."
                                              : "; it would wait for its place.");
}

static struct api_quote_line render_line(const struct render *r,
                                         const struct market_quote_line *line,
                                         const struct market_quote_line *as_is)
{
    _cleanup_buf_ struct buf text = BUF_INIT(1024);
    line_sentence(r->engine, line, as_is->fits ? as_is->rate : 0, &text);
    return (struct api_quote_line){
        .freedom = str_from(freedom_names[line->freedom]),
        .text = arena_str(r->arena, buf_str(&text)),
        .offered = line->offered || line->freedom == FREEDOM_NONE,
        .fits = line->fits,
        .starts_now = line->starts_now,
        .above_limit = line->above_limit,
        .pool = pool_name(r->engine, line->pool, r->arena),
        .units_milli = line->units_milli,
        .rate_udollar_per_hour = line->rate,
        .unit_rate_udollar_per_hour =
            line->units_milli > 0 ? mul_div_ceil(line->rate, 1000, line->units_milli) : 0,
        .saves_udollar_per_hour =
            as_is->fits && line->fits && line->offered ? as_is->rate - line->rate : 0,
        .ask_udollar_per_hour = line->ask,
        .scarcity_udollar_per_hour = line->scarcity,
        .premium_udollar_per_hour = line->premium,
        .credit_udollar_per_hour = line->credit,
        .transfer_udollar_per_hour = line->transfer,
        .displacement_udollar_per_hour = line->displacement,
        .promised = line->promised,
        .most_udollar = line->most,
        .latest_start_ms = line->latest,
        .finish_by_ms = line->deadline,
    };
}

/* What its priority stands for in the pool that it would stand in. */
static udollar limit_of(const struct engine *e, const struct engine_submit *submit, market_id pool)
{
    struct market_pool_view view;
    if (submit->limit_present)
        return submit->limit;
    pool_find(e, pool, &view);
    udollar ask = view.lowest_ask ? view.lowest_ask : 10000;
    int64_t permille = engine_setting(e, SETTING_LIMIT_LOW_PERMILLE + submit->priority);
    return MIN(mul_div_ceil(ask, permille, 1000), MARKET_RATE_MAX);
}

static void quote_read(struct api_call *call, const struct core_view *view)
{
    const struct engine_submit *submit = call->own;
    struct market_quote quote;
    struct engine_outcome outcome = engine_quote(view->engine, submit, &quote);
    if (outcome.code != ENGINE_OK) {
        call_refuse_outcome(call, view->engine, &outcome);
        return;
    }
    struct render render = call_render(call, view);
    struct api_quote_line *lines = call_alloc(call, MARKET_FREEDOM_COUNT * sizeof *lines);
    for (size_t i = 0; i < MARKET_FREEDOM_COUNT; i++) {
        quote.lines[i].freedom = (enum market_freedom)i;
        lines[i] = render_line(&render, &quote.lines[i], &quote.lines[FREEDOM_NONE]);
    }
    struct api_quote answer = {
        .name = submit->name,
        .kind = str_from(workload_kind_name(submit->deadline != 0, submit->preemptible)),
        .nodes = submit->nodes,
        .tier = (int32_t)submit->tier,
        .limit_udollar_per_hour = limit_of(view->engine, submit, quote.lines[FREEDOM_NONE].pool),
        .lines = {lines, MARKET_FREEDOM_COUNT},
    };
    call_answer(call, 200, &api_quote_record, &answer);
}

void route_workload_quote(struct api_call *call)
{
    struct engine_submit *submit = call->own = call_alloc(call, sizeof *submit);
    if (call_submit(call, true, submit))
        call_query(call, quote_read);
}

/* ---- why ---- */

static const char *obstacle_name(enum market_obstacle obstacle)
{
    switch (obstacle) {
    case OBSTACLE_NONE:
        return "none";
    case OBSTACLE_NO_NODE:
        return "no_node";
    case OBSTACLE_PRICE:
        return "price";
    case OBSTACLE_MENU:
        return "menu";
    case OBSTACLE_PROTECTED:
        return "protected";
    case OBSTACLE_CONTIGUITY:
        return "contiguity";
    case OBSTACLE_BUDGET:
        return "budget";
    case OBSTACLE_WINDOW:
        return "window";
    case OBSTACLE_HELD:
        return "held";
    case OBSTACLE_FORWARD:
        return "forward";
    case OBSTACLE_PAUSED:
        return "paused";
    case OBSTACLE_POWER:
        return "power";
    case OBSTACLE_OWNER:
        return "owner";
    case OBSTACLE_DEADLINE:
        return "deadline";
    }
    return "none";
}

static void units_append(struct buf *out, int64_t milli, const char *unit)
{
    milli_print(out, milli);
    buf_printf(out, " %s%s", unit, milli == 1000 ? "" : "s");
}

static void deadline_sentence(const struct market_why *why, const char *unit, struct buf *out)
{
    buf_append_text(out, "It is promised to be done by its deadline for at most ");
    money_append(out, why->most);
    buf_append_text(out, ": it starts by ");
    time_append(out, why->latest);
    buf_append_text(out, ", and before that where a place costs at most ");
    rate_append(out, why->locked, unit);
    buf_append_text(out, "-hour.");
}

/* The sentence that says what stands in the way; others are named as a class alone. */
static void obstacle_sentence(const struct market_why *why, const char *unit, struct str pool,
                              struct buf *out)
{
    switch (why->obstacle) {
    case OBSTACLE_NONE:
        buf_append_text(out, "Nothing stands in its way.");
        return;
    case OBSTACLE_NO_NODE:
        buf_append_text(out, "No node that is up meets its criteria, even when idle.");
        return;
    case OBSTACLE_PRICE:
        buf_append_text(out, "Bids of a higher value hold the place");
        if (why->holder_units_milli > 0) {
            buf_append_text(out, ": ");
            units_append(out, why->holder_units_milli, unit);
            buf_append_text(out, " at ");
            rate_append(out, why->holder_limit, unit);
            buf_append_text(out, "-hour or more");
        }
        buf_append_text(out, ".");
        return;
    case OBSTACLE_MENU:
        buf_append_text(out, "The posted price");
        if (why->post > 0) {
            buf_append_text(out, ", ");
            rate_append(out, why->post, unit);
            buf_append_text(out, "-hour,");
        }
        buf_append_text(out, " is above its limit.");
        return;
    case OBSTACLE_PROTECTED:
        buf_append_text(out, "The place is held by firm work, or by work inside its minimum run.");
        if (why->starving)
            buf_append_text(out, " A block of nodes is being freed for it.");
        return;
    case OBSTACLE_CONTIGUITY:
        buf_append_text(out, "Enough is free, but not together: ");
        units_append(out, why->free_milli, unit);
        buf_append_text(out, " in all, ");
        units_append(out, why->largest_free_milli, unit);
        buf_append_text(out, " side by side.");
        return;
    case OBSTACLE_BUDGET:
        buf_append_text(out, "Its project's budget is spent.");
        return;
    case OBSTACLE_WINDOW:
        buf_append_text(out, "The time before which it must not start has not come.");
        return;
    case OBSTACLE_HELD:
        buf_append_text(out,
                        "Enough is free, but held for others: headroom, a promised slot, or the nodes of a gang that waited long.");
        return;
    case OBSTACLE_FORWARD:
        buf_append_text(out, "The forward price of its term, ");
        rate_append(out, why->forward, unit);
        buf_append_text(out, "-hour, is above its limit.");
        return;
    case OBSTACLE_PAUSED:
        buf_append_text(out, "The operator holds the market: nothing starts now.");
        return;
    case OBSTACLE_POWER:
        buf_printf(out, "The site of %.*s has no power left.", STR_ARGS(pool));
        return;
    case OBSTACLE_OWNER:
        buf_append_text(out, "Its owner paused it: it competes again when it is resumed.");
        return;
    case OBSTACLE_DEADLINE:
        deadline_sentence(why, unit, out);
        return;
    }
}

static void need_sentence(const struct market_why *why, const char *unit, struct str pool,
                          struct buf *out)
{
    if (why->needed_milli <= 0)
        return;
    buf_append_text(out, " It needs ");
    units_append(out, why->needed_milli, unit);
    if (pool.size)
        buf_printf(out, " of %.*s, of which ", STR_ARGS(pool));
    else
        buf_append_text(out, ", of which ");
    units_append(out, why->free_milli, unit);
    buf_append_text(out, why->free_milli == 1000 ? " is free." : " are free.");
}

static void why_text(const struct market_why *why, const char *unit, struct str pool, time_ms now,
                     struct buf *out)
{
    obstacle_sentence(why, unit, pool, out);
    need_sentence(why, unit, pool, out);
    if (why->ahead > 0)
        buf_printf(out, " %llu waiting workload%s of higher rank %s before it.",
                   (unsigned long long)why->ahead, why->ahead == 1 ? "" : "s",
                   why->ahead == 1 ? "stands" : "stand");
    if (why->soonest != TIME_NEVER && why->soonest > now) {
        buf_append_text(out, " The soonest start known is in ");
        span_print(out, why->soonest - now);
        buf_append_text(out, ", at ");
        time_append(out, why->soonest);
        buf_append_text(out, ".");
    }
    if (why->has_limit) {
        buf_append_text(out, " A limit of ");
        rate_append(out, why->go_live, unit);
        buf_append_text(out, "-hour would start it now.");
    } else if (why->obstacle != OBSTACLE_NONE && why->obstacle != OBSTACLE_BUDGET && why->obstacle != OBSTACLE_DEADLINE) {
        buf_append_text(out, " No higher limit would start it now.");
    }
}

static void answer_waiting(struct api_call *call, const struct core_view *view,
                           const struct engine_workload *w, const struct market_why *why)
{
    _cleanup_buf_ struct buf text = BUF_INIT(2048);
    struct str pool = pool_name(view->engine, why->pool, call_arena(call));
    why_text(why, unit_of(view->engine, why->pool ? why->pool : w->pool), pool, view->now, &text);
    struct api_why answer = {
        .id = call_id(call, "work", w->id),
        .state = str_from(workload_state_name(w->state)),
        .obstacle = str_from(obstacle_name(why->obstacle)),
        .text = buf_str(&text),
        .pool = pool,
        .needed_milli = why->needed_milli,
        .free_milli = why->free_milli,
        .largest_free_milli = why->largest_free_milli,
        .holder_units_milli = why->holder_units_milli,
        .holder_limit_udollar_per_hour = why->holder_limit,
        .ahead = (int64_t)why->ahead,
        .soonest_ms = why->soonest == TIME_NEVER ? 0 : why->soonest,
        .latest_start_ms = why->latest,
        .most_udollar = why->most,
        .has_limit = why->has_limit,
        .start_limit_udollar_per_hour = why->has_limit ? why->go_live : 0,
    };
    call_answer(call, 200, &api_why_record, &answer);
}

static void answer_state(struct api_call *call, struct str state, const char *text)
{
    struct api_why answer = {.id = call_id(call, "work", call_workload_id(call)),
                             .state = state,
                             .obstacle = STR("none"),
                             .text = str_from(text)};
    call_answer(call, 200, &api_why_record, &answer);
}

static const char *state_sentence(enum engine_workload_state state)
{
    switch (state) {
    case WORKLOAD_WAITING:
        return "It waits to be placed.";
    case WORKLOAD_ASSIGNED:
        return "It has its place; its replicas are being started.";
    case WORKLOAD_RUNNING:
        return "It runs.";
    case WORKLOAD_PREEMPTING:
        return "It was given notice and leaves its place.";
    case WORKLOAD_FINISHED:
    case WORKLOAD_FAILED:
    case WORKLOAD_CANCELLED:
    case WORKLOAD_REJECTED:
    case WORKLOAD_STATE_COUNT:
        break;
    case WORKLOAD_PAUSED:
        return "Its owner paused it: it competes again when it is resumed.";
    }
    return "It has ended.";
}

void route_workload_why(struct api_call *call, const struct core_view *view)
{
    const struct engine_workload *w = call_workload(call, view->engine);
    const struct table_workload *past;
    struct market_why why;
    if (!w) {
        if (call_past_workload(call, view, &past))
            answer_state(call, past->state, state_sentence(WORKLOAD_FINISHED));
        return;
    }
    if (w->state == WORKLOAD_WAITING && engine_why(view->engine, w->id, &why))
        answer_waiting(call, view, w, &why);
    else
        answer_state(call, str_from(workload_state_name(w->state)), state_sentence(w->state));
}
