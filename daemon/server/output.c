/* SPDX-License-Identifier: BSD-3-Clause */
/* From replies to the socket.
 *
 * Replies of one call from the loop gather in the worker's output: a flat buffer, and values that stay in
 * the heap and are only pointed at (borrowed, and pinned). output_flush() writes it all with one system
 * call. What the socket does not take is copied (flat bytes) or stays pinned (values) in a job for
 * uv_write(), charged to the daemon's budget. */
#include "daemon/server/worker.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define STACK_BUFS 65

struct pinned {
    struct pool_entry *entry;
    uint64_t pin;
};

/* Bytes on their way by uv_write(). One allocation: the job, its pins, its buffers' descriptions, copied
 * bytes. */
struct job {
    uv_write_t write;
    struct conn *conn;
    size_t size;  /* of the allocation */
    size_t bytes; /* to be written */
    bool events;
    size_t pins_count;
    struct pinned *pins;
};

int output_init(struct output *out)
{
    *out = (struct output){.cap = OUTPUT_SIZE, .data = malloc(OUTPUT_SIZE)};
    return out->data == NULL ? -HF_E_OOM : 0;
}

void output_done(struct output *out)
{
    free(out->data);
    free(out->borrowed);
    *out = (struct output){0};
}

/* ---- appending ---- */

static int fail(struct output *out, int code)
{
    if (out->error == 0)
        out->error = -code;
    return -code;
}

static uint64_t reply_size(const struct output *out)
{
    return out->used - out->mark + out->borrowed_bytes;
}

/* Out of the way of the ordinary case: a reply that does not fit into what is left of the buffer. */
static uint8_t *grow(struct output *out, size_t size)
{
    if (reply_size(out) + size > HF_FRAME_MAX) {
        fail(out, HF_E_TOOBIG);
        return NULL;
    }
    size_t cap = out->cap * 2 > out->used + size ? out->cap * 2 : out->used + size;
    uint8_t *data = realloc(out->data, cap);
    if (data == NULL) {
        fail(out, HF_E_OOM);
        return NULL;
    }
    out->data = data;
    out->cap = cap;
    return data + out->used;
}

uint8_t *output_room(struct output *out, size_t size)
{
    if (unlikely(size > out->cap - out->used))
        return grow(out, size);
    return out->data + out->used;
}

void output_mark(struct output *out)
{
    out->mark = out->used;
    out->mark_borrowed = out->borrowed_count;
    out->borrowed_bytes = 0;
    out->error = 0;
}

int output_error(const struct output *out)
{
    /* A reply of many parts that are borrowed or fit the buffer never came to grow(). */
    return out->error == 0 && reply_size(out) > HF_FRAME_MAX ? -HF_E_TOOBIG : out->error;
}

static void unpin(struct pool_entry *entry, uint64_t pin)
{
    pace_touch(entry);
    pool_unpin(entry->pool, pin);
    if (--entry->pins == 0 && entry->dropped)
        worker_wake(entry->worker);
}

void output_rewind(struct output *out)
{
    while (out->borrowed_count > out->mark_borrowed) {
        struct borrowed *last = &out->borrowed[--out->borrowed_count];
        out->borrowed_total -= last->size;
        unpin(last->entry, last->pin);
    }
    out->used = out->mark;
    out->borrowed_bytes = 0;
    out->error = 0;
}

int output_borrow(struct output *out, struct pool_entry *entry, uint64_t id, const uint8_t *data, size_t size)
{
    if (reply_size(out) + size > HF_FRAME_MAX)
        return fail(out, HF_E_TOOBIG);
    if (out->borrowed_count == out->borrowed_cap) {
        size_t cap = out->borrowed_cap == 0 ? 32 : out->borrowed_cap * 2;
        struct borrowed *borrowed = realloc(out->borrowed, cap * sizeof *borrowed);
        if (borrowed == NULL)
            return fail(out, HF_E_OOM);
        out->borrowed = borrowed;
        out->borrowed_cap = cap;
    }
    uint64_t pin = 0;
    int r = pool_pin(entry->pool, id, &pin);
    if (r != 0)
        return fail(out, -r);
    entry->pins++;
    out->borrowed[out->borrowed_count++] =
        (struct borrowed){.at = out->used, .data = data, .size = size, .entry = entry, .pin = pin};
    out->borrowed_bytes += size;
    out->borrowed_total += size;
    return 0;
}

