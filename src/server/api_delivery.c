/* SPDX-License-Identifier: Apache-2.0 */
#include "server/api_delivery.h"

#include "base/clock.h"
#include "net/http_client.h"
#include "net/mail.h"
#include "net/outbound.h"
#include "records/object.h"
#include "records/workload.h"
#include "server/api_internal.h"
#include "server/core_thread.h"
#include "server/file.h"
#include "server/mail.h"
#include "server/webhook.h"
#include "wire/json.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>

#define SENDERS 4
#define MINUTE_MS ((time_ms)60 * 1000)
#define ROWS_MOST 500        /* of one type, in one look */
#define BEHIND_MS 300        /* the tables have not followed yet */
#define TROUBLE_MS 2000      /* the disk is full or fails */
#define CONNECT_TIMEOUT_MS 5000
#define ATTEMPT_TIMEOUT_MS 15000
#define ANSWER_MOST_BYTES 65536
#define MAIL_LANE 0
#define MAIL_MOST_BYTES 65536
#define GIVEN_UP_MS ((time_ms)3 * 24 * HOUR_MS)

/* Before the second attempt, the third, …; the last one for all that follow. */
static const time_ms pauses[] = {1000, 5000, 30000, 2 * MINUTE_MS, 10 * MINUTE_MS, 30 * MINUTE_MS, HOUR_MS};

struct hook {
    engine_id id;
    struct str project, url, secret;
    struct record_list types; /* of struct str */
    time_ms created;
};

struct lane {
    struct outbox_lane row;
    struct hook hook;     /* with texts of its own */
    struct arena arena;
    bool busy, there, full, ready; /* ready: what it needs to be sent is known */
    int64_t added;        /* to the outbox by the look that runs */
    char tested[DELIVERY_ID_MOST];
};

struct test {
    engine_id hook;
    char id[DELIVERY_ID_MOST];
};

struct sender {
    struct api_delivery *d;
    pthread_t thread;
    bool started;
    struct http_client *client; /* the one under way; under the lock */
    atomic_bool stop;           /* of a mail under way */
    struct arena arena;
};

struct api_delivery {
    struct api *api;
    struct core_thread thread; /* the one that looks; the senders share its lock and its signal */
    pthread_mutex_t store; /* the outbox; taken before `lock` where both are */
    struct outbox *outbox;
    struct sender senders[SENDERS];
    uint64_t types;   /* of events that somebody may want: bits of enum engine_event_type */
    atomic_bool idle; /* nobody wants anything: events need no look */
    struct lane **lanes; /* the looking thread alone adds and removes */
    size_t lane_count, lane_capacity, next;
    struct test *tests;
    size_t test_count, test_capacity;
    /* of the thread that looks */
    struct arena arena;
    struct found {
        struct hook *hooks;
        size_t hook_count;
        struct table_event *rows; /* in order */
        struct str *recipients;   /* of mail about each of them; empty: nobody */
        size_t row_count;
        time_ms from; /* nobody wants what was before */
        struct table_position cursor;
        bool more, behind, failed;
    } found;
    bool merged; /* lanes of webhooks that are gone were dropped */
};

/* ---- a look: on a reader's thread, while the looking thread waits ---- */

static void hooks_read(struct api_delivery *d, const struct engine *e)
{
    struct found *f = &d->found;
    f->hooks = arena_alloc(&d->arena, (engine_object_count(e) + 1) * sizeof *f->hooks);
    for (size_t i = 0; i < engine_object_count(e); i++) {
        const struct engine_object *o = engine_object_at(e, i);
        struct object_webhook body;
        if (o->kind != OBJECT_WEBHOOK || o->deleted || !object_unpack(&object_webhook_record, o->body, &d->arena, &body))
            continue;
        const struct engine_project *project = engine_project(e, o->project);
        f->hooks[f->hook_count++] = (struct hook){
            .id = o->id, .project = arena_str(&d->arena, project ? project->name : STR("")), .types = body.types, .created = o->created,
            .url = arena_str(&d->arena, body.url), .secret = arena_str(&d->arena, body.secret)};
        f->from = f->from ? MIN(f->from, o->created) : o->created;
    }
    if (d->api->options.mail)
        f->from = f->from ? MIN(f->from, outbox_begun(d->outbox)) : outbox_begun(d->outbox);
}

static struct table_position row_position(const struct table_event *row)
{
    return (struct table_position){row->seq, row->position};
}

