"""What a feature loads when it imports the tool."""

import subprocess
import sys


def test_the_contract_loads_no_server() -> None:
    """Decorators cost neither uvicorn nor asyncio's servers in a process that only declares."""
    text = (
        "import sys, ringfence.tools.http\n"
        "heavy = {'uvicorn', 'httptools', 'uvloop', 'starlette', 'h11'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-c", text], check=True, timeout=20)
