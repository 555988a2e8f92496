"""What we bring to Ringfence: the tool `metrics`, and drivers for the tools that come with it.

A folder a tool. A driver is one module with a class `Driver`; `pyproject.toml` announces it.
"""
