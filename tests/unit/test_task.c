/* SPDX-License-Identifier: Apache-2.0 */
/* Task files: what each line becomes, and how each wrong one is refused. */
#include "base/memory.h"
#include "records/task.h"
#include "wire/unit.h"

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

struct example {
    const char *yaml, *expect; /* part of the request as JSON */
};

static void parse_to_json(const char *yaml, struct buf *json, struct error *err)
{
    _cleanup_(arena_fini) struct arena arena = {.limit = 16 << 20};
    struct task_file task;
    if (task_parse(str_from(yaml), &arena, &task, err) == 0)
        record_to_json(&workload_request_record, &task.request, AUDIENCE_AGENT, json);
}

#define RUN "run: x\n"
static const struct example accepted[] = {
    {RUN, "{\"nodes\":1,\"choices\":[{\"amounts\":{\"gpu_milli\":0,\"core_milli\":1000,\"memory_mib\":0,"
          "\"disk_mib\":0},\"speed_milli\":1000}],\"run\":\"x\",\"priority\":\"normal\","
          "\"notice_ms\":30000,\"signal\":15,\"renew\":true}"},
    {RUN "resources:\n", "\"core_milli\":1000"},
    {RUN "resources: {cpus: 4}", "\"core_milli\":4000"},
    {RUN "resources: {cpus: 4+}", "\"core_milli\":4000"},
    {RUN "resources: {cpus: '0.25+'}", "\"core_milli\":250"},
    {RUN "resources: {memory: 16}", "\"core_milli\":1000,\"memory_mib\":16384"},
    {RUN "resources: {memory: 1.5GB+}", "\"core_milli\":1000"},
    {RUN "resources: {memory: 0.125}", "\"memory_mib\":128"},
    {RUN "resources: {disk_size: 256}", "\"disk_mib\":262144"},
    {RUN "resources: {accelerators: H100}", "\"accelerator\":\"H100\",\"amounts\":{\"gpu_milli\":1000,\"core_milli\":0"},
    {RUN "resources: {accelerators: 'H100:8', cpus: 32}", "\"gpu_milli\":8000,\"core_milli\":32000"},
    {RUN "resources: {accelerators: {H100: 8}}", "\"gpu_milli\":8000"},
    {RUN "resources: {accelerators: {H100: 0.5}}", "\"gpu_milli\":500"},
    {RUN "resources: {accelerators: '*:2'}", "[{\"amounts\":{\"gpu_milli\":2000"},
    {RUN "resources: {instance_type: h100-8x, accelerators: 'H100:8'}", "{\"sku\":\"h100-8x\",\"accelerator\":\"H100\""},
    {RUN "resources: {use_spot: yes}", "\"preemptible\":true"},
    {RUN "resources: {infra: aws/us-east-1/a}", "\"provider\":\"aws\",\"region\":\"us-east-1\",\"zone\":\"a\""},
    {RUN "resources: {infra: '*/*/a'}", "[{\"zone\":\"a\""},
    {RUN "resources: {cloud: aws, region: '*', zone: b}", "\"provider\":\"aws\",\"zone\":\"b\""},
    {RUN "market: {preemptible: true}", "\"preemptible\":true"},
    {RUN "market: {limit: '2.50'}", "\"limit_udollar_per_hour\":2500000"},
    {RUN "market: {limit: 2.5}", "\"limit_udollar_per_hour\":2500000"},
    {RUN "market: {limit: $3}", "\"limit_udollar_per_hour\":3000000"},
    {RUN "market: {limit: 0}", "\"limit_udollar_per_hour\":0"},
    {RUN "market: {priority: high}", "\"priority\":\"high\""},
    {RUN "market: {level: rack}", "\"level\":\"rack\""},
    {RUN "market: {racks: 2}", "\"level\":\"racks\",\"racks\":2"},
    {RUN "market: {notice: 2m}", "\"notice_ms\":120000"},
    {RUN "market: {notice: 0}", "\"notice_ms\":0"},
    {RUN "market: {signal: SIGUSR1}", "\"signal\":10"},
    {RUN "market: {signal: INT}", "\"signal\":2"},
    {RUN "market: {signal: 12}", "\"signal\":12"},
    {RUN "market: {restart_cost: 0.25}", "\"restart_cost_udollar\":250000"},
    {RUN "market: {minimum_run: 10m}", "\"minimum_run_ms\":600000"},
    {RUN "market: {term: 4h, renew: false}", "\"term_ms\":14400000,\"renew\":false"},
    {RUN "market: {urgent: true}", "\"urgent\":true"},
    {RUN "market: {max_run: 4h}", "\"max_run_ms\":14400000"},
    {RUN "market: {retries: 3}", "\"retries\":3"},
    {RUN "market: {on_lost_contact: freeze}", "\"on_lost_contact\":\"freeze\""},
    {RUN "market: {run_time: 90s}", "\"run_time_ms\":90000"},
    {RUN "market: {finish_by: 2027-01-31T18:00Z}", "\"deadline_ms\":1801418400000"},
    {RUN "market: {deadline: '2027-01-31 19:00:00+01:00'}", "\"deadline_ms\":1801418400000"},
    {RUN "market: {earliest: 1970-01-02 00:00}", "\"earliest_ms\":86400000"},
    {RUN "market: {project: vision}", "\"project\":\"vision\""},
    {RUN "market: {nodes_max: 4}", "\"nodes_max\":4"},
    {RUN "market: {preemptible: true, tier: minutes}", "\"tier\":\"minutes\""},
    {RUN "market: {labels: [ib, nvme]}", "\"labels\":[\"ib\",\"nvme\"]"},
    {RUN "market: {skus: [a, {sku: b, speed: 0.5}]}",
     "[{\"sku\":\"a\",\"amounts\":{\"gpu_milli\":0,\"core_milli\":1000,\"memory_mib\":0,\"disk_mib\":0},"
     "\"speed_milli\":1000},{\"sku\":\"b\",\"amounts\":{\"gpu_milli\":0,\"core_milli\":1000,\"memory_mib\":0,"
     "\"disk_mib\":0},\"speed_milli\":500}]"},
    {RUN "secrets: {TOKEN: abc}", "\"secrets\":{\"TOKEN\":\"abc\"}"},
    {RUN "envs: {A: 1, B: yes}", "\"envs\":{\"A\":\"1\",\"B\":\"yes\"}"},
};

