/* Kernels of optimizers and of clipping: bits, references, golden hashes (kernel_case.h); twenty
 * steps of every optimizer against torch.optim's values; parameter groups. */
#include "kernel_case.h"

#include "base/config.h"
#include "engine/gradient_clip.h"
#include "engine/optimizer.h"
#include "kernels/adadelta.h"
#include "kernels/adagrad.h"
#include "kernels/adam.h"
#include "kernels/clip.h"
#include "kernels/lion.h"
#include "kernels/numerics.h"
#include "kernels/reduce.h"
#include "kernels/rmsprop.h"

static const float decays[] = {0, 0.01f};

/* p is a, the gradient b, the first state c, the second d. */

static const struct tdbg_adam adam_at_3 = {
    .beta1 = 0.9f,
    .beta2 = 0.999f,
    .eps = 1e-8f,
    .one_minus_beta1 = 0.1f,
    .one_minus_beta2 = 0.001f,
    .step_size = 0.001f / 0.271f,
    .bias2_sqrt = 0.0547175f,
};

static void run_adam(int variant, const struct tdbg_cpu *cpu, const struct case_input *in,
                     struct case_output *out)
{
    struct tdbg_adam adam = adam_at_3;
    adam.weight_decay = decays[variant];
    tdbg_adam_step(cpu, in->n, &adam, in->b, case_give(out, 0, in->n, in->a),
                   case_give(out, 1, in->n, in->c), case_give(out, 2, in->n, in->d));
}

static double decayed(const struct case_input *in, int64_t i, float decay)
{
    return (double)in->b[i] + (double)decay * (double)in->a[i];
}

/* Inputs are at most 2, so 16 roundings relative to what goes in are a generous bound; a quotient
 * is off by what its parts are off. */
static void ref_adam(int variant, const struct case_input *in, double *exact[CASE_OUTPUTS],
                     double *allowed[CASE_OUTPUTS])
{
    const struct tdbg_adam *a = &adam_at_3;
    for (int64_t i = 0; i < in->n; i++) {
        const double d = decayed(in, i, decays[variant]);
        const double m = (double)a->beta1 * (double)in->c[i] + (double)a->one_minus_beta1 * d;
        const double v = (double)a->beta2 * (double)in->d[i] + (double)a->one_minus_beta2 * d * d;
        const double change =
            (double)a->step_size / (sqrt(v) / (double)a->bias2_sqrt + (double)a->eps);
        exact[0][i] = (double)in->a[i] - change * m;
        exact[1][i] = m;
        exact[2][i] = v;
        allowed[0][i] = 0x1p-24 * 16 * (2 + change * 4);
        allowed[1][i] = 0x1p-24 * 16;
        allowed[2][i] = 0x1p-24 * (4 * v + 4e-3 * fabs(d));
    }
}

static const struct tdbg_adadelta adadelta_plain = {
    .lr = 0.5f, .rho = 0.9f, .eps = 1e-4f, .one_minus_rho = 0.1f};

static void run_adadelta(int variant, const struct tdbg_cpu *cpu, const struct case_input *in,
                         struct case_output *out)
{
    struct tdbg_adadelta adadelta = adadelta_plain;
    adadelta.weight_decay = decays[variant];
    float *u = case_give(out, 2, in->n, in->c);
    for (int64_t i = 0; i < in->n; i++)
        u[i] = fabsf(u[i]);
    tdbg_adadelta_step(cpu, in->n, &adadelta, in->b, case_give(out, 0, in->n, in->a),
                       case_give(out, 1, in->n, in->d), u);
}

