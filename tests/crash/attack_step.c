/* SPDX-License-Identifier: BSD-3-Clause */
/* Death at every instruction: what the compiler made of the order of stores, not what the source says.
 *
 * A child does random operations, one machine instruction at a time (ptrace), on an image that it shares with this
 * process. After each instruction that changed the image, a private copy is recovered, walked and compared: it must
 * be the pool before the operation or after it. So this is the one attack that sees stores which the compiler
 * moved across each other; it is worth most on an optimised build without hooks, since a call of a hook keeps them
 * in place.
 *
 * To find changes cheaply, the pages of the image that hold anything are compared with a copy of them after each
 * step; a page that was empty joins at the end of the operation that first wrote into it.
 *
 * HF_SEED replays a seed, HF_OPS sets its operations. */
#include "tests/crash/copy.h"
#include "tests/crash/digest.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#define OPERATIONS_MAX 1000u
#define BEFORE         120u /* operations at full speed, so that the pool is no empty one */
#define PAGES_MAX      2048u
#define MAX_BYTES      (4ull << 20)

/* This process's own view of a file: what the child maps when its pool grows is not in the mappings that both have. */
struct view {
    const uint8_t *base;
    off_t size;
};

struct page {
    const uint8_t *at; /* in the view */
    uint8_t was[PAGE_BYTES];
};

struct attack {
    struct workload work, again; /* the child's, and one of this process to know who was told what */
    uint64_t seed, operations, digests[OPERATIONS_MAX + 2];
    struct view views[2]; /* of meta, of values */
    struct page *pages;
    uint32_t pages_count;
    _Atomic uint64_t *done; /* operations of the child that are over */
    uint64_t steps, images;
    bool switched; /* the operation under way has taken effect */
};

_Noreturn static void die(const struct attack *a, const char *what, const char *detail)
{
    fprintf(
        stderr, "attack_step: HF_SEED=%llu operation %llu, instruction %llu: %s%s%s\n",
        (unsigned long long)a->seed,
        (unsigned long long)atomic_load_explicit(a->done, memory_order_relaxed), /* the child stands still */
        (unsigned long long)a->steps, what, detail[0] != '\0' ? ": " : "", detail);
    exit(1);
}

/* ---- which pages are looked at ---- */

static bool is_empty(const uint8_t *page)
{
    static const uint8_t zeros[PAGE_BYTES];
    return memcmp(page, zeros, PAGE_BYTES) == 0;
}

static void view_close(struct view *view)
{
    if (view->size != 0)
        (void)munmap((void *)(uintptr_t)view->base, (size_t)view->size);
    *view = (struct view){0};
}

static void view_all(struct attack *a, int fd, struct view *view)
{
    off_t size = lseek(fd, 0, SEEK_END);
    if (size == view->size)
        return;
    view_close(view);
    if (size == 0)
        return;
    void *base = mmap(NULL, (size_t)size, PROT_READ, MAP_SHARED, fd, 0);
    if (base == MAP_FAILED)
        die(a, "a file of the image cannot be mapped", strerror(errno));
    *view = (struct view){.base = base, .size = size};
}

static void watch_file(struct attack *a, int fd, struct view *view)
{
    off_t at = 0;
    view_all(a, fd, view);
    while ((at = lseek(fd, at, SEEK_DATA)) >= 0) {
        off_t end = lseek(fd, at, SEEK_HOLE);
        for (; at < end; at += PAGE_BYTES) {
            if (is_empty(view->base + at))
                continue;
            if (a->pages_count == PAGES_MAX)
                die(a, "the image has more pages than this test has room for", "");
            struct page *page = &a->pages[a->pages_count++];
            page->at = view->base + at;
            memcpy(page->was, page->at, PAGE_BYTES);
        }
    }
}

static void watch(struct attack *a)
{
    const struct heap *heap = &a->work.fx.pool->heap;
    a->pages_count = 0;
    watch_file(a, heap->meta.fd, &a->views[0]);
    watch_file(a, heap->values.fd, &a->views[1]);
}

static bool has_changed(struct attack *a)
{
    bool changed = false;
    for (uint32_t k = 0; k < a->pages_count; k++) {
        struct page *page = &a->pages[k];
        if (memcmp(page->was, page->at, PAGE_BYTES) == 0)
            continue;
        memcpy(page->was, page->at, PAGE_BYTES);
        changed = true;
    }
    return changed;
}

/* ---- one image ---- */

