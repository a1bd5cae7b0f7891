/* SPDX-License-Identifier: Apache-2.0 */
/* The table of routes, the document made of it, refusals in words, desired state. */
#include "server/api_route.h"
#include "server/openapi.h"

#include "wire/json.h"
#include "wire/record.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <cmocka.h>

/* ---- routes ---- */

static void test_each_route_is_whole(void **state)
{
    (void)state;
    for (size_t i = 0; i < api_route_count; i++) {
        const struct api_route *route = &api_routes[i];
        assert_true(route->pattern[0] == '/');
        assert_true(!route->handle != !route->read);
        assert_true(route->summary && route->summary[0]);
        assert_true(!route->admit || route->takes);
        assert_true(route->roles < 1u << (ROLE_JOIN + 1));
        struct str rest = str_from(route->query);
        while (rest.size) {
            struct str name = str_cut(&rest, ' ');
            if (!api_parameter(name))
                fail_msg("%s: nobody says what %.*s is", route->pattern, STR_ARGS(name));
            assert_true(route_takes_parameter(route, name));
        }
        assert_false(route_takes_parameter(route, STR("colour")));
        for (size_t j = 0; j < i; j++)
            assert_false(route->method == api_routes[j].method &&
                         strcmp(route->pattern, api_routes[j].pattern) == 0);
    }
}

static const struct api_route *find(enum http_method method, const char *path, struct str *ret_name,
                                    bool *ret_path)
{
    struct http_request r = {.method = method};
    struct str rest = str_from(path + 1);
    while (rest.size)
        r.segments[r.segment_count++] = str_cut(&rest, '/');
    *ret_name = (struct str){0};
    *ret_path = false;
    return route_find(&r, ret_name, ret_path);
}

static void test_paths_meet_their_routes(void **state)
{
    (void)state;
    struct str name;
    bool path;
    assert_true(find(HTTP_POST, "/v1/workloads", &name, &path)->handle == route_workload_submit);
    assert_true(find(HTTP_GET, "/v1/workloads/work_1/why", &name, &path)->read ==
                route_workload_why);
    assert_true(str_is(name, "work_1"));
    assert_true(find(HTTP_POST, "/v1/nodes/renew", &name, &path)->handle == route_node_renew);
    assert_true(find(HTTP_HEAD, "/v1/archives/ab", &name, &path)->read == route_archive_get);
    assert_true(find(HTTP_GET, "/", &name, &path)->handle == route_console_page);
    assert_null(find(HTTP_DELETE, "/v1/workloads", &name, &path));
    assert_true(path);
    assert_null(find(HTTP_GET, "/v1/workload", &name, &path));
    assert_false(path);
    assert_null(find(HTTP_GET, "/v1/workloads/a/why/not", &name, &path));
    assert_false(path);
}

static void test_document_names_every_route(void **state)
{
    (void)state;
    struct buf out = BUF_INIT(BUF_LIMIT_DEFAULT);
    struct arena arena = {0};
    struct json_value document;
    struct error err = {0};
    openapi_write(&out);
    assert_int_equal(json_parse(buf_str(&out), &arena, &document, &err), 0);
    const struct json_value *paths = json_get(&document, "paths");
    for (size_t i = 0; i < api_route_count; i++)
        assert_non_null(json_get(paths, api_routes[i].pattern));
    assert_non_null(
        json_get(json_get(json_get(&document, "components"), "schemas"), "workload_request"));
    arena_fini(&arena);
    buf_fini(&out);
}

/* ---- refusals ---- */

static struct engine *engine_with_nodes(engine_id ret_nodes[2])
{
    struct engine *e = engine_new(1);
    struct engine_command commands[2];
    struct engine_result result = {0};
    for (int i = 0; i < 2; i++) {
        commands[i] = (struct engine_command){.type = ENGINE_NODE_REGISTER};
        commands[i].node.name = i ? STR("n1") : STR("n0");
        commands[i].node.address = i ? STR("10.0.0.1") : STR("10.0.0.0");
        commands[i].node.sku = STR("h100-8x");
        commands[i].node.accelerator = STR("H100");
        commands[i].node.provider = commands[i].node.region = commands[i].node.zone = STR("p");
        commands[i].node.fabric = commands[i].node.rack = STR("f");
        commands[i].node.amounts = (struct market_amounts){8000, 16000, 65536, 1000};
    }
    engine_apply(e, 1000, commands, 2, &result);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(result.outcomes[i].code, ENGINE_OK);
        ret_nodes[i] = result.outcomes[i].id;
    }
    engine_result_fini(&result);
    return e;
}

