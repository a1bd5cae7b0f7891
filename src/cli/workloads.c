/* SPDX-License-Identifier: Apache-2.0 */
/* queue, status, why, cancel, bid, logs: what speaks of workloads that were submitted. */
#include "cli/commands.h"

#include "base/clock.h"
#include "cli/api_call.h"
#include "cli/format.h"
#include "cli/listing.h"
#include "cli/log_stream.h"
#include "cli/pages.h"
#include "cli/watch.h"
#include "cli/workload_name.h"
#include "cli/workload_view.h"
#include "records/api.h"
#include "wire/unit.h"

#include <stdio.h>
#include <time.h>

/* ---- one or many ---- */

#define PAUSE_FIRST_MS 200
#define PAUSE_MOST_MS 2000

/* GET of something about the workload that the first operand names. */
static int get_of(struct cli *cli, const char *what, const struct record *record, void *ret)
{
    const char *id;
    int code = workload_named(cli, cli->operands[0], false, &id);
    return code ? code : api_get(cli, api_path(cli, "/v1/workloads/", id, what), record, ret);
}

/* ---- queue
 * ---------------------------------------------------------------------------------------- */

static void queue_row(struct listing *listing, const struct api_workload *work, time_ms now)
{
    _cleanup_buf_ struct buf size = BUF_INIT(64);
    format_size(&size, work->nodes, work->units_milli, "");
    listing_str(listing, work->id);
    listing_str(listing, work->name);
    listing_str(listing, work->project);
    listing_str(listing, work->state);
    listing_str(listing, buf_str(&size));
    listing_str(listing, work->kind);
    listing_money(listing, work->limit_udollar_per_hour);
    if (work->rate_udollar_per_hour && work->ended_ms == 0)
        listing_money(listing, work->rate_udollar_per_hour);
    else
        listing_cell(listing, "-");
    listing_money(listing, work->cost_udollar);
    listing_age(listing, work->submitted_ms, work->ended_ms ? work->ended_ms : now);
}

static const char *queue_path(struct cli *cli)
{
    _cleanup_buf_ struct buf path = BUF_INIT(4096);
    const char *state = cli_option(cli, "state");
    buf_append_text(&path, "/v1/workloads");
    api_query(&path, "project", cli_option(cli, "project"));
    if (state == NULL && !cli_flag(cli, "all"))
        state = WORKLOAD_LIVE_STATES;
    api_query(&path, "state", state);
    return arena_str(&cli->arena, buf_str(&path)).data;
}

#define ROWS_MOST 1000 /* more is for programs */

static int print_queue(struct cli *cli)
{
    struct api_workloads all = {};
    struct pages pages = {.path = queue_path(cli),
                          .record = &api_workloads_record,
                          .item = sizeof(struct api_workload),
                          .list = &all.workloads,
                          .cursor = &all.cursor,
                          .page = &all,
                          .most = cli->json ? 0 : ROWS_MOST};
    int code = pages_get(cli, &pages);
    if (code || cli_print_json(cli))
        return code;
    const struct api_workload *works = all.workloads.items;
    if (all.workloads.count == 0) {
        printf("%s\n", cli_flag(cli, "all") || cli_option(cli, "state")
                           ? "There is none."
                           : "Nothing waits or runs. `tessera queue --all` lists what has ended.");
        return EXIT_OK;
    }
    struct listing listing = {};
    time_ms now = clock_wall_ms();
    listing_begin(&listing, "ID|NAME|PROJECT|STATE|SIZE|KIND|>LIMIT/UNIT-H|>PAYS/H|>COST|>AGE");
    for (size_t i = 0; i < all.workloads.count; i++)
        queue_row(&listing, &works[i], now);
    listing_end(&listing, stdout);
    if (all.cursor.size)
        cli_note(
            "these are the newest %zu; --project and --state narrow it down, --json has them all",
            all.workloads.count);
    return EXIT_OK;
}

int command_queue(struct cli *cli)
{
    return cli_flag(cli, "watch") ? watch_run(cli, WATCH_WORKLOADS, print_queue) : print_queue(cli);
}

/* ---- one workload
 * --------------------------------------------------------------------------------- */

int command_status(struct cli *cli)
{
    struct api_workload work = {};
    int code = get_of(cli, "", &api_workload_record, &work);
    if (code == EXIT_OK && !cli_print_json(cli))
        workload_print(&work, clock_wall_ms());
    return code;
}

/* The server's sentences say all of it; a limit that helps is turned into what to type. */
static void print_why(const struct api_why *why)
{
    _cleanup_buf_ struct buf text = BUF_INIT(8192);
    format_clean(&text, why->text);
    printf("%.*s is %.*s.\n%s%s", STR_ARGS(why->id), STR_ARGS(why->state), buf_text(&text),
           text.size ? "\n" : "");
    if (why->has_limit) {
        buf_clear(&text);
        format_limit(&text, why->start_limit_udollar_per_hour);
        printf("\nTo start it now:\n  tessera bid %.*s --limit %s\n", STR_ARGS(why->id),
               buf_text(&text));
    }
}

int command_why(struct cli *cli)
{
    struct api_why why = {};
    int code = get_of(cli, "/why", &api_why_record, &why);
    if (code == EXIT_OK && !cli_print_json(cli))
        print_why(&why);
    return code;
}

