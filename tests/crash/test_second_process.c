/* SPDX-License-Identifier: BSD-3-Clause */
/* A second process maps an image read-only, at other addresses, and walks it there.
 *
 * The parent builds a pool with everything an image can hold and starts this program again with the two files. That
 * one maps them PROT_READ, so a single store would end it, at addresses that are not the parent's; a pointer in
 * the image would lead nowhere. It checks all that can be checked without writing, counts every slot, and tells
 * what it found: digest, objects and addresses must be as the parent expects. */
#include "daemon/heap/recover.h"
#include "tests/crash/copy.h"
#include "tests/crash/digest.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

/* What the second process tells the first. */
struct told {
    uint64_t digest, objects, slots, cells[3]; /* holds, tickets, names */
    uint64_t meta_at, values_at;
    char wrong[120]; /* empty: sound */
};

/* ---- the second process ---- */

static struct pool *walked; /* of the second process: too large for the stack */

_Noreturn static void give_up(const char *what)
{
    fprintf(stderr, "test_second_process: %s\n", what);
    exit(2);
}

static uint8_t *map_elsewhere(int fd, uint64_t size, uint64_t not_at)
{
    uint8_t *first = mmap(NULL, size, PROT_READ, MAP_SHARED | MAP_NORESERVE, fd, 0);
    if (first != MAP_FAILED && (uint64_t)(uintptr_t)first == not_at) {
        /* by chance the same place: take another while this one is taken */
        uint8_t *second = mmap(NULL, size, PROT_READ, MAP_SHARED | MAP_NORESERVE, fd, 0);
        munmap(first, size);
        first = second;
    }
    if (first == MAP_FAILED)
        give_up("cannot map the image");
    return first;
}

/* A heap over read-only mappings: what attach() and recovery derive from the superblock, as far as walking needs. */
static void attach_read_only(struct heap *heap, int fd_meta, int fd_values, uint64_t not_meta,
                             uint64_t not_values)
{
    struct superblock sb;
    if (pread(fd_meta, &sb, sizeof sb, 0) != (ssize_t)sizeof sb || sb.magic != IMAGE_MAGIC ||
        sb.checksum != superblock_checksum(&sb))
        give_up("not an image");
    heap->meta.fd = fd_meta;
    heap->meta.size = sb.blocks_at + sb.blocks_bytes;
    heap->meta.base = map_elsewhere(fd_meta, heap->meta.size, not_meta);
    heap->values.fd = fd_values;
    heap->values.size = sb.values_bytes;
    heap->values.base = map_elsewhere(fd_values, heap->values.size, not_values);
    heap->sb = (void *)heap->meta.base;
    heap->log = (void *)(heap->meta.base + PAGE_BYTES);
    heap->hot = (void *)(heap->meta.base + sb.hot_at);
    heap->warm = (void *)(heap->meta.base + sb.warm_at);
    heap->cells.types = heap->meta.base + sb.types_at;
    uint64_t cells = region_data_end(&heap->meta, sb.cells_at, sb.cells_at + sb.cells_bytes) - sb.cells_at;
    uint64_t lists = region_data_end(&heap->meta, sb.blocks_at, heap->meta.size) - sb.blocks_at;
    heap->cells.arenas_top = (uint32_t)((cells + ARENA_BYTES - 1) / ARENA_BYTES);
    heap->lists.arenas_top = (uint32_t)((lists + ARENA_BYTES - 1) / ARENA_BYTES);
    heap->lists.claim_end = lists;
}

static void wrong(struct told *told, const char *what, uint64_t number)
{
    if (told->wrong[0] == '\0')
        snprintf(told->wrong, sizeof told->wrong, "%s (%llu)", what, (unsigned long long)number);
}

static void walk_object(struct heap *heap, struct told *told, uint32_t index, uint32_t *in)
{
    const struct hot *hot = &heap->hot[index];
    const char *bad = slots_check(heap, index, SLOTS_BOUNDS);
    uint64_t bytes = value_block_bytes(hot->w0, hot->value);
    told->objects++;
    if (bad != NULL) {
        wrong(told, bad, index);
        return;
    }
    if ((hot->w0 & W0_INLINE) == 0 && value_offset(bytes, hot->value) + bytes > heap->values.size)
        wrong(told, "a value outside the file", index);
    if (hot->holder >> 32 != 0 && cell_type(heap, (uint32_t)hot->holder) != CELL_SESSION &&
        cell_type(heap, (uint32_t)hot->holder) != CELL_ANON)
        wrong(told, "a first holder that is no session", index);
    for (uint32_t slot = 0; slot < slots_count(heap, index); slot++) {
        uint32_t target = slots_get(heap, index, slot);
        if (target >= heap->sb->index_top || (target != 0 && w0_state(heap->hot[target].w0) != W0_ALIVE))
            wrong(told, "a slot that leads to no object", index);
        else if (target != 0)
            in[target]++;
        told->slots += target != 0;
    }
}

