/* SPDX-License-Identifier: BSD-3-Clause */
#include "tests/sim/told.h"

#include <stdlib.h>
#include <string.h>

/* What the ring keeps for sure: so many of the last events, and so many bytes of them. A record takes no more bytes
 * than its text and RECORD_MOST, and one more may be lost at the end of the buffer. */
#define KEPT_EVENTS 4096u
#define KEPT_BYTES  (256u * 1024)
#define RECORD_MOST 40u
#define TEXT_MOST   255u

static void *grown(void *items, uint32_t count, uint32_t *room, size_t size)
{
    if (count < *room)
        return items;
    *room = *room == 0 ? 64 : 2 * *room;
    items = realloc(items, *room * size);
    if (items == NULL)
        abort();
    return items;
}

void told_done(struct told *t)
{
    for (unsigned k = 0; k < TOLD_SESSIONS; k++)
        free(t->sessions[k].notices);
    free(t->records);
}

/* ---- what has happened ---- */

void told_expect(struct told *t, unsigned session, uint64_t id, uint32_t reasons)
{
    struct told_session *s = &t->sessions[session];
    s->notices = grown(s->notices, s->count, &s->room, sizeof *s->notices);
    s->notices[s->count++] = (struct told_notice){
        .id = id, .topic = reasons == 0 ? HF_TOPIC_unreachable : HF_TOPIC_freed, .reasons = reasons};
}

void told_record(struct told *t, const char *text, uint32_t size, uint64_t number)
{
    t->records = grown(t->records, t->count, &t->room, sizeof *t->records);
    struct told_record *record = &t->records[t->count++];
    *record = (struct told_record){.seq = t->next++, .number = number, .size = size};
    strncpy(record->text, text, sizeof record->text - 1);
}

/* The first subscriber's number is used up: whoever asks for it learns that what was before is lost. */
void told_subscribe(struct told *t, unsigned session, const char *prefix, uint64_t from_seq)
{
    struct told_session *s = &t->sessions[session];
    bool first = !s->subscribed;
    if (first && t->subscribers++ == 0) {
        told_record(t, "", 0, 0);
        t->forgotten = t->next;
    }
    if (!first && strcmp(s->prefix, prefix) != 0)
        s->loose = t->next;
    s->subscribed = true;
    strncpy(s->prefix, prefix, sizeof s->prefix - 1);
    if (from_seq == 0 && !first)
        return;
    s->place = s->place_sent = from_seq != 0 ? from_seq : t->next;
    s->loose = 0;
}

void told_unsubscribe(struct told *t, unsigned session)
{
    struct told_session *s = &t->sessions[session];
    t->subscribers -= s->subscribed;
    s->subscribed = false;
}

void told_sent(struct told *t, unsigned session)
{
    struct told_session *s = &t->sessions[session];
    uint32_t kept = 0;
    for (uint32_t k = 0; k < s->count; k++)
        if (!s->notices[k].taken)
            s->notices[kept++] = s->notices[k];
    s->count = kept;
    s->seq_sent = s->seq;
    s->place_sent = s->place;
}

void told_unsent(struct told *t, unsigned session)
{
    struct told_session *s = &t->sessions[session];
    for (uint32_t k = 0; k < s->count; k++) {
        t->again += s->notices[k].taken;
        s->notices[k].taken = false;
    }
    s->seq = s->seq_sent;
    s->place = s->place_sent;
}

void told_forget(struct told *t, unsigned session)
{
    struct told_session *s = &t->sessions[session];
    told_unsubscribe(t, session);
    *s = (struct told_session){.notices = s->notices, .room = s->room};
}

void told_restart(struct told *t, uint64_t next)
{
    for (unsigned k = 0; k < TOLD_SESSIONS; k++) {
        struct told_session *s = &t->sessions[k];
        told_unsent(t, k);
        s->subscribed = false;
        s->seq_sent = s->seq = 0; /* numbers go on above, see told_take() */
        for (uint32_t n = 0; n < s->count; n++)
            if (s->notices[n].reasons != 0)
                s->notices[n].reasons |= 1u << REASON_SESSION_END;
    }
    t->count = t->subscribers = 0;
    t->next = t->forgotten = next;
}

/* ---- what is told ---- */

static bool text_is(const struct event_value *value, const char *text)
{
    return value->kind == EVENT_TEXT && value->size == strlen(text) &&
           memcmp(value->text, text, value->size) == 0;
}

static bool reason_fits(const struct event_value *value, uint32_t reasons)
{
    static const char *const words[] = {
#define LINE(code, word) word,
        HF_REASONS(LINE)
#undef LINE
    };
    for (unsigned k = 0; k < sizeof words / sizeof words[0]; k++)
        if ((reasons >> k & 1) != 0 && text_is(value, words[k]))
            return true;
    return false;
}

