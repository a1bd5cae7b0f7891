/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/agent.h"

#include "agent/agent_internal.h"
#include "base/clock.h"
#include "base/log.h"
#include "node/file.h"
#include "node/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

#define SWEEP_MS 1000 /* a look at everything, should a word have been lost */
#define SHUTDOWN_MS 900
#define CLAIMS_FOLDER "/var/lib/tessera"
#define KEY_MAX 256
#define INSTALLATION_MAX 128

/* ---- its folder ---- */

static int lock_data(struct agent *a, struct error *err)
{
    char path[HOLD_PATH_MAX], real[PATH_MAX];
    int rc = folder_make(a->options.data, 0755, err);
    if (rc)
        return rc;
    if (realpath(a->options.data, real) == NULL)
        return error_set(err, -errno, "--data %s: %s", a->options.data, strerror(errno));
    if (strlen(real) > HOLD_PATH_MAX / 2 || strpbrk(real, "\n"))
        return error_set(err, -EINVAL, "--data %s: not a path that can be used", a->options.data);
    snprintf(a->data, sizeof a->data, "%s", real);
    snprintf(a->poke_path, sizeof a->poke_path, "%s/poke", real);
    if (hold_path(path, a->data, "agent.lock"))
        return error_set(err, -ENAMETOOLONG, "--data: too long");
    a->data_lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (a->data_lock < 0)
        return error_set(err, -errno, "%s: %s", path, strerror(errno));
    if (flock(a->data_lock, LOCK_EX | LOCK_NB) < 0)
        return error_set(err, -EBUSY, "--data %s: another agent runs with this folder", a->data);
    return 0;
}

/* The installation's id: made at first start, kept with the data. */
static int read_installation(struct agent *a, char ret[INSTALLATION_MAX], struct error *err)
{
    char path[HOLD_PATH_MAX];
    struct buf text = BUF_INIT(INSTALLATION_MAX - 1);
    uint64_t number;
    if (hold_path(path, a->data, "installation"))
        return error_set(err, -ENAMETOOLONG, "--data: too long");
    int rc = file_read(path, &text, err);
    if (rc == -ENOENT) {
        CHECK(getrandom(&number, sizeof number, 0) == sizeof number);
        buf_printf(&text, "%016llx\n", (unsigned long long)number);
        rc = file_replace(path, buf_str(&text), 0644, true, err);
    }
    snprintf(ret, INSTALLATION_MAX, "%.*s", STR_ARGS(str_trim(buf_str(&text))));
    buf_fini(&text);
    if (rc == 0 && (ret[0] == '\0' || strspn(ret, "0123456789abcdef") != strlen(ret)))
        rc = error_set(err, -EINVAL, "%s: not an installation's id", path);
    return rc;
}

/* ---- what it is able to do ---- */

static void find_groups(struct agent *a, const char *installation)
{
    static const char *const names[] = {"cores cannot be limited", "memory cannot be limited",
                                        "processes cannot be counted",
                                        "work is frozen by signals, which a program may notice"};
    struct buf mounts = BUF_INIT((size_t)4 << 20), own = BUF_INIT((size_t)64 << 10);
    struct cgroup found;
    char name[INSTALLATION_MAX + 16];
    snprintf(name, sizeof name, "tessera-%s", installation);
    (void)file_read("/proc/self/mounts", &mounts, NULL);
    (void)file_read("/proc/self/cgroup", &own, NULL);
    cgroup_parse_mounts(buf_str(&mounts), &found);
    cgroup_home(&found, buf_str(&own), name, &a->groups);
    unsigned abilities = cgroup_abilities(&a->groups);
    for (unsigned i = 0; i < ARRAY_COUNT(names); i++)
        if (!(abilities & 1u << i))
            agent_miss(a, "cgroups: %s", names[i]);
    buf_fini(&mounts);
    buf_fini(&own);
}

static void find_users(struct agent *a, const char *installation)
{
    struct error err = {0};
    int rc = geteuid() == 0 ? folder_make(CLAIMS_FOLDER, 0755, &err)
                            : error_set(&err, -EPERM, "the agent does not run as root");
    if (rc == 0)
        rc = user_range_claim(CLAIMS_FOLDER "/users", installation, a->data, &a->users, &err);
    if (rc == 0 && !sandbox_can_change_user(a->users.first))
        rc = error_set(&err, -EPERM, "user %u cannot be become", a->users.first);
    if (rc == 0) {
        CHECK(getrandom(&a->users.next, sizeof a->users.next, 0) == sizeof a->users.next);
        return;
    }
    a->users = (struct user_range){0};
    a->facts.unconfined = true;
    agent_miss(a, "users: work runs as the agent's own (%s)", err.text);
}

