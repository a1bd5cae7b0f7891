/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Randomness of the simulator: SplitMix64 and what is made of it. */

#include <stdint.h>

/* Uniform in [0, bound). */
uint64_t draw_below(uint64_t *state, uint64_t bound);
/* Standard normal (Box and Muller 1958; one of the pair). */
double draw_normal(uint64_t *state);
/* Exponential of this mean, at least 1. */
int64_t draw_exponential(uint64_t *state, int64_t mean);
/* value x exp(power), rounded down. */
int64_t draw_scaled(int64_t value, double power);
