/* SPDX-License-Identifier: Apache-2.0 */
/* Uploaded files, by the SHA-256 of their content: DATA/archives/PROJECT/SHA256, where PROJECT is
 * `all` for keys of all projects. What one project uploaded does not exist for another.
 *
 * An archive comes in pieces into a file of its own and gets its name when its content has proven
 * to be what it was called, flushed. It stays while a live workload names it, and a day after
 * anybody did. */
#include "server/api_route.h"

#include "base/clock.h"
#include "base/map.h"
#include "records/workload.h"
#include "wire/record.h"
#include "wire/sha256.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define ARCHIVE_MOST ((uint64_t)256 << 20)
#define KEEP_MS ((time_ms)24 * HOUR_MS)
#define PATH_SIZE 4096
#define DIGITS (SHA256_HEX - 1)

struct api_archives {
    struct api *api;
    pthread_mutex_t lock;
    struct str_map used; /* "PROJECT/SHA256" to when it was last used, ms */
    char folder[PATH_SIZE / 2];
    uint64_t uploads; /* for names of files that come in; loop thread */
};

struct archive_name {
    char text[ID_TEXT_MAX + SHA256_HEX + 2]; /* "PROJECT/SHA256" */
};

static bool is_digest(struct str text)
{
    for (size_t i = 0; i < text.size; i++)
        if (!((text.data[i] >= '0' && text.data[i] <= '9') ||
              (text.data[i] >= 'a' && text.data[i] <= 'f')))
            return false;
    return text.size == DIGITS;
}

static struct archive_name name_of(const struct api *a, engine_id project, struct str sha256)
{
    struct archive_name name;
    struct id_text id = project ? id_format(a->ids, "proj", project) : (struct id_text){"all"};
    snprintf(name.text, sizeof name.text, "%s/%.*s", id.text, STR_ARGS(sha256));
    return name;
}

static void path_of(const struct api_archives *s, const char *name, char ret[PATH_SIZE])
{
    snprintf(ret, PATH_SIZE, "%s/%s", s->folder, name);
}

/* Marks it as used where it is there. */
static bool touch(struct api_archives *s, const struct archive_name *name)
{
    pthread_mutex_lock(&s->lock);
    uint64_t *used = str_map_find(&s->used, str_from(name->text));
    if (used)
        *used = (uint64_t)clock_wall_ms();
    pthread_mutex_unlock(&s->lock);
    return used != NULL;
}

/* The project's own, or one that is for all. */
static bool find(struct api_archives *s, engine_id project, struct str sha256,
                 struct archive_name *ret)
{
    *ret = name_of(s->api, project, sha256);
    if (touch(s, ret))
        return true;
    *ret = name_of(s->api, 0, sha256);
    return touch(s, ret);
}

bool api_archive_use(struct api_archives *s, engine_id project, struct str sha256)
{
    struct archive_name name;
    return is_digest(sha256) && find(s, project, sha256, &name);
}

/* ---- coming in ---- */

struct upload {
    int file;
    struct sha256 sum;
    struct archive_name name;
    char path[PATH_SIZE]; /* until it has its name */
    bool there;           /* already: the body is read and forgotten */
};

static void upload_end(struct upload *u)
{
    if (u->file < 0)
        return;
    close(u->file);
    u->file = -1;
    unlink(u->path);
}

static int take_piece(void *context, struct http_request *r, struct str piece)
{
    (void)r;
    struct upload *u = context;
    if (u->there)
        return 0;
    sha256_add(&u->sum, piece.data, piece.size);
    while (piece.size) {
        ssize_t written = write(u->file, piece.data, piece.size);
        if (written < 0 && errno == EINTR)
            continue;
        if (written < 0) {
            log_error("%s: %s", u->path, strerror(errno));
            return -errno;
        }
        piece.data += written;
        piece.size -= (size_t)written;
    }
    return 0;
}

static void upload_gone(void *context, struct http_request *r)
{
    (void)r;
    upload_end(context);
}

