/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* A price over time in letters. */

#include "records/api.h"

#include <stdio.h>

#define CHART_WIDTH 72 /* columns */

/* Points in order of time; each holds until the next one. */
void chart_print(const struct api_price_point *points, size_t count, int64_t now_ms, FILE *out);
