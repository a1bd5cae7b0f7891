/* SPDX-License-Identifier: Apache-2.0 */
/* Two streams come in at once: events, on the calling thread, and the log, on a thread that lives
 * as long as one attempt. A third thread waits for Ctrl-C and ends the calls of both. What stands
 * on a terminal is kept in order: an attempt's log is drained before the event of its end is
 * printed. */
#include "cli/follow.h"

#include "base/clock.h"
#include "cli/api_call.h"
#include "cli/event_feed.h"
#include "cli/format.h"
#include "cli/log_stream.h"
#include "cli/workload_view.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#define DRAIN_MS 5000 /* how long the log may lag behind the event of its end */
#define PAUSE_MS 200
#define LOSSES_MAX 50       /* tries to get the rest of a log once its attempt is over */
#define NODES_SHOWN_MAX 100 /* bytes of their names */
#define FOLLOW_ENDED 1      /* what the feed's callbacks end it with */

struct follow {
    struct cli *cli;
    const char *id;
    struct http_client *events, *logs;
    struct log_stream log;
    pthread_t log_thread, signal_thread;
    bool log_runs;
    struct buf nodes; /* of the attempt: names as they were given */
    atomic_bool attempt_over, interrupted, done;
    sigset_t signals;
    int exit_code;
};

static void pause_ms(int64_t ms)
{
    nanosleep(&(struct timespec){.tv_nsec = ms * 1000000}, NULL);
}

/* ---- the log of an attempt
 * ------------------------------------------------------------------------ */

static void *log_main(void *context)
{
    struct follow *f = context;
    int ignored = EXIT_OK, losses = 0;
    while (!atomic_load(&f->interrupted) && losses < LOSSES_MAX) {
        bool over = atomic_load(&f->attempt_over);
        enum log_end end = log_stream_read(&f->log, !over, &ignored);
        if (end == LOG_FAILED || (over && end != LOG_LOST))
            break;
        losses += over;
        pause_ms(PAUSE_MS);
    }
    return NULL;
}

/* Waits until the log is printed, or for as long as is reasonable. */
static void log_finish(struct follow *f)
{
    struct timespec until;
    if (!f->log_runs)
        return;
    atomic_store(&f->attempt_over, true);
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += DRAIN_MS / 1000;
    if (atomic_load(&f->interrupted) || pthread_timedjoin_np(f->log_thread, NULL, &until) != 0) {
        http_client_abort(
            f->logs); /* a stream that was left open: read the rest without following */
        pthread_join(f->log_thread, NULL);
    }
    f->log_runs = false;
}

static void log_begin(struct follow *f, int64_t attempt)
{
    if (f->cli->json)
        return;
    log_finish(f); /* of an attempt whose end we were not told of */
    f->log = (struct log_stream){.cli = f->cli,
                                 .client = f->logs,
                                 .workload = f->id,
                                 .attempt = attempt,
                                 .stop = &f->interrupted};
    atomic_store(&f->attempt_over, false);
    f->log_runs = pthread_create(&f->log_thread, NULL, log_main, f) == 0;
}

/* ---- events
 * --------------------------------------------------------------------------------------- */

static void print_line(struct follow *f, time_ms at, const char *text)
{
    _cleanup_buf_ struct buf time = BUF_INIT(64);
    format_time(&time, at, clock_wall_ms());
    if (atomic_load(&f->log.in_line) && isatty(STDOUT_FILENO) && isatty(STDERR_FILENO))
        fputc('\n', stderr);
    fprintf(stderr, "%s  %s\n", buf_text(&time), text);
}

static bool is_end(struct str type)
{
    static const char *const ends[] = {"workload_finished", "workload_failed", "workload_cancelled",
                                       "workload_rejected"};
    for (size_t i = 0; i < ARRAY_COUNT(ends); i++)
        if (str_is(type, ends[i]))
            return true;
    return false;
}

/* Not of interest to who waits for the work: what is about to happen anyway, and bookkeeping. */
static bool is_news(const struct api_event *event)
{
    static const char *const left_out[] = {"workload_submitted", "workload_ready",
                                           "workload_retired"};
    for (size_t i = 0; i < ARRAY_COUNT(left_out); i++)
        if (str_is(event->type, left_out[i]))
            return false;
    return str_starts(event->type, STR("workload_"));
}

static void add_node(struct follow *f, struct str name)
{
    if (f->nodes.size < NODES_SHOWN_MAX) {
        buf_append_text(&f->nodes, f->nodes.size ? ", " : "on ");
        format_clean(&f->nodes, name);
    } else if (f->nodes.data[f->nodes.size - 1] != '.') {
        buf_append_text(&f->nodes, ", ...");
    }
}

static void print_event(struct follow *f, const struct api_event *event)
{
    _cleanup_buf_ struct buf text = BUF_INIT(4096), line = BUF_INIT(4200);
    struct str name = event->type;
    if (str_starts(name, STR("workload_")))
        name = (struct str){name.data + 9, name.size - 9};
    event_describe(event, &text);
    struct str addition = event_addition(name, buf_str(&text));
    if (str_is(name, "started") && f->nodes.size)
        addition = buf_str(&f->nodes);
    buf_printf(&line, "%-10.*s %.*s", STR_ARGS(name), STR_ARGS(addition));
    print_line(f, event->at_ms, buf_text(&line));
}