/* ---- writing ---- */

static uv_buf_t buf_of(const uint8_t *data, size_t size)
{
    /* libuv's buffers serve reading too, so they are not const; writing leaves them alone. */
    union {
        const uint8_t *in;
        char *out;
    } base = {.in = data};
    return uv_buf_init(base.out, (unsigned)size);
}

/* All of the output in order, without its first `skip` bytes; returns the number of buffers. */
static unsigned fill_bufs(const struct output *out, size_t skip, uv_buf_t *bufs)
{
    unsigned count = 0;
    size_t at = 0;
    for (size_t i = 0; i <= out->borrowed_count; i++) {
        size_t until = i < out->borrowed_count ? out->borrowed[i].at : out->used;
        const struct {
            const uint8_t *data;
            size_t size;
        } parts[2] = {{out->data + at, until - at},
                      {i < out->borrowed_count ? out->borrowed[i].data : NULL,
                       i < out->borrowed_count ? out->borrowed[i].size : 0}};
        for (unsigned k = 0; k < 2; k++) {
            size_t drop = skip < parts[k].size ? skip : parts[k].size;
            skip -= drop;
            if (parts[k].size > drop)
                bufs[count++] = buf_of(parts[k].data + drop, parts[k].size - drop);
        }
        at = until;
    }
    return count;
}

/* The output is gone; a buffer that one large reply had made grow shrinks again. */
static void reset(struct output *out)
{
    out->used = out->mark = out->borrowed_count = out->mark_borrowed = 0;
    out->borrowed_bytes = out->borrowed_total = 0;
    if (unlikely(out->cap > OUTPUT_SIZE)) {
        uint8_t *data = realloc(out->data, OUTPUT_SIZE);
        if (data != NULL) {
            out->data = data;
            out->cap = OUTPUT_SIZE;
        }
    }
}

static void drop_all(struct output *out)
{
    for (size_t i = 0; i < out->borrowed_count; i++)
        unpin(out->borrowed[i].entry, out->borrowed[i].pin);
    reset(out);
}

static void on_written(uv_write_t *write, int status)
{
    struct job *job = list_entry(write, struct job, write);
    struct conn *conn = job->conn;
    for (size_t i = 0; i < job->pins_count; i++)
        unpin(job->pins[i].entry, job->pins[i].pin);
    bool events = job->events;
    conn->queued -= job->bytes;
    conn->queued_events -= events ? job->bytes : 0;
    if (status == 0)
        conn->worker->counters.bytes_out += job->bytes;
    mem_free(conn->worker->mem, job, job->size);
    conn_written(conn, status, events);
}

/* Flat bytes of the output behind its first `skip` bytes. */
static size_t flat_left(const struct output *out, size_t skip)
{
    size_t left = out->used;
    size_t passed = 0, flat = 0; /* bytes of the whole, bytes of the flat buffer, up to here */
    for (size_t i = 0; i <= out->borrowed_count; i++) {
        size_t until = i < out->borrowed_count ? out->borrowed[i].at : out->used;
        size_t part = until - flat;
        left -= skip > passed ? (skip - passed < part ? skip - passed : part) : 0;
        passed += part + (i < out->borrowed_count ? out->borrowed[i].size : 0);
        flat = until;
    }
    return left;
}

static bool is_flat(const struct output *out, const uv_buf_t *buf)
{
    uintptr_t base = (uintptr_t)buf->base, data = (uintptr_t)out->data;
    return base >= data && base < data + out->cap;
}

