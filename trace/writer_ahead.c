/* Chunks that others compress while the writer is busy with earlier ones: cut before it is their
 * turn, put when it is. See writer.h. */
#include "trace/writer_impl.h"

#include <string.h>

#include "trace/hdf5_util.h"

struct tdbg_writer_position tdbg_trace_writer_position(const struct tdbg_trace_writer *w)
{
    return (struct tdbg_writer_position){w->first_step, w->n_steps, w->n_keyframes};
}

/* false: the piece is not a whole chunk of that row. */
static bool cut(struct tdbg_trace_writer *w, struct tdbg_chunked *array, int64_t row, int64_t first,
                int64_t count, const void *data, struct tdbg_chunk_job *job)
{
    const uint64_t row_elems = array->row_elems;
    if (count < 1 || (uint64_t)(first + count) > row_elems)
        return false;
    const uint64_t n =
        tdbg_chunked_cut(array, (hsize_t)row + 1, (uint64_t)row * row_elems + (uint64_t)first,
                         (uint64_t)count, data, w->io.serial, job);
    w->io.serial++;
    return n == (uint64_t)count;
}

bool tdbg_trace_writer_cut_value(struct tdbg_trace_writer *w, const struct tdbg_writer_position *p,
                                 int32_t site, int64_t first, int64_t count, int64_t total,
                                 const void *data, struct tdbg_chunk_job *job)
{
    TDBG_ASSERT(site >= 0 && site < w->n_sites);
    const struct tdbg_site_plan *plan = &w->plans[site];
    if (plan->store != TDBG_STORE_DATASET)
        return false;
    struct tdbg_chunked *array = &w->values[w->layout.set[site]].array;
    if ((uint64_t)total != array->row_elems) /* one of several in a row, or a short batch */
        return false;
    int64_t row = 0;
    if (p->n_steps > 0) {
        if ((p->first_step + p->n_steps) % plan->value_every != 0)
            return false;
        row = tdbg_layout_row(p->first_step, p->first_step + p->n_steps, plan->value_every);
    }
    return cut(w, array, row, first, count, data, job);
}

bool tdbg_trace_writer_cut_keyframe(struct tdbg_trace_writer *w,
                                    const struct tdbg_writer_position *p, int32_t item,
                                    int64_t first, int64_t count, const void *data,
                                    struct tdbg_chunk_job *job)
{
    TDBG_ASSERT(item >= 0 && item < w->n_items);
    return cut(w, &w->item_arrays[item], p->n_keyframes, first, count, data, job);
}

enum tdbg_status tdbg_trace_writer_put_chunk(struct tdbg_trace_writer *w,
                                             struct tdbg_chunk_job *job, int32_t item, bool last,
                                             struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct tdbg_chunked *array = job->array;
    tdbg_h5_begin();
    TDBG_TRY(tdbg_writer_ready(w, (int64_t)job->packed_bytes, err));
    TDBG_TRY(tdbg_writer_make_row(array, job->first_elem / array->row_elems, err));
    TDBG_TRY(tdbg_chunked_put(job, err));
    if (item >= 0 && last) {
        TDBG_FAIL_IF(w->item_put[item], USAGE, "keyframe item %s is put twice",
                     w->items[item].name);
        w->item_put[item] = true;
        w->n_items_put++;
    }
out:
    w->failed |= st != TDBG_OK;
    return st;
}

void tdbg_trace_writer_put_digests(struct tdbg_trace_writer *w, const uint64_t *digests,
                                   const struct tdbg_stats *stats)
{
    for (int32_t i = 0; i < w->n_sites; i++)
        tdbg_trace_writer_put_digest(w, i, digests[i], &stats[i]);
}
