/* Streams and events of the emulated GPUs. See streams.h. */
#include "streams.h"

#include <stdint.h>
#include <unistd.h>

#include <deque>
#include <memory>
#include <set>

#include "device_memory.h"

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

} // namespace

struct tdbg_emulated_stream {
    std::shared_ptr<work> to;
};

/* A place in a stream. */
struct tdbg_emulated_event {
    std::shared_ptr<work> of; /* empty: was never recorded */
    uint64_t at;
    bool was_asked;
};

bool tdbg_emulated_stream_is_here(cudaStream_t stream)
{
    return stream && stream->to->device == tdbg_emulated_device();
}

void tdbg_emulated_put(cudaStream_t stream, tdbg_emulated_operation operation)
{
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
    *stream = new tdbg_emulated_stream{std::make_shared<work>()};
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
    finish(stream->to, stream->to->put);
    return cudaSuccess;
}

cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned)
{
    const guard only(tdbg_emulated_lock());
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
    event->of = stream->to;
    event->at = stream->to->put;
    return cudaSuccess;
}

/* Who asks the first time asks too soon. */
cudaError_t cudaEventQuery(cudaEvent_t event)
{
    const guard only(tdbg_emulated_lock());
    if (!event->of || event->of->done >= event->at)
        return cudaSuccess;
    event->was_asked = !event->was_asked;
    return !event->was_asked && advance(event->of.get(), event->at) ? cudaSuccess
                                                                    : cudaErrorNotReady;
}

cudaError_t cudaEventSynchronize(cudaEvent_t event)
{
    if (event->of)
        finish(event->of, event->at);
    return cudaSuccess;
}
