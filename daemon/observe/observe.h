/* SPDX-License-Identifier: BSD-3-Clause */
/* The HTTP endpoint: figures of the daemon for Prometheus, for scripts (JSON), and for people (a page).
 *
 * It lives in the main loop: libmicrohttpd is driven by its epoll descriptor and a timer, without threads. What it
 * tells it gets from the workers by a survey (server/survey.h), for which the HTTP request waits at most
 * OBSERVE_WAIT_MS; no worker ever waits for it. GET and HEAD only, at most OBSERVE_CLIENTS_MAX connections at each
 * address, of each at most OBSERVE_HEADERS_MAX bytes of a request; one that has not sent a request, or taken its answer,
 * in OBSERVE_REQUEST_S or OBSERVE_ANSWER_S seconds is closed. A request is refused unless its Host is localhost, a
 * loopback address, the address that the connection was made to, or the host named in the configuration: so no page of
 * another site can read it through somebody's browser, whatever it lets a name of its own point to. There is no access
 * control beyond that: who may connect may read.
 *
 * Memory for answers is charged to the server's budget, each at most OBSERVE_ANSWER_MAX bytes; without it the answer is 503.
 * All functions are the main thread's. */
#ifndef OBSERVE_OBSERVE_H
#define OBSERVE_OBSERVE_H

#include "daemon/base/list.h"
#include "daemon/base/log.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#define OBSERVE_LISTEN_MAX  8u
#define OBSERVE_CLIENTS_MAX 32u
#define OBSERVE_HEADERS_MAX (16u * 1024)
#define OBSERVE_ANSWER_MAX  (8u << 20)
#define OBSERVE_WAIT_MS     2000u
#define OBSERVE_REQUEST_S   10u
#define OBSERVE_ANSWER_S    30u

struct server;

struct observe {
    struct server *server;
    uv_loop_t *loop;
    struct log *log;
    uint64_t started_s;    /* time of day */
    struct list listeners; /* struct stats_listener */
    unsigned listeners_count;
    bool stopping;
    /* What the endpoint did itself. */
    uint64_t answered, refused, scrapes, scrape_ns;
};

/* Listens nowhere yet. */
void observe_init(struct observe *observe, struct server *server, uv_loop_t *loop, struct log *log);

/* Whether `address` (unix:PATH, HOST:PORT, [IPV6]:PORT) can be one: 0, or -1 with a text. */
int observe_check(const char *address, char *error, size_t error_size);
/* Listens at one more address, from within the loop or before it. 0, or -1 with a text for a person. */
int observe_listen(struct observe *observe, const char *address, char *error, size_t error_size);
/* The same for a socket that listens already; taken over, also on failure. */
int observe_adopt(struct observe *observe, int fd, char *error, size_t error_size);
/* No longer listens there; what is being answered is cut off. False: it did not. */
bool observe_unlisten(struct observe *observe, const char *address);
/* The real address of the n-th listener, as http://HOST:PORT or unix:PATH. NULL: there are fewer. */
const char *observe_address(const struct observe *observe, unsigned n);

/* Closes all that is in the loop, which has to run once more. The server still exists. */
void observe_stop(struct observe *observe);

#endif
