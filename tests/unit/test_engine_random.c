/* SPDX-License-Identifier: Apache-2.0 */
/* Random fleets and people: every invariant after every batch, a copy restored from a snapshot in the
 * middle that decides the same from there on, and ledgers that add up. */
#include "engine_world.h"

#define NODES 8
#define WORKLOADS 4096
#define BATCH_MAX 8

struct play {
    struct world w, copy; /* copy.e: NULL until the first snapshot */
    struct prng random;
    struct engine_choice choices[BATCH_MAX][2];
    char names[BATCH_MAX][16], keys[BATCH_MAX][16];
    engine_id objects[BATCH_MAX][2];
    int64_t charged, paid; /* CHARGED and ENTRY of the tenants */
    size_t seen[ENGINE_EVENT_TYPE_COUNT], codes[ENGINE_STALE + 1];
    uint64_t held; /* batches after which a quota was used up */
};

static uint64_t draw(struct play *p, uint64_t bound)
{
    return prng_below(&p->random, bound);
}

static bool one_in(struct play *p, uint64_t n)
{
    return draw(p, n) == 0;
}

/* A workload that is live, most of the time; else any number. */
static engine_id some_workload(struct play *p)
{
    const struct engine_workload *v = engine_workload_before(p->w.e, draw(p, 200) + 2, 0, WORKLOAD_STATES_LIVE);
    if (v == NULL || one_in(p, 3))
        v = engine_workload_before(p->w.e, 0, 0, WORKLOAD_STATES_LIVE);
    return v && !one_in(p, 20) ? v->id : draw(p, 100);
}

static struct engine_command random_node(struct play *p, size_t slot)
{
    static const char *const names[NODES] = {"n0", "n1", "n2", "n3", "n4", "n5", "n6", "n7"};
    static const char *const racks[] = {"r0", "r1"};
    size_t i = draw(p, NODES);
    struct engine_command c = facts(names[i], racks[i % 2]);
    (void)slot;
    if (one_in(p, 4))
        c.node.boot = STR("boot-2");
    if (one_in(p, 8))
        c.node.amounts.core_milli = 2000 + (int64_t)draw(p, 4) * 1000;
    if (one_in(p, 16))
        c.node.sku = STR("cpu-other");
    if (one_in(p, 16))
        c.node.ask = 10000;
    return c;
}

static engine_id some_object(struct play *p)
{
    size_t count = engine_object_count(p->w.e);
    return count && !one_in(p, 8) ? engine_object_at(p->w.e, draw(p, count))->id : draw(p, 30);
}

static void random_objects(struct play *p, size_t slot, const engine_id **ret, size_t *ret_count)
{
    *ret = p->objects[slot];
    *ret_count = one_in(p, 2) ? draw(p, 3) : 0;
    for (size_t i = 0; i < *ret_count; i++)
        p->objects[slot][i] = some_object(p);
}

static struct engine_command random_submit(struct play *p, size_t slot)
{
    static const char *const prefix = "w";
    static const char *const instance_names[] = {"", "a", "b", "c", "d", "e", "f", "g"};
    struct want want = {.nodes = 1 + (uint32_t)draw(p, 3), .cores = 1 + (int64_t)draw(p, 4), .limit = 20000 + (udollar)draw(p, 400000),
        .firm = one_in(p, 4), .retries = (uint32_t)draw(p, 2), .max_run = one_in(p, 4) ? 20000 : 0, .name = prefix,
        .level = one_in(p, 3) ? LEVEL_RACK : LEVEL_ANY};
    if (one_in(p, 4)) {
        snprintf(p->keys[slot], sizeof p->keys[slot], "key-%llu", (unsigned long long)draw(p, 40));
        want.key = p->keys[slot];
    }
    if (one_in(p, 10))
        want.nodes = 100;
    if (one_in(p, 5))
        want.limit = 0;
    struct engine_command c = submit_of(&p->w, &want, &p->choices[slot][0]);
    if (one_in(p, 3))
        p->choices[slot][0].sku = (struct str){0};
    if (one_in(p, 4))
        p->choices[slot][0].zone = STR("a");
    if (one_in(p, 20))
        p->choices[slot][0].region = STR("nowhere");
    c.submit.instance = one_in(p, 3);
    if (c.submit.instance)
        c.submit.name = str_from(instance_names[draw(p, 8)]);
    if (one_in(p, 5)) {
        c.submit.run_time = (time_ms)draw(p, 30000);
        c.submit.earliest = one_in(p, 2) ? p->w.now + (time_ms)draw(p, 20000) : 0;
        c.submit.deadline = p->w.now + (time_ms)draw(p, 300000);
    }
    if (one_in(p, 8) && c.submit.preemptible && !c.submit.deadline)
        c.submit.tier = 1 + (uint32_t)draw(p, MARKET_TIERS);
    random_objects(p, slot, &c.submit.objects, &c.submit.object_count);
    if (one_in(p, 6) && engine_reservation_count(p->w.e))
        c.submit.reservation = engine_reservation_at(p->w.e, engine_reservation_count(p->w.e) - 1)->name;
    return c;
}

