/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/hold.h"

#include "agent/hold_internal.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/log.h"
#include "node/file.h"
#include "node/process.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define FROZEN_LOOK_MS 200 /* at the lease, while it has run out */
#define LEAVING_LOOK_MS 20 /* at those that a signal has not ended yet */
#define LOG_TOLD_MS 100    /* between two words that the log grew */
#define OUTPUT_ROUNDS_MAX 64
#define DRAIN_MS 500 /* for output of the dead; a pipe that somebody else holds open */
#define REMOVE_TRIES 50
#define WRITE_TRIES 600
#define WRITE_PAUSE_US 1000000
#define LAST_LINES_MAX 4096

/* ---- being given a replica ---- */

bool hold_receive(int socket, int *ret, size_t count)
{
    char byte, control[CMSG_SPACE(2 * sizeof(int))] __attribute__((aligned(8)));
    struct iovec piece = {&byte, 1};
    struct msghdr message = {.msg_iov = &piece,
                             .msg_iovlen = 1,
                             .msg_control = control,
                             .msg_controllen = CMSG_SPACE(count * sizeof(int))};
    ssize_t size;
    do
        size = recvmsg(socket, &message, MSG_CMSG_CLOEXEC);
    while (size < 0 && errno == EINTR);
    const struct cmsghdr *head = size == 1 ? CMSG_FIRSTHDR(&message) : NULL;
    if (head == NULL || head->cmsg_type != SCM_RIGHTS ||
        head->cmsg_len != CMSG_LEN(count * sizeof(int)))
        return false;
    memcpy(ret, CMSG_DATA(head), count * sizeof(int));
    return true;
}

int hold_send(int socket, const int *descriptors, size_t count)
{
    char byte = 1, control[CMSG_SPACE(2 * sizeof(int))] __attribute__((aligned(8))) = {0};
    size_t size = count * sizeof(int);
    struct iovec piece = {&byte, 1};
    struct msghdr message = {.msg_iov = &piece,
                             .msg_iovlen = 1,
                             .msg_control = control,
                             .msg_controllen = CMSG_SPACE(size)};
    struct cmsghdr *head = CMSG_FIRSTHDR(&message);
    CHECK(head);
    *head = (struct cmsghdr){
        .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(size)};
    memcpy(CMSG_DATA(head), descriptors, size);
    return sendmsg(socket, &message, MSG_NOSIGNAL) == 1 ? 0 : -errno;
}

int hold_read_spec(struct hold *h, int memory, struct error *err)
{
    char path[64];
    struct buf text = BUF_INIT(HOLD_SPEC_MAX);
    snprintf(path, sizeof path, "/proc/self/fd/%d", memory);
    int rc = file_read(path, &text, err);
    if (rc == 0)
        rc = record_from_json(&hold_spec_record, arena_str(&h->arena, buf_str(&text)), &h->arena,
                              &h->spec, err);
    if (text.data)
        explicit_bzero(text.data, text.size);
    buf_fini(&text);
    return rc;
}

/* Tells the agent, if one listens. */
static void poke(struct hold *h)
{
    char path[HOLD_PATH_MAX], line[HOLD_NAME_MAX + 2];
    const char *name = strrchr(h->folder, '/');
    snprintf(path, sizeof path, "%.*s", STR_ARGS(h->spec.poke));
    int fd = open(path, O_WRONLY | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0)
        return;
    int size = snprintf(line, sizeof line, "%s\n", name ? name + 1 : h->folder);
    ssize_t ignored = write(fd, line, (size_t)MIN(size, (int)sizeof line - 1));
    (void)ignored;
    close(fd);
}

static int write_script(struct hold *h, const char *name, struct str text, struct error *err)
{
    char path[HOLD_PATH_MAX];
    if (text.size == 0)
        return 0;
    snprintf(path, sizeof path, "%.*s/.tessera/%s", STR_ARGS(h->spec.home), name);
    return file_replace(path, text, 0555, false, err);
}

static int set_limits(struct hold *h, struct error *err)
{
    struct cgroup_limits limits = {
        .core_milli = h->spec.core_milli, .memory_mib = h->spec.memory_mib, .pids = HOLD_PIDS_MAX};
    return cgroup_limit(&h->group, &limits, err);
}

