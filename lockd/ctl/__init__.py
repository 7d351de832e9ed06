"""``lockctl``: locks for shell scripts, and the questions that administrators ask."""
