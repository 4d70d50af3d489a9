"""Recurrent and graph networks in JAX and Flax, trained for many random seeds as one
compiled program.

Axis letters, everywhere: S seeds, K evaluations, B batch, T time, F input features,
H hidden features, V vocabulary, N nodes, E edges, A attention heads.

The public names stand in ``__init__.pyi``; what one needs is imported when it is used,
so that ``import seqgraph_jax`` takes no time.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
