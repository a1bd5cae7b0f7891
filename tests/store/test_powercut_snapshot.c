/* SPDX-License-Identifier: Apache-2.0 */
/* The power goes out while snapshots are written and pruned. The system calls of src/store go both
 * to a real folder and to a struct disk (the linker wraps them); after a cut the folder is made anew
 * from what the disk kept. The newest acknowledged snapshot, or the one in flight, must be readable. */

#include "disk.h"

#include "base/memory.h"
#include "base/number.h"
#include "store/snapshot.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static struct disk disk;
static bool traced; /* the wrapped calls are src/store's, not this test's own */
static struct disk_file *open_files[1024];
static size_t open_offsets[1024];

int __real_openat64(int dir, const char *name, int flags, ...);
ssize_t __real_write(int fd, const void *data, size_t size);
int __real_fsync(int fd);
int __real_renameat(int from_dir, const char *from, int to_dir, const char *to);
int __real_unlinkat(int dir, const char *name, int flags);
int __real_close(int fd);

int __wrap_openat64(int dir, const char *name, int flags, ...);
ssize_t __wrap_write(int fd, const void *data, size_t size);
int __wrap_fsync(int fd);
int __wrap_renameat(int from_dir, const char *from, int to_dir, const char *to);
int __wrap_unlinkat(int dir, const char *name, int flags);
int __wrap_close(int fd);

static int failed(int r)
{
    errno = -r;
    return -1;
}

int __wrap_openat64(int dir, const char *name, int flags, ...)
{
    if (!traced || !(flags & O_CREAT))
        return __real_openat64(dir, name, flags, 0);
    struct disk_file *file = disk_find(&disk, name);
    int r = file ? disk_truncate(&disk, file, 0) : disk_create(&disk, name, &file);
    if (r < 0)
        return failed(r);
    int fd = __real_openat64(dir, name, flags, 0600);
    assert_in_range(fd, 0, 1023);
    open_files[fd] = file;
    open_offsets[fd] = 0;
    return fd;
}

ssize_t __wrap_write(int fd, const void *data, size_t size)
{
    if (!traced || open_files[fd] == NULL)
        return __real_write(fd, data, size);
    size = size > 1500 ? 1500 : size; /* a write may take less than all */
    int r = disk_write(&disk, open_files[fd], open_offsets[fd], (struct str){data, size});
    if (r < 0)
        return failed(r);
    open_offsets[fd] += size;
    return __real_write(fd, data, size);
}

int __wrap_fsync(int fd)
{
    if (!traced)
        return __real_fsync(fd);
    int r = open_files[fd] ? disk_sync(&disk, open_files[fd]) : disk_sync_folder(&disk);
    return r < 0 ? failed(r) : 0;
}

int __wrap_renameat(int from_dir, const char *from, int to_dir, const char *to)
{
    int r = traced ? disk_rename(&disk, from, to) : 0;
    return r < 0 ? failed(r) : __real_renameat(from_dir, from, to_dir, to);
}

int __wrap_unlinkat(int dir, const char *name, int flags)
{
    int r = traced ? disk_remove(&disk, name) : 0;
    return r < 0 ? failed(r) : __real_unlinkat(dir, name, flags);
}

int __wrap_close(int fd)
{
    if (traced && fd >= 0)
        open_files[fd] = NULL;
    return __real_close(fd);
}

/* ---- lives ------------------------------------------------------------------------------------------ */

static char folder[64];

static void folder_empty(void)
{
    DIR *stream = opendir(folder);
    for (struct dirent *entry; (entry = readdir(stream)) != NULL;)
        if (entry->d_name[0] != '.')
            unlinkat(dirfd(stream), entry->d_name, 0);
    closedir(stream);
}

/* The folder as the disk has it after the cut. */
static void folder_restore(void)
{
    folder_empty();
    for (size_t i = 0; i < disk.links_count; i++) {
        const struct disk_file *file = disk_find(&disk, disk.links[i].name);
        char path[256];
        snprintf(path, sizeof path, "%s/%s", folder, disk.links[i].name);
        if (file == NULL)
            continue;
        FILE *f = fopen(path, "w");
        fwrite(file->now.data ? file->now.data : "", 1, file->now.size, f);
        fclose(f);
    }
}

static struct str body_of(uint64_t seq, struct buf *bytes)
{
    struct prng random = {seq};
    buf_clear(bytes);
    for (size_t i = prng_below(&random, 6000); i > 0; i--)
        buf_append_byte(bytes, (char)prng_next(&random));
    return buf_str(bytes);
}

