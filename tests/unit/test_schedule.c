/* SPDX-License-Identifier: Apache-2.0 */
/* The search for an order, against every order there is, and Hydra's files. */
#include "market/schedule.h"
#include "sim/hydra.h"

#include "base/hash.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#define JOBS 5

static time_ms runs[JOBS][2];
static struct schedule_job jobs[JOBS];
static const uint32_t one_each[] = {1, 1};

static void jobs_draw(struct prng *random)
{
    for (size_t i = 0; i < JOBS; i++) {
        runs[i][0] = 1 + (time_ms)prng_below(random, 50);
        runs[i][1] = 1 + (time_ms)prng_below(random, 50);
        jobs[i] = (struct schedule_job){
            runs[i], prng_below(random, 3) ? TIME_NEVER : 20 + (time_ms)prng_below(random, 150)};
    }
}

struct outcome {
    int64_t late, sum;
};

static struct outcome outcome_of(const struct schedule_slot *slots)
{
    struct outcome o = {0};
    for (size_t i = 0; i < JOBS; i++) {
        o.late += slots[i].end > jobs[i].deadline;
        o.sum += slots[i].end;
    }
    return o;
}

static bool better(struct outcome a, struct outcome b)
{
    return a.late < b.late || (a.late == b.late && a.sum < b.sum);
}

/* Tries every order and every split of it over the two places. */
static struct outcome best_of_all(void)
{
    struct outcome best = {INT64_MAX, INT64_MAX};
    for (uint32_t code = 0; code < 120 * 32; code++) {
        uint32_t left[JOBS] = {0, 1, 2, 3, 4}, order = code / 32, count = JOBS;
        time_ms now[2] = {0};
        struct schedule_slot slots[JOBS];
        while (count) {
            uint32_t at = order % count;
            order /= count;
            uint32_t job = left[at], place = code >> job & 1;
            left[at] = left[--count];
            now[place] += runs[job][place];
            slots[job].end = now[place];
        }
        struct outcome o = outcome_of(slots);
        if (better(o, best))
            best = o;
    }
    return best;
}

static void check_slots(const struct schedule_slot *slots)
{
    for (size_t i = 0; i < JOBS; i++) {
        assert_int_equal(slots[i].end - slots[i].start, runs[i][slots[i].pool]);
        for (size_t j = 0; j < i; j++)
            assert_true(slots[i].place != slots[j].place || slots[i].end <= slots[j].start ||
                        slots[j].end <= slots[i].start);
    }
}

static void the_search_finds_the_best(void **state)
{
    (void)state;
    struct prng random = {7};
    struct schedule s = {jobs, JOBS, one_each, 2};
    for (int round = 0; round < 60; round++) {
        struct schedule_slot slots[JOBS], again[JOBS];
        jobs_draw(&random);
        assert_true(schedule_search(&s, 1, 40000, slots));
        check_slots(slots);
        struct outcome found = outcome_of(slots), best = best_of_all();
        assert_int_equal(found.late, best.late);
        if (best.late == 0)
            assert_int_equal(found.sum, best.sum);
        assert_true(schedule_search(&s, 1, 40000, again));
        assert_memory_equal(slots, again, sizeof slots);
    }
}

static void greedy_goes_by_deadline_then_length(void **state)
{
    (void)state;
    static const time_ms run[3][2] = {{10, 20}, {30, 30}, {5, 50}};
    struct schedule_job three[] = {{run[0], TIME_NEVER}, {run[1], 40}, {run[2], TIME_NEVER}};
    struct schedule s = {three, 3, one_each, 2};
    struct schedule_slot slots[3];
    assert_true(schedule_greedy(&s, slots));
    assert_int_equal(slots[1].end, 30); /* the deadline first, in the first pool */
    assert_int_equal(slots[2].end, 35); /* then the shortest, where it ends first */
    assert_int_equal(slots[0].end, 20);
}

static void a_job_that_fits_nowhere_is_told(void **state)
{
    (void)state;
    static const time_ms run[2] = {TIME_NEVER, TIME_NEVER};
    struct schedule_job none = {run, TIME_NEVER};
    struct schedule s = {&none, 1, one_each, 2};
    struct schedule_slot slot;
    assert_false(schedule_greedy(&s, &slot));
    assert_false(schedule_search(&s, 1, 10, &slot));
}

static int parse(struct hydra *h, const char *text, int64_t limit, struct error *err)
{
    _cleanup_buf_ struct buf b = BUF_INIT(1 << 16);
    buf_append_text(&b, text);
    return hydra_parse(h, "h.csv", &b, limit, err);
}

static void hydra_files_are_read(void **state)
{
    (void)state;
    struct error err;
    struct hydra h = {};
    const char *text = ",job_name,norm_job_submit_time,ddl,A100,V100,GTX2080Ti\n0,a,0,inf,10.0,15."
                       "5,20\n1,b,0,99,1,2,3\n2,c,5,inf,1,2,3\n";
    assert_int_equal(parse(&h, text, 2, &err), 0);
    assert_int_equal(h.count, 2);
    assert_int_equal(h.jobs[0].run[1], 15500);
    assert_int_equal(h.jobs[0].deadline, TIME_NEVER);
    assert_int_equal(h.jobs[1].deadline, 99000);
    hydra_fini(&h);
    assert_true(parse(&h, text, 3, &err) < 0);
    assert_string_equal(err.text,
                        "h.csv:4: this job comes later; all must be there at 0: --limit 2");
    hydra_fini(&h);
    assert_int_equal(hydra_fleet(&h, "a100=1,2080ti=3", &err), 0);
    assert_int_equal(h.places[2], 3);
    assert_true(hydra_fleet(&h, "h100=1", &err) < 0);
    assert_string_equal(err.text, "--fleet: h100: known are a100, v100 and 2080ti");
    hydra_fini(&h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_search_finds_the_best),
        cmocka_unit_test(greedy_goes_by_deadline_then_length),
        cmocka_unit_test(a_job_that_fits_nowhere_is_told),
        cmocka_unit_test(hydra_files_are_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
