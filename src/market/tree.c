/* SPDX-License-Identifier: Apache-2.0 */
/* Nodes and pools: what comes, goes and changes. Where free nodes are: layout.c. */
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

/* Something came free: whoever waits for this pool is looked at in this batch. */
static void pool_freed(struct market *m, uint32_t pool)
{
    m->pools[pool].dirty = true;
}

static void pool_stale(struct market *m, uint32_t pool)
{
    m->pools[pool].asks_stale = true;
    m->unlaid = true;
}

void pool_key(const struct market_node *spec, struct buf *out)
{
    pack_u64(out, spec->sku);
    pack_u64(out, spec->accelerator);
    pack_u64(out, spec->place.provider);
    pack_u64(out, spec->place.region);
    pack_u64(out, spec->place.zone);
    pack_u64(out, spec->only_tenant);
    pack_i64(out, spec->credit_permille);
    pack_i64(out, spec->amounts.gpu_milli);
    pack_i64(out, spec->amounts.core_milli);
    pack_i64(out, spec->amounts.memory_mib);
    pack_i64(out, spec->amounts.disk_mib);
    for (size_t i = 0; i < MARKET_LABELS_MAX && spec->labels[i]; i++)
        pack_u64(out, spec->labels[i]);
}

static uint32_t pool_new(struct market *m, const struct market_node *spec)
{
    ARRAY_RESERVE(m->pools, m->pool_count, m->pool_capacity);
    uint32_t slot = m->pool_count++;
    int64_t units = (spec->amounts.gpu_milli ? spec->amounts.gpu_milli : spec->amounts.core_milli) / 1000;
    struct pool *p = &m->pools[slot];
    *p = (struct pool){.id = slot, .sku = spec->sku, .accelerator = spec->accelerator,
        .provider = spec->place.provider, .region = spec->place.region, .zone = spec->place.zone,
        .sample = *spec, .by_core = spec->amounts.gpu_milli == 0,
        .steps = (uint32_t)CLAMP(units, 1, NODE_STEPS_MAX)};
    memcpy(p->labels, spec->labels, sizeof p->labels);
    p->marginal = p->guide = p->post = p->lowest_ask = spec->ask;
    m->pools_version++;
    return slot;
}

static uint32_t pool_find(struct market *m, const struct market_node *spec)
{
    _cleanup_buf_ struct buf key = BUF_INIT(4096);
    pool_key(spec, &key);
    uint32_t slot = (uint32_t)str_map_get(&m->pool_by_key, buf_str(&key));
    if (slot == 0) {
        slot = pool_new(m, spec);
        str_map_set(&m->pool_by_key, buf_str(&key), slot);
    }
    return slot;
}

static void pool_insert(struct market *m, uint32_t pool, uint32_t node)
{
    struct pool *p = &m->pools[pool];
    ARRAY_RESERVE(p->nodes, p->node_count, p->node_capacity);
    p->nodes[p->node_count++] = node;
    p->laid_out = false;
    pool_stale(m, pool);
}

static void pool_remove(struct market *m, uint32_t pool, uint32_t node)
{
    struct pool *p = &m->pools[pool];
    uint32_t i = 0;
    while (p->nodes[i] != node)
        i++;
    p->nodes[i] = p->nodes[--p->node_count];
    p->laid_out = false;
    pool_stale(m, pool);
}

static bool place_equal(const struct market_place *a, const struct market_place *b)
{
    return a->fabric == b->fabric && a->rack == b->rack && a->zone == b->zone;
}

static uint32_t node_slot(struct market *m, market_id id)
{
    uint32_t slot = (uint32_t)map_get(&m->node_by_id, id);
    if (slot)
        return slot;
    ARRAY_RESERVE(m->nodes, m->node_count, m->node_capacity);
    slot = m->node_count++;
    m->nodes[slot] = (struct node){.step = STEP_OUT};
    map_set(&m->node_by_id, id, slot);
    return slot;
}

void node_up(struct market *m, const struct market_node *spec)
{
    uint32_t slot = node_slot(m, spec->id), pool = pool_find(m, spec);
    struct node *n = &m->nodes[slot];
    CHECK(n->lease_count == 0);
    bool stays = n->pool == pool && place_equal(&n->spec.place, &spec->place);
    if (n->pool)
        node_uncount(m, n);
    if (n->pool && !stays)
        pool_remove(m, n->pool, slot);
    *n = (struct node){.spec = *spec, .room = room_empty(&spec->amounts), .pool = pool, .up = true,
        .draining = n->draining, .leases = n->leases, .lease_capacity = n->lease_capacity,
        .step = STEP_OUT, .position = n->position, .rack = n->rack};
    n->room.loose = m->settings[SETTING_PACK_BY_AMOUNTS];
    n->room.group = spec->gpu_group;
    if (!stays)
        pool_insert(m, pool, slot);
    node_count(m, n);
    pool_stale(m, pool);
    pool_freed(m, pool);
}

void node_down(struct market *m, uint32_t node)
{
    struct node *n = &m->nodes[node];
    node_uncount(m, n);
    n->up = false;
    pool_stale(m, n->pool);
}

void node_drain(struct market *m, uint32_t node, bool draining)
{
    struct node *n = &m->nodes[node];
    node_uncount(m, n);
    n->draining = draining;
    node_count(m, n);
    pool_stale(m, n->pool);
    if (!draining)
        pool_freed(m, n->pool);
}

void node_ask(struct market *m, uint32_t node, udollar ask)
{
    struct node *n = &m->nodes[node];
    n->spec.ask = ask;
    m->pools[n->pool].asks_moved++;
    pool_stale(m, n->pool);
    pool_freed(m, n->pool);
}

void node_take(struct market *m, uint32_t node, uint32_t lease, const struct market_placement *p)
{
    struct node *n = &m->nodes[node];
    node_uncount(m, n);
    room_take(&n->room, p);
    node_count(m, n);
    node_lease_add(n, lease);
}

void node_give(struct market *m, uint32_t node, const struct market_placement *p)
{
    struct node *n = &m->nodes[node];
    node_uncount(m, n);
    room_give(&n->room, p);
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

uint32_t pool_seller(struct pool *p, market_id seller, enum market_currency currency)
{
    for (uint32_t i = 0; i < p->seller_count; i++)
        if (p->sellers[i].id == seller && p->sellers[i].currency == currency)
            return i;
    ARRAY_RESERVE(p->sellers, p->seller_count, p->seller_capacity);
    p->sellers[p->seller_count] = (struct seller){.id = seller, .currency = currency};
    return p->seller_count++;
}
