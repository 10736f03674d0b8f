-- The arm of every customer in one experiment: held out when the hash of salt, experiment and customer lies below the share.
-- Its second eight digits decide between variants, for which assignments.py puts a CASE in the place of :variant.
-- Of a layer those take part whose hash of layer and customer lies in the experiment's part of it.
SELECT
    drawn.shop_id,
    drawn.as_of,
    :experiment AS experiment,
    drawn.customer_id,
    CASE WHEN drawn.bucket < :below THEN 'holdout' ELSE 'treatment' END AS arm,
    CASE WHEN drawn.bucket >= :below THEN CAST(:variant AS VARCHAR) END AS variant,
    CAST(:layer AS VARCHAR) AS layer,
    drawn.bucket,
    CAST(:holdout_share AS DOUBLE) AS holdout_share
FROM (
    SELECT
        hashed.shop_id,
        hashed.as_of,
        hashed.customer_id,
        SUBSTRING(hashed.digest, 1, 8) AS bucket,
        SUBSTRING(hashed.digest, 9, 8) AS second_bucket
    FROM (
        SELECT
            shop_id,
            as_of,
            customer_id,
            MD5(:salted || customer_id) AS digest
        FROM features.customer_features
        WHERE CAST(:layer AS VARCHAR) IS NULL
            OR (
                SUBSTRING(MD5(:layered || customer_id), 1, 8) >= :starts
                AND SUBSTRING(MD5(:layered || customer_id), 1, 8) < :ends
            )
    ) AS hashed
) AS drawn
