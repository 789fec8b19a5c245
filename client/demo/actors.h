/* SPDX-License-Identifier: BSD-3-Clause */
/* The other processes of the demonstration. Each connects with a session of its own name, does its work, reports
 * once, and then stays, holding what it holds, until it is dismissed or killed. */
#ifndef HF_DEMO_ACTORS_H
#define HF_DEMO_ACTORS_H

#include "client/demo/dpkg.h"
#include "client/holdfast.h"

#include <sys/types.h>

/* What an actor did. Plain data: it crosses a pipe. */
struct report {
    int error;
    char what[160];    /* the failed call, for people; empty without an error */
    size_t objects;    /* that it put, or met */
    size_t references; /* slots that it filled */
    size_t depth;      /* steps from the start to the most distant object */
    size_t round_trips;
    double duration_ms;
};

/* What it is to do. */
struct task {
    const char *address;
    const struct packages *packages; /* load */
    const char *names[2];            /* to look up; NULL: none */
    size_t result_count;             /* objects of its own to put, each referring to names[0] */
};

typedef int actor_work(hf_conn *conn, const struct task *task, struct report *report);

/* Puts each package as an object (its version is the value, its name the tag) with its dependencies as slots, and names
 * it. */
actor_work actor_load;
/* Looks names[0] up and follows all slots from there. */
actor_work actor_walk;
/* Looks the names up and keeps them; puts `result_count` objects. */
actor_work actor_hold;

struct actor {
    pid_t pid;
    int control; /* closing it dismisses the actor */
};

/* Starts an actor and waits for its report. 0, or -1 with errno; the actor's own failure is in the report. */
int actor_start(struct actor *actor, const char *name, actor_work *work, const struct task *task,
                struct report *report);

/* Lets the actor say bye and waits for its end. */
void actor_dismiss(struct actor *actor);

/* SIGKILL: it says nothing more to anybody. */
void actor_kill(struct actor *actor);

#endif
