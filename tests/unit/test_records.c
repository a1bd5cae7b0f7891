/* SPDX-License-Identifier: Apache-2.0 */
/* The tables against what every table promises, and the request against its bounds. */
#include "records/api.h"
#include "records/kubeconfig.h"
#include "records/workload.h"

#include <setjmp.h>
#include <errno.h>
#include <stdarg.h>

#include <cmocka.h>

static const struct record *const all[] = {
    &api_error_record, &api_error_body_record, &api_created_record, &api_placement_record,
    &api_step_record, &api_workload_record, &api_workloads_record, &api_bid_change_record,
    &api_changed_record, &api_why_record, &api_bill_line_record, &api_bill_record,
    &api_quote_line_record, &api_quote_record, &api_pool_record, &api_gap_record,
    &api_prices_record, &api_price_point_record, &api_price_history_record, &api_ask_record,
    &api_ask_set_record, &api_node_replica_record, &api_node_record, &api_nodes_record,
    &api_nodes_add_record, &api_nodes_added_record, &api_renew_record, &api_renewed_record,
    &api_drain_record, &api_node_token_record, &api_node_token_made_record, &api_settings_record,
    &api_project_record, &api_projects_record, &api_project_create_record,
    &api_project_change_record, &api_subscription_set_record, &api_subscription_record,
    &api_subscriptions_record, &api_headroom_record, &api_key_record, &api_keys_record, &api_key_create_record,
    &api_key_created_record, &api_whoami_record, &api_entry_record, &api_ledger_record,
    &api_event_record, &api_console_code_record, &api_console_sign_in_record,
    &workload_choice_record, &workload_request_record, &agent_join_record, &agent_joined_record,
    &agent_facts_record, &agent_registered_record, &agent_place_record, &agent_amounts_record,
    &agent_gpu_record, &agent_spec_record, &agent_replica_record, &agent_poll_record,
    &agent_desired_record, &agent_report_record, &agent_reports_record, &agent_outcome_record,
    &agent_outcomes_record, &agent_log_size_record,
};

static size_t field_size(const struct field *f)
{
    switch (f->type) {
    case FIELD_BOOL:
        return sizeof(bool);
    case FIELD_I64:
        return sizeof(int64_t);
    case FIELD_ENUM:
        return sizeof(int32_t);
    case FIELD_RECORD:
        return f->record->size;
    case FIELD_STR:
    case FIELD_BYTES:
    case FIELD_JSON:
        return sizeof(struct str);
    case FIELD_LIST:
    case FIELD_MAP:
        return sizeof(struct record_list);
    }
    return 0;
}

static void check_fields(const struct record *record)
{
    for (size_t i = 0; i < record->count; i++) {
        const struct field *f = &record->fields[i];
        assert_true(f->doc != NULL && f->doc[strlen(f->doc) - 1] == '.');
        assert_true(f->offset + field_size(f) <= record->size);
        assert_false((f->flags & FIELD_OMIT_EMPTY) && f->fallback);
        for (size_t j = 0; j < i; j++) {
            const struct field *other = &record->fields[j];
            assert_string_not_equal(f->name, other->name);
            assert_true(f->offset >= other->offset + field_size(other) ||
                        other->offset >= f->offset + field_size(f));
        }
    }
}

static void test_tables(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(all); i++) {
        assert_true(all[i]->count <= 64);
        assert_non_null(all[i]->doc);
        check_fields(all[i]);
    }
}

/* Whether zero is within the bounds of every field. */
static bool takes_zero(const struct record *record)
{
    for (size_t i = 0; i < record->count; i++) {
        const struct field *f = &record->fields[i];
        if (f->least > 0 || (f->flags & FIELD_REQUIRED))
            return false;
        if (f->type == FIELD_RECORD && !takes_zero(f->record))
            return false;
    }
    return true;
}

