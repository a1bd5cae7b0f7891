/* SPDX-License-Identifier: Apache-2.0 */
#include "node/guest_init.h"

#include "base/buf.h"
#include "base/memory.h"
#include "base/number.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <linux/capability.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define UBUNTU 1000
#define SSH_OF_ROOT "/root" "/.ssh"
#define SSH_OF_UBUNTU "/home" "/ubuntu/.ssh"
#define LINE_MAX_BYTES 256
#define OFF_WAIT_MS 5000
#define RESTART_WAIT_S 1
#define PATH_INSIDE "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

/* ---- mounts ---- */

static int problem(struct error *err, const char *what)
{
    return error_set(err, -errno, "%s: %s", what, strerror(errno));
}

static int path_of(const struct guest *g, const char *name, char ret[PATH_MAX])
{
    return snprintf(ret, PATH_MAX, "%s%s", g->root, name) < PATH_MAX ? 0 : -ENAMETOOLONG;
}

/* An empty file, for a mount. */
static void touch(const char *path)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);
    if (fd >= 0)
        close(fd);
}

static int mount_at(const struct guest *g, const char *type, const char *name, unsigned long flags, const char *options)
{
    char path[PATH_MAX];
    if (path_of(g, name, path))
        return -ENAMETOOLONG;
    (void)mkdir(path, 0755);
    return mount(type, path, type, flags, options) < 0 ? -errno : 0;
}

/* A file of the host's /dev under a name inside. */
static int device_show(const struct guest *g, const char *device, const char *name)
{
    char path[PATH_MAX];
    if (path_of(g, name, path))
        return -ENAMETOOLONG;
    for (char *at = strchr(path + strlen(g->root) + 1, '/'); at; at = strchr(at + 1, '/')) {
        *at = '\0';
        (void)mkdir(path, 0755);
        *at = '/';
    }
    touch(path);
    return mount(device, path, NULL, MS_BIND, NULL) < 0 ? -errno : 0;
}

static int devices_make(const struct guest *g, struct error *err)
{
    static const char *const usual[] = {"/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom", "/dev/tty"};
    static const char *const links[][2] = {{"pts/ptmx", "/dev/ptmx"}, {"/proc/self/fd", "/dev/fd"}, {"/proc/self/fd/0", "/dev/stdin"},
                                           {"/proc/self/fd/1", "/dev/stdout"}, {"/proc/self/fd/2", "/dev/stderr"}};
    char path[PATH_MAX];
    if (mount_at(g, "tmpfs", "/dev", MS_NOSUID, "mode=755,size=4m"))
        return problem(err, "/dev");
    for (size_t i = 0; i < ARRAY_COUNT(usual); i++)
        if (device_show(g, usual[i], usual[i]))
            return problem(err, usual[i]);
    for (size_t i = 0; i < g->device_count; i++)
        if (device_show(g, g->devices[i], g->devices[i]))
            return problem(err, g->devices[i]);
    if (mount_at(g, "devpts", "/dev/pts", MS_NOSUID | MS_NOEXEC, "newinstance,ptmxmode=0666,mode=0620,gid=5") ||
        mount_at(g, "tmpfs", "/dev/shm", MS_NOSUID | MS_NODEV, "mode=1777"))
        return problem(err, "/dev/pts");
    for (size_t i = 0; i < ARRAY_COUNT(links); i++)
        if (path_of(g, links[i][1], path) == 0 && symlink(links[i][0], path) < 0)
            return problem(err, links[i][1]);
    return 0;
}

/* The disk's device under the name that scripts look for; what it holds is mounted already. */
static void disk_show(const struct guest *g, const char *mounted, const char *name)
{
    char link[PATH_MAX], device[PATH_MAX], shown[PATH_MAX];
    struct stat st;
    if (stat(mounted, &st) < 0)
        return;
    snprintf(link, sizeof link, "/sys/dev/block/%u:%u", major(st.st_dev), minor(st.st_dev));
    ssize_t size = readlink(link, device, sizeof device - 1);
    const char *last = NULL;
    if (size > 0) {
        device[size] = '\0';
        last = strrchr(device, '/');
    }
    if (last == NULL)
        return;
    snprintf(link, sizeof link, "/dev/%s", last + 1);
    snprintf(shown, sizeof shown, "/dev/disk/by-id/virtio-%.36s", name);
    (void)device_show(g, link, shown);
}

