/* SPDX-License-Identifier: BSD-3-Clause */
#include "daemon/heap/save.h"

#include "daemon/heap/heap.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#define AREAS       6u
#define WRITE_BACK  (8u << 20)  /* bytes after which the system is asked to write back what it has got */
#define BEHIND_MOST (64u << 20) /* bytes that may wait for that: then the writer waits for the oldest */

/* A part of a region of which something was kept at the instant. */
struct area {
    const struct region *region;
    const struct blocks *blocks; /* its arenas say what is backed; NULL: all of it is */
    uint64_t at, end;
};

struct save {
    struct heap *heap;
    struct save_writer writer;
    uint64_t *done[2]; /* of meta, of values: one bit a piece that is copied, or need not be */
    uint64_t done_bytes[2];
    struct area areas[AREAS];
    unsigned area; /* where save_step() is */
    uint64_t at;   /* in that area's region */
    bool attached; /* pieces are still copied */
    bool ended;    /* the last record is in a buffer */
    struct save_buffer *filling, *full, *full_last, *spare;
    unsigned buffers, buffers_max, in_use; /* made; at most; of them not spare */
    unsigned out;                          /* in a chain that was taken */
    uint64_t file_bytes, records, checksum;
    int error;
    struct save_facts facts;
};

static_assert(sizeof(struct save_buffer) == SAVE_BUFFER, "whole pages");

/* ---- checksums ---- */

uint64_t saved_checksum(const struct saved_record *record, const void *bytes, uint64_t offset)
{
    uint64_t head = XXH3_64bits_withSeed(record, offsetof(struct saved_record, checksum), offset);
    return XXH3_64bits_withSeed(bytes, record->size, head);
}

uint64_t saved_header_checksum(const struct saved_header *header)
{
    return XXH3_64bits(header, offsetof(struct saved_header, checksum));
}

/* ---- the file ---- */

static int file_write(const struct save_io *io, int fd, const void *data, uint64_t size, uint64_t offset)
{
    (void)io;
    for (uint64_t done = 0; done < size;) {
        ssize_t n = pwrite(fd, (const uint8_t *)data + done, size - done, (off_t)(offset + done));
        if (n < 0 && errno != EINTR)
            return -errno;
        done += n < 0 ? 0 : (uint64_t)n;
    }
    return 0;
}

static const struct save_io file_io = {.write = file_write};

/* Lets the system write back early, so that it never has so much to write that it stops whoever adds to it. */
static void write_back(struct save_writer *writer, uint64_t end)
{
    if (end < writer->handed + WRITE_BACK)
        return;
    (void)sync_file_range(writer->fd, (off_t)writer->handed, (off_t)(end - writer->handed),
                          SYNC_FILE_RANGE_WRITE);
    writer->handed = end;
    if (end < writer->awaited + BEHIND_MOST)
        return;
    uint64_t until = writer->awaited + WRITE_BACK; /* a short wait: buffers are filled meanwhile */
    (void)sync_file_range(writer->fd, (off_t)writer->awaited, (off_t)(until - writer->awaited),
                          SYNC_FILE_RANGE_WAIT_BEFORE);
    writer->awaited = until;
}

static void add_checksums(struct save_buffer *buffer)
{
    buffer->checksum = 0;
    for (uint32_t at = buffer->has_head ? SAVED_HEADER : 0; at < buffer->used;) {
        struct saved_record *record = (void *)(buffer->bytes + at);
        record->checksum = saved_checksum(record, record + 1, buffer->offset + at);
        buffer->checksum += record->checksum;
        at += (uint32_t)sizeof *record + record->size;
    }
}

int save_write(struct save_buffer *chain)
{
    for (; chain != NULL; chain = chain->next) {
        struct save_writer *writer = chain->writer;
        add_checksums(chain);
        int err = writer->io->write(writer->io, writer->fd, chain->bytes, chain->used, chain->offset);
        if (err != 0)
            return err;
        write_back(writer, chain->offset + chain->used);
    }
    return 0;
}

/* ---- buffers ---- */

static void detach(struct save *save)
{
    save->attached = false;
    save->heap->meta.save = save->heap->values.save = NULL;
}

static void fail(struct save *save, int err)
{
    if (save->error == 0)
        save->error = err;
    detach(save);
}

/* A buffer to be filled, unless `leave` of them would not be left. */
static struct save_buffer *buffer_take(struct save *save, unsigned leave)
{
    struct save_buffer *buffer = save->spare;
    if (save->in_use + leave >= save->buffers_max)
        return NULL;
    if (buffer != NULL) {
        save->spare = buffer->next;
    } else {
        buffer = mem_map(save->heap->mem, sizeof *buffer);
        if (buffer == NULL) {
            save->buffers_max = save->buffers; /* no more memory: those that are there have to do */
            return NULL;
        }
        save->buffers++;
    }
    save->in_use++;
    buffer->next = NULL;
    buffer->writer = &save->writer;
    buffer->used = 0;
    buffer->has_head = false;
    return buffer;
}

