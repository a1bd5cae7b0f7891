/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/event_feed.h"

#include "base/clock.h"
#include "cli/api_call.h"
#include "cli/format.h"
#include "wire/unit.h"

#include <errno.h>
#include <stdio.h>
#include <time.h>

#define SILENCE_MS 60000 /* the server sends comments more often than that */
#define PATIENCE_MS (10 * 60 * 1000)
#define PAUSE_FIRST_MS 200
#define PAUSE_MOST_MS 5000

struct connection {
    struct event_feed *feed;
    struct event_stream stream;
    int result;               /* of take */
    bool stood, stood_before; /* whether an answer came: to the last call, to any */
    time_ms last_contact_ms;
};

static int take_event(void *context, const struct stream_event *raw)
{
    struct connection *c = context;
    _cleanup_(arena_fini) struct arena arena = {};
    struct api_event event = {};
    struct error err = {};
    /* An event of a newer server may hold more than we know: its type at least is plain. */
    if (raw->data.size == 0 ||
        record_from_json(&api_event_record, raw->data, &arena, &event, &err) < 0)
        event = (struct api_event){};
    if (raw->type.size && !str_is(raw->type, "message"))
        event.type = raw->type;
    c->result = c->feed->take(c->feed->context, &event, raw);
    return c->result;
}

static int take_piece(void *context, struct str piece)
{
    struct connection *c = context;
    c->last_contact_ms = clock_monotonic_ms();
    return event_stream_feed(&c->stream, piece, take_event, c);
}

/* 0: it ended or broke and may be tried again. */
static int connect_once(struct connection *c, int *ret_exit)
{
    struct event_feed *feed = c->feed;
    _cleanup_(http_reply_fini) struct http_reply reply = {};
    _cleanup_buf_ struct buf path = BUF_INIT(64 * 1024), last = BUF_INIT(64 * 1024);
    struct error err = {};
    const char *headers[2] = {"Accept: text/event-stream", NULL};
    struct http_call call = {.headers = headers,
                             .header_count = 1,
                             .timeout_ms = -1,
                             .silence_ms = feed->once_ms ? feed->once_ms : SILENCE_MS,
                             .sink = take_piece,
                             .sink_context = c};
    buf_printf(&path, "/v1/events%s%s", *feed->query ? "?" : "", feed->query);
    if (c->stream.id.size) {
        buf_printf(&last, "Last-Event-ID: %s", buf_text(&c->stream.id));
        headers[call.header_count++] = buf_text(&last);
    } else {
        api_query(&path, "after", feed->after);
    }
    call.path = buf_text(&path);
    event_stream_restart(&c->stream);
    int rc = http_client_call(feed->client, &call, &reply, &err);
    c->stood = reply.status / 100 == 2;
    c->stood_before |= c->stood;
    if (c->stood && rc == 0)
        c->last_contact_ms = clock_monotonic_ms();
    if (c->result)
        return c->result;
    if (rc == -ECANCELED)
        return rc;
    if (rc == -ETIMEDOUT && c->stood && feed->once_ms)
        return FEED_SILENT;
    if (rc == -EKEYREJECTED || (rc < 0 && !c->stood_before && !feed->contacted && !reply.sent)) {
        *ret_exit = api_unreached(feed->cli, rc, &err);
        return -1;
    }
    if (rc == 0 && reply.status / 100 != 2 && reply.status != 503 && reply.status != 429) {
        *ret_exit = api_refused(feed->cli, &reply, "events");
        return -1;
    }
    return 0;
}

static void pause_ms(int64_t ms)
{
    nanosleep(&(struct timespec){.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000}, NULL);
}

int event_feed_run(struct event_feed *feed, int *ret_exit)
{
    struct connection c = {.feed = feed, .last_contact_ms = clock_monotonic_ms()};
    int64_t pause = PAUSE_FIRST_MS;
    int rc;
    bool told = false;
    while ((rc = connect_once(&c, ret_exit)) == 0) {
        if (c.stood) {
            pause = PAUSE_FIRST_MS;
            told = false;
        } else if (!told && c.last_contact_ms + 3000 < clock_monotonic_ms()) {
            cli_note("%s does not answer; trying again (work goes on without it)",
                     feed->cli->config.server);
            told = true;
        }
        if (clock_monotonic_ms() - c.last_contact_ms > PATIENCE_MS) {
            *ret_exit = cli_fail(EXIT_UNREACHABLE, "%s does not answer", feed->cli->config.server);
            rc = -1;
            break;
        }
        pause_ms(pause);
        pause = MIN(pause * 2, PAUSE_MOST_MS);
    }
    event_stream_fini(&c.stream);
    return rc;
}

/* ---- in words
 * ------------------------------------------------------------------------------------- */

static void add_money(struct buf *out, const char *before, udollar amount, const char *after)
{
    if (amount == 0)
        return;
    buf_printf(out, "%s%s", out->size ? ", " : "", before);
    format_money(out, amount);
    buf_append_text(out, after);
}

static void add_text(struct buf *out, const char *before, struct str text)
{
    if (text.size == 0)
        return;
    buf_printf(out, "%s%s", out->size ? ", " : "", before);
    format_clean(out, text);
}

static void add_number(struct buf *out, const char *before, int64_t value)
{
    if (value)
        buf_printf(out, "%s%s%lld", out->size ? ", " : "", before, (long long)value);
}

static void describe_price(const struct api_event *event, struct buf *out)
{
    format_clean(out, event->pool);
    add_money(out, "", event->price_udollar_per_hour, " per unit-hour");
    buf_append_text(out, ", free ");
    milli_print(out, event->free_milli);
    buf_append_text(out, ", wanted ");
    milli_print(out, event->wanted_milli);
}

void event_describe(const struct api_event *event, struct buf *out)
{
    if (event->text.size) { /* the server's own sentence has the numbers */
        add_text(out, "", event->text);
        return;
    }
    if (str_is(event->type, "price_posted")) {
        describe_price(event, out);
        return;
    }
    add_text(out, "", event->reason);
    add_text(out, "on ", event->node_name);
    add_text(out, "", event->pool);
    add_money(out, "limit ", event->limit_udollar_per_hour, " per unit-hour");
    add_text(out, "", event->setting);
    add_number(out, "= ", event->value);
    add_money(out, "", event->rate_udollar_per_hour, " an hour");
    add_money(out, "", event->amount_udollar, "");
    add_text(out, "from ", event->debit);
    add_text(out, "to ", event->credit);
    add_number(out, "exit code ", event->exit_code);
    add_number(out, "signal ", event->signal);
}

struct str event_addition(struct str type, struct str text)
{
    if (!str_starts(text, type))
        return text;
    struct str rest = {text.data + type.size, text.size - type.size};
    if (rest.size == 0)
        return rest;
    return rest.data[0] == ':' ? str_trim((struct str){rest.data + 1, rest.size - 1}) : text;
}
