/* Option tables of train.cfg as far as the engine owns them. See engine_options.h; the tables of
 * model ops stand in their op_*.c, those of optimizers and schedules in optimizer.c and schedule.c.
 */
#include "engine/engine_options.h"

#include <string.h>

#include "engine/gradient_clip.h"
#include "engine/graph.h"
#include "engine/loss.h"
#include "engine/op.h"
#include "engine/optimizer.h"
#include "engine/schedule.h"
#include "engine/data_transform.h"

#define MAX_STEPS 2147483647.0

static const struct tdbg_option root_options[] = {
    {"seed", TDBG_OPT_INT, "", 0, 9223372036854775807.0, NULL, "0", 0,
     "Seed of all random numbers: initial parameters, shuffling, dropout, augmentation."},
    {"steps", TDBG_OPT_INT, "steps", 1, MAX_STEPS, NULL, NULL, 0,
     "Length of the run; give this or epochs."},
    {"epochs", TDBG_OPT_INT, "epochs", 1, 1e6, NULL, NULL, 0,
     "Length of the run in passes over the training set; give this or steps."},
    {"data.kind", TDBG_OPT_ENUM, "", 0, 0, "idx", NULL, TDBG_OPT_REQUIRED,
     "Format of the data set: idx is the format of MNIST, plain or .gz."},
    {"data.train.images", TDBG_OPT_PATH, "", 0, 0, NULL, NULL, TDBG_OPT_REQUIRED,
     "Training samples; relative to the config file."},
    {"data.train.labels", TDBG_OPT_PATH, "", 0, 0, NULL, NULL, TDBG_OPT_REQUIRED,
     "Training class indices."},
    {"data.test.images", TDBG_OPT_PATH, "", 0, 0, NULL, NULL, 0, "Evaluation samples."},
    {"data.test.labels", TDBG_OPT_PATH, "", 0, 0, NULL, NULL, 0, "Evaluation class indices."},
    {"data.batch", TDBG_OPT_INT, "samples", 1, 1 << 24, NULL, NULL, TDBG_OPT_REQUIRED,
     "Samples per step, over all lanes and ranks."},
    {"data.shuffle", TDBG_OPT_BOOL, "", 0, 0, NULL, "true", 0,
     "Visit the training samples in random order (by seed and epoch)."},
    {"data.drop_last", TDBG_OPT_BOOL, "", 0, 0, NULL, "true", 0,
     "Leave out the last samples of an epoch that do not fill a batch; false: a shorter batch."},
    {"data.sampler.reshuffle", TDBG_OPT_BOOL, "", 0, 0, NULL, "true", 0,
     "A new random order in every epoch; false: the order of epoch 0 in all."},
    {"data.transforms", TDBG_OPT_LIST, "", 0, 0, NULL, "()", 0,
     "Operations on raw samples, in order: { op = \"scale\"; by = 0.5; }, { op = \"normalize\"; "
     "mean = [0.5]; std = [0.25]; }."},
    {"model", TDBG_OPT_LIST, "", 0, 0, NULL, NULL, TDBG_OPT_REQUIRED,
     "The network as a list of ops, each reading the one before: { op = \"linear\"; out = 10; }."},
    {"freeze", TDBG_OPT_GLOBS, "", 0, 0, NULL, "[]", 0,
     "Names of parameters that stay as they are: [ \"embed.*\" ]."},
    {"loss", TDBG_OPT_GROUP, "", 0, 0, NULL, "{ kind = \"cross_entropy\"; }", 0,
     "What is minimised: { kind = \"cross_entropy\" | \"bce\" | \"mse\" | ...; } with the keys of "
     "that kind; cross_entropy is softmax cross-entropy over class indices, bce is of logits."},
    {"optimizer", TDBG_OPT_GROUP, "", 0, 0, NULL, NULL, TDBG_OPT_REQUIRED,
     "{ kind = \"sgd\" | \"adamw\" | ...; lr = ...; } with the keys of that kind."},
    {"schedule", TDBG_OPT_GROUP, "", 0, 0, NULL, "{ kind = \"constant\"; }", 0,
     "How the learning rate changes over the steps: { kind = \"constant\" | \"cosine\" | ...; }."},
    {"eval.every", TDBG_OPT_INT, "steps", 0, MAX_STEPS, NULL, "0", 0,
     "Evaluate on the test set after every so many steps and after the last; 0: never."},
    {"eval.batches", TDBG_OPT_INT, "batches", 0, MAX_STEPS, NULL, "0", 0,
     "Evaluate on so many batches of data.batch samples; 0: the whole test set."},
    {"engine.device", TDBG_OPT_ENUM, "", 0, 0, "auto|cpu", "\"auto\"", 0, "Where to compute."},
    {"engine.math", TDBG_OPT_ENUM, "", 0, 0, "strict", "\"strict\"", 0,
     "strict: the same bits on every processor, at any number of threads."},
    {"engine.precision", TDBG_OPT_ENUM, "", 0, 0, "f32|bf16", "\"f32\"", 0,
     "Type of activations and their gradients; bf16 rounds what each op gives, sums and the state "
     "stay f32."},
    {"engine.threads", TDBG_OPT_INT, "threads", 0, 4096, NULL, "0", 0,
     "CPU threads; 0: all processors that the process may use. Never changes a bit."},
    {"engine.lanes", TDBG_OPT_INT, "lanes", 0, 4096, NULL, "0", 0,
     "Parts that a batch is cut into and whose gradients are folded; 0: one per rank. Part of the "
     "numerics."},
    {"engine.accumulate", TDBG_OPT_INT, "micro-batches", 1, 4096, NULL, "1", 0,
     "Micro-batches per lane, whose gradients are added in order. Part of the numerics."},
};

