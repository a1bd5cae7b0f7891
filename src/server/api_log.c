/* SPDX-License-Identifier: Apache-2.0 */
/* Logs of replicas: DATA/logs/WORKLOAD/ATTEMPT-ROLE-RANK. Agents append by offset, so that what is
 * sent twice stands there once; readers follow until the replica has ended. An agent sends the
 * whole log before it reports the end. */
#include "server/api_pump.h"
#include "server/api_route.h"
#include "server/api_submit.h"

#include "wire/record.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define LOG_MOST ((int64_t)64 << 20) /* of one replica */
#define STRIPES 16
#define PIECE 65536
#define PATH_SIZE 4096

struct api_logs {
    struct api *api;
    struct pumps followers;           /* struct follower */
    pthread_mutex_t stripes[STRIPES]; /* one append at a time to a file */
    char folder[PATH_SIZE / 2];
};

const char *api_logs_folder(const struct api_logs *s)
{
    return s->folder;
}

static void log_folder(const struct api_logs *s, engine_id workload, char ret[PATH_SIZE])
{
    struct id_text id = id_format(s->api->ids, "work", workload);
    snprintf(ret, PATH_SIZE, "%s/%s", s->folder, id.text);
}

static void log_path(const struct api_logs *s, const struct engine_replica_ref *ref,
                     char ret[PATH_SIZE])
{
    log_folder(s, ref->workload, ret);
    size_t size = strlen(ret);
    snprintf(ret + size, PATH_SIZE - size, "/%u-%u-%u", ref->attempt, ref->role, ref->rank);
}

/* The replica that the query names. False: refused. */
static bool parse_ref(struct api_call *call, struct engine_replica_ref *ret)
{
    int64_t attempt = 0, role = 0, rank = 0;
    if (!call_number(call, "attempt", &attempt, 0, UINT32_MAX) ||
        !call_number(call, "role", &role, 0, UINT32_MAX) ||
        !call_number(call, "rank", &rank, 0, UINT32_MAX))
        return false;
    ret->attempt = (uint32_t)attempt;
    ret->role = (uint32_t)role;
    ret->rank = (uint32_t)rank;
    return true;
}

/* ---- appending ---- */

struct appending {
    struct engine_replica_ref ref;
    int64_t offset;
};

/* Where an older attempt ran is known to the tables alone. */
static bool past_node(struct api_call *call, const struct core_view *view,
                      const struct engine_replica_ref *ref, engine_id *ret)
{
    struct table_query query = {.table = TABLE_PLACEMENT,
                                .workload = ref->workload,
                                .attempt = ref->attempt,
                                .limit = WORKLOAD_NODES_MAX};
    struct table_page page;
    if (!view_read(call, view, &query, &page))
        return false;
    const struct table_placement *rows = page.rows;
    for (size_t i = 0; i < page.count; i++)
        if (rows[i].role == ref->role && rows[i].rank == ref->rank)
            *ret = rows[i].node;
    return true;
}

/* False: refused. */
static bool check_owner(struct api_call *call, const struct core_view *view,
                        const struct engine_replica_ref *ref)
{
    const struct engine_replica *replica =
        replica_of(engine_workload(view->engine, ref->workload), ref);
    engine_id node = replica ? replica->node : 0;
    if (!replica && !past_node(call, view, ref, &node))
        return false;
    if (node == 0 || node != call->who.node) {
        call_not_found(call, "replica on this node");
        return false;
    }
    return true;
}

static int append_file(const char *path, int64_t offset, struct str body,
                       struct agent_log_size *ret)
{
    int file = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    struct stat status;
    if (file < 0 || fstat(file, &status) < 0) {
        int r = -errno;
        if (file >= 0)
            close(file);
        return r;
    }
    ret->size = status.st_size;
    int64_t known = MIN(MAX(ret->size - offset, 0), (int64_t)body.size);
    int64_t fresh =
        offset > ret->size ? 0 : MIN((int64_t)body.size - known, MAX(LOG_MOST - ret->size, 0));
    ssize_t written = fresh > 0 ? pwrite(file, body.data + known, (size_t)fresh, ret->size) : 0;
    int r = written < 0 ? -errno : 0;
    close(file);
    ret->size += MAX(written, 0);
    ret->full = ret->size >= LOG_MOST;
    return r;
}

