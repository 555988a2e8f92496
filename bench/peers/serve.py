"""Serve one of the ASGI peers: `python -m bench.peers.serve bare 9000`.

One worker, httptools, uvloop, no access log, no proxy headers: what Ringfence serves with.
"""

import sys

import uvicorn

APPS = {
    "bare": "bench.peers.bare:app",
    "starlette": "bench.peers.starlette_app:app",
    "fastapi": "bench.peers.fastapi_app:app",
}

if __name__ == "__main__":
    uvicorn.run(
        APPS[sys.argv[1]],
        host="127.0.0.1",
        port=int(sys.argv[2]),
        loop="uvloop",
        http="httptools",
        ws="none",
        lifespan="off",
        access_log=False,
        log_level="error",
        proxy_headers=False,
        server_header=False,
    )