const struct tdbg_option_table tdbg_engine_options = {
    root_options, (int)(sizeof root_options / sizeof root_options[0])};

enum { MAX_TABLES = 8 };

static void check_length(struct tdbg_config *config)
{
    const struct tdbg_cfg_node *root = tdbg_config_root(config);
    const struct tdbg_cfg_node *steps = tdbg_cfg_find(root, "steps");
    const struct tdbg_cfg_node *epochs = tdbg_cfg_find(root, "epochs");
    if (steps && epochs)
        tdbg_config_report(config, epochs, "remove one of the two",
                           "both 'steps' and 'epochs' are given");
    else if (!steps && !epochs)
        tdbg_config_report(config, root, "for example: steps = 400;",
                           "neither 'steps' nor 'epochs' is given");
}

static void check_test_set(struct tdbg_config *config)
{
    const struct tdbg_cfg_node *root = tdbg_config_root(config);
    const struct tdbg_cfg_node *images = tdbg_cfg_find(root, "data.test.images");
    const struct tdbg_cfg_node *labels = tdbg_cfg_find(root, "data.test.labels");
    const struct tdbg_cfg_node *every = tdbg_cfg_find(root, "eval.every");
    if ((images == NULL) != (labels == NULL))
        tdbg_config_report(config, images ? images : labels, NULL,
                           "data.test needs both 'images' and 'labels'");
    if (!images && every && every->type == TDBG_CFG_INT && every->i > 0)
        tdbg_config_report(config, every, "add data.test = { images = ...; labels = ...; };",
                           "eval.every wants a test set, and none is given");
}

void tdbg_engine_check_options(struct tdbg_config *config, const struct tdbg_option_table *others,
                               int n_others)
{
    struct tdbg_option_table tables[MAX_TABLES] = {tdbg_engine_options, tdbg_clip_options};
    TDBG_ASSERT(n_others < MAX_TABLES - 1);
    for (int i = 0; i < n_others; i++)
        tables[2 + i] = others[i];
    const struct tdbg_cfg_node *root = tdbg_config_root(config);
    tdbg_config_check(config, root, tables, 2 + n_others, NULL);
    check_length(config);
    check_test_set(config);
    tdbg_loss_check_options(config, tdbg_cfg_find(root, "loss"));
    tdbg_optimizer_check_options(config, tdbg_cfg_find(root, "optimizer"));
    tdbg_schedule_check_options(config, tdbg_cfg_find(root, "schedule"));
    tdbg_transform_check_options(config, tdbg_cfg_find(root, "data.transforms"));
    tdbg_op_check_options(config, tdbg_cfg_find(root, "model"));
}

void tdbg_engine_print_options(const struct tdbg_option_table *others, int n_others, FILE *out)
{
    tdbg_option_print_help(&tdbg_engine_options, 1, out);
    tdbg_option_print_help(&tdbg_clip_options, 1, out);
    tdbg_option_print_help(others, n_others, out);
    tdbg_loss_print_options(out);
    tdbg_optimizer_print_options(out);
    tdbg_schedule_print_options(out);
    tdbg_transform_print_options(out);
    tdbg_op_print_options(out);
}
