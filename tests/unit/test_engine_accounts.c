/* SPDX-License-Identifier: Apache-2.0 */
/* Projects, keys, nodes, names, settings, and what makes a submit count once. */
#include "engine_world.h"

static struct engine_command key_of(unsigned char first, enum engine_role role)
{
    struct engine_command c = {.type = ENGINE_KEY_CREATE};
    c.key.hash[0] = first;
    c.key.snippet = STR("fkey_ab");
    c.key.principal = STR("ada");
    c.key.role = role;
    return c;
}

static struct engine_command join_of(engine_id token, unsigned char first, const char *name)
{
    struct engine_command c = {.type = ENGINE_JOIN};
    c.join.token = token;
    c.join.hash[0] = first;
    c.join.name = str_from(name);
    c.join.snippet = STR("fkey_cd");
    return c;
}

static void test_projects(void **state)
{
    (void)state;
    struct world w;
    world_init(&w);
    assert_true(str_is(engine_project(w.e, 1)->name, "default"));
    struct engine_command c = {.type = ENGINE_PROJECT_CREATE, .project = {.name = STR("research"), .limited = true, .budget = 5}};
    assert_int_equal(apply_one(&w, c).id, 2);
    assert_int_equal(engine_project_named(w.e, STR("research"))->budget, 5);
    assert_int_equal(apply_one(&w, c).code, ENGINE_CONFLICT);
    c.project.name = STR("other");
    c.project.budget = -1;
    struct engine_outcome outcome = apply_one(&w, c);
    assert_int_equal(outcome.code, ENGINE_INVALID);
    assert_string_equal(outcome.field, "budget_udollar");
    c.type = ENGINE_PROJECT_SET;
    c.project.project = 3;
    assert_int_equal(apply_one(&w, c).code, ENGINE_NOT_FOUND);
    c.project.project = 2;
    c.project.limited = false;
    assert_int_equal(apply_one(&w, c).code, ENGINE_OK);
    assert_false(engine_project(w.e, 2)->limited);
    assert_int_equal(engine_project_count(w.e), 2);
    world_fini(&w);
}

static void test_keys(void **state)
{
    (void)state;
    struct world w;
    world_init(&w);
    struct engine_command c = key_of(1, ROLE_ADMIN);
    engine_id admin = apply_one(&w, c).id;
    assert_int_equal(engine_key_hashed(w.e, c.key.hash)->id, admin);
    assert_true(str_is(engine_principal(w.e, engine_key(w.e, admin)->principal)->name, "ada"));
    assert_int_equal(apply_one(&w, c).code, ENGINE_CONFLICT);
    c = key_of(2, ROLE_MEMBER);
    c.key.project = 9;
    assert_int_equal(apply_one(&w, c).code, ENGINE_NOT_FOUND);
    c.key.project = 1;
    c.key.session = true;
    c.key.expires = w.now + 1000;
    engine_id session = apply_one(&w, c).id;
    assert_int_equal(engine_key(w.e, session)->principal, engine_key(w.e, admin)->principal);
    struct engine_command revoke = {.type = ENGINE_KEY_REVOKE, .revoke = admin};
    assert_int_equal(apply_one(&w, revoke).code, ENGINE_OK);
    assert_true(engine_key(w.e, admin)->revoked);
    revoke.revoke = 77;
    assert_int_equal(apply_one(&w, revoke).code, ENGINE_NOT_FOUND);

    w.now += 1000 + 24 * HOUR_MS - 1;
    wake(&w);
    assert_non_null(engine_key(w.e, session));
    w.now += 1;
    wake(&w);
    assert_null(engine_key(w.e, session));
    assert_null(engine_key_hashed(w.e, c.key.hash));
    assert_non_null(engine_key(w.e, admin)); /* no session: it is shown as revoked */
    assert_int_equal(engine_key_count(w.e), 1);
    world_fini(&w);
}

