/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* How a process that is not ours is held in: called in a child, between fork and exec. */

#include "base/error.h"
#include "node/cgroup.h"

#include <stdbool.h>
#include <stdint.h>

/* Where a workload sees its home, in a mount namespace of its own: a path that its user can reach
 * wherever the agent's data lies. */
#define SANDBOX_HOME "/run/tessera/replica"

struct sandbox_mount {
    const char *source, *target; /* absolute; a target that is not there is made, seen here alone */
};

struct sandbox {
    uint32_t user;    /* and group; 0 = stay who we are */
    const char *home; /* mounted at SANDBOX_HOME where `own_mounts` */
    bool own_mounts;
    const struct sandbox_mount *mounts; /* of files and folders, with own_mounts alone */
    size_t mount_count;
    const char *const *barred; /* files that cannot be opened, with own_mounts and a user alone */
    size_t barred_count;
    const char *workdir; /* as the workload sees it */
};

/* What this process may do, found out by doing it in a child. */
bool sandbox_can_mount(void);
/* Whether it may become the user. */
bool sandbox_can_change_user(uint32_t user);

/* In two steps, since the first takes the kernel milliseconds and can be taken before anything is
 * known of the workload. First: joins the groups (no parts: none) and gets a mount namespace of its
 * own. */
int sandbox_begin(const struct cgroup *group, bool own_mounts, struct error *err);
/* Second: sets up mounts, folder and limits, gives up all rights for good (no new ones by setuid
 * programs either), puts signals back to their defaults and dies when its parent does. Descriptors
 * above 2 close at exec. After an error the process must exit. */
int sandbox_enter(const struct sandbox *sandbox, struct error *err);
