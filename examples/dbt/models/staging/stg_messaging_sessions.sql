-- One row per messaging session.

with source as (
    select * from {{ source(target.name, 'messaging_sessions') }}
)

select
    id as messaging_session_id,
    conversation_identifier,
    messaging_end_user_id,
    owner_id,
    channel_type,
    channel_name,
    agent_type,
    ended_by_type,
    status,
    coalesce(start_time, created_date) as started_at,
    accept_time as accepted_at,
    end_time as ended_at,
    coalesce(is_deleted, false) as is_deleted,
    day as created_day
from source
