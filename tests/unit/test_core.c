/* SPDX-License-Identifier: Apache-2.0 */
/* The core over a folder of its own: what is acknowledged is there after a kill, replay agrees, the
 * tables follow. */
#include "core_place.h"
#include "server/installation.h"

/* ---- starting and stopping -------------------------------------------------------------------------------------------- */

static void secret_of(struct place *p, char ret[64])
{
    struct buf text = BUF_INIT(4096);
    char path[192];
    snprintf(path, sizeof path, "%s/client.yaml", p->dir);
    assert_int_equal(data_read(path, &text, &p->err), 0);
    assert_int_equal(sscanf(text.data, "key: %63s", ret), 1);
    buf_fini(&text);
}

static void owner_alone(struct place *p, const char *name)
{
    char path[192];
    struct stat status;
    snprintf(path, sizeof path, "%s/%s", p->dir, name);
    assert_int_equal(stat(path, &status), 0);
    assert_int_equal(status.st_mode & 0777, 0600);
}

static void test_first_start(void **state)
{
    struct place *p = *state;
    char secret[64];
    struct core_identity who;
    start(p);
    owner_alone(p, "client.yaml");
    owner_alone(p, "installation");
    secret_of(p, secret);
    assert_true(core_identify(p->core, str_from(secret), &who));
    assert_int_equal(who.role, ROLE_ADMIN);
    assert_int_equal(who.project, 0);
    secret[10] ^= 1;
    assert_false(core_identify(p->core, str_from(secret), &who));
    assert_false(core_identify(p->core, STR("fkey_"), &who));
    assert_int_not_equal(core_project(p->core, STR("default")), 0);
    assert_in_range(core_installation(p->core), 1, 250);
    stop(p);
}

static void test_key_revoked(void **state)
{
    struct place *p = *state;
    char secret[CORE_KEY_SIZE];
    struct core_identity who;
    start(p);
    core_make_key(secret);
    struct engine_command make = {.type = ENGINE_KEY_CREATE, .key = {.snippet = STR("fkey_abcd"), .principal = STR("eve"), .role = ROLE_VIEWER,
                                                                     .project = 1, .kind = PRINCIPAL_PERSON}};
    core_hash_key(p->core, str_from(secret), make.key.hash);
    struct call made = run(p, make);
    assert_true(core_identify(p->core, str_from(secret), &who));
    assert_int_equal(who.role, ROLE_VIEWER);
    assert_int_equal(who.project, 1);
    assert_string_equal(who.principal, "eve");
    run(p, (struct engine_command){.type = ENGINE_KEY_REVOKE, .revoke = made.outcome.id});
    assert_false(core_identify(p->core, str_from(secret), &who));
    stop(p);
    start(p);
    assert_false(core_identify(p->core, str_from(secret), &who));
    stop(p);
}

static void test_restart(void **state)
{
    struct place *p = *state;
    start(p);
    uint64_t seq = project_make(p, "one");
    struct id_key key = core_id_key(p->core);
    int number = core_installation(p->core);
    stop(p);
    start(p);
    assert_true(core_durable_seq(p->core) >= seq);
    assert_int_equal(core_stats(p->core).snapshot_seq, core_durable_seq(p->core));
    assert_int_equal(projects(p), 2);
    struct id_key again = core_id_key(p->core);
    assert_memory_equal(&key, &again, sizeof key);
    assert_int_equal(number, core_installation(p->core));
    assert_int_not_equal(core_project(p->core, STR("one")), 0);
    stop(p);
}

/* A process that is killed at some moment; what it said it knew to be acknowledged is there. */
static void child_work(struct place *p, int out)
{
    start(p);
    for (int i = 0;; i++) {
        char name[32];
        snprintf(name, sizeof name, "p%d", i);
        project_make(p, name);
        if (write(out, &i, sizeof i) != sizeof i)
            _exit(1);
    }
}

static int kill_during_work(struct place *p, int acks)
{
    int pipe_fds[2], last = -1, read_now;
    assert_int_equal(pipe(pipe_fds), 0);
    pid_t child = fork();
    if (child == 0)
        child_work(p, pipe_fds[1]);
    close(pipe_fds[1]);
    while (last + 1 < acks && read(pipe_fds[0], &read_now, sizeof read_now) == sizeof read_now)
        last = read_now;
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    while (read(pipe_fds[0], &read_now, sizeof read_now) == sizeof read_now)
        last = read_now;
    close(pipe_fds[0]);
    return last;
}