static int open_control(struct hold *h, struct error *err)
{
    char path[HOLD_PATH_MAX];
    sigset_t set;
    int rc = hold_path(path, h->folder, "control");
    if (rc == 0 && mkfifo(path, 0600) < 0 && errno != EEXIST)
        rc = -errno;
    /* Open for both: no end of file when an agent leaves. */
    h->control = rc ? -1 : open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    sigaddset(&set, SIGTERM);
    sigprocmask(SIG_BLOCK, &set, NULL);
    h->signals = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
    if (h->control < 0 || h->signals < 0)
        return error_set(err, rc ? rc : -errno, "%s: %s", path, strerror(rc ? -rc : errno));
    rc = hold_path(path, h->folder, "log");
    if (rc == 0)
        rc = hold_log_open(&h->log, path, h->spec.log_bytes_max);
    return rc ? error_set(err, rc, "%s: %s", path, strerror(-rc)) : 0;
}

static int prepare(struct hold *h, struct error *err)
{
    int rc = open_control(h, err);
    if (rc == 0)
        rc = set_limits(h, err);
    if (rc == 0)
        rc = write_script(h, "setup", h->spec.setup, err);
    return rc ? rc : write_script(h, "run", h->spec.run, err);
}

/* ---- records ---- */

static void write_started(struct hold *h)
{
    char boot[PROCESS_BOOT_MAX];
    struct str groups[CGROUP_PARTS_MAX];
    struct error err;
    process_boot(boot);
    for (unsigned i = 0; i < h->group.count; i++) {
        struct buf line = BUF_INIT(HOLD_PATH_MAX);
        cgroup_part_text(&h->group.parts[i], &line);
        groups[i] = arena_str(&h->arena, buf_str(&line));
        buf_fini(&line);
    }
    struct hold_started started = {.boot = str_from(boot),
                                   .holder = getpid(),
                                   .process = h->process,
                                   .groups = {groups, h->group.count},
                                   .user = h->spec.user,
                                   .freeze = h->spec.freeze,
                                   .at_boot_ms = hold_now_ms(),
                                   .at_wall_ms = clock_wall_ms()};
    if (hold_write(&hold_started_file, h->folder, &started, &err))
        log_error("%s", err.text);
    poke(h);
}

static void write_ended(struct hold *h)
{
    char boot[PROCESS_BOOT_MAX];
    struct buf lines = BUF_INIT(HOLD_FILE_MAX);
    struct error err;
    int64_t code = WIFEXITED(h->status) ? WEXITSTATUS(h->status) : 128 + WTERMSIG(h->status);
    process_boot(boot);
    hold_log_last_lines(&h->log, LAST_LINES_MAX, &lines);
    struct hold_ended ended = {.boot = str_from(boot),
                               .exit_code = h->started ? code : 0,
                               .signal =
                                   h->started && WIFSIGNALED(h->status) ? WTERMSIG(h->status) : 0,
                               .oom = h->started && code != 0 && cgroup_oom_kills(&h->group) > 0,
                               .text = h->started ? (struct str){0} : str_from(h->problem.text),
                               .last_lines = buf_str(&lines),
                               .at_boot_ms = hold_now_ms(),
                               .at_wall_ms = clock_wall_ms()};
    /* On a full disk: it matters more than the folder's peace, and room may come. */
    for (int i = 0; hold_write(&hold_ended_file, h->folder, &ended, &err) && i < WRITE_TRIES; i++) {
        log_error("%s", err.text);
        usleep(WRITE_PAUSE_US);
    }
    buf_fini(&lines);
}

/* ---- its life ---- */

static void begin_stop(struct hold *h, int signal, time_ms kill_at)
{
    if (!h->stopping || kill_at < h->kill_at)
        h->kill_at = kill_at;
    if (h->stopping)
        return;
    h->stopping = true;
    if (h->stage == HOLD_WAITING || signal == 0)
        return;
    /* A frozen one gets it when it thaws, if it may. */
    hold_signal(h, signal);
}

static void obey(struct hold *h)
{
    char drop[256];
    struct hold_command command;
    struct error err;
    struct arena arena = {0};
    while (read(h->control, drop, sizeof drop) > 0)
        ;
    int rc = hold_read(&hold_command_file, h->folder, &arena, &command, &err);
    if (rc == 0 && command.stop)
        begin_stop(h, (int)command.signal, command.kill_at_boot_ms);
    else if (rc && rc != -ENOENT)
        log_warning("%s", err.text);
    arena_fini(&arena);
}

