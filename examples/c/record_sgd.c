/* record_sgd: a hand-written training loop that records itself with libtdbg.
 *
 *     cc record_sgd.c -o record_sgd $(pkg-config --cflags --libs tdbg) -lz -lm
 *     ./record_sgd /usr/share/datasets/fashion-mnist 200 run.h5 [LEARNING_RATE]
 *
 * The network is 784 -> 32 -> 10 with relu and softmax cross-entropy, trained by plain SGD on
 * Fashion-MNIST (Debian: dataset-fashion-mnist). Nothing here knows of tdbg but the functions
 * describe() and record_step(). Afterwards:
 *
 *     tdbg replay run.h5                        the loss curve
 *     tdbg show run.h5 grad/fc1.weight --step 7
 *     tdbg diff run.h5 other.h5                 where two runs part: try another learning rate
 *     ./read_trace run.h5 grad/fc1.weight 7     the same by examples/c/read_trace.c
 */
#include <errno.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tdbg.h>
#include <zlib.h>

enum { PIXELS = 784, HIDDEN = 32, CLASSES = 10, BATCH = 64, KEYFRAME_EVERY = 50, SEED = 42 };

static void die(const char *what, const char *why)
{
    fprintf(stderr, "record_sgd: %s: %s\n", what, why);
    exit(1);
}

/* --- data: the idx format, gzipped ------------------------------------------------------------ */

struct data {
    uint8_t *images; /* (n, 28, 28) */
    uint8_t *labels; /* (n) */
    int64_t n;
};

static uint32_t read_big_endian(gzFile f)
{
    unsigned char b[4] = {0};
    gzread(f, b, sizeof b);
    return (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3];
}

/* Reads n_dims dimensions and then bytes of bytes_each per item; *n is how many items. */
static uint8_t *read_idx(const char *folder, const char *name, int n_dims, size_t bytes_each,
                         int64_t *n)
{
    char path[512];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    gzFile f = gzopen(path, "rb");
    if (!f)
        die(path, strerror(errno));
    if (read_big_endian(f) != 0x800u + (unsigned)n_dims)
        die(path, "not an idx file of bytes");
    *n = read_big_endian(f);
    for (int d = 1; d < n_dims; d++)
        read_big_endian(f);
    size_t bytes = (size_t)*n * bytes_each;
    uint8_t *data = malloc(bytes);
    if (!data || gzread(f, data, (unsigned)bytes) != (int)bytes)
        die(path, "it is too short");
    gzclose(f);
    return data;
}

static struct data read_data(const char *folder)
{
    struct data d;
    int64_t n_labels;
    d.images = read_idx(folder, "train-images-idx3-ubyte.gz", 3, PIXELS, &d.n);
    d.labels = read_idx(folder, "train-labels-idx1-ubyte.gz", 1, 1, &n_labels);
    if (d.n != n_labels || d.n < BATCH)
        die(folder, "not as many labels as images");
    return d;
}

/* --- the model ----------------------------------------------------------------------------------
 */

enum { W1, B1, W2, B2, N_PARAMS };
static const char *const param_names[N_PARAMS] = {"fc1.weight", "fc1.bias", "fc2.weight",
                                                  "fc2.bias"};
static const int param_dims[N_PARAMS][2] = {
    {HIDDEN, PIXELS}, {HIDDEN, 0}, {CLASSES, HIDDEN}, {CLASSES, 0}};

struct model {
    float *param[N_PARAMS], *grad[N_PARAMS];
    float x[BATCH][PIXELS], hidden[BATCH][HIDDEN], logits[BATCH][CLASSES]; /* hidden: after relu */
    float d_logits[BATCH][CLASSES], d_hidden[BATCH][HIDDEN];
    float loss, lr;
};

static int64_t param_elems(int p)
{
    return (int64_t)param_dims[p][0] * (param_dims[p][1] ? param_dims[p][1] : 1);
}

/* xorshift64* (Vigna 2016): the same numbers everywhere. */
static uint64_t next_random(uint64_t *state)
{
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    return *state * 0x2545f4914f6cdd1du;
}

static void init_model(struct model *m, float lr, uint64_t *random)
{
    m->lr = lr;
    for (int p = 0; p < N_PARAMS; p++) {
        int64_t n = param_elems(p);
        float bound = p == W1 || p == B1 ? 1.0f / sqrtf(PIXELS) : 1.0f / sqrtf(HIDDEN);
        m->param[p] = malloc((size_t)n * sizeof(float));
        m->grad[p] = malloc((size_t)n * sizeof(float));
        if (!m->param[p] || !m->grad[p])
            die("model", "out of memory");
        for (int64_t i = 0; i < n; i++) /* the upper 24 bits: [-bound, bound) */
            m->param[p][i] = ((float)(next_random(random) >> 40) * 0x1p-23f - 1) * bound;
    }
}

