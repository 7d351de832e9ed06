"""What ``make bench`` runs: the floor, lockd and its peers, on the same work, in turn and several times over.

``contenders`` has a module for each of them, behind one interface; ``work`` has a module for each kind of work. What
they measure goes into `figures.Figures`, from which `reports`, `goals`, `record`, `page` and `plots` make what is told.
"""
