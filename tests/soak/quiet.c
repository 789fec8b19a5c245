/* SPDX-License-Identifier: BSD-3-Clause */
#include "tests/soak/quiet.h"

#include "tests/soak/actors.h"

#include <inttypes.h>
#include <string.h>

#define POLL_MS 5u
#define PAGE    200u

void quiet_make_pools(struct soak *soak)
{
    hf_conn *conn = actor_connect(soak, NULL, NULL, 0);
    for (unsigned i = 0; i < LEDGER_STABLE; i++) {
        struct incarnation *pool = &soak->ledger.stable[i];
        if (i > 0)
            actor_need(soak, conn, hf_pool_create(conn, pool->name, 0), "pool_create");
        hf_conn *inside = actor_connect(soak, pool->name, "founder", HF_NO_LEASE);
        pool->epoch = hf_session(inside)->epoch;
        actor_need(soak, inside, hf_bye(inside, NULL), "bye of a founder");
        hf_close(inside);
    }
    hf_close(conn);
}

/* ---- what belongs to everybody ---- */

/* Only names of everybody may be left; they go. */
static void unname_page(struct soak *soak, hf_conn *conn, const char *pool, hf_item rows)
{
    hf_walk walk = hf_walk_start(rows);
    hf_item row;
    char name[64];
    while (hf_walk_next(&walk, NULL, &row)) {
        const void *bytes;
        size_t size = 0;
        if (!hf_item_bytes(hf_item_at(row, 0), &bytes, &size) || size >= sizeof name ||
            size < strlen("shared/") || memcmp(bytes, "shared/", strlen("shared/")) != 0) {
            soak_fail(soak, "in pool %s a name is left: %.*s", pool, (int)size, (const char *)bytes);
        }
        memcpy(name, bytes, size);
        name[size] = '\0';
        int code = hf_unname(conn, name, HF_ANY_VERSION);
        if (code != HF_ERR_NOTFOUND) /* a page may name one twice */
            actor_need(soak, conn, code, "unname");
    }
}

static void unname_all(struct soak *soak, hf_conn *conn, const char *pool)
{
    uint64_t cursor = 0;
    do {
        hf_reply *page;
        actor_need(soak, conn, hf_names(conn, cursor, NULL, PAGE, &page), "names");
        if (!hf_item_uint(hf_item_at(hf_reply_item(page), 0), &cursor))
            soak_fail(soak, "names without a cursor");
        unname_page(soak, conn, pool, hf_item_at(hf_reply_item(page), 1));
        hf_reply_free(page);
    } while (cursor != 0);
}

static void unshare_all(struct soak *soak, hf_conn *conn, struct incarnation *pool)
{
    struct ticket ticket;
    while (ledger_take(pool, &ticket)) {
        int code = hf_unshare(conn, ticket.key);
        if (code != HF_ERR_NOTFOUND || soak_now_ms() < ticket.ends_ms)
            actor_need(soak, conn, code, "unshare");
    }
}

/* ---- waiting ---- */

/* Until the figure is that. */
static void wait_figure(struct soak *soak, hf_conn *conn, const char *section, const char *key, uint64_t want)
{
    int64_t until_ms = soak_now_ms() + SOAK_PATIENCE_MS;
    for (;;) {
        uint64_t is = actor_figure(soak, conn, section, key);
        if (is == want)
            return;
        if (soak_now_ms() > until_ms)
            soak_fail(soak, "in pool %s `%s` of `%s` stays at %" PRIu64 " instead of %" PRIu64,
                      hf_session(conn)->pool, key, section, is, want);
        soak_pause_ms(POLL_MS);
    }
}

/* Everything in the pool has gone; adds the bytes that it uses. */
static void settle_pool(struct soak *soak, struct incarnation *pool, struct quiet *ret)
{
    static const struct {
        const char *section, *key;
        uint64_t want;
    } wants[] = {
        {"sessions", "open", 1},      {"sessions", "grace", 0}, {"sessions", "ending", 0},
        {"sessions", "holds", 0},     {"names", "count", 0},    {"tickets", "count", 0},
        {"gc", "backlog", 0},         {"objects", "count", 0},  {"objects", "open", 0},
        {"objects", "bytes", 0},      {"objects", "labels", 0}, {"memory", "pinned", 0},
        {"memory", "values_live", 0},
    };
    hf_conn *conn = actor_connect(soak, pool->name, "settler", HF_NO_LEASE);
    hf_reply *reply;
    unname_all(soak, conn, pool->name);
    unshare_all(soak, conn, pool);
    wait_figure(soak, conn, "sessions", "ending", 0);
    actor_need(soak, conn, hf_gc_collect(conn, NULL, &reply), "gc_collect"); /* what is left of rings */
    hf_reply_free(reply);
    for (unsigned i = 0; i < sizeof wants / sizeof *wants; i++)
        wait_figure(soak, conn, wants[i].section, wants[i].key, wants[i].want);
    if (!actor_verify(soak, conn, pool->name))
        soak_fail(soak, "verify of pool %s is BUSY, with nobody else there", pool->name);
    ret->values += actor_figure(soak, conn, "memory", "values");
    ret->meta += actor_figure(soak, conn, "memory", "meta");
    ret->private += actor_figure(soak, conn, "memory", "anon");
    actor_need(soak, conn, hf_bye(conn, NULL), "bye of a settler");
    hf_close(conn);
}

static void wait_connections(struct soak *soak)
{
    hf_conn *conn = actor_connect(soak, "default", "settler", HF_NO_LEASE);
    wait_figure(soak, conn, "connections", "open", 1);
    hf_reply *pools;
    actor_need(soak, conn, hf_pools(conn, &pools), "pools");
    if (hf_item_count(hf_reply_item(pools)) != LEDGER_STABLE)
        soak_fail(soak, "there are %zu pools, of which %u stay", hf_item_count(hf_reply_item(pools)),
                  LEDGER_STABLE);
    hf_reply_free(pools);
    actor_need(soak, conn, hf_bye(conn, NULL), "bye of a settler");
    hf_close(conn);
}

/* Until two looks show the same descriptors and threads: those of the last connections and pools are given up in
 * steps. */
static void look_when_still(struct soak *soak, struct process_figures *ret)
{
    struct process_figures before = {0};
    for (unsigned same = 0; same < 10;) {
        if (!process_look(&soak->process, ret))
            soak_fail(soak, "the daemon has ended");
        same = ret->descriptors == before.descriptors && ret->threads == before.threads ? same + 1 : 0;
        before = *ret;
        soak_pause_ms(POLL_MS);
    }
}

void quiet_settle(struct soak *soak, struct quiet *ret)
{
    char complaint[512];
    *ret = (struct quiet){0};
    for (unsigned i = 0; i < LEDGER_STABLE; i++)
        settle_pool(soak, &soak->ledger.stable[i], ret);
    wait_connections(soak);
    look_when_still(soak, &ret->process);
    if (process_complains(&soak->process, complaint, sizeof complaint))
        soak_fail(soak, "the daemon complains: %s", complaint);
    ledger_forget_past(&soak->ledger);
}
