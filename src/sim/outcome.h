/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* A run in files, for people and programs:
 *   summary.json   what is printed, and nothing of the clock: equal runs give equal bytes
 *   workloads.csv  what became of each
 *   series.csv     pools through time: price, use, what waits at or above the price
 *   timing.json    how long it took
 *   report.html    one page with the plots, that needs nothing else */

#include "sim/experiment.h"

#define OUTCOME_SAMPLE_MS ((time_ms)60000)

struct outcome {
    const struct world *world;
    const struct market_record *record;
    const struct report *report;
    double seconds; /* of processor time */
};

/* Makes the folder where it is not there. */
int outcome_write(const char *folder, const struct outcome *o, struct error *err);
/* The page, into `out`. */
void outcome_page(const struct outcome *o, struct buf *out);
