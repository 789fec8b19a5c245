/* SPDX-License-Identifier: BSD-3-Clause */
/* Saves of the pool while operations, steps, evacuations and dry collections go on: the file, loaded, is the model as
 * it was when the save began.
 *
 * Its own random numbers choose when one begins, how many buffers it has, how its steps and writes come between the
 * operations, whether the file has no room from some write on, and whether there is memory for it at all. A finished
 * file is loaded in both ways: as it is, with the ids and sessions of the instant; and by pool_load() as a new
 * incarnation of the pool, in which only what names keep is left, under other ids. */
#include "daemon/heap/load.h"
#include "daemon/heap/save.h"
#include "daemon/pool/internal.h"
#include "tests/sim/driver.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define ONE_IN_MOST    500u /* operations between two saves, more or less, of small pools */
#define BUFFERS_MOST   5u
#define COLLECT_ONE_IN 40u

/* A file that has no room from the n-th write on. */
struct full_io {
    struct save_io io;
    uint64_t writes, fail_at; /* 0: never */
};

struct saving {
    struct survival at; /* the instant; its model is a copy */
    struct full_io io;
    struct save_buffer *chain; /* out, and not yet written */
    int fd;
    unsigned lazy; /* one in so many operations is followed by a step */
};

static int write_some(const struct save_io *io, int fd, const void *data, uint64_t size, uint64_t offset)
{
    /* The save hands back the pointer that it was given, which is the first member of a writable full_io. */
    struct full_io *full = (struct full_io *)(uintptr_t)io;
    if (++full->writes == full->fail_at)
        return -ENOSPC;
    return pwrite(fd, data, size, (off_t)offset) == (ssize_t)size ? 0 : -EIO;
}

static int empty_file(struct sim *sim)
{
    int fd = memfd_create("saved", MFD_CLOEXEC);
    sim_check(sim, fd >= 0);
    return fd;
}

static bool one_in(struct sim *sim, uint64_t n)
{
    return random_once_in(&sim->aside, n);
}

/* ---- what was saved ---- */

/* As it is, without a new incarnation. */
static void check_same(struct sim *sim, const struct saving *saving)
{
    struct saved_header header;
    struct load_scan scan = {.records = 0};
    char error[200] = "";
    int fd_meta = empty_file(sim), fd_values = empty_file(sim);
    if (load_header(saving->fd, &header, error, sizeof error) != LOAD_FINE ||
        load_pieces(saving->fd, &header, fd_meta, fd_values, false, &scan, error, sizeof error) != LOAD_FINE)
        sim_fail(sim, "a whole file is refused: %s", error);
    struct pool *pool = survival_open(sim, &saving->at, fd_meta, fd_values);
    survival_check(sim, &saving->at, pool);
    pool_close(pool);
    close(fd_meta);
    close(fd_values);
}

/* Cycles that only sessions and tickets kept are garbage now. */
static void collect(struct sim *sim, struct pool *pool)
{
    struct gc_ticket ticket;
    struct gc_result result;
    while (pool_step(pool, 1000) == 1000)
        continue;
    sim_check(sim, pool_collect(pool, false, false, &ticket) == 0);
    while (!pool_collect_done(pool, ticket, &result))
        (void)pool_step(pool, 1000);
    while (pool_step(pool, 1000) == 1000)
        continue;
}

/* The ids are others, of the same places. */
static void rename_objects(struct sim *sim, struct survival *at, const struct pool *pool)
{
    struct model *m = at->model;
    for (int i = 0; i < m->living_count; i++) {
        struct value_view view;
        uint64_t *id = &m->ids[m->living[i]];
        sim_check(sim, pool_get((struct pool *)(uintptr_t)pool, *id, &view) == -HF_E_GONE);
        if (m->objects[m->living[i]].reached)
            *id = heap_id(&pool->heap, (uint32_t)(*id & UINT32_MAX));
    }
}

