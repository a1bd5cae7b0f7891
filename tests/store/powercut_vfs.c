/* SPDX-License-Identifier: Apache-2.0 */
#include "powercut_vfs.h"

#include "base/check.h"
#include "base/memory.h"
#include "base/number.h"

#include <errno.h>
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>

#define SHARED_PAGES_MAX 64

/* What connections to one database file share. */
struct shared {
    struct disk_file *file;
    int readers, reserved, exclusive; /* file locks: how many hold them */
    void *pages[SHARED_PAGES_MAX];
    int users;
    int slots[SQLITE_SHM_NLOCK]; /* -1 exclusive, else how many share */
};
struct handle {
    sqlite3_file base;
    struct disk_file *file;
    struct shared *shared;
    int level;
    bool mapped, delete_on_close;
    uint32_t slots_shared, slots_exclusive;
    char name[256];
};

static struct disk *disk;
static struct shared shared_files[16];

static int result(int r)
{
    return r == 0 ? SQLITE_OK : r == -ENOSPC ? SQLITE_FULL : SQLITE_IOERR;
}

static int file_close(sqlite3_file *f)
{
    struct handle *h = (struct handle *)f;
    if (h->delete_on_close)
        disk_remove(disk, h->name);
    return SQLITE_OK;
}

static int file_read(sqlite3_file *f, void *to, int size, sqlite3_int64 offset)
{
    const struct buf *b = &((struct handle *)f)->file->now;
    if (disk->out)
        return SQLITE_IOERR_READ;
    size_t at = (size_t)offset, wanted = (size_t)size;
    size_t got = at >= b->size ? 0 : MIN(wanted, b->size - at);
    memset(to, 0, wanted);
    if (got)
        memcpy(to, b->data + at, got);
    return got == wanted ? SQLITE_OK : SQLITE_IOERR_SHORT_READ;
}

static int file_write(sqlite3_file *f, const void *from, int size, sqlite3_int64 offset)
{
    return result(disk_write(disk, ((struct handle *)f)->file, (size_t)offset, (struct str){from, (size_t)size}));
}

static int file_truncate(sqlite3_file *f, sqlite3_int64 size)
{
    return result(disk_truncate(disk, ((struct handle *)f)->file, (size_t)size));
}

static int file_sync(sqlite3_file *f, int flags)
{
    (void)flags;
    return disk_sync(disk, ((struct handle *)f)->file) == 0 ? SQLITE_OK : SQLITE_IOERR_FSYNC;
}

static int file_size(sqlite3_file *f, sqlite3_int64 *ret)
{
    *ret = (sqlite3_int64)((struct handle *)f)->file->now.size;
    return disk->out ? SQLITE_IOERR_FSTAT : SQLITE_OK;
}

static void level_drop(struct handle *h, int level)
{
    struct shared *s = h->shared;
    if (h->level >= SQLITE_LOCK_EXCLUSIVE && level < SQLITE_LOCK_EXCLUSIVE)
        s->exclusive--;
    if (h->level >= SQLITE_LOCK_RESERVED && level < SQLITE_LOCK_RESERVED)
        s->reserved--;
    if (h->level >= SQLITE_LOCK_SHARED && level < SQLITE_LOCK_SHARED)
        s->readers--;
    h->level = level;
}

static int file_lock(sqlite3_file *f, int level)
{
    struct handle *h = (struct handle *)f;
    struct shared *s = h->shared;
    if (level <= h->level)
        return SQLITE_OK;
    if (h->level < SQLITE_LOCK_SHARED) {
        if (s->exclusive)
            return SQLITE_BUSY;
        s->readers++;
        h->level = SQLITE_LOCK_SHARED;
    }
    if (level >= SQLITE_LOCK_RESERVED && h->level < SQLITE_LOCK_RESERVED) {
        if (s->reserved)
            return SQLITE_BUSY;
        s->reserved++;
        h->level = SQLITE_LOCK_RESERVED;
    }
    if (level == SQLITE_LOCK_EXCLUSIVE) {
        if (s->readers > 1)
            return SQLITE_BUSY;
        s->exclusive++;
    }
    h->level = level;
    return SQLITE_OK;
}

