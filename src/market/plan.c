/* SPDX-License-Identifier: Apache-2.0 */
/* Where a bid would go, dry: nothing here changes the market, so that `why` and `quote` ask the very
 * code that decides.
 *
 * Free capacity first, in the pools by what is left of the bid's value after the posted price. Inside
 * a pool the sections that the level allows are tried from tight to loose (racks, fabrics, the pool);
 * the cheapest asks win, then the tighter level, then the section that has the fewest nodes to
 * offer, then the first. Inside a section: cheapest asks, then the node with the least left over. */
#include "base/sort.h"
#include "market/market_internal.h"

struct pick {
    uint32_t index; /* in pool.nodes */
    udollar ask;
    int64_t left; /* units on it beyond this replica */
};

static int pick_compare(const void *x, const void *y, const void *context)
{
    (void)context;
    const struct pick *a = x, *b = y;
    int c = COMPARE(a->ask, b->ask);
    if (c == 0)
        c = COMPARE(a->left, b->left);
    return c ? c : COMPARE(a->index, b->index);
}

static int pick_by_index(const void *x, const void *y, const void *context)
{
    (void)context;
    return COMPARE(((const struct pick *)x)->index, ((const struct pick *)y)->index);
}

/* A way to place all replicas in one section. */
struct choice {
    struct pick *picks; /* `count` of them */
    uint32_t count, capacity;
    udollar asks;
    uint32_t offered; /* nodes of the section that fit */
};

struct search {
    const struct market *m;
    const struct class *class;
    const struct class_pool *cp;
    const struct pool *pool;
    const struct market_amounts *amounts;
    struct area area;
    struct pick *fits; /* scratch */
    uint32_t fit_count, fit_capacity;
    struct choice best;
};

void plan_fini(struct plan *plan)
{
    site_fini(&plan->site);
}

void site_fini(struct site *site)
{
    xfree(site->placements);
    xfree(site->nodes);
    xfree(site->victims);
    *site = (struct site){0};
}

int64_t candidate_limit(const struct candidate *c, const struct class_pool *cp)
{
    return ratio_apply(c->limit, cp->ratio);
}

const struct room *area_room(const struct market *m, const struct pool *p, struct area area, uint32_t index)
{
    return area.rooms ? &area.rooms[index] : &m->nodes[p->nodes[index]].room;
}

/* Collects the nodes of [first, end) that take `each` replicas; stops early where none is needed. */
static void collect(struct search *s, uint32_t first, uint32_t end, int64_t each)
{
    s->fit_count = 0;
    for (uint32_t i = first; i < end; i++) {
        const struct node *n = &s->m->nodes[s->pool->nodes[i]];
        const struct room *r = area_room(s->m, s->pool, s->area, i);
        uint64_t gpus;
        if (!node_usable(n) || !room_fits(r, s->amounts, &gpus))
            continue;
        if (each > 1 && room_count(r, s->amounts, each) < each)
            continue;
        ARRAY_RESERVE(s->fits, s->fit_count, s->fit_capacity);
        int64_t free = s->pool->by_core ? r->free.core_milli : r->free.gpu_milli;
        s->fits[s->fit_count++] = (struct pick){.index = i, .ask = n->spec.ask, .left = free};
    }
}

static void offer(struct search *s, uint32_t count)
{
    udollar asks = 0;
    for (uint32_t i = 0; i < count; i++)
        asks += s->fits[i].ask;
    struct choice *best = &s->best;
    if (best->count && (asks > best->asks || (asks == best->asks && s->fit_count >= best->offered)))
        return;
    while (best->capacity < count)
        ARRAY_RESERVE(best->picks, best->capacity, best->capacity);
    memcpy(best->picks, s->fits, count * sizeof *best->picks);
    best->count = count;
    best->asks = asks;
    best->offered = s->fit_count;
}

static void try_section(struct search *s, uint32_t first, uint32_t end)
{
    uint32_t count = s->class->replicas;
    if (end - first < count)
        return;
    collect(s, first, end, 1);
    if (s->fit_count < count)
        return;
    sort(s->fits, s->fit_count, sizeof *s->fits, pick_compare, NULL);
    offer(s, count);
}

static void try_racks(struct search *s)
{
    for (uint32_t i = s->area.first, end; i < s->area.end; i = end) {
        end = MIN(pool_rack_end(s->m, s->pool, i), s->area.end);
        try_section(s, i, end);
    }
}

static void try_fabrics(struct search *s)
{
    for (uint32_t i = s->area.first, end; i < s->area.end; i = end) {
        end = MIN(pool_fabric_end(s->m, s->pool, i), s->area.end);
        try_section(s, i, end);
    }
}

