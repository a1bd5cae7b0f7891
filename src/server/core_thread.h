/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* A thread beside the core that does one errand after another: it sleeps until something changes, reads and writes
 * through the core's queues like anybody else, and calls other servers. A stop ends what it waits for, and comes
 * before a question to the core or after its answer, so that the core is there when it is asked. */

#include "net/http_client.h"
#include "server/core.h"

#include <pthread.h>

struct core_thread {
    struct core *core;
    pthread_mutex_t lock; /* for what its owner shares with others, too; held for moments */
    pthread_cond_t changed;
    bool stopping; /* under the lock, as is what follows */
    bool look;     /* something changed since it last slept */
    bool started, ended, done; /* ended: nobody answers any more; done: what it asked is answered */
    struct http_client *client; /* the call under way */
    pthread_t thread;
    /* of the question under way */
    struct core_read read;
    struct core_call call;
    void (*seen)(void *context, const struct core_view *view);
    void (*written)(void *context, const struct core_answer *answer);
    void *context;
};

void core_thread_init(struct core_thread *t, struct core *core);
int core_thread_start(struct core_thread *t, const char *name, void *(*run)(void *context), void *context, struct error *err);
/* Something changed: it looks again. Any thread. */
void core_thread_wake(struct core_thread *t);
/* Any thread; ends a call to another server, too. */
void core_thread_stop(struct core_thread *t);
/* Stops it and waits for it: after the core is closed. */
void core_thread_join(struct core_thread *t);
void core_thread_fini(struct core_thread *t);

/* ---- on the thread itself; false: the server stops ---- */

/* Until it is woken, or for so long: `most` ms, TIME_NEVER = without end. */
bool core_thread_sleep(struct core_thread *t, time_ms most);
/* `seen` runs on a reader's thread meanwhile. `tables`: as in struct core_read. */
bool core_thread_read(struct core_thread *t, bool tables, void (*seen)(void *context, const struct core_view *view), void *context);
/* All in one batch; `written`, where there is one, runs on the writer's thread. */
bool core_thread_write(struct core_thread *t, struct engine_command *commands, size_t count,
                       void (*written)(void *context, const struct core_answer *answer), void *context);
/* Makes the call that comes known, so that a stop can end it; NULL = it is over. */
bool core_thread_call(struct core_thread *t, struct http_client *client);
