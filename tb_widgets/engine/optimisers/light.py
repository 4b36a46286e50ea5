"""An AdamW whose first use does not import PyTorch's compiler."""

from __future__ import annotations

from inspect import unwrap

import torch

_WRAPPED = ("add_param_group", "zero_grad", "state_dict", "load_state_dict")


class LightAdamW(torch.optim.AdamW):
    """AdamW without the wrappers that keep PyTorch's compiler off it.

    Each of them imports the compiler at its first call: more than a second of processor time at every start, for an
    optimiser that nobody compiles. A compiled model is another matter, and not touched by this.
    """

    step = torch.no_grad()(unwrap(torch.optim.AdamW.step))


for _name in _WRAPPED:
    setattr(LightAdamW, _name, unwrap(getattr(torch.optim.AdamW, _name)))
