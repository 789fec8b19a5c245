/* SPDX-License-Identifier: BSD-3-Clause */
/* Objects: made, read, changed, sealed, linked. */
#include "daemon/pool/internal.h"

#include <string.h>

/* ---- finding ---- */

static int fail_unsealed(struct pool *pool, uint64_t id)
{
    return pool_fail_id(pool, HF_E_UNSEALED, id,
                        "the object is still being written; wait until its creator seals it");
}

struct hot *pool_fail_find(struct pool *pool, uint64_t id)
{
    (void)(heap_find(&pool->heap, id) == NULL ? pool_fail_gone(pool, id) : fail_unsealed(pool, id));
    return NULL;
}

void object_freed(void *owner, uint32_t index)
{
    struct pool *pool = owner;
    if (unlikely((pool->heap.hot[index].w0 & W0_WATCHED) != 0))
        notices_freed(pool, index);
    label_drop(pool, pool->heap.warm[index].label);
}

/* Of functions that are called with all of a put_spec, and with one that is known to have a value only: then little of
 * them is left. */
#define ALWAYS_INLINE __attribute__((always_inline)) static inline

/* ---- values on their way in ---- */

int pool_stage_begin(struct pool *pool, enum form form, uint64_t size, bool replaces, struct stage **ret)
{
    if (size > HF_OBJECT_MAX)
        return pool_fail(pool, HF_E_TOOBIG, "an object has at most 4294967287 bytes");
    struct stage *stage = mem_zalloc(&pool->mem, sizeof *stage);
    if (stage == NULL)
        return pool_fail_oom(pool, size);
    int err = value_alloc(&pool->heap, size, replaces, &stage->value);
    if (err != 0 && pool_make_room(pool))
        err = value_alloc(&pool->heap, size, replaces, &stage->value);
    if (err != 0) {
        mem_free(&pool->mem, stage, sizeof *stage);
        return pool_fail_oom(pool, size);
    }
    stage->form = form;
    stage->versioned = replaces;
    pool->stages++;
    *ret = stage;
    return 0;
}

/* Memory for a part of a huge value; what is being freed pays for it first. */
static int back(struct pool *pool, uint64_t value, bool versioned, uint64_t offset, uint64_t size)
{
    int err = value_back(&pool->heap, value, versioned, offset, size);
    if (unlikely(err != 0) && pool_make_room(pool))
        err = value_back(&pool->heap, value, versioned, offset, size);
    return err == 0 ? 0 : pool_fail_oom(pool, size);
}

int pool_stage_room(struct pool *pool, struct stage *stage, uint64_t offset, uint8_t **ret_at,
                    uint64_t *ret_size)
{
    uint64_t size = value_size(stage->value) - offset;
    if (size > POOL_COPY_MAX)
        size = POOL_COPY_MAX;
    int err = back(pool, stage->value, stage->versioned, offset, size);
    if (err != 0)
        return err;
    *ret_at = value_at(&pool->heap, stage->value, stage->versioned) + offset;
    *ret_size = size;
    return 0;
}

int pool_stage_write(struct pool *pool, struct stage *stage, uint64_t offset, const uint8_t *data,
                     uint64_t size)
{
    assert(size <= POOL_COPY_MAX && offset + size <= value_size(stage->value));
    int err = back(pool, stage->value, stage->versioned, offset, size);
    if (err != 0)
        return err;
    memcpy(value_at(&pool->heap, stage->value, stage->versioned) + offset, data, size);
    return 0;
}

static void stage_end(struct pool *pool, struct stage *stage)
{
    mem_free(&pool->mem, stage, sizeof *stage);
    pool->stages--;
}

void pool_stage_drop(struct pool *pool, struct stage *stage)
{
    if (stage == NULL)
        return;
    value_free(&pool->heap, stage->value, stage->versioned);
    stage_end(pool, stage);
}

void object_made(struct pool *pool, const struct put_spec *spec)
{
    if (spec->value.stage != NULL)
        stage_end(pool, spec->value.stage);
}

/* The value of an entry under construction: its word and the bits of w0 that go with it. */
struct payload {
    uint64_t value, w0;
    bool staged;
};

static uint64_t form_bits(enum form form)
{
    return (uint64_t)form << W0_FORM_SHIFT;
}

