/* SPDX-License-Identifier: Apache-2.0 */
/* Laws that look at several bids or at time: nothing idles that somebody waits for, nobody is moved
 * against the rules, more freedom never costs more, sellers get their asks. */
#include "model.h"

#define RATE_SCALE ((int128)1000 * HOUR_MS)

/* ---- invariant 1, in space: what is physically there
 * ---------------------------------------------------- */

void model_check_standing(struct world *w)
{
    for (size_t i = 0; i < w->plot_count; i++)
        w->plots[i].standing = (struct market_amounts){0};
    for (size_t i = 0; i < w->active_count; i++) {
        const struct track *t = &w->tracks[w->active[i]];
        for (size_t j = 0; j < t->placement_count && t->stands; j++)
            if (!t->gone[j])
                model_amounts_add(&world_plot(w, t->placements[j].node)->standing,
                                  &t->placements[j].amounts, 1);
    }
    for (size_t i = 0; i < w->plot_count; i++)
        if (!model_amounts_within(&w->plots[i].standing, &w->plots[i].spec.amounts))
            world_fail(w, "invariant 1: more stands on %s than it has",
                       NAME(w, w->plots[i].spec.id));
}

/* ---- invariant 7: free capacity and somebody who would take it
 * -------------------------------------------- */

static bool replica_fits(const struct plot *p, const struct market_amounts *a)
{
    struct market_amounts after = p->taken;
    model_amounts_add(&after, a, 1);
    if (!p->up || p->draining || !model_amounts_within(&after, &p->spec.amounts) ||
        p->units_milli + model_units(&p->spec.amounts, a) > model_node_units(&p->spec))
        return false;
    if (a->gpu_milli == 0 || a->gpu_milli >= 1000) {
        /* whole ones: an aligned block of the next power of two that is quite free */
        int count = (int)(a->gpu_milli / 1000), size = 1,
            gpus = (int)(p->spec.amounts.gpu_milli / 1000);
        while (size < count)
            size *= 2;
        for (int first = 0; first + count <= gpus; first += size) {
            int free = 0;
            for (int i = first; i < first + size && i < gpus; i++)
                free += p->gpu_taken[i] == 0;
            if (free >= count)
                return true;
        }
        return count == 0;
    }
    for (int i = 0; i < p->spec.amounts.gpu_milli / 1000; i++)
        if (p->gpu_taken[i] + a->gpu_milli <= 1000)
            return true;
    return false;
}

/* It comes free for a gang that starves: who would not be gone in time does not start there. */
static bool model_is_blocked(const struct world *w, const struct plot *p, const struct track *t)
{
    time_ms from;
    market_id gang = market_node_block(w->m, p->spec.id, &from);
    return gang && gang != t->id;
}

/* The cheapest asks, µ$ × milli-units an hour, at which all replicas stand together at the place of
 * this node; −1 where they do not fit. */
static int64_t asks_beside(const struct world *w, const struct track *t, size_t alternative,
                           const struct ground *g, const struct market_node *at)
{
    const struct market_alternative *a = &t->alternatives[alternative];
    uint32_t needed = t->roles[0].replicas_min;
    udollar cheapest[64];
    uint32_t count = 0;
    for (size_t i = 0; i < w->plot_count && needed <= 64; i++) {
        const struct plot *p = &w->plots[i];
        if (!model_node_of_pool(&p->spec, &g->view) ||
            model_place(&p->spec, a->level) != model_place(at, a->level) ||
            !replica_fits(p, &a->choices[0].amounts) || model_is_held(w, p) || model_is_blocked(w, p, t))
            continue;
        udollar ask = p->spec.ask;
        for (uint32_t k = 0; k < count; k++)
            if (ask < cheapest[k]) {
                udollar larger = cheapest[k];
                cheapest[k] = ask;
                ask = larger;
            }
        if (count < needed)
            cheapest[count++] = ask;
    }
    if (count < needed)
        return -1;
    int64_t sum = 0;
    for (uint32_t k = 0; k < needed; k++)
        sum += cheapest[k] * model_units(&g->view.amounts, &a->choices[0].amounts);
    return sum;
}

