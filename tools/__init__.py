"""Programs of this repository that are no part of the library: they measure, run other projects' suites,
write records and pages, and make tables of coefficients. They run from the root:
`python -m tools.NAME`.
"""
