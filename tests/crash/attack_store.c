/* SPDX-License-Identifier: BSD-3-Clause */
/* The every-store attack: what if we die here?
 *
 * Random operations run on a pool. After each store into the image a hook maps the two files privately, recovers
 * that copy as the daemon would at its next start, walks every invariant, and compares its digest: the copy must
 * be the pool before the operation or after it, nothing else. No id that a client was told is ever found again
 * after its death, and none can be given out twice. Some copies are recovered with the hook on, so that recovery
 * is attacked as well.
 *
 * HF_SEED replays one seed, HF_OPS sets the operations of a seed, HF_SEEDS how many seeds. No processes, no time:
 * a seed gives the same run everywhere. */
#include "daemon/heap/recover.h"
#include "tests/crash/copy.h"
#include "tests/crash/digest.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DIGESTS_MAX   200000u
#define RESTART_EVERY 100u

#if !HF_STORE_HOOK
#error "compile the heap and this test with -DHF_STORE_HOOK=1"
#endif

struct attack {
    struct workload work;
    uint64_t seed;
    uint64_t before;               /* digest */
    uint64_t digests[DIGESTS_MAX]; /* of the copies taken in this operation */
    uint32_t digests_count;
    uint64_t snapshots, nested, calls;
    /* Of the snapshots, those taken in the sweep of a collection, in trials, and while something moves. */
    uint64_t swept, tried, moved;
    uint32_t nested_every;
    bool hooked;
};

_Noreturn static void die(struct attack *a, const char *what, const char *detail)
{
    fprintf(stderr, "attack_store: HF_SEED=%llu operation %llu, snapshot %llu: %s%s%s\n",
            (unsigned long long)a->seed, (unsigned long long)a->work.done, (unsigned long long)a->snapshots,
            what, detail[0] != '\0' ? ": " : "", detail);
    exit(1);
}

static uint64_t look(struct attack *a, int fd_meta, int fd_values)
{
    uint64_t digest = 0;
    const char *wrong = copy_look(fd_meta, fd_values, a->work.fx.now_ms, &a->work, &digest);
    if (wrong != NULL)
        die(a, "a copy is not recovered as it should be", wrong);
    a->snapshots++;
    a->swept += a->work.fx.pool->heap.collecting == COLLECT_SWEEP && a->work.tracing;
    a->tried += a->work.trying;
    a->moved += a->work.moving;
    return digest;
}

/* ---- recovery under attack ---- */

struct nested {
    struct attack *attack;
    int fd_meta, fd_values;
    uint64_t expected;
};

static void nested_hook(void *arg)
{
    struct nested *nested = arg;
    nested->attack->nested++;
    if (look(nested->attack, nested->fd_meta, nested->fd_values) != nested->expected)
        die(nested->attack, "a recovery that was killed recovers to something else", "");
}

/* The hook of a pool's image is set after it is mapped and before it is recovered: by hand, as pool_open() does it. */
static void attack_recovery(struct attack *a, uint64_t expected)
{
    const struct heap *live = &a->work.fx.pool->heap;
    struct nested nested = {.attack = a, .expected = expected};
    nested.fd_meta = copy_file(live->meta.fd);
    nested.fd_values = copy_file(live->values.fd);
    struct heap heap;
    struct mem mem;
    struct recover_config config = {.keep_anonymous = false};
    struct recover_result result;
    char error[200];
    const char *wrong;
    mem_init(&mem, NULL, UINT64_MAX);
    if (heap_map(&heap, nested.fd_meta, nested.fd_values, false, NULL, &mem, &wrong) != 0)
        die(a, "the copy cannot be mapped", wrong);
    heap.meta.hook = nested_hook;
    heap.meta.hook_arg = &nested;
    if (heap_recover(&heap, &config, &result, error, sizeof error) != 0)
        die(a, "recovery under attack refuses the image", error);
    heap_close(&heap);
}

