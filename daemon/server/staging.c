/* SPDX-License-Identifier: BSD-3-Clause */
/* Large values of a frame that has come as a whole: arrays and maps (whose size is not known before their
 * end), and the items of put_many. They are copied into the heap in turns of POOL_COPY_MAX bytes before the
 * request is executed, so that the execution itself is short. Until then the connection is blocked and its
 * stash does not move.
 *
 * A value of put_many that is in the heap is overwritten in the frame by the header of a bin of the same
 * length, so that the handler passes it in one step, whatever was nested in it. */
#include "daemon/server/value.h"
#include "daemon/server/worker.h"
#include "proto/mp.h"

#include <string.h>

void staging_free(struct conn *conn)
{
    if (conn->staging != NULL)
        mem_free(conn->worker->mem, conn->staging, sizeof *conn->staging);
    conn->staging = NULL;
}

static void refuse(struct conn *conn, int r)
{
    stash_refuse(conn, r);
    conn->staging->phase = STAGING_DONE;
}

/* The value in `size` bytes at `at` comes next. */
static void begin_copy(struct staging *staging, const uint8_t *at, uint64_t size)
{
    value_split(at, size, &staging->source);
    staging->source_at = at;
    staging->copied = 0;
    staging->phase = STAGING_ALLOCATE;
}

/* The value that put, set and store have; false: none, or it is short. */
static bool find_single(struct staging *staging)
{
    const struct hfp_frame *frame = &staging->request.frame;
    uint32_t n = staging->request.method == HF_METHOD_put ? 0 : 1;
    if (n >= frame->param_count || frame->param[n].size <= POOL_COPY_MAX ||
        frame->param[n].size > HF_VALUE_MAX)
        return false;
    staging->value_at = staging->request.at + frame->param[n].at;
    return true;
}

/* The items of put_many. What is wrong with them is for the handler to say. */
static bool find_items(struct staging *staging)
{
    const struct hfp_frame *frame = &staging->request.frame;
    if (frame->param_count == 0 || frame->param_count > HFP_PARAMS_KEPT ||
        frame->param[0].size <= POOL_COPY_MAX)
        return false;
    const uint8_t *at = staging->request.at + frame->param[0].at;
    staging->cursor = (struct hfp_cursor){.at = at, .end = at + frame->param[0].size};
    return hfp_read_array(&staging->cursor, &staging->items) && staging->items <= HF_IDS_MAX;
}

/* The frame is hashed, or need not be. */
static void begin(struct conn *conn)
{
    struct staging *staging = conn->staging;
    const struct request *request = &staging->request;
    staging->phase = staging->many ? STAGING_WALK : STAGING_DONE;
    if (staging->single)
        begin_copy(staging, staging->value_at,
                   request->frame.param[request->method == HF_METHOD_put ? 0 : 1].size);
}

bool staging_begin(struct conn *conn, const struct request *request)
{
    uint16_t method = request->method;
    struct staging staging = {.request = *request, .hashed = request->frame.method_at};
    bool hashes = replay_wanted(conn, request);
    staging.single = (method == HF_METHOD_put || method == HF_METHOD_set || method == HF_METHOD_store) &&
                     find_single(&staging);
    staging.many = method == HF_METHOD_put_many && find_items(&staging);
    if (conn->worker->draining || conn->entry->loading || !(staging.single || staging.many || hashes))
        return false;
    conn->staging = mem_alloc(conn->worker->mem, sizeof staging);
    if (conn->staging == NULL && hashes) { /* as in stash.c: it could not be recorded */
        conn_cut(conn, "no memory for its request");
        return true;
    }
    if (conn->staging == NULL) {
        stash_refuse(conn, -HF_E_OOM);
        stash_dispatch(conn, request);
        return true;
    }
    *conn->staging = staging;
    if (hashes)
        XXH64_reset(&conn->staging->hash, 0);
    else
        begin(conn);
    return true;
}

/* ---- the walk over the items of put_many ---- */

/* Passes values until none is left or `budget` is spent. */
static bool pass_values(struct staging *staging, unsigned *budget)
{
    while (staging->values > 0) {
        if (*budget == 0)
            return false;
        --*budget;
        staging->values--;
        if (!hfp_skip_head(&staging->cursor, &staging->values)) {
            staging->phase = STAGING_DONE; /* cannot be: the frame was scanned */
            return false;
        }
    }
    return true;
}

/* The next item begins: its value is to be passed. False: there is none, or it is no array. */
static bool begin_item(struct staging *staging)
{
    uint32_t entries;
    if (staging->items == 0 || !hfp_read_array(&staging->cursor, &entries) || entries == 0)
        return false;
    staging->items--;
    staging->walked_before = staging->walked;
    staging->value_at = staging->cursor.at;
    staging->values = 1;
    staging->value_rest = entries - 1;
    return true;
}

