/* SPDX-License-Identifier: Apache-2.0 */
#include "engine_world.h"

static void test_a_workload_runs_and_finishes(void **state)
{
    (void)state;
    struct world w;
    world_init(&w);
    engine_id node = node_add(&w, "n1", "r1");
    engine_id id = submit(&w, (struct want){.nodes = 1, .cores = 2, .limit = 100000, .name = "hello"});
    struct engine_event event;
    assert_int_equal(events(&w, ENGINE_EVENT_WORKLOAD_SUBMITTED, &event), 1);
    assert_int_equal(event.command, 0);
    assert_int_equal(events(&w, ENGINE_EVENT_WORKLOAD_ASSIGNED, NULL), 1);
    assert_int_equal(events(&w, ENGINE_EVENT_REPLICA_PLACED, &event), 1);
    assert_int_equal(event.node, node);
    assert_true(told(&w, node));
    const struct engine_workload *v = look(&w, id);
    assert_int_equal(v->state, WORKLOAD_ASSIGNED);
    assert_int_equal(v->attempt, 1);
    assert_true(v->replicas[0].ready);
    assert_in_range(v->master_port, 20000, 29999);
    assert_int_equal(engine_node(w.e, node)->replica_count, 1);
    assert_int_equal(engine_node(w.e, node)->replicas[0].workload, id);

    w.now += 500;
    assert_int_equal(started(&w, id, 0), ENGINE_OK);
    assert_int_equal(look(&w, id)->state, WORKLOAD_RUNNING);
    assert_int_equal(look(&w, id)->started, w.now);
    assert_int_equal(started(&w, id, 0), ENGINE_OK); /* told again: its agent must not end it */
    assert_int_equal(w.result.event_count, 0);

    w.now += HOUR_MS / 2;
    assert_int_equal(ended(&w, id, 0, 0), ENGINE_OK);
    assert_int_equal(look(&w, id)->state, WORKLOAD_FINISHED);
    assert_int_equal(look(&w, id)->reason, REASON_COMPLETED);
    assert_int_equal(events(&w, ENGINE_EVENT_CHARGED, &event), 1);
    assert_int_equal(event.amount, 2 * 40000 / 2);
    assert_int_equal(event.workload, id);
    assert_int_equal(engine_node(w.e, node)->replica_count, 0);
    assert_int_equal(ended(&w, id, 0, 0), ENGINE_STALE);
    world_fini(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_workload_runs_and_finishes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
