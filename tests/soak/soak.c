/* SPDX-License-Identifier: BSD-3-Clause */
/* The program: starts the daemon, begins and ends cycles, compares them, ends the daemon. */
#include "tests/soak/soak.h"

#include "daemon/server/runners.h"
#include "tests/soak/actors.h"
#include "tests/soak/client.h"
#include "tests/soak/quiet.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define MIB             (1024.0 * 1024)
#define CYCLES_MAX      10000u
#define FLAT_CYCLES     24u
#define GROWTH_MAX      (LEDGER_STABLE * 256ull * 1024)
#define PROGRESS_MS     200u
#define ENDING_REQUESTS 3000u /* are done before the daemon is told to end */

/* ---- for all ---- */

void soak_count(struct soak *soak, enum tally tally, uint64_t n)
{
    atomic_fetch_add_explicit(&soak->tallies[tally], n, memory_order_relaxed);
}

int64_t soak_now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

void soak_pause_ms(unsigned ms)
{
    const struct timespec pause = {.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000};
    nanosleep(&pause, NULL);
}

struct random soak_random(const struct soak *soak, const char *part, unsigned number)
{
    struct random random = {.state =
                                soak->options.seed ^ (uint64_t)soak->cycle << 40 ^ (uint64_t)number << 16};
    for (; *part != '\0'; part++)
        random.state = random_next(&random) ^ (uint8_t)*part;
    return random;
}

void soak_fail(struct soak *soak, const char *format, ...)
{
    va_list arguments;
    pthread_mutex_lock(&soak->failing); /* and never unlocked: the first one tells */
    fprintf(stderr, "\nsoak: ");
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fprintf(stderr, "\nin cycle %u; the same schedule again: HF_SEED=%" PRIu64 "\n", soak->cycle,
            soak->options.seed);
    soak_pause_ms(500); /* the daemon may be writing what has made it end */
    process_tell(&soak->process);
    process_remove(&soak->process);
    _exit(1);
}

/* ---- threads ---- */

struct driver {
    struct soak *soak;
    struct client *clients;
    unsigned count;
    pthread_t thread;
};

static void round_of(struct driver *driver)
{
    for (unsigned i = 0; i < driver->count; i++)
        client_send(&driver->clients[i]);
    for (unsigned i = 0; i < driver->count; i++)
        client_receive(&driver->clients[i]);
    driver->soak->rounds_done += driver->count;
}

static void each_client(struct driver *driver, void (*act)(struct client *client))
{
    for (unsigned i = 0; i < driver->count; i++)
        act(&driver->clients[i]);
}

/* The daemon ends: takes what it still says to any of the clients, so that it need not wait for them. */
static void read_out(void *data)
{
    struct driver *driver = data;
    for (bool more = true; more; soak_pause_ms(1)) {
        more = false;
        for (unsigned i = 0; i < driver->count; i++)
            more |= client_read_out(&driver->clients[i]);
    }
}

static _Noreturn void *drive(void *data)
{
    struct driver *driver = data;
    struct soak *soak = driver->soak;
    pthread_cleanup_push(read_out, driver);
    for (;;) {
        pthread_barrier_wait(&soak->barrier);
        each_client(driver, client_begin);
        for (unsigned i = 0; soak->over || i < soak->options.rounds; i++)
            round_of(driver); /* the last time until the daemon has ended: see client_stop_if_ending() */
        each_client(driver, client_leave);
        soak->working--;
        pthread_barrier_wait(&soak->barrier);
    }
    pthread_cleanup_pop(1);
}

static void *act(void *data)
{
    struct actor *actor = data;
    struct soak *soak = actor->soak;
    for (;;) {
        pthread_barrier_wait(&soak->barrier);
        if (soak->over)
            return NULL;
        actor->random = soak_random(soak, "actor", actor->number);
        actor->act(actor);
        pthread_barrier_wait(&soak->barrier);
    }
}

