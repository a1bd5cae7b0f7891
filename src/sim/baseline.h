/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What people use instead, as schedulers of virtual time. All of them place a replica on the node
 * where it fits closest, and differ in whom they pick, whom they pass over and whom they preempt.
 *
 *   fifo          first come, first served: who does not fit blocks the rest
 *   backfill      FIFO with EASY backfilling (Lifka 1995): whoever does not delay the first may
 * pass it sjf           shortest estimate first; who does not fit is passed over static-quota  each
 * tenant has nodes of its own, in proportion to the work in its trace; FIFO there priority four
 * tiers by value, backfill, and a higher tier preempts lower ones tiresias      discretised least
 * attained service (Gu et al., NSDI 2019): two queues, preemptive */

#include "sim/world.h"

extern const struct scheduler scheduler_fifo, scheduler_backfill, scheduler_sjf,
    scheduler_static_quota, scheduler_priority, scheduler_tiresias;
