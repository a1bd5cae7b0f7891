/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Control groups (cgroups(7)): v2, v1 or both at once, whatever the machine has mounted. A group of
 * ours is one folder in each hierarchy that is of use; what no hierarchy can do is absent from its
 * abilities and the caller goes without. */

#include "base/buf.h"
#include "base/error.h"
#include "base/str.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

enum cgroup_ability {
    CGROUP_CPU = 1,
    CGROUP_MEMORY = 2,
    CGROUP_PIDS = 4,
    CGROUP_FREEZE = 8,
    CGROUP_KILL = 16, /* one write ends all; without it they are signalled until none is left */
};
#define CGROUP_ALL (CGROUP_CPU | CGROUP_MEMORY | CGROUP_PIDS | CGROUP_FREEZE | CGROUP_KILL)

#define CGROUP_PARTS_MAX 6
#define CGROUP_PATH_MAX 512

/* One hierarchy: its mount point, or a group in it. */
struct cgroup_part {
    bool unified;       /* v2 */
    unsigned abilities; /* of enum cgroup_ability, what is asked of this hierarchy */
    char path[CGROUP_PATH_MAX];
};

/* A set of parts: the machine's hierarchies, or one group over all of them. No parts is allowed:
 * then there are no groups here. */
struct cgroup {
    struct cgroup_part parts[CGROUP_PARTS_MAX];
    unsigned count;
};

/* What is mounted, from the text of /proc/self/mounts; each ability goes to one hierarchy at most,
 * and one that is mounted twice (in a chroot beside it) counts once.
 * v2 comes without abilities: cgroup_home finds them out. */
void cgroup_parse_mounts(struct str mounts, struct cgroup *ret);
/* Makes the folder `name` in each hierarchy, hands the v2 controllers down to it, finds out what
 * works and leaves in `ret` what does. Where the mount point itself cannot be written the agent's
 * own group is tried; `own` is the text of /proc/self/cgroup. */
void cgroup_home(const struct cgroup *mounts, struct str own, const char *name, struct cgroup *ret);

/* As a line of text each, and back: "2fk:/sys/fs/cgroup/unified/x". */
void cgroup_part_text(const struct cgroup_part *part, struct buf *out);
bool cgroup_part_parse(struct str text, struct cgroup_part *ret);

unsigned cgroup_abilities(const struct cgroup *group);

/* A group below `home`. Names hold no slash. Existing folders are taken over. */
int cgroup_make(const struct cgroup *home, const char *name, struct cgroup *ret, struct error *err);
/* The same without making anything. */
int cgroup_name(const struct cgroup *home, const char *name, struct cgroup *ret, struct error *err);

struct cgroup_limits {
    int64_t core_milli, memory_mib, pids; /* 0 = no limit */
};
/* What the group is able to hold to; an error names the first that failed. */
int cgroup_limit(const struct cgroup *group, const struct cgroup_limits *limits, struct error *err);
/* The calling process joins. 0 or the errno of the first part that refused. */
int cgroup_enter(const struct cgroup *group);

/* Processes, at most `most`; returns how many there are. */
size_t cgroup_processes(const struct cgroup *group, pid_t *ret, size_t most);
void cgroup_signal(const struct cgroup *group, int signal);
/* Returns when all of it stands still (or goes on), -ETIMEDOUT after a second. */
int cgroup_freeze(const struct cgroup *group, bool frozen);
/* Ends every process without letting one of them run on, frozen or not; returns once none is left
 * or after two seconds with -ETIMEDOUT. Zombies are their parents' to reap. */
int cgroup_kill(const struct cgroup *group);
/* How many processes were killed for memory. */
int64_t cgroup_oom_kills(const struct cgroup *group);
/* 0 also where nothing is there. */
int cgroup_remove(const struct cgroup *group);
