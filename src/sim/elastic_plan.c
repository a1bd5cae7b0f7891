/* SPDX-License-Identifier: Apache-2.0 */
#include "sim/elastic_plan.h"

#include "base/memory.h"
#include "base/sort.h"

#define GUARD_MS ((time_ms)60000) /* time to be moved once */
#define WORTH 3                   /* restarts that a larger size must save */

void elastic_plan_fini(struct elastic_plan *p)
{
    xfree(p->steps);
    xfree(p->shares);
    xfree(p->kept);
    xfree(p->order);
    xfree(p->trial);
    *p = (struct elastic_plan){0};
}

static int deadline_compare(const void *x, const void *y, const void *context)
{
    const struct elastic *e = context;
    uint32_t a = *(const uint32_t *)x, b = *(const uint32_t *)y;
    int c = COMPARE(e->runs[a].job->deadline, e->runs[b].job->deadline);
    return c ? c : COMPARE(a, b);
}

static void step_insert(struct elastic_plan *p, size_t at, struct plan_step step)
{
    ARRAY_RESERVE(p->steps, p->count, p->capacity);
    memmove(&p->steps[at + 1], &p->steps[at], (p->count - at) * sizeof *p->steps);
    p->steps[at] = step;
    p->count++;
}

/* The size to use of `avail` GPUs, at most `most`: none that brings nothing. */
static uint32_t size_useful(const struct itp_job *j, uint32_t most, uint32_t avail)
{
    uint32_t size = most;
    if (avail == 0)
        return ELASTIC_NONE;
    while (1u << size > avail)
        size--;
    while (size > 0 && j->speed[size - 1] == j->speed[size])
        size--;
    return j->speed[size] ? size : ELASTIC_NONE;
}

/* Where a job is on its way through the steps. */
struct walk {
    const struct elastic_run *r;
    uint32_t size;
    bool started;
    time_ms ready;
    int64_t left;
};

/* Through one step [from, to); true: done, at w->ready. */
static bool walk_step(struct walk *w, uint32_t size, time_ms from, time_ms to)
{
    if (size != w->size && size != ELASTIC_NONE) {
        w->ready = from + elastic_overhead(size, w->started);
        w->started = true;
    }
    w->size = size;
    time_ms begin = MAX(from, w->ready);
    if (size == ELASTIC_NONE || begin >= to)
        return false;
    time_ms span = elastic_span(w->r->job, w->left, size);
    if (span <= to - begin) {
        w->ready = begin + span;
        return true;
    }
    w->left -= w->r->job->speed[size] * (to - begin);
    return false;
}

/* Whether the job meets its deadline with at most 2^most GPUs of what is left; how in p->trial. */
static bool plan_try(const struct elastic *e, struct elastic_plan *p, const struct elastic_run *r,
                     uint32_t most, time_ms *ret_end)
{
    time_ms deadline = r->job->deadline - p->guard;
    struct walk w = {
        .r = r, .size = r->size, .started = r->started, .ready = r->ready, .left = r->left};
    for (size_t i = 0; i < p->count && p->steps[i].from < deadline; i++) {
        time_ms to = i + 1 < p->count ? p->steps[i + 1].from : TIME_NEVER;
        uint32_t size = size_useful(r->job, most, e->gpus - p->steps[i].used);
        while (p->trial_capacity <= i)
            ARRAY_RESERVE(p->trial, p->trial_capacity, p->trial_capacity);
        p->trial[i] = size;
        if (!walk_step(&w, size, p->steps[i].from, to))
            continue;
        *ret_end = w.ready;
        return w.ready <= deadline;
    }
    return false;
}

/* Books what p->trial says, up to `end`. */
static void plan_book(struct elastic_plan *p, time_ms end)
{
    for (size_t i = 0; i < p->count && p->steps[i].from < end; i++) {
        if (p->trial[i] == ELASTIC_NONE)
            continue;
        if (i + 1 == p->count || p->steps[i + 1].from > end)
            step_insert(p, i + 1, (struct plan_step){end, p->steps[i].used});
        p->steps[i].used += 1u << p->trial[i];
    }
}

static bool plan_guarded(const struct elastic *e, struct elastic_plan *p, size_t place)
{
    const struct elastic_run *r = &e->runs[p->order[place]];
    for (uint32_t most = 0; most < ITP_SIZES && 1u << most <= e->gpus; most++) {
        time_ms end;
        if (most > 0 && r->job->speed[most] == r->job->speed[most - 1])
            continue;
        if (!plan_try(e, p, r, most, &end))
            continue;
        p->shares[place] = p->trial[0];
        plan_book(p, end);
        return true;
    }
    return false;
}

/* With time to spare for being moved once, if that can be had. */
static bool plan_job(const struct elastic *e, struct elastic_plan *p, size_t place)
{
    p->guard = GUARD_MS;
    if (plan_guarded(e, p, place))
        return true;
    p->guard = 0;
    return plan_guarded(e, p, place);
}

