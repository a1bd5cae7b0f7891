/* SPDX-License-Identifier: Apache-2.0 */
/* Where a bid fits, on free capacity or on what a search has lifted out of the way.
 *
 * Where every ask of the pool is the same and whole nodes are wanted, counts decide: the tightest
 * fabric that fits; in it the rack with the smallest sufficient count, else the fullest racks first
 * and the best fit for the last. One replica that takes a part of a node goes where least is left.
 * Everything else is looked at node by node: sections from tight to loose, cheapest asks first, then
 * the tighter section, then the one with the fewest nodes to offer. */
#include "base/sort.h"
#include "market/market_internal.h"

struct pick {
    uint32_t position;
    udollar ask;
    int64_t left; /* units on it beyond this replica */
};

struct search {
    const struct market *m;
    const struct pool *p;
    const struct market_alternative *a;
    struct market_placement replica; /* what each takes */
    struct area area;
    uint32_t replicas, step;
    uint32_t *taken; /* positions */
    uint32_t taken_count;
    struct pick *fits; /* of one section */
    uint32_t fit_count, fit_capacity;
    udollar best_asks;
    uint32_t best_offered;
    const struct candidate *c;
    struct candidate own; /* what c is at this line */
    udollar floor; /* it pays so much at least */
    int64_t net;
    bool watched; /* something is held there for tight starts, or it is one */
    struct room then;
};

static const struct room *room_at(struct search *s, uint32_t position)
{
    if (s->area.window) {
        claim_room(s->m, s->p->nodes[position], s->area.window, &s->then);
        return &s->then;
    }
    return lift_room(s->area.lift, s->m, s->p->nodes[position]);
}

/* ---- by counts ------------------------------------------------------------------------------------------ */

static void take_rack(struct search *s, uint32_t rack, uint32_t most)
{
    const struct rack *r = &s->p->racks[rack];
    uint32_t row = row_untouched(s->p);
    for (uint32_t at = row_next(s->p, row, r->first, r->end); at < r->end && most > 0; most--) {
        s->taken[s->taken_count++] = at;
        at = row_next(s->p, row, at + 1, r->end);
    }
}

/* The rack of [first, end) with the smallest count that suffices; `end` where none does. */
static uint32_t rack_tightest(const struct pool *p, uint32_t first, uint32_t end, uint32_t need)
{
    uint32_t best = end;
    for (uint32_t i = first; i < end; i++)
        if (p->racks[i].full >= need && (best == end || p->racks[i].full < p->racks[best].full))
            best = i;
    return best;
}

/* Fullest racks first, at most `most` of them, the best fit for the last. */
static bool take_racks(struct search *s, const struct fabric *f, uint32_t need, uint32_t most)
{
    uint32_t count = f->end - f->first, before = s->taken_count;
    _cleanup_free_ bool *used = xcalloc(count, sizeof *used);
    for (; most > 0 && need > 0; most--) {
        uint32_t tight = count, full = count;
        for (uint32_t i = 0; i < count; i++) {
            uint32_t here = s->p->racks[f->first + i].full;
            if (used[i] || here == 0)
                continue;
            if (here >= need && (tight == count || here < s->p->racks[f->first + tight].full))
                tight = i;
            if (full == count || here > s->p->racks[f->first + full].full)
                full = i;
        }
        uint32_t chosen = tight < count ? tight : full;
        if (chosen == count)
            break;
        used[chosen] = true;
        uint32_t here = MIN(need, s->p->racks[f->first + chosen].full);
        take_rack(s, f->first + chosen, here);
        need -= here;
    }
    if (need > 0)
        s->taken_count = before;
    return need == 0;
}

static void take_fabric(struct search *s, const struct fabric *f, uint32_t need)
{
    uint32_t rack = rack_tightest(s->p, f->first, f->end, need);
    if (rack < f->end)
        take_rack(s, rack, need);
    else
        CHECK(take_racks(s, f, need, UINT32_MAX));
}