/* As `holdfastd --load` does: no session and no ticket goes on. Changes the copy of the model. */
static void check_loaded(struct sim *sim, struct saving *saving)
{
    struct survival *at = &saving->at;
    const struct pool_config config = {.name = "loaded",
                                       .max_bytes = UINT64_MAX / 4,
                                       .epoch = 1 + random_below(&sim->aside, HF_ID_MAX - 1),
                                       .serial_base = (uint32_t)random_next(&sim->aside),
                                       .random_seed = 1,
                                       .now_ms = at->now_ms,
                                       .first_sid = 1,
                                       .fd_meta = -1,
                                       .fd_values = -1};
    struct pool *pool;
    char error[256] = "";
    int rc = pool_load(&pool, &config, saving->fd, error, sizeof error);
    if (rc != 0)
        sim_fail(sim, "pool_load answered %d: %s", rc, error);
    sim_check(sim, pool_epoch(pool) == config.epoch);
    collect(sim, pool);
    memset(at->survives, 0, sizeof at->survives);
    at->model->tickets_count = 0;
    at->reached = model_reach(at->model, at->survives);
    rename_objects(sim, at, pool);
    survival_check(sim, at, pool);
    pool_close(pool);
}

/* ---- a save's life ---- */

static void begin(struct sim *sim)
{
    struct saving *saving = calloc(1, sizeof *saving);
    struct mem *mem = pool_mem(sim->pool);
    sim_check(sim, saving != NULL);
    saving->fd = empty_file(sim);
    saving->lazy = one_in(sim, 2) ? 1 : (unsigned)random_between(&sim->aside, 2, 20);
    saving->io = (struct full_io){.io.write = write_some,
                                  .fail_at = one_in(sim, 6) ? random_between(&sim->aside, 1, 6) : 0};
    const struct save_config config = {.fd = saving->fd,
                                       .memory = random_between(&sim->aside, 1, BUFFERS_MOST) * SAVE_BUFFER,
                                       .now_ms = sim->now_ms,
                                       .io = &saving->io.io};
    bool starved = one_in(sim, 8);
    mem->fail_at = starved ? mem->calls + random_between(&sim->aside, 1, 3) : 0;
    int rc =
        survival_now(sim, &saving->at) ? save_begin(&sim->pool->heap, &config, &sim->pool->save) : -EAGAIN;
    mem->fail_at = 0;
    if (rc == 0) {
        saving->at.model = model_copy(sim->model);
        saving->at.random = &sim->aside;
        sim->saving = saving;
        return;
    }
    sim_check(sim, rc == -EAGAIN || (rc == -ENOMEM && (starved || sim->squeezed)));
    close(saving->fd);
    free(saving);
}

static void forget(struct sim *sim)
{
    struct saving *saving = sim->saving;
    if (saving->chain != NULL)
        save_given_back(sim->pool->save, saving->chain, 0);
    pool_save_end(sim->pool);
    model_free(saving->at.model);
    close(saving->fd);
    free(saving);
    sim->saving = NULL;
}

static void end(struct sim *sim)
{
    struct saving *saving = sim->saving;
    int err = save_error(sim->pool->save);
    if (err != 0 && (err != -ENOSPC || saving->io.fail_at == 0))
        sim_fail(sim, "a save fails without a reason: %d", err);
    sim->saves_failed += err != 0;
    if (err == 0) {
        sim->operation = "saved";
        check_same(sim, saving);
        sim->operation = "saved and loaded";
        check_loaded(sim, saving);
        sim->saved++;
    }
    forget(sim);
}

static void step(struct sim *sim)
{
    struct save *save = sim->pool->save;
    struct saving *saving = sim->saving;
    if (one_in(sim, 2))
        (void)pool_save_step(sim->pool);
    if (saving->chain == NULL)
        saving->chain = save_take(save);
    if (saving->chain != NULL && one_in(sim, 3)) {
        int err = save_write(saving->chain);
        save_given_back(save, saving->chain, err);
        saving->chain = NULL;
    }
    if (saving->chain == NULL && (save_is_done(save) || save_error(save) != 0))
        end(sim);
}

void saves_go_on(struct sim *sim)
{
    struct gc_ticket ticket;
    uint64_t objects = (uint64_t)sim->model->living_count;
    if (sim->saving == NULL) {
        if (one_in(sim, ONE_IN_MOST + 4 * objects))
            begin(sim);
        return;
    }
    if (one_in(sim, COLLECT_ONE_IN)) /* it frees nothing: the model counts */
        (void)pool_collect(sim->pool, true, false, &ticket);
    if (one_in(sim, sim->saving->lazy))
        step(sim);
}

void saves_end(struct sim *sim)
{
    if (sim->saving != NULL && one_in(sim, 4))
        forget(sim);
    while (sim->saving != NULL)
        step(sim);
}
