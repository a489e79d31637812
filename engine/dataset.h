/* Data sets in memory, and the table of the formats that they are read from.
 *
 * Samples stay in memory as the file has them (mapped where that is possible) and are converted
 * when a batch is made:
 *
 *     array:  [ first ... sample 0 ...][ sample 1 ][ sample 2 ]...     stride elements apart
 *
 * so that x and y may lie in one array: labels beside images, or tokens and the tokens after them.
 */
#ifndef TDBG_ENGINE_DATASET_H
#define TDBG_ENGINE_DATASET_H

#include <stdint.h>

#include "base/array.h"
#include "base/config.h"
#include "engine/source.h"

/* x or y of all samples. */
struct tdbg_data_side {
    struct tdbg_array array;
    int64_t first, stride; /* elements: where row 0 begins, and from one row to the next */
};

struct tdbg_dataset {
    struct tdbg_data_shape shape; /* of what tdbg_dataset_copy() gives */
    struct tdbg_data_side x, y;
    int64_t first_row;    /* sample 0's row in x and y */
    int64_t *row;         /* (count): sample i is row[i]; NULL: first_row + i */
    uint64_t fingerprint; /* over shapes, samples and targets */
    uint32_t *vocab;      /* (shape.vocab): code points of character tokens, ascending; or NULL */
};

/* Reads the array `name` of an HDF5 file into memory; TDBG_DATA where that is not possible. Only
 * trace/ knows HDF5, so the function comes from outside. *out is the caller's to free. */
typedef enum tdbg_status (*tdbg_read_hdf5_fn)(const char *path, const char *name,
                                              struct tdbg_array *out, struct tdbg_err *err);

/* What a loader is given. */
struct tdbg_dataset_request {
    struct tdbg_config *config;
    const char *set;                  /* "train" or "test": its keys are data.<set>.<key> */
    const struct tdbg_dataset *train; /* for "test": what was read already, for its vocabulary */
    tdbg_read_hdf5_fn read_hdf5;      /* NULL: not in this program */
};

/* A format: its keys (all of data.* that other formats have not) and its loader. Faults of files
 * become diagnostics of the config at the key's node, and TDBG_OK is returned. */
struct tdbg_dataset_kind {
    const char *name;
    const char *main_key; /* data.test.<main_key> is there: there is a test set */
    struct tdbg_option_table options;
    enum tdbg_status (*load)(const struct tdbg_dataset_request *request, struct tdbg_dataset *out,
                             struct tdbg_err *err);
};

extern const struct tdbg_dataset_kind tdbg_dataset_idx, tdbg_dataset_cifar10, tdbg_dataset_npy,
    tdbg_dataset_csv, tdbg_dataset_text, tdbg_dataset_hdf5;

/* NULL: no such kind. */
const struct tdbg_dataset_kind *tdbg_dataset_kind_find(const char *name);
/* Kind i of all, or NULL behind the last. */
const struct tdbg_dataset_kind *tdbg_dataset_kind_at(int i);
#define TDBG_DATASET_KINDS "idx|cifar10|npy|csv|text|hdf5"

/* Reports what tables cannot state: half a test set, an evaluation without any set, a file that
 * cannot be read. The options were checked; those of another kind are not looked at. */
void tdbg_dataset_check_config(struct tdbg_config *config);
void tdbg_dataset_check_files(struct tdbg_config *config);

/* Both sets of a checked config, the evaluation set cut off the training set where data.split says
 * so; a set that there is not has count 0. Faults become diagnostics. */
enum tdbg_status tdbg_dataset_load(struct tdbg_config *config, tdbg_read_hdf5_fn read_hdf5,
                                   struct tdbg_dataset sets[TDBG_SET_COUNT], struct tdbg_err *err);
void tdbg_dataset_clear(struct tdbg_dataset *dataset);

/* Sample i as x (x_dims) in x_dtype and y (y_dims) in y_dtype. */
void tdbg_dataset_copy(const struct tdbg_dataset *dataset, int64_t i, void *x, void *y);

/* --- for loaders --- */

/* The node of "data.train.images" or the like, or NULL. */
const struct tdbg_cfg_node *tdbg_dataset_node(const struct tdbg_dataset_request *request,
                                              const char *key);

/* Turns a TDBG_DATA in `fault` into a diagnostic at the node and TDBG_OK; another status is raised.
 * Clears fault. */