static void hear_signals(struct hold *h)
{
    struct signalfd_siginfo info;
    while (read(h->signals, &info, sizeof info) == sizeof info)
        if (info.ssi_signo == SIGTERM) /* the machine goes down, or somebody ends us by hand */
            begin_stop(h, (int)h->spec.signal, hold_now_ms() + h->spec.notice_ms);
    hold_reap(h);
}

/* True while there may be more. */
static bool take_output(struct hold *h)
{
    char piece[16384];
    for (int i = 0; i < OUTPUT_ROUNDS_MAX && h->output >= 0; i++) {
        ssize_t size = read(h->output, piece, sizeof piece);
        if (size < 0 && errno == EINTR)
            continue;
        if (size < 0)
            return errno == EAGAIN;
        if (size == 0) {
            close(h->output);
            h->output = -1;
            return false;
        }
        hold_log_add(&h->log, (struct str){piece, (size_t)size});
        h->log_grew = true;
    }
    return h->output >= 0;
}

static void tell_of_log(struct hold *h)
{
    time_ms now = clock_monotonic_ms();
    if (!h->log_grew || now < h->told_log_ms + LOG_TOLD_MS)
        return;
    h->log_grew = false;
    h->told_log_ms = now;
    poke(h);
}

static bool lease_holds(const struct hold *h)
{
    return !h->spec.freeze || hold_now_ms() < hold_lease_read(h->folder);
}

static void follow_lease(struct hold *h)
{
    bool may_run = lease_holds(h);
    if (h->stage == HOLD_WAITING || may_run == !h->frozen)
        return;
    log_info("%s: %s", h->folder, may_run ? "contact is back: thawed" : "no contact: frozen");
    hold_freeze(h, !may_run);
}

/* Moves on as far as things stand; false when all is over. */
static bool advance(struct hold *h)
{
    bool overdue = h->stopping && hold_now_ms() >= h->kill_at;
    if (h->stage == HOLD_WAITING) {
        if (h->stopping)
            return error_set(&h->problem, -ECANCELED, "stopped before it began"), false;
        if (!lease_holds(h))
            return true;
        if (hold_start(h, h->spec.setup.size ? HOLD_SETUP : HOLD_RUN))
            return false;
        write_started(h);
        return true;
    }
    if (overdue)
        return false;
    if (h->process == 0 && h->stage == HOLD_SETUP && !h->stopping && h->status == 0)
        return hold_start(h, HOLD_RUN) == 0;
    if (h->process == 0)
        h->stage = HOLD_OVER;
    /* What is left when the work is done ends with it; but told to stop, all have their notice. */
    return h->stage != HOLD_OVER || (h->stopping && !hold_alone(h));
}

static int patience(const struct hold *h)
{
    time_ms now = hold_now_ms(), wait = 60000;
    if (h->spec.freeze)
        wait = h->frozen || h->stage == HOLD_WAITING ? FROZEN_LOOK_MS
                                                     : hold_lease_read(h->folder) - now;
    if (h->stopping)
        wait = MIN(wait, h->kill_at - now);
    if (h->stage == HOLD_OVER)
        wait = MIN(wait, LEAVING_LOOK_MS);
    if (h->log_grew)
        wait = MIN(wait, LOG_TOLD_MS);
    return (int)CLAMP(wait, 0, 60000);
}

static void live(struct hold *h)
{
    obey(h);
    while (advance(h)) {
        struct pollfd files[] = {{.fd = h->signals, .events = POLLIN},
                                 {.fd = h->control, .events = POLLIN},
                                 {.fd = h->output, .events = POLLIN}};
        poll(files, ARRAY_COUNT(files), patience(h));
        follow_lease(h);
        if (files[1].revents)
            obey(h);
        if (files[2].revents)
            take_output(h);
        hear_signals(h);
        tell_of_log(h);
    }
}

static void drain_output(struct hold *h)
{
    time_ms end = clock_monotonic_ms() + DRAIN_MS;
    while (take_output(h) && clock_monotonic_ms() < end) {
        struct pollfd file = {.fd = h->output, .events = POLLIN};
        poll(&file, 1, 20);
    }
}

