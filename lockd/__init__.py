"""The lock manager of one host: a daemon that owns every lock, and the tools around it."""

__version__ = "0.1.0"
