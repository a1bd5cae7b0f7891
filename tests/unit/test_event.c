/* SPDX-License-Identifier: Apache-2.0 */
/* Events as people see them: each has a name of its own and a sentence, and pools keep their names. */
#include "base/memory.h"
#include "server/event.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static const struct id_key key = {1, 2};

static struct engine *engine_with(const struct engine_command *commands, size_t count)
{
    struct engine_result result = {0};
    struct engine *e = engine_new(7);
    engine_apply(e, 1000, commands, count, &result);
    for (size_t i = 0; i < count; i++)
        assert_int_equal(result.outcomes[i].code, ENGINE_OK);
    engine_result_fini(&result);
    return e;
}

static struct engine_command node(const char *name, const struct str *label, int64_t cores)
{
    return (struct engine_command){.type = ENGINE_NODE_REGISTER,
                                   .node = {.name = str_from(name), .version = STR("1"), .boot = STR("b"), .address = STR("127.0.0.11"),
                                            .sku = STR("cpu"), .provider = STR("home"), .region = STR("local"), .zone = STR("a"), .fabric = STR("f"),
                                            .rack = STR("r"), .amounts = {.core_milli = cores, .memory_mib = 4096}, .labels = label,
                                            .label_count = label ? 1 : 0, .ask_present = true, .ask = 40000}};
}

static void every_type_has_a_name_and_a_sentence(void **state)
{
    (void)state;
    struct engine *e = engine_new(7);
    struct arena arena = {0};
    for (int i = 0; i < ENGINE_EVENT_TYPE_COUNT; i++) {
        struct engine_event event = {.type = (enum engine_event_type)i, .reason = REASON_PREEMPTED, .nodes = 1};
        struct api_event shown;
        event_render(e, key, &event, &arena, &shown);
        assert_true(shown.type.size > 0 && shown.text.size > 0);
        for (int k = 0; k < i; k++)
            assert_false(str_is(shown.type, event_type_name((enum engine_event_type)k)));
    }
    engine_free(e);
    arena_fini(&arena);
}

static void text_is(const struct engine *e, const struct engine_event *event, const char *text)
{
    struct arena arena = {0};
    struct api_event shown;
    event_render(e, key, event, &arena, &shown);
    if (!str_is(shown.text, text))
        fail_msg("\"%.*s\" is not \"%s\"", STR_ARGS(shown.text), text);
    arena_fini(&arena);
}

static void sentences_say_numbers(void **state)
{
    (void)state;
    struct engine *e = engine_with((struct engine_command[]){node("n1", NULL, 4000)}, 1);
    text_is(e, &(struct engine_event){.type = ENGINE_EVENT_WORKLOAD_ASSIGNED, .units_milli = 1500, .nodes = 3, .pool = 1, .rate = 1234567},
            "won 1.5 units on 3 nodes of cpu@home/local/a at $1.234567 an hour");
    text_is(e, &(struct engine_event){.type = ENGINE_EVENT_WORKLOAD_PREEMPTING, .at = 1000, .deadline = 31000, .reason = REASON_PREEMPTED},
            "has to leave within 30 s: a higher bid takes its place");
    text_is(e, &(struct engine_event){.type = ENGINE_EVENT_WORKLOAD_FAILED, .reason = REASON_EXITED, .exited = 1, .exit_code = 7, .exit_rank = 2},
            "failed: rank 2 ended with code 7");
    text_is(e, &(struct engine_event){.type = ENGINE_EVENT_CHARGED, .from = 0, .to = 7200000, .rate = 40000, .amount = -80000, .charge = CHARGE_REFUND},
            "-$0.0800 for 2 h 0 min at $0.0400 an hour (refund)");
    text_is(e, &(struct engine_event){.type = ENGINE_EVENT_NODE_LOST, .node = 1}, "contact with n1 is lost");
    text_is(e, &(struct engine_event){.type = ENGINE_EVENT_SUBSCRIPTION, .project = 1, .value = 2, .units_milli = 4000, .rate = 250000},
            "project default may start 4 units within tier seconds, at $0.2500 an hour for each that is held");
    text_is(e, &(struct engine_event){.type = ENGINE_EVENT_SUBSCRIPTION, .project = 1, .value = 2, .units_milli = 1000, .state = 1},
            "project default cannot pay for its 1 unit of tier seconds: nothing is held");
    text_is(e, &(struct engine_event){.type = ENGINE_EVENT_HEADROOM_POSTED, .pool = 1, .value = 1, .units_milli = 1500, .amount = 10000},
            "cpu@home/local/a holds 1.5 units for tier instant; work that could leave in time is credited $0.0100 per unit-hour");
    engine_free(e);
}

/* Old prices are kept by a pool's name: it may not change when others of its kind come. */
static void pools_keep_their_names(void **state)
{
    (void)state;
    struct arena arena = {0};
    struct str label = STR("fast");
    struct engine_command commands[] = {node("n1", NULL, 4000), node("n2", &label, 4000), node("n3", NULL, 8000)};
    struct engine *e = engine_with(commands, 3);
    size_t count = market_pool_count(engine_market(e));
    assert_true(count >= 2);
    for (size_t i = 0; i < count; i++) {
        market_id pool = market_pool(engine_market(e), i).pool;
        struct str name = pool_name(e, pool, &arena);
        assert_int_equal(pool_named(e, name, &arena), pool);
        assert_true(str_starts(name, STR("cpu@home/local/a")));
    }
    assert_true(str_is(pool_name(e, market_pool(engine_market(e), 0).pool, &arena), "cpu@home/local/a"));
    assert_true(str_is(pool_name(e, engine_node_named(e, STR("n2"))->pool, &arena), "cpu@home/local/a+fast"));
    assert_int_equal(pool_named(e, STR("none"), &arena), 0);
    assert_int_equal(pool_name(e, 0, &arena).size, 0);
    engine_free(e);
    arena_fini(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_type_has_a_name_and_a_sentence),
        cmocka_unit_test(sentences_say_numbers),
        cmocka_unit_test(pools_keep_their_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
