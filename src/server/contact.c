/* SPDX-License-Identifier: Apache-2.0 */
#include "server/contact.h"

#include "base/map.h"
#include "base/memory.h"

#include <pthread.h>

struct contact {
    engine_id node;
    struct contact_time last;
};

struct contacts {
    pthread_mutex_t lock;
    struct contact *items;
    size_t count, capacity;
    struct map places; /* node to index + 1 */
};

struct contacts *contacts_new(void)
{
    struct contacts *c = xcalloc(1, sizeof *c);
    pthread_mutex_init(&c->lock, NULL);
    return c;
}

void contacts_free(struct contacts *c)
{
    if (c == NULL)
        return;
    map_fini(&c->places);
    xfree(c->items);
    pthread_mutex_destroy(&c->lock);
    xfree(c);
}

static struct contact *contact_find(struct contacts *c, engine_id node)
{
    uint64_t place = map_get(&c->places, node);
    return place ? &c->items[place - 1] : NULL;
}

static void contact_put(struct contacts *c, engine_id node, struct contact_time now)
{
    struct contact *contact = contact_find(c, node);
    if (contact == NULL) {
        ARRAY_RESERVE(c->items, c->count, c->capacity);
        contact = &c->items[c->count++];
        contact->node = node;
        map_set(&c->places, node, c->count);
    }
    contact->last = now;
}

static void contact_drop(struct contacts *c, engine_id node)
{
    struct contact *contact = contact_find(c, node);
    if (contact == NULL)
        return;
    map_remove(&c->places, node);
    const struct contact *last = &c->items[--c->count];
    if (contact == last)
        return;
    *contact = *last;
    map_set(&c->places, contact->node, (uint64_t)(contact - c->items) + 1);
}

void contacts_load(struct contacts *c, const struct engine *e, struct contact_time now)
{
    pthread_mutex_lock(&c->lock);
    for (size_t i = 0; i < engine_node_count(e); i++) {
        const struct engine_node *node = engine_node_at(e, i);
        if (node->state != NODE_LOST)
            contact_put(c, node->id, now);
    }
    pthread_mutex_unlock(&c->lock);
}

void contacts_follow(struct contacts *c, const struct engine_event *events, size_t count, struct contact_time now)
{
    for (size_t i = 0; i < count; i++) {
        if (events[i].type != ENGINE_EVENT_NODE_REGISTERED && events[i].type != ENGINE_EVENT_NODE_LOST)
            continue;
        pthread_mutex_lock(&c->lock);
        if (events[i].type == ENGINE_EVENT_NODE_REGISTERED)
            contact_put(c, events[i].node, now);
        else
            contact_drop(c, events[i].node);
        pthread_mutex_unlock(&c->lock);
    }
}

bool contacts_renew(struct contacts *c, engine_id node, struct contact_time now)
{
    pthread_mutex_lock(&c->lock);
    struct contact *contact = contact_find(c, node);
    if (contact)
        contact->last = now;
    pthread_mutex_unlock(&c->lock);
    return contact != NULL;
}

void contacts_renew_all(struct contacts *c, struct contact_time now)
{
    pthread_mutex_lock(&c->lock);
    for (size_t i = 0; i < c->count; i++)
        c->items[i].last = now;
    pthread_mutex_unlock(&c->lock);
}

time_ms contacts_age(struct contacts *c, engine_id node, time_ms monotonic)
{
    pthread_mutex_lock(&c->lock);
    const struct contact *contact = contact_find(c, node);
    time_ms age = contact ? MAX(monotonic - contact->last.monotonic, 0) : -1;
    pthread_mutex_unlock(&c->lock);
    return age;
}

size_t contacts_overdue(struct contacts *c, time_ms monotonic, time_ms timeout, struct contact_lost *ret, size_t most)
{
    size_t found = 0;
    pthread_mutex_lock(&c->lock);
    for (size_t i = 0; i < c->count && found < most; i++) {
        const struct contact *contact = &c->items[i];
        if (monotonic - contact->last.monotonic >= timeout)
            ret[found++] = (struct contact_lost){.node = contact->node, .last = contact->last.server};
    }
    pthread_mutex_unlock(&c->lock);
    return found;
}

bool contacts_give_up(struct contacts *c, engine_id node, time_ms monotonic, time_ms timeout)
{
    pthread_mutex_lock(&c->lock);
    const struct contact *contact = contact_find(c, node);
    bool overdue = contact && monotonic - contact->last.monotonic >= timeout;
    if (overdue)
        contact_drop(c, node);
    pthread_mutex_unlock(&c->lock);
    return overdue;
}