struct life {
    struct prng random;
    uint64_t acknowledged, tried, seed;
    struct buf bytes;
    char wrong[700];
};

static int work(struct life *l)
{
    uint64_t seq = l->tried + 1 + prng_below(&l->random, 3), oldest;
    struct snapshot_header header = {.format = 1, .seq = seq, .digest = seq};
    l->tried = seq;
    int r = snapshot_write(folder, &header, body_of(seq, &l->bytes), NULL);
    if (r == 0)
        l->acknowledged = seq;
    if (r == 0 && prng_below(&l->random, 2))
        r = snapshot_prune(folder, 2, &oldest, NULL);
    return r;
}

static bool look(struct life *l)
{
    struct snapshot s = {};
    struct error err = {};
    if (l->acknowledged == 0)
        return true;
    int r = snapshot_newest(folder, 1, &s, &err);
    bool right = r == 0 && s.header.seq >= l->acknowledged && s.header.seq <= l->tried &&
                 str_equal(buf_str(&s.body), body_of(s.header.seq, &l->bytes));
    if (!right)
        snprintf(l->wrong, sizeof l->wrong, "seed %llu: acknowledged %llu, found %llu: %s", (unsigned long long)l->seed,
                 (unsigned long long)l->acknowledged, (unsigned long long)s.header.seq, err.text);
    l->acknowledged = s.header.seq;
    buf_fini(&s.body);
    return right;
}

static bool live(struct life *l, uint64_t seed)
{
    l->seed = l->random.state = seed;
    l->bytes.limit = BUF_LIMIT_DEFAULT;
    folder_empty();
    bool right = true;
    for (int cut = 0; cut < 5 && right; cut++) {
        disk.cut_at = disk.steps + 1 + prng_below(&l->random, 50);
        traced = true;
        for (int i = 0; i < 20 && work(l) == 0; i++)
            ;
        traced = false;
        disk.out = true;
        disk_restart(&disk, &l->random);
        folder_restore();
        right = look(l);
    }
    disk_fini(&disk);
    buf_fini(&l->bytes);
    return right;
}

static void acknowledged_snapshots_outlive_power_cuts(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 300; seed++) {
        struct life l = {};
        if (!live(&l, seed))
            fail_msg("%s", l.wrong);
    }
}

static int count_wrong(bool ignore_sync, bool ignore_folder_sync)
{
    int found = 0;
    for (uint64_t seed = 1; seed <= 40; seed++) {
        struct life l = {};
        disk.ignore_sync = ignore_sync;
        disk.ignore_folder_sync = ignore_folder_sync;
        found += !live(&l, seed);
    }
    return found;
}

static void a_disk_that_lies_about_syncs_is_found_out(void **state)
{
    (void)state;
    assert_in_range(count_wrong(true, false), 10, 40);
    assert_in_range(count_wrong(false, true), 10, 40);
}

static void a_full_disk_leaves_the_older_snapshot_and_nothing_aside(void **state)
{
    (void)state;
    for (uint64_t nth = 1; nth <= 5; nth++) {
        struct life l = {.random.state = 3, .bytes.limit = BUF_LIMIT_DEFAULT};
        struct error err = {};
        struct snapshot_header header = {.format = 1, .seq = 5};
        folder_empty();
        traced = true;
        assert_int_equal(snapshot_write(folder, &header, body_of(5, &l.bytes), &err), 0);
        disk.full_at = disk.writes + nth;
        header.seq = 8;
        struct str large = {xcalloc(1, 8000), 8000};
        assert_int_equal(snapshot_write(folder, &header, large, &err), -ENOSPC);
        traced = false;
        assert_non_null(strstr(err.text, "8.snap: No space left"));
        assert_null(disk_find(&disk, "8.tmp"));
        l.acknowledged = l.tried = 5;
        assert_true(look(&l));
        disk_fini(&disk);
        buf_fini(&l.bytes);
        xfree_pointer(&large.data);
    }
}

static int folder_make(void **state)
{
    (void)state;
    snprintf(folder, sizeof folder, "%s/tessera-snapshot-XXXXXX", getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp");
    return mkdtemp(folder) ? 0 : -1;
}

static int folder_drop(void **state)
{
    (void)state;
    folder_empty();
    return rmdir(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(acknowledged_snapshots_outlive_power_cuts),
        cmocka_unit_test(a_disk_that_lies_about_syncs_is_found_out),
        cmocka_unit_test(a_full_disk_leaves_the_older_snapshot_and_nothing_aside),
    };
    return cmocka_run_group_tests(tests, folder_make, folder_drop);
}
