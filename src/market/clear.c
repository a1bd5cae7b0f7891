/* SPDX-License-Identifier: Apache-2.0 */
/* One clearing. Bids of a class differ only in value, so where its head does not start none of it
 * does: a class is looked at again only when a better head arrives or something comes free. */
#include "market/market_internal.h"

struct candidate bid_candidate(const struct market *m, const struct bid *b)
{
    return (struct candidate){.class = &m->classes[b->class], .tenant = b->tenant, .limit = b->limit,
        .notice = b->notice, .urgent = b->urgent};
}

static bool class_is_done(const struct market *m, const struct class *c)
{
    if (c->waiting == 0)
        return true;
    return c->failed && m->bids[tree_first(m, c->waiting)].limit <= c->failed_value;
}

/* Net value per unit of the head over the posted prices, at best: the order of the batch. */
static int64_t class_rank(const struct market *m, const struct class *c)
{
    struct candidate head = bid_candidate(m, &m->bids[tree_first(m, c->waiting)]);
    int64_t best = INT64_MIN;
    for (uint32_t i = 0; i < c->pool_count; i++)
        best = MAX(best, candidate_limit(&head, &c->pools[i]) - m->pools[c->pools[i].pool].post);
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

static time_ms escrow_span(const struct market *m, const struct bid *b)
{
    if (m->classes[b->class].kind == BID_FIRM)
        return b->term ? b->term : m->settings[SETTING_TERM_MS];
    return bid_minimum_run(m, b) + b->notice;
}

static void note(struct market *m, const struct plan *plan)
{
    if (plan->noted_pool == 0)
        return;
    struct pool *p = &m->pools[plan->noted_pool];
    p->noted = MAX(p->noted, plan->noted_price);
    if (!m->tick_wanted)
        event_add(m, EVENT_TICK_WANTED, 0);
    m->tick_wanted = true;
}

static void head_try(struct market *m, uint32_t class)
{
    uint32_t bid = tree_first(m, m->classes[class].waiting);
    struct candidate c = bid_candidate(m, &m->bids[bid]);
    struct plan plan;
    plan_make(m, &c, &plan);
    const struct bid *b = &m->bids[bid];
    if (plan.site.count == 0) {
        note(m, &plan);
        m->classes[class].failed = true;
        m->classes[class].failed_value = b->limit;
    } else if (tenant_can_start(m, b->tenant, plan.site.limit_rate, escrow_span(m, b))) {
        lease_open(m, bid, &plan);
    } else {
        bid_dequeue(m, bid);
        m->bids[bid].parked = true;
        bid_enqueue(m, bid);
    }
    plan_fini(&plan);
}

static void classes_wake(struct market *m)
{
    bool any = false;
    for (uint32_t i = 1; i < m->pool_count; i++)
        any |= m->pools[i].dirty;
    for (uint32_t i = 1; any && i < m->class_count; i++) {
        struct class *c = &m->classes[i];
        if (c->waiting == 0) {
            c->failed = false;
            continue;
        }
        for (uint32_t j = 0; j < c->pool_count; j++)
            if (m->pools[c->pools[j].pool].dirty) {
                c->failed = false;
                class_touch(m, i);
                break;
            }
    }
    for (uint32_t i = 1; i < m->pool_count; i++)
        m->pools[i].dirty = false;
}

void clear_batch(struct market *m)
{
    classes_refresh(m);
    classes_wake(m);
    for (uint32_t class; (class = class_next(m));) {
        head_try(m, class);
        classes_wake(m);
    }
    for (uint32_t i = 0; i < m->touched_count; i++)
        m->classes[m->touched[i]].touched = false;
    m->touched_count = 0;
}
