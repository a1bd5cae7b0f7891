/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/submission.h"

#include "cli/api_call.h"
#include "cli/input.h"
#include "wire/archive.h"
#include "wire/json.h"
#include "wire/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#define TASK_FILE_MAX ((size_t)1 << 20)
#define UPLOAD_TIMEOUT_MS (30 * 60 * 1000)

/* ---- a command line as a task file
 * ---------------------------------------------------------------- */

static void quote_word(struct buf *out, const char *word)
{
    static const char plain[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-+=./:,@%";
    if (*word && strspn(word, plain) == strlen(word)) {
        buf_append_text(out, word);
        return;
    }
    buf_append_byte(out, '\'');
    for (; *word; word++) {
        if (*word == '\'')
            buf_append_text(out, "'\\''");
        else
            buf_append_byte(out, *word);
    }
    buf_append_byte(out, '\'');
}

/* One shell command: what the replicas run instead of a script. */
static void write_command(const struct cli *cli, struct buf *out)
{
    buf_append_text(out, "exec");
    for (size_t i = 0; i < cli->program_count; i++) {
        buf_append_byte(out, ' ');
        quote_word(out, cli->program[i]);
    }
}

static void write_text(struct buf *out, const char *key, const char *value)
{
    if (value == NULL)
        return;
    json_key(out, key);
    json_text(out, value);
}

static void write_resources(const struct cli *cli, struct buf *out)
{
    json_key(out, "resources");
    json_open(out, '{');
    write_text(out, "accelerators", cli_option(cli, "gpus"));
    write_text(out, "cpus", cli_option(cli, "cpus"));
    write_text(out, "memory", cli_option(cli, "memory"));
    json_close(out, '}');
}

static void write_task(const struct cli *cli, struct buf *out)
{
    _cleanup_buf_ struct buf command = BUF_INIT(WORKLOAD_SCRIPT_MAX + 1);
    if (cli->program_count)
        write_command(cli, &command);
    json_open(out, '{');
    write_resources(cli, out);
    json_key(out, "run");
    json_text(out, cli->program_count ? buf_text(&command) : "true");
    json_close(out, '}');
}

/* ---- options on top of either
 * --------------------------------------------------------------------- */

static int set_number(const char *name, const char *text, int64_t most, int64_t *ret)
{
    if (text == NULL)
        return EXIT_OK;
    if (str_to_i64(str_from(text), ret) && *ret >= 1 && *ret <= most)
        return EXIT_OK;
    return cli_fail(EXIT_USAGE, "--%s: \"%s\" is not allowed, allowed is 1 to %lld", name, text,
                    (long long)most);
}

static int set_limit(const struct cli *cli, struct workload_request *request)
{
    const char *text = cli_option(cli, "limit");
    if (text == NULL)
        return EXIT_OK;
    request->limit_present = money_parse(str_from(text), &request->limit_udollar_per_hour);
    if (request->limit_present && request->limit_udollar_per_hour >= 0)
        return EXIT_OK;
    return cli_fail(EXIT_USAGE,
                    "--limit: \"%s\" is not allowed, allowed are dollars per unit-hour such as "
                    "2.50, to the millionth",
                    text);
}

static int set_priority(const struct cli *cli, struct workload_request *request)
{
    const char *text = cli_option(cli, "priority");
    if (text == NULL)
        return EXIT_OK;
    if (cli_option(cli, "limit"))
        return cli_fail(EXIT_USAGE, "--priority: stands instead of --limit; give one of the two");
    for (int32_t i = 0; workload_priority_names[i]; i++)
        if (strcmp(text, workload_priority_names[i]) == 0) {
            request->priority = i;
            request->limit_present = false;
            return EXIT_OK;
        }
    return cli_fail(EXIT_USAGE,
                    "--priority: \"%s\" is unknown, allowed are low, normal, high and critical",
                    text);
}

/* The server knows what it goes together with, and whether its project is subscribed. */
static int set_tier(const struct cli *cli, struct workload_request *request)
{
    const char *text = cli_option(cli, "tier");
    if (text == NULL)
        return EXIT_OK;
    for (int32_t i = 0; workload_tier_names[i]; i++)
        if (strcmp(text, workload_tier_names[i]) == 0) {
            request->tier = i;
            return EXIT_OK;
        }
    return cli_fail(EXIT_USAGE, "--tier: \"%s\" is unknown, allowed are none, instant, seconds, minute and minutes", text);
}

/* What -g, -c and -m say counts for every choice of the file. */
static int set_amounts(struct cli *cli, struct workload_request *request)
{
    _cleanup_buf_ struct buf text = BUF_INIT(TASK_FILE_MAX);
    struct task_file wish;
    struct error err = {};
    bool gpus = cli_flag(cli, "gpus"), cpus = cli_flag(cli, "cpus"),
         memory = cli_flag(cli, "memory");
    if (!gpus && !cpus && !memory)
        return EXIT_OK;
    write_task(cli, &text);
    struct str kept = arena_str(&cli->arena, buf_str(&text));
    if (task_parse(kept, &cli->arena, &wish, &err) < 0)
        return cli_fail(EXIT_USAGE, "%s", err.text);
    const struct workload_choice *from = wish.request.choices.items;
    struct workload_choice *choices = request->choices.items;
    for (size_t i = 0; i < request->choices.count; i++) {
        if (gpus) {
            choices[i].accelerator = from->accelerator;
            choices[i].amounts.gpu_milli = from->amounts.gpu_milli;
        }
        if (cpus)
            choices[i].amounts.core_milli = from->amounts.core_milli;
        if (memory)
            choices[i].amounts.memory_mib = from->amounts.memory_mib;
    }
    return EXIT_OK;
}

static int set_variables(struct cli *cli, struct task_file *task)
{
    for (size_t i = 0; i < cli->value_count; i++) {
        const char *name = cli->values[i].option->name;
        bool secret = strcmp(name, "secret") == 0;
        struct error err = {};
        if (!secret && strcmp(name, "env") != 0)
            continue;
        if (task_set_env(task, str_from(cli->values[i].value), secret, &cli->arena, &err) < 0)
            return cli_fail(EXIT_USAGE, "--%s", err.text);
    }
    return EXIT_OK;
}

static int set_options(struct cli *cli, struct task_file *task)
{
    struct workload_request *request = &task->request;
    if (cli_option(cli, "name"))
        request->name = str_from(cli_option(cli, "name"));
    if (cli_option(cli, "project"))
        request->project = str_from(cli_option(cli, "project"));
    request->preemptible |= cli_flag(cli, "preemptible");
    int code = set_number("nodes", cli_option(cli, "nodes"), WORKLOAD_NODES_MAX, &request->nodes);
    if (code == EXIT_OK)
        code = set_limit(cli, request);
    if (code == EXIT_OK)
        code = set_priority(cli, request);
    if (code == EXIT_OK)
        code = set_tier(cli, request);
    if (code == EXIT_OK && cli->program == NULL)
        code = set_amounts(cli, request);
    return code ? code : set_variables(cli, task);
}

/* ---- reading
 * -------------------------------------------------------------------------------------- */

static int check_source(const struct cli *cli)
{
    const char *command = cli->command->name;
    if (cli->program && cli->operand_count)
        return cli_fail(EXIT_USAGE, "%s: `%s` before `--`: give a task file or a command, not both",
                        command, cli->operands[0]);
    if (cli->program && cli->program_count == 0)
        return cli_fail(EXIT_USAGE, "%s: nothing stands after `--`", command);
    if (cli->program == NULL && cli->operand_count == 0)
        return cli_fail(EXIT_USAGE, "%s: what? Give a task file, or `-- COMMAND`", command);
    if (cli->operand_count > 1)
        return cli_fail(
            EXIT_USAGE,
            "%s: `%s` is one too many; a command goes after `--`: tessera %s -- %s %s …", command,
            cli->operands[1], command, cli->operands[0], cli->operands[1]);
    return EXIT_OK;
}

static int read_source(struct cli *cli, struct buf *out)
{
    struct error err = {};
    if (cli->program) {
        write_task(cli, out);
        return out->overflow ? cli_fail(EXIT_USAGE, "the command is longer than %zu KiB",
                                        TASK_FILE_MAX / 1024)
                             : EXIT_OK;
    }
    if (input_read(cli->operands[0], out, &err) == 0)
        return EXIT_OK;
    bool looks_like_command = err.code == -ENOENT && strchr(cli->operands[0], '.') == NULL;
    return cli_fail(EXIT_USAGE, "%s%s", err.text,
                    looks_like_command ? "; a command goes after `--`" : "");
}

int submission_read(struct cli *cli, struct task_file *ret)
{
    _cleanup_buf_ struct buf text = BUF_INIT(TASK_FILE_MAX);
    struct error err = {};
    int code = check_source(cli);
    if (code == EXIT_OK)
        code = read_source(cli, &text);
    if (code)
        return code;
    struct str kept = arena_str(&cli->arena, buf_str(&text));
    if (task_parse(kept, &cli->arena, ret, &err) < 0)
        return cli_fail(EXIT_USAGE, "%s%s%s", cli->program ? "" : cli->operands[0],
                        cli->program ? "" : ": ", err.text);
    return set_options(cli, ret);
}

/* ---- files
 * ---------------------------------------------------------------------------------------- */

/* `~/data` as a shell would; everything else is as written, from where the command was typed. */
static const char *local_path(struct cli *cli, struct str written)
{
    const char *home = getenv("HOME");
    _cleanup_buf_ struct buf path = BUF_INIT(8192);
    if (home && written.size && written.data[0] == '~' &&
        (written.size == 1 || written.data[1] == '/'))
        buf_printf(&path, "%s%.*s", home, (int)written.size - 1, written.data + 1);
    else
        buf_append_str(&path, written);
    return arena_str(&cli->arena, buf_str(&path)).data;
}

static const char *mount_prefix(struct cli *cli, size_t i)
{
    char prefix[32];
    snprintf(prefix, sizeof prefix, "mounts/%zu", i);
    return arena_str(&cli->arena, str_from(prefix)).data;
}

static size_t list_sources(struct cli *cli, const struct task_file *task,
                           struct archive_source *ret)
{
    size_t count = 0;
    const struct record_pair *mounts = task->mounts.items;
    if (task->workdir.size)
        ret[count++] = (struct archive_source){local_path(cli, task->workdir), "workdir"};
    for (size_t i = 0; i < task->mounts.count; i++)
        ret[count++] =
            (struct archive_source){local_path(cli, mounts[i].value), mount_prefix(cli, i)};
    return count;
}

static int put_archive(struct cli *cli, const char *path, int fd, uint64_t size)
{
    _cleanup_(http_reply_fini) struct http_reply reply = {};
    struct error err = {};
    struct http_call put = {.method = "PUT",
                            .path = path,
                            .body_file = fd,
                            .body_file_size = size,
                            .content_type = "application/octet-stream",
                            .timeout_ms = UPLOAD_TIMEOUT_MS};
    if (size >> 20)
        cli_note("uploading %llu MiB", (unsigned long long)(size >> 20));
    for (int tries = 0; tries < 3;
         tries++) { /* the same bytes under the same name: harmless to repeat */
        int rc = http_client_call(cli->client, &put, &reply, &err);
        if (rc == 0)
            return reply.status / 100 == 2 ? EXIT_OK : api_refused(cli, &reply, "archive");
        if (rc != -ECONNREFUSED || !reply.sent || tries == 2)
            return api_unreached(cli, rc, &err);
    }
    return EXIT_FAILED;
}

static int send_archive(struct cli *cli, const char *file, const char *hash)
{
    _cleanup_(http_reply_fini) struct http_reply reply = {};
    struct error err = {};
    struct stat st;
    const char *path = api_path(cli, "/v1/archives/", hash, "");
    int code = cli->client ? EXIT_OK : api_connect(cli, &cli->client);
    if (code)
        return code;
    int rc = http_client_call(cli->client, &(struct http_call){.method = "HEAD", .path = path},
                              &reply, &err);
    if (rc < 0)
        return api_unreached(cli, rc, &err);
    if (reply.status != 404)
        return reply.status / 100 == 2 ? EXIT_OK : api_refused(cli, &reply, "archive");
    int fd = open(file, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) < 0)
        return cli_fail(EXIT_FAILED, "%s: %s", file, strerror(errno));
    code = put_archive(cli, path, fd, (uint64_t)st.st_size);
    close(fd);
    return code;
}

