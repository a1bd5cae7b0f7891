/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What a command of `tessera` is: one entry of one table, from which come the parser, the help, the
 * man pages and the completion. */

#include "base/error.h"
#include "base/str.h"

#include <stdbool.h>
#include <stddef.h>

/* Exit codes, documented in `tessera --help`. `run` exits with its workload's own code instead. */
enum exit_code {
    EXIT_OK = 0,
    EXIT_FAILED = 1,      /* the request was understood and did not succeed */
    EXIT_USAGE = 2,       /* wrong command line, or a file or field that is not allowed */
    EXIT_UNREACHABLE = 3, /* no server, no network, timeout */
    EXIT_DENIED = 4,      /* no key, wrong key, not allowed */
    EXIT_NOT_FOUND = 5,
    EXIT_CONFLICT = 6,    /* the state does not allow it */
    EXIT_WORKLOAD = 125,  /* the workload ended without an exit code: cancelled, lost, never started */
    EXIT_INTERRUPTED = 130, /* Ctrl-C */
};

struct cli_option {
    const char *name;     /* without the dashes */
    char letter;          /* 0: none */
    const char *argument; /* NULL: a flag */
    const char *doc;
};

#define CLI_OPTIONS_MAX 16

struct cli;
struct cli_command {
    const char *name;      /* "node add": two words are allowed */
    const char *arguments; /* as shown in the usage line */
    const char *summary;   /* one line */
    const char *description;
    const char *examples;  /* NULL: none */
    struct cli_option options[CLI_OPTIONS_MAX];
    size_t operands_least, operands_most; /* after options; SIZE_MAX: any */
    int (*run)(struct cli *cli);          /* exit code */
};

extern const struct cli_command cli_commands[];
extern const size_t cli_command_count;

/* The command with the longest name that the words begin with; NULL where none does. */
const struct cli_command *cli_command_find(int count, char **words, int *ret_used);

/* The options that every command takes. */
extern const struct cli_option cli_common_options[];
extern const size_t cli_common_option_count;

/* ---- words that help, man pages and docs/commands.md share --------------------------------------- */

struct cli_exit_code {
    int code;
    const char *doc;
};
extern const struct cli_exit_code cli_exit_codes[];
extern const size_t cli_exit_code_count;

struct cli_program { /* what stands beside the commands: parses its own command line */
    const char *name, *summary;
};
extern const struct cli_program cli_programs[];
extern const size_t cli_program_count;

extern const char cli_introduction[], cli_configuration[], cli_task_forms[];
/* Whether it takes words after `--`. */
bool cli_takes_program(const struct cli_command *command);
/* Whether it takes a task file, or a command in its place. */
bool cli_takes_task(const struct cli_command *command);
char cli_capital(char letter);

/* Help for one command, or for all where `command` is NULL; to standard output. */
void cli_help(const struct cli_command *command);
