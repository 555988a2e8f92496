"""What is known of an application before it starts: read, and verified, but not run.

`read_sources` finds its files and reads what they say, `read_plugin` reads what an imported class
declares, `verify` lists what is wrong with all of it together. The kernel decides when each of them
happens and what becomes of what they find; this package is its `Reader`, and `app.py` hands it in.
"""

from ringfence.reading.declarations import read_plugin
from ringfence.reading.files import read_sources
from ringfence.reading.verify import verify

__all__ = ["read_plugin", "read_sources", "verify"]
