/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What the benchmarks submit and register. The job mix is the one that `bench/slurm` gives to
 * Slurm. */

#include "mix_job.h"

#include "base/buf.h"

#include <stdint.h>

#define MIX_BODY_SIZE 1024

/* A workload_request of exactly MIX_BODY_SIZE bytes; its limit is 1 to 20 dollars a GPU-hour. */
void mix_submit(struct buf *out, uint64_t number, uint64_t *state);
/* One whole node at 100 dollars a GPU-hour: what fills the fleet and is not displaced. */
void mix_fill(struct buf *out, uint64_t number);
/* The agent_facts of node `number`: 8 GPUs, 16 nodes a rack, 32 racks a fabric. */
void mix_node(struct buf *out, unsigned number);
