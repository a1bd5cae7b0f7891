/* SPDX-License-Identifier: Apache-2.0 */
#include "store/journal.h"

#include "base/buf.h"
#include "base/check.h"
#include "base/hash.h"
#include "store/database.h"
#include "store/journal_memory.h"

#include <errno.h>

#define APPLICATION 0x54736a31u /* "Tsj1" */
#define TRUNCATE_STEP "256"

static const char schema[] =
    "CREATE TABLE command_group(seq_last INTEGER PRIMARY KEY, seq_first INTEGER NOT NULL,"
    " digest INTEGER NOT NULL, time_ms INTEGER NOT NULL, engine_version INTEGER NOT NULL,"
    " checksum INTEGER NOT NULL, commands BLOB NOT NULL) STRICT;"
    "CREATE TABLE event_group(seq_last INTEGER PRIMARY KEY, seq_first INTEGER NOT NULL,"
    " digest INTEGER NOT NULL, time_ms INTEGER NOT NULL, engine_version INTEGER NOT NULL,"
    " checksum INTEGER NOT NULL, events BLOB NOT NULL) STRICT;";

struct journal {
    struct journal_memory *memory; /* then there is no db */
    sqlite3 *db;
    sqlite3_stmt *begin, *add_commands, *add_events, *commit, *drop_commands, *drop_events;
    struct journal_group last;
    uint64_t start;
    bool stopped; /* an append failed in a way that leaves its outcome open */
};

struct journal_reader {
    struct journal_memory *memory; /* likewise */
    sqlite3 *db;
    sqlite3_stmt *commands, *events;
    struct journal_bytes bytes; /* of the last group: no read stays open between calls */
};

static uint64_t bytes_checksum(uint64_t seq_last, struct str bytes)
{
    return digest_add(seq_last, bytes.data, bytes.size);
}

static int connection_open(sqlite3 **ret, const struct journal_options *options, enum database_mode mode,
                           struct error *err)
{
    return database_open(ret,
                         &(struct database_options){.path = options->path,
                                                    .vfs = options->vfs,
                                                    .mode = mode,
                                                    .application = APPLICATION,
                                                    .format = options->format,
                                                    .schema = schema},
                         err);
}

static int writer_prepare(struct journal *j, struct error *err)
{
    const struct {
        sqlite3_stmt **statement;
        const char *sql;
    } statements[] = {
        {&j->begin, "BEGIN IMMEDIATE"},
        {&j->add_commands, "INSERT INTO command_group VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7)"},
        {&j->add_events, "INSERT INTO event_group VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7)"},
        {&j->commit, "COMMIT"},
        {&j->drop_commands,
         "DELETE FROM command_group WHERE seq_last IN (SELECT seq_last FROM command_group WHERE seq_last < ?1"
         " ORDER BY seq_last LIMIT " TRUNCATE_STEP ")"},
        {&j->drop_events,
         "DELETE FROM event_group WHERE seq_last IN (SELECT seq_last FROM event_group WHERE seq_last < ?1"
         " ORDER BY seq_last LIMIT " TRUNCATE_STEP ")"},
    };
    int r = 0;
    for (size_t i = 0; i < ARRAY_COUNT(statements) && r == 0; i++)
        r = database_prepare(j->db, statements[i].statement, statements[i].sql, err);
    return r;
}

static struct journal_group row_group(sqlite3_stmt *row)
{
    return (struct journal_group){
        .seq_last = (uint64_t)sqlite3_column_int64(row, 0),
        .seq_first = (uint64_t)sqlite3_column_int64(row, 1),
        .digest = (uint64_t)sqlite3_column_int64(row, 2),
        .time = sqlite3_column_int64(row, 3),
        .engine_version = (uint32_t)sqlite3_column_int64(row, 4),
    };
}

/* One group without its bytes; zero where the table is empty. */
static int group_find(sqlite3 *db, const char *sql, struct journal_group *ret, struct error *err)
{
    sqlite3_stmt *statement = NULL;
    int r = database_prepare(db, &statement, sql, err);
    if (r < 0)
        return r;
    int rc = sqlite3_step(statement);
    if (rc == SQLITE_ROW)
        *ret = row_group(statement);
    else if (rc != SQLITE_DONE)
        r = database_error(db, rc, "read the journal", err);
    sqlite3_finalize(statement);
    return r;
}

#define GROUP_COLUMNS "seq_last, seq_first, digest, time_ms, engine_version"

static int ends_find(struct journal *j, struct error *err)
{
    struct journal_group first = {.seq_first = 1};
    int r = group_find(j->db, "SELECT " GROUP_COLUMNS " FROM command_group ORDER BY seq_last DESC LIMIT 1", &j->last, err);
    if (r == 0)
        r = group_find(j->db, "SELECT " GROUP_COLUMNS " FROM command_group ORDER BY seq_last LIMIT 1", &first, err);
    j->start = first.seq_first - 1;
    return r;
}

