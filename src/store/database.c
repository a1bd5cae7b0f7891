/* SPDX-License-Identifier: Apache-2.0 */
#include "store/database.h"

#include "base/check.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* The log may grow to this many pages of 4 KiB (64 MiB) before a writer cleans it up itself. Below
 * that another thread's passive checkpoints do nearly all of it, and the writer finishes the rest:
 * under a steady load only the writer can find the log all copied, which lets it start over. */
#define LOG_PAGES_MAX "16384"
#define BUSY_MS 10000

static int error_code(int rc)
{
    switch (rc & 0xff) {
    case SQLITE_FULL: return -ENOSPC;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB: return -EBADMSG;
    case SQLITE_BUSY:
    case SQLITE_LOCKED: return -EBUSY;
    case SQLITE_READONLY: return -EROFS;
    case SQLITE_PERM: return -EACCES;
    case SQLITE_NOLFS: return -EFBIG;
    default: return -EIO;
    }
}

static const char *error_hint(int code)
{
    switch (code) {
    case -ENOSPC: return ": the disk is full, nothing of this was kept";
    case -EBADMSG: return ": the file is damaged or not a database; restore it from a backup";
    case -EBUSY: return ": another process holds it";
    default: return "";
    }
}

int database_error(sqlite3 *db, int rc, const char *what, struct error *err)
{
    CHECK((rc & 0xff) != SQLITE_NOMEM && (rc & 0xff) != SQLITE_MISUSE);
    const char *path = sqlite3_db_filename(db, "main");
    int code = error_code(rc), number = sqlite3_system_errno(db);
    bool disk = (rc & 0xff) == SQLITE_IOERR || (rc & 0xff) == SQLITE_CANTOPEN;
    return error_set(err, code, "%s: %s: %s%s%s%s", path && *path ? path : "database", what,
                     sqlite3_errstr(rc), disk && number ? ": " : "", disk && number ? strerror(number) : "",
                     error_hint(code));
}

int database_exec(sqlite3 *db, const char *sql, const char *what, struct error *err)
{
    int rc = sqlite3_exec(db, sql, NULL, NULL, NULL);
    return rc == SQLITE_OK ? 0 : database_error(db, rc, what, err);
}

int database_prepare(sqlite3 *db, sqlite3_stmt **ret, const char *sql, struct error *err)
{
    int rc = sqlite3_prepare_v3(db, sql, -1, SQLITE_PREPARE_PERSISTENT, ret, NULL);
    return rc == SQLITE_OK ? 0 : database_error(db, rc, "prepare", err);
}

int database_run(sqlite3_stmt *statement, const char *what, struct error *err)
{
    int rc = sqlite3_step(statement);
    CHECK(rc != SQLITE_ROW);
    int r = rc == SQLITE_DONE ? 0 : database_error(sqlite3_db_handle(statement), rc, what, err);
    sqlite3_reset(statement);
    return r;
}

void database_rollback(sqlite3 *db)
{
    if (!sqlite3_get_autocommit(db))
        sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL);
}