static int volumes_bind(const struct guest *g, struct error *err)
{
    char source[PATH_MAX], target[PATH_MAX];
    for (size_t i = 0; i < g->volume_count; i++) {
        snprintf(source, sizeof source, "%s.volume-%zu", g->root, i);
        snprintf(target, sizeof target, "%s/mnt/%s", g->root, g->volumes[i].name);
        (void)mkdir(target, 0755);
        if (mount(source, target, NULL, MS_BIND | MS_REC, NULL) < 0)
            return problem(err, g->volumes[i].name);
        if (g->volumes[i].disk)
            disk_show(g, source, g->volumes[i].name);
    }
    return 0;
}

int guest_enter(const struct guest *g, struct error *err)
{
    if (setgroups(0, NULL) < 0 || sethostname(g->name, strlen(g->name)) < 0)
        return problem(err, "its name");
    if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 && errno != EINVAL)
        return problem(err, "its mounts");
    /* What came with the namespace is locked in its place; a mount of our own is not. */
    if (mount(g->root, g->root, NULL, MS_BIND | MS_REC, NULL) < 0)
        return problem(err, "its root");
    if (mount_at(g, "proc", "/proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL))
        return problem(err, "/proc");
    if (mount_at(g, "sysfs", "/sys", MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_RDONLY, NULL))
        return problem(err, "/sys");
    int rc = devices_make(g, err);
    if (rc == 0 && mount_at(g, "tmpfs", "/run", MS_NOSUID | MS_NODEV, "mode=755"))
        rc = problem(err, "/run");
    if (rc == 0)
        rc = volumes_bind(g, err);
    if (rc)
        return rc;
    /* The old root ends up on top of the new one, and is taken away. */
    if (chdir(g->root) < 0 || syscall(SYS_pivot_root, ".", ".") < 0 || umount2(".", MNT_DETACH) < 0 || chdir("/") < 0)
        return problem(err, "its root");
    return 0;
}

/* ---- what its root may not do ---- */

static void rights_drop(void)
{
    static const int dropped[] = {CAP_SYS_ADMIN, CAP_SYS_MODULE, CAP_SYS_RAWIO, CAP_SYS_BOOT, CAP_SYS_TIME, CAP_SYS_PACCT, CAP_MAC_ADMIN,
                                  CAP_MAC_OVERRIDE, CAP_SYSLOG, CAP_WAKE_ALARM, CAP_BLOCK_SUSPEND, CAP_AUDIT_CONTROL, CAP_AUDIT_READ,
                                  CAP_NET_ADMIN, CAP_PERFMON, CAP_BPF, CAP_CHECKPOINT_RESTORE};
    for (size_t i = 0; i < ARRAY_COUNT(dropped); i++)
        (void)prctl(PR_CAPBSET_DROP, dropped[i], 0, 0, 0);
}

/* ---- files inside: written as its own root, below its own root ---- */

static void folder(const char *path, mode_t mode, uid_t user)
{
    if (mkdir(path, mode) == 0)
        (void)!chown(path, user, user);
}

static void file_write(const char *path, struct str text, mode_t mode, uid_t user)
{
    (void)unlink(path);
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, mode);
    if (fd < 0)
        return;
    (void)!fchown(fd, user, user);
    (void)fchmod(fd, mode);
    (void)!write(fd, text.data, text.size);
    close(fd);
}

static void keys_write(const struct guest *g)
{
    _cleanup_buf_ struct buf text = BUF_INIT(BUF_LIMIT_DEFAULT);
    for (size_t i = 0; i < g->key_count; i++)
        buf_printf(&text, "%.*s\n", STR_ARGS(g->keys[i]));
    folder(SSH_OF_ROOT, 0700, 0);
    folder(SSH_OF_UBUNTU, 0700, UBUNTU);
    file_write(SSH_OF_ROOT "/authorized_keys", buf_str(&text), 0600, 0);
    file_write(SSH_OF_UBUNTU "/authorized_keys", buf_str(&text), 0600, UBUNTU);
}

