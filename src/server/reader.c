/* SPDX-License-Identifier: Apache-2.0 */
/* The readers: answers under the read lock, held back until what they saw is durable. */

#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "server/core_internal.h"
#include "server/file.h"
#include "server/recover.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* Nobody can know a number that was not given out; who asks for one waits so long and no longer. */
#define PARK_MAX_MS 5000
/* Tables are a moment behind. Where they are further behind, what they have must do. */
#define TABLES_PARK_MS 500
#define TABLES_LAG_MAX 2000

/* ---- the queue ------------------------------------------------------------------------------------- */

static void reads_append(struct core_reads *q, struct core_read *read)
{
    read->next = NULL;
    *q->end = read;
    q->end = &read->next;
}

static bool read_ready(struct core *c, const struct core_read *read)
{
    return read->after <= atomic_load(&c->applied) && read->tables_after <= atomic_load(&c->projected);
}

/* How long it may wait, and for what. */
static void read_begin(struct core *c, struct core_read *read)
{
    uint64_t applied = atomic_load(&c->applied), projected = atomic_load(&c->projected);
    bool near = applied > projected && applied - projected <= TABLES_LAG_MAX;
    read->tables_after = read->tables && near ? MAX(applied, read->after) : 0;
    read->due = clock_monotonic_ms() + (read->after > applied ? PARK_MAX_MS : TABLES_PARK_MS);
}

void core_query(struct core *c, struct core_read *read)
{
    struct core_reads *q = &c->reads;
    read_begin(c, read);
    pthread_mutex_lock(&q->lock);
    if (read_ready(c, read)) {
        reads_append(q, read);
    } else {
        read->next = q->parked;
        q->parked = read;
    }
    pthread_cond_signal(&q->wake);
    pthread_mutex_unlock(&q->lock);
}

/* Those whose number is there or whose time is over. */
static void parked_release(struct core *c, time_ms now)
{
    struct core_reads *q = &c->reads;
    for (struct core_read **at = &q->parked; *at;) {
        struct core_read *read = *at;
        if (!read_ready(c, read) && read->due > now) {
            at = &read->next;
            continue;
        }
        *at = read->next;
        reads_append(q, read);
    }
}

void reads_advance(struct core *c)
{
    struct core_reads *q = &c->reads;
    pthread_mutex_lock(&q->lock);
    if (q->parked) {
        parked_release(c, 0);
        pthread_cond_broadcast(&q->wake);
    }
    pthread_mutex_unlock(&q->lock);
}

static void reads_wait(struct core_reads *q)
{
    time_ms due = TIME_NEVER;
    for (const struct core_read *read = q->parked; read; read = read->next)
        due = MIN(due, read->due);
    if (due == TIME_NEVER) {
        pthread_cond_wait(&q->wake, &q->lock);
        return;
    }
    struct timespec until = {.tv_sec = due / 1000, .tv_nsec = due % 1000 * 1000000};
    pthread_cond_timedwait(&q->wake, &q->lock, &until);
}

static struct core_read *reads_take(struct core *c)
{
    struct core_reads *q = &c->reads;
    pthread_mutex_lock(&q->lock);
    while (q->first == NULL && !(q->closing && q->parked == NULL)) {
        parked_release(c, q->closing ? TIME_NEVER : clock_monotonic_ms());
        if (q->first == NULL && !q->closing)
            reads_wait(q);
    }
    struct core_read *read = q->first;
    if (read)
        q->first = read->next;
    if (q->first == NULL)
        q->end = &q->first;
    pthread_mutex_unlock(&q->lock);
    return read;
}

void *reader_main(void *core)
{
    struct core *c = core;
    _cleanup_free_ char *path = data_path(c->data, TABLES_NAME);
    struct tables_reader *tables = NULL;
    struct error err = {};
    if (tables_read_open(&tables, &(struct tables_options){.path = path, .vfs = c->options.vfs}, &err) < 0)
        core_fail(c, err.text);
    struct core_read *read;
    while ((read = reads_take(c)) != NULL) {
        pthread_rwlock_rdlock(&c->state);
        const struct core_view view = {.engine = c->engine, .tables = tables, .seq = atomic_load(&c->applied), .now = core_now(c)};
        read->run(read, &view);
        pthread_rwlock_unlock(&c->state);
        atomic_fetch_add(&c->stat_reads, 1);
    }
    tables_read_close(tables);
    return NULL;
}

