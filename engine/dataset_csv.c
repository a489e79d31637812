/* Data sets as a table of numbers in text: one sample per line, one column of it the target. See
 * dataset.h. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/dataset.h"

enum { MOST_COLUMNS = 1 << 16, MOST_CELL = 64 };

/* One line of the file at a time. */
struct csv {
    const char *at, *end;
    char separator;
    int64_t line; /* from 1 */
    char cell[MOST_CELL];
};

static bool at_line_end(const struct csv *c)
{
    return c->at >= c->end || *c->at == '\n' || *c->at == '\r';
}

static void next_line(struct csv *c)
{
    while (c->at < c->end && *c->at != '\n')
        c->at++;
    c->at += c->at < c->end;
    c->line++;
}

/* The next cell of the line without blanks and quotes around it, cut to the buffer. False: the line
 * has no more; *more says whether a separator follows this cell. */
static void next_cell(struct csv *c, bool *more)
{
    const char *from = c->at;
    while (!at_line_end(c) && *c->at != c->separator)
        c->at++;
    const char *to = c->at;
    while (from < to && (*from == ' ' || *from == '"'))
        from++;
    while (from < to && (to[-1] == ' ' || to[-1] == '"'))
        to--;
    size_t n = (size_t)(to - from);
    n = n < MOST_CELL ? n : MOST_CELL - 1;
    memcpy(c->cell, from, n);
    c->cell[n] = 0;
    *more = !at_line_end(c);
    c->at += *more;
}

static bool is_number(const char *text, double *value)
{
    char *end;
    *value = strtod(text, &end);
    return *text && *end == 0 && isfinite(*value);
}

/* Lines that hold something, and the columns of the first. */
static void measure(struct csv c, int64_t *lines, int64_t *columns, bool *first_is_text)
{
    *lines = 0;
    *columns = 0;
    *first_is_text = false;
    for (; c.at < c.end; next_line(&c)) {
        if (at_line_end(&c))
            continue;
        bool more = *lines == 0;
        double ignored;
        for (; more; ++*columns) {
            next_cell(&c, &more);
            *first_is_text |= !is_number(c.cell, &ignored);
        }
        ++*lines;
    }
}

static void skip_empty_lines(struct csv *c)
{
    while (c->at < c->end && at_line_end(c))
        next_line(c);
}

/* A number (from 0, or from the end below 0) or a name of the header. */
static enum tdbg_status find_target(struct csv header, bool has_header, const char *target,
                                    int64_t columns, int64_t *out, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    char *end;
    skip_empty_lines(&header);
    bool more = has_header;
    for (int64_t k = 0; more; k++) {
        next_cell(&header, &more);
        if (strcmp(header.cell, target) == 0) {
            *out = k;
            return TDBG_OK;
        }
    }
    const long long k = strtoll(target, &end, 10);
    TDBG_FAIL_IF(!*target || *end || k >= columns || k < -columns, DATA,
                 "it has no column \"%s\" for data.csv.target; its %lld columns are numbered from "
                 "0, and from -1 at the end%s",
                 target, (long long)columns, has_header ? "" : "; it has no header line");
    *out = k < 0 ? k + columns : k;
out:
    return st;
}

/* Fills x (rows, columns - 1) and y (rows); *whole: no target has a point or an exponent. */
static enum tdbg_status read_rows(struct csv *c, int64_t columns, int64_t target, float *x,
                                  double *y, bool *whole, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    for (int64_t row = 0; c->at < c->end; next_line(c)) {
        if (at_line_end(c))
            continue;
        bool more = true;
        int64_t k = 0;
        for (; more; k++) {
            double value;
            next_cell(c, &more);
            TDBG_FAIL_IF(k >= columns, DATA, "line %lld has more than %lld columns",
                         (long long)c->line, (long long)columns);
            TDBG_FAIL_IF(!is_number(c->cell, &value), DATA,
                         "line %lld, column %lld: '%.20s' is no finite number", (long long)c->line,
                         (long long)k, c->cell);
            if (k == target) {
                y[row] = value;
                *whole &= strpbrk(c->cell, ".eExX") == NULL;
            } else {
                *x++ = (float)value;
            }
        }
        TDBG_FAIL_IF(k != columns, DATA, "line %lld has %lld columns instead of %lld",
                     (long long)c->line, (long long)k, (long long)columns);
        row++;
    }
out:
    return st;
}

