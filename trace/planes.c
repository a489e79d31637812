/* Planes: frame and block headers are written here, coded blocks come from ZSTD_compressSequences()
 * with sequences that are runs of one byte. See planes.h for why.
 *
 * A coded block is cut out of a small frame of its own. That is sound because it depends on nothing
 * before it: it carries its tables, and its matches have offset 1, which is the first repeat offset
 * of every frame's start and stays it. */
#define ZSTD_STATIC_LINKING_ONLY /* for ZSTD_compressSequences */
#include <zstd.h>

#include "trace/planes.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#ifdef __SSE2__
#include <emmintrin.h>
#endif

enum {
    PIECE_BYTES = 128 << 10, /* the largest block that a frame may have */
    WINDOW_LOG = 17,         /* of PIECE_BYTES: blocks are cut to the window */
    BLOCK_HEADER_BYTES = 3,
    FRAME_HEADER_BYTES = 4 + 1 + 8, /* at most: magic, descriptor, content size */
    CHECKSUM_BYTES = 4,
    BLOCK_RAW = 0,
    SAMPLE_PARTS = 4, /* a piece is judged by so many parts of it */
    SAMPLE_PART_BYTES = 2048,
    GAIN_SHIFT = 6, /* runs have to save 1 / 64 of a piece; zstd asks for as much of a block */
};

/* Shortest runs that become matches. A sequence costs about a byte: in noise, where a literal is a
 * whole byte, four equal bytes pay, and by accident there are none; in exponents it takes more. */
enum { SHORT_RUN = 4, LONG_RUN = 6 };
static const double noise_bits = 7.0;      /* per byte; above this it is noise */
static const double incompressible = 7.84; /* above this zstd would find no gain in coding */

struct tdbg_planes {
    ZSTD_CCtx *coder;
    ZSTD_Sequence *sequences; /* (MOST_SEQUENCES) */
    unsigned char *block;     /* (BLOCK_ROOM) a small frame with one coded block */
};
enum { MOST_SEQUENCES = PIECE_BYTES / SHORT_RUN + 1, BLOCK_ROOM = PIECE_BYTES + 1024 };

struct tdbg_planes *tdbg_planes_create(void)
{
    struct tdbg_planes *p = calloc(1, sizeof *p);
    if (!p)
        return NULL;
    p->coder = ZSTD_createCCtx();
    p->sequences = malloc(MOST_SEQUENCES * sizeof *p->sequences);
    p->block = malloc(BLOCK_ROOM);
    if (!p->coder || !p->sequences || !p->block) {
        tdbg_planes_destroy(p);
        return NULL;
    }
    ZSTD_CCtx_setParameter(p->coder, ZSTD_c_compressionLevel, 1);
    ZSTD_CCtx_setParameter(p->coder, ZSTD_c_windowLog, WINDOW_LOG);
    ZSTD_CCtx_setParameter(p->coder, ZSTD_c_hashLog, ZSTD_HASHLOG_MIN); /* nobody looks into it */
    ZSTD_CCtx_setParameter(p->coder, ZSTD_c_minMatch, SHORT_RUN - 1);
    ZSTD_CCtx_setParameter(p->coder, ZSTD_c_contentSizeFlag, 0);
    ZSTD_CCtx_setParameter(p->coder, ZSTD_c_blockDelimiters, ZSTD_sf_explicitBlockDelimiters);
    return p;
}

void tdbg_planes_destroy(struct tdbg_planes *p)
{
    if (!p)
        return;
    ZSTD_freeCCtx(p->coder);
    free(p->sequences);
    free(p->block);
    free(p);
}

static size_t count_pieces(size_t plane_bytes)
{
    return (plane_bytes + PIECE_BYTES - 1) / PIECE_BYTES;
}

size_t tdbg_planes_bound(size_t plane_bytes, size_t n_planes)
{
    return FRAME_HEADER_BYTES + CHECKSUM_BYTES +
           n_planes * (plane_bytes + count_pieces(plane_bytes) * BLOCK_HEADER_BYTES);
}

/* log2(x) to about 0.008, without a call or a branch; finite for 0. */
static float about_log2(float x)
{
    uint32_t bits;
    float f;
    memcpy(&bits, &x, sizeof bits);
    float exponent = (float)((int32_t)(bits >> 23) - 127);
    bits = (bits & 0x7fffff) | 0x3f800000;
    memcpy(&f, &bits, sizeof f);
    f -= 1;
    return exponent + f * (1.3466f - 0.3466f * f);
}

/* Entropy in bits per byte, order 0, of what is left of a piece when repeated bytes are taken out,
 * from a sample of it. */
