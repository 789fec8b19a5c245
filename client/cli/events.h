/* SPDX-License-Identifier: BSD-3-Clause */
/* Events, a line each: what several commands print. */
#ifndef HF_CLI_EVENTS_H
#define HF_CLI_EVENTS_H

#include "client/holdfast.h"

/* One map of seq, topic and what the event tells. */
void cli_event_json(const struct hf_event *event);

#endif
