/* Every case of the op-case table (op_cases.h): bit-equal on every instruction set of this
 * processor and 1, 2 and 7 threads; equal to its golden hash; its gradients against finite
 * differences. --hashes prints the golden hashes of this build. --dump FOLDER writes every case's
 * tensors for compare_torch.py. */
#include <inttypes.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/digest.h"
#include "base/json.h"
#include "base/npy.h"
#include "base/philox.h"
#include "op_runner.h"

static const char *const isa_names[] = {"portable", "avx2", "avx512"};
static const int thread_counts[] = {1, 2, 7};

static uint64_t hash_of(const struct op_setup *s, const struct op_result *r)
{
    uint64_t h = tdbg_digest_reference(r->y, TDBG_DTYPE_F32, s->y_elems);
    if (!s->c->evaluates) {
        h = tdbg_chain_absorb(h, tdbg_digest_reference(r->dx, TDBG_DTYPE_F32, s->x_elems));
        for (int32_t p = 0; p < s->n_params; p++)
            h = tdbg_chain_absorb(h,
                                  tdbg_digest_reference(r->grad + s->graph->params[p].offset,
                                                        TDBG_DTYPE_F32, s->graph->params[p].elems));
    }
    for (int32_t b = 0; b < s->n_buffers; b++)
        h = tdbg_chain_absorb(h, tdbg_digest_reference(r->buffer + s->graph->buffers[b].offset,
                                                       TDBG_DTYPE_F32, s->graph->buffers[b].elems));
    return h;
}

static struct tdbg_backend *open_backend(const char *isa, int threads)
{
    struct tdbg_err err = {0};
    struct tdbg_backend *backend = NULL;
    if (tdbg_backend_cpu_create(isa, threads, &backend, &err) != TDBG_OK) {
        tdbg_err_clear(&err);
        return NULL; /* this processor lacks it */
    }
    return backend;
}

static void test_bits(const struct op_setup *s)
{
    for (size_t i = 0; i < sizeof isa_names / sizeof isa_names[0]; i++) {
        for (size_t t = 0; t < sizeof thread_counts / sizeof thread_counts[0]; t++) {
            struct tdbg_backend *backend = open_backend(isa_names[i], thread_counts[t]);
            if (!backend)
                continue;
            struct op_result r = op_run(s, backend);
            const uint64_t hash = hash_of(s, &r);
            if (hash != s->c->golden)
                fail_msg("%s, %s, %d threads: hash 0x%016" PRIx64 ", golden is 0x%016" PRIx64,
                         s->c->name, isa_names[i], thread_counts[t], hash, s->c->golden);
            op_result_free(&r);
            tdbg_backend_cpu_destroy(backend);
        }
    }
}

static double loss_of(const struct op_setup *s, const struct tdbg_backend *backend)
{
    struct op_result r = op_run(s, backend);
    double sum = 0;
    for (int64_t i = 0; i < s->y_elems; i++)
        sum += (double)r.y[i] * (double)s->dy[i];
    op_result_free(&r);
    return sum;
}

/* d loss / d *value, or NAN where the loss has a kink nearby. */
static double difference(const struct op_setup *s, const struct tdbg_backend *backend, float *value,
                         double middle)
{
    const float old = *value, step = 0x1p-6f;
    *value = old + step;
    const double high = loss_of(s, backend);
    *value = old - step;
    const double low = loss_of(s, backend);
    *value = old;
    const double above = (high - middle) / (double)step, below = (middle - low) / (double)step;
    return fabs(above - below) > 0.05 * (fabs(above) + fabs(below)) + 0.01
               ? NAN
               : (high - low) / (2 * (double)step);
}

