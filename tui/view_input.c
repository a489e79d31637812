/* The samples of a step: images, numbers, or tokens (view_tokens.c). See view.h. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/convert.h"
#include "tui/input.h"
#include "tui/number_text.h"
#include "tui/view.h"
#include "tui/view_tokens.h"

enum {
    THUMB_COLUMNS = 28,
    THUMB_ROWS = 14,
    NARROWEST = 18, /* of a caption */
    CAPTION_ROWS = 2,
    NUMBER_COLUMNS = 10,
};

/* How the body is cut into samples. */
struct layout {
    int columns, rows; /* of samples */
    int cell_width, cell_height;
    int width, height; /* of an image in it */
};

static struct layout lay_out(const struct tdbg_tui_input *in, const struct tdbg_samples_spec *spec,
                             bool has_status, struct tdbg_tui_rect rect)
{
    struct layout l = {1, 1, rect.width, 1, 0, 0};
    const enum tdbg_tui_input_kind kind = tdbg_tui_input_kind(spec);
    int room = rect.height - 1;
    if (kind == TDBG_INPUT_IMAGES) {
        const int rows = room - CAPTION_ROWS < THUMB_ROWS ? room - CAPTION_ROWS : THUMB_ROWS;
        const int width = rect.width - 1 < THUMB_COLUMNS ? rect.width - 1 : THUMB_COLUMNS;
        const struct tdbg_tui_picture shape = {.height = (int)spec->x_dims[spec->x_ndim - 2],
                                               .width = (int)spec->x_dims[spec->x_ndim - 1]};
        tdbg_tui_picture_fit(&shape, width, rows > 1 ? rows : 1, &l.width, &l.height);
        l.cell_width = (l.width > NARROWEST ? l.width : NARROWEST) + 1;
        l.cell_height = l.height + CAPTION_ROWS;
        l.columns = rect.width / l.cell_width;
    } else if (kind == TDBG_INPUT_TOKENS) {
        room -= has_status ? tdbg_tui_view_tokens_status_rows(rect) : 0;
        l.cell_height = tdbg_tui_view_tokens_rows(in, spec, rect.width);
        if (l.cell_height > room && room > 0)
            l.cell_height = room;
    }
    l.rows = room / l.cell_height;
    l.rows = l.rows > 0 ? l.rows : 1;
    l.columns = l.columns > 0 ? l.columns : 1;
    return l;
}

void tdbg_tui_view_input_shape(const struct tdbg_tui_model *m, const struct tdbg_tui_input *in,
                               bool is_pane, struct tdbg_tui_rect rect, int *columns, int *rows)
{
    *columns = *rows = 1;
    if (!m->data->samples)
        return;
    rect.width -= is_pane; /* for the divider */
    const struct layout l = lay_out(in, m->data->samples, !is_pane, rect);
    *columns = l.columns;
    *rows = l.rows;
}

/* Values of one sample: x as stored or after the transforms, or y. */
struct values {
    const void *data; /* NULL: not there */
    enum tdbg_dtype dtype;
    int64_t first, n;
};

static struct values x_of(const struct tdbg_tui_input *in, const struct tdbg_tui_model *m,
                          int64_t at)
{
    const struct tdbg_samples_spec *spec = m->data->samples;
    struct values v = {NULL, spec->x_dtype, 0, tdbg_tui_input_x_elems(spec)};
    if (in->is_after) {
        if (!in->after || at < in->after_first || at >= in->after_first + in->after_n)
            return v;
        const struct tdbg_site *s = &m->data->sites[in->after_site];
        v = (struct values){in->after, s->dtype, 0, 1};
        for (int32_t d = 1; d < s->ndim; d++)
            v.n *= s->dims[d];
        v.first = (at - in->after_first) * v.n;
    } else if (in->x && at >= in->have_from && at < in->have_from + in->have_n) {
        v.data = in->x;
        v.first = (at - in->have_from) * v.n;
    }
    return v;
}

static struct values y_of(const struct tdbg_tui_input *in, const struct tdbg_tui_model *m,
                          int64_t at)
{
    const struct tdbg_samples_spec *spec = m->data->samples;
    struct values v = {NULL, spec->y_dtype, 0, tdbg_tui_input_y_elems(spec)};
    if (in->y && at >= in->have_from && at < in->have_from + in->have_n) {
        v.data = in->y;
        v.first = (at - in->have_from) * v.n;
    }
    return v;
}

