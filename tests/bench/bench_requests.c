/* SPDX-License-Identifier: BSD-3-Clause */
/* What requests cost the daemon's own code, without sockets: ns of CPU time a request, from bytes to replies, over
 * many objects in random order in batches of 64; and the end of a session that holds them all.
 *
 *   bench_requests [OBJECTS]     1,000,000
 *
 * prints one line of JSON:
 *   get          of values of 64 bytes
 *   count        retain and release by a second session, the objects stay held by the first
 *   put          put and release of what was put before
 *   session_end  ns an object that dies with its session, whose holds have lost their order before
 *   give_back    ns an object for giving its memory back to the system after that
 *   turn_us      the longest turn of both
 *   memory       two cache lines an object, fetched ahead as a get does, without any of its code: what this machine's
 *                memory alone costs */
#include "daemon/server/worker.h"
#include "proto/rpc.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

enum { BATCH = 64, VALUE = 64, REQUEST_MAX = 96, PASSES = 3, GROUP = 64 };

/* Bytes of replies; message ids have five. */
enum { HEAD = 8, GET_REPLY = HEAD + 2 + VALUE, COUNT_REPLY = HEAD + 1, PUT_REPLY = HEAD + 9 };

struct bench {
    struct log log;
    struct server *server;
    struct worker *worker;
    struct pool_entry *entry;
    struct conn maker, user; /* of no socket */
    uint64_t *ids;           /* shuffled */
    uint32_t count;          /* a multiple of BATCH */
};

static void die(const char *what)
{
    fprintf(stderr, "bench_requests: %s\n", what);
    exit(1);
}

static uint64_t cpu_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static double least(double a, double b)
{
    return a < b ? a : b;
}

/* ---- a worker without a thread, connections without a socket ---- */

static void open_conn(struct bench *bench, struct conn *conn)
{
    *conn = (struct conn){.worker = bench->worker, .entry = bench->entry, .requested = true};
    if (conn_open_session(conn) != 0)
        die("no session");
}

static void open_server(struct bench *bench)
{
    char error[256];
    int code;
    struct place place;
    struct server *server = aligned_alloc(CACHE_LINE, bits_round_up(sizeof *server, CACHE_LINE));
    if (server == NULL)
        die("no memory");
    memset(server, 0, sizeof *server);
    bench->server = server;
    log_init(&bench->log, STDERR_FILENO, LOG_LEVEL_ERROR);
    server->log = &bench->log;
    mem_init(&server->mem, NULL, 8ull << 30);
    mem_init(&server->pools_mem, &server->mem, 8ull << 30);
    if (directory_open(&server->directory) != 0 || worker_open(&bench->worker, server, 0) != 0)
        die("no worker");
    server->workers[0] = bench->worker;
    server->workers_count = 1;
    if (directory_reserve(server, "bench", &place) != 0)
        die("no place for the pool");
    bench->entry = pools_create(bench->worker, "bench", place.number, 0, error, sizeof error, &code);
    if (bench->entry == NULL)
        die(error);
    open_conn(bench, &bench->maker);
    open_conn(bench, &bench->user);
}

static void close_server(struct bench *bench)
{
    worker_close(bench->worker);
    directory_close(bench->server);
    free(bench->server);
}

/* Requests as one turn of the connection; the replies stay in the worker's output. */
static void execute(struct bench *bench, struct conn *conn, const uint8_t *requests, size_t bytes)
{
    struct hfp_scan scan = {0};
    enum loop_end end;
    bench->worker->out.used = 0;
    conn->turn_requests = 0;
    conn->turn_work = pool_work(bench->entry->pool);
    if (loop_run(conn, requests, bytes, &scan, &end) != bytes || end != LOOP_ALL)
        die("a batch was not executed");
}

/* ---- requests ---- */