struct threads {
    struct client *clients;
    struct driver drivers[SOAK_DRIVERS];
    struct actor actors[16];
    unsigned actors_count;
};

static void start_thread(pthread_t *thread, void *(*run)(void *), void *data)
{
    if (pthread_create(thread, NULL, run, data) != 0) {
        fprintf(stderr, "soak: the system gives no thread\n");
        abort();
    }
}

static void start_threads(struct soak *soak, struct threads *threads)
{
    static const struct {
        void (*act)(struct actor *actor);
        unsigned count;
    } kinds[] = {{kill_sessions, 2}, {drop_pools, LEDGER_VOLATILE}, {observe, 2}, {storm, 2}, {glut, 1},
                 {make_rings, 2}};
    unsigned clients = soak->options.clients;
    for (unsigned k = 0; k < sizeof kinds / sizeof *kinds; k++) {
        for (unsigned i = 0; i < kinds[k].count; i++)
            threads->actors[threads->actors_count++] =
                (struct actor){.soak = soak, .number = i, .act = kinds[k].act};
    }
    pthread_barrier_init(&soak->barrier, NULL, SOAK_DRIVERS + threads->actors_count + 1);
    threads->clients = calloc(clients, sizeof *threads->clients);
    if (threads->clients == NULL)
        abort();
    for (unsigned i = 0; i < clients; i++)
        client_init(&threads->clients[i], soak, i);
    for (unsigned i = 0; i < SOAK_DRIVERS; i++) {
        unsigned first = clients * i / SOAK_DRIVERS, end = clients * (i + 1) / SOAK_DRIVERS;
        threads->drivers[i] = (struct driver){soak, threads->clients + first, end - first, 0};
        start_thread(&threads->drivers[i].thread, drive, &threads->drivers[i]);
    }
    for (unsigned i = 0; i < threads->actors_count; i++)
        start_thread(&threads->actors[i].thread, act, &threads->actors[i]);
}

static void join_threads(struct soak *soak, struct threads *threads)
{
    for (unsigned i = 0; i < SOAK_DRIVERS; i++)
        pthread_join(threads->drivers[i].thread, NULL);
    for (unsigned i = 0; i < threads->actors_count; i++)
        pthread_join(threads->actors[i].thread, NULL);
    for (unsigned i = 0; i < soak->options.clients; i++)
        client_free(&threads->clients[i]);
    free(threads->clients);
    pthread_barrier_destroy(&soak->barrier);
}

/* ---- cycles ---- */

static void show_progress(const struct soak *soak, int64_t begin_ms)
{
    unsigned total = soak->options.rounds * soak->options.clients;
    if (isatty(STDERR_FILENO))
        fprintf(stderr, "\rcycle %u: %3u %% of its rounds, %" PRId64 " s \b", soak->cycle,
                soak->rounds_done * 100 / total, (soak_now_ms() - begin_ms) / 1000);
}

static void run_cycle(struct soak *soak, int64_t begin_ms)
{
    soak->clients_done = false;
    soak->working = SOAK_DRIVERS;
    soak->rounds_done = 0;
    pthread_barrier_wait(&soak->barrier);
    while (soak->working > 0) {
        soak_pause_ms(PROGRESS_MS);
        show_progress(soak, begin_ms);
    }
    soak->clients_done = true;
    pthread_barrier_wait(&soak->barrier);
}

static void tell_cycle(const struct soak *soak, const struct quiet *quiet, uint64_t requests, int64_t ms)
{
    printf("%scycle %u: %" PRIu64
           " requests in %.1f s; when all had left: pools %.2f + %.2f + %.2f MiB (values, meta, "
           "private), daemon %.1f MiB, sanitizer %.1f MiB, %u descriptors\n",
           isatty(STDERR_FILENO) ? "\r" : "", soak->cycle, requests, (double)ms / 1000,
           (double)quiet->values / MIB, (double)quiet->meta / MIB, (double)quiet->private / MIB,
           (double)quiet->process.own / MIB, (double)quiet->process.sanitizer / MIB,
           quiet->process.descriptors);
    fflush(stdout);
}