static double estimate_bits(const unsigned char *piece, size_t bytes)
{
    unsigned count[4][256] = {0};
    size_t parts = bytes > SAMPLE_PARTS * SAMPLE_PART_BYTES ? SAMPLE_PARTS : 1;
    size_t part_bytes = parts == 1 ? bytes : SAMPLE_PART_BYTES;
    for (size_t part = 0; part < parts; part++) {
        const unsigned char *from = piece + (bytes - part_bytes) / SAMPLE_PARTS * part;
        /* Four tables, so that equal bytes do not wait for each other. */
        for (size_t i = 1; i < part_bytes; i++)
            count[i % 4][from[i]] += from[i] != from[i - 1];
    }
    float sum = 0, n = 1;
    for (int b = 0; b < 256; b++) {
        float c = (float)(count[0][b] + count[1][b] + count[2][b] + count[3][b]);
        sum += c * about_log2(c);
        n += c;
    }
    /* A sample looks less random than it is: bias as of Miller (1955). */
    const float bias = 255 / (2 * 0.693147f);
    return (double)(about_log2(n) + (bias - sum) / n);
}

/* First place at or after `at` where run_bytes equal bytes stand; `bytes` where there is none. The
 * vector loop looks at 16 places at once:
 *     bit i of eq: byte i equals byte i + 1; a run of r bytes is r - 1 bits in a row. */
static size_t find_run(const unsigned char *p, size_t bytes, size_t at, size_t run_bytes)
{
    const size_t start = at;
#ifdef __SSE2__
    unsigned before = 0; /* the last eq bits of the 16 places before, up to LONG_RUN */
    for (; at + 17 <= bytes; at += 16) {
        __m128i a = _mm_loadu_si128((const __m128i *)(const void *)(p + at));
        __m128i b = _mm_loadu_si128((const __m128i *)(const void *)(p + at + 1));
        unsigned eq = (unsigned)_mm_movemask_epi8(_mm_cmpeq_epi8(a, b)) << LONG_RUN | before;
        unsigned row = eq & eq >> 1 & eq >> 2; /* bits that begin SHORT_RUN */
        if (run_bytes == LONG_RUN)
            row &= row >> 2;
        if (row != 0)
            return at - LONG_RUN + (size_t)__builtin_ctz(row);
        before = eq >> 16;
    }
    at = at - start > LONG_RUN ? at - LONG_RUN : start;
#endif
    for (size_t run = 1; at + 1 < bytes; at++) {
        run = p[at] == p[at + 1] ? run + 1 : 1;
        if (run == run_bytes)
            return at + 2 - run_bytes;
    }
    return bytes;
}

static size_t run_end(const unsigned char *p, size_t bytes, size_t at)
{
    const unsigned char byte = p[at];
#ifdef __SSE2__
    const __m128i all = _mm_set1_epi8((char)byte);
    for (; at + 16 <= bytes; at += 16) {
        __m128i v = _mm_loadu_si128((const __m128i *)(const void *)(p + at));
        unsigned other = (unsigned)_mm_movemask_epi8(_mm_cmpeq_epi8(v, all)) ^ 0xffff;
        if (other != 0)
            return at + (size_t)__builtin_ctz(other);
    }
#endif
    while (at < bytes && p[at] == byte)
        at++;
    return at;
}

/* Cuts a piece into literals and runs. *saved is about how many bytes the runs save. */
static size_t list_runs(ZSTD_Sequence *out, const unsigned char *piece, size_t bytes,
                        size_t run_bytes, size_t *saved)
{
    size_t n = 0, literals = 0;
    *saved = 0;
    for (size_t at = 0; (at = find_run(piece, bytes, at, run_bytes)) < bytes;) {
        size_t end = run_end(piece, bytes, at), match = end - at - 1;
        out[n++] = (ZSTD_Sequence){.offset = 1,
                                   .litLength = (unsigned)(at + 1 - literals),
                                   .matchLength = (unsigned)match};
        *saved += match - 2;
        at = literals = end;
    }
    out[n++] = (ZSTD_Sequence){.litLength = (unsigned)(bytes - literals)}; /* ends the block */
    return n;
}

/* Copies a piece to where it is stored. Blocks lie at any address, and the C library's copy of so
 * many bytes (rep movsb) was found to run at 2.6 GB/s where both sides are aligned differently. */
