/* SPDX-License-Identifier: BSD-3-Clause */
/* The error codes of the wire contract (PROTOCOL.md section 7), one list.
 *
 * X(CODE, text): CODE is the word that starts an error on the wire; text is the sentence used where the
 * place that found the error has nothing better to say. Derived from it: `enum hf_err`, the client's
 * numbers and texts, the table in PROTOCOL.md (checked by `make tidy`). Functions return 0 or -HF_E_<CODE>.
 * Numbers never travel, but they stand in the replay windows of images: new ones come at the end. */
#ifndef HF_PROTO_ERRORS_H
#define HF_PROTO_ERRORS_H

#define HF_ERRORS(X)                                                                                         \
    X(NOTFOUND, "there is nothing of that name, ticket or number")                                           \
    X(GONE, "the object has died or never was in this pool; drop the id")                                    \
    X(NOTHELD, "this session does not hold that many references")                                            \
    X(EXISTS, "it exists already")                                                                           \
    X(CONFLICT, "the version is another one by now; read again, then decide")                                \
    X(SEALED, "the object is sealed and cannot change; put a new one")                                       \
    X(UNSEALED, "the object is still being written; wait until its creator seals it")                        \
    X(OOM, "no memory left in the pool; release something or raise --max-memory")                            \
    X(QUOTA, "a limit of this session is reached; release something")                                        \
    X(LIMIT, "a structural maximum is reached")                                                              \
    X(TOOBIG, "larger than the limits announced by hello; use offset and len, or write in parts")            \
    X(NOAUTH, "not authenticated")                                                                           \
    X(NOPERM, "not allowed for this session")                                                                \
    X(EXPIRED, "the session or ticket has ended; open a new one")                                            \
    X(TIMEOUT, "it did not happen in the time given")                                                        \
    X(BUSY, "in use; try again later")                                                                       \
    X(DRAINING, "the daemon is going down and takes no changes; connect again later")                        \
    X(BADARG, "the arguments do not fit the method; see `methods`")                                          \
    X(BADFRAME, "this is not MessagePack-RPC; the connection is closed")                                     \
    X(NOMETHOD, "no such method in this version; see `methods`")                                             \
    X(INTERNAL, "a fault of the daemon; please report it")

enum hf_err {
    HF_OK = 0,
#define HF_ERR_ENUM(code, text) HF_E_##code,
    HF_ERRORS(HF_ERR_ENUM)
#undef HF_ERR_ENUM
        HF_E_COUNT
};

#endif