static void test_kill(void **state)
{
    struct place *p = *state;
    int last = kill_during_work(p, 50);
    assert_true(last >= 49);
    start(p);
    assert_in_range(projects(p), (size_t)last + 2, (size_t)last + 3);
    char name[32];
    snprintf(name, sizeof name, "p%d", last);
    assert_int_not_equal(core_project(p->core, str_from(name)), 0);
    stop(p);
}

static void test_replay_agrees(void **state)
{
    struct place *p = *state;
    struct recovered old, new;
    struct buf a = BUF_INIT(BUF_LIMIT_DEFAULT), b = BUF_INIT(BUF_LIMIT_DEFAULT);
    start(p);
    for (int i = 0; i < 20; i++) {
        char name[32];
        snprintf(name, sizeof name, "p%d", i);
        project_make(p, name);
    }
    stop(p);
    assert_int_equal(recover(&old, &(struct recover_options){.data = p->dir, .oldest = true}, &p->err), 0);
    assert_int_equal(recover(&new, &(struct recover_options){.data = p->dir}, &p->err), 0);
    assert_int_equal(old.seq, new.seq);
    assert_int_equal(old.digest, new.digest);
    assert_true(old.groups > new.groups);
    engine_snapshot(old.engine, &a);
    engine_snapshot(new.engine, &b);
    assert_true(str_equal(buf_str(&a), buf_str(&b)));
    engine_free(old.engine);
    engine_free(new.engine);
    buf_fini(&a);
    buf_fini(&b);
}

/* A child writes it while commands go on; the journal is cut behind the older of two. */
static void test_snapshots_while_running(void **state)
{
    struct place *p = *state;
    assert_int_equal(open_with(p, &(struct core_options){.snapshot_every = 10}), 0);
    for (int i = 0; core_stats(p->core).journal_start == 0; i++) {
        char name[32];
        snprintf(name, sizeof name, "p%d", i);
        project_make(p, name);
        usleep(2000);
    }
    size_t count = projects(p);
    assert_true(core_stats(p->core).snapshot_seq > 10);
    drop(p);
    start(p);
    assert_int_equal(projects(p), count);
    stop(p);
}

static void test_truncates(void **state)
{
    struct place *p = *state;
    for (int i = 0; i < 4; i++) {
        char name[32];
        start(p);
        snprintf(name, sizeof name, "p%d", i);
        uint64_t seq = project_make(p, name);
        while (core_stats(p->core).projected_seq < seq)
            usleep(1000);
        stop(p);
    }
    assert_true(sql_number(p, "tessera.db", "SELECT min(seq_first) FROM command_group") > 1);
    start(p);
    assert_int_equal(projects(p), 5);
    stop(p);
}

/* ---- reads, contact, tables ----------------------------------------------------------------------------------------------------- */

static void test_read_after(void **state)
{
    struct place *p = *state;
    struct read read = {0};
    start(p);
    uint64_t seq = core_durable_seq(p->core);
    read_start(p, &read, seq + 1);
    project_make(p, "one");
    read_wait(&read);
    assert_true(read.seq >= seq + 1);
    stop(p);
}

/* A number that nobody gave out is not waited for for ever, and a stop waits for nobody. */
static void test_read_after_nothing(void **state)
{
    struct place *p = *state;
    struct read read = {0};
    start(p);
    read_start(p, &read, UINT64_MAX);
    stop(p);
    read_wait(&read);
}

static void look_event(const struct core_view *view, void *context)
{
    struct arena arena = {0};
    struct table_page page;
    struct error err;
    const struct table_query query = {.table = TABLE_EVENT, .type = STR("project_created")};
    if (tables_read(view->tables, &query, &arena, &page, &err) < 0)
        page.count = SIZE_MAX;
    *(size_t *)context = page.count;
    arena_fini(&arena);
}

/* Tables follow in their own time; a read that asks for it waits for them. */
static void test_read_tables(void **state)
{
    struct place *p = *state;
    start(p);
    for (size_t i = 1; i <= 10; i++) {
        size_t events = 0;
        char name[32];
        snprintf(name, sizeof name, "p%zu", i);
        project_make(p, name);
        struct read read = {.look = look_event, .context = &events, .read = {.tables = true}};
        read_start(p, &read, 0);
        read_wait(&read);
        assert_int_equal(events, i);
    }
    stop(p);
}

