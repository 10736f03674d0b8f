-- One row per order of a known customer: its completed lines up to :as_of, returns under the same order included. `accounts`
-- are the ids that became another's profile.
WITH accounts AS (
    SELECT id, customer_id
    FROM features.identity_map
    WHERE id_type = 'customer_id' AND id <> customer_id
),
lines AS (
    SELECT
        COALESCE(a.customer_id, l.customer_id) AS customer_id,
        l.order_id,
        l.order_date,
        l.quantity,
        l.amount,
        CAST(l.discount_amount AS DECIMAL(18, 4)) AS discount,
        l.amount - CAST(l.quantity * COALESCE(l.unit_cost, p.unit_cost) AS DECIMAL(38, 4)) AS margin,
        l.sales_channel,
        l.country
    FROM raw.order_lines AS l
    LEFT JOIN raw.products AS p ON p.product_id = l.product_id
    LEFT JOIN accounts AS a ON a.id = l.customer_id
    WHERE l.status = 'completed'
      AND l.customer_id IS NOT NULL
      AND l.order_date <= :as_of
)
SELECT
    CAST(:shop AS VARCHAR) AS shop_id,
    :as_of AS as_of,
    customer_id,
    order_id,
    MIN(order_date) AS order_date,
    SUM(amount) AS amount,
    CASE WHEN COUNT(margin) = COUNT(*) THEN SUM(margin) END AS margin,
    SUM(CAST(quantity AS DECIMAL(18, 4))) AS units,
    COUNT(*) AS lines,
    SUM(discount) AS discount,
    SUM(amount) > 0 AS is_purchase,
    MIN(sales_channel) AS sales_channel,
    MIN(country) AS country
FROM lines
GROUP BY customer_id, order_id
