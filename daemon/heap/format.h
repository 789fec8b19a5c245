/* SPDX-License-Identifier: BSD-3-Clause */
/* The heap image: what every byte of the two regions means.
 *
 * Words: a *region* is a file (memfd) mapped once at a reserved range of addresses; *meta* holds truth and
 * what is derived from it, *values* only payloads. An *arena* is 256 KiB, the piece in which regions grow
 * and shrink. A *run* is 4, 16 or 64 pages of an arena cut into *blocks* of one size class. A *cell* is a
 * small record of an outside reference (hold, name, ticket), of a session or of a label.
 *
 * T is truth: changed by image_store() only once it can be reached, or written plainly while it cannot.
 * D is derived: reset and computed anew by recovery, free to share a word with truth.
 * Everything is an offset or an index, never a pointer. All integers are little-endian, words are aligned.
 *
 *   meta:    superblock 4 KiB | undo log 60 KiB | cell run types | cells | hot | warm | slot blocks
 *   values:  blocks and large values
 *
 * The areas lie far apart in a sparse file; their places are in the superblock. */
#ifndef HEAP_FORMAT_H
#define HEAP_FORMAT_H

#include <assert.h>
#include <stdint.h>

#define PAGE_BYTES         4096u
#define ARENA_BYTES        262144u
#define ARENA_PAGES        64u
#define IMAGE_MAGIC        0x3130746661646c68ull /* "hldaft01" */
#define IMAGE_FORMAT       2u                    /* 1: the same without windows; recovery makes it 2 */
#define IMAGE_FORMAT_FIRST 1u

/* ---- superblock, offset 0 of meta ---- */

struct superblock {
    /* static, under the checksum */
    uint64_t magic;
    uint32_t format, entry_size; /* hot + warm bytes */
    uint64_t epoch;              /* random, of this incarnation of the heap */
    uint32_t serial_base;        /* serial of an id = (generation + serial_base) mod 2^21 */
    uint32_t log_max;            /* records the undo log has room for */
    uint64_t max_bytes;          /* the limit that was asked for when it was made; 0: the daemon's */
    uint64_t born_ms;            /* stamps count from here, ms since 1970 */
    uint64_t types_at, cells_at, cells_bytes; /* byte offsets and lengths of the areas in meta */
    uint64_t hot_at, warm_at;
    uint32_t index_end, reserved; /* indexes are 1 ... index_end-1 */
    uint64_t blocks_at, blocks_bytes;
    uint64_t values_bytes;
    char name[72];     /* of the pool, zero-terminated */
    uint64_t checksum; /* of all before */
    /* changing, T; they only grow and are stored before the first use of what they admit */
    uint64_t starts;       /* recoveries of this image */
    uint64_t index_top;    /* first index never used */
    uint64_t next_sid;     /* sids given out are below */
    uint64_t next_version; /* versions given out are below */
    uint64_t next_ticket;  /* ticket numbers given out are below */
};

/* ---- undo log, offset PAGE_BYTES of meta ---- */

struct undo_record {
    uint64_t offset; /* of the word in meta */
    uint64_t old;
};
struct undo_log {
    uint64_t n; /* records in force; 0: no operation under way */
    struct undo_record record[];
};
#define UNDO_BYTES (60u * 1024)
#define UNDO_MAX   ((UNDO_BYTES - 8) / 16)

/* ---- object entry: 32 hot and 16 warm bytes with the same index; index 0 is nil ---- */

struct hot {
    uint64_t w0;     /* T (but for the derived flags), see W0_... */
    uint64_t value;  /* T position 32 (low), length 32; see VALUE_... */
    uint64_t holder; /* T session cell 32 (low), its count 32; count 0: no first holder */
    uint32_t in;     /* D slots pointing here; next in the zero queue once dead */
    uint32_t link;   /* D see W0_LINK */
};
struct warm {
    uint64_t slots;   /* T two slots (SLOT_...), or block position 32 (low) and number of slots 32 */
    uint32_t created; /* T stamp, STAMP_MS units since the image's first start */
    uint16_t label;   /* T tag and site, a label's number; 0: none */
    uint16_t
        since; /* first holder's age: stamp since `created`, as a 5+11 bit float; only told, never judged by */
};
#define LABEL_LAST 65535u

/* A slot: nil (0), or an index and a mark. Slots without the mark were given at birth and name an older object, so
 * among themselves they never make a cycle. */
