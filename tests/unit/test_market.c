/* SPDX-License-Identifier: Apache-2.0 */
#include "base/hash.h"
#include "base/memory.h"
#include "market/market.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
/* cmocka wants the four above first */
#include <cmocka.h>

/* A small world that does what the engine and the agents would do with the events. */
#define BIDS 4096
struct world {
    struct market *m;
    struct market_events events;
    time_ms now, applied; /* applied: time of the last batch */
    struct track {
        uint32_t attempt, replicas;
        bool placed, ready, running, going, over;
        int64_t charged;
    } bids[BIDS];
    market_id next_bid;
    uint64_t evictions, refused, ticks_wanted;
    enum market_refusal last_refusal;
    struct market_event last_post;
};

static void follow(struct world *w, const struct market_event *e)
{
    struct track *t = e->bid ? &w->bids[e->bid] : NULL;
    switch (e->type) {
    case EVENT_ALLOCATED:
        assert_false(t->placed);
        t->placed = true;
        t->ready = e->allocated.ready;
        t->attempt = e->attempt;
        t->replicas = (uint32_t)e->allocated.placement_count;
        break;
    case EVENT_READY:
        assert_true(t->placed);
        t->ready = true;
        break;
    case EVENT_PREEMPTING:
        t->going = true;
        w->evictions += e->preempting.reason == RELEASE_PREEMPTED;
        break;
    case EVENT_RELEASED:
        t->placed = t->ready = t->running = t->going = false;
        t->over = !e->released.waits;
        break;
    case EVENT_CHARGED:
        t->charged += e->charged.amount;
        break;
    case EVENT_REFUSED:
        w->refused++;
        w->last_refusal = e->refused.reason;
        break;
    case EVENT_PRICE_POSTED:
        assert_true(e->posted.scarcity >= 0);
        assert_true(e->posted.marginal <= e->posted.guide);
        w->last_post = *e;
        break;
    case EVENT_GAP:
        assert_true(e->gap.bound >= e->gap.surplus);
        break;
    case EVENT_TICK_WANTED:
        w->ticks_wanted++;
        break;
    case EVENT_MOVED:
    case EVENT_ENTRY:
    case EVENT_RESIZED:
    case EVENT_BLOCK_POSTED:
    case EVENT_QUOTED:
    case EVENT_RESERVED:
    case EVENT_SUBSCRIPTION:
    case EVENT_HEADROOM_POSTED:
        break;
    }
}

static void apply(struct world *w, const struct market_command *commands, size_t count)
{
    market_events_clear(&w->events);
    market_apply(w->m, w->now, commands, count, &w->events);
    w->applied = w->now;
    for (size_t i = 0; i < w->events.count; i++)
        follow(w, &w->events.items[i]);
    market_check(w->m);
}

static void apply_one(struct world *w, struct market_command c)
{
    apply(w, &c, 1);
}

static void node_up(struct world *w, market_id id, market_id rack, int64_t gpus, udollar ask)
{
    apply_one(w, (struct market_command){.type = MARKET_NODE_UP, .node = {.id = id, .sku = 1, .accelerator = 1,
        .place = {1, 1, 1, 1 + rack / 4, 1 + rack}, .amounts = {gpus * 1000, gpus * 10000, gpus * 65536, 0},
        .ask = ask, .seller = 1}});
}

struct want {
    uint32_t nodes;
    int64_t gpus;
    enum market_level level;
    udollar limit;
    enum market_kind kind;
};

static market_id bid_add(struct world *w, struct want want)
{
    market_id id = ++w->next_bid;
    uint64_t refused = w->refused;
    struct market_choice choice = {.accelerator = 1, .amounts = {want.gpus, want.gpus * 2, 1024, 0}, .speed_milli = 1000};
    struct market_alternative a = {.choices = &choice, .level = want.level, .racks = 2, .limit = want.limit};
    struct market_role role = {want.nodes, want.nodes};
    apply_one(w, (struct market_command){.type = MARKET_BID_ADD, .bid = {.id = id, .tenant = 1 + id % 3, .request_key = id * 7919,
        .kind = want.kind, .roles = &role, .role_count = 1, .alternatives = &a, .alternative_count = 1,
        .notice = 1000, .latest = TIME_NEVER, .renew = true}});
    w->bids[id].over = w->refused > refused;
    return id;
}

