/* SPDX-License-Identifier: Apache-2.0 */
/* One clearing. What came free is filled with the best losers that fit; then those that arrived, or
 * rose, try in order of rank, and may displace. Bids of a class differ only in value, so where its
 * head does not start none of it does: a class is looked at again only when a better head arrives or
 * a tick passes. */
#include "base/sort.h"
#include "market/dual.h"

#define EVICTIONS_MAX 4096 /* of one batch: the rest waits for the next tick */

struct candidate bid_candidate(const struct market *m, const struct bid *b)
{
    const struct class *c = &m->classes[b->class];
    return (struct candidate){.form = class_form(m, c), .replicas = c->replicas, .tenant = m->tenants[b->tenant].id,
        .limit = b->limit, .limits = b->limits, .notice = b->notice, .minimum_run = bid_minimum_run(m, b),
        .urgent = b->urgent};
}

static time_ms escrow_span(const struct market *m, const struct bid *b)
{
    if (class_form(m, &m->classes[b->class])->kind == BID_FIRM)
        return b->term ? b->term : m->settings[SETTING_TERM_MS];
    return bid_minimum_run(m, b) + b->notice;
}

void note(struct market *m, const struct plan *plan)
{
    if (plan->noted_pool == 0)
        return;
    struct pool *p = &m->pools[plan->noted_pool];
    p->noted = MAX(p->noted, plan->noted_price);
    if (!m->tick_wanted)
        event_add(m, EVENT_TICK_WANTED, 0);
    m->tick_wanted = true;
}

bool bid_affords(const struct market *m, const struct bid *b, int64_t limit_rate)
{
    return tenant_can_start(m, b->tenant, limit_rate, escrow_span(m, b));
}

void bid_place(struct market *m, uint32_t bid, struct plan *plan)
{
    struct bid *b = &m->bids[bid];
    if (bid_affords(m, b, plan->site.limit_rate)) {
        lease_open(m, bid, plan);
        return;
    }
    bid_dequeue(m, bid);
    ladder_remove(m, bid);
    b->parked = true;
    bid_enqueue(m, bid);
}

/* ---- what came free --------------------------------------------------------------------------------------- */

struct hope { /* the head of a class at one line */
    int64_t key; /* its net value over the guide, per unit */
    uint32_t class, line;
};

struct hopes {
    struct hope *items;
    uint32_t count, capacity;
};

static bool hope_before(const struct market *m, const struct hope *a, const struct hope *b)
{
    if (a->key != b->key)
        return a->key > b->key;
    if (a->class == b->class)
        return a->line < b->line;
    return bid_compare(&m->bids[tree_first(m, m->classes[a->class].waiting)],
                       &m->bids[tree_first(m, m->classes[b->class].waiting)]) < 0;
}

static void hope_sink(const struct market *m, struct hopes *h, uint32_t at)
{
    for (;;) {
        uint32_t best = at;
        for (uint32_t child = 2 * at + 1; child <= 2 * at + 2 && child < h->count; child++)
            if (hope_before(m, &h->items[child], &h->items[best]))
                best = child;
        if (best == at)
            return;
        struct hope moved = h->items[at];
        h->items[at] = h->items[best];
        h->items[best] = moved;
        at = best;
    }
}

static int64_t hope_key(const struct market *m, uint32_t class, uint32_t line)
{
    const struct class *k = &m->classes[class];
    const struct line *l = &class_form(m, k)->lines[line];
    const struct bid *head = &m->bids[tree_first(m, k->waiting)];
    return bid_value(head, l->alternative) - l->transfer - m->pools[l->pool].guide;
}

static bool head_may_fit(const struct market *m, uint32_t class, uint32_t line)
{
    const struct class *k = &m->classes[class];
    const struct form *f = class_form(m, k);
    const struct line *l = &f->lines[line];
    const struct pool *p = &m->pools[l->pool];
    uint32_t need = f->alternatives[l->alternative].level == LEVEL_NODE ? 1 : k->replicas;
    return pool_nodes_from(p, pool_step(p, &f->choices[l->alternative].amounts)) >= need;
}

static void hopes_collect(const struct market *m, uint32_t pool, struct hopes *h)
{
    const struct pool *p = &m->pools[pool];
    int64_t hole = p->units_milli - p->used_milli;
    for (uint32_t i = 0; i < p->use_count && hole > 0; i++) {
        const struct curve *c = &m->curves[p->uses[i].curve];
        const struct curve_line *l = &c->lines[p->uses[i].line];
        int64_t most = l->scale == 1000000 ? hole : mul_div_ceil(hole, 1000000, MAX(l->scale, 1));
        for (uint32_t j = 0; j < c->member_count && c->members[j].units <= most; j++) {
            const struct member *k = &c->members[j];
            if (k->head < 0 || mul_div_ceil(k->head, l->ratio, RATIO_ONE) - l->transfer < p->lowest_ask ||
                !head_may_fit(m, k->class, p->uses[i].line))
                continue;
            ARRAY_RESERVE(h->items, h->count, h->capacity);
            h->items[h->count++] = (struct hope){hope_key(m, k->class, p->uses[i].line), k->class, p->uses[i].line};
        }
    }
}

