/* SPDX-License-Identifier: Apache-2.0 */
/* Bad days of the core: each ends with a clear message, and with everything that was acknowledged. */
#include "core_place.h"
#include "net/http_client.h"
#include "net/http_server.h"

#include <pthread.h>

/* ---- bad days -------------------------------------------------------------------------------------------------------------- */

static void test_second_server(void **state)
{
    struct place *p = *state;
    struct core *second = NULL;
    start(p);
    assert_int_equal(core_open(&second, &(struct core_options){.data = p->dir}, &p->err), -EBUSY);
    char pid[32];
    snprintf(pid, sizeof pid, "process %d", (int)getpid());
    assert_non_null(strstr(p->err.text, pid));
    assert_null(second);
    project_make(p, "still");
    stop(p);
}

static void test_digest_planted(void **state)
{
    struct place *p = *state;
    struct recovered at;
    start(p);
    uint64_t seq = project_make(p, "one");
    project_make(p, "two");
    drop(p);
    char text[160], named[64];
    snprintf(text, sizeof text, "UPDATE command_group SET digest = digest + 1 WHERE seq_last = %llu", (unsigned long long)seq);
    sql(p, "tessera.db", text);
    snprintf(named, sizeof named, "commands %llu to %llu", (unsigned long long)seq, (unsigned long long)seq);
    refused(p, -EILSEQ, named);
    assert_int_equal(recover(&at, &(struct recover_options){.data = p->dir, .oldest = true, .lenient = true}, &p->err), 0);
    engine_free(at.engine);
}

static void test_bytes_damaged(void **state)
{
    struct place *p = *state;
    start(p);
    uint64_t seq = project_make(p, "one");
    drop(p);
    char text[160];
    snprintf(text, sizeof text, "UPDATE command_group SET commands = X'00' WHERE seq_last = %llu", (unsigned long long)seq);
    sql(p, "tessera.db", text);
    refused(p, -EBADMSG, "tessera.db");
}

static void test_lost_files(void **state)
{
    struct place *p = *state;
    static const char *const names[] = {"tessera.db", "installation", "snapshots"};
    start(p);
    project_make(p, "one");
    stop(p);
    for (size_t i = 0; i < ARRAY_COUNT(names); i++) {
        moved(p, names[i], "away");
        refused(p, -ENOENT, names[i]);
        /* What the attempt made is none of ours: nothing may have been put in the place of what is lost. */
        char path[192];
        snprintf(path, sizeof path, "%s/%s", p->dir, names[i]);
        rmdir(path);
        assert_false(data_exists(path));
        moved(p, "away", names[i]);
    }
    start(p);
    assert_int_equal(projects(p), 2);
    stop(p);
}

static void test_lost_tables(void **state)
{
    struct place *p = *state;
    start(p);
    uint64_t seq = project_make(p, "one");
    while (core_stats(p->core).projected_seq < seq)
        usleep(1000);
    stop(p);
    moved(p, "tables.db", "away");
    start(p); /* the journal still holds everything: they are made anew */
    while (core_stats(p->core).projected_seq < seq)
        usleep(1000);
    stop(p);
    assert_int_equal(sql_number(p, "tables.db", "SELECT count(*) FROM events WHERE type = 'project_created'"), 1);
    sql(p, "tessera.db", "DELETE FROM event_group WHERE seq_last < (SELECT max(seq_last) FROM event_group)");
    moved(p, "tables.db", "away");
    refused(p, -ENOENT, "--rebuild-tables");
    assert_int_equal(open_with(p, &(struct core_options){.rebuild_tables = true}), 0);
    stop(p);
}

static void test_newer_layout(void **state)
{
    struct place *p = *state;
    start(p);
    stop(p);
    sql(p, "tessera.db", "PRAGMA user_version = 9");
    refused(p, -EPROTO, "9");
    sql(p, "tessera.db", "PRAGMA user_version = 1");
    start(p);
    stop(p);
}

static void test_other_engine(void **state)
{
    struct place *p = *state;
    start(p);
    project_make(p, "one");
    drop(p);
    sql(p, "tessera.db", "UPDATE command_group SET engine_version = 77");
    refused(p, -EPROTO, "version 77");
}

