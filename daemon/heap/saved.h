/* SPDX-License-Identifier: BSD-3-Clause */
/* The file of a saved image: what stands where. save.h writes it, load.h reads it.
 *
 *   header            SAVED_HEADER bytes, struct saved_header and zeros
 *   record, bytes     for each piece of the image that is kept, in any order
 *   record, bytes     the last one: struct saved_end
 *
 * Behind any record there may be zeros up to the next multiple of PAGE_BYTES: whoever writes
 * past the system's cache (O_DIRECT) writes whole pages.
 *
 * A piece is one to SAVED_PIECE / PAGE_BYTES pages of one of the two regions, no page is in two of them. Not in the file are
 * the undo log (it is empty at the instant of the save), pages that nothing is kept in, and pieces of values that are
 * zeros. The bytes of meta may have derived fields (format.h, D) of other instants: recovery makes them anew.
 *
 * Every byte is under a checksum, XXH3 of 64 bits; that of a record is seeded with its own head and its place in the
 * file, so that none can be exchanged, and the sum of all stands at the end. All integers are little-endian. */
#ifndef HEAP_SAVED_H
#define HEAP_SAVED_H

#include "daemon/heap/format.h"

#define SAVED_MAGIC        0x3130657661736c68ull /* "hlsave01" */
#define SAVED_FORMAT       3u /* 1 had whole pieces only, 1 and 2 no zeros: they are read as this one is */
#define SAVED_FORMAT_ZEROS 3u /* the first one with zeros behind records */
#define SAVED_FORMAT_FIRST 1u /* of those that are read */
#define SAVED_HEADER       4096u
#define SAVED_PIECE        16384u       /* a run of cells */
#define SAVED_RECORD       0x73656370u  /* "pces" */
#define SAVED_LAST         0x65736c68u  /* "hlse" */
#define SAVED_VALUES       (1ull << 63) /* of a record's place: in the values, else in meta */
#define SAVED_DATA_AT      SAVED_HEADER

struct saved_header {
    uint64_t magic;
    uint32_t format, image_format;     /* SAVED_FORMAT; IMAGE_FORMAT of what is in it */
    uint32_t piece, header;            /* bytes of each */
    uint64_t saved_ms;                 /* the instant, ms since 1970 */
    uint64_t meta_bytes, values_bytes; /* lengths of the two files of the image */
    uint64_t objects, object_bytes, names, tickets, sessions; /* then; only told */
    struct superblock superblock;
    uint64_t checksum; /* of all before */
};
static_assert(sizeof(struct saved_header) <= SAVED_HEADER, "the header fits");

struct saved_record {
    uint32_t magic; /* SAVED_RECORD; SAVED_LAST */
    uint32_t size;  /* of the bytes behind, a multiple of 8 */
    uint64_t place; /* offset in its region, SAVED_VALUES; of the last one 0 */
    uint64_t checksum;
};
struct saved_end {
    uint64_t records;  /* but this one */
    uint64_t bytes;    /* of the whole file */
    uint64_t checksum; /* sum of those of the records but this one */
};

#endif
