import os
import threading
import traceback


def fail():
    try:
        {}["pixels"]
    except KeyError:
        traceback.print_exc()
        os._exit(7)


def run(mini_batch):
    thread = threading.Thread(target=fail)
    thread.start()
    thread.join()
