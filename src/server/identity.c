/* SPDX-License-Identifier: Apache-2.0 */
#include "server/identity.h"

#include "base/map.h"
#include "base/memory.h"

#include <pthread.h>
#include <stdio.h>

struct entry {
    struct core_identity identity;
    time_ms expires; /* 0 = never */
    bool revoked;
};

struct identities {
    pthread_mutex_t lock;
    struct entry *entries;
    size_t count, capacity;
    struct str_map hashes;   /* to index + 1 */
    struct map keys;         /* key id to index + 1 */
    struct str_map projects; /* name to id */
    struct map project_ids;
};

struct identities *identities_new(void)
{
    struct identities *i = xcalloc(1, sizeof *i);
    pthread_mutex_init(&i->lock, NULL);
    return i;
}

void identities_free(struct identities *i)
{
    if (i == NULL)
        return;
    str_map_fini(&i->hashes);
    map_fini(&i->keys);
    str_map_fini(&i->projects);
    map_fini(&i->project_ids);
    xfree(i->entries);
    pthread_mutex_destroy(&i->lock);
    xfree(i);
}

static struct entry entry_of(const struct engine *e, const struct engine_key *key)
{
    struct entry entry = {
        .identity = {.key = key->id, .project = key->project, .node = key->node, .role = key->role, .session = key->session},
        .expires = key->expires,
        .revoked = key->revoked,
    };
    const struct engine_principal *principal = engine_principal(e, key->principal);
    if (principal)
        snprintf(entry.identity.principal, sizeof entry.identity.principal, "%.*s", STR_ARGS(principal->name));
    return entry;
}

static void key_put(struct identities *i, const struct engine *e, const struct engine_key *key)
{
    if (key == NULL)
        return;
    uint64_t place = map_get(&i->keys, key->id);
    if (place == 0) {
        ARRAY_RESERVE(i->entries, i->count, i->capacity);
        place = ++i->count;
        map_set(&i->keys, key->id, place);
        str_map_set(&i->hashes, (struct str){(const char *)key->hash, ENGINE_HASH_SIZE}, place);
    }
    i->entries[place - 1] = entry_of(e, key);
}

static void project_put(struct identities *i, const struct engine_project *project)
{
    if (project == NULL)
        return;
    str_map_set(&i->projects, project->name, project->id);
    map_set(&i->project_ids, project->id, 1);
}

void identities_load(struct identities *i, const struct engine *e)
{
    pthread_mutex_lock(&i->lock);
    for (size_t k = 0; k < engine_key_count(e); k++)
        key_put(i, e, engine_key_at(e, k));
    for (size_t k = 0; k < engine_project_count(e); k++)
        project_put(i, engine_project_at(e, k));
    pthread_mutex_unlock(&i->lock);
}

/* Whatever may have changed a key: made, revoked, used up, bound to its node. */
static void event_follow(struct identities *i, const struct engine *e, const struct engine_event *event)
{
    if (event->key)
        key_put(i, e, engine_key(e, event->key));
    if (event->type == ENGINE_EVENT_NODE_REGISTERED) {
        const struct engine_node *node = engine_node(e, event->node);
        if (node && node->key)
            key_put(i, e, engine_key(e, node->key));
    }
    if (event->type == ENGINE_EVENT_PROJECT_CREATED)
        project_put(i, engine_project(e, event->project));
}

static bool event_matters(const struct engine_event *event)
{
    return event->type == ENGINE_EVENT_NODE_REGISTERED || event->type == ENGINE_EVENT_KEY_CREATED ||
           event->type == ENGINE_EVENT_KEY_REVOKED || event->type == ENGINE_EVENT_PROJECT_CREATED;
}

void identities_follow(struct identities *i, const struct engine *e, const struct engine_event *events, size_t count)
{
    for (size_t k = 0; k < count; k++)
        if (event_matters(&events[k])) {
            pthread_mutex_lock(&i->lock);
            event_follow(i, e, &events[k]);
            pthread_mutex_unlock(&i->lock);
        }
}

bool identities_find(struct identities *i, const unsigned char hash[ENGINE_HASH_SIZE], time_ms now, struct core_identity *ret)
{
    pthread_mutex_lock(&i->lock);
    uint64_t place = str_map_get(&i->hashes, (struct str){(const char *)hash, ENGINE_HASH_SIZE});
    const struct entry *entry = place ? &i->entries[place - 1] : NULL;
    bool good = entry && !entry->revoked && (entry->expires == 0 || now < entry->expires);
    if (good)
        *ret = entry->identity;
    pthread_mutex_unlock(&i->lock);
    return good;
}

engine_id identities_project(struct identities *i, struct str name)
{
    pthread_mutex_lock(&i->lock);
    engine_id id = str_map_get(&i->projects, name);
    pthread_mutex_unlock(&i->lock);
    return id;
}

bool identities_project_known(struct identities *i, engine_id project)
{
    pthread_mutex_lock(&i->lock);
    bool known = map_get(&i->project_ids, project) != 0;
    pthread_mutex_unlock(&i->lock);
    return known;
}
