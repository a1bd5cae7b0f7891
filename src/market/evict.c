/* SPDX-License-Identifier: Apache-2.0 */
/* Displacement: in each section that the level allows, leases are lifted out in order of what their
 * loss costs per unit until the newcomer fits; then those that turn out not to be needed are put
 * back, dearest first; the rest are its victims. It goes in only where
 *
 *     surplus of the newcomer > surplus and stay bonus of the victims + value × notice / H
 *
 * strictly, so that at equal value nothing moves (MARKET.md sections 5 and 8). */
#include "base/sort.h"
#include "market/market_internal.h"

struct victim {
    uint32_t lease;
    int64_t loss;  /* milli-rate */
    int64_t units; /* milli, for the order */
    bool lifted;
};

struct eviction {
    const struct market *m;
    const struct candidate *c;
    const struct class_pool *cp;
    const struct pool *pool;
    const struct market_amounts *amounts;
    struct area area;
    struct room *rooms;
    struct victim *victims;
    uint32_t victim_count, victim_capacity;
    uint32_t fits; /* nodes of the area that take one replica; with level node: all of them */
    int64_t value; /* milli-rate */
    bool is_protected;
};

static int victim_compare(const void *x, const void *y, const void *context)
{
    const struct market *m = context;
    const struct victim *a = x, *b = y;
    int128 left = (int128)a->loss * b->units, right = (int128)b->loss * a->units;
    int c = COMPARE(left, right);
    return c ? c : bid_compare(&m->bids[m->leases[b->lease].bid], &m->bids[m->leases[a->lease].bid]);
}

static int victim_by_slot(const void *x, const void *y, const void *context)
{
    (void)context;
    return COMPARE(((const struct victim *)x)->lease, ((const struct victim *)y)->lease);
}

static void victims_unique(struct eviction *e)
{
    sort(e->victims, e->victim_count, sizeof *e->victims, victim_by_slot, NULL);
    uint32_t kept = 0;
    for (uint32_t i = 0; i < e->victim_count; i++)
        if (kept == 0 || e->victims[kept - 1].lease != e->victims[i].lease)
            e->victims[kept++] = e->victims[i];
    e->victim_count = kept;
    sort(e->victims, e->victim_count, sizeof *e->victims, victim_compare, e->m);
}

static void victims_collect(struct eviction *e)
{
    e->victim_count = 0;
    for (uint32_t i = e->area.first; i < e->area.end; i++) {
        const struct node *n = &e->m->nodes[e->pool->nodes[i]];
        for (uint32_t j = 0; node_usable(n) && j < n->lease_count; j++) {
            const struct lease *l = &e->m->leases[n->leases[j]];
            if (l->state == LEASE_VACATING)
                continue;
            int64_t loss = lease_surplus(l) + lease_bonus(e->m, l);
            if (loss >= e->value)
                continue;
            if (!lease_evictable(e->m, l)) {
                e->is_protected = true;
                continue;
            }
            ARRAY_RESERVE(e->victims, e->victim_count, e->victim_capacity);
            e->victims[e->victim_count++] =
                (struct victim){.lease = n->leases[j], .loss = loss, .units = l->units_milli};
        }
    }
    if (e->victim_count)
        victims_unique(e);
}

static bool room_takes(const struct eviction *e, uint32_t index)
{
    uint64_t gpus;
    if (!node_usable(&e->m->nodes[e->pool->nodes[index]]) ||
        !room_fits(&e->rooms[index], e->amounts, &gpus))
        return false;
    int64_t each = e->c->class->alternatives[e->cp->alternative].level == LEVEL_NODE
                       ? e->c->class->replicas : 1;
    return each == 1 || room_count(&e->rooms[index], e->amounts, each) == each;
}

