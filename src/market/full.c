/* SPDX-License-Identifier: Apache-2.0 */
/* The full clear: cold start, audit, mass arrival. Every bid that waits is met in order of its margin
 * over the guides; each class is led to the pools by the quotas of the dual, then wherever it fits.
 * Leases of this batch are still open questions: later passes displace, refill and move them without
 * anybody having been told (MARKET.md section 5). */
#include "market/dual.h"

#define FULL_ROUNDS 3

struct ranked { /* radix sorted: the key is the rank, highest first */
    uint32_t key, bid;
};

struct option {
    uint32_t line, slope;
    int64_t margin; /* per unit */
    bool in_quota;
};

struct full {
    struct market *m;
    struct dual *d;
    struct ranked *order;
    uint32_t count;
    bool quota; /* only where a quota is left */
    struct option *options;
    uint32_t option_capacity;
    uint32_t *failed; /* by form: the least number of replicas that did not fit; 0 = none */
    int64_t *costs;   /* by form and alternative */
    int64_t *room;    /* by slope: quota left, on the curve's first line */
    uint32_t *form_first, *line_slopes; /* by form, and from there by line: its slope */
};

/* ---- order ------------------------------------------------------------------------------------------------ */

/* What each alternative of each form costs a unit at the cheapest of its lines. */
static void costs_find(struct full *f)
{
    const struct market *m = f->m;
    f->costs = xcalloc((size_t)m->form_count * MARKET_ALTERNATIVES_MAX, sizeof *f->costs);
    for (uint32_t i = 1; i < m->form_count; i++) {
        const struct form *form = &m->forms[i];
        int64_t *costs = f->costs + (size_t)i * MARKET_ALTERNATIVES_MAX;
        for (uint32_t j = 0; j < form->alternative_count; j++)
            costs[j] = 2 * (int64_t)MARKET_RATE_MAX;
        for (uint32_t j = 0; j < form->used_count; j++) {
            const struct line *l = &form->lines[j];
            costs[l->alternative] = MIN(costs[l->alternative], l->transfer + f->d->groups[f->d->group_of[l->pool]].price);
        }
    }
}

static int64_t bid_rank(const struct full *f, const struct bid *b)
{
    uint32_t form = f->m->classes[b->class].form, count = f->m->forms[form].alternative_count;
    const int64_t *costs = f->costs + (size_t)form * MARKET_ALTERNATIVES_MAX;
    int64_t best = INT64_MIN;
    for (uint32_t i = 0; i < count; i++)
        best = MAX(best, (int64_t)bid_value(b, i) - costs[i]);
    return best;
}

static void radix_pass(const struct ranked *from, struct ranked *to, uint32_t count, int shift)
{
    uint32_t starts[2048] = {0};
    for (uint32_t i = 0; i < count; i++)
        starts[from[i].key >> shift & 2047]++;
    uint32_t at = 0;
    for (uint32_t i = 0; i < 2048; i++) {
        uint32_t here = starts[i];
        starts[i] = at;
        at += here;
    }
    for (uint32_t i = 0; i < count; i++)
        to[starts[from[i].key >> shift & 2047]++] = from[i];
}

/* Equal ranks by the order key of the bids. */
static void ties_order(const struct market *m, struct ranked *order, uint32_t count)
{
    for (uint32_t i = 1; i < count; i++)
        for (uint32_t j = i; j > 0 && order[j - 1].key == order[j].key &&
                             bid_compare(&m->bids[order[j].bid], &m->bids[order[j - 1].bid]) < 0; j--) {
            struct ranked moved = order[j];
            order[j] = order[j - 1];
            order[j - 1] = moved;
        }
}

/* Those that the guides would admit somewhere; who else fits into what they leave, refill finds. */
static void order_build(struct full *f)
{
    struct market *m = f->m;
    costs_find(f);
    f->order = xcalloc(m->bid_count, sizeof *f->order);
    for (uint32_t i = 1; i < m->bid_count; i++) {
        if (!m->bids[i].waiting)
            continue;
        int64_t rank = bid_rank(f, &m->bids[i]);
        if (rank >= 0)
            f->order[f->count++] = (struct ranked){(uint32_t)(MARKET_RATE_MAX - MIN(rank, MARKET_RATE_MAX)), i};
    }
    struct ranked *spare = xcalloc(f->count + 1, sizeof *spare);
    radix_pass(f->order, spare, f->count, 0);
    radix_pass(spare, f->order, f->count, 11);
    radix_pass(f->order, spare, f->count, 22);
    xfree(f->order);
    f->order = spare;
    ties_order(m, f->order, f->count);
}

/* ---- packing -------------------------------------------------------------------------------------------------- */

static uint32_t slope_of(const struct full *f, const struct form *form, uint32_t line)
{
    const struct dual_curve *c = &f->d->curves[f->d->curve_at[form->curve] - 1];
    uint32_t group = f->d->group_of[form->lines[line].pool];
    const struct curve_line *l = &f->m->curves[form->curve].lines[line];
    int64_t a = mul_div_ceil(l->ratio, l->scale * (SLOPE_ONE / 1000000), RATIO_ONE);
    for (uint32_t i = c->first; i < c->first + c->count; i++)
        if (f->d->slopes[i].group == group && f->d->slopes[i].a == a)
            return i;
    return c->first;
}

