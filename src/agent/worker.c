/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/worker.h"

#include "base/clock.h"

#include <errno.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

struct worker {
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t given;
    struct list jobs; /* job.link */
    bool stop;
    struct http_client *client;
    struct mailbox *box;
};

int mailbox_init(struct mailbox *box, struct error *err)
{
    pthread_mutex_init(&box->lock, NULL);
    list_init(&box->jobs);
    box->event = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    return box->event < 0 ? error_set(err, -errno, "eventfd: %s", strerror(errno)) : 0;
}

static void mailbox_put(struct mailbox *box, struct job *job)
{
    uint64_t one = 1;
    pthread_mutex_lock(&box->lock);
    list_append(&box->jobs, &job->link);
    pthread_mutex_unlock(&box->lock);
    ssize_t ignored = write(box->event, &one, sizeof one);
    (void)ignored;
}

static struct job *pop(struct list *jobs)
{
    struct list *first = jobs->next;
    if (first == jobs)
        return NULL;
    list_remove(first);
    return CONTAINER_OF(first, struct job, link);
}

void mailbox_take(struct mailbox *box)
{
    uint64_t count;
    ssize_t ignored = read(box->event, &count, sizeof count);
    (void)ignored;
    while (true) {
        pthread_mutex_lock(&box->lock);
        struct job *job = pop(&box->jobs);
        pthread_mutex_unlock(&box->lock);
        if (job == NULL)
            return;
        job->done(job);
    }
}

static void *work(void *context)
{
    struct worker *worker = context;
    pthread_mutex_lock(&worker->lock);
    while (!worker->stop) {
        struct job *job = pop(&worker->jobs);
        if (job == NULL) {
            pthread_cond_wait(&worker->given, &worker->lock);
            continue;
        }
        pthread_mutex_unlock(&worker->lock);
        job->run(job, worker->client);
        mailbox_put(worker->box, job);
        pthread_mutex_lock(&worker->lock);
    }
    pthread_mutex_unlock(&worker->lock);
    return NULL;
}

int worker_new(struct worker **ret, struct mailbox *box, const struct http_client_options *options,
               struct error *err)
{
    struct worker *worker = xcalloc(1, sizeof *worker);
    int rc = options ? http_client_new(&worker->client, options, err) : 0;
    worker->box = box;
    list_init(&worker->jobs);
    pthread_mutex_init(&worker->lock, NULL);
    pthread_cond_init(&worker->given, NULL);
    if (rc == 0 && pthread_create(&worker->thread, NULL, work, worker))
        rc = error_set(err, -EAGAIN, "no thread can be started");
    if (rc) {
        http_client_free(worker->client);
        xfree(worker);
        return rc;
    }
    *ret = worker;
    return 0;
}

void worker_give(struct worker *worker, struct job *job)
{
    pthread_mutex_lock(&worker->lock);
    list_append(&worker->jobs, &job->link);
    pthread_cond_signal(&worker->given);
    pthread_mutex_unlock(&worker->lock);
}

void worker_abort(struct worker *worker)
{
    if (worker->client)
        http_client_abort(worker->client);
}

bool worker_free(struct worker *worker, int64_t deadline_ms)
{
    struct timespec until;
    if (worker == NULL)
        return true;
    pthread_mutex_lock(&worker->lock);
    worker->stop = true;
    pthread_cond_signal(&worker->given);
    pthread_mutex_unlock(&worker->lock);
    worker_abort(worker);
    int64_t left = MAX(deadline_ms - clock_monotonic_ms(), 0);
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += left / 1000;
    until.tv_nsec += left % 1000 * 1000000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000;
    }
    if (pthread_timedjoin_np(worker->thread, NULL, &until))
        return false;
    http_client_free(worker->client);
    pthread_mutex_destroy(&worker->lock);
    pthread_cond_destroy(&worker->given);
    xfree(worker);
    return true;
}
