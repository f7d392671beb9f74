"""Takes memory until it is killed. Only for a process that a memory cgroup confines."""


def run(mini_batch):
    hoard = []
    while True:
        hoard.append(b"x" * (16 << 20))  # written to, or the kernel would not count it