static bool option_before(const struct full *f, const struct option *a, const struct option *b)
{
    if (a->in_quota != b->in_quota)
        return a->in_quota;
    if (a->margin != b->margin)
        return a->margin > b->margin;
    if (f->room[a->slope] != f->room[b->slope])
        return f->room[a->slope] > f->room[b->slope];
    return a->line < b->line;
}

static uint32_t options_find(struct full *f, const struct candidate *c, int64_t units)
{
    while (f->option_capacity < c->form->used_count)
        ARRAY_RESERVE(f->options, f->option_capacity, f->option_capacity);
    uint32_t count = 0;
    for (uint32_t i = 0; i < c->form->used_count; i++) {
        const struct line *l = &c->form->lines[i];
        int64_t net = candidate_net(c, l);
        int64_t margin = net - f->d->groups[f->d->group_of[l->pool]].price;
        if (margin < 0 || !line_may_be_free(f->m, c, l))
            continue;
        uint32_t slope = f->line_slopes[f->form_first[c->form - f->m->forms] + i];
        if (f->quota && f->room[slope] < units / 2)
            continue;
        f->options[count++] = (struct option){.line = i, .slope = slope, .margin = margin,
            .in_quota = f->room[slope] >= units / 2};
    }
    return count;
}

static bool bid_pack(struct full *f, uint32_t bid)
{
    struct market *m = f->m;
    struct candidate c = bid_candidate(m, &m->bids[bid]);
    int64_t units = bid_units(m, &m->bids[bid]);
    uint32_t count = options_find(f, &c, units);
    while (count > 0) {
        uint32_t best = 0;
        for (uint32_t i = 1; i < count; i++)
            if (option_before(f, &f->options[i], &f->options[best]))
                best = i;
        struct option o = f->options[best];
        f->options[best] = f->options[--count];
        struct plan plan = {0};
        bool found = plan_at(m, &c, &c.form->lines[o.line], &plan);
        if (found) {
            f->room[o.slope] -= units;
            bid_place(m, bid, &plan);
        } else {
            note(m, &plan);
        }
        plan_fini(&plan);
        if (found)
            return true;
    }
    return false;
}

/* First within the quotas alone, so that those who may go elsewhere leave room for those who may not;
 * then wherever there is room. */
static void pack(struct full *f, bool quota)
{
    struct market *m = f->m;
    f->quota = quota;
    memset(f->failed, 0, m->form_count * sizeof *f->failed);
    for (uint32_t i = 0; i < f->count; i++) {
        const struct bid *b = &m->bids[f->order[i].bid];
        const struct class *k = &m->classes[b->class];
        if (!b->waiting)
            continue;
        if (f->failed[k->form] && k->replicas >= f->failed[k->form])
            continue;
        uint32_t form = k->form, replicas = k->replicas;
        if (!bid_pack(f, f->order[i].bid))
            f->failed[form] = replicas;
    }
}

/* Those that the guides admit and that found no place displace who gains less; what that leaves is
 * filled at once. False where nothing moved. */
static bool displace(struct full *f)
{
    struct market *m = f->m;
    uint32_t victims = 0;
    for (uint32_t i = 0; i < f->count; i++) {
        const struct bid *b = &m->bids[f->order[i].bid];
        if (!b->waiting || tree_first(m, m->classes[b->class].waiting) != f->order[i].bid)
            continue;
        uint32_t here = head_try(m, b->class);
        victims += here;
        if (here)
            pools_refill(m);
    }
    return victims > 0;
}

static void slopes_index(struct full *f)
{
    const struct market *m = f->m;
    f->form_first = xcalloc(m->form_count + 1, sizeof *f->form_first);
    uint32_t count = 0;
    for (uint32_t i = 1; i < m->form_count; i++) {
        f->form_first[i] = count;
        count += m->forms[i].used_count;
    }
    f->line_slopes = xcalloc(count + 1, sizeof *f->line_slopes);
    for (uint32_t i = 1; i < m->form_count; i++)
        for (uint32_t j = 0; j < m->forms[i].used_count && f->d->curve_at[m->forms[i].curve]; j++)
            f->line_slopes[f->form_first[i] + j] = slope_of(f, &m->forms[i], j);
    f->room = xcalloc(f->d->slope_count + 1, sizeof *f->room);
    for (uint32_t i = 0; i < f->d->slope_count; i++)
        f->room[i] = f->d->slopes[i].quota;
}

void full_clear(struct market *m, struct dual *d)
{
    struct full f = {.m = m, .d = d, .failed = xcalloc(m->form_count, sizeof *f.failed)};
    slopes_index(&f);
    order_build(&f);
    pack(&f, true);
    pack(&f, false);
    pools_refill_all(m);
    for (int round = 0; round < FULL_ROUNDS && displace(&f); round++)
        ;
    void *arrays[] = {f.order, f.costs, f.options, f.failed, f.room, f.form_first, f.line_slopes};
    for (size_t i = 0; i < ARRAY_COUNT(arrays); i++)
        xfree(arrays[i]);
}
