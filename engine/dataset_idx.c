/* Data sets in idx format: a magic number (0, 0, type, dimensions), big-endian sizes, then the
 * elements. gzread() reads plain and compressed files alike. See dataset.h. */
#include "engine/dataset.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <zlib.h>

#include "base/digest.h"
#include "kernels/fused_digest.h"

enum { IDX_U8 = 8, MAX_IDX_DIMS = TDBG_MAX_DIMS };
#define MAX_SET_BYTES (INT64_C(1) << 36)

struct idx_file {
    int32_t ndim;
    int64_t dims[MAX_IDX_DIMS]; /* dims[0] counts samples */
    int64_t elems;
    unsigned char *data; /* owned */
};

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

static enum tdbg_status read_header(gzFile f, struct idx_file *idx, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    unsigned char magic[4], size[4];
    TDBG_TRY(read_exactly(f, magic, sizeof magic, err));
    TDBG_FAIL_IF(magic[0] || magic[1] || magic[3] < 1 || magic[3] > MAX_IDX_DIMS, DATA,
                 "not an idx file (magic number %02x%02x%02x%02x)", magic[0], magic[1], magic[2],
                 magic[3]);
    TDBG_FAIL_IF(magic[2] != IDX_U8, DATA, "idx element type 0x%02x; only 0x08 (u8) is supported",
                 magic[2]);
    idx->ndim = magic[3];
    idx->elems = 1;
    for (int32_t d = 0; d < idx->ndim; d++) {
        TDBG_TRY(read_exactly(f, size, sizeof size, err));
        int64_t n = (int64_t)size[0] << 24 | size[1] << 16 | size[2] << 8 | size[3];
        TDBG_FAIL_IF(n < 1 || idx->elems > MAX_SET_BYTES / n, DATA,
                     "impossible size %lld in dimension %d", (long long)n, (int)d);
        idx->dims[d] = n;
        idx->elems *= n;
    }
out:
    return st;
}

static enum tdbg_status read_idx(const char *path, struct idx_file *idx, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct stat info;
    gzFile f = NULL;
    char extra;
    TDBG_FAIL_IF(stat(path, &info) != 0, DATA, "%s", strerror(errno));
    TDBG_FAIL_IF(!S_ISREG(info.st_mode), DATA, "not a regular file");
    f = gzopen(path, "rb");
    TDBG_FAIL_IF(!f, DATA, "%s", strerror(errno ? errno : ENOMEM));
    gzbuffer(f, 1 << 18);
    TDBG_TRY(read_header(f, idx, err));
    idx->data = malloc((size_t)idx->elems);
    TDBG_FAIL_IF(!idx->data, NO_MEMORY, "no memory for %lld bytes", (long long)idx->elems);
    TDBG_TRY(read_exactly(f, idx->data, idx->elems, err));
    TDBG_FAIL_IF(gzread(f, &extra, 1) != 0, DATA, "the file goes on after its last element");
out:
    if (f)
        gzclose(f);
    return st;
}

/* Reads the file that a config key names; faults of the file become diagnostics. */
static enum tdbg_status load_file(struct tdbg_config *config, const char *key, struct idx_file *idx,
                                  bool *fine, struct tdbg_err *err)
{
    const struct tdbg_cfg_node *root = tdbg_config_root(config);
    char *path = tdbg_cfg_path(config, root, key);
    struct tdbg_err fault = {0};
    enum tdbg_status st = read_idx(path, idx, &fault);
    if (st == TDBG_DATA) {
        tdbg_config_report(config, tdbg_cfg_find(root, key), NULL, "cannot read data set %s: %s",
                           path, fault.message);
        *fine = false;
        st = TDBG_OK;
    } else if (st != TDBG_OK) {
        st = TDBG_RAISE(err, NO_MEMORY, "cannot read data set %s: %s", path, fault.message);
    }
    tdbg_err_clear(&fault);
    free(path);
    return st;
}

