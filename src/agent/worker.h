/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What takes long (requests, files) is done by threads, one job at a time each; what they found is
 * looked at in the agent's loop alone, so nothing else needs a lock. */

#include "base/error.h"
#include "base/list.h"
#include "net/http_client.h"

#include <pthread.h>

struct job {
    struct list link;
    void (*run)(struct job *job, struct http_client *client); /* in the worker's thread */
    void (*done)(struct job *job); /* in the loop; the job is its own to free */
};

/* Where finished jobs wait for the loop; `event` is readable then. */
struct mailbox {
    pthread_mutex_t lock;
    struct list jobs; /* job.link */
    int event;
};
int mailbox_init(struct mailbox *box, struct error *err);
/* Calls done() of all that finished. */
void mailbox_take(struct mailbox *box);

struct worker;
/* With a client of its own; NULL options = without. */
int worker_new(struct worker **ret, struct mailbox *box, const struct http_client_options *options,
               struct error *err);
void worker_give(struct worker *worker, struct job *job);
/* The call that runs ends soon, with -ECANCELED. */
void worker_abort(struct worker *worker);
/* Aborts, waits until `deadline_ms` (monotonic) for the thread; false where it has not ended by
 * then: then nothing was freed and the program must exit at once. Jobs that did not run are
 * dropped. */
bool worker_free(struct worker *worker, int64_t deadline_ms);
