/* SPDX-License-Identifier: Apache-2.0 */
/* The files of a replica: its folder and home, the workload's archive fetched and laid out, and all
 * of it removed again. What comes out of an archive is trusted with nothing: no link is followed on
 * the way to a place that the agent writes. */
#include "agent/agent_internal.h"

#include "agent/fetch.h"
#include "base/log.h"
#include "node/file.h"

#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define RETRY_MS 1000

/* ---- users ---- */

static bool user_taken(const struct agent *a, uint32_t user)
{
    LIST_EACH(item, &a->replicas)
    if (CONTAINER_OF(item, struct replica, link)->user == user)
        return true;
    return false;
}

/* One after another, so that a number comes back as late as can be. */
static uint32_t choose_user(struct agent *a)
{
    for (uint32_t i = 0; i < a->users.count; i++) {
        uint32_t user = a->users.first + a->users.next++ % a->users.count;
        if (!user_taken(a, user))
            return user;
    }
    return 0;
}

/* ---- folders ---- */

static int make_folders(struct replica *r, struct error *err)
{
    static const char *const names[] = {"home", "home/.tessera", "home/workdir"};
    char path[HOLD_PATH_MAX];
    /* what an attempt of before an agent's death left half done */
    int rc = folder_remove(r->folder, err);
    if (rc == 0)
        rc = folder_make(r->folder, 0711, err);
    for (size_t i = 0; rc == 0 && i < ARRAY_COUNT(names); i++) {
        rc = hold_path(path, r->folder, names[i]);
        if (rc == 0 && mkdir(path, i == 1 ? 0755 : 0700) < 0)
            rc = -errno;
        if (rc == 0 && r->user && lchown(path, i == 1 ? 0 : r->user, i == 1 ? 0 : r->user) < 0)
            rc = -errno;
        if (rc)
            return error_set(err, rc, "%s: %s", path, strerror(-rc));
    }
    return rc;
}

/* ---- the job ---- */

struct prepare_job {
    struct job job;
    struct agent *agent;
    struct hold_name name;
    struct arena arena;
    struct fetch fetch;
    int code;
    struct error problem;
};

static void run_prepare(struct job *job, struct http_client *client)
{
    struct prepare_job *p = CONTAINER_OF(job, struct prepare_job, job);
    p->code = fetch_files(&p->fetch, client, &p->problem);
}

static bool worth_another_try(int code)
{
    return code == -ECONNREFUSED || code == -ETIMEDOUT || code == -ECANCELED || code == -EAGAIN;
}

static void done_prepare(struct job *job)
{
    struct prepare_job *p = CONTAINER_OF(job, struct prepare_job, job);
    struct replica *r = replica_find(p->agent, str_from(p->name.text));
    if (r && r->state == REPLICA_FETCHING) {
        if (p->code == 0) {
            replica_move(r, REPLICA_READY);
        } else if (worth_another_try(p->code)) {
            log_warning("%s: %s", r->name.text, p->problem.text);
            replica_move(r, REPLICA_NEW);
            r->retry_ms = now_ms() + RETRY_MS;
        } else {
            replica_fail(r, p->problem.text);
        }
    }
    arena_fini(&p->arena);
    xfree(p);
}

static struct record_list copy_pairs(struct arena *arena, const struct record_list *from)
{
    const struct record_pair *pairs = from->items;
    struct record_pair *copies = arena_alloc(arena, (from->count + 1) * sizeof *copies);
    CHECK(copies);
    for (size_t i = 0; i < from->count; i++)
        copies[i] =
            (struct record_pair){arena_str(arena, pairs[i].key), arena_str(arena, pairs[i].value)};
    return (struct record_list){copies, from->count};
}

static void give_job(struct replica *r)
{
    const struct agent_spec *spec = &r->wanted->spec;
    struct prepare_job *p = xcalloc(1, sizeof *p);
    p->job = (struct job){.run = run_prepare, .done = done_prepare};
    p->agent = r->agent;
    p->name = r->name;
    p->fetch = (struct fetch){.data = r->agent->data,
                              .folder = arena_str(&p->arena, str_from(r->folder)).data,
                              .archive = arena_str(&p->arena, spec->archive),
                              .workdir = arena_str(&p->arena, spec->workdir),
                              .mounts = copy_pairs(&p->arena, &spec->mounts),
                              .own_mounts = r->agent->own_mounts,
                              .user = r->user};
    replica_move(r, REPLICA_FETCHING);
    worker_give(r->agent->files, &p->job);
}

void prepare_start(struct replica *r)
{
    struct error err;
    const struct agent_spec *spec = &r->wanted->spec;
    if (now_ms() < r->retry_ms)
        return;
    if (r->user == 0 && r->agent->users.count && (r->user = choose_user(r->agent)) == 0)
        replica_fail(r, "all users of this node's range are taken");
    else if (make_folders(r, &err))
        replica_fail(r, err.text);
    else if (replica_is_guest(r) && (!r->agent->guests || !guest_address_take(r)))
        replica_fail(r, r->agent->guests ? "no address of this node is free" : "this node hands out no machines");
    else if (spec->archive.size || spec->mounts.count)
        give_job(r);
    else
        replica_move(r, REPLICA_READY);
}

/* ---- the end ---- */

struct remove_job {
    struct job job;
    struct agent *agent;
    struct hold_name name;
    char folder[HOLD_PATH_MAX];
};

static void run_remove(struct job *job, struct http_client *client)
{
    struct remove_job *p = CONTAINER_OF(job, struct remove_job, job);
    struct error err;
    (void)client;
    if (folder_remove(p->folder, &err))
        log_warning("%s", err.text);
    fetch_sweep(p->agent->data);
}

static void done_remove(struct job *job)
{
    struct remove_job *p = CONTAINER_OF(job, struct remove_job, job);
    struct replica *r = replica_find(p->agent, str_from(p->name.text));
    struct agent *a = p->agent;
    if (r)
        replica_free(r);
    xfree(p);
    reconcile_bind(a); /* the same one may be wanted anew */
}

void prepare_remove(struct replica *r)
{
    struct remove_job *p = xcalloc(1, sizeof *p);
    p->job = (struct job){.run = run_remove, .done = done_remove};
    p->agent = r->agent;
    p->name = r->name;
    snprintf(p->folder, sizeof p->folder, "%s", r->folder);
    replica_move(r, REPLICA_GONE);
    r->wanted = NULL;
    worker_give(r->agent->files, &p->job);
}
