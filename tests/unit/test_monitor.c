/* SPDX-License-Identifier: BSD-3-Clause */
/* Figures in few columns, texts that fit, differences of samples. */
#include <locale.h>
#include <msgpack.h>
#include <string.h>

#include "client/monitor/sample.h"
#include "client/monitor/text.h"
#include "tests/lib/suite.h"

START_TEST(test_numbers)
{
    static const struct {
        double number;
        const char *count, *bytes, *us;
    } cases[] = {
        {0, "0", "0", "0.0"},
        {9.94, "10", "10", "9.9"},
        {999.4, "999", "999", "999"},
        {999.6, "1000", "1000", "1.0m"},
        {1023.6, "1024", "1.0K", "1.0m"},
        {9999, "9999", "9.8K", "10.0m"},
        {9999.6, "10.0k", "9.8K", "10.0m"},
        {12345, "12.3k", "12.1K", "12.3m"},
        {999949, "1.0M", "977K", "1.0s"},
        {999960, "1.0M", "977K", "1.0s"},
        {1e6, "1.0M", "977K", "1.0s"},
        {1048576, "1.0M", "1.0M", "1.0s"},
        {123456789, "123M", "118M", "123s"},
        {18446744073709551615.0, "18.4E", "16.0E", NULL},
    };
    char text[MONITOR_NUMBER_SIZE];
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        ck_assert_str_eq(monitor_count(cases[i].number, text), cases[i].count);
        ck_assert_str_eq(monitor_bytes(cases[i].number, text), cases[i].bytes);
        if (cases[i].us != NULL)
            ck_assert_str_eq(monitor_us(cases[i].number, text), cases[i].us);
    }
}
END_TEST

START_TEST(test_no_number_is_wider_than_five_columns)
{
    char text[MONITOR_NUMBER_SIZE];
    for (double number = 0.001; number < 1.8e19; number *= 1.0173) {
        ck_assert_uint_le(strlen(monitor_count(number, text)), 5);
        ck_assert_uint_le(strlen(monitor_bytes(number, text)), 5);
        if (number < 9e9)
            ck_assert_uint_le(strlen(monitor_us(number, text)), 5);
    }
}
END_TEST

static void fits(const char *bytes, unsigned columns, bool right, const char *expected)
{
    char text[64];
    monitor_fit(text, sizeof text, bytes, strlen(bytes), columns, right);
    ck_assert_str_eq(text, expected);
    ck_assert_uint_eq(monitor_width(text), columns);
}

START_TEST(test_texts_that_fit)
{
    ck_assert_ptr_nonnull(setlocale(LC_CTYPE, "C.UTF-8"));
    fits("abc", 5, false, "abc  ");
    fits("abc", 5, true, "  abc");
    fits("abcdef", 5, false, "abcde");
    fits("", 2, false, "  ");
    fits("h\xc3\xa4ll", 3, false, "h\xc3\xa4l");
    fits("\xe4\xb8\xad\xe6\x96\x87", 3, false,
         "\xe4\xb8\xad "); /* two columns each: the second does not fit */
    fits("\x1b[31m\n", 8, false, "?[31m?  ");
    fits("\xc2\x9b"
         "A",
         3, false, "?A "); /* a control character of two bytes */
    fits("\xff\xc3", 4, false, "??  ");
    fits("\xed\xa0\x80", 4, false, "?   "); /* half a surrogate pair */
}
END_TEST

START_TEST(test_a_small_buffer_is_never_left)
{
    char text[8];
    memset(text, 'x', sizeof text);
    monitor_fit(text, 4, "abcdef", 6, 6, false);
    ck_assert_uint_lt(strlen(text), 4);
    ck_assert_int_eq(text[4], 'x');
    monitor_bar(text, 4, 0.5, 10);
    ck_assert_str_eq(text, "|||");
    ck_assert_int_eq(text[4], 'x');
}
END_TEST

