/* SPDX-License-Identifier: Apache-2.0 */
#include "wire/archive.h"
#include "wire/archive_internal.h"

#include "base/buf.h"
#include "base/memory.h"
#include "base/number.h"
#include "wire/ignore.h"

#include <archive.h>
#include <archive_entry.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PATH_BYTES_MAX 8192

struct pack {
    struct archive *archive;
    struct ignore ignore;
    const char *ignore_file; /* .gitignore, or .skyignore where the source has one */
    struct error *err;
    int64_t bytes;
    size_t entries;
};

static int pack_path(struct pack *p, const char *path, const char *name, unsigned depth);

static int refuse(struct pack *p, int code, const char *path, const char *what)
{
    return error_set(p->err, code, "%s: %s", path, what);
}

static int write_header(struct pack *p, const struct stat *st, const char *path, const char *name,
                        const char *target)
{
    struct archive_entry *entry = archive_entry_new();
    bool runs = S_ISDIR(st->st_mode) || (st->st_mode & 0111);
    p->bytes += ARCHIVE_HEADER_BYTES + (S_ISREG(st->st_mode) ? st->st_size : 0);
    archive_entry_set_pathname(entry, name);
    archive_entry_set_filetype(entry, st->st_mode & S_IFMT);
    archive_entry_set_perm(entry, runs ? 0755 : 0644);
    archive_entry_set_size(entry, S_ISREG(st->st_mode) ? st->st_size : 0);
    archive_entry_set_mtime(entry, 0, 0);
    if (target)
        archive_entry_set_symlink(entry, target);
    int r = archive_write_header(p->archive, entry);
    archive_entry_free(entry);
    if (r != ARCHIVE_OK)
        return refuse(p, -EIO, path, archive_error_string(p->archive));
    if (++p->entries > ARCHIVE_ENTRIES_MAX)
        return refuse(p, -EFBIG, path, "more than 100000 files; name what is not needed in .gitignore or .skyignore");
    if (p->bytes > ARCHIVE_BYTES_MAX)
        return refuse(p, -EFBIG, path,
                      "with this file more than 256 MiB are uploaded; name what is not needed in .gitignore or .skyignore");
    return 0;
}

static int write_content(struct pack *p, int file, const char *path, int64_t size)
{
    char part[65536];
    while (size > 0) {
        ssize_t got = read(file, part, (size_t)MIN(size, (int64_t)sizeof part));
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return refuse(p, -EIO, path, got < 0 ? strerror(errno) : "became shorter while it was read");
        if (archive_write_data(p->archive, part, (size_t)got) != got)
            return refuse(p, -EIO, path, archive_error_string(p->archive));
        size -= got;
    }
    return 0;
}

static int pack_file(struct pack *p, const char *path, const char *name)
{
    struct stat st;
    int file = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (file < 0)
        return refuse(p, -errno, path, strerror(errno));
    int r = fstat(file, &st) < 0 ? refuse(p, -errno, path, strerror(errno)) : 0;
    if (r == 0 && !S_ISREG(st.st_mode))
        r = refuse(p, -EINVAL, path, "became something else while it was read");
    if (r == 0)
        r = write_header(p, &st, path, name, NULL);
    if (r == 0)
        r = write_content(p, file, path, st.st_size);
    close(file);
    return r;
}

/* `depth` counts the folders between the source and the link: so many `..` it may begin with. */
static int pack_link(struct pack *p, const char *path, const char *name, const struct stat *st, unsigned depth)
{
    char target[PATH_MAX];
    ssize_t size = readlink(path, target, sizeof target - 1);
    if (size < 0)
        return refuse(p, -errno, path, strerror(errno));
    target[size] = '\0';
    if (!archive_link_stays(target, depth))
        return refuse(p, -EINVAL, path,
                      "a link that leaves its folder cannot be uploaded; copy the file there, or name it in .gitignore or .skyignore");
    return write_header(p, st, path, name, target);
}

