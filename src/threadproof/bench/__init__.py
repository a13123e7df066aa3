"""Measuring maps: what a run does (workloads), with whom (rivals), how (stage), what came out (results)."""
