/* SPDX-License-Identifier: BSD-3-Clause */
/* Packing of params, and sinks for results. What each typed call is made of. */
#ifndef HF_CLIENT_PACK_H
#define HF_CLIENT_PACK_H

#include "client/lib/conn.h"

/* ---- Params -------------------------------------------------------------------------------------------- */

/* True if the value can be packed: exactly one value, of a size that MessagePack can tell. */
bool hf__value_ok(const hf_value *value);

void hf__pack_value(hf_conn *conn, const hf_value *value);

/* A terminated string; NULL is nil. */
void hf__pack_text(msgpack_packer *packer, const char *text);

/* An id; 0 is nil. */
void hf__pack_id(msgpack_packer *packer, hf_id id);
void hf__pack_ids(msgpack_packer *packer, const hf_id *ids, size_t count);

/* One pair of an option map; left out when it is the default (NULL, 0). The map's count is the caller's. */
void hf__pack_key(msgpack_packer *packer, const char *key);
void hf__pack_option_text(msgpack_packer *packer, const char *key, const char *text);
void hf__pack_option_uint(msgpack_packer *packer, const char *key, uint64_t number);

/* The whole option map {if_version}. */
void hf__pack_if_version(msgpack_packer *packer, int64_t if_version);

/* ---- Results ------------------------------------------------------------------------------------------- */

struct hf__sink hf__sink_none(void);
struct hf__sink hf__sink_reply(hf_reply **ret); /* sets *ret to NULL */
struct hf__sink hf__sink_int(int64_t *ret);
struct hf__sink hf__sink_id(hf_id *ret);                        /* nil is 0 */
struct hf__sink hf__sink_ints(int64_t *ret, size_t count);      /* an array of exactly `count` */
struct hf__sink hf__sink_pair(int64_t *first, int64_t *second); /* an array of two; each may be NULL */
struct hf__sink hf__sink_key(uint8_t *ret);                     /* HF_KEY_BYTES bytes */

#endif
