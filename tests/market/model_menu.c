/* SPDX-License-Identifier: Apache-2.0 */
/* Laws of the menu and of a batch as a whole. */
#include "model.h"

/* ---- invariant 21: no faster than the ramp, but for a noted refusal
 * ------------------------------------------------------- */

/* One step of the third significant digit: what rounding may have hidden. */
static int64_t grain_of(int64_t scarcity)
{
    int64_t unit = 1;
    while (scarcity / unit >= 1000)
        unit *= 10;
    return unit;
}

void model_check_ramp(struct world *w, const struct tag *before, const struct market_event *e)
{
    time_ms tick = market_setting(w->m, SETTING_TICK_MS), span = MIN(w->now - w->last_tick, tick);
    int64_t exact = before->scarcity + grain_of(before->scarcity);
    int64_t base = e->posted.lowest_ask ? e->posted.lowest_ask : 10000;
    int128 grown = exact + (int128)exact * market_setting(w->m, SETTING_RAMP_PERMILLE) * span / 60000000;
    int128 most = grown + (int128)MAX(base / 100, 1) * span / tick + 1;
    if (w->last_tick && !w->noted && e->posted.scarcity > most)
        world_fail(w, "invariant 21: scarcity rose from %lld to %lld in %lld ms", (long long)before->scarcity,
                   (long long)e->posted.scarcity, (long long)span);
}

/* ---- invariant 22: where everybody fits on the cheapest nodes nothing is scarce
 * --------------------------------------------------------- */

static int64_t most_wanted(const struct world *w, const struct track *t, const struct ground *g)
{
    int64_t most = 0;
    for (size_t a = 0; a < t->spec.alternative_count; a++)
        if (model_choice_matches(&t->alternatives[a].choices[0], &g->sample))
            most = MAX(most, model_units(&g->view.amounts, &t->alternatives[a].choices[0].amounts) *
                                 t->roles[0].replicas_max);
    (void)w;
    return most;
}

void model_check_spare(struct world *w)
{
    for (size_t i = 0; i < w->ground_count; i++) {
        const struct ground *g = &w->ground[i];
        const struct tag *tag = world_tag(w, g->view.pool);
        int64_t cheapest = 0, wanted = 0;
        for (size_t k = 0; k < w->plot_count; k++)
            if (w->plots[k].up && !w->plots[k].draining && tag && w->plots[k].spec.ask == tag->lowest_ask && !model_is_held(w, &w->plots[k]) &&
                model_node_of_pool(&w->plots[k].spec, &g->view))
                cheapest += model_node_units(&w->plots[k].spec);
        for (size_t k = 0; k < w->track_count; k++)
            if (w->tracks[k].state != TRACK_OVER)
                wanted += most_wanted(w, &w->tracks[k], g);
        if (tag && wanted <= cheapest && tag->scarcity)
            world_fail(w, "invariant 22: %lld units are wanted of %lld at the lowest ask, scarcity is %lld",
                       (long long)wanted, (long long)cheapest, (long long)tag->scarcity);
    }
}

/* ---- invariants 8 and 31: who comes and displaces raises the whole by more than his victims' bonuses
 * -------------------------------- */

static int128 stakes_of(const struct world *w)
{
    int128 sum = 0;
    struct market_bid_view v;
    for (size_t i = 0; i < w->active_count; i++) {
        const struct track *t = &w->tracks[w->active[i]];
        if (t->state != TRACK_VACATING && market_bid_view(w->m, t->id, w->now, &v))
            sum += v.limit - v.asks;
    }
    return sum;
}

void model_before(struct world *w)
{
    w->arrivals_only = w->batch_count > 0;
    for (size_t i = 0; i < w->batch_count; i++)
        w->arrivals_only &= w->batch[i].type == MARKET_BID_ADD;
    model_headroom_before(w);
    if (!w->laws || !w->arrivals_only)
        return;
    w->stakes = stakes_of(w);
    struct market_bid_view v;
    for (size_t i = 0; i < w->active_count; i++) {
        struct track *t = &w->tracks[w->active[i]];
        t->stay = market_bid_view(w->m, t->id, w->now, &v) ? v.stay : 0;
    }
}

void model_after(struct world *w)
{
    bool ticked = false, posted = false, sold = false; /* sold: what was sold forward begins there */
    int128 bonuses = 0;
    size_t evictions = 0;
    for (size_t i = 0; i < w->batch_count; i++)
        ticked |= w->batch[i].type == MARKET_TICK;
    w->noted &= !ticked;
    for (size_t i = 0; i < w->events.count; i++) {
        const struct market_event *e = &w->events.items[i];
        posted |= e->type == EVENT_PRICE_POSTED;
        w->noted |= e->type == EVENT_TICK_WANTED && (posted || !ticked);
        if (e->type == EVENT_PREEMPTING && e->preempting.reason == RELEASE_PREEMPTED) {
            bonuses += world_track(w, e->bid)->stay;
            evictions++;
            sold |= e->preempting.by_units_milli == 0;
        }
    }
    if (w->laws)
        model_headroom_after(w);
    /* who starts within a subscription recalls others, whatever they gain */
    if (!w->laws || !w->arrivals_only || evictions == 0 || sold || market_subscription_count(w->m))
        return;
    int128 after = stakes_of(w);
    /* every view is rounded down to a whole µ$ */
    if (after + (int128)w->active_count + 1 < w->stakes + bonuses)
        world_fail(w, "invariant 31: %zu are sent away for a gain of %lld µ$ an hour, to stay was worth %lld", evictions,
                   (long long)(after - w->stakes), (long long)bonuses);
}
