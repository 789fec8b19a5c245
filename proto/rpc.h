/* SPDX-License-Identifier: BSD-3-Clause */
/* Envelopes of MessagePack-RPC, and errors as text.
 *
 * Writers work as those of mp.h: they write at `at`, return the place behind, and the caller guarantees
 * the room that is stated. A writer named `_head` leaves the last part to the caller, who writes exactly
 * one value (a result, an event's map) or the declared number of params behind it.
 *
 * An error travels as `CODE key=value ...: text`, a non-empty str: some clients die of anything else. CODE
 * is a word of errors.h; keys and values hold no space and a value no ": "; the text is for a person. What
 * this module makes is always valid UTF-8 without control characters, even if bytes of a client are quoted
 * in it. */
#ifndef HF_PROTO_RPC_H
#define HF_PROTO_RPC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/errors.h"
#include "proto/mp.h"

#define HFP_REPLY_HEAD_MAX 8                         /* bytes of hfp_put_reply_head */
#define HFP_ERROR_TEXT_MAX 512                       /* bytes of a whole error text that this module makes */
#define HFP_ERROR_MAX      (HFP_ERROR_TEXT_MAX + 16) /* bytes of an error response with such a text */
#define HFP_CALL_HEAD_MAX  20 /* bytes of a request's or notification's head beside the method's name */
#define HFP_EVENT_HEAD_MAX 32 /* bytes of an event's head beside the topic's name */

/* `[1, msgid, nil,`: one result follows. At most HFP_REPLY_HEAD_MAX bytes. */
static inline uint8_t *hfp_put_reply_head(uint8_t *at, uint32_t msgid)
{
    /* strict clients read the first two bytes literally */
    if (msgid > UINT16_MAX) { /* most are: all 8 bytes in one store */
        uint64_t head = htobe64(0x9401ce00000000c0u | (uint64_t)msgid << 8);
        memcpy(at, &head, sizeof head);
        return at + 8;
    }
    at[0] = 0x94;
    at[1] = 0x01;
    at = hfp_put_uint(at + 2, msgid);
    *at = 0xc0;
    return at + 1;
}

/* `[1, msgid, text, nil]`, a whole response. `text` of `size` bytes, as made by hfp_error_format; an empty
 * one is replaced by INTERNAL, one above HFP_ERROR_TEXT_MAX is cut. At most HFP_ERROR_MAX bytes. */
uint8_t *hfp_put_error(uint8_t *at, uint32_t msgid, const char *text, size_t size);

/* `[0, msgid, method, [` of `params` params, which follow. At most HFP_CALL_HEAD_MAX + size bytes. */
uint8_t *hfp_put_request_head(uint8_t *at, uint32_t msgid, const char *method, uint32_t size,
                              uint32_t params);

/* `[2, method, [` of `params` params, which follow. At most HFP_CALL_HEAD_MAX + size bytes. */
uint8_t *hfp_put_notification_head(uint8_t *at, const char *method, uint32_t size, uint32_t params);

/* `[2, "event", [seq, topic,`: one map follows. `topic` of `size` bytes. At most HFP_EVENT_HEAD_MAX + size
 * bytes. */
uint8_t *hfp_put_event_head(uint8_t *at, uint64_t seq, const char *topic, uint32_t size);

/* ---- errors ---- */

/* The word of a code: "GONE" for HF_E_GONE and for -HF_E_GONE. "OK" for 0, "INTERNAL" for a number that is
 * none. */
const char *hfp_err_name(int code);

/* The sentence of errors.h for a code, of either sign; "" for 0. */
const char *hfp_err_text(int code);

/* The code (HF_E_*, positive) whose word is the `size` bytes at `name`, or 0. */
int hfp_err_find(const char *name, size_t size);

/* Writes `CODE keys: text` to `to` (of `room` bytes, at least 32; terminated, cut where a character ends)
 * and returns its length. `code` of either sign. `keys` as "index=3 limit=8192", NULL or "" for none.
 * `format` and what follows as for printf; NULL for the sentence of errors.h. */
size_t hfp_error_format(char *to, size_t room, int code, const char *keys, const char *format, ...)
    __attribute__((format(printf, 5, 6))); /* the compiler checks each call's arguments against its format */

/* An error text taken apart; points into the text that was parsed. */
struct hfp_error {
    int code; /* HF_E_*, or 0 if the word is none of this version's */
    const char *word, *keys, *text;
    size_t word_size, keys_size, text_size;
};

/* Takes `size` bytes of an error text apart. Any bytes will do: if there is no CODE, all of it is `text`. */
void hfp_error_parse(const char *bytes, size_t size, struct hfp_error *ret);

/* The value of `key` (terminated): true, and `at` and `size` describe it, or false if the key is not
 * there. */
bool hfp_error_key(const struct hfp_error *error, const char *key, const char **at, size_t *size);

/* The same for a decimal number. False also if the value is none or exceeds 64 bits. */
bool hfp_error_key_uint(const struct hfp_error *error, const char *key, uint64_t *ret);

#endif
