/* SPDX-License-Identifier: Apache-2.0 */
/* probe WHAT NAME: questions to a copy of the market, which the market itself must not notice.
 *   why BID       the go-live limit is exact: at P this clearing starts it, at a cent less it does
 * not cancel BID    another bid like this one comes and goes: nothing is left of it more BID one
 * more bid like this one never lowers the bound capacity NODE one more node like this one never
 * raises its pool's guide quote BID     what it is quoted adds up, and no freedom costs more still
 * left alone, the market comes to rest */
#include "model.h"
#include "scenario.h"

#define CENT 10000

struct copy {
    struct market *m;
    struct market_events events;
};

static struct copy copy_take(const struct scenario *s)
{
    _cleanup_buf_ struct buf bytes = BUF_INIT(BUF_LIMIT_DEFAULT);
    market_snapshot(s->w->m, &bytes);
    struct unpack in = unpack_from(buf_str(&bytes));
    struct copy c = {.m = market_restore(&in)};
    CHECK(c.m != NULL);
    return c;
}

static void copy_free(struct copy *c)
{
    market_events_fini(&c->events);
    market_free(c->m);
}

static void copy_apply(struct copy *c, time_ms now, const struct market_command *commands,
                       size_t count)
{
    market_events_clear(&c->events);
    market_apply(c->m, now, commands, count, &c->events);
    market_check(c->m);
}

static bool copy_has(const struct copy *c, enum market_event_type type)
{
    for (size_t i = 0; i < c->events.count; i++)
        if (c->events.items[i].type == type)
            return true;
    return false;
}

/* A bid like that of the track, with an id that was never used. */
static struct market_command another(const struct track *t)
{
    struct market_command c = {.type = MARKET_BID_ADD, .bid = t->spec};
    c.bid.id = 1000000007;
    c.bid.request_key = 99;
    return c;
}

/* ---- why
 * ------------------------------------------------------------------------------------------------
 */

static bool starts_at(struct scenario *s, const struct track *t, udollar limit)
{
    struct copy c = copy_take(s);
    struct market_command change = {.type = MARKET_BID_CHANGE, .change = {t->id, limit}};
    copy_apply(&c, s->w->now, &change, 1);
    struct market_bid_view v;
    bool starts = market_bid_view(c.m, t->id, s->w->now, &v) && v.state != BID_WAITING;
    copy_free(&c);
    return starts;
}

static void probe_why(struct scenario *s, struct track *t)
{
    struct market_why why;
    const char *name = name_text(&s->w->names, t->id);
    if (t->state != TRACK_WAITING)
        return;
    if (!market_why(s->w->m, t->id, &why))
        scenario_fail(s, "why: %s waits and is not known", name);
    if (why.obstacle == OBSTACLE_NONE)
        scenario_fail(s, "why: %s waits and nothing is in its way", name);
    if (why.alternative != 0 && t->alternatives[why.alternative].limit != t->alternatives[0].limit)
        return; /* P is stated for another alternative than the one that a reprice names */
    if (!why.has_limit) {
        if (starts_at(s, t, MARKET_RATE_MAX / CENT * CENT))
            scenario_fail(s, "why: no limit is said to start %s, the highest does", name);
        return;
    }
    if (!starts_at(s, t, why.go_live))
        scenario_fail(s, "why: %s does not start at its go-live limit %lld", name,
                      (long long)why.go_live);
    if (why.go_live >= CENT && starts_at(s, t, why.go_live - CENT))
        scenario_fail(s, "why: %s starts a cent below its go-live limit %lld", name,
                      (long long)why.go_live);
}

/* ---- comes and goes
 * --------------------------------------------------------------------------------------- */

/* What the copy decides in the next minutes, as text. */
static void future_of(struct scenario *s, struct copy *c, struct buf *out)
{
    time_ms now = s->w->now, tick = market_setting(s->w->m, SETTING_TICK_MS);
    for (int i = 0; i < 6; i++) {
        now += tick;
        copy_apply(c, now, &(struct market_command){.type = MARKET_TICK}, 1);
        for (size_t j = 0; j < c->events.count; j++)
            event_text(&c->events, &c->events.items[j], out);
    }
}

