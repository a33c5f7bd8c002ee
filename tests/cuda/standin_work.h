/* A part of `standin.c`: launches and copies, streams, events and graphs.

   What is put into a stream is done at once, or kept for a graph. */

struct function {
    char name[512];
    int parameters;
    size_t sizes[MOST_PARAMETERS];
    struct function *next;
};

struct node {
    struct function *function; /* of a launch, NULL for a copy */
    unsigned grid[3], block[3];
    void **arguments;
    Address target, source;
    size_t bytes;
    struct node *next;
};

struct graph {
    struct node *first, **last;
};

struct stream {
    struct context *context;
    struct graph *capturing;
};

static struct function *functions;
static long launches;
static int (*on_launch)(const char *, unsigned, unsigned, void **);

long standin_launches(void) { return launches; }
void standin_on_launch(int (*function)(const char *, unsigned, unsigned, void **)) { on_launch = function; }

/* The memory around an address: where it ends. */
Address standin_end(Address address) {
    pthread_mutex_lock(&lock);
    const struct block *found = block_of(address);
    pthread_mutex_unlock(&lock);
    return found ? (Address)found->start + found->bytes : 0;
}

static struct function *function_of(const char *name) {
    for (struct function *each = functions; each; each = each->next)
        if (!strcmp(each->name, name)) return each;
    return NULL;
}

/* A kernel, and how large its parameters are, which a real driver reads in the cubin. */
void standin_declare(const char *name, int parameters, const size_t *sizes) {
    struct function *made = function_of(name);
    if (!made) {
        made = calloc(1, sizeof *made);
        strncpy(made->name, name, sizeof made->name - 1);
        made->next = functions;
        functions = made;
    }
    made->parameters = parameters;
    memcpy(made->sizes, sizes, (size_t)parameters * sizeof *sizes);
}

static Result run(const struct node *node) {
    if (!node->function) {
        memmove((void *)node->target, (const void *)node->source, node->bytes);
        return SUCCESS;
    }
    launches++;
    const Result result = on_launch ? on_launch(node->function->name, node->grid[0], node->block[0], node->arguments) : SUCCESS;
    if (result) sticky = result;
    return SUCCESS; /* a fault is only seen later */
}

static void **copied(const struct function *function, void **arguments) {
    void **made = malloc((size_t)function->parameters * sizeof *made + 1);
    for (int i = 0; i < function->parameters; i++) {
        made[i] = malloc(function->sizes[i]);
        memcpy(made[i], arguments[i], function->sizes[i]);
    }
    return made;
}

static void append(struct graph *graph, struct node node) {
    struct node *made = malloc(sizeof *made);
    *made = node;
    if (node.function) made->arguments = copied(node.function, node.arguments);
    made->next = NULL;
    *graph->last = made;
    graph->last = &made->next;
}

static Result put(struct stream *stream, struct node node) {
    if (sticky) return sticky;
    if (!stream || !stream->capturing) return run(&node);
    append(stream->capturing, node);
    return SUCCESS;
}

static int is_inside(Address address, size_t bytes) {
    pthread_mutex_lock(&lock);
    const struct block *found = block_of(address);
    const int fits = found && address + bytes <= (Address)found->start + found->bytes;
    pthread_mutex_unlock(&lock);
    return fits;
}

static Result copy(Address target, Address source, size_t bytes, struct stream *stream, int to_device, int from_device) {
    if ((to_device && !is_inside(target, bytes)) || (from_device && !is_inside(source, bytes))) return INVALID_VALUE;
    return put(stream, (struct node){.target = target, .source = source, .bytes = bytes});
}

static Result copy_in(Address target, Address source, size_t bytes, struct stream *stream) {
    if (stream && stream->capturing) return CAPTURE_UNSUPPORTED; /* the memory may be gone when the graph runs */
    return copy(target, source, bytes, stream, 1, 0);
}

static Result copy_out(Address target, Address source, size_t bytes, struct stream *stream) {
    if (stream && stream->capturing) return CAPTURE_UNSUPPORTED;
    return copy(target, source, bytes, stream, 0, 1);
}

static Result copy_within(Address target, Address source, size_t bytes, struct stream *stream) {
    return copy(target, source, bytes, stream, 1, 1);
}

static Result launch(struct function *function, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz,
                     unsigned shared, struct stream *stream, void **arguments, void **extra) {
    if (!current) return INVALID_CONTEXT;
    if (!gx || !gy || !gz || !bx || bx * by * bz > MOST_THREADS) return INVALID_VALUE;
    return put(stream, (struct node){.function = function, .grid = {gx, gy, gz}, .block = {bx, by, bz}, .arguments = arguments});
}

struct launch_config {
    unsigned gx, gy, gz, bx, by, bz, shared;
    struct stream *stream;
    void *attributes;
    unsigned count;
};

