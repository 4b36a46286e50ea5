"""The environment of a process that runs model code: what training needs, and nothing else."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

import tb_widgets

# Model code may be anybody's, so a variable has to be known to be let through: a token can have any name.
_PASSED = re.compile(
    r"PATH|HOME|USER|LOGNAME|SHELL|LANG|LANGUAGE|LC_\w+|TZ|TMPDIR|TEMP|TMP|XDG_(CACHE|CONFIG|DATA)_HOME"
    r"|PYTHON\w+|VIRTUAL_ENV|CONDA_PREFIX|LD_LIBRARY_PATH|LD_PRELOAD|DYLD_\w+|MALLOC_\w+"
    r"|TB_(CACHE|CONFIG|RUNS)_DIR|TB_CACHE_LIMIT"
    # numeric libraries and accelerators
    r"|(OMP|MKL|OPENBLAS|BLIS|VECLIB|NUMEXPR|KMP|GOMP|ONEDNN|DNNL|TORCH|TORCHINDUCTOR|TRITON|PYTORCH)_\w+"
    r"|(CUDA|CUDNN|CUBLAS|NVIDIA|NCCL|GLOO|HIP|ROCM|ROCR|HSA|MIOPEN|XLA|PJRT)_\w+"
    # torchrun
    r"|RANK|WORLD_SIZE|LOCAL_RANK|LOCAL_WORLD_SIZE|GROUP_RANK|MASTER_ADDR|MASTER_PORT"
)
_WITH_PASSWORD = re.compile(r"://[^/\s:@]+:[^/\s@]+@")  # scheme://user:password@host


def worker_environment(environment: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the variables that a process with model code may know: an allow-list of names.

    A value that holds an address with a password is left out whatever its name.

    >>> worker_environment({"PATH": "/bin", "MY_TOKEN": "x", "OMP_NUM_THREADS": "2", "TB_RUNS_DIR": "s3://me:pw@host"})
    {'PATH': '/bin', 'OMP_NUM_THREADS': '2'}
    """
    source = os.environ if environment is None else environment
    kept = {
        name: value for name, value in source.items() if _PASSED.fullmatch(name) and not _WITH_PASSWORD.search(value)
    }
    if not Path(tb_widgets.__file__).is_file():
        # Imported from a zip that a notebook put on its own path: a new process must be told where it lies.
        home = str(Path(tb_widgets.__path__[0]).parent.absolute())
        kept["PYTHONPATH"] = os.pathsep.join(filter(None, (home, kept.get("PYTHONPATH"))))
    return kept