static void forward(struct model *m, const uint8_t *labels)
{
    double loss = 0;
    for (int i = 0; i < BATCH; i++) {
        for (int j = 0; j < HIDDEN; j++) {
            float sum = m->param[B1][j];
            for (int k = 0; k < PIXELS; k++)
                sum += m->x[i][k] * m->param[W1][j * PIXELS + k];
            m->hidden[i][j] = sum > 0 ? sum : 0;
        }
        float largest = -INFINITY, sum = 0;
        for (int c = 0; c < CLASSES; c++) {
            m->logits[i][c] = m->param[B2][c];
            for (int j = 0; j < HIDDEN; j++)
                m->logits[i][c] += m->hidden[i][j] * m->param[W2][c * HIDDEN + j];
            largest = fmaxf(largest, m->logits[i][c]);
        }
        for (int c = 0; c < CLASSES; c++)
            sum += expf(m->logits[i][c] - largest);
        for (int c = 0; c < CLASSES; c++) {
            float p = expf(m->logits[i][c] - largest) / sum;
            m->d_logits[i][c] = (p - (float)(c == labels[i])) / BATCH;
        }
        loss += (double)(logf(sum) + largest - m->logits[i][labels[i]]);
    }
    m->loss = (float)(loss / BATCH);
}

static void backward(struct model *m)
{
    for (int p = 0; p < N_PARAMS; p++)
        memset(m->grad[p], 0, (size_t)param_elems(p) * sizeof(float));
    for (int i = 0; i < BATCH; i++) {
        for (int j = 0; j < HIDDEN; j++)
            m->d_hidden[i][j] = 0;
        for (int c = 0; c < CLASSES; c++) {
            m->grad[B2][c] += m->d_logits[i][c];
            for (int j = 0; j < HIDDEN; j++) {
                m->grad[W2][c * HIDDEN + j] += m->d_logits[i][c] * m->hidden[i][j];
                m->d_hidden[i][j] += m->d_logits[i][c] * m->param[W2][c * HIDDEN + j];
            }
        }
        for (int j = 0; j < HIDDEN; j++) {
            float d = m->hidden[i][j] > 0 ? m->d_hidden[i][j] : 0;
            m->grad[B1][j] += d;
            for (int k = 0; k < PIXELS; k++)
                m->grad[W1][j * PIXELS + k] += d * m->x[i][k];
        }
    }
}

static void update(struct model *m)
{
    for (int p = 0; p < N_PARAMS; p++) {
        for (int64_t i = 0; i < param_elems(p); i++)
            m->param[p][i] -= m->lr * m->grad[p][i];
    }
}

/* --- recording ----------------------------------------------------------------------------------
 */

/* Numbers of the tensors in the trace. */
struct ids {
    int32_t state[N_PARAMS], logits, loss, grad[N_PARAMS], param[N_PARAMS];
};

/* Ends the program with the library's reason. A program that must go on without its recording would
 * note the error and stop calling instead. */
static void must(struct tdbg_rec *rec, int result)
{
    if (result != TDBG_SUCCESS)
        die(tdbg_result_text(result), tdbg_rec_error(rec));
}

/* One tensor per parameter, called PREFIX followed by its name. */
static void add_params(struct tdbg_rec *rec, const char *prefix, const char *op,
                       enum tdbg_keep keep, int32_t ids[N_PARAMS])
{
    for (int p = 0; p < N_PARAMS; p++) {
        char name[64];
        snprintf(name, sizeof name, "%s%s", prefix, param_names[p]);
        struct tdbg_tensor t = {.name = name, .op = op, .elem = TDBG_F32, .keep = keep};
        t.ndim = param_dims[p][1] ? 2 : 1;
        t.shape[0] = param_dims[p][0];
        t.shape[1] = param_dims[p][1];
        must(rec, tdbg_rec_add(rec, &t, &ids[p]));
    }
}

/* All that is fixed before the first step, in the order in which a step makes it. */
static void describe(struct tdbg_rec *rec, const struct data *d, float lr, int64_t steps,
                     struct ids *ids)
{
    char config[256];
    snprintf(config, sizeof config,
             "hidden = %d\nbatch = %d\nlr = %g\nseed = %d\noptimizer = sgd\n", HIDDEN, BATCH,
             (double)lr, SEED);
    must(rec, tdbg_rec_set_text(rec, TDBG_TEXT_PROGRAM, "record_sgd 1.0"));
    must(rec, tdbg_rec_set_text(rec, TDBG_TEXT_CONFIG, config));
    must(rec, tdbg_rec_set_text(rec, TDBG_TEXT_DATASET, "{\"kind\": \"fashion-mnist\"}"));
    must(rec, tdbg_rec_set_int(rec, TDBG_INT_BATCH, BATCH));
    must(rec, tdbg_rec_set_int(rec, TDBG_INT_SEED, SEED));
    must(rec, tdbg_rec_set_int(rec, TDBG_INT_PLANNED_STEPS, steps));
    must(rec, tdbg_rec_set_int(rec, TDBG_INT_KEYFRAME_EVERY, KEYFRAME_EVERY));

