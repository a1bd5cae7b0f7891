/* SPDX-License-Identifier: Apache-2.0 */
/* Forms, classes and curves: bids are met by what they have in common. What a form may use is worked
 * out once, and again when a pool appears. Whatever nobody declares any more is dropped. */
#include "base/sort.h"
#include "market/market_internal.h"

#define SCALE_ONE 1000000

/* ---- the key: the whole shape, so that a form comes back from it ------------------------------------ */

static market_id form_tenant(const struct market *m, market_id tenant)
{
    for (uint32_t i = 1; i < m->pool_count; i++)
        if (m->pools[i].sample.only_tenant == tenant)
            return tenant;
    return 0;
}

/* Rounded up: value × ratio is never less than what was declared. */
static int64_t ratio_of(int64_t limit, int64_t value)
{
    return value == 0 ? RATIO_ONE : mul_div_ceil(limit, RATIO_ONE, value);
}

static void pack_alternative(const struct market_alternative *a, int64_t ratio, struct buf *out)
{
    const struct market_choice *c = &a->choices[0];
    pack_u64(out, (uint64_t)a->level);
    pack_u64(out, a->racks);
    pack_i64(out, ratio);
    pack_i64(out, a->transfer);
    const uint64_t ids[] = {c->sku, c->accelerator, c->provider, c->region, c->zone};
    for (size_t i = 0; i < ARRAY_COUNT(ids); i++)
        pack_u64(out, ids[i]);
    for (size_t i = 0; i < MARKET_LABELS_MAX && c->labels[i]; i++)
        pack_u64(out, c->labels[i]);
    pack_u64(out, 0);
    const int64_t amounts[] = {c->amounts.gpu_milli, c->amounts.core_milli, c->amounts.memory_mib,
                               c->amounts.disk_mib};
    for (size_t i = 0; i < ARRAY_COUNT(amounts); i++)
        pack_i64(out, amounts[i]);
}

/* The same key but for whose form it is. */
static void form_key_of_tenant(struct str key, market_id tenant, struct buf *out)
{
    struct unpack in = unpack_from(key);
    pack_u64(out, unpack_u64(&in));
    pack_i64(out, unpack_i64(&in));
    (void)unpack_u64(&in);
    pack_u64(out, tenant);
    buf_append_str(out, (struct str){key.data + in.at, key.size - in.at});
}

static void form_key(const struct market *m, const struct market_bid *bid, struct buf *out)
{
    int64_t value = 0;
    for (size_t i = 0; i < bid->alternative_count; i++)
        value = MAX(value, bid->alternatives[i].limit);
    pack_u64(out, (uint64_t)bid->kind);
    pack_i64(out, bid->kind == BID_FIRM ? bid->term : 0);
    pack_u64(out, form_tenant(m, bid->tenant));
    pack_u64(out, (uint64_t)bid->credits | (uint64_t)bid->urgent << 1);
    pack_u64(out, bid->alternative_count);
    for (size_t i = 0; i < bid->alternative_count; i++)
        pack_alternative(&bid->alternatives[i], ratio_of(bid->alternatives[i].limit, value), out);
    if (bid->tier) { /* who may start within a subscription does so whatever the head of another's class meets */
        pack_u64(out, bid->tier);
        pack_u64(out, bid->tenant);
    }
}

static void unpack_choice(struct unpack *in, struct market_choice *c)
{
    market_id *ids[] = {&c->sku, &c->accelerator, &c->provider, &c->region, &c->zone};
    for (size_t j = 0; j < ARRAY_COUNT(ids); j++)
        *ids[j] = unpack_u64(in);
    market_id label;
    for (size_t j = 0; (label = unpack_u64(in)) != 0; j++) {
        if (j == MARKET_LABELS_MAX) {
            in->bad = true;
            return;
        }
        c->labels[j] = label;
    }
    int64_t *amounts[] = {&c->amounts.gpu_milli, &c->amounts.core_milli, &c->amounts.memory_mib,
                          &c->amounts.disk_mib};
    for (size_t j = 0; j < ARRAY_COUNT(amounts); j++)
        *amounts[j] = unpack_i64(in);
    in->bad |= !amounts_valid(&c->amounts);
}

