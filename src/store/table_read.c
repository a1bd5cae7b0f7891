/* SPDX-License-Identifier: Apache-2.0 */
#include "base/check.h"
#include "store/table_schema.h"

#include <errno.h>
#include <string.h>

#define LIMIT_DEFAULT 1000
#define FORMS_MAX 32 /* combinations of filters kept prepared; the oldest gives way */
#define PARAMETER_AFTER 10
#define PARAMETER_AFTER_POSITION 12
#define PARAMETER_LIMIT 13
#define PARAMETER_STEP 14

struct form {
    enum table table;
    unsigned filters; /* bits 1 << enum filter, and FORM_… */
    sqlite3_stmt *statement;
};
#define FORM_STEP (1u << FILTER_COUNT)
#define FORM_SUMS (1u << (FILTER_COUNT + 1))

struct tables_reader {
    sqlite3 *db;
    struct form forms[FORMS_MAX];
    size_t next;
};

int tables_read_open(struct tables_reader **ret, const struct tables_options *options, struct error *err)
{
    _cleanup_tables_reader_ struct tables_reader *r = xcalloc(1, sizeof *r);
    int result = database_open(&r->db,
                               &(struct database_options){.path = options->path,
                                                          .vfs = options->vfs,
                                                          .mode = DATABASE_READ,
                                                          .application = TABLES_APPLICATION,
                                                          .format = TABLES_FORMAT,
                                                          .schema = ""},
                               err);
    if (result == 0)
        *ret = TAKE(r);
    return result;
}

void tables_read_close(struct tables_reader *r)
{
    if (r == NULL)
        return;
    for (size_t i = 0; i < FORMS_MAX; i++)
        sqlite3_finalize(r->forms[i].statement);
    database_close(&r->db);
    xfree(r);
}

static unsigned filters_of(const struct table_query *q)
{
    const bool set[FILTER_COUNT] = {
        [FILTER_ID] = q->id > 0,
        [FILTER_WORKLOAD] = q->workload > 0,
        [FILTER_ATTEMPT] = q->attempt > 0,
        [FILTER_PROJECT] = q->project.size > 0,
        [FILTER_STATE] = q->state.size > 0,
        [FILTER_TYPE] = q->type.size > 0,
        [FILTER_POOL] = q->pool.size > 0,
        [FILTER_FROM] = q->from_ms > 0,
        [FILTER_TO] = q->to_ms > 0,
        [FILTER_AFTER] = q->after.seq > 0 || q->after.position > 0,
        [FILTER_BEFORE] = q->before > 0,
    };
    unsigned filters = (q->step_ms > 0 ? FORM_STEP : 0) | (q->sums ? FORM_SUMS : 0);
    for (unsigned i = 0; i < FILTER_COUNT; i++)
        filters |= set[i] ? 1u << i : 0;
    return filters;
}

static void condition_sql(const struct table_schema *schema, enum filter filter, struct buf *out)
{
    static const char *const columns[FILTER_COUNT] = {
        [FILTER_ID] = "id",           [FILTER_WORKLOAD] = "workload", [FILTER_ATTEMPT] = "attempt",
        [FILTER_PROJECT] = "project", [FILTER_STATE] = "state",       [FILTER_TYPE] = "type",
        [FILTER_POOL] = "pool",
    };
    int parameter = (int)filter + 1;
    if (columns[filter]) {
        CHECK(table_column(schema, str_from(columns[filter])) != NULL);
        /* The partial indexes are used only where the condition says the same; it is true anyway. */
        const char *also = filter == FILTER_WORKLOAD ? " AND workload <> 0" : filter == FILTER_PROJECT ? " AND project <> ''" : "";
        buf_printf(out, "%s = ?%d%s", columns[filter], parameter, also);
    } else if (filter == FILTER_FROM || filter == FILTER_TO) {
        CHECK(schema->time != NULL);
        buf_printf(out, "%s %s ?%d", schema->time, filter == FILTER_FROM ? ">=" : "<", parameter);
    } else if (filter == FILTER_AFTER) {
        CHECK(schema->after != NULL);
        buf_append_text(out, schema->after);
    } else {
        CHECK(schema == &table_schemas[TABLE_WORKLOAD]);
        buf_printf(out, "id < ?%d", parameter);
    }
}

static const char entry_sums[] = "0, 0, max(at_ms), max(project), debit, credit, sum(amount_udollar), 0, max(pool)";

static void select_sql(enum table table, unsigned filters, struct buf *out)
{
    const struct table_schema *schema = &table_schemas[table];
    buf_append_text(out, "SELECT ");
    if (filters & FORM_SUMS)
        buf_append_text(out, entry_sums);
    else
        table_names(schema, out);
    /* With max(), SQLite takes the other columns from the row that holds the maximum. */
    if (filters & FORM_STEP)
        buf_append_text(out, ", max(at_ms)");
    buf_printf(out, " FROM %s", schema->name);
    bool first = true;
    for (unsigned i = 0; i < FILTER_COUNT; i++)
        if (filters & (1u << i)) {
            buf_append_text(out, first ? " WHERE " : " AND ");
            condition_sql(schema, (enum filter)i, out);
            first = false;
        }
    if (filters & FORM_STEP) {
        CHECK(table == TABLE_PRICE);
        buf_printf(out, " GROUP BY pool, at_ms / ?%d", PARAMETER_STEP);
    }
    if (filters & FORM_SUMS) {
        CHECK(table == TABLE_ENTRY);
        buf_append_text(out, " GROUP BY debit, credit");
    }
    buf_printf(out, " ORDER BY %s LIMIT ?%d", filters & FORM_SUMS ? "debit, credit" : schema->order, PARAMETER_LIMIT);
}

