/* SPDX-License-Identifier: BSD-3-Clause */
/* Saves of the pool while operations, steps, evacuations and dry collections go on: the file, loaded, is the model as
 * it was when the save began.
 *
 * Its own random numbers choose when one begins, how many buffers it has, how its steps and writes come between the
 * operations, whether the file has no room from some write on, and whether there is memory for it at all. A finished
 * file is loaded in both ways: as it is, with the ids and sessions of the instant; and by pool_load() as a new
 * incarnation of the pool, in which only what names keep is left, under other ids. */
#include "daemon/pool/internal.h"
#include "tests/sim/driver.h"
#include "tests/sim/savefile.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ONE_IN_MOST    500u /* operations between two saves, more or less, of small pools */
#define COLLECT_ONE_IN 40u

struct saving {
    struct survival at; /* the instant; its model is a copy */
    struct savefile file;
};

static bool one_in(struct sim *sim, uint64_t n)
{
    return random_once_in(&sim->aside, n);
}

/* ---- what was saved ---- */

/* As it is, without a new incarnation. */
static void check_same(struct sim *sim, struct saving *saving)
{
    int fd_meta, fd_values;
    const char *wrong = savefile_load(&saving->file, &fd_meta, &fd_values);
    if (wrong != NULL)
        sim_fail(sim, "a whole file is refused: %s", wrong);
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
    int rc = pool_load(&pool, &config, saving->file.fd, error, sizeof error);
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
    bool starved = one_in(sim, 8);
    sim_check(sim, saving != NULL);
    if (!survival_now(sim, &saving->at)) {
        free(saving);
        return;
    }
    if (!savefile_begin(&saving->file, sim->pool, &sim->aside, sim->now_ms, starved)) {
        sim_check(sim, starved || sim->squeezed);
        free(saving);
        return;
    }
    saving->at.model = model_copy(sim->model);
    saving->at.random = &sim->aside;
    sim->saving = saving;
}

static void forget(struct sim *sim)
{
    savefile_end(&sim->saving->file);
    model_free(sim->saving->at.model);
    free(sim->saving);
    sim->saving = NULL;
}

static void go_on(struct sim *sim)
{
    enum savefile_state state = savefile_go_on(&sim->saving->file);
    if (state == SAVEFILE_ON)
        return;
    sim_check(sim, state != SAVEFILE_WRONG);
    if (state == SAVEFILE_WHOLE) {
        sim->operation = "saved";
        check_same(sim, sim->saving);
        sim->operation = "saved and loaded";
        check_loaded(sim, sim->saving);
    }
    sim->saved += state == SAVEFILE_WHOLE;
    sim->saves_failed += state == SAVEFILE_FAILED;
    forget(sim);
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
    go_on(sim);
}

void saves_end(struct sim *sim)
{
    if (sim->saving != NULL && one_in(sim, 4))
        forget(sim);
    while (sim->saving != NULL)
        go_on(sim);
}
