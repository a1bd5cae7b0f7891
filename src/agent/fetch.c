/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/fetch.h"

#include "agent/hold_record.h"
#include "node/file.h"
#include "wire/archive.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define SILENCE_MS 30000
#define KEEP_UNUSED_S 3600

/* ---- fetching ---- */

struct download {
    int fd;
    int64_t size;
    struct sha256 hash;
};

static int take_piece(void *context, struct str piece)
{
    struct download *d = context;
    d->size += (int64_t)piece.size;
    if (d->size > ARCHIVE_BYTES_MAX)
        return -EFBIG;
    sha256_add(&d->hash, piece.data, piece.size);
    while (piece.size) {
        ssize_t size = write(d->fd, piece.data, piece.size);
        if (size < 0 && errno != EINTR)
            return -errno;
        piece.data += MAX(size, 0);
        piece.size -= (size_t)MAX(size, 0);
    }
    return 0;
}

static int download(const struct fetch *f, struct http_client *client, const char *path,
                    struct error *err)
{
    char where[128], hex[SHA256_HEX];
    struct http_reply reply = {0};
    struct download d = {.fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600)};
    if (d.fd < 0)
        return error_set(err, -errno, "%s: %s", path, strerror(errno));
    sha256_init(&d.hash);
    snprintf(where, sizeof where, "/v1/archives/%.*s", STR_ARGS(f->archive));
    struct http_call call = {.path = where,
                             .timeout_ms = -1,
                             .silence_ms = SILENCE_MS,
                             .sink = take_piece,
                             .sink_context = &d};
    int rc = http_client_call(client, &call, &reply, err);
    if (rc == 0 && reply.status != 200)
        rc = error_set(err, reply.status >= 500 || reply.status == 429 ? -EAGAIN : -ENOENT,
                       "archive %.*s: the server answers %d", STR_ARGS(f->archive), reply.status);
    sha256_end(&d.hash, hex);
    if (rc == 0 && !str_is(f->archive, hex))
        rc = error_set(err, -EAGAIN, "archive %.*s: what came has another hash",
                       STR_ARGS(f->archive));
    close(d.fd);
    http_reply_fini(&reply);
    return rc;
}

static bool is_hash(struct str text)
{
    for (size_t i = 0; i < text.size; i++)
        if (!((text.data[i] >= '0' && text.data[i] <= '9') ||
              (text.data[i] >= 'a' && text.data[i] <= 'f')))
            return false;
    return text.size == SHA256_HEX - 1;
}

/* The archive's file: kept from before, checked again, or fetched. */
static int obtain(const struct fetch *f, struct http_client *client, char path[HOLD_PATH_MAX],
                  struct error *err)
{
    char aside[HOLD_PATH_MAX + 8], hex[SHA256_HEX];
    if (!is_hash(f->archive))
        return error_set(err, -EINVAL, "file_mounts: there is no archive that holds them");
    snprintf(path, HOLD_PATH_MAX, "%s/archives", f->data);
    int rc = folder_make(path, 0700, err);
    if (rc)
        return rc;
    snprintf(path, HOLD_PATH_MAX, "%s/archives/%.*s", f->data, STR_ARGS(f->archive));
    if (sha256_file(path, hex, NULL) == 0 && str_is(f->archive, hex)) {
        utimensat(AT_FDCWD, path, NULL, 0);
        return 0;
    }
    snprintf(aside, sizeof aside, "%s.part", path);
    rc = download(f, client, aside, err);
    if (rc == 0 && rename(aside, path) < 0)
        rc = error_set(err, -errno, "%s: %s", path, strerror(errno));
    if (rc)
        unlink(aside);
    return rc;
}

