/* SPDX-License-Identifier: BSD-3-Clause */
/* daemon/system/reload.h: what a changed file does, in which order, and what the log says about it. */
#include "daemon/system/reload.h"
#include "tests/lib/config_file.h"
#include "tests/lib/suite.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static struct config_file file;
static struct command command;
static struct options now;
static struct log log_;
static int ends[2];
static char done[1024], logged[16 * 1024];
static const char *fails; /* the address that cannot be opened */

__attribute__((format(printf, 1, 2))) static void did(const char *format, ...)
{
    size_t used = strlen(done);
    va_list args;
    va_start(args, format);
    vsnprintf(done + used, sizeof done - used, format, args);
    va_end(args);
}

static int add(void *data, enum option_id id, const char *address, char *error, size_t error_size)
{
    ck_assert_ptr_eq(data, done);
    did(id == OPTION_STATS ? "+stats %s " : "+%s ", address);
    if (fails == NULL || strcmp(fails, address) != 0)
        return 0;
    snprintf(error, error_size, "%s: no such luck", address);
    return -1;
}

static void take_away(void *data, enum option_id id, const char *address)
{
    ck_assert_ptr_eq(data, done);
    did(id == OPTION_STATS ? "-stats %s " : "-%s ", address);
}

static void set_max_memory(void *data, uint64_t bytes)
{
    ck_assert_ptr_eq(data, done);
    did("memory=%" PRIu64 " ", bytes);
}

static void set_slowlog_us(void *data, uint64_t us)
{
    ck_assert_ptr_eq(data, done);
    did("slow=%" PRIu64 " ", us);
}

static void set_evacuate_percent(void *data, unsigned percent)
{
    ck_assert_ptr_eq(data, done);
    did("evacuate=%u ", percent);
}

static int set_save_dir(void *data, const char *folder, char *error, size_t error_size)
{
    ck_assert_ptr_eq(data, done);
    did("folder=%s ", folder == NULL ? "(none)" : folder);
    if (fails == NULL || folder == NULL || strcmp(fails, folder) != 0)
        return 0;
    snprintf(error, error_size, "%s: no such luck", folder);
    return -1;
}

static void set_save_every(void *data, uint64_t ms)
{
    ck_assert_ptr_eq(data, done);
    did("every=%" PRIu64 " ", ms);
}

static void set_save_keep(void *data, unsigned keep)
{
    ck_assert_ptr_eq(data, done);
    did("keep=%u ", keep);
}

static int check(enum option_id id, const char *address, char *error, size_t error_size)
{
    (void)id;
    snprintf(error, error_size, "%s: what is that?", address);
    return strncmp(address, "unix:", 5) == 0 ? 0 : -1;
}

static void on_complaint(void *data, const char *name, unsigned line, const char *text)
{
    (void)data;
    ck_abort_msg("%s:%u: %s", name, line, text);
}

static struct reload reload = {
    .command = &command,
    .check = check,
    .log = &log_,
    .actions = {.listen = add,
                .unlisten = take_away,
                .set_max_memory = set_max_memory,
                .set_slowlog_us = set_slowlog_us,
                .set_evacuate_percent = set_evacuate_percent,
                .set_save_dir = set_save_dir,
                .set_save_every = set_save_every,
                .set_save_keep = set_save_keep,
                .data = done},
};

static void setup(void)
{
    config_file_make(&file);
    setenv("XDG_RUNTIME_DIR", file.folder, 1);
    ck_assert_int_eq(pipe2(ends, O_NONBLOCK), 0);
    log_init(&log_, ends[1], LOG_LEVEL_INFO);
    command = (struct command){.file = file.path};
    reload.activated = false;
    fails = NULL;
}

static void teardown(void)
{
    options_free(&now);
    close(ends[0]);
    close(ends[1]);
    config_file_remove(&file);
}

static void start(const char *text)
{
    config_file_write(&file, text);
    ck_assert_uint_eq(options_load(&now, &command, check, on_complaint, NULL), 0);
}

static void again(void)
{
    done[0] = '\0';
    bool taken = reload_options(&now, &reload);
    ssize_t got = read(ends[0], logged, sizeof logged - 1);
    logged[got < 0 ? 0 : got] = '\0';
    ck_assert_msg(taken == (strstr(logged, "event=not_reloaded ") == NULL), "%d: %s", taken, logged);
}

static void change_to(const char *text)
{
    config_file_write(&file, text);
    again();
}

static void says(const char *words)
{
    ck_assert_msg(strstr(logged, words) != NULL, "%s in %s", words, logged);
}

static void says_nothing_of(const char *words)
{
    ck_assert_msg(strstr(logged, words) == NULL, "%s in %s", words, logged);
}

START_TEST(nothing_has_changed)
{
    start("[daemon]\nlisten = unix:/a\n");
    change_to("# other words\n[daemon]\nlisten = unix:/a\n");
    ck_assert_str_eq(done, "");
    says("level=info event=reloaded file=");
    says_nothing_of("changed");
}
END_TEST

