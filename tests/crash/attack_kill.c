/* SPDX-License-Identifier: BSD-3-Clause */
/* Killed processes: nothing that was acknowledged is lost, what was under way is whole or absent.
 *
 * A child does the operations of a seed on an image that it shares with this process, and acknowledges each in a
 * shared word once it is over. It ends itself with SIGKILL at a store of random number (every store of the flavour
 * `hook` calls a function), or is killed from here when some number of operations is acknowledged and a random
 * number of glances at that word later. Then none to three recoveries are killed as well, and what is left must
 * be the pool after the last acknowledged operation, or after the one behind it: its digest is known, since the
 * same seed was done before by this process, to the end.
 *
 * HF_SEED replays a seed, HF_ROUNDS sets how often its child is killed. */
#include "daemon/heap/recover.h"
#include "tests/crash/copy.h"
#include "tests/crash/digest.h"

#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define OPERATIONS_MAX  4000u
#define RECOVERY_STORES 40u /* a recovery makes this many stores and more */
#define RECOVERIES_MAX  3u
#define GLANCES_MAX     20000u

struct attack {
    uint64_t seed, round, rounds, acknowledged, in_flight_done, recoveries_killed, from_outside;
    uint64_t digests[OPERATIONS_MAX + 1]; /* after so many operations */
    uint64_t now_ms[OPERATIONS_MAX + 1];
    uint64_t operations;
    uint64_t stores; /* of the whole run; 0: stores are not counted in this flavour */
    _Atomic uint64_t *done;
    struct random random;
};

_Noreturn static void die(const struct attack *a, const char *what, const char *detail)
{
    fprintf(stderr, "attack_kill: HF_SEED=%llu round %llu: %s%s%s\n", (unsigned long long)a->seed,
            (unsigned long long)a->round, what, detail[0] != '\0' ? ": " : "", detail);
    exit(1);
}

/* ---- dying at a store ---- */

#if HF_STORE_HOOK
static void count_hook(void *arg)
{
    ++*(uint64_t *)arg;
}

static void kill_hook(void *arg)
{
    uint64_t *left = arg;
    if (*left > 0 && --*left == 0)
        raise(SIGKILL);
}

static void set_hook(struct heap *heap, void (*hook)(void *), uint64_t *arg)
{
    heap->meta.hook = heap->values.hook = hook;
    heap->meta.hook_arg = heap->values.hook_arg = arg;
}
#endif

/* ---- what should be there ---- */

static void reference_run(struct attack *a)
{
    static struct workload work;
    uint64_t stores = 0;
    workload_open(&work, a->seed, 64u << 20);
#if HF_STORE_HOOK
    set_hook(&work.fx.pool->heap, count_hook, &stores);
#endif
    for (uint64_t k = 0;; k++) {
        a->digests[k] = digest_of(work.fx.pool);
        a->now_ms[k] = work.fx.now_ms;
        if (k == a->operations)
            break;
        workload_step(&work);
    }
    a->stores = stores;
    workload_close(&work);
}

/* ---- the child ---- */

_Noreturn static void run_child(struct attack *a, struct workload *work, uint64_t at_store)
{
#if HF_STORE_HOOK
    uint64_t left = at_store;
    set_hook(&work->fx.pool->heap, kill_hook, &left);
#else
    (void)at_store;
#endif
    while (work->done < a->operations) {
        workload_step(work);
        atomic_store_explicit(a->done, work->done,
                              memory_order_release); /* the parent reads it at any time */
    }
    /* late for its death: what it did is compared as well */
    raise(SIGKILL);
    _exit(1);
}

/* Waits until enough is acknowledged, then a little. */
static void kill_from_outside(struct attack *a, pid_t pid)
{
    uint64_t until = random_below(&a->random, a->operations);
    while (atomic_load_explicit(a->done, memory_order_acquire) < until) {
        siginfo_t info = {0};
        if (waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT) != 0 || info.si_pid == pid)
            break;
    }
    for (uint64_t glances = random_below(&a->random, GLANCES_MAX); glances > 0; glances--)
        (void)atomic_load_explicit(a->done, memory_order_acquire);
    kill(pid, SIGKILL);
    a->from_outside++;
}

static void end_child(struct attack *a, pid_t pid)
{
    int status;
    if (pid < 0 || waitpid(pid, &status, 0) != pid)
        die(a, "a child is lost", "");
    if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL)
        die(a, "a child ended by itself", "");
}

