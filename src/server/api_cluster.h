/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Clusters of Kubernetes and the control planes that an operator gives them: a thread that hands a
 * free control plane to each cluster that waits, and asks it whether it is ready. */

#include "records/object.h"
#include "server/core.h"

struct api;
struct api_clusters;

int api_clusters_new(struct api_clusters **ret, struct api *api, struct error *err);
/* On the writer's thread: looks again where clusters or control planes changed. */
void api_clusters_commit(struct api_clusters *c, const struct core_commit *commit);
/* Ends what it waits for; any thread. */
void api_clusters_stop(struct api_clusters *c);
/* After the core is closed. */
void api_clusters_free(struct api_clusters *c);

/* The control plane that a cluster has or had; NULL = none yet. */
const struct engine_object *cluster_control_plane(const struct engine *e, engine_id cluster, struct arena *arena,
                                                  struct object_control_plane *ret);