/* Its place in the file is settled once nothing more comes into it. */
static void buffer_close(struct save *save)
{
    struct save_buffer *buffer = save->filling;
    if (buffer == NULL)
        return;
    save->filling = NULL;
    buffer->offset = save->file_bytes;
    save->file_bytes += buffer->used;
    if (save->full == NULL)
        save->full = buffer;
    else
        save->full_last->next = buffer;
    save->full_last = buffer;
}

/* Room for a record and its bytes; NULL: no buffer. */
static struct saved_record *record_room(struct save *save, uint32_t size, unsigned leave)
{
    uint32_t all = (uint32_t)sizeof(struct saved_record) + size;
    if (save->filling != NULL && save->filling->used + all > sizeof save->filling->bytes)
        buffer_close(save);
    if (save->filling == NULL)
        save->filling = buffer_take(save, leave);
    if (save->filling == NULL)
        return NULL;
    struct saved_record *record = (void *)(save->filling->bytes + save->filling->used);
    save->filling->used += all;
    return record;
}

/* ---- pieces ---- */

static unsigned region_number(const struct save *save, const struct region *region)
{
    return region == &save->heap->values ? 1 : 0;
}

static bool is_done(const struct save *save, unsigned number, uint64_t piece)
{
    return save->done[number][piece / 64] >> (piece % 64) & 1;
}

static void set_done(struct save *save, unsigned number, uint64_t piece)
{
    save->done[number][piece / 64] |= 1ull << (piece % 64);
}

/* Bytes of a piece of the area that the file shall have. What is backed now, of a piece that is not done, was so at the
 * instant. */
static uint32_t piece_bytes(const struct area *area, uint64_t offset)
{
    uint64_t left = area->end - offset;
    if (area->blocks != NULL) {
        uint64_t in_area = offset - area->at, in_arena = in_area % ARENA_BYTES;
        uint32_t backed = blocks_arena_bytes(area->blocks, (uint32_t)(in_area / ARENA_BYTES));
        left = backed > in_arena ? backed - in_arena : 0;
    }
    return left < SAVED_PIECE ? (uint32_t)left : SAVED_PIECE;
}

static const struct area *area_of(const struct save *save, const struct region *region, uint64_t offset)
{
    for (const struct area *area = save->areas; area < save->areas + AREAS; area++)
        if (area->region == region && offset >= area->at && offset < area->end)
            return area;
    return NULL;
}

static bool is_zero(const uint8_t *bytes, uint32_t size)
{
    const uint64_t *words = (const void *)bytes;
    return words[0] == 0 && memcmp(bytes, bytes + 8, size - 8) == 0;
}

static void write_directly(struct save *save, const struct saved_record *head, const uint8_t *bytes)
{
    const struct save_writer *writer = &save->writer;
    struct saved_record record = *head;
    uint64_t at = save->file_bytes;
    record.checksum = saved_checksum(&record, bytes, at);
    int err = writer->io->write(writer->io, writer->fd, &record, sizeof record, at);
    if (err == 0)
        err = writer->io->write(writer->io, writer->fd, bytes, record.size, at + sizeof record);
    save->file_bytes += sizeof record + record.size;
    save->checksum += record.checksum;
    save->facts.direct++;
    if (err != 0)
        fail(save, err);
}

/* Copies a piece that is not done. False: there is no buffer for it, and it can wait. */
static bool copy_piece(struct save *save, const struct area *area, uint64_t offset, bool urgent)
{
    unsigned number = region_number(save, area->region);
    const uint8_t *bytes = area->region->base + offset;
    uint32_t size = piece_bytes(area, offset);
    if (size != 0 && !(number == 1 && is_zero(bytes, size))) {
        const struct saved_record head = {
            .magic = SAVED_RECORD, .size = size, .place = offset | (number == 1 ? SAVED_VALUES : 0)};
        struct saved_record *record = record_room(save, size, urgent ? 0 : save->buffers_max / 2);
        if (record == NULL && !urgent)
            return false;
        if (record != NULL) {
            *record = head;
            memcpy(record + 1, bytes, size);
        } else {
            write_directly(save, &head, bytes);
        }
        save->records++;
        save->facts.urgent += urgent;
        save->facts.copied++;
    }
    set_done(save, number, offset / SAVED_PIECE);
    save->facts.bytes += size;
    return true;
}

