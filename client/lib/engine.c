/* SPDX-License-Identifier: BSD-3-Clause */
#include "client/lib/engine.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "proto/limits.h"
#include "proto/methods.h"

#define RING_MIN 16

static int write_out(void *data, const char *bytes, size_t size)
{
    struct hf__engine *engine = data;
    if (engine->pack_failed)
        return -1;
    if (!hf__buffer_append(&engine->out, bytes, size)) {
        engine->pack_failed = true;
        return -1;
    }
    return 0;
}

void hf__engine_init(struct hf__engine *engine)
{
    *engine = (struct hf__engine){
        .open = {.first = 1, .next = 1},
        .limits = {.frame_max = HF_FRAME_MAX, .depth_max = HFP_DEPTH_STACK},
    };
}

void hf__engine_done(struct hf__engine *engine)
{
    hf__buffer_done(&engine->out);
    hf__buffer_done(&engine->in);
    free(engine->open.items);
    free(engine->unknown.items);
    free(engine->attempt.items);
    hf__engine_init(engine);
}

/* ---- Requests ------------------------------------------------------------------------------------------ */

static struct hf__request *ring_at(const struct hf__ring *ring, uint64_t number)
{
    if (number < ring->first || number >= ring->next)
        return NULL;
    return &ring->items[number & (ring->capacity - 1)];
}

/* Drops answered requests at the front, so that the first is open. */
static void ring_trim(struct hf__ring *ring)
{
    while (ring->first != ring->next && ring_at(ring, ring->first)->state == HF__DONE)
        ring->first++;
}

/* Lets as many requests be sent as the window has room for. */
static void allow(struct hf__engine *engine)
{
    const struct hf__ring *ring = &engine->open;
    if (engine->window == 0)
        return;
    if (engine->allowed < ring->first)
        engine->allowed = ring->first;
    for (; engine->allowed != ring->next; engine->allowed++) {
        const struct hf__request *request = ring_at(ring, engine->allowed);
        if (!request->replays || request->state == HF__DONE)
            continue;
        if (engine->flying + 1 >= engine->window)
            return;
        engine->flying++;
    }
}

static bool is_replayed(const char *method)
{
    enum hf_method known = hfp_method_find((const uint8_t *)method, strlen(method));
    return (hfp_method_info(known)->flags & HF_M_REPLAY) != 0;
}

/* Bytes that are kept for requests which are not open any more go. */
static void drop_kept(struct hf__engine *engine)
{
    const struct hf__ring *ring = &engine->open;
    uint64_t from = engine->sent - engine->kept, to = engine->sent;
    if (ring->first != ring->next && ring_at(ring, ring->first)->at < to)
        to = ring_at(ring, ring->first)->at;
    hf__buffer_take(&engine->out, (size_t)(to - from));
    engine->kept -= (size_t)(to - from);
}

static bool ring_reserve(struct hf__ring *ring)
{
    size_t count = (size_t)(ring->next - ring->first);
    if (count < ring->capacity)
        return true;
    size_t capacity = ring->capacity == 0 ? RING_MIN : ring->capacity * 2;
    struct hf__request *items = calloc(capacity, sizeof *items);
    if (items == NULL)
        return false;
    for (uint64_t number = ring->first; number != ring->next; number++)
        items[number & (capacity - 1)] = *ring_at(ring, number);
    free(ring->items);
    ring->items = items;
    ring->capacity = capacity;
    return true;
}

msgpack_packer *hf__engine_begin(struct hf__engine *engine, const char *method, uint32_t params)
{
    size_t size = strlen(method);
    size_t kept = size < sizeof engine->method ? size : sizeof engine->method - 1;
    memcpy(engine->method, method, kept);
    engine->method[kept] = '\0';
    engine->committed = hf__buffer_size(&engine->out);
    engine->pack_failed = false;
    msgpack_packer *packer = &engine->packer;
    msgpack_packer_init(packer, engine, write_out);
    msgpack_pack_array(packer, 4);
    msgpack_pack_uint8(packer, HFP_REQUEST);
    msgpack_pack_uint32(packer, (uint32_t)engine->open.next);
    msgpack_pack_str_with_body(packer, method, size);
    msgpack_pack_array(packer, params);
    return packer;
}

void hf__engine_pack_raw(struct hf__engine *engine, const void *bytes, size_t size)
{
    write_out(engine, bytes, size);
}

