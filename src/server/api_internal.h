/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What the files of the API share: one request on its way (api_call), the table of routes, and the
 * parts of struct api that outlive a request. */

#include "base/hash.h"
#include "base/list.h"
#include "base/log.h"
#include "records/api.h"
#include "server/api.h"
#include "server/event.h"

#include <stdatomic.h>

struct api_archives;
struct api_console;
struct api_events;
struct api_logs;
struct api_polls;
struct api_binary;
struct api_clusters;
struct api_buyer;
struct api_delivery;
struct api_kept;

/* Of a histogram of microseconds: powers of two from 64 µs to about 8 s, and the rest. */
#define API_BUCKETS 18
struct api_histogram {
    _Atomic uint64_t buckets[API_BUCKETS + 1], sum_us;
};

struct api {
    struct core *core;
    struct http_server *http;
    struct api_options options;
    struct id_key ids;
    char session_cookie[40]; /* its name */
    struct prng random; /* loop thread alone */
    bool stopping;      /* likewise */
    time_ms prune_at;   /* likewise; monotonic */
    struct api_archives *archives;
    struct api_console *console;
    struct api_events *events;
    struct api_logs *logs;
    struct api_polls *polls;
    struct api_binary *binary;
    struct api_clusters *clusters;
    struct api_buyer *buyer;
    struct api_delivery *delivery;
    struct api_kept *kept;
    struct api_histogram commands; /* from the request to its durable answer */
    _Atomic uint64_t kept_reads;   /* answered on the loop thread from what is kept */
    _Atomic time_ms posted_at,
        gap_at; /* last posting of prices, last certified gap; 0 = none yet */
};

/* Of an order that names an address, where the server has no SMTP server. */
#define MAIL_NOT_SENT "no mail goes out: this server was started without --smtp"

/* ---- one request ---- */

struct api_call;
typedef void api_handle(struct api_call *call);
typedef void api_read(struct api_call *call, const struct core_view *view);
typedef void api_then(struct api_call *call, const struct core_answer *answer);

/* Lives in its request's arena and dies with the answer. One thread has it at a time. */
struct api_call {
    struct api *api;
    struct http_request *request;
    const struct api_route *route;
    struct core_identity who;
    bool mithril;          /* it came by /v2: errors have the form of that API */
    struct str name;             /* what stands in the pattern's {…} */
    void *input;                 /* of route->input, checked by its record */
    void *own;                   /* the handler's */
    int64_t begun_us;            /* monotonic */
    struct http_pair headers[6]; /* of the answer */
    size_t header_count;
    uint64_t after;
    enum { ON_LOOP, ON_READER, ON_WRITER } place; /* which thread has it */
    uint64_t seq;                                 /* journal number that its answer includes */
    struct http_batch *batch;                     /* ON_WRITER */
    struct str kept_key;                          /* of its answer, where route->kept; else empty */
    struct core_call push;
    struct core_read query;
    api_read *run;
    api_then *then;
};

/* Runs on a reader's thread, and must answer or go on (call_push). */
void call_query(struct api_call *call, api_read *run);
/* The commands live in the request's arena. `then` is called on the writer's thread where they were
 * taken; else the call is answered 503. */
void call_push(struct api_call *call, struct engine_command *commands, size_t count,
               api_then *then);

/* ---- answers: each ends the call ---- */