static void look(struct attack *a, uint64_t done)
{
    const struct heap *heap = &a->work.fx.pool->heap;
    uint64_t digest = 0;
    const char *wrong = copy_look(heap->meta.fd, heap->values.fd, a->again.fx.now_ms, &a->again, &digest);
    a->images++;
    if (wrong != NULL)
        die(a, "the image is not recovered as it should be", wrong);
    if (digest == a->digests[done + 1])
        a->switched = true;
    else if (digest != a->digests[done] || a->switched)
        die(a, "an image is neither the pool before the operation nor the pool after it", "");
}

/* ---- the child ---- */

_Noreturn static void run_child(struct attack *a)
{
    if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) != 0)
        _exit(2);
    raise(SIGSTOP);
    for (uint64_t k = 1; k <= a->operations; k++) {
        workload_step(&a->work);
        atomic_store_explicit(a->done, k, memory_order_release); /* the parent reads it between two steps */
    }
    _exit(0);
}

/* One instruction; false: the child has ended. */
static bool step(struct attack *a, pid_t pid, int *signal_now)
{
    int status;
    if (ptrace(PTRACE_SINGLESTEP, pid, NULL, (void *)(intptr_t)*signal_now) != 0 ||
        waitpid(pid, &status, 0) != pid)
        die(a, "the child is lost", "");
    *signal_now = 0;
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return false;
    if (!WIFSTOPPED(status))
        die(a, "the child ended by itself", "");
    if (WSTOPSIG(status) != SIGTRAP)
        *signal_now = WSTOPSIG(status);
    a->steps++;
    return true;
}

static void follow(struct attack *a, pid_t pid)
{
    uint64_t at = 0;
    int status, signal_now = 0;
    if (pid < 0 || waitpid(pid, &status, 0) != pid || !WIFSTOPPED(status))
        die(a, "the child cannot be traced", "");
    watch(a);
    while (step(a, pid, &signal_now)) {
        uint64_t done = atomic_load_explicit(a->done, memory_order_acquire);
        if (done != at) {
            workload_step(&a->again);
            a->switched = false;
            watch(a);
            look(a, done);
            at = done;
        } else if (has_changed(a)) {
            look(a, at);
        }
    }
    if (atomic_load_explicit(a->done, memory_order_acquire) != a->operations)
        die(a, "the child stopped early", "");
}

/* ---- all ---- */

/* Digests after 0, 1, 2 ... of the operations that the child will do. */
static void reference_run(struct attack *a)
{
    workload_open(&a->again, a->seed, MAX_BYTES);
    a->again.values_large = false;
    for (unsigned k = 0; k < BEFORE; k++)
        workload_step(&a->again);
    for (uint64_t k = 0; k <= a->operations; k++) {
        a->digests[k] = digest_of(a->again.fx.pool);
        workload_step(&a->again);
    }
    a->digests[a->operations + 1] = a->digests[a->operations];
    workload_close(&a->again);
}

static void open_both(struct attack *a)
{
    struct workload *both[] = {&a->work, &a->again};
    for (unsigned n = 0; n < 2; n++) {
        workload_open(both[n], a->seed, MAX_BYTES);
        both[n]->values_large = false;
        for (unsigned k = 0; k < BEFORE; k++)
            workload_step(both[n]);
    }
}

static void run_seed(struct attack *a)
{
    a->switched = false;
    reference_run(a);
    open_both(a);
    atomic_store_explicit(a->done, 0, memory_order_relaxed); /* before there is a child */
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0)
        run_child(a);
    follow(a, pid);
    view_close(&a->views[0]);
    view_close(&a->views[1]);
    workload_close(&a->work);
    workload_close(&a->again);
}

static uint64_t from_environment(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);
    return text == NULL || text[0] == '\0' ? otherwise : strtoull(text, NULL, 10);
}

int main(void)
{
    bool is_long = from_environment("HF_TEST_LONG", 0) != 0;
    uint64_t seed = from_environment("HF_SEED", 0),
             seeds = seed != 0 ? 1 : from_environment("HF_SEEDS", is_long ? 10 : 1);
    struct attack *a = calloc(1, sizeof *a);
    void *shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (a == NULL || shared == MAP_FAILED || (a->pages = calloc(PAGES_MAX, sizeof *a->pages)) == NULL)
        fixture_die("no memory");
    a->done = shared;
    a->operations = from_environment("HF_OPS", is_long ? 100 : 20);
    if (a->operations > OPERATIONS_MAX)
        a->operations = OPERATIONS_MAX;
    for (a->seed = seed == 0 ? 1 : seed; seeds > 0; a->seed++, seeds--)
        run_seed(a);
    printf("attack_step: %llu instructions, %llu images recovered and sound\n", (unsigned long long)a->steps,
           (unsigned long long)a->images);
    bool well = a->images > a->operations;
    free(a->pages);
    free(a);
    return well ? 0 : 1;
}