static bool form_from_key(struct form *form, struct unpack in)
{
    form->kind = (enum market_kind)unpack_u64(&in);
    (void)unpack_i64(&in); /* the term only tells classes apart: a firm bid is priced over it */
    form->tenant = unpack_u64(&in);
    uint64_t flags = unpack_u64(&in);
    form->credits = flags & 1;
    in.bad |= flags > 3;
    form->alternative_count = (uint32_t)unpack_u64(&in);
    if (in.bad || form->alternative_count == 0 || form->alternative_count > MARKET_ALTERNATIVES_MAX)
        return false;
    form->alternatives = xcalloc(form->alternative_count, sizeof *form->alternatives);
    form->choices = xcalloc(form->alternative_count, sizeof *form->choices);
    form->ratios = xcalloc(form->alternative_count, sizeof *form->ratios);
    for (size_t i = 0; i < form->alternative_count && !in.bad; i++) {
        struct market_alternative *a = &form->alternatives[i];
        a->choices = &form->choices[i];
        a->level = (enum market_level)unpack_u64(&in);
        a->racks = (uint32_t)unpack_u64(&in);
        form->ratios[i] = unpack_i64(&in);
        a->transfer = unpack_i64(&in);
        unpack_choice(&in, &form->choices[i]);
    }
    if (!in.bad && in.at < in.size) {
        uint64_t tier = unpack_u64(&in);
        (void)unpack_u64(&in);
        in.bad |= tier < 1 || tier > MARKET_TIERS || form->kind != BID_PREEMPTIBLE;
    }
    return !in.bad && in.at == in.size;
}

/* ---- lines --------------------------------------------------------------------------------------------- */

/* Whether the line at `i` is never better than the one at `j`. */
static bool line_is_idle(const struct form *f, const struct line *i, const struct line *j)
{
    if (i == j || i->pool != j->pool)
        return false;
    const struct market_alternative *a = &f->alternatives[i->alternative], *b = &f->alternatives[j->alternative];
    if (a->level != b->level || a->racks != b->racks || i->replica_milli < j->replica_milli ||
        i->ratio > j->ratio || i->transfer < j->transfer)
        return false;
    return i->ratio < j->ratio || i->transfer > j->transfer || i->alternative > j->alternative;
}

/* Those that count first, then those that another makes idle; both in order. */
static void lines_order(struct form *f)
{
    struct line *kept = xcalloc(f->line_count + 1, sizeof *kept);
    uint32_t count = 0;
    for (int idle = 0; idle < 2; idle++) {
        for (uint32_t i = 0; i < f->line_count; i++) {
            bool is_idle = false;
            for (uint32_t j = 0; j < f->line_count && !is_idle; j++)
                is_idle = line_is_idle(f, &f->lines[i], &f->lines[j]);
            if (is_idle == idle)
                kept[count++] = f->lines[i];
        }
        f->used_count = idle ? f->used_count : count;
    }
    xfree(f->lines);
    f->lines = kept;
    f->line_capacity = f->line_count + 1;
}

static void form_refresh(const struct market *m, struct form *f)
{
    if (f->pools_version == m->pools_version + 1)
        return;
    f->pools_version = m->pools_version + 1;
    f->line_count = 0;
    for (uint32_t a = 0; a < f->alternative_count; a++)
        for (uint32_t i = 1; i < m->pool_count; i++) {
            const struct pool *p = &m->pools[i];
            market_id only = p->sample.only_tenant;
            if ((only && only != f->tenant) || !choice_matches(&f->choices[a], p) ||
                (f->credits && p->sample.credit_permille == 0))
                continue;
            int64_t q = amounts_units(&p->sample.amounts, &f->choices[a].amounts);
            if (q == 0)
                continue;
            ARRAY_RESERVE(f->lines, f->line_count, f->line_capacity);
            f->lines[f->line_count++] = (struct line){.pool = i, .alternative = a, .replica_milli = q,
                .ratio = f->ratios[a], .transfer = f->alternatives[a].transfer};
        }
    lines_order(f);
}