static void order_make(const struct elastic *e, struct elastic_plan *p)
{
    p->order_count = 0;
    for (size_t i = 0; i < e->active_count; i++) {
        ARRAY_RESERVE(p->order, p->order_count, p->order_capacity);
        p->order[p->order_count++] = e->active[i];
    }
    size_t capacity = p->share_capacity;
    while (capacity < p->order_count)
        ARRAY_RESERVE(p->shares, capacity, capacity);
    while (p->share_capacity < p->order_count)
        ARRAY_RESERVE(p->kept, p->share_capacity, p->share_capacity);
    sort(p->order, p->order_count, sizeof *p->order, deadline_compare, e);
}

bool elastic_plan_make(struct elastic *e, struct elastic_plan *p)
{
    p->count = 0;
    step_insert(p, 0, (struct plan_step){e->now, 0});
    order_make(e, p);
    bool all = true;
    for (size_t i = 0; i < p->order_count; i++) {
        struct elastic_run *r = &e->runs[p->order[i]];
        p->shares[i] = ELASTIC_NONE;
        p->kept[i] = !r->late && plan_job(e, p, i);
        all &= p->kept[i] || r->late;
    }
    return all;
}

void elastic_plan_give_up(struct elastic *e, const struct elastic_plan *p)
{
    for (size_t i = 0; i < p->order_count; i++) {
        struct elastic_run *r = &e->runs[p->order[i]];
        r->late |= !p->kept[i];
    }
}

int64_t elastic_plan_use(const struct elastic_plan *p, time_ms until)
{
    int64_t use = 0;
    for (size_t i = 0; i < p->count && p->steps[i].from < until; i++) {
        time_ms to = i + 1 < p->count ? MIN(p->steps[i + 1].from, until) : until;
        use += (to - p->steps[i].from) * p->steps[i].used;
    }
    return use;
}

/* ---- idle GPUs
 * ------------------------------------------------------------------------------------- */

static uint32_t size_gpus(uint32_t size)
{
    return size == ELASTIC_NONE ? 0 : 1u << size;
}

/* When the job would end if it went on at this size from now. */
static time_ms end_at(const struct elastic *e, const struct elastic_run *r, uint32_t size)
{
    if (size == ELASTIC_NONE)
        return TIME_NEVER / 4;
    time_ms ready =
        size == r->size ? MAX(e->now, r->ready) : e->now + elastic_overhead(size, r->started);
    return ready + elastic_span(r->job, r->left, size);
}

/* Speed gained by each GPU more, in millionths of the speed on one; 0 where it is not worth a
 * change. */
static int64_t gain(const struct elastic *e, const struct elastic_run *r, uint32_t size,
                    uint32_t next)
{
    const struct itp_job *j = r->job;
    int64_t now = size == ELASTIC_NONE ? 0 : j->speed[size], more = j->speed[next] - now;
    uint32_t stays = r->size != ELASTIC_NONE ? r->size : size;
    time_ms won = end_at(e, r, stays) - end_at(e, r, next);
    if (more <= 0 || (stays != ELASTIC_NONE && won <= WORTH * elastic_overhead(next, true)))
        return 0;
    return mul_div_floor(more, 1000000, MAX(j->speed[0], 1)) / (size_gpus(next) - size_gpus(size));
}

static uint32_t size_next(const struct elastic_run *r, uint32_t size)
{
    uint32_t next = size == ELASTIC_NONE ? 0 : size + 1;
    /* what runs at more than its share goes back there, or beyond */
    if (r->size != ELASTIC_NONE && next < r->size)
        next = r->size;
    return next;
}

static bool grow_one(struct elastic *e, struct elastic_plan *p, uint32_t *left)
{
    size_t best = SIZE_MAX;
    int64_t most = 0;
    for (size_t i = 0; i < p->order_count; i++) {
        struct elastic_run *r = &e->runs[p->order[i]];
        uint32_t next = size_next(r, r->target);
        if (next >= ITP_SIZES || size_gpus(next) - size_gpus(r->target) > *left)
            continue;
        int64_t here = gain(e, r, r->target, next);
        if (here > most) {
            most = here;
            best = i;
        }
    }
    if (best == SIZE_MAX)
        return false;
    struct elastic_run *r = &e->runs[p->order[best]];
    uint32_t next = size_next(r, r->target);
    *left -= size_gpus(next) - size_gpus(r->target);
    r->target = next;
    return true;
}

void elastic_plan_allocate(struct elastic *e, struct elastic_plan *p)
{
    uint32_t left = e->gpus;
    for (size_t i = 0; i < p->order_count; i++) {
        e->runs[p->order[i]].target = p->shares[i];
        left -= size_gpus(p->shares[i]);
    }
    for (size_t i = 0; i < p->order_count; i++) {
        struct elastic_run *r = &e->runs[p->order[i]];
        if (r->size == ELASTIC_NONE || (r->target != ELASTIC_NONE && r->target >= r->size))
            continue;
        uint32_t more = size_gpus(r->size) - size_gpus(r->target);
        if (more <= left) {
            left -= more;
            r->target = r->size;
        }
    }
    while (left > 0 && grow_one(e, p, &left))
        ;
}
