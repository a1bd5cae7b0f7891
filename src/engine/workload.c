/* SPDX-License-Identifier: Apache-2.0 */
/* The table of workloads: pages of records that never move, an order by id that finds live ones
 * without walking the ended, and a queue of ended ones that leave one by one. */
#include "engine/engine_internal.h"

#define RETIRE_MAX 10000  /* of one batch */
#define RETIRE_STEP 1000  /* ms: so seldom is the server woken for it */

/* ---- sets of ids ---------------------------------------------------------------------------------------- */

/* The last page that begins at or before the id; -1 where there is none. */
static int64_t page_of(const struct id_set *set, engine_id id)
{
    uint32_t low = 0, high = set->count;
    while (low < high) {
        uint32_t middle = (low + high) / 2;
        if (set->pages[middle].first <= id)
            low = middle + 1;
        else
            high = middle;
    }
    return (int64_t)low - 1;
}

static struct id_page *page_make(struct id_set *set, engine_id id)
{
    int64_t at = page_of(set, id);
    if (at >= 0 && id - set->pages[at].first < 4096)
        return &set->pages[at];
    ARRAY_RESERVE(set->pages, set->count, set->capacity);
    struct id_page *page = set->pages + at + 1;
    memmove(page + 1, page, (set->count - (size_t)(at + 1)) * sizeof *page);
    set->count++;
    *page = (struct id_page){.first = id & ~UINT64_C(4095)};
    return page;
}

void id_set_add(struct id_set *set, engine_id id)
{
    struct id_page *page = page_make(set, id);
    page->bits[(id & 4095) / 64] |= UINT64_C(1) << (id & 63);
    page->count++;
}

bool id_set_has(const struct id_set *set, engine_id id)
{
    int64_t at = page_of(set, id);
    return at >= 0 && id - set->pages[at].first < 4096 && set->pages[at].bits[(id & 4095) / 64] >> (id & 63) & 1;
}

void id_set_remove(struct id_set *set, engine_id id)
{
    CHECK(id_set_has(set, id));
    struct id_page *page = &set->pages[page_of(set, id)];
    page->bits[(id & 4095) / 64] &= ~(UINT64_C(1) << (id & 63));
    if (--page->count)
        return;
    memmove(page, page + 1, (size_t)(set->pages + set->count - (page + 1)) * sizeof *page);
    set->count--;
}

/* The largest id of the page that is at most page->first + last; 0: none. */
static engine_id page_before(const struct id_page *page, uint64_t last)
{
    for (uint64_t word = last / 64 + 1; word-- > 0;) {
        uint64_t bits = page->bits[word];
        if (word == last / 64 && last % 64 < 63)
            bits &= (UINT64_C(1) << (last % 64 + 1)) - 1;
        if (bits)
            return page->first + word * 64 + 63 - (uint64_t)__builtin_clzll(bits);
    }
    return 0;
}

engine_id id_set_before(const struct id_set *set, engine_id before)
{
    if (before <= 1)
        return 0;
    engine_id id = before - 1;
    for (int64_t at = page_of(set, id); at >= 0; at--) {
        engine_id found = page_before(&set->pages[at], MIN(id - set->pages[at].first, UINT64_C(4095)));
        if (found)
            return found;
    }
    return 0;
}

engine_id id_set_after(const struct id_set *set, engine_id after)
{
    engine_id id = after + 1;
    for (int64_t at = MAX(page_of(set, id), 0); at < set->count; at++) {
        const struct id_page *page = &set->pages[at];
        for (uint64_t i = id > page->first ? id - page->first : 0; i < 4096; i++) {
            if (page->bits[i / 64] == 0)
                i |= 63;
            else if (page->bits[i / 64] >> (i & 63) & 1)
                return page->first + i;
        }
    }
    return 0;
}

/* ---- records ----------------------------------------------------------------------------------------------- */

struct workload *workload_at(const struct engine *e, uint32_t slot)
{
    return &e->pages[slot / PAGE_SIZE][slot % PAGE_SIZE];
}

struct workload *workload_find(const struct engine *e, engine_id id)
{
    uint32_t slot = (uint32_t)map_get(&e->workload_by_id, id);
    return slot ? workload_at(e, slot) : NULL;
}

static uint32_t slot_take(struct engine *e)
{
    if (e->free_slot) {
        uint32_t slot = e->free_slot;
        e->free_slot = workload_at(e, slot)->next_slot;
        return slot;
    }
    if (e->slot_count == 0)
        e->slot_count = 1;
    if (e->slot_count / PAGE_SIZE >= e->page_count) {
        ARRAY_RESERVE(e->pages, e->page_count, e->page_capacity);
        e->pages[e->page_count++] = xcalloc(PAGE_SIZE, sizeof(struct workload));
    }
    return e->slot_count++;
}

