/* SPDX-License-Identifier: Apache-2.0 */
/* The deadline rule of the market, and the baselines beside it, on availability made by hand. */
#include "sim/spot.h"

#include "base/hash.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#define TICKS 312 /* 52 h */

static struct spot_result run_on(bool *available, time_ms restart, const struct spot_policy *policy)
{
    struct spot_trace trace = {STR("t"), TICKS, available};
    struct spot_window w = {0, restart, 0, TICKS};
    return spot_run(&trace, &w, TICKS, policy);
}

static void spot_alone_when_it_is_always_there(void **state)
{
    (void)state;
    bool available[TICKS];
    memset(available, 1, sizeof available);
    const struct spot_policy *all[] = {&spot_greedy, &spot_uniform_progress, &spot_deadline};
    for (size_t i = 0; i < 3; i++) {
        struct spot_result r = run_on(available, 180000, all[i]);
        assert_int_equal(r.spot_ticks, 289); /* 48 h and one start */
        assert_int_equal(r.on_demand_ticks, 0);
        assert_int_equal(r.starts, 1);
        assert_false(r.late);
    }
}

static void on_demand_alone_when_there_is_none(void **state)
{
    (void)state;
    bool available[TICKS] = {0};
    struct spot_result r = run_on(available, 180000, &spot_deadline);
    assert_int_equal(r.spot_ticks, 0);
    assert_int_equal(r.on_demand_ticks, 289);
    assert_int_equal(r.starts, 1);
    assert_false(r.late);
    assert_true(spot_cost(&r) == (int128)289 * ON_DEMAND_PRICE);
}

static void never_late_whatever_the_spot_does(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 2000; seed++) {
        struct prng random = {seed};
        bool available[TICKS];
        uint64_t change = 1 + prng_below(&random, 30);
        bool now = seed & 1;
        for (size_t i = 0; i < TICKS; i++) {
            now ^= prng_below(&random, change) == 0;
            available[i] = now;
        }
        assert_false(
            run_on(available, (time_ms)prng_below(&random, 6) * 72000, &spot_deadline).late);
    }
}

static const struct deadline base = {.time_left = 20 * HOUR_MS,
                                     .work_left = 10 * HOUR_MS,
                                     .restart = 360000,
                                     .step = 600000,
                                     .cheap = 1000,
                                     .firm = 3000,
                                     .offered = true};

static void the_reserve_follows_the_work(void **state)
{
    (void)state;
    /* 6 % of 10 h, 15 restarts, and 2 */
    assert_int_equal(deadline_reserve(10 * HOUR_MS, 360000), 36 * 60000 + 17 * 360000);
    assert_int_equal(deadline_reserve(0, 360000), 720000);
}

static void it_waits_on_slack_above_the_reserve(void **state)
{
    (void)state;
    struct deadline d = base;
    d.offered = false;
    assert_int_equal(deadline_decide(&d), DEADLINE_WAIT);
    d.time_left = d.work_left + deadline_reserve(d.work_left, d.restart);
    assert_int_equal(deadline_decide(&d), DEADLINE_FIRM);
    d.time_left++;
    assert_int_equal(deadline_decide(&d), DEADLINE_WAIT);
    d.running = DEADLINE_FIRM;
    assert_int_equal(deadline_decide(&d), DEADLINE_FIRM);
}

static void cheap_only_where_it_is_cheaper_and_one_can_return(void **state)
{
    (void)state;
    struct deadline d = base;
    assert_int_equal(deadline_decide(&d), DEADLINE_CHEAP);
    d.cheap = d.firm;
    assert_int_equal(deadline_decide(&d), DEADLINE_WAIT);
    d = base;
    d.running = DEADLINE_FIRM;
    d.time_left = d.work_left + 2 * d.restart + d.step;
    assert_int_equal(deadline_decide(&d), DEADLINE_CHEAP);
    d.time_left--;
    assert_int_equal(deadline_decide(&d), DEADLINE_FIRM);
    d.running = DEADLINE_CHEAP;
    assert_int_equal(deadline_decide(&d), DEADLINE_CHEAP);
}

static struct buf text_of(const char *text)
{
    struct buf b = BUF_INIT(1 << 20);
    buf_append_text(&b, text);
    return b;
}

static void availability_is_run_length_coded(void **state)
{
    (void)state;
    struct error err;
    struct spot_traces s = {};
    struct buf series = text_of("trace,tick_seconds,n_ticks\na,600,6\nb,195,6\navailability.1n.aws-"
                                "10-26-2022.e.head,600,400\n");
    struct buf changes = text_of("trace,tick,available\na,1,2\nb,0,1\na,3,0\na,5,1\n");
    struct buf windows =
        text_of("env,restart_overhead_h,window_id,start_tick,end_tick\ne,0.05,7,3,317\n");
    assert_int_equal(spot_parse_series(&s, "series", &series, &err), 0);
    assert_int_equal(spot_parse_changes(&s, "changes", &changes, &err), 0);
    assert_int_equal(spot_parse_windows(&s, "windows", &windows, &err), 0);
    assert_int_equal(s.trace_count, 2);
    static const bool expected[] = {false, true, true, false, false, true};
    assert_memory_equal(s.traces[0].available, expected, sizeof expected);
    assert_int_equal(s.windows[0].restart, 180000);
    assert_int_equal(s.windows[0].first, 3);
    struct buf unknown = text_of("env,restart_overhead_h,start_tick,end_tick\nx,0.05,3,317\n");
    assert_true(spot_parse_windows(&s, "w.csv", &unknown, &err) < 0);
    assert_string_equal(err.text,
                        "w.csv:2: env: no availability of availability.1n.aws-10-26-2022.x.head");
    spot_fini(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(spot_alone_when_it_is_always_there),
        cmocka_unit_test(on_demand_alone_when_there_is_none),
        cmocka_unit_test(never_late_whatever_the_spot_does),
        cmocka_unit_test(the_reserve_follows_the_work),
        cmocka_unit_test(it_waits_on_slack_above_the_reserve),
        cmocka_unit_test(cheap_only_where_it_is_cheaper_and_one_can_return),
        cmocka_unit_test(availability_is_run_length_coded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
