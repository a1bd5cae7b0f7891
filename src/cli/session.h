/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* One call of `tessera COMMAND …`: its command line, parsed; where the server is; the connection.
 */

#include "base/arena.h"
#include "cli/command.h"
#include "cli/config.h"

struct http_client;

struct cli_value {
    const struct cli_option *option;
    const char *value; /* "" for a flag */
};

struct cli {
    const struct cli_command *command;
    struct cli_value *values; /* as given, in order */
    size_t value_count;
    const char **operands;
    size_t operand_count;
    char **program; /* what stood after `--`; NULL: there was none */
    size_t program_count;
    bool help, json;
    struct client_config config;
    struct http_client *client; /* made at the first call */
    struct arena arena;         /* answers, until the end */
    struct str raw;             /* body of the last answer, in the arena */
};

/* The last value given for an option, NULL where it was not; "" for a flag. */
const char *cli_option(const struct cli *cli, const char *name);
bool cli_flag(const struct cli *cli, const char *name);

/* A span such as 30m, 4h or 7d, in ms; `fallback` where the option was not given. EXIT_OK or
 * complained. */
int cli_span(const struct cli *cli, const char *name, int64_t fallback, int64_t *ret);

/* `tessera: TEXT` on standard error; returns exit_code, so that `return cli_fail(…)` reads. */
int cli_fail(int exit_code, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* The same without failing: what a person should know, and nothing on standard output. */
void cli_note(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* Flushes standard output. A reader that went away ends the program as a signal would; a full disk
 * and the like are complained of. */
int cli_flush(int exit_code);
/* With --json: prints the last answer as it came, and says so. */
bool cli_print_json(const struct cli *cli);
