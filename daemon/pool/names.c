/* SPDX-License-Identifier: BSD-3-Clause */
/* Names: bindings of strings to objects. A binding is a cell in a size class of its name; it holds one
 * reference. Rebinding keeps the cell: object and version change by undo-logged words. */
#include "daemon/pool/internal.h"

#include <string.h>

static struct cell_name *name_cell(const struct pool *pool, uint32_t ref)
{
    return cell_at(&pool->heap, ref);
}

static uint64_t hash_of_ref(const void *owner, uint32_t ref)
{
    const struct cell_name *cell = name_cell(owner, ref);
    return name_hash(owner, (struct name_in){.data = cell->bytes, .size = cell->size});
}

static bool same_name(const void *owner, uint32_t ref, const void *key)
{
    const struct cell_name *cell = name_cell(owner, ref);
    const struct name_in *name = key;
    return cell->size == name->size && memcmp(cell->bytes, name->data, name->size) == 0;
}

bool names_init(struct pool *pool)
{
    return index_init(&pool->names, &pool->mem, pool->heap.sb->index_end * 4ull, pool, hash_of_ref,
                      same_name);
}

static uint32_t find(const struct pool *pool, struct name_in name)
{
    return index_find(&pool->names, name_hash(pool, name), &name);
}

static int check_version(struct pool *pool, uint32_t ref, uint64_t if_version)
{
    uint64_t version = ref == 0 ? 0 : cell_name_version(name_cell(pool, ref));
    if (if_version == POOL_ANY_VERSION || if_version == version)
        return 0;
    return pool_fail(pool, HF_E_CONFLICT,
                     if_version == 0
                         ? "the name exists already"
                         : "the name's version is another one by now; look it up again, then decide");
}

static int no_name(struct pool *pool, uint32_t k)
{
    (void)pool_fail(pool, HF_E_NOTFOUND, "there is nothing of that name");
    pool->fault.index = k;
    return -HF_E_NOTFOUND;
}

/* ---- binding: first a cell and all memory, then what cannot fail ---- */

/* A cell for a new name, filled but not born. -HF_E_OOM. */
static int name_cell_make(struct pool *pool, struct name_in name, uint32_t *ret_ref)
{
    uint32_t ref = index_prepare(&pool->names) ? cell_take(&pool->heap, cell_name_type(name.size)) : 0;
    if (ref == 0)
        return pool_fail_oom(pool, ARENA_BYTES);
    struct cell_name *cell = name_cell(pool, ref);
    cell->size = (uint8_t)name.size;
    cell->flags = 0;
    memcpy(cell->bytes, name.data, name.size);
    *ret_ref = ref;
    return 0;
}

/* Gives birth to the binding. The object's links are prepared, or it has no reference yet. */
static void bind_new(struct pool *pool, struct name_in name, uint32_t ref, uint32_t index, uint64_t version)
{
    struct cell_name *cell = name_cell(pool, ref);
    cell->version_high = (uint16_t)(version >> 32);
    image_store(&pool->heap, (uint64_t *)(void *)cell, version << 32 | index);
    index_insert(&pool->names, name_hash(pool, name), ref);
    links_add(pool, index, ref);
    pool->names_count++;
}

static void bind_again(struct pool *pool, uint32_t ref, uint32_t index, uint64_t version)
{
    struct cell_name *cell = name_cell(pool, ref);
    uint32_t before = cell->object;
    uint64_t *words = (uint64_t *)(void *)cell;
    if (before != index)
        links_remove(pool, before, ref);
    image_store(&pool->heap, &words[0], version << 32 | index);
    if (cell->version_high != (uint16_t)(version >> 32))
        image_store(&pool->heap, &words[1], (words[1] & ~0xffffull) | (uint16_t)(version >> 32));
    if (before == index)
        return;
    links_add(pool, index, ref);
    pool_after_drop(pool, before);
}

static int name_bind_once(struct pool *pool, struct name_in name, uint64_t id, uint64_t if_version,
                          uint64_t *ret_version)
{
    uint32_t index = id_index(id), bound = find(pool, name), ref = bound;
    if (pool_find(pool, id) == NULL)
        return -pool->fault.code;
    int err = check_version(pool, bound, if_version);
    if (err == 0 && !links_prepare(pool, index))
        err = pool_fail_oom(pool, sizeof(struct tail));
    if (err == 0 && bound == 0)
        err = name_cell_make(pool, name, &ref);
    if (err != 0)
        return err;
    *ret_version = pool_next_version(pool);
    if (bound == 0)
        bind_new(pool, name, ref, index, *ret_version);
    else
        bind_again(pool, ref, index, *ret_version);
    replay_uint(pool, *ret_version);
    pool_commit_as(pool, REASON_REPLACED);
    return 0;
}