/* As it was before anybody came. */
static void check_same(struct soak *soak, const struct quiet *before, const struct quiet *now)
{
    /* runners come when they are needed, and stay */
    unsigned most = before->process.threads + soak->options.workers * 2 * RUNNERS_MOST;
    if (now->process.descriptors != before->process.descriptors ||
        now->process.threads < before->process.threads || now->process.threads > most)
        soak_fail(soak, "%u descriptors and %u threads, at the start %u and %u", now->process.descriptors,
                  now->process.threads, before->process.descriptors, before->process.threads);
}

/* Fails if all of the last quarter of the cycles had more of it than any of the second quarter, by more than
 * GROWTH_MAX and `percent`. */
static void check_one(struct soak *soak, const struct quiet *cycles, size_t figure_at, unsigned percent,
                      const char *what)
{
    uint64_t most = 0, least = UINT64_MAX;
    for (unsigned i = 0; i < soak->cycle; i++) {
        uint64_t figure = *(const uint64_t *)((const char *)&cycles[i] + figure_at);
        if (i >= soak->cycle / 4 && i < soak->cycle / 2)
            most = figure > most ? figure : most;
        if (i >= soak->cycle - soak->cycle / 4)
            least = figure < least ? figure : least;
    }
    uint64_t allowed = most + most * percent / 100 + GROWTH_MAX;
    printf("%s: at most %.2f MiB in the second quarter of the cycles, at least %.2f MiB in the last (%.2f "
           "MiB allowed)\n",
           what, (double)most / MIB, (double)least / MIB, (double)allowed / MIB);
    if (least > allowed)
        soak_fail(soak, "%s grows, although in the end of a cycle nothing is there", what);
}

/* In the same state after the same work the same memory. The first quarter is to warm up. What a pool keeps when it is
 * empty: one run of each class of blocks that it ever used, each perhaps the last one in an arena of 256 KiB, and room
 * for as many entries as there ever were at a time. So now and then a record is set, ever more seldom: between the two
 * quarters that are compared it may be one more arena for each pool. Resident memory has the allocator's own in it, in
 * which other records are set; but not what a sanitizer keeps about every page that ever was (tests/lib/smaps.h): that
 * grows as long as there are pages that were never used, while the memory does not. */
static void check_flat(struct soak *soak, const struct quiet *cycles)
{
    if (soak->cycle < FLAT_CYCLES) {
        printf("%u cycles: memory was not compared, that takes %u\n", soak->cycle, FLAT_CYCLES);
        return;
    }
    check_one(soak, cycles, offsetof(struct quiet, values), 0, "memory for values");
    check_one(soak, cycles, offsetof(struct quiet, meta), 0, "memory for objects");
    check_one(soak, cycles, offsetof(struct quiet, private), 0, "private memory of pools");
    check_one(soak, cycles, offsetof(struct quiet, process.own), 10, "resident memory");
}

static void run_cycles(struct soak *soak)
{
    struct quiet before, *cycles = calloc(CYCLES_MAX, sizeof *cycles);
    int64_t begin_ms = soak_now_ms(), now_ms;
    if (cycles == NULL)
        abort();
    quiet_settle(soak, &before);
    do {
        int64_t cycle_ms = soak_now_ms();
        uint64_t requests = soak->tallies[TALLY_REQUESTS];
        struct quiet *now = &cycles[soak->cycle++];
        run_cycle(soak, begin_ms);
        quiet_settle(soak, now);
        now_ms = soak_now_ms();
        tell_cycle(soak, now, soak->tallies[TALLY_REQUESTS] - requests, now_ms - cycle_ms);
        check_same(soak, &before, now);
    } while (soak->cycle < soak->options.cycles ||
             (soak->cycle < CYCLES_MAX && now_ms - begin_ms < (int64_t)soak->options.seconds * 1000));
    check_flat(soak, cycles);
    free(cycles);
}

