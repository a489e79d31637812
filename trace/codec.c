/* Codec: shuffle + zstd for one chunk, with every size checked. See codec.h; the HDF5 filter that
 * does the same for other programs is filter.c.
 *
 * Values: fp32 training tensors hold next to no repeats, so the match finder is set to a fast level
 * and Huffman coding of the literals, which negative levels switch off, is forced on. On shuffled
 * fp32 gradients level -5 like this gave the ratio of level 1 at twice its speed, and both better
 * than its neighbours. */
#define ZSTD_STATIC_LINKING_ONLY /* for ZSTD_c_literalCompressionMode */
#include <zstd.h>

#include "trace/codec.h"

#include <stdbool.h>
#include <stdlib.h>

#include "trace/shuffle.h"

enum { VALUES_LEVEL = -5, TABLES_LEVEL = 1, TRAILER_ROOM_BYTES = 4096 };

struct buffer {
    void *data;
    size_t bytes;
};

struct tdbg_codec {
    ZSTD_CCtx *compress[2]; /* by effort; made when first used */
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
    ZSTD_freeCCtx(codec->compress[TDBG_EFFORT_VALUES]);
    ZSTD_freeCCtx(codec->compress[TDBG_EFFORT_TABLES]);
    ZSTD_freeDCtx(codec->decompress);
    free(codec->shuffled.data);
    free(codec->packed.data);
    free(codec);
}

static ZSTD_CCtx *make_compressor(enum tdbg_codec_effort effort)
{
    ZSTD_CCtx *c = ZSTD_createCCtx();
    if (!c)
        return NULL;
    bool values = effort == TDBG_EFFORT_VALUES;
    ZSTD_CCtx_setParameter(c, ZSTD_c_compressionLevel, values ? VALUES_LEVEL : TABLES_LEVEL);
    ZSTD_CCtx_setParameter(c, ZSTD_c_checksumFlag, 1);
    ZSTD_CCtx_setParameter(c, ZSTD_c_contentSizeFlag, 1);
    /* An experimental parameter: a library that has dropped it gets the plain low level instead. */
    if (values &&
        ZSTD_isError(ZSTD_CCtx_setParameter(c, ZSTD_c_literalCompressionMode, (int)ZSTD_ps_enable)))
        ZSTD_CCtx_setParameter(c, ZSTD_c_compressionLevel, TABLES_LEVEL);
    return c;
}

enum tdbg_status tdbg_codec_encode(struct tdbg_codec *codec, enum tdbg_codec_effort effort,
                                   const void *data, size_t n_elems, size_t elem_bytes,
                                   const void **out, size_t *out_bytes, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    size_t bytes = n_elems * elem_bytes;
    const void *source = data;
    ZSTD_CCtx **c = &codec->compress[effort];
    if (!*c)
        *c = make_compressor(effort);
    TDBG_FAIL_IF(!*c, NO_MEMORY, "no memory for a compressor");
    TDBG_TRY(reserve(&codec->packed, ZSTD_compressBound(bytes), err));
    if (elem_bytes > 1) {
        TDBG_TRY(reserve(&codec->shuffled, bytes, err));
        tdbg_shuffle(data, codec->shuffled.data, n_elems, elem_bytes);
        source = codec->shuffled.data;
    }
    size_t n = ZSTD_compress2(*c, codec->packed.data, codec->packed.bytes, source, bytes);
    TDBG_FAIL_IF(ZSTD_isError(n), IO, "zstd: %s", ZSTD_getErrorName(n));
    *out = codec->packed.data;
    *out_bytes = n;
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
