/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* When a workload with a deadline runs on interruptible capacity, when on its placeholder, and when
 * it waits. The placeholder is firm and dear, interruptible capacity is cheap and comes and goes;
 * every start costs the restart time.
 *
 * Slack is the time left beyond the work left. Waiting spends it, and so does every restart;
 * without it the workload is bound to its placeholder and cheap capacity passes by unused. So a
 * reserve is kept for the restarts to come, in proportion to the work left: waiting spends only
 * what is above it. Late it cannot be: the reserve never falls below one start on each kind. */

#include "market/market.h"

enum deadline_action {
    DEADLINE_WAIT,
    DEADLINE_CHEAP, /* on interruptible capacity */
    DEADLINE_FIRM,  /* on the placeholder */
};

struct deadline {
    time_ms time_left;            /* until the deadline */
    time_ms work_left;            /* run time still needed, restarts apart */
    time_ms restart;              /* lost at each start */
    time_ms step;                 /* until the next decision */
    udollar cheap, firm;          /* prices for the whole workload now */
    bool offered;                 /* interruptible capacity is there now */
    enum deadline_action running; /* what it runs on now; WAIT: nothing */
};

enum deadline_action deadline_decide(const struct deadline *d);
/* Slack that is kept for restarts. */
time_ms deadline_reserve(time_ms work_left, time_ms restart);