/* An item's value has been passed. One that is staged is not walked again, so it does not count. */
static void end_value(struct conn *conn, unsigned *budget)
{
    struct staging *staging = conn->staging;
    const uint8_t *at = staging->value_at;
    uint64_t size = (uint64_t)(staging->cursor.at - at);
    staging->value_at = NULL;
    staging->values = staging->value_rest;
    if (size <= STAGED_ITEM_MIN && staging->walked - staging->walked_before <= STAGED_VALUES_MIN)
        return;
    staging->walked = staging->walked_before;
    *budget -= *budget < STAGED_UNITS ? *budget : STAGED_UNITS;
    begin_copy(staging, at, size);
}

static void walk(struct conn *conn, unsigned *budget)
{
    struct staging *staging = conn->staging;
    uint64_t before = *budget;
    bool passed = pass_values(staging, budget);
    staging->walked += before - *budget;
    if (!passed)
        return;
    if (staging->value_at != NULL)
        end_value(conn, budget);
    else if (!begin_item(staging))
        staging->phase = STAGING_DONE;
    if (staging->walked > ITEM_VALUES_MAX)
        refuse(conn, -HF_E_LIMIT);
}

/* ---- the copy ---- */

/* It failed. For want of memory it may be worth another attempt in a later turn. */
static void fail(struct conn *conn, int r)
{
    if (r != -HF_E_OOM || !patience_wait(&conn->staging->patience, conn->worker, conn->entry->pool))
        refuse(conn, r);
}

static void allocate(struct conn *conn)
{
    struct staging *staging = conn->staging;
    const struct value_in *source = &staging->source;
    struct stage *stage;
    int r = pool_stage_begin(conn->entry->pool, source->form, source->size,
                             staging->request.method == HF_METHOD_set, &stage);
    if (r == 0)
        r = stash_add_staged(conn, staging->source_at, source->form, source->size, stage);
    if (r != 0) {
        fail(conn, r);
        return;
    }
    patience_end(&staging->patience, conn->worker);
    staging->phase = STAGING_COPY;
}

static void overwrite(struct conn *conn)
{
    struct staging *staging = conn->staging;
    struct stash *stash = conn->stash;
    const uint8_t *at = stash->staged[stash->staged_count - 1].at;
    uint64_t size = (uint64_t)(staging->source.data - at) + staging->source.size;
    hfp_store32(stash->data + (at - stash->data), 0xc6, (uint32_t)(size - VALUE_HEADER_MAX));
}

/* Copies at most `room` bytes, which become fewer. */
static void copy(struct conn *conn, uint64_t *room)
{
    struct staging *staging = conn->staging;
    struct stash *stash = conn->stash;
    uint64_t left = staging->source.size - staging->copied;
    uint64_t part = left < *room ? left : *room;
    int r = pool_stage_write(conn->entry->pool, stash->staged[stash->staged_count - 1].stage, staging->copied,
                             staging->source.data + staging->copied, part);
    if (r != 0) {
        fail(conn, r);
        return;
    }
    patience_end(&staging->patience, conn->worker);
    staging->copied += part;
    *room -= part;
    if (staging->copied < staging->source.size)
        return;
    if (staging->request.method == HF_METHOD_put_many) {
        overwrite(conn);
        staging->phase = STAGING_WALK;
    } else {
        staging->phase = STAGING_DONE;
    }
}

/* One piece of the frame. False: it was done before, and is answered. */
static bool hash(struct conn *conn)
{
    struct staging *staging = conn->staging;
    struct stash *stash = conn->stash;
    const struct request request = staging->request;
    size_t left = request.frame.size - staging->hashed, part = left < POOL_COPY_MAX ? left : POOL_COPY_MAX;
    XXH64_update(&staging->hash, request.at + staging->hashed, part);
    staging->hashed += part;
    if (part < left)
        return true;
    stash->hash = XXH64_digest(&staging->hash);
    stash->hashed = true;
    staging->phase = STAGING_BEGIN;
    if (!replay_answer(conn, &request, stash->hash))
        return true;
    stash->hashed = false;
    staging_free(conn);
    return false;
}

void staging_step(struct conn *conn)
{
    struct staging *staging = conn->staging;
    unsigned budget = WALK_STEP;
    uint64_t room = POOL_COPY_MAX;
    if (staging->phase == STAGING_HASH) {
        (void)hash(conn);
        return;
    }
    if (staging->phase == STAGING_BEGIN)
        begin(conn);
    while (staging->phase != STAGING_DONE && budget > 0 && room > 0 &&
           patience_try(&staging->patience, conn->worker, conn->entry->pool)) {
        if (staging->phase == STAGING_WALK)
            walk(conn, &budget);
        else if (staging->phase == STAGING_ALLOCATE)
            allocate(conn);
        else
            copy(conn, &room);
    }
    if (staging->phase != STAGING_DONE)
        return;
    struct request request = staging->request;
    staging_free(conn);
    stash_dispatch(conn, &request);
}
