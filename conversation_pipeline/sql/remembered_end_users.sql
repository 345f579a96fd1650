-- One row per messaging session or voice call of which more is known now than is remembered: whose it is.

with owned as (
    select id, messaging_end_user_id as end_user_id, conversation_id, conversation_identifier, created_date
    from messaging_sessions

    union all

    select id, end_user_id, conversation_id, conversation_identifier, created_date
    from voice_calls
),

identified as (
    select
        owned.* replace (
            coalesce(owned.conversation_identifier, conversations.conversation_identifier) as conversation_identifier
        )
    from owned
    left join conversations on conversations.id = owned.conversation_id
)

select
    id,
    coalesce(identified.end_user_id, remembered.end_user_id) as end_user_id,
    coalesce(identified.conversation_id, remembered.conversation_id) as conversation_id,
    coalesce(identified.conversation_identifier, remembered.conversation_identifier) as conversation_identifier,
    identified.created_date
from identified
left join remembered_end_users as remembered using (id)
where remembered.id is null
   or identified.end_user_id != remembered.end_user_id
   or identified.conversation_id != remembered.conversation_id
   or identified.conversation_identifier != remembered.conversation_identifier
   or (identified.end_user_id is not null and remembered.end_user_id is null)
   or (identified.conversation_id is not null and remembered.conversation_id is null)
   or (identified.conversation_identifier is not null and remembered.conversation_identifier is null)
order by id