static void check_idle(struct world *w, const struct track *t)
{
    for (size_t i = 0; i < w->ground_count; i++)
        for (size_t a = 0; a < t->spec.alternative_count; a++) {
            const struct ground *g = &w->ground[i];
            enum market_level level = t->alternatives[a].level;
            if (level == LEVEL_RACKS || level == LEVEL_NODE || !model_eligible(t, a, g))
                continue;
            int64_t net = model_rate_at(w, t, a, g, t->first_limit);
            for (size_t k = 0; k < w->plot_count; k++) {
                if (!model_node_of_pool(&w->plots[k].spec, &g->view))
                    continue;
                int64_t asks = asks_beside(w, t, a, g, &w->plots[k].spec);
                if (asks >= 0 && net >= asks)
                    world_fail(
                        w, "invariant 7: %s waits, and fits beside %s at asks of %lld within %lld",
                        NAME(w, t->id), NAME(w, w->plots[k].spec.id), (long long)(asks / 1000),
                        (long long)(net / 1000));
            }
        }
}

static bool is_limited(const struct world *w, market_id tenant)
{
    for (size_t i = 0; i < w->limited_count; i++)
        if (w->limited[i].tenant == tenant)
            return true;
    return false;
}

/* ---- invariants 35 and 36: what was promised is done in time, for what was quoted
 * -------------------------------------------------------------------------------------------------- */

static bool is_promised(const struct world *w, const struct track *t)
{
    return t->committed && !t->spoiled && w->last_loss == 0;
}

void model_check_deadline(struct world *w, const struct track *t)
{
    if (is_promised(w, t) && t->reason == RELEASE_ENDED && w->now > t->spec.latest)
        world_fail(w, "invariant 35: %s was promised by %lld and is done at %lld", NAME(w, t->id), (long long)(t->spec.latest - w->started),
                   (long long)(w->now - w->started));
}

void model_check_promises(struct world *w)
{
    for (size_t i = 0; i < w->track_count; i++) {
        const struct track *t = &w->tracks[i];
        struct market_bid_view v;
        if (!t->committed || t->state == TRACK_OVER || !market_bid_view(w->m, t->id, w->now, &v) || !v.committed)
            continue;
        if (v.charged_now > t->quoted || v.most != t->quoted)
            world_fail(w, "invariant 36: %s is charged %lld of a quote of %lld", NAME(w, t->id), (long long)v.charged_now, (long long)t->quoted);
        bool has_place = t->state == TRACK_ASSIGNED || t->state == TRACK_READY || t->state == TRACK_RUNNING;
        if (is_promised(w, t) && w->now >= t->latest && !has_place)
            world_fail(w, "invariant 35: %s has no place when its placeholder begins", NAME(w, t->id));
    }
}

/* Some node may be held for a placeholder of another that would begin while this one may not be moved. */
static bool meets_placeholder(const struct world *w, const struct track *t)
{
    time_ms least = t->spec.minimum_run ? t->spec.minimum_run : market_setting(w->m, SETTING_MINIMUM_RUN_MS);
    time_ms kill = market_setting(w->m, SETTING_KILL_MS), wait = 0; /* until others have left */
    for (size_t i = 0; i < w->active_count; i++)
        wait = MAX(wait, w->tracks[w->active[i]].spec.notice + kill);
    time_ms until = w->now + wait + MAX(least, 3 * t->spec.startup) + t->spec.notice + kill;
    for (size_t i = 0; i < w->track_count; i++) {
        const struct track *other = &w->tracks[i];
        if (other != t && other->committed && other->state != TRACK_OVER && other->latest < until)
            return true;
    }
    return false;
}

void model_check_idle(struct world *w)
{
    for (size_t i = 0; i < w->track_count; i++) {
        const struct track *t = &w->tracks[i];
        if (t->state == TRACK_WAITING && model_is_simple(t) && t->preemptions == 0 &&
            !is_limited(w, t->spec.tenant) && !meets_placeholder(w, t))
            check_idle(w, t);
    }
}

/* ---- invariants 17 and 18: a freer self, or one with a higher limit, at the same site and menu
 * -------------- */

