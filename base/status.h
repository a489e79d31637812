/* Status codes and the error that travels up through the layers.
 * Every function that can fail returns enum tdbg_status and takes struct tdbg_err *err last.
 * Only cli/ and tui/ turn an error into text on a screen or into an exit code. */
#ifndef TDBG_BASE_STATUS_H
#define TDBG_BASE_STATUS_H

/* X(name, text, process exit code). The exit codes are those of the manual page tdbg(1). */
#define TDBG_STATUS_LIST(X)                                                                        \
    X(OK, "ok", 0)                                                                                 \
    X(USAGE, "usage error", 2)                                                                     \
    X(CONFIG, "config error", 2)                                                                   \
    X(DATA, "data set error", 2)                                                                   \
    X(NO_TRACE, "no such trace", 3)                                                                \
    X(DAMAGED, "trace is damaged", 3)                                                              \
    X(TOO_NEW, "trace is of a newer version", 3)                                                   \
    X(NOT_FOUND, "not in this trace", 2)                                                           \
    X(NEEDS_REPLAY, "value is not stored and has to be computed again", 3)                         \
    X(IO, "input/output error", 4)                                                                 \
    X(NO_MEMORY, "out of memory", 4)                                                               \
    X(DEVICE, "device error", 4)                                                                   \
    X(RANKS, "communication error", 4)                                                             \
    X(UNSUPPORTED, "not supported", 2)                                                             \
    X(CANNOT_JUDGE, "cannot judge", 125)                                                           \
    X(STOPPED, "stopped", 0)                                                                       \
    X(INTERRUPTED, "interrupted", 130)                                                             \
    X(TERMINATED, "terminated", 143)

enum tdbg_status {
#define TDBG_STATUS_ENUM(name, text, code) TDBG_##name,
    TDBG_STATUS_LIST(TDBG_STATUS_ENUM)
#undef TDBG_STATUS_ENUM
};

/* An error in flight. Start it as `struct tdbg_err err = {0};`. Untouched on success. */
struct tdbg_err {
    enum tdbg_status status; /* TDBG_OK while nothing failed */
    char *message;           /* one line without a newline; owned; NULL while nothing failed */
    const char *file;        /* source position that raised it, for bug reports */
    int line;
};

/* Fixed English text of a status ("config error"). Never NULL. */
const char *tdbg_status_text(enum tdbg_status status);

/* Process exit code that belongs to a status. */
int tdbg_status_exit_code(enum tdbg_status status);

/* Records a failure and returns `status`, so that callers can write `return tdbg_err_set(...)`.
 * err may be NULL (the caller only wants the code). A former message is replaced. */
enum tdbg_status tdbg_err_set(struct tdbg_err *err, enum tdbg_status status, const char *file,
                              int line, const char *fmt, ...) __attribute__((format(printf, 5, 6)));

/* Puts "context: " in front of the message of a failed call and returns err's status. err is not
 * NULL here: there would be no status to return. */
enum tdbg_status tdbg_err_prefix(struct tdbg_err *err, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

/* Frees the message and sets err back to TDBG_OK. Safe on {0} and on NULL. */
void tdbg_err_clear(struct tdbg_err *err);

/* Raise: `return TDBG_RAISE(err, CONFIG, "no key '%s'", key);` The value is the constant, so that
 * the compiler knows that it is not TDBG_OK. */
#define TDBG_RAISE(err, status, ...)                                                               \
    (tdbg_err_set((err), TDBG_##status, __FILE__, __LINE__, __VA_ARGS__), TDBG_##status)

/* The two below expect `enum tdbg_status st = TDBG_OK;`, `struct tdbg_err *err` and a label `out:`
 * that cleans up and returns st. */
#define TDBG_TRY(call)                                                                             \
    do {                                                                                           \
        st = (call);                                                                               \
        if (st != TDBG_OK)                                                                         \
            goto out;                                                                              \
    } while (0)

#define TDBG_FAIL_IF(cond, status, ...)                                                            \
    do {                                                                                           \
        if (cond) {                                                                                \
            st = TDBG_RAISE(err, status, __VA_ARGS__);                                             \
            goto out;                                                                              \
        }                                                                                          \
    } while (0)

/* A broken invariant of ours: prints where and what and aborts, in release builds too. */
#define TDBG_BUG(...) tdbg_bug(__FILE__, __LINE__, __VA_ARGS__)
#define TDBG_ASSERT(cond)                                                                          \
    do {                                                                                           \
        if (!(cond))                                                                               \
            TDBG_BUG("broken invariant: %s", #cond);                                               \
    } while (0)
void tdbg_bug(const char *file, int line, const char *fmt, ...)
    __attribute__((format(printf, 3, 4), noreturn));

#endif