/* The fabric with the smallest count that suffices and is above `floor`; NULL where none is. */
static const struct fabric *fabric_tightest(const struct pool *p, uint32_t need)
{
    const struct fabric *best = NULL;
    for (uint32_t i = 0; i < p->fabric_count; i++)
        if (p->fabrics[i].full >= need && (best == NULL || p->fabrics[i].full < best->full))
            best = &p->fabrics[i];
    return best;
}

static int fabric_fullest(const void *x, const void *y, const void *context)
{
    (void)context;
    const struct fabric *a = *(const struct fabric *const *)x, *b = *(const struct fabric *const *)y;
    int c = COMPARE(b->full, a->full);
    return c ? c : COMPARE(a->first, b->first);
}

static bool take_pool(struct search *s)
{
    if (s->p->full < s->replicas)
        return false;
    const struct fabric *tight = fabric_tightest(s->p, s->replicas);
    if (tight) {
        take_fabric(s, tight, s->replicas);
        return true;
    }
    const struct fabric **order = xcalloc(s->p->fabric_count, sizeof *order);
    for (uint32_t i = 0; i < s->p->fabric_count; i++)
        order[i] = &s->p->fabrics[i];
    sort(order, s->p->fabric_count, sizeof *order, fabric_fullest, NULL);
    uint32_t need = s->replicas;
    for (uint32_t i = 0; need > 0; i++) {
        uint32_t here = MIN(need, order[i]->full);
        take_fabric(s, order[i], here);
        need -= here;
    }
    xfree(order);
    return true;
}

static bool take_few_racks(struct search *s)
{
    uint32_t rack = rack_tightest(s->p, 0, s->p->rack_count, s->replicas);
    if (rack < s->p->rack_count) {
        take_rack(s, rack, s->replicas);
        return true;
    }
    for (uint32_t i = 0; i < s->p->fabric_count; i++)
        if (s->p->fabrics[i].full >= s->replicas && take_racks(s, &s->p->fabrics[i], s->replicas, s->a->racks))
            return true;
    return false;
}

static bool take_by_count(struct search *s)
{
    switch (s->a->level) {
    case LEVEL_ANY:
    case LEVEL_ZONE:
        return take_pool(s);
    case LEVEL_NODE: /* one replica: another node would be as good */
    case LEVEL_FABRIC: {
        const struct fabric *f = fabric_tightest(s->p, s->replicas);
        if (f)
            take_fabric(s, f, s->replicas);
        return f != NULL;
    }
    case LEVEL_RACKS:
        return take_few_racks(s);
    case LEVEL_RACK: {
        uint32_t rack = rack_tightest(s->p, 0, s->p->rack_count, s->replicas);
        if (rack < s->p->rack_count)
            take_rack(s, rack, s->replicas);
        return rack < s->p->rack_count;
    }
    }
    return false;
}

/* One replica on a part of a node: the least step that holds it; a new node in the tightest rack. */
static bool take_part(struct search *s)
{
    uint64_t gpus;
    for (uint32_t row = s->step; row < row_untouched(s->p); row++)
        for (uint32_t at = 0; s->p->counts[row] && (at = row_next(s->p, row, at, s->p->node_count)) < s->p->node_count; at++)
            if (room_fits(room_at(s, at), &s->replica, &gpus)) {
                s->taken[s->taken_count++] = at;
                return true;
            }
    const struct fabric *f = fabric_tightest(s->p, 1);
    if (f)
        take_rack(s, rack_tightest(s->p, f->first, f->end, 1), 1);
    return f != NULL;
}

/* ---- node by node ------------------------------------------------------------------------------------------ */

static int pick_compare(const void *x, const void *y, const void *context)
{
    (void)context;
    const struct pick *a = x, *b = y;
    int c = COMPARE(a->ask, b->ask);
    if (c == 0)
        c = COMPARE(a->left, b->left);
    return c ? c : COMPARE(a->position, b->position);
}

