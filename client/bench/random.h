/* SPDX-License-Identifier: BSD-3-Clause */
/* Random numbers of a load: the same seed gives the same numbers on every machine.
 *
 * xoshiro256** of D. Blackman and S. Vigna, "Scrambled linear pseudorandom number generators", ACM Transactions on
 * Mathematical Software 47 (2021), seeded by splitmix64 as they recommend. */
#ifndef HF_BENCH_RANDOM_H
#define HF_BENCH_RANDOM_H

#include <stdint.h>

struct bench_random {
    uint64_t state[4]; /* never all zero */
};

static inline void bench_random_seed(struct bench_random *random, uint64_t seed)
{
    for (unsigned i = 0; i < 4; i++) {
        uint64_t z = seed += 0x9e3779b97f4a7c15u;
        z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
        z = (z ^ z >> 27) * 0x94d049bb133111ebu;
        random->state[i] = z ^ z >> 31;
    }
}

static inline uint64_t bench_rotate(uint64_t word, unsigned bits)
{
    return word << bits | word >> (64 - bits);
}

/* 64 random bits. */
static inline uint64_t bench_random_next(struct bench_random *random)
{
    uint64_t *s = random->state;
    uint64_t result = bench_rotate(s[1] * 5, 7) * 9;
    uint64_t shifted = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= shifted;
    s[3] = bench_rotate(s[3], 45);
    return result;
}

/* 0 ... below - 1, all equally likely; `below` > 0. D. Lemire, "Fast random integer generation in an interval", ACM
 * Transactions on Modeling and Computer Simulation 29 (2019). */
static inline uint32_t bench_random_below(struct bench_random *random, uint32_t below)
{
    uint64_t product = (bench_random_next(random) >> 32) * below;
    if ((uint32_t)product < below) {
        uint32_t unfair = (0u - below) % below;
        while ((uint32_t)product < unfair)
            product = (bench_random_next(random) >> 32) * below;
    }
    return (uint32_t)(product >> 32);
}

/* 0 <= x < 1, a multiple of 2^-53. */
static inline double bench_random_unit(struct bench_random *random)
{
    return (double)(bench_random_next(random) >> 11) * 0x1p-53;
}

#endif
