/* SPDX-License-Identifier: BSD-3-Clause */
/* The handlers, one for each method of proto/methods.h, in files by topic (handle_<topic>.c), and what
 * several of them share. What a handler may do, in which order, and what it returns stands in call.h. */
#ifndef SERVER_HANDLERS_H
#define SERVER_HANDLERS_H

#include "daemon/server/call.h"
#include "proto/methods.h"

#include <stdbool.h>
#include <stdint.h>

typedef int (*handler_fn)(struct call *call);

/* By method; NULL for HF_METHOD_NONE. */
extern const handler_fn handlers[HF_METHOD_COUNT];

#define HANDLER(name, params, options, flags, since) int handle_##name(struct call *call);
HF_METHODS(HANDLER)
#undef HANDLER

#define COUNT_OF(array) (unsigned)(sizeof(array) / sizeof((array)[0]))

/* Versions that clients may name: 0 is "must not exist". */
#define VERSION_MAX HF_ID_MAX

/* Says in the error noted before where in an array argument it was found (index=N), instead of what it
 * said about that. Returns r; nothing is done unless it is an error. */
int call_at_index(struct call *call, int r, uint32_t index);
/* call_pool_error() for an argument that may be an array: without index=0 if it was none. */
int call_list_error(struct call *call, int r, bool array);

/* The BADARG for a pool's name that does not fit, with `word`=`key` (arg=name, option=pool). */
int call_bad_pool_name(struct call *call, const char *word, const char *key);

/* A key and its value in a map; reply_pair_str: nil if size is 0; reply_pair_known: nil if value is 0. */
void reply_pair_uint(struct call *call, const char *key, uint64_t value);
void reply_pair_bool(struct call *call, const char *key, bool value);
void reply_pair_text(struct call *call, const char *key, const char *value);
void reply_pair_str(struct call *call, const char *key, const uint8_t *data, uint32_t size);
void reply_pair_known(struct call *call, const char *key, uint64_t value);
void reply_id_or_nil(struct call *call, uint64_t id);

/* What `save` has done; the section `save` of stats. */
void reply_saved(struct call *call, const struct save_figures *figures);
void reply_save_stats(struct call *call);

/* The section `gc` of stats. */
void reply_gc_stats(struct call *call, uint64_t backlog);

/* The sections `requests` and `durations`. */
struct book_sum;
void reply_requests(struct call *call, const struct counters *counters, const struct book_sum *book);
void reply_durations(struct call *call, const struct book_sum *book);

/* One value, or an array of them, as the argument was given. */
void reply_uints(struct call *call, const uint64_t *values, uint32_t count, bool array);
/* The same of [value, version]. */
void reply_versioned(struct call *call, const uint64_t *values, const uint64_t *versions, uint32_t count,
                     bool array);

#endif
