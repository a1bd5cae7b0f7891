/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/hold_record.h"

#include "node/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#define RECORD(type, text)                                                                         \
    const struct record type##_record = {.name = #type,                                            \
                                         .size = sizeof(struct type),                              \
                                         .fields = type##_fields,                                  \
                                         .count = ARRAY_COUNT(type##_fields),                      \
                                         .doc = (text)}
#define TEXT(type, member, longest, text)                                                          \
    {                                                                                              \
#member, FIELD_STR, .offset = offsetof(struct type, member), .most = (longest),            \
                            .doc = (text)                                                          \
    }
#define NUMBER(type, member, text)                                                                 \
    {                                                                                              \
#member, FIELD_I64, .offset = offsetof(struct type, member), .doc = (text)                 \
    }
#define FLAG(type, member, text)                                                                   \
    {                                                                                              \
#member, FIELD_BOOL, .offset = offsetof(struct type, member), .doc = (text)                \
    }
#define MAP(type, member, text)                                                                    \
    {                                                                                              \
#member, FIELD_MAP, .offset = offsetof(struct type, member), .most = 4096, .doc = (text)   \
    }
#define TEXTS(type, member, text)                                                                  \
    {                                                                                              \
#member, FIELD_LIST, .item = FIELD_STR, .offset = offsetof(struct type, member),           \
                             .most = 16, .doc = (text)                                             \
    }

#define SCRIPT_MAX (256 << 10)

static const struct field hold_volume_fields[] = {
    TEXT(hold_volume, source, HOLD_PATH_MAX, "Folder, or file of a disk."),
    TEXT(hold_volume, name, 64, "Its name inside."),
    FLAG(hold_volume, disk, "A disk."),
    NUMBER(hold_volume, size_mib, "Size of a disk."),
};
RECORD(hold_volume, "A volume of a machine.");

static const struct field hold_guest_fields[] = {
    TEXT(hold_guest, id, 32, "Id of the instance."),
    TEXT(hold_guest, name, 128, "Its host name."),
    TEXT(hold_guest, region, 256, "Where it stands."),
    TEXT(hold_guest, type, 256, "What it is."),
    TEXT(hold_guest, image, HOLD_PATH_MAX, "Folder of the image."),
    TEXT(hold_guest, disk, HOLD_PATH_MAX, "Folder of its disk."),
    TEXT(hold_guest, bridge, 16, "Bridge of the node."),
    TEXT(hold_guest, address, 64, "Its address."),
    TEXT(hold_guest, gateway, 64, "The node's address on the bridge."),
    {"keys", FIELD_LIST, .item = FIELD_STR, .offset = offsetof(struct hold_guest, keys), .most = 1100, .doc = "Public keys."},
    TEXT(hold_guest, startup_script, SCRIPT_MAX, "Run once a disk."),
    {"volumes", FIELD_LIST, .item = FIELD_RECORD, .offset = offsetof(struct hold_guest, volumes), .most = 64,
     .record = &hold_volume_record, .doc = "Volumes."},
    {"devices", FIELD_LIST, .item = FIELD_STR, .offset = offsetof(struct hold_guest, devices), .most = 128, .doc = "Devices."},
};
RECORD(hold_guest, "A machine handed to its owner.");

static const struct field hold_spec_fields[] = {
    TEXT(hold_spec, folder, HOLD_PATH_MAX, "Folder of the replica."),
    TEXT(hold_spec, poke, HOLD_PATH_MAX, "FIFO of the agent."),
    TEXT(hold_spec, workload, 64, "Workload."),
    NUMBER(hold_spec, attempt, "Attempt."),
    NUMBER(hold_spec, role, "Role."),
    NUMBER(hold_spec, rank, "Rank."),
    TEXT(hold_spec, setup, SCRIPT_MAX, "Script that runs first."),
    TEXT(hold_spec, run, SCRIPT_MAX, "Script that is the work."),
    MAP(hold_spec, environment, "Environment, all of it."),
    TEXT(hold_spec, home, HOLD_PATH_MAX, "Its home."),
    TEXT(hold_spec, workdir, HOLD_PATH_MAX, "Its working directory, as it sees it."),
    MAP(hold_spec, mounts, "Where it sees what."),
    {"barred", FIELD_LIST, .item = FIELD_STR, .offset = offsetof(struct hold_spec, barred),
     .most = 64, .doc = "What it may not open."},
    FLAG(hold_spec, own_mounts, "In a mount namespace of its own."),
    {"user", FIELD_I64, .offset = offsetof(struct hold_spec, user), .least = 0,
     .most = UINT32_MAX - 1, .doc = "User and group."},
    NUMBER(hold_spec, core_milli, "Cores."),
    NUMBER(hold_spec, memory_mib, "Memory."),
    {"signal", FIELD_I64, .offset = offsetof(struct hold_spec, signal), .least = 1, .most = 64,
     .fallback = 15, .doc = "Signal that announces the end."},
    NUMBER(hold_spec, notice_ms, "Between signal and kill."),
    FLAG(hold_spec, freeze, "Freezes without contact."),
    NUMBER(hold_spec, log_bytes_max, "Cap of the log."),
    {"guest", FIELD_RECORD, .offset = offsetof(struct hold_spec, guest), .record = &hold_guest_record, .doc = "A machine instead of scripts."},
};
RECORD(hold_spec, "One replica to start.");

