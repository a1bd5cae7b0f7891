/* SPDX-License-Identifier: Apache-2.0 */
/* What owners do with their own: objects that workloads use, instances, pause and resume. */
#include "engine_world.h"

static struct engine_command object_put(enum engine_object_kind kind, const char *name, const char *body)
{
    struct engine_command c = {.type = ENGINE_OBJECT_PUT};
    c.object.kind = kind;
    c.object.project = 1;
    c.object.name = str_from(name);
    c.object.body = str_from(body);
    c.object.unique = true;
    return c;
}

static struct engine_command object_delete(engine_id id)
{
    struct engine_command c = {.type = ENGINE_OBJECT_DELETE};
    c.object.id = id;
    return c;
}

static struct engine_outcome pause_of(struct world *w, engine_id id, bool paused)
{
    struct engine_command c = {.type = ENGINE_PAUSE};
    c.workload.workload = id;
    c.workload.paused = paused;
    return apply_one(w, c);
}

static struct engine_outcome submit_with(struct world *w, bool instance, const engine_id *objects, size_t count)
{
    struct engine_choice choice;
    char name[16];
    snprintf(name, sizeof name, "i%d", (int)++w->requests);
    struct want want = {.nodes = 1, .cores = 2, .limit = 200000, .retries = instance, .name = name};
    struct engine_command c = submit_of(w, &want, &choice);
    c.submit.instance = instance;
    c.submit.objects = objects;
    c.submit.object_count = count;
    return apply_one(w, c);
}

static void test_objects_have_names_and_revisions(void **state)
{
    (void)state;
    struct world w;
    world_init(&w);
    engine_id id = apply_one(&w, object_put(OBJECT_VOLUME, "data", "1")).id;
    assert_int_equal(apply_one(&w, object_put(OBJECT_VOLUME, "data", "2")).code, ENGINE_CONFLICT);
    assert_int_equal(apply_one(&w, object_put(OBJECT_SSH_KEY, "data", "2")).code, ENGINE_OK);
    struct engine_command c = object_put(OBJECT_VOLUME, "other", "3");
    c.object.id = id;
    c.object.revision = 1;
    assert_int_equal(apply_one(&w, c).code, ENGINE_OK);
    assert_int_equal(w.result.events[0].type, ENGINE_EVENT_OBJECT_CHANGED);
    assert_int_equal(apply_one(&w, c).code, ENGINE_CONFLICT); /* it is at revision 2 now */
    assert_true(str_is(engine_object(w.e, id)->body, "3"));
    assert_int_equal(apply_one(&w, object_put(OBJECT_VOLUME, "data", "4")).code, ENGINE_OK);
    c.object.project = 9;
    c.object.id = 0;
    assert_int_equal(apply_one(&w, c).code, ENGINE_NOT_FOUND);
    assert_int_equal(engine_object_count(w.e), 3);
    world_fini(&w);
}

static void test_objects_in_use_stay(void **state)
{
    (void)state;
    struct world w;
    world_init(&w);
    node_add(&w, "n0", "r0");
    struct engine_command volume = object_put(OBJECT_VOLUME, "disk", "");
    volume.object.exclusive = true;
    engine_id disk = apply_one(&w, volume).id, key = apply_one(&w, object_put(OBJECT_SSH_KEY, "me", "")).id;
    engine_id both[] = {disk, key, key}, none = 99;
    engine_id work = submit_with(&w, true, both, 3).id;
    assert_int_equal(engine_object(w.e, key)->used, 1);
    assert_int_equal(look(&w, work)->object_count, 2);
    assert_int_equal(submit_with(&w, true, &disk, 1).code, ENGINE_CONFLICT);
    assert_int_equal(submit_with(&w, true, &none, 1).code, ENGINE_NOT_FOUND);
    assert_int_equal(submit_with(&w, true, &key, 1).code, ENGINE_OK);
    assert_int_equal(apply_one(&w, object_delete(disk)).code, ENGINE_CONFLICT);
    struct engine_command cancel = {.type = ENGINE_CANCEL, .workload.workload = work};
    assert_int_equal(apply_one(&w, cancel).code, ENGINE_OK);
    w.now += HOUR_MS;
    assert_int_equal(apply_one(&w, (struct engine_command){.type = ENGINE_WAKE}).code, ENGINE_OK);
    struct engine_command kept = object_delete(disk);
    kept.object.keep = true;
    assert_int_equal(apply_one(&w, kept).code, ENGINE_OK);
    assert_true(engine_object(w.e, disk)->deleted > 0);
    assert_int_equal(apply_one(&w, kept).code, ENGINE_NOT_FOUND);
    assert_int_equal(apply_one(&w, object_put(OBJECT_VOLUME, "disk", "")).code, ENGINE_OK);
    world_fini(&w);
}