static void ref_adadelta(int variant, const struct case_input *in, double *exact[CASE_OUTPUTS],
                         double *allowed[CASE_OUTPUTS])
{
    const struct tdbg_adadelta *a = &adadelta_plain;
    for (int64_t i = 0; i < in->n; i++) {
        const double d = decayed(in, i, decays[variant]), u = fabs((double)in->c[i]);
        const double v = (double)a->rho * (double)in->d[i] + (double)a->one_minus_rho * d * d;
        const double scale = sqrt(u + (double)a->eps) / sqrt(v + (double)a->eps);
        const double x = scale * d, unit = 0x1p-24 * scale * (fabs(d) + 0.1);
        exact[0][i] = (double)in->a[i] - (double)a->lr * x;
        exact[1][i] = v;
        exact[2][i] = (double)a->rho * u + (double)a->one_minus_rho * x * x;
        allowed[0][i] = 16 * unit + 0x1p-24 * 4;
        allowed[1][i] = 0x1p-24 * 4 * (v + 0.1 * fabs(d));
        allowed[2][i] = 16 * unit * (1 + fabs(x)) + 0x1p-24 * 4 * exact[2][i];
    }
}

static const struct tdbg_adagrad adagrad_plain = {.lr = 0.5f, .eps = 1e-10f};

static void run_adagrad(int variant, const struct tdbg_cpu *cpu, const struct case_input *in,
                        struct case_output *out)
{
    struct tdbg_adagrad adagrad = adagrad_plain;
    adagrad.weight_decay = decays[variant];
    tdbg_adagrad_step(cpu, in->n, &adagrad, in->b, case_give(out, 0, in->n, in->a),
                      case_give(out, 1, in->n, in->d));
}

static void ref_adagrad(int variant, const struct case_input *in, double *exact[CASE_OUTPUTS],
                        double *allowed[CASE_OUTPUTS])
{
    const struct tdbg_adagrad *a = &adagrad_plain;
    for (int64_t i = 0; i < in->n; i++) {
        const double d = decayed(in, i, decays[variant]), s = (double)in->d[i] + d * d;
        const double size = sqrt(s) + (double)a->eps;
        exact[0][i] = (double)in->a[i] - (double)a->lr * d / size;
        exact[1][i] = s;
        allowed[0][i] = 0x1p-24 * (4 + 8 * (fabs(d) + 0.1) / size);
        allowed[1][i] = 0x1p-24 * 4 * (s + fabs(d));
    }
}

/* Bits: decay, centered, momentum. */
static struct tdbg_rmsprop rmsprop_of(int variant)
{
    return (struct tdbg_rmsprop){.lr = 0.1f,
                                 .alpha = 0.9f,
                                 .eps = 0.01f,
                                 .weight_decay = decays[variant & 1],
                                 .momentum = variant & 4 ? 0.8f : 0,
                                 .one_minus_alpha = 0.1f,
                                 .centered = variant & 2};
}

static void run_rmsprop(int variant, const struct tdbg_cpu *cpu, const struct case_input *in,
                        struct case_output *out)
{
    const struct tdbg_rmsprop rmsprop = rmsprop_of(variant);
    struct tdbg_rmsprop_state state = {.square_avg = case_give(out, 1, in->n, in->d)};
    for (int64_t i = 0; i < in->n; i++) /* a variance that is well above zero */
        state.square_avg[i] += 5;
    if (rmsprop.momentum != 0)
        state.momentum_buffer = case_give(out, 2, in->n, in->c);
    if (rmsprop.centered)
        state.grad_avg = case_give(out, 3, in->n, in->c);
    tdbg_rmsprop_step(cpu, in->n, &rmsprop, in->b, case_give(out, 0, in->n, in->a), &state);
}

static void ref_rmsprop(int variant, const struct case_input *in, double *exact[CASE_OUTPUTS],
                        double *allowed[CASE_OUTPUTS])
{
    const struct tdbg_rmsprop a = rmsprop_of(variant);
    for (int64_t i = 0; i < in->n; i++) {
        const double d = decayed(in, i, a.weight_decay), old = (double)(in->d[i] + 5);
        const double v = (double)a.alpha * old + (double)a.one_minus_alpha * d * d;
        const double mean = (double)a.alpha * (double)in->c[i] + (double)a.one_minus_alpha * d;
        const double variance = a.centered ? v - mean * mean : v;
        const double x =
            d / (sqrt(variance) + (double)a.eps) + (double)a.momentum * (double)in->c[i];
        exact[0][i] = (double)in->a[i] - (double)a.lr * x;
        exact[1][i] = v;
        exact[2][i] = x;
        exact[3][i] = mean;
        for (int k = 0; k < CASE_OUTPUTS; k++)
            allowed[k][i] = 0x1p-24 * 40;
    }
}