static struct engine_command random_quota(struct play *p)
{
    struct engine_command c = {.type = ENGINE_QUOTA_SET};
    c.quota.project = 1;
    c.quota.kind = (enum engine_quota_kind)draw(p, ENGINE_QUOTA_KINDS);
    c.quota.type = engine_quota_typed(c.quota.kind) && one_in(p, 2) ? STR("cpu-4") : (struct str){0};
    c.quota.limited = one_in(p, 2);
    c.quota.total = (int64_t)draw(p, 12);
    return c;
}

static struct engine_command random_object(struct play *p)
{
    static const char *const names[] = {"a", "b", "c"};
    struct engine_command c = {.type = one_in(p, 3) ? ENGINE_OBJECT_DELETE : ENGINE_OBJECT_PUT};
    c.object.id = c.type == ENGINE_OBJECT_DELETE || one_in(p, 3) ? some_object(p) : 0;
    c.object.kind = (enum engine_object_kind)draw(p, ENGINE_OBJECT_KINDS);
    c.object.project = draw(p, 2);
    c.object.name = str_from(names[draw(p, 3)]);
    c.object.body = STR("body");
    c.object.unique = one_in(p, 2);
    c.object.exclusive = one_in(p, 2);
    c.object.keep = one_in(p, 2);
    return c;
}

static struct engine_command random_reservation(struct play *p)
{
    static const char *const names[] = {"r0", "r1", "r2", "r3"};
    struct engine_command c = {.type = one_in(p, 2) ? ENGINE_RESERVE : ENGINE_RESERVATION_CHANGE};
    if (c.type == ENGINE_RESERVATION_CHANGE) {
        c.reservation.reservation = draw(p, engine_reservation_count(p->w.e) + 2);
        c.reservation.action = (enum market_reservation_action)draw(p, 4);
        c.reservation.to = c.reservation.action == RESERVATION_EXTEND ? p->w.now + (time_ms)draw(p, 90000) : 0;
        c.reservation.nodes = (uint32_t)draw(p, 3);
        return c;
    }
    c.reserve = (struct engine_reserve){.project = 1, .name = str_from(names[draw(p, 4)]), .nodes = 1 + (uint32_t)draw(p, 2),
        .choice = {.sku = STR("cpu-4"), .amounts = {0, 1000 + (int64_t)draw(p, 4) * 1000, 1024, 0}, .speed_milli = 1000},
        .from = p->w.now + (time_ms)draw(p, 20000), .limit_present = one_in(p, 3), .limit = (udollar)draw(p, 300000)};
    c.reserve.to = c.reserve.from + (time_ms)draw(p, 60000);
    return c;
}

static struct engine_command random_subscription(struct play *p)
{
    struct engine_command c = {.type = ENGINE_SUBSCRIBE};
    c.subscription.project = 1;
    c.subscription.tier = 1 + (uint32_t)draw(p, MARKET_TIERS);
    c.subscription.units_milli = (int64_t)draw(p, 4) * 2000;
    c.subscription.rate = (udollar)draw(p, 2) * 50000;
    if (one_in(p, 3))
        c.subscription.choice.zone = STR("a");
    return c;
}

