"""How domains hang together: who calls whom, who uses which tool, and in which direction it leans.

`graph_of` draws it from a manifest; `trend` compares two; `mermaid` and `svg` show one. Values
only, sorted, so that the same application is the same text. Called by `cli/graph.py`.
"""

from ringfence.graph.drawing import mermaid, svg
from ringfence.graph.model import Coupling, Domain, Edge, Graph, graph_of, trend, unstable

__all__ = [
    "Coupling",
    "Domain",
    "Edge",
    "Graph",
    "graph_of",
    "mermaid",
    "svg",
    "trend",
    "unstable",
]
