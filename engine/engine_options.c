/* Option tables of train.cfg as far as the engine owns them. See engine_options.h; the tables of
 * model ops stand in their op_*.c, those of optimizers and schedules in optimizer.c and schedule.c.
 */
#include "engine/engine_options.h"

#include <string.h>

#include "base/arena.h"
#include "engine/dataset.h"
#include "engine/gradient_clip.h"
#include "engine/graph.h"
#include "engine/loss.h"
#include "engine/op.h"
#include "engine/optimizer.h"
#include "engine/schedule.h"
#include "engine/data_transform.h"
#include "engine/weights.h"

#define MAX_STEPS 2147483647.0

static const struct tdbg_option root_options[] = {
    {"seed", TDBG_OPT_INT, "", 0, 9223372036854775807.0, NULL, "0", 0,
     "Seed of all random numbers: initial parameters, shuffling, dropout, augmentation."},
    {"steps", TDBG_OPT_INT, "steps", 1, MAX_STEPS, NULL, NULL, 0,
     "Length of the run; give this or epochs."},
    {"epochs", TDBG_OPT_INT, "epochs", 1, 1e6, NULL, NULL, 0,
     "Length of the run in passes over the training set; give this or steps."},
    {"data.kind", TDBG_OPT_ENUM, "", 0, 0, TDBG_DATASET_KINDS, NULL, TDBG_OPT_REQUIRED,
     "Format of the data set: idx is the format of MNIST; the keys of each are below."},
    {"data.split", TDBG_OPT_FLOAT, "", 0, 0.999, NULL, "0", 0,
     "Share of the training set that becomes the evaluation set where there is no test set: the "
     "last samples of a text, else samples that the seed chooses."},
    {"data.batch", TDBG_OPT_INT, "samples", 1, 1 << 24, NULL, NULL, TDBG_OPT_REQUIRED,
     "Samples per step, over all lanes and ranks."},
    {"data.shuffle", TDBG_OPT_BOOL, "", 0, 0, NULL, "true", 0,
     "Visit the training samples in random order (by seed and epoch)."},
    {"data.drop_last", TDBG_OPT_BOOL, "", 0, 0, NULL, "true", 0,
     "Leave out the last samples of an epoch that do not fill a batch; false: a shorter batch."},
    {"data.sampler.reshuffle", TDBG_OPT_BOOL, "", 0, 0, NULL, "true", 0,
     "A new random order in every epoch; false: the order of epoch 0 in all."},
    {"data.sampler.pad", TDBG_OPT_ENUM, "", 0, 0, "drop|repeat", "\"drop\"", 0,
     "What becomes of an epoch's last, not full batch: drop leaves it to data.drop_last, repeat "
     "fills it up from the epoch's beginning, whatever that says."},
    {"data.transforms", TDBG_OPT_LIST, "", 0, 0, NULL, "()", 0,
     "Operations on raw samples, in order: { op = \"scale\"; by = 0.5; }, { op = \"normalize\"; "
     "mean = [0.5]; std = [0.25]; }."},
    {"model", TDBG_OPT_LIST, "", 0, 0, NULL, NULL, TDBG_OPT_REQUIRED,
     "The network as a list of ops, each reading the one before: { op = \"linear\"; out = 10; }."},
    {"freeze", TDBG_OPT_GLOBS, "", 0, 0, NULL, "[]", 0,
     "Names of parameters that stay as they are: [ \"embed.*\" ]."},
    {"drop_samples", TDBG_OPT_INTS, "ids", 0, 9007199254740992.0, NULL, NULL, 0,
     "Training samples whose loss has weight 0: they stay in their batches, so that no other bit "
     "moves, but count neither in the loss nor in its divisor."},
    {"init_from", TDBG_OPT_GROUP, "", 0, 0, NULL, NULL, 0,
     "Weights to begin with instead of those of the seed: { path = \"model.safetensors\"; }."},
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
    {"engine.device", TDBG_OPT_ENUM, "", 0, 0, "auto|cpu|cuda", "\"auto\"", 0,
     "Where to compute: cuda is an NVIDIA GPU, which the ranks of a machine share evenly; auto: "
     "that where there is one that works, else the CPU. Never changes a bit."},
    {"engine.math", TDBG_OPT_ENUM, "", 0, 0, "strict|fast", "\"strict\"", 0,
     "strict: the same bits on every processor and GPU, at any number of threads. fast: on a GPU "
     "cuBLAS multiplies, in TF32 or with precision = \"bf16\" in that; its bits repeat on the same "
     "GPU and libraries alone."},
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
    {"engine.ranks_in_process", TDBG_OPT_INT, "ranks", 1, 4096, NULL, "1", 0,
     "Ranks that are threads of one process; the same bits as with as many processes."},
    {"engine.comm.backend", TDBG_OPT_ENUM, "", 0, 0, "auto|mpi|nccl", "\"auto\"", 0,
     "What carries numbers between processes, which mpirun or srun has started; auto: NCCL where "
     "each rank has a GPU of its own and all have the library, else MPI. Never changes a bit where "
     "algorithm is strict."},
    {"engine.comm.op", TDBG_OPT_ENUM, "", 0, 0, "mean|sum", "\"mean\"", 0,
     "What the gradients of several ranks become: mean is that of the global batch; sum forgets to "
     "divide by the number of ranks, so that they are so many times as large."},
    {"engine.comm.algorithm", TDBG_OPT_ENUM, "", 0, 0, "strict|native", "\"strict\"", 0,
     "How ranks add: strict in the order of the lanes, whatever the number of ranks; native as the "
     "library that carries them does, which no other run has to repeat."},
    {"engine.comm.bucket_mib", TDBG_OPT_FLOAT, "MiB", 0.001, 65536, NULL, "25.0", 0,
     "Gradients are sent in buckets of this size, the last parameters' first."},
    {"engine.comm.timeout_s", TDBG_OPT_FLOAT, "seconds", 0.001, 1e6, NULL, "60.0", 0,
     "How long a rank waits for another before the run is given up; for an evaluation, too, which "
     "is "
     "rank 0's."},
};

