/* SPDX-License-Identifier: Apache-2.0 */
/* Classes: bids of one shape, which differ only in value and time. What a class may use is worked
 * out once, and again when pools change. */
#include "market/market_internal.h"

int64_t ratio_apply(int64_t limit, int64_t ratio)
{
    return mul_div_floor(limit, ratio, RATIO_ONE);
}

static int64_t ratio_of(int64_t limit, int64_t first)
{
    return limit == first ? RATIO_ONE : mul_div_ceil(limit, RATIO_ONE, MAX(first, 1));
}

static market_id class_tenant(const struct market *m, market_id tenant)
{
    for (uint32_t i = 1; i < m->pool_count; i++)
        if (m->pools[i].sample.only_tenant == tenant)
            return tenant;
    return 0;
}

static void pack_alternative(const struct market_alternative *a, int64_t ratio, struct buf *out)
{
    const struct market_choice *c = &a->choices[0];
    pack_u64(out, (uint64_t)a->level);
    pack_u64(out, a->racks);
    pack_i64(out, ratio);
    const uint64_t ids[] = {c->sku, c->accelerator, c->provider, c->region, c->zone};
    for (size_t i = 0; i < ARRAY_COUNT(ids); i++)
        pack_u64(out, ids[i]);
    for (size_t i = 0; i < MARKET_LABELS_MAX; i++)
        if (c->labels[i] || i == 0)
            pack_u64(out, c->labels[i]);
    pack_u64(out, 0);
    const int64_t amounts[] = {c->amounts.gpu_milli, c->amounts.core_milli, c->amounts.memory_mib,
                               c->amounts.disk_mib};
    for (size_t i = 0; i < ARRAY_COUNT(amounts); i++)
        pack_i64(out, amounts[i]);
}

static void class_key(const struct market *m, const struct market_bid *bid, struct buf *out)
{
    pack_u64(out, (uint64_t)bid->kind);
    pack_u64(out, class_tenant(m, bid->tenant));
    pack_u64(out, bid->roles[0].replicas_min);
    pack_u64(out, bid->alternative_count);
    for (size_t i = 0; i < bid->alternative_count; i++)
        pack_alternative(&bid->alternatives[i],
                         ratio_of(bid->alternatives[i].limit, bid->alternatives[0].limit), out);
}

/* The key is the whole shape, so that a class comes back from it. */
static bool class_from_key(struct class *class, struct unpack in)
{
    class->kind = (enum market_kind)unpack_u64(&in);
    class->tenant = unpack_u64(&in);
    class->replicas = (uint32_t)unpack_u64(&in);
    class->alternative_count = unpack_u64(&in);
    if (class->alternative_count == 0 || class->alternative_count > MARKET_ALTERNATIVES_MAX)
        return false;
    class->alternatives = xcalloc(class->alternative_count, sizeof *class->alternatives);
    class->choices = xcalloc(class->alternative_count, sizeof *class->choices);
    class->ratios = xcalloc(class->alternative_count, sizeof *class->ratios);
    for (size_t i = 0; i < class->alternative_count && !in.bad; i++) {
        struct market_alternative *a = &class->alternatives[i];
        struct market_choice *c = &class->choices[i];
        a->choices = c;
        a->level = (enum market_level)unpack_u64(&in);
        a->racks = (uint32_t)unpack_u64(&in);
        class->ratios[i] = unpack_i64(&in);
        market_id *ids[] = {&c->sku, &c->accelerator, &c->provider, &c->region, &c->zone};
        for (size_t j = 0; j < ARRAY_COUNT(ids); j++)
            *ids[j] = unpack_u64(&in);
        market_id label = unpack_u64(&in);
        for (size_t j = 0; label && j < MARKET_LABELS_MAX; j++, label = unpack_u64(&in))
            c->labels[j] = label;
        if (c->labels[0] == 0)
            (void)unpack_u64(&in);
        int64_t *amounts[] = {&c->amounts.gpu_milli, &c->amounts.core_milli, &c->amounts.memory_mib,
                              &c->amounts.disk_mib};
        for (size_t j = 0; j < ARRAY_COUNT(amounts); j++)
            *amounts[j] = unpack_i64(&in);
    }
    return !in.bad && in.at == in.size;
}

void class_refresh(const struct market *m, struct class *class)
{
    if (class->pools_version == m->pools_version + 1)
        return;
    class->pools_version = m->pools_version + 1;
    class->pool_count = 0;
    for (uint32_t a = 0; a < class->alternative_count; a++)
        for (uint32_t i = 1; i < m->pool_count; i++) {
            const struct pool *p = &m->pools[i];
            market_id only = p->sample.only_tenant;
            int64_t q = amounts_units(&p->sample.amounts, &class->choices[a].amounts);
            if (q == 0 || (only && only != class->tenant) || !choice_matches(&class->choices[a], p))
                continue;
            ARRAY_RESERVE(class->pools, class->pool_count, class->pool_capacity);
            struct class_pool *cp = &class->pools[class->pool_count++];
            *cp = (struct class_pool){.pool = i, .alternative = a, .replica_milli = q,
                .units_milli = mul_checked(q, class->replicas), .ratio = class->ratios[a]};
            cp->fits = plan_capacity(m, class, cp, class->replicas) >= class->replicas;
        }
}

void class_make(const struct market *m, const struct market_bid *bid, struct class *ret)
{
    *ret = (struct class){.key = BUF_INIT(64 * 1024)};
    class_key(m, bid, &ret->key);
    CHECK(class_from_key(ret, unpack_from(buf_str(&ret->key))));
    class_refresh(m, ret);
}

void class_fini(struct class *class)
{
    buf_fini(&class->key);
    xfree(class->alternatives);
    xfree(class->choices);
    xfree(class->ratios);
    xfree(class->pools);
}

uint32_t class_add(struct market *m, struct str key)
{
    struct class class = {.key = BUF_INIT(64 * 1024)};
    buf_append_str(&class.key, key);
    if (!class_from_key(&class, unpack_from(key))) {
        class_fini(&class);
        return 0;
    }
    ARRAY_RESERVE(m->classes, m->class_count, m->class_capacity);
    m->classes[m->class_count] = class;
    str_map_set(&m->class_by_key, key, m->class_count);
    return m->class_count++;
}

uint32_t class_find(struct market *m, const struct market_bid *bid)
{
    _cleanup_buf_ struct buf key = BUF_INIT(64 * 1024);
    class_key(m, bid, &key);
    uint32_t slot = (uint32_t)str_map_get(&m->class_by_key, buf_str(&key));
    if (slot == 0)
        slot = class_add(m, buf_str(&key));
    CHECK(slot != 0);
    class_refresh(m, &m->classes[slot]);
    return slot;
}

void class_touch(struct market *m, uint32_t class)
{
    if (m->classes[class].touched)
        return;
    m->classes[class].touched = true;
    ARRAY_RESERVE(m->touched, m->touched_count, m->touched_capacity);
    m->touched[m->touched_count++] = class;
}

void classes_refresh(struct market *m)
{
    if (m->classes_version == m->pools_version)
        return;
    m->classes_version = m->pools_version;
    for (uint32_t i = 1; i < m->class_count; i++)
        class_refresh(m, &m->classes[i]);
}
