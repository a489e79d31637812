/* Conversions of arrays and mapped files. See array.h. */
#include "base/array.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/convert.h"

static const struct {
    const char *text;
    size_t bytes;
} elems[TDBG_ELEM_COUNT] = {
#define ELEM_ROW(name, text, bytes) {text, bytes},
    TDBG_ELEM_LIST(ELEM_ROW)
#undef ELEM_ROW
};

const char *tdbg_elem_text(enum tdbg_elem elem)
{
    return elems[elem].text;
}

size_t tdbg_elem_bytes(enum tdbg_elem elem)
{
    return elems[elem].bytes;
}

bool tdbg_elem_is_float(enum tdbg_elem elem)
{
    return elem >= TDBG_ELEM_F16;
}

void tdbg_array_free(struct tdbg_array *array)
{
    if (array->mapped_bytes > 0)
        tdbg_file_unmap(array->block, array->mapped_bytes);
    else
        free(array->block);
    *array = (struct tdbg_array){0};
}

static uint16_t load16(const unsigned char *p, bool swapped)
{
    uint16_t v;
    memcpy(&v, p, sizeof v);
    return swapped ? __builtin_bswap16(v) : v;
}

static uint32_t load32(const unsigned char *p, bool swapped)
{
    uint32_t v;
    memcpy(&v, p, sizeof v);
    return swapped ? __builtin_bswap32(v) : v;
}

static uint64_t load64(const unsigned char *p, bool swapped)
{
    uint64_t v;
    memcpy(&v, p, sizeof v);
    return swapped ? __builtin_bswap64(v) : v;
}

static double load_f16(const unsigned char *p, bool swapped)
{
    const uint16_t bits = load16(p, swapped);
    return tdbg_convert_elem_to_f64(&bits, TDBG_DTYPE_F16, 0);
}

static float load_bf16(const unsigned char *p, bool swapped)
{
    return tdbg_bits_float((uint32_t)load16(p, swapped) << 16);
}

static double load_f64(const unsigned char *p, bool swapped)
{
    const uint64_t bits = load64(p, swapped);
    double v;
    memcpy(&v, &bits, sizeof v);
    return v;
}

/* One loop per type; `value` sees p, the element's first byte. */
#define EACH(type, value)                                                                          \
    for (int64_t i = 0; i < n; i++, p += sizeof(type))                                             \
        out[i] = (value);                                                                          \
    break

void tdbg_array_to_f32(const struct tdbg_array *a, int64_t first, int64_t n, float *out)
{
    const bool s = a->swapped;
    const unsigned char *p = a->data + (size_t)first * elems[a->elem].bytes;
    if (a->elem == TDBG_ELEM_F32 && !s) {
        memcpy(out, p, (size_t)n * sizeof *out);
        return;
    }
    switch (a->elem) {
    case TDBG_ELEM_BOOL:
        EACH(uint8_t, *p ? 1.0f : 0.0f);
    case TDBG_ELEM_U8:
        EACH(uint8_t, (float)*p);
    case TDBG_ELEM_I8:
        EACH(uint8_t, (float)(int8_t)*p);
    case TDBG_ELEM_U16:
        EACH(uint16_t, (float)load16(p, s));
    case TDBG_ELEM_I16:
        EACH(uint16_t, (float)(int16_t)load16(p, s));
    case TDBG_ELEM_U32:
        EACH(uint32_t, (float)load32(p, s));
    case TDBG_ELEM_I32:
        EACH(uint32_t, (float)(int32_t)load32(p, s));
    case TDBG_ELEM_U64:
        EACH(uint64_t, (float)load64(p, s));
    case TDBG_ELEM_I64:
        EACH(uint64_t, (float)(int64_t)load64(p, s));
    case TDBG_ELEM_F16:
        EACH(uint16_t, (float)load_f16(p, s));
    case TDBG_ELEM_BF16:
        EACH(uint16_t, load_bf16(p, s));
    case TDBG_ELEM_F32:
        EACH(uint32_t, tdbg_bits_float(load32(p, s)));
    case TDBG_ELEM_F64:
        EACH(uint64_t, (float)load_f64(p, s));
    default:
        TDBG_BUG("an array of element type %d", (int)a->elem);
    }
}

static int64_t whole(double v)
{
    return v == floor(v) && v >= -0x1p62 && v <= 0x1p62 ? (int64_t)v : INT64_MIN;
}

static int64_t from_u64(uint64_t v)
{
    return v <= INT64_MAX ? (int64_t)v : INT64_MIN;
}

void tdbg_array_to_i64(const struct tdbg_array *a, int64_t first, int64_t n, int64_t *out)
{
    const bool s = a->swapped;
    const unsigned char *p = a->data + (size_t)first * elems[a->elem].bytes;
    switch (a->elem) {
    case TDBG_ELEM_BOOL:
        EACH(uint8_t, *p ? 1 : 0);
    case TDBG_ELEM_U8:
        EACH(uint8_t, *p);
    case TDBG_ELEM_I8:
        EACH(uint8_t, (int8_t)*p);
    case TDBG_ELEM_U16:
        EACH(uint16_t, load16(p, s));
    case TDBG_ELEM_I16:
        EACH(uint16_t, (int16_t)load16(p, s));
    case TDBG_ELEM_U32:
        EACH(uint32_t, load32(p, s));
    case TDBG_ELEM_I32:
        EACH(uint32_t, (int32_t)load32(p, s));
    case TDBG_ELEM_U64:
        EACH(uint64_t, from_u64(load64(p, s)));
    case TDBG_ELEM_I64:
        EACH(uint64_t, (int64_t)load64(p, s));
    case TDBG_ELEM_F16:
        EACH(uint16_t, whole(load_f16(p, s)));
    case TDBG_ELEM_BF16:
        EACH(uint16_t, whole((double)load_bf16(p, s)));
    case TDBG_ELEM_F32:
        EACH(uint32_t, whole((double)tdbg_bits_float(load32(p, s))));
    case TDBG_ELEM_F64:
        EACH(uint64_t, whole(load_f64(p, s)));
    default:
        TDBG_BUG("an array of element type %d", (int)a->elem);
    }
}

enum tdbg_status tdbg_file_map(const char *path, void **out, size_t *bytes, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct stat info;
    void *map = NULL;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    TDBG_FAIL_IF(fd < 0, DATA, "%s", strerror(errno));
    TDBG_FAIL_IF(fstat(fd, &info) != 0, DATA, "%s", strerror(errno));
    TDBG_FAIL_IF(!S_ISREG(info.st_mode), DATA, "not a regular file");
    TDBG_FAIL_IF(info.st_size > INT64_C(1) << 46, DATA, "a file of %lld bytes is too large",
                 (long long)info.st_size);
    if (info.st_size > 0) {
        map = mmap(NULL, (size_t)info.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
        TDBG_FAIL_IF(map == MAP_FAILED, DATA, "%s", strerror(errno));
    }
    *out = map;
    *bytes = (size_t)info.st_size;
out:
    if (fd >= 0)
        close(fd);
    return st;
}

void tdbg_file_unmap(void *map, size_t bytes)
{
    if (map)
        munmap(map, bytes);
}
