/* SPDX-License-Identifier: BSD-3-Clause */
#include "client/monitor/source.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "client/bench/clock.h"

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
    code = hf_sessions(source->conn, look->all_pools ? "*" : NULL, 0, &look->sessions);
    return code != 0 ? code : hf_pools(source->conn, &look->pools);
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
    hf_reply_free(look->sessions);
    hf_reply_free(look->pools);
    look->sessions = look->pools = NULL;
}

void monitor_source_close(struct monitor_source *source)
{
    if (source->conn != NULL && hf_connected(source->conn) && source->code != HF_ERR_TIMEOUT)
        hf_bye(source->conn, NULL);
    hf_close(source->conn);
    source->conn = NULL;
}
