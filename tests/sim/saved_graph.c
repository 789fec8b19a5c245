/* SPDX-License-Identifier: BSD-3-Clause */
#include "tests/sim/saved_graph.h"

#include "tests/sim/savefile.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BEGIN_ONE_IN 60u

struct graph_saving {
    struct savefile file;
    struct graph graph; /* at the instant */
};

static void copy_graph(struct graph *to, const struct graph *from)
{
    graph_init(to);
    to->made = from->made;
    memcpy(to->objects, from->objects, (from->made + 1) * sizeof *to->objects);
    memcpy(to->holds, from->holds, (from->made + 1) * sizeof *to->holds);
    memcpy(to->names, from->names, sizeof to->names);
    memcpy(to->tickets, from->tickets, sizeof to->tickets);
    for (uint32_t k = 1; k <= to->made; k++) {
        struct g_object *o = &to->objects[k];
        uint32_t *slots = calloc(o->count != 0 ? o->count : 1, sizeof *slots);
        if (slots == NULL)
            abort();
        if (o->count != 0)
            memcpy(slots, o->slots, o->count * sizeof *slots);
        o->slots = slots;
    }
}

/* ---- what was saved ---- */

static void check_slots(const struct sim *sim, const struct graph *g, struct pool *pool, uint32_t object)
{
    const struct g_object *o = &g->objects[object];
    for (uint32_t at = 0; at < o->count;) {
        uint64_t ids[16];
        uint32_t got = 0, total = 0;
        if (pool_refs(pool, o->id, at, ids, 16, &got, &total) != 0 || total != o->count || got == 0)
            judge_fail(sim, "a saved object %u has %u slots, not %u", object, total, o->count);
        for (uint32_t k = 0; k < got; k++, at++)
            if (ids[k] != g->objects[o->slots[at]].id)
                judge_fail(sim, "a saved object %u has another slot %u", object, at);
    }
}

static void check_object(const struct sim *sim, const struct graph *g, struct pool *pool, uint32_t object)
{
    const struct g_object *o = &g->objects[object];
    struct inspect_row row;
    int rc = pool_inspect(pool, o->id, &row);
    if (rc != (o->reachable ? 0 : -HF_E_GONE))
        judge_fail(sim, "object %u, which %s reached when the save began, is answered %d", object,
                   o->reachable ? "could be" : "could not be", rc);
    if (!o->reachable)
        return;
    if (row.held_sessions != graph_held(g, object))
        judge_fail(sim, "a saved object %u is held otherwise", object);
    check_slots(sim, g, pool, object);
}

static void check(struct sim *sim, struct graph_saving *saving)
{
    struct graph *g = &saving->graph;
    struct pool_config config = {.name = "saved",
                                 .max_bytes = UINT64_MAX / 4,
                                 .random_seed = 1,
                                 .now_ms = sim->fx.now_ms,
                                 .look_only = true};
    struct verify_result result;
    struct pool *pool;
    char error[256] = "";
    const char *wrong = savefile_load(&saving->file, &config.fd_meta, &config.fd_values);
    if (wrong != NULL || pool_open(&pool, &config, error, sizeof error) != 0)
        judge_fail(sim, "what was saved is refused: %s", wrong != NULL ? wrong : error);
    (void)graph_reach(g);
    for (uint32_t k = 1; k <= g->made; k++)
        check_object(sim, g, pool, k);
    if (pool_verify_begin(pool) != 0)
        judge_fail(sim, "no walk of what was saved");
    while (!pool_verify_step(pool, 100000, &result))
        continue;
    if (result.findings_count != 0)
        judge_fail(sim, "verify of what was saved: %s", result.findings[0].text);
    pool_close(pool);
    close(config.fd_meta);
    close(config.fd_values);
}

/* ---- a save's life ---- */

static void begin(struct sim *sim)
{
    struct graph_saving *saving = calloc(1, sizeof *saving);
    if (saving == NULL)
        abort();
    if (!savefile_begin(&saving->file, sim->pool, &sim->aside, sim->fx.now_ms, false)) {
        free(saving);
        return;
    }
    copy_graph(&saving->graph, &sim->graph);
    sim->saving = saving;
}

static void go_on(struct sim *sim)
{
    enum savefile_state state = savefile_go_on(&sim->saving->file);
    if (state == SAVEFILE_ON)
        return;
    sim->operation = "save";
    if (state == SAVEFILE_WRONG)
        judge_fail(sim, "a save fails without a reason");
    if (state == SAVEFILE_WHOLE)
        check(sim, sim->saving);
    sim->totals->saved += state == SAVEFILE_WHOLE;
    savefile_end(&sim->saving->file);
    graph_done(&sim->saving->graph);
    free(sim->saving);
    sim->saving = NULL;
}

void graph_saves_go_on(struct sim *sim)
{
    if (sim->saving != NULL)
        go_on(sim);
    else if (sim->saves && random_once_in(&sim->aside, BEGIN_ONE_IN))
        begin(sim);
}

void graph_saves_end(struct sim *sim)
{
    while (sim->saving != NULL)
        go_on(sim);
}
