/* SPDX-License-Identifier: BSD-3-Clause */
/* A pool that is closed by nobody and opened again on its files: what recovery must not lose or bring back. */
#include "daemon/pool/internal.h"
#include "tests/lib/pool_fixture.h"
#include "tests/lib/suite.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define MIB (1u << 20)

static struct fixture fx;

static void setup(void)
{
    fixture_open(&fx);
}

static void setup_small(void)
{
    fixture_open_with(&fx, &(struct fixture_options){.max_bytes = 64 * MIB});
}

static void setup_huge(void)
{
    fixture_open_with(&fx, &(struct fixture_options){.max_bytes = 100ull << 30});
}

static void teardown(void)
{
    verify_ok(&fx);
    fixture_close(&fx);
}

static int open_files(struct fixture *ret, const struct pool_config *config, char error[256])
{
    *ret = (struct fixture){.now_ms = fx.now_ms, .lease_ms = fx.lease_ms};
    error[0] = '\0';
    int rc = pool_open(&ret->pool, config, error, 256);
    if (rc != 0) {
        /* a refused image stays the caller's */
        ck_assert_int_eq(close(config->fd_meta), 0);
        ck_assert_int_eq(close(config->fd_values), 0);
        return rc;
    }
    uint8_t key[HF_KEY_SIZE];
    fixture_key(1, key);
    ret->a = pool_session_by_key(ret->pool, key);
    ck_assert_ptr_nonnull(ret->a);
    return 0;
}

/* The same image in a second pool of `limit` bytes, as if the process had died. The first one must be closed then,
 * unless the image was refused, or only looked at. */
static int reopen(struct fixture *ret, uint64_t limit, bool look_only, char error[256])
{
    const struct heap *heap = &fx.pool->heap;
    struct pool_config config = {.name = "again",
                                 .max_bytes = limit,
                                 .now_ms = fx.now_ms,
                                 .lease_ms = fx.lease_ms,
                                 .fd_meta = fcntl(heap->meta.fd, F_DUPFD_CLOEXEC, 0),
                                 .fd_values = fcntl(heap->values.fd, F_DUPFD_CLOEXEC, 0),
                                 .look_only = look_only};
    return open_files(ret, &config, error);
}

/* The pool of the fixture dies and is recovered under `limit`. */
static void successor(uint64_t limit)
{
    struct fixture again;
    char error[256];
    int rc = reopen(&again, limit, false, error);
    ck_assert_msg(rc == 0, "pool_open answered %d: %s", rc, error);
    fixture_close(&fx);
    fx = again;
}

START_TEST(free_arenas_below_live_ones_cost_nothing)
{
    enum { VALUES = 180, LEFT = 10, SIZE = ARENA_BYTES + PAGE_BYTES };
    uint64_t ids[VALUES];
    for (unsigned k = 0; k < VALUES; k++)
        ids[k] = put_filled(&fx, fx.a, SIZE, (uint8_t)k);
    for (unsigned k = 0; k < VALUES - LEFT; k++)
        release_one(&fx, fx.a, ids[k]);
    drain(&fx);
    uint64_t used = stats_of(&fx).memory_used;
    successor(64 * MIB);
    ck_assert_uint_le(stats_of(&fx).memory_used, used + MIB);
    for (unsigned k = VALUES - LEFT; k < VALUES; k++)
        ck_assert(value_is(&fx, ids[k], SIZE, (uint8_t)k));
}
END_TEST

START_TEST(leases_run_from_the_recovery)
{
    uint64_t id = put_leaf(&fx, fx.a);
    pass_ms(&fx, 5 * FIXTURE_LEASE_MS); /* both sessions are attached: no lease runs */
    successor(1u << 30);
    pass_ms(&fx, FIXTURE_LEASE_MS - 1);
    drain(&fx);
    ck_assert(!is_gone(&fx, id));
    pass_ms(&fx, 1);
    drain(&fx);
    ck_assert(is_gone(&fx, id));
    ck_assert_uint_eq(stats_of(&fx).sessions_grace, 0);
}
END_TEST

