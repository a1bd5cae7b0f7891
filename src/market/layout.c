/* SPDX-License-Identifier: Apache-2.0 */
/* Where a pool's free nodes are: its nodes sorted by (fabric, rack, id), so that a rack or a fabric is
 * a run of positions; a row of bits for each step of freedom; counts of untouched nodes per rack,
 * fabric and pool. An update costs the levels above a node; a node that comes or goes marks the pool,
 * which is laid out anew before the next look.
 *
 * Steps: 0 no unit free, 1 a share of one, 1 + n: n whole units, steps + 2: nobody uses any of it. */
#include "base/sort.h"
#include "market/market_internal.h"

static bool amounts_equal(const struct market_amounts *a, const struct market_amounts *b)
{
    return a->gpu_milli == b->gpu_milli && a->core_milli == b->core_milli && a->memory_mib == b->memory_mib &&
           a->disk_mib == b->disk_mib;
}

static uint8_t node_step(const struct pool *p, const struct node *n)
{
    if (!node_usable(n))
        return STEP_OUT;
    const struct market_amounts *free = &n->room.free;
    if (amounts_equal(free, &n->spec.amounts))
        return (uint8_t)row_untouched(p);
    if (p->by_core) {
        int64_t whole = mul_div_floor(free->core_milli, p->steps, n->spec.amounts.core_milli);
        return (uint8_t)(whole ? 1 + whole : free->core_milli > 0);
    }
    int whole = count_bits(n->room.whole);
    return (uint8_t)(whole ? 1 + whole : free->gpu_milli > 0);
}

uint32_t pool_step(const struct pool *p, const struct market_amounts *amounts)
{
    if (p->by_core) {
        int64_t whole = mul_div_floor(amounts->core_milli, p->steps, p->sample.amounts.core_milli);
        return (uint32_t)(1 + whole);
    }
    if (amounts->gpu_milli == 0)
        return 0;
    return amounts->gpu_milli < 1000 ? 1 : (uint32_t)(1 + amounts->gpu_milli / 1000);
}

void node_uncount(struct market *m, struct node *n)
{
    struct pool *p = &m->pools[n->pool];
    if (!p->laid_out || n->step == STEP_OUT)
        return;
    p->bits[n->step * p->words + n->position / 64] &= ~(UINT64_C(1) << n->position % 64);
    p->counts[n->step]--;
    p->units_milli -= node_units(n);
    p->free_milli -= MAX(n->room.units, 0);
    if (n->step == row_untouched(p)) {
        p->full--;
        p->racks[n->rack].full--;
        p->fabrics[p->racks[n->rack].fabric].full--;
    }
    n->step = STEP_OUT;
}

void node_count(struct market *m, struct node *n)
{
    struct pool *p = &m->pools[n->pool];
    if (!p->laid_out)
        return;
    n->step = node_step(p, n);
    if (n->step == STEP_OUT)
        return;
    p->bits[n->step * p->words + n->position / 64] |= UINT64_C(1) << n->position % 64;
    p->counts[n->step]++;
    p->units_milli += node_units(n);
    p->free_milli += MAX(n->room.units, 0);
    if (n->step == row_untouched(p)) {
        p->full++;
        p->racks[n->rack].full++;
        p->fabrics[p->racks[n->rack].fabric].full++;
    }
}

uint32_t pool_nodes_from(const struct pool *p, uint32_t step)
{
    uint32_t count = 0;
    for (uint32_t i = step; i <= row_untouched(p); i++)
        count += p->counts[i];
    return count;
}

uint32_t row_next(const struct pool *p, uint32_t row, uint32_t from, uint32_t end)
{
    if (from >= end)
        return end;
    const uint64_t *bits = p->bits + (size_t)row * p->words;
    uint32_t word = from / 64;
    uint64_t here = bits[word] & UINT64_MAX << from % 64;
    while (here == 0) {
        if (++word * 64 >= end)
            return end;
        here = bits[word];
    }
    return MIN(word * 64 + (uint32_t)__builtin_ctzll(here), end);
}

/* ---- building ------------------------------------------------------------------------------------------ */

static int slot_compare(const void *x, const void *y, const void *context)
{
    const struct market *m = context;
    const struct market_node *a = &m->nodes[*(const uint32_t *)x].spec, *b = &m->nodes[*(const uint32_t *)y].spec;
    int c = COMPARE(a->place.fabric, b->place.fabric);
    if (c == 0)
        c = COMPARE(a->place.rack, b->place.rack);
    return c ? c : COMPARE(a->id, b->id);
}

