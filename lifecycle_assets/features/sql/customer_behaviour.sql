-- One row per customer: what is known beside the orders. An input that holds nothing up to :until gives nulls.
-- `accounts` are the ids that became another's profile, `visitors` the visitor ids under which one profile had signed in by
-- :until, and no other: a link without a date could have come later.
WITH accounts AS (
    SELECT id, customer_id
    FROM features.identity_map
    WHERE id_type = 'customer_id' AND id <> customer_id
),
visitors AS (
    SELECT e.anonymous_id AS id, MIN(COALESCE(a.customer_id, e.customer_id)) AS customer_id
    FROM raw.web_events AS e
    LEFT JOIN accounts AS a ON a.id = e.customer_id
    WHERE e.anonymous_id IS NOT NULL AND e.customer_id IS NOT NULL AND e.occurred_at < :until
    GROUP BY e.anonymous_id
    HAVING COUNT(DISTINCT COALESCE(a.customer_id, e.customer_id)) = 1
),
present AS (
    SELECT
        (SELECT COUNT(*) FROM raw.web_events WHERE customer_id IS NOT NULL AND occurred_at < :until) AS web,
        (SELECT COUNT(*) FROM raw.engagement WHERE sent_at < :until) AS engagement,
        (SELECT COUNT(*) FROM raw.support_tickets WHERE opened_at < :until) AS tickets,
        (SELECT COUNT(*) FROM raw.payment_events WHERE occurred_at < :until) AS payments
),
web AS (
    SELECT
        COALESCE(a.customer_id, e.customer_id, v.customer_id) AS customer_id,
        e.session_id,
        e.event_type,
        COALESCE(e.category, p.category) AS category,
        e.occurred_at
    FROM raw.web_events AS e
    LEFT JOIN raw.products AS p ON p.product_id = e.product_id
    LEFT JOIN accounts AS a ON a.id = e.customer_id
    LEFT JOIN visitors AS v ON v.id = e.anonymous_id
    WHERE COALESCE(e.customer_id, v.customer_id) IS NOT NULL AND e.occurred_at < :until
),
web_sums AS (
    SELECT
        customer_id,
        SUM(CASE WHEN event_type = 'view' AND occurred_at >= :from_30d THEN 1 ELSE 0 END) AS views_30d,
        SUM(CASE WHEN event_type = 'add_to_cart' AND occurred_at >= :from_30d THEN 1 ELSE 0 END) AS carts_30d,
        MAX(occurred_at) AS last_at
    FROM web
    GROUP BY customer_id
),
-- An event without a session id begins a session when the one before it is more than 30 minutes away.
begun AS (
    SELECT
        customer_id,
        session_id,
        occurred_at,
        CASE
            WHEN session_id IS NULL AND occurred_at > LAG(occurred_at) OVER (
                PARTITION BY customer_id, session_id ORDER BY occurred_at
            ) + INTERVAL '30' MINUTE THEN 1
            ELSE 0
        END AS begins
    FROM web
    WHERE occurred_at >= :from_12w
),
numbered AS (
    SELECT
        customer_id,
        session_id,
        occurred_at,
        SUM(begins) OVER (
            PARTITION BY customer_id, session_id ORDER BY occurred_at RANGE UNBOUNDED PRECEDING
        ) AS stretch
    FROM begun
),
sessions AS (
    SELECT customer_id, COUNT(*) AS events, CASE WHEN MIN(occurred_at) >= :from_6w THEN 1 ELSE 0 END AS is_late
    FROM numbered
    GROUP BY customer_id, session_id, stretch
),
session_sums AS (
    SELECT
        customer_id,
        COUNT(*) AS sessions,
        SUM(is_late) AS late_sessions,
        SUM(is_late * events) AS late_events,
        SUM(1 - is_late) AS early_sessions,
        SUM((1 - is_late) * events) AS early_events
    FROM sessions
    GROUP BY customer_id
),
category_events AS (
    SELECT
        customer_id,
        category,
        SUM(CASE WHEN occurred_at >= :from_90d THEN 1 ELSE 0 END) AS late,
        SUM(CASE WHEN occurred_at >= :from_90d THEN 0 ELSE 1 END) AS early
    FROM web
    WHERE category IS NOT NULL
    GROUP BY customer_id, category
),
category_mix AS (
    SELECT
        customer_id,
        late,
        early,
        SUM(late) OVER (PARTITION BY customer_id) AS late_total,
        SUM(early) OVER (PARTITION BY customer_id) AS early_total
    FROM category_events
),
category_shifts AS (
    SELECT
        customer_id,
        CAST(SUM(ABS(late * early_total - early * late_total)) AS DOUBLE)
        / CAST(2 * MAX(late_total) * MAX(early_total) AS DOUBLE) AS category_shift
    FROM category_mix
    WHERE late_total > 0 AND early_total > 0
    GROUP BY customer_id
),
messages AS (
    SELECT
        COALESCE(a.customer_id, e.customer_id) AS customer_id,
        sent_at,
        CASE WHEN sent_at >= :from_90d THEN 1 ELSE 0 END AS is_late,
        CASE WHEN channel IN ('email', 'whatsapp', 'push', 'in_app') THEN 1 ELSE 0 END AS tells_opens,
        CASE WHEN channel IN ('email', 'whatsapp', 'push', 'in_app', 'sms', 'ads') THEN 1 ELSE 0 END AS tells_clicks,
        CASE
            WHEN opened_at < :until AND opened_at > COALESCE(delivered_at, sent_at) + INTERVAL '2' SECOND THEN 1 ELSE 0
        END AS is_opened,
        CASE
            WHEN clicked_at < :until AND clicked_at > COALESCE(delivered_at, sent_at) + INTERVAL '2' SECOND THEN 1 ELSE 0
        END AS is_clicked
    FROM raw.engagement AS e
    LEFT JOIN accounts AS a ON a.id = e.customer_id
    WHERE sent_at >= :from_180d AND sent_at < :until
),
message_sums AS (
    SELECT
        customer_id,
        SUM(is_late) AS sends,
        SUM(is_late * tells_opens) AS openable,
        SUM(is_late * tells_opens * is_opened) AS opens,
        SUM(is_late * tells_clicks) AS clickable,
        SUM(is_late * tells_clicks * is_clicked) AS clicks,
        SUM((1 - is_late) * tells_clicks) AS early_clickable,
        SUM((1 - is_late) * tells_clicks * is_clicked) AS early_clicks,
        MAX(sent_at) AS last_at
    FROM messages
    GROUP BY customer_id
),
ticket_sums AS (
    SELECT COALESCE(a.customer_id, t.customer_id) AS customer_id, COUNT(*) AS tickets_90d, MAX(t.opened_at) AS last_at
    FROM raw.support_tickets AS t
    LEFT JOIN accounts AS a ON a.id = t.customer_id
    WHERE t.opened_at >= :from_90d AND t.opened_at < :until
    GROUP BY COALESCE(a.customer_id, t.customer_id)
),
payment_sums AS (
    SELECT
        COALESCE(a.customer_id, p.customer_id) AS customer_id,
        COUNT(*) AS failed_payments_12m,
        MAX(p.occurred_at) AS last_at
    FROM raw.payment_events AS p
    LEFT JOIN accounts AS a ON a.id = p.customer_id
    WHERE p.status = 'failed' AND p.occurred_at >= :from_12m AND p.occurred_at < :until
    GROUP BY COALESCE(a.customer_id, p.customer_id)
),
-- The configured question, else the only one, else those whose words recommend: as features/nps.py chooses.
questions AS (
    SELECT
        COALESCE(question, :unnamed) AS question,
        COUNT(*) OVER () AS n,
        CASE WHEN REGEXP_MATCHES(LOWER(question), :recommending) THEN 1 ELSE 0 END AS recommends
    FROM raw.survey_responses
    WHERE responded_at < :until
    GROUP BY question
),
answers AS (
    SELECT
        COALESCE(a.customer_id, s.customer_id) AS customer_id,
        s.answer,
        s.responded_at,
        ROW_NUMBER() OVER (
            PARTITION BY COALESCE(a.customer_id, s.customer_id) ORDER BY s.responded_at DESC, s.response_id
        ) AS place
    FROM raw.survey_responses AS s
    JOIN questions AS q ON q.question = COALESCE(s.question, :unnamed)
    LEFT JOIN accounts AS a ON a.id = s.customer_id
    WHERE s.customer_id IS NOT NULL
      AND s.responded_at < :until
      AND COALESCE(q.question = :nps_question, q.n = 1 OR q.recommends = 1)
),
latest AS (
    SELECT customer_id, MAX(last_at) AS last_event_at
    FROM (
        SELECT customer_id, last_at FROM web_sums
        UNION ALL
        SELECT customer_id, last_at FROM message_sums
        UNION ALL
        SELECT customer_id, last_at FROM ticket_sums
        UNION ALL
        SELECT customer_id, last_at FROM payment_sums
        UNION ALL
        SELECT customer_id, responded_at FROM answers WHERE place = 1
    ) AS entered
    GROUP BY customer_id
)
SELECT
    CAST(:shop AS VARCHAR) AS shop_id,
    :as_of AS as_of,
    c.customer_id,
    CASE WHEN i.web > 0 THEN COALESCE(s.sessions, 0) END AS sessions_12w,
    CASE WHEN i.web > 0 THEN COALESCE(w.views_30d, 0) END AS views_30d,
    CASE WHEN i.web > 0 THEN COALESCE(w.carts_30d, 0) END AS carts_30d,
    CASE
        WHEN s.early_sessions > 0 AND s.late_sessions > 0
            THEN CAST(s.late_events * s.early_sessions AS DOUBLE) / CAST(s.late_sessions * s.early_events AS DOUBLE) - 1
    END AS session_depth_trend,
    v.category_shift,
    CASE WHEN i.engagement > 0 THEN COALESCE(m.sends, 0) END AS sends_90d,
    CASE WHEN m.openable > 0 THEN CAST(m.opens AS DOUBLE) / m.openable END AS open_rate_90d,
    CASE WHEN m.clickable > 0 THEN CAST(m.clicks AS DOUBLE) / m.clickable END AS click_rate_90d,
    CASE
        WHEN m.clickable > 0 AND m.early_clickable > 0
            THEN CAST(m.clicks AS DOUBLE) / m.clickable - CAST(m.early_clicks AS DOUBLE) / m.early_clickable
    END AS response_trend,
    CASE WHEN i.tickets > 0 THEN COALESCE(t.tickets_90d, 0) END AS tickets_90d,
    CASE WHEN i.payments > 0 THEN COALESCE(f.failed_payments_12m, 0) END AS failed_payments_12m,
    a.answer AS latest_nps,
    l.last_event_at
FROM features.customer_orders AS c
CROSS JOIN present AS i
LEFT JOIN web_sums AS w ON w.customer_id = c.customer_id
LEFT JOIN session_sums AS s ON s.customer_id = c.customer_id
LEFT JOIN category_shifts AS v ON v.customer_id = c.customer_id
LEFT JOIN message_sums AS m ON m.customer_id = c.customer_id
LEFT JOIN ticket_sums AS t ON t.customer_id = c.customer_id
LEFT JOIN payment_sums AS f ON f.customer_id = c.customer_id
LEFT JOIN answers AS a ON a.customer_id = c.customer_id AND a.place = 1
LEFT JOIN latest AS l ON l.customer_id = c.customer_id
