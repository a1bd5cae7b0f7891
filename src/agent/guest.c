/* SPDX-License-Identifier: Apache-2.0 */
/* Replicas that are machines (node/guest.h): where their disks lie, which address they have, how they
 * are told to go. */
#include "agent/agent_internal.h"

#include "base/log.h"
#include "node/file.h"
#include "node/guest.h"

#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define LABEL "instance=sandbox" /* as the server asks for it */
#define HOST_FIRST 2u
#define HOST_LAST 250u
#define OFF_MS 8000             /* to end by itself after it was told so */
#define SWEEP_MS (10 * 60000)
#define SWEEP_SOON_MS 20000
#define DEVICES_MAX 96
#define BRIDGE_TRIES 20
#define BRIDGE_WAIT_US 100000

/* ---- whether ---- */

static const char *keep(struct agent *a, const char *text)
{
    return arena_str(&a->arena, str_from(text)).data;
}

static void label_add(struct agent *a, const char *label)
{
    struct str *labels = arena_alloc(&a->arena, (a->facts.labels.count + 1) * sizeof *labels);
    CHECK(labels);
    if (a->facts.labels.count)
        memcpy(labels, a->facts.labels.items, a->facts.labels.count * sizeof *labels);
    labels[a->facts.labels.count] = str_from(label);
    a->facts.labels = (struct record_list){labels, a->facts.labels.count + 1};
}

void guests_find(struct agent *a)
{
    struct error err = {0};
    _cleanup_free_ char *found = a->options.image ? realpath(a->options.image, NULL) : NULL;
    const char *image = found ? keep(a, found) : NULL;
    int rc = a->users.count && a->own_mounts ? 0 : error_set(&err, -EPERM, "the agent must run as root and may mount");
    if (rc == 0 && a->options.image && image == NULL)
        rc = error_set(&err, -errno, "%s: %s", a->options.image, strerror(errno));
    if (rc == 0)
        rc = guest_possible(image, &err);
    if (rc == 0 && a->options.storage)
        rc = snprintf(a->storage, sizeof a->storage, "%s", a->options.storage) < (int)sizeof a->storage ? 0 : -ENAMETOOLONG;
    else if (rc == 0)
        rc = hold_path(a->storage, a->data, "storage");
    if (rc == 0)
        rc = folder_make(a->storage, 0711, &err);
    _cleanup_free_ char *whole = rc == 0 ? realpath(a->storage, NULL) : NULL;
    if (whole)
        snprintf(a->storage, sizeof a->storage, "%s", whole);
    if (rc) {
        agent_miss(a, "instances: %s", err.text);
        return;
    }
    a->options.image = image;
    a->guests = true;
    a->disks_at_ms = now_ms() + SWEEP_SOON_MS;
    label_add(a, LABEL);
}

/* ---- addresses: the node's own /24, by its range of users, which no other node of the machine has ---- */

static uint32_t subnet(uint32_t first_user)
{
    return (first_user - USER_RANGE_FIRST) / USER_RANGE_SIZE;
}

static void address_print(const struct agent *a, uint32_t host, char ret[32])
{
    uint32_t net = subnet(a->users.first);
    snprintf(ret, 32, "10.%u.%u.%u", 64 + net / 256, net % 256, host);
}

struct str guest_address(const struct replica *r, struct arena *arena)
{
    char text[32];
    address_print(r->agent, r->host, text);
    return arena_str(arena, str_from(text));
}

static bool host_taken(const struct agent *a, uint32_t host)
{
    LIST_EACH(item, &a->replicas)
    if (CONTAINER_OF(item, struct replica, link)->host == host)
        return true;
    return false;
}

bool guest_address_take(struct replica *r)
{
    char path[HOLD_PATH_MAX], text[16];
    struct error err;
    for (uint32_t host = HOST_FIRST; r->host == 0 && host <= HOST_LAST; host++)
        if (!host_taken(r->agent, host))
            r->host = host;
    snprintf(text, sizeof text, "%u\n", r->host);
    return r->host && hold_path(path, r->folder, "host") == 0 && file_replace(path, str_from(text), 0600, false, &err) == 0;
}

void guest_address_find(struct replica *r)
{
    char path[HOLD_PATH_MAX];
    _cleanup_buf_ struct buf text = BUF_INIT(64);
    int64_t host;
    if (hold_path(path, r->folder, "host") == 0 && file_read(path, &text, NULL) == 0 && str_to_i64(str_trim(buf_str(&text)), &host) &&
        host >= HOST_FIRST && host <= HOST_LAST)
        r->host = (uint32_t)host;
}

