/* SPDX-License-Identifier: BSD-3-Clause */
/* Damaged images: pool_open() refuses them with a message and leaves them as they were, or accepts them and the
 * walker goes through; never a crash, a hang or memory that grows by reading holes.
 *
 * Images of random workloads, some of them taken in the middle of an operation, get one damaged word in one of
 * their parts, or are cut short. Each is opened as a private look; some are opened for real, on copies, and then a
 * refused one must keep its files open and every byte as it was, and must be whole again once the word is put right.
 * Accepted ones without findings are taken apart to the last object.
 *
 * The work is done in child processes, so that a crash is one finding and the rest goes on. HF_SEED replays one
 * image, HF_DAMAGE one damage of it. */
#include "daemon/heap/recover.h"
#include "tests/crash/copy.h"
#include "tests/crash/digest.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define CELLS_MAX   4096u
#define LISTS_MAX   1024u
#define REAL_EVERY  8u
#define HOLES_BYTES (1u << 20) /* an image may grow by so much while it is looked at */
#define FAILURES    200u       /* then it is enough */

enum part {
    PART_STATIC,
    PART_CHANGING,
    PART_LOG,
    PART_TYPES,
    PART_CELLS,
    PART_HOT,
    PART_WARM,
    PART_LISTS,
    PART_VALUES,
    PART_CUT,
    PARTS
};
static const char *const part_names[PARTS] = {
    "superblock",   "high-water marks", "undo log", "types of cell runs", "cells", "hot entries",
    "warm entries", "slot blocks",      "values",   "length of a file"};

struct place {
    uint64_t at;
    uint32_t words;
};

/* An image to be damaged, with the places of what is used in it. */
struct image {
    uint64_t seed, now_ms, digest;
    int fd_meta, fd_values;
    struct superblock sb;
    uint64_t log_n, runs, values_end;
    struct place cells[CELLS_MAX], lists[LISTS_MAX];
    uint32_t cells_count, lists_count;
};

struct damage {
    enum part part;
    int fd; /* of the image's two */
    uint64_t at, old, word;
    bool real;
};

struct report {
    uint64_t next, accepted, refused, unsound, real;
    unsigned failures;
    uint64_t refused_by[PARTS], accepted_by[PARTS];
    struct damage last;
    char error[200];
};

/* ---- an image ---- */

static int note_cell(void *owner, uint32_t ref, unsigned type)
{
    struct image *image = owner;
    if (image->cells_count < CELLS_MAX)
        image->cells[image->cells_count++] =
            (struct place){image->sb.cells_at + (uint64_t)ref * CELL_UNIT, cell_bytes(type) / 8};
    return 0;
}

static void note_lists(struct image *image, const struct heap *heap)
{
    for (uint32_t index = 1; index < heap->sb->index_top && image->lists_count < LISTS_MAX; index++) {
        uint64_t w0 = heap->hot[index].w0, slots = heap->warm[index].slots;
        if (w0_state(w0) == W0_ALIVE && w0_ns(w0) >= NS_BLOCK)
            image->lists[image->lists_count++] =
                (struct place){image->sb.blocks_at + (uint64_t)(uint32_t)slots * BLOCK_UNIT,
                               w0_ns(w0) == NS_SEGMENTS ? 2 : ((uint32_t)(slots >> 32) + 1) / 2};
    }
}

static void take_image(struct image *image, const struct heap *heap, uint64_t now_ms)
{
    image->now_ms = now_ms;
    image->sb = *heap->sb;
    image->log_n = heap->log->n;
    image->runs = (uint64_t)heap->cells.arenas_top * (ARENA_BYTES / CELL_RUN);
    image->values_end = (uint64_t)heap->payloads.arenas_top * ARENA_BYTES;
    (void)cells_each(heap, note_cell, image);
    note_lists(image, heap);
    image->fd_meta = copy_file(heap->meta.fd);
    image->fd_values = copy_file(heap->values.fd);
}

#if HF_STORE_HOOK
struct moment {
    struct image *image;
    const struct workload *work;
    uint64_t stores_left;
};

