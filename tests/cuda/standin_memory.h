/* A part of `standin.c`: the memory of devices, and of the host. */

struct block {
    char *start;
    size_t bytes;
    int device;
    struct block *next;
};
static struct block *blocks;
static size_t in_use[MOST_DEVICES];
static uint64_t release_threshold;

static struct block *block_of(Address address) {
    for (struct block *each = blocks; each; each = each->next)
        if (address >= (Address)each->start && address < (Address)each->start + each->bytes) return each;
    return NULL;
}

static Result mem_alloc(Address *address, size_t bytes) {
    if (!current) return INVALID_CONTEXT;
    if (!bytes) return INVALID_VALUE;
    const size_t rounded = (bytes + 255) / 256 * 256;
    pthread_mutex_lock(&lock);
    Result result = OUT_OF_MEMORY;
    if (in_use[current->device] + rounded <= (size_t)setting("STANDIN_MEMORY", 1L << 30)) {
        struct block *made = malloc(sizeof *made);
        *made = (struct block){aligned_alloc(256, rounded), bytes, current->device, blocks};
        memset(made->start, 0xFF, rounded); /* nan: nobody may rely on what was there */
        blocks = made;
        in_use[current->device] += rounded;
        *address = (Address)made->start;
        result = SUCCESS;
    }
    pthread_mutex_unlock(&lock);
    return result;
}

static Result mem_free(Address address) {
    Result result = INVALID_VALUE;
    pthread_mutex_lock(&lock);
    for (struct block **at = &blocks; *at; at = &(*at)->next)
        if ((Address)(*at)->start == address) {
            struct block *gone = *at;
            *at = gone->next;
            in_use[gone->device] -= (gone->bytes + 255) / 256 * 256;
            free(gone->start);
            free(gone);
            result = SUCCESS;
            break;
        }
    pthread_mutex_unlock(&lock);
    return result;
}

static Result mem_alloc_async(Address *address, size_t bytes, void *stream) { return mem_alloc(address, bytes); }
static Result mem_alloc_from_pool(Address *address, size_t bytes, void *pool, void *stream) { return mem_alloc(address, bytes); }
static Result mem_free_async(Address address, void *stream) { return mem_free(address); }

static Result mem_alloc_host(void **memory, size_t bytes) {
    *memory = malloc(bytes);
    return *memory ? SUCCESS : OUT_OF_MEMORY;
}

static Result mem_host_alloc(void **memory, size_t bytes, unsigned flags) { return mem_alloc_host(memory, bytes); }

static Result mem_free_host(void *memory) {
    free(memory);
    return SUCCESS;
}

static Result mem_get_info(size_t *unused, size_t *total) {
    if (!current) return INVALID_CONTEXT;
    *total = (size_t)setting("STANDIN_MEMORY", 1L << 30);
    *unused = *total - in_use[current->device];
    return SUCCESS;
}

static Result pool_of_device(void **pool, int device) {
    *pool = &contexts[device];
    return SUCCESS;
}

static Result pool_of_place(void **pool, int *location, int type) { return pool_of_device(pool, location[1]); }

static Result pool_create(void **pool, void *properties) { return pool_of_device(pool, 0); }

static Result pool_get_attribute(void *pool, int attribute, uint64_t *value) {
    *value = attribute == 4 ? release_threshold : 0;
    return SUCCESS;
}

static Result pool_set_attribute(void *pool, int attribute, uint64_t *value) {
    if (attribute == 4) release_threshold = *value;
    return SUCCESS;
}

static Result pointer_get_attribute(uint64_t *value, int attribute, Address address) {
    if (attribute == 9) {
        *(int *)value = 0;  // the number of the device, which is no pointer
    } else {
        *value = 0;
    }
    return SUCCESS;
}
