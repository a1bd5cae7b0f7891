/* SPDX-License-Identifier: Apache-2.0 */
#include "server/outbox.h"

#include "base/check.h"
#include "base/memory.h"
#include "store/database.h"

#include <errno.h>
#include <stdio.h>

#define APPLICATION 0x54534f42u /* "TSOB" */
#define FORMAT 1
#define LANE_COLUMNS "id, attempts, due_ms, failing_ms, delivered, delivered_ms, status, disabled_ms, error"

enum statement { PUT, FIRST, MAKE, MOVE, TAKE_ONE, TAKE_ALL, RECORD, DROP, STATEMENT_COUNT };
static const char *const statement_texts[STATEMENT_COUNT] = {
    [PUT] = "INSERT INTO items(lane, id, type, recipient, subject, body, at_ms) VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7)",
    [FIRST] = "SELECT number, id, type, recipient, subject, body, at_ms FROM items WHERE lane = ?1 ORDER BY number LIMIT 1",
    [MAKE] = "INSERT OR IGNORE INTO lanes VALUES(?1, 0, 0, 0, 0, 0, 0, 0, '')",
    [MOVE] = "UPDATE cursor SET seq = ?1, position = ?2",
    [TAKE_ONE] = "DELETE FROM items WHERE number = ?1",
    [TAKE_ALL] = "DELETE FROM items WHERE lane = ?1",
    [RECORD] = ("UPDATE lanes SET attempts = ?2, due_ms = ?3, failing_ms = ?4, delivered = ?5, delivered_ms = ?6, status = ?7,"
               " disabled_ms = ?8, error = ?9 WHERE id = ?1"),
    [DROP] = "DELETE FROM lanes WHERE id = ?1",
};

static const char schema[] =
    "CREATE TABLE cursor(id INTEGER PRIMARY KEY CHECK(id = 1), seq INTEGER NOT NULL, position INTEGER NOT NULL,"
    " begun_ms INTEGER NOT NULL) STRICT;"
    "CREATE TABLE lanes(id INTEGER PRIMARY KEY, attempts INTEGER NOT NULL, due_ms INTEGER NOT NULL, failing_ms INTEGER NOT NULL,"
    " delivered INTEGER NOT NULL, delivered_ms INTEGER NOT NULL, status INTEGER NOT NULL, disabled_ms INTEGER NOT NULL,"
    " error TEXT NOT NULL) STRICT;"
    "CREATE TABLE items(number INTEGER PRIMARY KEY AUTOINCREMENT, lane INTEGER NOT NULL, id TEXT NOT NULL, type TEXT NOT NULL,"
    " recipient TEXT NOT NULL, subject TEXT NOT NULL, body TEXT NOT NULL, at_ms INTEGER NOT NULL) STRICT;"
    "CREATE INDEX items_1 ON items(lane, number);";

struct outbox {
    sqlite3 *db;
    sqlite3_stmt *statements[STATEMENT_COUNT];
    struct table_position cursor;
    time_ms begun;
};

static int cursor_make(struct outbox *o, time_ms now, struct error *err)
{
    sqlite3_stmt *insert = NULL;
    int r = database_prepare(o->db, &insert, "INSERT OR IGNORE INTO cursor VALUES(1, 0, 0, ?1)", err);
    if (r < 0)
        return r;
    sqlite3_bind_int64(insert, 1, now);
    r = database_run(insert, "begin it", err);
    sqlite3_finalize(insert);
    return r;
}

static int cursor_read(struct outbox *o, struct error *err)
{
    sqlite3_stmt *row = NULL;
    int r = database_prepare(o->db, &row, "SELECT seq, position, begun_ms FROM cursor", err);
    if (r < 0)
        return r;
    int rc = sqlite3_step(row);
    if (rc == SQLITE_ROW) {
        o->cursor = (struct table_position){(uint64_t)sqlite3_column_int64(row, 0), (uint64_t)sqlite3_column_int64(row, 1)};
        o->begun = sqlite3_column_int64(row, 2);
    } else {
        r = database_error(o->db, rc == SQLITE_DONE ? SQLITE_CORRUPT : rc, "read its cursor", err);
    }
    sqlite3_finalize(row);
    return r;
}

int outbox_open(struct outbox **ret, const char *path, time_ms now, struct error *err)
{
    const struct database_options options = {.path = path, .mode = DATABASE_CREATE, .application = APPLICATION, .format = FORMAT, .schema = schema};
    struct outbox *o = xcalloc(1, sizeof *o);
    int r = database_open(&o->db, &options, err);
    for (size_t i = 0; r == 0 && i < STATEMENT_COUNT; i++)
        r = database_prepare(o->db, &o->statements[i], statement_texts[i], err);
    if (r == 0)
        r = cursor_make(o, now, err);
    if (r == 0)
        r = cursor_read(o, err);
    if (r == 0)
        *ret = TAKE(o);
    outbox_close(o);
    return r;
}

void outbox_close(struct outbox *o)
{
    if (o == NULL)
        return;
    for (size_t i = 0; i < STATEMENT_COUNT; i++)
        sqlite3_finalize(o->statements[i]);
    database_close(&o->db);
    xfree(o);
}

struct table_position outbox_cursor(const struct outbox *o)
{
    return o->cursor;
}

time_ms outbox_begun(const struct outbox *o)
{
    return o->begun;
}

/* ---- putting ---- */

int outbox_begin(struct outbox *o, struct error *err)
{
    return database_exec(o->db, "BEGIN IMMEDIATE", "begin", err);
}

