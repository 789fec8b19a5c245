/* SPDX-License-Identifier: BSD-3-Clause */
/* Trial deletion of a small set of objects around suspects; for daemon/gc/ only.
 *
 * The set S grows from suspects along their slots. It stops at what is held from outside (whatever that leads to
 * lives), at *old* objects (they have survived a full collection, or GC_OLD trials), and where there is no room. From
 * the count of each member the slots of S that name it are subtracted; whoever has references left is referred to from
 * outside of S and lives, with all it leads to in S. The rest is garbage, because whatever refers to it is in the
 * rest too. Nothing real is changed until that is known, so any S is safe: a slot that is not subtracted only keeps
 * more alive. (Bacon and Rajan, Concurrent Cycle Collection in Reference Counted Systems, 2001, without the concurrency:
 * a trial is one piece, and bounded.)
 *
 * What it condemns is detached from itself (its slots on other condemned objects become nil) and then freed; what that is
 * no one piece for waits in the zero queue, like all other dead. A crash in between leaves unreachable objects, as a sweep
 * does.
 *
 * A suspect that lives on is *resolved* if all of its closure was seen, up to what is held: were it garbage, all that
 * refers to it would have been in S, or be garbage with a suspect of its own. Else a full collection must look at it. */
#ifndef GC_TRIAL_H
#define GC_TRIAL_H

#include "daemon/gc/gc.h"

/* Measured with ten million objects of four slots, where no cache helps: 70 us a trial; four times as much 330. */
#define TRIAL_NODES 256u /* objects of a trial, at most */
#define TRIAL_SLOTS 1024u
#define TRIAL_POPS  (2 * TRIAL_NODES) /* suspects that it takes from the ring */
/* That it may spend. Freeing one that it has condemned is three at most. */
#define TRIAL_UNITS  (TRIAL_POPS + TRIAL_NODES + TRIAL_SLOTS + 3 * TRIAL_NODES)
#define TRIAL_BITS   10u /* of a place in its table: four of them for each object */
#define TRIAL_PROBES 32u /* places looked at for an object: clients know their indexes, and may choose them */

/* One trial, of the suspects that were the first `until` ever to wait and still do, as far as it comes. Only while no full
 * collection runs and nothing dead waits. dry_run: frees nothing, and what could be freed stays suspect. Adds what it did to
 * *result. Returns the units spent, at least 1. */
unsigned trial(struct gc *gc, uint64_t until, bool dry_run, struct gc_result *result);

/* The first place for an object in a trial's table. */
static inline uint32_t trial_place(uint32_t index)
{
    return (index * 0x9e3779b1u) >> (32 - TRIAL_BITS);
}

#endif
