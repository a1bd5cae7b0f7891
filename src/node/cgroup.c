/* SPDX-License-Identifier: Apache-2.0 */
#include "node/cgroup.h"

#include "base/clock.h"
#include "node/file.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_BYTES_MAX ((size_t)1 << 20) /* cgroup.procs of some hundred thousand processes */
#define CPU_PERIOD_US 100000
#define CPU_QUOTA_LEAST_US 1000 /* less is refused by the kernel */
#define MIB ((int64_t)1 << 20)
#define FREEZE_WAIT_MS 1000
#define KILL_WAIT_MS 2000
#define PROCESSES_MAX 4096 /* signalled in one round */

/* The letters of the text form, in the order of the bits. */
static const char ability_letters[] = "cmpfk";
static const char *const v1_controllers[] = {"cpu", "memory", "pids", "freezer"};

/* ---- what is mounted ---- */

static bool has_word(struct str list, const char *word, char separator)
{
    while (list.size)
        if (str_is(str_cut(&list, separator), word))
            return true;
    return false;
}

static unsigned v1_abilities(struct str options)
{
    unsigned abilities = 0;
    for (unsigned i = 0; i < ARRAY_COUNT(v1_controllers); i++)
        if (has_word(options, v1_controllers[i], ','))
            abilities |= 1u << i;
    return abilities;
}

unsigned cgroup_abilities(const struct cgroup *group)
{
    unsigned all = 0;
    for (unsigned i = 0; i < group->count; i++)
        all |= group->parts[i].abilities;
    return all;
}

static bool has_unified(const struct cgroup *mounts)
{
    for (unsigned i = 0; i < mounts->count; i++)
        if (mounts->parts[i].unified)
            return true;
    return false;
}

void cgroup_parse_mounts(struct str mounts, struct cgroup *ret)
{
    *ret = (struct cgroup){0};
    while (mounts.size && ret->count < CGROUP_PARTS_MAX) {
        struct str line = str_cut(&mounts, '\n');
        (void)str_cut(&line, ' ');
        struct str where = str_cut(&line, ' '), type = str_cut(&line, ' ');
        struct str options = str_cut(&line, ' ');
        bool unified = str_is(type, "cgroup2");
        unsigned abilities = unified ? 0 : v1_abilities(options) & ~cgroup_abilities(ret);
        bool useful = unified ? !has_unified(ret) : str_is(type, "cgroup") && abilities != 0;
        if (!useful || where.size >= CGROUP_PATH_MAX)
            continue;
        struct cgroup_part *part = &ret->parts[ret->count++];
        part->unified = unified;
        part->abilities = abilities;
        snprintf(part->path, sizeof part->path, "%.*s", STR_ARGS(where));
    }
}

/* ---- our own place in them ---- */

static int read_file(const struct cgroup_part *part, const char *name, struct buf *ret)
{
    char path[CGROUP_PATH_MAX + 64];
    snprintf(path, sizeof path, "%s/%s", part->path, name);
    return file_read(path, ret, NULL);
}

static int write_file(const struct cgroup_part *part, const char *name, const char *text)
{
    char path[CGROUP_PATH_MAX + 64];
    snprintf(path, sizeof path, "%s/%s", part->path, name);
    return file_poke(path, text);
}

static bool has_file(const struct cgroup_part *part, const char *name)
{
    char path[CGROUP_PATH_MAX + 64];
    snprintf(path, sizeof path, "%s/%s", part->path, name);
    return access(path, W_OK) == 0;
}

/* Hands the controllers of v2 to the children of a group; each by itself, so that one that is held
 * elsewhere (a hybrid machine) does not cost the others. */
static void delegate(const struct cgroup_part *part)
{
    static const char *const controllers[] = {"+cpu", "+memory", "+pids"};
    for (unsigned i = 0; i < ARRAY_COUNT(controllers); i++)
        (void)write_file(part, "cgroup.subtree_control", controllers[i]);
}

