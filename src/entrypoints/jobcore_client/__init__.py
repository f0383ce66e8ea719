"""The Python client: submit, watch and change jobs from a program or a notebook."""

from __future__ import annotations
