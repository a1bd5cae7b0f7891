/* SPDX-License-Identifier: Apache-2.0 */
/* spawn RUNS STAMP: the floor under a start. Makes one cgroup in each hierarchy that an agent uses (v2,
 * or the v1 controllers cpu, memory, pids and freezer), then RUNS times: fork, the child enters them and
 * executes `/bin/sh -c "exec STAMP"`. The time from before the fork to the stamp's clock counts. */
#include "base/clock.h"
#include "base/memory.h"

#include <errno.h>
#include <fcntl.h>
#include <mntent.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define GROUPS_MAX 8
#define PATH_SIZE 512

static char groups[GROUPS_MAX][PATH_SIZE];
static unsigned group_count;

static bool wanted(const struct mntent *m)
{
    static const char *const controllers[] = {"cpu", "memory", "pids", "freezer"};
    if (strcmp(m->mnt_type, "cgroup2") == 0)
        return true;
    if (strcmp(m->mnt_type, "cgroup") != 0)
        return false;
    for (unsigned i = 0; i < ARRAY_COUNT(controllers); i++)
        if (hasmntopt(m, controllers[i]))
            return true;
    return false;
}

static void make_groups(void)
{
    FILE *mounts = setmntent("/proc/self/mounts", "r");
    struct mntent *m;
    while (mounts && (m = getmntent(mounts)) && group_count < GROUPS_MAX) {
        char *path = groups[group_count];
        if (!wanted(m))
            continue;
        snprintf(path, PATH_SIZE, "%s/tessera-bench-%d", m->mnt_dir, (int)getpid());
        if (mkdir(path, 0755) == 0)
            group_count++;
    }
    if (mounts)
        endmntent(mounts);
}

static void enter_groups(void)
{
    for (unsigned i = 0; i < group_count; i++) {
        char path[PATH_SIZE + 16];
        snprintf(path, sizeof path, "%s/cgroup.procs", groups[i]);
        int file = open(path, O_WRONLY | O_CLOEXEC);
        if (file < 0 || write(file, "0", 1) != 1)
            fprintf(stderr, "spawn: %s: %s\n", path, strerror(errno));
        if (file >= 0)
            close(file);
    }
}

static int64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static int64_t run_once(const char *command)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) < 0)
        exit(1);
    int64_t begin = now_ns();
    pid_t child = fork();
    if (child == 0) {
        enter_groups();
        dup2(ends[1], 1);
        execl("/bin/sh", "sh", "-c", command, (char *)NULL);
        _exit(127);
    }
    close(ends[1]);
    char text[64] = "";
    ssize_t n = read(ends[0], text, sizeof text - 1);
    close(ends[0]);
    waitpid(child, NULL, 0);
    return n > 0 ? strtoll(text, NULL, 10) - begin : INT64_MAX;
}

static int compare_i64(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

int main(int argc, char **argv)
{
    if (argc != 3) {
        fprintf(stderr, "usage: spawn RUNS STAMP\n");
        return 2;
    }
    unsigned runs = (unsigned)strtoul(argv[1], NULL, 10);
    char command[PATH_SIZE];
    snprintf(command, sizeof command, "exec %s", argv[2]);
    int64_t *spans = xcalloc(runs + 1, sizeof *spans);
    make_groups();
    for (unsigned i = 0; i < runs; i++)
        spans[i] = run_once(command);
    for (unsigned i = 0; i < group_count; i++)
        rmdir(groups[i]);
    qsort(spans, runs, sizeof *spans, compare_i64);
    printf("{\"median_ms\":%.3f,\"p90_ms\":%.3f,\"cgroups\":%u}\n", (double)spans[runs / 2] / 1e6,
           (double)spans[runs * 9 / 10] / 1e6, group_count);
    xfree(spans);
    return 0;
}