static Result launch_ex(const struct launch_config *c, struct function *function, void **arguments, void **extra) {
    return launch(function, c->gx, c->gy, c->gz, c->bx, c->by, c->bz, c->shared, c->stream, arguments, extra);
}

/* Streams and events. */

struct event {
    struct timespec time;
};

static Result stream_create(struct stream **stream, unsigned flags) {
    if (!current) return INVALID_CONTEXT;
    *stream = calloc(1, sizeof **stream);
    (*stream)->context = current;
    return SUCCESS;
}

static Result stream_create_with_priority(struct stream **stream, unsigned flags, int priority) { return stream_create(stream, flags); }

static Result stream_get_ctx(struct stream *stream, struct context **context, void **green) {
    *context = stream && (Address)stream > 2 ? stream->context : current;
    if (green) *green = NULL;
    return SUCCESS;
}

static Result stream_priority_range(int *least, int *greatest) {
    if (least) *least = 0;
    if (greatest) *greatest = -5;
    return SUCCESS;
}

static Result stream_synchronize(struct stream *stream) { return stream && stream->capturing ? CAPTURE_UNSUPPORTED : sticky; }
static Result stream_wait_event(struct stream *stream, struct event *event, unsigned flags) { return sticky; }

static Result event_create(struct event **event, unsigned flags) {
    *event = calloc(1, sizeof **event);
    return SUCCESS;
}

static Result event_record(struct event *event, struct stream *stream) {
    clock_gettime(CLOCK_MONOTONIC, &event->time);
    return sticky;
}

static Result event_record_with_flags(struct event *event, struct stream *stream, unsigned flags) { return event_record(event, stream); }

static Result event_elapsed(float *milliseconds, const struct event *start, const struct event *end) {
    if (!start->time.tv_sec || !end->time.tv_sec) return INVALID_HANDLE;
    *milliseconds = (float)((double)(end->time.tv_sec - start->time.tv_sec) * 1e3 + (double)(end->time.tv_nsec - start->time.tv_nsec) * 1e-6);
    return SUCCESS;
}

static Result of_event(void *event) { return sticky; }
static Result nothing_to_do(void *thing) { return SUCCESS; }

/* Graphs. */

static Result graph_create(struct graph **graph, unsigned flags) {
    *graph = calloc(1, sizeof **graph);
    (*graph)->last = &(*graph)->first;
    return SUCCESS;
}

static Result begin_capture(struct stream *stream, int mode) { return graph_create(&stream->capturing, 0); }

static Result begin_capture_to_graph(struct stream *stream, struct graph *graph, void *nodes, void *data, size_t count, int mode) {
    stream->capturing = graph;
    return SUCCESS;
}

static Result is_capturing(struct stream *stream, int *status) {
    *status = stream && stream->capturing;
    return SUCCESS;
}

static Result capture_info(struct stream *stream, int *status, uint64_t *id, struct graph **graph, void **nodes, void **edges, size_t *count) {
    *status = stream && stream->capturing;
    if (id) *id = 1;
    if (graph) *graph = stream ? stream->capturing : NULL;
    if (count) *count = 0;
    return SUCCESS;
}

static Result end_capture(struct stream *stream, struct graph **graph) {
    *graph = stream->capturing;
    stream->capturing = NULL;
    return SUCCESS;
}

static void take_over(struct graph *executable, const struct graph *graph) {
    executable->first = NULL;
    executable->last = &executable->first;
    for (const struct node *each = graph->first; each; each = each->next) append(executable, *each);
}

static Result instantiate(struct graph **executable, const struct graph *graph, uint64_t flags) {
    *executable = calloc(1, sizeof **executable);
    take_over(*executable, graph);
    return SUCCESS;
}

static Result instantiate_with_params(struct graph **executable, const struct graph *graph, void *params) {
    *(int *)((char *)params + 24) = 0; /* CUDA_GRAPH_INSTANTIATE_SUCCESS */
    return instantiate(executable, graph, 0);
}

static Result exec_update(struct graph *executable, const struct graph *graph, int *info) {
    const struct node *a = executable->first, *b = graph->first;
    for (; a && b; a = a->next, b = b->next)
        if (!a->function != !b->function) break;
    info[0] = a || b ? 1 : 0;
    if (a || b) return 910; /* CUDA_ERROR_GRAPH_EXEC_UPDATE_FAILURE */
    take_over(executable, graph);
    return SUCCESS;
}

/* What a graph keeps alive: here for good. */
static Result user_object_create(void **object, void *kept, void *destroy, unsigned count, unsigned flags) {
    *object = kept;
    return SUCCESS;
}

static Result graph_launch(const struct graph *executable, struct stream *stream) {
    for (const struct node *each = executable->first; each; each = each->next) {
        const Result result = put(stream, *each);
        if (result) return result;
    }
    return SUCCESS;
}
