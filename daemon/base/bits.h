/* SPDX-License-Identifier: BSD-3-Clause */
/* Bit tricks. The builtins are compiler extensions: C17 has no way to name these instructions, and both of
 * our compilers have these names. */
#ifndef BASE_BITS_H
#define BASE_BITS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Index of the lowest set bit; x must not be 0. */
static inline unsigned bits_lowest(uint64_t x)
{
    return (unsigned)__builtin_ctzll(x);
}

/* Floor of the binary logarithm; x must not be 0. */
static inline unsigned bits_log2(uint64_t x)
{
    return 63u - (unsigned)__builtin_clzll(x);
}

static inline unsigned bits_count(uint64_t x)
{
    return (unsigned)__builtin_popcountll(x);
}

static inline uint64_t bits_round_up(uint64_t x, uint64_t step)
{
    return (x + step - 1) / step * step;
}

/* The smallest power of two that is not below x; x at most 2^63. */
static inline uint64_t bits_power_up(uint64_t x)
{
    return x <= 1 ? 1 : 2ull << bits_log2(x - 1);
}

/* The empty asm is there because gcc takes a function that only prefetches for one without effect, and drops
 * the call before it is inlined. */
static inline void bits_prefetch(const void *p)
{
    __builtin_prefetch(p, 0, 3);
    __asm__ volatile("" : : "r"(p));
}

#define likely(x)   __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)

/* memcpy() where most are short: of 17 to 64 bytes the two ends, which overlap, cost less than a call. */
static inline void bits_copy(uint8_t *to, const uint8_t *from, size_t size)
{
    if (size - 17 > 64 - 17) {
        if (size != 0)
            memcpy(to, from, size);
        return;
    }
    memcpy(to, from, 16);
    if (size > 32) {
        memcpy(to + 16, from + 16, 16);
        memcpy(to + size - 32, from + size - 32, 16);
    }
    memcpy(to + size - 16, from + size - 16, 16);
}

/* A good mix of 64 bits (finaliser of MurmurHash3, public domain). */
static inline uint64_t bits_mix(uint64_t x)
{
    x = (x ^ (x >> 33)) * 0xff51afd7ed558ccdull;
    x = (x ^ (x >> 33)) * 0xc4ceb9fe1a85ec53ull;
    return x ^ (x >> 33);
}

#endif