/* What a group of v2 is able to do: told by the files that it has. */
static unsigned v2_abilities(const struct cgroup_part *part)
{
    static const char *const files[] = {"cpu.max", "memory.max", "pids.max", "cgroup.freeze",
                                        "cgroup.kill"};
    unsigned abilities = 0;
    for (unsigned i = 0; i < ARRAY_COUNT(files); i++)
        if (has_file(part, files[i]))
            abilities |= 1u << i;
    return abilities;
}

static int join_path(const struct cgroup_part *above, const char *name, struct cgroup_part *ret)
{
    *ret = *above;
    int size = snprintf(ret->path, sizeof ret->path, "%s/%s", above->path, name);
    return size < (int)sizeof ret->path ? 0 : -ENAMETOOLONG;
}

/* Makes `name` below a part and says what it can do there; false where nothing can be made. */
static bool settle(const struct cgroup_part *above, const char *name, struct cgroup_part *ret)
{
    struct cgroup_part probe;
    if (join_path(above, name, ret) < 0)
        return false;
    if (above->unified)
        delegate(above);
    if (mkdir(ret->path, 0755) < 0 && (errno != EEXIST || !has_file(ret, "cgroup.procs")))
        return false;
    if (!above->unified)
        return true;
    delegate(ret);
    if (join_path(ret, "probe", &probe) < 0 || (mkdir(probe.path, 0755) < 0 && errno != EEXIST))
        return false;
    ret->abilities = v2_abilities(&probe);
    rmdir(probe.path);
    return true;
}

/* The agent's own group in the hierarchy of `mount`, from lines "7:cpu,cpuacct:/path". */
static bool own_group(const struct cgroup_part *mount, struct str own, struct cgroup_part *ret)
{
    while (own.size) {
        struct str line = str_cut(&own, '\n');
        struct str number = str_cut(&line, ':'), controllers = str_cut(&line, ':');
        bool found = mount->unified ? str_is(number, "0")
                                    : (v1_abilities(controllers) & mount->abilities) != 0;
        if (!found || line.size < 2)
            continue;
        *ret = *mount;
        return snprintf(ret->path, sizeof ret->path, "%s%.*s", mount->path, STR_ARGS(line)) <
               (int)sizeof ret->path;
    }
    return false;
}

void cgroup_home(const struct cgroup *mounts, struct str own, const char *name, struct cgroup *ret)
{
    unsigned taken = 0;
    *ret = (struct cgroup){0};
    /* v2 first: it freezes and kills better, and what it lacks the others fill in. */
    for (int unified = 1; unified >= 0; unified--) {
        for (unsigned i = 0; i < mounts->count; i++) {
            const struct cgroup_part *mount = &mounts->parts[i];
            struct cgroup_part part, inner;
            if (mount->unified != (unified == 1))
                continue;
            if (!settle(mount, name, &part) &&
                !(own_group(mount, own, &inner) && settle(&inner, name, &part)))
                continue;
            part.abilities &= ~taken;
            if (part.abilities == 0)
                rmdir(part.path);
            else
                ret->parts[ret->count++] = part;
            taken |= part.abilities;
        }
    }
}

void cgroup_part_text(const struct cgroup_part *part, struct buf *out)
{
    if (part->unified)
        buf_append_byte(out, '2');
    for (unsigned i = 0; ability_letters[i]; i++)
        if (part->abilities & 1u << i)
            buf_append_byte(out, ability_letters[i]);
    buf_printf(out, ":%s", part->path);
}

bool cgroup_part_parse(struct str text, struct cgroup_part *ret)
{
    struct str letters = str_cut(&text, ':');
    *ret = (struct cgroup_part){0};
    for (size_t i = 0; i < letters.size; i++) {
        const char *found = letters.data[i] ? strchr(ability_letters, letters.data[i]) : NULL;
        if (letters.data[i] == '2')
            ret->unified = true;
        else if (found)
            ret->abilities |= 1u << (found - ability_letters);
        else
            return false;
    }
    if (text.size < 2 || text.size >= CGROUP_PATH_MAX || text.data[0] != '/' ||
        memchr(text.data, '\0', text.size))
        return false;
    snprintf(ret->path, sizeof ret->path, "%.*s", STR_ARGS(text));
    return ret->abilities != 0;
}