static double value_at(const struct values *v, int64_t i)
{
    return tdbg_convert_elem_to_f64(v->data, v->dtype, v->first + i);
}

/* "7", "-0.53", or of several values "0.1 0.2 0.3": as many as fit into n_bytes. */
static void target_text(const struct values *y, char *buf, size_t n_bytes)
{
    size_t used = 0;
    buf[0] = 0;
    for (int64_t i = 0; y->data && i < y->n && used + 12 < n_bytes; i++) {
        char number[TDBG_NUMBER_BYTES];
        const double v = value_at(y, i);
        if (y->dtype == TDBG_DTYPE_I64 || y->dtype == TDBG_DTYPE_I32)
            snprintf(number, sizeof number, "%.0f", v);
        else
            tdbg_text_number(number, v, 8);
        used += (size_t)snprintf(buf + used, n_bytes - used, "%s%s", i ? " " : "", number);
    }
}

static const char *target_word(const struct tdbg_samples_spec *spec)
{
    return spec->y_dtype == TDBG_DTYPE_I64 ? "label" : "target";
}

/* The two rows under an image, or the one before numbers. */
static void paint_caption(const struct tdbg_tui_input *in, const struct tdbg_tui_model *m,
                          int64_t at, struct tdbg_tui_grid *grid, struct tdbg_tui_rect rect)
{
    char target[80], text[160];
    const struct values y = y_of(in, m, at);
    const int64_t id = in->ids[in->first + at];
    const bool is_cursor = at == in->at, dropped = tdbg_tui_input_is_dropped(in, id);
    const uint8_t style = is_cursor ? TDBG_STYLE_BOLD : TDBG_STYLE_PLAIN;
    target_text(&y, target, sizeof target);
    snprintf(text, sizeof text, "%s%" PRId64 "  id %" PRId64, is_cursor ? ">" : " ", in->first + at,
             id);
    tdbg_tui_grid_put_text(grid, rect.x, rect.y, rect.width, style, text);
    snprintf(text, sizeof text, " %s %s%s", target_word(m->data->samples), target,
             dropped ? "  weight 0 (dropped)" : "");
    tdbg_tui_grid_put_text(grid, rect.x, rect.y + 1, rect.width, style, text);
    if (is_cursor)
        tdbg_tui_grid_set_cursor(grid, rect.x, rect.y);
}

static void paint_image(const struct tdbg_tui_input *in, const struct tdbg_tui_model *m, int64_t at,
                        struct tdbg_tui_grid *grid, struct tdbg_tui_rect rect)
{
    struct tdbg_tui_picture picture;
    if (tdbg_tui_input_picture(in, m, at, &picture))
        tdbg_tui_paint_picture(&picture, grid, rect);
    else
        tdbg_tui_grid_put_elided(grid, rect.x, rect.y + rect.height / 2, rect.width, 0,
                                 in->after_why  ? in->after_why
                                 : in->is_after ? "not of this part"
                                                : "not there");
}

/* ---- numbers ---- */

static void paint_numbers(const struct tdbg_tui_input *in, const struct tdbg_tui_model *m,
                          int64_t at, bool all, struct tdbg_tui_grid *grid,
                          struct tdbg_tui_rect rect)
{
    char target[80], number[TDBG_NUMBER_BYTES];
    const struct values x = x_of(in, m, at), y = y_of(in, m, at);
    const int64_t id = in->ids[in->first + at];
    const uint8_t style = at == in->at ? TDBG_STYLE_BOLD : TDBG_STYLE_PLAIN;
    target_text(&y, target, sizeof target);
    const int used = tdbg_tui_grid_printf(
        grid, rect.x, rect.y, rect.width, style,
        rect.width < 60 ? "%s%" PRId64 " id %" PRId64 " %s %s %s x"
                        : "%s%-4" PRId64 " id %-7" PRId64 " %s %-8s %-8s x",
        at == in->at ? ">" : " ", in->first + at, id, target_word(m->data->samples), target,
        tdbg_tui_input_is_dropped(in, id) ? "weight 0" : "");
    if (at == in->at)
        tdbg_tui_grid_set_cursor(grid, rect.x, rect.y);
    int column = all ? 1 : used + 1, row = all ? 1 : 0;
    for (int64_t i = 0; x.data && i < x.n; i++, column += NUMBER_COLUMNS) {
        if (column + NUMBER_COLUMNS > rect.width && all) {
            column = 1;
            row++;
        }
        const bool is_last = column + 2 * NUMBER_COLUMNS > rect.width;
        if (row >= rect.height || (!all && is_last && i + 1 < x.n)) {
            tdbg_tui_grid_put_glyph(grid, rect.x + column, rect.y + row, TDBG_GLYPH_ELLIPSIS, 0);
            break;
        }
        tdbg_tui_grid_put_right(grid, rect.x + column, rect.y + row, NUMBER_COLUMNS - 1, style,
                                tdbg_text_number(number, value_at(&x, i), 8));
    }
}

