/* SPDX-License-Identifier: BSD-3-Clause */
#include "daemon/server/worker.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

void book_add_to(const struct book *book, struct book_sum *sum)
{
    for (unsigned method = 0; method < HF_METHOD_COUNT; method++) {
        sum->done[method] += book->timed[method] + book->untimed[method];
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
    book->untimed[method]++;
    book->fresh[method / 64] |= 1ull << method % 64;
    book->batched += BOOK_ODD;
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

/* Methods with something that is not timed yet are the bits of dispatch() and, of the hot path, those that have a
 * number: a comparison for each turn costs less than a bit for each request. */
static uint64_t untimed(const struct book *book)
{
    uint64_t set = book->fresh[0];
#define LOOK(name)                                                                                           \
    static_assert(HF_METHOD_##name < 64, "its bit is in the first word");                                    \
    if (book->untimed[HF_METHOD_##name] != 0)                                                                \
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

static void time_any(struct book *book, unsigned method, uint64_t ns)
{
    if (unlikely(book->durations[method] == NULL))
        book->durations[method] = calloc(1, sizeof *book->durations[method]);
    uint64_t count = book->untimed[method];
    if (likely(book->durations[method] != NULL))
        histogram_add(book->durations[method], ns, count);
    else
        book->lost += count;
    book->untimed[method] = 0;
    book->timed[method] += count;
}

/* Requests that are not timed yet; *ret_most: the method that most of them have. */
static uint64_t count_untimed(const struct book *book, enum hf_method *ret_most)
{
    uint64_t count = 0, most = 0;
    for (unsigned method = 0; method < HF_METHOD_COUNT; method++) {
        uint64_t own = book->untimed[method];
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
    if (conn->turn_requests != 0 || book->suspect_ns != 0) /* else it has sent a part of a request only */
        name_session(conn, &row);
    memcpy(row.pool, pool_name(conn->entry->pool), strlen(pool_name(conn->entry->pool)));
    slowlog_add(&worker->server->slowlog, &row);
}

static uint64_t quick_ns(const struct worker *worker)
{
    return atomic_load_explicit(&worker->server->slowlog.quick_ns, memory_order_relaxed);
}

/* Of what is not quick. */
static bool is_slow(const struct worker *worker, uint64_t ns)
{
    uint64_t threshold = atomic_load_explicit(&worker->server->slowlog.threshold_ns, memory_order_relaxed);
    return threshold != 0 && ns >= threshold;
}

void book_executed(struct worker *worker, const struct request *request, uint64_t now_ns)
{
    struct book *book = &worker->book;
    uint64_t ns = now_ns - book->seen_ns;
    book->seen_ns = now_ns;
    if (likely(ns <= quick_ns(worker) / 2 || ns <= book->suspect_ns) || book->untimed[request->method] == 0)
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

/* ---- the end of a turn, of a connection or the loop ---- */

/* As uv_hrtime(), without its detour: for a batch of short requests that would be a third of all there is noted. */
static inline uint64_t monotonic_ns(struct book *book)
{
    clock_gettime(CLOCK_MONOTONIC, &book->clock);
    return (uint64_t)book->clock.tv_sec * 1000000000u + (uint64_t)book->clock.tv_nsec;
}

/* Methods of dispatch() beyond the first word. */
static void time_others(struct book *book, uint64_t ns)
{
    for (unsigned word = 1; word < BOOK_WORDS; word++) {
        for (uint64_t set = book->fresh[word]; set != 0; set &= set - 1)
            time_any(book, word * 64 + (unsigned)__builtin_ctzll(set), ns);
        book->fresh[word] = 0;
    }
}

/* Requests of whatever methods. */
static __attribute__((noinline)) void time_all(struct conn *conn, uint64_t ns)
{
    struct worker *worker = conn->worker;
    struct book *book = &worker->book;
    uint64_t set = untimed(book), more = 0;
    for (unsigned word = 1; word < BOOK_WORDS; word++)
        more |= book->fresh[word];
    book->batched = 0;
    if ((set | more) == 0)
        return;
    if (unlikely(is_slow(worker, ns)))
        note_slow(conn, ns);
    book->suspect_ns = 0;
    book->fresh[0] = 0;
    for (; set != 0; set &= set - 1)
        time_any(book, (unsigned)__builtin_ctzll(set), ns);
    if (more != 0)
        time_others(book, ns);
}

/* Times a method, if it has a histogram; returns how many requests of it were not timed yet. */
static inline uint64_t time_hot(struct book *book, unsigned method, uint64_t ns, unsigned bucket)
{
    struct histogram *durations = book->durations[method];
    uint64_t own = book->untimed[method];
    if (unlikely(durations == NULL))
        return 0;
    histogram_add_in(durations, bucket, ns, own);
    book->untimed[method] = 0;
    book->timed[method] += own;
    return own;
}

/* Nearly always all that is not timed yet has one method of the hot path, that of the last batch's first request, or
 * also that of its second. */
void book_time_turn(struct worker *worker, uint64_t ns, uint64_t us)
{
    struct book *book = &worker->book;
    struct conn *conn = book->last;
    uint64_t left = book->batched;
    book->last = NULL;
    if (likely(ns <= quick_ns(worker))) {
        unsigned bucket = histogram_bucket_of_short(us);
        left -= time_hot(book, worker->batch[0].method, ns, bucket);
        if (left != 0)
            left -= time_hot(book, worker->batch[1].method, ns, bucket);
    }
    if (likely(left == 0))
        book->batched = 0;
    else
        time_all(conn, ns);
}

void book_flushed(struct conn *conn)
{
    struct book *book = &conn->worker->book;
    book->seen_ns = monotonic_ns(book);
    book->last = conn;
    uint64_t ns = book->seen_ns - conn->read_ns;
    book_time_turn(conn->worker, ns, ns / 1000);
}

void book_settle(struct book *book)
{
    if (likely(book->last == NULL))
        return;
    book->batched += BOOK_ODD; /* who asks may be amid a batch that is not counted yet */
    book_flushed(book->last);
}

#endif