struct workload *workload_new(struct engine *e, engine_id id)
{
    uint32_t slot = slot_take(e);
    struct workload *w = workload_at(e, slot);
    *w = (struct workload){.view = {.id = id}, .slot = slot};
    map_set(&e->workload_by_id, id, slot);
    id_set_add(&e->all, id);
    return w;
}

void workload_texts_set(struct workload *w, struct str name, struct str request)
{
    char *old = w->text;
    w->view.name = name;
    w->view.request = request;
    w->text = texts_own((struct str *const[]){&w->view.name, &w->view.request}, 2);
    xfree(old);
}

static void name_key(struct buf *key, engine_id project, struct str name)
{
    pack_u64(key, project);
    buf_append_str(key, name);
}

engine_id instance_named(const struct engine *e, engine_id project, struct str name)
{
    _cleanup_buf_ struct buf key = BUF_INIT(BUF_LIMIT_DEFAULT);
    name_key(&key, project, name);
    return str_map_get(&e->instance_by_name, buf_str(&key));
}

/* ---- names that burn ---- */

bool instance_name_burnt(const struct engine *e, engine_id project, struct str name)
{
    _cleanup_buf_ struct buf key = BUF_INIT(BUF_LIMIT_DEFAULT);
    name_key(&key, project, name);
    return name.size && str_map_get(&e->burnt_by_name, buf_str(&key));
}

void instance_name_burn(struct engine *e, engine_id project, struct str name)
{
    _cleanup_buf_ struct buf key = BUF_INIT(BUF_LIMIT_DEFAULT);
    if (name.size == 0 || instance_name_burnt(e, project, name))
        return;
    ARRAY_RESERVE(e->burnt, e->burnt_count, e->burnt_capacity);
    struct burnt *b = &e->burnt[e->burnt_count++];
    *b = (struct burnt){.project = project, .name = name};
    b->text = texts_own((struct str *const[]){&b->name}, 1);
    name_key(&key, project, name);
    str_map_set(&e->burnt_by_name, buf_str(&key), e->burnt_count);
}

void instance_names_burn(struct engine *e)
{
    for (engine_id id = 0; (id = id_set_after(&e->all, id));) {
        const struct workload *w = workload_find(e, id);
        if (!w->provisional && w->view.instance && w->view.reservation == 0)
            instance_name_burn(e, w->view.project, w->view.name);
    }
}

void burnt_free(struct engine *e)
{
    for (size_t i = 0; i < e->burnt_count; i++)
        xfree(e->burnt[i].text);
    xfree(e->burnt);
    str_map_fini(&e->burnt_by_name);
}

void instance_name_hold(struct engine *e, const struct workload *w, bool held)
{
    _cleanup_buf_ struct buf key = BUF_INIT(BUF_LIMIT_DEFAULT);
    if (!w->view.instance || w->view.name.size == 0)
        return;
    name_key(&key, w->view.project, w->view.name);
    if (held)
        str_map_set(&e->instance_by_name, buf_str(&key), w->view.id);
    else
        str_map_remove(&e->instance_by_name, buf_str(&key));
}

/* What it asks for, by its first choice, until an allocation says what it holds. */
static int64_t units_asked(const struct engine_submit *s)
{
    int64_t units = 0;
    if (s->choice_count == 0)
        return 0;
    const struct market_amounts *each = &s->choices[0].amounts;
    return __builtin_mul_overflow(each->gpu_milli ? each->gpu_milli : each->core_milli, (int64_t)s->nodes, &units) ? 0 : units;
}

static void workload_submitted(struct workload *w, const struct engine_submit *s)
{
    struct engine_workload *v = &w->view;
    v->project = s->project;
    v->key = s->key;
    v->preemptible = s->preemptible;
    v->due = s->deadline != 0;
    v->freeze = s->freeze;
    v->nodes = s->nodes;
    v->units_milli = units_asked(s);
    v->notice = s->notice;
    v->max_run = s->max_run;
    v->signal = s->signal;
    v->retries_left = s->retries;
    v->instance = s->instance;
    workload_texts_set(w, s->name, s->request);
}

struct workload *workload_add(struct engine *e, const struct engine_submit *s)
{
    struct workload *w = workload_new(e, e->next_workload++);
    workload_submitted(w, s);
    objects_use(e, w, s->objects, s->object_count);
    instance_name_hold(e, w, true);
    w->view.reason = REASON_SUBMITTED;
    w->view.submitted = e->now;
    id_set_add(&e->live, w->view.id);
    e->counts[WORKLOAD_WAITING]++;
    return w;
}

