/* SPDX-License-Identifier: BSD-3-Clause */
/* Saving an image as it is at one instant, in steps, while its pool goes on.
 *
 * The instant is save_begin(), between two operations. From then on a page of values, or SAVED_PIECE bytes of meta, is
 * copied before the first store that could be seen in the file: region_touch() is called by whoever is about to write
 * truth, or gives something free out to be written, or gives pages back. All others are copied by save_step(), up to
 * SAVED_PIECE bytes of neighbours as one piece. Each once: a bitmap tells.
 *
 * Why this is enough: what can be reached changes only by image_store() and its like; what cannot be reached at the
 * instant, and what is derived, may have any content in the file, because loading recovers it as any start does. Pages
 * that are backed later were not there; pages that are given back are copied before, but for those of arenas that were
 * about to be given back at the instant, and are in no file. The undo log is empty.
 *
 * Copies go into buffers of SAVE_BUFFER bytes, at most `memory` bytes of them, charged to the pool's budget.
 * save_step() uses a quarter of them, so that there is room for pieces that must be copied at once. For those up to
 * `urgent_memory` bytes more are used until the save ends, unless the pool's memory is nearly spent, or an allocation
 * has failed. When even so none is free, such a piece is written to the file directly: some microseconds, unless
 * save_write() has the file just then, or the system makes whoever writes wait for the disk. So chains are short, and
 * their buffers are back before many more are filled. No operation ever waits for a buffer. Work that could be done
 * later does when half of them are in use: giving memory back, which has it copied first, and evacuation
 * (heap_waits_for_save()).
 *
 * Threads: all is the pool's thread's, but save_write(), which may be called in any one, for one chain at a time, and
 * touches nothing but the buffers of that chain and the writer. `rest` may let others have the processor after each one.
 *
 * An error (the disk is full, the device fails) ends the save, never an operation: save_error(). */
#ifndef HEAP_SAVE_H
#define HEAP_SAVE_H

#include "daemon/heap/region.h"
#include "daemon/heap/saved.h"

#include <stdalign.h>

struct heap;
struct save;

/* How files are written; tests put their own in between. */
struct save_io {
    /* All of it: 0 or -errno. */
    int (*write)(const struct save_io *io, int fd, const void *data, uint64_t size, uint64_t offset);
};

#define SAVE_BUFFER     (34u * PAGE_BYTES) /* 8 pieces with their records, and a page for what is known of it */
#define SAVE_CHAIN      16u                /* buffers that are out at once, at most */
#define SAVE_MEMORY     (32u << 20)        /* bytes of buffers, as a rule */
#define SAVE_MEMORY_MIN SAVE_BUFFER        /* with less it does not begin */
#define SAVE_URGENT     (96u << 20)        /* beyond, if the pool has them, for what must be copied at once */

/* The file as save_write() knows it. */
struct save_writer {
    int fd, fd_past; /* as in struct save_config */
    const struct save_io *io;
    uint64_t handed, awaited; /* bytes that the system was asked to write back, and waited for */
};

struct save_buffer {
    struct save_buffer *next;
    struct save_writer *writer;
    uint64_t offset;   /* in the file */
    uint64_t checksum; /* sum of its records' */
    uint32_t used;
    bool has_head; /* it begins with the header */
    alignas(PAGE_BYTES) uint8_t bytes[SAVE_BUFFER - PAGE_BYTES];
};

struct save_config {
    int fd;      /* an empty file to be written; stays the caller's */
    int fd_past; /* the same file, written past the system's cache (O_DIRECT); -1: that cannot be */
    uint64_t memory, urgent_memory; /* of buffers; beyond, for what must be copied at once */
    uint64_t new_memory; /* that blocks may take, so that less has to be copied at once (blocks.h) */
    uint64_t now_ms;
    uint64_t names, tickets, sessions; /* for the header */
    const struct save_io *io;          /* NULL: the real one */
};

struct save_facts {
    uint64_t bytes_most; /* of the image at the instant; less are written, where pieces are zeros */
    uint64_t bytes;      /* of it copied so far */
    uint64_t file_bytes; /* of the file so far */
    uint64_t copied, urgent, direct; /* pieces; of them before a store; of those without a buffer */
    uint64_t memory;                 /* bytes of buffers */
};

/* The instant. -ENOMEM, or -EBUSY: one is under way. */
int save_begin(struct heap *heap, const struct save_config *config, struct save **ret);
/* Copies up to `pieces`, or gives up to so many buffers back once all are copied; returns how many, 0: there is no buffer
 * for more now, or nothing is left to do. */
unsigned save_step(struct save *save, unsigned pieces);
/* Whether a step would do something. */
bool save_has_work(const struct save *save);
/* A chain of at most SAVE_CHAIN buffers that are full (or the last ones) for save_write(); NULL: none, or another chain is
 * out. */
struct save_buffer *save_take(struct save *save);
/* More than half of the buffers are in use: what can wait waits. */
bool save_is_short(const struct save *save);
/* Nearly all that there may be are in use, or somebody waits for what is copied to be given back: the sooner
 * chains are back, the better, whatever it costs. */
bool save_hurries(const struct save *save);
/* Any thread: fills in the checksums and writes. Calls `rest`, if there is one, after each buffer. 0 or -errno. */
int save_write(struct save_buffer *chain, void (*rest)(void *data), void *data);
/* The chain is back; `err`: what save_write() said. */
void save_given_back(struct save *save, struct save_buffer *chain, int err);
/* All of the file is written, its end too. */
bool save_is_done(const struct save *save);
/* 0 or -errno: it has failed, and nothing more will be done. */
int save_error(const struct save *save);
void save_facts(const struct save *save, struct save_facts *ret);
/* Of one that is done, or comes to nothing, when no chain is out: frees up to `most` buffers, whatever is in them, for all of
 * them at once could take longer than a turn may. True: there are more. */
bool save_throw(struct save *save, unsigned most);
/* At any time when no chain is out; frees it. */
void save_end(struct save *save);

/* For region.c: pages come that were not there. */
void save_backs(struct region *region, uint64_t offset, uint64_t size);

/* Of a record in front of its bytes, at that place of the file. */
uint64_t saved_checksum(const struct saved_record *record, const void *bytes, uint64_t offset);
uint64_t saved_header_checksum(const struct saved_header *header);

#endif