/* ---- curves ---------------------------------------------------------------------------------------------- */

static int64_t line_scale(const struct form *f, uint32_t i)
{
    return mul_div_ceil(f->lines[i].replica_milli, SCALE_ONE, f->lines[0].replica_milli);
}

static void curve_key(const struct form *f, struct buf *out)
{
    for (uint32_t i = 0; i < f->used_count; i++) {
        pack_u64(out, f->lines[i].pool);
        pack_i64(out, f->lines[i].ratio);
        pack_i64(out, f->lines[i].transfer);
        pack_i64(out, line_scale(f, i));
    }
}

static uint32_t curve_slot(struct market *m)
{
    for (; m->free_curve_count; )
        return m->free_curves[--m->free_curve_count];
    ARRAY_RESERVE(m->curves, m->curve_count, m->curve_capacity);
    return m->curve_count++;
}

static uint32_t curve_new(struct market *m, const struct form *f, struct str key)
{
    uint32_t slot = curve_slot(m);
    struct curve *c = &m->curves[slot];
    *c = (struct curve){.key = BUF_INIT(64 * 1024), .line_count = f->used_count,
        .lines = xcalloc(f->used_count, sizeof *c->lines), .stale = true};
    buf_append_str(&c->key, key);
    for (uint32_t i = 0; i < f->used_count; i++) {
        c->lines[i] = (struct curve_line){.pool = f->lines[i].pool, .ratio = f->lines[i].ratio,
            .transfer = f->lines[i].transfer, .scale = line_scale(f, i)};
        struct pool *p = &m->pools[f->lines[i].pool];
        ARRAY_RESERVE(p->uses, p->use_count, p->use_capacity);
        p->uses[p->use_count++] = (struct curve_use){slot, i};
    }
    str_map_set(&m->curve_by_key, key, slot);
    return slot;
}

static void curve_join(struct market *m, uint32_t form)
{
    struct form *f = &m->forms[form];
    f->curve = 0;
    if (f->used_count == 0)
        return;
    _cleanup_buf_ struct buf key = BUF_INIT(64 * 1024);
    curve_key(f, &key);
    f->curve = (uint32_t)str_map_get(&m->curve_by_key, buf_str(&key));
    if (f->curve == 0)
        f->curve = curve_new(m, f, buf_str(&key));
    m->curves[f->curve].forms++;
}

void curve_fini(struct curve *c)
{
    buf_fini(&c->key);
    void *arrays[] = {c->lines, c->members, c->rungs, c->units_above, c->waiting_above, c->value_above};
    for (size_t i = 0; i < ARRAY_COUNT(arrays); i++)
        xfree(arrays[i]);
    *c = (struct curve){0};
}

static void uses_remove(struct pool *p, uint32_t curve)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < p->use_count; i++)
        if (p->uses[i].curve != curve)
            p->uses[kept++] = p->uses[i];
    p->use_count = kept;
}

static void curve_leave(struct market *m, uint32_t form)
{
    uint32_t slot = TAKE(m->forms[form].curve);
    if (slot == 0 || --m->curves[slot].forms)
        return;
    struct curve *c = &m->curves[slot];
    for (uint32_t i = 0; i < c->line_count; i++)
        uses_remove(&m->pools[c->lines[i].pool], slot);
    str_map_remove(&m->curve_by_key, buf_str(&c->key));
    curve_fini(c);
    ARRAY_RESERVE(m->free_curves, m->free_curve_count, m->free_curve_capacity);
    m->free_curves[m->free_curve_count++] = slot;
}

