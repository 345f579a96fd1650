-- One row per hour of the day (UTC) and channel type: the messaging sessions and voice calls that were created in it.

select
    hour(created_date) as hour,
    coalesce(channel_type, 'unknown') as channel_type,
    count(*) as interactions,
    avg(wait_seconds) as wait_seconds,
    count(wait_seconds) as waited,
    sum(average_agent_response_time * agent_response_count) as response_seconds,
    sum(agent_response_count) filter (average_agent_response_time is not null)::bigint as responses
from session_kpis
where is_deleted is distinct from true
group by all
order by hour, channel_type