/* The rows of one type after the cursor, up to `end`; where there are more, the look ends with the last of them. */
static int type_read(struct api_delivery *d, struct tables_reader *tables, const char *type, struct table_page *ret, struct error *err)
{
    struct found *f = &d->found;
    const struct table_query query = {.table = TABLE_EVENT, .type = str_from(type), .after = outbox_cursor(d->outbox), .from_ms = f->from,
                                      .limit = ROWS_MOST};
    int r = tables_read(tables, &query, &d->arena, ret, err);
    const struct table_event *rows = ret->rows;
    if (r == 0 && ret->more && position_compare(row_position(&rows[ret->count - 1]), f->cursor) < 0) {
        f->cursor = row_position(&rows[ret->count - 1]);
        f->more = true;
    }
    return r;
}

static void row_insert(struct found *f, const struct table_event *row)
{
    size_t at = f->row_count++;
    for (; at > 0 && position_compare(row_position(&f->rows[at - 1]), row_position(row)) > 0; at--)
        f->rows[at] = f->rows[at - 1];
    f->rows[at] = *row;
}

static int rows_read(struct api_delivery *d, const struct core_view *view, struct error *err)
{
    struct found *f = &d->found;
    struct table_page pages[16] = {0};
    size_t total = 0, types = 0;
    /* what is put there while it reads is left to the next look */
    int r = tables_read_position(view->tables, &f->cursor, err);
    f->behind = r == 0 && f->cursor.seq < view->seq;
    for (; r == 0 && webhook_types[types]; types++) {
        CHECK(types < ARRAY_COUNT(pages));
        r = type_read(d, view->tables, webhook_types[types], &pages[types], err);
        total += r == 0 ? pages[types].count : 0;
    }
    if (r < 0)
        return r;
    f->rows = arena_alloc(&d->arena, (total + 1) * sizeof *f->rows);
    for (size_t t = 0; t < types; t++) {
        const struct table_event *rows = pages[t].rows;
        for (size_t i = 0; i < pages[t].count && position_compare(row_position(&rows[i]), f->cursor) <= 0; i++)
            row_insert(f, &rows[i]);
    }
    if (position_compare(f->cursor, outbox_cursor(d->outbox)) < 0) /* the tables were made anew */
        f->cursor = outbox_cursor(d->outbox);
    return 0;
}

/* Who is told by mail of a workload's events; empty: nobody. */
static struct str email_of(struct api_delivery *d, const struct core_view *view, engine_id id)
{
    const struct engine_workload *w = engine_workload(view->engine, id);
    const struct table_query query = {.table = TABLE_WORKLOAD, .id = id, .limit = 1};
    struct workload_request request;
    struct table_page page;
    struct json_value json;
    if (w) {
        struct unpack in = unpack_from(w->request);
        bool known = record_unpack(&workload_request_record, &in, &d->arena, &request, NULL) == 0 && request.kind == WORKLOAD_INSTANCE;
        return known ? arena_str(&d->arena, request.instance.email) : STR("");
    }
    if (tables_read(view->tables, &query, &d->arena, &page, NULL) < 0 || page.count == 0)
        return STR("");
    const struct table_workload *row = page.rows;
    return json_parse(row->request, &d->arena, &json, NULL) == 0 ? json_get_str(json_get(&json, "instance"), "email") : STR("");
}

static void recipients_read(struct api_delivery *d, const struct core_view *view)
{
    struct found *f = &d->found;
    f->recipients = arena_alloc(&d->arena, (f->row_count + 1) * sizeof *f->recipients);
    for (size_t i = 0; i < f->row_count && d->api->options.mail; i++)
        if (f->rows[i].workload && f->rows[i].at_ms >= outbox_begun(d->outbox))
            f->recipients[i] = email_of(d, view, f->rows[i].workload);
}

static void look_see(void *context, const struct core_view *view)
{
    struct api_delivery *d = context;
    struct error err = {0};
    hooks_read(d, view->engine);
    d->found.failed = rows_read(d, view, &err) < 0;
    if (d->found.failed)
        log_warning("deliveries wait: %s", err.text);
    else
        recipients_read(d, view);
}

static bool look_ask(struct api_delivery *d)
{
    arena_clear(&d->arena);
    d->found = (struct found){0};
    return core_thread_read(&d->thread, true, look_see, d);
}

/* ---- lanes ---- */

