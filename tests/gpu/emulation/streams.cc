/* Streams and events of the emulated GPUs, and what a stream captures. See streams.h and graphs.h.
 */
#include "streams.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <deque>
#include <memory>
#include <set>
#include <thread>

#include "device_memory.h"
#include "graphs.h"

namespace
{

typedef std::lock_guard<std::recursive_mutex> guard;

struct work {
    int device;
    uint64_t put, done; /* operations so far */
    std::deque<tdbg_emulated_operation> left;
};

std::set<work *> all_work;

/* Goes on until `upto` operations are done; false: one waits. Memory is open for all of them at
 * once: opening and closing it for each takes longer than many of them do. */
bool advance(work *w, uint64_t upto)
{
    if (w->done >= upto)
        return true;
    tdbg_emulated_memory_open(true);
    while (w->done < upto && w->left.front()()) {
        w->left.pop_front();
        w->done++;
    }
    tdbg_emulated_memory_open(false);
    return w->done >= upto;
}

/* The same for as long as it takes, while other threads go on. */
void finish(const std::shared_ptr<work> &w, uint64_t upto)
{
    for (;;) {
        {
            const guard only(tdbg_emulated_lock());
            if (advance(w.get(), upto))
                return;
        }
        usleep(50);
    }
}

/* What a stream records instead of doing it. */
struct capture {
    cudaGraph_t graph;
    enum cudaStreamCaptureMode mode;
    std::thread::id by;
    bool is_broken;
};

std::set<capture *> all_captures;

void write_counts()
{
    const struct tdbg_emulated_counts &c = tdbg_emulated_counts();
    FILE *f = fopen(getenv("TDBG_EMULATED_GPU_COUNTS"), "a");
    if (!f)
        return;
    fprintf(f,
            "{\"alone\": %lld, \"in_graphs\": %lld, \"graphs\": %lld, \"built\": %lld, "
            "\"changed\": %lld, \"allocated\": %lld}\n",
            c.alone, c.in_graphs, c.graphs, c.built, c.changed, c.allocated);
    fclose(f);
}

} // namespace

struct tdbg_emulated_stream {
    std::shared_ptr<work> to;
    std::unique_ptr<capture> records; /* empty: it does what it is given */
};

/* A place in a stream. */
struct tdbg_emulated_event {
    std::shared_ptr<work> of; /* empty: was never recorded */
    uint64_t at;
    bool was_asked;
    capture *in; /* was recorded in this one; or NULL */
};

struct tdbg_emulated_counts &tdbg_emulated_counts()
{
    static struct tdbg_emulated_counts counts;
    static const bool is_told = getenv("TDBG_EMULATED_GPU_COUNTS") && atexit(write_counts) == 0;
    (void)is_told;
    return counts;
}

bool tdbg_emulated_breaks_capture(cudaStream_t stream)
{
    const guard only(tdbg_emulated_lock());
    if (!stream || !stream->records)
        return false;
    stream->records->is_broken = true;
    return true;
}

bool tdbg_emulated_breaks_captures_of_thread()
{
    const guard only(tdbg_emulated_lock());
    bool any = false;
    for (capture *c : all_captures) {
        const bool is_own = c->by == std::this_thread::get_id();
        if (c->mode == cudaStreamCaptureModeGlobal ||
            (c->mode == cudaStreamCaptureModeThreadLocal && is_own))
            any = c->is_broken = true;
    }
    return any;
}

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, enum cudaStreamCaptureMode mode)
{
    const guard only(tdbg_emulated_lock());
    if (tdbg_emulated_fails("cudaStreamBeginCapture"))
        return cudaErrorUnknown;
    if (!stream || stream->records)
        return cudaErrorInvalidValue;
    cudaGraph_t graph;
    cudaGraphCreate(&graph, 0);
    stream->records.reset(new capture{graph, mode, std::this_thread::get_id(), false});
    all_captures.insert(stream->records.get());
    return cudaSuccess;
}

cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t *graph)
{
    const guard only(tdbg_emulated_lock());
    *graph = NULL;
    if (!stream || !stream->records)
        return cudaErrorStreamCaptureUnmatched;
    if (stream->records->mode != cudaStreamCaptureModeRelaxed &&
        stream->records->by != std::this_thread::get_id())
        return cudaErrorStreamCaptureWrongThread;
    const std::unique_ptr<capture> ended = std::move(stream->records);
    all_captures.erase(ended.get());
    const bool fails = tdbg_emulated_fails("cudaStreamEndCapture");
    if (ended->is_broken || fails) {
        cudaGraphDestroy(ended->graph);
        return fails ? cudaErrorUnknown : cudaErrorStreamCaptureInvalidated;
    }
    *graph = ended->graph;
    return cudaSuccess;
}

bool tdbg_emulated_stream_is_here(cudaStream_t stream)
{
    return stream && stream->to->device == tdbg_emulated_device();
}

void tdbg_emulated_put(cudaStream_t stream, tdbg_emulated_operation operation, bool is_work)
{
    if (stream->records) {
        tdbg_emulated_append(stream->records->graph, std::move(operation));
        return;
    }
    tdbg_emulated_counts().alone += is_work;
    stream->to->left.push_back(std::move(operation));
    stream->to->put++;
}

void tdbg_emulated_wait_for_device(int device)
{
    for (;;) {
        bool done = true;
        {
            const guard only(tdbg_emulated_lock());
            for (work *w : all_work)
                done &= w->device != device || advance(w, w->put);
        }
        if (done)
            return;
        usleep(50);
    }
}

cudaError_t cudaStreamCreate(cudaStream_t *stream)
{
    const guard only(tdbg_emulated_lock());
    *stream = new tdbg_emulated_stream{std::make_shared<work>(), {}};
    (*stream)->to->device = tdbg_emulated_device();
    all_work.insert((*stream)->to.get());
    return cudaSuccess;
}

/* What was put on it is done all the same. */
cudaError_t cudaStreamDestroy(cudaStream_t stream)
{
    finish(stream->to, stream->to->put);
    const guard only(tdbg_emulated_lock());
    all_work.erase(stream->to.get());
    delete stream;
    return cudaSuccess;
}

cudaError_t cudaStreamSynchronize(cudaStream_t stream)
{
    if (tdbg_emulated_breaks_capture(stream))
        return cudaErrorStreamCaptureUnsupported;
    finish(stream->to, stream->to->put);
    return cudaSuccess;
}

cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned)
{
    const guard only(tdbg_emulated_lock());
    if (stream->records ? event->in != stream->records.get() : event->in != NULL)
        return tdbg_emulated_breaks_capture(stream) ? cudaErrorStreamCaptureIsolation
                                                    : cudaErrorStreamCaptureUnsupported;
    if (event->in)
        return cudaSuccess; /* what is behind it comes later anyway */
    const std::shared_ptr<work> of = event->of;
    const uint64_t at = event->at;
    if (of && of != stream->to)
        tdbg_emulated_put(stream, [of, at]() { return advance(of.get(), at); });
    return cudaSuccess;
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t *event, unsigned)
{
    *event = new tdbg_emulated_event{};
    return cudaSuccess;
}

cudaError_t cudaEventDestroy(cudaEvent_t event)
{
    delete event;
    return cudaSuccess;
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream)
{
    const guard only(tdbg_emulated_lock());
    event->in = stream->records.get();
    event->of = stream->to;
    event->at = stream->to->put;
    return cudaSuccess;
}

/* Who asks the first time asks too soon. */
cudaError_t cudaEventQuery(cudaEvent_t event)
{
    const guard only(tdbg_emulated_lock());
    if (event->in)
        return cudaErrorCapturedEvent;
    if (tdbg_emulated_breaks_captures_of_thread())
        return cudaErrorStreamCaptureUnsupported;
    if (!event->of || event->of->done >= event->at)
        return cudaSuccess;
    event->was_asked = !event->was_asked;
    return !event->was_asked && advance(event->of.get(), event->at) ? cudaSuccess
                                                                    : cudaErrorNotReady;
}

cudaError_t cudaEventSynchronize(cudaEvent_t event)
{
    if (event->in)
        return cudaErrorCapturedEvent;
    if (tdbg_emulated_breaks_captures_of_thread())
        return cudaErrorStreamCaptureUnsupported;
    if (event->of)
        finish(event->of, event->at);
    return cudaSuccess;
}