static int cancel_one(struct cli *cli, const char *word)
{
    struct api_changed changed = {};
    const char *id;
    int code = workload_named(cli, word, true, &id);
    if (code)
        return code;
    struct api_call call = {
        .method = "POST", .subject = id, .path = api_path(cli, "/v1/workloads/", id, "/cancel")};
    code = api_call(cli, &call, &api_changed_record, &changed);
    if (code || cli_print_json(cli))
        return code;
    bool runs_out = str_is(changed.state, "preempting");
    printf("%s: %.*s\n", id,
           STR_ARGS(runs_out ? STR("told to end; killed when its notice is over") : changed.state));
    return EXIT_OK;
}

int command_cancel(struct cli *cli)
{
    int worst = EXIT_OK;
    for (size_t i = 0; i < cli->operand_count; i++) {
        int code = cancel_one(cli, cli->operands[i]);
        worst = worst ? worst : code;
    }
    return worst;
}

static int take_limit(const struct cli *cli, udollar *ret)
{
    const char *limit = cli_option(cli, "limit");
    if (limit == NULL)
        return cli_fail(EXIT_USAGE,
                        "bid: --limit PRICE is missing: the new limit per unit-hour, in dollars");
    if (!money_parse(str_from(limit), ret) || *ret < 0)
        return cli_fail(
            EXIT_USAGE,
            "--limit: \"%s\" is not allowed, allowed are dollars such as 2.50, to the millionth",
            limit);
    return EXIT_OK;
}

int command_bid(struct cli *cli)
{
    struct api_bid_change change = {};
    struct api_changed changed = {};
    const char *id;
    int code = take_limit(cli, &change.limit_udollar_per_hour);
    if (code == EXIT_OK)
        code = workload_named(cli, cli->operands[0], true, &id);
    if (code)
        return code;
    struct api_call call = {.method = "PATCH",
                            .input = &api_bid_change_record,
                            .value = &change,
                            .subject = id,
                            .path = api_path(cli, "/v1/workloads/", id, "")};
    code = api_call(cli, &call, &api_changed_record, &changed);
    if (code || cli_print_json(cli))
        return code;
    _cleanup_buf_ struct buf text = BUF_INIT(64);
    format_money(&text, change.limit_udollar_per_hour);
    printf("%s: at most %s per unit-hour, %.*s\n", id, buf_text(&text), STR_ARGS(changed.state));
    return EXIT_OK;
}

/* ---- logs
 * ----------------------------------------------------------------------------------------- */

static int take_number(const struct cli *cli, const char *name, int64_t least, int64_t *ret)
{
    const char *text = cli_option(cli, name);
    if (text == NULL || (str_to_i64(str_from(text), ret) && *ret >= least))
        return EXIT_OK;
    return cli_fail(EXIT_USAGE, "--%s: \"%s\" is not allowed, allowed is a whole number from %lld",
                    name, text, (long long)least);
}

static void pause_ms(int64_t ms)
{
    nanosleep(&(struct timespec){.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000}, NULL);
}

/* Attempt after attempt until the workload has ended, or one attempt where it was asked for. An
 * attempt that is over is read to its end before the next one. */
static int follow_logs(struct cli *cli, struct log_stream *log)
{
    bool one = log->attempt != 0;
    int64_t pause = PAUSE_FIRST_MS;
    while (true) {
        struct api_workload work = {};
        int64_t before = log->offset;
        int code = api_get(cli, api_path(cli, "/v1/workloads/", log->workload, ""),
                           &api_workload_record, &work);
        if (code)
            return code;
        if (log->attempt == 0)
            log->attempt = work.attempt;
        bool over = work.ended_ms != 0 || work.attempt > log->attempt;
        enum log_end end = log_stream_read(log, !over, &code);
        if (end == LOG_FAILED)
            return code;
        if (over && end != LOG_LOST) {
            if (one || work.attempt <= log->attempt)
                return EXIT_OK;
            log->attempt++;
            log->offset = 0;
            cli_note("attempt %lld", (long long)log->attempt);
        } else { /* it waits for a place, or the connection broke */
            pause = log->offset > before ? PAUSE_FIRST_MS : MIN(pause * 2, PAUSE_MOST_MS);
            pause_ms(pause);
        }
    }
}

int command_logs(struct cli *cli)
{
    struct log_stream log = {.cli = cli};
    int code = workload_named(cli, cli->operands[0], false, &log.workload);
    if (code == EXIT_OK)
        code = take_number(cli, "rank", 0, &log.rank);
    if (code == EXIT_OK)
        code = take_number(cli, "attempt", 1, &log.attempt);
    if (code == EXIT_OK)
        code = api_connect(cli, &log.client);
    if (code)
        return code;
    if (cli_flag(cli, "follow")) {
        code = follow_logs(cli, &log);
    } else {
        enum log_end end = log_stream_read(&log, false, &code);
        if (end == LOG_ABSENT)
            cli_note("%s: no such workload, or rank %lld of it has no log", log.workload,
                     (long long)log.rank);
        if (end == LOG_LOST)
            code = cli_fail(EXIT_UNREACHABLE, "%s does not answer", cli->config.server);
    }
    http_client_free(log.client);
    return code;
}
