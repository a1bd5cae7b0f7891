/* SPDX-License-Identifier: Apache-2.0 */
/* Every invariant that needs no history (MARKET.md section 15: 1-5, 14-16, 25), from a recount. */
#include "market/market_internal.h"

static void check_node(const struct market *m, uint32_t slot)
{
    const struct node *n = &m->nodes[slot];
    struct room room = room_empty(&n->spec.amounts);
    uint32_t vacating = 0;
    for (uint32_t i = 1; i < m->lease_count; i++) {
        const struct lease *l = &m->leases[i];
        for (uint32_t j = 0; j < l->placement_count; j++) {
            if (l->nodes[j] != slot)
                continue;
            if (l->state != LEASE_VACATING)
                room_take(&room, &l->placements[j].amounts, l->placements[j].gpus); /* CHECKs overlap */
            else if (!l->gone[j])
                vacating++;
        }
    }
    CHECK(room.free.gpu_milli == n->room.free.gpu_milli);
    CHECK(room.free.core_milli == n->room.free.core_milli);
    CHECK(room.free.memory_mib == n->room.free.memory_mib);
    CHECK(room.free.disk_mib == n->room.free.disk_mib);
    CHECK(memcmp(room.share, n->room.share, sizeof room.share) == 0);
    CHECK(vacating == n->vacating);
}

static void check_pool(const struct market *m, uint32_t slot)
{
    const struct pool *p = &m->pools[slot];
    int64_t units = 0, used = 0, firm = 0;
    uint64_t running = 0, free_nodes = 0, usable = 0;
    for (uint32_t i = 0; i < p->node_count; i++)
        if (node_usable(&m->nodes[p->nodes[i]])) {
            units += node_units(&m->nodes[p->nodes[i]]);
            usable++;
        }
    for (uint32_t i = 1; i < m->lease_count; i++) {
        const struct lease *l = &m->leases[i];
        if (l->pool != slot || (l->state != LEASE_ASSIGNED && l->state != LEASE_RUNNING))
            continue;
        used += l->units_milli;
        firm += l->firm ? l->units_milli : 0;
        running++;
    }
    for (size_t i = 0; i <= NODE_UNITS_MAX; i++)
        free_nodes += p->free_nodes[i];
    CHECK(units == p->units_milli);
    CHECK(used == p->used_milli);
    CHECK(firm == p->firm_milli);
    CHECK(running == p->running);
    CHECK(free_nodes == usable);
    CHECK(p->post >= p->marginal);
    CHECK(!p->dirty);
}

static bool level_holds(const struct market *m, const struct lease *l)
{
    const struct market_alternative *a = &m->classes[m->bids[l->bid].class].alternatives[l->alternative];
    const struct market_place *first = &m->nodes[l->nodes[0]].spec.place;
    uint32_t racks = 1;
    for (uint32_t i = 1; i < l->placement_count; i++) {
        const struct market_place *at = &m->nodes[l->nodes[i]].spec.place;
        if (at->zone != first->zone || (a->level >= LEVEL_FABRIC && at->fabric != first->fabric) ||
            (a->level >= LEVEL_RACK && at->rack != first->rack) ||
            (a->level == LEVEL_NODE && l->nodes[i] != l->nodes[0]) ||
            (a->level != LEVEL_NODE && l->nodes[i] == l->nodes[i - 1]))
            return false;
        racks += at->rack != m->nodes[l->nodes[i - 1]].spec.place.rack;
    }
    return a->level != LEVEL_RACKS || racks <= a->racks;
}

static void check_lease(const struct market *m, uint32_t slot)
{
    const struct lease *l = &m->leases[slot];
    if (l->state == LEASE_NONE)
        return;
    const struct bid *b = &m->bids[l->bid];
    CHECK(b->lease == slot);
    CHECK(!b->waiting && !b->parked);
    CHECK(b->running == (l->state != LEASE_VACATING && !l->firm));
    CHECK(l->rate >= l->ask_rate || l->rate == l->limit_rate);
    CHECK(l->rate <= MAX(l->limit_rate, l->ask_rate));
    CHECK(l->charge_sum >= 0);
    CHECK(l->booked == narrow_checked(l->charge_sum / RATE_SCALE));
    if (l->state != LEASE_VACATING)
        CHECK(level_holds(m, l));
    for (uint32_t i = 0; i < l->placement_count; i++)
        CHECK(m->nodes[l->nodes[i]].up || l->gone[i]);
}

void market_check(const struct market *m)
{
    for (uint32_t i = 1; i < m->node_count; i++)
        check_node(m, i);
    for (uint32_t i = 1; i < m->pool_count; i++)
        check_pool(m, i);
    for (uint32_t i = 1; i < m->lease_count; i++)
        check_lease(m, i);
    udollar sum = 0;
    for (uint32_t i = 1; i < m->account_count; i++)
        sum = add_checked(sum, m->accounts[i].balance);
    CHECK(sum == 0);
    for (uint32_t i = 1; i < m->class_count; i++)
        CHECK(!m->classes[i].touched);
}
