/* SPDX-License-Identifier: Apache-2.0 */
/* The event stream. The newest events stand in a ring in memory, older ones in the tables. A stream
 * first catches up, on a reader's thread (tables, then ring), and is live from then on: the writer
 * hands it each group's events. Its position is the last event that it was shown or that was not
 * for it. */
#include "server/api_pump.h"
#include "server/api_route.h"

#include "base/clock.h"
#include "net/event_stream.h"
#include "wire/record.h"

#include <stdio.h>

#define RING 8192
#define PIECE 256 /* events at a time while it catches up */
#define TABLE_WAIT_MS 10000
#define HEARTBEAT_MS 15000
#define CHECK_KEYS_MS 5000

struct ring_event {
    struct table_position position;
    struct engine_event event;
    char *text; /* heap, of event.text */
};

struct api_events {
    struct api *api;
    struct pumps streams; /* struct event_reader */
    /* under the streams' lock: */
    struct ring_event *ring;
    uint64_t ring_end; /* events that ever were in it; the last RING of them still are */
    struct table_position ring_after; /* everything later is in the ring */
    struct arena arena;
    time_ms keys_checked;
    time_ms heartbeat; /* monotonic; loop thread */
};

/* What a stream wants, and may see. */
struct event_filter {
    engine_id key, bound, project, workload; /* bound: the key's project; 0 = any */
    uint64_t types;                          /* bits of enum engine_event_type */
    bool operates, admin;
};

struct event_reader {
    struct pump pump;
    struct api_events *s;
    struct event_filter filter;
    struct table_position position;
    bool live;       /* under the lock */
    bool wants_past; /* checks first whether its position is still kept */
    time_ms
        waits_since; /* for the tables to come to where the ring begins, monotonic; 0 = does not */
};

/* ---- who sees what ---- */

static bool type_public(enum engine_event_type type)
{
    return type == ENGINE_EVENT_PRICE_POSTED || type == ENGINE_EVENT_GAP ||
           type == ENGINE_EVENT_SETTING_CHANGED || type == ENGINE_EVENT_HEADROOM_POSTED;
}

static bool may_see(const struct event_filter *f, enum engine_event_type type, engine_id project)
{
    if (type == ENGINE_EVENT_KEY_CREATED || type == ENGINE_EVENT_KEY_REVOKED)
        return f->admin;
    if (type == ENGINE_EVENT_NODE_REGISTERED || type == ENGINE_EVENT_NODE_CHANGED ||
        type == ENGINE_EVENT_NODE_LOST)
        return f->operates;
    return f->bound == 0 || type_public(type) || project == f->bound;
}

static bool wants(const struct event_filter *f, enum engine_event_type type, engine_id project,
                  engine_id workload)
{
    return (f->types >> type & 1) && (!f->project || f->project == project) &&
           (!f->workload || f->workload == workload) && may_see(f, type, project);
}

/* ---- writing ---- */

static void format_position(struct table_position position, char ret[48])
{
    snprintf(ret, 48, "%llu-%llu", (unsigned long long)position.seq,
             (unsigned long long)position.position);
}

static void format(struct buf *out, struct table_position position, struct str type,
                   struct str json)
{
    char id[48];
    format_position(position, id);
    event_stream_format(out, str_from(id), type, json);
}

static void format_event(const struct render *r, const struct engine_event *event,
                         struct table_position position, struct buf *out)
{
    struct api_event record;
    _cleanup_buf_ struct buf json = BUF_INIT(1 << 20);
    event_render(r->engine, r->ids, event, r->arena, &record);
    record_to_json(&api_event_record, &record, AUDIENCE_PEOPLE, &json);
    format(out, position, str_from(event_type_name(event->type)), buf_str(&json));
}

/* ---- live: on the writer's thread, under the lock ---- */

static void ring_add(struct api_events *s, const struct engine_event *event,
                     struct table_position position)
{
    struct ring_event *slot = &s->ring[s->ring_end % RING];
    if (s->ring_end >= RING)
        s->ring_after = slot->position;
    xfree(slot->text);
    *slot = (struct ring_event){.position = position, .event = *event};
    if (event->text.size) {
        slot->text = str_dup(event->text);
        slot->event.text.data = slot->text;
    }
    s->ring_end++;
}

/* One event to every live stream that wants it, rendered once. */
static void hand_out(struct api_events *s, const struct core_commit *commit,
                     const struct engine_event *event, struct table_position position)
{
    _cleanup_buf_ struct buf text = BUF_INIT(1 << 20);
    LIST_EACH(item, &s->streams.all)
    {
        struct event_reader *reader = CONTAINER_OF(item, struct event_reader, pump.link);
        if (!reader->live || !wants(&reader->filter, event->type, event->project, event->workload))
            continue;
        if (text.size == 0) {
            struct render render = {commit->engine, s->api->ids, &s->arena, commit->now};
            format_event(&render, event, position, &text);
        }
        http_batch_write(commit->batch, reader->pump.stream, buf_str(&text));
    }
}

