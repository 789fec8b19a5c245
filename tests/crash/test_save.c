/* SPDX-License-Identifier: BSD-3-Clause */
/* Saves in the middle of everything: the file is the pool as it was at the instant, whatever is done while it is
 * written.
 *
 * Random operations run on a pool; now and then a save begins, and its steps, its writer and its failures come
 * between the operations as the seed has it: few buffers or many, pieces copied one at a time or not at all for long,
 * chains that stay out. When it is done the file is loaded and recovered as the daemon would, every invariant is
 * walked, and its digest is that of the living pool at the instant. A file that is cut or in which a bit is flipped
 * is refused.
 *
 * HF_SEED replays one seed, HF_SEEDS says how many, HF_OPS the operations of each. */
#include "daemon/heap/load.h"
#include "tests/crash/copy.h"
#include "tests/crash/digest.h"
#include "tests/lib/full_io.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define GROWN_NAMES   2000u  /* more cells than an arena has */
#define GROWN_OBJECTS 20000u /* more entries than are backed at first */

struct attack {
    struct workload work;
    struct random random; /* of the save; the workload has its own */
    uint64_t seed;
    struct save *save;
    struct save_buffer *chain; /* out, and not yet written */
    int fd;
    unsigned lazy; /* one in so many operations is followed by a step of the save */
    uint64_t digest, objects;
    struct full_io io;
    uint64_t saves, failed, pieces, urgent, direct, flipped, changed;
};

_Noreturn static void die(const struct attack *a, const char *what, const char *detail)
{
    fprintf(stderr, "test_save: HF_SEED=%llu operation %llu, save %llu: %s%s%s\n",
            (unsigned long long)a->seed, (unsigned long long)a->work.done, (unsigned long long)a->saves, what,
            detail[0] != '\0' ? ": " : "", detail);
    exit(1);
}

static int empty_file(const struct attack *a)
{
    int fd = memfd_create("saved", MFD_CLOEXEC);
    if (fd < 0)
        die(a, "no memfd", strerror(errno));
    return fd;
}

/* ---- what was saved ---- */

static enum load_result load(const struct attack *a, int fd, int *ret_meta, int *ret_values, char *error,
                             size_t size)
{
    struct saved_header header;
    struct load_scan scan = {.records = 0};
    *ret_meta = empty_file(a);
    *ret_values = empty_file(a);
    enum load_result result = load_header(fd, &header, error, size);
    if (result == LOAD_FINE)
        result = load_pieces(fd, &header, *ret_meta, *ret_values, false, &scan, error, size);
    return result;
}

static void check_saved(struct attack *a)
{
    char error[200] = "";
    int fd_meta, fd_values;
    uint64_t digest = 0;
    if (load(a, a->fd, &fd_meta, &fd_values, error, sizeof error) != LOAD_FINE)
        die(a, "a whole file is refused", error);
    const char *wrong = copy_look(fd_meta, fd_values, a->work.fx.now_ms, NULL, &digest);
    if (wrong != NULL)
        die(a, "what was saved is not recovered as it should be", wrong);
    if (digest != a->digest)
        die(a, "what was saved is not the pool at the instant", "");
    a->changed += digest != digest_of(a->work.fx.pool);
    close(fd_meta);
    close(fd_values);
}

/* One bit is another one, the end is missing, or something is behind it: refused, with a place. */
static void check_damaged(struct attack *a)
{
    char error[200] = "";
    int fd_meta, fd_values;
    struct stat status;
    uint8_t byte;
    if (fstat(a->fd, &status) != 0)
        die(a, "fstat", strerror(errno));
    off_t at = (off_t)random_below(&a->random, (uint64_t)status.st_size);
    /* between the header and the first piece nothing is said */
    if (at >= (off_t)sizeof(struct saved_header) && at < (off_t)SAVED_HEADER)
        return;
    if (random_once_in(&a->random, 3)) {
        bool longer = random_once_in(&a->random, 2);
        if (ftruncate(a->fd, longer ? status.st_size + 1 + at : at) != 0)
            die(a, "ftruncate", strerror(errno));
    } else {
        if (pread(a->fd, &byte, 1, at) != 1)
            die(a, "pread", strerror(errno));
        byte ^= (uint8_t)(1u << random_below(&a->random, 8));
        if (pwrite(a->fd, &byte, 1, at) != 1)
            die(a, "pwrite", strerror(errno));
    }
    if (load(a, a->fd, &fd_meta, &fd_values, error, sizeof error) != LOAD_DAMAGED || error[0] == '\0')
        die(a, "a damaged file is not refused", error);
    a->flipped++;
    close(fd_meta);
    close(fd_values);
}

/* ---- the save, between operations ---- */

