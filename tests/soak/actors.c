/* SPDX-License-Identifier: BSD-3-Clause */
#include "tests/soak/actors.h"

#include "client/lib/socket.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define KILL_PAUSE_MS    40u
#define LIFE_MS          400u /* of a pool, at most... */
#define ABSENCE_MS       60u  /* ...and between two */
#define STORM_MAX        48u
#define STORM_PAUSE_MS   150u
#define CALM_CONNECTIONS (2 * STORM_MAX)
#define GLUT_BYTES       (6u * 1024 * 1024)
#define GLUT_VALUE       (256u * 1024)
#define GLUT_OBJECTS     64u
#define GLUT_PAUSE_MS    300u
#define NAME_SIZE        48
#define HELD             3u /* references of an observer to its own object */

static bool goes_on(const struct actor *actor)
{
    return !actor->soak->clients_done;
}

/* ---- common ---- */

void actor_need(struct soak *soak, hf_conn *conn, int code, const char *what)
{
    if (code != 0)
        soak_fail(soak, "%s: %s %s", what, hf_error_word(code), hf_last_error(conn)->text);
}

hf_conn *actor_connect(struct soak *soak, const char *pool, const char *name, int64_t lease_ms)
{
    hf_conn *conn;
    const struct hf_hello_options hello = {.pool = pool, .name = name, .lease_ms = lease_ms};
    int code = hf_connect(soak->process.unix_address, SOAK_PATIENCE_MS, &conn);
    if (conn == NULL)
        abort();
    actor_need(soak, conn, code, "connecting");
    if (pool != NULL)
        actor_need(soak, conn, hf_hello(conn, &hello), "hello");
    return conn;
}

uint64_t actor_figure(struct soak *soak, hf_conn *conn, const char *section, const char *key)
{
    hf_reply *reply;
    uint64_t number = 0;
    actor_need(soak, conn, hf_stats(conn, section, &reply), "stats");
    if (!hf_item_uint(hf_item_get(hf_reply_item(reply), key), &number))
        soak_fail(soak, "stats %s has no %s", section, key);
    hf_reply_free(reply);
    return number;
}

bool actor_verify(struct soak *soak, hf_conn *conn, const char *pool)
{
    hf_reply *reply;
    int code = hf_verify(conn, &reply);
    bool ok = false;
    const void *text = "";
    size_t size = 0;
    if (code == HF_ERR_BUSY)
        return false;
    actor_need(soak, conn, code, "verify");
    hf_item findings = hf_item_get(hf_reply_item(reply), "findings");
    hf_item_bytes(hf_item_at(findings, 0), &text, &size);
    if (!hf_item_bool(hf_item_get(hf_reply_item(reply), "ok"), &ok) || !ok || hf_item_count(findings) != 0)
        soak_fail(soak, "verify of %s: %.*s", pool, (int)size, (const char *)text);
    hf_reply_free(reply);
    soak_count(soak, TALLY_VERIFIED, 1);
    return true;
}

/* ---- killers ---- */

/* The session of a client of ours, which knows its own number by now; 0: the row is of another one. */
static uint64_t victim(struct soak *soak, hf_item row)
{
    const void *name = NULL;
    size_t size = 0;
    uint64_t sid = 0;
    if (!hf_item_bytes(hf_item_get(row, "name"), &name, &size) || size == 0 || *(const char *)name != 'c')
        return 0;
    hf_item_uint(hf_item_get(row, "sid"), &sid);
    return numbers_has(&soak->ledger.sids, sid) ? sid : 0;
}

static uint64_t choose_victim(struct actor *actor, hf_conn *conn)
{
    hf_reply *reply;
    hf_item row;
    uint64_t chosen = 0, count = 0;
    actor_need(actor->soak, conn, hf_sessions(conn, "*", 0, &reply), "sessions of all pools");
    hf_walk walk = hf_walk_start(hf_reply_item(reply));
    while (hf_walk_next(&walk, NULL, &row)) {
        uint64_t sid = victim(actor->soak, row);
        if (sid != 0 && random_once_in(&actor->random, ++count))
            chosen = sid;
    }
    hf_reply_free(reply);
    return chosen;
}

