from modules import fifo_lock, shared

queue_lock = fifo_lock.FIFOLock()


def wrap_queued_call(func):
    def queued(*args, **kwargs):
        with queue_lock:
            return func(*args, **kwargs)

    return queued


def wrap_gradio_gpu_call(func, extra_outputs=None):
    """Without the statistics that the real one adds."""

    def queued(*args, **kwargs):
        with queue_lock:
            shared.state.begin(job=args[0])
            result = func(*args, **kwargs)
            shared.state.end()
        return result

    return queued