void fetch_sweep(const char *data)
{
    char path[HOLD_PATH_MAX];
    snprintf(path, sizeof path, "%s/archives", data);
    DIR *folder = opendir(path);
    struct dirent *entry;
    time_t now = time(NULL);
    while (folder && (entry = readdir(folder))) {
        struct stat st;
        if (entry->d_name[0] != '.' &&
            fstatat(dirfd(folder), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
            st.st_mtime + KEEP_UNUSED_S < now)
            unlinkat(dirfd(folder), entry->d_name, 0);
    }
    if (folder)
        closedir(folder);
}

/* ---- laying out ---- */

/* Below a folder, through no link. */
static int open_beneath(int at, const char *path, unsigned long long flags)
{
    struct open_how how = {.flags = flags | O_CLOEXEC,
                           .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS};
    long fd = syscall(SYS_openat2, at, path[0] ? path : ".", &how, sizeof how);
    return fd < 0 ? -errno : (int)fd;
}

/* Opens the folder that holds the last word of `path` and leaves that word in `leaf`; lacking
 * folders are made where `make`. */
static int open_parent(int at, struct str path, bool make, char leaf[NAME_MAX + 1])
{
    int fd = open_beneath(at, ".", O_PATH | O_DIRECTORY);
    leaf[0] = '\0';
    while (path.size && fd >= 0) {
        struct str word = str_cut(&path, '/');
        if (word.size == 0 || str_is(word, "."))
            continue;
        if (str_is(word, "..") || word.size > NAME_MAX) {
            close(fd);
            return -EINVAL;
        }
        if (leaf[0]) { /* what was thought the last word is a folder on the way */
            if (make)
                (void)mkdirat(fd, leaf, 0700);
            int next = open_beneath(fd, leaf, O_PATH | O_DIRECTORY);
            close(fd);
            fd = next;
        }
        snprintf(leaf, NAME_MAX + 1, "%.*s", STR_ARGS(word));
    }
    if (fd >= 0 && leaf[0] == '\0') {
        close(fd);
        return -EINVAL;
    }
    return fd;
}

/* Moves source (below `from`) to target (below `to`). */
static int move(int from, struct str source, int to, struct str target)
{
    char old_leaf[NAME_MAX + 1], new_leaf[NAME_MAX + 1];
    int rc, old = open_parent(from, source, false, old_leaf),
            new = open_parent(to, target, true, new_leaf);
    if (old < 0 || new < 0)
        rc = old < 0 ? old : new;
    else
        rc = renameat2(old, old_leaf, new, new_leaf, RENAME_NOREPLACE) < 0 ? -errno : 0;
    if (old >= 0)
        close(old);
    if (new >= 0)
        close(new);
    return rc;
}

int fetch_mount_source(const char *folder, size_t index, char *ret, size_t size)
{
    return snprintf(ret, size, "%s/mounts/%zu", folder, index) < (int)size ? 0 : -ENAMETOOLONG;
}

/* Where a mount goes below the replica's folder: "~/x" is below its home, "x" below its working
 * directory, "/x" waits beside them to be mounted. */
static int mount_place(const struct fetch *f, size_t index, struct str target, struct buf *out,
                       struct error *err)
{
    if (str_starts(target, STR("~/"))) {
        buf_printf(out, "home/%.*s", (int)target.size - 2, target.data + 2);
    } else if (!str_starts(target, STR("/"))) {
        buf_printf(out, "home/workdir/%.*s", STR_ARGS(target));
    } else if (str_starts(target, STR("/proc/")) || str_starts(target, STR("/sys/")) ||
               str_starts(target, STR("/dev/"))) {
        return error_set(err, -EINVAL, "file_mounts: %.*s: not among the kernel's files",
                         STR_ARGS(target));
    } else if (!f->own_mounts) {
        return error_set(
            err, -ENOTSUP,
            "file_mounts: %.*s: this node's agent cannot mount; targets below ~ can be used",
            STR_ARGS(target));
    } else {
        buf_printf(out, "mounts/%zu", index);
    }
    return 0;
}

static int place_mount(const struct fetch *f, size_t index, int folder, int files,
                       struct error *err)
{
    _cleanup_buf_ struct buf place = BUF_INIT(HOLD_PATH_MAX);
    const struct record_pair *pair = (const struct record_pair *)f->mounts.items + index;
    int rc = mount_place(f, index, pair->key, &place, err);
    if (rc)
        return rc;
    _cleanup_free_ char *target = str_dup(pair->key);
    rc = place.overflow ? -ENAMETOOLONG : move(files, pair->value, folder, buf_str(&place));
    return rc ? error_set(err, rc, "file_mounts: %s: %s", target,
                          rc == -EEXIST ? "exists already" : strerror(-rc))
              : 0;
}

static int lay_out(const struct fetch *f, int folder, int files, struct error *err)
{
    int rc = 0;
    if (f->workdir.size) {
        (void)unlinkat(folder, "home/workdir", AT_REMOVEDIR);
        rc = move(files, f->workdir, folder, STR("home/workdir"));
        if (rc)
            return error_set(err, rc, "workdir: %s", strerror(-rc));
    }
    for (size_t i = 0; rc == 0 && i < f->mounts.count; i++)
        rc = place_mount(f, i, folder, files, err);
    return rc;
}

static int give_all(const struct fetch *f, struct error *err)
{
    static const char *const names[] = {"home", "mounts"};
    char path[HOLD_PATH_MAX];
    int rc = 0;
    for (size_t i = 0; rc == 0 && f->user && i < ARRAY_COUNT(names); i++)
        if (hold_path(path, f->folder, names[i]) == 0 && access(path, F_OK) == 0)
            rc = tree_give(path, f->user, f->user, err);
    return rc;
}

static int unpack(const struct fetch *f, const char *archive, struct error *err)
{
    char path[HOLD_PATH_MAX];
    int rc = hold_path(path, f->folder, "files");
    rc = rc ? error_set(err, rc, "%s: too long", f->folder) : folder_make(path, 0700, err);
    if (rc == 0)
        rc = archive_extract(archive, path, err);
    if (rc)
        return rc;
    int folder = open(f->folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
    int files = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    rc = folder < 0 || files < 0 ? error_set(err, -errno, "%s: %s", path, strerror(errno))
                                 : lay_out(f, folder, files, err);
    if (folder >= 0)
        close(folder);
    if (files >= 0)
        close(files);
    if (rc == 0)
        rc = folder_remove(path, err);
    return rc;
}

int fetch_files(const struct fetch *f, struct http_client *client, struct error *err)
{
    char archive[HOLD_PATH_MAX];
    int rc = obtain(f, client, archive, err);
    if (rc == 0)
        rc = unpack(f, archive, err);
    return rc ? rc : give_all(f, err);
}
