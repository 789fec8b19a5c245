/* SPDX-License-Identifier: BSD-3-Clause */
/* Which cycles a collection found: the strongly connected components of what is unreachable, as far as a bounded sample
 * of it goes.
 *
 * While nothing is swept yet, up to EXPLAIN_OBJECTS unreachable objects and EXPLAIN_SLOTS slots between them are copied;
 * their components are found on the copy, by Tarjan's algorithm (Tarjan 1972) with a stack of its own instead of
 * recursion. All in steps: what clients change meanwhile may make a cycle look different from what it was at any
 * one moment. */
#ifndef GC_EXPLAIN_H
#define GC_EXPLAIN_H

#include "daemon/gc/facts.h"
#include "daemon/heap/heap.h"

#define EXPLAIN_OBJECTS 4096u
#define EXPLAIN_SLOTS   16384u

struct explain;

/* The text of an object's tag, for its members. */
typedef uint32_t explain_tag(void *arg, uint32_t index, const uint8_t **ret_tag);

/* NULL: no memory. */
struct explain *explain_new(struct heap *heap);
void explain_free(struct explain *explain);

/* Takes an unreachable object in; false: there is no room for more. */
bool explain_add(struct explain *explain, uint32_t index);
/* After the last one: copies slots, then finds the cycles, up to `units` units. 0: all is found. */
unsigned explain_step(struct explain *explain, unsigned units);
/* After that, while the objects are still there: copies the texts of their tags. */
void explain_finish(struct explain *explain, explain_tag *tag, void *arg);
const struct gc_cycles *explain_result(const struct explain *explain);

#endif
