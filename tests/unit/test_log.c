/* SPDX-License-Identifier: BSD-3-Clause */
/* daemon/base/log.h: the shape of a line, its limits, quoting, and how many lines clients may cause. Time passes
 * by setting the buckets back, so nothing here waits. */
#include "daemon/base/log.h"
#include "tests/lib/suite.h"

#include <ctype.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

static struct log log_;
static int ends[2];
static char text[64 * 1024];

static void setup(void)
{
    ck_assert_int_eq(pipe2(ends, O_NONBLOCK), 0);
    log_init(&log_, ends[1], LOG_LEVEL_INFO);
}

static void teardown(void)
{
    close(ends[0]);
    close(ends[1]);
}

/* All that was written since the last time, in `text`; the number of lines. */
static unsigned take(void)
{
    size_t size = 0;
    ssize_t got;
    unsigned lines = 0;
    while ((got = read(ends[0], text + size, sizeof text - 1 - size)) > 0)
        size += (size_t)got;
    text[size] = '\0';
    for (size_t i = 0; i < size; i++)
        lines += text[i] == '\n';
    return lines;
}

static void pass_ms(enum log_kind kind, uint64_t ms)
{
    ck_assert_uint_ge(log_.buckets[kind].filled_ms, ms);
    log_.buckets[kind].filled_ms -= ms;
}

static unsigned write_many(enum log_kind kind, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        log_client(&log_, LOG_LEVEL_INFO, kind, "tried", "n=%u", i);
    return take();
}

/* ---- lines ---- */

START_TEST(a_line_has_time_level_event_and_words)
{
    log_write(&log_, LOG_LEVEL_WARN, "shaped", "a=%d b=\"%s\"", 7, "two words");
    ck_assert_uint_eq(take(), 1);
    const char *format = "dddd-dd-ddTdd:dd:dd.dddZ level=warn event=shaped a=7 b=\"two words\"\n";
    ck_assert_uint_eq(strlen(text), strlen(format));
    for (size_t i = 0; format[i] != '\0'; i++) {
        if (i < 24 && format[i] == 'd')
            ck_assert_msg(isdigit((unsigned char)text[i]), "%s", text);
        else
            ck_assert_msg(text[i] == format[i], "%s", text);
    }
}
END_TEST

START_TEST(what_is_less_important_is_not_written)
{
    log_write(&log_, LOG_LEVEL_DEBUG, "quiet", "a=1");
    log_client(&log_, LOG_LEVEL_DEBUG, LOG_FRAME, "quiet", "a=1");
    ck_assert_uint_eq(take(), 0);
    log_write(&log_, LOG_LEVEL_ERROR, "loud", "a=1");
    ck_assert_uint_eq(take(), 1);
    ck_assert_ptr_nonnull(strstr(text, "level=error event=loud a=1\n"));
    /* Nor does it take a token of those that are. */
    ck_assert_uint_eq(log_.buckets[LOG_FRAME].tokens, LOG_BURST);
}
END_TEST

START_TEST(a_long_line_is_cut_and_still_one)
{
    static char words[3000];
    memset(words, 'w', sizeof words - 1);
    for (size_t size = 900; size < sizeof words; size += 7) {
        log_write(&log_, LOG_LEVEL_INFO, "long", "%.*s", (int)size, words);
        ck_assert_uint_eq(take(), 1);
        ck_assert_uint_le(strlen(text), 1024);
        ck_assert_int_eq(text[strlen(text) - 1], '\n');
    }
}
END_TEST

START_TEST(control_characters_make_no_second_line)
{
    log_write(&log_, LOG_LEVEL_INFO, "path", "address=%s",
              "unix:/a\nlevel=error event=forged\r\t\x1b[2J\x7f");
    ck_assert_uint_eq(take(), 1);
    ck_assert_ptr_nonnull(strstr(text, "address=unix:/a?level=error event=forged???[2J?\n"));
    for (size_t i = 0; i + 1 < strlen(text); i++)
        ck_assert_int_ge(text[i], 0x20);
}
END_TEST

/* ---- quoting ---- */

START_TEST(quoting_keeps_printable_ascii_alone)
{
    char quoted[LOG_QUOTED_SIZE];
    for (unsigned byte = 0; byte < 256; byte++) {
        unsigned char bytes[3] = {'a', (unsigned char)byte, 'z'};
        ck_assert_ptr_eq(log_quote(quoted, bytes, sizeof bytes), quoted);
        bool plain = byte >= 0x20 && byte <= 0x7e && byte != '"' && byte != '\\';
        const char expected[] = {'"', 'a', plain ? (char)byte : '?', 'z', '"', '\0'};
        ck_assert_str_eq(quoted, expected);
    }
    ck_assert_str_eq(log_quote(quoted, "", 0), "\"\"");
}
END_TEST

