/* SPDX-License-Identifier: BSD-3-Clause */
/* The end of a cycle: nobody works, all clients have left. What must be true then, and what the daemon costs. */
#ifndef HF_TESTS_SOAK_QUIET_H
#define HF_TESTS_SOAK_QUIET_H

#include "tests/soak/soak.h"

struct quiet {
    uint64_t values, meta,
        private; /* bytes, of all pools that stay: the two areas of their images, and the rest */
    struct process_figures process;
};

/* Takes away what belongs to everybody (shared names, tickets), waits until what ends by itself has ended, and checks: no
 * object, name, ticket, session, hold or pinned value in any pool, nothing left to be freed, no finding of `verify`, no
 * connection but the one that asks. What does not come true in SOAK_PATIENCE_MS fails. */
void quiet_settle(struct soak *soak, struct quiet *ret);

/* The pools that stay are there, and their epochs in the ledger; makes them the first time. */
void quiet_make_pools(struct soak *soak);

#endif
