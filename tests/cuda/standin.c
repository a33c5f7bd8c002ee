/* A stand-in for libcuda.so.1, for tests of what calls the driver, on machines without a GPU.

   Memory of the host plays that of the devices. Work is done when it is put into a stream. A launch hands the name of the kernel, its grid
   and the addresses of its arguments to a function that the tests give (`standin_on_launch`), which computes on the same memory. Of
   errors there are those that a program can cause: memory that is full, addresses that belong to nobody, blocks that are too large, and what
   the function of the tests returns, which stays, as a fault of a kernel does.

   Environment: STANDIN_DEVICES (2) devices with STANDIN_MEMORY (1 GiB) bytes each, of compute capability STANDIN_CC (90).

   A function that is not here returns CUDA_ERROR_NOT_SUPPORTED. */

#define _GNU_SOURCE
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { SUCCESS = 0, INVALID_VALUE = 1, OUT_OF_MEMORY = 2, NO_DEVICE = 100, INVALID_DEVICE = 101, INVALID_CONTEXT = 201, INVALID_HANDLE = 400,
       NOT_FOUND = 500, ILLEGAL_ADDRESS = 700, CAPTURE_UNSUPPORTED = 900, NOT_SUPPORTED = 801 };
enum { MOST_DEVICES = 16, MOST_PARAMETERS = 512, MOST_THREADS = 1024 };

typedef int Result;
typedef uint64_t Address;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static Result sticky; /* what a kernel did wrong */

static long setting(const char *name, long otherwise) {
    const char *text = getenv(name);
    return text && *text ? atol(text) : otherwise;
}

/* Devices and contexts: each device has one, and a thread has a current one. */

struct context {
    int device;
};
static struct context contexts[MOST_DEVICES];
static __thread struct context *current;

static Result init(unsigned flags) { return setting("STANDIN_DEVICES", 2) > 0 ? SUCCESS : NO_DEVICE; }

static Result driver_get_version(int *version) {
    *version = (int)setting("STANDIN_VERSION", 13000);
    return SUCCESS;
}

static Result device_get_count(int *count) {
    *count = (int)setting("STANDIN_DEVICES", 2);
    return SUCCESS;
}

static Result device_get(int *device, int ordinal) {
    if (ordinal < 0 || ordinal >= setting("STANDIN_DEVICES", 2)) return INVALID_DEVICE;
    contexts[ordinal].device = *device = ordinal;
    return SUCCESS;
}

static Result device_get_name(char *name, int length, int device) {
    snprintf(name, (size_t)length, "Stand-in %d", device);
    return SUCCESS;
}

static Result device_get_attribute(int *value, int attribute, int device) {
    const int cc = (int)setting("STANDIN_CC", 90);
    switch (attribute) {
    case 1: case 2: case 3: *value = MOST_THREADS; break; /* threads of a block */
    case 4: *value = 64; break;
    case 5: *value = 2147483647; break; /* blocks of a grid */
    case 6: case 7: *value = 65535; break;
    case 8: *value = 49152; break; /* shared memory */
    case 10: *value = 32; break;   /* a warp */
    case 16: *value = 4; break;    /* multiprocessors */
    case 39: *value = 2048; break; /* threads of a multiprocessor */
    case 75: *value = cc / 10; break;
    case 76: *value = cc % 10; break;
    default: *value = 1;
    }
    return SUCCESS;
}

static Result device_total_mem(size_t *bytes, int device) {
    *bytes = (size_t)setting("STANDIN_MEMORY", 1L << 30);
    return SUCCESS;
}

static Result device_get_uuid(char *uuid, int device) {
    memset(uuid, device, 16);
    return SUCCESS;
}

static Result primary_retain(struct context **context, int device) {
    contexts[device].device = device;
    *context = &contexts[device];
    return SUCCESS;
}

static Result ctx_get_current(struct context **context) {
    *context = current;
    return SUCCESS;
}

static Result ctx_set_current(struct context *context) {
    current = context;
    return SUCCESS;
}

static Result ctx_push(struct context *context) { return ctx_set_current(context); }

static Result ctx_pop(struct context **context) {
    if (context) *context = current;
    return SUCCESS;
}

static Result ctx_get_device(int *device) {
    if (!current) return INVALID_CONTEXT;
    *device = current->device;
    return SUCCESS;
}

static Result ctx_synchronize(void) { return sticky; }

#include "standin_memory.h"

#include "standin_work.h"

/* Code. */

static Result library_load(void **library, const void *image, void *a, void *b, unsigned n, void *c, void *d, unsigned k) {
    if (memcmp(image, "\177ELF", 4)) return 200; /* CUDA_ERROR_INVALID_IMAGE */
    *library = strdup("library");
    return SUCCESS;
}

static Result library_get_kernel(struct function **kernel, void *library, const char *name) {
    *kernel = function_of(name);
    return *kernel ? SUCCESS : NOT_FOUND;
}

static Result kernel_get_function(struct function **function, struct function *kernel) {
    *function = kernel;
    return SUCCESS;
}

static Result library_get_module(void **module, void *library) {
    *module = library;
    return SUCCESS;
}

static Result function_attribute(int *value, int attribute, struct function *function) {
    *value = attribute == 0 ? MOST_THREADS : 32;
    return SUCCESS;
}

static Result kernel_attribute(int *value, int attribute, struct function *kernel, int device) {
    return function_attribute(value, attribute, kernel);
}

static Result error_name(int error, const char **text) {
    switch (error) {
    case INVALID_VALUE: *text = "CUDA_ERROR_INVALID_VALUE"; break;
    case OUT_OF_MEMORY: *text = "CUDA_ERROR_OUT_OF_MEMORY"; break;
    case ILLEGAL_ADDRESS: *text = "CUDA_ERROR_ILLEGAL_ADDRESS"; break;
    case CAPTURE_UNSUPPORTED: *text = "CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED"; break;
    default: *text = "CUDA_ERROR";
    }
    return SUCCESS;
}