/* ---- forms ------------------------------------------------------------------------------------------------- */

void form_make(const struct market *m, const struct market_bid *bid, struct form *ret)
{
    *ret = (struct form){.key = BUF_INIT(64 * 1024)};
    form_key(m, bid, &ret->key);
    CHECK(form_from_key(ret, unpack_from(buf_str(&ret->key))));
    form_refresh(m, ret);
}

void form_fini(struct form *f)
{
    buf_fini(&f->key);
    xfree(f->alternatives);
    xfree(f->choices);
    xfree(f->ratios);
    xfree(f->lines);
    *f = (struct form){0};
}

bool form_restore(struct market *m, uint32_t slot, struct str key)
{
    struct form form = {.key = BUF_INIT(64 * 1024)};
    buf_append_str(&form.key, key);
    if (!form_from_key(&form, unpack_from(key))) {
        form_fini(&form);
        return false;
    }
    m->forms[slot] = form;
    str_map_set(&m->form_by_key, key, slot);
    return true;
}

static uint32_t form_add(struct market *m, struct str key)
{
    uint32_t slot;
    if (m->free_form_count) {
        slot = m->free_forms[--m->free_form_count];
    } else {
        ARRAY_RESERVE(m->forms, m->form_count, m->form_capacity);
        slot = m->form_count++;
    }
    CHECK(form_restore(m, slot, key));
    form_refresh(m, &m->forms[slot]);
    curve_join(m, slot);
    return slot;
}

static void form_drop(struct market *m, uint32_t slot)
{
    struct form *f = &m->forms[slot];
    curve_leave(m, slot);
    str_map_remove(&m->form_by_key, buf_str(&f->key));
    form_fini(f);
    if (slot + 1 == m->form_count) {
        m->form_count--;
        return;
    }
    ARRAY_RESERVE(m->free_forms, m->free_form_count, m->free_form_capacity);
    m->free_forms[m->free_form_count++] = slot;
}

/* ---- classes ------------------------------------------------------------------------------------------------ */

static uint64_t class_name(uint32_t form, uint32_t replicas)
{
    return (uint64_t)form << 32 | replicas;
}