/* The nodes of [first, end) that take `each` replicas. */
static void collect(struct search *s, uint32_t first, uint32_t end, int64_t each)
{
    s->fit_count = 0;
    for (uint32_t i = first; i < end; i++) {
        const struct node *n = &s->m->nodes[s->p->nodes[i]];
        if (!node_usable(n))
            continue;
        const struct room *r = room_at(s, i);
        uint64_t gpus;
        if (!room_fits(r, &s->replica, &gpus) || (each > 1 && room_count(r, &s->replica, each) < each))
            continue;
        struct stand stand = {s->c, r, &s->replica, each, s->floor, 0, s->net};
        if (s->p->claims && s->area.window == NULL && !claim_allows(s->m, s->p->nodes[i], &stand))
            continue;
        if (s->watched && !headroom_allows(s->m, s->p->nodes[i], s->area.lift, &stand))
            continue;
        ARRAY_RESERVE(s->fits, s->fit_count, s->fit_capacity);
        int64_t free = s->p->by_core ? r->free.core_milli : r->free.gpu_milli;
        s->fits[s->fit_count++] = (struct pick){.position = i, .ask = n->spec.ask, .left = free};
    }
    sort(s->fits, s->fit_count, sizeof *s->fits, pick_compare, NULL);
}

static void offer(struct search *s, uint32_t count, uint32_t offered)
{
    udollar asks = 0;
    for (uint32_t i = 0; i < count; i++)
        asks += s->fits[i].ask;
    if (s->taken_count && (asks > s->best_asks || (asks == s->best_asks && offered >= s->best_offered)))
        return;
    for (uint32_t i = 0; i < count; i++)
        s->taken[i] = s->fits[i].position;
    s->taken_count = count;
    s->best_asks = asks;
    s->best_offered = offered;
}

static void try_section(struct search *s, uint32_t first, uint32_t end)
{
    if (end - first < s->replicas)
        return;
    collect(s, first, end, 1);
    if (s->fit_count >= s->replicas)
        offer(s, s->replicas, s->fit_count);
}

static void try_racks(struct search *s)
{
    for (uint32_t i = 0; i < s->p->rack_count; i++)
        if (s->p->racks[i].first >= s->area.first && s->p->racks[i].end <= s->area.end)
            try_section(s, s->p->racks[i].first, s->p->racks[i].end);
}

static void try_fabrics(struct search *s)
{
    for (uint32_t i = 0; i < s->p->fabric_count; i++)
        if (s->p->fabrics[i].first_node >= s->area.first && s->p->fabrics[i].end_node <= s->area.end)
            try_section(s, s->p->fabrics[i].first_node, s->p->fabrics[i].end_node);
}

struct offering {
    uint32_t rack, fits;
};

static int offering_compare(const void *x, const void *y, const void *context)
{
    (void)context;
    const struct offering *a = x, *b = y;
    int c = COMPARE(b->fits, a->fits);
    return c ? c : COMPARE(a->rack, b->rack);
}

/* At most `most` racks of the fabric: the ones that offer most. */
static void try_few_racks(struct search *s, const struct fabric *f, uint32_t most)
{
    uint32_t count = f->end - f->first, found = 0;
    _cleanup_free_ struct offering *racks = xcalloc(count, sizeof *racks);
    for (uint32_t i = 0; i < count; i++) {
        collect(s, s->p->racks[f->first + i].first, s->p->racks[f->first + i].end, 1);
        racks[i] = (struct offering){f->first + i, s->fit_count};
    }
    sort(racks, count, sizeof *racks, offering_compare, NULL);
    _cleanup_free_ struct pick *all = xcalloc(s->replicas, sizeof *all);
    for (uint32_t i = 0; i < MIN(count, most) && found < s->replicas; i++) {
        collect(s, s->p->racks[racks[i].rack].first, s->p->racks[racks[i].rack].end, 1);
        for (uint32_t j = 0; j < s->fit_count && found < s->replicas; j++)
            all[found++] = s->fits[j];
    }
    if (found < s->replicas)
        return;
    while (s->fit_capacity < found)
        ARRAY_RESERVE(s->fits, s->fit_capacity, s->fit_capacity);
    memcpy(s->fits, all, found * sizeof *all);
    offer(s, found, found);
}

