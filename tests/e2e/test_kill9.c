/* SPDX-License-Identifier: BSD-3-Clause */
/* kill -9 under load: many clients of libholdfast do counted work while the daemon, with its pools in files, is
 * killed at any moment and started again, many times. Each client keeps a model of what is its own and knows what
 * every answer must be, to the count; so nothing that was answered is lost, nothing is done twice, no id comes twice,
 * and nothing dies while it is held. Meanwhile one client saves the pool all the time (saver.h). The daemon is
 * $HOLDFASTD or build/holdfastd; HF_TEST_LONG=1 kills it 300 times; HF_SEED replays the choices of one run, though not
 * the moments of death.
 *
 * With HF_ADDRESS the daemon is another's, and so is the killing (test_restart.py): for each line of stdin it waits
 * until more work was done, then prints one; at the end of stdin the clients end, and what there is is compared. */
#include "tests/e2e/saver.h"
#include "tests/lib/environment.h"
#include "tests/lib/live.h"
#include "tests/lib/random.h"
#include "tests/lib/suite.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define CLIENTS 8u
#define OBJECTS 24u
#define NAMES   6u
#define BATCH   100u

struct object {
    hf_id id; /* 0: none */
    int64_t held, value, version;
    int target; /* of its only slot, in objects; -1: nil */
    unsigned in, names;
};

struct client {
    pthread_t thread;
    unsigned number;
    struct random random;
    hf_conn *conn;
    struct object objects[OBJECTS];
    int name[NAMES]; /* the object it names; -1: none */
    int64_t name_version[NAMES];
    int64_t serial;
    hf_id *told; /* every id that it was ever told as new */
    size_t told_count, told_room;
    uint64_t done;
    char wrong[300]; /* the first thing that was not as it must be */
};

static struct live server;
static struct client clients[CLIENTS];
static struct saver saver;
static atomic_bool stop, failed;
static atomic_ullong done;

/* ---- what must be so ---- */

__attribute__((format(printf, 2, 3))) /* lets the compiler check the arguments; C has no other way */
static void
wrong(struct client *c, const char *format, ...)
{
    va_list args;
    if (c->wrong[0] != '\0')
        return;
    va_start(args, format);
    vsnprintf(c->wrong, sizeof c->wrong, format, args);
    va_end(args);
    atomic_store(&failed, true);
}

static bool went_well(struct client *c, const char *what, int code)
{
    if (code != 0)
        wrong(c, "%s: %s %s", what, hf_last_error(c->conn)->word, hf_last_error(c->conn)->text);
    return code == 0;
}

static void must_be(struct client *c, const char *what, int64_t is, int64_t must)
{
    if (is != must)
        wrong(c, "%s is %lld, must be %lld", what, (long long)is, (long long)must);
}

static void tell(struct client *c, hf_id id)
{
    if (c->told_count == c->told_room) {
        c->told_room = c->told_room == 0 ? 1024 : 2 * c->told_room;
        c->told = realloc(c->told, c->told_room * sizeof *c->told);
    }
    c->told[c->told_count++] = id;
}

static struct object *any(struct client *c)
{
    return &c->objects[random_below(&c->random, OBJECTS)];
}

static void text_of(char text[32], const struct client *c, unsigned n)
{
    snprintf(text, 32, "client-%u/%u", c->number, n);
}

static void expect_gone(struct client *c, hf_id id)
{
    hf_reply *reply = NULL;
    must_be(c, "get of a dead object", hf_get(c->conn, id, &reply), HF_ERR_GONE);
    hf_reply_free(reply);
}

/* It has died, and so has its slot. */
static void bury(struct client *c, struct object *o)
{
    expect_gone(c, o->id);
    if (o->target >= 0)
        c->objects[o->target].in--;
    o->id = 0;
}

/* ---- operations ---- */

static void op_put(struct client *c, struct object *o)
{
    static const hf_id nil[1];
    const struct hf_put_options options = {.refs = nil, .ref_count = 1};
    hf_id id = 0;
    if (!went_well(c, "put", hf_put(c->conn, hf_int(++c->serial), &options, &id)))
        return;
    *o = (struct object){.id = id, .held = 1, .value = c->serial, .target = -1};
    tell(c, id);
}

static void op_retain(struct client *c, struct object *o)
{
    int64_t count = 0, n = (int64_t)random_between(&c->random, 1, 5);
    if (went_well(c, "retain", hf_retain(c->conn, o->id, (uint64_t)n, &count)))
        must_be(c, "the count after retain", count, o->held += n);
}

static void op_release(struct client *c, struct object *o)
{
    bool kept = o->in != 0 || o->names != 0;
    int64_t count = 0, most = kept ? o->held - 1 : o->held;
    if (most == 0)
        return;
    int64_t n = (int64_t)random_between(&c->random, 1, (uint64_t)most);
    if (!went_well(c, "release", hf_release(c->conn, o->id, (uint64_t)n, &count)))
        return;
    must_be(c, "the count after release", count, o->held -= n);
    if (o->held == 0)
        bury(c, o);
}