/* Checks some of n values; at least one has to be checkable. */
static void check_differences(const struct op_setup *s, const struct tdbg_backend *backend,
                              const char *what, float *value, const float *grad, int64_t n)
{
    const uint64_t key = tdbg_philox_key(7, TDBG_RANDOM_TEST, 9);
    const double middle = loss_of(s, backend);
    uint64_t counter = 0;
    int checked = 0;
    for (int tries = 0; tries < 24 && checked < 6; tries++) {
        const int64_t i = (int64_t)tdbg_philox_below(key, &counter, (uint64_t)n);
        const double expected = difference(s, backend, &value[i], middle);
        if (isnan(expected))
            continue;
        checked++;
        if (fabs(expected - (double)grad[i]) > 0.02 * fabs(expected) + 0.02)
            fail_msg("%s: gradient of %s[%lld] is %g, finite differences say %g", s->c->name, what,
                     (long long)i, (double)grad[i], expected);
    }
    if (checked == 0)
        fail_msg("%s: no element of %s could be checked", s->c->name, what);
}

static void test_gradients(struct op_setup *s)
{
    struct tdbg_backend *backend = open_backend("auto", 1);
    struct op_result r = op_run(s, backend);
    if (s->c->vocab == 0)
        check_differences(s, backend, "x", s->x, r.dx, s->x_elems);
    for (int32_t p = 0; p < s->n_params; p++) {
        const struct tdbg_param *param = &s->graph->params[p];
        check_differences(s, backend, param->name, s->param + param->offset, r.grad + param->offset,
                          param->elems);
    }
    op_result_free(&r);
    tdbg_backend_cpu_destroy(backend);
}

static void test_case(void **state)
{
    struct op_setup s = op_setup_make(*state);
    test_bits(&s);
    if (!s.c->evaluates)
        test_gradients(&s);
    op_setup_free(&s);
}

/* --- for compare_torch.py --- */

static void write_tensor(const char *folder, const struct op_case *c, const char *what,
                         const void *data, enum tdbg_dtype dtype, int64_t rows,
                         const struct tdbg_shape *shape)
{
    char path[512];
    int64_t dims[TDBG_MAX_DIMS];
    int32_t ndim = 0;
    if (rows > 0)
        dims[ndim++] = rows;
    for (int32_t d = 0; d < shape->ndim; d++)
        dims[ndim++] = shape->dims[d];
    snprintf(path, sizeof path, "%s/%s.%s.npy", folder, c->name, what);
    int64_t elems = 1;
    for (int32_t d = 0; d < ndim; d++)
        elems *= dims[d];
    FILE *file = fopen(path, "wb");
    if (file) {
        tdbg_npy_write_header(file, dtype, ndim, dims);
        tdbg_npy_write_elems(file, dtype, data, elems);
    }
    if (!file || ferror(file) || fclose(file) != 0) {
        fprintf(stderr, "cannot write %s\n", path);
        exit(1);
    }
}

static void dump_case(const char *folder, const struct op_case *c, struct tdbg_json *json)
{
    struct op_setup s = op_setup_make(c);
    const struct tdbg_graph *g = s.graph;
    struct tdbg_backend *backend = open_backend("auto", 0);
    struct op_result r = op_run(&s, backend);
    char what[256];
    write_tensor(folder, c, "x", c->vocab ? (void *)s.index : (void *)s.x,
                 c->vocab ? TDBG_DTYPE_I32 : TDBG_DTYPE_F32, c->rows, &g->sample);
    write_tensor(folder, c, "dy", s.dy, TDBG_DTYPE_F32, c->rows, &g->nodes[s.n_nodes - 1].shape);
    write_tensor(folder, c, "y", r.y, TDBG_DTYPE_F32, c->rows, &g->nodes[s.n_nodes - 1].shape);
    write_tensor(folder, c, "dx", r.dx, TDBG_DTYPE_F32, c->rows, &g->sample);
    tdbg_json_object_begin(json, NULL);
    tdbg_json_string(json, "name", c->name);
    tdbg_json_string(json, "torch", c->torch ? c->torch : "");
    tdbg_json_string(json, "reason", c->reason ? c->reason : "");
    tdbg_json_bool(json, "evaluates", c->evaluates);
    tdbg_json_bool(json, "tokens", c->vocab > 0);
    tdbg_json_double(json, "max_ulp", c->max_ulp > 0 ? c->max_ulp : 32);
    tdbg_json_array_begin(json, "params");
    for (int32_t p = 0; p < s.n_params; p++) {
        const struct tdbg_param *param = &g->params[p];
        tdbg_json_string(json, NULL, param->name);
        snprintf(what, sizeof what, "param.%s", param->name);
        write_tensor(folder, c, what, s.param + param->offset, TDBG_DTYPE_F32, 0, &param->shape);
        snprintf(what, sizeof what, "grad.%s", param->name);
        write_tensor(folder, c, what, r.grad + param->offset, TDBG_DTYPE_F32, 0, &param->shape);
    }
    tdbg_json_array_end(json);
    tdbg_json_array_begin(json, "buffers");
    for (int32_t b = 0; b < s.n_buffers; b++) {
        const struct tdbg_graph_buffer *buffer = &g->buffers[b];
        tdbg_json_string(json, NULL, buffer->name);
        snprintf(what, sizeof what, "before.%s", buffer->name);
        write_tensor(folder, c, what, s.buffer + buffer->offset, TDBG_DTYPE_F32, 0, &buffer->shape);
        snprintf(what, sizeof what, "after.%s", buffer->name);
        write_tensor(folder, c, what, r.buffer + buffer->offset, TDBG_DTYPE_F32, 0, &buffer->shape);
    }
    tdbg_json_array_end(json);
    tdbg_json_object_end(json);
    op_result_free(&r);
    tdbg_backend_cpu_destroy(backend);
    op_setup_free(&s);
}

