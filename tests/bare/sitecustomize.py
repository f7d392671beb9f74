"""A platform without what only Linux has: each Python process that finds this folder on its PYTHONPATH is on it.

Hidden are /proc (but from psutil, which reads it as it reads other systems' tables), prctl() and mallopt(), and the
functions and constants of os, signal, socket and fcntl that macOS lacks. `LONGSHORE_TEST_PLATFORM=bare pytest
tests/engine` starts every process of a run so. The tests' own process sees all there is: they look for what is left.
"""

import ctypes
import errno
import fcntl
import os
import signal
import socket
import sys

HIDDEN = {
    os: (
        "O_PATH O_TMPFILE fdatasync memfd_create eventfd pidfd_open posix_fallocate posix_fadvise sched_getaffinity "
        "sched_setaffinity splice copy_file_range getxattr setxattr listxattr removexattr waitid pipe2 setresuid "
        "accept4 unshare setns getrandom"
    ),
    signal: "sigtimedwait sigwaitinfo pidfd_send_signal SIGRTMIN SIGRTMAX SIGPWR SIGSTKFLT SIGPOLL",
    socket: "SO_PEERCRED SO_PASSCRED SOCK_CLOEXEC SOCK_NONBLOCK AF_NETLINK AF_VSOCK TCP_USER_TIMEOUT",
    fcntl: (
        "F_OFD_GETLK F_OFD_SETLK F_OFD_SETLKW F_SETSIG F_GETSIG F_NOTIFY F_SETLEASE F_GETLEASE F_SETPIPE_SZ "
        "F_GETPIPE_SZ F_ADD_SEALS F_GET_SEALS"
    ),
}
C_FUNCTIONS = ("prctl", "mallopt")
FOLDER = "/proc"


def _is_hidden(path):
    if isinstance(path, bytes):
        path = os.fsdecode(path)
    if not isinstance(path, str) or not (path == FOLDER or path.startswith(FOLDER + "/")):
        return False
    frame = sys._getframe(2)
    while frame is not None:
        if frame.f_globals.get("__name__", "").split(".")[0] == "psutil":
            return False
        frame = frame.f_back
    return True


def _absent(path):
    return FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)


def _audit(event, arguments):
    if event in ("open", "os.listdir", "os.scandir") and _is_hidden(arguments[0]):
        raise _absent(arguments[0])


def _hide_from(function):
    def hiding(path, *arguments, **options):
        if _is_hidden(path):
            raise _absent(path)
        return function(path, *arguments, **options)

    for supporting in (os.supports_dir_fd, os.supports_fd, os.supports_follow_symlinks):
        if function in supporting:
            supporting.add(hiding)
    return hiding


class _Library(ctypes.CDLL):
    def __getattr__(self, name):
        if name in C_FUNCTIONS:
            raise AttributeError(name)
        return super().__getattr__(name)


def hide():
    """Hide all of it from this process."""
    for module, names in HIDDEN.items():
        for name in names.split():
            if hasattr(module, name):
                delattr(module, name)
    os.stat, os.lstat, os.readlink, os.access = map(_hide_from, (os.stat, os.lstat, os.readlink, os.access))
    ctypes.CDLL = _Library
    if "BARE_WITHOUT_PSUTIL" in os.environ:  # as a user's interpreter may be
        sys.modules["psutil"] = None
    sys.addaudithook(_audit)


hide()
