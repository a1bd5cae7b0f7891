/* SPDX-License-Identifier: Apache-2.0 */
/* The market in time: what is sold forward starts when it was sold for, whatever runs there. */
#include "base/hash.h"
#include "base/memory.h"
#include "market/market.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
/* cmocka wants the four above first */
#include <cmocka.h>

#define BIDS 4096
#define MINUTE 60000
struct world {
    struct market *m;
    struct market_events events;
    time_ms now;
    struct track {
        uint32_t attempt;
        bool placed, ready, running, going, over;
        time_ms leave_by, started;
        int64_t charged;
    } bids[BIDS];
    market_id next_bid;
    uint64_t refused;
    const char *field;
    udollar reserved, resold;
    bool quoted, committed;
    udollar most;
    time_ms latest;
};

static void follow(struct world *w, const struct market_event *e)
{
    struct track *t = &w->bids[e->bid];
    switch ((int)e->type) {
    case EVENT_ALLOCATED:
        assert_false(t->placed);
        t->placed = true;
        t->ready = e->allocated.ready;
        t->attempt = e->attempt;
        return;
    case EVENT_READY:
        t->ready = true;
        return;
    case EVENT_PREEMPTING:
        t->going = true;
        t->leave_by = e->preempting.deadline;
        return;
    case EVENT_RELEASED:
        t->placed = t->ready = t->running = t->going = false;
        t->over = !e->released.waits;
        return;
    case EVENT_CHARGED:
        t->charged += e->charged.amount;
        w->reserved += e->charged.kind == CHARGE_RESERVATION ? e->charged.amount : 0;
        w->resold -= e->charged.kind == CHARGE_RESALE ? e->charged.amount : 0;
        return;
    case EVENT_QUOTED:
        w->quoted = true;
        w->committed = e->quoted.committed;
        w->most = e->quoted.most;
        w->latest = e->quoted.latest;
        return;
    case EVENT_REFUSED:
        w->refused++;
        w->field = e->refused.field;
        return;
    }
}

static void apply_one(struct world *w, struct market_command c)
{
    market_events_clear(&w->events);
    market_apply(w->m, w->now, &c, 1, &w->events);
    for (size_t i = 0; i < w->events.count; i++)
        follow(w, &w->events.items[i]);
    market_check(w->m);
}

/* Agents start what is ready, and leave when their notice ends. */
static void agents(struct world *w)
{
    for (market_id i = 1; i <= w->next_bid; i++) {
        struct track *t = &w->bids[i];
        if (t->placed && t->ready && !t->running && !t->going) {
            t->running = true;
            t->started = w->now;
            apply_one(w, (struct market_command){.type = MARKET_LEASE_STARTED, .lease = {.bid = i, .attempt = t->attempt}});
        }
        if (t->going && t->leave_by <= w->now)
            apply_one(w, (struct market_command){.type = MARKET_LEASE_ENDED, .lease = {.bid = i, .attempt = t->attempt, .at = w->now, .requeue = true}});
    }
}

/* Time passes; what falls due on the way happens when it does. */
static void pass(struct world *w, time_ms span)
{
    time_ms end = w->now + span, tick = w->now / 15000 * 15000 + 15000;
    agents(w);
    while (w->now < end) {
        time_ms next = MIN(MIN(end, tick), market_deadline(w->m));
        for (market_id i = 1; i <= w->next_bid; i++)
            if (w->bids[i].going)
                next = MIN(next, w->bids[i].leave_by);
        w->now = MAX(next, w->now);
        apply_one(w, (struct market_command){.type = w->now == tick ? MARKET_TICK : MARKET_SETTING_SET, .setting = {SETTING_FEE_PERMILLE, 0}});
        if (w->now == tick)
            tick += 15000;
        agents(w);
    }
}

static struct world *world_new(uint64_t seed, market_id nodes)
{
    struct world *w = xcalloc(1, sizeof *w);
    w->m = market_new(seed);
    w->now = INT64_C(1000000) * HOUR_MS;
    for (market_id i = 1; i <= nodes; i++)
        apply_one(w, (struct market_command){.type = MARKET_NODE_UP, .node = {.id = i, .sku = 1, .accelerator = 1,
            .place = {1, 1, 1, 1, 1 + i / 4}, .amounts = {8000, 80000, 524288, 0}, .ask = 500000, .seller = 1}});
    return w;
}

static void world_free(struct world *w)
{
    market_free(w->m);
    market_events_fini(&w->events);
    xfree(w);
}

struct want {
    enum market_kind kind;
    uint32_t nodes;
    udollar limit;
    time_ms term, run_time, latest;
    market_id reservation;
    int64_t gpus;
};

