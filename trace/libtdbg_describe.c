/* The public library: a recording before its first step. See include/tdbg.h. Everything that the
 * caller says is checked here, so that what goes to the writer is sound. */
#include <stdlib.h>
#include <string.h>

#include "base/strbuf.h"
#include "trace/layout.h"
#include "trace/libtdbg_impl.h"

enum { MOST_TEXT_BYTES = 16 << 20, STAGE_LIST_BYTES = 256 };

struct tdbg_rec *tdbg_rec_create(void)
{
    return calloc(1, sizeof(struct tdbg_rec));
}

static void drop_tensors(struct tdbg_rec *rec)
{
    for (int32_t i = 0; i < rec->n_tensors; i++) {
        free((char *)rec->tensors[i].site.name);
        free((char *)rec->tensors[i].site.op);
        free((char *)rec->tensors[i].site.unit);
    }
    rec->n_tensors = 0;
}

void tdbg_rec_free(struct tdbg_rec *rec)
{
    if (!rec)
        return;
    if (rec->phase == REC_BETWEEN_STEPS || rec->phase == REC_IN_STEP)
        tdbg_rec_close(rec);
    for (int i = 0; i < LIB_TEXTS_TO_SET; i++)
        free(rec->texts[i]);
    drop_tensors(rec);
    free(rec->tensors);
    tdbg_vocabulary_free(&rec->vocabulary);
    tdbg_err_clear(&rec->err);
    free(rec);
}

const char *tdbg_rec_error(const struct tdbg_rec *rec)
{
    if (!rec)
        return "there is no recording: NULL was passed";
    if (rec->err.message)
        return rec->err.message;
    return rec->err.status == TDBG_OK ? "" : tdbg_status_text(rec->err.status);
}

static bool is_utf8(const char *text, size_t n)
{
    for (size_t at = 0, length; at < n; at += length) {
        length = tdbg_utf8_length(text + at, n - at);
        if (length == 0)
            return false;
    }
    return true;
}

int tdbg_rec_set_text(struct tdbg_rec *rec, enum tdbg_text which, const char *text)
{
    if (!rec)
        return TDBG_ERR_USAGE;
    if (rec->phase != REC_DESCRIBE)
        return LIB_USAGE(&rec->err, "texts are set before the recording begins");
    if ((unsigned)which >= LIB_TEXTS_TO_SET)
        return LIB_USAGE(&rec->err, "text number %d cannot be set", (int)which);
    if (!text)
        return LIB_USAGE(&rec->err, "text number %d is NULL", (int)which);
    size_t n = strnlen(text, MOST_TEXT_BYTES + 1);
    if (n > MOST_TEXT_BYTES)
        return LIB_USAGE(&rec->err, "text number %d is longer than 16 MiB", (int)which);
    if (!is_utf8(text, n))
        return LIB_USAGE(&rec->err, "text number %d is not UTF-8", (int)which);
    char *copy = strdup(text);
    if (!copy)
        return tdbg_lib_result(TDBG_RAISE(&rec->err, NO_MEMORY, "no memory for a text"));
    free(rec->texts[which]);
    rec->texts[which] = copy;
    return TDBG_SUCCESS;
}

int tdbg_rec_set_int(struct tdbg_rec *rec, enum tdbg_int which, int64_t value)
{
    static const struct {
        const char *name;
        int64_t min, max;
    } ranges[LIB_INTS_TO_SET] = {
        [TDBG_INT_BATCH] = {"TDBG_INT_BATCH", 1, INT32_MAX},
        [TDBG_INT_SEED] = {"TDBG_INT_SEED", INT64_MIN, INT64_MAX},
        [TDBG_INT_PLANNED_STEPS] = {"TDBG_INT_PLANNED_STEPS", 0, INT64_MAX},
        [TDBG_INT_KEYFRAME_EVERY] = {"TDBG_INT_KEYFRAME_EVERY", 0, INT32_MAX},
        [TDBG_INT_FIRST_STEP] = {"TDBG_INT_FIRST_STEP", 0, TDBG_MAX_STEPS - 1},
    };
    if (!rec)
        return TDBG_ERR_USAGE;
    if (rec->phase != REC_DESCRIBE)
        return LIB_USAGE(&rec->err, "numbers are set before the recording begins");
    if ((unsigned)which >= LIB_INTS_TO_SET)
        return LIB_USAGE(&rec->err, "number %d cannot be set", (int)which);
    if (value < ranges[which].min || value > ranges[which].max)
        return LIB_USAGE(&rec->err, "%s is %lld, and has to be %lld to %lld", ranges[which].name,
                         (long long)value, (long long)ranges[which].min,
                         (long long)ranges[which].max);
    if (which == TDBG_INT_BATCH && rec->samples.total > 0)
        return LIB_USAGE(&rec->err, "TDBG_INT_BATCH is set before tdbg_rec_set_samples()");
    rec->ints[which] = value;
    return TDBG_SUCCESS;
}

