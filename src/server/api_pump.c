/* SPDX-License-Identifier: Apache-2.0 */
#include "server/api_pump.h"

void pumps_init(struct pumps *ps, struct core *core, struct http_server *http)
{
    *ps = (struct pumps){.core = core, .http = http};
    pthread_mutex_init(&ps->lock, NULL);
    list_init(&ps->all);
}

void pumps_fini(struct pumps *ps)
{
    pthread_mutex_destroy(&ps->lock);
}

static void finish_on_loop(void *context)
{
    struct pump *p = context;
    http_stream_end(p->stream);
    p->free(p);
}

/* Under the lock, and nobody runs it. */
static void finish(struct pump *p)
{
    if (p->finished)
        return;
    p->finished = true;
    list_remove(&p->link);
    p->owner->count--;
    http_server_post(p->owner->http, finish_on_loop, p);
}

static void start(struct pump *p)
{
    p->busy = true;
    p->full = false;
    core_query(p->owner->core, &p->read);
}

void pump_wake(struct pump *p)
{
    if (p->finished)
        return;
    if (p->busy)
        p->again = true;
    else
        start(p);
}

void pump_close(struct pump *p)
{
    p->closed = true;
    if (!p->busy)
        finish(p);
}

static void closed(void *context, struct http_stream *s)
{
    (void)s;
    struct pump *p = context;
    pthread_mutex_lock(&p->owner->lock);
    pump_close(p);
    pthread_mutex_unlock(&p->owner->lock);
}

/* Under the lock: whether it is to run once more. */
static bool settle(struct pump *p, enum pump_result result)
{
    if (p->closed || result == PUMP_DONE) {
        finish(p);
        return false;
    }
    if (p->again && result == PUMP_IDLE) {
        p->again = false;
        return true;
    }
    p->full = result == PUMP_FULL;
    p->busy = p->again = false;
    return false;
}

static void run(struct core_read *read, const struct core_view *view)
{
    struct pump *p = CONTAINER_OF(read, struct pump, read);
    struct pumps *ps = p->owner; /* the pump may be gone when the lock is given back */
    for (bool more = true; more;) {
        enum pump_result result = p->run(p, view);
        pthread_mutex_lock(&ps->lock);
        more = settle(p, result);
        pthread_mutex_unlock(&ps->lock);
    }
}

void pump_begin(struct pumps *ps, struct pump *p, struct http_request *r,
                const struct http_response *head)
{
    p->owner = ps;
    p->read.run = run;
    p->busy = true; /* until it runs nobody else ends it */
    pthread_mutex_lock(&ps->lock);
    list_append(&ps->all, &p->link);
    ps->count++;
    pthread_mutex_unlock(&ps->lock);
    p->stream = http_stream_begin(
        r, head,
        &(struct http_stream_options){.limit = PUMP_LIMIT, .closed = closed, .context = p});
    core_query(ps->core, &p->read);
}

void pumps_tick(struct pumps *ps)
{
    pthread_mutex_lock(&ps->lock);
    LIST_EACH(item, &ps->all)
    {
        struct pump *p = CONTAINER_OF(item, struct pump, link);
        if (p->full && http_stream_waiting(p->stream) < PUMP_WINDOW / 2)
            start(p);
    }
    pthread_mutex_unlock(&ps->lock);
}

void pumps_stop(struct pumps *ps)
{
    pthread_mutex_lock(&ps->lock);
    LIST_EACH_SAFE(item, &ps->all)
    pump_close(CONTAINER_OF(item, struct pump, link));
    pthread_mutex_unlock(&ps->lock);
}
