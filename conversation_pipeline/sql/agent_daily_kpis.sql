-- One row per agent and queue: the work on messaging sessions and voice calls created on one day.
--
-- Counts and times are of AgentWork, by whom it was assigned to; work that found no agent has a row of its own in each
-- queue. Soft-deleted sessions and calls do not count, as in Salesforce's reports.

with session_kpis_that_count as (
    select *
    from session_kpis
    where is_deleted is distinct from true
),

works as (
    select interaction_id, unnest(works, recursive := true)
    from session_kpis_that_count
),

replies as (
    select interaction_id, unnest(replies, recursive := true)
    from session_kpis_that_count
),

worked as (
    select
        agent_id,
        queue_id,
        count(*) as work_count,
        count(distinct interaction_id) as interaction_count,
        count(*) filter (accepted_at is not null) as accepted_count,
        count(*) filter (is_declined) as declined_count,
        count(*) filter (is_abandoned) as abandoned_count,
        count(*) filter (is_transferred) as transferred_count,
        avg(speed_to_answer) as average_speed_to_answer_seconds,
        max(speed_to_answer) as max_speed_to_answer_seconds,
        sum(handle_time) as handle_seconds,
        avg(handle_time) as average_handle_seconds,
        sum(after_conversation_work) as after_conversation_work_seconds,
        avg(after_conversation_work) as average_after_conversation_work_seconds
    from works
    group by all
),

-- The mean is over responses, not over sessions.
replied as (
    select
        agent_id,
        queue_id,
        sum(message_count) as agent_message_count,
        sum(response_count) as agent_response_count,
        sum(response_seconds) / nullif(sum(response_count), 0) as average_agent_response_time
    from replies
    group by all
),

both_sides as (
    select
        coalesce(worked.agent_id, replied.agent_id) as agent_id,
        coalesce(worked.queue_id, replied.queue_id) as queue_id,
        worked.* exclude (agent_id, queue_id),
        replied.* exclude (agent_id, queue_id)
    from worked
    full join replied
        on replied.agent_id is not distinct from worked.agent_id
        and replied.queue_id is not distinct from worked.queue_id
)

select
    coalesce(agent_id, 'none') || '/' || coalesce(queue_id, 'none') as agent_queue_key,
    $day_start as session_date,
    both_sides.agent_id,
    users.name as agent_name,
    both_sides.queue_id,
    queues.name as queue_name,
    coalesce(work_count, 0) as work_count,
    coalesce(interaction_count, 0) as interaction_count,
    coalesce(accepted_count, 0) as accepted_count,
    coalesce(declined_count, 0) as declined_count,
    coalesce(abandoned_count, 0) as abandoned_count,
    coalesce(transferred_count, 0) as transferred_count,
    average_speed_to_answer_seconds,
    max_speed_to_answer_seconds,
    handle_seconds,
    average_handle_seconds,
    after_conversation_work_seconds,
    average_after_conversation_work_seconds,
    agent_message_count,
    agent_response_count,
    average_agent_response_time
from both_sides
left join users on users.id = both_sides.agent_id
left join queues on queues.id = both_sides.queue_id
order by agent_queue_key
