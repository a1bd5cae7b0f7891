/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/session.h"

#include "wire/unit.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>

const char *cli_option(const struct cli *cli, const char *name)
{
    for (size_t i = cli->value_count; i > 0; i--)
        if (strcmp(cli->values[i - 1].option->name, name) == 0)
            return cli->values[i - 1].value;
    return NULL;
}

bool cli_flag(const struct cli *cli, const char *name)
{
    return cli_option(cli, name) != NULL;
}

int cli_span(const struct cli *cli, const char *name, int64_t fallback, int64_t *ret)
{
    const char *text = cli_option(cli, name);
    *ret = fallback;
    if (text == NULL || (span_parse(str_from(text), ret) && *ret > 0))
        return EXIT_OK;
    return cli_fail(EXIT_USAGE,
                    "--%s: \"%s\" is not allowed, allowed is a span such as 30m, 4h or 7d", name,
                    text);
}

static void say(const char *format, va_list arguments) __attribute__((format(printf, 1, 0)));
static void say(const char *format, va_list arguments)
{
    char text[4096];
    vsnprintf(text, sizeof text, format, arguments);
    fflush(stdout); /* what was said before stands before */
    fprintf(stderr, "tessera: %s\n", text);
}

int cli_fail(int exit_code, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    say(format, arguments);
    va_end(arguments);
    return exit_code;
}

void cli_note(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    say(format, arguments);
    va_end(arguments);
}

int cli_flush(int exit_code)
{
    if (fflush(stdout) == 0 && !ferror(stdout))
        return exit_code;
    if (errno == EPIPE) {
        signal(SIGPIPE, SIG_DFL);
        raise(SIGPIPE);
    }
    return cli_fail(EXIT_FAILED, "cannot write to standard output: %s", strerror(errno));
}

bool cli_print_json(const struct cli *cli)
{
    if (!cli->json)
        return false;
    printf("%.*s\n", STR_ARGS(cli->raw));
    return true;
}
