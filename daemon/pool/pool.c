/* SPDX-License-Identifier: BSD-3-Clause */
#include "daemon/heap/recover.h"
#include "daemon/pool/internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- life cycle ---- */

static bool lower_or_digit(uint8_t c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

bool pool_name_fits(const uint8_t *name, uint32_t size)
{
    if (size == 0 || size > HF_POOL_NAME_MAX || !lower_or_digit(name[0]))
        return false;
    for (uint32_t i = 1; i < size; i++) {
        if (!lower_or_digit(name[i]) && name[i] != '.' && name[i] != '_' && name[i] != '-')
            return false;
    }
    return true;
}

static bool init_parts(struct pool *pool)
{
    uint64_t scratch = (HF_REFS_MAX + 2ull * HF_IDS_MAX) * 8;
    const struct gc_owner owner = {pool, object_freed, guard_deliver, label_tag};
    events_init(pool);
    evacuate_init(&pool->evacuation, &pool->heap);
    return gc_init(&pool->gc, &pool->heap, &owner) == 0 && sessions_init(pool) && names_init(pool) &&
           tickets_init(pool) && labels_init(pool) && links_init(pool) && guards_init(pool) &&
           notices_init(pool) && reserve_init(&pool->scratch, scratch) &&
           reserve_grow(&pool->scratch, &pool->mem, scratch);
}

static int create_heap(struct pool *pool, const struct pool_config *config)
{
    const struct heap_config heap = {.name = config->name,
                                     .max_bytes = config->max_bytes,
                                     .own_limit = config->limited ? config->max_bytes : 0,
                                     .epoch = config->epoch,
                                     .serial_base = config->serial_base,
                                     .born_ms = config->now_ms,
                                     .first_sid = config->first_sid,
                                     .fd_meta = config->fd_meta,
                                     .fd_values = config->fd_values,
                                     .io = config->io,
                                     .mem = &pool->mem};
    int err = heap_create(&pool->heap, &heap);
    return err == 0 && !init_parts(pool) ? -ENOMEM : err;
}

struct check {
    struct pool *pool;
    const struct pool_config *pool_config;
    const struct recover_config *config;
};

static bool tell_progress(void *owner, unsigned done)
{
    const struct pool_config *config = ((const struct check *)owner)->pool_config;
    return config->progress(config->progress_data, done * 1000 / RECOVER_ALL);
}

static int check_heap(void *owner, char *error, size_t error_size)
{
    const struct check *check = owner;
    return pool_check(check->pool, check->config, error, error_size);
}

static int recover_heap(struct pool *pool, const struct pool_config *config, char *error, size_t error_size)
{
    struct check check = {.pool = pool, .pool_config = config};
    const struct recover_config recover = {.keep_anonymous = false,
                                           .check = check_heap,
                                           .progress = config->progress != NULL ? tell_progress : NULL,
                                           .owner = &check};
    struct recover_result result;
    const char *wrong = NULL;
    check.config = &recover;
    int err = heap_map(&pool->heap, config->fd_meta, config->fd_values, config->look_only, config->io,
                       &pool->mem, &wrong);
    if (wrong != NULL)
        snprintf(error, error_size, "%s", wrong);
    if (err == 0 && pool->now_ms < pool->heap.sb->born_ms)
        pool->now_ms = pool->heap.sb->born_ms; /* the clock was set back: time stands still until then */
    if (err == 0 && !init_parts(pool))
        err = -ENOMEM;
    if (err == 0)
        err = heap_recover(&pool->heap, &recover, &result, error, error_size);
    return err == 0 && pool_rebuild(pool, &recover) != 0 ? -ENOMEM : err;
}

/* That of the daemon, or the one the pool was made with if that is lower. */
static uint64_t limit_of(const struct pool *pool, const struct pool_config *config)
{
    uint64_t own = pool->heap.sb->max_bytes;
    return own != 0 && own < config->max_bytes ? own : config->max_bytes;
}

static void tell_failure(const struct pool *pool, int err, char *error, size_t error_size)
{
    int why = pool->heap.meta.error != 0 ? pool->heap.meta.error : pool->heap.values.error;
    if (err == -ECANCELED)
        snprintf(error, error_size, "the recovery of pool %s was ended", pool->name);
    else if (why != 0)
        snprintf(error, error_size, "no room for pool %s: %s", pool->name, strerror(why));
    else if (err == -EMFILE || err == -ENFILE)
        snprintf(error, error_size, "no file descriptors left for pool %s", pool->name);
    else
        snprintf(error, error_size, "not enough memory for pool %s", pool->name);
}

int pool_open(struct pool **ret, const struct pool_config *config, char *error, size_t error_size)
{
    struct pool *pool = calloc(1, sizeof *pool);
    if (pool == NULL)
        return -HF_E_OOM;
    if (error_size > 0)
        error[0] = '\0';
    bool recovers = config->fd_meta >= 0 && !config->create;
    mem_init(&pool->mem, recovers ? NULL : config->parent, recovers ? UINT64_MAX : config->max_bytes);
    snprintf(pool->name, sizeof pool->name, "%s", config->name);
    pool->now_ms = config->now_ms;
    pool->lease_ms = config->lease_ms;
    pool->random_state = config->random_seed;
    pool->random = config->random;
    pool_random(pool, (uint8_t *)&pool->hash_seed, sizeof pool->hash_seed);
    int err = recovers ? recover_heap(pool, config, error, error_size) : create_heap(pool, config);
    if (err == 0) {
        ring_init(pool);
        if (recovers)
            mem_join(&pool->mem, config->parent, limit_of(pool, config));
        *ret = pool;
        return 0;
    }
    if (error_size > 0 && error[0] == '\0')
        tell_failure(pool, err, error, error_size);
    if (config->fd_meta >= 0)
        pool->heap.meta.fd = pool->heap.values.fd = -1; /* they stay the caller's */
    pool_close(pool);
    switch (err) {
    case -EINVAL: return -HF_E_INTERNAL;
    case -ECANCELED: return -HF_E_DRAINING;
    case -EMFILE:
    case -ENFILE: return -HF_E_LIMIT;
    default: return -HF_E_OOM;
    }
}

void pool_close(struct pool *pool)
{
    if (pool == NULL)
        return;
    pool_save_end(pool);
    verify_done(pool);
    sessions_done(pool);
    index_done(&pool->names);
    index_done(&pool->tickets);
    index_done(&pool->guards);
    notices_done(pool);
    ring_done(pool);
    deadlines_done(&pool->ticket_deadlines);
    labels_done(pool);
    links_done(pool);
    reserve_done(&pool->scratch, &pool->mem);
    gc_done(&pool->gc);
    heap_close(&pool->heap);
    free(pool);
}

/* ---- dropping in steps: private vectors first, then the image by arenas ---- */

struct area {
    struct region *region;
    uint64_t at, size;
};

static struct area dispose_area(struct pool *pool, unsigned n)
{
    struct heap *heap = &pool->heap;
    const struct superblock *sb = heap->sb;
    switch (n) {
    case 0: return (struct area){&heap->values, 0, (uint64_t)heap->payloads.arenas_top * ARENA_BYTES};
    case 1: return (struct area){&heap->meta, sb->hot_at, heap->hot_backed};
    case 2: return (struct area){&heap->meta, sb->warm_at, heap->warm_backed};
    case 3: return (struct area){&heap->meta, sb->blocks_at, (uint64_t)heap->lists.arenas_top * ARENA_BYTES};
    case 4: return (struct area){&heap->meta, sb->cells_at, (uint64_t)heap->cells.arenas_top * ARENA_BYTES};
    default: return (struct area){NULL, 0, 0};
    }
}

#define DISPOSE_SESSIONS 64u /* chunks of vectors, or sessions, instead of a piece */

static bool dispose_sessions(struct pool *pool)
{
    unsigned done = 0;
    while (done < DISPOSE_SESSIONS && session_dispose(pool))
        done++;
    return done > 0;
}

bool pool_dispose_step(struct pool *pool, unsigned units)
{
    while (units > 0) {
        units--;
        if (dispose_sessions(pool))
            continue;
        struct area area = dispose_area(pool, pool->dispose_area);
        if (area.region == NULL)
            return false;
        if (pool->dispose_at >= area.size) {
            pool->dispose_area++;
            pool->dispose_at = 0;
            continue;
        }
        region_drop(area.region, area.at + pool->dispose_at, ARENA_BYTES);
        pool->dispose_at += ARENA_BYTES;
    }
    return true;
}

/* ---- errors ---- */

int pool_fail(struct pool *pool, enum hf_err code, const char *text)
{
    pool->fault = (struct fault){.code = (int)code, .index = -1, .text = text};
    return -(int)code;
}

int pool_fail_id(struct pool *pool, enum hf_err code, uint64_t id, const char *text)
{
    (void)pool_fail(pool, code, text);
    pool->fault.id = id;
    return -(int)code;
}

int pool_fail_gone(struct pool *pool, uint64_t id)
{
    return pool_fail_id(pool, HF_E_GONE, id, "the object has died or never was in this pool; drop the id");
}

#define WHO_SESSIONS 1024u /* looked at for the biggest holder */

/* As much of a name as fits, never a part of a character: the text of an error is UTF-8. */
static void copy_name(char *out, size_t room, const uint8_t *name, size_t size)
{
    if (size >= room)
        for (size = room - 1; size > 0 && (name[size] & 0xc0) == 0x80;)
            size--;
    memcpy(out, name, size);
    out[size] = '\0';
}

static void name_biggest_holder(const struct pool *pool, struct fault *fault)
{
    const struct session *biggest = NULL;
    unsigned looked = 0;
    for (const struct session *s = pool->first; s != NULL && looked < WHO_SESSIONS; s = s->next, looked++)
        if (biggest == NULL || s->held_bytes > biggest->held_bytes)
            biggest = s;
    if (biggest == NULL || biggest->held_bytes == 0)
        return;
    fault->who_bytes = biggest->held_bytes;
    const struct cell_session *cell = cell_at(&pool->heap, biggest->ref);
    if (!biggest->anonymous && cell->name_size > 0)
        copy_name(fault->who, sizeof fault->who, cell->name, cell->name_size);
    else
        snprintf(fault->who, sizeof fault->who, "sid %llu", (unsigned long long)biggest->sid);
}

int pool_fail_oom(struct pool *pool, uint64_t need)
{
    uint64_t left = mem_left(&pool->mem);
    bool file_full = left >= need && (pool->heap.meta.error != 0 || pool->heap.values.error != 0);
    (void)pool_fail(pool, HF_E_OOM,
                    file_full ? "no room left where the heap is kept: make some there or release something"
                              : "no memory left in the pool; release something or raise --max-memory");
    pool->fault.need = need;
    pool->fault.free =
        left < need ? left : 0; /* the budget may have room where the system or the file has none */
    pool->fault.file_full = file_full;
    name_biggest_holder(pool, &pool->fault);
    return -HF_E_OOM;
}

const struct fault *pool_fault(const struct pool *pool)
{
    return &pool->fault;
}

/* ---- operations ---- */

static void give_back(struct pool *pool)
{
    struct after *after = &pool->after;
    for (uint32_t k = 0; k < after->cells_count; k++)
        cell_give(&pool->heap, after->cells[k]);
    after->cells_count = 0;
    for (uint32_t k = 0; k < after->labels_count; k++)
        label_drop(pool, after->labels[k]);
    after->labels_count = 0;
}

void pool_settle_now(struct pool *pool)
{
    if (pool->heap.zero_head != 0) {
        (void)gc_reap(&pool->gc, INLINE_UNITS, POOL_INLINE_DEATHS);
        (void)notices_fire(pool, POOL_INLINE_DEATHS);
    }
    if (pool->gc.owed != 0)
        pool_pay(pool);
}

void pool_commit(struct pool *pool)
{
    struct after *after = &pool->after;
    image_commit(&pool->heap);
    give_back(pool);
    for (uint32_t k = 0; k < after->drops_count; k++)
        gc_drop(&pool->gc, after->drops[k]);
    after->drops_count = 0;
    pool_settle(pool);
}

#define ROOM_UNITS 4096u

bool pool_make_room(struct pool *pool)
{
    bool given = heap_need_memory(&pool->heap);
    gc_need_memory(&pool->gc);
    evacuate_need_memory(&pool->evacuation);
    given |= heap_ahead_give(&pool->heap);
    if (!pool_has_work(pool) || pool->heap.log->n != 0)
        return given;
    unsigned spent = pool_step(pool, ROOM_UNITS);
    if (pool->heap.zero_head != 0) /* what a trial found at the end is room too */
        spent += gc_reap(&pool->gc, ROOM_UNITS, UINT32_MAX);
    return given || spent > 0;
}

uint64_t pool_next_version(struct pool *pool)
{
    uint64_t version = pool->heap.sb->next_version;
    image_set(&pool->heap, &pool->heap.sb->next_version, version + 1);
    return version;
}

/* splitmix64 (Steele, Lea, Flood 2014), for tests; the daemon passes in the kernel's random bytes. */
static uint64_t random_next(struct pool *pool)
{
    uint64_t z = pool->random_state += 0x9e3779b97f4a7c15ull;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
    return z ^ (z >> 31);
}

void pool_random(struct pool *pool, uint8_t *out, size_t size)
{
    if (pool->random != NULL) {
        pool->random(out, size);
        return;
    }
    for (size_t k = 0; k < size; k += 8) {
        uint64_t word = random_next(pool);
        memcpy(out + k, &word, size - k < 8 ? size - k : 8);
    }
}

/* ---- time and background work ---- */

void pool_tick(struct pool *pool, uint64_t now_ms, uint64_t lease_ms)
{
    if (now_ms > pool->now_ms)
        pool->now_ms = now_ms;
    gc_tick(&pool->gc, pool->now_ms);
    if (lease_ms - pool->lease_base_ms > pool->lease_ms && lease_ms > pool->lease_base_ms)
        pool->lease_ms = lease_ms - pool->lease_base_ms;
}

void pool_start_leases(struct pool *pool, uint64_t lease_ms)
{
    pool->lease_base_ms = lease_ms - pool->lease_ms;
}

static bool ticket_is_due(const struct pool *pool)
{
    const struct deadline *first = deadlines_first(&pool->ticket_deadlines);
    return first != NULL && first->at <= pool->now_ms;
}

static bool lease_is_due(const struct pool *pool)
{
    const struct deadline *first = deadlines_first(&pool->leases);
    return first != NULL && first->at <= pool->lease_ms;
}

bool pool_has_work(const struct pool *pool)
{
    return pool->heap.zero_head != 0 || pool->dying != NULL || ticket_is_due(pool) || lease_is_due(pool) ||
           heap_has_work(&pool->heap) || gc_has_work(&pool->gc) || pool->firing_first != 0 ||
           evacuate_has_work(&pool->evacuation);
}

/* The work of one sort, if there is any. */
static unsigned step_sort(struct pool *pool, unsigned sort, unsigned units, bool fresh)
{
    unsigned spent = 0;
    if (sort == 0 && gc_has_work(&pool->gc)) {
        spent = gc_step(&pool->gc, units);
        events_collections(pool);
    } else if (sort == 1) {
        spent = evacuate_step(&pool->evacuation, units);
    } else if (sort == 2 && heap_has_work(&pool->heap)) {
        if (!fresh && units < POOL_UNITS_PIECE) {
            pool->background--;
            return units; /* it costs more than what is left: the next step begins with it */
        }
        spent = heap_step(&pool->heap) ? POOL_UNITS_PIECE : 0;
    }
    return spent;
}

/* A running collection, an evacuation and memory that is given back take turns: none may wait for another to end. */
static unsigned step_background(struct pool *pool, unsigned units, bool fresh)
{
    for (unsigned tries = 0; tries < 3; tries++) {
        unsigned spent = step_sort(pool, pool->background++ % 3, units, fresh);
        if (spent != 0)
            return spent;
    }
    return heap_step(&pool->heap) ? POOL_UNITS_PIECE : 0;
}

/* Ends one lease or ticket whose time is over. */
static unsigned due_step(struct pool *pool)
{
    return lease_expire(pool) || ticket_expire(pool);
}

void pool_pay(struct pool *pool)
{
    bool waits = pool->dying != NULL || lease_is_due(pool) || ticket_is_due(pool);
    if (waits && pool->gc.phase < GC_MARK)
        pool->gc.owed =
            0; /* none begins before what ends there counts no more, and nobody is made to wait for that */
    gc_pay(&pool->gc);
    events_collections(pool);
}

/* A collection begins only when nothing is dead and no session is ending, so that what was let go before is not taken
 * for alive. */
unsigned pool_step(struct pool *pool, unsigned units)
{
    unsigned spent = 0, done;
    while (spent < units) {
        if (pool->heap.zero_head != 0)
            spent += gc_reap(&pool->gc, units - spent, UINT32_MAX);
        else if (pool->firing_first != 0)
            spent += notices_fire(pool, units - spent);
        else if ((done = gc_relieve(&pool->gc)) != 0) {
            events_collections(pool);
            spent += done;
        } else if ((done = session_dying_step(pool, units - spent)) != 0 || (done = due_step(pool)) != 0) {
            pool->heap.work += done;
            spent += done;
        } else if ((done = step_background(pool, units - spent, spent == 0)) != 0)
            spent += done;
        else
            return spent;
    }
    return spent < units ? spent : units;
}

uint64_t pool_work(const struct pool *pool)
{
    return pool->heap.work;
}

bool pool_owes(const struct pool *pool)
{
    return pool->gc.owed != 0;
}

uint64_t pool_made(const struct pool *pool)
{
    return pool->heap.made;
}

bool pool_errand_begin(struct pool *pool, struct pool_errand *ret)
{
    struct ahead_job job;
    struct ahead *ahead;
    if (!heap_ahead_begin(&pool->heap, &job, &ahead))
        return false;
    *ret = (struct pool_errand){.of = ahead, .address = job.address, .offset = job.offset, .fd = job.fd};
    return true;
}

int pool_errand_run(const struct pool_errand *errand)
{
    const struct ahead_job job = {.address = errand->address, .offset = errand->offset, .fd = errand->fd};
    return ahead_make(&job);
}

void pool_errand_end(struct pool_errand *errand, int result)
{
    ahead_end(errand->of, result);
}

void pool_next_due(const struct pool *pool, uint64_t *ret_now_ms, uint64_t *ret_lease_ms)
{
    const struct deadline *ticket = deadlines_first(&pool->ticket_deadlines);
    const struct deadline *lease = deadlines_first(&pool->leases);
    uint64_t collection = gc_next_due(&pool->gc);
    *ret_now_ms = ticket != NULL && ticket->at < collection ? ticket->at : collection;
    *ret_lease_ms = lease != NULL ? lease->at + pool->lease_base_ms : UINT64_MAX;
}

/* ---- facts ---- */

const char *pool_name(const struct pool *pool)
{
    return pool->name;
}

struct mem *pool_mem(struct pool *pool)
{
    return &pool->mem;
}

uint64_t pool_epoch(const struct pool *pool)
{
    return pool->heap.sb->epoch;
}

uint32_t pool_number(const struct pool *pool)
{
    return (uint32_t)(pool->heap.sb->next_sid >> POOL_SID_BITS);
}

void pool_stats(const struct pool *pool, struct pool_stats *ret)
{
    const struct heap *heap = &pool->heap;
    *ret = (struct pool_stats){
        .objects = heap->alive,
        .object_bytes = heap->value_bytes,
        .objects_made = heap->made,
        .objects_freed = heap->freed,
        .objects_open = heap->open,
        .retired = heap->retired,
        .memory_limit = mem_limit(&pool->mem),
        .memory_used = atomic_load_explicit(&pool->mem.used, memory_order_relaxed), /* a figure for people */
        .memory_image = pool->mem.image_bytes,
        .memory_private = pool->mem.private_bytes,
        .value_bytes = heap->payloads.backed_bytes,
        .value_live_bytes = heap->payloads.live_bytes,
        .list_bytes = heap->lists.backed_bytes,
        .list_live_bytes = heap->lists.live_bytes,
        .holds = pool->holds,
        .hold_cells = pool->hold_cells,
        .names = pool->names_count,
        .tickets = pool->tickets_count,
        .labels = pool->labels_count,
        .sessions_open = pool->sessions_open,
        .sessions_grace = pool->sessions_grace,
        .sessions_dying = pool->sessions_dying,
        .backlog = heap->zero_count + pool->dying_holds,
        .pinned = heap->pins_count,
        .next_version = heap->sb->next_version,
        .index_max = heap->sb->index_top - 1,
    };
    ret->meta_bytes = ret->memory_image > ret->value_bytes ? ret->memory_image - ret->value_bytes : 0;
}

void pool_add_sizes(const struct pool *pool, struct pool_sizes *sizes)
{
    blocks_sizes(&pool->heap.payloads, sizes->of[BLOCKS_VALUES]);
    blocks_sizes(&pool->heap.lists, sizes->of[BLOCKS_LISTS]);
    blocks_sizes(&pool->heap.cells, sizes->of[BLOCKS_CELLS]);
}

static const char *cell_word(unsigned type)
{
    switch (type) {
    case CELL_HOLD: return "holds";
    case CELL_TICKET: return "tickets";
    case CELL_ANON:
    case CELL_SESSION: return "sessions";
    case CELL_LABEL:
    case CELL_LABEL_WIDE: return "labels";
    case CELL_NOTICE: return "notices";
    case CELL_WINDOW: return "windows";
    default: return "names";
    }
}

const char *pool_blocks_word(enum pool_blocks kind, unsigned k)
{
    if (kind != BLOCKS_CELLS)
        return kind == BLOCKS_VALUES ? "values" : "lists";
    return k < BLOCK_CLASSES_MAX ? cell_word(k + 1) : "cells";
}

/* ---- evacuation ---- */

void pool_evacuate_at(struct pool *pool, uint32_t percent)
{
    pool->evacuation.config.percent = percent;
}

void pool_evacuation(const struct pool *pool, struct pool_evacuation *ret)
{
    const struct evacuation *e = &pool->evacuation;
    *ret = (struct pool_evacuation){.passes = e->stats.passes,
                                    .moved = e->stats.moved,
                                    .moved_bytes = e->stats.moved_bytes,
                                    .returned_bytes = e->stats.returned_bytes,
                                    .cut_short = e->stats.cut_short,
                                    .percent = e->config.percent,
                                    .running = e->stats.running};
}

uint64_t pool_evacuated(const struct pool *pool)
{
    return pool->evacuation.stats.passes;
}
