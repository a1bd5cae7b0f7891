/* SPDX-License-Identifier: Apache-2.0 */
#include "base/hash.h"
#include "base/memory.h"
#include "wire/base64.h"
#include "wire/id.h"
#include "wire/json.h"
#include "wire/record.h"
#include "wire/unit.h"
#include "wire/yaml.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

struct part {
    struct str name;
    int64_t count;
};
struct sample {
    bool flag, has_limit;
    int64_t cores, limit;
    int32_t level;
    struct str name, secret, blob, extra;
    struct record_list parts, words, envs;
    struct part part;
};
static const char *const levels[] = {"any", "rack", "node", NULL};
static const struct field part_fields[] = {
    {"name", FIELD_STR, .offset = offsetof(struct part, name), .flags = FIELD_REQUIRED},
    {"count", FIELD_I64, .offset = offsetof(struct part, count), .least = 1, .most = 9, .fallback = 1},
};
static const struct record part_record = {"part", sizeof(struct part), part_fields, ARRAY_COUNT(part_fields), "A part."};
static const struct field sample_fields[] = {
    {"name", FIELD_STR, .offset = offsetof(struct sample, name), .flags = FIELD_REQUIRED, .most = 8},
    {"flag", FIELD_BOOL, .offset = offsetof(struct sample, flag)},
    {"cores", FIELD_I64, .offset = offsetof(struct sample, cores), .least = 1, .most = 100, .fallback = 2},
    {"limit", FIELD_I64, .offset = offsetof(struct sample, limit), .present_offset = offsetof(struct sample, has_limit), .flags = FIELD_PRESENT},
    {"level", FIELD_ENUM, .offset = offsetof(struct sample, level), .names = levels},
    {"secret", FIELD_STR, .offset = offsetof(struct sample, secret), .flags = FIELD_SECRET | FIELD_OMIT_EMPTY},
    {"blob", FIELD_BYTES, .offset = offsetof(struct sample, blob), .flags = FIELD_OMIT_EMPTY},
    {"extra", FIELD_JSON, .offset = offsetof(struct sample, extra), .flags = FIELD_OMIT_EMPTY},
    {"parts", FIELD_LIST, .item = FIELD_RECORD, .record = &part_record, .offset = offsetof(struct sample, parts), .most = 3},
    {"words", FIELD_LIST, .item = FIELD_STR, .offset = offsetof(struct sample, words)},
    {"envs", FIELD_MAP, .offset = offsetof(struct sample, envs)},
    {"part", FIELD_RECORD, .record = &part_record, .offset = offsetof(struct sample, part)},
};
static const struct record sample_record = {"sample", sizeof(struct sample), sample_fields, ARRAY_COUNT(sample_fields), "A sample."};

static void test_records_refuse_with_path_and_what_is_allowed(void **state)
{
    (void)state;
    static const struct {
        const char *json, *message;
    } cases[] = {
        {"{}", "name: is missing"},
        {"", "expected an object"},
        {"{\"name\":\"a\"} x", "text follows the object"},
        {"{\"name\":\"a\",\"name\":\"b\"}", "name: stands twice"},
        {"{\"name\":\"123456789\"}", "name: too long, at most 8 are allowed"},
        {"{\"name\":\"a\",\"cores\":0}", "cores: 0 is out of range, allowed is 1 to 100"},
        {"{\"name\":\"a\",\"cores\":-1}", "cores: -1 is out of range, allowed is 1 to 100"},
        {"{\"name\":\"a\",\"cores\":1.5}", "cores: expected an integer, without fraction or exponent"},
        {"{\"name\":\"a\",\"cores\":99999999999999999999}", "cores: the number is too large"},
        {"{\"name\":\"a\",\"cores\":\"1\"}", "cores: expected an integer"},
        {"{\"name\":\"a\",\"level\":\"roof\"}", "level: \"roof\" is unknown, allowed is any, rack, node"},
        {"{\"name\":\"a\",\"parts\":[{\"name\":\"x\"},{\"nam\":1}]}", "parts[1].nam: unknown field, allowed is name count"},
        {"{\"name\":\"a\",\"parts\":[{\"name\":\"x\",\"count\":10}]}", "parts[0].count: 10 is out of range, allowed is 1 to 9"},
        {"{\"name\":\"a\",\"parts\":[{\"name\":\"1\"},{\"name\":\"2\"},{\"name\":\"3\"},{\"name\":\"4\"}]}", "parts[3]: too long, at most 3 are allowed"},
        {"{\"name\":\"\\ud800\"}", "name: a surrogate stands alone"},
        {"{\"name\":\"\xc3\x28\"}", "name: a string is not valid UTF-8"},
        {"{\"name\":\"\\u0000\"}", "name: a NUL character is not allowed"},
        {"{\"name\":\"a\",\"envs\":{\"A\":1}}", "envs[0]: expected a string"},
        {"{\"name\":\"a\",\"blob\":\"a\"}", "blob: not base64"},
    };
    struct arena arena = {0};
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct sample out;
        struct error err = {0};
        assert_true(record_from_json(&sample_record, str_from(cases[i].json), &arena, &out, &err) < 0);
        /* parts[3] is named at the element that is too many */
        assert_non_null(strstr(err.text, strrchr(cases[i].message, ':') ? strrchr(cases[i].message, ':') : cases[i].message));
        if (i != 13)
            assert_string_equal(err.text, cases[i].message);
        arena_clear(&arena);
    }
    arena_fini(&arena);
}