void hf__engine_cancel(struct hf__engine *engine)
{
    engine->out.end = engine->out.start + engine->committed;
}

int hf__engine_commit(struct hf__engine *engine, const struct hf__sink *sink)
{
    struct hf__ring *ring = &engine->open;
    if (engine->pack_failed || !ring_reserve(ring)) {
        hf__engine_cancel(engine);
        return HF_ERR_MEMORY;
    }
    struct hf__request *request = &ring->items[ring->next & (ring->capacity - 1)];
    *request = (struct hf__request){
        .number = ring->next++,
        .at = engine->sent - engine->kept + engine->committed,
        .size = hf__buffer_size(&engine->out) - engine->committed,
        .state = HF__OPEN,
        .replays = is_replayed(engine->method),
        .sink = *sink,
    };
    memcpy(request->method, engine->method, sizeof request->method);
    allow(engine);
    return 0;
}

bool hf__engine_skip(struct hf__engine *engine)
{
    struct hf__ring *ring = &engine->open;
    if (ring->first == ring->next) {
        ring->first++;
        ring->next++;
        return true;
    }
    if (!ring_reserve(ring))
        return false;
    ring->items[ring->next & (ring->capacity - 1)] =
        (struct hf__request){.number = ring->next, .state = HF__DONE};
    ring->next++;
    return true;
}

void hf__engine_abandon(struct hf__engine *engine, uint64_t number)
{
    struct hf__request *request = ring_at(&engine->open, number);
    if (request != NULL && request->state == HF__OPEN)
        request->state = HF__ABANDONED;
}

/* ---- Bytes --------------------------------------------------------------------------------------------- */

void hf__engine_window(struct hf__engine *engine, unsigned window)
{
    engine->window = window;
    engine->flying = 0;
    engine->allowed = engine->open.first;
    allow(engine);
}

size_t hf__engine_queued(const struct hf__engine *engine)
{
    return hf__buffer_size(&engine->out) - engine->kept;
}

size_t hf__engine_output(const struct hf__engine *engine, const uint8_t **ret_bytes)
{
    size_t size = hf__engine_queued(engine);
    const struct hf__request *held = engine->window == 0 ? NULL : ring_at(&engine->open, engine->allowed);
    if (held != NULL && held->at < engine->sent + size)
        size = held->at > engine->sent ? (size_t)(held->at - engine->sent) : 0;
    *ret_bytes =
        size == 0 ? NULL : engine->out.data + engine->out.start + engine->kept; /* no data is no pointer
                                                                                            to add to */
    return size;
}

void hf__engine_sent(struct hf__engine *engine, size_t size)
{
    engine->sent += size;
    engine->kept += size;
    if (engine->window == 0) {
        hf__buffer_take(&engine->out, engine->kept);
        engine->kept = 0;
    }
}

/* Takes away the frame that the last answer pointed into. */
static void drop_frame(struct hf__engine *engine)
{
    if (engine->frame_size != 0)
        hf__buffer_take(&engine->in, engine->frame_size);
    engine->frame_size = 0;
}

uint8_t *hf__engine_space(struct hf__engine *engine, size_t room, size_t *ret_room)
{
    drop_frame(engine);
    if (!hf__buffer_reserve(&engine->in, room))
        return NULL;
    *ret_room = engine->in.capacity - engine->in.end;
    return engine->in.data + engine->in.end;
}

void hf__engine_received(struct hf__engine *engine, size_t size)
{
    engine->in.end += size;
}

/* ---- Answers ------------------------------------------------------------------------------------------- */

static int fault(struct hf__engine *engine, const char *text)
{
    engine->fault = text;
    return HF_ERR_PROTOCOL;
}

/* The request that a response answers; NULL if there is none. */
static struct hf__request *match(const struct hf__engine *engine, uint32_t msgid)
{
    uint32_t distance = msgid - (uint32_t)engine->open.first;
    struct hf__request *request = ring_at(&engine->open, engine->open.first + distance);
    return request != NULL && request->state != HF__DONE ? request : NULL;
}

/* Marks a request as answered. Returns 1 if somebody waits for the answer, which then has number and sink. */
static int settle(struct hf__engine *engine, struct hf__request *request, struct hf__answer *ret)
{
    int wanted = request->state == HF__OPEN;
    ret->number = request->number;
    ret->sink = request->sink;
    request->state = HF__DONE;
    if (engine->window != 0 && request->replays && request->number < engine->allowed)
        engine->flying--;
    ring_trim(&engine->open);
    if (engine->window != 0) {
        allow(engine);
        drop_kept(engine);
    }
    return wanted;
}