static void op_set(struct client *c, struct object *o)
{
    int64_t version = 0;
    if (!went_well(c, "set", hf_set(c->conn, o->id, hf_int(++c->serial), HF_ANY_VERSION, &version)))
        return;
    if (version <= o->version)
        wrong(c, "version %lld after %lld", (long long)version, (long long)o->version);
    o->version = version;
    o->value = c->serial;
}

static void op_get(struct client *c, struct object *o)
{
    hf_reply *reply = NULL;
    int64_t value = -1;
    if (went_well(c, "get", hf_get(c->conn, o->id, &reply))) {
        (void)hf_item_int(hf_reply_item(reply), &value);
        must_be(c, "a value", value, o->value);
    }
    hf_reply_free(reply);
}

static void op_link(struct client *c, struct object *o)
{
    struct object *to = any(c);
    bool nil = to->id == 0 || to == o || random_once_in(&c->random, 3);
    hf_id previous = 0, before = o->target >= 0 ? c->objects[o->target].id : 0;
    if (!went_well(c, "link", hf_link(c->conn, o->id, 0, nil ? 0 : to->id, &previous)))
        return;
    must_be(c, "a slot's previous target", previous, before);
    if (o->target >= 0)
        c->objects[o->target].in--;
    o->target = nil ? -1 : (int)(to - c->objects);
    to->in += !nil;
}

static void op_name(struct client *c, struct object *o)
{
    unsigned n = (unsigned)random_below(&c->random, NAMES);
    char name[32];
    int64_t version = 0;
    text_of(name, c, n);
    /* only if it is the version that was told */
    int64_t known = c->name[n] < 0 ? 0 : c->name_version[n];
    if (!went_well(c, "name", hf_name(c->conn, name, o->id, known, &version)))
        return;
    if (c->name[n] >= 0)
        c->objects[c->name[n]].names--;
    c->name[n] = (int)(o - c->objects);
    c->name_version[n] = version;
    o->names++;
}

static void op_unname(struct client *c)
{
    unsigned n = (unsigned)random_below(&c->random, NAMES);
    char name[32];
    text_of(name, c, n);
    int code = hf_unname(c->conn, name, c->name[n] < 0 ? HF_ANY_VERSION : c->name_version[n]);
    must_be(c, "the end of unname", code, c->name[n] < 0 ? HF_ERR_NOTFOUND : 0);
    if (c->name[n] >= 0)
        c->objects[c->name[n]].names--;
    c->name[n] = -1;
}

static void op_lookup(struct client *c)
{
    unsigned n = (unsigned)random_below(&c->random, NAMES);
    char name[32];
    hf_id id = 0;
    text_of(name, c, n);
    int code = hf_lookup(c->conn, name, &id);
    must_be(c, "the end of lookup", code, c->name[n] < 0 ? HF_ERR_NOTFOUND : 0);
    if (c->name[n] < 0)
        return;
    must_be(c, "what is looked up", id, c->objects[c->name[n]].id);
    c->objects[c->name[n]].held++;
}

/* Under a name of its own, which is taken away again; then the value must be dead. */
static void op_store(struct client *c)
{
    char name[32];
    hf_id id = 0, again = 0;
    hf_reply *reply = NULL;
    int64_t value = -1;
    text_of(name, c, NAMES);
    if (!went_well(c, "store", hf_store(c->conn, name, hf_int(++c->serial), NULL, &id, NULL)) ||
        !went_well(c, "store again", hf_store(c->conn, name, hf_int(c->serial + 1), NULL, &again, NULL)))
        return;
    c->serial++;
    tell(c, id);
    tell(c, again);
    expect_gone(c, id);
    if (went_well(c, "fetch", hf_fetch(c->conn, name, &reply)))
        (void)hf_item_int(hf_reply_item(reply), &value);
    must_be(c, "a stored value", value, c->serial);
    hf_reply_free(reply);
    if (went_well(c, "unname of it", hf_unname(c->conn, name, HF_ANY_VERSION)))
        expect_gone(c, again);
}

static void op_share(struct client *c, struct object *o)
{
    uint8_t ticket[HF_KEY_BYTES];
    hf_id id = 0;
    if (!went_well(c, "share", hf_share(c->conn, o->id, 3600000, 1, ticket)) ||
        !went_well(c, "claim", hf_claim(c->conn, ticket, &id)))
        return;
    must_be(c, "what is claimed", id, o->id);
    o->held++;
    must_be(c, "a second claim", hf_claim(c->conn, ticket, NULL), HF_ERR_NOTFOUND);
}

