/* SPDX-License-Identifier: Apache-2.0 */
/* Tight starts: what was subscribed to starts in time, and nobody else uses what is held for it. */
#include "model.h"

static time_ms tier_start(const struct world *w, uint32_t tier)
{
    time_ms start = TIME_NEVER;
    for (uint32_t i = tier; i <= MARKET_TIERS; i++)
        start = MIN(start, market_setting(w->m, SETTING_TIER1_START_MS + i - 1));
    return start;
}

static time_ms leave_time(const struct world *w, const struct track *t)
{
    return t->spec.kind == BID_PREEMPTIBLE ? t->spec.notice + market_setting(w->m, SETTING_KILL_MS) : TIME_NEVER;
}

/* ---- what is posted ------------------------------------------------------------------------------------------ */

void model_headroom_posted(struct world *w, const struct market_event *e)
{
    const struct tag *tag = world_tag(w, e->headroom.pool);
    if (e->headroom.credit > e->headroom.price || e->headroom.price > tag->scarcity || e->headroom.credit < 0)
        world_fail(w, "section 7: a credit of %lld on headroom at %lld, scarcity is %lld", (long long)e->headroom.credit,
                   (long long)e->headroom.price, (long long)tag->scarcity);
    ARRAY_RESERVE(w->credits, w->credit_count, w->credit_capacity);
    w->credits[w->credit_count++] = (struct credit_tag){e->headroom.pool, e->headroom.tier, e->headroom.credit,
        tier_start(w, e->headroom.tier) - market_setting(w->m, SETTING_KILL_MS)};
}

int64_t model_credit(const struct world *w, const struct track *t, market_id pool)
{
    int64_t credit = 0;
    for (size_t i = 0; i < w->credit_count && t->spec.tier == 0; i++)
        if (w->credits[i].pool == pool && t->spec.kind == BID_PREEMPTIBLE && t->spec.notice <= w->credits[i].notice)
            credit += w->credits[i].credit;
    return credit;
}

bool model_may_recall(const struct world *w, const struct track *t)
{
    bool may = false;
    for (size_t i = 0; i < market_subscription_count(w->m); i++)
        may |= leave_time(w, t) <= tier_start(w, market_subscription(w->m, i).tier);
    return may;
}

/* ---- invariant 40: what is held is there ----------------------------------------------------------------------- */

/* Free, or on nodes of those who leave in time. */
static int64_t units_in_time(const struct world *w, const struct plot *p, time_ms start)
{
    int64_t units = model_node_units(&p->spec) - p->units_milli;
    for (size_t i = 0; i < w->active_count; i++) {
        const struct track *t = &w->tracks[w->active[i]];
        for (size_t j = 0; j < t->placement_count && t->state != TRACK_VACATING && leave_time(w, t) <= start; j++)
            units += t->placements[j].node == p->spec.id ? t->placements[j].units_milli : 0;
    }
    return units;
}

bool model_is_held(const struct world *w, const struct plot *p)
{
    bool held = false;
    for (uint32_t tier = 1; tier <= MARKET_TIERS; tier++)
        held |= market_node_held(w->m, p->spec.id, tier) > 0;
    return held;
}

static void check_held(struct world *w, const struct plot *p)
{
    int64_t held = 0;
    for (uint32_t tier = 1; tier <= MARKET_TIERS; tier++) {
        held += market_node_held(w->m, p->spec.id, tier);
        if (held > 0 && (!p->up || p->draining || held > units_in_time(w, p, tier_start(w, tier))))
            world_fail(w, "invariant 40: %lld units of %s are held for tiers up to %u and are not there in time", (long long)held,
                       NAME(w, p->spec.id), tier);
    }
}

/* Nothing that anybody may use is missing while a node stands empty. */
static void check_rebuilt(struct world *w, const struct market_subscription_view *s)
{
    int64_t missing = s->units_milli - s->used_milli - s->held_milli;
    if (missing < 0 && s->held_milli > 0) /* a quantity may be cut below what is in use */
        world_fail(w, "invariant 40: %s has %lld units held and %lld in use of %lld", NAME(w, s->tenant), (long long)s->held_milli,
                   (long long)s->used_milli, (long long)s->units_milli);
    for (size_t i = 0; i < w->plot_count && !s->unpaid; i++) {
        const struct plot *p = &w->plots[i];
        time_ms from;
        if (market_node_block(w->m, p->spec.id, &from))
            continue;
        if (missing >= 1000 && p->up && !p->draining && !model_is_held(w, p) && p->units_milli == 0 && model_choice_matches(&s->choice, &p->spec))
            world_fail(w, "invariant 39: %s lacks %lld units of its headroom, and %s is free", NAME(w, s->tenant), (long long)missing,
                       NAME(w, p->spec.id));
    }
}