struct rack {
    uint32_t first, end, fits;
};

static int rack_compare(const void *x, const void *y, const void *context)
{
    (void)context;
    const struct rack *a = x, *b = y;
    int c = COMPARE(b->fits, a->fits);
    return c ? c : COMPARE(a->first, b->first);
}

/* At most `most` racks of the fabric [first, end): the ones that offer most. */
static void try_few_racks(struct search *s, uint32_t first, uint32_t end, uint32_t most)
{
    struct rack *racks = NULL;
    uint32_t count = 0, capacity = 0, fits = 0;
    for (uint32_t i = first, next; i < end; i = next) {
        next = MIN(pool_rack_end(s->m, s->pool, i), end);
        collect(s, i, next, 1);
        ARRAY_RESERVE(racks, count, capacity);
        racks[count++] = (struct rack){i, next, s->fit_count};
    }
    sort(racks, count, sizeof *racks, rack_compare, NULL);
    struct pick *all = NULL;
    uint32_t all_count = 0, all_capacity = 0, needed = s->class->replicas;
    for (uint32_t i = 0; i < MIN(count, most) && fits < needed; i++) {
        collect(s, racks[i].first, racks[i].end, 1);
        sort(s->fits, s->fit_count, sizeof *s->fits, pick_compare, NULL);
        for (uint32_t j = 0; j < s->fit_count && fits < needed; j++, fits++) {
            ARRAY_RESERVE(all, all_count, all_capacity);
            all[all_count++] = s->fits[j];
        }
    }
    if (fits >= needed) {
        for (s->fit_count = 0; s->fit_count < all_count; s->fit_count++) {
            ARRAY_RESERVE(s->fits, s->fit_count, s->fit_capacity);
            s->fits[s->fit_count] = all[s->fit_count];
        }
        offer(s, needed);
    }
    xfree(all);
    xfree(racks);
}

static void try_one_node(struct search *s)
{
    collect(s, s->area.first, s->area.end, s->class->replicas);
    if (s->fit_count == 0)
        return;
    sort(s->fits, s->fit_count, sizeof *s->fits, pick_compare, NULL);
    offer(s, 1);
}

static void try_level(struct search *s)
{
    const struct market_alternative *a = &s->class->alternatives[s->cp->alternative];
    if (s->class->replicas == 1 && a->level != LEVEL_NODE) {
        try_section(s, s->area.first, s->area.end);
        return;
    }
    switch (a->level) {
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
        for (uint32_t i = s->area.first, end; i < s->area.end; i = end) {
            end = MIN(pool_fabric_end(s->m, s->pool, i), s->area.end);
            try_few_racks(s, i, end, a->racks);
        }
        return;
    case LEVEL_RACK:
        try_racks(s);
        return;
    case LEVEL_NODE:
        try_one_node(s);
        return;
    }
}

/* Ranks follow the order of the nodes, so that neighbours in rank are neighbours in place. */
static void site_fill(const struct search *s, struct site *ret)
{
    bool one_node = s->class->alternatives[s->cp->alternative].level == LEVEL_NODE;
    uint32_t count = s->class->replicas;
    sort(s->best.picks, s->best.count, sizeof *s->best.picks, pick_by_index, NULL);
    *ret = (struct site){.alternative = s->cp->alternative, .pool = s->cp->pool, .count = count,
        .placements = xcalloc(count, sizeof *ret->placements),
        .nodes = xcalloc(count, sizeof *ret->nodes), .units_milli = s->cp->units_milli};
    int128 asks = 0;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t node = s->pool->nodes[s->best.picks[one_node ? 0 : i].index];
        ret->nodes[i] = node;
        ret->placements[i] = (struct market_placement){.rank = i, .node = s->m->nodes[node].spec.id,
            .amounts = *s->amounts, .units_milli = s->cp->replica_milli};
        asks += (int128)s->m->nodes[node].spec.ask * s->cp->replica_milli;
    }
    ret->ask_rate = narrow_checked(asks);
}

bool plan_place(const struct market *m, const struct candidate *c, const struct class_pool *cp, struct area area,
                struct site *ret)
{
    struct search s = {.m = m, .class = c->class, .cp = cp, .pool = &m->pools[cp->pool],
        .amounts = &c->class->choices[cp->alternative].amounts, .area = area};
    try_level(&s);
    if (s.best.count)
        site_fill(&s, ret);
    bool found = s.best.count > 0;
    xfree(s.fits);
    xfree(s.best.picks);
    return found;
}