static void start(struct world *w, market_id bid)
{
    struct track *t = &w->bids[bid];
    assert_true(t->placed && t->ready);
    apply_one(w, (struct market_command){.type = MARKET_LEASE_STARTED, .lease = {.bid = bid, .attempt = t->attempt}});
    t->running = true;
}

static void end(struct world *w, market_id bid, bool requeue)
{
    apply_one(w, (struct market_command){.type = MARKET_LEASE_ENDED, .lease = {.bid = bid, .attempt = w->bids[bid].attempt,
        .at = w->now, .requeue = requeue}});
}

static void leave(struct world *w, market_id bid)
{
    for (uint32_t rank = 0; rank < w->bids[bid].replicas && w->bids[bid].going; rank++)
        apply_one(w, (struct market_command){.type = MARKET_REPLICA_ENDED,
            .lease = {.bid = bid, .attempt = w->bids[bid].attempt, .rank = rank}});
}

static void tick(struct world *w, time_ms span)
{
    w->now += span;
    apply_one(w, (struct market_command){.type = MARKET_TICK});
}

static void limit_set(struct world *w, market_id bid, udollar limit)
{
    apply_one(w, (struct market_command){.type = MARKET_BID_CHANGE, .change = {bid, limit}});
}

static struct world *world_new(uint64_t seed)
{
    struct world *w = xcalloc(1, sizeof *w);
    w->m = market_new(seed);
    w->now = 1000000;
    apply_one(w, (struct market_command){.type = MARKET_SETTING_SET, .setting = {SETTING_MINIMUM_RUN_MS, 5000}});
    apply_one(w, (struct market_command){.type = MARKET_SETTING_SET, .setting = {SETTING_TICK_MS, 1000}});
    return w;
}

static void world_free(struct world *w)
{
    market_events_fini(&w->events);
    market_free(w->m);
    xfree(w);
}

static struct market_bid_view view(struct world *w, market_id bid)
{
    struct market_bid_view v;
    assert_true(market_bid_view(w->m, bid, w->now, &v));
    return v;
}

/* ---- stories --------------------------------------------------------------------------------------- */

static void idle_pool_charges_the_ask(void **state)
{
    (void)state;
    struct world *w = world_new(1);
    for (market_id i = 1; i <= 4; i++)
        node_up(w, i, i / 3, 8, 500000);
    market_id bid = bid_add(w, (struct want){2, 8000, LEVEL_RACK, 3000000, BID_PREEMPTIBLE});
    assert_int_equal(view(w, bid).state, BID_ASSIGNED);
    start(w, bid);
    for (int i = 0; i < 3600; i++)
        tick(w, 1000);
    assert_int_equal(view(w, bid).charged, 16 * 500000); /* 16 GPUs, one hour, 0.50 $ */
    w->now += 500;
    end(w, bid, false);
    assert_int_equal(w->bids[bid].charged, 16 * 500000 + 16 * 500000 / 7200);
    tick(w, 1000);
    struct market_account seller = {ACCOUNT_SELLER, 1}, pool = {ACCOUNT_POOL, 1};
    assert_int_equal(market_balance(w->m, seller) + market_balance(w->m, pool), w->bids[bid].charged);
    world_free(w);
}

/* A gang over the nodes of two sellers, and one at home with a third: each has the asks of its own, as they are at
 * the time. */
