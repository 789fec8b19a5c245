/* SPDX-License-Identifier: BSD-3-Clause */
#include "daemon/base/index.h"

#include "daemon/base/bits.h"

#include <assert.h>
#include <string.h>

static_assert(sizeof(struct index_bucket) == 64, "one cache line");

#define FIRST_BUCKETS 16u
/* Values a bucket, on average: with more than FULL it grows (7.8 to 8.3 B a value then, overflow included), with fewer
 * than SPARSE it shrinks. */
#define FULL   10u
#define SPARSE (FULL / 3)

static struct index_bucket *home(const struct index *index, uint32_t n)
{
    return (struct index_bucket *)(void *)index->home.base + n;
}

static struct index_bucket *overflow(const struct index *index, uint32_t next)
{
    return (struct index_bucket *)(void *)index->overflow.base + (next - 1);
}

static uint8_t tag_of(uint64_t hash)
{
    return (uint8_t)(hash >> 56);
}

/* Linear hashing's address: the low bits, one bit less for buckets that are not split yet. */
static uint32_t address(const struct index *index, uint64_t hash)
{
    uint32_t mask = (uint32_t)(bits_power_up(index->buckets) - 1);
    uint32_t n = (uint32_t)hash & mask;
    return n < index->buckets ? n : n & (mask >> 1);
}

bool index_init(struct index *index, struct mem *mem, uint64_t max, const void *owner, index_hash_of *hash_of,
                index_same *same)
{
    uint64_t buckets = max / 8 + FIRST_BUCKETS;
    *index = (struct index){.owner = owner, .hash_of = hash_of, .same = same, .mem = mem};
    if (!reserve_init(&index->home, buckets * sizeof(struct index_bucket)))
        return false;
    if (!reserve_init(&index->overflow, buckets * sizeof(struct index_bucket)))
        return false;
    index->buckets = FIRST_BUCKETS;
    return reserve_grow(&index->home, mem, FIRST_BUCKETS * sizeof(struct index_bucket));
}

void index_done(struct index *index)
{
    reserve_done(&index->home, index->mem);
    reserve_done(&index->overflow, index->mem);
}

uint32_t index_find(const struct index *index, uint64_t hash, const void *key)
{
    const struct index_bucket *bucket = home(index, address(index, hash));
    for (;;) {
        for (unsigned k = 0; k < INDEX_SLOTS && bucket->value[k] != 0; k++)
            if (bucket->tag[k] == tag_of(hash) && index->same(index->owner, bucket->value[k], key))
                return bucket->value[k];
        if (bucket->next == 0)
            return 0;
        bucket = overflow(index, bucket->next);
    }
}

void index_prefetch(const struct index *index, uint64_t hash)
{
    bits_prefetch(home(index, address(index, hash)));
}

bool index_prepare(struct index *index)
{
    if (index->overflow_free != 0)
        return true;
    return reserve_grow(&index->overflow, index->mem,
                        (index->overflow_used + 1ull) * sizeof(struct index_bucket));
}

static uint32_t overflow_take(struct index *index)
{
    uint32_t next = index->overflow_free;
    if (next != 0)
        index->overflow_free = overflow(index, next)->next;
    else
        next = ++index->overflow_used;
    memset(overflow(index, next), 0, sizeof(struct index_bucket));
    return next;
}

static void overflow_give(struct index *index, uint32_t next)
{
    overflow(index, next)->next = index->overflow_free;
    index->overflow_free = next;
}

static void append(struct index *index, struct index_bucket *bucket, uint8_t tag, uint32_t value)
{
    for (;;) {
        for (unsigned k = 0; k < INDEX_SLOTS; k++) {
            if (bucket->value[k] != 0)
                continue;
            bucket->tag[k] = tag;
            bucket->value[k] = value;
            return;
        }
        if (bucket->next == 0)
            bucket->next = overflow_take(index);
        bucket = overflow(index, bucket->next);
    }
}

