/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* One SQLite connection, as journal and tables use it: WAL, small caches, no mmap (a bad disk is an
 * error, not a SIGBUS), errors as struct error. A connection belongs to one thread at a time. */

#include "base/error.h"
#include "base/memory.h"
#include "base/str.h"

#include <sqlite3.h>
#include <stdbool.h>
#include <stdint.h>

enum database_mode {
    DATABASE_READ,   /* read-only; the file must be there */
    DATABASE_WRITE,  /* the file must be there */
    DATABASE_CREATE, /* made where absent */
};

struct database_options {
    const char *path;
    const char *vfs;      /* NULL = the system's */
    enum database_mode mode;
    uint32_t application; /* marks the file as this kind of ours */
    uint32_t format;      /* the newest layout that this program reads, and writes; from 1 */
    const char *schema;   /* SQL that makes the tables of a new file */
};

/* Opens, checks the mark and the format, and makes the tables of a new file in one transaction.
 * -ENOENT: lost; -EBADMSG: not ours or damaged; -EPROTO: of a newer format, named in the text. */
int database_open(sqlite3 **ret, const struct database_options *options, struct error *err);
void database_close(sqlite3 **db);
#define _cleanup_database_ _cleanup_(database_close)

/* A SQLite result as an error that names the file and what was tried. SQLITE_FULL is -ENOSPC,
 * damage -EBADMSG, SQLITE_BUSY -EBUSY, everything else of the disk -EIO. */
int database_error(sqlite3 *db, int rc, const char *what, struct error *err);
int database_exec(sqlite3 *db, const char *sql, const char *what, struct error *err);
/* Prepared for many uses; give it back with sqlite3_finalize. */
int database_prepare(sqlite3 *db, sqlite3_stmt **ret, const char *sql, struct error *err);
/* Steps a statement that returns no rows and resets it. */
int database_run(sqlite3_stmt *statement, const char *what, struct error *err);
/* Undoes an open transaction, if one is open. */
void database_rollback(sqlite3 *db);
/* Copies what it can of the log into the database file and waits for nobody. */
int database_checkpoint(sqlite3 *db, struct error *err);

void database_bind_u64(sqlite3_stmt *statement, int index, uint64_t value);
/* Bound by reference: the bytes must live until the statement has run. */
void database_bind_blob(sqlite3_stmt *statement, int index, struct str bytes);
void database_bind_text(sqlite3_stmt *statement, int index, struct str text);
/* Borrowed until the statement moves. */
struct str database_column(sqlite3_stmt *statement, int index);
