/* SPDX-License-Identifier: Apache-2.0 */
/* Logs, sent piece by piece from where the server's copy ends. */
#include "agent/agent_internal.h"

#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#define RETRY_MS 500
#define PIECE_MAX ((size_t)AGENT_LOG_CHUNK_MAX)

struct ship_job {
    struct job job;
    struct agent *agent;
    struct hold_name name;
    char folder[HOLD_PATH_MAX];
    char query[256];
    int64_t offset;
    bool ask; /* send nothing, learn what the server has */
    int code;
    struct http_reply reply;
    struct error problem;
};

bool ship_done(const struct replica *r)
{
    return r->log_off || r->log_size == 0 || r->log_sent >= r->log_size;
}

static void run_ship(struct job *job, struct http_client *client)
{
    struct ship_job *p = CONTAINER_OF(job, struct ship_job, job);
    char path[HOLD_PATH_MAX];
    char *piece = xmalloc(PIECE_MAX);
    ssize_t size = 0;
    int fd = hold_path(path, p->folder, "log") ? -1 : open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd >= 0 && !p->ask)
        size = pread(fd, piece, PIECE_MAX, p->offset);
    if (fd >= 0)
        close(fd);
    struct http_call call = {.method = "POST",
                             .path = p->query,
                             .content_type = "application/octet-stream",
                             .body = {piece, (size_t)MAX(size, 0)}};
    p->code = http_client_call(client, &call, &p->reply, &p->problem);
    xfree(piece);
}

/* The server will not have it: another attempt's, or nobody's. */
static bool refused(int status)
{
    return status / 100 == 4 && status != 401 && status != 408 && status != 429;
}

static int take_size(struct replica *r, struct ship_job *p)
{
    struct arena arena = {0};
    struct agent_log_size answer;
    int rc = record_from_json(&agent_log_size_record, buf_str(&p->reply.body), &arena, &answer,
                              &p->problem);
    if (rc == 0) {
        bool stands = !p->ask && answer.size <= p->offset;
        r->log_sent = MAX(answer.size, 0);
        r->log_off = answer.full;
        if (stands && !answer.full)
            rc = error_set(&p->problem, -EPROTO, "the server took nothing of the log");
    }
    arena_fini(&arena);
    return rc;
}

static void done_ship(struct job *job)
{
    struct ship_job *p = CONTAINER_OF(job, struct ship_job, job);
    struct agent *a = p->agent;
    struct replica *r = replica_find(a, str_from(p->name.text));
    a->shipping = false;
    if (r && p->code == 0 && refused(p->reply.status))
        r->log_off = true;
    else if (p->code == 0 && p->reply.status != 200)
        p->code = error_set(&p->problem, -EPROTO, "the server answers %d", p->reply.status);
    else if (r && p->code == 0)
        p->code = take_size(r, p);
    if (p->code) {
        a->ship_at_ms = now_ms() + RETRY_MS;
        if (a->in_contact)
            log_warning("%s: log: %s", p->name.text, p->problem.text);
    }
    http_reply_fini(&p->reply);
    xfree(p);
}

static bool has_more(const struct replica *r)
{
    return (r->state == REPLICA_HELD || r->state == REPLICA_ENDED) && !ship_done(r);
}

/* Each in turn, from the one after the last. */
static struct replica *choose(struct agent *a)
{
    struct list *begin = a->ship_next ? &a->ship_next->link : &a->replicas, *item = begin;
    do {
        item = item->next;
        if (item == &a->replicas)
            continue;
        struct replica *r = CONTAINER_OF(item, struct replica, link);
        if (has_more(r))
            return r;
    } while (item != begin);
    return NULL;
}

void ship_pump(struct agent *a)
{
    if (a->shipping || !a->registered || now_ms() < a->ship_at_ms)
        return;
    struct replica *r = choose(a);
    if (r == NULL)
        return;
    struct ship_job *p = xcalloc(1, sizeof *p);
    p->job = (struct job){.run = run_ship, .done = done_ship};
    p->agent = a;
    p->name = r->name;
    p->ask = r->log_sent < 0 && r->told_started; /* an agent of before may have sent some */
    p->offset = MAX(r->log_sent, 0);
    snprintf(p->folder, sizeof p->folder, "%s", r->folder);
    snprintf(p->query, sizeof p->query,
             "/v1/agent/logs?workload=%.*s&attempt=%lld&role=%lld&rank=%lld&offset=%lld",
             STR_ARGS(r->identity.workload), (long long)r->identity.attempt,
             (long long)r->identity.role, (long long)r->identity.rank, (long long)p->offset);
    a->ship_next = r;
    a->shipping = true;
    worker_give(a->shipper, &p->job);
}
