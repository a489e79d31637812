/* read_trace: what a trace says, read with libtdbg.
 *
 *     cc read_trace.c -o read_trace $(pkg-config --cflags --libs tdbg)
 *     ./read_trace TRACE                  the run, its tensors and its losses
 *     ./read_trace TRACE TENSOR STEP      statistics and values of one tensor
 *
 * It reads traces of tdbg record and of any program that records with this library. */
#include <inttypes.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tdbg.h>

enum { CURVE_LINES = 20, BAR = 50, MOST_VALUES = 64 };

/* Prints the library's reason and leaves. */
static void must(struct tdbg_read *trace, int result)
{
    if (result == TDBG_SUCCESS)
        return;
    fprintf(stderr, "read_trace: %s: %s\n", tdbg_result_text(result), tdbg_read_error(trace));
    exit(1);
}

static void print_run(struct tdbg_read *trace)
{
    printf("%s: run %s, recorded with tdbg %s (%s)%s\n", tdbg_read_text(trace, TDBG_TEXT_PATH),
           tdbg_read_text(trace, TDBG_TEXT_RUN_ID), tdbg_read_text(trace, TDBG_TEXT_VERSION),
           tdbg_read_text(trace, TDBG_TEXT_PRESET),
           tdbg_read_int(trace, TDBG_INT_CLOSED) ? "" : ", cut off");
    printf("steps %" PRId64 ", batch %" PRId64 ", seed %" PRIu64 "\nconfig:\n%s\n",
           tdbg_read_int(trace, TDBG_INT_STEPS), tdbg_read_int(trace, TDBG_INT_BATCH),
           (uint64_t)tdbg_read_int(trace, TDBG_INT_SEED), tdbg_read_text(trace, TDBG_TEXT_CONFIG));
}

static void print_tensors(struct tdbg_read *trace)
{
    static const char *const kept[] = {"digest", "values", "delta", "keyframe", "samples"};
    static const char *const elems[] = {"f32", "f64", "bf16", "f16", "u8", "i32", "i64"};
    for (int32_t id = 0; id < tdbg_read_n_tensors(trace); id++) {
        struct tdbg_tensor t;
        must(trace, tdbg_read_tensor(trace, id, &t));
        printf("  %-28s %-5s(", t.name, elems[t.elem]);
        for (int32_t d = 0; d < t.ndim; d++)
            printf("%s%" PRId64, d ? ", " : "", t.shape[d]);
        printf(")  %s\n", kept[t.keep]);
    }
}

/* The loss at up to CURVE_LINES steps, as bars between 0 and the largest. */
static void print_losses(struct tdbg_read *trace)
{
    int64_t first = tdbg_read_int(trace, TDBG_INT_FIRST_STEP);
    int64_t n = tdbg_read_int(trace, TDBG_INT_STEPS);
    int64_t stride = (n + CURVE_LINES - 1) / CURVE_LINES;
    struct tdbg_read_step *rows = malloc((size_t)n * sizeof *rows);
    float largest = 0;
    if (!rows)
        exit(1);
    must(trace, tdbg_read_steps(trace, first, n, rows));
    for (int64_t i = 0; i < n; i++) /* comparisons with a NaN are false */
        largest = rows[i].loss > largest && rows[i].loss < INFINITY ? rows[i].loss : largest;
    for (int64_t i = 0; i < n; i += stride) {
        float part = largest > 0 ? rows[i].loss / largest : 0;
        int bar = part > 0 && part <= 1 ? (int)(part * BAR) : 0;
        printf("  step %6" PRId64 "  loss %-12.6g |%.*s\n", rows[i].step, (double)rows[i].loss, bar,
               "##################################################");
    }
    free(rows);
}

/* Elements that print as what they are; 16-bit floats as their bits. */
static void print_element(const void *data, enum tdbg_elem elem, int64_t i)
{
    uint16_t half;
    switch (elem) {
    case TDBG_F32:
        printf("%.9g", (double)((const float *)data)[i]);
        return;
    case TDBG_F64:
        printf("%.17g", ((const double *)data)[i]);
        return;
    case TDBG_U8:
        printf("%u", ((const uint8_t *)data)[i]);
        return;
    case TDBG_I32:
        printf("%" PRId32, ((const int32_t *)data)[i]);
        return;
    case TDBG_I64:
        printf("%" PRId64, ((const int64_t *)data)[i]);
        return;
    case TDBG_BF16:
    case TDBG_F16:
        memcpy(&half, (const char *)data + 2 * i, sizeof half);
        printf("0x%04x", half);
        return;
    }
}

static void print_tensor(struct tdbg_read *trace, const char *name, int64_t step)
{
    int32_t id;
    int64_t n, elems = 1;
    struct tdbg_tensor t;
    struct tdbg_tensor_stats s;
    must(trace, tdbg_read_find(trace, name, -1, -1, &id));
    must(trace, tdbg_read_tensor(trace, id, &t));
    must(trace, tdbg_read_stats(trace, step, id, &s));
    printf("%s at step %" PRId64 "\nmin %.9g  max %.9g  mean %.9g  rms %.9g\n", t.name, step, s.min,
           s.max, s.mean, s.rms);
    printf("zeros %" PRIu64 "  NaN %" PRIu64 "  Inf %" PRIu64 "\n", s.zeros, s.nans, s.infs);
    if (!(tdbg_read_has(trace, step, id) & TDBG_HAS_VALUES)) {
        printf("its values are not stored; tdbg show may compute them again\n");
        return;
    }
    for (int32_t d = 0; d < t.ndim; d++)
        elems *= t.shape[d];
    size_t bytes = (size_t)elems * tdbg_elem_bytes(t.elem);
    void *data = malloc(bytes);
    if (!data)
        exit(1);
    must(trace, tdbg_read_values(trace, step, id, data, bytes, &n));
    for (int64_t i = 0; i < n && i < MOST_VALUES; i++) {
        print_element(data, t.elem, i);
        putchar(i + 1 == n || i % 8 == 7 ? '\n' : ' ');
    }
    if (n > MOST_VALUES)
        printf("... %" PRId64 " more\n", n - MOST_VALUES);
    free(data);
}

int main(int argc, char **argv)
{
    struct tdbg_read *trace = NULL;
    if (argc != 2 && argc != 4) {
        fprintf(stderr, "usage: read_trace TRACE [TENSOR STEP]\n");
        return 2;
    }
    int result = tdbg_read_open(argv[1], &trace); /* trace is set in any case */
    must(trace, result);
    if (argc == 4) {
        print_tensor(trace, argv[2], strtoll(argv[3], NULL, 10));
    } else {
        print_run(trace);
        print_tensors(trace);
        print_losses(trace);
    }
    tdbg_read_close(trace);
    return 0;
}