static void fabrics_clear(struct pool *p)
{
    for (uint32_t i = 0; i < p->fabric_count; i++)
        xfree(p->fabrics[i].seats);
    xfree(p->fabrics);
    xfree(p->racks);
    xfree(p->bits);
    p->fabrics = NULL;
    p->racks = NULL;
    p->bits = NULL;
    p->fabric_count = p->rack_count = 0;
}

void layout_fini(struct pool *p)
{
    fabrics_clear(p);
}

/* A new rack begins at this position; maybe a fabric too. */
static void rack_begin(struct pool *p, const struct market_node *spec, uint32_t position)
{
    if (p->fabric_count == 0 || p->fabrics[p->fabric_count - 1].id != spec->place.fabric)
        p->fabrics[p->fabric_count++] =
            (struct fabric){.id = spec->place.fabric, .first = p->rack_count, .first_node = position};
    p->racks[p->rack_count++] = (struct rack){.first = position, .fabric = p->fabric_count - 1};
}

static void racks_build(struct market *m, struct pool *p)
{
    p->racks = xcalloc(p->node_count + 1, sizeof *p->racks);
    p->fabrics = xcalloc(p->node_count + 1, sizeof *p->fabrics);
    for (uint32_t i = 0; i < p->node_count; i++) {
        struct node *n = &m->nodes[p->nodes[i]];
        const struct market_node *before = i ? &m->nodes[p->nodes[i - 1]].spec : NULL;
        if (before == NULL || before->place.fabric != n->spec.place.fabric || before->place.rack != n->spec.place.rack)
            rack_begin(p, &n->spec, i);
        n->position = i;
        n->rack = p->rack_count - 1;
        p->racks[n->rack].end = i + 1;
        struct fabric *f = &p->fabrics[p->fabric_count - 1];
        f->end = p->rack_count;
        f->end_node = i + 1;
    }
    p->most_in_rack = p->most_in_fabric = 0;
    for (uint32_t i = 0; i < p->rack_count; i++)
        p->most_in_rack = MAX(p->most_in_rack, p->racks[i].end - p->racks[i].first);
    for (uint32_t i = 0; i < p->fabric_count; i++)
        p->most_in_fabric = MAX(p->most_in_fabric, p->fabrics[i].end_node - p->fabrics[i].first_node);
}

static void pool_lay_out(struct market *m, uint32_t pool)
{
    struct pool *p = &m->pools[pool];
    fabrics_clear(p);
    sort(p->nodes, p->node_count, sizeof *p->nodes, slot_compare, m);
    racks_build(m, p);
    p->words = p->node_count / 64 + 1;
    p->bits = xcalloc((size_t)(row_untouched(p) + 1) * p->words, sizeof *p->bits);
    memset(p->counts, 0, sizeof p->counts);
    p->full = 0;
    p->units_milli = p->free_milli = 0;
    p->laid_out = true;
    for (uint32_t i = 0; i < p->node_count; i++)
        node_count(m, &m->nodes[p->nodes[i]]);
    for (uint32_t i = 1; i < m->lease_count; i++)
        if (m->leases[i].pool == pool && m->leases[i].state != LEASE_NONE)
            seats_put(m, i);
}

static void pool_asks(struct market *m, struct pool *p)
{
    p->lowest_ask = -1;
    p->highest_ask = 0;
    for (uint32_t i = 0; i < p->node_count; i++) {
        const struct node *n = &m->nodes[p->nodes[i]];
        if (!node_usable(n))
            continue;
        p->highest_ask = MAX(p->highest_ask, n->spec.ask);
        if (p->lowest_ask < 0 || n->spec.ask < p->lowest_ask)
            p->lowest_ask = n->spec.ask;
    }
    if (p->lowest_ask >= 0 && !p->posted) { /* until the first tick its asks are its menu */
        p->marginal = p->guide = p->post = p->lowest_ask;
        p->posted = true;
    }
    p->lowest_ask = MAX(p->lowest_ask, 0);
}

void layout_build(struct market *m)
{
    if (!m->unlaid)
        return;
    for (uint32_t i = 1; i < m->pool_count; i++) {
        struct pool *p = &m->pools[i];
        if (!p->laid_out)
            pool_lay_out(m, i);
        if (p->asks_stale)
            pool_asks(m, p);
        p->asks_stale = false;
    }
    m->unlaid = false;
}