static void run_lion(int variant, const struct tdbg_cpu *cpu, const struct case_input *in,
                     struct case_output *out)
{
    const struct tdbg_lion lion = {.lr = 0.1f,
                                   .beta1 = 0.9f,
                                   .beta2 = 0.99f,
                                   .one_minus_beta1 = 0.1f,
                                   .one_minus_beta2 = 0.01f,
                                   .decay = variant ? 0.999f : 1};
    tdbg_lion_step(cpu, in->n, &lion, in->b, case_give(out, 0, in->n, in->a),
                   case_give(out, 1, in->n, in->c));
}

static void ref_lion(int variant, const struct case_input *in, double *exact[CASE_OUTPUTS],
                     double *allowed[CASE_OUTPUTS])
{
    for (int64_t i = 0; i < in->n; i++) {
        const double m = (double)in->c[i], g = (double)in->b[i];
        const double c = (double)0.9f * m + (double)0.1f * g;
        const double sign = fabs(c) < 1e-6 ? 0 : c > 0 ? 1 : -1;
        exact[0][i] = (double)in->a[i] * (variant ? (double)0.999f : 1) - (double)0.1f * sign;
        exact[1][i] = (double)0.99f * m + (double)0.01f * g;
        allowed[0][i] = sign == 0 ? 0.11 : 0x1p-24 * 8;
        allowed[1][i] = 0x1p-24 * 8;
    }
}

static void run_clip(int variant, const struct tdbg_cpu *cpu, const struct case_input *in,
                     struct case_output *out)
{
    float *scratch = malloc((size_t)tdbg_reduce_scratch_elems(in->n) * sizeof *scratch + 1);
    const float squares[] = {tdbg_clip_square_sum(cpu, in->n, in->a, scratch),
                             tdbg_clip_square_sum(cpu, in->n, in->b, scratch)};
    float *norm = case_give(out, 0, 2, NULL), *scaled = case_give(out, 1, in->n, in->a);
    float *limited = case_give(out, 2, in->n, in->a);
    tdbg_clip_norm(2, squares, variant ? 1e9f : 0.5f, norm);
    tdbg_clip_scale(cpu, in->n, norm + 1, scaled);
    tdbg_clip_value(cpu, in->n, 1.25f, limited);
    free(scratch);
}

static void ref_clip(int variant, const struct case_input *in, double *exact[CASE_OUTPUTS],
                     double *allowed[CASE_OUTPUTS])
{
    double sum = 0;
    for (int64_t i = 0; i < in->n; i++)
        sum += (double)in->a[i] * (double)in->a[i] + (double)in->b[i] * (double)in->b[i];
    const double factor = fmin(1, (variant ? 1e9 : 0.5) / (sqrt(sum) + 1e-6));
    exact[0][0] = sqrt(sum);
    exact[0][1] = factor;
    allowed[0][0] = 0x1p-24 * 400 * sqrt(sum);
    allowed[0][1] = 0x1p-24 * 400 * factor;
    for (int64_t i = 0; i < in->n; i++) {
        exact[1][i] = (double)in->a[i] * factor;
        exact[2][i] = fmax(-1.25, fmin(1.25, (double)in->a[i]));
        allowed[1][i] = 0x1p-24 * 401 * fabs(exact[1][i]);
    }
}