static struct engine_command random_owner(struct play *p, size_t slot)
{
    struct engine_command c = {.type = one_in(p, 4) ? ENGINE_REQUEST_SET : ENGINE_PAUSE};
    c.workload.workload = some_workload(p);
    c.workload.paused = one_in(p, 2);
    c.workload.request = STR("other request");
    if (c.type == ENGINE_REQUEST_SET)
        random_objects(p, slot, &c.workload.objects, &c.workload.object_count);
    return c;
}

/* Of what may be in no node's list: told to be gone, or of nobody. */
static struct engine_command random_survivor(struct play *p, struct engine_command c)
{
    engine_id id = some_workload(p);
    const struct engine_workload *v = engine_workload(p->w.e, id);
    c.report.kind = ENGINE_ENDED;
    c.report.workload = id;
    c.report.node = 1;
    if (v && v->replica_count) {
        c.report.rank = (uint32_t)draw(p, v->replica_count);
        c.report.attempt = v->attempt;
        c.report.node = v->replicas[c.report.rank].node;
    }
    return c;
}

static struct engine_command random_report(struct play *p)
{
    struct engine_command c = {.type = ENGINE_REPORT};
    const struct engine_node *n = engine_node(p->w.e, 1 + draw(p, NODES));
    c.report.at = p->w.now - (time_ms)draw(p, 500);
    if (n == NULL || n->replica_count == 0 || one_in(p, 8))
        return random_survivor(p, c);
    const struct engine_replica_ref *ref = &n->replicas[draw(p, n->replica_count)];
    const struct engine_workload *v = engine_workload(p->w.e, ref->workload);
    const struct engine_replica *r = &v->replicas[ref->rank];
    c.report.workload = ref->workload;
    c.report.attempt = ref->attempt - (one_in(p, 20) ? 1 : 0);
    c.report.rank = ref->rank;
    c.report.node = one_in(p, 30) ? 1 + draw(p, NODES) : n->id;
    c.report.kind = r->state == REPLICA_ASSIGNED ? ENGINE_STARTED : ENGINE_ENDED;
    if (one_in(p, 10))
        c.report.kind = (enum engine_report_kind)draw(p, 4);
    c.report.phase = (int32_t)draw(p, 3);
    c.report.address = one_in(p, 2) ? STR("10.0.0.1") : STR("10.0.0.2");
    c.report.port = v->master_port;
    if (c.report.kind == ENGINE_ENDED && one_in(p, 3)) {
        c.report.exit_code = 1 + (int64_t)draw(p, 2);
        c.report.last_lines = STR("it broke");
    }
    return c;
}

static struct engine_command random_command(struct play *p, size_t slot)
{
    uint64_t kind = draw(p, 100);
    if (kind < 54)
        return random_report(p);
    if (kind < 75)
        return random_submit(p, slot);
    if (kind < 80)
        return random_node(p, slot);
    if (kind < 84)
        return (struct engine_command){.type = ENGINE_NODE_LOST_SET, .on_node = {.node = 1 + draw(p, NODES), .last_contact = p->w.now - (time_ms)draw(p, 5000)}};
    if (kind < 88)
        return (struct engine_command){.type = ENGINE_CANCEL, .workload.workload = some_workload(p)};
    if (kind < 91)
        return (struct engine_command){.type = ENGINE_BID_CHANGE, .workload = {some_workload(p), (udollar)draw(p, 500000)}};
    if (kind < 93)
        return (struct engine_command){.type = one_in(p, 2) ? ENGINE_NODE_DRAIN : ENGINE_NODE_UNDRAIN, .on_node = {.node = 1 + draw(p, NODES), .evict = one_in(p, 2)}};
    if (kind < 94)
        return random_quota(p);
    if (kind < 95)
        return random_object(p);
    if (kind < 96)
        return random_owner(p, slot);
    if (kind < 97)
        return one_in(p, 3) ? random_subscription(p) : random_reservation(p);
    if (kind < 98)
        return (struct engine_command){.type = ENGINE_ASK_SET, .on_node = {.pool = 1, .ask = (udollar)draw(p, 60000)}};
    return (struct engine_command){.type = kind < 99 ? ENGINE_TICK : ENGINE_WAKE};
}

