"""Runs a script under `accelerate launch` with FSDP2 on the CPU, for tests: `accelerate launch ... fsdp_on_cpu.py SCRIPT ARGUMENTS`.

accelerate shards with FSDP only where its state says that several GPUs (or the like) take part; with `use_cpu` it falls back to
DDP and says nothing. Here its state is told that two gloo processes are such devices; everything after that is accelerate's,
transformers' and TRL's own code, as on a cluster.
"""

from __future__ import annotations

import os
import runpy
import sys

from accelerate import PartialState
from accelerate.utils import DistributedType


def take_cpus_for_devices() -> None:
    """Has accelerate choose FSDP for CPU processes that were launched with an FSDP config."""
    start = PartialState.__init__

    def start_on_cpu(self, cpu: bool = False, **kwargs) -> None:
        start(self, cpu=True, **kwargs)
        if self.distributed_type == DistributedType.MULTI_CPU:
            self.distributed_type = DistributedType.MULTI_GPU

    PartialState.__init__ = start_on_cpu


if __name__ == "__main__":
    if os.environ.get("ACCELERATE_USE_FSDP") != "true":
        raise SystemExit("fsdp_on_cpu.py: start it with `accelerate launch` and a config whose distributed_type is FSDP")
    take_cpus_for_devices()
    sys.argv = sys.argv[1:]
    runpy.run_path(sys.argv[0], run_name="__main__")
