/* SPDX-License-Identifier: BSD-3-Clause */
/* What a start costs: pools with two slots, a value of 32 bytes and one hold an object are made in memfds, closed, and
 * recovered from them, as a daemon does it whose memory systemd has kept. `make bench-recovery` judges.
 *
 *     recovery [OBJECTS [ROUNDS]]    10 million, 3
 *
 * held: each object is held by one session. path: a random path through all begins at the only one that is held. Slots
 * name random objects. In order: values lie as their objects do; scattered: in random order.
 *
 * Time is this thread's processor time and includes the page faults of mapping afresh; the best round counts. Memory is
 * anonymous memory beyond what there was before: at most, and afterwards. */
#include "daemon/pool/pool.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define LIMIT_S       0.8 /* for OBJECTS_MEANT */
#define OBJECTS_MEANT 10000000u
#define STEP_UNITS    100000u
#define VALUE_BYTES   32u

struct row {
    const char *name;
    bool held, scattered;
};

static const struct row rows[] = {
    {"held, values in order", true, false},
    {"held, values scattered", true, true},
    {"path, values in order", false, false},
    {"path, values scattered", false, true},
};

struct bench {
    struct pool *pool;
    struct session *session;
    uint64_t *id, *order;
    uint64_t count;
    uint64_t random; /* state */
};

/* What one recovery took. */
struct figures {
    double cpu_s, wall_s;
    uint64_t peak, after; /* bytes */
};

_Noreturn static void die(const char *what)
{
    fprintf(stderr, "recovery: %s\n", what);
    exit(1);
}

static double seconds(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* splitmix64 (Steele, Lea, Flood 2014) */
static uint64_t random_next(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15ull;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ z >> 27) * 0x94d049bb133111ebull;
    return z ^ z >> 31;
}

static uint64_t anonymous_bytes(void)
{
    char line[128];
    unsigned long long kib = 0;
    FILE *status = fopen("/proc/self/status", "re");
    while (status != NULL && fgets(line, sizeof line, status) != NULL)
        if (sscanf(line, "RssAnon: %llu", &kib) == 1)
            break;
    if (status != NULL)
        fclose(status);
    return kib * 1024;
}

/* ---- making ---- */

static struct pool_config config_of(uint64_t count)
{
    return (struct pool_config){.name = "bench",
                                .max_bytes = (1ull << 30) + count * 400,
                                .epoch = 1,
                                .serial_base = 1,
                                .random_seed = 1,
                                .now_ms = 1700000000000ull,
                                .fd_meta = -1,
                                .fd_values = -1};
}

static struct value_in value_of(const uint8_t bytes[VALUE_BYTES])
{
    return (struct value_in){.form = FORM_BIN8, .data = bytes, .size = VALUE_BYTES};
}

static void put_all(struct bench *b)
{
    static const uint64_t nils[2];
    uint8_t bytes[VALUE_BYTES] = {0};
    for (uint64_t k = 0; k < b->count; k++) {
        memcpy(bytes, &k, sizeof k);
        struct put_spec spec = {.value = value_of(bytes), .refs = nils, .refs_count = 2};
        if (pool_put(b->pool, b->session, &spec, &b->id[k]) != 0)
            die(pool_fault(b->pool)->text);
        b->order[k] = b->id[k];
    }
    for (uint64_t k = b->count; k > 1; k--) {
        uint64_t other = random_next(&b->random) % k, held = b->order[k - 1];
        b->order[k - 1] = b->order[other];
        b->order[other] = held;
    }
}

static void link_to(struct bench *b, uint64_t from, uint64_t slot, uint64_t to)
{
    uint64_t previous;
    if (pool_link(b->pool, from, slot, to, &previous) != 0)
        die(pool_fault(b->pool)->text);
}

static void link_all(struct bench *b, bool held)
{
    for (uint64_t k = 0; k < b->count; k++) {
        uint64_t next = held ? b->id[random_next(&b->random) % b->count] : b->order[(k + 1) % b->count];
        link_to(b, b->order[k], 0, next);
        link_to(b, b->order[k], 1, b->id[random_next(&b->random) % b->count]);
    }
    for (uint64_t k = held ? b->count : 1; k < b->count; k++) {
        uint64_t left;
        if (pool_release(b->pool, b->session, &b->order[k], 1, 1, &left) != 0)
            die(pool_fault(b->pool)->text);
    }
}

/* A new value has a new block, and these are given out one behind the other. */
static void scatter(struct bench *b)
{
    uint8_t bytes[VALUE_BYTES] = {1};
    struct value_in value = value_of(bytes);
    for (uint64_t k = b->count; k > 1; k--) {
        uint64_t version, at = random_next(&b->random) % k, id = b->order[at];
        b->order[at] = b->order[k - 1];
        if (pool_set(b->pool, id, &value, 0, &version) != 0)
            die(pool_fault(b->pool)->text);
        (void)pool_step(b->pool, 64);
    }
}

