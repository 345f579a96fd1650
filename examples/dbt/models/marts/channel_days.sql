-- One row per UTC day and channel.

with interactions as (
    select * from {{ ref('interactions') }}
)

select
    created_day || '/' || coalesce(channel_name, channel_type) as channel_day_id,
    created_day,
    coalesce(channel_name, channel_type) as channel,
    any_value(channel_type) as channel_type,
    count(*) as interactions,
    count(*) filter (outcome = 'answered') as answered,
    count(*) filter (outcome = 'contained') as contained,
    count(*) filter (outcome = 'deflected') as deflected,
    count(*) filter (outcome = 'abandoned') as abandoned,
    count(*) filter (outcome = 'open') as still_open,
    median(seconds_to_accept) as median_seconds_to_accept,
    sum(message_count) as messages
from interactions
group by all