#define SLOT_TARGET 0x7fffffffu
#define SLOT_LINKED                                                                                          \
    0x80000000u /* T made by link, or by a put_many whose item names itself or one that is born after it */

static_assert(sizeof(struct hot) == 32 && sizeof(struct warm) == 16, "48 bytes an object");
#define STAMP_MS 64u

/* w0. One store gives birth (state), seals, kills. */
#define W0_GEN        0x1fffffull /* 21 bits; the last one is never given out: index retired */
#define W0_GEN_LAST   0x1fffffull
#define W0_STATE      (3ull << 21)
#define W0_FREE       (0ull << 21)
#define W0_ALIVE      (1ull << 21)
#define W0_ZERO       (2ull << 21) /* D: dead, in the zero queue; recovery frees it */
#define W0_OPEN       (1ull << 23)
#define W0_SEALED     (1ull << 24)
#define W0_FORM_SHIFT 25
#define W0_FORM       (15ull << W0_FORM_SHIFT)
#define W0_VERSIONED  (1ull << 29) /* 8 bytes of version stand behind the value; else the version is 1 */
#define W0_INLINE     (1ull << 30) /* up to 4 value bytes in place of the position */
#define W0_NS_SHIFT   32
#define W0_NS         (7ull << W0_NS_SHIFT) /* 0 ... 2 inline slots, or: */
#define NS_BLOCK      3u                    /* one block of slots */
#define NS_SEGMENTS   4u                    /* a block of positions of segments, SEGMENT_SLOTS each */
#define W0_LINK_SHIFT 36
#define W0_LINK       (3ull << W0_LINK_SHIFT) /* D what `link` is: */
#define LINK_NONE     0u                      /* the place in the first holder's vector (or nothing) */
#define LINK_CELL     1u                      /* the only further cell; there is no first holder */
#define LINK_PAIR     3u /* the only further cell, a hold, which keeps the first holder's place */
#define LINK_TAIL     2u /* a tail: further cells and the place in the first holder's vector */
#define W0_AGE_SHIFT  40
#define W0_AGE        (3ull << W0_AGE_SHIFT) /* D collector: trials it has survived */
#define W0_SUSPECT    (1ull << 42)           /* D collector: it is in the ring of suspects */
#define W0_WATCHED    (1ull << 43)           /* D a notice waits for its death */
#define W0_WHY_SHIFT  44
#define W0_WHY        (15ull << W0_WHY_SHIFT) /* D of a ZERO one: why it died, enum reason */
#define W0_LABELLED   (1ull << 48) /* D its label is not 0: who lets it die need not look at the warm half */
#define W0_DERIVED    (W0_LINK | W0_AGE | W0_SUSPECT | W0_WATCHED | W0_WHY | W0_LABELLED)

/* A value's position: small blocks in units of 8 bytes, values above BLOCK_MAX in pages. */
#define BLOCK_MAX     16384u
#define BLOCK_UNIT    8u
#define SEGMENT_SLOTS 4096u

/* How the payload was written as MessagePack, so that its header is given back as it came. */
enum form {
    FORM_RAW,
    FORM_FIXSTR,
    FORM_STR8,
    FORM_STR16,
    FORM_STR32,
    FORM_BIN8,
    FORM_BIN16,
    FORM_BIN32,
    FORM_COUNT
};

/* ---- cells. The first word is not 0 while the cell is in use: birth and death are one store. ---- */

/* Types of cell runs, T in the table of types, one byte a run of CELL_RUN bytes. */
#define CELL_NAME_CLASSES 14u
enum cell_type {
    CELL_NONE,
    CELL_HOLD,
    CELL_TICKET,
    CELL_ANON,
    CELL_SESSION,
    CELL_LABEL,
    CELL_LABEL_WIDE,
    CELL_NOTICE,
    CELL_NAME, /* the first of CELL_NAME_CLASSES */
    CELL_WINDOW = CELL_NAME + CELL_NAME_CLASSES,
};
#define CELL_RUN  16384u
#define CELL_UNIT 8u /* a cell's ref is its offset in the area in these units; 31 bits */

