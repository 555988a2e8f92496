"""Serve one of the ASGI peers: `python -m bench.peers.serve NAME PORT`.

One worker, httptools, uvloop, no access log, no proxy headers: what Ringfence serves with.
"""

import sys

import uvicorn

APPS = {
    "bare": "bench.peers.bare:app",
    "blacksheep": "bench.peers.blacksheep_app:app",
    "fastapi": "bench.peers.fastapi_app:app",
    "ledger-inline": "bench.peers.ledger:inline",
    "ledger-one_thread": "bench.peers.ledger:one_thread",
    "ledger-pool": "bench.peers.ledger:pool",
    "litestar": "bench.peers.litestar_app:app",
    "starlette": "bench.peers.starlette_app:app",
    "wide-fastapi": "bench.peers.wide_fastapi_app:app",
} | {
    f"{name}-{count}": f"bench.peers.routes:{name}_{count}"
    for name in ("starlette", "fastapi", "litestar")
    for count in (2, 1000)
}
# BlackSheep makes its routes when it is told that the server starts.
TOLD_OF_START = {"blacksheep"}

if __name__ == "__main__":
    name, port = sys.argv[1:]
    uvicorn.run(
        APPS[name],
        host="127.0.0.1",
        port=int(port),
        loop="uvloop",
        http="httptools",
        ws="wsproto",
        lifespan="on" if name in TOLD_OF_START else "off",
        access_log=False,
        log_level="error",
        proxy_headers=False,
        server_header=False,
    )
