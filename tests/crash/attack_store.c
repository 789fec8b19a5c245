/* SPDX-License-Identifier: BSD-3-Clause */
/* The every-store attack (HEAP.md section 9): what if we die here?
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
#include "tests/crash/digest.h"
#include "tests/lib/pool_fixture.h"
#include "tests/lib/random.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define OBJECTS_MAX   160u
#define SESSIONS      4u
#define NAMES         12u
#define TICKETS       8u
#define DIGESTS_MAX   200000u
#define INDEX_TRACKED 4096u

#if !HF_STORE_HOOK
#error "compile the heap and this test with -DHF_STORE_HOOK=1"
#endif

struct attack {
    struct fixture fx;
    struct random random;
    uint64_t seed, op;
    struct session *session[SESSIONS];
    unsigned keys_used;
    uint64_t ids[OBJECTS_MAX];
    unsigned ids_count;
    uint8_t ticket[TICKETS][HF_KEY_SIZE];
    unsigned tickets_count;
    uint64_t before;               /* digest */
    uint64_t digests[DIGESTS_MAX]; /* of the copies taken in this operation */
    uint32_t digests_count;
    uint32_t told[INDEX_TRACKED]; /* generation + 1 of the newest id given out, by index */
    uint64_t snapshots, nested, calls;
    uint32_t nested_every;
    bool hooked;
};

_Noreturn static void die(struct attack *a, const char *what, const char *detail)
{
    fprintf(stderr, "attack_store: HF_SEED=%llu operation %llu, snapshot %llu: %s%s%s\n",
            (unsigned long long)a->seed, (unsigned long long)a->op, (unsigned long long)a->snapshots, what,
            detail[0] != '\0' ? ": " : "", detail);
    exit(1);
}

/* ---- looking at a copy ---- */

static void walk_invariants(struct attack *a, struct pool *copy)
{
    struct verify_result result;
    pool_mem(copy)->limit = UINT64_MAX;
    if (pool_verify_begin(copy) != 0)
        die(a, "verify cannot begin", "");
    while (!pool_verify_step(copy, 100000, &result)) {
    }
    if (result.findings_count > 0)
        die(a, "a recovered copy is not sound", result.findings[0].text);
}

/* Every id told was of a generation that a free entry has passed. */
static void check_generations(struct attack *a, const struct pool *copy)
{
    const struct heap *heap = &copy->heap;
    for (uint32_t index = 1; index < heap->sb->index_top && index < INDEX_TRACKED; index++) {
        uint64_t w0 = heap->hot[index].w0;
        if (w0_state(w0) == W0_FREE && w0_gen(w0) + 1 <= a->told[index])
            die(a, "an id could be given out twice", "");
    }
}

static struct pool *recover_copy(struct attack *a, int fd_meta, int fd_values, bool look_only)
{
    char error[200];
    struct pool *copy;
    struct pool_config config = {.name = "copy",
                                 .max_bytes = 64u << 20,
                                 .epoch = 1,
                                 .serial_base = 1,
                                 .now_ms = a->fx.now_ms,
                                 .fd_meta = fd_meta,
                                 .fd_values = fd_values,
                                 .look_only = look_only};
    if (pool_open(&copy, &config, error, sizeof error) != 0)
        die(a, "recovery refuses the image", error);
    return copy;
}

