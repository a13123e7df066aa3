"""A library: sqlglot translates a query from one dialect to another."""

import sqlglot

QUERY = """
SELECT o.id, c.name, COUNT(*) AS orders, SUM(CASE WHEN o.price > 10 THEN o.amount ELSE 0 END) AS amount
FROM orders AS o JOIN customers AS c ON o.customer = c.id
LEFT JOIN (SELECT id, MAX(day) AS day FROM visits GROUP BY id) AS v ON v.id = o.id
WHERE o.state IN ('new', 'paid', 'sent') AND c.country = 'FR' AND o.made >= CAST('2024-01-01' AS DATE)
GROUP BY o.id, c.name HAVING COUNT(*) > 3 ORDER BY orders DESC LIMIT 100
"""


def main() -> object:
    return sum(len(sqlglot.transpile(QUERY, read="duckdb", write="spark")[0]) for _ in range(10))