static const char *take_notice(struct told *t, struct told_session *s, const struct event *event)
{
    uint32_t k = 0;
    while (k < s->count && (s->notices[k].taken || s->notices[k].topic != event->topic ||
                            s->notices[k].id != event->values[0].number))
        k++;
    if (k == s->count)
        return "it was not to be told, or was told before";
    if (s->notices[k].reasons != 0 && !reason_fits(&event->values[1], s->notices[k].reasons))
        return "that is not why it died";
    if (event->seq <= s->seq || (s->seq != 0 && event->seq != s->seq + 1))
        return "its number is not the next one";
    s->notices[k].taken = true;
    s->seq = event->seq;
    t->notices++;
    return NULL;
}

static bool matches(const struct told_session *s, const struct told_record *record)
{
    return record->text[0] != '\0' && strncmp(record->text, s->prefix, strlen(s->prefix)) == 0;
}

/* The numbers of the records are contiguous. */
static struct told_record *record_of(const struct told *t, uint64_t seq)
{
    bool there = t->count != 0 && seq >= t->records[0].seq && seq < t->next;
    return there ? &t->records[seq - t->records[0].seq] : NULL;
}

/* Whether nothing for the session stands from its place to before `seq`. */
static bool nothing_before(const struct told *t, const struct told_session *s, uint64_t seq)
{
    for (uint64_t at = t->count == 0 || s->place > t->records[0].seq ? s->place : t->records[0].seq; at < seq;
         at++)
        if (at >= s->loose && matches(s, record_of(t, at)))
            return false;
    return true;
}

static const char *take_record(struct told *t, struct told_session *s, const struct event *event)
{
    struct told_record *record = record_of(t, event->seq);
    if (!s->subscribed || record == NULL || !matches(s, record))
        return "it is no event of this session";
    if (event->seq < s->place)
        return "it comes for a second time";
    if (!nothing_before(t, s, event->seq))
        return "one before it was passed over";
    const struct event_value *text = &event->values[0], *number = &event->values[3];
    size_t size = strlen(record->text);
    if (text->kind != EVENT_TEXT || text->size != size + record->size ||
        memcmp(text->text, record->text, size) != 0)
        return "its text is another one";
    for (uint32_t k = 0; k < record->size; k++)
        if (text->text[size + k] != '.')
            return "its text is damaged";
    if (record->number != UINT64_MAX && number->number != record->number)
        return "its number is another one";
    s->place = event->seq + 1;
    t->events++;
    return NULL;
}

/* Whether the event of that number may be lost: too much came behind it, or it was not recorded. */
static bool may_be_lost(const struct told *t, uint64_t seq)
{
    uint64_t bytes = 2 * (RECORD_MOST + TEXT_MOST);
    if (seq < t->forgotten || t->next - seq > KEPT_EVENTS)
        return true;
    for (uint64_t at = seq; at < t->next; at++)
        bytes += strlen(record_of(t, at)->text) + record_of(t, at)->size + RECORD_MOST;
    return bytes > KEPT_BYTES;
}

static const char *take_gap(struct told *t, struct told_session *s, const struct event *event)
{
    uint64_t from = event->values[1].number, to = event->values[2].number;
    if (!text_is(&event->values[0], "ring") || !s->subscribed)
        return "a gap where none can be";
    if (from > to || to >= t->next || event->seq != to)
        return "the numbers of the gap are none";
    /* numbers before it were looked at and held nothing for the session */
    if (from < s->place || !nothing_before(t, s, from))
        return "the gap does not begin where the session is";
    if (!may_be_lost(t, to))
        return "the gap covers an event that is kept";
    s->place = to + 1;
    t->gaps++;
    return NULL;
}

const char *told_take(struct told *t, unsigned session, const struct event *event)
{
    struct told_session *s = &t->sessions[session];
    switch (event->topic) {
    case HF_TOPIC_freed:
    case HF_TOPIC_unreachable: return take_notice(t, s, event);
    case HF_TOPIC_gap: return take_gap(t, s, event);
    case HF_TOPIC_gc: return take_record(t, s, event);
    default: return "no such topic";
    }
}

const char *told_all(const struct told *t, unsigned session)
{
    const struct told_session *s = &t->sessions[session];
    for (uint32_t k = 0; k < s->count; k++)
        if (!s->notices[k].taken)
            return "a notice has not come";
    return !s->subscribed || nothing_before(t, s, t->next) ? NULL : "an event of the ring has not come";
}
