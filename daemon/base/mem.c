/* SPDX-License-Identifier: BSD-3-Clause */
#include "daemon/base/mem.h"

#include "daemon/base/bits.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define RESERVE_STEP 4096u
#define HUGE_BYTES   (2u << 20)

#ifndef HF_DEBUG
#define HF_DEBUG 0
#endif

void mem_init(struct mem *mem, struct mem *parent, uint64_t limit)
{
    memset(mem, 0, sizeof *mem);
    mem->parent = parent;
    mem->limit = limit;
}

void mem_done(const struct mem *mem)
{
    assert(!HF_DEBUG || atomic_load_explicit(&mem->used, memory_order_relaxed) == 0);
    (void)mem;
}

void mem_join(struct mem *mem, struct mem *parent, uint64_t limit)
{
    uint64_t used = atomic_load_explicit(&mem->used, memory_order_relaxed);
    mem->parent = parent;
    mem->limit = limit;
    for (struct mem *m = parent; m != NULL; m = m->parent)
        atomic_fetch_add_explicit(&m->used, used, memory_order_relaxed);
}

void mem_hand_out(struct mem *mem, size_t size)
{
    mem->private_bytes -= size;
    atomic_fetch_sub_explicit(&mem->used, size, memory_order_relaxed);
}

void mem_hand_in(struct mem *mem, size_t size)
{
    mem->private_bytes += size;
    atomic_fetch_add_explicit(&mem->used, size, memory_order_relaxed);
}

void mem_set_limit(struct mem *mem, uint64_t limit)
{
    atomic_store_explicit(&mem->limit, limit, memory_order_relaxed);
}

/* relaxed: a limit orders nothing, and a moment later is early enough */
uint64_t mem_limit(const struct mem *mem)
{
    return atomic_load_explicit(&mem->limit, memory_order_relaxed);
}

bool mem_must_fail(struct mem *mem)
{
    mem->calls++;
    return mem->calls == mem->fail_at;
}

/* The topmost budget is never exceeded, but where it is the only one. */
static bool is_within(const struct mem *m, const struct mem *mem, uint64_t used)
{
    uint64_t limit = mem_limit(m);
    return used <= limit || ((m == mem || m->parent != NULL) && used - limit <= mem->over);
}

bool mem_charge(struct mem *mem, uint64_t bytes)
{
    for (struct mem *m = mem; m != NULL; m = m->parent) {
        /* relaxed: a sum, it orders nothing */
        uint64_t used = atomic_fetch_add_explicit(&m->used, bytes, memory_order_relaxed) + bytes;
        if (likely(is_within(m, mem, used)))
            continue;
        for (struct mem *undo = mem;; undo = undo->parent) {
            atomic_fetch_sub_explicit(&undo->used, bytes, memory_order_relaxed);
            if (undo == m)
                return false;
        }
    }
    return true;
}

void mem_uncharge(struct mem *mem, uint64_t bytes)
{
    for (struct mem *m = mem; m != NULL; m = m->parent)
        atomic_fetch_sub_explicit(&m->used, bytes, memory_order_relaxed);
}

uint64_t mem_left(const struct mem *mem)
{
    uint64_t left = UINT64_MAX;
    for (const struct mem *m = mem; m != NULL; m = m->parent) {
        /* relaxed: a figure for people */
        uint64_t used = atomic_load_explicit(&m->used, memory_order_relaxed);
        uint64_t limit = mem_limit(m), here = used < limit ? limit - used : 0;
        left = here < left ? here : left;
    }
    return left;
}

static bool take(struct mem *mem, size_t size)
{
    if (mem_must_fail(mem) || !mem_charge(mem, size))
        return false;
    mem->private_bytes += size;
    return true;
}

static void give(struct mem *mem, size_t size)
{
    mem->private_bytes -= size;
    mem_uncharge(mem, size);
}

void *mem_alloc(struct mem *mem, size_t size)
{
    if (!take(mem, size))
        return NULL;
    void *p = malloc(size);
    if (p == NULL)
        give(mem, size);
    return p;
}

void *mem_zalloc(struct mem *mem, size_t size)
{
    void *p = mem_alloc(mem, size);
    if (p != NULL)
        memset(p, 0, size);
    return p;
}

void *mem_realloc(struct mem *mem, void *p, size_t old_size, size_t size)
{
    if (!take(mem, size))
        return NULL;
    void *moved = realloc(p, size);
    give(mem, moved == NULL ? size : old_size);
    return moved;
}

void mem_free(struct mem *mem, void *p, size_t size)
{
    if (p == NULL)
        return;
    free(p);
    give(mem, size);
}

void *mem_map(struct mem *mem, size_t size)
{
    if (!take(mem, size))
        return NULL;
    void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p != MAP_FAILED)
        return p;
    give(mem, size);
    return NULL;
}

void mem_unmap(struct mem *mem, void *p, size_t size)
{
    munmap(p, size);
    give(mem, size);
}

bool reserve_init(struct reserve *reserve, size_t size)
{
    size = (size + RESERVE_STEP - 1) / RESERVE_STEP * RESERVE_STEP;
    void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED)
        return false;
    *reserve = (struct reserve){.base = p, .size = size, .charged = 0};
    return true;
}

bool reserve_grow(struct reserve *reserve, struct mem *mem, size_t bytes)
{
    if (bytes <= reserve->charged)
        return true;
    if (bytes > reserve->size)
        return false;
    size_t target = (bytes + RESERVE_STEP - 1) / RESERVE_STEP * RESERVE_STEP;
    if (!take(mem, target - reserve->charged))
        return false;
    reserve->charged = target;
    return true;
}

void reserve_trim(struct reserve *reserve, struct mem *mem, size_t bytes)
{
    size_t keep = (bytes + RESERVE_STEP - 1) / RESERVE_STEP * RESERVE_STEP;
    if (reserve->charged < keep + RESERVE_SLACK)
        return;
    size_t over = reserve->charged - keep, part = over < RESERVE_TRIM ? over : RESERVE_TRIM;
    reserve_give(reserve, mem, reserve->charged - part, part);
}

bool reserve_take(struct reserve *reserve, struct mem *mem, size_t bytes)
{
    if (!take(mem, bytes))
        return false;
    reserve->charged += bytes;
    return true;
}

void reserve_give(struct reserve *reserve, struct mem *mem, size_t at, size_t bytes)
{
    (void)madvise(reserve->base + at, bytes, MADV_DONTNEED);
    reserve->charged -= bytes;
    give(mem, bytes);
}

void reserve_want_huge(const struct reserve *reserve, size_t bytes)
{
    size_t whole = bytes / HUGE_BYTES * HUGE_BYTES;
    if (whole != 0)
        (void)madvise(reserve->base, whole, MADV_HUGEPAGE);
}

void reserve_done(struct reserve *reserve, struct mem *mem)
{
    if (reserve->base == NULL)
        return;
    munmap(reserve->base, reserve->size);
    give(mem, reserve->charged);
    *reserve = (struct reserve){0};
}