static void sellers_get_their_own_asks(void **state)
{
    (void)state;
    struct world *w = world_new(1);
    struct market_account sellers[] = {{ACCOUNT_SELLER, 1}, {ACCOUNT_SELLER, 2}, {ACCOUNT_SELLER, 3}}, fee = {ACCOUNT_FEE, 0};
    apply_one(w, (struct market_command){.type = MARKET_SETTING_SET, .setting = {SETTING_FEE_PERMILLE, 100}});
    for (market_id i = 1; i <= 3; i++)
        apply_one(w, (struct market_command){.type = MARKET_NODE_UP, .node = {.id = i, .sku = 1, .accelerator = 1,
            .place = {1, 1, 1, 1, 1 + i / 3}, .amounts = {8000, 80000, 524288, 0}, .ask = 500000, .seller = i}});
    start(w, bid_add(w, (struct want){2, 8000, LEVEL_RACK, 3000000, BID_PREEMPTIBLE}));
    start(w, bid_add(w, (struct want){1, 8000, LEVEL_ANY, 3000000, BID_PREEMPTIBLE}));
    for (int i = 0; i < 3600; i++)
        tick(w, 1000);
    for (int i = 0; i < 3; i++)
        assert_in_range(market_balance(w->m, sellers[i]), 8 * 500000 - 10, 8 * 500000);
    for (market_id i = 1; i <= 3; i++)
        apply_one(w, (struct market_command){.type = MARKET_ASK_SET, .on_node = {.node = i, .ask = 600000}});
    for (int i = 0; i < 3600; i++)
        tick(w, 1000);
    for (int i = 0; i < 3; i++)
        assert_in_range(market_balance(w->m, sellers[i]), 8 * 1100000 - 1000, 8 * 1100000);
    assert_in_range(market_balance(w->m, fee), 0, 1000); /* it is of rent, and there is none */
    world_free(w);
}

static void higher_value_displaces_after_minimum_run(void **state)
{
    (void)state;
    struct world *w = world_new(2);
    node_up(w, 1, 0, 8, 0);
    market_id low = bid_add(w, (struct want){1, 8000, LEVEL_ANY, 1000000, BID_PREEMPTIBLE});
    start(w, low);
    market_id equal = bid_add(w, (struct want){1, 8000, LEVEL_ANY, 1000000, BID_PREEMPTIBLE});
    market_id high = bid_add(w, (struct want){1, 8000, LEVEL_ANY, 2000000, BID_PREEMPTIBLE});
    assert_false(w->bids[low].going);
    tick(w, 4000);
    assert_false(w->bids[low].going);
    tick(w, 1000);
    assert_true(w->bids[low].going);
    assert_true(w->bids[high].placed);
    assert_false(w->bids[high].ready);
    leave(w, low);
    assert_true(w->bids[high].ready);
    assert_false(w->bids[low].over);
    start(w, high);
    tick(w, 10000);
    assert_int_equal(w->evictions, 1);
    end(w, high, false);
    /* equal limits: the batch of arrival decides, and it is kept through preemption */
    assert_true(w->bids[low].placed);
    assert_false(w->bids[equal].placed);
    assert_int_equal(w->bids[low].attempt, 2);
    world_free(w);
}

static void firm_is_not_moved_in_its_term(void **state)
{
    (void)state;
    struct world *w = world_new(3);
    apply_one(w, (struct market_command){.type = MARKET_SETTING_SET, .setting = {SETTING_TERM_MS, 60000}});
    node_up(w, 1, 0, 8, 100000);
    market_id firm = bid_add(w, (struct want){1, 8000, LEVEL_ANY, 1000000, BID_FIRM});
    start(w, firm);
    market_id high = bid_add(w, (struct want){1, 8000, LEVEL_ANY, 9000000, BID_PREEMPTIBLE});
    for (int i = 0; i < 59; i++)
        tick(w, 1000);
    assert_false(w->bids[firm].going);
    assert_int_equal(view(w, firm).rate, 8 * 100000); /* locked at the menu of its admission */
    struct market_why why;
    assert_true(market_why(w->m, high, &why));
    assert_int_equal(why.obstacle, OBSTACLE_PROTECTED);
    world_free(w);
}

