/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/manual.h"

#include "base/buf.h"
#include "base/memory.h"
#include "cli/session.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#define PAGE_MAX ((size_t)256 * 1024)

/* ---- roff
 * ------------------------------------------------------------------------------------------ */

/* Text in which nothing is a request or an escape of roff's. */
static void write_roff(struct buf *out, const char *text)
{
    bool line_start = true;
    for (; *text; text++) {
        if (line_start && (*text == '.' || *text == '\''))
            buf_append_text(out, "\\&");
        if (*text == '\\')
            buf_append_text(out, "\\e");
        else if (*text == '-')
            buf_append_text(out, "\\-");
        else if (*text == '`')
            buf_append_text(out, "\\(ga");
        else if (*text == '~')
            buf_append_text(out, "\\(ti");
        else
            buf_append_byte(out, *text);
        line_start = *text == '\n';
    }
}

static void write_paragraph(struct buf *out, const char *text)
{
    buf_append_text(out, ".PP\n");
    write_roff(out, text);
    if (out->size && out->data[out->size - 1] != '\n')
        buf_append_byte(out, '\n');
}

static void write_verbatim(struct buf *out, const char *text)
{
    buf_append_text(out, ".PP\n.nf\n");
    write_roff(out, text);
    buf_append_text(out, ".fi\n");
}

static void write_option(struct buf *out, const struct cli_option *option)
{
    buf_append_text(out, ".TP\n\\fB");
    if (option->letter)
        buf_printf(out, "\\-%c\\fR, \\fB", option->letter);
    buf_append_text(out, "\\-\\-");
    write_roff(out, option->name);
    buf_append_text(out, "\\fR");
    if (option->argument) {
        buf_append_text(out, " \\fI");
        write_roff(out, option->argument);
        buf_append_text(out, "\\fR");
    }
    buf_append_byte(out, '\n');
    write_roff(out, option->doc);
    buf_append_text(out, ".\n");
}

static void write_title(struct buf *out, const char *page)
{
    buf_append_text(out, ".TH \"");
    for (; *page; page++)
        buf_append_byte(out, *page >= 'a' && *page <= 'z' ? (char)(*page - 32) : *page);
    buf_printf(out, "\" \"1\" \"\" \"Tessera %s\" \"Tessera\"\n", TESSERA_VERSION);
}

static void write_exit_codes(struct buf *out)
{
    buf_append_text(out, ".SH EXIT STATUS\n");
    for (size_t i = 0; i < cli_exit_code_count; i++) {
        buf_printf(out, ".TP\n\\fB%d\\fR\n", cli_exit_codes[i].code);
        write_roff(out, cli_exit_codes[i].doc);
        buf_append_byte(out, '\n');
    }
}

static void page_name(const struct cli_command *command, struct buf *out)
{
    buf_append_text(out, "tessera-");
    for (const char *c = command->name; *c; c++)
        buf_append_byte(out, *c == ' ' ? '-' : *c);
}

static void write_command(struct buf *out, const struct cli_command *command)
{
    _cleanup_buf_ struct buf page = BUF_INIT(200);
    page_name(command, &page);
    write_title(out, buf_text(&page));
    buf_append_text(out, ".SH NAME\n");
    write_roff(out, buf_text(&page));
    buf_append_text(out, " \\- ");
    write_roff(out, command->summary);
    buf_append_text(out, "\n.SH SYNOPSIS\n\\fBtessera ");
    write_roff(out, command->name);
    buf_append_text(out, "\\fR ");
    write_roff(out, command->arguments);
    buf_append_text(out, " [\\fIoptions\\fR]\n.SH DESCRIPTION\n");
    write_paragraph(out, *command->description ? command->description : command->summary);
    if (cli_takes_task(command))
        write_paragraph(out, cli_task_forms);
    buf_append_text(out, ".SH OPTIONS\n");
    for (size_t i = 0; i < CLI_OPTIONS_MAX && command->options[i].name; i++)
        write_option(out, &command->options[i]);
    for (size_t i = 0; i < cli_common_option_count; i++)
        write_option(out, &cli_common_options[i]);
    if (command->examples) {
        buf_append_text(out, ".SH EXAMPLES\n");
        write_verbatim(out, command->examples);
    }
    write_exit_codes(out);
    buf_append_text(out, ".SH SEE ALSO\n\\fBtessera\\fR(1)\n");
}

