/* SPDX-License-Identifier: Apache-2.0 */
/* run, submit, quote: what takes a task file or a command. */
#include "cli/commands.h"

#include "cli/api_call.h"
#include "cli/follow.h"
#include "cli/format.h"
#include "cli/listing.h"
#include "cli/submission.h"
#include "wire/unit.h"

#include <stdio.h>

static void tell_submitted(const struct task_file *task, const struct api_created *created)
{
    const struct workload_request *request = &task->request;
    const struct workload_choice *choice = request->choices.items;
    _cleanup_buf_ struct buf text = BUF_INIT(1000);
    bool gpus = choice->amounts.gpu_milli > 0;
    int64_t each = gpus ? choice->amounts.gpu_milli : choice->amounts.core_milli;
    if (request->name.size)
        buf_printf(&text, "%.*s, ", STR_ARGS(request->name));
    format_size(&text, request->nodes, each * request->nodes,
                format_unit(gpus ? STR("gpu") : STR("core"), each));
    buf_append_text(&text, request->preemptible ? ", preemptible" : ", firm");
    if (request->limit_present) {
        buf_append_text(&text, ", at most ");
        format_money(&text, request->limit_udollar_per_hour);
        buf_printf(&text, " per %s-hour", gpus ? "GPU" : "core");
    } else {
        buf_printf(&text, ", priority %s", workload_priority_names[request->priority]);
    }
    fprintf(stderr, "%.*s: %s%s\n", STR_ARGS(created->id), buf_text(&text),
            created->repeated ? " (submitted before with this idempotency key)" : "");
}

int command_run(struct cli *cli)
{
    struct task_file task;
    struct api_created created = {};
    int code = submission_send(cli, &task, &created);
    if (code)
        return code;
    if (cli->json)
        cli_print_json(cli);
    if (cli_flag(cli, "detach")) {
        if (!cli->json)
            printf("%.*s\n", STR_ARGS(created.id));
        return EXIT_OK;
    }
    cli_flush(EXIT_OK);
    if (!cli->json)
        tell_submitted(&task, &created);
    return follow_workload(cli, &created);
}

int command_submit(struct cli *cli)
{
    struct task_file task;
    struct api_created created = {};
    int code = submission_send(cli, &task, &created);
    if (code || cli_print_json(cli))
        return code;
    printf("%.*s\n", STR_ARGS(created.id));
    return EXIT_OK;
}

/* ---- quote
 * ---------------------------------------------------------------------------------------- */

/* Files are named, not uploaded: what a workload costs does not depend on them. */
static void name_archive(struct task_file *task)
{
    if (task->workdir.size || task->mounts.count)
        task->request.archive =
            STR("0000000000000000000000000000000000000000000000000000000000000000");
}

static const char *freedom_name(struct str freedom)
{
    static const char *const names[][2] = {{"as_is", "as it stands"},
                                           {"preemptible", "preemptible"},
                                           {"any_rack", "any rack"},
                                           {"other_skus", "other SKUs"},
                                           {"later", "a later finish"}};
    for (size_t i = 0; i < ARRAY_COUNT(names); i++)
        if (str_is(freedom, names[i][0]))
            return names[i][1];
    return NULL;
}

/* "If it may be preempted: it gives this freedom already" without what the row's name says. */
static struct str reason_of(const struct api_quote_line *line)
{
    struct str rest = line->text;
    struct str head = str_cut(&rest, ':');
    rest = str_trim(rest.size ? rest : head);
    rest.size -= rest.size && rest.data[rest.size - 1] == '.';
    return rest;
}

static const char *start_of(const struct api_quote_line *line)
{
    if (line->above_limit)
        return "not at this limit";
    return line->starts_now ? "now" : "when there is room at this price";
}

static void quote_row(struct listing *listing, const struct api_quote_line *line)
{
    const char *name = freedom_name(line->freedom);
    bool as_is = str_is(line->freedom, "as_is");
    if (name)
        listing_cell(listing, "%s", name);
    else
        listing_str(listing, line->freedom);
    if (line->fits && (line->offered || as_is)) {
        listing_money(listing, line->unit_rate_udollar_per_hour);
        listing_money(listing, line->rate_udollar_per_hour);
        if (as_is)
            listing_cell(listing, "%s", "");
        else
            listing_money(listing, line->saves_udollar_per_hour);
        listing_cell(listing, "%s", start_of(line));
        return;
    }
    for (int i = 0; i < 3; i++)
        listing_cell(listing, "-");
    listing_str(listing, reason_of(line));
}

struct part {
    const char *name;
    udollar rate;
};

/* Where the price as it stands comes from. */
static void print_parts(const struct api_quote_line *line)
{
    const struct part parts[] = {{"asks", line->ask_udollar_per_hour},
                                 {"scarcity", line->scarcity_udollar_per_hour},
                                 {"being firm", line->premium_udollar_per_hour},
                                 {"its flexibility", -line->credit_udollar_per_hour},
                                 {"moving data", line->transfer_udollar_per_hour},
                                 {"what others lose", line->displacement_udollar_per_hour}};
    _cleanup_buf_ struct buf text = BUF_INIT(1000);
    for (size_t i = 0; i < ARRAY_COUNT(parts); i++) {
        if (parts[i].rate == 0)
            continue;
        buf_printf(&text, "%s%s ", text.size ? ", " : "", parts[i].name);
        format_money(&text, parts[i].rate);
    }
    if (text.size)
        printf("\nThe price of an hour as it stands: %s.\n", buf_text(&text));
}

static void print_quote(const struct api_quote *quote)
{
    const struct api_quote_line *lines = quote->lines.items;
    struct listing listing = {};
    _cleanup_buf_ struct buf limit = BUF_INIT(64);
    format_money(&limit, quote->limit_udollar_per_hour);
    printf("%.*s%s%lld %s, %.*s%s%s, at most %s per unit-hour\n\n", STR_ARGS(quote->name),
           quote->name.size ? ": " : "", (long long)quote->nodes,
           quote->nodes == 1 ? "replica" : "replicas", STR_ARGS(quote->kind), quote->tier ? ", tier " : "",
           quote->tier ? workload_tier_names[quote->tier] : "", buf_text(&limit));
    listing_begin(&listing, "|>PER UNIT-HOUR|>ALL, PER HOUR|>SAVES|STARTS");
    for (size_t i = 0; i < quote->lines.count; i++)
        quote_row(&listing, &lines[i]);
    listing_end(&listing, stdout);
    if (quote->lines.count)
        print_parts(&lines[0]);
}

int command_quote(struct cli *cli)
{
    struct task_file task;
    struct api_quote quote = {};
    struct error err = {};
    int code = submission_read(cli, &task);
    if (code)
        return code;
    name_archive(&task);
    if (task_check(&task, &err) < 0)
        return cli_fail(EXIT_USAGE, "%s", err.text);
    struct api_call call = {
        .path = "/v1/quote", .input = &workload_request_record, .value = &task.request};
    code = api_call(cli, &call, &api_quote_record, &quote);
    if (code == EXIT_OK && !cli_print_json(cli))
        print_quote(&quote);
    return code;
}
