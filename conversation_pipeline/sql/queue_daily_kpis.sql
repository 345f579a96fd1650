-- One row per queue: the messaging sessions and voice calls created on one day that waited in it, and the work from it.
--
-- Sessions and calls count for the queue in which they waited first, so that each counts once; work counts for the queue
-- that it came from, also after a transfer. What no queue is known of, such as sessions with a bot alone, is left out;
-- work without a queue, which was routed to an agent by name, has a row of its own. Soft-deleted sessions and calls do
-- not count, as in Salesforce's reports.

with session_kpis_that_count as (
    select *
    from session_kpis
    where is_deleted is distinct from true
),

works as (
    select unnest(works, recursive := true)
    from session_kpis_that_count
),

replies as (
    select unnest(replies, recursive := true)
    from session_kpis_that_count
),

waited as (
    select
        coalesce(queue_id, queue_name) as queue_key,
        max(queue_id) as queue_id,
        max(queue_name) as queue_name,
        count(*) as interaction_count,
        count(*) filter (accepted_at is not null) as accepted_count,
        count(*) filter (is_abandoned) as abandoned_count,
        sum(transfer_count) as transfer_count,
        avg(queue_wait_seconds) as average_queue_wait_seconds,
        max(queue_wait_seconds) as max_queue_wait_seconds,
        avg(talk_seconds) as average_talk_seconds,
        avg(hold_seconds) as average_hold_seconds
    from session_kpis_that_count
    where coalesce(queue_id, queue_name) is not null
    group by queue_key
),

worked as (
    select
        coalesce(queue_id, 'none') as queue_key,
        max(queue_id) as queue_id,
        count(distinct agent_id) filter (accepted_at is not null) as agent_count,
        count(*) as work_count,
        count(*) filter (accepted_at is not null) as accepted_work_count,
        count(*) filter (is_declined) as declined_work_count,
        count(*) filter (is_abandoned) as abandoned_work_count,
        count(*) filter (is_transferred) as transferred_work_count,
        avg(speed_to_answer) as average_speed_to_answer_seconds,
        max(speed_to_answer) as max_speed_to_answer_seconds,
        sum(handle_time) as handle_seconds,
        avg(handle_time) as average_handle_seconds,
        sum(after_conversation_work) as after_conversation_work_seconds,
        avg(after_conversation_work) as average_after_conversation_work_seconds
    from works
    group by queue_key
),

-- The mean is over responses, not over sessions.
replied as (
    select
        coalesce(queue_id, 'none') as queue_key,
        max(queue_id) as queue_id,
        sum(message_count) as agent_message_count,
        sum(response_count) as agent_response_count,
        sum(response_seconds) / nullif(sum(response_count), 0) as average_agent_response_time
    from replies
    group by queue_key
)

select
    queue_key,
    $day_start as session_date,
    coalesce(waited.queue_id, worked.queue_id, replied.queue_id) as queue_id,
    coalesce(queues.name, waited.queue_name) as queue_name,
    coalesce(interaction_count, 0) as interaction_count,
    coalesce(accepted_count, 0) as accepted_count,
    coalesce(abandoned_count, 0) as abandoned_count,
    abandoned_count / nullif(abandoned_count + accepted_count, 0) as abandonment_rate,
    coalesce(transfer_count, 0) as transfer_count,
    average_queue_wait_seconds,
    max_queue_wait_seconds,
    average_talk_seconds,
    average_hold_seconds,
    coalesce(agent_count, 0) as agent_count,
    coalesce(work_count, 0) as work_count,
    coalesce(accepted_work_count, 0) as accepted_work_count,
    coalesce(declined_work_count, 0) as declined_work_count,
    coalesce(abandoned_work_count, 0) as abandoned_work_count,
    coalesce(transferred_work_count, 0) as transferred_work_count,
    average_speed_to_answer_seconds,
    max_speed_to_answer_seconds,
    handle_seconds,
    average_handle_seconds,
    after_conversation_work_seconds,
    average_after_conversation_work_seconds,
    agent_message_count,
    agent_response_count,
    average_agent_response_time
from waited
full join worked using (queue_key)
full join replied using (queue_key)
left join queues on queues.id = coalesce(waited.queue_id, worked.queue_id, replied.queue_id)
order by queue_key