/* ---- the bridge, once nobody is on it ---- */

struct network_job {
    struct job job;
    struct agent *agent;
    char bridge[16];
};

static void run_network(struct job *job, struct http_client *client)
{
    struct network_job *p = CONTAINER_OF(job, struct network_job, job);
    (void)client;
    for (int i = 0; i < BRIDGE_TRIES && !guest_bridge_remove(p->bridge); i++)
        usleep(BRIDGE_WAIT_US); /* links go a moment after their machines */
}

static void done_network(struct job *job)
{
    struct network_job *p = CONTAINER_OF(job, struct network_job, job);
    p->agent->sweeps_network = false;
    xfree(p);
}

static bool machine_runs(const struct agent *a)
{
    LIST_EACH(item, &a->replicas)
    {
        const struct replica *r = CONTAINER_OF(item, struct replica, link);
        if (r->host && (r->state == REPLICA_FETCHING || r->state == REPLICA_READY || r->state == REPLICA_HELD))
            return true;
    }
    return false;
}

static void network_sweep(struct agent *a)
{
    char bridge[16], path[64];
    snprintf(bridge, sizeof bridge, "tsr%u", subnet(a->users.first) % 100000);
    snprintf(path, sizeof path, "/sys/class/net/%s", bridge);
    if (a->sweeps_network || machine_runs(a) || access(path, F_OK) < 0)
        return;
    struct network_job *p = xcalloc(1, sizeof *p);
    p->job = (struct job){.run = run_network, .done = done_network};
    p->agent = a;
    memcpy(p->bridge, bridge, sizeof bridge);
    a->sweeps_network = true;
    worker_give(a->files, &p->job);
}

/* ---- what its holder is told ---- */

static struct str made(struct arena *arena, const char *format, ...) __attribute__((format(printf, 2, 3)));
static struct str made(struct arena *arena, const char *format, ...)
{
    char text[HOLD_PATH_MAX];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    return arena_str(arena, str_from(text));
}

static struct record_list volumes_of(const struct replica *r, struct arena *arena)
{
    const struct record_list *given = &r->wanted->instance.volumes;
    const struct agent_volume *from = given->items;
    struct hold_volume *volumes = arena_alloc(arena, (given->count + 1) * sizeof *volumes);
    CHECK(volumes);
    for (size_t i = 0; i < given->count; i++) {
        bool disk = from[i].kind == AGENT_VOLUME_BLOCK;
        volumes[i] = (struct hold_volume){made(arena, "%s/%.*s%s", r->agent->storage, STR_ARGS(from[i].id), disk ? ".disk" : ""),
                                          from[i].name, disk, from[i].size_mib};
    }
    return (struct record_list){volumes, given->count};
}

/* Its GPUs, and what all drivers share. */
static struct record_list devices_of(const struct replica *r, struct arena *arena)
{
    static const char *const shared[] = {"/dev/nvidiactl", "/dev/nvidia-uvm", "/dev/nvidia-uvm-tools"};
    const struct agent_gpu *gpus = r->agent->facts.gpus.items;
    const int64_t *own = r->wanted->gpus.items;
    struct str *devices = arena_alloc(arena, DEVICES_MAX * sizeof *devices);
    size_t count = 0;
    CHECK(devices);
    for (size_t i = 0; i < r->wanted->gpus.count && count < 64; i++)
        for (size_t k = 0; k < r->agent->facts.gpus.count; k++)
            if (gpus[k].index == own[i] && gpus[k].device.size)
                devices[count++] = gpus[k].device;
    for (size_t i = 0; count && i < ARRAY_COUNT(shared); i++)
        if (access(shared[i], F_OK) == 0)
            devices[count++] = str_from(shared[i]);
    return (struct record_list){devices, count};
}

/* Letters, digits and `-`, as names of hosts are. */
static struct str host_name(struct str name, struct arena *arena)
{
    char text[64];
    size_t size = MIN(name.size, sizeof text - 1);
    for (size_t i = 0; i < size; i++) {
        char c = name.data[i];
        bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        text[i] = plain || c == '-' ? c : '-';
    }
    return arena_str(arena, (struct str){text, size});
}

