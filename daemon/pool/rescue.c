/* SPDX-License-Identifier: BSD-3-Clause */
#include "daemon/pool/rescue.h"

#include "daemon/base/utf8.h"
#include "daemon/heap/heap.h"
#include "proto/limits.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CHUNK      4096u /* entries read at once */
#define TEXT_MAX   160u
#define PER_CENT   100u
#define LABEL_ENDS (LABEL_LAST + 1u)

struct rescue {
    const struct rescue_source *source;
    const struct rescue_sink *sink;
    struct superblock sb;
    struct undo_record *undo; /* what is to be taken back, in the order of the log */
    uint64_t undo_count;
    uint32_t labels[LABEL_ENDS]; /* cells, by number */
    struct hot hot[CHUNK];
    struct warm warm[CHUNK];
    uint8_t *value;
    uint64_t *slots;
    uint32_t *list; /* SEGMENT_SLOTS */
    uint8_t label[sizeof(struct cell_label) + 2 * HF_NAME_MAX + 8];
};

__attribute__((format(printf, 2, 3))) /* lets the compiler check the arguments; C has no other way */
static void
lost(const struct rescue *r, const char *format, ...)
{
    char text[TEXT_MAX];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    r->sink->lost(r->sink->data, text);
}

/* ---- bytes ---- */

static bool read_all(int fd, void *to, size_t size, uint64_t at)
{
    for (size_t done = 0; done < size;) {
        ssize_t n = pread(fd, (uint8_t *)to + done, size - done, (off_t)(at + done));
        if (n == 0 || (n < 0 && errno != EINTR))
            return false;
        done += n < 0 ? 0 : (size_t)n;
    }
    return true;
}

static bool has_hole(int fd, uint64_t at, uint64_t size)
{
    off_t hole = lseek(fd, (off_t)at, SEEK_HOLE);
    return hole < 0 || (uint64_t)hole < at + size;
}

/* Bytes of meta as they were before the operation under way. */
static bool read_meta(const struct rescue *r, void *to, size_t size, uint64_t at)
{
    if (!read_all(r->source->fd_meta, to, size, at))
        return false;
    for (uint64_t k = r->undo_count; k-- > 0;)
        if (r->undo[k].offset >= at && r->undo[k].offset - at + 8 <= size)
            memcpy((uint8_t *)to + (r->undo[k].offset - at), &r->undo[k].old, 8);
    return true;
}

static void read_undo(struct rescue *r)
{
    uint64_t n = 0;
    if (!read_all(r->source->fd_meta, &n, 8, PAGE_BYTES) || n == 0 || n > UNDO_MAX)
        return;
    r->undo = malloc(n * sizeof *r->undo);
    if (r->undo != NULL && read_all(r->source->fd_meta, r->undo, n * sizeof *r->undo, PAGE_BYTES + 8))
        r->undo_count = n;
}

/* ---- objects ---- */

static uint64_t id_of(const struct rescue *r, uint32_t index, uint64_t w0)
{
    return ((w0_gen(w0) + r->sb.serial_base) & W0_GEN) << 32 | index;
}

/* Of an object that is named or referred to; 0: it is none. */
static uint64_t id_at(const struct rescue *r, uint32_t index)
{
    uint64_t w0;
    if (index == 0 || index >= r->sb.index_top ||
        !read_meta(r, &w0, sizeof w0, r->sb.hot_at + index * sizeof(struct hot)) || w0_state(w0) != W0_ALIVE)
        return 0;
    return id_of(r, index, w0);
}

/* The payload, and behind it its version if it has one. NULL: all is in r->value. */
static const char *read_value(struct rescue *r, const struct hot *hot)
{
    uint64_t bytes = value_block_bytes(hot->w0, hot->value), at = value_offset(bytes, hot->value);
    if ((hot->w0 & W0_INLINE) != 0 && (value_size(hot->value) > 4 || (hot->w0 & W0_VERSIONED) != 0))
        return "its value has a length that cannot be";
    void *moved = realloc(r->value, bytes + 8);
    if (moved == NULL)
        return "there is no memory for its value";
    r->value = moved;
    if ((hot->w0 & W0_INLINE) != 0) {
        memcpy(r->value, &hot->value, value_size(hot->value));
        return NULL;
    }
    if (at > r->sb.values_bytes || bytes > r->sb.values_bytes - at)
        return "its value lies outside of the pool";
    if (bytes > 0 && r->source->holes_are_lost && has_hole(r->source->fd_values, at, bytes))
        return "a piece of its value is missing";
    return read_all(r->source->fd_values, r->value, bytes, at) ? NULL
                                                               : "its value lies beyond the end of the file";
}

