/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/hold_internal.h"

#include "base/clock.h"
#include "base/log.h"
#include "node/file.h"
#include "node/process.h"
#include "node/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define MOUNTS_MAX 64
#define KILL_WAIT_MS 2000
#define DESCENDANTS_MAX 4096

/* ---- starting ---- */

struct start {
    const char *script; /* as the replica sees it */
    char **environment;
    int output, problem; /* pipes: what it says; why it could not begin */
    struct sandbox sandbox;
};

static char **make_environment(const struct record_list *pairs)
{
    const struct record_pair *pair = pairs->items;
    char **environment = xcalloc(pairs->count + 1, sizeof *environment);
    for (size_t i = 0; i < pairs->count; i++) {
        struct buf line = BUF_INIT(BUF_LIMIT_DEFAULT);
        buf_printf(&line, "%.*s=%.*s", STR_ARGS(pair[i].key), STR_ARGS(pair[i].value));
        environment[i] = line.data;
    }
    return environment;
}

static void free_environment(char **environment)
{
    for (char **line = environment; *line; line++)
        xfree(*line);
    xfree(environment);
}

/* A script that names its interpreter is executed as it is. */
static void execute(const struct start *start, bool names_interpreter)
{
    const char *shell = access("/bin/bash", X_OK) == 0 ? "/bin/bash" : "/bin/sh";
    char *script = xstrdup(start->script);
    if (names_interpreter)
        execve(script, (char *[]){script, NULL}, start->environment);
    else
        execve(shell, (char *[]){xstrdup(shell), script, NULL}, start->environment);
}

/* In the child; does not return. */
static void begin(const struct start *start, bool names_interpreter)
{
    struct error err = {0};
    int null = open("/dev/null", O_RDONLY);
    setsid();
    if (dup2(null, 0) < 0 || dup2(start->output, 1) < 0 || dup2(start->output, 2) < 0)
        _exit(127);
    if (sandbox_enter(&start->sandbox, &err) == 0) {
        execute(start, names_interpreter);
        error_set(&err, -errno, "%s: %s",
                  names_interpreter ? "the interpreter that the script names" : "the shell",
                  strerror(errno));
    }
    ssize_t ignored = write(start->problem, err.text, strlen(err.text));
    (void)ignored;
    _exit(127);
}

/* Why the child did not come to its program: empty where it did. */
static int read_problem(int fd, struct error *err)
{
    size_t size = 0;
    ssize_t got;
    while (size + 1 < sizeof err->text &&
           (got = read(fd, err->text + size, sizeof err->text - 1 - size)) != 0) {
        if (got < 0 && errno != EINTR)
            break;
        size += got > 0 ? (size_t)got : 0;
    }
    err->text[size] = '\0';
    err->code = size ? -EIO : 0;
    return err->code;
}

static int start_process(struct hold *h, struct start *start, bool names_interpreter)
{
    int output[2], problem[2];
    if (pipe2(output, O_CLOEXEC) < 0)
        return error_set(&h->problem, -errno, "no pipe: %s", strerror(errno));
    if (pipe2(problem, O_CLOEXEC) < 0) {
        close(output[0]);
        close(output[1]);
        return error_set(&h->problem, -errno, "no pipe: %s", strerror(errno));
    }
    start->output = output[1];
    start->problem = problem[1];
    h->process = fork();
    if (h->process == 0)
        begin(start, names_interpreter);
    int rc = h->process < 0 ? error_set(&h->problem, -errno, "no process: %s", strerror(errno)) : 0;
    close(output[1]);
    close(problem[1]);
    if (rc == 0)
        rc = read_problem(problem[0], &h->problem);
    close(problem[0]);
    if (h->output >= 0)
        close(h->output);
    h->output = output[0];
    fcntl(h->output, F_SETFL, O_NONBLOCK);
    return rc;
}

static size_t make_mounts(struct hold *h, struct sandbox_mount *ret)
{
    const struct record_pair *pair = h->spec.mounts.items;
    size_t count = MIN(h->spec.mounts.count, (size_t)MOUNTS_MAX);
    for (size_t i = 0; i < count; i++)
        ret[i] = (struct sandbox_mount){.target = arena_str(&h->arena, pair[i].key).data,
                                        .source = arena_str(&h->arena, pair[i].value).data};
    return count;
}

int hold_start(struct hold *h, enum hold_stage stage)
{
    struct sandbox_mount mounts[MOUNTS_MAX];
    struct str script = stage == HOLD_SETUP ? h->spec.setup : h->spec.run;
    const char *home = arena_str(&h->arena, h->spec.home).data;
    _cleanup_free_ char *workdir = str_dup(h->spec.workdir);
    char path[HOLD_PATH_MAX];
    snprintf(path, sizeof path, "%s/.tessera/%s", h->spec.own_mounts ? SANDBOX_HOME : home,
             stage == HOLD_SETUP ? "setup" : "run");
    struct start start = {.script = path,
                          .environment = make_environment(&h->spec.environment),
                          .sandbox = {.group = &h->group,
                                      .user = (uint32_t)h->spec.user,
                                      .home = home,
                                      .own_mounts = h->spec.own_mounts,
                                      .mounts = mounts,
                                      .mount_count = make_mounts(h, mounts),
                                      .workdir = workdir}};
    int rc = start_process(h, &start, str_starts(script, STR("#!")));
    free_environment(start.environment);
    if (rc == 0) {
        h->stage = stage;
        h->started = true;
    } else if (h->started) { /* setup went well, run cannot begin: as a shell would say it */
        hold_log_add(&h->log, str_from(h->problem.text));
        hold_log_add(&h->log, STR("\n"));
        h->status = W_EXITCODE(127, 0);
    }
    return rc;
}

/* ---- all of them ---- */

void hold_signal(struct hold *h, int signal)
{
    if (h->group.count)
        cgroup_signal(&h->group, signal);
    else
        process_signal_descendants(getpid(), signal);
}

void hold_freeze(struct hold *h, bool frozen)
{
    int rc = cgroup_freeze(&h->group, frozen);
    if (rc == -ENOTSUP)
        hold_signal(h, frozen ? SIGSTOP : SIGCONT);
    else if (rc)
        log_warning("%s: cannot be %s: %s", h->folder, frozen ? "frozen" : "thawed", strerror(-rc));
    h->frozen = frozen;
}

static void reap(struct hold *h)
{
    int status;
    pid_t pid;
    while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
        if (pid == h->process) {
            h->process = 0;
            h->status = status;
        }
}

static size_t descendants(void)
{
    pid_t pids[DESCENDANTS_MAX];
    return process_descendants(getpid(), pids, DESCENDANTS_MAX);
}

void hold_kill(struct hold *h)
{
    time_ms end = clock_monotonic_ms() + KILL_WAIT_MS;
    if (h->group.count && cgroup_kill(&h->group) < 0)
        log_warning("%s: some of its processes do not die", h->folder);
    /* those outside the cgroup are none, or there is no cgroup */
    while (true) {
        reap(h);
        if (descendants() == 0 || clock_monotonic_ms() > end)
            return;
        process_signal_descendants(getpid(), SIGKILL);
        usleep(1000);
    }
}

bool hold_alone(const struct hold *h)
{
    return h->group.count ? cgroup_processes(&h->group, NULL, 0) == 0 : descendants() == 0;
}
