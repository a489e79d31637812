/* The rows around the panes: position, message, headings. See view.h. */
#include "tui/view.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/strbuf.h"
#include "tui/number_text.h"

/* Pieces of the position row. The one with the smallest keep goes first when there is no room. */
struct piece {
    int gap, keep; /* columns before it; importance */
    char text[TDBG_NUMBER_BYTES];
    bool dropped;
};
enum { PIECE_FILE, PIECE_STEP, PIECE_EPOCH, PIECE_OP, PIECE_RANK, PIECE_LOSS, N_PIECES };
enum { MAX_FILE_COLUMNS = 32 };

static bool is_broken(const struct tdbg_tui_model *m)
{
    const struct tdbg_tui_metric_pair *loss = &m->metrics[TDBG_METRIC_LOSS];
    return m->n_broken_sites > 0 || (loss->has_now && !isfinite(loss->now));
}

static void fill_pieces(const struct tdbg_tui_model *m, int width, struct piece piece[N_PIECES])
{
    const struct tdbg_run_info *info = m->data->info;
    const char *slash = strrchr(m->data->path, '/');
    char value[TDBG_NUMBER_BYTES];
    piece[PIECE_FILE] = (struct piece){.gap = 0, .keep = 2};
    piece[PIECE_STEP] = (struct piece){.gap = 3, .keep = 9};
    piece[PIECE_EPOCH] = (struct piece){.gap = 2, .keep = 3};
    piece[PIECE_OP] = (struct piece){.gap = 2, .keep = 4};
    piece[PIECE_RANK] = (struct piece){.gap = 2, .keep = 1};
    piece[PIECE_LOSS] = (struct piece){.gap = 3, .keep = 5};
    snprintf(piece[PIECE_FILE].text, TDBG_NUMBER_BYTES, "%s", slash ? slash + 1 : m->data->path);
    snprintf(piece[PIECE_STEP].text, TDBG_NUMBER_BYTES, "step %lld/%lld", (long long)m->focus.step,
             (long long)(m->data->first_step + m->data->n_steps));
    const struct tdbg_tui_metric_pair *epoch = &m->metrics[TDBG_METRIC_EPOCH];
    snprintf(piece[PIECE_EPOCH].text, TDBG_NUMBER_BYTES, "epoch %s",
             tdbg_tui_metric_text(value, TDBG_METRIC_EPOCH, epoch->has_now, epoch->now));
    if (m->data->n_sites > 0)
        snprintf(piece[PIECE_OP].text, TDBG_NUMBER_BYTES, "op %d/%d%s%.40s", (int)m->focus.site,
                 (int)m->data->n_sites, width >= 120 ? " " : "",
                 width >= 120 ? m->data->sites[m->focus.site].op : "");
    else
        snprintf(piece[PIECE_OP].text, TDBG_NUMBER_BYTES, "op -");
    snprintf(piece[PIECE_RANK].text, TDBG_NUMBER_BYTES, "rank %d/%d", (int)m->focus.rank,
             (int)info->world_size);
    const struct tdbg_tui_metric_pair *loss = &m->metrics[TDBG_METRIC_LOSS];
    snprintf(piece[PIECE_LOSS].text, TDBG_NUMBER_BYTES, "loss %s",
             tdbg_tui_metric_text(value, TDBG_METRIC_LOSS, loss->has_now, loss->now));
}

static int file_columns(const struct tdbg_tui_grid *grid, const char *text)
{
    const int w = tdbg_tui_text_width(grid, text);
    return w < MAX_FILE_COLUMNS ? w : MAX_FILE_COLUMNS;
}

/* Drops pieces until the rest fits into room columns. */
static void fit_pieces(const struct tdbg_tui_grid *grid, struct piece piece[N_PIECES], int room)
{
    for (;;) {
        int total = 0, least = -1, n = 0;
        for (int i = 0; i < N_PIECES; i++) {
            if (piece[i].dropped)
                continue;
            total += (total ? piece[i].gap : 0) + (i == PIECE_FILE
                                                       ? file_columns(grid, piece[i].text)
                                                       : tdbg_tui_text_width(grid, piece[i].text));
            n++;
            if (least < 0 || piece[i].keep < piece[least].keep)
                least = i;
        }
        if (total <= room || n <= 1)
            return;
        piece[least].dropped = true;
    }
}