static market_id bid_add(struct world *w, struct want want)
{
    market_id id = ++w->next_bid;
    uint64_t refused = w->refused;
    struct market_choice choice = {.sku = 1, .amounts = {want.gpus ? want.gpus : 8000, 8000, 1024, 0}, .speed_milli = 1000};
    struct market_alternative a = {.choices = &choice, .limit = want.limit};
    struct market_role role = {want.nodes, want.nodes};
    apply_one(w, (struct market_command){.type = MARKET_BID_ADD, .bid = {.id = id, .tenant = want.reservation ? 9 : 1 + id % 3,
        .request_key = id * 7919, .kind = want.kind, .roles = &role, .role_count = 1, .alternatives = &a, .alternative_count = 1,
        .notice = 30000, .latest = want.latest ? want.latest : TIME_NEVER, .term = want.term, .run_time = want.run_time,
        .reservation = want.reservation}});
    w->bids[id].over = w->refused > refused;
    return id;
}

static void reserve(struct world *w, market_id id, uint32_t nodes, time_ms from, time_ms to)
{
    apply_one(w, (struct market_command){.type = MARKET_RESERVATION_ADD, .reservation = {.id = id, .tenant = 9, .replicas = nodes,
        .choice = {.sku = 1, .amounts = {8000, 8000, 1024, 0}, .speed_milli = 1000}, .from = from, .to = to, .limit = 8000000}});
}

static enum market_reservation_state state_of(const struct world *w, market_id id)
{
    struct market_reservation_view v;
    assert_true(market_reservation_view(w->m, id, &v));
    return v.state;
}

static void a_sold_slot_starts_on_time(void **unused)
{
    (void)unused;
    struct world *w = world_new(1, 4);
    time_ms start = w->now + HOUR_MS;
    for (int i = 0; i < 4; i++)
        bid_add(w, (struct want){.kind = BID_PREEMPTIBLE, .nodes = 1, .limit = 2000000});
    reserve(w, 500, 2, start, start + HOUR_MS);
    assert_int_equal(state_of(w, 500), RESERVATION_BOUGHT);
    market_id mine[2];
    for (int i = 0; i < 2; i++)
        mine[i] = bid_add(w, (struct want){.kind = BID_PREEMPTIBLE, .nodes = 1, .limit = 3000000, .reservation = 500});
    pass(w, HOUR_MS - 41000);
    for (market_id i = 1; i <= 4; i++)
        assert_true(w->bids[i].running && !w->bids[i].going);
    pass(w, 1000); /* notice and kill time before the start */
    assert_int_equal(w->bids[1].going + w->bids[2].going + w->bids[3].going + w->bids[4].going, 2);
    pass(w, 40000);
    for (int i = 0; i < 2; i++)
        assert_true(w->bids[mine[i]].running && w->bids[mine[i]].started == start);
    pass(w, HOUR_MS - 1000);
    assert_int_equal(w->bids[mine[0]].charged, 0);
    pass(w, 16000);
    assert_int_equal(state_of(w, 500), RESERVATION_OVER);
    assert_int_equal(w->reserved, 2 * 8 * 500000);
    world_free(w);
}

static void firm_work_stays_off_what_is_sold(void **unused)
{
    (void)unused;
    struct world *w = world_new(2, 2);
    reserve(w, 500, 2, w->now + HOUR_MS, w->now + 2 * HOUR_MS);
    pass(w, 30000);
    market_id over = bid_add(w, (struct want){.kind = BID_FIRM, .nodes = 1, .limit = 2147000000, .term = 2 * HOUR_MS});
    struct market_why why;
    assert_false(w->bids[over].placed);
    assert_true(market_why(w->m, over, &why));
    assert_int_equal(why.obstacle, OBSTACLE_HELD);
    market_id before = bid_add(w, (struct want){.kind = BID_FIRM, .nodes = 1, .limit = 600000, .term = 40 * MINUTE});
    assert_true(w->bids[before].placed);
    market_id dear = bid_add(w, (struct want){.kind = BID_FIRM, .nodes = 1, .limit = 600000, .term = 90 * MINUTE});
    assert_true(market_why(w->m, dear, &why));
    assert_int_equal(why.obstacle, OBSTACLE_FORWARD);
    assert_true(why.forward > 600000);
    world_free(w);
}

static void idle_capacity_is_lent_and_recalled(void **unused)
{
    (void)unused;
    struct world *w = world_new(3, 2);
    reserve(w, 500, 2, w->now, w->now + 4 * HOUR_MS);
    assert_int_equal(state_of(w, 500), RESERVATION_OPEN);
    market_id other = bid_add(w, (struct want){.kind = BID_PREEMPTIBLE, .nodes = 2, .limit = 2000000});
    pass(w, 14 * MINUTE);
    assert_false(w->bids[other].placed);
    pass(w, 2 * MINUTE);
    assert_true(w->bids[other].running);
    assert_int_equal(state_of(w, 500), RESERVATION_LENT);
    pass(w, HOUR_MS);
    market_id mine = bid_add(w, (struct want){.kind = BID_PREEMPTIBLE, .nodes = 1, .limit = 3000000, .reservation = 500});
    assert_true(w->bids[other].going);
    assert_true(w->bids[mine].placed && !w->bids[mine].ready);
    pass(w, 31000);
    assert_true(w->bids[mine].running);
    assert_true(w->resold > 0 && w->resold <= w->bids[other].charged);
    world_free(w);
}

