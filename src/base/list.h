/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Intrusive doubly linked list with a head that links to itself when empty. Every head says what
 * it holds: `struct list leases; // lease.node_link`. */

#include <stdbool.h>
#include <stddef.h>

struct list {
    struct list *next, *previous;
};

#define CONTAINER_OF(pointer, type, member) ((type *)(void *)((char *)(pointer)-offsetof(type, member)))
#define LIST_EACH(item, head) for (struct list *item = (head)->next; item != (head); item = item->next)
/* Survives the removal of `item`. */
#define LIST_EACH_SAFE(item, head)                                                                 \
    for (struct list *item = (head)->next, *item##_next = item->next; item != (head);              \
         item = item##_next, item##_next = item->next)

static inline void list_init(struct list *head)
{
    head->next = head->previous = head;
}

static inline bool list_empty(const struct list *head)
{
    return head->next == head;
}

static inline void list_append(struct list *head, struct list *item)
{
    item->next = head;
    item->previous = head->previous;
    head->previous->next = item;
    head->previous = item;
}

/* Leaves the item linked to itself, so that removing twice is harmless. */
static inline void list_remove(struct list *item)
{
    item->next->previous = item->previous;
    item->previous->next = item->next;
    list_init(item);
}
