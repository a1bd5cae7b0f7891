/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/environment.h"

#include <stdio.h>

/* A single variable may be no longer than the kernel hands over at exec (MAX_ARG_STRLEN). */
#define VARIABLE_MAX ((size_t)(128 << 10) - 64)

struct builder {
    struct arena *arena;
    struct record_pair *pairs;
    size_t count, capacity;
};

/* The later one wins. */
static void set(struct builder *b, struct str name, struct str value)
{
    size_t i = 0;
    while (i < b->count && !str_equal(b->pairs[i].key, name))
        i++;
    if (i == b->capacity || value.size > VARIABLE_MAX)
        return;
    b->pairs[i] = (struct record_pair){arena_str(b->arena, name), arena_str(b->arena, value)};
    b->count = MAX(b->count, i + 1);
}

static void set_text(struct builder *b, const char *name, struct str value)
{
    set(b, str_from(name), value);
}

static void set_number(struct builder *b, const char *name, int64_t value)
{
    char text[32];
    snprintf(text, sizeof text, "%lld", (long long)value);
    set_text(b, name, str_from(text));
}

static void set_pairs(struct builder *b, const struct record_list *list)
{
    const struct record_pair *pairs = list->items;
    for (size_t i = 0; i < list->count; i++)
        set(b, pairs[i].key, pairs[i].value);
}

static void set_addresses(struct builder *b, const struct record_list *ips)
{
    _cleanup_buf_ struct buf text = BUF_INIT(VARIABLE_MAX);
    const struct str *lines = ips->items;
    for (size_t i = 0; i < ips->count; i++) {
        if (i)
            buf_append_byte(&text, '\n');
        buf_append_str(&text, lines[i]);
    }
    if (!text.overflow) /* a gang of many thousands: no variable could hold it */
        set_text(b, "SKYPILOT_NODE_IPS", buf_str(&text));
}

static struct str gpu_name(const struct environment_place *place, int64_t index)
{
    for (size_t i = 0; i < place->gpu_count; i++)
        if (place->gpus[i].index == index)
            return place->gpus[i].uuid;
    return (struct str){0};
}

/* By their own names, so that it does not matter in what order a library counts; none is none. */
static void set_gpus(struct builder *b, const struct agent_replica *replica,
                     const struct environment_place *place)
{
    _cleanup_buf_ struct buf text = BUF_INIT(VARIABLE_MAX);
    const int64_t *indices = replica->gpus.items;
    for (size_t i = 0; i < replica->gpus.count; i++) {
        struct str name = gpu_name(place, indices[i]);
        if (i)
            buf_append_byte(&text, ',');
        if (name.size)
            buf_append_str(&text, name);
        else
            buf_printf(&text, "%lld", (long long)indices[i]);
    }
    set_text(b, "CUDA_VISIBLE_DEVICES", buf_str(&text));
    set_text(b, "NVIDIA_VISIBLE_DEVICES", text.size ? buf_str(&text) : STR("void"));
}

static void set_identity(struct builder *b, const struct agent_replica *replica)
{
    set_number(b, "SKYPILOT_NODE_RANK", replica->rank);
    set_number(b, "SKYPILOT_NUM_NODES", replica->spec.nodes);
    set_number(b, "SKYPILOT_NUM_GPUS_PER_NODE", replica->spec.gpus_per_node);
    set_addresses(b, &replica->ips);
    set_text(b, "MASTER_ADDR", replica->master_address);
    if (replica->master_port)
        set_number(b, "MASTER_PORT", replica->master_port);
    set_text(b, "TESSERA_WORKLOAD", replica->workload);
    set_number(b, "TESSERA_ATTEMPT", replica->attempt);
    set_number(b, "TESSERA_ROLE", replica->role);
    set_text(b, "TESSERA_NAME", replica->spec.name);
    set_text(b, "TESSERA_PROJECT", replica->spec.project);
}

struct record_list environment_make(const struct agent_replica *replica,
                                    const struct environment_place *place, struct arena *arena)
{
    struct builder b = {.arena = arena,
                        .capacity = replica->spec.envs.count + replica->spec.secrets.count + 32};
    b.pairs = arena_alloc(arena, b.capacity * sizeof *b.pairs);
    if (b.pairs == NULL)
        return (struct record_list){0};
    set_text(&b, "PATH", STR("/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"));
    set_text(&b, "HOME", place->home);
    set_text(&b, "USER", STR("tessera"));
    set_text(&b, "LOGNAME", STR("tessera"));
    set_text(&b, "SHELL", STR("/bin/bash"));
    set_text(&b, "LANG", STR("C.UTF-8"));
    set_text(&b, "PYTHONUNBUFFERED", STR("1")); /* a log is read while it grows */
    set_gpus(&b, replica, place);
    set_pairs(&b, &replica->spec.envs);
    set_pairs(&b, &replica->spec.secrets);
    set_identity(&b, replica);
    return (struct record_list){b.pairs, b.count};
}
