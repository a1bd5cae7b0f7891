/* SPDX-License-Identifier: Apache-2.0 */
/* One clearing. What came free is filled with the best losers that fit; then those that arrived, or
 * rose, try in order of rank, and may displace. Bids of a class differ only in value, so where its
 * head does not start none of it does: a class is looked at again only when a better head arrives or
 * a tick passes. */
#include "base/sort.h"
#include "market/dual.h"

#define SCALE_ONE 1000000
#define EVICTIONS_MAX 4096 /* of one batch: the rest waits for the next tick */

struct candidate bid_candidate(const struct market *m, const struct bid *b)
{
    const struct class *c = &m->classes[b->class];
    return (struct candidate){.form = class_form(m, c), .replicas = c->replicas, .tenant = m->tenants[b->tenant].id,
        .limit = b->limit, .limits = b->limits, .notice = b->notice, .minimum_run = bid_minimum_run(m, b),
        .startup = b->preemptions ? b->startup : 0, .term = bid_term(m, b), .urgent = b->urgent, .tenant_slot = b->tenant, .credits = b->credits,
        .placeholder = b->block ? b->block : promise_claim(m, b), .tier = b->tier};
}

time_ms bid_term(const struct market *m, const struct bid *b)
{
    if (class_form(m, &m->classes[b->class])->kind != BID_FIRM)
        return 0;
    return b->term ? b->term : m->settings[SETTING_TERM_MS];
}