static int compare_names(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

static bool is_skipped(const char *name)
{
    return strcmp(name, ".") == 0 || strcmp(name, "..") == 0 || strcmp(name, ".git") == 0;
}

static int pack_member(struct pack *p, const char *folder, const char *folder_name, const char *member, unsigned depth)
{
    _cleanup_buf_ struct buf path = BUF_INIT(PATH_BYTES_MAX), name = BUF_INIT(PATH_BYTES_MAX);
    struct stat st;
    buf_printf(&path, "%s/%s", folder, member);
    buf_printf(&name, "%s/%s", folder_name, member);
    if (path.overflow || name.overflow || name.size > ARCHIVE_NAME_MAX)
        return refuse(p, -EFBIG, folder, "a path in it is too long");
    if (is_skipped(member))
        return 0;
    if (lstat(buf_text(&path), &st) < 0)
        return errno == ENOENT ? 0 : refuse(p, -errno, buf_text(&path), strerror(errno));
    if (ignore_match(&p->ignore, buf_text(&path), S_ISDIR(st.st_mode)))
        return 0;
    if (S_ISLNK(st.st_mode))
        return pack_link(p, buf_text(&path), buf_text(&name), &st, depth);
    return pack_path(p, buf_text(&path), buf_text(&name), depth + 1);
}

static int pack_folder(struct pack *p, const char *path, const char *name, unsigned depth)
{
    struct dirent **members;
    size_t rules = p->ignore.count;
    if (depth > ARCHIVE_DEPTH_MAX)
        return refuse(p, -EFBIG, path, "folders are nested too deeply, at most 64 are allowed");
    int r = ignore_load(&p->ignore, path, p->ignore_file, p->err);
    if (r < 0)
        return r;
    int count = scandir(path, &members, NULL, compare_names);
    if (count < 0)
        return refuse(p, -errno, path, strerror(errno));
    for (int i = 0; i < count; i++) {
        if (r == 0)
            r = pack_member(p, path, name, members[i]->d_name, depth);
        xfree(members[i]);
    }
    xfree(members);
    ignore_cut(&p->ignore, rules);
    return r;
}

static int pack_path(struct pack *p, const char *path, const char *name, unsigned depth)
{
    struct stat st;
    if (stat(path, &st) < 0)
        return refuse(p, -errno, path, strerror(errno));
    if (S_ISREG(st.st_mode))
        return pack_file(p, path, name);
    if (!S_ISDIR(st.st_mode))
        return refuse(p, -EINVAL, path, "is neither file nor folder; name it in .gitignore or .skyignore");
    int r = write_header(p, &st, path, name, NULL);
    return r == 0 ? pack_folder(p, path, name, depth) : r;
}

/* The rules of the folders above, from the top of the repository that `path` stands in. */
static int load_above(struct pack *p, char *path)
{
    char *slash = strrchr(path, '/');
    _cleanup_buf_ struct buf git = BUF_INIT(PATH_BYTES_MAX);
    buf_printf(&git, "%s/.git", path);
    if (slash == NULL || slash == path || access(buf_text(&git), F_OK) == 0)
        return 0;
    *slash = '\0';
    int r = load_above(p, path);
    if (r == 0)
        r = ignore_load(&p->ignore, path, ".gitignore", p->err);
    *slash = '/';
    return r;
}

static bool in_repository(const char *path)
{
    _cleanup_free_ char *above = xstrdup(path);
    for (char *slash = above + strlen(above); slash && slash != above; slash = strrchr(above, '/')) {
        _cleanup_buf_ struct buf git = BUF_INIT(PATH_BYTES_MAX);
        *slash = '\0';
        buf_printf(&git, "%s/.git", above);
        if (access(buf_text(&git), F_OK) == 0)
            return true;
    }
    return false;
}

static int pack_source(struct pack *p, const struct archive_source *source)
{
    _cleanup_free_ char *path = realpath(source->path, NULL);
    _cleanup_buf_ struct buf own = BUF_INIT(PATH_BYTES_MAX);
    int r = 0;
    if (path == NULL)
        return refuse(p, -errno, source->path, strerror(errno));
    buf_printf(&own, "%s/.skyignore", path);
    bool sky = access(buf_text(&own), F_OK) == 0;
    p->ignore_file = sky ? ".skyignore" : ".gitignore";
    if (!sky && in_repository(path))
        r = load_above(p, path);
    if (r == 0)
        r = pack_path(p, path, source->prefix, 0);
    ignore_cut(&p->ignore, 0);
    return r;
}

int archive_pack(const struct archive_source *sources, size_t count, const char *file,
                 char ret_sha256[SHA256_HEX], struct error *err)
{
    struct pack p = {.archive = archive_write_new(), .err = err};
    int out = open(file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600), r = 0;
    if (out < 0)
        r = refuse(&p, -errno, file, strerror(errno));
    archive_write_set_format_gnutar(p.archive);
    archive_write_add_filter_none(p.archive);
    archive_write_set_bytes_in_last_block(p.archive, 1);
    if (r == 0 && archive_write_open_fd(p.archive, out) != ARCHIVE_OK)
        r = refuse(&p, -EIO, file, archive_error_string(p.archive));
    for (size_t i = 0; r == 0 && i < count; i++)
        r = pack_source(&p, &sources[i]);
    if (r == 0 && archive_write_close(p.archive) != ARCHIVE_OK)
        r = refuse(&p, -EIO, file, archive_error_string(p.archive));
    archive_write_free(p.archive);
    ignore_fini(&p.ignore);
    if (out >= 0 && close(out) < 0 && r == 0)
        r = refuse(&p, -errno, file, strerror(errno));
    return r == 0 ? sha256_file(file, ret_sha256, err) : r;
}