static int dump(const char *folder)
{
    char path[512];
    snprintf(path, sizeof path, "%s/cases.json", folder);
    FILE *file = fopen(path, "w");
    if (!file) {
        fprintf(stderr, "cannot write %s\n", path);
        return 1;
    }
    struct tdbg_json json;
    tdbg_json_init(&json, file, true);
    tdbg_json_array_begin(&json, NULL);
    for (int i = 0; i < n_op_cases; i++)
        dump_case(folder, &op_cases[i], &json);
    tdbg_json_array_end(&json);
    return fclose(file) != 0;
}

/* What belongs into the table's column `golden`. */
static int print_hashes(void)
{
    struct tdbg_backend *backend = open_backend("portable", 1);
    for (int i = 0; i < n_op_cases; i++) {
        struct op_setup s = op_setup_make(&op_cases[i]);
        struct op_result r = op_run(&s, backend);
        printf("%s 0x%016" PRIx64 "\n", s.c->name, hash_of(&s, &r));
        op_result_free(&r);
        op_setup_free(&s);
    }
    tdbg_backend_cpu_destroy(backend);
    return 0;
}

/* The table is put together from several files: no entry may have been forgotten. */
static void test_backend_is_complete(void **state)
{
    (void)state;
    typedef void (*entry)(void);
    const size_t first = offsetof(struct tdbg_backend, alloc);
    struct tdbg_backend *backend = open_backend("portable", 1);
    assert_non_null(backend);
    for (size_t at = first; at < sizeof *backend; at += sizeof(entry)) {
        entry function;
        memcpy(&function, (const char *)backend + at, sizeof function);
        if (!function)
            fail_msg("entry %zu of struct tdbg_backend, counted from alloc, is not set",
                     (at - first) / sizeof(entry));
    }
    tdbg_backend_cpu_destroy(backend);
}

int main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "--hashes") == 0)
        return print_hashes();
    if (argc == 3 && strcmp(argv[1], "--dump") == 0)
        return dump(argv[2]);
    struct CMUnitTest *tests = calloc((size_t)n_op_cases + 1, sizeof *tests);
    for (int i = 0; i < n_op_cases; i++)
        tests[i] = (struct CMUnitTest){.name = op_cases[i].name,
                                       .test_func = test_case,
                                       .initial_state = (void *)(uintptr_t)&op_cases[i]};
    tests[n_op_cases] = (struct CMUnitTest)cmocka_unit_test(test_backend_is_complete);
    int failed = _cmocka_run_group_tests("ops", tests, (size_t)n_op_cases + 1, NULL, NULL);
    free(tests);
    return failed;
}
