"""What is minimised: the cross entropy between a model's logits and the labels of its batch.

One loss serves every objective, because the batch says what is predicted where:

============================  =====================================================================  =========
objective                     labels (modules of :mod:`tb_widgets.data.batches`)                      shift
============================  =====================================================================  =========
causal language modelling     the token after each token (``streams``)                               the batch
masked language modelling     the token itself where it was chosen (``masking``)                     none
sequence classification       one class for each text (``padded``)                                   none
sequence-to-sequence          the target; the decoder reads it one place later, after a start token  the batch
image classification          one class for each image (``pictures``)                                none
============================  =====================================================================  =========

The label -100 is not counted.
"""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import cross_entropy

from tb_widgets.spec.batch import NOT_COUNTED


def prediction_loss(logits: Tensor, labels: Tensor, *, reduction: str = "mean") -> Tensor:
    """Return the cross entropy of the labels under the logits, in nats.

    Parameters
    ----------
    logits
        (..., V): one row for each label.
    labels
        (...): what should be ranked highest; -100 is not counted.
    reduction
        ``"mean"`` over the counted labels (not a number if there is none) or ``"sum"``.

    Returns
    -------
    Tensor
        A scalar in float32, whatever the precision of the logits.
    """
    rows = logits.reshape(-1, logits.shape[-1]).float()
    return cross_entropy(rows, labels.reshape(-1), reduction=reduction, ignore_index=NOT_COUNTED)


def count_correct(logits: Tensor, labels: Tensor) -> Tensor:
    """Return how many counted labels were ranked first, as an int64 scalar on the device."""
    return (logits.argmax(dim=-1) == labels).sum()  # no rank is -100


def count_labels(labels: Tensor) -> int:
    """Return how many labels count; cheap for a batch that is still in main memory."""
    return int((labels != NOT_COUNTED).sum())
