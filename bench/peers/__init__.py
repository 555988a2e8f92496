"""The same three endpoints, written for each of those that Ringfence is compared with.

    GET  /widgets/{id}   200  a small object, the id read as an integer
    POST /orders         201  a body of two checked fields, answered with three
    GET  /stock/{sku}    200  the answer of one call to another feature

Each is written as its own documentation teaches, and run by `.bench-peer/`'s Python.
"""
