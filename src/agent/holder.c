/* SPDX-License-Identifier: Apache-2.0 */
/* The agent's side of `tessera hold`. Some holders wait ahead of need, loaded and ready, so that a
 * start costs no more than a fork and an exec. */
#include "agent/agent_internal.h"

#include "agent/environment.h"
#include "agent/fetch.h"
#include "agent/hold.h"
#include "base/log.h"
#include "node/sandbox.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define LOG_BYTES_MAX ((int64_t)64 << 20)
#define SPARE_WAIT_MS 15 /* after a start, which shall have the processor to itself */
#define RETRY_MS 1000

/* ---- those that wait ---- */

static char *copy(struct arena *arena, const char *text)
{
    size_t size = strlen(text) + 1;
    char *word = arena_alloc(arena, size);
    CHECK(word);
    return memcpy(word, text, size);
}

/* tessera hold --data FOLDER [--own-mounts] [--group PART]… */
static char **make_arguments(const struct agent *a, struct arena *arena)
{
    char **words = arena_alloc(arena, (2 * CGROUP_PARTS_MAX + 8) * sizeof *words);
    size_t count = 0;
    CHECK(words);
    words[count++] = copy(arena, "tessera");
    words[count++] = copy(arena, "hold");
    words[count++] = copy(arena, "--data");
    words[count++] = copy(arena, a->data);
    if (a->own_mounts)
        words[count++] = copy(arena, "--own-mounts");
    for (unsigned i = 0; i < a->groups.count; i++) {
        struct buf part = BUF_INIT(HOLD_PATH_MAX);
        cgroup_part_text(&a->groups.parts[i], &part);
        words[count++] = copy(arena, "--group");
        words[count++] = copy(arena, buf_text(&part));
        buf_fini(&part);
    }
    return words;
}

