-- One row per UTC day from $first_day to $last_day: how its messaging sessions and voice calls were handled.
--
-- Counts and means as in channel_daily_kpis, all channels together; null for days whose mart is not in the lake.

with days as (
    select day
    from days_with_kpis
),

counted as (
    select
        created_date::date as day,
        count(*) filter (interaction_type = 'MessagingSession') as sessions,
        count(*) filter (interaction_type = 'VoiceCall') as calls,
        count(*) filter (ended_at is not null) as ended,
        count(*) filter (is_told_whole) as told_whole,
        count(*) filter (accepted_at is not null) as accepted,
        count(*) filter (is_abandoned) as abandoned,
        count(*) filter (is_deflected is not null) as with_bot,
        count(*) filter (is_contained) as contained,
        sum(agent_message_count + end_user_message_count)::bigint as messages,
        avg(wait_seconds) as wait_seconds,
        avg(handle_seconds) as handle_seconds,
        sum(average_agent_response_time * agent_response_count) / nullif(sum(agent_response_count), 0)
            as agent_response_seconds
    from session_kpis
    where is_deleted is distinct from true
    group by created_date::date
)

select
    day,
    coalesce(sessions, 0) as sessions,
    coalesce(calls, 0) as calls,
    coalesce(ended, 0) as ended,
    coalesce(told_whole, 0) as told_whole,
    messages,
    wait_seconds,
    handle_seconds,
    agent_response_seconds,
    abandoned / nullif(abandoned + accepted, 0) as abandonment,
    contained / nullif(with_bot, 0) as containment
from days
left join counted using (day)
order by day