static bool key_works(const struct engine *e, engine_id id, time_ms now)
{
    const struct engine_key *key = engine_key(e, id);
    return key && !key->revoked && (key->expires == 0 || key->expires > now);
}

/* A stream ends with its key. */
static void check_keys(struct api_events *s, const struct core_commit *commit, bool revoked)
{
    if (!revoked && commit->now - s->keys_checked < CHECK_KEYS_MS)
        return;
    s->keys_checked = commit->now;
    LIST_EACH_SAFE(item, &s->streams.all)
    {
        struct event_reader *reader = CONTAINER_OF(item, struct event_reader, pump.link);
        if (!key_works(commit->engine, reader->filter.key, commit->now))
            pump_close(&reader->pump);
    }
}

void api_events_commit(struct api_events *s, const struct core_commit *commit)
{
    bool revoked = false;
    pthread_mutex_lock(&s->streams.lock);
    for (size_t i = 0; i < commit->result->event_count; i++) {
        const struct engine_event *event = &commit->result->events[i];
        struct table_position position = {commit->seq_last, i};
        ring_add(s, event, position);
        revoked |= event->type == ENGINE_EVENT_KEY_REVOKED;
        if (s->streams.count)
            hand_out(s, commit, event, position);
    }
    if (s->streams.count)
        check_keys(s, commit, revoked);
    arena_clear(&s->arena);
    pthread_mutex_unlock(&s->streams.lock);
}

/* ---- catching up: on a reader's thread ---- */

static struct table_position ring_last(const struct api_events *s)
{
    return s->ring_end ? s->ring[(s->ring_end - 1) % RING].position : s->ring_after;
}