/* False: refused. */
static bool upload_open(struct api_call *call, struct upload *u)
{
    struct api_archives *s = call->api->archives;
    *u = (struct upload){.file = -1, .name = name_of(call->api, call->who.project, call->name)};
    if (!is_digest(call->name)) {
        call_refuse(call, 400, "sha256", "not a SHA-256 of 64 small hexadecimal digits");
        return false;
    }
    u->there = touch(s, &u->name);
    if (u->there)
        return true;
    snprintf(u->path, sizeof u->path, "%s/incoming-%llu", s->folder,
             (unsigned long long)s->uploads++);
    u->file = open(u->path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (u->file < 0) {
        log_error("%s: %s", u->path, strerror(errno));
        call_refuse(call, 503, NULL, "the server cannot keep archives now");
        return false;
    }
    sha256_init(&u->sum);
    return true;
}

bool route_archive_admit(struct api_call *call)
{
    struct upload *u = call->own = call_alloc(call, sizeof *u);
    if (!upload_open(call, u))
        return false;
    http_request_allow(call->request, ARCHIVE_MOST);
    http_request_sink(call->request, take_piece, u);
    http_request_on_gone(call->request, upload_gone, u);
    return true;
}

static void make_folder(const struct api_archives *s, const char *name)
{
    char path[PATH_SIZE];
    struct str rest = str_from(name);
    struct str project = str_cut(&rest, '/');
    snprintf(path, sizeof path, "%s/%.*s", s->folder, STR_ARGS(project));
    mkdir(path, 0700);
}

/* Flushed before it has its name. */
static int keep(struct api_archives *s, struct upload *u)
{
    char path[PATH_SIZE];
    path_of(s, u->name.text, path);
    make_folder(s, u->name.text);
    if (fsync(u->file) < 0 || rename(u->path, path) < 0)
        return -errno;
    close(u->file);
    u->file = -1;
    pthread_mutex_lock(&s->lock);
    str_map_set(&s->used, str_from(u->name.text), (uint64_t)clock_wall_ms());
    pthread_mutex_unlock(&s->lock);
    return 0;
}

static void keep_read(struct api_call *call, const struct core_view *view)
{
    (void)view;
    struct upload *u = call->own;
    int r = keep(call->api->archives, u);
    if (r < 0) {
        log_error("%s: %s", u->path, strerror(-r));
        upload_end(u);
        call_refuse(call, 503, NULL, "the server cannot keep archives now");
        return;
    }
    call_respond(call, (struct http_response){.status = 201});
}

void route_archive_put(struct api_call *call)
{
    struct upload *u = call->own;
    char sum[SHA256_HEX];
    if (!u) { /* no body came: what an empty one is called is not this */
        call_refuse(call, 400, "sha256", "the body is empty");
        return;
    }
    if (u->there) {
        call_respond(call, (struct http_response){.status = 200});
        return;
    }
    http_request_on_gone(call->request, NULL, NULL);
    sha256_end(&u->sum, sum);
    if (!str_is(call->name, sum)) {
        upload_end(u);
        call_refuse(call, 400, "sha256", "the body has another one: %s", sum);
        return;
    }
    call_query(call, keep_read);
}

/* ---- going out ---- */

static bool names_archive(const struct render *r, const struct engine_workload *w,
                          struct str sha256)
{
    struct workload_request request;
    struct error err = {0};
    struct unpack in = unpack_from(w->request);
    return record_unpack(&workload_request_record, &in, r->arena, &request, &err) == 0 &&
           str_equal(request.archive, sha256);
}

/* An agent sees what runs on its node. */
static bool find_for_node(struct api_call *call, const struct core_view *view,
                          struct archive_name *ret)
{
    struct render render = call_render(call, view);
    const struct engine_node *node =
        call->who.node ? engine_node(view->engine, call->who.node) : NULL;
    for (size_t i = 0; node && i < node->replica_count; i++) {
        const struct engine_workload *w = engine_workload(view->engine, node->replicas[i].workload);
        if (w && names_archive(&render, w, call->name) &&
            find(call->api->archives, w->project, call->name, ret))
            return true;
    }
    return false;
}

void route_archive_get(struct api_call *call, const struct core_view *view)
{
    struct api_archives *s = call->api->archives;
    struct archive_name name;
    struct stat status;
    char path[PATH_SIZE];
    bool found = false;
    if (is_digest(call->name))
        found = call->who.role == ROLE_AGENT ? find_for_node(call, view, &name)
                                             : find(s, call->who.project, call->name, &name);
    int file = -1;
    if (found) {
        path_of(s, name.text, path);
        file = open(path, O_RDONLY | O_CLOEXEC);
    }
    if (file < 0 || fstat(file, &status) < 0) {
        if (file >= 0)
            close(file);
        call_not_found(call, "archive");
        return;
    }
    call_respond_file(call, file, (uint64_t)status.st_size);
}

/* ---- keeping ---- */

struct pruning {
    struct api_archives *s;
    struct core_read read;
};

/* Live work uses what it names. */
static void touch_live(struct api_archives *s, const struct core_view *view)
{
    struct arena arena = {0};
    const struct engine_workload *w = NULL;
    while ((w = engine_workload_before(view->engine, w ? w->id : 0, 0, WORKLOAD_STATES_LIVE))) {
        struct workload_request request;
        struct error err = {0};
        struct unpack in = unpack_from(w->request);
        if (record_unpack(&workload_request_record, &in, &arena, &request, &err) == 0 &&
            request.archive.size)
            api_archive_use(s, w->project, request.archive);
        arena_clear(&arena);
    }
    arena_fini(&arena);
}

/* One that nobody used for long, out of the map; false: there is none. */
static bool take_old(struct api_archives *s, time_ms before, struct archive_name *ret)
{
    bool found = false;
    pthread_mutex_lock(&s->lock);
    for (size_t i = 0; i < s->used.capacity && !found; i++) {
        const struct str_map_entry *entry = &s->used.entries[i];
        found = entry->key && (time_ms)entry->value < before;
        if (found)
            snprintf(ret->text, sizeof ret->text, "%.*s", (int)entry->size, entry->key);
    }
    if (found)
        str_map_remove(&s->used, str_from(ret->text));
    pthread_mutex_unlock(&s->lock);
    return found;
}

static void prune_read(struct core_read *read, const struct core_view *view)
{
    struct pruning *pruning = CONTAINER_OF(read, struct pruning, read);
    struct archive_name name;
    touch_live(pruning->s, view);
    while (take_old(pruning->s, clock_wall_ms() - KEEP_MS, &name)) {
        char path[PATH_SIZE];
        path_of(pruning->s, name.text, path);
        unlink(path);
    }
    xfree(pruning);
}

void api_archives_prune(struct api_archives *s)
{
    struct pruning *pruning = xcalloc(1, sizeof *pruning);
    pruning->s = s;
    pruning->read.run = prune_read;
    core_query(s->api->core, &pruning->read);
}

/* ---- life ---- */

static void load_file(struct api_archives *s, const char *project, const char *name)
{
    char path[PATH_SIZE];
    struct stat status;
    struct archive_name full;
    if (!is_digest(str_from(name)) || strlen(project) >= ID_TEXT_MAX)
        return;
    snprintf(full.text, sizeof full.text, "%.*s/%.*s", ID_TEXT_MAX, project, (int)DIGITS, name);
    path_of(s, full.text, path);
    if (stat(path, &status) == 0)
        str_map_set(&s->used, str_from(full.text), (uint64_t)status.st_mtime * 1000);
}

/* What a server left behind in the middle of an upload goes. */
static void load_entry(struct api_archives *s, const char *name)
{
    char path[PATH_SIZE];
    path_of(s, name, path);
    if (str_starts(str_from(name), STR("incoming-"))) {
        unlink(path);
        return;
    }
    DIR *folder = name[0] == '.' ? NULL : opendir(path);
    for (struct dirent *entry; folder && (entry = readdir(folder));)
        load_file(s, name, entry->d_name);
    if (folder)
        closedir(folder);
}

int api_archives_new(struct api_archives **ret, struct api *a, struct error *err)
{
    struct api_archives *s = xcalloc(1, sizeof *s);
    *ret = s;
    s->api = a;
    pthread_mutex_init(&s->lock, NULL);
    snprintf(s->folder, sizeof s->folder, "%s/archives", core_data(a->core));
    if (mkdir(s->folder, 0700) < 0 && errno != EEXIST)
        return error_set(err, -errno, "%s: %s", s->folder, strerror(errno));
    DIR *folder = opendir(s->folder);
    if (!folder)
        return error_set(err, -errno, "%s: %s", s->folder, strerror(errno));
    for (struct dirent *entry; (entry = readdir(folder));)
        load_entry(s, entry->d_name);
    closedir(folder);
    return 0;
}

void api_archives_free(struct api_archives *s)
{
    if (!s)
        return;
    str_map_fini(&s->used);
    pthread_mutex_destroy(&s->lock);
    xfree(s);
}
