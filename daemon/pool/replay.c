/* SPDX-License-Identifier: BSD-3-Clause */
#include "daemon/pool/internal.h"

#include <string.h>

static_assert(HF_REPLAY_WINDOW == REPLAY_SLOTS,
              "fewer than HF_REPLAY_WINDOW unanswered: as many as are valid");

static struct cell_window *window_of(const struct pool *pool, const struct session *s)
{
    return cell_at(&pool->heap, s->window);
}

bool session_replays(const struct session *s)
{
    return s->window != 0;
}

/* ---- windows come and go with their sessions ---- */

uint32_t window_make(struct pool *pool)
{
    uint32_t ref = cell_take(&pool->heap, CELL_WINDOW);
    struct cell_window *window;
    if (ref == 0)
        return 0;
    window = cell_at(&pool->heap, ref);
    memset(window->record, 0, sizeof window->record);
    window->head = 0;
    image_prepare(&pool->heap, (uint64_t *)(void *)window, 0);
    return ref;
}

void window_born(struct pool *pool, const struct session *s)
{
    image_store(&pool->heap, (uint64_t *)(void *)window_of(pool, s), 1ull << 32 | s->ref);
}

void window_drop(struct pool *pool, struct session *s)
{
    struct cell_window *window = window_of(pool, s);
    image_set(&pool->heap, (uint64_t *)(void *)window, 0);
    pool->heap.work += window_clear(&pool->heap, window);
    cell_give(&pool->heap, s->window);
    s->window = 0;
}

/* ---- recording ---- */

void pool_replay_begin(struct pool *pool, struct session *s, uint32_t msgid, uint64_t hash)
{
    struct cell_window *window = window_of(pool, s);
    pool->replay =
        (struct replay_record_next){.window = window, .in_force = window, .msgid = msgid, .hash = hash};
}

void pool_replay_shape(struct pool *pool, unsigned shape)
{
    pool->replay.shape = (uint8_t)shape;
}

bool pool_replay_open(const struct pool *pool)
{
    return pool->replay.in_force != NULL;
}

int replay_room(struct pool *pool, uint32_t words)
{
    struct replay_record_next *next = &pool->replay;
    if (words <= 2 || next->block_bytes != 0)
        return 0;
    if (record_block_alloc(&pool->heap, words * 8, &next->block) != 0)
        return pool_fail_oom(pool, words * 8ull);
    next->block_bytes = words * 8;
    return 0;
}

int replay_room_for(struct pool *pool, const uint64_t *words, uint32_t count)
{
    struct replay_record_next *next = &pool->replay;
    next->runs = count > 2 && runs_pack(words, count, next->packed);
    return next->runs ? 0 : replay_room(pool, count);
}

void replay_put(struct pool *pool, enum replay_kind kind, uint32_t count, uint64_t first, uint64_t second)
{
    struct replay_record_next *next = &pool->replay;
    struct cell_window *window = next->in_force;
    *window_at(window, window->head) = (struct replay_record){.msgid = next->msgid,
                                                              .kind = (uint8_t)kind,
                                                              .shape = next->shape,
                                                              .count = (uint16_t)count,
                                                              .hash = next->hash,
                                                              .word = {first, second}};
    region_stored(&pool->heap.meta);
    image_store(&pool->heap, &window->head, window->head + 1);
    next->in_force = NULL;
}

void replay_put_words(struct pool *pool, const uint64_t *first, const uint64_t *second, uint32_t count)
{
    struct replay_record_next *next = &pool->replay;
    uint32_t step = second == NULL ? 1 : 2;
    uint64_t inside[2] = {0, 0}, *words = inside;
    bool outside = count * step > 2;
    if (next->runs) {
        replay_put(pool, REPLAY_RUNS, count, next->packed[0], next->packed[1]);
        return;
    }
    if (outside)
        words = record_block(&pool->heap, next->block);
    for (uint32_t k = 0; k < count; k++) {
        words[k * step] = first[k];
        if (second != NULL)
            words[k * step + 1] = second[k];
    }
    if (outside) {
        assert(next->block_bytes == count * step * 8);
        inside[0] = next->block;
        next->block_bytes = 0;
    }
    replay_put(pool, second == NULL ? REPLAY_UINTS : REPLAY_PAIRS, count, inside[0], inside[1]);
}

void pool_replay_note_error(struct pool *pool, int code)
{
    if (pool->replay.in_force == NULL)
        return;
    replay_put(pool, REPLAY_ERROR, (uint32_t)code, 0, 0);
    image_commit(&pool->heap);
}

void pool_replay_note(struct pool *pool, const uint8_t *bytes, uint32_t size)
{
    uint64_t word[2] = {0, 0};
    if (pool->replay.in_force == NULL)
        return;
    assert(size >= 1 && size <= sizeof word);
    memcpy(word, bytes, size);
    replay_put(pool, REPLAY_BYTES, size, word[0], word[1]);
    image_commit(&pool->heap);
}

/* The block of a record that is not valid any more goes back only now: the record that took its validity away is
 * committed. */
void pool_replay_end(struct pool *pool)
{
    struct replay_record_next *next = &pool->replay;
    struct replay_record *scratch = window_at(next->window, next->window->head);
    uint32_t bytes = record_block_bytes(scratch);
    if (unlikely(bytes != 0)) {
        record_block_free(&pool->heap, bytes, scratch->word[0]);
        scratch->kind = REPLAY_NONE;
    }
    if (unlikely(next->block_bytes != 0))
        record_block_free(&pool->heap, next->block_bytes, next->block);
    *next = (struct replay_record_next){0};
}

/* ---- finding ---- */

bool replay_next_run(const struct replay_answer *answer, struct replay_runs *runs)
{
    if (runs->done >= answer->count)
        return false;
    runs->length = runs_next(answer->words, &runs->at, &runs->number);
    runs->done += (uint32_t)runs->length;
    return runs->length > 0; /* always: recovery has looked at all of them */
}

static bool is_record(const struct replay_record *record, uint32_t msgid, uint64_t hash)
{
    return record->msgid == msgid &&
           (record->hash == hash || record->hash == REPLAY_ANY || hash == REPLAY_ANY);
}

/* What was sent again is the end of what was sent, in the old order: once one is found, the others follow it. */
bool pool_replay_find(struct pool *pool, const struct session *s, struct replay_match *match, uint32_t msgid,
                      uint64_t hash, struct replay_answer *ret)
{
    struct cell_window *window = window_of(pool, s);
    uint64_t first = window_first(window), end = window->head;
    if (match->next != 0 && match->next <= end)
        first = match->next - 1, end = match->next;
    else if (match->next != 0)
        return false;
    while (end > first && !is_record(window_at(window, end - 1), msgid, hash))
        end--;
    if (end == first)
        return false;
    const struct replay_record *record = window_at(window, end - 1);
    match->next = end + 1;
    *ret = (struct replay_answer){.kind = (enum replay_kind)record->kind,
                                  .shape = record->shape,
                                  .count = record->count,
                                  .words = record_words(&pool->heap, record)};
    return true;
}