/* Takes the image at the store of that number; later only if an operation is under way by then. */
static void moment_hook(void *arg)
{
    struct moment *moment = arg;
    if (moment->stores_left > 0)
        moment->stores_left--;
    const struct heap *heap = &moment->work->fx.pool->heap;
    if (moment->stores_left == 0 && moment->image->fd_meta < 0 && heap->log->n > 1)
        take_image(moment->image, heap, moment->work->fx.now_ms);
}
#endif

/* A list in segments and a value of several arenas, which are too large for the random operations. */
static void add_large(struct workload *w)
{
    uint32_t count = 8000;
    uint64_t *refs = calloc(count, sizeof *refs), leaf = put_leaf(&w->fx, w->fx.a), previous;
    for (uint32_t k = 0; k < count; k++)
        refs[k] = k % 50 == 0 ? leaf : 0;
    uint64_t id = put_refs(&w->fx, w->fx.a, refs, count);
    for (uint32_t k = count; k < 9000; k++)
        if (pool_link(w->fx.pool, id, k, k % 50 == 0 ? leaf : 0, &previous) != 0)
            fixture_die("cannot append a slot");
    (void)put_filled(&w->fx, w->fx.a, 600000, 7);
    free(refs);
}

static void make_image(struct image *image, uint64_t seed)
{
    struct workload work;
    memset(image, 0, sizeof *image);
    image->seed = seed;
    image->fd_meta = image->fd_values = -1;
    workload_open(&work, seed, 64u << 20);
    if (seed % 2 == 0)
        add_large(&work);
#if HF_STORE_HOOK
    struct moment moment = {
        .image = image, .work = &work, .stores_left = random_between(&work.random, 1, 1000)};
    if (seed % 3 == 0) {
        work.fx.pool->heap.meta.hook = moment_hook;
        work.fx.pool->heap.meta.hook_arg = &moment;
    }
#endif
    for (unsigned k = 0; k < 300; k++)
        workload_step(&work);
#if HF_STORE_HOOK
    work.fx.pool->heap.meta.hook = NULL;
#endif
    if (image->fd_meta < 0)
        take_image(image, &work.fx.pool->heap, work.fx.now_ms);
    workload_close(&work);
    const char *wrong = copy_look(image->fd_meta, image->fd_values, image->now_ms, NULL, &image->digest);
    if (wrong != NULL)
        fixture_die("HF_SEED=%llu: the undamaged image: %s", (unsigned long long)seed, wrong);
}

/* ---- a damage ---- */

static uint64_t read_word(int fd, uint64_t at)
{
    uint64_t word = 0;
    if (pread(fd, &word, sizeof word, (off_t)at) < 0)
        fixture_die("cannot read an image");
    return word;
}

static void write_word(int fd, uint64_t at, uint64_t word)
{
    if (pwrite(fd, &word, sizeof word, (off_t)at) != (ssize_t)sizeof word)
        fixture_die("cannot write an image");
}

static uint64_t in_one_of(struct random *r, const struct place *places, uint32_t count)
{
    if (count == 0)
        return 0;
    const struct place *place = &places[random_below(r, count)];
    return place->at + random_below(r, place->words) * 8;
}

static uint64_t place_of(struct random *r, const struct image *image, enum part part)
{
    const struct superblock *sb = &image->sb;
    uint64_t index = random_below(r, sb->index_top + (random_once_in(r, 10) ? 5 : 0));
    switch (part) {
    case PART_STATIC: return random_below(r, offsetof(struct superblock, starts) / 8) * 8;
    case PART_CHANGING:
        return offsetof(struct superblock, starts) +
               random_below(r, (sizeof *sb - offsetof(struct superblock, starts)) / 8) * 8;
    case PART_LOG: return PAGE_BYTES + random_below(r, 1 + 2 * (image->log_n + 1)) * 8;
    case PART_TYPES: return sb->types_at + random_below(r, image->runs / 8 + 1) * 8;
    case PART_CELLS: return in_one_of(r, image->cells, image->cells_count);
    case PART_HOT: return sb->hot_at + index * sizeof(struct hot) + random_below(r, 4) * 8;
    case PART_WARM: return sb->warm_at + index * sizeof(struct warm) + random_below(r, 2) * 8;
    case PART_LISTS: return in_one_of(r, image->lists, image->lists_count);
    case PART_VALUES: return random_below(r, image->values_end / 8) * 8;
    case PART_CUT:
    case PARTS: break;
    }
    return 0;
}

