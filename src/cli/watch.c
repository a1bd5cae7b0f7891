/* SPDX-License-Identifier: Apache-2.0 */
/* One thread listens and only says that something happened; this one prints. However fast events
 * come, a print shows the state after all of them. */
#include "cli/watch.h"

#include "base/number.h"
#include "cli/api_call.h"
#include "cli/event_feed.h"

#include <pthread.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#define REDRAW_MS 200    /* of many events at once, one print */
#define TERMINAL_MS 2000 /* on a terminal ages go on by themselves */

struct watch {
    struct cli *cli;
    struct event_feed feed;
    pthread_mutex_t mutex;
    pthread_cond_t something;
    bool changed, over;
    int exit_code; /* of the feed, where over */
    int prints;
};

static void tell(struct watch *w)
{
    pthread_mutex_lock(&w->mutex);
    w->changed = true;
    pthread_cond_signal(&w->something);
    pthread_mutex_unlock(&w->mutex);
}

static int take_event(void *context, const struct api_event *event, const struct stream_event *raw)
{
    (void)event;
    (void)raw;
    tell(context);
    return 0;
}

static void *feed_main(void *context)
{
    struct watch *w = context;
    int code = EXIT_OK;
    event_feed_run(&w->feed, &code);
    pthread_mutex_lock(&w->mutex);
    w->over = true;
    w->exit_code = code;
    pthread_cond_signal(&w->something);
    pthread_mutex_unlock(&w->mutex);
    return NULL;
}

/* Answers of one print live in an arena of its own: a watch may last for days. */
static int print_once(struct watch *w, int (*print)(struct cli *cli))
{
    struct arena kept = w->cli->arena;
    w->cli->arena = (struct arena){};
    if (isatty(STDOUT_FILENO))
        printf("\033[H\033[J");
    else if (w->prints && !w->cli->json)
        printf("\n");
    int code = cli_flush(print(w->cli));
    w->prints++;
    arena_fini(&w->cli->arena);
    w->cli->arena = kept;
    return code;
}

/* From before the first print on: nothing falls between the two. */
static int feed_from_now(struct watch *w, struct buf *after)
{
    struct api_whoami who = {};
    int code = api_get(w->cli, "/v1/whoami", &api_whoami_record, &who);
    if (code)
        return code;
    buf_printf(after, "%lld-0", (long long)MAX(who.seq, 1));
    w->feed.after = buf_text(after);
    w->changed = true;
    return api_connect(w->cli, &w->feed.client);
}

/* False: the feed is over. */
static bool await(struct watch *w)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += TERMINAL_MS / 1000;
    bool terminal = isatty(STDOUT_FILENO), late = false;
    pthread_mutex_lock(&w->mutex);
    while (!w->changed && !w->over && !late) {
        if (terminal && w->prints)
            late = pthread_cond_timedwait(&w->something, &w->mutex, &until) != 0;
        else
            pthread_cond_wait(&w->something, &w->mutex);
    }
    w->changed = false;
    bool over = w->over;
    pthread_mutex_unlock(&w->mutex);
    return !over;
}

static int print_until_over(struct watch *w, int (*print)(struct cli *cli))
{
    while (await(w)) {
        int code = print_once(w, print);
        if (code && code != EXIT_UNREACHABLE) /* the feed waits for a server that restarts */
            return code;
        nanosleep(&(struct timespec){.tv_nsec = REDRAW_MS * 1000000}, NULL);
    }
    return w->exit_code;
}

int watch_run(struct cli *cli, const char *types, int (*print)(struct cli *cli))
{
    struct watch w = {
        .cli = cli, .mutex = PTHREAD_MUTEX_INITIALIZER, .something = PTHREAD_COND_INITIALIZER};
    _cleanup_buf_ struct buf query = BUF_INIT(1024), after = BUF_INIT(64);
    pthread_t thread;
    if (*types)
        buf_printf(&query, "types=%s", types);
    w.feed = (struct event_feed){.cli = cli,
                                 .query = buf_text(&query),
                                 .take = take_event,
                                 .context = &w,
                                 .contacted = true};
    int code = feed_from_now(&w, &after);
    if (code)
        return code;
    CHECK(pthread_create(&thread, NULL, feed_main, &w) == 0);
    code = print_until_over(&w, print);
    http_client_abort(w.feed.client);
    pthread_join(thread, NULL);
    http_client_free(w.feed.client);
    return code;
}
