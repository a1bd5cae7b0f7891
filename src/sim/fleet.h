/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The topology that baselines place on: nodes of cores, memory and GPUs that can be shared. */

#include "base/number.h"
#include "base/str.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FLEET_GPUS_MAX 16
#define FLEET_MODELS_MAX 64
#define GPU_MILLI 1000

/* What a replica takes: whole GPUs, or one share below 1,000. */
struct shape {
    int64_t core_milli, memory_mib;
    int64_t gpu_count, gpu_milli; /* gpu_milli: of each */
    uint64_t models;              /* bit m: model m will do; 0: any */
};

struct fleet_node {
    struct str name;
    uint32_t model;
    int64_t core_milli, memory_mib, gpu_count;
    /* what is free */
    int64_t free_core_milli, free_memory_mib;
    int64_t free_gpu_milli; /* sum of the next */
    int64_t free_gpu[FLEET_GPUS_MAX];
};

struct fleet {
    struct fleet_node *nodes; /* equal nodes: the earlier one goes first */
    size_t count, capacity;
    struct str models[FLEET_MODELS_MAX]; /* GPU models by number */
    size_t model_count;
    int64_t gpu_milli; /* of all nodes */
};

/* Where a replica goes. */
struct placing {
    size_t node;   /* SIZE_MAX: nowhere */
    uint64_t gpus; /* bit i: GPU i of it */
};

void fleet_fini(struct fleet *f);
/* Adds a node, all of it free. */
void fleet_add(struct fleet *f, struct fleet_node node);
/* The number of a model, new where `add`; SIZE_MAX: unknown, or one too many. */
size_t fleet_model(struct fleet *f, struct str name, bool add);
/* Everything free again. */
void fleet_reset(struct fleet *f);

bool node_fits(const struct fleet_node *n, const struct shape *s);
/* The first idle GPUs, or, for a share, the fullest GPU that still holds it. It must fit. */
uint64_t node_gpus(const struct fleet_node *n, const struct shape *s);
void node_take_shape(struct fleet_node *n, const struct shape *s, uint64_t gpus);