static const struct field hold_started_fields[] = {
    TEXT(hold_started, boot, 64, "Boot of the machine."),
    NUMBER(hold_started, holder, "Process that holds it."),
    NUMBER(hold_started, process, "Process that it is."),
    TEXTS(hold_started, groups, "Its cgroup."),
    {"user", FIELD_I64, .offset = offsetof(struct hold_started, user), .least = 0,
     .most = UINT32_MAX - 1, .doc = "User and group."},
    FLAG(hold_started, freeze, "Freezes without contact."),
    NUMBER(hold_started, at_boot_ms, "When, by the clock since boot."),
    NUMBER(hold_started, at_wall_ms, "When, by the calendar."),
};
RECORD(hold_started, "A replica was started.");

static const struct field hold_ended_fields[] = {
    TEXT(hold_ended, boot, 64, "Boot of the machine."),
    {"exit_code", FIELD_I64, .offset = offsetof(struct hold_ended, exit_code), .least = 0,
     .most = 255, .doc = "Exit code."},
    {"signal", FIELD_I64, .offset = offsetof(struct hold_ended, signal), .least = 0, .most = 64,
     .doc = "Signal that killed it."},
    FLAG(hold_ended, oom, "Killed for memory."),
    TEXT(hold_ended, text, 4096, "Why it could not start."),
    TEXT(hold_ended, last_lines, 4096, "The end of its log."),
    NUMBER(hold_ended, at_boot_ms, "When, by the clock since boot."),
    NUMBER(hold_ended, at_wall_ms, "When, by the calendar."),
};
RECORD(hold_ended, "A replica ended.");

static const struct field hold_command_fields[] = {
    FLAG(hold_command, stop, "End it."),
    {"signal", FIELD_I64, .offset = offsetof(struct hold_command, signal), .least = 0, .most = 64,
     .doc = "Signal that comes first, 0 = none."},
    NUMBER(hold_command, kill_at_boot_ms, "Time of the kill, by the clock since boot."),
};
RECORD(hold_command, "What a holder should do.");

time_ms hold_now_ms(void)
{
    struct timespec now;
    CHECK(clock_gettime(CLOCK_BOOTTIME, &now) == 0);
    return (time_ms)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

int hold_path(char *ret, const char *folder, const char *name)
{
    int size = snprintf(ret, HOLD_PATH_MAX, "%s/%s", folder, name);
    return size < HOLD_PATH_MAX ? 0 : -ENAMETOOLONG;
}

const struct hold_file hold_started_file = {"started.json", &hold_started_record, true};
const struct hold_file hold_ended_file = {"ended.json", &hold_ended_record, true};
const struct hold_file hold_command_file = {"command.json", &hold_command_record, false};

int hold_write(const struct hold_file *file, const char *folder, const void *value,
               struct error *err)
{
    char path[HOLD_PATH_MAX];
    _cleanup_buf_ struct buf text = BUF_INIT(HOLD_FILE_MAX);
    int rc = hold_path(path, folder, file->name);
    record_to_json(file->record, value, AUDIENCE_AGENT, &text);
    if (rc || text.overflow)
        return error_set(err, rc ? rc : -EMSGSIZE, "%s/%s: too long", folder, file->name);
    return file_replace(path, buf_str(&text), 0600, file->flush, err);
}

int hold_read(const struct hold_file *file, const char *folder, struct arena *arena, void *ret,
              struct error *err)
{
    char path[HOLD_PATH_MAX];
    _cleanup_buf_ struct buf text = BUF_INIT(HOLD_FILE_MAX);
    int rc = hold_path(path, folder, file->name);
    if (rc)
        return error_set(err, rc, "%s/%s: too long", folder, file->name);
    rc = file_read(path, &text, err);
    if (rc)
        return rc;
    rc = record_from_json(file->record, arena_str(arena, buf_str(&text)), arena, ret, err);
    return rc ? error_prefix(err, "%s", path) : 0;
}

int hold_lease_write(const char *folder, time_ms until_boot_ms, struct error *err)
{
    char path[HOLD_PATH_MAX];
    int rc = hold_path(path, folder, "lease");
    if (rc)
        return error_set(err, rc, "%s: too long", folder);
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0 || pwrite(fd, &until_boot_ms, sizeof until_boot_ms, 0) != sizeof until_boot_ms)
        rc = error_set(err, -errno, "%s: %s", path, strerror(errno));
    if (fd >= 0)
        close(fd);
    return rc;
}

time_ms hold_lease_read(const char *folder)
{
    char path[HOLD_PATH_MAX];
    time_ms until = 0;
    if (hold_path(path, folder, "lease"))
        return 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return 0;
    if (pread(fd, &until, sizeof until, 0) != sizeof until)
        until = 0;
    close(fd);
    return until;
}

static bool plain_word(struct str text)
{
    for (size_t i = 0; i < text.size; i++) {
        char c = text.data[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        if (!letter && !(c >= '0' && c <= '9') && c != '_')
            return false;
    }
    return text.size > 0;
}

int hold_name_format(const struct hold_identity *identity, struct hold_name *ret)
{
    if (!plain_word(identity->workload) || identity->attempt < 1 || identity->role < 0 ||
        identity->rank < 0)
        return -EINVAL;
    int size = snprintf(ret->text, sizeof ret->text, "%.*s.%lld.%lld.%lld",
                        STR_ARGS(identity->workload), (long long)identity->attempt,
                        (long long)identity->role, (long long)identity->rank);
    return size < (int)sizeof ret->text ? 0 : -EINVAL;
}

bool hold_name_parse(struct str name, struct hold_identity *ret)
{
    struct hold_name again;
    struct str rest = name;
    *ret = (struct hold_identity){.workload = str_cut(&rest, '.')};
    return str_to_i64(str_cut(&rest, '.'), &ret->attempt) &&
           str_to_i64(str_cut(&rest, '.'), &ret->role) && str_to_i64(rest, &ret->rank) &&
           hold_name_format(ret, &again) == 0 && str_is(name, again.text);
}
