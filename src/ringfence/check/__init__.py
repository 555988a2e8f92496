"""The architecture rules: what an application's sources say that no start would notice.

`examination.examine(root)` lists the findings; `catalogue` knows and explains every rule. Each rule
is one file of `rules/`, whose examples are its tests. Files are parsed, never run, and no driver is
imported. Called by `ringfence check` and `ringfence explain`.
"""
