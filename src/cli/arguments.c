/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/arguments.h"

#include "base/buf.h"
#include "base/memory.h"
#include "cli/nearest.h"
#include "cli/session.h"

/* ---- the command
 * ---------------------------------------------------------------------------------- */

static const struct cli_option *common_option(const char *word)
{
    struct str name = str_from(word + 2);
    for (size_t i = 0; i < cli_common_option_count; i++)
        if (word[1] == '-' && str_is(name, cli_common_options[i].name))
            return &cli_common_options[i];
    return NULL;
}

/* The places of the first two words that are no options: what can name a command. */
static int first_words(int argc, char **argv, int places[2])
{
    int count = 0;
    for (int i = 1; i < argc && count < 2; i++) {
        if (strcmp(argv[i], "--") == 0)
            break;
        if (argv[i][0] != '-' || argv[i][1] == '\0') {
            places[count++] = i;
            continue;
        }
        const struct cli_option *option = common_option(argv[i]);
        if (option && option->argument)
            i++;
    }
    return count;
}

/* "key" alone: which second words there are. */
static bool fail_half(const char *word)
{
    _cleanup_buf_ struct buf list = BUF_INIT(400);
    size_t size = strlen(word);
    for (size_t i = 0; i < cli_command_count; i++) {
        const char *name = cli_commands[i].name;
        if (strncmp(name, word, size) == 0 && name[size] == ' ')
            buf_printf(&list, "%s`tessera %s`", list.size ? ", " : "", name);
    }
    if (list.size)
        cli_fail(EXIT_USAGE, "%s: half a command; there is %s", word, buf_text(&list));
    return list.size > 0;
}

/* Those of main.c, reached only as the first word. */
static bool fail_program(const char *word)
{
    for (size_t i = 0; i < cli_program_count; i++)
        if (strcmp(word, cli_programs[i].name) == 0) {
            cli_fail(EXIT_USAGE, "%s: has a command line of its own: `tessera %s --help`", word,
                     word);
            return true;
        }
    return false;
}

static int fail_command(const char *word)
{
    struct nearest nearest = nearest_to(word);
    if (fail_half(word) || fail_program(word))
        return EXIT_USAGE;
    for (size_t i = 0; i < cli_command_count; i++)
        nearest_try(&nearest, cli_commands[i].name);
    for (size_t i = 0; i < cli_program_count; i++)
        nearest_try(&nearest, cli_programs[i].name);
    if (nearest.found)
        return cli_fail(EXIT_USAGE, "%s: no such command; did you mean `tessera %s`?", word,
                        nearest.found);
    return cli_fail(EXIT_USAGE, "%s: no such command; `tessera --help` lists them", word);
}

/* ---- options
 * -------------------------------------------------------------------------------------- */

struct parser {
    struct cli *cli;
    int argc, at;
    char **argv;
};

static const struct cli_option *option_at(const struct cli_command *command, size_t i)
{
    size_t own = 0;
    while (command && own < CLI_OPTIONS_MAX && command->options[own].name)
        own++;
    if (i < own)
        return &command->options[i];
    return i - own < cli_common_option_count ? &cli_common_options[i - own] : NULL;
}

static const struct cli_option *find_name(const struct cli_command *command, struct str name)
{
    const struct cli_option *option;
    for (size_t i = 0; (option = option_at(command, i)) != NULL; i++)
        if (str_is(name, option->name))
            return option;
    return NULL;
}

static const struct cli_option *find_letter(const struct cli_command *command, char letter)
{
    const struct cli_option *option;
    for (size_t i = 0; (option = option_at(command, i)) != NULL; i++)
        if (option->letter == letter)
            return option;
    return NULL;
}

static const char *called(const struct cli *cli)
{
    return cli->command ? cli->command->name : "";
}

static int fail_option(const struct cli *cli, struct str word)
{
    _cleanup_free_ char *name = str_dup(word);
    struct nearest nearest = nearest_to(name);
    const struct cli_option *option;
    for (size_t i = 0; (option = option_at(cli->command, i)) != NULL; i++)
        nearest_try(&nearest, option->name);
    if (nearest.found)
        return cli_fail(EXIT_USAGE, "--%s: no such option; did you mean --%s?", name,
                        nearest.found);
    return cli_fail(EXIT_USAGE, "--%s: no such option; `tessera %s%s--help` lists them", name,
                    called(cli), cli->command ? " " : "");
}

static void add_value(struct cli *cli, const struct cli_option *option, const char *value)
{
    cli->values[cli->value_count++] = (struct cli_value){option, value};
    cli->help |= strcmp(option->name, "help") == 0;
    cli->json |= strcmp(option->name, "json") == 0;
}

