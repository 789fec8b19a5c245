/* SPDX-License-Identifier: BSD-3-Clause */
/* Recovery: the only way to open an image, and the strict walker of the tests.
 *
 * Reachability is truth: an object lives if a hold of a session that goes on, a name or a ticket leads to it.
 * Everything else, allocated or not, is free space; but an object that only a guard is left on is kept, and the guard
 * becomes a hold. The steps:
 *
 *   1 find extents, roll the operation under way back          5 mark from the roots
 *   2 check and claim each cell                                6 in index order: claim blocks, count
 *   3 check each entry                                         7 what the pool has to say
 *   4 find the roots                                           8 put truth and what is derived in order
 *
 * Nothing but the rollback writes before step 8, and that is taken back when a later step refuses the image: then every
 * byte of it is as it was. Killed in any step, it simply runs again. */
#ifndef HEAP_RECOVER_H
#define HEAP_RECOVER_H

#include "daemon/heap/heap.h"

#define RECOVER_ALL        1000u
#define RECOVER_HEAP_SHARE 850u /* the rest is the pool's */

struct recover_config {
    bool keep_anonymous; /* tests: sessions without a key go on too */
    /* Step 7: looks at the image, writes nothing to it, makes what it likes of its own. 0; -ENOMEM; -EINVAL: damaged,
     * `error` says what. NULL: nothing to say. */
    int (*check)(void *owner, char *error, size_t error_size);
    /* Told now and then how much is done, in parts of RECOVER_ALL; this here ends with RECOVER_HEAP_SHARE. False: it is
     * to end, which it does with -ECANCELED while the image is as it was. NULL: nobody wants to know. */
    bool (*progress)(void *owner, unsigned done);
    void *owner;
};

struct recover_result {
    uint64_t undone; /* words rolled back */
    uint64_t freed;  /* objects that were unreachable */
    uint64_t voided; /* holds of sessions that did not go on */
};

/* 0; -ENOMEM; -ECANCELED; -EINVAL: damaged, `error` says which object or cell, which field, and what is wrong with it. */
int heap_recover(struct heap *heap, const struct recover_config *config, struct recover_result *ret,
                 char *error, size_t error_size);

/* Whether a session's cell, or a hold of it, lives on after a start; for the check. */
bool recover_goes_on(const struct heap *heap, const struct recover_config *config, uint32_t session);

/* Calls `visit` for each cell in use, in order of place; stops at the first result that is not 0 and returns
 * it. */
typedef int cell_visit(void *owner, uint32_t ref, unsigned type);
int cells_each(const struct heap *heap, cell_visit *visit, void *owner);

#endif