static void test_pause_and_resume(void **state)
{
    (void)state;
    struct world w;
    world_init(&w);
    node_add(&w, "n0", "r0");
    engine_id work = submit_with(&w, true, NULL, 0).id;
    started_all(&w, work);
    assert_int_equal(look(&w, work)->state, WORKLOAD_RUNNING);
    assert_int_equal(pause_of(&w, work, true).code, ENGINE_OK);
    assert_int_equal(look(&w, work)->state, WORKLOAD_PREEMPTING);
    assert_int_equal(look(&w, work)->reason, REASON_PAUSED);
    ended(&w, work, 0, 0);
    assert_int_equal(look(&w, work)->state, WORKLOAD_PAUSED);
    for (int i = 0; i < 5; i++) {
        w.now += 15000;
        apply_one(&w, (struct engine_command){.type = ENGINE_TICK});
    }
    assert_int_equal(look(&w, work)->state, WORKLOAD_PAUSED); /* the node is free, and it stays */
    struct market_why why;
    assert_true(engine_why(w.e, work, &why));
    assert_int_equal(why.obstacle, OBSTACLE_OWNER);
    assert_int_equal(pause_of(&w, work, false).code, ENGINE_OK);
    assert_int_equal(look(&w, work)->state, WORKLOAD_ASSIGNED);
    assert_int_equal(look(&w, work)->attempt, 2);
    world_fini(&w);
}

static void test_pause_before_a_start(void **state)
{
    (void)state;
    struct world w;
    world_init(&w);
    engine_id first = node_add(&w, "n0", "r0");
    engine_id work = submit_with(&w, true, NULL, 0).id, other = submit_with(&w, true, NULL, 0).id;
    engine_id third = submit_with(&w, true, NULL, 0).id;
    assert_int_equal(look(&w, work)->state, WORKLOAD_ASSIGNED);
    assert_int_equal(look(&w, third)->state, WORKLOAD_WAITING);
    pause_of(&w, third, true);
    assert_int_equal(look(&w, third)->state, WORKLOAD_PAUSED);
    pause_of(&w, work, true); /* told, not started */
    w.now += HOUR_MS;
    apply_one(&w, (struct engine_command){.type = ENGINE_WAKE});
    assert_int_equal(look(&w, work)->state, WORKLOAD_PAUSED);
    assert_int_equal(look(&w, other)->state, WORKLOAD_ASSIGNED);
    struct engine_command lost = {.type = ENGINE_NODE_LOST_SET, .on_node = {.node = first, .last_contact = w.now}};
    pause_of(&w, other, true);
    assert_int_equal(apply_one(&w, lost).code, ENGINE_OK);
    assert_int_equal(look(&w, other)->state, WORKLOAD_PAUSED);
    struct engine_command cancel = {.type = ENGINE_CANCEL, .workload.workload = other};
    assert_int_equal(apply_one(&w, cancel).code, ENGINE_OK);
    assert_int_equal(look(&w, other)->state, WORKLOAD_CANCELLED);
    assert_int_equal(pause_of(&w, other, false).code, ENGINE_CONFLICT);
    world_fini(&w);
}

static void test_request_of_a_paused_one(void **state)
{
    (void)state;
    struct world w;
    world_init(&w);
    node_add(&w, "n0", "r0");
    struct engine_command volume = object_put(OBJECT_VOLUME, "disk", "");
    volume.object.exclusive = true;
    engine_id disk = apply_one(&w, volume).id, work = submit_with(&w, true, NULL, 0).id;
    struct engine_command c = {.type = ENGINE_REQUEST_SET};
    c.workload.workload = work;
    c.workload.request = STR("another");
    c.workload.objects = &disk;
    c.workload.object_count = 1;
    assert_int_equal(apply_one(&w, c).code, ENGINE_CONFLICT); /* it is not paused */
    pause_of(&w, work, true);
    w.now += HOUR_MS;
    apply_one(&w, (struct engine_command){.type = ENGINE_WAKE});
    assert_int_equal(apply_one(&w, c).code, ENGINE_OK);
    assert_int_equal(apply_one(&w, c).code, ENGINE_OK); /* what it has already it may have again */
    assert_true(str_is(look(&w, work)->request, "another"));
    assert_true(str_is(look(&w, work)->name, "i1"));
    assert_int_equal(engine_object(w.e, disk)->used, 1);
    world_fini(&w);
}

static void test_names_of_live_instances_are_their_own(void **state)
{
    (void)state;
    struct world w;
    world_init(&w);
    node_add(&w, "n0", "r0");
    struct engine_choice choice;
    struct want want = {.nodes = 1, .cores = 1, .limit = 200000, .name = "mine"};
    struct engine_command c = submit_of(&w, &want, &choice);
    c.submit.instance = true;
    engine_id first = apply_one(&w, c).id;
    assert_int_equal(engine_instance_named(w.e, 1, STR("mine")), first);
    assert_int_equal(apply_one(&w, c).code, ENGINE_CONFLICT);
    c.submit.instance = false; /* tasks may be called what they like */
    assert_int_equal(apply_one(&w, c).code, ENGINE_OK);
    struct engine_command cancel = {.type = ENGINE_CANCEL, .workload.workload = first};
    apply_one(&w, cancel);
    w.now += HOUR_MS;
    apply_one(&w, (struct engine_command){.type = ENGINE_WAKE});
    assert_int_equal(engine_instance_named(w.e, 1, STR("mine")), 0);
    c.submit.instance = true;
    assert_int_equal(apply_one(&w, c).code, ENGINE_OK);
    world_fini(&w);
}