static int payload_open(struct pool *pool, const struct value_in *in, struct payload *ret)
{
    *ret = (struct payload){.w0 = form_bits(in->form) | W0_OPEN};
    if (in->size > HF_OBJECT_MAX)
        return pool_fail(pool, HF_E_TOOBIG, "an object has at most 4294967287 bytes");
    if (value_alloc(&pool->heap, in->size, false, &ret->value) != 0)
        return pool_fail_oom(pool, in->size);
    /* huge ones are backed as they are written, by pages that read as zeros */
    if (!blocks_is_huge(payload_pages(in->size)) && in->size > 0)
        memset(value_at(&pool->heap, ret->value, false), 0, in->size);
    return 0;
}

/* version 0: a new object, whose version is 1 and kept nowhere. */
ALWAYS_INLINE int payload_make(struct pool *pool, const struct value_in *in, uint64_t version,
                               struct payload *ret)
{
    bool versioned = version != 0;
    *ret = (struct payload){.w0 = form_bits(in->form)};
    if (in->stage == NULL && in->size <= 4 && !versioned) {
        uint32_t bytes = 0;
        if (in->size > 0)
            memcpy(&bytes, in->data, in->size);
        ret->value = in->size << 32 | bytes;
        ret->w0 |= W0_INLINE;
        return 0;
    }
    if (in->stage != NULL) {
        ret->value = in->stage->value;
        ret->staged = true;
        if (versioned && !in->stage->versioned)
            return pool_fail(pool, HF_E_INTERNAL,
                             "a staged value without room for its version; please report it");
        versioned = in->stage->versioned;
    } else {
        uint64_t value; /* so that the rest of *ret needs no memory */
        if (value_alloc(&pool->heap, in->size, versioned, &value) != 0)
            return pool_fail_oom(pool, in->size);
        ret->value = value;
        if (value_back(&pool->heap, ret->value, versioned, 0, in->size) != 0) {
            value_free(&pool->heap, ret->value, versioned);
            return pool_fail_oom(pool, in->size);
        }
        if (in->size > 0)
            bits_copy(value_at(&pool->heap, ret->value, versioned), in->data, in->size);
        region_stored(&pool->heap.values);
    }
    if (versioned) {
        uint64_t kept = version == 0 ? 1 : version;
        uint64_t size = value_size(ret->value);
        if (value_back(&pool->heap, ret->value, true, size, 8) != 0) {
            if (!ret->staged)
                value_free(&pool->heap, ret->value, true);
            return pool_fail_oom(pool, 8);
        }
        memcpy(value_at(&pool->heap, ret->value, true) + size, &kept, 8);
        ret->w0 |= W0_VERSIONED;
    }
    return 0;
}

static void payload_drop(struct pool *pool, const struct payload *payload)
{
    if (!payload->staged && (payload->w0 & W0_INLINE) == 0)
        value_free(&pool->heap, payload->value, (payload->w0 & W0_VERSIONED) != 0);
}

/* ---- making ---- */

/* Fills the entry `index`, which nobody can reach yet; *ret_w0 is the word that will give birth to it.
 * `targets` are SLOT_... On failure all that was prepared is given back, but for `label`, which stays the
 * caller's. */
ALWAYS_INLINE int object_fill(struct pool *pool, struct session *s, uint32_t index,
                              const struct put_spec *spec, const uint32_t *targets, uint16_t label,
                              uint64_t *ret_w0)
{
    struct heap *heap = &pool->heap;
    struct hot *hot = &heap->hot[index];
    struct payload payload;
    uint64_t ns;
    int err = spec->open ? payload_open(pool, &spec->value, &payload)
                         : payload_make(pool, &spec->value, 0, &payload);
    if (err != 0)
        return err;
    if (slots_prepare(heap, index, targets, spec->refs_count, &ns) != 0) {
        payload_drop(pool, &payload);
        return pool_fail_oom(pool, spec->refs_count * 4ull);
    }
    struct warm *warm = &heap->warm[index];
    warm->created = pool_stamp(pool);
    warm->label = label;
    warm->since = 0;
    hot->value = payload.value;
    hot->holder = s == NULL ? 0 : 1ull << 32 | s->ref;
    hot->in = hot->link = 0;
    region_stored(&heap->meta);
    *ret_w0 = w0_gen(hot->w0) | W0_ALIVE | payload.w0 | ns | (spec->seal && !spec->open ? W0_SEALED : 0) |
              (label != 0 ? W0_LABELLED : 0);
    return 0;
}