/* Invariant 45. Two batches without a command are the measure. */
static void probe_cancel(struct scenario *s, struct track *t)
{
    if (t->state != TRACK_WAITING || t->spec.kind == BID_DEADLINE) /* a promise that is given up was a sale */
        return;
    struct copy one = copy_take(s), two = copy_take(s);
    struct market_command add = another(t),
                          cancel = {.type = MARKET_BID_CANCEL, .change = {.bid = add.bid.id}};
    copy_apply(&one, s->w->now, &add, 1);
    bool moved = copy_has(&one, EVENT_ALLOCATED) || copy_has(&one, EVENT_REFUSED) ||
                 copy_has(&one, EVENT_TICK_WANTED);
    copy_apply(&two, s->w->now, NULL, 0);
    moved |= copy_has(&two, EVENT_ALLOCATED);
    if (!moved) {
        copy_apply(&one, s->w->now, &cancel, 1);
        copy_apply(&two, s->w->now, NULL, 0);
        _cleanup_buf_ struct buf a = BUF_INIT(BUF_LIMIT_DEFAULT), b = BUF_INIT(BUF_LIMIT_DEFAULT);
        future_of(s, &one, &a);
        future_of(s, &two, &b);
        if (!str_equal(buf_str(&a), buf_str(&b)))
            scenario_fail(s,
                          "invariant 45: a bid like %s came and went, and things go on otherwise",
                          name_text(&s->w->names, t->id));
    }
    copy_free(&one);
    copy_free(&two);
}

/* ---- more of it
 * ---------------------------------------------------------------------------------------------- */

/* False where the one with more did something with it: then they are not in the same state. */
static bool tick_both(struct scenario *s, struct copy *without, struct copy *with,
                      struct market_command more)
{
    time_ms now = s->w->now + market_setting(s->w->m, SETTING_TICK_MS);
    struct market_command tick = {.type = MARKET_TICK};
    copy_apply(with, s->w->now, &more, 1);
    bool moved = copy_has(with, EVENT_ALLOCATED) || copy_has(with, EVENT_PREEMPTING);
    copy_apply(without, s->w->now, NULL, 0);
    copy_apply(with, now, &tick, 1);
    copy_apply(without, now, &tick, 1);
    return !moved;
}

static udollar bound_of(const struct copy *c)
{
    udollar surplus, bound = 0;
    market_gap(c->m, &surplus, &bound);
    return bound;
}

/* Invariant 23, the second half. The least bound is monotone; one that a fixed number of steps
 * found is so up to the slack that those leave in a thin pool: 10 %. */
static void probe_more(struct scenario *s, struct track *t)
{
    if (t->spec.kind != BID_PREEMPTIBLE || t->state == TRACK_OVER)
        return;
    struct copy without = copy_take(s), with = copy_take(s);
    bool same = tick_both(s, &without, &with, another(t));
    udollar less = bound_of(&without), more = bound_of(&with);
    if (same && more + less / 10 + 1000 < less && !copy_has(&with, EVENT_REFUSED))
        scenario_fail(s,
                      "invariant 23: with one more bid like %s the bound is %lld, without it %lld",
                      name_text(&s->w->names, t->id), (long long)more, (long long)less);
    copy_free(&without);
    copy_free(&with);
}

static udollar guide_of(const struct copy *c, market_id pool)
{
    for (size_t i = 0; i < market_pool_count(c->m); i++)
        if (market_pool(c->m, i).pool == pool)
            return market_pool(c->m, i).guide;
    return 0;
}