int submission_upload(struct cli *cli, struct task_file *task)
{
    struct error err = {};
    char hash[SHA256_HEX], folder[4096];
    const char *temporary = getenv("TMPDIR");
    struct archive_source *sources =
        arena_alloc(&cli->arena, (task->mounts.count + 1) * sizeof *sources);
    size_t count = list_sources(cli, task, sources);
    if (count == 0)
        return EXIT_OK;
    snprintf(folder, sizeof folder, "%s/tessera-XXXXXX",
             temporary && *temporary ? temporary : "/tmp");
    if (mkdtemp(folder) == NULL)
        return cli_fail(EXIT_FAILED, "%s: %s", folder, strerror(errno));
    _cleanup_buf_ struct buf file = BUF_INIT(sizeof folder + 32);
    buf_printf(&file, "%s/archive.tar", folder);
    int code = EXIT_OK;
    if (archive_pack(sources, count, buf_text(&file), hash, &err) < 0)
        code = cli_fail(EXIT_USAGE, "%s: %s", task->workdir.size ? "workdir" : "file_mounts",
                        err.text);
    if (code == EXIT_OK)
        code = send_archive(cli, buf_text(&file), hash);
    unlink(buf_text(&file));
    rmdir(folder);
    task->request.archive = arena_str(&cli->arena, str_from(hash));
    return code;
}

/* ---- the submit
 * ----------------------------------------------------------------------------------- */

static const char *submit_key(struct cli *cli)
{
    unsigned char random[16];
    char text[2 * sizeof random + 1];
    const char *given = cli_option(cli, "idempotency-key");
    if (given)
        return given;
    CHECK(getrandom(random, sizeof random, 0) == (ssize_t)sizeof random);
    for (size_t i = 0; i < sizeof random; i++)
        snprintf(text + 2 * i, 3, "%02x", random[i]);
    return arena_str(&cli->arena, str_from(text)).data;
}

int submission_send(struct cli *cli, struct task_file *ret_task, struct api_created *ret)
{
    struct error err = {};
    int code = submission_read(cli, ret_task);
    if (code == EXIT_OK)
        code = submission_upload(cli, ret_task);
    if (code)
        return code;
    if (task_check(ret_task, &err) < 0)
        return cli_fail(EXIT_USAGE, "%s", err.text);
    struct api_call call = {.path = "/v1/workloads",
                            .input = &workload_request_record,
                            .value = &ret_task->request,
                            .idempotency_key = submit_key(cli)};
    return api_call(cli, &call, &api_created_record, ret);
}
