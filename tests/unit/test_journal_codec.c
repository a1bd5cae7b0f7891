/* SPDX-License-Identifier: Apache-2.0 */
/* Commands and events through the journal's bytes and back. */
#include "base/memory.h"
#include "records/journal_codec.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
/* cmocka wants the four above first */
#include <cmocka.h>

static struct engine_command round_trip(const struct engine_command *command, struct buf *bytes, struct arena *arena)
{
    struct engine_command *ret;
    size_t count;
    struct error err = {0};
    journal_command_pack(command, bytes);
    assert_int_equal(journal_commands_unpack(buf_str(bytes), arena, &ret, &count, &err), 0);
    assert_int_equal(count, 1);
    assert_int_equal(ret->type, command->type);
    return *ret;
}

static void test_every_command_without_fields(void **state)
{
    (void)state;
    for (int type = 0; type < ENGINE_COMMAND_COUNT; type++) {
        if (type == ENGINE_SUBMIT || type == ENGINE_REQUEST_SET)
            continue;
        _cleanup_buf_ struct buf bytes = BUF_INIT(1 << 20), again = BUF_INIT(1 << 20);
        _cleanup_(arena_fini) struct arena arena = {0};
        struct engine_command command = {.type = (enum engine_command_type)type};
        struct engine_command read = round_trip(&command, &bytes, &arena);
        journal_command_pack(&read, &again);
        assert_true(str_equal(buf_str(&bytes), buf_str(&again)));
    }
}

static void test_subscription(void **state)
{
    (void)state;
    _cleanup_buf_ struct buf bytes = BUF_INIT(1 << 20);
    _cleanup_(arena_fini) struct arena arena = {0};
    const struct str labels[] = {STR("soc2")};
    struct engine_command c = {.type = ENGINE_SUBSCRIBE};
    c.subscription.project = 3;
    c.subscription.choice = (struct engine_choice){.sku = STR("h100"), .zone = STR("a"), .labels = labels, .label_count = 1};
    c.subscription.tier = 2;
    c.subscription.units_milli = 16000;
    c.subscription.rate = 250000;
    struct engine_command read = round_trip(&c, &bytes, &arena);
    assert_true(read.subscription.project == 3 && read.subscription.tier == 2 && read.subscription.units_milli == 16000 && read.subscription.rate == 250000);
    assert_true(str_is(read.subscription.choice.sku, "h100") && str_is(read.subscription.choice.zone, "a"));
    assert_int_equal(read.subscription.choice.label_count, 1);
    assert_true(str_is(read.subscription.choice.labels[0], "soc2"));
}

static void test_registration(void **state)
{
    (void)state;
    _cleanup_buf_ struct buf bytes = BUF_INIT(1 << 20);
    _cleanup_(arena_fini) struct arena arena = {0};
    const struct str labels[] = {STR("soc2"), STR("a")};
    const struct engine_gpu gpus[] = {{0, 81920, STR("GPU-1"), STR("H100")}, {1, 81920, STR("GPU-2"), STR("H100")}};
    struct engine_command c = {.type = ENGINE_NODE_REGISTER};
    c.node.key = 7;
    c.node.name = STR("n1");
    c.node.rack = STR("r1");
    c.node.amounts = (struct market_amounts){2000, 64000, 1 << 20, 5};
    c.node.labels = labels;
    c.node.label_count = 2;
    c.node.gpus = gpus;
    c.node.gpu_count = 2;
    c.node.ask_present = true;
    c.node.ask = -1;
    struct engine_command read = round_trip(&c, &bytes, &arena);
    assert_int_equal(read.node.key, 7);
    assert_true(str_is(read.node.name, "n1") && str_is(read.node.rack, "r1") && read.node.zone.size == 0);
    assert_int_equal(read.node.label_count, 2);
    assert_true(str_is(read.node.labels[1], "a"));
    assert_true(str_is(read.node.gpus[1].uuid, "GPU-2"));
    assert_int_equal(read.node.gpus[1].memory_mib, 81920);
    assert_int_equal(read.node.missing_count, 0);
    assert_int_equal(read.node.amounts.memory_mib, 1 << 20);
    assert_true(read.node.ask_present && read.node.ask == -1);
}