static void read_error(const uint8_t *bytes, size_t size, struct hf__answer *ret)
{
    struct hfp_cursor cursor = {bytes, bytes + size};
    struct hfp_bytes text;
    ret->code = HF_ERR_OTHER;
    if (hfp_read_bytes(&cursor, &text)) {
        ret->error = (const char *)text.at;
        ret->error_size = text.size;
    }
}

static bool is_draining(const struct hf__answer *answer)
{
    static const char word[] = "DRAINING";
    size_t size = sizeof word - 1;
    return answer->error_size >= size && memcmp(answer->error, word, size) == 0 &&
           (answer->error_size == size || answer->error[size] == ' ' || answer->error[size] == ':');
}

/* A whole response. 1: an answer; 0: nobody waits for it. */
static int take_response(struct hf__engine *engine, const struct hfp_frame *frame, struct hf__answer *ret)
{
    const uint8_t *bytes = engine->in.data + engine->in.start;
    const struct hfp_span *error = &frame->param[0];
    const struct hfp_span *result = &frame->param[1];
    *ret = (struct hf__answer){0};
    if (bytes[error->at] != 0xc0)
        read_error(bytes + error->at, error->size, ret);
    else
        ret->result = (hf_item){bytes + result->at, result->size};
    struct hf__request *request = match(engine, frame->msgid);
    if (request != NULL && engine->window != 0 && is_draining(ret)) {
        *ret = (struct hf__answer){0};
        return 0; /* nothing was done, and the connection is about to end: it is sent again on the next one */
    }
    if (request != NULL)
        return settle(engine, request, ret);
    if (frame->msgid == 0 && ret->code != 0)
        return 1;
    return fault(engine, "an answer to a request that is not open");
}

/* An event, or what a later daemon may send: that is ignored. */
static int take_notification(struct hf__engine *engine, const struct hfp_frame *frame, struct hf__answer *ret)
{
    static const char event[] = "event";
    const uint8_t *bytes = engine->in.data + engine->in.start;
    bool known = frame->method_size == sizeof event - 1 &&
                 memcmp(bytes + frame->method_at, event, sizeof event - 1) == 0 && frame->params_at != 0;
    if (!known) {
        engine->notifications++;
        return 0;
    }
    /* the head of the array of params stands before the first of them, and the frame ends with it */
    uint32_t at = frame->method_at + frame->method_size;
    *ret = (struct hf__answer){.event = {bytes + at, frame->size - at}};
    return 1;
}

/* A whole frame of any kind. */
static int take_frame(struct hf__engine *engine, const struct hfp_frame *frame, struct hf__answer *ret)
{
    engine->frame_size = frame->size;
    if (frame->kind == HFP_RESPONSE)
        return take_response(engine, frame, ret);
    if (frame->kind == HFP_REQUEST)
        return fault(engine, "a request, which only clients send");
    return take_notification(engine, frame, ret);
}

/* The head of a reply above the limit: what has come of it goes, the rest is dropped as it comes. */
static int begin_discard(struct hf__engine *engine, const struct hfp_frame *frame)
{
    struct hf__request *request = frame->kind == HFP_RESPONSE ? match(engine, frame->msgid) : NULL;
    if (request == NULL)
        return fault(engine, "a message above the limit that answers nothing");
    engine->discarding = true;
    engine->discarded = request->number;
    hf__buffer_take(&engine->in, engine->scan.used);
    return 0;
}

/* Drops input of a reply above the limit. 1: it has ended and is answered TOOBIG; 0: go on, or more is
 * needed. */
static int discard(struct hf__engine *engine, struct hf__answer *ret)
{
    enum hfp_result result =
        hfp_scan_discard(&engine->scan, engine->in.data + engine->in.start, hf__buffer_size(&engine->in));
    if (result == HFP_BAD)
        return fault(engine, engine->scan.reason);
    hf__buffer_take(&engine->in, result == HFP_FRAME ? engine->scan.used : hf__buffer_size(&engine->in));
    if (result != HFP_FRAME)
        return 0;
    engine->discarding = false;
    *ret = (struct hf__answer){.code = HF_ERR_TOOBIG};
    return settle(engine, ring_at(&engine->open, engine->discarded), ret);
}

