-- One row per message that the customer could see.

with source as (
    select * from {{ source(target.name, 'messages') }}
)

select
    conversation_identifier || '/' || entry_identifier as message_id,
    coalesce(voice_call_id, messaging_session_id) as interaction_id,
    conversation_identifier,
    entry_identifier,
    sent_at,
    sender_role,
    kind,
    text
from source
where not is_internal
