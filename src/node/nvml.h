/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* NVIDIA's management library, loaded at run time: a machine without it, or with it and no driver,
 * is a machine without NVIDIA GPUs. The few prototypes used are declared here, after NVML's public
 * reference. */

#include "base/error.h"
#include "node/machine.h"

#define NVML_LIBRARY "libnvidia-ml.so.1"

/* Appends the GPUs to ret->gpus. -ENOENT: no library; -ENODEV: no driver or no device; -EIO. */
int nvml_discover(const char *library, struct machine *ret, struct error *err);