void kill_sessions(struct actor *actor)
{
    struct soak *soak = actor->soak;
    hf_conn *conn = actor_connect(soak, soak->ledger.stable[actor->number % LEDGER_STABLE].name, "killer", 0);
    while (goes_on(actor)) {
        uint64_t sid = choose_victim(actor, conn);
        if (sid != 0) {
            numbers_add(&soak->ledger.killed, sid);
            int code = hf_kill(conn, sid, NULL);
            if (code != HF_ERR_NOTFOUND) /* it may have ended */
                actor_need(soak, conn, code, "kill");
        }
        soak_pause_ms((unsigned)random_below(&actor->random, 2 * KILL_PAUSE_MS));
    }
    actor_need(soak, conn, hf_bye(conn, NULL), "bye of a killer");
    hf_close(conn);
}

/* ---- droppers ---- */

/* The epoch of the pool, from a session in it that ends at once. */
static uint64_t epoch_of(struct soak *soak, const char *pool)
{
    hf_conn *conn = actor_connect(soak, pool, "founder", HF_NO_LEASE);
    uint64_t epoch = hf_session(conn)->epoch;
    actor_need(soak, conn, hf_bye(conn, NULL), "bye of a founder");
    hf_close(conn);
    return epoch;
}

/* A drop without force is BUSY as long as somebody is in it. */
static bool drop_politely(struct actor *actor, hf_conn *conn, const char *name)
{
    int code = hf_pool_drop(conn, name, false);
    if (code != HF_ERR_BUSY)
        actor_need(actor->soak, conn, code, "pool_drop without force");
    return code == 0;
}

void drop_pools(struct actor *actor)
{
    struct soak *soak = actor->soak;
    hf_conn *conn =
        actor_connect(soak, soak->ledger.stable[actor->number % LEDGER_STABLE].name, "dropper", 0);
    char name[NAME_SIZE];
    snprintf(name, sizeof name, "volatile-%u", actor->number);
    while (goes_on(actor)) {
        actor_need(soak, conn, hf_pool_create(conn, name, 0), "pool_create");
        if (hf_pool_create(conn, name, 0) != HF_ERR_EXISTS)
            soak_fail(soak, "pool %s was made twice", name);
        struct incarnation *now = ledger_born(&soak->ledger, actor->number, name, epoch_of(soak, name));
        soak_pause_ms((unsigned)random_below(&actor->random, LIFE_MS));
        ledger_dropping(now);
        ledger_dropped(&soak->ledger, actor->number);
        if (!random_once_in(&actor->random, 2) || !drop_politely(actor, conn, name))
            actor_need(soak, conn, hf_pool_drop(conn, name, true), "pool_drop");
        if (hf_pool_drop(conn, name, true) != HF_ERR_NOTFOUND)
            soak_fail(soak, "pool %s was dropped twice", name);
        soak_count(soak, TALLY_POOLS, 1);
        soak_pause_ms((unsigned)random_below(&actor->random, ABSENCE_MS));
    }
    actor_need(soak, conn, hf_bye(conn, NULL), "bye of a dropper");
    hf_close(conn);
}

/* ---- observers ---- */

static void look_around(struct actor *actor, hf_conn *conn)
{
    hf_reply *sessions, *pools, *stats;
    struct soak *soak = actor->soak;
    char pool[NAME_SIZE] = "*";
    if (random_once_in(&actor->random, 2))
        snprintf(pool, sizeof pool, "%s",
                 soak->ledger.stable[random_below(&actor->random, LEDGER_STABLE)].name);
    actor_need(soak, conn, hf_sessions(conn, pool, 0, &sessions), "sessions");
    actor_need(soak, conn, hf_pools(conn, &pools), "pools");
    actor_need(soak, conn, hf_stats(conn, NULL, &stats), "stats");
    if (hf_item_count(hf_reply_item(pools)) < LEDGER_STABLE)
        soak_fail(soak, "pools tells of %zu only", hf_item_count(hf_reply_item(pools)));
    hf_reply_free(sessions);
    hf_reply_free(pools);
    hf_reply_free(stats);
}