static void test_an_instance_that_ends_is_started_again(void **state)
{
    (void)state;
    struct world w;
    world_init(&w);
    node_add(&w, "n0", "r0");
    engine_id work = submit_with(&w, true, NULL, 0).id;
    struct engine_command phase = report_of(&w, ENGINE_PHASE, work, 0);
    phase.report.phase = 1;
    phase.report.address = STR("10.0.0.2");
    assert_int_equal(apply_one(&w, phase).code, ENGINE_OK);
    assert_int_equal(w.result.events[0].type, ENGINE_EVENT_REPLICA_PHASE);
    assert_true(str_is(look(&w, work)->replicas[0].address, "10.0.0.2"));
    apply_one(&w, phase);
    assert_int_equal(w.result.event_count, 0); /* told twice */
    started_all(&w, work);
    ended(&w, work, 0, 0); /* powered off from inside */
    assert_int_equal(look(&w, work)->state, WORKLOAD_WAITING); /* not at once: who fails fast would fail all the time */
    assert_int_equal(engine_deadline(w.e), w.now + 1000);
    w.now += 1000;
    apply_one(&w, (struct engine_command){.type = ENGINE_WAKE});
    assert_int_equal(look(&w, work)->attempt, 2);
    assert_int_equal(look(&w, work)->state, WORKLOAD_ASSIGNED);
    assert_int_equal(look(&w, work)->replicas[0].phase, 0);
    started_all(&w, work);
    ended(&w, work, 0, 0);
    assert_int_equal(look(&w, work)->state, WORKLOAD_FAILED); /* no retry is left */
    world_fini(&w);
}

static struct engine_command reserve(struct world *w, const char *name, uint32_t nodes, time_ms from, time_ms to)
{
    struct engine_command c = {.type = ENGINE_RESERVE};
    c.reserve = (struct engine_reserve){.project = 1, .name = str_from(name), .nodes = nodes, .from = from, .to = to,
        .choice = {.sku = STR("cpu-4"), .amounts = {0, 4000, 1024, 0}, .speed_milli = 1000}, .request_key = ++w->requests};
    return c;
}

static enum market_reservation_state reservation_state(const struct world *w, engine_id id)
{
    struct market_reservation_view view;
    assert_true(market_reservation_view(engine_market(w->e), id, &view));
    return view.state;
}

/* Bought, open, used by its holder's machine for nothing more, over: then the machine is taken back. */
static void test_a_reservation_from_end_to_end(void **state)
{
    (void)state;
    struct world w;
    world_init(&w);
    node_add(&w, "n0", "r0");
    struct market_reservation_quote quote;
    struct engine_command c = reserve(&w, "slot", 1, w.now + HOUR_MS, w.now + 3 * HOUR_MS);
    assert_int_equal(engine_reserve_quote(w.e, &c.reserve, &quote).code, ENGINE_OK);
    assert_true(quote.fits && quote.rate == 160000 && quote.amount == 320000);
    engine_id id = apply_one(&w, c).id;
    assert_int_equal(reservation_state(&w, id), RESERVATION_BOUGHT);
    assert_int_equal(apply_one(&w, c).code, ENGINE_CONFLICT); /* its name */
    struct engine_choice choice;
    struct want want = {.nodes = 1, .cores = 4, .limit = 0, .name = "inside"};
    struct engine_command inside = submit_of(&w, &want, &choice);
    inside.submit.instance = inside.submit.limit_present = true;
    inside.submit.reservation = STR("nothing");
    assert_int_equal(apply_one(&w, inside).code, ENGINE_NOT_FOUND);
    inside.submit.reservation = STR("slot");
    engine_id work = apply_one(&w, inside).id;
    assert_int_equal(look(&w, work)->state, WORKLOAD_WAITING);
    w.now += HOUR_MS;
    apply_one(&w, (struct engine_command){.type = ENGINE_TICK});
    assert_int_equal(look(&w, work)->state, WORKLOAD_ASSIGNED);
    assert_int_equal(look(&w, work)->reservation, id);
    started_all(&w, work);
    struct engine_command longer = {.type = ENGINE_RESERVATION_CHANGE};
    longer.reservation.reservation = id;
    longer.reservation.action = RESERVATION_EXTEND;
    longer.reservation.to = w.now + 4 * HOUR_MS;
    udollar rate;
    assert_true(market_extension(engine_market(w.e), id, w.now + 4 * HOUR_MS, &rate));
    assert_true(rate >= 160000);
    longer.reservation.limit = rate / 4 - 1;
    assert_int_equal(apply_one(&w, longer).code, ENGINE_INVALID);
    longer.reservation.limit = rate / 4 + 1;
    assert_int_equal(apply_one(&w, longer).code, ENGINE_OK);
    assert_int_equal(engine_reservation(w.e, id)->to, w.now + 4 * HOUR_MS);
    assert_int_equal(apply_one(&w, reserve(&w, "next", 1, w.now + 5 * HOUR_MS, w.now + 6 * HOUR_MS)).code, ENGINE_OK);
    longer.reservation.to = w.now + 6 * HOUR_MS;
    udollar none;
    assert_false(market_extension(engine_market(w.e), id, w.now + 6 * HOUR_MS, &none)); /* the node is sold from five hours on */
    assert_int_equal(apply_one(&w, longer).code, ENGINE_INVALID);
    w.now += 2 * HOUR_MS;
    apply_one(&w, (struct engine_command){.type = ENGINE_TICK});
    assert_int_equal(look(&w, work)->state, WORKLOAD_RUNNING);
    w.now += 2 * HOUR_MS;
    apply_one(&w, (struct engine_command){.type = ENGINE_TICK});
    assert_int_equal(reservation_state(&w, id), RESERVATION_OVER);
    assert_true(engine_reservation(w.e, id)->ended != 0);
    assert_int_equal(look(&w, work)->state, WORKLOAD_PREEMPTING);
    assert_true(look(&w, work)->cancelled);
    struct market_reservation_view view;
    assert_true(market_reservation_view(engine_market(w.e), id, &view));
    assert_in_range(view.charged, 320000 + 2 * rate - 1, 320000 + 2 * rate + 2); /* the added hours at their own rate */
    assert_int_equal(apply_one(&w, reserve(&w, "slot", 1, w.now, w.now + HOUR_MS)).code, ENGINE_OK); /* the name is free */
    world_fini(&w);
}