static void find_mounts(struct agent *a)
{
    a->own_mounts = geteuid() == 0 && sandbox_can_mount();
    if (!a->own_mounts)
        agent_miss(a,
                   "mounts: work has no mount namespace of its own; file_mounts must lie below ~");
    if (!a->own_mounts && a->facts.gpus.count)
        agent_miss(a, "gpus: work can open GPUs that it was not given");
}

static void say_missing(const struct agent *a)
{
    const struct str *line = a->facts.missing.items;
    for (size_t i = 0; i < a->facts.missing.count; i++)
        log_warning("goes without: %.*s", STR_ARGS(line[i]));
}

static int find_abilities(struct agent *a, struct error *err)
{
    char installation[INSTALLATION_MAX];
    int rc = read_installation(a, installation, err);
    if (rc)
        return rc;
    find_groups(a, installation);
    find_users(a, installation);
    find_mounts(a);
    guests_find(a);
    say_missing(a);
    return 0;
}

/* ---- its ears ---- */

static int open_ears(struct agent *a, struct error *err)
{
    sigset_t set;
    if (mkfifo(a->poke_path, 0600) < 0 && errno != EEXIST)
        return error_set(err, -errno, "%s: %s", a->poke_path, strerror(errno));
    a->poke = open(a->poke_path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
    if (a->poke < 0)
        return error_set(err, -errno, "%s: %s", a->poke_path, strerror(errno));
    signal(SIGPIPE, SIG_IGN);
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigprocmask(SIG_BLOCK, &set, NULL);
    a->signals = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
    return a->signals < 0 ? error_set(err, -errno, "signalfd: %s", strerror(errno))
                          : mailbox_init(&a->mailbox, err);
}

static int read_key(struct agent *a, struct buf *ret, struct error *err)
{
    struct stat st;
    int rc = file_read(a->options.key_file, ret, err);
    if (rc)
        return error_prefix(err, "no key (--key-file, or --join with a token)");
    if (stat(a->options.key_file, &st) == 0 && st.st_mode & 077)
        log_warning("%s: others may read the key; chmod 600", a->options.key_file);
    return str_trim(buf_str(ret)).size
               ? 0
               : error_set(err, -EINVAL, "%s: holds no key", a->options.key_file);
}

static int start_workers(struct agent *a, struct error *err)
{
    struct http_client_options options = {
        .server = a->options.server, .pin = a->options.pin, .insecure = a->options.insecure};
    struct worker **workers[] = {&a->poller, &a->reporter, &a->shipper, &a->files};
    struct buf key = BUF_INIT(KEY_MAX);
    int rc = 0;
    if (a->options.join && access(a->options.key_file, F_OK) < 0)
        rc = contact_join(a, &options, err);
    unsetenv("TESSERA_TOKEN"); /* used or not, nobody else's */
    if (rc == 0)
        rc = read_key(a, &key, err);
    _cleanup_free_ char *bearer = str_dup(str_trim(buf_str(&key)));
    options.key = bearer;
    for (size_t i = 0; rc == 0 && i < ARRAY_COUNT(workers); i++)
        rc = worker_new(workers[i], &a->mailbox, &options, err);
    explicit_bzero(bearer, strlen(bearer));
    if (key.data)
        explicit_bzero(key.data, key.size);
    buf_fini(&key);
    return rc;
}

/* ---- the loop ---- */

/* Holders write the names of their replicas, a line each. */
static void hear_holders(struct agent *a)
{
    char text[4096];
    ssize_t size;
    while ((size = read(a->poke, text, sizeof text)) > 0) {
        struct str rest = {text, (size_t)size};
        while (rest.size) {
            struct replica *r = replica_find(a, str_cut(&rest, '\n'));
            if (r)
                replica_look(r);
        }
    }
}

static void look_at_all(struct agent *a)
{
    LIST_EACH_SAFE(item, &a->replicas)
    replica_look(CONTAINER_OF(item, struct replica, link));
}

static int patience(const struct agent *a, time_ms sweep_at)
{
    time_ms until = sweep_at;
    if (!a->polling)
        until = MIN(until, a->poll_at_ms);
    if (a->spare_count < SPARES)
        until = MIN(until, a->spare_at_ms);
    return (int)CLAMP(until - now_ms(), 0, SWEEP_MS);
}

static void loop(struct agent *a)
{
    time_ms sweep_at = 0;
    while (true) {
        struct pollfd files[] = {{.fd = a->mailbox.event, .events = POLLIN},
                                 {.fd = a->poke, .events = POLLIN},
                                 {.fd = a->signals, .events = POLLIN}};
        poll(files, ARRAY_COUNT(files), patience(a, sweep_at));
        if (files[2].revents)
            return;
        mailbox_take(&a->mailbox);
        hear_holders(a);
        if (now_ms() >= sweep_at) {
            look_at_all(a);
            sweep_at = now_ms() + SWEEP_MS;
        }
        reconcile(a);
        contact_pump(a);
        report_pump(a);
        ship_pump(a);
        guests_sweep(a);
        holder_keep_spares(a);
    }
}

/* ---- its end ---- */

static void free_all(struct agent *a)
{
    LIST_EACH_SAFE(item, &a->replicas)
    replica_free(CONTAINER_OF(item, struct replica, link));
    str_map_fini(&a->by_name);
    if (a->desired_arena)
        arena_fini(a->desired_arena);
    xfree(a->desired_arena);
}

/* Where nothing of ours runs on, its cgroups go too: holders that waited take theirs with them. */
static void remove_groups(struct agent *a, time_ms deadline)
{
    LIST_EACH(item, &a->replicas)
    if (CONTAINER_OF(item, struct replica, link)->state == REPLICA_HELD)
        return;
    while (cgroup_remove(&a->groups) < 0 && clock_monotonic_ms() < deadline)
        usleep(5000);
}

static void stop(struct agent *a)
{
    struct worker *workers[] = {a->poller, a->reporter, a->shipper, a->files};
    time_ms deadline = clock_monotonic_ms() + SHUTDOWN_MS;
    bool all = true;
    holder_drop_spares(a);
    for (size_t i = 0; i < ARRAY_COUNT(workers); i++)
        if (workers[i])
            worker_abort(workers[i]);
    for (size_t i = 0; i < ARRAY_COUNT(workers); i++)
        all = worker_free(workers[i], deadline) && all;
    remove_groups(a, deadline);
    if (!all)
        _exit(0); /* a large archive is being unpacked: begun anew next time */
    mailbox_take(&a->mailbox);
    free_all(a);
}

static int record_facts(struct agent *a, struct error *err)
{
    struct buf text = BUF_INIT((size_t)1 << 20);
    record_to_json(&agent_facts_record, &a->facts, AUDIENCE_PEOPLE, &text);
    buf_append_byte(&text, '\n');
    int rc = file_replace(a->options.record, buf_str(&text), 0644, false, err);
    buf_fini(&text);
    return rc;
}

static int run(struct agent *a, struct error *err)
{
    char key_file[HOLD_PATH_MAX];
    umask(022); /* whoever starts us may think of keys alone; files that must be private say so */
    int rc = lock_data(a, err);
    if (rc == 0)
        rc = agent_find_facts(a, err);
    if (rc)
        return rc;
    if (a->options.key_file == NULL) {
        (void)hold_path(key_file, a->data, "key");
        a->options.key_file = key_file;
    }
    rc = find_abilities(a, err);
    if (rc == 0)
        rc = open_ears(a, err);
    if (rc == 0) {
        holder_sweep_groups(a);
        rc = replica_find_all(a, err);
    }
    if (rc == 0)
        rc = start_workers(a, err);
    if (rc)
        return rc;
    log_info("agent %.*s: %lld/1000 cores, %lld MiB, %zu GPUs, at %.*s", STR_ARGS(a->facts.name),
             (long long)a->facts.amounts.core_milli, (long long)a->facts.amounts.memory_mib,
             a->facts.gpus.count, STR_ARGS(a->facts.address));
    loop(a);
    log_info("agent %.*s stops; what runs goes on", STR_ARGS(a->facts.name));
    stop(a);
    return 0;
}

int agent_main(int argc, char **argv)
{
    struct agent *a = xcalloc(1, sizeof *a);
    struct error err = {0};
    int rc = agent_options_parse(&a->options, argc, argv, &err), code = 2;
    list_init(&a->replicas);
    a->nursery_socket = a->poke = a->signals = a->data_lock = -1;
    if (rc == 0 && a->options.help) {
        agent_options_help();
        code = 0;
    } else if (rc == 0) {
        log_set_level(a->options.verbose ? LOG_DEBUG : LOG_INFO);
        rc = a->options.record ? agent_find_facts(a, &err) : run(a, &err);
        if (rc == 0 && a->options.record)
            rc = record_facts(a, &err);
        code = rc ? 1 : 0;
    }
    if (rc)
        fprintf(stderr, "tessera agent: %s\n", err.text);
    arena_fini(&a->arena);
    xfree(a);
    return code;
}