/* More than a window of them at once. */
static void op_batch(struct client *c, struct object *o)
{
    hf_id ids[BATCH] = {0};
    int64_t counts[BATCH];
    (void)hf_batch_begin(c->conn);
    for (unsigned k = 0; k < BATCH; k++) {
        (void)hf_put(c->conn, hf_int(k), NULL, &ids[k]);
        (void)hf_retain(c->conn, o->id, 1, &counts[k]);
    }
    if (!went_well(c, "a batch", hf_batch_end(c->conn, NULL)))
        return;
    for (unsigned k = 0; k < BATCH; k++) {
        tell(c, ids[k]);
        must_be(c, "a count within a batch", counts[k], ++o->held);
    }
    if (!went_well(c, "release_many", hf_release_many(c->conn, ids, BATCH, 1, counts)))
        return;
    for (unsigned k = 0; k < BATCH; k++)
        must_be(c, "a count within a list", counts[k], 0);
}

static void op_put_many(struct client *c)
{
    struct hf_put_item items[5];
    hf_id ids[5] = {0}, refs[5];
    for (int k = 0; k < 5; k++) {
        refs[k] = -((k + 1) % 5 + 1); /* a ring */
        items[k] = (struct hf_put_item){.value = hf_int(k), .options = {.refs = &refs[k], .ref_count = 1}};
    }
    if (!went_well(c, "put_many", hf_put_many(c->conn, items, 5, ids)))
        return;
    for (int k = 0; k < 5; k++)
        tell(c, ids[k]);
    hf_id previous = 0;
    if (went_well(c, "the cut of a ring", hf_link(c->conn, ids[4], 0, 0, &previous)))
        must_be(c, "what a ring ended with", previous, ids[0]);
    if (went_well(c, "the end of a ring", hf_release_many(c->conn, ids, 5, 1, NULL)))
        expect_gone(c, ids[0]);
}

static void operation(struct client *c)
{
    struct object *o = any(c);
    if (o->id == 0) {
        op_put(c, o);
        return;
    }
    switch (random_below(&c->random, 14)) {
    case 0:
    case 1: op_retain(c, o); break;
    case 2:
    case 3:
    case 4: op_release(c, o); break;
    case 5: op_set(c, o); break;
    case 6: op_get(c, o); break;
    case 7: op_link(c, o); break;
    case 8: op_name(c, o); break;
    case 9: op_unname(c); break;
    case 10: op_lookup(c); break;
    case 11: op_store(c); break;
    case 12: op_share(c, o); break;
    default:
        if (random_once_in(&c->random, 4))
            op_batch(c, o);
        else
            op_put_many(c);
    }
}

static void *work(void *arg)
{
    struct client *c = arg;
    while (!atomic_load(&stop) && c->wrong[0] == '\0') {
        operation(c);
        c->done++;
        atomic_fetch_add(&done, 1);
    }
    return NULL;
}

/* ---- the end: what there is, is what the clients know ---- */

static void check_object(struct client *c, const struct object *o)
{
    hf_reply *reply = NULL;
    int64_t count = -1;
    if (went_well(c, "inspect", hf_inspect(c->conn, o->id, &reply))) {
        (void)hf_item_int(hf_item_get(hf_reply_item(reply), "count"), &count);
        must_be(c, "an object's count", count, o->held + o->in + o->names);
    }
    hf_reply_free(reply);
}

static void check_names(struct client *c)
{
    char name[32];
    for (unsigned n = 0; n < NAMES; n++) {
        hf_reply *reply = NULL;
        text_of(name, c, n);
        must_be(c, "a name at the end", hf_fetch(c->conn, name, &reply),
                c->name[n] < 0 ? HF_ERR_NOTFOUND : 0);
        hf_reply_free(reply);
    }
}

