/* SPDX-License-Identifier: Apache-2.0 */
/* events: the stream as lines. */
#include "cli/commands.h"

#include "base/clock.h"
#include "cli/api_call.h"
#include "cli/event_feed.h"
#include "cli/format.h"

#include <stdio.h>

#define UP_TO_DATE 1   /* ends the feed: all that was asked for has been printed */
#define LATELY 1000    /* numbers of the journal */
#define SILENCE_MS 500 /* without --follow: then nothing more is on its way */

struct reader {
    struct cli *cli;
    int64_t last; /* journal number to stop after; 0: go on */
};

static void print_json(const struct stream_event *raw)
{
    printf("{\"id\":\"%.*s\",\"event\":%.*s}\n", STR_ARGS(raw->id), STR_ARGS(raw->data));
}

/* Whom it is about: a workload by name and id, a node, a pool. */
static void write_subject(const struct api_event *event, struct buf *out)
{
    if (event->workload.size)
        format_clean(out, event->workload);
    else if (event->node_name.size)
        format_clean(out, event->node_name);
    else if (event->name.size)
        format_clean(out, event->name);
}

static int take_event(void *context, const struct api_event *event, const struct stream_event *raw)
{
    struct reader *r = context;
    struct str position = raw->id, number = str_cut(&position, '-');
    int64_t seq = 0;
    if (r->last && str_to_i64(number, &seq) && seq > r->last)
        return UP_TO_DATE;
    if (r->cli->json) {
        print_json(raw);
        return cli_flush(EXIT_OK);
    }
    if (str_is(event->type, "reset")) {
        cli_note("what came before is no longer kept; going on from here");
        return 0;
    }
    _cleanup_buf_ struct buf time = BUF_INIT(64), subject = BUF_INIT(200), text = BUF_INIT(4096);
    format_time(&time, event->at_ms, clock_wall_ms());
    write_subject(event, &subject);
    event_describe(event, &text);
    printf("%s  %-8.*s  %-20.*s  %s%s%s\n", buf_text(&time), STR_ARGS(raw->id),
           STR_ARGS(event->type), buf_text(&subject), subject.size && text.size ? "  " : "",
           buf_text(&text));
    return cli_flush(EXIT_OK);
}

static void write_query(const struct cli *cli, struct buf *out)
{
    const char *types = cli_option(cli, "types"), *workload = cli_option(cli, "workload");
    if (types) {
        buf_append_text(out, "types=");
        http_escape(out, str_from(types));
    }
    if (workload) {
        buf_printf(out, "%sworkload=", out->size ? "&" : "");
        http_escape(out, str_from(workload));
    }
}

/* Without --follow: up to now, and where nothing else was said, of late. */
static int bound(struct cli *cli, struct reader *reader, struct event_feed *feed)
{
    struct api_whoami who = {};
    char after[48];
    int code = api_get(cli, "/v1/whoami", &api_whoami_record, &who);
    if (code)
        return code;
    reader->last = MAX(who.seq, 1);
    feed->once_ms = SILENCE_MS;
    snprintf(after, sizeof after, "%lld-0", (long long)MAX(who.seq - LATELY, 0));
    if (feed->after == NULL)
        feed->after = arena_str(&cli->arena, str_from(after)).data;
    return EXIT_OK;
}

int command_events(struct cli *cli)
{
    struct reader reader = {.cli = cli};
    struct event_feed feed = {
        .cli = cli, .after = cli_option(cli, "after"), .take = take_event, .context = &reader};
    _cleanup_buf_ struct buf query = BUF_INIT(8192);
    int code = cli_flag(cli, "follow") ? EXIT_OK : bound(cli, &reader, &feed);
    if (code == EXIT_OK)
        code = api_connect(cli, &feed.client);
    if (code)
        return code;
    write_query(cli, &query);
    feed.query = buf_text(&query);
    event_feed_run(&feed, &code);
    http_client_free(feed.client);
    return code;
}