void table_query_sql(const struct table_query *query, struct buf *out)
{
    select_sql(query->table, filters_of(query), out);
}

static int form_prepare(struct tables_reader *r, enum table table, unsigned filters, sqlite3_stmt **ret, struct error *err)
{
    for (size_t i = 0; i < FORMS_MAX; i++)
        if (r->forms[i].statement && r->forms[i].table == table && r->forms[i].filters == filters) {
            *ret = r->forms[i].statement;
            return 0;
        }
    _cleanup_buf_ struct buf sql = BUF_INIT(BUF_LIMIT_DEFAULT);
    select_sql(table, filters, &sql);
    int result = database_prepare(r->db, ret, buf_text(&sql), err);
    if (result < 0)
        return result;
    struct form *form = &r->forms[r->next++ % FORMS_MAX];
    sqlite3_finalize(form->statement);
    *form = (struct form){table, filters, *ret};
    return 0;
}

static void query_bind(sqlite3_stmt *statement, const struct table_query *q, size_t limit)
{
    sqlite3_clear_bindings(statement);
    const struct {
        int index;
        int64_t value;
    } numbers[] = {
        {FILTER_ID + 1, (int64_t)q->id},
        {FILTER_WORKLOAD + 1, (int64_t)q->workload},
        {FILTER_ATTEMPT + 1, q->attempt},
        {FILTER_FROM + 1, q->from_ms},
        {FILTER_TO + 1, q->to_ms},
        {PARAMETER_AFTER, (int64_t)q->after.seq},
        {FILTER_BEFORE + 1, (int64_t)q->before},
        {PARAMETER_AFTER_POSITION, (int64_t)q->after.position},
        {PARAMETER_LIMIT, (int64_t)limit + 1},
        {PARAMETER_STEP, q->step_ms},
    };
    /* All up to the limit's are known to every statement; the step's where it is used. */
    for (size_t i = 0; i < ARRAY_COUNT(numbers); i++)
        sqlite3_bind_int64(statement, numbers[i].index, numbers[i].value);
    database_bind_text(statement, FILTER_PROJECT + 1, q->project);
    database_bind_text(statement, FILTER_STATE + 1, q->state);
    database_bind_text(statement, FILTER_TYPE + 1, q->type);
    database_bind_text(statement, FILTER_POOL + 1, q->pool);
}

static bool column_take(sqlite3_stmt *from, int index, const struct column *column, char *row, struct arena *arena)
{
    void *at = row + column->offset;
    switch (column->type) {
    case COLUMN_U64: *(uint64_t *)at = (uint64_t)sqlite3_column_int64(from, index); return true;
    case COLUMN_I64: *(int64_t *)at = sqlite3_column_int64(from, index); return true;
    case COLUMN_BOOL: *(bool *)at = sqlite3_column_int64(from, index) != 0; return true;
    case COLUMN_TEXT: break;
    }
    struct str text = database_column(from, index), copy = arena_str(arena, text);
    *(struct str *)at = copy;
    return copy.data != NULL;
}

/* Rows are gathered in memory that grows and copied to the arena once their number is known. */
static int rows_take(sqlite3_stmt *from, const struct table_schema *schema, struct buf *rows, struct arena *arena,
                     struct error *err)
{
    int rc;
    while ((rc = sqlite3_step(from)) == SQLITE_ROW) {
        char *row = buf_reserve(rows, schema->size);
        bool fits = row != NULL;
        for (size_t i = 0; i < schema->count && fits; i++)
            fits = column_take(from, (int)i, &schema->columns[i], row, arena);
        if (!fits)
            return error_set(err, -EFBIG, "%s: the answer is too long; ask for fewer rows", schema->name);
        rows->size += schema->size;
    }
    return rc == SQLITE_DONE ? 0 : database_error(sqlite3_db_handle(from), rc, schema->name, err);
}

int tables_read(struct tables_reader *r, const struct table_query *query, struct arena *arena,
                struct table_page *ret, struct error *err)
{
    const struct table_schema *schema = &table_schemas[query->table];
    size_t limit = query->limit ? query->limit : LIMIT_DEFAULT;
    sqlite3_stmt *statement = NULL;
    int result = form_prepare(r, query->table, filters_of(query), &statement, err);
    if (result < 0)
        return result;
    _cleanup_buf_ struct buf rows = BUF_INIT(BUF_LIMIT_DEFAULT);
    query_bind(statement, query, limit);
    result = rows_take(statement, schema, &rows, arena, err);
    sqlite3_reset(statement);
    if (result < 0)
        return result;
    size_t count = rows.size / schema->size;
    struct table_page page = {.count = MIN(count, limit), .more = count > limit};
    page.rows = arena_alloc(arena, MAX(page.count, (size_t)1) * schema->size);
    if (page.rows == NULL)
        return error_set(err, -EFBIG, "%s: the answer is too long; ask for fewer rows", schema->name);
    if (page.count)
        memcpy(page.rows, rows.data, page.count * schema->size);
    *ret = page;
    return 0;
}

int tables_read_position(struct tables_reader *r, struct table_position *ret, struct error *err)
{
    sqlite3_stmt *row = NULL;
    int result = database_prepare(r->db, &row, "SELECT seq, position FROM cursor", err);
    if (result < 0)
        return result;
    int rc = sqlite3_step(row);
    if (rc == SQLITE_ROW)
        *ret = (struct table_position){(uint64_t)sqlite3_column_int64(row, 0), (uint64_t)sqlite3_column_int64(row, 1)};
    else
        result = database_error(r->db, rc == SQLITE_DONE ? SQLITE_CORRUPT : rc, "read its position", err);
    sqlite3_finalize(row);
    return result;
}