static const struct kernel_case cases[] = {
    {"adam", 0, run_adam, ref_adam, UINT64_C(0x8d74d2c6fd9cfe05)},
    {"adam with decay", 1, run_adam, ref_adam, UINT64_C(0x9fd5a41f8d35105f)},
    {"adadelta", 0, run_adadelta, ref_adadelta, UINT64_C(0xe35df1ddcf179620)},
    {"adadelta with decay", 1, run_adadelta, ref_adadelta, UINT64_C(0x2fb9850af15420af)},
    {"adagrad", 0, run_adagrad, ref_adagrad, UINT64_C(0xe09abf18230dbfa1)},
    {"adagrad with decay", 1, run_adagrad, ref_adagrad, UINT64_C(0x2607db37a8e2df17)},
    {"rmsprop", 0, run_rmsprop, ref_rmsprop, UINT64_C(0xe52e195e894809e2)},
    {"rmsprop with decay", 1, run_rmsprop, ref_rmsprop, UINT64_C(0xd0a55fb09f8f376a)},
    {"rmsprop centered", 2, run_rmsprop, ref_rmsprop, UINT64_C(0x859021990cf9f10d)},
    {"rmsprop centered with decay", 3, run_rmsprop, ref_rmsprop, UINT64_C(0x0955d23b4e6566fd)},
    {"rmsprop momentum", 4, run_rmsprop, ref_rmsprop, UINT64_C(0xf9fc414702dbc8b8)},
    {"rmsprop momentum with decay", 5, run_rmsprop, ref_rmsprop, UINT64_C(0x127f741f611a1ff3)},
    {"rmsprop centered momentum", 6, run_rmsprop, ref_rmsprop, UINT64_C(0xd3f92ffa7bf2a9b5)},
    {"rmsprop centered momentum with decay", 7, run_rmsprop, ref_rmsprop,
     UINT64_C(0x6e3a62bf6cc747d9)},
    {"lion", 0, run_lion, ref_lion, UINT64_C(0x607b6febdbe38e52)},
    {"lion with decay", 1, run_lion, ref_lion, UINT64_C(0x8f023bb790dee23c)},
    {"clip", 0, run_clip, ref_clip, UINT64_C(0x0fa5e424d514608b)},
    {"clip above the norm", 1, run_clip, ref_clip, UINT64_C(0x6c84a4b3c74fe70a)},
};

/* ---- against PyTorch --------------------------------------------------------------------------
 */

enum { ELEMS = 8, STEPS = 20 };

/* The parameters after twenty steps in float64, from p[i] = (i - 3) / 4 with the gradients
 * g[t][i] = ((7t + 3i) % 11 - 5) / 8. Lion: the authors' reference code. */