void workload_replicas_set(struct workload *w, uint32_t count)
{
    if (count != w->view.replica_count || count == 1) {
        if (w->replicas != &w->inline_replica)
            xfree(w->replicas);
        w->replicas = count == 0 ? NULL : count == 1 ? &w->inline_replica : xcalloc(count, sizeof *w->replicas);
        w->view.replica_count = count;
        w->view.replicas = w->replicas;
    }
    if (count)
        memset(w->replicas, 0, count * sizeof *w->replicas);
}

static size_t replicas_until(const struct workload *w, uint32_t role, uint32_t rank)
{
    size_t at = 0;
    while (at < w->view.replica_count && (w->replicas[at].role < role || (w->replicas[at].role == role && w->replicas[at].rank < rank)))
        at++;
    return at;
}

struct engine_replica *workload_replica_add(struct workload *w, uint32_t role, uint32_t rank)
{
    size_t at = replicas_until(w, role, rank), count = w->view.replica_count;
    bool again = at < count && w->replicas[at].role == role && w->replicas[at].rank == rank;
    if (again) {
        CHECK(w->replicas[at].state == REPLICA_ENDED);
        w->begun -= w->replicas[at].started != 0;
    } else {
        struct engine_replica *grown = xcalloc(count + 1, sizeof *grown);
        memcpy(grown, w->replicas, at * sizeof *grown);
        memcpy(grown + at + 1, w->replicas + at, (count - at) * sizeof *grown);
        if (w->replicas != &w->inline_replica)
            xfree(w->replicas);
        w->view.replicas = w->replicas = grown;
        w->view.replica_count++;
    }
    w->replicas[at] = (struct engine_replica){.role = role, .rank = rank};
    w->live++;
    return &w->replicas[at];
}

void workload_lines_set(struct workload *w, struct str lines)
{
    xfree(w->lines);
    w->lines = lines.size ? str_dup(lines) : NULL;
    w->view.last_lines = (struct str){w->lines, lines.size};
}

void workload_remove(struct engine *e, struct workload *w)
{
    uint32_t slot = w->slot;
    workload_replicas_set(w, 0);
    objects_use(e, w, NULL, 0);
    if (id_set_has(&e->live, w->view.id)) {
        instance_name_hold(e, w, false);
        id_set_remove(&e->live, w->view.id);
    }
    id_set_remove(&e->all, w->view.id);
    e->counts[w->view.state]--;
    map_remove(&e->workload_by_id, w->view.id);
    xfree(w->text);
    xfree(w->lines);
    *w = (struct workload){.next_slot = e->free_slot};
    e->free_slot = slot;
}

void ended_append(struct engine *e, struct workload *w)
{
    if (e->ended_last)
        workload_at(e, e->ended_last)->next_slot = w->slot;
    else
        e->ended_first = w->slot;
    e->ended_last = w->slot;
}

void workload_state_set(struct engine *e, struct workload *w, enum engine_workload_state state, enum engine_reason reason)
{
    CHECK(!workload_state_ended(w->view.state));
    e->counts[w->view.state]--;
    e->counts[state]++;
    w->view.state = state;
    w->view.reason = reason;
    if (!workload_state_ended(state))
        return;
    w->view.ended = e->now;
    objects_use(e, w, NULL, 0);
    instance_name_hold(e, w, false);
    id_set_remove(&e->live, w->view.id);
    ended_append(e, w);
}

struct engine_event *workload_event(struct engine *e, enum engine_event_type type, const struct workload *w)
{
    const struct engine_workload *v = &w->view;
    struct engine_event *event = engine_event_add(e, type);
    event->project = v->project;
    event->workload = v->id;
    event->key = v->key;
    event->pool = v->pool;
    event->attempt = v->attempt;
    event->nodes = v->nodes;
    event->state = v->state;
    event->reason = v->reason;
    event->units_milli = v->units_milli;
    event->limit = v->limit;
    event->deadline = v->deadline;
    event->exited = v->exited;
    event->exit_code = v->exit_code;
    event->signal = v->exit_signal;
    event->oom = v->oom;
    event->exit_rank = v->exit_rank;
    return event;
}

/* ---- leaving the state ------------------------------------------------------------------------------------------ */

void workloads_retire(struct engine *e)
{
    for (int i = 0; i < RETIRE_MAX && workloads_retire_due(e) <= e->now; i++) {
        struct workload *w = workload_at(e, e->ended_first);
        workload_event(e, ENGINE_EVENT_WORKLOAD_RETIRED, w);
        e->ended_first = w->next_slot;
        if (e->ended_first == 0)
            e->ended_last = 0;
        workload_remove(e, w);
    }
}

time_ms workloads_retire_due(const struct engine *e)
{
    if (e->ended_first == 0)
        return TIME_NEVER;
    time_ms due = add_checked(workload_at(e, e->ended_first)->view.ended, e->settings[SETTING_RETAIN_MS]);
    return mul_checked(div_ceil(due, RETIRE_STEP), RETIRE_STEP);
}