/* Invariant 23, the first half: tolerance one percent and a cent. */
static void probe_capacity(struct scenario *s, const struct plot *p)
{
    if (!p->up)
        return;
    struct copy without = copy_take(s), with = copy_take(s);
    struct market_command more = {.type = MARKET_NODE_UP, .node = p->spec};
    more.node.id = 1000000009;
    bool same = tick_both(s, &without, &with, more);
    for (size_t i = 0; i < market_pool_count(without.m) && same; i++) {
        struct market_pool_view v = market_pool(without.m, i);
        udollar after = guide_of(&with, v.pool);
        if (v.sku == p->spec.sku && v.zone == p->spec.place.zone && v.units_milli && /* where nothing is usable nothing has a price */
            after > v.guide + v.guide / 100 + CENT)
            scenario_fail(
                s, "invariant 23: with one more node like %s the guide is %lld, without it %lld",
                name_text(&s->w->names, p->spec.id), (long long)after, (long long)v.guide);
    }
    copy_free(&without);
    copy_free(&with);
}

/* ---- quotes
 * ---------------------------------------------------------------------------------------------------
 */

static bool limits_are_equal(const struct track *t)
{
    for (size_t i = 0; i < t->spec.alternative_count; i++)
        if (t->alternatives[i].limit != t->alternatives[0].limit || t->alternatives[i].transfer)
            return false;
    return true;
}

static void check_line(struct scenario *s, const struct track *t,
                       const struct market_quote_line *line)
{
    const char *name = name_text(&s->w->names, t->id);
    udollar sum = line->ask + line->scarcity + line->premium - line->credit + line->transfer +
                  line->displacement;
    if (line->fits && sum != line->rate)
        scenario_fail(s, "quote: the parts for %s make %lld, the rate is %lld", name,
                      (long long)sum, (long long)line->rate);
    int128 most = (int128)t->alternatives[line->alternative].limit * line->units_milli / 1000;
    if (line->starts_now && line->rate > most)
        scenario_fail(s, "quote: %s would start at %lld, above its limit", name,
                      (long long)line->rate);
}

/* Invariant 20, its second half: in the slot that runs the firm entry is no less than the preemptible one. */
static void check_slot(struct scenario *s, const struct market_quote_line *line)
{
    struct market_forward_slot slot;
    for (size_t i = 0; i < market_pool_count(s->w->m); i++) {
        struct market_pool_view v = market_pool(s->w->m, i);
        if (v.pool == line->pool && market_forward(s->w->m, v.pool, &slot, 1) && slot.price < v.post)
            scenario_fail(s, "invariant 20: firm work pays %lld in the slot that runs, preemptible work %lld", (long long)slot.price,
                          (long long)v.post);
    }
}

/* Firm work pays the mean of the slots of its term, of which later ones may be cheaper than the moment:
 * what preemption is worth is promised slot by slot. */
static bool is_comparable(const struct scenario *s, const struct track *t, enum market_freedom freedom, market_id pool)
{
    struct market_forward_slot slot;
    if (freedom != FREEDOM_PREEMPTIBLE || market_forward(s->w->m, pool, &slot, 1) == 0)
        return true;
    time_ms term = t->spec.term ? t->spec.term : market_setting(s->w->m, SETTING_TERM_MS);
    return s->w->now + term <= slot.to;
}

static void probe_quote(struct scenario *s, const struct track *t)
{
    struct market_quote quote;
    const char *field;
    int64_t numbers[3];
    struct market_command c = another(t);
    if (t->spec.urgent) /* stands outside the promise */
        return;
    if (market_quote(s->w->m, &c.bid, &quote, &field, numbers) != REFUSED_NONE)
        return;
    const struct market_quote_line *own = &quote.lines[FREEDOM_NONE];
    check_line(s, t, own);
    check_slot(s, own);
    for (int i = 1; i < MARKET_FREEDOM_COUNT && limits_are_equal(t); i++) {
        const struct market_quote_line *line = &quote.lines[i];
        if (line->offered && own->promised == line->promised && own->starts_now && line->starts_now &&
            line->units_milli == own->units_milli && line->rate > own->rate && t->spec.tier == 0 && /* one in time may cost its asks */
            is_comparable(s, t, line->freedom, own->pool))
            scenario_fail(s, "invariant 17: with freedom %d %s is quoted %lld, without it %lld", i,
                          name_text(&s->w->names, t->id), (long long)line->rate,
                          (long long)own->rate);
    }
}

/* ---- rest
 * -------------------------------------------------------------------------------------------------------
 */

