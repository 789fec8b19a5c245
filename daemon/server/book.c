/* SPDX-License-Identifier: BSD-3-Clause */
#include "daemon/server/worker.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

void book_add_to(const struct book *book, struct book_sum *sum)
{
    for (unsigned method = 0; method < HF_METHOD_COUNT; method++) {
        sum->done[method] += book->done[method];
        sum->running[method] += book->running[method];
        for (unsigned code = 0; code < HF_E_COUNT; code++)
            sum->codes[method][code] += book->codes[method][code];
        if (book->durations[method] != NULL)
            histogram_merge(&sum->durations[method], book->durations[method]);
    }
}

void book_close(struct book *book)
{
    for (unsigned method = 0; method < HF_METHOD_COUNT; method++)
        free(book->durations[method]);
}

#ifndef HF_NO_BOOKKEEPING

static void end(struct book *book, enum hf_method method)
{
    book->done[method]++;
    book->fresh[method / 64] |= 1ull << method % 64;
}

void book_done(struct book *book, enum hf_method method, int code)
{
    end(book, method);
    if (code != 0)
        book->codes[method][code < 0 ? -code : code]++;
}

void book_given_up(struct book *book, enum hf_method method)
{
    end(book, method);
    book->codes[method][HF_OK]++;
}

/* ---- durations ---- */

/* Methods with something that is not timed yet are the bits of dispatch() and, of the hot path, those whose numbers
 * differ: a comparison for each read costs less than a bit for each request. */
static uint64_t untimed(const struct book *book)
{
    uint64_t set = book->fresh[0];
#define LOOK(name)                                                                                           \
    static_assert(HF_METHOD_##name < 64, "its bit is in the first word");                                    \
    if (book->done[HF_METHOD_##name] != book->timed[HF_METHOD_##name])                                       \
        set |= 1ull << HF_METHOD_##name;
    LOOK(get)
    LOOK(put)
    LOOK(retain)
    LOOK(release)
    LOOK(fetch)
    LOOK(lookup)
#undef LOOK
    return set;
}

/* Once a method; out of the way. */
__attribute__((noinline, cold)) static struct histogram *durations_new(struct book *book, unsigned method)
{
    return book->durations[method] = calloc(1, sizeof *book->durations[method]);
}

static inline void time_method(struct book *book, unsigned method, uint64_t ns)
{
    uint64_t done = book->done[method], count = done - book->timed[method];
    struct histogram *durations = book->durations[method];
    if (unlikely(durations == NULL))
        durations = durations_new(book, method);
    book->timed[method] = done;
    if (likely(durations != NULL))
        histogram_add(durations, ns, count);
    else
        book->lost += count;
}

/* Requests that are not timed yet; *ret_most: the method that most of them have. */
static uint64_t count_untimed(const struct book *book, enum hf_method *ret_most)
{
    uint64_t count = 0, most = 0;
    for (unsigned method = 0; method < HF_METHOD_COUNT; method++) {
        uint64_t own = book->done[method] - book->timed[method];
        count += own;
        if (own <= most)
            continue;
        most = own;
        *ret_most = (enum hf_method)method;
    }
    return count;
}

/* ---- slow requests ---- */

static void name_session(const struct conn *conn, struct slow_row *row)
{
    struct session_row session;
    if (conn->session == NULL)
        return;
    pool_session_row(conn->entry->pool, conn->session, &session);
    row->sid = session.sid;
    row->pid = session.pid;
    size_t size = session.name_size;
    if (size > SLOWLOG_NAME_MAX)
        for (size = SLOWLOG_NAME_MAX; size > 0 && (session.name[size] & 0xc0) == 0x80;)
            size--;
    row->name_size = (uint8_t)size;
    if (size > 0)
        memcpy(row->name, session.name, size);
}

static uint64_t time_of_day_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* Rare; out of the way. */
__attribute__((noinline, cold)) static void note_slow(struct conn *conn, uint64_t ns)
{
    struct worker *worker = conn->worker;
    struct book *book = &worker->book;
    struct slow_row row = {.at_ms = time_of_day_ms(), .duration_us = ns / 1000, .conn = conn->number};
    row.requests = count_untimed(book, &row.method);
    if (book->suspect_ns != 0) {
        row.method = book->suspect;
        memcpy(row.args, book->suspect_args, sizeof row.args);
    } else if (row.requests == 1 && worker->batch[0].method == row.method && worker->batch[0].id != 0) {
        snprintf(row.args, sizeof row.args, "%llu", (unsigned long long)worker->batch[0].id);
    }
    name_session(conn, &row);
    memcpy(row.pool, pool_name(conn->entry->pool), strlen(pool_name(conn->entry->pool)));
    slowlog_add(&worker->server->slowlog, &row);
}

static uint64_t slow_ns(const struct worker *worker)
{
    uint64_t ns = atomic_load_explicit(&worker->server->slowlog.threshold_ns, memory_order_relaxed);
    return ns == 0 ? UINT64_MAX : ns;
}

void book_executed(struct worker *worker, const struct request *request, uint64_t now_ns)
{
    struct book *book = &worker->book;
    uint64_t ns = now_ns - book->seen_ns;
    book->seen_ns = now_ns;
    if (likely(ns < slow_ns(worker) / 2 || ns <= book->suspect_ns) ||
        book->done[request->method] == book->timed[request->method])
        return;
    book->suspect_ns = ns;
    book->suspect = (enum hf_method)request->method;
    brief_params(book->suspect_args, book->suspect, request->at, &request->frame);
}

void book_resumed(struct worker *worker, enum hf_method method, const char *args)
{
    struct book *book = &worker->book;
    book->suspect_ns = 1;
    book->suspect = method;
    memcpy(book->suspect_args, args, sizeof book->suspect_args);
}

/* ---- the end of a turn of a connection ---- */

/* As uv_hrtime(), without its detour: for a batch of short requests that would be a third of all there is noted. */
static inline uint64_t monotonic_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* Methods of dispatch() beyond the first word. */
static void time_others(struct book *book, uint64_t ns)
{
    for (unsigned word = 1; word < BOOK_WORDS; word++) {
        for (uint64_t set = book->fresh[word]; set != 0; set &= set - 1)
            time_method(book, word * 64 + (unsigned)__builtin_ctzll(set), ns);
        book->fresh[word] = 0;
    }
}

/* The clock comes first, so that nothing has to be kept across the call. */
void book_flushed(struct conn *conn)
{
    uint64_t now_ns = monotonic_ns(), ns = now_ns - conn->read_ns;
    struct worker *worker = conn->worker;
    struct book *book = &worker->book;
    uint64_t set = untimed(book), more = 0;
    for (unsigned word = 1; word < BOOK_WORDS; word++)
        more |= book->fresh[word];
    if ((set | more) == 0)
        return;
    book->seen_ns = now_ns;
    if (unlikely(ns >= slow_ns(worker)))
        note_slow(conn, ns);
    book->suspect_ns = 0;
    book->fresh[0] = 0;
    for (; set != 0; set &= set - 1)
        time_method(book, (unsigned)__builtin_ctzll(set), ns);
    if (more != 0)
        time_others(book, ns);
}

#endif