    const struct tdbg_tensor x = {.elem = TDBG_U8, .ndim = 2, .shape = {28, 28}};
    const struct tdbg_tensor y = {.elem = TDBG_U8}; /* a class */
    must(rec, tdbg_rec_set_samples(rec, &x, &y, d->n));
    add_params(rec, "state/", "sgd", TDBG_KEEP_KEYFRAME, ids->state);
    const struct tdbg_tensor logits = {.name = "fwd/logits",
                                       .op = "linear",
                                       .elem = TDBG_F32,
                                       .ndim = 2,
                                       .shape = {BATCH, CLASSES},
                                       .batched = 1,
                                       .keep = TDBG_KEEP_VALUES,
                                       .value_every = 10};
    must(rec, tdbg_rec_add(rec, &logits, &ids->logits));
    const struct tdbg_tensor loss = {.name = "loss",
                                     .stage = "loss",
                                     .op = "cross_entropy",
                                     .unit = "nats",
                                     .elem = TDBG_F32,
                                     .keep = TDBG_KEEP_VALUES};
    must(rec, tdbg_rec_add(rec, &loss, &ids->loss));
    add_params(rec, "grad/", "backward", TDBG_KEEP_VALUES, ids->grad);
    add_params(rec, "param/", "sgd", TDBG_KEEP_DELTA, ids->param);
}

static void put_params(struct tdbg_rec *rec, const int32_t ids[N_PARAMS],
                       float *const values[N_PARAMS])
{
    for (int p = 0; p < N_PARAMS; p++)
        must(rec, tdbg_rec_put(rec, ids[p], values[p], param_elems(p)));
}

/* --- the loop -----------------------------------------------------------------------------------
 */

/* Draws a batch: its sample ids, images and labels. */
static void next_batch(const struct data *d, uint64_t *random, int64_t *ids, uint8_t *images,
                       uint8_t *labels)
{
    for (int i = 0; i < BATCH; i++) {
        ids[i] = (int64_t)(next_random(random) % (uint64_t)d->n);
        memcpy(images + i * PIXELS, d->images + ids[i] * PIXELS, PIXELS);
        labels[i] = d->labels[ids[i]];
    }
}

static void train(struct model *m, const struct data *d, uint64_t *random, int64_t steps,
                  struct tdbg_rec *rec, const struct ids *ids)
{
    static uint8_t images[BATCH * PIXELS], labels[BATCH];
    int64_t batch[BATCH];
    for (int64_t step = 0; step < steps; step++) {
        must(rec, tdbg_rec_step(rec, step * BATCH / d->n, BATCH));
        next_batch(d, random, batch, images, labels);
        must(rec, tdbg_rec_put_samples(rec, BATCH, batch, images, labels));
        put_params(rec, ids->state, m->param); /* before the step; kept at keyframes only */

        for (int i = 0; i < BATCH * PIXELS; i++)
            m->x[i / PIXELS][i % PIXELS] = (float)images[i] / 255;
        forward(m, labels);
        must(rec, tdbg_rec_put(rec, ids->logits, m->logits, BATCH * CLASSES));
        must(rec, tdbg_rec_put(rec, ids->loss, &m->loss, 1));
        backward(m);
        put_params(rec, ids->grad, m->grad);
        update(m);
        put_params(rec, ids->param, m->param); /* after the step */

        must(rec, tdbg_rec_commit(rec, m->loss, m->lr));
    }
}

int main(int argc, char **argv)
{
    if (argc < 4 || argc > 5) {
        fprintf(stderr, "usage: record_sgd DATA_FOLDER STEPS OUTPUT [LEARNING_RATE]\n");
        return 2;
    }
    int64_t steps = strtoll(argv[2], NULL, 10);
    float lr = argc > 4 ? strtof(argv[4], NULL) : 0.1f;
    uint64_t random = SEED;
    struct data data = read_data(argv[1]);
    struct model *model = calloc(1, sizeof *model);
    struct tdbg_rec *rec = tdbg_rec_create();
    struct ids ids;
    if (!model || !rec)
        die("start", "out of memory");
    init_model(model, lr, &random);
    describe(rec, &data, lr, steps, &ids);
    must(rec, tdbg_rec_begin(rec, argv[3], TDBG_REC_OVERWRITE));
    train(model, &data, &random, steps, rec, &ids);
    must(rec, tdbg_rec_close(rec));
    tdbg_rec_free(rec);

    printf("%lld steps, loss %.4f at last, recorded in %s\n", (long long)steps, (double)model->loss,
           argv[3]);
    for (int p = 0; p < N_PARAMS; p++) {
        free(model->param[p]);
        free(model->grad[p]);
    }
    free(model);
    free(data.images);
    free(data.labels);
    return 0;
}
