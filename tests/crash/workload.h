/* SPDX-License-Identifier: BSD-3-Clause */
/* Random operations on a pool, of every kind that changes the image; what the attacks on it do.
 *
 * The same seed gives the same operations, ids, keys and values everywhere: what one process did before it was
 * killed can be told by doing it again in another. The pool holds some 160 objects with values from inline to
 * huge and lists of slots in several shapes, four sessions, names, tickets, labels. */
#ifndef HF_TESTS_CRASH_WORKLOAD_H
#define HF_TESTS_CRASH_WORKLOAD_H

#include "tests/lib/pool_fixture.h"
#include "tests/lib/random.h"

#define WORKLOAD_OBJECTS  160u
#define WORKLOAD_SESSIONS 4u
#define WORKLOAD_NAMES    12u
#define WORKLOAD_TICKETS  8u
#define WORKLOAD_ENDED    64u
#define WORKLOAD_RING     3u
#define WORKLOAD_TRACKED  4096u /* indexes whose generations are watched */

struct workload {
    struct fixture fx;
    struct random random;
    uint64_t done; /* operations */
    struct session *session[WORKLOAD_SESSIONS];
    unsigned key[WORKLOAD_SESSIONS]; /* of theirs, as fixture_session() makes it */
    unsigned keys_used;
    struct session *asker; /* of the request under way; NULL: it has no window */
    uint32_t msgid;        /* of the last request */
    uint64_t ids[WORKLOAD_OBJECTS];
    unsigned ids_count;
    uint8_t ticket[WORKLOAD_TICKETS][HF_KEY_SIZE];
    unsigned tickets_count;
    uint64_t long_list;              /* an object whose slots are about to go into segments; 0: none */
    uint32_t told[WORKLOAD_TRACKED]; /* generation + 1 of the newest id given out, by index */
    uint64_t ended[WORKLOAD_ENDED];  /* sids of sessions that were ended, the newest ones */
    unsigned ended_count;
    uint64_t ring[WORKLOAD_RING];
    bool ring_made;
    bool tracing;         /* the operation is one of the collector alone */
    bool trying;          /* it is a young collection */
    bool moving;          /* it moves values and lists of slots */
    bool only_young;      /* no full collection is asked for */
    bool crowded_names;   /* more names of the largest class than fit one run of cells */
    unsigned names_bound; /* of these, in turn */
    uint8_t *pattern;     /* bytes of values */
    bool values_large;    /* values above 300 bytes too */
};

void workload_open(struct workload *w, uint64_t seed, uint64_t max_bytes);
void workload_step(struct workload *w);
/* The daemon stops and starts: closes the pool, recovers its image, and resumes the sessions. */
void workload_restart(struct workload *w);
void workload_close(struct workload *w);

#endif
