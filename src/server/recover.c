/* SPDX-License-Identifier: Apache-2.0 */
#include "server/recover.h"

#include "base/memory.h"
#include "records/journal_codec.h"
#include "server/file.h"
#include "store/journal.h"
#include "store/snapshot.h"

#include <errno.h>
#include <string.h>

/* ---- the snapshot ------------------------------------------------------------------------------------ */

struct place { /* where a recovery reads */
    char *journal, *snapshots;
    const struct recover_options *options;
    uint64_t *kept; /* snapshots, newest first */
    size_t kept_count;
    struct arena arena;
    struct engine_result result;
    struct buf events; /* of the last group, packed */
};

static void place_fini(struct place *p)
{
    xfree(p->journal);
    xfree(p->snapshots);
    xfree(p->kept);
    arena_fini(&p->arena);
    engine_result_fini(&p->result);
    buf_fini(&p->events);
}

static int state_restore(struct place *p, struct snapshot *s, struct recovered *ret, struct error *err)
{
    struct unpack in = unpack_from(buf_str(&s->body));
    struct engine *e = engine_restore(&in);
    buf_fini(&s->body);
    if (e == NULL)
        return error_set(err, -EBADMSG, "%s/%llu.snap: its bytes are not a state", p->snapshots, (unsigned long long)s->header.seq);
    *ret = (struct recovered){.engine = e, .seq = s->header.seq, .digest = s->header.digest, .snapshot_seq = s->header.seq};
    return 0;
}

static int version_differs(const struct place *p, uint64_t seq, uint32_t version, struct error *err)
{
    return error_set(err, -EPROTO,
                     "%s: command %llu was decided by engine version %u, this program's is %u: start the program with version %u once "
                     "and stop it (a clean stop leaves a snapshot that every later version reads)",
                     p->journal, (unsigned long long)seq, version, ENGINE_VERSION, version);
}

static int snapshot_choose(struct place *p, struct snapshot *ret, struct error *err)
{
    if (!p->options->oldest)
        return snapshot_newest(p->snapshots, ENGINE_FORMAT, ret, err);
    int r = -ENOENT;
    for (size_t i = p->kept_count; i-- > 0 && r < 0;)
        r = snapshot_read(p->snapshots, p->kept[i], ENGINE_FORMAT, ret, err);
    return p->kept_count ? r : error_set(err, -ENOENT, "%s: no snapshot", p->snapshots);
}

static int snapshot_load(struct place *p, struct recovered *ret, uint32_t *ret_version, struct error *err)
{
    struct snapshot s = {0};
    int r = snapshot_list(p->snapshots, &p->kept, &p->kept_count, err);
    if (r == 0)
        r = snapshot_choose(p, &s, err);
    if (r == -ENOENT)
        return error_set(err, -ENOENT, "%s holds no snapshot: it is lost; restore the data folder from a backup", p->snapshots);
    if (r == 0) {
        *ret_version = s.header.engine_version;
        r = state_restore(p, &s, ret, err);
    }
    return r;
}

/* ---- the groups after it ------------------------------------------------------------------------------- */

static int group_differs(const struct place *p, const struct journal_group *group, uint64_t digest, struct error *err)
{
    return error_set(err, -EILSEQ,
                     "%s: the group of commands %llu to %llu is decided otherwise than it was (digest %016llx, written %016llx)",
                     p->journal, (unsigned long long)group->seq_first, (unsigned long long)group->seq_last, (unsigned long long)digest,
                     (unsigned long long)group->digest);
}