static const struct torch_case {
    const char *text;
    double after[ELEMS];
} torch_cases[] = {
    {"kind = \"sgd\"; lr = 0.05; momentum = 0.9; weight_decay = 0.01; nesterov = true;",
     {-0.65367389423591526, -0.60907440842245608, -0.15981354561775549, -0.037922808885060125,
      0.41704306679061764, 0.53794696687217181, 0.45280556168115838, 0.74364771164125698}},
    {"kind = \"adam\"; lr = 0.05;",
     {-0.67483823981440771, -0.54375968329775315, -0.26277484770712967, -0.078151416706239443,
      0.38588989704527021, 0.63366113122547918, 0.57469449400732864, 0.82674470381884779}},
    {"kind = \"adam\"; lr = 0.05; betas = [0.8, 0.95]; eps = 1e-6; weight_decay = 0.1;",
     {-0.55484166910249133, -0.4257587286257819, -0.19662674376070918, -0.043226571880759873,
      0.29048063961049136, 0.47970026108500335, 0.46199190026712039, 0.69446651658813663}},
    {"kind = \"adamw\"; lr = 0.05; weight_decay = 0.1;",
     {-0.61024260701690436, -0.49431424464579399, -0.23644947423823276, -0.070785535224539523,
      0.35194416708769188, 0.57437575331787805, 0.51538737921457123, 0.74472480974729705}},
    {"kind = \"adadelta\"; lr = 1.0;",
     {-0.74863888738110862, -0.5010920770055316, -0.2482748000243043, -0.0017240762456158182,
      0.25313620109921298, 0.50088072800933126, 0.744001570470195, 1.0007111242198681}},
    {"kind = \"adadelta\"; lr = 0.5; rho = 0.8; eps = 1e-4; weight_decay = 0.1;",
     {-0.71505424810958751, -0.48044033968952804, -0.23136376790998503, -0.0060557454365998027,
      0.25026454140788879, 0.47736520594160475, 0.69641447570163506, 0.96550692964000251}},
    {"kind = \"adagrad\"; lr = 0.05;",
     {-0.72478136476209942, -0.49297763999825667, -0.25943751272522736, -0.023533618781314734,
      0.29582685885158061, 0.56077144947211222, 0.69152975143541018, 0.97079580733494419}},
    {"kind = \"adagrad\"; lr = 0.05; lr_decay = 0.1; weight_decay = 0.1; "
     "initial_accumulator_value = 0.5;",
     {-0.7067643408826858, -0.48921713327332317, -0.23248046391987387, -0.011756354804971961,
      0.2644583228332385, 0.49576955016979807, 0.69188267325858355, 0.93806911336185961}},
    {"kind = \"rmsprop\"; lr = 0.05;",
     {-0.49552061697653949, -0.42931145914462654, -0.33960838100844437, -0.23493576362359975,
      0.71084035768680165, 1.1031275112183399, 0.16432861124521256, 0.7169822965509447}},
    {"kind = \"rmsprop\"; lr = 0.02; alpha = 0.9; momentum = 0.5; weight_decay = 0.1;",
     {-0.56376010320532344, -0.38858038555425839, -0.20563527226074907, -0.022471190790326112,
      0.29321885954201415, 0.5268887213248451, 0.47775878532756672, 0.74499966208882873}},
    {"kind = \"rmsprop\"; lr = 0.02; alpha = 0.9; eps = 1e-4; centered = true;",
     {-0.71033250527030345, -0.4889457796239321, -0.25627064255099413, -0.03145220557106361,
      0.31871809784423266, 0.58030098099871541, 0.66754427214827516, 0.96939453163854283}},
    {"kind = \"rmsprop\"; lr = 0.02; alpha = 0.9; eps = 1e-4; centered = true; momentum = 0.5;",
     {-0.69210140141743459, -0.48025841625988525, -0.26622698756458796, -0.03889365886852772,
      0.37655705205706452, 0.67112253238426156, 0.59461439557185869, 0.90495344295193103}},
    {"kind = \"lion\"; lr = 0.01;", {-0.77, -0.52, -0.27, -0.02, 0.25, 0.48, 0.71, 0.98}},
    {"kind = \"lion\"; lr = 0.01; betas = [0.8, 0.95]; weight_decay = 0.1;",
     {-0.75498234695125266, -0.5098756672992607, -0.26478910651469473, -0.01972222815723508,
      0.2449683881921772, 0.47003556386541157, 0.69551890234308311, 0.96062552253163025}},
};

static struct tdbg_config *parse_config(const char *text)
{
    struct tdbg_config *config;
    struct tdbg_err err = {0};
    static const struct tdbg_option freeze[] = {
        {"freeze", TDBG_OPT_GLOBS, "", 0, 0, NULL, "[]", 0, ""},
        {"optimizer", TDBG_OPT_GROUP, "", 0, 0, NULL, NULL, TDBG_OPT_REQUIRED, ""},
    };
    const struct tdbg_option_table tables[] = {{freeze, 2}, tdbg_clip_options};
    if (tdbg_config_parse(text, "test.cfg", NULL, 0, &config, &err) != TDBG_OK)
        fail_msg("%s", err.message);
    const struct tdbg_cfg_node *root = tdbg_config_root(config);
    tdbg_config_check(config, root, tables, 2, NULL);
    tdbg_optimizer_check_options(config, tdbg_cfg_find(root, "optimizer"));
    return config;
}

static struct tdbg_optimizer read_optimizer(struct tdbg_config *config)
{
    struct tdbg_err err = {0};
    if (tdbg_config_result(config, &err) != TDBG_OK)
        fail_msg("%s", err.message);
    return tdbg_optimizer_read(tdbg_cfg_find(tdbg_config_root(config), "optimizer"));
}

