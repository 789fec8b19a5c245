/* SPDX-License-Identifier: BSD-3-Clause */
/* Saving an image as it is at one instant, in steps, while its pool goes on.
 *
 * The instant is save_begin(), between two operations. From then on a piece (SAVED_PIECE bytes) is copied before the
 * first store that could be seen in the file: region_touch() is called by whoever is about to write truth, or gives
 * something free out to be written, or gives pages back. All other pieces are copied by save_step(). Each once: a
 * bitmap tells.
 *
 * Why this is enough: what can be reached changes only by image_store() and its like; what cannot be reached at the
 * instant, and what is derived, may have any content in the file, because loading recovers it as any start does. Pages
 * that are backed later were not there; pages that are given back are copied before. The undo log is empty.
 *
 * Copies go into buffers of SAVE_BUFFER bytes, at most `memory` bytes of them, charged to the pool's budget.
 * save_step() uses half of them, so that there is room for pieces that must be copied at once. When even so none is
 * free, such a piece is written to the file directly, from where it is: some microseconds, since save_write() never
 * leaves the system with much to write back. No operation ever waits for a buffer.
 *
 * Threads: all is the pool's thread's, but save_write(), which may be called in any one, for one chain at a time, and
 * touches nothing but the buffers of that chain and the writer.
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

#define SAVE_BUFFER     (65u * 4096) /* 16 pieces with their records */
#define SAVE_MEMORY     (32u << 20)  /* bytes of buffers, as a rule */
#define SAVE_MEMORY_MIN SAVE_BUFFER  /* with less it does not begin */

/* The file as save_write() knows it. */
struct save_writer {
    int fd;
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
    alignas(8) uint8_t bytes[SAVE_BUFFER - 40];
};

struct save_config {
    int fd; /* an empty file to be written; stays the caller's */
    uint64_t memory;
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
/* Copies up to `pieces`; returns how many, 0: there is no buffer for more now, or all are copied. */
unsigned save_step(struct save *save, unsigned pieces);
/* Whether a step would do something. */
bool save_has_work(const struct save *save);
/* A chain of buffers that are full (or the last ones) for save_write(); NULL: none, or another chain is out. */
struct save_buffer *save_take(struct save *save);
/* Any thread: fills in the checksums and writes. 0 or -errno. */
int save_write(struct save_buffer *chain);
/* The chain is back; `err`: what save_write() said. */
void save_given_back(struct save *save, struct save_buffer *chain, int err);
/* All of the file is written, its end too. */
bool save_is_done(const struct save *save);
/* 0 or -errno: it has failed, and nothing more will be done. */
int save_error(const struct save *save);
void save_facts(const struct save *save, struct save_facts *ret);
/* At any time when no chain is out; frees it. */
void save_end(struct save *save);

/* For region.c: pages come that were not there. */
void save_backs(struct region *region, uint64_t offset, uint64_t size);

/* Of a record in front of its bytes, at that place of the file. */
uint64_t saved_checksum(const struct saved_record *record, const void *bytes, uint64_t offset);
uint64_t saved_header_checksum(const struct saved_header *header);

#endif