static void test_reservations_that_are_refused(void **state)
{
    (void)state;
    struct world w;
    world_init(&w);
    node_add(&w, "n0", "r0");
    struct engine_command batch[] = {reserve(&w, "much", 9, w.now, w.now + HOUR_MS), reserve(&w, "good", 1, w.now, w.now + HOUR_MS),
                                     reserve(&w, "past", 1, w.now - HOUR_MS, w.now)};
    world_apply(&w, batch, 3);
    assert_int_equal(w.result.outcomes[0].code, ENGINE_INVALID);
    assert_int_equal(w.result.outcomes[0].refusal, REFUSED_IMPOSSIBLE);
    assert_int_equal(w.result.outcomes[1].code, ENGINE_OK);
    assert_int_equal(w.result.outcomes[2].code, ENGINE_INVALID);
    struct engine_command c = {.type = ENGINE_RESERVATION_CHANGE};
    c.reservation.reservation = w.result.outcomes[1].id;
    c.reservation.action = RESERVATION_CANCEL;
    assert_int_equal(apply_one(&w, c).code, ENGINE_OK);
    assert_int_equal(apply_one(&w, c).code, ENGINE_CONFLICT);
    c.reservation.reservation = 99;
    assert_int_equal(apply_one(&w, c).code, ENGINE_NOT_FOUND);
    world_fini(&w);
}

static struct engine_command subscribe(engine_id project, uint32_t tier, int64_t units, udollar rate)
{
    struct engine_command c = {.type = ENGINE_SUBSCRIBE};
    c.subscription.project = project;
    c.subscription.choice.zone = STR("a");
    c.subscription.tier = tier;
    c.subscription.units_milli = units * 1000;
    c.subscription.rate = rate;
    return c;
}

static struct engine_outcome tight_submit(struct world *w, engine_id project, struct engine_choice *choice, uint32_t tier)
{
    struct want want = {.nodes = 1, .cores = 4, .limit = 90000};
    struct engine_command c = submit_of(w, &want, choice);
    c.submit.project = project;
    c.submit.tier = tier;
    return apply_one(w, c);
}