static void node_loss_requeues_at_no_charge(void **state)
{
    (void)state;
    struct world *w = world_new(4);
    for (market_id i = 1; i <= 3; i++)
        node_up(w, i, 0, 8, 720000);
    market_id bid = bid_add(w, (struct want){2, 8000, LEVEL_RACK, 3000000, BID_PREEMPTIBLE});
    start(w, bid);
    for (int i = 0; i < 20; i++)
        tick(w, 1000);
    time_ms contact = w->now - 10000;
    apply_one(w, (struct market_command){.type = MARKET_NODE_DOWN, .on_node = {.node = 1, .last_contact = contact}});
    assert_int_equal(w->bids[bid].charged, 16 * 720000 / 360); /* ten seconds */
    assert_true(w->bids[bid].going);
    leave(w, bid);
    assert_true(w->bids[bid].placed);
    assert_int_equal(w->bids[bid].attempt, 2);
    world_free(w);
}

static void budget_stops_the_least_valuable(void **state)
{
    (void)state;
    struct world *w = world_new(5);
    for (market_id i = 1; i <= 2; i++)
        node_up(w, i, 0, 8, 3600000);
    for (market_id tenant = 1; tenant <= 3; tenant++)
        apply_one(w, (struct market_command){.type = MARKET_ACCOUNT_SET, .account = {tenant, true, 600000}});
    market_id bid = bid_add(w, (struct want){1, 8000, LEVEL_ANY, 3600000, BID_PREEMPTIBLE});
    start(w, bid);
    for (int i = 0; i < 200 && !w->bids[bid].going; i++)
        tick(w, 1000);
    assert_true(w->bids[bid].going);
    leave(w, bid);
    assert_true(w->bids[bid].charged <= 600000);
    struct market_why why;
    assert_true(market_why(w->m, bid, &why));
    assert_int_equal(why.obstacle, OBSTACLE_BUDGET);
    apply_one(w, (struct market_command){.type = MARKET_ACCOUNT_SET, .account = {1 + bid % 3, false, 0}});
    tick(w, 1000);
    assert_true(w->bids[bid].placed);
    world_free(w);
}

static void what_never_fits_is_refused(void **state)
{
    (void)state;
    struct world *w = world_new(6);
    node_up(w, 1, 0, 8, 0);
    node_up(w, 2, 1, 8, 0);
    const struct want wants[] = {{3, 8000, LEVEL_ANY, 1, BID_PREEMPTIBLE}, {2, 8000, LEVEL_RACK, 1, BID_PREEMPTIBLE},
                                 {1, 16000, LEVEL_ANY, 1, BID_PREEMPTIBLE}, {2, 8000, LEVEL_NODE, 1, BID_PREEMPTIBLE}};
    for (size_t i = 0; i < ARRAY_COUNT(wants); i++) {
        bid_add(w, wants[i]);
        assert_int_equal(w->refused, i + 1);
        assert_int_equal(w->last_refusal, REFUSED_IMPOSSIBLE);
    }
    bid_add(w, (struct want){1, 1500, LEVEL_ANY, 1, BID_PREEMPTIBLE});
    assert_int_equal(w->last_refusal, REFUSED_BOUND);
    bid_add(w, (struct want){1, 1000, LEVEL_ANY, 1, BID_DEADLINE}); /* does not say how long it runs */
    assert_int_equal(w->last_refusal, REFUSED_BOUND);
    bid_add(w, (struct want){2, 4000, LEVEL_NODE, 1, BID_PREEMPTIBLE});
    assert_true(w->bids[w->next_bid].placed);
    world_free(w);
}

/* Named case 1: sixty 1-node bids at 2.90 against a 60-node gang at 3.00: the gang wins, at 2.90. */
static void threshold(void **state)
{
    (void)state;
    struct world *w = world_new(7);
    for (market_id i = 1; i <= 60; i++)
        node_up(w, i, i / 16, 1, 100000);
    market_id gang = bid_add(w, (struct want){60, 1000, LEVEL_ANY, 3000000, BID_PREEMPTIBLE});
    assert_true(w->bids[gang].placed);
    start(w, gang);
    for (int i = 0; i < 60; i++)
        assert_false(w->bids[bid_add(w, (struct want){1, 1000, LEVEL_ANY, 2900000, BID_PREEMPTIBLE})].placed);
    for (int i = 0; i < 4000; i++)
        tick(w, 1000);
    assert_int_equal(w->last_post.posted.guide, 2900000);
    assert_int_equal(w->last_post.posted.marginal + w->last_post.posted.scarcity, 2900000);
    assert_int_equal(view(w, gang).rate, 60 * 2900000);
    assert_int_equal(w->evictions, 0);
    world_free(w);
}

