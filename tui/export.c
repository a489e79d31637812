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

#include "base/tensor_file.h"

static void write_npy(const struct tdbg_tui_tensor *t, FILE *out)
{
    tdbg_tensor_write_npy(out, t->now.site, t->now.n_elems, t->now.data);
}

static void write_csv(const struct tdbg_tui_tensor *t, FILE *out)
{
    tdbg_tensor_write_csv_head(out, t->now.site);
    tdbg_tensor_write_csv(out, t->now.site, t->place.step, t->now.n_elems, t->now.data);
}

static void write_json(const struct tdbg_tui_tensor *t, FILE *out)
{
    tdbg_tensor_write_json(out, t->now.site, t->place.step, t->now.n_elems, &t->now.stats,
                           t->now.data);
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

/* At most 1024 x 1024 cells, small tensors enlarged by a whole number. */
static void write_ppm(const struct tdbg_tui_tensor *t, FILE *out)
{
    enum { MOST = 1024, LEAST = 256 };
    struct tdbg_tui_heat h = {.cells = NULL};
    const struct tdbg_tui_plane plane = tdbg_tui_plane_of(t->now.site, t->now.n_elems);
    const struct tdbg_tui_heat_cut cut = tdbg_tui_heat_cut_for(plane, MOST, MOST, 0, 0);
    if (!tdbg_tui_heat_begin(&h, &cut))
        return;
    if (cut.height > 0)
        fill_heat(t, &h);
    const int longer = cut.height > cut.width ? cut.height : cut.width;
    const int times = longer > 0 && longer < LEAST ? LEAST / longer : 1;
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

static const struct {
    const char *suffix;
    void (*write)(const struct tdbg_tui_tensor *t, FILE *out);
} formats[] = {
    {".npy", write_npy}, {".csv", write_csv}, {".json", write_json}, {".ppm", write_ppm}};
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

static enum tdbg_status check_target(const char *path, bool overwrite, struct tdbg_err *err)
{
    struct stat file;
    if (lstat(path, &file) != 0)
        return TDBG_OK;
    if (!S_ISREG(file.st_mode))
        return TDBG_RAISE(err, IO, "%s is there and no regular file", path);
    return overwrite ? TDBG_OK : TDBG_RAISE(err, USAGE, "%s exists", path);
}

static enum tdbg_status write_to(const struct tdbg_tui_tensor *t, int format, int fd,
                                 const char *path, struct tdbg_err *err)
{
    FILE *out = fdopen(fd, "wb");
    if (!out) {
        close(fd);
        return TDBG_RAISE(err, NO_MEMORY, "no memory to write %s", path);
    }
    errno = 0;
    formats[format].write(t, out);
    const bool failed = fflush(out) != 0 || ferror(out);
    const int fault = errno;
    if (fclose(out) != 0 || failed)
        return TDBG_RAISE(err, IO, "cannot write %s: %s", path, strerror(fault ? fault : errno));
    return TDBG_OK;
}

/* Under another name until it is whole. */
enum tdbg_status tdbg_tui_export_tensor(const struct tdbg_tui_tensor *t, const char *path,
                                        bool overwrite, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct tdbg_strbuf made = {0};
    bool is_made = false;
    const int format = format_of(path);
    TDBG_ASSERT(format >= 0 && t->now.site);
    TDBG_TRY(check_target(path, overwrite, err));
    tdbg_strbuf_printf(&made, "%s.XXXXXX", path);
    const int fd = mkstemp(made.text);
    TDBG_FAIL_IF(fd < 0, IO, "cannot write %s: %s", path, strerror(errno));
    is_made = true;
    const mode_t mask = umask(0);
    umask(mask);
    fchmod(fd, 0666 & ~mask); /* what a new file would have */
    TDBG_TRY(write_to(t, format, fd, path, err));
    const int fault = overwrite ? rename(made.text, path) : link(made.text, path);
    TDBG_FAIL_IF(fault != 0, IO, "cannot write %s: %s", path, strerror(errno));
    is_made = !overwrite;
out:
    if (is_made)
        unlink(made.text);
    tdbg_strbuf_free(&made);
    return st;
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
