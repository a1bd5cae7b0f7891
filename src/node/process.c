/* SPDX-License-Identifier: Apache-2.0 */
#include "node/process.h"

#include "base/memory.h"
#include "base/number.h"
#include "base/str.h"
#include "node/file.h"

#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#define PROCESSES_MAX 4096
#define ROUNDS_MAX 8

struct link {
    pid_t pid, parent;
};
struct table {
    struct link *links;
    size_t count, capacity;
};

/* The parent stands after the name, which may hold anything, a closing bracket too. */
static pid_t parent_of(pid_t pid)
{
    char path[64];
    _cleanup_buf_ struct buf text = BUF_INIT(4096);
    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    if (file_read(path, &text, NULL) < 0)
        return 0;
    const char *end = strrchr(buf_text(&text), ')');
    int parent = 0;
    char state;
    return end && sscanf(end + 1, " %c %d", &state, &parent) == 2 ? parent : 0;
}

static struct table read_table(void)
{
    struct table table = {0};
    DIR *folder = opendir("/proc");
    struct dirent *entry;
    while (folder && (entry = readdir(folder))) {
        int64_t pid;
        if (!str_to_i64(str_from(entry->d_name), &pid))
            continue;
        ARRAY_RESERVE(table.links, table.count, table.capacity);
        table.links[table.count++] = (struct link){(pid_t)pid, parent_of((pid_t)pid)};
    }
    if (folder)
        closedir(folder);
    return table;
}

size_t process_descendants(pid_t of, pid_t *ret, size_t most)
{
    struct table table = read_table();
    size_t count = 0, done = 0;
    pid_t parent = of;
    while (true) {
        for (size_t i = 0; i < table.count && count < most; i++)
            if (table.links[i].parent == parent)
                ret[count++] = table.links[i].pid;
        if (done == count)
            break;
        parent = ret[done++];
    }
    xfree(table.links);
    return count;
}

void process_signal_descendants(pid_t of, int signal)
{
    pid_t *pids = xcalloc(PROCESSES_MAX, sizeof *pids);
    size_t before = 0;
    for (int round = 0; round < ROUNDS_MAX; round++) {
        size_t count = process_descendants(of, pids, PROCESSES_MAX);
        for (size_t i = 0; i < count; i++)
            kill(pids[i], signal);
        /* only what stops or kills is worth sending twice: new ones may have been forked */
        if (count <= before || (signal != SIGKILL && signal != SIGSTOP))
            break;
        before = count;
    }
    xfree(pids);
}

void process_boot(char ret[PROCESS_BOOT_MAX])
{
    _cleanup_buf_ struct buf text = BUF_INIT(PROCESS_BOOT_MAX);
    ret[0] = '\0';
    if (file_read("/proc/sys/kernel/random/boot_id", &text, NULL) == 0)
        snprintf(ret, PROCESS_BOOT_MAX, "%.*s", STR_ARGS(str_trim(buf_str(&text))));
}
