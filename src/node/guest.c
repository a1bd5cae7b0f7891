/* SPDX-License-Identifier: Apache-2.0 */
/* A guest from outside: its disk, its volumes, its network, its first process. */
#include "node/guest.h"

#include "base/buf.h"
#include "base/memory.h"
#include "base/number.h"
#include "base/str.h"
#include "node/file.h"
#include "node/guest_init.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define LOOK_MS 20
#define CONTROL 3 /* descriptor of its first process */
#define LINK_PREFIX "tsv" /* and the number of its first process */
#define RESOLVERS_MAX ((size_t)64 << 10)

/* ---- programs ---- */

/* Runs it and waits; 0 where it ended well. Quiet: its complaints are nobody's. */
static int run(const char *const *words, bool quiet)
{
    posix_spawn_file_actions_t files;
    pid_t process;
    int status = -1;
    posix_spawn_file_actions_init(&files);
    posix_spawn_file_actions_addopen(&files, 0, "/dev/null", O_RDONLY, 0);
    if (quiet)
        posix_spawn_file_actions_addopen(&files, 2, "/dev/null", O_WRONLY, 0);
    static char path[] = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", locale[] = "LC_ALL=C";
    char *environment[] = {path, locale, NULL};
    int rc = posix_spawnp(&process, words[0], &files, NULL, (char *const *)(uintptr_t)words, environment);
    posix_spawn_file_actions_destroy(&files);
    if (rc)
        return -rc;
    while (waitpid(process, &status, 0) < 0)
        if (errno != EINTR)
            return -errno;
    return status == 0 ? 0 : -EIO;
}
#define RUN(...) run((const char *const[]){__VA_ARGS__, NULL}, false)
#define TRY(...) (void)run((const char *const[]){__VA_ARGS__, NULL}, true)

static bool has_program(const char *name)
{
    static const char *const folders[] = {"/usr/sbin", "/usr/bin", "/sbin", "/bin", "/usr/local/sbin", "/usr/local/bin"};
    char path[PATH_MAX];
    for (size_t i = 0; i < ARRAY_COUNT(folders); i++) {
        snprintf(path, sizeof path, "%s/%s", folders[i], name);
        if (access(path, X_OK) == 0)
            return true;
    }
    return false;
}

static pid_t clone_guest(void)
{
    unsigned long flags = CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWCGROUP | SIGCHLD;
    return (pid_t)syscall(SYS_clone, flags, NULL, NULL, NULL, 0);
}

/* ---- the image ---- */

static int users_of(const char *image, uint32_t *ret, struct error *err)
{
    _cleanup_buf_ struct buf text = BUF_INIT(64);
    char path[PATH_MAX];
    int64_t first = 0;
    snprintf(path, sizeof path, "%s/users", image);
    int rc = file_read(path, &text, err);
    if (rc == 0 && (!str_to_i64(str_trim(buf_str(&text)), &first) || first < 65536 || first > INT32_MAX - (int64_t)GUEST_USERS))
        rc = error_set(err, -EINVAL, "%s: no number of a user", path);
    *ret = (uint32_t)first;
    return rc;
}

/* Below a changed root, and where user namespaces are turned off, there are none. */
static int try_namespaces(struct error *err)
{
    pid_t process = clone_guest();
    if (process == 0)
        _exit(0);
    if (process < 0)
        return error_set(err, -ENOENT, "no namespaces of its own: %s", strerror(errno));
    while (waitpid(process, NULL, 0) < 0 && errno == EINTR)
        ;
    return 0;
}

int guest_possible(const char *image, struct error *err)
{
    static const char *const programs[] = {"ip", "nsenter", "mount"};
    uint32_t users;
    if (image == NULL)
        return error_set(err, -ENOENT, "no image: tools/image DIR makes one, --image DIR names it");
    for (size_t i = 0; i < ARRAY_COUNT(programs); i++)
        if (!has_program(programs[i]))
            return error_set(err, -ENOENT, "the program %s is missing", programs[i]);
    int rc = try_namespaces(err);
    return rc ? rc : users_of(image, &users, err);
}

/* ---- disk and volumes ---- */

