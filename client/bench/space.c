/* SPDX-License-Identifier: BSD-3-Clause */
#include "client/bench/space.h"

#include <stdlib.h>
#include <string.h>

#define BATCH_CALLS 512u
#define BATCH_BYTES (1u << 20)

bool bench_session_open(const struct bench_options *options, const char *pool, hf_conn **ret_conn,
                        struct bench_problem *problem)
{
    /* Without a lease everything ends with the process, however that ends. */
    const struct hf_hello_options hello = {.name = "holdfast bench", .pool = pool, .lease_ms = HF_NO_LEASE};
    int code = hf_connect(options->address, options->timeout_ms, ret_conn);
    if (*ret_conn == NULL)
        return bench_fail_memory(problem);
    if (code != 0) {
        char chosen[512] = "the default address";
        hf_default_address(chosen, sizeof chosen);
        return bench_fail(problem, code, "%s: %s", options->address != NULL ? options->address : chosen,
                          hf_last_error(*ret_conn)->text);
    }
    return hf_hello(*ret_conn, &hello) == 0 || bench_fail_call(problem, *ret_conn, "opening a session");
}

/* ---- Making objects ------------------------------------------------------------------------------------ */

/* Objects under way: the next one goes to `conn`. */
struct maker {
    hf_conn *conn;
    const struct bench_wire *wire;
    struct bench_progress *progress;
    struct bench_problem *problem;
    uint8_t *value; /* room for the largest */
};

static bool maker_init(struct maker *maker, uint32_t value_max)
{
    maker->value = malloc((size_t)value_max + 1);
    if (maker->value == NULL)
        return bench_fail_memory(maker->problem);
    memset(maker->value, 'x', value_max);
    return true;
}

static hf_value make_value(const struct maker *maker, uint32_t object, uint32_t size)
{
    if (size >= BENCH_STAMP_SIZE)
        memcpy(maker->value, &object, BENCH_STAMP_SIZE);
    return hf_bin(maker->value, size);
}

/* Ends a batch of `calls` calls, tells how far it is, and looks for signals. */
static bool end_batch(struct maker *maker, uint32_t calls, const char *what)
{
    struct bench_progress *progress = maker->progress;
    if (hf_batch_end(maker->conn, NULL) != 0)
        return bench_fail_call(maker->problem, maker->conn, what);
    progress->done += calls;
    bench_console_show(progress->console, "%s: %llu of %llu (%u %%)", what,
                       (unsigned long long)progress->done, (unsigned long long)progress->total,
                       (unsigned)(progress->total != 0 ? 100 * progress->done / progress->total : 100));
    if (bench_console_interrupted(progress->console))
        return bench_fail(maker->problem, BENCH_INTERRUPTED,
                          "ended by a signal before anything was measured");
    return true;
}

/* One of the calls that make a batch. `object` is its number. */
typedef void make_call(struct maker *maker, const void *context, uint32_t object, uint32_t size);

/* Makes `count` calls in batches. `sizes` NULL: all are of `size` bytes. */
static bool make_all(struct maker *maker, make_call *call, const void *context, uint32_t count,
                     const uint32_t *sizes, uint32_t size, const char *what)
{
    for (uint32_t first = 0; first < count;) {
        uint32_t object = first, bytes = 0;
        if (hf_batch_begin(maker->conn) != 0)
            return bench_fail_call(maker->problem, maker->conn, what);
        while (object < count && object - first < BATCH_CALLS && bytes < BATCH_BYTES) {
            uint32_t value_size = sizes != NULL ? sizes[object] : size;
            call(maker, context, object++, value_size);
            bytes += value_size;
        }
        if (!end_batch(maker, object - first, what))
            return false;
        first = object;
    }
    return true;
}

struct put_context {
    hf_id *ids;
    bool slots;
};

static void put_one(struct maker *maker, const void *context, uint32_t object, uint32_t size)
{
    static const hf_id nothing = 0;
    const struct put_context *put = context;
    const struct hf_put_options options = {.refs = &nothing, .ref_count = put->slots ? 1 : 0};
    hf_put(maker->conn, make_value(maker, object, size), &options, &put->ids[object]);
}

static void store_one(struct maker *maker, const void *context, uint32_t object, uint32_t size)
{
    char name[BENCH_NAME_SIZE + 1];
    (void)context;
    bench_wire_name(maker->wire, object, name);
    hf_store(maker->conn, name, make_value(maker, object, size), NULL, NULL, NULL);
}

/* ---- A space ------------------------------------------------------------------------------------------- */

static bool needs_ids(const struct bench_options *options)
{
    return (bench_mix_needs(&options->mix) & BENCH_NEEDS_IDS) != 0;
}

static bool needs_names(const struct bench_options *options)
{
    return (bench_mix_needs(&options->mix) & BENCH_NEEDS_NAMES) != 0;
}

uint32_t bench_space_own_count(const struct bench_options *options)
{
    uint32_t each = options->objects / (options->connections / options->pools);
    return each != 0 ? each : 1;
}