/* Wild, near, or what stands elsewhere in that part: the nastiest, since it is plausible. */
static uint64_t other_word(struct random *r, const struct image *image, const struct damage *damage)
{
    uint64_t old = damage->old, small = random_below(r, image->sb.index_top + 3);
    switch (random_below(r, 9)) {
    case 0: return random_next(r);
    case 1: return old ^ 1ull << random_below(r, 64);
    case 2: return old ^ 1ull << random_below(r, 64) ^ 1ull << random_below(r, 64);
    case 3: return old + random_below(r, 5) - 2;
    case 4: return (old & ~0xffffffffull) | small;
    case 5: return (old & 0xffffffffull) | small << 32;
    case 6: return random_once_in(r, 2) ? 0 : UINT64_MAX;
    case 7: return (old & ~0xffffull) | (random_next(r) & 0xffff);
    default: return read_word(damage->fd, place_of(r, image, damage->part));
    }
}

static struct damage any_damage(struct random *r, const struct image *image)
{
    static const uint8_t often[] = {PART_STATIC, PART_CHANGING, PART_LOG,    PART_LOG,   PART_TYPES,
                                    PART_CELLS,  PART_CELLS,    PART_CELLS,  PART_CELLS, PART_HOT,
                                    PART_HOT,    PART_HOT,      PART_HOT,    PART_WARM,  PART_WARM,
                                    PART_LISTS,  PART_LISTS,    PART_VALUES, PART_CUT};
    struct damage damage = {.part = (enum part)often[random_below(r, sizeof often)],
                            .real = random_once_in(r, REAL_EVERY)};
    if (damage.part == PART_VALUES && image->values_end == 0)
        damage.part = PART_HOT; /* there are none */
    damage.fd = damage.part == PART_VALUES || (damage.part == PART_CUT && random_once_in(r, 2))
                    ? image->fd_values
                    : image->fd_meta;
    if (damage.part == PART_CUT) {
        uint64_t end = (uint64_t)lseek(damage.fd, 0, SEEK_END);
        /* most lengths lie in the wide holes, where nothing is lost; so many ends are near something */
        uint64_t near[] = {0,
                           PAGE_BYTES,
                           PAGE_BYTES + UNDO_BYTES,
                           image->sb.cells_at,
                           image->sb.hot_at,
                           image->sb.warm_at,
                           image->sb.blocks_at,
                           end};
        damage.old = end;
        damage.at = random_once_in(r, 3) ? random_below(r, end + 1)
                                         : near[random_below(r, 8)] + random_below(r, 4 * PAGE_BYTES);
        damage.at = damage.at < end ? damage.at : end;
        damage.real = true;
        return damage;
    }
    damage.at = place_of(r, image, damage.part);
    damage.old = read_word(damage.fd, damage.at);
    do {
        damage.word = other_word(r, image, &damage);
    } while (damage.word == damage.old);
    return damage;
}

/* ---- looking ---- */

static const char *const named[] = {"object ",   "cell ", "run ",   "superblock", "undo ",
                                    "index_top", "magic", "format", "file"};

/* Whether a message tells what and where. */
static bool tells(const char *error)
{
    for (size_t k = 0; k < sizeof named / sizeof named[0]; k++)
        if (strstr(error, named[k]) != NULL)
            return true;
    return false;
}

static uint64_t blocks_of(int fd)
{
    struct stat st;
    return fstat(fd, &st) == 0 ? (uint64_t)st.st_blocks * 512 : UINT64_MAX;
}

/* Ends all that holds anything. */
static void take_apart(struct pool *pool)
{
    struct session_row rows[16];
    unsigned count;
    while ((count = pool_sessions(pool, 0, rows, 16)) > 0)
        for (unsigned k = 0; k < count; k++)
            pool_session_end(pool, pool_session_by_sid(pool, rows[k].sid), REASON_KILL);
    for (unsigned turns = 0; turns < 10000 && pool_step(pool, 1000) > 0; turns++) {
    }
}

