"""The benchmark harness behind `threadproof bench`.

    scenario    one kind of key, one size of map, a number of threads
    workloads   what each thread does, as data
    contenders  the maps to measure, and how a good program of each spells an operation
    loops       timed loops, compiled from a workload and a contender
    runner      runs workloads in one scenario: contenders in turn, answers checked
    isolate     each scenario in a process of its own
    run         the whole of what one command asked for
    results     rows and measurements; JSON; pyperf's format
    tables, plot, scaling, latency, traces

Maps come from the caller: nothing here imports them.
"""
