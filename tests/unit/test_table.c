/* SPDX-License-Identifier: Apache-2.0 */
#include "base/check.h"
#include "store/table.h"
#include "store/table_schema.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct place {
    char dir[64], path[96];
    struct tables *tables;
    struct tables_reader *reader;
    struct arena arena;
    struct error err;
};

static int place_make(void **state)
{
    struct place *p = xcalloc(1, sizeof *p);
    snprintf(p->dir, sizeof p->dir, "%s/tessera-table-XXXXXX", getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp");
    if (mkdtemp(p->dir) == NULL)
        return -1;
    snprintf(p->path, sizeof p->path, "%s/tables.db", p->dir);
    struct tables_options options = {.path = p->path, .create = true};
    int r = tables_open(&p->tables, &options, &p->err);
    if (r == 0)
        r = tables_read_open(&p->reader, &options, &p->err);
    if (r < 0)
        print_error("%s\n", p->err.text);
    *state = p;
    return r;
}

static int place_drop(void **state)
{
    struct place *p = *state;
    tables_close(p->tables);
    tables_read_close(p->reader);
    arena_fini(&p->arena);
    char command[128];
    snprintf(command, sizeof command, "rm -rf '%s'", p->dir);
    int r = system(command);
    xfree(p);
    return r;
}

static void put(struct place *p, enum table table, const void *row, const char *columns)
{
    int r = tables_put(p->tables, table, row, columns, &p->err);
    if (r < 0)
        print_error("%s\n", p->err.text);
    assert_int_equal(r, 0);
}

static void commit(struct place *p, uint64_t seq)
{
    assert_int_equal(tables_commit(p->tables, (struct table_position){.seq = seq, .position = 3}, &p->err), 0);
}

static struct table_page ask(struct place *p, struct table_query query)
{
    struct table_page page;
    int r = tables_read(p->reader, &query, &p->arena, &page, &p->err);
    if (r < 0)
        print_error("%s\n", p->err.text);
    assert_int_equal(r, 0);
    return page;
}

static struct table_workload workload_of(uint64_t id, const char *project, const char *state)
{
    return (struct table_workload){.id = id, .name = STR("train"), .project = str_from(project), .state = str_from(state),
                                   .submitted_ms = (int64_t)id * 100, .request = STR("{\"run\":\"true\"}"), .exit_rank = -1};
}

static void put_workload(struct place *p, uint64_t id, const char *project, const char *state)
{
    struct table_workload row = workload_of(id, project, state);
    put(p, TABLE_WORKLOAD, &row, NULL);
}

static void every_column_of_every_table_comes_back(void **state)
{
    struct place *p = *state;
    for (enum table table = 0; table < TABLE_COUNT; table++) {
        const struct table_schema *schema = &table_schemas[table];
        char row[512] = {0}, text[32][32];
        assert_true(schema->size <= sizeof row && schema->count <= ARRAY_COUNT(text));
        for (size_t i = 0; i < schema->count; i++) {
            void *at = row + schema->columns[i].offset;
            snprintf(text[i], sizeof text[i], "text %zu", i);
            switch (schema->columns[i].type) {
            case COLUMN_U64: *(uint64_t *)at = 1000 + i; break;
            case COLUMN_I64: *(int64_t *)at = -1000 - (int64_t)i; break;
            case COLUMN_BOOL: *(bool *)at = i % 2; break;
            case COLUMN_TEXT: *(struct str *)at = str_from(text[i]); break;
            }
        }
        put(p, table, row, NULL);
        struct table_page page = ask(p, (struct table_query){.table = table});
        assert_int_equal(page.count, 1);
        assert_false(page.more);
        for (size_t i = 0; i < schema->count; i++) {
            char *got = (char *)page.rows + schema->columns[i].offset, *want = row + schema->columns[i].offset;
            if (schema->columns[i].type == COLUMN_TEXT)
                assert_true(str_equal(*(struct str *)got, *(struct str *)want));
            else
                assert_memory_equal(got, want, schema->columns[i].type == COLUMN_BOOL ? sizeof(bool) : 8);
        }
    }
}

static void a_change_touches_the_named_columns_alone(void **state)
{
    struct place *p = *state;
    put_workload(p, 7, "blue", "waiting");
    struct table_workload change = {.id = 7, .state = STR("running"), .started_ms = 5, .cost_udollar = 30};
    put(p, TABLE_WORKLOAD, &change, "state started_ms +cost_udollar");
    put(p, TABLE_WORKLOAD, &change, "+cost_udollar");
    struct table_page page = ask(p, (struct table_query){.table = TABLE_WORKLOAD, .id = 7});
    const struct table_workload *got = page.rows;
    assert_int_equal(page.count, 1);
    assert_true(str_is(got->state, "running"));
    assert_true(str_is(got->project, "blue"));
    assert_int_equal(got->started_ms, 5);
    assert_int_equal(got->submitted_ms, 700);
    assert_int_equal(got->cost_udollar, 60);
    assert_int_equal(got->exit_rank, -1);
}

static void the_position_moves_with_the_rows_or_not_at_all(void **state)
{
    struct place *p = *state;
    assert_int_equal(tables_position(p->tables).seq, 0);
    assert_int_equal(tables_begin(p->tables, &p->err), 0);
    put_workload(p, 1, "blue", "waiting");
    commit(p, 41);
    assert_int_equal(tables_begin(p->tables, &p->err), 0);
    put_workload(p, 2, "blue", "waiting");
    assert_int_equal(ask(p, (struct table_query){.table = TABLE_WORKLOAD}).count, 1);
    tables_rollback(p->tables);
    assert_int_equal(tables_position(p->tables).seq, 41);
    tables_close(TAKE(p->tables));
    struct tables_options options = {.path = p->path};
    assert_int_equal(tables_open(&p->tables, &options, &p->err), 0);
    assert_int_equal(tables_position(p->tables).seq, 41);
    assert_int_equal(tables_position(p->tables).position, 3);
    struct table_position seen;
    assert_int_equal(tables_read_position(p->reader, &seen, &p->err), 0);
    assert_int_equal(seen.seq, 41);
    assert_int_equal(ask(p, (struct table_query){.table = TABLE_WORKLOAD}).count, 1);
}

static void workloads_are_paged_from_the_newest(void **state)
{
    struct place *p = *state;
    for (uint64_t id = 1; id <= 9; id++)
        put_workload(p, id, id % 3 ? "blue" : "red", id % 2 ? "finished" : "failed");
    struct table_query query = {.table = TABLE_WORKLOAD, .project = STR("blue"), .limit = 4};
    struct table_page page = ask(p, query);
    const struct table_workload *rows = page.rows;
    assert_int_equal(page.count, 4);
    assert_true(page.more);
    assert_int_equal(rows[0].id, 8);
    assert_int_equal(rows[3].id, 4);
    query.before = rows[3].id;
    page = ask(p, query);
    rows = page.rows;
    assert_int_equal(page.count, 2);
    assert_false(page.more);
    assert_int_equal(rows[1].id, 1);
    page = ask(p, (struct table_query){.table = TABLE_WORKLOAD, .project = STR("red"), .state = STR("failed")});
    assert_int_equal(page.count, 1);
    assert_int_equal(((struct table_workload *)page.rows)->id, 6);
}

static void events_follow_a_position_a_workload_or_a_type(void **state)
{
    struct place *p = *state;
    for (uint64_t i = 0; i < 12; i++) {
        struct table_event event = {.seq = 1 + i / 3, .position = i % 3, .type = i % 2 ? STR("charged") : STR("entry"),
                                    .workload = i % 4, .at_ms = (int64_t)i, .json = STR("{}")};
        put(p, TABLE_EVENT, &event, NULL);
    }
    struct table_page page = ask(p, (struct table_query){.table = TABLE_EVENT, .after = {2, 1}, .limit = 2});
    const struct table_event *rows = page.rows;
    assert_int_equal(page.count, 2);
    assert_true(page.more);
    assert_int_equal(rows[0].seq, 2);
    assert_int_equal(rows[0].position, 2);
    assert_int_equal(rows[1].seq, 3);
    assert_int_equal(ask(p, (struct table_query){.table = TABLE_EVENT, .workload = 3}).count, 3);
    assert_int_equal(ask(p, (struct table_query){.table = TABLE_EVENT, .workload = 3, .after = {2, 0}}).count, 2);
    assert_int_equal(ask(p, (struct table_query){.table = TABLE_EVENT, .type = STR("entry")}).count, 6);
    assert_int_equal(ask(p, (struct table_query){.table = TABLE_EVENT, .from_ms = 3, .to_ms = 5}).count, 2);
}

static void prices_come_by_range_and_thinned(void **state)
{
    struct place *p = *state;
    for (int64_t at = 0; at < 100; at++) {
        struct table_price price = {.pool = STR("H100"), .at_ms = at, .price_udollar_per_hour = 10 * at};
        put(p, TABLE_PRICE, &price, NULL);
        price.pool = STR("A100");
        put(p, TABLE_PRICE, &price, NULL);
    }
    struct table_query query = {.table = TABLE_PRICE, .pool = STR("H100"), .from_ms = 10, .to_ms = 50};
    struct table_page page = ask(p, query);
    assert_int_equal(page.count, 40);
    query.step_ms = 10;
    page = ask(p, query);
    const struct table_price *rows = page.rows;
    assert_int_equal(page.count, 4);
    assert_int_equal(rows[0].at_ms, 19);
    assert_int_equal(rows[3].at_ms, 49);
    assert_int_equal(rows[3].price_udollar_per_hour, 490);
}

static void what_belongs_to_a_workload_is_found_by_it(void **state)
{
    struct place *p = *state;
    for (uint64_t i = 1; i <= 6; i++) {
        struct table_step step = {.seq = i, .workload = i % 2, .at_ms = 1, .type = STR("started")};
        struct table_charge charge = {.seq = i, .workload = 1 + i % 2, .amount_udollar = (int64_t)i, .kind = STR("menu")};
        struct table_entry entry = {.seq = i, .project = STR("blue"), .at_ms = (int64_t)i, .debit = STR("project:blue")};
        struct table_placement placement = {.workload = 1, .attempt = 1 + (int64_t)i / 4, .rank = (int64_t)i, .node = i};
        put(p, TABLE_STEP, &step, NULL);
        put(p, TABLE_CHARGE, &charge, NULL);
        put(p, TABLE_ENTRY, &entry, NULL);
        put(p, TABLE_PLACEMENT, &placement, NULL);
    }
    assert_int_equal(ask(p, (struct table_query){.table = TABLE_STEP, .workload = 1}).count, 3);
    struct table_page page = ask(p, (struct table_query){.table = TABLE_CHARGE, .workload = 2});
    assert_int_equal(page.count, 3);
    assert_int_equal(((struct table_charge *)page.rows)[2].amount_udollar, 5);
    page = ask(p, (struct table_query){.table = TABLE_ENTRY, .project = STR("blue"), .from_ms = 3, .after = {4, 0}});
    assert_int_equal(page.count, 2);
    page = ask(p, (struct table_query){.table = TABLE_PLACEMENT, .workload = 1, .attempt = 2});
    assert_int_equal(page.count, 3);
    assert_int_equal(((struct table_placement *)page.rows)[0].rank, 4);
}

static void the_ledger_is_summed_by_pair_of_accounts(void **state)
{
    struct place *p = *state;
    static const char *const credits[] = {"pool:a", "pool:b"};
    for (uint64_t i = 1; i <= 7; i++) {
        struct table_entry entry = {.seq = i, .at_ms = (int64_t)i, .amount_udollar = (int64_t)i,
                                    .debit = STR("project:blue"), .credit = str_from(credits[i % 2])};
        put(p, TABLE_ENTRY, &entry, NULL);
    }
    struct table_page page = ask(p, (struct table_query){.table = TABLE_ENTRY, .sums = true, .from_ms = 2});
    const struct table_entry *rows = page.rows;
    assert_int_equal(page.count, 2);
    assert_int_equal(rows[0].amount_udollar, 2 + 4 + 6);
    assert_int_equal(rows[0].at_ms, 6);
    assert_int_equal(rows[1].amount_udollar, 3 + 5 + 7);
    assert_true(str_equal(rows[1].credit, STR("pool:b")));
}

static void old_prices_and_events_are_trimmed_in_steps(void **state)
{
    struct place *p = *state;
    assert_int_equal(tables_begin(p->tables, &p->err), 0);
    for (int64_t at = 1; at <= 1500; at++) {
        struct table_price price = {.pool = at % 2 ? STR("H100") : STR("A100"), .at_ms = at};
        struct table_event event = {.seq = (uint64_t)at, .type = STR("charged"), .at_ms = at};
        put(p, TABLE_PRICE, &price, NULL);
        put(p, TABLE_EVENT, &event, NULL);
    }
    commit(p, 1500);
    const enum table tables[] = {TABLE_PRICE, TABLE_EVENT};
    for (size_t i = 0; i < ARRAY_COUNT(tables); i++) {
        int calls = 0, r;
        while ((r = tables_trim(p->tables, tables[i], 1301, &p->err)) > 0)
            calls++;
        assert_int_equal(r, 0);
        assert_int_equal(calls, 2);
        assert_int_equal(ask(p, (struct table_query){.table = tables[i]}).count, 200);
    }
}

static void an_answer_past_the_arena_is_refused(void **state)
{
    struct place *p = *state;
    for (uint64_t id = 1; id <= 100; id++)
        put_workload(p, id, "blue", "finished");
    struct arena small = {.limit = 4096};
    struct table_page page;
    struct table_query query = {.table = TABLE_WORKLOAD};
    assert_int_equal(tables_read(p->reader, &query, &small, &page, &p->err), -EFBIG);
    static char long_text[4096];
    struct table_workload wide = workload_of(100, "blue", "finished");
    wide.request = (struct str){memset(long_text, 'x', sizeof long_text), sizeof long_text};
    put(p, TABLE_WORKLOAD, &wide, NULL);
    query.limit = 1;
    arena_clear(&small);
    assert_int_equal(tables_read(p->reader, &query, &small, &page, &p->err), -EFBIG);
    assert_int_equal(tables_read(p->reader, &query, &p->arena, &page, &p->err), 0);
    arena_fini(&small);
}

/* No read of history may walk a whole table: what the planner says, for each way that is offered. */
static void every_read_that_is_offered_uses_an_index(void **state)
{
    struct place *p = *state;
    const struct str name = STR("x");
    const struct table_position after = {5, 1};
    const struct table_query reads[] = {
        {.table = TABLE_WORKLOAD, .id = 3},
        {.table = TABLE_WORKLOAD, .project = name, .before = 9},
        {.table = TABLE_WORKLOAD, .state = name},
        {.table = TABLE_STEP, .workload = 3},
        {.table = TABLE_CHARGE, .workload = 3},
        {.table = TABLE_PLACEMENT, .workload = 3},
        {.table = TABLE_PLACEMENT, .workload = 3, .attempt = 2},
        {.table = TABLE_PRICE, .pool = name, .from_ms = 3, .to_ms = 9},
        {.table = TABLE_ENTRY, .after = after},
        {.table = TABLE_ENTRY, .project = name, .after = after},
        {.table = TABLE_ENTRY, .workload = 3},
        {.table = TABLE_EVENT, .after = after},
        {.table = TABLE_EVENT, .type = name, .after = after},
        {.table = TABLE_EVENT, .workload = 3, .after = after},
        {.table = TABLE_NODE, .after = after},
    };
    sqlite3 *db;
    assert_int_equal(sqlite3_open(p->path, &db), SQLITE_OK);
    for (size_t i = 0; i < ARRAY_COUNT(reads); i++) {
        _cleanup_buf_ struct buf sql = BUF_INIT(BUF_LIMIT_DEFAULT);
        sqlite3_stmt *plan;
        buf_append_text(&sql, "EXPLAIN QUERY PLAN ");
        table_query_sql(&reads[i], &sql);
        assert_int_equal(sqlite3_prepare_v2(db, buf_text(&sql), -1, &plan, NULL), SQLITE_OK);
        while (sqlite3_step(plan) == SQLITE_ROW) {
            const char *step = (const char *)sqlite3_column_text(plan, 3);
            if (strncmp(step, "SEARCH", 6) != 0)
                fail_msg("%s: %s", buf_text(&sql), step);
        }
        sqlite3_finalize(plan);
    }
    sqlite3_close(db);
}

static void the_documentation_names_every_column(void **state)
{
    (void)state;
    char path[512];
    snprintf(path, sizeof path, "%s", __FILE__);
    char *tail = strstr(path, "tests/unit/");
    assert_non_null(tail);
    snprintf(tail, sizeof path - (size_t)(tail - path), "docs/tables.md");
    FILE *f = fopen(path, "r");
    if (f == NULL)
        skip(); /* started from elsewhere than the build folder */
    static char text[1 << 16];
    size_t size = fread(text, 1, sizeof text - 1, f);
    text[size] = '\0';
    fclose(f);
    for (enum table table = 0; table < TABLE_COUNT; table++) {
        char heading[64];
        snprintf(heading, sizeof heading, "\n## %s\n", table_schemas[table].name);
        const char *section = strstr(text, heading);
        if (section == NULL)
            fail_msg("docs/tables.md lacks%s", heading);
        const char *end = strstr(section + 4, "\n## ");
        for (size_t i = 0; i < table_schemas[table].count; i++) {
            char cell[64];
            snprintf(cell, sizeof cell, "`%s`", table_schemas[table].columns[i].name);
            const char *found = strstr(section, cell);
            if (found == NULL || (end && found > end))
                fail_msg("docs/tables.md lacks %s of %s", cell, table_schemas[table].name);
        }
    }
}

#define PLACED(test) cmocka_unit_test_setup_teardown(test, place_make, place_drop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        PLACED(every_column_of_every_table_comes_back),
        PLACED(a_change_touches_the_named_columns_alone),
        PLACED(the_position_moves_with_the_rows_or_not_at_all),
        PLACED(workloads_are_paged_from_the_newest),
        PLACED(events_follow_a_position_a_workload_or_a_type),
        PLACED(prices_come_by_range_and_thinned),
        PLACED(what_belongs_to_a_workload_is_found_by_it),
        PLACED(the_ledger_is_summed_by_pair_of_accounts),
        PLACED(old_prices_and_events_are_trimmed_in_steps),
        PLACED(an_answer_past_the_arena_is_refused),
        PLACED(every_read_that_is_offered_uses_an_index),
        cmocka_unit_test(the_documentation_names_every_column),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
