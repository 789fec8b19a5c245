/* SPDX-License-Identifier: BSD-3-Clause */
/* daemon/observe/host.h: which hosts a request may name. */
#include "daemon/observe/host.h"
#include "tests/lib/suite.h"

static void nothing(void)
{
}

static bool ours(const char *header)
{
    return host_is_ours(header, "stats.example", "192.0.2.7");
}

START_TEST(hosts_that_are_ours)
{
    static const char *const fine[] = {"localhost",       "LOCALHOST:80", "127.0.0.1",       "127.1.2.3:9",
                                       "[::1]",           "[::1]:7678",   "stats.example:1", "Stats.Example",
                                       "192.0.2.7:65535", "localhost:"};
    for (size_t i = 0; i < sizeof fine / sizeof fine[0]; i++)
        ck_assert_msg(ours(fine[i]), "%s", fine[i]);
    ck_assert(ours(NULL));
    ck_assert(host_is_ours("[2001:db8::1]:5", "", "2001:db8::1"));
}
END_TEST

START_TEST(hosts_that_are_not)
{
    static const char *const foreign[] = {"",
                                          "evil.example",
                                          "localhost.evil.example",
                                          "127.0.0.1.evil.example",
                                          "192.0.2.8",
                                          "[::2]",
                                          "128.0.0.1",
                                          "127.0.0.1:x",
                                          "[::1",
                                          "[::1]x",
                                          "localhost:80:90",
                                          "[::1]:8:9",
                                          "evil.example:80",
                                          "0.0.0.0",
                                          "127.1",
                                          "user@localhost",
                                          ":80"};
    for (size_t i = 0; i < sizeof foreign / sizeof foreign[0]; i++)
        ck_assert_msg(!ours(foreign[i]), "%s", foreign[i]);
    ck_assert(!host_is_ours("", "", "")); /* what is not configured is no name */
    ck_assert(!host_is_ours("evil.example", "", ""));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("host");
    TCase *tcase = suite_case(suite, "host", nothing, nothing);
    tcase_add_test(tcase, hosts_that_are_ours);
    tcase_add_test(tcase, hosts_that_are_not);
    return suite_run(suite);
}
