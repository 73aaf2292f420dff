"""The user-item matrix that every model of the chapter reads, checked once and in one place."""

from __future__ import annotations

import numpy as np
from scipy import sparse

from rectutor.data.interactions import Interactions

LARGEST = float(np.finfo(np.float32).max)


def as_matrix(interactions: Interactions | sparse.csr_array) -> sparse.csr_array:
    """The user-item matrix of either form of input, checked: canonical CSR with finite values.

    Raises:
        TypeError: neither Interactions nor a sparse matrix in CSR form.
        ValueError: no stored entry; one stored twice; a NaN or infinite value.
    """
    if isinstance(interactions, Interactions):
        matrix = interactions.matrix(np.float32)
    elif sparse.issparse(interactions) and interactions.format == "csr":
        matrix = sparse.csr_array(interactions)
        if not matrix.has_sorted_indices:
            matrix = matrix.sorted_indices()
        if not matrix.has_canonical_format:
            raise ValueError("the matrix stores a user-item pair more than once; call its sum_duplicates() first")
    else:
        raise TypeError(f"interactions is {type(interactions).__name__}; give Interactions or a scipy CSR array")
    if matrix.nnz == 0:
        raise ValueError("the interactions are empty; a model needs at least one row")
    if not (matrix.data.min() >= -LARGEST and matrix.data.max() <= LARGEST):  # false for NaN, too
        bad = int(np.argmax(~(np.abs(matrix.data) <= LARGEST)))
        user = int(np.searchsorted(matrix.indptr, bad, side="right")) - 1
        raise ValueError(
            f"the value of user {user} and item {int(matrix.indices[bad])} is {matrix.data[bad]};"
            " values must be finite in float32: drop the row"
        )
    return matrix