/* Takes a filled entry apart again. */
static void object_unfill(struct pool *pool, uint32_t index, uint64_t w0, bool staged)
{
    struct heap *heap = &pool->heap;
    struct hot *hot = &heap->hot[index];
    uint64_t gen = w0_gen(hot->w0);
    if (!staged && (w0 & W0_INLINE) == 0)
        value_free(heap, hot->value, (w0 & W0_VERSIONED) != 0);
    hot->w0 = gen | (w0 & W0_NS); /* still FREE; the list is found by its number of slots */
    slots_unmake(heap, index);
    while (hot->link > 0)
        (void)slots_pop(heap, index);
    slots_free(heap, index);
    hot->w0 = gen;
}

/* Births and counts; after this nothing can fail. The session's vector has room. */
ALWAYS_INLINE void object_birth(struct pool *pool, struct session *s, uint32_t index, uint64_t w0)
{
    struct heap *heap = &pool->heap;
    struct hot *hot = &heap->hot[index];
    image_store(heap, &hot->w0, w0);
    heap->alive++;
    heap->made++;
    if (unlikely((w0 & W0_OPEN) != 0))
        heap->open++;
    heap->value_bytes += value_size(hot->value);
    gc_born(&pool->gc, index);
    if (s == NULL)
        return;
    hot->link = u32vec_push(&s->holds, index);
    s->held_bytes += value_size(hot->value);
    s->references++;
    pool->holds++;
}

/* What was counted before an object's slots may be counted again only while it is alive: after the birth. */
static void object_count_slots(struct pool *pool, uint32_t index, const uint32_t *targets, uint32_t count)
{
    for (uint32_t k = 0; k < count; k++)
        if (targets[k] != 0) {
            in_add(&pool->heap, index, k, targets[k]);
            gc_linked(&pool->gc, index, targets[k] & SLOT_TARGET);
        }
}

/* The items of a put_many, which may name each other. */
struct items {
    const struct put_spec *specs;
    const uint32_t *index; /* of their entries */
    uint32_t count;
    uint32_t at; /* the one whose refs are resolved */
};

/* The slot that names an item: items are born in their order. */
static uint32_t slot_of_item(const struct items *items, uint64_t item)
{
    return items->index[item] | (item >= items->at ? SLOT_LINKED : 0);
}

/* Checks refs and turns them into slots (SLOT_...). */
static int resolve_refs(struct pool *pool, const struct put_spec *spec, const struct items *items,
                        uint32_t *targets)
{
    pool->heap.work += spec->refs_count;
    for (uint32_t k = 0; k < spec->refs_count; k++)
        if (spec->refs[k] != 0 && id_index(spec->refs[k]) < pool->heap.sb->index_top)
            bits_prefetch(&pool->heap.hot[id_index(spec->refs[k])]);
    for (uint32_t k = 0; k < spec->refs_count; k++) {
        uint64_t ref = spec->refs[k];
        uint64_t item = UINT64_MAX - ref;
        if (ref == 0 || item < items->count) {
            /* whatever keeps an open object but its creator would leave it open for ever */
            if (ref != 0 && items->specs[item].open)
                return fail_unsealed(pool, 0);
            targets[k] = ref == 0 ? 0 : slot_of_item(items, item);
            continue;
        }
        const struct hot *hot = pool_find(pool, ref);
        if (hot == NULL) {
            pool->fault.index = k;
            return -pool->fault.code;
        }
        if (hot->in > UINT32_MAX - 2 * HF_REFS_MAX)
            return pool_fail_id(pool, HF_E_LIMIT, ref, "too many slots point at this object");
        targets[k] = id_index(ref);
    }
    return 0;
}

