/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef HF_CLIENT_REPLY_H
#define HF_CLIENT_REPLY_H

#include "client/holdfast.h"

/* A copy of `item` that the caller owns; NULL without memory. */
hf_reply *hf__reply_copy(hf_item item);

#endif