static uint32_t member_place(const struct curve *c, int64_t units, uint32_t class)
{
    uint32_t low = 0, high = c->member_count;
    while (low < high) {
        uint32_t middle = (low + high) / 2;
        const struct member *at = &c->members[middle];
        if (at->units < units || (at->units == units && at->class < class))
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static int64_t class_units(const struct market *m, const struct class *c)
{
    const struct form *f = class_form(m, c);
    return f->line_count ? mul_checked(f->lines[0].replica_milli, c->replicas) : 0;
}

static void member_add(struct market *m, uint32_t class)
{
    struct class *k = &m->classes[class];
    uint32_t curve = class_form(m, k)->curve;
    if (curve == 0)
        return;
    struct curve *c = &m->curves[curve];
    int64_t units = class_units(m, k);
    uint32_t at = member_place(c, units, class);
    ARRAY_RESERVE(c->members, c->member_count, c->member_capacity);
    memmove(c->members + at + 1, c->members + at, (c->member_count - at) * sizeof *c->members);
    const struct form *f = class_form(m, k);
    const struct market_amounts *a = &f->choices[f->lines[0].alternative].amounts;
    bool by_units = m->pools[f->lines[0].pool].by_core || a->gpu_milli > 0;
    c->members[at] = (struct member){.units = units, .head = -1, .class = class, .each = by_units ? f->lines[0].replica_milli : 0,
        .nodes = f->alternatives[f->lines[0].alternative].level == LEVEL_NODE ? 1 : k->replicas};
    c->member_count++;
    class_head_changed(m, class);
}

static void member_remove(struct market *m, uint32_t class)
{
    struct class *k = &m->classes[class];
    struct curve *c = &m->curves[class_form(m, k)->curve];
    if (c->member_count == 0)
        return;
    uint32_t at = member_place(c, class_units(m, k), class);
    memmove(c->members + at, c->members + at + 1, (c->member_count - at - 1) * sizeof *c->members);
    c->member_count--;
}

void class_head_changed(struct market *m, uint32_t class)
{
    const struct class *k = &m->classes[class];
    struct curve *c = &m->curves[class_form(m, k)->curve];
    if (c->member_count == 0)
        return;
    uint32_t first = tree_first(m, k->waiting);
    c->members[member_place(c, class_units(m, k), class)].head = first ? m->bids[first].value : -1;
}

void class_index(struct market *m, uint32_t class)
{
    const struct class *c = &m->classes[class];
    m->forms[c->form].classes++;
    map_set(&m->class_by_form, class_name(c->form, c->replicas), class);
}

static uint32_t class_add(struct market *m, uint32_t form, uint32_t replicas)
{
    uint32_t slot;
    if (m->free_class_count) {
        slot = m->free_classes[--m->free_class_count];
    } else {
        ARRAY_RESERVE(m->classes, m->class_count, m->class_capacity);
        slot = m->class_count++;
    }
    m->classes[slot] = (struct class){.form = form, .replicas = replicas};
    class_index(m, slot);
    member_add(m, slot);
    return slot;
}

static uint32_t class_of_key(struct market *m, struct str key, uint32_t replicas)
{
    uint32_t form = (uint32_t)str_map_get(&m->form_by_key, key);
    if (form == 0)
        form = form_add(m, key);
    uint32_t class = (uint32_t)map_get(&m->class_by_form, class_name(form, replicas));
    return class ? class : class_add(m, form, replicas);
}

uint32_t class_find(struct market *m, const struct market_bid *bid)
{
    _cleanup_buf_ struct buf key = BUF_INIT(64 * 1024);
    form_key(m, bid, &key);
    return class_of_key(m, buf_str(&key), bid->roles[0].replicas_min);
}

void class_release(struct market *m, uint32_t slot)
{
    struct class *c = &m->classes[slot];
    if (c->form == 0 || c->bids || c->touched)
        return;
    uint32_t form = c->form;
    member_remove(m, slot);
    map_remove(&m->class_by_form, class_name(form, c->replicas));
    *c = (struct class){0};
    if (slot + 1 == m->class_count) {
        m->class_count--;
    } else {
        ARRAY_RESERVE(m->free_classes, m->free_class_count, m->free_class_capacity);
        m->free_classes[m->free_class_count++] = slot;
    }
    if (--m->forms[form].classes == 0)
        form_drop(m, form);
}

void class_touch(struct market *m, uint32_t class)
{
    if (m->classes[class].touched)
        return;
    m->classes[class].touched = true;
    ARRAY_RESERVE(m->touched, m->touched_count, m->touched_capacity);
    m->touched[m->touched_count++] = class;
}

/* ---- a tenant's first node of its own ----------------------------------------------------------------------------- */

static void bid_reclass(struct market *m, uint32_t bid, market_id tenant)
{
    struct bid *b = &m->bids[bid];
    uint32_t before = b->class, replicas = m->classes[before].replicas;
    bool waits = b->waiting, on_curve = b->on_curve;
    _cleanup_buf_ struct buf key = BUF_INIT(64 * 1024);
    form_key_of_tenant(buf_str(&class_form(m, &m->classes[before])->key), tenant, &key);
    if (waits)
        bid_dequeue(m, bid);
    if (on_curve)
        ladder_remove(m, bid);
    b->class = class_of_key(m, buf_str(&key), replicas);
    m->classes[b->class].bids++;
    m->classes[before].bids--;
    class_release(m, before);
    if (on_curve)
        ladder_add(m, bid);
    if (waits)
        bid_wait(m, bid);
}

void bids_reclass(struct market *m)
{
    struct map owned = {0};
    for (uint32_t i = 1; i < m->pool_count; i++)
        if (m->pools[i].sample.only_tenant)
            map_set(&owned, m->pools[i].sample.only_tenant, 1);
    for (uint32_t i = 1; i < m->bid_count && owned.count; i++) {
        const struct bid *b = &m->bids[i];
        market_id tenant = m->tenants[b->tenant].id;
        if (b->id && map_get(&owned, tenant) && class_form(m, &m->classes[b->class])->tenant != tenant)
            bid_reclass(m, i, tenant);
    }
    map_fini(&owned);
}

/* ---- after pools appeared -------------------------------------------------------------------------------------- */

static void curves_clear(struct market *m)
{
    for (uint32_t i = 1; i < m->curve_count; i++)
        curve_fini(&m->curves[i]);
    str_map_fini(&m->curve_by_key);
    m->curve_by_key = (struct str_map){0};
    m->curve_count = 1;
    m->free_curve_count = 0;
    for (uint32_t i = 1; i < m->pool_count; i++)
        m->pools[i].use_count = 0;
}

void forms_refresh(struct market *m)
{
    if (m->forms_version == m->pools_version + 1)
        return;
    if (m->forms_version) /* of a snapshot the trees do not stand yet */
        bids_reclass(m);
    m->forms_version = m->pools_version + 1;
    curves_clear(m);
    for (uint32_t i = 1; i < m->form_count; i++) {
        struct form *f = &m->forms[i];
        if (f->alternative_count == 0)
            continue;
        form_refresh(m, f);
        curve_join(m, i);
    }
    for (uint32_t i = 1; i < m->class_count; i++)
        if (m->classes[i].form)
            member_add(m, i);
    for (uint32_t i = 1; i < m->bid_count; i++)
        if (m->bids[i].on_curve) {
            m->bids[i].on_curve = false;
            ladder_add(m, i);
            if (m->bids[i].waiting)
                ladder_wait(m, i, true);
        }
}

/* ---- what fits an empty pool ---------------------------------------------------------------------------------------- */

static int largest_first(const void *x, const void *y, const void *context)
{
    (void)context;
    const struct rack *a = x, *b = y;
    return COMPARE(b->end - b->first, a->end - a->first);
}

/* Nodes in the `most` largest racks of one fabric, over all fabrics the greatest. */
static int64_t racks_capacity(const struct pool *p, uint32_t most)
{
    int64_t best = 0;
    for (uint32_t f = 0; f < p->fabric_count; f++) {
        uint32_t count = p->fabrics[f].end - p->fabrics[f].first;
        _cleanup_free_ struct rack *racks = xcalloc(count, sizeof *racks);
        memcpy(racks, p->racks + p->fabrics[f].first, count * sizeof *racks);
        sort(racks, count, sizeof *racks, largest_first, NULL);
        int64_t here = 0;
        for (uint32_t i = 0; i < MIN(count, most); i++)
            here += racks[i].end - racks[i].first;
        best = MAX(best, here);
    }
    return best;
}

int64_t line_capacity(const struct market *m, const struct form *form, const struct line *line, int64_t most)
{
    const struct pool *p = &m->pools[line->pool];
    const struct market_alternative *a = &form->alternatives[line->alternative];
    if (p->node_count == 0)
        return 0;
    switch (a->level) {
    case LEVEL_ANY:
    case LEVEL_ZONE:
        return MIN(p->node_count, most);
    case LEVEL_FABRIC:
        return MIN(p->most_in_fabric, most);
    case LEVEL_RACK:
        return MIN(p->most_in_rack, most);
    case LEVEL_RACKS:
        return MIN(p->most_in_rack >= most ? most : racks_capacity(p, a->racks), most);
    case LEVEL_NODE: {
        struct room empty = room_empty(&p->sample.amounts);
        struct market_placement replica = {.amounts = form->choices[line->alternative].amounts, .units_milli = line->replica_milli};
        return room_count(&empty, &replica, most);
    }
    }
    return 0;
}
