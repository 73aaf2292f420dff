"""Neural networks on encoded features: one embedding table and its lazy optimisers, batches, and a loop that trains."""

from rectutor.nn.batches import Batch, batches
from rectutor.nn.blocks import MLP
from rectutor.nn.optim import LazyAdaGrad, LazyAdam, lazy_adagrad_step, lazy_adam_step
from rectutor.nn.table import EmbeddingTable, gather
from rectutor.nn.training import auc_and_log_loss, binary_cross_entropy, fit, optimizers_for, predict

__all__ = [
    "MLP",
    "Batch",
    "EmbeddingTable",
    "LazyAdaGrad",
    "LazyAdam",
    "auc_and_log_loss",
    "batches",
    "binary_cross_entropy",
    "fit",
    "gather",
    "lazy_adagrad_step",
    "lazy_adam_step",
    "optimizers_for",
    "predict",
]
