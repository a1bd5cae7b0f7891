/* SPDX-License-Identifier: Apache-2.0 */
/* What is reserved of the fleet before the trace begins: for the market alone, baselines have no such thing. */
#include "sim/csv.h"
#include "sim/experiment.h"
#include "sim/input.h"

#include "base/memory.h"

#include <errno.h>

#define NODES_MAX 100000
#define RESERVATIONS_MAX 10000
#define SPAN_MAX ((int64_t)366 * 24 * HOUR_MS)

enum { TENANT, NAME, NODES, GPUS, CPUS, FROM, TO, LIMIT, KEEP_IDLE };
static const struct csv_column columns[] = {
    [TENANT] = {"tenant|project|vc", false},
    [NAME] = {"name", false},
    [NODES] = {"nodes|replicas", false},
    [GPUS] = {"gpus", false},
    [CPUS] = {"cpus", true},
    [FROM] = {"from", true},
    [TO] = {"to", false},
    [LIMIT] = {"limit", true},
    [KEEP_IDLE] = {"keep_idle", true},
};

static int row_read(const struct csv *c, struct sim_reservation *ret, struct error *err)
{
    struct csv_range span = {1000, 0, SPAN_MAX}, money = {1000000, 0, (int64_t)1000000 * 1000000};
    int64_t nodes = 1, gpus = 0;
    *ret = (struct sim_reservation){.tenant = c->fields[TENANT], .name = c->fields[NAME], .limit = -1};
    int status = csv_number(c, NODES, (struct csv_range){1, 1, NODES_MAX}, &nodes, err);
    if (status == 0)
        status = csv_number(c, GPUS, (struct csv_range){1, 1, MARKET_NODE_GPUS_MAX}, &gpus, err);
    if (status == 0)
        status = csv_number_given(c, CPUS, (struct csv_range){1000, 0, (int64_t)1 << 31}, &ret->amounts.core_milli, err);
    if (status == 0)
        status = csv_number_given(c, FROM, span, &ret->from, err);
    if (status == 0)
        status = csv_number(c, TO, span, &ret->to, err);
    if (status == 0)
        status = csv_number_given(c, LIMIT, money, &ret->limit, err);
    ret->nodes = (uint32_t)nodes;
    ret->amounts.gpu_milli = gpus * 1000;
    ret->keep_idle = str_is(c->fields[KEEP_IDLE], "1") || str_is(c->fields[KEEP_IDLE], "true");
    if (status == 0 && (ret->to <= ret->from || ret->tenant.size == 0 || ret->name.size == 0))
        return csv_fail(c, err, "tenant, name, to: must be given, and to later than from");
    return status;
}

int experiment_parse_reservations(struct experiment *x, const char *file, struct buf *text, struct error *err)
{
    struct csv_form form = {columns, ARRAY_COUNT(columns)};
    struct csv c;
    int status = csv_open(&c, file, text, &form, err);
    while (status == 0 && (status = csv_next(&c, err)) == 1) {
        struct sim_reservation r;
        status = row_read(&c, &r, err);
        if (status == 0 && x->reservation_count == RESERVATIONS_MAX)
            return csv_fail(&c, err, "more than %d reservations", RESERVATIONS_MAX);
        if (status)
            return status;
        r.tenant = arena_str(&x->jobs.texts, r.tenant);
        r.name = arena_str(&x->jobs.texts, r.name);
        ARRAY_RESERVE(x->reservations, x->reservation_count, x->reservation_capacity);
        x->reservations[x->reservation_count++] = r;
    }
    return status;
}

int experiment_reservations(struct experiment *x, const struct sim_options *o, struct error *err)
{
    _cleanup_buf_ struct buf text = BUF_INIT(INPUT_LIMIT);
    if (strcmp(o->policy, "market") != 0 || o->compare[0])
        return error_set(err, -EINVAL, "--reservations: only the market has them");
    int status = input_read(o->reservations, &text, err);
    return status ? status : experiment_parse_reservations(x, o->reservations, &text, err);
}