ALWAYS_INLINE int make(struct pool *pool, struct session *s, const struct put_spec *spec, uint32_t *ret_index)
{
    uint32_t *targets = (void *)pool->scratch.base;
    uint64_t w0 = 0;
    uint16_t label = 0;
    if (spec->refs_count > HF_REFS_MAX)
        return pool_fail(pool, HF_E_LIMIT, "at most 8192 refs in one call; append further slots with link");
    int err = spec->refs_count == 0 ? 0 : resolve_refs(pool, spec, &(struct items){0}, targets);
    if (err != 0)
        return err;
    if (s != NULL && !u32vec_prepare(&s->holds, &pool->mem, 1))
        return pool_fail_oom(pool, U32VEC_CHUNK * 4);
    uint32_t index = index_take(&pool->heap);
    if (index == 0)
        return pool_fail_oom(pool, ARENA_BYTES);
    if (spec->tag_size != 0 || spec->site_size != 0)
        err = label_take(pool, spec->tag, spec->tag_size, spec->site, spec->site_size, &label);
    if (err == 0)
        err = object_fill(pool, s, index, spec, targets, label, &w0);
    if (err != 0) {
        pool_after_label(pool, label);
        index_give(&pool->heap, index);
        return err;
    }
    object_birth(pool, s, index, w0);
    if (spec->refs_count != 0)
        object_count_slots(pool, index, targets, spec->refs_count);
    *ret_index = index;
    return 0;
}

int object_make(struct pool *pool, struct session *s, const struct put_spec *spec, uint32_t *ret_index)
{
    return make(pool, s, spec, ret_index);
}

static int put_once(struct pool *pool, struct session *s, const struct put_spec *spec, uint64_t *ret_id)
{
    uint32_t index = 0;
    int err = make(pool, s, spec, &index);
    if (likely(err == 0))
        replay_uint(pool, *ret_id = heap_id(&pool->heap, index));
    pool_commit(pool);
    if (err == 0)
        object_made(pool, spec);
    return err;
}

int pool_put(struct pool *pool, struct session *s, const struct put_spec *spec, uint64_t *ret_id)
{
    int err = put_once(pool, s, spec, ret_id);
    if (unlikely(err == -HF_E_OOM) && pool_make_room(pool))
        err = put_once(pool, s, spec, ret_id);
    return err;
}

/* Out of line, so that the compiler sees all that is done with the other one's put_spec. */
static __attribute__((noinline)) int put_value_again(struct pool *pool, struct session *s,
                                                     struct value_in value, uint64_t *ret_id)
{
    const struct put_spec spec = {.value = value};
    return put_once(pool, s, &spec, ret_id);
}

/* Without label and slots there is nothing to be given back, and nothing that dies. */
int pool_put_value(struct pool *pool, struct session *s, const struct value_in *value, uint64_t *ret_id)
{
    const struct put_spec spec = {.value = {.form = value->form, .data = value->data, .size = value->size}};
    uint32_t index = 0;
    int err = make(pool, s, &spec, &index);
    if (unlikely(err != 0)) {
        image_commit(&pool->heap);
        return err == -HF_E_OOM && pool_make_room(pool) ? put_value_again(pool, s, *value, ret_id) : err;
    }
    replay_uint(pool, *ret_id = heap_id(&pool->heap, index));
    image_commit(&pool->heap);
    pool_settle(pool);
    return 0;
}

/* ---- put_many: all indexes first, because items name each other; then all births, then one commit ---- */

struct batch {
    uint32_t *targets; /* of all items, one after the other */
    uint32_t *index;
    uint64_t *w0;
    uint16_t label[HF_IDS_MAX];
    uint32_t taken, filled;
};

static int batch_build(struct pool *pool, struct session *s, const struct put_spec *specs, uint32_t count,
                       struct batch *batch)
{
    struct items items = {.specs = specs, .index = batch->index, .count = count};
    uint32_t at = 0;
    for (; batch->taken < count; batch->taken++) {
        batch->index[batch->taken] = index_take(&pool->heap);
        if (batch->index[batch->taken] == 0)
            return pool_fail_oom(pool, ARENA_BYTES);
    }
    for (uint32_t k = 0; k < count; k++) {
        const struct put_spec *spec = &specs[k];
        items.at = k;
        int err = resolve_refs(pool, spec, &items, batch->targets + at);
        if (err == 0)
            err = label_take(pool, spec->tag, spec->tag_size, spec->site, spec->site_size, &batch->label[k]);
        if (err == 0) {
            err = object_fill(pool, s, batch->index[k], spec, batch->targets + at, batch->label[k],
                              &batch->w0[k]);
            if (err != 0)
                pool_after_label(pool, batch->label[k]);
        }
        if (err != 0) {
            pool->fault.index = k;
            return err;
        }
        batch->filled++;
        at += spec->refs_count;
    }
    return 0;
}

