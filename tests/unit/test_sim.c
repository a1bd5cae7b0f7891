/* SPDX-License-Identifier: Apache-2.0 */
/* Readers of the simulator: columns by name, file and line in complaints, gzip, limits; and the
 * baselines on lists so small that the answer is known. */
#include "sim/csv.h"
#include "sim/fragmentation.h"
#include "sim/input.h"
#include "sim/options.h"
#include "sim/report.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>
#define ZLIB_CONST
#include <zlib.h>

static const struct csv_column columns[] = {
    {"submit_time|submission_time", false}, {"name", false}, {"note", true}};
static const struct csv_form form = {.columns = columns, .count = 3};

static struct buf text_of(const char *text)
{
    struct buf b = BUF_INIT(1 << 20);
    buf_append_text(&b, text);
    return b;
}

static void csv_finds_columns_by_name(void **state)
{
    (void)state;
    struct csv c;
    struct error err;
    _cleanup_buf_ struct buf text =
        text_of("\xef\xbb\xbfother,name,submission_time\r\n1,\"a \"\"b\"\", c\",2.75\n\n,d,3\n");
    assert_int_equal(csv_open(&c, "t.csv", &text, &form, &err), 0);
    assert_int_equal(csv_next(&c, &err), 1);
    assert_true(str_is(c.fields[1], "a \"b\", c"));
    assert_int_equal(c.fields[2].size, 0);
    int64_t time;
    assert_int_equal(csv_number(&c, 0, (struct csv_range){1000, 0, 10000}, &time, &err), 0);
    assert_int_equal(time, 2750);
    assert_int_equal(csv_number(&c, 0, (struct csv_range){1, 0, 10}, &time, &err), 0);
    assert_int_equal(time, 2);
    assert_int_equal(csv_next(&c, &err), 1);
    assert_int_equal(c.line, 4);
    assert_true(str_is(c.fields[1], "d"));
    assert_int_equal(csv_next(&c, &err), 0);
}

static void csv_names_file_line_and_column(void **state)
{
    (void)state;
    struct csv c;
    struct error err;
    int64_t number;
    _cleanup_buf_ struct buf lacks = text_of("name\nx\n");
    assert_true(csv_open(&c, "t.csv", &lacks, &form, &err) < 0);
    assert_string_equal(err.text, "t.csv:1: no column submit_time|submission_time");
    _cleanup_buf_ struct buf wrong = text_of("name,submit_time\nx,soon\ny,11\nz,\"1\n");
    assert_int_equal(csv_open(&c, "t.csv", &wrong, &form, &err), 0);
    assert_int_equal(csv_next(&c, &err), 1);
    assert_true(csv_number(&c, 0, (struct csv_range){1, 0, 10}, &number, &err) < 0);
    assert_string_equal(err.text, "t.csv:2: submit_time|submission_time: \"soon\" is not a number");
    assert_int_equal(csv_next(&c, &err), 1);
    assert_true(csv_number(&c, 0, (struct csv_range){1, 0, 10}, &number, &err) < 0);
    assert_string_equal(
        err.text, "t.csv:3: submit_time|submission_time: 11 is out of range, allowed is 0 to 10");
    assert_true(csv_next(&c, &err) < 0);
    assert_string_equal(err.text, "t.csv:4: a quote that does not close");
}

static void csv_takes_other_names(void **state)
{
    (void)state;
    struct csv c;
    struct error err;
    struct csv_form mapped = {.columns = columns,
                              .count = 3,
                              .separator = '|',
                              .map = "submit_time=Submit, name=JobName"};
    _cleanup_buf_ struct buf text = text_of("JobName|Submit\nj|7\n");
    assert_int_equal(csv_open(&c, "t.csv", &text, &mapped, &err), 0);
    assert_int_equal(csv_next(&c, &err), 1);
    assert_true(str_is(c.fields[0], "7") && str_is(c.fields[1], "j"));
    mapped.map = "submitted=Submit";
    assert_true(csv_open(&c, "t.csv", &text, &mapped, &err) < 0);
    assert_string_equal(err.text, "--map: submitted: no such column here");
}