static void test_refusals_say_what_is_allowed(void **state)
{
    (void)state;
    engine_id nodes[2];
    struct engine *e = engine_with_nodes(nodes);
    static const struct {
        struct engine_outcome outcome;
        int status;
        const char *text;
    } cases[] = {
        {{.code = ENGINE_INVALID, .field = "choices[2].sku"},
         400,
         "choices[2].sku: nothing of that name, known are h100-8x"},
        {{.code = ENGINE_INVALID, .field = "choices[0].labels"},
         400,
         "choices[0].labels: nothing of that name, no node has any yet"},
        {{.code = ENGINE_INVALID,
          .field = "tick_ms",
          .refusal = REFUSED_BOUND,
          .numbers = {5, 100, 3600000}},
         400,
         "tick_ms: 5, allowed is 100 to 3600000"},
        {{.code = ENGINE_INVALID,
          .field = "nodes",
          .refusal = REFUSED_IMPOSSIBLE,
          .numbers = {9, 4}},
         400,
         "nodes: 9 replicas could never stand together so, even on an empty fleet; at most 4 "
         "could"},
        {{.code = ENGINE_INVALID,
          .field = "choices[0].amounts",
          .refusal = REFUSED_IMPOSSIBLE,
          .numbers = {1, 0}},
         400,
         "choices[0].amounts: no node could take this, even on an empty fleet; the most that a "
         "node has is 8 GPUs, 16.000 cores, 65536 MiB of memory, 1000 MiB of disk"},
        {{.code = ENGINE_CONFLICT, .field = "idempotency_key"},
         409,
         "Idempotency-Key: it was used with another body"},
        {{.code = ENGINE_CONFLICT, .field = "name"}, 409, "name: in use already"},
        {{.code = ENGINE_NOT_FOUND, .field = "key"}, 404, "key: nothing of that name or id"},
        {{.code = ENGINE_FORBIDDEN, .field = "token"},
         403,
         "token: used, expired or bound to another node"},
        {{.code = ENGINE_INVALID}, 400, "not allowed"},
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct error err = {0};
        assert_int_equal(outcome_error(e, &cases[i].outcome, &err), cases[i].status);
        assert_string_equal(err.text, cases[i].text);
    }
    engine_free(e);
}

static void test_positions(void **state)
{
    (void)state;
    struct table_position a, b;
    assert_true(position_parse(STR("12-3"), &a) && a.seq == 12 && a.position == 3);
    assert_true(position_parse(STR("12"), &b) && position_compare(a, b) < 0); /* all of the group */
    assert_true(position_parse(STR("11-99"), &b) && position_compare(a, b) > 0);
    static const char *const bad[] = {
        "", "-", "12-", "-3", "a-1", "1-b", "1-2-3", "99999999999999999999-1", "-1-1"};
    for (size_t i = 0; i < ARRAY_COUNT(bad); i++)
        assert_false(position_parse(str_from(bad[i]), &a));
}

/* ---- desired state ---- */

static struct str packed_request(struct arena *arena)
{
    struct workload_request request;
    struct buf out = BUF_INIT(BUF_LIMIT_DEFAULT);
    struct record_pair secret = {STR("TOKEN"), STR("very-secret")};
    record_defaults(&workload_request_record, &request);
    request.run = STR("train");
    request.secrets = (struct record_list){&secret, 1};
    request.on_lost_contact = AGENT_LOST_FREEZE;
    record_pack(&workload_request_record, &request, &out);
    struct str kept = arena_str(arena, buf_str(&out));
    buf_fini(&out);
    return kept;
}

static void check_replica(const struct agent_replica *replica, int64_t rank)
{
    const struct str *ips = replica->ips.items, *master = &ips[0];
    assert_int_equal(replica->rank, rank);
    assert_int_equal(replica->attempt, 1);
    assert_int_equal(replica->action, AGENT_RUN);
    assert_int_equal(replica->gpus.count, 2);
    assert_int_equal(replica->ips.count, 2);
    assert_false(str_equal(ips[0], ips[1]));
    assert_true(str_equal(replica->master_address, *master));
    assert_true(replica->master_port > 1024);
    assert_int_equal(replica->spec.nodes, 2);
    assert_int_equal(replica->spec.gpus_per_node, 2);
    assert_int_equal(replica->spec.on_lost_contact, AGENT_LOST_FREEZE);
    assert_true(str_is(replica->spec.run, "train") && str_is(replica->spec.project, "default"));
    assert_true(
        str_is(((const struct record_pair *)replica->spec.secrets.items)->value, "very-secret"));
}

static void test_desired_state_of_a_gang(void **state)
{
    (void)state;
    engine_id nodes[2];
    struct engine *e = engine_with_nodes(nodes);
    struct engine_result result = {0};
    struct arena arena = {0};
    struct engine_choice choice = {.amounts = {2000, 7000, 100, 0}, .speed_milli = 1000};
    struct engine_command submit = {.type = ENGINE_SUBMIT};
    submit.submit = (struct engine_submit){.project = 1,
                                           .request_key = 1,
                                           .request = packed_request(&arena),
                                           .nodes = 2,
                                           .choices = &choice,
                                           .choice_count = 1,
                                           .preemptible = true,
                                           .priority = 1,
                                           .notice = 5000,
                                           .signal = 10};
    choice.amounts.core_milli = 9000; /* more than half of a node: one replica on each */
    engine_apply(e, 2000, &submit, 1, &result);
    assert_int_equal(result.outcomes[0].code, ENGINE_OK);
    assert_int_equal(result.node_count, 2);
    struct render render = {e, {1, 2}, &arena, 2000};
    bool ranks[2] = {false, false};
    for (int i = 0; i < 2; i++) {
        struct record_list list;
        render_desired(&render, engine_node(e, nodes[i]), &list);
        assert_int_equal(list.count, 1);
        const struct agent_replica *replica = list.items;
        check_replica(replica, replica->rank);
        assert_int_equal(replica->spec.notice_ms, 5000);
        assert_int_equal(replica->spec.signal, 10);
        ranks[replica->rank] = true;
    }
    assert_true(ranks[0] && ranks[1]);
    engine_result_fini(&result);
    engine_free(e);
    arena_fini(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_route_is_whole),
        cmocka_unit_test(test_paths_meet_their_routes),
        cmocka_unit_test(test_document_names_every_route),
        cmocka_unit_test(test_refusals_say_what_is_allowed),
        cmocka_unit_test(test_positions),
        cmocka_unit_test(test_desired_state_of_a_gang),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
