/* SPDX-License-Identifier: Apache-2.0 */
/* One replica as the agent sees it, from first word to last trace. */
#include "agent/agent_internal.h"

#include "base/clock.h"
#include "base/log.h"
#include "node/file.h"

#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

/*   NEW ──► FETCHING ──► READY ──► HELD ──► ENDED ◄──► TOLD ──► GONE
 *            failures, and what is not wanted any more, leave from every state but HELD */
#define TO(state) (1u << REPLICA_##state)
static const struct {
    const char *name;
    unsigned to;
} states[] = {
    [REPLICA_NEW] = {"new", TO(FETCHING) | TO(READY) | TO(HELD) | TO(ENDED) | TO(GONE)},
    [REPLICA_FETCHING] = {"fetching", TO(NEW) | TO(READY) | TO(ENDED) | TO(GONE)},
    [REPLICA_READY] = {"ready", TO(HELD) | TO(ENDED) | TO(GONE)},
    [REPLICA_HELD] = {"held", TO(ENDED)},
    [REPLICA_ENDED] = {"ended", TO(TOLD) | TO(GONE)},
    [REPLICA_TOLD] = {"told", TO(ENDED) | TO(GONE)},
    [REPLICA_GONE] = {"gone", 0},
};

void replica_move(struct replica *r, enum replica_state state)
{
    CHECK(states[r->state].to & 1u << state);
    log_debug("%s: %s to %s", r->name.text, states[r->state].name, states[state].name);
    r->state = state;
}

int replica_new(struct agent *a, const struct hold_identity *identity, struct replica **ret)
{
    struct replica *r = xcalloc(1, sizeof *r);
    int rc = hold_name_format(identity, &r->name);
    if (rc == 0 && snprintf(r->folder, sizeof r->folder, "%s/replicas/%s", a->data, r->name.text) >=
                       (int)sizeof r->folder)
        rc = -ENAMETOOLONG;
    if (rc) {
        xfree(r);
        return rc;
    }
    CHECK(hold_name_parse(str_from(r->name.text), &r->identity));
    r->agent = a;
    r->lock = -1;
    r->log_sent = -1;
    list_append(&a->replicas, &r->link);
    str_map_set(&a->by_name, str_from(r->name.text), (uint64_t)(uintptr_t)r);
    *ret = r;
    return 0;
}

struct replica *replica_find(struct agent *a, struct str name)
{
    return (struct replica *)(uintptr_t)str_map_get(&a->by_name, name);
}

void replica_free(struct replica *r)
{
    if (r->agent->ship_next == r)
        r->agent->ship_next = NULL;
    list_remove(&r->link);
    str_map_remove(&r->agent->by_name, str_from(r->name.text));
    arena_fini(&r->arena);
    if (r->lock >= 0)
        close(r->lock);
    xfree(r);
}

static void end(struct replica *r)
{
    replica_move(r, REPLICA_ENDED);
    r->ended_ms = now_ms();
    log_info("%s: ended, exit code %lld%s%.*s", r->name.text, (long long)r->ended.exit_code,
             r->ended.oom         ? ", killed for memory"
             : r->ended.text.size ? ": "
                                  : "",
             STR_ARGS(r->ended.text));
}

void replica_fail(struct replica *r, const char *text)
{
    r->ended = (struct hold_ended){.boot = arena_str(&r->arena, str_from(r->agent->boot)),
                                   .text = arena_str(&r->arena, str_from(text)),
                                   .at_boot_ms = now_ms(),
                                   .at_wall_ms = clock_wall_ms()};
    end(r);
}

static void look_at_log(struct replica *r)
{
    char path[HOLD_PATH_MAX];
    struct stat st;
    if (hold_path(path, r->folder, "log") == 0 && stat(path, &st) == 0)
        r->log_size = st.st_size;
}

static void look_at_start(struct replica *r)
{
    struct error err;
    if (r->has_started)
        return;
    int rc = hold_read(&hold_started_file, r->folder, &r->arena, &r->started, &err);
    r->has_started = rc == 0;
    if (rc && rc != -ENOENT)
        log_error("%s", err.text);
}

void replica_kill(struct replica *r)
{
    struct cgroup group = {0};
    const struct str *line = r->started.groups.items;
    for (size_t i = 0; i < MIN(r->started.groups.count, (size_t)CGROUP_PARTS_MAX); i++)
        if (cgroup_part_parse(line[i], &group.parts[group.count]))
            group.count++;
    if (group.count == 0 && r->has_started && r->started.process > 0)
        kill((pid_t)-r->started.process, SIGKILL);
    (void)cgroup_kill(&group);
    (void)cgroup_remove(&group);
    holder_sweep_groups(r->agent);
}

/* The holder was killed: what it held has lost its keeper and ends too. */
static void end_without_record(struct replica *r)
{
    bool same_boot = str_is(r->started.boot, r->agent->boot);
    if (!r->has_started || same_boot)
        replica_kill(r);
    r->ended = (struct hold_ended){
        .boot = r->started.boot,
        .exit_code = r->has_started ? 128 + SIGKILL : 0,
        .signal = r->has_started ? SIGKILL : 0,
        .text = r->has_started ? (struct str){0} : STR("its holder ended before it began"),
        .last_lines = STR("[tessera: the process that held this replica was killed]\n"),
        .at_boot_ms = now_ms(),
        .at_wall_ms = clock_wall_ms()};
    end(r);
}

void replica_look(struct replica *r)
{
    struct error err;
    if (r->state != REPLICA_HELD)
        return;
    /* Asked before the record is looked for: a holder writes it while it still lives. */
    bool lives = holder_lives(r->folder);
    look_at_start(r);
    int rc = hold_read(&hold_ended_file, r->folder, &r->arena, &r->ended, &err);
    look_at_log(r);
    if (rc == 0)
        end(r);
    else if (!lives)
        end_without_record(r);
    else if (rc != -ENOENT)
        log_error("%s", err.text);
}

static void find_one(struct agent *a, const char *name)
{
    struct hold_identity identity;
    struct replica *r;
    char path[HOLD_PATH_MAX];
    struct stat st;
    struct error err;
    if (!hold_name_parse(str_from(name), &identity) || replica_new(a, &identity, &r))
        return;
    if (hold_path(path, r->folder, "home") == 0 && lstat(path, &st) == 0)
        r->user = st.st_uid;
    look_at_start(r);
    if (!holder_lives(r->folder) && !r->has_started &&
        hold_read(&hold_ended_file, r->folder, &r->arena, &r->ended, &err) == -ENOENT) {
        replica_kill(r); /* an agent died before it handed this over: begun again if it is wanted */
        if (folder_remove(r->folder, &err))
            log_warning("%s", err.text);
        replica_free(r);
        return;
    }
    replica_move(r, REPLICA_HELD);
    guest_address_find(r);
    r->told_started = hold_path(path, r->folder, "told") == 0 && access(path, F_OK) == 0;
    log_info("%s: found again", r->name.text);
    replica_look(r);
}

int replica_find_all(struct agent *a, struct error *err)
{
    char path[HOLD_PATH_MAX];
    int rc = hold_path(path, a->data, "replicas");
    rc =
        rc ? error_set(err, rc, "%s: the path is too long", a->data) : folder_make(path, 0711, err);
    DIR *folder = rc ? NULL : opendir(path);
    struct dirent *entry;
    while (folder && (entry = readdir(folder)))
        if (entry->d_name[0] != '.')
            find_one(a, entry->d_name);
    if (folder)
        closedir(folder);
    return rc;
}
