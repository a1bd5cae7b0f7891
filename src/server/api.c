/* SPDX-License-Identifier: Apache-2.0 */
/* Dispatch: a request becomes a call, meets its route, and goes on to a reader, the writer or a
 * handler of the loop. */
#include "server/api_buyer.h"
#include "server/api_cluster.h"
#include "server/api_delivery.h"
#include "server/api_internal.h"
#include "server/api_kept.h"

#include "base/clock.h"
#include "wire/record.h"

#include <errno.h>
#include <stdio.h>
#include <sys/random.h>

#define TICK_INTERVAL_MS 250
#define PRUNE_INTERVAL_MS (3600 * 1000)
#define KEPT_BYTES ((size_t)16 << 20)

/* ---- answers that are kept ---- */

/* Each part says how long it is, so that no two requests share a key. */
static void key_add(struct buf *key, struct str part)
{
    uint64_t size = part.size;
    buf_append(key, &size, sizeof size);
    buf_append_str(key, part);
}

static void kept_key_make(struct api_call *call)
{
    _cleanup_buf_ struct buf key = BUF_INIT(BUF_LIMIT_DEFAULT);
    const struct http_request *r = call->request;
    const uint64_t rights[] = {call->who.project, call->who.role};
    buf_append(&key, rights, sizeof rights);
    key_add(&key, str_from(call->route->pattern));
    for (size_t i = 0; i < r->query_count; i++) {
        key_add(&key, r->query[i].name);
        key_add(&key, r->query[i].value);
    }
    call->kept_key = arena_str(call_arena(call), buf_str(&key));
}

static void kept_respond(void *context, const struct http_response *kept)
{
    struct api_call *call = context;
    struct http_response response = *kept;
    response.headers = call->headers;
    response.header_count = call->header_count;
    core_respond(call->api->core, call->seq, call->request, &response);
}

/* Whether it was answered with what this state answered before. */
static bool answered_from_kept(struct api_call *call, uint64_t seq)
{
    const struct api *a = call->api;
    if (call->kept_key.size == 0)
        return false;
    call->seq = seq;
    return kept_find(a->kept, seq, call->kept_key, kept_respond, call);
}

/* ---- threads ---- */

static void run_query(struct core_read *read, const struct core_view *view)
{
    struct api_call *call = CONTAINER_OF(read, struct api_call, query);
    call->place = ON_READER;
    call->seq = view->seq;
    /* where many asked the same of a new state, the first one rendered it for all */
    if (!answered_from_kept(call, view->seq))
        call->run(call, view);
}

void call_query(struct api_call *call, api_read *run)
{
    call->run = run;
    call->query =
        (struct core_read){.after = call->after, .tables = call->route->tables, .run = run_query};
    core_query(call->api->core, &call->query);
}

static void run_done(struct core_call *push, const struct core_answer *answer)
{
    struct api_call *call = CONTAINER_OF(push, struct api_call, push);
    call->place = ON_WRITER;
    call->seq = answer->seq;
    call->batch = answer->batch;
    histogram_add(&call->api->commands, clock_monotonic_us() - call->begun_us);
    if (answer->unknown)
        call_refuse(
            call, 503, NULL,
            "the journal could not be written, and whether it holds this is open; ask again, "
            "with the same Idempotency-Key where there was one");
    else if (answer->failed)
        call_refuse(
            call, 503, NULL,
            "the server is stopping or cannot write its journal; nothing was done, try again");
    else
        call->then(call, answer);
}

void call_push(struct api_call *call, struct engine_command *commands, size_t count, api_then *then)
{
    call->then = then;
    call->push = (struct core_call){.commands = commands, .count = count, .done = run_done};
    core_push(call->api->core, &call->push);
}

void histogram_add(struct api_histogram *h, int64_t us)
{
    size_t bucket = 0;
    while (bucket < API_BUCKETS && us > (int64_t)64 << bucket)
        bucket++;
    atomic_fetch_add_explicit(&h->buckets[bucket], 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&h->sum_us, (uint64_t)MAX(us, 0), memory_order_relaxed);
}

/* ---- dispatch ---- */

/* What the route does not know is refused, so that a misspelt filter never shows everything. */
static bool check_query(struct api_call *call)
{
    const struct http_request *r = call->request;
    if (call->mithril) /* its clients send more than is described */
        return true;
    for (size_t i = 0; i < r->query_count; i++)
        if (!route_takes_parameter(call->route, r->query[i].name)) {
            struct str name = r->query[i].name;
            const char *known = call->route->query;
            call_refuse(call, 400, "query", "\"%.*s\" is not known here, allowed are: %s%safter",
                        (int)MIN(name.size, 40), name.data, known ? known : "", known ? " " : "");
            return false;
        }
    int64_t after = 0;
    if (call->route->read && !call_number(call, "after", &after, 0, INT64_MAX))
        return false;
    call->after = (uint64_t)after;
    return true;
}