static int folder_of(const char *above, const char *name, uint32_t user, char ret[PATH_MAX], struct error *err)
{
    if (snprintf(ret, PATH_MAX, "%s/%s", above, name) >= PATH_MAX)
        return error_set(err, -ENAMETOOLONG, "%s/%s: too long", above, name);
    int rc = folder_make(ret, 0755, err);
    if (rc == 0 && user && chown(ret, user, user) < 0)
        rc = error_set(err, -errno, "%s: %s", ret, strerror(errno));
    return rc;
}

static int mount_root(const struct guest *g, uint32_t users, struct error *err)
{
    char upper[PATH_MAX], work[PATH_MAX];
    _cleanup_buf_ struct buf options = BUF_INIT(4 * PATH_MAX);
    int rc = folder_of(g->disk, "upper", users, upper, err);
    if (rc == 0)
        rc = folder_of(g->disk, "work", 0, work, err);
    if (rc == 0)
        rc = folder_make(g->root, 0755, err);
    if (rc)
        return rc;
    buf_printf(&options, "lowerdir=%s/root,upperdir=%s,workdir=%s", g->image, upper, work);
    if (mount("overlay", g->root, "overlay", 0, buf_text(&options)) < 0)
        return error_set(err, -errno, "its disk cannot be laid over the image: %s", strerror(errno));
    return 0;
}

