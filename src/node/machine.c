/* SPDX-License-Identifier: Apache-2.0 */
#include "node/machine.h"

#include "base/memory.h"
#include "base/number.h"
#include "base/str.h"
#include "node/nvml.h"

#include <ctype.h>
#include <errno.h>
#include <hwloc.h>
#include <stdio.h>
#include <strings.h>
#include <stdlib.h>
#include <unistd.h>

#define MIB ((uint64_t)1 << 20)
#define VENDOR_NVIDIA 0x10de
#define VENDOR_AMD 0x1002
#define CLASS_DISPLAY 0x03
#define CLASS_ACCELERATOR 0x12

/* ---- models ---- */

/* Words of a product's name that say nothing about the model. */
static bool is_noise(struct str word)
{
    static const char *const noise[] = {"NVIDIA",   "AMD",      "Tesla",  "GeForce",     "Quadro",
                                        "Instinct", "Graphics", "Device", "Corporation", "RTX"};
    for (size_t i = 0; i < ARRAY_COUNT(noise); i++)
        if (strlen(noise[i]) == word.size && strncasecmp(word.data, noise[i], word.size) == 0)
            return true;
    return false;
}

/* Some models come with two sizes of memory, and fleets tell those apart. */
static const struct size {
    const char *model, *name;
    int64_t from_mib;
} sizes[] = {{"A100", "A100-80GB", 60000}, {"V100", "V100-32GB", 24000}};

/* "V100-SXM3-32GB-H", "H100 80GB HBM3": the size that a name tells, in MiB; 0 where it tells none.
 */
static int64_t size_in_name(const char *name)
{
    for (const char *at = strstr(name, "GB"); at; at = strstr(at + 2, "GB")) {
        const char *digits = at;
        while (digits > name && isdigit((unsigned char)digits[-1]))
            digits--;
        if (digits < at && at - digits < 6)
            return strtoll(digits, NULL, 10) * 1024;
    }
    return 0;
}

int64_t machine_offer_mib(int64_t size_mib)
{
    int64_t offer = size_mib - size_mib / 32, step = 1;
    while (offer / step >= 64)
        step *= 2;
    return offer - offer % step;
}

void machine_gpu_model(const char *name, int64_t memory_mib, char ret[MACHINE_TEXT_MAX])
{
    memory_mib = memory_mib ? memory_mib : size_in_name(name);
    struct str rest = str_from(name), model = {0};
    while (rest.size && model.size == 0) {
        struct str word = str_cut(&rest, ' ');
        if (word.size && !is_noise(word))
            model = word;
    }
    /* "A100-SXM4-40GB" and "V100-SXM2-32GB" are forms of the model */
    struct str whole = model;
    struct str head = str_cut(&whole, '-');
    snprintf(ret, MACHINE_TEXT_MAX, "%.*s", STR_ARGS(head));
    for (size_t i = 0; i < ARRAY_COUNT(sizes); i++)
        if (strcmp(ret, sizes[i].model) == 0 && memory_mib >= sizes[i].from_mib) {
            snprintf(ret, MACHINE_TEXT_MAX, "%s", sizes[i].name);
            return;
        }
}

/* ---- what hwloc found ---- */

static int32_t numa_of(hwloc_obj_t device)
{
    hwloc_obj_t above = device;
    while (above && (above->nodeset == NULL || hwloc_bitmap_weight(above->nodeset) == 0))
        above = above->parent;
    return above && hwloc_bitmap_weight(above->nodeset) == 1 ? hwloc_bitmap_first(above->nodeset)
                                                             : -1;
}

/* In "51515031552 kB" or plain bytes, as the backends write it; 0 where none did. */
static int64_t memory_of(hwloc_obj_t device)
{
    static const char *const keys[] = {"NVIDIAMemory", "CUDAGlobalMemorySize", "RSMIVRAMSize",
                                       "NVMLMemory"};
    for (hwloc_obj_t os = device->io_first_child; os; os = os->next_sibling)
        for (size_t i = 0; i < ARRAY_COUNT(keys); i++) {
            const char *kib = hwloc_obj_get_info_by_name(os, keys[i]);
            if (kib)
                return (int64_t)(strtoull(kib, NULL, 10) / 1024);
        }
    return 0;
}

static const char *info_of(hwloc_obj_t device, const char *key)
{
    for (hwloc_obj_t os = device->io_first_child; os; os = os->next_sibling) {
        const char *found = hwloc_obj_get_info_by_name(os, key);
        if (found)
            return found;
    }
    return NULL;
}

/* A GPU that computes: NVIDIA's and AMD's display and accelerator classes, or whatever a GPU
 * backend of hwloc recognised. */
static bool is_gpu(hwloc_obj_t device)
{
    unsigned class = device->attr->pcidev.class_id >> 8, vendor = device->attr->pcidev.vendor_id;
    return (vendor == VENDOR_NVIDIA || vendor == VENDOR_AMD) &&
           (class == CLASS_DISPLAY || class == CLASS_ACCELERATOR);
}

/* Boards of servers carry small display chips of the same makers; a compute GPU has an object of a
 * GPU backend below it, or NVIDIA's 3D class. */
