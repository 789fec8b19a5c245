/* SPDX-License-Identifier: BSD-3-Clause */
/* The methods of this version, one list.
 *
 * X(name, params, options, flags, since): `params` and `options` are the strings that the method `methods`
 * returns, names separated by ", ". In `params` a '*' marks a positional that may be one value or an array
 * of them, a '?' one that may be left out or nil. `options` are the keys of the option map that may follow
 * the positionals. Derived from it: `enum hf_method`, the server's dispatch, the client, `holdfast help`,
 * and (checked by `make tidy`) the table in PROTOCOL.md. Numbers are local to a build and never travel;
 * the order may change. */
#ifndef HF_PROTO_METHODS_H
#define HF_PROTO_METHODS_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum hf_method_flags {
    HF_M_CHANGES = 1, /* changes a pool or a session: answers DRAINING while the daemon goes down */
    HF_M_MANY = 2,    /* its first positional may be an array: all or nothing, the result an array */
    HF_M_STEPS = 4,   /* may need many turns: later requests of its connection wait for it */
    HF_M_ADMIN = 8,   /* about the daemon or all of a pool rather than about single objects */
    HF_M_REPLAY = 16 /* changes what one session and its pool have: its answer is kept in the replay window */
};

#define HF_METHODS(X)                                                                                        \
    X(hello, "", "name, pid, pool, session, lease_ms, replay", 0, "0.1")                                     \
    X(ping, "", "", 0, "0.1")                                                                                \
    X(bye, "", "", 0, "0.1")                                                                                 \
    X(methods, "", "", 0, "0.1")                                                                             \
    X(put, "value", "refs, tag, site, size, seal", HF_M_CHANGES | HF_M_REPLAY, "0.1")                        \
    X(put_many, "items", "", HF_M_CHANGES | HF_M_REPLAY, "0.1")                                              \
    X(get, "id*", "offset, len, version", HF_M_MANY, "0.1")                                                  \
    X(set, "id, value", "if_version", HF_M_CHANGES | HF_M_REPLAY, "0.1")                                     \
    X(write, "id, offset, bytes", "", HF_M_CHANGES | HF_M_REPLAY, "0.1")                                     \
    X(seal, "id", "", HF_M_CHANGES | HF_M_REPLAY, "0.1")                                                     \
    X(refs, "id", "", 0, "0.1")                                                                              \
    X(link, "id, slot, target", "", HF_M_CHANGES | HF_M_REPLAY, "0.1")                                       \
    X(retain, "id*, n?", "site", HF_M_CHANGES | HF_M_REPLAY | HF_M_MANY, "0.1")                              \
    X(release, "id*, n?", "", HF_M_CHANGES | HF_M_REPLAY | HF_M_MANY, "0.1")                                 \
    X(share, "id", "ttl_ms, uses", HF_M_CHANGES | HF_M_REPLAY, "0.1")                                        \
    X(claim, "ticket", "", HF_M_CHANGES | HF_M_REPLAY, "0.1")                                                \
    X(unshare, "ticket", "", HF_M_CHANGES | HF_M_REPLAY, "0.1")                                              \
    X(name, "name, id", "if_version", HF_M_CHANGES | HF_M_REPLAY, "0.1")                                     \
    X(lookup, "name*", "version", HF_M_CHANGES | HF_M_REPLAY | HF_M_MANY, "0.1")                             \
    X(unname, "name*", "if_version", HF_M_CHANGES | HF_M_REPLAY | HF_M_MANY, "0.1")                          \
    X(names, "cursor?", "prefix, limit", 0, "0.1")                                                           \
    X(store, "name, value", "if_version, tag", HF_M_CHANGES | HF_M_REPLAY, "0.1")                            \
    X(fetch, "name*", "version", HF_M_MANY, "0.1")                                                           \
    X(inspect, "id", "", 0, "0.1")                                                                           \
    X(holders, "id", "limit", 0, "0.1")                                                                      \
    X(referrers, "id, cursor?", "limit", HF_M_STEPS, "0.1")                                                  \
    X(why, "id", "", HF_M_STEPS, "0.1")                                                                      \
    X(scan, "cursor?", "tag, min_size, sid, limit", 0, "0.1")                                                \
    X(watch, "id*", "", HF_M_CHANGES | HF_M_REPLAY | HF_M_MANY, "0.1")                                       \
    X(unwatch, "id*", "", HF_M_CHANGES | HF_M_REPLAY | HF_M_MANY, "0.1")                                     \
    X(guard, "id", "", HF_M_CHANGES | HF_M_REPLAY, "0.1")                                                    \
    X(unguard, "id", "", HF_M_CHANGES | HF_M_REPLAY, "0.1")                                                  \
    X(subscribe, "topics", "from_seq, prefix, rate", HF_M_CHANGES, "0.1")                                    \
    X(unsubscribe, "topics", "", HF_M_CHANGES, "0.1")                                                        \
    X(sessions, "", "pool, limit, ended, cursor", HF_M_ADMIN, "0.1")                                         \
    X(kill, "sid", "", HF_M_CHANGES | HF_M_ADMIN, "0.1")                                                     \
    X(pools, "", "", HF_M_ADMIN, "0.1")                                                                      \
    X(pool_create, "name", "max_bytes", HF_M_CHANGES | HF_M_ADMIN, "0.1")                                    \
    X(pool_drop, "name", "force", HF_M_CHANGES | HF_M_ADMIN | HF_M_STEPS, "0.1")                             \
    X(stats, "section?", "", HF_M_ADMIN, "0.1")                                                              \
    X(slowlog, "", "limit, reset", HF_M_ADMIN, "0.1")                                                        \
    X(verify, "", "", HF_M_ADMIN | HF_M_STEPS, "0.1")                                                        \
    X(gc_collect, "", "kind, dry_run, explain", HF_M_CHANGES | HF_M_ADMIN | HF_M_STEPS, "0.1")               \
    X(save, "file?", "", HF_M_ADMIN | HF_M_STEPS, "0.1")                                                     \
    X(load, "file", "pool", HF_M_CHANGES | HF_M_ADMIN | HF_M_STEPS, "0.1")                                   \
    X(gc_config, "",                                                                                         \
      "enabled, budget_us, growth_percent, objects_least, bytes_least, full_after_ms, young_suspects, "      \
      "young_after_ms",                                                                                      \
      HF_M_CHANGES | HF_M_ADMIN, "0.1")

