/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The clocks, for the folders that may look at one (never market or engine). */

#include "base/number.h"

/* Milliseconds since 1970, UTC; may step. */
time_ms clock_wall_ms(void);
/* For spans: never goes back. */
time_ms clock_monotonic_ms(void);
int64_t clock_monotonic_us(void);