/* ---- laws ------------------------------------------------------------------------------------------- */

static void why_is_exact(struct world *w, market_id bid)
{
    struct market_why why;
    assert_true(market_why(w->m, bid, &why));
    if (!why.has_limit)
        return;
    for (int below = 0; below <= 1; below++) {
        _cleanup_buf_ struct buf bytes = BUF_INIT(BUF_LIMIT_DEFAULT);
        market_snapshot(w->m, &bytes);
        struct unpack in = unpack_from(buf_str(&bytes));
        struct market *copy = market_restore(&in);
        assert_non_null(copy);
        struct market_events events = {0};
        struct market_command c = {.type = MARKET_BID_CHANGE, .change = {bid, why.go_live - 10000 * below}};
        market_apply(copy, w->applied, &c, 1, &events); /* the state's time, as why has it */
        struct market_bid_view v;
        assert_true(market_bid_view(copy, bid, w->now, &v));
        if (why.go_live - 10000 > v.limit_unit || !below)
            assert_int_equal(v.state == BID_WAITING, below);
        market_events_fini(&events);
        market_free(copy);
    }
}

static void same_bytes_after_restore(struct world *w)
{
    _cleanup_buf_ struct buf before = BUF_INIT(BUF_LIMIT_DEFAULT), after = BUF_INIT(BUF_LIMIT_DEFAULT);
    market_snapshot(w->m, &before);
    struct unpack in = unpack_from(buf_str(&before));
    struct market *copy = market_restore(&in);
    assert_non_null(copy);
    market_snapshot(copy, &after);
    assert_true(str_equal(buf_str(&before), buf_str(&after)));
    market_free(w->m);
    w->m = copy; /* what follows must go on as before: market_check and the tracks say so */
}

static void random_step(struct world *w, struct prng *p)
{
    market_id bid = w->next_bid ? 1 + prng_below(p, w->next_bid) : 0;
    struct track *t = &w->bids[bid];
    w->now += (time_ms)prng_below(p, 300);
    switch (prng_below(p, 12)) {
    case 0:
    case 1:
    case 2:
        if (w->next_bid < 300)
            bid_add(w, (struct want){1 + (uint32_t)prng_below(p, 4), 1000 << prng_below(p, 4), (enum market_level)prng_below(p, 6),
                                     (udollar)prng_below(p, 300) * 10000, prng_below(p, 4) ? BID_PREEMPTIBLE : BID_FIRM});
        return;
    case 3:
    case 4:
    case 5:
        if (bid && t->placed && t->ready && !t->running && !t->going)
            start(w, bid);
        return;
    case 6:
        if (bid && t->running && !t->going)
            end(w, bid, prng_below(p, 2));
        else if (bid && t->going)
            leave(w, bid);
        return;
    case 7:
        if (bid && !t->over)
            apply_one(w, (struct market_command){.type = MARKET_BID_CANCEL, .change = {.bid = bid}});
        return;
    case 8:
        if (bid && !t->over)
            limit_set(w, bid, (udollar)prng_below(p, 300) * 10000);
        return;
    case 9: {
        market_id node = 1 + prng_below(p, 12);
        if (prng_below(p, 2))
            apply_one(w, (struct market_command){.type = MARKET_NODE_DOWN, .on_node = {.node = node, .last_contact = w->now - 700}});
        else
            node_up(w, node, node / 4, 8, (udollar)prng_below(p, 3) * 250000);
        return;
    }
    case 10:
        apply_one(w, (struct market_command){.type = prng_below(p, 2) ? MARKET_NODE_DRAIN : MARKET_NODE_UNDRAIN,
            .on_node = {.node = 1 + prng_below(p, 12), .evict = prng_below(p, 2)}});
        return;
    case 11:
        tick(w, 1000);
        return;
    }
}