static struct buf gzip_of(struct str plain)
{
    struct buf b = BUF_INIT(1 << 20);
    char *room = buf_reserve(&b, 4096);
    z_stream z = {.next_in = (z_const Bytef *)plain.data,
                  .avail_in = (uInt)plain.size,
                  .next_out = (Bytef *)room,
                  .avail_out = 4096};
    assert_int_equal(deflateInit2(&z, 9, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
    assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
    b.size = 4096 - z.avail_out;
    deflateEnd(&z);
    return b;
}

static void input_unpacks_gzip(void **state)
{
    (void)state;
    struct error err;
    _cleanup_buf_ struct buf packed = gzip_of(STR("hello, "));
    _cleanup_buf_ struct buf second = gzip_of(STR("world"));
    buf_append_str(&packed, buf_str(&second));
    _cleanup_buf_ struct buf out = BUF_INIT(100);
    assert_int_equal(input_unpack(buf_str(&packed), &out, &err), 0);
    assert_string_equal(out.data, "hello, world");
    _cleanup_buf_ struct buf small = BUF_INIT(10);
    assert_true(input_unpack(buf_str(&packed), &small, &err) < 0);
    assert_string_equal(err.text, "larger than 10 bytes");
    _cleanup_buf_ struct buf cut = BUF_INIT(100);
    assert_true(input_unpack((struct str){second.data, second.size - 3}, &cut, &err) < 0);
    assert_string_equal(err.text, "gzip: ends too early");
    second.data[12] ^= 0x55;
    _cleanup_buf_ struct buf bad = BUF_INIT(100);
    assert_true(input_unpack(buf_str(&second), &bad, &err) < 0);
}

static void openb_load(struct openb *o, const char *nodes, const char *pods)
{
    struct error err;
    *o = (struct openb){.node_text = text_of(nodes), .pod_text = text_of(pods)};
    assert_int_equal(openb_parse_nodes(o, "nodes", &err), 0);
    assert_int_equal(openb_parse_pods(o, "pods", &err), 0);
}

/* Two nodes of 2 GPUs, one with too few cores for anything but shares. */
static const char small_nodes[] =
    "sn,cpu_milli,memory_mib,gpu,model\nb,1000,100,2,T4\na,9000,100,2,P100\n";

static void openb_counts_what_failed(void **state)
{
    (void)state;
    struct openb o;
    openb_load(&o, small_nodes,
               "name,cpu_milli,memory_mib,num_gpu,gpu_milli,gpu_spec\np0,4000,10,1,1000,P100\np1,"
               "4000,10,1,1000,P100|T4\n"
               "p2,4000,10,1,1000,\np3,9000,10,0,0,\n");
    assert_int_equal(o.pod_count, 4);
    assert_int_equal(o.fleet.gpu_milli, 4000);
    struct fragmentation_result r;
    fragmentation_run(&o, &(struct fragmentation){&policy_bestfit, 1, 750}, &r);
    assert_int_equal(r.arrived, 4);
    assert_int_equal(r.placed + r.failed_gpu + r.failed_cpu_only, 4);
    assert_true(r.placed == 2 || r.placed == 1);
    assert_int_equal(r.refused_that_fit, 0);
    openb_fini(&o);
}

/* Both put the share where the typical pod loses least: beside the other one. */
static void shares_leave_gpus_whole(void **state)
{
    (void)state;
    struct openb o;
    openb_load(&o, "sn,cpu_milli,memory_mib,gpu,model\na,90000,900,2,T4\nb,90000,900,2,T4\n",
               "name,cpu_milli,memory_mib,num_gpu,gpu_milli\np0,1000,1,1,500\np1,1000,1,1,500\np2,"
               "1000,1,2,1000\n");
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct fragmentation_result r;
        fragmentation_run(&o, &(struct fragmentation){&policy_fgd, seed, 750}, &r);
        assert_int_equal(r.placed, 3);
        fragmentation_run(&o, &(struct fragmentation){&policy_market, seed, 750}, &r);
        assert_int_equal(r.placed, 3);
    }
    openb_fini(&o);
}

static void saturate_grows_and_shrinks(void **state)
{
    (void)state;
    struct openb o;
    openb_load(
        &o, small_nodes,
        "name,cpu_milli,memory_mib,num_gpu,gpu_milli\np0,1,1,1,500\np1,1,1,1,500\np2,1,1,1,1000\n");
    size_t count;
    xfree(openb_arrivals(&o, 3, 4000, &count));
    assert_true(count > 16 && count <= 32);
    xfree(openb_arrivals(&o, 3, 250, &count));
    assert_true(count <= 2);
    openb_fini(&o);
}

static void openb_refuses_nonsense(void **state)
{
    (void)state;
    struct error err;
    struct openb o = {.node_text = text_of("sn,cpu_milli,memory_mib,gpu,model\na,1,1,17,T4\n")};
    assert_true(openb_parse_nodes(&o, "n.csv", &err) < 0);
    assert_string_equal(err.text, "n.csv:2: gpu: 17 is out of range, allowed is 0 to 16");
    openb_fini(&o);
    o = (struct openb){.pod_text =
                           text_of("name,cpu_milli,memory_mib,num_gpu,gpu_milli\np,1,1,2,500\n")};
    assert_true(openb_parse_pods(&o, "p.csv", &err) < 0);
    assert_string_equal(err.text, "p.csv:2: gpu_milli: only a single GPU can be shared");
    openb_fini(&o);
}

static void options_are_checked(void **state)
{
    (void)state;
    struct sim_options o;
    struct error err;
    const char *good[] = {"sim",    "--trace", "openb:a/b.csv",   "--fleet=c.csv",
                          "--seed", "7",       "--saturate=1.25", "--json"};
    assert_int_equal(sim_options_parse(8, good, &o, &err), 0);
    assert_string_equal(o.trace.format, "openb");
    assert_string_equal(o.trace.path, "a/b.csv");
    assert_string_equal(o.fleet.format, "");
    assert_int_equal(o.saturate_milli, 1250);
    assert_true(sim_options_allow(&o, 1u << OPTION_TRACE, "openb", &err) < 0);
    assert_string_equal(err.text, "--fleet: a trace of format openb has no use for it");
    const char *bad[] = {"sim", "--sed", "1"};
    assert_true(sim_options_parse(3, bad, &o, &err) < 0);
    assert_string_equal(err.text, "--sed: no such option; tessera sim --help lists them");
}

static void reals_are_not_rounded(void **state)
{
    (void)state;
    _cleanup_buf_ struct buf out = BUF_INIT(100);
    real_print(&out, 0.1);
    buf_append_byte(&out, ' ');
    real_print(&out, 1.0 / 3);
    assert_string_equal(out.data, "0.1 0.3333333333333333");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(csv_finds_columns_by_name),
        cmocka_unit_test(csv_names_file_line_and_column),
        cmocka_unit_test(csv_takes_other_names),
        cmocka_unit_test(input_unpacks_gzip),
        cmocka_unit_test(openb_counts_what_failed),
        cmocka_unit_test(shares_leave_gpus_whole),
        cmocka_unit_test(saturate_grows_and_shrinks),
        cmocka_unit_test(openb_refuses_nonsense),
        cmocka_unit_test(options_are_checked),
        cmocka_unit_test(reals_are_not_rounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