static struct lane *lane_find(struct api_delivery *d, uint64_t id)
{
    for (size_t i = 0; i < d->lane_count; i++)
        if (d->lanes[i]->row.id == id)
            return d->lanes[i];
    return NULL;
}

static void lane_free(struct lane *lane)
{
    arena_fini(&lane->arena);
    xfree(lane);
}

static struct lane *lane_new(const struct outbox_lane *row)
{
    struct lane *lane = xcalloc(1, sizeof *lane);
    lane->row = *row;
    return lane;
}

static void lane_show(struct api_delivery *d, struct lane *lane)
{
    pthread_mutex_lock(&d->thread.lock);
    ARRAY_RESERVE(d->lanes, d->lane_count, d->lane_capacity);
    d->lanes[d->lane_count++] = lane;
    pthread_mutex_unlock(&d->thread.lock);
}

static void lane_fill(struct lane *lane, const struct hook *hook)
{
    struct str *types = arena_alloc(&lane->arena, (hook->types.count + 1) * sizeof *types);
    const struct str *given = hook->types.items;
    for (size_t i = 0; i < hook->types.count; i++)
        types[i] = arena_str(&lane->arena, given[i]);
    lane->hook = (struct hook){.id = hook->id, .project = arena_str(&lane->arena, hook->project), .url = arena_str(&lane->arena, hook->url),
                               .secret = arena_str(&lane->arena, hook->secret), .types = {types, hook->types.count}, .created = hook->created};
    lane->ready = true;
}

/* Those that were kept by the last run; which of them are still wanted, the first look says. */
static int lanes_load(struct api_delivery *d, struct error *err)
{
    struct arena arena = {0};
    struct outbox_lane *rows = NULL;
    size_t count = 0;
    int r = outbox_lanes(d->outbox, &arena, &rows, &count, err);
    for (size_t i = 0; r == 0 && i < count; i++)
        lane_show(d, lane_new(&rows[i]));
    arena_fini(&arena);
    return r;
}

static int hook_lane(struct api_delivery *d, const struct hook *hook, struct error *err)
{
    struct lane *lane = lane_find(d, hook->id);
    bool known = lane != NULL;
    int r = 0;
    if (!known) {
        pthread_mutex_lock(&d->store);
        r = outbox_lane_make(d->outbox, hook->id, err);
        pthread_mutex_unlock(&d->store);
        if (r < 0)
            return r;
        lane = lane_new(&(struct outbox_lane){.id = hook->id});
    }
    pthread_mutex_lock(&d->thread.lock);
    lane->there = true;
    if (!lane->ready) {
        lane_fill(lane, hook);
        pthread_cond_broadcast(&d->thread.changed); /* what waited at the last stop may be due, with nothing new beside it */
    }
    pthread_mutex_unlock(&d->thread.lock);
    if (!known)
        lane_show(d, lane);
    return 0;
}

static int lane_remove(struct api_delivery *d, size_t index, struct error *err)
{
    struct lane *lane = d->lanes[index];
    if (lane->row.id == MAIL_LANE && lane->row.waiting)
        log_warning("%lld mails that waited are dropped: the server was started without --smtp", (long long)lane->row.waiting);
    pthread_mutex_lock(&d->thread.lock);
    d->lanes[index] = d->lanes[--d->lane_count];
    pthread_mutex_unlock(&d->thread.lock);
    pthread_mutex_lock(&d->store);
    int r = outbox_lane_drop(d->outbox, lane->row.id, err);
    pthread_mutex_unlock(&d->store);
    lane_free(lane);
    return r;
}

static int lanes_follow(struct api_delivery *d, struct error *err)
{
    int r = 0;
    for (size_t i = 0; i < d->lane_count; i++)
        d->lanes[i]->there = false;
    for (size_t i = 0; r == 0 && i < d->found.hook_count; i++)
        r = hook_lane(d, &d->found.hooks[i], err);
    if (r == 0 && d->api->options.mail)
        r = hook_lane(d, &(struct hook){.id = MAIL_LANE}, err);
    for (size_t i = d->lane_count; r == 0 && i-- > 0;)
        if (!d->lanes[i]->there)
            r = lane_remove(d, i, err);
    return r;
}

/* ---- into the outbox ---- */