static void test_a_submit_follows_from_its_request(void **state)
{
    (void)state;
    _cleanup_buf_ struct buf bytes = BUF_INIT(1 << 20), packed = BUF_INIT(1 << 20);
    _cleanup_(arena_fini) struct arena arena = {0};
    struct workload_request request;
    struct error err = {0};
    struct str json = STR("{\"name\":\"train\",\"nodes\":3,\"run\":\"true\",\"preemptible\":true,\"limit_udollar_per_hour\":50,\"level\":\"rack\","
                          "\"notice_ms\":7000,\"retries\":2,\"on_lost_contact\":\"freeze\",\"max_run_ms\":60000,"
                          "\"choices\":[{\"sku\":\"cpu\",\"region\":\"eu\",\"labels\":[\"soc2\"],\"amounts\":{\"core_milli\":2000}},{\"amounts\":{\"gpu_milli\":500}}]}");
    assert_int_equal(record_from_json(&workload_request_record, json, &arena, &request, &err), 0);
    record_pack(&workload_request_record, &request, &packed);
    struct engine_command c = {.type = ENGINE_SUBMIT};
    c.submit.project = 3;
    c.submit.idempotency = STR("once");
    c.submit.body_hash = UINT64_MAX;
    c.submit.request_key = 12;
    c.submit.request = buf_str(&packed);
    struct engine_command read = round_trip(&c, &bytes, &arena);
    const struct engine_submit *s = &read.submit;
    assert_int_equal(s->project, 3);
    assert_true(s->body_hash == UINT64_MAX && s->request_key == 12);
    assert_true(str_is(s->idempotency, "once") && str_is(s->name, "train") && str_equal(s->request, buf_str(&packed)));
    assert_int_equal(s->nodes, 3);
    assert_int_equal(s->level, LEVEL_RACK);
    assert_true(s->preemptible && s->limit_present && s->limit == 50 && s->freeze && s->renew);
    assert_int_equal(s->notice, 7000);
    assert_int_equal(s->retries, 2);
    assert_int_equal(s->max_run, 60000);
    assert_int_equal(s->choice_count, 2);
    assert_true(str_is(s->choices[0].region, "eu") && str_is(s->choices[0].labels[0], "soc2"));
    assert_int_equal(s->choices[0].amounts.core_milli, 2000);
    assert_int_equal(s->choices[1].amounts.gpu_milli, 500);
    assert_int_equal(s->choices[1].speed_milli, 1000);
}

static void test_settings_keep_their_meaning(void **state)
{
    (void)state;
    /* The number of an engine's setting moves with the market's; its bytes must not. */
    const int names[] = {SETTING_TICK_MS, MARKET_SETTING_COUNT - 1, SETTING_CONTACT_TIMEOUT_MS, ENGINE_SETTING_END - 1};
    for (size_t i = 0; i < ARRAY_COUNT(names); i++) {
        _cleanup_buf_ struct buf bytes = BUF_INIT(1 << 20);
        _cleanup_(arena_fini) struct arena arena = {0};
        struct engine_command c = {.type = ENGINE_SETTING_SET, .setting = {names[i], 5}};
        assert_int_equal(round_trip(&c, &bytes, &arena).setting.name, names[i]);
    }
    _cleanup_buf_ struct buf bytes = BUF_INIT(1 << 20);
    struct engine_command c = {.type = ENGINE_SETTING_SET, .setting = {SETTING_CONTACT_TIMEOUT_MS, 0}};
    journal_command_pack(&c, &bytes);
    assert_memory_equal(bytes.data + 1, "\x01", 1); /* -1 */
}