START_TEST(test_bars)
{
    char text[16];
    monitor_bar(text, sizeof text, 0, 4);
    ck_assert_str_eq(text, "    ");
    monitor_bar(text, sizeof text, 0.5, 4);
    ck_assert_str_eq(text, "||  ");
    monitor_bar(text, sizeof text, 7, 4);
    ck_assert_str_eq(text, "||||");
    monitor_bar(text, sizeof text, -1, 4);
    ck_assert_str_eq(text, "    ");
}
END_TEST

/* ---- samples ---- */

static void pack_text(msgpack_packer *packer, const char *text)
{
    msgpack_pack_str_with_body(packer, text, strlen(text));
}

static void pack_pair(msgpack_packer *packer, const char *key, uint64_t value)
{
    pack_text(packer, key);
    msgpack_pack_uint64(packer, value);
}

/* What a daemon might answer, of which much is missing. */
static void read_sample(struct monitor_sample *sample, uint64_t uptime_ms, uint64_t requests, uint64_t puts,
                        uint64_t now_ms)
{
    msgpack_sbuffer buffer;
    msgpack_packer packer;
    msgpack_sbuffer_init(&buffer);
    msgpack_packer_init(&packer, &buffer, msgpack_sbuffer_write);
    msgpack_pack_map(&packer, 3);
    pack_text(&packer, "server");
    msgpack_pack_map(&packer, 1);
    pack_pair(&packer, "uptime_ms", uptime_ms);
    pack_text(&packer, "requests");
    msgpack_pack_map(&packer, 2);
    pack_pair(&packer, "total", requests);
    pack_text(&packer, "by_method");
    msgpack_pack_map(&packer, 1);
    pack_pair(&packer, "put", puts);
    pack_text(&packer, "gc");
    msgpack_pack_map(&packer, 1);
    pack_text(&packer, "young");
    msgpack_pack_map(&packer, 1);
    pack_pair(&packer, "collected", 7);
    monitor_sample_read(sample, (hf_item){(const unsigned char *)buffer.data, buffer.size},
                        now_ms * UINT64_C(1000000), 0);
    msgpack_sbuffer_destroy(&buffer);
}

START_TEST(test_changes)
{
    struct monitor_sample a, b;
    struct monitor_change change;
    read_sample(&a, 1000, 10, 5, 100);
    read_sample(&b, 3000, 50, 25, 2100);
    ck_assert_uint_eq(b.counters.young_collected, 7);
    ck_assert_uint_eq(b.counters.errors, 0); /* not told */
    monitor_change_make(&change, &a, &b);
    ck_assert(!change.restarted);
    ck_assert_uint_eq(change.counters.requests, 40);
    ck_assert_uint_eq(change.interval_ns, UINT64_C(2000000000));
    ck_assert_double_eq(monitor_per_second(&change, change.counters.requests), 20);
    ck_assert_uint_eq(monitor_method_calls(&change, 0), 20);
}
END_TEST

START_TEST(test_a_change_without_a_sample_before_counts_from_the_start)
{
    struct monitor_sample at;
    struct monitor_change change;
    read_sample(&at, 4000, 40, 8, 100);
    monitor_change_make(&change, NULL, &at);
    ck_assert_uint_eq(change.counters.requests, 40);
    ck_assert_double_eq(monitor_per_second(&change, change.counters.requests), 10);
    ck_assert_uint_eq(monitor_method_calls(&change, 0), 8);
}
END_TEST

START_TEST(test_a_daemon_started_again_counts_from_its_start)
{
    struct monitor_sample a, b;
    struct monitor_change change;
    read_sample(&a, 9000, 1000, 900, 100);
    read_sample(&b, 500, 30, 20, 9000);
    monitor_change_make(&change, &a, &b);
    ck_assert(change.restarted);
    ck_assert_uint_eq(change.counters.requests, 30);
    ck_assert_double_eq(monitor_per_second(&change, change.counters.requests), 60);
    ck_assert_uint_eq(monitor_method_calls(&change, 0), 20);
    read_sample(&b, 0, 0, 0, 9000);
    monitor_change_make(&change, &a, &b);
    ck_assert_double_eq(monitor_per_second(&change, change.counters.requests), 0); /* no division by zero */
}
END_TEST