/* Times told are never negative, which would be far above 2^53. */
START_TEST(clock_set_back_before_the_start_tells_no_ages)
{
    pass_ms(&fx, 100000);
    struct session *later = fixture_session(&fx, 3, FIXTURE_LEASE_MS, &fx.owner_a);
    uint64_t id = put_leaf(&fx, later);
    retain_one(&fx, fx.a, id);
    fx.now_ms = FIXTURE_START_MS - 5000;
    successor(1u << 30);
    struct session_row rows[4];
    struct holder_row holders[4];
    unsigned count;
    ck_assert_uint_eq(pool_sessions(fx.pool, 0, rows, 4), 3);
    for (unsigned k = 0; k < 3; k++)
        ck_assert_uint_eq(rows[k].since_ms, 0);
    ck_assert_uint_eq(inspect_of(&fx, id).age_ms, 0);
    ck_assert_int_eq(pool_holders(fx.pool, id, holders, 4, &count), 0);
    ck_assert_uint_eq(count, 2);
    for (unsigned k = 0; k < count; k++)
        ck_assert_uint_eq(holders[k].since_ms, 0);
}
END_TEST

/* Marks and stack of a wide graph need memory that a full pool does not have. */
START_TEST(full_pool_is_recovered)
{
    static const uint8_t data[4000];
    uint64_t root = put_leaf(&fx, fx.a), previous, id;
    for (unsigned k = 0; k < 200000; k++) {
        id = put_bytes(&fx, fx.a, "abc", 3);
        ck_assert_int_eq(pool_link(fx.pool, root, k, id, &previous), 0);
        release_one(&fx, fx.a, id);
    }
    const struct put_spec large = {.value = bytes_in(data, sizeof data)}, tiny = {.value = bytes_in("a", 1)};
    while (try_put(&fx, fx.a, &large, &id) == 0) {
    }
    while (try_put(&fx, fx.a, &tiny, &id) == 0) {
    }
    uint64_t objects = stats_of(&fx).objects;
    successor(64 * MIB);
    struct pool_stats stats = stats_of(&fx);
    ck_assert_uint_eq(stats.objects, objects);
    ck_assert_uint_eq(stats.memory_limit, 64 * MIB);
}
END_TEST

START_TEST(open_value_dropped_after_recovery_leaves_no_bytes)
{
    enum { SIZE = 4 * MIB };
    static uint8_t piece[POOL_COPY_MAX];
    memset(piece, 'S', sizeof piece);
    uint64_t id = put_open(&fx, fx.a, SIZE);
    for (uint64_t at = 0; at < SIZE; at += sizeof piece)
        ck_assert_int_eq(pool_write(fx.pool, fx.a, id, at, piece, sizeof piece, sizeof piece), 0);
    successor(1u << 30);
    release_one(&fx, fx.a, id);
    drain(&fx);
    id = put_open(&fx, fx.a, SIZE);
    while (pool_seal(fx.pool, fx.a, id) == POOL_AGAIN) {
    }
    ck_assert(value_is(&fx, id, SIZE, 0));
}
END_TEST

/* ---- copies ---- */

/* As a program copies that saves pages of zeros: they are holes in the copy. */
static int copy_with_holes(int fd)
{
    static uint8_t page[PAGE_BYTES];
    int copy = region_create("copy");
    off_t end = lseek(fd, 0, SEEK_END), at = 0;
    ck_assert_int_eq(ftruncate(copy, end), 0);
    while ((at = lseek(fd, at, SEEK_DATA)) >= 0) {
        at = at / PAGE_BYTES * PAGE_BYTES;
        ck_assert_int_gt(pread(fd, page, sizeof page, at), 0);
        if (page[0] != 0 || memcmp(page, page + 1, sizeof page - 1) != 0)
            ck_assert_int_eq(pwrite(copy, page, sizeof page, at), sizeof page);
        at += PAGE_BYTES;
    }
    return copy;
}

static struct pool_config copied(const struct grow_io *grow)
{
    return (struct pool_config){.name = "copy",
                                .max_bytes = 64 * MIB,
                                .now_ms = fx.now_ms,
                                .lease_ms = fx.lease_ms,
                                .io = &grow->io,
                                .fd_meta = copy_with_holes(fx.pool->heap.meta.fd),
                                .fd_values = copy_with_holes(fx.pool->heap.values.fd)};
}