/* The bucket that this one, which is not among the first, was split from. */
static uint32_t origin(uint32_t n)
{
    return n & (uint32_t)(bits_power_up(n + 1ull) / 2 - 1);
}

/* Takes the chain that begins with *bucket apart, bucket by bucket: in *bucket stands the next one then. False: there
 * is none. */
static bool chain_next(struct index *index, struct index_bucket *bucket)
{
    uint32_t next = bucket->next;
    if (next == 0)
        return false;
    *bucket = *overflow(index, next);
    overflow_give(index, next);
    return true;
}

/* Splits the next bucket in line. The chain is taken apart first: its overflow buckets become free, and
 * dealing the values out again to two buckets needs no more of them than there were, plus the one that
 * index_prepare() keeps. */
static void split(struct index *index)
{
    uint32_t fresh = index->buckets;
    if (!reserve_grow(&index->home, index->mem, (fresh + 1ull) * sizeof(struct index_bucket)))
        return; /* longer chains until there is memory again */
    uint32_t from = origin(fresh);
    struct index_bucket chain = *home(index, from);
    memset(home(index, from), 0, sizeof chain);
    memset(home(index, fresh), 0, sizeof chain);
    index->buckets++;
    bool more = true;
    while (more) {
        struct index_bucket part = chain;
        more = chain_next(index, &chain);
        for (unsigned k = 0; k < INDEX_SLOTS && part.value[k] != 0; k++) {
            uint64_t hash = index->hash_of(index->owner, part.value[k]);
            append(index, home(index, address(index, hash)), part.tag[k], part.value[k]);
        }
    }
}

/* Puts the last bucket back to where it was split from. Needs no more overflow buckets than there were, plus one. */
static void merge(struct index *index)
{
    uint32_t last = index->buckets - 1;
    struct index_bucket chain = *home(index, last), *to = home(index, origin(last));
    memset(home(index, last), 0, sizeof chain);
    index->buckets--;
    bool more = true;
    while (more) {
        struct index_bucket part = chain;
        more = chain_next(index, &chain);
        for (unsigned k = 0; k < INDEX_SLOTS && part.value[k] != 0; k++)
            append(index, to, part.tag[k], part.value[k]);
    }
    reserve_trim(&index->home, index->mem, index->buckets * sizeof(struct index_bucket));
}

/* After a removal. When nothing is left all overflow buckets are free. What index_prepare() has made sure of stays so:
 * room for two, of which a merge takes one at most. */
static void shrink(struct index *index)
{
    if (index->count < (uint64_t)index->buckets * SPARSE && index->buckets > FIRST_BUCKETS &&
        reserve_grow(&index->overflow, index->mem,
                     (index->overflow_used + 2ull) * sizeof(struct index_bucket)))
        merge(index);
    if (index->count != 0)
        return;
    index->overflow_used = index->overflow_free = 0;
    reserve_trim(&index->overflow, index->mem, 0);
}

void index_insert(struct index *index, uint64_t hash, uint32_t value)
{
    assert(value != 0);
    append(index, home(index, address(index, hash)), tag_of(hash), value);
    index->count++;
    if (index->count > (uint64_t)index->buckets * FULL && index_prepare(index))
        split(index);
}

void index_remove(struct index *index, uint64_t hash, uint32_t value)
{
    struct index_bucket *at = NULL, *before = NULL, *last = home(index, address(index, hash));
    unsigned place = 0;
    for (;; before = last, last = overflow(index, last->next)) {
        for (unsigned k = 0; k < INDEX_SLOTS && at == NULL; k++) {
            if (last->value[k] == value) {
                at = last;
                place = k;
            }
        }
        if (last->next == 0)
            break;
    }
    assert(at != NULL);
    unsigned end = 0;
    while (end < INDEX_SLOTS && last->value[end] != 0)
        end++;
    at->tag[place] = last->tag[end - 1];
    at->value[place] = last->value[end - 1];
    last->value[end - 1] = 0;
    if (end == 1 && before != NULL) {
        overflow_give(index, before->next);
        before->next = 0;
    }
    index->count--;
    shrink(index);
}
