/* SPDX-License-Identifier: Apache-2.0 */
#include "base/memory.h"
#include "net/event_stream.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
#include <errno.h>

/* Each event as "id|type|data;". */
static int note_event(void *context, const struct stream_event *event)
{
    struct buf *seen = context;
    buf_printf(seen, "%.*s|%.*s|%.*s;", STR_ARGS(event->id), STR_ARGS(event->type),
               STR_ARGS(event->data));
    return str_is(event->data, "stop") ? -ECANCELED : 0;
}

static void assert_read(const char *text, const char *expected)
{
    size_t size = strlen(text);
    for (size_t step = 1; step <= size; step++) {
        _cleanup_buf_ struct buf seen = BUF_INIT(4096);
        struct event_stream s = {0};
        for (size_t at = 0; at < size; at += step) {
            struct str piece = {text + at, step < size - at ? step : size - at};
            assert_int_equal(event_stream_feed(&s, piece, note_event, &seen), 0);
        }
        assert_string_equal(buf_text(&seen), expected);
        event_stream_fini(&s);
    }
}

static void test_events_are_read_however_cut(void **state)
{
    (void)state;
    assert_read("data: one\n\n", "|message|one;");
    assert_read("id: 7\nevent: price\ndata: a\ndata: b\n\ndata:c\n\n", "7|price|a\nb;7|message|c;");
    assert_read("data: a\r\rdata: b\r\n\r\ndata: c\n\r\n", "|message|a;|message|b;|message|c;");
    assert_read("\xEF\xBB\xBF"
                "data: a\n\n",
                "|message|a;");
    assert_read("data: a\n\n\xEF\xBB\xBF"
                "data: b\n\n",
                "|message|a;");
    assert_read("data: a\r\ndata: b\r\n\r\n", "|message|a\nb;");
    assert_read(": comment\n\nevent: x\n\ndata\n\n", "|message|;");
    assert_read("data:  two blanks\nunknown: x\ndata\n\n", "|message| two blanks\n;");
    assert_read("id: 1\n\ndata: a\n\nid\ndata: b\n\n", "1|message|a;|message|b;");
    assert_read("data: never ended\n", "");
}

static void test_what_is_written_is_read(void **state)
{
    (void)state;
    _cleanup_buf_ struct buf out = BUF_INIT(4096), seen = BUF_INIT(4096);
    event_stream_format_retry(&out, 1500);
    event_stream_format(&out, STR("12-3"), STR("price\nfake: x"), STR("{\n\"a\":1\r\n}"));
    event_stream_format_comment(&out, STR("alive\ndata: no"));
    event_stream_format(&out, (struct str){0}, (struct str){0}, (struct str){0});
    struct event_stream s = {0};
    assert_int_equal(event_stream_feed(&s, buf_str(&out), note_event, &seen), 0);
    assert_string_equal(buf_text(&seen), "12-3|price|{\n\"a\":1\n};12-3|message|;");
    assert_int_equal(s.retry_ms, 1500);
    event_stream_fini(&s);
}

static void test_broken_event_is_resumed_before_it(void **state)
{
    (void)state;
    _cleanup_buf_ struct buf seen = BUF_INIT(4096);
    struct event_stream s = {0};
    assert_int_equal(
        event_stream_feed(&s, STR("id: 1\ndata: a\n\nid: 2\ndata: b\n"), note_event, &seen), 0);
    event_stream_restart(&s);
    assert_true(str_is(buf_str(&s.id), "1"));
    assert_int_equal(event_stream_feed(&s, STR("\ndata: c\n\n"), note_event, &seen), 0);
    assert_string_equal(buf_text(&seen), "1|message|a;1|message|c;");
    event_stream_fini(&s);
}

static void test_limit_and_callback_end_it(void **state)
{
    (void)state;
    _cleanup_buf_ struct buf seen = BUF_INIT(4096);
    struct event_stream s = {.limit = 20};
    for (int i = 0; i < 10; i++)
        assert_int_equal(event_stream_feed(&s, STR("data: 0123456789\n\n"), note_event, &seen), 0);
    assert_int_equal(
        event_stream_feed(&s, STR("data: 0123456789\ndata: 0123456789\n\n"), note_event, &seen),
        -EMSGSIZE);
    event_stream_fini(&s);
    assert_int_equal(event_stream_feed(&s, STR("data: stop\n\n"), note_event, &seen), -ECANCELED);
    event_stream_fini(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_events_are_read_however_cut),
        cmocka_unit_test(test_what_is_written_is_read),
        cmocka_unit_test(test_broken_event_is_resumed_before_it),
        cmocka_unit_test(test_limit_and_callback_end_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
