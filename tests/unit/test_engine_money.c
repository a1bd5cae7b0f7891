/* SPDX-License-Identifier: Apache-2.0 */
/* Bills recomputed from events alone, a batch whose order says nothing, and gangs that stretch. */
#include "engine_world.h"
#include "engine/engine_internal.h"


/* What somebody knows who sees nothing but events. */
struct reader {
    time_ms running_since;      /* 0: it does not run */
    time_ms charged_to;         /* end of its last line */
    udollar lines, due, entries; /* told; recomputed; of the ledger */
    size_t line_count, rates;
    udollar last_rate;
};

static void read_line(struct reader *r, const struct engine_event *e)
{
    assert_int_equal(e->charge, CHARGE_MENU);
    assert_true(e->from >= r->running_since && e->to <= e->at && e->from < e->to);
    assert_true(r->charged_to == 0 || e->from == r->charged_to);
    r->charged_to = e->to;
    r->lines += e->amount;
    r->due += mul_div_floor(e->rate, e->to - e->from, HOUR_MS);
    r->line_count++;
    r->rates += e->rate != r->last_rate;
    r->last_rate = e->rate;
}

static void read_events(struct reader *r, const struct world *w, engine_id id)
{
    for (size_t i = 0; i < w->result.event_count; i++) {
        const struct engine_event *e = &w->result.events[i];
        if (e->type == ENGINE_EVENT_ENTRY && e->debit_kind == ACCOUNT_TENANT)
            r->entries += e->amount;
        if (e->type == ENGINE_EVENT_ENTRY && e->credit_kind == ACCOUNT_TENANT)
            r->entries -= e->amount;
        if (e->workload != id)
            continue;
        if (e->type == ENGINE_EVENT_CHARGED)
            read_line(r, e);
        if (e->type == ENGINE_EVENT_WORKLOAD_STARTED)
            r->running_since = e->at;
        if (e->type == ENGINE_EVENT_WORKLOAD_WAITING || e->type == ENGINE_EVENT_WORKLOAD_FINISHED) {
            assert_int_equal(r->charged_to, e->at); /* to the moment its end was told */
            r->running_since = r->charged_to = 0;
        }
    }
}

/* Runs while others come and go, so that the price moves; is preempted; runs again to its end. */
static void test_a_bill_from_events_alone(void **state)
{
    (void)state;
    struct world w;
    struct reader r = {0};
    world_init(&w);
    struct engine_command settings[] = {setting(SETTING_MINIMUM_RUN_MS, 0), setting(SETTING_TICK_MS, 1000), setting(SETTING_RAMP_PERMILLE, 1000)};
    world_apply(&w, settings, ARRAY_COUNT(settings));
    node_add(&w, "n1", "r1");
    engine_id id = submit(&w, (struct want){.nodes = 1, .cores = 3, .limit = 123457});
    w.now += 17;
    started_all(&w, id);
    read_events(&r, &w, id);
    for (int i = 0; i < 60; i++) { /* others want more than is left, and wait */
        submit(&w, (struct want){.nodes = 1, .cores = 2, .limit = 50000 + i * 1000});
        w.now += 997;
        tick(&w);
        read_events(&r, &w, id);
    }
    engine_id high = submit(&w, (struct want){.nodes = 1, .cores = 4, .limit = 999999});
    w.now += 333;
    ended(&w, id, 0, 143);
    read_events(&r, &w, id);
    assert_int_equal(look(&w, id)->state, WORKLOAD_WAITING);
    started_all(&w, high);
    w.now += 5000;
    cancel(&w, high);
    ended(&w, high, 0, 0);
    assert_int_equal(look(&w, id)->state, WORKLOAD_ASSIGNED);
    r.entries = 0;
    udollar first = r.lines;
    started_all(&w, id);
    read_events(&r, &w, id);
    for (int i = 0; i < 30; i++) {
        w.now += 1001;
        tick(&w);
        read_events(&r, &w, id);
    }
    w.now += 77;
    ended(&w, id, 0, 0);
    read_events(&r, &w, id);
    assert_int_equal(look(&w, id)->state, WORKLOAD_FINISHED);
    assert_true(r.line_count > 3 && r.rates > 2);
    /* A line is the difference of floors of the exact sum: at most 1 µ$ from its own floor. */
    assert_true(r.lines >= r.due && r.lines - r.due <= (int64_t)r.line_count);
    /* The ledger of the second attempt, in which it was alone; the first part is spread over ticks. */
    assert_int_equal(r.entries, r.lines - first);
    world_fini(&w);
}

