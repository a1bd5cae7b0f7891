/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/input.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

static int read_all(int fd, struct buf *out)
{
    char piece[16384];
    ssize_t got;
    while ((got = read(fd, piece, sizeof piece)) != 0) {
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return -errno;
        buf_append(out, piece, (size_t)got);
        if (out->overflow)
            return -EFBIG;
    }
    return 0;
}

int input_read(const char *path, struct buf *out, struct error *err)
{
    bool standard = strcmp(path, "-") == 0;
    int fd = standard ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return error_set(err, -errno, "%s: %s", path, strerror(errno));
    int rc = read_all(fd, out);
    if (!standard)
        close(fd);
    if (rc == -EFBIG)
        return error_set(err, rc, "%s: more than %zu KiB", path, out->limit / 1024);
    return rc < 0 ? error_set(err, rc, "%s: %s", path, strerror(-rc)) : 0;
}
