/* SPDX-License-Identifier: BSD-3-Clause */
/* Doubly linked lists whose links are members of the listed structures.
 *
 * A list is a ring through its head; an element that is in no list points at itself (list_init), so that
 * list_remove() is always allowed. Nothing here owns anything. */
#ifndef BASE_LIST_H
#define BASE_LIST_H

#include <stdbool.h>
#include <stddef.h>

struct list {
    struct list *next, *prev;
};

/* The structure of `type` whose member `member` is at `link`. */
#define list_entry(link, type, member) ((type *)(void *)((char *)(link)-offsetof(type, member)))

/* Walks all elements; the current one may be removed by the body, no other. */
#define list_each(at, after, head)                                                                           \
    for ((at) = (head)->next, (after) = (at)->next; (at) != (head); (at) = (after), (after) = (at)->next)

static inline void list_init(struct list *list)
{
    list->next = list->prev = list;
}

static inline bool list_empty(const struct list *list)
{
    return list->next == list;
}

/* Appends `link`, which is in no list. */
static inline void list_append(struct list *head, struct list *link)
{
    link->prev = head->prev;
    link->next = head;
    head->prev->next = link;
    head->prev = link;
}

static inline void list_remove(struct list *link)
{
    link->prev->next = link->next;
    link->next->prev = link->prev;
    list_init(link);
}

/* Makes `first`, an element of the list, its first one; those before it follow its last one. */
static inline void list_begin_with(struct list *head, struct list *first)
{
    if (head == first || head->next == first)
        return;
    list_remove(head);
    list_append(first, head);
}

/* Moves all of `from` behind all of `to`. */
static inline void list_join(struct list *to, struct list *from)
{
    if (list_empty(from))
        return;
    from->next->prev = to->prev;
    to->prev->next = from->next;
    from->prev->next = to;
    to->prev = from->prev;
    list_init(from);
}

/* Moves all of `from` to the empty list `to`. */
static inline void list_take(struct list *to, struct list *from)
{
    list_init(to);
    if (list_empty(from))
        return;
    *to = *from;
    to->next->prev = to->prev->next = to;
    list_init(from);
}

#endif