uint64_t bench_space_work(const struct bench_options *options)
{
    uint64_t objects = (uint64_t)options->pools * options->objects;
    uint64_t own = (uint64_t)options->connections * bench_space_own_count(options);
    return (needs_ids(options) ? objects : 0) + (needs_names(options) ? objects : 0) +
           ((bench_mix_needs(&options->mix) & BENCH_NEEDS_OWN) != 0 ? own : 0);
}

static bool draw_sizes(struct bench_space *space, const struct bench_options *options,
                       struct bench_random *random)
{
    if (bench_sizes_fixed(&options->sizes))
        return true;
    space->sizes = malloc(space->objects * sizeof *space->sizes);
    for (uint32_t i = 0; space->sizes != NULL && i < space->objects; i++)
        space->sizes[i] = bench_sizes_draw(&options->sizes, random);
    return space->sizes != NULL;
}

bool bench_space_fill(struct bench_space *space, const struct bench_options *options,
                      const struct bench_wire *wire, struct bench_random *random,
                      struct bench_progress *progress, struct bench_problem *problem)
{
    uint32_t most = bench_sizes_most(&options->sizes);
    struct put_context put = {.slots = (bench_mix_needs(&options->mix) & BENCH_NEEDS_SLOTS) != 0};
    struct maker maker = {.wire = wire, .progress = progress, .problem = problem};
    space->objects = options->objects;
    if (!bench_session_open(options, space->pool, &space->conn, problem))
        return false;
    maker.conn = space->conn;
    if (needs_ids(options))
        put.ids = space->ids = calloc(space->objects, sizeof *space->ids);
    if (!draw_sizes(space, options, random) || (needs_ids(options) && space->ids == NULL))
        return bench_fail_memory(problem);
    bool filled = maker_init(&maker, most) &&
                  (!needs_ids(options) ||
                   make_all(&maker, put_one, &put, space->objects, space->sizes, most, "putting objects"));
    if (filled && needs_names(options)) {
        space->stored = space->objects; /* some of them at least, if it fails */
        filled = make_all(&maker, store_one, NULL, space->objects, space->sizes, most, "storing names");
    }
    free(maker.value);
    return filled;
}

bool bench_space_fill_own(hf_conn *conn, const struct bench_options *options, const struct bench_wire *wire,
                          struct bench_random *random, struct bench_progress *progress, hf_id *ret_ids,
                          struct bench_problem *problem)
{
    uint32_t count = bench_space_own_count(options), most = bench_sizes_most(&options->sizes);
    const struct put_context put = {.ids = ret_ids};
    struct maker maker = {.conn = conn, .wire = wire, .progress = progress, .problem = problem};
    uint32_t *sizes = malloc(count * sizeof *sizes);
    for (uint32_t i = 0; sizes != NULL && i < count; i++)
        sizes[i] = bench_sizes_draw(&options->sizes, random);
    bool filled = sizes != NULL ? maker_init(&maker, most) : bench_fail_memory(problem);
    filled = filled && make_all(&maker, put_one, &put, count, sizes, 0, "putting objects of connections");
    free(sizes);
    free(maker.value);
    return filled;
}

/* ---- The end ------------------------------------------------------------------------------------------- */

/* A name that is not there (somebody took it away, or filling ended early) is no failure. */
static bool unname_all(struct bench_space *space, const struct bench_wire *wire,
                       struct bench_progress *progress, struct bench_problem *problem)
{
    char name[BENCH_NAME_SIZE + 1];
    for (uint32_t first = 0; first < space->stored; first += BATCH_CALLS) {
        uint32_t end = space->stored - first < BATCH_CALLS ? space->stored : first + BATCH_CALLS;
        if (hf_batch_begin(space->conn) != 0)
            return bench_fail_call(problem, space->conn, "taking names back");
        for (uint32_t object = first; object < end; object++) {
            bench_wire_name(wire, object, name);
            hf_unname(space->conn, name, HF_ANY_VERSION);
        }
        int code = hf_batch_end(space->conn, NULL);
        if (code != 0 && code != HF_ERR_NOTFOUND)
            return bench_fail_call(problem, space->conn, "taking names back");
        bench_console_show(progress->console, "taking names back: %u of %u", end, space->stored);
    }
    return true;
}

bool bench_space_done(struct bench_space *space, const struct bench_wire *wire,
                      struct bench_progress *progress, struct bench_problem *problem)
{
    bool done = true;
    if (space->conn != NULL && hf_connected(space->conn)) {
        if (!space->made)
            done = unname_all(space, wire, progress, problem);
        if (done && hf_connected(space->conn))
            hf_bye(space->conn, NULL);
    }
    hf_close(space->conn);
    bench_sequence_done(&space->sequence);
    free(space->ids);
    free(space->sizes);
    space->conn = NULL;
    space->ids = NULL;
    space->sizes = NULL;
    return done;
}