/* ---- one group ---- */

int cgroup_name(const struct cgroup *home, const char *name, struct cgroup *ret, struct error *err)
{
    *ret = (struct cgroup){.count = home->count};
    for (unsigned i = 0; i < home->count; i++)
        if (join_path(&home->parts[i], name, &ret->parts[i]) < 0)
            return error_set(err, -ENAMETOOLONG, "cgroup %s: the path is too long", name);
    return 0;
}

int cgroup_make(const struct cgroup *home, const char *name, struct cgroup *ret, struct error *err)
{
    int rc = cgroup_name(home, name, ret, err);
    for (unsigned i = 0; rc == 0 && i < ret->count; i++)
        if (mkdir(ret->parts[i].path, 0755) < 0 && errno != EEXIST)
            rc = error_set(err, -errno, "cgroup %s: %s", ret->parts[i].path, strerror(errno));
    if (rc)
        cgroup_remove(ret);
    return rc;
}

static int limit_cpu(const struct cgroup_part *part, int64_t core_milli)
{
    char text[64];
    int64_t quota = MAX(core_milli * (CPU_PERIOD_US / 1000), CPU_QUOTA_LEAST_US);
    if (part->unified) {
        snprintf(text, sizeof text, "%lld %d", (long long)quota, CPU_PERIOD_US);
        return write_file(part, "cpu.max", text);
    }
    snprintf(text, sizeof text, "%lld", (long long)quota);
    return write_file(part, "cpu.cfs_quota_us", text);
}

static int limit_memory(const struct cgroup_part *part, int64_t memory_mib)
{
    char text[64];
    snprintf(text, sizeof text, "%lld", (long long)(memory_mib * MIB));
    int rc = write_file(part, part->unified ? "memory.max" : "memory.limit_in_bytes", text);
    /* Without swap accounting there is nothing to limit, and one kill ends the whole replica only
     * where v2 can do that: a holder sees to it anyway. */
    if (part->unified) {
        (void)write_file(part, "memory.swap.max", "0");
        (void)write_file(part, "memory.oom.group", "1");
    } else {
        (void)write_file(part, "memory.memsw.limit_in_bytes", text);
    }
    return rc;
}

static int limit_pids(const struct cgroup_part *part, int64_t pids)
{
    char text[64];
    snprintf(text, sizeof text, "%lld", (long long)pids);
    return write_file(part, "pids.max", text);
}

int cgroup_limit(const struct cgroup *group, const struct cgroup_limits *limits, struct error *err)
{
    for (unsigned i = 0; i < group->count; i++) {
        const struct cgroup_part *part = &group->parts[i];
        int rc = 0;
        if (part->abilities & CGROUP_CPU && limits->core_milli)
            rc = limit_cpu(part, limits->core_milli);
        if (rc == 0 && part->abilities & CGROUP_MEMORY && limits->memory_mib)
            rc = limit_memory(part, limits->memory_mib);
        if (rc == 0 && part->abilities & CGROUP_PIDS && limits->pids)
            rc = limit_pids(part, limits->pids);
        if (rc)
            return error_set(err, rc, "cgroup %s: a limit was refused: %s", part->path,
                             strerror(-rc));
    }
    return 0;
}

int cgroup_enter(const struct cgroup *group)
{
    for (unsigned i = 0; i < group->count; i++) {
        int rc = write_file(&group->parts[i], "cgroup.procs", "0");
        if (rc)
            return -rc;
    }
    return 0;
}

size_t cgroup_processes(const struct cgroup *group, pid_t *ret, size_t most)
{
    _cleanup_buf_ struct buf text = BUF_INIT(FILE_BYTES_MAX);
    size_t count = 0;
    if (group->count == 0 || read_file(&group->parts[0], "cgroup.procs", &text) < 0)
        return 0;
    struct str rest = buf_str(&text);
    while (rest.size) {
        int64_t pid;
        if (!str_to_i64(str_cut(&rest, '\n'), &pid) || pid <= 0)
            continue;
        if (count < most)
            ret[count] = (pid_t)pid;
        count++;
    }
    return count;
}