/* Invariant 13, as far as one look decides it: a bid of one whole node against a lease of one whole node.
 * What its victim would get back is at most what that was charged. */
static bool gains(const struct scenario *s, const struct track *t, const struct track *victim, const struct plot *p)
{
    const struct world *w = s->w;
    struct market_bid_view v;
    if (!market_bid_view(w->m, victim->id, w->now, &v) || victim->placement_count != 1 || w->now < victim->protected_until)
        return false;
    const struct market_amounts *takes = &t->alternatives[0].choices[0].amounts;
    int64_t units = model_units(&p->spec.amounts, takes);
    if (victim->units_milli != units || units < p->units_milli || memcmp(takes, &victim->placements[0].amounts, sizeof *takes) != 0)
        return false;
    int128 horizon = market_setting(w->m, SETTING_HORIZON_MS), value = (int128)t->first_limit * units / 1000;
    int128 back = (int128)v.menu_charged_now * HOUR_MS / horizon;
    int128 wait = value * victim->spec.notice / horizon + 2;
    return value - wait - back > v.limit + v.stay + 2;
}

/* Whether the menu lets it in there, at that ask. */
static bool is_admitted(const struct world *w, const struct track *t, market_id pool, udollar ask)
{
    for (size_t i = 0; i < w->ground_count; i++) {
        const struct ground *g = &w->ground[i];
        int64_t units = model_units(&g->view.amounts, &t->alternatives[0].choices[0].amounts);
        if (g->view.pool == pool)
            return model_rate_at(w, t, 0, g, t->first_limit) >= ask * units;
    }
    return false;
}

static void check_displacement(struct scenario *s, const struct track *t)
{
    const struct world *w = s->w;
    if (t->state != TRACK_WAITING || t->spec.alternative_count != 1 || t->roles[0].replicas_min != 1 ||
        t->spec.kind != BID_PREEMPTIBLE || t->preemptions)
        return;
    for (size_t i = 0; i < w->limited_count; i++)
        if (w->limited[i].tenant == t->spec.tenant)
            return;
    for (size_t i = 0; i < w->active_count; i++) {
        const struct track *victim = &w->tracks[w->active[i]];
        const struct plot *p = world_plot(w, victim->placements[0].node);
        if (victim->state == TRACK_RUNNING && p->up && !p->draining && model_choice_matches(&t->alternatives[0].choices[0], &p->spec) &&
            is_admitted(w, t, victim->pool, p->spec.ask) && gains(s, t, victim, p))
            scenario_fail(s, "invariant 13: %s waits, and would gain in the place of %s", name_text(&w->names, t->id),
                          name_text(&w->names, victim->id));
    }
}

/* The same nodes and bids, met all at once by a market that knows nothing. */
static udollar cold_surplus(struct scenario *s)
{
    const struct world *w = s->w;
    struct copy cold = {.m = market_new(w->seed)};
    struct market_command *batch = xcalloc(w->plot_count + w->track_count + 2, sizeof *batch);
    size_t count = 0;
    for (size_t i = 0; i < w->plot_count; i++)
        if (w->plots[i].up && !w->plots[i].draining)
            batch[count++] = (struct market_command){.type = MARKET_NODE_UP, .node = w->plots[i].spec};
    for (size_t i = 0; i < w->track_count; i++) {
        const struct track *t = &w->tracks[i];
        if (t->state != TRACK_OVER && t->pending < 0 && t->first_limit == t->alternatives[0].limit)
            batch[count++] = (struct market_command){.type = MARKET_BID_ADD, .bid = t->spec};
    }
    batch[count++] = (struct market_command){.type = MARKET_CLEAR};
    copy_apply(&cold, w->now, batch, count);
    copy_apply(&cold, w->now + 1000, &(struct market_command){.type = MARKET_TICK}, 1);
    udollar surplus, bound;
    market_gap(cold.m, &surplus, &bound);
    xfree(batch);
    copy_free(&cold);
    return surplus;
}