/* Queues what is left behind the first `skip` bytes. 0, or a uv error or -HF_E_OOM's stand-in UV_ENOMEM. */
static int queue_rest(struct conn *conn, size_t skip, uint64_t bytes, bool events)
{
    struct output *out = &conn->worker->out;
    size_t bufs_max = 2 * out->borrowed_count + 1;
    size_t size = sizeof(struct job) + out->borrowed_count * sizeof(struct pinned) +
                  bufs_max * sizeof(uv_buf_t) + flat_left(out, skip);
    struct job *job = mem_alloc(conn->worker->mem, size);
    if (job == NULL)
        return UV_ENOMEM;
    *job = (struct job){.conn = conn,
                        .size = size,
                        .bytes = bytes - skip,
                        .events = events,
                        .pins_count = out->borrowed_count};
    job->pins = (void *)(job + 1);
    for (size_t i = 0; i < out->borrowed_count; i++)
        job->pins[i] = (struct pinned){out->borrowed[i].entry, out->borrowed[i].pin};
    uv_buf_t *bufs = (void *)(job->pins + out->borrowed_count);
    uint8_t *copy = (void *)(bufs + bufs_max);
    unsigned count = fill_bufs(out, skip, bufs);
    for (unsigned i = 0; i < count; i++) {
        if (bufs[i].len == 0 || !is_flat(out, &bufs[i]))
            continue;
        memcpy(copy, bufs[i].base, bufs[i].len);
        bufs[i] = buf_of(copy, bufs[i].len);
        copy += bufs[i].len;
    }
    int r = uv_write(&job->write, &conn->stream.stream, bufs, count, on_written);
    if (r != 0) {
        mem_free(conn->worker->mem, job, size);
        return r;
    }
    conn->queued += job->bytes;
    conn->queued_events += events ? job->bytes : 0;
    reset(out); /* the pins are the job's now */
    conn_watch(conn);
    return 0;
}

/* Writes as much as the socket takes at once. Bytes written, or a uv error.
 *
 * Not by uv_try_write(): of this connection nothing is queued in libuv when this is called, and a socket's own send
 * passes none of what write(2) does for files. With spare_cancellation() (worker.c) 4 % of a get that comes alone. */
static int write_now(struct conn *conn)
{
    struct output *out = &conn->worker->out;
    ssize_t written;
    if (out->borrowed_count == 0) {
        do
            written = send(conn->fd, out->data, out->used, MSG_NOSIGNAL);
        while (written < 0 && errno == EINTR);
        if (written < 0)
            return errno == EWOULDBLOCK || errno == ENOBUFS ? UV_EAGAIN : -errno; /* as libuv has it */
        return (int)written;
    }
    if (out->borrowed_count > STACK_BUFS / 2)
        return 0; /* so many large values are queued without trying */
    uv_buf_t bufs[STACK_BUFS];
    unsigned count = fill_bufs(out, 0, bufs);
    return uv_try_write(&conn->stream.stream, bufs, count);
}

static enum flushed flush(struct conn *conn, bool events)
{
    struct output *out = &conn->worker->out;
    if (out->used == 0 && out->borrowed_count == 0)
        return FLUSH_DONE;
    if (conn->state == CONN_CLOSING) {
        drop_all(out);
        return FLUSH_CLOSED;
    }
    uint64_t bytes = out->used + out->borrowed_total;
    int written = conn->queued == 0 ? write_now(conn) : 0;
    if (written == UV_EAGAIN)
        written = 0;
    if (written >= 0)
        conn->worker->counters.bytes_out += (uint64_t)written;
    if (likely(written >= 0 && (uint64_t)written == bytes)) {
        drop_all(out);
        return FLUSH_DONE;
    }
    int r = written < 0 ? written : queue_rest(conn, (size_t)written, bytes, events);
    if (r == 0)
        return FLUSH_QUEUED;
    drop_all(out);
    if (r == UV_ENOMEM && events && written == 0)
        return FLUSH_KEPT;
    if (r == UV_ENOMEM)
        conn_cut(conn, "no memory for its replies");
    else
        conn_close(conn, "its client is gone");
    return FLUSH_CLOSED;
}

void output_flush(struct conn *conn)
{
    (void)flush(conn, false);
}

enum flushed output_flush_events(struct conn *conn)
{
    return flush(conn, true);
}
