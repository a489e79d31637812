/* Marks functions of headers that both cc and nvcc compile, so that kernels on a GPU can call
 * them. */
#ifndef TDBG_BASE_HOST_DEVICE_H
#define TDBG_BASE_HOST_DEVICE_H

#ifdef __CUDACC__
#define TDBG_HOST_DEVICE __host__ __device__
#else
#define TDBG_HOST_DEVICE
#endif

#endif