#define COUNT_GUARD UINT32_MAX /* more than any session may count */
struct cell_hold {             /* a holder but the first, or a guard: then count is COUNT_GUARD */
    uint32_t object, session;
    uint32_t count, since; /* T; stamp */
    uint32_t place;        /* D in the session's vector of holds, or of guards */
    uint32_t first_place;  /* D LINK_PAIR: of the first holder in its session's vector */
    uint32_t label;        /* T site of the retain; a label's number, 0: none */
    uint32_t spare;
};
struct
    cell_name { /* header of 12 bytes, then the name; 48 bits of version: a million changes a second for 8 years */
    uint32_t object, version_low;
    uint16_t version_high;
    uint8_t size, flags, bytes[];
};
#define CELL_NAME_HEAD 12u
#define NAME_SEEN      0x80u /* D in flags: stood before in the list of names of this call */
struct cell_ticket {
    uint32_t object, uses;
    uint64_t expires_ms;
    uint32_t number, place; /* T; D in the deadline heap */
    uint8_t key[16];
};
struct cell_anon {        /* a session without key */
    uint32_t state, slot; /* SESSION_...; D number in the pool's table */
    uint64_t sid;
    uint64_t since_ms;
};
struct cell_session {
    struct cell_anon head;
    uint8_t key[16];
    uint32_t lease_ms, pid;
    uint8_t name_size, name[255];
};
struct cell_label {
    uint32_t number; /* 1 ... 65535 */
    uint8_t used, tag_size, site_size, spare;
    uint8_t bytes[]; /* tag, then site */
};
enum { SESSION_FREE, SESSION_OPEN, SESSION_DYING };

/* What a session shall be told of an object, once: that it was freed (a watch), or that its guard has become a hold.
 * The object may have died since, and its index may have another one by now: the generation tells. */
struct cell_notice {
    uint32_t object, session;
    uint32_t what;       /* T NOTICE_... */
    uint32_t next, prev; /* D in a list of its session */
    uint32_t spare;
    union {
        struct {
            uint32_t next, prev; /* D notices that wait for the death of the same object */
        } chain;
        uint64_t seq; /* D of the event, once it is fired */
    };
};
#define NOTICE_GEN          0x1fffffu  /* the object's generation */
#define NOTICE_GUARD        (1u << 21) /* of a guard, else of a watch */
#define NOTICE_FIRED        (1u << 22) /* it has happened and waits to be told */
#define NOTICE_REASON_SHIFT 23
#define NOTICE_REASON       (15u << NOTICE_REASON_SHIFT) /* of a fired watch, enum reason */
#define NOTICE_BITS         27                           /* no bit from here on is used */

/* The replay window of a session: what its last changing requests were answered, so that one that is sent again because
 * its answer was lost is not done again. A record is written into the scratch slot, `head % REPLAY_SLOTS`, which may
 * hold half a record, and comes in force by `head + 1` in the commit of the effect. So the last REPLAY_SLOTS - 1 records
 * are valid. */
#define REPLAY_SLOTS 64u
enum replay_kind {
    REPLAY_NONE,
    REPLAY_NIL,
    REPLAY_TRUE,
    REPLAY_UINT,  /* word[0] */
    REPLAY_PAIR,  /* both words */
    REPLAY_KEY,   /* 16 bytes, a ticket */
    REPLAY_BYTES, /* `count` bytes of MessagePack, up to 16 */
    REPLAY_ERROR, /* `count` is the code */
    REPLAY_TRUES, /* `count` of them */
    REPLAY_UINTS, /* `count` words; more than two stand in a block, word[0] is its place in the area of blocks */
    REPLAY_PAIRS, /* the same with twice as many words */
    REPLAY_RUNS,  /* `count` numbers in runs that fit into both words (heap.h), so without a block */
    REPLAY_KINDS
};
struct replay_record {
    uint32_t msgid;
    uint8_t kind;
    uint8_t shape; /* how the answer is said; the server's */
    uint16_t count;
    uint64_t hash; /* of the request */
    uint64_t word[2];
};
struct cell_window {
    uint32_t session, state; /* state: 1, so that the first word is not 0 */
    uint64_t head;           /* T records ever written */
    struct replay_record record[REPLAY_SLOTS];
};
static_assert(sizeof(struct replay_record) == 32 && sizeof(struct cell_window) == 2064, "7 windows a run");

/* Why an object ended (PROTOCOL.md section 4, reasons). */
enum reason {
    REASON_RELEASE,
    REASON_UNLINK,
    REASON_UNNAME,
    REASON_REPLACED,
    REASON_EXPIRE,
    REASON_EVICT,
    REASON_TICKET,
    REASON_SESSION_END,
    REASON_CYCLE,
    REASON_ABORT,
    REASON_KILL,
    REASON_POOL_DROP,
    REASON_COUNT
};

#endif