/* Puts a header on the answer to come; the value lives in the request's arena or for good. */
void call_header(struct api_call *call, const char *name, struct str value);
void call_respond(struct api_call *call, struct http_response response);
void call_answer(struct api_call *call, int status, const struct record *record, const void *value);
/* 200 with `size` bytes of the file, which is closed. */
void call_respond_file(struct api_call *call, int file, uint64_t size);
/* The code is the status's; field may be NULL. */
void call_refuse(struct api_call *call, int status, const char *field, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
/* err->text is `field: what is wrong`, or without a field. */
void call_refuse_error(struct api_call *call, int status, const struct error *err);
/* Whatever is asked for and not there, or not the caller's: one answer. */
void call_not_found(struct api_call *call, const char *what);
/* An outcome that is not OK. */
void call_refuse_outcome(struct api_call *call, const struct engine *e,
                         const struct engine_outcome *outcome);
/* The same in an error: returns the status. For outcomes of dry runs. */
int outcome_error(const struct engine *e, const struct engine_outcome *outcome, struct error *err);
/* Answers a request of which no call was made. */
void refuse_request(struct http_request *r, int status, const char *field, const char *message);

/* ---- what a request says ---- */

struct arena *call_arena(struct api_call *call);
void *call_alloc(struct api_call *call, size_t size);
struct str call_text(struct api_call *call, const char *format, ...)
    __attribute__((format(printf, 2, 3), nonnull(2)));
struct str call_id(struct api_call *call, const char *prefix, uint64_t id);
/* Empty for id 0. */
struct str arena_id(struct arena *arena, struct id_key ids, const char *prefix, uint64_t id);
/* False: it is not a number within the range, and the call was refused. */
bool call_number(struct api_call *call, const char *parameter, int64_t *value, int64_t least,
                 int64_t most);
/* Whether the caller may see what belongs to this project. */
bool call_sees(const struct api_call *call, engine_id project);
/* Fleet, keys and the like: operator and above. */
bool call_operates(const struct api_call *call);
/* ?project= by name or id, 0 = all, bound to the caller's own. False: refused. */
bool call_project(struct api_call *call, engine_id *ret);
/* The id in the path; 0: it is none. */
engine_id call_workload_id(const struct api_call *call);
/* The workload in the path, where it stands in the state and the caller may see it; NULL else. */
const struct engine_workload *call_workload(const struct api_call *call, const struct engine *e);
/* A page into the request's arena. False: refused with 503, the log says why. */
bool view_read(struct api_call *call, const struct core_view *view, const struct table_query *query,
               struct table_page *ret);
/* "SEQ-POSITION"; the position may be left out. */
bool position_parse(struct str text, struct table_position *ret);
int position_compare(struct table_position a, struct table_position b);

/* ---- routes (api_route.c) ---- */

struct api_route {
    enum http_method method;
    const char *pattern; /* "/v1/workloads/{id}/why"; at most one {…} */
    unsigned roles;      /* bits 1 << enum engine_role; 0 = no key is asked for */
    const struct record *input, *output;
    const char *query; /* names of parameters (api_route.c has their docs), separated by spaces */
    const char *summary;
    api_handle *handle;                   /* on the loop thread; this or `read` */
    api_read *read;                       /* on a reader's thread */
    bool (*admit)(struct api_call *call); /* before a raw body arrives; false: refused */
    const char *takes,
        *gives;  /* media types where they are not JSON alone; then the handler decodes */
    int status;  /* of success; 0 = 200 */
    bool tables; /* they are to have followed what the state includes */
    bool kept;   /* a success depends on the state, the caller's project and role, the path and the query alone: on no
                  * clock, no table, no other property of the key (api_kept.h) */
};
/* The native API, and that of Mithril under /v2 (mithril_route.c). */
extern const struct api_route api_routes[];
extern const size_t api_route_count;
extern const struct api_route mithril_routes[];
extern const size_t mithril_route_count;
bool path_is_mithril(struct str path);

struct api_parameter {
    const char *name, *type, *doc; /* type: string or integer */
};
const struct api_parameter *api_parameter(struct str name);
/* NULL: no such path (*ret_path false) or not with this method. */
const struct api_route *route_find(const struct http_request *r, struct str *ret_name,
                                   bool *ret_path);
bool route_takes_parameter(const struct api_route *route, struct str name);

/* Host, Origin, route and key (api_access.c). NULL: the request was answered. */
struct api_call *call_open(struct api *a, struct http_request *r);

/* ---- the parts ---- */

int api_archives_new(struct api_archives **ret, struct api *a, struct error *err);
void api_archives_free(struct api_archives *s);
/* Whether it was uploaded for this project or for all; counts as used now. */
bool api_archive_use(struct api_archives *s, engine_id project, struct str sha256);
/* Removes what no live workload names and nobody used for a day. */
void api_archives_prune(struct api_archives *s);

void api_binary_new(struct api_binary **ret);
void api_binary_free(struct api_binary *s);
/* Reads and digests the executable, once; may take a while. */
int api_binary_load(struct api_binary *b, struct error *err);
/* In hexadecimal, once it is loaded. */
const char *api_binary_sha256(const struct api_binary *b);

void api_console_new(struct api_console **ret, struct api *a);
void api_console_free(struct api_console *s);

void api_events_new(struct api_events **ret, struct api *a);
void api_events_commit(struct api_events *s, const struct core_commit *commit);
void api_events_tick(struct api_events *s);
void api_events_stop(struct api_events *s);
void api_events_free(struct api_events *s);

int api_logs_new(struct api_logs **ret, struct api *a, struct error *err);
void api_logs_commit(struct api_logs *s, const struct core_commit *commit);
void api_logs_tick(struct api_logs *s);
void api_logs_stop(struct api_logs *s);
void api_logs_free(struct api_logs *s);
const char *api_logs_folder(const struct api_logs *s);
/* Deletes the logs of ended work to which nobody wrote for 30 days; on a reader's thread. */
void api_logs_prune(struct api *a);

void api_polls_new(struct api_polls **ret, struct api *a);
void api_polls_commit(struct api_polls *s, const struct core_commit *commit);
void api_polls_tick(struct api_polls *s);
void api_polls_stop(struct api_polls *s);
void api_polls_free(struct api_polls *s);
size_t api_polls_held(struct api_polls *s);
size_t api_events_open(struct api_events *s);

/* ---- from the state to records ---- */

struct render {
    const struct engine *engine;
    struct id_key ids;
    struct arena *arena; /* the record's texts and lists */
    time_ms now;
    struct str region_names; /* "ZONE=NAME,…" */
};
struct render call_render(struct api_call *call, const struct core_view *view);
struct render answer_render(struct api_call *call, const struct core_answer *answer);
/* What runs on a node, for its agent: replicas alone. */
void render_desired(const struct render *r, const struct engine_node *node,
                    struct record_list *ret);
/* A workload in the state, without placements, steps and request. */
void render_workload(const struct render *r, const struct engine_workload *w,
                     struct api_workload *ret);
/* NULL: of another attempt. `w` may be NULL. */
const struct engine_replica *replica_of(const struct engine_workload *w,
                                        const struct engine_replica_ref *ref);
struct str render_project(const struct render *r, engine_id project);
struct record_list render_gpus(const struct render *r, uint64_t mask);
struct agent_amounts render_amounts(const struct market_amounts *amounts);
/* "$0.04000" */
void money_append(struct buf *out, udollar amount);
/* False: no such pool; *ret is zero then. */
bool pool_find(const struct engine *e, market_id pool, struct market_pool_view *ret);

/* A command that makes a key of this role, whose text is in call->own (heap of the request);
 * project, principal and kind are the caller's to fill. valid 0 = for good. */
struct engine_command *key_command(struct api_call *call, enum engine_role role, time_ms valid);
/* The engine's command from what an agent found. */
void node_command(struct api_call *call, const struct agent_facts *facts,
                  struct engine_command *ret);

void histogram_add(struct api_histogram *h, int64_t us);