/* `count` numbers of a block of slots. */
static bool read_list(const struct rescue *r, uint32_t position, uint32_t *to, uint32_t count)
{
    uint64_t at = (uint64_t)position * BLOCK_UNIT, size = count * 4ull;
    return at + size <= r->sb.blocks_bytes && read_meta(r, to, size, r->sb.blocks_at + at);
}

static void resolve(const struct rescue *r, uint32_t from, const uint32_t *edges, uint32_t count,
                    uint64_t *to)
{
    for (uint32_t k = 0; k < count; k++) {
        uint32_t target = edges[k] & SLOT_TARGET;
        to[k] = target == 0 ? 0 : id_at(r, target);
        if (target != 0 && to[k] == 0)
            lost(r, "object %u, a slot: it refers to entry %u, which is no object", from, target);
    }
}

/* How many of them are in r->slots. */
static uint32_t read_slots(struct rescue *r, uint32_t index, const struct hot *hot, const struct warm *warm)
{
    unsigned ns = w0_ns(hot->w0);
    uint32_t count = ns < NS_BLOCK ? ns : (uint32_t)(warm->slots >> 32);
    uint32_t two[2] = {(uint32_t)warm->slots, (uint32_t)(warm->slots >> 32)};
    bool fits = ns <= NS_SEGMENTS && count <= (ns == NS_BLOCK ? SEGMENT_SLOTS : HF_SLOTS_MAX);
    void *moved = fits ? realloc(r->slots, (count + 1ull) * sizeof *r->slots) : NULL;
    if (moved == NULL) {
        lost(r, "object %u: its list of slots cannot be read", index);
        return 0;
    }
    r->slots = moved;
    if (ns < NS_BLOCK) {
        resolve(r, index, two, count, r->slots);
        return count;
    }
    for (uint32_t done = 0; done < count; done += SEGMENT_SLOTS) {
        uint32_t part = count - done < SEGMENT_SLOTS ? count - done : SEGMENT_SLOTS;
        uint32_t position = (uint32_t)warm->slots, number = done / SEGMENT_SLOTS;
        bool found = ns == NS_BLOCK || read_list(r, position + number / 2, two, 2);
        if (ns == NS_SEGMENTS)
            position = two[number % 2];
        if (!found || !read_list(r, position, r->list, part)) {
            lost(r, "object %u: its list of slots cannot be read from slot %u on", index, done);
            return done;
        }
        resolve(r, index, r->list, part, r->slots + done);
    }
    return count;
}

static void read_label(struct rescue *r, uint16_t number, struct rescue_object *object)
{
    const struct cell_label *cell = (const void *)r->label;
    uint32_t ref = r->labels[number];
    if (number == 0 || ref == 0 ||
        !read_meta(r, r->label, sizeof *cell, r->sb.cells_at + (uint64_t)ref * CELL_UNIT) ||
        !read_meta(r, r->label, sizeof *cell + cell->tag_size + cell->site_size,
                   r->sb.cells_at + (uint64_t)ref * CELL_UNIT))
        return;
    if (!utf8_printable(cell->bytes, cell->tag_size) ||
        !utf8_printable(cell->bytes + cell->tag_size, cell->site_size)) {
        lost(r, "label %u: its bytes are no text", number);
        return;
    }
    object->tag = cell->bytes;
    object->tag_size = cell->tag_size;
    object->site = cell->bytes + cell->tag_size;
    object->site_size = cell->site_size;
}

static void rescue_entry(struct rescue *r, uint32_t index, const struct hot *hot, const struct warm *warm)
{
    if (w0_state(hot->w0) != W0_ALIVE)
        return;
    const char *wrong = w0_form(hot->w0) >= FORM_COUNT ? "its form is none" : read_value(r, hot);
    if (wrong != NULL) {
        lost(r, "object %u: %s", index, wrong);
        return;
    }
    struct rescue_object object = {.id = id_of(r, index, hot->w0),
                                   .version = 1,
                                   .form = w0_form(hot->w0),
                                   .value = r->value,
                                   .size = value_size(hot->value),
                                   .open = (hot->w0 & W0_OPEN) != 0,
                                   .sealed = (hot->w0 & W0_SEALED) != 0};
    if ((hot->w0 & W0_VERSIONED) != 0)
        memcpy(&object.version, r->value + object.size, 8);
    object.slots_count = read_slots(r, index, hot, warm);
    object.slots = r->slots;
    read_label(r, warm->label, &object);
    if (!r->sink->object(r->sink->data, &object))
        lost(r, "object %u: its value is no MessagePack", index);
}

