/* SPDX-License-Identifier: Apache-2.0 */
/* Opening, starting, stopping; the small doors that the API uses. */

#include "base/check.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "records/journal_codec.h"
#include "server/core_internal.h"
#include "server/file.h"
#include "server/recover.h"
#include "store/snapshot.h"

#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- clock --------------------------------------------------------------------------------------------- */

/* A wall clock that steps back does not stop the market: time goes on at the pace of the monotonic
 * clock, and follows the wall clock again once that is ahead. */
time_ms core_now(struct core *c)
{
    time_ms monotonic = clock_monotonic_ms();
    int64_t wall = clock_wall_ms() - monotonic, offset = atomic_load(&c->clock_offset);
    while (wall > offset && !atomic_compare_exchange_weak(&c->clock_offset, &offset, wall))
        ;
    return monotonic + MAX(wall, offset);
}

struct contact_time core_contact_time(struct core *c)
{
    return (struct contact_time){.monotonic = clock_monotonic_ms(), .server = core_now(c)};
}

/* ---- the first start --------------------------------------------------------------------------------------- */

struct contents { /* what a data folder holds already */
    bool installation, journal, snapshots, tables;
};

static bool snapshots_there(const char *dir)
{
    uint64_t *numbers = NULL;
    size_t count = 0;
    struct error ignored;
    bool there = snapshot_list(dir, &numbers, &count, &ignored) == 0 && count > 0;
    xfree(numbers);
    return there;
}

static struct contents contents_of(const char *data)
{
    _cleanup_free_ char *installation = data_path(data, "installation");
    _cleanup_free_ char *journal = data_path(data, JOURNAL_NAME);
    _cleanup_free_ char *snapshots = data_path(data, SNAPSHOTS_NAME);
    _cleanup_free_ char *tables = data_path(data, TABLES_NAME);
    return (struct contents){.installation = data_exists(installation), .journal = data_exists(journal),
                             .snapshots = snapshots_there(snapshots), .tables = data_exists(tables)};
}

static int snapshots_folder(const struct core *c, struct error *err)
{
    _cleanup_free_ char *dir = data_path(c->data, SNAPSHOTS_NAME);
    return mkdir(dir, 0700) < 0 && errno != EEXIST ? error_set(err, -errno, "%s: %s", dir, strerror(errno)) : 0;
}

/* Number 0: what every replay of a young journal starts from, seed and all. */
static int first_snapshot(struct core *c, struct error *err)
{
    uint64_t seed;
    randombytes_buf(&seed, sizeof seed);
    c->engine = engine_new(seed);
    return snapshot_now(c, err);
}

static int first_key(struct core *c, struct error *err)
{
    char key[CORE_KEY_SIZE];
    core_make_key(key);
    _cleanup_free_ char *path = data_path(c->data, "client.yaml");
    struct buf text = BUF_INIT(4096);
    buf_printf(&text, "key: %s\n", key);
    int r = data_write(path, buf_str(&text), err);
    buf_fini(&text);
    if (r < 0)
        return r;
    struct engine_command command = {.type = ENGINE_KEY_CREATE,
                                     .key = {.snippet = {key, 9}, .principal = STR("admin"), .kind = PRINCIPAL_PERSON, .role = ROLE_ADMIN}};
    core_hash_key(c, str_from(key), command.key.hash);
    r = writer_first(c, &command, 1, err);
    sodium_memzero(key, sizeof key);
    if (r == 0 && c->result.outcomes[0].code != ENGINE_OK)
        r = error_set(err, -EIO, "the admin key was refused");
    return r;
}

/* ---- opening ---------------------------------------------------------------------------------------------------- */

static int lost(const char *data, const char *name, struct error *err)
{
    return error_set(err, -ENOENT,
                     "%s/%s is lost: the other files of this data folder are there. Restore it from a backup, or start with another --data",
                     data, name);
}

static uint64_t inode_of(const char *path)
{
    struct stat status;
    return stat(path, &status) < 0 ? 0 : status.st_ino;
}

struct journal_options journal_options_of(const struct core *c)
{
    return (struct journal_options){.path = c->journal_path, .vfs = c->options.vfs, .memory = c->memory, .format = JOURNAL_CODEC_FORMAT};
}