static const char sample_json[] =
    "{\"name\":\"\\u00fc\\n\\ud83d\\ude00\",\"flag\":true,\"cores\":2,\"limit\":-5,\"level\":\"rack\",\"secret\":\"s\","
    "\"blob\":\"AAEC/w==\",\"extra\":{\"a\":[1,2.5e3,null]},\"parts\":[{\"name\":\"x\",\"count\":1}],"
    "\"words\":[\"a\",\"b\"],\"envs\":{\"K\":\"v\"},\"part\":{\"name\":\"y\",\"count\":9}}";

static void test_records_round_trip_in_json_and_binary(void **state)
{
    (void)state;
    struct arena arena = {0};
    struct sample one, two;
    struct error err = {0};
    assert_int_equal(record_from_json(&sample_record, str_from(sample_json), &arena, &one, &err), 0);
    assert_int_equal(one.parts.count, 1);
    assert_true(one.has_limit);
    _cleanup_buf_ struct buf json = BUF_INIT(4096), again = BUF_INIT(4096), bytes = BUF_INIT(4096);
    record_to_json(&sample_record, &one, AUDIENCE_AGENT, &json);
    record_pack(&sample_record, &one, &bytes);
    struct unpack in = unpack_from(buf_str(&bytes));
    assert_int_equal(record_unpack(&sample_record, &in, &arena, &two, &err), 0);
    two.has_limit = true;
    record_to_json(&sample_record, &two, AUDIENCE_AGENT, &again);
    assert_string_equal(buf_text(&json), buf_text(&again));
    buf_clear(&again);
    record_to_json(&sample_record, &one, AUDIENCE_PEOPLE, &again);
    assert_null(strstr(buf_text(&again), "secret"));
    for (size_t cut = 0; cut < bytes.size; cut++) {
        struct unpack part = unpack_from((struct str){bytes.data, cut});
        assert_true(record_unpack(&sample_record, &part, &arena, &two, &err) < 0);
    }
    arena_fini(&arena);
}

static void test_ids_are_a_permutation_and_refuse_what_was_not_made(void **state)
{
    (void)state;
    struct id_key key = {1, 2}, other = {1, 3};
    const uint64_t ids[] = {1, 2, 3, 1u << 20, UINT64_MAX, (uint64_t)1 << 40};
    for (size_t i = 0; i < ARRAY_COUNT(ids); i++) {
        struct id_text text = id_format(key, "work", ids[i]);
        uint64_t back = 0;
        assert_int_equal(strlen(text.text), 21);
        assert_true(id_parse(key, "work", str_from(text.text), &back));
        assert_true(back == ids[i]);
        assert_false(id_parse(key, "node", str_from(text.text), &back));
        assert_false(id_parse(other, "work", str_from(text.text), &back));
        text.text[10] = text.text[10] == '0' ? '1' : '0';
        assert_false(id_parse(key, "work", str_from(text.text), &back));
    }
}

static void test_amounts_are_exact_or_refused(void **state)
{
    (void)state;
    int64_t value = 0;
    assert_true(money_parse(STR("$2.50"), &value) && value == 2500000);
    assert_true(money_parse(STR("0.000001"), &value) && value == 1);
    assert_false(money_parse(STR("0.0000001"), &value));
    assert_false(money_parse(STR("."), &value));
    assert_false(money_parse(STR("9999999999999999"), &value));
    assert_true(span_parse(STR("1.5h"), &value) && value == 5400000);
    assert_true(span_parse(STR("250ms"), &value) && value == 250);
    assert_true(span_parse(STR("30"), &value) && value == 30000);
    assert_false(span_parse(STR("-3s"), &value));
    static const struct {
        udollar amount;
        const char *text;
    } prints[] = {{40000, "0.04000"}, {2500000, "2.500"}, {1234567890, "1234.56"}, {1, "0.000001"}, {0, "0.000000"}, {-153000, "-0.1530"}};
    for (size_t i = 0; i < ARRAY_COUNT(prints); i++) {
        _cleanup_buf_ struct buf out = BUF_INIT(64);
        money_print(&out, prints[i].amount);
        assert_string_equal(buf_text(&out), prints[i].text);
    }
}

