/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What a machine is: by hwloc, and by NVML where its library and a driver are there. Any machine's
 * topology can be read from an XML file that hwloc exported (`lstopo machine.xml`). */

#include "base/error.h"

#include <stdbool.h>
#include <stdint.h>

#define MACHINE_GPUS_MAX 64
#define MACHINE_TEXT_MAX 96

struct machine_gpu {
    char uuid[MACHINE_TEXT_MAX];
    char model[MACHINE_TEXT_MAX]; /* as fleets call it: "H100", "A100-80GB", "MI250X" */
    char address[32];             /* on the PCI bus: "0000:3b:00.0" */
    char device[32];              /* the file that opens it: "/dev/nvidia0"; empty = not known */
    int64_t memory_mib;
    int32_t numa; /* -1 = not known */
};

struct machine {
    int64_t cores, threads; /* cores are what hwloc calls so; threads are what runs on them */
    int64_t memory_mib, numa_nodes;
    uint32_t gpu_count;
    struct machine_gpu gpus[MACHINE_GPUS_MAX]; /* in the order of the bus */
    char nvml[160]; /* why NVML told nothing; empty where it did or was not asked */
};

/* topology: hwloc's XML, or NULL for this machine, and then NVML is asked too. */
int machine_discover(struct machine *ret, const char *topology, struct error *err);

/* What a machine with so much memory or disk offers of it, MiB: all but a thirty-second at least, in
 * steps coarse enough that machines of one make, which differ by some MiB, offer the same: the
 * market tells pools apart by what a node gives. */
int64_t machine_offer_mib(int64_t size_mib);
/* "NVIDIA H100 80GB HBM3", 81559 MiB -> "H100". */
void machine_gpu_model(const char *name, int64_t memory_mib, char ret[MACHINE_TEXT_MAX]);