static int group_apply(struct place *p, struct recovered *at, const struct journal_group *group, struct error *err)
{
    struct engine_command *commands;
    size_t count;
    arena_clear(&p->arena);
    int r = journal_commands_unpack(group->commands, &p->arena, &commands, &count, err);
    if (r == 0 && count != group->seq_last - group->seq_first + 1)
        r = error_set(err, -EBADMSG, "it holds %zu commands", count);
    if (r < 0) {
        error_prefix(err, "%s: commands %llu to %llu", p->journal, (unsigned long long)group->seq_first, (unsigned long long)group->seq_last);
        return -EBADMSG;
    }
    engine_apply(at->engine, group->time, commands, count, &p->result);
    buf_clear(&p->events);
    journal_events_pack(&p->result, &p->events);
    uint64_t digest = journal_digest(at->digest, &p->result, buf_str(&p->events));
    if (digest != group->digest && !p->options->lenient)
        return group_differs(p, group, digest, err);
    at->digest = digest;
    at->seq = group->seq_last;
    at->groups++;
    if (p->options->follow)
        p->options->follow(p->options->context, at->engine, &(struct recover_group){group->time, commands, count, &p->result});
    return 0;
}

/* A newer snapshot on the way must be the state that was come to. */
static int snapshot_compare(struct place *p, const struct recovered *at, struct error *err)
{
    struct snapshot s = {0};
    struct error ignored = {};
    if (snapshot_read(p->snapshots, at->seq, ENGINE_FORMAT, &s, &ignored) < 0)
        return 0; /* damaged, or pruned meanwhile: a start passes it over too */
    struct buf body = BUF_INIT(SNAPSHOT_SIZE_MAX);
    engine_snapshot(at->engine, &body);
    bool same = s.header.engine_version != ENGINE_VERSION || (s.header.digest == at->digest && str_equal(buf_str(&body), buf_str(&s.body)));
    buf_fini(&body);
    buf_fini(&s.body);
    return same ? 0 : error_set(err, -EILSEQ, "%s/%llu.snap is not the state that its commands lead to", p->snapshots, (unsigned long long)at->seq);
}

static bool is_kept(const struct place *p, uint64_t seq)
{
    for (size_t i = 0; i < p->kept_count; i++)
        if (p->kept[i] == seq)
            return true;
    return false;
}

static int groups_apply(struct place *p, struct journal_reader *reader, struct recovered *at, uint32_t version, struct error *err)
{
    struct journal_group group;
    int r;
    while ((r = journal_read_next(reader, at->seq, &group, err)) > 0) {
        if (group.engine_version != ENGINE_VERSION || version != ENGINE_VERSION)
            return version_differs(p, group.seq_first, group.engine_version != ENGINE_VERSION ? group.engine_version : version, err);
        r = group_apply(p, at, &group, err);
        if (r == 0 && p->options->oldest && !p->options->lenient && is_kept(p, at->seq))
            r = snapshot_compare(p, at, err);
        if (r < 0)
            return r;
    }
    return r;
}

static int place_recover(struct place *p, struct recovered *ret, struct error *err)
{
    uint32_t version = 0;
    _cleanup_journal_reader_ struct journal_reader *reader = NULL;
    const struct journal_options journal = {.path = p->journal, .vfs = p->options->vfs, .format = JOURNAL_CODEC_FORMAT};
    int r = journal_read_open(&reader, &journal, err);
    if (r == 0)
        r = snapshot_load(p, ret, &version, err);
    if (r == 0 && p->options->follow)
        p->options->follow(p->options->context, ret->engine, NULL);
    return r < 0 ? r : groups_apply(p, reader, ret, version, err);
}

int recover(struct recovered *ret, const struct recover_options *options, struct error *err)
{
    struct place p = {.journal = data_path(options->data, JOURNAL_NAME), .snapshots = data_path(options->data, SNAPSHOTS_NAME),
                      .options = options, .arena = {.limit = BUF_LIMIT_DEFAULT}, .events = BUF_INIT(BUF_LIMIT_DEFAULT)};
    struct recovered at = {0};
    int r = place_recover(&p, &at, err);
    place_fini(&p);
    if (r < 0) {
        engine_free(at.engine);
        return r;
    }
    *ret = at;
    return 0;
}
