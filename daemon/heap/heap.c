/* SPDX-License-Identifier: BSD-3-Clause */
#include "daemon/heap/heap.h"

#include "daemon/heap/save.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define GIB (1ull << 30)

/* FNV-1a (Fowler, Noll, Vo) over the static part. */
uint64_t superblock_checksum(const struct superblock *sb)
{
    const uint8_t *p = (const uint8_t *)sb;
    uint64_t hash = 14695981039346656037ull;
    for (size_t k = 0; k < offsetof(struct superblock, checksum); k++)
        hash = (hash ^ p[k]) * 1099511628211ull;
    return hash;
}

static uint64_t clamp(uint64_t x, uint64_t low, uint64_t high)
{
    return x < low ? low : x > high ? high : x;
}

/* An area begins with a granule, so that data in one is never taken for data in another. */
static uint64_t area_behind(uint64_t end)
{
    return bits_round_up(end, REGION_GRANULE);
}

/* Where the areas lie: as far apart as the pool may ever need, so that nothing is moved when it grows. */
static void lay_out(struct superblock *sb, const struct heap_config *config)
{
    uint64_t max = bits_round_up(config->max_bytes, ARENA_BYTES);
    uint64_t objects = clamp(max / 40, 4096, 0x7fffffff);
    *sb = (struct superblock){
        .magic = IMAGE_MAGIC,
        .format = IMAGE_FORMAT,
        .entry_size = sizeof(struct hot) + sizeof(struct warm),
        .epoch = config->epoch,
        .serial_base = config->serial_base,
        .log_max = UNDO_MAX,
        .max_bytes = config->own_limit,
        .born_ms = config->born_ms,
        .index_end = (uint32_t)objects,
        .starts = 0,
        .index_top = 1,
        .next_sid = config->first_sid != 0 ? config->first_sid : 1,
        .next_version = 2,
        .next_ticket = 1,
    };
    sb->cells_bytes = clamp(max, 4 * ARENA_BYTES, 16 * GIB - ARENA_BYTES);
    sb->blocks_bytes = clamp(max, 4 * ARENA_BYTES, 32 * GIB - ARENA_BYTES);
    sb->values_bytes = clamp(max + max / 2 + 64 * ARENA_BYTES, 0, (uint64_t)PAGE_BYTES << 32);
    sb->types_at = PAGE_BYTES + UNDO_BYTES;
    sb->cells_at = area_behind(sb->types_at + sb->cells_bytes / CELL_RUN);
    sb->hot_at = area_behind(sb->cells_at + sb->cells_bytes);
    sb->warm_at = area_behind(sb->hot_at + objects * sizeof(struct hot));
    sb->blocks_at = area_behind(sb->warm_at + objects * sizeof(struct warm));
    strncpy(sb->name, config->name, sizeof sb->name - 1);
    sb->checksum = superblock_checksum(sb);
}

/* The private parts, for areas as the superblock has them. */
static int derive(struct heap *heap)
{
    struct superblock *sb = heap->sb;
    uint32_t payload[BLOCK_CLASSES_MAX], list[BLOCK_CLASSES_MAX], cell[BLOCK_CLASSES_MAX];
    unsigned payloads = 0, lists = 0, cells = 0;
    for (uint32_t size = 8; size <= 128; size += 8)
        payload[payloads++] = size;
    for (uint32_t step = 32; step <= 2048; step *= 2)
        for (uint32_t k = 5; k <= 8; k++)
            payload[payloads++] = k * step;
    for (uint32_t size = 32; size <= BLOCK_MAX; size *= 2)
        list[lists++] = size;
    for (unsigned type = 1; cell_bytes(type) != 0; type++)
        cell[cells++] = cell_bytes(type);
    int err = blocks_init(&heap->payloads, &heap->values, 0, sb->values_bytes, payload, payloads);
    if (err == 0)
        err = blocks_init(&heap->lists, &heap->meta, sb->blocks_at, sb->blocks_bytes, list, lists);
    if (err == 0)
        err = blocks_init(&heap->cells, &heap->meta, sb->cells_at, sb->cells_bytes, cell, cells);
    if (err != 0)
        return err;
    ahead_init(&heap->hot_ahead, &heap->meta, sb->hot_at, sb->index_end * sizeof(struct hot),
               AHEAD_LEAST_HOT);
    ahead_init(&heap->warm_ahead, &heap->meta, sb->warm_at, sb->index_end * sizeof(struct warm), AHEAD_LEAST);
    heap->spares_most = SPARE_BLOCKS;
    heap->payloads.work = heap->lists.work = heap->cells.work = &heap->work;
    blocks_keep_types(&heap->cells, sb->types_at);
    bool ok = freeset_init(&heap->free_index, sb->index_end) &&
              freeset_init(&heap->quarantine, sb->index_end) &&
              reserve_init(&heap->marks, bits_round_up(sb->index_end, 64) / 8) &&
              reserve_init(&heap->pins, (1u << 20) * sizeof(struct pin));
    return ok ? 0 : -ENOMEM;
}

