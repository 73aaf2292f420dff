"""Interactions, splits, and readers of public data sets.

>>> from rectutor.data import Interactions, leave_one_out
>>> log = Interactions.from_arrays(["ann", "ann", "bob"], ["tea", "pie", "tea"], time=[1, 2, 3])
>>> leave_one_out(log, valid=False).test.frame()["item"].tolist()
['pie']
"""

from rectutor.data.download import DownloadError, Remote, cache_dir
from rectutor.data.formats import (
    Airbnb,
    BanditLog,
    CensusIncome,
    CensusTable,
    Goodbooks,
    MovieLens,
    OpenBandit,
    Otto,
    read_airbnb,
    read_census_income,
    read_goodbooks,
    read_movielens,
    read_open_bandit,
    read_otto,
)
from rectutor.data.interactions import Interactions
from rectutor.data.public import DataSet, available, find, get, load
from rectutor.data.readers import Candidates, read_interactions, read_lists, read_negatives
from rectutor.data.splits import (
    Dropped,
    Split,
    align,
    check_no_leak,
    k_core,
    leave_one_out,
    only_known,
    random_split,
    time_split,
    union,
    user_time_split,
)

__all__ = [
    "Airbnb",
    "BanditLog",
    "Candidates",
    "CensusIncome",
    "CensusTable",
    "DataSet",
    "DownloadError",
    "Dropped",
    "Goodbooks",
    "Interactions",
    "MovieLens",
    "OpenBandit",
    "Otto",
    "Remote",
    "Split",
    "align",
    "available",
    "cache_dir",
    "check_no_leak",
    "find",
    "get",
    "k_core",
    "leave_one_out",
    "load",
    "only_known",
    "random_split",
    "read_airbnb",
    "read_census_income",
    "read_goodbooks",
    "read_interactions",
    "read_lists",
    "read_movielens",
    "read_negatives",
    "read_open_bandit",
    "read_otto",
    "time_split",
    "union",
    "user_time_split",
]
