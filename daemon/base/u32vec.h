/* SPDX-License-Identifier: BSD-3-Clause */
/* A vector of 32-bit numbers in chunks: grows without ever copying more than a chunk (a realloc of what a
 * session with a million holds has would be a stall). The first chunk starts small, so that many small
 * vectors cost little; the others are pages that go back to the system one by one, as they become empty. Only the last
 * place can be taken away. */
#ifndef BASE_U32VEC_H
#define BASE_U32VEC_H

#include "daemon/base/mem.h"

#define U32VEC_CHUNK 1024u /* numbers: a page */

struct u32vec {
    uint32_t **chunks;
    uint32_t count;
    uint32_t room;      /* places in the chunks there are */
    uint32_t directory; /* entries `chunks` has room for */
};

/* Makes room for `more` further pushes; false when the budget is spent. */
bool u32vec_grow(struct u32vec *vec, struct mem *mem, uint32_t more);
static inline bool u32vec_prepare(struct u32vec *vec, struct mem *mem, uint32_t more)
{
    return vec->room - vec->count >= more || u32vec_grow(vec, mem, more);
}
/* Gives back chunks that are empty, but for one spare. */
void u32vec_give(struct u32vec *vec, struct mem *mem);
static inline void u32vec_trim(struct u32vec *vec, struct mem *mem)
{
    if (vec->room - vec->count >= 2 * U32VEC_CHUNK)
        u32vec_give(vec, mem);
}
void u32vec_done(struct u32vec *vec, struct mem *mem);

static inline uint32_t *u32vec_at(const struct u32vec *vec, uint32_t place)
{
    return &vec->chunks[place / U32VEC_CHUNK][place % U32VEC_CHUNK];
}

/* Needs u32vec_prepare(); returns the place. */
static inline uint32_t u32vec_push(struct u32vec *vec, uint32_t value)
{
    uint32_t place = vec->count++;
    *u32vec_at(vec, place) = value;
    return place;
}

static inline uint32_t u32vec_pop(struct u32vec *vec)
{
    return *u32vec_at(vec, --vec->count);
}

#endif
