/* SPDX-License-Identifier: Apache-2.0 */
/* The power goes out at a seeded step of a seeded life of the store, several times over; each time
 * the disk keeps of the unsynced writes what it likes. After each restart every acknowledged group
 * must be there, byte for byte, and nothing half done. POWERCUT_SEEDS (300) says how many lives,
 * POWERCUT_SEED gives one of them to look at. */

#include "powercut_vfs.h"

#include "base/memory.h"
#include "base/number.h"
#include "store/journal.h"
#include "store/table.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define CUTS 4
#define STEPS 40

struct life {
    struct disk disk;
    struct prng random;
    uint64_t seed;
    struct journal *journal;
    struct journal_checkpointer *checkpointer;
    struct tables *tables;
    uint64_t acknowledged, tried;             /* the last command of each kind of group */
    uint64_t dropped_commands, dropped_events; /* what truncation was asked for, done or not */
    uint64_t projected, projecting;           /* positions of the tables */
    bool begun;                               /* both files were made, durably */
    struct buf bytes;
    char wrong[700];                          /* what was found to be wrong */
};

static const struct journal_options journal_place = {.path = "/d/tessera.db", .vfs = "powercut", .format = 1};
static const struct tables_options tables_place = {.path = "/d/tables.db", .vfs = "powercut"};

static bool wrong(struct life *l, const char *what, uint64_t at, const char *text)
{
    snprintf(l->wrong, sizeof l->wrong, "seed %llu: %s (%llu; acknowledged %llu, tried %llu) %s", (unsigned long long)l->seed,
             what, (unsigned long long)at, (unsigned long long)l->acknowledged, (unsigned long long)l->tried, text ? text : "");
    return false;
}

/* The group that starts at a number is a function of the number: the test knows it without a record. */
static struct journal_group group_from(struct life *l, uint64_t first)
{
    struct prng random = {l->seed * 1000003 + first};
    static const size_t sizes[] = {0, 90, 600, 5000, 40000};
    size_t commands = prng_below(&random, 1 + sizes[prng_below(&random, ARRAY_COUNT(sizes))]);
    size_t events = prng_below(&random, 1 + sizes[prng_below(&random, ARRAY_COUNT(sizes))]);
    buf_clear(&l->bytes);
    for (size_t i = 0; i < commands + events; i++)
        buf_append_byte(&l->bytes, (char)prng_next(&random));
    struct journal_group group = {.seq_first = first, .seq_last = first + prng_below(&random, 40), .time = (time_ms)first};
    group.digest = prng_next(&random);
    group.engine_version = (uint32_t)prng_next(&random) & 0xffff;
    group.commands = (struct str){l->bytes.data, commands};
    group.events = (struct str){commands + events ? l->bytes.data + commands : NULL, events};
    return group;
}

static bool same(const struct journal_group *a, const struct journal_group *b)
{
    return a->seq_first == b->seq_first && a->seq_last == b->seq_last && a->digest == b->digest && a->time == b->time &&
           a->engine_version == b->engine_version && str_equal(a->commands, b->commands);
}

static int store_open(struct life *l, struct error *err)
{
    struct journal_options journal = journal_place;
    struct tables_options tables = tables_place;
    journal.create = tables.create = !l->begun;
    int r = journal_open(&l->journal, &journal, err);
    if (r == 0)
        r = journal_checkpoint_open(&l->checkpointer, &journal, err);
    if (r == 0)
        r = tables_open(&l->tables, &tables, err);
    l->begun |= r == 0;
    return r;
}

static void store_close(struct life *l)
{
    journal_checkpoint_close(TAKE(l->checkpointer));
    journal_close(TAKE(l->journal));
    tables_close(TAKE(l->tables));
}

static int step_append(struct life *l)
{
    struct journal_group group = group_from(l, l->acknowledged + 1);
    l->tried = group.seq_last;
    int r = journal_append(l->journal, &group, NULL);
    if (r == 0)
        l->acknowledged = group.seq_last;
    return r;
}

static int step_project(struct life *l)
{
    if (l->projected == l->acknowledged)
        return 0;
    l->projecting = l->acknowledged;
    int r = tables_begin(l->tables, NULL);
    for (uint64_t seq = l->projected + 1; seq <= l->projecting && r == 0; seq++) {
        struct table_event event = {.seq = seq, .type = STR("entry"), .workload = seq, .json = STR("{\"amount\":1}")};
        r = tables_put(l->tables, TABLE_EVENT, &event, NULL, NULL);
    }
    if (r == 0)
        r = tables_commit(l->tables, (struct table_position){.seq = l->projecting}, NULL);
    if (r == 0)
        l->projected = l->projecting;
    return r;
}