/* The first place in the ring that is later than the position. */
static uint64_t ring_find(const struct api_events *s, struct table_position position)
{
    uint64_t low = s->ring_end > RING ? s->ring_end - RING : 0, high = s->ring_end;
    while (low < high) {
        uint64_t middle = low + (high - low) / 2;
        if (position_compare(s->ring[middle % RING].position, position) > 0)
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

/* Appends up to PIECE events; becomes live where there are no more. */
static bool catch_up_from_ring(struct event_reader *reader, const struct render *r, struct buf *out)
{
    struct api_events *s = reader->s;
    pthread_mutex_lock(&s->streams.lock);
    uint64_t at = ring_find(s, reader->position);
    for (size_t i = 0; i < PIECE && at < s->ring_end; i++, at++) {
        const struct ring_event *slot = &s->ring[at % RING];
        if (wants(&reader->filter, slot->event.type, slot->event.project, slot->event.workload))
            format_event(r, &slot->event, slot->position, out);
        reader->position = slot->position;
    }
    /* What was appended now must go before what the writer hands out: it waits until the next
     * round. */
    reader->live = at == s->ring_end && out->size == 0;
    bool live = reader->live;
    pthread_mutex_unlock(&s->streams.lock);
    return live;
}

static bool type_named(struct str name, enum engine_event_type *ret)
{
    for (int type = 0; type < ENGINE_EVENT_TYPE_COUNT; type++)
        if (str_is(name, event_type_name((enum engine_event_type)type))) {
            *ret = (enum engine_event_type)type;
            return true;
        }
    return false;
}

static bool wants_row(const struct event_filter *f, const struct engine *e,
                      const struct table_event *row)
{
    enum engine_event_type type;
    const struct engine_project *project =
        row->project.size ? engine_project_named(e, row->project) : NULL;
    return type_named(row->type, &type) && wants(f, type, project ? project->id : 0, row->workload);
}

static struct table_position ring_begin(struct event_reader *reader)
{
    pthread_mutex_lock(&reader->s->streams.lock);
    struct table_position begin = reader->s->ring_after;
    pthread_mutex_unlock(&reader->s->streams.lock);
    return begin;
}

static bool before_ring(struct event_reader *reader)
{
    return position_compare(reader->position, ring_begin(reader)) < 0;
}

/* How far the tables are; what cannot be read is passed over, and said by the caller's reads. */
static bool tables_reach(const struct core_view *view, struct table_position begin)
{
    struct table_position position;
    struct error err = {0};
    return tables_read_position(view->tables, &position, &err) < 0 || position.seq >= begin.seq;
}

static bool waited_long(struct event_reader *reader)
{
    time_ms now = clock_monotonic_ms();
    if (!reader->waits_since)
        reader->waits_since = now;
    return now - reader->waits_since > TABLE_WAIT_MS;
}

static void read_rows(struct event_reader *reader, const struct core_view *view,
                      struct table_page *page, struct arena *arena)
{
    struct error err = {0};
    struct table_query query = {.table = TABLE_EVENT, .after = reader->position, .limit = PIECE};
    if (tables_read(view->tables, &query, arena, page, &err) < 0) {
        log_error("reading the tables: %s", err.text);
        *page = (struct table_page){0};
    }
}

static void reset(struct event_reader *reader, struct buf *out);

/* False: nothing to do for the moment, the tables are behind. */
static bool catch_up_from_tables(struct event_reader *reader, const struct core_view *view,
                                 struct buf *out)
{
    struct arena arena = {0};
    struct table_page page;
    struct table_position begin =
        ring_begin(reader); /* first, so that nothing falls between the two */
    bool reached = tables_reach(view, begin);
    read_rows(reader, view, &page, &arena);
    const struct table_event *rows = page.rows;
    for (size_t i = 0; i < page.count; i++) {
        struct table_position position = {rows[i].seq, rows[i].position};
        if (wants_row(&reader->filter, view->engine, &rows[i]))
            format(out, position, rows[i].type, rows[i].json);
        reader->position = position;
    }
    bool some = page.count > 0;
    arena_fini(&arena);
    if (some)
        return true;
    if (reached)
        reader->position = position_compare(reader->position, begin) < 0 ? begin : reader->position;
    else if (waited_long(reader))
        reset(reader, out);
    else
        return false;
    return true;
}

/* The position is from before what is kept, or from another life of this server. */
static bool position_lost(struct event_reader *reader, const struct core_view *view)
{
    struct arena arena = {0};
    struct error err = {0};
    struct table_page page = {0};
    bool lost = false;
    if (reader->position.seq > view->seq)
        return true;
    if (reader->position.seq == 0 || !before_ring(reader))
        return false;
    struct table_query query = {.table = TABLE_EVENT, .limit = 1};
    if (tables_read(view->tables, &query, &arena, &page, &err) == 0 && page.count) {
        const struct table_event *oldest = page.rows;
        lost = position_compare(reader->position,
                                (struct table_position){oldest->seq, oldest->position}) < 0;
    }
    arena_fini(&arena);
    return lost;
}

static void reset(struct event_reader *reader, struct buf *out)
{
    pthread_mutex_lock(&reader->s->streams.lock);
    reader->position = ring_last(reader->s);
    pthread_mutex_unlock(&reader->s->streams.lock);
    if (reader->position.position == INT64_MAX)
        reader->position.position = 0;
    format(out, reader->position, STR("reset"),
           STR("{\"type\":\"reset\",\"text\":\"Some events after that id are not at hand; load "
               "anew.\"}"));
}

static bool catch_up(struct event_reader *reader, const struct core_view *view, struct buf *out)
{
    struct arena arena = {0};
    struct render render = {view->engine, reader->s->api->ids, &arena, view->now};
    bool more = true;
    if (reader->wants_past && position_lost(reader, view))
        reset(reader, out);
    else if (before_ring(reader))
        more = catch_up_from_tables(reader, view, out);
    else
        more = !catch_up_from_ring(reader, &render, out);
    reader->wants_past = false;
    arena_fini(&arena);
    return more;
}

static enum pump_result event_run(struct pump *p, const struct core_view *view)
{
    struct event_reader *reader = CONTAINER_OF(p, struct event_reader, pump);
    _cleanup_buf_ struct buf out = BUF_INIT(BUF_LIMIT_DEFAULT);
    for (bool more = !reader->live; more;) {
        if (http_stream_waiting(p->stream) > PUMP_WINDOW)
            return PUMP_FULL;
        buf_clear(&out);
        more = catch_up(reader, view, &out);
        if (out.size && http_stream_write(p->stream, buf_str(&out)) < 0)
            return PUMP_DONE;
    }
    return reader->live ? PUMP_IDLE
                        : PUMP_FULL; /* the tables are behind: try again at the next tick */
}

/* ---- the request ---- */

static void reader_free(struct pump *p)
{
    xfree(CONTAINER_OF(p, struct event_reader, pump));
}

static void refuse_type(struct api_call *call, struct str name)
{
    _cleanup_buf_ struct buf known = BUF_INIT(480);
    for (int type = 0; type < ENGINE_EVENT_TYPE_COUNT; type++)
        buf_printf(&known, " %s", event_type_name((enum engine_event_type)type));
    call_refuse(call, 400, "types", "\"%.*s\" is none, known are:%s", (int)MIN(name.size, 40),
                name.data, buf_text(&known));
}

static bool parse_types(struct api_call *call, uint64_t *ret)
{
    struct str rest = http_request_query(call->request, "types");
    *ret = rest.size ? 0 : UINT64_MAX;
    while (rest.size) {
        struct str name = str_cut(&rest, ',');
        enum engine_event_type type;
        if (!type_named(name, &type)) {
            refuse_type(call, name);
            return false;
        }
        *ret |= (uint64_t)1 << type;
    }
    return true;
}

/* What was given, by header or by parameter; else from now on. */
static bool parse_position(struct api_call *call, struct event_reader *reader)
{
    struct str text = http_request_header(call->request, "Last-Event-ID");
    if (!text.size)
        text = http_request_query(call->request, "after");
    reader->wants_past = text.size > 0;
    if (!text.size) {
        pthread_mutex_lock(&reader->s->streams.lock);
        reader->position = ring_last(reader->s);
        pthread_mutex_unlock(&reader->s->streams.lock);
        return true;
    }
    if (position_parse(text, &reader->position))
        return true;
    call_refuse(call, 400, "after", "not an id of an event, those are SEQ-POSITION");
    return false;
}

static bool parse_workload(struct api_call *call, engine_id *ret)
{
    struct str text = http_request_query(call->request, "workload");
    if (!text.size || id_parse(call->api->ids, "work", text, ret))
        return true;
    call_refuse(call, 404, "workload", "no such workload");
    return false;
}

static bool parse_filter(struct api_call *call, struct event_filter *ret)
{
    ret->key = call->who.key;
    ret->bound = call->who.project;
    ret->operates = call_operates(call);
    ret->admin = call->who.role == ROLE_ADMIN;
    struct str project = http_request_query(call->request, "project");
    if (!parse_types(call, &ret->types) || !parse_workload(call, &ret->workload))
        return false;
    return !project.size || call_project(call, &ret->project);
}

void route_event_stream(struct api_call *call)
{
    static const struct http_pair headers[] = {{{"Cache-Control", 13}, {"no-store", 8}},
                                               {{"X-Accel-Buffering", 17}, {"no", 2}}};
    struct event_reader *reader = xcalloc(1, sizeof *reader);
    reader->s = call->api->events;
    reader->pump.run = event_run;
    reader->pump.free = reader_free;
    if (!parse_filter(call, &reader->filter) || !parse_position(call, reader)) {
        xfree(reader);
        return;
    }
    if (call->request->method == HTTP_HEAD) { /* it asks whether it may: nothing follows */
        xfree(reader);
        call_respond(
            call, (struct http_response){.status = 200, .content_type = STR("text/event-stream")});
        return;
    }
    struct http_response head = {.status = 200,
                                 .content_type = STR("text/event-stream"),
                                 .headers = headers,
                                 .header_count = ARRAY_COUNT(headers),
                                 .body = STR("retry: 1000\n: hello\n\n")};
    pump_begin(&reader->s->streams, &reader->pump, call->request, &head);
}

/* ---- life ---- */

static void heartbeat(struct api_events *s)
{
    pthread_mutex_lock(&s->streams.lock);
    LIST_EACH(item, &s->streams.all)
    {
        struct event_reader *reader = CONTAINER_OF(item, struct event_reader, pump.link);
        if (reader->live)
            http_stream_write(reader->pump.stream, STR(":\n\n"));
    }
    pthread_mutex_unlock(&s->streams.lock);
}

void api_events_tick(struct api_events *s)
{
    time_ms now = clock_monotonic_ms();
    pumps_tick(&s->streams);
    if (now - s->heartbeat < HEARTBEAT_MS)
        return;
    s->heartbeat = now;
    heartbeat(s);
}

size_t api_events_open(struct api_events *s)
{
    pthread_mutex_lock(&s->streams.lock);
    size_t open = s->streams.count;
    pthread_mutex_unlock(&s->streams.lock);
    return open;
}

void api_events_stop(struct api_events *s)
{
    pumps_stop(&s->streams);
}

void api_events_new(struct api_events **ret, struct api *a)
{
    struct api_events *s = xcalloc(1, sizeof *s);
    s->api = a;
    s->ring = xcalloc(RING, sizeof *s->ring);
    s->ring_after = (struct table_position){core_durable_seq(a->core), INT64_MAX};
    pumps_init(&s->streams, a->core, a->http);
    *ret = s;
}

void api_events_free(struct api_events *s)
{
    if (!s)
        return;
    for (size_t i = 0; i < RING; i++)
        xfree(s->ring[i].text);
    xfree(s->ring);
    arena_fini(&s->arena);
    pumps_fini(&s->streams);
    xfree(s);
}
