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

int command_project_set(struct cli *cli)
{
    struct api_project_change change = {};
    struct api_project project = {};
    const char *budget = cli_option(cli, "budget");
    if (budget == NULL)
        return cli_fail(EXIT_USAGE,
                        "project set: --budget DOLLARS is missing; --budget none lifts the limit");
    int code = EXIT_OK;
    change.unlimited = strcmp(budget, "none") == 0;
    if (!change.unlimited)
        code = take_budget(cli, &change.budget_udollar, &change.budget_present);
    if (code)
        return code;
    struct api_call call = {.method = "PATCH",
                            .input = &api_project_change_record,
                            .value = &change,
                            .subject = cli->operands[0],
                            .path = api_path(cli, "/v1/projects/", cli->operands[0], "")};
    code = api_call(cli, &call, &api_project_record, &project);
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