int pool_name_bind(struct pool *pool, struct name_in name, uint64_t id, uint64_t if_version,
                   uint64_t *ret_version)
{
    int err = name_bind_once(pool, name, id, if_version, ret_version);
    if (err == -HF_E_OOM && pool_make_room(pool))
        err = name_bind_once(pool, name, id, if_version, ret_version);
    return err;
}

/* ---- unbinding ---- */

static void unbind(struct pool *pool, uint32_t ref)
{
    struct cell_name *cell = name_cell(pool, ref);
    uint32_t index = cell->object;
    index_remove(&pool->names, hash_of_ref(pool, ref), ref);
    links_remove(pool, index, ref);
    image_store(&pool->heap, (uint64_t *)(void *)cell, 0);
    pool_after_cell(pool, ref);
    pool_after_drop(pool, index);
    pool->names_count--;
}

/* The first entry that cannot be unbound; a name that stands twice is gone at its second place. */
static int check_unname(struct pool *pool, const struct name_in *names, uint32_t count, uint64_t if_version,
                        uint32_t *refs, uint32_t *ret_seen)
{
    for (uint32_t k = 0; k < count; k++) {
        *ret_seen = k;
        refs[k] = find(pool, names[k]);
        if (refs[k] == 0 || (name_cell(pool, refs[k])->flags & NAME_SEEN) != 0)
            return no_name(pool, k);
        int err = check_version(pool, refs[k], if_version);
        if (err != 0) {
            pool->fault.index = k;
            return err;
        }
        name_cell(pool, refs[k])->flags |= NAME_SEEN;
    }
    *ret_seen = count;
    return 0;
}

int pool_unname(struct pool *pool, const struct name_in *names, uint32_t count, uint64_t if_version)
{
    uint32_t *refs = (void *)pool->scratch.base, seen = 0;
    pool->heap.work += count;
    int err = check_unname(pool, names, count, if_version, refs, &seen);
    while (seen-- > 0)
        name_cell(pool, refs[seen])->flags &= (uint8_t)~NAME_SEEN;
    for (uint32_t k = 0; err == 0 && k < count; k++)
        unbind(pool, refs[k]);
    if (err != 0)
        return err;
    replay_trues(pool, count);
    pool_commit_as(pool, REASON_UNNAME);
    return 0;
}

/* ---- finding ---- */

static int lookup_all(struct pool *pool, struct session *s, const struct name_in *names, uint32_t count,
                      uint64_t *ret_ids, uint64_t *ret_versions)
{
    uint32_t k = 0;
    int err = 0;
    pool->heap.work += count;
    err = replay_reserve(pool, ret_versions == NULL ? count : 2 * count);
    if (err != 0)
        return err;
    for (; k < count; k++) {
        uint32_t ref = find(pool, names[k]);
        if (ref == 0) {
            err = no_name(pool, k);
            break;
        }
        const struct cell_name *cell = name_cell(pool, ref);
        uint64_t held;
        err = hold_add(pool, s, cell->object, 1, 0, &held);
        if (err != 0) {
            pool->fault.index = k;
            break;
        }
        ret_ids[k] = heap_id(&pool->heap, cell->object);
        if (ret_versions != NULL)
            ret_versions[k] = cell_name_version(cell);
    }
    while (err != 0 && k-- > 0)
        hold_drop(pool, s, id_index(ret_ids[k]), 1);
    if (err == 0)
        replay_words(pool, ret_ids, ret_versions, count);
    pool_commit(pool);
    return err;
}

int pool_lookup(struct pool *pool, struct session *s, const struct name_in *names, uint32_t count,
                uint64_t *ret_ids, uint64_t *ret_versions)
{
    int err = lookup_all(pool, s, names, count, ret_ids, ret_versions);
    if (err == -HF_E_OOM && pool_make_room(pool))
        err = lookup_all(pool, s, names, count, ret_ids, ret_versions);
    return err;
}