/* Zeroed records go out and come back: what an answer leaves out reads as zero. */
static void test_zero_comes_back(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(all); i++) {
        _cleanup_(arena_fini) struct arena arena = {};
        _cleanup_buf_ struct buf text = BUF_INIT(65536), again = BUF_INIT(65536);
        void *value = arena_alloc(&arena, all[i]->size), *back = arena_alloc(&arena, all[i]->size);
        struct error err = {};
        if (!takes_zero(all[i]))
            continue;
        record_to_json(all[i], value, AUDIENCE_AGENT, &text);
        int r = record_from_json(all[i], buf_str(&text), &arena, back, &err);
        assert_string_equal(err.text, "");
        assert_int_equal(r, 0);
        record_to_json(all[i], back, AUDIENCE_AGENT, &again);
        assert_string_equal(buf_text(&text), buf_text(&again));
    }
}

static int read_request(const char *text, struct arena *arena, struct workload_request *ret,
                        struct error *err)
{
    int r = record_from_json(&workload_request_record, str_from(text), arena, ret, err);
    return r == 0 ? workload_check(ret, err) : r;
}

static void test_request_defaults(void **state)
{
    (void)state;
    _cleanup_(arena_fini) struct arena arena = {};
    struct workload_request request;
    struct error err = {};
    read_request("{\"choices\": [{\"amounts\": {\"core_milli\": 500}}], \"run\": \"true\"}", &arena,
                 &request, &err);
    assert_string_equal(err.text, "");
    const struct workload_choice *choice = request.choices.items;
    assert_int_equal(request.nodes, 1);
    assert_int_equal(request.priority, PRIORITY_NORMAL);
    assert_int_equal(request.notice_ms, 30000);
    assert_int_equal(request.signal, 15);
    assert_true(request.renew);
    assert_false(request.limit_present);
    assert_int_equal(choice->speed_milli, 1000);
}

#define CHOICES "\"choices\": [{\"amounts\": {\"core_milli\": 500}}]"
static void test_request_refusals(void **state)
{
    (void)state;
    static const struct {
        const char *text, *error;
    } cases[] = {
        {"{\"run\": \"true\"}", "choices: is missing"},
        {"{\"run\": \"true\", \"choices\": []}", "choices: empty, at least one is needed"},
        {"{" CHOICES "}", "run: is missing"},
        {"{\"run\": \"x\", " CHOICES ", \"nodes\": 0}",
         "nodes: 0 is out of range, allowed is 1 to 100000"},
        {"{\"run\": \"x\", " CHOICES ", \"limit_udollar_per_hour\": 2147483648}",
         "limit_udollar_per_hour: 2147483648 is out of range, allowed is 0 to 2147483647"},
        {"{\"run\": \"x\", " CHOICES ", \"name\": \"a b\"}",
         "name: allowed are letters, digits, `.`, `_` and `-`"},
        {"{\"run\": \"x\", " CHOICES ", \"level\": \"racks\"}",
         "racks: goes with level `racks` and is at least 1 there"},
        {"{\"run\": \"x\", " CHOICES ", \"tier\": \"instant\"}",
         "tier: goes with preemptible work, and without a term"},
        {"{\"run\": \"x\", " CHOICES ", \"tier\": \"instant\", \"preemptible\": true, \"reservation\": \"r\"}",
         "tier: goes with preemptible work, and without reservation"},
        {"{\"run\": \"x\", " CHOICES ", \"tier\": \"soon\"}",
         "tier: \"soon\" is unknown, allowed is none, instant, seconds, minute, minutes"},
        {"{\"run\": \"x\", " CHOICES ", \"archive\": \"12\"}",
         "archive: not a SHA-256 of 64 hexadecimal digits"},
        {"{\"run\": \"x\", " CHOICES ", \"workdir\": \".\"}",
         "archive: is missing, `workdir` needs it"},
        {"{\"run\": \"x\", " CHOICES ", \"envs\": {\"1A\": \"\"}}",
         "envs: \"1A\" is not a variable's name, allowed are letters, digits, _, no digit first"},
        {"{\"run\": \"x\", \"choices\": [{\"amounts\": {\"gpu_milli\": 1500}}]}",
         "choices[0].amounts.gpu_milli: 1500, allowed are whole GPUs or a share below 1000"},
        {"{\"run\": \"x\", \"choices\": [{}]}",
         "choices[0].amounts: takes neither a GPU nor a core, at least one of the two is needed"},
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        _cleanup_(arena_fini) struct arena arena = {};
        struct workload_request request;
        struct error err = {};
        assert_int_not_equal(read_request(cases[i].text, &arena, &request, &err), 0);
        assert_string_equal(err.text, cases[i].error);
    }
}

