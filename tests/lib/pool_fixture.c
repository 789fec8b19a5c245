/* SPDX-License-Identifier: BSD-3-Clause */
#include "tests/lib/pool_fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FIXTURE_MAX_BYTES (1ull << 30)

_Noreturn void fixture_die(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fputs("fixture: ", stderr);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
    abort();
}

static void must(const struct fixture *fx, int rc, const char *what)
{
    if (rc != 0)
        fixture_die("%s answered %d: %s", what, rc, rc < 0 ? pool_fault(fx->pool)->text : "again");
}

/* ---- growth ---- */

static int grow_back(const struct region_io *io, int fd, uint64_t offset, uint64_t size, bool keep_size)
{
    /* The pool hands back the pointer that it was given, which is the first member of a writable grow_io. */
    struct grow_io *grow = (struct grow_io *)(uintptr_t)io;
    grow->calls++;
    if (io->granules && offset % REGION_GRANULE != 0)
        fixture_die("a part of a granule is backed");
    if (grow->fail_at != 0 && grow->calls >= grow->fail_at && grow->calls < grow->fail_at + grow->fail_count)
        return -ENOSPC;
    if (fallocate(fd, keep_size ? FALLOC_FL_KEEP_SIZE : 0, (off_t)offset, (off_t)size) != 0)
        return -errno;
    grow->backed += size;
    return 0;
}

static int grow_punch(const struct region_io *io, int fd, uint64_t offset, uint64_t size)
{
    struct grow_io *grow = (struct grow_io *)(uintptr_t)io;
    grow->punches++;
    grow->punched += size;
    grow->punch_most = size > grow->punch_most ? size : grow->punch_most;
    int mode = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
    return fallocate(fd, mode, (off_t)offset, (off_t)size) == 0 ? 0 : -errno;
}

void grow_io_init(struct grow_io *grow)
{
    *grow = (struct grow_io){.io = {.back = grow_back, .punch = grow_punch}};
}

/* ---- life cycle ---- */

void fixture_open(struct fixture *fx)
{
    fixture_open_with(fx, &(struct fixture_options){0});
}

void fixture_open_with(struct fixture *fx, const struct fixture_options *options)
{
    *fx = (struct fixture){.now_ms = FIXTURE_START_MS, .lease_ms = 1000};
    grow_io_init(&fx->grow);
    fx->grow.io.granules = options->granules;
    struct pool_config config = {
        .name = "test",
        .max_bytes = options->max_bytes ? options->max_bytes : FIXTURE_MAX_BYTES,
        .epoch = 4711,
        .serial_base = options->serial_base ? options->serial_base : 1,
        .random_seed = options->seed ? options->seed : 1,
        .now_ms = fx->now_ms,
        .io = &fx->grow.io,
        .fd_meta = -1,
        .fd_values = -1,
    };
    char error[256] = "";
    int rc = pool_open(&fx->pool, &config, error, sizeof error);
    if (rc != 0)
        fixture_die("pool_open answered %d: %s", rc, error);
    pool_tick(fx->pool, fx->now_ms, fx->lease_ms);
    fx->a = fixture_session(fx, 1, FIXTURE_LEASE_MS, &fx->owner_a);
    fx->b = fixture_session(fx, 2, FIXTURE_LEASE_MS, &fx->owner_b);
}

void fixture_close(struct fixture *fx)
{
    pool_close(fx->pool);
    fx->pool = NULL;
}

/* ---- sessions ---- */

void fixture_key(unsigned number, uint8_t ret_key[HF_KEY_SIZE])
{
    memset(ret_key, (int)number, HF_KEY_SIZE);
    ret_key[0] = (uint8_t)(number >> 8);
}

struct session *fixture_session(struct fixture *fx, unsigned number, uint32_t lease_ms, void *owner)
{
    struct session_spec spec = {
        .pid = 1000 + number, .lease_ms = lease_ms, .replay = fx->replay, .owner = owner};
    struct session *session;
    fixture_key(number, spec.key);
    must(fx, pool_session_open(fx->pool, &spec, &session), "pool_session_open");
    return session;
}

