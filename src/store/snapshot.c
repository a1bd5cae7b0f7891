/* SPDX-License-Identifier: Apache-2.0 */
#include "store/snapshot.h"

#include "base/check.h"
#include "base/hash.h"
#include "base/memory.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char magic[8] = "TESSNAP1";

static void word_write(unsigned char *at, uint64_t value, size_t size)
{
    for (size_t i = 0; i < size; i++)
        at[i] = (unsigned char)(value >> (8 * i));
}

static uint64_t word_read(const unsigned char *at, size_t size)
{
    uint64_t value = 0;
    for (size_t i = 0; i < size; i++)
        value |= (uint64_t)at[i] << (8 * i);
    return value;
}

static uint64_t header_checksum(const unsigned char *bytes)
{
    return hash_bytes(bytes, SNAPSHOT_HEADER_SIZE - 8);
}

void snapshot_header_write(const struct snapshot_header *header, unsigned char ret[static SNAPSHOT_HEADER_SIZE])
{
    memcpy(ret, magic, sizeof magic);
    word_write(ret + 8, header->format, 4);
    word_write(ret + 12, header->engine_version, 4);
    word_write(ret + 16, header->seq, 8);
    word_write(ret + 24, header->digest, 8);
    word_write(ret + 32, (uint64_t)header->time, 8);
    word_write(ret + 40, header->size, 8);
    word_write(ret + 48, header->checksum, 8);
    word_write(ret + 56, header_checksum(ret), 8);
}

int snapshot_header_read(struct str bytes, struct snapshot_header *ret, struct error *err)
{
    const unsigned char *at = (const unsigned char *)bytes.data;
    if (bytes.size < SNAPSHOT_HEADER_SIZE || memcmp(at, magic, sizeof magic) != 0)
        return error_set(err, -EBADMSG, "not a snapshot of Tessera");
    if (word_read(at + 56, 8) != header_checksum(at))
        return error_set(err, -EBADMSG, "the header is damaged");
    struct snapshot_header header = {
        .format = (uint32_t)word_read(at + 8, 4),
        .engine_version = (uint32_t)word_read(at + 12, 4),
        .seq = word_read(at + 16, 8),
        .digest = word_read(at + 24, 8),
        .time = (time_ms)word_read(at + 32, 8),
        .size = word_read(at + 40, 8),
        .checksum = word_read(at + 48, 8),
    };
    if (header.format == 0 || header.size > SNAPSHOT_SIZE_MAX)
        return error_set(err, -EBADMSG, "the header makes no sense: format %u, %llu bytes", header.format,
                         (unsigned long long)header.size);
    *ret = header;
    return 0;
}

/* ---- files ------------------------------------------------------------------------------------ */

static void closep(int *fd)
{
    if (*fd >= 0)
        close(*fd);
}

static int dir_open(const char *dir, struct error *err)
{
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return fd >= 0 ? fd : error_set(err, -errno, "%s: %s", dir, strerror(errno));
}

static int all_write(int fd, const void *data, size_t size)
{
    const char *at = data;
    while (size > 0) {
        ssize_t n = write(fd, at, size);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        at += n;
        size -= (size_t)n;
    }
    return 0;
}

static int file_fill(int fd, const unsigned char *header, struct str body)
{
    int r = all_write(fd, header, SNAPSHOT_HEADER_SIZE);
    if (r == 0)
        r = all_write(fd, body.data, body.size);
    if (r == 0 && fsync(fd) < 0)
        r = -errno;
    return r;
}