static int put_many_once(struct pool *pool, struct session *s, const struct put_spec *specs, uint32_t count,
                         uint64_t *ret_ids)
{
    struct batch batch = {.targets = (void *)pool->scratch.base};
    batch.w0 = (uint64_t *)(void *)pool->scratch.base + HF_REFS_MAX;
    batch.index = (uint32_t *)(void *)(batch.w0 + HF_IDS_MAX);
    int err = replay_reserve(pool, count);
    if (err == 0)
        err = batch_build(pool, s, specs, count, &batch);
    if (err != 0) {
        struct fault fault = pool->fault;
        for (uint32_t k = 0; k < batch.filled; k++) {
            object_unfill(pool, batch.index[k], batch.w0[k], specs[k].value.stage != NULL);
            pool_after_label(pool, batch.label[k]);
        }
        for (uint32_t k = 0; k < batch.taken; k++)
            index_give(&pool->heap, batch.index[k]);
        pool_commit(pool);
        pool->fault = fault;
        return err;
    }
    for (uint32_t k = 0; k < count; k++)
        object_birth(pool, s, batch.index[k], batch.w0[k]);
    for (uint32_t k = 0, at = 0; k < count; at += specs[k++].refs_count)
        object_count_slots(pool, batch.index[k], batch.targets + at, specs[k].refs_count);
    for (uint32_t k = 0; k < count; k++)
        ret_ids[k] = heap_id(&pool->heap, batch.index[k]);
    replay_words(pool, ret_ids, NULL, count);
    pool_commit(pool);
    for (uint32_t k = 0; k < count; k++)
        object_made(pool, &specs[k]);
    return 0;
}

int pool_put_many(struct pool *pool, struct session *s, const struct put_spec *specs, uint32_t count,
                  uint64_t *ret_ids)
{
    uint64_t refs = 0;
    for (uint32_t k = 0; k < count; k++)
        refs += specs[k].refs_count;
    pool->heap.work += count;
    if (refs > HF_REFS_MAX)
        return pool_fail(pool, HF_E_LIMIT, "at most 8192 refs in one call; append further slots with link");
    if (!u32vec_prepare(&s->holds, &pool->mem, count))
        return pool_fail_oom(pool, U32VEC_CHUNK * 4);
    int err = put_many_once(pool, s, specs, count, ret_ids);
    if (err == -HF_E_OOM && pool_make_room(pool))
        err = put_many_once(pool, s, specs, count, ret_ids);
    return err;
}

/* ---- reading ---- */

int pool_get(struct pool *pool, uint64_t id, struct value_view *ret)
{
    const struct hot *hot = pool_find(pool, id);
    pool->heap.work++;
    if (hot == NULL)
        return -pool->fault.code;
    *ret = (struct value_view){.form = w0_form(hot->w0),
                               .data = value_data(&pool->heap, hot),
                               .size = value_size(hot->value),
                               .version = value_version(&pool->heap, hot)};
    return 0;
}

int pool_pin(struct pool *pool, uint64_t id, uint64_t *ret_pin)
{
    const struct hot *hot = pool_find(pool, id);
    if (hot == NULL)
        return -pool->fault.code;
    if ((hot->w0 & W0_INLINE) != 0 || value_size(hot->value) == 0)
        return pool_fail_id(pool, HF_E_BADARG, id, "an inline value has no block to pin; copy it");
    return value_pin(&pool->heap, hot, ret_pin) == 0 ? 0 : pool_fail_oom(pool, sizeof(struct pin));
}

void pool_unpin(struct pool *pool, uint64_t pin)
{
    value_unpin(&pool->heap, pin);
}

