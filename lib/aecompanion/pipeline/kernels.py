"""How a run speaks to its kernel, so that it does not wait for ever.

    ready = poll(∞)          becomes          repeat: ready = poll(5 s)

ZeroMQ tells a waiting event loop once that something came. Three runs under load hung with an idle kernel, one of which
answered a second client at once: most likely that one signal was lost, and the reply lay in the socket of papermill's
client. A poll that ends looks into the socket itself, so waiting in slices finds what lies there.

Kernels are spoken to over files of their own, since TCP ports are drawn before they are taken, and a kernel that starts
at the same moment may take one of them. Windows has ports only.
"""

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from queue import Empty
from typing import Any

from jupyter_client.asynchronous import AsyncKernelClient
from jupyter_client.channels import AsyncZMQSocketChannel
from traitlets import Type
from traitlets.config import Config

SLICE = 5.0  # seconds


class Channel(AsyncZMQSocketChannel):
    """A channel that waits in slices."""

    async def get_msg(self, timeout: float | None = None) -> dict[str, Any]:
        """The next message. Raises queue.Empty if none comes within `timeout` seconds; None: waits until one comes."""
        if timeout is not None:
            return await super().get_msg(timeout)
        while True:
            with contextlib.suppress(Empty):
                return await super().get_msg(SLICE)


class Client(AsyncKernelClient):
    """A client whose channels for replies and for outputs wait in slices."""

    shell_channel_class = Type(Channel)
    iopub_channel_class = Type(Channel)


@contextlib.contextmanager
def channels() -> Iterator[Config]:
    """The configuration of papermill's kernel manager, and the folder of its channels for as long as it runs."""
    if os.name == "nt":
        yield Config(KernelManager={"client_factory": Client})
        return
    with tempfile.TemporaryDirectory(prefix="kernel-") as folder:
        place = str(Path(folder) / "channel")
        yield Config(KernelManager={"client_factory": Client, "transport": "ipc", "ip": place})
