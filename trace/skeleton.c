/* Reading the copy of a trace's beginning. See skeleton.h. */
#include "trace/skeleton.h"

#include <stdlib.h>
#include <string.h>

#include "trace/codec.h"
#include "trace/hdf5_util.h"
#include "trace/trailer.h"

/* Numbers of datasets have 32 bits, so that no skeleton is larger; in memory, one that is larger
 * than any list of sites makes it is refused. */
#define MOST_BYTES (UINT64_C(1) << 32)
enum { MOST_IN_MEMORY_BYTES = 256 << 20, GROWTH_BYTES = 1 << 20 };

enum tdbg_status tdbg_skeleton_find(const struct tdbg_chunk_list *list, struct tdbg_skeleton *out,
                                    struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct tdbg_skeleton s = {0};
    s.chunks = tdbg_chunk_list_of(list, TDBG_TRAILER_SKELETON, &s.n);
    TDBG_FAIL_IF(s.n == 0, DAMAGED, "the copy of its beginning is missing or damaged");
    for (size_t i = 0; i < s.n; i++) { /* they have to follow each other */
        const struct tdbg_found_chunk *c = &s.chunks[i];
        bool whole = c->n_elems == TDBG_SKELETON_CHUNK_BYTES;
        TDBG_FAIL_IF(c->first_elem != i * (uint64_t)TDBG_SKELETON_CHUNK_BYTES ||
                         c->n_elems > TDBG_SKELETON_CHUNK_BYTES || c->n_elems == 0 ||
                         (!whole && i + 1 < s.n) || c->first_elem >= MOST_BYTES,
                     DAMAGED, "a part of the copy of its beginning is missing or damaged");
        s.bytes = c->first_elem + c->n_elems;
    }
    *out = s;
out:
    return st;
}

enum tdbg_status tdbg_skeleton_decode(const struct tdbg_skeleton *s, const unsigned char *data,
                                      tdbg_skeleton_put_fn put, void *context, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct tdbg_codec *codec = tdbg_codec_create();
    unsigned char *piece = malloc(TDBG_SKELETON_CHUNK_BYTES);
    TDBG_FAIL_IF(!codec || !piece, NO_MEMORY, "no memory for the skeleton");
    for (size_t i = 0; i < s->n; i++) {
        const struct tdbg_found_chunk *c = &s->chunks[i];
        TDBG_TRY(tdbg_codec_decode(codec, data + c->offset, c->bytes, piece,
                                   TDBG_SKELETON_CHUNK_BYTES, 1, err));
        TDBG_TRY(put(context, piece, c->n_elems, c->first_elem, err));
    }
out:
    tdbg_codec_destroy(codec);
    free(piece);
    return st;
}

static enum tdbg_status put_in_image(void *context, const unsigned char *piece, size_t bytes,
                                     uint64_t offset, struct tdbg_err *err)
{
    unsigned char *image = context;
    (void)err;
    memcpy(image + offset, piece, bytes);
    return TDBG_OK;
}

/* Of a file that says that a writer has it open, as rebuilding does it. HDF5 copies the image. */
static enum tdbg_status open_image(unsigned char *image, size_t bytes, const char *name, hid_t *out,
                                   struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    const hbool_t yes = true;
    hid_t fapl = H5Pcreate(H5P_FILE_ACCESS);
    H5Pset_fclose_degree(fapl, H5F_CLOSE_STRONG);
    TDBG_H5_FAIL_IF(H5Pset_fapl_core(fapl, GROWTH_BYTES, false) < 0 ||
                        H5Pset_file_image(fapl, image, bytes) < 0 ||
                        H5Pset(fapl, "clear_status_flags", &yes) < 0 ||
                        H5Pset(fapl, "skip_eof_check", &yes) < 0,
                    UNSUPPORTED, "this HDF5 library cannot open a file in memory");
    *out = H5Fopen(name, H5F_ACC_RDWR, fapl);
    TDBG_H5_FAIL_IF(*out < 0, DAMAGED, "the copy of its beginning cannot be opened");
out:
    H5Pclose(fapl);
    return st;
}

enum tdbg_status tdbg_skeleton_open(const struct tdbg_skeleton *s, const unsigned char *data,
                                    const char *name, hid_t *out, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    unsigned char *image = NULL;
    TDBG_FAIL_IF(s->bytes > MOST_IN_MEMORY_BYTES, DAMAGED,
                 "the copy of its beginning is too large");
    image = malloc((size_t)s->bytes);
    TDBG_FAIL_IF(!image, NO_MEMORY, "no memory for the skeleton");
    TDBG_TRY(tdbg_skeleton_decode(s, data, put_in_image, image, err));
    TDBG_TRY(open_image(image, (size_t)s->bytes, name, out, err));
out:
    free(image);
    return st;
}
