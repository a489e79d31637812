/* Tables: the columns of /steps, /sites and /run/keyframe_items, and moving rows between struct and
 * file. See table.h. */
#include "trace/table.h"

#include <string.h>

#include "trace/hdf5_util.h"

#define ABSENT SIZE_MAX /* as offset: a column that the file is too old for */

#define COLUMN(record, field, kind, count, since, absent)                                          \
    {                                                                                              \
#field, TDBG_COLUMN_##kind, offsetof(struct record, field), count, since, absent           \
    }
#define STEP(field, kind, count) COLUMN(tdbg_step_row, field, kind, count, 0, 0)
#define SITE(field, kind, count) COLUMN(tdbg_site_record, field, kind, count, 0, 0)
#define ITEM(field, kind, count) COLUMN(tdbg_item_record, field, kind, count, 0, 0)

static const struct tdbg_column step_columns[] = {
    STEP(step, I64, 1),
    STEP(epoch, I64, 1),
    STEP(samples, I64, 1),
    STEP(loss, F32, 1),
    STEP(lr, F32, 1),
    STEP(grad_norm, F64, 1),
    STEP(start_ns, I64, 1),
    STEP(duration_ns, I64, 1),
    STEP(evaluated, I32, 1),
    STEP(chain, U64, TDBG_CHAIN_COUNT),
    COLUMN(tdbg_step_row, dropped, I32, 1, 1, 0),
    COLUMN(tdbg_step_row, wait_ns, I64, 1, 3, 0),
};

static const struct tdbg_column site_columns[] = {
    SITE(id, I32, 1),
    SITE(name, TEXT, TDBG_MAX_SITE_NAME),
    SITE(stage, TEXT, TDBG_STAGE_TEXT_BYTES),
    SITE(op, TEXT, TDBG_OP_TEXT_BYTES),
    SITE(unit, TEXT, TDBG_UNIT_TEXT_BYTES),
    SITE(lane, I32, 1),
    SITE(micro, I32, 1),
    SITE(dtype, TEXT, TDBG_DTYPE_TEXT_BYTES),
    SITE(ndim, I32, 1),
    SITE(shape, I64, TDBG_MAX_DIMS),
    SITE(batched, I32, 1),
    SITE(store, TEXT, TDBG_STORE_TEXT_BYTES),
    SITE(digest_every, I32, 1),
    SITE(value_every, I32, 1),
    COLUMN(tdbg_site_record, packed_offset, I64, 1, 1, -1),
};

static const struct tdbg_column item_columns[] = {
    ITEM(id, I32, 1),
    ITEM(name, TEXT, TDBG_MAX_SITE_NAME),
    ITEM(dtype, TEXT, TDBG_DTYPE_TEXT_BYTES),
    ITEM(ndim, I32, 1),
    ITEM(shape, I64, TDBG_MAX_DIMS),
};

#define FINDING(field, kind, count) COLUMN(tdbg_finding, field, kind, count, 0, 0)
static const struct tdbg_column finding_columns[] = {
    FINDING(step, I64, 1),
    FINDING(rank, I32, 1),
    FINDING(severity, TEXT, 8),
    FINDING(rule, TEXT, 48),
    FINDING(site, TEXT, TDBG_MAX_SITE_NAME),
    FINDING(text, TEXT, 200),
};

const struct tdbg_table tdbg_table_findings = {finding_columns,
                                               sizeof finding_columns / sizeof *finding_columns};
const struct tdbg_table tdbg_table_steps = {step_columns,
                                            sizeof step_columns / sizeof *step_columns};
const struct tdbg_table tdbg_table_sites = {site_columns,
                                            sizeof site_columns / sizeof *site_columns};

const struct tdbg_table tdbg_table_items = {item_columns,
                                            sizeof item_columns / sizeof *item_columns};

static const char *const store_text[TDBG_STORE_COUNT] = {
    [TDBG_STORE_NONE] = "none",         [TDBG_STORE_DATASET] = "dataset",
    [TDBG_STORE_PACKED] = "packed",     [TDBG_STORE_SAMPLES] = "samples",
    [TDBG_STORE_KEYFRAME] = "keyframe", [TDBG_STORE_DELTA] = "delta",
    [TDBG_STORE_RESIDUAL] = "residual",
};

const char *tdbg_store_text(enum tdbg_store store)
{
    return store_text[store];
}

bool tdbg_store_parse(const char *text, enum tdbg_store *out)
{
    for (int i = 0; i < TDBG_STORE_COUNT; i++) {
        if (strcmp(store_text[i], text) == 0) {
            *out = (enum tdbg_store)i;
            return true;
        }
    }
    return false;
}

static size_t column_bytes(const struct tdbg_column *column)
{
    static const size_t bytes[] = {
        [TDBG_COLUMN_I32] = 4, [TDBG_COLUMN_I64] = 8, [TDBG_COLUMN_U64] = 8,
        [TDBG_COLUMN_F32] = 4, [TDBG_COLUMN_F64] = 8, [TDBG_COLUMN_TEXT] = 1,
    };
    return bytes[column->kind] * column->count;
}

static hid_t scalar_type(enum tdbg_column_kind kind)
{
    switch (kind) {
    case TDBG_COLUMN_I32:
        return H5T_STD_I32LE;
    case TDBG_COLUMN_I64:
        return H5T_STD_I64LE;
    case TDBG_COLUMN_U64:
        return H5T_STD_U64LE;
    case TDBG_COLUMN_F32:
        return H5T_IEEE_F32LE;
    case TDBG_COLUMN_F64:
        return H5T_IEEE_F64LE;
    case TDBG_COLUMN_TEXT:
        break;
    }
    TDBG_BUG("no scalar type of column kind %d", (int)kind);
}