/* Takes the value that belongs to an option: `joined` to it, or the next word. */
static int take_value(struct parser *p, const struct cli_option *option, const char *joined)
{
    if (option->argument == NULL && joined)
        return cli_fail(EXIT_USAGE, "--%s: takes no value", option->name);
    if (option->argument && joined == NULL) {
        if (p->at + 1 >= p->argc)
            return cli_fail(EXIT_USAGE, "--%s: needs a value: --%s %s", option->name, option->name,
                            option->argument);
        joined = p->argv[++p->at];
    }
    add_value(p->cli, option, joined ? joined : "");
    return EXIT_OK;
}

static int take_long(struct parser *p, const char *word)
{
    struct str value = str_from(word);
    struct str name = str_cut(&value, '=');
    const struct cli_option *option = find_name(p->cli->command, name);
    if (option == NULL)
        return fail_option(p->cli, name);
    return take_value(p, option, word[name.size] == '=' ? word + name.size + 1 : NULL);
}

/* -f, -fw, -n VALUE, -nVALUE */
static int take_letters(struct parser *p, const char *letters)
{
    for (; *letters; letters++) {
        const struct cli_option *option = find_letter(p->cli->command, *letters);
        if (option == NULL)
            return cli_fail(EXIT_USAGE, "-%c: no such option; `tessera %s%s--help` lists them",
                            *letters, called(p->cli), p->cli->command ? " " : "");
        if (option->argument)
            return take_value(p, option, letters[1] ? letters + 1 : NULL);
        add_value(p->cli, option, "");
    }
    return EXIT_OK;
}

static int take_words(struct parser *p, const int places[2], int used)
{
    for (p->at = 1; p->at < p->argc; p->at++) {
        char *word = p->argv[p->at];
        int code = EXIT_OK;
        if (strcmp(word, "--") == 0) {
            p->cli->program = p->argv + p->at + 1;
            p->cli->program_count = (size_t)(p->argc - p->at - 1);
            return EXIT_OK;
        }
        if (word[0] == '-' && word[1] == '-')
            code = take_long(p, word + 2);
        else if (word[0] == '-' && word[1])
            code = take_letters(p, word + 1);
        else if ((used > 0 && p->at == places[0]) || (used > 1 && p->at == places[1]))
            continue;
        else
            p->cli->operands[p->cli->operand_count++] = word;
        if (code)
            return code;
    }
    return EXIT_OK;
}

/* ---- operands
 * ------------------------------------------------------------------------------------- */

/* After `--` only run and its like take a command; for the others they are operands as well. */
static void merge_program(struct cli *cli)
{
    if (cli->program == NULL || (cli->command && cli_takes_program(cli->command)))
        return;
    for (size_t i = 0; i < cli->program_count; i++)
        cli->operands[cli->operand_count++] = cli->program[i];
    cli->program = NULL;
    cli->program_count = 0;
}

static int check_operands(const struct cli *cli)
{
    const struct cli_command *command = cli->command;
    if (cli->operand_count < command->operands_least)
        return cli_fail(EXIT_USAGE, "%s: something is missing; usage: tessera %s %s", command->name,
                        command->name, command->arguments);
    if (cli->operand_count > command->operands_most)
        return cli_fail(EXIT_USAGE, "%s: `%s` is one too many; usage: tessera %s%s%s",
                        command->name, cli->operands[command->operands_most], command->name,
                        *command->arguments ? " " : "", command->arguments);
    return EXIT_OK;
}

/* A key on the command line is not left where ps shows it. */
static void hide_keys(struct cli *cli, int argc, char **argv)
{
    for (size_t i = 0; i < cli->value_count; i++) {
        struct cli_value *given = &cli->values[i];
        if (strcmp(given->option->name, "key") != 0)
            continue;
        struct str kept = arena_str(&cli->arena, str_from(given->value));
        for (int word = 1; word < argc; word++) {
            char *end = argv[word] + strlen(argv[word]);
            if (given->value >= argv[word] && given->value <= end)
                memset(argv[word] + (given->value - argv[word]), 'x', kept.size);
        }
        given->value = kept.data;
    }
}

int arguments_parse(struct cli *cli, int argc, char **argv)
{
    int places[2] = {0}, used = 0;
    int count = first_words(argc, argv, places);
    char *words[2] = {count > 0 ? argv[places[0]] : NULL, count > 1 ? argv[places[1]] : NULL};
    size_t most = 0; /* every letter may be an option */
    for (int i = 0; i < argc; i++)
        most += strlen(argv[i]) + 1;
    cli->values = xcalloc(most, sizeof *cli->values);
    cli->operands = xcalloc((size_t)argc, sizeof *cli->operands);
    cli->command = cli_command_find(count, words, &used);
    if (cli->command == NULL && count > 0)
        return fail_command(words[0]);
    struct parser parser = {.cli = cli, .argc = argc, .argv = argv};
    int code = take_words(&parser, places, used);
    hide_keys(cli, argc, argv);
    merge_program(cli);
    if (code || cli->help || cli->command == NULL)
        return code;
    return check_operands(cli);
}

void arguments_fini(struct cli *cli)
{
    xfree(cli->values);
    xfree(cli->operands);
}
