/* SPDX-License-Identifier: BSD-3-Clause */
/* Where saves go and how often they are made by themselves, as the main thread may change it while workers save.
 *
 * What always holds:
 *  - the folder is read as a whole, under the lock, and who goes on with it has a copy: a save or a load that is under
 *    way ends in the folder it began in;
 *  - a worker takes over a new period when it is told (worker_tell_rules()), and goes by its own copy until then. */
#ifndef SERVER_RULES_H
#define SERVER_RULES_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

struct server;
struct server_config;

#define RULES_FOLDER_MAX                                                                                     \
    4096u /* bytes of a path with its zero, as the system's: a longer one is refused by it */

struct rules {
    uv_mutex_t lock;
    char folder[RULES_FOLDER_MAX]; /* under the lock; empty: none */
    uint64_t every_ms;             /* as it was asked for, with a folder or without; the main thread's */
    _Atomic uint64_t period_ms;    /* each pool is saved by itself so often; 0: not */
    _Atomic uint32_t keep;         /* at least 1 */
};

/* No folder yet. 0 or a uv error. */
int rules_open(struct rules *rules);
void rules_close(struct rules *rules);
/* Before there are workers: what the configuration says. 0, or -1 with a text for a person. */
int rules_begin(struct server *server, const struct server_config *config, char *error, size_t error_size);

/* From any thread. False: there is no folder. */
bool rules_folder(struct rules *rules, char ret[RULES_FOLDER_MAX]);
uint64_t rules_period_ms(const struct rules *rules);
unsigned rules_keep(const struct rules *rules);

#endif
