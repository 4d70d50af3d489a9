"""Pictures; the only place that imports matplotlib."""

import contextlib
import os
import sys

import lazy_loader

if "matplotlib" not in sys.modules:
    # A backend that is not there would end the import, and pictures need none.
    _backend = os.environ.pop("MPLBACKEND", "")
    import matplotlib

    if _backend:
        os.environ["MPLBACKEND"] = _backend
        with contextlib.suppress(ValueError):
            matplotlib.rcParams["backend"] = _backend

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