static int journal_ready(struct core *c, const struct contents *there, struct error *err)
{
    if (!c->options.memory && memory_marked(c->data))
        return error_set(err, -EEXIST, "%s was used with --store memory, and what it held is forgotten; start with another --data", c->data);
    if (!there->journal && (there->installation || there->snapshots || there->tables))
        return lost(c->data, JOURNAL_NAME, err);
    c->journal_path = data_path(c->data, JOURNAL_NAME);
    c->memory = c->options.memory ? journal_memory_new() : NULL;
    struct journal_options options = journal_options_of(c);
    options.create = !there->journal;
    int r = journal_open(&c->journal, &options, err);
    c->journal_inode = inode_of(c->journal_path);
    return r;
}

/* Deleted, moved or replaced while it is open: what is written then, nobody finds again. */
bool journal_in_place(const struct core *c)
{
    return c->memory || inode_of(c->journal_path) == c->journal_inode;
}

static int installation_ready(struct core *c, const struct contents *there, struct error *err)
{
    if (there->installation)
        return installation_read(&c->installation, c->data, err);
    if (journal_last(c->journal).seq_last > 0)
        return lost(c->data, "installation", err);
    return installation_make(&c->installation, c->data, err);
}

/* All events from the first one on: what tables can be made of anew. */
static bool events_whole(const struct core *c)
{
    const struct journal_options options = journal_options_of(c);
    struct journal_reader *reader = NULL;
    struct journal_group group = {0};
    struct error ignored;
    bool whole = journal_read_open(&reader, &options, &ignored) == 0 &&
                 journal_read_next(reader, 0, &group, &ignored) > 0 && group.seq_first == 1 && group.events.size > 0;
    journal_read_close(reader);
    return whole;
}

static int tables_lost(struct core *c, struct error *err)
{
    if (c->options.rebuild_tables || events_whole(c)) {
        log_warning("%s/%s is made anew from what the journal holds", c->data, TABLES_NAME);
        return 0;
    }
    return error_set(err, -ENOENT,
                     "%s/%s is lost, with bills and history that the journal no longer holds. Restore it from a backup, or start once "
                     "with --rebuild-tables to go on with what the journal still has",
                     c->data, TABLES_NAME);
}

static int tables_ready(struct core *c, const struct contents *there, struct error *err)
{
    _cleanup_free_ char *path = data_path(c->data, TABLES_NAME);
    int r = !there->tables && journal_last(c->journal).seq_last > 0 ? tables_lost(c, err) : 0;
    if (r == 0)
        r = tables_open(&c->tables, &(struct tables_options){.path = path, .vfs = c->options.vfs, .create = !there->tables}, err);
    if (r == 0)
        atomic_store(&c->projected, tables_position(c->tables).seq);
    return r;
}

static int state_recover(struct core *c, struct error *err)
{
    struct recovered at;
    time_ms begin = clock_monotonic_ms();
    int r = recover(&at, &(struct recover_options){.data = c->data, .vfs = c->options.vfs}, err);
    if (r < 0)
        return r;
    c->engine = at.engine;
    c->digest = at.digest;
    c->snapshots.last_seq = at.snapshot_seq;
    uint64_t last = journal_last(c->journal).seq_last;
    if (at.seq != last)
        return error_set(err, -EBADMSG, "%s/%s ends at command %llu, its snapshot holds %llu: the journal is older than the snapshot; restore both from one backup",
                         c->data, JOURNAL_NAME, (unsigned long long)last, (unsigned long long)at.seq);
    atomic_store(&c->applied, at.seq);
    atomic_store(&c->durable, at.seq);
    atomic_store(&c->snapshot_seq, at.snapshot_seq);
    log_info("state restored seq=%llu snapshot=%llu groups=%llu ms=%lld", (unsigned long long)at.seq, (unsigned long long)at.snapshot_seq,
             (unsigned long long)at.groups, (long long)(clock_monotonic_ms() - begin));
    return 0;
}

static int state_ready(struct core *c, struct error *err)
{
    int r = c->options.memory ? memory_begin(c->data, err) : 0;
    struct contents there = contents_of(c->data);
    if (r == 0)
        r = snapshots_folder(c, err);
    if (r == 0)
        r = journal_ready(c, &there, err);
    if (r == 0)
        r = installation_ready(c, &there, err);
    if (r == 0)
        r = tables_ready(c, &there, err);
    if (r < 0)
        return r;
    bool first = journal_last(c->journal).seq_last == 0;
    r = first ? first_snapshot(c, err) : state_recover(c, err);
    if (r < 0)
        return r;
    /* Never before what was decided already, whatever the wall clock says. */
    atomic_store(&c->clock_offset, MAX(clock_wall_ms(), engine_now(c->engine)) - clock_monotonic_ms());
    identities_load(c->identities, c->engine);
    return first ? first_key(c, err) : 0;
}

