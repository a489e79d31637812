/* /findings: what was noticed while recording, one row each, by writer and reader. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "trace/hdf5_util.h"
#include "trace/reader_impl.h"
#include "trace/writer_impl.h"

enum tdbg_status tdbg_writer_create_findings(struct tdbg_trace_writer *w, struct tdbg_err *err)
{
    hid_t type = tdbg_table_type(&tdbg_table_findings);
    enum tdbg_status st =
        tdbg_writer_create_block(w, &w->findings, "findings", type, 0, TDBG_FINDINGS_PER_CHUNK,
                                 NULL, TDBG_EFFORT_TABLES, err);
    H5Tclose(type);
    return st;
}

enum tdbg_status tdbg_writer_flush_findings(struct tdbg_trace_writer *w, struct tdbg_err *err)
{
    if (w->n_findings == w->n_findings_written)
        return TDBG_OK;
    w->n_findings_written = w->n_findings;
    return tdbg_writer_write_block(w, &w->findings, TDBG_FINDINGS_PER_CHUNK, w->n_findings, err);
}

enum tdbg_status tdbg_trace_writer_put_finding(struct tdbg_trace_writer *w,
                                               const struct tdbg_finding *finding,
                                               struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    tdbg_h5_begin();
    TDBG_TRY(tdbg_writer_ready(w, 0, err));
    tdbg_table_pack(&tdbg_table_findings, finding,
                    w->findings.rows +
                        (size_t)(w->n_findings % TDBG_FINDINGS_PER_CHUNK) * w->findings.row_bytes);
    w->n_findings++;
    if (w->n_findings % TDBG_FINDINGS_PER_CHUNK == 0)
        TDBG_TRY(tdbg_writer_flush_findings(w, err));
out:
    w->failed |= st != TDBG_OK;
    return st;
}

/* Texts come from a file: what a terminal might obey is replaced. */
static void make_printable(char *text)
{
    for (; *text; text++) {
        if (*text < ' ' || *text > '~')
            *text = '?';
    }
}

/* Adds those of one file; files of schema 1.0 have none. */
static enum tdbg_status read_file(struct tdbg_trace *t, struct tdbg_finding **list, int64_t *n_list,
                                  struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct cached_array a = {.array = {.dataset = -1}};
    size_t offsets[TDBG_TABLE_MAX_COLUMNS];
    unsigned char *row = NULL;
    hid_t type = -1;
    if (H5Lexists(t->file, "findings", H5P_DEFAULT) <= 0)
        return TDBG_OK;
    TDBG_TRY(tdbg_reader_open_cached(t, "findings", -1, 1, &a, err));
    type = H5Dget_type(a.array.dataset);
    TDBG_TRY(
        tdbg_table_match(&tdbg_table_findings, t->schema_minor, type, "findings", offsets, err));
    row = malloc(a.array.elem_bytes);
    TDBG_FAIL_IF(!row, NO_MEMORY, "no memory for findings");
    for (uint64_t i = 0; i < a.array.dims[0] && *n_list < TDBG_MOST_FINDINGS; i++) {
        struct tdbg_finding finding;
        TDBG_TRY(tdbg_chunked_read(&a.array, &t->io, i, 1, row, err));
        tdbg_table_unpack(&tdbg_table_findings, offsets, row, &finding);
        char *const texts[] = {finding.severity, finding.rule, finding.site, finding.text};
        for (size_t k = 0; k < sizeof texts / sizeof *texts; k++)
            make_printable(texts[k]);
        struct tdbg_finding *grown = realloc(*list, ((size_t)*n_list + 1) * sizeof *grown);
        TDBG_FAIL_IF(!grown, NO_MEMORY, "no memory for findings");
        *list = grown;
        (*list)[(*n_list)++] = finding;
    }
out:
    free(row);
    if (type >= 0)
        H5Tclose(type);
    tdbg_reader_close_cached(&a);
    return st;
}

enum tdbg_status tdbg_trace_read_findings(struct tdbg_trace *t, struct tdbg_finding **out,
                                          int64_t *n, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct tdbg_finding *list = NULL;
    int64_t n_list = 0;
    tdbg_h5_begin();
    TDBG_TRY(read_file(t, &list, &n_list, err));
    for (int i = 0; i < t->n_segments; i++)
        TDBG_TRY(read_file(t->segments[i], &list, &n_list, err));
    *out = list;
    *n = n_list;
    list = NULL;
out:
    free(list);
    if (st != TDBG_OK)
        TDBG_H5_CONTEXT(err, "cannot read the findings of trace %s", t->path);
    return st;
}
