/* SPDX-License-Identifier: Apache-2.0 */
#include "base/buf.h"
#include "base/error.h"
#include "base/hash.h"
#include "base/map.h"
#include "base/number.h"
#include "base/pack.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

static void test_divisions_round_by_name(void **state)
{
    (void)state;
    assert_int_equal(mul_div_floor(-7, 1, 2), -4);
    assert_int_equal(mul_div_ceil(-7, 1, 2), -3);
    assert_int_equal(mul_div_floor(7, 3, 2), 10);
    assert_int_equal(mul_div_ceil(7, 3, 2), 11);
    assert_int_equal(mul_div_floor(INT64_MAX, 1000, 1000), INT64_MAX);
}

/* The reference vector of the SipHash paper, appendix A. */
static void test_siphash_matches_the_paper(void **state)
{
    (void)state;
    unsigned char input[15];
    for (unsigned char i = 0; i < sizeof input; i++)
        input[i] = i;
    struct hash_key key = {0x0706050403020100u, 0x0f0e0d0c0b0a0908u};
    assert_true(siphash(key, input, sizeof input) == 0xa129ca6149be45e5u);
}

/* Random adds and removes against a plain array as the model. */
static void test_map_agrees_with_a_model(void **state)
{
    (void)state;
    struct map m = {0};
    struct str_map names = {0};
    uint64_t model[257] = {0};
    struct prng random = {42};
    for (int step = 0; step < 20000; step++) {
        uint64_t key = 1 + prng_below(&random, 256), value = 1 + prng_below(&random, 1000);
        struct str name = {(const char *)&key, sizeof key};
        if (prng_below(&random, 3) == 0) {
            assert_int_equal(map_remove(&m, key), model[key] != 0);
            assert_int_equal(str_map_remove(&names, name), model[key] != 0);
            model[key] = 0;
        } else {
            map_set(&m, key, value);
            str_map_set(&names, name, value);
            model[key] = value;
        }
        uint64_t probe = 1 + prng_below(&random, 256);
        assert_int_equal(map_get(&m, probe), model[probe]);
        assert_int_equal(str_map_get(&names, (struct str){(const char *)&probe, sizeof probe}), model[probe]);
    }
    map_fini(&m);
    str_map_fini(&names);
}

static void test_pack_round_trips_and_refuses_short_input(void **state)
{
    (void)state;
    _cleanup_buf_ struct buf out = BUF_INIT(BUF_LIMIT_DEFAULT);
    const int64_t values[] = {0, 1, -1, 63, -64, 64, INT64_MAX, INT64_MIN};
    for (size_t i = 0; i < ARRAY_COUNT(values); i++)
        pack_i64(&out, values[i]);
    pack_str(&out, STR("rack"));
    struct unpack in = unpack_from(buf_str(&out));
    for (size_t i = 0; i < ARRAY_COUNT(values); i++)
        assert_true(unpack_i64(&in) == values[i]);
    assert_true(str_is(unpack_str(&in), "rack"));
    assert_false(in.bad);
    unpack_u64(&in);
    assert_true(in.bad);
    for (size_t cut = 0; cut < out.size; cut++) {
        struct unpack part = unpack_from((struct str){out.data, cut});
        for (size_t i = 0; i < ARRAY_COUNT(values); i++)
            unpack_i64(&part);
        unpack_str(&part);
        assert_true(part.bad);
    }
}

static void test_buf_stops_at_its_limit(void **state)
{
    (void)state;
    _cleanup_buf_ struct buf b = BUF_INIT(8);
    buf_append_text(&b, "12345678");
    assert_false(b.overflow);
    buf_append_byte(&b, '9');
    assert_true(b.overflow);
    assert_string_equal(buf_text(&b), "12345678");
}

static void test_buf_writes_numbers(void **state)
{
    (void)state;
    static const uint64_t values[] = {0, 7, 10, 99, 100, 12345, UINT64_MAX};
    for (size_t i = 0; i < ARRAY_COUNT(values); i++)
        for (unsigned width = 0; width <= 20; width++) {
            char expected[32];
            _cleanup_buf_ struct buf b = BUF_INIT(64);
            snprintf(expected, sizeof expected, "%0*llu", (int)width, (unsigned long long)values[i]);
            buf_append_number(&b, values[i], width);
            assert_string_equal(buf_text(&b), expected);
        }
}

static void test_str_to_i64_takes_whole_integers_only(void **state)
{
    (void)state;
    int64_t value = 0;
    assert_true(str_to_i64(STR("-9223372036854775808"), &value));
    assert_true(value == INT64_MIN);
    assert_true(str_to_i64(STR("9223372036854775807"), &value));
    assert_true(value == INT64_MAX);
    const char *const bad[] = {"", "-", "+", "9223372036854775808", "-9223372036854775809", "1x", " 1"};
    for (size_t i = 0; i < ARRAY_COUNT(bad); i++)
        assert_false(str_to_i64(str_from(bad[i]), &value));
}

static void test_errors_are_prefixed_with_their_path(void **state)
{
    (void)state;
    struct error err = {0};
    assert_int_equal(error_set(&err, -22, "%d is too small", -1), -22);
    assert_int_equal(error_prefix(&err, "resources.%s", "cpus"), -22);
    assert_string_equal(err.text, "resources.cpus: -1 is too small");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_divisions_round_by_name),
        cmocka_unit_test(test_siphash_matches_the_paper),
        cmocka_unit_test(test_map_agrees_with_a_model),
        cmocka_unit_test(test_pack_round_trips_and_refuses_short_input),
        cmocka_unit_test(test_buf_stops_at_its_limit),
        cmocka_unit_test(test_buf_writes_numbers),
        cmocka_unit_test(test_str_to_i64_takes_whole_integers_only),
        cmocka_unit_test(test_errors_are_prefixed_with_their_path),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