static void files_write(const struct guest *g, struct str resolvers)
{
    _cleanup_buf_ struct buf hosts = BUF_INIT(4096);
    keys_write(g);
    buf_printf(&hosts, "127.0.0.1 localhost\n%s %s\n::1 localhost\n", g->network.address, g->name);
    file_write("/etc/hosts", buf_str(&hosts), 0644, 0);
    file_write("/etc/hostname", str_from(g->name), 0644, 0);
    file_write("/etc/resolv.conf", resolvers, 0644, 0);
    folder("/opt/mithril", 0755, 0);
    (void)unlink("/opt/mithril/MITHRIL_SIGNAL.yml");
    folder("/var/lib", 0755, 0);
    folder(GUEST_FOLDER, 0755, 0);
    folder("/var/log/foundry", 0755, 0);
    folder("/run/sshd", 0755, 0);
    folder("/mnt/local", 0777, 0);
    if (g->startup_script.size && access(GUEST_FOLDER "/begun", F_OK) < 0)
        file_write(GUEST_FOLDER "/startup.sh", g->startup_script, 0755, 0);
}

static void notice_write(const char *status, time_ms end_ms)
{
    _cleanup_buf_ struct buf text = BUF_INIT(512);
    time_t seconds = (time_t)(end_ms / 1000);
    struct tm parts;
    char when[64] = "";
    if (gmtime_r(&seconds, &parts))
        strftime(when, sizeof when, "%Y-%m-%dT%H:%M:%SZ", &parts);
    buf_printf(&text, "instance_status: %s\nbid_status: %s\nend_time: %s\n", status,
               strcmp(status, "STATUS_RELOCATING") == 0 ? "Relocating" : "Preempting", when);
    file_write("/opt/mithril/.signal", buf_str(&text), 0644, 0);
    (void)rename("/opt/mithril/.signal", "/opt/mithril/MITHRIL_SIGNAL.yml");
}

/* ---- its processes ---- */

static pid_t begin(char *const *words, const char *output)
{
    static char path[] = PATH_INSIDE, home[] = "HOME=/root", locale[] = "LANG=C.UTF-8";
    char *environment[] = {path, home, locale, NULL};
    pid_t process = fork();
    if (process)
        return process;
    int null = open("/dev/null", O_RDONLY), out = output ? open(output, O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW, 0644) : -1;
    (void)setsid();
    (void)dup2(null, 0);
    if (out >= 0) {
        (void)dup2(out, 1);
        (void)dup2(out, 2);
    }
    rights_drop();
    (void)syscall(SYS_close_range, 3U, ~0U, 0);
    execve(words[0], words, environment);
    _exit(127);
}

static void wait_for(pid_t process)
{
    while (process > 0 && waitpid(process, NULL, 0) < 0 && errno == EINTR)
        ;
}

static pid_t login_begin(void)
{
    static char sshd[] = "/usr/sbin/sshd", stay[] = "-D", tell[] = "-e";
    return begin((char *[]){sshd, stay, tell, NULL}, NULL);
}

static void host_keys_make(void)
{
    static char keygen[] = "/usr/bin/ssh-keygen", all[] = "-A";
    wait_for(begin((char *[]){keygen, all, NULL}, "/dev/null"));
}

static void startup_begin(const struct guest *g)
{
    static char bash[] = "/bin/bash", script[] = GUEST_FOLDER "/startup.sh";
    if (g->startup_script.size == 0 || access(GUEST_FOLDER "/begun", F_OK) == 0)
        return;
    file_write(GUEST_FOLDER "/begun", STR("yes\n"), 0644, 0);
    begin((char *[]){bash, script, NULL}, "/var/log/foundry/startup_script.log");
}

/* What its owner wants at each boot, as where there is no systemd. */
static void boot_begin(void)
{
    static char bash[] = "/bin/bash", script[] = "/etc/rc.local";
    if (access(script, X_OK) == 0)
        begin((char *[]){bash, script, NULL}, "/var/log/foundry/rc.local.log");
}

/* ---- metadata: a few names over HTTP at 169.254.169.254 ---- */

static struct str metadata_of(const struct guest *g, struct str path)
{
    const struct {
        const char *name, *value;
    } names[] = {{"instance-id", g->id}, {"local-hostname", g->name}, {"hostname", g->name}, {"local-ipv4", g->network.address},
                 {"instance-type", g->type}, {"placement/region", g->region}};
    struct str prefix = STR("/latest/meta-data/");
    if (str_equal(path, prefix) || str_is(path, "/latest/meta-data"))
        return STR("hostname\ninstance-id\ninstance-type\nlocal-hostname\nlocal-ipv4\nplacement/region\n");
    if (!str_starts(path, prefix))
        return (struct str){0};
    path = (struct str){path.data + prefix.size, path.size - prefix.size};
    for (size_t i = 0; i < ARRAY_COUNT(names); i++)
        if (str_is(path, names[i].name))
            return str_from(names[i].value);
    return (struct str){0};
}

