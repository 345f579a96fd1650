-- One row per conversation entry: the roads' tellings of one day, each entry once.
--
-- The fuller road's telling is shown; within a road the newest is all that there is. Which tellings are of one entry,
-- and what was redacted, is found out by tellings.sql. Sessions and calls come from the entry's related records, else
-- from the one that was going on; names and roles from the entry, else from the conversation's participants, names of
-- agents else from the org's users.

with sessions as (
    select id, conversation_identifier, coalesce(start_time, created_date) as started_at
    from messaging_sessions
),

calls as (
    select id, conversation_identifier, coalesce(call_start_date_time, created_date) as started_at
    from voice_calls
),

-- Told by their key prefixes, whether the record is in the lake or began before it.
placed as (
    select
        *,
        coalesce(
            list_min(list_filter(related_records, lambda id: starts_with(id, '0Mw'))), messaging_session_id
        ) as related_session,
        coalesce(list_min(list_filter(related_records, lambda id: starts_with(id, '0LQ'))), voice_call_id)
            as related_call
    from tellings
),

-- What was going on when an entry without such records was received: the latest session or call that had begun, with
-- the leeway that whole-second record times need.
moments as (
    select distinct conversation_identifier, transcripted_timestamp
    from placed
    where related_session is null and related_call is null
),

going_on as (
    select
        moments.*,
        sessions.id as session_going_on,
        calls.id as call_going_on
    from moments
    asof left join sessions
        on sessions.conversation_identifier = moments.conversation_identifier
        and sessions.started_at <= moments.transcripted_timestamp + to_seconds(1)
    asof left join calls
        on calls.conversation_identifier = moments.conversation_identifier
        and calls.started_at <= moments.transcripted_timestamp + to_seconds(1)
),

-- Entries name their sender as participants are keyed; who joined twice is called what they were called last.
participants as (
    select
        conversations.conversation_identifier,
        joined.participant_key as sender_subject,
        arg_max(joined.participant_display_name, coalesce(joined.joined_time, joined.created_date)) as name
    from conversation_participants as joined
    join conversations on conversations.id = joined.conversation_id
    semi join tellings on tellings.conversation_identifier = conversations.conversation_identifier
    where trim(joined.participant_display_name) <> ''
    group by all
),

-- Data Cloud's published mapping tells senders by their names alone: what the participant of that name was, and who.
roles as (
    select
        conversations.conversation_identifier,
        joined.participant_display_name as name,
        min(replace(joined.participant_role, ' ', '')) as role,
        case when count(distinct joined.participant_key) = 1 then min(joined.participant_key) end as subject
    from conversation_participants as joined
    join conversations on conversations.id = joined.conversation_id
    semi join tellings on tellings.conversation_identifier = conversations.conversation_identifier
    where joined.participant_role is not null
    group by all
    having count(distinct joined.participant_role) = 1
),

chosen as (
    select
        precedence,
        conversation_identifier,
        entry_identifier,
        in_reply_to_entry_identifier,
        unnest(selected_options, recursive := true),
        generate_subscripts(selected_options, 1) as place
    from tellings
    where len(selected_options) > 0
),

-- Choices are often made after midnight of the day on which they were offered.
offered as (
    select distinct conversation_identifier, entry_identifier, unnest(options, recursive := true)
    from entries_of_two_days
    semi join chosen using (conversation_identifier)
    where len(options) > 0
),

titles as (
    select conversation_identifier, entry_identifier, option_identifier, min(title) as title
    from offered
    where option_identifier is not null and title is not null
    group by all
),

-- Menus may use the same identifiers for other choices: without the message that was answered, only an identifier
-- that ever had one title names it.
titles_without_message as (
    select conversation_identifier, option_identifier, min(title) as title
    from titles
    group by all
    having count(distinct title) = 1
),