int journal_open(struct journal **ret, const struct journal_options *options, struct error *err)
{
    _cleanup_journal_ struct journal *j = xcalloc(1, sizeof *j);
    if ((j->memory = options->memory)) {
        j->last = journal_memory_last(j->memory);
        j->start = journal_memory_start(j->memory);
        *ret = TAKE(j);
        return 0;
    }
    int r = connection_open(&j->db, options, options->create ? DATABASE_CREATE : DATABASE_WRITE, err);
    if (r == 0)
        r = writer_prepare(j, err);
    if (r == 0)
        r = ends_find(j, err);
    if (r == 0)
        *ret = TAKE(j);
    return r;
}

void journal_close(struct journal *j)
{
    if (j == NULL)
        return;
    sqlite3_stmt *statements[] = {j->begin, j->add_commands, j->add_events, j->commit, j->drop_commands, j->drop_events};
    for (size_t i = 0; i < ARRAY_COUNT(statements); i++)
        sqlite3_finalize(statements[i]);
    database_close(&j->db);
    xfree(j);
}

static int group_insert(sqlite3_stmt *statement, const struct journal_group *group, struct str bytes, struct error *err)
{
    database_bind_u64(statement, 1, group->seq_last);
    database_bind_u64(statement, 2, group->seq_first);
    database_bind_u64(statement, 3, group->digest);
    sqlite3_bind_int64(statement, 4, group->time);
    sqlite3_bind_int64(statement, 5, group->engine_version);
    database_bind_u64(statement, 6, bytes_checksum(group->seq_last, bytes));
    database_bind_blob(statement, 7, bytes);
    return database_run(statement, "append to the journal", err);
}

static int group_commit(struct journal *j, const struct journal_group *group, struct error *err)
{
    int r = database_run(j->begin, "append to the journal", err);
    if (r == 0)
        r = group_insert(j->add_commands, group, group->commands, err);
    if (r == 0)
        r = group_insert(j->add_events, group, group->events, err);
    if (r == 0)
        r = database_run(j->commit, "append to the journal", err);
    if (r < 0)
        database_rollback(j->db);
    return r;
}

static int stopped_error(struct journal *j, struct error *err)
{
    return error_set(err, -EIO, "%s: the journal stopped at an earlier error; start again to find what it holds",
                     sqlite3_db_filename(j->db, "main"));
}

/* A sync that failed once may pass at the second try without the data, which the kernel dropped;
 * only what never got as far as a sync may be tried again. */
static int failure_note(struct journal *j, int r)
{
    if (r != -ENOSPC)
        j->stopped = true;
    return r;
}

int journal_append(struct journal *j, const struct journal_group *group, struct error *err)
{
    CHECK(group->seq_first == j->last.seq_last + 1 && group->seq_last >= group->seq_first);
    int r = 0;
    if (j->memory)
        journal_memory_append(j->memory, group);
    else
        r = j->stopped ? stopped_error(j, err) : group_commit(j, group, err);
    if (r < 0)
        return failure_note(j, r);
    j->last = *group;
    j->last.commands = j->last.events = (struct str){};
    return 0;
}

struct journal_group journal_last(const struct journal *j)
{
    return j->last;
}

uint64_t journal_start(const struct journal *j)
{
    return j->start;
}

static int rows_drop(struct journal *j, sqlite3_stmt *statement, uint64_t before, struct error *err)
{
    database_bind_u64(statement, 1, MIN(before, j->last.seq_last));
    int r = database_run(statement, "truncate the journal", err);
    return r < 0 ? r : sqlite3_changes(j->db);
}

int journal_truncate(struct journal *j, uint64_t commands_before, uint64_t events_before, struct error *err)
{
    if (j->memory) {
        journal_memory_truncate(j->memory, commands_before, events_before);
        j->start = journal_memory_start(j->memory);
        return 0;
    }
    if (j->stopped)
        return stopped_error(j, err);
    int r = database_run(j->begin, "truncate the journal", err);
    int commands = r, events = r;
    if (r == 0)
        commands = r = rows_drop(j, j->drop_commands, commands_before, err);
    if (r >= 0)
        events = r = rows_drop(j, j->drop_events, events_before, err);
    if (r >= 0)
        r = database_run(j->commit, "truncate the journal", err);
    if (r < 0) {
        database_rollback(j->db);
        return failure_note(j, r);
    }
    struct journal_group last = j->last;
    r = ends_find(j, err);
    CHECK(r < 0 || last.seq_last == j->last.seq_last);
    return r < 0 ? r : commands + events > 0;
}