static void metadata_answer(const struct guest *g, int client)
{
    char request[2048];
    _cleanup_buf_ struct buf out = BUF_INIT(8192);
    struct timeval patience = {.tv_sec = 5};
    (void)setsockopt(client, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    (void)setsockopt(client, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    ssize_t size = read(client, request, sizeof request);
    struct str rest = {request, size > 0 ? (size_t)size : 0}, method = str_cut(&rest, ' '), path = str_cut(&rest, ' ');
    struct str value = str_is(method, "GET") ? metadata_of(g, path) : (struct str){0};
    buf_printf(&out, "HTTP/1.1 %s\r\nContent-Type: text/plain\r\nContent-Length: %zu\r\nConnection: close\r\n\r\n%.*s",
               value.size ? "200 OK" : "404 Not Found", value.size, STR_ARGS(value));
    (void)!write(client, out.data, out.size);
}

static void metadata_begin(const struct guest *g)
{
    struct sockaddr_in where = {.sin_family = AF_INET, .sin_port = htons(80), .sin_addr.s_addr = htonl(0xa9fea9fe)};
    int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    bool listens = fd >= 0 && bind(fd, (struct sockaddr *)&where, sizeof where) == 0 && listen(fd, 16) == 0;
    pid_t process = listens ? fork() : -1;
    if (process == 0) {
        rights_drop();
        (void)setsid();
        for (;;) {
            int client = accept4(fd, NULL, NULL, SOCK_CLOEXEC);
            if (client < 0)
                continue;
            metadata_answer(g, client);
            close(client);
        }
    }
    if (fd >= 0)
        close(fd);
}

/* ---- its life ---- */

/* All get their signal, and some time. */
_Noreturn static void power_off(void)
{
    struct timespec wait = {.tv_nsec = 10000000};
    (void)kill(-1, SIGTERM);
    for (int i = 0; i < OFF_WAIT_MS / 10; i++) {
        pid_t process;
        while ((process = waitpid(-1, NULL, WNOHANG)) > 0)
            ;
        if (process < 0)
            break;
        nanosleep(&wait, NULL);
    }
    _exit(0);
}

static void obey(char *line)
{
    char *rest = NULL, *word = strtok_r(line, " ", &rest), *status = strtok_r(NULL, " ", &rest), *end = strtok_r(NULL, " ", &rest);
    int64_t end_ms;
    if (word && strcmp(word, "off") == 0)
        power_off();
    if (word && strcmp(word, "notice") == 0 && status && end && str_to_i64(str_from(end), &end_ms))
        notice_write(status, end_ms);
}

static void control_read(int control)
{
    static char text[LINE_MAX_BYTES];
    static size_t size;
    ssize_t got = read(control, text + size, sizeof text - 1 - size);
    if (got == 0)
        power_off(); /* nobody outside cares any more */
    size += got > 0 ? (size_t)got : 0;
    text[size] = '\0';
    for (char *end; (end = strchr(text, '\n'));) {
        *end = '\0';
        obey(text);
        size -= (size_t)(end + 1 - text);
        memmove(text, end + 1, size + 1);
    }
    if (size == sizeof text - 1)
        size = 0;
}

_Noreturn void guest_init(const struct guest *g, struct str resolvers, int control)
{
    pid_t login, process;
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    (void)signal(SIGPIPE, SIG_IGN);
    (void)umask(022);
    (void)setsid();
    files_write(g, resolvers);
    host_keys_make();
    metadata_begin(g);
    login = login_begin();
    boot_begin();
    startup_begin(g);
    for (;;) {
        struct pollfd file = {.fd = control, .events = POLLIN};
        if (poll(&file, 1, 1000 * RESTART_WAIT_S) > 0)
            control_read(control);
        while ((process = waitpid(-1, NULL, WNOHANG)) > 0)
            if (process == login)
                login = 0;
        if (login == 0)
            login = login_begin();
    }
}