static int file_place(int dir, const char *aside, const char *name, struct str body, const unsigned char *header)
{
    int fd = openat(dir, aside, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return -errno;
    int r = file_fill(fd, header, body);
    if (close(fd) < 0 && r == 0)
        r = -errno;
    if (r == 0 && renameat(dir, aside, dir, name) < 0)
        r = -errno;
    if (r < 0)
        unlinkat(dir, aside, 0);
    if (r == 0 && fsync(dir) < 0)
        r = -errno;
    return r;
}

int snapshot_write(const char *dir, const struct snapshot_header *header, struct str body, struct error *err)
{
    CHECK(header->format > 0 && body.size <= SNAPSHOT_SIZE_MAX);
    struct snapshot_header filled = *header;
    filled.size = body.size;
    filled.checksum = hash_bytes(body.data, body.size);
    unsigned char bytes[SNAPSHOT_HEADER_SIZE];
    snapshot_header_write(&filled, bytes);
    char aside[40], name[40];
    snprintf(aside, sizeof aside, "%llu.tmp", (unsigned long long)header->seq);
    snprintf(name, sizeof name, "%llu.snap", (unsigned long long)header->seq);
    _cleanup_(closep) int fd = dir_open(dir, err);
    if (fd < 0)
        return fd;
    int r = file_place(fd, aside, name, body, bytes);
    return r < 0 ? error_set(err, r, "%s/%s: %s", dir, name, strerror(-r)) : 0;
}

static int all_read(int fd, size_t size, struct buf *out)
{
    char *room = buf_reserve(out, size);
    if (room == NULL)
        return -EFBIG;
    while (size > 0) {
        ssize_t n = read(fd, out->data + out->size, size);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        if (n == 0)
            return -EBADMSG;
        out->size += (size_t)n;
        size -= (size_t)n;
    }
    out->data[out->size] = '\0';
    return 0;
}

/* The header tells how long the body is; the file's own length must agree before memory is taken. */
static int body_read(int fd, uint64_t seq, uint32_t format, struct snapshot *s, struct error *err)
{
    char bytes[SNAPSHOT_HEADER_SIZE];
    ssize_t n = read(fd, bytes, sizeof bytes);
    int r = snapshot_header_read((struct str){bytes, n < 0 ? 0 : (size_t)n}, &s->header, err);
    if (r < 0)
        return r;
    struct stat status = {};
    if (s->header.format > format)
        return error_set(err, -EPROTO, "written in format %u by a newer Tessera; this one reads formats up to %u",
                         s->header.format, format);
    if (s->header.seq != seq)
        return error_set(err, -EBADMSG, "holds number %llu", (unsigned long long)s->header.seq);
    if (fstat(fd, &status) < 0 || (uint64_t)status.st_size != SNAPSHOT_HEADER_SIZE + s->header.size)
        return error_set(err, -EBADMSG, "%lld bytes long, not %llu", (long long)status.st_size,
                         (unsigned long long)(SNAPSHOT_HEADER_SIZE + s->header.size));
    r = all_read(fd, (size_t)s->header.size, &s->body);
    if (r < 0)
        return error_set(err, r, "%s", r == -EBADMSG ? "cut short" : strerror(-r));
    if (hash_bytes(s->body.data, s->body.size) != s->header.checksum)
        return error_set(err, -EBADMSG, "the contents are damaged");
    return 0;
}

int snapshot_read(const char *dir, uint64_t seq, uint32_t format, struct snapshot *ret, struct error *err)
{
    char name[40];
    snprintf(name, sizeof name, "%llu.snap", (unsigned long long)seq);
    _cleanup_(closep) int dir_fd = dir_open(dir, err);
    if (dir_fd < 0)
        return dir_fd;
    _cleanup_(closep) int fd = openat(dir_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return error_set(err, -errno, "%s/%s: %s", dir, name, strerror(errno));
    struct snapshot s = {.body = BUF_INIT(SNAPSHOT_SIZE_MAX)};
    int r = body_read(fd, seq, format, &s, err);
    if (r < 0) {
        buf_fini(&s.body);
        error_prefix(err, "%s/%s", dir, name);
        return r;
    }
    *ret = s;
    return 0;
}

/* ---- the folder ------------------------------------------------------------------------------- */

static void closedirp(DIR **dir)
{
    if (*dir)
        closedir(*dir);
}

/* SEQ.snap as snapshot_write names it, nothing else. */
static bool name_parse(const char *name, uint64_t *ret_seq)
{
    struct str digits = str_from(name);
    const size_t tail = strlen(".snap");
    int64_t seq;
    if (digits.size <= tail || memcmp(name + digits.size - tail, ".snap", tail) != 0)
        return false;
    digits.size -= tail;
    if (digits.data[0] < '0' || digits.data[0] > '9' || !str_to_i64(digits, &seq))
        return false;
    *ret_seq = (uint64_t)seq;
    return true;
}

static void newest_first(uint64_t *numbers, size_t count)
{
    for (size_t i = 1; i < count; i++)
        for (size_t k = i; k > 0 && numbers[k - 1] < numbers[k]; k--) {
            uint64_t swapped = numbers[k];
            numbers[k] = numbers[k - 1];
            numbers[k - 1] = swapped;
        }
}

int snapshot_list(const char *dir, uint64_t **ret, size_t *ret_count, struct error *err)
{
    _cleanup_(closedirp) DIR *stream = opendir(dir);
    if (stream == NULL)
        return error_set(err, -errno, "%s: %s", dir, strerror(errno));
    uint64_t *numbers = NULL, seq;
    size_t count = 0, capacity = 0;
    for (struct dirent *entry; (entry = readdir(stream)) != NULL;)
        if (name_parse(entry->d_name, &seq)) {
            ARRAY_RESERVE(numbers, count, capacity);
            numbers[count++] = seq;
        }
    newest_first(numbers, count);
    *ret = numbers;
    *ret_count = count;
    return 0;
}

int snapshot_newest(const char *dir, uint32_t format, struct snapshot *ret, struct error *err)
{
    _cleanup_free_ uint64_t *numbers = NULL;
    size_t count = 0;
    int r = snapshot_list(dir, &numbers, &count, err);
    if (r < 0)
        return r;
    if (count == 0)
        return error_set(err, -ENOENT, "%s: no snapshot", dir);
    for (size_t i = 0; i < count; i++) {
        r = snapshot_read(dir, numbers[i], format, ret, err);
        if (r == 0 || (r != -EBADMSG && r != -ENOENT))
            return r;
    }
    return r;
}

static void asides_remove(DIR *stream)
{
    for (struct dirent *entry; (entry = readdir(stream)) != NULL;) {
        size_t size = strlen(entry->d_name);
        if (size > 4 && strcmp(entry->d_name + size - 4, ".tmp") == 0)
            unlinkat(dirfd(stream), entry->d_name, 0);
    }
}

int snapshot_prune(const char *dir, size_t keep, uint64_t *ret_oldest, struct error *err)
{
    _cleanup_free_ uint64_t *numbers = NULL;
    size_t count = 0;
    int r = snapshot_list(dir, &numbers, &count, err);
    if (r < 0)
        return r;
    _cleanup_(closedirp) DIR *stream = opendir(dir);
    if (stream == NULL)
        return error_set(err, -errno, "%s: %s", dir, strerror(errno));
    asides_remove(stream);
    for (size_t i = keep; i < count; i++) {
        char name[40];
        snprintf(name, sizeof name, "%llu.snap", (unsigned long long)numbers[i]);
        if (unlinkat(dirfd(stream), name, 0) < 0 && errno != ENOENT)
            return error_set(err, -errno, "%s/%s: %s", dir, name, strerror(errno));
    }
    *ret_oldest = keep > 0 && count >= keep ? numbers[keep - 1] : 0;
    return 0;
}
