/* SPDX-License-Identifier: Apache-2.0 */
/* Submits and changes of workloads. */
#include "server/api_route.h"
#include "server/api_instance.h"
#include "server/api_submit.h"

#include "base/hash.h"
#include "records/journal_codec.h"
#include "records/task.h"
#include "wire/record.h"

#include <errno.h>

#define DEFAULT_PROJECT 1

static bool is_yaml(const struct http_request *r)
{
    struct str type = http_request_header(r, "Content-Type");
    type = str_trim(str_cut(&type, ';'));
    return str_is(type, "application/yaml") || str_is(type, "application/x-yaml") ||
           str_is(type, "text/yaml");
}

static int decode_task(struct api_call *call, bool quote, struct workload_request *ret,
                       struct error *err)
{
    struct task_file task;
    int r = task_parse(call->request->body, call_arena(call), &task, err);
    if (r == 0 && !quote)
        r = task_check(&task, err);
    *ret = task.request;
    return r;
}

/* A price needs no files. */
static void forget_files(struct workload_request *request)
{
    request->archive = request->workdir = (struct str){0};
    request->mounts = (struct record_list){0};
}

static int decode_request(struct api_call *call, bool quote, struct workload_request *ret,
                          struct error *err)
{
    struct str body = call->request->body;
    int r = is_yaml(call->request)
                ? decode_task(call, quote, ret, err)
                : record_from_json(&workload_request_record, body, call_arena(call), ret, err);
    if (r == 0 && quote)
        forget_files(ret);
    return r < 0 ? r : workload_check(ret, err);
}

/* 0 = refused: there is none, or it is not the caller's. */
static engine_id project_of(struct api_call *call, const struct workload_request *request)
{
    if (!request->project.size)
        return call->who.project ? call->who.project : DEFAULT_PROJECT;
    engine_id project = core_project(call->api->core, request->project);
    if (project && call_sees(call, project))
        return project;
    call_refuse(call, 404, "project", "no such project");
    return 0;
}

static struct str pack_request(struct api_call *call, const struct workload_request *request)
{
    _cleanup_buf_ struct buf packed = BUF_INIT(BUF_LIMIT_DEFAULT);
    (void)!buf_reserve(&packed, call->request->body.size); /* about that much: at once, not by doubling */
    record_pack(&workload_request_record, request, &packed);
    return arena_str(call_arena(call), buf_str(&packed));
}

bool call_submit(struct api_call *call, bool quote, struct engine_submit *ret)
{
    struct workload_request *request = call_alloc(call, sizeof *request);
    struct error err = {0};
    if (decode_request(call, quote, request, &err) < 0 ||
        journal_submit_from_request(request, call_arena(call), ret, &err) < 0) {
        call_refuse_error(call, 400, &err);
        return false;
    }
    ret->project = project_of(call, request);
    if (ret->project == 0)
        return false;
    if (request->kind == WORKLOAD_INSTANCE)
        call->own = request; /* what it names is looked up in the state */
    if (request->archive.size &&
        !api_archive_use(call->api->archives, ret->project, request->archive)) {
        call_refuse(call, 400, "archive", "it was not uploaded; PUT /v1/archives/%.*s first",
                    STR_ARGS(request->archive));
        return false;
    }
    ret->key = call->who.key;
    ret->request = pack_request(call, request);
    return true;
}

/* ---- submit ---- */

static uint64_t hash_of_body(const struct http_request *r)
{
    struct hash_key key = {0x7465737365726131, is_yaml(r)};
    return siphash(key, r->body.data, r->body.size);
}

static bool name_request(struct api_call *call, struct engine_submit *submit)
{
    struct str key = http_request_header(call->request, "Idempotency-Key");
    if (key.size > ENGINE_IDEMPOTENCY_MAX || (key.data && key.size == 0)) {
        call_refuse(call, 400, "Idempotency-Key", "%zu letters, allowed are 1 to %d", key.size,
                    ENGINE_IDEMPOTENCY_MAX);
        return false;
    }
    submit->idempotency = key;
    submit->body_hash = key.size ? hash_of_body(call->request) : 0;
    submit->request_key = key.size ? hash_bytes(key.data, key.size) : prng_next(&call->api->random);
    return true;
}

static void answer_created(struct api_call *call, struct api_created *created)
{
    created->seq = (int64_t)call->seq;
    call_answer(call, created->repeated ? 200 : 201, &api_created_record, created);
}

