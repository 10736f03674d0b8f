-- One row per customer and category of which they bought a line up to :as_of. `accounts` are the ids that became another's
-- profile.
WITH accounts AS (
    SELECT id, customer_id
    FROM features.identity_map
    WHERE id_type = 'customer_id' AND id <> customer_id
),
lines AS (
    SELECT
        COALESCE(a.customer_id, l.customer_id) AS customer_id,
        COALESCE(l.category, p.category) AS category,
        l.order_date
    FROM raw.order_lines AS l
    LEFT JOIN raw.products AS p ON p.product_id = l.product_id
    LEFT JOIN accounts AS a ON a.id = l.customer_id
    WHERE l.status = 'completed'
      AND l.quantity > 0
      AND l.customer_id IS NOT NULL
      AND l.order_date <= :as_of
)
SELECT
    CAST(:shop AS VARCHAR) AS shop_id,
    :as_of AS as_of,
    customer_id,
    category,
    COUNT(*) AS lines,
    MIN(order_date) AS first_date
FROM lines
WHERE category IS NOT NULL
GROUP BY customer_id, category