static int append(struct api_logs *s, const struct appending *a, struct str body,
                  struct agent_log_size *ret)
{
    char path[PATH_SIZE];
    pthread_mutex_t *stripe = &s->stripes[hash_u64(a->ref.workload + a->ref.rank) % STRIPES];
    log_path(s, &a->ref, path);
    pthread_mutex_lock(stripe);
    int r = append_file(path, a->offset, body, ret);
    if (r == -ENOENT) {
        char folder[PATH_SIZE];
        log_folder(s, a->ref.workload, folder);
        r = mkdir(folder, 0700) < 0 && errno != EEXIST ? -errno
                                                       : append_file(path, a->offset, body, ret);
    }
    pthread_mutex_unlock(stripe);
    return r;
}

static void wake_followers(struct api_logs *s, engine_id workload);

static void append_read(struct api_call *call, const struct core_view *view)
{
    struct api_logs *s = call->api->logs;
    const struct appending *a = call->own;
    struct agent_log_size size = {0};
    if (!check_owner(call, view, &a->ref))
        return;
    int r = append(s, a, call->request->body, &size);
    if (r < 0) {
        log_error("a log in %s: %s", s->folder, strerror(-r));
        call_refuse(call, 503, NULL, "the server cannot keep logs now");
        return;
    }
    wake_followers(s, a->ref.workload);
    call_answer(call, 200, &agent_log_size_record, &size);
}

void route_log_append(struct api_call *call)
{
    struct appending *a = call->own = call_alloc(call, sizeof *a);
    struct str workload = http_request_query(call->request, "workload");
    if (!parse_ref(call, &a->ref) || !call_number(call, "offset", &a->offset, 0, INT64_MAX))
        return;
    if (!id_parse(call->api->ids, "work", workload, &a->ref.workload)) {
        call_not_found(call, "replica on this node");
        return;
    }
    if (call->request->body.size > AGENT_LOG_CHUNK_MAX) {
        call_refuse(call, 413, NULL, "at most %lld bytes at a time",
                    (long long)AGENT_LOG_CHUNK_MAX);
        return;
    }
    call_query(call, append_read);
}

/* ---- following ---- */

struct follower {
    struct pump pump;
    struct api_logs *s;
    struct engine_replica_ref ref; /* attempt 0: the first that there is */
    int64_t offset;
    bool follow;
};

/* Whether nothing more is to come. */
static bool replica_over(struct follower *f, const struct engine *e)
{
    const struct engine_workload *w = engine_workload(e, f->ref.workload);
    if (!w || !f->follow)
        return true;
    if (f->ref.attempt == 0)
        f->ref.attempt = w->attempt;
    if (workload_state_ended(w->state) || w->attempt != f->ref.attempt)
        return true;
    const struct engine_replica *replica = replica_of(w, &f->ref);
    return w->attempt > 0 &&
           (!replica || replica->state == REPLICA_ENDED || w->state == WORKLOAD_WAITING);
}

static enum pump_result send_rest(struct follower *f, int file)
{
    char piece[PIECE];
    for (;;) {
        if (http_stream_waiting(f->pump.stream) > PUMP_WINDOW)
            return PUMP_FULL;
        ssize_t size = pread(file, piece, sizeof piece, f->offset);
        if (size <= 0)
            return PUMP_IDLE;
        if (http_stream_write(f->pump.stream, (struct str){piece, (size_t)size}) < 0)
            return PUMP_DONE;
        f->offset += size;
    }
}

static enum pump_result follow_run(struct pump *p, const struct core_view *view)
{
    struct follower *f = CONTAINER_OF(p, struct follower, pump);
    char path[PATH_SIZE];
    bool over = replica_over(f, view->engine); /* before the file is read to its end */
    enum pump_result result = PUMP_IDLE;
    log_path(f->s, &f->ref, path);
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file >= 0) {
        result = send_rest(f, file);
        close(file);
    }
    return result == PUMP_IDLE && over ? PUMP_DONE : result;
}

static void follower_free(struct pump *p)
{
    xfree(CONTAINER_OF(p, struct follower, pump));
}

static void wake_followers(struct api_logs *s, engine_id workload)
{
    pthread_mutex_lock(&s->followers.lock);
    LIST_EACH(item, &s->followers.all)
    {
        struct follower *f = CONTAINER_OF(item, struct follower, pump.link);
        if (f->ref.workload == workload)
            pump_wake(&f->pump);
    }
    pthread_mutex_unlock(&s->followers.lock);
}

