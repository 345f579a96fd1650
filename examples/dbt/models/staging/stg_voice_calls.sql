-- One row per voice call.

with source as (
    select * from {{ source(target.name, 'voice_calls') }}
)

select
    id as voice_call_id,
    conversation_identifier,
    coalesce(user_id, owner_id) as owner_id,
    queue_name,
    call_type,
    coalesce(call_start_date_time, created_date) as started_at,
    call_accept_date_time as accepted_at,
    call_end_date_time as ended_at,
    coalesce(is_deleted, false) as is_deleted,
    day as created_day
from source
