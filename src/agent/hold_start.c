/* SPDX-License-Identifier: Apache-2.0 */
/* Starting a replica's processes. The first one is made ahead of need: a child that has joined its
 * groups and waits, so that of a start only what depends on the workload is left. */
#include "agent/hold_internal.h"

#include "base/log.h"
#include "node/file.h"
#include "node/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define MOUNTS_MAX 64
#define BARRED_MAX 64

/* ---- the child ---- */

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

static size_t make_mounts(struct hold *h, struct sandbox_mount *ret)
{
    const struct record_pair *pair = h->spec.mounts.items;
    size_t count = MIN(h->spec.mounts.count, (size_t)MOUNTS_MAX);
    for (size_t i = 0; i < count; i++)
        ret[i] = (struct sandbox_mount){.target = arena_str(&h->arena, pair[i].key).data,
                                        .source = arena_str(&h->arena, pair[i].value).data};
    return count;
}

static size_t make_barred(struct hold *h, const char **ret)
{
    const struct str *paths = h->spec.barred.items;
    size_t count = MIN(h->spec.barred.count, (size_t)BARRED_MAX);
    for (size_t i = 0; i < count; i++)
        ret[i] = arena_str(&h->arena, paths[i]).data;
    return count;
}

static int enter(struct hold *h, const char *home, struct error *err)
{
    struct sandbox_mount mounts[MOUNTS_MAX];
    const char *barred[BARRED_MAX];
    struct sandbox sandbox = {.user = (uint32_t)h->spec.user,
                              .home = home,
                              .own_mounts = h->own_mounts,
                              .mounts = mounts,
                              .mount_count = make_mounts(h, mounts),
                              .barred = barred,
                              .barred_count = make_barred(h, barred),
                              .workdir = arena_str(&h->arena, h->spec.workdir).data};
    return sandbox_enter(&sandbox, err);
}

/* A script that names its interpreter is executed as it is. Returns only where that fails. */
static int execute(struct hold *h, enum hold_stage stage, struct error *err)
{
    char path[HOLD_PATH_MAX], bash[] = "/bin/bash", sh[] = "/bin/sh";
    const char *home = arena_str(&h->arena, h->spec.home).data;
    char **environment = make_environment(&h->spec.environment);
    struct str script = stage == HOLD_SETUP ? h->spec.setup : h->spec.run;
    snprintf(path, sizeof path, "%s/.tessera/%s", h->own_mounts ? SANDBOX_HOME : home,
             stage == HOLD_SETUP ? "setup" : "run");
    if (enter(h, home, err))
        return err->code;
    char *shell = access(bash, X_OK) == 0 ? bash : sh;
    if (str_starts(script, STR("#!")))
        execve(path, (char *[]){path, NULL}, environment);
    else
        execve(shell, (char *[]){shell, path, NULL}, environment);
    return error_set(err, -errno, "%s: %s",
                     str_starts(script, STR("#!")) ? "the interpreter that the script names"
                                                   : shell,
                     strerror(errno));
}

static int await_spec(struct hold *h, int go, struct error *err)
{
    int memory;
    if (!hold_receive(go, &memory, 1))
        _exit(0); /* the holder has gone, or needs none */
    return hold_read_spec(h, memory, err);
}

/* Does not return. `go` is where it waits to be told of the workload, -1 = it is known. */
static void be_child(struct hold *h, const struct hold_launch *launch, int go,
                     enum hold_stage stage)
{
    struct error err = {0};
    int null = open("/dev/null", O_RDONLY);
    if (go >= 0) { /* ends that only the holder may keep open */
        close(h->go);
        close(h->agent);
    }
    prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    setsid();
    if (dup2(null, 0) < 0 || dup2(launch->output[1], 1) < 0 || dup2(launch->output[1], 2) < 0)
        _exit(127);
    int rc = sandbox_begin(&h->group, h->own_mounts, &err);
    if (rc == 0 && go >= 0) {
        rc = await_spec(h, go, &err);
        stage = h->spec.setup.size ? HOLD_SETUP : HOLD_RUN;
    }
    if (rc == 0 && hold_is_guest(h))
        hold_guest_run(h, launch->problem[1], &err);
    else if (rc == 0)
        execute(h, stage, &err);
    ssize_t ignored = write(launch->problem[1], err.text, strlen(err.text));
    (void)ignored;
    _exit(127);
}

/* ---- the holder ---- */

static void close_both(int ends[2])
{
    for (int i = 0; i < 2; i++)
        if (ends[i] >= 0)
            close(ends[i]);
}

static int launch(struct hold *h, int go, enum hold_stage stage)
{
    struct hold_launch l = {.output = {-1, -1}, .problem = {-1, -1}};
    int rc = pipe2(l.output, O_CLOEXEC) < 0 || pipe2(l.problem, O_CLOEXEC) < 0 ? -errno : 0;
    l.process = rc ? -1 : fork();
    if (l.process == 0)
        be_child(h, &l, go, stage);
    if (l.process < 0) {
        rc = rc ? rc : -errno;
        close_both(l.output);
        close_both(l.problem);
        return error_set(&h->problem, rc, "no process: %s", strerror(-rc));
    }
    close(TAKE(l.output[1]));
    close(TAKE(l.problem[1]));
    fcntl(l.output[0], F_SETFL, O_NONBLOCK);
    h->launch = l;
    return 0;
}

void hold_prepare_child(struct hold *h)
{
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
        return;
    h->go = ends[0];
    if (launch(h, ends[1], HOLD_RUN)) {
        close(h->go);
        h->go = -1;
    }
    close(ends[1]);
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

/* The child that waits, if there is one, else a new one. */
static int release(struct hold *h, enum hold_stage stage)
{
    if (h->go < 0)
        return launch(h, -1, stage);
    int rc = hold_send(h->go, &h->memory, 1);
    close(h->go);
    h->go = -1;
    return rc ? error_set(&h->problem, rc, "its first process is gone: %s", strerror(-rc)) : 0;
}

/* Setup went well and run cannot begin: said as a shell would. */
static void fail_late(struct hold *h)
{
    hold_log_add(&h->log, str_from(h->problem.text));
    hold_log_add(&h->log, STR("\n"));
    h->status = W_EXITCODE(127, 0);
}

int hold_start(struct hold *h, enum hold_stage stage)
{
    int rc = release(h, stage);
    if (rc == 0) {
        rc = read_problem(h->launch.problem[0], &h->problem);
        close(h->launch.problem[0]);
        if (h->output >= 0)
            close(h->output);
        h->output = h->launch.output[0];
        h->process = h->launch.process;
    }
    if (h->memory >= 0)
        close(h->memory);
    h->memory = -1;
    if (rc && h->started)
        fail_late(h);
    if (rc)
        return rc;
    h->stage = stage;
    h->started = true;
    return 0;
}