/* Opens it, walks it if it is accepted. NULL: as it should be. */
static const char *open_damaged(const struct image *image, struct report *report, int fd_meta, int fd_values,
                                bool real, int *ret_rc)
{
    uint64_t blocks = blocks_of(fd_meta) + blocks_of(fd_values);
    struct pool *pool;
    enum part part = report->last.part;
    *ret_rc = copy_open(&pool, fd_meta, fd_values, image->now_ms, !real, report->error, sizeof report->error);
    if (*ret_rc != 0) {
        report->refused++;
        report->refused_by[part]++;
        if (*ret_rc != -HF_E_INTERNAL)
            return "refused, but not as a damaged image";
        if (!tells(report->error))
            return "refused with a message that does not say where";
    } else {
        const char *wrong = copy_sound(pool);
        report->accepted++;
        report->accepted_by[part]++;
        report->unsound += wrong != NULL;
        if (wrong == NULL) {
            (void)digest_of(pool);
            take_apart(pool);
        } else if (getenv("HF_SHOW") != NULL)
            fprintf(stderr, "unsound: %s %llx %llx->%llx: %s\n", part_names[part],
                    (unsigned long long)report->last.at, (unsigned long long)report->last.old,
                    (unsigned long long)report->last.word, wrong);
        if (real) {
            fd_meta = fcntl(fd_meta, F_DUPFD_CLOEXEC, 0);
            fd_values = fcntl(fd_values, F_DUPFD_CLOEXEC, 0);
        }
        pool_close(pool);
    }
    if (fcntl(fd_meta, F_GETFD) < 0 || fcntl(fd_values, F_GETFD) < 0)
        return "refused, and the caller's files are closed";
    uint64_t after = blocks_of(fd_meta) + blocks_of(fd_values);
    if (*ret_rc == 0 && real) {
        close(fd_meta);
        close(fd_values);
    }
    return !real && after > blocks + HOLES_BYTES ? "looking at it allocated memory" : NULL;
}

/* Whether a refused file is what it was before, byte for byte. */
static bool is_unchanged(int fd_before, int fd_after)
{
    static uint8_t before[ARENA_BYTES], after[ARENA_BYTES];
    off_t data = 0, end = lseek(fd_after, 0, SEEK_END);
    if (lseek(fd_before, 0, SEEK_END) != end)
        return false;
    while ((data = lseek(fd_after, data, SEEK_DATA)) >= 0) {
        off_t hole = lseek(fd_after, data, SEEK_HOLE);
        for (; data < hole; data += (off_t)sizeof after) {
            memset(before, 0, sizeof before);
            memset(after, 0, sizeof after);
            if (pread(fd_before, before, sizeof before, data) < 0 ||
                pread(fd_after, after, sizeof after, data) < 0)
                fixture_die("cannot read an image");
            if (memcmp(before, after, sizeof after) != 0)
                return false;
        }
        data = hole;
    }
    return true;
}

static const char *try_real(const struct image *image, struct report *report)
{
    const struct damage *damage = &report->last;
    int fds[2] = {copy_file(image->fd_meta), copy_file(image->fd_values)}, rc = 0;
    int before[2];
    int fd = fds[damage->fd == image->fd_values];
    if (damage->part == PART_CUT) {
        if (ftruncate(fd, (off_t)damage->at) != 0)
            fixture_die("cannot cut an image");
    } else {
        write_word(fd, damage->at, damage->word);
    }
    before[0] = copy_file(fds[0]);
    before[1] = copy_file(fds[1]);
    report->real++;
    const char *wrong = open_damaged(image, report, fds[0], fds[1], true, &rc);
    if (wrong == NULL && rc != 0) {
        if (!is_unchanged(before[0], fds[0]) || !is_unchanged(before[1], fds[1]))
            wrong = "refused, but not left as it was";
        uint64_t digest = 0;
        if (wrong == NULL && damage->part != PART_CUT) {
            write_word(fd, damage->at, damage->old);
            wrong = copy_look(fds[0], fds[1], image->now_ms, NULL, &digest);
            if (wrong == NULL && digest != image->digest)
                wrong = "refused, put right, and not what it was";
        }
    }
    for (unsigned k = 0; k < 2; k++) {
        close(before[k]);
        if (rc != 0)
            close(fds[k]);
    }
    return wrong;
}