/* Nothing below this says more than "not here", at the cost of a few additions. */
static bool pool_is_full(const struct market *m, const struct class *class, const struct class_pool *cp)
{
    const struct pool *p = &m->pools[cp->pool];
    if (class->alternatives[cp->alternative].level == LEVEL_NODE)
        return pool_nodes_with(p, cp->units_milli) == 0;
    return pool_nodes_with(p, cp->replica_milli) < class->replicas;
}

/* Whether the menu lets it in there, and at what rate (MARKET.md section 7, "Admissible site"). */
static bool site_admit(const struct market *m, const struct candidate *c, const struct class_pool *cp, struct plan *plan)
{
    struct site *site = &plan->site;
    const struct class_pool *at;
    int64_t best = menu_best(m, c, &at);
    site->limit_rate = mul_checked(candidate_limit(c, cp), cp->units_milli);
    if (site->limit_rate < site->ask_rate)
        return false;
    site->rate = site->limit_rate - best;
    if (site->rate >= site->ask_rate)
        return true;
    if (c->urgent) {
        site->rate = site->ask_rate;
        return true;
    }
    /* The post of the pool that gave `best`, at which this site would just be let in. */
    int64_t there = mul_checked(candidate_limit(c, at), at->units_milli);
    udollar price = div_ceil(there - (site->limit_rate - site->ask_rate), at->units_milli);
    if (price <= m->pools[at->pool].guide) {
        plan->noted_pool = at->pool;
        plan->noted_price = price;
    }
    return false;
}

struct option {
    uint32_t index;
    int64_t net;
};

static int option_compare(const void *x, const void *y, const void *context)
{
    (void)context;
    const struct option *a = x, *b = y;
    int c = COMPARE(b->net, a->net);
    return c ? c : COMPARE(a->index, b->index);
}

static void plan_free(const struct market *m, const struct candidate *c, const struct option *options, struct plan *ret)
{
    for (uint32_t i = 0; i < c->class->pool_count; i++) {
        const struct class_pool *cp = &c->class->pools[options[i].index];
        struct area all = {NULL, 0, m->pools[cp->pool].node_count};
        if (!cp->fits || pool_is_full(m, c->class, cp) || !plan_place(m, c, cp, all, &ret->site))
            continue;
        if (site_admit(m, c, cp, ret))
            return;
        site_fini(&ret->site);
    }
}

void plan_make(const struct market *m, const struct candidate *c, struct plan *ret)
{
    *ret = (struct plan){0};
    uint32_t count = c->class->pool_count;
    struct option *options = xcalloc(count + 1, sizeof *options);
    for (uint32_t i = 0; i < count; i++) {
        const struct class_pool *cp = &c->class->pools[i];
        int64_t margin = candidate_limit(c, cp) - m->pools[cp->pool].post;
        options[i] = (struct option){i, mul_checked(margin, cp->units_milli)};
    }
    sort(options, count, sizeof *options, option_compare, NULL);
    plan_free(m, c, options, ret);
    if (ret->site.count == 0)
        for (uint32_t i = 0; i < count; i++)
            if (c->class->pools[options[i].index].fits)
                plan_evict(m, c, &c->class->pools[options[i].index], ret);
    xfree(options);
}

int64_t plan_capacity(const struct market *m, const struct class *class, const struct class_pool *cp, int64_t most)
{
    const struct pool *p = &m->pools[cp->pool];
    const struct market_alternative *a = &class->alternatives[cp->alternative];
    struct room empty = room_empty(&p->sample.amounts);
    if (p->node_count == 0)
        return 0;
    if (a->level == LEVEL_NODE)
        return room_count(&empty, &class->choices[cp->alternative].amounts, most);
    if (a->level == LEVEL_ANY || a->level == LEVEL_ZONE)
        return MIN(p->node_count, most);
    int64_t best = 0;
    for (uint32_t i = 0, end; i < p->node_count; i = end) {
        end = a->level == LEVEL_RACK ? pool_rack_end(m, p, i) : pool_fabric_end(m, p, i);
        int64_t here = end - i;
        if (a->level == LEVEL_RACKS) {
            /* the K largest racks of this fabric */
            here = 0;
            _cleanup_free_ struct rack *racks = xcalloc(end - i, sizeof *racks);
            uint32_t count = 0;
            for (uint32_t j = i, next; j < end; j = next) {
                next = pool_rack_end(m, p, j);
                racks[count++] = (struct rack){j, next, next - j};
            }
            sort(racks, count, sizeof *racks, rack_compare, NULL);
            for (uint32_t j = 0; j < MIN(count, a->racks); j++)
                here += racks[j].fits;
        }
        best = MAX(best, here);
    }
    return MIN(best, most);
}
