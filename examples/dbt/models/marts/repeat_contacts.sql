-- One row per messaging session of a known customer, with the session before it.

with sessions as (
    select
        interaction_id,
        messaging_end_user_id,
        outcome,
        started_at,
        lag(interaction_id) over customer as previous_interaction_id,
        lag(outcome) over customer as previous_outcome,
        lag(started_at) over customer as previous_started_at
    from {{ ref('interactions') }}
    where messaging_end_user_id is not null
    window customer as (partition by messaging_end_user_id order by started_at, interaction_id)
)

select
    *,
    date_diff('hour', previous_started_at, started_at) as hours_since,
    coalesce(started_at < previous_started_at + interval '{{ var("repeat_days") }} days', false) as is_repeat
from sessions