static void test_a_token_joins_once(void **state)
{
    (void)state;
    struct world w;
    world_init(&w);
    struct engine_command c = key_of(1, ROLE_JOIN);
    c.key.expires = w.now + 600000;
    engine_id token = apply_one(&w, c).id, admin = apply_one(&w, key_of(2, ROLE_ADMIN)).id;
    assert_int_equal(apply_one(&w, join_of(admin, 9, "n1")).code, ENGINE_FORBIDDEN);
    assert_int_equal(apply_one(&w, join_of(77, 9, "n1")).code, ENGINE_FORBIDDEN);
    struct engine_outcome outcome = apply_one(&w, join_of(token, 3, "n1"));
    assert_int_equal(outcome.code, ENGINE_OK);
    const struct engine_key *agent = engine_key(w.e, outcome.id);
    assert_int_equal(agent->role, ROLE_AGENT);
    assert_int_equal(engine_principal(w.e, agent->principal)->kind, PRINCIPAL_AGENT);
    assert_true(str_is(engine_principal(w.e, agent->principal)->name, "n1"));
    assert_true(engine_key(w.e, token)->revoked);
    assert_int_equal(apply_one(&w, join_of(token, 4, "n2")).code, ENGINE_FORBIDDEN);

    c = key_of(5, ROLE_JOIN);
    c.key.expires = w.now + 600000;
    token = apply_one(&w, c).id;
    w.now += 600000;
    assert_int_equal(apply_one(&w, join_of(token, 6, "n2")).code, ENGINE_FORBIDDEN);
    world_fini(&w);
}

static void test_an_agents_key_is_its_nodes(void **state)
{
    (void)state;
    struct world w;
    world_init(&w);
    engine_id first = apply_one(&w, key_of(1, ROLE_AGENT)).id, second = apply_one(&w, key_of(2, ROLE_AGENT)).id;
    struct engine_command c = facts("n1", "r1");
    c.node.key = first;
    engine_id node = apply_one(&w, c).id;
    assert_int_equal(engine_key(w.e, first)->node, node);
    struct engine_command other = facts("n2", "r1");
    other.node.key = first;
    assert_int_equal(apply_one(&w, other).code, ENGINE_FORBIDDEN);
    assert_null(engine_node_named(w.e, STR("n2")));
    c.node.key = second;
    assert_int_equal(apply_one(&w, c).code, ENGINE_CONFLICT);
    assert_int_equal(engine_key(w.e, second)->node, 0);
    struct engine_command revoke = {.type = ENGINE_KEY_REVOKE, .revoke = first};
    apply_one(&w, revoke);
    assert_int_equal(apply_one(&w, c).id, node);
    assert_int_equal(engine_node(w.e, node)->key, second);
    c.node.key = first;
    assert_int_equal(apply_one(&w, c).code, ENGINE_FORBIDDEN);
    c.node.key = apply_one(&w, key_of(3, ROLE_MEMBER)).id;
    assert_int_equal(apply_one(&w, c).code, ENGINE_FORBIDDEN);
    world_fini(&w);
}

/* ---- nodes ------------------------------------------------------------------------------------------------ */

static void test_an_agent_that_starts_again_loses_nothing(void **state)
{
    (void)state;
    struct world w;
    world_init(&w);
    engine_id node = node_add(&w, "n1", "r1");
    engine_id id = submit(&w, (struct want){.nodes = 1, .cores = 3, .limit = 100000});
    started_all(&w, id);
    struct engine_command c = facts("n1", "r1");
    c.node.version = STR("2");
    assert_int_equal(apply_one(&w, c).id, node);
    assert_true(str_is(engine_node(w.e, node)->version, "2"));
    assert_int_equal(look(&w, id)->state, WORKLOAD_RUNNING);
    assert_int_equal(engine_node(w.e, node)->replica_count, 1);

    c.node.amounts.core_milli = 2000;
    struct engine_outcome outcome = apply_one(&w, c);
    assert_int_equal(outcome.code, ENGINE_INVALID);
    assert_string_equal(outcome.field, "amounts.core_milli");
    assert_int_equal(outcome.numbers[1], 3000);
    c = facts("n1", "r2");
    outcome = apply_one(&w, c);
    assert_int_equal(outcome.code, ENGINE_CONFLICT);
    assert_string_equal(outcome.field, "place.rack");
    assert_true(str_is(engine_node(w.e, node)->rack, "r1"));
    assert_int_equal(look(&w, id)->state, WORKLOAD_RUNNING);
    world_fini(&w);
}

