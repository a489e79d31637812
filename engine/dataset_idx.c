/* Data sets in idx format (Yann LeCun's MNIST files): a magic number (0, 0, type, dimensions),
 * big-endian sizes, then the elements, big-endian. gzread() reads plain and compressed files alike.
 * See dataset.h. */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <zlib.h>

#include "engine/dataset.h"

enum {
    MAX_IDX_DIMS = TDBG_MAX_DIMS,
    MOST_DEFLATE = 1032 /* bytes that a compressed byte can stand for */
};
#define MAX_SET_BYTES (INT64_C(1) << 36)

static bool find_elem(unsigned char type, enum tdbg_elem *out)
{
    static const struct {
        unsigned char type;
        enum tdbg_elem elem;
    } types[] = {{0x08, TDBG_ELEM_U8},  {0x09, TDBG_ELEM_I8},  {0x0b, TDBG_ELEM_I16},
                 {0x0c, TDBG_ELEM_I32}, {0x0d, TDBG_ELEM_F32}, {0x0e, TDBG_ELEM_F64}};
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        if (types[i].type == type) {
            *out = types[i].elem;
            return true;
        }
    }
    return false;
}

/* Exactly n bytes, or a message. */
static enum tdbg_status read_exactly(gzFile f, void *to, int64_t n, struct tdbg_err *err)
{
    unsigned char *p = to;
    while (n > 0) {
        unsigned part = n > INT_MAX / 2 ? INT_MAX / 2 : (unsigned)n;
        int got = gzread(f, p, part);
        int code;
        if (got < 0)
            return TDBG_RAISE(err, DATA, "%s", gzerror(f, &code));
        if (got == 0)
            return TDBG_RAISE(err, DATA, "the file ends %lld bytes too early", (long long)n);
        p += got;
        n -= got;
    }
    return TDBG_OK;
}

static enum tdbg_status read_header(gzFile f, struct tdbg_array *idx, int64_t *elems,
                                    struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    unsigned char magic[4], size[4];
    TDBG_TRY(read_exactly(f, magic, sizeof magic, err));
    TDBG_FAIL_IF(magic[0] || magic[1] || magic[3] < 1 || magic[3] > MAX_IDX_DIMS, DATA,
                 "not an idx file (magic number %02x%02x%02x%02x)", magic[0], magic[1], magic[2],
                 magic[3]);
    TDBG_FAIL_IF(!find_elem(magic[2], &idx->elem), DATA,
                 "idx element type 0x%02x; known are 0x08 (u8), 0x09 (i8), 0x0b (i16), 0x0c (i32), "
                 "0x0d (f32) and 0x0e (f64)",
                 magic[2]);
    idx->swapped = true;
    idx->ndim = magic[3];
    *elems = 1;
    for (int32_t d = 0; d < idx->ndim; d++) {
        TDBG_TRY(read_exactly(f, size, sizeof size, err));
        int64_t n = (int64_t)size[0] << 24 | size[1] << 16 | size[2] << 8 | size[3];
        TDBG_FAIL_IF(n < 1 || *elems > MAX_SET_BYTES / 8 / n, DATA,
                     "impossible size %lld in dimension %d", (long long)n, (int)d);
        idx->dims[d] = n;
        *elems *= n;
    }
out:
    return st;
}

static enum tdbg_status read_idx(const struct tdbg_dataset_request *r, const char *key,
                                 const char *path, struct tdbg_array *idx, struct tdbg_err *err)
{
    (void)r;
    (void)key;
    enum tdbg_status st = TDBG_OK;
    struct stat info;
    gzFile f = NULL;
    char extra;
    int64_t elems;
    TDBG_FAIL_IF(stat(path, &info) != 0, DATA, "%s", strerror(errno));
    TDBG_FAIL_IF(!S_ISREG(info.st_mode), DATA, "not a regular file");
    f = gzopen(path, "rb");
    TDBG_FAIL_IF(!f, DATA, "%s", strerror(errno ? errno : ENOMEM));
    gzbuffer(f, 1 << 18);
    TDBG_TRY(read_header(f, idx, &elems, err));
    const int64_t bytes = elems * (int64_t)tdbg_elem_bytes(idx->elem);
    TDBG_FAIL_IF(bytes / MOST_DEFLATE > info.st_size, DATA,
                 "its sizes make %lld bytes, which a file of %lld bytes cannot hold",
                 (long long)bytes, (long long)info.st_size);
    idx->data = idx->block = malloc((size_t)bytes);
    TDBG_FAIL_IF(!idx->data, NO_MEMORY, "no memory for %lld bytes", (long long)bytes);
    TDBG_TRY(read_exactly(f, idx->block, bytes, err));
    TDBG_FAIL_IF(gzread(f, &extra, 1) != 0, DATA, "the file goes on after its last element");
out:
    if (f)
        gzclose(f);
    return st;
}

static enum tdbg_status load(const struct tdbg_dataset_request *r, struct tdbg_dataset *out,
                             struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct tdbg_array images = {0}, labels = {0};
    const struct tdbg_cfg_node *x_at = tdbg_dataset_node(r, "images");
    const struct tdbg_cfg_node *y_at = tdbg_dataset_node(r, "labels");
    const int before = tdbg_config_n_diagnostics(r->config);
    TDBG_TRY(tdbg_dataset_load_array(r, "images", "images", read_idx, &images, err));
    TDBG_TRY(tdbg_dataset_load_array(r, "labels", "labels", read_idx, &labels, err));
    if (tdbg_config_n_diagnostics(r->config) != before)
        goto out;
    if (labels.ndim != 1 || images.ndim < 2 || images.ndim > TDBG_MAX_DIMS - 2) {
        tdbg_config_report(r->config, y_at, NULL,
                           "the images have %d dimensions and the labels %d; at least 2 and "
                           "exactly 1 are wanted (are the two files exchanged?)",
                           (int)images.ndim, (int)labels.ndim);
        goto out;
    }
    if (labels.dims[0] != images.dims[0]) {
        tdbg_config_report(r->config, y_at, NULL, "%lld labels for %lld images",
                           (long long)labels.dims[0], (long long)images.dims[0]);
        goto out;
    }
    TDBG_TRY(tdbg_dataset_from_arrays(r->config, &images, x_at, TDBG_INPUTS_VALUES, &labels, y_at,
                                      TDBG_TARGETS_AUTO, out, err));
out:
    tdbg_array_free(&images);
    tdbg_array_free(&labels);
    return st;
}

static const struct tdbg_option options[] = {
    {"data.train.images", TDBG_OPT_PATH, "", 0, 0, NULL, NULL, TDBG_OPT_REQUIRED,
     "Training samples; relative to the config file."},
    {"data.train.labels", TDBG_OPT_PATH, "", 0, 0, NULL, NULL, TDBG_OPT_REQUIRED,
     "Training class indices."},
    {"data.test.images", TDBG_OPT_PATH, "", 0, 0, NULL, NULL, 0, "Evaluation samples."},
    {"data.test.labels", TDBG_OPT_PATH, "", 0, 0, NULL, NULL, 0, "Evaluation class indices."},
};

const struct tdbg_dataset_kind tdbg_dataset_idx = {
    .name = "idx",
    .main_key = "images",
    .options = {options, (int)(sizeof options / sizeof options[0])},
    .load = load,
};
