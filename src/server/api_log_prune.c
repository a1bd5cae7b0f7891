/* SPDX-License-Identifier: Apache-2.0 */
/* Logs of work that has ended go once nobody wrote to them for a month, so that a server that runs
 * for years does not fill its disk. */
#include "server/api_internal.h"

#include "base/clock.h"
#include "base/log.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#define KEEP_MS ((time_ms)30 * 24 * 3600 * 1000)

struct pruning {
    struct api *api;
    struct core_read read;
};

/* A name that is no workload's id is not ours to delete. */
static bool wanted(const struct api *a, const struct core_view *view, const char *name)
{
    engine_id id;
    if (!id_parse(a->ids, "work", str_from(name), &id))
        return true;
    const struct engine_workload *w = engine_workload(view->engine, id);
    return w && !workload_state_ended(w->state);
}

static time_ms written_at(int folder, const char *name)
{
    struct stat status;
    if (fstatat(folder, name, &status, AT_SYMLINK_NOFOLLOW) < 0)
        return INT64_MAX;
    return (time_ms)status.st_mtim.tv_sec * 1000;
}

/* Files made before the folder's last change may have been written since. */
static bool is_old(DIR *files, time_ms before)
{
    const struct dirent *file;
    while ((file = readdir(files)))
        if (strcmp(file->d_name, "..") != 0 && written_at(dirfd(files), file->d_name) >= before)
            return false;
    return true;
}

static void delete_files(DIR *files)
{
    const struct dirent *file;
    rewinddir(files);
    while ((file = readdir(files)))
        if (strcmp(file->d_name, ".") != 0 && strcmp(file->d_name, "..") != 0)
            (void)unlinkat(dirfd(files), file->d_name, 0);
}

static void prune_folder(int logs, const char *name, time_ms before)
{
    int folder = openat(logs, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *files = folder < 0 ? NULL : fdopendir(folder);
    if (!files) {
        if (folder >= 0)
            close(folder);
        return;
    }
    bool old = is_old(files, before);
    if (old)
        delete_files(files);
    closedir(files);
    if (old && unlinkat(logs, name, AT_REMOVEDIR) < 0)
        log_warning("the old log folder %s stays: %s", name, strerror(errno));
}

static void prune_read(struct core_read *read, const struct core_view *view)
{
    struct pruning *pruning = CONTAINER_OF(read, struct pruning, read);
    DIR *logs = opendir(api_logs_folder(pruning->api->logs));
    time_ms before = clock_wall_ms() - KEEP_MS;
    const struct dirent *entry;
    while (logs && (entry = readdir(logs)))
        if (!wanted(pruning->api, view, entry->d_name))
            prune_folder(dirfd(logs), entry->d_name, before);
    if (logs)
        closedir(logs);
    xfree(pruning);
}

void api_logs_prune(struct api *a)
{
    struct pruning *pruning = xcalloc(1, sizeof *pruning);
    pruning->api = a;
    pruning->read.run = prune_read;
    core_query(a->core, &pruning->read);
}
