/* SPDX-License-Identifier: BSD-3-Clause */
/* A region: a file mapped once at a reserved range of addresses, backed piece by piece.
 *
 * Nothing is ever mapped again or moved when it grows. A page is only touched, for reading too, after
 * region_back() or region_admit() has said so: a file system without room is an error there and not a SIGBUS
 * later (reading a hole of a mapped tmpfs file allocates as well). Debug builds see to it: all other pages
 * have no access rights. Backed bytes are charged to the pool's budget.
 *
 * Files on disk are backed and given back in whole granules. There the kernel's page cache works in folios of up to that
 * size, and one store makes room for all of a folio: were a part of it a hole, a full disk would be a SIGBUS after all.
 *
 * A private region is a copy-on-write look at somebody's file, which stays as it is: what would be backed in
 * the file is anonymous memory instead. */
#ifndef HEAP_REGION_H
#define HEAP_REGION_H

#include "daemon/base/bits.h"
#include "daemon/base/mem.h"

#ifndef HF_DEBUG
#define HF_DEBUG 0
#endif
#ifndef HF_STORE_HOOK
#define HF_STORE_HOOK 0
#endif

/* How regions grow and shrink; tests put their own in between to make the n-th call fail. */
struct region_io {
    /* 0 or -errno; `keep_size`: the file becomes no longer */
    int (*back)(const struct region_io *io, int fd, uint64_t offset, uint64_t size, bool keep_size);
    int (*punch)(const struct region_io *io, int fd, uint64_t offset, uint64_t size); /* 0 or -errno */
    bool granules; /* as on disk, wherever the file is */
};

#define REGION_GRANULE (2u << 20) /* the largest folio of the page cache, and a multiple of an arena */
#define REGION_SOLID   (256u << 10)

struct region {
    uint8_t *base;
    uint64_t size; /* bytes of addresses */
    int fd;
    int error;       /* errno of the last growth that the file refused; 0: none did since it last grew */
    bool is_private; /* a copy-on-write look at somebody's image: never changes the file */
    bool granules;
    struct reserve used; /* of each granule: pages that are backed, uint16_t */
    struct reserve
        solid; /* bits: pieces of REGION_SOLID bytes of the file without a hole, for region_admit() */
    const struct region_io *io;
    struct mem *mem;
    struct save *save; /* of this image, under way: it sees pieces before they change */
#if HF_STORE_HOOK
    void (*hook)(void *arg); /* the every-store attack: called after each store into the image */
    void *hook_arg;
#endif
};

/* The one hook of saves (save.h): stands before each store that could be seen in an image of an earlier instant. That is
 * a store into truth that can be reached, and the moment in which something free is given out to be written. What is
 * derived may change unseen. */
void save_touch(struct region *region, uint64_t offset, uint64_t size);
/* Whether that page of values would have to be copied first. A save is under way. */
bool save_owes(const struct region *region, uint64_t offset);

static inline void region_touch(struct region *region, uint64_t offset, uint64_t size)
{
    if (unlikely(region->save != NULL))
        save_touch(region, offset, size);
}

/* Stands after each store into the image that recovery could see: keeps the compiler from moving stores
 * across it (a process that is killed stops between two instructions, so compiler order is all that is
 * needed), and lets the attack look at the image at this point. */
static inline void region_stored(struct region *region)
{
    atomic_signal_fence(memory_order_seq_cst);
#if HF_STORE_HOOK
    if (region->hook != NULL)
        region->hook(region->hook_arg);
#else
    (void)region;
#endif
}

/* Makes an empty memfd named after the pool. Returns the fd or -errno. */
int region_create(const char *name);
/* Maps `size` bytes of addresses over fd. 0 or -errno. Takes no ownership of fd. */
int region_map(struct region *region, int fd, uint64_t size, bool is_private, const struct region_io *io,
               struct mem *mem);
void region_unmap(struct region *region);
/* Closes its file, if it has one. */
void region_close(struct region *region);

/* Backs a range with pages of zeros where it was not. `charge`: take them out of the budget here. 0,
 * -ENOMEM (the budget, or the file: `error`). */
int region_back(struct region *region, uint64_t offset, uint64_t size, bool charge);
/* For recovery: admits a range that the file should have already, as far as the file goes. Its holes are
 * backed, which changes no byte and not the file's length: a copy of an image may have holes where the image
 * had pages of zeros, or backed ones that nobody had touched. 0, -ENOMEM. */
int region_admit(struct region *region, uint64_t offset, uint64_t size);
/* That was the last time. */
void region_admitted(struct region *region);
/* Gives the pages of a range back; it must not be touched before it is backed again, and reads as zeros then. `backed`:
 * whether it was, as far as this process knows; of some that were not there may be pages from before. */
void region_punch(struct region *region, uint64_t offset, uint64_t size, bool backed);
/* The same for a range that nobody will back again. */
void region_drop(struct region *region, uint64_t offset, uint64_t size);
/* Bytes of the file: touching the mapping beyond them is SIGBUS. */
uint64_t region_file_size(const struct region *region);
/* Whether the file has any page in that range. */
bool region_has_data(const struct region *region, uint64_t offset, uint64_t size);
/* The end of the last data in [from, to) of the file, from if there is none; for recovery. */
uint64_t region_data_end(const struct region *region, uint64_t from, uint64_t to);
/* Only the bookkeeping of the budget. */
bool region_charge(struct region *region, uint64_t size);
void region_uncharge(struct region *region, uint64_t size);

#endif
