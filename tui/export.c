/* See export.h. */
#include "tui/export.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/npy.h"
#include "base/tensor_file.h"
#include "tui/tensor_state.h"

enum { PART_ELEMS = 1 << 14 }; /* between two looks at the keyboard */

static void npy_begin(const struct tdbg_tui_tensor *t, FILE *out)
{
    int64_t dims[TDBG_MAX_DIMS];
    tdbg_tensor_dims(t->now.site, t->now.n_elems, dims);
    tdbg_npy_write_header(out, t->now.site->dtype, t->now.site->ndim, dims);
}

static void npy_part(const struct tdbg_tui_tensor *t, int64_t first, int64_t n, FILE *out)
{
    const enum tdbg_dtype dtype = t->now.site->dtype;
    const size_t at = (size_t)first * tdbg_dtype_bytes(dtype);
    tdbg_npy_write_elems(out, dtype, (const unsigned char *)t->now.data + at, n);
}

static void csv_begin(const struct tdbg_tui_tensor *t, FILE *out)
{
    tdbg_tensor_write_csv_head(out, t->now.site);
}

static void csv_part(const struct tdbg_tui_tensor *t, int64_t first, int64_t n, FILE *out)
{
    tdbg_tensor_write_csv(out, t->now.site, t->place.step, first, n, t->now.data);
}

static void json_begin(const struct tdbg_tui_tensor *t, FILE *out)
{
    tdbg_tensor_write_json_head(out, t->now.site, t->place.step, t->now.n_elems, &t->now.stats);
}

static void json_part(const struct tdbg_tui_tensor *t, int64_t first, int64_t n, FILE *out)
{
    tdbg_tensor_write_json_part(out, t->now.site->dtype, first, n, t->now.data);
    if (first + n == t->now.n_elems)
        tdbg_tensor_write_json_tail(out);
}

/* Black over red and yellow to white; what is not finite is blue and magenta. */
static void put_pixel(const struct tdbg_tui_heat *h, const struct tdbg_tui_heat_cell *cell,
                      bool linear, unsigned char rgb[3])
{
    const double part = tdbg_tui_heat_part(h, cell, linear) * 3;
    const unsigned char broken[3] = {cell->has_inf && !cell->has_nan ? 255 : 0, 0, 255};
    for (int i = 0; i < 3; i++) {
        const double level = part - i;
        rgb[i] = (unsigned char)(level <= 0 ? 0 : level >= 1 ? 255 : level * 255);
    }
    if (cell->has_nan || cell->has_inf)
        memcpy(rgb, broken, sizeof broken);
}

static void fill_heat(const struct tdbg_tui_tensor *t, struct tdbg_tui_heat *h)
{
    enum { BLOCK = 4096 };
    double values[BLOCK];
    const struct tdbg_tui_heat_cut *c = &h->cut;
    for (int64_t row = 0; row < c->n_rows; row++) {
        for (int64_t col = 0; col < c->n_cols; col += BLOCK) {
            const int64_t n = c->n_cols - col < BLOCK ? c->n_cols - col : BLOCK;
            tdbg_tui_tensor_convert(t, row * c->plane.cols + col, n, values);
            tdbg_tui_heat_add(h, row, col, values, n);
        }
    }
    tdbg_tui_heat_end(h);
}

enum { PICTURE_MOST = 1024, PICTURE_LEAST = 256 };

/* By which a picture is enlarged. */
static int times_for(int width, int height)
{
    const int longer = height > width ? height : width;
    return longer > 0 && longer < PICTURE_LEAST ? PICTURE_LEAST / longer : 1;
}