/* Headroom is held through a snapshot, and who is subscribed starts from it at once, on a fleet that is full to others. */
static void test_a_subscription_holds_room_for_tight_starts(void **state)
{
    (void)state;
    struct world w, copy = {0};
    struct engine_choice choice;
    struct engine_event event = {0};
    world_init(&w);
    node_add(&w, "n0", "r0");
    node_add(&w, "n1", "r0");
    struct engine_command create = {.type = ENGINE_PROJECT_CREATE, .project.name = STR("others")};
    engine_id others = apply_one(&w, create).id;
    assert_int_equal(apply_one(&w, subscribe(1, 1, 4, 100000)).code, ENGINE_OK);
    assert_int_equal(events(&w, ENGINE_EVENT_SUBSCRIPTION, &event), 1);
    assert_true(event.project == 1 && event.value == 1 && event.units_milli == 4000 && event.rate == 100000 && event.state == 0);
    w.now += 15000;
    tick(&w);
    assert_int_equal(events(&w, ENGINE_EVENT_HEADROOM_POSTED, &event), 1);
    assert_true(event.pool == 1 && event.value == 1 && event.units_milli == 4000 && event.free_milli == 4000);
    engine_id runs = tight_submit(&w, others, &choice, 0).id, waits = tight_submit(&w, others, &choice, 0).id;
    assert_int_equal(look(&w, runs)->state, WORKLOAD_ASSIGNED);
    assert_int_equal(look(&w, waits)->state, WORKLOAD_WAITING);
    _cleanup_buf_ struct buf bytes = BUF_INIT(BUF_LIMIT_DEFAULT), one = BUF_INIT(BUF_LIMIT_DEFAULT), two = BUF_INIT(BUF_LIMIT_DEFAULT);
    engine_snapshot(w.e, &bytes);
    struct unpack in = unpack_from(buf_str(&bytes));
    copy.e = engine_restore(&in);
    assert_non_null(copy.e);
    copy.now = w.now;
    copy.requests = w.requests;
    struct world *worlds[] = {&w, &copy};
    for (size_t i = 0; i < ARRAY_COUNT(worlds); i++) {
        struct market_bid_view view;
        engine_id tight = tight_submit(worlds[i], 1, &choice, 1).id;
        assert_int_equal(look(worlds[i], tight)->state, WORKLOAD_ASSIGNED);
        assert_true(market_bid_view(engine_market(worlds[i]->e), tight, w.now, &view));
        assert_true(view.tier == 1 && view.tight);
    }
    engine_snapshot(w.e, &one);
    engine_snapshot(copy.e, &two);
    assert_true(str_equal(buf_str(&one), buf_str(&two)));
    assert_int_equal(apply_one(&w, subscribe(1, 1, 0, 0)).code, ENGINE_OK);
    assert_int_equal(events(&w, ENGINE_EVENT_SUBSCRIPTION, &event), 1);
    assert_true(event.units_milli == 0 && market_subscription_count(engine_market(w.e)) == 0);
    world_fini(&w);
    world_fini(&copy);
}

/* What a subscription says that it paid is what its project was charged for it, also where that runs out of money between two ticks. */
static void test_what_a_subscription_pays(void **state)
{
    (void)state;
    struct world w;
    struct engine_event event = {0};
    udollar charged = 0;
    bool unpaid = false;
    world_init(&w);
    node_add(&w, "n0", "r0");
    struct engine_command budget = {.type = ENGINE_PROJECT_SET, .project = {.project = 1, .limited = true, .budget = 10000}};
    apply_one(&w, budget);
    assert_int_equal(apply_one(&w, subscribe(1, 1, 4, 90000)).code, ENGINE_OK);
    for (int i = 0; i < 20; i++) {
        w.now += i % 3 ? 15000 : 40000; /* ticks come late, too */
        tick(&w);
        for (size_t k = 0; k < w.result.event_count; k++)
            if (w.result.events[k].type == ENGINE_EVENT_CHARGED && w.result.events[k].charge == CHARGE_SUBSCRIPTION)
                charged += w.result.events[k].amount;
        unpaid |= events(&w, ENGINE_EVENT_SUBSCRIPTION, &event) && event.state;
        assert_int_equal(market_subscription(engine_market(w.e), 0).charged, charged);
    }
    assert_true(unpaid && charged > 0 && charged <= 10000 && charged == market_spent(engine_market(w.e), 1));
    world_fini(&w);
}

static void outcome_is(struct engine_outcome outcome, enum engine_code code, const char *field)
{
    assert_int_equal(outcome.code, code);
    assert_string_equal(outcome.field, field);
}

static void test_subscriptions_that_are_refused(void **state)
{
    (void)state;
    struct world w;
    struct engine_choice choice;
    world_init(&w);
    node_add(&w, "n0", "r0");
    struct engine_command elsewhere = facts("n1", "r0");
    elsewhere.node.region = STR("there");
    apply_one(&w, elsewhere);
    struct engine_command c = subscribe(1, 2, 4, 0);
    outcome_is(apply_one(&w, c), ENGINE_CONFLICT, "zone"); /* both regions have one of that name */
    c.subscription.choice.region = STR("here");
    c.subscription.choice.sku = STR("no-such");
    outcome_is(apply_one(&w, c), ENGINE_INVALID, "sku");
    c.subscription.choice.sku = STR("cpu-4");
    c.subscription.units_milli = 5000; /* one more than there are */
    outcome_is(apply_one(&w, c), ENGINE_INVALID, "units_milli");
    assert_true(w.result.outcomes[0].refusal == REFUSED_IMPOSSIBLE && w.result.outcomes[0].numbers[1] == 4000);
    c.subscription.units_milli = 4000;
    c.subscription.tier = MARKET_TIERS + 1;
    outcome_is(apply_one(&w, c), ENGINE_INVALID, "tier");
    c.subscription.tier = 2;
    c.subscription.project = 9;
    outcome_is(apply_one(&w, c), ENGINE_NOT_FOUND, "project");
    c.subscription.project = 1;
    outcome_is(tight_submit(&w, 1, &choice, 2), ENGINE_INVALID, "tier"); /* nobody is subscribed */
    struct want want = {.nodes = 1, .cores = 4, .limit = 90000};
    struct engine_command both[] = {c, submit_of(&w, &want, &choice)};
    both[1].submit.tier = 2;
    world_apply(&w, both, 2); /* in one batch: it counts from there on */
    assert_int_equal(w.result.outcomes[0].code, ENGINE_OK);
    assert_int_equal(w.result.outcomes[1].code, ENGINE_OK);
    outcome_is(tight_submit(&w, 1, &choice, 3), ENGINE_INVALID, "tier"); /* a slower tier than is subscribed to: not that one */
    both[1] = submit_of(&w, &(struct want){.nodes = 2, .cores = 3, .limit = 90000}, &choice);
    both[1].submit.tier = 2;
    outcome_is(apply_one(&w, both[1]), ENGINE_INVALID, "tier"); /* 6 units: it could never start so */
    c.subscription.units_milli = 0;
    assert_int_equal(apply_one(&w, c).code, ENGINE_OK);
    outcome_is(apply_one(&w, c), ENGINE_NOT_FOUND, "subscription");
    world_fini(&w);
}