enum tdbg_status tdbg_dataset_fault(struct tdbg_config *config, const struct tdbg_cfg_node *at,
                                    const char *path, struct tdbg_err *fault, struct tdbg_err *err);

/* How arrays of whatever type become samples: data.inputs and data.targets. */
enum tdbg_data_inputs { TDBG_INPUTS_AUTO, TDBG_INPUTS_VALUES, TDBG_INPUTS_TOKENS };
enum tdbg_data_targets { TDBG_TARGETS_AUTO, TDBG_TARGETS_CLASSES, TDBG_TARGETS_VALUES };
#define TDBG_INPUTS_OPTION                                                                         \
    {                                                                                              \
        "data.inputs", TDBG_OPT_ENUM, "", 0, 0, "auto|values|tokens", "\"auto\"", 0,               \
            "What x holds; auto: integers of 32 and 64 bits in rows of one dimension are tokens, " \
            "all "                                                                                 \
            "else is values (u8 as they are, the rest as f32)."                                    \
    }
#define TDBG_TARGETS_OPTION                                                                        \
    {                                                                                              \
        "data.targets", TDBG_OPT_ENUM, "", 0, 0, "auto|classes|values", "\"auto\"", 0,             \
            "What y holds; auto: integers are class indices, floats are values to predict."        \
    }
#define TDBG_PAD_OPTION                                                                            \
    {                                                                                              \
        "data.tokens.pad", TDBG_OPT_INT, "", 0, 16777215, NULL, NULL, 0,                           \
            "Tokens of this number at the end of a sample are padding, of which attention sees "   \
            "nothing; default: none are. See loss.ignore_index for their targets."                 \
    }
enum tdbg_data_inputs tdbg_dataset_inputs(const struct tdbg_cfg_node *root);
enum tdbg_data_targets tdbg_dataset_targets(const struct tdbg_cfg_node *root);

/* Takes x (count, ...) and y (count, ...) over into *out and fills its shape: sample shape (1)
 * where x is (count), targets () for classes in (count) or (count, 1), (1) for values in (count).
 * Faults become diagnostics at the nodes; *out is left empty then and the arrays are freed. */
enum tdbg_status tdbg_dataset_from_arrays(struct tdbg_config *config, struct tdbg_array *x,
                                          const struct tdbg_cfg_node *x_at,
                                          enum tdbg_data_inputs inputs, struct tdbg_array *y,
                                          const struct tdbg_cfg_node *y_at,
                                          enum tdbg_data_targets targets, struct tdbg_dataset *out,
                                          struct tdbg_err *err);

/* A whole file, unpacked where it is gzip, mapped where it is not. The caller frees it with
 * tdbg_array_free(): u8 of one dimension. */
enum tdbg_status tdbg_dataset_read_file(const char *path, struct tdbg_array *out,
                                        struct tdbg_err *err);

/* All files of a TDBG_OPT_PATHS node one behind the other; check (or NULL) is called for each
 * before it is added and raises TDBG_DATA. Faults become diagnostics; *out is empty then. */
typedef enum tdbg_status (*tdbg_dataset_check_fn)(const struct tdbg_array *file,
                                                  struct tdbg_err *err);
enum tdbg_status tdbg_dataset_read_files(struct tdbg_config *config,
                                         const struct tdbg_cfg_node *paths,
                                         tdbg_dataset_check_fn check, struct tdbg_array *out,
                                         struct tdbg_err *err);

/* Reads the array that is meant by data.<set>.<key> from the file at path, or raises TDBG_DATA. */
typedef enum tdbg_status (*tdbg_dataset_read_fn)(const struct tdbg_dataset_request *request,
                                                 const char *key, const char *path,
                                                 struct tdbg_array *out, struct tdbg_err *err);

/* That array of the file that data.<set>.<file_key> names. Faults become diagnostics at it. */
enum tdbg_status tdbg_dataset_load_array(const struct tdbg_dataset_request *request,
                                         const char *file_key, const char *key,
                                         tdbg_dataset_read_fn read, struct tdbg_array *out,
                                         struct tdbg_err *err);

/* A whole loader: the arrays of the keys x and y, from two files or from one (x_file = y_file: what
 * is wrong with it is said once), as samples by data.inputs and data.targets. */
enum tdbg_status tdbg_dataset_load_xy(const struct tdbg_dataset_request *request,
                                      const char *x_file, const char *y_file,
                                      tdbg_dataset_read_fn read, struct tdbg_dataset *out,
                                      struct tdbg_err *err);

#endif
