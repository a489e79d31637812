/* CIFAR-10 as binary batches (Krizhevsky 2009, "binary version"): records of one label byte and
 * 3072 bytes of a 32 x 32 image, channel by channel. See dataset.h. */
#include "engine/dataset.h"

enum { IMAGE_BYTES = 3 * 32 * 32, RECORD_BYTES = 1 + IMAGE_BYTES, CLASSES = 10 };

static enum tdbg_status check_batch(const struct tdbg_array *file, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    const int64_t n = file->dims[0] / RECORD_BYTES;
    TDBG_FAIL_IF(n < 1 || file->dims[0] % RECORD_BYTES != 0, DATA,
                 "not a CIFAR-10 batch: %lld bytes are no multiple of %d", (long long)file->dims[0],
                 RECORD_BYTES);
    for (int64_t i = 0; i < n; i++)
        TDBG_FAIL_IF(file->data[i * RECORD_BYTES] >= CLASSES, DATA,
                     "not a CIFAR-10 batch: record %lld has label %d", (long long)i,
                     file->data[i * RECORD_BYTES]);
out:
    return st;
}

static enum tdbg_status load(const struct tdbg_dataset_request *r, struct tdbg_dataset *out,
                             struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct tdbg_array all;
    TDBG_TRY(
        tdbg_dataset_read_files(r->config, tdbg_dataset_node(r, "images"), check_batch, &all, err));
    if (!all.data)
        goto out; /* reported */
    *out = (struct tdbg_dataset){
        .shape = {.x_dtype = TDBG_DTYPE_U8,
                  .y_dtype = TDBG_DTYPE_I64,
                  .x_ndim = 3,
                  .x_dims = {3, 32, 32},
                  .count = all.dims[0] / RECORD_BYTES,
                  .classes = CLASSES},
        .x = {.array = all, .first = 1, .stride = RECORD_BYTES},
        .y = {.array = all, .stride = RECORD_BYTES},
    };
    out->y.array.block = NULL; /* x has it */
    out->y.array.mapped_bytes = 0;
out:
    return st;
}

static const struct tdbg_option options[] = {
    {"data.train.images", TDBG_OPT_PATHS, "", 0, 0, NULL, NULL, TDBG_OPT_REQUIRED,
     "Batches of the binary version, plain or .gz: [ \"data_batch_1.bin\", ... ]."},
    {"data.test.images", TDBG_OPT_PATHS, "", 0, 0, NULL, NULL, 0, "Batches for the evaluation."},
};

const struct tdbg_dataset_kind tdbg_dataset_cifar10 = {
    .name = "cifar10",
    .main_key = "images",
    .options = {options, (int)(sizeof options / sizeof options[0])},
    .load = load,
};
