/* SPDX-License-Identifier: BSD-3-Clause */
/* Those who make rings and let them go, so that there is always something for the collector.
 *
 * One has a pool of its own, where it knows what is held, so all else that is alive is garbage: at no time more of it
 * than daemon/gc/README.md states, in objects and in bytes. Another one makes small rings among the clients'
 * objects. Members are watched and guarded now and then: each guard must be delivered, each death told, once. */
#include "tests/soak/actors.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define RING_MAX      1000u /* objects: more than any trial takes in */
#define RING_SMALL    60u
#define KEPT          4u /* rings that are held at a time */
#define GUARDED       4u
#define LARGE_VALUE   (1u << 20)
#define SMALL_VALUE   100u
#define LEAST_OBJECTS 1024u /* as the collector of that pool is told */
#define LEAST_BYTES   (4ull << 20)
#define ROUNDS_MAX    64u /* guards in a ring are delivered one after the other */
#define PAUSE_MS      2u

struct ring {
    hf_id ids[RING_MAX];
    unsigned count; /* 0: there is none */
    uint64_t bytes;
};

/* A ring that is alive until its guard is delivered, whether it is held or not. */
struct guarded {
    hf_id id; /* 0: a free place */
    unsigned objects;
    uint64_t bytes;
};

struct maker {
    struct actor *actor;
    hf_conn *conn;
    uint8_t *value; /* LARGE_VALUE bytes */
    struct ring kept[KEPT];
    struct guarded guarded[GUARDED];
    uint64_t watched, freed;
    uint64_t held_objects, held_bytes; /* the most so far */
};

static struct soak *soak_of(const struct maker *maker)
{
    return maker->actor->soak;
}

static void need(struct maker *maker, int code, const char *what)
{
    actor_need(soak_of(maker), maker->conn, code, what);
}

/* ---- rings ---- */

static void make_ring(struct maker *maker, struct ring *ring, unsigned count, size_t size)
{
    struct hf_put_item *items = calloc(count, sizeof *items);
    hf_id *refs = calloc(count, sizeof *refs);
    if (items == NULL || refs == NULL)
        abort();
    for (unsigned i = 0; i < count; i++) {
        refs[i] = -(hf_id)((i + 1) % count + 1);
        items[i] = (struct hf_put_item){.value = hf_bin(maker->value, size),
                                        .options = {.refs = &refs[i], .ref_count = 1}};
    }
    need(maker, hf_put_many(maker->conn, items, count, ring->ids), "put_many of a ring");
    ring->count = count;
    ring->bytes = count * size;
    free(items);
    free(refs);
}

static void let_go(struct maker *maker, struct ring *ring)
{
    if (ring->count == 0)
        return;
    need(maker, hf_release_many(maker->conn, ring->ids, ring->count, 1, NULL), "release of a ring");
    ring->count = 0;
    ring->bytes = 0;
    soak_count(soak_of(maker), TALLY_RINGS, 1);
}

/* ---- watches and guards ---- */

static struct guarded *place_of(struct maker *maker, hf_id id)
{
    for (unsigned i = 0; i < GUARDED; i++)
        if (maker->guarded[i].id == id)
            return &maker->guarded[i];
    return NULL;
}

static void keep_an_eye(struct maker *maker, const struct ring *ring)
{
    struct random *random = &maker->actor->random;
    hf_id id = ring->ids[random_below(random, ring->count)];
    struct guarded *place = place_of(maker, 0);
    if (random_once_in(random, 3)) {
        need(maker, hf_watch(maker->conn, id), "watch");
        maker->watched++;
    }
    if (place == NULL || !random_once_in(random, 4))
        return;
    need(maker, hf_guard(maker->conn, id), "guard");
    *place = (struct guarded){.id = id, .objects = ring->count, .bytes = ring->bytes};
}

static void take_event(struct maker *maker, const struct hf_event *event)
{
    if (strcmp(event->topic, "freed") == 0) {
        maker->freed++;
        return;
    }
    struct guarded *place = place_of(maker, event->id);
    if (strcmp(event->topic, "unreachable") != 0 || event->id == 0 || place == NULL)
        soak_fail(soak_of(maker), "an event %s of %" PRId64 ", which has no guard", event->topic, event->id);
    *place = (struct guarded){0};
    soak_count(soak_of(maker), TALLY_DELIVERED, 1);
    need(maker, hf_release(maker->conn, event->id, 1, NULL), "release of what was delivered");
}

static void take_events(struct maker *maker)
{
    struct hf_event event;
    int code;
    while ((code = hf_next_event(maker->conn, 0, &event)) == 0)
        take_event(maker, &event);
    if (code != HF_ERR_TIMEOUT)
        need(maker, code, "the next event");
}

/* ---- in a pool of its own ---- */

static void add_held(const struct maker *maker, uint64_t *objects, uint64_t *bytes)
{
    for (unsigned i = 0; i < KEPT; i++) {
        *objects += maker->kept[i].count;
        *bytes += maker->kept[i].bytes;
    }
    for (unsigned i = 0; i < GUARDED; i++) {
        *objects += maker->guarded[i].objects;
        *bytes += maker->guarded[i].bytes;
    }
}

static void check_one(struct maker *maker, uint64_t alive, uint64_t held, uint64_t *held_most, uint64_t least,
                      const char *what)
{
    *held_most = held > *held_most ? held : *held_most;
    if (alive > held + *held_most + 3 * least)
        soak_fail(soak_of(maker),
                  "%" PRIu64 " %s are alive, of which %" PRIu64 " are held, at most %" PRIu64
                  " were: the bound of garbage is %" PRIu64,
                  alive, what, held, *held_most, *held_most + 3 * least);
}

