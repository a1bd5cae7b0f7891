/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* From a data folder to a state: a whole snapshot, and the journal's groups after it applied again,
 * each compared by its digest. Used at the start of a server and by `tessera replay`. */

#include "base/error.h"
#include "engine/engine.h"

#define JOURNAL_NAME "tessera.db"
#define TABLES_NAME "tables.db"
#define SNAPSHOTS_NAME "snapshots"

/* One group, applied: its events stand in the result. */
struct recover_group {
    time_ms time;
    const struct engine_command *commands;
    size_t count;
    const struct engine_result *result;
};

struct recover_options {
    const char *data, *vfs;
    bool oldest;  /* from the oldest kept snapshot instead of the newest, looking at the others on the way */
    bool lenient; /* do not compare: go on with what is decided now */
    /* First with group NULL, the state of the snapshot, then after each group; NULL: nobody looks.
     * What it is shown is borrowed for the call. */
    void (*follow)(void *context, const struct engine *engine, const struct recover_group *group);
    void *context;
};
struct recovered {
    struct engine *engine;
    uint64_t seq, digest, groups; /* groups: applied again */
    uint64_t snapshot_seq;        /* where it started */
};
/* -ENOENT: a snapshot or the journal is lost; -EBADMSG: damaged; -EPROTO: of another version, named;
 * -EILSEQ: a group was decided otherwise than is decided now, named. */
int recover(struct recovered *ret, const struct recover_options *options, struct error *err);
