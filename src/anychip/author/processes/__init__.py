"""The processes of a judgement. `nursery` has imported what all of them need and forks them; `candidate` runs
the code that is judged, `peer` the reference that it is timed against, `witness` the candidate's kernels
without its code. `confined` is the judge's end of each. None of them holds the clock, what is expected, or
tolerances."""
