/* SPDX-License-Identifier: Apache-2.0 */
/* Stories of workloads: what people and nodes say, and what becomes of it. */
#include "engine_world.h"

/* Two nodes in one rack, no minimum run, so that a better use may take a place at once. */
static void fleet(struct world *w)
{
    world_init(w);
    struct engine_command settings[] = {setting(SETTING_MINIMUM_RUN_MS, 0), setting(SETTING_KILL_MS, 2000)};
    world_apply(w, settings, ARRAY_COUNT(settings));
    node_add(w, "n1", "r1");
    node_add(w, "n2", "r1");
}

static engine_id gang(struct world *w, uint32_t retries)
{
    engine_id id = submit(w, (struct want){.nodes = 2, .cores = 3, .limit = 100000, .retries = retries});
    started_all(w, id);
    assert_int_equal(look(w, id)->state, WORKLOAD_RUNNING);
    return id;
}

static void test_a_workload_runs_and_finishes(void **state)
{
    (void)state;
    struct world w;
    world_init(&w);
    engine_id node = node_add(&w, "n1", "r1");
    engine_id id = submit(&w, (struct want){.nodes = 1, .cores = 2, .limit = 100000, .name = "hello"});
    struct engine_event event = {0};
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

static void test_a_higher_bid_takes_the_place(void **state)
{
    (void)state;
    struct world w;
    fleet(&w);
    engine_id low = gang(&w, 0);
    w.now += 5000;
    engine_id high = submit(&w, (struct want){.nodes = 2, .cores = 4, .limit = 900000});
    struct engine_event event = {0};
    assert_int_equal(events(&w, ENGINE_EVENT_WORKLOAD_PREEMPTING, &event), 1);
    assert_int_equal(event.reason, REASON_PREEMPTED);
    assert_int_equal(event.deadline, w.now + 1000);
    assert_int_equal(look(&w, low)->state, WORKLOAD_PREEMPTING);
    assert_int_equal(look(&w, low)->replicas[1].state, REPLICA_STOPPING);
    assert_int_equal(look(&w, low)->replicas[1].deadline, w.now + 1000);
    assert_int_equal(look(&w, high)->state, WORKLOAD_ASSIGNED);
    assert_false(look(&w, high)->replicas[0].ready);
    assert_int_equal(engine_node(w.e, 1)->replica_count, 2);

    w.now += 700; /* a signal is no failure now */
    assert_int_equal(ended(&w, low, 0, 143), ENGINE_OK);
    assert_int_equal(look(&w, low)->state, WORKLOAD_PREEMPTING);
    assert_int_equal(ended(&w, low, 1, 143), ENGINE_OK);
    assert_int_equal(look(&w, low)->state, WORKLOAD_WAITING);
    assert_int_equal(look(&w, low)->reason, REASON_PREEMPTED);
    assert_false(look(&w, low)->exited);
    assert_int_equal(events(&w, ENGINE_EVENT_WORKLOAD_READY, &event), 1);
    assert_int_equal(event.workload, high);
    assert_true(look(&w, high)->replicas[0].ready && look(&w, high)->replicas[1].ready);

    started_all(&w, high);
    assert_int_equal(ended(&w, high, 0, 0), ENGINE_OK);
    assert_int_equal(ended(&w, high, 1, 0), ENGINE_OK);
    assert_int_equal(look(&w, low)->state, WORKLOAD_ASSIGNED);
    assert_int_equal(look(&w, low)->attempt, 2);
    assert_int_equal(engine_node(w.e, 1)->replicas[0].attempt, 2);
    world_fini(&w);
}

static void test_a_good_end_before_the_notice_counts(void **state)
{
    (void)state;
    for (int late = 0; late < 2; late++) {
        struct world w;
        fleet(&w);
        engine_id low = gang(&w, 0);
        w.now += 5000;
        submit(&w, (struct want){.nodes = 2, .cores = 4, .limit = 900000});
        for (uint32_t rank = 0; rank < 2; rank++) {
            struct engine_command c = report_of(&w, ENGINE_ENDED, low, rank);
            c.report.at = w.now - (late ? 0 : 1);
            apply_one(&w, c);
        }
        assert_int_equal(look(&w, low)->state, late ? WORKLOAD_WAITING : WORKLOAD_FINISHED);
        assert_int_equal(look(&w, low)->attempt, 1);
        world_fini(&w);
    }
}

static void test_a_failure_ends_its_gang(void **state)
{
    (void)state;
    struct world w;
    fleet(&w);
    engine_id id = gang(&w, 0);
    w.now += 1000;
    assert_int_equal(ended(&w, id, 1, 3), ENGINE_OK);
    const struct engine_workload *v = look(&w, id);
    assert_int_equal(v->state, WORKLOAD_PREEMPTING);
    assert_int_equal(v->reason, REASON_EXITED);
    assert_int_equal(v->replicas[0].state, REPLICA_STOPPING);
    assert_int_equal(v->replicas[0].deadline, w.now + 1000);
    assert_true(told(&w, v->replicas[0].node));
    assert_int_equal(ended(&w, id, 0, 143), ENGINE_OK);
    assert_int_equal(v->state, WORKLOAD_FAILED);
    assert_true(v->exited && !v->oom);
    assert_int_equal(v->exit_code, 3);
    assert_int_equal(v->exit_rank, 1);
    assert_true(str_is(v->last_lines, "the last line\n"));
    struct engine_event event = {0};
    assert_int_equal(events(&w, ENGINE_EVENT_WORKLOAD_FAILED, &event), 1);
    assert_int_equal(event.exit_code, 3);
    assert_true(str_is(event.text, "the last line\n"));
    world_fini(&w);
}

static void test_a_failure_is_tried_again_as_often_as_asked(void **state)
{
    (void)state;
    struct world w;
    fleet(&w);
    engine_id id = gang(&w, 1);
    ended(&w, id, 1, 3);
    ended(&w, id, 0, 0);
    const struct engine_workload *v = look(&w, id);
    struct engine_event event = {0};
    assert_int_equal(events(&w, ENGINE_EVENT_WORKLOAD_WAITING, &event), 1);
    assert_int_equal(event.reason, REASON_RETRY);
    assert_true(str_is(event.text, "the last line\n"));
    assert_int_equal(v->state, WORKLOAD_ASSIGNED); /* its place was free */
    assert_int_equal(v->attempt, 2);
    assert_int_equal(v->retries_left, 0);
    assert_false(v->exited);
    started_all(&w, id);
    ended(&w, id, 0, 4);
    ended(&w, id, 1, 0);
    assert_int_equal(v->state, WORKLOAD_FAILED);
    assert_int_equal(v->exit_code, 4);
    world_fini(&w);
}

static void test_who_does_not_report_is_not_waited_for(void **state)
{
    (void)state;
    struct world w;
    fleet(&w);
    engine_id id = gang(&w, 0);
    ended(&w, id, 1, 3);
    assert_int_equal(engine_deadline(w.e), w.now + 1000 + 2000);
    w.now += 2999;
    wake(&w);
    assert_int_equal(look(&w, id)->state, WORKLOAD_PREEMPTING);
    w.now += 1;
    wake(&w);
    assert_int_equal(look(&w, id)->state, WORKLOAD_FAILED);
    assert_int_equal(engine_node(w.e, 1)->replica_count + engine_node(w.e, 2)->replica_count, 0);
    world_fini(&w);
}

static void test_memory_and_preparation_have_names(void **state)
{
    (void)state;
    struct world w;
    fleet(&w);
    engine_id id = submit(&w, (struct want){.nodes = 1, .cores = 1, .limit = 100000});
    struct engine_command c = report_of(&w, ENGINE_ENDED, id, 0);
    c.report.text = STR("archive: no such file");
    apply_one(&w, c);
    assert_int_equal(look(&w, id)->state, WORKLOAD_FAILED);
    assert_int_equal(look(&w, id)->reason, REASON_PREPARE);
    assert_true(str_is(look(&w, id)->last_lines, "archive: no such file"));

    id = submit(&w, (struct want){.nodes = 1, .cores = 1, .limit = 100000});
    started_all(&w, id);
    c = report_of(&w, ENGINE_ENDED, id, 0);
    c.report.exit_code = 137;
    c.report.signal = 9;
    c.report.oom = true;
    apply_one(&w, c);
    assert_int_equal(look(&w, id)->reason, REASON_OOM);
    assert_true(look(&w, id)->oom);
    assert_int_equal(look(&w, id)->exit_signal, 9);
    world_fini(&w);
}

static void test_a_lost_node_takes_its_gangs_along(void **state)
{
    (void)state;
    struct world w;
    fleet(&w);
    engine_id id = gang(&w, 0);
    time_ms last_contact = w.now + HOUR_MS;
    w.now += HOUR_MS + 120000;
    tick(&w);
    struct engine_command lost = {.type = ENGINE_NODE_LOST_SET, .on_node = {.node = 2, .last_contact = last_contact}};
    apply_one(&w, lost);
    struct engine_event event = {0};
    assert_int_equal(events(&w, ENGINE_EVENT_NODE_LOST, NULL), 1);
    assert_true(events(&w, ENGINE_EVENT_CHARGED, &event) > 0); /* the last line takes back what came after */
    assert_int_equal(event.charge, CHARGE_REFUND);
    assert_int_equal(event.from, last_contact);
    assert_int_equal(market_spent(engine_market(w.e), 1), 2 * 3 * 40000);
    assert_int_equal(engine_node(w.e, 2)->state, NODE_LOST);
    assert_int_equal(look(&w, id)->reason, REASON_NODE_LOST);
    assert_int_equal(engine_node(w.e, 1)->replica_count, 0); /* it must not be there any more … */
    assert_true(told(&w, 1));
    assert_int_equal(look(&w, id)->state, WORKLOAD_PREEMPTING);
    engine_id next = submit(&w, (struct want){.nodes = 1, .cores = 3, .limit = 100000});
    assert_false(look(&w, next)->replica_count && look(&w, next)->replicas[0].ready); /* not beside what may still run */
    uint32_t survivor = look(&w, id)->replicas[0].node == 1 ? 0 : 1;
    assert_int_equal(ended(&w, id, survivor, 137), ENGINE_OK); /* … and is gone now */
    assert_true(look(&w, next)->replicas[0].ready);
    started_all(&w, next);
    ended(&w, next, 0, 0);
    assert_int_equal(look(&w, id)->state, WORKLOAD_WAITING);
    assert_int_equal(look(&w, id)->reason, REASON_NODE_LOST);

    w.now += 60000;
    assert_int_equal(apply_one(&w, facts("n2", "r1")).id, 2);
    assert_int_equal(engine_node(w.e, 2)->state, NODE_UP);
    assert_int_equal(look(&w, id)->state, WORKLOAD_ASSIGNED);
    assert_int_equal(look(&w, id)->attempt, 2);
    assert_int_equal(events(&w, ENGINE_EVENT_CHARGED, NULL), 0);
    struct engine_command old = report_of(&w, ENGINE_ENDED, id, 0);
    old.report.attempt = 1;
    assert_int_equal(apply_one(&w, old).code, ENGINE_STALE);
    assert_int_equal(look(&w, id)->state, WORKLOAD_ASSIGNED);
    world_fini(&w);
}

static void test_another_boot_ends_what_ran(void **state)
{
    (void)state;
    struct world w;
    fleet(&w);
    engine_id id = gang(&w, 0);
    w.now += 1000;
    struct engine_command again = facts("n2", "r1");
    again.node.boot = STR("boot-2");
    assert_int_equal(apply_one(&w, again).id, 2);
    const struct engine_workload *v = look(&w, id);
    assert_int_equal(v->state, WORKLOAD_PREEMPTING);
    assert_int_equal(v->reason, REASON_NODE_RESTARTED);
    uint32_t survivor = v->replicas[0].node == 1 ? 0 : 1;
    assert_int_equal(v->replicas[survivor].state, REPLICA_STOPPING);
    assert_int_equal(v->replicas[survivor].deadline, w.now + 1000);
    assert_int_equal(engine_node(w.e, 1)->replica_count, 1);
    assert_int_equal(engine_node(w.e, 2)->replica_count, 0);
    ended(&w, id, survivor, 143);
    assert_int_equal(v->reason, REASON_NONE);
    assert_int_equal(v->state, WORKLOAD_ASSIGNED);
    assert_int_equal(v->attempt, 2);
    world_fini(&w);
}

static void test_cancels(void **state)
{
    (void)state;
    struct world w;
    fleet(&w);
    engine_id running = gang(&w, 5), waiting = submit(&w, (struct want){.nodes = 2, .cores = 4, .limit = 50000});
    assert_int_equal(look(&w, waiting)->state, WORKLOAD_WAITING);
    assert_int_equal(cancel(&w, waiting).code, ENGINE_OK);
    assert_int_equal(look(&w, waiting)->state, WORKLOAD_CANCELLED);
    assert_int_equal(cancel(&w, waiting).code, ENGINE_CONFLICT);
    assert_int_equal(cancel(&w, 99).code, ENGINE_NOT_FOUND);

    w.now += 10;
    assert_int_equal(cancel(&w, running).code, ENGINE_OK);
    assert_int_equal(look(&w, running)->state, WORKLOAD_PREEMPTING);
    assert_int_equal(look(&w, running)->reason, REASON_CANCELLED);
    assert_int_equal(look(&w, running)->replicas[0].state, REPLICA_STOPPING);
    assert_int_equal(cancel(&w, running).code, ENGINE_OK);
    ended(&w, running, 0, 1);
    ended(&w, running, 1, 143);
    assert_int_equal(look(&w, running)->state, WORKLOAD_CANCELLED);

    engine_id assigned = submit(&w, (struct want){.nodes = 2, .cores = 4, .limit = 90000});
    assert_int_equal(look(&w, assigned)->state, WORKLOAD_ASSIGNED);
    cancel(&w, assigned);
    assert_int_equal(look(&w, assigned)->state, WORKLOAD_PREEMPTING);
    ended(&w, assigned, 0, 0);
    ended(&w, assigned, 1, 0);
    assert_int_equal(look(&w, assigned)->state, WORKLOAD_CANCELLED);
    world_fini(&w);
}

static void test_a_preempted_one_can_be_cancelled(void **state)
{
    (void)state;
    struct world w;
    fleet(&w);
    engine_id low = gang(&w, 0);
    submit(&w, (struct want){.nodes = 2, .cores = 4, .limit = 900000});
    assert_int_equal(cancel(&w, low).code, ENGINE_OK);
    assert_int_equal(look(&w, low)->state, WORKLOAD_PREEMPTING);
    ended(&w, low, 0, 143);
    ended(&w, low, 1, 143);
    assert_int_equal(look(&w, low)->state, WORKLOAD_CANCELLED);
    assert_int_equal(look(&w, low)->reason, REASON_CANCELLED);
    world_fini(&w);
}

static void test_the_longest_run_ends_with_notice(void **state)
{
    (void)state;
    struct world w;
    fleet(&w);
    engine_id id = submit(&w, (struct want){.nodes = 1, .cores = 1, .limit = 100000, .max_run = 60000});
    w.now += 5000;
    started_all(&w, id);
    assert_int_equal(engine_deadline(w.e), w.now + 60000);
    w.now += 60000;
    wake(&w);
    assert_int_equal(look(&w, id)->state, WORKLOAD_PREEMPTING);
    assert_int_equal(look(&w, id)->reason, REASON_MAX_RUN);
    assert_int_equal(look(&w, id)->deadline, w.now + 1000);
    w.now += 10;
    ended(&w, id, 0, 0);
    assert_int_equal(look(&w, id)->state, WORKLOAD_CANCELLED);
    assert_int_equal(look(&w, id)->reason, REASON_MAX_RUN);
    world_fini(&w);
}

static void test_timers_of_many(void **state)
{
    (void)state;
    struct world w;
    world_init(&w);
    char name[16];
    for (int i = 0; i < 12; i++) {
        snprintf(name, sizeof name, "n%d", i);
        node_add(&w, name, "r1");
    }
    engine_id ids[48];
    struct prng random = {5};
    for (int i = 0; i < 48; i++) {
        ids[i] = submit(&w, (struct want){.nodes = 1, .cores = 1, .limit = 100000, .max_run = 1000 + (time_ms)prng_below(&random, 100000)});
        started_all(&w, ids[i]);
    }
    for (int i = 0; i < 24; i++) { /* out of the middle; the heap is walked after each */
        size_t one = prng_below(&random, 48);
        if (look(&w, ids[one])->state == WORKLOAD_RUNNING)
            ended(&w, ids[one], 0, 0);
    }
    for (int i = 0; i < 48; i++) {
        const struct engine_workload *v = look(&w, ids[i]);
        time_ms due = v->started + v->max_run;
        if (v->state != WORKLOAD_RUNNING || due <= w.now)
            continue;
        w.now = due - 1;
        wake(&w);
        assert_int_equal(v->state, WORKLOAD_RUNNING);
        w.now = due;
        wake(&w);
        assert_int_equal(v->reason, REASON_MAX_RUN);
    }
    world_fini(&w);
}

/* What two commands of one batch say of the same thing counts in their order. */
static void test_an_end_and_a_loss_in_one_batch(void **state)
{
    (void)state;
    struct world w;
    fleet(&w);
    engine_id id = submit(&w, (struct want){.nodes = 1, .cores = 3, .limit = 100000});
    started_all(&w, id);
    engine_id node = look(&w, id)->replicas[0].node;
    struct engine_command batch[] = {report_of(&w, ENGINE_ENDED, id, 0),
                                     {.type = ENGINE_NODE_LOST_SET, .on_node = {.node = node, .last_contact = w.now}}};
    world_apply(&w, batch, 2);
    assert_int_equal(look(&w, id)->state, WORKLOAD_FINISHED);
    apply_one(&w, facts(node == 1 ? "n1" : "n2", "r1"));

    id = gang(&w, 0); /* the loss first: its mate fails because of it */
    uint32_t lost = look(&w, id)->replicas[0].node == node ? 0 : 1;
    batch[0] = batch[1];
    batch[1] = report_of(&w, ENGINE_ENDED, id, 1 - lost);
    batch[1].report.exit_code = 1;
    world_apply(&w, batch, 2);
    assert_int_equal(look(&w, id)->state, WORKLOAD_WAITING);
    assert_int_equal(look(&w, id)->reason, REASON_NODE_LOST);
    world_fini(&w);
}

static void test_a_drained_node_is_left(void **state)
{
    (void)state;
    struct world w;
    fleet(&w);
    engine_id id = submit(&w, (struct want){.nodes = 1, .cores = 4, .limit = 100000});
    started_all(&w, id);
    engine_id node = look(&w, id)->replicas[0].node;
    struct engine_command drain = {.type = ENGINE_NODE_DRAIN, .on_node = {.node = node, .evict = true}};
    apply_one(&w, drain);
    assert_int_equal(engine_node(w.e, node)->state, NODE_DRAINING);
    assert_int_equal(look(&w, id)->reason, REASON_DRAINED);
    ended(&w, id, 0, 143);
    assert_int_equal(look(&w, id)->state, WORKLOAD_ASSIGNED);
    assert_int_not_equal(look(&w, id)->replicas[0].node, node);
    drain.type = ENGINE_NODE_UNDRAIN;
    apply_one(&w, drain);
    assert_int_equal(engine_node(w.e, node)->state, NODE_UP);
    drain.on_node.node = 77;
    assert_int_equal(apply_one(&w, drain).code, ENGINE_NOT_FOUND);
    world_fini(&w);
}

static void test_reports_that_do_not_count(void **state)
{
    (void)state;
    struct world w;
    fleet(&w);
    engine_id id = gang(&w, 0);
    struct engine_command c = report_of(&w, ENGINE_ENDED, id, 0);
    c.report.node = 3 - c.report.node;
    assert_int_equal(apply_one(&w, c).code, ENGINE_FORBIDDEN);
    c = report_of(&w, ENGINE_ENDED, id, 0);
    c.report.attempt = 2;
    assert_int_equal(apply_one(&w, c).code, ENGINE_STALE);
    c.report.attempt = 1;
    c.report.rank = 2;
    assert_int_equal(apply_one(&w, c).code, ENGINE_STALE);
    c.report.workload = 50;
    assert_int_equal(apply_one(&w, c).code, ENGINE_STALE);
    assert_int_equal(w.result.event_count, 0);
    assert_int_equal(look(&w, id)->state, WORKLOAD_RUNNING);
    assert_int_equal(ended(&w, id, 0, 0), ENGINE_OK);
    assert_int_equal(ended(&w, id, 0, 1), ENGINE_STALE);
    assert_int_equal(look(&w, id)->state, WORKLOAD_RUNNING);
    world_fini(&w);
}

static void test_gangs_meet_at_ports_of_their_own(void **state)
{
    (void)state;
    struct world w;
    world_init(&w);
    engine_id node = node_add(&w, "n1", "r1");
    engine_id a = submit(&w, (struct want){.nodes = 1, .cores = 1, .limit = 100000});
    engine_id b = submit(&w, (struct want){.nodes = 1, .cores = 1, .limit = 100000});
    int64_t first = look(&w, a)->master_port, second = look(&w, b)->master_port;
    assert_int_not_equal(first, second);
    uint64_t version = engine_node(w.e, node)->version_desired;
    struct engine_command busy = report_of(&w, ENGINE_PORT_BUSY, a, 0);
    busy.report.port = first;
    assert_int_equal(apply_one(&w, busy).code, ENGINE_OK);
    int64_t third = look(&w, a)->master_port;
    assert_true(third != first && third != second);
    assert_true(engine_node(w.e, node)->version_desired > version);
    assert_int_equal(apply_one(&w, busy).code, ENGINE_OK); /* told twice */
    assert_int_equal(look(&w, a)->master_port, third);
    world_fini(&w);
}

static void test_a_budget_ends_what_it_cannot_pay(void **state)
{
    (void)state;
    struct world w;
    fleet(&w);
    engine_id id = gang(&w, 0);
    w.now += 60000;
    struct engine_command c = {.type = ENGINE_PROJECT_SET, .project = {.project = 1, .limited = true, .budget = 1}};
    assert_int_equal(apply_one(&w, c).code, ENGINE_OK);
    tick(&w);
    assert_int_equal(look(&w, id)->state, WORKLOAD_PREEMPTING);
    assert_int_equal(look(&w, id)->reason, REASON_BUDGET);
    ended(&w, id, 0, 143);
    ended(&w, id, 1, 143);
    assert_int_equal(look(&w, id)->state, WORKLOAD_WAITING);
    c.project.limited = false;
    apply_one(&w, c);
    w.now += 1000;
    tick(&w);
    assert_int_equal(look(&w, id)->state, WORKLOAD_ASSIGNED);
    world_fini(&w);
}

static void test_the_ended_leave_in_order(void **state)
{
    (void)state;
    struct world w;
    fleet(&w);
    engine_id ids[4];
    for (int i = 0; i < 4; i++)
        ids[i] = submit(&w, (struct want){.nodes = 1, .cores = 1, .limit = 100000, .name = "x"});
    for (int i = 2; i >= 0; i--) { /* the newest of three first; the fourth lives on */
        w.now += 60000;
        started_all(&w, ids[i]);
        ended(&w, ids[i], 0, 0);
    }
    uint64_t counts[WORKLOAD_STATE_COUNT];
    engine_workload_counts(w.e, counts);
    assert_int_equal(counts[WORKLOAD_FINISHED], 3);
    assert_int_equal(counts[WORKLOAD_ASSIGNED], 1);
    assert_int_equal(engine_workload_before(w.e, 0, 0, 1u << WORKLOAD_FINISHED)->id, ids[2]);
    assert_int_equal(engine_workload_before(w.e, ids[1], 1, ~0u)->id, ids[0]);
    assert_int_equal(engine_workload_before(w.e, 0, 0, WORKLOAD_STATES_LIVE)->id, ids[3]);
    assert_null(engine_workload_before(w.e, ids[3], 0, WORKLOAD_STATES_LIVE));
    assert_null(engine_workload_before(w.e, 0, 2, ~0u));
    struct engine_event event = {0};
    for (int i = 2; i >= 0; i--) {
        time_ms due = look(&w, ids[i])->ended + HOUR_MS;
        assert_int_equal(engine_deadline(w.e), (due + 999) / 1000 * 1000);
        w.now = engine_deadline(w.e);
        wake(&w);
        assert_int_equal(events(&w, ENGINE_EVENT_WORKLOAD_RETIRED, &event), 1);
        assert_int_equal(event.workload, ids[i]);
        assert_null(engine_workload(w.e, ids[i]));
    }
    assert_int_equal(engine_workload_before(w.e, 0, 0, ~0u)->id, ids[3]);
    world_fini(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_workload_runs_and_finishes),
        cmocka_unit_test(test_a_higher_bid_takes_the_place),
        cmocka_unit_test(test_a_good_end_before_the_notice_counts),
        cmocka_unit_test(test_a_failure_ends_its_gang),
        cmocka_unit_test(test_a_failure_is_tried_again_as_often_as_asked),
        cmocka_unit_test(test_who_does_not_report_is_not_waited_for),
        cmocka_unit_test(test_memory_and_preparation_have_names),
        cmocka_unit_test(test_a_lost_node_takes_its_gangs_along),
        cmocka_unit_test(test_another_boot_ends_what_ran),
        cmocka_unit_test(test_cancels),
        cmocka_unit_test(test_a_preempted_one_can_be_cancelled),
        cmocka_unit_test(test_the_longest_run_ends_with_notice),
        cmocka_unit_test(test_timers_of_many),
        cmocka_unit_test(test_an_end_and_a_loss_in_one_batch),
        cmocka_unit_test(test_a_drained_node_is_left),
        cmocka_unit_test(test_reports_that_do_not_count),
        cmocka_unit_test(test_gangs_meet_at_ports_of_their_own),
        cmocka_unit_test(test_a_budget_ends_what_it_cannot_pay),
        cmocka_unit_test(test_the_ended_leave_in_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