struct session *fixture_anonymous(struct fixture *fx, void *owner)
{
    struct session_spec spec = {.anonymous = true, .owner = owner};
    struct session *session;
    must(fx, pool_session_open(fx->pool, &spec, &session), "pool_session_open");
    return session;
}

/* ---- objects ---- */

static enum form bin_form(uint64_t size)
{
    return size < 256 ? FORM_BIN8 : size < 65536 ? FORM_BIN16 : FORM_BIN32;
}

struct value_in bytes_in(const void *data, uint64_t size)
{
    return (struct value_in){.form = bin_form(size), .data = data, .size = size};
}

struct name_in name_of(const char *text)
{
    return (struct name_in){(const uint8_t *)text, (uint32_t)strlen(text)};
}

int try_put(struct fixture *fx, struct session *s, const struct put_spec *spec, uint64_t *ret_id)
{
    int rc;
    while ((rc = pool_put(fx->pool, s, spec, ret_id)) == POOL_AGAIN)
        pool_step(fx->pool, POOL_UNITS_PIECE);
    return rc;
}

static uint64_t put(struct fixture *fx, struct session *s, const struct put_spec *spec)
{
    uint64_t id = 0;
    must(fx, try_put(fx, s, spec, &id), "pool_put");
    return id;
}

uint64_t put_bytes(struct fixture *fx, struct session *s, const void *data, uint64_t size)
{
    return put(fx, s, &(struct put_spec){.value = bytes_in(data, size)});
}

struct stage *staged(struct fixture *fx, uint64_t size, uint8_t fill, bool replaces)
{
    struct stage *stage;
    uint8_t *piece = malloc(POOL_COPY_MAX);
    if (!piece)
        fixture_die("no memory");
    memset(piece, fill, POOL_COPY_MAX);
    must(fx, pool_stage_begin(fx->pool, bin_form(size), size, replaces, &stage), "pool_stage_begin");
    for (uint64_t at = 0; at < size; at += POOL_COPY_MAX) {
        uint64_t rest = size - at < POOL_COPY_MAX ? size - at : POOL_COPY_MAX;
        must(fx, pool_stage_write(fx->pool, stage, at, piece, rest), "pool_stage_write");
    }
    free(piece);
    return stage;
}

uint64_t put_filled(struct fixture *fx, struct session *s, uint64_t size, uint8_t fill)
{
    if (size > POOL_COPY_MAX) {
        struct value_in value = {
            .form = bin_form(size), .size = size, .stage = staged(fx, size, fill, false)};
        return put(fx, s, &(struct put_spec){.value = value});
    }
    uint8_t *data = malloc(size + 1);
    if (!data)
        fixture_die("no memory");
    memset(data, fill, size + 1);
    uint64_t id = put_bytes(fx, s, data, size);
    free(data);
    return id;
}

uint64_t put_refs(struct fixture *fx, struct session *s, const uint64_t *refs, uint32_t count)
{
    return put(fx, s, &(struct put_spec){.value = bytes_in("r", 1), .refs = refs, .refs_count = count});
}

uint64_t put_open(struct fixture *fx, struct session *s, uint64_t size)
{
    struct value_in value = {.form = bin_form(size), .size = size};
    return put(fx, s, &(struct put_spec){.value = value, .open = true});
}

uint64_t put_leaf(struct fixture *fx, struct session *s)
{
    return put_bytes(fx, s, "leaf", 4);
}

uint64_t chain_of(struct fixture *fx, struct session *s, uint64_t n)
{
    uint64_t head = put_bytes(fx, s, "c", 1);
    while (--n > 0) {
        uint64_t next = put_refs(fx, s, &head, 1);
        release_one(fx, s, head);
        head = next;
    }
    return head;
}