static void test_accepted(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(accepted); i++) {
        _cleanup_buf_ struct buf json = BUF_INIT(65536);
        struct error err = {};
        parse_to_json(accepted[i].yaml, &json, &err);
        assert_string_equal(err.text, "");
        if (strstr(buf_text(&json), accepted[i].expect) == NULL)
            fail_msg("%s\nlacks %s\nis    %s", accepted[i].yaml, accepted[i].expect, buf_text(&json));
    }
}

#define LONG40 "aaaaaaaaaabbbbbbbbbbccccccccccdddddddddd"
#define LONG LONG40 LONG40 LONG40 LONG40
static const struct example refused[] = {
    {"", "the file is empty"},
    {"- a", "a task file is a map of fields: name, resources, run and so on"},
    {"name: x", "run: is missing"},
    {RUN "name: a b", "name: allowed are letters, digits, `.`, `_` and `-`"},
    {RUN "ports: 80", "ports: is not supported, allowed is name, num_nodes, resources, workdir, file_mounts, setup, "
                      "run, envs, secrets, market"},
    {RUN "num_nodes: 0", "num_nodes: 0 is out of range, allowed is 1 to 100000"},
    {RUN "num_nodes: 99999999999999999999", "num_nodes: must be a whole number"},
    {RUN "num_nodes: 1.5", "num_nodes: must be a whole number"},
    {"run: [a]", "run: must be text"},
    {RUN "resources: 4", "resources: must be a map of fields"},
    {RUN "resources: {cpus: -1}", "resources.cpus: \"-1\" is not a number of cores, allowed is 0.001 or more, as 4 or 4+"},
    {RUN "resources: {cpus: [1]}", "resources.cpus: must be text"},
    {RUN "resources: {cpus: 999999}", "resources.cpus: out of range, allowed is 0.001 to 100000"},
    {RUN "resources: {memory: lots}", "resources.memory: \"lots\" is not a size in GB, allowed is a number as 16 or 16+"},
    {RUN "resources: {accelerators: 'H100:1.5'}", "resources.accelerators: allowed are whole accelerators, or one share below 1"},
    {RUN "resources: {accelerators: 'H100:65'}", "resources.accelerators: \"65\" is not a count, allowed is 1 to 64, or a share below 1"},
    {RUN "resources: {accelerators: ':8'}", "resources.accelerators: \":8\" names no accelerator, allowed is NAME or NAME:COUNT"},
    {RUN "resources: {accelerators: []}", "resources.accelerators: empty, allowed is NAME or NAME:COUNT"},
    {RUN "resources: {accelerators: [[a]]}", "resources.accelerators[0]: must be text or a map"},
    {RUN "resources: {any_of: [{ports: 1}]}",
     "resources.any_of[0].ports: is not supported, allowed is accelerators, any_of, ordered, cpus, memory, disk_size, "
     "instance_type, use_spot, infra, cloud, region, zone"},
    {RUN "resources: {any_of: [{use_spot: true}, {use_spot: false}]}",
     "resources.any_of[1]: use_spot must be the same in all choices"},
    {RUN "resources: {any_of: [{any_of: []}]}", "resources.any_of[0]: any_of and ordered do not nest"},
    {RUN "resources: {any_of: [{}], ordered: [{}]}", "resources.any_of: goes without `ordered`"},
    {RUN "resources: {infra: a/b/c/d}", "resources.infra: allowed is PROVIDER, PROVIDER/REGION or PROVIDER/REGION/ZONE"},
    {RUN "resources: {infra: a, zone: b}", "resources.infra: goes without cloud, region and zone"},
    {RUN "resources: {use_spot: 1}", "resources.use_spot: must be true or false"},
    {RUN "workdir: s3://bucket", "workdir: buckets and addresses are not supported, allowed is a local path"},
    {RUN "workdir: {url: x}", "workdir: a git repository is not supported, allowed is a local path"},
    {RUN "file_mounts: {/a: $HOME/x}", "file_mounts./a: variables in paths are not supported"},
    {RUN "file_mounts: {/a/../b: x}", "file_mounts./a/../b: `..` is not allowed in the target"},
    {RUN "envs: [A]", "envs: must be a map of names and values"},
    {RUN "envs: {A: {}}", "envs.A: must be text"},
    {RUN "envs: {'A B': 1}", "envs: \"A B\" is not a variable's name, allowed are letters, digits, _, no digit first"},
    {RUN "service: {}", "service: is not supported, allowed is name, num_nodes, resources, workdir, file_mounts, setup, "
                        "run, envs, secrets, market"},
    {RUN "market: {limit: -1}", "market.limit: -1 is out of range, allowed is 0.000000 to 2147.48"},
    {RUN "market: {limit: 1e3}", "market.limit: must be an amount in dollars such as 2.50, to the millionth"},
    {RUN "market: {limit: 0.0000001}", "market.limit: must be an amount in dollars such as 2.50, to the millionth"},
    {RUN "market: {priority: urgent}", "market.priority: \"urgent\" is unknown, allowed is low, normal, high, critical"},
    {RUN "market: {priority: low, limit: 1}", "market.priority: stands for a limit: goes without `limit`"},
    {RUN "market: {level: building}", "market.level: \"building\" is unknown, allowed is any, zone, fabric, racks, rack, node"},
    {RUN "market: {level: racks}", "market.racks: is missing, level `racks` needs it"},
    {RUN "market: {level: rack, racks: 2}", "market.racks: goes with `level: racks`"},
    {RUN "market: {notice: soon}", "market.notice: must be a span of time such as 30s, 5m, 4h or 2d"},
    {RUN "market: {notice: 25h}", "market.notice: 25h is out of range, allowed is 0ms to 1d 0h"},
    {RUN "market: {signal: SIGNAL}", "market.signal: \"SIGNAL\" is no signal, allowed is a name as SIGTERM or 1 to 64"},
    {RUN "market: {preemptible: true, term: 1h}", "market.term: is for firm work: goes with preemptible: false"},
    {RUN "resources: {use_spot: true}\nmarket: {preemptible: false}",
     "market.preemptible: false, but resources.use_spot is true"},
    {RUN "market: {finish_by: tomorrow}", "market.finish_by: must be a time such as 2027-01-31T18:00Z"},
    {RUN "market: {finish_by: 2027-02-29T18:00Z}", "market.finish_by: must be a time such as 2027-01-31T18:00Z"},
    {RUN "market: {finish_by: 2027-01-01T00:00Z, earliest: 2027-01-02T00:00Z}", "market.finish_by: must be after `earliest`"},
    {RUN "market: {skus: [{sku: a, speed: 0}]}", "market.skus[0]: speed: \"0\" is out of range, allowed is 0.001 to 65.535"},
    {RUN "market: {skus: [a]}\nresources: {instance_type: b}", "market.skus: goes without resources.instance_type"},
    {RUN "market: {preemptible: true, tier: soon}", "market.tier: \"soon\" is unknown, allowed is none, instant, seconds, minute, minutes"},
    {RUN "market: {tier: instant}", "market.tier: is for preemptible work: goes with preemptible: true, without a deadline or reservation"},
    {RUN "market: {preemptible: true, tier: instant, finish_by: 2027-01-31T18:00Z}",
     "market.tier: is for preemptible work: goes with preemptible: true, without a deadline or reservation"},
    {RUN "num_nodes: 4\nmarket: {nodes_max: 2}", "market.nodes_max: is less than num_nodes"},
    {RUN "market: {project: " LONG "}", "project: too long, at most 128 are allowed"},
    {RUN "---\nname: b", "more than one document; one is allowed"},
};