/* What the workload is now, where events were missed. */
static int look_again(struct follow *f)
{
    struct api_workload work = {};
    int code =
        api_get(f->cli, api_path(f->cli, "/v1/workloads/", f->id, ""), &api_workload_record, &work);
    if (code) {
        f->exit_code = code;
        return FOLLOW_ENDED;
    }
    if (work.started_ms && str_is(work.state, "running"))
        log_begin(f, work.attempt);
    return work.ended_ms ? FOLLOW_ENDED : 0;
}

static int take_event(void *context, const struct api_event *event, const struct stream_event *raw)
{
    struct follow *f = context;
    if (f->cli->json && raw->data.size) {
        printf("%.*s\n", STR_ARGS(raw->data));
        cli_flush(EXIT_OK);
    }
    if (str_is(event->type, "reset"))
        return look_again(f);
    if (str_is(event->type, "workload_waiting") || is_end(event->type))
        log_finish(f);
    if (str_is(event->type, "workload_assigned"))
        buf_clear(&f->nodes);
    if (str_is(event->type, "replica_placed"))
        add_node(f, event->node_name);
    if (is_news(event) && !f->cli->json && !is_end(event->type))
        print_event(f, event);
    if (str_is(event->type, "workload_started"))
        log_begin(f, event->attempt);
    return is_end(event->type) ? FOLLOW_ENDED : 0;
}

/* ---- leaving
 * -------------------------------------------------------------------------------------- */

static void *signal_main(void *context)
{
    struct follow *f = context;
    int number;
    sigwait(&f->signals, &number);
    if (atomic_load(&f->done))
        return NULL;
    atomic_store(&f->interrupted, true);
    http_client_abort(f->events);
    http_client_abort(f->logs);
    sigwait(&f->signals, &number);
    if (!atomic_load(&f->done))
        _exit(EXIT_INTERRUPTED); /* a second one does not wait */
    return NULL;
}

static int leave(struct follow *f)
{
    fprintf(stderr,
            "\n%s goes on without you. To follow, end or look at it:\n"
            "  tessera logs -f %s\n  tessera cancel %s\n  tessera status %s\n",
            f->id, f->id, f->id, f->id);
    return EXIT_INTERRUPTED;
}

/* ---- the end
 * -------------------------------------------------------------------------------------- */

static int exit_code_of(const struct api_workload *work)
{
    if (work->exited && work->exit_code > 0 && work->exit_code < 256)
        return (int)work->exit_code;
    if (work->exited && work->signal)
        return 128 + (int)work->signal;
    return str_is(work->state, "finished") ? EXIT_OK : EXIT_WORKLOAD;
}

static int conclude(struct follow *f)
{
    struct api_workload work = {};
    int code =
        api_get(f->cli, api_path(f->cli, "/v1/workloads/", f->id, ""), &api_workload_record, &work);
    if (code)
        return code;
    if (f->cli->json) {
        printf("%.*s\n", STR_ARGS(f->cli->raw));
        return exit_code_of(&work);
    }
    _cleanup_buf_ struct buf line = BUF_INIT(4096);
    workload_summary(&work, &line);
    print_line(f, work.ended_ms, buf_text(&line));
    if (str_is(work.reason, "prepare"))
        fprintf(stderr, "%.*s\n", STR_ARGS(work.last_lines));
    else if (work.exit_rank > 0 && !str_is(work.state, "finished") && work.last_lines.size)
        fprintf(stderr, "The log of rank %lld ends with:\n%.*s\n", (long long)work.exit_rank,
                STR_ARGS(work.last_lines));
    return exit_code_of(&work);
}

static int follow_events(struct follow *f, const struct api_created *created)
{
    _cleanup_buf_ struct buf query = BUF_INIT(1024), after = BUF_INIT(64);
    buf_append_text(&query, "workload=");
    http_escape(&query, created->id);
    buf_printf(&after, "%lld-0", (long long)MAX(created->seq - 1, 0));
    struct event_feed feed = {.cli = f->cli,
                              .client = f->events,
                              .query = buf_text(&query),
                              .after = buf_text(&after),
                              .take = take_event,
                              .context = f,
                              .contacted = true};
    int code = EXIT_FAILED;
    int rc = event_feed_run(&feed, &code);
    log_finish(f);
    if (rc == -ECANCELED)
        return leave(f);
    if (rc != FOLLOW_ENDED)
        return code;
    return f->exit_code ? f->exit_code : conclude(f);
}

int follow_workload(struct cli *cli, const struct api_created *created)
{
    struct follow f = {
        .cli = cli, .id = arena_str(&cli->arena, created->id).data, .nodes = BUF_INIT(4096)};
    int code = api_connect(cli, &f.events);
    if (code == EXIT_OK)
        code = api_connect(cli, &f.logs);
    if (code == EXIT_OK) {
        sigemptyset(&f.signals);
        sigaddset(&f.signals, SIGINT);
        sigaddset(&f.signals, SIGTERM);
        pthread_sigmask(SIG_BLOCK, &f.signals, NULL); /* before other threads are made */
        CHECK(pthread_create(&f.signal_thread, NULL, signal_main, &f) == 0);
        code = follow_events(&f, created);
        atomic_store(&f.done, true);
        pthread_kill(f.signal_thread, SIGTERM); /* it is waiting for one */
        pthread_join(f.signal_thread, NULL);
    }
    http_client_free(f.events);
    http_client_free(f.logs);
    buf_fini(&f.nodes);
    return code;
}
