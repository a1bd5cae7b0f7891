/* SPDX-License-Identifier: Apache-2.0 */
#include "providers/plan.h"

#define CENT 10000

static udollar price_now(const struct seller_offer *o)
{
    return o->free > 0 || o->winning >= 0 ? MAX(o->winning, o->price) : -1;
}

int64_t plan_memory_mib(const struct seller_offer *offer)
{
    return offer->memory_gb * 1024 * 15 / 16; /* the rest is the machine's own */
}

bool plan_fits(const struct plan_choice *c, const struct seller_offer *o, struct str provider)
{
    bool named = (c->sku.size == 0 || str_equal(c->sku, o->name)) && (c->accelerator.size == 0 || str_equal(c->accelerator, o->gpu)) &&
                 (c->provider.size == 0 || str_equal(c->provider, provider)) && (c->region.size == 0 || str_equal(c->region, o->region)) &&
                 (c->zone.size == 0 || str_equal(c->zone, o->region));
    bool by_core = o->gpus == 0; /* work without GPUs is no reason to buy them */
    return named && !c->labelled && by_core == (c->gpu_milli == 0) && c->gpu_milli <= o->gpus * 1000 && c->core_milli <= o->cores * 1000 &&
           c->memory_mib <= plan_memory_mib(o) && (c->disk_mib == 0 || c->disk_mib <= o->disk_gb * 1024);
}

udollar plan_unit_rate(const struct seller_offer *o, int64_t margin_permille)
{
    udollar price = price_now(o);
    return price < 0 ? -1 : mul_div_ceil(mul_div_ceil(price, 1000, seller_offer_units(o)), 1000 + margin_permille, 1000);
}

udollar plan_limit(udollar value, int64_t margin_permille)
{
    return mul_div_floor(value, 1000, 1000 + margin_permille) / CENT * CENT;
}

void plan_sort(struct seller_offers *all)
{
    struct seller_offer *offers = all->items;
    for (size_t i = 1; i < all->count; i++)
        for (size_t k = i; k > 0; k--) {
            udollar a = plan_unit_rate(&offers[k - 1], 0), b = plan_unit_rate(&offers[k], 0);
            if (a >= 0 && (b < 0 || a <= b))
                break;
            if (a < 0 && b < 0)
                break;
            struct seller_offer other = offers[k];
            offers[k] = offers[k - 1];
            offers[k - 1] = other;
        }
}

static bool machine_takes(struct plan_machine *m, const struct plan_choice *c, udollar limit)
{
    if (c->gpu_milli > m->gpu_milli || c->core_milli > m->core_milli || c->memory_mib > m->memory_mib || (c->disk_mib && c->disk_mib > m->disk_mib))
        return false;
    m->gpu_milli -= c->gpu_milli;
    m->core_milli -= c->core_milli;
    m->memory_mib -= c->memory_mib;
    m->disk_mib -= c->disk_mib;
    m->value += mul_div_floor(limit, c->gpu_milli ? c->gpu_milli : c->core_milli, 1000);
    return true;
}

struct planning {
    const struct plan *plan;
    struct plan_machine *machines;
    size_t count, most;
};

static bool offer_pays(const struct planning *p, size_t offer, const struct plan_choice *c, udollar limit)
{
    const struct seller_offer *o = &p->plan->offers->items[offer];
    udollar rate = plan_unit_rate(o, p->plan->margin_permille);
    return rate >= 0 && limit >= rate && plan_fits(c, o, p->plan->provider);
}

/* Into a machine that is planned already, else into a new one of the cheapest that fits. */
static void demand_place(struct planning *p, const struct plan_demand *d)
{
    for (size_t i = 0; i < p->count; i++)
        for (size_t k = 0; k < d->choice_count; k++)
            if (offer_pays(p, p->machines[i].offer, &d->choices[k], d->limit) && machine_takes(&p->machines[i], &d->choices[k], d->limit))
                return;
    for (size_t o = 0; o < p->plan->offers->count && p->count < p->most; o++)
        for (size_t k = 0; k < d->choice_count; k++) {
            if (!offer_pays(p, o, &d->choices[k], d->limit))
                continue;
            const struct seller_offer *offer = &p->plan->offers->items[o];
            struct plan_machine *m = &p->machines[p->count++];
            *m = (struct plan_machine){.offer = o, .gpu_milli = offer->gpus * 1000, .core_milli = offer->cores * 1000,
                                       .memory_mib = plan_memory_mib(offer), .disk_mib = offer->disk_gb * 1024};
            machine_takes(m, &d->choices[k], d->limit);
            return;
        }
}

size_t plan_machines(const struct plan *plan, const struct plan_demand *demands, size_t count, struct plan_machine *ret, size_t most)
{
    struct planning p = {.plan = plan, .machines = ret, .most = most};
    size_t kept = 0;
    for (size_t i = 0; i < count; i++)
        demand_place(&p, &demands[i]);
    for (size_t i = 0; i < p.count; i++)
        if (plan_limit(ret[i].value, plan->margin_permille) >= price_now(&plan->offers->items[ret[i].offer]))
            ret[kept++] = ret[i];
    return kept;
}
