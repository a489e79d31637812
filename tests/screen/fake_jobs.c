/* See fake_jobs.h. */
#include "tests/screen/fake_jobs.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/convert.h"

/* The bits of a double as an element of a type; what is between two bf16 or f16 is cut off. */
static void put_element(void *data, enum tdbg_dtype dtype, int64_t i, double x)
{
    const uint32_t bits = tdbg_float_bits((float)x);
    const int exponent = (int)(bits >> 23 & 255) - 127;
    switch (dtype) {
    case TDBG_DTYPE_F32:
        ((float *)data)[i] = (float)x;
        break;
    case TDBG_DTYPE_F64:
        ((double *)data)[i] = x;
        break;
    case TDBG_DTYPE_BF16:
        ((uint16_t *)data)[i] = (uint16_t)(bits >> 16);
        break;
    case TDBG_DTYPE_F16:
        ((uint16_t *)data)[i] =
            (uint16_t)((bits >> 31 << 15) |
                       (exponent < -14  ? 0
                        : exponent > 15 ? 31u << 10 | (isnan(x) ? 1 : 0)
                                        : (uint32_t)(exponent + 15) << 10 | (bits >> 13 & 1023)));
        break;
    case TDBG_DTYPE_U8:
        ((uint8_t *)data)[i] = (uint8_t)(fabs(x) * 200);
        break;
    case TDBG_DTYPE_I32:
        ((int32_t *)data)[i] = (int32_t)(x * 100);
        break;
    default:
        ((int64_t *)data)[i] = (int64_t)(x * 10);
        break;
    }
}

/* A bell of magnitudes around a level of the site's own, a fifth of it zeros, and in the steps with
 * NaN some of those. */
static double element(const struct fake_run *run, int64_t step, int32_t site, int64_t i)
{
    const uint64_t mixed =
        ((uint64_t)i * 2654435761u + (uint64_t)site * 40503u + (uint64_t)(step / 2) * 97u) *
        UINT64_C(0x9e3779b97f4a7c15);
    const double a = (double)(mixed >> 48 & 255) / 256, b = (double)(mixed >> 40 & 255) / 256;
    const double level = 0.3 * (1 + (double)(site % 7)) / (1 + (double)step / 500);
    struct tdbg_stats stats;
    fake_run_stats(run, step, site, &stats);
    if (stats.nans > 0 && i % 3 == 0)
        return (double)NAN;
    if (stats.infs > 0 && i % 10 == 0)
        return (double)INFINITY;
    if (mixed >> 56 < 50)
        return 0;
    return (a + b - 1) * (a + b - 1) * (a < 0.5 ? -level : level) * (1 + 0.1 * (double)(step % 2));
}

static void answer_tensor(struct fake_jobs *j, const struct tdbg_tui_job *job,
                          struct tdbg_tui_answer *out)
{
    const struct tdbg_site *site = &j->run->sites[job->site];
    const int64_t n = tdbg_site_elems(site);
    free(j->values);
    j->values = malloc((size_t)n * tdbg_dtype_bytes(site->dtype) + 1);
    TDBG_ASSERT(j->values);
    for (int64_t i = 0; i < n; i++)
        put_element(j->values, site->dtype, i, element(j->run, job->step, job->site, i));
    /* a rank whose digest is not the others' has another element 17 */
    if (site->lane < 0 && n > 17 &&
        fake_run_digest(j->run, job->rank, job->step, job->site) !=
            fake_run_digest(j->run, 0, job->step, job->site))
        put_element(j->values, site->dtype, 17, 0.75);
    tdbg_stats_fast(j->values, site->dtype, n, &j->stats);
    out->values = j->values;
    out->n_elems = n;
    out->stats = &j->stats;
    out->is_executed = !j->is_stored;
    out->steps_executed = j->is_stored ? 0 : job->step % 100 + 1;
}

/* Of what was recorded the same, of the others something. */
static void answer_stats(struct fake_jobs *j, const struct tdbg_tui_job *job,
                         struct tdbg_tui_answer *out)
{
    for (int32_t i = 0; i < j->run->data.n_sites; i++) {
        fake_run_stats(j->run, job->step, i, &j->all[i]);
        if (!tdbg_tui_stats_present(&j->all[i]))
            j->all[i] = (struct tdbg_stats){.min = -i, .max = (double)i / 2, .mean = 0, .rms = 1};
    }
    out->stats = j->all;
    out->is_executed = true;
}