static uint64_t put_nils(uint32_t count)
{
    static uint64_t nils[HF_REFS_MAX];
    return put_refs(&fx, fx.a, nils, count);
}

/* Debug builds let nobody touch a page that the file does not have: all of it is used, to the last byte. */
START_TEST(a_copy_with_holes_is_filled_and_goes_on)
{
    static const uint32_t sizes[] = {5, 100, 4096, 20000, 100000, 300000, 900000};
    enum { LIST_SIZES = sizeof sizes / sizeof sizes[0] };
    uint64_t ids[2 * LIST_SIZES], lists[] = {put_nils(7), put_nils(4096), put_nils(8000)}, id;
    for (unsigned k = 0; k < 2 * LIST_SIZES; k++)
        ids[k] = put_filled(&fx, fx.a, sizes[k % LIST_SIZES], k < LIST_SIZES ? 0 : 7);
    struct grow_io grow;
    struct fixture copy;
    char error[256];
    grow_io_init(&grow);
    struct pool_config config = copied(&grow);
    int rc = open_files(&copy, &config, error);
    ck_assert_msg(rc == 0, "%s", error);
    for (unsigned k = 0; k < 2 * LIST_SIZES; k++)
        ck_assert(value_is(&copy, ids[k], sizes[k % LIST_SIZES], k < LIST_SIZES ? 0 : 7));
    ck_assert_uint_eq(inspect_of(&copy, lists[2]).slots, 8000);
    for (unsigned k = 0; k < LIST_SIZES; k++) {
        const struct put_spec spec = {.value = {.form = FORM_BIN32, .size = sizes[k]}, .open = true};
        while (try_put(&copy, copy.a, &spec, &id) == 0) {
            uint8_t byte = 1;
            ck_assert_int_eq(pool_write(copy.pool, copy.a, id, sizes[k] - 1, &byte, 1, 1), 0);
        }
    }
    for (unsigned k = 0; k < 2 * LIST_SIZES; k++)
        ck_assert(value_is(&copy, ids[k], sizes[k % LIST_SIZES], k < LIST_SIZES ? 0 : 7));
    verify_ok(&copy);
    fixture_close(&copy);
}
END_TEST

START_TEST(a_copy_for_which_there_is_no_room_is_refused)
{
    uint64_t id = put_filled(&fx, fx.a, 20000, 0);
    struct grow_io grow;
    struct fixture copy;
    char error[256];
    unsigned refused = 0;
    for (uint64_t n = 1;; n++) {
        grow_io_init(&grow);
        grow.fail_at = n;
        grow.fail_count = 1;
        struct pool_config config = copied(&grow);
        int rc = open_files(&copy, &config, error);
        if (rc == 0)
            break;
        ck_assert_msg(rc == -HF_E_OOM, "%d: %s", rc, error);
        ck_assert_msg(strstr(error, "No space left on device") != NULL, "%s", error);
        refused++;
    }
    ck_assert_uint_gt(refused, 3);
    ck_assert(value_is(&copy, id, 20000, 0));
    fixture_close(&copy);
}
END_TEST

/* ---- numbers ---- */

START_TEST(sids_begin_again_and_skip_those_in_use)
{
    struct superblock *sb = fx.pool->heap.sb;
    ck_assert_uint_eq(session_sid(fx.a), 1);
    ck_assert_uint_eq(session_sid(fx.b), 2);
    sb->next_sid = UINT32_MAX;
    ck_assert_uint_eq(session_sid(fixture_session(&fx, 3, FIXTURE_LEASE_MS, &fx)), UINT32_MAX);
    ck_assert_uint_eq(session_sid(fixture_session(&fx, 4, FIXTURE_LEASE_MS, &fx)), 3);
    ck_assert_uint_eq(pool_number(fx.pool), 0);
}
END_TEST