static bool is_plain(const struct world *w)
{
    for (size_t i = 0; i < w->track_count; i++)
        if (w->tracks[i].state != TRACK_OVER &&
            (w->tracks[i].pending >= 0 || w->tracks[i].first_limit != w->tracks[i].alternatives[0].limit))
            return false;
    return w->limited_count == 0;
}

/* What it would cost, an hour, to send everybody away: refunds and notices over H. */
static udollar moving_cost(const struct world *w, udollar value)
{
    int128 horizon = market_setting(w->m, SETTING_HORIZON_MS), kept = market_setting(w->m, SETTING_CHECKPOINT_MS);
    int128 back = 0;
    time_ms notice = 0;
    struct market_bid_view v;
    for (size_t i = 0; i < w->active_count; i++) {
        const struct track *t = &w->tracks[w->active[i]];
        if (!market_bid_view(w->m, t->id, w->now, &v))
            continue;
        back += MIN((int128)v.menu_charged_now, (int128)v.limit * kept / HOUR_MS);
        notice = MAX(notice, t->spec.notice);
    }
    return (udollar)(back * HOUR_MS / horizon + (int128)value * notice / horizon);
}

/* Invariant 12: what came about step by step is worth nearly what is cleared at once, but for what moving costs. Of
 * few bids one that finds no place weighs much, so a tenth of the bound counts besides. */
static void check_cold(struct scenario *s)
{
    udollar surplus, bound;
    if (!is_plain(s->w) || !market_gap(s->w->m, &surplus, &bound))
        return;
    udollar cold = cold_surplus(s);
    if (surplus < cold - cold / 10 - bound / 10 - moving_cost(s->w, 2 * cold) - 1000)
        scenario_fail(s, "invariant 12: step by step %lld, at once %lld", (long long)surplus, (long long)cold);
}

static uint64_t moves_of(const struct world *w)
{
    return w->count.allocations + w->count.evictions + w->count.moves;
}

static bool is_still(const struct world *w)
{
    for (size_t j = 0; j < w->tag_count; j++)
        if (w->tags[j].steady < 2)
            return false;
    for (size_t j = 0; j < w->active_count; j++) {
        const struct track *t = &w->tracks[w->active[j]];
        if (t->spec.kind != BID_PREEMPTIBLE || t->spec.restart_cost || t->spec.run_time || t->state != TRACK_RUNNING)
            return false;
    }
    return true;
}

/* Invariant 32; then, at rest, 12 and 13. */
static void probe_still(struct scenario *s)
{
    struct world *w = s->w;
    unsigned quiet = 0;
    for (int i = 0; i < 3000 && quiet < 40; i++) {
        uint64_t before = moves_of(w);
        world_tick(w);
        quiet = before == moves_of(w) && is_still(w) ? quiet + 1 : 0;
    }
    if (quiet < 40 || w->limited_count) /* a budget that runs out is a move of its own */
        return;
    w->count.rests++;
    check_cold(s);
    for (size_t i = 0; i < w->track_count; i++)
        check_displacement(s, &w->tracks[i]);
    uint64_t moves = moves_of(w);
    for (int j = 0; j < 10; j++)
        world_tick(w);
    if (moves != moves_of(w) || !is_still(w))
        scenario_fail(s, "invariant 32: nothing happens outside, and the market moves");
}

void probe(struct scenario *s, const struct line *l)
{
    if (str_is(l->words[1], "still")) {
        probe_still(s);
        return;
    }
    _cleanup_free_ market_id *ids = NULL;
    size_t count = l->count > 2 ? targets(s, l->words[2], &ids) : 0;
    for (size_t i = 0; i < count; i++) {
        struct track *t = world_track(s->w, ids[i]);
        struct plot *p = world_plot(s->w, ids[i]);
        if (p && str_is(l->words[1], "capacity"))
            probe_capacity(s, p);
        else if (t && str_is(l->words[1], "why"))
            probe_why(s, t);
        else if (t && str_is(l->words[1], "cancel"))
            probe_cancel(s, t);
        else if (t && str_is(l->words[1], "more"))
            probe_more(s, t);
        else if (t && str_is(l->words[1], "quote"))
            probe_quote(s, t);
    }
}