static int file_unlock(sqlite3_file *f, int level)
{
    struct handle *h = (struct handle *)f;
    if (level < h->level)
        level_drop(h, level);
    return SQLITE_OK;
}

static int file_reserved(sqlite3_file *f, int *ret)
{
    *ret = ((struct handle *)f)->shared->reserved > 0;
    return SQLITE_OK;
}

static int file_control(sqlite3_file *f, int operation, void *argument)
{
    (void)f, (void)operation, (void)argument;
    return SQLITE_NOTFOUND;
}

static int file_sector(sqlite3_file *f)
{
    (void)f;
    return 4096;
}

static int file_traits(sqlite3_file *f)
{
    (void)f;
    return SQLITE_IOCAP_POWERSAFE_OVERWRITE; /* as unix says */
}

/* ---- shared memory ------------------------------------------------------------------------------- */

static int shared_map(sqlite3_file *f, int page, int size, int extend, void volatile **ret)
{
    struct handle *h = (struct handle *)f;
    CHECK(page < SHARED_PAGES_MAX);
    if (!h->mapped)
        h->shared->users++;
    h->mapped = true;
    if (h->shared->pages[page] == NULL && extend)
        h->shared->pages[page] = xcalloc(1, (size_t)size);
    *ret = h->shared->pages[page];
    return SQLITE_OK;
}

static bool slot_lock(struct handle *h, int slot, bool exclusive)
{
    int *count = &h->shared->slots[slot];
    uint32_t bit = 1u << slot;
    if (exclusive) {
        if (*count != 0)
            return (h->slots_exclusive & bit) != 0;
        *count = -1;
        h->slots_exclusive |= bit;
    } else if (!(h->slots_shared & bit)) {
        if (*count < 0)
            return false;
        *count += 1;
        h->slots_shared |= bit;
    }
    return true;
}

static void slot_unlock(struct handle *h, int slot)
{
    uint32_t bit = 1u << slot;
    if (h->slots_exclusive & bit)
        h->shared->slots[slot] = 0;
    else if (h->slots_shared & bit)
        h->shared->slots[slot]--;
    h->slots_exclusive &= ~bit;
    h->slots_shared &= ~bit;
}

static int shared_lock(sqlite3_file *f, int first, int count, int flags)
{
    struct handle *h = (struct handle *)f;
    bool exclusive = flags & SQLITE_SHM_EXCLUSIVE;
    for (int i = first; i < first + count; i++) {
        if (flags & SQLITE_SHM_UNLOCK) {
            slot_unlock(h, i);
        } else if (!slot_lock(h, i, exclusive)) {
            while (i-- > first)
                slot_unlock(h, i);
            return SQLITE_BUSY;
        }
    }
    return SQLITE_OK;
}

static void shared_barrier(sqlite3_file *f)
{
    (void)f;
    __sync_synchronize();
}

static void pages_free(struct shared *s)
{
    for (size_t i = 0; i < SHARED_PAGES_MAX; i++) {
        xfree(s->pages[i]);
        s->pages[i] = NULL;
    }
}

static int shared_unmap(sqlite3_file *f, int forget)
{
    (void)forget;
    struct handle *h = (struct handle *)f;
    for (int i = 0; i < SQLITE_SHM_NLOCK; i++)
        slot_unlock(h, i);
    if (h->mapped && --h->shared->users == 0)
        pages_free(h->shared);
    h->mapped = false;
    return SQLITE_OK;
}

static const sqlite3_io_methods methods = {
    .iVersion = 2,
    .xClose = file_close,
    .xRead = file_read,
    .xWrite = file_write,
    .xTruncate = file_truncate,
    .xSync = file_sync,
    .xFileSize = file_size,
    .xLock = file_lock,
    .xUnlock = file_unlock,
    .xCheckReservedLock = file_reserved,
    .xFileControl = file_control,
    .xSectorSize = file_sector,
    .xDeviceCharacteristics = file_traits,
    .xShmMap = shared_map,
    .xShmLock = shared_lock,
    .xShmBarrier = shared_barrier,
    .xShmUnmap = shared_unmap,
};

/* ---- the file system ------------------------------------------------------------------------------ */