START_TEST(a_pool_gets_another_number)
{
    struct fixture again;
    char error[256];
    uint64_t held = put_leaf(&fx, fx.a), named = put_leaf(&fx, fx.a);
    bind_name(&fx, "n", named);
    ck_assert_int_eq(reopen(&again, 1u << 30, true, error), 0);
    ck_assert_uint_eq(pool_number(again.pool), 0);
    ck_assert_uint_eq(pool_renumber(again.pool, 7ull << POOL_SID_BITS | 1), 2);
    ck_assert_uint_eq(pool_number(again.pool), 7);
    drain(&again);
    ck_assert(is_gone(&again, held));
    ck_assert(!is_gone(&again, named));
    ck_assert_uint_eq(session_sid(fixture_session(&again, 1, FIXTURE_LEASE_MS, &fx)),
                      7ull << POOL_SID_BITS | 1);
    verify_ok(&again);
    fixture_close(&again);
}
END_TEST

/* ---- limits ---- */

static void limit_after(bool limited, uint64_t limit, uint64_t expected)
{
    struct grow_io grow;
    struct fixture again;
    char error[256];
    grow_io_init(&grow);
    struct pool_config config = {.name = "limits",
                                 .max_bytes = 64 * MIB,
                                 .limited = limited,
                                 .epoch = 1,
                                 .serial_base = 1,
                                 .fd_meta = -1,
                                 .fd_values = -1};
    struct pool *pool;
    ck_assert_int_eq(pool_open(&pool, &config, error, sizeof error), 0);
    config.max_bytes = limit;
    config.fd_meta = fcntl(pool->heap.meta.fd, F_DUPFD_CLOEXEC, 0);
    config.fd_values = fcntl(pool->heap.values.fd, F_DUPFD_CLOEXEC, 0);
    pool_close(pool);
    ck_assert_int_eq(pool_open(&again.pool, &config, error, sizeof error), 0);
    ck_assert_uint_eq(stats_of(&again).memory_limit, expected);
    fixture_close(&again);
}

START_TEST(a_limit_of_its_own_stays_and_the_daemons_is_followed)
{
    limit_after(true, 128 * MIB, 64 * MIB);
    limit_after(true, 32 * MIB, 32 * MIB);
    limit_after(false, 128 * MIB, 128 * MIB);
    limit_after(false, 32 * MIB, 32 * MIB);
}
END_TEST

START_TEST(label_that_stands_twice_is_damage)
{
    static const char *const tags[] = {"one", "two"};
    for (unsigned k = 0; k < 2; k++) {
        const struct put_spec spec = {
            .value = bytes_in("x", 1), .tag = (const uint8_t *)tags[k], .tag_size = 3};
        uint64_t id;
        ck_assert_int_eq(try_put(&fx, fx.a, &spec, &id), 0);
    }
    const struct label *labels = (const void *)fx.pool->labels.base;
    struct cell_label *cell = cell_at(&fx.pool->heap, labels[2].ref);
    cell->number = 1;
    struct fixture again;
    char error[256];
    ck_assert_int_eq(reopen(&again, 1u << 30, true, error), -HF_E_INTERNAL);
    cell->number = 2;
}
END_TEST

START_TEST(labels_go_with_objects_that_were_recovered)
{
    const struct put_spec spec = {.value = bytes_in("value", 5), .tag = (const uint8_t *)"t", .tag_size = 1};
    uint64_t ids[2];
    for (unsigned k = 0; k < 2; k++)
        ck_assert_int_eq(try_put(&fx, fx.a, &spec, &ids[k]), 0);
    successor(1u << 30);
    ck_assert_uint_eq(stats_of(&fx).labels, 1);
    release_one(&fx, fx.a, ids[0]);
    ck_assert_uint_eq(stats_of(&fx).labels, 1);
    pool_session_end(fx.pool, fx.a, REASON_SESSION_END);
    drain(&fx);
    ck_assert_uint_eq(stats_of(&fx).labels, 0);
    fx.a = fixture_session(&fx, 3, FIXTURE_LEASE_MS, &fx.owner_a);
}
END_TEST

