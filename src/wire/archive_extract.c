/* SPDX-License-Identifier: Apache-2.0 */
/* Every part of a path is opened from the folder above it without following links: what stands in
 * the archive decides nothing but names below the folder. */
#include "wire/archive.h"
#include "wire/archive_internal.h"

#include "base/memory.h"
#include "base/str.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct extract {
    struct archive *archive;
    struct error *err;
    int root;
    int64_t bytes;
    size_t entries;
};

bool archive_link_stays(const char *target, unsigned depth)
{
    struct str rest = str_from(target);
    bool down = false;
    if (rest.size == 0 || target[0] == '/')
        return false;
    while (rest.size) {
        struct str part = str_cut(&rest, '/');
        bool up = str_is(part, "..");
        if (up && (down || depth == 0))
            return false;
        depth -= up;
        down |= !up && part.size && !str_is(part, ".");
    }
    return true;
}

static int refuse(struct extract *x, const char *path, const char *what)
{
    return error_set(x->err, -EINVAL, "archive: %.200s: %s", path, what);
}

static int fail(struct extract *x, const char *path)
{
    int code = errno;
    return error_set(x->err, -code, "archive: %.200s: %s", path, strerror(code));
}

/* Relative, without empty parts, `.` and `..`; ret_depth: folders above the last part. */
static bool path_is_safe(const char *path, unsigned *ret_depth)
{
    struct str rest = str_from(path);
    unsigned parts = 0;
    if (rest.size == 0 || rest.size > ARCHIVE_NAME_MAX)
        return false;
    if (rest.data[rest.size - 1] == '/')
        rest.size--;
    if (rest.size == 0 || rest.data[rest.size - 1] == '/')
        return false;
    while (rest.size) {
        struct str part = str_cut(&rest, '/');
        if (part.size == 0 || part.size > 255 || str_is(part, ".") || str_is(part, ".."))
            return false;
        parts++;
    }
    *ret_depth = parts - 1;
    return parts <= ARCHIVE_DEPTH_MAX + 4;
}

static int open_folder(int above, const char *name)
{
    if (mkdirat(above, name, 0755) < 0 && errno != EEXIST)
        return -1;
    return openat(above, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

/* Opens the folder of the last part, making folders on the way; *ret_last is the last part. */
static int open_above(struct extract *x, const char *path, char ret_last[256])
{
    struct str rest = str_from(path);
    if (rest.data[rest.size - 1] == '/')
        rest.size--;
    int at = dup(x->root);
    while (at >= 0) {
        struct str part = str_cut(&rest, '/');
        memcpy(ret_last, part.data, part.size);
        ret_last[part.size] = '\0';
        if (rest.size == 0)
            break;
        int next = open_folder(at, ret_last);
        int code = errno;
        close(at);
        errno = code;
        at = next;
    }
    return at;
}

static int write_all(struct extract *x, int file, const char *path)
{
    char part[65536];
    la_ssize_t size;
    while ((size = archive_read_data(x->archive, part, sizeof part)) > 0) {
        x->bytes += size;
        if (x->bytes > ARCHIVE_BYTES_MAX)
            return refuse(x, path, "larger than 256 MiB in all");
        for (la_ssize_t done = 0; done < size;) {
            ssize_t wrote = write(file, part + done, (size_t)(size - done));
            if (wrote < 0 && errno != EINTR)
                return fail(x, path);
            done += wrote > 0 ? wrote : 0;
        }
    }
    return size < 0 ? refuse(x, path, "is damaged") : 0;
}

static int extract_file(struct extract *x, int above, const char *last, const char *path, bool runs)
{
    int file = openat(above, last, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, runs ? 0755 : 0644);
    if (file < 0)
        return fail(x, path);
    int r = write_all(x, file, path);
    if (close(file) < 0 && r == 0)
        r = fail(x, path);
    return r;
}

static int extract_into(struct extract *x, int above, const char *last, struct archive_entry *entry, unsigned depth)
{
    const char *path = archive_entry_pathname(entry);
    unsigned type = archive_entry_filetype(entry);
    if (type == AE_IFREG)
        return extract_file(x, above, last, path, (archive_entry_perm(entry) & 0111) != 0);
    if (type == AE_IFDIR) {
        int folder = open_folder(above, last);
        if (folder < 0)
            return fail(x, path);
        close(folder);
        return 0;
    }
    const char *target = archive_entry_symlink(entry);
    if (type != AE_IFLNK || target == NULL)
        return refuse(x, path, "is neither file, folder nor link");
    /* A link must not leave the first folder of its path, which is its source's. */
    if (!archive_link_stays(target, depth > 0 ? depth - 1 : 0))
        return refuse(x, path, "is a link that leaves its folder");
    return symlinkat(target, above, last) < 0 ? fail(x, path) : 0;
}

static int extract_entry(struct extract *x, struct archive_entry *entry)
{
    const char *path = archive_entry_pathname(entry);
    char last[256];
    unsigned depth;
    if (path == NULL || !path_is_safe(path, &depth))
        return refuse(x, path ? path : "an entry", "is no path inside");
    if (++x->entries > ARCHIVE_ENTRIES_MAX)
        return refuse(x, path, "more than 100000 entries");
    if (archive_entry_hardlink(entry) || archive_entry_size(entry) < 0)
        return refuse(x, path, "is neither file, folder nor link");
    if (archive_entry_size(entry) > ARCHIVE_BYTES_MAX)
        return refuse(x, path, "larger than 256 MiB");
    int above = open_above(x, path, last);
    if (above < 0)
        return errno == ELOOP || errno == ENOTDIR ? refuse(x, path, "leads through what is no folder") : fail(x, path);
    int r = extract_into(x, above, last, entry, depth);
    close(above);
    return r;
}

int archive_extract(const char *file, const char *folder, struct error *err)
{
    struct extract x = {.archive = archive_read_new(), .err = err};
    struct archive_entry *entry;
    int r = 0, next = ARCHIVE_OK;
    archive_read_support_format_tar(x.archive);
    x.root = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (x.root < 0)
        r = error_set(err, -errno, "%s: %s", folder, strerror(errno));
    if (r == 0 && archive_read_open_filename(x.archive, file, 65536) != ARCHIVE_OK)
        r = error_set(err, -EINVAL, "%s: %s", file, archive_error_string(x.archive));
    while (r == 0 && (next = archive_read_next_header(x.archive, &entry)) == ARCHIVE_OK)
        r = extract_entry(&x, entry);
    if (r == 0 && next != ARCHIVE_EOF)
        r = error_set(err, -EINVAL, "archive: is damaged");
    archive_read_free(x.archive);
    if (x.root >= 0)
        close(x.root);
    return r;
}
