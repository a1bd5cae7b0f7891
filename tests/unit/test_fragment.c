/* SPDX-License-Identifier: Apache-2.0 */
/* The loss of placeable demand, on cases that can be worked out by hand. */
#include "market/fragment.h"
#include "market/market_internal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

static const uint64_t both = 3, first = 1;

static struct room room_of(int64_t cores, int64_t a, int64_t b)
{
    struct room r = {.free = {.gpu_milli = a + b, .core_milli = cores, .memory_mib = 1000}};
    r.share[0] = (uint16_t)a;
    r.share[1] = (uint16_t)b;
    return r;
}

static int64_t loss_of(const struct fragment *f, struct room before, struct room after)
{
    return fragment_of(f, &(struct fragment_node){&after, 0, 2}) - fragment_of(f, &(struct fragment_node){&before, 0, 2});
}

static void idle_gpu_that_a_shape_cannot_use_is_lost(void **state)
{
    (void)state;
    struct fragment_shape shapes[] = {{{.gpu_milli = 1000}, 1, &both}, {{.gpu_milli = 300}, 3, &both}};
    struct fragment *f = fragment_new(shapes, 2, 1);
    struct room r = room_of(0, 1000, 200);
    /* a quarter cannot use 200, three quarters cannot either */
    assert_int_equal(fragment_of(f, &(struct fragment_node){&r, 0, 2}), 200 * (int64_t)FRAGMENT_ONE);
    r = room_of(0, 900, 0);
    assert_int_equal(fragment_of(f, &(struct fragment_node){&r, 0, 2}), 900 * (int64_t)FRAGMENT_ONE / 4);
    fragment_free(f);
}

static void a_share_goes_beside_another(void **state)
{
    (void)state;
    struct fragment_shape shapes[] = {{{.gpu_milli = 1000}, 1, &both}, {{.gpu_milli = 500}, 1, &both}};
    struct fragment *f = fragment_new(shapes, 2, 1);
    assert_true(loss_of(f, room_of(0, 1000, 500), room_of(0, 1000, 0)) < loss_of(f, room_of(0, 1000, 500), room_of(0, 500, 500)));
    fragment_free(f);
}

static void cores_that_gpus_need_are_kept(void **state)
{
    (void)state;
    struct fragment_shape shapes[] = {{{.gpu_milli = 1000, .core_milli = 10000}, 1, &both}, {{.core_milli = 10000}, 1, &both}};
    struct fragment *f = fragment_new(shapes, 2, 1);
    /* a replica without GPUs: on the node with cores to spare it costs nothing */
    assert_int_equal(loss_of(f, room_of(90000, 1000, 1000), room_of(80000, 1000, 1000)), 0);
    assert_int_equal(loss_of(f, room_of(20000, 1000, 1000), room_of(10000, 1000, 1000)), 1000 * (int64_t)FRAGMENT_ONE);
    fragment_free(f);
}

static void what_few_pools_can_serve_is_scarce(void **state)
{
    (void)state;
    struct fragment_shape shapes[] = {{{.gpu_milli = 1000}, 1, &both}, {{.gpu_milli = 1000}, 1, &first}};
    struct fragment *f = fragment_new(shapes, 2, 1);
    int64_t idle[] = {1000, 3000}, scarcity[2];
    fragment_scarcity(f, idle, scarcity, 2);
    assert_int_equal(scarcity[0], FRAGMENT_ONE / 2 + FRAGMENT_ONE / 2 * 4);
    assert_int_equal(scarcity[1], FRAGMENT_ONE / 2);
    int64_t none[] = {0, 0};
    fragment_scarcity(f, none, scarcity, 2);
    assert_int_equal(scarcity[0], 0);
    fragment_free(f);
}

static void without_gpus_nothing_is_lost(void **state)
{
    (void)state;
    struct fragment_shape shapes[] = {{{.core_milli = 1000}, 5, &both}};
    struct fragment *f = fragment_new(shapes, 1, 1);
    struct room r = room_of(0, 1000, 1000);
    assert_int_equal(fragment_of(f, &(struct fragment_node){&r, 0, 2}), 0);
    fragment_free(f);
    f = fragment_new(NULL, 0, 1);
    assert_int_equal(fragment_of(f, &(struct fragment_node){&r, 0, 2}), 0);
    fragment_free(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(idle_gpu_that_a_shape_cannot_use_is_lost),
        cmocka_unit_test(a_share_goes_beside_another),
        cmocka_unit_test(cores_that_gpus_need_are_kept),
        cmocka_unit_test(what_few_pools_can_serve_is_scarce),
        cmocka_unit_test(without_gpus_nothing_is_lost),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