/* Tries the best hope and drops it, or puts it back with the class's next head. */
static void hope_try(struct market *m, struct hopes *h)
{
    struct hope *top = &h->items[0];
    uint32_t class = top->class, line = top->line;
    if (m->classes[class].waiting && head_may_fit(m, class, line)) {
        int64_t key = hope_key(m, class, line);
        if (key < top->key) {
            top->key = key;
            hope_sink(m, h, 0);
            return;
        }
        uint32_t bid = tree_first(m, m->classes[class].waiting);
        struct candidate c = bid_candidate(m, &m->bids[bid]);
        struct plan plan = {0};
        bool found = plan_at(m, &c, &c.form->lines[line], &plan);
        if (found)
            bid_place(m, bid, &plan);
        else
            note(m, &plan);
        plan_fini(&plan);
        if (found)
            return;
    }
    h->items[0] = h->items[--h->count];
    hope_sink(m, h, 0);
}

void pools_refill(struct market *m)
{
    struct hopes h = {0};
    for (uint32_t i = 1; i < m->pool_count; i++) {
        if (m->pools[i].dirty)
            hopes_collect(m, i, &h);
        m->pools[i].dirty = false;
    }
    for (uint32_t i = h.count / 2 + 1; i-- > 0;)
        hope_sink(m, &h, i);
    while (h.count)
        hope_try(m, &h);
    xfree(h.items);
}

void pools_refill_all(struct market *m)
{
    for (uint32_t i = 1; i < m->pool_count; i++)
        m->pools[i].dirty = true;
    pools_refill(m);
}

/* ---- who arrived or rose ------------------------------------------------------------------------------------ */

static bool class_is_done(const struct market *m, const struct class *c)
{
    if (c->waiting == 0)
        return true;
    return c->failed && m->bids[tree_first(m, c->waiting)].value <= c->failed_value;
}

/* Net value per unit of the head over the guides, at best: the order of the batch. */
static int64_t class_rank(const struct market *m, const struct class *c)
{
    struct candidate head = bid_candidate(m, &m->bids[tree_first(m, c->waiting)]);
    int64_t best = INT64_MIN;
    for (uint32_t i = 0; i < head.form->used_count; i++)
        best = MAX(best, candidate_net(&head, &head.form->lines[i]) - m->pools[head.form->lines[i].pool].guide);
    return best;
}

static uint32_t class_next(const struct market *m)
{
    uint32_t best = 0;
    int64_t best_rank = 0;
    for (uint32_t i = 0; i < m->touched_count; i++) {
        uint32_t slot = m->touched[i];
        const struct class *c = &m->classes[slot];
        if (class_is_done(m, c))
            continue;
        int64_t rank = class_rank(m, c);
        if (best == 0 || rank > best_rank ||
            (rank == best_rank && bid_compare(&m->bids[tree_first(m, c->waiting)],
                                              &m->bids[tree_first(m, m->classes[best].waiting)]) < 0)) {
            best = slot;
            best_rank = rank;
        }
    }
    return best;
}

uint32_t head_try(struct market *m, uint32_t class)
{
    uint32_t bid = tree_first(m, m->classes[class].waiting), victims = 0;
    struct candidate c = bid_candidate(m, &m->bids[bid]);
    struct plan plan;
    plan_make(m, m->scratch, &c, &plan);
    if (plan.site.count == 0) {
        note(m, &plan);
        m->classes[class].failed = true;
        m->classes[class].failed_value = m->bids[bid].value;
    } else {
        victims = plan.site.victim_count;
        bid_place(m, bid, &plan);
    }
    plan_fini(&plan);
    return victims;
}

static bool any_dirty(const struct market *m)
{
    for (uint32_t i = 1; i < m->pool_count; i++)
        if (m->pools[i].dirty)
            return true;
    return false;
}

/* The whole book, where it is to be cleared anew or much of it just came. */
static void clear_whole(struct market *m)
{
    if (m->dual == NULL) {
        m->dual = xcalloc(1, sizeof *m->dual);
        dual_init(m->dual, m);
        dual_solve(m->dual, COLD_ROUNDS);
    }
    full_clear(m, m->dual);
    m->clear_all = m->cold = false;
}

void clear_batch(struct market *m)
{
    uint32_t victims = 0;
    if (m->clear_all) {
        clear_whole(m);
        return;
    }
    if (any_dirty(m))
        pools_refill(m);
    for (uint32_t class; victims < EVICTIONS_MAX && (class = class_next(m));) {
        victims += head_try(m, class);
        if (any_dirty(m))
            pools_refill(m);
    }
}

void clear_finish(struct market *m)
{
    leases_tell(m);
    for (uint32_t i = 0; i < m->touched_count; i++) {
        m->classes[m->touched[i]].touched = false;
        class_release(m, m->touched[i]);
    }
    m->touched_count = 0;
    if (m->dual)
        dual_fini(m->dual);
    xfree(TAKE(m->dual));
    for (uint32_t i = 1; i < m->pool_count; i++)
        m->pools[i].dirty = false;
}