int journal_read_open(struct journal_reader **ret, const struct journal_options *options, struct error *err)
{
    _cleanup_journal_reader_ struct journal_reader *r = xcalloc(1, sizeof *r);
    r->bytes.commands.limit = r->bytes.events.limit = BUF_LIMIT_DEFAULT;
    if ((r->memory = options->memory)) {
        *ret = TAKE(r);
        return 0;
    }
    int result = connection_open(&r->db, options, DATABASE_READ, err);
    if (result == 0)
        result = database_prepare(r->db, &r->commands,
                                  "SELECT c.seq_last, c.seq_first, c.digest, c.time_ms, c.engine_version, c.checksum,"
                                  " c.commands, e.checksum, e.events FROM command_group c LEFT JOIN event_group e USING(seq_last)"
                                  " WHERE c.seq_last > ?1 ORDER BY c.seq_last LIMIT 1",
                                  err);
    if (result == 0)
        result = database_prepare(r->db, &r->events,
                                  "SELECT " GROUP_COLUMNS ", checksum, events FROM event_group"
                                  " WHERE seq_last > ?1 ORDER BY seq_last LIMIT 1",
                                  err);
    if (result == 0)
        *ret = TAKE(r);
    return result;
}

void journal_read_close(struct journal_reader *r)
{
    if (r == NULL)
        return;
    sqlite3_finalize(r->commands);
    sqlite3_finalize(r->events);
    buf_fini(&r->bytes.commands);
    buf_fini(&r->bytes.events);
    database_close(&r->db);
    xfree(r);
}

static int damaged(sqlite3 *db, const struct journal_group *group, struct error *err)
{
    return error_set(err, -EBADMSG, "%s: commands %llu to %llu are not what was written: the file is damaged",
                     sqlite3_db_filename(db, "main"), (unsigned long long)group->seq_first,
                     (unsigned long long)group->seq_last);
}

/* 1 where a row stands after seq; 0 at the end. */
static int row_next(sqlite3_stmt *statement, uint64_t seq, struct error *err)
{
    database_bind_u64(statement, 1, seq);
    int rc = sqlite3_step(statement);
    if (rc == SQLITE_ROW)
        return 1;
    int r = rc == SQLITE_DONE ? 0 : database_error(sqlite3_db_handle(statement), rc, "read the journal", err);
    sqlite3_reset(statement);
    return r;
}

/* Takes checksum and bytes from two columns; an absent row of a join is empty. */
static bool bytes_take(sqlite3_stmt *row, int column, uint64_t seq_last, struct buf *out)
{
    buf_clear(out);
    if (sqlite3_column_type(row, column) == SQLITE_NULL)
        return true;
    buf_append_str(out, database_column(row, column + 1));
    return !out->overflow && (uint64_t)sqlite3_column_int64(row, column) == bytes_checksum(seq_last, buf_str(out));
}

static int missing(const char *journal, uint64_t seq, const struct journal_group *group, struct error *err)
{
    return error_set(err, -EBADMSG, "%s: commands %llu to %llu are missing", journal, (unsigned long long)seq + 1,
                     (unsigned long long)group->seq_first - 1);
}

static int memory_next(struct journal_reader *r, uint64_t seq, struct journal_group *ret, struct error *err)
{
    if (!journal_memory_read(r->memory, seq, false, ret, &r->bytes))
        return 0;
    return ret->seq_first > seq + 1 ? missing("the journal in memory", seq, ret, err) : 1;
}

int journal_read_next(struct journal_reader *r, uint64_t seq, struct journal_group *ret, struct error *err)
{
    if (r->memory)
        return memory_next(r, seq, ret, err);
    int result = row_next(r->commands, seq, err);
    if (result <= 0)
        return result;
    struct journal_group group = row_group(r->commands);
    bool whole = bytes_take(r->commands, 5, group.seq_last, &r->bytes.commands) &&
                 bytes_take(r->commands, 7, group.seq_last, &r->bytes.events);
    sqlite3_reset(r->commands);
    if (!whole)
        return damaged(r->db, &group, err);
    if (group.seq_first > seq + 1)
        return missing(sqlite3_db_filename(r->db, "main"), seq, &group, err);
    group.commands = buf_str(&r->bytes.commands);
    group.events = buf_str(&r->bytes.events);
    *ret = group;
    return 1;
}

int journal_read_events(struct journal_reader *r, uint64_t seq, struct journal_group *ret, struct error *err)
{
    if (r->memory)
        return journal_memory_read(r->memory, seq, true, ret, &r->bytes);
    int result = row_next(r->events, seq, err);
    if (result <= 0)
        return result;
    struct journal_group group = row_group(r->events);
    bool whole = bytes_take(r->events, 5, group.seq_last, &r->bytes.events);
    sqlite3_reset(r->events);
    if (!whole)
        return damaged(r->db, &group, err);
    group.events = buf_str(&r->bytes.events);
    *ret = group;
    return 1;
}

struct journal_checkpointer {
    sqlite3 *db;
};

int journal_checkpoint_open(struct journal_checkpointer **ret, const struct journal_options *options, struct error *err)
{
    sqlite3 *db = NULL;
    int r = connection_open(&db, options, DATABASE_WRITE, err);
    if (r < 0)
        return r;
    *ret = xcalloc(1, sizeof **ret);
    (*ret)->db = db;
    return 0;
}

void journal_checkpoint_close(struct journal_checkpointer *c)
{
    if (c == NULL)
        return;
    database_close(&c->db);
    xfree(c);
}

int journal_checkpoint_passive(struct journal_checkpointer *c, struct error *err)
{
    return database_checkpoint(c->db, err);
}
