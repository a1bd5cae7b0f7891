/* SPDX-License-Identifier: Apache-2.0 */
/* Demand by value. A curve's bids stand on rungs of nearly equal value: a rung holds the bids whose
 * value shares the leading nine bits (steps of 0.2 to 0.4 %), with their sum of units and of value ×
 * units. Adding and removing is O(1); suffix sums are built when somebody asks and something moved. */
#include "market/market_internal.h"

#define MANTISSA 8
#define FIRST (1u << MANTISSA)

uint32_t tick_of(int64_t value)
{
    if (value < 2 * FIRST)
        return (uint32_t)value;
    uint32_t shift = (uint32_t)(63 - __builtin_clzll((uint64_t)value)) - MANTISSA;
    return shift * FIRST + (uint32_t)(value >> shift);
}

int64_t tick_least(uint32_t tick)
{
    if (tick < 2 * FIRST)
        return tick;
    uint32_t shift = tick / FIRST - 1;
    return (int64_t)(tick - shift * FIRST) << shift;
}

int64_t bid_units(const struct market *m, const struct bid *b)
{
    const struct class *c = &m->classes[b->class];
    return mul_checked(class_form(m, c)->lines[0].replica_milli, c->replicas);
}

/* Makes the rungs reach from this tick to that one. */
static void ladder_reach(struct curve *c, uint32_t first, uint32_t end)
{
    struct rung *rungs = xcalloc(end - first, sizeof *rungs);
    if (c->rung_count)
        memcpy(rungs + (c->base - first), c->rungs, c->rung_count * sizeof *rungs);
    xfree(c->rungs);
    c->rungs = rungs;
    c->base = first;
    c->rung_count = end - first;
    c->waiting_above = xrealloc(c->waiting_above, c->rung_count + 1, sizeof *c->waiting_above);
    c->units_above = xrealloc(c->units_above, c->rung_count + 1, sizeof *c->units_above);
    c->value_above = xrealloc(c->value_above, c->rung_count + 1, sizeof *c->value_above);
    c->stale = true;
}

static struct rung *ladder_rung(struct curve *c, uint32_t tick)
{
    if (c->rung_count == 0)
        ladder_reach(c, tick, tick + 1);
    uint32_t slack = c->rung_count / 4;
    if (tick < c->base)
        ladder_reach(c, tick - MIN(tick, slack), c->base + c->rung_count);
    if (tick >= c->base + c->rung_count)
        ladder_reach(c, c->base, tick + 1 + slack);
    return &c->rungs[tick - c->base];
}

void ladder_add(struct market *m, uint32_t bid)
{
    struct bid *b = &m->bids[bid];
    CHECK(!b->on_curve);
    b->on_curve = true;
    uint32_t curve = class_form(m, &m->classes[b->class])->curve;
    if (curve == 0)
        return;
    struct curve *c = &m->curves[curve];
    struct rung *r = ladder_rung(c, tick_of(b->value));
    int64_t units = bid_units(m, b);
    r->units = add_checked(r->units, units);
    r->value += (int128)b->value * units;
    r->count++;
    b->rung_previous = 0;
    b->rung_next = r->first;
    if (r->first)
        m->bids[r->first].rung_previous = bid;
    r->first = bid;
    c->bid_count++;
    c->stale = true;
}

void ladder_remove(struct market *m, uint32_t bid)
{
    struct bid *b = &m->bids[bid];
    CHECK(b->on_curve);
    b->on_curve = false;
    uint32_t curve = class_form(m, &m->classes[b->class])->curve;
    if (curve == 0)
        return;
    struct curve *c = &m->curves[curve];
    struct rung *r = &c->rungs[tick_of(b->value) - c->base];
    int64_t units = bid_units(m, b);
    r->units -= units;
    r->value -= (int128)b->value * units;
    r->count--;
    if (b->rung_previous)
        m->bids[b->rung_previous].rung_next = b->rung_next;
    else
        r->first = b->rung_next;
    if (b->rung_next)
        m->bids[b->rung_next].rung_previous = b->rung_previous;
    b->rung_next = b->rung_previous = 0;
    c->bid_count--;
    c->stale = true;
}

void ladder_wait(struct market *m, uint32_t bid, bool waits)
{
    struct bid *b = &m->bids[bid];
    uint32_t curve = class_form(m, &m->classes[b->class])->curve;
    if (curve == 0 || !b->on_curve)
        return;
    struct curve *c = &m->curves[curve];
    int64_t units = bid_units(m, b);
    c->rungs[tick_of(b->value) - c->base].waiting += waits ? units : -units;
    c->waiting = waits ? c->waiting + 1 : c->waiting - 1;
    c->stale = true;
}

void ladder_sum(struct curve *c)
{
    if (!c->stale)
        return;
    c->stale = false;
    int64_t units = 0, waiting = 0;
    int128 value = 0;
    if (c->rung_count)
        c->units_above[c->rung_count] = c->waiting_above[c->rung_count] = 0, c->value_above[c->rung_count] = 0;
    for (uint32_t i = c->rung_count; i-- > 0;) {
        units = add_checked(units, c->rungs[i].units);
        waiting = add_checked(waiting, c->rungs[i].waiting);
        value += c->rungs[i].value;
        c->waiting_above[i] = waiting;
        c->units_above[i] = units;
        c->value_above[i] = value;
    }
}