/* Cuts its own connection and comes back by the library, with what it holds. */
static void break_and_return(struct actor *actor, hf_conn *conn, hf_id id)
{
    struct soak *soak = actor->soak;
    hf_reply *value;
    uint64_t number = 0;
    int64_t count = 0;
    shutdown(hf_fd(conn), random_once_in(&actor->random, 2) ? SHUT_RDWR : SHUT_WR);
    actor_need(soak, conn, hf_reconnect(conn), "reconnecting");
    if (hf_session(conn)->held != 1)
        soak_fail(soak, "an observer came back with %" PRIu64 " objects", hf_session(conn)->held);
    actor_need(soak, conn, hf_retain(conn, id, 1, &count), "retain after a break");
    actor_need(soak, conn, hf_release(conn, id, 1, NULL), "release after a break");
    actor_need(soak, conn, hf_get(conn, id, &value), "get after a break");
    if (count != HELD + 1 || !hf_item_uint(hf_reply_item(value), &number) || number != actor->number)
        soak_fail(soak, "an observer came back to another object: count %" PRId64 ", value %" PRIu64, count,
                  number);
    hf_reply_free(value);
}

void observe(struct actor *actor)
{
    struct soak *soak = actor->soak;
    unsigned at = actor->number;
    while (goes_on(actor)) {
        const char *pool = soak->ledger.stable[at++ % LEDGER_STABLE].name;
        hf_conn *conn = actor_connect(soak, pool, "observer", 0);
        hf_id id;
        actor_need(soak, conn, hf_put(conn, hf_int(actor->number), NULL, &id), "put of an observer");
        actor_need(soak, conn, hf_retain(conn, id, HELD - 1, NULL), "retain of an observer");
        for (unsigned i = 0; i < 4; i++) {
            actor_verify(soak, conn, pool);
            look_around(actor, conn);
            break_and_return(actor, conn, id);
        }
        actor_need(soak, conn, hf_bye(conn, NULL), "bye of an observer");
        hf_close(conn);
        soak_pause_ms(10);
    }
}

/* ---- stormers ---- */

static void say_something(struct actor *actor, int fd)
{
    static const char hello[] = "\x94\x00\x01\xa5hello\x91\x82\xa4pool\xa7nowhere\xa8lease_ms\x00";
    static const char open_and_put[] =
        "\x94\x00\x01\xa5hello\x91\x81\xa8lease_ms\x0a\x94\x00\x02\xa3put\x91\xa5storm";
    static const char large[] = "\x94\x00\x03\xa3put\x91\xc6\x00\x40\x00\x00";
    static const char nonsense[] = "GET / HTTP/1.1\r\n\r\n";
    static const struct {
        const char *bytes;
        size_t size;
    } things[] = {{hello, sizeof hello - 1},
                  {open_and_put, sizeof open_and_put - 1},
                  {large, sizeof large - 1},
                  {nonsense, sizeof nonsense - 1}};
    unsigned at = (unsigned)random_below(&actor->random, 5);
    const char *why;
    if (at == 4)
        return;
    size_t size =
        random_once_in(&actor->random, 2) ? things[at].size : random_below(&actor->random, things[at].size);
    hf__socket_send(fd, things[at].bytes, size, &why);
}

static void end_somehow(struct actor *actor, int fd)
{
    const struct linger at_once = {.l_onoff = 1, .l_linger = 0};
    uint64_t how = random_below(&actor->random, 3);
    if (how == 0)
        setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    if (how == 1)
        shutdown(fd, SHUT_WR);
    close(fd);
}

