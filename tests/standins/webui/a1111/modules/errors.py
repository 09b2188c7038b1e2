from modules.standin import seen


def report(message, *, exc_info=False):
    import sys

    error = sys.exc_info()[1]
    if error is not None:
        seen.reported.append(error)


def display(e, task, *, full_traceback=False):
    seen.reported.append(e)
