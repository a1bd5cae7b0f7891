/* SPDX-License-Identifier: Apache-2.0 */
/* What agent and holder write for one another, the end of a log, the environment, the command line.
 */
#include "agent/environment.h"
#include "agent/hold_log.h"
#include "agent/hold_record.h"
#include "agent/options.h"
#include "node/file.h"
#include "wire/json.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

static char top[] = "/tmp/tessera-hold-XXXXXX";

static void test_names(void **state)
{
    (void)state;
    struct hold_identity identity = {STR("work_4k2m8q0r7t1v9x3z"), 2, 0, 17}, back;
    struct hold_name name;
    assert_int_equal(hold_name_format(&identity, &name), 0);
    assert_string_equal(name.text, "work_4k2m8q0r7t1v9x3z.2.0.17");
    assert_true(hold_name_parse(str_from(name.text), &back));
    assert_true(str_equal(back.workload, identity.workload));
    assert_int_equal(back.attempt, 2);
    assert_int_equal(back.rank, 17);
    /* nothing that could name another folder, and one spelling for each */
    static const char *const bad[] = {"",
                                      "..",
                                      "work_a",
                                      "work_a.1.0",
                                      "work_a.1.0.0.0",
                                      "work_a.01.0.0",
                                      "../x.1.0.0",
                                      "work/a.1.0.0",
                                      "work_a.0.0.0",
                                      "work_a.-1.0.0",
                                      "work_a.1.0.0 ",
                                      "work_a.1.0.x"};
    for (size_t i = 0; i < ARRAY_COUNT(bad); i++)
        assert_false(hold_name_parse(str_from(bad[i]), &back));
    identity.workload = STR("../../etc");
    assert_int_equal(hold_name_format(&identity, &name), -EINVAL);
}

static void test_records(void **state)
{
    (void)state;
    struct arena arena = {0};
    struct error err;
    struct str groups[] = {STR("2fk:/sys/fs/cgroup/x"), STR("m:/m")};
    struct hold_started started = {.boot = STR("b"),
                                   .holder = 7,
                                   .process = 8,
                                   .groups = {groups, 2},
                                   .user = 1900000000,
                                   .freeze = true,
                                   .at_boot_ms = 5},
                        back;
    struct hold_ended ended = {.exit_code = 137,
                               .signal = 9,
                               .oom = true,
                               .last_lines = STR("caf\xc3\xa9\n\x01")},
                      end;
    assert_int_equal(hold_read(&hold_started_file, top, &arena, &back, &err), -ENOENT);
    assert_int_equal(hold_write(&hold_started_file, top, &started, &err), 0);
    assert_int_equal(hold_read(&hold_started_file, top, &arena, &back, &err), 0);
    assert_true(back.freeze && back.process == 8 && back.user == 1900000000 &&
                back.groups.count == 2);
    assert_true(str_is(((struct str *)back.groups.items)[1], "m:/m"));
    assert_int_equal(hold_write(&hold_ended_file, top, &ended, &err), 0);
    assert_int_equal(hold_read(&hold_ended_file, top, &arena, &end, &err), 0);
    assert_true(end.oom && end.exit_code == 137 && end.signal == 9 &&
                str_equal(end.last_lines, ended.last_lines));
    /* damaged: an error that names the file, nothing taken over */
    char path[HOLD_PATH_MAX];
    assert_int_equal(hold_path(path, top, "ended.json"), 0);
    assert_int_equal(file_replace(path, STR("{\"exit_code\": 256}"), 0600, false, &err), 0);
    assert_true(hold_read(&hold_ended_file, top, &arena, &end, &err) < 0);
    assert_non_null(strstr(err.text, "ended.json"));
    arena_fini(&arena);
}