/* Once more all work, and in the midst of it the daemon is told to end. */
static void end_daemon(struct soak *soak)
{
    char complaint[512];
    uint64_t until = soak->tallies[TALLY_REQUESTS] + ENDING_REQUESTS;
    soak->cycle++;
    soak->over = true;
    pthread_barrier_wait(&soak->barrier);
    while (soak->tallies[TALLY_REQUESTS] < until)
        soak_pause_ms(1);
    soak->ending = true;
    int64_t begin_ms = soak_now_ms();
    int code = process_end(&soak->process);
    printf("SIGTERM among the work of all clients: ended with %d after %" PRId64 " ms\n", code,
           soak_now_ms() - begin_ms);
    if (code != 0)
        soak_fail(soak, "the daemon ended with %d", code);
    if (process_complains(&soak->process, complaint, sizeof complaint))
        soak_fail(soak, "the daemon complains at its end: %s", complaint);
}

/* ---- the report ---- */

/* Prints what has happened; false: something of it has not. */
static bool tell_tallies(const struct soak *soak)
{
    static const char *const names[TALLY_COUNT] = {
        [TALLY_REQUESTS] = "requests answered and checked",
        [TALLY_BYTES] = "bytes of values compared",
        [TALLY_SESSIONS] = "sessions opened",
        [TALLY_RESUMED] = "resumed by key",
        [TALLY_TAKEN] = "taken by a newcomer",
        [TALLY_UNKNOWN] = "requests without an answer at a break",
        [TALLY_DONE] = "of them done, as it turned out",
        [TALLY_CUT_REPLY] = "connections cut between replies",
        [TALLY_CUT_INSIDE] = "cut inside of a reply",
        [TALLY_CUT_REQUEST] = "cut inside of a request",
        [TALLY_CUT_HALF] = "closed on one side",
        [TALLY_EXPIRED] = "leases that ran out",
        [TALLY_KILLED] = "sessions killed",
        [TALLY_DROPPED] = "clients whose pool was dropped",
        [TALLY_BYES] = "sessions ended by bye",
        [TALLY_GRAVES] = "requests answered GONE",
        [TALLY_LOOSE] = "shared objects held",
        [TALLY_CLAIMED] = "tickets claimed",
        [TALLY_SLOW] = "slow readers",
        [TALLY_LARGE] = "large values made",
        [TALLY_AUDITS] = "audits after a break",
        [TALLY_POOLS] = "pools made and dropped",
        [TALLY_STORMS] = "crowds of connections",
        [TALLY_VERIFIED] = "verifies without a finding",
        [TALLY_FULL] = "times that a pool was filled up",
        [TALLY_RINGS] = "rings of objects let go",
        [TALLY_COLLECTED] = "objects found by full collections",
        [TALLY_DELIVERED] = "guards delivered",
    };
    bool all = true;
    for (unsigned i = 0; i < TALLY_COUNT; i++) {
        printf("%12" PRIu64 "  %s\n", soak->tallies[i], names[i]);
        all &= soak->tallies[i] > 0;
    }
    return all;
}

/* ---- options ---- */

static unsigned number_of(const char *text, unsigned low, unsigned high, const char *what)
{
    char *end;
    unsigned long number = strtoul(text, &end, 10);
    if (*text == '\0' || *end != '\0' || number < low || number > high) {
        fprintf(stderr, "soak: %s is %s; it must be %u to %u\n", what, text, low, high);
        exit(2);
    }
    return (unsigned)number;
}

static void usage(FILE *to)
{
    fprintf(to, "Usage: soak [OPTION]...\n"
                "Works on a daemon with many clients, breaks their connections, and checks all it says.\n\n"
                "  --daemon PROGRAM  default $HOLDFASTD, else build/holdfastd\n"
                "  --seconds N       begin no further cycle after that (default 1)\n"
                "  --cycles N        at least so many (default 4)\n"
                "  --clients N       (default 200)\n"
                "  --rounds N        batches of requests of each client in a cycle (default 8)\n"
                "  --workers N       of the daemon (default 4)\n"
                "  --seed N          default $HF_SEED, else the time\n");
}

