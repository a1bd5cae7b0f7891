/* SPDX-License-Identifier: Apache-2.0 */
#include "sim/format.h"
#include "sim/spot.h"

#include "base/memory.h"

#include <errno.h>

static const struct spot_policy *const policies[] = {&spot_deadline, &spot_uniform_progress,
                                                     &spot_greedy};
static const int64_t deadline_hours[] = {52, 70};

static const struct spot_policy *policy_find(const char *name)
{
    for (size_t i = 0; i < ARRAY_COUNT(policies); i++)
        if (str_is(str_from(name), policies[i]->name))
            return policies[i];
    CHECK(!"the name was checked");
}

struct sums {
    int128 cost[ARRAY_COUNT(deadline_hours)]; /* µ$ an hour x ticks */
    int64_t late, windows, starts;
};

static double dollars(int128 cost, int64_t count)
{
    return count ? (double)cost / (1e6 * HOUR_MS / SPOT_TICK_MS * (double)count) : 0;
}

static int windows_run(const struct spot_traces *s, const struct sim_options *o, struct sums *ret,
                       struct error *err)
{
    const struct spot_policy *policy = policy_find(o->policy);
    for (size_t i = 0; i < s->window_count; i++) {
        const struct spot_window *w = &s->windows[i];
        if (w->first < o->tick_first || w->end > o->tick_end)
            continue;
        ret->windows++;
        for (size_t k = 0; k < ARRAY_COUNT(deadline_hours); k++) {
            int64_t ticks = deadline_hours[k] * HOUR_MS / SPOT_TICK_MS;
            if (w->end - w->first < ticks)
                return error_set(err, -EINVAL, "%s: a window of %lld ticks is shorter than %lld h",
                                 o->trace.path, (long long)(w->end - w->first),
                                 (long long)deadline_hours[k]);
            struct spot_result r = spot_run(&s->traces[w->trace], w, ticks, policy);
            ret->cost[k] += spot_cost(&r);
            ret->late += r.late;
            ret->starts += r.starts;
        }
    }
    return 0;
}

static int spot_format_run(const struct sim_options *o, struct report *ret, struct error *err)
{
    struct spot_traces s = {};
    struct sums sums = {};
    if (!o->availability)
        return error_set(err, -EINVAL,
                         "--availability: the folder with traces.csv and changes_*.csv is needed");
    int status = spot_read_availability(&s, o->availability, err);
    if (status == 0)
        status = spot_read_windows(&s, o->trace.path, err);
    if (status == 0)
        status = windows_run(&s, o, &sums, err);
    spot_fini(&s);
    if (status)
        return status;
    report_text(ret, "policy", o->policy);
    report_real(ret, "average_cost_usd", dollars(sums.cost[0] + sums.cost[1], 2 * sums.windows));
    report_integer(ret, "late", sums.late);
    report_integer(ret, "simulations", 2 * sums.windows);
    report_real(ret, "average_cost_52h_usd", dollars(sums.cost[0], sums.windows));
    report_real(ret, "average_cost_70h_usd", dollars(sums.cost[1], sums.windows));
    report_integer(ret, "starts", sums.starts);
    return 0;
}

const struct sim_format format_spot = {
    .name = "cant-be-late",
    .doc = "one job of 48 h with a deadline, on spot and on demand (windows of Can't Be Late)",
    .options = 1u << OPTION_AVAILABILITY | 1u << OPTION_TICKS,
    .policies = "deadline uniform-progress greedy",
    .run = spot_format_run,
};