/* ---- all of it ---- */

static const char *tokens_view_text(const struct tdbg_tui_input *in)
{
    const bool known = in->tokens.vocabulary.n_tokens > 0;
    return in->token_view == TDBG_TOKENS_TEXT      ? known ? "text" : "numbers"
           : in->token_view == TDBG_TOKENS_COLUMNS ? "tokens and targets"
                                                   : "numbers and targets";
}

static void paint_head(const struct tdbg_tui_input *in, const struct tdbg_tui_model *m,
                       int64_t shown, struct tdbg_tui_grid *grid, struct tdbg_tui_rect rect)
{
    char part[60] = "", how[100];
    if (m->data->info->world_size > 1)
        snprintf(part, sizeof part, ", %" PRId64 " of rank %d", in->n, (int)m->focus.rank);
    const int64_t from = in->first + (in->is_large ? in->at : in->top);
    snprintf(how, sizeof how, "%s",
             in->is_after ? "input/x, after the transforms" : "as in the data set");
    if (tdbg_tui_input_kind(m->data->samples) == TDBG_INPUT_TOKENS)
        snprintf(how, sizeof how, "%s  %s", tokens_view_text(in),
                 tdbg_tui_tokens_attention_text(&in->tokens));
    tdbg_tui_grid_printf(grid, rect.x + 1, rect.y, rect.width - 1, 0,
                         rect.width < 60 ? "%" PRId64 " samples%s  %" PRId64 "..%" PRId64 "  %s"
                                         : "batch of %" PRId64 " samples%s  shown %" PRId64
                                           "..%" PRId64 "  %s",
                         in->n_batch, part, from, from + shown - 1, how);
    tdbg_tui_view_heading(grid, (struct tdbg_tui_rect){rect.x, rect.y, rect.width, 1}, false);
}

static void paint_large(const struct tdbg_tui_input *in, const struct tdbg_tui_model *m,
                        enum tdbg_tui_input_kind kind, bool has_cursor, struct tdbg_tui_grid *grid,
                        struct tdbg_tui_rect body)
{
    struct tdbg_tui_picture picture;
    int width = body.width - 1, height = body.height - CAPTION_ROWS;
    if (kind == TDBG_INPUT_TOKENS) {
        tdbg_tui_view_tokens(in, m, in->at, has_cursor, grid, body);
    } else if (kind == TDBG_INPUT_NUMBERS) {
        paint_numbers(in, m, in->at, true, grid, body);
    } else {
        if (tdbg_tui_input_picture(in, m, in->at, &picture))
            tdbg_tui_picture_fit(&picture, width, height > 1 ? height : 1, &width, &height);
        paint_caption(in, m, in->at, grid,
                      (struct tdbg_tui_rect){body.x, body.y, body.width, CAPTION_ROWS});
        paint_image(in, m, in->at, grid,
                    (struct tdbg_tui_rect){body.x + 1, body.y + CAPTION_ROWS, width, height});
    }
}

static void paint_sample(const struct tdbg_tui_input *in, const struct tdbg_tui_model *m,
                         enum tdbg_tui_input_kind kind, const struct layout *l, int64_t at,
                         bool has_cursor, struct tdbg_tui_grid *grid, struct tdbg_tui_rect cell)
{
    if (kind == TDBG_INPUT_TOKENS) {
        tdbg_tui_view_tokens(in, m, at, has_cursor, grid, cell);
    } else if (kind == TDBG_INPUT_NUMBERS) {
        paint_numbers(in, m, at, false, grid, cell);
    } else {
        paint_image(in, m, at, grid,
                    (struct tdbg_tui_rect){cell.x + 1, cell.y, l->width, l->height});
        paint_caption(in, m, at, grid,
                      (struct tdbg_tui_rect){cell.x, cell.y + l->height, cell.width, CAPTION_ROWS});
    }
}

