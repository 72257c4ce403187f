"""Is the map true? Metrics of maps, and the runs that take them over many pictures.

:mod:`~ortcam.evaluation.metrics` and :mod:`~ortcam.evaluation.perturb` are functions of arrays, for
any map, from ortcam or elsewhere.
"""
