/* Data sets as two arrays of an HDF5 file. The file itself is read by a function from outside: the
 * engine does not know HDF5. See dataset.h. */
#include "engine/dataset.h"

/* The array's name: that of the training set where the test set has none of its own. */
static const char *array_name(const struct tdbg_dataset_request *r, const char *key)
{
    const struct tdbg_cfg_node *own = tdbg_dataset_node(r, key);
    const struct tdbg_dataset_request train = {.config = r->config, .set = "train"};
    return own ? own->s : tdbg_dataset_node(&train, key)->s;
}

static enum tdbg_status read_array(const struct tdbg_dataset_request *r, const char *key,
                                   const char *path, struct tdbg_array *out, struct tdbg_err *err)
{
    if (!r->read_hdf5)
        return TDBG_RAISE(err, DATA, "this program reads no HDF5 files");
    return r->read_hdf5(path, array_name(r, key), out, err);
}

static enum tdbg_status load(const struct tdbg_dataset_request *r, struct tdbg_dataset *out,
                             struct tdbg_err *err)
{
    return tdbg_dataset_load_xy(r, "file", "file", read_array, out, err);
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
