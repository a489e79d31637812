/* What a tap can do with a tensor: a thin layer over the backend's table. See tap.h. */
#include "engine/tap.h"

#include "engine/backend.h"

enum tdbg_status tdbg_handle_digest(const struct tdbg_handle *handle, uint64_t *digest,
                                    struct tdbg_stats *stats, struct tdbg_err *err)
{
    return handle->backend->digest(handle->backend->context, handle->data, handle->dtype,
                                   handle->elems, digest, stats, err);
}

bool tdbg_handle_can_digest_later(const struct tdbg_handle *handle)
{
    return handle->backend->digest_later != NULL;
}

enum tdbg_status tdbg_handle_digest_later(const struct tdbg_handle *handle, int32_t slot,
                                          struct tdbg_err *err)
{
    return handle->backend->digest_later(handle->backend->context, handle->data, handle->dtype,
                                         handle->elems, slot, err);
}

enum tdbg_status tdbg_backend_take_digests(const struct tdbg_backend *backend, int32_t n_slots,
                                           uint64_t *digests, struct tdbg_stats *stats,
                                           struct tdbg_err *err)
{
    return backend->digests_take(backend->context, n_slots, digests, stats, err);
}

void tdbg_backend_pin(const struct tdbg_backend *backend, void *host, size_t bytes)
{
    if (backend->pin)
        backend->pin(backend->context, host, bytes);
}

void tdbg_backend_unpin(const struct tdbg_backend *backend, void *host)
{
    if (backend->unpin)
        backend->unpin(backend->context, host);
}

enum tdbg_status tdbg_handle_copy_part(const struct tdbg_handle *handle, int64_t first, int64_t n,
                                       void *host, uint64_t *ticket, struct tdbg_err *err)
{
    const size_t elem_bytes = tdbg_dtype_bytes(handle->dtype);
    return handle->backend->to_queue(handle->backend->context, host,
                                     (const char *)handle->data + (size_t)first * elem_bytes,
                                     (size_t)n * elem_bytes, ticket, err);
}

enum tdbg_status tdbg_backend_copies_reached(const struct tdbg_backend *backend, uint64_t wait_for,
                                             uint64_t *reached, struct tdbg_err *err)
{
    return backend->queue_reached(backend->context, wait_for, reached, err);
}

enum tdbg_status tdbg_handle_copy(const struct tdbg_handle *handle, void *host,
                                  struct tdbg_err *err)
{
    return handle->backend->to_host(handle->backend->context, host, handle->data,
                                    (size_t)handle->elems * tdbg_dtype_bytes(handle->dtype), err);
}

enum tdbg_status tdbg_handle_write(const struct tdbg_handle *handle, const void *host,
                                   struct tdbg_err *err)
{
    return handle->backend->to_device(handle->backend->context, handle->data, host,
                                      (size_t)handle->elems * tdbg_dtype_bytes(handle->dtype), err);
}
