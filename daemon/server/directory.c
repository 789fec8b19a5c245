/* SPDX-License-Identifier: BSD-3-Clause */
/* Which pools there are, and which worker has them.
 *
 * A place is reserved under its name before the pool is made, so that two who want the same name at once do not
 * both get it, and is ready once the pool can be worked in. A pool's number is in the upper half of its sessions'
 * sids and in their keys, so that both lead to the pool without asking anybody. */
#include "daemon/server/worker.h"

#include <string.h>

#define NUMBERS      (1u << PLACE_NUMBER_BITS)
#define ROWS_AT_ONCE 16u

int directory_open(struct directory *directory)
{
    return uv_mutex_init(&directory->lock);
}

void directory_close(struct server *server)
{
    struct directory *directory = &server->directory;
    mem_uncharge(&server->mem, directory->cap * sizeof *directory->rows);
    free(directory->rows);
    uv_mutex_destroy(&directory->lock);
}

/* ---- under the lock ---- */

static struct place_row *find_name(struct directory *directory, const uint8_t *name, size_t size)
{
    for (unsigned i = 0; i < directory->count; i++) {
        const char *own = directory->rows[i].name;
        if (memcmp(own, name, size) == 0 && own[size] == '\0')
            return &directory->rows[i];
    }
    return NULL;
}

static struct place_row *find_number(struct directory *directory, uint32_t number)
{
    for (unsigned i = 0; i < directory->count; i++) {
        if (directory->rows[i].number == number)
            return &directory->rows[i];
    }
    return NULL;
}

static bool grow(struct server *server)
{
    struct directory *directory = &server->directory;
    size_t more = ROWS_AT_ONCE * sizeof *directory->rows;
    if (directory->count < directory->cap)
        return true;
    if (!mem_charge(&server->mem, more))
        return false;
    struct place_row *rows = realloc(directory->rows, directory->cap * sizeof *rows + more);
    if (rows == NULL) {
        mem_uncharge(&server->mem, more);
        return false;
    }
    directory->rows = rows;
    directory->cap += ROWS_AT_ONCE;
    return true;
}

/* The worker with the fewest pools, the first of those; for `default` the first, where connections begin. */
static struct worker *choose(struct server *server, const char *name)
{
    unsigned counts[SERVER_WORKERS_MAX] = {0}, best = 0;
    if (strcmp(name, POOL_DEFAULT) == 0)
        return server->workers[0];
    for (unsigned i = 0; i < server->directory.count; i++)
        counts[server->directory.rows[i].worker->index]++;
    for (unsigned i = 1; i < server->workers_count; i++)
        best = counts[i] < counts[best] ? i : best;
    return server->workers[best];
}

/* One that no pool has; after a million pools they begin again. */
static uint32_t fresh_number(struct directory *directory)
{
    while (find_number(directory, directory->next_number) != NULL)
        directory->next_number = (directory->next_number + 1) % NUMBERS;
    uint32_t number = directory->next_number;
    directory->next_number = (number + 1) % NUMBERS;
    return number;
}

/* The number that is wanted, if no pool has it. */
static uint32_t take_number(struct directory *directory, uint32_t wanted)
{
    if (wanted >= NUMBERS || find_number(directory, wanted) != NULL)
        return fresh_number(directory);
    if (wanted >= directory->next_number) /* so that one that was dropped is not soon given again */
        directory->next_number = (wanted + 1) % NUMBERS;
    return wanted;
}

static int reserve(struct server *server, const char *name, uint32_t wanted, struct place *ret)
{
    struct directory *directory = &server->directory;
    if (find_name(directory, (const uint8_t *)name, strlen(name)) != NULL)
        return -HF_E_EXISTS;
    if (directory->count >= HF_POOLS_MAX)
        return -HF_E_LIMIT;
    if (!grow(server))
        return -HF_E_OOM;
    struct place_row *row = &directory->rows[directory->count];
    *row = (struct place_row){.worker = choose(server, name), .number = take_number(directory, wanted)};
    memcpy(row->name, name, strlen(name) + 1); /* a name fits: handlers have looked at its length */
    directory->count++;
    *ret = (struct place){.worker = row->worker, .number = row->number};
    return 0;
}

static void remove_row(struct directory *directory, struct place_row *row)
{
    size_t behind = directory->count - 1 - (size_t)(row - directory->rows);
    memmove(row, row + 1, behind * sizeof *row);
    directory->count--;
}

/* ---- from any thread ---- */

int directory_reserve(struct server *server, const char *name, struct place *ret)
{
    return directory_reserve_number(server, name, UINT32_MAX, ret);
}

int directory_reserve_number(struct server *server, const char *name, uint32_t wanted, struct place *ret)
{
    uv_mutex_lock(&server->directory.lock);
    int r = reserve(server, name, wanted, ret);
    uv_mutex_unlock(&server->directory.lock);
    return r;
}

void directory_ready(struct server *server, uint32_t number)
{
    uv_mutex_lock(&server->directory.lock);
    find_number(&server->directory, number)->ready = true;
    uv_mutex_unlock(&server->directory.lock);
}

void directory_remove(struct server *server, uint32_t number)
{
    struct directory *directory = &server->directory;
    uv_mutex_lock(&directory->lock);
    remove_row(directory, find_number(directory, number));
    uv_mutex_unlock(&directory->lock);
}

static bool place_of(const struct place_row *row, struct place *ret)
{
    if (row == NULL || !row->ready)
        return false;
    *ret = (struct place){.worker = row->worker, .number = row->number};
    return true;
}

bool server_place(struct server *server, const uint8_t *name, uint32_t name_size, struct place *ret)
{
    if (name_size > HF_POOL_NAME_MAX)
        return false;
    uv_mutex_lock(&server->directory.lock);
    bool found = place_of(find_name(&server->directory, name, name_size), ret);
    uv_mutex_unlock(&server->directory.lock);
    return found;
}

bool server_place_numbered(struct server *server, uint64_t number, struct place *ret)
{
    if (number >= NUMBERS)
        return false;
    uv_mutex_lock(&server->directory.lock);
    bool found = place_of(find_number(&server->directory, (uint32_t)number), ret);
    uv_mutex_unlock(&server->directory.lock);
    return found;
}

static int fail_busy(struct call *call, const struct load *load)
{
    if (load == NULL)
        return 0;
    call->error_size = (uint32_t)loading_busy(load, call->error);
    return -HF_E_BUSY;
}

int server_busy(struct call *call, uint64_t number)
{
    return fail_busy(call, loading_numbered(call->server, number));
}

int server_busy_named(struct call *call, const uint8_t *name, uint32_t name_size)
{
    return fail_busy(call, loading_find(call->server, name, name_size));
}

void server_unreserve(struct call *call, uint32_t number)
{
    struct directory *directory = &call->server->directory;
    uv_mutex_lock(&directory->lock);
    struct place_row *row = find_number(directory, number);
    if (row != NULL && !row->ready)
        remove_row(directory, row);
    uv_mutex_unlock(&directory->lock);
}

int server_reserve(struct call *call, const uint8_t *name, uint32_t name_size, struct place *ret)
{
    char text[HF_POOL_NAME_MAX + 1];
    memcpy(text, name, name_size);
    text[name_size] = '\0';
    int r = directory_reserve(call->server, text, ret);
    if (r == -HF_E_EXISTS)
        return call_fail(call, HF_E_EXISTS, "there is a pool of that name", "pool=%s", text);
    if (r == -HF_E_LIMIT)
        return call_fail(call, HF_E_LIMIT, "too many pools; drop one", "max=%u", HF_POOLS_MAX);
    return r;
}