static uint64_t pin_hash(const void *owner, uint32_t n)
{
    const struct heap *heap = owner;
    return bits_mix(((const struct pin *)(const void *)heap->pins.base)[n - 1].value);
}

static bool pin_same(const void *owner, uint32_t n, const void *key)
{
    const struct heap *heap = owner;
    const struct pin *pin = (const struct pin *)(const void *)heap->pins.base + (n - 1), *wanted = key;
    return pin->value == wanted->value && pin->versioned == wanted->versioned;
}

static int attach(struct heap *heap)
{
    heap->log = (void *)(heap->meta.base + PAGE_BYTES);
    heap->hot = (void *)(heap->meta.base + heap->sb->hot_at);
    heap->warm = (void *)(heap->meta.base + heap->sb->warm_at);
    int err = derive(heap);
    /* With room for the first pins: large values can be read when there is no memory left. */
    if (err == 0 &&
        !(index_init(&heap->pin_index, heap->mem, 1u << 20, heap, pin_hash, pin_same) &&
          index_prepare(&heap->pin_index) && reserve_grow(&heap->pins, heap->mem, sizeof(struct pin))))
        err = -ENOMEM;
    return err;
}

static int create_files(const char *name, int *ret_meta, int *ret_values)
{
    *ret_meta = region_create(name);
    if (*ret_meta < 0)
        return *ret_meta;
    *ret_values = region_create(name);
    if (*ret_values >= 0)
        return 0;
    close(*ret_meta);
    return *ret_values;
}

static int create_image(struct heap *heap, const struct heap_config *config, const struct superblock *sb)
{
    int fd_meta = config->fd_meta, fd_values = config->fd_values;
    int err = fd_meta < 0 ? create_files(config->name, &fd_meta, &fd_values) : 0;
    if (err != 0)
        return err;
    heap->meta.fd = fd_meta;
    heap->values.fd = fd_values;
    err = region_map(&heap->meta, fd_meta, sb->blocks_at + sb->blocks_bytes, false, config->io, config->mem);
    if (err == 0)
        err = region_map(&heap->values, fd_values, sb->values_bytes, false, config->io, config->mem);
    if (err == 0)
        err = region_back(&heap->meta, 0, PAGE_BYTES + UNDO_BYTES, true);
    return err;
}

int heap_create(struct heap *heap, const struct heap_config *config)
{
    struct superblock sb;
    lay_out(&sb, config);
    *heap = (struct heap){.mem = config->mem, .meta.fd = -1, .values.fd = -1, .index_ready = 0};
    int err = create_image(heap, config, &sb);
    if (err == 0) {
        heap->sb = (void *)heap->meta.base;
        *heap->sb = sb;
        err = attach(heap);
    }
    if (err == 0)
        err = table_grow(heap);
    if (err != 0) {
        if (config->fd_meta >= 0)
            heap->meta.fd = heap->values.fd = -1; /* stay the caller's */
        heap_close(heap);
    }
    return err;
}

/* Whether the areas lie one behind the other, as large as positions in them can say. */
static bool areas_fit(const struct superblock *sb)
{
    return sb->types_at == PAGE_BYTES + UNDO_BYTES && sb->index_end > 1 && sb->index_end <= 0x7fffffff &&
           sb->cells_bytes % ARENA_BYTES == 0 && sb->cells_bytes < 16 * GIB &&
           sb->blocks_bytes % ARENA_BYTES == 0 && sb->blocks_bytes < 32 * GIB &&
           sb->values_bytes % PAGE_BYTES == 0 && sb->values_bytes <= (uint64_t)PAGE_BYTES << 32 &&
           sb->cells_at == area_behind(sb->types_at + sb->cells_bytes / CELL_RUN) &&
           sb->hot_at == area_behind(sb->cells_at + sb->cells_bytes) &&
           sb->warm_at == area_behind(sb->hot_at + sb->index_end * sizeof(struct hot)) &&
           sb->blocks_at == area_behind(sb->warm_at + sb->index_end * sizeof(struct warm));
}

/* A death between the two stores of heap_make_current() leaves the new format under the checksum of the old one. */
static bool checksum_fits(const struct superblock *sb)
{
    struct superblock before = *sb;
    before.format = IMAGE_FORMAT_FIRST;
    return sb->checksum == superblock_checksum(sb) ||
           (sb->format == IMAGE_FORMAT && sb->checksum == superblock_checksum(&before));
}

