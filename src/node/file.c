/* SPDX-License-Identifier: Apache-2.0 */
#include "node/file.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define TREE_DEPTH_FILES 32 /* descriptors that a walk may hold */

static void close_fd(const int *fd)
{
    if (*fd >= 0)
        close(*fd);
}
#define _cleanup_close_ _cleanup_(close_fd)

int file_read(const char *path, struct buf *ret, struct error *err)
{
    _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return error_set(err, -errno, "%s: %s", path, strerror(errno));
    buf_clear(ret);
    while (true) {
        char piece[4096];
        ssize_t size = read(fd, piece, sizeof piece);
        if (size < 0 && errno != EINTR)
            return error_set(err, -errno, "%s: %s", path, strerror(errno));
        if (size == 0)
            break;
        if (size > 0)
            buf_append(ret, piece, (size_t)size);
        if (ret->overflow)
            return error_set(err, -EFBIG, "%s: larger than %zu bytes", path, ret->limit);
    }
    return 0;
}

static int write_all(int fd, struct str text)
{
    while (text.size) {
        ssize_t size = write(fd, text.data, text.size);
        if (size < 0 && errno == EINTR)
            continue;
        if (size < 0)
            return -errno;
        text.data += size;
        text.size -= (size_t)size;
    }
    return 0;
}

static int write_new(const char *path, struct str text, mode_t mode, bool flush)
{
    _cleanup_close_ int fd =
        open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, mode);
    if (fd < 0)
        return -errno;
    int rc = fchmod(fd, mode) < 0 ? -errno : write_all(fd, text);
    if (rc == 0 && flush && fdatasync(fd) < 0)
        rc = -errno;
    return rc;
}

static int flush_parent(const char *path)
{
    char parent[PATH_MAX];
    const char *slash = strrchr(path, '/');
    snprintf(parent, sizeof parent, "%.*s", slash ? (int)(slash - path) : 1, slash ? path : ".");
    _cleanup_close_ int fd = open(parent[0] ? parent : "/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return fd < 0 || fsync(fd) < 0 ? -errno : 0;
}

int file_replace(const char *path, struct str text, mode_t mode, bool flush, struct error *err)
{
    char aside[PATH_MAX];
    if (snprintf(aside, sizeof aside, "%s.new", path) >= (int)sizeof aside)
        return error_set(err, -ENAMETOOLONG, "%s: the path is too long", path);
    int rc = write_new(aside, text, mode, flush);
    if (rc == 0 && rename(aside, path) < 0)
        rc = -errno;
    if (rc == 0 && flush)
        rc = flush_parent(path);
    return rc ? error_set(err, rc, "%s: %s", path, strerror(-rc)) : 0;
}

int file_poke(const char *path, const char *text)
{
    _cleanup_close_ int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    ssize_t size = write(fd, text, strlen(text));
    return size < 0 ? -errno : 0;
}

int folder_make(const char *path, mode_t mode, struct error *err)
{
    char part[PATH_MAX];
    if (snprintf(part, sizeof part, "%s", path) >= (int)sizeof part)
        return error_set(err, -ENAMETOOLONG, "%s: the path is too long", path);
    for (char *slash = strchr(part + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        if (mkdir(part, mode) < 0 && errno != EEXIST)
            return error_set(err, -errno, "%s: %s", part, strerror(errno));
        *slash = '/';
    }
    if (mkdir(part, mode) < 0 && errno != EEXIST)
        return error_set(err, -errno, "%s: %s", part, strerror(errno));
    return 0;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *place)
{
    (void)st, (void)type, (void)place;
    return remove(path) < 0 && errno != ENOENT ? errno : 0;
}

int folder_remove(const char *path, struct error *err)
{
    struct stat st;
    if (lstat(path, &st) < 0)
        return errno == ENOENT ? 0 : error_set(err, -errno, "%s: %s", path, strerror(errno));
    int rc = nftw(path, remove_one, TREE_DEPTH_FILES, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
    if (rc < 0)
        rc = errno;
    return rc ? error_set(err, -rc, "%s: cannot be removed: %s", path, strerror(rc)) : 0;
}

/* nftw hands no context through. */
static _Thread_local uid_t give_user;
static _Thread_local gid_t give_group;

static int give_one(const char *path, const struct stat *st, int type, struct FTW *place)
{
    (void)st, (void)type, (void)place;
    return lchown(path, give_user, give_group) < 0 ? errno : 0;
}

int tree_give(const char *path, uid_t user, gid_t group, struct error *err)
{
    give_user = user;
    give_group = group;
    int rc = nftw(path, give_one, TREE_DEPTH_FILES, FTW_PHYS | FTW_MOUNT);
    if (rc < 0)
        rc = errno;
    return rc ? error_set(err, -rc, "%s: cannot be given to user %u: %s", path, user, strerror(rc))
              : 0;
}