static void shuffle(uint64_t *ids, uint32_t count)
{
    uint64_t state = 88172645463325252u; /* xorshift64: the same order in every run */
    for (uint32_t i = count - 1; i > 0; i--) {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        uint32_t other = (uint32_t)(state % (i + 1));
        uint64_t kept = ids[i];
        ids[i] = ids[other];
        ids[other] = kept;
    }
}

static uint8_t *write_request(uint8_t *at, const char *method, uint32_t number, uint64_t id)
{
    at = hfp_put_request_head(at, 70000 + number, method, (uint32_t)strlen(method), 1);
    return hfp_put_uint(at, id);
}

static uint8_t *write_put(uint8_t *at, uint32_t number)
{
    static const uint8_t value[VALUE];
    at = hfp_put_request_head(at, 70000 + number, "put", 3, 1);
    return hfp_put_bin(at, value, sizeof value);
}

/* The k-th request of a batch, which is about id. */
typedef uint8_t *write_fn(uint8_t *at, uint32_t k, uint64_t id);

static uint8_t *write_get(uint8_t *at, uint32_t k, uint64_t id)
{
    return write_request(at, "get", k, id);
}

static uint8_t *write_count(uint8_t *at, uint32_t k, uint64_t id)
{
    return write_request(at, k % 2 == 0 ? "retain" : "release", k, id);
}

static uint8_t *write_replace(uint8_t *at, uint32_t k, uint64_t id)
{
    return k % 2 == 0 ? write_request(at, "release", k, id) : write_put(at, k);
}

struct work {
    write_fn *write;
    unsigned requests;  /* an id; a batch has BATCH of them in all */
    size_t reply_bytes; /* of the requests about one id */
};

/* All ids in their order; ns of CPU time a request. The requests of many batches are made before the clock runs. */
static double run(struct bench *bench, struct conn *conn, const struct work *work)
{
    static uint8_t requests[GROUP][BATCH * REQUEST_MAX];
    size_t bytes[GROUP], replies = BATCH / work->requests * work->reply_bytes;
    uint64_t spent = 0;
    for (uint32_t next = 0; next < bench->count;) {
        uint32_t made = 0;
        for (; made < GROUP && next < bench->count; made++) {
            uint8_t *at = requests[made];
            for (uint32_t k = 0; k < BATCH; k++)
                at = work->write(at, k, bench->ids[next + k / work->requests]);
            next += BATCH / work->requests;
            bytes[made] = (size_t)(at - requests[made]);
        }
        uint64_t begun = cpu_ns();
        for (uint32_t k = 0; k < made; k++) {
            execute(bench, conn, requests[k], bytes[k]);
            if (bench->worker->out.used != replies)
                die("a reply is not what it should be");
        }
        spent += cpu_ns() - begun;
    }
    return (double)spent / bench->count / work->requests;
}

/* Makes the objects, all held by `maker`. */
static void put_all(struct bench *bench)
{
    static uint8_t requests[BATCH * REQUEST_MAX];
    for (uint32_t next = 0; next < bench->count;) {
        uint8_t *at = requests;
        for (uint32_t k = 0; k < BATCH; k++)
            at = write_put(at, k);
        execute(bench, &bench->maker, requests, (size_t)(at - requests));
        do { /* a turn, and what another thread has to make ready for the next ones */
            pace_touch(bench->entry);
            uv_run(&bench->worker->loop, UV_RUN_NOWAIT);
        } while (bench->entry->errand.running);
        const uint8_t *reply = bench->worker->out.data;
        for (uint32_t k = 0; k < BATCH; k++, reply += PUT_REPLY) {
            if (reply[HEAD - 1] != 0xc0 || reply[HEAD] != 0xcf)
                die("put failed");
            bench->ids[next++] = hfp_load64(reply + HEAD + 1);
        }
    }
}

/* ---- the end of a session ---- */

struct end {
    double dying, giving, turn_us;
};

static bool all_dead(const struct bench *bench)
{
    struct pool_stats stats;
    pool_stats(bench->entry->pool, &stats);
    return stats.objects == 0 && stats.holds == 0 && stats.backlog == 0;
}

