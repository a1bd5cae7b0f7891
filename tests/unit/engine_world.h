/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* A small fleet that tells the engine what nodes and people would tell it. Each step is one batch;
 * after each, every invariant is walked. */
#include "base/buf.h"
#include "base/hash.h"
#include "base/memory.h"
#include "engine/engine.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
/* cmocka wants the four above first */
#include <cmocka.h>

struct world {
    struct engine *e;
    struct engine_result result;
    time_ms now;
    uint64_t requests;
};

static inline void world_apply(struct world *w, const struct engine_command *commands, size_t count)
{
    engine_apply(w->e, w->now, commands, count, &w->result);
    engine_check(w->e);
    assert_int_equal(w->result.outcome_count, count);
}

static inline struct engine_outcome apply_one(struct world *w, struct engine_command c)
{
    world_apply(w, &c, 1);
    return w->result.outcomes[0];
}

static inline void world_init(struct world *w)
{
    *w = (struct world){.e = engine_new(7), .now = 1000000};
}

static inline void world_fini(struct world *w)
{
    engine_free(w->e);
    engine_result_fini(&w->result);
}

static inline struct engine_command setting(int name, int64_t value)
{
    return (struct engine_command){.type = ENGINE_SETTING_SET, .setting = {name, value}};
}

/* ---- nodes ------------------------------------------------------------------------------------------- */

static inline struct engine_command facts(const char *name, const char *rack)
{
    struct engine_command c = {.type = ENGINE_NODE_REGISTER};
    c.node.name = str_from(name);
    c.node.boot = STR("boot-1");
    c.node.address = str_from(name);
    c.node.sku = STR("cpu-4");
    c.node.provider = STR("own");
    c.node.region = STR("here");
    c.node.zone = STR("a");
    c.node.fabric = STR("f");
    c.node.rack = str_from(rack);
    c.node.amounts = (struct market_amounts){0, 4000, 8192, 0};
    c.node.ask_present = true;
    c.node.ask = 40000;
    return c;
}

static inline engine_id node_add(struct world *w, const char *name, const char *rack)
{
    struct engine_outcome outcome = apply_one(w, facts(name, rack));
    assert_int_equal(outcome.code, ENGINE_OK);
    return outcome.id;
}

/* ---- workloads ------------------------------------------------------------------------------------------ */

struct want {
    uint32_t nodes;
    int64_t cores;
    udollar limit; /* 0: priority normal */
    bool firm;
    uint32_t retries;
    time_ms max_run;
    const char *key, *name;
    enum market_level level;
};

/* `choice` must outlive the command. */
static inline struct engine_command submit_of(struct world *w, const struct want *want, struct engine_choice *choice)
{
    *choice = (struct engine_choice){.sku = STR("cpu-4"), .amounts = {0, want->cores * 1000, 1024, 0}, .speed_milli = 1000};
    struct engine_command c = {.type = ENGINE_SUBMIT};
    c.submit = (struct engine_submit){.project = 1, .idempotency = str_from(want->key), .body_hash = 1, .request_key = ++w->requests,
        .name = str_from(want->name), .request = STR("request"), .nodes = want->nodes, .choices = choice, .choice_count = 1,
        .preemptible = !want->firm, .limit_present = want->limit != 0, .limit = want->limit, .priority = 1, .level = want->level,
        .notice = 1000, .max_run = want->max_run, .signal = 15, .retries = want->retries};
    return c;
}

static inline engine_id submit(struct world *w, struct want want)
{
    struct engine_choice choice;
    struct engine_outcome outcome = apply_one(w, submit_of(w, &want, &choice));
    assert_int_equal(outcome.code, ENGINE_OK);
    return outcome.id;
}

static inline const struct engine_workload *look(const struct world *w, engine_id id)
{
    const struct engine_workload *v = engine_workload(w->e, id);
    assert_non_null(v);
    return v;
}

static inline struct engine_command report_of(const struct world *w, enum engine_report_kind kind, engine_id id, uint32_t rank)
{
    const struct engine_workload *v = look(w, id);
    struct engine_command c = {.type = ENGINE_REPORT};
    c.report.kind = kind;
    c.report.workload = id;
    c.report.attempt = v->attempt;
    c.report.rank = rank;
    c.report.node = v->replicas[rank].node;
    c.report.at = w->now;
    return c;
}

static inline enum engine_code started(struct world *w, engine_id id, uint32_t rank)
{
    return apply_one(w, report_of(w, ENGINE_STARTED, id, rank)).code;
}

static inline enum engine_code ended(struct world *w, engine_id id, uint32_t rank, int64_t code)
{
    struct engine_command c = report_of(w, ENGINE_ENDED, id, rank);
    c.report.exit_code = code;
    c.report.last_lines = STR("the last line\n");
    return apply_one(w, c).code;
}

static inline void started_all(struct world *w, engine_id id)
{
    for (uint32_t i = 0; i < look(w, id)->replica_count; i++)
        assert_int_equal(started(w, id, i), ENGINE_OK);
}

static inline struct engine_outcome cancel(struct world *w, engine_id id)
{
    return apply_one(w, (struct engine_command){.type = ENGINE_CANCEL, .workload.workload = id});
}

static inline void tick(struct world *w)
{
    apply_one(w, (struct engine_command){.type = ENGINE_TICK});
}

static inline void wake(struct world *w)
{
    apply_one(w, (struct engine_command){.type = ENGINE_WAKE});
}

/* How many events of the last batch are of that type, and the last of them. */
static inline size_t events(const struct world *w, enum engine_event_type type, struct engine_event *ret)
{
    size_t count = 0;
    for (size_t i = 0; i < w->result.event_count; i++)
        if (w->result.events[i].type == type) {
            count++;
            if (ret)
                *ret = w->result.events[i];
        }
    return count;
}

static inline bool told(const struct world *w, engine_id node)
{
    for (size_t i = 0; i < w->result.node_count; i++)
        if (w->result.nodes[i] == node)
            return true;
    return false;
}
