/* SPDX-License-Identifier: Apache-2.0 */
/* Nodes and pools. A pool keeps its nodes sorted by (fabric, rack, id), so that a rack or a fabric
 * is a run of the array, and a histogram by free whole units that refuses most searches at once. */
#include "market/market_internal.h"

bool node_usable(const struct node *n)
{
    return n->up && !n->draining;
}

int64_t node_units(const struct node *n)
{
    const struct market_amounts *a = &n->spec.amounts;
    return a->gpu_milli ? a->gpu_milli : a->core_milli;
}

/* The freest of its amounts in whole units: whatever needs more than this does not fit. */
static uint32_t node_bucket(const struct node *n)
{
    const struct market_amounts *all = &n->spec.amounts, *free = &n->room.free;
    int64_t units = node_units(n), most = 0;
    const int64_t of[] = {all->gpu_milli, all->core_milli, all->memory_mib, all->disk_mib};
    const int64_t left[] = {free->gpu_milli, free->core_milli, free->memory_mib, free->disk_mib};
    for (size_t i = 0; i < ARRAY_COUNT(of); i++)
        if (of[i])
            most = MAX(most, mul_div_floor(left[i], units, of[i]));
    return (uint32_t)MIN(most / 1000, NODE_UNITS_MAX);
}

/* Takes the node out of its pool's counts before a change and puts it back after. */
static void node_uncount(struct market *m, const struct node *n)
{
    struct pool *p = &m->pools[n->pool];
    if (!node_usable(n))
        return;
    p->free_nodes[node_bucket(n)]--;
    p->units_milli -= node_units(n);
}

static void node_count(struct market *m, const struct node *n)
{
    struct pool *p = &m->pools[n->pool];
    if (!node_usable(n))
        return;
    p->free_nodes[node_bucket(n)]++;
    p->units_milli += node_units(n);
}

static void pool_asks(struct market *m, struct pool *p)
{
    p->lowest_ask = -1;
    for (uint32_t i = 0; i < p->node_count; i++) {
        const struct node *n = &m->nodes[p->nodes[i]];
        if (node_usable(n) && (p->lowest_ask < 0 || n->spec.ask < p->lowest_ask))
            p->lowest_ask = n->spec.ask;
    }
    p->lowest_ask = MAX(p->lowest_ask, 0);
    if (p->post < p->lowest_ask) {
        p->marginal = MAX(p->marginal, p->lowest_ask);
        p->guide = MAX(p->guide, p->marginal);
        p->post = p->marginal + menu_round(p->scarcity);
    }
}

static void pool_freed(struct market *m, uint32_t pool)
{
    m->pools[pool].dirty = true;
}

void pool_key(const struct market_node *spec, struct buf *out)
{
    pack_u64(out, spec->sku);
    pack_u64(out, spec->accelerator);
    pack_u64(out, spec->place.provider);
    pack_u64(out, spec->place.region);
    pack_u64(out, spec->place.zone);
    pack_u64(out, spec->only_tenant);
    pack_i64(out, spec->amounts.gpu_milli);
    pack_i64(out, spec->amounts.core_milli);
    pack_i64(out, spec->amounts.memory_mib);
    pack_i64(out, spec->amounts.disk_mib);
    for (size_t i = 0; i < MARKET_LABELS_MAX && spec->labels[i]; i++)
        pack_u64(out, spec->labels[i]);
}

static uint32_t pool_find(struct market *m, const struct market_node *spec)
{
    _cleanup_buf_ struct buf key = BUF_INIT(4096);
    pool_key(spec, &key);
    uint32_t slot = (uint32_t)str_map_get(&m->pool_by_key, buf_str(&key));
    if (slot)
        return slot;
    ARRAY_RESERVE(m->pools, m->pool_count, m->pool_capacity);
    slot = m->pool_count++;
    struct pool *p = &m->pools[slot];
    *p = (struct pool){.id = slot, .sku = spec->sku, .accelerator = spec->accelerator,
        .provider = spec->place.provider, .region = spec->place.region, .zone = spec->place.zone,
        .sample = *spec, .by_core = spec->amounts.gpu_milli == 0};
    memcpy(p->labels, spec->labels, sizeof p->labels);
    p->marginal = p->guide = p->post = p->lowest_ask = spec->ask;
    str_map_set(&m->pool_by_key, buf_str(&key), slot);
    return slot;
}

static int node_order(const struct node *a, const struct node *b)
{
    int c = COMPARE(a->spec.place.fabric, b->spec.place.fabric);
    if (c == 0)
        c = COMPARE(a->spec.place.rack, b->spec.place.rack);
    return c ? c : COMPARE(a->spec.id, b->spec.id);
}