/* ---- permutations --------------------------------------------------------------------------------------------- */

#define CROWD 12

static void crowd_play(const size_t order[CROWD], char placed[CROWD + 1])
{
    struct world w;
    world_init(&w);
    node_add(&w, "n1", "r1");
    node_add(&w, "n2", "r2");
    struct engine_command commands[CROWD];
    struct engine_choice choices[CROWD];
    for (size_t i = 0; i < CROWD; i++) {
        static const char *const names[CROWD] = {"a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l"};
        struct want want = {.nodes = 1 + (order[i] % 5 == 0), .cores = 1 + (int64_t)(order[i] % 3), .limit = 50000 + 1000 * (udollar)(order[i] / 3),
            .name = names[order[i]]};
        commands[i] = submit_of(&w, &want, &choices[i]);
        commands[i].submit.request_key = 100 + order[i];
    }
    world_apply(&w, commands, CROWD);
    for (size_t i = 0; i < CROWD; i++) {
        const struct engine_workload *v = look(&w, w.result.outcomes[i].id);
        placed[v->name.data[0] - 'a'] = v->state == WORKLOAD_ASSIGNED ? (char)('0' + v->replicas[0].node) : '-';
    }
    placed[CROWD] = 0;
    world_fini(&w);
}

static void test_the_order_of_a_batch_says_nothing(void **state)
{
    (void)state;
    size_t order[CROWD];
    char first[CROWD + 1], again[CROWD + 1];
    struct prng random = {3};
    for (size_t i = 0; i < CROWD; i++)
        order[i] = i;
    crowd_play(order, first);
    assert_non_null(strchr(first, '-'));
    assert_non_null(strchr(first, '1'));
    for (int round = 0; round < 20; round++) {
        for (size_t i = CROWD - 1; i > 0; i--) {
            size_t j = prng_below(&random, i + 1), kept = order[i];
            order[i] = order[j];
            order[j] = kept;
        }
        crowd_play(order, again);
        assert_string_equal(first, again);
    }
}

/* ---- elastic ------------------------------------------------------------------------------------------------------- */

/* As if the market had said it: who comes or goes is told to the engine in this form alone. */
static void resize(struct world *w, engine_id id, const struct market_placement *p, bool grows)
{
    struct market_event event = {.type = EVENT_RESIZED, .bid = id, .attempt = 1,
        .resized = {.placement_count = 1, .grows = grows, .deadline = w->now + 1000, .units_milli = grows ? 2000 : 1000}};
    struct market_events events = w->e->batch.events;
    struct market_placement placement = *p;
    w->e->batch.events = (struct market_events){.placements = &placement, .placement_count = 1};
    w->e->result = &w->result;
    engine_follow(w->e, &event);
    w->e->result = NULL;
    w->e->batch.events = events;
    for (size_t i = 0; i < w->result.node_count; i++)
        w->e->nodes[w->result.nodes[i] - 1]->touched = false;
}