static void run_steps(const struct tdbg_optimizer *o, const struct tdbg_param_setting *setting,
                      float *p, float state[TDBG_MAX_OPTIM_STATES][ELEMS])
{
    const struct tdbg_param_setting settings[] = {*setting, *setting};
    const struct tdbg_range params[] = {{.elems = 1}, {.offset = 1, .elems = ELEMS - 1}};
    struct tdbg_range range[2];
    struct tdbg_optimizer_group group[2];
    const int32_t n_groups = tdbg_optimizer_group(settings, params, 2, range, group);
    assert_int_equal(n_groups, setting->frozen ? 0 : 1);
    struct tdbg_backend *be;
    assert_int_equal(tdbg_backend_cpu_create("auto", 1, &be, NULL), TDBG_OK);
    float *states[TDBG_MAX_OPTIM_STATES], g[ELEMS];
    for (int s = 0; s < TDBG_MAX_OPTIM_STATES; s++) {
        states[s] = state[s];
        for (int i = 0; i < ELEMS; i++)
            state[s][i] = tdbg_optimizer_state_initial(o, s);
    }
    for (int i = 0; i < ELEMS; i++)
        p[i] = (float)(i - 3) / 4;
    for (int t = 0; t < STEPS; t++) {
        for (int i = 0; i < ELEMS; i++)
            g[i] = (float)((t * 7 + i * 3) % 11 - 5) / 8;
        for (int32_t k = 0; k < n_groups; k++)
            tdbg_optimizer_apply(o, &group[k], be, t, (double)(float)o->lr, g, p, states);
    }
    tdbg_backend_cpu_destroy(be);
}

static void test_equals_torch(void **state)
{
    (void)state;
    for (size_t c = 0; c < sizeof torch_cases / sizeof *torch_cases; c++) {
        char text[256];
        float p[ELEMS], states[TDBG_MAX_OPTIM_STATES][ELEMS];
        snprintf(text, sizeof text, "optimizer = { %s };", torch_cases[c].text);
        struct tdbg_config *config = parse_config(text);
        const struct tdbg_optimizer o = read_optimizer(config);
        run_steps(&o, &(struct tdbg_param_setting){o.weight_decay, 1, false}, p, states);
        for (int i = 0; i < ELEMS; i++) {
            if (fabs((double)p[i] - torch_cases[c].after[i]) > 2e-6)
                fail_msg("%s: element %d is %.9g, PyTorch has %.9g", torch_cases[c].text, i,
                         (double)p[i], torch_cases[c].after[i]);
        }
        tdbg_config_destroy(config);
    }
}

/* clip_grad_norm_(max_norm=1.5) of two tensors whose global norm is 6. */
static void test_clip_equals_torch(void **state)
{
    (void)state;
    struct tdbg_config *config =
        parse_config("clip = { norm = 1.5; }; optimizer = { kind = \"sgd\"; lr = 0.1; };");
    const struct tdbg_clip clip = tdbg_clip_read(tdbg_config_root(config));
    struct tdbg_backend *be;
    assert_int_equal(tdbg_backend_cpu_create("auto", 1, &be, NULL), TDBG_OK);
    /* The three elements of the first lie behind the second, which is at 1; -9 is neither's. */
    float x[] = {-9, 0, 0, 0, 0, 0, -9, -9, 0, 0, 0, -9}, squares[2], norm[2];
    float *const a = x + 8, *const b = x + 1;
    for (int i = 0; i < 3; i++)
        a[i] = (float)(i * 3 % 7) - 2.5f;
    for (int i = 0; i < 5; i++)
        b[i] = (float)((i * 3 + 5) % 7) - 2.5f;
    struct tdbg_range range[] = {{.offset = 8, .elems = 3}, {.offset = 1, .elems = 5}};
    const struct tdbg_ranges ranges = tdbg_ranges_of(range, 2);
    float scratch[2];
    assert_true(tdbg_clip_scratch_elems(&ranges) <= 2);
    const struct tdbg_clip_memory memory = {squares, norm, scratch};
    assert_true(tdbg_clip_is_on(&clip));
    tdbg_clip_measure(&clip, be, &ranges, x, &memory);
    tdbg_clip_scale_all(&clip, be, &ranges, x, &memory);
    assert_true(x[0] == -9 && x[6] == -9 && x[7] == -9 && x[11] == -9);
    assert_true(norm[0] == 6);
    const double after[] = {-0.6249998958333506, 0.12499997916667012,  0.8749998541666908,
                            0.6249998958333506,  -0.37499993750001037, 0.37499993750001037,
                            -0.6249998958333506, 0.12499997916667012};
    for (int i = 0; i < 8; i++)
        assert_true(fabs((double)(i < 3 ? a[i] : b[i - 3]) - after[i]) < 1e-7);
    tdbg_backend_cpu_destroy(be);
    tdbg_config_destroy(config);
}