static uint32_t index_of(const struct eviction *e, uint32_t node)
{
    const struct node *n = &e->m->nodes[node];
    uint32_t low = 0, high = e->pool->node_count;
    while (low < high) {
        uint32_t middle = (low + high) / 2;
        const struct node *other = &e->m->nodes[e->pool->nodes[middle]];
        int c = COMPARE(other->spec.place.fabric, n->spec.place.fabric);
        c = c ? c : COMPARE(other->spec.place.rack, n->spec.place.rack);
        c = c ? c : COMPARE(other->spec.id, n->spec.id);
        if (c < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* Takes a lease out of the area's rooms, or puts it back. */
static void victim_lift(struct eviction *e, struct victim *v, bool lift)
{
    const struct lease *l = &e->m->leases[v->lease];
    v->lifted = lift;
    for (uint32_t i = 0; i < l->placement_count; i++) {
        uint32_t index = index_of(e, l->nodes[i]);
        if (index < e->area.first || index >= e->area.end)
            continue;
        e->fits -= room_takes(e, index);
        if (lift)
            room_give(&e->rooms[index], &l->placements[i].amounts, l->placements[i].gpus);
        else
            room_take(&e->rooms[index], &l->placements[i].amounts, l->placements[i].gpus);
        e->fits += room_takes(e, index);
    }
}

static uint32_t fits_needed(const struct eviction *e)
{
    return e->c->class->alternatives[e->cp->alternative].level == LEVEL_NODE ? 1 : e->c->class->replicas;
}

/* Whether the newcomer fits into the area as lifted. Only racks:K needs more than the count. */
static bool area_fits(const struct eviction *e)
{
    if (e->fits < fits_needed(e))
        return false;
    if (e->c->class->alternatives[e->cp->alternative].level != LEVEL_RACKS)
        return true;
    struct site site;
    bool fits = plan_place(e->m, e->c, e->cp, e->area, &site);
    if (fits)
        site_fini(&site);
    return fits;
}

static bool victims_lift(struct eviction *e)
{
    for (uint32_t i = 0; i < e->victim_count; i++) {
        victim_lift(e, &e->victims[i], true);
        if (area_fits(e)) {
            for (uint32_t j = i + 1; j-- > 0;) {
                victim_lift(e, &e->victims[j], false);
                if (!area_fits(e))
                    victim_lift(e, &e->victims[j], true);
            }
            return true;
        }
    }
    return false;
}

static int64_t eviction_gain(const struct eviction *e, const struct site *site)
{
    int128 gain = (int128)e->value - site->ask_rate;
    time_ms wait = 0;
    for (uint32_t i = 0; i < e->victim_count; i++)
        if (e->victims[i].lifted) {
            gain -= e->victims[i].loss;
            wait = MAX(wait, e->m->bids[e->m->leases[e->victims[i].lease].bid].notice);
        }
    int64_t horizon = MAX(e->m->settings[SETTING_HORIZON_MS], 1);
    return narrow_checked(gain) - mul_div_ceil(e->value, wait, horizon);
}

static void site_victims(const struct eviction *e, struct site *site)
{
    site->victims = xcalloc(e->victim_count, sizeof *site->victims);
    for (uint32_t i = 0; i < e->victim_count; i++)
        if (e->victims[i].lifted)
            site->victims[site->victim_count++] = e->victims[i].lease;
}

static void try_area(struct eviction *e, uint32_t first, uint32_t end, struct plan *best)
{
    e->area = (struct area){NULL, first, end};
    victims_collect(e);
    if (e->victim_count == 0)
        return;
    if (e->rooms == NULL)
        e->rooms = xcalloc(e->pool->node_count, sizeof *e->rooms);
    e->area.rooms = e->rooms;
    e->fits = 0;
    for (uint32_t i = first; i < end; i++) {
        e->rooms[i] = e->m->nodes[e->pool->nodes[i]].room;
        e->fits += room_takes(e, i);
    }
    struct site site;
    if (!victims_lift(e) || !plan_place(e->m, e->c, e->cp, e->area, &site))
        return;
    const struct class_pool *at;
    site.limit_rate = e->value;
    site.rate = e->value - menu_best(e->m, e->c, &at);
    if (e->c->urgent)
        site.rate = MAX(site.rate, site.ask_rate);
    int64_t gain = eviction_gain(e, &site);
    if (gain <= best->gain || site.rate < site.ask_rate) {
        site_fini(&site);
        return;
    }
    site_victims(e, &site);
    site_fini(&best->site);
    best->site = site;
    best->gain = gain;
}

static uint32_t area_end(const struct eviction *e, enum market_level level, uint32_t first)
{
    switch (level) {
    case LEVEL_ANY:
    case LEVEL_ZONE:
        return e->pool->node_count;
    case LEVEL_FABRIC:
    case LEVEL_RACKS:
        return pool_fabric_end(e->m, e->pool, first);
    case LEVEL_RACK:
        return pool_rack_end(e->m, e->pool, first);
    case LEVEL_NODE:
        return first + 1;
    }
    return e->pool->node_count;
}

void plan_evict(const struct market *m, const struct candidate *c, const struct class_pool *cp, struct plan *best)
{
    const struct pool *p = &m->pools[cp->pool];
    struct eviction e = {.m = m, .c = c, .cp = cp, .pool = p,
        .amounts = &c->class->choices[cp->alternative].amounts,
        .value = mul_checked(candidate_limit(c, cp), cp->units_milli)};
    enum market_level level = c->class->alternatives[cp->alternative].level;
    for (uint32_t i = 0, end; i < p->node_count; i = end) {
        end = area_end(&e, level, i);
        try_area(&e, i, end, best);
    }
    best->is_protected |= e.is_protected;
    xfree(e.rooms);
    xfree(e.victims);
}