static void copy_piece(unsigned char *to, const unsigned char *from, size_t bytes)
{
#ifdef __SSE2__
    for (; bytes >= 64; bytes -= 64, from += 64, to += 64) {
        for (size_t i = 0; i < 64; i += 16)
            _mm_storeu_si128((__m128i *)(void *)(to + i),
                             _mm_loadu_si128((const __m128i *)(const void *)(from + i)));
    }
#endif
    memcpy(to, from, bytes);
}

static void write_block_header(unsigned char *to, bool last, unsigned type, size_t bytes)
{
    unsigned header = (unsigned)last | type << 1 | (unsigned)bytes << 3;
    for (int i = 0; i < BLOCK_HEADER_BYTES; i++)
        to[i] = (unsigned char)(header >> 8 * i);
}

/* The piece as a coded block, header included. 0: it is to be stored. */
static size_t code_block(struct tdbg_planes *p, const unsigned char *piece, size_t bytes,
                         unsigned char *to)
{
    double bits = estimate_bits(piece, bytes);
    size_t saved,
        n = list_runs(p->sequences, piece, bytes, bits > noise_bits ? SHORT_RUN : LONG_RUN, &saved);
    bool noise = bits > incompressible;
    if (noise && saved < bytes >> GAIN_SHIFT)
        return 0;
    /* Parameters may change between frames only, and ZSTD_compressSequences() leaves its frame
     * open. A library that does not know this one refuses it, and noise takes longer. */
    ZSTD_CCtx_reset(p->coder, ZSTD_reset_session_only);
    ZSTD_CCtx_setParameter(p->coder, ZSTD_c_literalCompressionMode,
                           noise ? (int)ZSTD_ps_disable : (int)ZSTD_ps_auto);
    size_t frame =
        ZSTD_compressSequences(p->coder, p->block, BLOCK_ROOM, p->sequences, n, piece, bytes);
    size_t header = ZSTD_isError(frame) ? frame : ZSTD_frameHeaderSize(p->block, frame);
    /* An error means a library that has changed what it accepts: bigger chunks, still sound. */
    if (ZSTD_isError(header) || frame - header >= bytes + BLOCK_HEADER_BYTES)
        return 0;
    copy_piece(to, p->block + header, frame - header);
    to[0] &= (unsigned char)~1u; /* not the last block of this frame */
    return frame - header;
}

static size_t write_frame_header(unsigned char *to, uint64_t content_bytes)
{
    /* The single-segment flag makes the content itself the window. */
    static const unsigned char magic[4] = {0x28, 0xb5, 0x2f, 0xfd};
    enum { SINGLE_SEGMENT = 1 << 5, CHECKSUM = 1 << 2 };
    unsigned flag = content_bytes < 256        ? 0
                    : content_bytes < 65792    ? 1
                    : content_bytes >> 32 == 0 ? 2
                                               : 3;
    uint64_t field = flag == 1 ? content_bytes - 256 : content_bytes;
    size_t field_bytes = (size_t)1 << flag;
    memcpy(to, magic, sizeof magic);
    to[4] = (unsigned char)(flag << 6 | SINGLE_SEGMENT | CHECKSUM);
    for (size_t i = 0; i < field_bytes; i++)
        to[5 + i] = (unsigned char)(field >> 8 * i);
    return 5 + field_bytes;
}

size_t tdbg_planes_encode(struct tdbg_planes *p, const void *shuffled, size_t plane_bytes,
                          size_t n_planes, void *out)
{
    const unsigned char *planes = shuffled;
    unsigned char *to = (unsigned char *)out, *block = to;
    size_t n_pieces = count_pieces(plane_bytes);
    to += write_frame_header(to, plane_bytes * n_planes);
    for (size_t i = 0; i < n_planes; i++, planes += plane_bytes) {
        for (size_t k = 0; k < n_pieces; k++) {
            size_t from = plane_bytes / n_pieces * k + plane_bytes % n_pieces * k / n_pieces;
            size_t end =
                plane_bytes / n_pieces * (k + 1) + plane_bytes % n_pieces * (k + 1) / n_pieces;
            size_t bytes = code_block(p, planes + from, end - from, to);
            if (bytes == 0) {
                write_block_header(to, false, BLOCK_RAW, end - from);
                copy_piece(to + BLOCK_HEADER_BYTES, planes + from, end - from);
                bytes = BLOCK_HEADER_BYTES + end - from;
            }
            block = to;
            to += bytes;
        }
    }
    block[0] |= 1; /* the last block */
    uint32_t checksum = (uint32_t)XXH64(shuffled, plane_bytes * n_planes, 0);
    for (int i = 0; i < CHECKSUM_BYTES; i++)
        *to++ = (unsigned char)(checksum >> 8 * i);
    return (size_t)(to - (unsigned char *)out);
}
