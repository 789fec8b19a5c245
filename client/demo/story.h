/* SPDX-License-Identifier: BSD-3-Clause */
/* What the demonstration is told by: its daemon, what it asks the daemon, and how that is printed, titles on the left,
 * text in a column, what the daemon says behind a bar.
 *
 * Nothing returns an error: where something fails the program ends with a message, and the daemon with it. */
#ifndef HF_DEMO_STORY_H
#define HF_DEMO_STORY_H

#include "client/holdfast.h"

#include <sys/types.h>

struct story {
    hf_conn *conn;
    bool colour;
    uint64_t live; /* objects at the end of the last step */
    char folder[64], socket[80], address[96];
    pid_t daemon;
};

/* Starts `program` as a daemon in a temporary folder and connects to it. */
void story_begin(struct story *story, const char *program);

/* Ends the daemon, which must end well. */
void story_end(struct story *story);

/* ---- Printing ----------------------------------------------------------------------------------------- */

enum ink { INK_PLAIN, INK_TITLE, INK_DAEMON, INK_NUMBER };

/* The colour's code, "" where output has no colours. */
const char *ink(const struct story *story, enum ink wanted);

/* One line of the story. */
__attribute__((format(printf, 3, 4))) /* lets the compiler check the arguments */
void say(const struct story *story, const char *title, const char *format, ...);

/* Ends the program; the daemon sees its parent's end. */
__attribute__((format(printf, 1, 2), noreturn)) /* as above; and no path goes on behind it */
void give_up(const char *format, ...);

/* Gives up if `error` is one; `what` names the call. */
void must(const struct story *story, int error, const char *what);

/* ---- What the daemon says ----------------------------------------------------------------------------- */

/* A number of a map, 0 if it is not there. */
uint64_t number_of(hf_item map, const char *key);

/* Text of a str in a map, "" if it is not there; `buffer`, which is also returned, cuts it. */
const char *text_of(hf_item map, const char *key, char *buffer, size_t size);

/* The tag of an object: the name of its package. */
const char *tag_of(struct story *story, hf_id id, char *buffer, size_t size);

uint64_t statistic(struct story *story, const char *section, const char *key);

/* The sid of the session called `name`, 0 if there is none. */
uint64_t session_of(struct story *story, const char *name);

/* Waits until what is dead has been freed: a large death goes on in small steps while others are served. */
void wait_until_freed(struct story *story);

void wait_until_ended(struct story *story, const char *name);

/* The line that ends a step. `put` objects were new in it; the others that are missing have died. */
void print_state(struct story *story, uint64_t put);

/* Answers "who holds it?" from outside, in one line. */
void print_holders(struct story *story, const char *name, hf_id id);

/* Answers "why does it live?": who holds the beginning of a shortest chain of references, and the chain. */
void print_why(struct story *story, hf_id id);

/* Waits for the next event and prints it. `tag` is that of the object which it is about. */
void print_event(struct story *story, const char *tag);

#endif