static int spawn(struct agent *a, int socket, pid_t *ret)
{
    char log[HOLD_PATH_MAX];
    struct arena arena = {0};
    char **arguments = make_arguments(a, &arena);
    posix_spawn_file_actions_t files;
    posix_spawnattr_t how;
    sigset_t none, all;
    if (hold_path(log, a->data, "holder.log"))
        return -ENAMETOOLONG;
    posix_spawn_file_actions_init(&files);
    posix_spawn_file_actions_addopen(&files, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_addopen(&files, 1, log, O_WRONLY | O_CREAT | O_APPEND, 0600);
    posix_spawn_file_actions_adddup2(&files, 1, 2);
    posix_spawn_file_actions_adddup2(&files, socket, HOLD_SOCKET);
    posix_spawnattr_init(&how);
    sigemptyset(&none);
    sigfillset(&all);
    posix_spawnattr_setsigmask(&how, &none);
    posix_spawnattr_setsigdefault(&how, &all);
    posix_spawnattr_setflags(&how,
                             POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    int rc = -posix_spawn(ret, "/proc/self/exe", &files, &how, arguments, environ);
    posix_spawn_file_actions_destroy(&files);
    posix_spawnattr_destroy(&how);
    arena_fini(&arena);
    return rc;
}

static void close_nursery(struct agent *a)
{
    if (a->nursery_socket >= 0)
        close(a->nursery_socket);
    a->nursery_socket = -1;
    a->nursery = 0;
}

/* Loads the program once; from then on a holder is a fork of it. */
static int open_nursery(struct agent *a)
{
    int ends[2];
    int rc = socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0 ? -errno : 0;
    if (rc)
        return rc;
    rc = spawn(a, ends[1], &a->nursery);
    close(ends[1]);
    a->nursery_socket = ends[0];
    if (rc)
        close_nursery(a);
    return rc;
}

static void drop_spare(struct agent *a)
{
    close(a->spares[0]);
    a->spare_count--;
    memmove(&a->spares[0], &a->spares[1], a->spare_count * sizeof *a->spares);
}

static int make_spare(struct agent *a)
{
    int ends[2];
    int rc = a->nursery_socket < 0 ? open_nursery(a) : 0;
    if (rc == 0)
        rc = socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0 ? -errno : 0;
    if (rc == 0) {
        rc = hold_send(a->nursery_socket, &ends[1], 1);
        close(ends[1]);
        if (rc) {
            close(ends[0]);
            close_nursery(a);
        } else {
            a->spares[a->spare_count++] = ends[0];
        }
    }
    if (rc)
        log_error("no holder can be started: %s", strerror(-rc));
    return rc;
}

void holder_keep_spares(struct agent *a)
{
    pid_t pid;
    while ((pid = waitpid(-1, NULL, WNOHANG)) > 0)
        if (pid == a->nursery)
            close_nursery(a);
    if (now_ms() < a->spare_at_ms)
        return;
    while (a->spare_count < SPARES)
        if (make_spare(a)) {
            a->spare_at_ms = now_ms() + RETRY_MS;
            return;
        }
}

void holder_drop_spares(struct agent *a)
{
    while (a->spare_count)
        drop_spare(a);
    close_nursery(a);
}

/* ---- those that a killed holder leaves behind ---- */

void holder_sweep_groups(struct agent *a)
{
    DIR *folder = a->groups.count ? opendir(a->groups.parts[0].path) : NULL;
    struct dirent *entry;
    while (folder && (entry = readdir(folder))) {
        struct str rest = str_from(entry->d_name);
        struct cgroup group;
        int64_t pid;
        if (!str_is(str_cut(&rest, '-'), "hold") || !str_to_i64(str_cut(&rest, '-'), &pid) ||
            pid <= 0 || kill((pid_t)pid, 0) == 0 || errno != ESRCH ||
            cgroup_name(&a->groups, entry->d_name, &group, NULL))
            continue;
        (void)cgroup_kill(&group);
        (void)cgroup_remove(&group);
    }
    if (folder)
        closedir(folder);
}

/* ---- handing over ---- */

/* Only absolute targets are mounted; the others lie where they belong. */
static struct record_list mounts_of(const struct replica *r, struct arena *arena)
{
    const struct record_pair *pairs = r->wanted->spec.mounts.items;
    struct record_pair *mounts =
        arena_alloc(arena, (r->wanted->spec.mounts.count + 1) * sizeof *mounts);
    size_t count = 0;
    for (size_t i = 0; mounts && i < r->wanted->spec.mounts.count; i++) {
        char source[HOLD_PATH_MAX];
        if (str_starts(pairs[i].key, STR("/")) &&
            fetch_mount_source(r->folder, i, source, sizeof source) == 0)
            mounts[count++] =
                (struct record_pair){pairs[i].key, arena_str(arena, str_from(source))};
    }
    return (struct record_list){mounts, count};
}

static bool has_gpu(const struct agent_replica *wanted, int64_t index)
{
    const int64_t *own = wanted->gpus.items;
    for (size_t i = 0; i < wanted->gpus.count; i++)
        if (own[i] == index)
            return true;
    return false;
}

/* The GPUs of others. */
static struct record_list barred_of(const struct replica *r, struct arena *arena)
{
    const struct record_list *all = &r->agent->facts.gpus;
    const struct agent_gpu *gpu = all->items;
    struct str *barred = arena_alloc(arena, (all->count + 1) * sizeof *barred);
    size_t count = 0;
    for (size_t i = 0; barred && i < all->count; i++)
        if (gpu[i].device.size && !has_gpu(r->wanted, gpu[i].index))
            barred[count++] = gpu[i].device;
    return (struct record_list){barred, count};
}

static struct hold_spec describe(const struct replica *r, struct arena *arena)
{
    struct agent *a = r->agent;
    const struct agent_replica *wanted = r->wanted;
    char path[HOLD_PATH_MAX + 16];
    snprintf(path, sizeof path, "%s/home", r->folder);
    struct str home = arena_str(arena, str_from(path)),
               seen = a->own_mounts ? STR(SANDBOX_HOME) : home;
    snprintf(path, sizeof path, "%.*s/workdir", STR_ARGS(seen));
    struct hold_guest guest = {0};
    if (replica_is_guest(r))
        guest_describe(r, arena, &guest);
    struct environment_place place = {seen, a->facts.gpus.items, a->facts.gpus.count};
    return (struct hold_spec){.folder = str_from(r->folder),
                              .poke = str_from(a->poke_path),
                              .workload = wanted->workload,
                              .attempt = wanted->attempt,
                              .role = wanted->role,
                              .rank = wanted->rank,
                              .setup = wanted->spec.setup,
                              .run = wanted->spec.run,
                              .environment = environment_make(wanted, &place, arena),
                              .home = home,
                              .workdir = arena_str(arena, str_from(path)),
                              .mounts = mounts_of(r, arena),
                              .barred = barred_of(r, arena),
                              .own_mounts = a->own_mounts,
                              .user = r->user,
                              .core_milli = wanted->amounts.core_milli,
                              .memory_mib = wanted->amounts.memory_mib,
                              .signal = wanted->spec.signal,
                              .notice_ms = wanted->spec.notice_ms,
                              .freeze = wanted->spec.on_lost_contact == AGENT_LOST_FREEZE,
                              .log_bytes_max = LOG_BYTES_MAX,
                              .guest = guest};
}

/* A file in memory: what holds secrets touches no disk. */
static int memory_file(struct str text)
{
    int fd = memfd_create("tessera-hold", MFD_CLOEXEC);
    while (fd >= 0 && text.size) {
        ssize_t size = write(fd, text.data, text.size);
        if (size < 0) {
            int code = errno;
            close(fd);
            return -code;
        }
        text.data += size;
        text.size -= (size_t)size;
    }
    return fd < 0 ? -errno : fd;
}

static int send_both(int socket, int memory, int lock)
{
    return hold_send(socket, (int[]){memory, lock}, 2);
}

static int open_lock(const char *folder)
{
    char path[HOLD_PATH_MAX];
    if (hold_path(path, folder, "lock"))
        return -ENAMETOOLONG;
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) < 0) {
        int code = errno;
        close(fd);
        return -code;
    }
    return fd < 0 ? -errno : fd;
}