/* ---- quotas ---- */

static struct engine_command quota(enum engine_quota_kind kind, const char *type, int64_t total)
{
    struct engine_command c = {.type = ENGINE_QUOTA_SET};
    c.quota.project = 1;
    c.quota.kind = kind;
    c.quota.type = str_from(type);
    c.quota.limited = total >= 0;
    c.quota.total = total;
    return c;
}

static struct engine_command quota_submit(struct world *w, const char *name, uint32_t nodes, struct engine_choice *choice)
{
    struct engine_command c = submit_of(w, &(struct want){.nodes = nodes, .cores = 2, .limit = 90000, .name = name}, choice);
    c.submit.instance = true;
    return c;
}

static void refused_by_quota(struct engine_outcome outcome, const char *field, int64_t used, int64_t total)
{
    assert_int_equal(outcome.code, ENGINE_QUOTA);
    assert_string_equal(outcome.field, field);
    assert_int_equal(outcome.numbers[0], used);
    assert_int_equal(outcome.numbers[1], total);
}

/* Two in one batch, which both saw room, do not pass together; one that the market refuses is in nobody's way. */
static void test_quotas_hold_in_a_batch(void **state)
{
    (void)state;
    struct world w;
    struct engine_choice choices[3];
    world_init(&w);
    node_add(&w, "n0", "r0");
    node_add(&w, "n1", "r0");
    assert_int_equal(apply_one(&w, quota(ENGINE_QUOTA_INSTANCES, "cpu-4", 2)).code, ENGINE_OK);
    struct engine_command two[] = {quota_submit(&w, "a", 2, &choices[0]), quota_submit(&w, "b", 1, &choices[1])};
    world_apply(&w, two, 2);
    assert_int_equal(w.result.outcomes[0].code, ENGINE_OK);
    refused_by_quota(w.result.outcomes[1], "instances of cpu-4", 3000, 2);
    assert_int_equal(engine_quota_used(w.e, 1, ENGINE_QUOTA_INSTANCES, STR("cpu-4")), 2000);
    assert_int_equal(engine_quota_used(w.e, 1, ENGINE_QUOTA_INSTANCES, STR("other")), 0);
    struct engine_command end = {.type = ENGINE_CANCEL, .workload.workload = w.result.outcomes[0].id};
    world_apply(&w, &end, 1);
    w.now += 60000;
    apply_one(&w, (struct engine_command){.type = ENGINE_TICK});
    assert_int_equal(engine_quota_used(w.e, 1, ENGINE_QUOTA_INSTANCES, (struct str){0}), 0);
    struct engine_command more[] = {quota_submit(&w, "c", 2, &choices[0]), quota_submit(&w, "d", 2, &choices[1])};
    more[0].submit.deadline = 1; /* long past: the market refuses it */
    world_apply(&w, more, 2);
    assert_int_equal(w.result.outcomes[0].code, ENGINE_INVALID);
    assert_int_equal(w.result.outcomes[1].code, ENGINE_OK);
    world_fini(&w);
}