void save_touch(struct region *region, uint64_t offset, uint64_t size)
{
    struct save *save = region->save;
    unsigned number = region_number(save, region);
    for (uint64_t piece = offset / SAVED_PIECE; piece * SAVED_PIECE < offset + size && save->attached;
         piece++) {
        if (is_done(save, number, piece))
            continue;
        const struct area *area = area_of(save, region, piece * SAVED_PIECE);
        if (area != NULL)
            (void)copy_piece(save, area, piece * SAVED_PIECE, true);
        else
            set_done(save, number, piece);
    }
}

/* Whole pieces only: of others a part may have been there. */
void save_backs(struct region *region, uint64_t offset, uint64_t size)
{
    struct save *save = region->save;
    uint64_t end = (offset + size) / SAVED_PIECE;
    for (uint64_t piece = (offset + SAVED_PIECE - 1) / SAVED_PIECE; piece < end; piece++)
        set_done(save, region_number(save, region), piece);
}

/* ---- the walk over all that is not copied yet ---- */

/* From where save_step() is to the next piece that is not done; false: all are. */
static bool find_piece(struct save *save, unsigned *looked)
{
    while (save->area < AREAS) {
        const struct area *area = &save->areas[save->area];
        if (save->at < area->at)
            save->at = area->at;
        for (; save->at < area->end; save->at += SAVED_PIECE) {
            if (!is_done(save, region_number(save, area->region), save->at / SAVED_PIECE))
                return true;
            if (++*looked == 4096)
                return true; /* enough for one step; this one is done, which does no harm */
        }
        save->area++;
        save->at = 0;
    }
    return false;
}

static void finish_pieces(struct save *save)
{
    detach(save);
    buffer_close(save);
}

unsigned save_step(struct save *save, unsigned pieces)
{
    unsigned copied = 0, looked = 0;
    while (save->attached && copied < pieces && looked < 4096) {
        if (!find_piece(save, &looked)) {
            finish_pieces(save);
            return copied + 1;
        }
        const struct area *area = &save->areas[save->area];
        if (!is_done(save, region_number(save, area->region), save->at / SAVED_PIECE) &&
            !copy_piece(save, area, save->at, false))
            break;
        save->at += SAVED_PIECE;
        copied++;
    }
    return copied;
}

bool save_has_work(const struct save *save)
{
    if (!save->attached)
        return false;
    bool room = save->filling != NULL && save->filling->used + sizeof(struct saved_record) + SAVED_PIECE <=
                                             sizeof save->filling->bytes;
    return room || save->in_use + save->buffers_max / 2 < save->buffers_max;
}

/* ---- chains ---- */

/* Once all other buffers are back. */
static void write_end(struct save *save)
{
    struct saved_record *record = record_room(save, sizeof(struct saved_end), 0);
    if (record == NULL) {
        fail(save, -ENOMEM);
        return;
    }
    save->ended = true;
    *record = (struct saved_record){.magic = SAVED_LAST, .size = sizeof(struct saved_end)};
    const struct saved_end end = {.records = save->records,
                                  .bytes = save->file_bytes + sizeof *record + sizeof end,
                                  .checksum = save->checksum};
    memcpy(record + 1, &end, sizeof end);
    buffer_close(save);
}

struct save_buffer *save_take(struct save *save)
{
    if (save->out != 0 || save->error != 0)
        return NULL;
    if (!save->attached && save->full == NULL && !save->ended)
        write_end(save);
    struct save_buffer *chain = save->full;
    save->full = save->full_last = NULL;
    for (const struct save_buffer *buffer = chain; buffer != NULL; buffer = buffer->next)
        save->out++;
    return chain;
}

void save_given_back(struct save *save, struct save_buffer *chain, int err)
{
    for (struct save_buffer *next; chain != NULL; chain = next) {
        next = chain->next;
        save->checksum += chain->checksum;
        chain->next = save->spare;
        save->spare = chain;
        save->in_use--;
        save->out--;
    }
    if (err != 0)
        fail(save, err);
}

bool save_is_done(const struct save *save)
{
    return save->ended && save->in_use == 0 && save->error == 0;
}

int save_error(const struct save *save)
{
    return save->error;
}

void save_facts(const struct save *save, struct save_facts *ret)
{
    *ret = save->facts;
    ret->file_bytes = save->file_bytes;
    ret->memory = (uint64_t)save->buffers * SAVE_BUFFER;
}

/* ---- begin and end ---- */

static bool make_bitmaps(struct save *save)
{
    const struct region *regions[2] = {&save->heap->meta, &save->heap->values};
    for (unsigned k = 0; k < 2; k++) {
        uint64_t pieces = regions[k]->size / SAVED_PIECE + 1;
        save->done_bytes[k] = bits_round_up(bits_round_up(pieces, 64) / 8, MEM_PAGE);
        save->done[k] = mem_map(save->heap->mem, save->done_bytes[k]);
        if (save->done[k] == NULL)
            return false;
    }
    return true;
}