static struct engine_command node(void)
{
    return (struct engine_command){.type = ENGINE_NODE_REGISTER,
                                   .node = {.name = STR("n1"), .version = STR("1"), .boot = STR("b1"), .address = STR("127.0.0.11"), .sku = STR("cpu"),
                                            .provider = STR("home"), .region = STR("local"), .zone = STR("a"), .fabric = STR("f"), .rack = STR("r"),
                                            .amounts = {.core_milli = 4000, .memory_mib = 4096}, .ask_present = true, .ask = 40000}};
}

static void look_node(const struct core_view *view, void *context)
{
    const struct engine_node *found = engine_node_named(view->engine, STR("n1"));
    *(int *)context = found ? (int)found->state : -1;
}

static int node_state(struct place *p)
{
    int found;
    look(p, look_node, &found);
    return found;
}

static void test_contact_lost(void **state)
{
    struct place *p = *state;
    start(p);
    run(p, (struct engine_command){.type = ENGINE_SETTING_SET, .setting = {.name = SETTING_CONTACT_TIMEOUT_MS, .value = 1000}});
    struct call made = run(p, node());
    assert_int_equal(made.outcome.code, ENGINE_OK);
    engine_id id = made.outcome.id;
    assert_true(core_renew(p->core, id));
    assert_true(core_contact_age(p->core, id) >= 0);
    assert_false(core_renew(p->core, id + 1));
    while (node_state(p) != NODE_LOST)
        usleep(10000);
    assert_false(core_renew(p->core, id));
    assert_int_equal(core_contact_age(p->core, id), -1);
    assert_int_equal(run(p, node()).outcome.id, id);
    assert_true(core_renew(p->core, id));
    stop(p);
}

/* After a start every node counts as just renewed. */
static void test_contact_after_restart(void **state)
{
    struct place *p = *state;
    start(p);
    engine_id id = run(p, node()).outcome.id;
    stop(p);
    start(p);
    assert_in_range(core_contact_age(p->core, id), 0, 60000);
    assert_true(core_renew(p->core, id));
    stop(p);
}

static void test_contact_given_up_once(void **state)
{
    (void)state;
    struct contacts *c = contacts_new();
    struct contact_lost lost[4];
    struct engine_event registered = {.type = ENGINE_EVENT_NODE_REGISTERED, .node = 3};
    contacts_follow(c, &registered, 1, (struct contact_time){1000, 50});
    registered.node = 4;
    contacts_follow(c, &registered, 1, (struct contact_time){1500, 550});
    assert_int_equal(contacts_overdue(c, 1999, 1000, lost, 4), 0);
    assert_int_equal(contacts_overdue(c, 2000, 1000, lost, 4), 1);
    assert_int_equal(lost[0].node, 3);
    assert_int_equal(lost[0].last, 50);
    assert_true(contacts_renew(c, 3, (struct contact_time){2000, 1050}));
    assert_false(contacts_give_up(c, 3, 2000, 1000)); /* it came back in between */
    assert_true(contacts_give_up(c, 3, 3000, 1000));
    assert_false(contacts_renew(c, 3, (struct contact_time){3000, 2050}));
    assert_int_equal(contacts_age(c, 4, 2500), 1000);
    contacts_renew_all(c, (struct contact_time){9000, 8000});
    assert_int_equal(contacts_overdue(c, 9000, 1000, lost, 4), 0);
    contacts_free(c);
}

/* A submit as the API makes it: from a request, which is what the journal keeps. */
static struct engine_command submit(struct arena *arena)
{
    struct workload_request request;
    struct workload_choice choice;
    struct record_pair env = {STR("NAME"), STR("shown")}, secret = {STR("TOKEN"), STR("s3cr3t")};
    struct buf packed = BUF_INIT(65536);
    struct engine_command command = {.type = ENGINE_SUBMIT, .submit = {.project = 1, .request_key = 5}};
    record_defaults(&workload_request_record, &request);
    record_defaults(&workload_choice_record, &choice);
    choice.amounts = (struct agent_amounts){.core_milli = 1000, .memory_mib = 64};
    request.name = STR("work");
    request.run = STR("true");
    request.envs = (struct record_list){&env, 1};
    request.secrets = (struct record_list){&secret, 1};
    request.choices = (struct record_list){&choice, 1};
    request.preemptible = request.limit_present = true;
    request.limit_udollar_per_hour = 80000;
    record_pack(&workload_request_record, &request, &packed);
    command.submit.request = arena_str(arena, buf_str(&packed));
    buf_fini(&packed);
    assert_int_equal(journal_submit_from_request(&request, arena, &command.submit, NULL), 0);
    return command;
}

