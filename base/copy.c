/* See copy.h. Streaming stores are part of every x86-64. */
#include "base/copy.h"

#include <stdint.h>
#include <string.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

enum { LINE = 64, WORTH_IT = 8192 }; /* a line of the cache; below that memcpy is as fast */

void tdbg_copy_away(void *to, const void *from, size_t n_bytes)
{
    unsigned char *t = to;
    const unsigned char *f = from;
#ifdef __SSE2__
    if (n_bytes >= WORTH_IT) {
        const size_t head = (LINE - (uintptr_t)t % LINE) % LINE;
        memcpy(t, f, head);
        t += head;
        f += head;
        n_bytes -= head;
        for (; n_bytes >= LINE; n_bytes -= LINE, t += LINE, f += LINE) {
            for (size_t i = 0; i < LINE; i += sizeof(__m128i))
                _mm_stream_si128((void *)(t + i), _mm_loadu_si128((const void *)(f + i)));
        }
        _mm_sfence();
    }
#endif
    memcpy(t, f, n_bytes);
}
