/* SPDX-License-Identifier: BSD-3-Clause */
#include "daemon/heap/save.h"

#include "daemon/heap/heap.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#define AREAS 6u
/* Bytes in one system call: a kernel that does not interrupt itself lets nobody else run before the end of it. */
#define WRITE_MOST  (16u << 10)
#define WRITE_BACK  (1u << 20)  /* bytes after which the system is asked to write back what it has got */
#define BEHIND_MOST (64u << 20) /* bytes that may wait for that: then the writer waits for the oldest */
#define WAIT_BYTES  (8u << 20)  /* of them */
#define WORDS_MOST  4096u       /* of a bitmap, looked at in one step */
#define LOOKED_MOST                                                                                          \
    (128u << 10) /* arenas of an area looked at at the instant: one after the other, a nanosecond each */

/* A part of a region of which something was kept at the instant. */
struct area {
    const struct region *region;
    const struct blocks *blocks; /* its arenas say what is backed; NULL: all of it is */
    uint64_t at, end;
};

struct save {
    struct heap *heap;
    struct save_writer writer;
    uint64_t *done[2]; /* of meta, of values: one bit a page that is copied, or need not be */
    uint64_t done_bytes[2];
    struct area areas[AREAS];
    unsigned area; /* where save_step() is */
    uint64_t at;   /* in that area's region */
    bool attached; /* pieces are still copied */
    bool ended;    /* the last record is in a buffer */
    struct save_buffer *filling, *full, *full_last, *spare;
    unsigned buffers, buffers_max, in_use; /* made; at most, as a rule; of them not spare */
    unsigned urgent_max;                   /* at most, for what must be copied at once */
    unsigned out;                          /* in a chain that was taken */
    uint64_t file_bytes, records, checksum;
    int error;
    struct save_facts facts;
};

static_assert(sizeof(struct save_buffer) == SAVE_BUFFER, "whole pages");
static_assert(8 * (sizeof(struct saved_record) + SAVED_PIECE) <= SAVE_BUFFER - PAGE_BYTES, "that many fit");

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
    end -= end % PAGE_BYTES; /* a page that is not full yet would be written twice */
    if (end < writer->handed + WRITE_BACK)
        return;
    (void)sync_file_range(writer->fd, (off_t)writer->handed, (off_t)(end - writer->handed),
                          SYNC_FILE_RANGE_WRITE);
    writer->handed = end;
    if (end < writer->awaited + BEHIND_MOST)
        return;
    uint64_t until = writer->awaited + WAIT_BYTES; /* a short wait: buffers are filled meanwhile */
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

/* To the system's cache, from where it is to be written back. */
static int write_cached(struct save_writer *writer, const struct save_buffer *buffer, uint64_t size)
{
    int err = 0;
    for (uint64_t at = 0; at < size && err == 0; at += WRITE_MOST) {
        uint64_t part = size - at < WRITE_MOST ? size - at : WRITE_MOST;
        err = writer->io->write(writer->io, writer->fd, buffer->bytes + at, part, buffer->offset + at);
    }
    if (err == 0)
        write_back(writer, buffer->offset + size);
    return err;
}

/* Past the cache if that can be: it takes a sixth of the processor's time, and the disk is never so far behind that the
 * system stops whoever writes. */
static int write_buffer(struct save_buffer *buffer)
{
    struct save_writer *writer = buffer->writer;
    uint64_t size = bits_round_up(buffer->used, PAGE_BYTES);
    add_checksums(buffer);
    int err = -EINVAL;
    if (writer->fd_past >= 0)
        err = writer->io->write(writer->io, writer->fd_past, buffer->bytes, size, buffer->offset);
    if (err != -EINVAL && err != -EOPNOTSUPP)
        return err;
    writer->fd_past = -1; /* a disk with other blocks */
    return write_cached(writer, buffer, size);
}