/* NULL, or up to `most` printable ASCII characters. */
static bool is_note(const char *text, size_t most)
{
    size_t n = text ? strnlen(text, most + 1) : 0;
    if (n > most)
        return false;
    for (size_t i = 0; i < n; i++) {
        if (text[i] < ' ' || text[i] > '~')
            return false;
    }
    return true;
}

static enum tdbg_status check_shape(const char *name, const struct tdbg_tensor *t,
                                    struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    int64_t elems;
    TDBG_FAIL_IF(!tdbg_lib_is_elem(t->elem), USAGE, "%s: no element type %d", name, (int)t->elem);
    TDBG_FAIL_IF(t->ndim < 0 || t->ndim > TDBG_TENSOR_DIMS, USAGE,
                 "%s: %d dimensions; 0 to 8 are possible", name, (int)t->ndim);
    for (int32_t d = 0; d < t->ndim; d++)
        TDBG_FAIL_IF(t->shape[d] < 1, USAGE, "%s: dimension %d is %lld", name, (int)d,
                     (long long)t->shape[d]);
    TDBG_FAIL_IF(!tdbg_layout_count(t->ndim, t->shape, &elems), USAGE,
                 "%s: more than 2^40 elements", name);
out:
    return st;
}

/* Stage from the name or as it is said; with a slash in the name both agree. */
static enum tdbg_status find_stage(const struct tdbg_tensor *t, enum tdbg_stage *stage,
                                   struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    char text[TDBG_MAX_SITE_NAME + 1], all[STAGE_LIST_BYTES] = "";
    const char *slash = strchr(t->name, '/');
    size_t n = slash ? (size_t)(slash - t->name) : 0;
    memcpy(text, t->name, n);
    text[n] = 0;
    TDBG_FAIL_IF(!slash && !t->stage, USAGE, "%s: a name without a slash needs a stage", t->name);
    TDBG_FAIL_IF(slash && t->stage && strcmp(text, t->stage) != 0, USAGE,
                 "%s: the name says another stage than '%.20s'", t->name, t->stage);
    const char *wanted = t->stage ? t->stage : text;
    for (int s = 0; s < TDBG_STAGE_COUNT; s++) {
        strcat(all, s > 0 ? ", " : "");
        strcat(all, tdbg_stage_text((enum tdbg_stage)s));
    }
    TDBG_FAIL_IF(!tdbg_stage_parse(wanted, stage), USAGE, "%s: no stage '%.20s'; there are %s",
                 t->name, wanted, all);
out:
    return st;
}

/* Values whose digest is not there could not be judged. */
static enum tdbg_status check_cadence(const struct tdbg_tensor *t, enum tdbg_stage stage,
                                      struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    const bool values = t->keep == TDBG_KEEP_VALUES || t->keep == TDBG_KEEP_DELTA;
    TDBG_FAIL_IF(t->digest_every < 0 || t->value_every < 0, USAGE, "%s: a negative cadence",
                 t->name);
    TDBG_FAIL_IF(values && t->digest_every > 1 &&
                     (t->value_every == 0 || t->value_every % t->digest_every),
                 USAGE, "%s: value_every is no multiple of digest_every", t->name);
    TDBG_FAIL_IF(t->keep == TDBG_KEEP_DELTA && stage == TDBG_STAGE_EVAL, USAGE,
                 "%s: stage eval is not in every step, and has no differences", t->name);
out:
    return st;
}

