/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/cli.h"

#include "cli/arguments.h"
#include "cli/manual.h"
#include "cli/session.h"
#include "net/http_client.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

/* Commands that ask nobody. */
static bool is_local(const struct cli_command *command)
{
    return strcmp(command->name, "version") == 0;
}

static int run_command(struct cli *cli)
{
    struct error err = {};
    struct client_wish wish = {cli_option(cli, "server"), cli_option(cli, "key"),
                               cli_option(cli, "pin")};
    int rc = client_config_load(&cli->config, &wish, &err);
    if (rc < 0 && !is_local(cli->command))
        return cli_fail(rc == -ENOENT ? EXIT_UNREACHABLE : EXIT_USAGE, "%s", err.text);
    return cli->command->run(cli);
}

static int dispatch(struct cli *cli, int argc, char **argv)
{
    int code = arguments_parse(cli, argc, argv);
    if (code)
        return code;
    if (cli->help || cli->command == NULL) {
        cli_help(cli->command);
        return cli->help ? EXIT_OK : EXIT_USAGE;
    }
    return run_command(cli);
}

/* `tessera help COMMAND` and `tessera --version`, as many type them, in the words of the table. */
static int rewrite(int argc, char **argv, char **ret)
{
    static char help[] = "--help", version[] = "version";
    for (int i = 0; i < argc; i++)
        ret[i] = argv[i];
    if (argc > 1 && strcmp(argv[1], "--version") == 0)
        ret[1] = version;
    if (argc < 2 || strcmp(argv[1], "help") != 0)
        return argc;
    memmove(ret + 1, ret + 2, (size_t)(argc - 2) * sizeof *ret);
    ret[argc - 1] = help;
    return argc;
}

int cli_main(int argc, char **argv)
{
    struct cli cli = {};
    signal(SIGPIPE, SIG_IGN); /* cli_flush sees to a reader that went away */
    if (argc > 1 && strcmp(argv[1], "--man") == 0)
        return manual_main(argc - 1, argv + 1);
    char **words = xcalloc((size_t)argc + 1, sizeof *words);
    int code = dispatch(&cli, rewrite(argc, argv, words), words);
    code = cli_flush(code);
    http_client_free(cli.client);
    client_config_fini(&cli.config);
    arguments_fini(&cli);
    arena_fini(&cli.arena);
    xfree(words);
    return code;
}
