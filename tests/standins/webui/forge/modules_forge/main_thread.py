import threading
import time

lock = threading.Lock()
last_id = 0
waiting_list = []
finished_list = []
last_exception = None
_stopped = threading.Event()


class Task:
    def __init__(self, task_id, func, args, kwargs):
        self.task_id = task_id
        self.func = func
        self.args = args
        self.kwargs = kwargs
        self.result = None
        self.exception = None

    def work(self):
        global last_exception  # noqa: PLW0603
        try:
            self.result = self.func(*self.args, **self.kwargs)
        except Exception as error:  # whoever waits for the result gets None
            self.exception = last_exception = error


def loop():
    while not _stopped.is_set():
        time.sleep(0.001)
        if waiting_list:
            with lock:
                task = waiting_list.pop(0)
            task.work()
            with lock:
                finished_list.append(task)


def async_run(func, *args, **kwargs):
    global last_id  # noqa: PLW0603
    with lock:
        last_id += 1
        waiting_list.append(Task(last_id, func, args, kwargs))
        return last_id


def run_and_wait_result(func, *args, **kwargs):
    current = async_run(func, *args, **kwargs)
    while True:
        time.sleep(0.001)
        for task in finished_list.copy():
            if task.task_id == current:
                with lock:
                    finished_list.remove(task)
                return task.result