static int step_truncate(struct life *l)
{
    uint64_t commands = prng_below(&l->random, l->acknowledged + 2), events = prng_below(&l->random, commands + 1);
    l->dropped_commands = MAX(l->dropped_commands, commands);
    l->dropped_events = MAX(l->dropped_events, events);
    int r = journal_truncate(l->journal, l->dropped_commands, l->dropped_events, NULL);
    return r < 0 ? r : 0;
}

static int step_any(struct life *l)
{
    switch (prng_below(&l->random, 12)) {
    case 0: return step_truncate(l);
    case 1: return journal_checkpoint_passive(l->checkpointer, NULL);
    case 2: return tables_checkpoint(l->tables, NULL);
    case 3:
    case 4: return step_project(l);
    case 5:
        if (prng_below(&l->random, 3))
            return 0;
        store_close(l);
        return store_open(l, NULL);
    default: return step_append(l);
    }
}

static bool journal_check(struct life *l)
{
    uint64_t last = journal_last(l->journal).seq_last, start = journal_start(l->journal);
    struct error err = {};
    if (last != l->acknowledged && last != l->tried)
        return wrong(l, "the last group is neither the acknowledged one nor the one in flight", last, NULL);
    if (start > MAX(l->dropped_commands, 1) - 1)
        return wrong(l, "more was dropped than was asked for", start, NULL);
    _cleanup_journal_reader_ struct journal_reader *reader = NULL;
    int r = journal_read_open(&reader, &journal_place, &err);
    struct journal_group got;
    for (uint64_t seq = start; seq < last && r >= 0; seq = got.seq_last) {
        r = journal_read_next(reader, seq, &got, &err);
        struct journal_group want = group_from(l, seq + 1);
        if (r != 1 || !same(&got, &want))
            return wrong(l, "a group is gone or another", seq + 1, err.text);
        if (want.seq_last >= l->dropped_events && !str_equal(got.events, want.events))
            return wrong(l, "events are gone or others", seq + 1, NULL);
    }
    if (r < 0)
        return wrong(l, "cannot be read", start, err.text);
    l->acknowledged = l->tried = last;
    return true;
}

static bool tables_check(struct life *l)
{
    uint64_t position = tables_position(l->tables).seq;
    struct error err = {};
    _cleanup_(arena_fini) struct arena arena = {};
    if (position != l->projected && position != l->projecting)
        return wrong(l, "the tables' position is neither the old nor the new one", position, NULL);
    _cleanup_tables_reader_ struct tables_reader *reader = NULL;
    struct table_page page = {};
    struct table_query query = {.table = TABLE_EVENT, .limit = SIZE_MAX / 4};
    if (tables_read_open(&reader, &tables_place, &err) < 0 || tables_read(reader, &query, &arena, &page, &err) < 0)
        return wrong(l, "the tables cannot be read", position, err.text);
    if (page.count != position)
        return wrong(l, "the tables' rows and their position differ", page.count, NULL);
    l->projected = l->projecting = position;
    return true;
}

/* One stretch: works until the power goes out, restarts, looks. */
static bool stretch(struct life *l)
{
    /* Early cuts meet the making of the files, later ones all the rest. */
    l->disk.cut_at = l->disk.steps + 1 + prng_below(&l->random, prng_below(&l->random, 2) ? 40 : 700);
    struct error err = {};
    int r = store_open(l, &err);
    if (r < 0 && !l->disk.out)
        return wrong(l, "does not open", 0, err.text);
    for (int i = 0; i < STEPS && r == 0; i++)
        r = step_any(l);
    if (r < 0 && !l->disk.out)
        return wrong(l, "a step failed with the power on", (uint64_t)-r, NULL);
    if (prng_below(&l->random, 2))
        l->disk.out = true; /* else what closing writes may be cut too */
    store_close(l);
    disk_restart(&l->disk, &l->random);
    powercut_vfs_use(&l->disk);
    r = store_open(l, &err);
    if (r < 0)
        return wrong(l, "does not open after a power cut", 0, err.text);
    bool right = journal_check(l) && tables_check(l);
    store_close(l);
    return right;
}

static bool live(struct life *l, uint64_t seed)
{
    l->seed = seed;
    l->random.state = seed;
    l->bytes.limit = BUF_LIMIT_DEFAULT;
    powercut_vfs_use(&l->disk);
    bool right = true;
    for (int cut = 0; cut < CUTS && right; cut++)
        right = stretch(l);
    if (!right)
        store_close(l);
    disk_fini(&l->disk);
    buf_fini(&l->bytes);
    return right;
}

static uint64_t number_of(const char *name, uint64_t otherwise)
{
    int64_t value;
    return getenv(name) && str_to_i64(str_from(getenv(name)), &value) ? (uint64_t)value : otherwise;
}

