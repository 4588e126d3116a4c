"""The version of this program, which what it writes carries."""

__version__ = "0.2.0"