int pool_fetch(struct pool *pool, struct name_in name, struct value_view *ret, uint64_t *ret_id,
               uint64_t *ret_version)
{
    uint32_t ref = find(pool, name);
    if (ref == 0)
        return no_name(pool, 0);
    const struct cell_name *cell = name_cell(pool, ref);
    *ret_id = heap_id(&pool->heap, cell->object);
    *ret_version = cell_name_version(cell);
    return pool_get(pool, *ret_id, ret);
}

/* ---- store: a new object and its binding in one operation ---- */

static int store_once(struct pool *pool, struct name_in name, const struct put_spec *spec,
                      uint64_t if_version, uint64_t *ret_id, uint64_t *ret_version)
{
    uint32_t bound = find(pool, name), ref = bound, index = 0;
    int err = check_version(pool, bound, if_version);
    if (err == 0 && bound == 0)
        err = name_cell_make(pool, name, &ref);
    if (err != 0)
        return err;
    err = object_make(pool, NULL, spec, &index);
    if (err != 0) {
        struct fault fault = pool->fault;
        pool_commit(pool);
        if (bound == 0)
            cell_give(&pool->heap, ref);
        pool->fault = fault;
        return err;
    }
    *ret_version = pool_next_version(pool);
    if (bound == 0)
        bind_new(pool, name, ref, index, *ret_version);
    else
        bind_again(pool, ref, index, *ret_version);
    *ret_id = heap_id(&pool->heap, index);
    replay_pair(pool, REPLAY_PAIR, *ret_id, *ret_version);
    pool_commit_as(pool, REASON_REPLACED);
    object_made(pool, spec);
    return 0;
}

int pool_store(struct pool *pool, struct name_in name, const struct value_in *value, uint64_t if_version,
               const uint8_t *tag, uint32_t tag_size, uint64_t *ret_id, uint64_t *ret_version)
{
    struct put_spec spec = {.value = *value, .tag = tag, .tag_size = tag_size};
    int err = store_once(pool, name, &spec, if_version, ret_id, ret_version);
    if (err == -HF_E_OOM && pool_make_room(pool))
        err = store_once(pool, name, &spec, if_version, ret_id, ret_version);
    return err;
}

/* ---- listing: in order of place, which a binding never changes ---- */

#define NAMES_LOOK 4096u /* cells or runs looked at in one call */

/* The name cell at `ref` if there is one in use that starts with the prefix. */
static bool name_row(const struct pool *pool, uint32_t ref, struct name_in prefix, struct name_row *ret)
{
    const struct cell_name *cell = name_cell(pool, ref);
    if (ref == 0 || cell->object == 0 || cell->size < prefix.size)
        return false;
    if (prefix.size > 0 && memcmp(cell->bytes, prefix.data, prefix.size) != 0)
        return false;
    *ret = (struct name_row){
        .name = cell->bytes, .name_size = cell->size, .id = heap_id(&pool->heap, cell->object)};
    return true;
}

unsigned pool_names(struct pool *pool, uint64_t cursor, struct name_in prefix, struct name_row *rows,
                    unsigned max, uint64_t *ret_cursor)
{
    uint64_t end = (uint64_t)pool->heap.cells.arenas_top * ARENA_BYTES, at = cursor * CELL_UNIT;
    unsigned count = 0, looked = 0;
    for (; at < end && at / CELL_UNIT >= cursor && count < max && looked < NAMES_LOOK; looked++) {
        unsigned type = pool->heap.cells.types[at / CELL_RUN];
        uint32_t bytes = cell_bytes(type), in_run = (uint32_t)(at % CELL_RUN);
        if (!cell_is_name(type) || bytes == 0 || in_run + bytes > CELL_RUN) {
            at = (at / CELL_RUN + 1) * CELL_RUN;
            continue;
        }
        /* a cursor from a run that has another class by now: on to its next cell */
        at = at - in_run + (in_run + bytes - 1) / bytes * bytes;
        if (at % CELL_RUN + bytes > CELL_RUN)
            continue;
        if (name_row(pool, (uint32_t)(at / CELL_UNIT), prefix, &rows[count]))
            count++;
        at += bytes;
    }
    pool->heap.work += looked;
    *ret_cursor = at >= end || at / CELL_UNIT < cursor ? 0 : at / CELL_UNIT;
    return count;
}