int pool_refs(struct pool *pool, uint64_t id, uint32_t offset, uint64_t *ret_ids, uint32_t max,
              uint32_t *ret_count, uint32_t *ret_total)
{
    if (pool_find(pool, id) == NULL)
        return -pool->fault.code;
    uint32_t index = id_index(id), total = slots_count(&pool->heap, index), count = 0;
    for (uint32_t slot = offset; slot < total && count < max; slot++) {
        uint32_t target = slots_get(&pool->heap, index, slot);
        ret_ids[count++] = target == 0 ? 0 : heap_id(&pool->heap, target);
    }
    pool->heap.work += count;
    *ret_count = count;
    *ret_total = total;
    return 0;
}

/* ---- changing ---- */

/* The entry of an object whose value and slots may change; NULL: the fault is set. */
static struct hot *find_mutable(struct pool *pool, uint64_t id)
{
    struct hot *hot = pool_find(pool, id);
    if (hot != NULL && (hot->w0 & W0_SEALED) != 0) {
        (void)pool_fail_id(pool, HF_E_SEALED, id, "the object is sealed and cannot change; put a new one");
        return NULL;
    }
    return hot;
}

static void held_bytes_changed(struct pool *pool, const struct hot *hot, uint64_t before, uint64_t now)
{
    pool->heap.value_bytes += now - before;
    if (hot->holder >> 32 != 0)
        session_of_ref(pool, (uint32_t)hot->holder)->held_bytes += now - before;
}

static int set_once(struct pool *pool, struct hot *hot, const struct value_in *value, uint64_t *ret_version)
{
    struct heap *heap = &pool->heap;
    struct payload payload;
    uint64_t old_value = hot->value, old_w0 = hot->w0, version = heap->sb->next_version;
    int err = payload_make(pool, value, version, &payload);
    if (err != 0)
        return err;
    (void)pool_next_version(pool);
    image_store(heap, &hot->value, payload.value);
    image_store(heap, &hot->w0, (hot->w0 & ~(W0_FORM | W0_VERSIONED | W0_INLINE)) | payload.w0);
    replay_uint(pool, version);
    pool_commit(pool);
    if ((old_w0 & W0_INLINE) == 0)
        value_free(heap, old_value, (old_w0 & W0_VERSIONED) != 0);
    held_bytes_changed(pool, hot, value_size(old_value), value_size(payload.value));
    *ret_version = version;
    return 0;
}

int pool_set(struct pool *pool, uint64_t id, const struct value_in *value, uint64_t if_version,
             uint64_t *ret_version)
{
    struct hot *hot = find_mutable(pool, id);
    if (hot == NULL)
        return -pool->fault.code;
    if (if_version != 0 && if_version != value_version(&pool->heap, hot))
        return pool_fail_id(pool, HF_E_CONFLICT, id,
                            "the version is another one by now; read again, then decide");
    int err = set_once(pool, hot, value, ret_version);
    if (err == -HF_E_OOM && pool_make_room(pool)) {
        hot = find_mutable(pool, id); /* making room may have let it die */
        err = hot == NULL ? -pool->fault.code : set_once(pool, hot, value, ret_version);
    }
    if (err == 0 && value->stage != NULL)
        stage_end(pool, value->stage);
    return err;
}

/* The entry of an open object of this session, for write and seal; NULL: the fault is set. */
static struct hot *find_open(struct pool *pool, const struct session *s, uint64_t id)
{
    struct hot *hot = heap_find(&pool->heap, id);
    if (hot == NULL) {
        (void)pool_fail_gone(pool, id);
        return NULL;
    }
    if ((hot->w0 & W0_OPEN) == 0) {
        (void)pool_fail_id(pool, HF_E_SEALED, id,
                           "only an object made by put with size, and not sealed yet, is written");
        return NULL;
    }
    if ((uint32_t)hot->holder != s->ref) {
        (void)pool_fail_id(pool, HF_E_UNSEALED, id,
                           "only the session that made an open object may write or seal it");
        return NULL;
    }
    return hot;
}