/* Every bound the daemon tells leads to a place of its own, and back. */
START_TEST(test_durations)
{
    static struct monitor_sample before, at;
    struct monitor_change change;
    uint64_t counts[MONITOR_BUCKETS];
    msgpack_sbuffer buffer;
    msgpack_packer packer;
    uint32_t rows = 0;
    for (uint64_t bound = 1; bound <= UINT64_C(1) << 27;
         bound += bound < 8 ? 1 : UINT64_C(1) << (61 - __builtin_clzll(bound)))
        rows++;
    ck_assert_uint_lt(rows, MONITOR_BUCKETS);
    msgpack_sbuffer_init(&buffer);
    msgpack_packer_init(&packer, &buffer, msgpack_sbuffer_write);
    msgpack_pack_map(&packer, 2);
    pack_text(&packer, "requests");
    msgpack_pack_map(&packer, 1);
    pack_text(&packer, "by_method");
    msgpack_pack_map(&packer, 1);
    pack_pair(&packer, "get", rows);
    pack_text(&packer, "durations");
    msgpack_pack_map(&packer, 1);
    pack_text(&packer, "get");
    msgpack_pack_map(&packer, 1);
    pack_text(&packer, "buckets");
    msgpack_pack_array(&packer, rows + 1);
    for (uint64_t bound = 1; bound <= UINT64_C(1) << 27;
         bound += bound < 8 ? 1 : UINT64_C(1) << (61 - __builtin_clzll(bound))) {
        msgpack_pack_array(&packer, 2);
        msgpack_pack_uint64(&packer, bound);
        msgpack_pack_uint64(&packer, 1);
    }
    msgpack_pack_array(&packer, 2);
    msgpack_pack_nil(&packer);
    msgpack_pack_uint64(&packer, 1);
    monitor_sample_read(&at, (hf_item){(const unsigned char *)buffer.data, buffer.size}, 1, 0);
    monitor_change_make(&change, &before, &at);
    ck_assert_uint_eq(monitor_durations(&change, 0, counts), rows + 1);
    for (unsigned k = 0; k < rows; k++) {
        uint64_t one[MONITOR_BUCKETS] = {0};
        ck_assert_uint_eq(counts[k], 1);
        one[k] = 7;
        double bound = monitor_percentile(one, 0.5);
        ck_assert(k < 8 ? bound == k + 1.0
                        : bound > monitor_percentile((uint64_t[MONITOR_BUCKETS]){[0] = 1}, 1));
    }
    ck_assert_uint_eq(counts[MONITOR_BUCKETS - 1], 1);
    ck_assert_double_eq(monitor_percentile(counts, 0), 1);
    ck_assert_double_eq(monitor_percentile(counts, 9.0 / (rows + 1)), 10);
    ck_assert_double_eq(monitor_percentile(counts, 16.0 / (rows + 1)), 32);
    monitor_change_make(&change, &at, &at);
    ck_assert_uint_eq(monitor_durations(&change, MONITOR_ALL, counts), 0);
    ck_assert_double_lt(monitor_percentile(counts, 0.5), 0);
    msgpack_sbuffer_destroy(&buffer);
}
END_TEST

static void nothing(void)
{
}

int main(void)
{
    Suite *suite = suite_create("monitor");
    TCase *tcase = suite_case(suite, "monitor", nothing, nothing);
    tcase_add_test(tcase, test_numbers);
    tcase_add_test(tcase, test_no_number_is_wider_than_five_columns);
    tcase_add_test(tcase, test_texts_that_fit);
    tcase_add_test(tcase, test_a_small_buffer_is_never_left);
    tcase_add_test(tcase, test_bars);
    tcase_add_test(tcase, test_changes);
    tcase_add_test(tcase, test_a_change_without_a_sample_before_counts_from_the_start);
    tcase_add_test(tcase, test_a_daemon_started_again_counts_from_its_start);
    tcase_add_test(tcase, test_durations);
    return suite_run(suite);
}
