/* Files that are made beside their names: what stood there stays until the new one is good, nothing
 * but regular files is ever replaced, and nothing is removed that was not made here. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "trace/file_lock.h"
#include "trace/new_file.h"

static char dir[] = "/tmp/tdbg-new-file-XXXXXX", path[64], made[80];
static struct tdbg_arena *arena;

static void write_text(const char *name, const char *text)
{
    FILE *f = fopen(name, "wb");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static void expect_text(const char *name, const char *text)
{
    char have[64] = "";
    FILE *f = fopen(name, "rb");
    assert_non_null(f);
    assert_non_null(fgets(have, sizeof have, f));
    fclose(f);
    assert_string_equal(have, text);
}

static void create(struct tdbg_new_file *f, bool replace)
{
    struct tdbg_err err = {0};
    if (tdbg_new_file_create(f, arena, path, replace, &err) != TDBG_OK)
        fail_msg("%s", err.message);
}

static void expect_refusal(const char *name, bool replace, const char *words)
{
    struct tdbg_err err = {0};
    struct tdbg_new_file f;
    assert_int_equal(tdbg_new_file_create(&f, arena, name, replace, &err), TDBG_USAGE);
    assert_non_null(strstr(err.message, words));
    assert_int_equal(f.fd, -1);
    tdbg_err_clear(&err);
    assert_int_not_equal(access(made, F_OK), 0);
}

static void test_the_old_file_stays(void **state)
{
    (void)state;
    struct tdbg_err err = {0};
    struct tdbg_new_file f;
    write_text(path, "old");
    expect_refusal(path, false, "exists already");
    create(&f, true);
    assert_int_equal(write(f.fd, "new", 3), 3);
    expect_text(path, "old");
    tdbg_new_file_release(&f); /* it was not to be */
    expect_text(path, "old");
    assert_int_not_equal(access(made, F_OK), 0);
    create(&f, true);
    assert_int_equal(write(f.fd, "new", 3), 3);
    assert_int_equal(tdbg_new_file_place(&f, &err), TDBG_OK);
    tdbg_new_file_release(&f);
    expect_text(path, "new");
    assert_int_not_equal(access(made, F_OK), 0);
    unlink(path);
}

/* Where a file of that name comes up in between, it is not overwritten. */
static void test_somebody_was_faster(void **state)
{
    (void)state;
    struct tdbg_err err = {0};
    struct tdbg_new_file f;
    create(&f, false);
    write_text(path, "other");
    assert_int_not_equal(tdbg_new_file_place(&f, &err), TDBG_OK);
    tdbg_err_clear(&err);
    tdbg_new_file_release(&f);
    expect_text(path, "other");
    unlink(path);
    create(&f, true);
    assert_int_equal(mkdir(path, 0777), 0);
    assert_int_equal(tdbg_new_file_place(&f, &err), TDBG_USAGE);
    tdbg_err_clear(&err);
    tdbg_new_file_release(&f);
    assert_int_equal(rmdir(path), 0);
}

static void test_only_regular_files(void **state)
{
    (void)state;
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct stat info;
    for (int replace = 0; replace < 2; replace++) {
        expect_refusal("", replace, "empty");
        assert_int_equal(mkdir(path, 0777), 0);
        expect_refusal(path, replace, "is a directory");
        assert_int_equal(rmdir(path), 0);
        assert_int_equal(mkfifo(path, 0666), 0);
        expect_refusal(path, replace, "is a pipe");
        assert_int_equal(unlink(path), 0);
        assert_int_equal(symlink("nowhere", path), 0);
        expect_refusal(path, replace, "leads nowhere");
        assert_int_equal(unlink(path), 0);
        strcpy(address.sun_path, path);
        int s = socket(AF_UNIX, SOCK_STREAM, 0);
        assert_int_equal(bind(s, (struct sockaddr *)&address, sizeof address), 0);
        expect_refusal(path, replace, "is a socket");
        close(s);
        assert_int_equal(unlink(path), 0);
        if (mknod(path, S_IFCHR | 0666, makedev(1, 3)) != 0)
            continue; /* only root can make devices */
        expect_refusal(path, replace, "is a device");
        assert_int_equal(lstat(path, &info), 0);
        assert_true(S_ISCHR(info.st_mode));
        assert_int_equal(unlink(path), 0);
    }
}

