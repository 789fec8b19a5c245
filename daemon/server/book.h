/* SPDX-License-Identifier: BSD-3-Clause */
/* What a worker notes about requests: how many of each method, how they ended, how long they took.
 *
 * The duration of a request is the time from the turn of the loop in which its last bytes were read to the moment when its
 * reply was handed to the socket (to the queue, if the socket took no more). So it has in it the requests before it
 * on the same connection, those of other connections that were served first in that turn, the wait for other workers,
 * for memory or for a later turn; and it has not the time in the system's buffers before it was read, nor what a slow
 * reader takes. All requests that were read and answered together took the same time, so a clock is read once for all
 * of them, behind the system call that wrote their replies.
 *
 * Connections whose requests are few and of the hot path are timed together, too, with the time of the last of them: by the
 * look at the clock at the turn's end that the loop needs anyway. Before anything that may take long (a request of another
 * kind, a message, background work), or when there are BOOK_TOGETHER requests, those before are timed.
 *
 * A book belongs to its worker's thread. It allocates a histogram when a method is used for the first time.
 *
 * With HF_NO_BOOKKEEPING (the flavour `unbooked`, for comparison) nothing of it is noted. */
#ifndef SERVER_BOOK_H
#define SERVER_BOOK_H

#include "daemon/base/histogram.h"
#include "daemon/server/brief.h"
#include "proto/errors.h"

#include <stdbool.h>
#include <time.h>

struct conn;
struct worker;
struct request;

#define BOOK_WORDS ((HF_METHOD_COUNT + 63) / 64)
#define BOOK_ODD   (1ull << 32) /* more than are ever taken up between two looks at the clock */

/* So many requests are timed at once, for a look at the clock costs little beside so many. */
#define BOOK_TOGETHER 16u

struct book {
    /* Executed to their end, notifications too; NONE: of no method. In durations[], and not there yet. */
    uint64_t timed[HF_METHOD_COUNT], untimed[HF_METHOD_COUNT];
    /* Whether all are timed: a bit for each method of which perhaps not all are. Those of the hot path have none, but there is
     * the number of requests of all batches since something was timed, and BOOK_ODD for each bit: if one or two methods have
     * that many, there are no others. */
    uint64_t fresh[BOOK_WORDS];
    uint64_t batched;
    struct conn *last; /* NULL: all is timed; else the last one of this turn in which the rest was read */
    /* of all that were executed: answered with that error; HF_OK: given up, since the client was gone */
    uint64_t codes[HF_METHOD_COUNT][HF_E_COUNT];
    uint32_t running[HF_METHOD_COUNT];            /* begun and not done */
    struct histogram *durations[HF_METHOD_COUNT]; /* NULL: never used here */
    uint64_t lost;                                /* durations without memory for a histogram */
    uint64_t seen_ns;                             /* the last look at the clock in this turn */
    struct timespec clock; /* for that look: not on the stack, whose guard costs more */
    /* Of what is to be timed next, the request that took the longest by itself, if that was long. */
    uint64_t suspect_ns; /* 0: none */
    enum hf_method suspect;
    char suspect_args[BRIEF_MAX];
};

/* The same without pointers: to be added up over workers, and to travel. */
struct book_sum {
    uint64_t done[HF_METHOD_COUNT], running[HF_METHOD_COUNT];
    uint64_t codes[HF_METHOD_COUNT][HF_E_COUNT];
    struct histogram durations[HF_METHOD_COUNT];
};

/* Adds a worker's book. */
void book_add_to(const struct book *book, struct book_sum *sum);
void book_close(struct book *book);

/* A request has ended: with an error (of either sign), or HF_OK. */
void book_done(struct book *book, enum hf_method method, int code);
/* It has ended without an answer, because its client is gone. */
void book_given_up(struct book *book, enum hf_method method);

/* The replies of a connection's requests were handed to its socket: times them, and all that is not timed yet. */
void book_flushed(struct conn *conn);
/* Something else begins in this turn: times what is not timed yet. */
void book_settle(struct book *book);

/* A request was executed by itself; the clock stands at `now_ns`. Notes it if it took long. */
void book_executed(struct worker *worker, const struct request *request, uint64_t now_ns);
/* A call of more than one turn is done. Its arguments as kept when it began. */
void book_resumed(struct worker *worker, enum hf_method method, const char *args);

#ifdef HF_NO_BOOKKEEPING
#define book_hot(book, method)                 ((void)(book))
#define book_batch(book, count)                ((void)(book))
#define book_begin(book, method)               ((void)(book))
#define book_leave(book, method)               ((void)(book))
#define book_done(book, method, r)             ((void)(book))
#define book_given_up(book, method)            ((void)(book))
#define book_flushed(conn)                     ((void)(conn))
#define book_settle(book)                      ((void)(book))
#define book_answered(book, conn)              ((void)(book))
#define book_turn(worker, ns)                  ((void)(ns))
#define book_executed(worker, request, now_ns) ((void)(now_ns))
#define book_resumed(worker, method, args)     ((void)(worker))
#else
/* A request of the hot path has ended well. */
static inline void book_hot(struct book *book, unsigned method)
{
    book->untimed[method]++;
}

/* That many requests were taken up, one after the other: those of the hot path, and others. */
static inline void book_batch(struct book *book, unsigned count)
{
    book->batched += count;
}

/* The replies of a connection's requests, all of which were read in this turn, were handed to its socket. */
static inline void book_answered(struct book *book, struct conn *conn)
{
    if (book->batched >= BOOK_TOGETHER)
        book_flushed(conn);
    else
        book->last = conn;
}

/* What is to be timed took `ns`; `us` of it are whole ones. */
void book_time_turn(struct worker *worker, uint64_t ns, uint64_t us);

/* As book_settle(), of who has just looked at the clock: the turn began `ns` ago. */
#define book_turn(worker, ns)                                                                                \
    ((worker)->book.last == NULL ? (void)0 : book_time_turn((worker), (ns), (ns) / 1000))

/* A request has begun; it does not end here, but at another worker. */
static inline void book_begin(struct book *book, enum hf_method method)
{
    book->running[method]++;
}
static inline void book_leave(struct book *book, enum hf_method method)
{
    book->running[method]--;
}
#endif

#endif
