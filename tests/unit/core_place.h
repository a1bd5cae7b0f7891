/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What the tests of the core share: a folder with a core in it, commands and reads that are waited for. */
#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "fault_vfs.h"
#include "records/journal_codec.h"
#include "server/contact.h"
#include "server/core.h"
#include "server/file.h"
#include "server/recover.h"
#include "store/journal.h"
#include "store/snapshot.h"
#include "wire/json.h"

#include <errno.h>
#include <semaphore.h>
#include <setjmp.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

struct place {
    char dir[128];
    struct core *core;
    struct error err;
};

static inline int place_make(void **state)
{
    struct place *p = xcalloc(1, sizeof *p);
    log_set_level(LOG_ERROR);
    snprintf(p->dir, sizeof p->dir, "%s/tessera-core-XXXXXX", getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp");
    if (mkdtemp(p->dir) == NULL)
        return -1;
    char shared[160];
    snprintf(shared, sizeof shared, "%s/installations", p->dir);
    setenv("TESSERA_INSTALLATIONS", shared, 1);
    fault_vfs_fault = FAULT_NONE;
    fault_vfs_hits = 0;
    *state = p;
    return 0;
}

static inline int place_drop(void **state)
{
    struct place *p = *state;
    char command[160];
    core_close(p->core);
    snprintf(command, sizeof command, "rm -rf '%s'", p->dir);
    int r = system(command);
    xfree(p);
    return r;
}

static inline int open_with(struct place *p, const struct core_options *options)
{
    struct core_options o = *options;
    o.data = p->dir;
    int r = core_open(&p->core, &o, &p->err);
    return r < 0 ? r : core_start(p->core, NULL, &p->err);
}

static inline void start(struct place *p)
{
    int r = open_with(p, &(struct core_options){0});
    if (r < 0)
        print_error("%s\n", p->err.text);
    assert_int_equal(r, 0);
}

static inline void stop(struct place *p)
{
    assert_int_equal(core_stop(p->core, &p->err), 0);
    core_close(TAKE(p->core));
}

/* As a kill would leave it, except that the lock is given back: no snapshot is written. */
static inline void drop(struct place *p)
{
    core_close(TAKE(p->core));
}

static inline void refused(struct place *p, int code, const char *text)
{
    int r = open_with(p, &(struct core_options){0});
    assert_int_equal(r, code);
    assert_null(p->core);
    if (strstr(p->err.text, text) == NULL)
        fail_msg("\"%s\" does not say \"%s\"", p->err.text, text);
}

/* ---- commands ---------------------------------------------------------------------------------------------- */

struct call {
    struct core_call call;
    struct engine_outcome outcome;
    uint64_t seq;
    bool failed, unknown;
    sem_t done;
};

static inline void call_done(struct core_call *core_call, const struct core_answer *answer)
{
    struct call *call = (struct call *)core_call;
    call->failed = answer->failed;
    call->unknown = answer->unknown;
    call->seq = answer->seq;
    if (!answer->failed)
        call->outcome = answer->outcomes[0];
    sem_post(&call->done);
}

static inline void push(struct place *p, struct call *call, struct engine_command *command)
{
    *call = (struct call){.call = {.commands = command, .count = 1, .done = call_done}};
    sem_init(&call->done, 0, 0);
    core_push(p->core, &call->call);
}

static inline void wait_done(struct call *call)
{
    while (sem_wait(&call->done) != 0)
        ;
    sem_destroy(&call->done);
}

static inline struct call run(struct place *p, struct engine_command command)
{
    struct call call;
    push(p, &call, &command);
    wait_done(&call);
    return call;
}

static inline struct engine_command project(const char *name)
{
    return (struct engine_command){.type = ENGINE_PROJECT_CREATE, .project = {.name = str_from(name), .limited = true, .budget = 7000000}};
}

static inline uint64_t project_make(struct place *p, const char *name)
{
    struct call call = run(p, project(name));
    assert_false(call.failed);
    assert_int_equal(call.outcome.code, ENGINE_OK);
    return call.seq;
}

/* ---- reads --------------------------------------------------------------------------------------------------- */

struct read {
    struct core_read read;
    void (*look)(const struct core_view *view, void *context);
    void *context;
    uint64_t seq;
    sem_t done;
};

static inline void read_run(struct core_read *core_read, const struct core_view *view)
{
    struct read *read = (struct read *)core_read;
    read->seq = view->seq;
    if (read->look)
        read->look(view, read->context);
    sem_post(&read->done);
}

static inline void read_start(struct place *p, struct read *read, uint64_t after)
{
    read->read.after = after;
    read->read.run = read_run;
    sem_init(&read->done, 0, 0);
    core_query(p->core, &read->read);
}

static inline void read_wait(struct read *read)
{
    while (sem_wait(&read->done) != 0)
        ;
    sem_destroy(&read->done);
}

static inline uint64_t look(struct place *p, void (*looks)(const struct core_view *, void *), void *context)
{
    struct read read = {.look = looks, .context = context};
    read_start(p, &read, 0);
    read_wait(&read);
    return read.seq;
}

static inline void look_projects(const struct core_view *view, void *context)
{
    *(size_t *)context = engine_project_count(view->engine);
}

static inline size_t projects(struct place *p)
{
    size_t count = 0;
    look(p, look_projects, &count);
    return count;
}

/* ---- SQL against the files ---------------------------------------------------------------------------------------- */

static inline void sql(struct place *p, const char *file, const char *text)
{
    char path[192];
    sqlite3 *db;
    snprintf(path, sizeof path, "%s/%s", p->dir, file);
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    int rc = sqlite3_exec(db, text, NULL, NULL, NULL);
    if (rc != SQLITE_OK)
        print_error("%s\n", sqlite3_errmsg(db));
    assert_int_equal(rc, SQLITE_OK);
    sqlite3_close(db);
}

static inline int64_t sql_number(struct place *p, const char *file, const char *text)
{
    char path[192];
    sqlite3 *db;
    sqlite3_stmt *statement;
    snprintf(path, sizeof path, "%s/%s", p->dir, file);
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_prepare_v2(db, text, -1, &statement, NULL), SQLITE_OK);
    int64_t value = sqlite3_step(statement) == SQLITE_ROW ? sqlite3_column_int64(statement, 0) : -1;
    sqlite3_finalize(statement);
    sqlite3_close(db);
    return value;
}

static inline void moved(struct place *p, const char *from, const char *to)
{
    char a[192], b[192];
    snprintf(a, sizeof a, "%s/%s", p->dir, from);
    snprintf(b, sizeof b, "%s/%s", p->dir, to);
    assert_int_equal(rename(a, b), 0);
}
