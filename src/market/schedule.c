/* SPDX-License-Identifier: Apache-2.0 */
/* The search is late acceptance hill climbing (Burke and Bykov 2008): a step that moves a job, or
 * exchanges two, stays where it is no worse than what stood so many steps ago. It needs neither
 * temperatures nor logarithms, so whole numbers do. */
#include "market/schedule.h"

#include "base/hash.h"
#include "base/memory.h"
#include "base/sort.h"

#define LATE_WEIGHT 1000           /* a ms late against a ms of completion */
#define LATE_BASE (1000 * HOUR_MS) /* and any lateness at all */
#define MEMORY 2000                /* steps back that a step is compared with */

struct place { /* one place: its jobs in order */
    uint32_t pool;
    uint32_t *jobs;
    uint32_t count, capacity;
    int64_t cost;
};

struct state {
    const struct schedule *s;
    struct place *places;
    uint32_t place_count;
    uint32_t *at; /* place of each job */
    int64_t cost;
};

static time_ms run_on(const struct state *st, uint32_t job, const struct place *p)
{
    return st->s->jobs[job].run[p->pool];
}

/* Sum of completions, and what is late. */
static int64_t place_cost(const struct state *st, const struct place *p)
{
    time_ms now = 0;
    int64_t cost = 0;
    for (uint32_t i = 0; i < p->count; i++) {
        now += run_on(st, p->jobs[i], p);
        time_ms deadline = st->s->jobs[p->jobs[i]].deadline;
        cost += now + (now > deadline ? LATE_BASE + (now - deadline) * LATE_WEIGHT : 0);
    }
    return cost;
}

static void place_insert(struct place *p, uint32_t at, uint32_t job)
{
    ARRAY_RESERVE(p->jobs, p->count, p->capacity);
    memmove(&p->jobs[at + 1], &p->jobs[at], (p->count - at) * sizeof *p->jobs);
    p->jobs[at] = job;
    p->count++;
}

static void place_remove(struct place *p, uint32_t at)
{
    p->count--;
    memmove(&p->jobs[at], &p->jobs[at + 1], (p->count - at) * sizeof *p->jobs);
}

static uint32_t place_find(const struct place *p, uint32_t job)
{
    uint32_t at = 0;
    while (p->jobs[at] != job)
        at++;
    return at;
}

static time_ms run_least(const struct schedule *s, uint32_t job)
{
    time_ms least = TIME_NEVER;
    for (uint32_t p = 0; p < s->pool_count; p++)
        if (s->places[p])
            least = MIN(least, s->jobs[job].run[p]);
    return least;
}

static int order_compare(const void *x, const void *y, const void *context)
{
    const struct schedule *s = context;
    uint32_t a = *(const uint32_t *)x, b = *(const uint32_t *)y;
    int c = COMPARE(s->jobs[a].deadline, s->jobs[b].deadline);
    if (c == 0)
        c = COMPARE(run_least(s, a), run_least(s, b));
    return c ? c : COMPARE(a, b);
}

static void state_open(struct state *st, const struct schedule *s)
{
    CHECK(s->job_count <= SCHEDULE_JOBS_MAX && s->pool_count <= SCHEDULE_POOLS_MAX);
    *st = (struct state){.s = s};
    for (uint32_t p = 0; p < s->pool_count; p++)
        st->place_count += s->places[p];
    st->places = xcalloc(st->place_count + 1, sizeof *st->places);
    st->at = xcalloc(s->job_count + 1, sizeof *st->at);
    uint32_t place = 0;
    for (uint32_t p = 0; p < s->pool_count; p++)
        for (uint32_t i = 0; i < s->places[p]; i++)
            st->places[place++].pool = p;
}

static void state_close(struct state *st)
{
    for (uint32_t i = 0; i < st->place_count; i++)
        xfree(st->places[i].jobs);
    xfree(st->places);
    xfree(st->at);
}

/* Each to where it ends first. */
static bool state_fill(struct state *st)
{
    const struct schedule *s = st->s;
    _cleanup_free_ uint32_t *order = xcalloc(s->job_count + 1, sizeof *order);
    _cleanup_free_ time_ms *ends = xcalloc(st->place_count + 1, sizeof *ends);
    for (uint32_t i = 0; i < s->job_count; i++)
        order[i] = i;
    sort(order, s->job_count, sizeof *order, order_compare, s);
    for (uint32_t i = 0; i < s->job_count; i++) {
        time_ms best = TIME_NEVER;
        uint32_t chosen = 0;
        for (uint32_t p = 0; p < st->place_count; p++) {
            time_ms run = run_on(st, order[i], &st->places[p]);
            if (run <= SCHEDULE_RUN_MAX && ends[p] + run < best) {
                best = ends[p] + run;
                chosen = p;
            }
        }
        if (best == TIME_NEVER)
            return false;
        ends[chosen] = best;
        st->at[order[i]] = chosen;
        place_insert(&st->places[chosen], st->places[chosen].count, order[i]);
    }
    for (uint32_t p = 0; p < st->place_count; p++)
        st->cost += st->places[p].cost = place_cost(st, &st->places[p]);
    return true;
}

