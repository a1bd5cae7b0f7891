/* SPDX-License-Identifier: Apache-2.0 */
/* Elastic jobs with deadlines: the readers, the baselines on cases that can be worked out by hand,
 * and what a promise displaces. */
#include "market/admit.h"
#include "sim/elastic.h"

#include "base/hash.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>

/* One GPU does an iteration a second, two do 1.5, four 2. */
static const char speeds[] =
    "gpu_type,model,global_batch_size,num_gpus,iterations_per_s\n"
    "A100,m,8,1,1.0\nA100,m,8,2,1.5\nA100,m,8,4,2\nT4,m,8,1,0.5\nA100,x,8,1,3\nA100,x,8,2,2\n";

static struct buf text_of(const char *text)
{
    struct buf b = BUF_INIT(1 << 20);
    buf_append_text(&b, text);
    return b;
}

static void load(struct itp *t, const char *rows)
{
    struct error err;
    *t = (struct itp){.speed_text = text_of(speeds)};
    _cleanup_buf_ struct buf text =
        text_of("submit_time,iteration,model_name,ddl,batch_size,num_gpu\n");
    buf_append_text(&text, rows);
    assert_int_equal(itp_parse_speeds(t, "speeds", "A100", &err), 0);
    assert_int_equal(itp_parse_jobs(t, "jobs", &text, &err), 0);
}

static void rows_and_speeds_are_read(void **state)
{
    (void)state;
    struct itp t;
    load(&t, "50,10,m,90,8,3\n7,30,x,100,8,1\n");
    assert_int_equal(t.count, 2);
    assert_int_equal(t.jobs[0].submit, 7000);                 /* by submission */
    assert_int_equal(t.jobs[0].speed[1], t.jobs[0].speed[0]); /* a second GPU is of no use */
    assert_int_equal(t.jobs[1].requested, 2);                 /* 3 -> 4 */
    assert_int_equal(t.jobs[1].speed[1], 1500000);
    assert_int_equal(elastic_span(&t.jobs[1], t.jobs[1].work, 2), 5000);
    struct error err;
    _cleanup_buf_ struct buf text =
        text_of("submit_time,iteration,model_name,ddl,batch_size,num_gpu\n1,1,m,2,9,1\n");
    assert_true(itp_parse_jobs(&t, "j.csv", &text, &err) < 0);
    assert_string_equal(err.text, "j.csv:2: no speed of m with batch 9");
    itp_fini(&t);
}

static void overheads_are_as_measured(void **state)
{
    (void)state;
    assert_int_equal(elastic_overhead(0, false), 4000);
    assert_int_equal(elastic_overhead(3, false), 10000);
    assert_int_equal(elastic_overhead(3, true), 37000);
    assert_int_equal(elastic_overhead(8, true), 72000);
}

static struct elastic_result run(const char *rows, uint32_t gpus,
                                 const struct elastic_policy *policy)
{
    struct itp t;
    struct elastic_result r;
    load(&t, rows);
    elastic_simulate(&t, gpus, 4, policy, &r);
    itp_fini(&t);
    return r;
}

static void naive_takes_the_fewest_gpus_that_do(void **state)
{
    (void)state;
    /* 100 iterations in 104 s: one GPU with the start; in 80 s: two; in 30 s: never */
    struct elastic_result r = run("0,100,m,104,8,1\n", 4, &elastic_naive);
    assert_int_equal(r.met, 1);
    r = run("0,100,m,103,8,1\n0,100,m,103,8,1\n0,100,m,103,8,1\n", 4, &elastic_naive);
    assert_int_equal(r.met, 2); /* two GPUs each */
    assert_int_equal(r.bound, 3);
    r = run("0,100,m,30,8,1\n", 4, &elastic_naive);
    assert_int_equal(r.admitted, 0);
    assert_int_equal(r.bound, 0);
}

static void edf_goes_by_deadline_at_the_size_asked_for(void **state)
{
    (void)state;
    /* both want all: the later comes first in line, the other starts again after it */
    struct elastic_result r = run("0,100,m,200,8,4\n10,100,m,80,8,4\n", 4, &elastic_edf);
    assert_int_equal(r.met, 2);
    assert_int_equal(r.admitted, 2);
    assert_int_equal(r.changes, 3);
}

