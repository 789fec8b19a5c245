/* SPDX-License-Identifier: BSD-3-Clause */
/* Addresses of the client, and the one it takes when none is given. */
#include "client/holdfast.h"
#include "client/lib/address.h"
#include "tests/lib/suite.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static struct hf__address address;

START_TEST(unix_path)
{
    ck_assert_ptr_null(hf__address_parse("unix:/run/x.sock", &address));
    ck_assert(!address.tcp);
    ck_assert_str_eq(address.path, "/run/x.sock");
}
END_TEST

START_TEST(unix_path_fits_or_is_refused)
{
    char text[200] = "unix:";
    memset(text + 5, 'p', 107);
    ck_assert_ptr_null(hf__address_parse(text, &address));
    text[5 + 107] = 'p';
    ck_assert_ptr_nonnull(hf__address_parse(text, &address));
}
END_TEST

static const struct {
    const char *text, *host, *port;
} good[] = {
    {"tcp:127.0.0.1:7677", "127.0.0.1", "7677"},
    {"tcp:localhost:1", "localhost", "1"},
    {"tcp:[::1]:65535", "::1", "65535"},
    {"tcp:[example.org]:80", "example.org", "80"},
};

START_TEST(tcp_host_and_port)
{
    ck_assert_ptr_null(hf__address_parse(good[_i].text, &address));
    ck_assert(address.tcp);
    ck_assert_str_eq(address.host, good[_i].host);
    ck_assert_str_eq(address.port, good[_i].port);
}
END_TEST

static const char *const bad[] = {
    "",
    "unix:",
    "/run/x.sock",
    "tcp:",
    "tcp:host",
    "tcp:host:",
    "tcp::7677",
    "tcp:h:0",
    "tcp:h:65536",
    "tcp:h:100000",
    "tcp:h:+1",
    "tcp:h:1x",
    "tcp:::1:7677",
    "tcp:[]:1",
    "udp:h:1",
    "TCP:h:1",
    "tcp:h:-1",
    "tcp:h:99999999999999999999",
};

START_TEST(what_is_no_address_is_refused)
{
    ck_assert_ptr_nonnull(hf__address_parse(bad[_i], &address));
}
END_TEST

/* ---- The default ---- */

static char chosen[256];

START_TEST(default_is_the_environment_first)
{
    setenv("HOLDFAST_ADDRESS", "tcp:h:1", 1);
    setenv("XDG_RUNTIME_DIR", "/tmp", 1);
    ck_assert_int_eq(hf_default_address(chosen, sizeof chosen), 0);
    ck_assert_str_eq(chosen, "tcp:h:1");
    ck_assert_int_eq(hf_default_address(chosen, 7), HF_ERR_ADDRESS);
}
END_TEST

START_TEST(default_is_the_users_socket_if_it_exists)
{
    char folder[] = "/tmp/hf-test-XXXXXX";
    char path[64], expected[80];
    unsetenv("HOLDFAST_ADDRESS");
    ck_assert_ptr_nonnull(mkdtemp(folder));
    setenv("XDG_RUNTIME_DIR", folder, 1);
    ck_assert_int_eq(hf_default_address(chosen, sizeof chosen), 0);
    ck_assert_str_eq(chosen, "unix:/run/holdfast/holdfast.sock");

    snprintf(path, sizeof path, "%s/holdfast", folder);
    ck_assert_int_eq(mkdir(path, 0700), 0);
    snprintf(path, sizeof path, "%s/holdfast/holdfast.sock", folder);
    snprintf(expected, sizeof expected, "unix:%s", path);
    int fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    ck_assert_int_ge(fd, 0);
    close(fd);
    ck_assert_int_eq(hf_default_address(chosen, sizeof chosen), 0);
    ck_assert_str_eq(chosen, expected);
    unlink(path);
    path[strlen(path) - strlen("/holdfast.sock")] = '\0';
    rmdir(path);
    rmdir(folder);
}
END_TEST

START_TEST(default_is_the_systems_socket_last)
{
    unsetenv("HOLDFAST_ADDRESS");
    unsetenv("XDG_RUNTIME_DIR");
    ck_assert_int_eq(hf_default_address(chosen, sizeof chosen), 0);
    ck_assert_str_eq(chosen, "unix:/run/holdfast/holdfast.sock");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("client address");
    TCase *parse = suite_case(suite, "parse", NULL, NULL);
    tcase_add_test(parse, unix_path);
    tcase_add_test(parse, unix_path_fits_or_is_refused);
    tcase_add_loop_test(parse, tcp_host_and_port, 0, (int)(sizeof good / sizeof good[0]));
    tcase_add_loop_test(parse, what_is_no_address_is_refused, 0, (int)(sizeof bad / sizeof bad[0]));
    TCase *standard = suite_case(suite, "default", NULL, NULL);
    tcase_add_test(standard, default_is_the_environment_first);
    tcase_add_test(standard, default_is_the_users_socket_if_it_exists);
    tcase_add_test(standard, default_is_the_systems_socket_last);
    return suite_run(suite);
}
