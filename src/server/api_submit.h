/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* A workload in a request's body, as the engine takes it; shared by submit and quote. */

#include "records/workload.h"
#include "server/api_internal.h"

/* Decodes JSON or a task file, checks it, finds project and archive; all but the idempotency key.
 * False: the call was refused. */
bool call_submit(struct api_call *call, bool quote, struct engine_submit *ret);
/* Completes a submit of kind instance from the state (api_instance.h) and packs its request again.
 * False: the call was refused. */
bool submit_complete(struct api_call *call, const struct core_view *view, struct workload_request *request,
                     struct engine_submit *submit);
/* The workload in the path as the tables know it, where the caller may see it. False: refused, with
 * 404 where there is none. */
bool call_past_workload(struct api_call *call, const struct core_view *view,
                        const struct table_workload **ret);
