/* SPDX-License-Identifier: BSD-3-Clause */
/* Private memory with a budget.
 *
 * Every allocation is charged to a budget and to the budgets above it (pool -> daemon); so is what regions
 * back with pages. A budget that is spent makes the allocation fail: nothing here aborts.
 *
 * Invariant: used = private_bytes + image_bytes, and used <= limit as long as nobody lowers the limit, puts
 * too much under it (mem_join), or sets `over`, for what makes room by being done.
 * `used` and `limit` are atomic because a daemon's budget is shared by the threads of all its pools and may be
 * changed while they run; everything else of a `struct mem` belongs to one thread. */
#ifndef BASE_MEM_H
#define BASE_MEM_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct mem {
    struct mem *parent;     /* the budget above; NULL: none */
    _Atomic uint64_t limit; /* bytes */
    _Atomic uint64_t used;  /* bytes charged here, children included */
    uint64_t private_bytes; /* of it: allocated by mem_alloc() and reserves */
    uint64_t image_bytes;   /* of it: backed pages of regions */
    uint64_t
        over; /* bytes by which charges here may exceed this budget and those between it and the topmost */
    uint64_t calls;   /* allocations and growths asked for; a test compares it */
    uint64_t fail_at; /* tests: the call of this number (and no other) fails; 0: none */
};

void mem_init(struct mem *mem, struct mem *parent, uint64_t limit);

/* A budget that is used no more: all that was charged has been given back, else it would have shrunk as clients came and
 * went. Debug builds stop if that is not so. */
void mem_done(const struct mem *mem);

/* Puts a budget that had no parent under one, with a new limit. What it has used is charged even if that is too
 * much: an image that was made within a limit must not be lost because its recovery needs a little more. */
void mem_join(struct mem *mem, struct mem *parent, uint64_t limit);

/* Counts a call and tells whether it is the one that shall fail. */
bool mem_must_fail(struct mem *mem);

/* Memory that changes its thread: out of the budget of the one, into that of the other, which has the same
 * parent. Meanwhile it is charged to the parent. */
void mem_hand_out(struct mem *mem, size_t size);
void mem_hand_in(struct mem *mem, size_t size);

/* Changes the limit; what is charged already stays. */
void mem_set_limit(struct mem *mem, uint64_t limit);
uint64_t mem_limit(const struct mem *mem);

/* Takes `bytes` out of this budget and all above; false (nothing taken) if one of them is spent. */
bool mem_charge(struct mem *mem, uint64_t bytes);
void mem_uncharge(struct mem *mem, uint64_t bytes);

/* Bytes left before this budget or one above is spent. */
uint64_t mem_left(const struct mem *mem);

/* As malloc, calloc, realloc, free; sizes are given back by the caller, no header is kept. NULL on failure. */
void *mem_alloc(struct mem *mem, size_t size);
void *mem_zalloc(struct mem *mem, size_t size);
void *mem_realloc(struct mem *mem, void *p, size_t old_size, size_t size);
void mem_free(struct mem *mem, void *p, size_t size);

/* The same for whole pages that go back to the system at once, each time. What is freed by mem_free() the C library may
 * keep, and give back much later in one go, which takes a millisecond for a few MiB (measured). `size` is a multiple of
 * MEM_PAGE; zero-filled. */
#define MEM_PAGE 4096u
void *mem_map(struct mem *mem, size_t size);
void mem_unmap(struct mem *mem, void *p, size_t size);

/* An array that grows in place: a large range of addresses, zero-filled, charged as far as it is used. */
struct reserve {
    uint8_t *base;
    size_t size;    /* bytes of addresses */
    size_t charged; /* bytes that may be used: from the begin on, or all pieces together */
};

/* false: no addresses left. */
bool reserve_init(struct reserve *reserve, size_t size);
/* Makes the first `bytes` usable; false when the budget or the range is spent. Never moves anything. */
bool reserve_grow(struct reserve *reserve, struct mem *mem, size_t bytes);
/* Gives back what is charged beyond the first `bytes`, if it is RESERVE_SLACK or more, and no more than RESERVE_TRIM at once,
 * since that takes time; it is zeros when it is grown into again. */
#define RESERVE_SLACK (64u << 10)
#define RESERVE_TRIM  (512u << 10)
void reserve_trim(struct reserve *reserve, struct mem *mem, size_t bytes);
/* For one that is used in pieces of whole pages, here and there: charges such a piece; gives the memory of one
 * back, which then is zeros. */
bool reserve_take(struct reserve *reserve, struct mem *mem, size_t bytes);
void reserve_give(struct reserve *reserve, struct mem *mem, size_t at, size_t bytes);
/* Asks for huge pages where whole ones lie in the first `bytes`: for what is used at random places. Only a hint. */
void reserve_want_huge(const struct reserve *reserve, size_t bytes);
/* Gives all back. */
void reserve_done(struct reserve *reserve, struct mem *mem);

#endif