/* In the steps with NaN it is in the forward pass of the first of them. */
static void answer_origin(struct fake_jobs *j, const struct tdbg_tui_job *job,
                          struct tdbg_tui_answer *out)
{
    int32_t site = 0;
    j->origin = (struct tdbg_origin){.step = job->step, .sample_id = -1};
    out->origin = &j->origin;
    if (job->step < FAKE_NAN_FROM || job->step >= FAKE_NAN_TO)
        return;
    while (strcmp(j->run->sites[site].name, "fwd/fc2") != 0)
        site++;
    j->origin.is_found = true;
    j->origin.step = FAKE_NAN_FROM;
    j->origin.output.site = site;
    j->origin.value = (double)INFINITY;
    j->origin.n_inputs = 1;
    j->origin.input[0].stats = (struct tdbg_stats){.min = -3.1e38, .max = 2e38};
    j->origin.sample_id = 5123;
}

/* The runs part where one of them says; of a tensor the first element differs from there on. */
static void answer_diff(struct fake_jobs *j, const struct tdbg_tui_job *job,
                        struct tdbg_tui_answer *out)
{
    struct tdbg_tui_parting *p = &j->parting;
    const struct fake_run *a = j->run, *b = j->other;
    memset(p, 0, sizeof *p);
    out->parting = p;
    if (job->kind == TDBG_JOB_DIFF) {
        p->has_step = b->wish.parts_from > 0;
        p->is_same = !p->has_step;
        p->n_steps = a->data.n_steps;
        p->step = b->wish.parts_from;
        p->lane = TDBG_LANE_ALL;
        p->n_sites_differ = 17;
        strcpy(p->site, "fwd/fc1");
        return;
    }
    const bool differs =
        fake_run_digest(a, 0, job->step, job->site) != fake_run_digest(b, 0, job->to, job->site);
    p->has_elements = true;
    p->elements.n_elems = tdbg_site_elems(&a->sites[job->site]);
    p->elements.n_differ = differs;
    p->elements.worst.absolute = 0.25;
    p->most_relative = differs ? 0.125 : 0;
    p->n_shown = 3;
    for (int i = 0; i < p->n_shown; i++) {
        p->element[i].index = i;
        p->element[i].a = 2;
        p->element[i].b = i == 0 && differs ? 1.75 : 2;
        p->element[i].differs = i == 0 && differs;
    }
}

static int64_t submit(void *context, const struct tdbg_tui_job *job)
{
    struct fake_jobs *j = context;
    return tdbg_tui_job_list_add(&j->queue, job);
}

static void cancel(void *context, int64_t id)
{
    struct fake_jobs *j = context;
    tdbg_tui_job_list_drop(&j->queue, id);
}

static bool take(void *context, struct tdbg_tui_answer *out)
{
    struct fake_jobs *j = context;
    if (!j->queue.first || j->holds)
        return false;
    const struct tdbg_tui_job *job = &j->queue.first->job;
    *out = (struct tdbg_tui_answer){
        .id = j->queue.first->id, .kind = job->kind, .step = job->step, .fd = -1};
    if (j->fails) {
        out->status = TDBG_DAMAGED;
        out->message = "fake.h5: the keyframe of step 0 is damaged, and there is none before it";
    } else if (job->kind == TDBG_JOB_TENSOR) {
        answer_tensor(j, job, out);
    } else if (job->kind == TDBG_JOB_STATS) {
        answer_stats(j, job, out);
    } else if (job->kind == TDBG_JOB_ORIGIN) {
        answer_origin(j, job, out);
    } else if (job->kind == TDBG_JOB_DIFF || job->kind == TDBG_JOB_ELEMENTS) {
        answer_diff(j, job, out);
    } else if (job->kind == TDBG_JOB_EVALUATE) {
        out->is_known = true;
        out->number = 1e-3 * (double)(job->step % 7 + 1);
    } else {
        out->status = TDBG_NOT_FOUND;
        out->message = "nothing was found";
    }
    j->n_done[job->kind]++;
    j->n_taken++;
    tdbg_tui_job_list_drop(&j->queue, out->id);
    return true;
}

static bool progress(void *context, struct tdbg_tui_job_progress *out)
{
    const struct fake_jobs *j = context;
    if (!j->queue.first || !j->holds)
        return false;
    *out = (struct tdbg_tui_job_progress){.done = 12, .total = 40, .step = 812};
    return true;
}

void fake_jobs_make(struct fake_jobs *j, const struct fake_run *run)
{
    *j = (struct fake_jobs){.run = run,
                            .table = {.context = j,
                                      .fd = -1,
                                      .submit = submit,
                                      .cancel = cancel,
                                      .take = take,
                                      .progress = progress}};
}

void fake_jobs_free(struct fake_jobs *j)
{
    tdbg_tui_job_list_free(&j->queue);
    free(j->values);
    j->values = NULL;
}
