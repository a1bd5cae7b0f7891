/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Instances: replicas that are machines, handed to their owner. */

#include "records/workload.h"
#include "server/api_internal.h"

/* Of one order at most; so many low bits of an instance's number are its rank. */
#define INSTANCE_RANKS 256

static inline uint64_t instance_number(engine_id workload, uint32_t rank)
{
    return workload * INSTANCE_RANKS + rank;
}

/* Fills in what the server adds to a request of kind instance: the label of nodes that can hand out
 * machines, and the objects behind its keys and volumes, with the project's required keys. Texts
 * live in `arena`. err is `instance.volumes[0]: what is wrong`. */
int instance_complete(const struct render *r, engine_id project, struct workload_request *request, struct error *err);
/* What an agent is told of one. */
void instance_render(const struct render *r, const struct engine_workload *w, const struct workload_request *request,
                     const struct engine_replica *replica, struct agent_instance *ret);
/* "<order>-1". */
struct str instance_name(const struct render *r, const struct engine_workload *w, uint32_t rank);
enum agent_stop instance_stop(const struct engine_workload *w);