static void test_lease(void **state)
{
    (void)state;
    struct error err;
    char path[HOLD_PATH_MAX];
    assert_int_equal(hold_lease_read(top), 0);
    assert_int_equal(hold_lease_write(top, 123456789, &err), 0);
    assert_int_equal(hold_lease_read(top), 123456789);
    assert_int_equal(hold_lease_write(top, 5, &err), 0);
    assert_int_equal(hold_lease_read(top), 5);
    assert_int_equal(hold_path(path, top, "lease"), 0);
    assert_int_equal(truncate(path, 3), 0);
    assert_int_equal(hold_lease_read(top), 0);
}

/* Against what a simple reading of the whole output says. */
static void test_last_lines(void **state)
{
    (void)state;
    static struct hold_log log;
    struct buf all = BUF_INIT((size_t)1 << 20);
    log.fd = -1;
    for (int i = 0; i < 3000; i++) {
        char line[64];
        int size = snprintf(line, sizeof line, "line %d \xe2\x82\xac\n", i);
        buf_append(&all, line, (size_t)size);
        hold_log_add(&log, (struct str){line, (size_t)size});
        struct buf lines = BUF_INIT(8192);
        hold_log_last_lines(&log, 100, &lines);
        assert_true(lines.size <= 100 && utf8_valid(buf_str(&lines)));
        assert_memory_equal(lines.data, all.data + all.size - lines.size, lines.size);
        assert_true(lines.size == all.size || all.data[all.size - lines.size - 1] == '\n');
        buf_fini(&lines);
    }
    buf_fini(&all);
}

static void test_last_lines_of_anything(void **state)
{
    (void)state;
    static struct hold_log log;
    static char noise[3 * HOLD_TAIL_MAX];
    unsigned seed = 1;
    log.fd = -1;
    for (size_t i = 0; i < sizeof noise; i++)
        noise[i] = (char)((seed = seed * 1103515245 + 12345) >> 16);
    for (size_t at = 0; at < sizeof noise; at += 1000) {
        struct buf lines = BUF_INIT(8192);
        hold_log_add(&log, (struct str){noise + at, MIN((size_t)1000, sizeof noise - at)});
        hold_log_last_lines(&log, 4096, &lines);
        assert_true(lines.size <= 4096);
        for (size_t i = 0; i < lines.size; i++)
            lines.data[i] =
                lines.data[i] ? lines.data[i] : ' '; /* NUL is for the record to refuse */
        assert_true(utf8_valid(buf_str(&lines)));
        buf_fini(&lines);
    }
}

static void test_log_cap(void **state)
{
    (void)state;
    static struct hold_log log;
    char path[HOLD_PATH_MAX];
    struct buf text = BUF_INIT(4096);
    struct error err;
    assert_int_equal(hold_path(path, top, "log"), 0);
    assert_int_equal(hold_log_open(&log, path, 10), 0);
    hold_log_add(&log, STR("12345678"));
    hold_log_add(&log, STR("90ABC"));
    hold_log_add(&log, STR("the end\n"));
    close(log.fd);
    assert_int_equal(file_read(path, &text, &err), 0);
    assert_true(str_starts(buf_str(&text), STR("1234567890\n[tessera: the log is full")));
    buf_clear(&text);
    hold_log_last_lines(&log, 100, &text);
    assert_string_equal(buf_text(&text), "1234567890ABCthe end\n");
    buf_fini(&text);
}

static struct str find(const struct record_list *environment, const char *name)
{
    const struct record_pair *pairs = environment->items;
    for (size_t i = 0; i < environment->count; i++)
        if (str_is(pairs[i].key, name))
            return pairs[i].value;
    return (struct str){0};
}