static int walk_cell(void *owner, uint32_t ref, unsigned type)
{
    struct told *told = owner;
    struct heap *heap = &walked->heap;
    const struct cell_hold *cell = cell_at(heap, ref);
    if (type == CELL_HOLD || type == CELL_TICKET || cell_is_name(type)) {
        bool guard = type == CELL_HOLD && cell->count == COUNT_GUARD; /* holds nothing yet */
        told->cells[type == CELL_HOLD ? 0 : type == CELL_TICKET ? 1 : 2] += guard ? 0 : 1;
        if (cell->object == 0 || cell->object >= heap->sb->index_top ||
            w0_state(heap->hot[cell->object].w0) != W0_ALIVE)
            wrong(told, "a cell of no object", ref);
    }
    if (type == CELL_HOLD && ((const struct cell_anon *)cell_at(heap, cell->session))->state != SESSION_OPEN)
        wrong(told, "a hold of no session", ref);
    return 0;
}

static void walk(struct told *told)
{
    struct heap *heap = &walked->heap;
    uint32_t top = (uint32_t)heap->sb->index_top;
    uint32_t *in = calloc(top, sizeof *in);
    if (heap->log->n != 0)
        wrong(told, "an operation is under way", heap->log->n);
    for (uint32_t index = 1; index < top; index++)
        if (w0_state(heap->hot[index].w0) == W0_ALIVE)
            walk_object(heap, told, index, in);
    for (uint32_t index = 1; index < top; index++)
        if (w0_state(heap->hot[index].w0) == W0_ALIVE && heap->hot[index].in != in[index])
            wrong(told, "a count that differs from the slots", index);
    (void)cells_each(heap, walk_cell, told);
    free(in);
}

static int second_process(char **argv)
{
    struct told told = {0};
    walked = calloc(1, sizeof *walked);
    attach_read_only(&walked->heap, atoi(argv[2]), atoi(argv[3]), strtoull(argv[4], NULL, 10),
                     strtoull(argv[5], NULL, 10));
    told.meta_at = (uint64_t)(uintptr_t)walked->heap.meta.base;
    told.values_at = (uint64_t)(uintptr_t)walked->heap.values.base;
    walk(&told);
    told.digest = digest_of(walked);
    return write(STDOUT_FILENO, &told, sizeof told) == (ssize_t)sizeof told ? 0 : 2;
}

/* ---- the first ---- */

static struct told ask(const struct heap *heap)
{
    struct told told = {0};
    int ends[2];
    if (pipe(ends) != 0)
        give_up("no pipe");
    pid_t pid = fork();
    if (pid == 0) {
        char text[4][24];
        int fds[2] = {fcntl(heap->meta.fd, F_DUPFD, 3), fcntl(heap->values.fd, F_DUPFD, 3)};
        for (unsigned k = 0; k < 2; k++)
            snprintf(text[k], sizeof text[k], "%d", fds[k]);
        snprintf(text[2], sizeof text[2], "%llu", (unsigned long long)(uintptr_t)heap->meta.base);
        snprintf(text[3], sizeof text[3], "%llu", (unsigned long long)(uintptr_t)heap->values.base);
        char self[] = "/proc/self/exe", mode[] = "walk";
        dup2(ends[1], STDOUT_FILENO);
        execv(self, (char *[]){self, mode, text[0], text[1], text[2], text[3], NULL});
        _exit(3);
    }
    close(ends[1]);
    ssize_t size = read(ends[0], &told, sizeof told);
    int status;
    if (pid < 0 || waitpid(pid, &status, 0) != pid)
        give_up("the second process is lost");
    close(ends[0]);
    if (status != 0 || size != (ssize_t)sizeof told) {
        fprintf(stderr, "test_second_process: the second process ended with status %#x\n", (unsigned)status);
        exit(1);
    }
    return told;
}

static void expect(bool right, const char *what)
{
    if (right)
        return;
    fprintf(stderr, "test_second_process: %s\n", what);
    exit(1);
}