static void make(const struct row *row, uint64_t count, int ret_fds[2])
{
    struct bench b = {.count = count, .random = 1};
    struct pool_config config = config_of(count);
    struct session_spec session = {.key = {1}, .lease_ms = 3600000};
    char error[200];
    config.create = true;
    config.fd_meta = memfd_create("recovery.meta", MFD_CLOEXEC);
    config.fd_values = memfd_create("recovery.values", MFD_CLOEXEC);
    ret_fds[0] = dup(config.fd_meta);
    ret_fds[1] = dup(config.fd_values);
    if (ret_fds[0] < 0 || ret_fds[1] < 0 || pool_open(&b.pool, &config, error, sizeof error) != 0)
        die("no pool");
    struct gc_config gc = *pool_gc_config(b.pool);
    gc.enabled = false;
    pool_gc_set_config(b.pool, &gc);
    b.id = malloc(count * sizeof *b.id);
    b.order = malloc(count * sizeof *b.order);
    if (b.id == NULL || b.order == NULL || pool_session_open(b.pool, &session, &b.session) != 0)
        die("no memory");
    put_all(&b);
    link_all(&b, row->held);
    if (row->scattered)
        scatter(&b);
    while (pool_step(b.pool, STEP_UNITS) != 0)
        continue;
    pool_close(b.pool);
    free(b.id);
    free(b.order);
}

/* ---- recovering ---- */

struct sampler {
    _Atomic bool over;
    uint64_t peak;
};

static void *sample(void *data)
{
    struct sampler *sampler = data;
    while (!atomic_load(&sampler->over)) {
        uint64_t now = anonymous_bytes();
        sampler->peak = now > sampler->peak ? now : sampler->peak;
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
    return NULL;
}

static struct figures recover(uint64_t count, const int fds[2], bool sampled)
{
    struct pool_config config = config_of(count);
    struct sampler sampler = {.peak = 0};
    struct pool_stats stats;
    struct pool *pool;
    pthread_t thread;
    char error[400];
    config.fd_meta = dup(fds[0]);
    config.fd_values = dup(fds[1]);
    uint64_t before = anonymous_bytes();
    if (sampled && pthread_create(&thread, NULL, sample, &sampler) != 0)
        die("no thread");
    double wall = seconds(CLOCK_MONOTONIC), cpu = seconds(CLOCK_THREAD_CPUTIME_ID);
    if (pool_open(&pool, &config, error, sizeof error) != 0)
        die(error);
    struct figures figures = {.cpu_s = seconds(CLOCK_THREAD_CPUTIME_ID) - cpu,
                              .wall_s = seconds(CLOCK_MONOTONIC) - wall};
    atomic_store(&sampler.over, true);
    if (sampled)
        pthread_join(thread, NULL);
    figures.after = anonymous_bytes() - before;
    figures.peak = sampler.peak > before ? sampler.peak - before : 0;
    pool_stats(pool, &stats);
    if (stats.objects != count)
        die("objects were lost");
    pool_close(pool);
    return figures;
}

/* Whether it is as fast as it must be. */
static bool measure(const struct row *row, uint64_t count, unsigned rounds)
{
    int fds[2];
    struct figures best = {.cpu_s = 1e9};
    make(row, count, fds);
    struct figures memory = recover(count, fds, true);
    for (unsigned k = 0; k < rounds; k++) {
        struct figures one = recover(count, fds, false);
        best = one.cpu_s < best.cpu_s ? one : best;
    }
    double limit = LIMIT_S * (double)count / OBJECTS_MEANT;
    bool meant = count == OBJECTS_MEANT, reached = best.cpu_s <= limit;
    printf(
        "%-24s %6.3f s work, %6.3f s in all, %5.1f ns an object; %4.0f MiB at most, %4.0f MiB afterwards%s\n",
        row->name, best.cpu_s, best.wall_s, best.cpu_s * 1e9 / (double)count, (double)memory.peak / (1 << 20),
        (double)memory.after / (1 << 20),
        !meant    ? ""
        : reached ? "  reached"
                  : "  MISSED");
    fflush(stdout);
    close(fds[0]);
    close(fds[1]);
    return !meant || reached;
}

int main(int argc, char **argv)
{
    uint64_t count = argc > 1 ? strtoull(argv[1], NULL, 10) : OBJECTS_MEANT;
    unsigned rounds = argc > 2 ? (unsigned)strtoul(argv[2], NULL, 10) : 3;
    bool reached = true;
    if (count < 1000 || rounds == 0)
        die("objects: 1000 and more; rounds: 1 and more");
    printf("recovery of %llu objects, two slots and a value of %u bytes each; required: %.1f s of work for "
           "10 million\n",
           (unsigned long long)count, VALUE_BYTES, LIMIT_S);
    for (size_t k = 0; k < sizeof rows / sizeof rows[0]; k++)
        reached &= measure(&rows[k], count, rounds);
    return reached ? 0 : 1;
}