static void test_a_node_that_shrinks_under_work_takes_nothing_new(void **state)
{
    (void)state;
    struct world w;
    world_init(&w);
    engine_id node = node_add(&w, "n1", "r1");
    engine_id id = submit(&w, (struct want){.nodes = 1, .cores = 2, .limit = 100000});
    started_all(&w, id);
    struct engine_command c = facts("n1", "r1");
    c.node.amounts.core_milli = 3000;
    assert_int_equal(apply_one(&w, c).code, ENGINE_OK);
    assert_int_equal(engine_node(w.e, node)->amounts.core_milli, 3000);
    engine_id next = submit(&w, (struct want){.nodes = 1, .cores = 2, .limit = 100000});
    assert_int_equal(look(&w, next)->state, WORKLOAD_WAITING);
    ended(&w, id, 0, 0);
    assert_int_equal(look(&w, next)->state, WORKLOAD_ASSIGNED);
    struct market_pool_view pool = market_pool(engine_market(w.e), engine_node(w.e, node)->pool - 1);
    assert_int_equal(pool.amounts.core_milli, 3000);
    world_fini(&w);
}

static void test_an_operators_ask_stands_until_the_agent_says_another(void **state)
{
    (void)state;
    struct world w;
    world_init(&w);
    engine_id node = node_add(&w, "n1", "r1");
    node_add(&w, "n2", "r1");
    struct engine_command ask = {.type = ENGINE_ASK_SET, .on_node = {.pool = engine_node(w.e, node)->pool, .ask = 70000}};
    struct engine_outcome outcome = apply_one(&w, ask);
    assert_int_equal(outcome.count, 2);
    assert_int_equal(engine_node(w.e, node)->ask, 70000);
    apply_one(&w, facts("n1", "r1"));
    assert_int_equal(engine_node(w.e, node)->ask, 70000);
    struct engine_command c = facts("n1", "r1");
    c.node.ask = 50000;
    apply_one(&w, c);
    assert_int_equal(engine_node(w.e, node)->ask, 50000);
    assert_int_equal(market_pool(engine_market(w.e), 0).lowest_ask, 50000);
    ask.on_node.ask = -1;
    assert_string_equal(apply_one(&w, ask).field, "ask_udollar_per_hour");
    ask.on_node = (__typeof__(ask.on_node)){.pool = 9, .ask = 1};
    assert_int_equal(apply_one(&w, ask).code, ENGINE_NOT_FOUND);
    world_fini(&w);
}

static void test_facts_are_refused_by_name(void **state)
{
    (void)state;
    struct world w;
    world_init(&w);
    struct engine_command c = facts("", "r1");
    assert_string_equal(apply_one(&w, c).field, "name");
    c = facts("n1", "r1");
    c.node.amounts = (struct market_amounts){1500, 1000, 0, 0};
    assert_string_equal(apply_one(&w, c).field, "amounts.gpu_milli");
    c.node.amounts = (struct market_amounts){0};
    assert_string_equal(apply_one(&w, c).field, "amounts.core_milli");
    c = facts("n1", "r1");
    c.node.unconfined = true;
    assert_int_equal(apply_one(&w, c).code, ENGINE_NOT_FOUND);
    assert_int_equal(engine_node_count(w.e), 0);
    assert_int_equal(engine_name_count(w.e, NAME_SKU), 0);
    world_fini(&w);
}

static void test_an_unconfined_node_is_one_projects(void **state)
{
    (void)state;
    struct world w;
    world_init(&w);
    apply_one(&w, (struct engine_command){.type = ENGINE_PROJECT_CREATE, .project = {.name = STR("own")}});
    struct engine_command c = facts("n1", "r1");
    c.node.unconfined = true;
    c.node.project = 2;
    apply_one(&w, c);
    struct engine_choice choice;
    struct want want = {.nodes = 1, .cores = 1, .limit = 100000};
    struct engine_command s = submit_of(&w, &want, &choice);
    assert_int_equal(apply_one(&w, s).code, ENGINE_INVALID);
    s.submit.project = 2;
    assert_int_equal(apply_one(&w, s).code, ENGINE_OK);
    world_fini(&w);
}

/* ---- submits ------------------------------------------------------------------------------------------------ */

