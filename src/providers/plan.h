/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What is worth buying: work that waits, put into machines that a seller offers. Pure. */

#include "providers/seller.h"

struct plan_choice { /* what one replica takes; empty names: any */
    struct str sku, accelerator, provider, region, zone;
    bool labelled; /* asks for labels, which no bought machine has */
    int64_t gpu_milli, core_milli, memory_mib, disk_mib;
};
struct plan_demand { /* of a workload of one replica */
    const struct plan_choice *choices;
    size_t choice_count;
    udollar limit; /* per unit-hour, of the first choice */
};
struct plan_machine {
    size_t offer;
    int64_t gpu_milli, core_milli, memory_mib, disk_mib; /* still free */
    udollar value; /* per hour: what the work in it would pay at most */
};

struct plan {
    const struct seller_offers *offers; /* cheapest first */
    struct str provider;
    int64_t margin_permille;
};

/* Where a machine bought from this provider stands: provider NAME, region and zone as the seller's region. */
bool plan_fits(const struct plan_choice *choice, const struct seller_offer *offer, struct str provider);
/* What a unit-hour has to be worth there, in µ$: the price and the margin on it; -1: it cannot be had. */
udollar plan_unit_rate(const struct seller_offer *offer, int64_t margin_permille);
/* `demands` by limit, highest first. At most `most` machines, those worth buying alone: what
 * each holds pays its price and the margin. */
size_t plan_machines(const struct plan *plan, const struct plan_demand *demands, size_t count, struct plan_machine *ret, size_t most);
/* The most to bid: the machine's value less the margin, in whole cents. */
udollar plan_limit(udollar value, int64_t margin_permille);
/* Cheapest per unit first; those without a price last. */
void plan_sort(struct seller_offers *offers);
/* Memory and disk that work may take on it, MiB; disk 0 = not told. */
int64_t plan_memory_mib(const struct seller_offer *offer);
