/* SPDX-License-Identifier: Apache-2.0
 *
 * Intrusive doubly linked lists. A head is a link that points to itself when empty; an unlinked link has NULLs.
 */
#ifndef ENTENTE_BASE_LIST_H
#define ENTENTE_BASE_LIST_H

#include <stdbool.h>
#include <stddef.h>

#include "base/check.h"

struct list {
    struct list *next, *prev;
};

static inline void list_init(struct list *head) { head->next = head->prev = head; }
static inline bool list_is_empty(const struct list *head) { return head->next == head; }
static inline bool list_is_linked(const struct list *link) { return link->next != NULL; }
static inline void list_insert_before(struct list *at, struct list *link)
{
    link->prev = at->prev;
    link->next = at;
    at->prev->next = link;
    at->prev = link;
}
static inline void list_push_back(struct list *head, struct list *link) { list_insert_before(head, link); }
static inline void list_push_front(struct list *head, struct list *link) { list_insert_before(head->next, link); }
static inline void list_remove(struct list *link)
{
    if (!link->next)
        return;
    link->prev->next = link->next;
    link->next->prev = link->prev;
    link->next = link->prev = NULL;
}
static inline struct list *list_pop_front(struct list *head)
{
    struct list *first = head->next;
    if (first == head)
        return NULL;
    list_remove(first);
    return first;
}

#define LIST_FOR_EACH(at, head) for (struct list *at = (head)->next; at != (head); at = at->next)
#define LIST_FOR_EACH_SAFE(at, head) \
    for (struct list *at = (head)->next, *at##_next = at->next; at != (head); at = at##_next, at##_next = at->next)

#endif