static void test_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(refused); i++) {
        _cleanup_buf_ struct buf json = BUF_INIT(65536);
        struct error err = {};
        parse_to_json(refused[i].yaml, &json, &err);
        assert_string_equal(err.text, refused[i].expect);
        assert_true(json.size == 0);
    }
}

static void test_uploads(void **state)
{
    (void)state;
    _cleanup_(arena_fini) struct arena arena = {};
    struct task_file task;
    struct error err = {};
    const char *yaml = RUN "workdir: ./code\nfile_mounts: {/etc/a: a.txt, ~/b: ../b}";
    assert_int_equal(task_parse(str_from(yaml), &arena, &task, &err), 0);
    const struct record_pair *local = task.mounts.items, *packed = task.request.mounts.items;
    assert_true(str_is(task.workdir, "./code"));
    assert_true(str_is(task.request.workdir, "workdir"));
    assert_int_equal(task.mounts.count, 2);
    assert_true(str_is(local[1].key, "~/b") && str_is(local[1].value, "../b"));
    assert_true(str_is(packed[1].key, "~/b") && str_is(packed[1].value, "mounts/1"));
    assert_int_not_equal(task_check(&task, &err), 0);
    assert_string_equal(err.text, "archive: is missing, `workdir` needs it");
}

static void test_set_env(void **state)
{
    (void)state;
    _cleanup_(arena_fini) struct arena arena = {};
    struct task_file task;
    struct error err = {};
    const char *yaml = RUN "envs: {A: 1, B: null}\nsecrets: {TOKEN: null}";
    assert_int_equal(task_parse(str_from(yaml), &arena, &task, &err), 0);
    assert_int_not_equal(task_check(&task, &err), 0);
    assert_string_equal(err.text, "envs.B: has no value, set it in the file or with --env B=VALUE");
    assert_int_equal(task_set_env(&task, STR("B=2=3"), false, &arena, &err), 0);
    assert_int_not_equal(task_check(&task, &err), 0);
    assert_string_equal(err.text, "secrets.TOKEN: has no value, set it in the file or with --secret TOKEN=VALUE");
    assert_int_equal(task_set_env(&task, STR("TOKEN="), true, &arena, &err), 0);
    assert_int_equal(task_set_env(&task, STR("C=new"), false, &arena, &err), 0);
    assert_int_equal(task_check(&task, &err), 0);
    const struct record_pair *envs = task.request.envs.items;
    assert_int_equal(task.request.envs.count, 3);
    assert_true(str_is(envs[1].value, "2=3") && str_is(envs[2].key, "C"));
    assert_int_not_equal(task_set_env(&task, STR("D"), false, &arena, &err), 0);
    assert_string_equal(err.text, "env: \"D\" has no `=`, allowed is NAME=value");
    assert_int_not_equal(task_set_env(&task, STR("1=2"), false, &arena, &err), 0);
}