static void test_the_same_key_counts_once(void **state)
{
    (void)state;
    struct world w;
    world_init(&w);
    node_add(&w, "n1", "r1");
    apply_one(&w, (struct engine_command){.type = ENGINE_PROJECT_CREATE, .project = {.name = STR("own")}});
    struct engine_choice choice;
    struct want want = {.nodes = 1, .cores = 1, .limit = 100000, .key = "once"};
    struct engine_command c = submit_of(&w, &want, &choice), both[] = {c, c};
    world_apply(&w, both, 2);
    engine_id id = w.result.outcomes[0].id;
    assert_false(w.result.outcomes[0].repeated);
    assert_true(w.result.outcomes[1].repeated && w.result.outcomes[1].id == id);
    struct engine_outcome outcome = apply_one(&w, c);
    assert_true(outcome.repeated && outcome.id == id && w.result.event_count == 0);
    c.submit.body_hash++;
    outcome = apply_one(&w, c);
    assert_int_equal(outcome.code, ENGINE_CONFLICT);
    assert_string_equal(outcome.field, "idempotency_key");
    c.submit.project = 2;
    assert_int_not_equal(apply_one(&w, c).id, id);
    c.submit.project = 1;
    c.submit.body_hash--;
    w.now += ENGINE_IDEMPOTENCY_MS - 1;
    assert_true(apply_one(&w, c).repeated);
    w.now += 1;
    outcome = apply_one(&w, c);
    assert_true(!outcome.repeated && outcome.id > id);
    world_fini(&w);
}

static void test_a_refused_submit_leaves_nothing(void **state)
{
    (void)state;
    struct world w;
    world_init(&w);
    node_add(&w, "n1", "r1");
    engine_id before = submit(&w, (struct want){.nodes = 1, .cores = 1, .limit = 100000});
    struct engine_choice choice;
    struct want want = {.nodes = 7, .cores = 1, .limit = 100000, .key = "k"};
    struct engine_command c = submit_of(&w, &want, &choice);
    want.nodes = 1;
    want.cores = 5;
    struct engine_choice larger;
    struct engine_command d = submit_of(&w, &want, &larger);
    struct engine_outcome outcome = apply_one(&w, d);
    assert_int_equal(outcome.refusal, REFUSED_IMPOSSIBLE);
    assert_string_equal(outcome.field, "choices[0].amounts");
    outcome = apply_one(&w, c);
    assert_int_equal(outcome.code, ENGINE_INVALID);
    assert_int_equal(outcome.refusal, REFUSED_IMPOSSIBLE);
    assert_string_equal(outcome.field, "nodes");
    assert_int_equal(outcome.numbers[0], 7);
    assert_in_range(outcome.numbers[1], 1, 6);
    assert_int_equal(w.result.event_count, 0);
    c.submit.nodes = 1;
    c.submit.notice = -1;
    assert_string_equal(apply_one(&w, c).field, "notice_ms");
    c.submit.notice = 1000;
    c.submit.level = LEVEL_RACKS;
    assert_string_equal(apply_one(&w, c).field, "racks");
    c.submit.level = LEVEL_ANY;
    assert_int_equal(apply_one(&w, c).id, before + 1); /* the same key: the refused ones left no trace */
    world_fini(&w);
}

static struct engine_outcome submit_at(struct world *w, const char *sku, const char *region, const char *zone)
{
    struct engine_choice choice;
    struct want want = {.nodes = 1, .cores = 1, .limit = 100000};
    struct engine_command c = submit_of(w, &want, &choice);
    choice.sku = str_from(sku);
    choice.region = str_from(region);
    choice.zone = str_from(zone);
    return apply_one(w, c);
}