static const char *try_look(const struct image *image, struct report *report)
{
    const struct damage *damage = &report->last;
    int rc;
    write_word(damage->fd, damage->at, damage->word);
    const char *wrong = open_damaged(image, report, image->fd_meta, image->fd_values, false, &rc);
    write_word(damage->fd, damage->at, damage->old);
    return wrong;
}

static void print_damage(const struct image *image, const struct report *report, const char *wrong)
{
    const struct damage *damage = &report->last;
    fprintf(stderr, "test_damage: HF_SEED=%llu HF_DAMAGE=%llu: %s at %llu: %#llx became %#llx%s: %s (%s)\n",
            (unsigned long long)image->seed, (unsigned long long)report->next, part_names[damage->part],
            (unsigned long long)damage->at, (unsigned long long)damage->old, (unsigned long long)damage->word,
            damage->real ? ", opened for real" : "", wrong, report->error);
}

/* Damages of one image from report->next on. */
static void try_damages(const struct image *image, struct report *report, uint64_t end)
{
    for (; report->next < end && report->failures < FAILURES; report->next++) {
        struct random random = {.state = image->seed << 32 ^ report->next};
        report->last = any_damage(&random, image);
        report->error[0] = '\0';
        const char *wrong = report->last.real ? try_real(image, report) : try_look(image, report);
        if (wrong == NULL)
            continue;
        print_damage(image, report, wrong);
        report->failures++;
    }
}

/* The parent takes up what a child that crashed has left. */
static void in_children(const struct image *image, struct report *report, uint64_t end)
{
    while (report->next < end && report->failures < FAILURES) {
        fflush(stdout);
        pid_t pid = fork();
        if (pid < 0)
            fixture_die("cannot fork");
        if (pid == 0) {
            try_damages(image, report, end);
            fflush(stdout);
            _exit(0);
        }
        int status;
        if (waitpid(pid, &status, 0) != pid)
            fixture_die("a child is lost");
        if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
            continue;
        report->failures++;
        print_damage(image, report,
                     WIFSIGNALED(status) ? strsignal(WTERMSIG(status))
                                         : "ended by a sanitizer or the fixture");
        /* the word was damaged in the file that both processes have */
        if (!report->last.real)
            write_word(report->last.fd, report->last.at, report->last.old);
        report->next++;
    }
}

static uint64_t from_environment(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);
    return text == NULL || text[0] == '\0' ? otherwise : strtoull(text, NULL, 10);
}

int main(void)
{
    bool is_long = from_environment("HF_TEST_LONG", 0) != 0;
    uint64_t seed = from_environment("HF_SEED", 0), one = from_environment("HF_DAMAGE", UINT64_MAX);
    uint64_t images = seed != 0 ? 1
                      : is_long ? 40
                                : 6,
             damages = from_environment("HF_DAMAGES", is_long ? 2000 : 250);
    struct report *report =
        mmap(NULL, sizeof *report, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    struct image *image = malloc(sizeof *image);
    if (report == MAP_FAILED || image == NULL)
        fixture_die("no memory");
    for (seed = seed == 0 ? 1 : seed; images > 0 && report->failures < FAILURES; seed++, images--) {
        make_image(image, seed);
        report->next = one == UINT64_MAX ? 0 : one;
        in_children(image, report, one == UINT64_MAX ? damages : one + 1);
        close(image->fd_meta);
        close(image->fd_values);
    }
    for (unsigned part = 0; part < PARTS; part++)
        printf("test_damage: %-18s %6llu refused %6llu accepted\n", part_names[part],
               (unsigned long long)report->refused_by[part], (unsigned long long)report->accepted_by[part]);
    printf("test_damage: %llu refused, %llu accepted (%llu of them with findings), %llu opened for real, %u "
           "failures\n",
           (unsigned long long)report->refused, (unsigned long long)report->accepted,
           (unsigned long long)report->unsound, (unsigned long long)report->real, report->failures);
    free(image);
    return report->failures == 0 && report->refused > 0 && (report->accepted > 0 || one != UINT64_MAX) ? 0
                                                                                                       : 1;
}
