from threadproof import HashMap

totals: HashMap[str, int] = HashMap()
others = HashMap()


def total(key, parent):
    def fresh(key):
        return totals[parent] + 1  # want "totals is used in the function"

    totals.compute_if_absent(key, fresh)
    totals.compute(key, lambda key, old: totals.get(parent))  # want "totals is used in the function"
    above = totals[parent]
    others.compute_if_absent(key, lambda key: totals[key])
    return totals.compute_if_absent(key, lambda key: above + 1)
