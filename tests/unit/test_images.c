/* SPDX-License-Identifier: BSD-3-Clause */
/* daemon/pool/images.h: the folder's lock, what each death in the middle of making or dropping a pool leaves and how it
 * is told from somebody's data, and files that are not what they seem. */
#include "daemon/pool/images.h"
#include "daemon/pool/pool.h"
#include "tests/lib/suite.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char folder[64], error[IMAGES_ERROR_MAX];
static struct images images;

static void setup(void)
{
    bool made;
    strcpy(folder, "/tmp/hf-images-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(folder));
    ck_assert_int_eq(images_open(&images, folder, "tester", &made, error, sizeof error), IMAGES_FINE);
    ck_assert(!made);
}

/* ---- files ---- */

static const char *path_of(const char *file)
{
    static char path[400];
    snprintf(path, sizeof path, "%s/%s", folder, file);
    return path;
}

static bool exists(const char *file)
{
    struct stat st;
    return lstat(path_of(file), &st) == 0;
}

static void touch(const char *file)
{
    int fd = open(path_of(file), O_WRONLY | O_CREAT, 0600);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(write(fd, file, strlen(file)), (ssize_t)strlen(file));
    close(fd);
}

static void drop(const char *file)
{
    ck_assert_int_eq(unlink(path_of(file)), 0);
}

static void rename_to(const char *from, const char *to)
{
    char old[400];
    strcpy(old, path_of(from));
    ck_assert_int_eq(rename(old, path_of(to)), 0);
}

static void empty_folder(void)
{
    DIR *dir = opendir(folder);
    ck_assert_ptr_nonnull(dir);
    for (const struct dirent *entry; (entry = readdir(dir)) != NULL;)
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            (void)(unlink(path_of(entry->d_name)) == 0 || rmdir(path_of(entry->d_name)) == 0);
    closedir(dir);
}

static void teardown(void)
{
    images_close(&images);
    empty_folder();
    ck_assert_int_eq(rmdir(folder), 0);
}

static void says(const char *text)
{
    ck_assert_msg(strstr(error, text) != NULL, "\"%s\" does not say \"%s\"", error, text);
}

/* ---- the folder and its lock ---- */

static void read_lock(char text[100])
{
    int fd = open(path_of(IMAGES_LOCK), O_RDONLY);
    ssize_t n = read(fd, text, 99);
    ck_assert_int_ge(n, 0);
    text[n] = '\0';
    close(fd);
}

START_TEST(the_lock_tells_who_has_it)
{
    struct images second;
    char text[100], expected[100];
    bool made;
    snprintf(expected, sizeof expected, "tester %ld\n", (long)getpid());
    for (unsigned k = 0; k < 2; k++) { /* the first refusal leaves the text as it was */
        ck_assert_int_eq(images_open(&second, folder, "other", &made, error, sizeof error), IMAGES_BUSY);
        snprintf(text, sizeof text, "in use by tester (pid %ld)", (long)getpid());
        says(folder), says(text), says("--heap");
        read_lock(text);
        ck_assert_str_eq(text, expected);
    }
    ck_assert_int_eq(images_look(&second, folder, error, sizeof error), IMAGES_BUSY);
    says(folder), says("tester (pid "), says("holdfast --pool NAME verify");
    read_lock(text);
    ck_assert_str_eq(text, expected);
}
END_TEST

START_TEST(a_lock_file_that_nobody_holds_is_no_obstacle)
{
    char text[100];
    bool made;
    images_close(&images);
    int fd = open(path_of(IMAGES_LOCK), O_WRONLY | O_TRUNC);
    ck_assert_int_eq(write(fd, "somebody-with-a-long-name 1234567890\n", 37), 37);
    close(fd);
    ck_assert_int_eq(images_open(&images, folder, "me", &made, error, sizeof error), IMAGES_FINE);
    snprintf(error, sizeof error, "me %ld\n", (long)getpid());
    read_lock(text);
    ck_assert_str_eq(text, error);
}
END_TEST

START_TEST(a_lock_without_a_readable_text_is_one_all_the_same)
{
    static const char *const texts[] = {"", "x", "\n\n", "no number\n"};
    struct images second;
    bool made;
    for (size_t k = 0; k < sizeof texts / sizeof texts[0]; k++) {
        ck_assert_int_eq(ftruncate(images.lock, 0), 0);
        ck_assert_int_eq(pwrite(images.lock, texts[k], strlen(texts[k]), 0), (ssize_t)strlen(texts[k]));
        ck_assert_int_eq(images_open(&second, folder, "other", &made, error, sizeof error), IMAGES_BUSY);
        says("in use by another process");
    }
}
END_TEST

START_TEST(who_looks_keeps_daemons_out_and_is_told_apart)
{
    struct images look, second;
    bool made;
    images_close(&images);
    ck_assert_int_eq(images_look(&look, folder, error, sizeof error), IMAGES_FINE);
    ck_assert_int_eq(images_look(&second, folder, error, sizeof error), IMAGES_FINE);
    ck_assert_int_eq(images_open(&images, folder, "other", &made, error, sizeof error), IMAGES_BUSY);
    says("is being verified");
    images_close(&look);
    images_close(&second);
    ck_assert_int_eq(images_open(&images, folder, "other", &made, error, sizeof error), IMAGES_FINE);
}
END_TEST

START_TEST(looking_makes_nothing)
{
    struct images look;
    images_close(&images);
    drop(IMAGES_LOCK);
    ck_assert_int_eq(images_look(&look, folder, error, sizeof error), IMAGES_FINE);
    ck_assert_int_eq(look.lock, -1);
    ck_assert(!exists(IMAGES_LOCK));
    images_close(&look);
    ck_assert_int_eq(images_look(&look, path_of("none"), error, sizeof error), IMAGES_FAILED);
    says("none: No such file or directory");
    ck_assert(!exists("none"));
}
END_TEST

START_TEST(a_missing_folder_is_made_but_not_those_above)
{
    struct images second;
    struct stat st;
    bool made = false;
    char path[100];
    snprintf(path, sizeof path, "%s/new", folder);
    ck_assert_int_eq(images_open(&second, path, "tester", &made, error, sizeof error), IMAGES_FINE);
    ck_assert(made);
    ck_assert_int_eq(stat(path, &st), 0);
    ck_assert_int_eq(st.st_mode & 07777, 0700);
    images_close(&second);
    ck_assert_int_eq(unlink(path_of("new/" IMAGES_LOCK)), 0);
    snprintf(path, sizeof path, "%s/a/b", folder);
    ck_assert_int_eq(images_open(&second, path, "tester", &made, error, sizeof error), IMAGES_FAILED);
    says("a/b: No such file or directory");
    touch("file");
    ck_assert_int_eq(images_open(&second, path_of("file"), "tester", &made, error, sizeof error),
                     IMAGES_FAILED);
    says("Not a directory");
}
END_TEST

/* ---- making and dropping ---- */

static void make_pool(const char *name)
{
    struct pool_config config = {
        .name = name, .max_bytes = 16u << 20, .epoch = 7, .serial_base = 1, .create = true};
    struct pool *pool;
    ck_assert_msg(images_create(&images, name, &config.fd_meta, &config.fd_values, error, sizeof error) == 0,
                  "%s", error);
    ck_assert_msg(pool_open(&pool, &config, error, sizeof error) == 0, "%s", error);
    ck_assert_msg(images_publish(&images, name, error, sizeof error) == IMAGES_FINE, "%s", error);
    pool_close(pool);
}

static struct image_list list;

static const struct image *listed(const char *name)
{
    image_list_done(&list);
    ck_assert_int_eq(images_list(&images, &list, error, sizeof error), IMAGES_FINE);
    for (size_t k = 0; k < list.count; k++)
        if (strcmp(list.images[k].name, name) == 0)
            return &list.images[k];
    return NULL;
}

START_TEST(a_pool_is_made_found_opened_and_dropped)
{
    struct stat st;
    int fd_meta, fd_values, other_meta, other_values;
    bool left;
    make_pool("a");
    ck_assert_int_eq(image_state(listed("a")), IMAGE_WHOLE);
    ck_assert(!image_has_leftovers(listed("a")));
    ck_assert_uint_eq(list.count, 1);
    ck_assert_int_eq(stat(path_of("a.meta"), &st), 0);
    ck_assert_int_eq(st.st_mode & 07777, 0600);
    ck_assert_int_eq(stat(path_of("a.values"), &st), 0);
    ck_assert_int_eq(st.st_mode & 07777, 0600);
    ck_assert_int_eq(images_files(&images, "a", &fd_meta, &fd_values, error, sizeof error), IMAGES_FINE);
    ck_assert_int_eq(images_files(&images, "a", &other_meta, &other_values, error, sizeof error),
                     IMAGES_BUSY);
    says("a.meta is in use by another process");
    ck_assert_int_eq(images_remove(&images, "a", &left, error, sizeof error), IMAGES_FINE);
    ck_assert(!left);
    ck_assert_ptr_null(listed("a"));
    make_pool("a"); /* the name is free, whoever has the old files open */
    close(fd_meta);
    close(fd_values);
    ck_assert_int_eq(images_remove(&images, "b", &left, error, sizeof error), IMAGES_FAILED);
    says("b.meta: cannot remove it: No such file");
}
END_TEST

START_TEST(the_list_begins_with_default)
{
    make_pool("zebra");
    make_pool("default");
    make_pool("default.meta");
    make_pool("a");
    touch("README");
    touch("lost.metas");
    touch(".hidden.meta");
    ck_assert_ptr_nonnull(listed("a"));
    ck_assert_str_eq(list.odd, "");
    ck_assert_uint_eq(list.count, 4);
    static const char *const order[] = {"default", "a", "default.meta", "zebra"};
    for (size_t k = 0; k < 4; k++) {
        ck_assert_str_eq(list.images[k].name, order[k]);
        ck_assert_int_eq(image_state(&list.images[k]), IMAGE_WHOLE);
    }
    touch("Upper.meta");
    ck_assert_ptr_nonnull(listed("a"));
    ck_assert_str_eq(list.odd, "Upper.meta");
    ck_assert_uint_eq(list.count, 4);
}
END_TEST

START_TEST(a_file_in_the_way_is_kept)
{
    int fd_meta, fd_values;
    touch("a.values");
    ck_assert_int_eq(images_create(&images, "a", &fd_meta, &fd_values, error, sizeof error), IMAGES_DOUBTFUL);
    says("move a.* away");
    ck_assert(!exists(".a.values.new") && !exists(".a.meta.new"));
    drop("a.values");
    ck_assert_int_eq(images_create(&images, "a", &fd_meta, &fd_values, error, sizeof error), IMAGES_FINE);
    touch("a.values");
    ck_assert_int_eq(images_publish(&images, "a", error, sizeof error), IMAGES_FAILED);
    says("a.values: cannot give the new file this name: File exists");
    images_discard(&images, "a");
    ck_assert(exists("a.values") && !exists(".a.values.new") && !exists(".a.meta.new") && !exists("a.meta"));
    drop("a.values");
    close(fd_meta);
    close(fd_values);
    ck_assert_int_eq(images_create(&images, "a", &fd_meta, &fd_values, error, sizeof error), IMAGES_FINE);
    touch("a.meta");
    ck_assert_int_eq(images_publish(&images, "a", error, sizeof error), IMAGES_FAILED);
    images_discard(&images, "a");
    ck_assert(exists("a.meta") && !exists("a.values") && !exists(".a.values.new") && !exists(".a.meta.new"));
    close(fd_meta);
    close(fd_values);
}
END_TEST

START_TEST(leftovers_of_a_failed_attempt_do_not_matter)
{
    touch(".a.values.new");
    touch(".a.meta.new");
    touch(".a.meta.old");
    make_pool("a");
    ck_assert_int_eq(image_state(listed("a")), IMAGE_WHOLE);
    bool left;
    ck_assert_int_eq(images_remove(&images, "a", &left, error, sizeof error), IMAGES_FINE);
    ck_assert_ptr_null(listed("a"));
}
END_TEST

/* ---- deaths in between ---- */

/* What the system calls of images_create() and images_publish(), and of images_remove(), do one after the other. */
static void make_step(unsigned step)
{
    switch (step) {
    case 0: touch(".a.values.new"); break;
    case 1: touch(".a.meta.new"); break;
    case 2: rename_to(".a.values.new", "a.values"); break;
    case 3: rename_to(".a.meta.new", "a.meta"); break;
    case 4: rename_to("a.meta", ".a.meta.old"); break;
    case 5: drop("a.values"); break;
    case 6: drop(".a.meta.old"); break;
    default: ck_abort();
    }
}
#define MADE    4u /* steps; then it exists */
#define DROPPED 7u /* after step 5 it does not */

static void die_later(void *data, const char *file)
{
    unsigned *left = data;
    (void)file;
    if ((*left)-- == 0)
        _exit(0);
}

/* A start that removes leftovers and dies after so many of them; false: there were not so many. */
static bool start_and_die(unsigned files)
{
    int status;
    fflush(NULL);
    pid_t pid = fork();
    ck_assert_int_ge(pid, 0);
    if (pid == 0) {
        const struct image *image = listed("a");
        if (image != NULL && image_state(image) != IMAGE_NO_META && image_state(image) != IMAGE_NO_VALUES)
            (void)images_clear(&images, image, die_later, &files, error, sizeof error);
        _exit(1);
    }
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static void start(bool exists_then)
{
    const struct image *image = listed("a");
    if (image == NULL) {
        ck_assert(!exists_then);
        return;
    }
    ck_assert_int_eq(image_state(image), exists_then ? IMAGE_WHOLE : IMAGE_LEFTOVER);
    ck_assert_int_eq(images_clear(&images, image, NULL, NULL, error, sizeof error), IMAGES_FINE);
    image = listed("a");
    ck_assert(exists_then ? image_state(image) == IMAGE_WHOLE && !image_has_leftovers(image) : image == NULL);
}

START_TEST(a_death_between_any_two_steps_leaves_a_pool_or_none)
{
    unsigned died = 0;
    for (unsigned steps = 0; steps <= DROPPED; steps++) {
        for (unsigned files = 0; files < 4; files++) {
            for (unsigned step = 0; step < steps; step++)
                make_step(step);
            bool exists_then = steps == MADE;
            died += start_and_die(files);
            start(exists_then);
            if (exists_then) {
                drop("a.meta");
                drop("a.values");
            }
            ck_assert_ptr_null(listed("a"));
        }
    }
    ck_assert_uint_gt(died, 6);
}
END_TEST

/* Whatever stands there: nothing that could be somebody's is ever removed. */
START_TEST(no_set_of_files_loses_what_is_not_explained)
{
    static const char *const files[] = {"a.meta", "a.values", ".a.meta.new", ".a.values.new", ".a.meta.old"};
    enum { META = 1, VALUES = 2, META_NEW = 4, VALUES_NEW = 8, META_OLD = 16 };
    unsigned refused = 0;
    for (unsigned set = 1; set < 32; set++) {
        for (unsigned k = 0; k < 5; k++)
            if ((set >> k & 1) != 0)
                touch(files[k]);
        const struct image *image = listed("a");
        enum image_state state = image_state(image);
        bool pair = (set & (META | VALUES)) == (META | VALUES), lone_meta = (set & (META | VALUES)) == META,
             lone_values = (set & (META | VALUES)) == VALUES,
             explained = (set & META_OLD) != 0 || (set & (META_NEW | VALUES_NEW)) == META_NEW;
        ck_assert_int_eq(state, pair                        ? IMAGE_WHOLE
                                : lone_meta                 ? IMAGE_NO_VALUES
                                : lone_values && !explained ? IMAGE_NO_META
                                                            : IMAGE_LEFTOVER);
        if (state == IMAGE_NO_META || state == IMAGE_NO_VALUES) {
            image_explain(&images, image, error, sizeof error);
            says(state == IMAGE_NO_META ? "a.meta is missing" : "a.values is missing");
            says(state == IMAGE_NO_META ? "move a.values away" : "move a.meta away");
            refused++;
        } else {
            ck_assert_int_eq(images_clear(&images, image, NULL, NULL, error, sizeof error), IMAGES_FINE);
            ck_assert(exists("a.meta") == pair && exists("a.values") == pair);
            ck_assert(!exists(".a.meta.new") && !exists(".a.values.new") && !exists(".a.meta.old"));
        }
        for (unsigned k = 0; k < 5; k++)
            (void)unlink(path_of(files[k]));
    }
    ck_assert_uint_eq(refused, 8 + 3);
}
END_TEST

/* ---- files that are not what they seem ---- */

static void refused(const char *name, enum images_result expected, const char *text)
{
    int fd_meta, fd_values;
    ck_assert_int_eq(images_files(&images, name, &fd_meta, &fd_values, error, sizeof error), expected);
    says(text);
}

START_TEST(what_is_no_plain_file_is_refused)
{
    make_pool("a");
    ck_assert_int_eq(symlink("a.meta", path_of("b.meta")), 0);
    touch("b.values");
    refused("b", IMAGES_FAILED, "b.meta: cannot open it");
    ck_assert_int_eq(mkfifo(path_of("c.meta"), 0600), 0);
    touch("c.values");
    refused("c", IMAGES_DOUBTFUL, "c.meta is no plain file");
    touch("d.meta");
    ck_assert_int_eq(mkfifo(path_of("d.values"), 0600), 0);
    refused("d", IMAGES_DOUBTFUL, "d.values is no plain file");
    refused("e", IMAGES_FAILED, "e.meta: cannot open it: No such file");
}
END_TEST

/* Only root can give a file away, so only root sees more of this than that its own files are no one else's. */
START_TEST(files_of_another_user_are_refused_but_looked_at)
{
    int fd_meta, fd_values;
    make_pool("a");
    if (geteuid() == 0) {
        ck_assert_int_eq(chown(path_of("a.values"), 65534, 65534), 0);
        refused("a", IMAGES_DOUBTFUL, "a.values belongs to user 65534");
    }
    images_close(&images);
    ck_assert_int_eq(images_look(&images, folder, error, sizeof error), IMAGES_FINE);
    ck_assert_int_eq(images_files(&images, "a", &fd_meta, &fd_values, error, sizeof error), IMAGES_FINE);
    ck_assert_int_eq(write(fd_meta, "x", 1), -1);
    ck_assert_int_eq(write(fd_values, "x", 1), -1);
    close(fd_meta);
    close(fd_values);
}
END_TEST

START_TEST(an_image_under_another_name_is_refused)
{
    int fd_meta, fd_values;
    make_pool("a");
    rename_to("a.meta", "b.meta");
    rename_to("a.values", "b.values");
    refused("b", IMAGES_DOUBTFUL, "b.meta is the image of pool a");
    int fd = open(path_of("b.meta"), O_WRONLY);
    ck_assert_int_eq(pwrite(fd, "x", 1, 40), 1); /* whatever it says of itself then is not to be trusted */
    close(fd);
    ck_assert_int_eq(images_files(&images, "b", &fd_meta, &fd_values, error, sizeof error), IMAGES_FINE);
    close(fd_meta);
    close(fd_values);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("images");
    TCase *tc = suite_case(suite, "images", setup, teardown);
    tcase_add_test(tc, the_lock_tells_who_has_it);
    tcase_add_test(tc, a_lock_file_that_nobody_holds_is_no_obstacle);
    tcase_add_test(tc, a_lock_without_a_readable_text_is_one_all_the_same);
    tcase_add_test(tc, who_looks_keeps_daemons_out_and_is_told_apart);
    tcase_add_test(tc, looking_makes_nothing);
    tcase_add_test(tc, a_missing_folder_is_made_but_not_those_above);
    tcase_add_test(tc, a_pool_is_made_found_opened_and_dropped);
    tcase_add_test(tc, the_list_begins_with_default);
    tcase_add_test(tc, a_file_in_the_way_is_kept);
    tcase_add_test(tc, leftovers_of_a_failed_attempt_do_not_matter);
    tcase_add_test(tc, a_death_between_any_two_steps_leaves_a_pool_or_none);
    tcase_add_test(tc, no_set_of_files_loses_what_is_not_explained);
    tcase_add_test(tc, what_is_no_plain_file_is_refused);
    tcase_add_test(tc, files_of_another_user_are_refused_but_looked_at);
    tcase_add_test(tc, an_image_under_another_name_is_refused);
    return suite_run(suite);
}