/* A clean stop leaves nothing after its snapshot: any version starts from it. */
static void test_other_engine_stopped(void **state)
{
    struct place *p = *state;
    start(p);
    project_make(p, "one");
    stop(p);
    sql(p, "tessera.db", "UPDATE command_group SET engine_version = 77");
    start(p);
    assert_int_equal(projects(p), 2);
    stop(p);
}

static void test_newer_snapshot(void **state)
{
    struct place *p = *state;
    char dir[192];
    struct snapshot s;
    start(p);
    project_make(p, "one");
    stop(p);
    snprintf(dir, sizeof dir, "%s/%s", p->dir, SNAPSHOTS_NAME);
    assert_int_equal(snapshot_newest(dir, ENGINE_FORMAT, &s, &p->err), 0);
    s.header.format = ENGINE_FORMAT + 1;
    assert_int_equal(snapshot_write(dir, &s.header, buf_str(&s.body), &p->err), 0);
    buf_fini(&s.body);
    refused(p, -EPROTO, "newer");
}

static void test_unwritable(void **state)
{
    struct place *p = *state;
    snprintf(p->dir + strlen(p->dir), sizeof p->dir - strlen(p->dir), "/none");
    refused(p, -ENOENT, "/none");
    p->dir[strlen(p->dir) - strlen("/none")] = '\0';
}

static void start_faulty(struct place *p)
{
    fault_vfs_register();
    fault_vfs_name = "tessera.db";
    assert_int_equal(open_with(p, &(struct core_options){.vfs = "fault"}), 0);
}

static void test_disk_full(void **state)
{
    struct place *p = *state;
    start_faulty(p);
    project_make(p, "kept");
    uint64_t seq = core_durable_seq(p->core);
    fault_vfs_fault = FAULT_FULL;
    struct call call = run(p, project("lost"));
    assert_true(call.failed);
    assert_false(call.unknown);
    assert_non_null(strstr(core_failure(p->core), "full"));
    assert_true(run(p, project("later")).failed);
    assert_int_equal(core_durable_seq(p->core), seq);
    fault_vfs_fault = FAULT_NONE;
    stop(p);
    start(p);
    assert_int_equal(core_durable_seq(p->core), seq);
    assert_int_equal(projects(p), 2);
    project_make(p, "lost");
    stop(p);
}

/* Room comes back before anybody gives up: it is as if nothing had happened. */
static void test_disk_full_for_a_moment(void **state)
{
    struct place *p = *state;
    struct call call;
    struct engine_command command = project("late");
    start_faulty(p);
    fault_vfs_fault = FAULT_FULL;
    push(p, &call, &command);
    while (fault_vfs_hits == 0)
        usleep(1000);
    fault_vfs_fault = FAULT_NONE;
    wait_done(&call);
    assert_false(call.failed);
    assert_null(core_failure(p->core));
    stop(p);
    start(p);
    assert_int_equal(projects(p), 2);
    stop(p);
}

static void test_disk_broken(void **state)
{
    struct place *p = *state;
    start_faulty(p);
    fault_vfs_fault = FAULT_IO;
    struct call call = run(p, project("open"));
    assert_true(call.failed);
    assert_true(call.unknown);
    assert_non_null(core_failure(p->core));
    fault_vfs_fault = FAULT_NONE;
    stop(p);
    start(p); /* whatever is on the disk, it is consistent */
    project_make(p, "after");
    stop(p);
}

/* ---- an answer over HTTP that saw what is not on the disk yet ---------------------------------------------------- */

struct web {
    struct place *place;
    struct http_server *server;
    int port;
    struct http_request *request;
    struct core_read read;
    _Atomic bool ran, answered;
    int status;
    char seq[32];
};

static void web_run(struct core_read *read, const struct core_view *view)
{
    struct web *w = (struct web *)((char *)read - offsetof(struct web, read));
    w->ran = true;
    core_respond(w->place->core, view->seq, w->request, &(struct http_response){.status = 200, .body = STR("seen")});
}

static void web_handler(void *context, struct http_request *r)
{
    struct web *w = context;
    w->request = r;
    w->read = (struct core_read){.run = web_run};
    core_query(w->place->core, &w->read);
}