static void remove_group(struct hold *h)
{
    for (int i = 0; i < REMOVE_TRIES && cgroup_remove(&h->group) < 0; i++)
        usleep(2000);
}

static void finish(struct hold *h)
{
    if (h->go >= 0)
        close(h->go); /* the child that waits in vain */
    hold_kill(h);
    drain_output(h);
    write_ended(h);
    remove_group(h);
    close(h->lock); /* before the poke: who looks then finds nobody holding */
    poke(h);
}

/* ---- before it has a replica ---- */

/* A cgroup of its own, named after itself: the replica is not known yet. */
static int make_group(struct hold *h, const struct cgroup *home, struct error *err)
{
    char name[64];
    snprintf(name, sizeof name, "hold-%d-%lld", (int)getpid(), (long long)hold_now_ms());
    return home->count ? cgroup_make(home, name, &h->group, err) : 0;
}

static int take_option(struct hold *h, struct cgroup *home, const char *name, const char *value)
{
    if (strcmp(name, "--own-mounts") == 0)
        h->own_mounts = true;
    else if (strcmp(name, "--group") == 0 && value && home->count < CGROUP_PARTS_MAX &&
             cgroup_part_parse(str_from(value), &home->parts[home->count]))
        home->count++;
    else if (strcmp(name, "--data") != 0 || value == NULL)
        return -EINVAL;
    return 0;
}

static int take_options(struct hold *h, struct cgroup *home, int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        if (take_option(h, home, argv[i], i + 1 < argc ? argv[i + 1] : NULL))
            return error_set(&h->problem, -EINVAL, "%s: not understood", argv[i]);
        i += strcmp(argv[i], "--own-mounts") != 0;
    }
    return 0;
}

static int become_ready(struct hold *h, const struct cgroup *home)
{
    signal(SIGPIPE, SIG_IGN);
    signal(SIGHUP, SIG_IGN);
    signal(SIGCHLD, SIG_DFL);
    setsid();
    prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
    int rc = make_group(h, home, &h->problem);
    if (rc == 0)
        hold_prepare_child(h);
    return rc;
}

/* True with a replica; false where the agent went away without one. */
static bool await_replica(struct hold *h)
{
    int received[2];
    if (!hold_receive(h->agent, received, 2))
        return false;
    close(h->agent);
    h->memory = received[0];
    h->lock = received[1];
    return true;
}

/* The life of one holder: its exit code. */
static int hold(struct hold *h, const struct cgroup *home)
{
    int rc = become_ready(h, home);
    if (rc || !await_replica(h)) {
        if (rc)
            log_error("hold: %s", h->problem.text);
        if (h->go >= 0)
            close(h->go);
        hold_kill(h);
        remove_group(h);
        return rc ? 1 : 0;
    }
    rc = hold_read_spec(h, h->memory, &h->problem);
    if (rc) {
        log_error("hold: %s", h->problem.text);
        return 1;
    }
    snprintf(h->folder, sizeof h->folder, "%.*s", STR_ARGS(h->spec.folder));
    if (prepare(h, &h->problem) == 0)
        live(h);
    finish(h);
    return 0;
}

int hold_main(int argc, char **argv)
{
    static struct hold h = {.lock = -1,
                            .control = -1,
                            .signals = -1,
                            .output = -1,
                            .memory = -1,
                            .go = -1,
                            .log.fd = -1};
    struct cgroup home = {0};
    if (argc > 1 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)) {
        puts("usage: tessera hold --data FOLDER [--group PART]… [--own-mounts]\n\n"
             "Keeps replicas of workloads, one a process. Agents start it; there is nothing to do "
             "with it by hand.");
        return 0;
    }
    if (take_options(&h, &home, argc, argv)) {
        log_error("hold: %s", h.problem.text);
        return 2;
    }
    prctl(PR_SET_NAME, "tessera-hold", 0, 0, 0);
    signal(SIGCHLD, SIG_IGN); /* holders end on their own */
    while (hold_receive(HOLD_SOCKET, &h.agent, 1)) {
        pid_t child = fork();
        if (child == 0) {
            close(HOLD_SOCKET);
            return hold(&h, &home);
        }
        if (child < 0)
            log_error("hold: no process: %s", strerror(errno));
        close(h.agent);
    }
    return 0;
}