static void freer(struct world *w, const struct track *t, int64_t rate, int variant)
{
    struct market_alternative alternatives[MARKET_ALTERNATIVES_MAX + 1];
    struct market_choice choices[MARKET_ALTERNATIVES_MAX + 1];
    struct track other = *t;
    size_t count = t->spec.alternative_count;
    for (size_t i = 0; i < count; i++) {
        alternatives[i] = t->alternatives[i];
        choices[i] = t->alternatives[i].choices[0];
        if (variant == 0 && alternatives[i].level > LEVEL_ANY)
            alternatives[i].level--;
        if (variant == 1)
            choices[i].zone = 0;
        if (variant == 2)
            choices[i].sku = 0;
        alternatives[i].racks = MAX(alternatives[i].racks, 1);
        alternatives[i].choices = &choices[i];
    }
    if (variant == 3) {
        choices[count] = choices[0];
        choices[count].sku = choices[count].zone = 0;
        alternatives[count] = alternatives[0];
        alternatives[count].choices = &choices[count];
        count++;
    }
    other.alternatives = alternatives;
    other.spec.alternative_count = count;
    int64_t freer_rate = MAX(model_rate(w, &other, t->first_limit), t->asks);
    w->count.cases++;
    if (freer_rate > rate)
        world_fail(w, "invariant 17: %s pays %lld µ$ an hour, a freer self (%d) would pay %lld",
                   NAME(w, t->id), (long long)(rate / 1000), variant,
                   (long long)(freer_rate / 1000));
}

static void richer(struct world *w, const struct track *t, int64_t rate)
{
    const struct tag *tag = world_tag(w, t->pool);
    udollar limit = MIN(t->first_limit + t->first_limit / 7 + 12345, MARKET_RATE_MAX);
    int64_t there = MAX(model_rate(w, t, limit), t->asks);
    int64_t menu = MAX(tag ? (tag->marginal + tag->scarcity) * t->units_milli : INT64_MAX, t->asks);
    w->count.cases++;
    if (t->alternatives[0].limit == t->alternatives[t->alternative].limit &&
        there > MAX(rate, menu))
        world_fail(w, "invariant 18: %s would pay %lld with a higher limit, the menu is %lld",
                   NAME(w, t->id), (long long)(there / 1000), (long long)(menu / 1000));
}

void model_check_freedom(struct world *w)
{
    for (size_t i = 0; i < w->active_count; i++) {
        const struct track *t = &w->tracks[w->active[i]];
        if (!model_is_simple(t) || t->state != TRACK_RUNNING)
            continue;
        int64_t rate = MAX(model_rate(w, t, t->first_limit), t->asks);
        for (int variant = 0; variant < 4; variant++)
            freer(w, t, rate, variant);
        richer(w, t, rate);
    }
}

/* ---- invariants 29 and 30: who is moved by price
 * ---------------------------------------------------------- */

/* Lost capacity may take the place of what is worth least, even in its minimum run. */
void model_check_eviction(struct world *w, const struct track *t)
{
    if (w->now <= w->last_loss + 120000)
        return;
    if (t->state == TRACK_RUNNING && t->spec.kind == BID_PREEMPTIBLE && w->now < t->protected_until && !model_may_recall(w, t))
        world_fail(w, "invariant 29: %s is preempted by price in its minimum run", NAME(w, t->id));
    time_ms term = t->spec.term ? t->spec.term : market_setting(w->m, SETTING_TERM_MS);
    if (t->state == TRACK_RUNNING && t->spec.kind == BID_FIRM && w->now < t->started + term)
        world_fail(w, "invariant 29: %s is preempted by price in its firm term", NAME(w, t->id));
}

/* ---- invariant 33: what stays put, and for how long
 * ---------------------------------------------------------- */

static void watch_price(const struct world *w, struct track *t)
{
    const struct tag *tag = world_tag(w, t->pool);
    const struct market_alternative *a = &t->alternatives[t->alternative];
    udollar first = t->alternatives[0].limit, limit = t->first_limit;
    if (limit != first)
        limit = (udollar)((int128)limit * a->limit / MAX(first, 1));
    else
        limit = a->limit;
    bool out = tag && limit - a->transfer < tag->marginal + tag->scarcity;
    if (!out || t->state != TRACK_RUNNING)
        t->out_since = 0;
    else if (t->out_since == 0 && w->just_ticked)
        t->out_since = w->now;
}

