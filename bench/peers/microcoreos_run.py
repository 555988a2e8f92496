"""Boot the MicroCoreOS project in the current folder, on uvloop instead of asyncio's own loop.

Its command `microcoreos run` does the rest; nothing else is changed.
"""

import asyncio
import sys

import uvloop
from microcoreos.cli import main

if __name__ == "__main__":
    asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
    sys.exit(main(["run"]))