int outbox_put(struct outbox *o, const struct outbox_item *item, struct error *err)
{
    sqlite3_stmt *put = o->statements[PUT];
    const struct str texts[] = {item->id, item->type, item->recipient, item->subject, item->body};
    database_bind_u64(put, 1, item->lane);
    for (size_t i = 0; i < ARRAY_COUNT(texts); i++)
        database_bind_text(put, (int)i + 2, texts[i]);
    sqlite3_bind_int64(put, 7, item->at);
    return database_run(put, "put an item", err);
}

int outbox_lane_make(struct outbox *o, uint64_t lane, struct error *err)
{
    database_bind_u64(o->statements[MAKE], 1, lane);
    return database_run(o->statements[MAKE], "make a lane", err);
}

int outbox_commit(struct outbox *o, struct table_position cursor, struct error *err)
{
    database_bind_u64(o->statements[MOVE], 1, cursor.seq);
    database_bind_u64(o->statements[MOVE], 2, cursor.position);
    int r = database_run(o->statements[MOVE], "move the cursor", err);
    if (r == 0)
        r = database_exec(o->db, "COMMIT", "commit", err);
    if (r == 0)
        o->cursor = cursor;
    return r;
}

void outbox_rollback(struct outbox *o)
{
    database_rollback(o->db);
}

/* ---- taking ---- */

int outbox_first(struct outbox *o, uint64_t lane, struct arena *arena, struct outbox_item *ret, struct error *err)
{
    sqlite3_stmt *first = o->statements[FIRST];
    database_bind_u64(first, 1, lane);
    int rc = sqlite3_step(first);
    if (rc == SQLITE_ROW)
        *ret = (struct outbox_item){
            .number = (uint64_t)sqlite3_column_int64(first, 0), .lane = lane, .id = arena_str(arena, database_column(first, 1)),
            .type = arena_str(arena, database_column(first, 2)), .recipient = arena_str(arena, database_column(first, 3)),
            .subject = arena_str(arena, database_column(first, 4)), .body = arena_str(arena, database_column(first, 5)),
            .at = sqlite3_column_int64(first, 6)};
    sqlite3_reset(first);
    return rc == SQLITE_ROW ? 1 : rc == SQLITE_DONE ? 0 : database_error(o->db, rc, "read an item", err);
}

static int lane_write(struct outbox *o, const struct outbox_lane *lane, struct error *err)
{
    sqlite3_stmt *record = o->statements[RECORD];
    const int64_t numbers[] = {(int64_t)lane->id, lane->attempts, lane->due, lane->failing, lane->delivered, lane->delivered_at,
                               lane->status, lane->disabled};
    for (size_t i = 0; i < ARRAY_COUNT(numbers); i++)
        sqlite3_bind_int64(record, (int)i + 1, numbers[i]);
    database_bind_text(record, 9, str_from(lane->error));
    return database_run(record, "keep a lane", err);
}

int outbox_record(struct outbox *o, const struct outbox_lane *lane, uint64_t number, struct error *err)
{
    sqlite3_stmt *taken = o->statements[lane->disabled ? TAKE_ALL : TAKE_ONE];
    int r = outbox_begin(o, err);
    if (r == 0)
        r = lane_write(o, lane, err);
    database_bind_u64(taken, 1, lane->disabled ? lane->id : number);
    if (r == 0)
        r = database_run(taken, "take items away", err);
    if (r == 0)
        r = database_exec(o->db, "COMMIT", "commit", err);
    database_rollback(o->db);
    return r;
}

static void lane_read(sqlite3_stmt *row, struct outbox_lane *ret)
{
    int64_t *const numbers[] = {&ret->attempts, &ret->due, &ret->failing, &ret->delivered, &ret->delivered_at, &ret->status, &ret->disabled};
    *ret = (struct outbox_lane){.id = (uint64_t)sqlite3_column_int64(row, 0), .waiting = sqlite3_column_int64(row, 9)};
    for (size_t i = 0; i < ARRAY_COUNT(numbers); i++)
        *numbers[i] = sqlite3_column_int64(row, (int)i + 1);
    snprintf(ret->error, sizeof ret->error, "%.*s", STR_ARGS(database_column(row, 8)));
}

int outbox_lanes(struct outbox *o, struct arena *arena, struct outbox_lane **ret, size_t *ret_count, struct error *err)
{
    sqlite3_stmt *rows = NULL;
    struct outbox_lane *lanes = NULL;
    size_t count = 0, capacity = 0;
    int r = database_prepare(o->db, &rows, "SELECT " LANE_COLUMNS ", (SELECT count(*) FROM items WHERE lane = lanes.id) FROM lanes ORDER BY id", err);
    if (r < 0)
        return r;
    int rc;
    while ((rc = sqlite3_step(rows)) == SQLITE_ROW) {
        ARRAY_RESERVE(lanes, count, capacity);
        lane_read(rows, &lanes[count++]);
    }
    sqlite3_finalize(rows);
    *ret = arena_alloc(arena, (count + 1) * sizeof **ret);
    *ret_count = count;
    CHECK(*ret);
    if (count)
        memcpy(*ret, lanes, count * sizeof *lanes);
    xfree(lanes);
    return rc == SQLITE_DONE ? 0 : database_error(o->db, rc, "read the lanes", err);
}

int outbox_lane_drop(struct outbox *o, uint64_t lane, struct error *err)
{
    int r = outbox_begin(o, err);
    database_bind_u64(o->statements[TAKE_ALL], 1, lane);
    database_bind_u64(o->statements[DROP], 1, lane);
    if (r == 0)
        r = database_run(o->statements[TAKE_ALL], "drop a lane", err);
    if (r == 0)
        r = database_run(o->statements[DROP], "drop a lane", err);
    if (r == 0)
        r = database_exec(o->db, "COMMIT", "commit", err);
    database_rollback(o->db);
    return r;
}
