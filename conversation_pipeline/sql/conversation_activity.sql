-- One row per conversation that had a messaging session or an ended voice call between $day_start and $day_end.
--
-- A session or call counts for the days it overlaps, widened by $margin_seconds before it and by $settle_seconds after
-- it: entries that open it may be stamped just before, and its entries move until it has settled. An open session
-- overlaps every day until it ends.

with messaging_sessions as (
    select * from sessions_in_the_lake
    union all
    select * from earlier_sessions
),

voice_calls as (
    select * from calls_in_the_lake
    union all
    select * from earlier_calls
),

conversation_of as (
    select id, conversation_identifier
    from conversations
),

interactions as (
    select
        id,
        conversation_id,
        conversation_identifier,
        messaging_channel_id as channel_id,
        owner_id,
        'Messaging' as modality,
        channel_type,
        channel_name,
        coalesce(start_time, created_date) as started_at,
        end_time as ended_at,
        status is distinct from 'Inactive' as may_go_on_unseen,
        system_modstamp as changed_at
    from messaging_sessions
    where coalesce(start_time, created_date) < $day_end + to_seconds($margin_seconds)
      and (end_time is null or end_time >= $day_start - to_seconds(greatest($margin_seconds, $settle_seconds)))

    union all

    select
        id,
        conversation_id,
        conversation_identifier,
        null,
        coalesce(user_id, owner_id),
        'Voice',
        'Voice',
        queue_name,
        coalesce(call_start_date_time, created_date),
        call_end_date_time,
        false,
        system_modstamp
    from voice_calls
    where coalesce(call_start_date_time, created_date) < $day_end + to_seconds($margin_seconds)
      and call_end_date_time >= $day_start - to_seconds(greatest($margin_seconds, $settle_seconds))
),

identified as (
    select
        coalesce(interactions.conversation_identifier, conversation_of.conversation_identifier) as identifier,
        interactions.* exclude (conversation_identifier, channel_name),
        coalesce(interactions.channel_name, messaging_channels.master_label) as channel_name,
        users.name as owner_name
    from interactions
    left join conversation_of on conversation_of.id = interactions.conversation_id
    left join messaging_channels on messaging_channels.id = interactions.channel_id
    left join users on users.id = interactions.owner_id
)

select
    identifier as conversation_identifier,
    $day_start as activity_date,
    max(conversation_id) as conversation_id,
    string_agg(distinct modality, '+' order by modality) as modality,
    max_by(channel_type, started_at) as channel_type,
    max_by(channel_name, started_at) as channel_name,
    max_by(owner_name, started_at) filter (owner_name is not null) as owner_name,
    coalesce(list(id order by started_at, id) filter (modality = 'Messaging'), []) as messaging_session_ids,
    coalesce(list(id order by started_at, id) filter (modality = 'Voice'), []) as voice_call_ids,
    min(started_at) as first_activity,
    case when bool_and(ended_at is not null) then max(ended_at) end as last_activity,
    max(changed_at) as changed_at,
    -- Messaging entries stand once the session has ended or the day is over, whichever is first; a call's entries
    -- are stored and tied to it only after it has ended.
    max(
        case
            when modality = 'Voice' then ended_at
            else least(coalesce(ended_at, $day_end), $day_end)
        end
    ) + to_seconds($settle_seconds) as settled_at,
    -- Whoever writes into an inactive session makes it active, which shows in its record; in others, nothing need show.
    bool_or(ended_at is null and may_go_on_unseen) as is_live
from identified
where identifier is not null
group by identifier
order by identifier