static void test_yaml_reads_as_pyyaml_does(void **state)
{
    (void)state;
    struct arena arena = {0};
    struct json_value v;
    struct error err = {0};
    const char *text = "a: 8\nb: yes\nc: '8'\nd: 1.5\ne: ~\nf: [x, {g: 1_000}]\nh: |\n  l1\n  l2\n";
    assert_int_equal(yaml_parse(str_from(text), &arena, &v, &err), 0);
    assert_int_equal(json_get_i64(&v, "a", 0), 8);
    assert_true(json_get_bool(&v, "b"));
    assert_true(str_is(json_get_str(&v, "c"), "8"));
    assert_int_equal(json_get(&v, "d")->type, JSON_NUMBER);
    assert_int_equal(json_get(&v, "e")->type, JSON_NULL);
    assert_int_equal(json_get_i64(&json_get(&v, "f")->items[1], "g", 0), 1000);
    assert_true(str_is(json_get_str(&v, "h"), "l1\nl2\n"));
    const char *const bad[] = {"a: 1\na: 2\n", "", "a: [1\n", "a: !python/object:os.system x\n", "---\na: 1\n---\nb: 2\n",
        "a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b]\nd: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c]\ne: [*d,*d,*d,*d,*d,*d]\n"};
    for (size_t i = 0; i < ARRAY_COUNT(bad); i++)
        assert_true(yaml_parse(str_from(bad[i]), &arena, &v, &err) < 0);
    arena_fini(&arena);
}

/* Every byte at every place of texts around eight letters, which are looked at eight at a time. */
static void test_strings_are_escaped_wherever_they_must_be(void **state)
{
    (void)state;
    for (size_t size = 1; size <= 18; size++)
        for (size_t at = 0; at < size; at++)
            for (unsigned c = 0; c < 128; c++) {
                char text[18];
                memset(text, size % 2 ? 'a' : 0x7f, size);
                text[at] = (char)c;
                struct str given = {text, size};
                struct arena arena = {0};
                struct json_value value;
                _cleanup_buf_ struct buf out = BUF_INIT(256);
                json_string(&out, given);
                size_t extra = c == '"' || c == '\\' || c == '\n' || c == '\t' ? 1 : c < 32 ? 5 : 0;
                assert_int_equal(out.size, size + 2 + extra);
                if (c) { /* the reader takes no zero */
                    assert_int_equal(json_parse(buf_str(&out), &arena, &value, NULL), 0);
                    assert_true(str_equal(value.text, given));
                }
                arena_fini(&arena);
            }
}

static void test_times_are_printed(void **state)
{
    (void)state;
    static const struct {
        time_ms time;
        const char *text;
    } prints[] = {{0, "1970-01-01T00:00:00.000Z"}, {1, "1970-01-01T00:00:00.001Z"}, {-1, "1969-12-31T23:59:59.999Z"},
                  {951826154321, "2000-02-29T12:09:14.321Z"}, {253402300799999, "9999-12-31T23:59:59.999Z"},
                  {253402300800000, "10000-01-01T00:00:00.000Z"}, {-62167219200000, "0000-01-01T00:00:00.000Z"}};
    for (size_t i = 0; i < ARRAY_COUNT(prints); i++) {
        _cleanup_buf_ struct buf out = BUF_INIT(64);
        time_print(&out, prints[i].time);
        assert_string_equal(buf_text(&out), prints[i].text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_records_refuse_with_path_and_what_is_allowed),
        cmocka_unit_test(test_records_round_trip_in_json_and_binary),
        cmocka_unit_test(test_ids_are_a_permutation_and_refuse_what_was_not_made),
        cmocka_unit_test(test_amounts_are_exact_or_refused),
        cmocka_unit_test(test_strings_are_escaped_wherever_they_must_be),
        cmocka_unit_test(test_times_are_printed),
        cmocka_unit_test(test_yaml_reads_as_pyyaml_does),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