void heap_make_current(struct heap *heap)
{
    struct superblock *sb = heap->sb;
    struct superblock now = *sb;
    now.format = IMAGE_FORMAT;
    now.checksum = superblock_checksum(&now);
    if (sb->format == now.format && sb->checksum == now.checksum)
        return;
    image_set(heap, (uint64_t *)(void *)&sb->format, (uint64_t)sb->entry_size << 32 | IMAGE_FORMAT);
    image_set(heap, &sb->checksum, now.checksum);
}

static const char *check_superblock(const struct superblock *sb)
{
    if (sb->magic != IMAGE_MAGIC)
        return "no heap image: the magic number is missing";
    if (sb->format > IMAGE_FORMAT)
        return "the image has a newer format than this version reads; use the version that made it, or a "
               "newer one";
    if (sb->format < IMAGE_FORMAT_FIRST)
        return "the image has a format that this version does not read";
    if (!checksum_fits(sb))
        return "the superblock's checksum is wrong";
    if (sb->entry_size != sizeof(struct hot) + sizeof(struct warm) || sb->log_max != UNDO_MAX)
        return "the superblock's sizes are not those of this format";
    if (!areas_fit(sb) || memchr(sb->name, '\0', sizeof sb->name) == NULL)
        return "the superblock's areas do not fit together";
    if (sb->index_top == 0 || sb->index_top > sb->index_end)
        return "the superblock's index_top is out of range";
    return NULL;
}

int heap_map(struct heap *heap, int fd_meta, int fd_values, bool is_private, const struct region_io *io,
             struct mem *mem, const char **ret_wrong)
{
    struct superblock sb;
    *ret_wrong = NULL;
    *heap = (struct heap){.mem = mem, .meta.fd = -1, .values.fd = -1};
    if (pread(fd_meta, &sb, sizeof sb, 0) != (ssize_t)sizeof sb)
        *ret_wrong = "no heap image: the file is too short";
    else
        *ret_wrong = check_superblock(&sb);
    if (*ret_wrong != NULL)
        return -EINVAL;
    int err = region_map(&heap->meta, fd_meta, sb.blocks_at + sb.blocks_bytes, is_private, io, mem);
    if (err == 0)
        err = region_map(&heap->values, fd_values, sb.values_bytes, is_private, io, mem);
    if (err == 0)
        err = region_admit(&heap->meta, 0, PAGE_BYTES);
    if (err == 0) {
        heap->sb = (void *)heap->meta.base;
        err = attach(heap);
    }
    if (err != 0) {
        heap->meta.fd = heap->values.fd = -1; /* stay the caller's */
        heap_close(heap);
    }
    return err;
}

void heap_close(struct heap *heap)
{
    struct mem *mem = heap->mem;
    bool owns = !heap->meta.is_private;
    blocks_done(&heap->payloads);
    blocks_done(&heap->lists);
    blocks_done(&heap->cells);
    freeset_done(&heap->free_index, mem);
    freeset_done(&heap->quarantine, mem);
    reserve_done(&heap->marks, mem);
    reserve_done(&heap->pins, mem);
    index_done(&heap->pin_index);
    region_unmap(&heap->meta);
    region_unmap(&heap->values);
    if (owns) {
        region_close(&heap->meta);
        region_close(&heap->values);
    }
    mem_uncharge(mem, mem->image_bytes);
    mem->image_bytes = 0;
    heap->meta.fd = heap->values.fd = -1;
}

void image_rollback(struct heap *heap)
{
    struct undo_log *log = heap->log;
    for (uint64_t n = log->n; n-- > 0;) {
        uint64_t *word = (void *)(heap->meta.base + log->record[n].offset);
        *word = log->record[n].old;
        region_stored(&heap->meta);
    }
    image_commit(heap);
}

/* ---- the table ---- */

#define TABLE_PIECE (PIECE_BYTES / (uint32_t)sizeof(struct hot)) /* entries */
#define TABLE_LEFT  (2 * TABLE_PIECE) /* ready beyond the top, if the background has its way */

bool table_know(struct heap *heap, uint64_t end)
{
    return freeset_grow(&heap->free_index, heap->mem, end) &&
           freeset_grow(&heap->quarantine, heap->mem, end) &&
           reserve_grow(&heap->marks, heap->mem, bits_round_up(end, 64) / 8);
}

static int back_piece(struct ahead *ahead, uint64_t area, uint64_t *backed)
{
    int err = ahead_back(ahead, area + *backed, PIECE_BYTES);
    *backed += err == 0 ? PIECE_BYTES : 0;
    return err;
}

