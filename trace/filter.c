/* HDF5 filter 32015 (zstd). Runs inside other programs too, over files that nobody checked: the
 * size that a frame declares decides what is allocated, up to a limit, and nothing past it is
 * written. cd_values[0], where present, is the compression level. */
#include <hdf5.h>
#include <zstd.h>

#include "trace/filter.h"
#include "trace/schema.h"

enum { DEFAULT_LEVEL = 3 };

static void complain(unsigned line, const char *text)
{
    H5Epush2(H5E_DEFAULT, __FILE__, "tdbg zstd filter", line, H5E_ERR_CLS, H5E_PLINE,
             H5E_CANTFILTER, "zstd filter: %s", text);
}

/* Replaces HDF5's buffer by ours. */
static size_t hand_over(void *fresh, size_t fresh_bytes, size_t used, size_t *buf_bytes, void **buf)
{
    H5free_memory(*buf);
    *buf = fresh;
    *buf_bytes = fresh_bytes;
    return used;
}

static size_t decompress(size_t n_bytes, size_t *buf_bytes, void **buf)
{
    unsigned long long size = ZSTD_getFrameContentSize(*buf, n_bytes);
    if (size == ZSTD_CONTENTSIZE_ERROR || size == ZSTD_CONTENTSIZE_UNKNOWN || size == 0) {
        complain(__LINE__, "not a frame that declares its size");
        return 0;
    }
    if (size > TDBG_FILTER_MAX_BYTES) {
        complain(__LINE__, "the frame declares more than 1 GiB");
        return 0;
    }
    void *fresh = H5allocate_memory((size_t)size, false);
    if (!fresh) {
        complain(__LINE__, "out of memory");
        return 0;
    }
    size_t n = ZSTD_decompress(fresh, (size_t)size, *buf, n_bytes);
    if (ZSTD_isError(n) || n != size) {
        complain(__LINE__, ZSTD_isError(n) ? ZSTD_getErrorName(n)
                                           : "the frame is shorter than it "
                                             "declares");
        H5free_memory(fresh);
        return 0;
    }
    return hand_over(fresh, (size_t)size, n, buf_bytes, buf);
}

static size_t compress(int level, size_t n_bytes, size_t *buf_bytes, void **buf)
{
    size_t bound = ZSTD_compressBound(n_bytes), n = 0;
    void *fresh = H5allocate_memory(bound, false);
    ZSTD_CCtx *c = ZSTD_createCCtx();
    if (fresh && c) {
        ZSTD_CCtx_setParameter(c, ZSTD_c_compressionLevel, level);
        ZSTD_CCtx_setParameter(c, ZSTD_c_checksumFlag, 1);
        n = ZSTD_compress2(c, fresh, bound, *buf, n_bytes);
        if (ZSTD_isError(n)) {
            complain(__LINE__, ZSTD_getErrorName(n));
            n = 0;
        }
    } else {
        complain(__LINE__, "out of memory");
    }
    ZSTD_freeCCtx(c);
    if (n == 0) {
        H5free_memory(fresh);
        return 0;
    }
    return hand_over(fresh, bound, n, buf_bytes, buf);
}

static size_t run_filter(unsigned flags, size_t n_values, const unsigned values[], size_t n_bytes,
                         size_t *buf_bytes, void **buf)
{
    if (flags & H5Z_FLAG_REVERSE)
        return decompress(n_bytes, buf_bytes, buf);
    int level = n_values > 0 ? (int)values[0] : DEFAULT_LEVEL;
    if (level > ZSTD_maxCLevel())
        level = ZSTD_maxCLevel();
    return compress(level, n_bytes, buf_bytes, buf);
}

const struct H5Z_class2_t tdbg_filter_class = {
    .version = H5Z_CLASS_T_VERS,
    .id = (H5Z_filter_t)TDBG_ZSTD_FILTER_ID,
    .encoder_present = 1,
    .decoder_present = 1,
    .name = "zstd (tdbg)",
    .filter = run_filter,
};

bool tdbg_filter_register(void)
{
    return H5Zregister(&tdbg_filter_class) >= 0;
}