/* At most 1024 x 1024 cells, small tensors enlarged by a whole number. */
static void ppm_begin(const struct tdbg_tui_tensor *t, FILE *out)
{
    struct tdbg_tui_heat h = {.cells = NULL};
    const struct tdbg_tui_plane plane = tdbg_tui_plane_of(t->now.site, t->now.n_elems);
    const struct tdbg_tui_heat_cut cut =
        tdbg_tui_heat_cut_for(plane, PICTURE_MOST, PICTURE_MOST, 0, 0);
    if (!tdbg_tui_heat_begin(&h, &cut))
        return;
    if (cut.height > 0)
        fill_heat(t, &h);
    const int times = times_for(cut.width, cut.height);
    fprintf(out, "P6\n%d %d\n255\n", cut.width * times, cut.height * times);
    for (int y = 0; y < cut.height * times; y++) {
        for (int x = 0; x < cut.width * times; x++) {
            unsigned char rgb[3];
            put_pixel(&h, &h.cells[y / times * cut.width + x / times], tdbg_tui_tensor_is_linear(t),
                      rgb);
            fwrite(rgb, 1, sizeof rgb, out);
        }
    }
    tdbg_tui_heat_free(&h);
}

/* part: elements first .. first + n - 1, at least once; NULL: begin has written all. */
static const struct {
    const char *suffix;
    void (*begin)(const struct tdbg_tui_tensor *t, FILE *out);
    void (*part)(const struct tdbg_tui_tensor *t, int64_t first, int64_t n, FILE *out);
} formats[] = {{".npy", npy_begin, npy_part},
               {".csv", csv_begin, csv_part},
               {".json", json_begin, json_part},
               {".ppm", ppm_begin, NULL}};
enum { N_FORMATS = sizeof formats / sizeof formats[0] };

static int format_of(const char *path)
{
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    const char *dot = strrchr(name, '.');
    for (int i = 0; dot && dot > name && i < N_FORMATS; i++) {
        if (strcmp(dot, formats[i].suffix) == 0)
            return i;
    }
    return -1;
}

bool tdbg_tui_export_knows(const char *path)
{
    return format_of(path) >= 0;
}

enum tdbg_status tdbg_tui_export_check(const char *path, bool overwrite, struct tdbg_err *err)
{
    struct stat file;
    if (lstat(path, &file) != 0)
        return TDBG_OK;
    if (!S_ISREG(file.st_mode))
        return TDBG_RAISE(err, IO, "%s is there and no regular file", path);
    return overwrite ? TDBG_OK : TDBG_RAISE(err, USAGE, "%s exists", path);
}

static void forget(struct tdbg_tui_export *e)
{
    free(e->path);
    free(e->made);
    *e = (struct tdbg_tui_export){.out = NULL};
}

/* A file under another name. */
static enum tdbg_status open_file(struct tdbg_tui_export *e, const char *path, bool overwrite,
                                  struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct tdbg_strbuf made = {0};
    int fd = -1;
    TDBG_ASSERT(!e->out);
    TDBG_TRY(tdbg_tui_export_check(path, overwrite, err));
    tdbg_strbuf_printf(&made, "%s.XXXXXX", path);
    fd = mkstemp(made.text);
    TDBG_FAIL_IF(fd < 0, IO, "cannot write %s: %s", path, strerror(errno));
    const mode_t mask = umask(0);
    umask(mask);
    fchmod(fd, 0666 & ~mask); /* what a new file would have */
    *e = (struct tdbg_tui_export){.out = fdopen(fd, "wb"),
                                  .path = strdup(path),
                                  .made = tdbg_strbuf_take(&made),
                                  .overwrite = overwrite};
    if (!e->out || !e->path) {
        unlink(e->made);
        if (e->out)
            fclose(e->out);
        else
            close(fd);
        forget(e);
        return TDBG_RAISE(err, NO_MEMORY, "no memory to write %s", path);
    }
out:
    tdbg_strbuf_free(&made);
    return st;
}

enum tdbg_status tdbg_tui_export_begin(struct tdbg_tui_export *e, const struct tdbg_tui_tensor *t,
                                       const char *path, bool overwrite, struct tdbg_err *err)
{
    TDBG_ASSERT(t->now.site && format_of(path) >= 0);
    const enum tdbg_status st = open_file(e, path, overwrite, err);
    if (st != TDBG_OK)
        return st;
    e->format = format_of(path);
    formats[e->format].begin(t, e->out);
    return TDBG_OK;
}

