/* SPDX-License-Identifier: Apache-2.0 */
#include "market/deadline.h"

/* Chosen on ticks 0 to 889 of the spot traces of "Can't Be Late" (NSDI 2024) alone, then frozen. */
#define RESERVE_PERCENT 6             /* of the work left */
#define RESTARTS_PER_HOUR_PERCENT 150 /* expected in an hour of work */
#define RESTARTS_LEAST 2              /* onto cheap capacity and back */

time_ms deadline_reserve(time_ms work_left, time_ms restart)
{
    time_ms share = mul_div_ceil(work_left, RESERVE_PERCENT, 100);
    time_ms restarts =
        mul_div_ceil(mul_checked(restart, RESTARTS_PER_HOUR_PERCENT), work_left, HOUR_MS * 100);
    return add_checked(add_checked(share, restarts), mul_checked(restart, RESTARTS_LEAST));
}

enum deadline_action deadline_decide(const struct deadline *d)
{
    time_ms slack = sub_checked(d->time_left, d->work_left);
    bool cheap = d->offered && d->cheap < d->firm;
    if (cheap && d->running == DEADLINE_CHEAP)
        return DEADLINE_CHEAP;
    bool can_return = slack >= add_checked(mul_checked(d->restart, RESTARTS_LEAST), d->step);
    if (cheap && can_return)
        return DEADLINE_CHEAP;
    if (d->running == DEADLINE_FIRM)
        return DEADLINE_FIRM;
    time_ms reserve = deadline_reserve(d->work_left, d->restart);
    return slack > MAX(reserve, add_checked(d->restart, d->step)) ? DEADLINE_WAIT : DEADLINE_FIRM;
}