static void pool_insert(struct market *m, uint32_t pool, uint32_t node)
{
    struct pool *p = &m->pools[pool];
    ARRAY_RESERVE(p->nodes, p->node_count, p->node_capacity);
    uint32_t low = 0, high = p->node_count;
    while (low < high) {
        uint32_t middle = (low + high) / 2;
        if (node_order(&m->nodes[p->nodes[middle]], &m->nodes[node]) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    memmove(p->nodes + low + 1, p->nodes + low, (p->node_count - low) * sizeof *p->nodes);
    p->nodes[low] = node;
    p->node_count++;
    m->pools_version++;
}

static void pool_remove(struct market *m, uint32_t pool, uint32_t node)
{
    struct pool *p = &m->pools[pool];
    uint32_t i = 0;
    while (p->nodes[i] != node)
        i++;
    memmove(p->nodes + i, p->nodes + i + 1, (p->node_count - i - 1) * sizeof *p->nodes);
    p->node_count--;
    m->pools_version++;
}

void node_up(struct market *m, const struct market_node *spec)
{
    uint32_t slot = (uint32_t)map_get(&m->node_by_id, spec->id);
    if (slot == 0) {
        ARRAY_RESERVE(m->nodes, m->node_count, m->node_capacity);
        slot = m->node_count++;
        m->nodes[slot] = (struct node){0};
        map_set(&m->node_by_id, spec->id, slot);
    } else {
        CHECK(m->nodes[slot].lease_count == 0);
        node_uncount(m, &m->nodes[slot]);
        pool_remove(m, m->nodes[slot].pool, slot);
    }
    uint32_t pool = pool_find(m, spec);
    struct node *n = &m->nodes[slot];
    bool draining = n->draining;
    *n = (struct node){.spec = *spec, .room = room_empty(&spec->amounts), .pool = pool, .up = true,
        .draining = draining, .leases = n->leases, .lease_capacity = n->lease_capacity};
    pool_insert(m, pool, slot);
    node_count(m, n);
    pool_asks(m, &m->pools[pool]);
    pool_freed(m, pool);
}

void node_down(struct market *m, uint32_t node)
{
    struct node *n = &m->nodes[node];
    node_uncount(m, n);
    n->up = false;
    pool_asks(m, &m->pools[n->pool]);
}

void node_drain(struct market *m, uint32_t node, bool draining)
{
    struct node *n = &m->nodes[node];
    node_uncount(m, n);
    n->draining = draining;
    node_count(m, n);
    pool_asks(m, &m->pools[n->pool]);
    if (!draining)
        pool_freed(m, n->pool);
}

void node_ask(struct market *m, uint32_t node, udollar ask)
{
    struct node *n = &m->nodes[node];
    n->spec.ask = ask;
    pool_asks(m, &m->pools[n->pool]);
    pool_freed(m, n->pool);
}

void node_take(struct market *m, uint32_t node, uint32_t lease, const struct market_placement *p)
{
    struct node *n = &m->nodes[node];
    node_uncount(m, n);
    room_take(&n->room, &p->amounts, p->gpus);
    node_count(m, n);
    node_lease_add(n, lease);
}

void node_give(struct market *m, uint32_t node, const struct market_placement *p)
{
    struct node *n = &m->nodes[node];
    node_uncount(m, n);
    room_give(&n->room, &p->amounts, p->gpus);
    node_count(m, n);
    pool_freed(m, n->pool);
}

void node_lease_add(struct node *n, uint32_t lease)
{
    ARRAY_RESERVE(n->leases, n->lease_count, n->lease_capacity);
    n->leases[n->lease_count++] = lease;
}

void node_lease_remove(struct node *n, uint32_t lease)
{
    uint32_t i = 0;
    while (i < n->lease_count && n->leases[i] != lease)
        i++;
    CHECK(i < n->lease_count);
    memmove(n->leases + i, n->leases + i + 1, (n->lease_count - i - 1) * sizeof *n->leases);
    n->lease_count--;
}

static bool labels_hold(const market_id *have, const market_id *want)
{
    for (size_t i = 0; i < MARKET_LABELS_MAX && want[i]; i++) {
        size_t j = 0;
        while (j < MARKET_LABELS_MAX && have[j] && have[j] != want[i])
            j++;
        if (j == MARKET_LABELS_MAX || have[j] == 0)
            return false;
    }
    return true;
}

bool choice_matches(const struct market_choice *c, const struct pool *p)
{
    return (c->sku == 0 || c->sku == p->sku) &&
           (c->accelerator == 0 || c->accelerator == p->accelerator) &&
           (c->provider == 0 || c->provider == p->provider) &&
           (c->region == 0 || c->region == p->region) && (c->zone == 0 || c->zone == p->zone) &&
           labels_hold(p->labels, c->labels);
}

uint32_t pool_rack_end(const struct market *m, const struct pool *p, uint32_t first)
{
    uint32_t end = first + 1;
    const struct market_place *at = &m->nodes[p->nodes[first]].spec.place;
    while (end < p->node_count && m->nodes[p->nodes[end]].spec.place.rack == at->rack &&
           m->nodes[p->nodes[end]].spec.place.fabric == at->fabric)
        end++;
    return end;
}

uint32_t pool_fabric_end(const struct market *m, const struct pool *p, uint32_t first)
{
    uint32_t end = first + 1;
    market_id fabric = m->nodes[p->nodes[first]].spec.place.fabric;
    while (end < p->node_count && m->nodes[p->nodes[end]].spec.place.fabric == fabric)
        end++;
    return end;
}

uint32_t pool_nodes_with(const struct pool *p, int64_t q_milli)
{
    uint32_t count = 0;
    for (int64_t units = MIN(q_milli / 1000, NODE_UNITS_MAX); units <= NODE_UNITS_MAX; units++)
        count += p->free_nodes[units];
    return count;
}

struct seller *pool_seller(struct pool *p, market_id seller)
{
    for (uint32_t i = 0; i < p->seller_count; i++)
        if (p->sellers[i].id == seller)
            return &p->sellers[i];
    ARRAY_RESERVE(p->sellers, p->seller_count, p->seller_capacity);
    p->sellers[p->seller_count] = (struct seller){.id = seller};
    return &p->sellers[p->seller_count++];
}
