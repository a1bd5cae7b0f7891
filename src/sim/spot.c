/* SPDX-License-Identifier: Apache-2.0 */
#include "sim/spot.h"

#include "base/memory.h"

static int64_t ticks_up(time_ms span)
{
    return div_ceil(span, SPOT_TICK_MS);
}

static int64_t ticks_down(time_ms span)
{
    return div_floor(span, SPOT_TICK_MS);
}

/* On demand as late as can be; else spot when there is some. */
static enum deadline_action greedy_decide(const struct deadline *d, time_ms elapsed)
{
    (void)elapsed;
    bool late = ticks_up(d->work_left + 2 * d->restart) >= ticks_down(d->time_left);
    if (late && d->running != DEADLINE_CHEAP)
        return DEADLINE_FIRM;
    return d->offered ? DEADLINE_CHEAP : DEADLINE_WAIT;
}

/* Never behind the line from nothing at the start to all of the work at the deadline; from
 * on-demand back to spot only when ahead of it by two restarts. */
static enum deadline_action uniform_decide(const struct deadline *d, time_ms elapsed)
{
    time_ms deadline = elapsed + d->time_left, done = SPOT_WORK_MS - d->work_left;
    int128 ahead = (int128)done * deadline - (int128)SPOT_WORK_MS * elapsed;
    if (d->offered) {
        bool enough = ahead > (int128)2 * d->restart * SPOT_WORK_MS;
        return d->running == DEADLINE_FIRM && !enough ? DEADLINE_FIRM : DEADLINE_CHEAP;
    }
    return d->running == DEADLINE_FIRM || ahead < 0 ? DEADLINE_FIRM : DEADLINE_WAIT;
}

static enum deadline_action market_decide(const struct deadline *d, time_ms elapsed)
{
    (void)elapsed;
    return deadline_decide(d);
}

const struct spot_policy spot_greedy = {"greedy", greedy_decide};
const struct spot_policy spot_uniform_progress = {"uniform-progress", uniform_decide};
const struct spot_policy spot_deadline = {"deadline", market_decide};

/* The net under every policy: on demand when there is no time for anything else, but spot that runs
 * goes on. */
static enum deadline_action safety_net(const struct deadline *d, enum deadline_action wanted)
{
    if (wanted == DEADLINE_CHEAP && !d->offered)
        wanted = DEADLINE_WAIT;
    if (ticks_up(d->work_left + d->restart) < ticks_down(d->time_left))
        return wanted;
    return d->running == DEADLINE_CHEAP ? DEADLINE_CHEAP : DEADLINE_FIRM;
}

struct spot_result spot_run(const struct spot_trace *trace, const struct spot_window *w,
                            int64_t deadline_ticks, const struct spot_policy *policy)
{
    struct spot_result r = {0};
    struct deadline d = {.work_left = SPOT_WORK_MS,
                         .restart = w->restart,
                         .step = SPOT_TICK_MS,
                         .cheap = SPOT_PRICE,
                         .firm = ON_DEMAND_PRICE};
    for (int64_t tick = 0; d.work_left > 0; tick++) {
        if (tick == deadline_ticks) {
            r.late = true;
            break;
        }
        d.time_left = (deadline_ticks - tick) * SPOT_TICK_MS;
        d.offered = trace->available[w->first + tick];
        if (d.running == DEADLINE_CHEAP && !d.offered)
            d.running = DEADLINE_WAIT;
        enum deadline_action action = safety_net(&d, policy->decide(&d, tick * SPOT_TICK_MS));
        if (action != DEADLINE_WAIT) {
            bool starts = action != d.running;
            d.work_left -= SPOT_TICK_MS - (starts ? d.restart : 0);
            r.starts += starts;
            r.spot_ticks += action == DEADLINE_CHEAP;
            r.on_demand_ticks += action == DEADLINE_FIRM;
        }
        d.running = action;
    }
    return r;
}

int128 spot_cost(const struct spot_result *r)
{
    return r->spot_ticks * (int128)SPOT_PRICE + r->on_demand_ticks * (int128)ON_DEMAND_PRICE;
}
