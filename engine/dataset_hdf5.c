/* Data sets as two arrays of an HDF5 file. The file itself is read by a function from outside: the
 * engine does not know HDF5. See dataset.h. */
#include <stdlib.h>

#include "engine/dataset.h"

/* The array's name: that of the training set where the test set has none of its own. */
static const char *array_name(const struct tdbg_dataset_request *r, const char *key)
{
    const struct tdbg_cfg_node *own = tdbg_dataset_node(r, key);
    const struct tdbg_dataset_request train = {.config = r->config, .set = "train"};
    return own ? own->s : tdbg_dataset_node(&train, key)->s;
}

static enum tdbg_status load_array(const struct tdbg_dataset_request *r, const char *key,
                                   struct tdbg_array *out, struct tdbg_err *err)
{
    const struct tdbg_cfg_node *node = tdbg_dataset_node(r, "file");
    char *path = tdbg_cfg_node_path(r->config, node);
    struct tdbg_err fault = {0};
    if (r->read_hdf5)
        r->read_hdf5(path, array_name(r, key), out, &fault);
    else
        (void)TDBG_RAISE(&fault, DATA, "this program reads no HDF5 files");
    enum tdbg_status st = tdbg_dataset_fault(r->config, node, path, &fault, err);
    free(path);
    return st;
}

static enum tdbg_status load(const struct tdbg_dataset_request *r, struct tdbg_dataset *out,
                             struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct tdbg_array x = {0}, y = {0};
    const struct tdbg_cfg_node *root = tdbg_config_root(r->config);
    const struct tdbg_cfg_node *node = tdbg_dataset_node(r, "file");
    const int before = tdbg_config_n_diagnostics(r->config);
    TDBG_TRY(load_array(r, "x", &x, err));
    if (tdbg_config_n_diagnostics(r->config) == before)
        TDBG_TRY(load_array(r, "y", &y, err));
    if (tdbg_config_n_diagnostics(r->config) != before)
        goto out;
    TDBG_TRY(tdbg_dataset_from_arrays(r->config, &x, node, tdbg_dataset_inputs(root), &y, node,
                                      tdbg_dataset_targets(root), out, err));
out:
    tdbg_array_free(&x);
    tdbg_array_free(&y);
    return st;
}

static const struct tdbg_option options[] = {
    {"data.train.file", TDBG_OPT_PATH, "", 0, 0, NULL, NULL, TDBG_OPT_REQUIRED,
     "HDF5 file with the training samples."},
    {"data.train.x", TDBG_OPT_STRING, "", 0, 0, NULL, "\"x\"", 0,
     "Path of the dataset (samples, ...) in the file, of any number type."},
    {"data.train.y", TDBG_OPT_STRING, "", 0, 0, NULL, "\"y\"", 0,
     "Path of the targets (samples, ...)."},
    {"data.test.file", TDBG_OPT_PATH, "", 0, 0, NULL, NULL, 0,
     "HDF5 file with the evaluation samples; it may be the same."},
    {"data.test.x", TDBG_OPT_STRING, "", 0, 0, NULL, NULL, 0,
     "Path of the evaluation samples; without it that of the training samples."},
    {"data.test.y", TDBG_OPT_STRING, "", 0, 0, NULL, NULL, 0,
     "Path of the evaluation targets; without it that of the training targets."},
    TDBG_INPUTS_OPTION,
    TDBG_TARGETS_OPTION,
    TDBG_PAD_OPTION,
};

const struct tdbg_dataset_kind tdbg_dataset_hdf5 = {
    .name = "hdf5",
    .main_key = "file",
    .options = {options, (int)(sizeof options / sizeof options[0])},
    .load = load,
};
