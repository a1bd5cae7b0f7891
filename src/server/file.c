/* SPDX-License-Identifier: Apache-2.0 */
#include "server/file.h"

#include "base/memory.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_MAX ((size_t)1 << 20)

char *data_path(const char *data, const char *name)
{
    struct buf path = BUF_INIT(8192);
    buf_printf(&path, "%s/%s", data, name);
    return TAKE(path.data);
}

bool data_exists(const char *path)
{
    struct stat status;
    return stat(path, &status) == 0;
}

static int fd_read(int fd, struct buf *out)
{
    char piece[4096];
    ssize_t n;
    while ((n = read(fd, piece, sizeof piece)) != 0) {
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        buf_append(out, piece, (size_t)n);
        if (out->overflow || out->size > FILE_MAX)
            return -EFBIG;
    }
    return 0;
}

int data_read(const char *path, struct buf *out, struct error *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return error_set(err, -errno, "%s: %s", path, strerror(errno));
    int r = fd_read(fd, out);
    close(fd);
    return r < 0 ? error_set(err, r, "%s: %s", path, strerror(-r)) : 0;
}

static int fd_write(int fd, struct str text)
{
    while (text.size > 0) {
        ssize_t n = write(fd, text.data, text.size);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        text = (struct str){text.data + n, text.size - (size_t)n};
    }
    return fsync(fd) < 0 ? -errno : 0;
}

/* The rename itself must be on the disk too. */
static int folder_sync(const char *path)
{
    _cleanup_free_ char *folder = xstrdup(path);
    char *slash = strrchr(folder, '/');
    if (slash)
        *slash = '\0';
    int fd = open(slash == NULL ? "." : slash == folder ? "/" : folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    int r = fsync(fd) < 0 ? -errno : 0;
    close(fd);
    return r;
}

int data_write(const char *path, struct str text, struct error *err)
{
    struct buf aside = BUF_INIT(8192);
    buf_printf(&aside, "%s.new", path);
    _cleanup_free_ char *name = aside.data;
    int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return error_set(err, -errno, "%s: %s", name, strerror(errno));
    int r = fd_write(fd, text);
    close(fd);
    if (r == 0 && rename(name, path) < 0)
        r = -errno;
    if (r == 0)
        r = folder_sync(path);
    else
        unlink(name);
    return r < 0 ? error_set(err, r, "%s: %s", path, strerror(-r)) : 0;
}

static int lock_refused(const char *data, int fd, struct error *err)
{
    char pid[32] = "";
    ssize_t n = pread(fd, pid, sizeof pid - 1, 0);
    pid[n > 0 ? n : 0] = '\0';
    pid[strcspn(pid, "\n")] = '\0';
    return error_set(err, -EBUSY, "%s: another server has this data (process %s); stop it, or give --data another folder", data,
                     pid[0] ? pid : "unknown");
}

int data_lock(const char *data, int *ret_fd, struct error *err)
{
    _cleanup_free_ char *path = data_path(data, "lock");
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return error_set(err, -errno, "%s: %s", path, strerror(errno));
    if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
        int r = errno == EWOULDBLOCK ? lock_refused(data, fd, err) : error_set(err, -errno, "%s: %s", path, strerror(errno));
        close(fd);
        return r;
    }
    char pid[32];
    int size = snprintf(pid, sizeof pid, "%d\n", (int)getpid());
    if (ftruncate(fd, 0) < 0 || pwrite(fd, pid, (size_t)size, 0) != size) { /* for people alone: a full disk must not stop here */
        errno = 0;
    }
    *ret_fd = fd;
    return 0;
}