/* An entry that has a label says so in its first word. */
START_TEST(verify_finds_a_label_that_its_entry_denies)
{
    const struct put_spec spec = {.value = bytes_in("value", 5), .tag = (const uint8_t *)"t", .tag_size = 1};
    struct verify_result result;
    uint64_t id;
    ck_assert_int_eq(try_put(&fx, fx.a, &spec, &id), 0);
    fx.pool->heap.hot[id_index(id)].w0 ^= W0_LABELLED;
    ck_assert_int_eq(pool_verify_begin(fx.pool), 0);
    while (!pool_verify_step(fx.pool, 1000, &result)) {
    }
    ck_assert_uint_eq(result.findings_count, 1);
    ck_assert_ptr_nonnull(strstr(result.findings[0].text, "label"));
    fx.pool->heap.hot[id_index(id)].w0 ^= W0_LABELLED;
}
END_TEST

/* The guard's cell was that of a hold with a site. */
START_TEST(a_guard_that_recovery_delivers_is_a_hold_without_a_site)
{
    static const uint8_t site[] = "a place in a program";
    uint64_t ids[] = {put_leaf(&fx, fx.a), put_leaf(&fx, fx.a)}, id = put_leaf(&fx, fx.a), counts[2];
    ck_assert_int_eq(pool_retain(fx.pool, fx.b, ids, 2, 1, site, sizeof site - 1, counts), 0);
    release_one(&fx, fx.b, ids[1]);
    ck_assert_int_eq(pool_guard(fx.pool, fx.b, id), 0);
    /* killed between the release and the delivery: the entry's word is the release, all else comes later */
    fx.pool->heap.hot[id_index(id)].holder = 0;
    struct fixture again;
    char error[256];
    ck_assert_int_eq(reopen(&again, 1u << 30, true, error), 0);
    struct holder_row holders[2];
    unsigned count;
    ck_assert_int_eq(pool_holders(again.pool, id, holders, 2, &count), 0);
    ck_assert_uint_eq(count, 1);
    ck_assert_int_eq(holders[0].kind, HOLDER_SESSION);
    ck_assert_uint_eq(holders[0].sid, session_sid(fx.b));
    ck_assert_uint_eq(holders[0].count, 1);
    ck_assert_uint_eq(holders[0].site_size, 0);
    verify_ok(&again);
    fixture_close(&again);
    fx.pool->heap.hot[id_index(id)].holder = 1ull << 32 | fx.a->ref;
    ck_assert_int_eq(pool_unguard(fx.pool, fx.b, id), 0);
}
END_TEST

START_TEST(version_of_a_binding_goes_beyond_40_bits)
{
    uint64_t id = put_leaf(&fx, fx.a), version, next;
    bind_name(&fx, "old", id);
    fx.pool->heap.sb->next_version = (1ull << 40) + 5;
    for (unsigned k = 0; k < 2; k++) {
        const struct name_in name = name_of(k == 0 ? "old" : "new");
        ck_assert_int_eq(pool_name_bind(fx.pool, name, id, POOL_ANY_VERSION, &version), 0);
        ck_assert_uint_gt(version, 1ull << 40);
        ck_assert_int_eq(pool_name_bind(fx.pool, name, id, version, &next), 0);
        ck_assert_uint_gt(next, version);
    }
    successor(1u << 30);
    ck_assert_int_eq(pool_name_bind(fx.pool, name_of("new"), id, next, &version), 0);
}
END_TEST

/* A position of 8-byte units has 32 bits: small values live in the first 32 GiB, or nowhere. */
START_TEST(small_values_never_lie_beyond_32_GiB)
{
    static const uint8_t data[3000];
    uint64_t first = put_filled(&fx, fx.a, sizeof data, 7), id;
    const struct put_spec spec = {.value = bytes_in(data, sizeof data)};
    for (unsigned k = 0; k < 9; k++)
        (void)put_open(&fx, fx.a, HF_OBJECT_MAX - 7);
    int rc = 0;
    while (rc == 0) {
        rc = try_put(&fx, fx.a, &spec, &id);
        if (rc == 0)
            ck_assert(value_is(&fx, id, sizeof data, 0));
    }
    ck_assert_int_eq(rc, -HF_E_OOM);
    ck_assert(value_is(&fx, first, sizeof data, 7));
}
END_TEST

