/* SPDX-License-Identifier: Apache-2.0 */
#include "node/mount_point.h"

#include "node/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define OLD_ROOT ".tessera-root"
#define ENTRIES_MAX 10000 /* each is a mount, and a namespace holds a hundred thousand */

static int make_file(const char *path)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);
    if (fd < 0)
        return -errno;
    close(fd);
    return 0;
}

static int copy_link(const char *from, const char *to)
{
    char text[PATH_MAX];
    ssize_t size = readlink(from, text, sizeof text - 1);
    if (size < 0)
        return -errno;
    text[size] = '\0';
    return symlink(text, to) < 0 ? -errno : 0;
}

/* Shows one entry of a folder in another one. */
static int show(const char *from, const char *to)
{
    struct stat st;
    if (lstat(from, &st) < 0)
        return errno == ENOENT ? 0 : -errno; /* gone meanwhile */
    if (S_ISLNK(st.st_mode))
        return copy_link(from, to);
    int rc = S_ISDIR(st.st_mode) ? (mkdir(to, 0755) < 0 ? -errno : 0) : make_file(to);
    if (rc == 0 && mount(from, to, NULL, MS_BIND | MS_REC, NULL) < 0)
        rc = -errno;
    return rc;
}

static int show_all(const char *from, const char *to)
{
    char one[PATH_MAX], other[PATH_MAX];
    DIR *folder = opendir(from);
    struct dirent *entry;
    size_t count = 0;
    int rc = folder ? 0 : -errno;
    while (rc == 0 && (entry = readdir(folder))) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        if (++count > ENTRIES_MAX)
            rc = -E2BIG;
        else if (snprintf(one, sizeof one, "%s/%s", from, entry->d_name) >= (int)sizeof one ||
                 snprintf(other, sizeof other, "%s/%s", to, entry->d_name) >= (int)sizeof other)
            rc = -ENAMETOOLONG;
        else
            rc = show(one, other);
    }
    if (folder)
        closedir(folder);
    return rc;
}

/* The root cannot be mounted over: the stage takes its place. */
static int become_root(const char *stage)
{
    char old[PATH_MAX];
    snprintf(old, sizeof old, "%s/" OLD_ROOT, stage);
    if (mkdir(old, 0700) < 0)
        return -errno;
    int rc = syscall(SYS_pivot_root, stage, old) < 0 ? -errno : 0;
    if (rc == 0 && (chdir("/") < 0 || umount2("/" OLD_ROOT, MNT_DETACH) < 0 || rmdir("/" OLD_ROOT) < 0))
        rc = -errno;
    /* Below a changed root "/" is no mount point and cannot be taken away: it stays underneath. Who
     * is held in here lacks the right to change roots, and so cannot climb out. */
    if (rc == -EINVAL)
        rc = rmdir(old) < 0 || chdir(stage) < 0 || mount(stage, "/", NULL, MS_MOVE, NULL) < 0 ||
                     chroot(".") < 0 || chdir("/") < 0
                 ? -errno
                 : 0;
    return rc;
}

/* Covers a folder with one in memory that shows the same. */
static int cover(const char *path, const char *stage)
{
    struct stat st;
    if (stat(path, &st) < 0 || mount("none", stage, "tmpfs", MS_NOSUID | MS_NODEV, "mode=0755") < 0)
        return -errno;
    int rc = show_all(path, stage);
    if (rc == 0 && (chown(stage, st.st_uid, st.st_gid) < 0 || chmod(stage, st.st_mode & 07777) < 0))
        rc = -errno;
    if (rc == 0)
        rc = strcmp(path, "/") == 0                        ? become_root(stage)
             : mount(stage, path, NULL, MS_MOVE, NULL) < 0 ? -errno
                                                           : 0;
    if (rc)
        umount2(stage, MNT_DETACH);
    return rc;
}

/* Cuts the last word off. */
static void go_up(char *path)
{
    char *slash = strrchr(path, '/');
    slash[slash == path] = '\0';
}

int mount_point_make(const char *target, bool folder, const char *stage, struct error *err)
{
    char above[PATH_MAX], parent[PATH_MAX];
    struct stat st;
    if (lstat(target, &st) == 0)
        return 0;
    if (target[0] != '/' || snprintf(above, sizeof above, "%s", target) >= (int)sizeof above)
        return error_set(err, -EINVAL, "%s: not a path to mount on", target);
    snprintf(parent, sizeof parent, "%s", target);
    go_up(parent);
    do
        go_up(above);
    while (stat(above, &st) < 0 && errno == ENOENT && above[1]);
    int rc = cover(above, stage);
    if (rc == 0)
        rc = folder_make(folder ? target : parent, 0755, err);
    if (rc == 0 && !folder)
        rc = make_file(target);
    return rc ? error_set(err, rc, "%s: cannot be made: %s", target, strerror(-rc)) : 0;
}