bool holder_lives(const char *folder)
{
    char path[HOLD_PATH_MAX];
    if (hold_path(path, folder, "lock"))
        return false;
    int fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    bool lives = fd >= 0 && flock(fd, LOCK_SH | LOCK_NB) < 0 && errno == EWOULDBLOCK;
    if (fd >= 0)
        close(fd);
    return lives;
}

/* The lock is taken here and travels with the description, so that the folder is locked from before
 * the holder knows of it until the holder is gone, whatever happens to us meanwhile. */
static int hand_over(struct replica *r, struct str description, struct error *err)
{
    struct agent *a = r->agent;
    int rc = -EPIPE, lock = open_lock(r->folder), memory = memory_file(description);
    if (lock < 0 || memory < 0)
        rc = lock < 0 ? lock : memory;
    for (int tries = 0; lock >= 0 && memory >= 0 && rc && tries < SPARES + 2; tries++) {
        if (a->spare_count == 0 && make_spare(a))
            break;
        rc = send_both(a->spares[0], memory, lock);
        drop_spare(a);
    }
    a->spare_at_ms = now_ms() + SPARE_WAIT_MS;
    if (lock >= 0)
        close(lock);
    if (memory >= 0)
        close(memory);
    return rc ? error_set(err, rc, "%s: no holder takes it: %s", r->name.text, strerror(-rc)) : 0;
}

void holder_start(struct replica *r)
{
    struct arena arena = {0};
    struct buf text = BUF_INIT(HOLD_SPEC_MAX);
    struct error err = {0};
    struct hold_spec spec = describe(r, &arena);
    record_to_json(&hold_spec_record, &spec, AUDIENCE_AGENT, &text);
    int rc = text.overflow ? error_set(&err, -EMSGSIZE, "its description is too long") : 0;
    if (rc == 0 && spec.freeze) {
        r->lease = r->agent->contact_ms + r->agent->contact_timeout_ms;
        rc = hold_lease_write(r->folder, r->lease, &err);
    }
    if (rc == 0)
        rc = hand_over(r, buf_str(&text), &err);
    if (rc == 0)
        replica_move(r, REPLICA_HELD);
    else
        replica_fail(r, err.text);
    if (text.data)
        explicit_bzero(text.data, text.size);
    buf_fini(&text);
    arena_fini(&arena);
}

/* ---- commands ---- */

static void poke(const char *folder)
{
    char path[HOLD_PATH_MAX];
    if (hold_path(path, folder, "control"))
        return;
    int fd = open(path, O_WRONLY | O_NONBLOCK | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return; /* it looks at its folder when it begins */
    ssize_t ignored = write(fd, "", 1);
    (void)ignored;
    close(fd);
}

void holder_stop(struct replica *r, int signal, time_ms kill_at)
{
    struct hold_command command = {.stop = true, .signal = signal, .kill_at_boot_ms = kill_at};
    struct error err;
    if (r->kill_at && kill_at >= r->kill_at)
        return;
    if (hold_write(&hold_command_file, r->folder, &command, &err)) {
        /* On a full disk: the next round tries again, and what is overdue is killed from here. */
        if (kill_at <= now_ms())
            replica_kill(r);
        return;
    }
    log_info("%s: told to end in %lld ms", r->name.text, (long long)MAX(kill_at - now_ms(), 0));
    r->kill_at = kill_at;
    poke(r->folder);
}

void holder_set_lease(struct replica *r, time_ms until)
{
    struct error err;
    bool had_run_out = r->lease <= now_ms();
    if (until <= r->lease)
        return;
    if (hold_lease_write(r->folder, until, &err)) {
        log_error("%s", err.text);
        return;
    }
    r->lease = until;
    if (had_run_out)
        poke(r->folder);
}