static void state_slots(const struct state *st, struct schedule_slot *ret)
{
    for (uint32_t p = 0; p < st->place_count; p++) {
        time_ms now = 0;
        for (uint32_t i = 0; i < st->places[p].count; i++) {
            uint32_t job = st->places[p].jobs[i];
            time_ms end = now + run_on(st, job, &st->places[p]);
            ret[job] = (struct schedule_slot){st->places[p].pool, p, now, end};
            now = end;
        }
    }
}

bool schedule_greedy(const struct schedule *s, struct schedule_slot *ret)
{
    struct state st;
    state_open(&st, s);
    bool done = state_fill(&st);
    if (done)
        state_slots(&st, ret);
    state_close(&st);
    return done;
}

/* A move: job at (place a, index i) to (place b, index j), or the two exchanged. */
struct move {
    uint32_t a, i, b, j;
    bool exchange;
};

static void move_make(struct state *st, const struct move *m)
{
    struct place *a = &st->places[m->a], *b = &st->places[m->b];
    uint32_t job = a->jobs[m->i];
    if (m->exchange) {
        a->jobs[m->i] = b->jobs[m->j];
        b->jobs[m->j] = job;
        return;
    }
    place_remove(a, m->i);
    place_insert(b, m->j, job);
}

static void move_undo(struct state *st, const struct move *m)
{
    struct move back = {m->b, m->j, m->a, m->i, m->exchange};
    move_make(st, &back);
}

static bool move_draw(const struct state *st, struct prng *random, struct move *ret)
{
    uint32_t job = (uint32_t)prng_below(random, st->s->job_count);
    *ret = (struct move){.a = st->at[job], .exchange = prng_next(random) & 1};
    ret->i = place_find(&st->places[ret->a], job);
    if (ret->exchange) {
        uint32_t other = (uint32_t)prng_below(random, st->s->job_count);
        ret->b = st->at[other];
        ret->j = place_find(&st->places[ret->b], other);
        return other != job && run_on(st, other, &st->places[ret->a]) <= SCHEDULE_RUN_MAX &&
               run_on(st, job, &st->places[ret->b]) <= SCHEDULE_RUN_MAX;
    }
    ret->b = (uint32_t)prng_below(random, st->place_count);
    uint32_t room = st->places[ret->b].count + (ret->b != ret->a);
    ret->j = (uint32_t)prng_below(random, room);
    return run_on(st, job, &st->places[ret->b]) <= SCHEDULE_RUN_MAX;
}

/* Makes the move where the cost after it is at most `bar`, or no more than now. */
static void move_try(struct state *st, const struct move *m, int64_t bar)
{
    struct place *a = &st->places[m->a], *b = &st->places[m->b];
    uint32_t job = a->jobs[m->i], other = m->exchange ? b->jobs[m->j] : 0;
    move_make(st, m);
    int64_t cost_a = place_cost(st, a), cost_b = a == b ? 0 : place_cost(st, b);
    int64_t cost = st->cost - a->cost - (a == b ? 0 : b->cost) + cost_a + cost_b;
    if (cost > bar && cost > st->cost) {
        move_undo(st, m);
        return;
    }
    st->cost = cost;
    a->cost = cost_a;
    if (a != b)
        b->cost = cost_b;
    st->at[job] = m->b;
    if (m->exchange)
        st->at[other] = m->a;
}

bool schedule_search(const struct schedule *s, uint64_t seed, uint64_t steps,
                     struct schedule_slot *ret)
{
    struct state st;
    struct prng random = {seed};
    state_open(&st, s);
    bool done = state_fill(&st);
    int64_t *memory = xcalloc(MEMORY, sizeof *memory), best = st.cost;
    for (uint32_t i = 0; i < MEMORY; i++)
        memory[i] = st.cost;
    if (done)
        state_slots(&st, ret);
    for (uint64_t step = 0; done && s->job_count && step < steps; step++) {
        struct move m;
        int64_t *bar = &memory[step % MEMORY];
        if (move_draw(&st, &random, &m))
            move_try(&st, &m, *bar);
        *bar = MIN(*bar, st.cost);
        if (st.cost < best && (step % 1000 == 0 || step + 1 == steps)) {
            best = st.cost;
            state_slots(&st, ret);
        }
    }
    xfree(memory);
    state_close(&st);
    return done;
}