static bool has_followers(struct api_logs *s)
{
    pthread_mutex_lock(&s->followers.lock);
    bool some = s->followers.count > 0;
    pthread_mutex_unlock(&s->followers.lock);
    return some;
}

void api_logs_commit(struct api_logs *s, const struct core_commit *commit)
{
    if (!has_followers(s))
        return;
    engine_id last = 0;
    for (size_t i = 0; i < commit->result->event_count; i++) {
        const struct engine_event *event = &commit->result->events[i];
        if (event->workload && event->workload != last && event->type <= ENGINE_EVENT_REPLICA_ENDED)
            wake_followers(s, last = event->workload);
    }
}

/* ---- reading ---- */

/* The newest attempt where none is named. False: refused. */
static bool find_log(struct api_call *call, const struct core_view *view,
                     struct engine_replica_ref *ref)
{
    const struct engine_workload *w = call_workload(call, view->engine);
    const struct table_workload *past = NULL;
    if (!w && !call_past_workload(call, view, &past))
        return false;
    ref->workload = call_workload_id(call);
    uint32_t newest = w ? w->attempt : (uint32_t)past->attempt;
    uint32_t nodes = w ? w->nodes : (uint32_t)past->nodes;
    if (ref->attempt > newest) {
        call_refuse(call, 404, "attempt", "there is no such attempt, the newest is %u", newest);
        return false;
    }
    if (ref->role > 0 || ref->rank >= nodes) {
        call_refuse(call, 404, "rank", "there is no such replica, ranks are 0 to %u", nodes - 1);
        return false;
    }
    if (ref->attempt == 0)
        ref->attempt = newest;
    return true;
}

static void begin_stream(struct api_call *call, const struct engine_replica_ref *ref,
                         int64_t offset, bool follow)
{
    struct api_logs *s = call->api->logs;
    struct follower *f = xcalloc(1, sizeof *f);
    f->pump.run = follow_run;
    f->pump.free = follower_free;
    f->s = s;
    f->ref = *ref;
    f->offset = offset;
    f->follow = follow;
    struct http_response head = {.status = 200,
                                 .content_type = STR("text/plain; charset=utf-8"),
                                 .headers = call->headers,
                                 .header_count = call->header_count};
    pump_begin(&s->followers, &f->pump, call->request, &head);
}

void route_log_get(struct api_call *call, const struct core_view *view)
{
    struct engine_replica_ref ref = {0};
    int64_t offset = 0, follow = 0;
    if (!parse_ref(call, &ref) || !call_number(call, "offset", &offset, 0, INT64_MAX) ||
        !call_number(call, "follow", &follow, 0, 1) || !find_log(call, view, &ref))
        return;
    call_header(call, "X-Content-Type-Options", STR("nosniff"));
    call_header(call, "Cache-Control", STR("no-store"));
    call_header(call, "Tessera-Attempt", call_text(call, "%u", ref.attempt));
    if (call->request->method == HTTP_HEAD)
        call_respond(call, (struct http_response){
                               .status = 200, .content_type = STR("text/plain; charset=utf-8")});
    else
        begin_stream(call, &ref, offset, follow);
}

/* ---- life ---- */

int api_logs_new(struct api_logs **ret, struct api *a, struct error *err)
{
    struct api_logs *s = xcalloc(1, sizeof *s);
    *ret = s;
    s->api = a;
    pumps_init(&s->followers, a->core, a->http);
    for (size_t i = 0; i < STRIPES; i++)
        pthread_mutex_init(&s->stripes[i], NULL);
    snprintf(s->folder, sizeof s->folder, "%s/logs", core_data(a->core));
    if (mkdir(s->folder, 0700) < 0 && errno != EEXIST)
        return error_set(err, -errno, "%s: %s", s->folder, strerror(errno));
    return 0;
}

void api_logs_tick(struct api_logs *s)
{
    pumps_tick(&s->followers);
}

void api_logs_stop(struct api_logs *s)
{
    pumps_stop(&s->followers);
}

void api_logs_free(struct api_logs *s)
{
    if (!s)
        return;
    for (size_t i = 0; i < STRIPES; i++)
        pthread_mutex_destroy(&s->stripes[i]);
    pumps_fini(&s->followers);
    xfree(s);
}