void cgroup_signal(const struct cgroup *group, int signal)
{
    pid_t *pids = xcalloc(PROCESSES_MAX, sizeof *pids);
    size_t count = cgroup_processes(group, pids, PROCESSES_MAX);
    for (size_t i = 0; i < MIN(count, (size_t)PROCESSES_MAX); i++)
        kill(pids[i], signal);
    xfree(pids);
}

static const struct cgroup_part *part_with(const struct cgroup *group, unsigned ability)
{
    for (unsigned i = 0; i < group->count; i++)
        if (group->parts[i].abilities & ability)
            return &group->parts[i];
    return NULL;
}

static bool is_frozen(const struct cgroup_part *part, bool frozen)
{
    _cleanup_buf_ struct buf text = BUF_INIT(4096);
    if (read_file(part, part->unified ? "cgroup.events" : "freezer.state", &text) < 0)
        return true; /* the group is gone */
    if (part->unified)
        return strstr(buf_text(&text), frozen ? "frozen 1" : "frozen 0") != NULL;
    return strcmp(buf_text(&text), frozen ? "FROZEN\n" : "THAWED\n") == 0;
}

int cgroup_freeze(const struct cgroup *group, bool frozen)
{
    const struct cgroup_part *part = part_with(group, CGROUP_FREEZE);
    if (part == NULL)
        return -ENOTSUP;
    time_ms end = clock_monotonic_ms() + FREEZE_WAIT_MS;
    while (true) {
        /* v1 wants to be told again while it is FREEZING */
        int rc = part->unified ? write_file(part, "cgroup.freeze", frozen ? "1" : "0")
                               : write_file(part, "freezer.state", frozen ? "FROZEN" : "THAWED");
        if (rc < 0 && rc != -EBUSY)
            return rc == -ENOENT ? 0 : rc;
        if (is_frozen(part, frozen))
            return 0;
        if (clock_monotonic_ms() > end)
            return -ETIMEDOUT;
        usleep(1000);
    }
}

/* One round of ending. Under v1 a frozen process dies when thawed, before it runs on: the signal is
 * waiting by then. */
static void kill_round(const struct cgroup *group)
{
    const struct cgroup_part *one_write = part_with(group, CGROUP_KILL);
    const struct cgroup_part *freezer = part_with(group, CGROUP_FREEZE);
    if (one_write && write_file(one_write, "cgroup.kill", "1") == 0)
        return;
    cgroup_signal(group, SIGKILL);
    if (freezer)
        (void)write_file(freezer, freezer->unified ? "cgroup.freeze" : "freezer.state",
                         freezer->unified ? "0" : "THAWED");
}

int cgroup_kill(const struct cgroup *group)
{
    time_ms end = clock_monotonic_ms() + KILL_WAIT_MS;
    while (cgroup_processes(group, NULL, 0) > 0) {
        kill_round(group);
        if (cgroup_processes(group, NULL, 0) == 0)
            break;
        if (clock_monotonic_ms() > end)
            return -ETIMEDOUT;
        usleep(1000);
    }
    return 0;
}

int64_t cgroup_oom_kills(const struct cgroup *group)
{
    _cleanup_buf_ struct buf text = BUF_INIT(4096);
    const struct cgroup_part *part = part_with(group, CGROUP_MEMORY);
    if (part == NULL ||
        read_file(part, part->unified ? "memory.events" : "memory.oom_control", &text) < 0)
        return 0;
    struct str rest = buf_str(&text);
    while (rest.size) {
        struct str line = str_cut(&rest, '\n');
        int64_t value;
        if (str_is(str_cut(&line, ' '), "oom_kill") && str_to_i64(line, &value))
            return value;
    }
    return 0;
}

int cgroup_remove(const struct cgroup *group)
{
    int rc = 0;
    for (unsigned i = 0; i < group->count; i++)
        if (rmdir(group->parts[i].path) < 0 && errno != ENOENT && rc == 0)
            rc = -errno;
    return rc;
}