static enum tdbg_status check_tensor(const struct tdbg_tensor *t, enum tdbg_stage *stage,
                                     struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    TDBG_FAIL_IF(!t->name || !tdbg_layout_name_is_valid(t->name), USAGE,
                 "a tensor's name is not 1 to 120 printable ASCII characters in parts");
    TDBG_TRY(find_stage(t, stage, err));
    TDBG_TRY(check_shape(t->name, t, err));
    TDBG_FAIL_IF(!is_note(t->op, TDBG_OP_TEXT_BYTES) || !is_note(t->unit, TDBG_UNIT_TEXT_BYTES),
                 USAGE, "%s: op or unit is too long or not printable ASCII", t->name);
    TDBG_FAIL_IF(t->batched != 0 && t->batched != 1, USAGE, "%s: batched is neither 0 nor 1",
                 t->name);
    TDBG_FAIL_IF(t->batched && (t->ndim == 0 || *stage == TDBG_STAGE_EVAL), USAGE,
                 "%s: a scalar and a tensor of stage eval cannot be batched", t->name);
    TDBG_FAIL_IF((unsigned)t->keep >= TDBG_KEEP_SAMPLES, USAGE, "%s: no way %d to keep it", t->name,
                 (int)t->keep);
    TDBG_FAIL_IF((t->keep == TDBG_KEEP_KEYFRAME) != (*stage == TDBG_STAGE_STATE), USAGE,
                 "%s: what is kept at keyframes is of stage state, and the other way round",
                 t->name);
    TDBG_FAIL_IF(*stage == TDBG_STAGE_SAMPLES, USAGE,
                 "%s: stage samples is made by tdbg_rec_set_samples()", t->name);
    TDBG_TRY(check_cadence(t, *stage, err));
    for (int i = 0; i < 4; i++)
        TDBG_FAIL_IF(t->reserved[i] != 0, USAGE, "%s: reserved fields are not 0", t->name);
out:
    return st;
}

/* Adds a checked tensor; its strings are copied. */
static enum tdbg_status add_tensor(struct tdbg_rec *rec, const struct tdbg_tensor *t,
                                   enum tdbg_stage stage)
{
    enum tdbg_status st = TDBG_OK;
    struct tdbg_err *err = &rec->err;
    struct rec_tensor r = {.keep = t->keep,
                           .digest_every = t->digest_every,
                           .value_every = t->value_every,
                           .item = -1,
                           .put_at = -1,
                           .site = {.stage = stage,
                                    .dtype = (enum tdbg_dtype)t->elem,
                                    .lane = TDBG_LANE_ALL,
                                    .micro = TDBG_LANE_ALL,
                                    .ndim = t->ndim,
                                    .batched = t->batched}};
    char *name = strdup(t->name), *op = strdup(t->op ? t->op : ""),
         *unit = strdup(t->unit ? t->unit : "");
    TDBG_FAIL_IF(rec->n_tensors >= TDBG_MAX_SITES, USAGE, "more than 2^20 tensors");
    TDBG_FAIL_IF(!name || !op || !unit, NO_MEMORY, "no memory for a tensor's name");
    if (rec->n_tensors == rec->room) {
        int32_t room = rec->room ? 2 * rec->room : 64;
        struct rec_tensor *grown = realloc(rec->tensors, (size_t)room * sizeof *grown);
        TDBG_FAIL_IF(!grown, NO_MEMORY, "no memory for %d tensors", (int)room);
        rec->tensors = grown;
        rec->room = room;
    }
    memcpy(r.site.dims, t->shape, (size_t)t->ndim * sizeof *t->shape);
    r.site.name = name;
    r.site.op = op;
    r.site.unit = unit;
    rec->n_grads += stage == TDBG_STAGE_GRAD;
    rec->tensors[rec->n_tensors++] = r;
    return TDBG_OK;
out:
    free(name);
    free(op);
    free(unit);
    return st;
}

int tdbg_rec_add(struct tdbg_rec *rec, const struct tdbg_tensor *tensor, int32_t *id)
{
    enum tdbg_stage stage;
    if (!rec)
        return TDBG_ERR_USAGE;
    if (!tensor || !id)
        return LIB_USAGE(&rec->err, "tdbg_rec_add() got NULL");
    if (rec->phase != REC_DESCRIBE)
        return LIB_USAGE(&rec->err, "tensors are added before the recording begins");
    enum tdbg_status st = check_tensor(tensor, &stage, &rec->err);
    if (st == TDBG_OK)
        st = add_tensor(rec, tensor, stage);
    if (st == TDBG_OK)
        *id = rec->n_tensors - 1;
    return tdbg_lib_result(st);
}

static enum tdbg_status check_samples(const struct tdbg_rec *rec, const struct tdbg_tensor *x,
                                      const struct tdbg_tensor *y, int64_t total,
                                      struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    TDBG_FAIL_IF(rec->phase != REC_DESCRIBE || rec->n_tensors > 0, USAGE,
                 "samples are declared once, before any tensor is added");
    TDBG_FAIL_IF(rec->ints[TDBG_INT_BATCH] == 0, USAGE,
                 "TDBG_INT_BATCH is set before tdbg_rec_set_samples()");
    TDBG_FAIL_IF(total < 1 || total > TDBG_MAX_ELEMS, USAGE, "a data set of %lld samples",
                 (long long)total);
    TDBG_TRY(check_shape("sample x", x, err));
    TDBG_TRY(check_shape("sample y", y, err));
    TDBG_FAIL_IF(x->ndim >= TDBG_TENSOR_DIMS || y->ndim >= TDBG_TENSOR_DIMS, USAGE,
                 "a sample has at most 7 dimensions");
out:
    return st;
}