static void rescue_objects(struct rescue *r)
{
    uint64_t top = r->sb.index_top;
    for (uint64_t first = 0; first < top; first += CHUNK) {
        uint64_t count = top - first < CHUNK ? top - first : CHUNK;
        r->sink->progress(r->sink->data, (unsigned)(first * PER_CENT / top));
        if (!read_meta(r, r->hot, count * sizeof(struct hot), r->sb.hot_at + first * sizeof(struct hot)) ||
            !read_meta(r, r->warm, count * sizeof(struct warm),
                       r->sb.warm_at + first * sizeof(struct warm))) {
            lost(r, "objects %llu to %llu: their entries cannot be read", (unsigned long long)first,
                 (unsigned long long)(first + count - 1));
            continue;
        }
        for (uint64_t k = first == 0 ? 1 : 0; k < count; k++)
            rescue_entry(r, (uint32_t)(first + k), &r->hot[k], &r->warm[k]);
    }
}

/* ---- cells ---- */

static void rescue_name(struct rescue *r, uint32_t ref, const struct cell_name *cell, unsigned type)
{
    uint64_t id = id_at(r, cell->object);
    if (cell->size == 0 || cell_name_type(cell->size) != type || !utf8_printable(cell->bytes, cell->size))
        lost(r, "a name in cell %u: its bytes are no name", ref);
    else if (id == 0)
        lost(r, "name %.*s: it refers to entry %u, which is no object", (int)cell->size,
             (const char *)cell->bytes, cell->object);
    else
        (void)r->sink->name(r->sink->data, cell->bytes, cell->size, id);
}

/* The cells of one run: names (`names`), or labels. */
static void rescue_run(struct rescue *r, uint64_t run, unsigned type, bool names)
{
    uint64_t bytes[CELL_RUN / 8];
    uint32_t size = cell_bytes(type);
    if (!read_meta(r, bytes, sizeof bytes, r->sb.cells_at + run * CELL_RUN)) {
        lost(r, "run %llu of cells cannot be read", (unsigned long long)run);
        return;
    }
    for (uint32_t at = 0; at + size <= CELL_RUN; at += size) {
        const void *cell = (const uint8_t *)bytes + at;
        uint32_t ref = (uint32_t)((run * CELL_RUN + at) / CELL_UNIT);
        if (ref == 0 || *(const uint64_t *)cell == 0)
            continue;
        if (names)
            rescue_name(r, ref, cell, type);
        else if (((const struct cell_label *)cell)->number <= LABEL_LAST)
            r->labels[((const struct cell_label *)cell)->number] = ref;
    }
}

static void rescue_cells(struct rescue *r, bool names)
{
    uint64_t runs = r->sb.cells_bytes / CELL_RUN;
    uint8_t types[PAGE_BYTES];
    for (uint64_t first = 0; first < runs; first += sizeof types) {
        uint64_t count = runs - first < sizeof types ? runs - first : sizeof types;
        if (!read_meta(r, types, count, r->sb.types_at + first))
            return; /* the file ends before */
        for (uint64_t k = 0; k < count; k++) {
            unsigned type = types[k];
            bool is_label = type == CELL_LABEL || type == CELL_LABEL_WIDE;
            if (cell_bytes(type) != 0 && (names ? cell_is_name(type) : is_label))
                rescue_run(r, first + k, type, names);
        }
    }
}

/* ---- all ---- */

static const char *check(const struct superblock *sb)
{
    if (sb->magic != IMAGE_MAGIC)
        return "no heap image: the magic number is missing";
    if (sb->format < IMAGE_FORMAT_FIRST || sb->format > IMAGE_FORMAT)
        return "the image has a format that this version does not read";
    if (sb->index_end > HF_INDEX_MAX || sb->index_top > sb->index_end || sb->cells_bytes > 1ull << 40 ||
        sb->blocks_bytes > 1ull << 40)
        return "the superblock, which says where all else is, is damaged";
    return NULL;
}

int rescue_image(const struct rescue_source *source, const struct rescue_sink *sink, char *error,
                 size_t error_size)
{
    struct rescue *r = calloc(1, sizeof *r);
    uint32_t *list = malloc(SEGMENT_SLOTS * sizeof *list);
    const char *wrong = "not enough memory";
    if (r != NULL && list != NULL) {
        r->source = source;
        r->sink = sink;
        r->list = list;
        wrong = read_all(source->fd_meta, &r->sb, sizeof r->sb, 0) ? check(&r->sb)
                                                                   : "no heap image: the file is too short";
    }
    if (wrong == NULL) {
        read_undo(r);
        rescue_cells(r, false);
        rescue_objects(r);
        rescue_cells(r, true);
        free(r->undo);
        free(r->value);
        free(r->slots);
    }
    free(list);
    free(r);
    snprintf(error, error_size, "%s", wrong == NULL ? "" : wrong);
    return wrong == NULL ? 0 : -1;
}
