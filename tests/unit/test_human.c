/* SPDX-License-Identifier: BSD-3-Clause */
/* daemon/base/human.h: figures for people. */
#include "daemon/base/human.h"
#include "tests/lib/suite.h"

static char text[HUMAN_MAX];

#define shown_count(value, wanted) ck_assert_str_eq(human_count(text, sizeof text, value), wanted)
#define shown_bytes(value, wanted) ck_assert_str_eq(human_bytes(text, sizeof text, value), wanted)

START_TEST(counts)
{
    shown_count(0, "0");
    shown_count(999, "999");
    shown_count(1000, "1.00 k");
    shown_count(1234, "1.23 k");
    shown_count(9994, "9.99 k");
    shown_count(9996, "10.0 k");
    shown_count(123456, "123 k");
    shown_count(999499, "999 k");
    shown_count(999500, "1.00 M");
    shown_count(UINT64_MAX, "18.4 E");
}
END_TEST

START_TEST(bytes)
{
    shown_bytes(0, "0 B");
    shown_bytes(1023, "1023 B");
    shown_bytes(1024, "1.00 KiB");
    shown_bytes(1536, "1.50 KiB");
    shown_bytes(1023u * 1024, "1023 KiB");
    shown_bytes(1024u * 1024 - 1, "1.00 MiB");
    shown_bytes(14ull << 30, "14.0 GiB");
    shown_bytes(UINT64_MAX, "16.0 EiB");
}
END_TEST

static void nothing(void)
{
}

int main(void)
{
    Suite *suite = suite_create("human");
    TCase *tcase = suite_case(suite, "human", nothing, nothing);
    tcase_add_test(tcase, counts);
    tcase_add_test(tcase, bytes);
    return suite_run(suite);
}
