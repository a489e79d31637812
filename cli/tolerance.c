/* The options of a tolerance. See tolerance.h. */
#include "cli/tolerance.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

bool cli_tolerance_is_given(const struct cli_tolerance *t)
{
    return t->rtol || t->atol || t->noise || t->ulp >= 0;
}

static enum tdbg_status parse(const char *name, const char *text, double *out, struct tdbg_err *err)
{
    char *end;
    if (!text)
        return TDBG_OK;
    errno = 0;
    *out = strtod(text, &end);
    if (errno || end == text || *end || !(*out >= 0) || *out > 1e300)
        return TDBG_RAISE(err, USAGE,
                          "'%s' wants a number that is not below 0, such as 1e-6, not "
                          "'%s'",
                          name, text);
    return TDBG_OK;
}

enum tdbg_status cli_tolerance_read(struct cli_tolerance *t, struct tdbg_diff_options *options,
                                    struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    TDBG_TRY(parse("--rtol", t->rtol, &options->tolerance.relative, err));
    TDBG_TRY(parse("--atol", t->atol, &options->tolerance.absolute, err));
    options->tolerance.ulp = t->ulp;
out:
    return st;
}

enum tdbg_status cli_tolerance_open(struct cli_tolerance *t, const struct cli_execution *execution,
                                    struct tdbg_diff_options *options, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    if (t->noise)
        TDBG_TRY(cli_open_run(t->noise, execution, &t->repeat, err));
    options->noise = t->repeat.group;
out:
    return st;
}

void cli_tolerance_close(struct cli_tolerance *t)
{
    cli_close_run(&t->repeat);
}

const char *cli_tolerance_text(const struct cli_tolerance *t, char *buf, size_t buf_bytes)
{
    const char *const option[] = {"--rtol", "--atol", "--noise"};
    const char *const value[] = {t->rtol, t->atol, t->noise};
    size_t used = 0;
    *buf = '\0';
    for (int i = 0; i < 3; i++) {
        if (value[i] && used < buf_bytes)
            used += (size_t)snprintf(buf + used, buf_bytes - used, " %s %s", option[i], value[i]);
    }
    if (t->ulp >= 0 && used < buf_bytes)
        snprintf(buf + used, buf_bytes - used, " --ulp %" PRId64, t->ulp);
    return buf;
}
