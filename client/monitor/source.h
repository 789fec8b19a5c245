/* SPDX-License-Identifier: BSD-3-Clause */
/* A connection for looking at a daemon again and again: when it breaks, the next look tries to connect anew, so that a
 * daemon that was started again is seen again. */
#ifndef HF_MONITOR_SOURCE_H
#define HF_MONITOR_SOURCE_H

#include <stdbool.h>
#include <stdint.h>

#include "client/monitor/sample.h"

/* Pages of sessions that one look reads at most; limits.ids of them are in one. */
#define MONITOR_PAGES 64u

struct monitor_source {
    const char *address; /* NULL: the default one. All borrowed */
    const char *pool;    /* NULL: `default` */
    const char *name;    /* of the session that looks */
    int64_t timeout_ms;
    hf_conn *conn; /* NULL: there is none at the moment */
    int code;      /* of the last look; 0 or HF_ERR_... */
    char problem[256];
};

/* One look. `rows` are answers that the caller frees with monitor_look_done, also after an error. */
struct monitor_look {
    struct monitor_sample sample;
    struct monitor_sessions {
        hf_reply *reply;
        hf_item rows;
    } sessions[MONITOR_PAGES]; /* as many as were asked for */
    unsigned sessions_count;
    bool sessions_cut; /* there are more than that */
    hf_reply *pools;
    bool all_pools; /* the sessions are those of all pools */
};

enum monitor_wanted { MONITOR_FIGURES_ONLY, MONITOR_SESSIONS, MONITOR_SESSIONS_OF_ALL };

/* Looks. False: source->problem says why, and the connection is closed. */
bool monitor_source_look(struct monitor_source *source, enum monitor_wanted wanted, struct monitor_look *ret);
void monitor_look_done(struct monitor_look *look);

/* Ends the session. */
void monitor_source_close(struct monitor_source *source);

#endif
