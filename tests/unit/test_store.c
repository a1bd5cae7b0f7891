/* SPDX-License-Identifier: Apache-2.0 */
#include "base/buf.h"
#include "base/hash.h"
#include "store/database.h"
#include "store/journal.h"
#include "store/journal_memory.h"
#include "store/snapshot.h"

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

struct place {
    char dir[64], path[96];
    struct journal_memory *memory; /* the tests of the journal's own rules run with both */
};

static int place_make(void **state)
{
    struct place *p = xcalloc(1, sizeof *p);
    snprintf(p->dir, sizeof p->dir, "%s/tessera-store-XXXXXX", getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp");
    if (mkdtemp(p->dir) == NULL)
        return -1;
    snprintf(p->path, sizeof p->path, "%s/tessera.db", p->dir);
    *state = p;
    return 0;
}

static int memory_make(void **state)
{
    int r = place_make(state);
    ((struct place *)*state)->memory = journal_memory_new();
    return r;
}

static int place_drop(void **state)
{
    struct place *p = *state;
    journal_memory_free(p->memory);
    char command[128];
    snprintf(command, sizeof command, "rm -rf '%s'", p->dir);
    int r = system(command);
    xfree(p);
    return r;
}

static struct journal_options options_of(const struct place *p)
{
    return (struct journal_options){.path = p->path, .memory = p->memory, .create = true, .format = 3};
}

static struct journal_group group_of(uint64_t first, uint64_t last, struct str commands, struct str events)
{
    return (struct journal_group){.seq_first = first, .seq_last = last, .digest = last * 7919, .time = (time_ms)last,
                                  .engine_version = 5, .commands = commands, .events = events};
}

static void append(struct journal *j, uint64_t first, uint64_t last)
{
    struct error err = {};
    struct journal_group group = group_of(first, last, STR("some commands"), STR("some events"));
    int r = journal_append(j, &group, &err);
    if (r < 0)
        print_error("%s\n", err.text);
    assert_int_equal(r, 0);
}

/* ---- journal ------------------------------------------------------------------------------------- */

static void a_group_is_read_back_as_it_was_written(void **state)
{
    struct journal_options options = options_of(*state);
    struct error err = {};
    _cleanup_journal_ struct journal *j = NULL;
    assert_int_equal(journal_open(&j, &options, &err), 0);
    assert_int_equal(journal_last(j).seq_last, 0);
    assert_int_equal(journal_start(j), 0);
    append(j, 1, 3);
    struct journal_group wide = group_of(4, 9, (struct str){"a\0b", 3}, (struct str){});
    wide.digest = UINT64_MAX;
    assert_int_equal(journal_append(j, &wide, &err), 0);

    _cleanup_journal_reader_ struct journal_reader *r = NULL;
    assert_int_equal(journal_read_open(&r, &options, &err), 0);
    struct journal_group got;
    assert_int_equal(journal_read_next(r, 0, &got, &err), 1);
    assert_int_equal(got.seq_first, 1);
    assert_int_equal(got.engine_version, 5);
    assert_true(str_is(got.events, "some events"));
    assert_int_equal(journal_read_next(r, 4, &got, &err), 1); /* from the middle of a group: the whole */
    assert_int_equal(got.seq_first, 4);
    assert_int_equal(got.seq_last, 9);
    assert_true(got.digest == UINT64_MAX);
    assert_true(str_equal(got.commands, wide.commands));
    assert_int_equal(got.events.size, 0);
    assert_int_equal(journal_read_next(r, 9, &got, &err), 0);
    append(j, 10, 10); /* what comes later is seen by the same reader */
    assert_int_equal(journal_read_next(r, 9, &got, &err), 1);
}

static void the_last_group_is_known_again_after_reopening(void **state)
{
    struct journal_options options = options_of(*state);
    struct journal *j = NULL;
    assert_int_equal(journal_open(&j, &options, NULL), 0);
    append(j, 1, 1);
    append(j, 2, 70);
    journal_close(j);
    options.create = false;
    assert_int_equal(journal_open(&j, &options, NULL), 0);
    struct journal_group last = journal_last(j);
    assert_int_equal(last.seq_first, 2);
    assert_int_equal(last.seq_last, 70);
    assert_int_equal(last.digest, 70 * 7919);
    journal_close(j);
}

static void truncation_keeps_the_newest_group_and_events_by_their_own_bound(void **state)
{
    struct journal_options options = options_of(*state);
    struct error err = {};
    _cleanup_journal_ struct journal *j = NULL;
    assert_int_equal(journal_open(&j, &options, &err), 0);
    for (uint64_t i = 1; i <= 1000; i++)
        append(j, 2 * i - 1, 2 * i);
    int calls = 0, r;
    while ((r = journal_truncate(j, 1501, 1001, &err)) > 0)
        calls++;
    assert_int_equal(r, 0);
    if (!options.memory)
        assert_in_range(calls, 2, 10);
    assert_int_equal(journal_start(j), 1500);
    _cleanup_journal_reader_ struct journal_reader *reader = NULL;
    assert_int_equal(journal_read_open(&reader, &options, &err), 0);
    struct journal_group got;
    assert_int_equal(journal_read_next(reader, 1500, &got, &err), 1);
    assert_int_equal(journal_read_next(reader, 1400, &got, &err), -EBADMSG);
    assert_non_null(strstr(err.text, "commands 1401 to 1500 are missing"));
    assert_int_equal(journal_read_events(reader, 0, &got, &err), 1);
    assert_int_equal(got.seq_first, 1001);
    assert_true(str_is(got.events, "some events"));

    while ((r = journal_truncate(j, 100000, 100000, &err)) > 0)
        ;
    assert_int_equal(r, 0);
    journal_close(TAKE(j));
    assert_int_equal(journal_open(&j, &options, &err), 0);
    assert_int_equal(journal_last(j).seq_last, 2000);
    append(j, 2001, 2001);
}

static void a_lost_file_is_said_to_be_lost(void **state)
{
    struct journal_options options = options_of(*state);
    options.create = false;
    struct error err = {};
    struct journal *j = NULL;
    assert_int_equal(journal_open(&j, &options, &err), -ENOENT);
    assert_non_null(strstr(err.text, options.path));
    assert_non_null(strstr(err.text, "lost"));
    struct journal_reader *r = NULL;
    assert_int_equal(journal_read_open(&r, &options, &err), -ENOENT);
}

static void an_emptied_file_is_not_taken_for_a_new_journal(void **state)
{
    struct journal_options options = options_of(*state);
    fclose(fopen(options.path, "w"));
    options.create = false;
    struct error err = {};
    struct journal *j = NULL;
    assert_int_equal(journal_open(&j, &options, &err), -EBADMSG);
    assert_non_null(strstr(err.text, "lost"));
}

static void data_of_a_newer_format_is_refused_by_name(void **state)
{
    struct journal_options options = options_of(*state);
    struct journal *j = NULL;
    options.format = 4;
    assert_int_equal(journal_open(&j, &options, NULL), 0);
    journal_close(j);
    options.format = 3;
    struct error err = {};
    assert_int_equal(journal_open(&j, &options, &err), -EPROTO);
    assert_non_null(strstr(err.text, "format 4"));
    assert_non_null(strstr(err.text, "up to 3"));
}

static void another_database_is_refused_and_left_alone(void **state)
{
    struct journal_options options = options_of(*state);
    sqlite3 *db = NULL;
    assert_int_equal(sqlite3_open(options.path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, "CREATE TABLE x(y)", NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
    struct error err = {};
    struct journal *j = NULL;
    assert_int_equal(journal_open(&j, &options, &err), -EBADMSG);
    assert_non_null(strstr(err.text, "but not the one of Tessera"));
}

/* Overwrites bytes of a file in place. */
static void scribble(const char *path, long at, const char *text)
{
    FILE *f = fopen(path, "r+");
    assert_non_null(f);
    fseek(f, at, SEEK_SET);
    fputs(text, f);
    fclose(f);
}

static void a_damaged_file_is_a_clear_error(void **state)
{
    struct journal_options options = options_of(*state);
    struct journal *j = NULL;
    assert_int_equal(journal_open(&j, &options, NULL), 0);
    journal_close(j);
    scribble(options.path, 0, "no database at all");
    struct error err = {};
    assert_int_equal(journal_open(&j, &options, &err), -EBADMSG);
    assert_non_null(strstr(err.text, "damaged or not a database"));
}

/* Where the needle stands in the file, -1 if nowhere. */
static long find_in_file(const char *path, struct str needle)
{
    static char bytes[1 << 20];
    FILE *f = fopen(path, "r");
    size_t size = fread(bytes, 1, sizeof bytes, f);
    fclose(f);
    char *at = memmem(bytes, size, needle.data, needle.size);
    return at ? at - bytes : -1;
}

static void a_flipped_bit_in_a_group_is_noticed(void **state)
{
    struct journal_options options = options_of(*state);
    struct journal *j = NULL;
    struct error err = {};
    assert_int_equal(journal_open(&j, &options, NULL), 0);
    append(j, 1, 2);
    journal_close(j);
    long at = find_in_file(options.path, STR("some commands"));
    assert_true(at > 0);
    scribble(options.path, at, "sOme");
    _cleanup_journal_reader_ struct journal_reader *r = NULL;
    assert_int_equal(journal_read_open(&r, &options, &err), 0);
    struct journal_group got;
    assert_int_equal(journal_read_next(r, 0, &got, &err), -EBADMSG);
    assert_non_null(strstr(err.text, "commands 1 to 2 are not what was written"));
}

static void a_checkpoint_beside_the_writer_moves_the_log(void **state)
{
    struct journal_options options = options_of(*state);
    struct error err = {};
    _cleanup_journal_ struct journal *j = NULL;
    assert_int_equal(journal_open(&j, &options, &err), 0);
    struct journal_checkpointer *c = NULL;
    assert_int_equal(journal_checkpoint_open(&c, &options, &err), 0);
    append(j, 1, 1);
    assert_int_equal(find_in_file(options.path, STR("some commands")), -1);
    assert_int_equal(journal_checkpoint_passive(c, &err), 0);
    assert_true(find_in_file(options.path, STR("some commands")) > 0);
    append(j, 2, 2);
    journal_checkpoint_close(c);
}

struct follower {
    struct journal_options options;
    uint64_t until, seen;
    bool checkpoints;
};

/* Follows the journal from its start on a connection of its own until a number is reached. */
static void *follow(void *argument)
{
    struct follower *f = argument;
    _cleanup_journal_reader_ struct journal_reader *reader = NULL;
    struct journal_checkpointer *checkpointer = NULL;
    int r = journal_read_open(&reader, &f->options, NULL);
    if (r == 0 && !f->options.memory)
        r = journal_checkpoint_open(&checkpointer, &f->options, NULL);
    while (r >= 0 && f->seen < f->until) {
        struct journal_group got = {};
        r = journal_read_next(reader, f->seen, &got, NULL);
        if (r > 0 && got.digest != got.seq_last * 7919)
            break;
        if (r > 0)
            f->seen = got.seq_last;
        else if (r == 0 && f->checkpoints && checkpointer)
            r = journal_checkpoint_passive(checkpointer, NULL);
    }
    journal_checkpoint_close(checkpointer);
    return NULL;
}

static void other_threads_follow_and_checkpoint_beside_the_writer(void **state)
{
    struct journal_options options = options_of(*state);
    _cleanup_journal_ struct journal *j = NULL;
    assert_int_equal(journal_open(&j, &options, NULL), 0);
    struct follower followers[2] = {{options, 400, 0, false}, {options, 400, 0, true}};
    pthread_t threads[2];
    for (size_t i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, follow, &followers[i]), 0);
    for (uint64_t seq = 1; seq <= 400; seq += 2)
        append(j, seq, seq + 1);
    for (size_t i = 0; i < 2; i++) {
        pthread_join(threads[i], NULL);
        assert_int_equal(followers[i].seen, 400);
    }
}

/* ---- snapshots ----------------------------------------------------------------------------------- */

static void snapshot_put(const struct place *p, uint64_t seq, struct str body)
{
    struct snapshot_header header = {.format = 2, .engine_version = 9, .seq = seq, .digest = seq * 31, .time = 77};
    struct error err = {};
    assert_int_equal(snapshot_write(p->dir, &header, body, &err), 0);
}

static void a_snapshot_is_read_back_whole(void **state)
{
    struct place *p = *state;
    snapshot_put(p, 12, STR("the state"));
    struct snapshot s;
    struct error err = {};
    assert_int_equal(snapshot_newest(p->dir, 2, &s, &err), 0);
    assert_int_equal(s.header.seq, 12);
    assert_int_equal(s.header.engine_version, 9);
    assert_int_equal(s.header.digest, 12 * 31);
    assert_int_equal(s.header.time, 77);
    assert_true(str_is(buf_str(&s.body), "the state"));
    buf_fini(&s.body);
}

static void no_snapshot_is_told_from_damaged_ones(void **state)
{
    struct place *p = *state;
    struct snapshot s;
    struct error err = {};
    assert_int_equal(snapshot_newest(p->dir, 2, &s, &err), -ENOENT);
    snapshot_put(p, 5, STR("the state"));
    char path[128];
    snprintf(path, sizeof path, "%s/5.snap", p->dir);
    scribble(path, SNAPSHOT_HEADER_SIZE + 2, "X");
    assert_int_equal(snapshot_newest(p->dir, 2, &s, &err), -EBADMSG);
    assert_non_null(strstr(err.text, "5.snap"));
    assert_non_null(strstr(err.text, "damaged"));
}

static void a_damaged_snapshot_gives_way_to_the_one_before(void **state)
{
    struct place *p = *state;
    snapshot_put(p, 5, STR("five"));
    snapshot_put(p, 10, STR("ten"));
    char path[128];
    snprintf(path, sizeof path, "%s/10.snap", p->dir);
    const off_t lengths[] = {SNAPSHOT_HEADER_SIZE + 2, SNAPSHOT_HEADER_SIZE - 1, 0};
    for (size_t i = 0; i < ARRAY_COUNT(lengths); i++) {
        assert_int_equal(truncate(path, lengths[i]), 0);
        struct snapshot s;
        struct error err = {};
        assert_int_equal(snapshot_newest(p->dir, 2, &s, &err), 0);
        assert_int_equal(s.header.seq, 5);
        assert_non_null(strstr(err.text, "10.snap"));
        buf_fini(&s.body);
    }
}

static void every_flipped_bit_of_a_header_is_noticed(void **state)
{
    (void)state;
    struct snapshot_header header = {.format = 1, .engine_version = 2, .seq = 3, .digest = 4, .time = 5, .size = 6, .checksum = 7};
    unsigned char bytes[SNAPSHOT_HEADER_SIZE];
    snapshot_header_write(&header, bytes);
    struct snapshot_header got;
    assert_int_equal(snapshot_header_read((struct str){(char *)bytes, sizeof bytes}, &got, NULL), 0);
    assert_int_equal(got.checksum, 7);
    for (size_t bit = 0; bit < 8 * sizeof bytes; bit++) {
        bytes[bit / 8] ^= (unsigned char)(1u << bit % 8);
        assert_int_equal(snapshot_header_read((struct str){(char *)bytes, sizeof bytes}, &got, NULL), -EBADMSG);
        bytes[bit / 8] ^= (unsigned char)(1u << bit % 8);
    }
}

static void a_snapshot_of_a_newer_format_is_never_passed_over(void **state)
{
    struct place *p = *state;
    snapshot_put(p, 5, STR("five"));
    struct snapshot s;
    struct error err = {};
    assert_int_equal(snapshot_newest(p->dir, 1, &s, &err), -EPROTO);
    assert_non_null(strstr(err.text, "format 2"));
}

static void pruning_keeps_two_and_sweeps_the_unfinished(void **state)
{
    struct place *p = *state;
    uint64_t oldest = 1;
    snapshot_put(p, 9, STR("nine"));
    assert_int_equal(snapshot_prune(p->dir, 2, &oldest, NULL), 0);
    assert_int_equal(oldest, 0);
    snapshot_put(p, 100, STR("hundred"));
    snapshot_put(p, 20, STR("twenty"));
    char aside[128];
    snprintf(aside, sizeof aside, "%s/300.tmp", p->dir);
    fclose(fopen(aside, "w"));
    assert_int_equal(snapshot_prune(p->dir, 2, &oldest, NULL), 0);
    assert_int_equal(oldest, 20);
    _cleanup_free_ uint64_t *numbers = NULL;
    size_t count;
    assert_int_equal(snapshot_list(p->dir, &numbers, &count, NULL), 0);
    assert_int_equal(count, 2);
    assert_int_equal(numbers[0], 100);
    assert_int_equal(numbers[1], 20);
    assert_int_equal(access(aside, F_OK), -1);
}

#define PLACED(test) cmocka_unit_test_setup_teardown(test, place_make, place_drop)
#define IN_MEMORY(test) {#test " in memory", test, memory_make, place_drop, NULL}

int main(void)
{
    const struct CMUnitTest tests[] = {
        PLACED(a_group_is_read_back_as_it_was_written),
        PLACED(the_last_group_is_known_again_after_reopening),
        PLACED(truncation_keeps_the_newest_group_and_events_by_their_own_bound),
        PLACED(a_lost_file_is_said_to_be_lost),
        PLACED(an_emptied_file_is_not_taken_for_a_new_journal),
        PLACED(data_of_a_newer_format_is_refused_by_name),
        PLACED(another_database_is_refused_and_left_alone),
        PLACED(a_damaged_file_is_a_clear_error),
        PLACED(a_flipped_bit_in_a_group_is_noticed),
        PLACED(a_checkpoint_beside_the_writer_moves_the_log),
        PLACED(other_threads_follow_and_checkpoint_beside_the_writer),
        IN_MEMORY(a_group_is_read_back_as_it_was_written),
        IN_MEMORY(the_last_group_is_known_again_after_reopening),
        IN_MEMORY(truncation_keeps_the_newest_group_and_events_by_their_own_bound),
        IN_MEMORY(other_threads_follow_and_checkpoint_beside_the_writer),
        PLACED(a_snapshot_is_read_back_whole),
        PLACED(no_snapshot_is_told_from_damaged_ones),
        PLACED(a_damaged_snapshot_gives_way_to_the_one_before),
        cmocka_unit_test(every_flipped_bit_of_a_header_is_noticed),
        PLACED(a_snapshot_of_a_newer_format_is_never_passed_over),
        PLACED(pruning_keeps_two_and_sweeps_the_unfinished),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