static uint64_t list_of_length(struct fixture *fx, uint64_t leaf, uint32_t count)
{
    uint64_t *refs = calloc(count + 1u, sizeof *refs), previous;
    for (uint32_t k = 0; k < count; k++)
        refs[k] = k % 7 == 3 ? 0 : leaf;
    uint32_t first = count < HF_REFS_MAX ? count : HF_REFS_MAX;
    uint64_t id = put_refs(fx, fx->a, refs, first);
    for (uint32_t k = first; k < count; k++)
        expect(pool_link(fx->pool, id, k, refs[k], &previous) == 0, "a slot cannot be appended");
    free(refs);
    return id;
}

/* Values of every kind of place, lists of every shape, references of every kind. */
static void fill(struct fixture *fx)
{
    static const uint64_t sizes[] = {0,     1,     4,      5,      8,      128,    129,    4096,
                                     16384, 16385, 100000, 131072, 131073, 262144, 700000, 3000000};
    static const uint32_t lengths[] = {0, 1, 2, 3, 8, 9, 300, 4096, 4097, 8192, 8193, 20000};
    uint64_t leaf = put_leaf(fx, fx->a), id, version;
    uint8_t key[HF_KEY_SIZE];
    for (size_t k = 0; k < sizeof sizes / sizeof sizes[0]; k++) {
        id = put_filled(fx, fx->a, sizes[k], (uint8_t)(k + 1));
        if (k % 2 == 0)
            (void)retain_one(fx, fx->b, id);
        if (k % 3 == 0)
            expect(pool_share(fx->pool, fx->a, id, 100000, 3, key) == 0, "share");
    }
    for (size_t k = 0; k < sizeof lengths / sizeof lengths[0]; k++) {
        char name[80];
        snprintf(name, sizeof name, "list-%zu-%.*s", k, (int)k * 5,
                 "a-name-in-cells-of-more-and-more-bytes-to-the-largest-class");
        (void)bind_name(fx, name, list_of_length(fx, leaf, lengths[k]));
    }
    struct put_spec spec = {.value = bytes_in("labelled", 8),
                            .tag = (const uint8_t *)"kind",
                            .tag_size = 4,
                            .site = (const uint8_t *)"here.c:12",
                            .site_size = 9};
    expect(try_put(fx, fx->b, &spec, &id) == 0, "put with labels");
    struct value_in value = bytes_in("a new value", 11);
    expect(pool_set(fx->pool, id, &value, 0, &version) == 0, "set");
    expect(pool_retain(fx->pool, fx->a, &id, 1, 2, (const uint8_t *)"there", 5, &version) == 0,
           "retain with a site");
}

static void compare(const struct fixture *fx)
{
    struct pool_stats stats;
    const struct heap *heap = &fx->pool->heap;
    struct told told = ask(heap);
    pool_stats(fx->pool, &stats);
    expect(told.wrong[0] == '\0', told.wrong);
    expect(told.meta_at != (uint64_t)(uintptr_t)heap->meta.base, "meta was mapped at the same address");
    expect(told.values_at != (uint64_t)(uintptr_t)heap->values.base,
           "values were mapped at the same address");
    expect(told.objects == stats.objects && told.objects > 0, "it walked another number of objects");
    expect(told.cells[0] == stats.hold_cells && told.cells[1] == stats.tickets &&
               told.cells[2] == stats.names,
           "it found other cells");
    expect(told.digest == digest_of(fx->pool), "its digest is another");
    printf("test_second_process: %llu objects, %llu slots, %llu cells; meta at %#llx here, %#llx there\n",
           (unsigned long long)told.objects, (unsigned long long)told.slots,
           (unsigned long long)(told.cells[0] + told.cells[1] + told.cells[2]),
           (unsigned long long)(uintptr_t)heap->meta.base, (unsigned long long)told.meta_at);
}

int main(int argc, char **argv)
{
    if (argc == 6 && strcmp(argv[1], "walk") == 0)
        return second_process(argv);
    struct fixture fx;
    fixture_open(&fx);
    fill(&fx);
    compare(&fx);
    fixture_close(&fx);
    for (uint64_t seed = 1; seed <= 5; seed++) {
        struct workload work;
        workload_open(&work, seed, 64u << 20);
        for (unsigned k = 0; k < 300; k++)
            workload_step(&work);
        drain(&work.fx); /* the dead are not in the count of objects, but their entries are not free yet */
        compare(&work.fx);
        workload_close(&work);
    }
    return 0;
}
