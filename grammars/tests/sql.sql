CREATE TABLE orders (
-- <- statement ... )
-- <- symbol ... )
--           ^^^^^^ name
--                  ^ block ... )
    id INTEGER PRIMARY KEY,
    -- <- statement
    -- <- name
    customer TEXT NOT NULL,
    total NUMERIC(10, 2) DEFAULT 0
);

CREATE INDEX orders_by_customer ON orders (customer);
-- <- statement
--           ^^^^^^^^^^^^^^^^^^ name

INSERT INTO orders (id, customer) VALUES (1, 'Ada'), (2, 'Brian');
-- <- statement

WITH large AS (
-- <- statement ... ORDER BY 2 DESC
--   ^ symbol ... )
--   ^^^^^ name
    SELECT customer, total
    -- <- statement ... WHERE total > 100
    FROM orders
    WHERE total > 100
)
SELECT customer, SUM(total)
FROM large
GROUP BY customer
HAVING COUNT(*) > 1
ORDER BY 2 DESC;

UPDATE orders SET total = total * 0.9 WHERE customer IN ('Ada', 'Brian');
-- <- statement

CREATE VIEW best AS SELECT * FROM orders WHERE total > 1000;
-- <- symbol
--          ^^^^ name
