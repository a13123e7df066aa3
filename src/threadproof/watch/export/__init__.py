"""Metrics for other systems. All are made from the fields of Stats: their kinds, units and help texts.

    snapshot    the stats of every watched structure at about one moment
    families    the same by metric, with the names that Prometheus wants
    text        Prometheus' text format, without its client
    prometheus  a collector for prometheus_client (threadproof[prometheus])
    otel        observable instruments for OpenTelemetry (threadproof[otel])
    variables   one JSON object, as expvar has it
    logs        a line of a log for each structure

All of them pull: they read stats() when they are asked, and structures pay nothing.
"""