/* Not more than the daemon gets done: a pool keeps room for as many large values as were ever begun at a time, and
 * that shall be the same in each cycle. */
static void wait_for_calm(struct actor *actor, hf_conn *conn)
{
    struct soak *soak = actor->soak;
    int64_t until_ms = soak_now_ms() + SOAK_PATIENCE_MS;
    while (actor_figure(soak, conn, "connections", "open") > soak->options.clients + CALM_CONNECTIONS) {
        if (soak_now_ms() > until_ms)
            soak_fail(soak, "connections that were closed long ago are still open");
        soak_pause_ms(10);
    }
}

void storm(struct actor *actor)
{
    struct soak *soak = actor->soak;
    int fds[STORM_MAX];
    hf_conn *conn = actor_connect(soak, "default", "stormer", 0);
    while (goes_on(actor)) {
        wait_for_calm(actor, conn);
        unsigned count = (unsigned)random_between(&actor->random, 1, STORM_MAX);
        for (unsigned i = 0; i < count; i++) {
            const char *why = NULL;
            fds[i] = hf__socket_open(i % 2 ? &soak->tcp_address : &soak->unix_address,
                                     soak_now_ms() + SOAK_PATIENCE_MS, &why);
            if (fds[i] < 0)
                soak_fail(soak, "a connection of a storm: %s", why);
            say_something(actor, fds[i]);
        }
        soak_pause_ms((unsigned)random_below(&actor->random, STORM_PAUSE_MS));
        while (count > 0)
            end_somehow(actor, fds[--count]);
        soak_count(soak, TALLY_STORMS, 1);
    }
    actor_need(soak, conn, hf_bye(conn, NULL), "bye of a stormer");
    hf_close(conn);
}

/* ---- the glutton ---- */

/* Puts until there is no memory; how many there are then. */
static unsigned fill(struct actor *actor, hf_conn *conn, const uint8_t *bytes, hf_id *ids)
{
    for (unsigned count = 0; count < GLUT_OBJECTS; count++) {
        size_t size = (size_t)random_between(&actor->random, GLUT_VALUE / 2, GLUT_VALUE);
        int code = hf_put(conn, hf_bin(bytes, size), NULL, &ids[count]);
        if (code == HF_ERR_OOM)
            return count;
        actor_need(actor->soak, conn, code, "put of a glutton");
    }
    soak_fail(actor->soak, "%u objects of %u bytes and more fit into %u", GLUT_OBJECTS, GLUT_VALUE / 2,
              GLUT_BYTES);
}

void glut(struct actor *actor)
{
    static const char pool[] = "glutton";
    struct soak *soak = actor->soak;
    hf_conn *admin = actor_connect(soak, "default", "host", 0);
    uint8_t *bytes = calloc(1, GLUT_VALUE);
    hf_id ids[GLUT_OBJECTS];
    if (bytes == NULL)
        abort();
    while (goes_on(actor)) {
        actor_need(soak, admin, hf_pool_create(admin, pool, GLUT_BYTES), "pool_create");
        hf_conn *conn = actor_connect(soak, pool, "glutton", 0);
        for (unsigned i = 0; i < 3; i++) {
            unsigned count = fill(actor, conn, bytes, ids);
            if (count == 0)
                soak_fail(soak, "not one object fits into a pool of %u bytes", GLUT_BYTES);
            while (count > 0)
                actor_need(soak, conn, hf_release(conn, ids[--count], 1, NULL), "release of a glutton");
            soak_count(soak, TALLY_FULL, 1);
        }
        actor_verify(soak, conn, pool);
        actor_need(soak, conn, hf_bye(conn, NULL), "bye of a glutton");
        hf_close(conn);
        actor_need(soak, admin, hf_pool_drop(admin, pool, true), "pool_drop");
        soak_pause_ms((unsigned)random_below(&actor->random, GLUT_PAUSE_MS));
    }
    free(bytes);
    actor_need(soak, admin, hf_bye(admin, NULL), "bye of a host");
    hf_close(admin);
}