/* X(method, option): options of the contract that later versions bring. They answer BADARG "not in this
 * version" instead of "unknown option". `hello` is not here: it ignores what it does not know (`token`
 * today) and names it in `ignored`. */
#define HF_OPTIONS_LATER(X)                                                                                  \
    X(name, "ttl_ms")                                                                                        \
    X(name, "idle_ms")                                                                                       \
    X(name, "evict")                                                                                         \
    X(name, "weak")                                                                                          \
    X(lookup, "wait_ms")                                                                                     \
    X(unname, "win")                                                                                         \
    X(store, "ttl_ms")                                                                                       \
    X(store, "stale_ms")                                                                                     \
    X(store, "idle_ms")                                                                                      \
    X(store, "evict")                                                                                        \
    X(store, "win")                                                                                          \
    X(fetch, "wait_ms")                                                                                      \
    X(fetch, "win_ms")

/* X(name): methods of the contract that later versions bring; NOMETHOD may say so. */
#define HF_METHODS_LATER(X)                                                                                  \
    X(top)                                                                                                   \
    X(census)                                                                                                \
    X(doctor)                                                                                                \
    X(attach)                                                                                                \
    X(view)                                                                                                  \
    X(drain)                                                                                                 \
    X(config)

enum hf_method {
    HF_METHOD_NONE = 0, /* no method of this version */
#define HF_METHOD_ENUM(name, params, options, flags, since) HF_METHOD_##name,
    HF_METHODS(HF_METHOD_ENUM)
#undef HF_METHOD_ENUM
        HF_METHOD_COUNT /* one more than the largest method */
};

/* A method's line of the list, as data. */
struct hf_method_info {
    const char *name;
    const char *params;
    const char *options;
    const char *since;
    unsigned flags; /* enum hf_method_flags */
};

/* The line of `method`; the line of HF_METHOD_NONE (and of anything out of range) has empty strings. Never
 * NULL. */
const struct hf_method_info *hfp_method_info(enum hf_method method);

/* True if a later version of the contract gives `method` the option `key` of `size` bytes. */
_Bool hfp_option_is_later(enum hf_method method, const void *key, size_t size);

/* True if `name` of `size` bytes is a method that a later version brings. */
_Bool hfp_method_is_later(const void *name, size_t size);

/* `at` holds at least the bytes of the literal, which is what the surrounding switch on the size has made
 * sure of. */
