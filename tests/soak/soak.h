/* SPDX-License-Identifier: BSD-3-Clause */
/* The soak: a daemon with several workers and pools, worked on by some hundred clients that check every answer against
 * what they know, while connections break, sessions are killed or run out, and pools come and go.
 *
 * It runs in cycles of the same work. At the end of each all clients have left, and the daemon must be as it was at the
 * end of the first ones: nothing in its pools, no descriptor more, memory flat, every invariant intact.
 *
 * Threads: some drive clients (client.h), each its own; some are actors (actors.h) that disturb them; the main thread
 * begins and ends the cycles. What they share is in `struct soak`: atomic, or in the ledger under its locks, or written
 * only while the others wait at the barrier. */
#ifndef HF_TESTS_SOAK_SOAK_H
#define HF_TESTS_SOAK_SOAK_H

#include "client/lib/address.h"
#include "tests/lib/random.h"
#include "tests/soak/ledger.h"
#include "tests/soak/model.h"
#include "tests/soak/process.h"

#include <pthread.h>
#include <stdatomic.h>

#define SOAK_CLIENTS_MAX 1024u
#define SOAK_DRIVERS     4u     /* threads; each has its share of the clients */
#define SOAK_PATIENCE_MS 120000 /* an answer that has not come by then never will */

struct soak_options {
    const char *daemon; /* the program */
    unsigned seconds;   /* begin no further cycle after that */
    unsigned cycles;    /* at least */
    unsigned clients, workers;
    unsigned rounds; /* requests of each client in a cycle, in batches */
    uint64_t seed;
};

/* What has happened, for the report, and to be sure that it has happened at all. */
enum tally {
    TALLY_REQUESTS,
    TALLY_BYTES,      /* of values that were checked */
    TALLY_SESSIONS,   /* opened */
    TALLY_RESUMED,    /* by key, after a break */
    TALLY_TAKEN,      /* by key, while the old connection lived */
    TALLY_UNKNOWN,    /* requests without an answer at a break... */
    TALLY_DONE,       /* ...and those of them that turned out to be done */
    TALLY_CUT_REPLY,  /* between two replies */
    TALLY_CUT_INSIDE, /* in a reply */
    TALLY_CUT_REQUEST,
    TALLY_CUT_HALF, /* we send no more, but read */
    TALLY_EXPIRED,  /* leases that ran out */
    TALLY_KILLED,   /* sessions that were, as their clients saw it */
    TALLY_DROPPED,  /* clients whose pool was dropped */
    TALLY_BYES,
    TALLY_GRAVES, /* dead objects that were asked for */
    TALLY_LOOSE,  /* objects of others that were held */
    TALLY_CLAIMED,
    TALLY_SLOW,  /* readers that took their time */
    TALLY_LARGE, /* values from LARGE_MIN on */
    TALLY_AUDITS,
    TALLY_POOLS, /* made and dropped */
    TALLY_STORMS,
    TALLY_VERIFIED,
    TALLY_FULL,      /* times that a pool was filled up to OOM */
    TALLY_RINGS,     /* cycles of objects that were let go */
    TALLY_COLLECTED, /* objects of them that full collections found */
    TALLY_DELIVERED, /* guards */
    TALLY_COUNT
};

struct soak {
    struct soak_options options;
    struct process process;
    struct hf__address unix_address, tcp_address;
    struct ledger ledger;
    pthread_barrier_t barrier; /* drivers, actors and the main thread: begin and end of a cycle */
    unsigned cycle;
    bool over;                 /* after the last cycle: work until the daemon ends; written while all wait */
    _Atomic unsigned working;  /* drivers whose clients have not all left in this cycle */
    _Atomic bool clients_done; /* they have: the actors stop */
    _Atomic bool ending;       /* the daemon was told to end: whatever clients meet now is right */
    _Atomic uint64_t tallies[TALLY_COUNT];
    _Atomic uint64_t large_bytes; /* of large values that clients have now, more or less */
    _Atomic unsigned rounds_done; /* of this cycle, all clients together; for the progress line */
    pthread_mutex_t failing;      /* the first one that fails tells; the others wait */
};

void soak_count(struct soak *soak, enum tally tally, uint64_t n);

/* Tells what is wrong, the seed, and the daemon's last lines; ends the daemon and this process with 1. */
_Noreturn void soak_fail(struct soak *soak, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* A seed for part `part` of thing `number` in this cycle. */
struct random soak_random(const struct soak *soak, const char *part, unsigned number);

int64_t soak_now_ms(void);
void soak_pause_ms(unsigned ms);

#endif
