/* SPDX-License-Identifier: BSD-3-Clause */
/* Labels: pairs of tag and site, each kept once and named by a 16-bit number in entries and holds. */
#include "daemon/pool/internal.h"

#include <string.h>

struct label_key {
    const uint8_t *tag, *site;
    uint32_t tag_size, site_size;
};

static struct label *labels(const struct pool *pool)
{
    return (void *)pool->labels.base;
}

const struct cell_label *label_get(const struct pool *pool, uint16_t label)
{
    return label == 0 || label >= pool->labels_top || labels(pool)[label].ref == 0
               ? NULL
               : cell_at(&pool->heap, labels(pool)[label].ref);
}

static uint64_t key_hash(const struct pool *pool, const struct label_key *key)
{
    struct name_in tag = {key->tag, key->tag_size}, site = {key->site, key->site_size};
    return bits_mix((tag.size == 0 ? 0 : name_hash(pool, tag)) + tag.size) ^
           (site.size == 0 ? 0 : name_hash(pool, site));
}

static struct label_key key_of(const struct cell_label *cell)
{
    return (struct label_key){cell->bytes, cell->bytes + cell->tag_size, cell->tag_size, cell->site_size};
}

static uint64_t label_hash(const void *owner, uint32_t label)
{
    struct label_key key = key_of(label_get(owner, (uint16_t)label));
    return key_hash(owner, &key);
}

static bool equal(const uint8_t *a, uint32_t a_size, const uint8_t *b, uint32_t b_size)
{
    return a_size == b_size && (a_size == 0 || memcmp(a, b, a_size) == 0);
}

static bool label_same(const void *owner, uint32_t label, const void *key)
{
    const struct label_key *wanted = key;
    struct label_key has = key_of(label_get(owner, (uint16_t)label));
    return equal(has.tag, has.tag_size, wanted->tag, wanted->tag_size) &&
           equal(has.site, has.site_size, wanted->site, wanted->site_size);
}

bool labels_init(struct pool *pool)
{
    pool->labels_top = 1;
    return reserve_init(&pool->labels, (HF_LABELS_MAX + 1ull) * sizeof(struct label)) &&
           freeset_init(&pool->label_numbers, HF_LABELS_MAX + 1ull) &&
           index_init(&pool->label_index, &pool->mem, HF_LABELS_MAX, pool, label_hash, label_same);
}

void labels_done(struct pool *pool)
{
    reserve_done(&pool->labels, &pool->mem);
    freeset_done(&pool->label_numbers, &pool->mem);
    index_done(&pool->label_index);
}

/* A free number; 0: no memory or none left (then the fault is set). */
static uint32_t take_number(struct pool *pool)
{
    uint32_t number = freeset_lowest(&pool->label_numbers);
    if (number != FREESET_NONE) {
        freeset_remove(&pool->label_numbers, number);
        return number;
    }
    if (pool->labels_top > HF_LABELS_MAX) {
        (void)pool_fail(pool, HF_E_LIMIT, "65535 different tags and sites are in use; use fewer of them");
        return 0;
    }
    if (!reserve_grow(&pool->labels, &pool->mem, (pool->labels_top + 1ull) * sizeof(struct label)) ||
        !freeset_grow(&pool->label_numbers, &pool->mem, pool->labels_top + 1ull)) {
        (void)pool_fail_oom(pool, sizeof(struct label));
        return 0;
    }
    return pool->labels_top++;
}

static int label_make(struct pool *pool, const struct label_key *key, uint16_t *ret)
{
    uint32_t number = take_number(pool);
    if (number == 0)
        return -pool->fault.code;
    uint32_t bytes = (uint32_t)sizeof(struct cell_label) + key->tag_size + key->site_size;
    uint32_t ref =
        index_prepare(&pool->label_index)
            ? cell_take(&pool->heap, bytes <= cell_bytes(CELL_LABEL) ? CELL_LABEL : CELL_LABEL_WIDE)
            : 0;
    if (ref == 0) {
        freeset_add(&pool->label_numbers, number);
        return pool_fail_oom(pool, ARENA_BYTES);
    }
    struct cell_label *cell = cell_at(&pool->heap, ref);
    if (key->tag_size != 0)
        memcpy(cell->bytes, key->tag, key->tag_size);
    if (key->site_size != 0)
        memcpy(cell->bytes + key->tag_size, key->site, key->site_size);
    struct cell_label head = {.number = number,
                              .used = 1,
                              .tag_size = (uint8_t)key->tag_size,
                              .site_size = (uint8_t)key->site_size};
    uint64_t word;
    memcpy(&word, &head, sizeof word);
    image_store(&pool->heap, (uint64_t *)(void *)cell, word);
    labels(pool)[number] = (struct label){.ref = ref, .uses = 1};
    index_insert(&pool->label_index, key_hash(pool, key), number);
    pool->labels_count++;
    *ret = (uint16_t)number;
    return 0;
}

int label_take(struct pool *pool, const uint8_t *tag, uint32_t tag_size, const uint8_t *site,
               uint32_t site_size, uint16_t *ret)
{
    struct label_key key = {tag, site, tag_size, site_size};
    *ret = 0;
    if (tag_size == 0 && site_size == 0)
        return 0;
    uint32_t number = index_find(&pool->label_index, key_hash(pool, &key), &key);
    if (number == 0)
        return label_make(pool, &key, ret);
    labels(pool)[number].uses++;
    *ret = (uint16_t)number;
    return 0;
}

void label_drop(struct pool *pool, uint16_t number)
{
    struct label *label = &labels(pool)[number];
    if (number == 0 || --label->uses > 0)
        return;
    index_remove(&pool->label_index, label_hash(pool, number), number);
    image_set(&pool->heap, cell_at(&pool->heap, label->ref), 0);
    cell_give(&pool->heap, label->ref);
    *label = (struct label){0};
    freeset_add(&pool->label_numbers, number);
    pool->labels_count--;
}

uint32_t label_tag(void *arg, uint32_t index, const uint8_t **ret_tag)
{
    const struct pool *pool = arg;
    const struct cell_label *label = label_get(pool, pool->heap.warm[index].label);
    *ret_tag = label == NULL ? NULL : label->bytes;
    return label == NULL ? 0 : label->tag_size;
}