/* Never above what a restart was measured to cost, doubled up to what was declared after four
 * preemptions; nothing after H out of the money or within H of a cut. */
void model_check_stay(struct world *w)
{
    time_ms horizon = market_setting(w->m, SETTING_HORIZON_MS);
    for (size_t i = 0; i < w->active_count; i++) {
        struct track *t = &w->tracks[w->active[i]];
        struct market_bid_view v;
        if (!model_is_simple(t) || t->state != TRACK_RUNNING || !market_bid_view(w->m, t->id, w->now, &v))
            continue;
        watch_price(w, t);
        udollar cost = t->spec.restart_measured ? MIN(t->spec.restart_cost, t->spec.restart_measured)
                                                : t->spec.restart_cost;
        if (t->preemptions >= 4)
            cost = MIN(2 * cost, t->spec.restart_cost);
        if (v.stay < 0 || v.stay > (udollar)((int128)cost * HOUR_MS / horizon))
            world_fail(w, "invariant 33: %s has a stay bonus of %lld µ$ an hour, a restart costs %lld",
                       NAME(w, t->id), (long long)v.stay, (long long)cost);
        bool cut = t->cut_at && t->cut_at > w->now - horizon;
        bool out = t->out_since && t->out_since <= w->now - horizon;
        if (v.stay && (cut || out))
            world_fail(w, "invariant 33: %s has a stay bonus of %lld µ$ an hour after %s", NAME(w, t->id),
                       (long long)v.stay, cut ? "a cut of its limit" : "the horizon out of the money");
    }
}

/* ---- invariants 25 and 26: sellers
 * ------------------------------------------------------------------------------ */

/* Invariant 28: what entrants have paid for whom they displaced is what victims have got. */
static void check_displacement(struct world *w)
{
    udollar paid = 0;
    for (size_t i = 0; i < w->track_count; i++) {
        struct market_bid_view v;
        const struct track *t = &w->tracks[i];
        paid += market_bid_view(w->m, t->id, w->now, &v) ? v.displacement : t->displacement;
    }
    if (paid != w->compensation)
        world_fail(w, "invariant 28: entrants paid %lld, victims got %lld", (long long)paid,
                   (long long)w->compensation);
}

void model_check_sellers(struct world *w)
{
    check_displacement(w);
    int128 due = w->asks_due, earned = 0, spent = 0;
    if (!w->asks_known)
        return;
    for (size_t i = 0; i < w->active_count; i++)
        due += model_asks_sum(&w->tracks[w->active[i]],
                              MIN(w->now, w->tracks[w->active[i]].charged_until));
    for (size_t i = 0; i < w->sum_count; i++) {
        if (w->sums[i].name.kind == ACCOUNT_SELLER)
            earned += w->sums[i].balance;
        if (w->sums[i].name.kind == ACCOUNT_TENANT)
            spent -= w->sums[i].balance;
    }
    int128 slack = (int128)(w->tag_count + 1) * (w->sum_count + 1) + (int128)w->count.allocations;
    /* what was shared out before it was taken back is missing until later charges make up for it */
    if (earned + slack + w->taken_back < due / RATE_SCALE)
        world_fail(w, "invariant 26: sellers earned %lld, their asks make %lld", (long long)earned,
                   (long long)(due / RATE_SCALE));
    int128 fees = world_balance(w, (struct market_account){.kind = ACCOUNT_FEE});
    int128 rent = MAX(spent - (due + RATE_SCALE - 1) / RATE_SCALE, 0);
    /* asks that are due and not whole yet count as rent for a tick: a µ$ a seller */
    int128 most = (rent + slack) * market_setting(w->m, SETTING_FEE_PERMILLE) / 1000 + slack;
    if (fees > most && w->last_loss == 0)
        world_fail(w, "section 8: the fee is %lld, the rent was %lld", (long long)fees,
                   (long long)rent);
    if (earned > spent &&
        w->last_loss == 0) /* else what they were paid too much comes off next time */
        world_fail(w, "invariant 25: sellers earned %lld, buyers paid %lld", (long long)earned,
                   (long long)spent);
}
