/* SPDX-License-Identifier: BSD-3-Clause */
/* What the collector costs, through the real pool in this process: whole collections of graphs, deaths of chains, churn
 * of rings, barriers. Steps are those of the daemon: units until a slice of 200 microseconds is over. All times are of
 * this thread's processor time.
 *
 *     gc graph NAME OBJECTS     a whole collection; held live rings giant giantr mix, see make_graph()
 *     gc chain NAME OBJECTS     the head of a chain is released; ordered shuffled
 *     gc churn OBJECTS MADE     MADE objects come and go in rings of ten beside OBJECTS that live: the time of the
 *                               steps, which free them, for each collected object
 *     gc note                   rings of ten are released, and nothing is collected: in build/bare/ nothing is noted
 *                               either
 *     gc barrier OBJECTS        retain, release and link of a hot window of them, idle and while marking; built with
 *                               no_collector.h (build/bare/) the same without a collector
 *     gc trial OBJECTS          single trials of suspects anywhere in a random graph, four slots an object
 *
 * Each prints one line of JSON. */
#include "daemon/pool/internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define SLICE_NS   200000u
#define STEP_UNITS 128u
#define OVER_NS    300000u

static uint64_t cpu_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static uint64_t wall_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

_Noreturn static void die(const char *what)
{
    fprintf(stderr, "gc: %s\n", what);
    exit(1);
}

/* splitmix64 (Steele, Lea, Flood 2014) */
static uint64_t random_next(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15ull;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ z >> 27) * 0x94d049bb133111ebull;
    return z ^ z >> 31;
}

/* ---- slices ---- */

struct slices {
    uint64_t *ns; /* of each slice, thread CPU */
    uint64_t count, room, total;
};

static void slices_add(struct slices *s, uint64_t ns)
{
    if (s->count == s->room) {
        s->room = s->room == 0 ? 4096 : s->room * 2;
        s->ns = realloc(s->ns, s->room * sizeof *s->ns);
        if (s->ns == NULL)
            die("no memory");
    }
    s->ns[s->count++] = ns;
    s->total += ns;
}

