/* Moves along the dataflow, the same wherever one is: phases, inputs, modules, origin. See app.h.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "replay/dataflow.h"
#include "tui/app.h"

/* Is the site the last (direction 1) or the first (-1) of its phase? */
static bool is_at_border(const struct tdbg_tui_data *data, int32_t site, int direction)
{
    const int32_t next = site + direction;
    return next < 0 || next >= data->n_sites ||
           tdbg_tui_phase_of(&data->sites[next]) != tdbg_tui_phase_of(&data->sites[site]);
}

/* To the border of this phase or, where that is here, of the one behind it, over step borders. */
static void move_phase(struct tdbg_tui_app *app, int64_t count, int direction)
{
    struct tdbg_tui_model *m = &app->model;
    if (m->data->n_sites == 0) {
        tdbg_tui_model_move_ops(m, direction);
        return;
    }
    for (; count > 0; count--) {
        const struct tdbg_tui_focus before = m->focus;
        int64_t n = 1;
        int32_t site = m->focus.site;
        if (is_at_border(m->data, site, direction))
            site = (site + direction + m->data->n_sites) % m->data->n_sites;
        else
            n = 0;
        for (; !is_at_border(m->data, site, direction); site += direction)
            n++;
        tdbg_tui_model_move_ops(m, direction * n);
        if (m->focus.step == before.step && m->focus.site == before.site)
            return;
    }
}

void tdbg_tui_phase_end(struct tdbg_tui_app *app, int64_t count, bool has_count)
{
    (void)has_count;
    move_phase(app, count, 1);
}

void tdbg_tui_phase_start(struct tdbg_tui_app *app, int64_t count, bool has_count)
{
    (void)has_count;
    move_phase(app, count, -1);
}

void tdbg_tui_to_input(struct tdbg_tui_app *app, int64_t count, bool has_count)
{
    (void)has_count;
    struct tdbg_tui_model *m = &app->model;
    struct tdbg_tui_ops *ops = &app->ops;
    int32_t inputs[TDBG_DATAFLOW_INPUTS];
    char label[TDBG_SITE_LABEL_BYTES];
    if (!m->data->inputs || m->data->n_sites == 0) {
        tdbg_tui_model_say(m, "this trace does not say what was computed from what");
        return;
    }
    if (app->former != TDBG_REQUEST_INPUTS) {
        ops->inputs_of = m->focus.site;
        ops->inputs_at = 0;
    } else {
        count += ops->inputs_at;
    }
    const int n = m->data->inputs(m->data->flow, ops->inputs_of, inputs);
    tdbg_tui_model_site_label(m, ops->inputs_of, label);
    if (n < 0) {
        tdbg_tui_model_say(m, "this trace does not say what was computed from what");
    } else if (n == 0) {
        tdbg_tui_model_say(m, "%s is computed from nothing in this step", label);
    } else {
        ops->inputs_at = (int)((count - 1) % n) + 1;
        tdbg_tui_model_goto_site(m, inputs[ops->inputs_at - 1]);
        tdbg_tui_model_say(m, "input %d of %d of op %d, %s", ops->inputs_at, n, (int)ops->inputs_of,
                           label);
    }
}

/* Where the list is not cut down to a module, its first op is gone to. */
static void say_module(struct tdbg_tui_app *app)
{
    struct tdbg_tui_model *m = &app->model;
    struct tdbg_tui_ops *ops = &app->ops;
    const enum tdbg_stage stage = m->data->sites[m->focus.site].stage;
    if (!ops->module) {
        tdbg_tui_model_say(m, "all modules");
        return;
    }
    if (tdbg_tui_app_screen(app) != &tdbg_tui_screen_ops) {
        int32_t first = 0;
        while (m->data->sites[first].stage != stage ||
               !tdbg_tui_ops_shows(ops, &m->data->sites[first]))
            first++;
        tdbg_tui_model_goto_site(m, first);
    }
    tdbg_tui_model_say(m, "module %s: %lld tensors; u is wider, d narrower", ops->module,
                       (long long)tdbg_tui_ops_rows(ops, m->data));
}

static void move_module(struct tdbg_tui_app *app, int64_t count, bool up)
{
    struct tdbg_tui_model *m = &app->model;
    int64_t n = 0;
    if (m->data->n_sites == 0)
        return;
    const struct tdbg_site *site = &m->data->sites[m->focus.site];
    while (n < count && (up ? tdbg_tui_ops_module_up(&app->ops, site)
                            : tdbg_tui_ops_module_down(&app->ops, site))) {
        n++;
        if (!app->ops.module) /* wider than all there is nothing */
            break;
    }
    if (n > 0)
        say_module(app);
    else if (up)
        tdbg_tui_model_say(m, "%s is in no module", tdbg_site_tensor(site));
    else
        tdbg_tui_model_say(m, "%s has no parts", tdbg_site_tensor(site));
}

void tdbg_tui_module_up(struct tdbg_tui_app *app, int64_t count, bool has_count)
{
    (void)has_count;
    move_module(app, count, true);
}

void tdbg_tui_module_down(struct tdbg_tui_app *app, int64_t count, bool has_count)
{
    (void)has_count;
    move_module(app, count, false);
}

/* --- origin --- */

static double largest_input(const struct tdbg_origin *o)
{
    double largest = 0;
    for (int i = 0; i < o->n_inputs; i++)
        largest = fmax(largest, fmax(fabs(o->input[i].stats.min), fabs(o->input[i].stats.max)));
    return largest;
}

static void say_origin(struct tdbg_tui_model *m, const struct tdbg_origin *o)
{
    char label[TDBG_SITE_LABEL_BYTES], sample[48] = "";
    const struct tdbg_site *site = &m->data->sites[o->output.site];
    const char *what = isnan(o->value) ? "nan" : o->value > 0 ? "inf" : "-inf";
    tdbg_tui_model_site_label(m, o->output.site, label);
    if (o->sample_id >= 0)
        snprintf(sample, sizeof sample, ", sample %lld", (long long)o->sample_id);
    if (o->is_first_state)
        tdbg_tui_model_say(m, "%s has %s before the first recorded step already", label, what);
    else if (o->n_inputs == 0)
        tdbg_tui_model_say(m, "op %d %s: its output has %s%s", (int)o->output.site, site->op, what,
                           sample);
    else
        tdbg_tui_model_say(m, "op %d %s: inputs are finite, |max| %.1e, output has %s%s",
                           (int)o->output.site, site->op, largest_input(o), what, sample);
}

static void found_origin(struct tdbg_tui_app *app, const struct tdbg_tui_answer *a)
{
    struct tdbg_tui_model *m = &app->model;
    if (a->status != TDBG_OK) {
        tdbg_tui_model_say_error(m, "%s", a->message);
    } else if (!a->origin->is_found) {
        tdbg_tui_model_say(m, "up to and at step %lld everything is finite",
                           (long long)a->origin->step);
    } else {
        tdbg_tui_model_goto_step(m, a->origin->step);
        tdbg_tui_model_goto_site(m, a->origin->output.site);
        say_origin(m, a->origin);
    }
}

void tdbg_tui_to_origin(struct tdbg_tui_app *app, int64_t count, bool has_count)
{
    (void)count, (void)has_count;
    const struct tdbg_tui_focus *focus = &app->model.focus;
    const struct tdbg_tui_job job = {
        .kind = TDBG_JOB_ORIGIN, .rank = focus->rank, .site = focus->site, .step = focus->step};
    if (!tdbg_tui_app_submit(app, &job, found_origin))
        tdbg_tui_model_say_error(&app->model, "nothing is computed here");
}
