-- One row per messaging session or voice call created between $day_start and $day_end: what was said, in order.

with interactions as (
    select
        messaging_sessions.id as interaction_id,
        'MessagingSession' as interaction_type,
        conversation_identifier,
        channel_type,
        coalesce(channel_name, messaging_channels.master_label) as channel_name,
        users.name as agent_name,
        messaging_sessions.created_date,
        coalesce(start_time, messaging_sessions.created_date) as started_at,
        end_time as ended_at
    from messaging_sessions
    left join users on users.id = messaging_sessions.owner_id
    left join messaging_channels on messaging_channels.id = messaging_sessions.messaging_channel_id
    where messaging_sessions.created_date >= $day_start and messaging_sessions.created_date < $day_end

    union all

    select
        voice_calls.id,
        'VoiceCall',
        conversation_identifier,
        'Voice',
        queue_name,
        users.name,
        voice_calls.created_date,
        coalesce(call_start_date_time, voice_calls.created_date),
        call_end_date_time
    from voice_calls
    left join users on users.id = coalesce(voice_calls.user_id, voice_calls.owner_id)
    where voice_calls.created_date >= $day_start and voice_calls.created_date < $day_end
),

spoken as (
    select
        *,
        coalesce(voice_call_id, messaging_session_id) as interaction_id,
        case sender_role
            when 'EndUser' then 'customer'
            when 'Chatbot' then 'bot'
            when 'DigitalWorker' then 'bot'
            else lower(sender_role)
        end as side
    from messages
    semi join interactions
        on interactions.interaction_id = coalesce(messages.voice_call_id, messages.messaging_session_id)
),

turns as (
    select
        interaction_id,
        count(*) filter (not is_internal) as message_count,
        list(
            struct_pack(sent_at, sender_role, sender_name, text, is_internal, entry_identifier)
            order by sent_at, entry_identifier
        ) as turns,
        string_agg(
            strftime(sent_at, '%Y-%m-%d %H:%M:%S')
                || '  '
                || sender_name
                || coalesce(' (' || nullif(concat_ws(
                    ', ', nullif(side, lower(sender_name)), case when is_internal then 'internal' end
                ), '') || ')', '')
                || ': '
                || replace(text, chr(10), chr(10) || '    '),
            chr(10) order by sent_at, entry_identifier
        ) as transcript
    from spoken
    where interaction_id is not null
    group by interaction_id
)

select
    interactions.*,
    coalesce(turns.message_count, 0) as message_count,
    coalesce(turns.turns, []) as turns,
    coalesce(turns.transcript, '') as transcript
from interactions
left join turns using (interaction_id)
order by interaction_id