static void locks_init(struct core *c)
{
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_rwlockattr_t fair;
    pthread_rwlockattr_init(&fair);
    pthread_rwlockattr_setkind_np(&fair, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
    pthread_rwlock_init(&c->state, &fair);
    pthread_mutex_t *locks[] = {&c->queue.lock, &c->reads.lock, &c->held_lock, &c->projector_lock, &c->failure_lock};
    pthread_cond_t *conditions[] = {&c->queue.wake, &c->queue.changed, &c->reads.wake, &c->projector_wake, &c->projector_close};
    for (size_t i = 0; i < ARRAY_COUNT(locks); i++)
        pthread_mutex_init(locks[i], NULL);
    for (size_t i = 0; i < ARRAY_COUNT(conditions); i++)
        pthread_cond_init(conditions[i], &monotonic);
    pthread_condattr_destroy(&monotonic);
    pthread_rwlockattr_destroy(&fair);
    c->queue.end = &c->queue.first;
    c->reads.end = &c->reads.first;
}

static struct core *core_new(const struct core_options *options)
{
    struct core *c = xcalloc(1, sizeof *c);
    c->options = *options;
    c->data = xstrdup(options->data);
    c->lock = -1;
    c->command_bytes = c->event_bytes = BUF_INIT(BUF_LIMIT_DEFAULT);
    c->identities = identities_new();
    c->contacts = contacts_new();
    locks_init(c);
    return c;
}

int core_open(struct core **ret, const struct core_options *options, struct error *err)
{
    if (sodium_init() < 0)
        return error_set(err, -EIO, "libsodium does not start");
    struct core *c = core_new(options);
    int r = access(c->data, W_OK | X_OK) < 0 ? error_set(err, -errno, "%s: %s", c->data, strerror(errno)) : data_lock(c->data, &c->lock, err);
    if (r == 0)
        r = state_ready(c, err);
    if (r < 0) {
        core_close(c);
        return r;
    }
    *ret = c;
    return 0;
}

/* ---- threads ------------------------------------------------------------------------------------------------------ */

static int thread_start(struct core *c, pthread_t *thread, void *(*run)(void *), const char *name, struct error *err)
{
    int r = pthread_create(thread, NULL, run, c);
    if (r != 0)
        return error_set(err, -r, "no thread: %s", strerror(r));
    pthread_setname_np(*thread, name); /* top -H shows who works */
    c->started++;
    return 0;
}

int core_start(struct core *c, struct http_server *http, struct error *err)
{
    c->http = http;
    c->snapshots.last = clock_monotonic_ms();
    contacts_load(c->contacts, c->engine, core_contact_time(c));
    int r = thread_start(c, &c->writer, writer_main, "writer", err);
    for (size_t i = 0; i < READER_COUNT && r == 0; i++)
        r = thread_start(c, &c->readers[i], reader_main, "reader", err);
    if (r == 0)
        r = thread_start(c, &c->projector, projector_main, "projector", err);
    if (r == 0)
        r = thread_start(c, &c->checkpointer, checkpoint_main, "checkpointer", err);
    return r;
}

int core_stop(struct core *c, struct error *err)
{
    if (c->started == 0)
        return 0;
    pthread_mutex_lock(&c->queue.lock);
    c->queue.stopping = true;
    pthread_cond_signal(&c->queue.wake);
    while (!c->queue.stopped)
        pthread_cond_wait(&c->queue.changed, &c->queue.lock);
    pthread_mutex_unlock(&c->queue.lock);
    /* A state that is ahead of the disk must never become a snapshot. */
    return snapshots_finish(c, !c->memory && !atomic_load(&c->has_failed), err);
}

static void threads_end(struct core *c)
{
    pthread_t threads[] = {c->writer, c->readers[0], c->readers[1], c->projector, c->checkpointer};
    pthread_mutex_lock(&c->queue.lock);
    c->queue.stopping = c->queue.closing = true;
    pthread_cond_signal(&c->queue.wake);
    pthread_mutex_unlock(&c->queue.lock);
    pthread_mutex_lock(&c->reads.lock);
    c->reads.closing = true;
    pthread_cond_broadcast(&c->reads.wake);
    pthread_mutex_unlock(&c->reads.lock);
    projector_notify(c, true);
    for (size_t i = 0; i < c->started; i++)
        pthread_join(threads[i], NULL);
}

void core_close(struct core *c)
{
    if (c == NULL)
        return;
    threads_end(c);
    tables_close(c->tables);
    journal_close(c->journal);
    journal_memory_free(c->memory);
    engine_result_fini(&c->result);
    engine_free(c->engine);
    identities_free(c->identities);
    contacts_free(c->contacts);
    buf_fini(&c->command_bytes);
    buf_fini(&c->event_bytes);
    xfree(c->commands);
    xfree(c->journal_path);
    xfree(c->data);
    if (c->lock >= 0)
        close(c->lock);
    xfree(c);
}

void core_fail(struct core *c, const char *text)
{
    pthread_mutex_lock(&c->failure_lock);
    bool first = !atomic_load(&c->has_failed);
    if (first)
        snprintf(c->failure, sizeof c->failure, "%s", text);
    atomic_store(&c->has_failed, true);
    pthread_mutex_unlock(&c->failure_lock);
    if (first)
        log_error("%s", text);
    if (first && c->options.failed)
        c->options.failed(c->options.context);
}

const char *core_failure(struct core *c)
{
    return atomic_load(&c->has_failed) ? c->failure : NULL;
}

/* ---- doors ----------------------------------------------------------------------------------------------------------- */

void core_push(struct core *c, struct core_call *call)
{
    struct core_queue *q = &c->queue;
    CHECK(call->count > 0);
    call->next = NULL;
    pthread_mutex_lock(&q->lock);
    bool first = q->first == NULL;
    *q->end = call;
    q->end = &call->next;
    if (first)
        pthread_cond_signal(&q->wake);
    pthread_mutex_unlock(&q->lock);
}

void core_hash_key(struct core *c, struct str secret, unsigned char ret[ENGINE_HASH_SIZE])
{
    (void)c; /* the keys are random and long: a key of our own would add nothing but a way to lose them all */
    crypto_generichash(ret, ENGINE_HASH_SIZE, (const unsigned char *)secret.data, secret.size, NULL, 0);
}

void core_make_key(char ret[CORE_KEY_SIZE])
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyz0123456789";
    memcpy(ret, "fkey_", 5);
    for (size_t i = 5; i < CORE_KEY_SIZE - 1; i++)
        ret[i] = letters[randombytes_uniform(sizeof letters - 1)];
    ret[CORE_KEY_SIZE - 1] = '\0';
}