int save_write(struct save_buffer *chain, void (*rest)(void *data), void *data)
{
    int err = 0;
    for (; chain != NULL && err == 0; chain = chain->next) {
        err = write_buffer(chain);
        if (rest != NULL)
            rest(data);
    }
    return err;
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

/* How many save_step() leaves for pieces that must be copied at once. */
static unsigned buffers_left(const struct save *save)
{
    return save->buffers_max / 4 * 3;
}

/* A worker that waits for the disk keeps everybody waiting, so these may use more memory while there is plenty, and
 * nobody waits for what is copied to be given back. */
static bool may_take(const struct save *save, bool urgent)
{
    if (!urgent)
        return save->in_use + buffers_left(save) < save->buffers_max;
    return save->in_use < save->buffers_max ||
           (save->in_use < save->urgent_max && !save->heap->hurries && !heap_is_nearly_full(save->heap));
}

/* A buffer to be filled; NULL: there is none for that. */
static struct save_buffer *buffer_take(struct save *save, bool urgent)
{
    struct save_buffer *buffer = save->spare;
    if (!may_take(save, urgent))
        return NULL;
    if (buffer != NULL) {
        save->spare = buffer->next;
    } else {
        buffer = mem_map(save->heap->mem, sizeof *buffer);
        if (buffer == NULL) {
            /* no more memory: those that are there have to do */
            save->urgent_max = save->buffers;
            save->buffers_max = save->buffers < save->buffers_max ? save->buffers : save->buffers_max;
            return NULL;
        }
        /* all of its pages by one system call: each by a fault of its own takes the worker a third longer */
        (void)madvise(buffer, sizeof *buffer, MADV_POPULATE_WRITE);
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
    uint64_t size = bits_round_up(buffer->used, PAGE_BYTES);
    memset(buffer->bytes + buffer->used, 0, size - buffer->used);
    save->file_bytes += size;
    if (save->full == NULL)
        save->full = buffer;
    else
        save->full_last->next = buffer;
    save->full_last = buffer;
}

/* Room for a record and its bytes; NULL: no buffer. */
static struct saved_record *record_room(struct save *save, uint32_t size, bool urgent)
{
    uint32_t all = (uint32_t)sizeof(struct saved_record) + size;
    if (save->filling != NULL && save->filling->used + all > sizeof save->filling->bytes)
        buffer_close(save);
    if (save->filling == NULL)
        save->filling = buffer_take(save, urgent);
    if (save->filling == NULL)
        return NULL;
    struct saved_record *record = (void *)(save->filling->bytes + save->filling->used);
    save->filling->used += all;
    return record;
}

/* ---- pages ---- */

static unsigned region_number(const struct save *save, const struct region *region)
{
    return region == &save->heap->values ? 1 : 0;
}

static bool is_done(const struct save *save, unsigned number, uint64_t page)
{
    return save->done[number][page / 64] >> (page % 64) & 1;
}

static void set_done(struct save *save, unsigned number, uint64_t page, uint64_t end)
{
    for (; page < end; page++)
        save->done[number][page / 64] |= 1ull << (page % 64);
}

/* Bytes of [offset, offset + size) of the area that the file shall have. What is backed now, of a page that is not
 * done, was so at the instant. */
static uint32_t backed_bytes(const struct area *area, uint64_t offset, uint32_t size)
{
    uint64_t left = area->end - offset;
    if (area->blocks != NULL) {
        uint64_t in_area = offset - area->at, in_arena = in_area % ARENA_BYTES;
        uint32_t backed = blocks_arena_bytes(area->blocks, (uint32_t)(in_area / ARENA_BYTES));
        left = backed > in_arena ? backed - in_arena : 0;
    }
    return left < size ? (uint32_t)left : size;
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
    struct {
        struct saved_record record;
        uint8_t bytes[SAVED_PIECE + PAGE_BYTES - sizeof(struct saved_record)];
    } whole = {.record = *head};
    uint64_t size = bits_round_up(sizeof whole.record + head->size, PAGE_BYTES);
    memcpy(whole.bytes, bytes, head->size);
    memset(whole.bytes + head->size, 0, size - sizeof whole.record - head->size);
    whole.record.checksum = saved_checksum(&whole.record, whole.bytes, save->file_bytes);
    int err = writer->io->write(writer->io, writer->fd, &whole, size, save->file_bytes);
    save->file_bytes += size;
    save->checksum += whole.record.checksum;
    save->facts.direct++;
    if (err != 0)
        fail(save, err);
}

/* Copies a piece of `pages` pages, none of them done. False: there is no buffer for it, and it can wait. */
static bool copy_piece(struct save *save, const struct area *area, uint64_t offset, uint64_t pages,
                       bool urgent)
{
    unsigned number = region_number(save, area->region);
    const uint8_t *bytes = area->region->base + offset;
    uint32_t size = backed_bytes(area, offset, (uint32_t)(pages * PAGE_BYTES));
    if (size != 0 && !(number == 1 && is_zero(bytes, size))) {
        const struct saved_record head = {
            .magic = SAVED_RECORD, .size = size, .place = offset | (number == 1 ? SAVED_VALUES : 0)};
        struct saved_record *record = record_room(save, size, urgent);
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
    set_done(save, number, offset / PAGE_BYTES, offset / PAGE_BYTES + pages);
    save->facts.bytes += size;
    return true;
}

/* How many pages from here on, before `end` and in the same area and SAVED_PIECE, are not done. */
static uint64_t pages_together(const struct save *save, const struct area *area, uint64_t offset,
                               uint64_t end)
{
    unsigned number = region_number(save, area->region);
    uint64_t piece_end = (offset / SAVED_PIECE + 1) * SAVED_PIECE, pages = 0;
    end = area->end < end ? area->end : end;
    end = piece_end < end ? piece_end : end;
    while (offset + pages * PAGE_BYTES < end && !is_done(save, number, offset / PAGE_BYTES + pages))
        pages++;
    return pages;
}

/* Meta by whole pieces, which are runs of cells: the word that is touched stands for its cell, of which other words are
 * stored without being touched. */
void save_touch(struct region *region, uint64_t offset, uint64_t size)
{
    struct save *save = region->save;
    unsigned number = region_number(save, region);
    if (number == 0) {
        uint64_t end = bits_round_up(offset + size, SAVED_PIECE);
        offset -= offset % SAVED_PIECE;
        size = end - offset;
    }
    for (uint64_t page = offset / PAGE_BYTES, pages = 1; page * PAGE_BYTES < offset + size && save->attached;
         page += pages, pages = 1) {
        if (is_done(save, number, page))
            continue;
        const struct area *area = area_of(save, region, page * PAGE_BYTES);
        if (area != NULL) {
            pages = pages_together(save, area, page * PAGE_BYTES, offset + size);
            (void)copy_piece(save, area, page * PAGE_BYTES, pages, true);
        } else {
            set_done(save, number, page, page + 1);
        }
    }
}

bool save_owes(const struct region *region, uint64_t offset)
{
    return !is_done(region->save, region_number(region->save, region), offset / PAGE_BYTES);
}

void save_backs(struct region *region, uint64_t offset, uint64_t size)
{
    struct save *save = region->save;
    set_done(save, region_number(save, region), offset / PAGE_BYTES, (offset + size) / PAGE_BYTES);
}

/* ---- the walk over all that is not copied yet ---- */

/* From where save_step() is to the next page that is not done, over so many words of the bitmap; false: all are. */
static bool find_page(struct save *save, unsigned *words)
{
    while (save->area < AREAS) {
        const struct area *area = &save->areas[save->area];
        const uint64_t *done = save->done[region_number(save, area->region)];
        if (save->at < area->at)
            save->at = area->at;
        while (save->at < area->end) {
            uint64_t page = save->at / PAGE_BYTES, open = ~done[page / 64] >> (page % 64);
            page = open != 0 ? page + bits_lowest(open) : (page / 64 + 1) * 64;
            save->at = page * PAGE_BYTES;
            if (open != 0 ? save->at < area->end : --*words == 0)
                return true;
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

/* Once all is copied. One is kept for the last record, which must not fail for want of memory. */
static bool has_spares(const struct save *save)
{
    return save->spare != NULL && (save->ended || save->spare->next != NULL);
}

/* In steps: thousands of pages at once would take longer than a turn may. */
static unsigned free_spares(struct save *save, unsigned most)
{
    unsigned freed = 0;
    for (; freed < most && has_spares(save); freed++) {
        struct save_buffer *buffer = save->spare;
        save->spare = buffer->next;
        save->buffers--;
        mem_unmap(save->heap->mem, buffer, sizeof *buffer);
    }
    return freed;
}

unsigned save_step(struct save *save, unsigned pieces)
{
    unsigned copied = 0, words = WORDS_MOST;
    if (!save->attached)
        return free_spares(save, pieces);
    while (save->attached && copied < pieces && words > 0) {
        if (!find_page(save, &words)) {
            finish_pieces(save);
            return copied + 1;
        }
        const struct area *area = &save->areas[save->area];
        uint64_t pages = words == 0 ? 0 : pages_together(save, area, save->at, area->end);
        if (pages != 0 && !copy_piece(save, area, save->at, pages, false))
            break;
        save->at += pages * PAGE_BYTES;
        copied++;
    }
    return copied;
}

bool save_has_work(const struct save *save)
{
    if (!save->attached)
        return has_spares(save);
    bool room = save->filling != NULL && save->filling->used + sizeof(struct saved_record) + SAVED_PIECE <=
                                             sizeof save->filling->bytes;
    bool is_last = save->filling != NULL && save->in_use == 1; /* nobody takes it before it is closed */
    return room || is_last || may_take(save, false);
}

bool save_is_short(const struct save *save)
{
    return save->in_use > save->buffers_max / 2;
}

bool save_hurries(const struct save *save)
{
    return save->in_use > save->urgent_max / 16 * 15 || save->heap->hurries ||
           heap_is_nearly_full(save->heap);
}

/* ---- chains ---- */

/* Once all other buffers are back. */
static void write_end(struct save *save)
{
    struct saved_record *record = record_room(save, sizeof(struct saved_end), true);
    if (record == NULL) {
        fail(save, -ENOMEM);
        return;
    }
    save->ended = true;
    assert(save->filling->used <= PAGE_BYTES); /* nothing else is in this buffer */
    *record = (struct saved_record){.magic = SAVED_LAST, .size = sizeof(struct saved_end)};
    const struct saved_end end = {
        .records = save->records, .bytes = save->file_bytes + PAGE_BYTES, .checksum = save->checksum};
    memcpy(record + 1, &end, sizeof end);
    buffer_close(save);
}

struct save_buffer *save_take(struct save *save)
{
    if (save->out != 0 || save->error != 0)
        return NULL;
    if (!save->attached && save->full == NULL && !save->ended)
        write_end(save);
    struct save_buffer *chain = save->full, *last = NULL;
    for (; save->full != NULL && save->out < SAVE_CHAIN; save->full = last->next) {
        last = save->full;
        save->out++;
    }
    if (last != NULL)
        last->next = NULL;
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
        uint64_t pages = regions[k]->size / PAGE_BYTES + 1;
        save->done_bytes[k] = bits_round_up(bits_round_up(pages, 64) / 8, MEM_PAGE);
        save->done[k] = mem_map(save->heap->mem, save->done_bytes[k]);
        if (save->done[k] == NULL)
            return false;
    }
    return true;
}

/* Arenas that wait to be given back are nobody's, but have pages: they are neither copied when they go nor in the file.
 * An arena has a word of the bitmap for itself. */
static void pass_over_free(struct save *save, unsigned number, const struct blocks *b)
{
    static_assert(ARENA_PAGES == 64, "as many bits as a word has");
    uint32_t left = b->giving.count, n = left == 0 ? 0 : freeset_lowest(&b->giving);
    for (uint32_t end = n + LOOKED_MOST; left > 0 && n < end; n++) {
        if (!freeset_has(&b->giving, n))
            continue;
        save->done[number][b->at / ARENA_BYTES + n] = UINT64_MAX;
        save->facts.bytes_most -= blocks_arena_bytes(b, n);
        left--;
    }
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
    save->filling = buffer_take(save, true);
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
    set_done(save, 0, 0, 1);
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
    save->writer = (struct save_writer){
        .fd = config->fd, .fd_past = config->fd_past, .io = config->io != NULL ? config->io : &file_io};
    save->buffers_max = (unsigned)(config->memory / SAVE_BUFFER);
    save->urgent_max = save->buffers_max + (unsigned)(config->urgent_memory / SAVE_BUFFER);
    set_areas(save);
    if (!make_bitmaps(save) || !write_head(save, config)) {
        save_end(save);
        return -ENOMEM;
    }
    pass_over_free(save, 0, &heap->cells);
    pass_over_free(save, 0, &heap->lists);
    pass_over_free(save, 1, &heap->payloads);
    heap->hurries = false;
    save->attached = true;
    heap->meta.save = heap->values.save = save;
    value_set_aside(heap, heap_is_nearly_full(heap) ? 0 : config->new_memory);
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

bool save_throw(struct save *save, unsigned most)
{
    assert(save->out == 0);
    if (save->attached)
        detach(save);
    buffer_close(save);
    if (save->full != NULL) {
        save->full_last->next = save->spare;
        save->spare = save->full;
        save->full = NULL;
    }
    save->ended = true;
    (void)free_spares(save, most);
    return save->spare != NULL;
}

void save_end(struct save *save)
{
    struct mem *mem = save->heap->mem;
    assert(save->out == 0);
    if (save->attached)
        detach(save);
    value_set_back(save->heap);
    free_buffers(save, save->filling);
    free_buffers(save, save->full);
    free_buffers(save, save->spare);
    for (unsigned k = 0; k < 2; k++)
        if (save->done[k] != NULL)
            mem_unmap(mem, save->done[k], save->done_bytes[k]);
    mem_free(mem, save, sizeof *save);
}