/* ---- the file of a save ---- */

static int save_file(void)
{
    struct save *save;
    struct save_buffer *chain;
    int fd = memfd_create("saved", MFD_CLOEXEC);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(pool_save_begin(fx.pool, fd, -1, &save), 0);
    while (!save_is_done(save)) {
        (void)pool_save_step(fx.pool);
        if ((chain = save_take(save)) != NULL)
            save_given_back(save, chain, save_write(chain, NULL, NULL));
    }
    ck_assert_int_eq(save_error(save), 0);
    pool_save_end(fx.pool);
    return fd;
}

struct reader {
    unsigned calls, last; /* the call that is answered with false; 0: none */
};

static bool read_on(void *data, unsigned done)
{
    struct reader *reader = data;
    ck_assert_uint_eq(done, 0);
    return ++reader->calls != reader->last;
}

/* The end of the file is missing, which only who reads on finds. */
START_TEST(reading_a_save_can_be_ended_at_any_call)
{
    struct pool_config config = {.name = "loaded",
                                 .max_bytes = 1u << 30,
                                 .epoch = 7,
                                 .serial_base = 1,
                                 .first_sid = 1,
                                 .now_ms = fx.now_ms,
                                 .progress = read_on,
                                 .fd_meta = -1,
                                 .fd_values = -1};
    struct pool *pool;
    char error[256];
    (void)put_filled(&fx, fx.a, 4 * MIB, 7);
    int fd = save_file(), rc = -HF_E_DRAINING;
    ck_assert_int_eq(ftruncate(fd, lseek(fd, 0, SEEK_END) - 1), 0);
    for (unsigned last = 1; rc == -HF_E_DRAINING; last++) {
        struct reader reader = {.last = last};
        config.progress_data = &reader;
        rc = pool_load(&pool, &config, fd, error, sizeof error);
        ck_assert_uint_eq(reader.calls, rc == -HF_E_DRAINING ? last : last - 1);
        ck_assert_uint_gt(reader.calls, rc == -HF_E_DRAINING ? 0 : 3);
    }
    ck_assert_int_eq(rc, -HF_E_INTERNAL);
    close(fd);
}
END_TEST

START_TEST(files_of_an_older_format_are_read_and_those_of_a_later_one_refused)
{
    int fd = save_file();
    for (unsigned format = 0; format <= SAVED_FORMAT + 1; format++) {
        struct saved_header header;
        char error[256] = "";
        ck_assert_int_eq(pread(fd, &header, sizeof header, 0), sizeof header);
        header.format = format;
        header.checksum = saved_header_checksum(&header);
        ck_assert_int_eq(pwrite(fd, &header, sizeof header, 0), sizeof header);
        bool reads = format >= SAVED_FORMAT_FIRST && format <= SAVED_FORMAT;
        ck_assert_int_eq(pool_saved_header(fd, &header, error, sizeof error) == 0, reads);
        ck_assert_int_eq(reads, strstr(error, "this version reads formats 1 to 3") == NULL);
    }
    close(fd);
}
END_TEST

static unsigned chain_length(const struct save_buffer *chain)
{
    unsigned length = 0;
    for (; chain != NULL; chain = chain->next)
        length++;
    return length;
}

/* As if others took at once what it gives back: the last record must have room even so. */
static void give_back_in_steps(struct save *save, struct mem *mem)
{
    struct save_facts before, after;
    do {
        save_facts(save, &before);
        (void)pool_save_step(fx.pool);
        save_facts(save, &after);
        ck_assert_uint_le(before.memory - after.memory, 4 * SAVE_BUFFER);
        mem->limit = mem->used;
    } while (after.memory != before.memory);
}