static bool lane_wants(struct api_delivery *d, struct lane *lane, const struct table_event *row)
{
    const struct str *types = lane->hook.types.items;
    bool wanted = false;
    if (row->at_ms < lane->hook.created || !str_equal(row->project, lane->hook.project))
        return false;
    for (size_t i = 0; i < lane->hook.types.count; i++)
        wanted |= str_equal(types[i], row->type);
    pthread_mutex_lock(&d->thread.lock);
    if (wanted && lane->row.waiting + lane->added >= OUTBOX_LANE_MOST)
        lane->full = true;
    wanted &= lane->row.disabled == 0 && !lane->full;
    pthread_mutex_unlock(&d->thread.lock);
    return wanted;
}

static int event_put(struct api_delivery *d, const struct table_event *row, struct error *err)
{
    _cleanup_buf_ struct buf id = BUF_INIT(64), body = BUF_INIT(1 << 20);
    int r = 0;
    buf_printf(&id, "%llu-%llu", (unsigned long long)row->seq, (unsigned long long)row->position);
    webhook_body(&body, buf_str(&id), row->type, row->at_ms, row->json);
    for (size_t i = 0; r == 0 && i < d->lane_count; i++) {
        struct lane *lane = d->lanes[i];
        const struct outbox_item item = {.lane = lane->row.id, .id = buf_str(&id), .type = row->type, .body = buf_str(&body), .at = row->at_ms};
        if (!lane_wants(d, lane, row))
            continue;
        r = outbox_put(d->outbox, &item, err);
        lane->added++;
    }
    return r;
}

static int mail_put(struct api_delivery *d, const struct table_event *row, struct str recipient, struct error *err)
{
    _cleanup_buf_ struct buf id = BUF_INIT(64), subject = BUF_INIT(1024), body = BUF_INIT(MAIL_MOST_BYTES);
    struct lane *lane = lane_find(d, MAIL_LANE);
    struct api_event event;
    if (recipient.size == 0 || lane == NULL || record_from_json_loose(&api_event_record, row->json, &d->arena, &event, NULL) < 0)
        return 0;
    if (lane->row.waiting + lane->added >= OUTBOX_LANE_MOST) {
        log_warning("a mail is dropped: %d wait", OUTBOX_LANE_MOST);
        return 0;
    }
    buf_printf(&id, "%llu-%llu", (unsigned long long)row->seq, (unsigned long long)row->position);
    mail_write(&event, &subject, &body);
    lane->added++;
    return outbox_put(d->outbox, &(struct outbox_item){.lane = MAIL_LANE, .id = buf_str(&id), .type = row->type, .recipient = recipient,
                                                       .subject = buf_str(&subject), .body = buf_str(&body), .at = row->at_ms}, err);
}

static int tests_put(struct api_delivery *d, const struct test *tests, size_t count, struct error *err)
{
    int r = 0;
    for (size_t i = 0; r == 0 && i < count; i++) {
        struct lane *lane = lane_find(d, tests[i].hook);
        _cleanup_buf_ struct buf body = BUF_INIT(4096);
        time_ms now = clock_wall_ms();
        if (lane == NULL)
            continue;
        webhook_body(&body, str_from(tests[i].id), STR(WEBHOOK_TEST_TYPE), now, STR("{\"text\":\"a test of this webhook\"}"));
        const struct outbox_item item = {.lane = lane->row.id, .id = str_from(tests[i].id), .type = STR(WEBHOOK_TEST_TYPE), .body = buf_str(&body), .at = now};
        r = outbox_put(d->outbox, &item, err);
        lane->added++;
    }
    return r;
}

/* All of a look in one transaction, with the cursor. */
static int found_put(struct api_delivery *d, const struct test *tests, size_t test_count, struct error *err)
{
    struct found *f = &d->found;
    if (d->lane_count == 0) /* whoever comes wants nothing that was before: the cursor may stay, and the disk rest */
        return 0;
    if (f->row_count == 0 && test_count == 0 && position_compare(f->cursor, outbox_cursor(d->outbox)) == 0)
        return 0;
    for (size_t i = 0; i < d->lane_count; i++)
        d->lanes[i]->added = 0;
    pthread_mutex_lock(&d->store);
    int r = outbox_begin(d->outbox, err);
    for (size_t i = 0; r == 0 && i < f->row_count; i++)
        if ((r = event_put(d, &f->rows[i], err)) == 0)
            r = mail_put(d, &f->rows[i], f->recipients[i], err);
    if (r == 0)
        r = tests_put(d, tests, test_count, err);
    if (r == 0)
        r = outbox_commit(d->outbox, f->cursor, err);
    if (r < 0)
        outbox_rollback(d->outbox);
    pthread_mutex_unlock(&d->store);
    pthread_mutex_lock(&d->thread.lock);
    for (size_t i = 0; r == 0 && i < d->lane_count; i++)
        d->lanes[i]->row.waiting += d->lanes[i]->added;
    pthread_cond_broadcast(&d->thread.changed);
    pthread_mutex_unlock(&d->thread.lock);
    return r;
}

