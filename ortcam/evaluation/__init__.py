"""Is the map true? Metrics of maps, and the runs that take them over many pictures.

:mod:`~ortcam.metrics` and :mod:`~ortcam.evaluation.perturbation.pictures` are functions of arrays,
for any map, from ortcam or elsewhere.
"""
