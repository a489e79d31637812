/* Codec: shuffle + zstd for one chunk, with every size checked. See codec.h; the frames of values
 * are put together in planes.c; the HDF5 filter that does the same for other programs is filter.c.
 */
#include <zstd.h>

#include "trace/codec.h"

#include <stdbool.h>
#include <stdlib.h>

#include "trace/planes.h"
#include "trace/shuffle.h"

enum { LEVEL = 1, PLANES_MIN_BYTES = 256, TRAILER_ROOM_BYTES = 4096 };

struct buffer {
    void *data;
    size_t bytes;
};

struct tdbg_codec {
    ZSTD_CCtx *compress; /* these three are made when first used */
    struct tdbg_planes *planes;
    ZSTD_DCtx *decompress;
    struct buffer shuffled, packed;
};

static enum tdbg_status reserve(struct buffer *b, size_t bytes, struct tdbg_err *err)
{
    if (b->bytes >= bytes)
        return TDBG_OK;
    void *grown = realloc(b->data, bytes);
    if (!grown)
        return TDBG_RAISE(err, NO_MEMORY, "no memory for a chunk of %zu bytes", bytes);
    *b = (struct buffer){grown, bytes};
    return TDBG_OK;
}

struct tdbg_codec *tdbg_codec_create(void)
{
    return calloc(1, sizeof(struct tdbg_codec));
}

void tdbg_codec_destroy(struct tdbg_codec *codec)
{
    if (!codec)
        return;
    ZSTD_freeCCtx(codec->compress);
    tdbg_planes_destroy(codec->planes);
    ZSTD_freeDCtx(codec->decompress);
    free(codec->shuffled.data);
    free(codec->packed.data);
    free(codec);
}

static enum tdbg_status compress(struct tdbg_codec *codec, const void *shuffled, size_t bytes,
                                 size_t *out_bytes, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    if (!codec->compress) {
        codec->compress = ZSTD_createCCtx();
        TDBG_FAIL_IF(!codec->compress, NO_MEMORY, "no memory for a compressor");
        ZSTD_CCtx_setParameter(codec->compress, ZSTD_c_compressionLevel, LEVEL);
        ZSTD_CCtx_setParameter(codec->compress, ZSTD_c_checksumFlag, 1);
        ZSTD_CCtx_setParameter(codec->compress, ZSTD_c_contentSizeFlag, 1);
    }
    TDBG_TRY(reserve(&codec->packed, ZSTD_compressBound(bytes), err));
    size_t n =
        ZSTD_compress2(codec->compress, codec->packed.data, codec->packed.bytes, shuffled, bytes);
    TDBG_FAIL_IF(ZSTD_isError(n), IO, "zstd: %s", ZSTD_getErrorName(n));
    *out_bytes = n;
out:
    return st;
}

static enum tdbg_status compress_planes(struct tdbg_codec *codec, const void *shuffled,
                                        size_t n_elems, size_t elem_bytes, size_t *out_bytes,
                                        struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    if (!codec->planes)
        codec->planes = tdbg_planes_create();
    TDBG_FAIL_IF(!codec->planes, NO_MEMORY, "no memory for a compressor");
    TDBG_TRY(reserve(&codec->packed, tdbg_planes_bound(n_elems, elem_bytes), err));
    *out_bytes =
        tdbg_planes_encode(codec->planes, shuffled, n_elems, elem_bytes, codec->packed.data);
out:
    return st;
}

enum tdbg_status tdbg_codec_encode(struct tdbg_codec *codec, enum tdbg_codec_effort effort,
                                   const void *data, size_t n_elems, size_t elem_bytes,
                                   const void **out, size_t *out_bytes, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    size_t bytes = n_elems * elem_bytes;
    const void *source = data;
    if (elem_bytes > 1) {
        TDBG_TRY(reserve(&codec->shuffled, bytes, err));
        tdbg_shuffle(data, codec->shuffled.data, n_elems, elem_bytes);
        source = codec->shuffled.data;
    }
    bool number = elem_bytes == 2 || elem_bytes == 4 || elem_bytes == 8;
    if (effort == TDBG_EFFORT_VALUES && number && bytes >= PLANES_MIN_BYTES)
        TDBG_TRY(compress_planes(codec, source, n_elems, elem_bytes, out_bytes, err));
    else
        TDBG_TRY(compress(codec, source, bytes, out_bytes, err));
    *out = codec->packed.data;
out:
    return st;
}

enum tdbg_status tdbg_codec_decode(struct tdbg_codec *codec, const void *chunk, size_t chunk_bytes,
                                   void *data, size_t n_elems, size_t elem_bytes,
                                   struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    size_t bytes = n_elems * elem_bytes;
    void *target = data;
    if (!codec->decompress)
        codec->decompress = ZSTD_createDCtx();
    TDBG_FAIL_IF(!codec->decompress, NO_MEMORY, "no memory for a decompressor");

    unsigned long long declared = ZSTD_getFrameContentSize(chunk, chunk_bytes);
    TDBG_FAIL_IF(declared == ZSTD_CONTENTSIZE_ERROR, DAMAGED, "zstd: not a zstd frame");
    TDBG_FAIL_IF(declared == ZSTD_CONTENTSIZE_UNKNOWN, DAMAGED,
                 "zstd: the frame does not declare its size");
    TDBG_FAIL_IF(declared != bytes, DAMAGED, "zstd: the frame declares %llu bytes, not %zu",
                 declared, bytes);
    if (elem_bytes > 1) {
        TDBG_TRY(reserve(&codec->shuffled, bytes, err));
        target = codec->shuffled.data;
    }
    size_t n = ZSTD_decompressDCtx(codec->decompress, target, bytes, chunk, chunk_bytes);
    TDBG_FAIL_IF(ZSTD_isError(n), DAMAGED, "zstd: %s", ZSTD_getErrorName(n));
    TDBG_FAIL_IF(n != bytes, DAMAGED, "zstd: the frame holds %zu bytes, not %zu", n, bytes);
    if (elem_bytes > 1)
        tdbg_unshuffle(target, data, n_elems, elem_bytes);
out:
    return st;
}

size_t tdbg_codec_bound(size_t content_bytes)
{
    return ZSTD_compressBound(content_bytes) + TRAILER_ROOM_BYTES;
}
