/* SPDX-License-Identifier: Apache-2.0 */
#include "node/sandbox.h"

#include "base/memory.h"
#include "base/number.h"
#include "node/file.h"
#include "node/mount_point.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/close_range.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define STAGE "/run/tessera/stage"
#define NOBODYS "/run/tessera/nobodys" /* a file that only root opens */

/* Below a changed root "/" is no mount point and cannot be made private: whether mounts stay in
 * here then, sandbox_can_mount has found out. */
static int own_namespace(void)
{
    if (unshare(CLONE_NEWNS) < 0 ||
        (mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 && errno != EINVAL))
        return -errno;
    return 0;
}

static int bind(const char *source, const char *target)
{
    return mount(source, target, NULL, MS_BIND, NULL) < 0 ? -errno : 0;
}

static int mount_one(const struct sandbox_mount *m, struct error *err)
{
    struct stat st;
    int rc = stat(m->source, &st) < 0 ? -errno : folder_make(STAGE, 0700, err);
    if (rc == 0)
        rc = mount_point_make(m->target, S_ISDIR(st.st_mode), STAGE, err);
    else
        error_set(err, rc, "%s: %s", m->source, strerror(-rc));
    if (rc)
        return error_prefix(err, "file_mounts");
    rc = bind(m->source, m->target);
    return rc ? error_set(err, rc, "file_mounts: %s cannot be mounted: %s", m->target,
                          strerror(-rc))
              : 0;
}

/* As device groups do it: opening says "not permitted", and drivers pass the device over. */
static int bar(const char *path, struct error *err)
{
    int fd = access(path, F_OK) < 0 ? -1 : open(NOBODYS, O_RDONLY | O_CREAT | O_CLOEXEC, 0);
    if (fd < 0)
        return access(path, F_OK) < 0 && errno == ENOENT
                   ? 0
                   : error_set(err, -errno, "%s: %s", NOBODYS, strerror(errno));
    close(fd);
    int rc = bind(NOBODYS, path);
    return rc ? error_set(err, rc, "%s cannot be barred: %s", path, strerror(-rc)) : 0;
}

static int set_mounts(const struct sandbox *sandbox, struct error *err)
{
    int rc = bind(sandbox->home, SANDBOX_HOME);
    if (rc)
        return error_set(err, rc, "%s cannot be mounted: %s", SANDBOX_HOME, strerror(-rc));
    for (size_t i = 0; rc == 0 && i < sandbox->mount_count; i++)
        rc = mount_one(&sandbox->mounts[i], err);
    for (size_t i = 0; rc == 0 && i < sandbox->barred_count; i++)
        rc = bar(sandbox->barred[i], err);
    return rc;
}

static int change_user(uint32_t user)
{
    if (user == 0)
        return 0;
    if (setgroups(0, NULL) < 0 || setresgid(user, user, user) < 0 ||
        setresuid(user, user, user) < 0)
        return -errno;
    return 0;
}

/* A limit is lowered to what we may set: raising one takes a capability that the agent may lack. */
static void set_limits(void)
{
    static const struct {
        __rlimit_resource_t resource;
        rlim_t wish;
    } limits[] = {{RLIMIT_CORE, 0}, {RLIMIT_NOFILE, 65536}};
    for (size_t i = 0; i < ARRAY_COUNT(limits); i++) {
        struct rlimit now;
        if (getrlimit(limits[i].resource, &now) < 0)
            continue;
        now.rlim_cur =
            now.rlim_max == RLIM_INFINITY ? limits[i].wish : MIN(limits[i].wish, now.rlim_max);
        (void)setrlimit(limits[i].resource, &now);
    }
}

static void reset_signals(void)
{
    sigset_t none;
    for (int i = 1; i < NSIG; i++)
        (void)signal(i, SIG_DFL);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

int sandbox_begin(const struct cgroup *group, bool own_mounts, struct error *err)
{
    int rc = own_mounts ? own_namespace() : 0;
    if (rc)
        return error_set(err, rc, "no mount namespace of its own: %s", strerror(-rc));
    rc = cgroup_enter(group);
    return rc ? error_set(err, -rc, "its cgroup cannot be entered: %s", strerror(rc)) : 0;
}

/* Before the change of user where the folder lies below one that only we may pass; after it where
 * the user must be able to. */
static int change_folder(const struct sandbox *sandbox, bool now, struct error *err)
{
    if (now && chdir(sandbox->workdir) < 0)
        return error_set(err, -errno, "%s: %s", sandbox->workdir, strerror(errno));
    return 0;
}

int sandbox_enter(const struct sandbox *sandbox, struct error *err)
{
    int rc = sandbox->own_mounts ? set_mounts(sandbox, err) : 0;
    if (rc)
        return rc;
    set_limits();
    reset_signals();
    umask(022);
    rc = change_folder(sandbox, !sandbox->own_mounts, err);
    if (rc)
        return rc;
    rc = change_user(sandbox->user);
    if (rc)
        return error_set(err, rc, "user %u cannot be become: %s", sandbox->user, strerror(-rc));
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        return error_set(err, -errno, "no_new_privs: %s", strerror(errno));
    /* forgotten at each change of user, so here */
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    rc = change_folder(sandbox, sandbox->own_mounts, err);
    if (rc == 0)
        (void)syscall(SYS_close_range, 3U, ~0U, CLOSE_RANGE_CLOEXEC);
    return rc;
}

/* Runs a test in a child; whether it returned 0. */
static bool works(int (*test)(uint32_t), uint32_t argument)
{
    pid_t child = fork();
    int status;
    if (child == 0)
        _exit(test(argument) == 0 ? 0 : 1);
    while (child > 0 && waitpid(child, &status, 0) < 0)
        if (errno != EINTR)
            return false;
    return child > 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static int try_mount(uint32_t ignored)
{
    (void)ignored;
    struct error err;
    int rc = folder_make(SANDBOX_HOME, 0755, &err);
    /* whatever made it before, under whatever mask */
    if (rc == 0 && (chmod("/run/tessera", 0755) < 0 || chmod(SANDBOX_HOME, 0755) < 0))
        rc = -errno;
    if (rc == 0)
        rc = own_namespace();
    return rc ? rc : bind("/", SANDBOX_HOME);
}

/* Whether the child's mount is seen here too; it is taken away again. */
static bool leaked(void)
{
    struct stat root, home;
    if (stat("/", &root) < 0 || stat(SANDBOX_HOME, &home) < 0 || root.st_dev != home.st_dev ||
        root.st_ino != home.st_ino)
        return false;
    (void)umount2(SANDBOX_HOME, MNT_DETACH);
    return true;
}

bool sandbox_can_mount(void)
{
    bool can = works(try_mount, 0);
    return !leaked() && can;
}

bool sandbox_can_change_user(uint32_t user)
{
    return user != 0 && works(change_user, user);
}