START_TEST(a_save_gives_its_memory_back_in_steps)
{
    struct mem *mem = pool_mem(fx.pool);
    uint64_t limit = mem->limit;
    struct save_facts facts;
    struct save *save;
    struct save_buffer *chain;
    unsigned chains = 0;
    int fd = memfd_create("saved", MFD_CLOEXEC);
    (void)put_filled(&fx, fx.a, 4 * MIB, 7);
    ck_assert_int_eq(pool_save_begin(fx.pool, fd, -1, &save), 0);
    while (pool_save_has_work(fx.pool))
        (void)pool_save_step(fx.pool);
    save_facts(save, &facts);
    ck_assert_uint_gt(facts.memory, 4 * MIB);
    while ((chain = save_take(save)) != NULL) {
        ck_assert_uint_le(chain_length(chain), SAVE_CHAIN);
        ck_assert_ptr_null(save_take(save)); /* one at a time */
        save_given_back(save, chain, save_write(chain, NULL, NULL));
        give_back_in_steps(save, mem);
        chains++;
    }
    save_facts(save, &facts);
    ck_assert_uint_gt(chains, 2);
    ck_assert(save_is_done(save));
    ck_assert_uint_eq(facts.memory, 0);
    pool_save_end(fx.pool);
    mem->limit = limit;
    close(fd);
}
END_TEST

/* As the server does it: a step only when there is work, a chain when there is one. False: nothing happened. */
static bool save_on(struct save *save)
{
    bool works = pool_save_has_work(fx.pool);
    if (works)
        (void)pool_save_step(fx.pool);
    struct save_buffer *chain = save_take(save);
    if (chain != NULL)
        save_given_back(save, chain, save_write(chain, NULL, NULL));
    return works || chain != NULL;
}

START_TEST(a_save_ends_however_few_buffers_it_gets)
{
    struct mem *mem = pool_mem(fx.pool);
    uint64_t limit = mem->limit;
    struct save *save;
    (void)put_filled(&fx, fx.a, 2 * MIB, 7);
    for (unsigned buffers = 1; buffers <= 9; buffers++) {
        int fd = memfd_create("saved", MFD_CLOEXEC);
        ck_assert_int_eq(pool_save_begin(fx.pool, fd, -1, &save), 0);
        mem->limit = mem->used + (buffers - 1) * SAVE_BUFFER; /* it has its first one */
        while (!save_is_done(save))
            ck_assert_msg(save_on(save), "with %u buffers it stands still", buffers);
        ck_assert_int_eq(save_error(save), 0);
        pool_save_end(fx.pool);
        mem->limit = limit;
        close(fd);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("pool recovery");
    TCase *t = suite_case(suite, "image", setup, teardown);
    tcase_add_test(t, open_value_dropped_after_recovery_leaves_no_bytes);
    tcase_add_test(t, leases_run_from_the_recovery);
    tcase_add_test(t, clock_set_back_before_the_start_tells_no_ages);
    tcase_add_test(t, label_that_stands_twice_is_damage);
    tcase_add_test(t, labels_go_with_objects_that_were_recovered);
    tcase_add_test(t, verify_finds_a_label_that_its_entry_denies);
    tcase_add_test(t, a_guard_that_recovery_delivers_is_a_hold_without_a_site);
    tcase_add_test(t, version_of_a_binding_goes_beyond_40_bits);
    tcase_add_test(t, a_copy_with_holes_is_filled_and_goes_on);
    tcase_add_test(t, a_copy_for_which_there_is_no_room_is_refused);
    tcase_add_test(t, sids_begin_again_and_skip_those_in_use);
    tcase_add_test(t, a_pool_gets_another_number);
    tcase_add_test(t, a_limit_of_its_own_stays_and_the_daemons_is_followed);
    tcase_add_test(t, reading_a_save_can_be_ended_at_any_call);
    tcase_add_test(t, a_save_gives_its_memory_back_in_steps);
    tcase_add_test(t, a_save_ends_however_few_buffers_it_gets);
    tcase_add_test(t, files_of_an_older_format_are_read_and_those_of_a_later_one_refused);
    t = suite_case(suite, "small", setup_small, teardown);
    tcase_add_test(t, free_arenas_below_live_ones_cost_nothing);
    tcase_add_test(t, full_pool_is_recovered);
    t = suite_case(suite, "huge", setup_huge, teardown);
    tcase_add_test(t, small_values_never_lie_beyond_32_GiB);
    return suite_run(suite);
}
