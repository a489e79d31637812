/* Tables: rows of a C struct as an HDF5 compound, described by one list of columns that writer and
 * reader share. In the file the columns lie in list order without gaps; a reader finds them by
 * name, so that a later minor version may add some: those that came after 1.0 say since when they
 * are there, and what an older file means. */
#ifndef TDBG_TRACE_TABLE_H
#define TDBG_TRACE_TABLE_H

#include <hdf5.h>
#include <stddef.h>

#include "base/status.h"
#include "trace/schema.h"

enum tdbg_column_kind {
    TDBG_COLUMN_I32,
    TDBG_COLUMN_I64,
    TDBG_COLUMN_U64,
    TDBG_COLUMN_F32,
    TDBG_COLUMN_F64,
    TDBG_COLUMN_TEXT, /* count bytes, zero-padded; the struct has one byte more for the zero */
};

struct tdbg_column {
    const char *name;
    enum tdbg_column_kind kind;
    size_t offset;  /* in the struct */
    size_t count;   /* elements; more than 1 is an array */
    int32_t since;  /* minor version that added the column */
    int64_t absent; /* its value in files from before that; integer columns only */
};

enum { TDBG_TABLE_MAX_COLUMNS = 24 };
struct tdbg_table {
    const struct tdbg_column *columns;
    size_t n_columns;
};

extern const struct tdbg_table tdbg_table_steps;    /* rows are struct tdbg_step_row */
extern const struct tdbg_table tdbg_table_sites;    /* rows are struct tdbg_site_record */
extern const struct tdbg_table tdbg_table_items;    /* rows are struct tdbg_item_record */
extern const struct tdbg_table tdbg_table_findings; /* rows are struct tdbg_finding */

enum {
    TDBG_STAGE_TEXT_BYTES = 16,
    TDBG_DTYPE_TEXT_BYTES = 8,
    TDBG_STORE_TEXT_BYTES = 16,
    TDBG_OP_TEXT_BYTES = 64,
    TDBG_UNIT_TEXT_BYTES = 32,
};

/* One row of /sites. Texts are zero-terminated here. */
struct tdbg_site_record {
    int32_t id; /* the row's own number */
    char name[TDBG_MAX_SITE_NAME + 1];
    char stage[TDBG_STAGE_TEXT_BYTES + 1];
    char op[TDBG_OP_TEXT_BYTES + 1];
    char unit[TDBG_UNIT_TEXT_BYTES + 1];
    int32_t lane, micro;
    char dtype[TDBG_DTYPE_TEXT_BYTES + 1];
    int32_t ndim;
    int64_t shape[TDBG_MAX_DIMS];
    int32_t batched;
    char store[TDBG_STORE_TEXT_BYTES + 1];
    int32_t digest_every, value_every;
    int64_t packed_offset; /* since 1.1; -1: not packed */
};

/* One row of /run/keyframe_items. */
struct tdbg_item_record {
    int32_t id; /* the row's own number */
    char name[TDBG_MAX_SITE_NAME + 1];
    char dtype[TDBG_DTYPE_TEXT_BYTES + 1];
    int32_t ndim;
    int64_t shape[TDBG_MAX_DIMS];
};

/* "none", "dataset", ...; parse: false where there is no such store. */
const char *tdbg_store_text(enum tdbg_store store);
bool tdbg_store_parse(const char *text, enum tdbg_store *out);

/* Bytes of a row as we write it, and its HDF5 type, which the caller closes. */
size_t tdbg_table_row_bytes(const struct tdbg_table *table);
hid_t tdbg_table_type(const struct tdbg_table *table);

/* Struct to file row, as we write it. */
void tdbg_table_pack(const struct tdbg_table *table, const void *record, unsigned char *row);

/* Where the columns are in the compound of a file of minor version `minor`; TDBG_DAMAGED where one
 * is missing that this version has, or is of another type. `where` names the table. */
enum tdbg_status tdbg_table_match(const struct tdbg_table *table, int32_t minor, hid_t type,
                                  const char *where, size_t offsets[TDBG_TABLE_MAX_COLUMNS],
                                  struct tdbg_err *err);

/* Do two structs hold the same? NaN is the same as any other NaN. Only for columns of one number.
 */
bool tdbg_table_same(const struct tdbg_table *table, const void *a, const void *b);

/* File row to struct. */
void tdbg_table_unpack(const struct tdbg_table *table, const size_t offsets[TDBG_TABLE_MAX_COLUMNS],
                       const unsigned char *row, void *record);

#endif
