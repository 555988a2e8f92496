"""The parts of the conformance suite that are about single statements; see `conformance.py`."""
