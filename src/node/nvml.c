/* SPDX-License-Identifier: Apache-2.0 */
#include "node/nvml.h"

#include "base/memory.h"
#include "base/number.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#define NVML_SUCCESS 0
#define NVML_DRIVER_NOT_LOADED 9
#define MIB ((uint64_t)1 << 20)

typedef struct nvml_device *nvml_device; /* opaque */
struct nvml_memory {
    unsigned long long total, free, used;
};
struct nvml_pci {
    char old_address[16];
    unsigned domain, bus, device, pci_device, pci_subsystem;
    char address[32];
};

struct nvml {
    int (*init)(void);
    int (*shutdown)(void);
    int (*count)(unsigned *count);
    int (*handle)(unsigned index, nvml_device *device);
    int (*name)(nvml_device device, char *name, unsigned length);
    int (*uuid)(nvml_device device, char *uuid, unsigned length);
    int (*memory)(nvml_device device, struct nvml_memory *memory);
    int (*pci)(nvml_device device, struct nvml_pci *pci);
    int (*minor)(nvml_device device, unsigned *minor);
    const char *(*error)(int code);
};

/* Newer names first; the older ones fill the same structures as far as they are read here. */
static const struct symbol {
    size_t offset;
    const char *names[2];
    bool optional;
} symbols[] = {
    {offsetof(struct nvml, init), {"nvmlInit_v2", "nvmlInit"}, false},
    {offsetof(struct nvml, shutdown), {"nvmlShutdown", NULL}, false},
    {offsetof(struct nvml, count), {"nvmlDeviceGetCount_v2", "nvmlDeviceGetCount"}, false},
    {offsetof(struct nvml, handle),
     {"nvmlDeviceGetHandleByIndex_v2", "nvmlDeviceGetHandleByIndex"},
     false},
    {offsetof(struct nvml, name), {"nvmlDeviceGetName", NULL}, false},
    {offsetof(struct nvml, uuid), {"nvmlDeviceGetUUID", NULL}, false},
    {offsetof(struct nvml, memory), {"nvmlDeviceGetMemoryInfo", NULL}, false},
    {offsetof(struct nvml, pci), {"nvmlDeviceGetPciInfo_v3", NULL}, true},
    {offsetof(struct nvml, minor), {"nvmlDeviceGetMinorNumber", NULL}, true},
    {offsetof(struct nvml, error), {"nvmlErrorString", NULL}, true},
};

static int resolve(void *library, struct nvml *nvml, struct error *err)
{
    for (size_t i = 0; i < ARRAY_COUNT(symbols); i++) {
        void *found = NULL;
        for (size_t n = 0; n < 2 && found == NULL && symbols[i].names[n]; n++)
            found = dlsym(library, symbols[i].names[n]);
        if (found == NULL && !symbols[i].optional)
            return error_set(err, -EIO, "NVML: the library lacks %s", symbols[i].names[0]);
        memcpy((char *)nvml + symbols[i].offset, &found, sizeof found);
    }
    return 0;
}

static int fail(const struct nvml *nvml, int code, const char *what, struct error *err)
{
    const char *text = nvml->error ? nvml->error(code) : NULL;
    return error_set(err, code == NVML_DRIVER_NOT_LOADED ? -ENODEV : -EIO, "NVML: %s: %s (%d)",
                     what, text ? text : "failed", code);
}

static int read_device(const struct nvml *nvml, unsigned index, struct machine_gpu *ret,
                       struct error *err)
{
    nvml_device device;
    char name[MACHINE_TEXT_MAX] = "";
    struct nvml_memory memory = {0};
    struct nvml_pci pci = {0};
    unsigned minor;
    *ret = (struct machine_gpu){.numa = -1};
    int code = nvml->handle(index, &device);
    if (code == NVML_SUCCESS)
        code = nvml->name(device, name, sizeof name);
    if (code == NVML_SUCCESS)
        code = nvml->uuid(device, ret->uuid, sizeof ret->uuid);
    if (code == NVML_SUCCESS)
        code = nvml->memory(device, &memory);
    if (code != NVML_SUCCESS)
        return fail(nvml, code, "a device tells nothing", err);
    name[sizeof name - 1] = ret->uuid[sizeof ret->uuid - 1] = '\0';
    ret->memory_mib = (int64_t)MIN(memory.total / MIB, (uint64_t)INT32_MAX);
    machine_gpu_model(name, ret->memory_mib, ret->model);
    if (nvml->pci && nvml->pci(device, &pci) == NVML_SUCCESS)
        snprintf(ret->address, sizeof ret->address, "%04x:%02x:%02x.0", pci.domain & 0xffff,
                 pci.bus & 0xff, pci.device & 0xff);
    if (nvml->minor && nvml->minor(device, &minor) == NVML_SUCCESS)
        snprintf(ret->device, sizeof ret->device, "/dev/nvidia%u", minor);
    return 0;
}

static int read_devices(const struct nvml *nvml, struct machine *ret, struct error *err)
{
    unsigned count = 0;
    int code = nvml->count(&count);
    if (code != NVML_SUCCESS)
        return fail(nvml, code, "no count of devices", err);
    for (unsigned i = 0; i < count && ret->gpu_count < MACHINE_GPUS_MAX; i++) {
        int rc = read_device(nvml, i, &ret->gpus[ret->gpu_count], err);
        if (rc)
            return rc;
        ret->gpu_count++;
    }
    return count ? 0 : error_set(err, -ENODEV, "NVML: no device");
}

int nvml_discover(const char *library, struct machine *ret, struct error *err)
{
    struct nvml nvml = {0};
    void *loaded = dlopen(library, RTLD_NOW | RTLD_LOCAL);
    if (loaded == NULL)
        return error_set(err, -ENOENT, "NVML: %s", dlerror());
    int rc = resolve(loaded, &nvml, err);
    int code = rc ? 0 : nvml.init();
    if (rc == 0 && code != NVML_SUCCESS)
        rc = fail(&nvml, code, "cannot be begun", err);
    else if (rc == 0) {
        rc = read_devices(&nvml, ret, err);
        nvml.shutdown();
    }
    dlclose(loaded);
    return rc;
}
