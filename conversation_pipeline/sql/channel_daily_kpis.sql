-- One row per channel: its messaging sessions, or the voice calls, created on one day.
--
-- Means are over the sessions or calls that have a value; of response times, over responses. Soft-deleted sessions and
-- calls do not count, as in Salesforce's reports.

with counted as (
    select
        coalesce(channel_id, channel_type, 'unknown') as channel_key,
        max(channel_id) as channel_id,
        max(channel_type) as channel_type,
        case when max(channel_type) = 'Voice' then 'Voice' else max(channel_name) end as channel_name,
        count(*) as interaction_count,
        count(*) filter (ended_at is not null) as ended_count,
        count(*) filter (is_told_whole) as told_whole_count,
        count(*) filter (accepted_at is not null) as accepted_count,
        count(*) filter (is_abandoned) as abandoned_count,
        count(*) filter (is_deflected is not null) as bot_count,
        count(*) filter (is_deflected) as deflected_count,
        count(*) filter (is_contained) as contained_count,
        sum(transfer_count) as transfer_count,
        avg(wait_seconds) as average_wait_seconds,
        avg(speed_to_answer_seconds) as average_speed_to_answer_seconds,
        avg(handle_seconds) as average_handle_seconds,
        avg(after_conversation_work_seconds) as average_after_conversation_work_seconds,
        avg(queue_wait_seconds) as average_queue_wait_seconds,
        avg(talk_seconds) as average_talk_seconds,
        avg(hold_seconds) as average_hold_seconds,
        sum(agent_message_count) as agent_message_count,
        sum(end_user_message_count) as end_user_message_count,
        sum(average_agent_response_time * agent_response_count) / nullif(sum(agent_response_count), 0)
            as average_agent_response_time,
        max(max_agent_response_time) as max_agent_response_time,
        sum(average_end_user_response_time * end_user_response_count) / nullif(sum(end_user_response_count), 0)
            as average_end_user_response_time,
        max(max_end_user_response_time) as max_end_user_response_time
    from session_kpis
    where is_deleted is distinct from true
    group by channel_key
)

select
    channel_key,
    $day_start as session_date,
    counted.* exclude (channel_key),
    abandoned_count / nullif(abandoned_count + accepted_count, 0) as abandonment_rate,
    deflected_count / nullif(bot_count, 0) as deflection_rate,
    contained_count / nullif(bot_count, 0) as containment_rate
from counted
order by channel_key