/* A repeated submit whose workload has left the state: the tables know how it ended. */
static void submit_past(struct api_call *call, const struct core_view *view)
{
    engine_id *id = call->own;
    struct api_created created = {.id = call_id(call, "work", *id), .repeated = true};
    struct table_page page;
    if (!view_read(call, view, &(struct table_query){.table = TABLE_WORKLOAD, .id = *id}, &page))
        return;
    if (page.count)
        created.state = ((const struct table_workload *)page.rows)[0].state;
    answer_created(call, &created);
}

static void submit_then(struct api_call *call, const struct core_answer *answer)
{
    const struct engine_outcome *outcome = &answer->outcomes[0];
    if (outcome->code != ENGINE_OK) {
        call_refuse_outcome(call, answer->engine, outcome);
        return;
    }
    const struct engine_workload *w = engine_workload(answer->engine, outcome->id);
    if (!w) {
        engine_id *id = call->own = call_alloc(call, sizeof *id);
        *id = outcome->id;
        call_query(call, submit_past);
        return;
    }
    struct id_text id = id_format(call->api->ids, "work", w->id);
    struct api_created created = {.id = str_from(id.text),
                                  .state = str_from(workload_state_name(w->state)),
                                  .repeated = outcome->repeated};
    answer_created(call, &created);
}

bool submit_complete(struct api_call *call, const struct core_view *view, struct workload_request *request,
                     struct engine_submit *submit)
{
    struct render r = call_render(call, view);
    struct error err = {0};
    if (instance_complete(&r, submit->project, request, &err) < 0 ||
        journal_submit_from_request(request, call_arena(call), submit, &err) < 0) {
        call_refuse_error(call, 400, &err);
        return false;
    }
    submit->request = pack_request(call, request);
    return true;
}

struct instance_order {
    struct workload_request *request;
    struct engine_command *command;
};

static void submit_instance(struct api_call *call, const struct core_view *view)
{
    struct instance_order *order = call->own;
    if (submit_complete(call, view, order->request, &order->command->submit))
        call_push(call, order->command, 1, submit_then);
}

void route_workload_submit(struct api_call *call)
{
    struct engine_command *command = call_alloc(call, sizeof *command);
    command->type = ENGINE_SUBMIT;
    if (!call_submit(call, false, &command->submit) || !name_request(call, &command->submit))
        return;
    if (!command->submit.instance) {
        call_push(call, command, 1, submit_then);
        return;
    }
    struct instance_order *order = call_alloc(call, sizeof *order);
    *order = (struct instance_order){call->own, command};
    call->own = order;
    call_query(call, submit_instance);
}

/* ---- changes ---- */

static void change_then(struct api_call *call, const struct core_answer *answer)
{
    if (answer->outcomes[0].code != ENGINE_OK) {
        call_refuse_outcome(call, answer->engine, &answer->outcomes[0]);
        return;
    }
    const struct engine_workload *w = call_workload(call, answer->engine);
    struct api_changed changed = {.seq = (int64_t)answer->seq,
                                  .state = str_from(w ? workload_state_name(w->state) : NULL)};
    call_answer(call, 200, &api_changed_record, &changed);
}

/* Refuses what is not there, and what is past. NULL: the call was answered. */
static struct engine_command *change_command(struct api_call *call, const struct core_view *view)
{
    const struct engine_workload *w = call_workload(call, view->engine);
    const struct table_workload *past = NULL;
    if (!w && !call_past_workload(call, view, &past))
        return NULL;
    if (!w || workload_state_ended(w->state)) {
        call_refuse(call, 409, NULL, "it is %.*s already",
                    STR_ARGS(w ? str_from(workload_state_name(w->state)) : past->state));
        return NULL;
    }
    struct engine_command *command = call_alloc(call, sizeof *command);
    command->workload.workload = w->id;
    return command;
}

void route_workload_bid(struct api_call *call, const struct core_view *view)
{
    const struct api_bid_change *change = call->input;
    struct engine_command *command = change_command(call, view);
    if (!command)
        return;
    command->type = ENGINE_BID_CHANGE;
    command->workload.limit = change->limit_udollar_per_hour;
    call_push(call, command, 1, change_then);
}

static void pause_set(struct api_call *call, const struct core_view *view, bool paused)
{
    struct engine_command *command = change_command(call, view);
    if (!command)
        return;
    command->type = ENGINE_PAUSE;
    command->workload.paused = paused;
    call_push(call, command, 1, change_then);
}

void route_workload_pause(struct api_call *call, const struct core_view *view)
{
    pause_set(call, view, true);
}

void route_workload_resume(struct api_call *call, const struct core_view *view)
{
    pause_set(call, view, false);
}

void route_workload_cancel(struct api_call *call, const struct core_view *view)
{
    struct engine_command *command = change_command(call, view);
    if (!command)
        return;
    command->type = ENGINE_CANCEL;
    call_push(call, command, 1, change_then);
}