void model_check_headroom(struct world *w)
{
    size_t count = market_subscription_count(w->m);
    bool sold_forward = false;
    for (size_t i = 0; i < w->track_count; i++)
        sold_forward |= w->tracks[i].spec.kind == BID_DEADLINE;
    for (size_t i = 0; i < w->plot_count && count; i++)
        check_held(w, &w->plots[i]);
    for (size_t i = 0; i < count && !sold_forward; i++) {
        struct market_subscription_view s = market_subscription(w->m, i);
        check_rebuilt(w, &s);
    }
}

/* ---- invariants 39 and 40: over a batch of bids ------------------------------------------------------------------- */

void model_headroom_before(struct world *w)
{
    w->pledge_count = 0;
    for (size_t i = 0; i < market_subscription_count(w->m) && w->arrivals_only; i++) {
        ARRAY_RESERVE(w->pledges, w->pledge_count, w->pledge_capacity);
        w->pledges[w->pledge_count++] = market_subscription(w->m, i);
    }
}

/* The only bid of the batch that it can be used by, or NULL; those worth more than what is held make it moot. */
static struct track *only_starter(struct world *w, const struct market_subscription_view *s)
{
    struct track *only = NULL;
    int64_t loss = market_setting(w->m, SETTING_TIER1_LOSS + s->tier - 1);
    for (size_t i = 0; i < w->batch_count; i++) {
        struct track *t = world_track(w, w->batch[i].bid.id);
        for (size_t a = 0; a < t->spec.alternative_count; a++)
            if (t->alternatives[a].limit > loss)
                return NULL;
        if (t->spec.tenant != s->tenant || t->spec.tier == 0)
            continue;
        if (only)
            return NULL;
        only = t;
    }
    return only;
}

static bool is_promised(const struct world *w, const struct market_subscription_view *s, const struct track *t)
{
    const struct market_alternative *a = &t->alternatives[0];
    if (t->spec.tier != s->tier || t->spec.alternative_count > 1 || t->roles[0].replicas_min > 1 || s->unpaid)
        return false;
    int64_t units = 0;
    for (size_t i = 0; i < w->plot_count; i++) { /* every node that the subscription means must do for it */
        const struct market_node *n = &w->plots[i].spec;
        if (!model_choice_matches(&s->choice, n))
            continue;
        int64_t here = model_units(&n->amounts, &a->choices[0].amounts);
        if (here == 0 || !model_choice_matches(&a->choices[0], n) || n->ask > a->limit - a->transfer)
            return false;
        units = MAX(units, here);
    }
    bool is_limited = false;
    for (size_t i = 0; i < w->limited_count; i++)
        is_limited |= w->limited[i].tenant == t->spec.tenant;
    return units > 0 && units <= s->ready_milli && s->used_milli + units <= s->units_milli && !is_limited;
}

static void check_start(struct world *w, const struct market_subscription_view *s, const struct track *t)
{
    if (t->state != TRACK_ASSIGNED && t->state != TRACK_READY && t->state != TRACK_RUNNING)
        world_fail(w, "invariant 39: %s does not start, %lld units are held for it on a node", NAME(w, t->id), (long long)s->ready_milli);
    time_ms by = w->now + tier_start(w, s->tier), kill = market_setting(w->m, SETTING_KILL_MS);
    for (size_t i = 0; i < w->active_count; i++) {
        const struct track *other = &w->tracks[w->active[i]];
        for (size_t j = 0; j < other->placement_count && other->state == TRACK_VACATING; j++)
            for (size_t k = 0; k < t->placement_count && t->state == TRACK_ASSIGNED; k++)
                if (other->placements[j].node == t->placements[k].node && !other->gone[j] && other->leave_by + kill > by)
                    world_fail(w, "invariant 39: %s waits for %s, which has longer than its tier", NAME(w, t->id), NAME(w, other->id));
    }
}

void model_headroom_after(struct world *w)
{
    for (size_t i = 0; i < w->pledge_count; i++) {
        const struct market_subscription_view *s = &w->pledges[i];
        struct market_subscription_view now = market_subscription(w->m, i);
        struct track *t = only_starter(w, s);
        if (t && t->state != TRACK_OVER && is_promised(w, s, t))
            check_start(w, s, t);
        bool moot = false;
        for (size_t k = 0; k < w->batch_count; k++)
            moot |= world_track(w, w->batch[k].bid.id)->first_limit > market_setting(w->m, SETTING_TIER1_LOSS + s->tier - 1);
        if (!moot && w->pledge_count == 1 && now.held_milli + MAX(now.used_milli - s->used_milli, 0) < s->held_milli / 1000 * 1000 - 1000)
            world_fail(w, "invariant 40: %lld units were held for %s, %lld are after others came", (long long)s->held_milli,
                       NAME(w, s->tenant), (long long)now.held_milli);
    }
}