/* has_cursor: it is a screen of its own, where something is under the cursor. */
static void paint(const struct tdbg_tui_model *m, const struct tdbg_tui_input *in, bool has_cursor,
                  struct tdbg_tui_grid *grid, struct tdbg_tui_rect rect)
{
    const struct tdbg_samples_spec *spec = m->data->samples;
    struct tdbg_tui_rect body = {rect.x, rect.y + 1, rect.width, rect.height - 1};
    if (rect.height < 2)
        return;
    if (!spec || in->n <= 0) {
        tdbg_tui_grid_put_elided(grid, rect.x + 1, rect.y, rect.width - 1, 0,
                                 in->why ? in->why : "no sample of this step is this rank's");
        return;
    }
    const enum tdbg_tui_input_kind kind = tdbg_tui_input_kind(spec);
    const struct layout l = lay_out(in, spec, has_cursor, rect);
    const int64_t room = in->is_large ? 1 : (int64_t)l.columns * l.rows, left = in->n - in->top;
    const int64_t shown = in->is_large ? 1 : room < left ? room : left;
    paint_head(in, m, shown, grid, rect);
    if (kind == TDBG_INPUT_TOKENS && has_cursor) {
        const int rows = tdbg_tui_view_tokens_status_rows(rect);
        body.height -= rows;
        if (rows > 0)
            tdbg_tui_view_tokens_status(
                in, m, grid,
                (struct tdbg_tui_rect){body.x, body.y + body.height, body.width, rows});
    }
    if (in->is_large)
        paint_large(in, m, kind, has_cursor, grid, body);
    for (int64_t i = 0; !in->is_large && i < shown; i++) {
        const struct tdbg_tui_rect cell = {body.x + (int)(i % l.columns) * l.cell_width,
                                           body.y + (int)(i / l.columns) * l.cell_height,
                                           l.cell_width, l.cell_height};
        paint_sample(in, m, kind, &l, in->top + i, has_cursor, grid, cell);
    }
}

void tdbg_tui_view_input(const struct tdbg_tui_model *m, const struct tdbg_tui_input *in,
                         struct tdbg_tui_grid *grid, struct tdbg_tui_rect rect)
{
    paint(m, in, true, grid, rect);
}

void tdbg_tui_view_input_pane(const struct tdbg_tui_model *m, const struct tdbg_tui_input *in,
                              struct tdbg_tui_grid *grid, struct tdbg_tui_rect rect)
{
    const struct tdbg_tui_rect body = {rect.x + 1, rect.y, rect.width - 1, rect.height};
    if (rect.height < 1)
        return;
    if (tdbg_tui_input_is_of_focus(in, m))
        paint(m, in, false, grid, body);
    else
        tdbg_tui_grid_put_text(grid, body.x + 1, rect.y, body.width - 1, 0, "input");
    tdbg_tui_view_heading(grid, rect, false);
    tdbg_tui_view_divider(grid, rect);
}

int64_t tdbg_tui_view_input_at(const struct tdbg_tui_model *m, const struct tdbg_tui_input *in,
                               bool ascii, struct tdbg_tui_rect rect, int x, int y, int64_t *token)
{
    const struct tdbg_samples_spec *spec = m->data->samples;
    *token = -1;
    if (!spec || y <= rect.y)
        return -1;
    const struct layout l = lay_out(in, spec, true, rect);
    struct tdbg_tui_rect cell = {rect.x, rect.y + 1, l.cell_width, l.cell_height};
    int64_t at = in->at;
    if (in->is_large) {
        cell.height = rect.height - 1 - tdbg_tui_view_tokens_status_rows(rect);
    } else {
        const int column = (x - rect.x) / l.cell_width, row = (y - rect.y - 1) / l.cell_height;
        at = in->top + (int64_t)row * l.columns + column;
        cell.y += row * l.cell_height;
        if (column >= l.columns || row >= l.rows)
            return -1;
    }
    if (at >= in->n)
        return -1;
    if (tdbg_tui_input_kind(spec) == TDBG_INPUT_TOKENS && tdbg_tui_rect_has(cell, cell.x, y))
        *token = tdbg_tui_view_tokens_at(in, m, at, ascii, cell, x, y);
    return at;
}
