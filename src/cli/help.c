/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/command.h"

#include "base/memory.h"

#include <stdio.h>
#include <string.h>

const struct cli_exit_code cli_exit_codes[] = {
    {EXIT_OK, "done"},
    {EXIT_FAILED, "refused or failed"},
    {EXIT_USAGE, "wrong command line, or a task file or field that is not allowed"},
    {EXIT_UNREACHABLE, "the server was not reached, or is too busy"},
    {EXIT_DENIED, "no key, a wrong key, or one that may not"},
    {EXIT_NOT_FOUND, "not found"},
    {EXIT_CONFLICT, "the state does not allow it"},
    {EXIT_WORKLOAD, "`run`: the workload ended without an exit code: cancelled, lost, never started"},
    {EXIT_INTERRUPTED, "`run`: you left with Ctrl-C; the workload goes on"},
};
const size_t cli_exit_code_count = ARRAY_COUNT(cli_exit_codes);

const struct cli_program cli_programs[] = {
    {"serve", "the control plane"},
    {"agent", "stands on a node and runs its share of the work"},
    {"replay", "recompute what a server decided, from its journal"},
    {"sim", "the market in virtual time, over a trace of workloads"},
};
const size_t cli_program_count = ARRAY_COUNT(cli_programs);

const char cli_introduction[] =
    "An open omnicloud for GPUs: it pools the machines you have and runs every workload where it is\n"
    "worth most, at a price that an auction sets for that workload alone.\n";
const char cli_configuration[] =
    "Server and key come from --server and --key, else TESSERA_SERVER and TESSERA_KEY, else\n"
    "./var/client.yaml, else ~/.config/tessera/client.yaml (`server:`, `key:`, `pin:`; kept at mode 600).\n"
    "The key of a file goes to the server of that file alone.\n";
const char cli_task_forms[] =
    "FILE is a task file in SkyPilot's form with Tessera's own fields under `market:`\n"
    "(docs/task-files.md), `-` is standard input; `-- COMMAND` makes one of a command line. The options\n"
    "stand in for what the file says.\n";

bool cli_takes_program(const struct cli_command *command)
{
    return strstr(command->arguments, "-- ") != NULL;
}

bool cli_takes_task(const struct cli_command *command)
{
    return strstr(command->arguments, "FILE | --") != NULL;
}

char cli_capital(char letter)
{
    return letter >= 'a' && letter <= 'z' ? (char)(letter - 32) : letter;
}

static void help_option(const struct cli_option *option)
{
    char left[64];
    snprintf(left, sizeof left, "%c%c%c --%s%s%s", option->letter ? '-' : ' ',
             option->letter ? option->letter : ' ', option->letter ? ',' : ' ', option->name,
             option->argument ? " " : "", option->argument ? option->argument : "");
    printf("  %-28s %s\n", left, option->doc);
}

static void help_command(const struct cli_command *command)
{
    printf("Usage: tessera %s%s%s [options]\n\n%c%s.\n", command->name, *command->arguments ? " " : "",
           command->arguments, cli_capital(command->summary[0]), command->summary + 1);
    if (*command->description)
        printf("\n%s", command->description);
    if (cli_takes_task(command))
        printf("%s%s", *command->description ? "" : "\n", cli_task_forms);
    printf("\nOptions:\n");
    for (size_t i = 0; i < CLI_OPTIONS_MAX && command->options[i].name; i++)
        help_option(&command->options[i]);
    printf("%s", command->options[0].name ? "\n" : "");
    for (size_t i = 0; i < cli_common_option_count; i++)
        help_option(&cli_common_options[i]);
    if (command->examples)
        printf("\nExamples:\n%s", command->examples);
}

static void help_exit_codes(void)
{
    printf("\nExit codes:\n");
    for (size_t i = 0; i < cli_exit_code_count; i++)
        printf("  %-4d %s\n", cli_exit_codes[i].code, cli_exit_codes[i].doc);
    printf("`run` exits with its workload's own code.\n");
}

static void help_overview(void)
{
    printf("Usage: tessera COMMAND [options]\n\n%s\nPrograms:\n", cli_introduction);
    for (size_t i = 0; i < cli_program_count; i++)
        printf("  %-21s %s\n", cli_programs[i].name, cli_programs[i].summary);
    printf("\nCommands:\n");
    for (size_t i = 0; i < cli_command_count; i++)
        printf("  %-21s %s\n", cli_commands[i].name, cli_commands[i].summary);
    printf("\n`tessera COMMAND --help` tells more of each. All take:\n");
    for (size_t i = 0; i < cli_common_option_count; i++)
        help_option(&cli_common_options[i]);
    printf("\n%s", cli_configuration);
    help_exit_codes();
}

void cli_help(const struct cli_command *command)
{
    if (command)
        help_command(command);
    else
        help_overview();
}