static int ascending(const void *a, const void *b)
{
    const uint64_t *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

static void slices_print(struct slices *s)
{
    uint64_t over = 0;
    qsort(s->ns, s->count, sizeof *s->ns, ascending);
    for (uint64_t k = 0; k < s->count; k++)
        over += s->ns[k] > OVER_NS;
    uint64_t most = s->count > 0 ? s->ns[s->count - 1] : 0;
    uint64_t p999 = s->count > 0 ? s->ns[(s->count - 1) * 999 / 1000] : 0;
    printf("\"cpu_ns\": %llu, \"slices\": %llu, \"slice_p999_us\": %.1f, \"slice_max_us\": %.1f, "
           "\"slices_over_300us\": %llu",
           (unsigned long long)s->total, (unsigned long long)s->count, (double)p999 / 1e3, (double)most / 1e3,
           (unsigned long long)over);
}

/* One slice as the daemon does it (daemon/server/pace.c); false: nothing was left to do. */
static bool slice(struct pool *pool, struct slices *s)
{
    uint64_t begin = cpu_ns(), begin_wall = wall_ns(), now = begin_wall, last;
    unsigned spent;
    do {
        spent = pool_step(pool, STEP_UNITS);
        last = wall_ns() - now;
        now += last;
    } while (spent >= STEP_UNITS && now - begin_wall + 2 * last < SLICE_NS / 8 * 5);
    slices_add(s, cpu_ns() - begin);
    return spent >= STEP_UNITS;
}

/* ---- building ---- */

struct bench {
    struct pool *pool;
    struct session *builder, *keeper;
    uint64_t *id;
    uint64_t count;
    uint64_t random; /* state */
};

static struct session *session_open(struct pool *pool, uint8_t key)
{
    struct session_spec spec = {.lease_ms = 1000, .owner = pool};
    struct session *s;
    memset(spec.key, key, sizeof spec.key);
    if (pool_session_open(pool, &spec, &s) != 0)
        die("no session");
    return s;
}

static void bench_open(struct bench *b, uint64_t count)
{
    struct pool_config config = {.name = "bench",
                                 .max_bytes = (256ull << 20) + count * 400,
                                 .epoch = 1,
                                 .serial_base = 1,
                                 .random_seed = 1,
                                 .now_ms = 1700000000000ull,
                                 .fd_meta = -1,
                                 .fd_values = -1};
    char error[200];
    if (pool_open(&b->pool, &config, error, sizeof error) != 0)
        die(error);
    struct gc_config gc = *pool_gc_config(b->pool);
    gc.enabled = false;
    pool_gc_set_config(b->pool, &gc);
    b->builder = session_open(b->pool, 1);
    b->keeper = session_open(b->pool, 2);
    b->count = count;
    b->random = 1;
    b->id = malloc((count + 1) * sizeof *b->id);
    if (b->id == NULL)
        die("no memory");
}

/* What a thread of the daemon's does beside its turns (daemon/server/errand.c). */
static void run_errands(struct pool *pool)
{
    struct pool_errand errand;
    while (pool_errand_begin(pool, &errand))
        pool_errand_end(&errand, pool_errand_run(&errand));
}

static uint64_t put(struct bench *b, struct session *s, const uint64_t *refs, uint32_t count)
{
    struct put_spec spec = {.value = {.form = FORM_BIN8, .data = (const uint8_t *)"v", .size = 1},
                            .refs = refs,
                            .refs_count = count};
    uint64_t id;
    if (pool_put(b->pool, s, &spec, &id) != 0)
        die(pool_fault(b->pool)->text);
    run_errands(b->pool);
    return id;
}

static void link_to(struct bench *b, uint64_t from, uint64_t slot, uint64_t to)
{
    uint64_t previous;
    if (pool_link(b->pool, from, slot, to, &previous) != 0)
        die(pool_fault(b->pool)->text);
}

static void put_all(struct bench *b)
{
    static const uint64_t nils[2];
    for (uint64_t k = 0; k < b->count; k++)
        b->id[k] = put(b, b->builder, nils, 2);
}

static void keep(struct bench *b, uint64_t id)
{
    uint64_t count;
    if (pool_retain(b->pool, b->keeper, &id, 1, 1, NULL, 0, &count) != 0)
        die(pool_fault(b->pool)->text);
}

static void shuffle(struct bench *b, uint64_t *id, uint64_t count)
{
    for (uint64_t k = count; k > 1; k--) {
        uint64_t other = random_next(&b->random) % k, held = id[k - 1];
        id[k - 1] = id[other];
        id[other] = held;
    }
}

/* The ids from `first` on, `count` of them, become a path in random order from id[first], with a random second slot. */
static void make_live(struct bench *b, uint64_t first, uint64_t count)
{
    uint64_t *order = malloc(count * sizeof *order);
    if (order == NULL)
        die("no memory");
    memcpy(order, b->id + first, count * sizeof *order);
    shuffle(b, order + 1, count - 1);
    for (uint64_t k = 0; k < count; k++) {
        if (k + 1 < count)
            link_to(b, order[k], 0, order[k + 1]);
        link_to(b, order[k], 1, order[random_next(&b->random) % count]);
    }
    free(order);
    keep(b, b->id[first]);
}

static void make_rings(struct bench *b, uint64_t first, uint64_t count, uint64_t length)
{
    for (uint64_t at = first; at < first + count; at += length) {
        uint64_t end = at + length < first + count ? at + length : first + count;
        for (uint64_t k = at; k < end; k++)
            link_to(b, b->id[k], 0, b->id[k + 1 < end ? k + 1 : at]);
    }
}

/* held: each is held and has two random slots. live: a path through all in random order, and a random slot each. rings:
 * of ten, in order. giant: one ring of all, in order; giantr: in random order, and a random slot each. mix: nine tenths
 * live, one tenth rings. */
static void make_graph(struct bench *b, const char *name)
{
    if (strcmp(name, "live") == 0) {
        make_live(b, 0, b->count);
    } else if (strcmp(name, "held") == 0) {
        for (uint64_t k = 0; k < b->count; k++)
            for (uint64_t slot = 0; slot < 2; slot++)
                link_to(b, b->id[k], slot, b->id[random_next(&b->random) % b->count]);
        for (uint64_t k = 0; k < b->count; k++)
            keep(b, b->id[k]);
    } else if (strcmp(name, "rings") == 0) {
        make_rings(b, 0, b->count, 10);
    } else if (strcmp(name, "giant") == 0) {
        make_rings(b, 0, b->count, b->count);
    } else if (strcmp(name, "giantr") == 0) {
        shuffle(b, b->id, b->count);
        make_rings(b, 0, b->count, b->count);
        for (uint64_t k = 0; k < b->count; k++)
            link_to(b, b->id[k], 1, b->id[random_next(&b->random) % b->count]);
    } else if (strcmp(name, "mix") == 0) {
        uint64_t live = b->count / 10 * 9;
        make_live(b, 0, live);
        make_rings(b, live, b->count - live, 10);
    } else {
        die("no such graph");
    }
}

static void drain(struct pool *pool)
{
    while (pool_step(pool, 100000) != 0) {
    }
}

/* ---- what is measured ---- */

static void bench_graph(const char *name, uint64_t objects)
{
    struct bench b;
    struct slices s = {0};
    struct gc_result result;
    bench_open(&b, objects);
    put_all(&b);
    make_graph(&b, name);
    pool_session_end(b.pool, b.builder, REASON_SESSION_END);
    drain(b.pool);
    struct gc_ticket ticket;
    if (pool_collect(b.pool, false, false, &ticket) != 0)
        die("no memory");
    while (!pool_collect_done(b.pool, ticket, &result))
        (void)slice(b.pool, &s);
    printf("{\"graph\": \"%s\", \"objects\": %llu, \"collected\": %llu, ", name, (unsigned long long)objects,
           (unsigned long long)result.collected);
    slices_print(&s);
    printf(", \"ns_per_object\": %.1f, \"units\": %llu}\n", (double)s.total / (double)objects,
           (unsigned long long)result.units);
}

/* What a step from one object to the next costs the memory alone, ns: a chain of hot entries in the order of the ids,
 * in a memfd as theirs, and nothing to do but to follow it. */
static double follow(const struct bench *b)
{
    size_t size = b->count * sizeof(struct hot);
    int fd = memfd_create("gc-bench", MFD_CLOEXEC);
    struct hot *at = MAP_FAILED;
    if (fd >= 0 && ftruncate(fd, (off_t)size) == 0)
        at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (at == MAP_FAILED)
        die("no memory");
    for (uint64_t k = 0; k < b->count; k++) /* ids are those of indexes from 1 on */
        at[id_index(b->id[k]) - 1].value = id_index(b->id[(k + 1) % b->count]) - 1;
    uint64_t begin = cpu_ns(), place = id_index(b->id[0]) - 1;
    for (uint64_t k = 0; k < b->count; k++)
        place = at[place].value;
    double ns = (double)(cpu_ns() - begin) / (double)b->count;
    if (place != id_index(b->id[0]) - 1)
        die("the chain was not followed to its end");
    munmap(at, size);
    close(fd);
    return ns;
}

static void release(struct bench *b, struct session *s, uint64_t id)
{
    uint64_t count;
    if (pool_release(b->pool, s, &id, 1, 1, &count) != 0)
        die(pool_fault(b->pool)->text);
}

/* So that a single call is not one that pages its code in. */
static void warm_up(struct bench *b)
{
    static const uint64_t nils[2];
    for (unsigned k = 0; k < 100; k++) {
        uint64_t child = put(b, b->keeper, nils, 2), parent = put(b, b->keeper, &child, 1);
        release(b, b->keeper, child);
        release(b, b->keeper, parent);
    }
}

/* The call is timed by the wall, whose clock costs less than it, the slices by processor time. */
static void bench_chain(const char *name, uint64_t objects)
{
    struct bench b;
    struct slices s = {0};
    bench_open(&b, objects);
    put_all(&b);
    if (strcmp(name, "shuffled") == 0)
        shuffle(&b, b.id, b.count);
    for (uint64_t k = 0; k + 1 < b.count; k++)
        link_to(&b, b.id[k], 0, b.id[k + 1]);
    keep(&b, b.id[0]);
    pool_session_end(b.pool, b.builder, REASON_SESSION_END);
    drain(b.pool);
    warm_up(&b);
    uint64_t begin = wall_ns();
    release(&b, b.keeper, b.id[0]);
    uint64_t call_ns = wall_ns() - begin;
    while (slice(b.pool, &s)) {
    }
    printf("{\"chain\": \"%s\", \"objects\": %llu, \"call_ns\": %llu, ", name, (unsigned long long)objects,
           (unsigned long long)call_ns);
    slices_print(&s);
    printf(", \"ns_per_object\": %.1f, \"memory_ns\": %.1f}\n", (double)s.total / (double)objects,
           follow(&b));
}

/* ---- churn ---- */

#define RING 10u
#define TURN_RINGS                                                                                           \
    25u /* made between two slices: what a turn of the daemon's loop takes from one connection */
#define TURN_OBJECTS (TURN_RINGS * RING)

/* What a look at the clock takes, at least. */
static uint64_t clock_ns(void)
{
    uint64_t least = UINT64_MAX;
    for (unsigned k = 0; k < 1000; k++) {
        uint64_t begin = cpu_ns(), ns = cpu_ns() - begin;
        least = ns < least ? ns : least;
    }
    return least;
}

/* A ring, one member with a slot on a living object. */
static void make_ring(struct bench *b, uint64_t ids[RING])
{
    struct put_spec specs[RING];
    uint64_t refs[RING][2];
    for (uint64_t k = 0; k < RING; k++) {
        refs[k][0] = UINT64_MAX - (k + 1) % RING; /* the next item */
        refs[k][1] = b->id[random_next(&b->random) % b->count];
        specs[k] = (struct put_spec){.value = {.form = FORM_BIN8, .data = (const uint8_t *)"v", .size = 1},
                                     .refs = refs[k],
                                     .refs_count = k == 0 ? 2 : 1};
    }
    if (pool_put_many(b->pool, b->keeper, specs, RING, ids) != 0)
        die(pool_fault(b->pool)->text);
}

static void make_rings_of_a_turn(struct bench *b, uint64_t ids[TURN_OBJECTS])
{
    for (unsigned ring = 0; ring < TURN_RINGS; ring++)
        make_ring(b, ids + (uint64_t)ring * RING);
}

static void release_rings(struct bench *b, const uint64_t ids[TURN_OBJECTS])
{
    uint64_t counts[RING];
    for (unsigned ring = 0; ring < TURN_RINGS; ring++)
        if (pool_release(b->pool, b->keeper, ids + (uint64_t)ring * RING, RING, 1, counts) != 0)
            die(pool_fault(b->pool)->text);
}

struct churned {
    uint64_t clients_ns; /* processor time of making and releasing */
    uint64_t peak;       /* most objects alive */
    struct slices slices;
};

/* The rings of a turn come and go, then there is a slice, and what a thread does beside goes on uncounted. */
static void churn_turn(struct bench *b, struct churned *c, uint64_t a_look_ns)
{
    uint64_t ids[TURN_OBJECTS], begin = cpu_ns();
    make_rings_of_a_turn(b, ids);
    release_rings(b, ids);
    c->clients_ns += cpu_ns() - begin - a_look_ns;
    struct pool_stats stats;
    pool_stats(b->pool, &stats);
    c->peak = stats.objects > c->peak ? stats.objects : c->peak;
    if (pool_has_work(b->pool))
        (void)slice(b->pool, &c->slices);
    run_errands(b->pool);
}

static void collect(struct bench *b)
{
    struct gc_ticket ticket;
    struct gc_result result;
    if (pool_collect(b->pool, false, false, &ticket) != 0)
        die("no memory");
    while (!pool_collect_done(b->pool, ticket, &result))
        drain(b->pool);
}

static uint64_t collected(const struct bench *b)
{
    struct gc_stats stats;
    pool_gc_stats(b->pool, &stats);
    return stats.total.collected + stats.young_total.collected;
}

/* A quarter of it first, which touches the memory, is not counted. */
static void bench_churn(uint64_t objects, uint64_t made)
{
    struct bench b;
    struct churned c = {0};
    struct pool_stats stats;
    uint64_t a_look_ns = clock_ns(), turns = made / TURN_OBJECTS, before = 0;
    bench_open(&b, objects * 2 + made / 8);
    b.count = objects;
    put_all(&b);
    make_live(&b, 0, objects);
    pool_session_end(b.pool, b.builder, REASON_SESSION_END);
    drain(b.pool);
    collect(&b);
    struct gc_config config = *pool_gc_config(b.pool);
    config.enabled = true;
    pool_gc_set_config(b.pool, &config);
    pool_stats(b.pool, &stats);
    for (uint64_t turn = 0; turn < turns / 4 + turns; turn++) {
        if (turn == turns / 4) {
            free(c.slices.ns);
            c = (struct churned){0};
            before = collected(&b);
        }
        churn_turn(&b, &c, a_look_ns);
    }
    uint64_t freed = collected(&b) - before, of = turns * TURN_OBJECTS;
    uint64_t steps_ns = c.slices.total - c.slices.count * a_look_ns;
    printf("{\"churn\": %llu, \"made\": %llu, \"collected\": %llu, \"clients_ns_per_object\": %.1f, "
           "\"steps_ns_per_collected\": %.1f, \"peak_extra\": %llu, ",
           (unsigned long long)objects, (unsigned long long)of, (unsigned long long)freed,
           (double)c.clients_ns / (double)of, freed > 0 ? (double)steps_ns / (double)freed : 0.0,
           (unsigned long long)(c.peak - stats.objects));
    slices_print(&c.slices);
    printf("}\n");
}

#define NOTE_TURNS 40u /* that many suspects have room in the ring */

/* The least that the release of an object in a ring took in a turn. Nothing is collected. */
static void bench_note(void)
{
    struct bench b;
    uint64_t ids[TURN_OBJECTS], least = UINT64_MAX, a_look_ns = clock_ns();
    bench_open(&b, NOTE_TURNS * TURN_OBJECTS);
    b.id[0] = put(&b, b.keeper, NULL, 0);
    b.count = 1;
    for (unsigned turn = 0; turn < NOTE_TURNS; turn++) {
        make_rings_of_a_turn(&b, ids);
        uint64_t begin = cpu_ns();
        release_rings(&b, ids);
        uint64_t ns = cpu_ns() - begin - a_look_ns;
        least = ns < least ? ns : least;
    }
    printf("{\"note\": %u, \"release_ns\": %.2f}\n", NOTE_TURNS * TURN_OBJECTS, (double)least / TURN_OBJECTS);
}

/* ---- barriers ---- */

#define WINDOW 4000u
#define PASSES 300u

enum barrier { RETAIN, RELEASE, LINK, BARRIERS };

static void operate(struct bench *b, enum barrier which, uint64_t k)
{
    uint64_t ret;
    int err = 0;
    if (which == RETAIN)
        err = pool_retain(b->pool, b->keeper, &b->id[k], 1, 1, NULL, 0, &ret);
    else if (which == RELEASE)
        err = pool_release(b->pool, b->keeper, &b->id[k], 1, 1, &ret);
    else
        err = pool_link(b->pool, b->id[k], 1, b->id[(k * 7 + 1) % WINDOW], &ret);
    if (err != 0)
        die(pool_fault(b->pool)->text);
}

/* The least that each operation took in a pass over the window, ns. */
static void operate_all(struct bench *b, double ret_ns[BARRIERS])
{
    for (unsigned which = 0; which < BARRIERS; which++)
        ret_ns[which] = 1e9;
    for (unsigned pass = 0; pass < PASSES; pass++)
        for (unsigned which = 0; which < BARRIERS; which++) {
            uint64_t begin = cpu_ns();
            for (uint64_t k = 1; k < WINDOW; k++)
                operate(b, which, k);
            double ns = (double)(cpu_ns() - begin) / (WINDOW - 1);
            ret_ns[which] = ns < ret_ns[which] ? ns : ret_ns[which];
        }
}

/* The window's objects live by slots: each retain is the first, each release leaves a suspect. They have lived through
 * a collection, as what lives long has; without it the ring of suspects would be full of what building left, since
 * automatic collections are off, and no daemon stays like that. */
static void bench_barrier(uint64_t objects)
{
    struct bench b;
    struct gc_ticket ticket;
    double idle[BARRIERS], marking[BARRIERS];
    if (objects < WINDOW)
        die("too few objects");
    bench_open(&b, objects);
    put_all(&b);
    make_live(&b, 0, objects);
    pool_session_end(b.pool, b.builder, REASON_SESSION_END);
    drain(b.pool);
    collect(&b);
    operate_all(&b, idle);
    if (pool_collect(b.pool, false, false, &ticket) != 0)
        die("no memory");
    while (b.pool->gc.phase != GC_MARK)
        (void)pool_step(b.pool, 1);
    operate_all(&b, marking);
    if (b.pool->gc.phase != GC_MARK)
        die("marking went on");
    printf(
        "{\"barrier\": %llu, \"idle\": {\"retain\": %.2f, \"release\": %.2f, \"link\": %.2f}, \"marking\": "
        "{\"retain\": %.2f, \"release\": %.2f, \"link\": %.2f}}\n",
        (unsigned long long)objects, idle[RETAIN], idle[RELEASE], idle[LINK], marking[RETAIN],
        marking[RELEASE], marking[LINK]);
}

/* Trials as large as they get, on memory that no cache holds: each sees one suspect and is cut. */
static void bench_trial(uint64_t objects)
{
    static const uint64_t nils[4];
    struct bench b;
    struct slices s = {0};
    struct gc_ticket ticket;
    struct gc_result result;
    uint64_t count, units = 0;
    bench_open(&b, objects);
    for (uint64_t k = 0; k < objects; k++)
        b.id[k] = put(&b, b.builder, nils, 4);
    for (uint64_t k = 0; k < objects; k++)
        for (unsigned slot = 0; slot < 4; slot++)
            link_to(&b, b.id[k], slot, b.id[random_next(&b.random) % objects]);
    keep(&b, b.id[0]);
    pool_session_end(b.pool, b.builder, REASON_SESSION_END);
    drain(b.pool);
    for (unsigned k = 0; k < 2000; k++) {
        uint64_t id = b.id[random_next(&b.random) % objects];
        if (pool_retain(b.pool, b.keeper, &id, 1, 1, NULL, 0, &count) == 0)
            (void)pool_release(b.pool, b.keeper, &id, 1, 1, &count);
    }
    pool_collect_young(b.pool, false, &ticket);
    while (!pool_collect_done(b.pool, ticket, &result)) {
        uint64_t before = pool_work(b.pool), begin = cpu_ns();
        (void)pool_step(b.pool, 1);
        slices_add(&s, cpu_ns() - begin);
        units += pool_work(b.pool) - before;
    }
    printf("{\"trial\": %llu, \"looked_at\": %llu, \"units\": %llu, ", (unsigned long long)objects,
           (unsigned long long)result.candidates, (unsigned long long)units);
    slices_print(&s);
    printf(", \"ns_per_unit\": %.1f}\n", (double)s.total / (double)units);
}

int main(int count, char **arguments)
{
    if (count == 4 && strcmp(arguments[1], "graph") == 0)
        bench_graph(arguments[2], strtoull(arguments[3], NULL, 10));
    else if (count == 4 && strcmp(arguments[1], "chain") == 0)
        bench_chain(arguments[2], strtoull(arguments[3], NULL, 10));
    else if (count == 4 && strcmp(arguments[1], "churn") == 0)
        bench_churn(strtoull(arguments[2], NULL, 10), strtoull(arguments[3], NULL, 10));
    else if (count == 2 && strcmp(arguments[1], "note") == 0)
        bench_note();
    else if (count == 3 && strcmp(arguments[1], "barrier") == 0)
        bench_barrier(strtoull(arguments[2], NULL, 10));
    else if (count == 3 && strcmp(arguments[1], "trial") == 0)
        bench_trial(strtoull(arguments[2], NULL, 10));
    else
        die("usage: gc graph NAME OBJECTS | gc chain NAME OBJECTS | gc churn OBJECTS MADE | gc note | "
            "gc barrier OBJECTS | gc trial OBJECTS");
    return 0;
}