static void test_names(void **state)
{
    (void)state;
    struct world w;
    world_init(&w);
    static const char *const zones[] = {"a", "b", "c", "d", "e", "f", "g", "h", "i"};
    char name[16];
    for (size_t i = 0; i < 18; i++) {
        snprintf(name, sizeof name, "n%zu", i);
        struct engine_command c = facts(name, "r");
        c.node.provider = i < 9 ? STR("own") : STR("rented");
        c.node.region = STR("north");
        c.node.zone = str_from(zones[i % 9]);
        assert_int_equal(apply_one(&w, c).code, ENGINE_OK);
    }
    assert_string_equal(submit_at(&w, "h100", "", "").field, "choices[0].sku");
    assert_string_equal(submit_at(&w, "", "south", "").field, "choices[0].region");
    assert_string_equal(submit_at(&w, "", "", "z").field, "choices[0].zone");
    assert_string_equal(submit_at(&w, "", "south", "a").field, "choices[0].zone");
    /* One zone's name may be two places; a region's two; both are taken. */
    for (int i = 0; i < 8; i++)
        assert_int_equal(submit_at(&w, "cpu-4", "", "c").code, ENGINE_OK);
    assert_int_equal(engine_node_named(w.e, STR("n2"))->replica_count, 4);
    assert_int_equal(engine_node_named(w.e, STR("n11"))->replica_count, 4);
    assert_int_equal(submit_at(&w, "", "north", "d").code, ENGINE_OK);
    assert_int_equal(submit_at(&w, "", "north", "").code, ENGINE_OK);
    assert_int_equal(engine_name_count(w.e, NAME_ZONE), 18);
    assert_true(str_is(engine_name(w.e, NAME_PROVIDER, 2), "rented"));
    world_fini(&w);
}

static void test_a_name_of_too_many_places(void **state)
{
    (void)state;
    struct world w;
    world_init(&w);
    char name[16], provider[16];
    for (int i = 0; i < 17; i++) {
        snprintf(name, sizeof name, "n%d", i);
        snprintf(provider, sizeof provider, "p%d", i);
        struct engine_command c = facts(name, "r");
        c.node.provider = str_from(provider);
        apply_one(&w, c);
    }
    struct engine_outcome outcome = submit_at(&w, "", "", "a");
    assert_int_equal(outcome.code, ENGINE_INVALID);
    assert_string_equal(outcome.field, "choices[0].zone");
    assert_int_equal(outcome.numbers[2], MARKET_ALTERNATIVES_MAX);
    world_fini(&w);
}

static void test_a_priority_is_a_limit(void **state)
{
    (void)state;
    struct world w;
    world_init(&w);
    node_add(&w, "n1", "r1");
    struct engine_command dear = facts("n2", "r1");
    dear.node.sku = STR("cpu-dear");
    dear.node.ask = 90000;
    apply_one(&w, dear);
    engine_id id = submit(&w, (struct want){.nodes = 1, .cores = 1});
    assert_int_equal(look(&w, id)->limit, 5 * 40000);
    struct engine_choice choice;
    struct want want = {.nodes = 1, .cores = 1};
    struct engine_command c = submit_of(&w, &want, &choice);
    choice.sku = STR("cpu-dear");
    choice.speed_milli = 500;
    c.submit.priority = 3;
    assert_int_equal(look(&w, apply_one(&w, c).id)->limit, 90000 * 100 / 2);
    apply_one(&w, setting(SETTING_LIMIT_NORMAL_PERMILLE, 2000));
    id = submit(&w, (struct want){.nodes = 1, .cores = 1});
    assert_int_equal(look(&w, id)->limit, 2 * 40000);
    struct engine_command ask = {.type = ENGINE_ASK_SET, .on_node = {.node = 1, .ask = 0}};
    apply_one(&w, ask);
    id = submit(&w, (struct want){.nodes = 1, .cores = 1});
    assert_int_equal(look(&w, id)->limit, 2 * 10000);
    world_fini(&w);
}

static void test_a_limit_changes(void **state)
{
    (void)state;
    struct world w;
    world_init(&w);
    node_add(&w, "n1", "r1");
    engine_id id = submit(&w, (struct want){.nodes = 1, .cores = 4, .limit = 10});
    assert_int_equal(look(&w, id)->state, WORKLOAD_WAITING);
    struct engine_command c = {.type = ENGINE_BID_CHANGE, .workload = {id, -1}};
    struct engine_outcome outcome = apply_one(&w, c);
    assert_int_equal(outcome.code, ENGINE_INVALID);
    assert_string_equal(outcome.field, "limit_udollar_per_hour");
    assert_int_equal(look(&w, id)->limit, 10);
    c.workload.limit = 100000;
    assert_int_equal(apply_one(&w, c).code, ENGINE_OK);
    assert_int_equal(events(&w, ENGINE_EVENT_WORKLOAD_CHANGED, NULL), 1);
    assert_int_equal(look(&w, id)->limit, 100000);
    assert_int_equal(look(&w, id)->state, WORKLOAD_ASSIGNED);
    started_all(&w, id);
    ended(&w, id, 0, 0);
    assert_int_equal(apply_one(&w, c).code, ENGINE_CONFLICT);
    c.workload.workload = 88;
    assert_int_equal(apply_one(&w, c).code, ENGINE_NOT_FOUND);
    world_fini(&w);
}

