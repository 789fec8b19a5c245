/* SPDX-License-Identifier: BSD-3-Clause */
/* Death by count and the reaper.
 *
 * An object whose last reference goes becomes ZERO at once (its id is GONE) and enters the zero queue; the
 * reaper later drops its slots, which may let others die, and frees it. No recursion: a chain of ten million
 * is a queue that is never longer than the objects that died and are not yet freed.
 *
 * Nothing here is logged in the undo log: what is ZERO cannot be reached, and freeing is one store
 * (generation + 1, FREE) after which the id can never be valid again. */
#ifndef GC_REAP_H
#define GC_REAP_H

#include "daemon/heap/heap.h"

/* Whether anything outside holds it: a first holder, or a further cell (all cells are strong in this
 * version). */
static inline bool is_held_outside(const struct hot *hot)
{
    return hot->holder >> 32 != 0 || w0_link(hot->w0) != LINK_NONE;
}

/* What a freed object leaves to the layer above, which owns labels. */
typedef void reap_freed(void *owner, uint32_t index);

/* Makes it ZERO if nothing holds it. Call after every drop of a reference, once the operation is committed. */
void reap_check(struct heap *heap, uint32_t index);

/* Up to `units` units (a slot dropped, an object freed) and `frees` objects. Returns the units spent. */
unsigned reap_step(struct heap *heap, unsigned units, unsigned frees, reap_freed *freed, void *owner);

#endif
