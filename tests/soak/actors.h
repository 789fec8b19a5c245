/* SPDX-License-Identifier: BSD-3-Clause */
/* Those who disturb the clients, each a thread of its own, by the library: they work while the clients of a cycle do.
 *
 *   killers    end sessions of any pool, from another one
 *   droppers   make pools, let clients work in them, and drop them under them
 *   observers  ask for sessions, pools, figures and verify, of all pools, and break their own connections
 *   stormers   open connections in crowds, send nothing, half of something, or nonsense, and go
 *   a glutton  fills a pool of its own until there is no memory, and empties it again
 *   ring makers  make cycles of objects and let them go, one in a pool of its own, one in all (rings.c) */
#ifndef HF_TESTS_SOAK_ACTORS_H
#define HF_TESTS_SOAK_ACTORS_H

#include "client/holdfast.h"
#include "tests/soak/soak.h"

struct actor {
    struct soak *soak;
    unsigned number; /* among its kind */
    void (*act)(struct actor *actor);
    struct random random;
    pthread_t thread;
};

void kill_sessions(struct actor *actor);
void drop_pools(struct actor *actor);
void observe(struct actor *actor);
void storm(struct actor *actor);
void glut(struct actor *actor);
void make_rings(struct actor *actor);

/* ---- for these and the main thread: a connection of the library; every error that `call` returns is a failure ---- */

/* Anonymous if `pool` is NULL, else with a session of that name and lease (0: the default). */
hf_conn *actor_connect(struct soak *soak, const char *pool, const char *name, int64_t lease_ms);
/* Fails unless `code` is 0. */
void actor_need(struct soak *soak, hf_conn *conn, int code, const char *what);
/* A figure of `stats`. */
uint64_t actor_figure(struct soak *soak, hf_conn *conn, const char *section, const char *key);
/* Walks the invariants of the connection's pool: fails on a finding; false: somebody else is at it. */
bool actor_verify(struct soak *soak, hf_conn *conn, const char *pool);

#endif
