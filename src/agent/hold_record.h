/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What agent and holder tell one another: one description of a replica to start, and small files in
 * the replica's folder, written aside and renamed. Either may die and be started again at any time;
 * the files are what stays.
 *
 *   FOLDER/lock          flock(2)ed for as long as the holder lives
 *   FOLDER/control       FIFO: a byte says that command.json or lease changed
 *   FOLDER/lease         until when it may run (hold_lease), where it freezes without contact
 *   FOLDER/command.json  hold_command, by the agent
 *   FOLDER/started.json  hold_started, by the holder
 *   FOLDER/ended.json    hold_ended, by the holder
 *   FOLDER/log           what the replica said
 *   FOLDER/home          what it sees as SANDBOX_HOME
 *
 * Times are milliseconds of CLOCK_BOOTTIME, which goes on while the machine sleeps: what a server
 * waits for goes on then, too. */

#include "wire/record.h"

/* A machine handed to its owner (node/guest.h), instead of scripts. */
struct hold_volume {
    struct str source, name;
    bool disk;
    int64_t size_mib;
};
struct hold_guest {
    struct str id, name, region, type;
    struct str image, disk;                    /* folders */
    struct str bridge, address, gateway; /* its network */
    struct record_list keys;                   /* of struct str */
    struct str startup_script;
    struct record_list volumes; /* of struct hold_volume */
    struct record_list devices; /* of struct str */
};

struct hold_spec {
    struct str folder;   /* of the replica */
    struct str poke;     /* FIFO of the agent, told that something happened */
    struct str workload; /* work_… */
    int64_t attempt, role, rank;
    struct str setup, run;          /* scripts */
    struct record_list environment; /* of struct record_pair: all of it, secrets included */
    struct str home, workdir;       /* where things lie; workdir as the replica sees it */
    struct record_list mounts;      /* of struct record_pair: absolute target -> absolute source */
    struct record_list barred;      /* of struct str: files that it may not open */
    bool own_mounts;
    int64_t user; /* 0 = the agent's own */
    int64_t core_milli, memory_mib;
    int64_t signal, notice_ms;
    bool freeze; /* on_lost_contact */
    int64_t log_bytes_max;
    struct hold_guest guest; /* where its id says something */
};

struct hold_started {
    struct str boot;
    int64_t holder, process;   /* pids */
    struct record_list groups; /* of struct str: parts of its own cgroup, as text */
    int64_t user;
    bool freeze;
    int64_t at_boot_ms, at_wall_ms;
};

struct hold_ended {
    struct str boot;
    int64_t exit_code, signal;
    bool oom;
    struct str text;       /* why it could not start; empty where it did */
    struct str last_lines; /* valid UTF-8 */
    int64_t at_boot_ms, at_wall_ms;
};

struct hold_command {
    bool stop; /* signal once, kill at kill_at_boot_ms */
    int64_t signal;
    int64_t kill_at_boot_ms; /* 0 = now */
};

extern const struct record hold_volume_record, hold_guest_record, hold_spec_record, hold_started_record, hold_ended_record,
    hold_command_record;

#define HOLD_FILE_MAX ((size_t)64 << 10)
#define HOLD_SPEC_MAX ((size_t)16 << 20)
#define HOLD_PATH_MAX 4096
#define HOLD_PIDS_MAX 8192 /* processes and threads of one replica */

/* CLOCK_BOOTTIME in ms. */
time_ms hold_now_ms(void);

/* FOLDER/NAME, into a buffer of HOLD_PATH_MAX bytes; -ENAMETOOLONG. */
int hold_path(char *ret, const char *folder, const char *name);
struct hold_file {
    const char *name;
    const struct record *record;
    bool flush; /* must survive a power cut */
};
extern const struct hold_file hold_started_file, hold_ended_file, hold_command_file;

int hold_write(const struct hold_file *file, const char *folder, const void *value,
               struct error *err);
/* -ENOENT where it is not there. */
int hold_read(const struct hold_file *file, const char *folder, struct arena *arena, void *ret,
              struct error *err);

/* The lease is eight bytes in a file that is only ever overwritten. Absent or short reads as 0: not
 * allowed to run. */
int hold_lease_write(const char *folder, time_ms until_boot_ms, struct error *err);
time_ms hold_lease_read(const char *folder);

/* A folder's name says whose it is: "work_4k2m8q0r7t1v9x3z.2.0.17" (attempt, role, rank). */
#define HOLD_NAME_MAX 96
struct hold_name {
    char text[HOLD_NAME_MAX];
};
struct hold_identity {
    struct str workload;
    int64_t attempt, role, rank;
};
/* -EINVAL where the workload is not made of letters, digits and `_`, or too long. */
int hold_name_format(const struct hold_identity *identity, struct hold_name *ret);
/* Borrows from `name`. */
bool hold_name_parse(struct str name, struct hold_identity *ret);
