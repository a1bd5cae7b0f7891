/* SPDX-License-Identifier: Apache-2.0 */
/* Answers that are kept: for one state and one key, bounded, the oldest going first. */
#include "base/clock.h"
#include "base/number.h"
#include "server/api_kept.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <cmocka.h>

static void take(void *context, const struct http_response *response)
{
    struct str *body = context;
    assert_int_equal(response->status, 200);
    assert_true(str_is(response->content_type, "application/json"));
    assert_int_equal(response->header_count, 0);
    *body = response->body;
}

static void put(struct api_kept *k, uint64_t seq, const char *key, const char *body)
{
    static const struct http_pair header = {{"X-Request-Id", 12}, {"mine", 4}};
    kept_put(k, seq, str_from(key), &(struct http_response){.status = 200, .content_type = STR("application/json"), .headers = &header,
                                                           .header_count = 1, .body = str_from(body)});
}

/* NULL: none. */
static const char *got(struct api_kept *k, uint64_t seq, const char *key)
{
    static char text[64];
    struct str body = {0};
    if (!kept_find(k, seq, str_from(key), take, &body))
        return NULL;
    snprintf(text, sizeof text, "%.*s", STR_ARGS(body));
    return text;
}

static void test_one_state_and_one_key(void **state)
{
    (void)state;
    struct api_kept *k = kept_new(4096);
    assert_null(got(k, 0, "a"));
    put(k, 7, "a", "one");
    put(k, 7, "b", "two");
    assert_string_equal(got(k, 7, "a"), "one");
    assert_string_equal(got(k, 7, "b"), "two");
    assert_null(got(k, 7, "ab"));
    assert_null(got(k, 7, ""));
    assert_null(got(k, 6, "a"));
    assert_null(got(k, 8, "a"));
    put(k, 8, "b", "three"); /* a newer state ends all of the older one */
    assert_null(got(k, 7, "a"));
    assert_null(got(k, 7, "b"));
    assert_null(got(k, 8, "a"));
    assert_string_equal(got(k, 8, "b"), "three");
    put(k, 7, "a", "late"); /* a reader that was overtaken */
    assert_null(got(k, 7, "a"));
    assert_null(got(k, 8, "a"));
    put(k, 8, "b", "again");
    assert_string_equal(got(k, 8, "b"), "again");
    kept_free(k);
}

static void test_bounded(void **state)
{
    (void)state;
    enum { LIMIT = 8192 };
    struct api_kept *k = kept_new(LIMIT);
    char key[24], body[601];
    memset(body, 'x', sizeof body - 1);
    body[sizeof body - 1] = '\0';
    for (int i = 0; i < 100; i++) {
        snprintf(key, sizeof key, "key %d", i);
        put(k, 3, key, body);
        assert_true(kept_bytes(k) <= LIMIT);
    }
    assert_non_null(got(k, 3, "key 99"));
    assert_non_null(got(k, 3, "key 92"));
    assert_null(got(k, 3, "key 0"));
    assert_null(got(k, 3, "key 80"));
    size_t before = kept_bytes(k);
    char large[LIMIT / 4 + 1];
    memset(large, 'y', sizeof large - 1);
    large[sizeof large - 1] = '\0';
    put(k, 3, "large", large);
    assert_null(got(k, 3, "large"));
    assert_int_equal(kept_bytes(k), before);
    put(k, 4, "small", "z");
    assert_true(kept_bytes(k) < 256);
    kept_free(k);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_state_and_one_key),
        cmocka_unit_test(test_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
