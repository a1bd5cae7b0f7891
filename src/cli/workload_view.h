/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* A workload in words. */

#include "base/buf.h"
#include "records/api.h"

/* "finished  exit code 0, ran 5s, cost $0.000123" */
void workload_summary(const struct api_workload *work, struct buf *out);
/* Everything about one, as `tessera status` prints it; `now` by the local clock. */
void workload_print(const struct api_workload *work, int64_t now_ms);
/* "gpu" or "core": what its amounts are counted in, from what was submitted; "" where not known. */
struct str workload_unit(const struct api_workload *work);