static int by_id(const void *a, const void *b)
{
    const hf_id *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

static void no_id_twice(void)
{
    size_t count = 0, at = 0;
    for (unsigned k = 0; k < CLIENTS; k++)
        count += clients[k].told_count;
    hf_id *all = malloc((count + 1) * sizeof *all);
    for (unsigned k = 0; k < CLIENTS; k++) {
        memcpy(all + at, clients[k].told, clients[k].told_count * sizeof *all);
        at += clients[k].told_count;
        free(clients[k].told);
    }
    qsort(all, count, sizeof *all, by_id);
    for (size_t k = 1; k < count; k++)
        ck_assert_msg(all[k] != all[k - 1], "id %lld was given twice", (long long)all[k]);
    free(all);
}

static int64_t count_objects(hf_conn *conn)
{
    hf_reply *reply;
    int64_t count = -1;
    ck_assert_int_eq(hf_stats(conn, "objects", &reply), 0);
    ck_assert(hf_item_int(hf_item_get(hf_reply_item(reply), "count"), &count));
    hf_reply_free(reply);
    return count;
}

/* ---- the run ---- */

/* Until so much more was done: each life of the daemon does some work, however slow the machine is. */
static void wait_for_work(unsigned long long more)
{
    const struct timespec look = {.tv_nsec = 100000};
    unsigned long long until = atomic_load(&done) + more;
    while (atomic_load(&done) < until && !atomic_load(&failed))
        nanosleep(&look, NULL);
}

static void start_client(struct client *c, unsigned number, const char *address, uint64_t seed)
{
    const struct hf_hello_options options = {.name = "counting", .lease_ms = 3600000};
    *c = (struct client){.number = number, .random = {.state = seed + number}};
    for (unsigned n = 0; n < NAMES; n++)
        c->name[n] = -1;
    for (unsigned k = 0; k < OBJECTS; k++)
        c->objects[k].target = -1;
    ck_assert_int_eq(hf_connect(address, 120000, &c->conn), 0);
    ck_assert_int_eq(hf_hello(c->conn, &options), 0);
    ck_assert_int_eq(pthread_create(&c->thread, NULL, work, c), 0);
}

static void end_client(struct client *c)
{
    pthread_join(c->thread, NULL);
    for (unsigned k = 0; k < OBJECTS && c->wrong[0] == '\0'; k++)
        if (c->objects[k].id != 0)
            check_object(c, &c->objects[k]);
    if (c->wrong[0] == '\0')
        check_names(c);
    ck_assert_msg(c->wrong[0] == '\0', "client %u, operation %llu: %s", c->number,
                  (unsigned long long)c->done, c->wrong);
}

static void start_clients(const char *address, uint64_t seed)
{
    for (unsigned k = 0; k < CLIENTS; k++)
        start_client(&clients[k], k, address, seed * 1000);
}

/* How many objects the clients know of. */
static int64_t end_clients(void)
{
    int64_t kept = 0;
    atomic_store(&stop, true);
    for (unsigned k = 0; k < CLIENTS; k++)
        end_client(&clients[k]);
    for (unsigned k = 0; k < CLIENTS; k++)
        for (unsigned n = 0; n < OBJECTS; n++)
            kept += clients[k].objects[n].id != 0;
    no_id_twice();
    return kept;
}

static void close_clients(void)
{
    for (unsigned k = 0; k < CLIENTS; k++)
        hf_close(clients[k].conn);
}

static uint64_t seed_of_run(void)
{
    uint64_t seed = number_of("HF_SEED", (uint64_t)time(NULL));
    printf("seed %llu (HF_SEED=...)\n", (unsigned long long)seed);
    fflush(stdout);
    return seed;
}

START_TEST(nothing_is_lost_and_nothing_is_done_twice)
{
    uint64_t seed = seed_of_run();
    uint64_t rounds = number_of("HF_ROUNDS", number_of("HF_TEST_LONG", 0) != 0 ? 300 : 20);
    struct random moments = {.state = seed};
    hf_conn *last, *other;
    live_start_saves(&server);
    saver_start(&saver, &server);
    start_clients(server.unix_address, seed);
    for (uint64_t round = 0; round < rounds; round++) {
        wait_for_work(random_between(&moments, 1, 400));
        live_restart(&server);
        saver_look(&saver);
    }
    wait_for_work(100);
    int64_t kept = end_clients();
    saver_end(&saver);
    live_open(&server, &last, "last");
    live_open(&server, &other, "other");
    ck_assert_int_eq(count_objects(last), kept);
    close_clients();
    printf("%llu operations, %llu deaths, %lld objects at the end, %llu saves\n", atomic_load(&done),
           (unsigned long long)rounds, (long long)kept, atomic_load(&saver.answered));
    saver_check(&saver);
    live_end(&server, last, other);
}
END_TEST

/* Somebody else kills and counts the objects, of which there are only the clients'. */
START_TEST(the_same_at_a_daemon_of_somebody_else)
{
    struct random moments = {.state = seed_of_run()};
    char line[16];
    start_clients(getenv("HF_ADDRESS"), moments.state);
    while (fgets(line, sizeof line, stdin) != NULL) {
        wait_for_work(random_between(&moments, 1, 400));
        printf("worked\n");
        fflush(stdout);
    }
    int64_t kept = end_clients();
    ck_assert_int_eq(count_objects(clients[0].conn), kept);
    close_clients();
}
END_TEST

static void nothing(void)
{
}

int main(void)
{
    Suite *suite = suite_create("kill -9 under load");
    TCase *all = suite_case(suite, "all", nothing, nothing);
    tcase_add_test(all, getenv("HF_ADDRESS") != NULL ? the_same_at_a_daemon_of_somebody_else
                                                     : nothing_is_lost_and_nothing_is_done_twice);
    return suite_run(suite);
}