START_TEST(quoting_stays_within_its_room)
{
    static char bytes[2000];
    struct {
        char quoted[LOG_QUOTED_SIZE];
        char behind[8];
    } room;
    memset(bytes, 'b', sizeof bytes);
    for (size_t size = 0; size <= sizeof bytes; size++) {
        memset(&room, '#', sizeof room);
        log_quote(room.quoted, bytes, size);
        ck_assert_mem_eq(room.behind, "########", sizeof room.behind);
        size_t length = strlen(room.quoted);
        ck_assert_uint_eq(length, size + 2 < LOG_QUOTED_SIZE ? size + 2 : LOG_QUOTED_SIZE - 1);
        ck_assert_int_eq(room.quoted[0], '"');
        ck_assert_int_eq(room.quoted[length - 1], '"');
    }
    log_quote(room.quoted, bytes, 255); /* the longest name is told in full */
    ck_assert_uint_eq(strlen(room.quoted), 257);
}
END_TEST

/* ---- the limit for lines that clients cause ---- */

START_TEST(a_burst_then_nothing)
{
    ck_assert_uint_eq(write_many(LOG_FRAME, LOG_BURST + 100), LOG_BURST);
    ck_assert_ptr_null(strstr(text, "suppressed"));
    ck_assert_uint_eq(log_.buckets[LOG_FRAME].suppressed, 100);
}
END_TEST

START_TEST(the_next_line_tells_how_many_were_lost)
{
    write_many(LOG_FRAME, LOG_BURST + 41);
    pass_ms(LOG_FRAME, LOG_REFILL_MS);
    ck_assert_uint_eq(write_many(LOG_FRAME, 3), 1);
    ck_assert_ptr_nonnull(strstr(text, "event=tried n=0 suppressed=41\n"));
    pass_ms(LOG_FRAME, LOG_REFILL_MS);
    ck_assert_uint_eq(write_many(LOG_FRAME, 1), 1);
    ck_assert_ptr_nonnull(strstr(text, "event=tried n=0 suppressed=2\n"));
    pass_ms(LOG_FRAME, LOG_REFILL_MS);
    ck_assert_uint_eq(write_many(LOG_FRAME, 1), 1);
    ck_assert_ptr_null(strstr(text, "suppressed"));
}
END_TEST

START_TEST(tokens_come_back_one_a_second_up_to_the_burst)
{
    write_many(LOG_CUT, LOG_BURST);
    pass_ms(LOG_CUT, 3 * LOG_REFILL_MS);
    ck_assert_uint_eq(write_many(LOG_CUT, 10), 3);
    pass_ms(LOG_CUT, 1000000ull * LOG_REFILL_MS < log_.buckets[LOG_CUT].filled_ms
                         ? 1000000ull * LOG_REFILL_MS
                         : log_.buckets[LOG_CUT].filled_ms);
    ck_assert_uint_eq(write_many(LOG_CUT, 2 * LOG_BURST), LOG_BURST);
}
END_TEST

START_TEST(parts_of_a_second_add_up)
{
    write_many(LOG_POOL, LOG_BURST);
    unsigned written = 0;
    for (unsigned i = 0; i < 10; i++) {
        pass_ms(LOG_POOL, LOG_REFILL_MS / 4);
        written += write_many(LOG_POOL, 5);
    }
    ck_assert_uint_ge(written, 2); /* and a slow machine adds some of its own */
    ck_assert_uint_le(written, 10);
}
END_TEST

START_TEST(kinds_do_not_take_each_others_tokens)
{
    write_many(LOG_FRAME, LOG_BURST + 5);
    ck_assert_uint_eq(write_many(LOG_SESSION, 4), 4);
    ck_assert_uint_eq(write_many(LOG_FRAME, 1), 0);
    log_write(&log_, LOG_LEVEL_INFO, "always", "a=1"); /* the daemon's own lines are not limited */
    ck_assert_uint_eq(take(), 1);
}
END_TEST

START_TEST(two_logs_share_nothing)
{
    struct log other;
    log_init(&other, ends[1], LOG_LEVEL_INFO);
    write_many(LOG_FRAME, LOG_BURST + 5);
    for (unsigned i = 0; i < LOG_BURST; i++)
        log_client(&other, LOG_LEVEL_INFO, LOG_FRAME, "other", "n=%u", i);
    ck_assert_uint_eq(take(), LOG_BURST);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("log");
    TCase *lines = suite_case(suite, "lines", setup, teardown);
    tcase_add_test(lines, a_line_has_time_level_event_and_words);
    tcase_add_test(lines, what_is_less_important_is_not_written);
    tcase_add_test(lines, a_long_line_is_cut_and_still_one);
    tcase_add_test(lines, control_characters_make_no_second_line);
    TCase *quoting = suite_case(suite, "quoting", setup, teardown);
    tcase_add_test(quoting, quoting_keeps_printable_ascii_alone);
    tcase_add_test(quoting, quoting_stays_within_its_room);
    TCase *limit = suite_case(suite, "limit", setup, teardown);
    tcase_add_test(limit, a_burst_then_nothing);
    tcase_add_test(limit, the_next_line_tells_how_many_were_lost);
    tcase_add_test(limit, tokens_come_back_one_a_second_up_to_the_burst);
    tcase_add_test(limit, parts_of_a_second_add_up);
    tcase_add_test(limit, kinds_do_not_take_each_others_tokens);
    tcase_add_test(limit, two_logs_share_nothing);
    return suite_run(suite);
}
