/* SPDX-License-Identifier: Apache-2.0 */
#include "server/core_thread.h"

#include "base/clock.h"
#include "base/list.h"

#include <string.h>

void core_thread_init(struct core_thread *t, struct core *core)
{
    pthread_condattr_t attributes;
    *t = (struct core_thread){.core = core};
    pthread_mutex_init(&t->lock, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&t->changed, &attributes);
    pthread_condattr_destroy(&attributes);
}

int core_thread_start(struct core_thread *t, const char *name, void *(*run)(void *context), void *context, struct error *err)
{
    int rc = pthread_create(&t->thread, NULL, run, context);
    t->started = rc == 0;
    if (rc == 0)
        pthread_setname_np(t->thread, name);
    return rc == 0 ? 0 : error_set(err, -rc, "no thread: %s", strerror(rc));
}

void core_thread_wake(struct core_thread *t)
{
    pthread_mutex_lock(&t->lock);
    t->look = true;
    pthread_cond_broadcast(&t->changed);
    pthread_mutex_unlock(&t->lock);
}

void core_thread_stop(struct core_thread *t)
{
    pthread_mutex_lock(&t->lock);
    t->stopping = true;
    if (t->client)
        http_client_abort(t->client);
    pthread_cond_broadcast(&t->changed);
    pthread_mutex_unlock(&t->lock);
}

void core_thread_join(struct core_thread *t)
{
    core_thread_stop(t);
    pthread_mutex_lock(&t->lock);
    t->ended = true;
    pthread_cond_broadcast(&t->changed);
    pthread_mutex_unlock(&t->lock);
    if (t->started)
        pthread_join(t->thread, NULL);
    t->started = false;
}

void core_thread_fini(struct core_thread *t)
{
    core_thread_join(t);
    pthread_cond_destroy(&t->changed);
    pthread_mutex_destroy(&t->lock);
}

/* ---- on the thread itself ---- */

bool core_thread_sleep(struct core_thread *t, time_ms most)
{
    time_ms due = most == TIME_NEVER ? 0 : clock_monotonic_ms() + most;
    const struct timespec until = {.tv_sec = due / 1000, .tv_nsec = due % 1000 * 1000000};
    int rc = 0;
    pthread_mutex_lock(&t->lock);
    while (!t->look && !t->stopping && rc == 0)
        rc = most == TIME_NEVER ? pthread_cond_wait(&t->changed, &t->lock) : pthread_cond_timedwait(&t->changed, &t->lock, &until);
    t->look = false;
    bool goes_on = !t->stopping;
    pthread_mutex_unlock(&t->lock);
    return goes_on;
}

static void answered(struct core_thread *t)
{
    pthread_mutex_lock(&t->lock);
    t->done = true;
    pthread_cond_broadcast(&t->changed);
    pthread_mutex_unlock(&t->lock);
}

static void read_answer(struct core_read *read, const struct core_view *view)
{
    struct core_thread *t = CONTAINER_OF(read, struct core_thread, read);
    t->seen(t->context, view);
    answered(t);
}

static void write_answer(struct core_call *call, const struct core_answer *answer)
{
    struct core_thread *t = CONTAINER_OF(call, struct core_thread, call);
    if (t->written)
        t->written(t->context, answer);
    answered(t);
}

static void read_ask(struct core_thread *t)
{
    core_query(t->core, &t->read);
}

static void write_ask(struct core_thread *t)
{
    core_push(t->core, &t->call);
}

static bool ask(struct core_thread *t, void (*question)(struct core_thread *t))
{
    pthread_mutex_lock(&t->lock);
    bool goes_on = !t->stopping;
    if (goes_on) {
        question(t);
        while (!t->done && !t->ended)
            pthread_cond_wait(&t->changed, &t->lock);
        goes_on = t->done && !t->stopping;
        t->done = false;
    }
    pthread_mutex_unlock(&t->lock);
    return goes_on;
}

bool core_thread_read(struct core_thread *t, bool tables, void (*seen)(void *context, const struct core_view *view), void *context)
{
    t->read = (struct core_read){.tables = tables, .run = read_answer};
    t->seen = seen;
    t->context = context;
    return ask(t, read_ask);
}

bool core_thread_write(struct core_thread *t, struct engine_command *commands, size_t count,
                       void (*written)(void *context, const struct core_answer *answer), void *context)
{
    t->call = (struct core_call){.commands = commands, .count = count, .done = write_answer};
    t->written = written;
    t->context = context;
    return ask(t, write_ask);
}

bool core_thread_call(struct core_thread *t, struct http_client *client)
{
    pthread_mutex_lock(&t->lock);
    bool goes_on = !t->stopping;
    t->client = client;
    pthread_mutex_unlock(&t->lock);
    return goes_on;
}