bool core_identify(struct core *c, struct str secret, struct core_identity *ret)
{
    unsigned char hash[ENGINE_HASH_SIZE];
    if (secret.size != CORE_KEY_SIZE - 1 || !str_starts(secret, STR("fkey_")))
        return false;
    core_hash_key(c, secret, hash);
    return identities_find(c->identities, hash, core_now(c), ret);
}

engine_id core_project(struct core *c, struct str name)
{
    uint64_t id;
    if (id_parse(c->installation.key, "proj", name, &id))
        return identities_project_known(c->identities, id) ? id : 0;
    return identities_project(c->identities, name);
}

bool core_renew(struct core *c, engine_id node)
{
    return contacts_renew(c->contacts, node, core_contact_time(c));
}

time_ms core_contact_age(struct core *c, engine_id node)
{
    return contacts_age(c->contacts, node, clock_monotonic_ms());
}

struct id_key core_id_key(const struct core *c)
{
    return c->installation.key;
}

int core_installation(const struct core *c)
{
    return c->installation.number;
}

const char *core_data(const struct core *c)
{
    return c->data;
}

uint64_t core_durable_seq(struct core *c)
{
    return atomic_load(&c->durable);
}

uint64_t core_applied_seq(struct core *c)
{
    return atomic_load(&c->applied);
}

struct core_stats core_stats(struct core *c)
{
    return (struct core_stats){
        .commands = atomic_load(&c->stat_commands),
        .groups = atomic_load(&c->stat_groups),
        .commit_us_total = atomic_load(&c->stat_commit_us),
        .apply_us_total = atomic_load(&c->stat_apply_us),
        .snapshot_seq = atomic_load(&c->snapshot_seq),
        .projected_seq = atomic_load(&c->projected),
        .reads = atomic_load(&c->stat_reads),
        .journal_start = atomic_load(&c->stat_journal_start),
    };
}