void guest_describe(const struct replica *r, struct arena *arena, struct hold_guest *ret)
{
    const struct agent *a = r->agent;
    const struct agent_instance *i = &r->wanted->instance;
    uint32_t net = subnet(a->users.first) % 100000;
    char gateway[32];
    address_print(a, 1, gateway);
    *ret = (struct hold_guest){.id = i->id, .name = host_name(i->name, arena), .region = i->region, .type = i->type,
        .image = str_from(a->options.image), .disk = made(arena, "%s/%.*s/%lld", a->storage, STR_ARGS(i->id), (long long)i->boot),
        .bridge = made(arena, "tsr%u", net), .address = guest_address(r, arena),
        .gateway = arena_str(arena, str_from(gateway)), .keys = i->ssh_keys, .startup_script = i->startup_script,
        .volumes = volumes_of(r, arena), .devices = devices_of(r, arena)};
}

void guest_stop(struct replica *r)
{
    time_ms end = r->agent->told_at_ms + r->wanted->stop_in_ms;
    switch (r->wanted->stop) {
    case AGENT_STOP_PREEMPT:
        holder_stop(r, SIGUSR1, end);
        break;
    case AGENT_STOP_RELOCATE:
        holder_stop(r, SIGUSR2, end);
        break;
    default:
        holder_stop(r, SIGTERM, MIN(end, now_ms() + OFF_MS));
    }
}

/* ---- disks that nobody will want again ---- */

struct sweep_job {
    struct job job;
    struct agent *agent;
    struct arena arena;
    char storage[HOLD_PATH_MAX];
};

/* "inst_…", "vol_…", "vol_….disk" -> the id. */
static struct str id_of(const char *name)
{
    struct str id = str_from(name);
    struct str rest = id;
    id = str_cut(&rest, '.');
    return str_starts(id, STR("inst_")) || str_starts(id, STR("vol_")) ? id : (struct str){0};
}

static size_t disks_list(const char *storage, struct arena *arena, struct str *ret)
{
    size_t count = 0;
    DIR *folder = opendir(storage);
    for (const struct dirent *entry; folder && (entry = readdir(folder));)
        if (id_of(entry->d_name).size && count < AGENT_DISKS_MAX)
            ret[count++] = arena_str(arena, id_of(entry->d_name));
    if (folder)
        closedir(folder);
    return count;
}

static void disk_remove(const char *storage, struct str id)
{
    static const char *const suffixes[] = {"", ".disk"};
    char path[HOLD_PATH_MAX + 64];
    struct error err;
    for (size_t i = 0; i < ARRAY_COUNT(suffixes); i++) {
        snprintf(path, sizeof path, "%s/%.*s%s", storage, STR_ARGS(id), suffixes[i]);
        if (folder_remove(path, &err))
            log_warning("%s", err.text);
    }
    log_info("%.*s: removed, nobody wants it again", STR_ARGS(id));
}

static void run_sweep(struct job *job, struct http_client *client)
{
    struct sweep_job *p = CONTAINER_OF(job, struct sweep_job, job);
    struct str *disks = arena_alloc(&p->arena, AGENT_DISKS_MAX * sizeof *disks);
    struct agent_disks kept = {.disks = {disks, disks_list(p->storage, &p->arena, disks)}};
    _cleanup_buf_ struct buf body = BUF_INIT(BUF_LIMIT_DEFAULT);
    struct agent_disks_gone gone;
    struct http_reply reply = {0};
    struct error err = {0};
    if (kept.disks.count == 0)
        return;
    record_to_json(&agent_disks_record, &kept, AUDIENCE_AGENT, &body);
    struct http_call call = {.path = "/v1/agent/disks", .content_type = "application/json", .body = buf_str(&body), .body_limit = 1 << 20};
    int rc = http_client_call(client, &call, &reply, &err);
    if (rc == 0 && reply.status == 200 &&
        record_from_json(&agent_disks_gone_record, buf_str(&reply.body), &p->arena, &gone, &err) == 0)
        for (size_t i = 0; i < gone.gone.count; i++)
            if (id_of(((const struct str *)gone.gone.items)[i].data).size)
                disk_remove(p->storage, ((const struct str *)gone.gone.items)[i]);
    http_reply_fini(&reply);
}

static void done_sweep(struct job *job)
{
    struct sweep_job *p = CONTAINER_OF(job, struct sweep_job, job);
    arena_fini(&p->arena);
    xfree(p);
}

void guests_sweep(struct agent *a)
{
    if (a->guests)
        network_sweep(a);
    if (!a->guests || !a->registered || now_ms() < a->disks_at_ms)
        return;
    a->disks_at_ms = now_ms() + SWEEP_MS;
    struct sweep_job *p = xcalloc(1, sizeof *p);
    p->job = (struct job){.run = run_sweep, .done = done_sweep};
    p->agent = a;
    snprintf(p->storage, sizeof p->storage, "%s", a->storage);
    worker_give(a->files, &p->job);
}