/* ---- the files -------------------------------------------------------------------------------------- */

static void read_whole(const char *folder, const char *name, struct buf *ret)
{
    char path[1024];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    char part[4096];
    size_t size;
    while ((size = fread(part, 1, sizeof part, file)) > 0)
        buf_append(ret, part, size);
    fclose(file);
}

/* A line `"name":absent` says that the field is left out, every other one what stands there. */
static void check_line(const char *name, struct str line, const char *json)
{
    _cleanup_buf_ struct buf wanted = BUF_INIT(4096);
    struct str absent = STR("absent");
    buf_append_str(&wanted, line);
    bool not = line.size > absent.size && memcmp(line.data + line.size - absent.size, absent.data, absent.size) == 0;
    if (not)
        wanted.data[wanted.size - absent.size] = '\0';
    if ((strstr(json, buf_text(&wanted)) != NULL) == not)
        fail_msg("%s: %.*s is not so in\n%s", name, STR_ARGS(line), json);
}

static void check_file(const char *folder, const char *name)
{
    _cleanup_buf_ struct buf yaml = BUF_INIT(65536), expect = BUF_INIT(65536), json = BUF_INIT(65536);
    char expected[256];
    struct error err = {};
    snprintf(expected, sizeof expected, "%.*s.expect", (int)(strlen(name) - strlen(".yaml")), name);
    read_whole(folder, name, &yaml);
    read_whole(folder, expected, &expect);
    parse_to_json(buf_text(&yaml), &json, &err);
    struct str rest = buf_str(&expect);
    if (str_starts(rest, STR("error: "))) {
        str_cut(&rest, ' ');
        if (!str_is(str_trim(rest), err.text))
            fail_msg("%s: is refused with \"%s\"", name, err.text);
        return;
    }
    assert_string_equal(err.text, "");
    while (rest.size)
        check_line(name, str_cut(&rest, '\n'), buf_text(&json));
}

