"""What eager calls cost under `anychip.enable()`: twenty small programs, and the forty overloads that they
call most. Written down before operators were called from native code, so
that the rows were not chosen by it."""