/* Its turns are those of the worker: each does as much as one turn allows. */
static struct end end_session(struct bench *bench)
{
    uint64_t begun = cpu_ns(), dead = 0, now = begun, longest = 0;
    pool_session_end(bench->entry->pool, bench->maker.session, REASON_SESSION_END);
    pace_touch(bench->entry);
    for (bool more = true; more;) {
        uint64_t turn = now;
        more = pace_step(bench->worker);
        now = cpu_ns();
        longest = now - turn > longest ? now - turn : longest;
        if (dead == 0 && all_dead(bench))
            dead = now;
    }
    if (dead == 0)
        die("objects are left after the end of their session");
    return (struct end){.dying = (double)(dead - begun) / bench->count,
                        .giving = (double)(now - dead) / bench->count,
                        .turn_us = (double)longest / 1e3};
}

/* ---- the memory alone ---- */

static const uint8_t *map_memory(size_t bytes)
{
    int fd = memfd_create("bench", MFD_CLOEXEC);
    if (fd < 0 || ftruncate(fd, (off_t)bytes) != 0)
        die("no memfd");
    uint8_t *at = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (at == MAP_FAILED)
        die("no memory");
    memset(at, 1, bytes);
    return at;
}

/* Entries of 32 bytes, values of 64. */
static double read_memory(const struct bench *bench, uint64_t *sum)
{
    const uint8_t *entries = map_memory((bench->count + 1ull) * 32);
    const uint8_t *values = map_memory((bench->count + 1ull) * 64);
    uint64_t begun = cpu_ns();
    for (uint32_t first = 0; first < bench->count; first += BATCH) {
        for (uint32_t k = 0; k < BATCH; k++)
            bits_prefetch(entries + (uint32_t)bench->ids[first + k] % bench->count * 32ull);
        for (uint32_t k = 0; k < BATCH; k++) {
            uint32_t index = (uint32_t)bench->ids[first + k] % bench->count;
            *sum += entries[index * 32ull];
            bits_prefetch(values + index * 64ull);
        }
        for (uint32_t k = 0; k < BATCH; k++)
            *sum += values[(uint32_t)bench->ids[first + k] % bench->count * 64ull];
    }
    return (double)(cpu_ns() - begun) / bench->count;
}

int main(int argc, char **argv)
{
    static const struct work gets = {write_get, 1, GET_REPLY}, counts = {write_count, 2, 2 * COUNT_REPLY},
                             replaces = {write_replace, 2, COUNT_REPLY + PUT_REPLY};
    static struct bench bench;
    double get = 1e9, count = 1e9;
    uint64_t sum = 0;
    bench.count = (argc > 1 ? (uint32_t)strtoul(argv[1], NULL, 10) : 1000000) / BATCH * BATCH;
    bench.ids = malloc((bench.count + 1) * sizeof *bench.ids);
    if (bench.count == 0 || bench.ids == NULL)
        die("usage: bench_requests [OBJECTS], at least 64");
    open_server(&bench);
    put_all(&bench);
    shuffle(bench.ids, bench.count);
    double memory = read_memory(&bench, &sum);
    for (int pass = 0; pass < PASSES; pass++) {
        get = least(get, run(&bench, &bench.user, &gets));
        count = least(count, run(&bench, &bench.user, &counts));
    }
    /* A release moves the session's last hold to the place of its own: afterwards they are in random order. */
    double put = run(&bench, &bench.maker, &replaces);
    struct end end = end_session(&bench);
    printf("{\"get\": %.2f, \"count\": %.2f, \"put\": %.2f, \"session_end\": %.2f, \"give_back\": %.2f, "
           "\"turn_us\": %.1f, \"memory\": %.2f, \"checksum\": %llu}\n",
           get, count, put, end.dying, end.giving, end.turn_us, memory, (unsigned long long)sum);
    close_server(&bench);
    free(bench.ids);
    return 0;
}