static void store_hook(void *arg)
{
    struct attack *a = arg;
    if (!a->hooked)
        return;
    a->hooked = false; /* the recovery of the copy stores too */
    struct heap *heap = &a->work.fx.pool->heap;
    uint64_t digest = look(a, heap->meta.fd, heap->values.fd);
    if (a->digests_count == DIGESTS_MAX)
        die(a, "more stores in one operation than this test has room for", "");
    if (a->digests_count == 0 || a->digests[a->digests_count - 1] != digest)
        a->digests[a->digests_count++] = digest;
    if (++a->calls % a->nested_every == 0)
        attack_recovery(a, digest);
    a->hooked = true;
}

/* ---- operations ---- */

/* A copy may be the pool before or after, and once it is the pool after it must stay so. */
static void one_operation(struct attack *a)
{
    a->before = digest_of(a->work.fx.pool);
    a->digests_count = 0;
    a->hooked = true;
    workload_step(&a->work);
    a->hooked = false;
    uint64_t now = digest_of(a->work.fx.pool);
    bool switched = false;
    for (uint32_t k = 0; k < a->digests_count; k++) {
        uint64_t digest = a->digests[k];
        if (digest == now)
            switched = true;
        else if (digest != a->before || switched)
            die(a, "a copy is neither the pool before the operation nor the pool after it", "");
    }
    if (a->digests_count > 0 && a->digests[a->digests_count - 1] != now)
        die(a, "the operation is over, but its effect would be lost", "");
}

static void set_hook(struct attack *a, void (*hook)(void *))
{
    struct heap *heap = &a->work.fx.pool->heap;
    heap->meta.hook = heap->values.hook = hook;
    heap->meta.hook_arg = heap->values.hook_arg = a;
}

/* What was rebuilt must be as good as what it replaces, in all operations to come. */
static void restart(struct attack *a)
{
    uint64_t before = digest_of(a->work.fx.pool);
    workload_restart(&a->work);
    if (digest_of(a->work.fx.pool) != before)
        die(a, "after a restart it is another pool", "");
    set_hook(a, store_hook);
}

static void run_seed(struct attack *a, uint64_t seed, uint64_t operations_count)
{
    memset(a, 0, sizeof *a);
    a->seed = seed;
    a->nested_every = 97;
    workload_open(&a->work, seed, 64u << 20);
    set_hook(a, store_hook);
    while (a->work.done < operations_count) {
        one_operation(a);
        if (a->work.done % RESTART_EVERY == 0)
            restart(a);
    }
    set_hook(a, NULL);
    workload_close(&a->work);
}

static uint64_t from_environment(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);
    return text == NULL || text[0] == '\0' ? otherwise : strtoull(text, NULL, 10);
}

int main(void)
{
    bool is_long = from_environment("HF_TEST_LONG", 0) != 0;
    uint64_t seeds = from_environment("HF_SEEDS", is_long ? 40 : 4), first = from_environment("HF_SEED", 0);
    uint64_t count = from_environment("HF_OPS", is_long ? 640 : 400), snapshots = 0, nested = 0, swept = 0,
             tried = 0, moved = 0;
    struct attack *a = malloc(sizeof *a);
    if (first != 0)
        seeds = 1;
    for (uint64_t seed = first == 0 ? 1 : first; seeds > 0; seed++, seeds--) {
        run_seed(a, seed, count);
        snapshots += a->snapshots;
        nested += a->nested;
        swept += a->swept;
        tried += a->tried;
        moved += a->moved;
    }
    free(a);
    printf(
        "attack_store: %llu copies recovered and sound, %llu of them inside recovery, %llu inside a sweep, "
        "%llu inside trials, %llu while something moves\n",
        (unsigned long long)snapshots, (unsigned long long)nested, (unsigned long long)swept,
        (unsigned long long)tried, (unsigned long long)moved);
    return snapshots > 0 && nested > 0 && ((swept > 0 && tried > 0 && moved > 0) || first != 0) ? 0 : 1;
}