static void a_pause_sells_at_its_floor(void **unused)
{
    (void)unused;
    struct world *w = world_new(4, 2);
    reserve(w, 500, 2, w->now, w->now + 4 * HOUR_MS);
    apply_one(w, (struct market_command){.type = MARKET_RESERVATION_CHANGE, .reservation_change = {.reservation = 500,
        .action = RESERVATION_PAUSE, .floor = 900000}});
    market_id low = bid_add(w, (struct want){.kind = BID_PREEMPTIBLE, .nodes = 1, .limit = 800000});
    pass(w, MINUTE);
    assert_false(w->bids[low].placed); /* the posted price is below the floor */
    apply_one(w, (struct market_command){.type = MARKET_RESERVATION_CHANGE, .reservation_change = {.reservation = 500,
        .action = RESERVATION_PAUSE, .floor = 400000}});
    pass(w, MINUTE);
    assert_true(w->bids[low].running);
    apply_one(w, (struct market_command){.type = MARKET_RESERVATION_CHANGE, .reservation_change = {.reservation = 500,
        .action = RESERVATION_RESUME}});
    assert_true(w->bids[low].going);
    apply_one(w, (struct market_command){.type = MARKET_RESERVATION_CHANGE, .reservation_change = {.reservation = 500,
        .action = RESERVATION_CANCEL}});
    pass(w, 2 * MINUTE);
    assert_true(w->bids[low].running);
    world_free(w);
}

static void bytes_are_the_same(struct world *w)
{
    _cleanup_buf_ struct buf before = BUF_INIT(BUF_LIMIT_DEFAULT), after = BUF_INIT(BUF_LIMIT_DEFAULT);
    market_snapshot(w->m, &before);
    struct unpack in = unpack_from(buf_str(&before));
    struct market *copy = market_restore(&in);
    assert_non_null(copy);
    market_snapshot(copy, &after);
    assert_true(str_equal(buf_str(&before), buf_str(&after)));
    market_free(w->m);
    w->m = copy;
    market_check(w->m);
}

static void reserve_any(struct world *w, struct prng *p, market_id id)
{
    time_ms from = w->now + (time_ms)prng_below(p, 120) * MINUTE;
    reserve(w, id, 1 + (uint32_t)prng_below(p, 3), from, from + (1 + (time_ms)prng_below(p, 180)) * MINUTE);
}

static void change_any(struct world *w, struct prng *p, market_id last)
{
    apply_one(w, (struct market_command){.type = MARKET_RESERVATION_CHANGE, .reservation_change = {.reservation = 10000 + prng_below(p, last - 9999),
        .action = prng_below(p, 4) ? (prng_below(p, 2) ? RESERVATION_PAUSE : RESERVATION_RESUME) : RESERVATION_CANCEL,
        .floor = (udollar)prng_below(p, 1000000)}});
}

/* Every slot that was sold is there for its holder when it opens, whatever else comes and goes. */
static void step_any(struct world *w, struct prng *p, market_id *next)
{
    switch (prng_below(p, 10)) {
    case 0:
        reserve_any(w, p, (*next)++);
        return;
    case 1:
        change_any(w, p, *next);
        return;
    case 2:
        bid_add(w, (struct want){.kind = BID_FIRM, .nodes = 1 + (uint32_t)prng_below(p, 2), .limit = 500000 + (udollar)prng_below(p, 3000000),
            .term = (1 + (time_ms)prng_below(p, 120)) * MINUTE});
        return;
    case 3:
        bid_add(w, (struct want){.kind = BID_PREEMPTIBLE, .nodes = 1, .limit = 1000000, .reservation = 10000 + prng_below(p, *next - 9999)});
        return;
    case 4:
    case 5:
        bid_add(w, (struct want){.kind = BID_PREEMPTIBLE, .nodes = 1 + (uint32_t)prng_below(p, 3), .limit = 500000 + (udollar)prng_below(p, 3000000),
            .gpus = (int64_t)(1 + prng_below(p, 8)) * 1000});
        return;
    case 6:
        apply_one(w, (struct market_command){.type = MARKET_BID_CANCEL, .change = {.bid = 1 + prng_below(p, w->next_bid + 1)}});
        return;
    default:
        pass(w, (time_ms)prng_below(p, 20) * MINUTE);
    }
}

static void random_sales_keep_the_invariants(void **unused)
{
    (void)unused;
    for (uint64_t seed = 1; seed <= 12; seed++) {
        struct world *w = world_new(seed, 5);
        struct prng p = {seed};
        market_id next = 10000;
        for (int step = 0; step < 250; step++) {
            step_any(w, &p, &next);
            if (step % 17 == 0)
                bytes_are_the_same(w);
        }
        world_free(w);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_sold_slot_starts_on_time),
        cmocka_unit_test(firm_work_stays_off_what_is_sold),
        cmocka_unit_test(idle_capacity_is_lent_and_recalled),
        cmocka_unit_test(a_pause_sells_at_its_floor),
        cmocka_unit_test(random_sales_keep_the_invariants),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