/* A lane in which too much waits is given up, so that the disk does not fill with what nobody takes. */
static int full_give_up(struct api_delivery *d, struct error *err)
{
    int r = 0;
    for (size_t i = 0; r == 0 && i < d->lane_count; i++) {
        struct lane *lane = d->lanes[i];
        pthread_mutex_lock(&d->thread.lock);
        bool full = lane->full && !lane->row.disabled;
        if (full) {
            lane->row.disabled = clock_wall_ms();
            lane->row.waiting = 0;
            snprintf(lane->row.error, sizeof lane->row.error, "given up: more than %d deliveries waited", OUTBOX_LANE_MOST);
        }
        struct outbox_lane row = lane->row;
        pthread_mutex_unlock(&d->thread.lock);
        if (!full)
            continue;
        pthread_mutex_lock(&d->store);
        r = outbox_record(d->outbox, &row, 0, err);
        pthread_mutex_unlock(&d->store);
    }
    return r;
}

/* ---- the thread that looks ---- */

static size_t tests_take(struct api_delivery *d, struct test **ret)
{
    pthread_mutex_lock(&d->thread.lock);
    size_t count = d->test_count;
    *ret = TAKE(d->tests);
    d->test_count = d->test_capacity = 0;
    pthread_mutex_unlock(&d->thread.lock);
    return count;
}

/* How long until the next look although nothing changed. False: the server stops. */
static bool look(struct api_delivery *d, time_ms *ret_wait)
{
    struct error err = {0};
    struct test *tests = NULL;
    atomic_store(&d->idle, false); /* what happens from here on calls for another look */
    do {
        size_t count = tests_take(d, &tests);
        if (!look_ask(d)) {
            xfree(tests);
            return false;
        }
        int r = d->found.failed ? -EIO : lanes_follow(d, &err);
        if (r == 0)
            r = found_put(d, tests, count, &err);
        if (r == 0)
            r = full_give_up(d, &err);
        xfree(TAKE(tests));
        if (r < 0 && !d->found.failed)
            log_warning("deliveries wait: %s", err.text);
        *ret_wait = r < 0 ? TROUBLE_MS : d->found.behind ? BEHIND_MS : TIME_NEVER;
        if (r < 0)
            return true;
    } while (d->found.more && d->lane_count);
    if (d->lane_count == 0) {
        *ret_wait = TIME_NEVER;
        atomic_store(&d->idle, true);
    }
    return true;
}

static struct timespec monotonic_after(time_ms span)
{
    time_ms due = clock_monotonic_ms() + span;
    return (struct timespec){.tv_sec = due / 1000, .tv_nsec = due % 1000 * 1000000};
}

static void *look_main(void *context)
{
    struct api_delivery *d = context;
    time_ms wait = TIME_NEVER;
    while (core_thread_sleep(&d->thread, wait) && look(d, &wait))
        ;
    return NULL;
}

/* ---- sending ---- */

struct job {
    struct outbox_lane row;
    struct str url, secret;
    struct outbox_item item;
};

enum verdict { ARRIVED, AGAIN, GONE, REFUSED, STOPPED }; /* REFUSED: a mail that nobody will take */

static bool lane_due(const struct lane *lane, time_ms now)
{
    /* a clock that was set back delays nothing for longer than a pause */
    time_ms due = MIN(lane->row.due, now + pauses[ARRAY_COUNT(pauses) - 1]);
    return lane->ready && !lane->busy && !lane->row.disabled && lane->row.waiting > 0 && due <= now;
}

/* The next lane in turn with something due; else when to look again. */
static struct lane *lane_choose(struct api_delivery *d, time_ms now, time_ms *ret_wait)
{
    *ret_wait = MINUTE_MS;
    for (size_t i = 0; i < d->lane_count; i++) {
        struct lane *lane = d->lanes[(d->next + i) % d->lane_count];
        if (lane_due(lane, now)) {
            d->next = (d->next + i + 1) % d->lane_count;
            return lane;
        }
        if (!lane->busy && !lane->row.disabled && lane->row.waiting > 0 && lane->row.due > now)
            *ret_wait = MIN(*ret_wait, lane->row.due - now);
    }
    return NULL;
}