/* Tasks and instances alike, of every kind; a lowered quota ends nothing, a lifted one refuses nothing. */
static void test_quotas_of_every_kind(void **state)
{
    (void)state;
    struct world w;
    struct engine_choice choice;
    world_init(&w);
    node_add(&w, "n0", "r0");
    node_add(&w, "n1", "r0");
    apply_one(&w, quota(ENGINE_QUOTA_CORES, "", 5));
    engine_id task = submit(&w, (struct want){.nodes = 2, .cores = 2, .limit = 90000});
    refused_by_quota(apply_one(&w, submit_of(&w, &(struct want){.nodes = 1, .cores = 2, .limit = 90000}, &choice)), "cores", 6000, 5);
    apply_one(&w, quota(ENGINE_QUOTA_CORES, "", 1));
    assert_false(workload_state_ended(look(&w, task)->state));
    assert_int_equal(engine_quota_used(w.e, 1, ENGINE_QUOTA_CORES, (struct str){0}), 4000);
    apply_one(&w, quota(ENGINE_QUOTA_CORES, "", -1));
    assert_int_equal(engine_project(w.e, 1)->quota_count, 0);
    apply_one(&w, quota(ENGINE_QUOTA_BIDS, "", 1));
    refused_by_quota(apply_one(&w, submit_of(&w, &(struct want){.nodes = 1, .cores = 2, .limit = 90000}, &choice)), "bids", 2000, 1);
    apply_one(&w, quota(ENGINE_QUOTA_RESERVED, "cpu-4", 0));
    refused_by_quota(apply_one(&w, reserve(&w, "slot", 1, w.now + HOUR_MS, w.now + 2 * HOUR_MS)), "reserved machines of cpu-4", 1000, 0);
    apply_one(&w, quota(ENGINE_QUOTA_RESERVED, "cpu-4", 1));
    assert_int_equal(apply_one(&w, reserve(&w, "slot", 1, w.now + HOUR_MS, w.now + 2 * HOUR_MS)).code, ENGINE_OK);
    apply_one(&w, quota(ENGINE_QUOTA_STORAGE, "", 10));
    struct engine_command disk = object_put(OBJECT_VOLUME, "data", "body");
    disk.object.size = 6;
    assert_int_equal(apply_one(&w, disk).code, ENGINE_OK);
    disk.object.name = STR("more");
    refused_by_quota(apply_one(&w, disk), "GB of storage", 12000, 10);
    disk.object.size = 4;
    apply_one(&w, quota(ENGINE_QUOTA_VOLUMES, "", 1));
    refused_by_quota(apply_one(&w, disk), "volumes", 2000, 1);
    apply_one(&w, object_delete(1));
    assert_int_equal(apply_one(&w, disk).code, ENGINE_OK);
    assert_int_equal(apply_one(&w, quota(ENGINE_QUOTA_STORAGE, "cpu-4", 1)).code, ENGINE_INVALID);
    assert_int_equal(apply_one(&w, quota(ENGINE_QUOTA_BIDS, "", ENGINE_QUOTA_MOST + 1)).code, ENGINE_INVALID);
    world_fini(&w);
}

static void again_from_bytes(struct world *w)
{
    _cleanup_buf_ struct buf bytes = BUF_INIT(BUF_LIMIT_DEFAULT), after = BUF_INIT(BUF_LIMIT_DEFAULT);
    engine_snapshot(w->e, &bytes);
    struct unpack in = unpack_from(buf_str(&bytes));
    struct engine *copy = engine_restore(&in);
    assert_non_null(copy);
    engine_snapshot(copy, &after);
    assert_true(str_equal(buf_str(&bytes), buf_str(&after)));
    engine_free(w->e);
    w->e = copy;
}

static void test_quotas_and_burnt_names_outlive_a_restart(void **state)
{
    (void)state;
    struct world w;
    struct engine_choice choice;
    world_init(&w);
    node_add(&w, "n0", "r0");
    apply_one(&w, quota(ENGINE_QUOTA_INSTANCES, "cpu-4", 1));
    apply_one(&w, quota(ENGINE_QUOTA_STORAGE, "", 10));
    struct engine_command disk = object_put(OBJECT_VOLUME, "data", "body");
    disk.object.size = 6;
    apply_one(&w, disk);
    engine_id first = apply_one(&w, quota_submit(&w, "dev", 1, &choice)).id;
    apply_one(&w, setting(SETTING_NAMES_BURN, 1)); /* what stands in the state has burnt, too */
    again_from_bytes(&w);
    refused_by_quota(apply_one(&w, quota_submit(&w, "dev2", 1, &choice)), "instances of cpu-4", 2000, 1);
    disk.object.name = STR("more");
    refused_by_quota(apply_one(&w, disk), "GB of storage", 12000, 10);
    apply_one(&w, (struct engine_command){.type = ENGINE_CANCEL, .workload.workload = first});
    w.now += 60000;
    apply_one(&w, (struct engine_command){.type = ENGINE_TICK});
    w.now += 2 * HOUR_MS;
    apply_one(&w, (struct engine_command){.type = ENGINE_TICK});
    assert_null(engine_workload(w.e, first)); /* retired */
    again_from_bytes(&w);
    assert_int_equal(engine_setting(w.e, SETTING_NAMES_BURN), 1);
    assert_int_equal(apply_one(&w, quota_submit(&w, "dev", 1, &choice)).code, ENGINE_CONFLICT);
    apply_one(&w, setting(SETTING_NAMES_BURN, 0));
    assert_int_equal(apply_one(&w, quota_submit(&w, "dev", 1, &choice)).code, ENGINE_OK);
    world_fini(&w);
}

