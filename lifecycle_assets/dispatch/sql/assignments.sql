-- The arm of every customer in one experiment: held out when the hash of salt, experiment and customer lies below the share.
SELECT
    drawn.shop_id,
    drawn.as_of,
    :experiment AS experiment,
    drawn.customer_id,
    CASE WHEN drawn.bucket < :below THEN 'holdout' ELSE 'treatment' END AS arm,
    drawn.bucket,
    CAST(:holdout_share AS DOUBLE) AS holdout_share
FROM (
    SELECT
        shop_id,
        as_of,
        customer_id,
        SUBSTRING(MD5(:salted || customer_id), 1, 8) AS bucket
    FROM features.customer_features
) AS drawn
