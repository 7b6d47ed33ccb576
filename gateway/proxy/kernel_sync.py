"""Have the kernel sync a file in the background, and say when it is done: the interface for asynchronous I/O of Linux.

A thread that syncs costs the event loop more than the sync: for each group of records it takes the interpreter's lock
several times, and the loop has to wait and to be woken each time.
"""

import ctypes
import errno
import os
import platform
import struct
import sys
from typing import Final

# Of the calls io_setup, io_destroy, io_getevents and io_submit.
_NUMBERS: Final = {"x86_64": (206, 207, 208, 209), "aarch64": (0, 1, 4, 2)}
# `struct iocb`: data, key, flags for reads and writes, operation, priority, file; buffer, size, offset, nothing; flags,
# and the descriptor that becomes readable.
_REQUEST: Final = struct.Struct("<QIIHhIQQqQII")
_OF_DATA = 3  # IOCB_CMD_FDSYNC
_TELLS = 1  # IOCB_FLAG_RESFD
# `struct io_event`: data, request, result, second result.
_EVENT: Final = struct.Struct("<QQqq")


class KernelSync:
    """Syncs one file at a time. `descriptor` becomes readable when it is done; then call `finish`."""

    def __init__(self) -> None:
        """Raises OSError if this system has no such interface, or none left."""
        numbers = _NUMBERS.get(platform.machine()) if sys.platform == "linux" else None
        if numbers is None:
            raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
        setup, self._destroy, self._get_events, self._submit = map(ctypes.c_long, numbers)
        self._call = ctypes.CDLL(None, use_errno=True).syscall
        self._call.restype = ctypes.c_long
        self._context = ctypes.c_ulong(0)
        self._ask(setup, ctypes.c_long(1), ctypes.byref(self._context))
        self.descriptor = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        # Kept, because the kernel reads and writes them.
        self._request = ctypes.create_string_buffer(_REQUEST.size)
        self._requests = ctypes.pointer(ctypes.c_void_p(ctypes.addressof(self._request)))
        self._event = ctypes.create_string_buffer(_EVENT.size)
        self._one, self._zero = ctypes.c_long(1), ctypes.c_long(0)

    def begin(self, file: int) -> None:
        """Begin to sync the data and the size of a file, by its descriptor. Raises OSError if the kernel cannot."""
        _REQUEST.pack_into(self._request, 0, 0, 0, 0, _OF_DATA, 0, file, 0, 0, 0, 0, _TELLS, self.descriptor)
        self._ask(self._submit, self._context, self._one, self._requests)

    def finish(self) -> None:
        """Take the result. Raises OSError if the sync failed, and BlockingIOError if it is not done yet."""
        os.eventfd_read(self.descriptor)
        self._ask(self._get_events, self._context, self._one, self._one, self._event, None)
        result = _EVENT.unpack(self._event)[2]
        if result < 0:
            raise OSError(-result, os.strerror(-result))

    def close(self) -> None:
        """Wait for what has begun, and give everything back."""
        self._call(self._destroy, self._context)
        os.close(self.descriptor)

    def _ask(self, *arguments: object) -> None:
        if self._call(*arguments) < 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))


def kernel_sync() -> KernelSync | None:
    """The kernel's own syncs; None if it has none."""
    try:
        return KernelSync()
    except OSError:
        return None
