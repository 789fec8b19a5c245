/* SPDX-License-Identifier: BSD-3-Clause */
/* Random numbers of tests: the same seed gives the same numbers everywhere (splitmix64). */
#ifndef HF_TESTS_LIB_RANDOM_H
#define HF_TESTS_LIB_RANDOM_H

#include <stdbool.h>
#include <stdint.h>

struct random {
    uint64_t state;
};

static inline uint64_t random_next(struct random *r)
{
    uint64_t z = r->state += 0x9e3779b97f4a7c15ull;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ z >> 27) * 0x94d049bb133111ebull;
    return z ^ z >> 31;
}

/* 0 ... below-1; below > 0. */
static inline uint64_t random_below(struct random *r, uint64_t below)
{
    return random_next(r) % below;
}

/* low ... high. */
static inline uint64_t random_between(struct random *r, uint64_t low, uint64_t high)
{
    return low + random_below(r, high - low + 1);
}

/* true once in `n` times. */
static inline bool random_once_in(struct random *r, uint64_t n)
{
    return random_below(r, n) == 0;
}

#endif