static void test_environment(void **state)
{
    (void)state;
    struct arena arena = {0};
    struct record_pair envs[] = {
        {STR("PATH"), STR("/mine")}, {STR("TESSERA_ATTEMPT"), STR("9")}, {STR("A"), STR("1")}};
    struct record_pair secrets[] = {{STR("A"), STR("2")}};
    struct str ips[] = {STR("10.0.0.1"), STR("10.0.0.2")};
    int64_t gpus[] = {1, 3};
    struct agent_gpu node[] = {{.index = 1, .uuid = STR("GPU-one")}};
    struct agent_replica replica = {
        .workload = STR("work_x"),
        .attempt = 2,
        .rank = 1,
        .gpus = {gpus, 2},
        .ips = {ips, 2},
        .master_port = 0,
        .spec = {.envs = {envs, 3}, .secrets = {secrets, 1}, .nodes = 2}};
    struct environment_place place = {STR("/home"), node, 1};
    struct record_list made = environment_make(&replica, &place, &arena);
    assert_true(str_is(find(&made, "PATH"), "/mine"));
    assert_true(str_is(find(&made, "TESSERA_ATTEMPT"), "2"));
    assert_true(str_is(find(&made, "A"), "2"));
    assert_true(str_is(find(&made, "CUDA_VISIBLE_DEVICES"), "GPU-one,3"));
    assert_true(str_is(find(&made, "SKYPILOT_NODE_IPS"), "10.0.0.1\n10.0.0.2"));
    assert_true(find(&made, "MASTER_PORT").data == NULL);
    /* more than exec could hand over is left out, not cut */
    struct str *many = arena_alloc(&arena, 20000 * sizeof *many);
    for (size_t i = 0; i < 20000; i++)
        many[i] = STR("10.100.100.100");
    replica.ips = (struct record_list){many, 20000};
    made = environment_make(&replica, &place, &arena);
    assert_true(find(&made, "SKYPILOT_NODE_IPS").data == NULL);
    arena_fini(&arena);
}

/* Words of one line, as argv; they live in `text`. */
static int parse(const char *line, char text[512], struct agent_options *ret, struct error *err)
{
    char *words[32];
    int count = 0;
    snprintf(text, 512, "%s", line);
    for (char *word = text; word && count < 31; count++) {
        words[count] = word;
        word = strchr(word, ' ');
        if (word)
            *word++ = '\0';
    }
    words[count] = NULL;
    return agent_options_parse(ret, count, words, err);
}

static void test_options(void **state)
{
    (void)state;
    struct agent_options o;
    struct error err;
    char text[512];
    assert_int_equal(
        parse("agent --data d --server s --cpus 0.25 --memory 1.5GiB --place p/r/z/f/k --ask 0.04 "
              "--label a --label b",
              text, &o, &err),
        0);
    assert_true(o.core_milli == 250 && o.memory_mib == 1536 && o.ask_present &&
                o.ask_udollar == 40000);
    assert_int_equal(o.label_count, 2);
    assert_true(str_is(o.place.rack, "k") && str_is(o.place.provider, "p"));
    static const char *const bad[] = {"--cpus 0",
                                      "--cpus 0.0001",
                                      "--cpus x",
                                      "--memory 1.5",
                                      "--memory 0MiB",
                                      "--ask -1",
                                      "--ask",
                                      "--place a//c/d/e",
                                      "--place a/b/c/d/e/f",
                                      "--memory 99999999999999999TiB",
                                      "--unknown 1"};
    for (size_t i = 0; i < ARRAY_COUNT(bad); i++) {
        char line[128];
        snprintf(line, sizeof line, "agent --data d --server s %s", bad[i]);
        assert_int_equal(parse(line, text, &o, &err), -EINVAL);
        assert_non_null(strstr(err.text, "--"));
    }
}

static int make_top(void **state)
{
    (void)state;
    return mkdtemp(top) ? 0 : -1;
}

static int remove_top(void **state)
{
    (void)state;
    return folder_remove(top, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),       cmocka_unit_test(test_records),
        cmocka_unit_test(test_lease),       cmocka_unit_test(test_last_lines),
        cmocka_unit_test(test_log_cap),     cmocka_unit_test(test_last_lines_of_anything),
        cmocka_unit_test(test_environment), cmocka_unit_test(test_options),
    };
    return cmocka_run_group_tests(tests, make_top, remove_top);
}