void tdbg_tui_view_position(const struct tdbg_tui_model *m, struct tdbg_tui_grid *grid,
                            struct tdbg_tui_rect rect)
{
    struct piece piece[N_PIECES];
    const int room = rect.width - 4; /* a space at both ends, and the mark */
    int x = rect.x + 1;
    if (rect.height < 1)
        return;
    fill_pieces(m, rect.width, piece);
    fit_pieces(grid, piece, room);
    for (int i = 0; i < N_PIECES; i++) {
        if (piece[i].dropped)
            continue;
        x += x > rect.x + 1 ? piece[i].gap : 0;
        const int width = i == PIECE_FILE ? file_columns(grid, piece[i].text)
                                          : tdbg_tui_text_width(grid, piece[i].text);
        tdbg_tui_grid_put_elided(grid, x, rect.y, width, TDBG_STYLE_BOLD, piece[i].text);
        x += width;
    }
    tdbg_tui_grid_add_style(grid, rect, TDBG_STYLE_REVERSE);
    if (is_broken(m))
        tdbg_tui_grid_put(grid, rect.x + rect.width - 2, rect.y, '!',
                          TDBG_STYLE_RED | TDBG_STYLE_BOLD | TDBG_STYLE_REVERSE);
}

void tdbg_tui_view_message(const struct tdbg_tui_model *m, const char *count_text,
                           struct tdbg_tui_grid *grid, struct tdbg_tui_rect rect)
{
    const uint8_t error_style = TDBG_STYLE_RED | TDBG_STYLE_BOLD;
    const int count_columns = count_text && *count_text ? (int)strlen(count_text) + 2 : 0;
    const int room = rect.width - 2 - count_columns;
    if (rect.height < 1)
        return;
    if (m->message && m->message_is_error)
        tdbg_tui_grid_printf(grid, rect.x, rect.y, room, error_style, "! %s", m->message);
    else if (m->message)
        tdbg_tui_grid_put_text(grid, rect.x + 1, rect.y, room, TDBG_STYLE_PLAIN, m->message);
    else if (m->n_broken_sites > 0) {
        char label[TDBG_SITE_LABEL_BYTES];
        tdbg_tui_grid_printf(grid, rect.x, rect.y, room, error_style,
                             "! nan or inf in %d %s, first %s", (int)m->n_broken_sites,
                             m->n_broken_sites == 1 ? "site" : "sites",
                             tdbg_tui_model_site_label(m, m->first_broken_site, label));
    } else if (is_broken(m)) {
        tdbg_tui_grid_put_text(grid, rect.x, rect.y, room, error_style, "! the loss is not finite");
    }
    if (count_columns)
        tdbg_tui_grid_put_right(grid, rect.x + rect.width - count_columns, rect.y,
                                count_columns - 1, TDBG_STYLE_BOLD, count_text);
}

void tdbg_tui_view_divider(struct tdbg_tui_grid *grid, struct tdbg_tui_rect rect)
{
    for (int y = 1; y < rect.height; y++)
        tdbg_tui_grid_put_glyph(grid, rect.x, rect.y + y, TDBG_GLYPH_VERTICAL, 0);
}

void tdbg_tui_view_heading(struct tdbg_tui_grid *grid, struct tdbg_tui_rect rect, bool active)
{
    const struct tdbg_tui_rect row = {rect.x, rect.y, rect.width, 1};
    tdbg_tui_grid_add_style(grid, row, active ? TDBG_STYLE_REVERSE : TDBG_STYLE_BOLD);
    if (active)
        tdbg_tui_grid_put(grid, rect.x, rect.y, '>', TDBG_STYLE_REVERSE);
}