/* Ours have no expectation beside them: they are taken, and make a request. */
static void check_example(const char *folder, const char *name)
{
    _cleanup_buf_ struct buf yaml = BUF_INIT(65536), json = BUF_INIT(65536);
    struct error err = {};
    read_whole(folder, name, &yaml);
    parse_to_json(buf_text(&yaml), &json, &err);
    if (err.text[0])
        fail_msg("%s: %s", name, err.text);
}

static size_t check_folder(const char *folder, void (*check)(const char *folder, const char *name))
{
    size_t count = 0;
    DIR *entries = opendir(folder);
    assert_non_null(entries);
    for (struct dirent *entry = readdir(entries); entry; entry = readdir(entries)) {
        size_t size = strlen(entry->d_name);
        if (size > 5 && strcmp(entry->d_name + size - 5, ".yaml") == 0) {
            check(folder, entry->d_name);
            count++;
        }
    }
    closedir(entries);
    return count;
}

static void test_files(void **state)
{
    (void)state;
    assert_true(check_folder(getenv("TEST_DATA"), check_file) >= 10);
    assert_true(check_folder(getenv("TEST_EXAMPLES"), check_example) >= 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_accepted), cmocka_unit_test(test_refused), cmocka_unit_test(test_uploads),
        cmocka_unit_test(test_set_env),  cmocka_unit_test(test_files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
