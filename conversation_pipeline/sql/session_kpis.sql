-- One row per messaging session or voice call created between $day_start and $day_end: how well it was handled.
--
-- Sources, in brackets: OR = Object Reference of the named object, v66 unless said; help = Salesforce help "Report on
-- Messaging Activity in Service Cloud"; ours = Salesforce publishes no definition. What can not be told is null.

with users_by_short_id as (
    select left(id, 15) as short_id, id, name
    from users
),

interactions as (
    select
        messaging_sessions.id as interaction_id,
        'MessagingSession' as interaction_type,
        conversation_identifier,
        messaging_channel_id as channel_id,
        channel_type,
        coalesce(channel_name, messaging_channels.master_label) as channel_name,
        null as queue_name,
        owner_id,
        messaging_sessions.created_date,
        coalesce(start_time, messaging_sessions.created_date) as started_at,
        accept_time as accepted_at,
        end_time as ended_at,
        messaging_sessions.is_deleted,
        agent_type,
        ended_by_type,
        null as call_type,
        null::bigint as queue_wait_seconds,
        null::bigint as call_seconds,
        null::bigint as hold_seconds,
        null::bigint as longest_hold_seconds,
        null::bigint as hold_count,
        null::bigint as ivr_seconds,
        null as next_call_id
    from messaging_sessions
    left join messaging_channels on messaging_channels.id = messaging_sessions.messaging_channel_id
    where messaging_sessions.created_date >= $day_start and messaging_sessions.created_date < $day_end

    union all

    select
        id,
        'VoiceCall',
        conversation_identifier,
        null,
        'Voice',
        queue_name,
        queue_name,
        coalesce(user_id, owner_id),
        created_date,
        coalesce(call_start_date_time, created_date),
        call_accept_date_time,
        call_end_date_time,
        is_deleted,
        null,
        null,
        call_type,
        -- Queue wait: put into the queue to accepted by an agent [ours, from VoiceCall's times].
        date_diff('second', call_queued_date_time, call_accept_date_time),
        call_duration_in_seconds,
        customer_hold_duration,
        longest_hold_duration,
        number_of_holds,
        ivr_duration,
        next_call_id
    from voice_calls
    where created_date >= $day_start and created_date < $day_end
),

-- The stored metrics: one row a session and type [OR MessagingSessionMetrics].
stored as (
    select
        messaging_session_id as interaction_id,
        max(value) filter (type = 'AgentMessageCount') as stored_agent_message_count,
        max(value) filter (type = 'EndUserMessageCount') as stored_end_user_message_count,
        max(value) filter (type = 'AverageAgentResponseTime') as stored_average_agent_response_time,
        max(value) filter (type = 'MaxAgentResponseTime') as stored_max_agent_response_time,
        max(value) filter (type = 'AverageEndUserResponseTime') as stored_average_end_user_response_time,
        max(value) filter (type = 'MaxEndUserResponseTime') as stored_max_end_user_response_time,
        max(value) filter (type = 'ServiceRepFirstResponseTime') as stored_service_rep_first_response_time,
        max(value) filter (type = 'ServiceRepAcceptToFirstResponseTime')
            as stored_service_rep_accept_to_first_response_time
    from (
        select
            messaging_session_id,
            messaging_session_metric_type as type,
            arg_max(messaging_session_metric_value, system_modstamp) as value
        from messaging_session_metrics
        semi join interactions on interactions.interaction_id = messaging_session_metrics.messaging_session_id
        group by all
    )
    group by all
),

works as (
    select
        work_item_id as interaction_id,
        id,
        user_id as agent_id,
        original_group_id as queue_id,
        status,
        request_date_time as requested_at,
        accept_date_time as accepted_at,
        close_date_time as closed_at,
        coalesce(abandoned_date_time, cancel_date_time) is not null or status = 'Canceled' as is_abandoned,
        status in ('Declined', 'DeclinedOnPushTimeout') as is_declined,
        -- A transfer makes a further piece of work, and this one is Transferred [OR AgentWork, Status].
        status = 'Transferred' as is_transferred,
        speed_to_answer,
        handle_time,
        after_conversation_actual_time
    from agent_work
    semi join interactions on interactions.interaction_id = agent_work.work_item_id
),

worked as (
    select
        interaction_id,
        count(*) as work_count,
        min(requested_at) as requested_at,
        -- Of who served last and of where it waited first.
        arg_max(agent_id, accepted_at) as agent_id,
        arg_min(queue_id, requested_at) filter (queue_id is not null) as queue_id,
        count(distinct agent_id) filter (accepted_at is not null) as agent_count,
        -- Speed to answer: request to accept, of the first work that was accepted [OR AgentWork, SpeedToAnswer].
        arg_min(speed_to_answer, accepted_at) as speed_to_answer_seconds,
        -- Handle time: accept to close or to the end of after-conversation work, whichever is earlier, of all its works
        -- [OR AgentWork, HandleTime]; not before each of them has it.
        case when bool_and(handle_time is not null) filter (accepted_at is not null)
            then sum(handle_time) end as handle_seconds,
        -- After-conversation work: from the end of contact on [OR AgentWork, AfterConversationActualTime]; not before
        -- all of its works have closed, for until then more may come.
        case when bool_and(closed_at is not null) filter (accepted_at is not null)
            then sum(after_conversation_actual_time) end as after_conversation_work_seconds,
        count(*) filter (is_transferred) as transfer_count,
        bool_or(is_abandoned) as is_abandoned,
        list(
            struct_pack(
                agent_id, queue_id, status, requested_at, accepted_at, closed_at, is_abandoned, is_declined,
                is_transferred, speed_to_answer, handle_time,
                after_conversation_work := after_conversation_actual_time
            )
            order by requested_at, id
        ) as works
    from works
    group by interaction_id
),

told as (
    select
        messaging_session_id as interaction_id,
        entry_identifier,
        -- What counts as a message: sent as one, and not hidden from the end user, as notes and whispers are.
        entry_type = 'Message' and visibility is distinct from 'Internal' as is_message,
        sender_role,
        left(sender_subject, 15) as sender_id,
        transcripted_timestamp as sent_at,
        fetched_at
    from conversation_entries
    semi join interactions on interactions.interaction_id = conversation_entries.messaging_session_id
),

told_by_day as (
    select interaction_id, date_trunc('day', sent_at) as day, max(fetched_at) as read_at
    from told
    group by all
),

-- Sessions that were told to their end. Salesforce computes metrics when the session ends, of all its messages: each
-- of its days must have been read, and its entries of each day after the session or the day had ended.
told_whole as (
    select told_by_day.interaction_id
    from told_by_day
    join interactions using (interaction_id)
    where ended_at is not null
    group by told_by_day.interaction_id, started_at, ended_at
    having bool_and(read_at >= least(ended_at, day + interval 1 day))
       and (
           select count(*) from days_with_entries
           where day between started_at::date and ended_at::date
       ) = date_diff('day', started_at::date, ended_at::date) + 1
),

messages as (
    select
        *,
        lag(sender_role) over said as previous_role,
        (epoch_ms(sent_at) - epoch_ms(lag(sent_at) over said)) / 1000 as seconds_since
    from told
    semi join told_whole using (interaction_id)
    where is_message
    window said as (partition by interaction_id order by sent_at, entry_identifier)
),

-- Response times are from a message to the other side's response to it: agents respond to end users, end users to
-- agents and bots [OR MessagingSessionMetrics, MessagingSessionMetricType]. A response is the message that comes next;
-- of several messages in a row, so the last is answered by the first that follows; a DigitalWorker's, which Salesforce
-- does not speak of, is neither an agent's nor a bot's [ours].
responses as (
    select
        *,
        sender_role = 'Agent' and previous_role = 'EndUser' as is_agent_response,
        sender_role = 'EndUser' and previous_role in ('Agent', 'Chatbot') as is_end_user_response
    from messages
),

computed as (
    select
        interaction_id,
        -- Messages sent by agents, and by the end user, in the session [OR MessagingSessionMetrics].
        count(*) filter (sender_role = 'Agent') as agent_message_count,
        count(*) filter (sender_role = 'EndUser') as end_user_message_count,
        count(*) filter (is_agent_response) as agent_response_count,
        count(*) filter (is_end_user_response) as end_user_response_count,
        -- Mean and longest response time of agents, and of the end user [OR MessagingSessionMetrics].
        avg(seconds_since) filter (is_agent_response) as average_agent_response_time,
        max(seconds_since) filter (is_agent_response) as max_agent_response_time,
        avg(seconds_since) filter (is_end_user_response) as average_end_user_response_time,
        max(seconds_since) filter (is_end_user_response) as max_end_user_response_time,
        -- Transfer to service reps initiated, to a rep's first response [OR v67 MessagingSessionMetrics]: initiated is
        -- when the first agent work was requested [ours].
        (min(epoch_ms(sent_at)) filter (sender_role = 'Agent' and sent_at >= requested_at) - epoch_ms(requested_at))
            / 1000 as service_rep_first_response_time,
        -- Accepted by a rep, to the first response [OR v68, preview, MessagingSessionMetrics].
        (min(epoch_ms(sent_at)) filter (sender_role = 'Agent' and sent_at >= accepted_at) - epoch_ms(accepted_at))
            / 1000 as service_rep_accept_to_first_response_time
    from (
        select responses.*, interactions.accepted_at, worked.requested_at
        from responses
        join interactions using (interaction_id)
        left join worked using (interaction_id)
    )
    group by interaction_id, accepted_at, requested_at
),

-- What each agent wrote, under the queue that the agent took the work from last.
replied as (
    select
        interaction_id,
        list(
            struct_pack(agent_id, queue_id, message_count, response_count, response_seconds)
            order by agent_id
        ) as replies
    from (
        select
            responses.interaction_id,
            users_by_short_id.id as agent_id,
            queue_of.queue_id,
            count(*) as message_count,
            count(*) filter (is_agent_response) as response_count,
            coalesce(sum(seconds_since) filter (is_agent_response), 0) as response_seconds
        from responses
        join users_by_short_id on users_by_short_id.short_id = responses.sender_id
        left join (
            select interaction_id, agent_id, arg_max(queue_id, requested_at) as queue_id
            from works
            where agent_id is not null
            group by all
        ) as queue_of
            on queue_of.interaction_id = responses.interaction_id and queue_of.agent_id = users_by_short_id.id
        where sender_role = 'Agent'
        group by all
    )
    group by interaction_id
),

queues_by_name as (
    select name, min(id) as id
    from queues
    group by name
    having count(*) = 1
),

handled as (
    select
        interactions.*,
        worked.* exclude (interaction_id, is_abandoned, queue_id),
        -- The queue is told by the work; without it, by the owner of what still waits or was given up, or by the call's
        -- QueueName [OR AgentWork, OriginalGroupId; MessagingSession and VoiceCall, OwnerId; VoiceCall, QueueName].
        coalesce(worked.queue_id, owning_queue.id, called_queue.id) as queue_id,
        coalesce(worked.is_abandoned, false) as gave_up,
        -- Who works is told by the work; without it, by the owner of what was accepted.
        coalesce(worked.agent_id, case when interactions.accepted_at is not null then owner.id end) as served_by
    from interactions
    left join worked using (interaction_id)
    left join users as owner on owner.id = interactions.owner_id
    left join queues as owning_queue on owning_queue.id = interactions.owner_id
    left join queues_by_name as called_queue on called_queue.name = interactions.queue_name
)

select
    handled.interaction_id,
    interaction_type,
    conversation_identifier,
    channel_id,
    channel_type,
    channel_name,
    served_by as agent_id,
    agent.name as agent_name,
    queue_id,
    coalesce(queues.name, queue_name) as queue_name,
    handled.created_date,
    started_at,
    accepted_at,
    ended_at,
    is_deleted,
    interaction_type = 'MessagingSession' and told_whole.interaction_id is not null as is_told_whole,

    -- Wait: begin to accept by the first agent [ours, from AcceptTime and StartTime].
    date_diff('second', started_at, accepted_at) as wait_seconds,
    speed_to_answer_seconds,
    -- While it is open, who is silent may write again, and further work come.
    case when ended_at is not null then handle_seconds end as handle_seconds,
    case when ended_at is not null then after_conversation_work_seconds end as after_conversation_work_seconds,
    case when ended_at is not null then coalesce(agent_count, case when accepted_at is null then 0 end) end
        as agent_count,
    -- Transfers: works that were handed on; of a call, which goes on as a further record, whether there is one
    -- [OR AgentWork, Status; OR VoiceCall, NextCallId].
    case
        when ended_at is null then null
        when interaction_type = 'VoiceCall' then (next_call_id is not null)::bigint
        when work_count > 0 or accepted_at is null then coalesce(transfer_count, 0)
    end as transfer_count,
    -- Abandoned: asked for an agent and ended before one accepted [help names AgentWork's Canceled and
    -- AbandonedDateTime; of a session without accept, ours]. Only who calls in can give up waiting.
    case
        when accepted_at is not null then false
        when ended_at is null then null
        when gave_up or agent_type in ('Agent', 'BotToAgent') or call_type in ('Inbound', 'Transfer') then true
        when agent_type in ('Bot', 'System') then false
    end as is_abandoned,
    -- Deflected: a bot took part, and no agent was asked for [ours, from AgentType Bot and BotToAgent].
    case when ended_at is not null and agent_type in ('Bot', 'BotToAgent') then agent_type = 'Bot' end as is_deflected,
    -- Contained: deflected, and the bot itself brought the session to its end [ours, from AgentType and EndedByType].
    case
        when ended_at is not null and agent_type = 'BotToAgent' then false
        when ended_at is not null and agent_type = 'Bot' then ended_by_type = 'Bot'
    end as is_contained,

    queue_wait_seconds,
    call_seconds,
    -- Talk: accept to end without the time on hold [ours, from VoiceCall's times and CustomerHoldDuration]. VoiceCall
    -- has no talk time of its own: CallDurationInSeconds is of the whole call, menu, queue and hold included.
    case when interaction_type = 'VoiceCall' then date_diff('second', accepted_at, ended_at) - hold_seconds end
        as talk_seconds,
    hold_seconds,
    longest_hold_seconds,
    hold_count,
    ivr_seconds,

    -- Of a session that was told whole and in which nobody wrote, none are the count.
    case when told_whole.interaction_id is not null then coalesce(agent_message_count, 0) end as agent_message_count,
    case when told_whole.interaction_id is not null then coalesce(end_user_message_count, 0) end
        as end_user_message_count,
    case when told_whole.interaction_id is not null then coalesce(agent_response_count, 0) end as agent_response_count,
    case when told_whole.interaction_id is not null then coalesce(end_user_response_count, 0) end
        as end_user_response_count,
    average_agent_response_time,
    max_agent_response_time,
    average_end_user_response_time,
    max_end_user_response_time,
    service_rep_first_response_time,
    service_rep_accept_to_first_response_time,
    stored.* exclude (interaction_id),
    coalesce(works, []) as works,
    coalesce(replies, []) as replies
from handled
left join told_whole using (interaction_id)
left join computed using (interaction_id)
left join replied using (interaction_id)
left join stored using (interaction_id)
left join queues on queues.id = handled.queue_id
left join users as agent on agent.id = served_by
order by handled.interaction_id
