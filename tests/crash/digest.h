/* SPDX-License-Identifier: BSD-3-Clause */
/* What a crash must not lose, as one number.
 *
 * The digest covers all that recovery promises: every object that a session with a key, a name or a ticket keeps
 * alive (id, value byte by byte, form, version, state, slots, tag and site), every such reference with its count,
 * and the sessions. It is computed from the truth in the image by walking from the outside references, with no use
 * of what is derived; so a living pool and a recovered copy of its image are comparable at any store. Garbage,
 * sessions that are ending and anonymous sessions are not in it: recovery drops them. */
#ifndef HF_TESTS_CRASH_DIGEST_H
#define HF_TESTS_CRASH_DIGEST_H

#include "daemon/pool/internal.h"

/* Order of places in the image does not matter: a sum of hashes of parts. */
uint64_t digest_of(const struct pool *pool);
/* The same, and how many objects are in it. */
uint64_t digest_count(const struct pool *pool, uint64_t *ret_objects);

#endif
