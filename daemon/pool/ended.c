/* SPDX-License-Identifier: BSD-3-Clause */
/* The last sessions that ended, and why: private memory, made when the first one ends. It is a help for people: without
 * memory for it, sessions end without being noted. */
#include "daemon/pool/internal.h"

#include <string.h>

void ended_note(struct pool *pool, const struct session *s, enum session_end how)
{
    struct ended *ended = &pool->ended;
    struct session_row row;
    if (s->anonymous && s->holds.count == 0)
        return;
    if (ended->rows == NULL)
        ended->rows = mem_alloc(&pool->mem, POOL_ENDED_MAX * sizeof *ended->rows);
    if (ended->rows == NULL)
        return;
    pool_session_row(pool, s, &row);
    struct ended_row *to = &ended->rows[ended->count++ % POOL_ENDED_MAX];
    *to = (struct ended_row){.row = row, .references = s->references, .ended_ms = pool->now_ms, .how = how};
    to->row.owner = NULL;
    if (row.name_size != 0)
        memcpy(to->name, row.name, row.name_size);
}

unsigned pool_ended(const struct pool *pool, struct ended_row *rows, unsigned max)
{
    const struct ended *ended = &pool->ended;
    unsigned count = 0;
    for (; count < max && count < POOL_ENDED_MAX && count < ended->count; count++) {
        rows[count] = ended->rows[(ended->count - 1 - count) % POOL_ENDED_MAX];
        rows[count].row.name = rows[count].name;
        rows[count].ended_ms = pool->now_ms - rows[count].ended_ms;
    }
    return count;
}

void ended_done(struct pool *pool)
{
    if (pool->ended.rows != NULL)
        mem_free(&pool->mem, pool->ended.rows, POOL_ENDED_MAX * sizeof *pool->ended.rows);
    pool->ended = (struct ended){.count = 0};
}