#define HFP_IS(at, literal) (memcmp((at), (literal), sizeof(literal) - 1) == 0)

/* The method called `name` (of `size` bytes, not terminated), or HF_METHOD_NONE.
 *
 * A switch on the length, then compares of constant size, which become one or two loads each: measured
 * faster than a hash. The methods of the hot path come first in their length; keep it so.
 * tests/unit/test_methods.c fails if a line of the list is missing here. */
static inline enum hf_method hfp_method_find(const uint8_t *name, size_t size)
{
    switch (size) {
    case 3:
        return HFP_IS(name, "get")   ? HF_METHOD_get
               : HFP_IS(name, "put") ? HF_METHOD_put
               : HFP_IS(name, "set") ? HF_METHOD_set
               : HFP_IS(name, "bye") ? HF_METHOD_bye
               : HFP_IS(name, "why") ? HF_METHOD_why
                                     : HF_METHOD_NONE;
    case 4:
        return HFP_IS(name, "link")   ? HF_METHOD_link
               : HFP_IS(name, "name") ? HF_METHOD_name
               : HFP_IS(name, "seal") ? HF_METHOD_seal
               : HFP_IS(name, "refs") ? HF_METHOD_refs
               : HFP_IS(name, "ping") ? HF_METHOD_ping
               : HFP_IS(name, "scan") ? HF_METHOD_scan
               : HFP_IS(name, "kill") ? HF_METHOD_kill
               : HFP_IS(name, "save") ? HF_METHOD_save
               : HFP_IS(name, "load") ? HF_METHOD_load
                                      : HF_METHOD_NONE;
    case 5:
        return HFP_IS(name, "fetch")   ? HF_METHOD_fetch
               : HFP_IS(name, "store") ? HF_METHOD_store
               : HFP_IS(name, "write") ? HF_METHOD_write
               : HFP_IS(name, "share") ? HF_METHOD_share
               : HFP_IS(name, "claim") ? HF_METHOD_claim
               : HFP_IS(name, "watch") ? HF_METHOD_watch
               : HFP_IS(name, "guard") ? HF_METHOD_guard
               : HFP_IS(name, "hello") ? HF_METHOD_hello
               : HFP_IS(name, "names") ? HF_METHOD_names
               : HFP_IS(name, "pools") ? HF_METHOD_pools
               : HFP_IS(name, "stats") ? HF_METHOD_stats
                                       : HF_METHOD_NONE;
    case 6:
        return HFP_IS(name, "retain")   ? HF_METHOD_retain
               : HFP_IS(name, "lookup") ? HF_METHOD_lookup
               : HFP_IS(name, "unname") ? HF_METHOD_unname
               : HFP_IS(name, "verify") ? HF_METHOD_verify
                                        : HF_METHOD_NONE;
    case 7:
        return HFP_IS(name, "release")   ? HF_METHOD_release
               : HFP_IS(name, "inspect") ? HF_METHOD_inspect
               : HFP_IS(name, "slowlog") ? HF_METHOD_slowlog
               : HFP_IS(name, "holders") ? HF_METHOD_holders
               : HFP_IS(name, "unshare") ? HF_METHOD_unshare
               : HFP_IS(name, "methods") ? HF_METHOD_methods
               : HFP_IS(name, "unwatch") ? HF_METHOD_unwatch
               : HFP_IS(name, "unguard") ? HF_METHOD_unguard
                                         : HF_METHOD_NONE;
    case 8:
        return HFP_IS(name, "put_many")   ? HF_METHOD_put_many
               : HFP_IS(name, "sessions") ? HF_METHOD_sessions
                                          : HF_METHOD_NONE;
    case 9:
        return HFP_IS(name, "pool_drop")   ? HF_METHOD_pool_drop
               : HFP_IS(name, "subscribe") ? HF_METHOD_subscribe
               : HFP_IS(name, "gc_config") ? HF_METHOD_gc_config
               : HFP_IS(name, "referrers") ? HF_METHOD_referrers
                                           : HF_METHOD_NONE;
    case 10: return HFP_IS(name, "gc_collect") ? HF_METHOD_gc_collect : HF_METHOD_NONE;
    case 11:
        return HFP_IS(name, "pool_create")   ? HF_METHOD_pool_create
               : HFP_IS(name, "unsubscribe") ? HF_METHOD_unsubscribe
                                             : HF_METHOD_NONE;
    default: return HF_METHOD_NONE;
    }
}

#endif
