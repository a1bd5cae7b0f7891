/* SPDX-License-Identifier: Apache-2.0 */
#include "sim/draw.h"

#include "base/hash.h"
#include "base/number.h"

#include <math.h>

#define RESULT_MOST 9e15 /* whole numbers that a double holds */

static uint64_t draw(uint64_t *state)
{
    struct prng p = {*state};
    uint64_t value = prng_next(&p);
    *state = p.state;
    return value;
}

/* In (0, 1]. */
static double draw_unit(uint64_t *state)
{
    return (double)((draw(state) >> 11) + 1) / (double)((uint64_t)1 << 53);
}

uint64_t draw_below(uint64_t *state, uint64_t bound)
{
    struct prng p = {*state};
    uint64_t value = prng_below(&p, bound);
    *state = p.state;
    return value;
}

double draw_normal(uint64_t *state)
{
    double radius = sqrt(-2 * log(draw_unit(state)));
    return radius * cos(6.283185307179586 * draw_unit(state));
}

int64_t draw_exponential(uint64_t *state, int64_t mean)
{
    double value = -log(draw_unit(state)) * (double)mean;
    return MAX((int64_t)MIN(value, RESULT_MOST), 1);
}

int64_t draw_scaled(int64_t value, double power)
{
    return (int64_t)MIN((double)value * exp(power), RESULT_MOST);
}