static void count_money(struct play *p)
{
    for (size_t i = 0; i < p->w.result.event_count; i++) {
        const struct engine_event *e = &p->w.result.events[i];
        p->seen[e->type]++;
        if (e->type == ENGINE_EVENT_CHARGED)
            p->charged += e->amount;
        if (e->type == ENGINE_EVENT_ENTRY && e->debit_kind == ACCOUNT_TENANT)
            p->paid += e->amount;
        if (e->type == ENGINE_EVENT_ENTRY && e->credit_kind == ACCOUNT_TENANT)
            p->paid -= e->amount;
    }
    for (size_t i = 0; i < p->w.result.outcome_count; i++)
        p->codes[p->w.result.outcomes[i].code]++;
}

static void same_results(const struct engine_result *a, const struct engine_result *b)
{
    assert_int_equal(a->outcome_count, b->outcome_count);
    for (size_t i = 0; i < a->outcome_count; i++) {
        assert_int_equal(a->outcomes[i].code, b->outcomes[i].code);
        assert_int_equal(a->outcomes[i].id, b->outcomes[i].id);
        assert_string_equal(a->outcomes[i].field, b->outcomes[i].field);
    }
    assert_int_equal(a->event_count, b->event_count);
    for (size_t i = 0; i < a->event_count; i++) {
        struct engine_event x = a->events[i], y = b->events[i];
        assert_true(str_equal(x.text, y.text));
        x.text = y.text = (struct str){0};
        assert_memory_equal(&x, &y, sizeof x);
    }
    assert_int_equal(a->node_count, b->node_count);
    assert_true(a->node_count == 0 || memcmp(a->nodes, b->nodes, a->node_count * sizeof *a->nodes) == 0);
    assert_true(a->tick_wanted == b->tick_wanted);
}

static void same_snapshots(const struct engine *a, const struct engine *b)
{
    _cleanup_buf_ struct buf x = BUF_INIT(BUF_LIMIT_DEFAULT), y = BUF_INIT(BUF_LIMIT_DEFAULT);
    engine_snapshot(a, &x);
    engine_snapshot(b, &y);
    assert_true(str_equal(buf_str(&x), buf_str(&y)));
}

static void copy_make(struct play *p)
{
    _cleanup_buf_ struct buf bytes = BUF_INIT(BUF_LIMIT_DEFAULT);
    engine_free(p->copy.e);
    engine_snapshot(p->w.e, &bytes);
    struct unpack in = unpack_from(buf_str(&bytes));
    p->copy.e = engine_restore(&in);
    assert_non_null(p->copy.e);
    assert_int_equal(in.at, in.size);
    engine_check(p->copy.e);
    same_snapshots(p->w.e, p->copy.e);
    assert_true(engine_deadline(p->w.e) == engine_deadline(p->copy.e));
}

struct quotas_seen {
    struct engine_quota items[2 * ENGINE_QUOTA_KINDS];
    int64_t used[2 * ENGINE_QUOTA_KINDS];
    size_t count;
};

static void quotas_see(const struct play *p, struct quotas_seen *ret)
{
    const struct engine_project *project = engine_project(p->w.e, 1);
    ret->count = project->quota_count;
    for (size_t i = 0; i < ret->count; i++) {
        ret->items[i] = project->quotas[i];
        ret->items[i].type = project->quotas[i].type.size ? STR("cpu-4") : (struct str){0};
        ret->used[i] = engine_quota_used(p->w.e, 1, ret->items[i].kind, ret->items[i].type);
    }
}

/* Nothing that came in this batch went past a quota, whatever else it did: what is above it was so before. */
static void quotas_hold(struct play *p, const struct quotas_seen *before)
{
    for (size_t i = 0; i < before->count; i++) {
        const struct engine_quota *q = &before->items[i];
        int64_t used = engine_quota_used(p->w.e, 1, q->kind, q->type);
        assert_true(used <= MAX(before->used[i], q->total * 1000));
        p->held += used == q->total * 1000;
    }
}

