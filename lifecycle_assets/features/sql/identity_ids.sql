-- Every id under which the shop knows someone, from all that had happened by :until: a customer id with itself, a visitor
-- id with each customer who was signed in under it.
SELECT DISTINCT
    CAST(:shop AS VARCHAR) AS shop_id,
    :as_of AS as_of,
    'customer_id' AS id_type,
    customer_id AS id,
    customer_id
FROM (
    SELECT customer_id FROM raw.order_lines WHERE order_date <= :as_of
    UNION ALL
    SELECT customer_id FROM raw.customers WHERE created_at IS NULL OR created_at < :until
    UNION ALL
    SELECT customer_id FROM raw.identities
    UNION ALL
    SELECT customer_id FROM raw.consents WHERE occurred_at < :until
    UNION ALL
    SELECT customer_id FROM raw.suppressions WHERE since IS NULL OR since < :until
    UNION ALL
    SELECT customer_id FROM raw.erasure_requests WHERE requested_at IS NULL OR requested_at < :until
    UNION ALL
    SELECT customer_id FROM raw.web_events WHERE occurred_at < :until
    UNION ALL
    SELECT customer_id FROM raw.engagement WHERE sent_at < :until
    UNION ALL
    SELECT customer_id FROM raw.campaign_assignments WHERE assigned_at < :until
    UNION ALL
    SELECT customer_id FROM raw.survey_responses WHERE responded_at < :until
    UNION ALL
    SELECT customer_id FROM raw.support_tickets WHERE opened_at < :until
    UNION ALL
    SELECT customer_id FROM raw.payment_events WHERE occurred_at < :until
    UNION ALL
    SELECT customer_id FROM raw.subscriptions WHERE started_at < :until
) AS seen
WHERE customer_id IS NOT NULL
UNION ALL
SELECT DISTINCT
    CAST(:shop AS VARCHAR) AS shop_id,
    :as_of AS as_of,
    'anonymous_id' AS id_type,
    anonymous_id AS id,
    customer_id
FROM raw.web_events
WHERE anonymous_id IS NOT NULL AND customer_id IS NOT NULL AND occurred_at < :until
