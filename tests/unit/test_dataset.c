/* Data sets of every format: what they hold, what is refused and how, and changed files, which must
 * never do more than be refused. */
#include <hdf5.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>
#include <cmocka.h>

#include "base/config.h"
#include "base/philox.h"
#include "engine/dataset.h"
#include "engine/engine_options.h"
#include "engine/sampler.h"
#include "trace/array_file.h"

static char folder[] = "/tmp/tdbg-dataset-XXXXXX";
static struct tdbg_dataset sets[TDBG_SET_COUNT];
static struct tdbg_config *config;

/* --- files --- */

static const char *in_folder(const char *name)
{
    static char path[256];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

static void put(const char *name, const void *bytes, size_t n)
{
    FILE *f = fopen(in_folder(name), "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(bytes, 1, n, f), n);
    fclose(f);
}

static void put_text(const char *name, const char *text)
{
    put(name, text, strlen(text));
}

static void put_npy(const char *name, const char *header, const void *data, size_t n)
{
    unsigned char bytes[4096] = "\x93NUMPY\x01";
    const size_t length = strlen(header);
    bytes[8] = (unsigned char)length;
    memcpy(bytes + 10, header, length);
    memcpy(bytes + 10 + length, data, n);
    put(name, bytes, 10 + length + n);
}

static void put_cifar(const char *name, int first, int n)
{
    unsigned char *bytes = malloc((size_t)n * 3073);
    for (int i = 0; i < n; i++) {
        memset(bytes + i * 3073, first + i, 3073);
        bytes[i * 3073] = (unsigned char)((first + i) % 10);
    }
    put(name, bytes, (size_t)n * 3073);
    free(bytes);
}

/* --- loading --- */

static void clear(void)
{
    for (int i = 0; i < TDBG_SET_COUNT; i++)
        tdbg_dataset_clear(&sets[i]);
    tdbg_config_destroy(config);
    config = NULL;
}

/* Loads a data group; the messages, or "". The caller frees them. */
static char *load(const char *data)
{
    char text[2048], name[256];
    struct tdbg_err err = {0};
    clear();
    snprintf(text, sizeof text,
             "seed = 5; steps = 1; data = { batch = 2; %s };\n"
             "model = ( { op = \"linear\"; out = 2; } );\n"
             "optimizer = { kind = \"sgd\"; lr = 0.1; };",
             data);
    snprintf(name, sizeof name, "%s/train.cfg", folder);
    assert_int_equal(tdbg_config_parse(text, name, NULL, 0, &config, &err), TDBG_OK);
    tdbg_engine_check_options(config, NULL, 0);
    tdbg_dataset_check_files(config);
    if (tdbg_config_n_diagnostics(config) == 0)
        assert_int_equal(tdbg_dataset_load(config, tdbg_array_file_read, sets, &err), TDBG_OK);
    return tdbg_config_messages(config);
}

static void load_well(const char *data)
{
    char *messages = load(data);
    if (messages[0])
        fail_msg("%s: %s", data, messages);
    free(messages);
}

static void refused(const char *data, const char *text)
{
    char *messages = load(data);
    if (!strstr(messages, text))
        fail_msg("%s: no '%s' in: %s", data, text, messages);
    free(messages);
}

static const struct tdbg_data_shape *train_shape(void)
{
    return &sets[TDBG_SET_TRAIN].shape;
}

/* --- npy --- */

#define NPY "kind = \"npy\"; train = { x = \"x.npy\"; y = \"y.npy\"; }; "

static void test_npy(void **state)
{
    (void)state;
    static const unsigned char x[] = {1, 2, 3, 4, 5, 6}, be[] = {0x3f, 0xc0, 0, 0, 0xc0, 0, 0, 0};
    static const int64_t y[] = {2, 0}, tokens[] = {5, 1, 0, 7};
    static const double targets[] = {0.25, -3};
    unsigned char bytes[16];
    int64_t label;
    float f[4];
    int32_t t[2];
    put_npy("x.npy", "{'descr': '|u1', 'fortran_order': False, 'shape': (2, 3), }\n", x, 6);
    put_npy("y.npy", "{'descr': '<i8', 'fortran_order': False, 'shape': (2,), }\n", y, 16);
    load_well(NPY);
    assert_int_equal(train_shape()->x_dtype, TDBG_DTYPE_U8);
    assert_int_equal(train_shape()->count, 2);
    assert_int_equal(train_shape()->classes, 3);
    assert_int_equal(train_shape()->y_ndim, 0);
    tdbg_dataset_copy(&sets[0], 1, bytes, &label);
    assert_memory_equal(bytes, x + 3, 3);
    assert_int_equal(label, 0);

    put_npy("x.npy", "{\"shape\":(2,1),\"descr\":\">f4\",\"fortran_order\":False}", be, 8);
    put_npy("y.npy", "{'descr': '<f8', 'fortran_order': False, 'shape': (2,)}", targets, 16);
    load_well(NPY);
    assert_int_equal(train_shape()->x_dtype, TDBG_DTYPE_F32);
    assert_int_equal(train_shape()->y_dtype, TDBG_DTYPE_F32);
    assert_int_equal(train_shape()->y_ndim, 1);
    tdbg_dataset_copy(&sets[0], 0, f, f + 1);
    assert_true(f[0] == 1.5f && f[1] == 0.25f);

    put_npy("x.npy", "{'descr': '<i8', 'fortran_order': False, 'shape': (2, 2)}", tokens, 32);
    put_npy("y.npy", "{'descr': '<i8', 'fortran_order': False, 'shape': (2, 2)}", tokens, 32);
    load_well(NPY);
    assert_int_equal(train_shape()->x_dtype, TDBG_DTYPE_I32);
    assert_int_equal(train_shape()->vocab, 8);
    assert_int_equal(train_shape()->y_ndim, 1);
    int64_t next[2];
    tdbg_dataset_copy(&sets[0], 1, t, next);
    assert_true(t[0] == 0 && t[1] == 7 && next[1] == 7);
    load_well(NPY "inputs = \"values\"; targets = \"values\";");
    assert_int_equal(train_shape()->x_dtype, TDBG_DTYPE_F32);
    assert_int_equal(train_shape()->y_dtype, TDBG_DTYPE_F32);
}

static void test_npy_refused(void **state)
{
    (void)state;
    static const double y[] = {0.5, 1};
    static const int64_t one[] = {1, -2};
    static const char *const headers[][2] = {
        {"{'descr': '<f8', 'fortran_order': True, 'shape': (2,)}", "Fortran"},
        {"{'descr': '<f8', 'fortran_order': False, 'shape': (3,)}", "cut off"},
        {"{'descr': '<f8', 'fortran_order': False, 'shape': (1,)}", "instead of 8"},
        {"{'descr': '<f8', 'fortran_order': False, 'shape': (999999999999999999, 9)}", "cut off"},
        {"{'descr': '<f8', 'fortran_order': False, 'shape': (0,)}", "empty"},
        {"{'descr': '<f8', 'fortran_order': False, 'shape': (1,1,1,1,1,1,1,1,2)}", "dimensions"},
        {"{'descr': '<c16', 'fortran_order': False, 'shape': (1,)}", "plain number"},
        {"{'descr': [('a', '<f8')], 'fortran_order': False, 'shape': (1,)}", "plain number"},
        {"{'descr': '<f8', 'shape': (2,)}", "lacks a key"},
        {"{'descr': '<f8', 'more': 1}", "unknown key"},
        {"{'descr", "no dict of"},
        {"", "no dict"},
    };
    put_npy("x.npy", "{'descr': '<f8', 'fortran_order': False, 'shape': (2,)}", y, 16);
    for (size_t i = 0; i < sizeof headers / sizeof *headers; i++) {
        put_npy("y.npy", headers[i][0], y, 16);
        refused(NPY, headers[i][1]);
        assert_int_equal(sets[0].shape.count, 0);
    }
    put("y.npy", "\x93NUMPY\x09\0\0\0\0\0", 12);
    refused(NPY, "npy version 9");
    put("y.npy", "\x93NUMPY\x02\0\xff\xff\xff\xff", 12);
    refused(NPY, "cut off");
    put("y.npy", "", 0);
    refused(NPY, "not an npy file");
    put_npy("y.npy", "{'descr': '<f8', 'fortran_order': False, 'shape': (2,)}", y, 16);
    refused(NPY "targets = \"classes\";", "no class indices");
    refused(NPY "inputs = \"tokens\";", "one dimension");
    put_npy("y.npy", "{'descr': '<i8', 'fortran_order': False, 'shape': (1,)}", one, 8);
    refused(NPY, "1 targets for 2 samples");
    unlink(in_folder("y.npy"));
    refused(NPY, "No such file");
    refused("kind = \"npy\"; train = { x = \"x.npy\"; };", "data.train.y");
    refused(NPY "test = { x = \"x.npy\"; };", "data.test has no 'y'");
}

/* --- CIFAR-10 --- */

static void test_cifar10(void **state)
{
    (void)state;
    unsigned char x[3072];
    int64_t y;
    put_cifar("1.bin", 0, 3);
    put_cifar("2.bin", 7, 4);
    load_well("kind = \"cifar10\"; train = { images = [\"1.bin\", \"2.bin\"]; }; "
              "test = { images = \"2.bin\"; };");
    assert_int_equal(train_shape()->count, 7);
    assert_int_equal(sets[TDBG_SET_EVAL].shape.count, 4);
    assert_int_equal(train_shape()->classes, 10);
    tdbg_dataset_copy(&sets[0], 6, x, &y);
    assert_int_equal(y, 0);
    assert_true(x[0] == 10 && x[3071] == 10);
    put_text("2.bin", "short");
    refused("kind = \"cifar10\"; train = { images = [\"1.bin\", \"2.bin\"]; };", "2.bin: not a");
    put_cifar("2.bin", 0, 1);
    FILE *f = fopen(in_folder("2.bin"), "r+b");
    fputc(10, f);
    fclose(f);
    refused("kind = \"cifar10\"; train = { images = \"2.bin\"; };", "label 10");
    refused("kind = \"cifar10\"; train = { images = []; };", "data.train.images");
    refused("kind = \"cifar10\"; train = { images = 3; };", "a path in quotes or a list of them");
}

/* --- csv --- */

#define CSV "kind = \"csv\"; train = { csv = \"t.csv\"; }; "

static void test_csv(void **state)
{
    (void)state;
    float x[2], value;
    int64_t y;
    put_text("t.csv", "a,label, \"b\"\r\n1.5,2,-3e2\r\n\r\n 4 , 0 , \"5\"\n");
    load_well(CSV "csv = { target = \"label\"; };");
    assert_int_equal(train_shape()->count, 2);
    assert_int_equal(train_shape()->classes, 3);
    tdbg_dataset_copy(&sets[0], 0, x, &y);
    assert_true(x[0] == 1.5f && x[1] == -300 && y == 2);
    load_well(CSV);
    assert_int_equal(train_shape()->y_dtype, TDBG_DTYPE_F32); /* one is written as -3e2 */
    tdbg_dataset_copy(&sets[0], 1, x, &value);
    assert_true(x[0] == 4 && x[1] == 0 && value == 5);
    put_text("t.csv", "1;2\n3;4");
    load_well(CSV "csv = { separator = \";\"; target = \"0\"; };");
    assert_int_equal(train_shape()->classes, 4);
    refused(CSV "csv = { separator = \";\"; target = \"x\"; };", "no column \"x\"");
    refused(CSV "csv = { separator = \";\"; target = \"2\"; };", "no column \"2\"");
    refused(CSV "csv = { separator = \"\"; };", "one character");
    refused(CSV, "columns");
    put_text("t.csv", "1,2\n3,nan\n");
    refused(CSV, "line 2, column 1: 'nan'");
    put_text("t.csv", "1,2\n3\n");
    refused(CSV, "line 2 has 1 columns instead of 2");
    put_text("t.csv", "1,2\n3,4,5\n");
    refused(CSV, "line 2 has more than 2 columns");
    put_text("t.csv", "a,b\n");
    refused(CSV, "no line of numbers");
    put_text("t.csv", "");
    refused(CSV, "t.csv");
    put_text("t.csv", "1,2\n,4\n");
    refused(CSV, "no finite number");
}

/* --- text --- */

#define TEXT "kind = \"text\"; train = { text = \"t.txt\"; }; "

static void test_text_bytes(void **state)
{
    (void)state;
    int32_t x[4];
    int64_t y[4];
    put_text("t.txt", "abcdefghij\xff");
    load_well(TEXT "tokens = { context = 4; };");
    assert_int_equal(train_shape()->count, 2);
    assert_int_equal(train_shape()->vocab, 256);
    tdbg_dataset_copy(&sets[0], 1, x, y);
    for (int i = 0; i < 4; i++)
        assert_true(x[i] == 'e' + i && y[i] == 'f' + i);
    load_well(TEXT "tokens = { context = 5; };"); /* the last target is the last byte */
    tdbg_dataset_copy(&sets[0], 1, (int32_t[5]){0}, (int64_t[5]){0});
    assert_int_equal(train_shape()->count, 2);
    refused(TEXT "tokens = { context = 11; };", "11 tokens are not one sample");
    refused(TEXT, "data.tokens.context");
    refused(TEXT "tokens = { context = 4; kind = \"bpe\"; };", "not supported yet");
    gzFile f = gzopen(in_folder("t.txt.gz"), "wb");
    gzputs(f, "klmno");
    gzclose(f);
    load_well("kind = \"text\"; train = { text = [\"t.txt\", \"t.txt.gz\"]; }; "
              "tokens = { context = 4; };");
    assert_int_equal(train_shape()->count, 3);
    tdbg_dataset_copy(&sets[0], 2, x, y);
    assert_true(x[0] == 'i' && x[2] == 0xff && y[2] == 'k' && y[3] == 'l');
    put("t.txt.gz", "\x1f\x8b\x08\0\0\0\0\0\0\x03garbage", 17);
    refused("kind = \"text\"; train = { text = \"t.txt.gz\"; }; tokens = { context = 4; };",
            "t.txt.gz");
}

static void test_text_characters(void **state)
{
    (void)state;
    int32_t x[4];
    int64_t y[4];
    put_text("t.txt", "b\xc3\xa4"
                      "a\xe2\x82\xac"
                      "b\xf0\x9f\x98\x80"
                      "b"); /* b ae a euro b smile b */
    put_text("e.txt", "abab\xc3\xa4");
    load_well(TEXT "test = { text = \"e.txt\"; }; tokens = { context = 3; kind = \"char\"; };");
    assert_int_equal(train_shape()->vocab, 5);
    assert_int_equal(train_shape()->classes, 5);
    assert_int_equal(sets[0].vocab[4], 0x1f600);
    tdbg_dataset_copy(&sets[0], 0, x, y);
    assert_true(x[0] == 1 && x[1] == 2 && x[2] == 0 && y[2] == 3);
    tdbg_dataset_copy(&sets[1], 0, x, y);
    assert_true(x[0] == 0 && x[1] == 1 && y[2] == 1);
    const uint64_t before = sets[0].fingerprint;
    put_text("e.txt", "abcab");
    refused(TEXT "test = { text = \"e.txt\"; }; tokens = { context = 3; kind = \"char\"; };",
            "U+0063 at byte 2");
    put_text("v.txt", "abc\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80");
    load_well(TEXT "test = { text = \"e.txt\"; }; "
                   "tokens = { context = 3; kind = \"char\"; vocab = \"v.txt\"; };");
    assert_int_equal(train_shape()->vocab, 6);
    assert_true(sets[0].fingerprint != before);
    put_text("t.txt", "ab\xc3");
    refused(TEXT "tokens = { context = 1; kind = \"char\"; };", "byte 2 is not UTF-8");
}

/* --- HDF5 --- */

static void put_hdf5(const char *name)
{
    static const hsize_t dims[] = {3, 2};
    static const double x[] = {1, 2, 3, 4, 5, 6};
    static const int16_t y[] = {1, 0, 1};
    hid_t f = H5Fcreate(in_folder(name), H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT);
    hid_t g = H5Gcreate2(f, "data", H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
    hid_t sx = H5Screate_simple(2, dims, NULL), sy = H5Screate_simple(1, dims, NULL);
    hid_t text = H5Tcopy(H5T_C_S1);
    hid_t dx =
        H5Dcreate2(f, "data/images", H5T_IEEE_F64BE, sx, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
    hid_t dy = H5Dcreate2(f, "labels", H5T_STD_I16BE, sy, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
    hid_t dt = H5Dcreate2(f, "words", text, sy, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
    assert_true(H5Dwrite(dx, H5T_NATIVE_DOUBLE, H5S_ALL, H5S_ALL, H5P_DEFAULT, x) >= 0);
    assert_true(H5Dwrite(dy, H5T_NATIVE_INT16, H5S_ALL, H5S_ALL, H5P_DEFAULT, y) >= 0);
    H5Dclose(dx);
    H5Dclose(dy);
    H5Dclose(dt);
    H5Tclose(text);
    H5Sclose(sx);
    H5Sclose(sy);
    H5Gclose(g);
    H5Fclose(f);
}

static void test_hdf5(void **state)
{
    (void)state;
    float x[2];
    int64_t y;
    put_hdf5("t.h5");
    load_well("kind = \"hdf5\"; train = { file = \"t.h5\"; x = \"/data/images\"; y = \"labels\"; };"
              " test = { file = \"t.h5\"; };");
    assert_int_equal(train_shape()->count, 3);
    assert_int_equal(sets[TDBG_SET_EVAL].shape.count, 3);
    assert_int_equal(train_shape()->classes, 2);
    tdbg_dataset_copy(&sets[0], 2, x, &y);
    assert_true(x[0] == 5 && x[1] == 6 && y == 1);
    refused("kind = \"hdf5\"; train = { file = \"t.h5\"; x = \"data/images\"; y = \"label\"; };",
            "did you mean 'labels'");
    refused("kind = \"hdf5\"; train = { file = \"t.h5\"; x = \"zzz\"; };", "it has 'data/images'");
    refused("kind = \"hdf5\"; train = { file = \"t.h5\"; x = \"data/images\"; y = \"words\"; };",
            "plain numbers");
    put_text("t.h5", "text");
    refused("kind = \"hdf5\"; train = { file = \"t.h5\"; };", "not an HDF5 file");
}

/* --- the split --- */

static void test_split(void **state)
{
    (void)state;
    char text[4096] = "";
    bool seen[100] = {0};
    float x;
    int64_t y;
    for (int i = 0; i < 100; i++)
        snprintf(text + strlen(text), sizeof text - strlen(text), "%d,%d\n", i, i % 3);
    put_text("t.csv", text);
    load_well(CSV "split = 0.2;");
    assert_int_equal(train_shape()->count, 80);
    assert_int_equal(sets[TDBG_SET_EVAL].shape.count, 20);
    int n_last = 0;
    for (int set = 0; set < 2; set++) {
        float before = -1;
        for (int64_t i = 0; i < sets[set].shape.count; i++) {
            tdbg_dataset_copy(&sets[set], i, &x, &y);
            assert_true(!seen[(int)x] && x > before && y == (int)x % 3);
            seen[(int)x] = true;
            before = x;
            n_last += set == 1 && x >= 80;
        }
    }
    assert_true(n_last < 20);
    refused(CSV "split = 0.2; test = { csv = \"t.csv\"; };", "there is a test set");
    refused(CSV "split = 1.5;", "data.split");
    put_text("t.txt", "0123456789a");
    load_well(TEXT "split = 0.2; tokens = { context = 1; };");
    int32_t token;
    tdbg_dataset_copy(&sets[1], 0, &token, &y);
    assert_true(token == '8' && y == '9' && sets[1].shape.count == 2);
}

/* --- the sampler --- */

static void test_repeat(void **state)
{
    (void)state;
    int64_t ids[4], all[6], n_seen[5] = {0};
    struct tdbg_sampler s;
    load_well(CSV "sampler = { pad = \"repeat\"; };");
    assert_int_equal(tdbg_sampler_init(&s, tdbg_config_root(config), 5, NULL), TDBG_OK);
    assert_false(tdbg_sampler_drops_last(tdbg_config_root(config)));
    for (int64_t step = 0; step < 3; step++) {
        assert_int_equal(tdbg_sampler_batch(&s, step, ids), 2);
        memcpy(all + 2 * step, ids, 2 * sizeof *ids);
    }
    for (int i = 0; i < 5; i++)
        n_seen[all[i]]++;
    for (int i = 0; i < 5; i++)
        assert_int_equal(n_seen[i], 1);
    assert_int_equal(all[5], all[0]);
    tdbg_sampler_clear(&s);
}

/* --- changed files --- */

static void change(unsigned char *bytes, size_t *n, uint64_t round)
{
    struct tdbg_philox_block b = tdbg_philox(99, round, 0);
    const int n_changes = 1 + (int)(b.word[0] % 4);
    if (b.word[0] & 0x100)
        *n = b.word[1] % *n;
    for (int i = 0; i<n_changes && * n> 0; i++) {
        b = tdbg_philox(99, round, (uint64_t)i + 1);
        const size_t within = b.word[2] & 1 ? *n : *n < 96 ? *n : 96; /* headers above all */
        bytes[b.word[0] % within] = (unsigned char)b.word[1];
    }
}

static void test_changed_files(void **state)
{
    (void)state;
    static const int64_t y[] = {2, 0, 1, 1};
    static const struct {
        const char *file, *data;
    } cases[] = {
        {"x.npy", NPY},
        {"t.csv", CSV},
        {"t.txt", TEXT "tokens = { context = 2; kind = \"char\"; };"},
        {"1.bin", "kind = \"cifar10\"; train = { images = \"1.bin\"; };"},
        {"i.gz", "kind = \"idx\"; train = { images = \"i.gz\"; labels = \"l.gz\"; };"},
        {"t.txt.gz",
         "kind = \"text\"; train = { text = \"t.txt.gz\"; }; tokens = { context = 2; };"},
    };
    static unsigned char original[4096], bytes[4096];
    put_npy("x.npy", "{'descr': '<i8', 'fortran_order': False, 'shape': (4,), }", y, 32);
    put_npy("y.npy", "{'descr': '<i8', 'fortran_order': False, 'shape': (4,), }", y, 32);
    put_text("t.csv", "a,b\n1,2\n3.5,1\n");
    put_text("t.txt", "b\xc3\xa4"
                      "a\xe2\x82\xac"
                      "b\xf0\x9f\x98\x80"
                      "b");
    put_cifar("1.bin", 0, 1);
    put("i.gz",
        "\0\0\x08\x03\0\0\0\x02\0\0\0\x01\0\0\0\x02"
        "abcd",
        20);
    put("l.gz", "\0\0\x08\x01\0\0\0\x02\0\x01", 10);
    gzFile gz = gzopen(in_folder("t.txt.gz"), "wb");
    gzputs(gz, "some text that is packed");
    gzclose(gz);
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        FILE *f = fopen(in_folder(cases[c].file), "rb");
        const size_t n = fread(original, 1, sizeof original, f);
        fclose(f);
        load_well(cases[c].data);
        for (uint64_t round = 0; round < 400; round++) {
            size_t left = n;
            memcpy(bytes, original, n);
            change(bytes, &left, round + c * 1000);
            put(cases[c].file, bytes, left);
            free(load(cases[c].data)); /* loaded or refused */
        }
        put(cases[c].file, original, n);
    }
}

static int remove_folder(void **state)
{
    (void)state;
    char command[300];
    clear();
    snprintf(command, sizeof command, "rm -r '%s'", folder);
    return system(command);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_npy),        cmocka_unit_test(test_npy_refused),
        cmocka_unit_test(test_cifar10),    cmocka_unit_test(test_csv),
        cmocka_unit_test(test_text_bytes), cmocka_unit_test(test_text_characters),
        cmocka_unit_test(test_hdf5),       cmocka_unit_test(test_split),
        cmocka_unit_test(test_repeat),     cmocka_unit_test(test_changed_files),
    };
    if (!mkdtemp(folder))
        return 1;
    return cmocka_run_group_tests(tests, NULL, remove_folder);
}
