/* SPDX-License-Identifier: BSD-3-Clause */
#include "daemon/server/rules.h"

#include "daemon/pool/saves.h"
#include "daemon/server/worker.h"

#include <stdio.h>
#include <string.h>

int rules_open(struct rules *rules)
{
    *rules = (struct rules){.keep = 1};
    return uv_mutex_init(&rules->lock);
}

void rules_close(struct rules *rules)
{
    uv_mutex_destroy(&rules->lock);
}

/* ---- for workers ---- */

bool rules_folder(struct rules *rules, char ret[RULES_FOLDER_MAX])
{
    uv_mutex_lock(&rules->lock);
    memcpy(ret, rules->folder, strlen(rules->folder) + 1);
    uv_mutex_unlock(&rules->lock);
    return ret[0] != '\0';
}

/* In the one order that all threads see: a worker that makes ready to be told anew and reads it then misses no change,
 * see worker_tell_rules(). */
uint64_t rules_period_ms(const struct rules *rules)
{
    return atomic_load(&rules->period_ms);
}

unsigned rules_keep(const struct rules *rules)
{
    return atomic_load_explicit(&rules->keep, memory_order_relaxed); /* a figure on its own */
}

/* ---- for the main thread ---- */

struct leftovers {
    const struct server *server;
    const char *folder;
};

static void log_leftover(void *data, const char *file)
{
    const struct leftovers *leftovers = data;
    log_write(leftovers->server->log, LOG_LEVEL_WARN, "leftover_removed",
              "file=%s/%s msg=\"a save that was interrupted; older ones are as they were\"",
              leftovers->folder, file);
}

/* Without a folder nothing is saved, however often it shall be. */
static void set_period(struct server *server)
{
    struct rules *rules = &server->rules;
    atomic_store(&rules->period_ms, rules->folder[0] == '\0' ? 0 : rules->every_ms);
    for (unsigned i = 0; i < server->workers_count; i++)
        worker_tell_rules(server->workers[i]);
}

int server_set_save_dir(struct server *server, const char *folder, char *error, size_t error_size)
{
    struct rules *rules = &server->rules;
    struct leftovers leftovers = {server, folder};
    if (folder != NULL && saves_prepare(folder, log_leftover, &leftovers, error, error_size) != SAVES_FINE)
        return -1;
    uv_mutex_lock(&rules->lock);
    snprintf(rules->folder, sizeof rules->folder, "%s", folder == NULL ? "" : folder);
    uv_mutex_unlock(&rules->lock);
    set_period(server);
    return 0;
}

void server_set_save_every(struct server *server, uint64_t ms)
{
    server->rules.every_ms = ms;
    set_period(server);
}

void server_set_save_keep(struct server *server, unsigned keep)
{
    atomic_store_explicit(&server->rules.keep, keep, memory_order_relaxed); /* a figure on its own */
}

int rules_begin(struct server *server, const struct server_config *config, char *error, size_t error_size)
{
    server_set_save_every(server, config->save_every_ms);
    server_set_save_keep(server, config->save_keep);
    return server_set_save_dir(server, config->save_dir, error, error_size);
}
