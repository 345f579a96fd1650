-- Rows here are a failure: interactions that the daily table counts twice or not at all.

with by_day as (
    select coalesce(sum(interactions), 0) as total from {{ ref('channel_days') }}
),

one_by_one as (
    select count(*) as total from {{ ref('interactions') }}
)

select by_day.total as by_day, one_by_one.total as one_by_one
from by_day
cross join one_by_one
where by_day.total <> one_by_one.total
