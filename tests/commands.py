"""Commands that several tests look at: each runs once."""

import atexit
import contextlib
import functools
import importlib
import io
import shutil
import tempfile
from pathlib import Path

SMOKE = ("--smoke", "--no-compilation-cache")


@functools.cache
def smoke_run(module, *argv):
    """Folder and output of a command, run at smoke size in a folder of its own."""
    folder = tempfile.mkdtemp(prefix="seqgraph-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    out = Path(folder) / "run"
    main = importlib.import_module(f"experiments.{module}").main
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        assert main([*argv, *SMOKE, "--out", str(out)]) == 0
    return out, printed.getvalue()
