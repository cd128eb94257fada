#include "host/own-stamp.h"

#include <glib.h>
#include <sys/inotify.h>

static const int64_t second = 1000000000;

static struct stat a_file(void) {
    return (struct stat){ .st_mode = S_IFREG | 0644,
                          .st_ino = 7,
                          .st_dev = 1,
                          .st_size = 10,
                          .st_mtim.tv_sec = 100,
                          .st_ctim.tv_sec = 100 };
}

static OwnStamp written(const struct stat *after) {
    OwnStamp stamp = { 0 };
    own_stamp_begin(&stamp, 5);
    own_stamp_end(&stamp, IN_MOVED_TO, after, 5);
    return stamp;
}

static void test_own_event_is_dropped(void) {
    struct stat file = a_file();
    OwnStamp stamp = written(&file);
    g_assert_cmpint(own_stamp_judge(&stamp, IN_MOVED_TO, &file, 100 * second), ==, JUDGE_DROP);
    OwnStamp removed = { 0 };
    own_stamp_begin(&removed, 5);
    own_stamp_end(&removed, IN_DELETE, NULL, 5);
    g_assert_cmpint(own_stamp_judge(&removed, IN_DELETE, NULL, 0), ==, JUDGE_DROP);
}

static void test_foreign_event_is_delivered(void) {
    struct stat file = a_file();
    OwnStamp stamp = written(&file), nothing = { 0 };
    g_assert_cmpint(own_stamp_judge(&nothing, IN_MOVED_TO, &file, 0), ==, JUDGE_DELIVER);
    const uint32_t foreign[] = { IN_MODIFY, IN_CLOSE_WRITE, IN_ATTRIB, IN_DELETE, IN_CREATE };
    for (size_t i = 0; i < G_N_ELEMENTS(foreign); i++)
        g_assert_cmpint(own_stamp_judge(&stamp, foreign[i] | IN_MOVED_TO, &file, 0), ==,
                        JUDGE_DELIVER);
    g_assert_cmpint(own_stamp_judge(&stamp, IN_MOVED_TO, NULL, 0), ==, JUDGE_DELIVER);
    struct stat others[8];
    for (size_t i = 0; i < G_N_ELEMENTS(others); i++)
        others[i] = file;
    others[0].st_ino++;
    others[1].st_dev++;
    others[2].st_size++;
    others[3].st_mode ^= 1;
    others[4].st_uid++;
    others[5].st_gid++;
    others[6].st_mtim.tv_nsec++;
    others[7].st_ctim.tv_nsec++;
    for (size_t i = 0; i < G_N_ELEMENTS(others); i++)
        g_assert_cmpint(own_stamp_judge(&stamp, IN_MOVED_TO, &others[i], 0), ==, JUDGE_DELIVER);
    own_stamp_begin(&stamp, 5);
    own_stamp_abandon(&stamp, 5);
    g_assert_cmpint(own_stamp_judge(&stamp, IN_MOVED_TO, &file, 0), ==, JUDGE_DELIVER);
}

static void test_times_of_directories_do_not_count(void) {
    struct stat directory = a_file();
    directory.st_mode = S_IFDIR | 0755;
    OwnStamp stamp = { 0 };
    own_stamp_begin(&stamp, 5);
    own_stamp_end(&stamp, IN_CREATE | IN_ATTRIB, &directory, 5);
    directory.st_mtim.tv_nsec++;
    directory.st_ctim.tv_nsec++;
    directory.st_size++;
    g_assert_cmpint(own_stamp_judge(&stamp, IN_CREATE, &directory, 0), ==, JUDGE_DROP);
    directory.st_mode = S_IFDIR | 0700;
    g_assert_cmpint(own_stamp_judge(&stamp, IN_CREATE, &directory, 0), ==, JUDGE_DELIVER);
}

static void test_deferred_until_the_end(void) {
    struct stat file = a_file();
    OwnStamp stamp = { 0 };
    own_stamp_begin(&stamp, 5);
    g_assert_cmpint(own_stamp_judge(&stamp, IN_MOVED_TO, &file, 0), ==, JUDGE_DEFER);
    own_stamp_begin(&stamp, 5); /* a second write of the same owner */
    own_stamp_end(&stamp, IN_MOVED_TO, &file, 5);
    g_assert_cmpint(own_stamp_judge(&stamp, IN_ATTRIB, &file, 0), ==, JUDGE_DEFER);
    own_stamp_end(&stamp, IN_ATTRIB, &file, 5);
    g_assert_cmphex(stamp.deferred, ==, IN_MOVED_TO | IN_ATTRIB);
    g_assert_cmpint(own_stamp_judge(&stamp, stamp.deferred, &file, 0), ==, JUDGE_DROP);
}

/* What the last write causes must not hide what it does not. */
static void test_expectations_end_with_the_turn(void) {
    struct stat file = a_file();
    OwnStamp stamp = written(&file);
    own_stamp_begin(&stamp, 5); /* the events of the first may still be in the queue */
    own_stamp_end(&stamp, IN_ATTRIB, &file, 5);
    g_assert_cmpint(own_stamp_judge(&stamp, IN_MOVED_TO | IN_ATTRIB, &file, 0), ==, JUDGE_DROP);
    own_stamp_begin(&stamp, 6); /* now they were read */
    own_stamp_end(&stamp, IN_ATTRIB, &file, 6);
    g_assert_cmpint(own_stamp_judge(&stamp, IN_ATTRIB, &file, 0), ==, JUDGE_DROP);
    g_assert_cmpint(own_stamp_judge(&stamp, IN_MOVED_TO, &file, 0), ==, JUDGE_DELIVER);
    g_assert_false(own_stamp_is_old(&stamp, 6));
    g_assert_true(own_stamp_is_old(&stamp, 7));
}

static void test_rearmed(void) {
    struct stat file = a_file();
    OwnStamp stamp = written(&file);
    int64_t soon = 100 * second + OWN_STAMP_RACY_NS - 1;
    g_assert_cmpint(own_stamp_judge(&stamp, OWN_STAMP_REARMED, &file, soon), ==, JUDGE_DELIVER);
    g_assert_cmpint(own_stamp_judge(&stamp, OWN_STAMP_REARMED, &file, soon + 1), ==, JUDGE_DROP);
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/own-stamp/own-event-is-dropped", test_own_event_is_dropped);
    g_test_add_func("/own-stamp/foreign-event-is-delivered", test_foreign_event_is_delivered);
    g_test_add_func("/own-stamp/times-of-directories", test_times_of_directories_do_not_count);
    g_test_add_func("/own-stamp/deferred-until-the-end", test_deferred_until_the_end);
    g_test_add_func("/own-stamp/expectations-end", test_expectations_end_with_the_turn);
    g_test_add_func("/own-stamp/rearmed", test_rearmed);
    return g_test_run();
}