static void test_events(void **state)
{
    (void)state;
    _cleanup_buf_ struct buf bytes = BUF_INIT(1 << 20);
    _cleanup_(arena_fini) struct arena arena = {0};
    struct engine_event *read;
    size_t count;
    struct error err = {0};
    struct engine_event events[] = {
        {.type = ENGINE_EVENT_CHARGED, .at = 1790000000000, .project = 1, .workload = 77, .amount = INT64_MIN, .command = -1},
        {.type = ENGINE_EVENT_REPLICA_ENDED, .text = STR("last\n"), .exit_code = -3, .command = 0},
        {.type = ENGINE_EVENT_SETTING_CHANGED, .setting = SETTING_RETAIN_MS, .value = 4, .bound = INT64_MAX, .command = -1},
    };
    for (size_t i = 0; i < ARRAY_COUNT(events); i++)
        journal_event_pack(&events[i], &bytes);
    assert_int_equal(journal_events_unpack(buf_str(&bytes), &arena, &read, &count, &err), 0);
    assert_int_equal(count, 3);
    for (size_t i = 0; i < count; i++) {
        assert_true(str_equal(read[i].text, events[i].text));
        read[i].text = events[i].text;
        assert_memory_equal(&read[i], &events[i], sizeof events[i]);
    }
}

static void test_damage_and_limits(void **state)
{
    (void)state;
    _cleanup_buf_ struct buf bytes = BUF_INIT(1 << 20);
    _cleanup_(arena_fini) struct arena arena = {.limit = 4096};
    struct engine_command *ret, c = {.type = ENGINE_KEY_REVOKE, .revoke = 300};
    size_t count;
    struct error err = {0};
    journal_command_pack(&c, &bytes);
    assert_int_equal(journal_commands_unpack((struct str){bytes.data, bytes.size - 1}, &arena, &ret, &count, &err), -EINVAL);
    buf_clear(&bytes);
    pack_i64(&bytes, ENGINE_COMMAND_COUNT);
    assert_int_equal(journal_commands_unpack(buf_str(&bytes), &arena, &ret, &count, &err), -EINVAL);
    buf_clear(&bytes);
    c = (struct engine_command){.type = ENGINE_TICK};
    for (int i = 0; i < 1000; i++)
        journal_command_pack(&c, &bytes);
    assert_int_equal(journal_commands_unpack(buf_str(&bytes), &arena, &ret, &count, &err), -E2BIG);
}

static uint64_t digest(uint64_t running, const struct engine_result *result)
{
    _cleanup_buf_ struct buf events = BUF_INIT(1 << 20);
    journal_events_pack(result, &events);
    return journal_digest(running, result, buf_str(&events));
}

static void test_digest_sees_everything(void **state)
{
    (void)state;
    struct engine_outcome outcome = {.code = ENGINE_OK, .id = 1};
    struct engine_event event = {.type = ENGINE_EVENT_GAP, .surplus = 5};
    engine_id node = 3;
    struct engine_result result = {.outcomes = &outcome, .outcome_count = 1, .events = &event, .event_count = 1, .nodes = &node, .node_count = 1};
    uint64_t first = digest(9, &result);
    assert_true(first == digest(9, &result) && first != digest(8, &result));
    outcome.id = 2;
    uint64_t second = digest(9, &result);
    event.surplus = 6;
    uint64_t third = digest(9, &result);
    node = 4;
    assert_true(first != second && second != third && third != digest(9, &result));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_command_without_fields), cmocka_unit_test(test_subscription), cmocka_unit_test(test_registration),
        cmocka_unit_test(test_a_submit_follows_from_its_request), cmocka_unit_test(test_settings_keep_their_meaning),
        cmocka_unit_test(test_events), cmocka_unit_test(test_damage_and_limits), cmocka_unit_test(test_digest_sees_everything),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