/* What is alive without being held, by the statement: what was alive at the end of the last full collection (what was
 * held then, and what became garbage while it ran), and twice the growth that is allowed, which is the least here. */
static void check_bound(struct maker *maker)
{
    hf_reply *reply;
    uint64_t objects = 0, bytes = 0, held_objects = 0, held_bytes = 0;
    need(maker, hf_stats(maker->conn, "objects", &reply), "stats");
    hf_item_uint(hf_item_get(hf_reply_item(reply), "count"), &objects);
    hf_item_uint(hf_item_get(hf_reply_item(reply), "bytes"), &bytes);
    hf_reply_free(reply);
    add_held(maker, &held_objects, &held_bytes);
    check_one(maker, objects, held_objects, &maker->held_objects, LEAST_OBJECTS, "objects");
    check_one(maker, bytes, held_bytes, &maker->held_bytes, LEAST_BYTES, "bytes");
}

static void one_ring(struct maker *maker)
{
    struct random *random = &maker->actor->random;
    struct ring *ring = &maker->kept[random_below(random, KEPT)];
    uint64_t dice = random_below(random, 100);
    let_go(maker, ring);
    if (dice < 10)
        make_ring(maker, ring, 2, LARGE_VALUE);
    else if (dice < 25)
        make_ring(maker, ring, (unsigned)random_between(random, RING_SMALL, RING_MAX), SMALL_VALUE);
    else
        make_ring(maker, ring, (unsigned)random_between(random, 1, RING_SMALL), SMALL_VALUE);
    keep_an_eye(maker, ring);
}

/* All is let go and collected, what guards keep too: then nothing may be left. */
static void check_end(struct maker *maker)
{
    struct soak *soak = soak_of(maker);
    uint64_t objects = 1;
    hf_reply *reply;
    for (unsigned i = 0; i < KEPT; i++)
        let_go(maker, &maker->kept[i]);
    for (unsigned rounds = 0; objects > 0 && rounds < ROUNDS_MAX; rounds++) {
        need(maker, hf_gc_collect(maker->conn, NULL, &reply), "gc_collect");
        hf_reply_free(reply);
        while (actor_figure(soak, maker->conn, "gc", "backlog") > 0)
            soak_pause_ms(1);
        take_events(maker);
        objects = actor_figure(soak, maker->conn, "objects", "count");
    }
    need(maker, hf_ping(maker->conn, NULL), "ping"); /* what is to be told comes before the next answer */
    need(maker, hf_ping(maker->conn, NULL), "ping");
    take_events(maker);
    if (objects > 0 || maker->freed != maker->watched)
        soak_fail(soak,
                  "%" PRIu64 " objects are left of rings that were let go; %" PRIu64 " of %" PRIu64
                  " watched deaths were told",
                  objects, maker->freed, maker->watched);
    soak_count(soak, TALLY_COLLECTED, actor_figure(soak, maker->conn, "gc", "collected"));
}

static void live_alone(struct maker *maker)
{
    static const char pool[] = "rings";
    static const struct hf_gc_settings settings = {
        .objects_least = LEAST_OBJECTS, .bytes_least = LEAST_BYTES, .full_after_ms = 2000};
    struct soak *soak = soak_of(maker);
    hf_conn *admin = actor_connect(soak, "default", "host", 0);
    hf_reply *reply;
    actor_need(soak, admin, hf_pool_create(admin, pool, 0), "pool_create");
    maker->conn = actor_connect(soak, pool, "ring maker", 0);
    need(maker, hf_gc_config(maker->conn, &settings, &reply), "gc_config");
    hf_reply_free(reply);
    while (!soak->clients_done) {
        one_ring(maker);
        take_events(maker);
        check_bound(maker);
        soak_pause_ms((unsigned)random_below(&maker->actor->random, PAUSE_MS));
    }
    check_end(maker);
    actor_verify(soak, maker->conn, pool);
    need(maker, hf_bye(maker->conn, NULL), "bye of a ring maker");
    hf_close(maker->conn);
    actor_need(soak, admin, hf_pool_drop(admin, pool, true), "pool_drop");
    actor_need(soak, admin, hf_bye(admin, NULL), "bye of a host");
    hf_close(admin);
}

/* ---- among others ---- */

/* Leaves some of it to the end of its session, guards and watches too. */
static void visit(struct maker *maker, const char *pool)
{
    struct random *random = &maker->actor->random;
    maker->conn = actor_connect(soak_of(maker), pool, "ring maker", 0);
    memset(maker->guarded, 0, sizeof maker->guarded);
    for (unsigned i = 0; i < KEPT; i++) {
        struct ring *ring = &maker->kept[i];
        make_ring(maker, ring, (unsigned)random_between(random, 1, RING_SMALL), SMALL_VALUE);
        keep_an_eye(maker, ring);
        if (random_once_in(random, 2))
            let_go(maker, ring);
        take_events(maker);
    }
    need(maker, hf_bye(maker->conn, NULL), "bye of a ring maker");
    hf_close(maker->conn);
}

void make_rings(struct actor *actor)
{
    struct maker *maker = calloc(1, sizeof *maker);
    if (maker == NULL || (maker->value = calloc(1, LARGE_VALUE)) == NULL)
        abort();
    maker->actor = actor;
    if (actor->number == 0)
        live_alone(maker);
    for (unsigned at = 0; !actor->soak->clients_done; at++) {
        visit(maker, actor->soak->ledger.stable[at % LEDGER_STABLE].name);
        soak_pause_ms((unsigned)random_below(&actor->random, 20));
    }
    free(maker->value);
    free(maker);
}