/* ---- answers that wait for the disk --------------------------------------------------------------------- */

#define SEQ_HEADER "Tessera-Seq"

static char *text_put(char **at, struct str text, struct str *ret)
{
    char *copy = *at;
    if (text.size > 0)
        memcpy(copy, text.data, text.size);
    *ret = (struct str){copy, text.size};
    *at += text.size;
    return copy;
}

static size_t response_size(const struct http_response *response)
{
    size_t size = response->content_type.size + response->body.size + response->header_count * sizeof(struct http_pair);
    for (size_t i = 0; i < response->header_count; i++)
        size += response->headers[i].name.size + response->headers[i].value.size;
    return size;
}

/* One piece of memory: the struct, its headers, its texts. */
static struct held_answer *held_copy(uint64_t seq, struct http_request *r, const struct http_response *response)
{
    struct held_answer *held = xcalloc(1, sizeof *held + response_size(response));
    struct http_pair *headers = (struct http_pair *)(held + 1);
    char *at = (char *)(headers + response->header_count);
    *held = (struct held_answer){.seq = seq, .request = r, .response = *response};
    held->response.headers = headers;
    text_put(&at, response->content_type, &held->response.content_type);
    text_put(&at, response->body, &held->response.body);
    for (size_t i = 0; i < response->header_count; i++) {
        text_put(&at, response->headers[i].name, &headers[i].name);
        text_put(&at, response->headers[i].value, &headers[i].value);
    }
    return held;
}

static const struct http_response refusal = {
    .status = 503,
    .content_type = {"application/json", 16},
    .body = {"{\"error\":{\"code\":\"unavailable\",\"message\":\"the server is stopping; try again\"}}", 78},
};

/* False: it may be answered now. */
static bool held_add(struct core *c, uint64_t seq, struct http_request *r, const struct http_response *response)
{
    pthread_mutex_lock(&c->held_lock);
    bool wait = seq > atomic_load(&c->durable) && !atomic_load(&c->has_failed);
    if (wait) {
        struct held_answer *held = held_copy(seq, r, response);
        held->next = c->held;
        c->held = held;
    }
    pthread_mutex_unlock(&c->held_lock);
    return !wait;
}

void core_respond(struct core *c, uint64_t seq, struct http_request *r, const struct http_response *response)
{
    char number[24];
    struct http_pair headers[HTTP_HEADERS_MAX + 1];
    int size = snprintf(number, sizeof number, "%llu", (unsigned long long)seq);
    size_t count = MIN(response->header_count, (size_t)HTTP_HEADERS_MAX);
    if (count > 0)
        memcpy(headers, response->headers, count * sizeof *headers);
    headers[count++] = (struct http_pair){STR(SEQ_HEADER), {number, (size_t)size}};
    struct http_response numbered = *response;
    numbered.headers = headers;
    numbered.header_count = count;
    if (held_add(c, seq, r, &numbered))
        http_respond(r, seq > atomic_load(&c->durable) ? &refusal : &numbered);
}

/* The list without those that stay; the caller answers and frees them. */
static struct held_answer *held_take(struct core *c, uint64_t durable)
{
    struct held_answer *taken = NULL;
    pthread_mutex_lock(&c->held_lock);
    for (struct held_answer **at = &c->held; *at;) {
        struct held_answer *held = *at;
        if (held->seq > durable) {
            at = &held->next;
            continue;
        }
        *at = held->next;
        held->next = taken;
        taken = held;
    }
    pthread_mutex_unlock(&c->held_lock);
    return taken;
}

static void held_send(struct held_answer *held, struct http_batch *batch, bool refuse)
{
    for (struct held_answer *next; held; held = next) {
        next = held->next;
        http_batch_add(batch, held->request, refuse ? &refusal : &held->response);
        xfree(held);
    }
}

void held_release(struct core *c, struct http_batch *batch)
{
    held_send(held_take(c, atomic_load(&c->durable)), batch, false);
}

void held_refuse(struct core *c, struct http_batch *batch)
{
    held_send(held_take(c, UINT64_MAX), batch, true);
}
