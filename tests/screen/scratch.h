/* A folder of a test program's own, for files that it writes and reads. */
#ifndef TDBG_TESTS_SCREEN_SCRATCH_H
#define TDBG_TESTS_SCREEN_SCRATCH_H

/* Set-up and teardown of a cmocka group; the teardown removes all that is in the folder. */
int scratch_make(void **state);
int scratch_remove(void **state);

/* "" is the folder itself; into a static buffer. */
char *scratch_path(const char *name);

/* Of a file by its whole path; the caller frees the text. Fail the test where they cannot. */
void scratch_write(const char *path, const char *text);
char *scratch_read(const char *path);

#endif
