"""The lock manager: pure, without I/O, clock or randomness. ``README.md`` in this folder has the rules."""
