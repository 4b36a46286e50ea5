"""A real notebook kernel, driven as a notebook drives it."""

from __future__ import annotations

import json
import time
from typing import Any

from jupyter_client import BlockingKernelClient, KernelManager


class Kernel:
    """A kernel that runs cells; leave the ``with`` block and it is gone."""

    def __enter__(self) -> Kernel:
        self.manager = KernelManager()
        self.manager.start_kernel()
        self.client: BlockingKernelClient = self.manager.client()
        self.client.start_channels()
        self.client.wait_for_ready(timeout=60)
        return self

    def __exit__(self, *_error: object) -> None:
        self.client.stop_channels()
        self.manager.shutdown_kernel(now=True)

    def run(self, cell: str, *, within: float = 60.0) -> str:
        """Run a cell and return what it printed; fail with its traceback where it raised."""
        message = self.client.execute(cell)
        printed, deadline = "", time.monotonic() + within
        while True:
            answer = self.client.get_iopub_msg(timeout=max(0.01, deadline - time.monotonic()))
            if answer["parent_header"].get("msg_id") != message:
                continue
            kind, content = answer["msg_type"], answer["content"]
            if kind == "stream":
                printed += content["text"]
            elif kind == "error":
                raise AssertionError("\n".join(content["traceback"]))
            elif kind == "status" and content["execution_state"] == "idle":
                return printed

    def value(self, expression: str) -> Any:
        """Return the value of an expression that JSON can hold."""
        return json.loads(self.run(f"import json; print(json.dumps({expression}))"))

    def kill(self) -> None:
        """End it with SIGKILL, as the system does when memory runs out."""
        self.manager.provisioner.process.kill()
        self.manager.provisioner.process.wait(10)