START_TEST(what_can_change_does)
{
    start("[daemon]\nlisten = unix:/a\nlisten = unix:/b\n[limits]\nmax-memory = 1g\n");
    change_to("[daemon]\nlisten = unix:/c\nlisten = unix:/b\n[limits]\nmax-memory = 64m\nevacuate-percent = "
              "0\n[log]\nlog-level = debug\nslowlog-us = 5\n");
    ck_assert_str_eq(done, "-unix:/a +unix:/c memory=67108864 evacuate=0 slow=5 ");
    ck_assert_int_eq((int)log_.level, LOG_LEVEL_DEBUG);
    says("event=unlistened address=unix:/a ");
    says("event=changed option=max-memory from=\"1g (1073741824)\" to=\"64m (67108864)\"");
    says("event=changed option=evacuate-percent from=\"60\" to=\"0\"");
    says("event=changed option=log-level from=\"info\" to=\"debug\"");
    again();
    ck_assert_str_eq(done, "");
}
END_TEST

START_TEST(saves_go_elsewhere_and_come_more_often)
{
    start("[daemon]\nlisten = unix:/a\n");
    change_to("[daemon]\nlisten = unix:/a\n[save]\nsave-dir = /x\nsave-every = 90s\nsave-keep = 3\n");
    ck_assert_str_eq(done, "folder=/x every=90000 keep=3 ");
    says("event=changed option=save-dir from=\"none\" to=\"/x\"");
    says("event=changed option=save-every from=\"never\" to=\"90s\"");
    says("event=changed option=save-keep from=\"7\" to=\"3\"");
    again();
    ck_assert_str_eq(done, "");
    change_to("[daemon]\nlisten = unix:/a\n");
    ck_assert_str_eq(done, "folder=(none) every=0 keep=7 ");
}
END_TEST

START_TEST(a_folder_that_cannot_be_used_is_said_and_the_old_one_stays)
{
    start("[daemon]\nlisten = unix:/a\n[save]\nsave-dir = /x\n");
    fails = "/y";
    for (unsigned i = 0; i < 2; i++) { /* each time, and each time it is tried */
        change_to("[daemon]\nlisten = unix:/a\n[save]\nsave-dir = /y\nsave-keep = 3\n");
        ck_assert_str_eq(done, i == 0 ? "folder=/y keep=3 " : "folder=/y ");
        says("level=error event=not_changed option=save-dir from=\"/x\" to=\"/y\" msg=\"/y: no such luck; "
             "mend it");
        says_nothing_of("event=changed option=save-dir");
        ck_assert_str_eq(now.save_dir, "/x");
    }
    fails = NULL;
    again();
    ck_assert_str_eq(done, "folder=/y ");
    ck_assert_str_eq(now.save_dir, "/y");
}
END_TEST

START_TEST(stats_come_and_go)
{
    start("[daemon]\nlisten = unix:/a\nstats = unix:/x\n");
    change_to("[daemon]\nlisten = unix:/a\nstats = unix:/y\nstats = unix:/z\n");
    ck_assert_str_eq(done, "-stats unix:/x +stats unix:/y +stats unix:/z ");
    fails = "unix:/v";
    change_to("[daemon]\nlisten = unix:/a\nstats = unix:/v\n");
    ck_assert_str_eq(done, "-stats unix:/y -stats unix:/z +stats unix:/v ");
    says("event=not_listening address=unix:/v ");
    fails = NULL;
    again();
    ck_assert_str_eq(done, "+stats unix:/v ");
}
END_TEST

START_TEST(what_cannot_change_says_so_and_stays)
{
    start("[daemon]\nlisten = unix:/a\nworkers = 3\n");
    for (unsigned i = 0; i < 2; i++) { /* each time: it is still not in force */
        change_to("[daemon]\nlisten = unix:/a\nworkers = 5\n[limits]\nmax-memory = 64m\n");
        says("level=warn event=not_changed option=workers from=\"3\" to=\"5\" msg=\"restart to change it\"");
        ck_assert_uint_eq(now.workers, 3);
    }
    ck_assert_uint_eq(now.max_memory, 64 << 20);
    change_to("[daemon]\nlisten = unix:/a\nworkers = 3\n[limits]\nmax-memory = 64m\n");
    says_nothing_of("changed");
}
END_TEST

START_TEST(a_quieter_log_says_so_before_and_a_louder_one_afterwards)
{
    start("[daemon]\nlisten = unix:/a\n[log]\nlog-level = info\n");
    change_to("[daemon]\nlisten = unix:/a\n[log]\nlog-level = error\n");
    says("option=log-level from=\"info\" to=\"error\"");
    ck_assert_int_eq((int)log_.level, LOG_LEVEL_ERROR);
    change_to("[daemon]\nlisten = unix:/a\n");
    says("option=log-level from=\"error\" to=\"info\"");
}
END_TEST