/* The next request of a lost connection that somebody waits for. */
static int next_lost(struct hf__engine *engine, struct hf__answer *ret)
{
    const struct hf__ring *ring = engine->dying;
    uint64_t sent = ring == &engine->unknown ? engine->unknown_sent : engine->attempt_sent;
    while (ring != NULL && engine->dying_next != ring->next) {
        const struct hf__request *request = ring_at(ring, engine->dying_next++);
        if (request->state != HF__OPEN)
            continue;
        *ret = (struct hf__answer){
            .number = request->number,
            .code = request->tried || request->at < sent ? HF_ERR_UNKNOWN : HF_ERR_UNSENT,
            .sink = request->sink,
        };
        return 1;
    }
    engine->dying = NULL;
    return 0;
}

int hf__engine_next(struct hf__engine *engine, struct hf__answer *ret)
{
    drop_frame(engine);
    if (next_lost(engine, ret))
        return 1;
    int got = 0;
    while (got == 0 && hf__buffer_size(&engine->in) != 0) {
        struct hfp_frame frame;
        drop_frame(engine);
        if (engine->discarding) {
            got = discard(engine, ret);
            continue;
        }
        const uint8_t *bytes = engine->in.data + engine->in.start;
        switch (hfp_scan(&engine->scan, &engine->limits, bytes, hf__buffer_size(&engine->in), &frame)) {
        case HFP_MORE: return 0;
        case HFP_FRAME: got = take_frame(engine, &frame, ret); break;
        case HFP_TOOBIG: got = begin_discard(engine, &frame); break;
        case HFP_BAD: return fault(engine, engine->scan.reason);
        }
    }
    return got;
}

/* ---- Loss ---------------------------------------------------------------------------------------------- */

void hf__engine_established(struct hf__engine *engine)
{
    engine->established = true;
}

/* What came of an answer is void; those of requests that are not open any more would answer nothing. */
void hf__engine_again(struct hf__engine *engine, struct hf__engine *greeter)
{
    struct hf__ring *ring = &engine->open;
    uint8_t *data = engine->out.data == NULL ? NULL : engine->out.data + engine->out.start;
    size_t size = 0;
    uint64_t base = engine->sent - engine->kept;
    for (uint64_t number = ring->first; number != ring->next; number++) {
        struct hf__request *request = ring_at(ring, number);
        if (request->state == HF__DONE)
            continue;
        assert(data != NULL); /* what is open has its bytes there */
        request->tried |= request->at < engine->sent;
        memmove(data + size, data + (request->at - base), request->size);
        request->at = size;
        size += request->size;
    }
    engine->out.end = engine->out.start + size;
    engine->sent = engine->kept = 0;
    hf__buffer_done(&engine->in);
    engine->in = greeter->in;
    engine->scan = greeter->scan;
    engine->frame_size = greeter->frame_size;
    greeter->in = (struct hf__buffer){0};
    engine->discarding = false;
    engine->established = true;
    hf__engine_window(engine, engine->window);
}

/* The ring of open requests itself becomes the list of the lost, so that losing a connection needs no
 * memory. */
void hf__engine_lost(struct hf__engine *engine)
{
    struct hf__ring *ring = engine->established ? &engine->unknown : &engine->attempt;
    uint64_t *sent = engine->established ? &engine->unknown_sent : &engine->attempt_sent;
    free(ring->items);
    *ring = engine->open;
    *sent = engine->sent;
    engine->dying = ring;
    engine->dying_next = ring->first;
    engine->open = (struct hf__ring){.first = ring->next, .next = ring->next};

    hf__buffer_done(&engine->out);
    hf__buffer_done(&engine->in);
    engine->scan = (struct hfp_scan){0};
    engine->frame_size = 0;
    engine->discarding = false;
    engine->sent = 0;
    engine->kept = 0;
    engine->window = 0;
    engine->established = false;
}

size_t hf__engine_unknown(const struct hf__engine *engine, struct hf_unknown *rows, size_t capacity)
{
    const struct hf__ring *ring = &engine->unknown;
    size_t count = 0;
    for (uint64_t number = ring->first; number != ring->next; number++) {
        const struct hf__request *request = ring_at(ring, number);
        if (request->state == HF__DONE || (!request->tried && request->at >= engine->unknown_sent))
            continue;
        if (count < capacity) {
            rows[count].request = number;
            memcpy(rows[count].method, request->method, sizeof rows[count].method);
        }
        count++;
    }
    return count;
}