uint64_t retain_one(struct fixture *fx, struct session *s, uint64_t id)
{
    uint64_t count = 0;
    must(fx, pool_retain(fx->pool, s, &id, 1, 1, NULL, 0, &count), "pool_retain");
    return count;
}

uint64_t release_one(struct fixture *fx, struct session *s, uint64_t id)
{
    uint64_t count = 0;
    must(fx, pool_release(fx->pool, s, &id, 1, 1, &count), "pool_release");
    return count;
}

uint64_t bind_name(struct fixture *fx, const char *name, uint64_t id)
{
    uint64_t version = 0;
    must(fx, pool_name_bind(fx->pool, name_of(name), id, POOL_ANY_VERSION, &version), "pool_name_bind");
    return version;
}

/* ---- looking ---- */

struct inspect_row inspect_of(struct fixture *fx, uint64_t id)
{
    struct inspect_row row;
    must(fx, pool_inspect(fx->pool, id, &row), "pool_inspect");
    return row;
}

bool is_gone(struct fixture *fx, uint64_t id)
{
    struct value_view view;
    struct inspect_row row;
    return pool_get(fx->pool, id, &view) == -HF_E_GONE && pool_inspect(fx->pool, id, &row) == -HF_E_GONE;
}

bool value_is(struct fixture *fx, uint64_t id, uint64_t size, uint8_t fill)
{
    struct value_view view;
    must(fx, pool_get(fx->pool, id, &view), "pool_get");
    if (view.size != size || size == 0)
        return view.size == size;
    /* Each byte is like the one before it, and the first is right. */
    return view.data[0] == fill && memcmp(view.data, view.data + 1, size - 1) == 0;
}

bool refs_are(struct fixture *fx, uint64_t id, const uint64_t *refs, uint32_t count)
{
    uint64_t page[1000];
    uint32_t offset = 0, got, total = 0;
    do {
        must(fx, pool_refs(fx->pool, id, offset, page, 1000, &got, &total), "pool_refs");
        if (total != count || offset + got > total)
            return false;
        if (got > 0 && memcmp(page, refs + offset, got * sizeof *refs) != 0)
            return false;
        offset += got;
    } while (got > 0 && offset < total);
    return offset == total;
}

struct pool_stats stats_of(struct fixture *fx)
{
    struct pool_stats stats;
    pool_stats(fx->pool, &stats);
    return stats;
}

/* ---- time and work ---- */

void pass_ms(struct fixture *fx, uint64_t ms)
{
    do {
        uint64_t turn = ms < 1000 ? ms : 1000;
        fx->now_ms += turn;
        fx->lease_ms += turn;
        ms -= turn;
        pool_tick(fx->pool, fx->now_ms, fx->lease_ms);
    } while (ms > 0);
}

void drain(struct fixture *fx)
{
    const unsigned units = 4 * POOL_UNITS_PIECE;
    unsigned spent;
    do {
        spent = pool_step(fx->pool, units);
        if (spent > units)
            fixture_die("a step of %u units spent %u", units, spent);
    } while (spent == units);
    if (stats_of(fx).backlog != 0)
        fixture_die("nothing is left to do, but the backlog is not empty");
}

uint64_t verify_ok(struct fixture *fx)
{
    struct verify_result result;
    /* a pool whose budget is spent is walked too: the walk's own memory is the test's affair */
    struct mem *mem = pool_mem(fx->pool);
    uint64_t limit = mem->limit, fail_at = mem->fail_at;
    mem->limit = UINT64_MAX;
    mem->fail_at = 0;
    must(fx, pool_verify_begin(fx->pool), "pool_verify_begin");
    while (!pool_verify_step(fx->pool, 1000, &result)) {
    }
    for (unsigned i = 0; i < result.findings_count && i < 16; i++)
        fprintf(stderr, "finding: %s\n", result.findings[i].text);
    if (result.findings_count != 0)
        fixture_die("verify found %u faults", result.findings_count);
    mem->limit = limit;
    mem->fail_at = fail_at;
    return result.objects;
}
