/* Going on with a recorded run. See resume.h. */
#include "replay/resume.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "replay/config_diff.h"
#include "replay/keyframe.h"
#include "replay/session.h"

enum tdbg_status tdbg_resume_config(const struct tdbg_trace *trace, const char *const *sets,
                                    int n_sets, struct tdbg_config **out, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    const struct tdbg_run_info *info = tdbg_trace_info(trace);
    TDBG_FAIL_IF(!tdbg_session_is_possible(trace), CANNOT_JUDGE,
                 "%s was recorded by another program: there is no graph to go on with",
                 tdbg_trace_path(trace));
    TDBG_TRY(tdbg_config_parse(info->config, info->config_path, sets, n_sets, out, err));
out:
    return st;
}

enum tdbg_status tdbg_resume_step(const struct tdbg_trace *trace, int64_t at_step, int64_t *step,
                                  struct tdbg_err *err)
{
    const int64_t before = tdbg_trace_keyframe_before(trace, at_step < 0 ? INT64_MAX - 1 : at_step);
    if (before >= 0 && (at_step < 0 || before == at_step)) {
        *step = before;
        return TDBG_OK;
    }
    if (before < 0)
        return TDBG_RAISE(err, USAGE, "%s has no keyframe%s", tdbg_trace_path(trace),
                          at_step < 0 ? "" : " at or before that step");
    return TDBG_RAISE(err, USAGE,
                      "%s has no keyframe before step %lld\nhint: the last one before it is that "
                      "before step %lld; there is one every %lld steps",
                      tdbg_trace_path(trace), (long long)at_step, (long long)before,
                      (long long)tdbg_trace_info(trace)->keyframe_every);
}

enum tdbg_status tdbg_resume_state(struct tdbg_trace *trace, struct tdbg_engine *engine,
                                   int64_t step, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    int64_t largest = 0;
    void *buffer = NULL;
    TDBG_TRY(tdbg_keyframe_check(trace, engine, &largest, err));
    buffer = malloc((size_t)largest * sizeof(float));
    TDBG_FAIL_IF(!buffer, NO_MEMORY, "no memory for a keyframe");
    TDBG_TRY(tdbg_keyframe_load(trace, engine, step, buffer, err));
out:
    free(buffer);
    return st;
}

enum tdbg_status tdbg_resume_check_dataset(const struct tdbg_trace *trace, const char *dataset,
                                           struct tdbg_err *err)
{
    if (tdbg_dataset_same(tdbg_trace_info(trace)->dataset, dataset))
        return TDBG_OK;
    return TDBG_RAISE(err, DATA,
                      "the data set is not the one that %s was recorded with: its fingerprint is "
                      "another",
                      tdbg_trace_path(trace));
}

enum tdbg_status tdbg_resume_check_source(const struct tdbg_trace *trace,
                                          const struct tdbg_source_live *live, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    char *text = NULL;
    size_t bytes = 0;
    struct tdbg_json json;
    FILE *out = open_memstream(&text, &bytes);
    TDBG_FAIL_IF(!out, NO_MEMORY, "no memory to compare the data set");
    tdbg_json_init(&json, out, false);
    tdbg_source_live_print_json(live, &json);
    fclose(out);
    TDBG_FAIL_IF(!text, NO_MEMORY, "no memory to compare the data set");
    TDBG_TRY(tdbg_resume_check_dataset(trace, text, err));
out:
    free(text);
    return st;
}
