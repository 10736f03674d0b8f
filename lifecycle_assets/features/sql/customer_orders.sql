-- One row per customer with at least one purchase: everything that follows from order lines alone. Metrics are those of
-- the observation window, which begins on :since. `accounts` are the ids that became another's profile.
WITH accounts AS (
    SELECT id, customer_id
    FROM features.identity_map
    WHERE id_type = 'customer_id' AND id <> customer_id
),
shop AS (
    SELECT COUNT(product_id) AS product_ids
    FROM raw.order_lines
    WHERE order_date <= :as_of
),
lines AS (
    SELECT
        COALESCE(a.customer_id, l.customer_id) AS customer_id,
        l.product_id,
        COALESCE(l.category, p.category) AS category,
        l.order_date,
        DATE_DIFF('day', l.order_date, :as_of) AS age,
        CASE WHEN l.quantity > 0 THEN 1 ELSE 0 END AS is_sold,
        CASE WHEN l.order_date >= :since THEN 1 ELSE 0 END AS is_observed,
        CASE WHEN l.product_id IS NOT NULL OR s.product_ids = 0 THEN CAST(l.quantity AS DECIMAL(18, 4)) END AS units,
        l.amount,
        CAST(l.discount_amount AS DECIMAL(18, 4)) AS discount
    FROM raw.order_lines AS l
    CROSS JOIN shop AS s
    LEFT JOIN raw.products AS p ON p.product_id = l.product_id
    LEFT JOIN accounts AS a ON a.id = l.customer_id
    WHERE l.status = 'completed'
      AND l.customer_id IS NOT NULL
      AND l.order_date <= :as_of
),
line_sums AS (
    SELECT
        customer_id,
        COUNT(DISTINCT CASE WHEN is_observed = 1 AND is_sold = 1 THEN product_id END) AS product_diversity,
        SUM(CASE WHEN is_observed = 1 AND is_sold = 1 THEN units END) AS bought_units,
        SUM(CASE WHEN is_observed = 1 AND is_sold = 0 THEN -units END) AS returned_units,
        SUM(CASE WHEN is_observed = 1 AND is_sold = 1 THEN amount + discount END) AS gross_amount,
        SUM(CASE WHEN is_observed = 1 AND is_sold = 1 THEN discount END) AS discount,
        SUM(CASE WHEN age < 90 THEN amount END) AS spend_90d,
        SUM(CASE WHEN age >= 90 AND age < 180 THEN amount END) AS spend_prev_90d
    FROM lines
    GROUP BY customer_id
),
category_lines AS (
    SELECT customer_id, category, COUNT(*) AS n, MAX(order_date) AS latest
    FROM lines
    WHERE is_sold = 1 AND category IS NOT NULL
    GROUP BY customer_id, category
),
category_ranks AS (
    SELECT
        customer_id,
        category,
        SUM(CASE WHEN latest >= :since THEN 1 ELSE 0 END) OVER (PARTITION BY customer_id) AS category_diversity,
        ROW_NUMBER() OVER (PARTITION BY customer_id ORDER BY n DESC, latest DESC, category) AS place
    FROM category_lines
),
order_sums AS (
    SELECT
        customer_id,
        SUM(amount) AS purchase_total,
        CASE WHEN COUNT(margin) = COUNT(*) THEN SUM(margin) END AS margin_total
    FROM features.orders
    WHERE order_date >= :since
    GROUP BY customer_id
),
purchases AS (
    SELECT
        customer_id,
        order_date,
        amount,
        margin,
        sales_channel,
        country,
        DATE_DIFF('day', order_date, :as_of) AS age,
        CASE WHEN order_date >= :since THEN 1 ELSE 0 END AS is_observed,
        LAG(order_date) OVER (PARTITION BY customer_id ORDER BY order_date) AS previous_date
    FROM features.orders
    WHERE is_purchase
),
gaps AS (
    SELECT
        *,
        CASE WHEN previous_date >= :since THEN DATE_DIFF('day', previous_date, order_date) END AS gap
    FROM purchases
),
purchase_sums AS (
    SELECT
        customer_id,
        SUM(is_observed) AS visit_frequency,
        MIN(order_date) AS first_purchase_date,
        MAX(order_date) AS last_purchase_date,
        SUM(CASE WHEN age < 30 THEN 1 ELSE 0 END) AS orders_30d,
        SUM(CASE WHEN age < 90 THEN 1 ELSE 0 END) AS orders_90d,
        SUM(CASE WHEN age < 365 THEN 1 ELSE 0 END) AS orders_365d,
        MEDIAN(gap) AS median_gap,
        COUNT(gap) AS gaps,
        SUM(gap) AS gap_sum,
        SUM(gap * gap) AS gap_square_sum
    FROM gaps
    GROUP BY customer_id
),
purchase_days AS (
    SELECT
        customer_id,
        order_date,
        SUM(amount) AS amount,
        CASE WHEN COUNT(margin) = COUNT(*) THEN SUM(margin) END AS margin,
        ROW_NUMBER() OVER (PARTITION BY customer_id ORDER BY order_date) AS place
    FROM purchases
    GROUP BY customer_id, order_date
),
day_sums AS (
    SELECT
        customer_id,
        COUNT(*) AS purchase_days,
        SUM(amount) AS purchase_amount,
        SUM(CASE WHEN place = 1 THEN amount END) AS first_day_amount,
        CASE WHEN COUNT(margin) = COUNT(*) THEN SUM(margin) END AS purchase_margin,
        SUM(CASE WHEN place = 1 THEN margin END) AS first_day_margin
    FROM purchase_days
    GROUP BY customer_id
),
channel_orders AS (
    SELECT
        customer_id,
        sales_channel,
        ROW_NUMBER() OVER (
            PARTITION BY customer_id ORDER BY COUNT(*) DESC, MAX(order_date) DESC, sales_channel
        ) AS place
    FROM purchases
    WHERE sales_channel IS NOT NULL
    GROUP BY customer_id, sales_channel
),
country_orders AS (
    SELECT
        customer_id,
        country,
        ROW_NUMBER() OVER (PARTITION BY customer_id ORDER BY COUNT(*) DESC, MAX(order_date) DESC, country) AS place
    FROM purchases
    WHERE country IS NOT NULL
    GROUP BY customer_id, country
)
SELECT
    CAST(:shop AS VARCHAR) AS shop_id,
    :as_of AS as_of,
    p.customer_id,
    COALESCE(o.purchase_total, 0) AS purchase_total,
    p.visit_frequency,
    CASE WHEN p.visit_frequency > 0 THEN CAST(o.purchase_total AS DOUBLE) / p.visit_frequency ELSE 0 END AS avg_ticket,
    l.product_diversity,
    COALESCE(c.category_diversity, 0) AS category_diversity,
    DATE_DIFF('day', p.last_purchase_date, :as_of) AS recency_days,
    DATE_DIFF('day', p.first_purchase_date, :as_of) AS tenure_days,
    CASE WHEN p.gaps >= 2 THEN p.median_gap END AS median_gap_days,
    CASE
        WHEN p.gaps >= 2 AND p.gap_sum > 0
            THEN SQRT(
                CAST(p.gaps * p.gap_square_sum - p.gap_sum * p.gap_sum AS DOUBLE) / (p.gaps * (p.gaps - 1))
            ) * p.gaps / p.gap_sum
    END AS gap_cv,
    CASE WHEN o.customer_id IS NULL THEN 0 ELSE o.margin_total END AS margin_total,
    CASE WHEN l.gross_amount > 0 THEN CAST(l.discount AS DOUBLE) / CAST(l.gross_amount AS DOUBLE) END AS discount_share,
    CASE
        WHEN l.bought_units > 0 THEN CAST(COALESCE(l.returned_units, 0) AS DOUBLE) / CAST(l.bought_units AS DOUBLE)
    END AS return_rate,
    c.category AS primary_category,
    ch.sales_channel AS favourite_channel,
    co.country,
    p.orders_30d,
    p.orders_90d,
    p.orders_365d,
    COALESCE(l.spend_90d, 0) AS spend_90d,
    COALESCE(l.spend_prev_90d, 0) AS spend_prev_90d,
    p.first_purchase_date,
    p.last_purchase_date,
    d.purchase_days,
    d.purchase_amount,
    d.first_day_amount,
    d.purchase_margin,
    d.first_day_margin
FROM purchase_sums AS p
JOIN line_sums AS l ON l.customer_id = p.customer_id
JOIN day_sums AS d ON d.customer_id = p.customer_id
LEFT JOIN order_sums AS o ON o.customer_id = p.customer_id
LEFT JOIN category_ranks AS c ON c.customer_id = p.customer_id AND c.place = 1
LEFT JOIN channel_orders AS ch ON ch.customer_id = p.customer_id AND ch.place = 1
LEFT JOIN country_orders AS co ON co.customer_id = p.customer_id AND co.place = 1
