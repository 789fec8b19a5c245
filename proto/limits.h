/* SPDX-License-Identifier: BSD-3-Clause */
/* Limits that a client can meet. Those announced by `hello` in `limits` carry that name in their comment.
 * Sizes are bytes, times milliseconds. */
#ifndef HF_PROTO_LIMITS_H
#define HF_PROTO_LIMITS_H

#define HF_FRAME_MAX     (64u * 1024 * 1024 + 4096) /* limits.frame: a whole message, value and envelope */
#define HF_VALUE_MAX     (64u * 1024 * 1024)        /* limits.value: a value in one message */
#define HF_OBJECT_MAX    0xfffffff7u /* limits.object: a value made by `put {size}` and `write` */
#define HF_DEPTH_MAX     64          /* limits.depth: nesting of a whole frame */
#define HF_SLOTS_MAX     16777216u   /* limits.slots: slots of one object (4096 segments of 4096) */
#define HF_REFS_MAX      8192u       /* limits.refs: refs in one put or put_many, all items together */
#define HF_IDS_MAX       1024u /* limits.ids: ids or names in one call, items of put_many, ids in a reply */
#define HF_NAME_MAX      255u  /* limits.name: bytes of a name, tag or site */
#define HF_POOL_NAME_MAX 64u   /* bytes of a pool's name */
#define HF_QUEUE_SOFT    (4u * 1024 * 1024) /* limits.queue: reply bytes queued above which requests wait */
#define HF_REPLAY_WINDOW                                                                                     \
    64u /* limits.replay: with `replay`, fewer changing requests than these may be unanswered */
#define HF_COUNT_MAX     1000000000u    /* n of retain and release; a session's count on one object */
#define HF_TTL_MAX_MS    31536000000ull /* ttl_ms of a ticket: a year */
#define HF_TTL_TICKET_MS 60000u         /* default ttl_ms of a ticket */
#define HF_USES_MAX      1000000000u    /* uses of a ticket */
#define HF_LEASE_MS      10000u         /* default lease_ms of a session opened by `hello` */
#define HF_LEASE_MAX_MS  86400000u      /* longest lease_ms: a day; 0 means it ends with its connection */
#define HF_LABELS_MAX    65535u         /* pairs of tag and site in use in one pool */
#define HF_SESSIONS_MAX  1000000u       /* sessions of one pool */
#define HF_TICKETS_MAX   1000000u       /* tickets of one pool that no one has used up */
#define HF_WATCHES_MAX   1000000u       /* limits.watches: objects that one session watches */
#define HF_POOLS_MAX     1024u          /* pools of one daemon */
#define HF_SAVE_FILE_MAX 128u           /* bytes of the name of a file that `save` writes */
#define HF_KEY_SIZE      16u            /* bytes of a session key and of a ticket */
#define HF_ID_MAX        ((1ull << 53) - 1)
#define HF_SERIAL_BITS   21u
#define HF_INDEX_MAX     0x7fffffffu

#endif