static void test_secrets_stay(void **state)
{
    (void)state;
    _cleanup_(arena_fini) struct arena arena = {};
    _cleanup_buf_ struct buf people = BUF_INIT(65536), agents = BUF_INIT(65536);
    struct workload_request request;
    struct error err = {};
    read_request("{\"run\": \"x\", " CHOICES ", \"secrets\": {\"TOKEN\": \"swordfish\"}}", &arena,
                 &request, &err);
    record_to_json(&workload_request_record, &request, AUDIENCE_PEOPLE, &people);
    record_to_json(&workload_request_record, &request, AUDIENCE_AGENT, &agents);
    assert_null(strstr(buf_text(&people), "swordfish"));
    assert_non_null(strstr(buf_text(&agents), "swordfish"));
}

/* Through the journal's bytes: whether a limit was given, and what older bytes do not have. */
static void test_binary(void **state)
{
    (void)state;
    _cleanup_(arena_fini) struct arena arena = {};
    _cleanup_buf_ struct buf bytes = BUF_INIT(65536);
    struct workload_request request, back;
    struct error err = {};
    read_request("{\"run\": \"x\", " CHOICES ", \"limit_udollar_per_hour\": 0}", &arena, &request, &err);
    record_pack(&workload_request_record, &request, &bytes);
    struct unpack in = unpack_from(buf_str(&bytes));
    assert_int_equal(record_unpack(&workload_request_record, &in, &arena, &back, &err), 0);
    assert_true(back.limit_present && back.renew);
    assert_int_equal(back.notice_ms, 30000);
    struct unpack old = unpack_from((struct str){"\0", 1});
    assert_int_equal(record_unpack(&workload_request_record, &old, &arena, &back, &err), 0);
    assert_true(!back.limit_present && back.renew);
    assert_int_equal(back.nodes, 1);
}

static void test_kubeconfig(void **state)
{
    (void)state;
    static const struct {
        const char *text, *error;
    } refused[] = {
        {"{}", "kubeconfig: no cluster"},
        {"clusters: [{cluster: {server: \"https://a\", certificate-authority: /etc/ca}}]", "kubeconfig: certificate-authority names a file"},
        {"clusters: [{cluster: {certificate-authority-data: \"%%\"}}]", "kubeconfig: certificate-authority-data is not PEM"},
        {"clusters: [{cluster: {}}]\nusers: [{user: {exec: {command: rm}}}]", "kubeconfig: exec names"},
        {"clusters: [{cluster: {}}]\nusers: [{user: {client-key-data: YQ==}}]", "kubeconfig: client-certificate-data and"},
        {"a: [", "kubeconfig: "},
    };
    _cleanup_(arena_fini) struct arena arena = {};
    struct kubeconfig config;
    struct error err = {};
    for (size_t i = 0; i < ARRAY_COUNT(refused); i++) {
        assert_int_equal(kubeconfig_parse(str_from(refused[i].text), &arena, &config, &err), -EINVAL);
        assert_non_null(strstr(err.text, refused[i].error));
    }
    const char *two = "current-context: b\ncontexts: [{name: a, context: {cluster: x, user: x}}, {name: b, context: {cluster: y, user: y}}]\n"
                      "clusters: [{name: x, cluster: {server: \"https://x\"}}, {name: y, cluster: {server: \"https://y\", certificate-authority-data: Y2E=}}]\n"
                      "users: [{name: x, user: {token: no}}, {name: y, user: {token: yes1}}]\n";
    assert_int_equal(kubeconfig_parse(str_from(two), &arena, &config, &err), 0);
    assert_string_equal(config.server.data, "https://y");
    assert_string_equal(config.authority.data, "ca");
    assert_string_equal(config.token.data, "yes1");
    assert_null(config.certificate.data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tables),           cmocka_unit_test(test_zero_comes_back),
        cmocka_unit_test(test_request_defaults), cmocka_unit_test(test_request_refusals),
        cmocka_unit_test(test_secrets_stay),     cmocka_unit_test(test_binary),
        cmocka_unit_test(test_kubeconfig),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