static void try_level(struct search *s)
{
    if (s->replicas == 1 && s->a->level != LEVEL_NODE) {
        try_section(s, s->area.first, s->area.end);
        return;
    }
    switch (s->a->level) {
    case LEVEL_ANY:
    case LEVEL_ZONE:
        try_racks(s);
        try_fabrics(s);
        try_section(s, s->area.first, s->area.end);
        return;
    case LEVEL_FABRIC:
        try_racks(s);
        try_fabrics(s);
        return;
    case LEVEL_RACKS:
        try_racks(s);
        for (uint32_t i = 0; i < s->p->fabric_count; i++)
            if (s->p->fabrics[i].first_node >= s->area.first && s->p->fabrics[i].end_node <= s->area.end)
                try_few_racks(s, &s->p->fabrics[i], s->a->racks);
        return;
    case LEVEL_RACK:
        try_racks(s);
        return;
    case LEVEL_NODE:
        collect(s, s->area.first, s->area.end, s->replicas);
        if (s->fit_count)
            offer(s, 1, s->fit_count);
        return;
    }
}

/* ---- both ------------------------------------------------------------------------------------------------------ */

static int position_compare(const void *x, const void *y, const void *context)
{
    (void)context;
    return COMPARE(*(const uint32_t *)x, *(const uint32_t *)y);
}

/* Ranks follow the order of the nodes, so that neighbours in rank are neighbours in place. */
static void site_fill(struct search *s, const struct line *line, struct site *ret)
{
    uint32_t count = s->replicas;
    sort(s->taken, s->taken_count, sizeof *s->taken, position_compare, NULL);
    *ret = (struct site){.alternative = line->alternative, .pool = line->pool, .count = count,
        .subscription = s->c->subscription, .placements = xcalloc(count, sizeof *ret->placements),
        .nodes = xcalloc(count, sizeof *ret->nodes), .units_milli = mul_checked(line->replica_milli, count)};
    int128 asks = 0;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t node = s->p->nodes[s->taken[s->taken_count == 1 ? 0 : i]];
        ret->nodes[i] = node;
        ret->placements[i] = s->replica;
        ret->placements[i].rank = i;
        ret->placements[i].node = s->m->nodes[node].spec.id;
        asks += (int128)s->m->nodes[node].spec.ask * line->replica_milli;
    }
    ret->ask_rate = narrow_checked(asks);
}

static bool counts_decide(const struct search *s)
{
    return s->area.lift == NULL && s->area.window == NULL && s->p->claims == 0 && !s->watched && s->p->lowest_ask == s->p->highest_ask &&
           (s->replicas == 1 || (s->step == s->p->steps + 1 && s->p->counts[s->step] == 0 && s->a->level != LEVEL_NODE));
}

static bool place_within(struct search *s, uint32_t subscription)
{
    s->own.subscription = subscription;
    s->watched = s->area.window == NULL && (s->p->holds || subscription);
    if (!counts_decide(s))
        try_level(s);
    else if (s->replicas > 1)
        take_by_count(s);
    else
        take_part(s);
    return s->taken_count > 0;
}

bool place_in(const struct market *m, const struct candidate *c, const struct line *line, struct area area, struct site *ret)
{
    const struct pool *p = &m->pools[line->pool];
    struct search s = {.m = m, .p = p, .a = &c->form->alternatives[line->alternative], .area = area,
        .replica = {.amounts = c->form->choices[line->alternative].amounts, .units_milli = line->replica_milli},
        .replicas = c->replicas, .own = *c, .net = candidate_net(c, line), .floor = MIN(p->post, candidate_net(c, line))};
    s.c = &s.own;
    s.step = pool_step(p, &s.replica.amounts);
    s.taken = xcalloc(c->replicas, sizeof *s.taken);
    bool found = false;
    uint32_t within = 0;
    do { /* what one subscription has no node for another may have */
        within = area.window ? 0 : headroom_entitles(m, c, line, within);
        if (within == 0 && s.own.subscription)
            break;
        found = place_within(&s, within);
    } while (!found && within);
    if (found)
        site_fill(&s, line, ret);
    xfree(s.fits);
    xfree(s.taken);
    return found;
}
