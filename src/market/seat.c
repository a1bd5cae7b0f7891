/* SPDX-License-Identifier: Apache-2.0 */
/* Per fabric, the leases that price may move, in order of what their loss costs per unit: the list
 * that displacement walks. A lease stands in every fabric that it has a node in. Its place moves with
 * its limit, its asks and its stay bonus, when somebody says so (seats_update). */
#include "market/market_internal.h"

static int64_t density_now(const struct market *m, const struct lease *l)
{
    return mul_div_floor(lease_loss(m, l), 1000, MAX(l->units_milli, 1));
}

/* Cheapest first; among equals the one of the lowest rank goes first. */
static int seat_compare(const struct market *m, const struct seat *a, const struct seat *b)
{
    int c = COMPARE(a->density, b->density);
    return c ? c : bid_compare(&m->bids[m->leases[b->lease].bid], &m->bids[m->leases[a->lease].bid]);
}

static uint32_t seat_place(const struct market *m, const struct fabric *f, const struct seat *seat)
{
    uint32_t low = 0, high = f->seat_count;
    while (low < high) {
        uint32_t middle = (low + high) / 2;
        if (seat_compare(m, &f->seats[middle], seat) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static struct fabric *fabric_of(struct market *m, uint32_t node)
{
    const struct node *n = &m->nodes[node];
    struct pool *p = &m->pools[n->pool];
    return p->laid_out ? &p->fabrics[p->racks[n->rack].fabric] : NULL;
}

static bool is_seated(const struct lease *l)
{
    return (l->state == LEASE_ASSIGNED || l->state == LEASE_RUNNING) && !l->firm;
}

static void fabric_seat(struct market *m, struct fabric *f, struct seat seat)
{
    uint32_t at = seat_place(m, f, &seat);
    if (at < f->seat_count && f->seats[at].lease == seat.lease)
        return;
    ARRAY_RESERVE(f->seats, f->seat_count, f->seat_capacity);
    memmove(f->seats + at + 1, f->seats + at, (f->seat_count - at) * sizeof *f->seats);
    f->seats[at] = seat;
    f->seat_count++;
}

static void fabric_unseat(struct market *m, struct fabric *f, struct seat seat)
{
    uint32_t at = seat_place(m, f, &seat);
    if (at == f->seat_count || f->seats[at].lease != seat.lease)
        return;
    memmove(f->seats + at, f->seats + at + 1, (f->seat_count - at - 1) * sizeof *f->seats);
    f->seat_count--;
}

/* Placements stand in order of position, so that each fabric is met once. */
static void each_fabric(struct market *m, uint32_t lease, void (*act)(struct market *m, struct fabric *f, struct seat seat))
{
    const struct lease *l = &m->leases[lease];
    struct fabric *last = NULL;
    for (uint32_t i = 0; i < l->placement_count; i++) {
        struct fabric *f = fabric_of(m, l->nodes[i]);
        if (f == NULL || f == last)
            continue;
        act(m, f, (struct seat){l->density, lease});
        last = f;
    }
}

void seats_put(struct market *m, uint32_t lease)
{
    if (is_seated(&m->leases[lease]))
        each_fabric(m, lease, fabric_seat);
}

void seats_add(struct market *m, uint32_t lease)
{
    m->leases[lease].density = density_now(m, &m->leases[lease]);
    seats_put(m, lease);
}

void seats_remove(struct market *m, uint32_t lease)
{
    if (is_seated(&m->leases[lease]))
        each_fabric(m, lease, fabric_unseat);
}

void seats_update(struct market *m, uint32_t lease)
{
    if (!is_seated(&m->leases[lease]) || m->leases[lease].density == density_now(m, &m->leases[lease]))
        return;
    seats_remove(m, lease);
    seats_add(m, lease);
}
