import multiprocessing

multiprocessing.set_start_method("spawn")


def double(name):
    return name * 2


def run(mini_batch):
    with multiprocessing.Pool(1) as pool:
        return pool.map(double, mini_batch)
