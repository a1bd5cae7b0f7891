/* SPDX-License-Identifier: Apache-2.0 */
/* Every invariant that needs no history (MARKET.md section 15: 1-5, 14-16, 25), from a recount. */
#include "market/calendar.h"
#include "market/headroom.h"

static void check_node(const struct market *m, uint32_t slot)
{
    const struct node *n = &m->nodes[slot];
    struct room room = room_empty(&n->spec.amounts);
    room.loose = n->room.loose;
    uint32_t vacating = 0;
    for (uint32_t i = 1; i < m->lease_count; i++) {
        const struct lease *l = &m->leases[i];
        for (uint32_t j = 0; j < l->placement_count; j++) {
            if (l->nodes[j] != slot)
                continue;
            if (l->state != LEASE_VACATING)
                room_take(&room, &l->placements[j]); /* CHECKs overlap */
            else if (!l->gone[j])
                vacating++;
        }
    }
    CHECK(room.free.gpu_milli == n->room.free.gpu_milli);
    CHECK(room.free.core_milli == n->room.free.core_milli);
    CHECK(room.free.memory_mib == n->room.free.memory_mib);
    CHECK(room.free.disk_mib == n->room.free.disk_mib);
    CHECK(room.units == n->room.units);
    CHECK(room.whole == n->room.whole);
    CHECK(memcmp(room.share, n->room.share, sizeof room.share) == 0);
    CHECK(vacating == n->vacating);
}

static void check_counts(const struct market *m, const struct pool *p)
{
    uint32_t usable = 0, full = 0, rows = 0;
    CHECK(p->laid_out);
    for (uint32_t i = 0; i < p->node_count; i++) {
        const struct node *n = &m->nodes[p->nodes[i]];
        CHECK(n->position == i && (n->step == STEP_OUT) == !node_usable(n));
        usable += node_usable(n);
        if (n->step == STEP_OUT)
            continue;
        CHECK(row_next(p, n->step, i, i + 1) == i);
        full += n->step == row_untouched(p);
        if (n->step == row_untouched(p))
            CHECK(n->room.units == node_units(n));
    }
    for (uint32_t i = 0; i <= row_untouched(p); i++)
        rows += p->counts[i];
    CHECK(rows == usable && full == p->full);
    uint32_t racks = 0, fabrics = 0;
    for (uint32_t i = 0; i < p->rack_count; i++)
        racks += p->racks[i].full;
    for (uint32_t i = 0; i < p->fabric_count; i++)
        fabrics += p->fabrics[i].full;
    CHECK(racks == full && fabrics == full);
}

static void check_seats(const struct market *m, const struct pool *p, uint32_t slot)
{
    uint32_t seats = 0, expected = 0;
    for (uint32_t i = 0; i < p->fabric_count; i++) {
        const struct fabric *f = &p->fabrics[i];
        seats += f->seat_count;
        for (uint32_t j = 0; j < f->seat_count; j++) {
            CHECK(m->leases[f->seats[j].lease].density == f->seats[j].density);
            CHECK(j == 0 || f->seats[j - 1].density <= f->seats[j].density);
        }
    }
    for (uint32_t i = 1; i < m->lease_count; i++) {
        const struct lease *l = &m->leases[i];
        if (l->pool != slot || l->firm || (l->state != LEASE_ASSIGNED && l->state != LEASE_RUNNING))
            continue;
        uint32_t last = UINT32_MAX;
        for (uint32_t j = 0; j < l->placement_count; j++) {
            uint32_t fabric = p->racks[m->nodes[l->nodes[j]].rack].fabric;
            expected += fabric != last;
            last = fabric;
        }
    }
    CHECK(seats == expected);
}

static void check_pool(const struct market *m, uint32_t slot)
{
    const struct pool *p = &m->pools[slot];
    int64_t units = 0, free = 0, used = 0, firm = 0;
    uint64_t running = 0;
    for (uint32_t i = 0; i < p->node_count; i++)
        if (node_usable(&m->nodes[p->nodes[i]])) {
            units += node_units(&m->nodes[p->nodes[i]]);
            free += MAX(m->nodes[p->nodes[i]].room.units, 0);
        }
    for (uint32_t i = 1; i < m->lease_count; i++) {
        const struct lease *l = &m->leases[i];
        if (l->pool != slot || (l->state != LEASE_ASSIGNED && l->state != LEASE_RUNNING))
            continue;
        used += l->units_milli;
        firm += l->firm ? l->units_milli : 0;
        running++;
    }
    CHECK(units == p->units_milli && free == p->free_milli);
    CHECK(used == p->used_milli);
    CHECK(firm == p->firm_milli);
    CHECK(running == p->running);
    CHECK(p->post >= p->marginal);
    CHECK(!p->dirty);
    check_counts(m, p);
    check_seats(m, p, slot);
}

/* Every ladder from a recount of the bids. */
static void check_curves(const struct market *m)
{
    _cleanup_free_ uint64_t *bids = xcalloc(m->curve_count, sizeof *bids);
    _cleanup_free_ int128 *values = xcalloc(m->curve_count, sizeof *values);
    for (uint32_t i = 1; i < m->bid_count; i++) {
        const struct bid *b = &m->bids[i];
        uint32_t curve = b->on_curve ? class_form(m, &m->classes[b->class])->curve : 0;
        if (curve == 0)
            continue;
        bids[curve]++;
        values[curve] += (int128)b->value * bid_units(m, b);
    }
    for (uint32_t i = 1; i < m->curve_count; i++) {
        const struct curve *c = &m->curves[i];
        int128 value = 0;
        for (uint32_t j = 0; j < c->rung_count; j++)
            value += c->rungs[j].value;
        CHECK(bids[i] == c->bid_count && values[i] == value);
        for (uint32_t j = 0; j < c->member_count; j++) {
            uint32_t first = tree_first(m, m->classes[c->members[j].class].waiting);
            CHECK(c->members[j].head == (first ? m->bids[first].value : -1));
        }
    }
}

static bool level_holds(const struct market *m, const struct lease *l)
{
    const struct market_alternative *a = &class_form(m, &m->classes[m->bids[l->bid].class])->alternatives[l->alternative];
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
    CHECK(!b->waiting && !b->parked && !l->fresh);
    CHECK(b->on_curve == (l->state != LEASE_VACATING && !l->firm));
    CHECK(l->claim || l->rate >= l->ask_rate || l->rate == l->limit_rate);
    CHECK(l->rate <= MAX(l->limit_rate, l->ask_rate));
    CHECK(l->charge_sum >= 0);
    CHECK(l->currency != CURRENCY_MONEY || l->booked == narrow_checked(l->charge_sum / RATE_SCALE));
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
    udollar sums[2] = {0};
    for (uint32_t i = 1; i < m->account_count; i++)
        sums[m->accounts[i].name.currency] = add_checked(sums[m->accounts[i].name.currency], m->accounts[i].balance);
    CHECK(sums[CURRENCY_MONEY] == 0 && sums[CURRENCY_CREDITS] == 0);
    for (uint32_t i = 1; i < m->class_count; i++)
        CHECK(!m->classes[i].touched);
    int128 surplus = 0;
    for (uint32_t i = 1; i < m->lease_count; i++)
        if ((m->leases[i].state == LEASE_ASSIGNED || m->leases[i].state == LEASE_RUNNING) && !m->leases[i].firm)
            surplus += lease_surplus(&m->leases[i]);
    CHECK(surplus == m->surplus_sum);
    check_curves(m);
    calendar_check(m);
    headroom_check(m);
}
