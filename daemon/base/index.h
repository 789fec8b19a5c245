/* SPDX-License-Identifier: BSD-3-Clause */
/* A hash index from keys that live elsewhere to 32-bit values: names, ticket keys, session keys.
 *
 * Linear hashing (Litwin 1980): the table grows by splitting one bucket at a time, so there is never a
 * rehash and never a stall. In the same way it shrinks, one bucket a removal, once it is a third as full as when it grows,
 * and gives back its memory. A bucket is one cache line: 12 tags (8 bits of the hash), 12 values, the number
 * of an overflow bucket. The keys are not stored: the owner compares candidates and, for a split, tells the
 * hash of a value again.
 *
 * Invariants: a value is never 0; a chain has no empty bucket but its first; in a chain all full places come
 * before the first empty one. */
#ifndef BASE_INDEX_H
#define BASE_INDEX_H

#include "daemon/base/mem.h"

#define INDEX_SLOTS 12

struct index_bucket {
    uint8_t tag[INDEX_SLOTS];
    uint32_t value[INDEX_SLOTS];
    uint32_t next; /* overflow bucket + 1; 0: none */
};

/* The hash of the key that `value` stands for. */
typedef uint64_t index_hash_of(const void *owner, uint32_t value);
/* Whether `value` stands for the key looked for. */
typedef bool index_same(const void *owner, uint32_t value, const void *key);

struct index {
    struct reserve home, overflow;
    uint32_t buckets;       /* home buckets in use */
    uint32_t overflow_used; /* overflow buckets ever used */
    uint32_t overflow_free; /* head of the free list + 1, through `next` */
    uint64_t count;
    const void *owner; /* passed to the two functions */
    index_hash_of *hash_of;
    index_same *same;
    struct mem *mem;
};

/* For at most `max` values. false: no memory; index_done() is still allowed. */
bool index_init(struct index *index, struct mem *mem, uint64_t max, const void *owner, index_hash_of *hash_of,
                index_same *same);
void index_done(struct index *index);

/* The value of that key, or 0. */
uint32_t index_find(const struct index *index, uint64_t hash, const void *key);
/* Brings the bucket of `hash` near; for batches. */
void index_prefetch(const struct index *index, uint64_t hash);
/* Makes sure that the next insert cannot fail. */
bool index_prepare(struct index *index);
/* Needs an index_prepare() since the last insert; the key must not be in it. */
void index_insert(struct index *index, uint64_t hash, uint32_t value);
/* Removes a value that is in it. */
void index_remove(struct index *index, uint64_t hash, uint32_t value);

#endif