const struct tdbg_option_table tdbg_engine_options = {
    root_options, (int)(sizeof root_options / sizeof root_options[0])};

enum { MAX_TABLES = 16 };

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

/* The keys of the chosen format. Those of an unknown one cannot be judged: any format's will do. */
static int data_tables(const struct tdbg_config *config, struct tdbg_arena *arena,
                       struct tdbg_option_table tables[])
{
    const struct tdbg_cfg_node *name = tdbg_cfg_find(tdbg_config_root(config), "data.kind");
    const bool is_text = name && name->type == TDBG_CFG_STRING;
    const struct tdbg_dataset_kind *kind = is_text ? tdbg_dataset_kind_find(name->s) : NULL;
    int n = 0;
    if (kind) {
        tables[n++] = kind->options;
        return n;
    }
    for (int k = 0; (kind = tdbg_dataset_kind_at(k)) != NULL; k++) {
        const size_t bytes = (size_t)kind->options.n * sizeof *kind->options.options;
        struct tdbg_option *options = tdbg_arena_alloc(arena, bytes);
        memcpy(options, kind->options.options, bytes);
        for (int i = 0; i < kind->options.n; i++) {
            options[i].flags = 0;
            options[i].default_value = NULL;
        }
        tables[n++] = (struct tdbg_option_table){options, kind->options.n};
    }
    return n;
}

static void check_comm(struct tdbg_config *config)
{
    const struct tdbg_cfg_node *root = tdbg_config_root(config);
    const struct tdbg_cfg_node *backend = tdbg_cfg_find(root, "engine.comm.backend");
    const struct tdbg_cfg_node *algorithm = tdbg_cfg_find(root, "engine.comm.algorithm");
    const struct tdbg_cfg_node *ranks = tdbg_cfg_find(root, "engine.ranks_in_process");
    if (tdbg_config_n_diagnostics(config) > 0)
        return;
    if (strcmp(backend->s, "nccl") == 0 && ranks->i > 1)
        tdbg_config_report(config, backend, "start the ranks with mpirun instead",
                           "engine.comm.backend = \"nccl\" joins processes, but "
                           "engine.ranks_in_process makes threads");
    if (strcmp(algorithm->s, "native") == 0 && ranks->i > 1)
        tdbg_config_report(config, algorithm, "start the ranks with mpirun instead",
                           "engine.comm.algorithm = \"native\" is the MPI library's, but "
                           "engine.ranks_in_process makes threads");
}

void tdbg_engine_check_options(struct tdbg_config *config, const struct tdbg_option_table *others,
                               int n_others)
{
    struct tdbg_option_table tables[MAX_TABLES] = {tdbg_engine_options, tdbg_clip_options};
    struct tdbg_arena *arena = tdbg_arena_create();
    TDBG_ASSERT(arena);
    int n = 2 + data_tables(config, arena, tables + 2);
    TDBG_ASSERT(n_others + n <= MAX_TABLES);
    for (int i = 0; i < n_others; i++)
        tables[n++] = others[i];
    const struct tdbg_cfg_node *root = tdbg_config_root(config);
    tdbg_config_check(config, root, tables, n, NULL);
    tdbg_arena_destroy(arena);
    check_length(config);
    check_comm(config);
    tdbg_dataset_check_config(config);
    tdbg_weights_check_options(config, tdbg_cfg_find(root, "init_from"));
    tdbg_loss_check_options(config, tdbg_cfg_find(root, "loss"));
    tdbg_optimizer_check_options(config, tdbg_cfg_find(root, "optimizer"));
    tdbg_schedule_check_options(config, tdbg_cfg_find(root, "schedule"));
    tdbg_transform_check_options(config, tdbg_cfg_find(root, "data.transforms"));
    tdbg_op_check_options(config, tdbg_cfg_find(root, "model"));
}

static void print_data_options(FILE *out)
{
    const struct tdbg_dataset_kind *kind;
    for (int k = 0; (kind = tdbg_dataset_kind_at(k)) != NULL; k++) {
        fprintf(out, "\ndata, kind = \"%s\":\n", kind->name);
        tdbg_option_print_help(&kind->options, 1, out);
    }
}

void tdbg_engine_print_options(const struct tdbg_option_table *others, int n_others, FILE *out)
{
    tdbg_option_print_help(&tdbg_engine_options, 1, out);
    tdbg_option_print_help(&tdbg_clip_options, 1, out);
    tdbg_option_print_help(others, n_others, out);
    print_data_options(out);
    tdbg_weights_print_options(out);
    tdbg_loss_print_options(out);
    tdbg_optimizer_print_options(out);
    tdbg_schedule_print_options(out);
    tdbg_transform_print_options(out);
    tdbg_op_print_options(out);
}
