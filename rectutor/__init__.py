"""RecTutor: industrial recommender systems, every algorithm twice - as its paper and as fast as it goes."""

__version__ = "0.1.0"