static bool job_take(struct sender *s, struct job *ret)
{
    struct api_delivery *d = s->d;
    time_ms wait;
    pthread_mutex_lock(&d->thread.lock);
    struct lane *lane = NULL;
    while (!d->thread.stopping && (lane = lane_choose(d, clock_wall_ms(), &wait)) == NULL) {
        struct timespec until = monotonic_after(wait);
        pthread_cond_timedwait(&d->thread.changed, &d->thread.lock, &until);
    }
    bool goes_on = !d->thread.stopping;
    if (goes_on) {
        lane->busy = true;
        *ret = (struct job){.row = lane->row, .url = arena_str(&s->arena, lane->hook.url), .secret = arena_str(&s->arena, lane->hook.secret)};
    }
    pthread_mutex_unlock(&d->thread.lock);
    return goes_on;
}

static bool client_show(struct sender *s, struct http_client *client)
{
    pthread_mutex_lock(&s->d->thread.lock);
    bool stopping = s->d->thread.stopping;
    s->client = client;
    pthread_mutex_unlock(&s->d->thread.lock);
    return !stopping;
}

/* What an answer holds beyond its status is nobody's matter. */
static int answer_drop(void *context, struct str piece)
{
    (void)context;
    (void)piece;
    return 0;
}

static const char *header(struct arena *arena, const char *name, struct str value)
{
    _cleanup_buf_ struct buf line = BUF_INIT(4096);
    buf_printf(&line, "%s: %.*s", name, STR_ARGS(value));
    return arena_str(arena, buf_str(&line)).data;
}

static int post(struct sender *s, struct job *job, struct http_client *client, const char *path, struct error *err)
{
    _cleanup_buf_ struct buf time = BUF_INIT(32), signature = BUF_INIT(256);
    int64_t now = clock_wall_ms() / 1000;
    if (!webhook_sign(job->secret, job->item.id, now, job->item.body, &signature))
        return error_set(err, -EINVAL, "its secret cannot be read");
    buf_printf(&time, "%lld", (long long)now);
    const char *const headers[] = {header(&s->arena, "webhook-id", job->item.id), header(&s->arena, "webhook-timestamp", buf_str(&time)),
                                   header(&s->arena, "webhook-signature", buf_str(&signature)), "User-Agent: tessera/" TESSERA_VERSION};
    const struct http_call call = {.method = "POST", .path = path, .content_type = "application/json", .headers = headers,
        .header_count = ARRAY_COUNT(headers), .body = job->item.body, .timeout_ms = ATTEMPT_TIMEOUT_MS, .body_limit = ANSWER_MOST_BYTES,
        .sink = answer_drop};
    struct http_reply reply = {0};
    int r = client_show(s, client) ? http_client_call(client, &call, &reply, err) : -ECANCELED;
    client_show(s, NULL);
    job->row.status = reply.status;
    http_reply_fini(&reply);
    return r == -EMSGSIZE && job->row.status ? 0 : r;
}

static enum verdict hook_attempt(struct sender *s, struct job *job, struct error *err)
{
    const struct api_options *options = &s->d->api->options;
    _cleanup_buf_ struct buf server = BUF_INIT(OUTBOUND_URL_MOST * 2), path = BUF_INIT(OUTBOUND_URL_MOST * 2);
    struct http_client *client = NULL;
    job->row.status = 0;
    int r = outbound_url_split(job->url, options->webhook_allow_private, &server, &path, err);
    const struct http_client_options call = {.server = buf_text(&server), .authority = options->webhook_authority, .stranger = true,
        .allow_private = options->webhook_allow_private, .connect_timeout_ms = CONNECT_TIMEOUT_MS};
    if (r == 0)
        r = http_client_new(&client, &call, err);
    if (r == 0)
        r = post(s, job, client, buf_text(&path), err);
    http_client_free(client);
    int status = (int)job->row.status;
    if (r == -ECANCELED)
        return STOPPED;
    if (r == 0 && status / 100 == 2)
        return ARRIVED;
    if (r == 0)
        error_set(err, -EIO, status == 410 ? "answered 410: it wants nothing more" : "answered %d", status);
    return r == 0 && status == 410 ? GONE : AGAIN;
}