/* A recovery of the image that is killed at some store, as often as it comes so far. */
static void kill_recovery(struct attack *a, const struct heap *image)
{
#if HF_STORE_HOOK
    uint64_t left = random_between(&a->random, 1, RECOVERY_STORES);
    pid_t pid = fork();
    if (pid == 0) {
        struct heap heap;
        struct mem mem;
        struct recover_config config = {.keep_anonymous = false};
        struct recover_result result;
        char error[200];
        const char *wrong;
        mem_init(&mem, NULL, UINT64_MAX);
        if (heap_map(&heap, image->meta.fd, image->values.fd, false, NULL, &mem, &wrong) != 0)
            _exit(2);
        set_hook(&heap, kill_hook, &left);
        _exit(heap_recover(&heap, &config, &result, error, sizeof error) == 0 ? 0 : 3);
    }
    int status;
    if (pid < 0 || waitpid(pid, &status, 0) != pid)
        die(a, "a child is lost", "");
    if (WIFSIGNALED(status) ? WTERMSIG(status) != SIGKILL : WEXITSTATUS(status) != 0)
        die(a, "a recovery before the last one failed", "");
    a->recoveries_killed += WIFSIGNALED(status) ? 1 : 0;
#else
    (void)a;
    (void)image;
#endif
}

/* ---- all ---- */

/* The ids that were told by `operations` of the seed, to see that none can come again. */
static void told_after(const struct attack *a, uint64_t operations, struct workload *work)
{
    workload_open(work, a->seed, 64u << 20);
    while (work->done < operations)
        workload_step(work);
}

static void one_round(struct attack *a)
{
    static struct workload work, again;
    bool outside = a->stores == 0 || random_once_in(&a->random, 4);
    workload_open(&work, a->seed, 64u << 20);
    atomic_store_explicit(a->done, 0, memory_order_relaxed); /* before there is a child */
    pid_t pid = fork();
    if (pid == 0)
        run_child(a, &work, outside ? 0 : random_between(&a->random, 1, a->stores));
    if (outside)
        kill_from_outside(a, pid);
    /* both sides drew from the same random numbers; go on with others */
    (void)random_next(&a->random);
    end_child(a, pid);
    uint64_t done = atomic_load_explicit(a->done, memory_order_acquire), digest = 0;
    for (uint64_t n = random_below(&a->random, RECOVERIES_MAX + 1); n > 0; n--)
        kill_recovery(a, &work.fx.pool->heap);
    told_after(a, done, &again);
    const char *wrong =
        copy_look(work.fx.pool->heap.meta.fd, work.fx.pool->heap.values.fd, a->now_ms[done], &again, &digest);
    workload_close(&again);
    if (wrong != NULL)
        die(a, "the image is not recovered as it should be", wrong);
    if (digest != a->digests[done] && (done == a->operations || digest != a->digests[done + 1]))
        die(a, "an acknowledged operation is lost, or the one in flight is there by half", "");
    a->acknowledged += done;
    a->in_flight_done += digest != a->digests[done];
    a->rounds++;
    workload_close(&work);
}

static uint64_t from_environment(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);
    return text == NULL || text[0] == '\0' ? otherwise : strtoull(text, NULL, 10);
}

int main(void)
{
    bool is_long = from_environment("HF_TEST_LONG", 0) != 0;
    uint64_t seed = from_environment("HF_SEED", 0), seeds = seed != 0 ? 1 : is_long ? 100 : 5;
    uint64_t rounds = from_environment("HF_ROUNDS", is_long ? 100 : 40);
    struct attack *a = calloc(1, sizeof *a);
    void *shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (a == NULL || shared == MAP_FAILED)
        fixture_die("no memory");
    a->done = shared;
    for (seed = seed == 0 ? 1 : seed; seeds > 0; seed++, seeds--) {
        a->seed = seed;
        a->random.state = seed ^ 0x6b696c6cull;
        a->operations = random_between(&a->random, 100, is_long ? 2000 : 600);
        reference_run(a);
        for (a->round = 0; a->round < rounds; a->round++)
            one_round(a);
    }
    printf("attack_kill: %llu rounds (%llu killed from outside), %llu acknowledged operations, %llu in "
           "flight were whole, %llu recoveries killed\n",
           (unsigned long long)a->rounds, (unsigned long long)a->from_outside,
           (unsigned long long)a->acknowledged, (unsigned long long)a->in_flight_done,
           (unsigned long long)a->recoveries_killed);
    bool well = a->rounds > 0 && a->acknowledged > 0;
    free(a);
    return well ? 0 : 1;
}