static uint64_t look(struct attack *a, int fd_meta, int fd_values)
{
    struct pool *copy = recover_copy(a, fd_meta, fd_values, true);
    walk_invariants(a, copy);
    check_generations(a, copy);
    uint64_t digest = digest_of(copy);
    pool_close(copy);
    a->snapshots++;
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

static int copy_file(struct attack *a, int fd)
{
    int copy = memfd_create("attack", MFD_CLOEXEC);
    off_t end = lseek(fd, 0, SEEK_END), data = 0;
    char *buffer = malloc(1 << 20);
    if (copy < 0 || buffer == NULL || ftruncate(copy, end) != 0)
        die(a, "cannot copy the image", "");
    while ((data = lseek(fd, data, SEEK_DATA)) >= 0) {
        off_t hole = lseek(fd, data, SEEK_HOLE);
        while (data < hole) {
            size_t part = hole - data < (1 << 20) ? (size_t)(hole - data) : 1 << 20;
            if (pread(fd, buffer, part, data) != (ssize_t)part ||
                pwrite(copy, buffer, part, data) != (ssize_t)part)
                die(a, "cannot copy the image", "");
            data += (off_t)part;
        }
    }
    free(buffer);
    return copy;
}

/* The hook of a pool's image is set after it is mapped and before it is recovered: by hand, as pool_open() does it. */
static void attack_recovery(struct attack *a, uint64_t expected)
{
    const struct heap *live = &a->fx.pool->heap;
    struct nested nested = {.attack = a, .expected = expected};
    nested.fd_meta = copy_file(a, live->meta.fd);
    nested.fd_values = copy_file(a, live->values.fd);
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
    struct heap *heap = &a->fx.pool->heap;
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

static void tell(struct attack *a, uint64_t id)
{
    uint32_t index = id_index(id);
    uint64_t gen = ((id >> 32) - a->fx.pool->heap.sb->serial_base) & W0_GEN;
    if (index < INDEX_TRACKED && gen + 1 > a->told[index])
        a->told[index] = (uint32_t)gen + 1;
    if (a->ids_count < OBJECTS_MAX)
        a->ids[a->ids_count++] = id;
    else
        a->ids[random_below(&a->random, OBJECTS_MAX)] = id;
}

static uint64_t any_id(struct attack *a)
{
    return a->ids_count == 0 ? 1 : a->ids[random_below(&a->random, a->ids_count)];
}

/* One that is open; the first is never ended. */
static struct session *any_session(struct attack *a)
{
    unsigned k = (unsigned)random_below(&a->random, SESSIONS);
    return a->session[k] != NULL ? a->session[k] : a->session[0];
}

static struct name_in any_name(struct attack *a, char *buffer)
{
    static const char tail[] = "-a-name-that-needs-a-cell-of-a-larger-class-than-the-others-do";
    unsigned number = (unsigned)random_below(&a->random, NAMES);
    int size = sprintf(buffer, "n%u%.*s", number, (int)(number * 5 % sizeof tail), tail);
    return (struct name_in){.data = (uint8_t *)buffer, .size = (uint32_t)size};
}

static uint8_t pattern[600000];

static struct value_in any_value(struct attack *a)
{
    static const uint32_t sizes[] = {0, 1, 4, 5, 8, 16, 17, 100, 300, 5000, 20000, 200000};
    uint64_t size = sizes[random_below(&a->random, random_once_in(&a->random, 10) ? 12 : 9)];
    return bytes_in(pattern + random_below(&a->random, 1000), size);
}

static void op_put(struct attack *a)
{
    uint64_t refs[300], id;
    uint32_t count = (uint32_t)random_below(&a->random, random_once_in(&a->random, 8) ? 300 : 5);
    for (uint32_t k = 0; k < count; k++)
        refs[k] = random_once_in(&a->random, 4) ? 0 : any_id(a);
    char tag[8], site[80];
    struct put_spec spec = {.value = any_value(a), .refs = refs, .refs_count = count};
    if (random_once_in(&a->random, 3)) {
        spec.tag = (uint8_t *)tag;
        spec.tag_size = (uint32_t)sprintf(tag, "t%u", (unsigned)random_below(&a->random, 5));
    }
    if (random_once_in(&a->random, 6)) {
        spec.site = (uint8_t *)site;
        spec.site_size = (uint32_t)sprintf(site, "site-%060u", (unsigned)random_below(&a->random, 3));
    }
    spec.seal = random_once_in(&a->random, 9);
    if (random_once_in(&a->random, 9)) {
        spec.open = true;
        spec.value.data = NULL;
    }
    if (pool_put(a->fx.pool, any_session(a), &spec, &id) == 0)
        tell(a, id);
}

static void op_put_many(struct attack *a)
{
    struct put_spec specs[6];
    uint64_t refs[6][3], ids[6];
    uint32_t count = (uint32_t)random_between(&a->random, 1, 6);
    for (uint32_t k = 0; k < count; k++) {
        for (uint32_t j = 0; j < 3; j++)
            refs[k][j] =
                random_once_in(&a->random, 2) ? POOL_ITEM(random_below(&a->random, count)) : any_id(a);
        specs[k] = (struct put_spec){
            .value = any_value(a), .refs = refs[k], .refs_count = (uint32_t)random_below(&a->random, 4)};
    }
    if (pool_put_many(a->fx.pool, any_session(a), specs, count, ids) == 0)
        for (uint32_t k = 0; k < count; k++)
            tell(a, ids[k]);
}

static void op_set(struct attack *a)
{
    uint64_t version;
    struct value_in value = any_value(a);
    (void)pool_set(a->fx.pool, any_id(a), &value, 0, &version);
}

static void op_write_seal(struct attack *a)
{
    uint64_t id = any_id(a);
    struct session *s = any_session(a);
    (void)pool_write(a->fx.pool, s, id, 0, pattern, 4, 4);
    if (random_once_in(&a->random, 2))
        (void)pool_seal(a->fx.pool, s, id);
}

/* Replaces, clears or appends; sometimes many times, so that lists grow through their shapes. */
static void op_link(struct attack *a)
{
    uint64_t id = any_id(a), previous, ids[1];
    uint32_t count = 0, total = 0;
    if (pool_refs(a->fx.pool, id, 0, ids, 1, &count, &total) != 0)
        return;
    uint64_t slot = random_below(&a->random, total + 1ull);
    (void)pool_link(a->fx.pool, id, random_once_in(&a->random, 2) ? total : slot,
                    random_once_in(&a->random, 4) ? 0 : any_id(a), &previous);
}

static uint32_t any_list(struct attack *a, uint64_t *ids)
{
    uint32_t count = random_once_in(&a->random, 3) ? (uint32_t)random_between(&a->random, 2, 8) : 1;
    for (uint32_t k = 0; k < count; k++)
        ids[k] = any_id(a);
    return count;
}

static void op_retain(struct attack *a)
{
    static const uint8_t site[] = "somewhere";
    uint64_t ids[8], counts[8];
    uint32_t count = any_list(a, ids);
    (void)pool_retain(a->fx.pool, any_session(a), ids, count, (uint32_t)random_between(&a->random, 1, 3),
                      site, random_once_in(&a->random, 5) ? 9 : 0, counts);
}

static void op_release(struct attack *a)
{
    uint64_t ids[8], counts[8];
    uint32_t count = any_list(a, ids);
    (void)pool_release(a->fx.pool, any_session(a), ids, count, (uint32_t)random_between(&a->random, 1, 2),
                       counts);
}

static void op_share(struct attack *a)
{
    unsigned k = (unsigned)random_below(&a->random, TICKETS);
    if (pool_share(a->fx.pool, any_session(a), any_id(a), random_between(&a->random, 1, 5000),
                   (uint32_t)random_between(&a->random, 1, 3), a->ticket[k]) == 0 &&
        k >= a->tickets_count)
        a->tickets_count = k + 1;
}

static void op_claim(struct attack *a)
{
    uint64_t id;
    const uint8_t *key = a->ticket[random_below(&a->random, TICKETS)];
    if (random_once_in(&a->random, 4))
        (void)pool_unshare(a->fx.pool, key);
    else
        (void)pool_claim(a->fx.pool, any_session(a), key, &id);
}

static void op_name(struct attack *a)
{
    char buffer[100];
    uint64_t version;
    (void)pool_name_bind(a->fx.pool, any_name(a, buffer), any_id(a), POOL_ANY_VERSION, &version);
}

static void op_unname(struct attack *a)
{
    char buffer[3][100];
    struct name_in names[3];
    uint32_t count = (uint32_t)random_between(&a->random, 1, 3);
    for (uint32_t k = 0; k < count; k++)
        names[k] = any_name(a, buffer[k]);
    (void)pool_unname(a->fx.pool, names, count, POOL_ANY_VERSION);
}

static void op_lookup(struct attack *a)
{
    char buffer[100];
    struct name_in name = any_name(a, buffer);
    uint64_t id;
    (void)pool_lookup(a->fx.pool, any_session(a), &name, 1, &id, NULL);
}

static void op_store(struct attack *a)
{
    char buffer[100];
    uint64_t id, version;
    struct value_in value = any_value(a);
    if (pool_store(a->fx.pool, any_name(a, buffer), &value, POOL_ANY_VERSION, (const uint8_t *)"t1",
                   random_once_in(&a->random, 2) ? 2 : 0, &id, &version) == 0)
        tell(a, id);
}

/* Ends an open one, or opens one in an empty place. */
static void op_session(struct attack *a)
{
    unsigned k = 1 + (unsigned)random_below(&a->random, SESSIONS - 1);
    if (a->session[k] == NULL)
        a->session[k] = fixture_session(&a->fx, 10 + a->keys_used++ % 200, 1000, a);
    else if (random_once_in(&a->random, 3)) {
        pool_session_end(a->fx.pool, a->session[k], REASON_KILL);
        a->session[k] = NULL;
    }
}

/* A single unit: more of them are several operations, each with an effect of its own. */
static void op_step(struct attack *a)
{
    (void)pool_step(a->fx.pool, 1);
}

static void op_time(struct attack *a)
{
    a->fx.now_ms += random_below(&a->random, 800);
    pool_tick(a->fx.pool, a->fx.now_ms, a->fx.lease_ms);
}

static void (*const operations[])(struct attack *) = {
    op_put,  op_put,    op_put,    op_put_many, op_set,     op_write_seal, op_link,  op_link,
    op_link, op_retain, op_retain, op_release,  op_release, op_release,    op_share, op_claim,
    op_name, op_unname, op_lookup, op_store,    op_session, op_step,       op_step,  op_time,
};
#define OPERATIONS (sizeof operations / sizeof operations[0])

/* A copy may be the pool before or after, and once it is the pool after it must stay so. */
static void one_operation(struct attack *a)
{
    a->before = digest_of(a->fx.pool);
    a->digests_count = 0;
    a->hooked = true;
    operations[random_below(&a->random, OPERATIONS)](a);
    a->hooked = false;
    uint64_t now = digest_of(a->fx.pool);
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

static void run_seed(struct attack *a, uint64_t seed, uint64_t operations_count)
{
    struct fixture_options options = {.max_bytes = 64u << 20, .serial_base = 7, .seed = seed + 1};
    memset(a, 0, sizeof *a);
    a->seed = seed;
    a->random.state = seed;
    a->nested_every = 97;
    fixture_open_with(&a->fx, &options);
    a->fx.pool->heap.meta.hook = store_hook;
    a->fx.pool->heap.meta.hook_arg = a;
    a->fx.pool->heap.values.hook = store_hook;
    a->fx.pool->heap.values.hook_arg = a;
    a->session[0] = fixture_session(&a->fx, 9, 1000, a);
    for (a->op = 0; a->op < operations_count; a->op++)
        one_operation(a);
    a->fx.pool->heap.meta.hook = a->fx.pool->heap.values.hook = NULL;
    fixture_close(&a->fx);
}

static uint64_t from_environment(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);
    return text == NULL || text[0] == '\0' ? otherwise : strtoull(text, NULL, 10);
}

int main(void)
{
    bool is_long = from_environment("HF_TEST_LONG", 0) != 0;
    uint64_t seeds = from_environment("HF_SEEDS", is_long ? 200 : 6), first = from_environment("HF_SEED", 0);
    uint64_t count = from_environment("HF_OPS", is_long ? 400 : 250), snapshots = 0, nested = 0;
    struct attack *a = malloc(sizeof *a);
    for (size_t k = 0; k < sizeof pattern; k++)
        pattern[k] = (uint8_t)(k * 31 + (k >> 8));
    if (first != 0)
        seeds = 1;
    for (uint64_t seed = first == 0 ? 1 : first; seeds > 0; seed++, seeds--) {
        run_seed(a, seed, count);
        snapshots += a->snapshots;
        nested += a->nested;
    }
    free(a);
    printf("attack_store: %llu copies recovered and sound, %llu of them inside recovery\n",
           (unsigned long long)snapshots, (unsigned long long)nested);
    return snapshots > 0 && nested > 0 ? 0 : 1;
}