int pool_write(struct pool *pool, struct session *s, uint64_t id, uint64_t offset, const uint8_t *data,
               uint32_t size, uint64_t total)
{
    struct hot *hot = find_open(pool, s, id);
    if (hot == NULL)
        return -pool->fault.code;
    uint64_t room = value_size(hot->value);
    if (offset > room || total > room - offset || size > total)
        return pool_fail_id(pool, HF_E_BADARG, id,
                            "the bytes do not fit the size that the object was put with");
    if (size == 0)
        return 0;
    int err = back(pool, hot->value, false, offset, size);
    if (err != 0)
        return err;
    /* in place: nobody may read an open object, and the client writes again what a crash cut short */
    uint64_t place = value_offset(room, hot->value) + offset;
    region_touch(&pool->heap.values, place, size);
    memcpy(value_at(&pool->heap, hot->value, false) + offset, data, size);
    region_stored(&pool->heap.values);
    return 0;
}

#define SEAL_PIECES 2u

int pool_seal(struct pool *pool, struct session *s, uint64_t id)
{
    struct hot *hot = heap_find(&pool->heap, id);
    if (hot == NULL)
        return pool_fail_gone(pool, id);
    if ((hot->w0 & W0_SEALED) != 0)
        return 0;
    uint64_t clear = 0, at;
    if ((hot->w0 & W0_OPEN) != 0) {
        if (find_open(pool, s, id) == NULL)
            return -pool->fault.code;
        unsigned pieces = 0;
        while (!value_backed(&pool->heap, hot->value, false, &at)) {
            if (pieces++ == SEAL_PIECES)
                return POOL_AGAIN;
            int err = back(pool, hot->value, false, at, 1);
            if (err != 0)
                return err;
        }
        clear = W0_OPEN;
        pool->heap.open--;
    }
    image_store(&pool->heap, &hot->w0, (hot->w0 & ~clear) | W0_SEALED);
    replay_true(pool);
    pool_commit(pool);
    return 0;
}

/* target: an index, 0: nil; previous: what stands in that slot (SLOT_...). */
static int link_once(struct pool *pool, uint32_t index, uint32_t slot, uint32_t target, uint32_t previous)
{
    struct slots_old old;
    uint32_t edge = target == 0 ? 0 : target | SLOT_LINKED;
    if (slots_store(&pool->heap, index, slot, edge, &old) != 0)
        return pool_fail_oom(pool, ARENA_BYTES);
    in_replace(&pool->heap, index, slot, previous, edge);
    if (edge != 0)
        gc_linked(&pool->gc, index, target);
    if (previous != 0) {
        pool_after_drop(pool, previous & SLOT_TARGET);
        replay_uint(pool, heap_id(&pool->heap, previous & SLOT_TARGET));
    } else {
        if (edge != 0 && slot == 0 && w0_ns(pool->heap.hot[index].w0) == 1)
            gc_first_slot(&pool->gc, index);
        replay_pair(pool, REPLAY_NIL, 0, 0);
    }
    pool_commit_as(pool, REASON_UNLINK);
    slots_old_free(&pool->heap, &old);
    return 0;
}

int pool_link(struct pool *pool, uint64_t id, uint64_t slot, uint64_t target, uint64_t *ret_previous)
{
    const struct hot *hot = find_mutable(pool, id);
    if (hot == NULL)
        return -pool->fault.code;
    const struct hot *to = target == 0 ? NULL : pool_find(pool, target);
    if (target != 0 && to == NULL)
        return -pool->fault.code;
    uint32_t index = id_index(id), count = slots_count(&pool->heap, index);
    if (slot > count)
        return pool_fail_id(pool, HF_E_BADARG, id,
                            "the slot is beyond the number of slots; that number itself appends");
    if (slot == HF_SLOTS_MAX || (to != NULL && to->in > UINT32_MAX - 2 * HF_REFS_MAX))
        return pool_fail_id(pool, HF_E_LIMIT, id, "an object has at most 16777216 slots");
    uint32_t previous = slot < count ? slots_edge(&pool->heap, index, (uint32_t)slot) : 0;
    *ret_previous = previous == 0 ? 0 : heap_id(&pool->heap, previous & SLOT_TARGET);
    int err = link_once(pool, index, (uint32_t)slot, id_index(target), previous);
    if (err == -HF_E_OOM && pool_make_room(pool) && heap_find(&pool->heap, id) != NULL &&
        (target == 0 || heap_find(&pool->heap, target) != NULL))
        err = link_once(pool, index, (uint32_t)slot, id_index(target), previous);
    return err;
}