static enum tdbg_status parse(const struct tdbg_array *file, const struct tdbg_cfg_node *root,
                              struct tdbg_array *x, struct tdbg_array *y, bool *whole,
                              struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    const char *header = tdbg_cfg_string(root, "data.csv.header");
    struct csv c = {.at = (const char *)file->data,
                    .end = (const char *)file->data + file->dims[0],
                    .separator = tdbg_cfg_string(root, "data.csv.separator")[0],
                    .line = 1};
    int64_t rows, columns, target;
    bool text;
    TDBG_FAIL_IF(strlen(tdbg_cfg_string(root, "data.csv.separator")) != 1, DATA,
                 "data.csv.separator has to be one character");
    measure(c, &rows, &columns, &text);
    const bool has_header = strcmp(header, "yes") == 0 || (strcmp(header, "auto") == 0 && text);
    TDBG_TRY(find_target(c, has_header, tdbg_cfg_string(root, "data.csv.target"), columns, &target,
                         err));
    rows -= has_header;
    TDBG_FAIL_IF(rows < 1, DATA, "it has no line of numbers");
    TDBG_FAIL_IF(columns < 2 || columns > MOST_COLUMNS, DATA,
                 "it has %lld columns; 2 to %d are wanted", (long long)columns, MOST_COLUMNS);
    *x = (struct tdbg_array){.elem = TDBG_ELEM_F32, .ndim = 2, .dims = {rows, columns - 1}};
    *y = (struct tdbg_array){.elem = TDBG_ELEM_F64, .ndim = 1, .dims = {rows}};
    x->data = x->block = calloc((size_t)rows * (size_t)(columns - 1), sizeof(float));
    y->data = y->block = calloc((size_t)rows, sizeof(double));
    TDBG_FAIL_IF(!x->data || !y->data, NO_MEMORY, "no memory for %lld lines", (long long)rows);
    if (has_header) {
        skip_empty_lines(&c);
        next_line(&c);
    }
    *whole = true;
    TDBG_TRY(read_rows(&c, columns, target, x->block, y->block, whole, err));
out:
    return st;
}

static enum tdbg_status load(const struct tdbg_dataset_request *r, struct tdbg_dataset *out,
                             struct tdbg_err *err)
{
    const struct tdbg_cfg_node *root = tdbg_config_root(r->config);
    const struct tdbg_cfg_node *node = tdbg_dataset_node(r, "csv");
    const int before = tdbg_config_n_diagnostics(r->config);
    struct tdbg_array file = {0}, x = {0}, y = {0};
    struct tdbg_err fault = {0};
    bool whole = false;
    char *path = tdbg_cfg_node_path(r->config, node);
    enum tdbg_status st = tdbg_dataset_read_file(path, &file, &fault);
    if (st == TDBG_OK)
        parse(&file, root, &x, &y, &whole, &fault);
    TDBG_TRY(tdbg_dataset_fault(r->config, node, path, &fault, err));
    if (tdbg_config_n_diagnostics(r->config) != before)
        goto out;
    enum tdbg_data_targets targets = tdbg_dataset_targets(root);
    if (targets == TDBG_TARGETS_AUTO) /* the test set is what the training set was */
        targets = (r->train ? r->train->shape.y_dtype == TDBG_DTYPE_I64 : whole)
                      ? TDBG_TARGETS_CLASSES
                      : TDBG_TARGETS_VALUES;
    TDBG_TRY(tdbg_dataset_from_arrays(r->config, &x, node, TDBG_INPUTS_VALUES, &y, node, targets,
                                      out, err));
out:
    free(path);
    tdbg_array_free(&file);
    tdbg_array_free(&x);
    tdbg_array_free(&y);
    return st;
}

static const struct tdbg_option options[] = {
    {"data.train.csv", TDBG_OPT_PATH, "", 0, 0, NULL, NULL, TDBG_OPT_REQUIRED,
     "Training samples: a line of numbers each, plain or .gz."},
    {"data.test.csv", TDBG_OPT_PATH, "", 0, 0, NULL, NULL, 0, "Evaluation samples."},
    {"data.csv.target", TDBG_OPT_STRING, "", 0, 0, NULL, "\"-1\"", 0,
     "Column that is to be predicted: its name in the header, or its number from 0, from the end "
     "below 0."},
    {"data.csv.header", TDBG_OPT_ENUM, "", 0, 0, "auto|yes|no", "\"auto\"", 0,
     "Is the first line a header? auto: if something in it is no number."},
    {"data.csv.separator", TDBG_OPT_STRING, "", 0, 0, NULL, "\",\"", 0,
     "Character between two columns."},
    {"data.targets", TDBG_OPT_ENUM, "", 0, 0, "auto|classes|values", "\"auto\"", 0,
     "What the target is; auto: class indices where all are written as integers, else values to "
     "predict."},
};

const struct tdbg_dataset_kind tdbg_dataset_csv = {
    .name = "csv",
    .main_key = "csv",
    .options = {options, (int)(sizeof options / sizeof options[0])},
    .load = load,
};