static void test_clip_values(void **state)
{
    (void)state;
    float out[2];
    tdbg_clip_norm(1, (const float[]){NAN}, 1, out);
    assert_true(tdbg_float_bits(out[0]) == 0x7fc00000 && tdbg_float_bits(out[1]) == 0x7fc00000);
    tdbg_clip_norm(1, (const float[]){INFINITY}, 1, out);
    assert_true(isinf(out[0]) && out[1] == 0);
    tdbg_clip_norm(2, (const float[]){9, 16}, 10, out);
    assert_true(out[0] == 5 && out[1] == 1);
    tdbg_clip_norm(0, NULL, 10, out);
    assert_true(out[0] == 0 && out[1] == 1);
}

/* ---- parameter groups -------------------------------------------------------------------------
 */

static const char *const names[] = {"embed.weight", "fc1.weight", "fc1.bias", "norm1.weight"};
enum { N_NAMES = sizeof names / sizeof *names };

static void test_groups(void **state)
{
    (void)state;
    struct tdbg_config *config =
        parse_config("freeze = [\"embed.*\"];\n"
                     "optimizer = { kind = \"adamw\"; lr = 0.1; weight_decay = 0.5; groups = (\n"
                     "  { match = [\"*.bias\", \"*norm?.*\"]; weight_decay = 0.0; },\n"
                     "  { match = [\"fc1.*\"]; lr_scale = 0.25; } ); };");
    const struct tdbg_optimizer o = read_optimizer(config);
    struct tdbg_param_setting s[N_NAMES];
    tdbg_optimizer_resolve(config, tdbg_config_root(config), &o, names, N_NAMES, s);
    assert_int_equal(tdbg_config_n_diagnostics(config), 0);
    assert_true(s[0].frozen && s[0].weight_decay == 0.5 && s[0].lr_scale == 1);
    assert_true(!s[1].frozen && s[1].weight_decay == 0.5 && s[1].lr_scale == 0.25);
    assert_true(!s[2].frozen && s[2].weight_decay == 0 && s[2].lr_scale == 1); /* first wins */
    assert_true(!s[3].frozen && s[3].weight_decay == 0 && s[3].lr_scale == 1);

    float p[ELEMS], states[TDBG_MAX_OPTIM_STATES][ELEMS], half[ELEMS];
    run_steps(&o, &s[0], p, states);
    for (int i = 0; i < ELEMS; i++)
        assert_true(p[i] == (float)(i - 3) / 4 && states[0][i] == 0 && states[1][i] == 0);
    struct tdbg_optimizer slow = o;
    slow.lr = o.lr * 0.25;
    run_steps(&o, &s[1], p, states);
    run_steps(&slow, &s[0], half, states); /* frozen: only to show that it is left alone */
    run_steps(&slow, &(struct tdbg_param_setting){0.5, 1, false}, half, states);
    assert_memory_equal(p, half, sizeof p);
    tdbg_config_destroy(config);
}

