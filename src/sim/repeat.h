/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The same experiment more than once: over seeds (means and 95 % intervals by Student's t), over
 * the values of a setting, or of two policies paired by seed. */

#include "sim/experiment.h"

/* Fills ret->whole, as JSON or as a table as the options say. */
int repeat_run(const struct sim_options *o, struct report *ret, struct error *err);
/* Half the width of the 95 % interval of a mean; 0 for one value. */
double repeat_interval(const double *values, size_t count);
