/* SPDX-License-Identifier: Apache-2.0 */
/* A library that answers as NVML does, for a machine of FAKE_NVML_GPUS H100s. FAKE_NVML_ERROR is
 * the code of nvmlInit_v2, FAKE_NVML_LOST the index of a device that has fallen off the bus. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct memory {
    unsigned long long total, free, used;
};
struct pci {
    char old_address[16];
    unsigned domain, bus, device, pci_device, pci_subsystem;
    char address[32];
};

int nvmlInit_v2(void);
int nvmlShutdown(void);
int nvmlDeviceGetCount_v2(unsigned *count);
int nvmlDeviceGetHandleByIndex_v2(unsigned index, void **device);
int nvmlDeviceGetName(const void *device, char *name, unsigned length);
int nvmlDeviceGetUUID(const void *device, char *uuid, unsigned length);
int nvmlDeviceGetMemoryInfo(const void *device, struct memory *memory);
int nvmlDeviceGetPciInfo_v3(const void *device, struct pci *pci);
int nvmlDeviceGetMinorNumber(const void *device, unsigned *minor);
const char *nvmlErrorString(int code);

static int number(const char *variable, int otherwise)
{
    const char *text = getenv(variable);
    return text ? (int)strtol(text, NULL, 10) : otherwise;
}

static char devices[64]; /* their places are their handles */

static unsigned index_of(const void *device)
{
    return (unsigned)((const char *)device - devices);
}

int nvmlInit_v2(void)
{
    return number("FAKE_NVML_ERROR", 0);
}

int nvmlShutdown(void)
{
    return 0;
}

int nvmlDeviceGetCount_v2(unsigned *count)
{
    *count = (unsigned)number("FAKE_NVML_GPUS", 0);
    return 0;
}

int nvmlDeviceGetHandleByIndex_v2(unsigned index, void **device)
{
    *device = &devices[index];
    return (int)index == number("FAKE_NVML_LOST", -1) ? 15 : 0; /* NVML_ERROR_GPU_IS_LOST */
}

int nvmlDeviceGetName(const void *device, char *name, unsigned length)
{
    (void)device;
    snprintf(name, length, "NVIDIA H100 80GB HBM3");
    return 0;
}

int nvmlDeviceGetUUID(const void *device, char *uuid, unsigned length)
{
    snprintf(uuid, length, "GPU-%08x-0000-0000-0000-000000000000", index_of(device));
    return 0;
}

int nvmlDeviceGetMemoryInfo(const void *device, struct memory *memory)
{
    (void)device;
    *memory = (struct memory){.total = 85520809984ull};
    return 0;
}

int nvmlDeviceGetPciInfo_v3(const void *device, struct pci *pci)
{
    *pci = (struct pci){.bus = 0x19 + index_of(device)};
    return 0;
}

/* The driver counts the other way round. */
int nvmlDeviceGetMinorNumber(const void *device, unsigned *minor)
{
    *minor = (unsigned)number("FAKE_NVML_GPUS", 0) - 1 - index_of(device);
    return 0;
}

const char *nvmlErrorString(int code)
{
    return code == 9 ? "Driver Not Loaded" : code == 15 ? "GPU is lost" : "Unknown Error";
}