/* "samples/NAME" (batch, ...shape of one). */
static enum tdbg_status add_sample_tensor(struct tdbg_rec *rec, const char *name,
                                          const struct tdbg_tensor *one)
{
    struct tdbg_tensor t = {.name = name,
                            .op = "data",
                            .elem = one->elem,
                            .ndim = one->ndim + 1,
                            .batched = 1,
                            .keep = TDBG_KEEP_SAMPLES};
    t.shape[0] = rec->ints[TDBG_INT_BATCH];
    memcpy(t.shape + 1, one->shape, (size_t)one->ndim * sizeof *one->shape);
    enum tdbg_status st = check_shape(name, &t, &rec->err);
    return st == TDBG_OK ? add_tensor(rec, &t, TDBG_STAGE_SAMPLES) : st;
}

int tdbg_rec_set_samples(struct tdbg_rec *rec, const struct tdbg_tensor *x,
                         const struct tdbg_tensor *y, int64_t total)
{
    static const struct tdbg_tensor id = {.elem = TDBG_I64};
    enum tdbg_status st = TDBG_OK;
    if (!rec)
        return TDBG_ERR_USAGE;
    if (!x || !y)
        return LIB_USAGE(&rec->err, "tdbg_rec_set_samples() got NULL");
    TDBG_TRY(check_samples(rec, x, y, total, &rec->err));
    st = add_sample_tensor(rec, "samples/id", &id);
    if (st == TDBG_OK)
        st = add_sample_tensor(rec, "samples/x", x);
    if (st == TDBG_OK)
        st = add_sample_tensor(rec, "samples/y", y);
    if (st != TDBG_OK)
        drop_tensors(rec); /* a call that failed leaves nothing behind */
    TDBG_TRY(st);
    rec->samples = (struct tdbg_samples_spec){.x_dtype = (enum tdbg_dtype)x->elem,
                                              .y_dtype = (enum tdbg_dtype)y->elem,
                                              .x_ndim = x->ndim,
                                              .y_ndim = y->ndim,
                                              .total = total};
    memcpy(rec->samples.x_dims, x->shape, (size_t)x->ndim * sizeof *x->shape);
    memcpy(rec->samples.y_dims, y->shape, (size_t)y->ndim * sizeof *y->shape);
out:
    return tdbg_lib_result(st);
}

/* Copies n tokens; out is untouched on failure. */
static enum tdbg_status copy_vocabulary(int64_t n, const char *const *tokens, const size_t *n_bytes,
                                        struct tdbg_vocabulary *out, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct tdbg_vocabulary v = {0};
    size_t total = 0;
    for (int64_t i = 0; i < n; i++) {
        TDBG_FAIL_IF(!tokens[i], USAGE, "token %lld is NULL", (long long)i);
        const size_t room = TDBG_MOST_VOCABULARY_BYTES - total;
        const size_t length = n_bytes ? n_bytes[i] : strnlen(tokens[i], room + 1);
        TDBG_FAIL_IF(length > room, USAGE, "a vocabulary of more than 2^28 bytes");
        total += length;
    }
    TDBG_TRY(tdbg_vocabulary_alloc(&v, n, (int64_t)total, err));
    for (int64_t i = 0; i < n; i++) {
        const size_t length = n_bytes ? n_bytes[i] : strlen(tokens[i]);
        memcpy(v.bytes + v.start[i], tokens[i], length);
        v.start[i + 1] = v.start[i] + (int64_t)length;
    }
    *out = v;
out:
    return st;
}

int tdbg_rec_set_vocabulary(struct tdbg_rec *rec, int64_t n, const char *const *tokens,
                            const size_t *n_bytes)
{
    struct tdbg_vocabulary v;
    if (!rec)
        return TDBG_ERR_USAGE;
    if (rec->phase != REC_DESCRIBE)
        return LIB_USAGE(&rec->err, "a vocabulary is set before the recording begins");
    if (!tokens || n < 1 || n > TDBG_MOST_VOCABULARY_TOKENS)
        return LIB_USAGE(&rec->err, "a vocabulary of %lld tokens, or NULL", (long long)n);
    const enum tdbg_status st = copy_vocabulary(n, tokens, n_bytes, &v, &rec->err);
    if (st == TDBG_OK) {
        tdbg_vocabulary_free(&rec->vocabulary);
        rec->vocabulary = v;
    }
    return tdbg_lib_result(st);
}