static void read_options(struct soak_options *options, int argc, char **argv)
{
    static const struct option longs[] = {{"daemon", required_argument, NULL, 'd'},
                                          {"seconds", required_argument, NULL, 's'},
                                          {"cycles", required_argument, NULL, 'c'},
                                          {"clients", required_argument, NULL, 'n'},
                                          {"workers", required_argument, NULL, 'w'},
                                          {"rounds", required_argument, NULL, 'r'},
                                          {"seed", required_argument, NULL, 'x'},
                                          {"help", no_argument, NULL, 'h'},
                                          {NULL, 0, NULL, 0}};
    const char *daemon = getenv("HOLDFASTD"), *seed = getenv("HF_SEED");
    *options = (struct soak_options){.daemon = daemon == NULL ? "build/holdfastd" : daemon,
                                     .seconds = 1,
                                     .cycles = 4,
                                     .clients = 200,
                                     .workers = 4,
                                     .rounds = 8,
                                     .seed = seed == NULL ? (uint64_t)time(NULL) : strtoull(seed, NULL, 10)};
    for (int option; (option = getopt_long(argc, argv, "", longs, NULL)) != -1;) {
        switch (option) {
        case 'd': options->daemon = optarg; break;
        case 's': options->seconds = number_of(optarg, 0, 1000000, "--seconds"); break;
        case 'c': options->cycles = number_of(optarg, 1, CYCLES_MAX, "--cycles"); break;
        case 'n': options->clients = number_of(optarg, SOAK_DRIVERS, SOAK_CLIENTS_MAX, "--clients"); break;
        case 'w': options->workers = number_of(optarg, 1, 64, "--workers"); break;
        case 'r': options->rounds = number_of(optarg, 1, 100000, "--rounds"); break;
        case 'x': options->seed = strtoull(optarg, NULL, 10); break;
        case 'h': usage(stdout); exit(0);
        default: usage(stderr); exit(2);
        }
    }
}

static void start(struct soak *soak)
{
    char error[256];
    pthread_mutex_init(&soak->failing, NULL);
    ledger_init(&soak->ledger);
    if (!process_start(&soak->process, soak->options.daemon, soak->options.workers, error, sizeof error))
        soak_fail(soak, "%s", error);
    if (hf__address_parse(soak->process.unix_address, &soak->unix_address) != NULL ||
        hf__address_parse(soak->process.tcp_address, &soak->tcp_address) != NULL)
        soak_fail(soak, "the daemon listens at strange addresses: %s, %s", soak->process.unix_address,
                  soak->process.tcp_address);
    quiet_make_pools(soak);
}

int main(int argc, char **argv)
{
    struct soak *soak = calloc(1, sizeof *soak);
    struct threads *threads = calloc(1, sizeof *threads);
    if (soak == NULL || threads == NULL)
        return 1;
    signal(SIGPIPE, SIG_IGN);
    read_options(&soak->options, argc, argv);
    printf("seed %" PRIu64 " (HF_SEED=%" PRIu64
           " makes the same schedule), %s, %u clients, %u pools and %u that come and "
           "go, %u workers\n",
           soak->options.seed, soak->options.seed, soak->options.daemon, soak->options.clients, LEDGER_STABLE,
           LEDGER_VOLATILE, soak->options.workers);
    start(soak);
    start_threads(soak, threads);
    run_cycles(soak);
    end_daemon(soak);
    join_threads(soak, threads);
    process_remove(&soak->process);
    bool all = tell_tallies(soak);
    ledger_done(&soak->ledger);
    pthread_mutex_destroy(&soak->failing);
    free(threads);
    free(soak);
    printf(all ? "soak: ok\n" : "soak: what has a zero above has not happened, and so was not tested\n");
    return all ? 0 : 1;
}