static void *web_loop(void *context)
{
    struct web *w = context;
    http_server_run(w->server);
    return NULL;
}

static void *web_get(void *context)
{
    struct web *w = context;
    struct http_client *client;
    struct http_reply reply = {0};
    char url[64];
    snprintf(url, sizeof url, "http://127.0.0.1:%d", w->port);
    if (http_client_new(&client, &(struct http_client_options){.server = url}, NULL) < 0)
        return NULL;
    if (http_client_call(client, &(struct http_call){.path = "/"}, &reply, NULL) == 0)
        w->status = reply.status;
    struct str seq = http_reply_header(&reply, "Tessera-Seq");
    snprintf(w->seq, sizeof w->seq, "%.*s", STR_ARGS(seq));
    w->answered = true;
    http_reply_fini(&reply);
    http_client_free(client);
    return NULL;
}

static void web_open(struct web *w, struct place *p)
{
    *w = (struct web){.place = p};
    assert_int_equal(http_server_new(&w->server, &(struct http_server_options){.handler = web_handler, .context = w}, &p->err), 0);
    assert_int_equal(http_server_listen(w->server, &(struct http_listen){.address = "127.0.0.1"}, &w->port, &p->err), 0);
}

/* What a power cut could take back is shown to nobody; and when it is lost, they are told to ask again. */
static void read_of_what_is_not_durable(struct place *p, bool lost)
{
    struct web w;
    struct call call;
    pthread_t loop, get;
    struct engine_command command = project("seen");
    start_faulty(p);
    web_open(&w, p);
    pthread_create(&loop, NULL, web_loop, &w);
    fault_vfs_fault = FAULT_FULL;
    push(p, &call, &command);
    while (fault_vfs_hits == 0)
        usleep(1000);
    pthread_create(&get, NULL, web_get, &w);
    while (!w.ran)
        usleep(1000);
    usleep(100000); /* time enough for an answer that should not come */
    assert_false(w.answered);
    if (!lost)
        fault_vfs_fault = FAULT_NONE;
    wait_done(&call);
    pthread_join(get, NULL);
    assert_int_equal(call.failed, lost);
    assert_int_equal(w.status, lost ? 503 : 200);
    if (!lost)
        assert_int_equal(strtoull(w.seq, NULL, 10), call.seq);
    fault_vfs_fault = FAULT_NONE;
    stop(p);
    http_server_stop(w.server);
    pthread_join(loop, NULL);
    http_server_free(w.server);
}

static void test_read_waits_for_the_disk(void **state)
{
    read_of_what_is_not_durable(*state, false);
}

static void test_read_of_what_is_lost(void **state)
{
    read_of_what_is_not_durable(*state, true);
}

/* Its file is taken away while it runs: within a second it says so and takes nothing more. */
static void test_journal_taken_away(void **state)
{
    struct place *p = *state;
    start(p);
    uint64_t seq = project_make(p, "kept");
    while (core_stats(p->core).projected_seq < seq) /* everybody has it open */
        usleep(1000);
    moved(p, "tessera.db", "away");
    while (core_failure(p->core) == NULL)
        usleep(10000);
    assert_non_null(strstr(core_failure(p->core), "tessera.db"));
    assert_true(run(p, project("lost")).failed);
    moved(p, "away", "tessera.db");
    stop(p);
    start(p);
    assert_int_equal(projects(p), 2);
    stop(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define CASE(name) cmocka_unit_test_setup_teardown(name, place_make, place_drop)
        CASE(test_second_server),
        CASE(test_digest_planted),
        CASE(test_bytes_damaged),
        CASE(test_lost_files),
        CASE(test_lost_tables),
        CASE(test_newer_layout),
        CASE(test_other_engine),
        CASE(test_other_engine_stopped),
        CASE(test_newer_snapshot),
        CASE(test_unwritable),
        CASE(test_disk_full),
        CASE(test_disk_full_for_a_moment),
        CASE(test_disk_broken),
        CASE(test_read_waits_for_the_disk),
        CASE(test_read_of_what_is_lost),
        CASE(test_journal_taken_away),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