/* A blank disk gets a file system, once. */
static int disk_make(const struct guest_volume *v, struct error *err)
{
    char part[PATH_MAX];
    if (access(v->source, F_OK) == 0)
        return 0;
    snprintf(part, sizeof part, "%s.part", v->source);
    int fd = open(part, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    int rc = fd < 0 || ftruncate(fd, v->size_mib << 20) < 0 ? -errno : 0;
    if (fd >= 0)
        close(fd);
    if (rc == 0)
        rc = RUN("mkfs.ext4", "-q", "-F", part);
    if (rc == 0 && rename(part, v->source) < 0)
        rc = -errno;
    return rc ? error_set(err, rc, "volume %s cannot be made: %s", v->name, strerror(-rc)) : 0;
}

/* Outside of what its owner can change, and taken in by its first process. */
static int mount_volume(const struct guest *g, size_t i, uint32_t users, struct error *err)
{
    const struct guest_volume *v = &g->volumes[i];
    char name[32], target[PATH_MAX];
    snprintf(name, sizeof name, ".volume-%zu", i);
    snprintf(target, sizeof target, "%s%s", g->root, name);
    int rc = folder_make(target, 0755, err);
    if (rc == 0)
        rc = v->disk ? disk_make(v, err) : folder_make(v->source, 0755, err);
    if (rc)
        return rc;
    if (v->disk)
        rc = RUN("mount", "-o", "loop,nodev", v->source, target);
    else if (mount(v->source, target, NULL, MS_BIND, NULL) < 0)
        rc = -errno;
    if (rc)
        return error_set(err, rc, "volume %s cannot be mounted: %s", v->name, strerror(-rc));
    struct stat st;
    if (stat(target, &st) == 0 && st.st_uid == 0 && chown(target, users, users) < 0)
        return error_set(err, -errno, "volume %s: %s", v->name, strerror(errno));
    return 0;
}

/* ---- network ---- */

/* Whether its machine has ended, reaped or not: the kernel takes such a link away only when it comes round to it. */
static bool link_is_left(const char *link)
{
    int64_t process;
    char path[64], network[64];
    if (strncmp(link, LINK_PREFIX, strlen(LINK_PREFIX)) || !str_to_i64(str_from(link + strlen(LINK_PREFIX)), &process))
        return false;
    snprintf(path, sizeof path, "/proc/%lld/ns/net", (long long)process);
    return readlink(path, network, sizeof network) < 0 && (errno == ENOENT || errno == ESRCH);
}

/* Takes down the links of machines that have ended; how many others there are. */
static size_t links_sweep(const char *bridge)
{
    char path[PATH_MAX];
    size_t others = 0;
    snprintf(path, sizeof path, "/sys/class/net/%s/brif", bridge);
    DIR *members = opendir(path);
    for (const struct dirent *entry; members && (entry = readdir(members));)
        if (link_is_left(entry->d_name))
            TRY("ip", "link", "delete", entry->d_name);
        else
            others += entry->d_name[0] != '.';
    if (members)
        closedir(members);
    return others;
}

/* Fails where the node's last other machine ends meanwhile and takes the bridge along. */
static int bridge_join(const char *bridge, const char *gateway, const char *link)
{
    TRY("ip", "link", "add", bridge, "type", "bridge");
    TRY("ip", "address", "add", gateway, "dev", bridge);
    int rc = RUN("ip", "link", "set", bridge, "up");
    return rc ? rc : RUN("ip", "link", "set", link, "master", bridge, "up");
}

static int network_make(const struct guest *g, pid_t process, struct error *err)
{
    const struct guest_network *n = &g->network;
    char pid[16], link[16], space[64], gateway[64], address[64];
    snprintf(link, sizeof link, LINK_PREFIX "%d", (int)process);
    snprintf(pid, sizeof pid, "%d", (int)process);
    snprintf(space, sizeof space, "--net=/proc/%d/ns/net", (int)process);
    snprintf(gateway, sizeof gateway, "%s/24", n->gateway);
    snprintf(address, sizeof address, "%s/24", n->address);
    links_sweep(n->bridge); /* the address may have been such a machine's */
    int rc = RUN("ip", "link", "add", link, "type", "veth", "peer", "name", "eth0", "netns", pid);
    if (rc == 0 && (rc = bridge_join(n->bridge, gateway, link)))
        rc = bridge_join(n->bridge, gateway, link);
    if (rc == 0)
        rc = RUN("nsenter", space, "ip", "address", "add", address, "dev", "eth0");
    if (rc == 0)
        rc = RUN("nsenter", space, "ip", "link", "set", "eth0", "up");
    if (rc == 0)
        rc = RUN("nsenter", space, "ip", "link", "set", "lo", "up");
    if (rc == 0)
        rc = RUN("nsenter", space, "ip", "address", "add", "169.254.169.254/32", "dev", "lo");
    if (rc == 0)
        rc = RUN("nsenter", space, "ip", "route", "add", "default", "via", n->gateway);
    return rc ? error_set(err, rc, "its network %s on %s cannot be made", n->address, n->bridge) : 0;
}

bool guest_bridge_remove(const char *bridge)
{
    bool alone = links_sweep(bridge) == 0;
    if (alone)
        TRY("ip", "link", "delete", bridge);
    return alone;
}

/* ---- its first process ---- */

static int map_users(pid_t process, uint32_t users)
{
    static const char *const files[] = {"uid_map", "gid_map"};
    char path[64], text[64];
    snprintf(text, sizeof text, "0 %u %u\n", users, GUEST_USERS);
    for (size_t i = 0; i < ARRAY_COUNT(files); i++) {
        snprintf(path, sizeof path, "/proc/%d/%s", (int)process, files[i]);
        int rc = file_poke(path, text);
        if (rc)
            return rc;
    }
    return 0;
}

/* In the child: waits to be mapped and connected. Does not return. */
static void be_guest(const struct guest *g, struct str resolvers, const int control[2], int problem)
{
    struct error err = {0};
    char byte;
    close(control[1]);
    prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    ssize_t size = read(control[0], &byte, 1);
    int rc = size == 1 ? 0 : error_set(&err, -EPIPE, "nobody set it up");
    if (rc == 0 && (setresgid(0, 0, 0) < 0 || setresuid(0, 0, 0) < 0))
        rc = error_set(&err, -errno, "its users: %s", strerror(errno));
    /* forgotten at the change of user */
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    if (rc == 0)
        rc = guest_enter(g, &err);
    if (rc) {
        ssize_t ignored = write(problem, err.text, strlen(err.text));
        (void)ignored;
        _exit(1);
    }
    /* Nothing of what the holder has open comes along. */
    if (dup2(control[0], CONTROL) < 0)
        _exit(1);
    (void)syscall(SYS_close_range, CONTROL + 1U, ~0U, 0);
    guest_init(g, resolvers, CONTROL);
}

/* Why it could not begin: empty where it did. */
static int read_problem(int fd, struct error *err)
{
    size_t size = 0;
    ssize_t got;
    while (size + 1 < sizeof err->text && (got = read(fd, err->text + size, sizeof err->text - 1 - size)) != 0) {
        if (got < 0 && errno != EINTR)
            break;
        size += got > 0 ? (size_t)got : 0;
    }
    err->text[size] = '\0';
    return err->code = size ? -EIO : 0;
}

static int process_start(const struct guest *g, uint32_t users, struct guest_handle *ret, struct error *err)
{
    int control[2], problem[2];
    _cleanup_buf_ struct buf resolvers = BUF_INIT(RESOLVERS_MAX);
    (void)file_read("/etc/resolv.conf", &resolvers, NULL);
    if (pipe2(control, O_CLOEXEC) < 0)
        return error_set(err, -errno, "no pipe: %s", strerror(errno));
    if (pipe2(problem, O_CLOEXEC) < 0) {
        close(control[0]);
        close(control[1]);
        return error_set(err, -errno, "no pipe: %s", strerror(errno));
    }
    pid_t process = clone_guest();
    if (process == 0) {
        close(problem[0]);
        be_guest(g, buf_str(&resolvers), control, problem[1]);
    }
    int rc = process < 0 ? error_set(err, -errno, "no namespaces of its own: %s", strerror(errno)) : 0;
    close(control[0]);
    close(problem[1]);
    *ret = (struct guest_handle){process, control[1]};
    if (rc == 0 && (rc = map_users(process, users)))
        error_set(err, rc, "its users cannot be mapped: %s", strerror(-rc));
    if (rc == 0)
        rc = network_make(g, process, err);
    if (rc == 0 && write(control[1], "g", 1) != 1)
        rc = error_set(err, -EPIPE, "its first process is gone");
    if (rc == 0)
        rc = read_problem(problem[0], err);
    close(problem[0]);
    if (rc && process > 0)
        kill(process, SIGKILL);
    return rc;
}

int guest_start(const struct guest *guest, struct guest_handle *ret, struct error *err)
{
    uint32_t users;
    int rc = users_of(guest->image, &users, err);
    if (rc == 0)
        rc = mount_root(guest, users, err);
    for (size_t i = 0; rc == 0 && i < guest->volume_count; i++)
        rc = mount_volume(guest, i, users, err);
    return rc ? rc : process_start(guest, users, ret, err);
}

/* ---- while it runs ---- */

static bool answers(const char *address)
{
    struct sockaddr_in where = {.sin_family = AF_INET, .sin_port = htons(22)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    char banner[4];
    inet_pton(AF_INET, address, &where.sin_addr);
    bool there = fd >= 0 && (connect(fd, (struct sockaddr *)&where, sizeof where) == 0 || errno == EINPROGRESS);
    struct pollfd file = {.fd = fd, .events = POLLIN};
    there = there && poll(&file, 1, 1000) == 1 && read(fd, banner, sizeof banner) == sizeof banner && memcmp(banner, "SSH-", 4) == 0;
    if (fd >= 0)
        close(fd);
    return there;
}

static int64_t monotonic_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

int guest_await_login(const struct guest *guest, const struct guest_handle *handle, int timeout_ms, struct error *err)
{
    siginfo_t info;
    for (int64_t end = monotonic_ms() + timeout_ms; monotonic_ms() < end;) {
        info.si_pid = 0;
        if (waitid(P_PID, (id_t)handle->process, &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid)
            return error_set(err, -ECHILD, "it ended while it booted");
        if (answers(guest->network.address))
            return 0;
        usleep(LOOK_MS * 1000);
    }
    return error_set(err, -ETIMEDOUT, "its login does not answer at %s", guest->network.address);
}

static void control_write(const struct guest_handle *handle, const char *line)
{
    ssize_t ignored = write(handle->control, line, strlen(line));
    (void)ignored;
}

void guest_notify(const struct guest_handle *handle, const struct guest_notice *notice)
{
    char line[128];
    snprintf(line, sizeof line, "notice %s %lld\n", notice->status, (long long)notice->end_ms);
    control_write(handle, line);
}

void guest_power_off(const struct guest_handle *handle)
{
    control_write(handle, "off\n");
}
