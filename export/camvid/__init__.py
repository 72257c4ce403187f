"""The recipe of the network in ``models/``: render scenes, train, export, evaluate."""
