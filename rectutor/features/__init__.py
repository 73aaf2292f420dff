"""Features: a schema says what the columns of a frame mean, a fitted encoder turns them into the numbers of a model.

>>> import pandas as pd
>>> frame = pd.DataFrame({"user": [9, 7], "tags": [["tea", "pie"], ["tea"]], "age": [20, None], "click": [1, 0]})
>>> encoder = Schema([Categorical("user"), Sequence("tags", length=2), Dense("age")]).fit(frame)
>>> encoder.transform(frame, label="click").ids.tolist()
[[4, 3, 4], [3, 3, 0]]
"""

from rectutor.features.encoded import Encoded, Layout, from_sparse, sparse_layout
from rectutor.features.encoder import Encoder, Hashed, Special
from rectutor.features.encoding import bucketize, encode, encode_hashed, pad, quantile_edges, vocabulary, width_edges
from rectutor.features.schema import Bucketed, Categorical, Dense, Schema, Sequence

__all__ = [
    "Bucketed",
    "Categorical",
    "Dense",
    "Encoded",
    "Encoder",
    "Hashed",
    "Layout",
    "Schema",
    "Sequence",
    "Special",
    "bucketize",
    "encode",
    "encode_hashed",
    "from_sparse",
    "pad",
    "quantile_edges",
    "sparse_layout",
    "vocabulary",
    "width_edges",
]