static void random_events_keep_the_invariants(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 40; seed++) {
        struct world *w = world_new(seed);
        struct prng p = {seed};
        for (market_id i = 1; i <= 12; i++)
            node_up(w, i, i / 4, 8, (udollar)(i % 3) * 250000);
        for (int step = 0; step < 400; step++) {
            random_step(w, &p);
            if (step % 37 == 0)
                same_bytes_after_restore(w);
            if (step % 23 == 0)
                for (market_id bid = 1; bid <= w->next_bid; bid += 5)
                    if (!w->bids[bid].over && !w->bids[bid].placed && step % 2)
                        why_is_exact(w, bid);
        }
        world_free(w);
    }
}

static int64_t digest_of_run(uint64_t seed, bool restore)
{
    struct world *w = world_new(seed);
    struct prng p = {seed};
    for (market_id i = 1; i <= 12; i++)
        node_up(w, i, i / 4, 8, 250000);
    for (int step = 0; step < 300; step++) {
        random_step(w, &p);
        if (restore && step % 29 == 0)
            same_bytes_after_restore(w);
    }
    _cleanup_buf_ struct buf bytes = BUF_INIT(BUF_LIMIT_DEFAULT);
    market_snapshot(w->m, &bytes);
    int64_t digest = (int64_t)hash_bytes(bytes.data, bytes.size);
    world_free(w);
    return digest;
}

static void restored_goes_on_the_same(void **state)
{
    (void)state;
    for (uint64_t seed = 100; seed < 110; seed++)
        assert_int_equal(digest_of_run(seed, false), digest_of_run(seed, true));
}

static void more_freedom_never_pays_more(void **state)
{
    (void)state;
    struct world *w = world_new(9);
    for (market_id i = 1; i <= 8; i++)
        node_up(w, i, i / 4, 8, (udollar)i * 100000);
    for (int i = 0; i < 30; i++)
        bid_add(w, (struct want){1, 8000, LEVEL_ANY, 1000000 + i * 10000, BID_PREEMPTIBLE});
    for (int i = 0; i < 50; i++)
        tick(w, 1000);
    struct market_choice choice = {.sku = 1, .amounts = {8000, 16000, 1024, 0}, .speed_milli = 1000};
    struct market_alternative a = {.choices = &choice, .level = LEVEL_RACK, .limit = 2000000};
    struct market_role role = {2, 2};
    struct market_bid bid = {.id = 999, .tenant = 1, .kind = BID_FIRM, .roles = &role, .role_count = 1, .alternatives = &a,
        .alternative_count = 1, .notice = 1000, .latest = TIME_NEVER};
    struct market_quote quote;
    const char *field;
    int64_t numbers[3];
    assert_int_equal(market_quote(w->m, &bid, &quote, &field, numbers), REFUSED_NONE);
    for (int i = 1; i < MARKET_FREEDOM_COUNT; i++)
        if (quote.lines[i].offered)
            assert_true(quote.lines[i].rate <= quote.lines[0].rate);
    assert_true(quote.lines[FREEDOM_PREEMPTIBLE].offered);
    assert_true(quote.lines[FREEDOM_ANY_LEVEL].offered);
    assert_true(quote.lines[FREEDOM_OTHER_SKUS].offered);
    world_free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(idle_pool_charges_the_ask),
        cmocka_unit_test(sellers_get_their_own_asks),
        cmocka_unit_test(higher_value_displaces_after_minimum_run),
        cmocka_unit_test(firm_is_not_moved_in_its_term),
        cmocka_unit_test(node_loss_requeues_at_no_charge),
        cmocka_unit_test(budget_stops_the_least_valuable),
        cmocka_unit_test(what_never_fits_is_refused),
        cmocka_unit_test(threshold),
        cmocka_unit_test(random_events_keep_the_invariants),
        cmocka_unit_test(restored_goes_on_the_same),
        cmocka_unit_test(more_freedom_never_pays_more),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