static void test_tables_follow(void **state)
{
    struct place *p = *state;
    struct arena arena = {0};
    start(p);
    run(p, node());
    struct call made = run(p, submit(&arena));
    assert_int_equal(made.outcome.code, ENGINE_OK);
    while (core_stats(p->core).projected_seq < made.seq)
        usleep(1000);
    stop(p);
    assert_int_equal(sql_number(p, "tables.db", "SELECT count(*) FROM workloads WHERE name = 'work' AND project = 'default' AND nodes = 1"), 1);
    assert_int_equal(sql_number(p, "tables.db", "SELECT count(*) FROM workloads WHERE request LIKE '%shown%'"), 1);
    assert_int_equal(sql_number(p, "tables.db", "SELECT count(*) FROM workloads WHERE request LIKE '%s3cr3t%'"), 0);
    assert_true(sql_number(p, "tables.db", "SELECT count(*) FROM steps WHERE type = 'submitted' AND text LIKE 'submitted: 1 node, %'") == 1);
    assert_int_equal(sql_number(p, "tables.db", "SELECT count(*) FROM nodes WHERE name = 'n1' AND state = 'up'"), 1);
    assert_true(sql_number(p, "tables.db", "SELECT count(*) FROM events WHERE type = 'node_registered'") == 1);
    arena_fini(&arena);
}

/* The same journal again gives the same rows: a position says what is in already. */
static void test_tables_once(void **state)
{
    struct place *p = *state;
    for (int i = 0; i < 3; i++) {
        char name[32];
        snprintf(name, sizeof name, "p%d", i);
        start(p);
        project_make(p, name);
        stop(p);
    }
    start(p);
    while (core_stats(p->core).projected_seq < core_durable_seq(p->core))
        usleep(1000);
    stop(p);
    assert_int_equal(sql_number(p, "tables.db", "SELECT count(*) FROM events WHERE type = 'project_created'"), 3);
}

/* Two on one machine never share a number; what is gone gives its number back. */
static void test_installations(void **state)
{
    struct place *p = *state;
    struct error err;
    char dir[192];
    int taken[INSTALLATION_MAX + 1] = {0};
    for (int i = 0; i < INSTALLATION_MAX; i++) {
        struct installation made;
        snprintf(dir, sizeof dir, "%s/d%d", p->dir, i);
        assert_int_equal(mkdir(dir, 0700), 0);
        assert_int_equal(installation_make(&made, dir, &err), 0);
        assert_in_range(made.number, 1, INSTALLATION_MAX);
        assert_int_equal(taken[made.number]++, 0);
    }
    struct installation again, made;
    assert_int_equal(installation_read(&again, dir, &err), 0);
    snprintf(dir, sizeof dir, "%s/one-more", p->dir);
    assert_int_equal(mkdir(dir, 0700), 0);
    assert_int_equal(installation_make(&made, dir, &err), -EUSERS);
    snprintf(dir, sizeof dir, "%s/d%d/installation", p->dir, INSTALLATION_MAX - 1);
    assert_int_equal(unlink(dir), 0);
    snprintf(dir, sizeof dir, "%s/one-more", p->dir);
    assert_int_equal(installation_make(&made, dir, &err), 0);
    assert_int_equal(made.number, again.number);
    assert_true(made.key.k0 != again.key.k0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define CASE(name) cmocka_unit_test_setup_teardown(name, place_make, place_drop)
        CASE(test_first_start),
        CASE(test_key_revoked),
        CASE(test_restart),
        CASE(test_kill),
        CASE(test_replay_agrees),
        CASE(test_snapshots_while_running),
        CASE(test_truncates),
        CASE(test_read_after),
        CASE(test_read_after_nothing),
        CASE(test_read_tables),
        CASE(test_contact_lost),
        CASE(test_contact_after_restart),
        CASE(test_contact_given_up_once),
        CASE(test_tables_follow),
        CASE(test_tables_once),
        CASE(test_installations),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