static void test_replicas_come_and_go(void **state)
{
    (void)state;
    struct world w;
    world_init(&w);
    node_add(&w, "n1", "r1");
    engine_id other = node_add(&w, "n2", "r1");
    engine_id id = submit(&w, (struct want){.nodes = 1, .cores = 1, .limit = 100000});
    started_all(&w, id);
    const struct engine_workload *v = look(&w, id);
    struct market_placement second = {.rank = 1, .node = other, .amounts = {0, 1000, 1024, 0}, .units_milli = 1000};
    for (int round = 0; round < 2; round++) { /* it comes, goes, and comes again under the same rank */
        resize(&w, id, &second, true);
        assert_int_equal(v->replica_count, 2);
        assert_int_equal(v->nodes, 2);
        assert_true(v->replicas[1].ready && v->replicas[1].state == REPLICA_ASSIGNED && !v->replicas[1].dropped);
        assert_int_equal(engine_node(w.e, other)->replica_count, 1);
        assert_int_equal(started(&w, id, 1), ENGINE_OK);
        assert_int_equal(v->state, WORKLOAD_RUNNING);
        resize(&w, id, &second, false);
        assert_int_equal(v->nodes, 1);
        assert_int_equal(v->replicas[1].state, REPLICA_STOPPING);
        assert_int_equal(v->replicas[1].deadline, w.now + 1000);
        assert_int_equal(ended(&w, id, 1, 143), ENGINE_OK); /* no failure: it was told to go */
        assert_int_equal(v->state, WORKLOAD_RUNNING);
        assert_int_equal(engine_node(w.e, other)->replica_count, 0);
    }
    assert_int_equal(ended(&w, id, 0, 0), ENGINE_OK);
    assert_int_equal(v->state, WORKLOAD_FINISHED);
    world_fini(&w);
}

/* 80 and 100 per cent are told once each, also over a restart, and again where a budget is moved. */
static void test_budgets_are_told_once(void **state)
{
    (void)state;
    struct world w;
    struct engine_event event = {0};
    size_t seen = 0;
    world_init(&w);
    struct engine_command settings[] = {setting(SETTING_MINIMUM_RUN_MS, 0), setting(SETTING_TICK_MS, 1000), setting(SETTING_RAMP_PERMILLE, 1000)};
    world_apply(&w, settings, ARRAY_COUNT(settings));
    struct engine_command budget = {.type = ENGINE_PROJECT_SET, .project = {.project = 1, .limited = true, .budget = 4000}};
    apply_one(&w, budget);
    node_add(&w, "n1", "r1");
    engine_id id = submit(&w, (struct want){.nodes = 1, .cores = 2, .limit = 100000});
    started_all(&w, id);
    for (int i = 0; i < 200 && seen < 1; i++) {
        w.now += 1000;
        tick(&w);
        seen += events(&w, ENGINE_EVENT_BUDGET, &event);
    }
    assert_int_equal(seen, 1);
    assert_int_equal(event.project, 1);
    assert_int_equal(event.value, 80);
    assert_int_equal(event.limit, 4000);
    assert_true(event.amount >= 3200 && event.amount < 4000);
    w.now += 1;
    tick(&w);
    assert_int_equal(events(&w, ENGINE_EVENT_BUDGET, &event), 0);
    _cleanup_buf_ struct buf bytes = BUF_INIT(BUF_LIMIT_DEFAULT);
    engine_snapshot(w.e, &bytes);
    struct unpack in = unpack_from(buf_str(&bytes));
    struct engine *again = engine_restore(&in);
    assert_non_null(again);
    engine_free(w.e);
    w.e = again;
    w.now += 1;
    tick(&w);
    assert_int_equal(events(&w, ENGINE_EVENT_BUDGET, &event), 0);
    budget.project.budget = 1000;
    apply_one(&w, budget);
    assert_int_equal(events(&w, ENGINE_EVENT_BUDGET, &event), 1);
    assert_int_equal(event.value, 100);
    budget.project.budget = 1000000;
    apply_one(&w, budget);
    assert_int_equal(events(&w, ENGINE_EVENT_BUDGET, &event), 0);
    budget.project.budget = 1;
    apply_one(&w, budget);
    assert_int_equal(events(&w, ENGINE_EVENT_BUDGET, &event), 2);
    world_fini(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_bill_from_events_alone),
        cmocka_unit_test(test_the_order_of_a_batch_says_nothing),
        cmocka_unit_test(test_replicas_come_and_go),
        cmocka_unit_test(test_budgets_are_told_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