static void begin(struct attack *a)
{
    uint64_t memory = random_between(&a->random, 1, 5) * SAVE_BUFFER;
    a->fd = empty_file(a);
    full_io_open(&a->io, a->fd, &a->random);
    a->lazy = random_once_in(&a->random, 2) ? 1 : (unsigned)random_between(&a->random, 2, 20);
    const struct save_config config = {.fd = a->fd,
                                       .fd_past = a->io.fd_past,
                                       .memory = memory,
                                       .urgent_memory = random_between(&a->random, 0, 2) * SAVE_BUFFER,
                                       .new_memory = random_between(&a->random, 0, 1) * ARENA_BYTES,
                                       .now_ms = a->work.fx.now_ms,
                                       .io = &a->io.io};
    a->digest = digest_count(a->work.fx.pool, &a->objects);
    int err = save_begin(&a->work.fx.pool->heap, &config, &a->save);
    if (err != 0)
        die(a, "no save begins", strerror(-err));
    a->saves++;
}

static void end(struct attack *a)
{
    struct save_facts facts;
    save_facts(a->save, &facts);
    a->pieces += facts.copied;
    a->urgent += facts.urgent;
    a->direct += facts.direct;
    bool is_whole = save_error(a->save) == 0;
    if (!is_whole && (save_error(a->save) != -ENOSPC || a->io.fail_at == 0))
        die(a, "a save fails for no reason", strerror(-save_error(a->save)));
    save_end(a->save);
    a->save = NULL;
    a->failed += !is_whole;
    if (is_whole) {
        check_saved(a);
        check_damaged(a);
    }
    full_io_close(&a->io);
    close(a->fd);
}

static void step(struct attack *a)
{
    if (random_once_in(&a->random, 2))
        (void)save_step(a->save, (unsigned)random_between(&a->random, 1, 9));
    if (a->chain == NULL)
        a->chain = save_take(a->save);
    if (a->chain != NULL && random_once_in(&a->random, 3)) {
        int err = save_write(a->chain, NULL, NULL);
        save_given_back(a->save, a->chain, err);
        a->chain = NULL;
    }
    if (a->chain == NULL && (save_is_done(a->save) || save_error(a->save) != 0))
        end(a);
}

/* In the middle: it is as if it had never begun. */
static void abandon(struct attack *a)
{
    if (a->chain != NULL)
        save_given_back(a->save, a->chain, 0);
    a->chain = NULL;
    save_end(a->save);
    a->save = NULL;
    full_io_close(&a->io);
    close(a->fd);
}

static void one_operation(struct attack *a)
{
    if (a->save == NULL && random_once_in(&a->random, 20))
        begin(a);
    workload_step(&a->work);
    if (a->save != NULL && random_once_in(&a->random, a->lazy))
        step(a);
    if (a->save != NULL && random_once_in(&a->random, 5000))
        abandon(a);
}

static void run_seed(struct attack *a, uint64_t seed, uint64_t operations)
{
    memset(&a->work, 0, sizeof a->work);
    a->seed = seed;
    a->random.state = seed * 77 + 5;
    workload_open(&a->work, seed, 64u << 20);
    while (a->work.done < operations) {
        one_operation(a);
        if (a->save == NULL && a->work.done % 1000 == 0)
            workload_restart(&a->work);
    }
    if (a->save != NULL)
        abandon(a);
    workload_close(&a->work);
}

/* What is backed after the instant is not in the file, and nothing in the file speaks of it. */
static void grow_meanwhile(struct attack *a)
{
    char text[HF_NAME_MAX + 1];
    memset(&a->work, 0, sizeof a->work);
    a->random.state = 1;
    workload_open(&a->work, 1, 256u << 20);
    struct fixture *fx = &a->work.fx;
    begin(a);
    a->io.fail_at = 0;
    for (unsigned k = 0; k < GROWN_NAMES; k++) {
        snprintf(text, sizeof text, "%0*u", HF_NAME_MAX, k + 1000);
        (void)bind_name(fx, text, put_leaf(fx, fx->a));
    }
    for (unsigned k = 0; k < GROWN_OBJECTS; k++)
        (void)put_filled(fx, fx->a, 100, (uint8_t)k);
    while (a->save != NULL)
        step(a);
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
    uint64_t wanted = from_environment("HF_SEEDS", 0), seeds = wanted != 0 ? wanted : is_long ? 200 : 12;
    uint64_t first = from_environment("HF_SEED", 0);
    uint64_t count = from_environment("HF_OPS", is_long ? 20000 : 6000);
    struct attack *a = calloc(1, sizeof *a);
    if (a == NULL)
        return 1;
    if (first != 0)
        seeds = 1;
    grow_meanwhile(a);
    for (uint64_t seed = first == 0 ? 1 : first; seeds > 0; seed++, seeds--)
        run_seed(a, seed, count);
    printf("test_save: %llu saves, %llu of them failed as they should, %llu of pools that had changed "
           "meanwhile; %llu "
           "pieces, %llu copied before a store, %llu of these written directly; %llu damaged files refused\n",
           (unsigned long long)a->saves, (unsigned long long)a->failed, (unsigned long long)a->changed,
           (unsigned long long)a->pieces, (unsigned long long)a->urgent, (unsigned long long)a->direct,
           (unsigned long long)a->flipped);
    bool seen =
        a->saves > 0 && a->failed > 0 && a->changed > 0 && a->urgent > 0 && a->direct > 0 && a->flipped > 0;
    free(a);
    return seen || first != 0 || wanted != 0 ? 0 : 1;
}
