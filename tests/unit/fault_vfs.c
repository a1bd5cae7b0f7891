/* SPDX-License-Identifier: Apache-2.0 */
#include "fault_vfs.h"

#include <sqlite3.h>
#include <string.h>

_Atomic int fault_vfs_fault;
_Atomic int fault_vfs_hits;
const char *fault_vfs_name;

struct file {
    sqlite3_file base;
    int hurt;
    sqlite3_file real[]; /* the system's own, behind it */
};

static sqlite3_vfs *below;

static sqlite3_file *real(sqlite3_file *f)
{
    return ((struct file *)f)->real;
}

static int fault_now(sqlite3_file *f, int io)
{
    int fault = ((struct file *)f)->hurt ? fault_vfs_fault : FAULT_NONE;
    if (fault == FAULT_NONE)
        return SQLITE_OK;
    fault_vfs_hits++;
    return fault == FAULT_FULL ? SQLITE_FULL : io;
}

static int f_close(sqlite3_file *f)
{
    return real(f)->pMethods->xClose(real(f));
}
static int f_read(sqlite3_file *f, void *data, int size, sqlite3_int64 offset)
{
    return real(f)->pMethods->xRead(real(f), data, size, offset);
}
static int f_write(sqlite3_file *f, const void *data, int size, sqlite3_int64 offset)
{
    int rc = fault_now(f, SQLITE_IOERR_WRITE);
    return rc ? rc : real(f)->pMethods->xWrite(real(f), data, size, offset);
}
static int f_truncate(sqlite3_file *f, sqlite3_int64 size)
{
    return real(f)->pMethods->xTruncate(real(f), size);
}
static int f_sync(sqlite3_file *f, int flags)
{
    /* A full disk shows when it is written to, never at a sync. */
    int rc = fault_vfs_fault == FAULT_IO ? fault_now(f, SQLITE_IOERR_FSYNC) : SQLITE_OK;
    return rc ? rc : real(f)->pMethods->xSync(real(f), flags);
}
static int f_size(sqlite3_file *f, sqlite3_int64 *ret)
{
    return real(f)->pMethods->xFileSize(real(f), ret);
}
static int f_lock(sqlite3_file *f, int lock)
{
    return real(f)->pMethods->xLock(real(f), lock);
}
static int f_unlock(sqlite3_file *f, int lock)
{
    return real(f)->pMethods->xUnlock(real(f), lock);
}
static int f_reserved(sqlite3_file *f, int *ret)
{
    return real(f)->pMethods->xCheckReservedLock(real(f), ret);
}
static int f_control(sqlite3_file *f, int op, void *argument)
{
    return real(f)->pMethods->xFileControl(real(f), op, argument);
}
static int f_sector(sqlite3_file *f)
{
    return real(f)->pMethods->xSectorSize(real(f));
}
static int f_characteristics(sqlite3_file *f)
{
    return real(f)->pMethods->xDeviceCharacteristics(real(f));
}
static int f_map(sqlite3_file *f, int page, int size, int extend, void volatile **ret)
{
    return real(f)->pMethods->xShmMap(real(f), page, size, extend, ret);
}
static int f_shm_lock(sqlite3_file *f, int offset, int count, int flags)
{
    return real(f)->pMethods->xShmLock(real(f), offset, count, flags);
}
static void f_barrier(sqlite3_file *f)
{
    real(f)->pMethods->xShmBarrier(real(f));
}
static int f_unmap(sqlite3_file *f, int remove)
{
    return real(f)->pMethods->xShmUnmap(real(f), remove);
}

static const sqlite3_io_methods methods = {
    .iVersion = 2, .xClose = f_close, .xRead = f_read, .xWrite = f_write, .xTruncate = f_truncate, .xSync = f_sync,
    .xFileSize = f_size, .xLock = f_lock, .xUnlock = f_unlock, .xCheckReservedLock = f_reserved, .xFileControl = f_control,
    .xSectorSize = f_sector, .xDeviceCharacteristics = f_characteristics, .xShmMap = f_map, .xShmLock = f_shm_lock,
    .xShmBarrier = f_barrier, .xShmUnmap = f_unmap,
};

static int vfs_open(sqlite3_vfs *vfs, sqlite3_filename name, sqlite3_file *f, int flags, int *ret_flags)
{
    (void)vfs;
    struct file *file = (struct file *)f;
    file->hurt = fault_vfs_name && name && strstr(name, fault_vfs_name) != NULL;
    int rc = below->xOpen(below, name, file->real, flags, ret_flags);
    f->pMethods = file->real->pMethods ? &methods : NULL;
    return rc;
}

void fault_vfs_register(void)
{
    static sqlite3_vfs vfs;
    below = sqlite3_vfs_find(NULL);
    vfs = *below;
    vfs.zName = "fault";
    vfs.szOsFile = (int)sizeof(struct file) + below->szOsFile;
    vfs.xOpen = vfs_open;
    vfs.pNext = NULL;
    sqlite3_vfs_register(&vfs, 0);
}