/* At least until it can be gone where the next tick sends it away. */
static time_ms escrow_span(const struct market *m, const struct bid *b)
{
    time_ms least = m->settings[SETTING_TICK_MS] + b->notice + m->settings[SETTING_KILL_MS], term = bid_term(m, b);
    return MAX(term ? term : bid_minimum_run(m, b) + b->notice, least);
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

int128 bid_escrow(const struct market *m, const struct bid *b, const struct site *site)
{
    if (site->claim || bid_is_promised(m, b)) /* paid by what bought it, or held with the quote */
        return 0;
    int128 rate = (int128)site->limit_rate + site->transfer_rate;
    if (b->credits)
        rate = rate * m->pools[site->pool].sample.credit_permille / 1000;
    return (rate * escrow_span(m, b) + RATE_SCALE - 1) / RATE_SCALE;
}

bool bid_affords(const struct market *m, const struct bid *b, const struct site *site)
{
    return purse_covers(&m->tenants[b->tenant].purses[b->credits], bid_escrow(m, b, site));
}

void bid_place(struct market *m, uint32_t bid, struct plan *plan)
{
    struct bid *b = &m->bids[bid];
    if (bid_affords(m, b, &plan->site)) {
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
    uint32_t head; /* who it was when it was put here: the order may not move under a heap */
};

struct hopes {
    struct hope *items;
    uint32_t count, capacity;
    uint32_t pools; /* with something free, among those looked at */
};

static uint32_t class_head(const struct market *m, uint32_t class)
{
    return tree_first(m, m->classes[class].waiting);
}

static bool hope_before(const struct market *m, const struct hope *a, const struct hope *b)
{
    if (a->key != b->key)
        return a->key > b->key;
    if (a->class == b->class)
        return a->line < b->line;
    return bid_compare(&m->bids[a->head], &m->bids[b->head]) < 0;
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

/* Whom the guide admits is met by what it gains in all, so that large ones find their holes before
 * small ones fill them; the others by what they lose a unit. */
static int64_t hope_worth(int64_t margin, int64_t units)
{
    return margin > 0 ? margin * (units / 1000 + 1) : margin;
}

static int64_t hope_key(const struct market *m, uint32_t class, uint32_t line)
{
    const struct class *k = &m->classes[class];
    const struct line *l = &class_form(m, k)->lines[line];
    const struct bid *head = &m->bids[tree_first(m, k->waiting)];
    return hope_worth(bid_value(head, l->alternative) - l->transfer - m->pools[l->pool].guide, l->replica_milli * k->replicas);
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

/* What is free in a pool, for one compare a class. */
struct hole {
    const struct pool *p;
    int64_t units;
    uint32_t nodes_from[STEP_ROWS]; /* nodes at this step or above */
};

static void hole_find(const struct pool *p, struct hole *ret)
{
    uint32_t sum = 0;
    ret->p = p;
    ret->units = p->free_milli;
    for (uint32_t row = row_untouched(p) + 1; row-- > 0;)
        ret->nodes_from[row] = sum += p->counts[row];
}

/* Nothing of a member can be free where this says no. */
static bool hole_may_hold(const struct hole *h, const struct member *k, int64_t scale)
{
    int64_t each = scale == SCALE_ONE ? k->each : mul_div_floor(k->each, scale, SCALE_ONE);
    int64_t whole = h->p->by_core ? mul_div_floor(each, h->p->steps, h->p->sample.amounts.core_milli) : each / 1000;
    uint32_t row = each == 0 ? 0 : (uint32_t)MIN(1 + whole, (int64_t)row_untouched(h->p));
    return h->nodes_from[row] >= k->nodes;
}

static void hopes_of_curve(const struct market *m, const struct hole *hole, struct curve_use use, struct hopes *h)
{
    const struct curve *c = &m->curves[use.curve];
    const struct curve_line *l = &c->lines[use.line];
    int64_t most = l->scale == SCALE_ONE ? hole->units : mul_div_ceil(hole->units, SCALE_ONE, MAX(l->scale, 1));
    int64_t least = l->ratio ? mul_div_floor(hole->p->lowest_ask + l->transfer, RATIO_ONE, l->ratio) : INT64_MAX;
    for (uint32_t j = 0; j < c->member_count && c->members[j].units <= most; j++) {
        const struct member *k = &c->members[j];
        if (k->head < least || k->head < 0 || !hole_may_hold(hole, k, l->scale))
            continue;
        ARRAY_RESERVE(h->items, h->count, h->capacity);
        int64_t margin = k->head * l->ratio / RATIO_ONE - l->transfer - hole->p->guide + 1;
        h->items[h->count++] = (struct hope){hope_worth(margin, k->units + k->units / 4096), k->class, use.line, class_head(m, k->class)};
    }
}

static void hopes_collect(const struct market *m, uint32_t pool, struct hopes *h)
{
    const struct pool *p = &m->pools[pool];
    struct hole hole;
    hole_find(p, &hole);
    h->pools += hole.units > 0;
    for (uint32_t i = 0; i < p->use_count && hole.units > 0; i++)
        if (m->curves[p->uses[i].curve].waiting)
            hopes_of_curve(m, &hole, p->uses[i], h);
}

/* Nothing is left to hope for where the last pool is full. */
static void hopes_end(const struct market *m, struct hopes *h, uint32_t pool)
{
    if (m->pools[pool].free_milli > 0)
        return;
    if (--h->pools == 0)
        h->count = 0;
}

#define FOLLOWERS_MAX 8

static time_ms bid_stay(const struct market *m, const struct bid *b)
{
    return MAX(bid_term(m, b), bid_minimum_run(m, b)) + b->notice;
}

/* Beside what is sold of a pool, or held there, who is gone earlier fits where the head of its class does not. */
static bool followers_try(struct market *m, uint32_t class, uint32_t line)
{
    uint32_t root = m->classes[class].waiting;
    time_ms least = bid_stay(m, &m->bids[tree_first(m, root)]);
    for (uint32_t i = 1; i <= FOLLOWERS_MAX && i < m->bids[root].tree_count; i++) {
        uint32_t bid = tree_at(m, root, i);
        if (bid_stay(m, &m->bids[bid]) >= least)
            continue;
        least = bid_stay(m, &m->bids[bid]);
        struct candidate c = bid_candidate(m, &m->bids[bid]);
        struct plan plan = {0};
        bool found = plan_at(m, &c, &c.form->lines[line], &plan);
        if (found)
            bid_place(m, bid, &plan);
        plan_fini(&plan);
        if (found)
            return true;
    }
    return false;
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
            top->head = class_head(m, class);
            hope_sink(m, h, 0);
            return;
        }
        uint32_t bid = tree_first(m, m->classes[class].waiting);
        struct candidate c = bid_candidate(m, &m->bids[bid]);
        struct plan plan = {0};
        uint32_t pool = c.form->lines[line].pool;
        bool found = plan_at(m, &c, &c.form->lines[line], &plan);
        if (found)
            bid_place(m, bid, &plan);
        else
            note(m, &plan);
        plan_fini(&plan);
        if (!found && (m->pools[pool].claims || m->pools[pool].holds))
            found = followers_try(m, class, line);
        if (found) {
            hopes_end(m, h, pool);
            return;
        }
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

void class_tried(struct market *m, uint32_t class)
{
    struct class *c = &m->classes[class];
    c->failed = c->waiting != 0;
    c->failed_value = c->waiting ? m->bids[tree_first(m, c->waiting)].value : 0;
}

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

uint32_t head_try(struct market *m, uint32_t class)
{
    uint32_t bid = tree_first(m, m->classes[class].waiting), victims = 0;
    struct candidate c = bid_candidate(m, &m->bids[bid]);
    struct plan plan;
    plan_make(m, m->scratch, &c, &plan);
    if (plan.site.count == 0) {
        note(m, &plan);
        class_tried(m, class);
    } else {
        victims = plan.site.victim_count;
        m->classes[class].misses = 0;
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

/* The classes that are to be looked at, best rank first. */
static void touched_collect(struct market *m, uint32_t first, struct hopes *h)
{
    for (uint32_t i = first; i < m->touched_count; i++) {
        const struct class *c = &m->classes[m->touched[i]];
        if (class_is_done(m, c)) {
            m->classes[m->touched[i]].touched = false;
            continue;
        }
        ARRAY_RESERVE(h->items, h->count, h->capacity);
        h->items[h->count++] = (struct hope){class_rank(m, c), m->touched[i], 0, class_head(m, m->touched[i])};
    }
    for (uint32_t i = h->count / 2 + 1; i-- > 0;)
        hope_sink(m, h, i);
}

/* Tries the best of them; true where it started, and its class may have more. */
static bool touched_try(struct market *m, struct hopes *h, uint32_t *victims)
{
    uint32_t class = h->items[0].class;
    if (!class_is_done(m, &m->classes[class])) {
        int64_t rank = class_rank(m, &m->classes[class]);
        if (rank < h->items[0].key) {
            h->items[0].key = rank;
            h->items[0].head = class_head(m, class);
            hope_sink(m, h, 0);
            return false;
        }
        *victims += head_try(m, class);
    }
    if (class_is_done(m, &m->classes[class])) {
        m->classes[class].touched = false; /* a victim of this batch may come back to it */
        h->items[0] = h->items[--h->count];
        hope_sink(m, h, 0);
    }
    return true;
}

/* Until nobody who was touched, or whom that touched, can start. */
static void touched_clear(struct market *m)
{
    struct hopes h = {0};
    uint32_t victims = 0, seen = 0;
    do {
        touched_collect(m, seen, &h);
        seen = m->touched_count;
        while (h.count && victims < EVICTIONS_MAX && m->touched_count == seen) {
            touched_try(m, &h, &victims);
            if (any_dirty(m))
                pools_refill(m);
        }
    } while (m->touched_count > seen && victims < EVICTIONS_MAX);
    xfree(h.items);
}

/* ---- at a tick --------------------------------------------------------------------------------------------- */

/* The least value that has a margin over the guides somewhere. */
static int64_t curve_threshold(const struct market *m, const struct curve *c)
{
    int64_t least = INT64_MAX;
    for (uint32_t i = 0; i < c->line_count; i++) {
        const struct curve_line *l = &c->lines[i];
        if (l->ratio)
            least = MIN(least, mul_div_floor(l->transfer + m->pools[l->pool].guide, RATIO_ONE, l->ratio));
    }
    return least;
}

static int hope_compare(const void *x, const void *y, const void *context)
{
    const struct market *m = context;
    return hope_before(m, x, y) ? -1 : 1;
}

/* Who gets another chance to displace: minimum runs have ended and prices moved. The most promising
 * come first, as many as the operator set; one that fails again and again is tried less often. */
static void tick_candidates(struct market *m)
{
    struct hopes h = {0};
    for (uint32_t i = 1; i < m->curve_count; i++) {
        const struct curve *c = &m->curves[i];
        int64_t threshold = c->waiting ? curve_threshold(m, c) : INT64_MAX;
        for (uint32_t j = 0; j < c->member_count && threshold < INT64_MAX; j++) {
            if (c->members[j].head < threshold)
                continue;
            ARRAY_RESERVE(h.items, h.count, h.capacity);
            int64_t gain = (c->members[j].head - threshold) * (c->members[j].units / 1000 + 1);
            h.items[h.count++] = (struct hope){gain, c->members[j].class, 0, class_head(m, c->members[j].class)};
        }
    }
    sort(h.items, h.count, sizeof *h.items, hope_compare, m);
    uint32_t left = (uint32_t)m->settings[SETTING_SWEEP_CANDIDATES];
    bool many = h.count > left / 4;
    for (uint32_t i = 0; i < h.count && left > 0; i++) {
        struct class *c = &m->classes[h.items[i].class];
        if (many && m->batch % (1u << MIN(c->misses, 5)) != 0)
            continue;
        c->failed = false;
        c->misses = (uint8_t)MIN(c->misses + 1, 5);
        class_touch(m, h.items[i].class);
        left--;
    }
    xfree(h.items);
}

/* The whole book, where it is to be cleared anew or much of it just came. */
static void clear_whole(struct market *m)
{
    if (m->dual == NULL) {
        m->dual = xcalloc(1, sizeof *m->dual);
        dual_init(m->dual, m, (struct dual_scope){0});
        dual_solve(m->dual, COLD_ROUNDS);
    }
    full_clear(m, m->dual);
    for (uint32_t i = 1; i < m->class_count; i++)
        class_tried(m, i);
    m->clear_all = m->cold = false;
}

/* Mass arrival: more than this and an eighth of all that waits. */
#define FULL_TOUCHED 1000

void clear_batch(struct market *m)
{
    if (m->clear_all || (m->touched_count > FULL_TOUCHED && m->touched_count > m->class_count / 8)) {
        clear_whole(m);
        return;
    }
    if (m->ticked)
        tick_candidates(m);
    if (any_dirty(m))
        pools_refill(m);
    touched_clear(m);
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
