/* The public library: what its two halves share. Its contract is include/tdbg.h; recordings are
 * described in libtdbg_describe.c and written in libtdbg_record.c, traces read in libtdbg_read.c.
 */
#include "trace/libtdbg_impl.h"

#include <assert.h>
#include <pthread.h>

#include "base/version.h"

static_assert((int)TDBG_F32 == (int)TDBG_DTYPE_F32 && (int)TDBG_F64 == (int)TDBG_DTYPE_F64 &&
                  (int)TDBG_BF16 == (int)TDBG_DTYPE_BF16 && (int)TDBG_F16 == (int)TDBG_DTYPE_F16 &&
                  (int)TDBG_U8 == (int)TDBG_DTYPE_U8 && (int)TDBG_I32 == (int)TDBG_DTYPE_I32 &&
                  (int)TDBG_I64 == (int)TDBG_DTYPE_I64 && TDBG_DTYPE_COUNT == TDBG_I64 + 1,
              "element types have the same numbers inside and outside");
static_assert((int)TDBG_TENSOR_DIMS == (int)TDBG_MAX_DIMS &&
                  (int)TDBG_CHAINS == (int)TDBG_CHAIN_COUNT,
              "the public limits are those of the schema");

static pthread_mutex_t turn = PTHREAD_MUTEX_INITIALIZER;

void tdbg_lib_lock(void)
{
    pthread_mutex_lock(&turn);
}

void tdbg_lib_unlock(void)
{
    pthread_mutex_unlock(&turn);
}

int tdbg_lib_result(enum tdbg_status status)
{
    switch (status) {
    case TDBG_OK:
        return TDBG_SUCCESS;
    case TDBG_USAGE:
        return TDBG_ERR_USAGE;
    case TDBG_NO_TRACE:
        return TDBG_ERR_NO_TRACE;
    case TDBG_DAMAGED:
        return TDBG_ERR_DAMAGED;
    case TDBG_TOO_NEW:
        return TDBG_ERR_TOO_NEW;
    case TDBG_NOT_FOUND:
        return TDBG_ERR_NOT_FOUND;
    case TDBG_NEEDS_REPLAY:
        return TDBG_ERR_NOT_STORED;
    case TDBG_IO:
        return TDBG_ERR_IO;
    case TDBG_NO_MEMORY:
        return TDBG_ERR_NO_MEMORY;
    default:
        return TDBG_ERR_FAILED;
    }
}

const char *tdbg_result_text(int result)
{
    static const char *const texts[] = {
        [TDBG_SUCCESS] = "success",
        [TDBG_ERR_USAGE] = "usage error",
        [TDBG_ERR_NO_TRACE] = "no such trace",
        [TDBG_ERR_DAMAGED] = "trace is damaged",
        [TDBG_ERR_TOO_NEW] = "trace is of a newer version",
        [TDBG_ERR_NOT_FOUND] = "not in this trace",
        [TDBG_ERR_NOT_STORED] = "value is not stored",
        [TDBG_ERR_IO] = "input/output error",
        [TDBG_ERR_NO_MEMORY] = "out of memory",
        [TDBG_ERR_FAILED] = "failed",
    };
    return result >= 0 && result < (int)(sizeof texts / sizeof *texts) ? texts[result]
                                                                       : "unknown result";
}

const char *tdbg_lib_version(void)
{
    static_assert(sizeof TDBG_LIB_VERSION == sizeof TDBG_VERSION, "one version");
    return TDBG_VERSION;
}

size_t tdbg_elem_bytes(enum tdbg_elem elem)
{
    return tdbg_lib_is_elem(elem) ? tdbg_dtype_bytes((enum tdbg_dtype)elem) : 0;
}

int tdbg_digest_of(const void *data, enum tdbg_elem elem, int64_t n_elems, uint64_t *digest)
{
    if (!tdbg_lib_is_elem(elem) || n_elems < 0 || (!data && n_elems > 0) || !digest)
        return TDBG_ERR_USAGE;
    *digest = tdbg_digest_fast(data, (enum tdbg_dtype)elem, n_elems);
    return TDBG_SUCCESS;
}