static void step(struct play *p)
{
    struct quotas_seen before;
    bool moved = false;
    struct engine_command commands[BATCH_MAX];
    size_t count = 1 + draw(p, BATCH_MAX);
    p->w.now += (time_ms)draw(p, 2000);
    for (size_t i = 0; i < count; i++) {
        commands[i] = random_command(p, i);
        moved |= commands[i].type == ENGINE_QUOTA_SET;
    }
    quotas_see(p, &before);
    world_apply(&p->w, commands, count);
    if (!moved)
        quotas_hold(p, &before);
    count_money(p);
    if (p->copy.e == NULL)
        return;
    p->copy.now = p->w.now;
    world_apply(&p->copy, commands, count);
    same_results(&p->w.result, &p->copy.result);
}

static void play(uint64_t seed, int steps, struct play *p)
{
    *p = (struct play){.random = {seed}};
    world_init(&p->w);
    struct engine_command settings[] = {setting(SETTING_MINIMUM_RUN_MS, 3000), setting(SETTING_TICK_MS, 1000),
                                        setting(SETTING_RETAIN_MS, 20000), setting(SETTING_KILL_MS, 2000)};
    world_apply(&p->w, settings, ARRAY_COUNT(settings));
    for (int i = 0; i < steps; i++) {
        step(p);
        if (i % 100 == 50)
            copy_make(p);
    }
    same_snapshots(p->w.e, p->copy.e);
}

/* Everybody goes; what nobody reports is over when the market's patience is. */
static void all_leave(struct play *p)
{
    const struct engine_workload *v = NULL;
    while ((v = engine_workload_before(p->w.e, v ? v->id : 0, 0, WORKLOAD_STATES_LIVE))) {
        cancel(&p->w, v->id);
        count_money(p);
    }
    p->w.now += HOUR_MS;
    wake(&p->w);
    count_money(p);
    p->w.now += 1000;
    tick(&p->w);
    count_money(p);
    assert_null(engine_workload_before(p->w.e, 0, 0, WORKLOAD_STATES_LIVE));
    for (engine_id id = 1; id <= engine_node_count(p->w.e); id++)
        assert_int_equal(engine_node(p->w.e, id)->replica_count, 0);
}

static void play_end(struct play *p)
{
    world_fini(&p->w);
    world_fini(&p->copy);
}

static void test_any_order_of_things(void **state)
{
    (void)state;
    size_t seen[ENGINE_EVENT_TYPE_COUNT] = {0}, codes[ENGINE_STALE + 1] = {0};
    uint64_t held = 0;
    for (uint64_t seed = 1; seed <= 8; seed++) {
        static struct play p;
        play(seed, 600, &p);
        all_leave(&p);
        assert_int_equal(p.charged, p.paid);
        for (size_t i = 0; i < ENGINE_EVENT_TYPE_COUNT; i++)
            seen[i] += p.seen[i];
        for (size_t i = 0; i <= ENGINE_STALE; i++)
            codes[i] += p.codes[i];
        held += p.held;
        play_end(&p);
    }
    assert_true(held > 0); /* or quotas were never reached */
    /* The walk comes everywhere; what needs accounts has tests of its own. */
    for (int i = 0; i < ENGINE_EVENT_PROJECT_CREATED; i++)
        if (i != ENGINE_EVENT_WORKLOAD_REJECTED && seen[i] == 0)
            fail_msg("event %d was never seen", i);
    for (int i = ENGINE_EVENT_REPLICA_PHASE; i <= ENGINE_EVENT_WORKLOAD_QUOTED; i++)
        if (seen[i] == 0)
            fail_msg("event %d was never seen", i);
    assert_true(seen[ENGINE_EVENT_SUBSCRIPTION] && seen[ENGINE_EVENT_HEADROOM_POSTED]);
    for (int i = 0; i <= ENGINE_STALE; i++)
        if (codes[i] == 0)
            fail_msg("code %d was never seen", i);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_any_order_of_things),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
