import threading


def init():
    threading.Thread(target=threading.Event().wait, name="heartbeat").start()


def run(mini_batch):
    return mini_batch