int database_checkpoint(sqlite3 *db, struct error *err)
{
    int rc = sqlite3_wal_checkpoint_v2(db, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
    if (rc == SQLITE_OK || rc == SQLITE_BUSY || rc == SQLITE_LOCKED)
        return 0;
    return database_error(db, rc, "checkpoint", err);
}

static int pragma_read(sqlite3 *db, const char *sql, int64_t *ret, struct error *err)
{
    sqlite3_stmt *statement = NULL;
    int rc = sqlite3_prepare_v2(db, sql, -1, &statement, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_step(statement);
    if (rc == SQLITE_ROW)
        *ret = sqlite3_column_int64(statement, 0);
    int r = rc == SQLITE_ROW ? 0 : database_error(db, rc, "read its header", err);
    sqlite3_finalize(statement);
    return r;
}

static int schema_make(sqlite3 *db, const struct database_options *options, struct error *err)
{
    char mark[128];
    snprintf(mark, sizeof mark, "PRAGMA application_id=%u; PRAGMA user_version=%u; COMMIT",
             options->application, options->format);
    int r = database_exec(db, "BEGIN IMMEDIATE", "make its tables", err);
    if (r == 0)
        r = database_exec(db, options->schema, "make its tables", err);
    if (r == 0)
        r = database_exec(db, mark, "make its tables", err);
    database_rollback(db);
    return r;
}

/* 1: a new file, without mark, format and tables (or one whose making a power cut undid). Looks
 * before anything is changed: a database of somebody else stays as it was. */
static int schema_check(sqlite3 *db, const struct database_options *options, struct error *err)
{
    int64_t application = 0, format = 0, tables = 0;
    int r = pragma_read(db, "PRAGMA application_id", &application, err);
    if (r == 0)
        r = pragma_read(db, "PRAGMA user_version", &format, err);
    if (r == 0)
        r = pragma_read(db, "SELECT count(*) FROM sqlite_schema", &tables, err);
    if (r < 0)
        return r;
    if (options->mode == DATABASE_CREATE && application == 0 && format == 0 && tables == 0)
        return 1;
    if (application == 0 && tables == 0)
        return error_set(err, -EBADMSG, "%s: the database is empty: its contents were lost", options->path);
    if (application != (int64_t)options->application)
        return error_set(err, -EBADMSG, "%s: a database, but not the one of Tessera that belongs there", options->path);
    if (format > (int64_t)options->format)
        return error_set(err, -EPROTO,
                         "%s: written in format %lld by a newer Tessera; this one reads formats up to %u: run the newer one",
                         options->path, (long long)format, options->format);
    return 0;
}

static int connection_settle(sqlite3 *db, const struct database_options *options, struct error *err)
{
    if (options->mode == DATABASE_READ)
        return database_exec(db, "PRAGMA query_only=1; PRAGMA cache_size=-512", "open", err);
    /* page_size counts only before the first page is written. */
    return database_exec(db,
                         "PRAGMA page_size=4096; PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;"
                         "PRAGMA cache_size=-2000; PRAGMA secure_delete=OFF; PRAGMA temp_store=MEMORY;"
                         "PRAGMA journal_size_limit=134217728; PRAGMA wal_autocheckpoint=" LOG_PAGES_MAX,
                         "open", err);
}

int database_open(sqlite3 **ret, const struct database_options *options, struct error *err)
{
    static const int flags[] = {
        [DATABASE_READ] = SQLITE_OPEN_READONLY,
        [DATABASE_WRITE] = SQLITE_OPEN_READWRITE,
        [DATABASE_CREATE] = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE,
    };
    _cleanup_database_ sqlite3 *db = NULL;
    int rc = sqlite3_open_v2(options->path, &db, flags[options->mode] | SQLITE_OPEN_NOMUTEX, options->vfs);
    CHECK(db != NULL);
    if (rc != SQLITE_OK && sqlite3_system_errno(db) == ENOENT)
        return error_set(err, -ENOENT, "%s: the file is not there: it was lost, or this is not the data folder",
                         options->path);
    if (rc != SQLITE_OK)
        return database_error(db, rc, "open", err);
    sqlite3_extended_result_codes(db, 1);
    sqlite3_busy_timeout(db, BUSY_MS);
    int r = database_exec(db, "PRAGMA mmap_size=0", "open", err);
    if (r == 0)
        r = schema_check(db, options, err);
    bool fresh = r > 0;
    if (r >= 0)
        r = connection_settle(db, options, err);
    if (r == 0 && fresh)
        r = schema_make(db, options, err);
    if (r == 0)
        *ret = TAKE(db);
    return r;
}

void database_close(sqlite3 **db)
{
    if (*db)
        CHECK(sqlite3_close(*db) == SQLITE_OK);
    *db = NULL;
}

void database_bind_u64(sqlite3_stmt *statement, int index, uint64_t value)
{
    CHECK(sqlite3_bind_int64(statement, index, (sqlite3_int64)value) == SQLITE_OK);
}

void database_bind_blob(sqlite3_stmt *statement, int index, struct str bytes)
{
    CHECK(sqlite3_bind_blob64(statement, index, bytes.size ? bytes.data : "", bytes.size, SQLITE_STATIC) == SQLITE_OK);
}

void database_bind_text(sqlite3_stmt *statement, int index, struct str text)
{
    CHECK(sqlite3_bind_text64(statement, index, text.size ? text.data : "", text.size, SQLITE_STATIC, SQLITE_UTF8) == SQLITE_OK);
}

struct str database_column(sqlite3_stmt *statement, int index)
{
    const char *data = sqlite3_column_blob(statement, index);
    return (struct str){data, (size_t)sqlite3_column_bytes(statement, index)};
}
