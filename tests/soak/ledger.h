/* SPDX-License-Identifier: BSD-3-Clause */
/* What the whole soak knows: which pools there are, which ids and session numbers were ever given out, which sessions
 * somebody is about to kill. Any thread, at any time, but where something else is said. */
#ifndef HF_TESTS_SOAK_LEDGER_H
#define HF_TESTS_SOAK_LEDGER_H

#include "tests/soak/value.h"

#include <pthread.h>
#include <stdatomic.h>

#define LEDGER_STABLE   8u /* pools that stay: `default` and others */
#define LEDGER_VOLATILE 4u /* names of pools that come and go */
#define LEDGER_SHARED   6u /* names in each pool that belong to everybody */
#define TICKETS_KEPT    16u

/* A set of numbers above 0. */
struct numbers {
    pthread_mutex_t lock;
    uint64_t *slots;
    size_t capacity, count;
};

void numbers_init(struct numbers *numbers);
void numbers_done(struct numbers *numbers);
/* False: it was there already. */
bool numbers_add(struct numbers *numbers, uint64_t number);
bool numbers_has(struct numbers *numbers, uint64_t number);

/* A ticket that one client gave away and none has claimed. */
struct ticket {
    uint8_t key[16];
    uint64_t id;
    struct value value;
    int64_t ends_ms; /* not before */
};

/* One life of a pool. */
struct incarnation {
    char name[24];
    unsigned tag; /* of its values */
    uint64_t epoch;
    _Atomic bool dropping; /* is about to be dropped, or was */
    struct numbers ids;    /* ever given out */
    pthread_mutex_t lock;
    struct ticket tickets[TICKETS_KEPT];
    unsigned tickets_count;
    struct incarnation *next; /* in ledger.past */
};

struct ledger {
    struct incarnation stable[LEDGER_STABLE];
    _Atomic(struct incarnation *) now[LEDGER_VOLATILE]; /* NULL: there is no such pool now */
    _Atomic unsigned next_tag;
    pthread_mutex_t lock;
    struct incarnation *past; /* dropped ones, which clients may still think of */
    struct numbers sids, killed;
};

void ledger_init(struct ledger *ledger);
void ledger_done(struct ledger *ledger);

/* A life of a volatile pool begins: `epoch` is what its first hello told. It ends when it is dropped: ledger_dropping()
 * before, ledger_dropped() after. */
struct incarnation *ledger_born(struct ledger *ledger, unsigned slot, const char *name, uint64_t epoch);
void ledger_dropping(struct incarnation *incarnation);
void ledger_dropped(struct ledger *ledger, unsigned slot);
/* While nobody thinks of a dropped pool: forgets them. */
void ledger_forget_past(struct ledger *ledger);

/* Puts a ticket up; if there are too many, one goes, which `ret_old` then has (true). */
bool ledger_offer(struct incarnation *incarnation, const struct ticket *ticket, struct ticket *ret_old);
/* Takes one; false: there is none. */
bool ledger_take(struct incarnation *incarnation, struct ticket *ret);

#endif
