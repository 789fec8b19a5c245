/* SPDX-License-Identifier: BSD-3-Clause */
/* Saves of a pool's image, and pools made from them. */
#include "daemon/heap/load.h"
#include "daemon/pool/internal.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define STEP_PIECES 4u
/* What must be copied at once may take that part of the memory that a pool has left, within bounds. */
#define URGENT_SHARE 8u
#define URGENT_MOST  (512ull << 20)

/* ---- saving ---- */

/* The more a save may copy in memory, the less has a worker to wait for the disk. */
static uint64_t urgent_memory(struct pool *pool)
{
    uint64_t share = mem_left(pool->heap.mem) / URGENT_SHARE;
    if (share < SAVE_URGENT)
        return SAVE_URGENT;
    return share < URGENT_MOST ? share : URGENT_MOST;
}

/* The same part of what is left, but nothing of the last of it. */
static uint64_t new_memory(struct pool *pool)
{
    uint64_t share = mem_left(pool->heap.mem) / URGENT_SHARE;
    return share < URGENT_MOST ? share : URGENT_MOST;
}

int pool_save_begin(struct pool *pool, int fd, int fd_past, struct save **ret)
{
    const struct save_config config = {.fd = fd,
                                       .fd_past = fd_past,
                                       .memory = SAVE_MEMORY,
                                       .urgent_memory = urgent_memory(pool),
                                       .new_memory = new_memory(pool),
                                       .now_ms = pool->now_ms,
                                       .names = pool->names_count,
                                       .tickets = pool->tickets_count,
                                       .sessions = pool->sessions_open + pool->sessions_grace};
    if (pool->save != NULL)
        return pool_fail(pool, HF_E_BUSY, "a save of this pool is running; try again when it is done");
    if (save_begin(&pool->heap, &config, &pool->save) != 0)
        return pool_fail_oom(pool, SAVE_MEMORY_MIN);
    *ret = pool->save;
    return 0;
}

void pool_save_end(struct pool *pool)
{
    if (pool->save != NULL)
        save_end(pool->save);
    pool->save = NULL;
}

bool pool_save_has_work(const struct pool *pool)
{
    return pool->save != NULL && save_has_work(pool->save);
}

bool pool_save_step(struct pool *pool)
{
    unsigned copied = pool->save == NULL ? 0 : save_step(pool->save, STEP_PIECES);
    pool->heap.work += copied * POOL_UNITS_SAVE;
    return copied > 0;
}

/* ---- loading ---- */

static int code_of(enum load_result result)
{
    switch (result) {
    case LOAD_FINE: return 0;
    case LOAD_FULL: return -HF_E_OOM;
    case LOAD_ENDED: return -HF_E_DRAINING;
    default: return -HF_E_INTERNAL;
    }
}

/* What is in the file but zeros: of the 33 pages of a full buffer one is nothing else. */
uint64_t pool_saved_room(int fd)
{
    struct stat status;
    return fstat(fd, &status) == 0 ? (uint64_t)status.st_size / 33 * 32 : 0;
}

int pool_saved_name(int fd, char ret[HF_POOL_NAME_MAX + 1], char *error, size_t error_size)
{
    struct saved_header header;
    enum load_result result = load_header(fd, &header, error, error_size);
    if (result != LOAD_FINE)
        return code_of(result);
    const char *name = header.superblock.name;
    if (!pool_name_fits((const uint8_t *)name, (uint32_t)strlen(name))) {
        snprintf(error, error_size, "the name of the pool in it is none");
        return -HF_E_INTERNAL;
    }
    snprintf(ret, HF_POOL_NAME_MAX + 1, "%.*s", (int)HF_POOL_NAME_MAX, name);
    return 0;
}

/* Of recovery nothing is done yet. */
static bool tell_reading(void *data)
{
    const struct pool_config *config = data;
    return config->progress(config->progress_data, 0);
}

/* The two files, filled. */
static int fill(struct pool_config *config, int fd, char *error, size_t error_size)
{
    struct saved_header header;
    struct load_scan scan = {.progress = config->progress == NULL ? NULL : tell_reading, .data = config};
    const struct load_identity identity = {
        .name = config->name, .epoch = config->epoch, .random = config->serial_base};
    enum load_result result = load_header(fd, &header, error, error_size);
    if (result == LOAD_FINE)
        result =
            load_pieces(fd, &header, config->fd_meta, config->fd_values, false, &scan, error, error_size);
    if (result == LOAD_FINE)
        result = load_renew(config->fd_meta, &header, &identity, error, error_size);
    return code_of(result);
}

static int load_into(struct pool **ret, const struct pool_config *config, int fd, char *error,
                     size_t error_size)
{
    struct pool_config recovers = *config;
    recovers.create = false;
    int r = fill(&recovers, fd, error, error_size);
    if (r == 0)
        r = pool_open(ret, &recovers, error, error_size);
    if (r != 0)
        return r;
    (void)pool_renumber(*ret, config->first_sid);
    tickets_end(*ret);
    return 0;
}

int pool_load(struct pool **ret, const struct pool_config *config, int fd, char *error, size_t error_size)
{
    struct pool_config files = *config;
    if (config->fd_meta >= 0)
        return load_into(ret, config, fd, error, error_size);
    files.fd_meta = region_create(config->name);
    files.fd_values = files.fd_meta < 0 ? -1 : region_create(config->name);
    int r = -HF_E_LIMIT;
    if (files.fd_values >= 0)
        r = load_into(ret, &files, fd, error, error_size);
    else
        snprintf(error, error_size, "no file descriptors left for pool %s", config->name);
    if (r != 0 && files.fd_meta >= 0)
        close(files.fd_meta);
    if (r != 0 && files.fd_values >= 0)
        close(files.fd_values);
    return r;
}

/* ---- looking ---- */

int pool_saved_header(int fd, struct saved_header *ret, char *error, size_t error_size)
{
    return code_of(load_header(fd, ret, error, error_size));
}

int pool_saved_check(int fd, const struct saved_header *header, char *error, size_t error_size)
{
    struct load_scan scan = {.records = 0};
    return code_of(load_pieces(fd, header, -1, -1, false, &scan, error, error_size));
}

int pool_unpack(int fd, struct pool_unpacked *ret, char *error, size_t error_size)
{
    struct saved_header header;
    struct load_scan scan = {.records = 0};
    int r = code_of(load_header(fd, &header, error, error_size));
    if (r != 0)
        return r;
    *ret = (struct pool_unpacked){.fd_meta = region_create("unpacked"), .epoch = header.superblock.epoch};
    ret->fd_values = region_create("unpacked");
    memcpy(ret->name, header.superblock.name, sizeof ret->name);
    snprintf(error, error_size, "no file descriptors left");
    r = ret->fd_meta < 0 || ret->fd_values < 0
            ? -HF_E_LIMIT
            : code_of(load_pieces(fd, &header, ret->fd_meta, ret->fd_values, true, &scan, error, error_size));
    ret->whole = scan.whole && scan.bad == 0;
    ret->bad = scan.bad;
    ret->bad_at = scan.bad_at;
    if (r == 0)
        return 0;
    if (ret->fd_meta >= 0)
        close(ret->fd_meta);
    if (ret->fd_values >= 0)
        close(ret->fd_values);
    return r;
}