static struct engine *engine_kept(const char *variable)
{
    unsigned char bytes[4096];
    unsigned byte;
    size_t size = 0;
    FILE *file = fopen(getenv(variable), "r");
    assert_non_null(file);
    for (; size < sizeof bytes && fscanf(file, "%2x", &byte) == 1; size++)
        bytes[size] = (unsigned char)byte;
    fclose(file);
    struct unpack in = unpack_from((struct str){(const char *)bytes, size});
    struct engine *e = engine_restore(&in);
    assert_non_null(e);
    assert_int_equal(in.at, in.size);
    return e;
}

/* A node, a key, a volume, an instance that uses it and is being paused, a workload beside it: as format 2 wrote them. */
static void test_an_older_snapshot_is_read(void **state)
{
    (void)state;
    struct engine *e = engine_kept("TEST_SNAPSHOT");
    engine_check(e);
    assert_int_equal(engine_workload(e, 1)->state, WORKLOAD_PREEMPTING);
    assert_true(engine_workload(e, 1)->paused);
    assert_true(str_is(engine_object(e, 1)->name, "data"));
    assert_int_equal(engine_key_count(e), 1);
    assert_int_equal(engine_quota_used(e, 1, ENGINE_QUOTA_BIDS, (struct str){0}), 2000);
    assert_int_equal(engine_quota_used(e, 1, ENGINE_QUOTA_INSTANCES, (struct str){0}), 1000);
    assert_true(engine_quota_used(e, 1, ENGINE_QUOTA_CORES, STR("cpu-4")) > 0);
    engine_free(e);
}

/* Format 2 was written with reservations, too, before its number changed: a node of a quarter core, one workload going there and
 * one that waits. */
static void test_an_older_snapshot_with_reservations_is_read(void **state)
{
    (void)state;
    struct engine *e = engine_kept("TEST_SNAPSHOT_2_RESERVING");
    engine_check(e);
    assert_int_equal(engine_workload(e, 1)->state, WORKLOAD_ASSIGNED);
    assert_int_equal(engine_workload(e, 2)->state, WORKLOAD_WAITING);
    assert_int_equal(engine_quota_used(e, 1, ENGINE_QUOTA_BIDS, (struct str){0}), 2000);
    engine_free(e);
}

/* A volume of 60 GB, an instance of two cores on cpu-4, a task of three there or four on cpu-8, a reservation: as
 * format 3 wrote them, which knew nothing of quotas. They count as if they were asked for today. */
static void test_quotas_count_what_an_older_snapshot_has(void **state)
{
    (void)state;
    struct engine_choice choice;
    struct engine *e = engine_kept("TEST_SNAPSHOT_3");
    struct world w = {.e = e, .now = engine_now(e)};
    engine_check(e);
    assert_int_equal(engine_setting(e, SETTING_NAMES_BURN), 0);
    assert_int_equal(engine_quota_used(e, 1, ENGINE_QUOTA_STORAGE, (struct str){0}), 60000);
    assert_int_equal(engine_quota_used(e, 1, ENGINE_QUOTA_BIDS, (struct str){0}), 2000);
    assert_int_equal(engine_quota_used(e, 1, ENGINE_QUOTA_INSTANCES, STR("cpu-4")), 1000);
    assert_int_equal(engine_quota_used(e, 1, ENGINE_QUOTA_INSTANCES, STR("cpu-8")), 0);
    assert_int_equal(engine_quota_used(e, 1, ENGINE_QUOTA_CORES, STR("cpu-4")), 6000);
    assert_int_equal(engine_quota_used(e, 1, ENGINE_QUOTA_CORES, STR("cpu-8")), 4000);
    assert_int_equal(engine_quota_used(e, 1, ENGINE_QUOTA_RESERVED, STR("cpu-4")), 1000);
    apply_one(&w, quota(ENGINE_QUOTA_CORES, "cpu-4", 7));
    refused_by_quota(apply_one(&w, quota_submit(&w, "more", 1, &choice)), "cores of cpu-4", 8000, 7);
    world_fini(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_objects_have_names_and_revisions),
        cmocka_unit_test(test_objects_in_use_stay),
        cmocka_unit_test(test_pause_and_resume),
        cmocka_unit_test(test_pause_before_a_start),
        cmocka_unit_test(test_request_of_a_paused_one),
        cmocka_unit_test(test_names_of_live_instances_are_their_own),
        cmocka_unit_test(test_a_reservation_from_end_to_end),
        cmocka_unit_test(test_reservations_that_are_refused),
        cmocka_unit_test(test_a_subscription_holds_room_for_tight_starts),
        cmocka_unit_test(test_what_a_subscription_pays),
        cmocka_unit_test(test_subscriptions_that_are_refused),
        cmocka_unit_test(test_an_instance_that_ends_is_started_again),
        cmocka_unit_test(test_quotas_hold_in_a_batch),
        cmocka_unit_test(test_quotas_of_every_kind),
        cmocka_unit_test(test_quotas_and_burnt_names_outlive_a_restart),
        cmocka_unit_test(test_an_older_snapshot_is_read),
        cmocka_unit_test(test_an_older_snapshot_with_reservations_is_read),
        cmocka_unit_test(test_quotas_count_what_an_older_snapshot_has),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