static void write_overview(struct buf *out)
{
    write_title(out, "tessera");
    buf_append_text(
        out, ".SH NAME\ntessera \\- an open omnicloud for GPUs\n"
             ".SH SYNOPSIS\n\\fBtessera\\fR \\fICOMMAND\\fR [\\fIoptions\\fR]\n.SH DESCRIPTION\n");
    write_paragraph(out, cli_introduction);
    buf_append_text(out, ".SH PROGRAMS\n");
    for (size_t i = 0; i < cli_program_count; i++) {
        buf_printf(out, ".TP\n\\fBtessera\\-%s\\fR(1)\n", cli_programs[i].name);
        write_roff(out, cli_programs[i].summary);
        buf_append_text(out, ".\n");
    }
    buf_append_text(out, ".SH COMMANDS\n");
    for (size_t i = 0; i < cli_command_count; i++) {
        _cleanup_buf_ struct buf page = BUF_INIT(200);
        page_name(&cli_commands[i], &page);
        buf_append_text(out, ".TP\n\\fB");
        write_roff(out, buf_text(&page));
        buf_append_text(out, "\\fR(1)\n");
        write_roff(out, cli_commands[i].summary);
        buf_append_text(out, ".\n");
    }
    buf_append_text(out, ".SH OPTIONS\nEvery command takes these.\n");
    for (size_t i = 0; i < cli_common_option_count; i++)
        write_option(out, &cli_common_options[i]);
    buf_append_text(out, ".SH CONFIGURATION\n");
    write_paragraph(out, cli_configuration);
    write_exit_codes(out);
}

/* ---- files
 * ------------------------------------------------------------------------------------------ */

static int save(const char *folder, const char *page, const struct buf *text)
{
    _cleanup_buf_ struct buf path = BUF_INIT(4096);
    buf_printf(&path, "%s/%s.1", folder, page);
    FILE *file = fopen(buf_text(&path), "we");
    if (file == NULL)
        return cli_fail(EXIT_FAILED, "%s: %s", buf_text(&path), strerror(errno));
    size_t written = fwrite(text->data, 1, text->size, file);
    if (fclose(file) != 0 || written != text->size)
        return cli_fail(EXIT_FAILED, "%s: could not be written", buf_text(&path));
    return EXIT_OK;
}

static int write_pages(const char *folder)
{
    _cleanup_buf_ struct buf text = BUF_INIT(PAGE_MAX);
    write_overview(&text);
    int code = save(folder, "tessera", &text);
    for (size_t i = 0; i < cli_command_count && code == EXIT_OK; i++) {
        _cleanup_buf_ struct buf page = BUF_INIT(200);
        buf_clear(&text);
        page_name(&cli_commands[i], &page);
        write_command(&text, &cli_commands[i]);
        code = save(folder, buf_text(&page), &text);
    }
    return code;
}

/* ---- markdown
 * ---------------------------------------------------------------------------------------- */

static void print_option(const struct cli_option *option)
{
    printf("| `");
    if (option->letter)
        printf("-%c`, `", option->letter);
    printf("--%s%s%s` | %s |\n", option->name, option->argument ? " " : "",
           option->argument ? option->argument : "", option->doc);
}

static void print_options(const struct cli_option *options, size_t most)
{
    if (options[0].name == NULL)
        return;
    printf("\n| option | what it does |\n|---|---|\n");
    for (size_t i = 0; i < most && options[i].name; i++)
        print_option(&options[i]);
}

static void print_command(const struct cli_command *command)
{
    printf("\n## `tessera %s%s%s`\n\n%c%s.\n", command->name, *command->arguments ? " " : "",
           command->arguments, cli_capital(command->summary[0]), command->summary + 1);
    if (*command->description)
        printf("\n%s", command->description);
    print_options(command->options, CLI_OPTIONS_MAX);
    if (command->examples)
        printf("\n```\n%s```\n", command->examples);
}

static void print_markdown(void)
{
    printf("# Commands\n\n<!-- Written by tools/command-docs from src/cli/command.c; a test holds "
           "the two together. -->\n\n%s",
           cli_introduction);
    printf("\n| program | what it is |\n|---|---|\n");
    for (size_t i = 0; i < cli_program_count; i++)
        printf("| `tessera %s` | %s |\n", cli_programs[i].name, cli_programs[i].summary);
    printf("\n| command | what it does |\n|---|---|\n");
    for (size_t i = 0; i < cli_command_count; i++)
        printf("| `%s` | %s |\n", cli_commands[i].name, cli_commands[i].summary);
    printf("\nEvery command takes these:\n");
    print_options(cli_common_options, cli_common_option_count);
    printf("\n%s\n%s", cli_configuration, cli_task_forms);
    printf("\n## Exit codes\n\n| code | what it means |\n|---|---|\n");
    for (size_t i = 0; i < cli_exit_code_count; i++)
        printf("| %d | %s |\n", cli_exit_codes[i].code, cli_exit_codes[i].doc);
    for (size_t i = 0; i < cli_command_count; i++)
        print_command(&cli_commands[i]);
}

int manual_main(int argc, char **argv)
{
    if (argc != 2)
        return cli_fail(EXIT_USAGE,
                        "--man takes a folder to write man pages into, or - for docs/commands.md");
    if (strcmp(argv[1], "-") != 0)
        return write_pages(argv[1]);
    print_markdown();
    return cli_flush(EXIT_OK);
}
