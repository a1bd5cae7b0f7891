/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What the modes of the market benchmark share. */

#include "market_fleet.h"

struct options { /* --key value … */
    char **words;
    int count;
};
const char *option_text(struct options *o, const char *key, const char *otherwise);
int64_t option_number(struct options *o, const char *key, int64_t otherwise);
struct gen_shape option_fleet(struct options *o);
bool option_gangs(struct options *o);

double gap_percent(int64_t surplus, int64_t bound);
/* Sorts them. */
double percentile(double *values, size_t count, double share);

/* market_lp.c: each prints its JSON object and returns the exit code */
int run_lp(struct options *o);
int run_slurm(struct options *o);
