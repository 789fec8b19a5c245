/* SPDX-License-Identifier: BSD-3-Clause */
#include "client/monitor/source.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "client/bench/clock.h"
#include "proto/limits.h"

#define SESSIONS_TOLD 1024u /* by one answer, limits.ids */

static uint64_t unix_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static bool fail(struct monitor_source *source, int code)
{
    const struct hf_error *error = source->conn != NULL ? hf_last_error(source->conn) : NULL;
    source->code = code;
    snprintf(source->problem, sizeof source->problem, "%s", error != NULL ? error->text : "no memory");
    hf_close(source->conn);
    source->conn = NULL;
    return false;
}

static bool connected(struct monitor_source *source)
{
    struct hf_hello_options options = {.name = source->name, .pool = source->pool, .lease_ms = HF_NO_LEASE};
    if (source->conn != NULL)
        return true;
    int code = hf_connect(source->address, source->timeout_ms, &source->conn);
    if (code == 0)
        code = hf_hello(source->conn, &options);
    return code == 0 || fail(source, code);
}

static void keep(struct monitor_look *look, hf_reply *reply, hf_item rows)
{
    look->sessions[look->sessions_count++] = (struct monitor_sessions){reply, rows};
}

static void forget_sessions(struct monitor_look *look)
{
    while (look->sessions_count > 0)
        hf_reply_free(look->sessions[--look->sessions_count].reply);
}

/* All of one pool, or as many as there is room for. */
static int ask_pool(struct monitor_source *source, const char *pool, struct monitor_look *look)
{
    uint64_t cursor = 0;
    do {
        hf_reply *page;
        if (look->sessions_count == MONITOR_PAGES) {
            look->sessions_cut = true;
            return 0;
        }
        int code = hf_sessions_page(source->conn, pool, cursor, 0, &page);
        if (code == HF_ERR_NOTFOUND && pool != NULL)
            return 0; /* it was dropped meanwhile */
        if (code != 0)
            return code;
        keep(look, page, hf_item_at(hf_reply_item(page), 1));
        if (!hf_item_uint(hf_item_at(hf_reply_item(page), 0), &cursor))
            cursor = 0;
    } while (cursor != 0);
    return 0;
}

/* Those of each pool that has any. */
static int ask_pools(struct monitor_source *source, struct monitor_look *look)
{
    hf_walk walk = hf_walk_start(hf_reply_item(look->pools));
    hf_item row;
    int code = 0;
    while (code == 0 && hf_walk_next(&walk, NULL, &row)) {
        char name[HF_POOL_NAME_MAX + 1];
        const void *bytes;
        size_t size;
        uint64_t open = 0, grace = 0;
        hf_item_uint(hf_item_get(row, "sessions"), &open);
        hf_item_uint(hf_item_get(row, "grace"), &grace);
        if (open + grace == 0 || !hf_item_bytes(hf_item_get(row, "name"), &bytes, &size) ||
            size >= sizeof name)
            continue;
        memcpy(name, bytes, size);
        name[size] = '\0';
        code = ask_pool(source, name, look);
    }
    return code;
}

/* Those of all pools: mostly one answer has them all. */
static int ask_all(struct monitor_source *source, struct monitor_look *look)
{
    hf_reply *rows;
    int code = hf_sessions(source->conn, "*", 0, &rows);
    if (code != 0)
        return code;
    keep(look, rows, hf_reply_item(rows));
    if (hf_item_count(hf_reply_item(rows)) < SESSIONS_TOLD)
        return 0;
    forget_sessions(look);
    return ask_pools(source, look);
}

static int ask(struct monitor_source *source, enum monitor_wanted wanted, struct monitor_look *look)
{
    hf_reply *stats;
    int code = hf_stats(source->conn, NULL, &stats);
    if (code != 0)
        return code;
    monitor_sample_read(&look->sample, hf_reply_item(stats), bench_now_ns(), unix_ms());
    hf_reply_free(stats);
    look->all_pools = wanted == MONITOR_SESSIONS_OF_ALL;
    if (wanted == MONITOR_FIGURES_ONLY)
        return 0;
    code = hf_pools(source->conn, &look->pools);
    if (code != 0)
        return code;
    return look->all_pools ? ask_all(source, look) : ask_pool(source, NULL, look);
}

bool monitor_source_look(struct monitor_source *source, enum monitor_wanted wanted, struct monitor_look *ret)
{
    memset(ret, 0, sizeof *ret);
    if (!connected(source))
        return false;
    source->code = ask(source, wanted, ret);
    if (source->code != 0)
        return fail(source, source->code);
    source->problem[0] = '\0';
    return true;
}

void monitor_look_done(struct monitor_look *look)
{
    forget_sessions(look);
    hf_reply_free(look->pools);
    look->pools = NULL;
}

void monitor_source_close(struct monitor_source *source)
{
    if (source->conn != NULL && hf_connected(source->conn) && source->code != HF_ERR_TIMEOUT)
        hf_bye(source->conn, NULL);
    hf_close(source->conn);
    source->conn = NULL;
}