static enum verdict mail_attempt(struct sender *s, struct job *job, struct error *err)
{
    const struct api_options *options = &s->d->api->options;
    _cleanup_buf_ struct buf text = BUF_INIT(2 * MAIL_MOST_BYTES);
    mail_compose(&text, options->mail_from, &job->item);
    const struct mail mail = {.from = options->mail_from, .to = job->item.recipient.data, .text = buf_str(&text)};
    int r = mail_send(options->mail, &mail, &s->stop, err);
    if (r < 0 && r != -ECANCELED)
        log_warning("mail about %.*s: %s", STR_ARGS(job->item.subject), err->text);
    bool old = clock_wall_ms() - job->item.at >= GIVEN_UP_MS;
    return r == 0 ? ARRIVED : r == -ECANCELED ? STOPPED : r == -EREMOTEIO || old ? REFUSED : AGAIN;
}

/* For a page: printable letters alone, whatever a peer's certificate says. */
static void error_keep(struct outbox_lane *row, const char *text)
{
    snprintf(row->error, sizeof row->error, "%.*s", (int)sizeof row->error - 1, text);
    for (char *c = row->error; *c; c++)
        if (*c < ' ' || *c > '~')
            *c = '?';
}

static void row_move(struct outbox_lane *row, enum verdict verdict, const char *why, time_ms now)
{
    if (verdict == ARRIVED || verdict == REFUSED) {
        row->attempts = row->due = row->failing = 0;
        row->delivered += verdict == ARRIVED;
        row->delivered_at = now;
        row->error[0] = '\0';
        return;
    }
    row->attempts++;
    row->failing = row->failing ? row->failing : now;
    row->due = now + pauses[MIN((size_t)row->attempts - 1, ARRAY_COUNT(pauses) - 1)];
    if (row->id != MAIL_LANE && (verdict == GONE || now - row->failing >= GIVEN_UP_MS))
        row->disabled = now;
    error_keep(row, why);
}

/* The lane may be gone meanwhile. `empty`: nothing waits there after all. */
static void job_show(struct api_delivery *d, const struct job *job, enum verdict verdict, bool empty)
{
    pthread_mutex_lock(&d->thread.lock);
    struct lane *lane = lane_find(d, job->row.id);
    if (lane) {
        int64_t waiting = job->row.disabled ? 0 : lane->row.waiting - (verdict == ARRIVED || verdict == REFUSED);
        if (verdict != STOPPED && !lane->row.disabled) {
            lane->row = job->row;
            lane->row.waiting = MAX(waiting, 0);
        }
        if (empty) /* what was put there since counts */
            lane->row.waiting = MAX(lane->row.waiting - job->row.waiting, 0);
        lane->busy = false;
        if (verdict == ARRIVED && str_is(job->item.type, WEBHOOK_TEST_TYPE))
            snprintf(lane->tested, sizeof lane->tested, "%.*s", STR_ARGS(job->item.id));
    }
    pthread_cond_broadcast(&d->thread.changed);
    pthread_mutex_unlock(&d->thread.lock);
}

static void job_run(struct sender *s, struct job *job)
{
    struct api_delivery *d = s->d;
    struct error err = {0}, kept = {0};
    pthread_mutex_lock(&d->store);
    int r = outbox_first(d->outbox, job->row.id, &s->arena, &job->item, &err);
    pthread_mutex_unlock(&d->store);
    enum verdict verdict = STOPPED;
    if (r > 0)
        verdict = job->row.id == MAIL_LANE ? mail_attempt(s, job, &err) : hook_attempt(s, job, &err);
    time_ms now = clock_wall_ms();
    if (verdict != STOPPED) {
        row_move(&job->row, verdict, err.text, now);
        pthread_mutex_lock(&d->store);
        r = outbox_record(d->outbox, &job->row, verdict == ARRIVED || verdict == REFUSED ? job->item.number : 0, &kept);
        pthread_mutex_unlock(&d->store);
        if (job->row.disabled)
            log_info("a webhook is given up: %s", job->row.error);
    }
    if (r < 0) { /* the disk: what arrived may be sent once more */
        log_warning("deliveries wait: %s", verdict == STOPPED ? err.text : kept.text);
        job->row.due = now + TROUBLE_MS;
        job->row.disabled = 0;
        verdict = AGAIN;
    }
    job_show(d, job, verdict, r == 0 && job->item.number == 0);
}

