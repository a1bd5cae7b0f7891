/* SPDX-License-Identifier: Apache-2.0 */
/* project create, project list, project set. */
#include "cli/commands.h"

#include "cli/api_call.h"
#include "cli/format.h"
#include "cli/listing.h"
#include "records/api.h"
#include "wire/unit.h"

#include <stdio.h>

static int take_budget(const struct cli *cli, udollar *ret, bool *ret_present)
{
    const char *text = cli_option(cli, "budget");
    *ret_present = text != NULL;
    if (text == NULL || (money_parse(str_from(text), ret) && *ret >= 0))
        return EXIT_OK;
    return cli_fail(EXIT_USAGE,
                    "--budget: \"%s\" is not allowed, allowed are dollars such as 500 or 12.50",
                    text);
}

static void print_project(const struct api_project *project)
{
    _cleanup_buf_ struct buf text = BUF_INIT(200);
    format_money(&text, project->spent_udollar);
    buf_append_text(&text, " spent, ");
    if (project->limited) {
        buf_append_text(&text, "budget ");
        format_money(&text, project->budget_udollar);
    } else {
        buf_append_text(&text, "no limit");
    }
    printf("%.*s: %s\n", STR_ARGS(project->name), buf_text(&text));
    const struct api_quota *quotas = project->quotas.items;
    for (size_t i = 0; i < project->quotas.count; i++) {
        _cleanup_buf_ struct buf used = BUF_INIT(64);
        milli_print(&used, quotas[i].used_milli);
        printf("quota %s%s%.*s: %s of %lld in use\n", api_quota_kind_names[quotas[i].kind], quotas[i].type.size ? ":" : "",
               STR_ARGS(quotas[i].type), buf_text(&used), (long long)quotas[i].total);
    }
}

int command_project_create(struct cli *cli)
{
    struct api_project_create wish = {.name = str_from(cli->operands[0])};
    struct api_project project = {};
    int code = take_budget(cli, &wish.budget_udollar, &wish.budget_present);
    if (code)
        return code;
    struct api_call call = {.path = "/v1/projects",
                            .input = &api_project_create_record,
                            .value = &wish,
                            .subject = cli->operands[0]};
    code = api_call(cli, &call, &api_project_record, &project);
    if (code == EXIT_OK && !cli_print_json(cli))
        print_project(&project);
    return code;
}

static int fail_quota(struct str word)
{
    return cli_fail(EXIT_USAGE, "--quota: \"%.*s\" is not allowed, allowed is KIND=N or KIND:TYPE=N with KIND "
                                "instances, gpus, cores, bids, reserved, volumes or storage; N may be `none`",
                    STR_ARGS(word));
}

/* KIND=N or KIND:TYPE=N. */
static bool take_quota(struct str word, struct api_quota_set *ret)
{
    struct str number = word, what = str_cut(&number, '='), type = what, kind = str_cut(&type, ':');
    bool found = false;
    *ret = (struct api_quota_set){.type = type};
    for (int32_t i = 0; api_quota_kind_names[i] && !found; i++) {
        found = str_is(kind, api_quota_kind_names[i]);
        ret->kind = i;
    }
    ret->total_present = !str_is(number, "none");
    return found && (!ret->total_present || (str_to_i64(number, &ret->total) && ret->total >= 0));
}

#define QUOTAS_MOST 64
static int set_quotas(struct cli *cli, struct api_project *project)
{
    struct api_quota_set quotas[QUOTAS_MOST];
    size_t count = 0;
    for (struct str rest = str_from(cli_option(cli, "quota")); rest.size;) {
        struct str word = str_cut(&rest, ',');
        if (count == QUOTAS_MOST || !take_quota(word, &quotas[count++]))
            return fail_quota(word);
    }
    if (count == 0)
        return fail_quota(STR(""));
    struct api_quotas_set set = {.quotas = {quotas, count}};
    struct api_call call = {.input = &api_quotas_set_record,
                            .value = &set,
                            .subject = cli->operands[0],
                            .path = api_path(cli, "/v1/projects/", cli->operands[0], "/quotas")};
    return api_call(cli, &call, &api_project_record, project);
}

static int set_budget(struct cli *cli, struct api_project *project)
{
    struct api_project_change change = {.unlimited = strcmp(cli_option(cli, "budget"), "none") == 0};
    int code = change.unlimited ? EXIT_OK : take_budget(cli, &change.budget_udollar, &change.budget_present);
    if (code)
        return code;
    struct api_call call = {.method = "PATCH",
                            .input = &api_project_change_record,
                            .value = &change,
                            .subject = cli->operands[0],
                            .path = api_path(cli, "/v1/projects/", cli->operands[0], "")};
    return api_call(cli, &call, &api_project_record, project);
}

int command_project_set(struct cli *cli)
{
    struct api_project project = {};
    bool budget = cli_option(cli, "budget") != NULL, quota = cli_option(cli, "quota") != NULL;
    if (budget == quota)
        return cli_fail(EXIT_USAGE, "project set: one of --budget DOLLARS and --quota KIND=N is needed; `none` lifts either");
    int code = budget ? set_budget(cli, &project) : set_quotas(cli, &project);
    if (code == EXIT_OK && !cli_print_json(cli))
        print_project(&project);
    return code;
}

int command_project_list(struct cli *cli)
{
    struct api_projects all = {};
    struct listing listing = {};
    int code = api_get(cli, "/v1/projects", &api_projects_record, &all);
    if (code || cli_print_json(cli))
        return code;
    const struct api_project *projects = all.projects.items;
    listing_begin(&listing, "PROJECT|ID|>BUDGET|>SPENT|>LEFT");
    for (size_t i = 0; i < all.projects.count; i++) {
        listing_str(&listing, projects[i].name);
        listing_str(&listing, projects[i].id);
        if (projects[i].limited)
            listing_money(&listing, projects[i].budget_udollar);
        else
            listing_cell(&listing, "no limit");
        listing_money(&listing, projects[i].spent_udollar);
        if (projects[i].limited)
            listing_money(&listing, projects[i].budget_udollar - projects[i].spent_udollar);
        else
            listing_cell(&listing, "-");
    }
    listing_end(&listing, stdout);
    return EXIT_OK;
}
