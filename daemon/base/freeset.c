/* SPDX-License-Identifier: BSD-3-Clause */
#include "daemon/base/freeset.h"

#include <string.h>

static uint64_t *words(const struct freeset *set, unsigned level)
{
    return (void *)set->level[level].base;
}

bool freeset_init(struct freeset *set, uint64_t end)
{
    memset(set, 0, sizeof *set);
    uint64_t bits = end;
    do {
        uint64_t count = (bits + 63) / 64;
        if (set->levels == FREESET_LEVELS || !reserve_init(&set->level[set->levels], count * 8))
            return false;
        set->levels++;
        bits = count;
    } while (bits > 1);
    return true;
}

void freeset_done(struct freeset *set, struct mem *mem)
{
    for (unsigned k = 0; k < FREESET_LEVELS; k++)
        reserve_done(&set->level[k], mem);
    memset(set, 0, sizeof *set);
}

bool freeset_grow(struct freeset *set, struct mem *mem, uint64_t end)
{
    for (unsigned k = 0; k < set->levels; k++) {
        end = (end + 63) / 64;
        if (!reserve_grow(&set->level[k], mem, end * 8))
            return false;
    }
    return true;
}

void freeset_touch(struct freeset *set, uint32_t member)
{
    for (unsigned k = 0; k < set->levels; k++) {
        volatile uint64_t *word = words(set, k) + member / 64;
        /* cppcheck-suppress selfAssignment ; a read and a write are what it is for */
        *word = *word;
        member /= 64;
    }
}

/* A word of a level below became not empty. */
static void raise(struct freeset *set, uint32_t member, unsigned level)
{
    for (unsigned k = level; k < set->levels; k++) {
        uint64_t *word = words(set, k) + member / 64;
        uint64_t before = *word;
        *word = before | 1ull << (member % 64);
        if (before != 0)
            return;
        member /= 64;
    }
}

/* A word of a level below became empty. */
static void lower(struct freeset *set, uint32_t member, unsigned level)
{
    for (unsigned k = level; k < set->levels; k++) {
        uint64_t *word = words(set, k) + member / 64;
        *word &= ~(1ull << (member % 64));
        if (*word != 0)
            return;
        member /= 64;
    }
}

void freeset_raise(struct freeset *set, uint32_t member)
{
    raise(set, member / 64, 1);
}

void freeset_add_all(struct freeset *set, uint32_t first, uint64_t members)
{
    uint64_t *word = words(set, 0) + first / 64, before = *word;
    *word = before | members;
    set->count += bits_count(members);
    if (before == 0 && members != 0)
        raise(set, first / 64, 1);
}

void freeset_remove(struct freeset *set, uint32_t member)
{
    set->count--;
    lower(set, member, 0);
}

void freeset_move(struct freeset *to, struct freeset *from, uint32_t first)
{
    uint64_t *target = words(to, 0) + first / 64, *source = words(from, 0) + first / 64, word = *source;
    if (word == 0)
        return;
    bool was_empty = *target == 0;
    *target |= word;
    *source = 0;
    to->count += bits_count(word);
    from->count -= bits_count(word);
    if (was_empty)
        raise(to, first / 64, 1);
    lower(from, first / 64, 1);
}

uint32_t freeset_lowest(const struct freeset *set)
{
    if (set->count == 0)
        return FREESET_NONE;
    uint32_t at = 0;
    for (unsigned k = set->levels; k-- > 0;)
        at = at * 64 + bits_lowest(words(set, k)[at]);
    return at;
}

uint32_t freeset_run(const struct freeset *set, uint32_t count, uint32_t end)
{
    const uint64_t *map = words(set, 0);
    uint32_t length = 0;
    for (uint32_t at = 0; at < end;) {
        if (at % 64 == 0 && map[at / 64] == 0) {
            length = 0;
            at += 64;
            continue;
        }
        length = freeset_has(set, at) ? length + 1 : 0;
        at++;
        if (length == count)
            return at - count;
    }
    return FREESET_NONE;
}