enum tdbg_status tdbg_tui_export_picture(const struct tdbg_tui_picture *p, const char *path,
                                         struct tdbg_err *err)
{
    struct tdbg_tui_export e = {.out = NULL};
    const int times = times_for(p->width, p->height);
    const enum tdbg_status st = open_file(&e, path, false, err);
    if (st != TDBG_OK)
        return st;
    fprintf(e.out, "P6\n%d %d\n255\n", p->width * times, p->height * times);
    for (int y = 0; y < p->height * times; y++) {
        for (int x = 0; x < p->width * times; x++) {
            unsigned char rgb[3];
            tdbg_tui_picture_rgb(p, x / times, y / times, rgb);
            fwrite(rgb, 1, sizeof rgb, e.out);
        }
    }
    return tdbg_tui_export_end(&e, err);
}

bool tdbg_tui_export_work(struct tdbg_tui_export *e, const struct tdbg_tui_tensor *t)
{
    const int64_t left = t->now.n_elems - e->at;
    const int64_t n = left < PART_ELEMS ? left : PART_ELEMS;
    if (!formats[e->format].part || ferror(e->out))
        return false;
    formats[e->format].part(t, e->at, n, e->out);
    e->at += n;
    tdbg_tui_values_give_back(&t->now, e->at);
    return e->at < t->now.n_elems;
}

enum tdbg_status tdbg_tui_export_end(struct tdbg_tui_export *e, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    const bool failed = fflush(e->out) != 0 || ferror(e->out);
    const int fault = errno;
    const bool is_closed = fclose(e->out) == 0;
    TDBG_FAIL_IF(failed || !is_closed, IO, "cannot write %s: %s", e->path,
                 strerror(failed ? fault : errno));
    TDBG_FAIL_IF((e->overwrite ? rename(e->made, e->path) : link(e->made, e->path)) != 0, IO,
                 "cannot write %s: %s", e->path, strerror(errno));
out:
    if (st != TDBG_OK || !e->overwrite)
        unlink(e->made);
    forget(e);
    return st;
}

void tdbg_tui_export_drop(struct tdbg_tui_export *e)
{
    if (!e->out)
        return;
    fclose(e->out);
    unlink(e->made);
    forget(e);
}

/* A word that a shell takes as it is. */
static void add_word(struct tdbg_strbuf *out, const char *word)
{
    static const char plain[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./:=+,@%";
    if (*word && strspn(word, plain) == strlen(word)) {
        tdbg_strbuf_puts(out, word);
        return;
    }
    tdbg_strbuf_putc(out, '\'');
    for (; *word; word++) {
        if (*word == '\'')
            tdbg_strbuf_puts(out, "'\\''");
        else
            tdbg_strbuf_putc(out, *word);
    }
    tdbg_strbuf_putc(out, '\'');
}

void tdbg_tui_export_command(const struct tdbg_tui_model *m, struct tdbg_strbuf *out)
{
    tdbg_strbuf_puts(out, "tdbg show ");
    add_word(out, m->data->path);
    if (m->data->n_sites > 0) {
        const struct tdbg_site *site = &m->data->sites[m->focus.site];
        tdbg_strbuf_putc(out, ' ');
        add_word(out, site->name);
        if (m->has_lanes && site->lane >= 0)
            tdbg_strbuf_printf(out, " --lane %d", (int)site->lane);
        else if (m->focus.rank != m->data->info->rank)
            tdbg_strbuf_printf(out, " --rank %d", (int)m->focus.rank);
        if (m->has_micros && site->micro >= 0)
            tdbg_strbuf_printf(out, " --micro %d", (int)site->micro);
    }
    tdbg_strbuf_printf(out, " --step %lld", (long long)m->focus.step);
}