static void test_links_are_followed(void **state)
{
    (void)state;
    char real[80];
    struct tdbg_err err = {0};
    struct tdbg_new_file f;
    struct stat info;
    snprintf(real, sizeof real, "%s/real", dir);
    write_text(real, "old");
    assert_int_equal(symlink("real", path), 0);
    create(&f, true);
    assert_int_equal(write(f.fd, "new", 3), 3);
    assert_int_equal(tdbg_new_file_place(&f, &err), TDBG_OK);
    tdbg_new_file_release(&f);
    expect_text(real, "new");
    assert_int_equal(lstat(path, &info), 0);
    assert_true(S_ISLNK(info.st_mode));
    unlink(path);
    unlink(real);
}

/* A second maker is refused while the first one works, and after it has placed its file and still
 * writes; whoever was killed is in nobody's way. */
static void test_two_makers(void **state)
{
    (void)state;
    struct tdbg_err err = {0};
    struct tdbg_new_file f, second;
    create(&f, true);
    assert_int_equal(tdbg_new_file_create(&second, arena, path, true, &err), TDBG_USAGE);
    assert_non_null(strstr(err.message, "being written already"));
    tdbg_err_clear(&err);
    assert_int_equal(access(made, F_OK), 0);
    assert_int_equal(tdbg_new_file_place(&f, &err), TDBG_OK);
    const int program = tdbg_file_lock(path, TDBG_LOCK_PROGRAM);
    expect_refusal(path, true, "being recorded already");
    expect_refusal(path, false, "being recorded already");
    tdbg_file_unlock(program);
    tdbg_new_file_release(&f);
    pid_t child = fork();
    if (child == 0) {
        create(&f, true);
        raise(SIGKILL);
    }
    waitpid(child, NULL, 0);
    assert_int_equal(access(made, F_OK), 0);
    create(&f, true);
    tdbg_new_file_release(&f);
    assert_int_not_equal(access(made, F_OK), 0);
    unlink(path);
}

static void test_moved_and_removed(void **state)
{
    (void)state;
    char other[80];
    const char *found;
    struct tdbg_err err = {0};
    struct tdbg_new_file f;
    snprintf(other, sizeof other, "%s/other", dir);
    create(&f, false);
    assert_int_equal(tdbg_new_file_find(&f, arena, &found, &err), TDBG_OK);
    assert_string_equal(found, made);
    assert_int_equal(tdbg_new_file_place(&f, &err), TDBG_OK);
    assert_int_equal(tdbg_new_file_find(&f, arena, &found, &err), TDBG_OK);
    assert_string_equal(found, path);
    assert_int_equal(rename(path, other), 0);
    write_text(path, "of somebody else");
    assert_int_equal(tdbg_new_file_find(&f, arena, &found, &err), TDBG_OK);
    assert_string_not_equal(found, path);
    assert_int_equal(unlink(other), 0);
    assert_int_equal(tdbg_new_file_find(&f, arena, &found, &err), TDBG_IO);
    tdbg_err_clear(&err);
    tdbg_new_file_release(&f);
    expect_text(path, "of somebody else");
    unlink(path);
}

static int begin(void **state)
{
    (void)state;
    arena = tdbg_arena_create();
    return arena && mkdtemp(dir) &&
                   snprintf(path, sizeof path, "%s/t.h5", dir) < (int)sizeof path &&
                   snprintf(made, sizeof made, "%s.tdbg-new", path) < (int)sizeof made
               ? 0
               : -1;
}

static int end(void **state)
{
    (void)state;
    tdbg_arena_destroy(arena);
    return rmdir(dir); /* nothing was left over */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_old_file_stays), cmocka_unit_test(test_somebody_was_faster),
        cmocka_unit_test(test_only_regular_files), cmocka_unit_test(test_links_are_followed),
        cmocka_unit_test(test_two_makers),         cmocka_unit_test(test_moved_and_removed),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
