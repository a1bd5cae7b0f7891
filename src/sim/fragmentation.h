/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* How much of a fleet's GPUs can be given away when pods only arrive: the experiment of FGD. */

#include "sim/openb.h"
#include "sim/policy.h"

struct fragmentation {
    const struct policy *policy;
    uint64_t seed;
    int64_t saturate_milli; /* arrivals ask for so many thousandths of the fleet */
};

struct fragmentation_result {
    size_t arrived, placed;
    size_t failed_gpu, failed_cpu_only;
    size_t refused_that_fit; /* failed although a node had room, by the runner's own count */
    size_t moved;            /* placed pods that left their place */
    double allocated[401];   /* percent of GPU capacity, when so many percent have arrived */
    bool reached[401];
    double pod_us; /* processor time, mean */
};

/* The one that places pods. `moved` may be asked at the end. */
void fragmentation_run(struct openb *o, const struct fragmentation *f,
                       struct fragmentation_result *ret);
