/* SPDX-License-Identifier: Apache-2.0 */
#include "store/table.h"

#include "base/check.h"
#include "store/table_schema.h"

#include <errno.h>

#define CACHED_MAX 64 /* forms of tables_put in the program, not in the data */
#define TRIM_STEP "1000"

struct cached {
    enum table table;
    const char *columns;
    sqlite3_stmt *statement;
};

struct tables {
    sqlite3 *db;
    sqlite3_stmt *begin, *commit, *move;
    struct cached cached[CACHED_MAX];
    size_t cached_count;
    struct table_position position;
};

static int position_load(struct tables *t, struct error *err)
{
    sqlite3_stmt *row = NULL;
    int r = database_prepare(t->db, &row, "SELECT seq, position FROM cursor", err);
    if (r < 0)
        return r;
    int rc = sqlite3_step(row);
    if (rc == SQLITE_ROW)
        t->position = (struct table_position){(uint64_t)sqlite3_column_int64(row, 0), (uint64_t)sqlite3_column_int64(row, 1)};
    else
        r = database_error(t->db, rc == SQLITE_DONE ? SQLITE_CORRUPT : rc, "read its position", err);
    sqlite3_finalize(row);
    return r;
}

int tables_open(struct tables **ret, const struct tables_options *options, struct error *err)
{
    _cleanup_tables_ struct tables *t = xcalloc(1, sizeof *t);
    _cleanup_buf_ struct buf schema = BUF_INIT(BUF_LIMIT_DEFAULT);
    tables_schema_sql(&schema);
    int r = database_open(&t->db,
                          &(struct database_options){.path = options->path,
                                                     .vfs = options->vfs,
                                                     .mode = options->create ? DATABASE_CREATE : DATABASE_WRITE,
                                                     .application = TABLES_APPLICATION,
                                                     .format = TABLES_FORMAT,
                                                     .schema = buf_text(&schema)},
                          err);
    if (r == 0)
        r = database_prepare(t->db, &t->begin, "BEGIN IMMEDIATE", err);
    if (r == 0)
        r = database_prepare(t->db, &t->commit, "COMMIT", err);
    if (r == 0)
        r = database_prepare(t->db, &t->move, "UPDATE cursor SET seq = ?1, position = ?2", err);
    if (r == 0)
        r = position_load(t, err);
    if (r == 0)
        *ret = TAKE(t);
    return r;
}

void tables_close(struct tables *t)
{
    if (t == NULL)
        return;
    sqlite3_finalize(t->begin);
    sqlite3_finalize(t->commit);
    sqlite3_finalize(t->move);
    for (size_t i = 0; i < t->cached_count; i++)
        sqlite3_finalize(t->cached[i].statement);
    database_close(&t->db);
    xfree(t);
}

struct table_position tables_position(const struct tables *t)
{
    return t->position;
}

int tables_begin(struct tables *t, struct error *err)
{
    return database_run(t->begin, "begin", err);
}

int tables_commit(struct tables *t, struct table_position position, struct error *err)
{
    database_bind_u64(t->move, 1, position.seq);
    database_bind_u64(t->move, 2, position.position);
    int r = database_run(t->move, "move its position", err);
    if (r == 0)
        r = database_run(t->commit, "commit", err);
    if (r == 0)
        t->position = position;
    return r;
}

void tables_rollback(struct tables *t)
{
    database_rollback(t->db);
}

int tables_checkpoint(struct tables *t, struct error *err)
{
    return database_checkpoint(t->db, err);
}

/* " ON CONFLICT(keys) DO UPDATE SET state = excluded.state, cost = cost + excluded.cost" */
static void changes_sql(const struct table_schema *schema, struct str columns, struct buf *out)
{
    buf_printf(out, " ON CONFLICT(%s) DO UPDATE SET ", schema->keys);
    for (bool first = true; columns.size > 0; first = false) {
        struct str name = str_cut(&columns, ' ');
        bool adds = str_starts(name, STR("+"));
        if (adds)
            name = (struct str){name.data + 1, name.size - 1};
        const struct column *column = table_column(schema, name);
        CHECK(column != NULL);
        if (adds)
            buf_printf(out, "%s%s = %s.%s + excluded.%s", first ? "" : ", ", column->name, schema->name, column->name,
                       column->name);
        else
            buf_printf(out, "%s%s = excluded.%s", first ? "" : ", ", column->name, column->name);
    }
}

