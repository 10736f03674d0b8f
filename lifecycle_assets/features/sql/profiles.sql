-- One row per customer of features.customer_features. A model's columns are one join and their lines.
WITH accounts AS (
    SELECT customer_id, COUNT(*) AS n_accounts
    FROM features.identity_map
    WHERE id_type = 'customer_id'
    GROUP BY customer_id
),
clv AS (
    SELECT
        customer_id,
        MAX(p_alive) AS p_alive,
        MAX(clv_tier) AS clv_tier,
        MAX(CASE WHEN horizon_months = 6 THEN expected_value END) AS clv_6m,
        MAX(CASE WHEN horizon_months = 12 THEN expected_value END) AS clv_12m,
        MAX(CASE WHEN horizon_months = 12 THEN expected_value_low END) AS clv_12m_low,
        MAX(CASE WHEN horizon_months = 12 THEN expected_value_high END) AS clv_12m_high,
        MAX(CASE WHEN horizon_months = 12 THEN expected_purchases END) AS expected_purchases_12m,
        MAX(CASE WHEN horizon_months = 36 THEN expected_value END) AS clv_36m
    FROM models.clv_forecast
    GROUP BY customer_id
),
likely_products AS (
    SELECT
        customer_id,
        product_id,
        probability,
        ROW_NUMBER() OVER (PARTITION BY customer_id ORDER BY probability DESC, product_id) AS place
    FROM models.propensity_buy
    WHERE is_used AND probability IS NOT NULL
),
likely_plans AS (
    SELECT
        customer_id,
        target_plan,
        probability,
        ROW_NUMBER() OVER (PARTITION BY customer_id ORDER BY probability DESC, target_plan) AS place
    FROM models.propensity_upgrade
    WHERE is_used AND probability IS NOT NULL
),
best_channels AS (
    SELECT
        customer_id,
        channel,
        p_best,
        mean,
        ROW_NUMBER() OVER (PARTITION BY customer_id ORDER BY p_best DESC, channel) AS place
    FROM models.channel_posteriors
    WHERE p_best IS NOT NULL
),
best_contents AS (
    SELECT
        customer_id,
        content_type,
        ROW_NUMBER() OVER (PARTITION BY customer_id ORDER BY multiplier DESC, content_type) AS place
    FROM models.nba_scores
),
tiers AS (
    SELECT unit, tier, level
    FROM models.discount_posteriors
    WHERE is_recommended
)
SELECT
    CAST(:shop AS VARCHAR) AS shop_id,
    :as_of AS as_of,
    c.customer_id,
    c.purchase_total,
    c.visit_frequency,
    c.avg_ticket,
    c.product_diversity,
    c.category_diversity,
    c.recency_days,
    c.tenure_days,
    c.median_gap_days,
    c.gap_cv,
    c.margin_total,
    c.discount_share,
    c.return_rate,
    c.primary_category,
    c.favourite_channel,
    c.country,
    c.orders_30d,
    c.orders_90d,
    c.orders_365d,
    c.spend_90d,
    c.spend_prev_90d,
    c.sessions_12w,
    c.views_30d,
    c.carts_30d,
    c.session_depth_trend,
    c.category_shift,
    c.sends_90d,
    c.open_rate_90d,
    c.click_rate_90d,
    c.response_trend,
    c.tickets_90d,
    c.failed_payments_12m,
    c.latest_nps,
    o.erased,
    o.consent_email,
    o.consent_whatsapp,
    o.consent_sms,
    o.consent_push,
    o.consent_in_app,
    o.consent_ads,
    o.consent_call,
    o.consent_postal,
    o.reachable_by,
    COALESCE(a.n_accounts, 1) AS n_accounts,
    l.loyalty_score,
    l.segment AS loyalty_segment,
    s.stage,
    s.since AS stage_since,
    s.previous_stage,
    s.expected_gap_days,
    s.is_cold,
    r.recency_score,
    r.frequency_score,
    r.monetary_score,
    r.rfm_class,
    r.rfm_total,
    r.rfm_tier,
    v.frequency AS clv_frequency,
    v.recency AS clv_recency,
    v."T" AS clv_t,
    v.monetary_value,
    v.monetary_basis,
    v.clv_potential_tier,
    e.p_alive,
    e.clv_tier,
    e.clv_6m,
    e.clv_12m,
    e.clv_12m_low,
    e.clv_12m_high,
    e.expected_purchases_12m,
    e.clv_36m,
    g.segment AS cluster_segment,
    g.segment_id,
    p.name AS segment_name,
    k.churn_probability,
    k.risk_band,
    k.top_factors AS churn_factors,
    b.product_id AS buy_product_id,
    b.probability AS buy_probability,
    u.target_plan AS upgrade_plan,
    u.probability AS upgrade_probability,
    d.uplift_segment,
    d.cate,
    f.channel AS best_channel,
    f.p_best AS best_channel_chance,
    f.mean AS best_channel_response,
    t.best_hour,
    t.windows AS best_windows,
    n.content_type AS best_content_type,
    COALESCE(w.tier, x.tier) AS best_discount_pct,
    q.weekly_cap,
    h.churned,
    h.churned_since,
    d.action AS next_action,
    d.reason AS next_reason,
    d.programme AS next_programme,
    d.step AS next_step,
    d.offer_id AS next_offer_id,
    d.content_type AS next_content_type,
    d.channel AS next_channel,
    d.send_at AS next_send_at,
    d.discount_pct AS next_discount_pct,
    d.expected_value AS next_expected_value
FROM features.customer_features AS c
LEFT JOIN accounts AS a ON a.customer_id = c.customer_id
LEFT JOIN features.customer_loyalty AS l ON l.customer_id = c.customer_id
LEFT JOIN features.lifecycle_stage AS s ON s.customer_id = c.customer_id
LEFT JOIN features.customer_rfm AS r ON r.customer_id = c.customer_id
LEFT JOIN features.customer_clv_inputs AS v ON v.customer_id = c.customer_id
LEFT JOIN clv AS e ON e.customer_id = c.customer_id
LEFT JOIN models.segmentation_labels AS g ON g.customer_id = c.customer_id
LEFT JOIN models.segment_profiles AS p ON p.cluster_id = g.segment
LEFT JOIN models.churn_risk AS k ON k.customer_id = c.customer_id
LEFT JOIN likely_products AS b ON b.customer_id = c.customer_id AND b.place = 1
LEFT JOIN likely_plans AS u ON u.customer_id = c.customer_id AND u.place = 1
LEFT JOIN best_channels AS f ON f.customer_id = c.customer_id AND f.place = 1
LEFT JOIN models.send_time_posteriors AS t ON t.customer_id = c.customer_id AND t.channel = f.channel
LEFT JOIN best_contents AS n ON n.customer_id = c.customer_id AND n.place = 1
LEFT JOIN tiers AS w ON w.unit = c.customer_id AND w.level = 'customer'
LEFT JOIN tiers AS x ON x.unit = l.segment AND x.level = 'segment'
LEFT JOIN models.cadence_posteriors AS q ON q.customer_id = c.customer_id
LEFT JOIN features.churn_labels AS h ON h.customer_id = c.customer_id
LEFT JOIN dispatch.reach AS o ON o.customer_id = c.customer_id
LEFT JOIN dispatch.decisions AS d ON d.customer_id = c.customer_id