/* Of each setting one group, whatever lies between its parameters. */
static void test_grouping(void **state)
{
    (void)state;
    enum { N = 6 };
    static const struct tdbg_param_setting settings[N] = {
        {0.5, 1, false}, {0.5, 1, true},  {0, 1, false},
        {0.5, 1, false}, {0.5, 2, false}, {0, 1, false},
    };
    static const int32_t members[3][2] = {{0, 3}, {2, 5}, {4, -1}};
    struct tdbg_range params[N], range[N];
    struct tdbg_optimizer_group groups[N];
    for (int i = 0; i < N; i++)
        params[i] = (struct tdbg_range){.offset = i * 10000, .elems = 4097};
    assert_int_equal(tdbg_optimizer_group(settings, params, N, range, groups), 3);
    for (int g = 0; g < 3; g++) {
        const struct tdbg_ranges *ranges = &groups[g].ranges;
        const struct tdbg_param_setting *want = &settings[members[g][0]], *got = &groups[g].setting;
        assert_true(got->weight_decay == want->weight_decay && got->lr_scale == want->lr_scale);
        assert_int_equal(ranges->n, g < 2 ? 2 : 1);
        assert_int_equal(ranges->n_tiles, 2 * ranges->n);
        for (int r = 0; r < ranges->n; r++) {
            assert_int_equal(ranges->range[r].offset, members[g][r] * 10000);
            assert_int_equal(ranges->range[r].elems, 4097);
            assert_int_equal(ranges->range[r].first_tile, 2 * r);
        }
    }
}

static void check_fault(const char *text, const char *says, const char *hint)
{
    struct tdbg_config *config = parse_config(text);
    struct tdbg_err err = {0};
    struct tdbg_param_setting s[N_NAMES];
    if (tdbg_config_n_diagnostics(config) == 0) {
        const struct tdbg_optimizer o = read_optimizer(config);
        tdbg_optimizer_resolve(config, tdbg_config_root(config), &o, names, N_NAMES, s);
    }
    assert_int_equal(tdbg_config_result(config, &err), TDBG_CONFIG);
    if (!strstr(err.message, says) || !strstr(err.message, hint))
        fail_msg("%s: %s", text, err.message);
    tdbg_err_clear(&err);
    tdbg_config_destroy(config);
}

#define SGD(groups) "optimizer = { kind = \"sgd\"; lr = 0.1; groups = ( " groups " ); };"

static void test_group_faults(void **state)
{
    (void)state;
    check_fault(SGD("{ match = [\"fc1.weigth\"]; }"), "\"fc1.weigth\", which matches no parameter",
                "did you mean \"fc1.weight\"?");
    check_fault(SGD("{ match = [\"*.gamma\"]; }"), "\"*.gamma\", which matches no parameter",
                "called like \"embed.weight\" and \"norm1.weight\"");
    check_fault("freeze = [\"encoder.*\"];" SGD(""), "'freeze' has \"encoder.*\"", "hint");
    check_fault("freeze = [\"*\"];" SGD(""), "every parameter is frozen", "");
    check_fault(SGD("{ lr_scale = 0.5; }"), "missing key", "match");
    check_fault(SGD("{ match = [\"*\"]; lr = 0.5; }"), "unknown key 'lr'", "");
    check_fault("clip = { nrom = 1.0; };" SGD(""), "unknown key", "norm");
    check_fault("optimizer = { kind = \"lion\"; lr = 0.1; betas = [0.9]; };", "two numbers", "");
}

int main(void)
{
    enum { COUNT = sizeof cases / sizeof *cases, MORE = 6 };
    struct CMUnitTest tests[COUNT + MORE] = {
        [COUNT] = cmocka_unit_test(test_equals_torch),
        [COUNT + 1] = cmocka_unit_test(test_clip_equals_torch),
        [COUNT + 2] = cmocka_unit_test(test_clip_values),
        [COUNT + 3] = cmocka_unit_test(test_groups),
        [COUNT + 4] = cmocka_unit_test(test_group_faults),
        [COUNT + 5] = cmocka_unit_test(test_grouping),
    };
    for (int i = 0; i < COUNT; i++) {
        tests[i] = (struct CMUnitTest){.name = cases[i].name, .test_func = case_test};
        memcpy(&tests[i].initial_state, &(const struct kernel_case *){&cases[i]}, sizeof(void *));
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