/* What is most often written at random comes first: the sooner it is copied, the less has to be copied at once. */
static void set_areas(struct save *save)
{
    const struct heap *heap = save->heap;
    const struct superblock *sb = heap->sb;
    const struct region *meta = &heap->meta;
    uint64_t hot = bits_round_up(sb->index_top * sizeof(struct hot), PAGE_BYTES);
    uint64_t warm = bits_round_up(sb->index_top * sizeof(struct warm), PAGE_BYTES);
    uint64_t cells = (uint64_t)heap->cells.arenas_top * ARENA_BYTES;
    uint64_t lists = (uint64_t)heap->lists.arenas_top * ARENA_BYTES;
    uint64_t payloads = (uint64_t)heap->payloads.arenas_top * ARENA_BYTES;
    const struct area areas[AREAS] = {
        {meta, NULL, sb->types_at, sb->types_at + heap->cells.types_backed},
        {meta, NULL, sb->hot_at, sb->hot_at + hot},
        {meta, NULL, sb->warm_at, sb->warm_at + warm},
        {meta, &heap->cells, sb->cells_at, sb->cells_at + cells},
        {meta, &heap->lists, sb->blocks_at, sb->blocks_at + lists},
        {&heap->values, &heap->payloads, 0, payloads},
    };
    memcpy(save->areas, areas, sizeof areas);
    save->facts.bytes_most = heap->cells.types_backed + hot + warm + heap->cells.backed_bytes +
                             heap->lists.backed_bytes + heap->payloads.backed_bytes;
}

/* The first buffer: the header, and the page of the superblock, which is copied at the instant itself. */
static bool write_head(struct save *save, const struct save_config *config)
{
    const struct heap *heap = save->heap;
    struct saved_header header = {
        .magic = SAVED_MAGIC,
        .format = SAVED_FORMAT,
        .image_format = heap->sb->format,
        .piece = SAVED_PIECE,
        .header = SAVED_HEADER,
        .saved_ms = config->now_ms,
        .meta_bytes = region_file_size(&heap->meta),
        .values_bytes = region_file_size(&heap->values),
        .objects = heap->alive,
        .object_bytes = heap->value_bytes,
        .names = config->names,
        .tickets = config->tickets,
        .sessions = config->sessions,
        .superblock = *heap->sb,
    };
    header.checksum = saved_header_checksum(&header);
    save->filling = buffer_take(save, 0);
    if (save->filling == NULL)
        return false;
    save->filling->has_head = true;
    save->filling->used = SAVED_HEADER;
    memset(save->filling->bytes, 0, SAVED_HEADER);
    memcpy(save->filling->bytes, &header, sizeof header);
    struct saved_record *record = record_room(save, PAGE_BYTES, 0);
    *record = (struct saved_record){.magic = SAVED_RECORD, .size = PAGE_BYTES};
    memcpy(record + 1, heap->sb, PAGE_BYTES);
    save->records++;
    set_done(save, 0, 0);
    return true;
}

int save_begin(struct heap *heap, const struct save_config *config, struct save **ret)
{
    if (heap->meta.save != NULL)
        return -EBUSY;
    assert(heap->log->n == 0);
    struct save *save = mem_zalloc(heap->mem, sizeof *save);
    if (save == NULL)
        return -ENOMEM;
    save->heap = heap;
    save->writer = (struct save_writer){.fd = config->fd, .io = config->io != NULL ? config->io : &file_io};
    save->buffers_max = (unsigned)(config->memory / SAVE_BUFFER);
    set_areas(save);
    if (!make_bitmaps(save) || !write_head(save, config)) {
        save_end(save);
        return -ENOMEM;
    }
    save->attached = true;
    heap->meta.save = heap->values.save = save;
    *ret = save;
    return 0;
}

static void free_buffers(struct save *save, struct save_buffer *buffer)
{
    for (struct save_buffer *next; buffer != NULL; buffer = next) {
        next = buffer->next;
        mem_unmap(save->heap->mem, buffer, sizeof *buffer);
    }
}

void save_end(struct save *save)
{
    struct mem *mem = save->heap->mem;
    assert(save->out == 0);
    if (save->attached)
        detach(save);
    free_buffers(save, save->filling);
    free_buffers(save, save->full);
    free_buffers(save, save->spare);
    for (unsigned k = 0; k < 2; k++)
        if (save->done[k] != NULL)
            mem_unmap(mem, save->done[k], save->done_bytes[k]);
    mem_free(mem, save, sizeof *save);
}
