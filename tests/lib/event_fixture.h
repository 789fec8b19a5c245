/* SPDX-License-Identifier: BSD-3-Clause */
/* What tests of events have in common: taking them as a connection would. */
#ifndef HF_TESTS_LIB_EVENT_FIXTURE_H
#define HF_TESTS_LIB_EVENT_FIXTURE_H

#include "daemon/pool/events.h"
#include "tests/lib/pool_fixture.h"

/* The session's next event, which counts as sent at once; false: none. */
bool take_event(struct fixture *fx, struct session *s, struct event *ret);
/* The same, but not sent yet. */
bool peek_event(struct fixture *fx, struct session *s, struct event *ret);

/* The next event of the session is this and no other; ends the program if not. They return its seq. */
uint64_t expect_freed(struct fixture *fx, struct session *s, uint64_t id, const char *reason);
uint64_t expect_unreachable(struct fixture *fx, struct session *s, uint64_t id);
uint64_t expect_gap(struct fixture *fx, struct session *s, const char *of, uint64_t from, uint64_t to);
/* There is no event for it, and it is not among the sessions that have any. */
void expect_nothing(struct fixture *fx, struct session *s);

struct event_stats events_of(const struct fixture *fx);
/* Until nothing is left to do; then every invariant holds, and the pool is closed. */
void fixture_end(struct fixture *fx);

bool text_is(const struct event_value *value, const char *text);

/* The session watches the object, and its connection has asked for events. */
void watch(struct fixture *fx, struct session *s, uint64_t id);

/* Another pool on the same image, as if the process had died. The sessions a and b of it are in grace, their owners
 * NULL; NULL where they have ended. */
void fixture_restart(struct fixture *fx);

#endif