static void test_settings(void **state)
{
    (void)state;
    struct world w;
    world_init(&w);
    assert_int_equal(engine_setting(w.e, SETTING_CONTACT_TIMEOUT_MS), 120000);
    assert_int_equal(engine_setting(w.e, SETTING_TICK_MS), 15000);
    assert_int_equal(apply_one(&w, setting(SETTING_TICK_MS, 1000)).code, ENGINE_OK);
    assert_int_equal(engine_setting(w.e, SETTING_TICK_MS), 1000);
    struct engine_outcome outcome = apply_one(&w, setting(SETTING_TICK_MS, 1));
    assert_int_equal(outcome.code, ENGINE_INVALID);
    assert_string_equal(outcome.field, "tick_ms");
    assert_int_equal(outcome.numbers[1], 100);
    assert_int_equal(w.result.event_count, 0);
    outcome = apply_one(&w, setting(SETTING_CONTACT_TIMEOUT_MS, 999));
    assert_string_equal(outcome.field, "contact_timeout_ms");
    assert_int_equal(apply_one(&w, setting(SETTING_RETAIN_MS, 0)).code, ENGINE_OK);
    assert_int_equal(apply_one(&w, setting(ENGINE_SETTING_END, 0)).code, ENGINE_NOT_FOUND);
    world_fini(&w);
}

static void test_a_quote_changes_nothing(void **state)
{
    (void)state;
    struct world w;
    world_init(&w);
    node_add(&w, "n1", "r1");
    _cleanup_buf_ struct buf before = BUF_INIT(BUF_LIMIT_DEFAULT), after = BUF_INIT(BUF_LIMIT_DEFAULT);
    engine_snapshot(w.e, &before);
    struct engine_choice choice;
    struct want want = {.nodes = 1, .cores = 2, .limit = 100000};
    struct engine_command c = submit_of(&w, &want, &choice);
    struct market_quote quote;
    assert_int_equal(engine_quote(w.e, &c.submit, &quote).code, ENGINE_OK);
    assert_true(quote.lines[FREEDOM_NONE].starts_now);
    assert_int_equal(quote.lines[FREEDOM_NONE].rate, 80000);
    c.submit.nodes = 100;
    assert_string_equal(engine_quote(w.e, &c.submit, &quote).field, "nodes");
    choice.sku = STR("h100");
    assert_string_equal(engine_quote(w.e, &c.submit, &quote).field, "choices[0].sku");
    engine_snapshot(w.e, &after);
    assert_true(str_equal(buf_str(&before), buf_str(&after)));
    world_fini(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_projects),
        cmocka_unit_test(test_keys),
        cmocka_unit_test(test_a_token_joins_once),
        cmocka_unit_test(test_an_agents_key_is_its_nodes),
        cmocka_unit_test(test_an_agent_that_starts_again_loses_nothing),
        cmocka_unit_test(test_a_node_that_shrinks_under_work_takes_nothing_new),
        cmocka_unit_test(test_an_operators_ask_stands_until_the_agent_says_another),
        cmocka_unit_test(test_facts_are_refused_by_name),
        cmocka_unit_test(test_an_unconfined_node_is_one_projects),
        cmocka_unit_test(test_the_same_key_counts_once),
        cmocka_unit_test(test_a_refused_submit_leaves_nothing),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_a_name_of_too_many_places),
        cmocka_unit_test(test_a_priority_is_a_limit),
        cmocka_unit_test(test_a_limit_changes),
        cmocka_unit_test(test_settings),
        cmocka_unit_test(test_a_quote_changes_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
