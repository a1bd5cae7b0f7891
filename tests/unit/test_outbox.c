/* SPDX-License-Identifier: Apache-2.0 */
#include "base/check.h"
#include "base/memory.h"
#include "server/outbox.h"
#include "server/webhook.h"
#include "server/mail.h"
#include "net/mail.h"
#include "records/workload.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct place {
    char dir[64], path[96];
    struct outbox *outbox;
    struct arena arena;
    struct error err;
};

static void place_open(struct place *p, time_ms now)
{
    if (outbox_open(&p->outbox, p->path, now, &p->err) < 0)
        fail_msg("%s", p->err.text);
}

static int place_make(void **state)
{
    struct place *p = xcalloc(1, sizeof *p);
    snprintf(p->dir, sizeof p->dir, "%s/tessera-outbox-XXXXXX", getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp");
    if (mkdtemp(p->dir) == NULL)
        return -1;
    snprintf(p->path, sizeof p->path, "%s/" OUTBOX_NAME, p->dir);
    place_open(p, 5000);
    *state = p;
    return 0;
}

static int place_drop(void **state)
{
    struct place *p = *state;
    outbox_close(p->outbox);
    arena_fini(&p->arena);
    char command[128];
    snprintf(command, sizeof command, "rm -rf '%s'", p->dir);
    int r = system(command);
    xfree(p);
    return r;
}

static void put(struct place *p, uint64_t lane, const char *id)
{
    const struct outbox_item item = {.lane = lane, .id = str_from(id), .type = STR("budget"), .body = STR("{}"), .at = 7};
    assert_int_equal(outbox_lane_make(p->outbox, lane, &p->err), 0);
    assert_int_equal(outbox_put(p->outbox, &item, &p->err), 0);
}

static void expect_first(struct place *p, uint64_t lane, const char *id, uint64_t *ret_number)
{
    struct outbox_item item = {0};
    int r = outbox_first(p->outbox, lane, &p->arena, &item, &p->err);
    assert_int_equal(r, id != NULL);
    if (id)
        assert_true(str_is(item.id, id));
    if (ret_number)
        *ret_number = item.number;
}

static void a_lane_goes_in_its_order_and_on_after_a_kill(void **state)
{
    struct place *p = *state;
    uint64_t number;
    outbox_begin(p->outbox, &p->err);
    put(p, 1, "10-0");
    put(p, 2, "10-0");
    put(p, 1, "10-3");
    assert_int_equal(outbox_commit(p->outbox, (struct table_position){10, 3}, &p->err), 0);
    expect_first(p, 1, "10-0", &number);
    outbox_close(p->outbox); /* a kill between sending and recording: it is sent again, under its id */
    place_open(p, 9000);
    assert_int_equal(outbox_cursor(p->outbox).seq, 10);
    assert_int_equal(outbox_cursor(p->outbox).position, 3);
    assert_int_equal(outbox_begun(p->outbox), 5000);
    expect_first(p, 1, "10-0", &number);
    struct outbox_lane lane = {.id = 1, .delivered = 1, .delivered_at = 6, .status = 200};
    assert_int_equal(outbox_record(p->outbox, &lane, number, &p->err), 0);
    outbox_close(p->outbox);
    place_open(p, 9000);
    expect_first(p, 1, "10-3", NULL);
    expect_first(p, 2, "10-0", NULL);
    expect_first(p, 3, NULL, NULL);
}

static void what_is_not_committed_was_never_there(void **state)
{
    struct place *p = *state;
    outbox_begin(p->outbox, &p->err);
    put(p, 1, "10-0");
    outbox_rollback(p->outbox);
    expect_first(p, 1, NULL, NULL);
    outbox_begin(p->outbox, &p->err);
    put(p, 1, "10-0");
    outbox_close(p->outbox);
    place_open(p, 9000);
    expect_first(p, 1, NULL, NULL);
    assert_int_equal(outbox_cursor(p->outbox).seq, 0);
}

static void how_a_lane_stands_is_kept(void **state)
{
    struct place *p = *state;
    struct outbox_lane lane = {.id = 4, .attempts = 3, .due = 100, .failing = 50, .delivered = 9, .delivered_at = 40, .status = 503, .error = "busy"};
    struct outbox_lane *lanes;
    size_t count;
    outbox_begin(p->outbox, &p->err);
    put(p, 4, "10-0");
    put(p, 4, "10-1");
    put(p, 6, "10-0");
    assert_int_equal(outbox_commit(p->outbox, (struct table_position){10, 1}, &p->err), 0);
    assert_int_equal(outbox_record(p->outbox, &lane, 0, &p->err), 0);
    outbox_close(p->outbox);
    place_open(p, 9000);
    assert_int_equal(outbox_lanes(p->outbox, &p->arena, &lanes, &count, &p->err), 0);
    assert_int_equal(count, 2);
    assert_int_equal(lanes[0].waiting, 2);
    lane.waiting = 2;
    assert_memory_equal(&lanes[0].attempts, &lane.attempts, offsetof(struct outbox_lane, error) - offsetof(struct outbox_lane, attempts));
    assert_string_equal(lanes[0].error, "busy");
    lane.disabled = 200; /* given up: nothing waits any more */
    assert_int_equal(outbox_record(p->outbox, &lane, 0, &p->err), 0);
    expect_first(p, 4, NULL, NULL);
    expect_first(p, 6, "10-0", NULL);
    assert_int_equal(outbox_lane_drop(p->outbox, 6, &p->err), 0);
    assert_int_equal(outbox_lanes(p->outbox, &p->arena, &lanes, &count, &p->err), 0);
    assert_int_equal(count, 1);
    assert_int_equal(lanes[0].disabled, 200);
    expect_first(p, 6, NULL, NULL);
    assert_int_equal(outbox_record(p->outbox, &(struct outbox_lane){.id = 6}, 0, &p->err), 0);
    assert_int_equal(outbox_lanes(p->outbox, &p->arena, &lanes, &count, &p->err), 0);
    assert_int_equal(count, 1); /* a late answer does not bring a lane back */
}

/* The vector of the reference implementations of Standard Webhooks. */
static void signatures_are_those_of_standard_webhooks(void **state)
{
    (void)state;
    _cleanup_buf_ struct buf out = BUF_INIT(1024);
    const struct str id = STR("msg_p5jXN8AQM9LWM0D4loKWxJek"), body = STR("{\"test\": 2432232314}");
    assert_true(webhook_sign(STR("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"), id, 1614265330, body, &out));
    assert_string_equal(buf_text(&out), "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    buf_clear(&out);
    assert_true(webhook_sign(STR("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"), id, 1614265330, body, &out));
    assert_string_equal(buf_text(&out), "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    assert_false(webhook_sign(STR("whsec_"), id, 1614265330, body, &out));
    assert_false(webhook_sign(STR("whsec_***"), id, 1614265330, body, &out));
}

static void a_body_is_one_json_object(void **state)
{
    (void)state;
    struct arena arena = {0};
    _cleanup_buf_ struct buf out = BUF_INIT(1024);
    webhook_body(&out, STR("12-3"), STR("budget"), 1700000000123, STR("{\"value\":80}"));
    assert_string_equal(buf_text(&out), "{\"id\":\"12-3\",\"type\":\"budget\",\"timestamp\":\"2023-11-14T22:13:20.123Z\",\"data\":{\"value\":80}}");
    struct str one = webhook_secret_make(&arena), two = webhook_secret_make(&arena);
    assert_true(str_starts(one, STR("whsec_")) && one.size == 6 + 44 && !str_equal(one, two));
    assert_true(webhook_sign(one, STR("1-0"), 1, STR(""), &out));
    arena_fini(&arena);
}

static void a_mail_holds_nothing_but_its_own_header_lines(void **state)
{
    (void)state;
    _cleanup_buf_ struct buf out = BUF_INIT(65536), subject = BUF_INIT(1024), body = BUF_INIT(4096);
    const struct api_event event = {.type = STR("workload_preempting"), .name = STR("train"), .workload = STR("work_1"), .project = STR("default"),
                                    .text = STR("has to leave"), .at_ms = 1700000000123, .deadline_ms = 1700000300000};
    mail_write(&event, &subject, &body);
    assert_string_equal(buf_text(&subject), "train: preempting");
    assert_string_equal(buf_text(&body), "train has to leave\n\nwhen      2023-11-14T22:13:20.123Z\nproject   default\nworkload  work_1\n"
                                         "until     2023-11-14T22:18:20.000Z\n");
    const struct outbox_item item = {.id = STR("12-3"), .recipient = STR("ann@example.org\r\nBcc: all@example.org"), .subject = STR("a\nb"),
                                     .body = STR("one\n.\n"), .at = 1700000000123};
    mail_compose(&out, "gpus@example.org", &item);
    assert_string_equal(buf_text(&out), "From: Tessera <gpus@example.org>\r\nTo: ann@example.org??Bcc: all@example.org\r\nSubject: a?b\r\n"
                                        "Date: Tue, 14 Nov 2023 22:13:20 +0000\r\nMessage-ID: <12-3@example.org>\r\nAuto-Submitted: auto-generated\r\n"
                                        "MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n"
                                        "one\r\n.\r\n");
}

static void addresses_are_taken_or_refused_whole(void **state)
{
    (void)state;
    static const char *const good[] = {"", "ann@example.org", "a.b+c@d", "x@[1.2.3.4"};
    static const char *const bad[] = {"ann", "@example.org", "ann@", "a@b@c", "a b@c", "ann@example.org\r\nBcc: x@y", "ann@example.org\n", "a\tb@c",
                                      "<ann@example.org>", "ann@example.org,bob@example.org", "\"ann\"@example.org", "\xc3\xa4@example.org", "a@b\x7f"};
    struct error err = {0};
    for (size_t i = 0; i + 1 < ARRAY_COUNT(good); i++)
        assert_int_equal(workload_email_check(str_from(good[i]), "instance.email", &err), 0);
    assert_true(workload_email_check(str_from(good[3]), "instance.email", &err) < 0);
    for (size_t i = 0; i < ARRAY_COUNT(bad); i++)
        assert_true(workload_email_check(str_from(bad[i]), "instance.email", &err) < 0);
    assert_true(workload_email_check((struct str){"a\0@b", 4}, "instance.email", &err) < 0);
}

static void a_mail_servers_url_is_checked_and_never_repeated(void **state)
{
    (void)state;
    static const struct {
        const char *url, *password;
        bool good;
    } cases[] = {
        {"smtp://127.0.0.1:25", NULL, true}, {"smtps://u:s3cret@mail.example.org", NULL, true}, {"smtp://u@mail.example.org:587", "s3cret", true},
        {"http://u:s3cret@mail.example.org", NULL, false}, {"smtp://:s3cret@mail.example.org", NULL, false}, {"smtp://mail.example.org", "s3cret", false},
        {"s3cret", NULL, false}, {"smtp://u:s3cret@host/path", NULL, false}, {"", NULL, false}, {"smtp://u:s3cret@host:99999", NULL, false},
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct mail_server *server = NULL;
        struct error err = {0};
        int r = mail_server_new(&server, cases[i].url, cases[i].password, &err);
        if ((r == 0) != cases[i].good || (server != NULL) != cases[i].good)
            fail_msg("%s: %d %s", cases[i].url, r, err.text);
        assert_null(strstr(err.text, "s3cret"));
        mail_server_free(server);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_lane_goes_in_its_order_and_on_after_a_kill, place_make, place_drop),
        cmocka_unit_test_setup_teardown(what_is_not_committed_was_never_there, place_make, place_drop),
        cmocka_unit_test_setup_teardown(how_a_lane_stands_is_kept, place_make, place_drop),
        cmocka_unit_test(signatures_are_those_of_standard_webhooks),
        cmocka_unit_test(a_body_is_one_json_object),
        cmocka_unit_test(a_mail_holds_nothing_but_its_own_header_lines),
        cmocka_unit_test(addresses_are_taken_or_refused_whole),
        cmocka_unit_test(a_mail_servers_url_is_checked_and_never_repeated),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