static bool computes(hwloc_obj_t device)
{
    if (device->attr->pcidev.class_id == 0x0302 ||
        device->attr->pcidev.class_id >> 8 == CLASS_ACCELERATOR)
        return true;
    for (hwloc_obj_t os = device->io_first_child; os; os = os->next_sibling)
        if (os->type == HWLOC_OBJ_OS_DEVICE && (os->attr->osdev.type == HWLOC_OBJ_OSDEV_GPU ||
                                                os->attr->osdev.type == HWLOC_OBJ_OSDEV_COPROC))
            return true;
    return false;
}

static const char *name_of(hwloc_obj_t device)
{
    const char *name = info_of(device, "GPUModel");
    return name ? name : hwloc_obj_get_info_by_name(device, "PCIDevice");
}

/* "GV100GL [Tesla V100 SXM2]": the name that people use stands in brackets. */
static void name_gpu(hwloc_obj_t device, struct machine_gpu *gpu)
{
    const char *name = name_of(device);
    struct str text = str_from(name ? name : ""), inside = text;
    (void)str_cut(&inside, '[');
    _cleanup_free_ char *plain = str_dup(inside.size ? str_cut(&inside, ']') : text);
    gpu->memory_mib = gpu->memory_mib ? gpu->memory_mib : size_in_name(plain);
    machine_gpu_model(plain, gpu->memory_mib, gpu->model);
}

static void address_of(hwloc_obj_t device, char ret[32])
{
    const struct hwloc_pcidev_attr_s *pci = &device->attr->pcidev;
    snprintf(ret, 32, "%04x:%02x:%02x.%01x", pci->domain, pci->bus, pci->dev, pci->func);
}

/* GPUs that NVML told of get their place; others are added as far as hwloc knows them. */
static void add_gpu(struct machine *ret, hwloc_obj_t device, bool add)
{
    char address[32];
    address_of(device, address);
    for (uint32_t i = 0; i < ret->gpu_count; i++)
        if (strcmp(ret->gpus[i].address, address) == 0) {
            ret->gpus[i].numa = numa_of(device);
            return;
        }
    if (!add || ret->gpu_count == MACHINE_GPUS_MAX || !computes(device))
        return;
    struct machine_gpu *gpu = &ret->gpus[ret->gpu_count++];
    const char *uuid = info_of(device, "NVIDIAUUID");
    uuid = uuid ? uuid : info_of(device, "AMDUUID");
    *gpu = (struct machine_gpu){.numa = numa_of(device), .memory_mib = memory_of(device)};
    snprintf(gpu->address, sizeof gpu->address, "%s", address);
    snprintf(gpu->uuid, sizeof gpu->uuid, "%s", uuid ? uuid : address);
    name_gpu(device, gpu);
}

static int load(hwloc_topology_t topology, const char *xml, struct error *err)
{
    if (xml && hwloc_topology_set_xml(topology, xml) < 0)
        return error_set(err, -errno, "%s: not a topology that this hwloc reads: %s", xml,
                         strerror(errno));
    hwloc_topology_set_io_types_filter(topology, HWLOC_TYPE_FILTER_KEEP_IMPORTANT);
    if (hwloc_topology_load(topology) < 0)
        return error_set(err, -errno, "%s: the topology cannot be read: %s", xml ? xml : "hwloc",
                         strerror(errno));
    return 0;
}

static void read_topology(hwloc_topology_t topology, bool add_gpus, struct machine *ret)
{
    hwloc_obj_t device = NULL;
    ret->threads = MAX(hwloc_get_nbobjs_by_type(topology, HWLOC_OBJ_PU), 1);
    ret->cores = MAX(hwloc_get_nbobjs_by_type(topology, HWLOC_OBJ_CORE), 0);
    ret->numa_nodes = MAX(hwloc_get_nbobjs_by_type(topology, HWLOC_OBJ_NUMANODE), 1);
    ret->memory_mib = (int64_t)(hwloc_get_root_obj(topology)->total_memory / MIB);
    if (ret->cores == 0)
        ret->cores = ret->threads;
    while ((device = hwloc_get_next_pcidev(topology, device)))
        if (is_gpu(device))
            add_gpu(ret, device, add_gpus);
}

/* All of it, as the kernel counts: what it tells node by node leaves out memory that was added
 * while it ran. */
static int64_t memory_here(void)
{
    long pages = sysconf(_SC_PHYS_PAGES), size = sysconf(_SC_PAGESIZE);
    return pages > 0 && size > 0 ? (int64_t)((uint64_t)pages * (uint64_t)size / MIB) : 0;
}

static int compare_gpus(const void *a, const void *b)
{
    const struct machine_gpu *x = a, *y = b;
    return strcmp(x->address, y->address);
}

int machine_discover(struct machine *ret, const char *topology, struct error *err)
{
    hwloc_topology_t found;
    struct error nvml = {0};
    *ret = (struct machine){0};
    if (topology == NULL && nvml_discover(NVML_LIBRARY, ret, &nvml) < 0)
        snprintf(ret->nvml, sizeof ret->nvml, "%.*s", (int)sizeof ret->nvml - 1, nvml.text);
    if (hwloc_topology_init(&found) < 0)
        return error_set(err, -ENOMEM, "hwloc cannot be begun");
    int rc = load(found, topology, err);
    if (rc == 0)
        read_topology(found, topology != NULL, ret);
    if (topology == NULL)
        ret->memory_mib = MAX(ret->memory_mib, memory_here());
    hwloc_topology_destroy(found);
    qsort(ret->gpus, ret->gpu_count, sizeof *ret->gpus, compare_gpus);
    return rc;
}