static void whatever_was_acknowledged_outlives_power_cuts(void **state)
{
    (void)state;
    uint64_t first = number_of("POWERCUT_SEED", 1), seeds = getenv("POWERCUT_SEED") ? 1 : number_of("POWERCUT_SEEDS", 300);
    for (uint64_t seed = first; seed < first + seeds; seed++) {
        struct life l = {};
        if (!live(&l, seed))
            fail_msg("%s", l.wrong);
    }
}

/* A test of the test: on a disk whose sync does nothing the same lives must lose something. */
static void a_disk_that_lies_about_syncs_is_found_out(void **state)
{
    (void)state;
    int found = 0;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct life l = {.disk.ignore_sync = true};
        found += !live(&l, seed);
    }
    assert_in_range(found, 10, 20);
}

static void a_disk_that_forgets_names_is_found_out(void **state)
{
    (void)state;
    int found = 0;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct life l = {.disk.ignore_folder_sync = true};
        found += !live(&l, seed);
    }
    assert_in_range(found, 5, 20);
}

/* ---- full disk ------------------------------------------------------------------------------------- */

/* The n-th write and all after it find no room: that append fails by name and leaves nothing, and once
 * there is room again the same group goes in. */
static void full_disk_at(uint64_t nth)
{
    struct life l = {.seed = 7, .random.state = 7, .bytes.limit = BUF_LIMIT_DEFAULT};
    struct error err = {};
    powercut_vfs_use(&l.disk);
    assert_int_equal(store_open(&l, &err), 0);
    for (int i = 0; i < 3; i++)
        assert_int_equal(step_append(&l), 0);
    l.disk.full_at = l.disk.writes + nth;
    int r = 0;
    for (int i = 0; i < 200 && r == 0; i++) {
        struct journal_group group = group_from(&l, l.acknowledged + 1);
        r = journal_append(l.journal, &group, &err);
        if (r == 0)
            l.acknowledged = l.tried = group.seq_last;
        if (r == 0 && i % 5 == 0)
            r = journal_checkpoint_passive(l.checkpointer, &err);
    }
    assert_int_equal(r, -ENOSPC);
    assert_non_null(strstr(err.text, "the disk is full"));
    assert_non_null(strstr(err.text, journal_place.path));
    uint64_t before = journal_last(l.journal).seq_last;
    assert_int_equal(before, l.acknowledged);
    l.disk.full_at = 0;
    if (nth % 2) /* half of them go on, half stop here */
        for (int i = 0; i < 3; i++)
            assert_int_equal(step_append(&l), 0);
    store_close(&l);
    disk_restart(&l.disk, &l.random);
    powercut_vfs_use(&l.disk);
    assert_int_equal(store_open(&l, &err), 0);
    if (!journal_check(&l))
        fail_msg("write %llu: %s", (unsigned long long)nth, l.wrong);
    store_close(&l);
    disk_fini(&l.disk);
    buf_fini(&l.bytes);
}

static void a_full_disk_is_a_clear_error_and_leaves_nothing_half_done(void **state)
{
    (void)state;
    for (uint64_t nth = 1; nth <= 120; nth++)
        full_disk_at(nth);
}

static void a_disk_full_from_the_start_is_a_clear_error(void **state)
{
    (void)state;
    for (uint64_t nth = 1; nth <= 6; nth++) {
        struct disk disk = {.full_at = nth};
        powercut_vfs_use(&disk);
        struct journal_options options = journal_place;
        options.create = true;
        struct error err = {};
        struct journal *j = NULL;
        assert_int_equal(journal_open(&j, &options, &err), -ENOSPC);
        assert_non_null(strstr(err.text, "the disk is full"));
        disk.full_at = 0;
        assert_int_equal(journal_open(&j, &options, &err), 0);
        journal_close(j);
        disk_fini(&disk);
    }
}

/* A failed sync leaves the outcome open: no later append may succeed on this journal. */
static void after_a_failed_sync_nothing_more_is_appended(void **state)
{
    (void)state;
    struct life l = {.seed = 9, .bytes.limit = BUF_LIMIT_DEFAULT};
    powercut_vfs_use(&l.disk);
    assert_int_equal(store_open(&l, NULL), 0);
    assert_int_equal(step_append(&l), 0);
    l.disk.out = true;
    assert_int_equal(step_append(&l), -EIO);
    l.disk.out = false;
    assert_int_equal(step_append(&l), -EIO);
    assert_int_equal(step_truncate(&l), -EIO);
    store_close(&l);
    disk_fini(&l.disk);
    buf_fini(&l.bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whatever_was_acknowledged_outlives_power_cuts),
        cmocka_unit_test(a_disk_that_lies_about_syncs_is_found_out),
        cmocka_unit_test(a_disk_that_forgets_names_is_found_out),
        cmocka_unit_test(a_full_disk_is_a_clear_error_and_leaves_nothing_half_done),
        cmocka_unit_test(a_disk_full_from_the_start_is_a_clear_error),
        cmocka_unit_test(after_a_failed_sync_nothing_more_is_appended),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
