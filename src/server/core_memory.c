/* SPDX-License-Identifier: Apache-2.0 */
/* A core whose journal stands in memory: everything is forgotten at its end, so it begins with a folder in which
 * nothing is that somebody may still want. */
#include "server/core_internal.h"
#include "server/file.h"
#include "server/outbox.h"
#include "server/recover.h"
#include "store/snapshot.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define MARK_NAME "memory"
static const char *const kept_names[] = {JOURNAL_NAME, TABLES_NAME, "installation", "client.yaml"};
/* What an earlier run left; without the journal it means nothing. */
static const char *const left_names[] = {TABLES_NAME, TABLES_NAME "-wal", TABLES_NAME "-shm", "installation", "client.yaml",
                                         OUTBOX_NAME, OUTBOX_NAME "-wal", OUTBOX_NAME "-shm"};

static bool name_there(const char *data, const char *name)
{
    _cleanup_free_ char *path = data_path(data, name);
    return data_exists(path);
}

bool memory_marked(const char *data)
{
    return name_there(data, MARK_NAME);
}

static int left_remove(const char *data, const char *name, struct error *err)
{
    _cleanup_free_ char *path = data_path(data, name);
    return unlink(path) < 0 && errno != ENOENT ? error_set(err, -errno, "%s: %s", path, strerror(errno)) : 0;
}

static int snapshots_remove(const char *data, struct error *err)
{
    _cleanup_free_ char *dir = data_path(data, SNAPSHOTS_NAME);
    uint64_t *numbers = NULL;
    size_t count = 0;
    int r = access(dir, F_OK) < 0 ? 0 : snapshot_list(dir, &numbers, &count, err);
    for (size_t i = 0; i < count && r == 0; i++) {
        char name[64];
        snprintf(name, sizeof name, SNAPSHOTS_NAME "/%llu.snap", (unsigned long long)numbers[i]);
        r = left_remove(data, name, err);
    }
    xfree(numbers);
    return r;
}

int memory_begin(const char *data, struct error *err)
{
    bool marked = memory_marked(data);
    for (size_t i = 0; i < ARRAY_COUNT(kept_names); i++)
        if (name_there(data, kept_names[i]) && (!marked || i == 0))
            return error_set(err, -EEXIST, "%s holds a market that is kept on disk (%s): --store memory wants a folder of its own",
                             data, kept_names[i]);
    int r = 0;
    for (size_t i = 0; i < ARRAY_COUNT(left_names) && r == 0; i++)
        r = left_remove(data, left_names[i], err);
    if (r == 0)
        r = snapshots_remove(data, err);
    _cleanup_free_ char *mark = data_path(data, MARK_NAME);
    return r == 0 ? data_write(mark, STR("The journal of this folder stood in memory. Nothing here outlives its server.\n"), err) : r;
}