static void elasticflow_takes_what_the_plan_can_keep(void **state)
{
    (void)state;
    /* the first needs one GPU for all of its time; together they fit, with a third they do not */
    struct elastic_result r =
        run("0,100,m,170,8,1\n0,300,m,380,8,1\n0,100,m,170,8,1\n0,100,m,170,8,1\n", 4,
            &elastic_elasticflow);
    assert_int_equal(r.met, 4);
    r = run("0,100,m,104,8,1\n0,100,m,104,8,1\n0,100,m,104,8,1\n0,100,m,104,8,1\n1,100,m,105,8,1\n",
            4, &elastic_elasticflow);
    assert_int_equal(r.admitted, 4);
    assert_int_equal(r.met, 4);
}

/* Whatever comes: every job ends as met, late or declined, and a promise of the fixed sizes holds.
 */
static void nothing_is_lost(void **state)
{
    (void)state;
    static const struct elastic_policy *const all[] = {&elastic_edf, &elastic_naive,
                                                       &elastic_elasticflow, &elastic_market};
    for (uint64_t seed = 1; seed <= 40; seed++) {
        struct prng random = {seed};
        _cleanup_buf_ struct buf rows = BUF_INIT(1 << 20);
        for (int i = 0; i < 60; i++) {
            int at = (int)prng_below(&random, 2000), work = 1 + (int)prng_below(&random, 400);
            buf_printf(&rows, "%d,%d,m,%d,8,%d\n", at, work,
                       at + 5 + (int)prng_below(&random, (uint64_t)work * 2),
                       1 << prng_below(&random, 4));
        }
        for (size_t k = 0; k < 4; k++) {
            struct elastic_result r = run(rows.data, 8, all[k]);
            assert_int_equal(r.jobs, 60);
            assert_int_equal(r.met + r.late_after_admission, r.admitted);
            assert_true(r.met <= r.bound);
            assert_true(k != 1 || r.late_after_admission == 0);
        }
    }
}

static void displaced_value_is_the_end_of_the_line(void **state)
{
    (void)state;
    struct admit a = {0};
    /* 40 asked, one a second: 20 of one unit for a second worth 10, 20 of one unit worth 2 */
    for (int i = 0; i < 40; i++)
        admit_note(&a, &(struct admit_asked){i * 1000, 1000 * 1000, i % 2 ? 10 : 2});
    /* in 40 s that is half a unit at 10 and half at 2 */
    struct admit_promise p = {.units_milli = 500, .span = 40000, .free_milli = 1000, .value = 10};
    assert_int_equal(admit_displaced(&a, 40000, &p), 40);
    p.free_milli = 2000; /* room for all of them and the promise */
    assert_int_equal(admit_displaced(&a, 40000, &p), 0);
    p.free_milli = 500; /* only the dear ones fit: all of those go */
    assert_int_equal(admit_displaced(&a, 40000, &p), 200);
    assert_false(admit_takes(&a, 40000, &p));
    p.value = 50;
    assert_true(admit_takes(&a, 40000, &p));
}

static void little_known_displaces_nothing(void **state)
{
    (void)state;
    struct admit a = {0};
    struct admit_promise p = {.units_milli = 1000, .span = 1000, .free_milli = 0, .value = 0};
    for (int i = 0; i < 19; i++)
        admit_note(&a, &(struct admit_asked){i, 1000000, 1000});
    assert_int_equal(admit_displaced(&a, 20, &p), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_and_speeds_are_read),
        cmocka_unit_test(overheads_are_as_measured),
        cmocka_unit_test(naive_takes_the_fewest_gpus_that_do),
        cmocka_unit_test(edf_goes_by_deadline_at_the_size_asked_for),
        cmocka_unit_test(elasticflow_takes_what_the_plan_can_keep),
        cmocka_unit_test(nothing_is_lost),
        cmocka_unit_test(displaced_value_is_the_end_of_the_line),
        cmocka_unit_test(little_known_displaces_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