static void *sender_main(void *context)
{
    struct sender *s = context;
    struct job job;
    pthread_setname_np(pthread_self(), "sender");
    while (job_take(s, &job)) {
        job_run(s, &job);
        arena_clear(&s->arena);
    }
    return NULL;
}

/* ---- from outside ---- */

void api_delivery_commit(struct api_delivery *d, const struct core_commit *commit)
{
    bool wanted = false, idle = atomic_load(&d->idle);
    for (size_t i = 0; i < commit->result->event_count && !wanted; i++) {
        const struct engine_event *event = &commit->result->events[i];
        bool object = event->type == ENGINE_EVENT_OBJECT_CREATED || event->type == ENGINE_EVENT_OBJECT_DELETED;
        wanted = object ? event->state == OBJECT_WEBHOOK : !idle && d->types >> event->type & 1;
    }
    if (wanted)
        core_thread_wake(&d->thread);
}

void api_delivery_state(struct api_delivery *d, engine_id hook, struct delivery_state *ret)
{
    *ret = (struct delivery_state){0};
    pthread_mutex_lock(&d->thread.lock);
    const struct lane *lane = lane_find(d, hook);
    if (lane) {
        ret->lane = lane->row;
        memcpy(ret->tested, lane->tested, sizeof ret->tested);
    }
    pthread_mutex_unlock(&d->thread.lock);
}

void api_delivery_test(struct api_delivery *d, engine_id hook, struct str id)
{
    pthread_mutex_lock(&d->thread.lock);
    ARRAY_RESERVE(d->tests, d->test_count, d->test_capacity);
    struct test *test = &d->tests[d->test_count++];
    *test = (struct test){.hook = hook};
    snprintf(test->id, sizeof test->id, "%.*s", STR_ARGS(id));
    d->thread.look = true;
    pthread_cond_broadcast(&d->thread.changed);
    pthread_mutex_unlock(&d->thread.lock);
}

/* ---- life ---- */

static int threads_start(struct api_delivery *d, struct error *err)
{
    int rc = core_thread_start(&d->thread, "deliveries", look_main, d, err);
    if (rc < 0)
        return rc;
    for (size_t i = 0; rc == 0 && i < SENDERS; i++) {
        d->senders[i].d = d;
        rc = pthread_create(&d->senders[i].thread, NULL, sender_main, &d->senders[i]);
        d->senders[i].started = rc == 0;
    }
    return rc == 0 ? 0 : error_set(err, -rc, "no thread: %s", strerror(rc));
}

int api_delivery_new(struct api_delivery **ret, struct api *api, struct error *err)
{
    struct api_delivery *d = *ret = xcalloc(1, sizeof *d);
    d->api = api;
    core_thread_init(&d->thread, api->core);
    for (enum engine_event_type type = 0; type < ENGINE_EVENT_TYPE_COUNT; type++)
        d->types |= (uint64_t)webhook_type_known(str_from(event_type_name(type))) << type;
    d->thread.look = true; /* what happened while no server was there */
    pthread_mutex_init(&d->store, NULL);
    _cleanup_free_ char *path = data_path(core_data(api->core), OUTBOX_NAME);
    int r = outbox_open(&d->outbox, path, clock_wall_ms(), err);
    if (r == 0)
        r = lanes_load(d, err);
    return r < 0 ? r : threads_start(d, err);
}

void api_delivery_stop(struct api_delivery *d)
{
    core_thread_stop(&d->thread);
    pthread_mutex_lock(&d->thread.lock);
    for (size_t i = 0; i < SENDERS; i++) {
        atomic_store(&d->senders[i].stop, true);
        if (d->senders[i].client)
            http_client_abort(d->senders[i].client);
    }
    pthread_mutex_unlock(&d->thread.lock);
}

void api_delivery_free(struct api_delivery *d)
{
    if (d == NULL)
        return;
    api_delivery_stop(d);
    core_thread_join(&d->thread);
    for (size_t i = 0; i < SENDERS; i++) {
        if (d->senders[i].started)
            pthread_join(d->senders[i].thread, NULL);
        arena_fini(&d->senders[i].arena);
    }
    for (size_t i = 0; i < d->lane_count; i++)
        lane_free(d->lanes[i]);
    xfree(d->lanes);
    xfree(d->tests);
    outbox_close(d->outbox);
    core_thread_fini(&d->thread);
    pthread_mutex_destroy(&d->store);
    arena_fini(&d->arena);
    xfree(d);
}