/* An empty body is an empty object, so that nobody has to send one. */
static bool decode(struct api_call *call)
{
    const struct record *record = call->route->input;
    if (!record || call->route->takes)
        return true;
    struct error err = {0};
    struct str body = call->request->body;
    call->input = call_alloc(call, record->size);
    body = body.size ? body : STR("{}");
    int rc = call->mithril ? record_from_json_loose(record, body, call_arena(call), call->input, &err)
                           : record_from_json(record, body, call_arena(call), call->input, &err);
    if (rc == 0)
        return true;
    call_refuse_error(call, 400, &err);
    return false;
}

void api_handler(void *context, struct http_request *r)
{
    struct api *a = context;
    struct api_call *call = r->data ? r->data : call_open(a, r);
    if (!call)
        return;
    bool raw = call->route->admit && r->data; /* its sink checked the query */
    if ((!raw && !check_query(call)) || !decode(call))
        return;
    if (call->route->kept)
        kept_key_make(call);
    if (!call->route->read)
        call->route->handle(call);
    else if (answered_from_kept(call, core_applied_seq(a->core)))
        atomic_fetch_add_explicit(&a->kept_reads, 1, memory_order_relaxed);
    else
        call_query(call, call->route->read);
}

void api_admit(void *context, struct http_request *r)
{
    struct api_call *call = call_open(context, r);
    if (!call)
        return;
    if (call->route->admit && (!check_query(call) || !call->route->admit(call)))
        return;
    r->data = call;
}

/* The market says what was posted, not when. */
static void keep_times(struct api *a, const struct core_commit *commit)
{
    for (size_t i = 0; i < commit->result->event_count; i++) {
        const struct engine_event *event = &commit->result->events[i];
        if (event->type == ENGINE_EVENT_PRICE_POSTED)
            atomic_store_explicit(&a->posted_at, event->at, memory_order_relaxed);
        else if (event->type == ENGINE_EVENT_GAP)
            atomic_store_explicit(&a->gap_at, event->at, memory_order_relaxed);
    }
}

void api_committed(void *context, const struct core_commit *commit)
{
    struct api *a = context;
    keep_times(a, commit);
    api_polls_commit(a->polls, commit);
    api_events_commit(a->events, commit);
    api_logs_commit(a->logs, commit);
    api_clusters_commit(a->clusters, commit);
    api_buyer_commit(a->buyer, commit);
    api_delivery_commit(a->delivery, commit);
}

/* ---- life ---- */

/* At the start, and each hour. */
static void prune(struct api *a)
{
    time_ms now = clock_monotonic_ms();
    if (now < a->prune_at)
        return;
    a->prune_at = now + PRUNE_INTERVAL_MS;
    api_archives_prune(a->archives);
    api_logs_prune(a);
}

static void tick(void *context)
{
    struct api *a = context;
    if (a->stopping)
        return;
    prune(a);
    api_polls_tick(a->polls);
    api_events_tick(a->events);
    api_logs_tick(a->logs);
}

void api_stop(void *context)
{
    struct api *a = context;
    a->stopping = true;
    api_polls_stop(a->polls);
    api_events_stop(a->events);
    api_logs_stop(a->logs);
    api_clusters_stop(a->clusters);
    api_buyer_stop(a->buyer);
    api_delivery_stop(a->delivery);
}

void api_free(struct api *a)
{
    if (!a)
        return;
    api_delivery_free(a->delivery);
    api_clusters_free(a->clusters);
    api_buyer_free(a->buyer);
    api_polls_free(a->polls);
    api_events_free(a->events);
    api_logs_free(a->logs);
    api_archives_free(a->archives);
    api_binary_free(a->binary);
    kept_free(a->kept);
    api_console_free(a->console);
    xfree(a);
}

static int open_parts(struct api *a, struct error *err)
{
    api_polls_new(&a->polls, a);
    api_events_new(&a->events, a);
    api_console_new(&a->console, a);
    api_binary_new(&a->binary);
    a->kept = kept_new(KEPT_BYTES);
    int r = api_logs_new(&a->logs, a, err);
    if (r == 0)
        r = api_archives_new(&a->archives, a, err);
    if (r == 0)
        r = api_clusters_new(&a->clusters, a, err);
    if (r == 0)
        r = api_buyer_new(&a->buyer, a, err);
    return r < 0 ? r : api_delivery_new(&a->delivery, a, err);
}

int api_new(struct api **ret, const struct api_options *options, struct error *err)
{
    struct api *a = xcalloc(1, sizeof *a);
    a->core = options->core;
    a->http = options->http;
    a->options = *options;
    a->ids = core_id_key(a->core);
    /* One browser may be signed in at several servers of one machine, which share its cookies. */
    snprintf(a->session_cookie, sizeof a->session_cookie, "tessera_%s",
             id_format(a->ids, "session", 0).text);
    if (getrandom(&a->random, sizeof a->random, 0) != sizeof a->random) {
        xfree(a);
        return error_set(err, -EIO, "the system gives no randomness");
    }
    int r = open_parts(a, err);
    if (r < 0) {
        api_free(a);
        return r;
    }
    http_server_timer(a->http, TICK_INTERVAL_MS, tick, a);
    *ret = a;
    return 0;
}