/* A piece of the half that is behind; once both halves reach as far, there are more entries. */
static int grow_piece(struct heap *heap)
{
    uint64_t end = heap->sb->index_end;
    uint32_t target = (uint32_t)clamp(heap->index_ready + (uint64_t)TABLE_PIECE, 0, end);
    uint64_t hot = (uint64_t)target * sizeof(struct hot), warm = (uint64_t)target * sizeof(struct warm);
    if (target == heap->index_ready || !table_know(heap, target))
        return -ENOMEM;
    int err = hot > heap->hot_backed ? back_piece(&heap->hot_ahead, heap->sb->hot_at, &heap->hot_backed)
              : warm > heap->warm_backed
                  ? back_piece(&heap->warm_ahead, heap->sb->warm_at, &heap->warm_backed)
                  : 0;
    if (err != 0 || hot > heap->hot_backed || warm > heap->warm_backed)
        return err;
    freeset_touch(&heap->free_index, target - 1); /* else a death would have to wait for the page */
    heap->index_ready = target;
    return 0;
}

int table_grow(struct heap *heap)
{
    int err = 0;
    for (uint32_t ready = heap->index_ready; err == 0 && heap->index_ready == ready;)
        err = grow_piece(heap);
    return err;
}

bool table_wants_room(const struct heap *heap)
{
    return heap->free_index.count + heap->spare_index_count == 0 &&
           heap->sb->index_top + TABLE_LEFT > heap->index_ready && heap->index_ready < heap->sb->index_end;
}

uint32_t index_take_any(struct heap *heap)
{
    uint32_t index = freeset_lowest(&heap->free_index);
    if (likely(index != FREESET_NONE)) {
        freeset_remove(&heap->free_index, index);
        return index_give_out(heap, index);
    }
    index = (uint32_t)heap->sb->index_top;
    if (unlikely(index >= heap->index_ready) && table_grow(heap) != 0)
        return 0;
    /* touched before it is admitted: recovery takes a high-water mark beyond the data of the file for damage */
    heap->warm[index].slots = 0;
    image_set(heap, &heap->hot[index].w0, 0);
    image_set(heap, &heap->sb->index_top, index + 1ull);
    return index;
}

void index_give_later(struct heap *heap, uint32_t first, uint64_t indexes)
{
    freeset_add_all(&heap->quarantine, first, indexes);
}

void quarantine_end(struct heap *heap, uint32_t first)
{
    freeset_move(&heap->free_index, &heap->quarantine, first);
}

/* ---- memory ahead of need ---- */

bool heap_ahead_give(struct heap *heap)
{
    return ahead_give(&heap->payloads.ahead) || ahead_give(&heap->lists.ahead) ||
           ahead_give(&heap->hot_ahead) || ahead_give(&heap->warm_ahead);
}

bool heap_ahead_begin(struct heap *heap, struct ahead_job *ret, struct ahead **ret_ahead)
{
    struct ahead *all[] = {&heap->hot_ahead, &heap->warm_ahead, &heap->payloads.ahead, &heap->lists.ahead};
    if (likely(!(all[0]->grown | all[1]->grown | all[2]->grown | all[3]->grown)))
        return false;
    for (unsigned k = 0; k < sizeof all / sizeof *all; k++) {
        *ret_ahead = all[k];
        if (all[k]->grown && ahead_begin(all[k], ret))
            return true;
    }
    return false;
}

/* ---- background ---- */

/* Touches the pages of the next piece of the table, so that no request pays for the faults. Only a hint. */
static void populate(struct heap *heap, uint64_t at, uint64_t size)
{
    if (!heap->meta.is_private)
        (void)madvise(heap->meta.base + at, size, MADV_POPULATE_WRITE);
}

bool heap_is_nearly_full(const struct heap *heap)
{
    uint64_t limit = mem_limit(heap->mem);
    return mem_left(heap->mem) < limit / 16;
}

bool heap_waits_for_save(const struct heap *heap)
{
    const struct save *save = heap->meta.save;
    return save != NULL && save_is_short(save) && !heap->hurries && !heap_is_nearly_full(heap);
}

bool heap_need_memory(struct heap *heap)
{
    heap->hurries = heap->meta.save != NULL;
    blocks_set_back(&heap->payloads);
    return value_spares_give(heap);
}

static bool has_to_give(const struct heap *heap)
{
    return blocks_has_work(&heap->payloads) || blocks_has_work(&heap->lists) || blocks_has_work(&heap->cells);
}

bool heap_has_work(const struct heap *heap)
{
    return has_to_give(heap) && !heap_waits_for_save(heap);
}

bool heap_step(struct heap *heap)
{
    if (heap_has_work(heap) &&
        (blocks_step(&heap->payloads) || blocks_step(&heap->lists) || blocks_step(&heap->cells)))
        return true;
    if (!table_wants_room(heap))
        return false;
    uint64_t hot = heap->hot_backed, warm = heap->warm_backed;
    if (grow_piece(heap) != 0)
        return false;
    if (heap->hot_backed != hot)
        populate(heap, heap->sb->hot_at + hot, PIECE_BYTES);
    if (heap->warm_backed != warm)
        populate(heap, heap->sb->warm_at + warm, PIECE_BYTES);
    return true;
}
