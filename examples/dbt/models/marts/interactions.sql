-- One row per messaging session or voice call: who handled it, how it ended, how long the customer waited.

with sessions_and_calls as (
    select
        messaging_session_id as interaction_id,
        'MessagingSession' as interaction_type,
        conversation_identifier,
        messaging_end_user_id,
        channel_type,
        channel_name,
        owner_id,
        started_at,
        accepted_at,
        ended_at,
        is_deleted,
        created_day
    from {{ ref('stg_messaging_sessions') }}

    union all

    select
        voice_call_id,
        'VoiceCall',
        conversation_identifier,
        null,
        'Voice',
        queue_name,
        owner_id,
        started_at,
        accepted_at,
        ended_at,
        is_deleted,
        created_day
    from {{ ref('stg_voice_calls') }}
),

spoken as (
    select
        interaction_id,
        count(*) as message_count,
        count(*) filter (sender_role = 'EndUser') as customer_message_count,
        min(sent_at) filter (sender_role = 'Agent') as first_agent_message_at
    from {{ ref('stg_messages') }}
    group by interaction_id
)

select
    sessions_and_calls.*,
    case when owner_id like '005%' then owner_id end as agent_id,  -- a user's id; else a queue's
    users.user_name as agent_name,
    case
        when accepted_at is not null then 'answered'
        when ended_at is null then 'open'
        when is_contained then 'contained'
        when is_deflected then 'deflected'
        when is_abandoned then 'abandoned'
        else 'unanswered'
    end as outcome,
    figures.queue_name,
    figures.speed_to_answer_seconds,
    figures.handle_seconds,
    date_diff('second', started_at, accepted_at) as seconds_to_accept,
    date_diff('second', accepted_at, first_agent_message_at) as seconds_to_first_message,
    date_diff('second', started_at, ended_at) as seconds_open,
    coalesce(message_count, 0) as message_count,
    coalesce(customer_message_count, 0) as customer_message_count
from sessions_and_calls
left join spoken using (interaction_id)
left join {{ ref('stg_session_kpis') }} as figures using (interaction_id)
left join {{ ref('stg_users') }} as users on users.user_id = sessions_and_calls.owner_id