static void take_images(struct tdbg_dataset *out, struct idx_file *images)
{
    out->shape.x_dtype = TDBG_DTYPE_U8;
    out->shape.y_dtype = TDBG_DTYPE_I64;
    out->shape.x_ndim = images->ndim - 1;
    memcpy(out->shape.x_dims, images->dims + 1, (size_t)(images->ndim - 1) * sizeof(int64_t));
    out->shape.count = images->dims[0];
    out->sample_bytes = (size_t)(images->elems / images->dims[0]);
    out->x = images->data;
    images->data = NULL;
}

static enum tdbg_status take_labels(struct tdbg_dataset *out, const struct idx_file *labels,
                                    struct tdbg_err *err)
{
    out->y = malloc((size_t)labels->elems * sizeof *out->y);
    if (!out->y)
        return TDBG_RAISE(err, NO_MEMORY, "no memory for %lld labels", (long long)labels->elems);
    for (int64_t i = 0; i < labels->elems; i++) {
        out->y[i] = labels->data[i];
        if (out->y[i] >= out->shape.classes)
            out->shape.classes = out->y[i] + 1;
    }
    return TDBG_OK;
}

static enum tdbg_status fingerprint(struct tdbg_dataset *d, struct tdbg_err *err)
{
    struct tdbg_cpu cpu;
    enum tdbg_status st = tdbg_cpu_init(&cpu, "auto", 1, err);
    if (st != TDBG_OK)
        return st;
    uint64_t digest, h = tdbg_chain_absorb_text(0, tdbg_dtype_text(d->shape.x_dtype));
    for (int32_t i = 0; i < d->shape.x_ndim; i++)
        h = tdbg_chain_absorb(h, (uint64_t)d->shape.x_dims[i]);
    int64_t x_elems = d->shape.count * (int64_t)d->sample_bytes;
    tdbg_digest_compute(&cpu, d->x, d->shape.x_dtype, x_elems, &digest, NULL);
    h = tdbg_chain_absorb(h, digest);
    tdbg_digest_compute(&cpu, d->y, TDBG_DTYPE_I64, d->shape.count, &digest, NULL);
    d->fingerprint = tdbg_chain_absorb(h, digest);
    return TDBG_OK;
}

enum tdbg_status tdbg_dataset_load_idx(struct tdbg_config *config, const char *images_key,
                                       const char *labels_key, struct tdbg_dataset *out,
                                       struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct idx_file images = {0}, labels = {0};
    const struct tdbg_cfg_node *at = tdbg_cfg_find(tdbg_config_root(config), labels_key);
    bool fine = true;
    *out = (struct tdbg_dataset){0};
    TDBG_TRY(load_file(config, images_key, &images, &fine, err));
    TDBG_TRY(load_file(config, labels_key, &labels, &fine, err));
    if (!fine)
        goto out;
    if (labels.ndim != 1 || images.ndim < 2 || images.ndim > TDBG_MAX_DIMS - 2) {
        tdbg_config_report(config, at, NULL,
                           "the images have %d dimensions and the labels %d; at least 2 and "
                           "exactly 1 are wanted (are the two files exchanged?)",
                           (int)images.ndim, (int)labels.ndim);
        goto out;
    }
    if (labels.dims[0] != images.dims[0]) {
        tdbg_config_report(config, at, NULL, "%lld labels for %lld images",
                           (long long)labels.dims[0], (long long)images.dims[0]);
        goto out;
    }
    take_images(out, &images);
    TDBG_TRY(take_labels(out, &labels, err));
    TDBG_TRY(fingerprint(out, err));
out:
    free(images.data);
    free(labels.data);
    if (st != TDBG_OK)
        tdbg_dataset_clear(out);
    return st;
}

void tdbg_dataset_clear(struct tdbg_dataset *dataset)
{
    free(dataset->x);
    free(dataset->y);
    *dataset = (struct tdbg_dataset){0};
}