-- A selection may come without its title; the choice that was offered has it.
named_choices as (
    select
        chosen.precedence,
        chosen.conversation_identifier,
        chosen.entry_identifier,
        list(
            struct_pack(
                option_identifier := chosen.option_identifier,
                title := coalesce(chosen.title, titles.title, titles_without_message.title)
            )
            order by chosen.place
        ) as selected_options,
        string_agg(coalesce(chosen.title, titles.title, titles_without_message.title), ', ' order by chosen.place)
            as text
    from chosen
    left join titles
        on titles.conversation_identifier = chosen.conversation_identifier
        and titles.entry_identifier = chosen.in_reply_to_entry_identifier
        and titles.option_identifier = chosen.option_identifier
    left join titles_without_message
        on titles_without_message.conversation_identifier = chosen.conversation_identifier
        and titles_without_message.option_identifier = chosen.option_identifier
    group by chosen.precedence, chosen.conversation_identifier, chosen.entry_identifier
),

-- Names of roads by the sets that shared knows.
road_sets as (
    select
        set::utinyint as roads,
        list_sort(list_filter(
            ['conversation_data', 'data_cloud', 'archive', 'connect'], lambda road, place: set & (1 << place) > 0
        )) as roads_seen
    from range(2, 32, 2) as sets(set)
),

entries as (
    select
        placed.* replace (coalesce(renamed.entry_identifier, placed.entry_identifier) as entry_identifier),
        placed.entry_identifier as told_identifier
    from placed
    left join renamed
        on renamed.precedence = placed.precedence
        and renamed.conversation_identifier = placed.conversation_identifier
        and renamed.told_identifier = placed.entry_identifier
),

shown as (
    select entries.*, coalesce(shared.roads, 1::utinyint << entries.precedence) as roads
    from entries
    left join shared
        on shared.conversation_identifier = entries.conversation_identifier
        and shared.entry_identifier = entries.entry_identifier
    where shared.shown is null or shared.shown = entries.precedence
)

select
    shown.* exclude (
        precedence, as_of, roads, told_identifier, related_session, related_call,
        messaging_session_id, voice_call_id, sender_role, sender_subject, sender_display_name, selected_options,
        text, payload
    ),
    case
        when retold.precedence is not null then retold.text
        when shown.format_type = 'Selections' and shown.message_type is distinct from 'FormResponseMessage'
            then coalesce(named_choices.text, shown.text)
        else shown.text
    end as text,
    -- The fuller road's payload still has the words that were taken back.
    case when retold.precedence is not null then retold.payload else shown.payload end as payload,
    coalesce(named_choices.selected_options, shown.selected_options) as selected_options,
    coalesce(
        shown.related_session,
        case when shown.related_call is null and shown.modality is distinct from 'Voice'
            then going_on.session_going_on end
    ) as messaging_session_id,
    coalesce(
        shown.related_call,
        case when shown.related_session is null and going_on.session_going_on is null
            then going_on.call_going_on end
    ) as voice_call_id,
    coalesce(shown.sender_role, roles.role) as sender_role,
    coalesce(shown.sender_subject, roles.subject) as sender_subject,
    coalesce(shown.sender_display_name, participants.name, users.name) as sender_display_name,
    road_sets.roads_seen
from shown
join road_sets using (roads)
left join retold
    on retold.conversation_identifier = shown.conversation_identifier
    and retold.entry_identifier = shown.entry_identifier
left join named_choices
    on named_choices.precedence = shown.precedence
    and named_choices.conversation_identifier = shown.conversation_identifier
    and named_choices.entry_identifier = shown.told_identifier
left join going_on
    on going_on.conversation_identifier = shown.conversation_identifier
    and going_on.transcripted_timestamp = shown.transcripted_timestamp
left join participants
    on participants.conversation_identifier = shown.conversation_identifier
    and participants.sender_subject = shown.sender_subject
left join roles
    on shown.sender_role is null
    and roles.conversation_identifier = shown.conversation_identifier
    and roles.name = shown.sender_display_name
left join users
    on shown.sender_app_type = 'agent'
    and left(users.id, 15) = left(shown.sender_subject, 15)
order by shown.conversation_identifier, shown.entry_identifier