static int put_prepare(struct tables *t, enum table table, const char *columns, sqlite3_stmt **ret, struct error *err)
{
    for (size_t i = 0; i < t->cached_count; i++)
        if (t->cached[i].table == table && t->cached[i].columns == columns) {
            *ret = t->cached[i].statement;
            return 0;
        }
    CHECK(t->cached_count < CACHED_MAX);
    const struct table_schema *schema = &table_schemas[table];
    _cleanup_buf_ struct buf sql = BUF_INIT(BUF_LIMIT_DEFAULT);
    buf_printf(&sql, "INSERT %sINTO %s VALUES(", columns ? "" : "OR REPLACE ", schema->name);
    for (size_t i = 0; i < schema->count; i++)
        buf_printf(&sql, "%s?%zu", i ? ", " : "", i + 1);
    buf_append_text(&sql, ")");
    if (columns)
        changes_sql(schema, str_from(columns), &sql);
    int r = database_prepare(t->db, ret, buf_text(&sql), err);
    if (r == 0)
        t->cached[t->cached_count++] = (struct cached){table, columns, *ret};
    return r;
}

static void column_bind(sqlite3_stmt *statement, int index, const struct column *column, const char *row)
{
    const void *at = row + column->offset;
    switch (column->type) {
    case COLUMN_U64: database_bind_u64(statement, index, *(const uint64_t *)at); break;
    case COLUMN_I64: sqlite3_bind_int64(statement, index, *(const int64_t *)at); break;
    case COLUMN_BOOL: sqlite3_bind_int64(statement, index, *(const bool *)at); break;
    case COLUMN_TEXT: database_bind_text(statement, index, *(const struct str *)at); break;
    }
}

int tables_put(struct tables *t, enum table table, const void *row, const char *columns, struct error *err)
{
    const struct table_schema *schema = &table_schemas[table];
    sqlite3_stmt *statement = NULL;
    int r = put_prepare(t, table, columns, &statement, err);
    if (r < 0)
        return r;
    for (size_t i = 0; i < schema->count; i++)
        column_bind(statement, (int)i + 1, &schema->columns[i], row);
    return database_run(statement, schema->name, err);
}

/* Both look at no more rows than they delete: events are in the order of time, and of prices each
 * pool's first rows are its oldest. */
static const char *trim_sql(enum table table)
{
    if (table == TABLE_EVENT)
        return "DELETE FROM events WHERE (seq, position) IN (SELECT seq, position FROM (SELECT seq, position, at_ms"
               " FROM events ORDER BY seq, position LIMIT " TRIM_STEP ") WHERE at_ms < ?1)";
    CHECK(table == TABLE_PRICE);
    return "DELETE FROM prices WHERE (pool, at_ms) IN (WITH RECURSIVE pools(pool) AS (SELECT min(pool) FROM prices"
           " UNION ALL SELECT (SELECT min(p.pool) FROM prices p WHERE p.pool > pools.pool) FROM pools"
           " WHERE pools.pool IS NOT NULL) SELECT p.pool, p.at_ms FROM pools JOIN prices p ON p.pool = pools.pool"
           " WHERE p.at_ms < ?1 LIMIT " TRIM_STEP ")";
}

int tables_trim(struct tables *t, enum table table, time_ms before, struct error *err)
{
    sqlite3_stmt *statement = NULL;
    int r = database_prepare(t->db, &statement, trim_sql(table), err);
    if (r < 0)
        return r;
    sqlite3_bind_int64(statement, 1, before);
    r = database_run(statement, "trim", err);
    sqlite3_finalize(statement);
    return r < 0 ? r : sqlite3_changes(t->db) > 0;
}