START_TEST(a_broken_file_changes_nothing)
{
    start("[daemon]\nlisten = unix:/a\nworkers = 3\n");
    change_to("[daemon]\nlisten = unix:/b\nworker = 3\n[limits]\nmax-memory = x\n");
    ck_assert_str_eq(done, "");
    says("level=error event=config file=");
    says("line=3 msg=\"unknown key 'worker'; did you mean 'workers'");
    says("line=5 msg=\"max-memory 'x'; give at least 16m");
    says("level=error event=not_reloaded ");
    says_nothing_of("event=reloaded");
    ck_assert_str_eq(now.listen[0].text, "unix:/a");
    unlink(file.path);
    again();
    ck_assert_str_eq(done, "");
    says("line=0 msg=\"cannot be opened: No such file or directory\"");
    change_to("[daemon]\nlisten = unix:/b\nworkers = 3\n");
    ck_assert_str_eq(done, "-unix:/a +unix:/b ");
}
END_TEST

START_TEST(an_address_that_fails_is_tried_again)
{
    start("[daemon]\nlisten = unix:/a\n");
    fails = "unix:/b";
    change_to("[daemon]\nlisten = unix:/a\nlisten = unix:/b\nlisten = unix:/c\n");
    ck_assert_str_eq(done, "+unix:/b +unix:/c ");
    says("level=error event=not_listening address=unix:/b msg=\"unix:/b: no such luck; ");
    again();
    ck_assert_str_eq(done, "+unix:/b ");
    fails = NULL;
    again();
    ck_assert_str_eq(done, "+unix:/b ");
    again();
    ck_assert_str_eq(done, "");
    change_to("[daemon]\nlisten = unix:/a\n");
    ck_assert_str_eq(done, "-unix:/b -unix:/c ");
}
END_TEST

START_TEST(the_default_address_gets_its_folder)
{
    char folder[64], expected[128];
    struct stat stat_of;
    snprintf(folder, sizeof folder, "%s/holdfast", file.folder);
    start("[daemon]\nlisten = unix:/a\n");
    ck_assert_int_ne(stat(folder, &stat_of), 0);
    change_to("");
    snprintf(expected, sizeof expected, "-unix:/a +unix:%s/holdfast.sock ", folder);
    ck_assert_str_eq(done, expected);
    ck_assert_int_eq(stat(folder, &stat_of), 0);
    ck_assert_int_eq(rmdir(folder), 0);
}
END_TEST

START_TEST(a_folder_that_cannot_be_made_is_logged)
{
    start("[daemon]\nlisten = unix:/a\n");
    setenv("XDG_RUNTIME_DIR", "/proc/none", 1);
    change_to("");
    ck_assert_str_eq(done, "-unix:/a ");
    says("event=not_listening address=unix:/proc/none/holdfast/holdfast.sock msg=\"cannot make "
         "/proc/none/holdfast: ");
}
END_TEST

START_TEST(sockets_that_were_handed_over_stand_for_the_default)
{
    reload.activated = true;
    start("");
    options_drop_default_listen(&now);
    again();
    ck_assert_str_eq(done, "");
    change_to("[daemon]\nlisten = unix:/a\n");
    ck_assert_str_eq(done, "+unix:/a ");
    change_to("");
    ck_assert_str_eq(done, "-unix:/a ");
}
END_TEST

START_TEST(without_a_file_there_is_nothing_to_reload)
{
    start("[daemon]\nlisten = unix:/a\n");
    command.file = NULL;
    again();
    ck_assert_str_eq(done, "");
    says("event=not_reloaded msg=\"there is no file to read again; start with --config\"");
    ck_assert_str_eq(now.listen[0].text, "unix:/a");
}
END_TEST

START_TEST(a_pipe_is_not_read_again)
{
    start("[daemon]\nlisten = unix:/a\n");
    unlink(file.path);
    ck_assert_int_eq(mkfifo(file.path, 0600), 0);
    again(); /* does not wait for a writer */
    ck_assert_str_eq(done, "");
    says("event=not_reloaded msg=\"what --config names is no file that can be read again\"");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("reload");
    TCase *tcase = suite_case(suite, "reload", setup, teardown);
    tcase_add_test(tcase, nothing_has_changed);
    tcase_add_test(tcase, what_can_change_does);
    tcase_add_test(tcase, saves_go_elsewhere_and_come_more_often);
    tcase_add_test(tcase, a_folder_that_cannot_be_used_is_said_and_the_old_one_stays);
    tcase_add_test(tcase, stats_come_and_go);
    tcase_add_test(tcase, what_cannot_change_says_so_and_stays);
    tcase_add_test(tcase, a_quieter_log_says_so_before_and_a_louder_one_afterwards);
    tcase_add_test(tcase, a_broken_file_changes_nothing);
    tcase_add_test(tcase, an_address_that_fails_is_tried_again);
    tcase_add_test(tcase, the_default_address_gets_its_folder);
    tcase_add_test(tcase, a_folder_that_cannot_be_made_is_logged);
    tcase_add_test(tcase, sockets_that_were_handed_over_stand_for_the_default);
    tcase_add_test(tcase, without_a_file_there_is_nothing_to_reload);
    tcase_add_test(tcase, a_pipe_is_not_read_again);
    return suite_run(suite);
}
