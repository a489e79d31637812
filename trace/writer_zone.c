/* /zones: a row whenever the steps of a zone are complete. See zone.h. */
#include <string.h>

#include "trace/hdf5_util.h"
#include "trace/writer_impl.h"

enum tdbg_status tdbg_writer_create_zones(struct tdbg_trace_writer *w, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    hid_t steps = tdbg_table_type(&tdbg_table_zone_steps);
    hid_t stats = tdbg_table_type(&tdbg_table_zone_stats);
    const struct {
        struct row_block *block;
        const char *path;
        hid_t type;
        hsize_t row_elems; /* 0: one dimension */
    } datasets[] = {
        {&w->zone_steps, "zones/steps", steps, 0},
        {&w->zone_stats, "zones/stats", stats, (hsize_t)w->n_sites},
        {&w->zone_digest, "zones/digest", H5T_STD_U64LE, (hsize_t)w->n_sites},
    };
    for (size_t i = 0; i < sizeof datasets / sizeof *datasets; i++) {
        struct row_block *block = datasets[i].block;
        TDBG_TRY(tdbg_writer_create_block(w, block, datasets[i].path, datasets[i].type,
                                          datasets[i].row_elems, 1, NULL, TDBG_EFFORT_TABLES, err));
        TDBG_TRY(tdbg_h5_put_int(block->array.dataset, "steps", w->steps_per_zone, err));
    }
    TDBG_TRY(tdbg_zone_init(&w->zone, w->n_sites, err));
out:
    H5Tclose(steps);
    H5Tclose(stats);
    return st;
}

static enum tdbg_status write_zone(struct tdbg_trace_writer *w, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    const int64_t n_zones = w->n_steps / w->steps_per_zone;
    const size_t bytes = tdbg_table_row_bytes(&tdbg_table_zone_stats);
    tdbg_table_pack(&tdbg_table_zone_steps, &w->zone.steps, w->zone_steps.rows);
    for (int32_t i = 0; i < w->n_sites; i++)
        tdbg_table_pack(&tdbg_table_zone_stats, &w->zone.stats[i],
                        w->zone_stats.rows + (size_t)i * bytes);
    memcpy(w->zone_digest.rows, w->zone.digest, w->zone_digest.row_bytes);
    TDBG_TRY(tdbg_writer_write_block(w, &w->zone_steps, 1, n_zones, err));
    TDBG_TRY(tdbg_writer_write_block(w, &w->zone_stats, 1, n_zones, err));
    TDBG_TRY(tdbg_writer_write_block(w, &w->zone_digest, 1, n_zones, err));
    tdbg_zone_clear(&w->zone);
out:
    return st;
}

void tdbg_writer_add_to_zone(struct tdbg_trace_writer *w, const struct tdbg_step_row *row)
{
    const uint64_t *digests = tdbg_writer_row(w, &w->digest);
    const double *doubles[STATS_DOUBLES];
    const uint64_t *counts[STATS_COLUMNS - STATS_DOUBLES];
    for (int c = 0; c < STATS_COLUMNS; c++) {
        if (c < STATS_DOUBLES)
            doubles[c] = tdbg_writer_row(w, &w->stats[c]);
        else
            counts[c - STATS_DOUBLES] = tdbg_writer_row(w, &w->stats[c]);
    }
    for (int32_t i = 0; i < w->n_sites; i++) {
        const struct tdbg_stats stats = {doubles[0][i], doubles[1][i], doubles[2][i], doubles[3][i],
                                         counts[0][i],  counts[1][i],  counts[2][i]};
        tdbg_zone_add_site(&w->zone, i, digests[i], &stats);
    }
    tdbg_zone_add_step(&w->zone, row);
}

enum tdbg_status tdbg_writer_end_zone(struct tdbg_trace_writer *w, struct tdbg_err *err)
{
    return w->zone.n == w->steps_per_zone ? write_zone(w, err) : TDBG_OK;
}