static struct shared *shared_find(struct disk_file *file)
{
    for (size_t i = 0; i < ARRAY_COUNT(shared_files); i++)
        if (shared_files[i].file == file || shared_files[i].file == NULL) {
            shared_files[i].file = file;
            return &shared_files[i];
        }
    CHECK(!"too many database files");
    return NULL;
}

static int vfs_open(sqlite3_vfs *vfs, sqlite3_filename name, sqlite3_file *f, int flags, int *ret_flags)
{
    (void)vfs;
    struct handle *h = (struct handle *)f;
    *h = (struct handle){};
    if (disk->out)
        return SQLITE_CANTOPEN;
    CHECK(name != NULL);
    snprintf(h->name, sizeof h->name, "%s", name);
    h->file = disk_find(disk, name);
    if (h->file == NULL) {
        if (!(flags & SQLITE_OPEN_CREATE) || disk_create(disk, name, &h->file) < 0)
            return SQLITE_CANTOPEN;
        h->file->entry_new = flags & (SQLITE_OPEN_WAL | SQLITE_OPEN_MAIN_JOURNAL | SQLITE_OPEN_SUPER_JOURNAL);
    }
    h->shared = flags & SQLITE_OPEN_MAIN_DB ? shared_find(h->file) : NULL;
    h->delete_on_close = flags & SQLITE_OPEN_DELETEONCLOSE;
    h->base.pMethods = &methods;
    if (ret_flags)
        *ret_flags = flags;
    return SQLITE_OK;
}

static int vfs_delete(sqlite3_vfs *vfs, const char *name, int sync)
{
    (void)vfs;
    if (disk_find(disk, name) == NULL)
        return SQLITE_IOERR_DELETE_NOENT;
    int r = disk_remove(disk, name);
    if (r == 0 && sync)
        r = disk_sync_folder(disk);
    return r == 0 ? SQLITE_OK : SQLITE_IOERR_DELETE;
}

static int vfs_access(sqlite3_vfs *vfs, const char *name, int flags, int *ret)
{
    (void)vfs, (void)flags;
    const struct disk_file *f = disk_find(disk, name);
    /* As unix: an empty file does not exist for this question. */
    *ret = f != NULL && (flags != SQLITE_ACCESS_EXISTS || f->now.size > 0);
    return disk->out ? SQLITE_IOERR_ACCESS : SQLITE_OK;
}

static int vfs_path(sqlite3_vfs *vfs, const char *name, int size, char *ret)
{
    (void)vfs;
    snprintf(ret, (size_t)size, "%s", name);
    return SQLITE_OK;
}

static int vfs_random(sqlite3_vfs *vfs, int size, char *ret)
{
    (void)vfs;
    static struct prng random = {1};
    for (int i = 0; i < size; i++)
        ret[i] = (char)prng_next(&random);
    return size;
}

static int vfs_sleep(sqlite3_vfs *vfs, int us)
{
    (void)vfs;
    return us; /* one thread: whoever waits here waits for nobody */
}

static int vfs_time(sqlite3_vfs *vfs, sqlite3_int64 *ret)
{
    (void)vfs;
    *ret = 210866760000000;
    return SQLITE_OK;
}

static int vfs_error(sqlite3_vfs *vfs, int size, char *text)
{
    (void)vfs, (void)size, (void)text;
    return 0;
}

void powercut_vfs_use(struct disk *d)
{
    static sqlite3_vfs vfs = {
        .iVersion = 2,
        .szOsFile = sizeof(struct handle),
        .mxPathname = 200,
        .zName = "powercut",
        .xOpen = vfs_open,
        .xDelete = vfs_delete,
        .xAccess = vfs_access,
        .xFullPathname = vfs_path,
        .xRandomness = vfs_random,
        .xSleep = vfs_sleep,
        .xGetLastError = vfs_error,
        .xCurrentTimeInt64 = vfs_time,
    };
    CHECK(sqlite3_vfs_register(&vfs, 0) == SQLITE_OK);
    for (size_t i = 0; i < ARRAY_COUNT(shared_files); i++) {
        CHECK(shared_files[i].users == 0);
        pages_free(&shared_files[i]);
        shared_files[i] = (struct shared){};
    }
    disk = d;
}
