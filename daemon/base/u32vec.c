/* SPDX-License-Identifier: BSD-3-Clause */
#include "daemon/base/u32vec.h"

#include <assert.h>

static_assert(U32VEC_CHUNK * 4 % MEM_PAGE == 0, "whole pages");

#define FIRST_ROOM 16u

/* Within the first chunk room doubles. */
static bool grow_first(struct u32vec *vec, struct mem *mem)
{
    uint32_t room = vec->room == 0 ? FIRST_ROOM : vec->room * 2;
    uint32_t *chunk = mem_realloc(mem, vec->chunks[0], vec->room * 4, room * 4);
    if (chunk == NULL)
        return false;
    vec->chunks[0] = chunk;
    vec->room = room;
    return true;
}

static bool grow_directory(struct u32vec *vec, struct mem *mem)
{
    uint32_t directory = vec->directory == 0 ? 1 : vec->directory * 2;
    uint32_t **moved =
        mem_realloc(mem, vec->chunks, vec->directory * sizeof *moved, directory * sizeof *moved);
    if (moved == NULL)
        return false;
    for (uint32_t k = vec->directory; k < directory; k++)
        moved[k] = NULL;
    vec->chunks = moved;
    vec->directory = directory;
    return true;
}

static bool grow_once(struct u32vec *vec, struct mem *mem)
{
    uint32_t chunks = (vec->room + U32VEC_CHUNK - 1) / U32VEC_CHUNK;
    if (vec->room < U32VEC_CHUNK && vec->directory != 0)
        return grow_first(vec, mem);
    if (chunks == vec->directory)
        return grow_directory(vec, mem);
    vec->chunks[chunks] = mem_map(mem, U32VEC_CHUNK * 4);
    if (vec->chunks[chunks] == NULL)
        return false;
    vec->room += U32VEC_CHUNK;
    return true;
}

bool u32vec_grow(struct u32vec *vec, struct mem *mem, uint32_t more)
{
    while (vec->room - vec->count < more)
        if (!grow_once(vec, mem))
            return false;
    return true;
}

void u32vec_give(struct u32vec *vec, struct mem *mem)
{
    while (vec->room > U32VEC_CHUNK && vec->room - vec->count >= 2 * U32VEC_CHUNK) {
        vec->room -= U32VEC_CHUNK;
        mem_unmap(mem, vec->chunks[vec->room / U32VEC_CHUNK], U32VEC_CHUNK * 4);
        vec->chunks[vec->room / U32VEC_CHUNK] = NULL;
    }
}

void u32vec_done(struct u32vec *vec, struct mem *mem)
{
    for (uint32_t k = 1; k < vec->room / U32VEC_CHUNK; k++)
        mem_unmap(mem, vec->chunks[k], U32VEC_CHUNK * 4);
    if (vec->directory != 0)
        mem_free(mem, vec->chunks[0], (vec->room < U32VEC_CHUNK ? vec->room : U32VEC_CHUNK) * 4);
    mem_free(mem, vec->chunks, vec->directory * sizeof *vec->chunks);
    *vec = (struct u32vec){0};
}
