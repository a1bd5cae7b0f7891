/* SPDX-License-Identifier: Apache-2.0 */
/* What the node tells: found on the machine, read from a file, cut to the slice that was asked for.
 */
#include "agent/agent_internal.h"

#include "base/clock.h"
#include "node/file.h"
#include "node/machine.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <netdb.h>
#include <stdio.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define FACTS_BYTES_MAX ((size_t)1 << 20)
#define MISSING_MAX 64
#define MIB ((int64_t)1 << 20)

void agent_miss(struct agent *a, const char *format, ...)
{
    char text[256];
    struct str *items = arena_alloc(&a->arena, (a->facts.missing.count + 1) * sizeof *items);
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (items == NULL || a->facts.missing.count == MISSING_MAX)
        return;
    if (a->facts.missing.count)
        memcpy(items, a->facts.missing.items, a->facts.missing.count * sizeof *items);
    items[a->facts.missing.count] = arena_str(&a->arena, str_from(text));
    a->facts.missing = (struct record_list){items, a->facts.missing.count + 1};
}

static struct str keep(struct agent *a, const char *text)
{
    return arena_str(&a->arena, str_from(text));
}

/* "h100-8x"; without GPUs "cpu". */
static struct str make_of(struct agent *a, const struct machine *machine)
{
    char text[MACHINE_TEXT_MAX + 16];
    if (machine->gpu_count == 0)
        return STR("cpu");
    int size = snprintf(text, sizeof text, "%s-%ux", machine->gpus[0].model, machine->gpu_count);
    for (int i = 0; i < size; i++)
        text[i] = (char)tolower((unsigned char)text[i]);
    return keep(a, text);
}

static void set_gpus(struct agent *a, const struct machine *machine)
{
    struct agent_gpu *gpus = arena_alloc(&a->arena, (machine->gpu_count + 1) * sizeof *gpus);
    for (uint32_t i = 0; gpus && i < machine->gpu_count; i++)
        gpus[i] = (struct agent_gpu){.index = i,
                                     .uuid = keep(a, machine->gpus[i].uuid),
                                     .model = keep(a, machine->gpus[i].model),
                                     .device = keep(a, machine->gpus[i].device),
                                     .memory_mib = machine->gpus[i].memory_mib};
    a->facts.gpus = (struct record_list){gpus, machine->gpu_count};
    a->facts.amounts.gpu_milli = (int64_t)machine->gpu_count * 1000;
    if (machine->gpu_count)
        a->facts.accelerator = keep(a, machine->gpus[0].model);
}

static int find_machine(struct agent *a, struct error *err)
{
    struct machine *machine = xcalloc(1, sizeof *machine);
    int rc = machine_discover(machine, a->options.topology, err);
    if (rc == 0) {
        a->facts.amounts =
            (struct agent_amounts){.core_milli = machine->threads * 1000,
                                   .memory_mib = machine_offer_mib(machine->memory_mib)};
        set_gpus(a, machine);
        a->facts.sku = make_of(a, machine);
        if (machine->nvml[0])
            agent_miss(a, "%s", machine->nvml);
    }
    xfree(machine);
    return rc;
}

static int read_facts(struct agent *a, const char *path, struct error *err)
{
    _cleanup_buf_ struct buf text = BUF_INIT(FACTS_BYTES_MAX);
    int rc = file_read(path, &text, err);
    if (rc == 0)
        rc = record_from_json(&agent_facts_record, arena_str(&a->arena, buf_str(&text)), &a->arena,
                              &a->facts, err);
    return rc ? error_prefix(err, "--facts %s", path) : 0;
}

/* The address of the interface that leads to the server: no packet is sent. */
static bool address_towards(const char *server, char ret[NI_MAXHOST])
{
    struct str rest = str_from(server), host;
    struct addrinfo *found = NULL, hints = {.ai_socktype = SOCK_DGRAM};
    struct sockaddr_storage own;
    socklen_t size = sizeof own;
    (void)str_cut(&rest, '/');
    (void)str_cut(&rest, '/');
    host = str_cut(&rest, '/');
    host = str_cut(&host, ':');
    _cleanup_free_ char *name = str_dup(host);
    if (getaddrinfo(name, "9", &hints, &found) || found == NULL)
        return false;
    int fd = socket(found->ai_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    bool ok =
        fd >= 0 && connect(fd, found->ai_addr, found->ai_addrlen) == 0 &&
        getsockname(fd, (struct sockaddr *)&own, &size) == 0 &&
        getnameinfo((struct sockaddr *)&own, size, ret, NI_MAXHOST, NULL, 0, NI_NUMERICHOST) == 0;
    if (fd >= 0)
        close(fd);
    freeaddrinfo(found);
    return ok;
}

static void set_identity(struct agent *a)
{
    const struct agent_options *o = &a->options;
    char host[HOST_NAME_MAX + 1] = "node", address[NI_MAXHOST] = "127.0.0.1";
    (void)gethostname(host, sizeof host - 1);
    if (o->name || a->facts.name.size == 0)
        a->facts.name = keep(a, o->name ? o->name : host);
    if (o->address == NULL && o->server && a->facts.address.size == 0)
        (void)address_towards(o->server, address);
    if (o->address || a->facts.address.size == 0)
        a->facts.address = keep(a, o->address ? o->address : address);
    if (o->sku)
        a->facts.sku = str_from(o->sku);
    if (o->facts == NULL)
        a->facts.place = o->place;
    if (o->label_count)
        a->facts.labels = (struct record_list){a->options.labels, o->label_count};
    if (o->ask_present) {
        a->facts.ask_udollar_per_hour = o->ask_udollar;
        a->facts.ask_present = true;
    }
    a->facts.version = STR(TESSERA_VERSION);
    a->facts.boot = str_from(a->boot);
}

/* The size, not what is free at this moment: nodes of one make must be alike from one start to the
 * next, or each would stand in a pool of its own. */
static int64_t disk_size_mib(const char *folder)
{
    struct statvfs st;
    return folder && statvfs(folder, &st) == 0
               ? (int64_t)(st.f_blocks * st.f_frsize / (uint64_t)MIB)
               : 0;
}

static int cut(const char *name, int64_t wish, int64_t *amount, struct error *err)
{
    if (wish > *amount)
        return error_set(err, -EINVAL, "--%s: more than the %lld that this machine has", name,
                         (long long)*amount);
    if (wish)
        *amount = wish;
    return 0;
}

static int cut_amounts(struct agent *a, struct error *err)
{
    struct agent_amounts *amounts = &a->facts.amounts;
    int64_t all = amounts->core_milli;
    int rc = cut("cpus (thousandths)", a->options.core_milli, &amounts->core_milli, err);
    if (rc == 0)
        rc = cut("memory (MiB)", a->options.memory_mib, &amounts->memory_mib, err);
    /* Without a word about it a slice takes as much of the disk as of the cores. */
    if (amounts->disk_mib == 0)
        amounts->disk_mib = a->options.disk_mib
                                ? disk_size_mib(a->data)
                                : mul_div_floor(machine_offer_mib(disk_size_mib(a->data)),
                                                amounts->core_milli, MAX(all, 1));
    return rc ? rc : cut("disk (MiB)", a->options.disk_mib, &amounts->disk_mib, err);
}

int agent_find_facts(struct agent *a, struct error *err)
{
    process_boot(a->boot);
    int rc = a->options.facts ? read_facts(a, a->options.facts, err) : find_machine(a, err);
    if (rc)
        return rc;
    set_identity(a);
    return cut_amounts(a, err);
}