static Result not_supported(void) { return NOT_SUPPORTED; }

static const struct {
    const char *name;
    void *function;
} known[] = {
    {"cuInit", init},
    {"cuDriverGetVersion", driver_get_version},
    {"cuDeviceGetCount", device_get_count},
    {"cuDeviceGet", device_get},
    {"cuDeviceGetName", device_get_name},
    {"cuDeviceGetAttribute", device_get_attribute},
    {"cuDeviceTotalMem", device_total_mem},
    {"cuDeviceGetUuid", device_get_uuid},
    {"cuDevicePrimaryCtxRetain", primary_retain},
    {"cuDevicePrimaryCtxRelease", nothing_to_do},
    {"cuCtxGetCurrent", ctx_get_current},
    {"cuCtxSetCurrent", ctx_set_current},
    {"cuCtxPushCurrent", ctx_push},
    {"cuCtxPopCurrent", ctx_pop},
    {"cuCtxGetDevice", ctx_get_device},
    {"cuCtxSynchronize", ctx_synchronize},
    {"cuCtxGetStreamPriorityRange", stream_priority_range},
    {"cuMemAlloc", mem_alloc},
    {"cuMemAllocAsync", mem_alloc_async},
    {"cuMemAllocFromPoolAsync", mem_alloc_from_pool},
    {"cuMemFree", mem_free},
    {"cuMemFreeAsync", mem_free_async},
    {"cuMemAllocHost", mem_alloc_host},
    {"cuMemHostAlloc", mem_host_alloc},
    {"cuMemFreeHost", mem_free_host},
    {"cuMemGetInfo", mem_get_info},
    {"cuDeviceGetDefaultMemPool", pool_of_device},
    {"cuDeviceGetMemPool", pool_of_device},
    {"cuMemGetMemPool", pool_of_place},
    {"cuMemGetDefaultMemPool", pool_of_place},
    {"cuMemPoolCreate", pool_create},
    {"cuMemPoolDestroy", nothing_to_do},
    {"cuMemPoolTrimTo", nothing_to_do},
    {"cuMemPoolGetAttribute", pool_get_attribute},
    {"cuMemPoolSetAttribute", pool_set_attribute},
    {"cuPointerGetAttribute", pointer_get_attribute},
    {"cuMemcpyHtoDAsync", copy_in},
    {"cuMemcpyDtoHAsync", copy_out},
    {"cuMemcpyDtoDAsync", copy_within},
    {"cuMemcpyAsync", copy_within},
    {"cuStreamCreate", stream_create},
    {"cuStreamCreateWithPriority", stream_create_with_priority},
    {"cuStreamDestroy", nothing_to_do},
    {"cuStreamGetCtx", stream_get_ctx},
    {"cuStreamSynchronize", stream_synchronize},
    {"cuStreamQuery", stream_synchronize},
    {"cuStreamWaitEvent", stream_wait_event},
    {"cuEventCreate", event_create},
    {"cuEventDestroy", nothing_to_do},
    {"cuEventRecord", event_record},
    {"cuEventRecordWithFlags", event_record_with_flags},
    {"cuEventQuery", of_event},
    {"cuEventSynchronize", of_event},
    {"cuEventElapsedTime", event_elapsed},
    {"cuStreamBeginCapture", begin_capture},
    {"cuStreamBeginCaptureToGraph", begin_capture_to_graph},
    {"cuStreamIsCapturing", is_capturing},
    {"cuStreamGetCaptureInfo", capture_info},
    {"cuStreamEndCapture", end_capture},
    {"cuGraphCreate", graph_create},
    {"cuGraphDestroy", nothing_to_do},
    {"cuGraphExecDestroy", nothing_to_do},
    {"cuGraphInstantiate", instantiate},
    {"cuGraphInstantiateWithFlags", instantiate},
    {"cuGraphInstantiateWithParams", instantiate_with_params},
    {"cuGraphExecUpdate", exec_update},
    {"cuGraphLaunch", graph_launch},
    {"cuUserObjectCreate", user_object_create},
    {"cuUserObjectRelease", nothing_to_do},
    {"cuGraphRetainUserObject", nothing_to_do},
    {"cuGraphReleaseUserObject", nothing_to_do},
    {"cuLibraryLoadData", library_load},
    {"cuLibraryUnload", nothing_to_do},
    {"cuLibraryGetKernel", library_get_kernel},
    {"cuLibraryGetModule", library_get_module},
    {"cuKernelGetFunction", kernel_get_function},
    {"cuFuncGetAttribute", function_attribute},
    {"cuKernelGetAttribute", kernel_attribute},
    {"cuLaunchKernel", launch},
    {"cuLaunchKernelEx", launch_ex},
    {"cuGetErrorName", error_name},
    {"cuGetErrorString", error_name},
};

Result cuGetProcAddress_v2(const char *name, void **function, int version, uint64_t flags, int *status) {
    if (status) *status = 0;
    *function = strncmp(name, "cuGetProcAddress", 16) ? (void *)not_supported : (void *)cuGetProcAddress_v2;
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (!strcmp(known[i].name, name)) *function = known[i].function;
    return SUCCESS;
}

Result cuGetProcAddress(const char *name, void **function, int version, uint64_t flags) {
    return cuGetProcAddress_v2(name, function, version, flags, NULL);
}

Result cuInit(unsigned flags) { return init(flags); }
Result cuDriverGetVersion(int *version) { return driver_get_version(version); }