static hid_t column_type(const struct tdbg_column *column)
{
    if (column->kind == TDBG_COLUMN_TEXT)
        return tdbg_h5_text_type(column->count);
    hsize_t count = column->count;
    if (count > 1)
        return H5Tarray_create2(scalar_type(column->kind), 1, &count);
    return H5Tcopy(scalar_type(column->kind));
}

size_t tdbg_table_row_bytes(const struct tdbg_table *table)
{
    size_t bytes = 0;
    for (size_t i = 0; i < table->n_columns; i++)
        bytes += column_bytes(&table->columns[i]);
    return bytes;
}

hid_t tdbg_table_type(const struct tdbg_table *table)
{
    hid_t type = H5Tcreate(H5T_COMPOUND, tdbg_table_row_bytes(table));
    size_t at = 0;
    for (size_t i = 0; i < table->n_columns; i++) {
        hid_t column = column_type(&table->columns[i]);
        TDBG_ASSERT(H5Tinsert(type, table->columns[i].name, at, column) >= 0);
        H5Tclose(column);
        at += column_bytes(&table->columns[i]);
    }
    return type;
}

void tdbg_table_pack(const struct tdbg_table *table, const void *record, unsigned char *row)
{
    for (size_t i = 0; i < table->n_columns; i++) {
        const struct tdbg_column *c = &table->columns[i];
        memcpy(row, (const unsigned char *)record + c->offset, column_bytes(c));
        row += column_bytes(c);
    }
}

static double number(const struct tdbg_column *c, const void *record)
{
    const unsigned char *at = (const unsigned char *)record + c->offset;
    double f64;
    float f32;
    if (c->kind == TDBG_COLUMN_F64) {
        memcpy(&f64, at, sizeof f64);
        return f64;
    }
    memcpy(&f32, at, sizeof f32);
    return (double)f32;
}

bool tdbg_table_same(const struct tdbg_table *table, const void *a, const void *b)
{
    for (size_t i = 0; i < table->n_columns; i++) {
        const struct tdbg_column *c = &table->columns[i];
        const unsigned char *x = a, *y = b;
        TDBG_ASSERT(c->count == 1);
        const bool is_float = c->kind == TDBG_COLUMN_F32 || c->kind == TDBG_COLUMN_F64;
        const double p = is_float ? number(c, a) : 0, q = is_float ? number(c, b) : 0;
        const bool same = is_float ? p == q || (p != p && q != q)
                                   : memcmp(x + c->offset, y + c->offset, column_bytes(c)) == 0;
        if (!same)
            return false;
    }
    return true;
}

enum tdbg_status tdbg_table_match(const struct tdbg_table *table, int32_t minor, hid_t type,
                                  const char *where, size_t offsets[TDBG_TABLE_MAX_COLUMNS],
                                  struct tdbg_err *err)
{
    TDBG_ASSERT(table->n_columns <= TDBG_TABLE_MAX_COLUMNS);
    if (H5Tget_class(type) != H5T_COMPOUND)
        return TDBG_RAISE(err, DAMAGED, "%s is not a table", where);
    for (size_t i = 0; i < table->n_columns; i++) {
        const struct tdbg_column *c = &table->columns[i];
        int member = H5Tget_member_index(type, c->name);
        if (member < 0 && minor < c->since) {
            offsets[i] = ABSENT;
            continue;
        }
        if (member < 0)
            return TDBG_RAISE(err, DAMAGED, "%s has no column %s", where, c->name);
        hid_t want = column_type(c), have = H5Tget_member_type(type, (unsigned)member);
        bool same = have >= 0 && H5Tequal(want, have) > 0;
        H5Tclose(want);
        H5Tclose(have);
        if (!same)
            return TDBG_RAISE(err, DAMAGED, "%s: column %s is of another type", where, c->name);
        offsets[i] = H5Tget_member_offset(type, (unsigned)member);
        if (offsets[i] + column_bytes(c) > H5Tget_size(type))
            return TDBG_RAISE(err, DAMAGED, "%s: column %s lies outside the row", where, c->name);
    }
    return TDBG_OK;
}

static void set_absent(const struct tdbg_column *c, unsigned char *to)
{
    const int32_t narrow = (int32_t)c->absent;
    TDBG_ASSERT(c->count == 1 && (c->kind == TDBG_COLUMN_I32 || c->kind == TDBG_COLUMN_I64));
    memcpy(to, c->kind == TDBG_COLUMN_I32 ? (const void *)&narrow : &c->absent, column_bytes(c));
}

/* Nearly all are one number, whose copy is one instruction where its size is known. */
static void copy_column(unsigned char *to, const unsigned char *from, size_t bytes)
{
    if (bytes == 8)
        memcpy(to, from, 8);
    else if (bytes == 4)
        memcpy(to, from, 4);
    else
        memcpy(to, from, bytes);
}

void tdbg_table_unpack(const struct tdbg_table *table, const size_t offsets[TDBG_TABLE_MAX_COLUMNS],
                       const unsigned char *row, void *record)
{
    for (size_t i = 0; i < table->n_columns; i++) {
        const struct tdbg_column *c = &table->columns[i];
        unsigned char *to = (unsigned char *)record + c->offset;
        if (offsets[i] == ABSENT) {
            set_absent(c, to);
            continue;
        }
        copy_column(to, row + offsets[i], column_bytes(c));
        if (c->kind == TDBG_COLUMN_TEXT)
            to[c->count] = 0;
    }
}
